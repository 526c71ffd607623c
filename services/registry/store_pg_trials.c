/* SQL of test runs by reviewers. */
#include "store_pg.h"

int store_trial_begin(struct store_tx *tx, const char *call_id)
{
	return pg_touched(pg_exec(tx, "INSERT INTO trials (call_id) VALUES ($1)", P_TEXT(call_id)));
}

int store_trial_end(struct store_tx *tx, const char *call_id)
{
	return pg_touched(pg_exec(tx, "DELETE FROM trials WHERE call_id = $1", P_TEXT(call_id)));
}

int store_trials_open(struct store_tx *tx, char ***ret, size_t *ret_count)
{
	return pg_texts(tx, ret, ret_count, "SELECT call_id FROM trials ORDER BY call_id", NULL, 0);
}

int store_call_hosts(struct store_tx *tx, const char *call_id, PB(TestedHost) * **ret,
		     size_t *ret_count, int64_t *ret_open)
{
	int r = pg_number(tx, ret_open,
			  "SELECT count(*) FROM egress_requests s WHERE s.call_id = $1"
			  " AND s.stage = 'started' AND NOT EXISTS (SELECT FROM egress_requests f"
			  "  WHERE f.call_id = $1 AND f.stage = 'finished'"
			  "  AND f.request_no = s.request_no)",
			  PARAMS(P_TEXT(call_id)));

	if (r != 0)
		return r;
	return pg_all(tx, MSGS(tested_host), ret, ret_count,
		      "SELECT host, port, decision, rule, count(*) AS requests,"
		      " (array_agg(status ORDER BY at DESC, no DESC))[1] AS status,"
		      " (array_agg(error ORDER BY at DESC, no DESC))[1] AS error"
		      " FROM egress_requests WHERE call_id = $1 AND stage = 'finished'"
		      " GROUP BY host, port, decision, rule ORDER BY min(at), min(no) LIMIT 100",
		      P_TEXT(call_id));
}
