"""Entry points for the worker, in the order in which they are called:

    preload()   once in a spare worker, before it knows its tool
    bind()      once, when the worker becomes the zygote of one tool version; runs nothing of the tool
    prepare()   in each call process, ahead of its call, after it was hardened
    run()       in each call process, once for each call that it serves
"""

import gc
import json
import os
import sys

from . import errors, imports, refused, rehearsal, result, tool

_loads = json.loads
_bound = None


def preload(with_http, with_all):
    """Import what calls need, so that children share the pages.  with_all: every module of the standing allowlist
    too, for workers that cannot open a file any more when they bind."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numeric libraries start threads as they are imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.system = refused.system
    imports.fit_select()
    if with_all:
        tool.preload_all()
    if with_http:
        from . import http_object

        http_object.prepare()
    tool.open_streams()
    tool.show_warnings_without_paths()
    rehearsal.perform(_serve, rehearsal.UNTIL_SPECIALIZED)
    _freeze()


def _freeze():
    sys.path_importer_cache.clear()
    gc.collect()
    gc.freeze()


def bind(payload, is_late=False):
    """Take the tool: JSON bytes {kind, code, input_schema, output_schema, modules, result_kb}.  Imports the modules
    that its source names (is_late: leaves that to the calls) and compiles it.  Never raises but for lack of memory:
    what is wrong with the code is kept for the calls."""
    global _bound
    fields = _loads(payload)
    _bound = Inspection() if fields["kind"] == "inspect" else tool.Tool(fields, is_late)
    sys.stdout.flush()  # half a line that a module wrote as it was imported would be in each call's output
    _freeze()


def prepare(is_awaited=False):
    """Touch what a call touches, so that its page faults are over before it comes.  is_awaited: it is there already,
    and has its own page faults at once."""
    if not is_awaited:
        rehearsal.perform(_serve, 1)
    _bound.prepare()


def run(arguments):
    """One call: JSON bytes {arguments, secrets} in, the answer frame's JSON bytes out.  Never raises but for lack of memory."""
    return _serve(_bound, arguments)


def _serve(bound, arguments):
    try:
        fields = _loads(arguments)
        return bound.run(fields.get("arguments", {}), fields.get("secrets"))
    except MemoryError:
        raise
    except BaseException as e:
        return errors.answer_internal(e)


class Inspection:
    """The tool that derives schemas: the source comes as the argument `code`, schemas of the author's own beside it."""

    def __init__(self):
        from . import schema, validate

        self.derive, self.fault = schema.derive, validate.fault

    def prepare(self):
        self.run({"code": "def main(a: int): pass"})

    def run(self, values, secrets=None):
        found = self.derive(values["code"])
        for name in ("input_schema", "output_schema"):
            found[name + "_error"] = self.fault(values[name]) if name in values else ""
        return result.encode_inspection(found)
