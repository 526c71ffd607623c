#include "resolve.h"

#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "mem.h"

#define THREADS     8
#define QUEUE_MAX   256
#define CACHE_SLOTS 256
#define CACHE_S     10u /* at most; short, so that moves are seen */

struct resolve {
	struct resolver *resolver;
	struct resolve *next; /* queue */
	char host[HOST_NAME_MAX_LEN + 1];
	resolve_done *done; /* loop thread; NULL: nobody waits any more */
	void *arg;
	struct loop_timer timer;
	struct resolved answer; /* the worker's until it posts, like ttl_s and err */
	uint32_t ttl_s;
	struct err err;
};

struct cached {
	char host[HOST_NAME_MAX_LEN + 1];
	struct resolved answer;
	uint64_t until_us;
};

struct resolver {
	struct loop *loop;
	const struct pinned *pinned;
	struct dns_server server;
	struct cached *cache; /* loop thread; slot by hash of the name */

	pthread_t threads[THREADS];
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct resolve *queue, **queue_end; /* lock */
	size_t queued;                      /* lock */
	bool is_stopping;                   /* lock */
};

/* ---- on the threads ---- */

static int too_many(struct err *err)
{
	return err_set(err, ERR_DENIED, "the name has more than %d addresses", RESOLVE_MAX);
}

static int take_addresses(const struct addrinfo *list, struct resolved *ret, struct err *err)
{
	uint16_t port;

	for (const struct addrinfo *ai = list; ai; ai = ai->ai_next) {
		if (ret->count == RESOLVE_MAX)
			return too_many(err);
		if (address_from_sockaddr(ai->ai_addr, ai->ai_addrlen, &ret->addresses[ret->count],
					  &port) == 0)
			ret->count++;
	}
	return ret->count > 0 ? 0 : err_set(err, ERR_NOT_FOUND, "the name has no address");
}

static int ask_host(const char *host, struct resolved *ret, struct err *err)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	int r = getaddrinfo(host, NULL, &hints, &list);

	if (r == EAI_AGAIN || r == EAI_SYSTEM || r == EAI_MEMORY)
		return err_set(err, ERR_UNAVAILABLE, "the resolver does not answer");
	if (r != 0)
		return err_set(err, ERR_NOT_FOUND, "the name does not resolve");
	r = take_addresses(list, ret, err);
	freeaddrinfo(list);
	return r;
}

static int ask_server(const struct dns_server *server, struct resolve *q)
{
	struct dns_answer a = { .addresses = q->answer.addresses, .max = RESOLVE_MAX };
	int r = dns_look_up(server, q->host, &a, &q->err);

	if (r == 0 && a.is_over)
		r = too_many(&q->err);
	if (r < 0)
		return r;
	q->answer.count = a.count;
	q->ttl_s = a.ttl_s;
	return 0;
}

static void look_up(const struct resolver *r, struct resolve *q)
{
	q->ttl_s = CACHE_S; /* getaddrinfo tells none */
	if (r->server.address.len > 0)
		(void)ask_server(&r->server, q);
	else
		(void)ask_host(q->host, &q->answer, &q->err);
}

static void on_answer(void *arg);

static struct resolve *take_job(struct resolver *r)
{
	struct resolve *q;

	(void)pthread_mutex_lock(&r->lock);
	while (!r->queue && !r->is_stopping)
		(void)pthread_cond_wait(&r->wake, &r->lock);
	q = r->is_stopping ? NULL : r->queue;
	if (q) {
		r->queue = q->next;
		if (!r->queue)
			r->queue_end = &r->queue;
		r->queued--;
	}
	(void)pthread_mutex_unlock(&r->lock);
	return q;
}

static void *worker(void *arg)
{
	struct resolver *r = arg;
	struct resolve *q;

	while ((q = take_job(r))) {
		look_up(r, q);
		loop_post(r->loop, on_answer, q);
	}
	return NULL;
}

/* ---- on the loop ---- */

static struct cached *cache_slot(struct resolver *r, const char *host)
{
	uint32_t h = 2166136261u;

	for (; *host; host++)
		h = (h ^ (uint8_t)*host) * 16777619u;
	return &r->cache[h % CACHE_SLOTS];
}

static void cache_store(struct resolver *r, const struct resolve *q)
{
	struct cached *c = cache_slot(r, q->host);
	uint64_t keep_s = q->ttl_s < CACHE_S ? q->ttl_s : CACHE_S;

	memcpy(c->host, q->host, sizeof(c->host));
	c->answer = q->answer;
	c->until_us = clock_mono_us() + keep_s * 1000 * 1000;
}

static const struct resolved *cache_find(struct resolver *r, const char *host)
{
	const struct cached *c = cache_slot(r, host);

	return strcmp(c->host, host) == 0 && clock_mono_us() < c->until_us ? &c->answer : NULL;
}

