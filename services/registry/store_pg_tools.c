/* SQL of tools and their versions. */
#include "store_pg.h"

int store_names_lock(struct store_tx *tx)
{
	return pg_script(tx, "SELECT pg_advisory_xact_lock(x'6e616d6573'::bigint)"); /* "names" */
}

int store_published_taken(struct store_tx *tx, const char *published_name, bool *ret)
{
	int64_t n;
	int r = pg_number(tx, &n, "SELECT count(*) FROM tools WHERE published_name = $1",
			  PARAMS(P_TEXT(published_name)));

	if (r == 0)
		*ret = n > 0;
	return r;
}

int store_tool_create(struct store_tx *tx, const PB(Tool) * t)
{
	return pg_touched(
		pg_exec(tx,
			"INSERT INTO tools (id, server_id, name, published_name, enabled,"
			" current_version, created_by) VALUES ($1, $2, $3, $4, $5, $6, $7)",
			P_TEXT(t->id), P_TEXT(t->server_id), P_TEXT(t->name),
			P_TEXT(t->published_name), P_BOOL(t->enabled), P_INT(t->current_version),
			t->created_by_opt_case ? P_TEXT(t->created_by) : P_NULL));
}

#define SQL_TOOL                                                                                   \
	"SELECT t.id, t.server_id, t.name, v.description, t.enabled, v.timeout_ms,"                \
	" v.input_schema AS input_schema_json, t.current_version, v.python_code, "                 \
	"v.code_dependencies,"                                                                     \
	" t.tool_type, t.external_source_id, t.external_tool_name, t.approval_status,"             \
	" t.approval_requested_at AS approval_requested_at_unix_ms,"                               \
	" t.approved_at AS approved_at_unix_ms, t.approved_by, t.rejection_reason, t.created_by,"  \
	" t.publish_notes, t.created_at AS created_at_unix_ms, t.updated_at AS "                   \
	"updated_at_unix_ms,"                                                                      \
	" t.published_name, t.live_version, l.content_hash AS live_hash, v.content_hash,"          \
	" v.output_schema AS output_schema_json, v.title, v.annotations AS annotations_json,"      \
	" v.limits AS limits_json, t.revision"                                                     \
	" FROM tools t JOIN tool_versions v ON v.tool_id = t.id AND v.version = t.current_version" \
	" LEFT JOIN tool_versions l ON l.tool_id = t.id AND l.version = t.live_version"            \
	" WHERE t.id = $1"

int store_tool_get(struct store_tx *tx, const char *id, bool lock, PB(Tool) * *ret)
{
	int64_t n = 1;

	/* In a statement of its own: who waits for the lock here sees the tool as the other one left it, but not the
	 * version that it made, which a statement begun before would not find. */
	if (lock)
		n = pg_exec(tx, "SELECT FROM tools WHERE id = $1 FOR NO KEY UPDATE", P_TEXT(id));
	return n < 0 ? (int)n : pg_one(tx, MSGS(tool), ret, SQL_TOOL, P_TEXT(id));
}

int store_tool_status(struct store_tx *tx, const char *id, PB(GetToolStatusReply) * *ret)
{
	return pg_one(
		tx, MSGS(get_tool_status_reply), ret,
		"SELECT id AS tool_id, name, approval_status, created_by,"
		" approval_requested_at AS approval_requested_at_unix_ms,"
		" approved_at AS approved_at_unix_ms, approved_by, rejection_reason, publish_notes,"
		" current_version, live_version, published_name FROM tools WHERE id = $1",
		P_TEXT(id));
}

int store_tool_id(struct store_tx *tx, const char *server_name, const char *tool_name, char **ret)
{
	ROW(Text) * row;
	int r = pg_one(tx, ROWS(text), &row,
		       "SELECT t.id AS text FROM tools t JOIN servers s ON s.id = t.server_id"
		       " WHERE s.name = $1 AND t.name = $2",
		       P_TEXT(server_name), P_TEXT(tool_name));

	if (r == 0)
		*ret = row->text;
	return r;
}

int store_tool_list(struct store_tx *tx, const char *server_id, struct page page,
		    PB(ToolItem) * **ret, size_t *ret_count, int64_t *ret_total)
{
	int r = pg_number(tx, ret_total, "SELECT count(*) FROM tools WHERE server_id = $1",
			  PARAMS(P_TEXT(server_id)));

	if (r != 0)
		return r;
	return pg_all(
		tx, MSGS(tool_item), ret, ret_count,
		"SELECT t.id, t.name, v.description, t.enabled, t.tool_type, t.external_tool_name,"
		" t.approval_status, t.created_by, t.published_name, t.current_version,"
		" t.live_version, t.revision"
		" FROM tools t JOIN tool_versions v ON v.tool_id = t.id AND v.version = "
		"t.current_version"
		" WHERE t.server_id = $1 ORDER BY t.created_at, t.id LIMIT $2 OFFSET $3",
		P_TEXT(server_id), P_INT(page.size), P_INT((int64_t)(page.number - 1) * page.size));
}

