"""Servers as files: export and import of the real registry on a real PostgreSQL."""

import hashlib
import hmac
import json
import secrets
import subprocess
import threading
from pathlib import Path

import pytest

from admin_harness import BIN, WAIT, Admin, make_keys
from registry_harness import POSTGRES, Cluster, Refused, Registry

CODE = "async def main():\n    return 1\n"
SCHEMA = {"type": "object", "properties": {"n": {"type": "number", "default": 0.1}}}
FIXTURE = (Path(__file__).parent / "files" / "export-1.2.json").read_text()


@pytest.fixture(scope="module")
def cluster():
    made = Cluster()
    yield made
    made.remove()


def staffed_registry(cluster, **more):
    made = Registry(cluster, **more)
    made.join_executor()
    made.log_in()
    return made


@pytest.fixture
def registry(cluster):
    made = staffed_registry(cluster)
    yield made
    made.close()


@pytest.fixture
def other(cluster):
    """Another instance, with another key."""
    made = staffed_registry(cluster)
    yield made
    made.close()


@pytest.fixture
def sister(cluster, registry):
    """Another instance with the same key."""
    made = staffed_registry(cluster, key=registry.key)
    yield made
    made.close()


def fill(r):
    """A server with everything: versions, a live one, hosts of all kinds, modules, secrets."""
    server = r.llm("CREATE_SERVER", name="news", description="What is new, ünd \U0001f600")["id"]
    tool = r.llm("CREATE_TOOL", server_id=server, name="status", python_code=CODE, timeout_ms=5000,
                 description="Says how it is", limits={"memory_mb": 64},
                 input_schema=SCHEMA)["id"]
    r.llm("REQUEST_PUBLISH", tool_id=tool, notes="please")
    r.admin("DECIDE_TOOL", tool_id=tool, action="approve")
    r.llm("UPDATE_TOOL", tool_id=tool, python_code=CODE + "# second\n", input_schema=SCHEMA)
    r.llm("CREATE_TOOL", server_id=server, name="other", python_code=CODE, title="Another")
    public, refused = (r.llm("REQUEST_NETWORK_ACCESS", tool_id=tool, host=h, justification="it asks")["request_id"]
                       for h in ("api.example.com", "bad.example.com:8443"))
    r.llm("REQUEST_NETWORK_ACCESS", tool_id=tool, host="later.example.com", justification="it will ask")
    private = r.llm("REQUEST_NETWORK_ACCESS", tool_id=tool, host="192.168.1.5:80+private",
                    justification="the printer")["request_id"]
    r.admin("DECIDE_NETWORK", request_id=public, action="approve")
    r.admin("DECIDE_NETWORK", request_id=refused, action="reject", reason="no")
    r.admin("DECIDE_NETWORK", request_id=private, action="approve", allow_private=True)
    r.admin("ALLOW_HOST", server_id=server, host="static.example.com")
    module = r.llm("REQUEST_MODULE", tool_id=tool, module_name="numpy", justification="to count")["request_id"]
    r.admin("DECIDE_MODULE", request_id=module, action="approve")
    r.admin("UPDATE_MODULES", add_modules=["pandas"])
    r.llm("CREATE_SERVER_SECRET", server_id=server, key="API_KEY", description="of the paper")
    r.admin("SET_SECRET", server_id=server, key="API_KEY", value="the-value-itself")
    r.llm("START_SERVER", server_id=server)
    return server, tool


def export(r, **body):
    return r.admin("GET_EXPORT", **body)["file"]


def take(r, file, **body):
    return r.admin("IMPORT", file=file, **body)


def actions(reply, kind="server"):
    return [(c["name"], c["action"], c["as"]) for c in reply["changes"] if c["kind"] == kind]


def server_of(r, name):
    items = r.admin("LIST_SERVERS", page_size=100)["servers"]
    return r.admin("GET_SERVER", server_id=next(s["id"] for s in items if s["name"] == name))["server"]


def tools_of(r, server):
    return {t["name"]: r.admin("GET_TOOL", tool_id=t["id"])["tool"] for t in server["tools"]}


def requests_of(r, msg, server, key):
    rows = r.admin(msg, status="all", page_size=100)["items"]
    return {row[key]: row["status"] for row in rows if row["server_name"] == server}


def snapshot(r):
    """All that an import could touch."""
    tables = ("servers", "tools", "tool_versions", "tool_decisions", "module_requests", "network_requests", "secrets",
              "security_policy", "server_imports")
    return {t: r.sql(f"SELECT count(*), md5(string_agg(x::text, '|' ORDER BY x::text)) FROM {t} x") for t in tables}


# ---- format 1.2 ------------------------------------------------------------------------------------


