-- Activity is no store of its own: it is what the audit, the calls and the outbound requests say, as one view.
DROP TABLE activity;

CREATE FUNCTION audit_log_type(topic text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT CASE WHEN topic = 'batch' THEN 'batch'
		WHEN topic LIKE 'instance.%' OR topic = 'logs.expired' THEN 'system'
		WHEN topic IN ('sandbox.killed', 'tool.refused', 'bus.refused', 'egress.refused', 'access.refused', 'auth.locked')
			THEN 'alert'
		ELSE 'audit' END
$$;
CREATE FUNCTION audit_log_server(object_kind text, object_id text, detail jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT coalesce(detail ->> 'server_id', CASE WHEN object_kind = 'server' THEN object_id END)
$$;
CREATE INDEX audit_log_of_type ON audit_log (audit_log_type(topic), at);
CREATE INDEX audit_log_object ON audit_log (object_id) WHERE topic <> 'batch';
CREATE INDEX audit_log_of_server ON audit_log (audit_log_server(object_kind, object_id, detail)) WHERE topic <> 'batch';
CREATE INDEX audit_log_call ON audit_log ((detail ->> 'call_id')) WHERE topic <> 'batch';
CREATE INDEX tools_id_text ON tools ((id::text));
CREATE INDEX executions_by_end ON executions (ended_at);
CREATE INDEX executions_by_server_end ON executions (server_id, ended_at);
CREATE INDEX egress_requests_bad ON egress_requests (at) WHERE decision = 'denied' OR coalesce(error, '') <> '';

-- Each branch has its type, and most their level, as constants, so that a filter leaves out whole branches; each is in
-- the order of created_at by an index of its own.  server_key and object_id are what a server is found by.
CREATE VIEW activity AS
	SELECT 'a' || seq AS id, seq, NULL::bigint AS batch, NULL::bigint AS no, object_id,
		audit_log_server(object_kind, object_id, detail) AS server_key,
		coalesce(audit_log_server(object_kind, object_id, detail),
			(SELECT t.server_id::text FROM tools t WHERE t.id::text = object_id)) AS server_id,
		'audit'::text AS log_type, CASE outcome WHEN 'ok' THEN 'info' WHEN 'refused' THEN 'warning' ELSE 'error' END AS level,
		topic || ' by ' || actor || ': ' || object_kind || ' ' || object_id
			|| CASE outcome WHEN 'ok' THEN '' ELSE ' (' || outcome || ')' END AS message,
		jsonb_build_object('topic', topic, 'actor', actor, 'via', via, 'object_kind', object_kind, 'object_id', object_id,
			'outcome', outcome, 'detail', detail)::text
			AS details,
		detail ->> 'call_id' AS request_id, NULL::bigint AS duration_ms, at AS created_at
	FROM audit_log
	WHERE audit_log_type(topic) = 'audit' AND topic <> 'batch'
UNION ALL
	SELECT 'a' || seq, seq, NULL::bigint, NULL::bigint, object_id, audit_log_server(object_kind, object_id, detail),
		coalesce(audit_log_server(object_kind, object_id, detail),
			(SELECT t.server_id::text FROM tools t WHERE t.id::text = object_id)),
		'alert'::text, CASE outcome WHEN 'ok' THEN 'info' WHEN 'refused' THEN 'warning' ELSE 'error' END,
		topic || ' by ' || actor || ': ' || object_kind || ' ' || object_id
			|| CASE outcome WHEN 'ok' THEN '' ELSE ' (' || outcome || ')' END,
		jsonb_build_object('topic', topic, 'actor', actor, 'via', via, 'object_kind', object_kind, 'object_id', object_id,
			'outcome', outcome, 'detail', detail)::text,
		detail ->> 'call_id', NULL::bigint, at
	FROM audit_log WHERE audit_log_type(topic) = 'alert' AND topic <> 'batch'
UNION ALL
	SELECT 'a' || seq, seq, NULL::bigint, NULL::bigint, object_id, audit_log_server(object_kind, object_id, detail),
		NULL::text, 'system'::text, CASE outcome WHEN 'ok' THEN 'info' WHEN 'refused' THEN 'warning' ELSE 'error' END,
		topic || ' by ' || actor || ': ' || object_kind || ' ' || object_id
			|| CASE outcome WHEN 'ok' THEN '' ELSE ' (' || outcome || ')' END,
		jsonb_build_object('topic', topic, 'actor', actor, 'via', via, 'object_kind', object_kind, 'object_id', object_id,
			'outcome', outcome, 'detail', detail - 'batches')::text,
		detail ->> 'call_id', NULL::bigint, at
	FROM audit_log WHERE audit_log_type(topic) = 'system' AND topic <> 'batch'
UNION ALL
	SELECT 'b' || start_batch || '.' || start_no, NULL::bigint, start_batch, start_no, NULL::text, server_id, server_id,
		'mcp_request'::text, 'info'::text, 'tools/call ' || tool_name,
		jsonb_build_object('method', 'tools/call', 'tool', tool_name, 'tool_id', tool_id, 'version', version,
			'arguments', input_args, 'executed_by', nullif(executed_by, ''), 'via', via, 'is_test', is_test)::text,
		call_id, NULL::bigint, started_at
	FROM executions WHERE started_at IS NOT NULL AND start_batch IS NOT NULL
UNION ALL
	SELECT 'b' || end_batch || '.' || end_no, NULL::bigint, end_batch, end_no, NULL::text, server_id, server_id,
		'mcp_response'::text, 'info'::text, coalesce(tool_name, 'a call') || ': ok',
		jsonb_build_object('success', true, 'outcome', outcome, 'tool', tool_name, 'tool_id', tool_id, 'executor', executor,
			'cpu_ms', cpu_ms, 'memory_kb', memory_kb, 'is_test', is_test)::text,
		call_id, duration_ms, ended_at
	FROM executions WHERE outcome = 'ok' AND ended_at IS NOT NULL AND end_batch IS NOT NULL
UNION ALL
	SELECT 'b' || end_batch || '.' || end_no, NULL::bigint, end_batch, end_no, NULL::text, server_id, server_id,
		'mcp_response'::text, 'error'::text,
		coalesce(tool_name, 'a call') || ': ' || outcome || coalesce(': ' || nullif(left(error, 500), ''), ''),
		jsonb_build_object('success', false, 'outcome', outcome, 'error', left(error, 500), 'tool', tool_name,
			'tool_id', tool_id, 'executor', executor, 'cpu_ms', cpu_ms, 'memory_kb', memory_kb, 'is_test', is_test)::text,
		call_id, duration_ms, ended_at
	FROM executions WHERE outcome NOT IN ('', 'ok') AND ended_at IS NOT NULL AND end_batch IS NOT NULL
UNION ALL
	SELECT 'b' || batch || '.' || no, NULL::bigint, batch, no, NULL::text, server_id, server_id,
		'network'::text, 'info'::text, method || ' ' || host || ':' || port || path || ' ' || status,
		jsonb_build_object('tool', tool_name, 'tool_id', tool_id, 'method', method, 'host', host, 'port', port, 'path', path,
			'status', status, 'decision', decision, 'rule', rule, 'bytes_out', bytes_out, 'bytes_in', bytes_in)::text,
		call_id, total_ms, at
	FROM egress_requests WHERE stage = 'finished' AND NOT (decision = 'denied' OR coalesce(error, '') <> '')
UNION ALL
	SELECT 'b' || batch || '.' || no, NULL::bigint, batch, no, NULL::text, server_id, server_id,
		'network'::text, CASE decision WHEN 'denied' THEN 'warning' ELSE 'error' END,
		method || ' ' || host || ':' || port || path || ' ' || decision || coalesce(': ' || nullif(error, ''), ''),
		jsonb_build_object('tool', tool_name, 'tool_id', tool_id, 'method', method, 'host', host, 'port', port, 'path', path,
			'status', status, 'decision', decision, 'rule', rule, 'bytes_out', bytes_out, 'bytes_in', bytes_in,
			'error', error)::text,
		call_id, total_ms, at
	FROM egress_requests WHERE stage = 'finished' AND (decision = 'denied' OR coalesce(error, '') <> '');

-- Outbound requests per ten minutes: all (level 3 of execution_rollup), of each server (4); those denied (5, 6).
CREATE FUNCTION egress_requests_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM new_rows WHERE stage = 'finished') THEN
		RETURN NULL;
	END IF;
	PERFORM pg_advisory_xact_lock(x'636f756e7473'::bigint);
	INSERT INTO execution_rollup AS r (grain, level, bucket, server_id, tool_id, tool_name, calls, errors, duration_ms)
	SELECT 10, level, date_bin('10 minutes', at, 'epoch'), CASE WHEN level IN (4, 6) THEN coalesce(server_id, '') ELSE '' END,
		'', '', count(*), count(*) FILTER (WHERE decision <> 'denied' AND coalesce(error, '') <> ''),
		sum(coalesce(total_ms, 0))
	FROM new_rows CROSS JOIN unnest('{3,4,5,6}'::smallint[]) AS level
	WHERE stage = 'finished' AND (level < 5 OR decision = 'denied') GROUP BY 2, 3, 4 ORDER BY 2, 3, 4
	ON CONFLICT (grain, level, bucket, server_id, tool_id) DO UPDATE SET calls = r.calls + excluded.calls,
		errors = r.errors + excluded.errors, duration_ms = r.duration_ms + excluded.duration_ms;
	RETURN NULL;
END $$;
CREATE TRIGGER egress_requests_added AFTER INSERT ON egress_requests REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION egress_requests_added();
INSERT INTO execution_rollup
	SELECT 10, level, date_bin('10 minutes', at, 'epoch'), CASE WHEN level IN (4, 6) THEN coalesce(server_id, '') ELSE '' END,
		'', '', count(*), count(*) FILTER (WHERE decision <> 'denied' AND coalesce(error, '') <> ''),
		sum(coalesce(total_ms, 0))
	FROM egress_requests CROSS JOIN unnest('{3,4,5,6}'::smallint[]) AS level
	WHERE stage = 'finished' AND (level < 5 OR decision = 'denied') GROUP BY 2, 3, 4;
