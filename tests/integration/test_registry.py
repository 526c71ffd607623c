"""The real registry on a real PostgreSQL; the other services are played by tests/support/registry_ask.c."""

import ctypes
import ctypes.util
import hashlib
import json
import secrets
import threading
import time

import pytest

from registry_harness import Cluster, Refused, Registry

CODE = "async def main():\n    return 1\n"
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def cluster():
    made = Cluster()
    yield made
    made.remove()


@pytest.fixture
def registry(cluster):
    made = Registry(cluster)
    yield made
    made.close()


@pytest.fixture
def staffed(registry):
    """With an executor and a logged-in administrator."""
    registry.join_executor()
    registry.log_in()
    return registry


def make_tool(registry, server="news", name="service_status", **more):
    server_id = registry.llm("CREATE_SERVER", name=server)["id"]
    tool_id = registry.llm("CREATE_TOOL", server_id=server_id, name=name, python_code=CODE, **more)["id"]
    return server_id, tool_id


def make_live(registry, **more):
    server_id, tool_id = make_tool(registry, **more)
    registry.llm("REQUEST_PUBLISH", tool_id=tool_id)
    registry.admin("DECIDE_TOOL", tool_id=tool_id, action="approve")
    registry.llm("START_SERVER", server_id=server_id)
    return server_id, tool_id


def published(registry):
    for _ in range(5):
        reply = registry.gateway("GET_TOOL_MAP")
        if not reply["restart"]:
            return {t["published_name"]: t for t in reply["tools"]}
    raise AssertionError("the map never settled")


# ---- the story -----------------------------------------------------------------------------------


def test_tells_the_whole_life_of_a_tool_in_order(staffed):
    r = staffed
    assert r.asker.send({"do": "news"})["ok"]
    server_id, tool_id = make_tool(r)
    assert r.llm("VALIDATE_CODE", code=CODE)["has_main"]
    with pytest.raises(Refused, match="status is draft") as refused:
        r.llm("PREPARE_TEST", tool_id=tool_id)
    assert "mcpbox_request_publish" in refused.value.text and "auto_approve" in refused.value.text
    request = r.llm("REQUEST_NETWORK_ACCESS", tool_id=tool_id, host="Status.Example.com.", justification="it asks")
    assert (request["host"], request["status"]) == ("status.example.com", "pending")
    assert r.llm("REQUEST_PUBLISH", tool_id=tool_id, notes="please")["status"] == "pending_review"
    assert r.llm("LIST_PENDING_REQUESTS")["summary"] == {"tools": 1, "modules": 0, "network": 1, "total": 2}
    seen = r.admin("LIST_TOOL_APPROVALS")["items"][0]
    assert seen["requested_hosts"] == ["status.example.com"]
    decision = r.admin("DECIDE_TOOL", tool_id=tool_id, action="approve", content_hash=seen["content_hash"])
    assert decision["status"] == "approved"
    r.admin("DECIDE_NETWORK", request_id=request["request_id"], action="approve")
    assert r.llm("START_SERVER", server_id=server_id)["registered_tools"] == 1
    tool = published(r)["service_status"]
    assert tool["version"] == 1 and len(tool["spec_hash"]) == 64 and tool["permit"]["key_id"] == 1
    status = r.llm("GET_TOOL_STATUS", tool_id=tool_id)
    assert (status["approval_status"], status["approved_by"], status["live_version"]) == ("approved", "anna", 1)
    assert [n["status"] for n in status["network_access_requests"]] == ["approved"]

    events = r.owner("LIST_AUDIT", limit=500)["events"]
    assert [(e["topic"], e["outcome"]) for e in events] == [
        ("instance.joined", "ok"), ("auth.setup", "ok"), ("auth.login", "ok"), ("server.created", "ok"),
        ("tool.created", "ok"), ("tool.validated", "ok"), ("tool.tested", "refused"), ("host.requested", "ok"),
        ("tool.submitted", "ok"), ("tool.approved", "ok"), ("host.approved", "ok"), ("server.started", "ok")]
    assert [e["seq"] for e in events] == list(range(1, 13))
    assert r.owner("VERIFY_AUDIT")["intact"]
    for _ in range(2000):
        heard = r.asker.send({"do": "heard"})["reply"]
        if heard and heard[-1]["seq"] == 12:
            break
    assert heard == events[-len(heard):] and len(heard) >= 9


def test_says_what_of_a_signature_will_hardly_be_meant(staffed):
    r, odd, told = staffed, "def main(p: Odd): pass\n", ["p: the type Odd is not known"]
    assert (r.llm("VALIDATE_CODE", code=odd)["warnings"], r.llm("VALIDATE_CODE", code=CODE)["warnings"]) == (told, [])
    server_id = r.llm("CREATE_SERVER", name="doubts")["id"]
    made = r.llm("CREATE_TOOL", server_id=server_id, name="one", python_code=odd)
    given = r.llm("CREATE_TOOL", server_id=server_id, name="two", python_code=odd, input_schema={"type": "object"})
    assert (made["warnings"], given["warnings"]) == (told, [])
    assert r.llm("UPDATE_TOOL", tool_id=given["id"], python_code=odd + "\n")["warnings"] == told
    assert r.llm("UPDATE_TOOL", tool_id=given["id"], title="x")["warnings"] == []


def test_keeps_everything_over_a_kill(staffed):
    r = staffed
    make_live(r)
    before = published(r)
    r.kill()
    r.start()
    assert r.is_ready
    assert published(r) == before, "the same permit, spec and grant"
    assert r.owner("VERIFY_AUDIT")["intact"]


# ---- rights --------------------------------------------------------------------------------------


def test_no_gateway_can_decide(staffed):
    r = staffed
    _, tool_id = make_tool(r)
    body = {"tool_id": tool_id, "action": "approve"}
    for kind, secret in (("LOCAL", ""), ("USER", r.token), ("OWNER", ""), ("SYSTEM", "")):
        with pytest.raises(Refused):
            r.ask("gateway", kind, "DECIDE_TOOL", body, secret=secret)
    assert r.llm("GET_TOOL", tool_id=tool_id)["tool"]["approval_status"] == "draft"


def test_a_broken_admin_process_can_do_nothing_without_a_session(staffed):
    r = staffed
    _, tool_id = make_tool(r)
    body = {"tool_id": tool_id, "action": "approve"}
    for kind, code in (("SYSTEM", "denied"), ("LOCAL", "denied"), ("OWNER", "denied"), ("USER", "unauthenticated")):
        with pytest.raises(Refused) as refused:
            r.ask("admin", kind, "DECIDE_TOOL", body, secret="guessed", id="anna")
        assert refused.value.code == code
    refusals = [e for e in r.owner("LIST_AUDIT", topics=["tool.approved"], limit=500)["events"]]
    assert [e["outcome"] for e in refusals] == ["refused"] * 3


def test_remote_callers_edit_only_under_the_policy(staffed):
    r = staffed
    remote = dict(role="gateway", kind="MCP", msg="CREATE_SERVER", id="eve@example.com")
    with pytest.raises(Refused, match="remote_tool_editing"):
        r.ask(**remote, body={"name": "mine"})
    r.admin("UPDATE_SECURITY_POLICY", remote_tool_editing="enabled")
    server_id = r.ask(**remote, body={"name": "mine"})["id"]
    assert r.llm("GET_SERVER", server_id=server_id)["server"]["owner"] == "eve@example.com"


# ---- names, versions -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "News", "1news", "a__b", "a_", "mcpbox_x", "health", "internal", "a" * 61, "a-b"])
def test_refuses_server_name(registry, name):
    with pytest.raises(Refused) as refused:
        registry.llm("CREATE_SERVER", name=name)
    assert refused.value.code == "invalid" and registry.llm("LIST_SERVERS")["total"] == 0


def test_refuses_duplicates_and_gives_the_second_tool_a_longer_name(staffed):
    r = staffed
    server_id, _ = make_tool(r)
    with pytest.raises(Refused) as refused:
        r.llm("CREATE_SERVER", name="news")
    assert refused.value.code == "exists"
    with pytest.raises(Refused) as refused:
        r.llm("CREATE_TOOL", server_id=server_id, name="service_status", python_code=CODE)
    assert refused.value.code == "exists"
    _, other = make_tool(r, server="weather")
    assert r.llm("GET_TOOL", tool_id=other)["tool"]["published_name"] == "weather__service_status"
    r.llm("DELETE_TOOL", tool_id="news/service_status")
    _, third = make_tool(r, server="sports")
    assert r.llm("GET_TOOL", tool_id=third)["tool"]["published_name"] == "service_status"


def test_the_live_version_serves_while_its_head_is_edited(staffed):
    r = staffed
    server_id, tool_id = make_live(r)
    first = published(r)["service_status"]
    r.llm("UPDATE_TOOL", tool_id=tool_id, python_code=CODE + "# two\n")
    tool = r.llm("GET_TOOL", tool_id=tool_id)["tool"]
    assert (tool["approval_status"], tool["current_version"], tool["live_version"]) == ("draft", 2, 1)
    assert tool["content_hash"] != tool["live_hash"]
    assert published(r)["service_status"]["spec_hash"] == first["spec_hash"]
    r.llm("REQUEST_PUBLISH", tool_id=tool_id)
    assert r.llm("REQUEST_PUBLISH", tool_id=tool_id)["status"] == "pending_review", "twice: no effect, no error"
    r.admin("DECIDE_TOOL", tool_id=tool_id, action="reject", reason="no")
    assert published(r)["service_status"]["version"] == 1, "a rejection leaves the live version in force"
    r.admin("DECIDE_TOOL", tool_id=tool_id, action="approve")
    assert published(r)["service_status"]["version"] == 2
    assert r.llm("ROLLBACK_TOOL", tool_id=tool_id, version=1)["current_version"] == 3
    tool = r.llm("GET_TOOL", tool_id=tool_id)["tool"]
    assert (tool["approval_status"], tool["live_version"], tool["python_code"]) == ("draft", 2, CODE)
    differences = r.llm("COMPARE_TOOL_VERSIONS", tool_id=tool_id, from_version=1, to_version=2)["differences"]
    assert [d["field"] for d in differences] == ["python_code"]


def test_an_update_without_difference_makes_no_version(staffed):
    _, tool_id = make_tool(staffed)
    assert "Nothing changed" in staffed.llm("UPDATE_TOOL", tool_id=tool_id, python_code=CODE)["message"]
    staffed.llm("UPDATE_TOOL", tool_id=tool_id, enabled=False)
    tool = staffed.llm("GET_TOOL", tool_id=tool_id)["tool"]
    assert (tool["current_version"], tool["enabled"]) == (1, False)
    with pytest.raises(Refused, match="no fields"):
        staffed.llm("UPDATE_TOOL", tool_id=tool_id)


def test_revoking_takes_the_tool_away_at_once(staffed):
    r = staffed
    _, tool_id = make_live(r)
    published(r)
    r.admin("REVOKE_TOOL", tool_id=tool_id)
    assert published(r) == {}
    assert r.sql("SELECT count(*) FROM permits WHERE revoked_at IS NULL") == "0"
    status = r.llm("GET_TOOL_STATUS", tool_id=tool_id)
    assert (status["approval_status"], status["live_version"]) == ("pending_review", None)


def test_stop_and_disable_hide_a_tool(staffed):
    r = staffed
    server_id, tool_id = make_live(r)
    assert published(r)
    r.llm("UPDATE_TOOL", tool_id=tool_id, enabled=False)
    assert published(r) == {}
    r.llm("UPDATE_TOOL", tool_id=tool_id, enabled=True)
    assert published(r)
    r.llm("STOP_SERVER", server_id=server_id)
    assert published(r) == {}
    with pytest.raises(Refused, match="not running"):
        r.llm("STOP_SERVER", server_id=server_id)


def test_a_server_without_approved_tools_does_not_start(staffed):
    r = staffed
    empty = r.llm("CREATE_SERVER", name="empty")["id"]
    with pytest.raises(Refused, match="no tools"):
        r.llm("START_SERVER", server_id=empty)
    server_id, _ = make_tool(r)
    with pytest.raises(Refused, match="mcpbox_request_publish"):
        r.llm("START_SERVER", server_id=server_id)