int store_tool_save(struct store_tx *tx, const PB(Tool) * t)
{
	struct param live = t->live_version_opt_case ? P_INT(t->live_version) : P_NULL;

	return pg_touched(pg_exec(
		tx,
		"UPDATE tools SET name = $2, enabled = $3, current_version = $4,"
		" live_spec_hash = CASE WHEN live_version IS NOT DISTINCT FROM $5::integer"
		"  THEN live_spec_hash END, live_version = $5,"
		" approval_status = $6,"
		" approval_requested_at = CASE WHEN $7::bigint = 0 THEN NULL ELSE " SQL_MS(
			"$7") " END,"
			      " approved_at = CASE WHEN $8::bigint = 0 THEN NULL ELSE " SQL_MS(
				      "$8") " END,"
					    " approved_by = $9, rejection_reason = $10, "
					    "publish_notes = $11,"
					    " revision = revision + 1, updated_at = now() WHERE id "
					    "= $1",
		P_TEXT(t->id), P_TEXT(t->name), P_BOOL(t->enabled), P_INT(t->current_version), live,
		P_TEXT(t->approval_status), P_INT(t->approval_requested_at_unix_ms),
		P_INT(t->approved_at_unix_ms),
		t->approved_by_opt_case ? P_TEXT(t->approved_by) : P_NULL,
		P_PB(t->rejection_reason), P_PB(t->publish_notes)));
}

int store_tool_delete(struct store_tx *tx, const char *id)
{
	return pg_touched(pg_exec(tx, "DELETE FROM tools WHERE id = $1", P_TEXT(id)));
}

/* ---- versions -------------------------------------------------------------------------------------- */

int store_version_create(struct store_tx *tx, const ROW(VersionRow) * v)
{
	return pg_touched(pg_exec(
		tx,
		"INSERT INTO tool_versions (id, tool_id, version, name, description, title, "
		"enabled,"
		" timeout_ms, limits, python_code, input_schema, output_schema, annotations,"
		" code_dependencies, content_hash, change_summary, change_source, created_by)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, "
		"$17, $18)",
		P_TEXT(v->id), P_TEXT(v->tool_id), P_INT(v->version), P_TEXT(v->name),
		P_PB(v->description), P_PB(v->title), P_BOOL(v->enabled),
		v->timeout_ms ? P_INT(v->timeout_ms) : P_NULL, P_PB_TEXT(tx, v->limits),
		P_PB(v->python_code), P_PB_TEXT(tx, v->input_schema),
		P_PB_TEXT(tx, v->output_schema), P_PB_TEXT(tx, v->annotations),
		P_TEXTS(v->code_dependencies, v->n_code_dependencies), P_PB(v->content_hash),
		P_PB(v->change_summary), P_TEXT(v->change_source),
		v->created_by[0] ? P_TEXT(v->created_by) : P_NULL));
}

int store_version_get(struct store_tx *tx, const char *tool_id, uint32_t version,
		      ROW(VersionRow) * *ret)
{
	return pg_one(tx, ROWS(version_row), ret,
		      "SELECT id, tool_id, version, name, description, title, enabled, timeout_ms, "
		      "limits,"
		      " python_code, input_schema, output_schema, annotations, code_dependencies,"
		      " content_hash, change_summary, change_source, created_by"
		      " FROM tool_versions WHERE tool_id = $1 AND version = $2",
		      P_TEXT(tool_id), P_INT(version));
}

int store_version_show(struct store_tx *tx, const char *tool_id, uint32_t version,
		       PB(ToolVersion) * *ret)
{
	return pg_one(
		tx, MSGS(tool_version), ret,
		"SELECT v.id, v.tool_id, v.version AS version_number, v.name, v.description, "
		"v.enabled,"
		" v.timeout_ms, v.python_code, v.input_schema AS input_schema_json,"
		" v.output_schema AS output_schema_json, v.change_summary, v.change_source,"
		" v.created_by, v.created_at AS created_at_unix_ms, v.content_hash,"
		" coalesce(t.live_version = v.version, false) AS is_live, v.limits AS limits_json"
		" FROM tool_versions v JOIN tools t ON t.id = v.tool_id"
		" WHERE v.tool_id = $1 AND v.version = $2",
		P_TEXT(tool_id), P_INT(version));
}

int store_version_list(struct store_tx *tx, const char *tool_id, struct page page,
		       PB(VersionBrief) * **ret, size_t *ret_count, int64_t *ret_total)
{
	int r = pg_number(tx, ret_total, "SELECT count(*) FROM tool_versions WHERE tool_id = $1",
			  PARAMS(P_TEXT(tool_id)));

	if (r != 0)
		return r;
	return pg_all(tx, MSGS(version_brief), ret, ret_count,
		      "SELECT v.id, v.version, v.change_summary, v.change_source,"
		      " v.created_at AS created_at_unix_ms, v.content_hash,"
		      " coalesce(t.live_version = v.version, false) AS is_live"
		      " FROM tool_versions v JOIN tools t ON t.id = v.tool_id WHERE v.tool_id = $1"
		      " ORDER BY v.version DESC LIMIT $2 OFFSET $3",
		      P_TEXT(tool_id), P_INT(page.size),
		      P_INT((int64_t)(page.number - 1) * page.size));
}
