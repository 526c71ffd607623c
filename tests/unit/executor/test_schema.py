"""Schemas read from source, and docstrings."""

import unittest

from mcpbox_runtime import docstring, schema, validate

HEAD = """
import typing as t
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, Optional, TypedDict, Union
class Color(Enum):
    RED = "red"
    BLUE = "blue"
class Level(IntEnum):
    LOW = 1
    HIGH = 2
@dataclass
class Point:
    x: int
    y: float = 0.5
    tags: list[str] = field(default_factory=list)
class Query(TypedDict):
    text: str
    limit: t.NotRequired[int]
Size = Literal["s", "m"]
UserId = t.NewType("UserId", int)
LIMIT = 10
@dataclass(kw_only=True)
class Base:
    '''A base.

    Args:
        id: which one
    '''
    id: int
    _: KW_ONLY
    seen: ClassVar[int] = 0
    made: int = field(init=False, default=0)
@dataclass
class Child(Base):
    unit: str = field(metadata={"description": "of measure"})
    kind: Color = Color.RED
    note: str = ""
    "free text"
class Loose(TypedDict, total=False):
    a: t.Required[int]
    b: str
@dataclass
class Node:
    value: int
    children: list["Node"] = field(default_factory=list)
"""


def derive(signature, returns=""):
    return schema.derive(HEAD + "async def main(%s)%s:\n    pass\n" % (signature, returns))


def one(annotation, default=""):
    found = derive("p: %s%s" % (annotation, " = " + default if default else ""))
    assert not found["error"], found["error"]
    made = dict(found["input_schema"]["properties"]["p"])
    made.pop("description")
    return made, "p" in found["input_schema"].get("required", [])


NULL = {"type": "null"}
POINT = {"type": "object", "required": ["x"], "additionalProperties": False, "properties": {
    "x": {"type": "integer"}, "y": {"type": "number", "default": 0.5},
    "tags": {"type": "array", "items": {"type": "string"}}}}


