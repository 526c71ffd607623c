"""One tool version, bound and called: arguments, results, errors, imports, many calls in one process."""

import json
import socket
import sys
import types
import unittest
from pathlib import Path
from unittest import mock

from mcpbox_runtime import imports, schema, tool, unusable

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))
from runtime_process import RuntimeProcess  # noqa: E402

HEAD = """
import datetime, decimal, enum, uuid
import typing as t
from dataclasses import dataclass, field
from typing import Annotated, Literal, Optional, TypedDict, Union
class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"
class Level(enum.IntEnum):
    LOW = 1
@dataclass
class Point:
    x: int
    y: float = 0.5
    when: datetime.date | None = None
    inner: "Point | None" = None
class Query(TypedDict):
    text: str
    color: t.NotRequired[Color]
UserId = t.NewType("UserId", int)
"""


def call(code, values=None, **fields):
    """The answer frame, with the schema that the source gives."""
    fields.setdefault("input_schema", schema.derive(code)["input_schema"])
    bound = tool.Tool({"kind": "run", "code": code, **fields})
    return json.loads(bound.run({} if values is None else values))


def main_gets(annotation, value, show="repr(p)"):
    answer = call(HEAD + "def main(p: %s): return [%s]\n" % (annotation, show), {"p": value})
    return answer["structured"][0] if answer["ok"] else answer["text"]


