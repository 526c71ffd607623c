#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/socket.h>
#include <unistd.h>
#include "test.h"
#include "buf.h"
#include "cleanup.h"
#include "clock.h"
#include "crypto.h"
#include "http_server.h"
#include "json.h"
#include "log.h"
#include "mem.h"

static struct http_server *server;
static struct http_stream *stream;
static sem_t entered, may_leave, was_gone;

/* ---- handlers ---- */

static void handle_hello(struct http_request *rq, void *service, const void *arg)
{
	(void)service;
	http_respond(rq, 200, "text/plain", arg, strlen(arg));
}

static void handle_echo(struct http_request *rq, void *service, const void *arg)
{
	size_t len;
	const void *body = http_body(rq, &len);

	(void)service;
	(void)arg;
	http_add_header(rq, "X-Id", http_param(rq, "id"));
	http_add_header(rq, "X-Query", http_query(rq, "q") ? http_query(rq, "q") : "-");
	http_respond(rq, 201, "application/json", body, len);
}

static void handle_stale(struct http_request *rq, void *service, const void *arg)
{
	struct err err = { 0 };

	(void)service;
	(void)arg;
	(void)err_set_field(&err, ERR_STALE, "revision", "read it again", "it \"moved\" on");
	err.current_json = mem_strdup("{\"revision\":2}");
	http_respond_err(rq, &err);
	err_done(&err);
}

static void handle_silent(struct http_request *rq, void *service, const void *arg)
{
	(void)rq;
	(void)service;
	(void)arg;
}

static void on_gone(void *arg)
{
	sem_post(arg);
}

static void handle_slow(struct http_request *rq, void *service, const void *arg)
{
	(void)service;
	(void)arg;
	http_on_gone(rq, on_gone, &was_gone);
	sem_post(&entered);
	sem_wait(&may_leave);
	http_respond(rq, 200, "text/plain", http_client_gone(rq) ? "gone" : "here", 4);
}

static void handle_deep(struct http_request *rq, void *service, const void *arg)
{
	volatile char deep[700 * 1024]; /* far beyond civetweb's own stacks */

	(void)service;
	(void)arg;
	for (size_t i = 0; i < sizeof(deep); i += 4096)
		deep[i] = 1;
	http_respond(rq, 200, "text/plain", "ok", deep[0] == 1 ? 2 : 0);
}

static void handle_stream(struct http_request *rq, void *service, const void *arg)
{
	struct http_stream *s = http_stream_begin(rq, "text/event-stream", 50);

	(void)service;
	(void)arg;
	if (!s)
		return;
	http_stream_on_gone(s, on_gone, &was_gone);
	(void)http_stream_send(s, "data: 1\n\n", 9);
	stream = s;
	sem_post(&entered);
}

static bool guard(struct http_request *rq, void *service)
{
	const char *host = http_header(rq, "Host");

	(void)service;
	if (strcmp(host, "evil") != 0)
		return true;
	http_respond(rq, 403, "text/plain", "no", 2);
	return false;
}

static const struct http_route routes[] = {
	{ "GET", "/hello", handle_hello, "hello", 0 },
	{ "POST", "/hello", handle_hello, "posted", 16 },
	{ "POST", "/echo/{id}", handle_echo, NULL, 100000 },
	{ "GET", "/stale", handle_stale, NULL, 0 },
	{ "GET", "/silent", handle_silent, NULL, 0 },
	{ "GET", "/slow", handle_slow, NULL, 0 },
	{ "GET", "/deep", handle_deep, NULL, 0 },
	{ "GET", "/stream", handle_stream, NULL, 0 },
};

static const char *const headers[] = { "X-Frame-Options", "DENY", NULL };

static const struct http_config config = {
	.listen = "127.0.0.1:0",
	.routes = routes,
	.route_count = ARRAY_LEN(routes),
	.threads = 8,
	.workers = 3,
	.max_streams = 2,
	.guard = guard,
	.headers = headers,
	.body_ms = 300,
};

/* ---- a client that says what it wants ---- */

/* From 127.0.0.`host`: another client for each. */
static int dial_from(unsigned host)
{
	struct sockaddr_in own = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl((INADDR_LOOPBACK & ~0xffu) | host) };
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(http_server_port(server)),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct timeval limit = { .tv_sec = 10 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static int dial(void)
{
	return dial_from(1);
}

static void say(int fd, const void *data, size_t len)
{
	assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), len);
}

static void say_text(int fd, const char *text)
{
	say(fd, text, strlen(text));
}

