"""The admin service over HTTP, with a fake registry on the bus (tests/support/fake_registry.c)."""

import http.client
import json
import os
import queue
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

BIN = Path(os.environ.get("MCPBOX_TEST_BIN", Path(__file__).parents[2] / "build/dev/bin"))
WAIT = 20


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


class Registry:
    def __init__(self, root, address):
        self.lines = queue.Queue()
        self.process = subprocess.Popen([BIN / "fake_registry", root, address], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, daemon=True).start()
        assert self.lines.get(timeout=WAIT) == "READY"

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.strip())

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
    def __init__(self, keys, address, environment=None):
        read, write = os.pipe()
        self.port = free_ports(1)
        self.process = subprocess.Popen(
            [BIN / "mcpbox-admin"], pass_fds=[write],
            env={"MCPBOX_KEYS_FILE": str(keys / "admin.key"), "MCPBOX_REGISTRY_ADDR": address,
                 "MCPBOX_ADMIN_PORT": str(self.port), "NOTIFY_FD": str(write), **(environment or {})})
        os.close(write)
        assert os.read(read, 8) == b"READY=1\n"
        os.close(read)

    def ask(self, method, path, body=None, token="good-token", headers=None, raw=None):
        """status, parsed body (or text), headers."""
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


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    directory = tmp_path_factory.mktemp("keys")
    subprocess.run([BIN / "mcpboxctl", "keys", "init", "--root", directory / "root", "--out", directory / "keys"],
                   check=True)
    return directory


@pytest.fixture(scope="module")
def address():
    return f"127.0.0.1:{free_ports(3)}"


@pytest.fixture(scope="module")
def registry(keys, address):
    fake = Registry(keys / "root", address)
    yield fake
    fake.stop()


@pytest.fixture(scope="module")
def admin(keys, address, registry):
    service = Admin(keys / "keys", address)
    yield service
    assert service.stop() == 0


@pytest.fixture(autouse=True)
def forget(registry):
    registry.forget()


def test_question_carries_the_session_and_the_peer(admin, registry):
    status, body, _ = admin.ask("GET", "/api/servers/s1")
    assert (status, body["id"], body["status"]) == (200, "s1", "imported")
    asked = registry.asked()
    assert asked["msg"] == "GET_SERVER"
    assert asked["request"] == {"server_id": "s1"}
    assert (asked["kind"], asked["secret"], asked["remote"]) == (2, "good-token", "127.0.0.1")


def test_list_has_the_paged_shape_and_query_becomes_fields(admin, registry):
    status, body, _ = admin.ask("GET", "/api/approvals/tools?page=2&page_size=5&search=a%20b&status=all")
    assert status == 200
    assert body == {"items": [], "total": 0, "page": 0, "page_size": 0, "pages": 0}
    assert registry.asked()["request"] == {"page": 2, "page_size": 5, "search": "a b", "status": "all"}


def test_create_answers_201_with_the_whole_object(admin, registry):
    status, body, _ = admin.ask("POST", "/api/servers", {"name": "news", "description": None})
    assert (status, body["id"], body["name"]) == (201, "s1", "news")
    assert [registry.asked()["msg"], registry.asked()["msg"]] == ["CREATE_SERVER", "GET_SERVER"]


def test_changing_a_tool_answers_with_the_tool_and_its_schema_verbatim(admin):
    status, body, _ = admin.ask("PATCH", "/api/tools/t1", {"enabled": False})
    assert (status, body["id"], body["content_hash"]) == (200, "t1", "00ff")
    assert "input_schema" in body


def test_delete_answers_204_without_a_body(admin):
    status, body, _ = admin.ask("DELETE", "/api/tools/t1")
    assert (status, body) == (204, "")


def test_path_wins_over_body(admin, registry):
    admin.ask("POST", "/api/approvals/tools/t1/action", {"tool_id": "t2", "action": "approve"})
    assert registry.asked()["request"]["tool_id"] == "t1"