class Arguments(unittest.TestCase):
    # annotation, JSON value, what main sees
    ROWS = (
        ("int", 3, "3"), ("int", 3.0, "3"), ("float", 3, "3.0"), ("float", 2.5, "2.5"), ("str", "x", "'x'"), ("bool", True, "True"),
        ("Color", "red", "<Color.RED: 'red'>"), ("Level", 1, "<Level.LOW: 1>"), ("UserId", 5, "5"),
        ("datetime.date", "2026-01-02", "datetime.date(2026, 1, 2)"),
        ("datetime.datetime", "2026-01-02T03:04:05Z", "datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)"),
        ("datetime.time", "03:04", "datetime.time(3, 4)"),
        ("decimal.Decimal", "1.10", "Decimal('1.10')"), ("decimal.Decimal", 0.1, "Decimal('0.1')"),
        ("uuid.UUID", "00000000-0000-0000-0000-000000000001", "UUID('00000000-0000-0000-0000-000000000001')"),
        ("bytes", "aGk=", "b'hi'"), ("list[Color]", ["red"], "[<Color.RED: 'red'>]"), ("set[int]", [1], "{1}"),
        ("frozenset[int]", [1], "frozenset({1})"), ("list[set[float]]", [[1]], "[{1.0}]"),
        ("dict[str, Color]", {"a": "red"}, "{'a': <Color.RED: 'red'>}"), ("t.Mapping[str, int]", {"a": 1}, "{'a': 1}"),
        ("Point", {"x": 1}, "Point(x=1, y=0.5, when=None, inner=None)"),
        ("Point", {"x": 1, "y": 2, "when": "2026-01-02", "inner": {"x": 3}},
         "Point(x=1, y=2.0, when=datetime.date(2026, 1, 2), inner=Point(x=3, y=0.5, when=None, inner=None))"),
        ("list[Point]", [{"x": 1}], "[Point(x=1, y=0.5, when=None, inner=None)]"),
        ("Query", {"text": "a", "color": "blue"}, "{'text': 'a', 'color': <Color.BLUE: 'blue'>}"),
        ("Optional[Color]", None, "None"), ("Optional[Color]", "red", "<Color.RED: 'red'>"),
        ("Union[Color, int]", 5, "5"), ("int | datetime.date", "2026-01-02", "datetime.date(2026, 1, 2)"),
        ("str | datetime.date", "2026-01-02", "'2026-01-02'"), ("float | None", 1, "1.0"),
        ("Literal['a', 1]", 1, "1"), ("Literal[Color.RED]", "red", "<Color.RED: 'red'>"),
        ("Annotated[Color, 'which']", "red", "<Color.RED: 'red'>"), ("'Color'", "red", "<Color.RED: 'red'>"),
        ("t.Any", {"a": [1]}, "{'a': [1]}"), ("object", 1, "1"), ("list", [1, "a"], "[1, 'a']"), ("list[t.Any]", [{}], "[{}]"),
    )

    def test_each_becomes_what_its_annotation_asks_for(self):
        for annotation, value, seen in self.ROWS:
            with self.subTest(annotation):
                self.assertEqual(main_gets(annotation, value), seen)

    REFUSED = (
        ("int", "3", 'p: "3" is not of type integer'), ("int", True, "p: true is not of type integer"),
        ("Color", "green", 'p: "green" is not one of "red", "blue"'), ("Point", {}, "p.x: is required"),
        ("Point", {"x": 1, "z": 2}, "p.z: unknown name"), ("list[Point]", [{"x": 1}, {"x": "1"}], 'p[1].x: "1" is not of type integer'),
        ("datetime.date", "2026-13-01", "p: "), ("list[uuid.UUID]", ["x"], "p[0]: "), ("decimal.Decimal", "x", "p: "),
        ("Point", {"x": 1, "when": "never"}, "p.when: "), ("bytes", "?", "p: "),
    )

    def test_what_does_not_fit_names_its_field(self):
        for annotation, value, text in self.REFUSED:
            with self.subTest(annotation):
                self.assertIn("ArgumentError: " + text, main_gets(annotation, value))

    def test_all_that_is_wrong_is_named_at_once(self):
        code = HEAD + "def main(a: int, b: list[int], c: decimal.Decimal, d: datetime.date): pass\n"
        for values, text in (
                ({"b": 5, "x": 1}, 'a: is required; c: is required; d: is required; b: 5 is not of type array; x: unknown name'),
                ({"a": 1, "b": [], "c": "x", "d": "y"}, "c: 'x' is not a number (Decimal); d: Invalid isoformat string: 'y' (date)")):
            answer = call(code, values)
            self.assertEqual((answer["text"], answer["detail_text"]), ("ArgumentError: " + text, ""))
        self.assertEqual(call("def main(a, b): pass", {"c": 1, "d": 2}, input_schema=None)["text"],
                         "ArgumentError: a: is required; b: is required; c: unknown argument; d: unknown argument")
        many = call("def main(a): pass", {str(n): 1 for n in range(20)})
        self.assertTrue(many["text"].endswith("; and 13 more"), many)

    SIGNATURES = (
        ("a, b=2", {"a": 1}, "[a, b]", [1, 2]), ("a, /, b, *, c=3", {"a": 1, "b": 2}, "[a, b, c]", [1, 2, 3]),
        ("a, /, b=2", {"a": 1, "b": 5}, "[a, b]", [1, 5]), ("a, **rest", {"a": 1, "z": 2}, "[a, rest]", [1, {"z": 2}]),
        ("http, a: int", {"a": 1}, "[http is globals()['http'], a]", [True, 1]), ("a: int, http=None", {"a": 1}, "[http is None]", [False]),
        ("a: 'int | None'", {}, "[a]", [None]), ("a: Optional[int]", {}, "[a]", [None]), ("*, a: float", {"a": 1}, "[repr(a)]", ["1.0"]),
    )

    def test_signatures(self):
        for signature, values, shown, expected in self.SIGNATURES:
            with self.subTest(signature):
                answer = call(HEAD + "def main(%s): return %s\n" % (signature, shown), values, input_schema=None)
                self.assertEqual(answer.get("structured"), expected, answer)

    def test_main_may_be_wrapped_or_any_callable(self):
        wrapped = """
import functools
def twice(f):
    @functools.wraps(f)
    def inner(*args, **kw): return [f(*args, **kw)] * 2
    return inner
@twice
def main(n: float): return repr(n)
"""
        self.assertEqual(call(wrapped, {"n": 1})["structured"], ["1.0", "1.0"])
        made = "class Tool:\n  def __call__(self, n, m=2): return [n, m]\nmain = Tool()\n"
        self.assertEqual(call(made, {"n": 1})["structured"], [1, 2])

    def test_without_a_schema_a_signature_still_refuses(self):
        for values, text in (({}, "a: is required"), ({"a": 1, "b": 2}, "b: unknown argument")):
            self.assertIn(text, call("def main(a: int): pass", values, input_schema=None)["text"])
            self.assertIn(text, call("def main(a: int, /): pass", values, input_schema=None)["text"])

    def test_a_schema_given_by_the_author_is_used_as_it_is(self):
        given = {"type": "object", "properties": {"n": {"oneOf": [{"multipleOf": 3}, {"multipleOf": 5}]}}}
        self.assertTrue(call("def main(**kw): return kw", {"n": 9}, input_schema=given)["ok"])
        self.assertIn("n: fits 2 alternatives", call("def main(**kw): return kw", {"n": 15}, input_schema=given)["text"])
        broken = call("print('ran')\ndef main(**kw): pass", {"n": 1}, input_schema={"$ref": "https://example.com/"})
        self.assertIn("SchemaError: the tool's schema cannot be used", broken["text"])


