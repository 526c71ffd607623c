#include "run.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "cleanup.h"
#include "clock.h"
#include "crypto.h"
#include "tasks.h"

#define STREAMS_MAX 64u   /* opens per call; how many may be open at once is the grant's */
#define GRACE_MS    50u   /* for what an answered process used */
#define GOODBYE_MS  2000u /* from the kill to the report of its end */
#define RETRIES_MAX 3u
#define READ_CHUNK  ((size_t)64 * 1024)

enum { POLL_EVENTS, POLL_RESULT, POLL_OUTPUT, POLL_HOST, POLL_COUNT };

void run_init(struct run *r, struct pool *pool, const struct job *job,
	      const struct run_hooks *hooks)
{
	*r = (struct run){ .pool = pool,
			   .job = job,
			   .hooks = hooks,
			   .result_fd = -1,
			   .output_fd = -1,
			   .host_fd = -1,
			   .call = BUF_INIT(WIRE_CALL_MAX + 64),
			   .frame = BUF_INIT(RESULT_FRAME_MAX + 4),
			   .host_in = BUF_INIT(2 * HOSTCALL_MAX),
			   .output = CAPTURE_INIT };
	r->wait.is_cancelled = &r->is_cancelled;
	(void)pthread_mutex_init(&r->lock, NULL);
}

/* It may hold secrets. */
static void wipe_call(struct run *r)
{
	if (r->call.data)
		crypto_wipe(r->call.data, r->call.cap);
}

void run_done(struct run *r)
{
	wipe_call(r);
	buf_done(&r->call);
	buf_done(&r->frame);
	buf_done(&r->host_in);
	capture_done(&r->output);
	(void)pthread_mutex_destroy(&r->lock);
}

void run_cancel(struct run *r, const char *reason)
{
	if (atomic_load(&r->is_cancelled))
		return;
	(void)snprintf(r->cancel_reason, sizeof(r->cancel_reason), "%s", reason ? reason : "");
	atomic_store(&r->is_cancelled, true);
	/* Here, not in the running thread: that one may be opening a stream. */
	(void)pthread_mutex_lock(&r->lock);
	if (r->sandbox)
		pool_kill(r->pool, r->sandbox);
	else
		pool_nudge(r->pool);
	(void)pthread_mutex_unlock(&r->lock);
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
		r->result_fd = -1;
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
		r->output_fd = -1;
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

/* A stream that was answered is taken before the next is asked for: those that nobody takes are
 * descriptors under way, which count for all that runs under this uid. */
static bool has_taken_answers(const struct run *r)
{
	int unread = 0;

	return ioctl(r->host_fd, SIOCOUTQ, &unread) == 0 && unread == 0;
}

static void open_stream(struct run *r)
{
	BOX_CLEANUP(buf_done) struct buf text = BUF_INIT(4096);
	BOX_CLEANUP(fd_closep) int fd = -1;
	struct err err = { 0 };

	if (!has_taken_answers(r)) {
		end_for(r, CAUSE_PROTOCOL);
		return;
	}
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

static void serve_event(struct run *r, const struct hostcall *call)
{
	enum event_fate fate = r->hooks->on_event(r->hooks->arg, call);

	r->has_news |= fate == EVENT_KEPT;
	if (fate == EVENT_TOO_MANY)
		end_for(r, CAUSE_EVENTS);
}

static void serve_hostcall(struct run *r, const struct hostcall *call)
{
	if (!r->hooks)
		end_for(r, CAUSE_PROTOCOL);
	else if (call->op == HOSTCALL_OPEN)
		open_stream(r);
	else
		serve_event(r, call);
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
		if (r->is_foreground && r->hooks && call.op == HOSTCALL_OPEN) {
			r->has_news = true; /* which blocks: not here */
			break;
		}
		serve_hostcall(r, &call);
		used += (size_t)n;
	}
	if (used == 0)
		return;
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
		r->host_fd = -1;
		return;
	}
	buf_add(&r->host_in, data, (size_t)n);
	serve_hostcalls(r);
}

