#include "endpoint.h"

#include <string.h>
#include <strings.h>
#include "answer.h"
#include "era.h"
#include "gateway.h"
#include "jsonrpc.h"
#include "mcp_methods.h"
#include "mem.h"
#include "metrics.h"
#include "negotiate.h"

#define BATCH_MAX    64
#define RESPONSE_MAX (9u * 1024 * 1024)

/* An error before, or instead of, a method. */
static void respond_error(struct http_request *rq, struct json_span id, const struct rpc_error *err)
{
	struct buf b = BUF_INIT(64 * 1024);

	metrics_count(METRIC_REQUESTS_REFUSED);
	jsonrpc_add_error(&b, id, err);
	http_add_header(rq, "Cache-Control", "no-store");
	http_respond(rq, err->status, "application/json", b.data, b.len);
	buf_done(&b);
}

static const struct json_span no_id;

/* ---- what every request on the endpoint has ---- */

struct arrival {
	struct gateway *gw;
	struct http_request *rq;
	struct accepts accepts;
	struct mcp_headers headers;
	const char *server;
	struct catalog *catalog;
	struct caller caller;
};

/* Two values of one of these would let two readers route differently. */
static int check_single(struct http_request *rq, struct rpc_error *err)
{
	static const char *const routing[] = { "MCP-Protocol-Version", "Mcp-Method", "Mcp-Name",
					       "Mcp-Session-Id", "Authorization" };
	const char *name, *value;

	for (size_t i = 0; i < ARRAY_LEN(routing); i++) {
		if (http_header_count(rq, routing[i]) > 1)
			return rpc_fail(err, 400, RPC_HEADER_MISMATCH,
					"Header mismatch: %s occurs twice", routing[i]);
	}
	for (size_t i = 0; http_header_each(rq, i, &name, &value); i++) {
		if (strncasecmp(name, "Mcp-Param-", 10) == 0 && http_header_count(rq, name) > 1)
			return rpc_fail(err, 400, RPC_HEADER_MISMATCH,
					"Header mismatch: %.100s occurs twice", name);
	}
	return 0;
}

static int find_server(struct arrival *a, struct rpc_error *err)
{
	a->server = http_param(a->rq, "server");
	a->catalog = tool_map_get(a->gw->map);
	if (!a->server || catalog_has_server(a->catalog, a->server))
		return 0;
	if (!catalog_is_loaded(a->catalog))
		return rpc_fail(err, 503, RPC_INTERNAL, "The list of servers is not loaded yet");
	if (catalog_paused_server(a->catalog, a->server, NULL))
		return 0; /* its tools are not listed, and say why when they are called */
	return rpc_fail(err, 404, RPC_INVALID_REQUEST, "No running server of that name");
}

/* Without a credential: local mode.  A wrong one is refused, not taken for none. */
static int find_caller(struct arrival *a, struct rpc_error *err)
{
	struct err why = { 0 };
	int r = callers_identify(a->gw->callers, http_header(a->rq, "Authorization"),
				 http_remote(a->rq), &a->caller, &why);

	if (r < 0) {
		bool is_refused = why.code == ERR_UNAUTHENTICATED;

		rpc_error_set(err, err_row(why.code)->http_status,
			      is_refused ? RPC_INVALID_REQUEST : RPC_INTERNAL, "%s", why.text);
		if (is_refused)
			http_add_header(a->rq, "WWW-Authenticate",
					"Bearer realm=\"mcpbox\", error=\"invalid_token\"");
	}
	err_done(&why);
	return r < 0 ? -1 : 0;
}

static int arrive(struct arrival *a, struct http_request *rq, void *service, struct rpc_error *err)
{
	*a = (struct arrival){
		.gw = service,
		.rq = rq,
		.accepts = negotiate_accept(http_header(rq, "Accept")),
		.headers = { .protocol_version = http_header(rq, "MCP-Protocol-Version"),
			     .method = http_header(rq, "Mcp-Method"),
			     .name = http_header(rq, "Mcp-Name"),
			     .session_id = http_header(rq, "Mcp-Session-Id") },
	};
	if (check_single(rq, err) < 0 || find_caller(a, err) < 0)
		return -1;
	return find_server(a, err);
}

static void leave(struct arrival *a)
{
	caller_done(&a->caller);
	catalog_unref(a->catalog);
}

/* Legacy: the session and the version header. */
static int find_session(const struct arrival *a, struct session *ret, struct rpc_error *err)
{
	BOX_CLEANUP(mem_freep) char *version = NULL;

	if (!a->headers.session_id)
		return rpc_fail(err, 400, RPC_BAD_SESSION,
				"Bad Request: Mcp-Session-Id header is required");
	if (session_find(a->gw->sessions, a->headers.session_id, ret) < 0)
		return rpc_fail(err, 404, RPC_NO_SESSION, "Session not found");
	if (!a->headers.protocol_version)
		return 0;
	/* Another legacy version than the negotiated one is served as negotiated. */
	if (era_decode_header(a->headers.protocol_version, &version) < 0 ||
	    mcp_version_legacy(version) == MCP_NONE)
		return rpc_fail(
			err, 400, RPC_BAD_SESSION,
			"Bad Request: unsupported protocol version in MCP-Protocol-Version");
	return 0;
}

