"""JSON Schema 2020-12, compiled once to functions and then asked for each call.

A compiled schema is a function of a value that gives None, or (path below the value, what is wrong); None instead
of a function means that everything fits.  Every validating keyword is there; `format` and `content…` are
annotations, as the specification has them by default; references stay inside the schema.
"""

import json
import re

from . import errors, patterns

SHOWN_MAX = 8
_NUMBERS = (int, float)
_ONE = ("additionalProperties", "propertyNames", "items", "contains", "not", "if", "then", "else", "unevaluatedItems",
        "unevaluatedProperties", "contentSchema")
_MANY = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")


class SchemaError(ValueError):
    """The schema itself cannot be used."""


def _is_integer(v):
    return isinstance(v, int) and not isinstance(v, bool) or isinstance(v, float) and v.is_integer()


def _is_number(v):
    return isinstance(v, _NUMBERS) and not isinstance(v, bool)


_TYPES = {
    "string": lambda v: isinstance(v, str),
    "integer": _is_integer,
    "number": _is_number,
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
    if isinstance(value, str):
        return "s" + value
    if isinstance(value, list):
        return ("list",) + tuple(_key(v) for v in value)
    if isinstance(value, dict):
        return ("dict",) + tuple(sorted((k, _key(v)) for k, v in value.items()))
    return value


def _equal(a, b):
    return _key(a) == _key(b)


def _below(step, problem):
    """A problem of a part, seen from the whole."""
    return ("[%d]" % step if isinstance(step, int) else ".%s" % step) + problem[0], problem[1]


# ---- keywords: (compiler, what the keyword says, the schema around it) -> function or None ----


def _type(c, want, schema):
    names = [want] if isinstance(want, str) else want
    try:
        tests = [_TYPES[name] for name in names]
    except (KeyError, TypeError):
        raise SchemaError("unknown type %s" % _show(want)) from None
    text = " or ".join(names)
    test = tests[0] if len(tests) == 1 else lambda v: any(t(v) for t in tests)

    def judge(value):
        return None if test(value) else ("", "%s is not of type %s" % (_show(value), text))

    return judge


def _enum(c, want, schema):
    keys = [_key(w) for w in want]

    def judge(value):
        if _key(value) in keys:
            return None
        return "", "%s is not one of %s" % (_show(value), ", ".join(_show(w) for w in want))

    return judge


def _const(c, want, schema):
    key = _key(want)
    return lambda value: None if _key(value) == key else ("", "%s is not %s" % (_show(value), _show(want)))


def _number(test, text):
    def maker(c, want, schema):
        def judge(value):
            if not _is_number(value) or test(value, want):
                return None
            return "", "%s %s %s" % (_show(value), text, _show(want))

        return judge

    return maker


def _is_multiple(value, of):
    if isinstance(value, int) and isinstance(of, int):
        return value % of == 0
    from decimal import Context, Decimal

    exact = Context(prec=1000)  # more digits than any two floats need
    return exact.remainder(Decimal(repr(value)), Decimal(repr(of))) == 0


def _sized(kind, test, text):
    def maker(c, want, schema):
        def judge(value):
            return None if not isinstance(value, kind) or test(len(value), want) else ("", text % want)

        return judge

    return maker


def _pattern(c, want, schema):
    search = c.pattern(want)

    def judge(value):
        if not isinstance(value, str) or search(value):
            return None
        return "", "%s does not match %s" % (_show(value), want)

    return judge


def _properties(c, want, schema):
    known = [(name, node) for name, node in ((n, c.node(inner)) for n, inner in want.items()) if node]

    def judge(value):
        if isinstance(value, dict):
            for name, node in known:
                problem = name in value and node(value[name])
                if problem:
                    return _below(name, problem)
        return None

    return judge


def _pattern_properties(c, want, schema):
    rows = [(c.pattern(pattern), c.node(inner)) for pattern, inner in want.items()]

    def judge(value):
        for name in value if isinstance(value, dict) else ():
            for search, node in rows:
                problem = node and search(name) and node(value[name])
                if problem:
                    return _below(name, problem)
        return None

    return judge


def _additional(c, want, schema):
    known = frozenset(schema.get("properties", ()))
    searches = [c.pattern(p) for p in schema.get("patternProperties", ())]
    node = c.node(want)

    def judge(value):
        for name in value if isinstance(value, dict) and node else ():
            if name in known or any(search(name) for search in searches):
                continue
            problem = node(value[name])
            if problem:
                return _below(name, ("", "unknown name") if want is False else problem)
        return None

    return judge


def _required(c, want, schema):
    def judge(value):
        for name in want if isinstance(value, dict) else ():
            if name not in value:
                return _below(name, ("", "is required"))
        return None

    return judge


def _property_names(c, want, schema):
    node = c.node(want)

    def judge(value):
        for name in value if isinstance(value, dict) and node else ():
            problem = node(name)
            if problem:
                return _below(name, ("", "is not an allowed name: %s" % problem[1]))
        return None

    return judge


def _dependent_required(c, want, schema):
    rows = [(name, _required(c, needed, schema)) for name, needed in want.items()]
    return lambda value: c.first(value, [node for name, node in rows if isinstance(value, dict) and name in value])


def _dependent_schemas(c, want, schema):
    rows = [(name, c.node(inner)) for name, inner in want.items()]
    return lambda value: c.first(value, [node for name, node in rows if isinstance(value, dict) and name in value])


def _items(c, want, schema):
    first, node = len(schema.get("prefixItems", ())), c.node(want)

    def judge(value):
        if isinstance(value, list) and node:
            for i in range(first, len(value)):
                problem = node(value[i])
                if problem:
                    return _below(i, ("", "is one item too many") if want is False else problem)
        return None

    return judge


def _prefix_items(c, want, schema):
    nodes = [c.node(inner) for inner in want]

    def judge(value):
        for i, node in enumerate(nodes if isinstance(value, list) else ()):
            problem = node and i < len(value) and node(value[i])
            if problem:
                return _below(i, problem)
        return None

    return judge


def _contains(c, want, schema):
    node, least, most = c.node(want), schema.get("minContains", 1), schema.get("maxContains")

    def judge(value):
        if not isinstance(value, list):
            return None
        hits = sum(node is None or node(v) is None for v in value)
        if hits < least:
            return "", "holds %d fitting items, fewer than %d" % (hits, least)
        if most is not None and hits > most:
            return "", "holds %d fitting items, more than %d" % (hits, most)
        return None

    return judge


def _unique(c, want, schema):
    def judge(value):
        if not isinstance(value, list) or len({_key(v) for v in value}) == len(value):
            return None
        return "", "holds an item twice"

    return judge if want else None


def _all_of(c, want, schema):
    nodes = [c.node(inner) for inner in want]
    return lambda value: c.first(value, nodes)


def _best(problems):
    """The alternative that got furthest explains best."""
    deepest = max(problems, key=lambda p: p[0].count(".") + p[0].count("["))
    if deepest[0]:
        return deepest
    return "", "; ".join(dict.fromkeys(p[1] for p in problems))


def _any_of(c, want, schema):
    nodes = [c.node(inner) for inner in want]

    def judge(value):
        problems = []
        for node in nodes:
            problem = node and node(value)
            if not problem:
                return None
            problems.append(problem)
        return _best(problems)

    return judge


def _one_of(c, want, schema):
    nodes = [c.node(inner) for inner in want]

    def judge(value):
        found = [node and node(value) for node in nodes]
        hits = sum(not problem for problem in found)
        if hits == 1:
            return None
        return _best(found) if hits == 0 else ("", "fits %d alternatives instead of one" % hits)

    return judge


def _not(c, want, schema):
    node = c.node(want)
    return lambda value: None if node and node(value) else ("", "%s is not allowed" % _show(value))


def _if(c, want, schema):
    test, then, other = c.node(want), c.node(schema.get("then", True)), c.node(schema.get("else", True))

    def judge(value):
        branch = other if test and test(value) else then
        return branch and branch(value)

    return judge


def _ref(c, want, schema):
    return c.later(c.resolve(want, schema))


def _dynamic_ref(c, want, schema):
    target = c.resolve(want, schema)
    name = want.partition("#")[2]
    if not isinstance(target, dict) or target.get("$dynamicAnchor") != name:
        return c.later(target)
    return lambda value: c.enter(c.outermost(name, target), value)


def _unevaluated_properties(c, want, schema):
    node = c.node(want)

    def judge(value):
        if not isinstance(value, dict) or not node:
            return None
        known = c.evaluated_names(schema, value, ("unevaluatedProperties",))
        for name in value:
            problem = name not in known and node(value[name])
            if problem:
                return _below(name, ("", "unknown name") if want is False else problem)
        return None

    return judge


def _unevaluated_items(c, want, schema):
    node = c.node(want)

    def judge(value):
        if not isinstance(value, list) or not node:
            return None
        known = c.evaluated_items(schema, value, ("unevaluatedItems",))
        for i, item in enumerate(value):
            problem = i not in known and node(item)
            if problem:
                return _below(i, ("", "is one item too many") if want is False else problem)
        return None

    return judge


# In the order in which they are judged: what explains most comes first.
_MAKERS = {
    "type": _type, "enum": _enum, "const": _const, "$ref": _ref, "$dynamicRef": _dynamic_ref,
    "minimum": _number(lambda v, w: v >= w, "is less than"),
    "maximum": _number(lambda v, w: v <= w, "is greater than"),
    "exclusiveMinimum": _number(lambda v, w: v > w, "is not greater than"),
    "exclusiveMaximum": _number(lambda v, w: v < w, "is not less than"),
    "multipleOf": _number(_is_multiple, "is not a multiple of"),
    "minLength": _sized(str, lambda n, w: n >= w, "is shorter than %d characters"),
    "maxLength": _sized(str, lambda n, w: n <= w, "is longer than %d characters"),
    "pattern": _pattern,
    "minItems": _sized(list, lambda n, w: n >= w, "has fewer than %d items"),
    "maxItems": _sized(list, lambda n, w: n <= w, "has more than %d items"),
    "minProperties": _sized(dict, lambda n, w: n >= w, "has fewer than %d fields"),
    "maxProperties": _sized(dict, lambda n, w: n <= w, "has more than %d fields"),
    "required": _required, "properties": _properties, "patternProperties": _pattern_properties,
    "additionalProperties": _additional, "propertyNames": _property_names,
    "dependentRequired": _dependent_required, "dependentSchemas": _dependent_schemas,
    "prefixItems": _prefix_items, "items": _items, "contains": _contains, "uniqueItems": _unique,
    "allOf": _all_of, "anyOf": _any_of, "oneOf": _one_of, "not": _not, "if": _if,
    "unevaluatedProperties": _unevaluated_properties, "unevaluatedItems": _unevaluated_items,
}


def _parts(schema):
    """The schemas directly inside one."""
    for keyword, inner in schema.items():
        if keyword in _ONE:
            yield inner
        elif keyword in _MANY and isinstance(inner, list):
            yield from inner
        elif keyword in _NAMED and isinstance(inner, dict):
            yield from inner.values()


def _join(base, reference):
    if reference.startswith("#") or not base and not reference:
        return base + reference
    from urllib.parse import urljoin  # only for schemas with identifiers

    return urljoin(base, reference)


class _Compiler:
    def __init__(self, root):
        self.root = root
        self.bases, self.resources, self.anchors = {}, {}, {}
        self.nodes, self.patterns, self.scope = {}, {}, []
        self._index(root, "")

    def _index(self, schema, base):
        if not isinstance(schema, dict) or id(schema) in self.bases:
            return
        if isinstance(schema.get("$id"), str):
            base = _join(base, schema["$id"]).rstrip("#")
        self.bases[id(schema)] = base
        self.resources.setdefault(base, schema)
        for keyword in ("$anchor", "$dynamicAnchor"):
            if keyword in schema:
                self.anchors[base, schema[keyword]] = schema
        for inner in _parts(schema):
            self._index(inner, base)

    # ---- references ----

    def resolve(self, reference, schema):
        base, _, fragment = _join(self.bases[id(schema)], reference).partition("#")
        at = self.resources.get(base)
        if at is None:
            raise SchemaError("only references inside the schema are followed, not %r" % reference)
        if fragment and not fragment.startswith("/"):
            at = self.anchors.get((base, fragment))
            if at is None:
                raise SchemaError("nothing in the schema is named by %r" % reference)
            return at
        return self._walk(at, fragment, reference, base)

    def _walk(self, at, pointer, reference, base):
        if "%" in pointer:
            from urllib.parse import unquote

            pointer = unquote(pointer)
        for part in pointer.split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            try:
                at = at[int(part)] if isinstance(at, list) else at[part]
            except (KeyError, IndexError, ValueError, TypeError):
                raise SchemaError("nothing in the schema is named by %r" % reference) from None
        self._index(at, base)
        return at

    def outermost(self, name, found):
        """What a dynamic reference means: the outermost schema of that name on the way here."""
        for base in self.scope:
            if self.anchors.get((base, name), {}).get("$dynamicAnchor") == name:
                return self.anchors[base, name]
        return found

    def enter(self, schema, value):
        node = self.node(schema)
        return node and node(value)

    def later(self, target):
        """Compiled when it is first asked for: schemas refer to themselves."""
        return lambda value: self.enter(target, value)

    # ---- compilation ----

    def pattern(self, text):
        if text not in self.patterns:
            try:
                self.patterns[text] = re.compile(patterns.to_python(text)).search
            except (re.error, OverflowError, RecursionError) as e:
                raise SchemaError("the pattern %s cannot be used: %s" % (_show(text), e)) from None
        return self.patterns[text]

    def node(self, schema):
        if schema is True or schema == {}:
            return None
        if schema is False:
            return lambda value: ("", "is not allowed")
        if not isinstance(schema, dict):
            raise SchemaError("%s is no schema" % _show(schema))
        if id(schema) not in self.nodes:
            self.nodes[id(schema)] = self._compile(schema)
        return self.nodes[id(schema)]

    def _compile(self, schema):
        judges = []
        for keyword, maker in _MAKERS.items():
            if keyword in schema:
                try:
                    judge = maker(self, schema[keyword], schema)
                except (TypeError, AttributeError, ValueError) as e:
                    if isinstance(e, SchemaError):
                        raise
                    raise SchemaError("%s says %s" % (keyword, _show(schema[keyword]))) from None
                if judge:
                    judges.append(judge)
        if not judges:
            return None
        node = judges[0] if len(judges) == 1 else lambda value: self.first(value, judges)
        return self._in_scope(schema, node)

    def _in_scope(self, schema, node):
        """Dynamic references look at the resources on the way: each one that is entered is noted."""
        base = self.bases.get(id(schema), "")
        if len(self.resources) < 2:
            return node

        def inside(value):
            self.scope.append(base)
            try:
                return node(value)
            finally:
                self.scope.pop()

        return inside

    @staticmethod
    def first(value, nodes):
        for node in nodes:
            problem = node and node(value)
            if problem:
                return problem
        return None

    def fits(self, schema, value):
        return not self.enter(schema, value)

    # ---- what the keywords of a schema have looked at ----

    def _applied(self, schema, value):
        """The schemas that judge the same value and hold."""
        for keyword in ("$ref", "$dynamicRef"):
            if keyword in schema:
                target = self.resolve(schema[keyword], schema)
                name = schema[keyword].partition("#")[2]
                if keyword == "$dynamicRef" and target.get("$dynamicAnchor") == name:
                    target = self.outermost(name, target)
                yield target
        for keyword in ("allOf", "anyOf", "oneOf"):
            yield from (inner for inner in schema.get(keyword, ()) if self.fits(inner, value))
        if "if" in schema:
            is_met = self.fits(schema["if"], value)
            if is_met:
                yield schema["if"]
            yield schema.get("then" if is_met else "else", True)
        for name, inner in schema.get("dependentSchemas", {}).items():
            if isinstance(value, dict) and name in value:
                yield inner

    def evaluated_names(self, schema, value, skipped=()):
        if not isinstance(schema, dict):
            return set()
        if "unevaluatedProperties" in schema and not skipped or "additionalProperties" in schema:
            return set(value)
        found = {name for name in schema.get("properties", ()) if name in value}
        for pattern in schema.get("patternProperties", ()):
            found.update(filter(self.pattern(pattern), value))
        for inner in self._applied(schema, value):
            found |= self.evaluated_names(inner, value)
        return found

    def evaluated_items(self, schema, value, skipped=()):
        if not isinstance(schema, dict):
            return set()
        if "unevaluatedItems" in schema and not skipped or "items" in schema:
            return set(range(len(value)))
        found = set(range(min(len(schema.get("prefixItems", ())), len(value))))
        if "contains" in schema:
            found.update(i for i, item in enumerate(value) if self.fits(schema["contains"], item))
        for inner in self._applied(schema, value):
            found |= self.evaluated_items(inner, value)
        return found


def _is_size(v):
    return _is_integer(v) and v >= 0


def _is_names(v):
    return isinstance(v, list) and all(isinstance(name, str) for name in v)


# What the values of keywords must be, where compiling them alone would not tell.
_OPERANDS = {
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), (_is_number, "a number")),
    "multipleOf": (lambda v: _is_number(v) and v > 0, "a number above 0"),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains",
                     "maxContains"), (_is_size, "a whole number that is not negative")),
    "uniqueItems": (lambda v: isinstance(v, bool), "true or false"),
    "required": (_is_names, "a list of names"),
    "enum": (lambda v: isinstance(v, list), "a list"),
    "dependentRequired": (lambda v: isinstance(v, dict) and all(map(_is_names, v.values())), "an object of lists of names"),
    **dict.fromkeys(("$ref", "$dynamicRef", "$id", "$anchor", "$dynamicAnchor", "pattern"),
                    (lambda v: isinstance(v, str), "a text")),
    **dict.fromkeys(_MANY, (lambda v: isinstance(v, list) and v, "a list of schemas")),
    **dict.fromkeys(_NAMED, (lambda v: isinstance(v, dict), "an object of schemas")),
}