class Results(unittest.TestCase):
    def test_a_result_is_judged_by_the_output_schema(self):
        output = {"type": "object", "properties": {"n": {"items": {"type": "integer"}}}, "required": ["n"]}
        self.assertEqual(call("def main(): return {'n': [1]}", output_schema=output)["structured"], {"n": [1]})
        for code, text in (("{'n': [1, 'x']}", 'n[1]: "x" is not of type integer'), ("{}", "n: is required"),
                           ("None", "result: null is not of type object"), ("mcp.text('x')", "not mcp content")):
            answer = call("def main(): return %s" % code, output_schema=output)
            self.assertIn("ResultError: ", answer["text"])
            self.assertIn(text, answer["text"])

    def test_dataclasses_and_enums_fit_the_schema_of_their_annotation(self):
        code = HEAD + "def main() -> Point: return Point(1, 2.0, datetime.date(2026, 1, 2), Point(2))\n"
        output = schema.derive(code)["output_schema"]
        self.assertEqual(call(code, output_schema=output)["structured"]["inner"], {"x": 2, "y": 0.5, "when": None, "inner": None})

    CONTENT = (
        ("mcp.text(5)", [{"type": "text", "text": "5"}]),
        ("mcp.image(b'1', 'image/png')", [{"type": "image", "data": "MQ==", "mimeType": "image/png"}]),
        ("mcp.audio('MQ==', 'audio/wav')", [{"type": "audio", "data": "MQ==", "mimeType": "audio/wav"}]),
        ("mcp.resource('a:b', 'text/plain', text='r')",
         [{"type": "resource", "resource": {"uri": "a:b", "mimeType": "text/plain", "text": "r"}}]),
        ("mcp.resource('a:b', 'x/y', blob=b'2')", [{"type": "resource", "resource": {"uri": "a:b", "mimeType": "x/y", "blob": "Mg=="}}]),
        ("mcp.link('a:b', 'n')", [{"type": "resource_link", "uri": "a:b", "name": "n"}]),
        ("mcp.link('a:b', 'n', mime='x/y', description='d')",
         [{"type": "resource_link", "uri": "a:b", "name": "n", "mimeType": "x/y", "description": "d"}]),
        ("['see', mcp.image(b'', 'image/png'), 'this']",
         [{"type": "text", "text": "see"}, {"type": "image", "data": "", "mimeType": "image/png"}, {"type": "text", "text": "this"}]),
    )

    def test_content_builders(self):
        for code, expected in self.CONTENT:
            with self.subTest(code):
                answer = call("def main(): return " + code)
                self.assertEqual(answer.get("content"), expected, answer)
                self.assertNotIn("structured", answer)

    def test_content_that_cannot_be(self):
        for code in ("mcp.image('no base64!', 'image/png')", "mcp.image(b'', '')", "mcp.resource('a:b', 'x/y')",
                     "mcp.resource('a:b', 'x/y', text='a', blob=b'b')", "mcp.link('', 'n')", "{'a': mcp.text('x')}", "[mcp.text('x'), 1]"):
            with self.subTest(code):
                self.assertFalse(call("def main(): return " + code)["ok"])

    def test_a_value_without_a_json_form_is_told_with_its_place_and_what_to_return(self):
        head = HEAD + ("import collections, fractions, math\nclass Own: pass\n@dataclass\nclass Box:\n  inside: object\n")
        rows = (
            ("{'a': [1, math.inf]}", "a[1]: the result holds a 'float' that JSON does not know", "None"),
            ("[{'b': range(3)}]", "[0].b: a result of type 'range'", "list(...)"), ("{}.keys()", "a result of type 'dict_keys'", "list(...)"),
            ("[map(str, [])]", "[0]: a result of type 'map'", "list(...)"), ("collections.deque()", "'deque'", "list(...)"),
            ("Box({'k': Own()})", "inside.k: a result of type 'Own'", "a dataclass or str(...)"),
            ("[datetime.timedelta(1)]", "[0]: ", "total_seconds"), ("fractions.Fraction(1, 2)", "'Fraction'", "float(...)"),
            ("1j", "'complex'", "[z.real, z.imag]"), ("memoryview(b'')", "'memoryview'", "base64"), ("[main]", "[0]: ", "call it"),
            ("{'a': {(1, 2): 3}}", "a: a key of type 'tuple' has no JSON form", "use text"),
        )
        for value, place, advice in rows:
            with self.subTest(value):
                answer = call(head + "def main(): return %s\n" % value)
                self.assertEqual(answer["detail_text"], "")
                self.assertTrue(answer["text"].startswith("ResultError: "), answer)
                self.assertIn(place, answer["text"])
                self.assertIn(advice, answer["text"])

    def test_builders_say_what_they_take(self):
        for code, text in (("mcp.image(123, 'image/png')", "data must be bytes or base64 text, not int"),
                           ("mcp.image('?', 'image/png')", "this text is not base64"),
                           ("mcp.progress('a')", "value must be a number, not 'a'"), ("mcp.progress(1, True)", "total must be a number")):
            self.assertIn(text, call("def main(): return " + code)["text"])

    HINTS = (("{1}", "list(...)"), ("b'x'", "mcp.image"), ("(i for i in [])", "list(...)"), ("[late]", "not awaited"))

    def test_what_has_no_json_form_says_what_to_do(self):
        for code, hint in self.HINTS:
            with self.subTest(code):
                self.assertIn(hint, call("async def other(): pass\nlate = other()\nlate.close()\ndef main(): return %s\n" % code)["text"])


