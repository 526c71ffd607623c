"""The real egress-proxy over its socket: a fake registry, a fake executor, a real HTTPS server of this host."""

import gzip
import http.server
import json
import os
import queue
import socket
import ssl
import struct
import subprocess
import threading
import time
import uuid
from pathlib import Path

import pytest

BIN = Path(os.environ.get("MCPBOX_TEST_BIN", Path(__file__).parents[2] / "build/dev/bin"))
WAIT = 20
MEBI = 1024 * 1024


def free_ports(count):
    """A run of free ports: the registry takes three in a row."""
    for base in range(30000 + os.getpid() % 9000, 60000, count):
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


class Registry:
    def __init__(self, directory, address):
        self.answers, self.records = queue.Queue(), queue.Queue()
        self.process = subprocess.Popen([BIN / "egress_registry", directory, address], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == "READY\n"
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            value = json.loads(line)
            (self.records if "record" in value else self.answers).put(value)

    def tell(self, command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return self.answers.get(timeout=WAIT)

    def next_record(self):
        return self.records.get(timeout=WAIT)["record"]

    def kill(self):
        self.process.kill()
        self.process.wait()


class Origin:
    """HTTPS, a path per behaviour; knows the peers' ports, so that reuse of connections shows."""

    def __init__(self, directory):
        origin = self
        self.peers, self.requests, self.release = [], [], threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

            def log_message(self, *args):
                pass

            def answer(self, body=b"", status=200, headers=()):
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def handle_any(self):
                origin.peers.append(self.client_address[1])
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                origin.requests.append((self.command, self.path, dict(self.headers), body))
                path = self.path.partition("?")[0]
                if path == "/slow":
                    origin.release.wait(WAIT)
                if path == "/redirect":
                    return self.answer(status=302, headers=[("Location", "http://127.0.0.1/")])
                if path == "/big":
                    return self.answer(b"x" * (11 * MEBI))
                if path == "/medium":
                    return self.answer(b"x" * (2 * MEBI))
                if path == "/bomb":
                    return self.answer(gzip.compress(b"\0" * (64 * MEBI)), headers=[("Content-Encoding", "gzip")])
                if path == "/gzip":
                    return self.answer(gzip.compress(b"unpacked"), headers=[("Content-Encoding", "gzip")])
                if path == "/headers":
                    return self.answer(headers=[(f"X-{i}", "y" * 100) for i in range(90)] * 4)
                if path == "/close":
                    self.close_connection = True
                    return None
                return self.answer(body or b"hello", headers=[("X-Origin", "1"), ("Connection", "X-Origin")])

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = handle_any

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "origin.pem", directory / "origin.key")
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def make_certificates(directory):
    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=directory, check=True, stderr=subprocess.DEVNULL)

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=origin",
            "-keyout", "origin.key", "-out", "origin.csr")
    (directory / "ext").write_text("subjectAltName=DNS:status.example.com,DNS:other.example.com")
    openssl("x509", "-req", "-in", "origin.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-extfile", "ext", "-out", "origin.pem")


