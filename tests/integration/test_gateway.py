"""The gateway over HTTP, with a fake registry and fake executors on the bus (tests/support/gateway_*.c)."""

import http.client
import json
import os
import queue
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

BIN = Path(os.environ.get("MCPBOX_TEST_BIN", Path(__file__).parents[2] / "build/dev/bin"))
WAIT = 20
MODERN = "2026-07-28"
META = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}


def free_ports(count):
    """A run of free ports: the registry takes three in a row."""
    for base in range(20000 + os.getpid() % 9000, 60000, count):
        sockets = []
        try:
            for port in range(base, base + count):
                sockets.append(socket.socket())
                sockets[-1].bind(("127.0.0.1", port))
            return base
        except OSError:
            continue
        finally:
            for s in sockets:
                s.close()
    raise RuntimeError("no free ports")


class Peer:
    """A fake: facts come as JSON lines, commands go the same way."""

    def __init__(self, *command):
        self.facts = []
        self.changed = threading.Condition()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, daemon=True).start()
        self.wait_for(lambda fact: "ready" in fact)

    def _read(self):
        for line in self.process.stdout:
            with self.changed:
                self.facts.append(json.loads(line))
                self.changed.notify_all()

    def wait_for(self, wanted, since=0):
        """The first fact from `since` on for which wanted() is true."""
        def found():
            return next((f for f in self.facts[since:] if wanted(f)), None)
        with self.changed:
            assert self.changed.wait_for(found, timeout=WAIT), self.facts[since:]
            return found()

    def tell(self, command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=WAIT)


def tool(name, server="demo", **more):
    server_id = {"demo": "s1", "other": "s2"}[server]
    return {"tool_id": f"t-{name}", "server_id": server_id, "server_name": server, "tool_name": name,
            "published_name": name, "version": 1, "description": f"does {name}", "timeout_ms": 20000, **more}


TOOLS = [
    tool("echo", input_schema={"type": "object", "properties": {"do": {"type": "string"}, "value": True}}),
    tool("again", annotations={"readOnlyHint": True}),
    tool("region", input_schema={"type": "object", "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"}}}),
    tool("listed", output_schema={"type": "array"}, title="Listed"),
    tool("short", timeout_ms=1),
    tool("hidden", server="other"),
]
SERVERS = [{"id": "s1", "name": "demo", "running": True}, {"id": "s2", "name": "other", "running": False}]


