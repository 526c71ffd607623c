"""mcpboxctl against mcpbox-admin and a fake registry: what it prints, what it asks, how it ends."""

import json
import os
import pty
import subprocess
from contextlib import suppress

import pytest

from admin_harness import BIN, WAIT, Admin, Registry, free_ports, make_keys

TOOL = "01936f5e-0000-7000-8000-000000000001"
SERVER = "01936f5e-0000-7000-8000-000000000002"
REQUEST = "01936f5e-0000-7000-8000-000000000003"
OLD_CODE = "async def main():\n    return 1\n"
NEW_CODE = "async def main():\n    return 2  # \x1b[2J\u202egnp\n"
REVIEW = {
    "GET_TOOL": {"tool": {"id": TOOL, "server_id": SERVER, "name": "service_status", "python_code": NEW_CODE,
                          "approval_status": "pending_review", "current_version": 2, "live_version": 1,
                          "content_hash": "00ff", "publish_notes": "please"}},
    "GET_SERVER": {"server": {"id": SERVER, "name": "news"}},
    "GET_TOOL_VERSION": {"version": {"id": TOOL, "version_number": 1, "python_code": OLD_CODE}},
    "COMPARE_TOOL_VERSIONS": {"from_version": 1, "to_version": 2, "differences": [
        {"field": "description", "old_value": "a", "new_value": "b"},
        {"field": "python_code", "old_value": OLD_CODE, "new_value": NEW_CODE}]},
    "LIST_NETWORK_REQUESTS": {"pages": 1, "total": 1, "items": [
        {"id": REQUEST, "tool_id": TOOL, "tool_name": "service_status", "server_name": "news",
         "host": "status.example.com", "status": "pending", "justification": "to see"}]},
    "LIST_MODULE_REQUESTS": {"pages": 1, "total": 1, "items": [
        {"id": REQUEST, "tool_id": TOOL, "tool_name": "service_status", "server_name": "news", "module_name": "numpy",
         "status": "pending", "justification": "to count"}]},
    "LIST_SERVERS": {"pages": 1, "total": 1, "servers": [{"id": SERVER, "name": "news", "tool_count": 1}]},
    "LIST_TOOLS": {"pages": 1, "total": 1, "tools": [{"id": TOOL, "name": "service_status", "enabled": True}]},
    "DECIDE_TOOL": {"success": True, "message": "version 2 is live", "tool_id": TOOL, "status": "approved"},
    "DECIDE_NETWORK": {"request": {"id": REQUEST, "status": "approved"}},
    "DECIDE_MODULE": {"request": {"id": REQUEST, "module_name": "numpy", "server_name": "news",
                                  "tool_name": "service_status", "status": "approved"}},
    "REVOKE_MODULE": {"request": {"id": REQUEST, "module_name": "numpy", "status": "pending"}},
    "LOGIN": {"access_token": "good-token", "refresh_token": "refresh-1", "token_type": "bearer", "expires_in": 900},
    "REFRESH": {"access_token": "good-token", "refresh_token": "refresh-2", "token_type": "bearer", "expires_in": 900},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_keys(tmp_path_factory.mktemp("ctl"))


@pytest.fixture(scope="module")
def services(data):
    address = f"127.0.0.1:{free_ports(3)}"
    fake = Registry(data, address)
    admin = Admin(data, address)
    (data / "config.env").write_text(f"MCPBOX_ADMIN_PORT={admin.port}\nMCPBOX_REGISTRY_ADDR={address}\n")
    yield fake
    admin.stop()
    fake.stop()


@pytest.fixture
def registry(services):
    services.answers(REVIEW)
    services.forget()
    return services


def run(data, *arguments, stdin="", environment=None):
    return subprocess.run([BIN / "mcpboxctl", "--data", data, *arguments], input=stdin, capture_output=True, text=True,
                          timeout=WAIT, env={"PATH": os.environ["PATH"], **(environment or {})}, check=False)


@pytest.fixture
def ctl(data, registry):
    """As a person who has logged in."""
    (data / "ctl").mkdir(exist_ok=True)
    for seen in (data / "ctl").glob("seen-*"):
        seen.unlink()
    (data / "ctl/token").write_text(json.dumps({"access_token": "good-token", "refresh_token": "refresh-1"}))
    return lambda *arguments, **more: run(data, *arguments, **more)


def question(registry, name):
    while True:
        asked = registry.asked()
        if asked["msg"] == name:
            return asked


def test_keys_init_leaves_what_is_right(data):
    def listing():
        return {f.name: (f.stat().st_mtime_ns, f.stat().st_mode & 0o777) for f in (data / "keys").iterdir()}

    before = listing()
    assert set(before) == {"root.key", "gateway.key", "executor.key", "egress.key", "admin.key", "ops.key"}
    assert {mode for _, mode in before.values()} == {0o600}
    assert run(data, "keys", "init").returncode == 0
    assert listing() == before


def test_keys_init_mends_a_damaged_file(data):
    before = (data / "keys/gateway.key").read_text()
    (data / "keys/gateway.key").write_text("mcpbox-keys 1\n")
    assert run(data, "keys", "init").returncode == 0
    assert (data / "keys/gateway.key").read_text() == before


@pytest.mark.parametrize("arguments", [[], ["nope"], ["show"], ["show", "a", "b"], ["pending", "--reason", "x"],
                                       ["--nope"], ["reject", "a/b"], ["audit"], ["audit", "tail", "-n", "0"]])
def test_wrong_usage_ends_with_2(data, arguments):
    assert run(data, *arguments).returncode == 2


def test_every_command_explains_itself(data):
    overview = run(data, "--help").stdout
    for line in overview.splitlines():
        if line.startswith("  ") and not line.startswith("  -"):
            words = [word for word in line[2:24].split() if word.islower()]
            answer = run(data, *words, "--help")
            assert answer.returncode == 0 and answer.stdout.startswith("usage: ./mcpbox ctl"), words


def test_nobody_there_ends_with_3(tmp_path):
    make_keys(tmp_path)
    port = free_ports(4)
    (tmp_path / "config.env").write_text(f"MCPBOX_ADMIN_PORT={port}\nMCPBOX_REGISTRY_ADDR=127.0.0.1:{port + 1}\n")
    assert run(tmp_path, "pending", environment={"MCPBOX_TOKEN": "t"}).returncode == 3
    answer = run(tmp_path, "audit", "verify")
    assert answer.returncode == 3 and "./mcpbox up" in answer.stderr


def test_login_keeps_the_tokens_for_the_owner_alone(data, registry):
    answer = run(data, "login", "--user", "alice", "--password-file", "-", stdin="secret\n")
    assert (answer.returncode, answer.stdout) == (0, "Logged in as alice.\n")
    assert question(registry, "LOGIN")["request"] == {"username": "alice", "password": "secret"}
    token = data / "ctl/token"
    assert token.stat().st_mode & 0o777 == 0o600
    assert json.loads(token.read_text())["refresh_token"] == "refresh-1"


def test_password_is_asked_for_without_echo(data, registry):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(BIN / "mcpboxctl", ["mcpboxctl", "--data", str(data), "login"])
    screen = b""
    for answer in (b"alice\n", b"a secret\n"):
        while not screen.endswith(b": "):
            screen += os.read(terminal, 1024)
        os.write(terminal, answer)
        screen += b"|"
    with suppress(OSError):  # EIO: it has ended and closed its side
        while more := os.read(terminal, 1024):
            screen += more
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)
    assert b"secret" not in screen
    assert b"Logged in as alice" in screen
    assert question(registry, "LOGIN")["request"] == {"username": "alice", "password": "a secret"}


