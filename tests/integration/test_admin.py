"""The admin service over HTTP, with a fake registry on the bus (tests/support/fake_registry.c)."""

import http.client
import json
import socket
import threading
import time

import pytest

from admin_harness import WAIT, Admin, Registry, free_ports, make_keys

@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def address():
    return f"127.0.0.1:{free_ports(3)}"


@pytest.fixture(scope="module")
def registry(data, address):
    fake = Registry(data, address)
    yield fake
    fake.stop()


@pytest.fixture(scope="module")
def admin(data, address, registry):
    service = Admin(data, address)
    yield service
    assert service.stop() == 0


SERVER = {"server": {"id": "s1", "name": "news", "status": "imported", "revision": 4}}
TOKENS = {"access_token": "good-token", "refresh_token": "refresh-1", "token_type": "bearer", "expires_in": 900}


@pytest.fixture(autouse=True)
def answers(registry):
    registry.forget()
    registry.answers({"GET_SERVER": SERVER, "UPDATE_SERVER": SERVER, "LOGIN": TOKENS, "REFRESH": TOKENS,
                      "CREATE_SERVER": {"success": True, "id": "s1", "name": "news"},
                      "UPDATE_TOOL": {"success": True, "id": "t1", "name": "x"},
                      "GET_TOOL": {"tool": {"id": "t1", "name": "x", "input_schema": {"type": "object"},
                                            "content_hash": "00ff"}}})


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
    assert body["input_schema"] == {"type": "object"}


def test_delete_answers_204_without_a_body(admin):
    status, body, _ = admin.ask("DELETE", "/api/tools/t1")
    assert (status, body) == (204, "")


def test_a_secret_is_set_under_its_name_and_never_comes_back(admin, registry):
    registry.answers({"SET_SECRET": {"secret": {"id": "x1", "key_name": "API_KEY", "has_value": True, "mode": "inject"}}})
    status, body, _ = admin.ask("PUT", "/api/servers/s1/secrets/API_KEY", {"value": "hunter2", "hosts": ["a.example"]})
    assert (status, body["key_name"], body["has_value"]) == (200, "API_KEY", True) and "hunter2" not in json.dumps(body)
    asked = registry.asked()["request"]
    assert (asked["server_id"], asked["key"], asked["value"], asked["hosts"]) == ("s1", "API_KEY", "hunter2", ["a.example"])


def test_an_api_token_is_a_token_and_no_session(admin, registry):
    admin.ask("GET", "/api/servers/s1", token="mcpbox.abc")
    asked = registry.asked()
    assert (asked["kind"], asked["secret"]) == (3, "mcpbox.abc")


@pytest.mark.parametrize("method, path, body, question, request_", [
    ("GET", "/api/settings", None, "LIST_SETTINGS", {}),
    ("PATCH", "/api/settings/security-profile", {"profile": "strict"}, "APPLY_SECURITY_PROFILE", {"profile": "strict"}),
    ("PATCH", "/api/settings/security-policy", {"execution_log_keep": 50}, "UPDATE_SECURITY_POLICY",
     {"execution_log_keep": 50}),
    ("POST", "/api/settings/onboarding-complete", {}, "COMPLETE_ONBOARDING", {}),
    ("DELETE", "/api/activity/logs?retention_days=3", None, "DELETE_ACTIVITY", {"retention_days": 3}),
    ("GET", "/api/activity/logs?page_size=200&log_type=alert", None, "LIST_ACTIVITY", {"page_size": 200, "log_type": "alert"}),
    ("GET", "/api/activity/logs/a7", None, "GET_ACTIVITY", {"activity_id": "a7"}),
    ("GET", "/api/activity/recent?count=5", None, "GET_RECENT_ACTIVITY", {"count": 5}),
    ("GET", "/api/activity/stats?period=6h", None, "GET_ACTIVITY_STATS", {"period": "6h"}),
    ("GET", "/api/activity/request/c1", None, "GET_REQUEST_ACTIVITY", {"request_id": "c1"}),
    ("GET", "/api/dashboard?period=7d", None, "GET_DASHBOARD", {"period": "7d"}),
])
def test_settings_and_logs_are_the_registrys_questions(admin, registry, method, path, body, question, request_):
    status, _, _ = admin.ask(method, path, body)
    asked = registry.asked()
    given = {k: v for k, v in asked["request"].items() if v not in (None, "", 0, False, [])}
    assert (status, asked["msg"], given) == (200, question, request_)


