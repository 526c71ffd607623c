/* SQL of users, sessions, login failures, settings.  Tokens are here only as hashes. */
#include "store_pg.h"

int store_people_lock(struct store_tx *tx)
{
	return pg_script(tx, "SELECT pg_advisory_xact_lock(x'7365747570'::bigint)"); /* "setup" */
}

int store_user_count(struct store_tx *tx, int64_t *ret)
{
	return pg_number(tx, ret, "SELECT count(*) FROM users", NULL, 0);
}

int store_user_create(struct store_tx *tx, const ROW(UserRow) * u)
{
	return pg_touched(pg_exec(tx,
				  "INSERT INTO users (id, username, password_hash, role)"
				  " VALUES ($1, $2, $3, $4)",
				  P_TEXT(u->id), P_TEXT(u->username), P_TEXT(u->password_hash),
				  P_TEXT(u->role)));
}

int store_user_by_name(struct store_tx *tx, const char *username, ROW(UserRow) * *ret)
{
	return pg_one(tx, ROWS(user_row), ret,
		      "SELECT id, username, password_hash, role, is_active FROM users WHERE "
		      "username = $1",
		      P_TEXT(username));
}

int store_user_show(struct store_tx *tx, const char *id, PB(WhoAmIReply) * *ret)
{
	return pg_one(tx, MSGS(who_am_ireply), ret,
		      "SELECT id, username, is_active, last_login_at AS last_login_at_unix_ms,"
		      " created_at AS created_at_unix_ms, role FROM users WHERE id = $1",
		      P_TEXT(id));
}

int store_user_logged_in(struct store_tx *tx, const char *id)
{
	return pg_touched(
		pg_exec(tx, "UPDATE users SET last_login_at = now() WHERE id = $1", P_TEXT(id)));
}

int store_user_set_password(struct store_tx *tx, const char *id, const char *password_hash)
{
	return store_user_change_password(tx, id, password_hash, NULL);
}

int store_user_change_password(struct store_tx *tx, const char *id, const char *password_hash,
			       const char *keep_session)
{
	int64_t n = pg_exec(
		tx, "DELETE FROM sessions WHERE user_id = $1 AND ($2::uuid IS NULL OR id <> $2)",
		P_TEXT(id), P_TEXT(keep_session));

	if (n < 0)
		return (int)n;
	return pg_touched(pg_exec(
		tx,
		"UPDATE users SET password_hash = $2, revision = revision + 1,"
		" password_version = password_version + 1, updated_at = now() WHERE id = $1",
		P_TEXT(id), P_TEXT(password_hash)));
}

/* ---- sessions --------------------------------------------------------------------------------------- */

int store_session_create(struct store_tx *tx, const struct session *s)
{
	return pg_touched(pg_exec(
		tx,
		"INSERT INTO sessions (id, user_id, access_hash, access_until, refresh_hash,"
		" refresh_until, remote) VALUES ($1, $2, $3,"
		" now() + $4::integer * interval '1 second', $5,"
		" now() + $6::integer * interval '1 second', $7)",
		P_TEXT(s->id), P_TEXT(s->user_id), P_BYTES(s->access_hash.data, s->access_hash.len),
		P_INT(s->access_seconds), P_BYTES(s->refresh_hash.data, s->refresh_hash.len),
		P_INT(s->refresh_seconds), P_TEXT(s->remote)));
}

int store_session_by_refresh(struct store_tx *tx, struct bytes hash, ROW(SessionRow) * *ret)
{
	return pg_one(tx, ROWS(session_row), ret,
		      "SELECT s.id, s.user_id, u.username FROM sessions s JOIN users u ON u.id = "
		      "s.user_id"
		      " WHERE s.refresh_hash = $1 AND s.refresh_until > now() AND u.is_active FOR "
		      "UPDATE OF s",
		      P_BYTES(hash.data, hash.len));
}

