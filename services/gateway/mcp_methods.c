#include "mcp_methods.h"

#include <string.h>
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "mgmt_tools.h"
#include "param_headers.h"
#include "result.h"

#define LIST_PAGE     500
#define CURSOR_PREFIX "tool:"
#define LIST_TTL_MS \
	1000 /* a change is announced at once; this is for clients that do not listen \
			    */
#define RESULT_MAX   (8u * 1024 * 1024)
#define CACHE        ",\"ttlMs\":1000,\"cacheScope\":\"private\""
#define CAPABILITIES "\"capabilities\":{\"logging\":{},\"tools\":{\"listChanged\":true}}"
#define INSTRUCTIONS                                                                               \
	"\"instructions\":\"MCPBox makes tools that stay: write one in Python with "               \
	"mcpbox_create_server and "                                                                \
	"mcpbox_create_tool, check it with mcpbox_validate_code, ask for the "                     \
	"hosts it needs "                                                                          \
	"with mcpbox_request_network_access and for its review with mcpbox_request_publish. Once " \
	"a person has "                                                                            \
	"approved it and mcpbox_start_server was called, it is listed here like any other tool.\""

_Static_assert(LIST_TTL_MS == 1000, "CACHE repeats it");

/* A handler appends the result object and returns HANDLED, or fills err and returns FAILED. */
enum handled { HANDLED, FAILED, STREAMING, SILENT };
typedef enum handled mcp_handler(struct mcp_context *c, struct buf *ret, struct rpc_error *err);

struct mcp_method {
	const char *name;
	unsigned eras; /* IN(ERA_LEGACY) | IN(ERA_MODERN) */
	mcp_handler *handler;
	/* Mcp-Param-* against the arguments, where the method has such; modern only. */
	int (*check_headers)(struct mcp_context *c, struct rpc_error *err);
};
#define IN(era) (1u << (era))

static enum handled fail(struct rpc_error *err, int status, int code, const char *text)
{
	rpc_error_set(err, status, code, "%s", text);
	return FAILED;
}

/* Named members of params; all absent without params.  FAILED when one occurs twice. */
static enum handled read_params(const struct mcp_context *c, const char *const *names, size_t count,
				struct json_span *ret, struct rpc_error *err)
{
	struct json_span params = c->message->params;
	struct err why = { 0 };

	for (size_t i = 0; i < count; i++)
		ret[i] = (struct json_span){ 0 };
	if (!params.at || json_scan_members(params.at, params.len, names, count, ret, &why) == 0)
		return HANDLED;
	rpc_error_set(err, 200, RPC_INVALID_PARAMS, "Invalid params: %s", why.text);
	return FAILED;
}

/* ---- opening ---- */

static enum handled handle_initialize(struct mcp_context *c, struct buf *ret, struct rpc_error *err)
{
	static const char *const names[] = { "protocolVersion" };
	char id[SESSION_ID_SIZE];
	BOX_CLEANUP(mem_freep) char *asked = NULL;
	struct json_span p[1];
	struct session session;
	enum mcp_version version;
	size_t len = 0;

	if (read_params(c, names, 1, p, err) == FAILED)
		return FAILED;
	if (!json_span_is_string(p[0]) || json_span_string(p[0], &asked, &len) < 0)
		return fail(err, 200, RPC_INVALID_PARAMS,
			    "Invalid params: protocolVersion must be a string");
	version = mcp_version_legacy(asked);
	if (version == MCP_NONE)
		version = MCP_LEGACY_NEWEST;
	session_new(c->gw->sessions, version, &session, id);
	http_add_header(c->rq, "Mcp-Session-Id", id);
	buf_printf(ret,
		   "{\"protocolVersion\":\"%s\"," CAPABILITIES
		   ",\"serverInfo\":{\"name\":\"" SERVER_NAME "\",\"version\":\"" BOX_VERSION
		   "\"}," INSTRUCTIONS "}",
		   mcp_version_text(version));
	return HANDLED;
}

