# id: os-probe-dumpable
# class: os
# attempts: be a process that others of the same user may look into
# expect: contained
# note: files of a process that cannot be dumped belong to root; where /proc is not mounted there is nothing to see

import os
async def main():
    try:
        owner = os.stat("/proc/self/mem").st_uid
    except OSError:
        return {"escaped": False, "proc": False}
    return {"escaped": owner == os.getuid(), "owner": owner}
