# id: state-page-cache
# class: state
# attempts: learn which pages of a shared file are in memory, and drop them
# expect: contained
# note: set by one call and seen by another of any server, it is a channel without a clock

import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)

def call(nr, *args):
    """Raw system call; returns (value, errno name)."""
    ctypes.set_errno(0)
    r = libc.syscall(ctypes.c_long(nr), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    e = ctypes.get_errno()
    return r, errno.errorcode.get(e, str(e)) if r < 0 else ""

async def main():
    path = "/usr/lib/python%d.%d/_pydecimal.py" % sys.version_info[:2]
    fd = os.open(path, os.O_RDONLY)
    data = ctypes.create_string_buffer(4096)
    vec = (ctypes.c_void_p * 2)(ctypes.addressof(data), 4096)
    os.pread(fd, 4096, 65536)
    cached = call(327, fd, vec, 1, 65536, 0, 8)  # preadv2(RWF_NOWAIT)
    dropped = call(221, fd, 65536, 4096, 4)      # posix_fadvise(DONTNEED)
    after = call(327, fd, vec, 1, 65536, 0, 8)
    return {"escaped": cached[0] > 0 or after[1] == "EAGAIN", "cached": cached, "dropped": dropped, "after": after}