int store_session_by_used(struct store_tx *tx, struct bytes hash, ROW(SessionRow) * *ret)
{
	return pg_one(tx, ROWS(session_row), ret,
		      "SELECT s.id, s.user_id, u.username FROM used_refresh_tokens r"
		      " JOIN sessions s ON s.id = r.session_id JOIN users u ON u.id = s.user_id"
		      " WHERE r.refresh_hash = $1",
		      P_BYTES(hash.data, hash.len));
}

int store_session_rotate(struct store_tx *tx, const struct session *s)
{
	int64_t n = pg_exec(tx,
			    "INSERT INTO used_refresh_tokens (refresh_hash, session_id)"
			    " SELECT refresh_hash, id FROM sessions WHERE id = $1",
			    P_TEXT(s->id));

	if (n < 0)
		return (int)n;
	return pg_touched(pg_exec(
		tx,
		"UPDATE sessions SET access_hash = $2,"
		" access_until = now() + $3::integer * interval '1 second', refresh_hash = $4,"
		" refresh_until = now() + $5::integer * interval '1 second',"
		" last_used_at = now() WHERE id = $1",
		P_TEXT(s->id), P_BYTES(s->access_hash.data, s->access_hash.len),
		P_INT(s->access_seconds), P_BYTES(s->refresh_hash.data, s->refresh_hash.len),
		P_INT(s->refresh_seconds)));
}

int store_session_delete(struct store_tx *tx, const char *id)
{
	return pg_touched(pg_exec(tx, "DELETE FROM sessions WHERE id = $1", P_TEXT(id)));
}

int store_identity_of_session(struct store_tx *tx, struct bytes hash, ROW(IdentityRow) * *ret)
{
	return pg_one(tx, ROWS(identity_row), ret,
		      "SELECT u.id AS user_id, u.username, u.role, s.id AS session_id"
		      " FROM sessions s JOIN users u ON u.id = s.user_id"
		      " WHERE s.access_hash = $1 AND s.access_until > now() AND u.is_active",
		      P_BYTES(hash.data, hash.len));
}

int store_identity_of_token(struct store_tx *tx, struct bytes hash, ROW(IdentityRow) * *ret)
{
	return pg_one(tx, ROWS(identity_row), ret,
		      "SELECT u.id AS user_id, u.username, u.role, t.scope, t.id AS token_id,"
		      " t.expires_at AS expires_at_unix_ms FROM api_tokens t"
		      " JOIN users u ON u.id = t.user_id WHERE t.token_hash = $1"
		      " AND (t.expires_at IS NULL OR t.expires_at > now()) AND u.is_active",
		      P_BYTES(hash.data, hash.len));
}

/* ---- accounts, sessions and tokens as they are shown ------------------------------------------------ */

#define SQL_USER                                                                                   \
	"SELECT id, username, role, is_active, last_login_at AS last_login_at_unix_ms, created_at" \
	" AS created_at_unix_ms, revision FROM users"

int store_user_list(struct store_tx *tx, struct page page, PB(User) * **ret, size_t *ret_count,
		    int64_t *ret_total)
{
	int r = store_user_count(tx, ret_total);

	if (r != 0)
		return r;
	return pg_all(tx, MSGS(user), ret, ret_count,
		      SQL_USER " ORDER BY username LIMIT $1 OFFSET $2", P_INT(page.size),
		      P_INT((int64_t)(page.number - 1) * page.size));
}

int store_user_get(struct store_tx *tx, const char *id, bool lock, PB(User) * *ret)
{
	return pg_one(tx, MSGS(user), ret,
		      lock ? SQL_USER " WHERE id = $1 FOR UPDATE" : SQL_USER " WHERE id = $1",
		      P_TEXT(id));
}

int store_user_save(struct store_tx *tx, const PB(User) * u)
{
	int64_t n = u->is_active
			    ? 0
			    : pg_exec(tx, "DELETE FROM sessions WHERE user_id = $1", P_TEXT(u->id));

	if (n < 0)
		return (int)n;
	return pg_touched(pg_exec(tx,
				  "UPDATE users SET role = $2, is_active = $3,"
				  " revision = revision + 1, updated_at = now() WHERE id = $1",
				  P_TEXT(u->id), P_TEXT(u->role), P_BOOL(u->is_active)));
}

