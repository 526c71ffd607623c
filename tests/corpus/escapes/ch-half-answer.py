# id: ch-half-answer
# class: channel
# attempts: begin an answer and never end it
# expect: timeout
# wall: 2

import os, struct, time
async def main():
    os.write(3, struct.pack("<I", 1000) + b'{"ok":')
    time.sleep(60)
