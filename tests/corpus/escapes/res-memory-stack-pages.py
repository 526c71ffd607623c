# id: res-memory-stack-pages
# class: resource
# attempts: move pages of the stack elsewhere and let each grow, which no limit on data counts
# expect: contained
# memory-mb: 64

import ctypes
async def main():
    libc = ctypes.CDLL(None, use_errno=True)
    page = ctypes.c_void_p.in_dll(libc, "__libc_stack_end").value & ~4095
    mremap = libc.mremap
    mremap.restype, mremap.argtypes = ctypes.c_ssize_t, [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p]
    held, errors = 0, []
    for flags in (1 | 4, 1):  # DONTUNMAP keeps the original, so that the trick can be repeated
        for size in (400 << 20, 100 << 20, 25 << 20, 7 << 20):
            moved = mremap(page, 4096, 4096, flags, None) if flags & 4 else -1
            if moved == -1:
                errors.append(ctypes.get_errno())
                break
            grown = mremap(moved, 4096, size, 1, None)
            if grown != -1:
                ctypes.memset(grown, 1, size)
                held += size
    return {"escaped": held > 64 << 20, "held": held, "errors": errors}