int store_user_delete(struct store_tx *tx, const char *id)
{
	return pg_touched(pg_exec(tx, "DELETE FROM users WHERE id = $1", P_TEXT(id)));
}

int store_active_admins(struct store_tx *tx, int64_t *ret)
{
	return pg_number(tx, ret, "SELECT count(*) FROM users WHERE role = 'admin' AND is_active",
			 NULL, 0);
}

int store_session_list(struct store_tx *tx, const char *user_id, const char *current,
		       PB(Session) * **ret, size_t *ret_count)
{
	return pg_all(
		tx, MSGS(session), ret, ret_count,
		"SELECT s.id, u.username, coalesce(s.remote, '') AS remote,"
		" s.created_at AS created_at_unix_ms, s.last_used_at AS last_used_at_unix_ms,"
		" s.id::text = $2 AS is_current FROM sessions s JOIN users u ON u.id = s.user_id"
		" WHERE ($1::uuid IS NULL OR s.user_id = $1) AND s.refresh_until > now()"
		" ORDER BY s.last_used_at DESC, s.id LIMIT 1000",
		P_TEXT(user_id), P_TEXT(current));
}

int store_session_end(struct store_tx *tx, const char *id, const char *user_id)
{
	return pg_touched(pg_exec(
		tx, "DELETE FROM sessions WHERE id = $1 AND ($2::uuid IS NULL OR user_id = $2)",
		P_TEXT(id), P_TEXT(user_id)));
}

int store_token_list(struct store_tx *tx, const char *user_id, PB(ApiToken) * **ret,
		     size_t *ret_count)
{
	return pg_all(
		tx, MSGS(api_token), ret, ret_count,
		"SELECT t.id, t.name, u.username, t.scope, t.expires_at AS expires_at_unix_ms,"
		" t.created_at AS created_at_unix_ms"
		" FROM api_tokens t JOIN users u ON u.id = t.user_id"
		" WHERE $1::uuid IS NULL OR t.user_id = $1 ORDER BY t.created_at DESC, t.id"
		" LIMIT 1000",
		P_TEXT(user_id));
}

int store_token_create(struct store_tx *tx, const char *user_id, const char *id, struct bytes hash,
		       const PB(CreateTokenRequest) * in)
{
	return pg_touched(
		pg_exec(tx,
			"INSERT INTO api_tokens (id, name, user_id, token_hash, scope, expires_at)"
			" VALUES ($1, $2, $3, $4, $5,"
			" CASE WHEN $6::bigint = 0 THEN NULL ELSE " SQL_MS("$6") " END)",
			P_TEXT(id), P_TEXT(arena_dup(store_arena(tx), in->name.data, in->name.len)),
			P_TEXT(user_id), P_BYTES(hash.data, hash.len), P_TEXT(in->scope),
			P_INT(in->expires_at_unix_ms)));
}

int store_token_delete(struct store_tx *tx, const char *id, const char *user_id)
{
	return pg_touched(pg_exec(
		tx, "DELETE FROM api_tokens WHERE id = $1 AND ($2::uuid IS NULL OR user_id = $2)",
		P_TEXT(id), P_TEXT(user_id)));
}

/* ---- login failures --------------------------------------------------------------------------------- */

int store_login_failed(struct store_tx *tx, const char *subject)
{
	return pg_touched(
		pg_exec(tx, "INSERT INTO login_failures VALUES ($1, now())", P_TEXT(subject)));
}

int store_login_forget(struct store_tx *tx, const char *subject)
{
	int64_t n = pg_exec(tx, "DELETE FROM login_failures WHERE subject = $1", P_TEXT(subject));

	return n < 0 ? (int)n : 0;
}

