"""What the tool's own code may import, and what of it is imported ahead of the calls.  Libraries import what they
need."""

import builtins
import opcode
import sys

from . import refused, unusable

DEFAULT_MODULES = tuple(
    "json base64 binascii html csv xml.etree.ElementTree re string textwrap difflib datetime time calendar "
    "zoneinfo math cmath decimal fractions random statistics collections collections.abc itertools functools operator "
    "hashlib hmac secrets urllib.parse dataclasses typing enum copy asyncio uuid contextlib io bisect heapq types abc __future__".split()
)
_HTTP_CLIENTS = frozenset("requests httpx aiohttp urllib3 httplib2 pycurl grequests requests_html treq niquests".split())
_COROUTINES = 0x80 | 0x200  # CO_COROUTINE, CO_ASYNC_GENERATOR
_FUTURE_ANNOTATIONS = 0x1000000
_NEED_TYPING = {"dataclass", "dataclasses", "TypedDict", "NamedTuple"}
_IMPORT_NAME, _LOAD_CONST = opcode.opmap["IMPORT_NAME"], opcode.opmap["LOAD_CONST"]
_import = builtins.__import__


def _is_listed(name, allowed):
    """The full dotted name or any front part of it is on the list."""
    while name:
        if name in allowed:
            return True
        name = name.rpartition(".")[0]
    return False


def _is_allowed(name, fromlist, allowed):
    return _is_listed(name, allowed) or bool(fromlist) and all(
        _is_listed("%s.%s" % (name, item), allowed) for item in fromlist)


def _refuse(name, allowed):
    reason = unusable.reason(name)
    refused.tell("import", name)
    if reason:
        text = "module '%s' is not allowed here, and mcpbox_request_module would not help: %s" % (name, reason)
    else:
        instead = ("requests go through `http`, which is there without import (r = await http.get(url)); or "
                   if name.partition(".")[0] in _HTTP_CLIENTS else "")
        text = "module '%s' is not allowed here; %sask for it with mcpbox_request_module. Allowed: %s" % (
            name, instead, ", ".join(sorted(allowed - {"__future__"})))
    raise ImportError(text, name=name)


def _is_by_c_code(globals, locals, fromlist):
    """PyImport_Import() goes by the builtins of the frame that is running, which is the tool's when a library in C
    imports for itself: datetime.strptime, pickle.  Its empty list is what no import statement passes."""
    return type(fromlist) is list and not fromlist and globals is locals


def make_builtins(modules):
    """A builtins namespace whose import statement knows the list."""
    allowed = frozenset(modules) | {"__future__"}

    def guarded(name, globals=None, locals=None, fromlist=(), level=0):
        if level:
            raise ImportError("relative imports do not work here: the tool is a single file")
        if not _is_allowed(name, fromlist, allowed) and not _is_by_c_code(globals, locals, fromlist):
            _refuse(name, allowed)
        return _import(name, globals, locals, fromlist, level)

    space = dict(vars(builtins))
    space["__import__"] = guarded
    return space


def guard_importlib(space):
    """importlib.import_module, called by the tool's own code, knows the list too."""
    import importlib

    original = importlib.import_module

    def import_module(name, package=None):
        if sys._getframe(1).f_globals is space and not name.startswith("."):
            space["__builtins__"]["__import__"](name, None, None, ("*",) if "." in name else ())
        return original(name, package)

    importlib.import_module = import_module


def _argument(ops, at):
    """(argument of the instruction at `at`, where the instruction begins)"""
    value, shift = ops[at + 1], 8
    while at >= 2 and ops[at - 2] == opcode.EXTENDED_ARG:
        at -= 2
        value |= ops[at + 1] << shift
        shift += 8
    return value, at


class Names:
    """What the code of a tool names, nested functions and classes included.  Read from the compiled code: a syntax
    tree would leave a megabyte behind in every process."""

    def __init__(self, code):
        self.imports, self.names, self.has_coroutines = set(), set(), False
        self.has_text_annotations = bool(code.co_flags & _FUTURE_ANNOTATIONS)
        self._read(code)

    def _read(self, code):
        self.names.update(code.co_names, code.co_varnames)
        self.has_coroutines |= bool(code.co_flags & _COROUTINES)
        ops = code.co_code
        for at in range(0, len(ops), 2):
            if ops[at] == _IMPORT_NAME:
                self._read_import(code, ops, at)
        for value in code.co_consts:
            if isinstance(value, type(code)):
                self._read(value)

    def _read_import(self, code, ops, at):
        index, start = _argument(ops, at)
        before = start - 2
        fromlist = code.co_consts[_argument(ops, before)[0]] if ops[before] == _LOAD_CONST else ()
        self.imports.add((code.co_names[index], tuple(fromlist or ())))

    def needs_typing(self):
        return self.has_text_annotations or bool(self.names & _NEED_TYPING)

    def needs_loop(self, source, is_late=False):
        """Asked when they are imported (unless is_late): foreign modules may wait for an event loop without a word
        of it in the source, but not without asyncio, or sniffio, which asks what loop runs."""
        if not self.has_coroutines or "asyncio" in source:
            return self.has_coroutines
        foreign = any(name.partition(".")[0] not in sys.stdlib_module_names for name, _ in self.imports)
        return foreign and (is_late or "asyncio" in sys.modules or "sniffio" in sys.modules)


def load(found, modules):
    """Import ahead of the calls what is allowed.  What fails here fails in the call, where it is told."""
    for name, fromlist in sorted(found.imports):
        if _is_allowed(name, fromlist, frozenset(modules)):
            try:
                _import(name, {}, {}, fromlist)
            except MemoryError:
                raise
            except BaseException:
                pass  # a module may do anything, SystemExit included


def fit_select():
    """Before selectors is imported: it and asyncio then wait with poll(), as on a system without epoll."""
    import select

    if hasattr(select, "epoll"):
        del select.epoll


def fit_sockets():
    """sendmsg() is refused, since it can send descriptors.  Without any it is a write: asyncio uses it from Python 3.12
    on, and what it has instead loses data in some versions."""
    socket = sys.modules.get("socket")
    if socket is None or isinstance(socket.socket.sendmsg, type(fit_sockets)):  # not C's any more
        return
    import os

    refused_by_kernel = socket.socket.sendmsg

    def sendmsg(self, buffers, ancdata=(), flags=0, address=None):
        if ancdata or address is not None:
            return refused_by_kernel(self, buffers, ancdata, flags, address)
        if flags or self.gettimeout():
            return self.send(b"".join(buffers), flags)
        return os.writev(self.fileno(), list(buffers))

    socket.socket.sendmsg = sendmsg
