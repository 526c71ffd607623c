"""The object `http`: httpx.AsyncClient over the egress-proxy's forward protocol (proto/egress.proto).

The transport works without an event loop (blocking, when a coroutine is driven directly) and with one.  A
stream carries one request after the other; requests that run at once use several streams.  httpx is imported
at the first use: a zygote for tools that do not name `http` has none.
"""

import json
import struct

from . import refused

HEAD_MAX = 64 * 1024
STREAMS_MAX = 16  # as the registry grants them (max_connections); what would be more waits

_dumps = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode
_loads = json.loads
_client = None
_streams = None

# Names of httpx that tools reach as attributes of `http`.
EXPORTS = frozenset((
    "HTTPError", "HTTPStatusError", "RequestError", "TransportError", "TimeoutException", "ConnectTimeout",
    "ReadTimeout", "WriteTimeout", "PoolTimeout", "NetworkError", "ConnectError", "ReadError", "WriteError",
    "ProtocolError", "RemoteProtocolError", "LocalProtocolError", "UnsupportedProtocol", "DecodingError",
    "TooManyRedirects", "InvalidURL", "Timeout", "Headers", "QueryParams", "URL", "Cookies", "Request",
    "Response", "BasicAuth", "DigestAuth",
))


class Denied(PermissionError):
    """The request may not leave: names host, rule and the tool to ask with."""

    def __init__(self, text, host=None, port=None, rule=None, hint=None):
        super().__init__(text)
        self.host, self.port, self.rule, self.hint = host, port, rule, hint


def _denied(error):
    host, port = error.get("host"), error.get("port")
    where = "%s:%s" % (host, port) if port else str(host)
    hint = error.get("hint")  # none where nothing that one could ask for would help
    text = error.get("text") or "network access to %s is not allowed" % where
    if where not in text:
        text = "%s: %s" % (where, text)
    if hint and hint not in text:
        text = "%s; %s" % (text, hint)
    refused.tell("host", where)
    return Denied(text, host, port, error.get("rule"), hint)


def _raise_for(error, request):
    import httpx

    kind = error.get("kind")
    if kind == "denied":
        raise _denied(error)
    classes = {
        "dns": httpx.ConnectError, "connect": httpx.ConnectError, "tls": httpx.ConnectError,
        "unavailable": httpx.ConnectError, "timeout": httpx.ReadTimeout, "too_large": httpx.ReadError,
    }
    text = error.get("text") or str(kind)
    raise classes.get(kind, httpx.RemoteProtocolError)(text, request=request)


def _running_loop():
    import asyncio

    return asyncio._get_running_loop()


class _Stream:
    """A socket, read and written in the way that the moment allows."""

    def __init__(self, sock, loop):
        self.sock, self.loop = sock, loop
        sock.setblocking(loop is None)

    async def send(self, data):
        if self.loop is None:
            self.sock.sendall(data)
        else:
            await self.loop.sock_sendall(self.sock, data)

    async def receive(self, count):
        data = bytearray()
        while len(data) < count:
            want = min(count - len(data), 1 << 18)
            if self.loop is None:
                part = self.sock.recv(want)
            else:
                part = await self.loop.sock_recv(self.sock, want)
            if not part:
                raise ConnectionResetError("the egress-proxy closed the connection; the host may have got the request")
            data += part
        return bytes(data)


class _Streams:
    """The call's streams: those that wait for their next request, and the requests that wait for one."""

    def __init__(self):
        import threading

        self.lock = threading.Lock()  # a tool may have an event loop in each of its threads
        self.idle, self.waiting, self.count = [], [], 0

    async def take(self):
        from . import host

        while True:
            loop = _running_loop()
            with self.lock:
                if self.idle:
                    return self.idle.pop()
                is_free = self.count < STREAMS_MAX or loop is None
                if is_free:
                    self.count += 1
                else:
                    turn = loop.create_future()
                    self.waiting.append((loop, turn))
            if is_free:
                break
            try:
                await turn
            except BaseException:
                self._leave(turn)
                raise
        try:
            return host.open_stream()
        except BaseException:
            self.end(None)
            raise

    def _leave(self, turn):
        """A request that waited is cancelled; a turn that it was given is the next one's."""
        with self.lock:
            still = [entry for entry in self.waiting if entry[1] is not turn]
            was_called = len(still) == len(self.waiting)
            self.waiting = still
        if was_called:
            self._call_next()

    def _call_next(self):
        with self.lock:
            waiting = self.waiting.pop(0) if self.waiting else None
        if waiting:
            loop, turn = waiting
            try:
                loop.call_soon_threadsafe(lambda: turn.done() or turn.set_result(None))
            except RuntimeError:
                self._call_next()  # that loop is closed

    def give_back(self, sock):
        with self.lock:
            self.idle.append(sock)
        self._call_next()

    def end(self, sock):
        if sock is not None:
            sock.close()
        with self.lock:
            self.count -= 1
        self._call_next()

    def close(self):
        with self.lock:
            idle, self.idle = self.idle, []
        for sock in idle:
            self.end(sock)


def _call_streams():
    global _streams
    if _streams is None:
        _streams = _Streams()
    return _streams


