/* SQL of decisions: tools, hosts, what waits. */
#include "store_pg.h"

int store_decision_add(struct store_tx *tx, const struct decision *d)
{
	return pg_touched(
		pg_exec(tx,
			"INSERT INTO tool_decisions (id, tool_id, version, content_hash, decision,"
			" reviewer, reason) VALUES (gen_random_uuid(), $1, $2, $3, $4, $5, $6)",
			P_TEXT(d->tool_id), P_INT(d->version),
			P_BYTES(d->content_hash.data, d->content_hash.len), P_TEXT(d->decision),
			P_TEXT(d->reviewer),
			d->reason.len ? P_BYTES(d->reason.data, d->reason.len) : P_NULL));
}

int store_decision_approvers(struct store_tx *tx, const char *tool_id, uint32_t version,
			     int64_t *ret)
{
	return pg_number(tx, ret,
			 "SELECT count(DISTINCT reviewer) FROM tool_decisions WHERE tool_id = $1"
			 " AND version = $2 AND decision = 'approve' AND in_force",
			 PARAMS(P_TEXT(tool_id), P_INT(version)));
}

int store_decisions_undo(struct store_tx *tx, const char *tool_id)
{
	int64_t n = pg_exec(
		tx, "UPDATE tool_decisions SET in_force = false WHERE tool_id = $1 AND in_force",
		P_TEXT(tool_id));

	return n < 0 ? (int)n : 0;
}

#define SQL_APPROVALS                                                                 \
	" FROM tools t JOIN servers s ON s.id = t.server_id"                          \
	" JOIN tool_versions v ON v.tool_id = t.id AND v.version = t.current_version" \
	" WHERE ($2 = 'all' OR t.approval_status = $2) AND " SQL_OF_SERVER(           \
		"t.server_id") " AND ($1 = '' OR " SQL_FOUND("t.name") " OR " SQL_FOUND("s.name") " OR " SQL_FOUND(SQL_BYTES_TEXT("v.description")) ")"

int store_approval_stats(struct store_tx *tx, PB(GetApprovalStatsReply) * *ret)
{
	return pg_row(
		tx, MSGS(get_approval_stats_reply), (void **)ret,
		"SELECT * FROM (SELECT"
		" count(*) FILTER (WHERE approval_status = 'pending_review') AS pending_tools,"
		" count(*) FILTER (WHERE approval_status = 'approved') AS approved_tools,"
		" count(*) FILTER (WHERE approval_status = 'approved'"
		"  AND approved_at > now() - interval '7 days') AS recently_approved FROM tools) t,"
		" (SELECT count(*) FILTER (WHERE status = 'pending') AS pending_module_requests,"
		" count(*) FILTER (WHERE status = 'approved') AS approved_module_requests"
		" FROM module_requests) m,"
		" (SELECT count(*) FILTER (WHERE status = 'pending') AS pending_network_requests,"
		" count(*) FILTER (WHERE status = 'approved') AS approved_network_requests"
		" FROM network_requests) n,"
		" (SELECT count(DISTINCT tool_id) AS recently_rejected FROM tool_decisions"
		" WHERE decision = 'reject' AND created_at > now() - interval '7 days') d",
		NULL, 0);
}

/* Of the secrets that have a value. */
#define SQL_KEYS(mode)                                                                           \
	" (SELECT array_agg(x.key_name ORDER BY x.key_name) FROM secrets x WHERE x.server_id = " \
	"s.id"                                                                                   \
	" AND x.value IS NOT NULL AND x.mode = '" mode "')"

int store_approval_list(struct store_tx *tx, const struct filter *f, PB(ToolApproval) * **ret,
			size_t *ret_count, int64_t *ret_total)
{
	static const struct pg_list list = {
		MSGS(tool_approval), "SELECT count(*)" SQL_APPROVALS,
		"SELECT t.id, t.server_id, s.name AS server_name, t.name, v.description, "
		"v.python_code,"
		" t.created_by, t.publish_notes, t.approval_status,"
		" t.approval_requested_at AS approval_requested_at_unix_ms,"
		" t.approved_at AS approved_at_unix_ms, t.approved_by, t.rejection_reason,"
		" t.current_version, t.live_version, v.content_hash, t.published_name,"
		" v.input_schema AS input_schema_json, t.revision, v.limits AS limits_json,"
		" coalesce(v.timeout_ms, s.default_timeout_ms) AS timeout_ms, s.warm_reuse,"
		" (SELECT array_agg(DISTINCT n.host || coalesce(':' || n.port, '')"
		"   || CASE WHEN n.private_requested THEN '+private' ELSE '' END)"
		"  FROM network_requests n WHERE n.tool_id = t.id AND n.status <> 'rejected')"
		" AS requested_hosts," SQL_KEYS("reveal") " AS revealed_secrets," SQL_KEYS(
			"inject") " AS injected_secrets" SQL_APPROVALS
				  " ORDER BY t.approval_requested_at DESC NULLS LAST, t.id DESC "
				  "LIMIT $4 OFFSET $5"
	};

	return pg_list_rows(tx, &list, f, (void ***)ret, ret_count, ret_total);
}

