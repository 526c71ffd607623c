"""One tool version: compiled once, its body run once in a process, its main run for each call."""

import json
import os
import sys
import types
import warnings

from . import arguments, errors, http_object, imports, mcp_object, refused, result, validate

SOURCE_FILE = "tool.py"
_Coroutine = types.CoroutineType
_TWISTER_BYTES = 624 * 4  # the state of numpy's own generator


def open_streams():
    """sys.stdout and sys.stderr over descriptors 1 and 2, line by line: what was printed before a call is
    killed is kept."""
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    sys.stderr = sys.__stderr__ = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)


def show_warnings_without_paths():
    """A warning that comes up behind main, as of a coroutine that nobody awaited, has a line of this file."""
    original, here = warnings.formatwarning, __file__.rpartition("/")[0]

    def format_warning(message, category, filename, lineno, line=None):
        if filename.startswith(here):
            return "%s: %s: %s\n" % (SOURCE_FILE, category.__name__, message)
        return original(message, category, filename, lineno, line)

    warnings.formatwarning = format_warning


def preload_all():
    """For workers whose calls cannot open a file."""
    import concurrent.futures.thread  # noqa: F401  lazily imported by asyncio.to_thread
    import encodings.idna  # noqa: F401
    import importlib

    for name in imports.DEFAULT_MODULES + ("mcpbox_runtime.convert", "mcpbox_runtime.schema"):
        importlib.import_module(name)


class _Secrets(dict):
    def __missing__(self, key):
        raise KeyError("the server has no secret '%s' that is set: ask for it with mcpbox_create_server_secret; an "
                       "administrator sets its value" % (key,))


