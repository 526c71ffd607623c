#include "http_server.h"

#include <arpa/inet.h>
#include <civetweb.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "clock.h"
#include "http_internal.h"
#include "http_probe.h"
#include "log.h"
#include "mem.h"
#include "parse.h"

#ifdef BOX_SANITIZED /* ThreadSanitizer alone keeps most of a MiB of its own on each stack */
#define WORKER_STACK (4u * 1024 * 1024)
#else
#define WORKER_STACK (1024u * 1024)
#endif
/* How long a hang-up may go unnoticed while a handler works. */
#define LOOK_MS   50u
#define SPARE_FDS 64u

/* ---- hang-ups ---- */

void http_cond_init(pthread_cond_t *c)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
}

void gone_call_run(struct gone_call *g, pthread_mutex_t *lock, pthread_cond_t *changed)
{
	void (*fn)(void *arg) = g->fn;

	if (!fn)
		return;
	g->fn = NULL;
	g->is_running = true;
	g->runner = pthread_self();
	pthread_mutex_unlock(lock);
	fn(g->arg);
	pthread_mutex_lock(lock);
	g->is_running = false;
	pthread_cond_broadcast(changed);
}

void gone_call_clear(struct gone_call *g, pthread_mutex_t *lock, pthread_cond_t *changed)
{
	g->fn = NULL;
	while (g->is_running && !pthread_equal(g->runner, pthread_self()))
		pthread_cond_wait(changed, lock);
}

static bool address_is(const struct sockaddr_in *a, const char *ip, uint16_t port)
{
	char text[INET_ADDRSTRLEN];

	return a->sin_family == AF_INET && ntohs(a->sin_port) == port &&
	       (!ip ||
		(inet_ntop(AF_INET, &a->sin_addr, text, sizeof(text)) && strcmp(text, ip) == 0));
}

static bool fd_is_of(int fd, const struct http_request *rq)
{
	struct sockaddr_in peer = { 0 }, own = { 0 };
	socklen_t peer_len = sizeof(peer), own_len = sizeof(own);

	return getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0 &&
	       getsockname(fd, (struct sockaddr *)&own, &own_len) == 0 &&
	       address_is(&peer, rq->remote, rq->remote_port) &&
	       address_is(&own, NULL, rq->server_port);
}

/* civetweb does not give its descriptor away, so it is looked up by its two ends.  It is only
 * polled: the connection's thread holds it open as long as the request lives. */
static int find_fd(const struct http_request *rq)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	int found = -2;

	if (!dir)
		return found;
	while (found < 0 && (entry = readdir(dir))) {
		uint64_t fd;

		if (parse_u64(entry->d_name, 0, INT32_MAX, &fd) == 0 && fd_is_of((int)fd, rq))
			found = (int)fd;
	}
	closedir(dir);
	return found;
}

