"""The validator that judges arguments and results: JSON Schema 2020-12."""

import unittest

from mcpbox_runtime import errors, patterns, validate

TREE = {
    "$id": "https://example.com/tree", "$dynamicAnchor": "node", "type": "object",
    "properties": {"data": True, "children": {"type": "array", "items": {"$dynamicRef": "#node"}}},
}
STRICT_TREE = {
    "$id": "https://example.com/strict-tree", "$dynamicAnchor": "node", "$ref": "tree", "unevaluatedProperties": False,
    "$defs": {"tree": TREE},
}


def problem(value, made):
    return validate.Checker(made).problem(value)


class Faults(unittest.TestCase):
    # schema, what is said of it
    ROWS = (
        ({"minimum": "a"}, 'minimum must be a number, not "a"'), ({"multipleOf": 0}, "multipleOf must be a number above 0, not 0"),
        ({"type": "strin"}, 'unknown type "strin"'), ({"$defs": {"unused": {"type": "x"}}}, 'unknown type "x"'),
        ({"properties": 5}, "properties must be an object of schemas, not 5"), ({"allOf": []}, "allOf must be a list of schemas, not []"),
        ({"required": "a"}, 'required must be a list of names, not "a"'), ({"items": [{}]}, "[{}] is no schema"),
        ({"minLength": -1}, "minLength must be a whole number that is not negative, not -1"), ({"enum": 3}, "enum must be a list, not 3"),
        ({"$ref": "#/$defs/x"}, "nothing in the schema is named by '#/$defs/x'"), ({"$id": 5}, "$id must be a text, not 5"),
        ({"$ref": "https://example.com/x"}, "only references inside the schema are followed, not 'https://example.com/x'"),
        ({"pattern": "("}, 'the pattern "(" cannot be used: missing ), unterminated subpattern at position 0'),
        ({"$anchor": []}, "a keyword has a value of another kind"), ({"uniqueItems": 1}, "uniqueItems must be true or false, not 1"),
        ({"dependentRequired": {"a": "b"}}, 'dependentRequired must be an object of lists of names, not {"a": "b"}'),
    )

    def test_what_is_wrong_with_a_schema_is_told_before_it_is_used(self):
        for schema, text in self.ROWS:
            with self.subTest(schema):
                self.assertEqual(validate.fault(schema), text)
                self.assertEqual(validate.fault({"properties": {"p": {"items": schema}}}), text)

    def test_a_schema_without_end_is_told(self):
        deep = {}
        for _ in range(5000):
            deep = {"not": deep}
        self.assertEqual(validate.fault(deep), "nested too deep")

    def test_schemas_that_can_be_used_have_none(self):
        for schema in (*(row[0] for row in Keywords.ROWS), TREE, STRICT_TREE, True, {"properties": {"next": {"$ref": "#"}}}):
            with self.subTest(schema):
                self.assertEqual(validate.fault(schema), "")


