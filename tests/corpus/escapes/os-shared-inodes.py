# id: os-shared-inodes
# class: os
# attempts: change mode, owner, times, length or attributes of what other calls see too: devices, libraries, the place of all scratch, a tree that belongs to the executor's own user
# expect: contained
# needs: owned
# note: by path, by a path that opens nothing and by descriptor; Landlock sees none of it

import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def mkdir_at(path):
    return os.mkdir(os.path.join(path, "mark"))
def raw(nr, *args):
    """A system call that Python has no name for."""
    if libc.syscall(ctypes.c_long(nr), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args]) < 0:
        raise OSError(ctypes.get_errno(), "raw")
TREE = "/run/escape-modules"
async def main():
    places = {"/", "/scratch", os.path.dirname(os.getcwd()), "..", "/dev", "/dev/null", "/dev/urandom", "/usr/lib/x86_64-linux-gnu",
              "/etc/ssl/certs/ca-certificates.crt", "/usr/lib/python%d.%d/os.py" % sys.version_info[:2], "/usr/lib/python%d.%d" % sys.version_info[:2], TREE, TREE + "/escape_module.py",
              "/run/escape-canary/owned.txt"} - {os.getcwd()}
    done, now = [], (7, 7)
    times = struct.pack("qqqq", 7, 7, 7, 7)
    acts = [
        ("chmod", lambda p: os.chmod(p, 0o711)), ("utime", lambda p: os.utime(p, now)), ("utime now", lambda p: os.utime(p)),
        ("utime link", lambda p: os.utime(p, now, follow_symlinks=False)),
        ("chown", lambda p: os.chown(p, os.getuid(), os.getgid())), ("lchown", lambda p: os.lchown(p, -1, -1)),
        ("truncate", lambda p: os.truncate(p, 0)), ("xattr", lambda p: os.setxattr(p, "user.mark", b"1")),
        ("fchmodat2", lambda p: raw(452, -100, p.encode(), 0o711, 0)), ("mkdir", mkdir_at),
        ("setxattrat", lambda p: raw(463, -100, p.encode(), 0, b"user.mark", struct.pack("QII", 0, 0, 0), 16)),
        ("file_setattr", lambda p: raw(469, -100, p.encode(), bytes(24), 24, 0)),
        ("emptied", lambda p: os.close(os.open(p, os.O_RDONLY | os.O_TRUNC)) if not p.startswith("/dev/") else os.stat("/none")),
        ("emptied unseen", lambda p: os.close(os.open(p, 3 | os.O_TRUNC)) if not p.startswith("/dev/") else os.stat("/none")),
    ]
    held = [
        ("fchmod", lambda fd: os.fchmod(fd, 0o711)), ("futime", lambda fd: os.utime(fd, now)),
        ("utimensat", lambda fd: raw(280, fd, 0, times, 0)), ("fchown", lambda fd: os.fchown(fd, os.getuid(), os.getgid())),
        ("ftruncate", lambda fd: os.ftruncate(fd, 0)), ("fallocate", lambda fd: os.posix_fallocate(fd, 0, 1)),
        ("fxattr", lambda fd: os.setxattr(fd, "user.mark", b"1")), ("flags", lambda fd: raw(16, fd, 0x40086602, struct.pack("l", 0x80))),
    ]
    for path in sorted(places):
        for name, act in acts:
            try:
                act(path)
                done.append("%s %s" % (name, path))
            except OSError:
                pass
        for flags in (os.O_RDONLY, os.O_WRONLY, 3):
            try:
                fd = os.open(path, flags)
            except OSError:
                continue
            for name, act in held:
                try:
                    act(fd)
                    done.append("%s %s %d" % (name, path, flags))
                except OSError:
                    pass
            os.close(fd)
    return {"escaped": bool(done), "done": done}
