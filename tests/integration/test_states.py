"""States of tools, servers and requests, and the moves between them, as REST and management tools make them."""

import pytest

from registry_harness import Refused
from test_rest import CODE, cluster, data, published, rest  # noqa: F401


def move(rest, tool_id, event):
    if event == "publish":
        return rest.registry.llm("REQUEST_PUBLISH", tool_id=tool_id)
    if event == "edit":
        return rest("PATCH", f"/api/tools/{tool_id}", {"python_code": CODE + f"# {next(numbers)}\n"})
    if event == "rollback":
        return rest("POST", f"/api/tools/{tool_id}/versions/1/rollback")
    if event == "revoke":
        return rest("POST", f"/api/approvals/tools/{tool_id}/revoke", {})
    if event == "switch":
        return rest("PATCH", f"/api/tools/{tool_id}", {"enabled": False})
    return rest.decide(tool_id, event, reason="why not")


numbers = iter(range(1000000))


def state(rest, tool_id):
    tool = rest("GET", f"/api/tools/{tool_id}")
    assert (tool["approved_by"] is None) == (tool["approval_status"] != "approved"), "who approved stands beside approved only"
    assert (tool["approved_at"] is None) == (tool["approved_by"] is None)
    assert (tool["rejection_reason"] is None) == (tool["approval_status"] != "rejected")
    return tool["approval_status"], tool["live_version"]


# Moves that lead there, and where that is: status of the newest version, live version.
PATHS = [
    ([], ("draft", None)),
    (["publish"], ("pending_review", None)),
    (["publish", "publish"], ("pending_review", None)),
    (["submit_for_review"], ("pending_review", None)),
    (["approve"], ("approved", 1)),
    (["publish", "approve"], ("approved", 1)),
    (["publish", "reject"], ("rejected", None)),
    (["publish", "reject", "approve"], ("approved", 1)),
    (["publish", "reject", "publish"], ("pending_review", None)),
    (["publish", "reject", "edit"], ("draft", None)),
    (["approve", "revoke"], ("pending_review", None)),
    (["approve", "revoke", "approve"], ("approved", 1)),
    (["approve", "revoke", "reject"], ("rejected", None)),
    (["edit"], ("draft", None)),
    (["publish", "edit"], ("draft", None)),
    (["approve", "edit"], ("draft", 1)),
    (["approve", "edit", "revoke"], ("draft", None)),
    (["approve", "edit", "publish", "reject"], ("rejected", 1)),
    (["approve", "edit", "publish", "reject", "revoke"], ("rejected", None)),
    (["approve", "edit", "approve"], ("approved", 2)),
    (["approve", "edit", "approve", "rollback"], ("draft", 2)),
    (["edit", "rollback"], ("draft", None)),
    (["approve", "switch"], ("approved", 1)),
    (["publish", "switch"], ("pending_review", None)),
]


def test_tools_move_as_told(rest):
    server_id = rest("POST", "/api/servers", {"name": "news"}, want=201)["id"]
    for i, (moves, end) in enumerate(PATHS):
        tool_id = rest.add_tool(server_id, f"t{i}")
        for event in moves:
            move(rest, tool_id, event)
        assert state(rest, tool_id) == end, moves


# With auto_approve: nothing is approved that nobody asked to publish; what is live stays so.
AUTO = [
    ([], ("draft", None)),
    (["edit"], ("draft", None)),
    (["publish"], ("approved", 1)),
    (["submit_for_review"], ("approved", 1)),
    (["publish", "edit"], ("approved", 2)),
    (["publish", "edit", "rollback"], ("approved", 3)),
    (["publish", "revoke"], ("pending_review", None)),
]


def test_tools_move_by_themselves_under_auto_approve(rest):
    rest("PATCH", "/api/settings/security-policy", {"tool_approval_mode": "auto_approve"})
    server_id = rest("POST", "/api/servers", {"name": "news"}, want=201)["id"]
    for i, (moves, end) in enumerate(AUTO):
        tool_id = rest.add_tool(server_id, f"t{i}")
        for event in moves:
            move(rest, tool_id, event)
        assert state(rest, tool_id) == end, moves
        if end[0] == "approved":
            assert rest("GET", f"/api/tools/{tool_id}")["approved_by"] == "auto_approve"


