"""What main returned -> the answer frame: MCP content and the structured value, as JSON bytes."""

import dataclasses
import datetime
import decimal
import enum
import json
import re
import uuid

from .mcp_object import Content

DEPTH_MAX = 60
DEFAULT_RESULT_KB = 1024


class ResultError(TypeError):
    """A value that has no JSON form; the text names its type."""


class ResultTooLarge(Exception):
    """Over the limit; the text gives limit and size."""


def _plain(value):
    """For the encoder: one level of what JSON does not know."""
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (decimal.Decimal, uuid.UUID)):
        return str(value)
    if isinstance(value, Content):
        raise ResultError("mcp content must be returned by itself or in a list, not inside a value")
    raise ResultError("a result of type '%s' has no JSON form" % type(value).__name__)


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode
_encode_string = json.JSONEncoder(ensure_ascii=False).encode
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')


def _check_depth(text):
    if text.count("[") + text.count("{") <= DEPTH_MAX:
        return
    depth = 0
    for token in _TOKENS.finditer(text):
        c = token.group()[0]
        depth += (c in "[{") - (c in "]}")
        if depth > DEPTH_MAX:
            raise ResultError("the result is nested deeper than %d levels" % DEPTH_MAX)


def to_json(value):
    """Compact JSON text, key order kept."""
    try:
        text = _encode(value)
    except ResultError:
        raise
    except RecursionError:
        raise ResultError("the result is nested too deep") from None
    except ValueError as e:
        if "Circular" in str(e):
            raise ResultError("the result contains itself (type '%s')" % type(value).__name__) from None
        if "Out of range float" in str(e):
            raise ResultError("the result holds a 'float' that JSON does not know (NaN or infinity)") from None
        raise ResultError(str(e)) from None
    except TypeError as e:
        raise ResultError(str(e)) from None
    _check_depth(text)
    return text


def _mib(size):
    return "%.1f MiB" % (size / 1048576) if size >= 1048576 else "%.1f KiB" % (size / 1024)


def _bounded(data, job):
    limit = job.result_kb * 1024
    if len(data) > limit:
        limit_text = _mib(limit).replace(".0 ", " ")
        raise ResultTooLarge("result limit %s exceeded (%s)" % (limit_text, _mib(len(data))))
    return data


def _utf8(text):
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise ResultError("the result holds a 'str' that is not valid Unicode (lone surrogate)") from None


def _is_content(value):
    if isinstance(value, Content):
        return True
    return isinstance(value, (list, tuple)) and len(value) > 0 and all(isinstance(v, Content) for v in value)


def _frame(content, structured=None):
    tail = b"" if structured is None else b',"structured":' + structured
    return b'{"ok":true,"content":' + content + tail + b"}"


def _encode_content(value, job):
    blocks = [value] if isinstance(value, Content) else list(value)
    return _frame(_bounded(_utf8(to_json([b.block for b in blocks])), job))


def encode(value, job):
    """The answer frame of a call that went well."""
    if _is_content(value):
        return _encode_content(value, job)
    has_schema = bool(job.output_schema)
    is_text = type(value) is str
    text = value if is_text else to_json(value)
    data = _bounded(_utf8(text), job)
    block = b'[{"type":"text","text":' + _utf8(_encode_string(text)) + b"}]"
    if (is_text or value is None) and not has_schema:
        return _frame(block)
    return _frame(block, _utf8(to_json(value)) if is_text else data)


def encode_inspection(found):
    return b'{"ok":true,"inspect":' + _utf8(_encode(found)) + b"}"
