/*
 * SQL that reads the records of calls.  Nothing here counts rows of executions, or walks over rows that it does not
 * show: totals come from execution_counts, statistics from execution_rollup, which triggers keep (0005_call_counts).
 */
#include <string.h>
#include "store_pg.h"

#define SQL_SHOWN                                                           \
	" call_id AS id, outcome = 'ok' AS success, duration_ms,"           \
	" nullif(error, '') AS error, input_args AS input_args_json,"       \
	" nullif(result, '') AS result_json, nullif(stdout, '') AS stdout," \
	" nullif(executed_by, '') AS executed_by, started_at AS created_at_unix_ms"
#define SQL_MORE                                                                         \
	", tool_id, server_id, tool_name, coalesce(is_test, false) AS is_test, version," \
	" nullif(outcome, '') AS outcome, via, executor, cpu_ms, memory_kb"

/* Which calls: the same words for the rows of execution_counts and of executions. */
#define SQL_CHOSEN                                                                 \
	"($1 = '' OR tool_id = $1) AND ($2 = '' OR server_id = $2)"                \
	" AND ($3 = '' OR position(lower($3) IN lower(tool_name)) > 0)"            \
	" AND ($4::boolean IS NULL OR (nullif(outcome, '') = 'ok') = $4::boolean)" \
	" AND ($5 = '' OR executed_by = $5) AND ($6::boolean IS NULL OR outcome <> '')"
enum { CHOICE_PARAMS = 6, LIST_PARAMS = CHOICE_PARAMS + 3 };

/*
 * The first pages.  The newest n calls belong to the n keys (tool, caller, outcome) whose newest call is newest, so
 * whatever is asked for costs at most n keys and n rows of each, all by index: $7 is n.
 */
#define SQL_NEAR(columns)                                                                  \
	"WITH keys AS MATERIALIZED (SELECT tool_id, executed_by, outcome"                  \
	" FROM execution_counts WHERE kept > 0 AND " SQL_CHOSEN                            \
	" ORDER BY last_at DESC LIMIT $7),"                                                \
	" page AS MATERIALIZED (SELECT e.call_id FROM keys CROSS JOIN LATERAL"             \
	" (SELECT call_id, started_at FROM executions WHERE tool_id = keys.tool_id"        \
	" AND executed_by = keys.executed_by AND outcome = keys.outcome"                   \
	" AND started_at IS NOT NULL ORDER BY started_at DESC, call_id DESC LIMIT $7) e"   \
	" ORDER BY e.started_at DESC, e.call_id DESC LIMIT $8 OFFSET $9)"                  \
	"SELECT" columns " FROM executions WHERE call_id = ANY (ARRAY(SELECT call_id FROM" \
	" page)) ORDER BY started_at DESC, call_id DESC"
/* Far pages walk there. */
#define SQL_FAR(columns)                                                                \
	"SELECT" columns " FROM (SELECT * FROM executions WHERE started_at IS NOT NULL" \
	" AND $7 > 0 AND " SQL_CHOSEN " ORDER BY started_at DESC, call_id DESC"         \
	" LIMIT $8 OFFSET $9) page ORDER BY started_at DESC, call_id DESC"
enum { NEAR_ROWS = 200 };

/* Two forms of what is shown, near and far each. */
struct list {
	const ProtobufCMessageDescriptor *type;
	const char *near, *far;
};

static int count_and_list(struct store_tx *tx, const struct list *list,
			  const struct param choice[CHOICE_PARAMS], bool is_chosen,
			  struct page page, void ***ret, size_t *ret_count, int64_t *ret_total)
{
	int64_t offset = (int64_t)(page.number - 1) * page.size, end = offset + page.size;
	/* All calls, one after the other, are an index by themselves. */
	bool is_near = end <= NEAR_ROWS && is_chosen;
	struct param params[LIST_PARAMS];
	int r = pg_number(tx, ret_total,
			  "SELECT coalesce(sum(kept), 0)::bigint FROM execution_counts WHERE "
			  "" SQL_CHOSEN,
			  choice, CHOICE_PARAMS);

