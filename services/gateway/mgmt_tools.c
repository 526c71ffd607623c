#include "mgmt_tools.h"

#include <string.h>
#include "calls.h"
#include "json_proto.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "msg.h"
#include "result.h"
#include "upstream.h"

#define ASK_MS       10000 /* creating a tool asks an executor to look at the code */
#define MAP_MS       2000  /* for the own map to show what was just changed */
#define TEXT_MAX     (4u * 1024 * 1024)
#define REQUIRED_MAX 4

/* A row may do more than one question; false: nobody waits for the answer any more. */
typedef bool mgmt_run(const struct mgmt_tool *tool, const struct mcp_context *c,
		      const char *arguments, size_t len, struct buf *ret);

struct mgmt_tool {
	const char *name, *title;
	uint16_t msg;
	enum { READS = 1, DESTROYS = 2, MOVES_MAP = 4 } flags;
	const char *unwrap; /* the reply's field that is the result; NULL: all of it */
	mgmt_run *run;
	const char *required[REQUIRED_MAX + 1];
	const char *properties; /* members of inputSchema.properties */
	const char *description;
};

static mgmt_run ask, test_code;

#define P(name, type, text) "\"" name "\":{\"type\":\"" type "\",\"description\":\"" text "\"}"
#define P_SERVER \
	P("server_id", "string", "Id of the server, as create_server or list_servers gave it")
#define P_TOOL                 \
	P("tool_id", "string", \
	  "Id of the tool, as create_tool or list_tools gave it, or server/tool")
#define P_PAGES P("page", "integer", "From 1") "," P("page_size", "integer", "At most 100")
#define P_TOOL_PARTS                                                                                                                                   \
	P("timeout_ms", "integer", "Longest run, 1000 to 300000; 30000 unless given")                                                                  \
	"," P("limits", "object",                                                                                                                      \
	      "Of memory_mb, cpu_ms, output_kb, result_kb, files, threads, scratch_mb, those to "                                                      \
	      "change") "," P("input_schema", "object",                                                                                                \
			      "JSON Schema of the arguments; made from main's parameters unless "                                                      \
			      "given") "," P("output_schema",                                                                                          \
					     "object", "JSON Schema of the result") "," P("title",                                                     \
											  "strin"                                                      \
											  "g",                                                         \
											  "Name "                                                      \
											  "for "                                                       \
											  "peopl"                                                      \
											  "e") "," P("annotations",                                    \
												     "object",                                         \
												     "MCP tool annotations, such as readOnlyHint") "," \
																		   "\"code_dependencies\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"description\":\"Third-party modules that the code imports\"}"
#define CODE_TEXT                                                                                 \
	"Python with a top-level main (def or async def). Its parameters are the tool's "         \
	"arguments; what it returns is the "                                                      \
	"result. http (as httpx: await http.get(url)), json, datetime and arguments are at hand " \
	"without import"

