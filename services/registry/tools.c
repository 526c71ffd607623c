#include "tools.h"

#include <stdio.h>
#include <string.h>
#include "approvals.h"
#include "canon.h"
#include "checks.h"
#include "id.h"
#include "inspect.h"
#include "nouns.h"
#include "parse.h"
#include "pause.h"
#include "servers.h"
#include "settings.h"
#include "specs.h"

/* "server/tool" -> id, in place. */
static int resolve(struct work *w, const char **id, struct err *err)
{
	const char *slash = strchr(*id, '/');
	char *found;
	char *server;
	int r;

	if (!slash)
		return work_check_id(err, "tool_id", *id);
	server = arena_dup(&w->arena, *id, (size_t)(slash - *id));
	r = store_tool_id(w->tx, server, slash + 1, &found);
	if (r < 0)
		return work_missing(err, r, "tool", *id);
	*id = found;
	return 0;
}

static ProtobufCBinaryData take_buf(struct work *w, struct buf *b)
{
	ProtobufCBinaryData ret = pb_bytes(arena_dup(&w->arena, b->data, b->len), b->len);

	buf_done(b);
	return ret;
}

ProtobufCBinaryData tool_limits_shown(struct work *w, ProtobufCBinaryData set)
{
	struct buf b = BUF_INIT(LIMITS_TEXT_MAX);

	limits_show(set, &b);
	return take_buf(w, &b);
}

static ProtobufCBinaryData merged_limits(struct work *w, ProtobufCBinaryData old,
					 ProtobufCBinaryData given)
{
	struct buf b = BUF_INIT(LIMITS_TEXT_MAX);

	limits_merge(old, given, &b);
	return take_buf(w, &b);
}

int tool_load(struct work *w, const char *id, bool lock, PB(Tool) * *ret, struct err *err)
{
	int r = resolve(w, &id, err);

	if (r != 0)
		return r;
	w->object_kind = "tool";
	w->object_id = arena_str(&w->arena, id);
	r = store_tool_get(w->tx, id, lock, ret);
	if (r < 0)
		return work_missing(err, r, "tool", id);
	(*ret)->limits_json = tool_limits_shown(w, (*ret)->limits_json);
	return 0;
}

/* ---- versions ------------------------------------------------------------------------------------ */

int tool_store_version(struct work *w, PB(Tool) * tool, ROW(VersionRow) * v, const char *source,
		       const char *summary)
{
	uint8_t *hash = arena_alloc(&w->arena, CRYPTO_HASH_SIZE);
	char id[ID_TEXT_SIZE];

	id_new(id);
	v->id = arena_str(&w->arena, id);
	v->tool_id = tool->id;
	v->version = tool->current_version;
	v->enabled = tool->enabled;
	v->change_source = arena_str(&w->arena, source);
	v->change_summary = pb_text(arena_str(&w->arena, summary));
	v->created_by = arena_str(&w->arena, w->actor->author);
	canon_content_hash(v, hash);
	v->content_hash = pb_bytes(hash, CRYPTO_HASH_SIZE);
	tool->content_hash = v->content_hash;
	tool->name = v->name;
	return store_version_create(w->tx, v);
}

int tool_add_version(struct work *w, PB(Tool) * tool, ROW(VersionRow) * change, const char *source,
		     const char *summary, struct err *err)
{
	PB(SecurityPolicy) * policy;
	int r;

	tool->current_version++;
	r = tool_store_version(w, tool, change, source, summary);
	if (r == 0)
		r = store_policy_get(w->tx, false, &policy);
	if (r != 0)
		return r;
	if (policy_is_auto(policy) && tool->live_version_opt_case)
		approval_make_live(w, tool, "auto_approve");
	else
		approval_make_draft(tool);
	r = store_tool_save(w->tx, tool);
	if (r == -ERR_EXISTS)
		return err_set_field(err, ERR_EXISTS, "name", NULL,
				     "the server has a tool named '%s' already", tool->name);
	return r;
}