def test_path_wins_over_body(admin, registry):
    admin.ask("POST", "/api/approvals/tools/t1/action", {"tool_id": "t2", "action": "approve"})
    assert registry.asked()["request"]["tool_id"] == "t1"


@pytest.mark.parametrize("headers", [{"If-Match": "3"}, {"If-Match": '"3"'}])
def test_revision_comes_from_if_match(admin, registry, headers):
    status, body, _ = admin.ask("PATCH", "/api/servers/s1", {"description": "x"}, headers=headers)
    assert (status, body["revision"]) == (200, 4)
    assert registry.asked()["request"]["revision"] == 3


def test_stale_revision_answers_409_with_the_current_object(admin, registry):
    registry.answers({"UPDATE_SERVER": {"error!": {"code": 7, "text": "changed", "current": {"id": "s1", "revision": 3}}}})
    status, body, _ = admin.ask("PATCH", "/api/servers/s1", {"description": "x", "revision": 2})
    assert status == 409
    assert body["current"] == {"id": "s1", "revision": 3}
    assert body["code"] == "stale"


@pytest.mark.parametrize("code,name,want", [
    (1, "invalid", 422), (2, "not_found", 404), (3, "unauthenticated", 401), (4, "denied", 403), (5, "state", 400),
    (6, "exists", 409), (7, "stale", 409), (10, "busy", 503), (11, "unavailable", 503),
])
def test_refusals_of_the_registry_keep_their_words(admin, registry, code, name, want):
    registry.answers({"START_SERVER": {"error!": {"code": code, "text": "because", "field": "name", "hint": "do"}}})
    status, body, headers = admin.ask("POST", "/api/sandbox/servers/s1/start")
    assert (status, headers["Content-Type"]) == (want, "application/problem+json")
    assert (body["type"], body["status"]) == (f"urn:mcpbox:error:{name}", want) and body["title"]
    assert (body["detail"], body["code"], body["field"], body["hint"]) == ("because", name, "name", "do")


REFUSALS = [
    ("POST", "/api/servers", {"name": 7}, 422, "name"),
    ("POST", "/api/servers", {"nmae": "x"}, 422, "nmae"),
    ("GET", "/api/servers?pgae=1", None, 422, "pgae"),
    ("GET", "/api/servers?page=one", None, 422, "page"),
    ("GET", "/api/servers?page=0", None, 422, "page"),
    ("GET", "/api/servers?page_size=101", None, 422, "page_size"),
    ("GET", "/api/servers/s1?server_id=s2", None, 422, "server_id"),
    ("GET", "/api/unknown", None, 404, None),
]


@pytest.mark.parametrize("method,path,body,want,field", REFUSALS)
def test_what_cannot_be_asked_is_refused_by_name(admin, registry, method, path, body, want, field):
    status, answer, _ = admin.ask(method, path, body)
    assert status == want
    assert isinstance(answer["detail"], str) and answer["detail"]
    assert answer.get("field") == field
    assert registry.lines.empty()


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
    assert body == TOKENS
    assert headers["Set-Cookie"] == "mcpbox_session=good-token; Path=/; Max-Age=900; HttpOnly; SameSite=Strict"
    assert registry.asked()["remote"] == "127.0.0.1"


def test_old_cookie_does_not_hinder_login(admin):
    status, _, _ = admin.ask("POST", "/auth/login", {"username": "alice", "password": "p"}, token=None,
                             headers={"Cookie": "mcpbox_session=old"})
    assert status == 200


def test_too_many_wrong_passwords_are_429(admin, registry):
    registry.answers({"LOGIN": {"error!": {"code": 9, "text": "too many failed logins"}}})
    status, _, headers = admin.ask("POST", "/auth/login", {"username": "bob", "password": "p"}, token=None)
    assert (status, headers["Retry-After"]) == (429, "60")
    registry.answers({"LOGIN": {"error!": {"code": 9, "text": "too many failed logins", "hint": "retry_after=17"}}})
    status, body, headers = admin.ask("POST", "/auth/login", {"username": "bob", "password": "p"}, token=None)
    assert (status, headers["Retry-After"], body["hint"]) == (429, "17", None)


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
    assert (status, body["status"], body["database"], body["sandbox"]) == (200, "healthy", "connected", "unavailable")
    for path in ("/health/detail", "/health/services"):
        status, body, _ = admin.ask("GET", path, token=None)
        assert (status, body["status"]) == (503, "degraded"), "nobody but a registry is there"
        assert {name: s["healthy"] for name, s in body["services"].items()} == {
            "registry": True, "database": True, "sandbox": False, "gateway": False, "egress_proxy": False}
    assert 'handler="/health"' in admin.ask("GET", "/metrics", token=None)[1]


