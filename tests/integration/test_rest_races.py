"""Several people at once, each over a connection of its own: nothing that somebody did is lost, and nobody decides about
what he has not seen.  Whoever wins a race is open; what must hold whoever it is, is not."""

import json
import threading

import pytest

from test_rest import CODE, PASSWORD, Rest, cluster, data, published, rest  # noqa: F401

ROUNDS = 8


def together(*calls):
    """Run them in threads that begin at once; their results in order."""
    barrier, results = threading.Barrier(len(calls)), [None] * len(calls)

    def run(i, call):
        barrier.wait()
        results[i] = call()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert None not in results, "one of them failed"
    return results


def send(rest, method, path, body=None, token=None, **headers):
    """status, answer"""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return rest.admin.ask(method, path, body, token=token or rest.token, headers=named)[:2]


def audit(rest, topic, object_id):
    rows = rest.registry.sql("SELECT json_agg(json_build_object('outcome', outcome, 'actor', actor) ORDER BY seq) FROM audit_log"
                             f" WHERE topic = '{topic}' AND object_id = '{object_id}'")
    return json.loads(rows) if rows else []


def assert_one_won(answers, loser=409):
    assert sorted(status for status, _ in answers) == [200] + [loser] * (len(answers) - 1), answers
    return next(i for i, (status, _) in enumerate(answers) if status == 200)


def assert_stale(answer, revision):
    assert answer["code"] == "stale" and answer["current"]["revision"] > revision
    assert "; last: " in answer["detail"], "what came between is told"


# ---- decisions -----------------------------------------------------------------------------------


def test_of_two_who_decide_about_what_they_see_one_does(rest):
    ben = rest.add_user("ben", "reviewer")
    server_id, _ = rest.make_tool()
    for i in range(ROUNDS):
        tool_id = rest.add_tool(server_id, f"t{i}")
        rest.decide(tool_id, "submit_for_review")
        seen = rest("GET", f"/api/tools/{tool_id}")["revision"]
        path = f"/api/approvals/tools/{tool_id}/action"
        answers = together(
            lambda: send(rest, "POST", path, {"action": "approve", "revision": seen}),
            lambda: send(rest, "POST", path, {"action": "reject", "reason": "no"}, token=ben, If_Match=str(seen)))
        winner = assert_one_won(answers)
        assert_stale(answers[1 - winner][1], seen)
        tool = rest("GET", f"/api/tools/{tool_id}")
        assert tool["approval_status"] == ("approved", "rejected")[winner]
        assert (tool["live_version"], tool["revision"]) == ((1, None)[winner], seen + 1)
        assert answers[1 - winner][1]["current"]["approval_status"] == tool["approval_status"]
        outcomes = [(e["outcome"], e["actor"]) for topic in ("tool.approved", "tool.rejected") for e in audit(rest, topic, tool_id)]
        assert sorted(outcomes) == sorted([("ok", ("anna", "ben")[winner]), ("refused", ("ben", "anna")[winner])])


@pytest.mark.parametrize("kind", ["network", "modules"])
def test_of_two_who_decide_about_a_request_one_does(rest, kind):
    ben = rest.add_user("ben", "reviewer")
    _, tool_id = rest.make_tool()
    for i in range(ROUNDS):
        request = rest.ask_host(tool_id, f"h{i}.example.com") if kind == "network" else rest.ask_module(tool_id, f"m{i}")
        path = f"/api/approvals/{kind}/{request}/action"
        answers = together(lambda: send(rest, "POST", path, {"action": "approve"}),
                           lambda: send(rest, "POST", path, {"action": "reject", "reason": "no"}, token=ben))
        winner = assert_one_won(answers, loser=400)
        row = next(r for r in rest("GET", f"/api/approvals/{kind}?status=all")["items"] if r["id"] == request)
        assert (row["status"], row["reviewed_by"]) == (("approved", "anna"), ("rejected", "ben"))[winner]


def test_what_is_edited_meanwhile_is_never_approved_unseen(rest):
    server_id, _ = rest.make_tool()
    orders = set()
    for i in range(ROUNDS):
        tool_id = rest.add_tool(server_id, f"t{i}")
        rest.decide(tool_id, "submit_for_review")
        seen = rest("GET", f"/api/tools/{tool_id}")["content_hash"]
        decided, edited = together(
            lambda: send(rest, "POST", f"/api/approvals/tools/{tool_id}/action", {"action": "approve", "content_hash": seen}),
            lambda: send(rest, "PATCH", f"/api/tools/{tool_id}", {"python_code": CODE + "# sly\n"}))
        assert edited[0] == 200, "no decision hinders the author"
        tool = rest("GET", f"/api/tools/{tool_id}")
        assert tool["current_version"] == 2 and tool["approval_status"] == "draft"
        orders.add(decided[0])
        if decided[0] == 200:
            assert (tool["live_version"], tool["live_hash"]) == (1, seen)
        else:
            assert decided[0] == 409 and decided[1]["current"]["current_version"] == 2 and tool["live_version"] is None
    assert orders <= {200, 409}


