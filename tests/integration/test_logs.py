"""Logs of calls, their counts, the dashboard, retention and activity: the real registry on a real PostgreSQL."""

import datetime
import itertools
import json
import random
import secrets
import threading

import pytest

from registry_harness import Cluster, Refused, Registry


@pytest.fixture(scope="module")
def cluster():
    made = Cluster()
    yield made
    made.remove()


@pytest.fixture
def registry(cluster):
    made = Registry(cluster)
    made.log_in()
    yield made
    made.close()


NOW = datetime.datetime.now(datetime.timezone.utc)


def ago(**delta):
    return (NOW - datetime.timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def started(call_id, at, **more):
    return {"kind": "call_started", "at": at, "call_id": call_id,
            "call": {"tool_id": "t1", "server_id": "s1", "tool_name": "hello", "version": 1, "via": "mcp-local",
                     "input_args": {"name": "you"}, **more}}


def ended(call_id, at, outcome="ok", duration_ms=10, **more):
    return {"kind": "call_ended", "at": at, "call_id": call_id,
            "call": {"outcome": outcome, "duration_ms": duration_ms, **more}}


def ship(r, records, origin=None):
    for no, record in enumerate(records, 1):
        record["no"] = no
    r.gateway("SHIP_RECORDS", origin=origin or "gateway-" + secrets.token_hex(4), records=records)


def whole(call_id, at, outcome="ok", duration_ms=10, error="", **more):
    return [started(call_id, at, **more), ended(call_id, at, outcome, duration_ms, error=error)]


def counted_anew(r):
    """What the triggers should have arrived at, for calls of which none was removed."""
    counts = r.sql("SELECT tool_id, server_id, tool_name, executed_by, outcome, count(*), count(*),"
                   " sum(coalesce(duration_ms, 0)), max(started_at) FROM executions WHERE started_at IS NOT NULL"
                   " GROUP BY 1, 2, 3, 4, 5 ORDER BY tool_id, executed_by, outcome")
    rollup = []
    for grain, level in itertools.product((10, 60, 1440), (0, 1, 2)):
        server = "server_id" if level > 0 else "''"
        tool = "tool_id" if level > 1 else "''"
        rollup.append(r.sql(
            f"SELECT {grain}, {level}, date_bin('{grain} minutes', ended_at, 'epoch') AS bucket, {server} AS s,"
            f" {tool} AS t, count(*), count(*) FILTER (WHERE outcome <> 'ok'), sum(coalesce(duration_ms, 0))"
            " FROM executions WHERE started_at IS NOT NULL AND ended_at IS NOT NULL"
            " GROUP BY bucket, s, t ORDER BY bucket, s, t"))
    return counts, "\n".join(filter(None, rollup))


def as_counted(r):
    return (r.sql("SELECT * FROM execution_counts WHERE kept <> 0 OR calls <> 0 OR duration_ms <> 0"
                  " ORDER BY tool_id, executed_by, outcome"),
            r.sql("SELECT grain, level, bucket, server_id, tool_id, calls, errors, duration_ms FROM execution_rollup"
                  " ORDER BY grain, level, bucket, server_id, tool_id"))


# ---- counts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_counts_are_those_of_the_rows_however_the_batches_came(registry, seed):
    """Starts and ends in any order, split over batches, twice, lost."""
    chance = random.Random(seed)
    records = []
    for i in range(60):
        at = ago(minutes=chance.randrange(5000))
        key = chance.randrange(4)
        start = started(f"c{i}", at, tool_id=f"t{key}", server_id=f"s{key // 2}", tool_name=f"tool{key}",
                        executed_by=chance.choice(["", "eve"]))
        end = ended(f"c{i}", at, chance.choice(["ok", "ok", "timeout"]), chance.randrange(100))
        kept = chance.choice([[start, end], [start, end], [start], [end], [start, start], [start, end, end]])
        records += [dict(record) for record in kept]
    chance.shuffle(records)
    while records:
        n = chance.randrange(1, 30)
        ship(registry, records[:n])
        records = records[n:]
    assert as_counted(registry) == counted_anew(registry)
    registry.sql("DELETE FROM executions WHERE call_id < 'c3'")
    kept = "SELECT sum(kept) FROM execution_counts"
    assert registry.sql(kept) == registry.sql("SELECT count(*) FROM executions WHERE started_at IS NOT NULL")


def test_batches_of_several_gateways_at_once_are_counted_without_loss(registry):
    r, failures = registry, []

    def gateway(number):
        asker = r.new_asker()
        try:
            for batch in range(8):
                records = []
                for i in range(6):
                    call_id, tool = f"g{number}-{batch}-{i}", f"t{(i * (number + 1) + batch) % 3}"
                    records += whole(call_id, ago(minutes=1), tool_id=tool) if i % 2 else [
                        started(call_id, ago(minutes=1), tool_id=tool)]
                for no, record in enumerate(records, 1):
                    record["no"] = batch * 9 + no
                r.ask("gateway", "SYSTEM", "SHIP_RECORDS", {"origin": f"gateway-{number}", "records": records}, asker)
        except Exception as e:  # pylint: disable=broad-except
            failures.append(e)
    threads = [threading.Thread(target=gateway, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures
    assert r.sql("SELECT sum(kept) FROM execution_counts") == str(4 * 8 * 6)
    assert as_counted(r) == counted_anew(r)
    assert r.owner("VERIFY_AUDIT")["intact"]


# ---- lists ---------------------------------------------------------------------------------------


def fill(r, count, seed=1):
    """Calls as dictionaries, newest first."""
    chance = random.Random(seed)
    calls, records = [], []
    for i in range(count):
        key = chance.randrange(6)
        c = {"id": f"c{i:05d}", "tool_id": f"t{key}", "server_id": f"s{key // 3}", "tool_name": f"tool{key}",
             "executed_by": chance.choice(["", "eve", "bob"]), "outcome": chance.choice(["ok"] * 8 + ["timeout", ""])}
        c["at"] = ago(seconds=chance.randrange(3000))
        calls.append(c)
        records.append(started(c["id"], c["at"], **{k: c[k] for k in ("tool_id", "server_id", "tool_name", "executed_by")}))
        if c["outcome"]:
            records.append(ended(c["id"], c["at"], c["outcome"]))
    for i in range(0, len(records), 400):
        ship(r, records[i:i + 400])
    return sorted(calls, key=lambda c: (c["at"], c["id"]), reverse=True)


def test_lists_and_totals_are_right_for_every_choice_near_and_far(registry):
    r = registry
    calls = fill(r, 700)
    choices = {"tool_id": ["t1", "t9"], "server_id": ["s0"], "tool_name": ["TOOL", "ool4"], "success": [True, False],
               "executed_by": ["eve"]}
    matches = {"tool_id": lambda c, v: c["tool_id"] == v, "server_id": lambda c, v: c["server_id"] == v,
               "tool_name": lambda c, v: v.lower() in c["tool_name"], "executed_by": lambda c, v: c["executed_by"] == v,
               "success": lambda c, v: c["outcome"] != "" and (c["outcome"] == "ok") == v}
    for values in itertools.product(*([None, *v] for v in choices.values())):
        filters = {k: v for k, v in zip(choices, values) if v is not None}
        wanted = [c["id"] for c in calls if all(matches[k](c, v) for k, v in filters.items())]
        for page, size in ((1, 20), (3, 7), (4, 100), (99, 100)):
            found = r.admin("LIST_EXECUTIONS", page=page, page_size=size, **filters)
            assert found["total"] == len(wanted), filters
            assert [e["id"] for e in found["items"]] == wanted[(page - 1) * size:page * size], (filters, page, size)


def test_totals_say_what_is_kept_and_statistics_what_ever_was(registry):
    r = registry
    ship(r, whole("a", ago(hours=3)) + whole("b", ago(minutes=5), "timeout", 30, executed_by="eve")
         + [started("c", ago(minutes=1))])
    for period, wanted in ((1, 1), (4, 2), (24, 2), (25, 2), (8760, 2)):
        stats = r.admin("GET_EXECUTION_STATS", period_hours=period)
        assert stats["period_executions"] == wanted, period
    wanted = {"total_executions": 3, "successful": 1, "failed": 1, "avg_duration_ms": 20, "unique_tools": 1,
              "unique_users": 1, "period_executions": 2, "period_hours": 24}
    assert r.admin("GET_EXECUTION_STATS") == wanted
    r.sql("DELETE FROM executions WHERE call_id = 'a'")
    assert r.admin("LIST_EXECUTIONS")["total"] == 2 and r.admin("GET_EXECUTION_STATS") == wanted


# ---- dashboard -----------------------------------------------------------------------------------


def test_the_dashboard_has_the_figures_of_its_period(registry):
    r = registry
    ids = [r.llm("CREATE_SERVER", name=f"server_{i}")["id"] for i in range(11)]
    hello = {"server_id": ids[-1], "tool_id": "t1"}
    ship(r, whole("now", ago(minutes=1), duration_ms=30, **hello)
         + whole("bad", ago(minutes=2), "timeout", 50, "too " + "x" * 300, **hello)
         + whole("5h", ago(hours=5), server_id=ids[-1], tool_id="t2", tool_name="other", duration_ms=10)
         + whole("20h", ago(hours=20), server_id="gone", tool_id="t3", tool_name="third")
         + whole("6d", ago(days=6), "crash", server_id=ids[0], tool_id="t4", tool_name="fourth")
         + whole("9d", ago(days=9), **hello) + [started("r", ago(minutes=3), **hello)])
    for period, calls, errors in (("1h", 2, 1), ("6h", 3, 1), ("24h", 4, 1), ("", 4, 1), ("7d", 5, 2)):
        page = r.admin("GET_DASHBOARD", period=period)
        stats = page["stats"]
        assert (stats["total_requests_24h"], stats["total_errors_24h"]) == (calls, errors), period
        assert sum(p["value"] for p in page["requests_over_time"]) == calls
        assert sum(p["value"] for p in page["errors_over_time"]) == errors
        steps = {b - a for a, b in itertools.pairwise(datetime.datetime.fromisoformat(p["timestamp"][:-1])
                                                      for p in page["requests_over_time"])}
        assert steps == {datetime.timedelta(minutes=10 if period in ("1h", "6h") else 60)}
        assert sum(t["invocations"] for t in page["top_tools"]) == calls
        assert page["period"] == (period or "24h")
        assert len(page["recent_errors"]) == errors
    assert stats["error_rate_24h"] == 40 and page["stats"]["total_servers"] == 11
    page = r.admin("GET_DASHBOARD")
    assert page["stats"]["avg_response_time_ms"] == 25
    assert [s["name"] for s in page["servers"]] == [f"server_{i}" for i in range(10, 0, -1)], "the newest ten"
    assert (page["servers"][0]["requests_24h"], page["servers"][0]["errors_24h"]) == (3, 1)
    assert {t["tool_name"]: (t["server_name"], t["invocations"], t["avg_duration_ms"]) for t in page["top_tools"]} == {
        "hello": ("server_10", 2, 40), "other": ("server_10", 1, 10), "third": (None, 1, 10)}
    error = page["recent_errors"][0]
    assert (error["message"], error["server_name"], error["tool_name"]) == (("too " + "x" * 300)[:200], "server_10", "hello")
    with pytest.raises(Refused, match="1h, 6h, 24h or 7d"):
        r.admin("GET_DASHBOARD", period="2h")


def test_a_deleted_servers_calls_stay_and_are_found_by_its_id(registry):
    r = registry
    server = r.llm("CREATE_SERVER", name="brief")["id"]
    ship(r, whole("a", ago(minutes=1), server_id=server))
    r.llm("DELETE_SERVER", server_id=server)
    assert [e["id"] for e in r.admin("LIST_EXECUTIONS", server_id=server)["items"]] == ["a"]
    page = r.admin("GET_DASHBOARD")
    assert page["servers"] == [] and page["stats"]["total_requests_24h"] == 1


# ---- retention -----------------------------------------------------------------------------------


@pytest.fixture
def quick(cluster, monkeypatch):
    """A registry whose retention runs ten times a second."""
    monkeypatch.setenv("MCPBOX_REGISTRY_RETENTION", "100ms")
    made = Registry(cluster)
    made.log_in()
    yield made
    made.close()


def until(claim):
    for _ in range(400):
        if claim():
            return
        threading.Event().wait(0.05)
    assert claim()


def outbound(no, at, call_id="x"):
    return {"no": no, "at": at, "kind": "egress", "call_id": call_id,
            "egress": {"tool_id": "t1", "server_id": "s1", "tool_name": "hello", "method": "GET", "host": "a.example",
                       "port": 443, "path": "/", "status": 200, "decision": "allowed", "rule": "a.example"}}


def kept(r):
    return r.sql("SELECT string_agg(call_id, ' ' ORDER BY call_id) FROM executions")


def test_what_is_older_than_the_policy_goes_and_the_chain_says_so(quick):
    r = quick
    old, new = ago(days=40), ago(days=2)
    ship(r, whole("old", old) + whole("new", new) + [started("lost", old)])
    ship(r, [ended("startless", old)] + whole("older", ago(days=400)))
    ship(r, whole("fresh", ago(minutes=1)))
    r.ask("egress", "SYSTEM", "SHIP_RECORDS", {"origin": "egress-1", "records": [outbound(1, old), outbound(2, new)]})
    until(lambda: kept(r) == "fresh new" and r.sql("SELECT count(*) FROM egress_requests") == "1")
    assert r.admin("LIST_EXECUTIONS")["total"] == 2
    assert r.admin("GET_EXECUTION_STATS")["total_executions"] == 5, "statistics remember"
    verdict = r.owner("VERIFY_AUDIT")
    assert verdict["intact"] and verdict["past_retention_batches"] == 3
    assert verdict["past_retention"] in ("1-2, 4", "1-2, 5"), verdict
    expired = r.owner("LIST_AUDIT", limit=500, topics=["logs.expired"])["events"]
    assert sum(e["detail"]["calls"] for e in expired) == 4 and sum(e["detail"]["requests"] for e in expired) == 1
    assert {e["detail"]["reason"] for e in expired} == {"age"} and expired[0]["actor"] == "system:registry"
    assert any(None in e["detail"]["batches"].values() for e in expired), "nothing is left of the second"
    r.admin("UPDATE_SECURITY_POLICY", log_retention_days=1)
    until(lambda: kept(r) == "fresh")
    assert r.owner("VERIFY_AUDIT")["intact"]


def test_of_each_tool_the_newest_calls_are_kept(quick):
    r = quick
    r.admin("UPDATE_SECURITY_POLICY", execution_log_keep=3)
    records = []
    for i in range(12):
        records += whole(f"a{i:02d}", ago(minutes=60 - i), "ok" if i % 3 else "timeout", executed_by="eve" * (i % 2))
    for i in range(3):
        records += whole(f"b{i}", ago(minutes=90 - i), tool_id="t2")
    ship(r, records[:9])
    ship(r, records[9:])
    until(lambda: kept(r) == "a09 a10 a11 b0 b1 b2")
    assert r.admin("LIST_EXECUTIONS", tool_id="t1")["total"] == 3
    verdict = r.owner("VERIFY_AUDIT")
    assert verdict["intact"] and verdict["past_retention_batches"] == 2
    ship(r, whole("a12", ago(minutes=1)))
    until(lambda: kept(r) == "a10 a11 a12 b0 b1 b2")
    assert r.owner("VERIFY_AUDIT")["intact"], "a batch can be trimmed more than once"


@pytest.mark.parametrize("harm", [
    "DELETE FROM executions WHERE call_id = 'new'",
    "UPDATE executions SET result = 'other' WHERE call_id = 'new'",
    "INSERT INTO executions SELECT 'more', start_batch, 9, started_at, tool_id, server_id, tool_name, version FROM executions",
])
def test_what_retention_left_is_still_proven(quick, harm):
    r = quick
    ship(r, whole("old", ago(days=40)) + whole("new", ago(days=2)))
    until(lambda: kept(r) == "new")
    batch = r.owner("LIST_AUDIT", limit=500, topics=["batch"])["events"][0]["seq"]
    assert r.owner("VERIFY_AUDIT")["intact"]
    r.sql(harm)
    verdict = r.owner("VERIFY_AUDIT")
    assert (verdict["intact"], verdict["first_bad_seq"]) == (False, batch)


def test_an_altered_batch_is_evidence_and_stays(quick, cluster):
    r = quick
    r.admin("UPDATE_SECURITY_POLICY", log_retention_days=3650)
    ship(r, whole("bad", ago(days=40)) + whole("beside", ago(days=40)))
    ship(r, whole("good", ago(days=39)))
    r.sql("UPDATE executions SET outcome = 'timeout' WHERE call_id = 'bad'")
    broken = r.owner("VERIFY_AUDIT")
    assert not broken["intact"]
    r.admin("UPDATE_SECURITY_POLICY", log_retention_days=30)
    until(lambda: kept(r) == "bad beside")
    ship(r, whole("next", ago(days=38)))
    until(lambda: kept(r) == "bad beside")
    assert r.owner("VERIFY_AUDIT")["first_bad_seq"] == broken["first_bad_seq"]
    assert r.sql("SELECT count(*) FROM altered_batches") == "1"


def test_a_forged_row_of_retention_is_no_excuse(registry):
    """Somebody with the database takes a call away and adds a row of the audit that says so."""
    r = registry
    ship(r, whole("a", ago(minutes=2)) + whole("b", ago(minutes=1)))
    r.sql("DELETE FROM executions")
    r.sql("INSERT INTO audit_log SELECT 100000, at, 'logs.expired', 'system:registry', 'bus', 'batches', '1-1', 'ok',"
          " '{\"batches\": {\"1\": null}}', hash, hash FROM audit_log ORDER BY seq DESC LIMIT 1")
    assert not r.owner("VERIFY_AUDIT")["intact"]


def test_an_administrator_takes_old_calls_away_at_once(registry):
    r = registry
    ship(r, whole("old", ago(days=9)) + whole("week", ago(days=6)) + whole("new", ago(hours=1)))
    r.ask("egress", "SYSTEM", "SHIP_RECORDS", {"origin": "egress-1", "records": [outbound(1, ago(days=9))]})
    assert r.admin("DELETE_ACTIVITY") == {"deleted_count": 2, "retention_days": 7, "more": False}
    assert kept(r) == "new week"
    assert r.admin("DELETE_ACTIVITY", retention_days=1)["deleted_count"] == 1
    event = r.owner("LIST_AUDIT", limit=500, topics=["logs.expired"])["events"][0]
    assert (event["actor"], event["detail"]["reason"]) == ("anna", "asked")
    for days in (0, 91):
        with pytest.raises(Refused, match="from 1 to 90"):
            r.admin("DELETE_ACTIVITY", retention_days=days)
    assert r.owner("VERIFY_AUDIT")["intact"]
    r.admin("CREATE_USER", username="rita", password="correct horse battery", role="reviewer")
    r.log_in("rita")
    with pytest.raises(Refused) as refused:
        r.admin("DELETE_ACTIVITY")
    assert refused.value.code == "denied" and kept(r) == "new"


def test_calls_are_written_down_while_retention_runs(quick):
    r = quick
    r.admin("UPDATE_SECURITY_POLICY", execution_log_keep=1)
    for batch in range(30):
        ship(r, [record for i in range(20) for record in whole(f"c{batch:02d}{i:02d}", ago(seconds=600 - batch * 20 - i))])
    until(lambda: kept(r) == "c2919")
    assert r.admin("GET_EXECUTION_STATS")["total_executions"] == 600
    assert r.owner("VERIFY_AUDIT")["intact"]


def test_buckets_that_nothing_needs_any_more_go(quick):
    r = quick
    r.admin("UPDATE_SECURITY_POLICY", log_retention_days=3650)
    ship(r, whole("a", ago(days=3)) + whole("b", ago(days=12)) + whole("c", ago(days=380)) + whole("d", ago(hours=2)))
    grains = "SELECT string_agg(n, ' ') FROM (SELECT grain || ':' || level || ':' || count(*) AS n FROM execution_rollup" \
             " GROUP BY grain, level ORDER BY grain, level) x"
    until(lambda: r.sql(grains) == "10:0:1 10:1:1 10:2:1 60:0:3 60:1:2 60:2:2 1440:0:4 1440:1:4 1440:2:4")
    assert r.admin("GET_EXECUTION_STATS", period_hours=24 * 20)["period_executions"] == 3


# ---- activity ------------------------------------------------------------------------------------


def busy_hour(r):
    """A server with a tool, calls of it, requests of those."""
    server = r.llm("CREATE_SERVER", name="news")["id"]
    ship(r, whole("c1", ago(minutes=9), server_id=server, executed_by="eve")
         + whole("c2", ago(minutes=7), "memory", 40, "memory limit exceeded", server_id=server), origin="gateway-1")
    records = [outbound(1, ago(minutes=8), "c1"), outbound(2, ago(minutes=6), "c2"), outbound(3, ago(minutes=5), "c2")]
    records[1]["egress"].update(decision="denied", status=0)
    records[2]["egress"].update(error="connection refused", status=0)
    for record in records:
        record["egress"]["server_id"] = server
    r.ask("egress", "SYSTEM", "SHIP_RECORDS", {"origin": "egress-1", "records": records})
    return server


def rows(r, **filters):
    return r.admin("LIST_ACTIVITY", **filters)["items"]


def test_activity_is_what_audit_calls_and_requests_say(registry):
    r = registry
    server = busy_hour(r)
    found = r.admin("LIST_ACTIVITY", page_size=200)
    times = [row["created_at"] for row in found["items"]]
    assert times == sorted(times, reverse=True) and found["total"] == len(times) and found["total_is_exact"]
    of_server = [(row["log_type"], row["level"], row["request_id"]) for row in rows(r, server_id=server)]
    assert sorted(of_server, key=str) == sorted([
        ("audit", "info", None), ("mcp_request", "info", "c1"), ("mcp_response", "info", "c1"),
        ("mcp_request", "info", "c2"), ("mcp_response", "error", "c2"), ("network", "info", "c1"),
        ("network", "warning", "c2"), ("network", "error", "c2")], key=str)
    assert all(row["server_id"] == server for row in rows(r, server_id=server))
    response = rows(r, log_type="mcp_response", level="error")
    assert len(response) == 1 and response[0]["duration_ms"] == 40
    assert response[0]["message"] == "hello: memory: memory limit exceeded"
    assert response[0]["details"]["success"] is False and response[0]["details"]["error"] == "memory limit exceeded"
    request = rows(r, log_type="mcp_request", request_id="c1")[0]
    assert (request["message"], request["details"]["executed_by"]) == ("tools/call hello", "eve")
    assert json.loads(request["details"]["arguments"]) == {"name": "you"}
    assert {row["log_type"] for row in rows(r, log_type="mcp_request,alert")} == {"mcp_request", "alert"}
    alert = rows(r, log_type="alert")[0]
    assert (alert["request_id"], alert["level"], alert["details"]["topic"]) == ("c2", "error", "sandbox.killed")
    assert {row["log_type"] for row in rows(r, request_id="c2")} == {"mcp_request", "mcp_response", "network", "alert"}
    assert [row["request_id"] for row in rows(r, search="MEMORY LIMIT")] == ["c2"]
    assert [row["created_at"] for row in rows(r, since=ago(minutes=7), until=ago(minutes=6))] == [
        ago(minutes=6), ago(minutes=7), ago(minutes=7)]
    for row in rows(r, page_size=200):
        assert r.admin("GET_ACTIVITY", activity_id=row["id"]) == row
    paged = [row["id"] for page in range(1, 30) for row in rows(r, page=page, page_size=1)]
    assert paged == [row["id"] for row in rows(r, page_size=200)][:29]
    assert r.admin("GET_RECENT_ACTIVITY", count=3)["logs"] == rows(r)[:3]
    assert r.admin("GET_REQUEST_ACTIVITY", request_id="c2")["count"] == 5


@pytest.mark.parametrize("filters, field", [
    ({"log_type": "calls"}, "log_type"), ({"level": "info,loud"}, "level"), ({"level": "info,"}, "level"),
    ({"page_size": 201}, "page_size"), ({"page": 300, "page_size": 50}, "page"), ({"search": "x" * 300}, "search"),
    ({"since": "2026-01-02T00:00:00.000Z", "until": "2026-01-01T00:00:00.000Z"}, "until"),
])
def test_what_activity_cannot_be_narrowed_to_is_refused(registry, filters, field):
    with pytest.raises(Refused) as refused:
        registry.admin("LIST_ACTIVITY", **filters)
    assert (refused.value.code, refused.value.field) == ("invalid", field)


def test_rows_of_the_audit_are_for_those_who_may_read_it(registry):
    r = registry
    busy_hour(r)
    audit = rows(r, log_type="audit")[0]["id"]
    r.admin("CREATE_USER", username="vera", password="correct horse battery", role="viewer")
    r.log_in("vera")
    assert {row["log_type"] for row in rows(r, page_size=200)} == {"mcp_request", "mcp_response", "network"}
    assert rows(r, log_type="audit") == [] and r.admin("GET_REQUEST_ACTIVITY", request_id="c2")["count"] == 4
    with pytest.raises(Refused, match="not found"):
        r.admin("GET_ACTIVITY", activity_id=audit)
    assert r.admin("GET_ACTIVITY_STATS")["by_type"]["audit"] == 0
    with pytest.raises(Refused):
        r.ask("gateway", "LOCAL", "LIST_ACTIVITY", {})


def test_activity_shows_nothing_that_retention_takes(registry):
    r = registry
    ship(r, whole("old", ago(days=3)) + whole("new", ago(hours=1)))
    assert len(rows(r, log_type="mcp_response")) == 2
    r.admin("UPDATE_SECURITY_POLICY", log_retention_days=2)
    assert [row["request_id"] for row in rows(r, log_type="mcp_response")] == ["new"]


def test_figures_of_activity_are_those_of_its_rows(registry):
    r = registry
    server = busy_hour(r)
    ship(r, whole("old", ago(hours=5), server_id=server))
    for filters in ({}, {"server_id": server}):
        listed = [row for row in rows(r, page_size=200, **filters) if row["request_id"] != "old"]
        stats = r.admin("GET_ACTIVITY_STATS", **filters)
        for kind in ("mcp_request", "mcp_response", "network", "alert", "system", "audit"):
            if filters and kind == "alert":
                continue  # of tools: by their ids
            assert stats["by_type"][kind] == sum(row["log_type"] == kind for row in listed), (kind, filters)
        assert stats["errors"] == stats["by_level"]["error"] and stats["by_level"]["warning"] >= 1
        assert stats["total"] == sum(stats["by_type"].values()) == sum(stats["by_level"].values())
        assert (stats["avg_duration_ms"], stats["requests_per_minute"]) == (25, 2 / 60)
    assert r.admin("GET_ACTIVITY_STATS", period="6h")["by_type"]["mcp_request"] == 3
    with pytest.raises(Refused, match="1h, 6h, 24h or 7d"):
        r.admin("GET_ACTIVITY_STATS", period="1y")


def follow(r, after, **filter_):
    got = []
    while True:
        reply = r.admin("GET_ACTIVITY_AFTER", after=after, filter=filter_)
        got += reply["items"]
        after = reply["cursor"]
        if not reply["more"]:
            return got, after


def test_a_follower_gets_each_row_once_from_wherever_it_was(registry):
    r = registry
    _, start = follow(r, "")
    busy_hour(r)
    everything, end = follow(r, start)
    assert len({row["id"] for row in everything}) == len(everything) == len(rows(r, page_size=200, since=ago(minutes=10))) - sum(
        row["details"]["topic"].startswith(("auth.", "instance.")) for row in rows(r, page_size=200)
        if row["log_type"] in ("audit", "system"))
    for i, row in enumerate(everything):
        assert follow(r, row["id"]) == (everything[i + 1:], end), "from any row on"
    assert follow(r, end) == ([], end)
    assert [row["level"] for row in follow(r, start, log_type="network")[0]] == ["info", "warning", "error"]
    for after in ("x1", "a", "b1", "b999.1"):
        with pytest.raises(Refused, match="no event"):
            follow(r, after)
