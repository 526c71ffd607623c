"""Holds answers of the admin service against its own description, GET /api/openapi.json."""

import copy
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import python_packages  # noqa: E402

python_packages.need()
from jsonschema import Draft202012Validator  # noqa: E402
from openapi_schema_validator import oas31_format_checker  # noqa: E402

PROBLEM = "application/problem+json"


def closed(schema):
    """What is not told must not come: the description leaves objects open for later, the tests do not."""
    if isinstance(schema, dict):
        if "properties" in schema and "additionalProperties" not in schema:
            schema["additionalProperties"] = False
        for value in schema.values():
            closed(value)
    elif isinstance(schema, list):
        for value in schema:
            closed(value)
    return schema


class Description:
    def __init__(self, document):
        self.document = document
        self.parts = closed(copy.deepcopy(document["components"]))
        self.paths = [(re.compile(re.sub(r"\{[^}]*\}", "[^/]+", path) + "$"), path) for path in document["paths"]]
        self.paths.sort(key=lambda p: p[1].count("{"))

    def operation(self, method, path):
        """None: not described."""
        for pattern, name in self.paths:
            if pattern.match(path) and method.lower() in self.document["paths"][name]:
                return self.document["paths"][name][method.lower()]
        return None

    def is_valid(self, schema, value):
        schema = {**closed(copy.deepcopy(schema)), "components": self.parts}
        errors = sorted(Draft202012Validator(schema, format_checker=oas31_format_checker).iter_errors(value), key=str)
        assert not errors, f"{errors[0].json_path}: {errors[0].message}"

    def check(self, method, target, status, kind, value):
        """kind: content type without parameters; value: parsed JSON, or text."""
        path = target.partition("?")[0]
        operation = self.operation(method, path)
        if operation is None:
            if status != 200 or path.startswith(("/api/", "/auth/")):
                assert status in (400, 403, 404, 405) and kind == PROBLEM, f"{method} {path} is not described: {status}"
                self.is_valid({"$ref": "#/components/schemas/Problem"}, value)
            return
        answers = operation["responses"]
        answer = answers.get(str(status)) or answers.get(f"{status // 100}XX")
        assert answer, f"{method} {path} answered {status}, which is not described"
        if "$ref" in answer:
            answer = self.parts["responses"][answer["$ref"].rpartition("/")[2]]
        if "content" not in answer:
            assert value == "", f"{method} {path} answered {status} with a body"
            return
        assert kind in answer["content"], f"{method} {path} answered {status} as {kind}"
        schema = answer["content"][kind].get("schema")
        if schema:
            self.is_valid(schema, value)
        if kind == PROBLEM:
            assert value["status"] == status
