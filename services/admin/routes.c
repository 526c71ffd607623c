#include <string.h>
#include "about.h"
#include "api.h"
#include "feed.h"
#include "bulk.h"
#include "files.h"
#include "login.h"
#include "mem.h"
#include "openapi.h"
#include "routes.h"
#include "static_files.h"

/* ---- what answers look like, where they are not the reply itself ---- */

static const struct view nothing = { .kind = VIEW_NOTHING };
static const struct view server = { .kind = VIEW_MEMBER, .member = "server" };
static const struct view tool = { .kind = VIEW_MEMBER, .member = "tool" };
static const struct view version = { .kind = VIEW_MEMBER, .member = "version" };
static const struct view request = { .kind = VIEW_MEMBER, .member = "request" };
static const struct view user = { .kind = VIEW_MEMBER, .member = "user" };
static const struct view secret = { .kind = VIEW_MEMBER, .member = "secret" };
static const struct view server_list = { .kind = VIEW_LIST, .member = "servers" };
static const struct view tool_list = { .kind = VIEW_LIST, .member = "tools" };

static const struct view_key version_keys[] = {
	{ "id", "id" },
	{ "version_number", "version" },
	{ "change_summary", "change_summary" },
	{ "change_source", "change_source" },
	{ "created_at", "created_at" },
	{ "content_hash", "content_hash" },
	{ "is_live", "is_live" },
	{ 0 },
};
static const struct view version_list = {
	.kind = VIEW_LIST,
	.member = "versions",
	.keys = version_keys,
	.total = "total_versions",
};

static const struct view_key server_state_keys[] = {
	{ "server_id", "server_id" },
	{ "status", "status" },
	{ "registered_tools", "registered_tools" },
	{ "message", "message" },
	{ 0 },
};
static const struct view_key server_logs_keys[] = {
	{ "server_id", "server_id" },
	{ "message", "message" },
	{ 0 },
};
static const struct view server_logs = { .kind = VIEW_WHOLE, .keys = server_logs_keys };
static const struct view server_state = { .kind = VIEW_WHOLE, .keys = server_state_keys };

/* ---- the table ---- */

#define NO_BODY   0
#define SMALL     (16u * 1024)
#define LARGE     (1024u * 1024)     /* code, schemas */
#define FILE_SIZE (7u * 1024 * 1024) /* what the registry takes */
#define ARGUMENTS (2u * 1024 * 1024) /* 1 MiB of arguments, however they are spaced */

/* Asks the registry one question. */
#define ASK(method_, pattern_, body_, question_, then_, status_, view_)                    \
	{                                                                                  \
		.method = (method_), .pattern = (pattern_), .max_body = (body_),           \
		.serve = api_serve_question, .question = MSG_##question_, .then = (then_), \
		.status = (status_), .view = (view_)                                       \
	}
/* The same, where a tool runs meanwhile. */
#define ASK_LONG(method_, pattern_, body_, question_)                                          \
	{                                                                                      \
		.method = (method_), .pattern = (pattern_), .max_body = (body_),               \
		.flags = ROUTE_LONG, .serve = api_serve_question, .question = MSG_##question_, \
		.status = 200                                                                  \
	}
#define ASK_OPEN(method_, pattern_, body_, question_, status_)                                 \
	{                                                                                      \
		.method = (method_), .pattern = (pattern_), .max_body = (body_),               \
		.flags = ROUTE_OPEN, .serve = api_serve_question, .question = MSG_##question_, \
		.status = (status_)                                                            \
	}
/* Has a function of its own. */
#define OWN(method_, pattern_, body_, flags_, serve_, question_)                             \
	{                                                                                    \
		.method = (method_), .pattern = (pattern_), .max_body = (body_),             \
		.flags = (flags_), .serve = (serve_), .question = (question_), .status = 200 \
	}
/* Is answered here, without a question. */
#define ANSWERS(pattern_, serve_, reply_)                                                       \
	{                                                                                       \
		.method = "GET", .pattern = (pattern_), .flags = ROUTE_OPEN, .serve = (serve_), \
		.status = 200, .reply = &mcpbox__v1__##reply_##__descriptor                     \
	}
/* Asks one question for each of many ids. */
#define BULK(pattern_, question_, request_)                                                      \
	{                                                                                        \
		.method = "POST", .pattern = (pattern_), .max_body = SMALL, .serve = bulk_serve, \
		.question = MSG_##question_, .status = 200,                                      \
		.request = &mcpbox__v1__##request_##__descriptor,                                \
		.reply = &mcpbox__v1__bulk_decide_reply__descriptor                              \
	}