/* Reads until `needle` was seen (true) or the connection ended (false); got keeps all. */
static bool hear(int fd, struct buf *got, const char *needle)
{
	while (!needle || !got->len || !memmem(got->data, got->len, needle, strlen(needle))) {
		uint8_t *room = buf_grow(got, 65536);
		ssize_t n;

		assert_non_null(room);
		n = recv(fd, room, 65536, 0);
		if (n <= 0)
			return false;
		got->len += (size_t)n;
	}
	return true;
}

/* One request on its own connection; the answer up to the end of the connection. */
static char *ask(const char *text, size_t len)
{
	struct buf got = BUF_INIT(1 << 20);
	int fd = dial();
	size_t got_len;

	say(fd, text, len);
	(void)hear(fd, &got, NULL);
	close(fd);
	return (char *)buf_take(&got, &got_len);
}

static bool answers(const char *text, const char *status)
{
	BOX_CLEANUP(mem_freep) char *got = ask(text, strlen(text));

	return strncmp(got, "HTTP/1.1 ", 9) == 0 && strncmp(got + 9, status, 3) == 0;
}

#define END "Connection: close\r\n\r\n"

static void answers_with_its_headers(void **state)
{
	BOX_CLEANUP(mem_freep)
	char *got = ask("GET /hello HTTP/1.1\r\nHost: x\r\n" END,
			strlen("GET /hello HTTP/1.1\r\nHost: x\r\n" END));

	(void)state;
	assert_non_null(strstr(got, "HTTP/1.1 200 OK\r\n"));
	assert_non_null(strstr(got, "\r\nX-Frame-Options: DENY\r\n"));
	assert_non_null(strstr(got, "\r\nContent-Length: 5\r\n"));
	assert_non_null(strstr(got, "\r\n\r\nhello"));
	assert_null(strstr(got, "Access-Control"));
}

static void keeps_the_connection(void **state)
{
	struct buf got BOX_CLEANUP(buf_done) = BUF_INIT(1 << 20);
	BOX_CLEANUP(fd_closep) int fd = dial();

	(void)state;
	for (int i = 0; i < 20; i++) {
		buf_clear(&got);
		say_text(fd, "POST /hello HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
			     "Content-Length: 2\r\n\r\n{}");
		assert_true(hear(fd, &got, "posted"));
	}
	/* Two at once: the second is not lost. */
	buf_clear(&got);
	say_text(fd,
		 "GET /hello HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\n" END);
	assert_false(hear(fd, &got, NULL));
	assert_non_null(strstr(buf_str(&got), "hello"));
	assert_non_null(strstr(buf_str(&got), "404"));
}

static void gives_params_query_and_body(void **state)
{
	static const char text[] =
		"POST /echo/a%20b?q=x%0d%0aY:+1 HTTP/1.1\r\nHost: x\r\n"
		"Content-Type: application/json\r\nContent-Length: 7\r\n" END "[1,2,3]";
	BOX_CLEANUP(mem_freep) char *got = ask(text, sizeof(text) - 1);

	(void)state;
	assert_non_null(strstr(got, "HTTP/1.1 201 "));
	assert_non_null(strstr(got, "\r\nX-Id: a b\r\n"));
	assert_non_null(
		strstr(got, "\r\nX-Query: x  Y: 1\r\n")); /* no header of the sender's choice */
	assert_non_null(strstr(got, "\r\n\r\n[1,2,3]"));
}

static void reads_chunks_and_large_bodies(void **state)
{
	static const char chunks[] =
		"POST /echo/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
		"Transfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n";
	struct buf text BOX_CLEANUP(buf_done) = BUF_INIT(200000);
	BOX_CLEANUP(mem_freep) char *chunked = ask(chunks, sizeof(chunks) - 1);
	BOX_CLEANUP(mem_freep) char *large = NULL;

	(void)state;
	assert_non_null(strstr(chunked, "\r\n\r\n[1,2]"));
	buf_add_str(&text, "POST /echo/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
			   "Content-Length: 100000\r\n" END);
	for (int i = 0; i < 10000; i++)
		buf_add_str(&text, "1234567890");
	large = ask((char *)text.data, text.len);
	assert_int_equal(strlen(strstr(large, "\r\n\r\n")), 4 + 100000);
}

