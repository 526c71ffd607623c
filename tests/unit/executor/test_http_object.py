"""`http` behaves as httpx.AsyncClient does, with whatever httpx the system has (0.23 and 0.28 are run)."""

import base64
import json
import os
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))
from fake_egress import FakeEgress  # noqa: E402
from runtime_process import RuntimeProcess  # noqa: E402

A = "https://a.example.com"


class Http(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.egress = FakeEgress(os.path.join(cls.directory.name, "socket"))

    @classmethod
    def tearDownClass(cls):
        cls.egress.close()
        cls.directory.cleanup()

    def run_main(self, body, code=""):
        self.egress.asked.clear()
        self.egress.bodies.clear()
        source = code + "\nA = %r\nasync def main():\n" % A + "".join("    %s\n" % line for line in body.splitlines())
        with RuntimeProcess(source, egress=self.egress) as process:
            answer = process.run()
        self.assertTrue(answer["ok"], answer.get("text"))
        return answer.get("structured", answer["content"][0]["text"])

    def headers(self, index=-1):
        return {k.lower(): v for k, v in self.egress.asked[index]["headers"]}

    def test_methods(self):
        body = """
for method in ("get", "delete", "head", "options", "post", "put", "patch"):
    await getattr(http, method)(A + "/x")
await http.request("PURGE", A + "/x")
await http.send(http.build_request("REPORT", A + "/x"))
"""
        self.run_main(body)
        self.assertEqual([a["method"] for a in self.egress.asked],
                         ["GET", "DELETE", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "PURGE", "REPORT"])

    def test_what_a_request_is_made_of(self):
        body = """
await http.get(A + "/x", params={"q": "é", "n": [1, 2]}, headers={"X-Own": "v"})
await http.post(A, json={"k": "é"})
await http.post(A, data={"f": "v w"})
await http.post(A, files={"up": ("n.txt", b"content", "text/plain")}, data={"f": "v"})
await http.post(A, content=b"raw", timeout=1.5)
await http.post(A, content="text", headers={"Cookie": "own=1"})
async def parts():
    yield b"a"
    yield b"b"
await http.put(A, content=parts())
"""
        self.run_main(body)
        asked, bodies = self.egress.asked, self.egress.bodies
        self.assertEqual(asked[0]["url"], A + "/x?q=%C3%A9&n=1&n=2")
        self.assertEqual(self.headers(0)["x-own"], "v")
        self.assertEqual((self.headers(1)["content-type"], json.loads(bodies[1])), ("application/json", {"k": "é"}))
        self.assertEqual((self.headers(2)["content-type"], bodies[2]), ("application/x-www-form-urlencoded", b"f=v+w"))
        self.assertTrue(self.headers(3)["content-type"].startswith("multipart/form-data; boundary="))
        self.assertIn(b'name="up"; filename="n.txt"', bodies[3])
        self.assertIn(b"content", bodies[3])
        self.assertEqual((bodies[4], asked[4]["timeout_ms"], asked[0]["timeout_ms"]), (b"raw", 1500, 0))
        self.assertEqual((bodies[5], self.headers(5)["cookie"]), (b"text", "own=1"))
        self.assertEqual((bodies[6], asked[6]["body_len"]), (b"ab", 2))
        for unwanted in ("host", "content-length", "transfer-encoding", "accept-encoding", "connection"):
            self.assertNotIn(unwanted, self.headers(6))

    def test_what_an_answer_gives(self):
        found = self.run_main("""
r = await http.get(A + "/x")
return [r.status_code, r.reason_phrase, r.http_version, r.is_success, r.headers["x-twice"], r.json()["method"],
        r.text == r.content.decode(), str(r.url), str(r.request.url), r.elapsed.total_seconds() >= 0, r.encoding, len(r.history)]
""")
        self.assertEqual(found, [200, "Fine", "HTTP/2", True, "a, b", "GET", True, A + "/x", A + "/x", True, "utf-8", 0])

    def test_cookies_stay_for_the_call(self):
        self.run_main('await http.get(A + "/cookie")\nawait http.get(A + "/x")\nreturn http.cookies["visit"]')
        self.assertEqual(self.headers()["cookie"], "visit=1")

    def test_settings_of_the_client(self):
        self.run_main("""
http.base_url = A + "/v1/"
http.headers["X-All"] = "1"
http.params = {"key": "k"}
http.auth = ("u", "p")
seen = []
async def note(request): seen.append(request.method)
http.event_hooks = {"request": [note]}
r = await http.get("things")
assert seen == ["GET"]
async with http as c:
    await c.get("other")
""")
        self.assertEqual(self.egress.asked[0]["url"], A + "/v1/things?key=k")
        self.assertEqual((self.headers()["x-all"], self.headers()["authorization"]),
                         ("1", "Basic " + base64.b64encode(b"u:p").decode()))

    def test_authentication(self):
        self.run_main('await http.get(A, auth=("u", "p"))\nr = await http.get(A + "/status/401", auth=http.DigestAuth("u", "p"))')
        self.assertTrue(self.headers(0)["authorization"].startswith("Basic "))
        self.assertTrue(self.headers(2)["authorization"].startswith('Digest username="u", realm="r", nonce="n"'))

    def test_redirects_are_requests_of_their_own_and_followed_only_when_asked_for(self):
        body = 'r = await http.get(A + "/status/302", follow_redirects=%s)\nreturn [r.status_code, str(r.url), len(r.history)]'
        self.assertEqual(self.run_main(body % False), [302, A + "/status/302", 0])
        self.assertEqual(self.run_main(body % True), [200, "https://b.example.com/end", 1])
        self.assertEqual([a["url"] for a in self.egress.asked], [A + "/status/302", "https://b.example.com/end"])

    def test_stream_reads_a_body_in_parts(self):
        found = self.run_main("""
async with http.stream("GET", A + "/size/100000") as r:
    n = [len(p) async for p in r.aiter_bytes(30000)]
async with http.stream("GET", A + "/x") as r:
    text = "".join([p async for p in r.aiter_text()])
async with http.stream("GET", A + "/size/10") as r:
    raw = b"".join([p async for p in r.aiter_raw()])
return [n, json.loads(text)["method"], len(raw)]
""")
        self.assertEqual(found, [[30000, 30000, 30000, 10000], "GET", 10])

    def test_errors_are_those_of_httpx(self):
        kinds = {"dns": "ConnectError", "connect": "ConnectError", "tls": "ConnectError", "unavailable": "ConnectError",
                 "timeout": "ReadTimeout", "too_large": "ReadError", "protocol": "RemoteProtocolError"}
        found = self.run_main("""
seen = []
for kind in %r:
    try:
        await http.get(A + "/error/" + kind)
    except http.RequestError as e:
        seen.append([type(e).__name__, str(e), str(e.request.url)])
return seen
""" % list(kinds))
        self.assertEqual(found, [[name, "it broke", "%s/error/%s" % (A, kind)] for kind, name in kinds.items()])

    def test_status_errors(self):
        found = self.run_main("""
try:
    (await http.get(A + "/status/404")).raise_for_status()
except http.HTTPStatusError as e:
    return [e.response.status_code, str(e.request.url)]
""")
        self.assertEqual(found, [404, A + "/status/404"])

    def test_a_denied_host_is_a_permission_error_that_says_how_to_ask(self):
        found = self.run_main("""
try:
    await http.get("https://other.example.com/denied")
except PermissionError as e:
    return [isinstance(e, http.Denied), str(e), e.host, e.port, e.rule, e.hint]
""")
        self.assertEqual(found, [True, "other.example.com:443 is not on the allowlist; ask for it with mcpbox_request_network_access",
                                 "other.example.com", 443, "not_listed", "ask for it with mcpbox_request_network_access"])

    def test_a_connection_that_ends_is_told_and_the_next_request_gets_another(self):
        found = self.run_main("""
try:
    await http.get(A + "/gone")
except http.RequestError as e:
    text = str(e)
return [text, (await http.get(A)).status_code]
""")
        self.assertIn("the host may have got the request", found[0])
        self.assertEqual(found[1], 200)

    def test_bodies_are_whole_and_one_that_is_too_large_is_told(self):
        found = self.run_main("""
r = await http.get(A + "/size/10485760")
s = await http.post(A + "/x", content=b"x" * 10485760)
try:
    await http.post(A, content=b"x" * 20000000)
except http.RequestError as e:
    text = str(e)
return [len(r.content), s.status_code, text]
""")
        self.assertEqual(found, [10485760, 200, "too large to read"])
        self.assertEqual(len(self.egress.bodies[1]), 10485760)

    def test_with_an_event_loop_requests_run_at_once(self):
        found = self.run_main("""
rs = await asyncio.gather(*[http.get(A + "/meet/4/%d" % i) for i in range(4)])
async with http.stream("GET", A + "/size/9") as r:
    n = len(await r.aread())
return [[r.json()["url"][-1] for r in rs], n]
""", "import asyncio")
        self.assertEqual(found, [["0", "1", "2", "3"], 9])

    def test_more_requests_at_once_than_there_are_streams_wait_their_turn(self):
        before = self.egress.connections
        found = self.run_main("""
rs = await asyncio.gather(*[http.get(A + "/meet/16/%d" % i) for i in range(64)])
return sorted(int(r.json()["url"].rpartition("/")[2]) for r in rs)
""", "import asyncio")
        self.assertEqual(found, list(range(64)))
        self.assertEqual(self.egress.connections - before, 16)

    def test_a_request_that_is_cancelled_gives_its_turn_to_the_next(self):
        found = self.run_main("""
first = [asyncio.ensure_future(http.get(A + "/meet/17/%d" % i)) for i in range(16)]
waiting = asyncio.ensure_future(http.get(A + "/x"))
last = asyncio.ensure_future(http.get(A + "/y"))
await asyncio.sleep(0)
waiting.cancel()
first[0].cancel()
r = await last
for task in first: task.cancel()
gone = await asyncio.gather(waiting, *first, return_exceptions=True)
return [str(r.url), all(isinstance(g, asyncio.CancelledError) for g in gone), (await http.get(A + "/z")).status_code]
""", "import asyncio")
        self.assertEqual(found, [A + "/y", True, 200])

    def test_a_host_header_of_ones_own_is_refused(self):
        found = self.run_main("""
try:
    await http.get(A, headers={"Host": "b.example.com"})
except http.RequestError as e:
    return str(e)
""")
        self.assertIn("that of the URL", found)
        self.assertEqual(self.egress.asked, [])

    def test_the_way_to_a_client_is_shown(self):
        self.assertIn("it is a client already", self.run_main("try: http.AsyncClient()\nexcept AttributeError as e: return str(e)"))

    def test_unknown_names_are_attribute_errors(self):
        self.assertEqual(self.run_main("return [hasattr(http, 'nothing'), hasattr(http, 'get'), 'get' in dir(http)]"), [False, True, True])


class Warm(unittest.TestCase):
    """Many calls in one process."""

    def test_each_call_has_cookies_settings_and_streams_of_its_own(self):
        with tempfile.TemporaryDirectory() as directory:
            egress = FakeEgress(os.path.join(directory, "socket"))
            code = """
async def main(path):
    http.headers["X-Path"] = path
    r = await http.get("%s/" + path)
    return [dict(http.cookies), [v for k, v in r.json()["headers"] if k.lower() in ("cookie", "x-path")]]
""" % A
            with RuntimeProcess(code, egress=egress) as process:
                first, second = process.run(path="cookie"), process.run(path="x")
            self.assertTrue(first["ok"] and second["ok"], (first, second))
            self.assertEqual(first["structured"], [{"visit": "1"}, ["cookie"]])
            self.assertEqual(second["structured"], [{}, ["x"]])
            self.assertEqual(egress.connections, 2)
            egress.close()


if __name__ == "__main__":
    unittest.main()
