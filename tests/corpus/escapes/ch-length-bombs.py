# id: ch-length-bombs
# class: channel
# attempts: announce an answer of 4 GiB and a request of 4 GiB
# expect: contained

import os, struct, time
async def main():
    for fd in (3, 4):
        try:
            os.write(fd, struct.pack("<I", 0xffffffff))
        except OSError:
            pass
    time.sleep(1)
    return {"escaped": False}