static enum handled handle_discover(struct mcp_context *c, struct buf *ret, struct rpc_error *err)
{
	(void)err;
	result_add(ret, c->form,
		   "\"supportedVersions\":[\"" MODERN_VERSION "\"]," CAPABILITIES
		   "," INSTRUCTIONS CACHE,
		   "");
	return HANDLED;
}

static enum handled handle_ping(struct mcp_context *c, struct buf *ret, struct rpc_error *err)
{
	(void)err;
	result_add(ret, c->form, "", "");
	return HANDLED;
}

static enum handled handle_set_level(struct mcp_context *c, struct buf *ret, struct rpc_error *err)
{
	static const char *const names[] = { "level" };
	struct json_span p[1];
	enum log_severity level;

	if (read_params(c, names, 1, p, err) == FAILED)
		return FAILED;
	level = severity_parse(p[0]);
	if (level == SEVERITY_NONE)
		return fail(err, 200, RPC_INVALID_PARAMS, "Invalid params: unknown log level");
	session_set_level(c->gw->sessions, c->session, level);
	result_add(ret, c->form, "", "");
	return HANDLED;
}

/* ---- tools ---- */

/* The name to continue behind; "" from the start.  A cursor is a sort key, so every gateway
 * understands it. */
static enum handled read_cursor(struct json_span cursor, char **ret, struct rpc_error *err)
{
	const size_t prefix = strlen(CURSOR_PREFIX);
	BOX_CLEANUP(mem_freep) char *text = NULL;
	size_t len = 0;

	if (!cursor.at || json_span_equals(cursor, "")) {
		*ret = mem_strdup("");
		return HANDLED;
	}
	if (!json_span_is_string(cursor) || json_span_string(cursor, &text, &len) < 0 ||
	    strncmp(text, CURSOR_PREFIX, prefix) != 0 || len == prefix ||
	    strspn(text + prefix, "abcdefghijklmnopqrstuvwxyz0123456789_") != len - prefix)
		return fail(err, 200, RPC_INVALID_PARAMS, "Invalid params: invalid cursor");
	*ret = mem_strdup(text + prefix);
	return HANDLED;
}

static enum handled handle_tools_list(struct mcp_context *c, struct buf *ret, struct rpc_error *err)
{
	static const char *const names[] = { "cursor" };
	BOX_CLEANUP(mem_freep) char *after = NULL;
	struct buf members = BUF_INIT(RESULT_MAX);
	struct json_span p[1];
	const char *next;
	size_t empty;

	if (read_params(c, names, 1, p, err) == FAILED || read_cursor(p[0], &after, err) == FAILED)
		return FAILED;
	buf_add_str(&members, "\"tools\":[");
	empty = members.len;
	next = catalog_list(c->catalog, c->server, c->form, after[0] ? after : NULL, LIST_PAGE,
			    &members);
	if (!next && !c->server) {
		if (members.len > empty)
			buf_add_char(&members, ',');
		mgmt_list(c->form, &members);
	}
	buf_add_char(&members, ']');
	if (next)
		buf_printf(&members, ",\"nextCursor\":\"" CURSOR_PREFIX "%s\"", next);
	if (c->form == LIST_MODERN)
		buf_add_str(&members, CACHE);
	result_add(ret, c->form, buf_str(&members), "");
	buf_done(&members);
	return HANDLED;
}

enum { P_NAME, P_ARGUMENTS, P_COUNT };
static const char *const call_params[P_COUNT] = { "name", "arguments" };

/* The live tool that a call's params name; NULL when there is none. */
static const struct catalog_tool *find_called(const struct mcp_context *c, struct json_span name)
{
	BOX_CLEANUP(mem_freep) char *text = NULL;
	size_t len = 0;

	if (!json_span_is_string(name) || json_span_string(name, &text, &len) < 0)
		return NULL;
	return catalog_find(c->catalog, c->server, text);
}

static const char *header_value(void *arg, const char *name)
{
	return http_header(arg, name);
}

