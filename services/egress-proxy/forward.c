#include "forward.h"

#include <stdlib.h>
#include <string.h>
#include "json.h"
#include "mem.h"
#include "policy.h"
#include "wire.h"

static const char *const kind_names[FORWARD_KIND_COUNT] = {
	[FORWARD_DENIED] = "denied",     [FORWARD_DNS] = "dns",
	[FORWARD_CONNECT] = "connect",   [FORWARD_TLS] = "tls",
	[FORWARD_TIMEOUT] = "timeout",   [FORWARD_TOO_LARGE] = "too_large",
	[FORWARD_PROTOCOL] = "protocol", [FORWARD_UNAVAILABLE] = "unavailable",
};

const char *forward_kind_name(enum forward_kind kind)
{
	box_assert((unsigned)kind < FORWARD_KIND_COUNT);
	return kind_names[kind];
}

/* ---- requests ---- */

static void refuse(struct forward_request *rq, enum forward_kind kind, const char *rule)
{
	rq->is_refused = true;
	rq->refused_as = kind;
	rq->refused_rule = rule;
}

static void take_header(struct forward_request *rq, const char *name, const char *value)
{
	int r = headers_add(&rq->headers, name, value, &rq->refusal);

	if (r == -ERR_TOO_LARGE)
		refuse(rq, FORWARD_TOO_LARGE, "headers");
	else if (r < 0)
		refuse(rq, FORWARD_PROTOCOL, "header");
}

/* Shape: array of [name, value]. */
static int take_headers(struct forward_request *rq, const json_t *list)
{
	size_t i;
	json_t *pair;

	if (list && !json_is_array(list))
		return -ERR_INVALID;
	json_array_foreach(list, i, pair)
	{
		const char *name = json_string_value(json_array_get(pair, 0));
		const char *value = json_string_value(json_array_get(pair, 1));

		if (json_array_size(pair) != 2 || !name || !value)
			return -ERR_INVALID;
		if (!rq->is_refused)
			take_header(rq, name, value);
	}
	return 0;
}

static void take_accept_encoding(struct forward_request *rq)
{
	const char *wish = headers_find(&rq->headers, "Accept-Encoding");

	/* Only "as it is" is a wish that the proxy can grant; else it offers what it can decode. */
	if (wish && strcmp(wish, "identity") == 0)
		rq->accept_encoding = mem_strdup(wish);
}

static int take_number(const json_t *root, const char *key, json_int_t max, bool required,
		       uint64_t *ret)
{
	const json_t *v = json_object_get(root, key);

	if (!v && !required) {
		*ret = 0;
		return 0;
	}
	if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > max)
		return -ERR_INVALID;
	*ret = (uint64_t)json_integer_value(v);
	return 0;
}

static bool has_only_known_keys(const json_t *root)
{
	static const char *const keys[] = { "method", "url", "headers", "timeout_ms", "body_len" };
	size_t known = 0;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		known += json_object_get(root, keys[i]) != NULL;
	return known == json_object_size(root);
}

static void judge_method_and_url(struct forward_request *rq, const char *url)
{
	if (rq->is_refused)
		return;
	if (policy_method(rq->method) == 0) {
		(void)err_set(&rq->refusal, ERR_DENIED, "method %.16s is not offered", rq->method);
		refuse(rq, FORWARD_DENIED, "method");
	} else if (rq->body_len > 0 && strcmp(rq->method, "HEAD") == 0) {
		(void)err_set(&rq->refusal, ERR_INVALID, "a HEAD request has no body");
		refuse(rq, FORWARD_PROTOCOL, "body");
	} else if (target_parse_url(url, strlen(url), &rq->target, &rq->refusal) < 0) {
		refuse(rq, FORWARD_DENIED, "url");
	}
}