/* ---- create -------------------------------------------------------------------------------------- */

static int check_dependencies(size_t count, struct err *err)
{
	return count <= 20 ? 0
			   : err_set_field(err, ERR_INVALID, "code_dependencies", NULL,
					   "at most 20 code_dependencies");
}

int tool_check_new(const PB(CreateToolRequest) * in, struct err *err)
{
	int r = name_check("tool", in->name, err);

	if (r == 0)
		r = check_code("python_code", in->python_code, err);
	if (r == 0)
		r = check_text("description", in->description, TEXT_MAX, err);
	if (r == 0)
		r = check_text("title", in->title, 200, err);
	if (r == 0 && in->timeout_ms_opt_case)
		r = check_timeout("timeout_ms", in->timeout_ms, err);
	if (r == 0)
		r = check_limits(in->limits_json, err);
	if (r == 0)
		r = check_object("input_schema", in->input_schema_json, true, err);
	if (r == 0)
		r = check_object("output_schema", in->output_schema_json, false, err);
	if (r == 0)
		r = check_object("annotations", in->annotations_json, false, err);
	return r == 0 ? check_dependencies(in->n_code_dependencies, err) : r;
}

/* The bare name if it is free, else server__tool; fixed from now on. */
static int choose_published_name(struct work *w, const PB(Server) * server, PB(Tool) * tool,
				 struct err *err)
{
	const char *names[] = { tool->name,
				arena_printf(&w->arena, "%s__%s", server->name, tool->name) };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		bool is_taken;
		int r = store_published_taken(w->tx, names[i], &is_taken);

		if (r < 0)
			return r;
		if (!is_taken) {
			tool->published_name = arena_str(&w->arena, names[i]);
			return 0;
		}
	}
	return err_set_field(err, ERR_EXISTS, "name", "choose another name",
			     "another tool is published as '%s' and as '%s'", names[0], names[1]);
}

static ProtobufCBinaryData first_of(ProtobufCBinaryData given, ProtobufCBinaryData derived)
{
	return given.len ? given : derived;
}

void tool_version_of_new(struct work *w, const PB(CreateToolRequest) * in, ROW(VersionRow) * v)
{
	mcpbox__rows__version_row__init(v);
	v->name = arena_str(&w->arena, in->name);
	v->description = first_of(in->description, w->inspected->description);
	v->title = in->title;
	v->timeout_ms = in->timeout_ms_opt_case ? in->timeout_ms : 0;
	v->limits = merged_limits(w, (ProtobufCBinaryData){ 0 }, in->limits_json);
	v->python_code = in->python_code;
	v->input_schema = first_of(in->input_schema_json, w->inspected->input_schema_json);
	v->output_schema = first_of(in->output_schema_json, w->inspected->output_schema_json);
	v->annotations = in->annotations_json;
	v->code_dependencies = in->code_dependencies;
	v->n_code_dependencies = in->n_code_dependencies;
}

int tool_insert(struct work *w, const PB(Server) * server, PB(Tool) * tool, struct err *err)
{
	int r = store_names_lock(w->tx);

	if (r == 0)
		r = choose_published_name(w, server, tool, err);
	if (r != 0)
		return r;
	r = store_tool_create(w->tx, tool);
	if (r == -ERR_EXISTS)
		return err_set_field(err, ERR_EXISTS, "name", NULL,
				     "server '%s' has a tool named '%s' already", server->name,
				     tool->name);
	return r;
}

static void fill_new_tool(struct work *w, const PB(CreateToolRequest) * in, PB(Tool) * tool)
{
	char id[ID_TEXT_SIZE];

	id_new(id);
	tool->id = arena_str(&w->arena, id);
	tool->server_id = in->server_id;
	tool->name = in->name;
	tool->enabled = true;
	tool->current_version = 1;
	if (w->actor->author[0]) {
		tool->created_by_opt_case = MCPBOX__V1__TOOL__CREATED_BY_OPT_CREATED_BY;
		tool->created_by = arena_str(&w->arena, w->actor->author);
	}
}

