"""Input and output schema of a tool's main, read from its source.  Nothing of the source is run."""

import ast
import builtins

from . import docstring, validate

SKIPPED = ("self", "cls", "http")
DEPTH_MAX = 20
WARNINGS_MAX = 20
_GLOBALS = frozenset(("arguments", "datetime", "http", "json", "mcp", "secrets"))  # of every tool (tool.py)

_SCALARS = {
    "str": {"type": "string"}, "int": {"type": "integer"}, "float": {"type": "number"}, "bool": {"type": "boolean"},
    "None": {"type": "null"}, "NoneType": {"type": "null"}, "bytes": {"type": "string", "contentEncoding": "base64"},
    "list": {"type": "array"}, "List": {"type": "array"}, "Sequence": {"type": "array"}, "Iterable": {"type": "array"},
    "MutableSequence": {"type": "array"}, "Collection": {"type": "array"},
    "set": {"type": "array", "uniqueItems": True}, "Set": {"type": "array", "uniqueItems": True},
    "frozenset": {"type": "array", "uniqueItems": True}, "FrozenSet": {"type": "array", "uniqueItems": True},
    "dict": {"type": "object"}, "Dict": {"type": "object"}, "Mapping": {"type": "object"},
    "MutableMapping": {"type": "object"}, "OrderedDict": {"type": "object"}, "defaultdict": {"type": "object"},
    "Any": {}, "object": {},
    "datetime": {"type": "string", "format": "date-time"}, "date": {"type": "string", "format": "date"},
    "time": {"type": "string", "format": "time"}, "UUID": {"type": "string", "format": "uuid"},
    "Decimal": {"type": ["string", "number"]},
}
_WRAPPERS = ("Required", "NotRequired", "Final", "ClassVar", "InitVar", "ReadOnly")
_TUPLES = ("tuple", "Tuple", "NamedTuple")
_ENUMS = ("Enum", "IntEnum", "StrEnum")
# What an Annotated[...] may say about the value, by the names that pydantic and annotated_types use.
_CONSTRAINTS = {
    "description": "description", "title": "title", "examples": "examples", "pattern": "pattern",
    "ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum", "multiple_of": "multipleOf",
}
_LENGTHS = {"min_length": ("minLength", "minItems"), "max_length": ("maxLength", "maxItems")}
_JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


class Refused(Exception):
    """A signature that arguments by name cannot fill; the text says why."""

    def __init__(self, text, line):
        super().__init__(text)
        self.line = line


def _last_name(node):
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else None


def _literal(node):
    """(True, value) for a literal that JSON knows."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False, None
    value = _as_json(value)
    return _is_json(value), value


def _as_json(value):
    """As a client would write it; what has no such form stays."""
    if isinstance(value, (bytes, bytearray)):
        import base64

        return base64.b64encode(value).decode()
    if isinstance(value, (set, frozenset)):
        try:
            return sorted(value)
        except TypeError:
            return list(value)
    return value


def _made(name, arguments):
    """The JSON form of what a call of a well-known class gives; raises what that raises."""
    import datetime
    import decimal
    import uuid

    makers = {
        "date": lambda *a: datetime.date(*a).isoformat(), "time": lambda *a: datetime.time(*a).isoformat(),
        "datetime": lambda *a: datetime.datetime(*a).isoformat(), "Decimal": lambda *a: str(decimal.Decimal(*a)),
        "UUID": lambda *a: str(uuid.UUID(*a)), "set": lambda *a: _as_json(set(*a)), "frozenset": lambda *a: _as_json(set(*a)),
        "list": lambda *a: list(*a), "dict": lambda *a: dict(*a),
    }
    return makers[name](*arguments)


def _is_json(value):
    if isinstance(value, (list, tuple)):
        return all(_is_json(v) for v in value)
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_json(v) for k, v in value.items())
    return type(value) in _JSON_TYPES and value == value and value not in (float("inf"), float("-inf"))


def _enum_schema(values):
    schema = {"enum": values}
    kinds = {type(v) for v in values}
    if len(kinds) == 1:
        schema = {"type": _JSON_TYPES[kinds.pop()], "enum": values}
    return schema


def _names_in(tree):
    """All names that the source makes, wherever; None where it imports everything of a module."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            if node.name == "*":
                return None
            found.add(node.asname or node.name.partition(".")[0])
        else:
            found.update(p.name for p in getattr(node, "type_params", ()))  # Python 3.12
    return found


