"""Workers in real control groups, handed over by deploy/lib/cgroups.sh as `./mcpbox up` does.  Skipped by name where this
host has none or the tests do not run as root."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/support"))
from sandbox_driver import WAIT, Sandboxes, fresh_uid  # noqa: E402

UID = fresh_uid()
GREEDY = """
def main():
    held = []
    for _ in range(40):
        held.append(bytearray(10 << 20))
    return len(held)
"""


def shell(command):
    script = f"is_root() {{ true; }}; data=/test-{os.getpid()}; . {ROOT}/deploy/lib/cgroups.sh; {command}"
    return subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(name="place")
def made_place():
    if os.geteuid() != 0:
        pytest.skip("cgroup: only root can hand one over")
    shell(f"cgroup_make py {UID}")
    dirs = shell("cgroup_dirs py")
    if not dirs:
        pytest.skip("cgroup: this host has neither v2 with memory and pids nor both of v1")
    yield dirs
    shell("cgroup_remove py")
    assert not any(Path(d).exists() for d in dirs.split(":")), "groups are left behind"


def groups(place):
    """{directory: inode}: names come again, inodes do not."""
    return {g: g.stat().st_ino for d in place.split(":") for g in Path(d).glob("worker-*")}


def home(pid):
    try:
        return Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return ""  # it ended meanwhile


def start(place):
    return Sandboxes(cgroup=place, uid=UID)


def test_each_worker_has_a_group_and_leaves_none(place):
    box = start(place)
    assert box.layers["cgroup"] in (1, 2)
    assert box.run("def main(): return 42")["structured"] == 42
    assert groups(place)
    homes = [text for pid in box.processes() if (text := home(pid))]
    assert homes and all(text.count("/worker-") == len(place.split(":")) for text in homes), homes
    assert box.close() == 0
    assert not groups(place)


def test_the_kernel_s_kill_is_told_as_the_memory_limit(place):
    """The place is given less than the call may take, so that the group ends it before its own limit does."""
    limit = "memory.max" if (Path(place.split(":")[0]) / "memory.max").exists() else "memory.limit_in_bytes"
    (Path(place.split(":")[0]) / limit).write_text(str(250 << 20))
    box = start(place)
    answer = box.run(GREEDY, memory_mb=600)
    assert answer["outcome"] == "memory", answer
    assert "memory limit 600 MiB exceeded" in answer["error"]
    assert box.run("def main(): return 1")["structured"] == 1
    assert box.close() == 0


def test_what_a_killed_executor_leaves_is_removed_by_the_next(place):
    box = start(place)
    assert box.run("def main(): return 1")["structured"] == 1
    box.process.kill()
    box.process.wait()
    before = set(groups(place).items())
    assert before
    box = start(place)
    until = time.monotonic() + WAIT
    while before & set(groups(place).items()):
        assert time.monotonic() < until
        assert box.run("def main(): return 1")["structured"] == 1
    assert box.close() == 0


def test_without_a_place_it_says_so_and_goes_on():
    box = Sandboxes()
    assert box.layers["cgroup"] is False
    assert box.run("def main(): return 1")["structured"] == 1
    assert box.close() == 0