class Annotations(unittest.TestCase):
    ROWS = (
        ("str", {"type": "string"}), ("int", {"type": "integer"}), ("float", {"type": "number"}),
        ("bool", {"type": "boolean"}), ("list", {"type": "array"}), ("dict", {"type": "object"}),
        ("t.Any", {}), ("Any", {}), ("'int'", {"type": "integer"}),
        ("list[int]", {"type": "array", "items": {"type": "integer"}}),
        ("t.List[str]", {"type": "array", "items": {"type": "string"}}),
        ("list[list[bool]]", {"type": "array", "items": {"type": "array", "items": {"type": "boolean"}}}),
        ("dict[str, float]", {"type": "object", "additionalProperties": {"type": "number"}}),
        ("dict[str, Any]", {"type": "object"}),
        ("int | str", {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        ("Union[int, str, bool]", {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "boolean"}]}),
        ("Literal['a', 'b']", {"type": "string", "enum": ["a", "b"]}),
        ("Literal['a', 1]", {"enum": ["a", 1]}),
        ("Color", {"type": "string", "enum": ["red", "blue"]}), ("Level", {"type": "integer", "enum": [1, 2]}),
        ("Size", {"type": "string", "enum": ["s", "m"]}),
        ("Point", POINT), ("list[Point]", {"type": "array", "items": POINT}),
        ("Query", {"type": "object", "required": ["text"], "additionalProperties": False, "properties": {
            "text": {"type": "string"}, "limit": {"type": "integer"}}}),
        ("set[int]", {"type": "array", "uniqueItems": True, "items": {"type": "integer"}}),
        ("datetime.datetime", {"type": "string", "format": "date-time"}),
        ("uuid.UUID", {"type": "string", "format": "uuid"}),
        ("SomethingUnknown", {"type": "string"}), ("Callable[[int], str]", {"type": "string"}),
        ("bytes", {"type": "string", "contentEncoding": "base64"}), ("UserId", {"type": "integer"}),
        ("decimal.Decimal", {"type": ["string", "number"]}), ("datetime.date", {"type": "string", "format": "date"}),
        ("collections.abc.Sequence[int]", {"type": "array", "items": {"type": "integer"}}),
        ("Mapping[str, list[Color]]", {"type": "object", "additionalProperties": {
            "type": "array", "items": {"type": "string", "enum": ["red", "blue"]}}}),
        ("Literal[Color.RED, Color.BLUE]", {"type": "string", "enum": ["red", "blue"]}),
        ("Annotated[int, {'minimum': 1, 'maximum': 9}]", {"type": "integer", "minimum": 1, "maximum": 9}),
        ("Annotated[str, Field(min_length=1, pattern='^a')]", {"type": "string", "minLength": 1, "pattern": "^a"}),
        ("Annotated[list[int], Len(max_length=3)]", {"type": "array", "items": {"type": "integer"}, "maxItems": 3}),
        ("Annotated[int, Ge(1), Lt(5)]", {"type": "integer", "minimum": 1, "exclusiveMaximum": 5}),
        ("Annotated[int | str, unknown, Thing(x=1)]", {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        ("Loose", {"type": "object", "required": ["a"], "additionalProperties": False, "properties": {
            "a": {"type": "integer"}, "b": {"type": "string"}}}),
    )

    def test_each_annotation_has_its_schema(self):
        for annotation, expected in self.ROWS:
            with self.subTest(annotation):
                self.assertEqual(one(annotation), (expected, True))

    def test_optional_is_not_required(self):
        for annotation in ("Optional[int]", "int | None", "None | int", "t.Union[int, None]"):
            with self.subTest(annotation):
                made, is_required = one(annotation)
                self.assertCountEqual(made["anyOf"], [{"type": "integer"}, NULL])
                self.assertFalse(is_required)

    def test_a_default_is_shown_and_not_required(self):
        rows = (("int", "5", {"type": "integer", "default": 5}), ("str", "'x'", {"type": "string", "default": "x"}),
                ("Color", "Color.BLUE", {"type": "string", "enum": ["red", "blue"], "default": "blue"}),
                ("list[int]", "[]", {"type": "array", "items": {"type": "integer"}, "default": []}),
                ("int", "None", {"anyOf": [{"type": "integer"}, NULL], "default": None}),
                ("int", "LIMIT", {"type": "integer", "default": 10}), ("int", "UNKNOWN", {"type": "integer"}),
                ("int", "compute()", {"type": "integer"}), ("float", "float('nan')", {"type": "number"}))
        for annotation, default, expected in rows:
            with self.subTest(default):
                self.assertEqual(one(annotation, default), (expected, False))

    def test_without_annotation_the_default_tells_the_type(self):
        properties = derive("a, b=1, c='x', d=1.5, e=True")["input_schema"]["properties"]
        self.assertEqual([properties[k]["type"] for k in "abcde"], ["string", "integer", "string", "number", "boolean"])


class Signatures(unittest.TestCase):
    def test_extra_keywords_open_the_schema(self):
        self.assertFalse(derive("a: int")["input_schema"]["additionalProperties"])
        self.assertTrue(derive("a: int, **rest")["input_schema"]["additionalProperties"])

    def test_keyword_only_and_positional_only_count(self):
        self.assertEqual(derive("a: int, /, b: int, *, c: int = 1")["input_schema"]["required"], ["a", "b"])

    def test_self_cls_and_http_are_passed_over(self):
        self.assertEqual(list(derive("self, http, a: int")["input_schema"]["properties"]), ["a"])

    def test_what_names_cannot_fill_is_refused_with_a_reason(self):
        for signature in ("*rest", "a: tuple", "a: tuple[int, str]", "a: list[tuple[int]]"):
            with self.subTest(signature):
                found = derive(signature)
                self.assertIsNone(found["input_schema"])
                self.assertRegex(found["error"], r"(cannot be filled|cannot be described).*\(line \d+\)")

    def test_main_may_be_plain_or_async_but_at_the_top(self):
        self.assertTrue(schema.derive("def main(): pass")["has_main"])
        self.assertTrue(schema.derive("async def main(): pass")["has_main"])
        for code in ("def f():\n  def main(): pass", "class A:\n  def main(self): pass", "main = 5", ""):
            found = schema.derive(code)
            self.assertTrue(found["valid"])
            self.assertFalse(found["has_main"])
            self.assertIn("main", found["error"])

    def test_syntax_errors_name_their_line(self):
        for code, line in (("def main(:\n", 1), ("x = 1\nreturn x\n", 2), ("def f():\n\tx\n        y\n", 3), ("a\0b", 0)):
            with self.subTest(code):
                found = schema.derive(code)
                self.assertFalse(found["valid"])
                self.assertEqual(found["error_line"], line)

    def test_nothing_of_the_source_runs(self):
        self.assertTrue(schema.derive("raise SystemExit(1)\ndef main(a=1/0): pass")["has_main"])

    def test_fields_are_those_that_a_value_is_made_from(self):
        found = derive("c: Child")["input_schema"]["properties"]["c"]
        self.assertEqual(found["properties"], {
            "id": {"type": "integer", "description": "which one"},
            "unit": {"type": "string", "description": "of measure"},
            "kind": {"type": "string", "enum": ["red", "blue"], "default": "red"},
            "note": {"type": "string", "default": "", "description": "free text"}})
        self.assertEqual(found["required"], ["id", "unit"])

    def test_classes_that_hold_themselves_are_referred_to(self):
        found = derive("n: Node, m: Node | None", " -> Node")
        node = {"type": "object", "required": ["value"], "additionalProperties": False, "properties": {
            "value": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}}}}
        made = found["input_schema"]
        self.assertEqual((made["properties"]["n"]["$ref"], made["$defs"]), ("#/$defs/Node", {"Node": node}))
        self.assertIn({"$ref": "#/$defs/Node"}, made["properties"]["m"]["anyOf"])
        self.assertEqual(found["output_schema"], {"$ref": "#/$defs/Node", "$defs": {"Node": node}})
        checker = validate.Checker(made)
        self.assertIsNone(checker.problem({"n": {"value": 1, "children": [{"value": 2}]}}))
        self.assertEqual(checker.problem({"n": {"value": 1, "children": [{"value": "x"}]}})[0], "n.children[0].value")


