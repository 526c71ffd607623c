#include "describe.h"

#include <stdio.h>
#include <string.h>
#include "attrs.h"
#include "mem.h"

/* clang-format off */

#define NO  false
#define YES true

/* ---- routes --------------------------------------------------------------------------------------- */

static const struct route_text route_texts[] = {
	{ "GET /auth/status", "Is the first administrator still to be made?", NULL, NULL, NO, NO },
	{ "POST /auth/setup", "Make the first administrator", "Once; 409 ever after. It does not log in.", NULL, NO, NO },
	{ "POST /auth/login", "Log in", "Also sets the cookie mcpbox_session. Five failures in a minute for an address or a user: 429.", NULL, NO, NO },
	{ "POST /auth/refresh", "New tokens for a refresh token", "A refresh token works once; a second use ends the session.", NULL, NO, NO },
	{ "POST /auth/logout", "End this session", NULL, NULL, NO, NO },
	{ "GET /auth/me", "Who is logged in", "csrf_token is what changes need as X-CSRF-Token beside the cookie.", NULL, NO, NO },
	{ "POST /auth/change-password", "Change one's own password", "Ends one's other sessions.", NULL, NO, NO },
	{ "GET /api/users", "Accounts", NULL, NULL, NO, NO },
	{ "POST /api/users", "Make an account", NULL, NULL, NO, NO },
	{ "PATCH /api/users/{user_id}", "Change an account's role, or switch it off and on", NULL, NULL, NO, NO },
	{ "DELETE /api/users/{user_id}", "Delete an account with its sessions and tokens", NULL, NULL, NO, NO },
	{ "GET /api/sessions", "One's own sessions", "An administrator sees everybody's.", NULL, NO, NO },
	{ "DELETE /api/sessions/{session_id}", "End a session", NULL, NULL, NO, NO },
	{ "GET /api/tokens", "One's own API tokens", "An administrator sees everybody's. The tokens themselves are never shown again.", NULL, NO, NO },
	{ "POST /api/tokens", "Make an API token", "token is shown in this answer only.", NULL, NO, NO },
	{ "DELETE /api/tokens/{token_id}", "End an API token", NULL, NULL, NO, NO },
	{ "GET /api/servers", "Servers, newest first", NULL, NULL, NO, NO },
	{ "POST /api/servers", "Make a server", NULL, NULL, NO, NO },
	{ "GET /api/servers/{server_id}", "One server with its tools", NULL, NULL, NO, NO },
	{ "PATCH /api/servers/{server_id}", "Change a server's name, description or default timeout", NULL, NULL, NO, NO },
	{ "PUT /api/servers/{server_id}/warm-reuse", "Let one process serve many calls of the same tool version, or not", "Refused for servers that reveal secrets to their tools.", NULL, NO, NO },
	{ "DELETE /api/servers/{server_id}", "Delete a server with all that belongs to it", "Running calls end.", NULL, NO, NO },
	{ "GET /api/servers/{server_id}/tools", "Tools of a server", NULL, NULL, NO, NO },
	{ "POST /api/servers/{server_id}/tools", "Make a tool, as a draft", NULL, NULL, NO, NO },
	{ "POST /api/servers/{server_id}/allowed-hosts", "Allow a host to all tools of a server", NULL, NULL, NO, NO },
	{ "DELETE /api/servers/{server_id}/allowed-hosts", "Take away a host that an administrator allowed", NULL, NULL, NO, NO },
	{ "POST /api/sandbox/servers/{server_id}/start", "Start a server", "409 when it runs already, 400 when it has no approved and enabled tool.", NULL, NO, NO },
	{ "POST /api/sandbox/servers/{server_id}/stop", "Stop a server", "Its running calls end.", NULL, NO, NO },
	{ "POST /api/sandbox/servers/{server_id}/restart", "End a server's running calls and start it anew", "Whatever its status is.", NULL, NO, NO },
	{ "GET /api/sandbox/servers/{server_id}/status", "Does a server run, and with how many tools?", NULL, NULL, NO, NO },
	{ "GET /api/sandbox/servers/{server_id}/logs", "Where the logs of a server's calls are", NULL, NULL, NO, NO },
	{ "GET /api/servers/{server_id}/secrets", "Secrets of a server", "Never their values.", NULL, NO, NO },
	{ "POST /api/servers/{server_id}/secrets", "Make a secret without a value", NULL, NULL, NO, NO },
	{ "PUT /api/servers/{server_id}/secrets/{key}", "Set a secret's value", "The value is in no answer. What is not given of mode, hosts and places stays as it was.", NULL, NO, NO },
	{ "POST /api/keys/rotate", "Seal all secrets anew, with a new key", "While everything runs; all of it or nothing.", NULL, NO, NO },
	{ "DELETE /api/servers/{server_id}/secrets/{key}", "Delete a secret", NULL, NULL, NO, NO },
	{ "POST /api/servers/{server_id}/pause", "Stop all calls of a server at once", NULL, NULL, NO, NO },
	{ "POST /api/servers/{server_id}/resume", "Undo the pause of a server", NULL, NULL, NO, NO },
	{ "GET /api/pause", "What is paused", NULL, NULL, NO, NO },
	{ "POST /api/pause", "Stop all calls at once", NULL, NULL, NO, NO },
	{ "POST /api/resume", "Undo the pause of everything", NULL, NULL, NO, NO },
	{ "POST /api/tools/validate-code", "Check source and derive its schemas; nothing runs", NULL, NULL, NO, NO },
	{ "POST /api/tools/test-code", "Run a tool's newest version, approved or not, and tell which hosts it reached", "200 also when the tool failed. It takes as long as the tool does.", NULL, NO, NO },
	{ "GET /api/tools/{tool_id}", "One tool", "Status, code and current_version are those of its newest version, live_version is the one that runs.", NULL, NO, NO },
	{ "PATCH /api/tools/{tool_id}", "Change a tool", "Changed content is a new version and a draft; the live version keeps serving.", NULL, NO, NO },
	{ "DELETE /api/tools/{tool_id}", "Delete a tool", "Running calls end.", NULL, NO, NO },
	{ "GET /api/tools/{tool_id}/versions", "Versions of a tool, newest first", NULL, NULL, NO, NO },
	{ "GET /api/tools/{tool_id}/versions/compare", "What differs between two versions", NULL, NULL, NO, NO },
	{ "GET /api/tools/{tool_id}/versions/{version}", "One version with all of its content", NULL, NULL, NO, NO },
	{ "POST /api/tools/{tool_id}/versions/{version}/rollback", "Make a new version from an older one", "400 unless it is older than the newest.", NULL, NO, NO },
	{ "GET /api/tools/{tool_id}/logs", "Calls of a tool, newest first", NULL, NULL, NO, NO },
	{ "GET /api/servers/{server_id}/execution-logs", "Calls of a server's tools, newest first", NULL, NULL, NO, NO },
	{ "GET /api/execution-logs", "Calls, newest first", NULL, NULL, NO, NO },
	{ "GET /api/execution-logs/stats", "Figures of calls", NULL, NULL, NO, NO },
	{ "GET /api/logs/{log_id}", "One call", NULL, NULL, NO, NO },
	{ "GET /api/dashboard", "Figures for the first page", "Of the chosen period, whatever a field is called.", NULL, NO, NO },
	{ "GET /api/activity/logs", "What happened, newest first: audit, calls, outbound requests", "Rows of the audit are for those who may read it.", NULL, NO, NO },
	{ "GET /api/activity/logs/{activity_id}", "One row of activity", NULL, NULL, NO, NO },
	{ "GET /api/activity/stream", "Activity as it happens, as Server-Sent Events", "With Last-Event-ID it goes on behind that row. Events: connected, log, gap (rows were left out), end.", "text/event-stream", NO, NO },
	{ "GET /api/activity/recent", "The newest rows of activity", NULL, NULL, NO, NO },
	{ "GET /api/activity/stats", "Figures of activity", NULL, NULL, NO, NO },
	{ "GET /api/activity/request/{request_id}", "Activity of one call", NULL, NULL, NO, NO },
	{ "DELETE /api/activity/logs", "Delete old activity", "more: the time was up, ask again for the rest.", NULL, NO, NO },
	{ "GET /api/approvals/stats", "How much waits and how much was decided", NULL, NULL, NO, NO },
	{ "GET /api/approvals/server/{server_id}/modules", "Requests of a server for modules; the approved ones unless told otherwise", NULL, NULL, NO, NO },
	{ "GET /api/approvals/server/{server_id}/network", "Requests of a server for hosts; the approved ones unless told otherwise", NULL, NULL, NO, NO },
	{ "POST /api/approvals/tools/bulk-action", "Decide about many tools", "Each by itself: one refusal undoes nothing.", NULL, NO, NO },
	{ "POST /api/approvals/modules/bulk-action", "Decide about many requests for modules", "Each by itself: one refusal undoes nothing.", NULL, NO, NO },
	{ "POST /api/approvals/network/bulk-action", "Decide about many requests for hosts", "Each by itself: one refusal undoes nothing. Private hosts are approved one by one.", NULL, NO, NO },
	{ "GET /api/approvals/tools", "Tools to decide about, newest request first", NULL, NULL, NO, NO },
	{ "POST /api/approvals/tools/{tool_id}/action", "Approve, reject or submit a tool's newest version", "With two approvals required the first leaves it pending_review.", NULL, NO, NO },
	{ "POST /api/approvals/tools/{tool_id}/revoke", "Take the approval back", "It no longer runs; running calls end.", NULL, NO, NO },
	{ "GET /api/approvals/network", "Requests for hosts, newest first", NULL, NULL, NO, NO },
	{ "POST /api/approvals/network/{request_id}/action", "Approve or reject a host", NULL, NULL, NO, NO },
	{ "POST /api/approvals/network/{request_id}/revoke", "Take the approval of a host back", "The request is pending again.", NULL, NO, NO },
	{ "DELETE /api/approvals/network/{request_id}", "Forget a request for a host, so that it may be made again", "An approved one is revoked first.", NULL, NO, NO },
	{ "GET /api/approvals/modules", "Requests for modules, newest first", NULL, NULL, NO, NO },
	{ "POST /api/approvals/modules/{request_id}/action", "Approve or reject a module, for all servers", NULL, NULL, NO, NO },
	{ "POST /api/approvals/modules/{request_id}/revoke", "Take the approval of a module back", "The request is pending again.", NULL, NO, NO },
	{ "DELETE /api/approvals/modules/{request_id}", "Forget a request for a module, so that it may be made again", "An approved one is revoked first.", NULL, NO, NO },
	{ "GET /api/settings/modules", "Modules that tools may import", NULL, NULL, NO, NO },
	{ "PATCH /api/settings/modules", "Add and remove modules", "What a tool asked for is revoked, not removed; defaults stay.", NULL, NO, NO },
	{ "GET /api/settings/security-policy", "The security policy", NULL, NULL, NO, NO },
	{ "PATCH /api/settings/security-policy", "Change the security policy", NULL, NULL, NO, NO },
	{ "PATCH /api/settings/security-profile", "Set the policies of a profile", NULL, NULL, NO, NO },
	{ "POST /api/settings/onboarding-complete", "Onboarding is done", NULL, NULL, NO, NO },
	{ "GET /api/settings", "Settings beside the security policy", NULL, NULL, NO, NO },
	{ "GET /api/export/servers", "All servers as a file", NULL, "application/json", NO, NO },
	{ "GET /api/export/servers/{server_id}", "One server as a file", NULL, "application/json", NO, NO },
	{ "GET /api/export/download/servers", "All servers as a file to keep", NULL, "application/json", NO, NO },
	{ "POST /api/export/import", "Make servers of a file", "The body is the file as it was written, to the byte. Nothing that is here is written over, and no tool runs without a decision.", NULL, NO, YES },
	{ "GET /api/config", "What this is", NULL, NULL, NO, NO },
	{ "GET /api/openapi.json", "This description", NULL, "application/json", NO, NO },
	{ "GET /health", "Can anything be administered?", NULL, NULL, YES, NO },
	{ "GET /health/detail", "Is every service there?", NULL, NULL, YES, NO },
	{ "GET /health/services", "Is every service there?", NULL, NULL, YES, NO },
	{ "GET /metrics", "Figures for Prometheus", NULL, "text/plain", NO, NO },
	{ "GET /{path...}", "The web UI; with Accept: application/json what this is", NULL, "text/html", NO, NO },
};

