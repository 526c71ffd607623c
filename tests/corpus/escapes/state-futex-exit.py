# id: state-futex-exit
# class: state
# attempts: wake a parallel call by the end of a thread whose end the kernel tells at a word of a library file
# expect: contained
# arguments: {"wake": true}
# with: state-futex-wait
# note: set_tid_address() is refused; clone() with such an address remains, between calls that work together

import ctypes, mmap, os, sys, _thread, time
libc = ctypes.CDLL(None, use_errno=True)
async def main(wake: bool):
    fd = os.open("/usr/lib/python%d.%d/os.py" % sys.version_info[:2], os.O_RDONLY)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
    at = libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
    taken = []
    _thread.start_new_thread(lambda: taken.append(libc.syscall(218, ctypes.c_void_p(at))), ())
    time.sleep(0.3)
    return {"escaped": taken != [-1], "taken": taken}