class Warnings(unittest.TestCase):
    HEAD = ("from __future__ import annotations\nimport enum, datetime as dt\nfrom datetime import date, timedelta\nfrom decimal import Decimal\n"
            "from typing import Optional, Literal\nfrom uuid import UUID\nfrom pydantic import BaseModel\n"
            "class Model(BaseModel): a: int\nclass Flags(enum.Flag): A = 1\nclass Kind(enum.Enum): A = 'a'\n")

    def derive(self, parameters):
        return schema.derive(self.HEAD + "def main(%s): pass\n" % parameters)

    def test_types_that_are_not_known_are_named(self):
        for annotation, named in (("timedelta", "timedelta"), ("complex", "complex"), ("Flags", "Flags"), ("Model", "Model"),
                                  ("list[timedelta]", "timedelta"), ("timedelta | None", "timedelta"), ("1 + 1", "1 + 1")):
            found = self.derive("ok: int, p: %s" % annotation)
            self.assertEqual(len(found["warnings"]), 1, annotation)
            self.assertIn("p (line 11): the type %s is not known here" % named, found["warnings"][0])
            self.assertTrue(found["input_schema"])

    def test_a_name_that_nothing_makes_is_named(self):
        self.assertEqual(self.derive("p: Foo | int, q: List[int]")["warnings"],
                         ["p (line 11): 'Foo' is not defined, so every call fails", "q (line 11): 'List' is not defined, so every call fails"])
        self.assertEqual(schema.derive("from typing import *\ndef main(p: List[int]): pass")["warnings"], [])

    def test_a_default_that_does_not_fit_is_named(self):
        for parameter, text in (("p: int = []", "[] is not of type integer"), ("p: Literal['a'] = 'b'", '"b" is not one of "a"'),
                                ("p: list[int] = [1, 'x']", '"x" is not of type integer')):
            self.assertEqual(self.derive(parameter)["warnings"], ["p (line 11): its default does not fit its type: " + text])

    def test_what_is_well_known_gives_none(self):
        good = ("a: int = None, b: Optional[date] = None, c: Kind = Kind.A, d: float = 3, e: list[Kind] = [], f: dt.datetime = dt.datetime(2026, 1, 2), "
                "g=None, h={}, i: set[int] = {2, 1}, j: object = 1, k: dict = {}, m: bytes = b'', n: datetime.date = None")
        self.assertEqual(self.derive(good)["warnings"], [])

    def test_defaults_are_shown_as_a_client_would_write_them(self):
        found = self.derive("a: date = date(2026, 1, 2), b: Decimal = Decimal('1.50'), c: bytes = b'hi', d: set[int] = {2, 1}, "
                            "e: dt.datetime = dt.datetime(2026, 1, 2, 3), f: UUID = UUID(int_text), g: frozenset[int] = frozenset()")
        shown = {name: p.get("default") for name, p in found["input_schema"]["properties"].items()}
        self.assertEqual(shown, {"a": "2026-01-02", "b": "1.50", "c": "aGk=", "d": [1, 2], "e": "2026-01-02T03:00:00", "f": None, "g": []})

    def test_none_as_a_default_may_be_given(self):
        found = self.derive("p=None")["input_schema"]
        self.assertIsNone(validate.Checker(found).problem({"p": None}))
        self.assertIsNotNone(validate.Checker(found).problem({"p": 1}))

    def test_there_are_not_too_many(self):
        found = self.derive(", ".join("p%d: timedelta" % n for n in range(100)))
        self.assertEqual(len(found["warnings"]), schema.WARNINGS_MAX)