def python_signature(file, key, ascii_only=True):
    """As the reference makes it."""
    signed = {k: file[k] for k in ("version", "servers", "admin_module_requests")}
    text = json.dumps(signed, sort_keys=True, separators=(",", ":"), ensure_ascii=ascii_only)
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def test_format_1_2_is_what_the_reference_reads(registry):
    server, _ = fill(registry)
    file = json.loads(export(registry))
    assert set(file) == {"version", "exported_at", "servers", "admin_module_requests", "signature"}
    assert file["version"] == "1.2"
    assert file["signature"] == python_signature(file, registry.key)
    news = file["servers"][0]
    assert set(news) == {"name", "description", "tools", "allowed_hosts", "default_timeout_ms",
                         "admin_network_requests"}
    assert news["allowed_hosts"] == ["192.168.1.5:80+private", "api.example.com", "static.example.com"]
    tools = {t["name"]: t for t in news["tools"]}
    assert set(tools["status"]) == {"name", "description", "enabled", "timeout_ms", "python_code", "input_schema",
                                    "module_requests", "network_access_requests"}
    assert tools["status"]["python_code"] == CODE + "# second\n" and tools["status"]["timeout_ms"] == 5000
    assert tools["status"]["input_schema"]["properties"]["n"]["default"] == 0.1
    assert {h["host"]: h["status"] for h in tools["status"]["network_access_requests"]} == {
        "api.example.com": "approved", "bad.example.com": "rejected", "later.example.com": "pending",
        "192.168.1.5": "approved"}
    assert [m["module_name"] for m in file["admin_module_requests"]] == ["pandas"]
    assert "the-value-itself" not in json.dumps(file) and "API_KEY" not in json.dumps(file)
    one = json.loads(export(registry, server_id=server))
    assert one["signature"] == python_signature(one, registry.key), "one server's file is signed too"
    assert one["servers"] == file["servers"] and one["admin_module_requests"] == []


def test_a_file_of_the_reference_is_taken_as_its_signature_says(registry):
    """tests/integration/files/export-1.2.json is written by hand; signed here as Python does it."""
    file = json.loads(FIXTURE)
    file["signature"] = python_signature(file, registry.key)
    for text in (json.dumps(file), json.dumps(file, indent=2, ensure_ascii=False, sort_keys=True)):
        assert take(registry, text, dry_run=True)["verified"]
    file["signature"] = python_signature(file, registry.key, ascii_only=False)
    reply = take(registry, json.dumps(file))
    assert reply["verified"] and reply["format"] == "1.2"
    assert actions(reply) == [("weather", "created", "weather"), ("Étagères & Co", "created", "tag_res_co")]
    assert (reply["servers_created"], reply["tools_created"]) == (2, 3)
    assert (reply["module_requests_created"], reply["network_access_requests_created"]) == (2, 3)
    assert any("no code" in w for w in reply["warnings"]) and any("becomes 'tag_res_co'" in w for w in reply["warnings"])
    weather = server_of(registry, "weather")
    assert (weather["status"], weather["default_timeout_ms"], weather["description"]) == ("imported", 20000, "Rain")
    tools = tools_of(registry, weather)
    assert {t["approval_status"] for t in tools.values()} == {"pending_review"}
    assert {t["live_version"] for t in tools.values()} == {None}
    assert (tools["forecast"]["enabled"], tools["forecast"]["timeout_ms"]) == (False, 4000)
    assert tools["forecast"]["input_schema"]["properties"]["days"]["default"] == 1e-05
    assert tools["now"]["input_schema"] == {"type": "object", "properties": {}}, "derived by an executor"
    assert requests_of(registry, "LIST_NETWORK_REQUESTS", "weather", "host") == {
        "api.weather.example": "approved", "slow.weather.example": "rejected"}
    assert weather["allowed_hosts"] == ["api.weather.example"]
    assert "pandas" in registry.admin("GET_MODULES")["allowed_modules"]


def test_an_unsigned_file_is_shown_and_taken_only_when_accepted(registry):
    before = snapshot(registry)
    with pytest.raises(Refused, match="did not sign") as refused:
        take(registry, FIXTURE)
    sha256 = hashlib.sha256(FIXTURE.encode()).hexdigest()
    assert refused.value.code == "state" and sha256 in refused.value.text
    assert "accept_unverified=true" in refused.value.hint
    shown = take(registry, FIXTURE, dry_run=True)
    assert not shown["verified"] and shown["sha256_hash"] == sha256 and shown["servers_created"] == 2
    assert snapshot(registry) == before
    reply = take(registry, FIXTURE, accept_unverified=True)
    assert not reply["verified"] and reply["servers_created"] == 2
    assert set(requests_of(registry, "LIST_NETWORK_REQUESTS", "weather", "host").values()) == {"pending"}
    assert registry.sql("SELECT DISTINCT status FROM module_requests") == "pending"
    assert registry.sql("SELECT count(*) FROM network_requests WHERE status <> 'pending'") == "0"
    assert registry.sql("SELECT DISTINCT requested_by FROM network_requests") == "anna", "not whom the file names"
    assert {t["approval_status"] for t in tools_of(registry, server_of(registry, "weather")).values()} == {
        "pending_review"}
    refusals = [e for e in registry.owner("LIST_AUDIT", topics=["server.imported"], limit=500)["events"]
                if e["outcome"] == "refused"]
    assert len(refusals) == 1 and sha256 in json.dumps(refusals)


