/*
 * One request on the connection's thread: judge the head, read the body, hand it to a worker, wait, write.  With
 * http_server.c the only user of civetweb.
 */
#include <civetweb.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "clock.h"
#include "err_json.h"
#include "http_internal.h"
#include "http_probe.h"
#include "mem.h"

/* How long a hang-up may go unnoticed while a handler works. */
#define LOOK_MS 50u

bool http_write(struct http_request *rq, const void *data, size_t len)
{
	return len == 0 || mg_write(rq->conn, data, len) == (int)len;
}

static struct http_request *request_new(struct http_server *server, struct mg_connection *conn,
					const struct mg_request_info *info)
{
	struct http_request *rq = mem_alloc(sizeof(*rq));

	rq->server = server;
	rq->received_us = clock_mono_us();
	rq->conn = conn;
	rq->method = info->request_method;
	rq->remote = info->remote_addr;
	rq->remote_port = (uint16_t)info->remote_port;
	rq->server_port = (uint16_t)info->server_port;
	rq->is_http_1_0 = strcmp(info->http_version, "1.0") == 0;
	rq->header_count = (size_t)info->num_headers;
	for (size_t i = 0; i < rq->header_count; i++)
		rq->headers[i] = (struct http_pair){ info->http_headers[i].name,
						     info->http_headers[i].value };
	atomic_init(&rq->fd, -1);
	pthread_mutex_init(&rq->lock, NULL);
	http_cond_init(&rq->changed);
	return rq;
}

static void request_free(struct http_request *rq)
{
	free(rq->path);
	http_query_done(&rq->query);
	http_match_done(&rq->match);
	buf_done(&rq->body);
	buf_done(&rq->more_headers);
	buf_done(&rq->reply);
	pthread_mutex_destroy(&rq->lock);
	pthread_cond_destroy(&rq->changed);
	free(rq);
}

static bool wants_websocket(const struct http_request *rq)
{
	const char *upgrade = http_header(rq, "Upgrade");

	return upgrade && strcasestr(upgrade, "websocket");
}

/* Anything doubtful about where this request ends or what it names. */
static bool head_is_good(struct http_request *rq, const struct mg_request_info *info)
{
	const struct http_server *s = rq->server;

	if (strcmp(info->http_version, "1.1") != 0 && !rq->is_http_1_0)
		return false;
	if (http_judge_headers(rq->headers, rq->header_count, &rq->framing) < 0)
		return false;
	if (s->trusts_parser && !http_head_is_whole(rq->headers, rq->header_count))
		return false;
	return !wants_websocket(rq) && http_parse_path(info->request_uri, &rq->path) == 0 &&
	       http_parse_query(info->query_string, &rq->query) == 0;
}

static void find_route(struct http_request *rq)
{
	const struct http_config *config = &rq->server->config;

	rq->refusal = 404;
	for (size_t i = 0; i < config->route_count; i++) {
		const struct http_route *route = &config->routes[i];

		bool is_rest = http_pattern_is_rest(route->pattern);

		/* What takes the rest makes no path known, and takes none that is. */
		if ((is_rest && rq->refusal == 405) ||
		    !http_match_path(route->pattern, rq->path, &rq->match))
			continue;
		if (strcmp(route->method, "*") == 0 || strcmp(route->method, rq->method) == 0) {
			rq->route = route;
			rq->refusal = 0;
			return;
		}
		http_match_done(&rq->match);
		if (!is_rest)
			rq->refusal = 405;
	}
}

static bool has_request_body(const struct http_request *rq)
{
	return rq->framing.is_chunked || rq->framing.length > 0;
}

static void judge_body(struct http_request *rq)
{
	const char *type = http_header(rq, "Content-Type");

	if (rq->refusal || !has_request_body(rq))
		return;
	if (rq->framing.length > rq->route->max_body || rq->route->max_body == 0)
		rq->refusal = 413;
	else if (!type || !http_type_is_json(type))
		rq->refusal = 415;
}

/* Both are false when the client cut the body short or framed it badly. */
static bool read_sized(struct http_request *rq)
{
	uint8_t *room = buf_grow(&rq->body, rq->framing.length);
	int n = 1;

	box_assert(room); /* judge_body() compared the length */
	while (n > 0 && rq->body.len < rq->framing.length) {
		n = mg_read(rq->conn, room + rq->body.len, rq->framing.length - rq->body.len);
		if (n > 0)
			rq->body.len += (size_t)n;
	}
	return rq->body.len == rq->framing.length;
}

static bool read_chunked(struct http_request *rq, struct http_reader *reader)
{
	size_t max = rq->route->max_body;
	int n = 1;

	rq->body.max = max + 1; /* the one byte more shows that it is too large */
	while (n > 0 && rq->body.len <= max) {
		size_t left = max + 1 - rq->body.len, step = left < 16384 ? left : 16384;

		n = mg_read(rq->conn, buf_grow(&rq->body, step), step);
		if (n > 0)
			rq->body.len += (size_t)n;
		http_reader_extend(&rq->server->readers, reader, rq->body.len);
	}
	if (rq->body.len > max)
		rq->refusal = 413;
	return n >= 0;
}

/* 0 or the status of a refusal. */
static int read_in_time(struct http_request *rq)
{
	struct http_readers *readers = &rq->server->readers;
	struct http_reader reader;
	bool is_whole;

	http_reader_enter(readers, &reader, rq, rq->framing.length);
	is_whole = rq->framing.is_chunked ? read_chunked(rq, &reader) : read_sized(rq);
	if (!http_reader_leave(readers, &reader))
		return 408;
	return is_whole ? 0 : 400;
}