/* In the order in which they are listed. */
static const struct mgmt_tool
	tools[] = {
		{ "mcpbox_create_server",
		  "Create server",
		  MSG_CREATE_SERVER,
		  0,
		  NULL,
		  ask,
		  { "name" },
		  P("name", "string",
		    "Lower-case letters, digits and single underscores, beginning with a letter, "
		    "at most 60") "," P("description", "string", "What the server's tools are for"),
		  "Create a server: a named group of tools that is started and stopped as one and "
		  "has its own list of allowed "
		  "hosts. Tools are added with mcpbox_create_tool." },
		{ "mcpbox_list_servers",
		  "List servers",
		  MSG_LIST_SERVERS,
		  READS,
		  NULL,
		  ask,
		  { NULL },
		  P_PAGES,
		  "List servers with their status, newest first." },
		{ "mcpbox_get_server",
		  "Show server",
		  MSG_GET_SERVER,
		  READS,
		  "server",
		  ask,
		  { "server_id" },
		  P_SERVER,
		  "Show one server: status, allowed hosts, tools, and how many requests wait for a "
		  "decision." },
		{ "mcpbox_start_server",
		  "Start server",
		  MSG_START_SERVER,
		  MOVES_MAP,
		  NULL,
		  ask,
		  { "server_id" },
		  P_SERVER,
		  "Start a server: its approved and enabled tools are listed and can be called "
		  "from then on." },
		{ "mcpbox_stop_server",
		  "Stop server",
		  MSG_STOP_SERVER,
		  DESTROYS | MOVES_MAP,
		  NULL,
		  ask,
		  { "server_id" },
		  P_SERVER,
		  "Stop a server: its tools are no longer listed and cannot be called until it is "
		  "started again." },
		{ "mcpbox_create_tool",
		  "Create tool",
		  MSG_CREATE_TOOL,
		  0,
		  NULL,
		  ask,
		  { "server_id", "name", "python_code" },
		  P_SERVER
		  "," P("name", "string", "Lower-case letters, digits and single underscores, at most 60") "," P(
			  "python_code", "string", CODE_TEXT) "," P("description", "string",
								    "What the tool does, for those "
								    "who choose it") "," P_TOOL_PARTS,
		  "Create a tool as a draft. It becomes callable when a person has approved it "
		  "(mcpbox_request_publish) and its "
		  "server runs." },
		{ "mcpbox_update_tool",
		  "Change tool",
		  MSG_UPDATE_TOOL,
		  DESTROYS | MOVES_MAP,
		  NULL,
		  ask,
		  { "tool_id" },
		  P_TOOL "," P("name", "string", "New name") "," P(
			  "description",
			  "string", "New description") "," P("python_code", "string",
							     CODE_TEXT) "," P("enabled", "boolean",
									      "false hides the "
									      "tool") "," P_TOOL_PARTS
										      "," P("revisi"
											    "on",
											    "intege"
											    "r",
											    "Refuse"
											    " when "
											    "the "
											    "tool "
											    "has "
											    "change"
											    "d "
											    "since "
											    "this "
											    "revisi"
											    "on"),
		  "Change a tool: makes a new version as a draft. The approved version goes on "
		  "serving until the new one is "
		  "approved." },
		{ "mcpbox_get_tool",
		  "Show tool",
		  MSG_GET_TOOL,
		  READS,
		  "tool",
		  ask,
		  { "tool_id" },
		  P_TOOL,
		  "Show one tool with its code, schemas and approval status." },
		{ "mcpbox_list_tools",
		  "List a server's tools",
		  MSG_LIST_TOOLS,
		  READS,
		  NULL,
		  ask,
		  { "server_id" },
		  P_SERVER "," P_PAGES,
		  "List the tools of one server, drafts included." },
		{ "mcpbox_validate_code",
		  "Check code",
		  MSG_VALIDATE_CODE,
		  READS,
		  NULL,
		  ask,
		  { "code" },
		  P("code", "string", CODE_TEXT),
		  "Check Python code without running it: syntax, main, and the argument schema "
		  "that its signature gives." },
		{ "mcpbox_test_code",
		  "Test tool",
		  MSG_PREPARE_TEST,
		  0,
		  NULL,
		  test_code,
		  { "tool_id" },
		  P_TOOL "," P("arguments", "object", "Arguments of the call"),
		  "Run a tool's newest version once, in its sandbox, and show result or error and "
		  "what it printed. While approval "
		  "is required only an approved version can be tested." },
		{ "mcpbox_request_network_access",
		  "Ask for a host",
		  MSG_REQUEST_NETWORK_ACCESS,
		  0,
		  NULL,
		  ask,
		  { "tool_id", "host", "justification" },
		  P_TOOL
		  "," P("host", "string",
			"host, host:port or *.suffix, with +private behind it for a private "
			"address") "," P("port", "integer",
					 "Unless given: 443, and 80 for http URLs") "," P("justific"
											  "ation",
											  "string",
											  "Why, "
											  "for the "
											  "reviewe"
											  "r"),
		  "Ask a person to allow a tool's server to reach a host." },
		{ "mcpbox_request_publish",
		  "Ask for review",
		  MSG_REQUEST_PUBLISH,
		  MOVES_MAP,
		  NULL,
		  ask,
		  { "tool_id" },
		  P_TOOL "," P("notes", "string", "For the reviewer"),
		  "Submit a tool's newest version for review. Once approved it is the one that is "
		  "called." },
		{ "mcpbox_get_tool_status",
		  "Show review status",
		  MSG_GET_TOOL_STATUS,
		  READS,
		  NULL,
		  ask,
		  { "tool_id" },
		  P_TOOL,
		  "Show where a tool stands: approval, reasons, and its requests for modules and "
		  "hosts." },
		{ "mcpbox_list_pending_requests",
		  "List what waits for review",
		  MSG_LIST_PENDING_REQUESTS,
		  READS,
		  NULL,
		  ask,
		  { NULL },
		  "",
		  "List everything that waits for a person's decision: tools, modules, hosts." },
	};

