#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include "cleanup.h"
#include "clock.h"

#define STREAMS_MAX 64u   /* opens per call; how many may be open at once is the grant's */
#define GRACE_MS    50u   /* from a complete answer to the kill: exit handlers delay no reply */
#define GOODBYE_MS  2000u /* from the kill to the report of its end */
#define READ_CHUNK  ((size_t)64 * 1024)

enum { POLL_EVENTS, POLL_RESULT, POLL_OUTPUT, POLL_HOST, POLL_COUNT };

int run_init(struct run *r, struct pool *pool, const struct job *job, const struct run_hooks *hooks,
	     struct err *err)
{
	*r = (struct run){ .pool = pool,
			   .job = job,
			   .hooks = hooks,
			   .result_fd = -1,
			   .output_fd = -1,
			   .host_fd = -1,
			   .frame = BUF_INIT(RESULT_FRAME_MAX + 4),
			   .host_in = BUF_INIT(2 * HOSTCALL_MAX),
			   .output = CAPTURE_INIT };
	r->sandbox.pidfd = -1;
	r->sandbox.events_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->sandbox.events_fd < 0)
		return err_set(err, ERR_UNAVAILABLE,
			       "the executor has no descriptors left; the tool did not run");
	return 0;
}

void run_done(struct run *r)
{
	fd_closep(&r->sandbox.events_fd);
	fd_closep(&r->result_fd);
	fd_closep(&r->output_fd);
	fd_closep(&r->host_fd);
	buf_done(&r->frame);
	buf_done(&r->host_in);
	capture_done(&r->output);
}

void run_cancel(struct run *r, const char *reason)
{
	uint64_t one = 1;

	if (atomic_load(&r->is_cancelled))
		return;
	(void)snprintf(r->cancel_reason, sizeof(r->cancel_reason), "%s", reason ? reason : "");
	atomic_store(&r->is_cancelled, true);
	pool_kill(r->pool, &r->sandbox); /* here, not in the running thread: that one may be opening
					    a stream */
	(void)!write(r->sandbox.events_fd, &one, sizeof(one));
}

/* ---- hand-over ---- */

static int make_channels(struct run *r, int fds[JOB_FD_COUNT])
{
	int result[2], output[2], host[2];

	if (pipe2(result, O_CLOEXEC) < 0)
		return -errno;
	r->result_fd = result[0];
	fds[JOB_FD_RESULT] = result[1];
	if (pipe2(output, O_CLOEXEC) < 0)
		return -errno;
	r->output_fd = output[0];
	fds[JOB_FD_OUTPUT] = output[1];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, host) < 0)
		return -errno;
	r->host_fd = host[0];
	fds[JOB_FD_HOST] = host[1];
	/* Only our ends: the flag is shared by all who hold the same end. */
	if (fcntl(r->result_fd, F_SETFL, O_NONBLOCK) < 0 ||
	    fcntl(r->output_fd, F_SETFL, O_NONBLOCK) < 0 ||
	    fcntl(r->host_fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

static int hand_over(struct run *r, struct err *err)
{
	int fds[JOB_FD_COUNT] = { -1, -1, -1, -1 };
	int code = job_open_payload(r->job, err);

	if (code >= 0) {
		fds[JOB_FD_PAYLOAD] = code;
		code = make_channels(r, fds);
		if (code < 0)
			code = err_set(
				err, ERR_UNAVAILABLE,
				"the executor has no descriptors left; the tool did not run");
	}
	if (code >= 0)
		code = pool_submit(r->pool, &r->sandbox, r->job, fds, err);
	for (int i = 0; i < JOB_FD_COUNT; i++)
		fd_closep(&fds[i]);
	return code;
}

/* ---- what comes out of the sandbox ---- */

static void end_for(struct run *r, enum run_cause cause)
{
	if (r->cause == CAUSE_NONE)
		r->cause = cause;
}

static uint32_t frame_size(const struct run *r)
{
	const uint8_t *d = r->frame.data;

	return (uint32_t)d[0] | (uint32_t)d[1] << 8 | (uint32_t)d[2] << 16 | (uint32_t)d[3] << 24;
}

static bool has_frame(const struct run *r)
{
	return r->frame.len >= 4 && r->frame.len >= 4 + (size_t)frame_size(r);
}

static void read_result(struct run *r)
{
	size_t left = r->frame.max - r->frame.len, want = left < READ_CHUNK ? left : READ_CHUNK;
	uint8_t *room = want > 0 ? buf_grow(&r->frame, want) : NULL;
	ssize_t n = room ? read(r->result_fd, room, want) : 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		fd_closep(&r->result_fd);
		return;
	}
	r->frame.len += (size_t)n;
	if (r->frame.len >= 4 && frame_size(r) > RESULT_FRAME_MAX)
		end_for(r, CAUSE_RESULT);
}

static bool read_output(struct run *r)
{
	uint8_t data[16 * 1024];
	ssize_t n = read(r->output_fd, data, sizeof(data));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		fd_closep(&r->output_fd);
		return false;
	}
	capture_add(&r->output, data, (size_t)n);
	if (r->output.total > (uint64_t)r->job->limits.output_kb << 10) {
		end_for(r, CAUSE_OUTPUT);
		return false;
	}
	return true;
}