/* ---- CPU time ---- */

static uint64_t cpu_used_us(const struct run *r, const struct sandbox_state *now)
{
	uint64_t used = now->ended.how ? now->ended.cpu_us : tasks_cpu_us(now->pid);

	return used > r->cpu_before_us ? used - r->cpu_before_us : 0;
}

/* It cannot use more than all processors give: until then nobody has to look. */
static void plan_cpu_check(struct run *r, uint64_t left_ms, uint64_t now_ms)
{
	uint64_t ms = left_ms / (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);

	r->cpu_check_ms = now_ms + (ms > 0 ? ms : 1);
}

static void check_cpu(struct run *r, uint64_t now_ms)
{
	struct sandbox_state now;
	uint64_t used_us;

	if (now_ms < r->cpu_check_ms)
		return;
	now = pool_look(r->pool, r->sandbox);
	used_us = cpu_used_us(r, &now);
	if (used_us / 1000 >= r->job->limits.cpu_ms)
		end_for(r, CAUSE_CPU);
	else
		plan_cpu_check(r, r->job->limits.cpu_ms - used_us / 1000, now_ms);
}

/* ---- hand-over ---- */

/* A process that served before may have left something behind that is not this call's. */
static bool is_clean(const struct sandbox *s)
{
	struct pollfd polls[] = { { .fd = s->result_fd, .events = POLLIN },
				  { .fd = s->host_fd, .events = POLLIN } };
	uint8_t late[4096];

	if (s->calls == 1)
		return true;
	while (read(s->output_fd, late, sizeof(late)) > 0)
		; /* of threads that an earlier call left running */
	return poll(polls, ARRAY_LEN(polls), 0) == 0;
}

static void let_go(struct run *r, bool is_reusable)
{
	struct sandbox *s;

	(void)pthread_mutex_lock(&r->lock);
	s = TAKE(r->sandbox);
	(void)pthread_mutex_unlock(&r->lock);
	if (s)
		pool_give_back(r->pool, s, is_reusable);
	r->result_fd = r->output_fd = r->host_fd = -1;
}

static void send_call(struct run *r)
{
	ssize_t n = send(r->host_fd, r->call.data + r->call_sent, r->call.len - r->call_sent,
			 MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n > 0 && (r->call_sent += (size_t)n) == r->call.len)
		wipe_call(r);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		r->host_fd = -1;
}

static void begin(struct run *r, struct sandbox *s)
{
	struct sandbox_state now = pool_look(r->pool, s);
	uint64_t now_us = clock_mono_us();

	(void)pthread_mutex_lock(&r->lock);
	r->sandbox = s;
	if (atomic_load(&r->is_cancelled)) /* before there was anything to kill */
		pool_kill(r->pool, s);
	(void)pthread_mutex_unlock(&r->lock);
	r->result_fd = s->result_fd;
	r->output_fd = s->output_fd;
	r->host_fd = s->host_fd;
	r->times.taken = now_us;
	r->deadline_ms = now_us / 1000 + r->job->limits.timeout_ms;
	r->cpu_before_us = now.pid ? tasks_cpu_us(now.pid) : 0;
	plan_cpu_check(r, r->job->limits.cpu_ms, now_us / 1000);
	r->call_sent = 0;
	r->stage = RUN_WATCH;
	if (is_clean(s))
		send_call(r);
	else
		r->host_fd = -1;
	/* Gone, or of no use, before it was told anything: another one. */
	if (r->host_fd < 0 && r->call_sent == 0 && ++r->retries <= RETRIES_MAX) {
		let_go(r, false);
		r->stage = RUN_TAKE;
	}
}

static int start(struct run *r, struct err *err)
{
	int code = r->job->is_inspection || r->job->arguments.len <= WIRE_CALL_MAX
			   ? job_add_call(r->job, &r->call, err)
			   : err_set(err, ERR_TOO_LARGE, "the arguments are too large");

	r->times.started = clock_mono_us();
	r->deadline_ms = r->times.started / 1000 + r->job->limits.timeout_ms;
	return code;
}

