"""REST from end to end: admin, the real registry, a real PostgreSQL; executors are played by tests/support/registry_ask.c."""

import itertools

import pytest

from admin_harness import Admin, make_keys
from registry_harness import Cluster, Registry

CODE = "async def main():\n    return 1\n"
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def cluster():
    made = Cluster()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_keys(tmp_path_factory.mktemp("keys"))


class Rest:
    """Both services, and one person logged in."""

    def __init__(self, cluster, data):
        self.registry = Registry(cluster, key=(data / "keys/root.key").read_text().strip())
        self.registry.join_executor()
        self.admin = Admin(data, self.registry.address)
        self("POST", "/auth/setup", {"username": "anna", "password": PASSWORD}, want=201)
        self.token = self.log_in("anna")

    def log_in(self, username):
        return self("POST", "/auth/login", {"username": username, "password": PASSWORD})["access_token"]

    def add_user(self, username, role):
        self("POST", "/api/users", {"username": username, "password": PASSWORD, "role": role}, want=201)
        return self.log_in(username)

    def __call__(self, method, path, body=None, want=200, token=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        status, answer, self.headers = self.admin.ask(method, path, body, headers=headers,
                                                      token=token or getattr(self, "token", None))
        assert status == want, (status, answer)
        return answer

    def make_tool(self, server="news", name="service_status"):
        server_id = self("POST", "/api/servers", {"name": server}, want=201)["id"]
        return server_id, self.add_tool(server_id, name)

    def add_tool(self, server_id, name):
        return self("POST", f"/api/servers/{server_id}/tools", {"name": name, "python_code": CODE}, want=201)["id"]

    def decide(self, tool_id, action="approve", **more):
        want = more.pop("want", 200)
        return self("POST", f"/api/approvals/tools/{tool_id}/action", {"action": action, **more}, want=want)

    def ask_host(self, tool_id, host):
        return self.registry.llm("REQUEST_NETWORK_ACCESS", tool_id=tool_id, host=host, justification="to see")["request_id"]

    def ask_module(self, tool_id, name):
        return self.registry.llm("REQUEST_MODULE", tool_id=tool_id, module_name=name, justification="to count")["request_id"]

    def close(self):
        assert self.admin.stop() == 0
        self.registry.close()


@pytest.fixture
def rest(cluster, data):
    made = Rest(cluster, data)
    yield made
    made.close()


# ---- decisions of many ---------------------------------------------------------------------------


def test_many_tools_are_decided_each_by_itself(rest):
    server_id, first = rest.make_tool()
    second, third = rest.add_tool(server_id, "second"), rest.add_tool(server_id, "third")
    rest.decide(second)
    absent = "01890000-0000-7000-8000-000000000000"
    done = rest("POST", "/api/approvals/tools/bulk-action", {"tool_ids": [first, second, absent, third], "action": "approve"})
    assert (done["success"], done["processed_count"]) == (False, 2)
    assert [(f["id"], f["code"]) for f in done["failed"]] == [(second, "state"), (absent, "not_found")]
    assert "status is approved" in done["failed"][0]["error"]
    assert {t["approval_status"] for t in rest("GET", f"/api/servers/{server_id}/tools")["items"]} == {"approved"}
    again = rest("POST", "/api/approvals/tools/bulk-action", {"tool_ids": [first, third], "action": "reject", "reason": "late"})
    assert (again["success"], again["processed_count"], len(again["failed"])) == (False, 0, 2)


def test_many_tools_are_decided_as_they_were_seen(rest):
    server_id, first = rest.make_tool()
    second = rest.add_tool(server_id, "second")
    seen = [rest("GET", f"/api/tools/{tool}") for tool in (first, second)]
    rest("PATCH", f"/api/tools/{second}", {"python_code": CODE + "# sly\n"})
    body = {"tool_ids": [first, second], "action": "approve"}
    for column, key in (("revisions", "revision"), ("content_hashes", "content_hash")):
        done = rest("POST", "/api/approvals/tools/bulk-action", {**body, column: [t[key] for t in seen]})
        assert [(f["id"], f["code"]) for f in done["failed"]][-1] == (second, "stale")
    assert rest("GET", f"/api/tools/{second}")["live_version"] is None


@pytest.mark.parametrize("kind", ["network", "modules"])
def test_many_requests_are_decided_each_by_itself(rest, kind):
    server_id, tool_id = rest.make_tool()
    make = rest.ask_host if kind == "network" else rest.ask_module
    names = ["a.example.com", "b.example.com", "c.example.com"] if kind == "network" else ["numpy", "pandas", "scipy"]
    one, two, three = (make(tool_id, name) for name in names)
    path = f"/api/approvals/{kind}"
    rest("POST", f"{path}/{three}/action", {"action": "approve"})
    done = rest("POST", f"{path}/bulk-action", {"request_ids": [one, three], "action": "reject", "reason": "why?"})
    assert (done["processed_count"], [f["id"] for f in done["failed"]]) == (1, [three])
    assert rest("POST", f"{path}/bulk-action", {"request_ids": [two], "action": "approve"})["success"]
    listed = {r["id"]: (r["status"], r["rejection_reason"]) for r in rest("GET", f"{path}?status=all")["items"]}
    assert listed == {one: ("rejected", "why?"), two: ("approved", None), three: ("approved", None)}
    of_server = rest("GET", f"/api/approvals/server/{server_id}/{kind}")
    assert ({r["id"] for r in of_server["items"]}, of_server["total"]) == ({two, three}, 2)
    assert rest("GET", f"/api/approvals/server/{server_id}/{kind}?status=all")["total"] == 3
    other = rest("POST", "/api/servers", {"name": "other"}, want=201)["id"]
    assert rest("GET", f"/api/approvals/server/{other}/{kind}?status=all")["total"] == 0
    rest("GET", f"/api/approvals/server/{three}/{kind}", want=404)


@pytest.mark.parametrize("body,field", [
    ({"tool_ids": [], "action": "approve"}, "tool_ids"), ({"tool_ids": ["x"] * 101, "action": "approve"}, "tool_ids"),
    ({"tool_ids": ["x"], "action": "submit_for_review"}, "action"), ({"tool_ids": ["x"], "action": "reject"}, "reason"),
    ({"tool_ids": ["x"], "action": "approve", "revisions": [1, 2]}, "revisions"),
])
def test_refuses_bad_bulk(rest, body, field):
    assert rest("POST", "/api/approvals/tools/bulk-action", body, want=422)["field"] == field


def test_who_may_not_decide_decides_none_of_many(rest):
    _, tool_id = rest.make_tool()
    viewer = rest.add_user("vera", "viewer")
    body = {"tool_ids": [tool_id], "action": "approve"}
    assert rest("POST", "/api/approvals/tools/bulk-action", body, want=403, token=viewer)["code"] == "denied"
    rest("POST", "/api/approvals/tools/bulk-action", body, want=401, token="ended")
    assert rest("GET", f"/api/tools/{tool_id}")["approval_status"] == "draft"


def test_stats_count_what_waits_and_what_was_decided(rest):
    server_id, first = rest.make_tool()
    second = rest.add_tool(server_id, "second")
    rest.decide(first)
    rest.decide(second, "submit_for_review")
    rest.ask_host(first, "a.example.com")
    rest("POST", f"/api/approvals/modules/{rest.ask_module(first, 'numpy')}/action", {"action": "approve"})
    assert rest("GET", "/api/approvals/stats") == {
        "pending_tools": 1, "pending_module_requests": 0, "pending_network_requests": 1, "approved_tools": 1,
        "approved_module_requests": 1, "approved_network_requests": 0, "recently_approved": 1, "recently_rejected": 0}
    rest.decide(second, "reject", reason="no")
    rest.registry.sql("UPDATE tools SET approved_at = approved_at - interval '8 days'")
    stats = rest("GET", "/api/approvals/stats")
    assert (stats["pending_tools"], stats["recently_approved"], stats["recently_rejected"]) == (0, 0, 1)


# ---- servers -------------------------------------------------------------------------------------


def test_a_server_starts_once_stops_and_restarts_with_approved_tools_only(rest):
    server_id, tool_id = rest.make_tool()
    sandbox = f"/api/sandbox/servers/{server_id}"
    assert "none of the 1 tools" in rest("POST", f"{sandbox}/start", want=400)["detail"]
    rest("POST", f"{sandbox}/stop", want=400)
    rest.decide(tool_id)
    rest.add_tool(server_id, "draft")
    assert rest("GET", f"{sandbox}/status")["registered_tools"] == 0
    started = rest("POST", f"{sandbox}/start")
    assert (started["server_id"], started["status"], started["registered_tools"]) == (server_id, "running", 1)
    assert rest("POST", f"{sandbox}/start", want=409)["code"] == "exists"
    shown = rest("GET", f"{sandbox}/status")
    assert (shown["status"], shown["registered_tools"]) == ("running", 1)
    assert "execution-logs" in rest("GET", f"{sandbox}/logs")["message"]
    assert published(rest) == ["service_status"]
    assert rest("POST", f"{sandbox}/restart")["registered_tools"] == 1
    live = "SELECT count(*) FROM permits WHERE revoked_at IS NULL"
    assert rest.registry.sql(live) == "0", "calls of before have ended"
    assert published(rest) == ["service_status"]
    rest("POST", f"{sandbox}/stop")
    assert rest("POST", f"{sandbox}/restart")["status"] == "running", "whatever it was"
    rest("PATCH", f"/api/tools/{tool_id}", {"enabled": False})
    rest("POST", f"{sandbox}/restart", want=400)


def published(rest):
    while True:
        reply = rest.registry.gateway("GET_TOOL_MAP")
        if not reply["restart"]:
            return [t["published_name"] for t in reply["tools"]]


def test_a_person_rolls_back_to_an_older_version_only(rest):
    _, tool_id = rest.make_tool()
    rest("PATCH", f"/api/tools/{tool_id}", {"python_code": CODE + "# two\n"})
    for version in (2, 3):
        rest("POST", f"/api/tools/{tool_id}/versions/{version}/rollback", want=400)
    assert rest("POST", f"/api/tools/{tool_id}/versions/1/rollback")["python_code"] == CODE
    assert rest.registry.llm("ROLLBACK_TOOL", tool_id=tool_id, version=3)["current_version"] == 4, "a model may take the newest"


# ---- about ---------------------------------------------------------------------------------------


def test_a_script_is_told_what_this_is(rest):
    about = rest("GET", "/", token="none", Accept="application/json")
    assert about["name"] == "MCPBox" and about["docs"] == "/api/openapi.json"
    rest("GET", "/", token="none", Accept="text/html,application/json")
    assert rest.headers["Content-Type"].startswith("text/html")


# ---- the description -----------------------------------------------------------------------------


def beyond(schema):
    """Values that the description rules out."""
    if "maximum" in schema:
        yield schema["maximum"] + 1
    if "minimum" in schema:
        yield schema["minimum"] - 1
    if "enum" in schema:
        yield "none_of_these"
    if "maxLength" in schema:
        yield "a" * (schema["maxLength"] + 1)
    if "pattern" in schema:
        yield "-"
    if schema.get("type") == "array" and "maxItems" in schema:
        yield ["a"] * (schema["maxItems"] + 1)
    if schema.get("type") == "object":
        yield 5


GOOD = {"username": "bert", "password": PASSWORD, "new_password": PASSWORD, "role": "viewer", "scope": "read", "name": "good",
        "python_code": CODE, "code": CODE, "key_name": "KEY", "value": "x", "host": "a.example.com", "action": "approve",
        "from_version": 1, "to_version": 1, "profile": "strict"}
# Which of these go with the rest is a rule of more than one field.
WITH = {"reason": {"action": "reject"}}


def test_the_registry_refuses_what_the_description_rules_out(rest):
    """Ranges, patterns and lists of values are told in one place and judged in another: they have to agree."""
    server_id, tool_id = rest.make_tool()
    rest("POST", f"/api/servers/{server_id}/secrets", {"key_name": "KEY"}, want=201)
    ids = {"server_id": server_id, "tool_id": tool_id, "key": "KEY", "version": "1",
           "user_id": rest("GET", "/api/users")["items"][0]["id"]}
    tried, serial = 0, itertools.count()
    for path, operations in rest("GET", "/api/openapi.json")["paths"].items():
        for method, operation in operations.items():
            if path.startswith("/auth/") or operation["security"] == []:
                continue
            filled = path.replace("{request_id}", rest.ask_host(tool_id, f"h{next(serial)}.example.com") if "network" in path else
                                  rest.ask_module(tool_id, f"m{next(serial)}") if "modules" in path else "")
            for name, value in ids.items():
                filled = filled.replace("{%s}" % name, value)
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            fields = {("body", k): v for k, v in body.get("properties", {}).items()} if body else {}
            fields.update({("query", p["name"]): p["schema"] for p in operation["parameters"] if p.get("in") == "query"})
            for (place, name), schema in fields.items():
                for value in beyond(schema):
                    tried += 1
                    given = {k: GOOD[k] for k in (body or {}).get("required", []) if k in GOOD}
                    given.update({k: v for k, v in WITH.get(name, {}).items() if k in given})
                    given.update({k: [tool_id] for k in ("tool_ids", "request_ids") if ("body", k) in fields})
                    target = filled
                    if place == "query":
                        needed = "".join(f"&{p['name']}={GOOD[p['name']]}" for p in operation["parameters"]
                                         if p.get("in") == "query" and p["required"] and p["name"] != name)
                        target, given = f"{filled}?{name}={value}{needed}", None
                    else:
                        given[name] = value
                    answer = rest(method.upper(), target, given, want=422)
                    assert answer["field"] == name, (method, target, given, answer)
    assert tried > 60
