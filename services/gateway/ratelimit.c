#include "ratelimit.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "mem.h"

struct bucket {
	char key[64];
	uint64_t used_ms; /* last touched; 0: free */
	double tokens;
};
struct ratelimit {
	pthread_mutex_t lock; /* guards all below */
	uint32_t rpm;
	struct bucket buckets[RATELIMIT_KEYS];
};

struct ratelimit *ratelimit_new(uint32_t rpm)
{
	struct ratelimit *r = mem_alloc(sizeof(*r));

	r->rpm = rpm;
	(void)pthread_mutex_init(&r->lock, NULL);
	return r;
}

void ratelimit_free(struct ratelimit *r)
{
	if (!r)
		return;
	(void)pthread_mutex_destroy(&r->lock);
	free(r);
}

/* Under the lock: the key's bucket; a new one takes the place of the one unused longest. */
static struct bucket *bucket_of(struct ratelimit *r, const char *key, uint64_t now_ms)
{
	struct bucket *oldest = &r->buckets[0];

	for (size_t i = 0; i < RATELIMIT_KEYS; i++) {
		struct bucket *b = &r->buckets[i];

		if (b->used_ms != 0 && strncmp(b->key, key, sizeof(b->key) - 1) == 0)
			return b;
		if (b->used_ms < oldest->used_ms)
			oldest = b;
	}
	*oldest = (struct bucket){ .used_ms = now_ms, .tokens = r->rpm };
	(void)snprintf(oldest->key, sizeof(oldest->key), "%s", key);
	return oldest;
}

void ratelimit_set(struct ratelimit *r, uint32_t rpm)
{
	(void)pthread_mutex_lock(&r->lock);
	r->rpm = rpm;
	(void)pthread_mutex_unlock(&r->lock);
}

/* Under the lock. */
static uint32_t take(struct ratelimit *r, const char *key, uint64_t now_ms)
{
	double per_ms = r->rpm / 60000.0;
	struct bucket *b = bucket_of(r, key, now_ms);

	b->tokens += (double)(now_ms - b->used_ms) * per_ms;
	if (b->tokens > r->rpm)
		b->tokens = r->rpm;
	b->used_ms = now_ms;
	if (b->tokens < 1)
		return 1 + (uint32_t)((1 - b->tokens) / per_ms / 1000);
	b->tokens -= 1;
	return 0;
}

uint32_t ratelimit_take(struct ratelimit *r, const char *key, uint64_t now_ms)
{
	uint32_t wait_s = 0;

	(void)pthread_mutex_lock(&r->lock);
	if (r->rpm > 0)
		wait_s = take(r, key, now_ms);
	(void)pthread_mutex_unlock(&r->lock);
	return wait_s;
}