static const struct route routes[] = {
	/* who is asking */
	ASK_OPEN("GET", "/auth/status", NO_BODY, AUTH_STATUS, 200),
	ASK_OPEN("POST", "/auth/setup", SMALL, SETUP, 201),
	OWN("POST", "/auth/login", SMALL, ROUTE_OPEN, login_serve_tokens, MSG_LOGIN),
	OWN("POST", "/auth/refresh", SMALL, ROUTE_OPEN, login_serve_tokens, MSG_REFRESH),
	OWN("POST", "/auth/logout", SMALL, 0, login_serve_logout, MSG_LOGOUT),
	OWN("GET", "/auth/me", NO_BODY, 0, login_serve_me, MSG_WHO_AM_I),
	ASK("POST", "/auth/change-password", SMALL, CHANGE_PASSWORD, 0, 200, NULL),
	ASK("GET", "/api/users", NO_BODY, LIST_USERS, 0, 200, NULL),
	ASK("POST", "/api/users", SMALL, CREATE_USER, 0, 201, &user),
	ASK("PATCH", "/api/users/{user_id}", SMALL, UPDATE_USER, 0, 200, &user),
	ASK("DELETE", "/api/users/{user_id}", SMALL, DELETE_USER, 0, 204, &nothing),
	ASK("GET", "/api/sessions", NO_BODY, LIST_SESSIONS, 0, 200, NULL),
	ASK("DELETE", "/api/sessions/{session_id}", SMALL, END_SESSION, 0, 204, &nothing),
	ASK("GET", "/api/tokens", NO_BODY, LIST_TOKENS, 0, 200, NULL),
	ASK("POST", "/api/tokens", SMALL, CREATE_TOKEN, 0, 201, NULL),
	ASK("DELETE", "/api/tokens/{token_id}", SMALL, DELETE_TOKEN, 0, 204, &nothing),

	/* servers */
	ASK("GET", "/api/servers", NO_BODY, LIST_SERVERS, 0, 200, &server_list),
	ASK("POST", "/api/servers", SMALL, CREATE_SERVER, MSG_GET_SERVER, 201, &server),
	ASK("GET", "/api/servers/{server_id}", NO_BODY, GET_SERVER, 0, 200, &server),
	ASK("PATCH", "/api/servers/{server_id}", SMALL, UPDATE_SERVER, 0, 200, &server),
	ASK("PUT", "/api/servers/{server_id}/warm-reuse", SMALL, SET_WARM_REUSE, 0, 200, &server),
	ASK("DELETE", "/api/servers/{server_id}", SMALL, DELETE_SERVER, 0, 204, &nothing),
	ASK("GET", "/api/servers/{server_id}/tools", NO_BODY, LIST_TOOLS, 0, 200, &tool_list),
	ASK("POST", "/api/servers/{server_id}/tools", LARGE, CREATE_TOOL, MSG_GET_TOOL, 201, &tool),
	ASK("POST", "/api/servers/{server_id}/allowed-hosts", SMALL, ALLOW_HOST, 0, 200, NULL),
	ASK("DELETE", "/api/servers/{server_id}/allowed-hosts", SMALL, REMOVE_HOST, 0, 200, NULL),
	ASK("POST", "/api/sandbox/servers/{server_id}/start", SMALL, START_SERVER, 0, 200,
	    &server_state),
	ASK("POST", "/api/sandbox/servers/{server_id}/stop", SMALL, STOP_SERVER, 0, 200,
	    &server_state),
	ASK("POST", "/api/sandbox/servers/{server_id}/restart", SMALL, RESTART_SERVER, 0, 200,
	    &server_state),
	ASK("GET", "/api/sandbox/servers/{server_id}/status", NO_BODY, GET_SERVER_STATE, 0, 200,
	    &server_state),
	ASK("GET", "/api/sandbox/servers/{server_id}/logs", NO_BODY, GET_SERVER_STATE, 0, 200,
	    &server_logs),
	ASK("GET", "/api/servers/{server_id}/secrets", NO_BODY, LIST_SECRETS, 0, 200, NULL),
	ASK("POST", "/api/servers/{server_id}/secrets", SMALL, ADD_SECRET, 0, 201, &secret),
	ASK("PUT", "/api/servers/{server_id}/secrets/{key}", LARGE, SET_SECRET, 0, 200, &secret),
	ASK("POST", "/api/keys/rotate", SMALL, ROTATE_KEYS, 0, 200, NULL),
	ASK("DELETE", "/api/servers/{server_id}/secrets/{key}", SMALL, DELETE_SECRET, 0, 204,
	    &nothing),
	ASK("POST", "/api/servers/{server_id}/pause", SMALL, PAUSE, 0, 200, NULL),
	ASK("POST", "/api/servers/{server_id}/resume", SMALL, RESUME, 0, 200, NULL),
	ASK("GET", "/api/pause", NO_BODY, GET_PAUSE, 0, 200, NULL),
	ASK("POST", "/api/pause", SMALL, PAUSE, 0, 200, NULL),
	ASK("POST", "/api/resume", SMALL, RESUME, 0, 200, NULL),

	/* tools; fixed segments stand before braces */
	ASK("POST", "/api/tools/validate-code", LARGE, VALIDATE_CODE, 0, 200, NULL),
	ASK_LONG("POST", "/api/tools/test-code", ARGUMENTS, TEST_CODE),
	ASK("GET", "/api/tools/{tool_id}", NO_BODY, GET_TOOL, 0, 200, &tool),
	ASK("PATCH", "/api/tools/{tool_id}", LARGE, UPDATE_TOOL, MSG_GET_TOOL, 200, &tool),
	ASK("DELETE", "/api/tools/{tool_id}", SMALL, DELETE_TOOL, 0, 204, &nothing),
	ASK("GET", "/api/tools/{tool_id}/versions", NO_BODY, LIST_TOOL_VERSIONS, 0, 200,
	    &version_list),
	ASK("GET", "/api/tools/{tool_id}/versions/compare", NO_BODY, COMPARE_TOOL_VERSIONS, 0, 200,
	    NULL),
	ASK("GET", "/api/tools/{tool_id}/versions/{version}", NO_BODY, GET_TOOL_VERSION, 0, 200,
	    &version),
	ASK("POST", "/api/tools/{tool_id}/versions/{version}/rollback", SMALL, ROLLBACK_TOOL,
	    MSG_GET_TOOL, 200, &tool),

	/* logs of calls */
	ASK("GET", "/api/tools/{tool_id}/logs", NO_BODY, LIST_EXECUTIONS, 0, 200, NULL),
	ASK("GET", "/api/servers/{server_id}/execution-logs", NO_BODY, LIST_EXECUTIONS, 0, 200,
	    NULL),
	ASK("GET", "/api/execution-logs", NO_BODY, LIST_EXECUTIONS, 0, 200, NULL),
	ASK("GET", "/api/execution-logs/stats", NO_BODY, GET_EXECUTION_STATS, 0, 200, NULL),
	ASK("GET", "/api/dashboard", NO_BODY, GET_DASHBOARD, 0, 200, NULL),
	ASK("GET", "/api/activity/logs", NO_BODY, LIST_ACTIVITY, 0, 200, NULL),
	ASK("GET", "/api/activity/logs/{activity_id}", NO_BODY, GET_ACTIVITY, 0, 200, NULL),
	{ .method = "GET",
	  .pattern = "/api/activity/stream",
	  .serve = feed_serve,
	  .question = MSG_GET_ACTIVITY_AFTER,
	  .status = 200,
	  .request = &mcpbox__v1__activity_filter__descriptor,
	  .reply = &mcpbox__v1__activity__descriptor },
	ASK("GET", "/api/activity/recent", NO_BODY, GET_RECENT_ACTIVITY, 0, 200, NULL),
	ASK("GET", "/api/activity/stats", NO_BODY, GET_ACTIVITY_STATS, 0, 200, NULL),
	ASK("GET", "/api/activity/request/{request_id}", NO_BODY, GET_REQUEST_ACTIVITY, 0, 200,
	    NULL),
	ASK("DELETE", "/api/activity/logs", NO_BODY, DELETE_ACTIVITY, 0, 200, NULL),
	ASK("GET", "/api/logs/{log_id}", NO_BODY, GET_EXECUTION, 0, 200, NULL),

	/* decisions */
	ASK("GET", "/api/approvals/stats", NO_BODY, GET_APPROVAL_STATS, 0, 200, NULL),
	ASK("GET", "/api/approvals/server/{server_id}/modules", NO_BODY, LIST_MODULE_REQUESTS, 0,
	    200, NULL),
	ASK("GET", "/api/approvals/server/{server_id}/network", NO_BODY, LIST_NETWORK_REQUESTS, 0,
	    200, NULL),
	BULK("/api/approvals/tools/bulk-action", DECIDE_TOOL, bulk_decide_tools_request),
	BULK("/api/approvals/modules/bulk-action", DECIDE_MODULE, bulk_decide_request),
	BULK("/api/approvals/network/bulk-action", DECIDE_NETWORK, bulk_decide_request),
	ASK("GET", "/api/approvals/tools", NO_BODY, LIST_TOOL_APPROVALS, 0, 200, NULL),
	ASK("POST", "/api/approvals/tools/{tool_id}/action", SMALL, DECIDE_TOOL, 0, 200, NULL),
	ASK("POST", "/api/approvals/tools/{tool_id}/revoke", SMALL, REVOKE_TOOL, 0, 200, NULL),
	ASK("GET", "/api/approvals/network", NO_BODY, LIST_NETWORK_REQUESTS, 0, 200, NULL),
	ASK("POST", "/api/approvals/network/{request_id}/action", SMALL, DECIDE_NETWORK, 0, 200,
	    &request),
	ASK("POST", "/api/approvals/network/{request_id}/revoke", SMALL, REVOKE_NETWORK, 0, 200,
	    &request),
	ASK("DELETE", "/api/approvals/network/{request_id}", SMALL, DELETE_NETWORK_REQUEST, 0, 200,
	    NULL),
	ASK("GET", "/api/approvals/modules", NO_BODY, LIST_MODULE_REQUESTS, 0, 200, NULL),
	ASK("POST", "/api/approvals/modules/{request_id}/action", SMALL, DECIDE_MODULE, 0, 200,
	    &request),
	ASK("POST", "/api/approvals/modules/{request_id}/revoke", SMALL, REVOKE_MODULE, 0, 200,
	    &request),
	ASK("DELETE", "/api/approvals/modules/{request_id}", SMALL, DELETE_MODULE_REQUEST, 0, 200,
	    NULL),

	/* settings */
	ASK("GET", "/api/settings/modules", NO_BODY, GET_MODULES, 0, 200, NULL),
	ASK("PATCH", "/api/settings/modules", SMALL, UPDATE_MODULES, 0, 200, NULL),
	ASK("GET", "/api/settings/security-policy", NO_BODY, GET_SECURITY_POLICY, 0, 200, NULL),
	ASK("PATCH", "/api/settings/security-policy", SMALL, UPDATE_SECURITY_POLICY, 0, 200, NULL),
	ASK("PATCH", "/api/settings/security-profile", SMALL, APPLY_SECURITY_PROFILE, 0, 200, NULL),
	ASK("POST", "/api/settings/onboarding-complete", SMALL, COMPLETE_ONBOARDING, 0, 200, NULL),
	ASK("GET", "/api/settings", NO_BODY, LIST_SETTINGS, 0, 200, NULL),

	/* servers as files */
	OWN("GET", "/api/export/servers", NO_BODY, 0, files_serve_export, MSG_GET_EXPORT),
	OWN("GET", "/api/export/servers/{server_id}", NO_BODY, 0, files_serve_export,
	    MSG_GET_EXPORT),
	OWN("GET", "/api/export/download/servers", NO_BODY, 0, files_serve_export, MSG_GET_EXPORT),
	OWN("POST", "/api/export/import", FILE_SIZE, ROUTE_LONG, files_serve_import, MSG_IMPORT),

	/* about this process */
	ANSWERS("/api/config", about_serve_config, app_config),
	OWN("GET", "/api/openapi.json", NO_BODY, ROUTE_OPEN, openapi_serve, 0),
	ANSWERS("/health/detail", about_serve_health_detail, health_detail),
	ANSWERS("/health/services", about_serve_health_detail, health_detail),
	ANSWERS("/health", about_serve_health, health),
	OWN("GET", "/metrics", NO_BODY, ROUTE_OPEN, about_serve_metrics, 0),

	/* the web UI takes what is left */
	OWN("GET", "/{path...}", NO_BODY, ROUTE_OPEN, static_files_serve, 0),
};

size_t routes_count(void)
{
	return ARRAY_LEN(routes);
}

const struct route *routes_at(size_t i)
{
	return &routes[i];
}

size_t routes_index(const struct route *route)
{
	return (size_t)(route - routes);
}

struct http_route *routes_for_http(void)
{
	struct http_route *ret = mem_alloc_array(ARRAY_LEN(routes), sizeof(*ret));

	for (size_t i = 0; i < ARRAY_LEN(routes); i++)
		ret[i] = (struct http_route){
			.method = routes[i].method,
			.pattern = routes[i].pattern,
			.handler = api_handle,
			.arg = &routes[i],
			.max_body = routes[i].max_body,
		};
	return ret;
}

bool routes_is_api(const char *path)
{
	static const char *const roots[] = { "/api", "/auth", "/health", "/metrics" };

	for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
		size_t len = strlen(roots[i]);

		if (strncmp(path, roots[i], len) == 0 && (path[len] == 0 || path[len] == '/'))
			return true;
	}
	return false;
}
