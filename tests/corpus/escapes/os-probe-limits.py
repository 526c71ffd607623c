# id: os-probe-limits
# class: os
# attempts: find a limit that was not set
# expect: contained

import resource
async def main():
    names = ("AS", "DATA", "CPU", "NPROC", "NOFILE", "FSIZE", "CORE", "MEMLOCK", "STACK", "MSGQUEUE", "SIGPENDING")
    got = {n: resource.getrlimit(getattr(resource, "RLIMIT_" + n))[1] for n in names if hasattr(resource, "RLIMIT_" + n)}
    must_be_zero = [n for n in ("CORE", "MEMLOCK", "MSGQUEUE") if got.get(n)]
    return {"escaped": -1 in got.values() or bool(must_be_zero), "got": got}
