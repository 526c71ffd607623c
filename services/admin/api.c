#include "api.h"

#include <inttypes.h>
#include <string.h>
#include "clock.h"
#include "csrf.h"
#include "describe.h"
#include "json_proto.h"
#include "login.h"
#include "mem.h"
#include "parse.h"
#include "routes.h"

#define ANSWER_MAX     (16u * 1024 * 1024)
#define ASK_TIMEOUT_MS 15000
#define PATIENCE_MS    10000 /* for a registry with more clients than workers */
#define ASK_LONG_MS    75000 /* a minute for the tool, and what is around it */
/* The window over which the registry counts failed logins. */
#define RETRY_AFTER_S "60"

/* ---- question ---- */

static int set_path_parameters(struct call *call, ProtobufCMessage *m, struct err *err)
{
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const char *name = m->descriptor->fields[i].name;
		const char *value = http_param(call->rq, name);
		int r = value ? json_set_from_text(m, name, value, err) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

/* Elsewhere an absent number is a zero and means the usual, so only here can a wrong one be told. */
static int check_range(const ProtobufCMessage *m, const char *name, const char *value,
		       struct err *err)
{
	const struct field_text *text = describe_field(m->descriptor->short_name, name);
	int64_t ignored;

	if (!text || !text->max || parse_i64(value, text->min, text->max, &ignored) == 0)
		return 0;
	return err_set_field(err, ERR_INVALID, name, NULL,
			     "%s must be from %" PRId64 " to %" PRId64, name, text->min, text->max);
}

int api_set_query(struct call *call, ProtobufCMessage *m, struct err *err)
{
	const char *name, *value;

	for (size_t i = 0; http_query_each(call->rq, i, &name, &value); i++) {
		int r;

		if (http_param(call->rq, name))
			return err_set_field(err, ERR_INVALID, name, NULL,
					     "'%s' stands in the path", name);
		r = check_range(m, name, value, err);
		if (r == 0)
			r = json_set_from_text(m, name, value, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int refuse_if_match(const struct call *call, struct err *err)
{
	if (origin_method_is_safe(call->route->method))
		return 0;
	return err_set_field(err, ERR_INVALID, "If-Match", "leave it out",
			     "what this changes has no revision");
}

/* If-Match: 7 or "7".  A change that cannot be held to it is refused: the caller counts on it. */
static int set_revision(struct call *call, ProtobufCMessage *m, struct err *err)
{
	const char *value = http_header(call->rq, "If-Match");
	char digits[24];
	size_t len;

	if (!value || strcmp(value, "*") == 0)
		return 0;
	if (!protobuf_c_message_descriptor_get_field_by_name(m->descriptor, "revision"))
		return refuse_if_match(call, err);
	len = strlen(value);
	if (len >= 2 && value[0] == '"' && value[len - 1] == '"') {
		value++;
		len -= 2;
	}
	if (len == 0 || len >= sizeof(digits))
		return err_set_field(err, ERR_INVALID, "If-Match", NULL,
				     "If-Match must be a revision");
	memcpy(digits, value, len);
	digits[len] = 0;
	return json_set_from_text(m, "revision", digits, err);
}

const ProtobufCMessageDescriptor *api_request_type(const struct route *route)
{
	if (route->request)
		return route->request;
	return route->question ? msg_row(route->question)->request : NULL;
}

int api_read_request(struct call *call, ProtobufCMessage **ret, struct err *err)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *m = NULL;
	size_t len;
	const void *body = http_body(call->rq, &len);
	int r = json_to_msg(api_request_type(call->route), body, len, NULL, &m, err);

	/* The path comes last: it decides which object is meant, whatever the body says. */
	if (r == 0)
		r = api_set_query(call, m, err);
	if (r == 0)
		r = set_revision(call, m, err);
	if (r == 0)
		r = set_path_parameters(call, m, err);
	if (r == 0)
		*ret = TAKE(m);
	return r;
}

/* A session's person or a token's; without either the service itself, on behalf of an address. */
void api_set_principal(PB(Principal) * p, const char *token, const char *remote)
{
	if (token[0] == '\0')
		p->kind = MCPBOX__V1__PRINCIPAL__KIND__KIND_SYSTEM;
	else if (strncmp(token, API_TOKEN_MARK, strlen(API_TOKEN_MARK)) == 0)
		p->kind = MCPBOX__V1__PRINCIPAL__KIND__KIND_TOKEN;
	else
		p->kind = MCPBOX__V1__PRINCIPAL__KIND__KIND_USER;
	p->secret = pb_text(token);
	p->remote = (char *)(uintptr_t)remote;
}

int api_ask(struct call *call, uint16_t question, const ProtobufCMessage *request,
	    ProtobufCMessage **ret, struct err *err)
{
	PB(Principal) principal = MCPBOX__V1__PRINCIPAL__INIT;
	/* Changes may be repeated too: the registry answers a request id that it knows from its
	 * record. */
	const struct bus_call_opts opts = {
		.timeout_ms = call->route->flags & ROUTE_LONG ? ASK_LONG_MS : ASK_TIMEOUT_MS,
		.patience_ms = call->route->flags & ROUTE_LONG ? 0 : PATIENCE_MS,
		.repeatable = true,
		.principal = &principal,
		.traceparent = http_header(call->rq, "traceparent"),
	};
	api_set_principal(&principal, call->session.token, http_remote(call->rq));
	return bus_ask_registry(call->admin->bus, question, request, &opts, ret, err);
}

/* ---- the object that a change answers with ---- */

static const char *text_field(const ProtobufCMessage *m, const char *name)
{
	const ProtobufCFieldDescriptor *f =
		protobuf_c_message_descriptor_get_field_by_name(m->descriptor, name);

	return f && f->type == PROTOBUF_C_TYPE_STRING
		       ? *(char *const *)((const char *)m + f->offset)
		       : NULL;
}

/* Ask for the object that `reply` names: its `id`, or the id field that the question itself has. */
static int ask_then(struct call *call, const ProtobufCMessage *reply, ProtobufCMessage **ret,
		    struct err *err)
{
	const struct msg_row *row = msg_row(call->route->then);
	const char *id_field = row->request->fields[0].name;
	const char *id = text_field(reply, "id");
	BOX_CLEANUP(msg_freep) ProtobufCMessage *request = NULL;
	int r = json_to_msg(row->request, NULL, 0, NULL, &request, err);

	if (!id)
		id = text_field(reply, id_field);
	if (!id)
		box_bug("reply of %s names no object", call->route->pattern);
	if (r == 0)
		r = json_set_from_text(request, id_field, id, err);
	return r == 0 ? api_ask(call, call->route->then, request, ret, err) : r;
}

int api_serve_question(struct call *call, struct err *err)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *request = NULL;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *object = NULL;
	int r = api_read_request(call, &request, err);

	if (r == 0)
		r = api_ask(call, call->route->question, request, &reply, err);
	if (r == 0 && call->route->then)
		r = ask_then(call, reply, &object, err);
	if (r == 0)
		view_write(call->route->view, object ? object : reply, &call->body);
	return r;
}

/* ---- answer ---- */

static int check_credential(struct call *call, struct err *err)
{
	int r;

	/* An old cookie must not keep its owner from logging in. */
	if (call->route->flags & ROUTE_OPEN)
		return 0;
	r = session_read(http_header(call->rq, "Authorization"), http_header(call->rq, "Cookie"),
			 &call->session, err);
	if (r < 0)
		return r;
	if (!call->session.token[0])
		return err_set_field(err, ERR_UNAUTHENTICATED, NULL,
				     "POST /auth/login gives a token", "not logged in");
	if (call->session.is_cookie && !origin_method_is_safe(call->route->method) &&
	    !csrf_matches(call->session.token, http_header(call->rq, "X-CSRF-Token")))
		return err_set_field(err, ERR_DENIED, "X-CSRF-Token", "GET /auth/me gives it",
				     "the CSRF token is missing or wrong");
	return 0;
}

/* The registry says when in the hint, "retry_after=SECONDS"; for HTTP that is a header. */
static void add_retry_after(struct call *call, struct err *err)
{
	static const char prefix[] = "retry_after=";
	const char *seconds = RETRY_AFTER_S;

	if (strncmp(err->hint, prefix, strlen(prefix)) == 0)
		seconds = err->hint + strlen(prefix);
	http_add_header(call->rq, "Retry-After", seconds);
	err->hint[0] = 0;
}

static int respond_err(struct call *call, struct err *err)
{
	if (err->code == ERR_RATE_LIMITED)
		add_retry_after(call, err);
	if (err->code == ERR_UNAUTHENTICATED)
		http_add_header(call->rq, "WWW-Authenticate", "Bearer");
	if (err->code == ERR_UNAUTHENTICATED && call->session.is_cookie)
		login_forget_cookie(call);
	http_respond_err(call->rq, err);
	return err_row(err->code)->http_status;
}

static int respond(struct call *call)
{
	if (call->is_answered)
		return call->status;
	if (call->status == 204)
		http_respond(call->rq, 204, NULL, NULL, 0);
	else
		http_respond(call->rq, call->status, call->content_type, call->body.data,
			     call->body.len);
	return call->status;
}

static int serve(struct call *call, struct err *err)
{
	int r = check_credential(call, err);

	if (r == 0)
		r = call->route->serve(call, err);
	if (r == 0 && call->body.is_over)
		r = err_set(err, ERR_TOO_LARGE, "the answer is larger than 16 MiB");
	return r;
}

void api_handle(struct http_request *rq, void *service, const void *arg)
{
	uint64_t start_us = clock_mono_us();
	struct err err = { 0 };
	struct call call = {
		.admin = service,
		.rq = rq,
		.route = arg,
		.body = BUF_INIT(ANSWER_MAX),
		.content_type = "application/json",
		.status = ((const struct route *)arg)->status,
	};
	int status = serve(&call, &err) == 0 ? respond(&call) : respond_err(&call, &err);

	metrics_count(call.admin->metrics, routes_index(call.route), status,
		      clock_mono_us() - start_us);
	crypto_wipe(call.session.token, sizeof(call.session.token));
	buf_done(&call.body);
	err_done(&err);
}