class Resolver:
    """A DNS server for EGRESS_DNS: knows a few names, remembers what it was asked for."""

    ADDRESSES = {"loop": ["127.0.0.1"], "mixed": ["93.184.215.14", "10.0.0.5"], "lan": ["10.0.0.5"],
                 "mapped": ["::ffff:10.0.0.5"], "long": ["10.0.0.6"], "many": [f"93.184.215.{n}" for n in range(60)]}

    def __init__(self):
        self.asked = []
        self._bind()
        threading.Thread(target=self._serve_udp, daemon=True).start()
        threading.Thread(target=self._serve_tcp, daemon=True).start()

    def _bind(self):
        """One number for both: a port that is free for UDP may be taken for TCP."""
        while True:
            self.udp = socket.socket(type=socket.SOCK_DGRAM)
            self.udp.bind(("127.0.0.1", 0))
            self.port = self.udp.getsockname()[1]
            try:
                self.tcp = socket.create_server(("127.0.0.1", self.port))
                return
            except OSError:
                self.udp.close()

    def _answer(self, query, is_tcp):
        end = query.index(b"\0", 12) + 5
        name = query[13:end - 5].split(b"\x07example")[0].decode()
        (kind,) = struct.unpack(">H", query[end - 4:end - 2])
        self.asked.append(name)
        if name == "silent":
            return None
        family, size = (socket.AF_INET, 4) if kind == 1 else (socket.AF_INET6, 16)
        found = [a for a in self.ADDRESSES.get(name, []) if (":" in a) == (size == 16)]
        flags = 0x8180 if name in self.ADDRESSES else 0x8183
        if not is_tcp and name in ("long", "many"):
            flags, found = flags | 0x0200, []
        head = query[:2] + struct.pack(">HHHHH", flags, 1, len(found), 0, 0) + query[12:end]
        return head + b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, size) + socket.inet_pton(family, a)
                               for a in found)

    def _serve_udp(self):
        while True:
            query, peer = self.udp.recvfrom(4096)
            answer = self._answer(query, False)
            if answer:
                self.udp.sendto(b"\0\0" + answer[2:], peer)  # a forgery with another id comes first
                self.udp.sendto(answer, peer)

    def _serve_tcp(self):
        while True:
            peer, _ = self.tcp.accept()
            with peer:
                (size,) = struct.unpack(">H", peer.recv(2))
                answer = self._answer(peer.recv(size), True)
                peer.sendall(struct.pack(">H", len(answer)) + answer)


class Proxy:
    def __init__(self, directory, registry_address, origin, name="first", environment=None):
        self.socket_path = directory / name / "egress.sock"
        self.socket_path.parent.mkdir()
        names = ["status.example.com", "other.example.com", "wrong.example.com"]
        pins = [f"{n}=127.0.0.1:{origin.port}" for n in names] + ["gone.example.com=127.0.0.1:1"]
        self.environment = {
            "MCPBOX_KEYS_FILE": str(directory / "egress.key"), "MCPBOX_REGISTRY_ADDR": registry_address,
            "MCPBOX_SPOOL_DIR": str(directory / name / "spool"), "MCPBOX_EGRESS_SOCKET": str(self.socket_path),
            "MCPBOX_EGRESS_CA_FILE": str(directory / "ca.pem"),
            "MCPBOX_LOG_LEVEL": os.environ.get("MCPBOX_LOG_LEVEL", "info"),
            "MCPBOX_EGRESS_PINNED_HOSTS": ",".join([*pins, f"self.example.com={registry_address}"]),
            **(environment or {})}
        self.start()

    def start(self):
        read, write = os.pipe()
        self.process = subprocess.Popen([BIN / "mcpbox-egress-proxy"], pass_fds=[write],
                                        env={**self.environment, "NOTIFY_FD": str(write)})
        os.close(write)
        assert os.read(read, 8) == b"READY=1\n"
        os.close(read)

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(WAIT)
        s.connect(str(self.socket_path))
        return s

    def stop(self):
        self.process.terminate()
        assert self.process.wait(timeout=WAIT) == 0