static void on_answer(void *arg)
{
	struct resolve *q = arg;

	loop_timer_clear(q->resolver->loop, &q->timer);
	if (q->answer.count > 0 && !q->err.code)
		cache_store(q->resolver, q);
	if (q->done)
		q->done(q->arg, q->err.code ? NULL : &q->answer, &q->err);
	free(q);
}

/* The thread may hang in the lookup for longer; its answer is then thrown away. */
static void on_timeout(void *arg)
{
	struct resolve *q = arg;
	resolve_done *done = TAKE(q->done);
	struct err err = { 0 };

	(void)err_set(&err, ERR_DEADLINE, "the resolver does not answer");
	if (done)
		done(q->arg, NULL, &err);
}

static bool enqueue(struct resolver *r, struct resolve *q)
{
	bool has_room;

	(void)pthread_mutex_lock(&r->lock);
	has_room = r->queued < QUEUE_MAX;
	if (has_room) {
		*r->queue_end = q;
		r->queue_end = &q->next;
		r->queued++;
		(void)pthread_cond_signal(&r->wake);
	}
	(void)pthread_mutex_unlock(&r->lock);
	return has_room;
}

static struct resolve *ask_resolver(struct resolver *r, const struct host *host, resolve_done *done,
				    void *arg)
{
	struct resolve *q = mem_alloc(sizeof(*q));
	struct err err = { 0 };

	q->resolver = r;
	q->done = done;
	q->arg = arg;
	memcpy(q->host, host->text, sizeof(q->host));
	if (!enqueue(r, q)) {
		free(q);
		(void)err_set(&err, ERR_BUSY, "too many names are being looked up");
		done(arg, NULL, &err);
		return NULL;
	}
	loop_timer_set(r->loop, &q->timer, RESOLVE_TIMEOUT_MS * 1000u, on_timeout, q);
	return q;
}

static bool find_pinned(const struct resolver *r, const struct host *host, uint16_t port,
			struct resolved *ret)
{
	const struct pin *pins[RESOLVE_MAX];
	size_t n = pinned_find(r->pinned, host, port, pins, RESOLVE_MAX);

	*ret = (struct resolved){ .is_pinned = true };
	for (size_t i = 0; i < n; i++) {
		/* One connection goes to one port: the first pin says which. */
		if (i == 0)
			ret->to_port = pins[i]->to_port;
		if (pins[i]->to_port == ret->to_port)
			ret->addresses[ret->count++] = pins[i]->address;
	}
	return ret->count > 0;
}

struct resolve *resolve_start(struct resolver *r, const struct host *host, uint16_t port,
			      resolve_done *done, void *arg)
{
	const struct resolved *cached;
	struct resolved answer;

	if (find_pinned(r, host, port, &answer)) {
		done(arg, &answer, NULL);
		return NULL;
	}
	if (host->kind != HOST_IS_NAME) {
		answer = (struct resolved){ .count = 1, .addresses = { host->address } };
		done(arg, &answer, NULL);
		return NULL;
	}
	cached = cache_find(r, host->text);
	if (!cached)
		return ask_resolver(r, host, done, arg);
	answer = *cached;
	done(arg, &answer, NULL);
	return NULL;
}

void resolve_cancel(struct resolve *q)
{
	loop_timer_clear(q->resolver->loop, &q->timer);
	q->done = NULL;
}

struct resolver *resolver_new(struct loop *l, const struct pinned *pinned,
			      const struct dns_server *server)
{
	struct resolver *r = mem_alloc(sizeof(*r));

	/* No search domains: a name is asked for as it was granted.  Two tries of one second each.
	 */
	(void)setenv("LOCALDOMAIN", "", 1);
	(void)setenv("RES_OPTIONS", "timeout:1 attempts:2 ndots:0", 1);
	r->loop = l;
	r->pinned = pinned;
	r->server = *server;
	r->cache = mem_alloc_array(CACHE_SLOTS, sizeof(*r->cache));
	r->queue_end = &r->queue;
	(void)pthread_mutex_init(&r->lock, NULL);
	(void)pthread_cond_init(&r->wake, NULL);
	for (size_t i = 0; i < THREADS; i++)
		if (pthread_create(&r->threads[i], NULL, worker, r) != 0)
			box_bug("no thread for the resolver");
	return r;
}

void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	(void)pthread_mutex_lock(&r->lock);
	r->is_stopping = true;
	(void)pthread_cond_broadcast(&r->wake);
	(void)pthread_mutex_unlock(&r->lock);
	for (size_t i = 0; i < THREADS; i++)
		(void)pthread_join(r->threads[i], NULL);
	while (r->queue) {
		struct resolve *q = r->queue;

		r->queue = q->next;
		free(q);
	}
	(void)pthread_mutex_destroy(&r->lock);
	(void)pthread_cond_destroy(&r->wake);
	free(r->cache);
	free(r);
}