@pytest.mark.parametrize("headers", [{"If-Match": "3"}, {"If-Match": '"3"'}])
def test_revision_comes_from_if_match(admin, registry, headers):
    status, body, _ = admin.ask("PATCH", "/api/servers/s1", {"description": "x"}, headers=headers)
    assert (status, body["revision"]) == (200, 4)
    assert registry.asked()["request"]["revision"] == 3


def test_stale_revision_answers_409_with_the_current_object(admin):
    status, body, _ = admin.ask("PATCH", "/api/servers/s1", {"description": "x", "revision": 2})
    assert status == 409
    assert body["current"] == {"id": "s1", "revision": 3}
    assert body["code"] == "stale"


REFUSALS = [
    ("GET", "/api/servers/s2", None, 404, "not_found", None),
    ("POST", "/api/servers", {"name": "twice"}, 409, "exists", "name"),
    ("POST", "/api/sandbox/servers/s1/start", None, 400, "state", None),
    ("POST", "/api/servers", {"name": 7}, 422, "invalid", "name"),
    ("POST", "/api/servers", {"nmae": "x"}, 422, "invalid", "nmae"),
    ("GET", "/api/servers?pgae=1", None, 422, "invalid", "pgae"),
    ("GET", "/api/servers?page=one", None, 422, "invalid", "page"),
    ("GET", "/api/servers/s1?server_id=s2", None, 422, "invalid", "server_id"),
    ("GET", "/api/unknown", None, 404, "not_found", None),
]


@pytest.mark.parametrize("method,path,body,want,code,field", REFUSALS)
def test_refusals_have_their_status_and_name_the_field(admin, method, path, body, want, code, field):
    status, answer, _ = admin.ask(method, path, body)
    assert status == want
    assert isinstance(answer["detail"], str) and answer["detail"]
    assert answer["code"] == code
    assert answer.get("field") == field


@pytest.mark.parametrize("raw", ["{", "[]", "null", '{"name":"a"} x', '{"name":"a","name":"b"}', '{"name":"\\ud800"}'])
def test_malformed_json_is_422(admin, registry, raw):
    status, body, _ = admin.ask("POST", "/api/servers", raw=raw)
    assert status == 422
    assert body["detail"]
    assert registry.lines.empty()


def test_body_over_its_ceiling_is_413(admin):
    status, _, _ = admin.ask("POST", "/api/servers", {"name": "a" * 20000})
    assert status == 413


def test_without_a_credential_nothing_is_asked(admin, registry):
    status, body, headers = admin.ask("GET", "/api/servers", token=None)
    assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
    assert body["detail"] == "not logged in"
    assert registry.lines.empty()


def test_ended_session_is_401(admin):
    assert admin.ask("GET", "/api/servers", token="old")[0] == 401


def test_login_sets_the_cookie_and_answers_the_tokens(admin, registry):
    status, body, headers = admin.ask("POST", "/auth/login", {"username": "alice", "password": "p"}, token=None)
    assert status == 200
    assert body == {"access_token": "good-token", "refresh_token": "refresh-1", "token_type": "bearer",
                    "expires_in": 900}
    assert headers["Set-Cookie"] == "mcpbox_session=good-token; Path=/; Max-Age=900; HttpOnly; SameSite=Strict"
    assert registry.asked()["remote"] == "127.0.0.1"


def test_old_cookie_does_not_hinder_login(admin):
    status, _, _ = admin.ask("POST", "/auth/login", {"username": "alice", "password": "p"}, token=None,
                             headers={"Cookie": "mcpbox_session=old"})
    assert status == 200


def test_wrong_password_is_401_and_too_many_429(admin):
    assert admin.ask("POST", "/auth/login", {"username": "bob", "password": "p"}, token=None)[0] == 401
    status, _, headers = admin.ask("POST", "/auth/login", {"username": "locked", "password": "p"}, token=None)
    assert (status, headers["Retry-After"]) == (429, "60")


