/* SQL of modules: requests and an administrator's own entries. */
#include "store_pg.h"

int store_module_create(struct store_tx *tx, const PB(ModuleRequest) * m)
{
	return pg_touched(pg_exec(
		tx,
		"INSERT INTO module_requests (id, tool_id, server_id, module_name, justification,"
		" requested_by, status, reviewed_by, reviewed_at, source)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8,"
		" CASE WHEN $7 = 'pending' THEN NULL ELSE now() END, $9)",
		P_TEXT(m->id), m->tool_id_opt_case ? P_TEXT(m->tool_id) : P_NULL,
		m->server_id_opt_case ? P_TEXT(m->server_id) : P_NULL, P_TEXT(m->module_name),
		P_BYTES(m->justification.data, m->justification.len),
		m->requested_by_opt_case ? P_TEXT(m->requested_by) : P_NULL, P_TEXT(m->status),
		m->reviewed_by_opt_case ? P_TEXT(m->reviewed_by) : P_NULL, P_TEXT(m->source)));
}

#define SQL_COLUMNS                                                                        \
	"SELECT m.id, m.tool_id, t.name AS tool_name, m.server_id, s.name AS server_name," \
	" m.module_name, m.justification, m.requested_by, m.status, m.reviewed_by,"        \
	" m.reviewed_at AS reviewed_at_unix_ms, m.rejection_reason,"                       \
	" m.created_at AS created_at_unix_ms, m.source, m.revision"
#define SQL_FROM                                                            \
	" FROM module_requests m LEFT JOIN servers s ON s.id = m.server_id" \
	" LEFT JOIN tools t ON t.id = m.tool_id"
#define SQL_ONE SQL_COLUMNS SQL_FROM " WHERE m.id = $1"

int store_module_get(struct store_tx *tx, const char *id, bool lock, PB(ModuleRequest) * *ret)
{
	return pg_one(tx, MSGS(module_request), ret,
		      lock ? SQL_ONE " FOR NO KEY UPDATE OF m" : SQL_ONE, P_TEXT(id));
}

int store_module_judged(struct store_tx *tx, const char *tool_id, PB(ModuleRequest) * **ret,
			size_t *ret_count)
{
	return pg_all(tx, MSGS(module_request), ret, ret_count,
		      SQL_COLUMNS SQL_FROM
		      " WHERE m.status = 'approved' OR m.tool_id = $1 ORDER BY m.module_name, m.id",
		      P_TEXT(tool_id));
}

int store_module_own(struct store_tx *tx, PB(ModuleRequest) * **ret, size_t *ret_count)
{
	return pg_rows(tx, MSGS(module_request), (void ***)ret, ret_count,
		       SQL_COLUMNS SQL_FROM " WHERE m.tool_id IS NULL AND m.source = 'admin'"
					    " ORDER BY m.module_name FOR UPDATE OF m",
		       NULL, 0);
}

#define SQL_FILTER                                                 \
	SQL_FROM                                                   \
	" WHERE ($2 = 'all' OR m.status = $2) AND " SQL_OF_SERVER( \
		"m.server_id") " AND ($1 = '' OR " SQL_FOUND("m.module_name") " OR " SQL_FOUND(SQL_BYTES_TEXT("m.justification")) ")"

int store_module_list(struct store_tx *tx, const struct filter *f, PB(ModuleRequest) * **ret,
		      size_t *ret_count, int64_t *ret_total)
{
	static const struct pg_list list = {
		MSGS(module_request), "SELECT count(*)" SQL_FILTER,
		SQL_COLUMNS SQL_FILTER " ORDER BY m.created_at DESC, m.id DESC LIMIT $4 OFFSET $5"
	};

	return pg_list_rows(tx, &list, f, (void ***)ret, ret_count, ret_total);
}

int store_module_save(struct store_tx *tx, const PB(ModuleRequest) * m)
{
	return pg_touched(pg_exec(tx,
				  "UPDATE module_requests SET status = $2, reviewed_by = $3,"
				  " reviewed_at = CASE WHEN $4::bigint = 0 THEN NULL ELSE " SQL_MS(
					  "$4") " END,"
						" rejection_reason = $5, revision = revision + 1, "
						"updated_at = now() WHERE id = $1",
				  P_TEXT(m->id), P_TEXT(m->status),
				  m->reviewed_by_opt_case ? P_TEXT(m->reviewed_by) : P_NULL,
				  P_INT(m->reviewed_at_unix_ms), P_PB(m->rejection_reason)));
}

int store_module_delete(struct store_tx *tx, const char *id)
{
	return pg_touched(pg_exec(tx, "DELETE FROM module_requests WHERE id = $1", P_TEXT(id)));
}

int store_specs_forget(struct store_tx *tx)
{
	return pg_script(tx,
			 "UPDATE tools SET live_spec_hash = NULL WHERE live_spec_hash IS NOT NULL");
}

int store_permits_revoke_all(struct store_tx *tx)
{
	return pg_script(tx, "UPDATE permits SET revoked_at = now() WHERE revoked_at IS NULL"
			     " AND not_after > now()");
}