/* Row 7.  A name that nobody has is row 10's business. */
static int check_param_headers(struct mcp_context *c, struct rpc_error *err)
{
	struct json_span p[P_COUNT];
	struct rpc_error ignored;
	const struct catalog_tool *tool;

	if (read_params(c, call_params, P_COUNT, p, &ignored) == FAILED)
		return 0;
	tool = find_called(c, p[P_NAME]);
	if (!tool || (p[P_ARGUMENTS].at && !json_span_is_object(p[P_ARGUMENTS])))
		return 0;
	return param_headers_check(tool->headers, p[P_ARGUMENTS], header_value, c->rq, err);
}

/* Trace of the caller, when it has the W3C shape. */
static const char *read_traceparent(const struct mcp_context *c, char ret[64])
{
	struct json_span s = c->meta->traceparent;

	if (!json_span_is_string(s) || s.len - 2 != 55)
		return NULL;
	memcpy(ret, s.at + 1, 55);
	ret[55] = '\0';
	return strspn(ret, "0123456789abcdef-") == 55 ? ret : NULL;
}

/* Lowest level of log messages that go to the caller; before a legacy session chose one: info. */
static enum log_severity log_level(const struct mcp_context *c)
{
	enum log_severity level;

	if (c->era == ERA_MODERN)
		return severity_parse(c->meta->log_level);
	level = session_level(c->gw->sessions, c->session);
	return level == SEVERITY_NONE ? SEVERITY_INFO : level;
}

int mcp_run_tool(const struct mcp_context *c, const struct catalog_tool *tool,
		 struct json_span arguments, bool is_test, ProtobufCMessage **ret, struct err *err)
{
	char traceparent[64], timing[TIMING_SIZE];
	struct call_times times = { 0 };
	const struct call_request rq = {
		.tool = tool,
		.arguments = arguments,
		.progress_token = jsonrpc_is_id(c->meta->progress_token) ? c->meta->progress_token
									 : (struct json_span){ 0 },
		.log_level = log_level(c),
		.answer = c->answer,
		.ends_with_client = c->era == ERA_MODERN,
		.session = c->session,
		.request_id = c->message->id,
		.remote = c->caller->remote,
		.executed_by = c->caller->name[0] ? c->caller->name : c->caller->remote,
		.traceparent = read_traceparent(c, traceparent),
		.is_test = is_test,
		.times = &times,
	};
	int r = calls_run(c->gw->calls, &rq, ret, err);

	if (r == 0 && c->answer) {
		timing_text(&times, ((const PB(ExecuteReply) *)*ret)->done->timing,
			    clock_mono_us() - http_received_us(c->rq), timing);
		answer_set_timing(c->answer, timing);
	}
	return r;
}

static enum handled call_user_tool(const struct mcp_context *c, const struct catalog_tool *tool,
				   struct json_span arguments, struct buf *ret)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	struct err why = { 0 };
	int r = c->caller->may_call ? mcp_run_tool(c, tool, arguments, false, &reply, &why)
				    : err_set(&why, ERR_DENIED,
					      "this API token may not call tools: its scope is "
					      "read; ask for one "
					      "of scope call");

	if (r == 0)
		result_add_done(ret, c->form, tool, ((const PB(ExecuteReply) *)reply)->done);
	else
		result_add_failure(ret, c->form, why.text, strlen(why.text), &why);
	err_done(&why);
	return r == -ERR_CANCELLED ? SILENT : HANDLED;
}

/* A result, not an unknown tool: the caller may have it in its list still, and it will come back. */
static enum handled say_paused(const struct mcp_context *c, const char *server, struct buf *ret)
{
	struct err why = { 0 };

	(void)err_set_field(&why, ERR_STATE, NULL, "try again when an administrator resumes them",
			    "the calls of server '%s' are paused by an administrator; the tool was "
			    "not started",
			    server);
	metrics_count(METRIC_CALLS_REFUSED);
	result_add_failure(ret, c->form, why.text, strlen(why.text), &why);
	err_done(&why);
	return HANDLED;
}

static enum handled handle_tools_call(struct mcp_context *c, struct buf *ret, struct rpc_error *err)
{
	const struct catalog_tool *tool;
	const struct mgmt_tool *mgmt;
	const char *paused;
	BOX_CLEANUP(mem_freep) char *name = NULL;
	struct json_span p[P_COUNT];
	size_t len = 0;