class Errors(unittest.TestCase):
    def test_the_text_of_a_tool_error_stands_alone(self):
        answer = call("def main(): raise mcp.ToolError('just this')")
        self.assertEqual((answer["kind"], answer["text"]), ("exact", "just this"))

    def test_the_frames_are_the_tools_own(self):
        code = "import json\ndef inner(t):\n    return json.loads(t)\nasync def main():\n    return inner('{')\n"
        detail = call(code)["detail"]
        self.assertEqual(detail["traceback"], ["line 5, in main: return inner('{')", "line 3, in inner: return json.loads(t)"])
        self.assertEqual((detail["error_type"], detail["line_number"]), ("JSONDecodeError", 3))

    CAUSES = (
        ("try: {}['k']\n  except KeyError as e: raise ValueError('v') from e", ["after KeyError: 'k' (line 2)"]),
        ("try: {}['k']\n  except KeyError: raise ValueError('v')", ["after KeyError: 'k' (line 2)"]),
        ("try: {}['k']\n  except KeyError: raise ValueError('v') from None", None),
        ("raise ExceptionGroup('g', [ValueError('a'), KeyError('b')])", ["with ValueError: a", "with KeyError: 'b'"]),
        ("e = ValueError('v'); e.add_note('think of it'); raise e", ["think of it"]),
    )

    def test_what_an_error_came_from_is_shown(self):
        for body, causes in self.CAUSES:
            with self.subTest(body):
                answer = call("def main():\n  %s\n" % body)
                self.assertEqual(answer["detail"].get("causes"), causes)
                for cause in causes or ():
                    self.assertIn(cause, answer["detail_text"])

    def test_a_coroutine_that_was_not_awaited_is_named(self):
        for use in (".json()", "[0]"):
            answer = call("async def get(): pass\ndef main():\n    late = get()\n    late.close()\n    return late%s\n" % use)
            self.assertIn("write `await ...`", answer["text"])

    def test_endless_recursion_is_an_error_with_few_frames(self):
        detail = call("def main(): return main()")["detail"]
        self.assertEqual((detail["error_type"], len(detail["traceback"])), ("RecursionError", 50))

    def test_what_is_wrong_with_the_code_is_told_in_the_call(self):
        for code, text in (("def main(:", "SyntaxError: "), ("a\0b", "null bytes"), ("x = 1", "defines no function 'main'"),
                           ("raise SystemExit(3)", "SystemExit: 3"), ("(" * 500, "Error")):
            with self.subTest(code[:20]):
                bound = tool.Tool({"kind": "run", "code": code})
                for _ in range(2):
                    self.assertIn(text, json.loads(bound.run({}))["text"])