class _Module:
    """The names of the source that annotations may mean."""

    def __init__(self, tree):
        self.classes, self.aliases, self.imported = {}, {}, {}
        self.defined = _names_in(tree)
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                self.classes[node.name] = node
            elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                self.aliases[node.targets[0].id] = node.value
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    self.imported[alias.asname or alias.name] = alias.name
            elif type(node).__name__ == "TypeAlias":  # Python 3.12
                self.aliases[node.name.id] = node.value

    def name_of(self, node):
        name = _last_name(node)
        return self.imported.get(name, name) if isinstance(node, ast.Name) else name

    def undefined_in(self, annotation):
        """Names in it that nothing makes."""
        if annotation is None or self.defined is None:
            return []
        names = (node.id for node in ast.walk(annotation) if isinstance(node, ast.Name))
        return [n for n in dict.fromkeys(names) if n not in self.defined and n not in _GLOBALS and not hasattr(builtins, n)]

    def base_names(self, cls):
        return [self.name_of(b) for b in cls.bases]

    def is_enum(self, cls):
        return any(b in _ENUMS for b in self.base_names(cls))

    def is_dataclass(self, cls):
        return any(
            self.name_of(d.func if isinstance(d, ast.Call) else d) == "dataclass" for d in cls.decorator_list
        )

    def is_typed_dict(self, cls):
        return any(
            b == "TypedDict" or b in self.classes and self.is_typed_dict(self.classes[b])
            for b in self.base_names(cls) if b != cls.name
        )

    def enum_members(self, cls):
        members, number = {}, 0
        for node in cls.body:
            if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)):
                continue
            name = node.targets[0].id
            if name.startswith("_"):
                continue
            good, value = _literal(node.value)
            if not good and isinstance(node.value, ast.Call) and self.name_of(node.value.func) == "auto":
                number += 1
                good, value = True, name.lower() if "StrEnum" in self.base_names(cls) else number
            if good:
                members[name] = value
        return members