	*ret_count = 0;
	if (r != 0 || offset >= *ret_total)
		return r;
	memcpy(params, choice, CHOICE_PARAMS * sizeof(*choice));
	params[CHOICE_PARAMS] = P_INT(end);
	params[CHOICE_PARAMS + 1] = P_INT(page.size);
	params[CHOICE_PARAMS + 2] = P_INT(offset);
	return pg_rows(tx, list->type, ret, ret_count, is_near ? list->near : list->far, params,
		       LIST_PARAMS);
}

int store_tool_logs(struct store_tx *tx, const char *tool_id, uint32_t limit, PB(ToolLog) * **ret,
		    size_t *ret_count, int64_t *ret_total)
{
	static const struct list list = { MSGS(tool_log), SQL_NEAR(SQL_SHOWN), SQL_FAR(SQL_SHOWN) };
	const struct param choice[CHOICE_PARAMS] = { P_TEXT(tool_id), P_TEXT(""), P_TEXT(""),
						     P_NULL,          P_TEXT(""), P_BOOL(true) };

	return count_and_list(tx, &list, choice, true, (struct page){ 1, limit }, (void ***)ret,
			      ret_count, ret_total);
}

int store_execution_list(struct store_tx *tx, const PB(ListExecutionsRequest) * in,
			 struct page page, PB(Execution) * **ret, size_t *ret_count,
			 int64_t *ret_total)
{
	static const struct list list = { MSGS(execution), SQL_NEAR(SQL_SHOWN SQL_MORE),
					  SQL_FAR(SQL_SHOWN SQL_MORE) };
	struct arena *a = store_arena(tx);
	const struct param choice[CHOICE_PARAMS] = {
		P_TEXT(in->tool_id),
		P_TEXT(in->server_id),
		P_TEXT(arena_dup(a, in->tool_name.data, in->tool_name.len)),
		in->success_opt_case ? P_BOOL(in->success) : P_NULL,
		P_TEXT(arena_dup(a, in->executed_by.data, in->executed_by.len)),
		P_NULL
	};

	const bool is_chosen = in->tool_id[0] || in->server_id[0] || in->tool_name.len ||
			       in->success_opt_case || in->executed_by.len;

	return count_and_list(tx, &list, choice, is_chosen, page, (void ***)ret, ret_count,
			      ret_total);
}

int store_execution_get(struct store_tx *tx, const char *id, PB(Execution) * *ret)
{
	return pg_one(tx, MSGS(execution), ret,
		      "SELECT" SQL_SHOWN SQL_MORE " FROM executions WHERE call_id = $1",
		      P_TEXT(id));
}

int store_execution_stats(struct store_tx *tx, PB(GetExecutionStatsReply) * *ret)
{
	return pg_row(
		tx, MSGS(get_execution_stats_reply), (void **)ret,
		"SELECT coalesce(sum(calls), 0)::bigint AS total_executions,"
		" coalesce(sum(calls) FILTER (WHERE outcome = 'ok'), 0)::bigint AS successful,"
		" coalesce(sum(calls) FILTER (WHERE outcome NOT IN ('', 'ok')), 0)::bigint"
		" AS failed, round(sum(duration_ms) / nullif(sum(calls)"
		" FILTER (WHERE outcome <> ''), 0))::bigint AS avg_duration_ms,"
		" (SELECT count(*) FROM (SELECT FROM execution_counts GROUP BY tool_id) t)"
		" AS unique_tools, (SELECT count(*) FROM (SELECT FROM execution_counts"
		" WHERE executed_by <> '' GROUP BY executed_by) u) AS unique_users"
		" FROM execution_counts",
		NULL, 0);
}

/* ---- what ended in a time -------------------------------------------------------------------------- */

/* Buckets: fine ones from the beginning to the next coarse one, coarse ones from there. */
#define SQL_WITHIN                                                          \
	"((grain = $1 AND bucket >= " SQL_MS("$2") " AND bucket < " SQL_MS( \
		"$3") ")"                                                   \
		      " OR (grain = $4 AND bucket >= " SQL_MS("$3") "))"
#define WINDOW(w)                                                                   \
	P_INT((w)->fine_min), P_INT((w)->from_unix_ms), P_INT((w)->coarse_unix_ms), \
		P_INT((w)->coarse_min)
#define SQL_SUMS                                                                         \
	" coalesce(sum(calls), 0)::bigint AS calls, coalesce(sum(errors), 0)::bigint AS" \
	" errors, coalesce(sum(duration_ms), 0)::bigint AS duration_ms"