/* ---- fields --------------------------------------------------------------------------------------- */

#define NAME     "\"pattern\":\"^[a-z][a-z0-9]*(_[a-z0-9]+)*$\",\"maxLength\":60"
#define TEXT     "\"maxLength\":2000"
#define HASH     "\"pattern\":\"^[0-9a-f]{64}$\""
#define PASSWORD "\"minLength\":12,\"maxLength\":128"
#define OBJECT   "\"type\":\"object\""
#define ONE_OF(list) "\"enum\":[" list "]"
#define NEEDED true
#define MAY_BE false

static const struct field_text field_texts[] = {
	/* in many messages */
	{ NULL, "page", "Number of the page, from 1", MAY_BE, 1, 1000000, NULL },
	{ NULL, "page_size", "Rows of a page", MAY_BE, 1, 100, NULL },
	{ NULL, "search", "A part of the text, in any case", MAY_BE, 0, 0, "\"maxLength\":255" },
	{ NULL, "revision", "Of the object, as you saw it: 409 when it has changed since. Also as If-Match", MAY_BE, 0, 0, NULL },
	{ NULL, "server_id", "Id of a server", MAY_BE, 0, 0, NULL },
	{ NULL, "tool_id", "Id of a tool", MAY_BE, 0, 0, NULL },
	{ NULL, "request_id", "Id of a request", MAY_BE, 0, 0, NULL },
	{ NULL, "published_name", "What MCP clients call it; fixed when it is made", MAY_BE, 0, 0, NULL },
	{ NULL, "current_version", "The newest version", MAY_BE, 0, 0, NULL },
	{ NULL, "live_version", "The approved version that runs; null: none", MAY_BE, 0, 0, NULL },
	{ NULL, "content_hash", "Of what a reviewer decides about: code, schemas, description, name, limits", MAY_BE, 0, 0, NULL },
	{ NULL, "approval_status", "draft, pending_review, approved or rejected; of the newest version", MAY_BE, 0, 0, NULL },
	{ NULL, "limits", "memory_mb 16-1024, cpu_ms 100-300000, output_kb 1-4096, result_kb 1-1024, files 16-256, threads 1-64, scratch_mb 1-64", MAY_BE, 0, 0, NULL },
	{ NULL, "total", "In all pages", MAY_BE, 0, 0, NULL },

	/* people */
	{ "SetupRequest", "username", "3 to 50 letters, digits and underscores", NEEDED, 0, 0, "\"pattern\":\"^[a-zA-Z][a-zA-Z0-9_]*$\",\"minLength\":3,\"maxLength\":50" },
	{ "SetupRequest", "password", "12 to 128 characters", NEEDED, 0, 0, PASSWORD },
	{ "LoginRequest", "username", "Name of the account", NEEDED, 0, 0, NULL },
	{ "LoginRequest", "password", "Its password", NEEDED, 0, 0, NULL },
	{ "RefreshRequest", "refresh_token", "From the last login or refresh", NEEDED, 0, 0, NULL },
	{ "LogoutRequest", "refresh_token", "Of a session to end beside this one", MAY_BE, 0, 0, NULL },
	{ "ChangePasswordRequest", "current_password", "The present one", NEEDED, 0, 0, NULL },
	{ "ChangePasswordRequest", "new_password", "12 to 128 characters", NEEDED, 0, 0, PASSWORD },
	{ "CreateUserRequest", "username", "3 to 50 letters, digits and underscores", NEEDED, 0, 0, "\"pattern\":\"^[a-zA-Z][a-zA-Z0-9_]*$\",\"minLength\":3,\"maxLength\":50" },
	{ "CreateUserRequest", "password", "12 to 128 characters", NEEDED, 0, 0, PASSWORD },
	{ "CreateUserRequest", "role", "What the account may do", NEEDED, 0, 0, ONE_OF("\"admin\",\"reviewer\",\"author\",\"viewer\"") },
	{ "UpdateUserRequest", "role", "What the account may do", MAY_BE, 0, 0, ONE_OF("\"admin\",\"reviewer\",\"author\",\"viewer\"") },
	{ "UpdateUserRequest", "is_active", "false: it cannot log in, its sessions and tokens do not work", MAY_BE, 0, 0, NULL },
	{ "CreateTokenRequest", "name", "For people", NEEDED, 0, 0, NULL },
	{ "CreateTokenRequest", "scope", "What of its owner's rights it has", NEEDED, 0, 0, ONE_OF("\"read\",\"call\",\"author\",\"admin\"") },
	{ "CreateTokenRequest", "expires_at", "In the future; absent: never", MAY_BE, 0, 0, NULL },

	/* servers */
	{ "CreateServerRequest", "name", "Small letters and digits in words joined by underscores", NEEDED, 0, 0, NAME },
	{ "CreateServerRequest", "description", "For people and models", MAY_BE, 0, 0, TEXT },
	{ "UpdateServerRequest", "name", "Small letters and digits in words joined by underscores", MAY_BE, 0, 0, NAME },
	{ "UpdateServerRequest", "description", "For people and models", MAY_BE, 0, 0, TEXT },
	{ "UpdateServerRequest", "default_timeout_ms", "For tools without a timeout of their own", MAY_BE, 1000, 300000, NULL },
	{ "SetWarmReuseRequest", "warm_reuse", "true: one process may serve many calls", MAY_BE, 0, 0, NULL },
	{ "AllowHostRequest", "host", "host[:port], or *.suffix; no port: 443, and 80 in forward mode", NEEDED, 0, 0, NULL },
	{ "AllowHostRequest", "allow_private", "Needed for local names and addresses of private networks", MAY_BE, 0, 0, NULL },
	{ "RemoveHostRequest", "host", "As it is listed", NEEDED, 0, 0, NULL },
	{ "AddSecretRequest", "key_name", "Capital letters, digits and underscores", NEEDED, 0, 0, "\"pattern\":\"^[A-Z][A-Z0-9_]*$\",\"maxLength\":255" },
	{ "AddSecretRequest", "description", "For people and models", MAY_BE, 0, 0, TEXT },
	{ "SetSecretRequest", "key", "Name of the secret", MAY_BE, 0, 0, NULL },
	{ "SetSecretRequest", "value", "1 to 10000 characters", NEEDED, 0, 0, "\"minLength\":1,\"maxLength\":10000" },
	{ "SetSecretRequest", "mode", "inject (unless given): only the egress-proxy sees it; reveal: tools do", MAY_BE, 0, 0, ONE_OF("\"inject\",\"reveal\"") },
	{ "SetSecretRequest", "hosts", "Where an injected one may go: host[:port]", MAY_BE, 0, 0, NULL },
	{ "DeleteSecretRequest", "key", "Name of the secret", MAY_BE, 0, 0, NULL },

	/* tools */
	{ "CreateToolRequest", "name", "Small letters and digits in words joined by underscores", NEEDED, 0, 0, NAME },
	{ "CreateToolRequest", "python_code", "Source with a function main", NEEDED, 0, 0, "\"minLength\":1,\"maxLength\":100000" },
	{ "CreateToolRequest", "description", "For models; absent: the docstring of main", MAY_BE, 0, 0, TEXT },
	{ "CreateToolRequest", "timeout_ms", "Absent: the server's", MAY_BE, 1000, 300000, NULL },
	{ "CreateToolRequest", "limits", "memory_mb 16-1024, cpu_ms 100-300000, output_kb 1-4096, result_kb 1-1024, files 16-256, threads 1-64, scratch_mb 1-64", MAY_BE, 0, 0, OBJECT },
	{ "CreateToolRequest", "input_schema", "Absent: derived from the signature", MAY_BE, 0, 0, OBJECT },
	{ "CreateToolRequest", "output_schema", "Absent: derived from the signature", MAY_BE, 0, 0, OBJECT },
	{ "CreateToolRequest", "title", "For people", MAY_BE, 0, 0, "\"maxLength\":200" },
	{ "CreateToolRequest", "annotations", "Of MCP", MAY_BE, 0, 0, OBJECT },
	{ "CreateToolRequest", "code_dependencies", "Names, for people", MAY_BE, 0, 0, "\"maxItems\":20" },
	{ "UpdateToolRequest", "name", "Display name and alias; the published name stays", MAY_BE, 0, 0, NAME },
	{ "UpdateToolRequest", "python_code", "Source with a function main", MAY_BE, 0, 0, "\"minLength\":1,\"maxLength\":100000" },
	{ "UpdateToolRequest", "description", "For models", MAY_BE, 0, 0, TEXT },
	{ "UpdateToolRequest", "enabled", "false: it is neither listed nor called. No new version", MAY_BE, 0, 0, NULL },
	{ "UpdateToolRequest", "timeout_ms", "Of a call", MAY_BE, 1000, 300000, NULL },
	{ "UpdateToolRequest", "limits", "Those that change; see the creation of a tool", MAY_BE, 0, 0, OBJECT },
	{ "UpdateToolRequest", "input_schema", "A JSON Schema of type object", MAY_BE, 0, 0, OBJECT },
	{ "UpdateToolRequest", "output_schema", "A JSON Schema", MAY_BE, 0, 0, OBJECT },
	{ "UpdateToolRequest", "title", "For people", MAY_BE, 0, 0, "\"maxLength\":200" },
	{ "UpdateToolRequest", "annotations", "Of MCP", MAY_BE, 0, 0, OBJECT },
	{ "UpdateToolRequest", "code_dependencies", "Names, for people", MAY_BE, 0, 0, "\"maxItems\":20" },
	{ "ValidateCodeRequest", "code", "Source", NEEDED, 0, 0, "\"minLength\":1,\"maxLength\":100000" },
	{ "TestCodeRequest", "tool_id", "Id of a tool", NEEDED, 0, 0, NULL },
	{ "TestCodeRequest", "arguments", "Of main", MAY_BE, 0, 0, OBJECT },
	{ "CompareToolVersionsRequest", "from_version", "The older one", NEEDED, 1, 2147483647, NULL },
	{ "CompareToolVersionsRequest", "to_version", "The newer one", NEEDED, 1, 2147483647, NULL },
	{ "GetToolVersionRequest", "version", "Number of a version", MAY_BE, 1, 2147483647, NULL },
	{ "RollbackToolRequest", "version", "Number of a version", MAY_BE, 1, 2147483647, NULL },

	/* logs of calls */
	{ "ListExecutionsRequest", "tool_name", "A part of the published name", MAY_BE, 0, 0, NULL },
	{ "ListExecutionsRequest", "success", "Only those that ended so", MAY_BE, 0, 0, NULL },
	{ "ListExecutionsRequest", "executed_by", "Only of this caller", MAY_BE, 0, 0, NULL },
	{ "GetExecutionStatsRequest", "period_hours", "24 unless given", MAY_BE, 1, 8760, NULL },

	{ "GetDashboardRequest", "period", "24h unless given", MAY_BE, 0, 0, ONE_OF("\"1h\",\"6h\",\"24h\",\"7d\"") },
	{ "ListActivityRequest", "log_type", "mcp_request, mcp_response, network, alert, error, system, audit: one, or several with commas", MAY_BE, 0, 0, NULL },
	{ "ListActivityRequest", "level", "debug, info, warning, error: one, or several with commas", MAY_BE, 0, 0, NULL },
	{ "ListActivityRequest", "since", "Not older than this", MAY_BE, 0, 0, NULL },
	{ "ListActivityRequest", "until", "Not newer than this", MAY_BE, 0, 0, NULL },
	{ "ListActivityRequest", "search", "A part of the message, in any case, among the newest 2000 rows of each kind", MAY_BE, 0, 0, "\"maxLength\":255" },
	{ "ActivityFilter", "log_type", "mcp_request, mcp_response, network, alert, error, system, audit: one, or several with commas", MAY_BE, 0, 0, NULL },
	{ "ActivityFilter", "level", "debug, info, warning, error: one, or several with commas", MAY_BE, 0, 0, NULL },
	{ "ActivityFilter", "since", "Not older than this", MAY_BE, 0, 0, NULL },
	{ "ActivityFilter", "until", "Not newer than this", MAY_BE, 0, 0, NULL },
	{ "ActivityFilter", "search", "A part of the message, in any case, among the newest 2000 rows of each kind", MAY_BE, 0, 0, "\"maxLength\":255" },
	{ "ListActivityRequest", "page", "Number of the page, from 1; pages reach to row 10000, from there on give until", MAY_BE, 1, 10000, NULL },
	{ "ListActivityRequest", "page_size", "Rows of a page; 50 unless given", MAY_BE, 1, 200, NULL },
	{ "GetActivityRequest", "activity_id", "Id of a row", MAY_BE, 0, 0, NULL },
	{ "RecentActivityRequest", "count", "100 unless given", MAY_BE, 1, 1000, NULL },
	{ "ActivityStatsRequest", "period", "1h unless given", MAY_BE, 0, 0, ONE_OF("\"1h\",\"6h\",\"24h\",\"7d\"") },
	{ "DeleteActivityRequest", "retention_days", "What is older goes; 7 unless given", MAY_BE, 1, 90, NULL },

	/* files */
	{ "ExportRequest", "format", "1.2 (unless given), as the reference has it, or 2.0 with versions and approvals", MAY_BE, 0, 0, ONE_OF("\"1.2\",\"2.0\"") },
	{ "ExportRequest", "heads_only", "2.0: without older versions", MAY_BE, 0, 0, NULL },
	{ "ImportRequest", "dry_run", "Only tell what would happen", MAY_BE, 0, 0, NULL },
	{ "ImportRequest", "accept_unverified", "Take a file that this instance's key did not sign; all in it waits for decisions", MAY_BE, 0, 0, NULL },
	{ "ImportRequest", "settings", "Also take the settings of a verified file", MAY_BE, 0, 0, NULL },

	/* decisions */
	{ "ListToolApprovalsRequest", "status", "pending_review unless given", MAY_BE, 0, 0, ONE_OF("\"pending_review\",\"draft\",\"approved\",\"rejected\",\"all\"") },
	{ "ListModuleRequestsRequest", "status", "pending unless given; of one server: approved", MAY_BE, 0, 0, ONE_OF("\"pending\",\"approved\",\"rejected\",\"all\"") },
	{ "ListNetworkRequestsRequest", "status", "pending unless given; of one server: approved", MAY_BE, 0, 0, ONE_OF("\"pending\",\"approved\",\"rejected\",\"all\"") },
	{ "DecideToolRequest", "action", "The decision", NEEDED, 0, 0, ONE_OF("\"approve\",\"reject\",\"submit_for_review\"") },
	{ "DecideToolRequest", "reason", "Needed for reject", MAY_BE, 0, 0, TEXT },
	{ "DecideToolRequest", "content_hash", "Of what you reviewed: 409 when it is another", MAY_BE, 0, 0, HASH },
	{ "RevokeToolRequest", "reason", "For the record", MAY_BE, 0, 0, TEXT },
	{ "DecideNetworkRequest", "action", "The decision", NEEDED, 0, 0, ONE_OF("\"approve\",\"reject\"") },
	{ "DecideNetworkRequest", "reason", "Needed for reject", MAY_BE, 0, 0, TEXT },
	{ "DecideNetworkRequest", "allow_private", "Needed for local names and addresses of private networks", MAY_BE, 0, 0, NULL },
	{ "DecideModuleRequest", "action", "The decision", NEEDED, 0, 0, ONE_OF("\"approve\",\"reject\"") },
	{ "DecideModuleRequest", "reason", "Needed for reject", MAY_BE, 0, 0, TEXT },
	{ "BulkDecideToolsRequest", "tool_ids", "1 to 100", NEEDED, 0, 0, "\"minItems\":1,\"maxItems\":100" },
	{ "BulkDecideToolsRequest", "action", "The decision", NEEDED, 0, 0, ONE_OF("\"approve\",\"reject\"") },
	{ "BulkDecideToolsRequest", "reason", "Needed for reject", MAY_BE, 0, 0, TEXT },
	{ "BulkDecideToolsRequest", "revisions", "One for each id, in their order, or none", MAY_BE, 0, 0, "\"maxItems\":100" },
	{ "BulkDecideToolsRequest", "content_hashes", "One for each id, in their order, or none", MAY_BE, 0, 0, "\"maxItems\":100" },
	{ "BulkDecideRequest", "request_ids", "1 to 100", NEEDED, 0, 0, "\"minItems\":1,\"maxItems\":100" },
	{ "BulkDecideRequest", "action", "The decision", NEEDED, 0, 0, ONE_OF("\"approve\",\"reject\"") },
	{ "BulkDecideRequest", "reason", "Needed for reject", MAY_BE, 0, 0, TEXT },
	{ "BulkDecideRequest", "revisions", "One for each id, in their order, or none", MAY_BE, 0, 0, "\"maxItems\":100" },

	/* settings */
	{ "UpdateModulesRequest", "add_modules", "Names to allow", MAY_BE, 0, 0, "\"maxItems\":100" },
	{ "UpdateModulesRequest", "remove_modules", "Of those that an administrator added", MAY_BE, 0, 0, "\"maxItems\":100" },
	{ "UpdateModulesRequest", "reset_to_defaults", "Removes all that administrators added, before the rest is done", MAY_BE, 0, 0, NULL },
	{ "UpdateSecurityPolicyRequest", "remote_tool_editing", "May remote MCP clients change servers and tools?", MAY_BE, 0, 0, ONE_OF("\"disabled\",\"enabled\"") },
	{ "UpdateSecurityPolicyRequest", "tool_approval_mode", "Does a person review tools?", MAY_BE, 0, 0, ONE_OF("\"require_approval\",\"auto_approve\"") },
	{ "UpdateSecurityPolicyRequest", "network_access_policy", "Does a person decide about public hosts?", MAY_BE, 0, 0, ONE_OF("\"require_approval\",\"allow_all_public\"") },
	{ "UpdateSecurityPolicyRequest", "module_approval_mode", "Does a person decide about modules?", MAY_BE, 0, 0, ONE_OF("\"require_approval\",\"auto_approve\"") },
	{ "UpdateSecurityPolicyRequest", "redact_secrets_in_output", "Are values of secrets masked in outputs and logs?", MAY_BE, 0, 0, ONE_OF("\"enabled\",\"disabled\"") },
	{ "UpdateSecurityPolicyRequest", "log_retention_days", "Days that activity and logs of calls are kept", MAY_BE, 1, 3650, NULL },
	{ "UpdateSecurityPolicyRequest", "mcp_rate_limit_rpm", "Calls of a client in a minute", MAY_BE, 10, 10000, NULL },
	{ "UpdateSecurityPolicyRequest", "approvals_required", "Different people who approve a tool", MAY_BE, 1, 2, NULL },
	{ "UpdateSecurityPolicyRequest", "execution_log_keep", "Newest calls of each tool that are kept", MAY_BE, 1, 10000000, NULL },
	{ "ApplySecurityProfileRequest", "profile", "strict: people decide everything; balanced: hosts only; permissive: nothing", NEEDED, 0, 0, ONE_OF("\"strict\",\"balanced\",\"permissive\"") },
};
/* clang-format on */

size_t describe_route_count(void)
{
	return ARRAY_LEN(route_texts);
}

const struct route_text *describe_route_at(size_t i)
{
	return &route_texts[i];
}

const struct route_text *describe_route(const char *method, const char *pattern)
{
	size_t len = strlen(method);

	for (size_t i = 0; i < ARRAY_LEN(route_texts); i++)
		if (strncmp(route_texts[i].route, method, len) == 0 &&
		    route_texts[i].route[len] == ' ' &&
		    strcmp(route_texts[i].route + len + 1, pattern) == 0)
			return &route_texts[i];
	return NULL;
}

size_t describe_field_count(void)
{
	return ARRAY_LEN(field_texts);
}

const struct field_text *describe_field_at(size_t i)
{
	return &field_texts[i];
}

const struct field_text *describe_field(const char *message, const char *field)
{
	const struct field_text *found = NULL;

	for (size_t i = 0; i < ARRAY_LEN(field_texts); i++) {
		const struct field_text *t = &field_texts[i];

		if (strcmp(t->field, field) != 0)
			continue;
		if (t->message && strcmp(t->message, message) == 0)
			return t;
		if (!t->message)
			found = t;
	}
	return found;
}