def test_code_is_checked_by_an_executor(registry):
    r = registry
    server_id = r.llm("CREATE_SERVER", name="news")["id"]
    tool = dict(server_id=server_id, name="t", python_code=CODE)
    with pytest.raises(Refused, match="no executor is running to check the code"):
        r.llm("CREATE_TOOL", **tool)
    r.join_executor()
    with pytest.raises(Refused, match="invalid syntax"):
        r.llm("CREATE_TOOL", **dict(tool, python_code="async def (\n"))
    with pytest.raises(Refused, match="no function main"):
        r.llm("CREATE_TOOL", **dict(tool, python_code="x = 1\n"))
    with pytest.raises(Refused, match="limit memory_mb"):
        r.llm("CREATE_TOOL", **tool, limits={"memory_mb": 999999})
    with pytest.raises(Refused, match="timeout_ms"):
        r.llm("CREATE_TOOL", **tool, timeout_ms=1)
    with pytest.raises(Refused, match="the input_schema cannot be used: faulty in"):
        r.llm("CREATE_TOOL", **tool, input_schema={"type": "object", "title": "faulty"})
    with pytest.raises(Refused, match="the output_schema cannot be used: faulty out"):
        r.llm("CREATE_TOOL", **tool, output_schema={"title": "faulty"})
    tool_id = r.llm("CREATE_TOOL", **tool, input_schema={"type": "object", "required": []})["id"]
    with pytest.raises(Refused, match="faulty out"):
        r.llm("UPDATE_TOOL", tool_id=tool_id, output_schema={"title": "faulty"})
    made = r.llm("GET_TOOL", tool_id=tool_id)["tool"]
    assert made["input_schema"] == {"type": "object", "required": []} and made["description"] == "What it does."
    assert r.asker.send({"do": "leave"})["ok"]
    r.wait_for_topic("instance.left")
    with pytest.raises(Refused, match="no executor"):
        r.llm("CREATE_TOOL", **dict(tool, name="u"))


def test_nobody_takes_all_checks_of_code(registry):
    r = registry
    r.join_executor()
    held = [threading.Thread(target=r.ask, args=("gateway", "LOCAL", "VALIDATE_CODE", {"code": CODE + "# hold %d" % i}, r.new_asker()),
                             kwargs={"remote": "192.0.2.1"}) for i in range(3)]
    [t.start() for t in held]
    assert r.asker.send({"do": "held", "count": 3})["ok"]
    other = r.new_asker()
    with pytest.raises(Refused, match="3 pieces of your code are being checked already") as e:
        r.ask("gateway", "LOCAL", "VALIDATE_CODE", {"code": CODE}, other, remote="192.0.2.1")
    assert e.value.code == "busy" and e.value.hint
    assert r.ask("gateway", "LOCAL", "VALIDATE_CODE", {"code": CODE}, other, remote="192.0.2.2")["valid"]
    assert r.asker.send({"do": "release"})["ok"]
    [t.join() for t in held]
    assert r.ask("gateway", "LOCAL", "VALIDATE_CODE", {"code": CODE}, other, remote="192.0.2.1")["valid"]


def test_an_executor_that_was_killed_does_not_stop_others(registry):
    r = registry
    other = r.new_asker()
    for asker in (other, r.asker):
        assert asker.send({"do": "executor"})["ok"]
    while len(r.wait_for_topic("instance.joined")) < 2:
        pass
    other.close()
    server_id = r.llm("CREATE_SERVER", name="news")["id"]
    for i in range(3):
        r.llm("CREATE_TOOL", server_id=server_id, name=f"t{i}", python_code=CODE)


# ---- approvals, policies -------------------------------------------------------------------------


def test_what_changed_meanwhile_is_not_decided(staffed):
    r = staffed
    _, tool_id = make_tool(r)
    seen = r.admin("GET_TOOL", tool_id=tool_id)["tool"]
    r.llm("UPDATE_TOOL", tool_id=tool_id, python_code=CODE + "# sly\n")
    with pytest.raises(Refused) as refused:
        r.admin("DECIDE_TOOL", tool_id=tool_id, action="approve", content_hash=seen["content_hash"])
    assert refused.value.code == "stale" and refused.value.current["current_version"] == 2
    with pytest.raises(Refused) as refused:
        r.admin("DECIDE_TOOL", tool_id=tool_id, action="approve", revision=seen["revision"])
    assert refused.value.code == "stale" and refused.value.field == "revision"


def test_auto_approve_publishes_and_lifts_the_test_gate(staffed):
    r = staffed
    r.admin("UPDATE_SECURITY_POLICY", tool_approval_mode="auto_approve", network_access_policy="allow_all_public")
    _, tool_id = make_tool(r)
    prepared = r.llm("PREPARE_TEST", tool_id=tool_id)
    assert prepared["tool"]["version"] == 1 and len(prepared["blobs"]) == 2
    assert r.llm("REQUEST_PUBLISH", tool_id=tool_id)["status"] == "approved"
    ask = dict(tool_id=tool_id, justification="it asks")
    assert r.llm("REQUEST_NETWORK_ACCESS", host="api.example.com", **ask)["status"] == "approved"
    assert r.llm("REQUEST_NETWORK_ACCESS", host="printer.lan+private", **ask)["status"] == "pending"
    r.llm("UPDATE_TOOL", tool_id=tool_id, python_code=CODE + "# two\n")
    assert r.llm("GET_TOOL", tool_id=tool_id)["tool"]["live_version"] == 2
    assert r.topics()[-2:] == ["tool.updated", "tool.approved"]


def test_two_approvals_come_from_two_people(staffed):
    r = staffed
    r.admin("UPDATE_SECURITY_POLICY", approvals_required=2)
    _, tool_id = make_tool(r)
    for _ in range(2):
        assert r.admin("DECIDE_TOOL", tool_id=tool_id, action="approve")["status"] == "pending_review"
    token_hash = hashlib.blake2b(b"a token", digest_size=32).hexdigest()
    r.sql("INSERT INTO api_tokens (id, name, user_id, token_hash, scope)"
          f" SELECT gen_random_uuid(), 'ci', id, decode('{token_hash}', 'hex'), 'admin' FROM users")
    again = r.ask("admin", "TOKEN", "DECIDE_TOOL", {"tool_id": tool_id, "action": "approve"}, secret="a token")
    assert again["status"] == "pending_review", "a person's token is not a second person"
    r.sql("INSERT INTO users (id, username, password_hash, role)"
          " SELECT gen_random_uuid(), 'ben', password_hash, 'reviewer' FROM users WHERE username = 'anna'")
    r.log_in("ben")
    assert r.admin("DECIDE_TOOL", tool_id=tool_id, action="approve")["status"] == "approved"
    with pytest.raises(Refused) as refused:
        r.admin("UPDATE_SECURITY_POLICY", approvals_required=1)
    assert refused.value.code == "denied", "a reviewer sets no policies"


PROFILES = {  # remote_tool_editing, tool_approval_mode, network_access_policy, module_approval_mode
    "strict": ("disabled", "require_approval", "require_approval", "require_approval"),
    "balanced": ("disabled", "auto_approve", "require_approval", "auto_approve"),
    "permissive": ("enabled", "auto_approve", "allow_all_public", "auto_approve"),
}


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_sets_what_is_reviewed_and_leaves_the_numbers(staffed, profile):
    r = staffed
    for other in set(PROFILES) - {profile}:
        r.admin("APPLY_SECURITY_PROFILE", profile=other)
    r.admin("UPDATE_SECURITY_POLICY", log_retention_days=365, approvals_required=2, redact_secrets_in_output="disabled")
    reply = r.admin("APPLY_SECURITY_PROFILE", profile=profile)
    keys = ("remote_tool_editing", "tool_approval_mode", "network_access_policy", "module_approval_mode")
    assert reply["applied_settings"] == {**dict(zip(keys, PROFILES[profile])), "redact_secrets_in_output": "enabled"}
    policy = r.admin("GET_SECURITY_POLICY")
    assert {key: policy[key] for key in reply["applied_settings"]} == reply["applied_settings"]
    assert (policy["log_retention_days"], policy["approvals_required"]) == (365, 2)
    _, tool_id = make_tool(r)
    published = r.llm("REQUEST_PUBLISH", tool_id=tool_id)["status"] == "approved"
    assert published == (PROFILES[profile][1] == "auto_approve")
    ask = dict(tool_id=tool_id, justification="it asks")
    host = r.llm("REQUEST_NETWORK_ACCESS", host="api.example.com", **ask)["status"]
    assert (host == "approved") == (profile == "permissive")
    module = r.llm("REQUEST_MODULE", module_name="yaml", **ask)["status"]
    assert (module == "approved") == (profile != "strict")


def test_unknown_profiles_are_refused_and_only_admins_apply_one(staffed):
    r = staffed
    with pytest.raises(Refused, match="strict, balanced or permissive") as refused:
        r.admin("APPLY_SECURITY_PROFILE", profile="paranoid")
    assert refused.value.field == "profile"
    r.admin("CREATE_USER", username="rita", password="correct horse battery", role="reviewer")
    r.log_in("rita")
    for msg, body in (("APPLY_SECURITY_PROFILE", {"profile": "permissive"}), ("COMPLETE_ONBOARDING", {})):
        with pytest.raises(Refused) as refused:
            r.admin(msg, **body)
        assert refused.value.code == "denied"
    assert r.admin("GET_SECURITY_POLICY")["tool_approval_mode"] == "require_approval"


def test_settings_are_listed_and_encrypted_ones_are_masked(staffed):
    r = staffed
    assert r.stranger("AUTH_STATUS")["onboarding_completed"] is False
    for _ in range(2):
        assert r.admin("COMPLETE_ONBOARDING") == {"onboarding_completed": True}
    assert r.stranger("AUTH_STATUS")["onboarding_completed"] is True
    r.sql("INSERT INTO settings (key, value, encrypted) VALUES ('token', 'hunter2', true)")
    settings = {s["key"]: s for s in r.admin("LIST_SETTINGS")["settings"]}
    assert settings["token"]["value"] == "********" and settings["token"]["encrypted"] is True
    assert settings["onboarding_completed"]["value"] == "true"
    assert settings["execution_log_keep"]["value"] == "10000" and settings["execution_log_keep"]["description"]
    policy = r.admin("GET_SECURITY_POLICY")
    own = {"revision", "mcp_rate_limit_is_set"}
    assert {k: str(v) for k, v in policy.items() if k not in own} == {
        k: s["value"] for k, s in settings.items() if k not in ("token", "onboarding_completed")}


def test_the_rate_limit_reaches_gateways_once_it_was_set(staffed):
    r = staffed
    assert r.gateway("GET_TOOL_MAP")["rate_limit_rpm"] == 0, "the default is for remote callers"
    before = r.gateway("GET_TOOL_MAP")["state_seq"]
    r.admin("UPDATE_SECURITY_POLICY", mcp_rate_limit_rpm=300)
    reply = r.gateway("GET_TOOL_MAP")
    assert reply["rate_limit_rpm"] == 300 and int(reply["state_seq"]) > int(before), "gateways look again"


def test_remote_tool_editing_is_read_with_each_question(staffed):
    r = staffed
    for value, may in (("disabled", False), ("enabled", True), ("disabled", False)):
        r.admin("UPDATE_SECURITY_POLICY", remote_tool_editing=value)
        try:
            r.ask("gateway", "MCP", "CREATE_SERVER", {"name": "far"}, id="a@example.com")
            assert may
        except Refused as refused:
            assert not may and "remote_tool_editing" in refused.text


def test_refuses_bad_policies(staffed):
    for key, value in (("tool_approval_mode", "maybe"), ("log_retention_days", 0), ("approvals_required", 3),
                       ("log_retention_days", 3651), ("mcp_rate_limit_rpm", 9), ("mcp_rate_limit_rpm", 10001),
                       ("execution_log_keep", 0), ("redact_secrets_in_output", "on")):
        with pytest.raises(Refused) as refused:
            staffed.admin("UPDATE_SECURITY_POLICY", **{key: value})
        assert (refused.value.code, refused.value.field) == ("invalid", key)
    with pytest.raises(Refused, match="no settings"):
        staffed.admin("UPDATE_SECURITY_POLICY")


# ---- hosts ---------------------------------------------------------------------------------------


