# id: os-probe-filter
# class: os
# attempts: find system calls that only the filter refuses, told by the kind of refusal
# expect: contained
# note: each call would be answered otherwise by the kernel

import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)

def call(nr, *args):
    """Raw system call; returns (value, errno name)."""
    ctypes.set_errno(0)
    r = libc.syscall(ctypes.c_long(nr), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    e = ctypes.get_errno()
    return r, errno.errorcode.get(e, str(e)) if r < 0 else ""

async def main():
    want = {"socket": (call(41, 16, 3, 0), "EPERM"), "memfd": (call(319, b"m", 0), "EPERM"), "clone3": (call(435, 0, 0), "ENOSYS"),
            "io_uring": (call(425, 1, 0), "ENOSYS"), "unknown": (call(999), "ENOSYS"), "personality": (call(135, -1), "EPERM"),
            "socketpair dgram": (call(53, 1, 2, 0, (ctypes.c_int * 2)()), "ENOSYS"), "get dumpable": (call(157, 3, 0, 0, 0, 0), "ENOSYS"),
            "F_SETOWN": (call(72, 0, 8, 1), "ENOSYS"), "pidfd": (call(434, 1, 0), "EPERM")}
    odd = {k: got for k, (got, wanted) in want.items() if got[1] != wanted}
    return {"escaped": bool(odd), "odd": odd}
