#include "http_server.h"

#include <civetweb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include "http_internal.h"
#include "http_probe.h"
#include "log.h"
#include "mem.h"

#define SPARE_FDS 64u

static int on_library_message(const struct mg_connection *conn, const char *message)
{
	(void)conn;
	log_debug("http.library_spoke", F_STR("text", message));
	return 1;
}

static void *on_thread_start(const struct mg_context *ctx, int kind)
{
	struct http_server *s = mg_get_user_data(ctx);

	(void)kind;
	http_nudge_sign_in(&s->nudge);
	return NULL;
}

static void on_thread_end(const struct mg_context *ctx, int kind, void *unused)
{
	struct http_server *s = mg_get_user_data(ctx);

	(void)kind;
	(void)unused;
	http_nudge_sign_out(&s->nudge);
}

/* Nothing may be under way: a nudge may interrupt what is. */
static void stop_library(struct http_server *s)
{
	bool is_nudging = http_nudge_start(&s->nudge);

	mg_stop(s->ctx);
	s->ctx = NULL;
	if (is_nudging)
		http_nudge_stop(&s->nudge);
}

static bool start_library(struct http_server *s, bool keep_alive)
{
	static const struct mg_callbacks callbacks = { .init_connection = http_on_connection,
						       .connection_close = http_on_disconnection,
						       .begin_request = http_on_request,
						       .init_thread = on_thread_start,
						       .exit_thread = on_thread_end,
						       .log_message = on_library_message };
	char threads[16];
	const char *options[] = {
		"listening_ports",
		s->config.listen,
		"num_threads",
		threads,
		"enable_keep_alive",
		keep_alive ? "yes" : "no",
		"keep_alive_timeout_ms",
		"15000",
		"request_timeout_ms",
		"10000", /* also for a stalled reader, and the whole head; bodies: http_readers.h */
		"tcp_nodelay",
		"1",
		"max_request_size",
		"16384",
		"decode_url",
		"no", /* else %00 cuts the path; http_parse_path() decodes */
		"enable_directory_listing",
		"no",
		"access_control_allow_origin",
		"", /* the library's default is "*" */
		"access_control_allow_methods",
		"",
		"access_control_allow_headers",
		"",
		NULL,
	};

	(void)snprintf(threads, sizeof(threads), "%u", s->config.threads);
	s->trusts_parser = keep_alive;
	s->ctx = mg_start(&callbacks, s, options);
	return s->ctx != NULL;
}

static int read_port(struct http_server *s, struct err *err)
{
	struct mg_server_port ports[1];

	if (mg_get_server_ports(s->ctx, 1, ports) != 1)
		return err_set(err, ERR_INTERNAL, "the HTTP server has no port");
	s->port = (uint16_t)ports[0].port;
	return 0;
}

/* civetweb's accept loop spins when descriptors run out, so there must be enough for a full house.
 */
static int reserve_fds(uint32_t threads, struct err *err)
{
	rlim_t need = threads + SPARE_FDS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_max < need)
		return err_set(err, ERR_INTERNAL, "RLIMIT_NOFILE must allow %llu open files",
			       (unsigned long long)need);
	if (limit.rlim_cur >= need)
		return 0;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	return 0;
}

static int start_listening(struct http_server *s, struct err *err)
{
	int r;

	if (!start_library(s, true))
		return err_set(err, ERR_UNAVAILABLE, "%s cannot be listened on", s->config.listen);
	r = read_port(s, err);
	if (r < 0 || http_probe(s))
		return r;
	log_warn("http.parser_unknown", F_STR("remedy", "keep-alive is off"),
		 F_STR("library", mg_version()));
	stop_library(s);
	if (!start_library(s, false))
		return err_set(err, ERR_UNAVAILABLE, "%s cannot be listened on", s->config.listen);
	return read_port(s, err);
}

int http_server_start(const struct http_config *config, struct http_server **ret, struct err *err)
{
	struct http_server *s;
	int r = reserve_fds(config->threads, err);

	if (r < 0)
		return r;
	(void)mg_init_library(0); /* no TLS: see docs/dependencies.md */
	s = mem_alloc(sizeof(*s));
	s->config = *config;
	s->last = &s->first;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->has_work, NULL);
	http_cond_init(&s->is_idle);
	http_nudge_init(&s->nudge);
	r = http_readers_start(&s->readers, config->body_ms, err);
	if (r == 0)
		r = http_clients_start(s, err);
	if (r == 0)
		r = http_workers_start(s, err);
	if (r == 0)
		r = start_listening(s, err);
	if (r < 0)
		http_server_stop(s);
	else
		*ret = s;
	return r;
}

/* civetweb writes nothing any more once it is told to stop, so what is under way ends before. */
static void drain(struct http_server *s)
{
	pthread_mutex_lock(&s->lock);
	atomic_store(&s->is_stopping, true);
	while (s->active)
		pthread_cond_wait(&s->is_idle, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

void http_server_stop(struct http_server *s)
{
	if (!s)
		return;
	drain(s);
	if (s->ctx)
		stop_library(s);
	http_workers_stop(s);
	http_readers_stop(&s->readers);
	http_clients_stop(s);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->has_work);
	pthread_cond_destroy(&s->is_idle);
	http_nudge_done(&s->nudge);
	free(s);
}

uint16_t http_server_port(const struct http_server *s)
{
	return s->port;
}
