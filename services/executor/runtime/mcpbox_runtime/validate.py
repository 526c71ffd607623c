"""JSON Schema 2020-12, the keywords that describe arguments.  Keywords that need annotations of other
keywords are left to python3-jsonschema, which takes 100 ms to load."""

import json
import re

_NEEDS_LIBRARY = ("unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$anchor", "$dynamicAnchor")

_TYPES = {
    "string": lambda v: isinstance(v, str),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool) or isinstance(v, float) and v.is_integer(),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "boolean": lambda v: isinstance(v, bool),
    "array": lambda v: isinstance(v, list),
    "object": lambda v: isinstance(v, dict),
    "null": lambda v: v is None,
}


def _show(value):
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "..."


def _key(value):
    """1 and 1.0 are equal in JSON Schema, 1 and true are not."""
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, list):
        return ("list",) + tuple(_key(v) for v in value)
    if isinstance(value, dict):
        return ("dict",) + tuple(sorted((k, _key(v)) for k, v in value.items()))
    return value


def _equal(a, b):
    return _key(a) == _key(b)


class _Checker:
    def __init__(self, root):
        self.root = root

    def check(self, value, schema, path):
        """None, or (path, text) of the first problem."""
        if schema is True or schema == {}:
            return None
        if schema is False:
            return path, "is not allowed"
        for keyword, want in schema.items():
            judge = _JUDGES.get(keyword)
            problem = judge(self, value, want, schema, path) if judge else None
            if problem:
                return problem
        return None

    def resolve(self, reference):
        if not reference.startswith("#"):
            raise ValueError("only references inside the schema are followed, not %r" % reference)
        at = self.root
        for part in reference[1:].split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            at = at[int(part)] if isinstance(at, list) else at[part]
        return at


def _type(c, value, want, schema, path):
    names = [want] if isinstance(want, str) else want
    if any(_TYPES[n](value) for n in names):
        return None
    return path, "%s is not of type %s" % (_show(value), " or ".join(names))


def _enum(c, value, want, schema, path):
    if any(_equal(value, w) for w in want):
        return None
    return path, "%s is not one of %s" % (_show(value), ", ".join(_show(w) for w in want))


def _const(c, value, want, schema, path):
    return None if _equal(value, want) else (path, "must be %s" % _show(want))


def _number(test, text):
    def judge(c, value, want, schema, path):
        if not _TYPES["number"](value) or test(value, want):
            return None
        return path, "%s %s %s" % (_show(value), text, _show(want))

    return judge


def _sized(kind, test, text):
    def judge(c, value, want, schema, path):
        if not isinstance(value, kind) or test(len(value), want):
            return None
        return path, text % want

    return judge


def _pattern(c, value, want, schema, path):
    if not isinstance(value, str) or re.search(want, value):
        return None
    return path, "%s does not match %s" % (_show(value), want)


def _properties(c, value, want, schema, path):
    if not isinstance(value, dict):
        return None
    for name, inner in want.items():
        if name in value:
            problem = c.check(value[name], inner, "%s.%s" % (path, name) if path else name)
            if problem:
                return problem
    return None


def _pattern_properties(c, value, want, schema, path):
    if not isinstance(value, dict):
        return None
    for name in value:
        for pattern, inner in want.items():
            problem = re.search(pattern, name) and c.check(value[name], inner, "%s.%s" % (path, name) if path else name)
            if problem:
                return problem
    return None


def _additional(c, value, want, schema, path):
    if not isinstance(value, dict):
        return None
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name in value:
        if name in known or any(re.search(p, name) for p in patterns):
            continue
        at = "%s.%s" % (path, name) if path else name
        if want is False:
            return at, "unknown argument" if not path else "unknown field"
        problem = c.check(value[name], want, at)
        if problem:
            return problem
    return None


def _required(c, value, want, schema, path):
    if isinstance(value, dict):
        for name in want:
            if name not in value:
                return "%s.%s" % (path, name) if path else name, "is required"
    return None


def _property_names(c, value, want, schema, path):
    for name in value if isinstance(value, dict) else ():
        problem = c.check(name, want, path)
        if problem:
            return "%s.%s" % (path, name) if path else name, "is not an allowed name"
    return None


def _dependent_required(c, value, want, schema, path):
    for name, needed in want.items() if isinstance(value, dict) else ():
        problem = name in value and _required(c, value, needed, schema, path)
        if problem:
            return problem
    return None


def _dependent_schemas(c, value, want, schema, path):
    for name, inner in want.items() if isinstance(value, dict) else ():
        problem = name in value and c.check(value, inner, path)
        if problem:
            return problem
    return None