class _Types:
    """Annotations -> schemas."""

    def __init__(self, module):
        self.module = module
        self.open = []  # classes being described: one that holds itself is referred to
        self.shared = {}  # name -> schema of the classes that hold themselves
        self.unknown = []  # annotations that say nothing here, as they are written

    def schema(self, node, depth=0):
        """A schema, or None for what is not known."""
        if node is None:
            return None
        told = len(self.unknown)
        schema = self._read(node, depth) if depth <= DEPTH_MAX else None
        if schema is None and len(self.unknown) == told:
            self.unknown.append(ast.unparse(node))
        return schema

    def _read(self, node, depth):
        if isinstance(node, ast.Constant):
            return self._constant(node, depth)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return self._union([node.left, node.right], depth)
        if isinstance(node, ast.Subscript):
            return self._subscript(node, depth)
        return self._named(node, depth)

    def _constant(self, node, depth):
        if node.value is None:
            return {"type": "null"}
        if not isinstance(node.value, str):
            return None
        try:
            return self.schema(ast.parse(node.value, mode="eval").body, depth + 1)
        except (SyntaxError, ValueError):
            return None

    def _named(self, node, depth):
        name = self.module.name_of(node)
        if isinstance(node, ast.Name) and name in self.module.classes:
            return self._class(self.module.classes[name], depth)
        if isinstance(node, ast.Name) and node.id in self.module.aliases:
            return self.schema(self.module.aliases[node.id], depth + 1)
        if name in _TUPLES:
            raise Refused("tuple parameters cannot be described to a client; use a list or a dataclass", node.lineno)
        return dict(_SCALARS[name]) if name in _SCALARS else self._made(node, depth)

    def _made(self, node, depth):
        """UserId = NewType("UserId", int)"""
        if isinstance(node, ast.Call) and self.module.name_of(node.func) == "NewType" and len(node.args) == 2:
            return self.schema(node.args[1], depth + 1)
        return None

    def _class(self, cls, depth):
        if self.module.is_enum(cls):
            return _enum_schema(list(self.module.enum_members(cls).values()))
        if "NamedTuple" in self.module.base_names(cls):
            raise Refused("tuple parameters cannot be described to a client; use a list or a dataclass", cls.lineno)
        if not (self.module.is_dataclass(cls) or self.module.is_typed_dict(cls)):
            return None
        reference = {"$ref": "#/$defs/%s" % cls.name}
        if cls.name in self.open:
            self.shared.setdefault(cls.name, None)
            return reference
        if self.shared.get(cls.name):
            return reference
        self.open.append(cls.name)
        try:
            made = self._object(cls, depth)
        finally:
            self.open.pop()
        if cls.name not in self.shared:
            return made
        self.shared[cls.name] = made
        return reference

    def whole(self, schema):
        """The schema with what it refers to."""
        return {**schema, "$defs": dict(self.shared)} if self.shared and schema is not None else schema

    def _object(self, cls, depth):
        properties, required = {}, []
        self._collect(cls, depth, properties, required)
        schema = {"type": "object", "properties": properties}
        text = docstring.parse(ast.get_docstring(cls, clean=False))[0]
        if text:
            schema["description"] = text
        if required:
            schema["required"] = required
        schema["additionalProperties"] = False
        return schema

    def _collect(self, cls, depth, properties, required):
        for base in self.module.base_names(cls):
            if base in self.module.classes and base != cls.name and depth < DEPTH_MAX:
                self._collect(self.module.classes[base], depth + 1, properties, required)
        total = not any(
            k.arg == "total" and isinstance(k.value, ast.Constant) and k.value.value is False for k in cls.keywords
        )
        described = docstring.parse(ast.get_docstring(cls, clean=False))[1]
        for node, text in self._fields(cls):
            name, wrapper = node.target.id, self._wrapper(node.annotation)
            schema = self.schema(node.annotation, depth + 1)
            properties[name] = {} if schema is None else schema
            text = described.get(name) or text
            if text and "$ref" not in properties[name]:
                properties[name].setdefault("description", text)
            self._add_default(node.value, properties[name])
            needed = not self._has_default(node.value) if self.module.is_dataclass(cls) else wrapper == "Required" or (
                total and wrapper != "NotRequired")
            if needed and name not in required:
                required.append(name)

    def _fields(self, cls):
        """(annotated assignment, the text that describes it) of the fields that a value is made from."""
        for i, node in enumerate(cls.body):
            if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
                continue
            if self._wrapper(node.annotation) == "ClassVar" or self.module.name_of(node.annotation) == "KW_ONLY":
                continue
            told = self._told(node.value)
            if told.get("init") is False:
                continue
            below = cls.body[i + 1] if i + 1 < len(cls.body) else None
            is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
            metadata = told.get("metadata")
            text = metadata.get("description") if isinstance(metadata, dict) else None
            yield node, text or (below.value.value.strip() if is_text else None)

    def _has_default(self, node):
        if isinstance(node, ast.Call) and self.module.name_of(node.func) == "field":
            return any(k.arg in ("default", "default_factory") for k in node.keywords)
        return node is not None

    def _told(self, node):
        """The literal keywords of field(...)."""
        if not (isinstance(node, ast.Call) and self.module.name_of(node.func) == "field"):
            return {}
        found = ((k.arg, _literal(k.value)) for k in node.keywords)
        return {name: value for name, (good, value) in found if good}

    def _wrapper(self, node):
        return self.module.name_of(node.value) if isinstance(node, ast.Subscript) else None

    def _add_default(self, node, schema):
        good, value = self.default(node)
        if good:
            schema["default"] = value

    def default(self, node, depth=0):
        """(True, value) of a default that JSON knows; members of the source's enums count as their values."""
        if node is None:
            return False, None
        if isinstance(node, ast.Call) and self.module.name_of(node.func) == "field":
            return self.default(next((k.value for k in node.keywords if k.arg == "default"), None))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            cls = self.module.classes.get(node.value.id)
            members = self.module.enum_members(cls) if cls and self.module.is_enum(cls) else {}
            return (True, members[node.attr]) if node.attr in members else (False, None)
        if isinstance(node, ast.Name) and node.id in self.module.aliases and depth < DEPTH_MAX:
            return self.default(self.module.aliases[node.id], depth + 1)  # LIMIT = 10; def main(n: int = LIMIT)
        if isinstance(node, ast.Call) and not node.keywords:
            return self._default_made(node)
        return _literal(node)

    def _default_made(self, node):
        """date(2026, 1, 2), Decimal("1.5"): shown as a client would write them."""
        arguments = []
        for argument in node.args:
            try:
                arguments.append(ast.literal_eval(argument))
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                return False, None
        try:
            value = _made(self.module.name_of(node.func), arguments)
        except Exception:  # another class, or one that refuses its arguments
            return False, None
        return _is_json(value), value

    def _union(self, nodes, depth):
        options = []
        for node in nodes:
            schema = self.schema(node, depth + 1)
            if schema is None or schema == {}:
                return schema
            for option in schema["anyOf"] if set(schema) == {"anyOf"} else [schema]:
                if option not in options:
                    options.append(option)
        return options[0] if len(options) == 1 else {"anyOf": options}

    def _subscript(self, node, depth):
        name = self.module.name_of(node.value)
        items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if name == "Optional":
            return self._union([items[0], ast.Constant(None)], depth)
        if name == "Union":
            return self._union(items, depth)
        if name == "Literal":
            return self._choices(items)
        if name == "Annotated":
            return self._annotated(items, depth)
        if name in _WRAPPERS:
            return self.schema(items[0], depth + 1)
        if name in _TUPLES:
            raise Refused("tuple parameters cannot be described to a client; use a list or a dataclass", node.lineno)
        return self._container(_SCALARS.get(name), items, depth)

    def _choices(self, items):
        values = []
        for item in items:
            good, value = self.default(item)
            if not good:
                return None
            values.append(value)
        return _enum_schema(values)

    def _annotated(self, items, depth):
        schema = self.schema(items[0], depth + 1)
        said = {}
        for item in items[1:]:
            for keyword, value in self._metadata(item).items():
                said.setdefault(keyword, value)
        kind = (schema or {}).get("type")
        for name, (of_text, of_items) in _LENGTHS.items():
            if name in said:
                said[of_items if kind == "array" else of_text] = said.pop(name)
        return {**(schema or {}), **said} if said else schema

    def description_in(self, node):
        """What an Annotated[...] says about the parameter itself."""
        if isinstance(node, ast.Name) and node.id in self.module.aliases:
            node = self.module.aliases[node.id]
        if not isinstance(node, ast.Subscript) or self.module.name_of(node.value) != "Annotated":
            return None
        items = node.slice.elts if isinstance(node.slice, ast.Tuple) else []
        return next(filter(None, (self._metadata(item).get("description") for item in items[1:])), None)

    def _metadata(self, item):
        """A text is the description; a dict literal is JSON Schema; a call's keywords are read where they are known."""
        good, value = _literal(item)
        if good:
            return value if isinstance(value, dict) else {"description": value} if isinstance(value, str) else {}
        if not isinstance(item, ast.Call):
            return {}
        name, found = self.module.name_of(item.func), {}
        for keyword, node in [(k.arg, k.value) for k in item.keywords] + [(name.lower(), a) for a in item.args[:1]]:
            good, value = _literal(node)
            keyword = "description" if keyword in ("doc", "documentation") else keyword
            if good and (keyword in _CONSTRAINTS or keyword in _LENGTHS):
                found[_CONSTRAINTS.get(keyword, keyword)] = value
        return found

    def _container(self, base, items, depth):
        if base is None:
            return None
        schema = dict(base)
        inner = self.schema(items[-1], depth + 1)
        if base.get("type") == "array" and inner:
            schema["items"] = inner
        if base.get("type") == "object" and len(items) == 2 and inner:
            schema["additionalProperties"] = inner
        return schema


