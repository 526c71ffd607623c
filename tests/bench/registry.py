"""Figures of the registry and of the two doors in front of it; bench.py runs them as `registry`."""

import http.client
import json
import os
import signal
import statistics
import threading
import time


TOOLS = 1000
CLIENTS = 200
ROUNDS = 5


def median_ms(seconds):
    return round(statistics.median(seconds) * 1000, 2)


class Door:
    """One kept connection; times requests up to the last byte of the answer, and reads them afterwards."""

    def __init__(self, port, headers):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.headers = {"Content-Type": "application/json", "Accept": "application/json", **headers}

    def ask(self, method, path, body=None):
        begun = time.perf_counter()
        self.connection.request(method, path, json.dumps(body) if body is not None else None, self.headers)
        answer = self.connection.getresponse()
        text = answer.read()
        took = time.perf_counter() - begun
        return took, answer.status, json.loads(text) if text else None

    def rpc(self, method, params):
        took, status, message = self.ask("POST", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        if status != 200 or "error" in message or message["result"].get("isError"):
            raise RuntimeError(f"{method} {params}: {status} {message}")
        return took, message["result"]


def mcp_door(product):
    return Door(product.port, {"Mcp-Session-Id": product.session, "MCP-Protocol-Version": "2025-11-25"})


def rest_door(product):
    return Door(product.admin_port, {"Authorization": f"Bearer {product.token}"})


def write_many(product, count):
    """Published tools, written over MCP as an LLM would, approved by policy."""
    product.rest("PATCH", "/api/settings/security-policy", {"tool_approval_mode": "auto_approve"})
    product.server("many")
    for i in range(count):
        tool = product.manage("create_tool", server_id=product.servers["many"], name=f"many_{i}",
                              description=f"The tool number {i} of a long list, with a description of usual length.",
                              python_code=f"def main(city: str, days: int = {i}) -> dict:\n    return {{}}\n")
        product.manage("request_publish", tool_id=tool["id"])
    product.start("many")
    product.rest("PATCH", "/api/settings/security-policy", {"tool_approval_mode": "require_approval"})


def list_all(door):
    """All pages, one after the other: (seconds, names)."""
    took, names, params = 0, [], {}
    while True:
        once, result = door.rpc("tools/list", params)
        took += once
        names += [tool["name"] for tool in result["tools"]]
        if "nextCursor" not in result:
            return took, names
        params = {"cursor": result["nextCursor"]}


def measure_list(product):
    """While the registry stands still: whoever asked it, or the database behind it, would not be answered."""
    door = mcp_door(product)
    product.until(lambda: len(list_all(door)[1]) >= TOOLS, "the tools are not listed")
    registry = product.pid("registry")
    os.kill(registry, signal.SIGSTOP)
    try:
        return median_ms([list_all(door)[0] for _ in range(40)])
    finally:
        os.kill(registry, signal.SIGCONT)


def measure_management(product):
    door, server = mcp_door(product), product.servers["many"]
    _, listed = door.rpc("tools/call", {"name": "mcpbox_list_tools", "arguments": {"server_id": server, "page_size": 1}})
    tool = json.loads(listed["content"][0]["text"])["tools"][0]["id"]
    questions = {
        "list_servers": {}, "get_tool": {"tool_id": tool}, "get_tool_status": {"tool_id": tool},
        "list_tools": {"server_id": server, "page_size": 20}, "list_pending_requests": {}, "get_tool_logs": {"tool_id": tool},
    }
    took = {name: [door.rpc("tools/call", {"name": f"mcpbox_{name}", "arguments": arguments})[0] for _ in range(100)]
            for name, arguments in questions.items()}
    took["request_network_access"] = [door.rpc("tools/call", {"name": "mcpbox_request_network_access", "arguments": {
        "tool_id": tool, "host": f"h{i}.example.com", "justification": "bench"}})[0] for i in range(100)]
    return median_ms([s for all_of_one in took.values() for s in all_of_one]), {n: median_ms(t) for n, t in took.items()}


def measure_clients(product):
    """(errors, requests, requests/s) of clients that all begin at once, each on a connection of its own."""
    errors, begin = [], threading.Barrier(CLIENTS + 1)
    paths = ["/api/servers", "/api/approvals/tools?page_size=5", "/api/settings/security-policy", "/auth/me"]

    def client(number):
        door = rest_door(product)
        begin.wait()
        for i in range(ROUNDS):
            try:
                if i == 2:
                    answer = door.ask("POST", "/api/servers", {"name": f"client_{number}"})[1:]
                else:
                    answer = door.ask("GET", paths[(number + i) % len(paths)])[1:]
                if answer[0] not in (200, 201):
                    errors.append(answer)
            except (OSError, http.client.HTTPException) as error:
                errors.append((0, repr(error)))

    threads = [threading.Thread(target=client, args=[number]) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    begin.wait()
    begun = time.perf_counter()
    for thread in threads:
        thread.join()
    return errors, CLIENTS * ROUNDS, CLIENTS * ROUNDS / (time.perf_counter() - begun)


def works(product, name):
    try:
        return not product.ask(name, name="you").get("isError")
    except RuntimeError:
        return False


def measure_decision(product):
    """Seconds from the answer to an approval until the tool is called without an error."""
    took = []
    product.server("late")
    for i in range(8):
        name = f"late_{i}"
        product.publish("late", name, f'def main(name: str):\n    return "hello " + name  # {i}\n')
        decided = time.perf_counter()
        if i == 0:
            product.start("late")
            decided = time.perf_counter()
        while not works(product, name):
            pass
        took.append(time.perf_counter() - decided)
    return took


def state_of(product):
    return Door(product.port, {}).ask("GET", "/health")[2]["state_seq"]


def measure_modules(product):
    """A decision about a module outdates every spec: seconds until the gateway has all of them anew, and calls meanwhile."""
    took, is_over = [], threading.Event()

    def call():
        door = mcp_door(product)
        while not is_over.is_set():
            took.append(door.rpc("tools/call", {"name": "hello", "arguments": {"name": "you"}})[0])

    caller = threading.Thread(target=call)
    caller.start()
    time.sleep(3)
    before = len(took)
    seen, begun = state_of(product), time.perf_counter()
    product.rest("PATCH", "/api/settings/modules", {"add_modules": ["numpy"]})
    product.until(lambda: state_of(product) > seen, "the specs were not rebuilt")
    whole = time.perf_counter() - begun
    is_over.set()
    caller.join()
    return whole, max(took[:before]), max(took[before:])