int tool_create(struct work *w, const void *message, struct err *err)
{
	const PB(CreateToolRequest) *in = message;
	PB(CreateToolReply) reply = MCPBOX__V1__CREATE_TOOL_REPLY__INIT;
	PB(Tool) tool = MCPBOX__V1__TOOL__INIT;
	ROW(VersionRow) v;
	PB(Server) * server;
	int r = server_load(w, in->server_id, false, &server, err);

	if (r != 0)
		return r;
	fill_new_tool(w, in, &tool);
	tool_version_of_new(w, in, &v);
	r = tool_insert(w, server, &tool, err);
	if (r == 0)
		r = tool_store_version(w, &tool, &v, "manual", "Initial version");
	if (r != 0)
		return r;
	work_audit(w, "tool.created", "tool", tool.id, "ok",
		   json_pack("{s:s, s:s, s:s, s:i}", "server", server->name, "name", tool.name,
			     "published_name", tool.published_name, "version", 1));
	reply.success = true;
	reply.id = tool.id;
	reply.name = tool.name;
	reply.message = work_say(
		w,
		"Tool '%s' created as a draft (version 1), to be published as '%s'. Next: "
		"mcpbox_validate_code to check it, mcpbox_request_network_access for each host "
		"that it calls, then mcpbox_request_publish; it can be called once an "
		"administrator "
		"has approved it and server '%s' runs.",
		tool.name, tool.published_name, server->name);
	if (in->input_schema_json.len == 0)
		INSPECT_FILL_WARNINGS(reply, w->inspected);
	work_answer(w, &reply.base);
	return 0;
}

int tool_inspect_create(struct work *w, const void *message, struct err *err)
{
	const PB(CreateToolRequest) *in = message;
	int r = work_check_id(err, "server_id", in->server_id);

	if (r == 0)
		r = tool_check_new(in, err);
	return r == 0 ? inspect_require_sound(w,
					      &(struct inspect_what){ in->python_code,
								      in->input_schema_json,
								      in->output_schema_json },
					      err)
		      : r;
}

/* ---- update -------------------------------------------------------------------------------------- */

/* Names of what differs, for the summary; empty: nothing does. */
struct changes {
	char text[160];
};

static void note(struct changes *c, const char *name)
{
	size_t len = strlen(c->text);

	(void)snprintf(c->text + len, sizeof(c->text) - len, "%s%s", len ? ", " : "", name);
}

