"""Entry points for the worker: preload() once before forking, run() once in each call process."""

import json

from . import errors, result, schema, tool

_loads = json.loads


def preload(with_http):
    """Import what calls need, so that children share the pages."""
    import asyncio
    import concurrent.futures.thread  # noqa: F401  lazily imported by asyncio.to_thread
    import encodings.idna  # noqa: F401
    import gc
    import importlib
    import sys

    for name in tool.DEFAULT_MODULES:
        importlib.import_module(name)
    if with_http:
        from . import http_object

        http_object.preload()
    tool.open_streams()

    async def nothing():
        await asyncio.sleep(0)

    asyncio.run(nothing())  # fills caches; its loop is closed again: epoll would be shared over fork
    sys.path_importer_cache.clear()
    gc.collect()
    gc.freeze()


def run(payload):
    """One job: JSON bytes in, the answer frame's JSON bytes out.  Never raises but for lack of memory."""
    try:
        job = tool.Job(_loads(payload))
        payload = None
        if job.kind == "inspect":
            return result.encode_inspection(schema.derive(job.code))
        return tool.run(job)
    except MemoryError:
        raise
    except BaseException as e:
        return errors.answer_internal(e)
