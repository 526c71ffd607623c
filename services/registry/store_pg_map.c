/* SQL of what runs: specs, grants, permits, the map of published tools. */
#include "store_pg.h"

int store_spec_row(struct store_tx *tx, const char *tool_id, uint32_t version, ROW(SpecRow) * *ret)
{
	return pg_one(
		tx, ROWS(spec_row), ret,
		"SELECT s.id AS server_id, s.name AS server_name, t.id AS tool_id, v.name AS "
		"tool_name,"
		" v.version, v.python_code, v.input_schema, v.output_schema,"
		" coalesce(v.timeout_ms, s.default_timeout_ms) AS timeout_ms, v.limits,"
		/* A process that outlives its call would keep a revealed secret for the next one. */
		" s.warm_reuse AND NOT EXISTS (SELECT FROM secrets x WHERE x.server_id = s.id"
		"  AND x.mode = 'reveal') AS warm_reuse"
		" FROM tools t JOIN servers s ON s.id = t.server_id"
		" JOIN tool_versions v ON v.tool_id = t.id WHERE t.id = $1 AND v.version = $2",
		P_TEXT(tool_id), P_INT(version));
}

int store_hosts(struct store_tx *tx, const char *server_id, ROW(HostRow) * **ret, size_t *ret_count)
{
	/* Two tools of a server may have asked for the same host: the wider decision holds. */
	return pg_all(
		tx, ROWS(host_row), ret, ret_count,
		"SELECT host, coalesce(port, 0) AS port, allow_private, methods, path_prefixes,"
		" bool_and(reviewed_by IS NOT DISTINCT FROM 'auto_approve') AS by_policy"
		" FROM network_requests WHERE server_id = $1 AND status = 'approved'"
		" GROUP BY host, port, allow_private, methods, path_prefixes"
		" ORDER BY host, coalesce(port, 0), allow_private DESC, methods, path_prefixes",
		P_TEXT(server_id));
}

int store_modules_approved(struct store_tx *tx, char ***ret, size_t *ret_count)
{
	return pg_texts(tx, ret, ret_count,
			"SELECT DISTINCT module_name FROM module_requests WHERE status = 'approved'"
			" ORDER BY module_name",
			NULL, 0);
}

int store_blob_put(struct store_tx *tx, const char *kind, struct bytes hash, struct bytes data)
{
	/* The new time keeps store_expire away from bytes that are about to be pointed at. */
	int64_t n =
		pg_exec(tx,
			"INSERT INTO blobs (hash, kind, data) VALUES ($1, $2, $3)"
			" ON CONFLICT (hash) DO UPDATE SET created_at = now()",
			P_BYTES(hash.data, hash.len), P_TEXT(kind), P_BYTES(data.data, data.len));

	return n < 0 ? (int)n : 0;
}

int store_blob_get(struct store_tx *tx, struct bytes hash, PB(Blob) * *ret)
{
	return pg_one(tx, MSGS(blob), ret, "SELECT hash, data FROM blobs WHERE hash = $1",
		      P_BYTES(hash.data, hash.len));
}

static int one_hash(struct store_tx *tx, const char *sql, const char *id, ProtobufCBinaryData *ret)
{
	PB(Blob) * row;
	int r = pg_one(tx, MSGS(blob), &row, sql, P_TEXT(id));

	if (r == 0)
		*ret = row->hash;
	return r;
}

int store_grant_hash(struct store_tx *tx, const char *server_id, ProtobufCBinaryData *ret)
{
	return one_hash(tx, "SELECT grant_hash AS hash FROM servers WHERE id = $1", server_id, ret);
}

int store_spec_hash(struct store_tx *tx, const char *tool_id, ProtobufCBinaryData *ret)
{
	return one_hash(tx, "SELECT live_spec_hash AS hash FROM tools WHERE id = $1", tool_id, ret);
}

int store_grant_set(struct store_tx *tx, const char *server_id, struct bytes hash)
{
	return pg_touched(pg_exec(tx, "UPDATE servers SET grant_hash = $2 WHERE id = $1",
				  P_TEXT(server_id), P_BYTES(hash.data, hash.len)));
}

int store_spec_set(struct store_tx *tx, const char *tool_id, struct bytes hash)
{
	return pg_touched(pg_exec(tx, "UPDATE tools SET live_spec_hash = $2 WHERE id = $1",
				  P_TEXT(tool_id), P_BYTES(hash.data, hash.len)));
}

int store_permits_lock(struct store_tx *tx)
{
	return pg_script(tx,
			 "SELECT pg_advisory_xact_lock(x'7065726d697473'::bigint)"); /* "permits" */
}

/* The permit that the map hands out: the newest good one for exactly these bytes. */
#define SQL_PERMIT                                                                               \
	" FROM permits p WHERE p.tool_id = t.id AND p.purpose = 'live' AND p.revoked_at IS NULL" \
	" AND p.version = t.live_version AND p.spec_hash = t.live_spec_hash"                     \
	" AND p.grant_hash = s.grant_hash"
