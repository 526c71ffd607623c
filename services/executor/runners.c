#include "runners.h"

#include <errno.h>
#include <pthread.h>
#include "mem.h"

#define STACK ((size_t)2 * 1024 * 1024)

struct runners {
	void (*run)(void *arg);
	uint32_t max;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t more;
	void **queue; /* room for max: a ring */
	uint32_t first, queued;
	uint32_t threads, idle;
};

struct runners *runners_new(uint32_t max, void (*run)(void *arg))
{
	struct runners *r = mem_alloc(sizeof(*r));

	r->run = run;
	r->max = max;
	r->queue = mem_alloc_array(max, sizeof(*r->queue));
	(void)pthread_mutex_init(&r->lock, NULL);
	(void)pthread_cond_init(&r->more, NULL);
	return r;
}

static void *serve(void *arg)
{
	struct runners *r = arg;

	(void)pthread_mutex_lock(&r->lock);
	for (;;) {
		void *next;

		r->idle++;
		while (r->queued == 0)
			(void)pthread_cond_wait(&r->more, &r->lock);
		r->idle--;
		next = r->queue[r->first];
		r->first = (r->first + 1) % r->max;
		r->queued--;
		(void)pthread_mutex_unlock(&r->lock);
		r->run(next);
		(void)pthread_mutex_lock(&r->lock);
	}
	return NULL;
}

static void start_thread(struct runners *r)
{
	pthread_attr_t attr;
	pthread_t thread;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, STACK);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r->threads += pthread_create(&thread, &attr, serve, r) == 0;
	(void)pthread_attr_destroy(&attr);
}

int runners_submit(struct runners *r, void *arg)
{
	int code = -EAGAIN;

	(void)pthread_mutex_lock(&r->lock);
	if (r->queued >= r->idle && r->threads < r->max)
		start_thread(r); /* when it cannot be had, one of the others gets to it */
	if (r->queued < r->max && r->threads > 0) {
		code = 0;
		r->queue[(r->first + r->queued++) % r->max] = arg;
		(void)pthread_cond_signal(&r->more);
	}
	(void)pthread_mutex_unlock(&r->lock);
	return code;
}