bool http_socket_is_gone(struct http_request *rq)
{
	struct pollfd p = { .events = POLLRDHUP };
	int fd = atomic_load(&rq->fd);

	if (fd == -1) {
		fd = find_fd(rq);
		atomic_store(&rq->fd, fd);
	}
	p.fd = fd;
	return fd >= 0 && poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* ---- one request, on the connection's thread ---- */

bool http_write(struct http_request *rq, const void *data, size_t len)
{
	return len == 0 || mg_write(rq->conn, data, len) == (int)len;
}

static struct http_request *request_new(struct http_server *server, struct mg_connection *conn,
					const struct mg_request_info *info)
{
	struct http_request *rq = mem_alloc(sizeof(*rq));

	rq->server = server;
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

static void add_allowed(struct http_request *rq)
{
	struct buf methods BOX_CLEANUP(buf_done) = BUF_INIT(1024);
	const struct http_config *config = &rq->server->config;

	for (size_t i = 0; i < config->route_count; i++) {
		struct http_match match = { 0 };

		if (!http_match_path(config->routes[i].pattern, rq->path, &match))
			continue;
		http_match_done(&match);
		if (methods.len)
			buf_add_str(&methods, ", ");
		buf_add_str(&methods, config->routes[i].method);
	}
	http_add_header(rq, "Allow", buf_str(&methods));
}

static void find_route(struct http_request *rq)
{
	const struct http_config *config = &rq->server->config;

	rq->refusal = 404;
	for (size_t i = 0; i < config->route_count; i++) {
		const struct http_route *route = &config->routes[i];

		if (!http_match_path(route->pattern, rq->path, &rq->match))
			continue;
		if (strcmp(route->method, "*") == 0 || strcmp(route->method, rq->method) == 0) {
			rq->route = route;
			rq->refusal = 0;
			return;
		}
		http_match_done(&rq->match);
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

static bool read_chunked(struct http_request *rq)
{
	size_t max = rq->route->max_body;
	int n = 1;

	rq->body.max = max + 1; /* the one byte more shows that it is too large */
	while (n > 0 && rq->body.len <= max) {
		size_t left = max + 1 - rq->body.len, step = left < 16384 ? left : 16384;

		n = mg_read(rq->conn, buf_grow(&rq->body, step), step);
		if (n > 0)
			rq->body.len += (size_t)n;
	}
	if (rq->body.len > max)
		rq->refusal = 413;
	return n >= 0;
}

/* Reads the body of a request that will be handled; leaves the connection to be closed otherwise.
 */
static bool read_body(struct http_request *rq)
{
	const char *expect = http_header(rq, "Expect");

	if (!has_request_body(rq))
		return true;
	/* Chunks are the part of the parser with the most history: never another request behind
	 * them. */
	rq->must_close |= rq->refusal || rq->framing.is_chunked;
	if (rq->refusal)
		return true;
	if (expect && strcasecmp(expect, "100-continue") == 0 &&
	    !http_write(rq, "HTTP/1.1 100 Continue\r\n\r\n", 25))
		return false;
	rq->body.max = rq->route->max_body;
	return rq->framing.is_chunked ? read_chunked(rq) : read_sized(rq);
}

static bool read_request(struct http_request *rq, const struct mg_request_info *info)
{
	if (!head_is_good(rq, info))
		return false;
	find_route(rq);
	judge_body(rq);
	return read_body(rq);
}

static void submit(struct http_request *rq)
{
	struct http_server *s = rq->server;

	pthread_mutex_lock(&s->lock);
	*s->last = rq;
	s->last = &rq->next;
	pthread_cond_signal(&s->has_work);
	pthread_mutex_unlock(&s->lock);
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
	submit(rq);
	wait_answer(rq);
	if (rq->stream)
		http_stream_run(rq);
	else if (!http_write(rq, rq->reply.data, rq->reply.len))
		rq->must_close = true;
	wait_handler(rq);
}

/* Without a worker and without a look at the request. */
static void refuse(struct http_request *rq, int status, const char *body)
{
	struct buf reply BOX_CLEANUP(buf_done) = BUF_INIT(64u * 1024);

	rq->must_close = true;
	http_add_head(rq, status, "application/problem+json", &reply);
	buf_printf(&reply, "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
	(void)http_write(rq, reply.data, reply.len);
}

static bool enter(struct http_server *s)
{
	bool may_enter;

	pthread_mutex_lock(&s->lock);
	may_enter = !atomic_load(&s->is_stopping);
	s->active += may_enter;
	pthread_mutex_unlock(&s->lock);
	return may_enter;
}

static void leave(struct http_server *s)
{
	pthread_mutex_lock(&s->lock);
	s->active--;
	if (s->active == 0 && atomic_load(&s->is_stopping))
		pthread_cond_broadcast(&s->is_idle);
	pthread_mutex_unlock(&s->lock);
}

static void serve(struct http_request *rq, const struct mg_request_info *info)
{
	if (!enter(rq->server)) {
		http_add_header(rq, "Retry-After", "1");
		refuse(rq, 503, "{\"detail\":\"the server stops\",\"code\":\"unavailable\"}");
		return;
	}
	if (read_request(rq, info))
		answer(rq);
	else
		refuse(rq, 400, "{\"detail\":\"malformed request\",\"code\":\"invalid\"}");
	leave(rq->server);
}

static int on_request(struct mg_connection *conn)
{
	const struct mg_request_info *info = mg_get_request_info(conn);
	struct http_server *server = info->user_data;
	struct http_request *rq = request_new(server, conn, info);

	if (!http_probe_answer(server, rq, info->request_uri))
		serve(rq, info);
	if (rq->must_close)
		mg_disable_connection_keep_alive(conn);
	request_free(rq);
	return 200; /* answered: civetweb shall do nothing on its own */
}

/* ---- workers ---- */

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
	const struct http_config *config = &rq->server->config;

	if (config->guard && !config->guard(rq, config->service))
		return;
	if (rq->refusal)
		answer_refusal(rq);
	else
		rq->route->handler(rq, config->service, rq->route->arg);
}

static void finish(struct http_request *rq)
{
	bool is_silent;

	pthread_mutex_lock(&rq->lock);
	is_silent = !rq->is_answered && !rq->stream;
	pthread_mutex_unlock(&rq->lock);
	if (is_silent) {
		struct err err = { 0 };

		log_error("http.handler_silent", F_STR("path", rq->path));
		(void)err_set(&err, ERR_INTERNAL, "no answer was made");
		http_respond_err(rq, &err);
	}
	pthread_mutex_lock(&rq->lock);
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

static int start_workers(struct http_server *s, struct err *err)
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

static void stop_workers(struct http_server *s)
{
	pthread_mutex_lock(&s->lock);
	s->is_drained = true;
	pthread_cond_broadcast(&s->has_work);
	pthread_mutex_unlock(&s->lock);
	for (uint32_t i = 0; i < s->workers_started; i++)
		(void)pthread_join(s->workers[i], NULL);
	free(s->workers);
}

/* ---- civetweb ---- */

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
	static const struct mg_callbacks callbacks = { .begin_request = on_request,
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
		"10000", /* also for a stalled reader, and the whole head */
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
	r = start_workers(s, err);
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
	stop_workers(s);
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
