"""Starts mcpbox-admin and a fake registry (tests/support/fake_registry.c) for tests over HTTP or mcpboxctl."""

import http.client
import json
import os
import queue
import socket
import subprocess
import threading
from pathlib import Path

from rest_description import Description

BIN = Path(os.environ.get("MCPBOX_TEST_BIN", Path(__file__).parents[2] / "build/dev/bin"))
WAIT = 20


_next_port = 20000 + os.getpid() % 1000 * 10


def free_ports(count):
    """A run of free ports that was not handed out before: the registry takes three in a row."""
    global _next_port
    for base in range(_next_port, 60000):
        _next_port = base + count
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


def make_keys(data):
    """A data directory with the keys of all roles, as `up` makes it."""
    subprocess.run([BIN / "mcpboxctl", "--data", data, "keys", "init"], check=True)
    return data


class Registry:
    def __init__(self, data, address):
        self.lines = queue.Queue()
        self.file = Path(data) / f"answers-{address.rpartition(':')[2]}.json"
        self.answers({})
        self.process = subprocess.Popen([BIN / "fake_registry", data / "keys/root.key", address, self.file],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, daemon=True).start()
        assert self.lines.get(timeout=WAIT) == "READY"

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.strip())

    def answers(self, rows):
        """What is answered from now on: message name -> reply, or {"error!": {"code", "text", ...}}."""
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(rows))
        new.rename(self.file)

    def asked(self):
        """The next question that arrived."""
        return json.loads(self.lines.get(timeout=WAIT))

    def forget(self):
        while not self.lines.empty():
            self.lines.get()

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=WAIT)


class Admin:
    def __init__(self, data, address, environment=None):
        read, write = os.pipe()
        self.port = free_ports(1)
        self.process = subprocess.Popen(
            [BIN / "mcpbox-admin"], pass_fds=[write],
            env={"MCPBOX_KEYS_FILE": str(data / "keys/admin.key"), "MCPBOX_REGISTRY_ADDR": address,
                 "MCPBOX_ADMIN_PORT": str(self.port), "NOTIFY_FD": str(write), **(environment or {})})
        os.close(write)
        assert os.read(read, 8) == b"READY=1\n"
        os.close(read)
        self.described = None

    def ask(self, method, path, body=None, token="good-token", headers=None, raw=None):
        """status, parsed body (or text), headers; held against the description that the service gives of itself."""
        if self.described is None:
            self.described = Description(self._ask("GET", "/api/openapi.json", None, None, None, None)[1])
        status, value, got = self._ask(method, path, body, token, headers, raw)
        self.described.check(method, path, status, got.get("Content-Type", "").partition(";")[0], value)
        return status, value, got

    def _ask(self, method, path, body, token, headers, raw):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        data = raw if raw is not None else None if body is None else json.dumps(body)
        if data is not None:
            sent["Content-Type"] = "application/json"
        connection.request(method, path, data, {**sent, **(headers or {})})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        kind = answer.headers.get("Content-Type", "")
        return answer.status, json.loads(text) if "json" in kind and text else text, answer.headers

    def stop(self):
        self.process.terminate()
        return self.process.wait(timeout=WAIT)
