/* SQL that finds and takes away what is past its time. */
#include "store_pg.h"

#define SQL_VICTIM "SELECT call_id, start_batch, end_batch FROM executions"
#define SQL_UNTOUCHED(columns) \
	" NOT EXISTS (SELECT FROM altered_batches WHERE batch IN (" columns "))"

int store_calls_before(struct store_tx *tx, int64_t unix_ms, uint32_t limit, ROW(VictimRow) * **ret,
		       size_t *ret_count)
{
	return pg_all(
		tx, ROWS(victim_row), ret, ret_count,
		"(" SQL_VICTIM " WHERE started_at < " SQL_MS("$1") " AND" SQL_UNTOUCHED(
			"start_batch, end_batch") " ORDER BY started_at, call_id LIMIT $2)"
						  " UNION ALL (" SQL_VICTIM
						  " WHERE started_at IS NULL AND ended_at "
						  "< " SQL_MS("$1") " AND" SQL_UNTOUCHED(
							  "start_batch, end_batch") " ORDER BY "
										    "ended_at "
										    "LIMIT $2)",
		P_INT(unix_ms), P_INT(limit));
}

int store_egress_before(struct store_tx *tx, int64_t unix_ms, uint32_t limit,
			ROW(VictimRow) * **ret, size_t *ret_count)
{
	return pg_all(tx, ROWS(victim_row), ret, ret_count,
		      "SELECT DISTINCT batch AS start_batch FROM (SELECT batch FROM egress_requests"
		      " WHERE at < " SQL_MS("$1") " AND" SQL_UNTOUCHED(
			      "egress_requests.batch") " ORDER BY at LIMIT $2) oldest ORDER BY 1",
		      P_INT(unix_ms), P_INT(limit));
}

/* The oldest of a tool are among the oldest of each of its keys, which the index executions_by_key alone gives. */
int store_calls_over(struct store_tx *tx, uint32_t keep, uint32_t limit, ROW(VictimRow) * **ret,
		     size_t *ret_count)
{
	int64_t altered;
	int r = pg_number(tx, &altered, "SELECT count(*) FROM altered_batches", NULL, 0);

	if (r != 0)
		return r;
	return pg_all(
		tx, ROWS(victim_row), ret, ret_count,
		"WITH over AS MATERIALIZED (SELECT tool_id, least(sum(kept) - $1::bigint,"
		" $2::bigint / 5) AS excess FROM execution_counts GROUP BY 1"
		" HAVING sum(kept) > $1::bigint ORDER BY sum(kept) DESC LIMIT 10),"
		" oldest AS MATERIALIZED (SELECT o.call_id FROM over CROSS JOIN LATERAL"
		" (SELECT e.* FROM execution_counts k CROSS JOIN LATERAL"
		" (SELECT call_id, started_at FROM executions"
		" WHERE tool_id = over.tool_id AND executed_by = k.executed_by"
		" AND outcome = k.outcome AND started_at IS NOT NULL"
		" AND ($3::boolean OR" SQL_UNTOUCHED(
			"start_batch, end_batch") ")"
						  " ORDER BY started_at, call_id LIMIT "
						  "over.excess) e"
						  " WHERE k.tool_id = over.tool_id AND k.kept > 0"
						  " ORDER BY started_at, call_id LIMIT "
						  "over.excess) o)"
						  " " SQL_VICTIM
						  " WHERE call_id = ANY (ARRAY(SELECT call_id FROM "
						  "oldest))"
						  " ORDER BY started_at, call_id LIMIT $2::bigint",
		P_INT(keep), P_INT(limit), P_BOOL(altered == 0));
}

int store_calls_delete(struct store_tx *tx, char *const *call_ids, size_t count)
{
	int64_t n = count ? pg_exec(tx, "DELETE FROM executions WHERE call_id = ANY ($1::text[])",
				    P_TEXTS(call_ids, count))
			  : 0;

	return n < 0 ? (int)n : 0;
}

int64_t store_egress_delete(struct store_tx *tx, uint64_t batch, int64_t before_unix_ms)
{
	return pg_exec(tx, "DELETE FROM egress_requests WHERE batch = $1 AND at < " SQL_MS("$2"),
		       P_INT(batch), P_INT(before_unix_ms));
}

int store_batch_altered(struct store_tx *tx, uint64_t batch)
{
	int64_t n = pg_exec(
		tx, "INSERT INTO altered_batches (batch) VALUES ($1) ON CONFLICT DO NOTHING",
		P_INT(batch));

	return n < 0 ? (int)n : 0;
}

/* What the longest time that is asked for is made of: see window_of_hours(). */
int store_rollup_expire(struct store_tx *tx)
{
	return pg_script(
		tx, "DELETE FROM execution_rollup WHERE ctid = ANY (ARRAY(SELECT ctid FROM"
		    " execution_rollup WHERE (grain = 10 AND level = ANY ('{0,1,2}') AND bucket <"
		    " now() - interval '2 days') OR (((grain = 60 AND level = ANY ('{1,2}')) OR "
		    "(grain = 10 AND level = ANY ('{3,4,5,6}'))) AND"
		    " bucket < now() - interval '9 days') OR (grain = 60 AND level = 0 AND"
		    " bucket < now() - interval '366 days') LIMIT 5000))");
}
