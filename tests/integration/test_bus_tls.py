"""The real services on a bus of tls+tcp:// addresses, each confined, with certificates made by openssl."""

import json
import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from admin_harness import BIN, WAIT, free_ports, make_keys
from registry_harness import Cluster

RUNTIME = Path(__file__).parents[2] / "services/executor/runtime"
BOTH = ("MCPBOX_BUS_TLS_CERT", "MCPBOX_BUS_TLS_CA")
EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_certificates(directory):
    """ca.pem, and member.pem: a certificate by it with its key."""
    ca, ca_key, request, key, member = (directory / n for n in ("ca.pem", "ca.key", "m.csr", "m.key", "member.pem"))
    openssl("req", "-x509", *EC, "-keyout", ca_key, "-subj", "/CN=bus CA", "-days", 2, "-out", ca)
    openssl("req", "-new", *EC, "-keyout", key, "-subj", "/CN=mcpbox-bus", "-out", request)
    openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", 2, "-out", member)
    member.write_text(member.read_text() + key.read_text())
    member.chmod(0o600)
    return {"MCPBOX_BUS_TLS_CERT": str(member), "MCPBOX_BUS_TLS_CA": str(ca)}


class World:
    def __init__(self, directory, cluster):
        self.data = make_keys(directory)
        self.tls = make_certificates(directory)
        self.port = free_ports(3)
        self.address = f"tls+tcp://127.0.0.1:{self.port}"
        self.gateway_port, self.admin_port = free_ports(1), free_ports(1)
        self.processes = []
        self.own = {
            "registry": {"MCPBOX_ENCRYPTION_KEY_FILE": str(directory / "keys/root.key"),
                         "MCPBOX_REGISTRY_DB_URL": cluster.url(cluster.new_database())},
            "executor": {"MCPBOX_BUS_LISTEN": "tls+tcp://127.0.0.1:0", "MCPBOX_WORKER_PATH": str(BIN / "mcpbox-worker"),
                         "MCPBOX_RUNTIME_DIR": str(RUNTIME)},
            "egress-proxy": {"MCPBOX_EGRESS_SOCKET": str(directory / "egress.sock")},
            "gateway": {"MCPBOX_GATEWAY_PORT": str(self.gateway_port)},
            "admin": {"MCPBOX_ADMIN_PORT": str(self.admin_port)},
        }

    def environment(self, service):
        return {"PATH": os.environ["PATH"], "MCPBOX_REGISTRY_ADDR": self.address,
                "MCPBOX_KEYS_FILE": str(self.data / f"keys/{service.partition('-')[0]}.key"),
                "MCPBOX_SPOOL_DIR": str(self.data / f"spool-{service}"), **self.own[service]}

    def start(self, service):
        read, write = os.pipe()
        self.processes.append(subprocess.Popen([BIN / f"mcpbox-{service}"], pass_fds=[write], env={
            **self.environment(service), **self.tls, "NOTIFY_FD": str(write)}))
        os.close(write)
        with os.fdopen(read) as notify:
            assert notify.readline() == "READY=1\n", service

    def ctl(self, *arguments, tls=True):
        return subprocess.run([BIN / "mcpboxctl", "--data", self.data, *arguments], capture_output=True, text=True,
                              check=False, timeout=WAIT, env={"PATH": os.environ["PATH"], **(self.tls if tls else {}),
                                                              "MCPBOX_REGISTRY_ADDR": self.address})

    def instances(self):
        """By role, as the registry sees them."""
        done = self.ctl("instances", "--json")
        assert done.returncode == 0, done.stderr
        return {instance["role"]: instance for instance in json.loads(done.stdout)["instances"]}

    def stop(self):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=WAIT)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    cluster = Cluster()
    made = World(tmp_path_factory.mktemp("tls"), cluster)
    try:
        for service in made.own:
            made.start(service)
        yield made
    finally:
        made.stop()
        cluster.remove()


def mcp(world, method, params, session=None):
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    request = urllib.request.Request(f"http://127.0.0.1:{world.gateway_port}/mcp", json.dumps(body).encode(), {
        "Content-Type": "application/json", "Accept": "application/json, text/event-stream",
        **({"Mcp-Session-Id": session} if session else {})})
    with urllib.request.urlopen(request, timeout=WAIT) as answer:
        return json.load(answer), answer.headers.get("Mcp-Session-Id")


def test_every_service_joins_and_the_owner_sees_them(world):
    end = time.monotonic() + WAIT
    while not {"gateway", "executor", "egress"} <= set(world.instances()) and time.monotonic() < end:
        pass
    roles = world.instances()
    assert {"gateway", "executor", "egress"} <= set(roles)
    assert roles["executor"]["work_addr"].startswith("tls+tcp://127.0.0.1:")


def test_a_question_travels_from_a_client_to_an_executor(world):
    """Gateway to registry, registry to executor."""
    _, session = mcp(world, "initialize", {"protocolVersion": "2025-06-18", "capabilities": {},
                                           "clientInfo": {"name": "test", "version": "1"}})
    answer, _ = mcp(world, "tools/call", {"name": "mcpbox_validate_code", "arguments": {
        "code": "async def main():\n    return 1\n"}}, session)
    assert json.loads(answer["result"]["content"][0]["text"])["has_main"], answer


def test_admin_asks_the_registry(world):
    with urllib.request.urlopen(f"http://127.0.0.1:{world.admin_port}/auth/status", timeout=WAIT) as answer:
        assert json.load(answer)["setup_required"] is True


@pytest.mark.parametrize("service", ["registry", "executor", "egress-proxy", "gateway", "admin"])
def test_without_the_settings_no_service_starts(world, service):
    done = subprocess.run([BIN / f"mcpbox-{service}"], env=world.environment(service), capture_output=True, text=True,
                          check=False, timeout=WAIT)
    assert done.returncode != 0
    assert all(name in done.stderr for name in BOTH), done.stderr


def test_without_the_settings_mcpboxctl_says_which(world):
    done = world.ctl("instances", tls=False)
    assert done.returncode != 0
    assert all(name in done.stderr for name in BOTH), done.stderr