def test_without_a_login_it_says_how(data, registry):
    (data / "ctl/token").unlink(missing_ok=True)
    answer = run(data, "pending")
    assert answer.returncode == 1
    assert "not logged in" in answer.stderr and "./mcpbox ctl login" in answer.stderr


def test_token_that_has_run_out_is_renewed_once(data, ctl, registry):
    (data / "ctl/token").write_text(json.dumps({"access_token": "old", "refresh_token": "refresh-1"}))
    assert ctl("servers").returncode == 0
    assert question(registry, "REFRESH")["request"] == {"refresh_token": "refresh-1"}
    assert json.loads((data / "ctl/token").read_text())["refresh_token"] == "refresh-2"


def test_two_at_once_renew_once(data, ctl, registry):
    """A refresh token that comes twice would end the session."""
    (data / "ctl/token").write_text(json.dumps({"access_token": "old", "refresh_token": "refresh-1"}))
    both = [subprocess.Popen([BIN / "mcpboxctl", "--data", data, "servers"], stdout=subprocess.DEVNULL)
            for _ in range(2)]
    assert [process.wait(timeout=WAIT) for process in both] == [0, 0]
    asked = []
    while not registry.lines.empty():
        asked.append(registry.asked()["msg"])
    assert asked.count("REFRESH") == 1


