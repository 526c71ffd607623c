# id: res-storage-storm
# class: resource
# attempts: have the host's disk write its journal without end, by syncing files that can only be read
# expect: contained
# needs: sibling
# note: slows everybody who writes; a call has nothing on a disk

import ctypes, mmap, os, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
async def main():
    path = "/usr/lib/python%d.%d/os.py" % sys.version_info[:2]
    fd, size = os.open(path, os.O_RDONLY), os.path.getsize(path)
    area = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
    at = libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
    bad = 1 << 20  # a descriptor that is not there: who asks the kernel is told so
    reached = [name for name, act in (
        ("fsync", lambda: libc.fsync(bad)), ("fdatasync", lambda: libc.fdatasync(bad)), ("msync", lambda: libc.msync(ctypes.c_void_p(4096), 4096, 4)),
        ("syncfs", lambda: libc.syncfs(bad)), ("sync_file_range", lambda: libc.sync_file_range(bad, ctypes.c_long(0), ctypes.c_long(0), 7)),
    ) if act() < 0 and ctypes.get_errno() in (9, 12)]
    end = time.monotonic() + 1
    def storm():
        while time.monotonic() < end:
            libc.fsync(fd), libc.fdatasync(fd), libc.msync(ctypes.c_void_p(at), 4096, 4), libc.syncfs(fd), libc.sync()
    threads = [threading.Thread(target=storm) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    return {"escaped": bool(reached), "reached": reached, "size": len(area)}