def test_hosts_are_asked_for_once_and_decided_once(staffed):
    r = staffed
    server_id, tool_id = make_tool(r)
    ask = dict(tool_id=tool_id, justification="it asks")
    first = r.llm("REQUEST_NETWORK_ACCESS", host="api.example.com", **ask)["request_id"]
    with pytest.raises(Refused, match="already waiting"):
        r.llm("REQUEST_NETWORK_ACCESS", host="API.example.com", **ask)
    with pytest.raises(Refused, match="reason"):
        r.admin("DECIDE_NETWORK", request_id=first, action="reject")
    r.admin("DECIDE_NETWORK", request_id=first, action="reject", reason="not that one")
    with pytest.raises(Refused, match="not that one"):
        r.llm("REQUEST_NETWORK_ACCESS", host="api.example.com", **ask)
    second = r.llm("REQUEST_NETWORK_ACCESS", host="b.example.org", port=8443, **ask)["request_id"]
    r.admin("DECIDE_NETWORK", request_id=second, action="approve")
    assert r.llm("GET_SERVER", server_id=server_id)["server"]["allowed_hosts"] == ["b.example.org:8443"]
    with pytest.raises(Refused, match="already approved"):
        r.llm("REQUEST_NETWORK_ACCESS", host="b.example.org:8443", **ask)
    r.admin("REVOKE_NETWORK", request_id=second)
    assert r.llm("GET_SERVER", server_id=server_id)["server"]["allowed_hosts"] == []


def test_a_private_host_needs_the_administrators_word(staffed):
    r = staffed
    server_id, tool_id = make_tool(r)
    with pytest.raises(Refused, match=r"printer\.lan\+private"):
        r.llm("REQUEST_NETWORK_ACCESS", tool_id=tool_id, host="printer.lan", justification="print")
    request = r.llm("REQUEST_NETWORK_ACCESS", tool_id=tool_id, host="printer.lan+private", justification="print")
    with pytest.raises(Refused, match="allow_private"):
        r.admin("DECIDE_NETWORK", request_id=request["request_id"], action="approve")
    r.admin("DECIDE_NETWORK", request_id=request["request_id"], action="approve", allow_private=True)
    hosts = r.admin("ALLOW_HOST", server_id=server_id, host="10.0.0.5:631", allow_private=True)["allowed_hosts"]
    assert hosts == ["10.0.0.5:631+private", "printer.lan+private"]
    with pytest.raises(Refused, match="never be reached"):
        r.admin("ALLOW_HOST", server_id=server_id, host="169.254.169.254", allow_private=True)


def test_deciding_a_host_changes_the_grant_and_not_the_tool(staffed):
    r = staffed
    server_id, _ = make_live(r)
    before = published(r)["service_status"]
    r.admin("ALLOW_HOST", server_id=server_id, host="api.example.com")
    with_host = published(r)["service_status"]
    assert with_host["spec_hash"] == before["spec_hash"] and with_host["grant_hash"] != before["grant_hash"]
    r.admin("REMOVE_HOST", server_id=server_id, host="api.example.com")
    after = published(r)["service_status"]
    assert after["grant_hash"] == before["grant_hash"]
    assert r.sql("SELECT count(*) FROM permits WHERE revoked_at IS NULL") == "1", "wider permits end with the host"


def test_warm_reuse_is_an_administrators_decision_and_part_of_the_spec(staffed):
    r = staffed
    server_id, tool_id = make_live(r)
    before = published(r)["service_status"]
    assert r.llm("GET_SERVER", server_id=server_id)["server"]["warm_reuse"] is False
    for refused in (lambda: r.llm("SET_WARM_REUSE", server_id=server_id, warm_reuse=True),
                    lambda: r.stranger("SET_WARM_REUSE", server_id=server_id, warm_reuse=True)):
        with pytest.raises(Refused):
            refused()
    assert published(r)["service_status"]["spec_hash"] == before["spec_hash"]
    server = r.admin("SET_WARM_REUSE", server_id=server_id, warm_reuse=True)["server"]
    after = published(r)["service_status"]
    assert server["warm_reuse"] and after["spec_hash"] != before["spec_hash"] and after["version"] == before["version"]
    assert r.llm("GET_TOOL", tool_id=tool_id)["tool"]["approval_status"] == "approved", "no new review"
    assert r.admin("LIST_TOOL_APPROVALS", status="all")["items"][0]["warm_reuse"] is True
    assert r.owner("LIST_AUDIT", topics=["server.updated"])["events"][-1]["detail"]["warm_reuse"] is True
    r.admin("SET_WARM_REUSE", server_id=server_id, warm_reuse=False)
    assert published(r)["service_status"]["spec_hash"] == before["spec_hash"]


def test_a_server_that_reveals_secrets_uses_no_process_twice(staffed):
    r = staffed
    server_id, _ = make_live(r)
    fresh = published(r)["service_status"]["spec_hash"]
    r.admin("SET_WARM_REUSE", server_id=server_id, warm_reuse=True)
    r.sql("INSERT INTO secrets (id, server_id, key_name, mode) VALUES (gen_random_uuid(), "
          f"'{server_id}', 'KEY', 'reveal')")
    r.sql("UPDATE tools SET live_spec_hash = NULL")
    assert published(r)["service_status"]["spec_hash"] == fresh, "whatever the server's column says"
    r.admin("SET_WARM_REUSE", server_id=server_id, warm_reuse=False)
    with pytest.raises(Refused, match="reveals secrets"):
        r.admin("SET_WARM_REUSE", server_id=server_id, warm_reuse=True)


def test_limits_are_shown_whole_merged_and_part_of_what_is_approved(staffed):
    r = staffed
    _, tool_id = make_live(r, limits={"memory_mb": 64})
    shown = {"memory_mb": 64, "cpu_ms": 60000, "output_kb": 4096, "result_kb": 1024, "files": 128, "threads": 16,
             "scratch_mb": 16}
    tool = r.llm("GET_TOOL", tool_id=tool_id)["tool"]
    assert tool["limits"] == shown
    r.llm("UPDATE_TOOL", tool_id=tool_id, limits={"threads": 4})
    changed = r.llm("GET_TOOL", tool_id=tool_id)["tool"]
    assert changed["limits"] == shown | {"threads": 4}, "only what was named changes"
    assert changed["content_hash"] != tool["content_hash"] and changed["approval_status"] == "draft"
    assert "Nothing changed" in r.llm("UPDATE_TOOL", tool_id=tool_id, limits={"threads": 4, "memory_mb": 64})["message"]
    r.llm("REQUEST_PUBLISH", tool_id=tool_id)
    pending = r.admin("LIST_TOOL_APPROVALS")["items"][0]
    assert (pending["limits"], pending["timeout_ms"]) == (shown | {"threads": 4}, 30000)
    difference = r.llm("COMPARE_TOOL_VERSIONS", tool_id=tool_id, from_version=1, to_version=2)["differences"][0]
    assert difference == {"field": "limits", "old_value": shown, "new_value": shown | {"threads": 4}}
    for bad, text in ((dict(memory_mb=1 << 20), "memory_mb must be from 16 to 1024"), (dict(speed=1), "no limit 'speed'"),
                      (dict(files="many"), "files must be from"), (dict(threads=0), "threads must be from 1 to 64")):
        with pytest.raises(Refused, match=text):
            r.llm("UPDATE_TOOL", tool_id=tool_id, limits=bad)


# ---- requests that come twice --------------------------------------------------------------------


def test_a_repeat_is_answered_from_the_first_time(registry):
    r = registry
    request_id = secrets.token_hex(16)
    first = r.ask("gateway", "LOCAL", "CREATE_SERVER", {"name": "news"}, request_id=request_id)
    again = r.ask("gateway", "LOCAL", "CREATE_SERVER", {"name": "news"}, request_id=request_id)
    assert again == first and r.llm("LIST_SERVERS")["total"] == 1 and r.topics() == ["server.created"]
    with pytest.raises(Refused, match="another request"):
        r.ask("gateway", "LOCAL", "CREATE_SERVER", {"name": "other"}, request_id=request_id)


# ---- people --------------------------------------------------------------------------------------


