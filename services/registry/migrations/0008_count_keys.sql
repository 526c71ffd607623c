-- A tool has one server and one published name, so tool, caller and outcome alone are the key of its counts: lists
-- take the newest keys without grouping.
CREATE TABLE counts_before AS SELECT * FROM execution_counts;
DELETE FROM execution_counts;
ALTER TABLE execution_counts DROP CONSTRAINT execution_counts_pkey;
ALTER TABLE execution_counts ADD PRIMARY KEY (tool_id, executed_by, outcome);
INSERT INTO execution_counts SELECT tool_id, max(server_id), max(tool_name), executed_by, outcome, sum(kept), sum(calls),
	sum(duration_ms), max(last_at) FROM counts_before GROUP BY tool_id, executed_by, outcome;
DROP TABLE counts_before;

CREATE OR REPLACE FUNCTION executions_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM new_rows WHERE started_at IS NOT NULL) THEN
		RETURN NULL;
	END IF;
	PERFORM pg_advisory_xact_lock(x'636f756e7473'::bigint);
	INSERT INTO execution_counts AS c SELECT tool_id, max(server_id), max(tool_name), executed_by, outcome, count(*),
		count(*), sum(coalesce(duration_ms, 0)), max(started_at)
		FROM new_rows WHERE started_at IS NOT NULL GROUP BY tool_id, executed_by, outcome
	ON CONFLICT (tool_id, executed_by, outcome) DO UPDATE SET kept = c.kept + excluded.kept,
		calls = c.calls + excluded.calls, duration_ms = c.duration_ms + excluded.duration_ms,
		last_at = greatest(c.last_at, excluded.last_at);
	PERFORM execution_rollup_add(array_agg(server_id), array_agg(tool_id), array_agg(tool_name), array_agg(ended_at),
		array_agg(outcome <> 'ok'), array_agg(coalesce(duration_ms, 0)))
		FROM new_rows WHERE started_at IS NOT NULL AND ended_at IS NOT NULL;
	RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION executions_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM new_rows WHERE started_at IS NOT NULL) THEN
		RETURN NULL;
	END IF;
	PERFORM pg_advisory_xact_lock(x'636f756e7473'::bigint);
	INSERT INTO execution_counts AS c SELECT tool_id, max(server_id), max(tool_name), executed_by, outcome, sum(n),
		sum(n), sum(n * coalesce(duration_ms, 0)), max(started_at)
		FROM (SELECT 1 AS n, * FROM new_rows UNION ALL SELECT -1, * FROM old_rows) AS moved
		WHERE started_at IS NOT NULL GROUP BY tool_id, executed_by, outcome
		HAVING sum(n) <> 0 OR sum(n * coalesce(duration_ms, 0)) <> 0
	ON CONFLICT (tool_id, executed_by, outcome) DO UPDATE SET kept = c.kept + excluded.kept,
		calls = c.calls + excluded.calls, duration_ms = c.duration_ms + excluded.duration_ms,
		last_at = greatest(c.last_at, excluded.last_at);
	PERFORM execution_counts_look_again(array_agg(tool_id), array_agg(executed_by), array_agg(outcome))
		FROM old_rows WHERE started_at IS NOT NULL;
	PERFORM execution_rollup_add(array_agg(n.server_id), array_agg(n.tool_id), array_agg(n.tool_name),
		array_agg(n.ended_at), array_agg(n.outcome <> 'ok'), array_agg(coalesce(n.duration_ms, 0)))
		FROM new_rows n JOIN old_rows o USING (call_id)
		WHERE n.started_at IS NOT NULL AND n.ended_at IS NOT NULL AND o.ended_at IS NULL;
	RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION executions_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM old_rows WHERE started_at IS NOT NULL) THEN
		RETURN NULL;
	END IF;
	PERFORM pg_advisory_xact_lock(x'636f756e7473'::bigint);
	UPDATE execution_counts c SET kept = c.kept - gone.n
		FROM (SELECT tool_id, executed_by, outcome, count(*) AS n FROM old_rows
			WHERE started_at IS NOT NULL GROUP BY 1, 2, 3) AS gone
		WHERE (c.tool_id, c.executed_by, c.outcome) = (gone.tool_id, gone.executed_by, gone.outcome);
	PERFORM execution_counts_look_again(array_agg(tool_id), array_agg(executed_by), array_agg(outcome))
		FROM old_rows WHERE started_at IS NOT NULL;
	RETURN NULL;
END $$;