@pytest.mark.parametrize("version, hosts", [("1.0", {"old.example.com": "approved"}), ("1.1", {})])
def test_older_files_can_be_read(registry, version, hosts):
    file = {"version": version, "servers": [{"name": "old", "allowed_hosts": ["old.example.com"], "tools": [
        {"name": "t", "python_code": CODE}]}]}
    text = json.dumps(file, sort_keys=True, separators=(",", ":"))
    file["signature"] = hmac.new(registry.key.encode(), text.encode(), hashlib.sha256).hexdigest()
    assert take(registry, json.dumps(file))["verified"]
    assert requests_of(registry, "LIST_NETWORK_REQUESTS", "old", "host") == hosts


# ---- format 2.0 ------------------------------------------------------------------------------------


def test_our_own_format_carries_all_but_values(registry):
    fill(registry)
    text = export(registry, format="2.0")
    assert "the-value-itself" not in text
    content = json.loads(text)["content"]
    assert content["security_policy"]["approvals_required"] == 1
    news = content["servers"][0]
    assert [s["key_name"] for s in news["secrets"]] == ["API_KEY"]
    status = next(t for t in news["tools"] if t["name"] == "status")
    assert [v["version"] for v in status["versions"]] == [1, 2] and status["live_version"] == 1
    assert [d["decision"] for d in status["decisions"]] == ["approve"]
    heads = json.loads(export(registry, format="2.0", heads_only=True))["content"]["servers"][0]["tools"]
    assert [len(t["versions"]) for t in heads] == [1, 1]


def test_round_trip_keeps_content_and_runs_nothing(registry, sister):
    _, tool = fill(registry)
    before = tools_of(registry, server_of(registry, "news"))
    reply = take(sister, export(registry, format="2.0"))
    assert reply["verified"] and reply["success"] and reply["errors"] == []
    assert actions(reply) == [("news", "created", "news")] and actions(reply, "module") == [("pandas", "created", "")]
    server = server_of(sister, "news")
    after = tools_of(sister, server)
    for name in ("status", "other"):
        for key in ("content_hash", "python_code", "input_schema", "output_schema", "description", "title", "timeout_ms",
                    "limits", "annotations", "enabled", "current_version"):
            assert after[name][key] == before[name][key], (name, key)
        assert (after[name]["approval_status"], after[name]["live_version"]) == ("pending_review", None)
    assert after["status"]["publish_notes"] is None or after["status"]["publish_notes"] == "please"
    assert sister.sql("SELECT count(*) FROM permits") == "0"
    assert sister.sql("SELECT decision, in_force FROM tool_decisions") == "approve|f"
    assert requests_of(sister, "LIST_NETWORK_REQUESTS", "news", "host") == {
        "api.example.com": "approved", "bad.example.com": "rejected", "later.example.com": "pending",
        "192.168.1.5": "pending", "static.example.com": "approved"}, "private hosts are decided anew"
    assert server["allowed_hosts"] == ["api.example.com", "static.example.com"]
    secret = sister.admin("LIST_SECRETS", server_id=server["id"])["items"][0]
    assert (secret["key_name"], secret["has_value"]) == ("API_KEY", False)
    version = sister.admin("GET_TOOL_VERSION", tool_id=after["status"]["id"], version=1)["version"]
    assert version["python_code"] == CODE
    assert version["content_hash"] == registry.admin("GET_TOOL_VERSION", tool_id=tool, version=1)["version"]["content_hash"]
    # One approval here, and it runs.
    sister.admin("DECIDE_TOOL", tool_id=after["status"]["id"], action="approve")
    assert sister.llm("START_SERVER", server_id=server["id"])["registered_tools"] == 1
    assert sister.owner("VERIFY_AUDIT")["intact"]


@pytest.mark.parametrize("form", ["1.2", "2.0"])
def test_importing_twice_changes_nothing(registry, form):
    fill(registry)
    text = export(registry, format=form)
    first = take(registry, text)
    assert actions(first) == [("news", "created", "news_imported")], "never over what is there"
    before = snapshot(registry)
    again = take(registry, text)
    assert actions(again) == [("news", "same", "news_imported")] and again["servers_created"] == 0
    assert snapshot(registry) == before
    imported = [e for e in registry.owner("LIST_AUDIT", topics=["server.imported"], limit=500)["events"]]
    assert [(e["outcome"], e["actor"], e["detail"]["name"]) for e in imported] == [("ok", "anna", "news_imported")]
    assert imported[0]["detail"]["sha256"] == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("form", ["1.2", "2.0"])