def _check(compiler, schema):
    """Every schema inside, used or not."""
    for keyword, (test, text) in _OPERANDS.items() if isinstance(schema, dict) else ():
        if keyword in schema and not test(schema[keyword]):
            raise SchemaError("%s must be %s, not %s" % (keyword, text, _show(schema[keyword])))
    for inner in _parts(schema) if isinstance(schema, dict) else ():
        _check(compiler, inner)
    compiler.node(schema)
    for keyword in ("$ref", "$dynamicRef"):
        if isinstance(schema, dict) and keyword in schema:
            compiler.node(compiler.resolve(schema[keyword], schema))


def fault(schema):
    """Why a schema cannot be used, or "": what Checker would say of it when it is asked."""
    try:
        _check(_Compiler(schema), schema)
    except SchemaError as e:
        return str(e)
    except RecursionError:
        return "nested too deep"
    except (TypeError, AttributeError):  # of names and references that are no text: before anything was checked
        return "a keyword has a value of another kind"
    return ""


class Checker:
    """One schema, compiled.  What is wrong with the schema itself is kept until somebody asks."""

    def __init__(self, schema):
        self.failure = self.node = self.compiler = None
        try:
            if schema is not None:
                self.compiler = _Compiler(schema)
                self.node = self.compiler.node(schema)
        except SchemaError as e:
            self.failure = str(e)
        except RecursionError:
            self.failure = "nested too deep"

    def problem(self, value):
        """None, or (path of the field, what is wrong with it)."""
        if self.node is None and self.failure is None:
            return None
        try:
            if self.failure is not None:
                raise SchemaError(self.failure)
            problem = self.node(value)
        except RecursionError:
            raise errors.Refused("SchemaError", "the tool's schema refers to itself without end") from None
        except (SchemaError, TypeError, AttributeError) as e:  # a keyword whose value is of another kind
            raise errors.Refused("SchemaError", "the tool's schema cannot be used: %s" % e) from None
        return problem and (problem[0].removeprefix("."), problem[1])

    def demand(self, values):
        """Refused, naming the field, unless these are arguments that fit."""
        if not isinstance(values, dict):
            raise errors.Refused("ArgumentError", "arguments must be an object")
        problem = self.problem(values)
        if problem:
            found = self._all(values, problem)
            shown = ["%s: %s" % (path.removeprefix(".") or "arguments", text) for path, text in found[:SHOWN_MAX]]
            if len(found) > SHOWN_MAX:
                shown.append("and %d more" % (len(found) - SHOWN_MAX))
            raise errors.Refused("ArgumentError", "; ".join(shown))

    def _all(self, values, first):
        """One problem for each argument, where the schema is an object's as main's signature gives it."""
        c, schema = self.compiler, self.compiler.root
        if not isinstance(schema, dict):
            return [first]
        try:
            found = [("." + name, "is required") for name in schema.get("required", ()) if name not in values]
            for maker, keyword in ((_properties, "properties"), (_additional, "additionalProperties")):
                judge = keyword in schema and maker(c, schema[keyword], schema)
                found += filter(None, (judge({name: value}) for name, value in values.items()) if judge else ())
        except Exception:
            return [first]
        return found if any(path.removeprefix(".") == first[0] for path, _ in found) else [first] + found
