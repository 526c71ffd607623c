#include "zygote.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../wire_io.h"
#include "confine.h"
#include "python.h"

#define JOBS_MAX    512
#define PAYLOAD_MAX ((size_t)8 * 1024 * 1024)

struct job {
	pid_t pid; /* 0: free */
	uint64_t number;
};

struct zygote {
	struct worker *w;
	int children; /* signalfd of SIGCHLD */
	struct job jobs[JOBS_MAX];
};

static int report(struct zygote *z, const struct wire_message *m, const int *fds, size_t count)
{
	return wire_send(z->w->control, m, fds, count);
}

static int report_ended(struct zygote *z, const struct wire_ended *ended)
{
	struct wire_message m = { .kind = WIRE_ENDED, .u.ended = *ended };

	return report(z, &m, NULL, 0);
}

/* ---- in the call process ---- */

static uint8_t *read_payload(size_t *ret_len)
{
	uint8_t *data = NULL;
	size_t len = 0, room = 0;

	for (;;) {
		ssize_t n;

		if (len == room) {
			room = room ? room * 2 : 16384;
			data = room > PAYLOAD_MAX ? NULL : realloc(data, room);
			if (!data)
				_exit(CONFINE_EXIT - 1);
		}
		n = pread(CALL_FD_PAYLOAD, data + len, room - len, (off_t)len);
		if (n < 0)
			_exit(CONFINE_EXIT - 1);
		if (n == 0)
			break;
		len += (size_t)n;
	}
	close(CALL_FD_PAYLOAD);
	*ret_len = len;
	return data;
}

static void write_all(const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len > 0) {
		ssize_t n = write(CALL_FD_RESULT, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* the tool closed it: its own answer is lost */
		at += n;
		len -= (size_t)n;
	}
}

/* The answer leaves from here, not from Python: a tool may have replaced os.write and json. */
static void write_answer(const char *answer, size_t len)
{
	uint8_t head[4];

	for (int i = 0; i < 4; i++)
		head[i] = (uint8_t)(len >> (8 * i));
	write_all(head, sizeof(head));
	write_all(answer, len);
}

static void run_call(struct worker *w, const struct wire_job *job, const int *fds)
{
	uint8_t *payload;
	size_t payload_len, answer_len;
	const char *answer;

	confine_call(w, job, fds);
	payload = read_payload(&payload_len);
	answer = python_run(payload, payload_len, &answer_len);
	write_answer(answer, answer_len);
	_exit(0); /* never Py_Finalize: it takes long and runs tool code */
}

/* ---- in the zygote ---- */

static struct job *find_job(struct zygote *z, pid_t pid)
{
	for (size_t i = 0; i < JOBS_MAX; i++) {
		if (z->jobs[i].pid == pid)
			return &z->jobs[i];
	}
	return NULL;
}

/* The next child is pid 1 of a new namespace.  Going back first: a second unshare without it gives
 * EINVAL. */
static int fresh_pid_namespace(const struct worker *w)
{
	if (!w->has_namespaces)
		return 0;
	if (setns(w->self_pidfd, CLONE_NEWPID) < 0 || unshare(CLONE_NEWPID) < 0)
		return -errno;
	return 0;
}

static pid_t fork_call(struct zygote *z, const struct wire_job *job, const int *fds)
{
	int r = fresh_pid_namespace(z->w);
	pid_t pid;

	if (r < 0)
		return r;
	python_before_fork();
	pid = fork();
	if (pid == 0)
		run_call(z->w, job, fds);
	r = errno;
	python_after_fork_parent();
	return pid < 0 ? -r : pid;
}

static int start_job(struct zygote *z, const struct wire_job *job, const int *fds)
{
	struct job *slot = find_job(z, 0);
	pid_t pid = slot ? fork_call(z, job, fds) : -EAGAIN;
	struct wire_message m = { .kind = WIRE_STARTED, .u.started.number = job->number };
	int pidfd, r;

	if (pid < 0)
		return report_ended(z, &(struct wire_ended){ .number = job->number,
							     .how = WIRE_NOT_STARTED,
							     .code = (uint32_t)-pid });
	slot->pid = pid;
	slot->number = job->number;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0) {
		(void)kill(pid,
			   SIGKILL); /* nobody could end it: the supervisor hears of it as ENDED */
		return 0;
	}
	r = report(z, &m, &pidfd, 1);
	close(pidfd);
	return r;
}

static int take_job(struct zygote *z)
{
	struct wire_message m;
	int fds[WIRE_FDS_MAX];
	size_t count;
	int r = wire_receive(z->w->control, &m, fds, &count);

	if (r < 0)
		return r;
	r = m.kind == WIRE_JOB && count == JOB_FD_COUNT ? start_job(z, &m.u.job, fds) : -EPROTO;
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	return r;
}

static uint64_t microseconds(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

static int reap(struct zygote *z)
{
	struct signalfd_siginfo ignored;
	struct rusage usage;
	int status, r = 0;
	pid_t pid;

	if (read(z->children, &ignored, sizeof(ignored)) < 0 && errno != EAGAIN)
		return -errno;
	while (r == 0 && (pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
		struct job *job = find_job(z, pid);
		bool exited = WIFEXITED(status);

		if (!job)
			continue;
		r = report_ended(
			z, &(struct wire_ended){ .number = job->number,
						 .how = exited ? WIRE_EXITED : WIRE_SIGNALED,
						 .code = (uint32_t)(exited ? WEXITSTATUS(status)
									   : WTERMSIG(status)),
						 .cpu_us = microseconds(usage.ru_utime) +
							   microseconds(usage.ru_stime),
						 .memory_kb = (uint64_t)usage.ru_maxrss });
		*job = (struct job){ 0 };
	}
	return r;
}

static int watch_children(struct zygote *z)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	z->children = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return z->children < 0 ? -errno : 0;
}

int zygote_serve(struct worker *w)
{
	static struct zygote z; /* too large for a stack frame */
	int r;

	z.w = w;
	r = watch_children(&z);
	while (r == 0) {
		struct pollfd polls[] = { { .fd = w->control, .events = POLLIN },
					  { .fd = z.children, .events = POLLIN } };

		if (poll(polls, 2, -1) < 0 && errno != EINTR)
			return -errno;
		if (polls[1].revents)
			r = reap(&z);
		if (r == 0 && polls[0].revents)
			r = take_job(&z);
	}
	return r == -EPIPE ? 0 : r;
}
