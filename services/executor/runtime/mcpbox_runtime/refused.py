"""What tool code asks for in vain: told to the author in words that help, and to the executor, which passes it on to
the administrator.
"""

import errno
import re
import sys

from . import excess

SOURCE_FILE = "tool.py"
TOLD_MAX = 16
NAME_MAX = 120
_REFUSALS = frozenset((errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EROFS))
_told = set()


def system(command):
    """In place of os.system, which would only say 32512."""
    raise PermissionError(errno.EPERM, "Operation not permitted")


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
    ("processes", ("subprocess", "multiprocessing", "concurrent.futures.process", "pty", __name__),
     r"\bos\.(fork|forkpty|popen|exec|spawn|posix_spawn|system)",
     "a call may start no other process: do the work in Python, or in threads of concurrent.futures.ThreadPoolExecutor"),
    ("sockets", ("socket", "ssl"), r"\bsocket\b|create_connection|create_server|open_connection|start_server",
     "a call has no sockets: make requests with the object http (await http.get(url)), and ask for the host with "
     "mcpbox_request_network_access"),
    ("file locks", (), r"\bflock\b", "no other call sees this call's files, so there is nothing to lock: go without"),
    ("signals", (), r"\bos\.(kill|killpg)|\bsignal\.", "a call may send signals to nobody"),
    ("limits", (), r"\bos\.(nice|sched_|setpriority)|\bresource\.", "a call may not change its limits"),
)
_OTHER = ("system calls", "the sandbox does not let calls do this")
_FILES = ("files", "a call sees the files of Python and its own scratch directory, and writes only to the latter")


_SHARED_MEMORY = "memory that processes share is not given: mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE) is"
_CALLBACKS = ("executable memory",
              "a call gets no memory that can be executed, so ctypes cannot make a callback (CFUNCTYPE) of a function")
_JOURNAL = "the journal mode WAL needs memory that processes share: leave journal_mode as it is"
CAUSES_MAX = 10


def _module_of(step):
    return str(step.tb_frame.f_globals.get("__name__", ""))


def _is_of(module, owners):
    return any(module == owner or module.startswith(owner + ".") for owner in owners)


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
        if name == "sockets" and type(e).__name__ == "gaierror" or any(_is_of(m, owners) for m in modules) or (not modules and re.search(words, text)):
            return name, hint, line
    return (*(_OTHER if e.filename is None else _FILES), line)


def _chain(e):
    """The error and what it came from: libraries wrap what the sandbox said."""
    seen = []
    while isinstance(e, BaseException) and len(seen) < CAUSES_MAX:
        seen.append(e)
        inner = getattr(e, "reason", None)  # urllib.error.URLError
        e = inner if isinstance(inner, OSError) else e.__cause__ or (None if e.__suppress_context__ else e.__context__)
    return seen


def _is_refusal(e):
    return isinstance(e, OSError) and (e.errno in _REFUSALS or type(e).__name__ == "gaierror")


def _is_lock_of_processes(e, lines):
    """multiprocessing's locks lie in /dev/shm, which a call does not have."""
    return isinstance(e, FileNotFoundError) and e.filename is None and _find(e, lines)[0] == "processes"


def _line_of_tool(e):
    line, step = 0, e.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == SOURCE_FILE:
            line = step.tb_lineno or 0
        step = step.tb_next
    return line


def _is_callback(e, lines):
    """MemoryError is all that ctypes says when it gets none that can be executed."""
    ctypes, step = sys.modules.get("_ctypes"), excess.innermost(e)
    if not isinstance(e, MemoryError) or ctypes is None or step is None or step.tb_frame.f_code.co_filename != SOURCE_FILE:
        return False
    text = lines[step.tb_lineno - 1] if 0 < (step.tb_lineno or 0) <= len(lines) else ""
    if "FUNCTYPE" in text:
        return True
    names = {**step.tb_frame.f_globals, **step.tb_frame.f_locals}
    found = (names.get(word) for word in re.findall(r"[^\W\d]\w*", text))
    return any(isinstance(value, type) and issubclass(value, ctypes.CFuncPtr) for value in found)


def callback_hint(e, lines):
    """For a MemoryError that was no lack of memory; None for others."""
    try:
        if _is_callback(e, lines):
            tell("syscall", _CALLBACKS[0], excess.innermost(e).tb_lineno)
            return _CALLBACKS[1]
    except Exception:
        pass
    return None


def _hint_of_others(e, lines):
    """What helps where nothing was refused that an administrator should know of."""
    if isinstance(e, OSError) and e.errno == errno.ENOENT and str(e.filename).startswith("/"):
        return _FILES[1]  # it is not there
    line = _line_of_tool(e)
    text = lines[line - 1] if 0 < line <= len(lines) else ""
    if isinstance(e, OSError) and e.errno == errno.ENOMEM and "mmap" in text:
        return _SHARED_MEMORY
    return _JOURNAL if type(e).__module__ == "sqlite3" and "disk I/O error" in str(e) else None


def hint_for(e, lines):
    """What helps the author of a tool that the sandbox refused something; None when it did not."""
    try:
        hint = _hint_of_others(e, lines)
        if hint:
            return hint
        for cause in _chain(e):
            if _is_refusal(cause) or _is_lock_of_processes(cause, lines):
                name, hint, line = _find(cause, lines)
                tell("syscall", name, line or _line_of_tool(e))
                return hint
    except Exception:
        pass  # a class of the tool's own, with attributes that fail
    return None
