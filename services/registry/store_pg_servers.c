/* SQL of servers, of the instance and of repeated requests. */
#include "store_pg.h"

/* ---- the instance and repeated requests ---------------------------------------------------------- */

int store_key_check(struct store_tx *tx, struct bytes check, bool *ret_same)
{
	int64_t same;
	int64_t n =
		pg_exec(tx, "INSERT INTO instance (key_check) VALUES ($1) ON CONFLICT DO NOTHING",
			P_BYTES(check.data, check.len));
	int r = n < 0 ? (int)n
		      : pg_number(tx, &same, "SELECT count(*) FROM instance WHERE key_check = $1",
				  PARAMS(P_BYTES(check.data, check.len)));

	if (r == 0)
		*ret_same = same == 1;
	return r;
}

int store_request_get(struct store_tx *tx, uint32_t role, struct bytes id, ROW(RequestRow) * *ret)
{
	return pg_one(tx, ROWS(request_row), ret,
		      "SELECT msg, body_hash, reply FROM requests"
		      " WHERE role = $1 AND request_id = $2 AND reply IS NOT NULL",
		      P_INT(role), P_BYTES(id.data, id.len));
}

int store_request_claim(struct store_tx *tx, uint32_t role, struct bytes id, uint32_t msg,
			struct bytes body_hash, bool *ret_fresh)
{
	int64_t n = pg_exec(tx,
			    "INSERT INTO requests (role, request_id, msg, body_hash)"
			    " VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
			    P_INT(role), P_BYTES(id.data, id.len), P_INT(msg),
			    P_BYTES(body_hash.data, body_hash.len));

	if (n >= 0)
		*ret_fresh = n == 1;
	return n < 0 ? (int)n : 0;
}

int store_request_answer(struct store_tx *tx, uint32_t role, struct bytes id, struct bytes reply)
{
	return pg_touched(
		pg_exec(tx, "UPDATE requests SET reply = $3 WHERE role = $1 AND request_id = $2",
			P_INT(role), P_BYTES(id.data, id.len), P_BYTES(reply.data, reply.len)));
}

int store_expire(struct store_tx *tx)
{
	return pg_script(
		tx, "DELETE FROM requests WHERE at < now() - interval '24 hours';"
		    "DELETE FROM login_failures WHERE failed_at < now() - interval '1 hour';"
		    "DELETE FROM sessions WHERE refresh_until < now();"
		    "DELETE FROM incidents WHERE pending = 0 AND since < now() - interval '1 hour';"
		    "DELETE FROM permits WHERE not_after < now() - interval '1 hour';"
		    "DELETE FROM blobs b WHERE created_at < now() - interval '1 hour'"
		    " AND NOT EXISTS (SELECT FROM permits p WHERE p.spec_hash = b.hash OR "
		    "p.grant_hash = b.hash)"
		    " AND NOT EXISTS (SELECT FROM tools t WHERE t.live_spec_hash = b.hash)"
		    " AND NOT EXISTS (SELECT FROM servers s WHERE s.grant_hash = b.hash)");
}

/* ---- servers -------------------------------------------------------------------------------------- */

int store_server_create(struct store_tx *tx, const PB(Server) * s)
{
	return pg_touched(pg_exec(tx,
				  "INSERT INTO servers (id, name, description, owner)"
				  " VALUES ($1, $2, $3, $4)",
				  P_TEXT(s->id), P_TEXT(s->name), P_PB(s->description),
				  s->owner_opt_case ? P_TEXT(s->owner) : P_NULL));
}

#define SQL_SERVER                                                                             \
	"SELECT id, name, description, status, default_timeout_ms, created_at AS "             \
	"created_at_unix_ms,"                                                                  \
	" updated_at AS updated_at_unix_ms, revision, owner, warm_reuse, paused FROM servers " \
	"WHERE id = "                                                                          \
	"$1"

int store_server_get(struct store_tx *tx, const char *id, bool lock, PB(Server) * *ret)
{
	return pg_one(tx, MSGS(server), ret, lock ? SQL_SERVER " FOR NO KEY UPDATE" : SQL_SERVER,
		      P_TEXT(id));
}

/* host[:port][+private], one per approved row. */
#define SQL_ENTRY                                                               \
	"CASE WHEN n.host LIKE '%:%' THEN '[' || n.host || ']' ELSE n.host END" \
	" || CASE WHEN n.port IS NULL THEN '' ELSE ':' || n.port END"           \
	" || CASE WHEN n.allow_private THEN '+private' ELSE '' END"

int store_server_list(struct store_tx *tx, struct page page, PB(ServerBrief) * **ret,
		      size_t *ret_count, int64_t *ret_total)
{
	int r = pg_number(tx, ret_total, "SELECT count(*) FROM servers", NULL, 0);

	if (r != 0)
		return r;
	return pg_all(tx, MSGS(server_brief), ret, ret_count,
		      "SELECT s.id, s.name, s.description, s.status,"
		      " (SELECT array_agg(DISTINCT " SQL_ENTRY " ORDER BY " SQL_ENTRY
		      ") FROM network_requests n"
		      "  WHERE n.server_id = s.id AND n.status = 'approved') AS allowed_hosts,"
		      " (SELECT count(*) FROM tools t WHERE t.server_id = s.id) AS tool_count,"
		      " s.created_at AS created_at_unix_ms, s.revision, s.paused FROM servers s"
		      " ORDER BY s.created_at DESC, s.id DESC LIMIT $1 OFFSET $2",
		      P_INT(page.size), P_INT((int64_t)(page.number - 1) * page.size));
}