class Returns(unittest.TestCase):
    def test_concrete_types_give_an_output_schema(self):
        self.assertEqual(derive("", " -> Point")["output_schema"], POINT)
        self.assertEqual(derive("", " -> list[int]")["output_schema"], {"type": "array", "items": {"type": "integer"}})
        self.assertEqual(derive("", " -> dict[str, int]")["output_schema"]["additionalProperties"], {"type": "integer"})

    def test_loose_types_give_none(self):
        for annotation in ("", " -> dict", " -> Any", " -> str", " -> list", " -> dict[str, Any]", " -> tuple[int]"):
            with self.subTest(annotation):
                self.assertIsNone(derive("", annotation)["output_schema"])


class Docstrings(unittest.TestCase):
    STYLES = {
        "google": "Find it.\n\nMore.\n\nArgs:\n    city (str): where\n        to look\n    days: how many\n\nReturns:\n    x: y\n",
        "numpy": "Find it.\n\nMore.\n\nParameters\n----------\ncity : str\n    where\n    to look\ndays : int\n    how many\n\n"
                 "Returns\n-------\nx\n",
        "rest": "Find it.\n\nMore.\n\n:param str city: where\n    to look\n:param days: how many\n:returns: x\n",
    }

    def test_each_style_gives_text_and_descriptions(self):
        for style, text in self.STYLES.items():
            with self.subTest(style):
                self.assertEqual(docstring.parse(text), ("Find it.\n\nMore.", {"city": "where to look", "days": "how many"}))

    def test_a_parameter_s_line_stands_above_the_docstring_of_its_class(self):
        head = HEAD + '@dataclass\nclass Told:\n    """A thing."""\n    x: int\n'
        found = schema.derive(head + 'def main(a: Told, b: Told, c: Annotated[Told, "this"]):\n    """D.\n\n    Args:\n        a: the first\n        c: x\n    """\n')
        described = [p["description"] for p in found["input_schema"]["properties"].values()]
        self.assertEqual(described, ["the first", "A thing.", "this"])

    def test_annotated_text_stands_above_the_docstring(self):
        found = schema.derive(HEAD + 'def main(a: Annotated[int, "from here"], b, c):\n    """D.\n\n    Args:\n        a: x\n        b: y\n    """\n')
        described = [p["description"] for p in found["input_schema"]["properties"].values()]
        self.assertEqual(described, ["from here", "y", "Parameter: c"])
        self.assertEqual(found["description"], "D.")


if __name__ == "__main__":
    unittest.main()