def test_a_dry_run_says_what_the_import_then_does(registry, sister, form):
    fill(registry)
    text = export(registry, format=form)
    sister.llm("CREATE_SERVER", name="news")
    before = snapshot(sister)
    dry = take(sister, text, dry_run=True)
    assert snapshot(sister) == before and "server.imported" not in sister.topics()
    real = take(sister, text)
    assert dry.pop("dry_run") and not real.pop("dry_run")
    assert dry == real and actions(real) == [("news", "created", "news_imported")]


def test_settings_are_taken_only_when_asked_for_and_only_verified(registry, sister, other):
    registry.admin("UPDATE_SECURITY_POLICY", approvals_required=2, log_retention_days=7)
    text = export(registry, format="2.0")
    take(sister, text)
    assert sister.admin("GET_SECURITY_POLICY")["approvals_required"] == 1
    assert actions(take(sister, text, settings=True, dry_run=True), "settings") == [("security-policy", "changed", "")]
    assert sister.admin("GET_SECURITY_POLICY")["approvals_required"] == 1
    take(sister, text, settings=True)
    policy = sister.admin("GET_SECURITY_POLICY")
    assert (policy["approvals_required"], policy["log_retention_days"]) == (2, 7)
    revision = policy["revision"]
    assert actions(take(sister, text, settings=True), "settings") == [("security-policy", "same", "")]
    assert sister.admin("GET_SECURITY_POLICY")["revision"] == revision
    with pytest.raises(Refused, match="its settings are not taken"):
        take(other, text, settings=True, accept_unverified=True)


def test_another_instances_file_brings_heads_only_and_no_decision(registry, other):
    fill(registry)
    text = export(registry, format="2.0")
    with pytest.raises(Refused, match="did not sign"):
        take(other, text)
    reply = take(other, text, accept_unverified=True)
    assert not reply["verified"] and reply["tools_created"] == 2
    tools = tools_of(other, server_of(other, "news"))
    assert {t["current_version"] for t in tools.values()} == {1}
    assert {t["approval_status"] for t in tools.values()} == {"pending_review"}
    assert other.sql("SELECT count(*) FROM tool_decisions") == "0"
    assert set(requests_of(other, "LIST_NETWORK_REQUESTS", "news", "host").values()) == {"pending"}
    assert "numpy" not in other.admin("GET_MODULES")["allowed_modules"]


def test_who_imports_counts_as_the_author(registry, other):
    fill(registry)
    other.admin("UPDATE_SECURITY_POLICY", approvals_required=2)
    take(other, export(registry, format="2.0"), accept_unverified=True)
    tool = tools_of(other, server_of(other, "news"))["status"]
    with pytest.raises(Refused, match="author's own does not count"):
        other.admin("DECIDE_TOOL", tool_id=tool["id"], action="approve")


def test_automatic_approval_does_not_reach_imported_tools(registry, other):
    fill(registry)
    other.admin("UPDATE_SECURITY_POLICY", tool_approval_mode="auto_approve", network_access_policy="allow_all_public",
                module_approval_mode="auto_approve")
    take(other, export(registry, format="2.0"), accept_unverified=True)
    assert {t["approval_status"] for t in tools_of(other, server_of(other, "news")).values()} == {"pending_review"}
    assert set(requests_of(other, "LIST_NETWORK_REQUESTS", "news", "host").values()) == {"pending"}


# ---- damage ----------------------------------------------------------------------------------------