def test_setup_succeeds_once_even_in_a_race(registry):
    askers = [registry.new_asker() for _ in range(4)]
    won = []

    def set_up(asker, name):
        try:
            registry.ask("admin", "SYSTEM", "SETUP", {"username": name, "password": PASSWORD}, asker=asker)
            won.append(name)
        except Refused as refused:
            assert refused.code == "exists"

    threads = [threading.Thread(target=set_up, args=(a, f"user{i}")) for i, a in enumerate(askers)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(won) == 1 and registry.sql("SELECT username FROM users") == won[0]


def test_five_failures_lock_and_are_in_the_audit(registry):
    r = registry
    r.log_in()
    for name in ("anna", "nobody_here"):
        for _ in range(5):
            with pytest.raises(Refused) as refused:
                r.ask("admin", "SYSTEM", "LOGIN", {"username": name, "password": "wrong"}, remote=f"192.0.2.{len(name)}")
            assert refused.value.code == "unauthenticated"
        with pytest.raises(Refused, match="try again in [0-9]+ seconds") as refused:
            r.ask("admin", "SYSTEM", "LOGIN", {"username": name, "password": PASSWORD}, remote="198.51.100.7")
        assert refused.value.code == "rate_limited"
    assert len(r.owner("LIST_AUDIT", topics=["auth.locked"])["events"]) == 2


def test_a_refresh_token_works_once_and_its_theft_ends_the_session(registry):
    r = registry
    r.log_in()
    first = r.stranger("LOGIN", username="anna", password=PASSWORD)
    second = r.stranger("REFRESH", refresh_token=first["refresh_token"])
    r.token = second["access_token"]
    assert r.admin("WHO_AM_I")["username"] == "anna"
    with pytest.raises(Refused):
        r.stranger("REFRESH", refresh_token=first["refresh_token"])
    with pytest.raises(Refused) as refused:
        r.admin("WHO_AM_I")
    assert refused.value.code == "unauthenticated"


def test_logout_and_a_new_password_end_sessions(registry):
    r = registry
    r.log_in()
    r.admin("LOGOUT")
    with pytest.raises(Refused):
        r.admin("WHO_AM_I")
    r.log_in()
    r.owner("SET_PASSWORD", username="anna", password="another long password")
    with pytest.raises(Refused):
        r.admin("WHO_AM_I")
    with pytest.raises(Refused):
        r.stranger("LOGIN", username="anna", password=PASSWORD)
    r.log_in(password="another long password")


def test_no_token_or_password_is_stored_or_logged(registry):
    r = registry
    r.log_in()
    tokens = r.stranger("LOGIN", username="anna", password=PASSWORD)
    dump = r.sql("SELECT sessions::text FROM sessions UNION ALL SELECT encode(reply, 'escape') FROM requests"
                 " UNION ALL SELECT detail::text FROM audit_log")
    r.kill()
    for secret in (tokens["access_token"], tokens["refresh_token"], PASSWORD):
        assert secret not in dump and not any(secret in line for line in r.log)


# ---- records -------------------------------------------------------------------------------------


def call(no, **more):
    kind = "CALL_STARTED" if no % 2 else "CALL_ENDED"
    return {"no": no, "at": "2026-11-22T16:00:00.000Z", "kind": kind.lower(), "call_id": f"call-{(no + 1) // 2}",
            "call": {"tool_id": "t", "tool_name": "service_status", "version": 1, "via": "mcp-local",
                     "outcome": "" if no % 2 else "ok", **more}}


def test_records_are_taken_exactly_once(registry):
    r = registry
    ship = lambda *numbers: r.gateway("SHIP_RECORDS", origin="gateway-1", records=[call(n) for n in numbers])
    assert ship(1, 2)["committed_no"] == 2
    assert ship(1, 2)["committed_no"] == 2
    assert ship(2, 3, 4)["committed_no"] == 4
    assert r.sql("SELECT count(*), count(end_no) FROM executions") == "2|2"
    assert r.topics() == ["batch", "call.finished", "batch", "call.finished"]
    assert [e["topic"] for e in r.owner("LIST_AUDIT", topics=["call.finished"])["events"]] == ["call.finished"] * 2
    with pytest.raises(Refused, match="ships no records"):
        r.gateway("SHIP_RECORDS", origin="egress-1", records=[call(1)])
    with pytest.raises(Refused, match="not consecutive"):
        ship(5, 7)
    with pytest.raises(Refused, match="kind"):
        r.ask("egress", "SYSTEM", "SHIP_RECORDS", {"origin": "egress-1", "records": [call(1)]})


def incidents(registry, topic):
    return [(e["outcome"], e["detail"]) for e in registry.owner("LIST_AUDIT", limit=500, topics=[topic])["events"]]


EXCESS = {"limit": "memory_mb", "allowed": 64, "used": 61}
REFUSED = [{"kind": "import", "name": "subprocess", "line": 3, "count": 2}, {"kind": "host", "name": "a.example:443", "count": 1}]


def test_what_a_call_ran_into_is_in_the_audit_exactly_once(registry):
    r = registry
    records = [call(1), call(2, outcome="memory", error="memory limit 64 MiB exceeded", excess=EXCESS, refused=REFUSED)]
    for _ in range(2):
        r.gateway("SHIP_RECORDS", origin="gateway-1", records=records)
    common = {"tool": "service_status", "version": 1, "call_id": "call-1", "is_test": False, "calls": 1}
    assert incidents(r, "sandbox.killed") == [("memory", common | EXCESS | {"error": "memory limit 64 MiB exceeded"})]
    assert incidents(r, "tool.refused") == [("refused", common | {"refused": REFUSED})]
    assert r.owner("LIST_AUDIT", topics=["tool.refused"])["events"][0]["object_id"] == "t"
    assert r.owner("VERIFY_AUDIT")["intact"]


@pytest.mark.parametrize("outcome", ["ok", "tool_error", "cancelled", "internal", "executor_lost", "not_started", "unknown"])
def test_no_incident_is_made_of(registry, outcome):
    registry.gateway("SHIP_RECORDS", origin="gateway-1", records=[call(1), call(2, outcome=outcome, error="e")])
    assert incidents(registry, "sandbox.killed") == [] and incidents(registry, "tool.refused") == []


def test_a_tool_in_a_loop_does_not_flood_the_audit(registry):
    r = registry
    for batch in range(4):
        numbers = range(100 * batch + 1, 100 * batch + 101)
        r.gateway("SHIP_RECORDS", origin="gateway-1",
                  records=[call(n, **({} if n % 2 else {"outcome": "cpu", "refused": REFUSED})) for n in numbers])
    r.gateway("SHIP_RECORDS", origin="gateway-2", records=[call(1, tool_id="other"), call(2, tool_id="other", outcome="cpu") | {"call_id": "x"}])
    assert [d["calls"] for _, d in incidents(r, "sandbox.killed")] == [1] * 6, "five of the first tool, one of the other"
    assert len(incidents(r, "tool.refused")) == 5
    r.sql("UPDATE incidents SET since = since - interval '1 minute'")
    for _ in range(200):
        killed = incidents(r, "sandbox.killed")
        if len(killed) > 6:
            break
        threading.Event().wait(0.1)
    assert (killed[-1][0], killed[-1][1]["calls"], killed[-1][1]["call_id"]) == ("cpu", 195, "call-200")
    assert sum(d["calls"] for _, d in incidents(r, "sandbox.killed")) == 201
    assert sum(d["calls"] for _, d in incidents(r, "tool.refused")) == 200
    assert r.sql("SELECT sum(pending) FROM incidents") == "0"
    assert r.owner("VERIFY_AUDIT")["intact"]


def test_what_was_counted_comes_before_the_next_of_its_kind(registry):
    r = registry
    ship = lambda first, count, outcome: r.gateway(
        "SHIP_RECORDS", origin="gateway-1",
        records=[call(n, **({} if n % 2 else {"outcome": outcome})) for n in range(first, first + 2 * count)])
    ship(1, 7, "timeout")
    r.sql("UPDATE incidents SET since = since - interval '1 minute'")
    ship(15, 1, "crash")
    assert [(o, d["calls"]) for o, d in incidents(r, "sandbox.killed")][5:] == [("timeout", 2), ("crash", 1)]


def test_the_row_that_counts_tells_all_that_it_counts(registry):
    r = registry
    ends = ["cpu"] * 5 + ["output", "output", "files", "memory"]
    hosts = [f"h{n}.example:443" for n in range(20)]
    records = [call(2 * i + 2, outcome=outcome, excess=EXCESS, refused=[
        {"kind": "host", "name": name, "count": 2} for name in (hosts[:3] if i < 7 else hosts[8 * (i - 7):8 * (i - 7) + 12])])
        for i, outcome in enumerate(ends)]
    r.gateway("SHIP_RECORDS", origin="gateway-1",
              records=[record for end in records for record in (call(end["no"] - 1, tool_id="t"), end)])
    r.sql("UPDATE incidents SET since = since - interval '1 minute'")
    r.gateway("SHIP_RECORDS", origin="gateway-1", records=[call(19), call(20, outcome="cpu", refused=REFUSED)])
    killed, refused = incidents(r, "sandbox.killed")[5], incidents(r, "tool.refused")[5]
    assert (killed[0], killed[1]["calls"]) == ("memory", 4)
    assert killed[1]["outcomes"] == {"output": 2, "files": 1, "memory": 1}
    counted = {item["name"]: item["count"] for item in refused[1]["refused"]}
    assert len(counted) == 16 and counted["h8.example:443"] == 4 and counted["h19.example:443"] == 2
    # Two calls asked for three hosts, the third for twelve, the last for twelve: four of these the same.
    assert sum(counted.values()) + refused[1]["more"] == 2 * (3 + 3 + 12 + 12)
    assert r.owner("VERIFY_AUDIT")["intact"]


@pytest.mark.parametrize("order", [
    [(1, "start", "a"), (2, "end", "a"), (3, "start", "b"), (4, "end", "b")],
    [(1, "start", "a"), (2, "start", "b"), (3, "end", "b")],
    [(1, "end", "a"), (2, "start", "b"), (3, "end", "b")],
    [(1, "start", "a"), (2, "end", "a"), (3, "end", "a"), (4, "start", "a")],
    [(1, "end", "a"), (2, "end", "a")],
], ids=["whole", "an end to come", "a lost start", "both twice", "an end twice"])
def test_every_shape_of_a_batch_keeps_the_chain(registry, order):
    """Shipped twice as two origins' batches, so that the second finds all calls there already."""
    r = registry
    for origin in ("gateway-1", "gateway-2"):
        records = [{**call(1 if kind == "start" else 2), "no": no, "call_id": name} for no, kind, name in order]
        assert r.gateway("SHIP_RECORDS", origin=origin, records=records)["committed_no"] == order[-1][0]
    assert r.owner("VERIFY_AUDIT")["intact"]
    calls = {name for _, _, name in order}
    ended = {name for _, kind, name in order if kind == "end"}
    assert r.sql("SELECT count(*), count(end_no) FROM executions") == f"{len(calls)}|{len(ended)}"


def test_long_output_is_cut_between_signs(registry):
    r = registry
    r.gateway("SHIP_RECORDS", origin="gateway-1",
              records=[call(1, input_args={"q": "ü"}), call(2, stdout="ab" + "ü" * 50000, error="x" * 9000)])
    assert r.sql("SELECT length(stdout) = 32769, length(error) FROM executions") == "t|8192"
    assert r.owner("VERIFY_AUDIT")["intact"]


# ---- the chain -----------------------------------------------------------------------------------


def fill_chain(r):
    for i in range(4):
        r.llm("CREATE_SERVER", name=f"s{i}")
    r.gateway("SHIP_RECORDS", origin="gateway-1", records=[call(1), call(2)])


def wait_signed(r):
    for _ in range(2000):
        if r.sql("SELECT signed_seq = seq FROM audit_head") == "t":
            return
    raise AssertionError("the head was not signed")


@pytest.mark.parametrize("harm, first_bad", [
    ("UPDATE audit_log SET actor = 'nobody' WHERE seq = 2", 2),
    ("UPDATE audit_log SET detail = '{\"name\": \"other\"}' WHERE seq = 3", 3),
    ("UPDATE audit_log SET at = at - interval '1 hour' WHERE seq = 1", 1),
    ("DELETE FROM audit_log WHERE seq = 2", 2),
    ("DELETE FROM audit_log WHERE seq = 5", 5),
    ("UPDATE audit_log SET hash = decode(repeat('00', 32), 'hex') WHERE seq = 4", 4),
    ("UPDATE executions SET outcome = 'tool_error'", 5),
    ("UPDATE executions SET tool_id = 'other'", 5),
    ("DELETE FROM executions", 5),
    ("DELETE FROM audit_log WHERE seq = 5;"
     " UPDATE audit_head SET seq = 4, hash = (SELECT hash FROM audit_log WHERE seq = 4)", 5),
    ("DELETE FROM audit_log WHERE seq = 5;"
     " UPDATE audit_head SET seq = 4, hash = (SELECT hash FROM audit_log WHERE seq = 4), signed_seq = 4,"
     " signed_hash = (SELECT hash FROM audit_log WHERE seq = 4)", 4),
])
def test_verify_finds_what_was_altered_by_hand(registry, harm, first_bad):
    fill_chain(registry)
    wait_signed(registry)
    assert registry.owner("VERIFY_AUDIT")["intact"]
    registry.sql(harm)
    found = registry.owner("VERIFY_AUDIT")
    assert (found["intact"], found["first_bad_seq"]) == (False, first_bad), found


def forge(r, head):
    """Somebody with the database changes row 2 and all hashes after it, as canon.c makes them."""
    rows = r.sql("SELECT json_build_array(seq, (extract(epoch FROM at) * 1000)::bigint, topic, actor, via,"
                 " object_kind, object_id, outcome, detail::text, encode(hash, 'hex')) FROM audit_log ORDER BY seq")
    statements, before = [], bytes(32)
    for row in map(json.loads, rows.splitlines()):
        if row[0] == 2:
            row[3] = "nobody"
        fields = [b"mcpbox audit 1", before, *(str(f).encode() for f in row[:9])]
        made = hashlib.blake2b(b"".join(len(f).to_bytes(4, "little") + f for f in fields), digest_size=32).digest()
        assert row[0] != 1 or made.hex() == row[9], "the forger knows how"
        statements.append(f"UPDATE audit_log SET actor = '{row[3]}', prev_hash = '\\x{before.hex()}',"
                          f" hash = '\\x{made.hex()}' WHERE seq = {row[0]}")
        before = made
    r.sql(";".join(statements) + f"; UPDATE audit_head SET hash = '\\x{before.hex()}'{head}")


@pytest.mark.parametrize("head", ["", ", signed_seq = 0", ", signed_seq = 0, signature = NULL, signed_hash = NULL"])
def test_a_forged_chain_is_found_and_never_signed(registry, head):
    r = registry
    fill_chain(r)
    wait_signed(r)
    forge(r, head)
    assert not r.owner("VERIFY_AUDIT")["intact"]
    signed = "SELECT signed_seq, signed_hash FROM audit_head"
    before = r.sql(signed)
    r.llm("CREATE_SERVER", name="later")
    assert not r.owner("VERIFY_AUDIT")["intact"]  # it would have signed
    r.kill()
    r.start()
    r.asker = r.new_asker()
    r.llm("CREATE_SERVER", name="still_later")
    assert not r.owner("VERIFY_AUDIT")["intact"]
    assert r.sql(signed) == before
    r.kill()
    assert sum("audit.chain_broken" in line for line in r.log) == 1


def test_checkpoints_are_held_against_the_chain(registry):
    r = registry
    for _ in range(1001):
        r.gateway("REPORT_EVENT", topic="bus.refused", object_kind="address", object_id="x", outcome="refused")
    assert r.owner("VERIFY_AUDIT")["intact"]
    assert r.sql("SELECT seq FROM audit_checkpoints") == "1000"
    r.sql("UPDATE audit_checkpoints SET hash = (SELECT hash FROM audit_log WHERE seq = 999)")
    assert r.owner("VERIFY_AUDIT")["first_bad_seq"] == 1000
    r.sql("DELETE FROM audit_checkpoints")
    found = r.owner("VERIFY_AUDIT")
    assert (found["first_bad_seq"], found["reason"]) == (1000, "a checkpoint is missing")


def test_verify_holds_the_chain_against_an_anchor(registry):
    fill_chain(registry)
    good = registry.owner("VERIFY_AUDIT")
    anchor = {"seq": good["head_seq"], "hash": good["head_hash"]}
    registry.llm("CREATE_SERVER", name="later")
    assert registry.owner("VERIFY_AUDIT", anchor=anchor)["intact"]
    anchor["hash"] = "00" * 32
    assert registry.owner("VERIFY_AUDIT", anchor=anchor)["first_bad_seq"] == anchor["seq"]
    assert not registry.owner("VERIFY_AUDIT", anchor=dict(anchor, seq=99))["intact"]


def test_many_writers_leave_one_chain_without_gaps(registry):
    askers = [registry.new_asker() for _ in range(4)]

    def write(asker, n):
        for i in range(10):
            registry.ask("gateway", "LOCAL", "CREATE_SERVER", {"name": f"w{n}s{i}"}, asker=asker)

    threads = [threading.Thread(target=write, args=(a, n)) for n, a in enumerate(askers)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    proof = registry.owner("VERIFY_AUDIT")
    assert (proof["intact"], proof["rows"]) == (True, 40)


# ---- outages, starts -----------------------------------------------------------------------------


def test_says_so_while_the_database_is_away_and_recovers(cluster, registry):
    r = registry
    r.llm("CREATE_SERVER", name="news")
    cluster.stop()
    try:
        with pytest.raises(Refused, match="registry storage is not answering") as refused:
            r.llm("LIST_SERVERS")
        assert refused.value.code == "unavailable"
        assert r.gateway("GET_STATUS")["key_id"] == 1, "status needs no database"
    finally:
        cluster.start()
    assert r.llm("LIST_SERVERS")["total"] == 1
    r.llm("CREATE_SERVER", name="more")
    assert r.process.poll() is None and r.owner("VERIFY_AUDIT")["intact"]


def test_lost_connections_and_kills_neither_lose_nor_double_a_change(cluster, registry):
    """Each change is asked for until it is answered, with its request id; meanwhile everything breaks."""
    r = registry
    is_over = threading.Event()

    def harm():
        rounds = 0
        while not is_over.is_set():
            r.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                  " WHERE application_name = 'mcpbox-registry'")
            rounds += 1
            if rounds % 10 == 0:
                r.kill()
                r.start()

    breaker = threading.Thread(target=harm)
    breaker.start()
    for i in range(60):
        request_id = secrets.token_hex(16)
        for _ in range(200):
            try:
                r.ask("gateway", "LOCAL", "CREATE_SERVER", {"name": f"s{i}"}, request_id=request_id)
                break
            except Refused as refused:
                assert refused.code in ("unavailable", "unknown_outcome", "busy", "deadline"), refused
        else:
            raise AssertionError("never answered")
    is_over.set()
    breaker.join()
    assert r.llm("LIST_SERVERS")["total"] == 60
    assert r.topics().count("server.created") == 60
    assert r.owner("VERIFY_AUDIT")["intact"]


def test_refuses_another_encryption_key(cluster, registry):
    other = Registry.__new__(Registry)
    other.__dict__.update(cluster=cluster, key="11" * 32, database=registry.database, askers=[],
                          address="127.0.0.1:" + str(int(registry.address.split(":")[1]) + 1000))
    other.start()
    other.process.wait()
    other.reader.join()
    assert not other.is_ready and any("not the key that this database was set up with" in line for line in other.log)


def test_refuses_a_schema_from_the_future(registry):
    registry.sql("INSERT INTO schema_migrations (number, name, hash) VALUES (9999, 'later', '')")
    registry.kill()
    registry.start()
    registry.process.wait()
    registry.reader.join()
    assert not registry.is_ready and any("knows only up to" in line for line in registry.log)


def test_a_refused_rejection_is_written_down_as_one(staffed):
    r = staffed
    _, tool_id = make_tool(r)
    with pytest.raises(Refused):
        r.admin("DECIDE_TOOL", tool_id=tool_id, action="reject", reason="not pending")
    assert (r.owner("LIST_AUDIT", limit=500)["events"][-1]["topic"]) == "tool.rejected"
    request = r.llm("REQUEST_NETWORK_ACCESS", tool_id=tool_id, host="a.example.com", justification="to see")
    r.admin("DECIDE_NETWORK", request_id=request["request_id"], action="approve")
    with pytest.raises(Refused):
        r.admin("DECIDE_NETWORK", request_id=request["request_id"], action="reject", reason="too late")
    assert (r.owner("LIST_AUDIT", limit=500)["events"][-1]["topic"]) == "host.rejected"


def test_comparing_nothing_names_the_missing_version(staffed):
    _, tool_id = make_tool(staffed)
    with pytest.raises(Refused, match="from_version is missing"):
        staffed.llm("COMPARE_TOOL_VERSIONS", tool_id=tool_id)


# ---- modules -------------------------------------------------------------------------------------


def ask_module(r, tool_id, name, **more):
    return r.llm("REQUEST_MODULE", tool_id=tool_id, module_name=name, justification="it counts", **more)


def spec_holds(r, name):
    """Does the spec that the published tool's permit binds hold that word?"""
    spec = published(r)["service_status"]["spec_hash"]
    return r.sql(f"SELECT position('{name}'::bytea IN data) > 0 FROM blobs WHERE hash = decode('{spec}', 'hex')") == "t"


def test_an_approved_module_joins_the_specs_of_live_tools_without_a_new_review(staffed):
    r = staffed
    _, tool_id = make_live(r)
    request = ask_module(r, tool_id, " numpy ")
    assert (request["module_name"], request["status"]) == ("numpy", "pending")
    assert r.llm("LIST_PENDING_REQUESTS")["summary"]["modules"] == 1
    assert r.llm("GET_TOOL_STATUS", tool_id=tool_id)["module_requests"][0]["status"] == "pending"
    assert not spec_holds(r, "numpy")
    listed = r.admin("LIST_MODULE_REQUESTS")["items"]
    assert [(m["module_name"], m["tool_name"], m["server_name"], m["source"]) for m in listed] == [
        ("numpy", "service_status", "news", "llm")]
    before = published(r)["service_status"]["permit"]
    decided = r.admin("DECIDE_MODULE", request_id=request["request_id"], action="approve")["request"]
    assert (decided["status"], decided["reviewed_by"]) == ("approved", "anna")
    assert spec_holds(r, "numpy") and published(r)["service_status"]["permit"] != before
    status = r.llm("GET_TOOL_STATUS", tool_id=tool_id)
    assert (status["approval_status"], status["live_version"]) == ("approved", 1), "no new approval of the code"
    shown = r.llm("GET_SERVER_MODULES")
    assert "numpy" in shown["allowed_modules"] and "numpy" not in shown["default_modules"]
    assert shown["is_custom_config"] and shown["total_allowed"] == len(shown["allowed_modules"])
    assert shown["allowed_modules"] == sorted(shown["allowed_modules"])

    r.admin("REVOKE_MODULE", request_id=request["request_id"])
    assert r.sql("SELECT count(*) FROM permits WHERE revoked_at IS NULL") == "0", "what was handed out ends"
    assert not spec_holds(r, "numpy")
    assert r.topics()[-3:] == ["module.requested", "module.approved", "module.revoked"]


def test_module_requests_keep_their_history(staffed):
    r = staffed
    _, tool_id = make_live(r)
    for bad in ("", "no such", "../x"):
        with pytest.raises(Refused) as refused:
            ask_module(r, tool_id, bad)
        assert (refused.value.code, refused.value.field) == ("invalid", "module_name")
    with pytest.raises(Refused, match="justification"):
        r.llm("REQUEST_MODULE", tool_id=tool_id, module_name="numpy")
    with pytest.raises(Refused, match="'json.decoder' needs no approval"):
        ask_module(r, tool_id, "json.decoder")
    one = ask_module(r, tool_id, "scikit-learn")["request_id"]
    with pytest.raises(Refused, match="already waiting"):
        ask_module(r, tool_id, "scikit-learn")
    with pytest.raises(Refused, match="needs a reason"):
        r.admin("DECIDE_MODULE", request_id=one, action="reject")
    r.admin("DECIDE_MODULE", request_id=one, action="reject", reason="too large")
    with pytest.raises(Refused, match="too large.*delete that decision"):
        ask_module(r, tool_id, "scikit-learn")
    with pytest.raises(Refused, match="status is rejected"):
        r.admin("DECIDE_MODULE", request_id=one, action="approve")
    with pytest.raises(Refused) as refused:
        r.admin("DELETE_MODULE_REQUEST", request_id=one, revision=99)
    assert refused.value.code == "stale"
    assert r.admin("DELETE_MODULE_REQUEST", request_id=one)["status"] == "rejected"
    two = ask_module(r, tool_id, "scikit-learn")["request_id"]
    r.admin("DECIDE_MODULE", request_id=two, action="approve")
    with pytest.raises(Refused, match="covered by the approved module 'scikit-learn'"):
        ask_module(r, tool_id, "scikit_learn")
    with pytest.raises(Refused, match="revoke it first"):
        r.admin("DELETE_MODULE_REQUEST", request_id=two)
    assert [m["status"] for m in r.admin("LIST_MODULE_REQUESTS", status="all", search="LEARN")["items"]] == ["approved"]
    with pytest.raises(Refused, match="no status 'odd'"):
        r.admin("LIST_MODULE_REQUESTS", status="odd")


def test_no_gateway_decides_about_modules_and_the_policy_may(staffed):
    r = staffed
    _, tool_id = make_live(r)
    request_id = ask_module(r, tool_id, "numpy")["request_id"]
    for msg, body in (("DECIDE_MODULE", {"request_id": request_id, "action": "approve"}),
                      ("REVOKE_MODULE", {"request_id": request_id}), ("DELETE_MODULE_REQUEST", {"request_id": request_id}),
                      ("UPDATE_MODULES", {"add_modules": ["numpy"]})):
        with pytest.raises(Refused):
            r.llm(msg, **body)
    assert not spec_holds(r, "numpy")
    r.admin("UPDATE_SECURITY_POLICY", module_approval_mode="auto_approve")
    assert ask_module(r, tool_id, "pandas")["status"] == "approved"
    assert spec_holds(r, "pandas") and not spec_holds(r, "numpy")


def test_an_administrator_has_a_list_of_modules(staffed):
    r = staffed
    make_live(r)
    defaults = r.admin("GET_MODULES")["default_modules"]
    changed = r.admin("UPDATE_MODULES", add_modules=["numpy", "a-b"])
    assert changed["is_custom"] and set(changed["allowed_modules"]) == set(defaults) | {"numpy", "a-b", "a_b", "a"}
    assert spec_holds(r, "numpy")
    for body, words in (({"add_modules": ["numpy"]}, "already"), ({"add_modules": ["json"]}, "defaults"),
                        ({"add_modules": ["a b"]}, "no name of a module"), ({}, "no modules were given"),
                        ({"remove_modules": ["json"]}, "not among the modules")):
        with pytest.raises(Refused, match=words):
            r.admin("UPDATE_MODULES", **body)
    assert "numpy" not in r.admin("UPDATE_MODULES", remove_modules=["numpy"])["allowed_modules"]
    assert not spec_holds(r, "numpy")
    with pytest.raises(Refused, match="added by an administrator"):
        r.admin("REVOKE_MODULE", request_id=r.admin("LIST_MODULE_REQUESTS", status="approved")["items"][0]["id"])
    reset = r.admin("UPDATE_MODULES", reset_to_defaults=True)
    assert (reset["allowed_modules"], reset["is_custom"]) == (defaults, False)


def test_a_rejected_host_is_asked_for_again_once_its_decision_is_deleted(staffed):
    r = staffed
    _, tool_id = make_tool(r)
    ask = dict(tool_id=tool_id, host="api.example.com", justification="it asks")
    request_id = r.llm("REQUEST_NETWORK_ACCESS", **ask)["request_id"]
    r.admin("DECIDE_NETWORK", request_id=request_id, action="reject", reason="why?")
    with pytest.raises(Refused, match="delete that decision"):
        r.llm("REQUEST_NETWORK_ACCESS", **ask)
    assert r.admin("DELETE_NETWORK_REQUEST", request_id=request_id)["host"] == "api.example.com"
    request_id = r.llm("REQUEST_NETWORK_ACCESS", **ask)["request_id"]
    r.admin("DECIDE_NETWORK", request_id=request_id, action="approve")
    with pytest.raises(Refused, match="revoke it first"):
        r.admin("DELETE_NETWORK_REQUEST", request_id=request_id)


# ---- secrets -------------------------------------------------------------------------------------


def unseal(r, server_id, name, sealed):
    """As the design says it, with libsodium itself: None when it does not open."""
    sodium = ctypes.CDLL(ctypes.util.find_library("sodium"))
    key = hashlib.blake2b(b"mcpbox secrets 1", digest_size=32, key=bytes.fromhex(r.key)).digest()
    bound = b"secret\0" + server_id.encode() + b"\0" + name.encode()
    out, length = ctypes.create_string_buffer(len(sealed)), ctypes.c_ulonglong()
    bad = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
        out, ctypes.byref(length), None, sealed[24:], ctypes.c_ulonglong(len(sealed) - 24), bound,
        ctypes.c_ulonglong(len(bound)), sealed[:24], key)
    return None if bad else out.raw[:length.value].decode()