/* Returns as run_step; 1: it has a sandbox. */
static int take(struct run *r, uint64_t until_ms, struct err *err)
{
	int code = r->times.started == 0 ? start(r, err) : 0;

	while (code >= 0 && r->stage == RUN_TAKE) {
		struct sandbox *s = NULL;

		r->wait.until_mono_ms = until_ms < r->deadline_ms ? until_ms : r->deadline_ms;
		code = pool_take(r->pool, r->job, &r->wait, &s, err);
		if (code == 0)
			break;
		if (code > 0)
			begin(r, s);
	}
	if (code == 0 && clock_mono_ms() >= r->deadline_ms)
		code = err_set(err, ERR_DEADLINE,
			       "time limit %.6g s exceeded before a sandbox with the tool's code "
			       "and modules was ready; the tool did not run",
			       r->job->limits.timeout_ms / 1000.0);
	return code;
}

/* ---- the loop ---- */

static void read_events(struct run *r)
{
	struct sandbox_state now;
	uint64_t ignored;

	(void)!read(r->sandbox->events_fd, &ignored, sizeof(ignored));
	/* Behind the read: what changes from here on signals again. */
	now = pool_look(r->pool, r->sandbox);
	r->threads = now.threads_seen;
	if (atomic_load(&r->is_cancelled))
		end_for(r, CAUSE_CANCELLED);
	else if (now.threads_seen > now.threads_max)
		end_for(r, CAUSE_THREADS);
	else if (now.is_lost)
		end_for(r, CAUSE_LOST);
}

static bool has_unsent(const struct run *r)
{
	return r->call_sent < r->call.len;
}

