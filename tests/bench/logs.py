"""What people ask of the logs, and ten million calls to ask it of.

The calls are those of 30 days, of 1,000 tools of 50 servers and 30 callers; three in a hundred failed; a few tools are called
much more often than others.  They are written as rows (indexes are made afterwards), counted as the triggers count.
"""

import statistics
import time

ROWS = 10_000_000
SERVER = "00000000-0000-7000-8000-{:012d}"
TOOL = "tool-0000-0000-0000-{:016d}"

FILL = """
SET statement_timeout = 0;
ALTER TABLE executions DISABLE TRIGGER USER;
CREATE TEMP TABLE defined AS SELECT indexname, indexdef FROM pg_indexes
	WHERE tablename = 'executions' AND indexname <> 'executions_pkey';
DO $$ DECLARE i record; BEGIN
	FOR i IN SELECT indexname FROM defined LOOP EXECUTE 'DROP INDEX ' || i.indexname; END LOOP; END $$;
INSERT INTO servers (id, name, status) SELECT ('00000000-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid,
	'bench_' || i, 'running' FROM generate_series(0, 49) i;
INSERT INTO executions (call_id, start_batch, start_no, started_at, tool_id, server_id, tool_name, version, executor, is_test,
	executed_by, via, input_args, end_batch, end_no, ended_at, outcome, error, result, stdout, duration_ms, cpu_ms, memory_kb)
SELECT lpad(to_hex(i), 12, '0') || '-7000-8000-000000000000', i / 100 + 1, 2 * (i % 100) + 1, at,
	'tool-0000-0000-0000-' || lpad(t::text, 16, '0'), '00000000-0000-7000-8000-' || lpad((t / 20)::text, 12, '0'),
	'bench_tool_' || t, 1, 'executor-1', false, CASE WHEN i % 3 = 0 THEN '' ELSE 'user' || (i::bigint * 7919 % 30) || '@example.com' END,
	'mcp-local', '{"name":"number ' || i || '","limit":10}', i / 100 + 1, 2 * (i % 100) + 2,
	at + took * interval '1 millisecond', outcome, CASE outcome WHEN 'ok' THEN '' ELSE 'it did not like ' || i END,
	'{"content":["result number ' || i || '"]}', '', took, took / 2, 20000
FROM (SELECT i, now() - (ROWS - i) * (interval '30 days' / ROWS) AS at, (power(random(), 2) * 1000)::int % 1000 AS t,
	(random() * 200)::int AS took,
	CASE WHEN random() < 0.02 THEN 'tool_error' WHEN random() < 0.01 THEN 'timeout' ELSE 'ok' END AS outcome
	FROM generate_series(0, ROWS - 1) AS i) AS made;
DO $$ DECLARE i record; BEGIN FOR i IN SELECT indexdef FROM defined LOOP EXECUTE i.indexdef; END LOOP; END $$;
INSERT INTO execution_counts SELECT tool_id, max(server_id), max(tool_name), executed_by, outcome, count(*), count(*),
	sum(duration_ms), max(started_at) FROM executions GROUP BY tool_id, executed_by, outcome;
INSERT INTO execution_rollup SELECT grain, level, date_bin(grain * interval '1 minute', ended_at, 'epoch'),
	CASE WHEN level > 0 THEN server_id ELSE '' END, CASE WHEN level > 1 THEN tool_id ELSE '' END,
	max(CASE WHEN level > 1 THEN tool_name ELSE '' END), count(*), count(*) FILTER (WHERE outcome <> 'ok'), sum(duration_ms)
FROM executions CROSS JOIN unnest('{0,1,2}'::smallint[]) AS level CROSS JOIN unnest('{10,60,1440}'::smallint[]) AS grain
WHERE ended_at > now() - CASE grain WHEN 10 THEN interval '2 days' WHEN 60 THEN interval '9 days' ELSE interval '1 year' END
GROUP BY 1, 2, 3, 4, 5;
ALTER TABLE executions ENABLE TRIGGER USER;
UPDATE security_policy SET execution_log_keep = 10000000, log_retention_days = 3650;
"""

_OF_SERVER = "server_id=" + SERVER.format(49)
REQUESTS = {
    "dashboard, 24 hours": "/api/dashboard?period=24h",
    "dashboard, 7 days": "/api/dashboard?period=7d",
    "statistics of calls": "/api/execution-logs/stats",
    "statistics of activity, 7 days": "/api/activity/stats?period=7d",
    "calls, all": "/api/execution-logs",
    "calls of a server": f"/api/servers/{SERVER.format(49)}/execution-logs",
    "calls of a tool": f"/api/tools/{TOOL.format(7)}/logs",
    "calls, failed": "/api/execution-logs?success=false",
    "calls, tools by a part of their name": "/api/execution-logs?tool_name=_99",
    "calls, failed, of a caller on a server": f"/api/execution-logs?success=false&executed_by=user7@example.com&{_OF_SERVER}",
    "calls, all, page 1,000": "/api/execution-logs?page=1000",
    "activity, all": "/api/activity/logs",
    "activity of a server": f"/api/activity/logs?{_OF_SERVER}",
    "activity, errors": "/api/activity/logs?level=error",
    "activity, answers of a server that failed": f"/api/activity/logs?log_type=mcp_response&level=error&{_OF_SERVER}",
    "activity of one call": "/api/activity/request/00000000ffff-7000-8000-000000000000",
    "activity, a text among the newest": "/api/activity/logs?search=did+not+like",
}
TIMES = 10


def fill(sql):
    sql(FILL.replace("ROWS", str(ROWS)))
    sql("VACUUM ANALYZE")


def measure(ask):
    """name -> milliseconds of the median and of the slowest, after a first one that warms up."""
    results = {}
    for name, path in REQUESTS.items():
        ask("GET", path)
        took = []
        for _ in range(TIMES):
            began = time.perf_counter()
            ask("GET", path)
            took.append(1000 * (time.perf_counter() - began))
        results[name] = {"p50_ms": round(statistics.median(took), 1), "max_ms": round(max(took), 1)}
    return results