VALUE = "s3cr3t-value-öäü"


def test_a_secret_is_sealed_for_its_server_and_name_and_is_shown_nowhere(staffed):
    r = staffed
    server_id, tool_id = make_live(r)
    made = r.llm("CREATE_SERVER_SECRET", server_id=server_id, key="API_KEY", description="of the weather service")
    assert (made["success"], made["key"], made["has_value"]) == (True, "API_KEY", False)
    listed = r.llm("LIST_SERVER_SECRETS", server_id=server_id)
    assert listed["secrets"] == [{"key": "API_KEY", "description": "of the weather service", "has_value": False}]
    answer = r.admin("SET_SECRET", server_id=server_id, key="API_KEY", value=VALUE, hosts=["API.example.com."])["secret"]
    assert (answer["has_value"], answer["mode"], answer["hosts"]) == (True, "inject", ["api.example.com"])
    assert r.llm("LIST_SERVER_SECRETS", server_id=server_id)["secrets"][0]["has_value"] is True

    sealed = bytes.fromhex(r.sql("SELECT encode(value, 'hex') FROM secrets"))
    assert unseal(r, server_id, "API_KEY", sealed) == VALUE
    assert unseal(r, server_id, "API_KEY2", sealed) is None and unseal(r, tool_id, "API_KEY", sealed) is None
    r.admin("SET_SECRET", server_id=server_id, key="API_KEY", value=VALUE)
    assert bytes.fromhex(r.sql("SELECT encode(value, 'hex') FROM secrets"))[:24] != sealed[:24], "a fresh nonce"

    said = json.dumps([answer, r.admin("LIST_SECRETS", server_id=server_id), r.owner("LIST_AUDIT", limit=500)["events"]])
    tables = r.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'").split()
    kept = "".join(r.sql(f"SELECT coalesce(string_agg(x::text, ''), '') FROM {t} x") for t in tables)
    assert kept and not any(form in text for text in (said, kept, "".join(r.log))
                            for form in (VALUE, VALUE.encode().hex(), json.dumps(VALUE)))
    assert [e["outcome"] for e in r.owner("LIST_AUDIT", topics=["secret.set"], limit=9)["events"]] == ["ok", "ok"]


