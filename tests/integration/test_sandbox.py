"""What tool code sees and what comes of it: real sandboxes (tests/support/executor_run.c), a fake egress-proxy."""

import errno
import json
import os
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from fake_egress import FakeEgress  # noqa: E402
from sandbox_driver import Sandboxes  # noqa: E402


@pytest.fixture(scope="module")
def egress():
    # Not pytest's own directory: every pytest that starts on the machine closes that to other users.
    with tempfile.TemporaryDirectory(prefix="mcpbox-egress-") as directory:
        os.chmod(directory, 0o755)
        yield FakeEgress(os.path.join(directory, "socket"))


@pytest.fixture(scope="module", params=["full", "docker"])
def box(request, egress):
    made = Sandboxes(request.param, egress=egress.server.getsockname())
    yield made
    assert made.close() == 0


def text_of(answer):
    assert len(answer["content"]) == 1, answer
    return answer["content"][0]["text"]


RESULTS = [
    ("'plain'", "plain", None), ("'é \\u2028'", "é \u2028", None), ("None", "null", None),
    ("{'b': 1, 'a': 'é'}", '{"b":1,"a":"é"}', {"b": 1, "a": "é"}), ("[1, (2, 3)]", "[1,[2,3]]", [1, [2, 3]]),
    ("3", "3", 3), ("True", "true", True), ("1.5", "1.5", 1.5), ("[]", "[]", []), ("''", "", None),
    ("{1: 2}", '{"1":2}', {"1": 2}), ("10**25", "1" + "0" * 25, 10**25),
    ("'a\\0b'", "a\0b", None), ("{'a': '\\0'}", '{"a":"\\u0000"}', {"a": "\0"}),
    ("Color.RED", '"red"', "red"), ("{'c': Color.RED}", '{"c":"red"}', {"c": "red"}),
    ("Point(1, Point(2))", '{"x":1,"y":{"x":2,"y":null}}', {"x": 1, "y": {"x": 2, "y": None}}),
    ("datetime.datetime(2026, 1, 2, 3, 4, 5)", '"2026-01-02T03:04:05"', "2026-01-02T03:04:05"),
    ("datetime.date(2026, 1, 2)", '"2026-01-02"', "2026-01-02"), ("Decimal('1.10')", '"1.10"', "1.10"),
    ("UUID(int=1)", '"00000000-0000-0000-0000-000000000001"', "00000000-0000-0000-0000-000000000001"),
]
HEAD = """
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from uuid import UUID
class Color(Enum):
    RED = "red"
@dataclass
class Point:
    x: int
    y: object = None
"""


@pytest.mark.parametrize("expression,text,structured", RESULTS)
def test_a_result_is_json_text_and_a_value(box, expression, text, structured):
    answer = box.run(HEAD + "async def main(): return %s\n" % expression)
    assert answer["outcome"] == "ok", answer
    assert (text_of(answer), answer["structured"]) == (text, structured)


@pytest.mark.parametrize("expression,named", [
    ("{1, 2}", "'set'"), ("object()", "'object'"), ("b'x'", "'bytes'"), ("float('nan')", "NaN"), ("[float('inf')]", "'float'"),
    ("(lambda a: (a.append(a), a)[1])([])", "contains itself"), ("main", "'function'"), ("{(1, 2): 3}", "tuple"),
    ("(x for x in [])", "'generator'"), ("'\\ud800'", "surrogate"),
    ("(lambda f: f(f, 80))(lambda f, n: [f(f, n - 1)] if n else [])", "60 levels"), ("[mcp.text('a'), 1]", "mcp content"),
])
def test_a_result_without_a_json_form_names_its_type(box, expression, named):
    answer = box.run("async def main(): return %s\n" % expression)
    assert answer["outcome"] == "tool_error" and named in answer["error"], answer


def test_text_is_structured_where_an_output_schema_asks(box):
    answer = box.run("def main(): return 'x'", output_schema={"type": "string"})
    assert (text_of(answer), answer["structured"]) == ("x", "x")


