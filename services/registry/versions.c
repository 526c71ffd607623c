/* History of a tool: versions are written once and never changed. */
#include <string.h>
#include "approvals.h"
#include "buf.h"
#include "json.h"
#include "nouns.h"
#include "tools.h"

int version_list(struct work *w, const void *message, struct err *err)
{
	const PB(ListToolVersionsRequest) *in = message;
	PB(ListToolVersionsReply) reply = MCPBOX__V1__LIST_TOOL_VERSIONS_REPLY__INIT;
	struct page page = work_page(in->page, in->page_size, 50);
	int64_t total = 0;
	PB(Tool) * t;
	int r = tool_load(w, in->tool_id, false, &t, err);

	if (r == 0)
		r = store_version_list(w->tx, t->id, page, &reply.versions, &reply.n_versions,
				       &total);
	if (r != 0)
		return r;
	reply.tool_id = t->id;
	reply.tool_name = t->name;
	reply.current_version = t->current_version;
	reply.total_versions = (uint32_t)total;
	reply.page = page.number;
	reply.page_size = page.size;
	reply.pages = work_pages(total, page);
	work_answer(w, &reply.base);
	return 0;
}

static int missing(struct err *err, int r, const PB(Tool) * t, uint32_t version)
{
	if (r == -ERR_NOT_FOUND)
		return err_set_field(err, ERR_NOT_FOUND, "version", NULL,
				     "tool '%s' has no version %u", t->name, version);
	return r;
}

int version_get(struct work *w, const void *message, struct err *err)
{
	const PB(GetToolVersionRequest) *in = message;
	PB(GetToolVersionReply) reply = MCPBOX__V1__GET_TOOL_VERSION_REPLY__INIT;
	PB(Tool) * t;
	int r = tool_load(w, in->tool_id, false, &t, err);

	if (r != 0)
		return r;
	r = store_version_show(w->tx, t->id, in->version, &reply.version);
	if (r < 0)
		return missing(err, r, t, in->version);
	reply.version->limits_json = tool_limits_shown(w, reply.version->limits_json);
	work_answer(w, &reply.base);
	return 0;
}

/* ---- compare ------------------------------------------------------------------------------------- */

enum shape { SHAPE_TEXT, SHAPE_JSON, SHAPE_NUMBER, SHAPE_BOOL, SHAPE_STRING };

static const struct {
	const char *field;
	size_t offset;
	enum shape shape;
} compared[] = {
	{ "name", offsetof(ROW(VersionRow), name), SHAPE_STRING },
	{ "description", offsetof(ROW(VersionRow), description), SHAPE_TEXT },
	{ "title", offsetof(ROW(VersionRow), title), SHAPE_TEXT },
	{ "enabled", offsetof(ROW(VersionRow), enabled), SHAPE_BOOL },
	{ "timeout_ms", offsetof(ROW(VersionRow), timeout_ms), SHAPE_NUMBER },
	{ "python_code", offsetof(ROW(VersionRow), python_code), SHAPE_TEXT },
	{ "input_schema", offsetof(ROW(VersionRow), input_schema), SHAPE_JSON },
	{ "output_schema", offsetof(ROW(VersionRow), output_schema), SHAPE_JSON },
	{ "annotations", offsetof(ROW(VersionRow), annotations), SHAPE_JSON },
	{ "limits", offsetof(ROW(VersionRow), limits), SHAPE_JSON },
};

static void add_value(struct buf *b, const void *member, enum shape shape)
{
	const ProtobufCBinaryData *bytes = member;

	switch (shape) {
	case SHAPE_STRING:
		json_add_string(b, *(char *const *)member, strlen(*(char *const *)member));
		break;
	case SHAPE_BOOL:
		buf_add_str(b, *(const protobuf_c_boolean *)member ? "true" : "false");
		break;
	case SHAPE_NUMBER:
		if (*(const uint32_t *)member)
			buf_printf(b, "%u", *(const uint32_t *)member);
		else
			buf_add_str(b, "null");
		break;
	case SHAPE_TEXT:
	case SHAPE_JSON:
		if (bytes->len == 0)
			buf_add_str(b, "null");
		else if (shape == SHAPE_JSON)
			buf_add(b, bytes->data, bytes->len);
		else
			json_add_string(b, bytes->data, bytes->len);
	}
}