/* ---- POST: one message ---- */

static void answer_request(struct arrival *a, struct mcp_context *c)
{
	struct buf body = BUF_INIT(RESPONSE_MAX);
	struct answer answer;
	int status = 200;

	metrics_count(c->era == ERA_MODERN ? METRIC_REQUESTS_MODERN : METRIC_REQUESTS_LEGACY);
	answer_init(&answer, a->rq, a->accepts);
	c->answer = &answer;
	switch (mcp_handle(c, &body, &status)) {
	case MCP_ANSWERED:
		answer_finish(&answer, status, body.data, body.len);
		break;
	case MCP_SILENT:
		answer_abandon(&answer);
		break;
	case MCP_STREAMING:
		break;
	}
	answer_done(&answer);
	buf_done(&body);
}

static void accept_silently(struct http_request *rq)
{
	http_respond(rq, 202, NULL, NULL, 0);
}

static int serve_modern(struct arrival *a, struct mcp_context *c, struct rpc_error *err)
{
	c->form = LIST_MODERN;
	if (c->message->kind == JSONRPC_NOTIFICATION) {
		accept_silently(a->rq);
		return 0;
	}
	if (era_check_modern(c->message, c->meta, &a->headers, err) < 0)
		return -1;
	answer_request(a, c);
	return 0;
}

/* session: where it is kept while c points to it. */
static int serve_legacy(struct arrival *a, struct mcp_context *c, struct session *session,
			struct rpc_error *err)
{
	const struct jsonrpc_message *m = c->message;

	c->form = LIST_LEGACY;
	if (m->kind == JSONRPC_REQUEST && strcmp(m->method, "initialize") == 0) {
		answer_request(a, c);
		return 0;
	}
	if (find_session(a, session, err) < 0)
		return -1;
	c->session = session;
	c->form = list_form_of(session->version);
	if (m->kind == JSONRPC_REQUEST) {
		answer_request(a, c);
		return 0;
	}
	if (m->kind == JSONRPC_NOTIFICATION)
		mcp_notified(a->gw, session, m);
	accept_silently(a->rq);
	return 0;
}

static void serve_message(struct arrival *a, struct json_span text)
{
	struct jsonrpc_message message;
	struct mcp_meta meta = { 0 };
	struct mcp_context c = { .gw = a->gw,
				 .rq = a->rq,
				 .catalog = a->catalog,
				 .caller = &a->caller,
				 .server = a->server,
				 .message = &message,
				 .meta = &meta };
	struct session session;
	struct rpc_error err;
	int r = jsonrpc_parse(text, &message, &err);

	if (r == 0 && message.kind != JSONRPC_RESPONSE)
		r = era_read_meta(message.params, &meta, &err);
	if (r == 0 && message.kind != JSONRPC_RESPONSE)
		r = era_decide(&message, &meta, &a->headers, &c.era, &err);
	if (r == 0)
		r = c.era == ERA_MODERN ? serve_modern(a, &c, &err)
					: serve_legacy(a, &c, &session, &err);
	if (r < 0)
		respond_error(a->rq, message.id, &err);
	jsonrpc_message_done(&message);
}

/* ---- POST: a batch (2025-03-26) ---- */

struct batch {
	struct jsonrpc_message messages[BATCH_MAX];
	struct mcp_meta metas[BATCH_MAX];
	size_t count, responses;
};

static int batch_refuse(struct rpc_error *err, const char *why)
{
	return rpc_fail(err, 400, RPC_INVALID_REQUEST, "Invalid Request: %s", why);
}

static int batch_read(struct batch *b, struct json_span text, struct rpc_error *err)
{
	struct json_span elements[BATCH_MAX];
	size_t n = 0;

	if (jsonrpc_split(text, elements, BATCH_MAX, &n, err) < 0)
		return -1;
	for (b->count = 0; b->count < n;) {
		struct jsonrpc_message *m = &b->messages[b->count];
		struct mcp_meta *meta = &b->metas[b->count];

		b->count++;
		if (jsonrpc_parse(elements[b->count - 1], m, err) < 0)
			return -1;
		b->responses += m->kind == JSONRPC_RESPONSE;
		if (m->kind == JSONRPC_RESPONSE)
			continue;
		if (era_read_meta(m->params, meta, err) < 0)
			return -1;
		if (meta->protocol_version.at)
			return batch_refuse(err, "this version has no batches");
		if (strcmp(m->method, "initialize") == 0)
			return batch_refuse(err, "initialize cannot be part of a batch");
	}
	if (n == 0)
		return batch_refuse(err, "empty batch");
	if (b->responses > 0 && b->responses < n)
		return batch_refuse(err, "a batch holds either requests or responses");
	return 0;
}