def _items(c, value, want, schema, path):
    if not isinstance(value, list):
        return None
    for i in range(len(schema.get("prefixItems", ())), len(value)):
        problem = c.check(value[i], want, "%s[%d]" % (path, i))
        if problem:
            return problem
    return None


def _prefix_items(c, value, want, schema, path):
    for i, inner in enumerate(want if isinstance(value, list) else ()):
        problem = i < len(value) and c.check(value[i], inner, "%s[%d]" % (path, i))
        if problem:
            return problem
    return None


def _contains(c, value, want, schema, path):
    if not isinstance(value, list):
        return None
    hits = sum(c.check(v, want, path) is None for v in value)
    if hits < schema.get("minContains", 1):
        return path, "holds too few fitting items"
    if hits > schema.get("maxContains", hits):
        return path, "holds too many fitting items"
    return None


def _unique(c, value, want, schema, path):
    if not want or not isinstance(value, list) or len({_key(v) for v in value}) == len(value):
        return None
    return path, "holds an item twice"


def _all_of(c, value, want, schema, path):
    for inner in want:
        problem = c.check(value, inner, path)
        if problem:
            return problem
    return None


def _any_of(c, value, want, schema, path):
    problems = []
    for inner in want:
        problem = c.check(value, inner, path)
        if not problem:
            return None
        problems.append(problem)
    # The alternative that got furthest explains best.
    deepest = max(problems, key=lambda p: len(p[0]))
    if len(deepest[0]) > len(path):
        return deepest
    return path, "; ".join(dict.fromkeys(p[1] for p in problems))


def _one_of(c, value, want, schema, path):
    hits = sum(c.check(value, inner, path) is None for inner in want)
    if hits == 1:
        return None
    return _any_of(c, value, want, schema, path) if hits == 0 else (path, "fits more than one alternative")


def _not(c, value, want, schema, path):
    return (path, "%s is not allowed" % _show(value)) if c.check(value, want, path) is None else None


def _if(c, value, want, schema, path):
    branch = "then" if c.check(value, want, path) is None else "else"
    return c.check(value, schema[branch], path) if branch in schema else None


def _ref(c, value, want, schema, path):
    return c.check(value, c.resolve(want), path)


_JUDGES = {
    "type": _type, "enum": _enum, "const": _const, "$ref": _ref,
    "minimum": _number(lambda v, w: v >= w, "is less than"),
    "maximum": _number(lambda v, w: v <= w, "is greater than"),
    "exclusiveMinimum": _number(lambda v, w: v > w, "is not greater than"),
    "exclusiveMaximum": _number(lambda v, w: v < w, "is not less than"),
    "multipleOf": _number(lambda v, w: abs(v / w - round(v / w)) < 1e-9, "is not a multiple of"),
    "minLength": _sized(str, lambda n, w: n >= w, "is shorter than %d characters"),
    "maxLength": _sized(str, lambda n, w: n <= w, "is longer than %d characters"),
    "minItems": _sized(list, lambda n, w: n >= w, "has fewer than %d items"),
    "maxItems": _sized(list, lambda n, w: n <= w, "has more than %d items"),
    "minProperties": _sized(dict, lambda n, w: n >= w, "has fewer than %d fields"),
    "maxProperties": _sized(dict, lambda n, w: n <= w, "has more than %d fields"),
    "pattern": _pattern, "properties": _properties, "patternProperties": _pattern_properties,
    "additionalProperties": _additional, "required": _required, "propertyNames": _property_names,
    "dependentRequired": _dependent_required, "dependentSchemas": _dependent_schemas,
    "items": _items, "prefixItems": _prefix_items, "contains": _contains, "uniqueItems": _unique,
    "allOf": _all_of, "anyOf": _any_of, "oneOf": _one_of, "not": _not, "if": _if,
}


def _uses(schema, keywords):
    if isinstance(schema, dict):
        return any(k in keywords or _uses(v, keywords) for k, v in schema.items())
    return isinstance(schema, list) and any(_uses(v, keywords) for v in schema)


def _with_library(value, schema):
    import jsonschema

    # A resolver without handlers follows no reference out of the schema.
    resolver = jsonschema.RefResolver("", schema, handlers={s: _no_reference for s in ("http", "https", "ftp", "file")})
    for e in jsonschema.Draft202012Validator(schema, resolver=resolver).iter_errors(value):
        return ".".join(str(p) for p in e.absolute_path), e.message
    return None


def _no_reference(uri):
    raise ValueError("only references inside the schema are followed, not %r" % uri)


def first_problem(value, schema):
    """None, or (path of the field, what is wrong with it)."""
    if _uses(schema, _NEEDS_LIBRARY):
        return _with_library(value, schema)
    return _Checker(schema).check(value, schema, "")
