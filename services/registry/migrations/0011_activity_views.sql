-- A view for each kind of row: lists take the newest of each by its own index, which the planner does not do for all of
-- them as one.
DROP VIEW activity;
CREATE INDEX executions_failed_of_server ON executions (server_id, ended_at) WHERE outcome NOT IN ('', 'ok');

CREATE VIEW activity_audit (id, seq, batch, no, object_id, server_key, server_id, log_type, level, message, details, request_id, duration_ms,
	created_at) AS
	SELECT 'a' || seq AS id, seq, NULL::bigint, NULL::bigint, object_id,
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
	WHERE audit_log_type(topic) = 'audit' AND topic <> 'batch';

CREATE VIEW activity_alert (id, seq, batch, no, object_id, server_key, server_id, log_type, level, message, details, request_id, duration_ms,
	created_at) AS
	SELECT 'a' || seq, seq, NULL::bigint, NULL::bigint, object_id, audit_log_server(object_kind, object_id, detail),
		coalesce(audit_log_server(object_kind, object_id, detail),
			(SELECT t.server_id::text FROM tools t WHERE t.id::text = object_id)),
		'alert'::text, CASE outcome WHEN 'ok' THEN 'info' WHEN 'refused' THEN 'warning' ELSE 'error' END,
		topic || ' by ' || actor || ': ' || object_kind || ' ' || object_id
			|| CASE outcome WHEN 'ok' THEN '' ELSE ' (' || outcome || ')' END,
		jsonb_build_object('topic', topic, 'actor', actor, 'via', via, 'object_kind', object_kind, 'object_id', object_id,
			'outcome', outcome, 'detail', detail)::text,
		detail ->> 'call_id', NULL::bigint, at
	FROM audit_log WHERE audit_log_type(topic) = 'alert' AND topic <> 'batch';

CREATE VIEW activity_system (id, seq, batch, no, object_id, server_key, server_id, log_type, level, message, details, request_id, duration_ms,
	created_at) AS
	SELECT 'a' || seq, seq, NULL::bigint, NULL::bigint, object_id, audit_log_server(object_kind, object_id, detail),
		NULL::text, 'system'::text, CASE outcome WHEN 'ok' THEN 'info' WHEN 'refused' THEN 'warning' ELSE 'error' END,
		topic || ' by ' || actor || ': ' || object_kind || ' ' || object_id
			|| CASE outcome WHEN 'ok' THEN '' ELSE ' (' || outcome || ')' END,
		jsonb_build_object('topic', topic, 'actor', actor, 'via', via, 'object_kind', object_kind, 'object_id', object_id,
			'outcome', outcome, 'detail', detail - 'batches')::text,
		detail ->> 'call_id', NULL::bigint, at
	FROM audit_log WHERE audit_log_type(topic) = 'system' AND topic <> 'batch';

CREATE VIEW activity_request (id, seq, batch, no, object_id, server_key, server_id, log_type, level, message, details, request_id, duration_ms,
	created_at) AS
	SELECT 'b' || start_batch || '.' || start_no, NULL::bigint, start_batch, start_no, NULL::text, server_id, server_id,
		'mcp_request'::text, 'info'::text, 'tools/call ' || tool_name,
		jsonb_build_object('method', 'tools/call', 'tool', tool_name, 'tool_id', tool_id, 'version', version,
			'arguments', input_args, 'executed_by', nullif(executed_by, ''), 'via', via, 'is_test', is_test)::text,
		call_id, NULL::bigint, started_at
	FROM executions WHERE started_at IS NOT NULL AND start_batch IS NOT NULL;

CREATE VIEW activity_answer (id, seq, batch, no, object_id, server_key, server_id, log_type, level, message, details, request_id, duration_ms,
	created_at) AS
	SELECT 'b' || end_batch || '.' || end_no, NULL::bigint, end_batch, end_no, NULL::text, server_id, server_id,
		'mcp_response'::text, 'info'::text, coalesce(tool_name, 'a call') || ': ok',
		jsonb_build_object('success', true, 'outcome', outcome, 'tool', tool_name, 'tool_id', tool_id, 'executor', executor,
			'cpu_ms', cpu_ms, 'memory_kb', memory_kb, 'is_test', is_test)::text,
		call_id, duration_ms, ended_at
	FROM executions WHERE outcome = 'ok' AND ended_at IS NOT NULL AND end_batch IS NOT NULL;

CREATE VIEW activity_failure (id, seq, batch, no, object_id, server_key, server_id, log_type, level, message, details, request_id, duration_ms,
	created_at) AS
	SELECT 'b' || end_batch || '.' || end_no, NULL::bigint, end_batch, end_no, NULL::text, server_id, server_id,
		'mcp_response'::text, 'error'::text,
		coalesce(tool_name, 'a call') || ': ' || outcome || coalesce(': ' || nullif(left(error, 500), ''), ''),
		jsonb_build_object('success', false, 'outcome', outcome, 'error', left(error, 500), 'tool', tool_name,
			'tool_id', tool_id, 'executor', executor, 'cpu_ms', cpu_ms, 'memory_kb', memory_kb, 'is_test', is_test)::text,
		call_id, duration_ms, ended_at
	FROM executions WHERE outcome NOT IN ('', 'ok') AND ended_at IS NOT NULL AND end_batch IS NOT NULL;

CREATE VIEW activity_network (id, seq, batch, no, object_id, server_key, server_id, log_type, level, message, details, request_id, duration_ms,
	created_at) AS
	SELECT 'b' || batch || '.' || no, NULL::bigint, batch, no, NULL::text, server_id, server_id,
		'network'::text, 'info'::text, method || ' ' || host || ':' || port || path || ' ' || status,
		jsonb_build_object('tool', tool_name, 'tool_id', tool_id, 'method', method, 'host', host, 'port', port, 'path', path,
			'status', status, 'decision', decision, 'rule', rule, 'bytes_out', bytes_out, 'bytes_in', bytes_in)::text,
		call_id, total_ms, at
	FROM egress_requests WHERE stage = 'finished' AND NOT (decision = 'denied' OR coalesce(error, '') <> '');

CREATE VIEW activity_network_bad (id, seq, batch, no, object_id, server_key, server_id, log_type, level, message, details, request_id, duration_ms,
	created_at) AS
	SELECT 'b' || batch || '.' || no, NULL::bigint, batch, no, NULL::text, server_id, server_id,
		'network'::text, CASE decision WHEN 'denied' THEN 'warning' ELSE 'error' END,
		method || ' ' || host || ':' || port || path || ' ' || decision || coalesce(': ' || nullif(error, ''), ''),
		jsonb_build_object('tool', tool_name, 'tool_id', tool_id, 'method', method, 'host', host, 'port', port, 'path', path,
			'status', status, 'decision', decision, 'rule', rule, 'bytes_out', bytes_out, 'bytes_in', bytes_in,
			'error', error)::text,
		call_id, total_ms, at
	FROM egress_requests WHERE stage = 'finished' AND (decision = 'denied' OR coalesce(error, '') <> '');

CREATE VIEW activity AS
	SELECT * FROM activity_audit
	UNION ALL SELECT * FROM activity_alert
	UNION ALL SELECT * FROM activity_system
	UNION ALL SELECT * FROM activity_request
	UNION ALL SELECT * FROM activity_answer
	UNION ALL SELECT * FROM activity_failure
	UNION ALL SELECT * FROM activity_network
	UNION ALL SELECT * FROM activity_network_bad;
