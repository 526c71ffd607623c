"""What tool code asks for in vain: told to the author in words that help, and to the executor, which passes it on to
the administrator.
"""

import errno
import re
import sys

SOURCE_FILE = "tool.py"
TOLD_MAX = 16
NAME_MAX = 120
_REFUSALS = frozenset((errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EROFS))
_told = set()


def begin():
    """A new call: what an earlier one in this process was refused is news again."""
    _told.clear()


def _line():
    """The line of the tool's code that is running."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != SOURCE_FILE:
        frame = frame.f_back
    return frame.f_lineno if frame is not None else 0


def tell(kind, name, line=None):
    """kind: import, host, syscall.  Never fails: it is for others."""
    name = str(name)[:NAME_MAX]
    if (kind, name) in _told or len(_told) >= TOLD_MAX:
        return
    _told.add((kind, name))
    try:
        from . import host

        host.send_event({"op": "refused", "event": {"kind": kind, "name": name, "line": line or _line()}})
    except Exception:
        pass  # no channel, or no descriptor left for it


# By the module that failed, or by words of the tool's line when the call went straight into C.
_HINTS = (
    ("processes", ("subprocess", "multiprocessing", "pty"), r"\bos\.(fork|forkpty|popen|exec|spawn|posix_spawn)",
     "a call may start no other process: do the work in Python"),
    ("sockets", ("socket", "ssl"), r"\bsocket\b|create_connection|create_server|open_connection|start_server",
     "a call has no sockets: make requests with the object http, and ask for the host with "
     "mcpbox_request_network_access"),
    ("signals", (), r"\bos\.(kill|killpg)|\bsignal\.", "a call may send signals to nobody"),
    ("limits", (), r"\bos\.(nice|sched_|setpriority)|\bresource\.", "a call may not change its limits"),
)
_OTHER = ("system calls", "the sandbox does not let calls do this")
_FILES = ("files", "a call sees the files of Python and its own scratch directory, and writes only to the latter")


def _module_of(step):
    return str(step.tb_frame.f_globals.get("__name__", "")).partition(".")[0]


def _find(e, lines):
    """(what was refused, hint, line of the tool's code)"""
    step, line, modules = e.__traceback__, 0, []
    while step is not None:
        if step.tb_frame.f_code.co_filename == SOURCE_FILE:
            line, modules = step.tb_lineno or 0, []
        else:
            modules.append(_module_of(step))
        step = step.tb_next
    text = lines[line - 1] if 0 < line <= len(lines) else ""
    for name, owners, words, hint in _HINTS:
        if any(m in owners for m in modules) or (not modules and re.search(words, text)):
            return name, hint, line
    return (*(_OTHER if e.filename is None else _FILES), line)


def hint_for(e, lines):
    """What helps the author of a tool that the sandbox refused something; None when it did not."""
    try:
        if not isinstance(e, OSError):
            return None
        if e.errno == errno.ENOENT and str(e.filename).startswith("/"):
            return _FILES[1]  # nothing was refused: it is not there
        if e.errno not in _REFUSALS and type(e).__name__ != "gaierror":
            return None
        name, hint, line = _find(e, lines)
        tell("syscall", name, line)
        return hint
    except Exception:
        return None  # a class of the tool's own, with attributes that fail
