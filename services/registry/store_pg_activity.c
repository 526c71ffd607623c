/* SQL of the view `activity` (migrations/0010_activity.sql): the audit, the calls and the outbound requests as one. */
#include "store_pg.h"

#define SQL_ACTIVITY                                                               \
	"SELECT id, server_id, log_type, level, message, details AS details_json," \
	" request_id, duration_ms, created_at AS created_at_unix_ms FROM activity WHERE "
#define SQL_LISTED(column, param) \
	"(" param " = '' OR " column " = ANY (string_to_array(" param ", ',')))"
#define SQL_CHOSEN                                                                            \
	"($1 = '' OR server_key = $1 OR object_id = ANY ($2::text[])) AND"                    \
	" " SQL_LISTED("log_type", "$3") " AND " SQL_LISTED(                                  \
		"level", "$4") " AND ($5 = '' OR request_id = $5) AND created_at "            \
			       ">= " SQL_MS("$6") " AND created_at <= " SQL_MS(               \
				       "$"                                                    \
				       "7") " AND ($8::boolean OR log_type NOT IN ('audit', " \
					    "'alert', 'system'))"
#define CHOICE(c)                                                                                 \
	P_TEXT((c)->server_id), P_TEXTS((c)->objects, (c)->object_count), P_TEXT((c)->log_types), \
		P_TEXT((c)->levels), P_TEXT((c)->request_id), P_INT((c)->since_unix_ms),          \
		P_INT((c)->until_unix_ms), P_BOOL((c)->sees_audit)
/* Parameter 9.  What is searched is bounded: the newest rows of each kind. */
#define SQL_SEARCHED "($9 = '' OR position(lower($9) IN lower(message)) > 0)"
#define SQL_ORDER    " ORDER BY created_at DESC, id DESC"
/* Of each kind by its own index: the planner does not see that for the view of all. */
#define SQL_KINDS(columns, tail)                                                                                               \
	SQL_KIND(columns, "audit", tail)                                                                                       \
	" UNION ALL " SQL_KIND(columns, "alert", tail) " UNION ALL " SQL_KIND(columns, "system", tail) " UNION ALL " SQL_KIND( \
		columns, "request",                                                                                            \
		tail) " UNION ALL " SQL_KIND(columns, "answer",                                                                \
					     tail) " UNION ALL " SQL_KIND(columns, "failure",                                  \
									  tail) " UNION "                                      \
										"ALL " SQL_KIND(                               \
											columns,                               \
											"network",                             \
											tail) " U"                             \
											      "NI"                             \
											      "ON"                             \
											      " A"                             \
											      "LL"                             \
											      " " SQL_KIND(                    \
												      columns,                 \
												      "network_bad",           \
												      tail)
#define SQL_KIND(columns, name, tail) \
	"(SELECT " columns " FROM activity_" name " WHERE " SQL_CHOSEN tail ")"
#define SQL_SHOWN                                                                  \
	"SELECT id, server_id, log_type, level, message, details AS details_json," \
	" request_id, duration_ms, created_at AS created_at_unix_ms FROM "

int store_server_objects(struct store_tx *tx, const char *server_id, char ***ret, size_t *ret_count)
{
	return pg_texts(tx, ret, ret_count, "SELECT id::text FROM tools WHERE server_id::text = $1",
			PARAMS(P_TEXT(server_id)));
}

int store_activity_count(struct store_tx *tx, const struct activity_choice *c, uint32_t limit,
			 int64_t *ret)
{
	if (c->search[0])
		return pg_number(
			tx, ret,
			"SELECT count(*) FROM (" SQL_KINDS(
				"message", SQL_ORDER " LIMIT $10") ") kinds WHERE " SQL_SEARCHED,
			PARAMS(CHOICE(c), P_TEXT(c->search), P_INT(limit)));
	return pg_number(tx, ret,
			 "SELECT count(*) FROM (SELECT FROM (" SQL_KINDS(
				 "created_at", " LIMIT $9") ") kinds LIMIT $9) counted",
			 PARAMS(CHOICE(c), P_INT(limit)));
}

int store_activity_list(struct store_tx *tx, const struct activity_choice *c, uint32_t searched,
			struct page page, PB(Activity) * **ret, size_t *ret_count)
{
	const int64_t offset = (int64_t)(page.number - 1) * page.size;

	return pg_all(
		tx, MSGS(activity), ret, ret_count,
		SQL_SHOWN
		"(" SQL_KINDS("*", SQL_ORDER " LIMIT $10") ") kinds WHERE " SQL_SEARCHED SQL_ORDER
							   " LIMIT $11 OFFSET $12",
		CHOICE(c), P_TEXT(c->search), P_INT(c->search[0] ? searched : offset + page.size),
		P_INT(page.size), P_INT(offset));
}