#define SQL_PUBLISHED " FROM tools t JOIN servers s ON s.id = t.server_id"
#define SQL_IS_PAUSED \
	" (s.paused OR EXISTS (SELECT FROM settings WHERE key = 'paused' AND value = 'true'))"
#define SQL_RUNS         " s.status = 'running' AND NOT" SQL_IS_PAUSED
#define SQL_IS_PUBLISHED " t.enabled AND t.live_version IS NOT NULL AND" SQL_RUNS

int store_permits_due(struct store_tx *tx, int64_t now_unix_ms, uint32_t limit, char ***ret,
		      size_t *ret_count)
{
	return pg_texts(tx, ret, ret_count,
			"SELECT t.id" SQL_PUBLISHED " WHERE" SQL_IS_PUBLISHED
			" AND NOT EXISTS (SELECT" SQL_PERMIT " AND p.not_after > " SQL_MS(
				"$1") " + interval '5 minutes') ORDER BY t.id LIMIT $2",
			PARAMS(P_INT(now_unix_ms), P_INT(limit)));
}

int store_permit_put(struct store_tx *tx, const ROW(PermitRow) * p)
{
	return pg_touched(pg_exec(
		tx,
		"INSERT INTO permits (id, tool_id, server_id, version, spec_hash, grant_hash,"
		" purpose, key_id, permit, signature, not_after)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, " SQL_MS("$11") ")",
		P_TEXT(p->id), P_TEXT(p->tool_id), P_TEXT(p->server_id), P_INT(p->version),
		P_PB(p->spec_hash), P_PB(p->grant_hash), P_TEXT(p->purpose), P_INT(p->key_id),
		P_PB(p->permit), P_PB(p->signature), P_INT(p->not_after_unix_ms)));
}

int store_permits_revoke(struct store_tx *tx, const char *server_id, const char *tool_id)
{
	int64_t n = pg_exec(
		tx,
		"UPDATE permits SET revoked_at = now() WHERE revoked_at IS NULL"
		" AND not_after > now() AND server_id = $1 AND ($2::uuid IS NULL OR tool_id = $2)",
		P_TEXT(server_id), P_TEXT(tool_id));

	return n < 0 ? (int)n : 0;
}

int store_permits_revoked(struct store_tx *tx, char ***ret, size_t *ret_count)
{
	/* A minute longer than they live: clocks differ. */
	return pg_texts(tx, ret, ret_count,
			"SELECT id FROM permits WHERE revoked_at IS NOT NULL"
			" AND not_after > now() - interval '1 minute' ORDER BY id",
			NULL, 0);
}

int store_map_page(struct store_tx *tx, const char *cursor, uint32_t limit, ROW(MapRow) * **ret,
		   size_t *ret_count)
{
	return pg_all(
		tx, ROWS(map_row), ret, ret_count,
		"SELECT t.id AS tool_id, t.server_id, s.name AS server_name, v.name AS tool_name,"
		" t.published_name, v.version, v.description, v.title,"
		" v.input_schema AS input_schema_json, v.output_schema AS output_schema_json,"
		" v.annotations AS annotations_json,"
		" coalesce(v.timeout_ms, s.default_timeout_ms) AS timeout_ms,"
		" t.live_spec_hash AS spec_hash, s.grant_hash, p.key_id AS permit_key_id, p.permit,"
		" p.signature AS permit_signature, s.owner,"
		" (SELECT array_agg(g.name ORDER BY g.name) FROM server_groups g"
		"  WHERE g.server_id = s.id) AS groups" SQL_PUBLISHED
		" JOIN tool_versions v ON v.tool_id = t.id AND v.version = t.live_version"
		" LEFT JOIN LATERAL (SELECT p.key_id, p.permit, p.signature" SQL_PERMIT
		" ORDER BY p.not_after DESC LIMIT 1) p ON true"
		" WHERE" SQL_IS_PUBLISHED " AND ($1 = '' OR t.id::text > $1)"
		" ORDER BY t.id::text LIMIT $2",
		P_TEXT(cursor), P_INT(limit));
}

int store_map_paused(struct store_tx *tx, uint32_t limit, PB(PausedTool) * **ret, size_t *ret_count)
{
	return pg_all(
		tx, MSGS(paused_tool), ret, ret_count,
		"SELECT t.published_name, s.name AS server_name, v.name AS tool_name" SQL_PUBLISHED
		" JOIN tool_versions v ON v.tool_id = t.id AND v.version = t.live_version"
		" WHERE t.enabled AND s.status = 'running' AND" SQL_IS_PAUSED
		" ORDER BY t.published_name LIMIT $1",
		P_INT(limit));
}

int store_map_servers(struct store_tx *tx, PB(MapServer) * **ret, size_t *ret_count)
{
	return pg_rows(tx, MSGS(map_server), (void ***)ret, ret_count,
		       "SELECT s.id, s.name," SQL_RUNS " AS running FROM servers s "
		       "ORDER BY name",
		       NULL, 0);
}
