"""Limits of a call that show up in Python as exceptions.  The executor knows the limits; it makes the text."""

import errno
import opcode
import sys

_FILES = frozenset((errno.EMFILE, errno.ENFILE))
_SPACE = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_RAISE = opcode.opmap["RAISE_VARARGS"]


def innermost(e):
    """The step of the traceback in which it began; None without one."""
    step = e.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return step


def _is_said_by_python(e):
    """A `raise` made it: whatever its type, the interpreter did not run into a limit there."""
    step = innermost(e)
    return step is not None and step.tb_lasti >= 0 and step.tb_frame.f_code.co_code[step.tb_lasti] == _RAISE


def is_memory(e):
    return isinstance(e, MemoryError) and not _is_said_by_python(e)


def kind_of(e):
    """(kind of the answer frame, what was used) when it is a limit that ended the call, else None."""
    try:
        if _is_said_by_python(e):
            return None
        if isinstance(e, OSError):
            return _of_os_error(e)
        if isinstance(e, RuntimeError) and "can't start new thread" in str(e):
            # Too few threads for their limit: then it was memory for the stack of one more.
            return "threads", len(sys._current_frames())
    except Exception:
        pass  # a class of the tool's own, with attributes that fail
    return None


def _of_os_error(e):
    if e.errno in _FILES:
        return "files", None
    if e.errno in _SPACE:
        # A file that cannot be made, not one that cannot grow.
        return ("inodes" if e.filename is not None else "scratch"), None
    return None