const struct mgmt_tool *mgmt_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(tools); i++) {
		if (strcmp(tools[i].name, name) == 0)
			return &tools[i];
	}
	return NULL;
}

/* ---- listing ---- */

static const char *boolean(bool b)
{
	return b ? "true" : "false";
}

static void list_one(const struct mgmt_tool *t, enum list_form form, struct buf *ret)
{
	buf_printf(ret, "{\"name\":\"%s\",", t->name);
	if (form != LIST_OLD)
		buf_printf(ret, "\"title\":\"%s\",", t->title);
	buf_printf(ret,
		   "\"description\":\"%s\",\"inputSchema\":{\"type\":\"object\",\"properties\":{",
		   t->description);
	buf_add_str(ret, t->properties);
	buf_add_str(ret, "},\"required\":[");
	for (size_t i = 0; t->required[i]; i++)
		buf_printf(ret, "%s\"%s\"", i > 0 ? "," : "", t->required[i]);
	buf_printf(ret,
		   "],\"additionalProperties\":false},\"annotations\":{\"readOnlyHint\":%s,"
		   "\"destructiveHint\":%s,\"openWorldHint\":%s}}",
		   boolean(t->flags & READS), boolean(t->flags & DESTROYS),
		   boolean(t->run == test_code));
}

void mgmt_list(enum list_form form, struct buf *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(tools); i++) {
		if (i > 0)
			buf_add_char(ret, ',');
		list_one(&tools[i], form, ret);
	}
}

/* ---- results ---- */

static void add_failure(struct buf *ret, enum list_form form, const char *text, const char *hint)
{
	struct buf b = BUF_INIT(TEXT_MAX);

	buf_printf(&b, "Error: %s", text);
	if (hint && hint[0])
		buf_printf(&b, " (%s)", hint);
	result_add_text(ret, form, buf_str(&b), b.len, true);
	buf_done(&b);
}

/* The reply's `error`, where it has one and it says something. */
static const ProtobufCBinaryData *reply_error(const ProtobufCMessage *reply)
{
	const ProtobufCFieldDescriptor *f =
		protobuf_c_message_descriptor_get_field_by_name(reply->descriptor, "error");
	const ProtobufCBinaryData *text;

	if (!f || f->type != PROTOBUF_C_TYPE_BYTES || f->label == PROTOBUF_C_LABEL_REPEATED)
		return NULL;
	if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
	    *(const uint32_t *)((const char *)reply + f->quantifier_offset) != f->id)
		return NULL;
	text = (const ProtobufCBinaryData *)((const char *)reply + f->offset);
	return text->len > 0 ? text : NULL;
}

/* The message that stands for the result. */
static const ProtobufCMessage *unwrapped(const struct mgmt_tool *t, const ProtobufCMessage *reply)
{
	const ProtobufCFieldDescriptor *f =
		t->unwrap ? protobuf_c_message_descriptor_get_field_by_name(reply->descriptor,
									    t->unwrap)
			  : NULL;
	const ProtobufCMessage *inner =
		f ? *(ProtobufCMessage *const *)((const char *)reply + f->offset) : NULL;

	return inner ? inner : reply;
}

/* content: the object for people to read; structuredContent: the same, compact. */
static void add_object(struct buf *ret, enum list_form form, const char *pretty, size_t pretty_len,
		       const struct buf *compact)
{
	struct buf members = BUF_INIT(TEXT_MAX);

	buf_add_str(&members, "\"content\":[{\"type\":\"text\",\"text\":");
	json_add_string(&members, pretty, pretty_len);
	buf_add_str(&members, "}]");
	if (form != LIST_OLD) {
		buf_add_str(&members, ",\"structuredContent\":");
		buf_add(&members, compact->data, compact->len);
	}
	result_add(ret, form, buf_str(&members), "");
	buf_done(&members);
}

