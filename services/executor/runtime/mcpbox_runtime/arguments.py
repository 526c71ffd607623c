"""Arguments: judged against the schema, turned into what main's annotations ask for, bound to its parameters."""

import dataclasses
import datetime
import decimal
import enum
import inspect
import types
import typing
import uuid

from . import errors, validate

_PLAIN = {str, int, float, bool, dict, list, object, type(None), typing.Any, inspect.Parameter.empty}
_FROM_TEXT = {
    datetime.datetime: datetime.datetime.fromisoformat,
    datetime.date: datetime.date.fromisoformat,
    datetime.time: datetime.time.fromisoformat,
    decimal.Decimal: decimal.Decimal,
    uuid.UUID: uuid.UUID,
}


def check(values, schema):
    """The arguments, or Refused naming the field."""
    if not isinstance(values, dict):
        raise errors.Refused("ArgumentError", "arguments must be an object")
    problem = validate.first_problem(values, schema) if schema else None
    if problem:
        path, text = problem
        raise errors.Refused("ArgumentError", "%s: %s" % (path or "arguments", text))
    return values


def _fields_of(cls):
    """name -> annotation of a dataclass or TypedDict, else None."""
    if dataclasses.is_dataclass(cls) or typing.is_typeddict(cls):
        return typing.get_type_hints(cls)
    return None


def _convert_class(hint, value):
    if hint in _FROM_TEXT and isinstance(value, str):
        return _FROM_TEXT[hint](value)
    if issubclass(hint, enum.Enum) and not isinstance(value, hint):
        return hint(value)
    fields = _fields_of(hint)
    if fields and isinstance(value, dict):
        values = {k: convert(fields.get(k), v) for k, v in value.items()}
        return hint(**values) if dataclasses.is_dataclass(hint) else values
    if hint in (set, frozenset) and isinstance(value, list):
        return hint(value)
    return value


def _convert_union(options, value):
    """The first member that takes the value; the schema has said that one does."""
    for option in options:
        if value is None and option is type(None):
            return None
        try:
            new = convert(option, value)
        except (ValueError, TypeError, KeyError, decimal.DecimalException):
            continue
        if new is not value:
            return new
    return value


def convert(hint, value):
    origin = typing.get_origin(hint)
    inner = typing.get_args(hint)
    if origin is typing.Annotated or origin in (typing.Required, typing.NotRequired):
        return convert(inner[0], value)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(inner, value)
    if origin is dict and isinstance(value, dict) and len(inner) == 2:
        return {k: convert(inner[1], v) for k, v in value.items()}
    if origin in (list, set, frozenset) and isinstance(value, list) and inner:
        return origin(convert(inner[0], v) for v in value)
    return _convert_class(hint, value) if isinstance(hint, type) and origin is None else value


def _hints(main, space):
    annotations = getattr(main, "__annotations__", None) or {}
    if all(not isinstance(a, str) and a.__hash__ and a in _PLAIN for a in annotations.values()):
        return {}
    try:
        return typing.get_type_hints(main, space, include_extras=True)
    except Exception:
        return {}  # an annotation that cannot be evaluated converts nothing


def _value_for(parameter, values, hints, space):
    """(given, value) of one parameter; values is used up."""
    name = parameter.name
    if name in values:
        value = values.pop(name)
        return True, convert(hints[name], value) if name in hints else value
    if name == "http":
        return True, space["http"]
    if parameter.default is not parameter.empty:
        return False, None
    hint = hints.get(name)
    if type(None) in typing.get_args(hint):
        return True, None  # Optional without a default: not required
    raise errors.Refused("ArgumentError", "%s: is required" % name)


def bind(main, values, space):
    """(positional, named) for main."""
    try:
        parameters = inspect.signature(main).parameters.values()
    except (TypeError, ValueError):
        return (), dict(values)
    hints, left = _hints(main, space), dict(values)
    positional, named, takes_any = [], {}, False
    for p in parameters:
        if p.kind is p.VAR_KEYWORD:
            takes_any = True
        elif p.kind is not p.VAR_POSITIONAL:
            given, value = _value_for(p, left, hints, space)
            if p.kind is p.POSITIONAL_ONLY:
                positional.append(value if given else p.default)
            elif given:
                named[p.name] = value
    if left and not takes_any:
        raise errors.Refused("ArgumentError", "%s: unknown argument" % sorted(left)[0])
    return positional, {**named, **left}