static void refuses_by_status(void **state)
{
	static const struct {
		const char *text, *status;
	} rows[] = {
		{ "GET /nothing HTTP/1.1\r\nHost: x\r\n" END, "404" },
		{ "PUT /hello HTTP/1.1\r\nHost: x\r\n" END, "405" },
		{ "POST /hello HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
		  "Content-Length: 17\r\n" END "12345678901234567",
		  "413" },
		{ "POST /hello HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
		  "Transfer-Encoding: chunked\r\n\r\n11\r\n12345678901234567\r\n0\r\n\r\n",
		  "413" },
		{ "GET /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n" END "1", "413" },
		{ "POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n" END "1", "415" },
		{ "POST /hello HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
		  "Content-Length: 1\r\n" END "1",
		  "415" },
		{ "POST /hello HTTP/1.1\r\nHost: x\r\n" END, "200" },
		{ "GET /hello HTTP/1.1\r\nHost: evil\r\n" END, "403" },
		{ "GET /nothing HTTP/1.1\r\nHost: evil\r\n" END, "403" },
		{ "GET /silent HTTP/1.1\r\nHost: x\r\n" END, "500" },
		{ "GET /hello/../hello HTTP/1.1\r\nHost: x\r\n" END, "400" },
		{ "GET /hello?%zz HTTP/1.1\r\nHost: x\r\n" END, "400" },
		{ "GET /hello HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: "
		  "Upgrade\r\n\r\n",
		  "400" },
		{ "GET /deep HTTP/1.1\r\nHost: x\r\n" END, "200" },
	};
	BOX_CLEANUP(mem_freep) char *got = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (!answers(rows[i].text, rows[i].status))
			fail_msg("not %s: %s", rows[i].status, rows[i].text);
	got = ask("PUT /hello HTTP/1.1\r\nHost: x\r\n" END,
		  strlen("PUT /hello HTTP/1.1\r\nHost: x\r\n" END));
	assert_non_null(strstr(got, "\r\nAllow: GET, POST\r\n"));
}

static void explains_refusals_as_problems(void **state)
{
	static const char text[] = "GET /stale HTTP/1.1\r\nHost: x\r\n" END;
	BOX_CLEANUP(mem_freep) char *got = ask(text, sizeof(text) - 1);

	(void)state;
	assert_non_null(strstr(got, "HTTP/1.1 409 Conflict\r\n"));
	assert_non_null(strstr(got, "Content-Type: application/problem+json\r\n"));
	assert_string_equal(
		strstr(got, "\r\n\r\n") + 4,
		"{\"type\":\"urn:mcpbox:error:stale\",\"title\":\"it was changed in the meantime\","
		"\"status\":409,\"detail\":\"it \\\"moved\\\" "
		"on\",\"code\":\"stale\",\"field\":\"revision\","
		"\"hint\":\"read it again\",\"current\":{\"revision\":2}}");
}

#define POST  "POST /hello HTTP/1.1\r\n"
#define JSON_ "Content-Type: application/json\r\n"
#define INNER "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"