def test_content_builders(box):
    answer = box.run("def main(): return [mcp.text('t'), mcp.image(b'1', 'image/png'), mcp.audio('MQ==', 'audio/wav'),\n"
                     "  mcp.resource('a:b', 'text/plain', text='r'), mcp.resource('a:c', 'x/y', blob=b'2'), mcp.link('a:d', 'n')]")
    assert [b["type"] for b in answer["content"]] == ["text", "image", "audio", "resource", "resource", "resource_link"]
    assert answer["content"][1]["data"] == "MQ==" and answer["content"][4]["resource"]["blob"] == "Mg=="
    assert answer["structured"] is None


def test_memory_that_grows_like_a_stack_is_refused(box):
    """RLIMIT_DATA does not count it; with the other flags of the same mapping it is given."""
    answer = box.run("""
import ctypes
def main():
    mmap = ctypes.CDLL(None, use_errno=True).mmap
    mmap.restype, mmap.argtypes = ctypes.c_ssize_t, [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
    def ask(flags):
        return "given" if mmap(None, 1 << 20, 3, flags, -1, 0) != -1 else ctypes.get_errno()
    return [ask(0x22), ask(0x22 | 0x100), ask(0x22 | 0x20100)]
""", modules=["ctypes"])
    assert answer["structured"] == ["given", errno.ENOMEM, errno.ENOMEM], answer


def test_a_call_makes_no_huge_pages_at_once(box):
    """Its zygote does, of its own memory; a call could do it to files' pages, which all calls share."""
    answer = box.run("""
import mmap
def main():
    area = mmap.mmap(-1, 4 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    def ask(advice):
        try:
            return area.madvise(advice)
        except OSError as e:
            return e.errno
    return [ask(25), ask(14)]  # MADV_COLLAPSE, MADV_HUGEPAGE
""", modules=["mmap"])
    assert answer["structured"] == [errno.EPERM, None], answer


def test_a_nul_in_a_text_is_no_crash(box):
    answer = box.run("def main(): return [mcp.text('a\\0b'), 'c']")
    assert (answer["outcome"], answer["content"][0]["text"]) == ("ok", "a\0b"), answer
    for raised, text in (("mcp.ToolError('a\\0b')", "a\ufffdb"), ("ValueError('a\\0b')", "ValueError: a\ufffdb")):
        answer = box.run("def main(): raise %s" % raised)
        assert (answer["outcome"], answer["error"]) == ("tool_error", text) and text_of(answer).startswith(text), answer


def test_tool_error_is_exactly_its_text(box):
    answer = box.run("print('before')\ndef main(): raise mcp.ToolError('just this')")
    assert (answer["outcome"], text_of(answer), answer["stdout"]) == ("tool_error", "just this", "before\n")


def test_an_error_shows_type_output_line_and_context(box):
    answer = box.run("def main():\n    a = 1\n    print('seen')\n    return a / 0\n")
    text = text_of(answer)
    assert text.startswith("ZeroDivisionError: division by zero\n\n--- stdout ---\nseen\n\n\n--- detail ---\nZeroDivisionError at line 4")
    detail = answer["detail"]
    assert (detail["error_type"], detail["message"], detail["line_number"]) == ("ZeroDivisionError", "division by zero", 4)
    assert detail["code_context"] == ["     2 |     a = 1", "     3 |     print('seen')", ">    4 |     return a / 0"]
    assert detail["source_file"] == "tool.py" and len(detail["traceback"]) == 1


@pytest.mark.parametrize("code,start", [
    ("def main(:\n", "SyntaxError: "), ("x = 1\n", "NameError: the code defines no function 'main'"),
    ("main = 5\n", "NameError: "), ("raise ValueError('early')\n", "ValueError: early"),
    ("def main(): raise SystemExit(0)\n", "SystemExit: 0"), ("async def main(): yield 1\n", "ResultError: a result of type 'async_generator'"),
    ("def main(): raise type('E', (Exception,), {'__str__': lambda s: 1 / 0})()\n", "E: <its text cannot be shown>"),
])
def test_each_failure_is_an_error_with_its_type(box, code, start):
    answer = box.run(code)
    assert answer["outcome"] == "tool_error" and answer["error"].startswith(start), answer["error"]


def test_syntax_error_names_its_line(box):
    assert "line 3" in box.run("a = 1\nb = 2\nc = = 3\n")["error"]