class Keywords(unittest.TestCase):
    # schema, a value that fits, one that does not
    ROWS = (
        ({"type": "integer"}, 3, 3.5), ({"type": "integer"}, 3.0, True), ({"type": "number"}, 1, "1"),
        ({"type": ["string", "null"]}, None, 1), ({"enum": ["a", 1]}, 1, True), ({"const": None}, None, 0),
        ({"const": {"a": [1]}}, {"a": [1.0]}, {"a": [True]}), ({"enum": ["1"]}, "1", 1),
        ({"minimum": 2}, 2, 1), ({"maximum": 2}, 2, 3), ({"exclusiveMinimum": 2}, 2.1, 2), ({"exclusiveMaximum": 2}, 1.9, 2),
        ({"multipleOf": 0.1}, 0.3, 0.35), ({"multipleOf": 0.0001}, 0.0075, 0.00751), ({"multipleOf": 3}, 9, 10),
        ({"multipleOf": 0.123456789}, 0.123456789, 1e308), ({"multipleOf": 2}, "x", 3),
        ({"minLength": 2}, "ab", "a"), ({"maxLength": 2}, "\U0001f600\U0001f600", "abc"), ({"pattern": "^a+$"}, "aa", "b"),
        ({"maxItems": 1}, [1], [1, 2]), ({"minItems": 1}, [1], []),
        ({"minProperties": 1}, {"a": 1}, {}), ({"maxProperties": 1}, {"a": 1}, {"a": 1, "b": 2}),
        ({"uniqueItems": True}, [1, True], [1, 1.0]), ({"uniqueItems": True}, [{"a": 1}, {"a": 2}], [{"a": 1}, {"a": 1}]),
        ({"items": {"type": "string"}}, ["a"], ["a", 1]), ({"items": False}, [], [1]),
        ({"prefixItems": [{"type": "string"}], "items": False}, ["a"], ["a", 1]),
        ({"prefixItems": [{"type": "string"}, {"type": "null"}]}, ["a"], ["a", 1]),
        ({"required": ["a"]}, {"a": 1}, {}), ({"properties": {"a": {"type": "string"}}}, {"a": "x"}, {"a": 1}),
        ({"additionalProperties": False, "properties": {"a": {}}}, {"a": 1}, {"b": 1}),
        ({"additionalProperties": {"type": "integer"}, "patternProperties": {"^x": {}}}, {"x": "s", "y": 1}, {"y": "s"}),
        ({"patternProperties": {"^x": {"type": "integer"}}}, {"x1": 1}, {"x1": "1"}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, None, 1), ({"not": {"type": "string"}}, 1, "a"),
        ({"oneOf": [{"minimum": 1}, {"minimum": 5}]}, 2, 6), ({"allOf": [{"minimum": 1}, {"maximum": 3}]}, 2, 4),
        ({"if": {"minimum": 5}, "then": {"maximum": 6}, "else": {"minimum": 1}}, 6, 7),
        ({"if": {"minimum": 5}, "then": {"maximum": 6}, "else": {"minimum": 1}}, 1, 0),
        ({"contains": {"const": 1}}, [2, 1], [2]), ({"contains": {"const": 1}, "maxContains": 1}, [1, 2], [1, 1]),
        ({"contains": {"const": 1}, "minContains": 2}, [1, 1], [1]),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1, "b": 2}, {"a": 1}),
        ({"dependentSchemas": {"a": {"required": ["b"]}}}, {"b": 2}, {"a": 1}),
        ({"propertyNames": {"maxLength": 1}}, {"a": 1}, {"ab": 1}),
        ({"$ref": "#/$defs/p", "$defs": {"p": {"type": "integer"}}}, 1, "x"),
        ({"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": {"type": "integer"}}}, 1, "x"),
        ({"$ref": "#p", "$defs": {"x": {"$anchor": "p", "type": "integer"}}}, 1, "x"),
        ({"$id": "https://e.com/a/b", "$ref": "c", "$defs": {"x": {"$id": "c", "type": "integer"}}}, 1, "x"),
        ({"properties": {"n": {"$ref": "#"}}, "additionalProperties": False}, {"n": {"n": {}}}, {"n": {"m": 1}}),
        (STRICT_TREE, {"children": [{"data": 1}]}, {"children": [{"daat": 1}]}),
        ({"type": "object", "properties": {"a": {}}, "unevaluatedProperties": False}, {"a": 1}, {"b": 1}),
        ({"allOf": [{"properties": {"a": {}}}], "unevaluatedProperties": False}, {"a": 1}, {"a": 1, "b": 1}),
        ({"anyOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]}, {"properties": {"b": {}}}],
          "unevaluatedProperties": False}, {"b": 1}, {"a": 2}),
        ({"if": {"properties": {"a": {"const": 1}}, "required": ["a"]}, "then": {"properties": {"b": {}}},
          "unevaluatedProperties": False}, {"a": 1, "b": 2}, {"b": 2}),
        ({"prefixItems": [{}], "contains": {"const": 9}, "unevaluatedItems": False}, [1, 9], [1, 8, 9]),
    )

    def test_each_has_a_value_that_fits_and_one_that_does_not(self):
        for made, good, bad in self.ROWS:
            with self.subTest(made):
                self.assertIsNone(problem(good, made))
                self.assertIsNotNone(problem(bad, made))

    def test_formats_are_annotations(self):
        self.assertIsNone(problem("not one", {"format": "email", "contentEncoding": "base64"}))

    def test_true_false_and_nothing_are_schemas(self):
        for made, fits in ((True, True), ({}, True), (None, True), (False, False)):
            self.assertEqual(problem(1, made) is None, fits)


