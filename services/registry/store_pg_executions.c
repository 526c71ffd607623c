/* SQL that reads the records of calls. */
#include "store_pg.h"

#define SQL_SHOWN                                                                        \
	"SELECT call_id AS id, coalesce(outcome = 'ok', false) AS success, duration_ms," \
	" nullif(error, '') AS error, input_args AS input_args_json,"                    \
	" nullif(result, '') AS result_json, nullif(stdout, '') AS stdout,"              \
	" nullif(executed_by, '') AS executed_by, started_at AS created_at_unix_ms"

/* Counting stops where nobody pages to. */
#define SQL_COUNT(rows) "SELECT count(*) FROM (SELECT" rows " LIMIT 100000) counted"
_Static_assert(LOGS_COUNTED == 100000, "SQL_COUNT says the same");

#define SQL_OF_TOOL \
	" FROM executions WHERE tool_id = $1 AND started_at IS NOT NULL AND end_no IS NOT NULL"

int store_tool_logs(struct store_tx *tx, const char *tool_id, uint32_t limit, PB(ToolLog) * **ret,
		    size_t *ret_count, int64_t *ret_total)
{
	int r = pg_number(tx, ret_total, SQL_COUNT(SQL_OF_TOOL), PARAMS(P_TEXT(tool_id)));

	if (r != 0)
		return r;
	return pg_all(tx, MSGS(tool_log), ret, ret_count,
		      SQL_SHOWN SQL_OF_TOOL " ORDER BY started_at DESC, call_id DESC LIMIT $2",
		      P_TEXT(tool_id), P_INT(limit));
}

#define SQL_MORE                                                                         \
	", tool_id, server_id, tool_name, coalesce(is_test, false) AS is_test, version," \
	" outcome, via, executor, cpu_ms, memory_kb"
#define SQL_LISTED                                                                    \
	" FROM executions WHERE started_at IS NOT NULL AND ($1 = '' OR tool_id = $1)" \
	" AND ($2 = '' OR server_id = $2)"                                            \
	" AND ($3 = '' OR position(lower($3) IN lower(tool_name)) > 0)"               \
	" AND ($4::boolean IS NULL OR (outcome = 'ok') = $4) AND ($5 = '' OR executed_by = $5)"

int store_execution_list(struct store_tx *tx, const PB(ListExecutionsRequest) * in,
			 struct page page, PB(Execution) * **ret, size_t *ret_count,
			 int64_t *ret_total)
{
	struct arena *a = store_arena(tx);
	const char *name = arena_dup(a, in->tool_name.data, in->tool_name.len);
	const char *by = arena_dup(a, in->executed_by.data, in->executed_by.len);
	const struct param success = in->success_opt_case ? P_BOOL(in->success) : P_NULL;
	int r = pg_number(tx, ret_total, SQL_COUNT(SQL_LISTED),
			  PARAMS(P_TEXT(in->tool_id), P_TEXT(in->server_id), P_TEXT(name), success,
				 P_TEXT(by)));

	if (r != 0)
		return r;
	return pg_all(tx, MSGS(execution), ret, ret_count,
		      SQL_SHOWN SQL_MORE SQL_LISTED
		      " ORDER BY started_at DESC, call_id DESC LIMIT $6 OFFSET $7",
		      P_TEXT(in->tool_id), P_TEXT(in->server_id), P_TEXT(name), success, P_TEXT(by),
		      P_INT(page.size), P_INT((int64_t)(page.number - 1) * page.size));
}

int store_execution_get(struct store_tx *tx, const char *id, PB(Execution) * *ret)
{
	return pg_one(tx, MSGS(execution), ret,
		      SQL_SHOWN SQL_MORE " FROM executions WHERE call_id = $1", P_TEXT(id));
}

int store_execution_stats(struct store_tx *tx, uint32_t hours, PB(GetExecutionStatsReply) * *ret)
{
	return pg_one(
		tx, MSGS(get_execution_stats_reply), ret,
		"SELECT count(*) AS total_executions,"
		" count(*) FILTER (WHERE outcome = 'ok') AS successful,"
		" count(*) FILTER (WHERE outcome <> 'ok') AS failed,"
		" round(avg(duration_ms))::bigint AS avg_duration_ms,"
		" count(*) FILTER (WHERE started_at > now() - $1::integer * interval '1 hour')"
		" AS period_executions, count(DISTINCT tool_id) AS unique_tools,"
		" count(DISTINCT nullif(executed_by, '')) AS unique_users"
		" FROM executions WHERE started_at IS NOT NULL",
		P_INT(hours));
}