def test_health_tells_a_missing_database(admin, registry):
    registry.answers({"AUTH_STATUS": {"error!": {"code": 11, "text": "registry storage is not answering"}}})
    status, body, _ = admin.ask("GET", "/health", token=None)
    assert (status, body["registry"], body["database"]) == (503, "connected", "unavailable")


def test_web_files_are_served_and_nothing_beside_them(data, address, registry, tmp_path):
    web = tmp_path / "web"
    (web / "assets").mkdir(parents=True)
    (web / "index.html").write_text("<p>UI")
    (web / "assets/app.js").write_text("1")
    (tmp_path / "secret.txt").write_text("no")
    (web / "link.txt").symlink_to(tmp_path / "secret.txt")
    service = Admin(data, address, {"MCPBOX_WEB_DIR": str(web)})
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


def test_without_a_registry_503_and_back_without_restart(data):
    address = f"127.0.0.1:{free_ports(3)}"
    service = Admin(data, address)
    try:
        status, body, _ = service.ask("GET", "/api/servers")
        assert (status, body["code"]) == (503, "unavailable")
        assert "registry" in body["detail"]
        until(lambda: service.ask("GET", "/health")[0] == 503)
        late = Registry(data, address)
        try:
            until(lambda: service.ask("GET", "/health")[0] == 200)
            assert service.ask("GET", "/api/servers")[0] == 200
        finally:
            late.stop()
    finally:
        service.stop()


@pytest.mark.parametrize("method,path,status,allow", [
    ("POST", "/nope", 404, None), ("POST", "/api/nope", 404, None), ("GET", "/api/nope", 404, None),
    ("GET", "/auth/login", 405, "POST"), ("POST", "/api/tools/t1", 405, "GET, PATCH, DELETE"),
])
def test_a_wrong_method_is_told_from_an_unknown_path(admin, method, path, status, allow):
    got, _, headers = admin.ask(method, path, {} if method == "POST" else None)
    assert (got, headers.get("Allow")) == (status, allow)


# ---- the description -----------------------------------------------------------------------------


def test_the_description_is_valid_openapi_and_open_to_all(admin):
    from openapi_spec_validator import OpenAPIV31SpecValidator  # by rest_description
    status, document, _ = admin.ask("GET", "/api/openapi.json", token=None)
    assert (status, document["openapi"]) == (200, "3.1.0")
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_the_description_speaks_to_people(admin):
    document = admin.ask("GET", "/api/openapi.json")[1]
    operations = [o for path in document["paths"].values() for o in path.values()]
    ids = [o["operationId"] for o in operations]
    assert len(ids) == len(set(ids)) > 80
    assert not [o["operationId"] for o in operations if o["summary"] == o["operationId"]], "each has a text"
    asked = document["paths"]["/api/servers"]["get"]["parameters"]
    assert [(p["name"], p["schema"].get("minimum"), p["schema"].get("maximum")) for p in asked] == [
        ("page", 1, 1000000), ("page_size", 1, 100)]
    change = document["paths"]["/api/tools/{tool_id}"]["patch"]
    assert change["security"] == [{"token": []}, {"cookie": [], "csrf": []}]
    body = change["requestBody"]["content"]["application/json"]["schema"]
    assert "tool_id" not in body["properties"] and body["properties"]["timeout_ms"]["maximum"] == 300000
    assert {"$ref": "#/components/parameters/IfMatch"} in change["parameters"]


# ---- activity as a stream ------------------------------------------------------------------------


class Stream:
    """GET /api/activity/stream, read line by line."""

    def __init__(self, admin, query="", headers=None, token="good-token"):
        self.connection = http.client.HTTPConnection("127.0.0.1", admin.port, timeout=WAIT)
        self.connection.connect()
        self.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.connection.request("GET", "/api/activity/stream" + query,
                                headers={"Authorization": f"Bearer {token}", **(headers or {})})
        self.answer = self.connection.getresponse()

    def event(self):
        """The next one as a dictionary of its fields; None at the end."""
        fields = {}
        while True:
            line = self.answer.readline().decode()
            if not line:
                return None
            if line == "\n" and fields:
                return fields
            name, _, value = line.rstrip("\n").partition(": ")
            if name and not line.startswith(":"):
                fields[name] = value

    def close(self):
        self.answer.close()
        self.connection.close()


