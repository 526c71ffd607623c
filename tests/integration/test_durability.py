"""What survives what: a real registry on a real PostgreSQL, real gateways, and between them a way that loses news."""

import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from admin_harness import BIN, WAIT, free_ports
from registry_harness import Cluster, Registry

CODE = "async def main():\n    return 1\n"
DEADLINE_S = 1.0  # interface.md: revocation and approval are in force within 1 s


class Way:
    """TCP to the registry's three ports from three others; what comes as news can be lost."""

    def __init__(self, to):
        self.to, self.base, self.loses_news, self.lost = to, free_ports(3), False, 0
        self.listeners = []
        for i in range(3):
            listener = socket.create_server(("127.0.0.1", self.base + i))
            self.listeners.append(listener)
            threading.Thread(target=self._accept, args=[listener, i], daemon=True).start()

    def _accept(self, listener, i):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.to + i))
            except OSError:
                near.close()
                continue
            threading.Thread(target=self._copy, args=[near, far, False], daemon=True).start()
            threading.Thread(target=self._copy, args=[far, near, i == 1], daemon=True).start()

    def _copy(self, source, sink, is_news):
        try:
            while data := source.recv(65536):
                if is_news and self.loses_news:
                    self.lost += len(data)
                else:
                    sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        for listener in self.listeners:
            listener.close()


class Gateway:
    def __init__(self, directory, name, address, **environment):
        self.directory, self.name, self.environment = directory, name, environment
        self.spool = directory / f"spool-{name}"
        self.spool.mkdir(exist_ok=True)
        self.address = address
        self.start()

    def start(self):
        read, write = os.pipe()
        self.port = free_ports(1)
        self.process = subprocess.Popen([BIN / "mcpbox-gateway"], pass_fds=[write], stderr=subprocess.DEVNULL, env={
            "MCPBOX_KEYS_FILE": str(self.directory / "keys/gateway.key"), "MCPBOX_REGISTRY_ADDR": self.address,
            "MCPBOX_GATEWAY_PORT": str(self.port), "MCPBOX_SPOOL_DIR": str(self.spool), "NOTIFY_FD": str(write),
            **self.environment})
        os.close(write)
        assert os.read(read, 8) == b"READY=1\n"
        os.close(read)

    def rpc(self, method, **params):
        """The answer; None when the connection broke."""
        params["_meta"] = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"}}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        headers = {"Content-Type": "application/json", "Accept": "application/json", "MCP-Protocol-Version": "2026-07-28",
                   "Mcp-Method": method, **({"Mcp-Name": params["name"]} if "name" in params else {})}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        try:
            connection.request("POST", "/mcp", body, headers)
            return json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def call(self, name, **arguments):
        """The result's text and whether it is an error; None when the connection broke."""
        message = self.rpc("tools/call", name=name, arguments=arguments)
        if message is None:
            return None
        if "error" in message:
            return message["error"]["message"], True
        return message["result"]["content"][0]["text"], bool(message["result"].get("isError"))

    def works(self, name):
        answer = self.call(name)
        return answer is not None and not answer[1]

    def kill(self):
        self.process.kill()
        self.process.wait()


def until(condition, what):
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.005)


class World:
    def __init__(self, cluster, directory):
        self.directory = directory
        self.registry = Registry(cluster)
        (directory / "root").write_text(self.registry.key + "\n")
        (directory / "root").chmod(0o600)
        subprocess.run([BIN / "mcpboxctl", "keys", "init", "--root", directory / "root", "--out", directory / "keys"],
                       check=True, stdout=subprocess.DEVNULL)
        self.way = Way(int(self.registry.address.rpartition(":")[2]))
        self.through = f"127.0.0.1:{self.way.base}"
        self.registry.join_executor()
        self.registry.log_in()
        self.server_id = self.registry.llm("CREATE_SERVER", name="news")["id"]
        self.gateways, self.made = [], 0

    def gateway(self, name, address=None, **environment):
        self.gateways.append(Gateway(self.directory, name, address or self.registry.address, **environment))
        return self.gateways[-1]

    def write(self):
        self.made += 1
        name = f"tool_{self.made}"
        tool = self.registry.llm("CREATE_TOOL", server_id=self.server_id, name=name, python_code=CODE)
        self.registry.llm("REQUEST_PUBLISH", tool_id=tool["id"])
        return tool["id"], name

    def publish(self):
        tool_id, name = self.write()
        self.registry.admin("DECIDE_TOOL", tool_id=tool_id, action="approve")
        if self.made == 1:
            self.registry.llm("START_SERVER", server_id=self.server_id)
        for gateway in self.gateways:
            until(lambda: gateway.works(name), f"{name} never worked")
        return name

    def marks(self):
        """mark -> outcomes of the calls that carried it."""
        rows = self.registry.sql("SELECT input_args || '|' || coalesce(outcome, '') FROM executions"
                                 " WHERE input_args LIKE '%mark%'").split("\n")
        found = {}
        for row in filter(None, rows):
            arguments, outcome = row.rsplit("|", 1)
            found.setdefault(json.loads(arguments)["mark"], []).append(outcome)
        return found

    def close(self):
        for gateway in self.gateways:
            if gateway.process.poll() is None:
                gateway.kill()
        self.way.close()
        self.registry.close()


@pytest.fixture(scope="module")
def cluster():
    made = Cluster()
    yield made
    made.remove()


@pytest.fixture
def world(cluster, tmp_path):
    made = World(cluster, tmp_path)
    yield made
    made.close()