/* Each would be, read another way, two requests.  There must be one answer at most, and the end. */
static void answers_smuggled_requests_once(void **state)
{
	static const char *const rows[] = {
		POST "Host: x\r\n" JSON_
		     "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" INNER,
		POST "Host: x\r\n" JSON_
		     "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" INNER,
		POST "Host: x\r\n" JSON_ "Content-Length: 0\r\nContent-Length: 35\r\n\r\n" INNER,
		POST "Host: x\r\n" JSON_ "Content-Length: 0\r\nContent-Length: 0\r\n\r\n" INNER,
		POST "Host: x\r\n" JSON_ "Content-Length: 0abc\r\n\r\n" INNER,
		POST "Host: x\r\n" JSON_ "Content-Length: +0\r\n\r\n" INNER,
		POST "Host: x\r\n" JSON_ "Content-Length: -1\r\n\r\n" INNER,
		POST "Host: x\r\n" JSON_ "Content-Length: 0, 35\r\n\r\n" INNER,
		POST "Host: x\r\n" JSON_ "Content-Length: 0x0\r\n\r\n" INNER,
		POST "Host: x\r\n" JSON_ "Content-Length:\r\n\r\n" INNER,
		POST "Host: x\r\n" JSON_ "Content-Length: 9223372036854775807\r\n\r\n" INNER,
		POST "Host: x\r\n" JSON_ "Content-Length: 18446744073709551616\r\n\r\n" INNER,
		POST "Host: x\r\n" JSON_ "Transfer-Encoding: identity\r\n\r\n" INNER,
		POST
		"Host: x\r\n" JSON_
		"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" INNER,
		POST "Host: x\r\n" JSON_ "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" INNER,
		POST "Host: x\r\n" JSON_
		     "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" INNER,
		POST "Host: x\r\n" JSON_ "Transfer-Encoding:\vchunked\r\n\r\n0\r\n\r\n" INNER,
		POST "Host: x\r\n" JSON_ "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" INNER,
		POST "Host: x\r\n" JSON_ "Content-Length : 35\r\n\r\n" INNER,
		POST "Host: x\r\n" JSON_ "Transfer-Encoding : chunked\r\n\r\n" INNER,
		POST "Host: x\n" JSON_ "Content-Length: 0\r\n\r\n" INNER,
		POST "Host: x\r\nContent-Length: 0\n\n" INNER,
		POST "Host: x\r\nX: 1\r\n folded\r\nContent-Length: 35\r\n\r\n" INNER,
		POST "Host: x\r\nX: 1\r\n\tContent-Length: 35\r\n\r\n" INNER,
		POST "Host: x\r\nX: 1\rContent-Length: 35\r\n\r\n" INNER,
		POST "\r\n" INNER,
		POST "Host: x\r\nHost: y\r\n\r\n" INNER,
		POST "Host: x\r\nBad Name: 1\r\n\r\n" INNER,
		POST "Host: x\r\n: 1\r\n\r\n" INNER,
		POST "Host: x\r\n" JSON_ "Content-Length: 17\r\n\r\n" INNER,
		("POST /hello HTTP/1.2\r\nHost: x\r\n\r\n" INNER),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		BOX_CLEANUP(mem_freep) char *got = ask(rows[i], strlen(rows[i]));
		const char *first = strstr(got, "HTTP/1.1 ");

		if (first && strstr(first + 1, "HTTP/1.1 "))
			fail_msg("two answers: %s", rows[i]);
		if (first && strncmp(first + 9, "200", 3) == 0 &&
		    !strstr(rows[i], "chunked\r\n\r\n0"))
			fail_msg("taken as good: %s", rows[i]);
	}
}

/* The parser drops what follows its 64th header: here a length that makes the second request a
 * body. */
static void notices_dropped_headers(void **state)
{
	for (unsigned count = 60; count < 70; count++) {
		struct buf text BOX_CLEANUP(buf_done) = BUF_INIT(8192);
		BOX_CLEANUP(mem_freep) char *got = NULL;

		buf_add_str(&text, POST "Host: x\r\n" JSON_);
		for (unsigned i = 2; i < count - 1; i++)
			buf_printf(&text, "X-%u: 1\r\n", i);
		buf_printf(&text, "Content-Length: %zu\r\n\r\n" INNER, strlen(INNER));
		got = ask((char *)text.data, text.len);
		assert_non_null(strstr(got, count < 64 ? "HTTP/1.1 413 " : "HTTP/1.1 400 "));
		assert_null(strstr(got + 1, "HTTP/1.1 "));
	}
	(void)state;
}

