#include "mgmt_table.h"

#include "attrs.h"
#include "msg.h"

#define R true  /* required */
#define O false /* optional */

#define CODE                                                                                       \
	"Python with a top-level main (def or async def). Its parameters are the tool's "          \
	"arguments: annotate them (int, list[str], Literal, a dataclass ...). What it returns is " \
	"the result: any JSON value, a dataclass, or content made with mcp.text, mcp.image, "      \
	"mcp.audio, mcp.resource, mcp.link; raise mcp.ToolError(text) for an error that the "      \
	"caller should read; await mcp.progress(value, total, message) and mcp.log(level, data) "  \
	"reach the caller at once. At hand without import: http (as httpx: "                       \
	"r = await http.get(url)), mcp, secrets (a mapping), json, datetime, arguments. "          \
	"Other imports: see mcpbox_get_server_modules"

/* clang-format off */
#define P_SERVER \
	{ "server_id",         MGMT_STRING,  R, "Id of the server, from create_server or list_servers" }
#define P_TOOL \
	{ "tool_id",           MGMT_STRING,  R, "Id of the tool, from create_tool or list_tools, or server/tool" }
#define P_PAGES \
	{ "page",              MGMT_INTEGER, O, "From 1" }, \
	{ "page_size",         MGMT_INTEGER, O, "At most 100" }
#define P_REVISION \
	{ "revision",          MGMT_INTEGER, O, "Refuse when it has changed since this revision" }
#define P_PARTS \
	{ "timeout_ms",        MGMT_INTEGER, O, "Longest run in ms, 1000 to 300000; 30000 unless given" }, \
	{ "limits",            MGMT_OBJECT,  O, "Those to change of memory_mb, cpu_ms, output_kb, result_kb, files, threads, scratch_mb" }, \
	{ "input_schema",      MGMT_OBJECT,  O, "JSON Schema of the arguments; made from main's parameters unless given" }, \
	{ "output_schema",     MGMT_OBJECT,  O, "JSON Schema of the result" }, \
	{ "title",             MGMT_STRING,  O, "Name for people" }, \
	{ "annotations",       MGMT_OBJECT,  O, "MCP tool annotations, such as readOnlyHint" }, \
	{ "code_dependencies", MGMT_STRINGS, O, "Third-party modules that the code imports" }

