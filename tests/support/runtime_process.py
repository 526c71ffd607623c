"""The runtime in a process of its own, called as services/executor/worker calls it, without a sandbox.

As a program: runtime_process.py CHANNEL_FD ANSWER_FD; frames of u32 little-endian length and JSON come on
standard input, first the payload of bind(), then one for each run(); the answer frames go to ANSWER_FD.
"""

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

RUNTIME = Path(__file__).parents[2] / "services/executor/runtime"
HOST_FD = 4


def _frame(data):
    return struct.pack("<I", len(data)) + data


def _read_frame(stream):
    head = stream.read(4)
    return stream.read(struct.unpack("<I", head)[0]) if len(head) == 4 else None


class RuntimeProcess:
    """One tool version in one process; run() calls it.  The events that it sent and what it printed are kept."""

    def __init__(self, code, egress=None, kind="run", **fields):
        self.egress, self.events = egress, []
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        read_end, write_end = os.pipe()
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64) for fd in (its.fileno(), write_end)]
        self.process = subprocess.Popen(
            [sys.executable, "-B", __file__, *map(str, high)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, pass_fds=high, env={"PYTHONPATH": os.environ.get("PYTHONPATH", str(RUNTIME))})
        for fd in (*high, write_end):
            os.close(fd)
        its.close()
        self.answers, self.channel = os.fdopen(read_end, "rb"), mine
        self.host = threading.Thread(target=self._serve_channel, daemon=True)
        self.host.start()
        self._send({"kind": kind, "code": code, **fields})

    def _send(self, message):
        self.process.stdin.write(_frame(json.dumps(message).encode()))
        self.process.stdin.flush()

    def _serve_channel(self):
        with self.channel.makefile("rb") as stream:
            while (data := _read_frame(stream)) is not None:
                message = json.loads(data)
                if message["op"] != "open":
                    self.events.append(message)
                    continue
                connection = self.egress.connect()
                socket.send_fds(self.channel, [_frame(b"{}")], [connection.fileno()])
                connection.close()

    def run(self, **arguments):
        self._send({"arguments": arguments})
        return json.loads(_read_frame(self.answers))

    def close(self):
        """What was printed."""
        if self.process.stdin.closed:
            return None
        self.process.stdin.close()
        printed = self.process.stdout.read().decode()
        self.process.stdout.close()
        self.process.wait()
        self.answers.close()
        self.host.join()
        self.channel.close()
        return printed

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def main(channel, answers):
    os.dup2(channel, HOST_FD)
    os.close(channel)
    from mcpbox_runtime import call

    call.preload(False, False)
    call.bind(_read_frame(sys.stdin.buffer))
    call.prepare()
    while (data := _read_frame(sys.stdin.buffer)) is not None:
        os.write(answers, _frame(call.run(data)))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
