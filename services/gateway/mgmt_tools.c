#include "mgmt_tools.h"

#include <string.h>
#include "calls.h"
#include "json_proto.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "mgmt_args.h"
#include "mgmt_table.h"
#include "msg.h"
#include "result.h"
#include "upstream.h"

#define ASK_MS   10000 /* creating a tool asks an executor to look at the code */
#define MAP_MS   2000  /* for the own map to show what was just changed */
#define TEXT_MAX (4u * 1024 * 1024)

const struct mgmt_tool *mgmt_find(const char *name)
{
	for (size_t i = 0; i < mgmt_table_count; i++) {
		if (strcmp(mgmt_table[i].name, name) == 0)
			return &mgmt_table[i];
	}
	return NULL;
}

/* ---- listing ---- */

static const char *boolean(bool b)
{
	return b ? "true" : "false";
}

static void list_param(const struct mgmt_param *p, struct buf *ret)
{
	static const char *const types[] = {
		[MGMT_STRING] = "\"string\"",
		[MGMT_INTEGER] = "\"integer\"",
		[MGMT_BOOLEAN] = "\"boolean\"",
		[MGMT_OBJECT] = "\"object\"",
		[MGMT_STRINGS] = "\"array\",\"items\":{\"type\":\"string\"}",
	};

	buf_printf(ret, "\"%s\":{\"type\":%s,\"description\":\"%s\"}", p->name, types[p->type],
		   p->text);
}

static void list_schema(const struct mgmt_tool *t, struct buf *ret)
{
	const char *separator = "";

	buf_add_str(ret, "\"inputSchema\":{\"type\":\"object\",\"properties\":{");
	for (const struct mgmt_param *p = t->params; p->name; p++) {
		buf_add_str(ret, p == t->params ? "" : ",");
		list_param(p, ret);
	}
	buf_add_str(ret, "},\"required\":[");
	for (const struct mgmt_param *p = t->params; p->name; p++) {
		if (!p->is_required)
			continue;
		buf_printf(ret, "%s\"%s\"", separator, p->name);
		separator = ",";
	}
	buf_add_str(ret, "],\"additionalProperties\":false}");
}

/* The message that the result shows: the reply, or the one in its field `unwrap`. */
static const ProtobufCMessageDescriptor *result_type(const struct mgmt_tool *t)
{
	const ProtobufCMessageDescriptor *reply = msg_row(t->msg)->reply;
	const ProtobufCFieldDescriptor *f =
		t->unwrap ? protobuf_c_message_descriptor_get_field_by_name(reply, t->unwrap)
			  : NULL;

	return f ? f->descriptor : reply;
}

/* What write_tested() writes. */
static const char tested_schema[] =
	"{\"type\":\"object\",\"properties\":{\"success\":{\"type\":\"boolean\"},\"result\":{},"
	"\"stdout\":{\"type\":\"string\"}},\"required\":[\"success\",\"result\",\"stdout\"]}";

static void list_output(const struct mgmt_tool *t, struct buf *ret)
{
	buf_add_str(ret, ",\"outputSchema\":");
	if (t->run == mgmt_test_code)
		buf_add_str(ret, tested_schema);
	else
		msg_to_schema(result_type(t), ret);
}

static void list_one(const struct mgmt_tool *t, enum list_form form, struct buf *ret)
{
	buf_printf(ret, "{\"name\":\"%s\",", t->name);
	if (form != LIST_OLD)
		buf_printf(ret, "\"title\":\"%s\",", t->title);
	buf_printf(ret, "\"description\":\"%s\",", t->description);
	list_schema(t, ret);
	if (form != LIST_OLD)
		list_output(t, ret);
	buf_printf(ret,
		   ",\"annotations\":{\"readOnlyHint\":%s,\"destructiveHint\":%s,"
		   "\"idempotentHint\":%s,\"openWorldHint\":%s}}",
		   boolean(t->flags & MGMT_READS), boolean(t->flags & MGMT_REPLACES),
		   boolean(t->flags & (MGMT_READS | MGMT_REPEATS)),
		   boolean(t->run == mgmt_test_code));
}

void mgmt_list(enum list_form form, struct buf *ret)
{
	for (size_t i = 0; i < mgmt_table_count; i++) {
		if (i > 0)
			buf_add_char(ret, ',');
		list_one(&mgmt_table[i], form, ret);
	}
}

/* ---- results ---- */

