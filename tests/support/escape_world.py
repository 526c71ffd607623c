"""A throw-away world for hostile tools: own network, own mounts, nothing of the host writable, an own uid.

enter() moves the calling process into it; everything it starts from then on lives there, and all of it goes
with the last process.  Needs root.
"""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
from pathlib import Path

import sandbox_driver

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWNET = 0x20000, 0x8000000, 0x40000000
MS_REC, MS_PRIVATE, MS_BIND = 0x4000, 0x40000, 0x1000
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY = 442, -100, 0x8000, 1
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
WRITABLE = {"/tmp": 0o1777, "/var/tmp": 0o1777, "/run": 0o755, "/dev/shm": 0o1777}

libc = ctypes.CDLL(None, use_errno=True)


def _check(r, what):
    if r != 0:
        raise OSError(ctypes.get_errno(), "%s: %s" % (what, os.strerror(ctypes.get_errno())))


def _mount(source, target, kind=None, flags=0, data=None):
    encoded = [None if t is None else t.encode() for t in (source, target, kind, data)]
    _check(libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3]), "mount " + target)


def _read_only(path, wanted):
    """The mounts at and below path."""
    set_, clear = (MOUNT_ATTR_RDONLY, 0) if wanted else (0, MOUNT_ATTR_RDONLY)
    attr = struct.pack("QQQQ", set_, clear, 0, 0)
    _check(libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, path.encode(), AT_RECURSIVE, attr, len(attr)), "mount_setattr " + path)


def _raise_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


def _point_resolver_here():
    made = Path("/run/escape-resolv.conf")
    made.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    os.chmod(made, 0o644)
    target = os.path.realpath("/etc/resolv.conf")
    if not os.path.exists(target):  # a link into /run, which is empty now
        os.makedirs(os.path.dirname(target), exist_ok=True)
        Path(target).touch()
    _mount(str(made), target, flags=MS_BIND)


def enter():
    """Before any thread is started."""
    # By descriptor: the clone may lie in a directory that is about to be covered.
    sources = [os.open(p, os.O_PATH) for p in (sandbox_driver.SOURCE_BIN, sandbox_driver.SOURCE_RUNTIME)]
    here = os.open(".", os.O_PATH)
    _check(libc.unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET), "unshare")
    _mount(None, "/", flags=MS_REC | MS_PRIVATE)
    _read_only("/", True)
    for path in ("/proc", "/sys/fs/cgroup"):  # id maps and delegated groups are written there
        if os.path.ismount(path):
            _read_only(path, False)
    for path, mode in WRITABLE.items():
        _mount("escapes", path, "tmpfs", data="size=512m,mode=%o" % mode)
    _raise_loopback()
    _point_resolver_here()
    sandbox_driver.SOURCE_BIN, sandbox_driver.SOURCE_RUNTIME = [Path("/proc/self/fd/%d" % fd) for fd in sources]
    os.fchdir(here)


def throw_away(*command, **kwargs):
    """Runs the command and lets it be killed with this process: nothing of a world outlives its test."""
    return subprocess.Popen(command, preexec_fn=lambda: libc.prctl(1, 9), **kwargs)