	if (read_params(c, call_params, P_COUNT, p, err) == FAILED)
		return FAILED;
	if (!json_span_is_string(p[P_NAME]) || json_span_string(p[P_NAME], &name, &len) < 0)
		return fail(err, 200, RPC_INVALID_PARAMS, "Invalid params: name must be a string");
	if (p[P_ARGUMENTS].at && !json_span_is_object(p[P_ARGUMENTS]))
		return fail(err, 200, RPC_INVALID_PARAMS,
			    "Invalid params: arguments must be an object");
	mgmt = c->server ? NULL : mgmt_find(name);
	if (mgmt)
		return mgmt_call(mgmt, c, p[P_ARGUMENTS], ret) ? HANDLED : SILENT;
	tool = catalog_find(c->catalog, c->server, name);
	if (tool)
		return call_user_tool(c, tool, p[P_ARGUMENTS], ret);
	paused = catalog_paused_server(c->catalog, c->server, name);
	if (paused)
		return say_paused(c, paused, ret);
	rpc_error_set(err, 200, RPC_INVALID_PARAMS, "Unknown tool: %.100s", name);
	return FAILED;
}

/* ---- subscriptions/listen ---- */

enum { N_TOOLS, N_PROMPTS, N_RESOURCES, N_SUBSCRIPTIONS, N_TASKS, N_COUNT };

static bool is_boolean(struct json_span s)
{
	return !s.at || (s.len == 4 && memcmp(s.at, "true", 4) == 0) ||
	       (s.len == 5 && memcmp(s.at, "false", 5) == 0);
}

static bool is_true(struct json_span s)
{
	return s.at && s.at[0] == 't';
}

static bool declares_tasks(const struct mcp_meta *meta)
{
	static const char *const extensions[] = { "extensions" };
	static const char *const tasks[] = { "io.modelcontextprotocol/tasks" };
	struct json_span s = meta->client_capabilities, found[1];

	if (json_scan_members(s.at, s.len, extensions, 1, found, NULL) < 0 ||
	    !json_span_is_object(found[0]))
		return false;
	s = found[0];
	return json_scan_members(s.at, s.len, tasks, 1, found, NULL) == 0 &&
	       json_span_is_object(found[0]);
}

static enum handled read_wishes(const struct mcp_context *c, bool *ret_tools, struct rpc_error *err)
{
	static const char *const outer[] = { "notifications" };
	static const char *const inner[N_COUNT] = { "toolsListChanged", "promptsListChanged",
						    "resourcesListChanged", "resourceSubscriptions",
						    "taskIds" };
	struct json_span p[1], n[N_COUNT];
	struct err why = { 0 };

	if (read_params(c, outer, 1, p, err) == FAILED)
		return FAILED;
	if (!json_span_is_object(p[0]) ||
	    json_scan_members(p[0].at, p[0].len, inner, N_COUNT, n, &why) < 0)
		return fail(err, 200, RPC_INVALID_PARAMS,
			    "Invalid params: notifications must be an object");
	if (n[N_TASKS].at && !declares_tasks(c->meta)) {
		rpc_error_set(err, 400, RPC_MISSING_CAPABILITY, "Missing client capability");
		(void)strcpy(err->data, "{\"requiredCapabilities\":{\"extensions\":"
					"{\"io.modelcontextprotocol/tasks\":{}}}}");
		return FAILED;
	}
	if (!is_boolean(n[N_TOOLS]) || !is_boolean(n[N_PROMPTS]) || !is_boolean(n[N_RESOURCES]) ||
	    (n[N_SUBSCRIPTIONS].at && n[N_SUBSCRIPTIONS].at[0] != '['))
		return fail(err, 200, RPC_INVALID_PARAMS,
			    "Invalid params: a notification filter has a wrong type");
	*ret_tools = is_true(n[N_TOOLS]);
	return HANDLED;
}

static enum handled handle_listen(struct mcp_context *c, struct buf *ret, struct rpc_error *err)
{
	struct listener_want want = { .subscription_id = c->message->id, .server = c->server };
	long number;