def test_arguments_are_judged_before_anything_runs(box):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
    code = "print('ran')\ndef main(n): return n\n"
    for arguments, named in (({"n": "x"}, "n: "), ({}, "n: is required"), ({"n": 1, "m": 2}, "m: ")):
        answer = box.run(code, arguments=arguments, input_schema=schema)
        assert answer["error"].startswith("ArgumentError: " + named) and answer["stdout"] == "", answer
    assert box.run(code, arguments={"n": 5}, input_schema=schema)["structured"] == 5


def test_arguments_become_what_annotations_ask_for(box):
    code = HEAD + """
async def main(c: Color, p: Point, many: list[Point], when: datetime.date, maybe: int | None, *, rest: Decimal = Decimal(1)):
    return [c is Color.RED, p, [type(m).__name__ for m in many], when.year, maybe, rest + 1]
"""
    answer = box.run(code, arguments={"c": "red", "p": {"x": 1}, "many": [{"x": 2}], "when": "2026-01-02", "rest": "1.5"})
    assert answer["structured"] == [True, {"x": 1, "y": None}, ["Point"], 2026, None, "2.5"], answer


def test_globals_are_there(box):
    answer = box.run("def main(a): return [arguments, json.dumps(1), datetime.date(2026, 1, 1), dict(secrets), type(mcp).__name__]",
                     arguments={"a": 1})
    assert answer["structured"] == [{"a": 1}, "1", "2026-01-01", {}, "Mcp"]


def test_a_blocked_import_names_the_module_and_the_tool_to_ask_with(box):
    answer = box.run("import subprocess\ndef main(): pass\n")
    assert answer["error"].startswith("ImportError: module 'subprocess' is not allowed") and "mcpbox_request_module" in answer["error"]
    assert box.run("from __future__ import annotations\nimport urllib.parse, xml.etree.ElementTree as E\nfrom urllib import parse\n"
                   "def main(): return parse.quote(' ')")["outcome"] == "ok"
    assert box.run("from urllib import request\ndef main(): pass\n")["outcome"] == "tool_error"
    assert box.run("import subprocess\ndef main(): return 1\n", modules=["subprocess"])["structured"] == 1


def test_language_is_whole(box):
    code = """
from __future__ import annotations
import asyncio, contextlib, dataclasses, enum, threading, typing
class Meta(type): pass
class A(metaclass=Meta):
    __slots__ = ("v",)
    @property
    def p(self): return self.v
async def gen():
    for i in range(3):
        await asyncio.sleep(0)
        yield i
async def main():
    a = A(); a.v = 4
    seen = []
    t = threading.Thread(target=lambda: seen.append(1)); t.start(); t.join()
    match {"k": [1, 2]}:
        case {"k": [x, *_]}: pass
    async with asyncio.TaskGroup() as g:
        jobs = [g.create_task(asyncio.sleep(0.01, i)) for i in range(3)]
    return [a.p, [i async for i in gen()], seen, x, [j.result() for j in jobs], getattr(a, "v"), eval("1+1"), type(a).__name__]
"""
    assert box.run(code, modules=["threading"])["structured"] == [4, [0, 1, 2], [1], 1, [0, 1, 2], 4, 2, "A"]


def test_each_limit_has_its_own_error(box):
    rows = [
        (dict(code="def main():\n  while True: pass", timeout_ms=1000), "timeout", "time limit 1 s exceeded"),
        (dict(code="import asyncio\nasync def main(): await asyncio.sleep(60)", timeout_ms=1500), "timeout", "time limit 1.5 s exceeded"),
        (dict(code="def main():\n  while True: pass", cpu_ms=1000, timeout_ms=9000), "cpu", "CPU time limit 1 s exceeded"),
        (dict(code="def main():\n  x = []\n  while True: x.append(bytearray(1 << 20))", memory_mb=64), "memory", "memory limit 64 MiB exceeded"),
        (dict(code="def main():\n  while True: print('x' * 9999)"), "output", "output limit 4 MiB exceeded"),
        (dict(code="def main(): return 'x' * 3355443"), "result", "result limit 1 MiB exceeded (3.2 MiB)"),
        (dict(code="def main(): return list(range(100000))", result_kb=64), "result", "result limit 64 KiB exceeded"),
        (dict(code="import ctypes\ndef main(): ctypes.CDLL(None).ptrace(0, 0, 0, 0)", modules=["ctypes"]), "forbidden", "forbidden system call"),
        (dict(code="import os\ndef main(): os._exit(3)", modules=["os"]), "crash", "exit status 3"),
    ]
    for order, outcome, text in rows:
        answer = box.run(**order)
        assert answer["outcome"] == outcome and text in answer["error"], (order, answer)