def test_token_of_the_environment_wins(ctl, registry):
    answer = ctl("servers", environment={"MCPBOX_TOKEN": "other"})
    assert answer.returncode == 1
    assert "MCPBOX_TOKEN" in answer.stderr
    assert registry.asked()["secret"] == "other"


def test_show_has_all_that_a_reviewer_needs(ctl):
    text = ctl("show", "news/service_status").stdout
    assert "2 (live: 1)" in text
    assert "please" in text
    assert f"host:{REQUEST}" in text and "status.example.com" in text and "pending" in text
    assert '- "a"' in text and '+ "b"' in text
    assert "-    return 1" in text and "+    return 2" in text
    assert "    1  async def main():" in text


def test_show_has_limits_timeout_and_what_processes_are_for(ctl, registry):
    limits = {"memory_mb": 64, "threads": 4}
    for server, tool, timeout, processes in (
            ({"default_timeout_ms": 9000}, {}, "9000", "a fresh one for each call"),
            ({"default_timeout_ms": 9000, "warm_reuse": True}, {"timeout_ms": 1500}, "1500", "one serves many calls")):
        registry.answers({**REVIEW, "GET_SERVER": {"server": {**REVIEW["GET_SERVER"]["server"], **server}},
                          "GET_TOOL": {"tool": {**REVIEW["GET_TOOL"]["tool"], "limits": limits, **tool}}})
        lines = {line.strip() for line in ctl("show", TOOL).stdout.splitlines()}
        shown = {name: next(line for line in lines if line.startswith(name)) for name in ("timeout, ms", "limits", "processes")}
        assert shown["timeout, ms"].split()[-1] == timeout and processes in shown["processes"]
        assert json.loads(shown["limits"].removeprefix("limits")) == limits


@pytest.mark.parametrize("word", ["on", "off"])
def test_warm_reuse_is_switched_by_the_servers_name(ctl, registry, word):
    registry.answers({**REVIEW, "SET_WARM_REUSE": {"server": {"id": SERVER, "name": "news", "warm_reuse": word == "on"}}})
    answer = ctl("warm-reuse", word, "news")
    assert answer.returncode == 0 and answer.stdout.startswith("news: "), answer
    assert question(registry, "SET_WARM_REUSE")["request"] == {"server_id": SERVER, "warm_reuse": word == "on", "revision": None}


def test_foreign_text_reaches_the_terminal_escaped(ctl):
    for answer in (ctl("show", TOOL), ctl("show", TOOL, "--json")):
        assert answer.returncode == 0
        assert "\x1b" not in answer.stdout and "\u202e" not in answer.stdout
    assert "\\x1b[2J\\u{202e}gnp" in ctl("show", TOOL).stdout