class Problems(unittest.TestCase):
    ROWS = (
        ({"properties": {"a": {"items": {"properties": {"b": {"type": "string"}}}}}}, {"a": [{}, {"b": 1}]},
         "a[1].b", "1 is not of type string"),
        ({"required": ["city"]}, {}, "city", "is required"),
        ({"type": "object"}, [], "", "[] is not of type object"),
        ({"properties": {"s": {"enum": ["x", "y"]}}}, {"s": "z"}, "s", '"z" is not one of "x", "y"'),
        ({"properties": {"n": {"minimum": 5}}}, {"n": 4}, "n", "4 is less than 5"),
        ({"additionalProperties": False}, {"zz": 1}, "zz", "unknown name"),
        ({"properties": {"u": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}}, {"u": "x"}, "u",
         '"x" is not of type integer; "x" is not of type null'),
        ({"anyOf": [{"type": "null"}, {"properties": {"k": {"type": "string"}}}]}, {"k": 1}, "k", "1 is not of type string"),
        ({"prefixItems": [{}], "items": False}, [1, 2], "[1]", "is one item too many"),
        ({"properties": {"l": {"minLength": 3}}}, {"l": "ab"}, "l", "is shorter than 3 characters"),
    )

    def test_each_names_its_field_and_what_was_expected(self):
        for made, value, path, text in self.ROWS:
            with self.subTest(made):
                self.assertEqual(problem(value, made), (path, text))

    def test_values_are_shown_short(self):
        self.assertLess(len(problem("x" * 1000, {"type": "null"})[1]), 120)


class Unusable(unittest.TestCase):
    """Schemas that cannot be used say so when they are asked, and not before."""

    # schema, a value that meets the fault, what is said
    ROWS = (
        ({"$ref": "https://example.com/schema.json"}, 1, "only references inside"), ({"$ref": "other.json"}, 1, "only references inside"),
        ({"$ref": "#/$defs/none"}, 1, "nothing in the schema is named"), ({"$ref": "#none"}, 1, "nothing in the schema is named"),
        ({"$ref": "#"}, 1, "refers to itself without end"), ({"type": "strnig"}, 1, 'unknown type "strnig"'),
        ({"pattern": "("}, "x", "cannot be used: missing"), ({"pattern": r"\p{Greek}"}, "x", "cannot be used: the class"),
        ({"properties": {"a": [1]}}, {"a": 1}, "[1] is no schema"), ({"items": [{}]}, [1], "[{}] is no schema"),
        ({"properties": 5}, {}, "properties says 5"), ({"minimum": "1"}, 1, "cannot be used"), (5, 1, "5 is no schema"),
    )

    def test_each_is_refused_with_its_reason(self):
        for made, value, text in self.ROWS:
            with self.subTest(made):
                checker = validate.Checker(made)
                with self.assertRaises(errors.Refused) as caught:
                    checker.problem(value)
                self.assertEqual(caught.exception.type_name, "SchemaError")
                self.assertIn(text, str(caught.exception))


class Patterns(unittest.TestCase):
    # ECMA-262 pattern, a text that it finds, one that it does not
    ROWS = (
        ("^a$", "a", "a\n"), (r"\d", "1", "\u0661"), (r"\w", "_", "\u00e9"), (r"[\d]", "1", "\u0661"), (r"^\D$", "\u0661", "1"),
        (r"^\W$", "\u00e9", "e"), (r"^\p{L}+$", "\u00e9a", "1"), (r"^\p{Letter}$", "x", "_"), (r"^\cA$", "\x01", "A"), (r"^a\/b$", "a/b", "ab"),
        (r"(?<y>\d{4})", "2026", "x"), (r"(?<=a)b", "ab", "b"), (r"(?<!a)b$", "b", "ab"), (r"^[$]$", "$", "x"), (r"^\$$", "$", "x"),
        (r"^\u{1F600}$", "\U0001f600", "x"), (r"^\u00e9$", "\u00e9", "e"), (r"^[^\]]$", "a", "]"),
    )

    def test_each_means_what_ecmascript_means(self):
        for pattern, good, bad in self.ROWS:
            with self.subTest(pattern):
                self.assertIsNone(problem(good, {"pattern": pattern}))
                self.assertIsNotNone(problem(bad, {"pattern": pattern}))
                self.assertIsInstance(patterns.to_python(pattern), str)


class Arguments(unittest.TestCase):
    def test_they_must_be_an_object_that_fits(self):
        checker = validate.Checker({"required": ["a"]})
        checker.demand({"a": 1})
        for values, text in (([], "arguments must be an object"), (None, "arguments must be an object"), ({}, "a: is required")):
            with self.assertRaises(errors.Refused) as caught:
                checker.demand(values)
            self.assertEqual((caught.exception.type_name, str(caught.exception)), ("ArgumentError", text))


if __name__ == "__main__":
    unittest.main()