@pytest.mark.parametrize("moves,event,status", [
    ([], "reject", "draft"), ([], "revoke", "draft"), (["publish"], "revoke", "pending_review"),
    (["publish", "reject"], "reject", "rejected"), (["approve"], "approve", "approved"), (["approve"], "reject", "approved"),
    (["approve"], "submit_for_review", "approved"),
])
def test_a_move_that_is_none_names_the_state(rest, moves, event, status):
    _, tool_id = rest.make_tool()
    for before in moves:
        move(rest, tool_id, before)
    if event == "revoke":
        refused = rest("POST", f"/api/approvals/tools/{tool_id}/revoke", {}, want=400)
    else:
        refused = rest.decide(tool_id, event, reason="x", want=400)
    assert refused["code"] == "state" and f"status is {status}" in refused["detail"]


def test_a_model_is_told_that_what_is_approved_needs_no_publishing(rest):
    _, tool_id = rest.make_tool()
    rest.decide(tool_id)
    with pytest.raises(Refused, match="status is approved") as refused:
        rest.registry.llm("REQUEST_PUBLISH", tool_id=tool_id)
    assert refused.value.code == "state"


def test_versions_are_snapshots_with_a_summary_and_a_source(rest):
    server_id, tool_id = rest.make_tool()
    path = f"/api/tools/{tool_id}"
    rest("PATCH", path, {"description": "It tells.", "timeout_ms": 5000})
    rest("PATCH", path, {"name": "status", "python_code": CODE + "# two\n"})
    rest("PATCH", path, {"timeout_ms": 5000, "name": "status"})
    rest("PATCH", path, {"enabled": False})
    rest("POST", f"{path}/versions/1/rollback")
    listed = rest("GET", f"{path}/versions")["items"]
    assert [(v["version_number"], v["change_source"], v["change_summary"]) for v in listed] == [
        (4, "rollback", "Rolled back to version 1"), (3, "manual", "Changed: name, code"),
        (2, "manual", "Changed: description, timeout_ms"), (1, "manual", "Initial version")]
    second, third = (rest("GET", f"{path}/versions/{n}") for n in (2, 3))
    assert (second["name"], second["timeout_ms"], second["python_code"]) == ("service_status", 5000, CODE)
    assert (third["name"], third["python_code"]) == ("status", CODE + "# two\n")
    back = rest("GET", path)
    assert (back["name"], back["timeout_ms"], back["enabled"], back["current_version"]) == ("service_status", None, True, 4)
    differing = rest("GET", f"{path}/versions/compare?from_version=1&to_version=3")["differences"]
    assert [d["field"] for d in differing] == ["name", "description", "timeout_ms", "python_code"]
    assert rest("GET", f"{path}/versions/compare?from_version=1&to_version=4")["differences"] == []


# ---- requests ------------------------------------------------------------------------------------


def test_requests_are_one_per_tool_and_an_approval_is_for_all(rest):
    server_id, first = rest.make_tool()
    second = rest.add_tool(server_id, "second")
    _, foreign = rest.make_tool(server="other", name="foreign")
    for make, kind, name, reach in ((rest.ask_host, "network", "a.example.com", "server"), (rest.ask_module, "modules", "numpy", "all")):
        path = f"/api/approvals/{kind}"
        one, two = make(first, name), make(second, name)
        with pytest.raises(Refused, match="already waiting"):
            make(first, name)
        rest("POST", f"{path}/{one}/action", {"action": "reject", "reason": "not you"})
        with pytest.raises(Refused, match="not you"):
            make(first, name)
        rest("POST", f"{path}/{two}/action", {"action": "approve"})
        for tool in (first, second):
            with pytest.raises(Refused, match="approved"):
                make(tool, name)
        if reach == "all":
            with pytest.raises(Refused, match="approved"):
                make(foreign, name)
        else:
            make(foreign, name)


