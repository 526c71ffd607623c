"""Logs of calls, their counts, the dashboard, retention and activity: the real registry on a real PostgreSQL."""

import datetime
import itertools
import json
import random
import secrets

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
                   " GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5")
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
                  " ORDER BY tool_id, server_id, tool_name, executed_by, outcome"),
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
    import threading
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
    ship(r, whole("now", ago(minutes=1), server_id=ids[-1], duration_ms=30)
         + whole("bad", ago(minutes=2), "timeout", 50, "too " + "x" * 300, server_id=ids[-1])
         + whole("5h", ago(hours=5), server_id=ids[-1], tool_id="t2", tool_name="other", duration_ms=10)
         + whole("20h", ago(hours=20), server_id="gone", tool_id="t3", tool_name="third")
         + whole("6d", ago(days=6), "crash", server_id=ids[0]) + whole("9d", ago(days=9)) + [started("r", ago(minutes=3))])
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