const struct mgmt_tool mgmt_table[] = {
	{ "mcpbox_create_server", "Create server", MSG_CREATE_SERVER, 0, NULL, mgmt_ask, {
		{ "name",          MGMT_STRING,  R, "Lower-case letters, digits and single underscores, beginning with a letter, at most 60" },
		{ "description",   MGMT_STRING,  O, "What the server's tools are for" } },
	  "Create a server: a named group of tools that is started and stopped as one and has its own list of "
	  "allowed hosts. Tools are added with mcpbox_create_tool." },

	{ "mcpbox_list_servers", "List servers", MSG_LIST_SERVERS, MGMT_READS, NULL, mgmt_ask, { P_PAGES },
	  "List servers with their status, newest first." },

	{ "mcpbox_get_server", "Show server", MSG_GET_SERVER, MGMT_READS, "server", mgmt_ask, { P_SERVER },
	  "Show one server: status, allowed hosts, tools, and how many requests wait for a decision." },

	{ "mcpbox_start_server", "Start server", MSG_START_SERVER, MGMT_REPEATS | MGMT_MOVES_MAP, NULL, mgmt_ask, { P_SERVER },
	  "Start a server: its approved and enabled tools are listed and can be called from then on." },

	{ "mcpbox_stop_server", "Stop server", MSG_STOP_SERVER, MGMT_REPLACES | MGMT_REPEATS | MGMT_MOVES_MAP, NULL, mgmt_ask, { P_SERVER },
	  "Stop a server: its tools are no longer listed and cannot be called until it is started again." },

	{ "mcpbox_delete_server", "Delete server", MSG_DELETE_SERVER, MGMT_REPLACES | MGMT_REPEATS | MGMT_MOVES_MAP, NULL, mgmt_ask, {
		P_SERVER, P_REVISION },
	  "Delete a server with all its tools, their versions, its secrets and requests. Running calls end. This "
	  "cannot be undone." },

	{ "mcpbox_get_server_modules", "List modules", MSG_GET_SERVER_MODULES, MGMT_READS, NULL, mgmt_ask, { { 0 } },
	  "List the Python modules that tools may import. The list is the same for all servers." },

	{ "mcpbox_create_tool", "Create tool", MSG_CREATE_TOOL, 0, NULL, mgmt_ask, {
		P_SERVER,
		{ "name",          MGMT_STRING,  R, "Lower-case letters, digits and single underscores, at most 60" },
		{ "python_code",   MGMT_STRING,  R, CODE },
		{ "description",   MGMT_STRING,  O, "What the tool does, for those who choose it" },
		P_PARTS },
	  "Create a tool as a draft. It can be called when a person has approved it (mcpbox_request_publish) and its "
	  "server runs." },

	{ "mcpbox_update_tool", "Change tool", MSG_UPDATE_TOOL, MGMT_REPLACES | MGMT_REPEATS | MGMT_MOVES_MAP, NULL, mgmt_ask, {
		P_TOOL,
		{ "name",          MGMT_STRING,  O, "New name" },
		{ "description",   MGMT_STRING,  O, "New description" },
		{ "python_code",   MGMT_STRING,  O, CODE },
		{ "enabled",       MGMT_BOOLEAN, O, "false hides the tool" },
		P_PARTS,
		P_REVISION },
	  "Change a tool: makes a new version as a draft. The approved version goes on serving until the new one is "
	  "approved." },

	{ "mcpbox_get_tool", "Show tool", MSG_GET_TOOL, MGMT_READS, "tool", mgmt_ask, { P_TOOL },
	  "Show one tool with its code, schemas and approval status." },

	{ "mcpbox_list_tools", "List a server's tools", MSG_LIST_TOOLS, MGMT_READS, NULL, mgmt_ask, { P_SERVER, P_PAGES },
	  "List the tools of one server, drafts included." },

	{ "mcpbox_delete_tool", "Delete tool", MSG_DELETE_TOOL, MGMT_REPLACES | MGMT_REPEATS | MGMT_MOVES_MAP, NULL, mgmt_ask, {
		P_TOOL, P_REVISION },
	  "Delete a tool with all its versions. Running calls end. This cannot be undone." },

	{ "mcpbox_list_tool_versions", "List a tool's versions", MSG_LIST_TOOL_VERSIONS, MGMT_READS, NULL, mgmt_ask, {
		P_TOOL, P_PAGES },
	  "List the versions of a tool, newest first." },

	{ "mcpbox_rollback_tool", "Roll tool back", MSG_ROLLBACK_TOOL, MGMT_REPLACES | MGMT_MOVES_MAP, NULL, mgmt_ask, {
		P_TOOL,
		{ "version",       MGMT_INTEGER, R, "Number of the version to bring back" },
		P_REVISION },
	  "Bring an older version of a tool back as a new version, which is a draft until it is approved. The approved "
	  "version goes on serving until then." },

	{ "mcpbox_get_tool_logs", "Show a tool's calls", MSG_GET_TOOL_LOGS, MGMT_READS, NULL, mgmt_ask, {
		P_TOOL,
		{ "limit",         MGMT_INTEGER, O, "How many; 10 unless given, at most 50" } },
	  "Show the last calls of a tool: arguments, result or error, what it printed, how long it took." },

	{ "mcpbox_validate_code", "Check code", MSG_VALIDATE_CODE, MGMT_READS, NULL, mgmt_ask, {
		{ "code",          MGMT_STRING,  R, CODE } },
	  "Check Python code without running it: syntax, main, and the argument schema that its signature gives." },

	{ "mcpbox_test_code", "Test tool", MSG_PREPARE_TEST, 0, NULL, mgmt_test_code, {
		P_TOOL,
		{ "arguments",     MGMT_OBJECT,  O, "Arguments of the call" } },
	  "Run a tool's newest version once, in its sandbox, and show result or error and what it printed. While "
	  "approval is required only an approved version can be tested." },

	{ "mcpbox_request_network_access", "Ask for a host", MSG_REQUEST_NETWORK_ACCESS, 0, NULL, mgmt_ask, {
		P_TOOL,
		{ "host",          MGMT_STRING,  R, "host, host:port or *.suffix, with +private behind it for a private address" },
		{ "justification", MGMT_STRING,  R, "Why, for the reviewer" },
		{ "port",          MGMT_INTEGER, O, "Unless given: 443, and 80 for http URLs" } },
	  "Ask a person to allow a tool's server to reach a host." },

	{ "mcpbox_request_module", "Ask for a module", MSG_REQUEST_MODULE, 0, NULL, mgmt_ask, {
		P_TOOL,
		{ "module_name",   MGMT_STRING,  R, "As in the import statement, or the name of the package" },
		{ "justification", MGMT_STRING,  R, "Why, for the reviewer" } },
	  "Ask a person to allow a Python module beyond those of mcpbox_get_server_modules." },

	{ "mcpbox_request_publish", "Ask for review", MSG_REQUEST_PUBLISH, MGMT_REPEATS | MGMT_MOVES_MAP, NULL, mgmt_ask, {
		P_TOOL,
		{ "notes",         MGMT_STRING,  O, "For the reviewer" } },
	  "Submit a tool's newest version for review. Once approved it is the one that is called." },

	{ "mcpbox_get_tool_status", "Show review status", MSG_GET_TOOL_STATUS, MGMT_READS, NULL, mgmt_ask, { P_TOOL },
	  "Show where a tool stands: approval, reasons, and its requests for modules and hosts." },

	{ "mcpbox_create_server_secret", "Ask for a secret", MSG_CREATE_SERVER_SECRET, 0, NULL, mgmt_ask, {
		P_SERVER,
		{ "key",           MGMT_STRING,  R, "Name in capitals with underscores, such as API_KEY" },
		{ "description",   MGMT_STRING,  O, "What it is and where to get it, for the administrator" } },
	  "Make a place for a secret of a server. Its value is set by an administrator and never shown." },

	{ "mcpbox_list_server_secrets", "List a server's secrets", MSG_LIST_SERVER_SECRETS, MGMT_READS, NULL, mgmt_ask, { P_SERVER },
	  "List the secrets of a server and whether each has a value. Values are never shown." },

	{ "mcpbox_list_pending_requests", "List what waits for review", MSG_LIST_PENDING_REQUESTS, MGMT_READS, NULL, mgmt_ask, { { 0 } },
	  "List everything that waits for a person's decision: tools, modules, hosts." },
};
/* clang-format on */

const size_t mgmt_table_count = ARRAY_LEN(mgmt_table);
