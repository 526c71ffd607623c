"""How zygotes of tools come and go, and what one that was taken over cannot do: real workers, and one that lies."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from sandbox_driver import WAIT, Sandboxes, fresh_uid  # noqa: E402

SEED = "def main(): return hash('a generation has one seed')"


@pytest.fixture
def folder():
    # Not pytest's own directory: other users have to read it.
    with tempfile.TemporaryDirectory(prefix="mcpbox-zygotes-") as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


def until_true(condition):
    until = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def logged(box, event):
    return [line for line in box.log if event in line]


@pytest.mark.parametrize("option", [("--generation-calls", "3"), ("--generation-ms", "200")])
def test_a_generation_ends_after_so_many_calls_or_so_long(option):
    box = Sandboxes(options=option)
    first = box.run(SEED)["structured"]
    until_true(lambda: box.run(SEED)["structured"] != first)
    assert box.close() == 0


def test_a_generation_lasts_until_then():
    box = Sandboxes()
    assert len({box.run(SEED)["structured"] for _ in range(30)}) == 1
    assert box.close() == 0


def test_the_least_recently_used_zygote_goes_when_memory_is_used_up(folder):
    """Each takes 64 MiB and some 20 more: two have room, three have not."""
    (folder / "ballast.py").write_text("held = bytearray(64 << 20)\n")
    os.chmod(folder / "ballast.py", 0o644)
    box = Sandboxes(module_dirs=str(folder), options=("--tools-mb", "200"))

    def seed_of(tool):
        answer = box.run("import ballast\n" + SEED, tool=tool, modules=["ballast"])
        assert answer["outcome"] == "ok", answer
        return answer["structured"]

    a, b = seed_of("a"), seed_of("b")
    assert seed_of("a") == a and not logged(box, "executor.tool_evicted")
    c = seed_of("c")
    until_true(lambda: logged(box, "executor.tool_evicted"))
    assert (seed_of("c"), seed_of("a")) == (c, a)
    assert seed_of("b") != b
    assert box.close() == 0


def test_a_tool_that_cannot_be_bound_is_tried_less_and_less_often(folder):
    """After 50, 100, 200, 400 ms and so on: within a second five workers are used up, not fifty."""
    (folder / "deadly.py").write_text("import os\nos._exit(3)\n")
    os.chmod(folder / "deadly.py", 0o644)
    box = Sandboxes(module_dirs=str(folder))
    answer = box.run("import deadly\ndef main(): pass", modules=["deadly"], timeout_ms=1000)
    assert answer["outcome"] == "timeout" and "the tool did not run" in answer["error"], answer
    assert 2 <= len(logged(box, "executor.worker_lost")) <= 5
    assert box.run("def main(): return 1")["structured"] == 1
    assert box.close() == 0


LIAR = """#!/usr/bin/python3
import os, socket, struct, time
control = socket.socket(fileno=3)
def receive(kind):
    data, fds, _, _ = socket.recv_fds(control, 65536, 8)
    if not data:
        os._exit(0)
    assert data[1] == kind, data
    return data[2:]
def say(kind, body, fds=()):
    socket.send_fds(control, [bytes([2, kind]) + body], fds)
receive(1)                                       # CONFIG
say(4, struct.pack("<III", %(layers)d, 0, 1000))  # READY
receive(2)                                       # TOOL
say(6, struct.pack("<II", 1000, 1))              # BOUND
number = receive(3)[:8]                          # FORK
say(7, number, [os.pidfd_open(%(victim)d)])      # STARTED
time.sleep(600)
"""


def test_a_worker_that_was_taken_over_cannot_have_others_killed(folder):
    """Without a pid namespace it can name any process of its user; the supervisor would kill that one for its call."""
    uid = fresh_uid() if os.geteuid() == 0 else os.geteuid()
    drop = {"user": uid, "group": uid, "extra_groups": []} if os.geteuid() == 0 else {}
    victim = subprocess.Popen(["sleep", "600"], cwd="/", **drop)
    liar = folder / "liar"
    liar.write_text(LIAR % {"layers": 1 << 7, "victim": victim.pid})
    os.chmod(liar, 0o755)
    box = Sandboxes(worker=liar, uid=uid)
    try:
        answer = box.run("def main(): pass", timeout_ms=500)
        assert answer["outcome"] != "ok", answer
        lies = [json.loads(line) for line in logged(box, "executor.worker_lied")]
        assert lies and {lie["pid"] for lie in lies} == {victim.pid}
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()
        box.process.stdin.close()
        box.process.wait()