def test_too_many_threads_end_a_call_where_the_kernel_counts_for_all():
    box = Sandboxes("docker")
    code = "import threading, time\ndef main():\n  for i in range(300): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n  time.sleep(5)"
    answer = box.run(code, modules=["threading"])
    # Counted and killed, unless the kernel's limit for the whole uid was quicker than the count.
    assert answer["error"].startswith("thread limit 64 exceeded"), answer
    box.close()
    box = Sandboxes("full")
    assert box.run(code, modules=["threading"])["error"] == "thread limit 64 exceeded"
    box.close()


def test_output_over_64_kib_is_cut_with_a_marker_and_the_call_goes_on(box):
    answer = box.run("def main():\n  print('y' * 100000)\n  return 1")
    assert answer["structured"] == 1 and answer["stdout"].startswith("y" * 65536) and "output cut" in answer["stdout"][65536:]


def test_what_was_printed_before_a_kill_is_kept(box):
    assert box.run("def main():\n  print('so far')\n  while True: pass", timeout_ms=1000)["stdout"] == "so far\n"


def test_cancelled_call_is_gone_within_200_ms(box):
    answers = [box.run("import time\ndef main(): time.sleep(30)", cancel_after_ms=100) for _ in range(3)]
    assert {a["outcome"] for a in answers} == {"cancelled"}
    assert min(a["ms"] for a in answers) < 300  # the best of three: the machine may be busy


def test_calls_share_no_random_state(box):
    code = ("import random, uuid, tempfile, ssl, secrets, os\ndef main(): return [random.random(), str(uuid.uuid4()),"
            " next(tempfile._get_candidate_names()), ssl.RAND_bytes(8).hex(), secrets.token_hex(8), os.urandom(8).hex()]")
    order = dict(code=code, modules=["ssl", "tempfile", "os"])
    answers = [box.run(**order)["structured"] for _ in range(4)]
    for column in zip(*answers):
        assert len(set(column)) == 4, column


def test_http_behaves_as_httpx(box, egress):
    code = """
async def main():
    r = await http.get("https://a.example.com/x", params={"q": "1 2"}, headers={"X-Own": "v"})
    s = await http.post("https://a.example.com/y", json={"k": 1})
    t = await http.put("https://a.example.com/z", data={"f": "v"})
    return [r.status_code, r.headers["x-twice"], r.json()["url"], r.is_success, r.reason_phrase, s.json(), t.json()["body"], str(r.url)]
"""
    answer = box.run(code)
    assert answer["outcome"] == "ok", answer
    assert answer["structured"] == [
        200, "a, b", answer["structured"][2], True, "Fine",
        answer["structured"][5], "f=v",
        answer["structured"][2]]
    posted = answer["structured"][5]
    assert (posted["method"], posted["url"], json.loads(posted["body"])) == ("POST", "https://a.example.com/y", {"k": 1})
    asked = {h["url"]: dict(map(tuple, h["headers"])) for h in egress.asked}
    assert asked[answer["structured"][2]]["X-Own"] == "v"


def test_one_stream_serves_requests_one_after_the_other_and_several_serve_them_at_once(box, egress):
    before = egress.connections
    assert box.run("async def main():\n  for i in range(5): await http.get('https://a.example.com/')\n  return 1")["structured"] == 1
    assert egress.connections == before + 1
    code = "import asyncio\nasync def main():\n  rs = await asyncio.gather(*[http.get('https://a.example.com/meet/4/%d' % i) for i in range(4)])\n  return [r.json()['url'][-1] for r in rs]"
    assert box.run(code)["structured"] == ["0", "1", "2", "3"]
    assert egress.connections == before + 5