async def _exchange(head, body):
    """One request on a stream of its own or an idle one -> (answer head, body)."""
    streams = _call_streams()
    sock = await streams.take()
    try:
        stream = _Stream(sock, _running_loop())
        data = _dumps(head).encode()
        if len(data) > HEAD_MAX:
            raise ValueError("URL and headers are larger than %d bytes" % HEAD_MAX)
        try:
            await stream.send(struct.pack("<I", len(data)) + data + body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may have answered before it read all: what is wrong with the head or the size
        size = struct.unpack("<I", await stream.receive(4))[0]
        if size > HEAD_MAX:
            raise ConnectionResetError("the egress-proxy answered with other bytes")
        answer = _loads(await stream.receive(size))
        content = await stream.receive(answer.get("body_len", 0))
    except BaseException:
        streams.end(sock)  # in the middle of a frame: of no use to the next request
        raise
    streams.give_back(sock)
    return answer, content


def _timeout_ms(request):
    values = [v for v in request.extensions.get("timeout", {}).values() if v]
    return int(max(values) * 1000) if values else 0


def _response(answer, content, request):
    import httpx

    # The body comes decoded: headers that speak of its coded form would be read a second time.
    headers = [
        (k.encode("latin-1"), v.encode("latin-1"))
        for k, v in answer.get("headers", ())
        if k.lower() not in ("content-encoding", "transfer-encoding")
    ]
    extensions = {"http_version": str(answer.get("http_version", "HTTP/1.1")).encode("ascii", "replace")}
    if answer.get("reason"):
        extensions["reason_phrase"] = str(answer["reason"]).encode("latin-1", "replace")
    # As a stream, so that http.stream() reads it as it would read one that arrives.
    stream = httpx.ByteStream(content)
    return httpx.Response(answer["status"], headers=headers, stream=stream, request=request, extensions=extensions)


async def _handle(request):
    import httpx

    from . import host

    body = await request.aread()
    netloc = request.url.netloc.decode("ascii")
    if request.headers.get("host", netloc) != netloc:
        raise httpx.LocalProtocolError("the header Host cannot be set: it is that of the URL", request=request)
    # libcurl asks for the codings that it can undo; framing is the proxy's business.
    skipped = ("accept-encoding", "content-length", "transfer-encoding", "connection", "host")
    headers = [
        [k.decode("latin-1"), v.decode("latin-1")]
        for k, v in request.headers.raw
        if k.decode("latin-1").lower() not in skipped
    ]
    head = {
        "method": request.method, "url": str(request.url), "headers": headers,
        "timeout_ms": _timeout_ms(request), "body_len": len(body),
    }
    try:
        answer, content = await _exchange(head, body)
    except host.HostError as e:
        _raise_for({"kind": e.kind, "text": str(e)}, request)
    except OSError as e:
        raise httpx.ReadError(str(e), request=request) from None
    if "error" in answer:
        _raise_for(answer["error"], request)
    return _response(answer, content, request)


async def _now(timer):
    import time

    return time.perf_counter()


def _make_client(handle):
    import httpx

    # httpx 0.23 measures with the event loop's clock; here there need not be a loop.
    old_timer = getattr(httpx._utils, "Timer", None)
    if old_timer is not None:
        old_timer._get_time = _now

    class Forward(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            return await handle(request)

    # The call's own time limit ends a slow request; no environment, no certificates: TLS is the proxy's.
    return httpx.AsyncClient(transport=Forward(), timeout=None, trust_env=False, max_redirects=10)


def client():
    global _client
    if _client is None:
        preload()
        _client = _make_client(_handle)
    return _client


class Http:
    """The call's httpx.AsyncClient, with httpx's exceptions and classes beside its methods."""

    Denied = Denied

    def __getattr__(self, name):
        if name in EXPORTS:
            import httpx

            return getattr(httpx, name)
        try:
            return getattr(client(), name)
        except AttributeError:
            hint = ": it is a client already, so `await http.get(url)`" if name in ("AsyncClient", "Client") else ""
            raise AttributeError("http has no attribute '%s'%s" % (name, hint), name=name, obj=self) from None

    def __setattr__(self, name, value):
        setattr(client(), name, value)

    def __dir__(self):
        return sorted({*dir(client()), *EXPORTS, "Denied"})

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc):
        pass  # the call ends with its process


def preload():
    """Import httpx, without the command line program that comes with it: that would double its size."""
    import sys

    if "httpx" not in sys.modules:
        kept = sys.modules.get("click")
        sys.modules["click"] = None  # httpx goes without when it cannot be imported
        try:
            import httpx  # noqa: F401
        finally:
            del sys.modules["click"]
            if kept is not None:
                sys.modules["click"] = kept
    from . import host  # noqa: F401


def prepare():
    """In a zygote: the client, and one used with answers of its own until the interpreter has specialised httpx."""
    global _client
    from . import rehearsal

    async def answer(request):
        await request.aread()
        return _response({"status": 200, "headers": [["Content-Type", "application/json"], ["Set-Cookie", "a=b"]]},
                         b'{"a": 1}', request)

    async def use(client):
        for method in ("GET", "POST"):
            options = {"json": {"a": 1}} if method == "POST" else {"params": {"a": "b"}}
            (await client.request(method, "https://example.invalid/path", headers={"X-A": "b"}, **options)).json()

    preload()
    for _ in range(rehearsal.UNTIL_SPECIALIZED):
        try:
            use(_make_client(answer)).send(None)
        except StopIteration:
            pass
    _client = _make_client(_handle)


def is_prepared():
    return _client is not None


def renew():
    """A further call in the same process: no cookies, settings and streams of the one before."""
    global _client, _streams
    _client = None
    if _streams is not None:
        _streams.close()
        _streams = None