static ProtobufCBinaryData value_of(struct work *w, const ROW(VersionRow) * v, size_t row)
{
	struct buf b = BUF_INIT(4 * 1024 * 1024);
	ProtobufCBinaryData value;

	add_value(&b, (const char *)v + compared[row].offset, compared[row].shape);
	value = pb_bytes(arena_dup(&w->arena, b.data, b.len), b.len);
	buf_done(&b);
	return value;
}

static void compare(struct work *w, const ROW(VersionRow) * a, const ROW(VersionRow) * b,
		    PB(CompareToolVersionsReply) * reply)
{
	reply->differences = arena_pointers(&w->arena, ARRAY_LEN(compared));
	for (size_t i = 0; i < ARRAY_LEN(compared); i++) {
		ProtobufCBinaryData from = value_of(w, a, i), to = value_of(w, b, i);
		PB(Difference) * d;

		if (from.len == to.len && memcmp(from.data, to.data, from.len) == 0)
			continue;
		d = arena_msg(&w->arena, &mcpbox__v1__difference__descriptor);
		d->field = arena_str(&w->arena, compared[i].field);
		d->old_value_json = from;
		d->new_value_json = to;
		reply->differences[reply->n_differences++] = d;
	}
}

/* Versions count from 1, so an absent one is a zero. */
static int check_given(const char *field, uint32_t version, struct err *err)
{
	return version ? 0 : err_set_field(err, ERR_INVALID, field, NULL, "%s is missing", field);
}

int version_compare(struct work *w, const void *message, struct err *err)
{
	const PB(CompareToolVersionsRequest) *in = message;
	PB(CompareToolVersionsReply) reply = MCPBOX__V1__COMPARE_TOOL_VERSIONS_REPLY__INIT;
	ROW(VersionRow) * from, *to;
	PB(Tool) * t;
	int r = check_given("from_version", in->from_version, err);

	if (r == 0)
		r = check_given("to_version", in->to_version, err);
	if (r == 0)
		r = tool_load(w, in->tool_id, false, &t, err);
	if (r != 0)
		return r;
	r = store_version_get(w->tx, t->id, in->from_version, &from);
	if (r < 0)
		return missing(err, r, t, in->from_version);
	r = store_version_get(w->tx, t->id, in->to_version, &to);
	if (r < 0)
		return missing(err, r, t, in->to_version);
	from->limits = tool_limits_shown(w, from->limits);
	to->limits = tool_limits_shown(w, to->limits);
	reply.from_version = in->from_version;
	reply.to_version = in->to_version;
	compare(w, from, to, &reply);
	work_answer(w, &reply.base);
	return 0;
}

/* ---- roll back ----------------------------------------------------------------------------------- */

static int restore(struct work *w, PB(Tool) * t, uint32_t version, struct err *err)
{
	ROW(VersionRow) * old;
	int r = store_version_get(w->tx, t->id, version, &old);

	if (r < 0)
		return missing(err, r, t, version);
	if (t->enabled && !old->enabled)
		r = store_permits_revoke(w->tx, t->server_id, t->id);
	if (r != 0)
		return r;
	t->enabled = old->enabled;
	return tool_add_version(w, t, old, "rollback",
				arena_printf(&w->arena, "Rolled back to version %u", version), err);
}

int version_rollback(struct work *w, const void *message, struct err *err)
{
	const PB(RollbackToolRequest) *in = message;
	PB(RollbackToolReply) reply = MCPBOX__V1__ROLLBACK_TOOL_REPLY__INIT;
	PB(Tool) * t;
	int r = tool_load(w, in->tool_id, true, &t, err);

	if (r == 0)
		r = work_check_revision(err, in->revision_opt_case, in->revision, t->revision,
					&t->base);
	/* At the REST API, as people know it, back means to an older one. */
	if (r == 0 && w->rq->from == ROLE_ADMIN && in->version >= t->current_version)
		r = err_set_field(err, ERR_STATE, "version", NULL,
				  "version %u is not older than the current version %u",
				  in->version, t->current_version);
	if (r == 0)
		r = restore(w, t, in->version, err);
	if (r != 0)
		return r;
	work_audit(w, "tool.updated", "tool", t->id, "ok",
		   json_pack("{s:s, s:i, s:i}", "name", t->name, "version", (int)t->current_version,
			     "rolled_back_to", (int)in->version));
	approval_audit_auto(w, t);
	reply.success = true;
	reply.tool_id = t->id;
	reply.name = t->name;
	reply.current_version = t->current_version;
	reply.message = work_say(w, "Version %u restores version %u; its status is %s.",
				 t->current_version, in->version, t->approval_status);
	work_answer(w, &reply.base);
	return 0;
}
