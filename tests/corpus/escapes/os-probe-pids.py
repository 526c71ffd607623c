# id: os-probe-pids
# class: os
# attempts: see process numbers of the host
# expect: contained
# settings: full
# note: in a namespace the parent is its process 2, or 0 when outside

import os
async def main():
    return {"escaped": os.getpid() > 100000 or os.getppid() > 2, "pid": os.getpid(), "parent": os.getppid()}