class World:
    def __init__(self, directory):
        self.keys = directory / "keys"
        self.root = directory / "root"
        self.spool = directory / "spool"
        self.keys.mkdir()
        self.spool.mkdir()
        self.address = f"127.0.0.1:{free_ports(3)}"
        self.executors = {}
        subprocess.run([BIN / "mcpboxctl", "keys", "init", "--root", self.root, "--out", self.keys], check=True)
        self.start_registry()
        self.start_gateway()
        try:
            self.set_map(TOOLS, SERVERS)
            self.start_executor("executor-a")
        except BaseException:
            self.close()
            raise

    def start_registry(self):
        self.registry = Peer(BIN / "gateway_registry", self.root, self.address)

    def set_map(self, tools, servers):
        self.registry.tell({"map": {"tools": tools, "servers": servers}})
        self.until(lambda: self.health()["tools"] == len([t for t in tools if t["server_id"] == "s1"]))

    def start_executor(self, name, capacity=4):
        self.executors[name] = Peer(BIN / "gateway_executor", self.keys / "executor.key", self.address, name,
                                    str(capacity))
        running = sum(e.process.poll() is None for e in self.executors.values())
        self.until(lambda: self.health()["executors"]["answering"] >= running)
        return self.executors[name]

    def start_gateway(self, environment=None):
        read, write = os.pipe()
        self.port = free_ports(1)
        self.gateway = subprocess.Popen(
            [BIN / "mcpbox-gateway"], pass_fds=[write],
            env={"MCPBOX_KEYS_FILE": str(self.keys / "gateway.key"), "MCPBOX_REGISTRY_ADDR": self.address,
                 "MCPBOX_GATEWAY_PORT": str(self.port), "MCPBOX_SPOOL_DIR": str(self.spool),
                 "MCPBOX_AUDIT_SYNC_MS": "0", "NOTIFY_FD": str(write), **(environment or {})})
        os.close(write)
        assert os.read(read, 8) == b"READY=1\n"
        os.close(read)

    def stop_gateway(self):
        self.gateway.terminate()
        assert self.gateway.wait(timeout=WAIT) == 0

    def until(self, condition):
        end = time.monotonic() + WAIT
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.02)

    def health(self):
        return json.loads(self.http("GET", "/health")[1])

    def metric(self, name):
        text = self.http("GET", "/metrics")[1].decode()
        return float(re.search(rf"^mcpbox_\w*{name} (.*)$", text, re.M).group(1))

    def http(self, method, path, body=None, headers=None):
        """status, body bytes, headers"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, data, answer.headers

    def post(self, message, path="/mcp", **headers):
        """status, parsed answer (None when empty), headers"""
        sent = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        sent.update({k.replace("_", "-"): v for k, v in headers.items() if v is not None})
        sent = {k: v for k, v in sent.items() if v != ""}
        body = message if isinstance(message, (str, bytes)) else json.dumps(message)
        status, data, got = self.http("POST", path, body, sent)
        if "event-stream" in got.get("Content-Type", ""):
            return status, [json.loads(e[len("event: message\ndata: "):])
                            for e in data.decode().split("\n\n") if e.startswith("event: message")], got
        return status, json.loads(data) if data else None, got

    def modern(self, method, params=None, path="/mcp", meta=None, id=1, **headers):
        params = {**(params or {}), "_meta": {**META, **(meta or {})}}
        named = {"Mcp_Name": params["name"]} if "name" in params else {}
        return self.post({"jsonrpc": "2.0", "id": id, "method": method, "params": params}, path,
                         **{"MCP_Protocol_Version": MODERN, "Mcp_Method": method, **named, **headers})

    def call(self, name, arguments=None, **more):
        status, answer, _ = self.modern("tools/call", {"name": name, "arguments": arguments or {}}, **more)
        assert status == 200, answer
        return answer["result"]

    def open_session(self, version="2025-11-25", path="/mcp"):
        status, answer, headers = self.post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}}, path)
        assert status == 200 and answer["result"]["protocolVersion"] == version
        return headers["Mcp-Session-Id"]

    def legacy(self, session, method, params=None, id=1, path="/mcp", **headers):
        message = {"jsonrpc": "2.0", "id": id, "method": method}
        if params is not None:
            message["params"] = params
        return self.post(message, path, Mcp_Session_Id=session, **headers)

    def stream(self, method, path="/mcp", body=None, headers=None):
        return Stream(self.port, method, path, body, headers or {})

    def close(self):
        self.gateway.kill()
        self.gateway.wait()
        for peer in [self.registry, *self.executors.values()]:
            peer.stop()


class Stream:
    """An SSE answer, read as it comes."""

    def __init__(self, port, method, path, body, headers):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)
        self.connection.request(method, path, body, {"Accept": "text/event-stream", **headers})
        self.answer = self.connection.getresponse()
        self.status = self.answer.status

    def event(self):
        """The next message; comments are passed over."""
        while True:
            line = self.answer.readline()
            assert line, "the stream ended"
            if line.startswith(b"data: "):
                return json.loads(line[6:])

    def is_ended(self):
        return all(not line.startswith(b"data: ") for line in iter(self.answer.readline, b""))

    def close(self):
        self.connection.sock and self.connection.sock.shutdown(socket.SHUT_RDWR)
        self.answer.close()
        self.connection.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("gateway"))
    yield made
    made.close()


@pytest.fixture
def own(tmp_path):
    made = World(tmp_path)
    yield made
    made.close()


# ---- before JSON-RPC -----------------------------------------------------------------------------

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


@pytest.mark.parametrize("headers,expected", [
    ({"Host": "evil.example"}, 403),
    ({"Origin": "http://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "http://localhost:5173"}, 400),           # goes on to the session check
    ({"Content-Type": "text/plain"}, 415),
    ({"Content-Type": "application/json; charset=utf-8"}, 400),
    ({"Accept": "text/html"}, 406),
    ({"Accept": "*/*"}, 400),
])
def test_http_headers_are_judged_first(shared, headers, expected):
    sent = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", **headers}
    assert shared.http("POST", "/mcp", json.dumps(PING), sent)[0] == expected


@pytest.mark.parametrize("body,code", [
    (b"", -32700), (b"{", -32700), (b"\xff", -32700), (b"[" * 100 + b"]" * 100, -32700), (b"{}x", -32700),
    (b"5", -32600), (b"{}", -32600), (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600),
    (b"[]", -32600),
])
def test_broken_messages_get_400_without_id(shared, body, code):
    status, answer, _ = shared.post(body)
    assert (status, answer["error"]["code"], "id" in answer) == (400, code, False)


def test_readable_id_is_echoed_in_a_refusal(shared):
    status, answer, _ = shared.post('{"jsonrpc":"1.0","id":9007199254740993,"method":"ping"}')
    assert (status, answer["id"], answer["error"]["code"]) == (400, 9007199254740993, -32600)


def test_other_verbs_get_405_with_allow(shared):
    for verb in ("PUT", "PATCH"):
        status, _, headers = shared.http(verb, "/mcp", "{}")
        assert status == 405 and "POST" in headers["Allow"]


def test_large_body_gets_413(shared):
    # By its length alone: none of it is read.
    assert shared.http("POST", "/mcp", headers={"Content-Type": "application/json",
                                                "Content-Length": str(5 << 20)})[0] == 413


def test_repeated_routing_header_is_refused(shared):
    connection = http.client.HTTPConnection("127.0.0.1", shared.port, timeout=WAIT)
    body = json.dumps(PING).encode()
    connection.putrequest("POST", "/mcp")
    for name, value in [("Content-Type", "application/json"), ("Content-Length", str(len(body))),
                        ("Mcp-Method", "ping"), ("Mcp-Method", "ping")]:
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    assert answer.status == 400 and json.loads(answer.read())["error"]["code"] == -32020


def test_preflight_of_a_local_page_is_answered(shared):
    status, _, headers = shared.http("OPTIONS", "/mcp", headers={
        "Origin": "http://localhost:5173", "Access-Control-Request-Headers": "mcp-param-region,content-type"})
    assert status == 204
    assert headers["Access-Control-Allow-Origin"] == "http://localhost:5173"
    assert "mcp-param-region" in headers["Access-Control-Allow-Headers"]
    assert "DELETE" in headers["Access-Control-Allow-Methods"]


def test_answers_are_one_line(shared):
    data = shared.http("POST", "/mcp", json.dumps({"jsonrpc": "2.0", "id": 1, "method": "server/discover",
                                                    "params": {"_meta": META}}),
                       {"Content-Type": "application/json", "MCP-Protocol-Version": MODERN,
                        "Mcp-Method": "server/discover"})[1]
    assert b"\n" not in data


# ---- modern --------------------------------------------------------------------------------------

def test_discover(shared):
    status, answer, headers = shared.modern("server/discover")
    result = answer["result"]
    assert status == 200 and "Mcp-Session-Id" not in headers
    assert result["supportedVersions"] == [MODERN]
    assert result["capabilities"]["tools"] == {"listChanged": True}
    assert result["resultType"] == "complete" and result["ttlMs"] >= 0 and result["cacheScope"] == "private"
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "mcpbox"


@pytest.mark.parametrize("method,change,status,code", [
    ("tools/list", {"_meta": {}}, 400, -32602),                                              # row 1
    ("tools/list", {"version": "2027-01-01"}, 400, -32020),                                  # row 2
    ("tools/list", {"method": "tools/call"}, 400, -32020),
    ("tools/list", {"version": "v9", "meta_version": "v9"}, 400, -32022),                    # row 3
    ("tools/list", {"version": None}, 400, -32020),                                          # row 4
    ("tools/list", {"method": None}, 400, -32020),
    ("tools/call", {"params": {"name": "echo"}, "name": None}, 400, -32020),                 # row 5
    ("tools/call", {"params": {"name": "echo"}, "name": "other"}, 400, -32020),
    ("no/such", {}, 404, -32601),                                                            # row 6
    ("initialize", {}, 404, -32601), ("ping", {}, 404, -32601), ("logging/setLevel", {}, 404, -32601),
    ("resources/subscribe", {}, 404, -32601), ("resources/unsubscribe", {}, 404, -32601),
    ("tasks/list", {}, 404, -32601), ("tasks/result", {}, 404, -32601),
    ("tools/call", {"params": {"name": "region", "arguments": {"region": "eu"}}}, 400, -32020),  # row 7
    ("tools/list", {"level": "loud"}, 200, -32602),                                          # row 8
    ("subscriptions/listen", {"params": {"notifications": {"taskIds": ["a"]}}}, 400, -32021),    # row 9
    ("tools/call", {"params": {"name": "nobody"}}, 200, -32602),                             # row 10
    ("tools/call", {"params": {"name": "echo", "arguments": []}}, 200, -32602),
    ("tools/list", {"params": {"cursor": "x"}}, 200, -32602),
    ("tools/list", {"params": {"cursor": 5}}, 200, -32602),
    ("subscriptions/listen", {}, 200, -32602),
    ("subscriptions/listen", {"params": {"notifications": {"toolsListChanged": 1}}}, 200, -32602),
])
def test_modern_checks_in_order(shared, method, change, status, code):
    params = dict(change.get("params", {}))
    meta = change.get("_meta", {**META, "io.modelcontextprotocol/protocolVersion": change.get("meta_version", MODERN)})
    if "level" in change:
        meta = {**meta, "io.modelcontextprotocol/logLevel": change["level"]}
    headers = {"MCP_Protocol_Version": change.get("version", MODERN), "Mcp_Method": change.get("method", method),
               "Mcp_Name": change.get("name", params.get("name"))}
    got, answer, _ = shared.post({"jsonrpc": "2.0", "id": "a1", "method": method,
                                  "params": {**params, "_meta": meta}}, **headers)
    assert (got, answer["error"]["code"], answer["id"]) == (status, code, "a1")


def test_unsupported_version_tells_the_supported(shared):
    _, answer, _ = shared.post({"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": {
        **META, "io.modelcontextprotocol/protocolVersion": "v999.0.0"}}}, MCP_Protocol_Version="v999.0.0",
        Mcp_Method="server/discover")
    assert answer["error"]["data"] == {"supported": [MODERN], "requested": "v999.0.0"}


def test_modern_notification_is_accepted_silently(shared):
    status, answer, _ = shared.post({"jsonrpc": "2.0", "method": "notifications/x", "params": {"_meta": META}})
    assert (status, answer) == (202, None)


def test_tools_are_sorted_and_management_comes_last(shared):
    _, answer, _ = shared.modern("tools/list")
    names = [t["name"] for t in answer["result"]["tools"]]
    user = [n for n in names if not n.startswith("mcpbox_")]
    assert user == sorted(["echo", "again", "region", "listed", "short"])
    assert len(names) == len(user) + len(MANAGEMENT) and names[:len(user)] == user
    assert all(t["description"] and t["inputSchema"]["type"] == "object" for t in answer["result"]["tools"])
    assert "nextCursor" not in answer["result"] and answer["result"]["resultType"] == "complete"


def test_call_gives_content_structure_and_execution(shared):
    result = shared.call("echo", {"a": [1, 2.50, "é"]})
    assert result["structuredContent"] == {"a": [1, 2.5, "é"]}
    assert result["isError"] is False and result["resultType"] == "complete"
    assert result["_meta"]["execution"] == {"stdout": "printed\n", "duration_ms": 5}
    assert shared.call("demo__echo", {})["isError"] is False


def test_modern_structured_content_is_any_json(shared):
    assert shared.call("echo", {"do": "value", "value": [1, 2]})["structuredContent"] == [1, 2]
    assert shared.call("echo", {"do": "value", "value": 5})["structuredContent"] == 5


def test_tool_error_is_a_result(shared):
    result = shared.call("echo", {"do": "error"})
    assert result["isError"] is True and result["content"][0]["text"] == "ValueError: bad city"
    assert "structuredContent" not in result


def test_mirrored_parameters(shared):
    assert shared.call("region", {"region": "eu"}, Mcp_Param_Region="eu")["isError"] is False
    assert shared.call("region", {})["isError"] is False


def test_large_arguments_are_refused_by_a_result(shared):
    assert shared.call("echo", {"x": "y" * (900 << 10)})["isError"] is False
    result = shared.call("echo", {"x": "y" * (1100 << 10)})
    assert result["isError"] is True and "1 MiB" in result["content"][0]["text"]


def test_progress_and_log_turn_the_answer_into_a_stream(shared):
    status, events, headers = shared.modern("tools/call", {"name": "echo", "arguments": {"do": "events"}}, meta={
        "progressToken": 12345678901234567890, "io.modelcontextprotocol/logLevel": "info"})
    assert status == 200 and "no-cache" in headers["Cache-Control"] and headers["X-Accel-Buffering"] == "no"
    assert [e.get("method") for e in events] == ["notifications/progress", "notifications/message",
                                                 "notifications/progress", None]
    assert events[0]["params"] == {"progressToken": 12345678901234567890, "progress": 1, "total": 2, "message": "half"}
    assert events[1]["params"] == {"level": "info", "data": "hello"}
    assert events[3]["result"]["content"][0]["text"] == "done"


def test_no_notifications_unless_asked_for(shared):
    result = shared.call("echo", {"do": "events"})
    assert result["content"][0]["text"] == "done"
    _, events, _ = shared.modern("tools/call", {"name": "echo", "arguments": {"do": "events"}},
                                 meta={"io.modelcontextprotocol/logLevel": "error"})
    assert events["result"]["content"][0]["text"] == "done"


def test_client_that_takes_no_stream_gets_json(shared):
    _, answer, headers = shared.modern("tools/call", {"name": "echo", "arguments": {"do": "events"}},
                                       meta={"progressToken": 1}, Accept="application/json")
    assert headers["Content-Type"] == "application/json" and answer["result"]["content"][0]["text"] == "done"


def test_client_that_takes_only_streams_gets_one(shared):
    _, events, headers = shared.modern("tools/list", Accept="text/event-stream")
    assert headers["Content-Type"] == "text/event-stream" and len(events) == 1 and events[0]["id"] == 1


def test_one_server_shows_bare_names_and_no_management(shared):
    _, answer, _ = shared.modern("tools/list", path="/mcp/demo")
    assert "mcpbox_create_tool" not in [t["name"] for t in answer["result"]["tools"]]
    assert shared.call("echo", path="/mcp/demo")["isError"] is False
    _, answer, _ = shared.modern("tools/call", {"name": "mcpbox_list_servers"}, path="/mcp/demo")
    assert answer["error"]["code"] == -32602


@pytest.mark.parametrize("server", ["other", "nobody"])
def test_stopped_and_unknown_servers_are_404(shared, server):
    assert shared.modern("tools/list", path=f"/mcp/{server}")[0] == 404
    assert shared.http("GET", f"/mcp/{server}", headers={"Accept": "text/event-stream"})[0] == 404


# ---- legacy --------------------------------------------------------------------------------------

@pytest.mark.parametrize("asked,given", [
    ("2024-11-05", "2024-11-05"), ("2025-03-26", "2025-03-26"), ("2025-06-18", "2025-06-18"),
    ("2025-11-25", "2025-11-25"), ("2026-07-28", "2025-11-25"), ("1.0", "2025-11-25")])
def test_initialize_negotiates(shared, asked, given):
    status, answer, headers = shared.post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}},
        Mcp_Method="initialize")
    assert (status, answer["result"]["protocolVersion"]) == (200, given)
    assert answer["result"]["serverInfo"]["name"] == "mcpbox" and headers["Mcp-Session-Id"]
    assert "resultType" not in answer["result"]


def test_legacy_empty_result_is_empty(shared):
    session = shared.open_session()
    assert shared.legacy(session, "ping")[1] == {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert shared.legacy(session, "logging/setLevel", {"level": "debug"})[1]["result"] == {}
    assert shared.legacy(session, "logging/setLevel", {"level": "loud"})[1]["error"]["code"] == -32602


def test_session_is_required_and_known(shared):
    for verb, body in (("POST", json.dumps(PING)), ("GET", None), ("DELETE", None)):
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        assert shared.http(verb, "/mcp", body, headers)[0] == 400
        headers["Mcp-Session-Id"] = "forged"
        assert shared.http(verb, "/mcp", body, headers)[0] == 404
    assert shared.post(PING)[1]["error"]["code"] == -32000
    assert shared.post(PING, Mcp_Session_Id="forged")[1]["error"]["code"] == -32001


def test_deleted_session_is_gone(shared):
    session = shared.open_session()
    assert shared.http("DELETE", "/mcp", headers={"Mcp-Session-Id": session})[0] == 204
    assert shared.legacy(session, "ping")[0] == 404
    assert shared.http("DELETE", "/mcp", headers={"Mcp-Session-Id": session})[0] == 404


def test_version_header_of_a_session(shared):
    session = shared.open_session("2025-06-18")
    assert shared.legacy(session, "ping", MCP_Protocol_Version="2025-06-18")[0] == 200
    assert shared.legacy(session, "ping", MCP_Protocol_Version="2025-03-26")[0] == 200
    assert shared.legacy(session, "ping", MCP_Protocol_Version="1999-01-01")[0] == 400
    assert shared.legacy(session, "ping", MCP_Protocol_Version=MODERN)[0] == 400


def test_notifications_and_responses_get_202(shared):
    session = shared.open_session()
    for message in ({"jsonrpc": "2.0", "method": "notifications/initialized"},
                    {"jsonrpc": "2.0", "id": 9, "result": {}},
                    {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 99}}):
        assert shared.post(message, Mcp_Session_Id=session)[:2] == (202, None)


def test_legacy_errors_are_in_band(shared):
    session = shared.open_session()
    assert shared.legacy(session, "no/such")[0:2][0] == 200
    assert shared.legacy(session, "no/such")[1]["error"]["code"] == -32601
    assert shared.legacy(session, "server/discover")[1]["error"]["code"] == -32601
    assert shared.legacy(session, "tools/call", {"name": "nobody"})[1]["error"]["code"] == -32602


def test_legacy_structured_content_is_an_object(shared):
    session = shared.open_session()
    got = shared.legacy(session, "tools/call", {"name": "echo", "arguments": {"do": "value", "value": [1]}})[1]
    assert got["result"]["structuredContent"] == {"result": [1]}
    got = shared.legacy(session, "tools/call", {"name": "listed", "arguments": {"do": "value", "value": [1]}})[1]
    assert got["result"]["structuredContent"] == {"result": [1]}
    listed = {t["name"]: t for t in shared.legacy(session, "tools/list")[1]["result"]["tools"]}
    assert listed["listed"]["outputSchema"] == {"type": "object", "properties": {"result": {"type": "array"}},
                                                "required": ["result"]}
    assert listed["echo"]["inputSchema"]["properties"]["value"] == {}


def test_oldest_version_knows_no_titles_and_no_structure(shared):
    session = shared.open_session("2025-03-26")
    tools = shared.legacy(session, "tools/list")[1]["result"]["tools"]
    assert all("title" not in t and "outputSchema" not in t for t in tools)
    assert "structuredContent" not in shared.legacy(session, "tools/call", {"name": "echo"})[1]["result"]


def test_batches_end_with_2025_03_26(shared):
    session = shared.open_session("2025-03-26")
    batch = [PING, {"jsonrpc": "2.0", "method": "notifications/x"},
             {"jsonrpc": "2.0", "id": "b", "method": "tools/call", "params": {"name": "echo"}}]
    status, answers, _ = shared.post(batch, Mcp_Session_Id=session)
    assert status == 200 and [a["id"] for a in answers] == [1, "b"]
    assert shared.post([batch[1]], Mcp_Session_Id=session)[:2] == (202, None)
    assert shared.post([{"jsonrpc": "2.0", "id": 1, "result": {}}], Mcp_Session_Id=session)[:2] == (202, None)
    refused = [[], [PING, {"jsonrpc": "2.0", "id": 1, "result": {}}], [{"jsonrpc": "2.0", "id": 1, "method": "initialize"}],
               [{"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}], [5], [PING] * 65]
    for batch in refused:
        status, answer, _ = shared.post(batch, Mcp_Session_Id=session)
        assert (status, answer["error"]["code"]) == (400, -32600)
    newer = shared.open_session("2025-06-18")
    assert shared.post([PING], Mcp_Session_Id=newer)[0] == 400


def test_session_outlives_the_gateway(own):
    session = own.open_session()
    own.gateway.kill()
    own.gateway.wait()
    own.start_gateway()
    own.until(lambda: own.health()["tools"] > 0)
    assert own.legacy(session, "ping")[0] == 200


# ---- streams -------------------------------------------------------------------------------------

def listen(world, notifications, id=1763800000000, path="/mcp"):
    return world.stream("POST", path, json.dumps({
        "jsonrpc": "2.0", "id": id, "method": "subscriptions/listen",
        "params": {"notifications": notifications, "_meta": META}}),
        {"Content-Type": "application/json", "MCP-Protocol-Version": MODERN, "Mcp-Method": "subscriptions/listen"})


def test_change_reaches_every_kind_of_stream_once(own):
    session = own.open_session()
    get = own.stream("GET", headers={"Mcp-Session-Id": session})
    wanting = listen(own, {"toolsListChanged": True, "promptsListChanged": True})
    deaf = listen(own, {}, id="deaf")
    narrow = listen(own, {"toolsListChanged": True}, id=3, path="/mcp/demo")
    assert get.status == wanting.status == 200
    subscription = {"io.modelcontextprotocol/subscriptionId": 1763800000000}
    assert wanting.event() == {"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {
        "notifications": {"toolsListChanged": True}, "_meta": subscription}}
    assert deaf.event()["params"]["notifications"] == {}
    assert narrow.event()["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == 3
    own.set_map(TOOLS[:3], SERVERS)
    assert get.event() == {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
    assert wanting.event() == {"jsonrpc": "2.0", "method": "notifications/tools/list_changed",
                               "params": {"_meta": subscription}}
    assert narrow.event()["method"] == "notifications/tools/list_changed"
    # A change of state that alters no list says nothing: the next event is the end.
    own.registry.tell({"revoke": "nobody"})
    own.stop_gateway()
    end = wanting.event()
    assert end["id"] == 1763800000000 and end["result"]["resultType"] == "complete"
    assert subscription.items() <= end["result"]["_meta"].items()
    assert deaf.event()["id"] == "deaf"
    assert get.is_ended()


def test_one_get_stream_per_session(shared):
    session = shared.open_session()
    first = shared.stream("GET", headers={"Mcp-Session-Id": session})
    assert first.status == 200
    assert shared.http("GET", "/mcp", headers={"Mcp-Session-Id": session, "Accept": "text/event-stream"})[0] == 409
    assert shared.http("GET", "/mcp", headers={"Mcp-Session-Id": session, "Accept": "application/json"})[0] == 406
    shared.http("DELETE", "/mcp", headers={"Mcp-Session-Id": session})
    assert first.is_ended()


def test_a_client_that_left_may_come_back(shared):
    session = shared.open_session()
    shared.stream("GET", headers={"Mcp-Session-Id": session}).close()

    def again():
        second = shared.stream("GET", headers={"Mcp-Session-Id": session})
        if second.status == 200:
            second.close()
        return second.status == 200
    shared.until(again)


# ---- management ----------------------------------------------------------------------------------

def test_management_result_is_text_and_structure(shared):
    result = shared.call("mcpbox_get_server", {"server_id": "s1"})
    assert json.loads(result["content"][0]["text"]) == result["structuredContent"]
    assert result["structuredContent"]["name"] == "demo" and "isError" not in result
    assert result["content"][0]["text"].startswith('{\n  "id": "s1"')


@pytest.mark.parametrize("name,arguments,code,field,words", [
    ("get_server", {}, "invalid", "server_id", ["server_id"]),
    ("get_server", {"server_id": ""}, "invalid", "server_id", ["server_id"]),
    ("get_server", {"server_id": "x"}, "not_found", "server_id", ["server x not found", "mcpbox_list_servers"]),
    ("get_server", {"server_id": 5}, "invalid", "server_id", ["server_id"]),
    ("get_server", {"server_id": "s1", "colour": "red"}, "invalid", "colour", ["colour"]),
    ("create_tool", {"server_id": "s1", "name": "x"}, "invalid", "python_code", ["python_code"]),
    ("validate_code", {"code": "def ("}, "invalid", None, ["line 1: invalid syntax"]),
    ("test_code", {"tool_id": "draft"}, "state", None, ["draft", "approval"]),
    ("test_code", {"tool_id": "t-echo", "arguments": []}, "invalid", "arguments", ["'arguments' must be an object"]),
])
def test_management_failures_are_results_that_say_why(shared, name, arguments, code, field, words):
    result = shared.call(f"mcpbox_{name}", arguments)
    assert result["isError"] is True
    text = result["content"][0]["text"]
    assert text.startswith("Error: ") and all(w in text for w in words), text
    error = result["_meta"]["error"]
    assert (error["code"], error["field"]) == (code, field) and text.startswith(f"Error: {error['detail']}")
    assert error["hint"] is None or error["hint"] in text


def test_management_schemas_name_only_what_the_message_has(shared):
    values = {"string": "x", "integer": 1, "boolean": True, "object": {}, "array": ["x"]}
    for listed in shared.modern("tools/list")[1]["result"]["tools"]:
        if not listed["name"].startswith("mcpbox_"):
            continue
        schema = listed["inputSchema"]
        assert set(schema["required"]) <= set(schema["properties"]) and schema["additionalProperties"] is False
        result = shared.call(listed["name"], {k: values[p["type"]] for k, p in schema["properties"].items()})
        # Every name is a field of the message: what else may be wrong with such values is the registry's to say.
        assert "unknown" not in result["content"][0]["text"], result


MANAGEMENT = set("""list_servers get_server create_server delete_server start_server stop_server list_tools get_tool
    create_tool update_tool delete_tool validate_code test_code list_tool_versions rollback_tool request_publish
    get_server_modules request_module get_tool_logs create_server_secret list_server_secrets request_network_access get_tool_status list_pending_requests""".split())
SHAPES = {"string": str, "integer": int, "boolean": bool, "object": dict, "array": list, "null": type(None)}


def conforms(schema, value):
    """What our output schemas use of JSON Schema."""
    if "type" not in schema:
        return True
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(type(value) is SHAPES[kind] for kind in kinds):
        return False
    if isinstance(value, list):
        return all(conforms(schema["items"], item) for item in value)
    if isinstance(value, dict):
        return set(schema["required"]) == set(value) and all(conforms(schema["properties"][k], v)
                                                             for k, v in value.items())
    return True


def test_management_tools_are_those_of_the_contract_with_title_hints_and_output_schema(shared):
    listed = {t["name"]: t for t in shared.modern("tools/list")[1]["result"]["tools"] if t["name"].startswith("mcpbox_")}
    assert set(listed) == {f"mcpbox_{name}" for name in MANAGEMENT}
    for tool in listed.values():
        assert tool["title"] and tool["description"] and tool["outputSchema"]["type"] == "object"
        hints = tool["annotations"]
        assert set(hints) == {"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"}
        assert not hints["readOnlyHint"] or (hints["idempotentHint"] and not hints["destructiveHint"])
    assert listed["mcpbox_delete_tool"]["annotations"]["destructiveHint"]


def test_management_results_have_the_shape_that_their_output_schema_tells(own):
    values = {"string": "s1", "integer": 1, "boolean": True, "object": {}, "array": ["x"]}
    seen = 0
    for listed in own.modern("tools/list")[1]["result"]["tools"]:
        if not listed["name"].startswith("mcpbox_") or listed["name"] == "mcpbox_test_code":
            continue
        result = own.call(listed["name"], {k: "t-echo" if k == "tool_id" else values[p["type"]]
                                              for k, p in listed["inputSchema"]["properties"].items()})
        if not result.get("isError"):
            assert conforms(listed["outputSchema"], result["structuredContent"]), result
            seen += 1
    assert seen == len(MANAGEMENT) - 2, "all but test_code, which has a test of its own, and validate_code: 's1' is none"


def test_management_arguments_arrive_as_the_message(shared):
    since = len(shared.registry.facts)
    shared.call("mcpbox_create_tool", {"server_id": "s1", "name": "x", "python_code": "def main(): pass",
                                       "limits": {"memory_mb": 64}, "timeout_ms": 5000})
    asked = shared.registry.wait_for(lambda f: f.get("asked") == "CREATE_TOOL", since)
    assert asked["request"]["limits"] == {"memory_mb": 64} and asked["request"]["timeout_ms"] == 5000


def test_test_code_runs_like_a_call_and_is_recorded_as_test(shared):
    since = len(shared.registry.facts)
    result = shared.call("mcpbox_test_code", {"tool_id": "t-echo", "arguments": {"a": 1}})
    assert result["structuredContent"] == {"success": True, "result": {"a": 1}, "stdout": "printed\n"}
    listed = {t["name"]: t for t in shared.modern("tools/list")[1]["result"]["tools"]}
    assert conforms(listed["mcpbox_test_code"]["outputSchema"], result["structuredContent"])
    result = shared.call("mcpbox_test_code", {"tool_id": "t-echo", "arguments": {"do": "error"}})
    assert result["isError"] is True and "ValueError: bad city" in result["content"][0]["text"]
    record = shared.registry.wait_for(lambda f: "record" in f, since)["record"]
    assert record["call"]["is_test"] is True


def test_list_is_right_at_once_after_stop_and_start(own):
    for action, expected in (("stop", False), ("start", True)):
        own.call(f"mcpbox_{action}_server", {"server_id": "s1"})
        names = [t["name"] for t in own.modern("tools/list")[1]["result"]["tools"]]
        assert ("echo" in names) is expected


# ---- calls ---------------------------------------------------------------------------------------

def test_each_call_is_recorded_before_its_answer(shared):
    since = len(shared.registry.facts)
    shared.call("echo", {"password": "hunter2", "a": 1})
    records = [shared.registry.wait_for(lambda f, k=kind: f.get("record", {}).get("kind") == k, since)["record"]
               for kind in ("call_started", "call_ended")]
    assert records[0]["call_id"] == records[1]["call_id"]
    assert records[0]["call"]["input_args"] == {"password": "[redacted]", "a": 1}
    assert records[1]["call"]["outcome"] == "ok" and records[1]["call"]["executor"].startswith("executor-")
    assert records[1]["call"]["stdout"] == "printed\n" and records[1]["call"]["executed_by"] == "127.0.0.1"


def test_what_a_call_ran_into_is_recorded_with_it(shared):
    since = len(shared.registry.facts)
    assert shared.call("echo", {"do": "excess"})["content"][0]["text"] == "memory limit 64 MiB exceeded"
    call = shared.registry.wait_for(lambda f: f.get("record", {}).get("kind") == "call_ended", since)["record"]["call"]
    assert call["outcome"] == "memory"
    assert call["excess"] == {"limit": "memory_mb", "allowed": 64, "used": 61}
    assert call["refused"] == [{"kind": "import", "name": "os", "line": 3, "count": 2},
                               {"kind": "host", "name": "a.example:443", "line": 0, "count": 1}]


PROMISED = 0.2      # from the client's word to the executor's, of 200 ms that its process may still live


def test_disconnect_cancels_a_modern_call(own):
    executor = own.executors["executor-a"]
    stream = socket.create_connection(("127.0.0.1", own.port))
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "echo", "arguments": {"do": "hold"}, "_meta": META}})
    stream.sendall((f"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    f"MCP-Protocol-Version: {MODERN}\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n{body}").encode())
    executor.wait_for(lambda f: "execute" in f)
    left = time.monotonic()
    stream.close()
    assert executor.wait_for(lambda f: "cancel" in f)["cancel"] == "client_gone"
    assert time.monotonic() - left < PROMISED
    record = own.registry.wait_for(lambda f: f.get("record", {}).get("kind") == "call_ended")["record"]
    assert record["call"]["outcome"] == "cancelled"


def legacy_hold(world, session, id):
    answers = queue.Queue()

    def call():
        try:
            answers.put(world.legacy(session, "tools/call", {"name": "echo", "arguments": {"do": "hold"}}, id=id))
        except OSError as error:    # the gateway was killed meanwhile
            answers.put(error)
    threading.Thread(target=call, daemon=True).start()
    return answers


def test_legacy_call_is_cancelled_by_notification(own):
    executor = own.executors["executor-a"]
    session = own.open_session()
    answers = legacy_hold(own, session, "r 1")
    executor.wait_for(lambda f: "execute" in f)
    stranger = own.open_session()
    cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "r 1"}}
    own.post(cancelled, Mcp_Session_Id=stranger)
    own.post({**cancelled, "params": {"requestId": 1}}, Mcp_Session_Id=session)
    assert own.legacy(session, "ping")[0] == 200
    assert not any("cancel" in f for f in executor.facts)
    asked = time.monotonic()
    own.post(cancelled, Mcp_Session_Id=session)
    assert executor.wait_for(lambda f: "cancel" in f)["cancel"] == "cancelled"
    assert time.monotonic() - asked < PROMISED
    assert answers.get(timeout=WAIT)[:2] == (202, None)
    record = own.registry.wait_for(lambda f: f.get("record", {}).get("kind") == "call_ended")["record"]
    assert record["call"]["outcome"] == "cancelled"


def test_revocation_ends_a_running_call(own):
    executor = own.executors["executor-a"]
    answers = legacy_hold(own, own.open_session(), 1)
    executor.wait_for(lambda f: "execute" in f)
    own.registry.tell({"revoke": "t-echo"})
    assert executor.wait_for(lambda f: "cancel" in f)["cancel"] == "revoked"
    assert answers.get(timeout=WAIT)[1]["result"]["isError"] is True
    record = own.registry.wait_for(lambda f: f.get("record", {}).get("kind") == "call_ended")["record"]
    assert record["call"]["outcome"] == "cancelled"
    assert "revoked" in own.call("echo")["content"][0]["text"]


def test_lost_executor_gives_a_clear_error_and_is_not_repeated(own):
    own.start_executor("executor-b")
    result = own.call("echo", {"do": "exit"})
    assert result["isError"] is True and "may have run" in result["content"][0]["text"]
    assert sum("execute" in f for e in own.executors.values() for f in e.facts) == 1
    assert sum(e.process.poll() is None for e in own.executors.values()) == 1
    record = own.registry.wait_for(lambda f: f.get("record", {}).get("kind") == "call_ended")["record"]
    assert record["call"]["outcome"] == "executor_lost"
    assert own.call("echo")["isError"] is False


def test_read_only_tool_is_repeated_elsewhere(own, tmp_path):
    own.start_executor("executor-b")
    result = own.call("again", {"do": "exit_once", "file": str(tmp_path / "once")})
    assert result["isError"] is False
    assert sum("execute" in f for e in own.executors.values() for f in e.facts) == 2


def test_busy_executor_is_passed_over(own, tmp_path):
    own.start_executor("executor-b")
    result = own.call("echo", {"do": "busy_once", "file": str(tmp_path / "once")})
    assert result["isError"] is False
    assert [sum("execute" in f for f in e.facts) for e in own.executors.values()] == [1, 1]


def test_a_flood_of_one_server_leaves_room_for_another(own):
    """Four sandboxes, all held by one server's tool, with more of its calls in line: what gets free is the other's."""
    executor = own.executors["executor-a"]
    own.registry.tell({"map": {"tools": TOOLS + [tool("quick", server="other")],
                               "servers": [SERVERS[0], {**SERVERS[1], "running": True}]}})
    own.until(lambda: own.health()["tools"] == len(TOOLS) + 1)
    session = own.open_session()
    for n in range(4):
        legacy_hold(own, session, n)
        executor.wait_for(lambda f: sum("execute" in x for x in executor.facts) == n + 1)
    for n in range(4, 12):
        legacy_hold(own, session, n)
    own.until(lambda: own.metric("calls_waiting") == 8)
    answer = queue.Queue()
    threading.Thread(target=lambda: answer.put(own.call("quick", path="/mcp/other")), daemon=True).start()
    own.until(lambda: own.metric("calls_waiting") == 9)
    own.post({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 0}}, Mcp_Session_Id=session)
    assert answer.get(timeout=WAIT)["isError"] is False
    executor.wait_for(lambda f: sum("execute" in x for x in executor.facts) == 6)   # then the next in line


def test_frozen_executor_gets_no_new_calls(own):
    frozen = own.executors["executor-a"].process
    own.start_executor("executor-b")
    os.kill(frozen.pid, signal.SIGSTOP)
    own.until(lambda: own.health()["executors"]["answering"] == 1)
    for _ in range(5):
        assert own.call("echo")["isError"] is False
    os.kill(frozen.pid, signal.SIGCONT)
    own.until(lambda: own.health()["executors"]["answering"] == 2)


def test_stop_lets_running_calls_end(own):
    executor = own.executors["executor-a"]
    answers = queue.Queue()
    threading.Thread(target=lambda: answers.put(own.call("echo", {"do": "slow"})), daemon=True).start()
    executor.wait_for(lambda f: "execute" in f)
    own.stop_gateway()
    assert answers.get(timeout=WAIT)["isError"] is False


def test_without_executors_a_call_ends_by_its_deadline(own):
    own.executors["executor-a"].stop()
    started = time.monotonic()
    result = own.call("short")
    assert result["isError"] is True and "was not started" in result["content"][0]["text"]
    assert 4 < time.monotonic() - started < 8
    assert own.modern("tools/list")[0] == 200


def test_without_a_registry_tools_run_and_management_says_so(own):
    own.registry.stop()
    assert own.call("echo")["isError"] is False
    result = own.call("mcpbox_list_servers")
    assert result["isError"] is True and "registry unavailable" in result["content"][0]["text"]
    assert own.modern("tools/list")[0] == 200
    own.start_registry()
    own.set_map(TOOLS[:2], SERVERS)
    assert own.call("echo")["isError"] is False


def test_records_of_a_killed_gateway_are_shipped_by_the_next(own):
    executor = own.executors["executor-a"]
    legacy_hold(own, own.open_session(), 1)
    executor.wait_for(lambda f: "execute" in f)
    own.gateway.kill()
    own.gateway.wait()
    own.start_gateway()
    record = own.registry.wait_for(lambda f: f.get("record", {}).get("kind") == "call_ended")["record"]
    assert record["call"]["outcome"] == "unknown"


def test_stale_limit_stops_tools(own):
    own.stop_gateway()
    own.start_gateway({"MCPBOX_STALE_MAX": "0"})
    own.until(lambda: own.health()["tools"] > 0 and own.health()["executors"]["answering"] > 0)
    assert own.call("echo")["isError"] is False
    own.registry.stop()
    own.until(lambda: own.call("echo")["isError"] is True)
    assert "registry" in own.call("echo")["content"][0]["text"]


def test_rate_limit(own):
    own.stop_gateway()
    own.start_gateway({"MCPBOX_RATE_LIMIT_RPM": "5"})
    statuses = [own.http("POST", "/mcp", "{}", {"Content-Type": "application/json"})[0] for _ in range(6)]
    assert statuses == [400] * 5 + [429]
    assert own.http("GET", "/health")[0] in (200, 503)
    assert int(own.http("POST", "/mcp", "{}")[2]["Retry-After"]) >= 1


def test_a_rate_limit_that_was_set_reaches_the_running_gateway(own):
    def asked():
        return own.http("POST", "/mcp", "{}", {"Content-Type": "application/json"})[0]
    own.until(lambda: own.health()["tools"] > 0)
    assert [asked() for _ in range(30)] == [400] * 30, "no limit until one is set"
    tools = own.health()["tools"]
    own.registry.tell({"map": {"tools": TOOLS[:1], "servers": SERVERS, "rate_limit_rpm": 10}})
    own.until(lambda: own.health()["tools"] != tools)
    statuses = [asked() for _ in range(12)]
    assert statuses[:10] == [400] * 10 and 429 in statuses[10:]


# ---- health and metrics --------------------------------------------------------------------------

def test_health_and_metrics(shared):
    health = shared.health()
    assert health["status"] == "ok" and health["executors"]["answering"] == 1
    text = shared.http("GET", "/metrics")[1].decode()
    for name in ("requests_total", "calls_total", "bus_refused_total", "streams", "spool_pending"):
        assert f"mcpbox_gateway_{name}" in text


# ---- API tokens ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["Bearer mcpbox.wrong", "Bearer x", "Basic YTpi", "mcpbox.call"])
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_a_wrong_credential_is_refused_and_never_taken_for_none(shared, method, value):
    status, body, headers = shared.http(method, "/mcp", "{}" if method == "POST" else None, {
        "Content-Type": "application/json", "Accept": "application/json, text/event-stream", "Authorization": value})
    assert (status, headers["WWW-Authenticate"]) == (401, 'Bearer realm="mcpbox", error="invalid_token"')
    assert json.loads(body)["error"]["code"] == -32600


def test_two_credentials_are_refused(shared):
    connection = http.client.HTTPConnection("127.0.0.1", shared.port, timeout=WAIT)
    connection.putrequest("POST", "/mcp")
    for name, value in (("Authorization", "Bearer mcpbox.call"), ("Authorization", "Bearer mcpbox.read"),
                        ("Content-Type", "application/json"), ("Content-Length", "2")):
        connection.putheader(name, value)
    connection.endheaders(b"{}")
    assert connection.getresponse().status == 400
    connection.close()


def test_a_token_calls_in_its_owners_name(shared):
    since = len(shared.registry.facts)
    assert not shared.call("echo", {"value": 1}, Authorization="Bearer mcpbox.call").get("isError")
    record = shared.registry.wait_for(lambda f: f.get("record", {}).get("call"), since)["record"]
    assert record["call"]["executed_by"] == "call"


def test_a_token_of_scope_read_lists_and_calls_nothing(shared):
    since = len(shared.registry.facts)
    status, answer, _ = shared.modern("tools/list", Authorization="Bearer mcpbox.read")
    assert status == 200 and "echo" in [t["name"] for t in answer["result"]["tools"]]
    result = shared.call("echo", {"value": 1}, Authorization="Bearer mcpbox.read")
    assert result["isError"] and "scope is read" in result["content"][0]["text"]
    assert not [f for f in shared.registry.facts[since:] if "record" in f]


def test_a_known_token_works_on_without_a_registry_and_an_unknown_one_waits(own):
    assert not own.call("echo", {"value": 1}, Authorization="Bearer mcpbox.call").get("isError")
    own.registry.stop()
    assert not own.call("echo", {"value": 1}, Authorization="Bearer mcpbox.call").get("isError")
    status, answer, headers = own.modern("tools/list", Authorization="Bearer mcpbox.read")
    assert status == 503 and "registry unavailable" in answer["error"]["message"]
    assert "WWW-Authenticate" not in headers


# ---- pause ---------------------------------------------------------------------------------------


def test_a_paused_tool_says_so_at_every_door(own):
    others = [t for t in TOOLS if t["published_name"] != "echo"]
    own.registry.tell({"map": {"tools": others, "servers": SERVERS, "paused": [
        {"published_name": "echo", "server_name": "demo", "tool_name": "echo"},
        {"published_name": "far", "server_name": "asleep", "tool_name": "far"}]}})
    own.until(lambda: own.health()["tools"] == len([t for t in others if t["server_id"] == "s1"]))
    for name, path, server in (("echo", "/mcp", "demo"), ("demo__echo", "/mcp", "demo"), ("echo", "/mcp/demo", "demo"),
                               ("far", "/mcp/asleep", "asleep")):
        result = own.call(name, path=path)
        assert result["isError"] and f"server '{server}' are paused" in result["content"][0]["text"], (name, path)
    status, answer, _ = own.modern("tools/call", {"name": "nothing", "arguments": {}})
    assert "Unknown tool" in answer["error"]["message"]
    assert own.modern("tools/list", path="/mcp/asleep")[1]["result"]["tools"] == []
    assert own.modern("tools/list", path="/mcp/unknown")[0] == 404
