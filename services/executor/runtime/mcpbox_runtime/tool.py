"""Compiles a tool, runs its main, encodes what it gives."""

import inspect
import linecache
import sys
import types

from . import arguments, errors, imports, mcp_object, result

SOURCE_FILE = "tool.py"

DEFAULT_MODULES = tuple(
    "json base64 binascii html csv xml.etree.ElementTree re string textwrap difflib datetime time calendar "
    "zoneinfo math decimal fractions random statistics collections itertools functools operator hashlib hmac "
    "secrets urllib.parse dataclasses typing enum copy asyncio uuid contextlib".split()
)


class Job:
    """What came in the payload.  An object, so that a tool that looks at the frames below its own meets a name and
    not the whole text."""

    __slots__ = ("kind", "code", "lines", "arguments", "input_schema", "output_schema", "modules", "result_kb")

    def __init__(self, fields):
        self.kind = fields["kind"]
        self.code = fields["code"]
        self.lines = self.code.splitlines(True)
        self.arguments = fields.get("arguments")
        self.input_schema = fields.get("input_schema")
        self.output_schema = fields.get("output_schema")
        self.modules = tuple(fields.get("modules", ()))
        self.result_kb = fields.get("result_kb") or result.DEFAULT_RESULT_KB

    def needs_loop(self):
        """Code that names asyncio or uses foreign modules may need an event loop."""
        return "asyncio" in self.code or bool(set(self.modules) - set(DEFAULT_MODULES))


def open_streams():
    """sys.stdout and sys.stderr over descriptors 1 and 2, line by line: what was printed before a call is
    killed is kept."""
    sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)


def _namespace(job, values):
    import datetime
    import json

    module = types.ModuleType("tool")
    sys.modules["tool"] = module  # dataclasses and typing look classes up by module
    space = module.__dict__
    space.update(
        __builtins__=imports.make_builtins(DEFAULT_MODULES + job.modules),
        __file__=SOURCE_FILE, arguments=values, json=json, datetime=datetime,
        secrets=types.MappingProxyType({}), mcp=mcp_object.Mcp(), http=_http(),
    )
    return space


class _LazyHttp:
    """Loads httpx at the first use: a zygote for tools that do not mention `http` has none."""

    def __getattr__(self, name):
        from . import http_object

        return getattr(http_object.Http(), name)


def _http():
    if "mcpbox_runtime.http_object" not in sys.modules:
        return _LazyHttp()
    from . import http_object

    return http_object.Http()


def _drive(coroutine, job):
    """Run the coroutine of main.  A loop costs 2 ms and more; it is made only for code that may need it."""
    if job.needs_loop():
        import asyncio

        # Left open and tasks left alone: the process ends as soon as the answer is out.
        return asyncio.new_event_loop().run_until_complete(coroutine)
    try:
        while True:
            waited_for = coroutine.send(None)
            if waited_for is not None:
                raise RuntimeError("main waits for %r, which needs 'import asyncio'" % type(waited_for).__name__)
    except StopIteration as e:
        return e.value


async def _finish(awaitable):
    return await awaitable


def _call_main(space, job, values):
    main = space.get("main")
    if not callable(main):
        raise errors.Refused("NameError", "the code defines no function 'main'")
    positional, named = arguments.bind(main, values, space)
    value = main(*positional, **named)
    if inspect.iscoroutine(value):
        return _drive(value, job)
    if inspect.isawaitable(value):
        return _drive(_finish(value), job)
    return value


def _flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass  # the tool closed or replaced it: its own output


def run(job):
    linecache.cache[SOURCE_FILE] = (len(job.code), None, job.lines, SOURCE_FILE)
    try:
        values = arguments.check(job.arguments, job.input_schema)
        space = _namespace(job, values)
        exec(compile(job.code, SOURCE_FILE, "exec", dont_inherit=True), space)
        answer = result.encode(_call_main(space, job, values), job)
    except BaseException as e:
        answer = errors.answer(e, job.lines)
    _flush()
    return answer
