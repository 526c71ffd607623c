"""deploy/seccomp.json without Docker: an executor reaches all layers under it, and what it is to refuse is refused.
tests/docker/run.sh does the same in real containers."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/support"))
from sandbox_driver import SOURCE_BIN, Sandboxes, fresh_uid  # noqa: E402

# System calls by their numbers on this machine, with arguments that fail harmlessly where they are let through.
CALLS = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for number in map(int, os.environ["NUMBERS"].split()):
    ctypes.set_errno(0)
    libc.syscall(number, -1, 0, 0, 0, 0, 0)
    print(ctypes.get_errno(), end=" ")
"""
NUMBERS = {  # x86-64, aarch64
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "bpf": (321, 280), "io_uring_setup": (425, 425), "keyctl": (250, 219),
    "userfaultfd": (323, 282), "perf_event_open": (298, 241), "open_by_handle_at": (304, 265), "kexec_load": (246, 104),
}
CLONE3 = 435


@pytest.fixture(name="profile", scope="module")
def made_profile():
    """The launcher and the profile where an account without rights can read them."""
    with tempfile.TemporaryDirectory(prefix="mcpbox-profile-") as made:
        os.chmod(made, 0o755)
        for source in (SOURCE_BIN / "seccomp_profile", ROOT / "deploy/seccomp.json"):
            shutil.copy(source, made)
            os.chmod(Path(made) / source.name, 0o755)
        yield [Path(made) / "seccomp_profile", Path(made) / "seccomp.json"]


def test_all_layers_are_reached_under_it(profile):
    box = Sandboxes(launcher=profile)
    for name in ("seccomp", "landlock", "userns", "pidns", "mountns", "netns"):
        assert box.layers[name], box.layers
    assert box.run("def main(): return 42")["structured"] == 42
    assert box.close() == 0


@pytest.mark.skipif(os.uname().machine not in ("x86_64", "aarch64"), reason="numbers of other machines are not listed")
def test_the_kernel_s_depths_stay_closed(profile):
    machine = ("x86_64", "aarch64").index(os.uname().machine)
    numbers = [row[machine] for row in NUMBERS.values()] + [CLONE3]
    uid = fresh_uid() if os.geteuid() == 0 else os.geteuid()
    drop = {"user": uid, "group": uid, "extra_groups": []} if os.geteuid() == 0 else {}
    said = subprocess.run([*profile, "/usr/bin/python3", "-c", CALLS], check=True, capture_output=True, text=True, cwd="/",
                          env={"PATH": "/usr/bin:/bin", "NUMBERS": " ".join(map(str, numbers))}, **drop)
    answers = [int(word) for word in said.stdout.split()]
    assert dict(zip(NUMBERS, answers)) == dict.fromkeys(NUMBERS, errno.EPERM)
    assert answers[-1] == errno.ENOSYS
