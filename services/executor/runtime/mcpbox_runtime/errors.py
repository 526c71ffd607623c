"""Failures -> the answer frame: text, detail for the record, detail for people."""

import json
import sys

from . import excess, refused
from .mcp_object import ToolError

FRAMES_MAX = 50
CAUSES_MAX = 5
TEXT_MAX = 4000
PREVIEW_MAX = 500
SHOWN_HEADERS = (
    "content-type", "retry-after", "x-ratelimit-remaining", "x-ratelimit-limit", "x-ratelimit-reset",
    "x-deny-reason",
)
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode


class Refused(Exception):
    """A refusal of the runtime: shown as if of the given type, without a traceback."""

    def __init__(self, type_name, text):
        super().__init__(text)
        self.type_name = type_name


def _text_of(e):
    try:
        text = str(e)
        text = text.replace("\0", "\ufffd")  # as in what was printed
    except Exception:
        text = "<its text cannot be shown>"
    return text if len(text) <= TEXT_MAX else text[:TEXT_MAX] + "..."


def _name_of(e):
    return e.type_name if isinstance(e, Refused) else type(e).__name__


def _context(line, lines):
    """Lines -2..+2 around it, the line itself marked."""
    shown = []
    for n in range(max(1, line - 2), min(len(lines), line + 2) + 1):
        shown.append("%s %4d | %s" % (">" if n == line else " ", n, lines[n - 1].rstrip("\r\n")[:200]))
    return shown


def _frames(e, source_file):
    """(line, function) of the tool's own frames, outermost first; the last ones of very many."""
    found, step = [], e.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        if code.co_filename == source_file:
            found.append((step.tb_lineno or 0, code.co_name))
        step = step.tb_next
    return found[-FRAMES_MAX:]


def _where(e, lines, source_file):
    """(line of the tool's own code, formatted frames of it)."""
    if isinstance(e, SyntaxError) and e.filename == source_file:
        return e.lineno, []
    found = _frames(e, source_file)
    shown = []
    for line, name in found:
        text = lines[line - 1].strip()[:200] if 0 < line <= len(lines) else ""
        shown.append("line %d, in %s: %s" % (line, name, text))
    return found[-1][0] if found else None, shown


def _cause(e):
    return e.__cause__ or (None if e.__suppress_context__ else e.__context__)


def _causes(e, source_file):
    """What the error came from, one line each: causes, members of a group, notes."""
    shown, cause = ["%s" % n for n in getattr(e, "__notes__", ())][:CAUSES_MAX], _cause(e)
    if isinstance(e, BaseExceptionGroup):
        shown += ["with %s" % _line_of(inner, source_file) for inner in e.exceptions[:CAUSES_MAX]]
    while cause is not None and len(shown) < CAUSES_MAX:
        shown.append("after %s" % _line_of(cause, source_file))
        cause = _cause(cause)
    return shown


def _line_of(e, source_file):
    frames = _frames(e, source_file)
    text = "%s: %s" % (_name_of(e), _text_of(e)[:PREVIEW_MAX])
    return "%s (line %d)" % (text, frames[-1][0]) if frames else text


def _http_info(e):
    httpx = sys.modules.get("httpx")
    if httpx is None or not isinstance(e, httpx.HTTPError):
        return None
    if not isinstance(e, httpx.HTTPStatusError):
        return {"error_type": type(e).__name__, "detail": _text_of(e)[:PREVIEW_MAX]}
    r = e.response
    return {
        "status_code": r.status_code,
        "url": str(r.request.url),
        "response_headers": {h: r.headers[h] for h in SHOWN_HEADERS if h in r.headers},
        "body_preview": r.text[:PREVIEW_MAX],
    }


def _detail(e, text, lines, source_file="tool.py"):
    detail = {"message": text, "error_type": _name_of(e)}
    line, frames = (None, []) if isinstance(e, Refused) else _where(e, lines, source_file)
    if line:
        detail["line_number"] = line
    detail["code_context"] = _context(line, lines) if line else []
    detail["traceback"] = frames
    detail["source_file"] = source_file
    causes = [] if isinstance(e, Refused) else _causes(e, source_file)
    if causes:
        detail["causes"] = causes
    info = _http_info(e)
    if info:
        detail["http_info"] = info
    return detail


def _for_people(detail):
    """Empty where there is nothing to add to the error itself."""
    if "line_number" not in detail and "causes" not in detail and "http_info" not in detail:
        return ""
    shown = ["%s" % detail["error_type"] + (" at line %d" % detail["line_number"] if "line_number" in detail else "")]
    shown += detail["code_context"] + detail.get("causes", [])
    info = detail.get("http_info") or {}
    if "status_code" in info:
        shown.append("HTTP %d %s" % (info["status_code"], info["url"]))
        shown += ["%s: %s" % item for item in info["response_headers"].items()]
        if info["body_preview"]:
            shown.append(info["body_preview"][:300])
    return "\n".join(shown)


def _frame(kind, text, detail=None, detail_text="", used=None):
    frame = {"ok": False, "kind": kind, "text": text}
    if used:
        frame["used"] = used
    if detail:
        frame["detail"] = detail
        frame["detail_text"] = detail_text
    return _dumps(frame).encode("utf-8", "replace")  # lone surrogates become question marks


def _hint(e, text):
    if isinstance(e, (AttributeError, TypeError)) and "'coroutine' object" in text:
        return "it was not awaited: write `await ...`, in `async def main`"
    return None


def _out_of_memory(e, lines):
    """Says where, as far as there is memory for it once the tool's own is freed."""
    line, said = None, ""
    try:
        line = (_frames(e, "tool.py") or [(None, "")])[-1][0]
        said = _text_of(e)[:PREVIEW_MAX]  # numpy says how much it asked for
    except MemoryError:
        pass
    e.__traceback__ = e.__context__ = None  # they hold what the tool holds
    try:
        detail = {"message": said or "MemoryError", "error_type": "MemoryError"}
        if line:
            detail.update(line_number=line, code_context=_context(line, lines))
        return _frame("memory", "MemoryError", detail, "\n".join(filter(None, (said, _for_people(detail)))))
    except MemoryError:
        return _frame("memory", "MemoryError")


def answer(e, lines):
    from .result import ResultTooLarge

    if excess.is_memory(e) and not refused.callback_hint(e, lines):
        return _out_of_memory(e, lines)
    text = _text_of(e)
    if isinstance(e, ResultTooLarge):
        return _frame("result", text, used=e.kb)
    if isinstance(e, SyntaxError) and e.lineno:
        text = "%s (line %d)" % (e.msg, e.lineno)
    detail = _detail(e, text, lines)
    if isinstance(e, ToolError):
        return _frame("exact", text, detail)
    shown = "%s: %s" % (_name_of(e), text) if text else _name_of(e)
    over = excess.kind_of(e)
    if over:
        return _frame(over[0], shown, detail, _for_people(detail), over[1])
    hint = refused.callback_hint(e, lines) or refused.hint_for(e, lines) or _hint(e, text)
    if hint:
        shown += "; " + hint
    return _frame("tool", shown, detail, _for_people(detail))


def answer_internal(e):
    return _frame("internal", "the runtime failed: %s" % type(e).__name__)