int store_activity_get(struct store_tx *tx, const struct activity_id *id, bool sees_audit,
		       PB(Activity) * *ret)
{
	if (id->seq)
		return sees_audit ? pg_one(tx, MSGS(activity), ret, SQL_ACTIVITY "seq = $1",
					   P_INT(id->seq))
				  : -ERR_NOT_FOUND;
	return pg_one(tx, MSGS(activity), ret, SQL_ACTIVITY "batch = $1 AND no = $2",
		      P_INT(id->batch), P_INT(id->no));
}

/* In the order of the chain: rows of the audit by seq, rows of a batch in the place of its audit row. */
int store_activity_of(struct store_tx *tx, const struct activity_choice *c, const int64_t *seqs,
		      const int64_t *batches, size_t count, PB(Activity) * **ret, size_t *ret_count)
{
	return pg_all(tx, MSGS(activity), ret, ret_count,
		      SQL_ACTIVITY SQL_CHOSEN
		      " AND " SQL_SEARCHED " AND (seq = ANY ($10::bigint[])"
		      " OR batch = ANY ($11::bigint[])) ORDER BY coalesce(array_position("
		      "$10::bigint[], seq), array_position($11::bigint[], batch)), no",
		      CHOICE(c), P_TEXT(c->search), P_INTS(seqs, count), P_INTS(batches, count));
}

int store_activity_sums(struct store_tx *tx, const char *server_id, int64_t from_unix_ms,
			bool sees_audit, PB(ActivityTypes) * *ret_types,
			PB(ActivityLevels) * *ret_levels)
{
	const struct param params[] = { P_TEXT(server_id), P_INT(from_unix_ms),
					P_BOOL(sees_audit) };
	int r = pg_row(tx, MSGS(activity_types), (void **)ret_types,
		       "SELECT count(*) FILTER (WHERE t = 'audit') AS audit,"
		       " count(*) FILTER (WHERE t = 'alert') AS alert,"
		       " count(*) FILTER (WHERE t = 'system') AS system"
		       " FROM (SELECT audit_log_type(topic) AS t FROM audit_log WHERE"
		       " audit_log_type(topic) IN ('audit', 'alert', 'system') AND topic <> 'batch'"
		       " AND at >= " SQL_MS("$2") " AND ($1 = '' OR"
						  " audit_log_server(object_kind, object_id, "
						  "detail) = $1) AND $3::boolean) a",
		       params, ARRAY_LEN(params));

	if (r != 0)
		return r;
	return pg_row(tx, MSGS(activity_levels), (void **)ret_levels,
		      "SELECT count(*) FILTER (WHERE outcome = 'ok') AS info,"
		      " count(*) FILTER (WHERE outcome = 'refused') AS warning,"
		      " count(*) FILTER (WHERE outcome NOT IN ('ok', 'refused')) AS error"
		      " FROM audit_log WHERE audit_log_type(topic) IN ('audit', 'alert', 'system')"
		      " AND topic <> 'batch' AND at >= " SQL_MS(
			      "$2") " AND ($1 = '' OR"
				    " audit_log_server(object_kind, object_id, detail) = $1) AND "
				    "$3::boolean",
		      params, ARRAY_LEN(params));
}

int store_activity_requests(struct store_tx *tx, const char *server_id, int64_t from_unix_ms,
			    uint32_t grain_min, ROW(RollupRow) * *ret_all,
			    ROW(RollupRow) * *ret_denied, ROW(RollupRow) * *ret_calls)
{
	static const char sql[] =
		"SELECT coalesce(sum(calls), 0)::bigint AS calls, coalesce(sum(errors), 0)::bigint"
		" AS errors, coalesce(sum(duration_ms), 0)::bigint AS duration_ms"
		" FROM execution_rollup WHERE grain = $4::smallint AND level = $3::smallint"
		" AND bucket >= " SQL_MS("$2") " AND ($1 = '' OR server_id = $1)";
	const int of_one = server_id[0] ? 1 : 0;
	const struct {
		int level;
		uint32_t grain;
		ROW(RollupRow) * *ret;
	} sums[] = { { 3 + of_one, 10, ret_all },
		     { 5 + of_one, 10, ret_denied },
		     { of_one, grain_min, ret_calls } };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(sums); i++)
		r = pg_one(tx, ROWS(rollup_row), sums[i].ret, sql, P_TEXT(server_id),
			   P_INT(from_unix_ms), P_INT(sums[i].level), P_INT(sums[i].grain));
	return r;
}