def test_two_approvals_at_once_are_two_and_the_authors_own_is_none(rest):
    reviewers = [rest.add_user(name, "reviewer") for name in ("ben", "cleo")]
    rest("PATCH", "/api/settings/security-policy", {"approvals_required": 2})
    server_id, _ = rest.make_tool()
    for i in range(ROUNDS):
        tool_id = rest.add_tool(server_id, f"t{i}")
        path, body = f"/api/approvals/tools/{tool_id}/action", {"action": "approve"}
        answers = together(*(lambda token=token: send(rest, "POST", path, body, token=token) for token in reviewers),
                           lambda: send(rest, "POST", path, body))
        assert [status for status, _ in answers] in ([200, 200, 403], [200, 200, 400]), answers
        assert sorted(a["status"] for _, a in answers[:2]) == ["approved", "pending_review"]
        assert rest("GET", f"/api/tools/{tool_id}")["live_version"] == 1
        assert sorted(e["outcome"] for e in audit(rest, "tool.approved", tool_id)) == ["ok", "partial", "refused"]


def test_one_person_on_two_connections_is_one_approval(rest):
    ben, again = rest.add_user("ben", "reviewer"), rest.log_in("ben")
    rest("PATCH", "/api/settings/security-policy", {"approvals_required": 2})
    server_id, tool_id = rest.make_tool()
    path, body = f"/api/approvals/tools/{tool_id}/action", {"action": "approve"}
    answers = together(*(lambda token=token: send(rest, "POST", path, body, token=token) for token in (ben, again)))
    assert [(status, a["status"]) for status, a in answers] == [(200, "pending_review")] * 2
    assert rest("GET", f"/api/tools/{tool_id}")["live_version"] is None


def test_an_edit_takes_the_first_of_two_approvals_away(rest):
    ben, cleo = (rest.add_user(name, "reviewer") for name in ("ben", "cleo"))
    rest("PATCH", "/api/settings/security-policy", {"approvals_required": 2})
    server_id, _ = rest.make_tool()
    for i in range(ROUNDS):
        tool_id = rest.add_tool(server_id, f"t{i}")
        path = f"/api/approvals/tools/{tool_id}/action"
        seen = rest("GET", f"/api/tools/{tool_id}")["content_hash"]
        body = {"action": "approve", "content_hash": seen}
        assert send(rest, "POST", path, body, token=ben)[1]["status"] == "pending_review"
        decided, edited = together(lambda: send(rest, "POST", path, body, token=cleo),
                                   lambda: send(rest, "PATCH", f"/api/tools/{tool_id}", {"python_code": CODE + "# sly\n"}))
        tool = rest("GET", f"/api/tools/{tool_id}")
        assert edited[0] == 200 and tool["approval_status"] == "draft"
        assert (decided[0], tool["live_hash"]) in ((200, seen), (409, None))


# ---- edits ---------------------------------------------------------------------------------------


def test_no_parallel_edit_is_lost(rest):
    """Each adds a line of his own, again and again, by reading, changing and writing back with If-Match."""
    server_id, _ = rest.make_tool()
    path = f"/api/servers/{server_id}"

    def add_lines(name):
        for i in range(5):
            while True:
                _, seen = send(rest, "GET", path)
                text = (seen["description"] or "") + f"{name}{i};"
                status, answer = send(rest, "PATCH", path, {"description": text}, If_Match=f'"{seen["revision"]}"')
                if status == 200:
                    break
                assert status == 409
                assert_stale(answer, seen["revision"])
        return True

    together(*(lambda name=name: add_lines(name) for name in "abcd"))
    lines = rest("GET", path)["description"].split(";")[:-1]
    assert sorted(lines) == sorted(f"{name}{i}" for name in "abcd" for i in range(5))
    for name in "abcd":
        assert [line for line in lines if line[0] == name] == [f"{name}{i}" for i in range(5)]


@pytest.mark.parametrize("what", ["server", "tool", "policy", "user"])
def test_of_many_edits_of_one_state_one_is_made(rest, what):
    server_id, tool_id = rest.make_tool()
    rest.add_user("ben", "viewer")
    user_id = next(u["id"] for u in rest("GET", "/api/users")["items"] if u["username"] == "ben")
    path, bodies = {
        "server": (f"/api/servers/{server_id}", [{"description": f"d{i}"} for i in range(6)]),
        "tool": (f"/api/tools/{tool_id}", [{"python_code": CODE + f"# {i}\n"} for i in range(6)]),
        "policy": ("/api/settings/security-policy", [{"log_retention_days": 10 + i} for i in range(6)]),
        "user": (f"/api/users/{user_id}", [{"role": ("author", "reviewer")[i % 2]} for i in range(6)]),
    }[what]
    seen = next(u for u in rest("GET", "/api/users")["items"] if u["id"] == user_id) if what == "user" else rest("GET", path)
    answers = together(*(lambda body=body: send(rest, "PATCH", path, {**body, "revision": seen["revision"]}) for body in bodies))
    winner = assert_one_won(answers)
    for i, (status, answer) in enumerate(answers):
        if i != winner:
            assert answer["code"] == "stale" and answer["current"]["revision"] == seen["revision"] + 1
    assert {k: answers[winner][1][k] for k in bodies[winner]} == bodies[winner]


