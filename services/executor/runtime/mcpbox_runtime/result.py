"""What main returned -> the answer frame: MCP content and the structured value, as JSON bytes."""

import enum
import json
import re

from .mcp_object import Content

DEPTH_MAX = 60
DEFAULT_RESULT_KB = 1024


class ResultError(TypeError):
    """A value that has no JSON form; the text names its type."""


class ResultTooLarge(Exception):
    """Over the limit; the text gives limit and size."""

    def __init__(self, text, kb):
        super().__init__(text)
        self.kb = kb


# Types by where they come from: a value cannot have one whose module is not loaded.
_TEXTS = {
    ("datetime", "datetime"): lambda v: v.isoformat(),
    ("datetime", "date"): lambda v: v.isoformat(),
    ("datetime", "time"): lambda v: v.isoformat(),
    ("decimal", "Decimal"): str,
    ("uuid", "UUID"): str,
}
_HINT_ROWS = {
    "return sorted(...) or list(...) of it": "set frozenset",
    "return list(...) of it":
        "generator range map filter zip enumerate reversed dict_keys dict_values dict_items deque array islice chain",
    "return dict(...) of it": "mappingproxy UserDict",
    "return text, base64, or mcp.image, mcp.audio, mcp.resource of it": "bytes bytearray memoryview",
    "it was not awaited; in `async def main` write `await ...`": "coroutine Task Future",
    "return a list: [item async for item in ...]": "async_generator",
    "return r.json() or r.text of it": "Response",
    "return .total_seconds() or str(...) of it": "timedelta",
    "return float(...) or str(...) of it": "Fraction",
    "return [z.real, z.imag] or str(...) of it": "complex",
    "return .tolist() of it": "ndarray",
    "return .to_dict('records') of it": "DataFrame",
    "return .to_dict() of it": "Series",
    "return .item() of it": "int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 bool_",
    "call it: write (...) behind its name": "function method builtin_function_or_method",
}
_HINTS = {name: hint for hint, names in _HINT_ROWS.items() for name in names.split()}
_OTHER_HINT = "return a dict, a dataclass or str(...) of it"
_NOT_A_NUMBER = "the result holds a 'float' that JSON does not know (NaN or infinity); return None or text in its place"


def _refuse_type(value):
    name = type(value).__name__
    raise ResultError("a result of type '%s' has no JSON form; %s" % (name, _HINTS.get(name, _OTHER_HINT)))


def _plain(value):
    """For the encoder: one level of what JSON does not know."""
    if isinstance(value, enum.Enum):
        return value.value
    if hasattr(type(value), "__dataclass_fields__"):
        import dataclasses  # is loaded: the class was made by it

        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    for base in type(value).__mro__:
        to_text = _TEXTS.get((base.__module__, base.__qualname__))
        if to_text:
            return to_text(value)
    if isinstance(value, Content):
        raise ResultError("mcp content must be returned by itself or in a list, not inside a value")
    return _refuse_type(value)


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


def _wrong(value):
    """What is wrong with this value itself; None when it is what it holds, or nothing."""
    if isinstance(value, float):
        return None if value - value == 0 else _NOT_A_NUMBER
    if isinstance(value, dict):
        bad = next((k for k in value if not (k is None or isinstance(k, (str, int, float)))), None)
        return bad and "a key of type '%s' has no JSON form; use text" % type(bad).__name__
    if value is None or isinstance(value, (str, int, list, tuple)):
        return None
    try:
        _plain(value)
    except ResultError as e:
        return str(e)
    return None


def _inside(value):
    """(step of the path, value) of what it holds."""
    if not (value is None or isinstance(value, (str, int, float, list, tuple, dict))):
        value = _plain(value)
    if isinstance(value, dict):
        return [(".%s" % k, v) for k, v in value.items()]
    return [("[%d]" % i, v) for i, v in enumerate(value)] if isinstance(value, (list, tuple)) else []


def _find(value, path="", depth=0):
    """(path, what is wrong there) of the first that has no JSON form."""
    wrong = _wrong(value)
    if wrong or depth > DEPTH_MAX:
        return (path, wrong) if wrong else None
    return next(filter(None, (_find(inner, path + step, depth + 1) for step, inner in _inside(value))), None)


def _explain(value, fallback):
    """Behind a failure: where it is, as far as that can be found out."""
    try:
        path, wrong = _find(value)
    except Exception:  # nothing was found, or the tool's own class fails
        return fallback
    path = path.removeprefix(".")
    return "%s: %s" % (path[:200], wrong) if path else wrong


def to_json(value):
    """Compact JSON text, key order kept."""
    try:
        text = _encode(value)
    except ResultError as e:
        raise ResultError(_explain(value, str(e))) from None
    except RecursionError:
        raise ResultError("the result is nested too deep") from None
    except ValueError as e:
        if "Circular" in str(e):
            raise ResultError("the result contains itself (type '%s')" % type(value).__name__) from None
        raise ResultError(_explain(value, str(e))) from None
    except TypeError as e:
        raise ResultError(_explain(value, str(e))) from None
    _check_depth(text)
    return text


def _mib(size):
    return "%.1f MiB" % (size / 1048576) if size >= 1048576 else "%.1f KiB" % (size / 1024)


def _bounded(data, tool):
    limit = tool.result_kb * 1024
    if len(data) > limit:
        limit_text = _mib(limit).replace(".0 ", " ")
        raise ResultTooLarge("result limit %s exceeded (%s)" % (limit_text, _mib(len(data))), len(data) // 1024)
    return data


def _utf8(text):
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise ResultError("the result holds a 'str' that is not valid Unicode (lone surrogate)") from None


def _is_content(value):
    """One block, or a list of blocks and texts with at least one block."""
    if not isinstance(value, (list, tuple)):
        return isinstance(value, Content)
    return any(isinstance(v, Content) for v in value) and all(isinstance(v, (Content, str)) for v in value)


def _frame(content, structured=None):
    tail = b"" if structured is None else b',"structured":' + structured
    return b'{"ok":true,"content":' + content + tail + b"}"


def _encode_content(value, tool):
    if tool.has_output_schema:
        raise ResultError("the tool has an output schema: main must return a value that fits it, not mcp content")
    blocks = [value] if isinstance(value, Content) else value
    found = [b.block if isinstance(b, Content) else {"type": "text", "text": b} for b in blocks]
    return _frame(_bounded(_utf8(to_json(found)), tool))


def encode(value, tool):
    """The answer frame of a call that went well."""
    if _is_content(value):
        return _encode_content(value, tool)
    is_text = type(value) is str
    text = value if is_text else to_json(value)
    data = _bounded(_utf8(text), tool)
    block = b'[{"type":"text","text":' + _utf8(_encode_string(text)) + b"}]"
    if not tool.has_output_schema:
        return _frame(block) if is_text or value is None else _frame(block, data)
    structured = _utf8(to_json(value)) if is_text else data
    problem = tool.check_result.problem(json.loads(structured))
    if problem:
        raise ResultError("the result does not fit the output schema: %s: %s" % (problem[0] or "result", problem[1]))
    return _frame(block, structured)


def encode_inspection(found):
    return b'{"ok":true,"inspect":' + _utf8(_encode(found)) + b"}"
