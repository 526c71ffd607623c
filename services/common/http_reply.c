/* Answers: head, body, problems; and what a handler may ask of its request. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include "cleanup.h"
#include "err_json.h"
#include "http_internal.h"

#define REPLY_MAX   (256u * 1024 * 1024)
#define HEADERS_MAX (16u * 1024)

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 204, "No Content" },
	{ 304, "Not Modified" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 413, "Content Too Large" },
	{ 415, "Unsupported Media Type" },
	{ 422, "Unprocessable Content" },
	{ 429, "Too Many Requests" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
};

static const char *reason_of(int status)
{
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "";
}

/* Foreign text may stand in a value; a line break in it would begin a header of the sender's
 * choice. */
static void add_header(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, "%s: ", name);
	for (; *value; value++)
		buf_add_char(out, (unsigned char)*value < 0x20 || *value == 0x7f ? ' ' : *value);
	buf_add_str(out, "\r\n");
}

static void add_date(struct buf *out)
{
	char text[64];
	time_t now = time(NULL);
	struct tm tm;

	/* No setlocale() anywhere, so the names of days and months are English. */
	if (gmtime_r(&now, &tm) &&
	    strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0)
		add_header(out, "Date", text);
}

void http_add_head(struct http_request *rq, int status, const char *content_type, struct buf *out)
{
	const char *const *pair = rq->server->config.headers;

	buf_printf(out, "HTTP/1.1 %d %s\r\n", status, reason_of(status));
	add_date(out);
	for (; pair && pair[0]; pair += 2)
		add_header(out, pair[0], pair[1]);
	buf_add(out, rq->more_headers.data, rq->more_headers.len);
	if (content_type)
		add_header(out, "Content-Type", content_type);
	if (rq->must_close)
		add_header(out, "Connection", "close");
	else if (rq->is_http_1_0)
		add_header(out, "Connection", "keep-alive");
}

void http_add_header(struct http_request *rq, const char *name, const char *value)
{
	rq->more_headers.max = HEADERS_MAX;
	add_header(&rq->more_headers, name, value);
	rq->has_retry_after |= strcasecmp(name, "Retry-After") == 0;
}

static bool has_body(const struct http_request *rq, int status)
{
	return status >= 200 && status != 204 && status != 304 && strcmp(rq->method, "HEAD") != 0;
}

void http_respond(struct http_request *rq, int status, const char *content_type, const void *body,
		  size_t len)
{
	struct buf reply = BUF_INIT(REPLY_MAX);

	http_add_head(rq, status, content_type, &reply);
	if (status != 204 && status != 304)
		buf_printf(&reply, "Content-Length: %zu\r\n", len);
	buf_add_str(&reply, "\r\n");
	if (has_body(rq, status))
		buf_add(&reply, body, len);
	box_assert(!reply.is_over);

	pthread_mutex_lock(&rq->lock);
	box_assert(!rq->is_answered && !rq->stream);
	gone_call_clear(&rq->gone, &rq->lock, &rq->changed);
	rq->reply = reply;
	rq->is_answered = true; /* goes out when the handler returns: one wake-up for both */
	pthread_mutex_unlock(&rq->lock);
}

void http_respond_problem(struct http_request *rq, int status, const struct err *err)
{
	struct buf body BOX_CLEANUP(buf_done) = BUF_INIT(REPLY_MAX / 2);

	err_add_problem(&body, err, status);
	if ((status == 429 || status == 503) && !rq->has_retry_after)
		http_add_header(rq, "Retry-After", "1");
	http_respond(rq, status, "application/problem+json", body.data, body.len);
}

void http_respond_err(struct http_request *rq, const struct err *err)
{
	http_respond_problem(rq, err_row(err->code)->http_status, err);
}

const char *http_method(const struct http_request *rq)
{
	return rq->method;
}

uint64_t http_received_us(const struct http_request *rq)
{
	return rq->received_us;
}

const char *http_path(const struct http_request *rq)
{
	return rq->path;
}

const char *http_param(const struct http_request *rq, const char *name)
{
	return http_match_param(&rq->match, name);
}

const char *http_query(struct http_request *rq, const char *name)
{
	for (size_t i = 0; i < rq->query.count; i++)
		if (strcmp(rq->query.pairs[i].name, name) == 0)
			return rq->query.pairs[i].value;
	return NULL;
}

static bool pair_at(const struct http_pair *pairs, size_t count, size_t i, const char **ret_name,
		    const char **ret_value)
{
	if (i >= count)
		return false;
	*ret_name = pairs[i].name;
	*ret_value = pairs[i].value;
	return true;
}

bool http_query_each(struct http_request *rq, size_t i, const char **ret_name,
		     const char **ret_value)
{
	return pair_at(rq->query.pairs, rq->query.count, i, ret_name, ret_value);
}

const char *http_header(const struct http_request *rq, const char *name)
{
	return http_find_header(rq->headers, rq->header_count, name);
}

size_t http_header_count(const struct http_request *rq, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < rq->header_count; i++)
		n += strcasecmp(rq->headers[i].name, name) == 0;
	return n;
}

bool http_header_each(const struct http_request *rq, size_t i, const char **ret_name,
		      const char **ret_value)
{
	return pair_at(rq->headers, rq->header_count, i, ret_name, ret_value);
}

const void *http_body(const struct http_request *rq, size_t *ret_len)
{
	*ret_len = rq->body.len;
	return rq->body.len ? rq->body.data : (const uint8_t *)"";
}

const char *http_remote(const struct http_request *rq)
{
	return rq->remote;
}

bool http_client_gone(const struct http_request *rq)
{
	/* Finding the descriptor the first time is memory of the request, not part of what it says.
	 */
	return http_socket_is_gone((struct http_request *)(uintptr_t)rq);
}

void http_on_gone(struct http_request *rq, void (*fn)(void *arg), void *arg)
{
	pthread_mutex_lock(&rq->lock);
	gone_call_clear(&rq->gone, &rq->lock, &rq->changed);
	rq->gone.fn = fn;
	rq->gone.arg = arg;
	pthread_mutex_unlock(&rq->lock);
}