def test_refuses_bad_secrets_and_says_the_value_in_no_refusal(staffed):
    r = staffed
    server_id, _ = make_tool(r)
    r.llm("CREATE_SERVER_SECRET", server_id=server_id, key="API_KEY")
    for msg, body, words in (
            ("CREATE_SERVER_SECRET", {"key": "API_KEY"}, "already"), ("CREATE_SERVER_SECRET", {"key": "a b"}, "letters"),
            ("CREATE_SERVER_SECRET", {}, "missing"), ("ADD_SECRET", {"key_name": "api_key"}, "capital letters"),
            ("SET_SECRET", {"key": "API_KEY"}, "value is missing"),
            ("SET_SECRET", {"key": "API_KEY", "value": VALUE * 1000}, "longer than 10000"),
            ("SET_SECRET", {"key": "API_KEY", "value": VALUE, "mode": "show"}, "inject or reveal"),
            ("SET_SECRET", {"key": "API_KEY", "value": VALUE, "hosts": ["a b"]}, ""),
            ("SET_SECRET", {"key": "OTHER", "value": VALUE}, "no secret of that name"),
            ("SET_SECRET", {"key": "API_KEY", "value": VALUE, "revision": 7}, "changed")):
        with pytest.raises(Refused, match=words) as refused:
            r.admin(msg, server_id=server_id, **body)
        assert VALUE not in refused.value.text + refused.value.hint
    for msg in ("SET_SECRET", "DELETE_SECRET", "ADD_SECRET"):
        with pytest.raises(Refused):
            r.llm(msg, server_id=server_id, key="API_KEY")
    made = r.admin("ADD_SECRET", server_id=server_id, key_name="TOKEN_2")["secret"]
    assert (made["key_name"], made["has_value"], made["revision"]) == ("TOKEN_2", False, 1)
    assert r.admin("DELETE_SECRET", server_id=server_id, key="TOKEN_2")["success"]
    assert [s["key_name"] for s in r.admin("LIST_SECRETS", server_id=server_id)["items"]] == ["API_KEY"]


def granted(r, name="service_status"):
    """The grant of a tool as executors and the egress-proxy get it: what text stands in its bytes."""
    return published(r)[name]["grant_hash"], r.sql(
        "SELECT encode(b.data, 'escape') FROM servers s JOIN blobs b ON b.hash = s.grant_hash")


def test_a_new_value_a_mode_and_a_deletion_are_in_the_next_grant(staffed):
    r = staffed
    server_id, tool_id = make_live(r)
    hashes = [granted(r)[0]]
    r.llm("CREATE_SERVER_SECRET", server_id=server_id, key="API_KEY")
    assert granted(r)[0] == hashes[0], "without a value it is nowhere"
    for change in ({"value": VALUE}, {"value": VALUE}, {"value": "another", "mode": "reveal"}):
        r.admin("SET_SECRET", server_id=server_id, key="API_KEY", **change)
        hashed, data = granted(r)
        assert hashed not in hashes and "API_KEY" in data and VALUE not in data and "another" not in data
        hashes.append(hashed)
    assert r.admin("LIST_TOOL_APPROVALS", status="all")["items"][0]["revealed_secrets"] == ["API_KEY"]
    permits = r.sql("SELECT count(*) FROM permits WHERE revoked_at IS NULL")
    r.admin("DELETE_SECRET", server_id=server_id, key="API_KEY")
    assert permits != "0" and r.sql("SELECT count(*) FROM permits WHERE revoked_at IS NULL") == "0"
    assert "API_KEY" not in granted(r)[1]


def test_what_is_not_said_when_a_value_is_set_stays_as_it_was(staffed):
    r = staffed
    server_id, _ = make_live(r)
    r.llm("CREATE_SERVER_SECRET", server_id=server_id, key="K")

    def put(**body):
        s = r.admin("SET_SECRET", server_id=server_id, key="K", value=VALUE, **body)["secret"]
        return s["mode"], s.get("hosts", []), s["places"]

    assert put() == ("inject", [], ["header"])
    bound = ("inject", ["api.example.com", "*.example.org:8443"], ["query", "body"])
    assert put(hosts=["api.example.com", "*.example.org:8443"], places=["body", "query", "body"]) == bound
    assert put() == bound, "a new value does not loosen its bonds"
    assert put(mode="reveal") == ("reveal", *bound[1:])
    assert put(mode="inject", hosts=["*"], places=["header"]) == ("inject", [], ["header"])
    with pytest.raises(Refused, match="header, query, path and body"):
        put(places=["cookie"])


def test_a_rotation_seals_everything_anew_and_grants_with_it(staffed):
    r = staffed
    server_id, _ = make_live(r)
    other_id, _ = make_live(r, server="other")
    for server, key in ((server_id, "A"), (server_id, "B"), (other_id, "A"), (other_id, "EMPTY")):
        r.admin("ADD_SECRET", server_id=server, key_name=key)
        if key != "EMPTY":
            r.admin("SET_SECRET", server_id=server, key=key, value=VALUE + key)
    sealed = "SELECT string_agg(encode(value, 'hex'), ' ' ORDER BY id) FROM secrets"
    seen = [(r.sql(sealed), granted(r))]
    for generation in (2, 3):
        done = r.admin("ROTATE_KEYS")
        assert (done["success"], done["generation"], done["secrets"]) == (True, generation, 3)
        now = (r.sql(sealed), granted(r))
        assert all(now[0] != was[0] and now[1][0] != was[1][0] for was in seen)
        assert not set(now[0].split()) & set(" ".join(was[0] for was in seen).split())
        seen.append(now)
        assert "A" in now[1][1] and "B" in now[1][1], "they open: else they would be left out"
        assert r.sql("SELECT string_agg(generation::text, ' ') FROM data_keys") == str(generation), "the old key is gone"
        assert unseal(r, server_id, "A", bytes.fromhex(now[0].split()[0])) is None, "the root alone opens nothing"
    assert not any("secret.not_opened" in line for line in r.log)
    r.admin("SET_SECRET", server_id=server_id, key="B", value="new")
    assert r.sql("SELECT DISTINCT key_generation FROM secrets WHERE value IS NOT NULL") == "3"
    for door in ("llm", "owner"):
        with pytest.raises(Refused):
            getattr(r, door)("ROTATE_KEYS")
    assert [e["detail"]["generation"] for e in r.owner("LIST_AUDIT", topics=["keys.rotated"], limit=9)["events"]
            if e["outcome"] == "ok"] in ([2, 3], [3, 2])


def ask_quietly(r, asker, msg):
    """Of somebody who will get no answer."""
    try:
        r.ask("admin", "USER", msg, asker=asker, secret=r.token, remote="192.0.2.1")
    except Exception:
        pass


def wait_for(happened):
    end = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_rotation_that_is_killed_anywhere_is_whole_or_was_never(staffed):
    r = staffed
    server_id, _ = make_live(r)
    for i in range(40):
        r.admin("ADD_SECRET", server_id=server_id, key_name=f"K{i}")
        r.admin("SET_SECRET", server_id=server_id, key=f"K{i}", value=f"{VALUE}-{i}")
    state = "SELECT count(DISTINCT key_generation), max(key_generation) FROM secrets"
    assert r.sql(state) == "1|1"
    r.sql("CREATE FUNCTION stall() RETURNS trigger LANGUAGE plpgsql AS "
          "$$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$")
    # Killed under its first statement, among the values, and under its last.
    for table, event in (("data_keys", "INSERT"), ("secrets", "UPDATE"), ("servers", "UPDATE")):
        r.sql(f"CREATE TRIGGER stall AFTER {event} ON {table} FOR EACH STATEMENT EXECUTE FUNCTION stall()")
        asker = r.new_asker()
        threading.Thread(target=ask_quietly, args=(r, asker, "ROTATE_KEYS"), daemon=True).start()
        sleeping = "FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        wait_for(lambda: r.sql("SELECT count(*) " + sleeping) == "1")
        r.kill()
        r.sql("SELECT pg_terminate_backend(pid) " + sleeping)
        wait_for(lambda: r.sql("SELECT count(*) " + sleeping) == "0")
        r.sql(f"DROP TRIGGER stall ON {table}")
        assert r.sql(state) == "1|1" and r.sql("SELECT count(*) FROM data_keys") == "0"
        r.start()
    r.asker = r.new_asker()
    assert r.admin("ROTATE_KEYS")["secrets"] == 40
    assert r.sql(state) == "1|2"
    r.kill()
    r.start()
    r.asker = r.new_asker()
    assert "K39" in granted(r)[1] and not any("secret.not_opened" in line for line in r.log)


def test_a_value_that_does_not_open_stops_a_rotation_and_is_named(staffed):
    r = staffed
    server_id, _ = make_live(r)
    for key in ("GOOD", "BAD"):
        r.admin("ADD_SECRET", server_id=server_id, key_name=key)
        r.admin("SET_SECRET", server_id=server_id, key=key, value=VALUE)
    r.sql("UPDATE secrets SET value = value || '\\x00' WHERE key_name = 'BAD'")
    kept = r.sql("SELECT string_agg(value::text, ' ') FROM secrets")
    with pytest.raises(Refused, match="'BAD'.*nothing was changed") as refused:
        r.admin("ROTATE_KEYS")
    assert "set its value again" in refused.value.hint
    assert r.sql("SELECT string_agg(value::text, ' ') FROM secrets") == kept and r.sql("SELECT count(*) FROM data_keys") == "0"


