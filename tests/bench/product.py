"""MCPBox from outside, as its users have it: MCP to write and call tools, REST to approve them."""

import http.client
import json
import os
import re
import signal
import subprocess
import time

CODES = {
    "plain": 'async def main(name: str):\n    return "hello " + name\n',
    "heavy": 'import pandas\n\n\nasync def main(name: str):\n    return "hello " + pandas.Series([name])[0]\n',
    "http": ('async def main(name: str):\n    if name == "ask":\n        await http.get("https://example.com/")\n'
             '    return "hello " + name\n'),
}
USER = {"username": "bench", "password": "as long as it has to be"}
PATIENCE_S = 15
MODULE_SQL = ("INSERT INTO module_requests (id, module_name, justification, status, source)"
              " VALUES (gen_random_uuid(), '{name}', 'bench', 'approved', 'admin')")


def tool_code(name, kind):
    """Each tool has its own source, so that nothing is shared by hash."""
    return f"# {name}\n{CODES[kind]}"


class Product:
    def __init__(self, command, data, port, admin_port):
        self.command, self.data, self.port, self.admin_port = command, data, port, admin_port
        self.token, self.servers = None, {}
        self.session = self.open_session(port)

    @staticmethod
    def open_session(port):
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
        headers, _ = post(port, "initialize", params)
        return headers["mcp-session-id"]

    # ---- the writer's side ----

    def ask(self, tool, **arguments):
        _, message = post(self.port, "tools/call", {"name": tool, "arguments": arguments}, self.session)
        if "error" in message:
            raise RuntimeError(f"{tool}: {message['error']['message']}")
        return message["result"]

    def manage(self, tool, **arguments):
        result = self.ask(f"mcpbox_{tool}", **arguments)
        text = result["content"][0]["text"]
        if result.get("isError"):
            raise RuntimeError(f"mcpbox_{tool}: {text}")
        return json.loads(text)

    def call(self, tool):
        result = self.ask(tool, name="you")
        if result.get("isError") or result["content"][0]["text"] != "hello you":
            raise RuntimeError(f"{tool} answered {result}")

    def server(self, name):
        self.servers[name] = self.manage("create_server", name=name)["id"]

    def start(self, name):
        self.manage("start_server", server_id=self.servers[name])

    def publish(self, server, name, code):
        """Write, submit, approve."""
        tool = self.manage("create_tool", server_id=self.servers[server], name=name, python_code=code)
        self.manage("request_publish", tool_id=tool["id"])
        waiting = next(t for t in self.rest("GET", "/api/approvals/tools")["items"] if t["name"] == name)
        self.rest("POST", f"/api/approvals/tools/{waiting['id']}/action",
                  {"action": "approve", "content_hash": waiting["content_hash"]})

    def until_listed(self, *names):
        def are_listed():
            _, message = post(self.port, "tools/list", {}, self.session)
            return set(names) <= {tool["name"] for tool in message["result"]["tools"]}

        self.until(are_listed, f"{', '.join(names)} not listed")

    # ---- the person's side ----

    def sign_in(self):
        self.rest("POST", "/auth/setup", USER)
        self.token = self.rest("POST", "/auth/login", USER)["access_token"]

    def rest(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=30)
        headers = {"content-type": "application/json"} if body is not None else {}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]!r}")
        return json.loads(text) if text else None

    def approve_module(self, name):
        """There is no request for modules yet: the approval is written where the registry reads it."""
        self.sql(MODULE_SQL.format(name=name))

    def reuse_warm(self, name):
        self.rest("PUT", f"/api/servers/{self.servers[name]}/warm-reuse", {"warm_reuse": True})

    def sql(self, statement):
        subprocess.run([*self.command, "psql", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement],
                       stdout=subprocess.DEVNULL, check=True)

    # ---- its processes ----

    def status(self):
        done = subprocess.run([*self.command, "status", "--json"], capture_output=True, text=True, check=False)
        return json.loads(done.stdout)

    def pids(self):
        return {s["name"]: s["pid"] for s in self.status()["services"] if s["name"] not in ("admin", "egress-proxy")}

    def pid(self, service):
        return next(s["pid"] for s in self.status()["services"] if s["name"] == service)

    def restart_executor(self):
        """Seconds from the start of a new executor's process until it said that it is ready."""
        log = next(self.data.glob("log/executor*/*.log"))
        seen = log.stat().st_size
        os.kill(self.pid("executor"), signal.SIGTERM)
        pattern = re.compile(r'"event":"service.became_ready".*"after_ms":(\d+)')
        found = []

        def is_back():
            with log.open(encoding="utf-8") as f:
                f.seek(seen)
                found[:] = pattern.findall(f.read())
            return found

        self.until(is_back, "the executor did not come back")
        return int(found[0]) / 1000

    @staticmethod
    def until(check, complaint):
        end = time.monotonic() + PATIENCE_S
        while not check():
            if time.monotonic() > end:
                raise RuntimeError(f"{complaint} within {PATIENCE_S} s")
            time.sleep(0.01)


def post(port, method, params, session=None):
    """One JSON-RPC request: (headers, message)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream",
               "mcp-protocol-version": "2025-11-25"}
    if session:
        headers["mcp-session-id"] = session
    connection.request("POST", "/mcp", json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}),
                       headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{method}: {answer.status} {text[:300]}")
    if answer.getheader("content-type", "").startswith("text/event-stream"):
        text = [line[6:] for line in text.splitlines() if line.startswith("data: ") and len(line) > 6][-1]
    return {name.lower(): value for name, value in answer.getheaders()}, json.loads(text)