static void wait_for_more(struct run *r, uint64_t until_ms)
{
	struct pollfd polls[POLL_COUNT] = {
		[POLL_EVENTS] = { .fd = r->sandbox->events_fd, .events = POLLIN },
		[POLL_RESULT] = { .fd = r->result_fd, .events = POLLIN },
		[POLL_OUTPUT] = { .fd = r->output_fd, .events = POLLIN },
		[POLL_HOST] = { .fd = r->host_fd,
				.events = (short)(POLLIN | (has_unsent(r) ? POLLOUT : 0)) },
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
	if (polls[POLL_HOST].revents & POLLOUT)
		send_call(r);
	if ((polls[POLL_HOST].revents & ~POLLOUT) && r->host_fd >= 0)
		read_host(r);
}

static bool has_ended(struct run *r)
{
	return pool_look(r->pool, r->sandbox).ended.how != 0;
}

/* An answer, a reason to stop, or nobody who could answer. */
static bool is_over(struct run *r)
{
	return r->cause != CAUSE_NONE || has_frame(r) || (r->result_fd < 0 && has_ended(r));
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* True: it is over. */
static bool watch(struct run *r, uint64_t until_ms)
{
	r->has_news = false;
	if (!r->is_foreground)
		serve_hostcalls(r); /* what another thread left */
	while (!is_over(r)) {
		uint64_t now;

		wait_for_more(r, least(until_ms, least(r->deadline_ms, r->cpu_check_ms)));
		now = clock_mono_ms();
		if (!has_frame(r) && now >= r->deadline_ms)
			end_for(r, CAUSE_TIMEOUT);
		else if (!has_frame(r))
			check_cpu(r, now);
		if (!is_over(r) && (now >= until_ms || (r->is_foreground && r->has_news)))
			return false;
	}
	return true;
}

/* False: the time is over. */
static bool wait_for_change(struct run *r, uint64_t until_ms)
{
	struct pollfd p = { .fd = r->sandbox->events_fd, .events = POLLIN };
	uint64_t now_ms = clock_mono_ms(), ignored;

	if (now_ms >= until_ms)
		return false;
	if (poll(&p, 1, (int)(until_ms - now_ms)) > 0)
		(void)!read(p.fd, &ignored, sizeof(ignored));
	return true;
}

static void wait_for_end(struct run *r)
{
	uint64_t until = clock_mono_ms() + GOODBYE_MS;
	struct sandbox_state now;

	do
		now = pool_look(r->pool, r->sandbox);
	while (now.ended.how == 0 && !now.is_lost && wait_for_change(r, until));
}

/*
 * What it used: of the process that waits or runs still, else as its worker reports its end.  Waits
 * for one or the other: a process that was forked for this very call may have answered before its
 * start was reported.
 */
static void read_usage(struct run *r)
{
	uint64_t until = clock_mono_ms() + GRACE_MS, resident_kb = 0;
	struct sandbox_state now = pool_look(r->pool, r->sandbox);

	while (now.ended.how == 0 && !now.is_lost &&
	       (resident_kb = tasks_resident_kb(now.memory_fd)) == 0 && wait_for_change(r, until))
		now = pool_look(r->pool, r->sandbox);
	r->ended = now.ended;
	r->ended.cpu_us = cpu_used_us(r, &now);
	if (resident_kb > 0)
		r->ended.memory_kb = resident_kb;
	r->pid = now.pid;
	r->threads = now.threads_seen;
	r->base_kb = now.base_kb;
	r->ran_out_of_memory = now.ran_out_of_memory;
}

static void drain_output(struct run *r)
{
	while (r->output_fd >= 0 && r->cause != CAUSE_OUTPUT && read_output(r))
		;
}

static void kill_process(struct run *r)
{
	pool_kill(r->pool, r->sandbox);
	wait_for_end(r);
}

static struct run_facts facts_of(const struct run *r)
{
	struct run_facts facts = { .cause = r->cause,
				   .has_frame = has_frame(r),
				   .ended = r->ended,
				   .threads = r->threads,
				   .base_kb = r->base_kb,
				   .ran_out_of_memory = r->ran_out_of_memory,
				   .duration_ms = r->duration_ms,
				   .limits = &r->job->limits,
				   .output = &r->output,
				   .cancel_reason = r->cancel_reason };

	if (r->frame.len >= 4) {
		facts.frame_size = frame_size(r);
		facts.frame =
			(struct bytes){ r->frame.data + 4, facts.has_frame ? frame_size(r) : 0 };
	}
	return facts;
}

/* An answer after which the process is of no use.  Its end says what it had in memory at most. */
static bool end_if_spent(struct run *r)
{
	struct run_facts facts = facts_of(r);

	if (!facts.has_frame || !result_is_spent(&facts))
		return false;
	kill_process(r);
	read_usage(r);
	return true;
}

static void finish(struct run *r)
{
	bool is_reusable;

	if (r->cause == CAUSE_NONE && has_frame(r))
		drain_output(r);
	if (r->cause != CAUSE_NONE || !has_frame(r)) {
		if (!has_ended(r))
			kill_process(r);
		drain_output(r);
	}
	r->times.answered = clock_mono_us();
	read_usage(r);
	is_reusable = r->cause == CAUSE_NONE && !end_if_spent(r) && has_frame(r) &&
		      r->host_in.len == 0 && r->frame.len == 4 + (size_t)frame_size(r);
	let_go(r, is_reusable);
	r->duration_ms = (uint32_t)((r->times.answered - r->times.started) / 1000);
}

int run_step(struct run *r, uint64_t until_mono_ms, bool is_foreground, struct run_facts *ret_facts,
	     struct err *err)
{
	int code;

	r->is_foreground = is_foreground;
	code = r->stage == RUN_TAKE ? take(r, until_mono_ms, err) : 1;
	if (code <= 0)
		return code;
	if (!watch(r, until_mono_ms))
		return 0;
	finish(r);
	*ret_facts = facts_of(r);
	return 1;
}

int run_do(struct run *r, struct run_facts *ret_facts, struct err *err)
{
	int code;

	do
		code = run_step(r, UINT64_MAX, false, ret_facts, err);
	while (code == 0);
	return code;
}
