-- Calls are counted when they are written down, in the same transaction, by triggers: so that no reader counts rows,
-- and whoever adds or removes a row (a batch, the retention, a person with psql) keeps the counts right.

-- A call that still runs has the outcome ''.
UPDATE executions SET outcome = coalesce(outcome, ''), executed_by = coalesce(executed_by, '')
	WHERE outcome IS NULL OR executed_by IS NULL;
ALTER TABLE executions
	ALTER outcome SET DEFAULT '', ALTER outcome SET NOT NULL,
	ALTER executed_by SET DEFAULT '', ALTER executed_by SET NOT NULL;

-- The newest calls of any choice of tools, callers and outcomes: see store_pg_executions.c.
DROP INDEX executions_tool_id_started_at_idx;
CREATE INDEX executions_by_key ON executions (tool_id, executed_by, outcome, started_at, call_id);
DROP INDEX executions_started_at_idx;
CREATE INDEX executions_by_start ON executions (started_at, call_id);
CREATE INDEX executions_failed ON executions (ended_at) WHERE outcome NOT IN ('', 'ok');

-- One row for each tool, caller and outcome that was ever seen.
CREATE TABLE execution_counts (
	tool_id     text NOT NULL,
	server_id   text NOT NULL,
	tool_name   text NOT NULL,
	executed_by text NOT NULL,
	outcome     text NOT NULL,
	kept        bigint NOT NULL,            -- rows of it in executions
	calls       bigint NOT NULL,            -- all that ever were, also those that retention took
	duration_ms bigint NOT NULL,            -- of all that ever were
	last_at     timestamptz NOT NULL,       -- start of the newest one
	PRIMARY KEY (tool_id, server_id, tool_name, executed_by, outcome)
) WITH (fillfactor = 70);

-- What ended when: per 10, 60 and 1440 minutes, of all (level 0), of each server (1), of each tool (2).
CREATE TABLE execution_rollup (
	grain       smallint NOT NULL,
	level       smallint NOT NULL,
	bucket      timestamptz NOT NULL,
	server_id   text NOT NULL,              -- '' at level 0
	tool_id     text NOT NULL,              -- '' below level 2
	tool_name   text NOT NULL,
	calls       bigint NOT NULL,
	errors      bigint NOT NULL,
	duration_ms bigint NOT NULL,
	PRIMARY KEY (grain, level, bucket, server_id, tool_id)
) WITH (fillfactor = 70);

-- Ends of calls, one element of each array for one call.
CREATE FUNCTION execution_rollup_add(servers text[], tools text[], names text[], ends timestamptz[], failed boolean[],
		took_ms bigint[]) RETURNS void LANGUAGE sql AS $$
	INSERT INTO execution_rollup AS r (grain, level, bucket, server_id, tool_id, tool_name, calls, errors, duration_ms)
	SELECT grain, level, date_bin(grain * interval '1 minute', ended, 'epoch'),
		CASE WHEN level > 0 THEN server ELSE '' END, CASE WHEN level > 1 THEN tool ELSE '' END,
		max(CASE WHEN level > 1 THEN name ELSE '' END), count(*), count(*) FILTER (WHERE is_failed), sum(ms)
	FROM unnest(servers, tools, names, ends, failed, took_ms) AS e (server, tool, name, ended, is_failed, ms)
		CROSS JOIN unnest('{10,60,1440}'::smallint[]) AS grain CROSS JOIN unnest('{0,1,2}'::smallint[]) AS level
	GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
	ON CONFLICT (grain, level, bucket, server_id, tool_id) DO UPDATE SET calls = r.calls + excluded.calls,
		errors = r.errors + excluded.errors, duration_ms = r.duration_ms + excluded.duration_ms
$$;

-- Rows have left these keys: when is the newest of those that remain?  Lists rely on it.
CREATE FUNCTION execution_counts_look_again(tools text[], callers text[], outcomes text[]) RETURNS void
LANGUAGE sql AS $$
	UPDATE execution_counts c SET last_at = newest.at
	FROM (SELECT DISTINCT * FROM unnest(tools, callers, outcomes)) AS k (tool, caller, outcome) CROSS JOIN LATERAL
		(SELECT e.started_at AS at FROM executions e WHERE e.tool_id = k.tool AND e.executed_by = k.caller
			AND e.outcome = k.outcome AND e.started_at IS NOT NULL
			ORDER BY e.started_at DESC, e.call_id DESC LIMIT 1) AS newest
	WHERE c.tool_id = k.tool AND c.executed_by = k.caller AND c.outcome = k.outcome AND c.last_at <> newest.at
