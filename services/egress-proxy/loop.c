#include "loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "clock.h"
#include "err.h"
#include "mem.h"

#define EVENTS_AT_ONCE 128

struct watch {
	loop_ready *ready; /* NULL: nobody watches this descriptor */
	void *arg;
	uint32_t generation; /* an event of an earlier owner of the number is not for this one */
	uint32_t events;
};

struct post {
	void (*fn)(void *arg);
	void *arg;
	struct post *next;
};

struct loop {
	int epoll_fd;
	int wake_fd;
	struct watch *watches; /* by descriptor */
	size_t watch_count;
	struct loop_timer *timers;

	pthread_mutex_t lock;
	struct post *posts, **posts_end; /* lock */
	bool is_stopping;                /* lock */
};

struct loop *loop_new(void)
{
	struct loop *l = mem_alloc(sizeof(*l));

	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->epoll_fd < 0 || l->wake_fd < 0)
		box_bug("no descriptors for the event loop");
	l->posts_end = &l->posts;
	(void)pthread_mutex_init(&l->lock, NULL);
	return l;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	while (l->posts) {
		struct post *p = l->posts;

		l->posts = p->next;
		free(p);
	}
	(void)close(l->epoll_fd);
	(void)close(l->wake_fd);
	(void)pthread_mutex_destroy(&l->lock);
	free(l->watches);
	free(l);
}

/* ---- descriptors ---- */

static struct watch *watch_slot(struct loop *l, int fd)
{
	size_t need = (size_t)fd + 1;

	if (need > l->watch_count) {
		size_t count = need < 64 ? 64 : need * 2;

		l->watches = mem_realloc_array(l->watches, count, sizeof(*l->watches));
		for (size_t i = l->watch_count; i < count; i++)
			l->watches[i] = (struct watch){ 0 };
		l->watch_count = count;
	}
	return &l->watches[fd];
}

void loop_watch(struct loop *l, int fd, uint32_t events, loop_ready *ready, void *arg)
{
	struct watch *w = watch_slot(l, fd);
	bool is_new = w->ready == NULL;
	struct epoll_event e = { .events = events };

	if (!is_new && w->events == events && w->ready == ready && w->arg == arg)
		return;
	if (is_new)
		w->generation++;
	w->ready = ready;
	w->arg = arg;
	w->events = events;
	e.data.u64 = (uint64_t)w->generation << 32 | (uint32_t)fd;
	if (epoll_ctl(l->epoll_fd, is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &e) < 0)
		box_bug("epoll_ctl failed with errno %d", errno);
}

void loop_unwatch(struct loop *l, int fd)
{
	struct watch *w;

	if (fd < 0 || (size_t)fd >= l->watch_count || !l->watches[fd].ready)
		return;
	w = &l->watches[fd];
	w->ready = NULL;
	(void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static void dispatch(struct loop *l, const struct epoll_event *e)
{
	int fd = (int)(uint32_t)e->data.u64;
	struct watch *w = &l->watches[fd];

	if (w->ready && w->generation == (uint32_t)(e->data.u64 >> 32))
		w->ready(w->arg, fd, e->events);
}

/* ---- timers: few (one per pool, per lookup, one tick), so a list is enough ---- */

void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t after_us,
		    void (*fire)(void *arg), void *arg)
{
	loop_timer_clear(l, t);
	*t = (struct loop_timer){ .due_us = clock_mono_us() + after_us,
				  .fire = fire,
				  .arg = arg,
				  .next = l->timers,
				  .is_set = true };
	if (l->timers)
		l->timers->prev = t;
	l->timers = t;
}

void loop_timer_clear(struct loop *l, struct loop_timer *t)
{
	if (!t->is_set)
		return;
	if (t->prev)
		t->prev->next = t->next;
	else
		l->timers = t->next;
	if (t->next)
		t->next->prev = t->prev;
	t->is_set = false;
}

static struct loop_timer *earliest(const struct loop *l)
{
	struct loop_timer *best = l->timers;

	for (struct loop_timer *t = best; t; t = t->next)
		if (t->due_us < best->due_us)
			best = t;
	return best;
}

static int wait_ms(const struct loop *l)
{
	const struct loop_timer *t = earliest(l);
	uint64_t now = clock_mono_us();

	if (!t)
		return -1;
	if (t->due_us <= now)
		return 0;
	/* Round up: waking a little early would spin until the timer is due. */
	return (int)((t->due_us - now + 999) / 1000);
}

static void run_timers(struct loop *l)
{
	uint64_t now = clock_mono_us();
	struct loop_timer *t;

	while ((t = earliest(l)) && t->due_us <= now) {
		loop_timer_clear(l, t);
		t->fire(t->arg);
	}
}

/* ---- other threads ---- */

static void wake(struct loop *l)
{
	uint64_t one = 1;

	/* A full counter wakes just as well. */
	(void)!write(l->wake_fd, &one, sizeof(one));
}

void loop_post(struct loop *l, void (*fn)(void *arg), void *arg)
{
	struct post *p = mem_alloc(sizeof(*p));

	*p = (struct post){ fn, arg, NULL };
	(void)pthread_mutex_lock(&l->lock);
	*l->posts_end = p;
	l->posts_end = &p->next;
	(void)pthread_mutex_unlock(&l->lock);
	wake(l);
}

static struct post *take_posts(struct loop *l)
{
	struct post *all;

	(void)pthread_mutex_lock(&l->lock);
	all = l->posts;
	l->posts = NULL;
	l->posts_end = &l->posts;
	(void)pthread_mutex_unlock(&l->lock);
	return all;
}

static void on_wake(void *arg, int fd, uint32_t events)
{
	struct loop *l = arg;
	uint64_t count;

	(void)events;
	(void)!read(fd, &count, sizeof(count));
	for (struct post *p = take_posts(l); p;) {
		struct post *next = p->next;

		p->fn(p->arg);
		free(p);
		p = next;
	}
}

void loop_stop(struct loop *l)
{
	(void)pthread_mutex_lock(&l->lock);
	l->is_stopping = true;
	(void)pthread_mutex_unlock(&l->lock);
	wake(l);
}

static bool is_stopping(struct loop *l)
{
	bool stopping;

	(void)pthread_mutex_lock(&l->lock);
	stopping = l->is_stopping;
	(void)pthread_mutex_unlock(&l->lock);
	return stopping;
}

void loop_run(struct loop *l)
{
	struct epoll_event events[EVENTS_AT_ONCE];

	loop_watch(l, l->wake_fd, EPOLLIN, on_wake, l);
	while (!is_stopping(l)) {
		int n = epoll_wait(l->epoll_fd, events, EVENTS_AT_ONCE, wait_ms(l));

		for (int i = 0; i < n; i++)
			dispatch(l, &events[i]);
		run_timers(l);
	}
	loop_unwatch(l, l->wake_fd);
}