static uint32_t remaining_ms(const struct run *r)
{
	uint64_t now = clock_mono_ms();

	return r->deadline_ms > now ? (uint32_t)(r->deadline_ms - now) : 0;
}

/* A short frame, and a descriptor beside it if fd >= 0.  The sandbox waits for it; if its buffer is
 * full anyway, it broke the rules. */
static void answer_host(struct run *r, struct buf *text, int fd)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	uint8_t head[4] = { (uint8_t)text->len, (uint8_t)(text->len >> 8), 0, 0 };
	struct iovec iov[] = { { head, sizeof(head) }, { text->data, text->len } };
	struct msghdr h = { .msg_iov = iov, .msg_iovlen = 2 };

	if (fd >= 0) {
		struct cmsghdr *c;

		memset(control, 0, sizeof(control));
		h.msg_control = control;
		h.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	if (sendmsg(r->host_fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)(4 + text->len))
		end_for(r, CAUSE_PROTOCOL);
}

static const char *kind_of(int code)
{
	return code == -ERR_DENIED ? "denied" : "unavailable";
}

static void open_stream(struct run *r)
{
	BOX_CLEANUP(buf_done) struct buf text = BUF_INIT(4096);
	BOX_CLEANUP(fd_closep) int fd = -1;
	struct err err = { 0 };

	if (++r->opened > STREAMS_MAX)
		fd = err_set(&err, ERR_DENIED, "this call has opened %u streams already",
			     STREAMS_MAX);
	else
		fd = r->hooks->open_stream(r->hooks->arg, remaining_ms(r), &err);
	if (fd >= 0) {
		buf_add_str(&text, "{\"ok\":true}");
	} else {
		buf_printf(&text, "{\"error\":{\"kind\":\"%s\",\"text\":", kind_of(fd));
		json_add_string(&text, err.text, strlen(err.text));
		buf_add_str(&text, "}}");
	}
	answer_host(r, &text, fd);
	err_done(&err);
}

static void serve_hostcall(struct run *r, const struct hostcall *call)
{
	if (!r->hooks)
		end_for(r, CAUSE_PROTOCOL);
	else if (call->op == HOSTCALL_OPEN)
		open_stream(r);
	else if (!r->hooks->on_event(r->hooks->arg, call))
		end_for(r, CAUSE_EVENTS);
}

static void serve_hostcalls(struct run *r)
{
	size_t used = 0;

	while (r->cause == CAUSE_NONE) {
		struct hostcall call;
		long n = hostcall_take(r->host_in.data + used, r->host_in.len - used, &call);

		if (n < 0)
			end_for(r, CAUSE_PROTOCOL);
		if (n <= 0)
			break;
		serve_hostcall(r, &call);
		used += (size_t)n;
	}
	memmove(r->host_in.data, r->host_in.data + used, r->host_in.len - used);
	r->host_in.len -= used;
}

static void read_host(struct run *r)
{
	uint8_t data[4096];
	ssize_t n = recv(r->host_fd, data, sizeof(data),
			 MSG_DONTWAIT); /* without room for descriptors: none come */

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		fd_closep(&r->host_fd);
		return;
	}
	buf_add(&r->host_in, data, (size_t)n);
	serve_hostcalls(r);
}

/* ---- the loop ---- */