/* Reads the body of a request that will be handled; leaves the connection to be closed otherwise.
 * 0 or the status of a refusal. */
static int read_body(struct http_request *rq)
{
	const char *expect = http_header(rq, "Expect");

	if (!has_request_body(rq))
		return 0;
	/* Chunks are the part of the parser with the most history: never another request behind
	 * them. */
	rq->must_close = rq->refusal || rq->framing.is_chunked;
	if (rq->refusal)
		return 0;
	if (expect && strcasecmp(expect, "100-continue") == 0 &&
	    !http_write(rq, "HTTP/1.1 100 Continue\r\n\r\n", 25))
		return 400;
	rq->body.max = rq->route->max_body;
	return read_in_time(rq);
}

/* False: it has answered, and the body stays unread. */
static bool passes_guard(struct http_request *rq)
{
	const struct http_config *config = &rq->server->config;

	rq->must_close = has_request_body(rq);
	return !config->guard || config->guard(rq, config->service);
}

/* 0 or the status of a refusal. */
static int read_request(struct http_request *rq, const struct mg_request_info *info)
{
	if (!head_is_good(rq, info))
		return 400;
	if (!passes_guard(rq))
		return 0;
	find_route(rq);
	judge_body(rq);
	return read_body(rq);
}

/* Until there is something to write.  Looks after the client every LOOK_MS, so quick handlers cost
 * no look. */
static void wait_answer(struct http_request *rq)
{
	pthread_mutex_lock(&rq->lock);
	while (!rq->is_answered && !rq->stream) {
		struct timespec until;

		clock_abs_after(LOOK_MS, &until);
		if (pthread_cond_timedwait(&rq->changed, &rq->lock, &until) != ETIMEDOUT)
			continue;
		if (http_socket_is_gone(rq))
			gone_call_run(&rq->gone, &rq->lock, &rq->changed);
	}
	pthread_mutex_unlock(&rq->lock);
}

static void wait_handler(struct http_request *rq)
{
	pthread_mutex_lock(&rq->lock);
	while (!rq->is_done)
		pthread_cond_wait(&rq->changed, &rq->lock);
	pthread_mutex_unlock(&rq->lock);
}

static void answer(struct http_request *rq)
{
	if (rq->is_answered) { /* by the guard */
		rq->must_close |= !http_write(rq, rq->reply.data, rq->reply.len);
		return;
	}
	http_submit(rq);
	wait_answer(rq);
	if (rq->stream)
		http_stream_run(rq);
	else if (!http_write(rq, rq->reply.data, rq->reply.len))
		rq->must_close = true;
	wait_handler(rq);
}

/* Without a worker and without a look at the request. */
static void refuse(struct http_request *rq, int status, enum err_code code, const char *text)
{
	struct buf reply BOX_CLEANUP(buf_done) = BUF_INIT(64u * 1024);
	struct buf body BOX_CLEANUP(buf_done) = BUF_INIT(16u * 1024);
	struct err err = { 0 };

	(void)err_set(&err, code, "%s", text);
	err_add_problem(&body, &err, status);
	rq->must_close = true;
	http_add_head(rq, status, "application/problem+json", &reply);
	buf_printf(&reply, "Content-Length: %zu\r\n\r\n", body.len);
	buf_add(&reply, body.data, body.len);
	(void)http_write(rq, reply.data, reply.len);
}

static bool enter(struct http_request *rq)
{
	struct http_server *s = rq->server;
	bool may_enter;

	pthread_mutex_lock(&s->lock);
	may_enter = !atomic_load(&s->is_stopping);
	if (may_enter) {
		s->active++;
		rq->next_served = s->served;
		rq->at_served = &s->served;
		if (s->served)
			s->served->at_served = &rq->next_served;
		s->served = rq;
	}
	pthread_mutex_unlock(&s->lock);
	return may_enter;
}

static void leave(struct http_request *rq)
{
	struct http_server *s = rq->server;

	pthread_mutex_lock(&s->lock);
	s->active--;
	*rq->at_served = rq->next_served;
	if (rq->next_served)
		rq->next_served->at_served = rq->at_served;
	if (s->active == 0 && atomic_load(&s->is_stopping))
		pthread_cond_broadcast(&s->is_idle);
	pthread_mutex_unlock(&s->lock);
}

static void serve(struct http_request *rq, const struct mg_request_info *info)
{
	int status;

	if (!enter(rq)) {
		http_add_header(rq, "Retry-After", "1");
		refuse(rq, 503, ERR_UNAVAILABLE, "the server stops");
		return;
	}
	status = read_request(rq, info);
	if (status == 0)
		answer(rq);
	else if (status == 408)
		refuse(rq, 408, ERR_DEADLINE, "the body came too slowly");
	else
		refuse(rq, 400, ERR_INVALID, "malformed request");
	leave(rq);
}

int http_on_connection(const struct mg_connection *conn, void **ret_data)
{
	*ret_data = NULL;
	http_client_waits(mg_get_user_data(mg_get_context(conn)));
	return 0;
}

void http_on_disconnection(const struct mg_connection *conn)
{
	http_client_waits_no_more(mg_get_user_data(mg_get_context(conn)));
}

int http_on_request(struct mg_connection *conn)
{
	const struct mg_request_info *info = mg_get_request_info(conn);
	struct http_server *server = info->user_data;
	struct http_request *rq = request_new(server, conn, info);

	http_client_waits_no_more(server);
	if (!http_probe_answer(server, rq, info->request_uri))
		serve(rq, info);
	http_client_waits(server);
	if (rq->must_close)
		mg_disable_connection_keep_alive(conn);
	request_free(rq);
	return 200; /* answered: civetweb shall do nothing on its own */
}
