# id: res-descriptors-sent
# class: resource
# attempts: send descriptors in messages at all, in every way the kernel knows
# expect: contained
# note: those under way count for the whole uid of the host, and are judged before they are counted

import array, ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
class Iov(ctypes.Structure):
    _fields_ = [("base", ctypes.c_char_p), ("len", ctypes.c_size_t)]
class Head(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("namelen", ctypes.c_uint), ("iov", ctypes.c_void_p), ("iovlen", ctypes.c_size_t),
                ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t), ("flags", ctypes.c_int), ("sent", ctypes.c_uint)]
async def main():
    a, b = socket.socketpair()
    held = array.array("i", [a.fileno()] * 253)
    text = ctypes.create_string_buffer(bytes(ctypes.c_size_t(16 + 4 * 253)) + bytes(ctypes.c_int(1)) + bytes(ctypes.c_int(1)) + held.tobytes())
    iov = Iov(b"x", 1)
    head = Head(None, 0, ctypes.addressof(iov), 1, ctypes.addressof(text), 16 + 4 * 253, 0, 0)
    sent = []
    def attempt(name, act):
        try:
            if act() >= 0:
                sent.append(name)
        except OSError:
            pass
    attempt("sendmsg", lambda: a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, held)]))
    attempt("host channel", lambda: socket.socket(fileno=os.dup(4)).sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, held)]))
    attempt("sendmmsg", lambda: libc.syscall(307, a.fileno(), ctypes.byref(head), 1, 0))
    attempt("io_uring", lambda: libc.syscall(425, 8, ctypes.create_string_buffer(120)))
    return {"escaped": bool(sent), "sent": sent}