	(void)ret;
	if (read_wishes(c, &want.wants_tools, err) == FAILED)
		return FAILED;
	if (!c->answer->accepts.sse)
		return fail(err, 406, RPC_INVALID_REQUEST,
			    "Not Acceptable: subscriptions/listen answers text/event-stream");
	number = listeners_reserve(c->gw->listeners, &want, c->catalog);
	if (number < 0)
		return fail(err, 200, RPC_INTERNAL, "Too many streams are open");
	listeners_attach(c->gw->listeners, number, sse_begin(c->rq));
	return STREAMING;
}

/* ---- the table ---- */

/* clang-format off */
static const struct mcp_method methods[] = {
	/* method                 eras                             handler            headers */
	{ "initialize",           IN(ERA_LEGACY),                  handle_initialize, NULL },
	{ "server/discover",      IN(ERA_MODERN),                  handle_discover,   NULL },
	{ "ping",                 IN(ERA_LEGACY),                  handle_ping,       NULL },
	{ "logging/setLevel",     IN(ERA_LEGACY),                  handle_set_level,  NULL },
	{ "tools/list",           IN(ERA_LEGACY) | IN(ERA_MODERN), handle_tools_list, NULL },
	{ "tools/call",           IN(ERA_LEGACY) | IN(ERA_MODERN), handle_tools_call, check_param_headers },
	{ "subscriptions/listen", IN(ERA_MODERN),                  handle_listen,     NULL },
};
/* clang-format on */

static const struct mcp_method *find_method(const struct mcp_context *c, struct rpc_error *err)
{
	const char *name = c->message->method;

	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if (strcmp(methods[i].name, name) == 0 && (methods[i].eras & IN(c->era)))
			return &methods[i];
	}
	if (c->era == ERA_MODERN && strcmp(name, "initialize") == 0)
		rpc_error_set(err, 404, RPC_NO_METHOD,
			      "Method not found: initialize; version " MODERN_VERSION
			      " has no opening handshake");
	else
		rpc_error_set(err, c->era == ERA_MODERN ? 404 : 200, RPC_NO_METHOD,
			      "Method not found: %.100s", name);
	return NULL;
}

static enum handled run(struct mcp_context *c, struct buf *result, struct rpc_error *err)
{
	const struct mcp_method *m = find_method(c, err);

	if (!m)
		return FAILED;
	if (c->era == ERA_MODERN && m->check_headers && m->check_headers(c, err) < 0)
		return FAILED;
	if (c->era == ERA_MODERN && c->meta->log_level.at &&
	    severity_parse(c->meta->log_level) == SEVERITY_NONE)
		return fail(err, 200, RPC_INVALID_PARAMS, "Invalid params: unknown log level");
	return m->handler(c, result, err);
}

enum mcp_outcome mcp_handle(struct mcp_context *c, struct buf *ret_body, int *ret_status)
{
	struct buf result = BUF_INIT(RESULT_MAX);
	struct rpc_error err = { 0 };
	enum handled handled = run(c, &result, &err);

	if (handled == HANDLED && result.is_over) {
		handled = FAILED;
		rpc_error_set(&err, 200, RPC_INTERNAL, "The result is larger than 8 MiB");
	}
	*ret_status = handled == FAILED ? err.status : 200;
	if (handled == HANDLED)
		jsonrpc_add_result(ret_body, c->message->id, result.data, result.len);
	else if (handled == FAILED)
		jsonrpc_add_error(ret_body, c->message->id, &err);
	buf_done(&result);
	if (handled == STREAMING)
		return MCP_STREAMING;
	return handled == SILENT ? MCP_SILENT : MCP_ANSWERED;
}

void mcp_notified(struct gateway *gw, const struct session *session,
		  const struct jsonrpc_message *message)
{
	static const char *const names[] = { "requestId" };
	struct json_span p[1];

	/* Of what clients announce, only this has an effect here. */
	if (strcmp(message->method, "notifications/cancelled") != 0 || !message->params.at)
		return;
	if (json_scan_members(message->params.at, message->params.len, names, 1, p, NULL) == 0 &&
	    jsonrpc_is_id(p[0]))
		calls_cancel_request(gw->calls, session, p[0]);
}