def test_cookie_reads_freely_and_changes_with_the_csrf_token(admin):
    cookie = {"Cookie": "a=1; mcpbox_session=good-token"}
    status, me, _ = admin.ask("GET", "/auth/me", token=None, headers=cookie)
    assert status == 200
    status, body, _ = admin.ask("POST", "/api/servers", {"name": "news"}, token=None, headers=cookie)
    assert (status, body["field"]) == (403, "X-CSRF-Token")
    status, _, _ = admin.ask("POST", "/api/servers", {"name": "news"}, token=None,
                             headers={**cookie, "X-CSRF-Token": me["csrf_token"]})
    assert status == 201


def test_ended_cookie_is_dropped(admin):
    status, _, headers = admin.ask("GET", "/auth/me", token=None, headers={"Cookie": "mcpbox_session=old"})
    assert status == 401
    assert headers["Set-Cookie"].startswith("mcpbox_session=; Path=/; Max-Age=0")


def test_logout_drops_the_cookie(admin):
    status, _, headers = admin.ask("POST", "/auth/logout", {})
    assert status == 200
    assert headers["Set-Cookie"].startswith("mcpbox_session=; Path=/; Max-Age=0")


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}])
def test_foreign_host_and_origin_are_403(admin, registry, headers):
    status, body, _ = admin.ask("GET", "/api/servers", headers=headers)
    assert (status, body["code"]) == (403, "denied")
    assert registry.lines.empty()


def test_own_origin_is_fine(admin):
    assert admin.ask("GET", "/api/servers", headers={"Origin": f"http://127.0.0.1:{admin.port}"})[0] == 200


def test_front_page_says_what_to_do_until_there_is_a_ui(admin):
    status, page, headers = admin.ask("GET", "/", token=None)
    assert status == 200
    assert "./mcpbox ctl" in page
    assert headers["Content-Type"].startswith("text/html")


def test_every_answer_has_the_security_headers(admin):
    for path in ("/", "/api/config", "/api/unknown", "/health"):
        headers = admin.ask("GET", path)[2]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_config_health_and_metrics_are_open(admin):
    assert admin.ask("GET", "/api/config", token=None)[1]["auth_required"] is True
    status, body, _ = admin.ask("GET", "/health", token=None)
    assert (status, body["status"]) == (200, "healthy")
    assert 'handler="/health"' in admin.ask("GET", "/metrics", token=None)[1]


def test_web_files_are_served_and_nothing_beside_them(keys, address, registry, tmp_path):
    web = tmp_path / "web"
    (web / "assets").mkdir(parents=True)
    (web / "index.html").write_text("<p>UI")
    (web / "assets/app.js").write_text("1")
    (tmp_path / "secret.txt").write_text("no")
    (web / "link.txt").symlink_to(tmp_path / "secret.txt")
    service = Admin(keys / "keys", address, {"MCPBOX_WEB_DIR": str(web)})
    try:
        assert service.ask("GET", "/")[1] == "<p>UI"
        assert service.ask("GET", "/servers/7")[1] == "<p>UI"
        status, body, headers = service.ask("GET", "/assets/app.js")
        assert (status, body, headers["Content-Type"]) == (200, "1", "text/javascript; charset=utf-8")
        for path in ("/link.txt", "/../secret.txt", "/%2e%2e/secret.txt", "/api/x", "/none.js"):
            assert service.ask("GET", path)[0] in (400, 404), path
    finally:
        service.stop()


def until(condition):
    for _ in range(WAIT * 20):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it never came to be")


def test_without_a_registry_503_and_back_without_restart(keys):
    address = f"127.0.0.1:{free_ports(3)}"
    service = Admin(keys / "keys", address)
    try:
        status, body, _ = service.ask("GET", "/api/servers")
        assert (status, body["code"]) == (503, "unavailable")
        assert "registry" in body["detail"]
        until(lambda: service.ask("GET", "/health")[0] == 503)
        late = Registry(keys / "root", address)
        try:
            until(lambda: service.ask("GET", "/health")[0] == 200)
            assert service.ask("GET", "/api/servers")[0] == 200
        finally:
            late.stop()
    finally:
        service.stop()