static void add_reply(const struct mgmt_tool *t, const struct mcp_context *c,
		      const ProtobufCMessage *reply, struct buf *ret)
{
	const ProtobufCBinaryData *error = reply_error(reply);
	BOX_CLEANUP(mem_freep) char *text = NULL;
	struct buf pretty = BUF_INIT(TEXT_MAX);
	struct buf compact = BUF_INIT(TEXT_MAX);

	if (error) {
		text = mem_strndup((const char *)error->data, error->len);
		add_failure(ret, c->form, text, NULL);
		return;
	}
	msg_to_json(unwrapped(t, reply), 2, &pretty);
	msg_to_json(unwrapped(t, reply), 0, &compact);
	add_object(ret, c->form, buf_str(&pretty), pretty.len, &compact);
	buf_done(&pretty);
	buf_done(&compact);
}

/* ---- one question ---- */

/* The caller's next tools/list shows what it has just changed. */
static void wait_for_map(struct gateway *gw)
{
	uint64_t seq = 0;

	if (upstream_state_seq(gw->bus, &seq) < 0 || tool_map_wait(gw->map, seq, MAP_MS) < 0)
		log_warn("gateway.map_is_late", F_UINT("state_seq", seq));
}

static bool ask(const struct mgmt_tool *tool, const struct mcp_context *c, const char *arguments,
		size_t len, struct buf *ret)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *request = NULL;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	struct err why = { 0 };
	int r = json_to_msg(msg_row(tool->msg)->request, arguments, len, NULL, &request, &why);

	if (r == 0)
		r = upstream_ask_registry(c->gw->bus, tool->msg, request, http_remote(c->rq),
					  ASK_MS, &reply, &why);
	if (r < 0) {
		add_failure(ret, c->form, why.text, why.hint);
	} else {
		if (tool->flags & MOVES_MAP)
			wait_for_map(c->gw);
		add_reply(tool, c, reply, ret);
	}
	metrics_count(r < 0 ? METRIC_MANAGEMENT_ERROR : METRIC_MANAGEMENT_OK);
	err_done(&why);
	return true;
}

/* ---- test_code ---- */

/* The first text block of MCP content, as it stands in the JSON; "null" when there is none. */
static char *first_text(ProtobufCBinaryData content, bool as_json)
{
	BOX_CLEANUP(json_decrefp) json_t *tree = NULL;
	const json_t *text;
	size_t len;

	if (json_load(content.data, content.len, &tree, NULL) < 0)
		return mem_strdup(as_json ? "null" : "");
	text = json_object_get(json_array_get(tree, 0), "text");
	if (!json_is_string(text))
		return mem_strdup(as_json ? "null" : "");
	return as_json ? json_dump(text, &len) : mem_strdup(json_string_value(text));
}

static void add_tested(struct buf *b, const PB(Done) * done)
{
	BOX_CLEANUP(mem_freep) char *text = NULL;

	buf_add_str(b, "{\"success\":true,\"result\":");
	if (done->structured_json.len > 0) {
		json_add_compact(b, done->structured_json.data, done->structured_json.len);
	} else {
		text = first_text(done->content_json, true);
		buf_add_str(b, text);
	}
	buf_add_str(b, ",\"stdout\":");
	json_add_string(b, done->stdout.data, done->stdout.len);
	buf_add_char(b, '}');
}

static void add_test_result(const struct mcp_context *c, const PB(Done) * done, struct buf *ret)
{
	struct buf compact = BUF_INIT(TEXT_MAX);
	BOX_CLEANUP(json_decrefp) json_t *tree = NULL;
	BOX_CLEANUP(mem_freep) char *text = NULL;

	if (done->outcome != MCPBOX__V1__DONE__OUTCOME__OUTCOME_OK) {
		text = first_text(done->content_json, false);
		add_failure(ret, c->form, text, NULL);
		return;
	}
	add_tested(&compact, done);
	/* Integers beyond 64 bits have no tree; the compact text is as good. */
	if (json_load(compact.data, compact.len, &tree, NULL) == 0)
		text = json_dumps(tree, JSON_INDENT(2));
	add_object(ret, c->form, text ? text : buf_str(&compact), text ? strlen(text) : compact.len,
		   &compact);
	buf_done(&compact);
}