static void add_failure(struct buf *ret, enum list_form form, const char *text,
			const struct err *why)
{
	struct buf said = BUF_INIT(TEXT_MAX);

	buf_printf(&said, "Error: %s", text);
	if (why && why->hint[0])
		buf_printf(&said, " (%s)", why->hint);
	result_add_failure(ret, form, buf_str(&said), said.len, why);
	buf_done(&said);
}

static void add_refusal(struct buf *ret, enum list_form form, const struct err *why)
{
	add_failure(ret, form, why->text, why);
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
	struct err why = { 0 };
	struct buf pretty = BUF_INIT(TEXT_MAX);
	struct buf compact = BUF_INIT(TEXT_MAX);

	if (error) {
		text = mem_strndup((const char *)error->data, error->len);
		(void)err_set(&why, ERR_INVALID, "%s", text);
		add_failure(ret, c->form, text, &why);
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

bool mgmt_ask(const struct mgmt_tool *tool, const struct mcp_context *c, const char *arguments,
	      size_t len, struct buf *ret)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *request = NULL;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	struct err why = { 0 };
	int r = json_to_msg(msg_row(tool->msg)->request, arguments, len, NULL, &request, &why);

	if (r == 0)
		r = upstream_ask_registry(c->gw->bus, tool->msg, request, c->caller, ASK_MS, &reply,
					  &why);
	if (r == 0 && (tool->flags & MGMT_MOVES_MAP))
		wait_for_map(c->gw);
	if (r == 0 && reply)
		add_reply(tool, c, reply, ret);
	else
		add_refusal(ret, c->form, &why);
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

	if (json_load_with_nul(content.data, content.len, &tree, NULL) < 0)
		return mem_strdup(as_json ? "null" : "");
	text = json_object_get(json_array_get(tree, 0), "text");
	if (!json_is_string(text))
		return mem_strdup(as_json ? "null" : "");
	return as_json ? json_dump(text, &len) : mem_strdup(json_string_value(text));
}

static void write_tested(struct buf *b, const PB(Done) * done)
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

/* The executor's text says what was raised, where, and what was printed before. */
static void add_test_failure(const struct mcp_context *c, const PB(Done) * done, struct buf *ret)
{
	BOX_CLEANUP(mem_freep) char *text = first_text(done->content_json, false);

	add_failure(ret, c->form, text, NULL);
}

static void add_test_result(const struct mcp_context *c, const PB(Done) * done, struct buf *ret)
{
	struct buf compact = BUF_INIT(TEXT_MAX);
	BOX_CLEANUP(json_decrefp) json_t *tree = NULL;
	BOX_CLEANUP(mem_freep) char *text = NULL;

	write_tested(&compact, done);
	/* Integers beyond 64 bits have no tree; the compact text is as good. */
	if (json_load(compact.data, compact.len, &tree, NULL) == 0)
		text = json_dumps(tree, JSON_INDENT(2));
	add_object(ret, c->form, text ? text : buf_str(&compact), text ? strlen(text) : compact.len,
		   &compact);
	buf_done(&compact);
}

static void add_tested(const struct mcp_context *c, const PB(Done) * done, struct buf *ret)
{
	if (done->outcome == MCPBOX__V1__DONE__OUTCOME__OUTCOME_OK)
		add_test_result(c, done, ret);
	else
		add_test_failure(c, done, ret);
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
		r = upstream_ask_registry(c->gw->bus, tool->msg, request, c->caller, ASK_MS,
					  &message, err);
	if (r != 0)
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
	return mcp_run_tool(c, tool, arguments, true, ret, err);
}

bool mgmt_test_code(const struct mgmt_tool *tool, const struct mcp_context *c,
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
	if (r == 0 && reply)
		add_tested(c, ((const PB(ExecuteReply) *)reply)->done, ret);
	else
		add_refusal(ret, c->form, &why);
	metrics_count(r < 0 ? METRIC_MANAGEMENT_ERROR : METRIC_MANAGEMENT_OK);
	err_done(&why);
	return r != -ERR_CANCELLED;
}

/* ---- dispatch ---- */

bool mgmt_call(const struct mgmt_tool *tool, const struct mcp_context *c,
	       struct json_span arguments, struct buf *ret)
{
	const struct json_span given = arguments.at ? arguments : (struct json_span){ "{}", 2 };
	struct err why = { 0 };

	if (mgmt_args_check(tool->params, given, &why) == 0)
		return tool->run(tool, c, given.at, given.len, ret);
	add_refusal(ret, c->form, &why);
	metrics_count(METRIC_MANAGEMENT_ERROR);
	err_done(&why);
	return true;
}