def test_approve_means_what_was_shown(ctl, registry):
    ctl("show", TOOL)
    changed = json.loads(json.dumps(REVIEW))
    changed["GET_TOOL"]["tool"]["content_hash"] = "11ee"
    registry.answers(changed)
    registry.forget()
    answer = ctl("approve", "news/service_status")
    assert answer.returncode == 0
    assert answer.stdout.startswith("Approved news/service_status. version 2 is live\n")
    assert "Server 'news' is not started yet" in answer.stdout and "./mcpbox ctl start news" in answer.stdout
    assert question(registry, "DECIDE_TOOL")["request"]["content_hash"] == "00ff"


def test_code_that_was_never_shown_is_not_approved(ctl, registry):
    answer = ctl("approve", "news/service_status")
    assert answer.returncode == 1
    assert "look at it first: ./mcpbox ctl show news/service_status" in answer.stderr
    asked = []
    while not registry.lines.empty():
        asked.append(registry.asked()["msg"])
    assert "DECIDE_TOOL" not in asked


def test_hash_that_was_seen_elsewhere_is_enough(ctl, registry):
    assert ctl("approve", TOOL, "--hash", "00ff").returncode == 0
    assert question(registry, "DECIDE_TOOL")["request"]["content_hash"] == "00ff"


def test_nothing_is_said_about_a_server_that_runs(ctl, registry):
    registry.answers({**REVIEW, "GET_SERVER": {"server": {"id": SERVER, "name": "news", "status": "running"}}})
    ctl("show", TOOL)
    assert ctl("approve", TOOL).stdout == f"Approved {TOOL}. version 2 is live\n"


@pytest.mark.parametrize("verb", ["start", "stop"])
@pytest.mark.parametrize("server", ["news", SERVER])
def test_server_is_started_and_stopped_by_name_or_id(ctl, registry, verb, server):
    registry.answers({**REVIEW, f"{verb.upper()}_SERVER": {"success": True, "server_id": SERVER, "message": "it is so"}})
    answer = ctl(verb, server)
    assert (answer.returncode, answer.stdout) == (0, "it is so\n")
    assert question(registry, f"{verb.upper()}_SERVER")["request"]["server_id"] == SERVER


@pytest.mark.parametrize("verb", ["pause", "resume"])
@pytest.mark.parametrize("arguments,server_id", [([], ""), (["news"], SERVER)])
def test_calls_of_one_server_or_of_all_are_paused_and_resumed(ctl, registry, verb, arguments, server_id):
    registry.answers({**REVIEW, verb.upper(): {"success": True, "message": "it is so"}})
    answer = ctl(verb, *arguments)
    assert (answer.returncode, answer.stdout) == (0, "it is so\n")
    assert question(registry, verb.upper())["request"]["server_id"] == server_id
    assert ctl(verb, "a", "b").returncode == 2


def test_without_any_admin_the_way_is_setup(data, registry):
    registry.answers({**REVIEW, "AUTH_STATUS": {"setup_required": True}})
    (data / "ctl/token").unlink(missing_ok=True)
    answer = run(data, "pending")
    assert answer.returncode == 1
    assert "./mcpbox ctl setup" in answer.stderr


def test_half_a_command_lists_the_rest(data):
    for first, rest in (("audit", ["tail", "verify"]), ("user", ["passwd"]), ("keys", ["init"])):
        answer = run(data, first)
        assert answer.returncode == 2
        assert all(f"./mcpbox ctl {first} {word}" in answer.stderr for word in rest)


def test_unknown_topic_names_the_known_ones(data):
    answer = run(data, "audit", "tail", "--topic", "nope")
    assert answer.returncode == 2
    assert "there is no topic nope" in answer.stderr and "tool.approved" in answer.stderr


def test_password_without_a_terminal_names_an_option_that_the_command_takes(data, registry):
    answer = run(data, "user", "passwd", "alice")
    assert "--password-file" in answer.stderr and "--user" not in answer.stderr


def test_changed_content_is_refused_with_a_way_on(ctl, registry):
    registry.answers({**REVIEW, "DECIDE_TOOL": {"error!": {"code": 7, "text": "the content is another"}}})
    answer = ctl("approve", TOOL, "--hash", "22")
    assert answer.returncode == 1
    assert f"{TOOL} has changed since you looked" in answer.stderr


