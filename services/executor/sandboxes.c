/* Processes: their channels, their place in the pool, their end. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "cleanup.h"
#include "clock.h"
#include "mem.h"
#include "pool_internal.h"
#include "wire_io.h"

/* ---- channels ---- */

static int make_pipe(int *ret_read, int *ret_write)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	*ret_read = ends[0];
	*ret_write = ends[1];
	return 0;
}

static int make_channels(struct sandbox *s)
{
	int host[2];

	if (make_pipe(&s->result_fd, &s->far_fds[FORK_FD_RESULT]) < 0 ||
	    make_pipe(&s->output_fd, &s->far_fds[FORK_FD_OUTPUT]) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, host) < 0)
		return -errno;
	s->host_fd = host[0];
	s->far_fds[FORK_FD_HOST] = host[1];
	/* Only our ends: the flag is shared by all who hold the same end. */
	if (fcntl(s->result_fd, F_SETFL, O_NONBLOCK) < 0 ||
	    fcntl(s->output_fd, F_SETFL, O_NONBLOCK) < 0 ||
	    fcntl(s->host_fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

static void close_far(struct sandbox *s)
{
	for (size_t i = 0; i < FORK_FD_COUNT; i++)
		fd_closep(&s->far_fds[i]);
}

static void close_all(struct sandbox *s)
{
	close_far(s);
	fd_closep(&s->result_fd);
	fd_closep(&s->output_fd);
	fd_closep(&s->host_fd);
	fd_closep(&s->pidfd);
	fd_closep(&s->memory_fd);
}

/* ---- making and freeing ---- */

/* Clears all but the eventfd, which is made once. */
static void reset(struct sandbox *s, int events_fd)
{
	*s = (struct sandbox){ .result_fd = -1,
			       .output_fd = -1,
			       .host_fd = -1,
			       .events_fd = events_fd,
			       .far_fds = { -1, -1, -1 },
			       .pidfd = -1,
			       .memory_fd = -1 };
}

static struct sandbox *take_free(struct pool *p)
{
	struct sandbox *s;

	(void)pthread_mutex_lock(&p->lock);
	s = p->free;
	if (s) {
		p->free = s->next;
		p->free_count--;
	}
	(void)pthread_mutex_unlock(&p->lock);
	return s;
}

static void destroy(struct sandbox *s)
{
	close_all(s);
	fd_closep(&s->events_fd);
	free(s);
}

struct sandbox *sandbox_new(struct pool *p)
{
	struct sandbox *s = take_free(p);

	if (!s) {
		s = mem_alloc(sizeof(*s));
		reset(s, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	}
	if (s->events_fd < 0 || make_channels(s) < 0) {
		destroy(s);
		return NULL;
	}
	return s;
}

void sandbox_free(struct pool *p, struct sandbox *s)
{
	uint64_t ignored;

	if (s->tool)
		s->tool->processes--;
	if (p->free_count >= FREE_MAX || p->is_stopping) {
		destroy(s);
		return;
	}
	close_all(s);
	if (s->was_signalled)
		(void)!read(s->events_fd, &ignored, sizeof(ignored));
	reset(s, s->events_fd);
	s->next = p->free;
	p->free = s;
	p->free_count++;
}

/* ---- starting ---- */

/* A number is a serial and a place: found at once, and never the same twice. */
static int take_slot(struct pool *p, struct sandbox *s)
{
	for (uint32_t i = 0; i < SLOTS_MAX; i++) {
		uint32_t slot = (p->next_slot + i) % SLOTS_MAX;

		if (!p->slots[slot]) {
			p->next_slot = slot + 1;
			s->number = ++p->last_serial * SLOTS_MAX + slot;
			p->slots[slot] = s;
			return 0;
		}
	}
	return -EAGAIN;
}

static void leave_slot(struct pool *p, const struct sandbox *s)
{
	p->slots[s->number % SLOTS_MAX] = NULL;
}

struct sandbox *sandbox_find(struct pool *p, const struct worker *w, uint64_t number)
{
	struct sandbox *s = p->slots[number % SLOTS_MAX];

	return s && s->number == number && s->worker == w ? s : NULL;
}

int sandbox_fork(struct pool *p, struct tool *t, struct sandbox *s)
{
	struct worker *w = t->current;
	struct wire_message m;
	int r = take_slot(p, s);

	if (r < 0)
		return r;
	m.kind = WIRE_FORK;
	m.u.fork.number = s->number;
	r = wire_send(w->control, &m, s->far_fds, FORK_FD_COUNT);
	if (r < 0) {
		leave_slot(p, s);
		return r;
	}
	close_far(s);
	s->worker = w;
	s->tool = t;
	s->threads_max = t->limits.threads;
	s->base_kb = w->bound.base_kb;
	s->forked_ms = clock_mono_ms();
	w->processes++;
	w->calls++;
	if (w->unanswered++ == 0)
		w->silent_since_ms = s->forked_ms;
	t->processes++;
	return 0;
}

/* ---- those that wait ---- */

void sandbox_push(struct tool *t, struct sandbox *s)
{
	s->stage = SANDBOX_WAITING;
	s->next = NULL;
	if (t->last)
		t->last->next = s;
	else
		t->first = s;
	t->last = s;
	t->waiting++;
}

void sandbox_push_front(struct tool *t, struct sandbox *s)
{
	s->stage = SANDBOX_WAITING;
	s->next = t->first;
	t->first = s;
	if (!t->last)
		t->last = s;
	t->waiting++;
}

struct sandbox *sandbox_pop(struct tool *t)
{
	struct sandbox *s = t->first;

	if (!s)
		return NULL;
	t->first = s->next;
	if (!t->first)
		t->last = NULL;
	s->next = NULL;
	t->waiting--;
	return s;
}

static void unlink_waiting(struct tool *t, struct sandbox *s)
{
	struct sandbox **at = &t->first, *before = NULL;

	while (*at && *at != s) {
		before = *at;
		at = &(*at)->next;
	}
	if (!*at)
		return;
	*at = s->next;
	if (t->last == s)
		t->last = before;
	t->waiting--;
}

/* ---- the end ---- */

void sandbox_signal(struct sandbox *s)
{
	uint64_t one = 1;

	s->was_signalled = true;
	(void)!write(s->events_fd, &one, sizeof(one)); /* full means that it is readable already */
}

void sandbox_kill(struct sandbox *s)
{
	s->was_killed = true;
	if (s->pidfd >= 0 && s->ended.how == 0)
		(void)syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0);
}

void sandbox_dismiss(struct pool *p, struct sandbox *s)
{
	s->stage = SANDBOX_LEAVING;
	s->stage_ms = clock_mono_ms();
	p->leaving++;
	fd_closep(&s->host_fd); /* which it waits on */
}

void sandbox_end(struct pool *p, struct sandbox *s)
{
	leave_slot(p, s);
	if (s->worker)
		s->worker->processes--;
	s->worker = NULL;
	if (s->stage == SANDBOX_TAKEN) {
		sandbox_signal(s);
		return;
	}
	if (s->stage == SANDBOX_WAITING)
		unlink_waiting(s->tool, s);
	else
		p->leaving--;
	sandbox_free(p, s);
}