class Tool:
    def __init__(self, fields, is_late=False):
        self.source = fields["code"]
        self.lines = self.source.splitlines(True)
        self.modules = tuple(fields.get("modules", ()))
        self.result_kb = fields.get("result_kb") or result.DEFAULT_RESULT_KB
        self.check_arguments = validate.Checker(fields.get("input_schema"))
        self.has_output_schema = bool(fields.get("output_schema"))
        self.check_result = validate.Checker(fields.get("output_schema"))
        self.failure = self.code = None
        self.space = self.binder = self.loop = None
        self.needs_loop = self.uses_http = False
        self.streams = sys.stdout, sys.stderr
        self._bind(is_late)

    def _bind(self, is_late):
        """Compile, and import what the source names.  What fails here fails again, and is told, in the call."""
        try:
            with warnings.catch_warnings():  # standard error is the executor's here, and they show source
                warnings.simplefilter("ignore")
                self.code = compile(self.source, SOURCE_FILE, "exec", dont_inherit=True)
        except Exception as e:  # a MemoryError too: the parser says so of code that is nested too deep
            self.failure = e.with_traceback(None)
            return
        found = imports.Names(self.code)
        allowed = imports.DEFAULT_MODULES + self.modules
        self.builtins = imports.make_builtins(allowed)
        if not is_late:  # else a module starts threads, which no fork takes along: each call imports for itself
            imports.load(found, allowed)
        if "datetime" in self.source:
            import datetime  # noqa: F401  a global of the tool
        self.guards_importlib = any(name.partition(".")[0] == "importlib" for name, _ in found.imports)
        self.uses_http = "http" in found.names
        if self.uses_http and not http_object.is_prepared():
            http_object.prepare()
        if "strptime" in found.names:
            import _strptime  # noqa: F401  imported by datetime and time when they are asked
        if "mcp" in found.names:
            from . import host  # noqa: F401  for progress and log
        if found.needs_typing():
            import typing  # noqa: F401
        self.needs_loop = found.needs_loop(self.source, is_late)
        if self.needs_loop:
            import asyncio  # noqa: F401
            import concurrent.futures.thread  # noqa: F401  lazily imported by asyncio.to_thread
        imports.fit_sockets()
        linecache = sys.modules.get("linecache")
        if linecache:  # for modules that show source lines: traceback, inspect, warnings
            linecache.cache[SOURCE_FILE] = (len(self.source), None, self.lines, SOURCE_FILE)

    def prepare(self):
        _reseed()
        if self.failure is None:
            self.check_arguments.problem({})
            if self.needs_loop:
                self._open_loop()

    def forget(self):
        """As if the body had not run yet."""
        self.space = self.binder = None

    # ---- the body ----

    def _start(self, values, secrets):
        if self.failure is not None:
            raise self.failure.with_traceback(None)
        module = types.ModuleType("tool")
        sys.modules["tool"] = module  # dataclasses and typing look classes up by module
        space = module.__dict__
        space.update(
            __builtins__=self.builtins, __file__=SOURCE_FILE, arguments=values, json=json,
            secrets=types.MappingProxyType(_Secrets(secrets or ())), mcp=mcp_object.Mcp(), http=http_object.Http(),
        )
        if "datetime" in self.source:
            import datetime  # loaded when the tool was bound

            space["datetime"] = datetime
        if self.guards_importlib:
            imports.guard_importlib(space)
        exec(self.code, space)
        main = space.get("main")
        if not callable(main):
            raise errors.Refused("NameError", "the code defines no function 'main'")
        self.space, self.binder = space, arguments.Binder(main, space)

    def _renew(self, values, secrets):
        """A further call in the same process: what the one before left in the runtime's own state goes."""
        self.space["arguments"] = values
        # Placeholders are of one call.  A tool that imports the module of that name has taken the mapping's place.
        if type(self.space.get("secrets")) is types.MappingProxyType:
            self.space["secrets"] = types.MappingProxyType(_Secrets(secrets or ()))
        refused.begin()
        if any(stream.closed for stream in self.streams):
            open_streams()
            self.streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = self.streams
        if self.uses_http:
            http_object.renew()
        if self.loop is not None:
            import asyncio

            for task in asyncio.all_tasks(self.loop):
                task.cancel()

    # ---- a call ----

    def _open_loop(self):
        import asyncio

        imports.fit_sockets()
        # Never closed: the process ends as soon as its last answer is out.
        self.loop = asyncio.new_event_loop()

    def _drive(self, coroutine):
        """Run the coroutine of main.  Without a loop unless the code may need one: a loop costs more than a small
        call."""
        if self.needs_loop:
            if self.loop is None:
                self._open_loop()
            return self.loop.run_until_complete(coroutine)
        try:
            while True:
                waited_for = coroutine.send(None)
                if waited_for is not None:
                    raise RuntimeError("main waits for a %r, which needs 'import asyncio'" % type(waited_for).__name__)
        except StopIteration as e:
            return e.value

    def _call(self, values, secrets):
        self.check_arguments.demand(values)
        if self.space is None:
            self._start(values, secrets)
        else:
            self._renew(values, secrets)
        value = self.binder.call(values)
        if type(value) is _Coroutine:
            return self._drive(value)
        return self._drive(_finish(value)) if hasattr(type(value), "__await__") else value

    def run(self, values, secrets=None):
        try:
            answer = result.encode(self._call(values, secrets), self)
        except BaseException as e:
            answer = errors.answer(e, self.lines)
        self._flush()
        return answer

    def _flush(self):
        for stream in (*self.streams, sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                pass  # the tool closed or replaced it: its own output


def _reseed():
    """Calls share no random state.  The standard library sees to that itself after a fork; numpy does not."""
    random = sys.modules.get("numpy.random")
    if random is None:
        return
    try:  # a third of what seed() costs, which draws a state by way of numpy's whole arithmetic
        key = sys.modules["numpy"].frombuffer(os.urandom(_TWISTER_BYTES), "u4")
        random.set_state(("MT19937", key, _TWISTER_BYTES // 4, 0, 0.0))
    except Exception:
        random.seed()  # of another kind


async def _finish(awaitable):
    return await awaitable
