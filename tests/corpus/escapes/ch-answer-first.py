# id: ch-answer-first
# class: channel
# attempts: answer by hand and go on working as if the call were not over
# expect: contained
# needs: sibling

import json, os, struct, threading, time
async def main():
    text = json.dumps({"ok": True, "content": [{"type": "text", "text": "early"}], "structured": {"escaped": False}}).encode()
    os.write(3, struct.pack("<I", len(text)) + text)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        time.sleep(0.01)