class Imports(unittest.TestCase):
    ROWS = (
        ("import json, os.path", (), {"os"}), ("from os import path", ("os.path",), set()), ("import os.path", ("os",), set()),
        ("from urllib import parse", (), set()), ("from urllib import parse, request", (), {"urllib"}),
        ("import xml.etree.ElementTree as E", (), set()), ("import xml", (), {"xml"}), ("from __future__ import annotations", (), set()),
        ("__import__('os')", (), {"os"}), ("from . import x", (), {"relative"}), ("exec('import os')", (), {"os"}),
    )

    def test_the_list_holds_for_the_tools_own_code(self):
        for line, modules, refused in self.ROWS:
            with self.subTest(line):
                answer = call(line + "\ndef main(): return 1\n", modules=modules)
                self.assertEqual(answer["ok"], not refused, answer)
                for word in refused:
                    self.assertIn(word, answer["text"])

    def test_importlib_knows_the_list_for_the_tool_and_not_for_libraries(self):
        code = "import importlib\ndef main(name): return importlib.import_module(name).__name__"
        for name, is_allowed in (("json", True), ("importlib.util", True), ("xml.etree.ElementTree", True), ("os", False), ("os.path", False)):
            with self.subTest(name), RuntimeProcess(code, modules=["importlib"]) as process:
                self.assertEqual(process.run(name=name)["ok"], is_allowed)

    def test_a_refusal_names_the_tool_to_ask_with_or_says_why_that_would_not_help(self):
        self.assertIn("ask for it with mcpbox_request_module", call("import numpy\ndef main(): pass")["text"])
        for reason, names in unusable.REASONS.items():
            for name in names.split():
                with self.subTest(name):
                    text = call("import %s\ndef main(): pass" % name)["text"]
                    self.assertIn("module '%s' is not allowed here, and mcpbox_request_module would not help: %s" % (name, reason), text)

    def test_an_approved_module_is_imported_whatever_the_table_says(self):
        self.assertTrue(call("import subprocess\ndef main(): return 1", modules=["subprocess"])["ok"])

    def test_what_code_names_is_read_from_its_bytecode(self):
        many = "\n".join("x%d = %d" % (i, i) for i in range(300))  # far names take EXTENDED_ARG
        source = many + "\nimport a.b as c\ndef f():\n    class K:\n        from d.e import f, g\n    return [http for http in K.z]\nasync def h(): pass\n"
        found = imports.Names(compile(source, "tool.py", "exec"))
        self.assertEqual(found.imports, {("a.b", ()), ("d.e", ("f", "g"))})
        self.assertTrue(found.has_coroutines and {"http", "z", "x299"} <= found.names)

    def test_only_what_may_wait_gets_an_event_loop(self):
        for source, needs in (("async def main(): pass", False), ("import asyncio\nasync def main(): pass", True),
                              ("import asyncio\ndef main(): pass", False), ("import json\nasync def main(): pass", False),
                              ("async def main(): await http.get('x')", False)):
            with self.subTest(source):
                self.assertEqual(imports.Names(compile(source, "tool.py", "exec")).needs_loop(source), needs)

    def test_a_foreign_module_brings_a_loop_if_it_loads_asyncio(self):
        source = "import foreign_module\nasync def main(): pass"
        names = imports.Names(compile(source, "tool.py", "exec"))
        loaded = {name: sys.modules.pop(name) for name in ("asyncio", "sniffio") if name in sys.modules}
        try:
            self.assertFalse(names.needs_loop(source))
            self.assertTrue(names.needs_loop(source, True))  # nobody knows yet what it will load
            for name in ("asyncio", "sniffio"):
                sys.modules[name] = types
                self.assertTrue(names.needs_loop(source), name)
                del sys.modules[name]
        finally:
            sys.modules.update(loaded)