def test_the_secrets_of_one_server_have_a_ceiling(staffed):
    r = staffed
    server_id, _ = make_live(r)
    for i in range(13):
        r.admin("ADD_SECRET", server_id=server_id, key_name=f"K{i}")
    for i in range(12):
        r.admin("SET_SECRET", server_id=server_id, key=f"K{i}", value="x" * 10000)
    with pytest.raises(Refused, match="128 KiB"):
        r.admin("SET_SECRET", server_id=server_id, key="K12", value="x" * 10000)
    r.admin("SET_SECRET", server_id=server_id, key="K0", value="y" * 10000)


# ---- logs of calls -------------------------------------------------------------------------------


def ship_calls(r, calls):
    """call id -> what its records say; each a start and an end, an end of None left out."""
    records = []
    for i, (call_id, tool_id, server_id, start, end) in enumerate(calls):
        at = f"2026-11-22T12:00:{i:02d}.000Z"
        records.append({"at": at, "kind": "call_started", "call_id": call_id,
                        "call": {"tool_id": tool_id, "server_id": server_id, "tool_name": "service_status", **start}})
        if end:
            records.append({"at": at, "kind": "call_ended", "call_id": call_id, "call": end})
    for no, record in enumerate(records, 1):
        record["no"] = no
    r.gateway("SHIP_RECORDS", origin="gateway-" + secrets.token_hex(4), records=records)


def test_calls_are_listed_for_authors_and_for_people(staffed):
    r = staffed
    server_id, tool_id = make_live(r)
    ship_calls(r, [
        ("c1", tool_id, server_id, {"input_args": {"a": 1}, "executed_by": "eve"},
         {"outcome": "ok", "result": {"x": [1]}, "stdout": "hi\n", "duration_ms": 7}),
        ("c2", tool_id, server_id, {"is_test": True}, {"outcome": "timeout", "error": "too slow", "duration_ms": 21}),
        ("c3", tool_id, server_id, {}, None),
        ("c4", "other", "elsewhere", {}, {"outcome": "ok", "duration_ms": 2})])
    logs = r.llm("GET_TOOL_LOGS", tool_id=tool_id)
    assert (logs["tool_name"], logs["total"], [entry["id"] for entry in logs["logs"]]) == ("service_status", 2, ["c2", "c1"])
    assert logs["logs"][1] == {"id": "c1", "success": True, "duration_ms": 7, "error": None, "input_args": {"a": 1},
                               "result": {"x": [1]}, "stdout": "hi\n", "executed_by": "eve",
                               "created_at": "2026-11-22T12:00:00.000Z"}
    assert (logs["logs"][0]["success"], logs["logs"][0]["error"], logs["logs"][0]["result"]) == (False, "too slow", None)
    assert [entry["id"] for entry in r.llm("GET_TOOL_LOGS", tool_id="news/service_status", limit=1)["logs"]] == ["c2"]
    with pytest.raises(Refused, match="not found"):
        r.llm("GET_TOOL_LOGS", tool_id=server_id)

    def ids(**filters):
        found = r.admin("LIST_EXECUTIONS", **filters)
        assert found["total"] == len(found["items"])
        return [e["id"] for e in found["items"]]
    assert ids() == ["c4", "c3", "c2", "c1"]
    assert ids(server_id=server_id) == ["c3", "c2", "c1"] and ids(tool_id="other") == ["c4"]
    assert ids(success=True) == ["c4", "c1"] and ids(success=False) == ["c2"]
    assert ids(executed_by="eve") == ["c1"] and ids(tool_name="SERVICE") == ["c4", "c3", "c2", "c1"]
    page = r.admin("LIST_EXECUTIONS", page=2, page_size=3)
    assert ([e["id"] for e in page["items"]], page["total"], page["pages"]) == (["c1"], 4, 2)
    one = r.admin("GET_EXECUTION", log_id="c2")
    assert (one["is_test"], one["outcome"]) == (True, "timeout")
    assert r.admin("GET_EXECUTION", log_id="c3")["outcome"] is None
    stats = r.admin("GET_EXECUTION_STATS", period_hours=8760)
    assert (stats["total_executions"], stats["successful"], stats["failed"], stats["avg_duration_ms"]) == (4, 2, 1, 10)
    assert (stats["unique_tools"], stats["unique_users"], stats["period_hours"]) == (2, 1, 8760)
    with pytest.raises(Refused, match="period_hours"):
        r.admin("GET_EXECUTION_STATS", period_hours=8761)


def test_a_result_that_was_cut_is_shown_as_text(staffed):
    r = staffed
    server_id, tool_id = make_live(r)
    ship_calls(r, [("c1", tool_id, server_id, {}, {"outcome": "ok", "result": {"x": "y" * 70000}})])
    result = r.llm("GET_TOOL_LOGS", tool_id=tool_id)["logs"][0]["result"]
    assert isinstance(result, str) and result.startswith('{"x":"yyy')


# ---- pause ---------------------------------------------------------------------------------------


def newest_status(r):
    """What the registry says of itself; its follower has read the state anew before a change is answered."""
    answer = r.asker.send({"do": "status"})
    assert answer["ok"], answer
    return answer["reply"]


def test_pause_takes_every_call_away_at_once_and_resume_undoes_it(staffed):
    r = staffed
    make_live(r)
    permit = published(r)["service_status"]["permit"]
    assert r.admin("PAUSE")["paused"] is True
    assert published(r) == {}
    assert r.gateway("GET_TOOL_MAP")["paused"] == [
        {"published_name": "service_status", "server_name": "news", "tool_name": "service_status"}]
    assert newest_status(r)["paused"] is True
    assert r.sql("SELECT count(*) FROM permits WHERE revoked_at IS NULL AND not_after > now()") == "0"
    with pytest.raises(Refused, match="all calls are paused"):
        r.llm("PREPARE_TEST", tool_id="news/service_status")
    with pytest.raises(Refused, match="paused already"):
        r.admin("PAUSE")
    r.kill()
    r.start()
    assert r.is_ready and published(r) == {}, "it holds over a restart"
    assert newest_status(r)["paused"] is True and r.gateway("GET_TOOL_MAP")["paused"]
    assert r.admin("RESUME")["paused"] is False
    assert newest_status(r)["paused"] is False and r.gateway("GET_TOOL_MAP")["paused"] == []
    assert published(r)["service_status"]["permit"] != permit
    assert r.llm("PREPARE_TEST", tool_id="news/service_status")["tool"]["version"] == 1
    with pytest.raises(Refused, match="not paused"):
        r.admin("RESUME")
    assert [e["object_id"] for e in r.owner("LIST_AUDIT", topics=["server.paused", "server.resumed"], limit=9)["events"]
            if e["outcome"] == "ok"] == ["all", "all"]


def test_one_server_is_paused_without_the_others(staffed):
    r = staffed
    server_id, _ = make_live(r)
    make_live(r, server="other", name="still_there")
    assert r.admin("PAUSE", server_id=server_id)["paused_servers"] == ["news"]
    assert list(published(r)) == ["still_there"]
    assert [p["published_name"] for p in r.gateway("GET_TOOL_MAP")["paused"]] == ["service_status"]
    assert (newest_status(r)["paused"], newest_status(r)["paused_servers"]) == (False, ["news"])
    shown = r.llm("GET_SERVER", server_id=server_id)["server"]
    assert (shown["status"], shown["paused"]) == ("running", True)
    with pytest.raises(Refused, match="of this server are paused"):
        r.llm("PREPARE_TEST", tool_id="news/service_status")
    r.llm("STOP_SERVER", server_id=server_id)
    with pytest.raises(Refused, match="'news' is paused"):
        r.llm("START_SERVER", server_id=server_id)
    assert r.admin("RESUME", server_id=server_id)["paused_servers"] == []
    r.llm("START_SERVER", server_id=server_id)
    assert set(published(r)) == {"service_status", "still_there"}
    for msg in ("PAUSE", "RESUME"):
        with pytest.raises(Refused):
            r.llm(msg)


# ---- people, sessions, tokens --------------------------------------------------------------------


def as_token(r, token, msg, **body):
    return r.ask("admin", "TOKEN", msg, body, secret=token)


def test_accounts_have_roles_and_one_administrator_always_stays(staffed):
    r = staffed
    made = r.admin("CREATE_USER", username="ben", password=PASSWORD, role="reviewer")["user"]
    assert (made["username"], made["role"], made["is_active"]) == ("ben", "reviewer", True)
    assert [u["username"] for u in r.admin("LIST_USERS")["items"]] == ["anna", "ben"]
    for body, words in (({"username": "ben"}, "already"), ({"username": "b"}, "3 to 50"),
                        ({"username": "carl", "role": "king"}, "role must be"),
                        ({"username": "carl", "password": "short"}, "12 to 128")):
        with pytest.raises(Refused, match=words):
            r.admin("CREATE_USER", **{"password": PASSWORD, "role": "viewer", **body})
    _, tool_id = make_tool(r)
    anna = r.token
    r.log_in("ben")
    ben = r.token
    assert r.admin("DECIDE_TOOL", tool_id=tool_id, action="approve")["status"] == "approved"
    with pytest.raises(Refused) as refused:
        r.admin("CREATE_USER", username="eve", password=PASSWORD, role="admin")
    assert refused.value.code == "denied"
    r.token = anna
    r.admin("UPDATE_USER", user_id=made["id"], role="viewer")
    r.token = ben
    with pytest.raises(Refused, match="ben may not"):
        r.admin("REVOKE_TOOL", tool_id=tool_id)
    assert r.admin("WHO_AM_I")["role"] == "viewer", "in force at once, in a running session"
    r.token = anna
    with pytest.raises(Refused) as refused:
        r.admin("UPDATE_USER", user_id=made["id"], role="admin", revision=1)
    assert refused.value.code == "stale"
    r.admin("UPDATE_USER", user_id=made["id"], is_active=False)
    r.token = ben
    with pytest.raises(Refused) as refused:
        r.admin("WHO_AM_I")
    assert refused.value.code == "unauthenticated"
    r.token = anna
    own = r.admin("WHO_AM_I")["id"]
    for msg, body in (("UPDATE_USER", {"role": "viewer"}), ("UPDATE_USER", {"is_active": False}), ("DELETE_USER", {})):
        with pytest.raises(Refused, match="nobody would be left"):
            r.admin(msg, user_id=own, **body)
    r.admin("DELETE_USER", user_id=made["id"])
    assert [u["username"] for u in r.admin("LIST_USERS")["items"]] == ["anna"]
    kept = [e["topic"] for e in r.owner("LIST_AUDIT", limit=500)["events"] if e["topic"].startswith("user.")
            and e["outcome"] == "ok"]
    assert kept == ["user.created", "user.updated", "user.updated", "user.deleted"]


def test_a_new_password_ends_the_other_sessions(staffed):
    r = staffed
    first = r.token
    r.log_in()
    with pytest.raises(Refused, match="current password is wrong") as refused:
        r.admin("CHANGE_PASSWORD", current_password="not the right one", new_password="another good one")
    assert refused.value.code == "state"
    with pytest.raises(Refused, match="12 to 128"):
        r.admin("CHANGE_PASSWORD", current_password=PASSWORD, new_password="short")
    r.admin("CHANGE_PASSWORD", current_password=PASSWORD, new_password="another good one")
    assert r.admin("WHO_AM_I")["username"] == "anna"
    r.token = first
    with pytest.raises(Refused) as refused:
        r.admin("WHO_AM_I")
    assert refused.value.code == "unauthenticated"
    with pytest.raises(Refused):
        r.log_in()
    r.log_in(password="another good one")


def test_guessing_the_current_password_is_locked_like_logging_in(staffed):
    for _ in range(5):
        with pytest.raises(Refused, match="wrong"):
            staffed.admin("CHANGE_PASSWORD", current_password="not the right one", new_password="another good one")
    with pytest.raises(Refused) as refused:
        staffed.admin("CHANGE_PASSWORD", current_password=PASSWORD, new_password="another good one")
    assert refused.value.code == "rate_limited"


