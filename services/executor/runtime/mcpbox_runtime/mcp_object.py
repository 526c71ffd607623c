"""The object `mcp`: content builders, ToolError, progress and log."""

LOG_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


class ToolError(Exception):
    """Raised by a tool: the caller gets exactly this text."""


class Content:
    """One block of an answer."""

    __slots__ = ("block",)

    def __init__(self, block):
        self.block = block

    def __repr__(self):
        return "<mcp content %s>" % self.block.get("type")


class _Sent:
    """What progress() and log() return: both are done at once, with and without `await`."""

    def __await__(self):
        return iter(())


def _send(op, event):
    from . import host  # loaded ahead of the call for tools that name one of them

    host.send_event({"op": op, "event": event})
    return _Sent()


def _base64(data):
    import base64

    if isinstance(data, str):
        try:
            base64.b64decode(data, validate=True)
        except ValueError:
            raise ValueError("data must be bytes or base64 text, and this text is not base64") from None
        return data
    try:
        return base64.b64encode(memoryview(data)).decode()
    except TypeError:
        raise TypeError("data must be bytes or base64 text, not %s" % type(data).__name__) from None


def _number(value, what):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value - value != 0:
        raise TypeError("%s must be a number, not %r" % (what, value))
    return value


def _word(value, what):
    if not isinstance(value, str) or not value:
        raise TypeError("%s must be a non-empty string" % what)
    return value


class Mcp:
    ToolError = ToolError
    Content = Content

    @staticmethod
    def text(text):
        return Content({"type": "text", "text": str(text)})

    @staticmethod
    def image(data, mime):
        return Content({"type": "image", "data": _base64(data), "mimeType": _word(mime, "mime")})

    @staticmethod
    def audio(data, mime):
        return Content({"type": "audio", "data": _base64(data), "mimeType": _word(mime, "mime")})

    @staticmethod
    def resource(uri, mime, text=None, blob=None):
        if (text is None) == (blob is None):
            raise TypeError("resource() takes either text or blob")
        inner = {"uri": _word(uri, "uri"), "mimeType": _word(mime, "mime")}
        inner.update({"text": str(text)} if blob is None else {"blob": _base64(blob)})
        return Content({"type": "resource", "resource": inner})

    @staticmethod
    def link(uri, name, mime=None, description=None):
        block = {"type": "resource_link", "uri": _word(uri, "uri"), "name": _word(name, "name")}
        if mime is not None:
            block["mimeType"] = _word(mime, "mime")
        if description is not None:
            block["description"] = str(description)
        return Content(block)

    @staticmethod
    def progress(value, total=None, message=None):
        event = {"progress": _number(value, "value")}
        if total is not None:
            event["total"] = _number(total, "total")
        if message is not None:
            event["message"] = str(message)
        return _send("progress", event)

    @staticmethod
    def log(level, data):
        if level not in LOG_LEVELS:
            raise ValueError("log level must be one of %s" % ", ".join(LOG_LEVELS))
        return _send("log", {"level": level, "data": data})
