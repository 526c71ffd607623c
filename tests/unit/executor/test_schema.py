"""Schemas read from source, and docstrings."""

import unittest

from mcpbox_runtime import docstring, schema

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
        ("SomethingUnknown", {"type": "string"}),
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

    def test_classes_that_hold_themselves_end(self):
        code = "from dataclasses import dataclass\n@dataclass\nclass N:\n  next: 'N'\ndef main(n: N): pass\n"
        self.assertEqual(schema.derive(code)["input_schema"]["properties"]["n"]["properties"]["next"], {"type": "object"})


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

    def test_annotated_text_stands_above_the_docstring(self):
        found = schema.derive(HEAD + 'def main(a: Annotated[int, "from here"], b, c):\n    """D.\n\n    Args:\n        a: x\n        b: y\n    """\n')
        described = [p["description"] for p in found["input_schema"]["properties"].values()]
        self.assertEqual(described, ["from here", "y", "Parameter: c"])
        self.assertEqual(found["description"], "D.")


if __name__ == "__main__":
    unittest.main()
