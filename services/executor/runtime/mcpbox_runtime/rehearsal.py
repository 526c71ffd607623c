"""A small tool that is called before there is a call: in the zygote until the interpreter has specialised the
runtime's own code (else each process would do it anew, on pages of its own), and in each call process once, so
that its page faults come ahead of the call.
"""

from . import tool

UNTIL_SPECIALIZED = 24  # calls; the interpreter of Python 3.11 specialises after 8, that of 3.13 after 16

_SOURCE = """
async def main(text: str, number: int = 1):
    return {"text": text, "number": number}
"""
_SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string"}, "number": {"type": "integer", "default": 1}},
    "required": ["text"],
    "additionalProperties": False,
}
_CALL = b'{"arguments":{"text":"warm","number":2}}'
_tool = None


def _rehearsed():
    global _tool
    if _tool is None:
        _tool = tool.Tool({"kind": "run", "code": _SOURCE, "input_schema": _SCHEMA})
    return _tool


def perform(serve, times):
    rehearsed = _rehearsed()
    for _ in range(times):
        rehearsed.forget()
        serve(rehearsed, _CALL)