class Stream:
    def __init__(self, sock):
        self.socket = sock

    def read_exactly(self, n):
        data = b""
        while len(data) < n:
            part = self.socket.recv(n - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def send(self, method, url, body=b"", headers=(), **more):
        head = {"method": method, "url": url, "headers": list(headers), "body_len": len(body), **more}
        self.send_head(json.dumps(head).encode(), body)

    def send_head(self, head, body=b""):
        self.socket.sendall(struct.pack("<I", len(head)) + head + body)

    def receive(self):
        (length,) = struct.unpack("<I", self.read_exactly(4))
        head = json.loads(self.read_exactly(length))
        return head, self.read_exactly(head["body_len"])

    def ask(self, *args, **more):
        self.send(*args, **more)
        return self.receive()


class World:
    def __init__(self, directory):
        self.directory = directory
        self.address = f"127.0.0.1:{free_ports(3)}"
        make_certificates(directory)
        self.registry = Registry(directory, self.address)
        self.origin = Origin(directory)
        self.proxy = Proxy(directory, self.address, self.origin)

    def sign(self, hosts=("status.example.com",), permit=None, grant=None):
        server = (permit or {}).get("server_id", "s1")
        entries = [{"host": h} if isinstance(h, str) else h for h in hosts]
        return self.registry.tell({
            "permit": {"permit_id": str(uuid.uuid4()), "server_id": server, "tool_id": "t1", "version": 3,
                       "audience": ["executor", "egress"], "purpose": "live",
                       "not_after": "2099-01-01T00:00:00.000Z", **(permit or {})},
            "grant": {"server_id": server, "server_name": "news", "hosts": entries, **(grant or {})}})

    def try_open(self, signed, call_id=None, mode=1, deadline_ms=30000, proxy=None):
        sock = (proxy or self.proxy).connect()
        request = {**signed, "call_id": call_id or str(uuid.uuid4()), "tool_name": "service_status", "mode": mode,
                   "deadline_ms": deadline_ms}
        sock.settimeout(None)  # the descriptor is shared, its non-blocking flag too
        run = subprocess.run([BIN / "egress_open", self.directory / "executor.key", str(sock.fileno())],
                             input=json.dumps(request), text=True, pass_fds=[sock.fileno()],
                             capture_output=True, timeout=WAIT, check=True)
        sock.settimeout(WAIT)
        return json.loads(run.stdout), Stream(sock)

    def open(self, *args, signed=None, **more):
        call = {k: more.pop(k) for k in ("call_id", "deadline_ms", "proxy") if k in more}
        signed = signed or self.sign(*args, **more)
        answer, stream = self.try_open(signed, **call)
        until = time.monotonic() + WAIT
        while "time is not known yet" in answer["text"] and time.monotonic() < until:
            answer, stream = self.try_open(signed, **call)  # a proxy just started has no Status yet
        assert answer["code"] == 0, answer
        return stream

    def record_of(self, path, kind="egress"):
        while True:
            record = self.registry.next_record()
            if record["kind"] == kind and record["egress"]["path"].startswith(path):
                return record


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    w = World(tmp_path_factory.mktemp("egress"))
    yield w
    w.origin.release.set()
    w.proxy.stop()
    w.registry.kill()


# ---- the way through ---------------------------------------------------------------------------------


def test_a_granted_host_answers_over_verified_tls(world):
    stream = world.open()
    head, body = stream.ask("GET", "https://Status.Example.com./api?token=secret", headers=[["X-A", "1"]])
    assert (head["status"], head["reason"], body) == (200, "OK", b"hello")
    assert head["url"] == "https://status.example.com:443/api?token=secret"
    method, path, headers, _ = world.origin.requests[-1]
    assert (method, path, headers["X-A"]) == ("GET", "/api?token=secret", "1")
    assert headers["Host"] == "status.example.com"
    assert headers["User-Agent"].startswith("mcpbox/")


def test_the_record_names_everything_but_the_query(world):
    stream = world.open(call_id="call-records")
    stream.ask("POST", "https://status.example.com/rec?token=secret", body=b"abc")
    started = world.record_of("/rec", "egress_started")
    ended = world.record_of("/rec")
    assert started["egress"]["request_no"] == ended["egress"]["request_no"]
    assert ended["call_id"] == "call-records"
    e = ended["egress"]
    assert (e["tool_id"], e["version"], e["tool_name"]) == ("t1", 3, "service_status")
    assert (e["method"], e["host"], e["port"], e["status"]) == ("POST", "status.example.com", 443, 200)
    assert (e["decision"], e["rule"], e["address"]) == ("allowed", "status.example.com", "127.0.0.1")
    assert e["bytes_out"] > 3 and e["bytes_in"] > 5
    assert "secret" not in json.dumps(ended)


def test_bodies_and_methods_pass_unchanged(world):
    stream = world.open()
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        data = os.urandom(300000)
        head, body = stream.ask(method, "https://status.example.com/echo", body=data)
        assert (head["status"], body) == (200, data)
        assert world.origin.requests[-1][0] == method
    head, body = stream.ask("HEAD", "https://status.example.com/")
    assert (head["status"], body) == (200, b"")
    head, body = stream.ask("POST", "https://status.example.com/")
    assert world.origin.requests[-1][2]["Content-Length"] == "0"
    assert "Content-Type" not in world.origin.requests[-1][2]


def test_headers_of_this_hop_stay_here_both_ways(world):
    stream = world.open()
    head, _ = stream.ask("GET", "https://status.example.com/", headers=[
        ["Host", "evil.example.net"], ["Connection", "X-Mine"], ["X-Mine", "1"], ["Proxy-Authorization", "x"],
        ["Transfer-Encoding", "chunked"], ["X-Latin", "M\u00fcller"], ["X-Empty", ""]])
    sent = world.origin.requests[-1][2]
    assert sent["Host"] == "status.example.com"
    assert not {"X-Mine", "Proxy-Authorization", "Transfer-Encoding", "Expect"} & set(sent)
    assert sent["X-Latin"].encode("latin-1") == b"M\xfcller"
    assert sent["X-Empty"] == ""
    got = {name.lower(): value for name, value in head["headers"]}
    assert not {"connection", "x-origin"} & set(got)
    assert got["content-length"] == str(head["body_len"])


def test_a_compressed_answer_arrives_decoded(world):
    head, body = world.open().ask("GET", "https://status.example.com/gzip")
    assert body == b"unpacked"
    assert "content-encoding" not in {name.lower() for name, _ in head["headers"]}


def test_redirects_go_back_to_the_tool(world):
    head, _ = world.open().ask("GET", "https://status.example.com/redirect")
    assert head["status"] == 302
    assert ["Location", "http://127.0.0.1/"] in head["headers"]


def test_calls_of_one_server_share_connections_and_servers_do_not(world):
    signed = world.sign()
    world.open(signed=signed, call_id="a").ask("GET", "https://status.example.com/1")
    world.open(signed=signed, call_id="b").ask("GET", "https://status.example.com/2")
    first, second = world.origin.peers[-2:]
    assert first == second
    world.open(permit={"server_id": "s2"}).ask("GET", "https://status.example.com/3")
    assert world.origin.peers[-1] != first
    # The same server after its hosts changed is another identity too.
    world.open(hosts=["status.example.com", "other.example.com"]).ask("GET", "https://status.example.com/4")
    assert world.origin.peers[-1] not in (first, world.origin.peers[-2])


# ---- refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "[::]", "224.0.0.1", "localhost", "metadata.google.internal"])
def test_what_no_grant_opens_is_refused_without_a_tool_to_ask_with(world, host):
    head, _ = world.open(hosts=[]).ask("GET", f"http://{host}/never")
    assert head["error"]["kind"] == "denied"
    assert not head["error"].get("hint")


def test_a_host_without_grant_is_refused_with_the_tool_to_ask_with(world):
    stream = world.open(hosts=[])
    head, _ = stream.ask("GET", "https://status.example.com/no?x=1")
    error = head["error"]
    assert (error["kind"], error["host"], error["port"], error["rule"]) == (
        "denied", "status.example.com", 443, "not-listed")
    assert "status.example.com:443" in error["text"]
    assert "mcpbox_request_network_access" in error["hint"] and '"t1"' in error["hint"]
    record = world.record_of("/no")
    assert (record["egress"]["decision"], record["egress"]["rule"]) == ("denied", "not-listed")
    # The stream goes on.
    assert stream.ask("GET", "https://status.example.com/")[0]["error"]["kind"] == "denied"


@pytest.mark.parametrize("url, rule", [
    ("https://status.example.com:8443/", "port"),
    ("https://x.status.example.com/", "not-listed"),
    ("https://127.0.0.1/", "not-listed"),
    ("http://2130706433/", "url"),
    ("file:///etc/passwd", "url"),
    ("https://u:p@status.example.com/", "url"),
    ("https://status.example.com/\r\nX: y", "url"),
])
def test_refusals_name_their_rule(world, url, rule):
    head, _ = world.open().ask("GET", url)
    assert (head["error"]["kind"], head["error"]["rule"]) == ("denied", rule)


def records_of_denials(world, call_id, rule):
    """All of the call, up to and with the first of that rule."""
    found = []
    while not found or found[-1]["rule"] != rule:
        record = world.registry.next_record()
        if record["call_id"] == call_id:
            found.append(record["egress"])
    return found


def test_denials_have_a_ceiling_and_few_records(world):
    signed = world.sign(hosts=["status.example.com"])
    for i in range(50):
        if i % 10 == 0:
            stream = world.open(signed=signed, call_id="denials")  # a new stream starts no new count
        head, _ = stream.ask("GET", "https://denied.example.com/")
        assert head["error"]["rule"] == "not-listed"
    for _ in range(3):
        head, _ = stream.ask("GET", "https://status.example.com/over")
        assert (head["error"]["kind"], head["error"]["rule"]) == ("denied", "too-many-denials")
        assert "50 of them refused" in head["error"]["text"]
        with pytest.raises(EOFError):
            stream.receive()
        stream = world.open(signed=signed, call_id="denials")
    assert ("GET", "/over") not in [r[:2] for r in world.origin.requests]
    world.open(call_id="after").ask("GET", "https://denied.example.com/")
    records = []
    while not records or records[-1]["call_id"] != "after":
        records.append(world.registry.next_record())
    mine = [r["egress"] for r in records if r["call_id"] == "denials"]
    assert [r["rule"] for r in mine[:20]] == ["not-listed"] * 20
    assert {r["rule"] for r in mine[20:]} == {"too-many-denials"}
    told = [int(r["error"].split()[0]) for r in mine[20:] if "more requests" in r["error"]]
    assert sum(told) == 30 and len(mine) == 20 + len(told) + 1
    assert "50 of them refused" in mine[-1]["error"]


def test_refusals_without_a_record_are_counted_when_the_stream_ends(world):
    stream = world.open(hosts=[], call_id="few")
    for _ in range(23):
        stream.ask("GET", "https://status.example.com/few")
    stream.socket.close()
    records = records_of_denials(world, "few", "too-many-denials")
    assert len(records) == 21
    assert records[-1]["error"] == "3 more requests were refused, 23 in all"


def test_requests_of_a_call_have_a_ceiling(world):
    stream = world.open(call_id="requests")
    for _ in range(1000):
        assert stream.ask("GET", "https://status.example.com/")[0]["status"] == 200
    head, _ = stream.ask("GET", "https://status.example.com/")
    assert (head["error"]["kind"], head["error"]["rule"]) == ("denied", "too-many-requests")
    with pytest.raises(EOFError):
        stream.receive()
    assert len(records_of_denials(world, "requests", "too-many-requests")) == 2001


def test_a_recorded_path_is_cut(world):
    world.open(hosts=[]).ask("GET", "https://status.example.com/long" + "x" * 5000)
    assert len(world.record_of("/long")["egress"]["path"]) == 256


def test_listed_literals_of_the_inside_stay_refused(world):
    stream = world.open(hosts=[{"host": h, "allow_private": True} for h in ("127.0.0.1", "169.254.169.254", "::1")])
    for url in ("http://127.0.0.1/", "http://169.254.169.254/", "http://[::1]/", "http://[::ffff:127.0.0.1]/"):
        head, _ = stream.ask("GET", url)
        assert head["error"]["kind"] == "denied", url


def test_our_own_listeners_are_refused_even_when_pinned(world):
    head, _ = world.open(hosts=["self.example.com"]).ask("GET", "http://self.example.com/")
    assert (head["error"]["kind"], head["error"]["rule"]) == ("denied", "address")
    assert "127.0.0.1" not in json.dumps(head)


def test_a_certificate_for_another_name_is_refused(world):
    head, _ = world.open(hosts=["wrong.example.com"]).ask("GET", "https://wrong.example.com/")
    assert head["error"]["kind"] == "tls"


def test_outages_have_their_kinds(world):
    stream = world.open(hosts=["gone.example.com", "status.example.com"])
    assert stream.ask("GET", "https://gone.example.com/")[0]["error"]["kind"] == "connect"
    assert stream.ask("GET", "https://status.example.com/close")[0]["error"]["kind"] in ("protocol", "connect")
    head, _ = stream.ask("GET", "https://status.example.com/slow", timeout_ms=300)
    assert head["error"]["kind"] == "timeout"


def test_ceilings_hold_on_wire_and_on_decoded_bytes(world):
    for path in ("/big", "/bomb", "/headers"):
        head, _ = world.open().ask("GET", "https://status.example.com" + path)
        assert head["error"]["kind"] == "too_large" and ("10 MiB" in head["error"]["text"] or path == "/headers"), path
    stream = world.open()
    stream.send_head(json.dumps({"method": "POST", "url": "https://status.example.com/",
                                 "body_len": 10 * MEBI + 1}).encode())
    head, _ = stream.receive()
    assert head["error"]["kind"] == "too_large" and "10 MiB" in head["error"]["text"]
    with pytest.raises(EOFError):
        stream.receive()


def test_memory_for_bodies_is_bounded_and_given_back(world):
    proxy = Proxy(world.directory, world.address, world.origin, "small", {"MCPBOX_EGRESS_BODY_MEMORY": "1m"})
    try:
        data = os.urandom(400 * 1024)
        for _ in range(5):
            stream = world.open(proxy=proxy)
            head, _ = stream.ask("GET", "https://status.example.com/medium")
            assert head["error"]["kind"] == "unavailable"
            assert stream.ask("POST", "https://status.example.com/echo", body=data)[1] == data
            stream.send_head(json.dumps({"method": "POST", "url": "https://status.example.com/",
                                         "body_len": 2 * MEBI}).encode())
            assert stream.receive()[0]["error"]["kind"] == "unavailable"
    finally:
        proxy.stop()


def test_http2_is_spoken_where_the_origin_offers_it(world):
    script = """
        const { readFileSync } = require("fs");
        const server = require("http2").createSecureServer(
            { key: readFileSync("origin.key"), cert: readFileSync("origin.pem") },
            (rq, rs) => { rs.setHeader("x-host", rq.headers[":authority"]); rs.end("two"); });
        server.listen(0, "127.0.0.1", () => console.log(server.address().port));
    """
    origin = subprocess.Popen(["node", "-e", script], cwd=world.directory, stdout=subprocess.PIPE, text=True)
    try:
        port = int(origin.stdout.readline())
        proxy = Proxy(world.directory, world.address, world.origin, "h2",
                      {"MCPBOX_EGRESS_PINNED_HOSTS": f"status.example.com=127.0.0.1:{port}"})
        try:
            stream = world.open(proxy=proxy)
            for _ in range(3):
                head, body = stream.ask("GET", "https://status.example.com/")
                assert (head["http_version"], head["status"], body) == ("HTTP/2", 200, b"two")
                assert ["x-host", "status.example.com"] in head["headers"]
        finally:
            proxy.stop()
    finally:
        origin.kill()
        origin.wait()


def test_a_lost_post_is_not_sent_again(world):
    signed = world.sign()
    stream = world.open(signed=signed)
    stream.ask("GET", "https://status.example.com/warm")
    count = len(world.origin.requests)
    head, _ = stream.ask("POST", "https://status.example.com/close", body=b"x")
    assert "error" in head
    assert [r[0] for r in world.origin.requests[count:]] == ["POST"]


# ---- names -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def resolver():
    return Resolver()


@pytest.fixture(scope="module")
def asking(world, resolver):
    """A proxy that asks that resolver."""
    proxy = Proxy(world.directory, world.address, world.origin, "asking",
                  {"MCPBOX_EGRESS_DNS": f"127.0.0.1:{resolver.port}"})
    yield proxy
    proxy.stop()


@pytest.mark.parametrize("name, kind, rule", [
    ("loop", "denied", "address"), ("mixed", "denied", "address"), ("lan", "denied", "address"),
    ("mapped", "denied", "address"), ("long", "denied", "address"), ("many", "denied", "addresses"),
    ("nosuch", "dns", None), ("silent", "dns", None)])
def test_every_address_of_a_name_is_judged(world, resolver, asking, name, kind, rule):
    begin = time.monotonic()
    head, _ = world.open(hosts=["*.example.com"], proxy=asking).ask("GET", f"http://{name}.example.com/")
    assert (head["error"]["kind"], head["error"]["rule"]) == (kind, rule)
    assert name in resolver.asked
    assert time.monotonic() - begin < 4


def test_a_name_that_is_not_granted_causes_no_query(world, resolver, asking):
    stream = world.open(hosts=["other.example.com", {"host": "narrow.example.com", "methods": ["POST"]}],
                        proxy=asking)
    for name in ("secret", "narrow"):
        assert stream.ask("GET", f"http://{name}.example.com/")[0]["error"]["kind"] == "denied"
    assert not {"secret", "narrow"} & set(resolver.asked)


def test_a_bad_start_names_the_variable(world):
    for name, value in (("MCPBOX_EGRESS_UPSTREAM_PROXY", "http://proxy:3128"), ("MCPBOX_EGRESS_DNS", "resolver"),
                        ("MCPBOX_EGRESS_PINNED_HOSTS", "a.example.com=b"), ("MCPBOX_EGRESS_CA_FILE", "/nowhere")):
        run = subprocess.run([BIN / "mcpbox-egress-proxy"], env={**world.proxy.environment, name: value},
                             capture_output=True, text=True, timeout=WAIT)
        assert run.returncode != 0
        assert (value if name.endswith(("HOSTS", "FILE")) else name) in run.stderr


# ---- opening -----------------------------------------------------------------------------------------


def test_the_first_open_learns_the_boot_id(world):
    answer, _ = world.try_open(world.sign())
    assert (answer["code"], answer["tries"]) == (0, 2)


@pytest.mark.parametrize("change, code", [
    ({"permit": {"audience": ["executor"]}}, 4),
    ({"permit": {"purpose": "install"}}, 4),
    ({"permit": {"not_after": "2020-01-01T00:00:00.000Z"}}, 4),
    ({"permit": {"needs": ["something_new"]}}, 16),
    ({"grant": {"server_id": "other"}}, 4),
])
def test_what_the_registry_did_not_grant_opens_nothing(world, change, code):
    answer, stream = world.try_open(world.sign(**change))
    assert answer["code"] == code, answer


def test_a_grant_that_the_permit_does_not_name_is_refused(world):
    narrow, wide = world.sign(), world.sign(hosts=["*.example.com"])
    answer, _ = world.try_open({"permit": narrow["permit"], "grant": wide["grant"]})
    assert answer["code"] == 4 and "permit names" in answer["text"]


def test_tunnels_are_refused_plainly(world):
    answer, _ = world.try_open(world.sign(), mode=2)
    assert answer["code"] == 16


def test_a_call_has_at_most_the_granted_connections(world):
    signed = world.sign(grant={"max_connections": 2})
    streams = [world.open(signed=signed, call_id="many") for _ in range(2)]
    assert world.try_open(signed, call_id="many")[0]["code"] == 10
    assert world.try_open(signed, call_id="another")[0]["code"] == 0
    assert len(streams) == 2


def test_noise_gets_no_answer(world):
    for noise in (b"\0\0\0\0", b"\xff\xff\xff\xff", struct.pack("<I", 200) + b"x" * 200, b"GET / HTTP/1.1\r\n\r\n"):
        sock = world.proxy.connect()
        sock.sendall(noise)
        try:
            assert sock.recv(1) == b""
        except ConnectionResetError:
            pass  # closed with bytes unread
    assert world.open().ask("GET", "https://status.example.com/")[0]["status"] == 200


def test_a_malformed_head_ends_the_stream_with_an_answer(world):
    stream = world.open()
    stream.send_head(b"[]")
    assert stream.receive()[0]["error"]["kind"] == "protocol"
    with pytest.raises(EOFError):
        stream.receive()


def test_an_opening_must_be_complete_in_five_seconds(world):
    sock = world.proxy.connect()
    sock.sendall(b"\x10")
    begin = time.monotonic()
    assert sock.recv(1) == b""
    assert 4 < time.monotonic() - begin < 8


# ---- end ---------------------------------------------------------------------------------------------


def test_a_stream_ends_with_its_call(world):
    stream = world.open(deadline_ms=500)
    begin = time.monotonic()
    with pytest.raises(EOFError):
        stream.receive()
    assert time.monotonic() - begin < 3


def test_revocation_ends_running_streams_within_a_second(world):
    permit_id = str(uuid.uuid4())
    signed = world.sign(permit={"permit_id": permit_id})
    idle, busy = world.open(signed=signed), world.open(signed=signed)
    other = world.open()
    busy.send("GET", "https://status.example.com/slow")
    while world.origin.requests[-1][1] != "/slow":
        time.sleep(0.01)
    begin = time.monotonic()
    world.registry.tell({"revoke": permit_id})
    for stream in (idle, busy):
        with pytest.raises(EOFError):
            stream.receive()
    assert time.monotonic() - begin < 1
    assert other.ask("GET", "https://status.example.com/")[0]["status"] == 200
    assert world.try_open(signed)[0]["code"] == 4


def test_a_tool_that_goes_away_ends_its_request(world):
    stream = world.open()
    stream.send("GET", "https://status.example.com/slow?gone")
    while world.origin.requests[-1][1] != "/slow?gone":
        time.sleep(0.01)
    stream.socket.close()
    record = world.record_of("/slow")
    while not record["egress"]["error"]:
        record = world.record_of("/slow")
    assert world.open().ask("GET", "https://status.example.com/")[0]["status"] == 200


def test_killed_and_started_again_it_ships_what_was_open(world):
    stream = world.open(call_id="killed")
    stream.send("GET", "https://status.example.com/slow?killed")
    while world.origin.requests[-1][1] != "/slow?killed":
        time.sleep(0.01)
    world.proxy.process.kill()
    world.proxy.process.wait()
    world.proxy.start()
    while True:
        record = world.registry.next_record()
        if record["call_id"] == "killed" and record["kind"] == "egress":
            break
    assert "unknown" in json.dumps(record)
    assert world.open().ask("GET", "https://status.example.com/")[0]["status"] == 200


def test_it_serves_on_while_the_registry_is_away(world):
    signed = world.sign()
    world.registry.kill()
    stream = world.open(signed=signed)
    assert stream.ask("GET", "https://status.example.com/")[0]["status"] == 200