def test_host_request_is_approved_by_its_id(ctl, registry):
    assert ctl("approve", f"host:{REQUEST}", "--allow-private").returncode == 0
    asked = question(registry, "DECIDE_NETWORK")["request"]
    assert (asked["request_id"], asked["action"], asked["allow_private"]) == (REQUEST, "approve", True)


def test_module_request_is_listed_shown_and_decided_by_its_id(ctl, registry):
    assert f"module:{REQUEST}" in ctl("pending").stdout
    assert [m["module_name"] for m in json.loads(ctl("pending", "--json").stdout)["modules"]] == ["numpy"]
    assert "numpy" in ctl("show", f"module:{REQUEST}").stdout
    answer = ctl("approve", f"module:{REQUEST}")
    assert answer.stdout == f"Approved module:{REQUEST}. The request of news/service_status for numpy is approved. " \
        "Every tool of every server may import it.\n"
    asked = question(registry, "DECIDE_MODULE")["request"]
    assert (asked["request_id"], asked["action"]) == (REQUEST, "approve")
    assert ctl("reject", f"module:{REQUEST}", "--reason", "too large").returncode == 0
    assert question(registry, "DECIDE_MODULE")["request"]["reason"] == "too large"
    assert ctl("revoke", f"module:{REQUEST}").returncode == 0
    assert question(registry, "REVOKE_MODULE")["request"]["request_id"] == REQUEST


def test_reject_carries_the_reason(ctl, registry):
    assert ctl("reject", TOOL, "--reason", "too wide").returncode == 0
    asked = question(registry, "DECIDE_TOOL")["request"]
    assert (asked["action"], asked["reason"]) == ("reject", "too wide")


@pytest.mark.parametrize("x", ["news/none", "none/x", "host:1", "x", "module:1"])
def test_unknown_object_ends_with_1(ctl, x):
    assert ctl("show", x).returncode == 1


def test_errors_are_json_when_asked(ctl):
    answer = ctl("show", "news/none", "--json")
    error = json.loads(answer.stdout)
    assert (set(error), error["code"], error["field"]) == ({"detail", "code", "field", "hint"}, "not_found", None)


EVENTS = [
    {"seq": 7, "at": "2026-11-22T16:00:00.000Z", "topic": "tool.approved", "actor": "alice", "via": "rest",
     "object_kind": "tool", "object_id": TOOL, "outcome": "ok", "detail": {"version": 2}},
    {"seq": 8, "at": "2026-11-22T16:00:01.000Z", "topic": "host.approved", "actor": "alice", "via": "rest",
     "object_kind": "host", "object_id": REQUEST, "outcome": "ok", "detail": {}},
]


def test_audit_tail_prints_the_newest_rows_as_the_owner(data, registry):
    registry.answers({"LIST_AUDIT": {"events": EVENTS, "head_seq": 8}})
    answer = run(data, "audit", "tail", "--no-follow", "-n", "2")
    assert answer.returncode == 0
    assert "tool.approved" in answer.stdout.splitlines()[0]
    asked = registry.asked()
    assert (asked["kind"], asked["request"]["newest"], asked["request"]["limit"]) == (6, True, 2)


def test_audit_tail_as_json_has_the_names_of_the_table(data, registry):
    registry.answers({"LIST_AUDIT": {"events": EVENTS, "head_seq": 8}})
    rows = [json.loads(line) for line in run(data, "audit", "tail", "--no-follow", "--json").stdout.splitlines()]
    assert [row["seq"] for row in rows] == [7, 8]
    assert set(rows[0]) == {"seq", "at", "topic", "actor", "via", "object_kind", "object_id", "outcome", "detail",
                            "prev_hash", "hash"}
    assert rows[0]["detail"] == {"version": 2}


