# id: res-watches
# class: resource
# attempts: use up what the kernel counts for the executor's whole uid: watches of epoll, inotify and fanotify, keys, message queues, timers, locked memory, asynchronous requests
# expect: contained
# needs: sibling

import ctypes, os, resource
libc = ctypes.CDLL(None, use_errno=True)
class Event(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("events", ctypes.c_uint32), ("data", ctypes.c_uint64)]
def watch():
    """Every file at every number in every epoll: the cube of the descriptors."""
    files = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 256)
    pollers = [fd for fd in (libc.epoll_create1(0) for _ in range(files // 3)) if fd >= 0]
    held = [os.eventfd(0) for _ in range(files // 4)]
    free = [n for n in range(5, files) if n not in pollers and n not in held]
    event, count = Event(1, 0), 0
    for fd in held:
        for number in free:
            os.dup2(fd, number)
            count += sum(libc.epoll_ctl(p, 1, number, ctypes.byref(event)) == 0 for p in pollers)
            os.close(number)
    for fd in held + pollers:
        os.close(fd)
    return count
async def main():
    taken = {"epoll": watch(), "epoll_create": libc.epoll_create(1), "inotify": libc.inotify_init1(0), "fanotify": libc.fanotify_init(0, 0)}
    taken["mqueue"] = libc.syscall(240, b"mark", 0o102, 0o600, None)
    taken["timer"] = libc.syscall(222, 1, None, ctypes.byref(ctypes.c_int()))
    taken["aio"] = libc.syscall(206, 1, ctypes.byref(ctypes.c_ulong()))
    taken["io_uring"] = libc.syscall(425, 8, ctypes.create_string_buffer(120))
    page = ctypes.create_string_buffer(8192)
    taken["mlock"], taken["mlock2"], taken["mlockall"] = libc.mlock(page, 4096), libc.syscall(325, page, 4096, 0), libc.mlockall(1)
    return {"escaped": any(v > 0 or (v == 0 and k != "epoll") for k, v in taken.items()), "taken": taken}