static int pending_totals(struct store_tx *tx, PB(PendingSummary) * *ret)
{
	int r = pg_row(
		tx, MSGS(pending_summary), (void **)ret,
		"SELECT (SELECT count(*) FROM tools WHERE approval_status = 'pending_review') AS "
		"tools,"
		" (SELECT count(*) FROM module_requests WHERE status = 'pending') AS modules,"
		" (SELECT count(*) FROM network_requests WHERE status = 'pending') AS network",
		NULL, 0);

	if (r == 0)
		(*ret)->total = (*ret)->tools + (*ret)->modules + (*ret)->network;
	return r;
}

int store_pending_list(struct store_tx *tx, PB(ListPendingRequestsReply) * ret)
{
	int r = pg_rows(tx, MSGS(pending_tool), (void ***)&ret->pending_tools,
			&ret->n_pending_tools,
			"SELECT t.id, t.name, s.name AS server_name,"
			" t.approval_requested_at AS requested_at_unix_ms"
			" FROM tools t JOIN servers s ON s.id = t.server_id"
			" WHERE t.approval_status = 'pending_review'"
			" ORDER BY t.approval_requested_at DESC LIMIT 50",
			NULL, 0);

	if (r == 0)
		r = pg_rows(tx, MSGS(pending_module), (void ***)&ret->pending_module_requests,
			    &ret->n_pending_module_requests,
			    "SELECT m.id, m.module_name, t.name AS tool_name, s.name AS server_name"
			    " FROM module_requests m LEFT JOIN tools t ON t.id = m.tool_id"
			    " LEFT JOIN servers s ON s.id = m.server_id WHERE m.status = 'pending'"
			    " ORDER BY m.created_at DESC LIMIT 50",
			    NULL, 0);
	if (r == 0)
		r = pg_rows(
			tx, MSGS(pending_network), (void ***)&ret->pending_network_requests,
			&ret->n_pending_network_requests,
			"SELECT n.id, n.host, n.port, t.name AS tool_name, s.name AS server_name"
			" FROM network_requests n LEFT JOIN tools t ON t.id = n.tool_id"
			" JOIN servers s ON s.id = n.server_id WHERE n.status = 'pending'"
			" ORDER BY n.created_at DESC LIMIT 50",
			NULL, 0);
	return r == 0 ? pending_totals(tx, &ret->summary) : r;
}

/* ---- hosts ------------------------------------------------------------------------------------------ */

int store_network_create(struct store_tx *tx, const PB(NetworkRequest) * n)
{
	return pg_touched(pg_exec(
		tx,
		"INSERT INTO network_requests (id, tool_id, server_id, host, port, "
		"private_requested,"
		" allow_private, justification, requested_by, status, reviewed_by, reviewed_at, "
		"source, methods, path_prefixes)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,"
		" CASE WHEN $10 = 'pending' THEN NULL ELSE now() END, $12, $13, $14)",
		P_TEXT(n->id), n->tool_id_opt_case ? P_TEXT(n->tool_id) : P_NULL,
		P_TEXT(n->server_id), P_TEXT(n->host), n->port_opt_case ? P_INT(n->port) : P_NULL,
		P_BOOL(n->private_requested), P_BOOL(n->allow_private),
		P_BYTES(n->justification.data, n->justification.len),
		n->requested_by_opt_case ? P_TEXT(n->requested_by) : P_NULL, P_TEXT(n->status),
		n->reviewed_by_opt_case ? P_TEXT(n->reviewed_by) : P_NULL, P_TEXT(n->source),
		P_TEXTS(n->methods, n->n_methods), P_TEXTS(n->path_prefixes, n->n_path_prefixes)));
}