def test_audit_tail_follows(data, registry):
    registry.answers({"LIST_AUDIT": {"events": [EVENTS[0]], "head_seq": 7}})
    with subprocess.Popen([BIN / "mcpboxctl", "--data", data, "audit", "tail", "--json"], stdout=subprocess.PIPE,
                          text=True) as tail:
        assert json.loads(tail.stdout.readline())["seq"] == 7
        registry.answers({"LIST_AUDIT": {"events": [EVENTS[1]], "head_seq": 8}})
        assert json.loads(tail.stdout.readline())["seq"] == 8
        tail.terminate()


def test_broken_chain_ends_with_1_and_names_the_row(data, registry):
    registry.answers({"VERIFY_AUDIT": {"intact": False, "rows": 9, "first_bad_seq": 4, "reason": "the row was altered"}})
    answer = run(data, "audit", "verify")
    assert answer.returncode == 1
    assert "broken at 4: the row was altered" in answer.stdout


def test_intact_chain_is_its_own_anchor_later(data, registry, tmp_path):
    registry.answers({"VERIFY_AUDIT": {"intact": True, "rows": 9, "head_seq": 9, "head_hash": "ab" * 32}})
    first = run(data, "audit", "verify", "--json")
    assert first.returncode == 0
    (tmp_path / "anchor").write_text(first.stdout)
    registry.forget()
    assert run(data, "audit", "verify", "--anchor", tmp_path / "anchor").returncode == 0
    assert registry.asked()["request"]["anchor"] == {"seq": 9, "hash": "ab" * 32}


def test_user_passwd_needs_no_login(data, registry):
    registry.answers({"SET_PASSWORD": {"success": True}})
    answer = run(data, "user", "passwd", "alice", "--password-file", "-", stdin="a new password\n")
    assert answer.returncode == 0
    assert registry.asked()["request"] == {"username": "alice", "password": "a new password"}


def test_instances_are_json_that_status_reads(data, registry):
    tree = json.loads(run(data, "instances", "--json").stdout)
    assert tree["instances"] == []
    assert tree["state_seq"] == 1


CALLS = [{"id": "2", "tool_name": "service_status", "executed_by": "ada", "outcome": "tool_error", "duration_ms": 3,
          "error": "ValueError: no\x1b[2J\nline two", "created_at": "2026-11-22T10:00:01Z"},
         {"id": "1", "tool_name": "service_status", "outcome": "ok", "duration_ms": 2, "success": True,
          "created_at": "2026-11-22T10:00:00Z"}]


def test_calls_are_listed_newest_last(ctl, registry):
    registry.answers(REVIEW | {"LIST_EXECUTIONS": {"items": CALLS, "total": 2, "page": 1, "page_size": 7, "pages": 1}})
    told = ctl("calls", "-n", "7")
    lines = told.stdout.splitlines()
    assert told.returncode == 0, told.stderr
    assert lines[0].split() == ["BEGAN", "TOOL", "BY", "OUTCOME", "MS", "ERROR"]
    assert " ok " in lines[1] and "ada" in lines[2] and lines[2].endswith("ValueError: no\\x1b[2J …")
    assert question(registry, "LIST_EXECUTIONS")["request"]["page_size"] == 7
    ctl("calls", "news/service_status")
    assert question(registry, "LIST_EXECUTIONS")["request"]["tool_id"] == TOOL
    assert [call["id"] for call in json.loads(ctl("calls", "--json").stdout)] == ["2", "1"]
    refused = ctl("calls", "-n", "0")
    assert refused.returncode == 1 and "from 1 to 100" in refused.stderr


def test_modules_are_said_to_hold_for_all(ctl, registry):
    registry.answers(REVIEW | {"GET_MODULES": {"allowed_modules": ["json", "numpy"], "default_modules": ["json"],
                                               "is_custom": True}})
    told = ctl("modules").stdout
    assert "numpy" in told and f"module:{REQUEST}" in told
    assert told.endswith("Every tool of every server may import these, and always: json\n")
    assert "every tool of every server" in ctl("show", f"module:{REQUEST}").stdout
    assert "Every tool of every server may import it." in ctl("approve", f"module:{REQUEST}").stdout