def changed_leaves(tree):
    """The tree with each of its leaves changed, one at a time, and its path."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in items:
        if isinstance(value, (dict, list)):
            for path, new in changed_leaves(value):
                yield (key, *path), new
        else:
            yield (key,), (not value if isinstance(value, bool) else value + 1 if isinstance(value, (int, float))
                           else "x" if value is None else value + "x")


def with_change(tree, path, value):
    copy = json.loads(json.dumps(tree))
    at = copy
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return copy


@pytest.mark.parametrize("form", ["1.2", "2.0"])
def test_no_field_can_be_changed_unnoticed(registry, form):
    """Each leaf of a small file, one by one: never verified, and never taken without being told to."""
    server = registry.llm("CREATE_SERVER", name="small", description="d")["id"]
    tool = registry.llm("CREATE_TOOL", server_id=server, name="t", python_code=CODE)["id"]
    registry.llm("REQUEST_NETWORK_ACCESS", tool_id=tool, host="a.example.com", justification="j")
    file = json.loads(export(registry, format=form))
    unsigned = {"exported_at"} if form == "1.2" else {"key"}
    tried = 0
    for path, value in changed_leaves(file):
        text = json.dumps(with_change(file, path, value), separators=(",", ":"), ensure_ascii=False)
        if path[0] in unsigned:
            continue
        with pytest.raises(Refused) as refused:
            take(registry, text)
        assert refused.value.code in ("state", "invalid"), path
        tried += 1
    assert tried > 15
    assert actions(take(registry, json.dumps(file, separators=(",", ":"), ensure_ascii=False), dry_run=True)), "as it was"


@pytest.mark.parametrize("text, why", [
    ("", "empty"),
    ("{", "JSON"),
    ("[]", "object"),
    ("{}", "no version"),
    ('{"version": 2}', "no version"),
    ('{"version": "3.0"}', "format '3.0'"),
    ('{"version": "1.2", "version": "2.0"}', "twice"),
    ('{"version": "1.2", "servers": [], "servers": []}', "twice"),
    ('{"version": "1.2", "servers": {}}', "a list is expected"),
    ('{"version": "1.2", "servers": [1]}', "an object is expected"),
    ('{"version": "1.2", "servers": [{"name": 1}]}', "text is expected"),
    ('{"version": "1.2", "servers": [{"name": "a\\u0000b"}]}', "NUL"),
    ('{"version": "1.2", "servers": [{"name": "a\\u0007b"}]}', "control"),
    ('{"version": "1.2", "servers": [{"nam": "a"}]}', "unknown field 'nam'"),
    ('{"version": "1.2", "servers": [{"default_timeout_ms": -1}]}', "whole number"),
    ('{"version": "1.2", "servers": [{"default_timeout_ms": 1e3}]}', "whole number"),
    ('{"version": "1.2", "servers": [], "accept_unverified": true}', "beside the file"),
    ('{"version": "2.0"}', "no content"),
    ('{"version": "2.0", "content": []}', "no content"),
    ('{"version": "2.0", "content": {"servers": [{"tools": [{"enabled": "yes"}]}]}}', "true or false"),
    ('{"version": "2.0", "content": {"exported_at": "yesterday"}}', "a time"),
    ('{"version": "1.2", "servers": ' + "[" * 100 + "]" * 100 + "}", "deep"),
    ('{"version": "1.2", "x": [' + "0," * 500001 + "0]}", "values"),
    ('{"version": "1.2", "servers": [' + '{"name": "a"},' * 2000 + '{"name": "a"}]}', "2000 servers"),
    ('{"version": "1.2", "x": "' + "a" * (7 * 1024 * 1024) + '"}', "larger than 7 MiB"),
], ids=lambda text: text[:20])
def test_bad_files_are_refused_and_say_why(registry, text, why):
    with pytest.raises(Refused, match=why) as refused:
        take(registry, text, accept_unverified=True)
    assert refused.value.code in ("invalid", "too_large")


def one_server(**server):
    return json.dumps({"version": "1.2", "servers": [{"name": "x", "tools": [], **server},
                                                     {"name": "fine", "tools": [{"name": "t", "python_code": CODE}]}]})


def tool(**more):
    return {"name": "t", "python_code": CODE, **more}


@pytest.mark.parametrize("server, why", [
    ({"name": "!!"}, "nothing of this name"),
    ({"default_timeout_ms": 5}, "from 1000 to 300000"),
    ({"description": "d" * 2001}, "longer than 2000"),
    ({"tools": [tool(), tool()]}, "two of its tools"),
    ({"tools": [tool(name="")]}, "nothing of this name"),
    ({"tools": [tool(python_code="def (")]}, "invalid syntax"),
    ({"tools": [tool(python_code="x = 1")]}, "no function main"),
    ({"tools": [tool(python_code=CODE + "#" * 100001)]}, "longer than 100000"),
    ({"tools": [tool(input_schema={"type": "string"})]}, '"type": "object"'),
    ({"tools": [tool(), tool(name="u", timeout_ms=1)]}, "timeout_ms"),
    ({"tools": [tool(name=f"t{i}") for i in range(1001)]}, "more than 1000 tools"),
])
def test_a_bad_server_is_refused_whole_and_the_others_are_taken(registry, server, why):
    reply = take(registry, one_server(**server), accept_unverified=True)
    assert [c["action"] for c in reply["changes"]] == ["refused", "created"]
    assert not reply["success"] and why in reply["errors"][0] and why in reply["changes"][0]["reason"]
    assert registry.sql("SELECT name FROM servers") == "fine"
    assert registry.sql("SELECT count(*) FROM tools") == "1"


def test_hosts_and_modules_that_are_none_are_left_out_with_a_warning(registry):
    reply = take(registry, one_server(
        admin_network_requests=[{"host": "bad host"}, {"host": "A.example.com."}, {"host": "a.example.com"},
                                {"host": "b.example.com", "port": 70000}, {"host": "2a00:1450::1", "port": 80}],
        tools=[tool(module_requests=[{"module_name": "no such!"}, {"module_name": "numpy"}, {"module_name": "numpy"}])]),
        accept_unverified=True)
    assert reply["success"] and len(reply["warnings"]) == 3
    assert registry.sql("SELECT host FROM network_requests ORDER BY host") == "2a00:1450::1\na.example.com"
    assert registry.sql("SELECT module_name FROM module_requests") == "numpy"


def test_names_get_a_suffix_and_stay_within_sixty(registry):
    for name in ("x", "y" * 60):
        registry.llm("CREATE_SERVER", name=name)
    names = []
    for i in range(3):
        file = {"version": "1.2", "servers": [{"name": n, "description": str(i)} for n in ("x", "y" * 60, "mcpbox_a", "9")]}
        names.append([c["as"] for c in take(registry, json.dumps(file), accept_unverified=True)["changes"]])
    assert [n[0] for n in names] == ["x_imported", "x_imported_2", "x_imported_3"]
    assert [n[1] for n in names] == ["y" * 51 + "_imported", "y" * 49 + "_imported_2", "y" * 49 + "_imported_3"]
    assert [n[2:] for n in names][:2] == [["s_mcpbox_a", "s_9"], ["s_mcpbox_a_imported", "s_9_imported"]]


# ---- rights, size, life -----------------------------------------------------------------------------


def test_only_an_administrator_imports(registry):
    registry.admin("CREATE_USER", username="rev", password="correct horse battery", role="reviewer")
    admin = registry.token
    registry.log_in("rev")
    with pytest.raises(Refused, match="") as refused:
        take(registry, FIXTURE, accept_unverified=True)
    assert refused.value.code == "denied"
    assert json.loads(export(registry))["version"] == "1.2"
    registry.token = admin
    for role, kind in (("gateway", "LOCAL"), ("gateway", "SYSTEM"), ("admin", "SYSTEM"), ("ops", "OWNER")):
        for msg, body in (("IMPORT", {"file": FIXTURE, "accept_unverified": True}), ("GET_EXPORT", {})):
            with pytest.raises(Refused):
                registry.ask(role, kind, msg, body)
    assert registry.sql("SELECT count(*) FROM servers") == "0"


def test_without_an_executor_nothing_is_taken(cluster):
    r = Registry(cluster)
    r.log_in()
    with pytest.raises(Refused, match="no executor is running to check the code") as refused:
        take(r, FIXTURE, accept_unverified=True)
    assert refused.value.code == "unavailable"
    assert r.sql("SELECT count(*) FROM servers") == "0"
    r.close()


def test_too_large_an_export_says_what_to_do(registry):
    server = registry.llm("CREATE_SERVER", name="big")["id"]
    tool_id = registry.llm("CREATE_TOOL", server_id=server, name="t", python_code=CODE)["id"]
    registry.sql("INSERT INTO tool_versions SELECT gen_random_uuid(), tool_id, n, name, description, title, enabled,"
                 " timeout_ms, limits, convert_to(repeat('#', 99000), 'UTF8'), input_schema, output_schema, annotations,"
                 " code_dependencies, content_hash, change_summary, change_source, created_by, now()"
                 f" FROM tool_versions, generate_series(2, 100) n WHERE tool_id = '{tool_id}'")
    registry.sql(f"UPDATE tools SET current_version = 100 WHERE id = '{tool_id}'")
    with pytest.raises(Refused, match="larger than 7 MiB") as refused:
        export(registry, format="2.0", server_id=server)
    assert refused.value.code == "too_large" and "heads_only" in refused.value.hint
    assert "one by one" in pytest.raises(Refused, export, registry, format="2.0").value.hint
    assert len(json.loads(export(registry, format="2.0", heads_only=True))["content"]["servers"]) == 1
    with pytest.raises(Refused, match="format must be"):
        export(registry, format="7")
    with pytest.raises(Refused, match="not found"):
        export(registry, server_id="01936f5e-0000-7000-8000-000000000001")


def test_two_imports_at_once_make_each_server_once(registry):
    replies = []

    def one():
        replies.append(registry.ask("admin", "USER", "IMPORT", {"file": FIXTURE, "accept_unverified": True},
                                    asker=registry.new_asker(), secret=registry.token, remote="192.0.2.1"))

    threads = [threading.Thread(target=one) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(c["action"] for reply in replies for c in reply["changes"] if c["kind"] == "server") == (
        ["created"] * 2 + ["same"] * 6)
    assert registry.sql("SELECT count(*) FROM servers") == "2"


def test_a_registry_that_dies_leaves_each_server_whole_or_absent(registry):
    """Killed while its import waits for a lock at a table that it writes last: nothing of it is there; then all."""
    fill(registry)
    text = export(registry, format="2.0")
    lock = registry.cluster.url(registry.database)
    before = snapshot(registry)
    holder = subprocess.Popen([f"{POSTGRES}/psql", lock, "-XAtq"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True, **registry.cluster.account)
    holder.stdin.write("BEGIN; LOCK TABLE secrets IN EXCLUSIVE MODE; SELECT 'held';\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "held\n"
    failed = []
    request = {"request_id": secrets.token_hex(16), "secret": registry.token, "remote": "192.0.2.1"}

    def one():
        try:
            registry.ask("admin", "USER", "IMPORT", {"file": text}, asker=registry.new_asker(), **request)
        except Refused as refused:
            failed.append(refused.code)

    thread = threading.Thread(target=one)
    thread.start()
    while registry.sql("SELECT count(*) FROM pg_locks WHERE NOT granted") == "0":
        assert thread.is_alive(), "it never waited"
    assert registry.sql("SELECT count(*) FROM servers WHERE name = 'news_imported'") == "0"
    registry.kill()
    holder.stdin.write("ROLLBACK;\n")
    holder.stdin.close()
    holder.wait()
    thread.join()
    assert failed and snapshot(registry) == before
    registry.start()
    assert registry.is_ready
    joined = 0
    while joined < 2:  # the executor announces itself anew
        joined = len(registry.owner("LIST_AUDIT", topics=["instance.joined"], limit=500)["events"])
    reply = registry.ask("admin", "USER", "IMPORT", {"file": text}, **request)
    assert actions(reply) == [("news", "created", "news_imported")]
    assert registry.ask("admin", "USER", "IMPORT", {"file": text}, **request) == reply, "a repeat is answered from record"
    assert registry.owner("VERIFY_AUDIT")["intact"]


# ---- over REST ---------------------------------------------------------------------------------------


@pytest.fixture
def rest(cluster, tmp_path):
    """registry, admin's ask() as a logged-in administrator, and the data directory that ctl looks at."""
    data = make_keys(tmp_path)
    r = staffed_registry(cluster, key=(data / "keys/root.key").read_text().strip())
    admin = Admin(data, r.address)
    (data / "config.env").write_text(f"MCPBOX_ADMIN_PORT={admin.port}\nMCPBOX_REGISTRY_ADDR={r.address}\n")
    (data / "ctl").mkdir(exist_ok=True)
    (data / "ctl/token").write_text(json.dumps({"access_token": r.token, "refresh_token": "none"}))
    yield r, lambda *a, **k: admin.ask(*a, token=r.token, **k), data
    admin.stop()
    r.close()