int store_rollup_sum(struct store_tx *tx, const struct window *w, ROW(RollupRow) * *ret)
{
	return pg_one(tx, ROWS(rollup_row), ret,
		      "SELECT" SQL_SUMS " FROM execution_rollup WHERE level = 0 AND " SQL_WITHIN,
		      WINDOW(w));
}

int store_rollup_servers(struct store_tx *tx, const struct window *w, ROW(RollupRow) * **ret,
			 size_t *ret_count)
{
	return pg_all(tx, ROWS(rollup_row), ret, ret_count,
		      "SELECT server_id," SQL_SUMS
		      " FROM execution_rollup WHERE level = 1 AND " SQL_WITHIN " GROUP BY 1",
		      WINDOW(w));
}

int store_rollup_top_tools(struct store_tx *tx, const struct window *w, uint32_t limit,
			   ROW(RollupRow) * **ret, size_t *ret_count)
{
	return pg_all(tx, ROWS(rollup_row), ret, ret_count,
		      "SELECT t.*, c.server_id, c.tool_name, coalesce(s.name, '') AS server_name"
		      " FROM (SELECT tool_id," SQL_SUMS
		      " FROM execution_rollup WHERE level = 2 AND " SQL_WITHIN
		      " GROUP BY 1 ORDER BY calls DESC, tool_id LIMIT $5) t CROSS JOIN LATERAL"
		      " (SELECT server_id, tool_name FROM execution_counts k"
		      " WHERE k.tool_id = t.tool_id LIMIT 1) c"
		      " LEFT JOIN servers s ON s.id::text = c.server_id"
		      " ORDER BY t.calls DESC, t.tool_id",
		      WINDOW(w), P_INT(limit));
}

int store_rollup_points(struct store_tx *tx, uint32_t grain_min, int64_t from_unix_ms,
			int64_t to_unix_ms, ROW(RollupRow) * **ret, size_t *ret_count)
{
	return pg_all(
		tx, ROWS(rollup_row), ret, ret_count,
		"SELECT point AS at_unix_ms, coalesce(calls, 0) AS calls,"
		" coalesce(errors, 0) AS errors FROM generate_series(" SQL_MS("$2") ", " SQL_MS(
			"$3") ", $1::integer * interval '1 minute') AS point"
			      " LEFT JOIN execution_rollup ON grain = $1::smallint AND level = 0"
			      " AND bucket = point ORDER BY 1",
		P_INT(grain_min), P_INT(from_unix_ms), P_INT(to_unix_ms));
}

int store_execution_failed(struct store_tx *tx, int64_t from_unix_ms, uint32_t limit,
			   PB(RecentError) * **ret, size_t *ret_count)
{
	return pg_all(tx, MSGS(recent_error), ret, ret_count,
		      "SELECT e.ended_at AS timestamp_unix_ms, s.name AS server_name,"
		      " left(coalesce(nullif(e.error, ''), e.outcome), 200) AS message,"
		      " nullif(e.tool_name, '') AS tool_name FROM executions e"
		      " LEFT JOIN servers s ON s.id::text = e.server_id"
		      " WHERE e.outcome NOT IN ('', 'ok') AND e.ended_at >= " SQL_MS(
			      "$1") " ORDER BY e.ended_at DESC LIMIT $2",
		      P_INT(from_unix_ms), P_INT(limit));
}

int store_dashboard_counts(struct store_tx *tx, PB(DashboardStats) * *ret)
{
	return pg_row(tx, MSGS(dashboard_stats), (void **)ret,
		      "SELECT (SELECT count(*) FROM servers) AS total_servers,"
		      " (SELECT count(*) FROM servers WHERE status = 'running') AS active_servers,"
		      " count(*) AS total_tools, count(*) FILTER (WHERE enabled) AS enabled_tools"
		      " FROM tools",
		      NULL, 0);
}

int store_dashboard_servers(struct store_tx *tx, uint32_t limit, PB(DashboardServer) * **ret,
			    size_t *ret_count)
{
	return pg_all(tx, MSGS(dashboard_server), ret, ret_count,
		      "SELECT id, name, status, (SELECT count(*) FROM tools t WHERE t.server_id ="
		      " s.id) AS tool_count FROM servers s ORDER BY created_at DESC, id DESC"
		      " LIMIT $1",
		      P_INT(limit));
}