class Preparation(unittest.TestCase):
    def prepare_with_numpy(self, **random):
        found = {"numpy": types.SimpleNamespace(frombuffer=lambda data, kind: (kind, data)),
                 "numpy.random": types.SimpleNamespace(**random)}
        kept = {name: sys.modules[name] for name in found if name in sys.modules}
        sys.modules.update(found)
        try:
            tool.Tool({"kind": "run", "code": "def main(): pass"}).prepare()
        finally:
            for name in found:
                del sys.modules[name]
            sys.modules.update(kept)

    def test_a_generator_that_a_fork_would_share_gets_a_state_of_its_own(self):
        states = []
        for _ in range(2):
            self.prepare_with_numpy(set_state=states.append)
        keys = {(state[0], state[1][0], len(state[1][1]), state[2:]) for state in states}
        self.assertEqual(keys, {("MT19937", "u4", 2496, (624, 0, 0.0))})
        self.assertNotEqual(states[0][1][1], states[1][1][1])

    def test_a_generator_of_another_kind_is_seeded(self):
        def set_state(state):
            raise ValueError("set_state can only be used with legacy MT19937 state instances")

        seeded = []
        self.prepare_with_numpy(set_state=set_state, seed=lambda: seeded.append(1))
        self.assertEqual(seeded, [1])

    def test_nothing_of_the_tool_runs_before_a_call(self):
        code = "print('body')\n@print\ndef main(n: print('annotation') = print('default')): print('main')\n"
        for fields in ({}, {"input_schema": {"type": "object"}}):
            process = RuntimeProcess(code, **fields)
            self.assertEqual(process.close(), "")


class Loop(unittest.TestCase):
    def test_a_loop_writes_without_sendmsg(self):
        """Calls may not: it could send descriptors.  asyncio uses it from Python 3.12 on."""
        code = """
import asyncio, socket
async def main():
    a, b = socket.socketpair()
    reader, b_writer = await asyncio.open_connection(sock=b)  # a writer that is dropped closes, from 3.13 on
    a_reader, writer = await asyncio.open_connection(sock=a)
    writer.writelines([b"x" * 400000, b"y" * 400000])
    writer.write(b"z" * 400000)
    got = await reader.readexactly(1200000)
    return [got == b"x" * 400000 + b"y" * 400000 + b"z" * 400000, a.sendmsg([b"m", memoryview(b"n")]), await reader.read(2) == b"mn"]
"""

        with mock.patch.object(socket.socket, "sendmsg", mock.Mock(side_effect=PermissionError(1, "Operation not permitted"))):
            self.assertEqual(call(code, modules=["socket"])["structured"], [True, 2, True])