def test_rest_gives_and_takes_the_file_itself(rest):
    r, ask, _ = rest
    server, _ = fill(r)
    status, file, headers = ask("GET", "/api/export/servers")
    assert status == 200 and file["version"] == "1.2" and file["signature"] == python_signature(file, r.key)
    assert "Content-Disposition" not in headers
    status, own, headers = ask("GET", "/api/export/download/servers?format=2.0")
    assert status == 200 and own["version"] == "2.0"
    assert headers["Content-Disposition"].startswith('attachment; filename="mcpbox-export-2')
    assert ask("GET", f"/api/export/servers/{server}?format=2.0&heads_only=true")[1]["content"]["modules"] == []
    assert ask("GET", "/api/export/servers?format=3")[0] == 422
    assert ask("GET", "/api/export/servers/01936f5e-0000-7000-8000-000000000001")[0] == 404

    raw = json.dumps(file).encode()
    status, dry, _ = ask("POST", "/api/export/import?dry_run=1", raw=raw)
    assert status == 200 and dry["dry_run"] and dry["verified"] and r.sql("SELECT count(*) FROM servers") == "1"
    status, reply, _ = ask("POST", "/api/export/import", raw=raw)
    assert status == 200 and reply["success"] and reply["servers_created"] == 1
    assert {"success", "servers_created", "tools_created", "module_requests_created",
            "network_access_requests_created", "errors", "warnings"} <= set(reply)
    assert ask("POST", "/api/export/import", raw=raw)[1]["changes"][0]["action"] == "same"
    raw = FIXTURE.encode()
    status, refused, _ = ask("POST", "/api/export/import", raw=raw)
    assert status == 400 and hashlib.sha256(raw).hexdigest() in refused["detail"]
    assert ask("POST", "/api/export/import?accept_unverified=true", raw=raw)[1]["servers_created"] == 2
    assert ask("POST", "/api/export/import?file=x", raw=raw)[0] == 422
    assert ask("POST", "/api/export/import?nope=x", raw=raw)[0] == 422
    assert ask("POST", "/api/export/import", raw=b"{")[0] == 422
    assert ask("GET", "/api/export/servers", headers={"Authorization": "Bearer nobody"})[0] == 401


