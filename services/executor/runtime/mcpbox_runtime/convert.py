"""Arguments as JSON gives them -> what main's annotations ask for.

Annotations are read by their shape (__origin__, __args__), so that neither typing nor dataclasses has to be
imported for a call: a tool that uses them has imported them itself.
"""

import enum
import sys
import types

from . import errors

_CAUGHT = (ValueError, TypeError, KeyError)


class Unfit(Exception):
    """A value that the annotation's type refuses: path below the argument, and why."""

    def __init__(self, path, text):
        super().__init__(text)
        self.path = path


def _typing(name):
    module = sys.modules.get("typing")
    return getattr(module, name) if module else None


def _base64(text):
    import base64

    return base64.b64decode(text, validate=True)


# Classes by where they come from: nobody can ask for one whose module is not loaded.
_FROM_TEXT = {
    ("datetime", "datetime"): lambda c, v: c.fromisoformat(v),
    ("datetime", "date"): lambda c, v: c.fromisoformat(v),
    ("datetime", "time"): lambda c, v: c.fromisoformat(v),
    ("decimal", "Decimal"): lambda c, v: c(v),
    ("uuid", "UUID"): lambda c, v: c(v),
    ("builtins", "bytes"): lambda c, v: _base64(v),
}


def _from_number(hint, value):
    if type(value) is bool or not isinstance(value, (int, float)):
        return value
    if (hint.__module__, hint.__qualname__) == ("decimal", "Decimal"):
        return hint(repr(value))
    if hint is float:
        return float(value)
    return int(value) if hint is int and isinstance(value, float) and value.is_integer() else value


def _fields_of(cls):
    """name -> annotation of a dataclass or TypedDict, else None."""
    if not hasattr(cls, "__dataclass_fields__") and not hasattr(cls, "__total__"):
        return None
    import typing

    return typing.get_type_hints(cls, include_extras=True)


def _convert_object(hint, fields, value, path):
    given = {}
    for name, inner in value.items():
        given[name] = convert(fields[name], inner, "%s.%s" % (path, name)) if name in fields else inner
    return given if issubclass(hint, dict) else hint(**given)


def _convert_class(hint, value, path):
    if isinstance(value, str):
        from_text = _FROM_TEXT.get((hint.__module__, hint.__qualname__))
        if from_text:
            return from_text(hint, value)
    if issubclass(hint, enum.Enum):
        return value if isinstance(value, hint) else hint(value)
    if isinstance(value, dict):
        fields = _fields_of(hint)
        return value if fields is None else _convert_object(hint, fields, value, path)
    if hint in (set, frozenset) and isinstance(value, list):
        return hint(value)
    return _from_number(hint, value)


def _takes_as_it_is(option, value):
    kind = getattr(option, "__origin__", option)
    return not isinstance(kind, type) or isinstance(value, kind)


def _convert_union(options, value, path):
    """The first member that takes the value; the schema has said that one does."""
    if value is None and type(None) in options:
        return None
    if type(value) in (bool, str, int, float) and type(value) in options:
        return value
    refused = None
    for option in options:
        try:
            new = convert(option, value, path)
        except Unfit as e:
            refused = e
            continue
        if new is not value or _takes_as_it_is(option, value):
            return new
    if refused is not None:
        raise refused
    return value


def _convert_generic(origin, inner, value, path):
    if isinstance(value, dict):
        if issubclass(origin, dict) or origin.__name__ in ("Mapping", "MutableMapping"):
            return {k: convert(inner[1], v, "%s.%s" % (path, k)) for k, v in value.items()} if len(inner) == 2 else value
    if isinstance(value, list) and inner:
        items = [convert(inner[0], v, "%s[%d]" % (path, i)) for i, v in enumerate(value)]
        if origin in (set, frozenset):
            return origin(items)
        return set(items) if origin.__name__ in ("Set", "MutableSet") else items
    return value