def test_a_denied_host_names_host_rule_and_the_tool_to_ask_with(box):
    code = "async def main():\n  try: await http.get('https://other.example.com/denied')\n  except PermissionError as e:\n    return [isinstance(e, http.Denied), e.host, e.port, e.rule]"
    assert box.run(code)["structured"] == [True, "other.example.com", 443, "not_listed"]
    error = box.run("async def main(): await http.get('https://other.example.com/denied')")["error"]
    assert error.startswith("Denied: ") and "other.example.com:443" in error and "mcpbox_request_network_access" in error


@pytest.mark.parametrize("kind,name", [("dns", "ConnectError"), ("connect", "ConnectError"), ("tls", "ConnectError"),
                                       ("timeout", "ReadTimeout"), ("too_large", "ReadError"), ("protocol", "RemoteProtocolError"),
                                       ("unavailable", "ConnectError")])
def test_failures_of_a_request_are_those_of_httpx(box, kind, name):
    answer = box.run("async def main():\n  try: await http.get('https://a.example.com/error/%s')\n"
                     "  except http.RequestError as e: return type(e).__name__" % kind)
    assert text_of(answer) == name


def test_status_errors_carry_what_the_author_needs(box):
    answer = box.run("async def main(): (await http.get('https://a.example.com/status/503')).raise_for_status()")
    info = answer["detail"]["http_info"]
    assert answer["error"].startswith("HTTPStatusError: ") and info["status_code"] == 503
    assert info["response_headers"] == {"content-type": "application/json", "retry-after": "7"}
    assert "HTTP 503 https://a.example.com/status/503" in text_of(answer)


def test_streams_that_nobody_takes_do_not_pile_up(box):
    """A descriptor under way counts for all that runs under the executor's uid: one for a call at the most."""
    code = """
import json, socket, struct, time
def main(many: int):
    channel = socket.socket(fileno=4)
    ask = json.dumps({"op": "open"}).encode()
    for _ in range(many):
        channel.sendall(struct.pack("<I", len(ask)) + ask)
        if many == 1:
            return len(socket.recv_fds(channel, 4096, 4)[1])
    time.sleep(3)
"""
    assert box.run(code, modules=["socket", "struct", "time"], arguments={"many": 1})["structured"] == 1
    answer = box.run(code, modules=["socket", "struct", "time"], arguments={"many": 60})
    assert answer["outcome"] not in ("ok", "timeout"), answer


def test_redirects_are_followed_only_when_asked_for(box, egress):
    code = "async def main(f: bool):\n  r = await http.get('https://a.example.com/status/302', follow_redirects=f, headers={'Authorization': 'x'})\n  return [r.status_code, str(r.url)]"
    assert box.run(code, arguments={"f": False})["structured"] == [302, "https://a.example.com/status/302"]
    assert box.run(code, arguments={"f": True})["structured"] == [200, "https://b.example.com/end"]
    assert "authorization" not in [k.lower() for k, _ in egress.asked[-1]["headers"]]


def test_progress_and_log_become_events(box):
    answer = box.run("async def main():\n  await mcp.progress(1, 3, 'one')\n  mcp.log('info', {'a': [1]})\n  await mcp.log('error', 'x')")
    assert answer["events"] == [{"progress": 1, "total": 3, "message": "one"}, {"level": "info", "data": {"a": [1]}},
                                {"level": "error", "data": "x"}]


def test_without_a_proxy_the_error_is_clear(egress):
    box = Sandboxes()
    answer = box.run("async def main(): await http.get('https://a.example.com/')")
    assert answer["error"].startswith("ConnectError: ") and "egress" in answer["error"]
    box.close()


def test_libraries_that_lie_behind_alternatives_can_be_opened(box):
    answer = box.run("import os\ndef main(): return len(os.listdir('/etc/alternatives'))", modules=["os"])
    assert answer["structured"] == len(os.listdir("/etc/alternatives"))