# ---- at the command line -----------------------------------------------------------------------------


def test_ctl_exports_and_imports(rest, tmp_path):
    r, _, data = rest
    fill(r)

    def ctl(*arguments):
        return subprocess.run([BIN / "mcpboxctl", "--data", data, *map(str, arguments)], capture_output=True, text=True,
                              timeout=WAIT, check=False)

    out = tmp_path / "out.json"
    done = ctl("export", out)
    assert done.returncode == 0 and "1 server" in done.stdout, done.stderr
    assert out.stat().st_mode & 0o777 == 0o600 and json.loads(out.read_text())["version"] == "2.0"
    assert ctl("export", tmp_path / "old.json", "--format", "1.2").returncode == 0
    assert json.loads((tmp_path / "old.json").read_text())["version"] == "1.2"
    one = ctl("export", "-", "--server", "news", "--format", "own")
    assert [s["name"] for s in json.loads(one.stdout)["content"]["servers"]] == ["news"]
    assert ctl("export", out, "--server", "nope").returncode == 1
    assert ctl("export", out, "--format", "3").returncode == 1
    assert ctl("export").returncode == 2

    dry = ctl("import", out, "--dry-run")
    assert dry.returncode == 0 and "news" in dry.stdout and "news_imported" in dry.stdout
    assert r.sql("SELECT count(*) FROM servers") == "1"
    assert ctl("import", out).returncode == 0
    again = json.loads(ctl("import", out, "--json").stdout)
    assert [c["action"] for c in again["changes"] if c["kind"] == "server"] == ["same"]
    strange = tmp_path / "strange.json"
    strange.write_text(FIXTURE)
    refused = ctl("import", strange)
    assert refused.returncode == 1 and hashlib.sha256(FIXTURE.encode()).hexdigest() in refused.stderr
    assert "--accept-unverified" in refused.stderr
    assert ctl("import", strange, "--accept-unverified").returncode == 0
    strange.write_text(one_server(name="!!"))
    partly = ctl("import", strange, "--accept-unverified")
    assert partly.returncode == 1 and "nothing of this name" in partly.stdout + partly.stderr
    assert ctl("import", tmp_path / "none.json").returncode == 1