static void tells_when_the_client_leaves(void **state)
{
	int fd = dial();

	(void)state;
	say_text(fd, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
	sem_wait(&entered);
	close(fd);
	sem_wait(&was_gone);
	sem_post(&may_leave);
}

static void lets_other_requests_pass_a_slow_one(void **state)
{
	struct buf got BOX_CLEANUP(buf_done) = BUF_INIT(1 << 20);
	BOX_CLEANUP(fd_closep) int fd = dial();

	(void)state;
	say_text(fd, "GET /slow HTTP/1.1\r\nHost: x\r\n" END);
	sem_wait(&entered);
	assert_true(answers("GET /hello HTTP/1.1\r\nHost: x\r\n" END, "200"));
	sem_post(&may_leave);
	assert_true(hear(fd, &got, "here"));
	assert_int_equal(sem_trywait(&was_gone), -1);
}

static void waits_for_word_before_a_large_body(void **state)
{
	struct buf got BOX_CLEANUP(buf_done) = BUF_INIT(1 << 20);
	BOX_CLEANUP(fd_closep) int fd = dial();

	(void)state;
	say_text(fd, "POST /echo/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
		     "Expect: 100-continue\r\nContent-Length: 2\r\n" END);
	assert_true(hear(fd, &got, "100 Continue\r\n\r\n"));
	say_text(fd, "{}");
	assert_true(hear(fd, &got, "\r\n\r\n{}"));
}

/* Drips until it is answered; without a deadline that takes as many waits as there are drops. */
static void cuts_off_a_body_that_drips(void **state)
{
	static const struct {
		const char *framing, *drop;
	} rows[] = {
		{ "Content-Length: 100000\r\n\r\n", "1" },
		{ "Transfer-Encoding: chunked\r\n\r\n", "1\r\n1\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf got BOX_CLEANUP(buf_done) = BUF_INIT(1 << 20);
		BOX_CLEANUP(fd_closep) int fd = dial();
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int drops = 0;

		say_text(fd, "POST /echo/1 HTTP/1.1\r\nHost: x\r\n"
			     "Content-Type: application/json\r\n");
		say_text(fd, rows[i].framing);
		for (; drops < 1000 && poll(&p, 1, 20) == 0; drops++)
			say_text(fd, rows[i].drop);
		assert_in_range(drops, 1, 999);
		assert_false(hear(fd, &got, NULL));
		assert_non_null(strstr(buf_str(&got), "HTTP/1.1 408 Request Timeout\r\n"));
		assert_non_null(strstr(buf_str(&got), "\r\nConnection: close\r\n"));
	}
}

static void refuses_a_foreign_host_before_its_body(void **state)
{
	struct buf got BOX_CLEANUP(buf_done) = BUF_INIT(1 << 20);
	BOX_CLEANUP(fd_closep) int fd = dial();

	(void)state;
	say_text(fd, "POST /echo/1 HTTP/1.1\r\nHost: evil\r\nContent-Type: application/json\r\n"
		     "Content-Length: 100000\r\n\r\n");
	assert_false(hear(fd, &got, NULL));
	assert_non_null(strstr(buf_str(&got), "HTTP/1.1 403 "));
	assert_non_null(strstr(buf_str(&got), "\r\nConnection: close\r\n"));
}

static int open_stream(struct buf *got)
{
	int fd = dial();

	say_text(fd, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_true(hear(fd, got, "9\r\ndata: 1\n\n\r\n"));
	sem_wait(&entered);
	return fd;
}

static void streams_until_its_owner_ends(void **state)
{
	struct buf got BOX_CLEANUP(buf_done) = BUF_INIT(1 << 20);
	BOX_CLEANUP(fd_closep) int fd = open_stream(&got);

	(void)state;
	assert_true(hear(fd, &got, "4\r\n: \n\n\r\n")); /* silence is broken by a comment */
	assert_int_equal(http_stream_send(stream, "data: 2\n\n", 9), 0);
	assert_true(hear(fd, &got, "data: 2\n\n"));
	http_stream_end(stream);
	assert_true(hear(fd, &got, "0\r\n\r\n"));
	/* The connection lives on. */
	say_text(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n" END);
	assert_true(hear(fd, &got, "hello"));
}

static void tells_when_a_streams_client_leaves(void **state)
{
	struct buf got BOX_CLEANUP(buf_done) = BUF_INIT(1 << 20);
	int fd = open_stream(&got);

	(void)state;
	close(fd);
	sem_wait(&was_gone);
	assert_true(http_stream_gone(stream));
	assert_int_equal(http_stream_send(stream, "x", 1), -ERR_CANCELLED);
	http_stream_end(stream);
}

static void refuses_to_queue_without_end(void **state)
{
	struct buf got BOX_CLEANUP(buf_done) = BUF_INIT(1 << 20);
	BOX_CLEANUP(mem_freep) char *block = mem_alloc(512 * 1024);
	int fd = open_stream(&got), r = 0;

	(void)state;
	/* Nobody reads: the socket's buffers fill, then the queue. */
	for (int i = 0; i < 100 && r == 0; i++)
		r = http_stream_send(stream, block, 512 * 1024);
	assert_int_equal(r, -ERR_BUSY);
	close(fd);
	sem_wait(&was_gone);
	http_stream_end(stream);
}

static void refuses_more_streams_than_it_may_have(void **state)
{
	struct buf got BOX_CLEANUP(buf_done) = BUF_INIT(1 << 20);
	struct http_stream *first;
	BOX_CLEANUP(mem_freep) char *third = NULL;
	int a = open_stream(&got), b;

	(void)state;
	first = stream;
	buf_clear(&got);
	b = open_stream(&got);
	third = ask("GET /stream HTTP/1.1\r\nHost: x\r\n" END,
		    strlen("GET /stream HTTP/1.1\r\nHost: x\r\n" END));
	assert_non_null(strstr(third, "HTTP/1.1 503 "));
	assert_non_null(strstr(third, "\r\nRetry-After: "));
	http_stream_end(first);
	http_stream_end(stream);
	close(a);
	close(b);
}

/* Half of the threads may wait for one address: one more of its connections is closed, and others are served. */
static void leaves_threads_to_other_addresses(void **state)
{
	struct pollfd slow[5];
	struct buf got BOX_CLEANUP(buf_done) = BUF_INIT(1 << 20);
	BOX_CLEANUP(fd_closep) int other = -1;
	unsigned closed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(slow); i++) {
		slow[i] = (struct pollfd){ .fd = dial_from(3), .events = POLLIN };
		(void)send(slow[i].fd, "GET /hel", 8, MSG_NOSIGNAL);
	}
	assert_int_equal(poll(slow, ARRAY_LEN(slow), 5000), 1);
	for (size_t i = 0; i < ARRAY_LEN(slow); i++)
		closed += slow[i].revents != 0;
	assert_int_equal(closed, 1);
	other = dial_from(4);
	say_text(other, "GET /hello HTTP/1.1\r\nHost: x\r\n" END);
	assert_true(hear(other, &got, "hello"));
	for (size_t i = 0; i < ARRAY_LEN(slow); i++)
		close(slow[i].fd);
}

static void leaves_streams_to_other_addresses(void **state)
{
	struct http_server *usual = server;
	struct http_config four = config;
	struct http_stream *open[4];
	struct buf got BOX_CLEANUP(buf_done) = BUF_INIT(1 << 20);
	BOX_CLEANUP(mem_freep) char *refused = NULL;
	struct err err = { 0 };
	int fds[4];

	(void)state;
	four.max_streams = 4;
	assert_int_equal(http_server_start(&four, &server, &err), 0);
	for (size_t i = 0; i < 3; i++) {
		buf_clear(&got);
		fds[i] = open_stream(&got);
		open[i] = stream;
	}
	refused = ask("GET /stream HTTP/1.1\r\nHost: x\r\n" END,
		      strlen("GET /stream HTTP/1.1\r\nHost: x\r\n" END));
	assert_non_null(strstr(refused, "HTTP/1.1 503 "));
	buf_clear(&got);
	fds[3] = dial_from(2);
	say_text(fds[3], "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_true(hear(fds[3], &got, "data: 1"));
	sem_wait(&entered);
	open[3] = stream;
	for (size_t i = 0; i < 4; i++) {
		http_stream_end(open[i]);
		close(fds[i]);
	}
	http_server_stop(server);
	server = usual;
}

static void ends_streams_when_it_stops(void **state)
{
	struct buf got BOX_CLEANUP(buf_done) = BUF_INIT(1 << 20);
	BOX_CLEANUP(fd_closep) int fd = open_stream(&got);

	(void)state;
	http_server_stop(server);
	server = NULL;
	assert_true(hear(fd, &got, "0\r\n\r\n"));
	sem_wait(&was_gone);
	http_stream_end(stream);
}

static int start(void **state)
{
	struct err err = { 0 };

	(void)state;
	log_open("test", "test", LOG_WARN);
	sem_init(&entered, 0, 0);
	sem_init(&may_leave, 0, 0);
	sem_init(&was_gone, 0, 0);
	if (crypto_start() < 0)
		return -1;
	return http_server_start(&config, &server, &err);
}

static int stop(void **state)
{
	(void)state;
	http_server_stop(server);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_with_its_headers),
		cmocka_unit_test(keeps_the_connection),
		cmocka_unit_test(gives_params_query_and_body),
		cmocka_unit_test(reads_chunks_and_large_bodies),
		cmocka_unit_test(refuses_by_status),
		cmocka_unit_test(explains_refusals_as_problems),
		cmocka_unit_test(answers_smuggled_requests_once),
		cmocka_unit_test(notices_dropped_headers),
		cmocka_unit_test(tells_when_the_client_leaves),
		cmocka_unit_test(lets_other_requests_pass_a_slow_one),
		cmocka_unit_test(waits_for_word_before_a_large_body),
		cmocka_unit_test(cuts_off_a_body_that_drips),
		cmocka_unit_test(refuses_a_foreign_host_before_its_body),
		cmocka_unit_test(streams_until_its_owner_ends),
		cmocka_unit_test(tells_when_a_streams_client_leaves),
		cmocka_unit_test(refuses_to_queue_without_end),
		cmocka_unit_test(refuses_more_streams_than_it_may_have),
		cmocka_unit_test(leaves_threads_to_other_addresses),
		cmocka_unit_test(leaves_streams_to_other_addresses),
		cmocka_unit_test(ends_streams_when_it_stops),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
