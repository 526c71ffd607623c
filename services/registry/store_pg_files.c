/* SQL of exports and imports: servers as files hold them (files.proto). */
#include "store_pg.h"

int store_file_size(struct store_tx *tx, const char *server_id, bool heads_only, int64_t *ret)
{
	return pg_number(tx, ret,
			 "SELECT coalesce(sum(octet_length(v.python_code)"
			 " + coalesce(octet_length(v.input_schema), 0)"
			 " + coalesce(octet_length(v.output_schema), 0) + 200), 0)::bigint"
			 " FROM tools t JOIN tool_versions v ON v.tool_id = t.id"
			 " WHERE ($1 = '' OR t.server_id::text = $1)"
			 " AND (NOT $2 OR v.version = t.current_version)",
			 PARAMS(P_TEXT(server_id), P_BOOL(heads_only)));
}

int store_file_servers(struct store_tx *tx, const char *server_id, ROW(FileServer) * **ret,
		       size_t *ret_count)
{
	return pg_all(tx, ROWS(file_server), ret, ret_count,
		      "SELECT id, name, description, default_timeout_ms, warm_reuse FROM servers"
		      " WHERE $1 = '' OR id::text = $1 ORDER BY name",
		      P_TEXT(server_id));
}

int store_file_tools(struct store_tx *tx, const char *server_id, ROW(FileTool) * **ret,
		     size_t *ret_count)
{
	return pg_all(tx, ROWS(file_tool), ret, ret_count,
		      "SELECT id, name, published_name, enabled, approval_status, current_version,"
		      " live_version, created_by, publish_notes FROM tools"
		      " WHERE server_id = $1 AND tool_type = 'python_code' ORDER BY name",
		      P_TEXT(server_id));
}

int store_file_versions(struct store_tx *tx, const char *tool_id, bool heads_only,
			ROW(FileVersion) * **ret, size_t *ret_count)
{
	return pg_all(
		tx, ROWS(file_version), ret, ret_count,
		"SELECT v.version, v.name, v.description, v.title, v.enabled, v.timeout_ms,"
		" v.limits AS limits_json, v.python_code, v.input_schema AS input_schema_json,"
		" v.output_schema AS output_schema_json, v.annotations AS annotations_json,"
		" v.code_dependencies, v.content_hash, v.change_summary, v.change_source,"
		" v.created_by, v.created_at AS created_at_unix_ms"
		" FROM tool_versions v JOIN tools t ON t.id = v.tool_id WHERE t.id = $1"
		" AND (NOT $2 OR v.version = t.current_version) ORDER BY v.version",
		P_TEXT(tool_id), P_BOOL(heads_only));
}

int store_file_decisions(struct store_tx *tx, const char *tool_id, ROW(FileDecision) * **ret,
			 size_t *ret_count)
{
	return pg_all(tx, ROWS(file_decision), ret, ret_count,
		      "SELECT version, content_hash, decision, reviewer, reason, in_force,"
		      " created_at AS created_at_unix_ms FROM tool_decisions WHERE tool_id = $1"
		      " ORDER BY created_at, id",
		      P_TEXT(tool_id));
}

#define SQL_MODULE                                                              \
	"SELECT module_name, justification, status, requested_by, reviewed_by," \
	" rejection_reason FROM module_requests WHERE "
#define SQL_HOST                                                                      \
	"SELECT host, port, justification, status, requested_by, reviewed_by,"        \
	" rejection_reason, private_requested, allow_private, methods, path_prefixes" \
	" FROM network_requests WHERE "

int store_file_modules(struct store_tx *tx, const char *tool_id, ROW(FileModule) * **ret,
		       size_t *ret_count)
{
	if (!tool_id)
		return pg_rows(tx, ROWS(file_module), (void ***)ret, ret_count,
			       SQL_MODULE "tool_id IS NULL ORDER BY module_name", NULL, 0);
	return pg_all(tx, ROWS(file_module), ret, ret_count,
		      SQL_MODULE "tool_id = $1 ORDER BY module_name, created_at, id",
		      P_TEXT(tool_id));
}

int store_file_hosts(struct store_tx *tx, const char *server_id, const char *tool_id,
		     ROW(FileHost) * **ret, size_t *ret_count)
{
	return pg_all(tx, ROWS(file_host), ret, ret_count,
		      SQL_HOST "server_id = $1 AND tool_id IS NOT DISTINCT FROM $2::uuid"
			       " ORDER BY host, port, created_at, id",
		      P_TEXT(server_id), P_TEXT(tool_id));
}

int store_file_secrets(struct store_tx *tx, const char *server_id, ROW(FileSecret) * **ret,
		       size_t *ret_count)
{
	return pg_all(tx, ROWS(file_secret), ret, ret_count,
		      "SELECT key_name, description, mode, hosts FROM secrets WHERE server_id = $1"
		      " ORDER BY key_name",
		      P_TEXT(server_id));
}

/* ---- imports -------------------------------------------------------------------------------------- */

int store_server_named(struct store_tx *tx, const char *name, bool *ret)
{
	int64_t n;
	int r = pg_number(tx, &n, "SELECT count(*) FROM servers WHERE name = $1",
			  PARAMS(P_TEXT(name)));

	if (r == 0)
		*ret = n > 0;
	return r;
}

int store_import_find(struct store_tx *tx, struct bytes digest, char **ret_server)
{
	ROW(Text) * row;
	int r = pg_one(tx, ROWS(text), &row,
		       "SELECT s.name AS text FROM server_imports i JOIN servers s ON s.id = "
		       "i.server_id WHERE i.digest = $1",
		       P_BYTES(digest.data, digest.len));

	if (r == 0)
		*ret_server = row->text;
	return r;
}

int store_import_add(struct store_tx *tx, const char *server_id, struct bytes digest)
{
	return pg_touched(pg_exec(tx,
				  "INSERT INTO server_imports (server_id, digest) VALUES ($1, $2)",
				  P_TEXT(server_id), P_BYTES(digest.data, digest.len)));
}

int store_decision_recall(struct store_tx *tx, const char *tool_id, const ROW(FileDecision) * d)
{
	return pg_touched(pg_exec(
		tx,
		"INSERT INTO tool_decisions (id, tool_id, version, content_hash, decision,"
		" reviewer, reason, in_force, created_at) VALUES (gen_random_uuid(), $1, $2,"
		" $3, $4, $5, $6, false, " SQL_MS("$7") ")",
		P_TEXT(tool_id), P_INT(d->version), P_PB(d->content_hash), P_TEXT(d->decision),
		P_TEXT(d->reviewer), d->reason_opt_case ? P_PB(d->reason) : P_NULL,
		P_INT(d->created_at_unix_ms)));
}

int store_module_listed(struct store_tx *tx, const char *name, bool *ret)
{
	int64_t n;
	int r = pg_number(tx, &n,
			  "SELECT count(*) FROM module_requests WHERE tool_id IS NULL"
			  " AND module_name = $1",
			  PARAMS(P_TEXT(name)));

	if (r == 0)
		*ret = n > 0;
	return r;
}

int store_savepoint(struct store_tx *tx)
{
	return pg_script(tx, "SAVEPOINT before_import");
}

int store_savepoint_undo(struct store_tx *tx)
{
	return pg_script(tx, "ROLLBACK TO SAVEPOINT before_import");
}
