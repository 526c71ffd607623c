/* The workers: a queue, and threads that run handlers. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "http_internal.h"
#include "log.h"
#include "mem.h"

#ifdef BOX_SANITIZED /* ThreadSanitizer alone keeps most of a MiB of its own on each stack */
#define WORKER_STACK (4u * 1024 * 1024)
#else
#define WORKER_STACK (1024u * 1024)
#endif

void http_submit(struct http_request *rq)
{
	struct http_server *s = rq->server;

	pthread_mutex_lock(&s->lock);
	*s->last = rq;
	s->last = &rq->next;
	pthread_mutex_unlock(&s->lock);
	/* Behind the lock: the worker would else only wait for it. */
	pthread_cond_signal(&s->has_work);
}

static void add_allowed(struct http_request *rq)
{
	struct buf methods BOX_CLEANUP(buf_done) = BUF_INIT(1024);
	const struct http_config *config = &rq->server->config;

	for (size_t i = 0; i < config->route_count; i++) {
		struct http_match match = { 0 };

		if (http_pattern_is_rest(config->routes[i].pattern) ||
		    !http_match_path(config->routes[i].pattern, rq->path, &match))
			continue;
		http_match_done(&match);
		if (methods.len)
			buf_add_str(&methods, ", ");
		buf_add_str(&methods, config->routes[i].method);
	}
	http_add_header(rq, "Allow", buf_str(&methods));
}

static void answer_refusal(struct http_request *rq)
{
	static const struct refusal {
		int status;
		enum err_code code;
		const char *text;
	} refusals[] = {
		{ 404, ERR_NOT_FOUND, "there is nothing here" },
		{ 405, ERR_INVALID, "this method is not allowed here" },
		{ 413, ERR_TOO_LARGE, "the body is larger than allowed here" },
		{ 415, ERR_INVALID, "the body must be application/json" },
	};
	struct err err = { 0 };

	if (rq->refusal == 405)
		add_allowed(rq);
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		if (refusals[i].status != rq->refusal)
			continue;
		(void)err_set(&err, refusals[i].code, "%s", refusals[i].text);
		http_respond_problem(rq, rq->refusal, &err);
	}
}

static void handle(struct http_request *rq)
{
	if (rq->refusal)
		answer_refusal(rq);
	else
		rq->route->handler(rq, rq->server->config.service, rq->route->arg);
}

static void answer_for_silent(struct http_request *rq)
{
	struct err err = { 0 };

	log_error("http.handler_silent", F_STR("path", rq->path));
	(void)err_set(&err, ERR_INTERNAL, "no answer was made");
	http_respond_err(rq, &err);
}

/* The one wake-up of the connection's thread, which writes the answer and then frees the request. */
static void finish(struct http_request *rq)
{
	bool is_silent;

	pthread_mutex_lock(&rq->lock);
	is_silent = !rq->is_answered && !rq->stream;
	if (is_silent) {
		pthread_mutex_unlock(&rq->lock);
		answer_for_silent(rq);
		pthread_mutex_lock(&rq->lock);
	}
	rq->is_done = true;
	pthread_cond_broadcast(&rq->changed);
	pthread_mutex_unlock(&rq->lock);
}

/* NULL: the server stops and nothing waits. */
static struct http_request *next_request(struct http_server *s)
{
	struct http_request *rq;

	pthread_mutex_lock(&s->lock);
	while (!s->first && !s->is_drained)
		pthread_cond_wait(&s->has_work, &s->lock);
	rq = s->first;
	if (rq) {
		s->first = rq->next;
		if (!s->first)
			s->last = &s->first;
	}
	pthread_mutex_unlock(&s->lock);
	return rq;
}

static void *worker_main(void *arg)
{
	struct http_request *rq;

	while ((rq = next_request(arg))) {
		handle(rq);
		finish(rq);
	}
	return NULL;
}

int http_workers_start(struct http_server *s, struct err *err)
{
	pthread_attr_t attr;
	int r = 0;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, WORKER_STACK);
	s->workers = mem_alloc_array(s->config.workers, sizeof(*s->workers));
	for (; r == 0 && s->workers_started < s->config.workers; s->workers_started += r == 0)
		r = pthread_create(&s->workers[s->workers_started], &attr, worker_main, s);
	pthread_attr_destroy(&attr);
	return r ? err_set(err, ERR_INTERNAL, "threads cannot be started: %s", strerrorname_np(r))
		 : 0;
}

void http_workers_stop(struct http_server *s)
{
	pthread_mutex_lock(&s->lock);
	s->is_drained = true;
	pthread_cond_broadcast(&s->has_work);
	pthread_mutex_unlock(&s->lock);
	for (uint32_t i = 0; i < s->workers_started; i++)
		(void)pthread_join(s->workers[i], NULL);
	free(s->workers);
}
