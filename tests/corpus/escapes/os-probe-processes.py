# id: os-probe-processes
# class: os
# attempts: ask the kernel about other process numbers: group, session, priority, scheduler, capabilities, CPU time
# expect: contained
# needs: sibling
# note: an answer tells that a parallel call is there

import ctypes, os, time
libc = ctypes.CDLL(None, use_errno=True)
def capabilities(pid):
    if libc.capget((ctypes.c_uint32 * 2)(0x20080522, pid), (ctypes.c_uint32 * 6)()):
        raise OSError(ctypes.get_errno())
async def main():
    me, seen = {0, os.getpid()}, {}
    asks = {"group": os.getpgid, "session": os.getsid, "priority": lambda p: os.getpriority(os.PRIO_PROCESS, p), "scheduler": os.sched_getscheduler,
            "affinity": os.sched_getaffinity, "parameters": os.sched_getparam, "clock": lambda p: time.clock_gettime(~p << 3 | 2), "capabilities": capabilities}
    for pid in [n for n in (*range(1, 3000), os.getppid()) if n not in me]:
        for name, ask in asks.items():
            try:
                ask(pid)
                seen.setdefault(name, []).append(pid)
            except OSError:
                pass
    return {"escaped": bool(seen), "seen": {k: v[:5] for k, v in seen.items()}}