$$;

-- One transaction counts at a time, until it ends: two that met the same rows in another order would wait for each
-- other.  The number spells "counts".
CREATE FUNCTION executions_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM new_rows WHERE started_at IS NOT NULL) THEN
		RETURN NULL;
	END IF;
	PERFORM pg_advisory_xact_lock(x'636f756e7473'::bigint);
	INSERT INTO execution_counts AS c SELECT tool_id, server_id, tool_name, executed_by, outcome, count(*), count(*),
		sum(coalesce(duration_ms, 0)), max(started_at)
		FROM new_rows WHERE started_at IS NOT NULL GROUP BY 1, 2, 3, 4, 5
	ON CONFLICT (tool_id, server_id, tool_name, executed_by, outcome) DO UPDATE SET kept = c.kept + excluded.kept,
		calls = c.calls + excluded.calls, duration_ms = c.duration_ms + excluded.duration_ms,
		last_at = greatest(c.last_at, excluded.last_at);
	PERFORM execution_rollup_add(array_agg(server_id), array_agg(tool_id), array_agg(tool_name), array_agg(ended_at),
		array_agg(outcome <> 'ok'), array_agg(coalesce(duration_ms, 0)))
		FROM new_rows WHERE started_at IS NOT NULL AND ended_at IS NOT NULL;
	RETURN NULL;
END $$;

CREATE FUNCTION executions_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM new_rows WHERE started_at IS NOT NULL) THEN
		RETURN NULL;
	END IF;
	PERFORM pg_advisory_xact_lock(x'636f756e7473'::bigint);
	INSERT INTO execution_counts AS c SELECT tool_id, server_id, tool_name, executed_by, outcome, sum(n), sum(n),
		sum(n * coalesce(duration_ms, 0)), max(started_at)
		FROM (SELECT 1 AS n, * FROM new_rows UNION ALL SELECT -1, * FROM old_rows) AS moved
		WHERE started_at IS NOT NULL GROUP BY 1, 2, 3, 4, 5
		HAVING sum(n) <> 0 OR sum(n * coalesce(duration_ms, 0)) <> 0
	ON CONFLICT (tool_id, server_id, tool_name, executed_by, outcome) DO UPDATE SET kept = c.kept + excluded.kept,
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

CREATE FUNCTION executions_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM old_rows WHERE started_at IS NOT NULL) THEN
		RETURN NULL;
	END IF;
	PERFORM pg_advisory_xact_lock(x'636f756e7473'::bigint);
	UPDATE execution_counts c SET kept = c.kept - gone.n
		FROM (SELECT tool_id, server_id, tool_name, executed_by, outcome, count(*) AS n FROM old_rows
			WHERE started_at IS NOT NULL GROUP BY 1, 2, 3, 4, 5) AS gone
		WHERE (c.tool_id, c.server_id, c.tool_name, c.executed_by, c.outcome)
			= (gone.tool_id, gone.server_id, gone.tool_name, gone.executed_by, gone.outcome);
	PERFORM execution_counts_look_again(array_agg(tool_id), array_agg(executed_by), array_agg(outcome))
		FROM old_rows WHERE started_at IS NOT NULL;
	RETURN NULL;
END $$;

CREATE TRIGGER executions_added AFTER INSERT ON executions REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION executions_added();
CREATE TRIGGER executions_changed AFTER UPDATE ON executions REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION executions_changed();
CREATE TRIGGER executions_removed AFTER DELETE ON executions REFERENCING OLD TABLE AS old_rows
	FOR EACH STATEMENT EXECUTE FUNCTION executions_removed();

-- What is there already, in pieces, for the arrays lie in memory.
INSERT INTO execution_counts SELECT tool_id, server_id, tool_name, executed_by, outcome, count(*), count(*),
	sum(coalesce(duration_ms, 0)), max(started_at) FROM executions WHERE started_at IS NOT NULL GROUP BY 1, 2, 3, 4, 5;
SELECT execution_rollup_add(array_agg(server_id), array_agg(tool_id), array_agg(tool_name), array_agg(ended_at),
	array_agg(outcome <> 'ok'), array_agg(coalesce(duration_ms, 0)))
	FROM executions WHERE started_at IS NOT NULL AND ended_at IS NOT NULL GROUP BY date_trunc('day', ended_at), tool_id;