def convert(hint, value, path=""):
    """The value as the annotation wants it.  Raises Unfit."""
    inner = getattr(hint, "__args__", ())
    if isinstance(hint, types.UnionType):
        return _convert_union(inner, value, path)
    origin = getattr(hint, "__origin__", None)
    if hasattr(hint, "__metadata__"):  # Annotated[origin, ...]
        return convert(origin, value, path)
    if hasattr(hint, "__supertype__"):  # NewType
        return convert(hint.__supertype__, value, path)
    if origin is not None and not isinstance(origin, type):
        if origin is _typing("Union"):
            return _convert_union(inner, value, path)
        if origin is _typing("Literal"):
            return _choose(inner, value)
        return convert(inner[0], value, path) if inner else value  # Required, NotRequired, Final
    try:
        if origin is not None:
            return _convert_generic(origin, inner, value, path)
        return _convert_class(hint, value, path) if isinstance(hint, type) else value
    except ArithmeticError:
        raise Unfit(path, "%r is not a number (%s)" % (value, getattr(hint, "__name__", hint))) from None
    except _CAUGHT as e:
        raise Unfit(path, "%s (%s)" % (str(e) or type(e).__name__, getattr(hint, "__name__", hint))) from None


def _choose(options, value):
    """Members of enums may stand in Literal."""
    for option in options:
        if isinstance(option, enum.Enum) and option.value == value:
            return option
    return value


# ---- parameters ----


def _unwrapped(main):
    while hasattr(main, "__wrapped__"):  # as functools.wraps leaves it
        main = main.__wrapped__
    return main


def _hints(function, space):
    annotations = getattr(function, "__annotations__", None) or {}
    if not any(isinstance(a, str) for a in annotations.values()):
        return annotations
    import typing

    try:
        return typing.get_type_hints(function, space, include_extras=True)
    except Exception:
        return {}  # an annotation that cannot be evaluated converts nothing


def _takes_none(hint):
    if hasattr(hint, "__metadata__"):
        return _takes_none(hint.__origin__)
    return type(None) in getattr(hint, "__args__", ()) and (
        isinstance(hint, types.UnionType) or getattr(hint, "__origin__", None) is _typing("Union"))


class _Parameter:
    __slots__ = ("name", "is_positional", "has_default", "default")

    def __init__(self, name, is_positional, has_default, default):
        self.name, self.is_positional, self.has_default, self.default = name, is_positional, has_default, default


def _of_function(function):
    """(parameters, takes any further name), without inspect, which takes 5 ms to load."""
    code = function.__code__
    defaults, named = function.__defaults__ or (), function.__kwdefaults__ or {}
    first = code.co_argcount - len(defaults)
    found = []
    for i, name in enumerate(code.co_varnames[:code.co_argcount]):
        default = defaults[i - first] if i >= first else None
        found.append(_Parameter(name, i < code.co_posonlyargcount, i >= first, default))
    for name in code.co_varnames[code.co_argcount:code.co_argcount + code.co_kwonlyargcount]:
        found.append(_Parameter(name, False, name in named, named.get(name)))
    return found, bool(code.co_flags & 0x08)  # CO_VARKEYWORDS


def _of_callable(main):
    import inspect

    try:
        parameters = inspect.signature(main).parameters.values()
    except (TypeError, ValueError):
        return [], True
    found = [_Parameter(p.name, p.kind is p.POSITIONAL_ONLY, p.default is not p.empty, p.default)
             for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return found, any(p.kind is p.VAR_KEYWORD for p in parameters)


class Signature:
    """The parameters of one main, of whatever kind."""

    def __init__(self, main, space):
        function = _unwrapped(main)
        self.space, self.hints = space, _hints(function, space)
        is_function = type(function) is types.FunctionType
        self.parameters, self.takes_any = _of_function(function) if is_function else _of_callable(main)

    def _value_for(self, parameter, values):
        """(given, value) of one parameter; values is used up."""
        name = parameter.name
        if name in values:
            value = values.pop(name)
            if name not in self.hints:
                return True, value
            try:
                return True, convert(self.hints[name], value)
            except Unfit as e:
                raise errors.Refused("ArgumentError", "%s%s: %s" % (name, e.path, e)) from None
        if name == "http":
            return True, self.space["http"]
        if parameter.has_default:
            return False, parameter.default
        if _takes_none(self.hints.get(name)):
            return True, None  # Optional without a default: not required
        raise errors.Refused("ArgumentError", "%s: is required" % name)

    def bind(self, values):
        """(positional, named) for main."""
        left, positional, named, wrong = dict(values), [], {}, []
        for parameter in self.parameters:
            try:
                given, value = self._value_for(parameter, left)
            except errors.Refused as e:
                wrong.append(str(e))
                continue
            if parameter.is_positional:
                positional.append(value)
            elif given:
                named[parameter.name] = value
        if not self.takes_any:
            wrong += ["%s: unknown argument" % name for name in sorted(left)]
        if wrong:
            raise errors.Refused("ArgumentError", "; ".join(wrong))
        return positional, {**named, **left}