def activity(number, message="m"):
    return {"id": f"a{number}", "log_type": "audit", "level": "info", "message": message}


def test_a_stream_shows_what_comes_and_where_one_is(admin, registry):
    registry.answers({"GET_ACTIVITY_AFTER": {"cursor": "a7"}})
    stream = Stream(admin, "?log_type=audit,alert&level=info&server_id=s1", {"Last-Event-ID": "a5"})
    assert (stream.answer.status, stream.answer.headers["Content-Type"]) == (200, "text/event-stream")
    asked = registry.asked()["request"]
    assert asked["after"] == "a5"
    assert {k: v for k, v in asked["filter"].items() if v} == {"log_type": "audit,alert", "level": "info", "server_id": "s1"}
    assert stream.event() == {"retry": "2000", "event": "connected", "data": "{}"}
    assert stream.event() == {"id": "a7"}, "what went by unseen moves the reader on"
    registry.answers({"GET_ACTIVITY_AFTER": {"items": [activity(8), activity(9)], "cursor": "a9", "gap": True}})
    assert stream.event() == {"event": "gap", "data": "{}"}
    event = stream.event()
    assert (event["id"], event["event"], json.loads(event["data"])["message"]) == ("a8", "log", "m")
    assert stream.event()["id"] == "a9" and stream.event() == {"id": "a9"}
    stream.close()


def test_a_stream_is_refused_like_everything(admin, registry):
    registry.answers({"GET_ACTIVITY_AFTER": {"error!": {"code": "invalid", "text": "there is no event 'x'", "field": "after"}}})
    assert admin.ask("GET", "/api/activity/stream", headers={"Last-Event-ID": "x"})[0] == 422
    assert admin.ask("GET", "/api/activity/stream?color=red")[0] == 422
    assert admin.ask("GET", "/api/activity/stream", headers={"Last-Event-ID": "x" * 100})[0] == 422
    assert admin.ask("GET", "/api/activity/stream", token=None)[0] == 401


def test_a_stream_ends_with_its_session(admin, registry):
    registry.answers({"GET_ACTIVITY_AFTER": {"cursor": "a1"}})
    stream = Stream(admin)
    assert stream.event()["event"] == "connected" and stream.event() == {"id": "a1"}
    registry.answers({"GET_ACTIVITY_AFTER": {"error!": {"code": "unauthenticated", "text": "log in"}}})
    assert stream.event()["event"] == "end"
    assert stream.event() is None


def test_a_reader_that_does_not_read_is_cut_off_and_others_are_not(admin, registry):
    registry.answers({"GET_ACTIVITY_AFTER": {"cursor": "a1"}})
    slow, quick = Stream(admin), Stream(admin)
    for stream in (slow, quick):
        assert stream.event()["event"] == "connected" and stream.event() == {"id": "a1"}
    received = []

    def read():
        while len(received) < 14 and (event := quick.event()):
            received.append(event)
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    registry.answers({"GET_ACTIVITY_AFTER": {"items": [activity(2, "x" * 900000)], "cursor": "a2", "more": False}})
    reader.join(60)
    assert len(received) == 14
    registry.answers({"GET_ACTIVITY_AFTER": {"cursor": "a2"}})
    try:
        rest = slow.answer.read()  # to the end: it was ended
    except http.client.IncompleteRead as e:
        rest = e.partial
    assert rest.count(b"event: log") < 14
    slow.close()
    quick.close()


def test_streams_are_bounded_and_places_come_free_again(admin, registry):
    registry.answers({"GET_ACTIVITY_AFTER": {"cursor": "a1"}})
    streams, statuses = [], []
    for _ in range(25):
        streams.append(Stream(admin))
        statuses.append(streams[-1].answer.status)
    assert statuses[:8] == [200] * 8 and statuses[-1] == 503, statuses
    for stream in streams:
        stream.close()
    for _ in range(100):
        stream = Stream(admin)
        stream.close()
        if stream.answer.status == 200:
            break
        time.sleep(0.1)
    assert stream.answer.status == 200