/* One response per request, in order, as one array. */
static void batch_answer(struct arrival *a, const struct batch *b, const struct session *session)
{
	struct buf body = BUF_INIT(RESPONSE_MAX);
	struct answer answer;

	buf_add_char(&body, '[');
	for (size_t i = 0; i < b->count; i++) {
		struct mcp_context c = { .gw = a->gw,
					 .rq = a->rq,
					 .catalog = a->catalog,
					 .caller = &a->caller,
					 .era = ERA_LEGACY,
					 .form = list_form_of(session->version),
					 .server = a->server,
					 .session = session,
					 .message = &b->messages[i],
					 .meta = &b->metas[i] };
		size_t before = body.len;
		int status;

		if (b->messages[i].kind != JSONRPC_REQUEST) {
			mcp_notified(a->gw, session, &b->messages[i]);
			continue;
		}
		metrics_count(METRIC_REQUESTS_LEGACY);
		if (before > 1)
			buf_add_char(&body, ',');
		if (mcp_handle(&c, &body, &status) == MCP_SILENT)
			body.len = before;
	}
	buf_add_char(&body, ']');
	answer_init(&answer, a->rq, a->accepts);
	if (body.len > 2)
		answer_finish(&answer, 200, body.data, body.len);
	else
		answer_abandon(&answer);
	answer_done(&answer);
	buf_done(&body);
}

static void serve_batch(struct arrival *a, struct json_span text)
{
	BOX_CLEANUP(mem_freep) struct batch *b = mem_alloc(sizeof(*b));
	struct session session;
	struct rpc_error err;
	int r = batch_read(b, text, &err);

	if (r == 0)
		r = find_session(a, &session, &err);
	if (r == 0 && session.version > MCP_2025_03_26)
		r = batch_refuse(&err, "batches ended with version 2025-03-26");
	if (r < 0)
		respond_error(a->rq, no_id, &err);
	else if (b->responses > 0)
		accept_silently(a->rq);
	else
		batch_answer(a, b, &session);
	for (size_t i = 0; i < b->count; i++)
		jsonrpc_message_done(&b->messages[i]);
}

/* ---- the three verbs ---- */

static int check_post(const struct arrival *a, struct json_span body, struct rpc_error *err)
{
	if (!negotiate_is_json(http_header(a->rq, "Content-Type")))
		return rpc_fail(err, 415, RPC_INVALID_REQUEST,
				"Unsupported Media Type: Content-Type must be application/json");
	if (!a->accepts.json && !a->accepts.sse)
		return rpc_fail(err, 406, RPC_BAD_SESSION,
				"Not Acceptable: the client must accept application/json or "
				"text/event-stream");
	return jsonrpc_check_text(body.at, body.len, err);
}

void endpoint_post(struct http_request *rq, void *service, const void *arg)
{
	struct arrival a;
	struct json_span body = { 0 };
	struct rpc_error err;
	int r = arrive(&a, rq, service, &err);

	(void)arg;
	body.at = http_body(rq, &body.len);
	if (r == 0)
		r = check_post(&a, body, &err);
	if (r < 0)
		respond_error(rq, no_id, &err);
	else if (jsonrpc_is_batch(body))
		serve_batch(&a, body);
	else
		serve_message(&a, body);
	leave(&a);
}

static int open_stream(struct arrival *a, struct rpc_error *err)
{
	struct session session;
	struct listener_want want = { .session = &session,
				      .server = a->server,
				      .wants_tools = true };
	long number;

	if (!a->accepts.sse)
		return rpc_fail(err, 406, RPC_BAD_SESSION,
				"Not Acceptable: the client must accept text/event-stream");
	if (find_session(a, &session, err) < 0)
		return -1;
	number = listeners_reserve(a->gw->listeners, &want, a->catalog);
	if (number == LISTENERS_TAKEN)
		return rpc_fail(err, 409, RPC_BAD_SESSION,
				"Conflict: the session has its stream already");
	if (number < 0) {
		http_add_header(a->rq, "Retry-After", "5");
		return rpc_fail(err, 503, RPC_INTERNAL, "Too many streams are open");
	}
	listeners_attach(a->gw->listeners, number, sse_begin(a->rq));
	return 0;
}

void endpoint_get(struct http_request *rq, void *service, const void *arg)
{
	struct arrival a;
	struct rpc_error err;
	int r = arrive(&a, rq, service, &err);

	(void)arg;
	if (r == 0)
		r = open_stream(&a, &err);
	if (r < 0)
		respond_error(rq, no_id, &err);
	leave(&a);
}

void endpoint_delete(struct http_request *rq, void *service, const void *arg)
{
	struct arrival a;
	struct session session;
	struct rpc_error err;
	int r = arrive(&a, rq, service, &err);

	(void)arg;
	if (r == 0)
		r = find_session(&a, &session, &err);
	if (r == 0) {
		session_end(a.gw->sessions, &session);
		listeners_end_session(a.gw->listeners, &session);
		http_respond(rq, 204, NULL, NULL, 0);
	} else {
		respond_error(rq, no_id, &err);
	}
	leave(&a);
}
