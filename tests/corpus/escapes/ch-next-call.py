# id: ch-next-call
# class: channel
# attempts: stay after the answer and read the host channel, where another call might arrive
# expect: contained
# repeat: 3

import os, threading
def listen():
    while True:
        try:
            data = os.read(4, 65536)
        except OSError:
            return
        if data:
            os.write(1, b"CANARY-" + b"next-call")
async def main():
    threading.Thread(target=listen).start()
    return {"escaped": False}