static void read_events(struct run *r)
{
	struct sandbox now;
	uint64_t ignored;

	(void)!read(r->sandbox.events_fd, &ignored, sizeof(ignored));
	now = pool_look(r->pool,
			&r->sandbox); /* behind the read: what changes from here on signals again */
	if (atomic_load(&r->is_cancelled))
		end_for(r, CAUSE_CANCELLED);
	else if (now.threads_seen > now.threads_max)
		end_for(r, CAUSE_THREADS);
	else if (now.is_lost)
		end_for(r, CAUSE_LOST);
}

static void wait_for_more(struct run *r, uint64_t until_ms)
{
	struct pollfd polls[POLL_COUNT] = {
		[POLL_EVENTS] = { .fd = r->sandbox.events_fd, .events = POLLIN },
		[POLL_RESULT] = { .fd = r->result_fd, .events = POLLIN },
		[POLL_OUTPUT] = { .fd = r->output_fd, .events = POLLIN },
		[POLL_HOST] = { .fd = r->host_fd, .events = POLLIN },
	};
	uint64_t now = clock_mono_ms();

	if (poll(polls, POLL_COUNT, until_ms > now ? (int)(until_ms - now) : 0) <= 0)
		return;
	if (polls[POLL_EVENTS].revents)
		read_events(r);
	if (polls[POLL_OUTPUT].revents)
		(void)read_output(r);
	if (polls[POLL_RESULT].revents)
		read_result(r);
	if (polls[POLL_HOST].revents && r->host_fd >= 0)
		read_host(r);
}

static bool has_ended(struct run *r)
{
	return pool_look(r->pool, &r->sandbox).ended.how != 0;
}

/* Until there is an answer, a reason to stop, or nobody who could answer. */
static void watch(struct run *r)
{
	while (r->cause == CAUSE_NONE && !has_frame(r)) {
		if (r->result_fd < 0 && has_ended(r))
			return;
		wait_for_more(r, r->deadline_ms);
		if (clock_mono_ms() >= r->deadline_ms && !has_frame(r))
			end_for(r, CAUSE_TIMEOUT);
	}
}

static void wait_for_end(struct run *r, uint32_t ms)
{
	uint64_t until = clock_mono_ms() + ms;

	while (!has_ended(r) && !pool_look(r->pool, &r->sandbox).is_lost &&
	       clock_mono_ms() < until) {
		struct pollfd p = { .fd = r->sandbox.events_fd, .events = POLLIN };
		uint64_t now = clock_mono_ms(), ignored;

		if (poll(&p, 1, until > now ? (int)(until - now) : 0) > 0)
			(void)!read(p.fd, &ignored, sizeof(ignored));
	}
}

static void finish(struct run *r)
{
	if (r->cause == CAUSE_NONE && has_frame(r))
		wait_for_end(r, GRACE_MS);
	if (!has_ended(r)) {
		pool_kill(r->pool, &r->sandbox);
		wait_for_end(r, GOODBYE_MS);
	}
	while (r->output_fd >= 0 && r->cause != CAUSE_OUTPUT && read_output(r))
		;
}

int run_do(struct run *r, struct run_facts *ret_facts, struct err *err)
{
	uint64_t started_ms = clock_mono_ms();
	int code;

	r->deadline_ms = started_ms + r->job->limits.timeout_ms;
	code = hand_over(r, err);
	if (code < 0)
		return code;
	if (atomic_load(&r->is_cancelled)) /* before there was anything to kill */
		pool_kill(r->pool, &r->sandbox);
	watch(r);
	finish(r);
	r->duration_ms = (uint32_t)(clock_mono_ms() - started_ms);
	*ret_facts = (struct run_facts){ .cause = r->cause,
					 .has_frame = has_frame(r),
					 .ended = pool_look(r->pool, &r->sandbox).ended,
					 .threads = r->sandbox.threads_seen,
					 .duration_ms = r->duration_ms,
					 .limits = &r->job->limits,
					 .output = &r->output,
					 .cancel_reason = r->cancel_reason };
	if (r->frame.len >= 4) {
		ret_facts->frame_size = frame_size(r);
		ret_facts->frame = (struct bytes){ r->frame.data + 4,
						   ret_facts->has_frame ? frame_size(r) : 0 };
	}
	pool_release(r->pool, &r->sandbox);
	return 0;
}