@pytest.mark.parametrize("setting", ["full", "docker"])
def test_a_module_that_starts_threads_is_imported_by_the_calls(setting, tmp_path):
    """A fork takes no other thread along, so nothing may be forked from where it was imported."""
    for d in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        os.chmod(d, 0o755)
    (tmp_path / "with_thread.py").write_text(
        "import threading\nstop = threading.Event()\nthread = threading.Thread(target=stop.wait, daemon=True)\nthread.start()\n")
    box = Sandboxes(setting, module_dirs=str(tmp_path))
    code = "import with_thread\ndef main():\n  alive = with_thread.thread.is_alive()\n  with_thread.stop.set()\n  with_thread.thread.join(5)\n  return [alive, with_thread.thread.is_alive()]"
    for _ in range(2):
        answer = box.run(code, modules=["with_thread"])
        assert answer["structured"] == [True, False], answer
    box.close()


def test_scratch_is_private_bounded_and_gone():
    box = Sandboxes("full")
    code = ("import os, tempfile\ndef main(write):\n  if write: open('mark', 'w').write('x')\n"
            "  return [os.getcwd(), os.environ['HOME'], tempfile.gettempdir(), os.listdir('.')]")
    for write, left in ((True, ["mark"]), (False, []), (False, [])):
        here, home, temporary, listed = box.run(code, modules=["os", "tempfile"], arguments={"write": write})["structured"]
        assert (home, temporary, listed) == (here, here, left) and here.startswith("/scratch/")
    answer = box.run("def main():\n  with open('big', 'wb') as f:\n    while True: f.write(bytes(1 << 20))", scratch_mb=4)
    assert answer["error"] == "scratch space limit 4 MiB exceeded (4 MiB used)"
    box.close()


def test_a_tree_of_files_can_be_copied():
    box = Sandboxes("full")
    code = ("import os, shutil\ndef main():\n  os.mkdir('a')\n  open('a/x', 'w').write('1')\n  shutil.copytree('a', 'b')\n"
            "  shutil.copy2('b/x', 'y')\n  return [open('y').read(), os.listdir('b')]")
    assert box.run(code, modules=["os", "shutil"])["structured"] == ["1", ["x"]]
    box.close()


def test_libraries_in_c_import_what_they_need(box):
    code = ("import datetime, pickle, time\nclass Own:\n  pass\ndef main():\n"
            "  return [datetime.datetime.strptime('2026-01-02', '%Y-%m-%d').day, time.strptime('3', '%d').tm_mday,\n"
            "          type(pickle.loads(pickle.dumps(Own()))).__name__]")
    answer = box.run(code, modules=["pickle"])
    assert (answer["structured"], answer["events"]) == ([2, 3, "Own"], []), answer


def test_the_name_of_the_machine_is_not_told():
    box = Sandboxes("full")
    code = "import os, socket\ndef main(): return [os.uname().nodename, socket.gethostname()]"
    assert box.run(code, modules=["os", "socket"])["structured"] == ["sandbox", "sandbox"]
    box.close()


def test_without_landlock_and_namespaces_no_call_takes_a_path():
    box = Sandboxes("old")
    assert box.layers["landlock"] is False and box.layers["nofs"] is True
    assert box.run("async def main(n: int): return {'n': n}", arguments={"n": 1})["structured"] == {"n": 1}
    assert "PermissionError" in box.run("def main(): return open('/etc/hostname').read()")["error"]
    assert "PermissionError" in box.run("import os\ndef main(): return os.listdir('/')", modules=["os"])["error"]
    box.close()


# Each layer, taken away, must show: the tests above would else prove nothing of it.
@pytest.mark.parametrize("setting,layer,code,expected", [
    ("docker", "seccomp", "import socket\ndef main(): socket.socket(socket.AF_INET, socket.SOCK_STREAM).close(); return 'open'", "open"),
    ("docker", "landlock", "def main(): return open('/etc/hostname').read() and 'open'", "open"),
    ("docker", "rlimits", "import resource\ndef main(): return 'open' if resource.getrlimit(resource.RLIMIT_DATA)[0] == -1 else ''", "open"),
    ("full", "userns", "import os\ndef main(): return 'open' if os.stat('/proc/1') else ''", "open"),
])
def test_each_layer_holds_something_by_itself(setting, layer, code, expected):
    for without, wanted in (((), False), ((layer,), True)):
        box = Sandboxes(setting, without=without)
        answer = box.run(code, modules=["socket", "resource", "os"])
        assert (answer["outcome"] == "ok" and text_of(answer) == expected) == wanted, (without, answer)
        box.close()
