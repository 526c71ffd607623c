# id: state-scratch-parallel
# class: state
# attempts: find or change the scratch directory of a parallel call of the same tool
# expect: contained
# arguments: {"hold": false}
# with-arguments: {"hold": true}
# settings: full

import ctypes, os, re, time
def own_memory():
    """The stack of the main thread and the data of the program itself: what the process was forked with."""
    libc = ctypes.CDLL(None)
    end, here = ctypes.c_void_p.in_dll(libc, "__libc_stack_end").value, ctypes.c_char_p(b"x")
    libc.getauxval.restype = ctypes.c_ulong
    headers, found = libc.getauxval(3), [ctypes.string_at(end - 65536, 65536)]
    rows = [ctypes.cast(headers + 56 * i, ctypes.POINTER(ctypes.c_uint64 * 7))[0][:] for i in range(libc.getauxval(5))]
    base = headers - next(r[2] for r in rows if r[0] & 0xffffffff == 6)
    for kind, offset, address, physical, in_file, in_memory, align in rows:
        if kind & 0xffffffff == 1 and kind >> 32 & 2:
            found.append(ctypes.string_at(base + address, in_memory))
    return b"\0".join(found)
async def main(hold: bool):
    if hold:
        with open("parallel-mark", "w") as f:
            f.write("here")
        time.sleep(2)
        return {"escaped": False, "mine": os.getcwd(), "still": open("parallel-mark").read()}
    mine, seen = os.getcwd(), []
    parents = {os.path.dirname(mine), "/scratch", ".."}
    for name in set(re.findall(rb"/scratch/[0-9a-f]{8,16}", own_memory())):
        if name.decode() != mine:
            seen += [name.decode()] if os.path.lexists(name) else []
    for parent in parents:
        for name in (*map(str, range(600)), *("slot%d" % i for i in range(64)), ""):
            path = os.path.join(parent, name, "parallel-mark")
            if os.path.lexists(path):
                seen.append(path)
        try:
            seen += os.listdir(parent) if parent != mine else []
        except OSError:
            pass
    changed = []
    for name in map(str, range(600)):
        path = os.path.join(os.path.dirname(mine), name)
        if path != mine:
            try:
                os.utime(path, (1, 1))
                changed.append(path)
            except OSError:
                pass
    return {"escaped": bool(seen or changed), "mine": mine, "seen": seen, "changed": changed}
