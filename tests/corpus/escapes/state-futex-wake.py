# id: state-futex-wake
# class: state
# attempts: wake a parallel call through a word of a library file that all calls map
# expect: contained
# arguments: {"wake": true}
# with: state-futex-wait

import ctypes, errno, mmap, os, sys
libc = ctypes.CDLL(None, use_errno=True)

def call(nr, *args):
    """Raw system call; returns (value, errno name)."""
    ctypes.set_errno(0)
    r = libc.syscall(ctypes.c_long(nr), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    e = ctypes.get_errno()
    return r, errno.errorcode.get(e, str(e)) if r < 0 else ""

async def main(wake: bool):
    path = "/usr/lib/python%d.%d/os.py" % sys.version_info[:2]
    fd = os.open(path, os.O_RDONLY)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
    at = libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
    word = ctypes.cast(at, ctypes.POINTER(ctypes.c_uint32))[0]
    if wake:
        out = call(202, ctypes.c_void_p(at), 1, 100, None, None, 0)
    else:
        out = call(202, ctypes.c_void_p(at), 0, word, (ctypes.c_long * 2)(2, 0), None, 0)
    return {"escaped": wake and out[0] > 0, "out": out}