class Documentation(unittest.TestCase):
    def test_the_page_for_authors_lists_the_modules(self):
        page = (Path(__file__).parents[3] / "docs/tools.md").read_text()
        self.assertIn("`%s`." % "`, `".join(imports.DEFAULT_MODULES), " ".join(page.split()))
        for reason, names in unusable.REASONS.items():
            self.assertIn("| `%s` | %s |\n" % ("`, `".join(names.split()), reason), page)


class Warm(unittest.TestCase):
    """Many calls in one process: the body runs once, main each time."""

    def test_the_body_runs_once_and_main_for_each_call(self):
        code = "print('body')\ncount = 0\ndef main(n: int):\n    global count\n    count += n\n    print('main')\n    return [count, arguments]\n"
        with RuntimeProcess(code) as process:
            answers = [process.run(n=n)["structured"] for n in (1, 2, 3)]
            printed = process.close()
        self.assertEqual(answers, [[1, {"n": 1}], [3, {"n": 2}], [6, {"n": 3}]])
        self.assertEqual(printed, "body\nmain\nmain\nmain\n")

    def test_a_body_that_fails_runs_again(self):
        with RuntimeProcess("import os\nif not os.environ.get('SET'):\n    os.environ['SET'] = '1'\n    raise ValueError('first')\ndef main(): return 'x'\n",
                            modules=["os"]) as process:
            self.assertEqual([process.run()["ok"] for _ in range(3)], [False, True, True])

    def test_output_goes_on_after_a_call_that_closed_it(self):
        code = "import sys\ndef main(n: int):\n    print(n)\n    if n == 1: sys.stdout.close()\n    if n == 3: sys.stdout = None\n"
        with RuntimeProcess(code, modules=["sys"]) as process:
            self.assertTrue(all(process.run(n=n)["ok"] for n in (1, 2, 3, 4)))
            self.assertEqual(process.close(), "1\n2\n3\n4\n")

    def test_tasks_that_a_call_left_behind_are_cancelled(self):
        code = """
import asyncio
seen = []
async def later():
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        seen.append("cancelled")
        raise
async def main(leave: bool):
    if leave:
        asyncio.create_task(later())
    await asyncio.sleep(0.001)
    return [list(seen), len(asyncio.all_tasks())]
"""
        with RuntimeProcess(code) as process:
            self.assertEqual(process.run(leave=True)["structured"], [[], 2])
            self.assertEqual(process.run(leave=False)["structured"], [["cancelled"], 1])

    def test_a_loop_serves_one_call_after_the_other(self):
        code = "import asyncio\nasync def main(n: int):\n    return await asyncio.sleep(0.001, n)\n"
        with RuntimeProcess(code) as process:
            self.assertEqual([process.run(n=n)["structured"] for n in range(3)], [0, 1, 2])


class Events(unittest.TestCase):
    def test_progress_and_log_are_sent_with_and_without_await(self):
        code = "async def main():\n    await mcp.progress(1, 3, 'one')\n    mcp.progress(2)\n    mcp.log('info', {'a': 1})\n    await mcp.log('error', 'x')\n"
        process = RuntimeProcess(code)
        self.assertTrue(process.run()["ok"])
        process.close()
        self.assertEqual(process.events, [
            {"op": "progress", "event": {"progress": 1, "total": 3, "message": "one"}}, {"op": "progress", "event": {"progress": 2}},
            {"op": "log", "event": {"level": "info", "data": {"a": 1}}}, {"op": "log", "event": {"level": "error", "data": "x"}}])

    def test_an_inspection_derives_the_schema_of_the_code_that_it_is_given(self):
        with RuntimeProcess("", kind="inspect") as process:
            found = process.run(code="def main(n: int): pass", input_schema={"type": "object"}, output_schema={"type": "text"})["inspect"]
            self.assertEqual((found["input_schema_error"], found["output_schema_error"]), ("", 'unknown type "text"'))
            found = process.run(code="def main(n: int): pass")["inspect"]
            self.assertEqual((found["input_schema_error"], found["output_schema_error"]), ("", ""))
        self.assertEqual(found["input_schema"]["required"], ["n"])


if __name__ == "__main__":
    unittest.main()