static int take_request(struct forward_request *rq, const json_t *root)
{
	const char *method = json_string_value(json_object_get(root, "method"));
	const char *url = json_string_value(json_object_get(root, "url"));
	uint64_t timeout;

	if (!json_is_object(root) || !has_only_known_keys(root) || !method || !url ||
	    take_number(root, "body_len", INT64_MAX, true, &rq->body_len) < 0 ||
	    take_number(root, "timeout_ms", INT64_MAX, false, &timeout) < 0 ||
	    take_headers(rq, json_object_get(root, "headers")) < 0)
		return -ERR_INVALID;
	rq->timeout_ms = timeout < UINT32_MAX ? (uint32_t)timeout : UINT32_MAX;
	rq->method = mem_strdup(method);
	judge_method_and_url(rq, url);
	take_accept_encoding(rq);
	headers_drop_request_hop(&rq->headers);
	return 0;
}

int forward_parse(const void *json, size_t len, struct forward_request *ret, struct err *err)
{
	BOX_CLEANUP(json_decrefp) json_t *root = NULL;
	int r;

	*ret = (struct forward_request){ .headers = HEADERS_INIT(HEADERS_REQUEST_COUNT) };
	r = json_load(json, len, &root, err);
	if (r < 0)
		return r;
	if (take_request(ret, root) < 0)
		return err_set(err, ERR_INVALID,
			       "a request head has method, url, headers, timeout_ms, body_len");
	return 0;
}

void forward_done(struct forward_request *rq)
{
	free(rq->method);
	free(rq->accept_encoding);
	headers_done(&rq->headers);
	target_done(&rq->target);
	*rq = (struct forward_request){ 0 };
}

/* ---- answers ---- */

static void add_member(struct buf *b, const char *key, const char *value)
{
	if (b->data[b->len - 1] != '{')
		buf_add_char(b, ',');
	json_add_string(b, key, strlen(key));
	buf_add_char(b, ':');
	if (value)
		json_add_string(b, value, strlen(value));
	else
		buf_add_str(b, "null");
}

static void add_headers(struct buf *b, const struct headers *h)
{
	buf_add_str(b, ",\"headers\":[");
	for (size_t i = 0; i < h->count; i++) {
		struct buf value = BUF_INIT(2 * HEADERS_BYTES_MAX);

		buf_add_str(b, i ? ",[" : "[");
		json_add_string(b, h->items[i].name, strlen(h->items[i].name));
		buf_add_char(b, ',');
		headers_value_utf8(h->items[i].value, &value);
		json_add_string(b, buf_str(&value), value.len);
		buf_add_char(b, ']');
		buf_done(&value);
	}
	buf_add_char(b, ']');
}

static void add_frame(struct buf *ret, const struct buf *head)
{
	buf_add_u32le(ret, (uint32_t)head->len);
	buf_add(ret, head->data, head->len);
}

int forward_answer_frame(const struct forward_answer *a, struct buf *ret)
{
	struct buf b = BUF_INIT(WIRE_HEAD_MAX);
	int r = 0;

	buf_printf(&b, "{\"status\":%u", a->status);
	add_member(&b, "reason", a->reason);
	add_member(&b, "http_version", a->http_version);
	add_headers(&b, a->headers);
	add_member(&b, "url", a->url);
	buf_printf(&b, ",\"body_len\":%llu}", (unsigned long long)a->body_len);
	if (b.is_over)
		r = -ERR_TOO_LARGE;
	else
		add_frame(ret, &b);
	buf_done(&b);
	return r;
}

void forward_error_frame(const struct forward_error *e, struct buf *ret)
{
	struct buf b = BUF_INIT(WIRE_HEAD_MAX);

	buf_add_str(&b, "{\"error\":{");
	add_member(&b, "kind", forward_kind_name(e->kind));
	add_member(&b, "text", e->text);
	add_member(&b, "host", e->host);
	if (e->port)
		buf_printf(&b, ",\"port\":%u", e->port);
	else
		buf_add_str(&b, ",\"port\":null");
	add_member(&b, "rule", e->rule);
	add_member(&b, "hint", e->hint);
	buf_add_str(&b, "},\"body_len\":0}");
	box_assert(!b.is_over);
	add_frame(ret, &b);
	buf_done(&b);
}