static int prepare_test(const struct mgmt_tool *tool, const struct mcp_context *c,
			const char *arguments, size_t len, struct catalog_tool **ret,
			struct err *err)
{
	static const char *const ignore[] = { "arguments", NULL };
	BOX_CLEANUP(msg_freep) ProtobufCMessage *request = NULL;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *message = NULL;
	BOX_CLEANUP(catalog_tool_freep) struct catalog_tool *t = NULL;
	const PB(PrepareTestReply) * reply;
	int r = json_to_msg(msg_row(tool->msg)->request, arguments, len, ignore, &request, err);

	if (r == 0)
		r = upstream_ask_registry(c->gw->bus, tool->msg, request, http_remote(c->rq),
					  ASK_MS, &message, err);
	if (r < 0)
		return r;
	reply = (const PB(PrepareTestReply) *)message;
	t = reply->tool ? catalog_tool_new(reply->tool) : NULL;
	if (!t)
		return err_set(err, ERR_INTERNAL, "the registry's answer cannot be used");
	for (size_t i = 0; i < reply->n_blobs; i++)
		catalog_tool_give_blob(t, reply->blobs[i]->data.data, reply->blobs[i]->data.len);
	*ret = TAKE(t);
	return 0;
}

static int run_test(const struct mcp_context *c, const struct catalog_tool *tool,
		    struct json_span arguments, ProtobufCMessage **ret, struct err *err)
{
	const struct call_request rq = {
		.tool = tool,
		.arguments = arguments,
		.progress_token = jsonrpc_is_id(c->meta->progress_token) ? c->meta->progress_token
									 : (struct json_span){ 0 },
		.log_level = mcp_log_level(c),
		.answer = c->answer,
		.ends_with_client = c->era == ERA_MODERN,
		.session = c->session,
		.request_id = c->message->id,
		.remote = http_remote(c->rq),
		.is_test = true,
	};

	if (arguments.at && !json_span_is_object(arguments))
		return err_set(err, ERR_INVALID, "arguments must be an object");
	return calls_run(c->gw->calls, &rq, ret, err);
}

static bool test_code(const struct mgmt_tool *tool, const struct mcp_context *c,
		      const char *arguments, size_t len, struct buf *ret)
{
	static const char *const names[] = { "arguments" };
	BOX_CLEANUP(catalog_tool_freep) struct catalog_tool *prepared = NULL;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	struct json_span p[1];
	struct err why = { 0 };
	int r = json_scan_members(arguments, len, names, 1, p, &why);

	if (r == 0)
		r = prepare_test(tool, c, arguments, len, &prepared, &why);
	if (r == 0)
		r = run_test(c, prepared, p[0], &reply, &why);
	if (r == 0)
		add_test_result(c, ((const PB(ExecuteReply) *)reply)->done, ret);
	else
		add_failure(ret, c->form, why.text, why.hint);
	metrics_count(r < 0 ? METRIC_MANAGEMENT_ERROR : METRIC_MANAGEMENT_OK);
	err_done(&why);
	return r != -ERR_CANCELLED;
}

/* ---- dispatch ---- */

static int check_required(const struct mgmt_tool *t, const char *arguments, size_t len,
			  struct err *err)
{
	struct json_span found[REQUIRED_MAX];
	size_t count = 0;
	int r;

	while (t->required[count])
		count++;
	r = json_scan_members(arguments, len, t->required, count, found, err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (!found[i].at || json_span_equals(found[i], "") || found[i].at[0] == 'n')
			r = err_set(err, ERR_INVALID, "missing argument '%s'", t->required[i]);
	}
	return r;
}

bool mgmt_call(const struct mgmt_tool *tool, const struct mcp_context *c,
	       struct json_span arguments, struct buf *ret)
{
	const char *text = arguments.at ? arguments.at : "{}";
	size_t len = arguments.at ? arguments.len : 2;
	struct err why = { 0 };

	if (check_required(tool, text, len, &why) == 0)
		return tool->run(tool, c, text, len, ret);
	add_failure(ret, c->form, why.text, why.hint);
	metrics_count(METRIC_MANAGEMENT_ERROR);
	err_done(&why);
	return true;
}