def test_edits_that_name_no_revision_are_all_versions(rest):
    _, tool_id = rest.make_tool()
    answers = together(*(lambda i=i: send(rest, "PATCH", f"/api/tools/{tool_id}", {"python_code": CODE + f"# {i}\n"}) for i in range(6)))
    assert [status for status, _ in answers] == [200] * 6
    versions = rest("GET", f"/api/tools/{tool_id}/versions")["items"]
    assert [v["version_number"] for v in versions] == [7, 6, 5, 4, 3, 2, 1]
    codes = {rest("GET", f"/api/tools/{tool_id}/versions/{n}")["python_code"] for n in range(2, 8)}
    assert codes == {CODE + f"# {i}\n" for i in range(6)}


# ---- deletions -----------------------------------------------------------------------------------


def test_of_many_deletions_one_is_made(rest):
    server_id, _ = rest.make_tool()
    for i in range(ROUNDS):
        tool_id = rest.add_tool(server_id, f"t{i}")
        answers = together(*(lambda: send(rest, "DELETE", f"/api/tools/{tool_id}") for _ in range(4)))
        assert sorted(status for status, _ in answers) == [204, 404, 404, 404]
        assert [e["outcome"] for e in audit(rest, "tool.deleted", tool_id)] == ["ok"]


def test_what_was_changed_meanwhile_is_not_deleted(rest):
    server_id, _ = rest.make_tool()
    for i in range(ROUNDS):
        tool_id = rest.add_tool(server_id, f"t{i}")
        seen = rest("GET", f"/api/tools/{tool_id}")["revision"]
        deleted, decided = together(lambda: send(rest, "DELETE", f"/api/tools/{tool_id}", If_Match=str(seen)),
                                    lambda: send(rest, "POST", f"/api/approvals/tools/{tool_id}/action", {"action": "approve"}))
        assert (deleted[0], decided[0]) in ((204, 404), (409, 200))
        assert send(rest, "GET", f"/api/tools/{tool_id}")[0] == (404 if deleted[0] == 204 else 200)


def test_a_server_that_goes_takes_all_of_it_whatever_is_done_to_its_tools(rest):
    for i in range(ROUNDS):
        server_id, tool_id = rest.make_tool(server=f"s{i}", name=f"t{i}")
        deleted, *others = together(
            lambda: send(rest, "DELETE", f"/api/servers/{server_id}"),
            lambda: send(rest, "POST", f"/api/approvals/tools/{tool_id}/action", {"action": "approve"}),
            lambda: send(rest, "PATCH", f"/api/tools/{tool_id}", {"python_code": CODE + "# two\n"}),
            lambda: send(rest, "POST", f"/api/servers/{server_id}/tools", {"name": "late", "python_code": CODE}))
        assert deleted[0] == 204 and all(status in (200, 201, 404) for status, _ in others), others
        assert rest.registry.sql(f"SELECT count(*) FROM tools WHERE server_id = '{server_id}'") == "0"
    assert rest.registry.owner("VERIFY_AUDIT")["intact"]


def test_a_tool_that_is_deleted_during_a_call_leaves_its_record(rest):
    server_id, tool_id = rest.make_tool()
    rest.decide(tool_id)
    rest("POST", f"/api/sandbox/servers/{server_id}/start")
    assert published(rest) == ["service_status"]
    call = {"call_id": "call-1", "at": "2026-11-22T16:00:00.000Z"}
    started = {**call, "no": 1, "kind": "call_started",
               "call": {"tool_id": tool_id, "server_id": server_id, "tool_name": "service_status", "version": 1, "via": "mcp-local"}}
    ended = {**call, "no": 2, "kind": "call_ended", "call": {"outcome": "cancelled", "error": "revoked"}}
    rest.registry.gateway("SHIP_RECORDS", origin="gateway-1", records=[started])
    deleted, shipped = together(lambda: send(rest, "DELETE", f"/api/tools/{tool_id}"),
                                lambda: rest.registry.gateway("SHIP_RECORDS", origin="gateway-1", records=[ended]))
    assert (deleted[0], shipped["committed_no"]) == (204, 2)
    assert published(rest) == [] and rest.registry.sql("SELECT count(*) FROM permits WHERE revoked_at IS NULL") == "0"
    logged = rest("GET", "/api/execution-logs")["items"]
    assert [(e["id"], e["outcome"], e["tool_name"]) for e in logged] == [("call-1", "cancelled", "service_status")]
    assert rest.registry.owner("VERIFY_AUDIT")["intact"]


def test_a_change_that_cannot_be_held_to_a_revision_refuses_one(rest):
    assert rest("POST", "/api/pause", {}, want=422, If_Match="1")["field"] == "If-Match"
    rest("POST", "/api/pause", {}, If_Match="*")
    rest("POST", "/api/resume", {})