int store_server_tools(struct store_tx *tx, const char *id, PB(ToolBrief) * **ret,
		       size_t *ret_count)
{
	return pg_all(tx, MSGS(tool_brief), ret, ret_count,
		      "SELECT t.id, t.name, v.description, t.enabled, t.approval_status"
		      " FROM tools t JOIN tool_versions v ON v.tool_id = t.id AND v.version = "
		      "t.current_version"
		      " WHERE t.server_id = $1 ORDER BY t.created_at, t.id LIMIT 1000",
		      P_TEXT(id));
}

int store_server_pending(struct store_tx *tx, const char *id, PB(PendingCounts) * *ret)
{
	return pg_one(tx, MSGS(pending_counts), ret,
		      "SELECT (SELECT count(*) FROM module_requests WHERE server_id = $1"
		      "  AND status = 'pending') AS modules,"
		      " (SELECT count(*) FROM network_requests WHERE server_id = $1"
		      "  AND status = 'pending') AS network",
		      P_TEXT(id));
}

int store_server_allowed_hosts(struct store_tx *tx, const char *id, char ***ret, size_t *ret_count)
{
	return pg_texts(tx, ret, ret_count,
			"SELECT DISTINCT " SQL_ENTRY " AS entry FROM network_requests n"
			" WHERE n.server_id = $1 AND n.status = 'approved' ORDER BY entry",
			PARAMS(P_TEXT(id)));
}

int store_server_save(struct store_tx *tx, const PB(Server) * s)
{
	return pg_touched(
		pg_exec(tx,
			"UPDATE servers SET name = $2, description = $3, default_timeout_ms = $4,"
			" status = $5, warm_reuse = $6, revision = revision + 1, updated_at = now()"
			" WHERE id = $1",
			P_TEXT(s->id), P_TEXT(s->name), P_PB(s->description),
			P_INT(s->default_timeout_ms), P_TEXT(s->status), P_BOOL(s->warm_reuse)));
}

int store_server_delete(struct store_tx *tx, const char *id)
{
	return pg_touched(pg_exec(tx, "DELETE FROM servers WHERE id = $1", P_TEXT(id)));
}

int store_server_published(struct store_tx *tx, const char *id, int64_t *ret)
{
	return pg_number(tx, ret,
			 "SELECT count(*) FROM tools WHERE server_id = $1 AND enabled"
			 " AND live_version IS NOT NULL",
			 PARAMS(P_TEXT(id)));
}

int store_server_reveals(struct store_tx *tx, const char *id, bool *ret)
{
	int64_t n;
	int r = pg_number(tx, &n,
			  "SELECT count(*) FROM secrets WHERE server_id = $1 AND mode = 'reveal'",
			  PARAMS(P_TEXT(id)));

	if (r == 0)
		*ret = n > 0;
	return r;
}

int store_server_forget_grant(struct store_tx *tx, const char *id)
{
	return pg_touched(
		pg_exec(tx, "UPDATE servers SET grant_hash = NULL WHERE id = $1", P_TEXT(id)));
}

int store_grants_forget(struct store_tx *tx)
{
	int64_t n = pg_run(tx, "UPDATE servers SET grant_hash = NULL WHERE grant_hash IS NOT NULL",
			   NULL, 0);

	return n < 0 ? (int)n : 0;
}

int store_server_forget_specs(struct store_tx *tx, const char *id)
{
	int64_t n = pg_exec(tx, "UPDATE tools SET live_spec_hash = NULL WHERE server_id = $1",
			    P_TEXT(id));

	return n < 0 ? (int)n : 0;
}

/* ---- pause ---------------------------------------------------------------------------------------- */

int store_pause_lock(struct store_tx *tx, bool exclusive)
{
	/* "pause" */
	return pg_script(tx,
			 exclusive ? "SELECT pg_advisory_xact_lock(x'7061757365'::bigint)"
				   : "SELECT pg_advisory_xact_lock_shared(x'7061757365'::bigint)");
}

int store_pause_set(struct store_tx *tx, const char *server_id, bool paused)
{
	if (server_id)
		return pg_touched(pg_exec(tx,
					  "UPDATE servers SET paused = $2, revision = revision + "
					  "1, updated_at = now()"
					  " WHERE id = $1",
					  P_TEXT(server_id), P_BOOL(paused)));
	return pg_touched(pg_exec(tx,
				  "INSERT INTO settings (key, value) VALUES ('paused', $1)"
				  " ON CONFLICT (key) DO UPDATE SET value = excluded.value,"
				  " updated_at = now()",
				  P_TEXT(paused ? "true" : "false")));
}

int store_pause_get(struct store_tx *tx, bool *ret_all, char ***ret_servers, size_t *ret_count)
{
	int64_t n;
	int r = pg_number(tx, &n,
			  "SELECT count(*) FROM settings WHERE key = 'paused' AND value = 'true'",
			  NULL, 0);

	if (r != 0)
		return r;
	*ret_all = n > 0;
	return pg_texts(tx, ret_servers, ret_count,
			"SELECT name FROM servers WHERE paused ORDER BY name", NULL, 0);
}
