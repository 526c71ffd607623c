"""The channel to the executor: frames of u32 little-endian length + JSON on descriptor 4.

Asked over it: progress and log events, and streams to the egress-proxy, which come back as descriptors.
"""

import json
import socket
import struct
import threading

HOST_FD = 4
FRAME_MAX = 60 * 1024

_dumps = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode
_loads = json.loads
_lock = threading.Lock()
_channel = None


class HostError(Exception):
    """The executor refused: kind and text."""

    def __init__(self, kind, text):
        super().__init__(text)
        self.kind = kind


def _connection():
    global _channel
    if _channel is None:
        _channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=HOST_FD)
    return _channel


def _send(message):
    data = _dumps(message).encode()
    if len(data) > FRAME_MAX:
        raise ValueError("larger than %d bytes" % FRAME_MAX)
    _connection().sendall(struct.pack("<I", len(data)) + data)


def _receive():
    """One frame and the descriptors that came with it."""
    data, fds, need = b"", [], 4
    while len(data) < need:
        part, new, _, _ = socket.recv_fds(_connection(), need - len(data), 4)
        fds += new
        if not part:
            raise HostError("unavailable", "the executor does not answer")
        data += part
        if need == 4 and len(data) == 4:
            need += struct.unpack("<I", data)[0]
    return _loads(data[4:]), fds


def send_event(message):
    with _lock:
        _send(message)


def open_stream():
    """A connected socket to the egress-proxy, bound to this call."""
    with _lock:
        _send({"op": "open"})
        answer, fds = _receive()
    if not fds:
        error = answer.get("error") or {}
        raise HostError(error.get("kind", "unavailable"), error.get("text", "no stream"))
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=fds[0])