int store_login_wait(struct store_tx *tx, const char *subject, uint32_t limit, uint32_t window_s,
		     int64_t *ret)
{
	/* The limit-th newest failure must leave the window first. */
	int r = pg_number(
		tx, ret,
		"SELECT ceil(extract(epoch FROM failed_at + $3::integer * interval '1 second'"
		" - now()))::bigint FROM login_failures WHERE subject = $1"
		" AND failed_at > now() - $3::integer * interval '1 second'"
		" ORDER BY failed_at DESC OFFSET $2 LIMIT 1",
		PARAMS(P_TEXT(subject), P_INT(limit - 1), P_INT(window_s)));

	if (r == -ERR_NOT_FOUND)
		*ret = 0;
	return r == -ERR_NOT_FOUND ? 0 : r;
}

/* ---- settings --------------------------------------------------------------------------------------- */

int store_setting_get(struct store_tx *tx, const char *key, char **ret)
{
	ROW(Text) * row;
	int r = pg_one(tx, ROWS(text), &row, "SELECT value AS text FROM settings WHERE key = $1",
		       P_TEXT(key));

	if (r == 0)
		*ret = row->text;
	return r;
}

int store_setting_put(struct store_tx *tx, const char *key, const char *value)
{
	return pg_touched(pg_exec(tx,
				  "INSERT INTO settings (key, value) VALUES ($1, $2)"
				  " ON CONFLICT (key) DO UPDATE SET value = excluded.value,"
				  " updated_at = now()",
				  P_TEXT(key), P_TEXT(value)));
}

int store_setting_list(struct store_tx *tx, PB(Setting) * **ret, size_t *ret_count)
{
	return pg_rows(tx, MSGS(setting), (void ***)ret, ret_count,
		       "SELECT key AS id, key, CASE WHEN encrypted THEN '********' ELSE value END"
		       " AS value, encrypted, updated_at AS updated_at_unix_ms FROM settings"
		       " UNION ALL SELECT p.key, p.key, p.value, false, s.updated_at"
		       " FROM security_policy s, jsonb_each_text(to_jsonb(s) - 'only_one'"
		       " - 'revision' - 'updated_at' - 'mcp_rate_limit_is_set') p"
		       " ORDER BY 2",
		       NULL, 0);
}

#define SQL_POLICY                                                                               \
	"SELECT remote_tool_editing, tool_approval_mode, network_access_policy, "                \
	"module_approval_mode,"                                                                  \
	" redact_secrets_in_output, log_retention_days, mcp_rate_limit_rpm, approvals_required," \
	" execution_log_keep, mcp_rate_limit_is_set, revision FROM security_policy"

int store_policy_get(struct store_tx *tx, bool lock, PB(SecurityPolicy) * *ret)
{
	return pg_row(tx, MSGS(security_policy), (void **)ret,
		      lock ? SQL_POLICY " FOR UPDATE" : SQL_POLICY, NULL, 0);
}

int store_policy_save(struct store_tx *tx, const PB(SecurityPolicy) * p)
{
	return pg_touched(pg_exec(
		tx,
		"UPDATE security_policy SET remote_tool_editing = $1, tool_approval_mode = $2,"
		" network_access_policy = $3, module_approval_mode = $4, redact_secrets_in_output "
		"= $5,"
		" log_retention_days = $6, mcp_rate_limit_rpm = $7, approvals_required = $8,"
		" execution_log_keep = $9, mcp_rate_limit_is_set = $10,"
		" revision = revision + 1, updated_at = now()",
		P_TEXT(p->remote_tool_editing), P_TEXT(p->tool_approval_mode),
		P_TEXT(p->network_access_policy), P_TEXT(p->module_approval_mode),
		P_TEXT(p->redact_secrets_in_output), P_INT(p->log_retention_days),
		P_INT(p->mcp_rate_limit_rpm), P_INT(p->approvals_required),
		P_INT(p->execution_log_keep), P_BOOL(p->mcp_rate_limit_is_set)));
}