# ---- news ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("loses_news", [False, True])
def test_a_decision_is_in_force_everywhere_within_a_second(world, loses_news):
    gateways = [world.gateway("a", world.through), world.gateway("b", world.through)]
    world.publish()
    world.way.loses_news = loses_news
    took = []
    for _ in range(4):
        tool_id, name = world.write()
        for action, body, wanted in (("DECIDE_TOOL", {"action": "approve"}, True), ("REVOKE_TOOL", {}, False)):
            world.registry.admin(action, tool_id=tool_id, **body)
            decided = time.monotonic()
            for gateway in gateways:
                until(lambda: gateway.works(name) == wanted, f"{action} never arrived")
            took.append(time.monotonic() - decided)
    assert (world.way.lost > 0) == loses_news, "or this test shows nothing"
    assert max(took) <= DEADLINE_S, took


def test_who_lost_news_has_all_of_it_in_order_after_a_restart_of_the_registry(world):
    """A consumer that begins again after what it has gets every row, once, in the order of the chain."""
    r = world.registry
    assert r.asker.send({"do": "news"})["ok"]
    world.write()
    last = r.owner("LIST_AUDIT", limit=500)["events"][-1]["seq"]
    r.kill()
    r.start()
    assert r.is_ready
    r.log_in()
    world.registry.llm("CREATE_SERVER", name="later")
    missed = r.owner("LIST_AUDIT", since_seq=last, limit=500)["events"]
    head = r.owner("LIST_AUDIT", limit=500)["events"][-1]["seq"]
    assert [e["seq"] for e in missed] == list(range(last + 1, head + 1))
    assert "server.created" in [e["topic"] for e in missed]


def test_lists_and_calls_ask_nobody_but_the_gateway_s_memory(world):
    """With a registry that stands still nothing that asks it, or its database, would be answered."""
    gateway = world.gateway("a")
    name = world.publish()
    os.kill(world.registry.process.pid, signal.SIGSTOP)
    try:
        assert name in [t["name"] for t in gateway.rpc("tools/list")["result"]["tools"]]
        assert gateway.works(name)
    finally:
        os.kill(world.registry.process.pid, signal.SIGCONT)


def test_more_tools_than_fit_one_page_of_the_map_reach_a_gateway(world):
    r, count = world.registry, 205
    r.admin("UPDATE_SECURITY_POLICY", tool_approval_mode="auto_approve")
    for i in range(count):
        tool = r.llm("CREATE_TOOL", server_id=world.server_id, name=f"many_{i}", python_code=f"{CODE}# {i}\n")
        r.llm("REQUEST_PUBLISH", tool_id=tool["id"])
    r.llm("START_SERVER", server_id=world.server_id)
    gateway = world.gateway("a")
    until(lambda: gateway.works("many_0"), "the map never came")
    listed = [t["name"] for t in gateway.rpc("tools/list")["result"]["tools"]]
    assert {f"many_{i}" for i in range(count)} <= set(listed)


# ---- records -------------------------------------------------------------------------------------


def test_calls_made_without_a_registry_are_all_on_record_once(world):
    """Registry gone, a stream of calls through two gateways, one of them killed in the middle of it."""
    killed, other = world.gateway("killed"), world.gateway("other")
    name = world.publish()
    r = world.registry
    r.kill()
    answered, lock = set(), threading.Lock()
    enough = threading.Event()

    def stream(gateway, prefix):
        for i in range(10000):
            mark = f"{prefix}-{i}"
            answer = gateway.call(name, mark=mark)
            if answer is None or (prefix == "other" and enough.is_set()):
                return
            with lock:
                if not answer[1]:
                    answered.add(mark)

    streams = [threading.Thread(target=stream, args=[gateway, f"{prefix}{n}" if prefix == "killed" else prefix])
               for gateway, prefix, count in ((killed, "killed", 4), (other, "other", 1)) for n in range(count)]
    for thread in streams:
        thread.start()
    until(lambda: sum(m.startswith("killed") for m in answered) >= 60, "no stream of calls")
    killed.kill()
    until(lambda: sum(m.startswith("other") for m in answered) >= 60, "the other one did not go on")
    enough.set()
    for thread in streams:
        thread.join()
    assert r.sql("SELECT count(*) FROM executions WHERE input_args LIKE '%mark%'") == "0", "the registry was away"
    r.start()
    assert r.is_ready
    killed.start()
    until(lambda: answered <= world.marks().keys() and all("" not in o for o in world.marks().values()),
          "records are missing")
    marks = world.marks()
    assert all(len(outcomes) == 1 for outcomes in marks.values()), "each once"
    assert {m for m in answered if marks[m] != ["ok"]} == set(), "what was answered has its end"
    assert all(marks[m] in (["ok"], ["unknown"]) for m in marks), "what was cut off is not made up"
    assert r.owner("VERIFY_AUDIT")["intact"]


def test_a_full_spool_refuses_calls_and_loses_none(world):
    gateway = world.gateway("small", MCPBOX_SPOOL_MAX="64k")
    name = world.publish()
    r = world.registry
    r.kill()
    answered = []
    for i in range(2000):
        text, is_error = gateway.call(name, mark=f"m{i}", padding="x" * 4000)
        if is_error:
            break
        answered.append(f"m{i}")
    assert "the spool is full" in text and "nothing was started" in text
    assert 4 < len(answered) < 64, "64 KiB of records"
    r.start()
    assert r.is_ready
    until(lambda: gateway.works(name), "it takes calls again")
    until(lambda: all(world.marks().get(m) == ["ok"] for m in answered), "starts or ends are missing")
    assert f"m{len(answered)}" not in world.marks(), "what was refused was not started"