def _find_main(tree):
    found = None
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == "main":
            found = node
    return found


def _parameters(main):
    """(argument, default or None, has a default) in order."""
    a = main.args
    ordered = a.posonlyargs + a.args
    defaults = [None] * (len(ordered) - len(a.defaults)) + list(a.defaults)
    return list(zip(ordered, defaults)) + list(zip(a.kwonlyargs, a.kw_defaults))


def _parameter_schema(types, arg, default):
    schema = types.schema(arg.annotation)
    has_value, value = types.default(default)
    if schema is None and arg.annotation is None and has_value and value is not None:
        schema = {"type": _JSON_TYPES.get(type(value))} if type(value) in _JSON_TYPES else types.schema(
            ast.Name(type(value).__name__ if not isinstance(value, tuple) else "list"))
    if schema is None:
        schema = {"type": "string"}
    if has_value:
        if value is None and not _takes_null(schema):
            schema = {"anyOf": [schema, {"type": "null"}]}  # `x: int = None` means Optional
        schema = {**schema, "default": value}
    return schema


def _takes_null(schema):
    options = schema.get("anyOf", [schema])
    return any(not o or o.get("type") == "null" or None in o.get("enum", ()) for o in options)


def _is_optional(arg, default, schema):
    return default is not None or arg.annotation is not None and {"type": "null"} in schema.get("anyOf", ())