def test_sessions_are_listed_and_ended(staffed):
    r = staffed
    first = r.token
    r.log_in()
    sessions = r.admin("LIST_SESSIONS")["items"]
    assert [s["is_current"] for s in sessions] == [True, False]
    assert {(s["username"], s["remote"]) for s in sessions} == {("anna", "192.0.2.1")}
    r.admin("CREATE_USER", username="ben", password=PASSWORD, role="viewer")
    anna, other = r.token, sessions[1]["id"]
    r.log_in("ben")
    assert [s["username"] for s in r.admin("LIST_SESSIONS")["items"]] == ["ben"], "one's own only"
    with pytest.raises(Refused, match="not found"):
        r.admin("END_SESSION", session_id=other)
    r.token = anna
    assert len(r.admin("LIST_SESSIONS")["items"]) == 3
    r.admin("END_SESSION", session_id=other)
    r.token = first
    with pytest.raises(Refused) as refused:
        r.admin("WHO_AM_I")
    assert refused.value.code == "unauthenticated"


def test_api_tokens_are_shown_once_kept_hashed_and_end(staffed):
    r = staffed
    made = r.admin("CREATE_TOKEN", name="ci", scope="read", expires_at="2099-01-01T00:00:00.000Z")
    token = made["token"]
    assert token.startswith("mcpbox.") and len(token) > 40
    assert as_token(r, token, "LIST_SERVERS")["total"] == 0
    for msg, body in (("CREATE_SERVER", {"name": "news"}), ("UPDATE_SECURITY_POLICY", {"approvals_required": 2}),
                      ("CREATE_TOKEN", {"name": "more", "scope": "admin"}), ("LIST_SESSIONS", {})):
        with pytest.raises(Refused) as refused:
            as_token(r, token, msg, **body)
        assert refused.value.code == "denied"
    listed = r.admin("LIST_TOKENS")["items"]
    assert [(t["name"], t["scope"], t["username"]) for t in listed] == [("ci", "read", "anna")]
    tables = r.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'").split()
    kept = "".join(r.sql(f"SELECT coalesce(string_agg(x::text, ''), '') FROM {t} x") for t in tables)
    assert not any(text in kept + json.dumps(listed) for text in (token, token.encode().hex()))
    digest = hashlib.blake2b(token.encode(), digest_size=32).hexdigest()
    assert r.sql("SELECT encode(token_hash, 'hex') FROM api_tokens") == digest
    for body, words in (({"scope": "all", "name": "x"}, "scope must be"), ({"scope": "read"}, "name is missing"),
                        ({"scope": "read", "name": "x", "expires_at": "2001-01-01T00:00:00.000Z"}, "future")):
        with pytest.raises(Refused, match=words):
            r.admin("CREATE_TOKEN", **body)
    r.sql("UPDATE api_tokens SET expires_at = now()")
    with pytest.raises(Refused) as refused:
        as_token(r, token, "LIST_SERVERS")
    assert refused.value.code == "unauthenticated"
    admin = r.admin("CREATE_TOKEN", name="ops", scope="admin")
    assert as_token(r, admin["token"], "CREATE_SERVER", name="news")["success"]
    r.admin("DELETE_TOKEN", token_id=admin["id"])
    with pytest.raises(Refused) as refused:
        as_token(r, admin["token"], "LIST_SERVERS")
    assert refused.value.code == "unauthenticated"
    assert "token:anna" in {e["actor"] for e in r.owner("LIST_AUDIT", topics=["server.created"], limit=9)["events"]}


def test_a_gateway_learns_what_a_token_may_and_nothing_more(staffed):
    r = staffed
    r.admin("CREATE_USER", username="vera", password=PASSWORD, role="viewer")
    for scope, may_call in (("read", False), ("call", True), ("author", True), ("admin", True)):
        made = r.admin("CREATE_TOKEN", name=scope, scope=scope, expires_at="2099-01-01T00:00:00.000Z")
        told = r.ask("gateway", "TOKEN", "CHECK_TOKEN", secret=made["token"])
        assert told == {"token_id": made["id"], "username": "anna", "may_call": may_call,
                        "expires_at": "2099-01-01T00:00:00.000Z"}
    for role, kind, secret in (("gateway", "TOKEN", "mcpbox.guess"), ("gateway", "LOCAL", ""), ("admin", "TOKEN", made["token"]),
                               ("gateway", "TOKEN", r.token)):
        with pytest.raises(Refused) as refused:
            r.ask(role, kind, "CHECK_TOKEN", secret=secret)
        assert refused.value.code in ("unauthenticated", "denied")


def test_what_comes_with_a_token_is_its_owners_within_its_scope(staffed):
    r = staffed
    r.admin("UPDATE_SECURITY_POLICY", approvals_required=2)
    r.admin("CREATE_USER", username="ben", password=PASSWORD, role="admin")
    ben = r.stranger("LOGIN", username="ben", password=PASSWORD)["access_token"]
    tokens = {scope: r.ask("admin", "USER", "CREATE_TOKEN", {"name": scope, "scope": scope}, secret=ben)["token"]
              for scope in ("read", "call", "author", "admin")}

    def by(scope, msg, **body):
        return r.ask("gateway", "TOKEN", msg, body, secret=tokens[scope])

    for scope in ("read", "call"):
        assert by(scope, "LIST_SERVERS")["total"] == 0
        with pytest.raises(Refused) as refused:
            by(scope, "CREATE_SERVER", name="news")
        assert (refused.value.code, refused.value.text) == ("denied", "token:ben may not do this")
    server_id = by("author", "CREATE_SERVER", name="news")["id"]
    tool_id = by("author", "CREATE_TOOL", server_id=server_id, name="mine", python_code=CODE)["id"]
    by("author", "REQUEST_PUBLISH", tool_id=tool_id)
    assert by("read", "GET_TOOL_STATUS", tool_id=tool_id)["created_by"] == "ben"
    with pytest.raises(Refused) as refused:
        by("admin", "DECIDE_TOOL", tool_id=tool_id, action="approve")
    assert refused.value.code == "denied", "no gateway carries decisions, whatever the scope"
    for kind, secret in (("USER", ben), ("TOKEN", tokens["admin"])):
        with pytest.raises(Refused, match="the author's own does not count"):
            r.ask("admin", kind, "DECIDE_TOOL", {"tool_id": tool_id, "action": "approve"}, secret=secret)
    assert [e["actor"] for e in r.wait_for_topic("tool.created")] == ["token:ben"]
    r.admin("UPDATE_USER", user_id=r.ask("admin", "USER", "WHO_AM_I", secret=ben)["id"], role="viewer")
    with pytest.raises(Refused):
        by("admin", "CREATE_SERVER", name="more")


# ---- test runs by reviewers ----------------------------------------------------------------------


def executions(r):
    return [tuple(row.split("|")) for row in r.sql(
        "SELECT tool_name, version, is_test, via, executed_by, outcome FROM executions ORDER BY started_at").split()]


def test_a_reviewer_runs_what_nobody_approved_with_a_permit_for_that_alone(staffed):
    r = staffed
    _, tool_id = make_tool(r)
    answer = r.admin("TEST_CODE", tool_id="news/service_status", arguments={"city": "Oslo", "password": "x"})
    assert (answer["success"], answer["outcome"], answer["version"]) == (True, "ok", 1)
    assert (answer["stdout"], answer["duration_ms"], answer["error"]) == ("printed", 7, None)
    assert answer["hosts"] == [] and answer["hosts_complete"] is True
    purpose, audience, arguments = (answer["result"][k] for k in ("purpose", "audience", "arguments"))
    assert (purpose, audience) == (6, [3, 4]), "review: for executor and egress-proxy, for no gateway"
    assert arguments == {"city": "Oslo", "password": "x"}
    assert executions(r) == [("service_status", "1", "t", "rest", "anna", "ok")]
    log = r.admin("GET_EXECUTION", log_id=answer["log_id"])
    assert log["is_test"] and log["input_args"] == {"city": "Oslo", "password": "[redacted]"}
    assert [e["detail"]["status"] for e in r.wait_for_topic("tool.tested")] == ["draft"]
    assert r.admin("GET_TOOL", tool_id=tool_id)["tool"]["approval_status"] == "draft", "nothing is approved by it"
    assert published(r) == {} and r.owner("VERIFY_AUDIT")["intact"]
    assert r.sql("SELECT count(*) FROM trials") == "0"


@pytest.mark.parametrize("arguments", [[1], "text", 5])
def test_a_test_run_wants_an_object(staffed, arguments):
    make_tool(staffed)
    with pytest.raises(Refused, match="arguments must be a JSON object"):
        staffed.admin("TEST_CODE", tool_id="news/service_status", arguments=arguments)
    assert executions(staffed) == []


def test_only_those_who_decide_may_run_a_test(staffed):
    r = staffed
    make_tool(r)
    for kind in ("LOCAL", "MCP"):
        with pytest.raises(Refused) as refused:
            r.ask("gateway", kind, "TEST_CODE", {"tool_id": "news/service_status"})
        assert refused.value.code == "denied"
    for role, allowed in (("viewer", False), ("author", False), ("reviewer", True), ("admin", True)):
        r.admin("CREATE_USER", username=role, password=PASSWORD, role=role)
        token = r.stranger("LOGIN", username=role, password=PASSWORD)["access_token"]
        if allowed:
            assert r.ask("admin", "USER", "TEST_CODE", {"tool_id": "news/service_status"}, secret=token)["success"]
            continue
        with pytest.raises(Refused) as refused:
            r.ask("admin", "USER", "TEST_CODE", {"tool_id": "news/service_status"}, secret=token)
        assert refused.value.code == "denied"


def test_a_paused_server_runs_no_test(staffed):
    r = staffed
    server_id, _ = make_tool(r)
    r.admin("PAUSE", server_id=server_id)
    with pytest.raises(Refused, match="paused"):
        r.admin("TEST_CODE", tool_id="news/service_status")
    assert [e["outcome"] for e in r.wait_for_topic("tool.tested")] == ["refused"] and executions(r) == []


def test_a_test_run_without_an_executor_says_so_and_is_on_record(staffed):
    r = staffed
    make_tool(r)
    r.asker.send({"do": "leave"})
    r.wait_for_topic("instance.left")
    answer = r.admin("TEST_CODE", tool_id="news/service_status")
    assert (answer["success"], answer["outcome"]) == (False, "not_started")
    assert answer["error"] and answer["duration_ms"] is None
    assert [row[5] for row in executions(r)] == ["not_started"]


def hang(r, **more):
    """A test run that never ends, asked on a connection of its own; returns when its start is on record."""
    asker = r.new_asker()
    thread = threading.Thread(daemon=True, target=asker.send, args=[{
        "as": "admin", "kind": "USER", "msg": "TEST_CODE", "secret": r.token,
        "body": {"tool_id": "news/service_status", "arguments": {"hang": True}}, **more}])
    before = int(r.sql("SELECT count(*) FROM trials"))
    thread.start()
    for _ in range(2000):
        if int(r.sql("SELECT count(*) FROM trials")) > before:
            return
    raise AssertionError("it did not begin")


def test_a_repeated_question_runs_nothing_twice(staffed):
    r = staffed
    make_tool(r)
    hang(r, request_id="ab" * 16)
    with pytest.raises(Refused, match="was begun already"):
        r.ask("admin", "USER", "TEST_CODE", {"tool_id": "news/service_status", "arguments": {"hang": True}},
              secret=r.token, request_id="ab" * 16)
    assert len(executions(r)) == 1


def test_test_runs_leave_workers_for_other_questions(staffed):
    r = staffed
    make_tool(r)
    hang(r)
    hang(r)
    with pytest.raises(Refused, match="2 test runs are going on already") as refused:
        r.admin("TEST_CODE", tool_id="news/service_status")
    assert refused.value.code == "busy"
    assert r.admin("GET_TOOL", tool_id="news/service_status")["tool"]["name"] == "service_status"


def test_a_test_run_that_the_registry_did_not_survive_gets_its_end(staffed):
    r = staffed
    make_tool(r)
    hang(r)
    assert [row[5] for row in executions(r)] == [""]
    r.kill()
    r.start()
    assert r.is_ready
    assert [row[5] for row in executions(r)] == ["unknown"]
    assert r.sql("SELECT count(*) FROM trials") == "0" and r.owner("VERIFY_AUDIT")["intact"]