#define SQL_NETWORK_COLUMNS                                                                        \
	"SELECT n.id, n.tool_id, t.name AS tool_name, n.server_id, s.name AS server_name, n.host," \
	" n.port, n.justification, n.requested_by, n.status, n.reviewed_by,"                       \
	" n.reviewed_at AS reviewed_at_unix_ms, n.rejection_reason,"                               \
	" n.created_at AS created_at_unix_ms, n.source, n.private_requested, n.allow_private,"     \
	" n.methods, n.path_prefixes, n.revision"
#define SQL_NETWORK_FROM                                                \
	" FROM network_requests n JOIN servers s ON s.id = n.server_id" \
	" LEFT JOIN tools t ON t.id = n.tool_id"
#define SQL_NETWORK_ONE SQL_NETWORK_COLUMNS SQL_NETWORK_FROM " WHERE n.id = $1"

int store_network_get(struct store_tx *tx, const char *id, bool lock, PB(NetworkRequest) * *ret)
{
	return pg_one(tx, MSGS(network_request), ret,
		      lock ? SQL_NETWORK_ONE " FOR NO KEY UPDATE OF n" : SQL_NETWORK_ONE,
		      P_TEXT(id));
}

int store_network_same(struct store_tx *tx, const char *server_id, const char *host, uint32_t port,
		       PB(NetworkRequest) * **ret, size_t *ret_count)
{
	return pg_all(tx, MSGS(network_request), ret, ret_count,
		      SQL_NETWORK_COLUMNS SQL_NETWORK_FROM
		      " WHERE n.server_id = $1 AND n.host = $2 AND coalesce(n.port, 0) = $3",
		      P_TEXT(server_id), P_TEXT(host), P_INT(port));
}

#define SQL_NETWORK_FILTER                                         \
	SQL_NETWORK_FROM                                           \
	" WHERE ($2 = 'all' OR n.status = $2) AND " SQL_OF_SERVER( \
		"n.server_id") " AND ($1 = '' OR " SQL_FOUND("n.host") " OR " SQL_FOUND(SQL_BYTES_TEXT("n.justification")) ")"

int store_network_list(struct store_tx *tx, const struct filter *f, PB(NetworkRequest) * **ret,
		       size_t *ret_count, int64_t *ret_total)
{
	static const struct pg_list list = {
		MSGS(network_request), "SELECT count(*)" SQL_NETWORK_FILTER,
		SQL_NETWORK_COLUMNS SQL_NETWORK_FILTER
		" ORDER BY n.created_at DESC, n.id DESC LIMIT $4 OFFSET $5"
	};

	return pg_list_rows(tx, &list, f, (void ***)ret, ret_count, ret_total);
}

int store_network_save(struct store_tx *tx, const PB(NetworkRequest) * n)
{
	return pg_touched(pg_exec(tx,
				  "UPDATE network_requests SET status = $2, reviewed_by = $3,"
				  " reviewed_at = CASE WHEN $4::bigint = 0 THEN NULL ELSE " SQL_MS(
					  "$4") " END,"
						" rejection_reason = $5, allow_private = $6, "
						"revision = revision + 1, updated_at = now()"
						" WHERE id = $1",
				  P_TEXT(n->id), P_TEXT(n->status),
				  n->reviewed_by_opt_case ? P_TEXT(n->reviewed_by) : P_NULL,
				  P_INT(n->reviewed_at_unix_ms), P_PB(n->rejection_reason),
				  P_BOOL(n->allow_private)));
}

int store_network_delete(struct store_tx *tx, const char *id)
{
	return pg_touched(pg_exec(tx, "DELETE FROM network_requests WHERE id = $1", P_TEXT(id)));
}

int store_tool_modules(struct store_tx *tx, const char *tool_id, PB(ModuleRequestBrief) * **ret,
		       size_t *ret_count)
{
	return pg_all(
		tx, MSGS(module_request_brief), ret, ret_count,
		"SELECT id, module_name, status, rejection_reason, created_at AS created_at_unix_ms"
		" FROM module_requests WHERE tool_id = $1 ORDER BY created_at DESC, id DESC LIMIT "
		"200",
		P_TEXT(tool_id));
}

int store_tool_network(struct store_tx *tx, const char *tool_id, PB(NetworkRequestBrief) * **ret,
		       size_t *ret_count)
{
	return pg_all(
		tx, MSGS(network_request_brief), ret, ret_count,
		"SELECT id, host, port, status, rejection_reason, created_at AS created_at_unix_ms"
		" FROM network_requests WHERE tool_id = $1 ORDER BY created_at DESC, id DESC LIMIT "
		"200",
		P_TEXT(tool_id));
}