static bool same(ProtobufCBinaryData a, ProtobufCBinaryData b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static void take(struct changes *c, const char *name, ProtobufCBinaryData *field,
		 ProtobufCBinaryData given)
{
	if (same(*field, given))
		return;
	*field = given;
	note(c, name);
}

static void apply_code(struct work *w, const PB(UpdateToolRequest) * in, ROW(VersionRow) * v,
		       struct changes *c)
{
	if (!in->python_code_opt_case || same(v->python_code, in->python_code))
		return;
	take(c, "code", &v->python_code, in->python_code);
	v->input_schema = w->inspected->input_schema_json;
	v->output_schema = w->inspected->output_schema_json;
}

static bool same_texts(char *const *a, size_t a_count, char *const *b, size_t b_count)
{
	bool is_same = a_count == b_count;

	for (size_t i = 0; is_same && i < a_count; i++)
		is_same = strcmp(a[i], b[i]) == 0;
	return is_same;
}

static void apply_update(struct work *w, const PB(UpdateToolRequest) * in, ROW(VersionRow) * v,
			 struct changes *c)
{
	if (in->name_opt_case && strcmp(v->name, in->name) != 0) {
		v->name = in->name;
		note(c, "name");
	}
	if (in->description_opt_case)
		take(c, "description", &v->description, in->description);
	if (in->title_opt_case)
		take(c, "title", &v->title, in->title);
	apply_code(w, in, v, c);
	if (in->timeout_ms_opt_case && v->timeout_ms != in->timeout_ms) {
		v->timeout_ms = in->timeout_ms;
		note(c, "timeout_ms");
	}
	if (in->limits_json.len)
		take(c, "limits", &v->limits, merged_limits(w, v->limits, in->limits_json));
	if (in->input_schema_json.len)
		take(c, "input_schema", &v->input_schema, in->input_schema_json);
	if (in->output_schema_json.len)
		take(c, "output_schema", &v->output_schema, in->output_schema_json);
	if (in->annotations_json.len)
		take(c, "annotations", &v->annotations, in->annotations_json);
	if (in->n_code_dependencies &&
	    !same_texts(v->code_dependencies, v->n_code_dependencies, in->code_dependencies,
			in->n_code_dependencies)) {
		v->code_dependencies = in->code_dependencies;
		v->n_code_dependencies = in->n_code_dependencies;
		note(c, "code_dependencies");
	}
}

static bool brings_anything(const PB(UpdateToolRequest) * in)
{
	return in->name_opt_case || in->description_opt_case || in->python_code_opt_case ||
	       in->enabled_opt_case || in->timeout_ms_opt_case || in->title_opt_case ||
	       in->limits_json.len || in->input_schema_json.len || in->output_schema_json.len ||
	       in->annotations_json.len || in->n_code_dependencies;
}

static int check_update(const PB(UpdateToolRequest) * in, struct err *err)
{
	int r = 0;

	if (!brings_anything(in))
		return err_set(err, ERR_INVALID, "no fields to update were given");
	if (in->name_opt_case)
		r = name_check("tool", in->name, err);
	if (r == 0 && in->python_code_opt_case)
		r = check_code("python_code", in->python_code, err);
	if (r == 0 && in->description_opt_case)
		r = check_text("description", in->description, TEXT_MAX, err);
	if (r == 0 && in->title_opt_case)
		r = check_text("title", in->title, 200, err);
	if (r == 0 && in->timeout_ms_opt_case)
		r = check_timeout("timeout_ms", in->timeout_ms, err);
	if (r == 0)
		r = check_limits(in->limits_json, err);
	if (r == 0)
		r = check_object("input_schema", in->input_schema_json, true, err);
	if (r == 0)
		r = check_object("output_schema", in->output_schema_json, false, err);
	if (r == 0)
		r = check_object("annotations", in->annotations_json, false, err);
	return r == 0 ? check_dependencies(in->n_code_dependencies, err) : r;
}

int tool_inspect_update(struct work *w, const void *message, struct err *err)
{
	const PB(UpdateToolRequest) *in = message;
	struct inspect_what what = { .input_schema = in->input_schema_json,
				     .output_schema = in->output_schema_json };
	int r = check_update(in, err);

	if (in->python_code_opt_case)
		what.code = in->python_code;
	if (r < 0 || (!what.code.len && !what.input_schema.len && !what.output_schema.len))
		return r;
	return inspect_require_sound(w, &what, err);
}

/* Switching a tool on or off is no new content: no version, no review. */
static int apply_enabled(struct work *w, const PB(UpdateToolRequest) * in, PB(Tool) * tool,
			 bool *ret_changed)
{
	*ret_changed = in->enabled_opt_case && tool->enabled != (in->enabled != 0);
	if (!*ret_changed)
		return 0;
	tool->enabled = in->enabled;
	return tool->enabled ? 0 : store_permits_revoke(w->tx, tool->server_id, tool->id);
}

static const char *what_follows(const PB(Tool) * tool, const struct changes *c, bool switched)
{
	if (!c->text[0])
		return switched ? "It was switched; its content and approval are as they were."
				: "Nothing changed.";
	if (strcmp(tool->approval_status, "approved") == 0)
		return "The new version was approved automatically and is live.";
	if (tool->live_version_opt_case)
		return "The new version is a draft; the live version keeps serving. Submit it with "
		       "mcpbox_request_publish.";
	return "It is a draft; submit it with mcpbox_request_publish.";
}

static int save_update(struct work *w, const PB(UpdateToolRequest) * in, PB(Tool) * tool,
		       struct changes *c, bool *ret_switched, struct err *err)
{
	ROW(VersionRow) * v;
	int r = store_version_get(w->tx, tool->id, tool->current_version, &v);

	if (r == 0)
		r = apply_enabled(w, in, tool, ret_switched);
	if (r != 0)
		return r;
	apply_update(w, in, v, c);
	if (c->text[0])
		return tool_add_version(w, tool, v, "manual",
					arena_printf(&w->arena, "Changed: %s", c->text), err);
	return *ret_switched ? store_tool_save(w->tx, tool) : 0;
}

int tool_update(struct work *w, const void *message, struct err *err)
{
	const PB(UpdateToolRequest) *in = message;
	PB(UpdateToolReply) reply = MCPBOX__V1__UPDATE_TOOL_REPLY__INIT;
	struct changes changes = { "" };
	bool switched = false;
	PB(Tool) * tool;
	int r = tool_load(w, in->tool_id, true, &tool, err);

	if (r == 0)
		r = work_check_revision(err, in->revision_opt_case, in->revision, tool->revision,
					&tool->base);
	if (r == 0)
		r = save_update(w, in, tool, &changes, &switched, err);
	if (r != 0)
		return r;
	if (changes.text[0] || switched)
		work_audit(w, "tool.updated", "tool", tool->id, "ok",
			   json_pack("{s:s, s:i, s:s, s:b}", "name", tool->name, "version",
				     (int)tool->current_version, "changed", changes.text, "enabled",
				     (int)tool->enabled));
	if (changes.text[0])
		approval_audit_auto(w, tool);
	reply.success = true;
	reply.id = tool->id;
	reply.name = tool->name;
	reply.message = work_say(w, "Tool '%s' is at version %u. %s", tool->name,
				 tool->current_version, what_follows(tool, &changes, switched));
	if (w->inspected && in->input_schema_json.len == 0)
		INSPECT_FILL_WARNINGS(reply, w->inspected);
	work_answer(w, &reply.base);
	return 0;
}

/* ---- read, delete -------------------------------------------------------------------------------- */

int tool_get(struct work *w, const void *message, struct err *err)
{
	const PB(GetToolRequest) *in = message;
	PB(GetToolReply) reply = MCPBOX__V1__GET_TOOL_REPLY__INIT;
	int r = tool_load(w, in->tool_id, false, &reply.tool, err);

	if (r == 0)
		work_answer(w, &reply.base);
	return r;
}

int tool_list(struct work *w, const void *message, struct err *err)
{
	const PB(ListToolsRequest) *in = message;
	PB(ListToolsReply) reply = MCPBOX__V1__LIST_TOOLS_REPLY__INIT;
	struct page page = work_page(in->page, in->page_size, 50);
	int64_t total = 0;
	PB(Server) * server;
	int r = server_load(w, in->server_id, false, &server, err);

	if (r == 0)
		r = store_tool_list(w->tx, server->id, page, &reply.tools, &reply.n_tools, &total);
	if (r != 0)
		return r;
	reply.server_id = server->id;
	reply.server_name = server->name;
	WORK_FILL_PAGE(&reply, page, total);
	work_answer(w, &reply.base);
	return 0;
}

int tool_delete(struct work *w, const void *message, struct err *err)
{
	const PB(DeleteToolRequest) *in = message;
	PB(SuccessReply) reply = MCPBOX__V1__SUCCESS_REPLY__INIT;
	PB(Tool) * tool;
	int r = tool_load(w, in->tool_id, true, &tool, err);

	if (r == 0)
		r = work_check_revision(err, in->revision_opt_case, in->revision, tool->revision,
					&tool->base);
	if (r == 0)
		r = store_permits_revoke(w->tx, tool->server_id,
					 NULL); /* its hosts leave the server's grant */
	if (r == 0)
		r = store_tool_delete(w->tx, tool->id);
	if (r == 0)
		r = store_server_forget_grant(w->tx, tool->server_id);
	if (r != 0)
		return r;
	work_audit(w, "tool.deleted", "tool", tool->id, "ok",
		   json_pack("{s:s, s:s}", "name", tool->name, "published_name",
			     tool->published_name));
	reply.success = true;
	reply.message = work_say(w, "Tool '%s' is deleted.", tool->name);
	work_answer(w, &reply.base);
	return 0;
}

/* ---- validate, test ------------------------------------------------------------------------------ */

int tool_inspect_validate(struct work *w, const void *message, struct err *err)
{
	const PB(ValidateCodeRequest) *in = message;
	int r = check_code("code", in->code, err);

	return r == 0 ? inspect_code(w, &(struct inspect_what){ .code = in->code }, err) : r;
}

int tool_validate(struct work *w, const void *message, struct err *err)
{
	const PB(InspectReply) *seen = w->inspected;
	PB(ValidateCodeReply) reply = MCPBOX__V1__VALIDATE_CODE_REPLY__INIT;

	(void)message;
	(void)err;
	reply.valid = seen->valid;
	reply.has_main = seen->has_main;
	if (seen->error.len) {
		reply.error_opt_case = MCPBOX__V1__VALIDATE_CODE_REPLY__ERROR_OPT_ERROR;
		reply.error = seen->error; /* names its line */
	}
	reply.parameters = seen->parameters;
	reply.n_parameters = seen->n_parameters;
	reply.input_schema_json = seen->input_schema_json;
	reply.output_schema_json = seen->output_schema_json;
	INSPECT_FILL_WARNINGS(reply, seen);
	work_audit(w, "tool.validated", "code", "",
		   seen->valid && seen->has_main ? "ok" : "invalid",
		   json_pack("{s:b, s:b}", "valid", (int)seen->valid, "has_main",
			     (int)seen->has_main));
	work_answer(w, &reply.base);
	return 0;
}

static int may_test(const PB(Tool) * tool, const PB(SecurityPolicy) * policy, struct err *err)
{
	if (!tool->python_code_opt_case)
		return err_set(err, ERR_STATE, "tool '%s' has no code of its own to test",
			       tool->name);
	if (policy_is_auto(policy) || strcmp(tool->approval_status, "approved") == 0)
		return 0;
	return err_set(
		err, ERR_STATE,
		"tool '%s' cannot be tested: its status is %s and running code needs approval. "
		"Either submit it with mcpbox_request_publish and wait for an administrator's "
		"approval, or ask an administrator to set tool_approval_mode to auto_approve.",
		tool->name, tool->approval_status);
}

int tool_prepare_test(struct work *w, const void *message, struct err *err)
{
	const PB(PrepareTestRequest) *in = message;
	PB(PrepareTestReply) reply = MCPBOX__V1__PREPARE_TEST_REPLY__INIT;
	PB(SecurityPolicy) * policy;
	PB(Tool) * tool;
	int r = tool_load(w, in->tool_id, true, &tool, err);

	if (r == 0)
		r = store_policy_get(w->tx, false, &policy);
	if (r == 0)
		r = may_test(tool, policy, err);
	if (r == 0)
		r = pause_check(w, tool->server_id, err);
	if (r == 0)
		r = specs_prepare_test(w, tool, MCPBOX__V1__PERMIT__PURPOSE__PURPOSE_TEST, 0,
				       &reply);
	if (r != 0)
		return r;
	work_audit(
		w, "tool.tested", "tool", tool->id, "ok",
		json_pack("{s:s, s:i}", "name", tool->name, "version", (int)tool->current_version));
	work_answer(w, &reply.base);
	return 0;
}
