# id: ch-host-flood
# class: channel
# attempts: flood the host channel with requests of every kind and shape
# expect: contained
# needs: sibling

import os, struct, time
SHAPES = [b"{}", b"[" * 5000, b'{"op":"open"}', b'{"op":"progress","event":{"progress":1e999}}', b'{"op":"log","event":{"level":"x","data":' + b"[" * 90 + b"]" * 90 + b"}}",
          b'{"op":"refused","event":{"kind":"import","name":"' + b"x" * 60000 + b'"}}', b"\xff\xfe", b'{"op":"open","op":"log"}', b"", b"null", b'{"op":"\\u0000"}']
async def main():
    end, sent = time.monotonic() + 2, 0
    os.set_blocking(4, False)
    while time.monotonic() < end:
        for shape in SHAPES:
            try:
                sent += os.write(4, struct.pack("<I", len(shape)) + shape)
            except BlockingIOError:
                time.sleep(0.001)
            except OSError as e:
                return {"escaped": False, "sent": sent, "error": str(e)}
    return {"escaped": False, "sent": sent}