@pytest.mark.parametrize("kind", ["network", "modules"])
def test_a_revoked_request_waits_again_and_shows_no_reviewer(rest, kind):
    _, tool_id = rest.make_tool()
    make = rest.ask_host if kind == "network" else rest.ask_module
    name = "a.example.com" if kind == "network" else "numpy"
    path, request = f"/api/approvals/{kind}", make(tool_id, name)
    approved = rest("POST", f"{path}/{request}/action", {"action": "approve"})
    assert (approved["status"], approved["reviewed_by"], approved["source"]) == ("approved", "anna", "llm")
    rest("POST", f"{path}/{request}/action", {"action": "reject", "reason": "late"}, want=400)
    rest("DELETE", f"{path}/{request}", want=400)
    revoked = rest("POST", f"{path}/{request}/revoke", {})
    assert (revoked["status"], revoked["reviewed_by"], revoked["reviewed_at"]) == ("pending", None, None)
    rest("POST", f"{path}/{request}/revoke", {}, want=400)
    with pytest.raises(Refused, match="already waiting"):
        make(tool_id, name)
    assert rest("DELETE", f"{path}/{request}")["status"] == "pending"
    again = make(tool_id, name)
    assert again != request
    rest("POST", f"{path}/{again}/action", {"action": "reject", "reason": "no"})
    rest("DELETE", f"{path}/{again}")
    make(tool_id, name)


def test_what_an_administrator_adds_is_approved_at_once_and_there_once(rest):
    server_id, tool_id = rest.make_tool()
    hosts = f"/api/servers/{server_id}/allowed-hosts"
    assert rest("POST", hosts, {"host": "a.example.com"})["allowed_hosts"] == ["a.example.com"]
    assert rest("POST", hosts, {"host": "A.example.com."}, want=409)["code"] == "exists"
    rest("PATCH", "/api/settings/modules", {"add_modules": ["numpy"]})
    rest("PATCH", "/api/settings/modules", {"add_modules": ["numpy"]}, want=409)
    for kind in ("network", "modules"):
        row = rest("GET", f"/api/approvals/{kind}?status=all")["items"][0]
        assert (row["tool_id"], row["source"], row["status"], row["requested_by"], row["reviewed_by"]) == (
            None, "admin", "approved", "anna", "anna")
        rest("POST", f"/api/approvals/{kind}/{row['id']}/revoke", {}, want=400)
    with pytest.raises(Refused, match="already approved"):
        rest.ask_host(tool_id, "a.example.com")
    rest("DELETE", f"{hosts}?host=b.example.com", want=400)
    assert rest("DELETE", f"{hosts}?host=a.example.com")["allowed_hosts"] == []


def test_a_tools_hosts_go_with_it(rest):
    server_id, tool_id = rest.make_tool()
    for host in ("b.example.com", "a.example.com:8443"):
        rest("POST", f"/api/approvals/network/{rest.ask_host(tool_id, host)}/action", {"action": "approve"})
    assert rest("GET", f"/api/servers/{server_id}")["allowed_hosts"] == ["a.example.com:8443", "b.example.com"]
    rest("DELETE", f"/api/tools/{tool_id}", want=204)
    assert rest("GET", f"/api/servers/{server_id}")["allowed_hosts"] == []
    assert rest("GET", "/api/approvals/network?status=all")["total"] == 0


def test_only_what_is_approved_enabled_and_of_a_running_server_is_published(rest):
    server_id, tool_id = rest.make_tool()
    rest.decide(tool_id)
    assert published(rest) == []
    rest("POST", f"/api/sandbox/servers/{server_id}/start")
    rest.add_tool(server_id, "draft")
    assert published(rest) == ["service_status"]
    for hide, show in (({"enabled": False}, {"enabled": True}),):
        rest("PATCH", f"/api/tools/{tool_id}", hide)
        assert published(rest) == []
        rest("PATCH", f"/api/tools/{tool_id}", show)
        assert published(rest) == ["service_status"]
    move(rest, tool_id, "revoke")
    assert published(rest) == []