def test_ctl_looks_after_people(rest):
    r, _, data = rest

    def ctl(*arguments, stdin=""):
        return subprocess.run([BIN / "mcpboxctl", "--data", data, *arguments], capture_output=True, text=True,
                              input=stdin, timeout=WAIT, check=False)

    made = ctl("user", "add", "bert", "--role", "reviewer", "--password-file", "-", stdin="another good password\n")
    assert (made.returncode, made.stdout) == (0, "Made bert, reviewer.\n"), made.stderr
    assert ctl("user", "add", "bert", "--password-file", "-", stdin="another good password\n").returncode == 1
    assert ctl("user", "add", "c", "--password-file", "-", stdin="short\n").returncode == 1
    users = json.loads(ctl("user", "list", "--json").stdout)
    assert {u["username"]: u["role"] for u in users} == {"anna": "admin", "bert": "reviewer"}
    assert "bert" in ctl("user", "list").stdout
    assert ctl("user", "role", "bert", "--role", "viewer").returncode == 0
    assert ctl("user", "role", "bert").returncode == 1
    assert ctl("user", "role", "nobody", "--role", "viewer").returncode == 1
    assert ctl("user", "role", "anna", "--role", "viewer").returncode == 1, "one administrator always stays"
    assert r.sql("SELECT role FROM users WHERE username = 'bert'") == "viewer"

    token = ctl("tokens", "add", "ci", "--scope", "author", "--days", "7")
    assert token.returncode == 0 and token.stdout.startswith("mcpbox.") and "once" in token.stderr
    listed = json.loads(ctl("tokens", "list", "--json").stdout)
    assert [(t["name"], t["scope"]) for t in listed] == [("ci", "author")] and listed[0]["expires_at"]
    assert token.stdout.strip() not in ctl("tokens", "list").stdout
    assert ctl("tokens", "remove", "../users").returncode == 1
    assert ctl("tokens", "remove", listed[0]["id"]).returncode == 0
    assert json.loads(ctl("tokens", "list", "--json").stdout) == []

    r.stranger("LOGIN", username="bert", password="another good password")
    sessions = json.loads(ctl("sessions", "--json").stdout)
    assert sorted(s["username"] for s in sessions) == ["anna", "bert"]
    ended = next(s["id"] for s in sessions if s["username"] == "bert")
    assert ctl("session", "end", ended).returncode == 0
    assert [s["username"] for s in json.loads(ctl("sessions", "--json").stdout)] == ["anna"]
    assert ctl("user", "remove", "bert").returncode == 0
    assert len(json.loads(ctl("user", "list", "--json").stdout)) == 1
