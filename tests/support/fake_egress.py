"""An egress-proxy that answers by itself."""

import json
import os
import socket
import struct
import threading

BODY_MAX = 10 * 1024 * 1024


class FakeEgress:
    """Speaks forward mode (proto/egress.proto) on every connection; remembers what was asked.

    Paths: /status/N answers with that status, /error/KIND and /denied with an error, /cookie sets one, /gone ends
    the connection without an answer, /size/N answers with N bytes, /meet/N waits until N requests wait; all else
    with what was asked.
    """

    def __init__(self, path):
        self.asked, self.connections, self.bodies = [], 0, []
        self.barriers, self.lock = {}, threading.Lock()
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(path)
        os.chmod(path, 0o777)
        self.server.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.server.close()

    def connect(self):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self.server.getsockname())
        return connection

    def _accept(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return  # closed
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, connection.makefile("rwb") as stream:
            while True:
                size = stream.read(4)
                if len(size) < 4:
                    return
                head = json.loads(stream.read(struct.unpack("<I", size)[0]))
                if head["body_len"] > BODY_MAX:
                    data = json.dumps({"error": {"kind": "too_large", "text": "too large to read"}, "body_len": 0}).encode()
                    stream.write(struct.pack("<I", len(data)) + data)
                    return
                body = stream.read(head["body_len"])
                self.asked.append(head)
                self.bodies.append(body)
                answer, content = self._answer(head, body)
                if answer is None:
                    return
                data = json.dumps({**answer, "body_len": len(content)}).encode()
                stream.write(struct.pack("<I", len(data)) + data + content)
                stream.flush()

    def _meet(self, count):
        with self.lock:
            barrier = self.barriers.setdefault(count, threading.Barrier(count))
        barrier.wait(30)

    def _answer(self, head, body):
        path = head["url"].split("/", 3)[-1]
        if path.startswith("meet/"):
            self._meet(int(path.split("/")[1]))
        if path.startswith("gone"):
            return None, b""
        if path.startswith("denied"):
            return {"error": {"kind": "denied", "text": "other.example.com:443 is not on the allowlist",
                              "host": "other.example.com", "port": 443, "rule": "not_listed",
                              "hint": "ask for it with mcpbox_request_network_access"}}, b""
        if path.startswith("error/"):
            return {"error": {"kind": path[6:], "text": "it broke"}}, b""
        status = int(path.split("/")[1]) if path.startswith("status/") else 200
        headers = [["Content-Type", "application/json"], ["X-Twice", "a"], ["X-Twice", "b"], ["Retry-After", "7"]]
        if status in (301, 302):
            headers.append(["Location", "https://b.example.com/end"])
        if status == 401:
            headers.append(["WWW-Authenticate", 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'])
        if path.startswith("cookie"):
            headers.append(["Set-Cookie", "visit=1; Path=/"])
        content = json.dumps({"method": head["method"], "url": head["url"], "body": body.decode("latin-1"),
                              "headers": head["headers"]}).encode()
        if path.startswith("size/"):
            content = b"x" * int(path[5:])
        return {"status": status, "reason": "Fine", "http_version": "HTTP/2", "headers": headers, "url": head["url"]}, content