def _warnings(types, arg, schema):
    """What will hardly be meant, of one parameter."""
    found = ["'%s' is not defined, so every call fails" % name for name in types.module.undefined_in(arg.annotation)]
    if not found:
        found += ["the type %s is not known here: %s; main gets the value as it came" % (
            text[:100], "the schema says string" if schema.get("type") == "string" else "the schema says nothing of it")
            for text in dict.fromkeys(types.unknown)]
    if arg.annotation is not None and "default" in schema and not found:
        problem = validate.Checker(types.whole(schema)).problem(schema["default"])
        if problem:
            found.append("its default does not fit its type: %s" % problem[1])
    return ["%s (line %d): %s" % (arg.arg[:100], arg.lineno, text) for text in found]


def _input_schema(types, main, described, warnings):
    properties, required = {}, []
    if main.args.vararg:
        raise Refused("*%s cannot be filled: arguments come by name" % main.args.vararg.arg, main.lineno)
    for arg, default in _parameters(main):
        if arg.arg in SKIPPED:
            continue
        types.unknown.clear()
        schema = _parameter_schema(types, arg, default)
        warnings += _warnings(types, arg, schema)
        inherited = schema.pop("description", None)  # of its class, unless Annotated says it
        text = types.description_in(arg.annotation) or described.get(arg.arg) or inherited or "Parameter: %s" % arg.arg
        properties[arg.arg] = {"description": text, **schema}
        if not _is_optional(arg, default, schema):
            required.append(arg.arg)
    schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    schema["additionalProperties"] = main.args.kwarg is not None
    return types.whole(schema)


def _is_concrete(schema):
    """Says something about what is inside."""
    if not schema:
        return False
    if "$ref" in schema:
        return True
    kind = schema.get("type")
    if kind == "object":
        inner = schema.get("additionalProperties")
        return "properties" in schema or isinstance(inner, dict) and bool(inner)
    return kind == "array" and bool(schema.get("items"))


def _output_schema(types, main):
    try:
        schema = types.schema(main.returns)
    except Refused:
        return None
    return types.whole(schema) if _is_concrete(schema) else None


def _describe_main(tree, main, found):
    module = _Module(tree)
    types = _Types(module)
    summary, described = docstring.parse(ast.get_docstring(main, clean=False))
    found["description"] = summary
    for arg, _ in _parameters(main):
        if arg.arg not in SKIPPED:
            found["parameters"].append(
                {"name": arg.arg, "type": ast.unparse(arg.annotation) if arg.annotation else None})
    try:
        found["input_schema"] = _input_schema(types, main, described, found["warnings"])
        del found["warnings"][WARNINGS_MAX:]
        found["output_schema"] = _output_schema(_Types(module), main)
    except Refused as e:
        found["error"], found["error_line"] = "%s (line %d)" % (e, e.line), e.line


def derive(source):
    found = {
        "valid": False, "has_main": False, "error": "", "error_line": 0, "parameters": [],
        "input_schema": None, "output_schema": None, "description": "", "warnings": [],
    }
    try:
        tree = ast.parse(source, "tool.py")
        compile(source, "tool.py", "exec", dont_inherit=True)  # finds what the grammar alone does not
    except SyntaxError as e:
        line = e.lineno or 0
        found["error"] = "SyntaxError: %s (line %d)" % (e.msg, line) if line else "SyntaxError: %s" % e.msg
        found["error_line"] = line
        return found
    except (ValueError, RecursionError, OverflowError) as e:
        found["error"] = "%s: %s" % (type(e).__name__, e)
        return found
    found["valid"] = True
    main = _find_main(tree)
    if main is None:
        found["error"] = "the code defines no function 'main' at the top level"
        return found
    found["has_main"] = True
    _describe_main(tree, main, found)
    return found
