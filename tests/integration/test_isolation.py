"""A call cannot see an earlier or a parallel one: memory, files, environment, descriptors, random state; what is shared
is shared within a zygote generation of one tool and nowhere else.  Runs without root too."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from sandbox_driver import Sandboxes  # noqa: E402

CALLS = 6


@pytest.fixture(scope="module", params=["full", "docker"])
def box(request):
    made = Sandboxes(request.param)
    yield made
    assert made.close() == 0


def value(answer):
    assert answer["outcome"] == "ok", answer
    return answer["structured"]


def beside(box, count, code, **order):
    """Calls that run at the same time."""
    return [value(box.take(b)) for b in [box.start(code, **order) for _ in range(count)]]


RANDOM = """
import os, random, secrets, ssl, tempfile, uuid
def main():
    return {"random": random.random(), "uuid4": str(uuid.uuid4()), "uuid1": str(uuid.uuid1()), "name": next(tempfile._get_candidate_names()),
            "openssl": ssl.RAND_bytes(8).hex(), "secrets": secrets.token_hex(8), "urandom": os.urandom(8).hex(), "float": random.gauss(0, 1)}
"""
ORDER = {"modules": ["os", "ssl", "tempfile"]}


def test_random_state_differs_between_calls_one_after_the_other_and_at_once(box):
    drawn = [value(box.run(RANDOM, **ORDER)) for _ in range(CALLS)] + beside(box, CALLS, RANDOM, **ORDER)
    for name in drawn[0]:
        assert len({d[name] for d in drawn}) == len(drawn), name


def test_random_state_never_repeats_over_many_calls(box):
    drawn = [value(box.run(RANDOM, **ORDER)) for _ in range(200)]
    for name in drawn[0]:
        assert len({d[name] for d in drawn}) == len(drawn), name


LAYOUT = "def main(): return [hash('x'), id(object), id([]) >> 12]"


def test_hash_seed_and_layout_are_shared_by_calls_of_a_tool_only(box):
    first = [value(box.run(LAYOUT)) for _ in range(3)]
    assert len({(h, o) for h, o, _ in first}) == 1
    others = [value(box.run(LAYOUT, tool="tool-%d" % i)) for i in range(2)] + [value(box.run(LAYOUT, server="server-%d" % i)) for i in range(2)]
    seeds = [h for h, _, _ in [first[0], *others]]
    assert len(set(seeds)) == len(seeds), seeds
    assert len({o for _, o, _ in [first[0], *others]}) > 1


def test_after_a_suspicious_death_the_layout_is_a_new_one(box):
    """SIGSEGV, SIGABRT, SIGSYS: who probes for addresses does not find the same ones again."""
    deaths = ("ctypes.string_at(8)", "ctypes.CDLL(None).abort()", "ctypes.CDLL(None).ptrace(0, 0, 0, 0)")
    codes = ["import ctypes\ndef main(die: bool):\n  if die: %s\n  return [hash('x'), id(object)]" % death for death in deaths]

    def layouts():
        return [value(box.run(code, modules=["ctypes"], arguments={"die": False})) for code in codes]

    before = layouts()
    for code in codes:
        assert box.run(code, modules=["ctypes"], arguments={"die": True})["outcome"] in ("crash", "forbidden")
    until = time.monotonic() + 20  # at most one in ten seconds, and the new one is made first
    while any(now == old for now, old in zip(layouts(), before)):
        assert time.monotonic() < until
        time.sleep(0.1)


DESCRIPTORS = """
import os, stat
def main():
    found = {}
    for fd in range(0, 4096):
        try: s = os.fstat(fd)
        except OSError: continue
        found[fd] = "pipe" if stat.S_ISFIFO(s.st_mode) else "socket" if stat.S_ISSOCK(s.st_mode) else oct(s.st_mode)
    return found
"""


def test_exactly_these_descriptors_are_inherited(box):
    assert value(box.run(DESCRIPTORS, modules=["os", "stat"], files=1000)) == {
        "0": "pipe", "1": "pipe", "2": "pipe", "3": "pipe", "4": "socket"}


def test_descriptors_of_an_earlier_call_are_not_there(box):
    code = DESCRIPTORS.replace("def main():", "def main(leave: bool):\n    if leave: return [os.open('/dev/null', 0) for _ in range(50)][-1]")
    assert value(box.run(code, modules=["os", "stat"], arguments={"leave": True})) > 50
    assert len(value(box.run(code, modules=["os", "stat"], arguments={"leave": False}))) == 5


MEMORY = """
import gc
held = {"body": "SECRET-" + "of-the-body"}
def main(secret: str, look: bool):
    held["argument"] = secret
    if not look:
        return None
    seen = []
    for o in gc.get_objects():
        if isinstance(o, dict): seen += [v for v in o.values() if isinstance(v, str)]
        elif isinstance(o, (list, tuple)): seen += [v for v in o if isinstance(v, str)]
    return sorted({s for s in seen if s.startswith("SECRET-") and s not in (secret, "SECRET-of-the-body", "SECRET-")})
"""


def test_arguments_of_an_earlier_and_of_a_parallel_call_are_not_in_memory(box):
    for i in range(3):
        box.run(MEMORY, modules=["gc"], arguments={"secret": "SECRET-earlier-%d" % i, "look": False})
    running = [box.start(MEMORY.replace("held = ", "import time\nheld = ").replace("return None", "time.sleep(1)"), modules=["gc"],
                         arguments={"secret": "SECRET-parallel", "look": False})]
    assert value(box.run(MEMORY, modules=["gc"], arguments={"secret": "SECRET-own", "look": True})) == []
    assert box.take(running[0])["outcome"] == "ok"


def test_body_of_a_tool_runs_in_each_call_anew(box):
    code = "count = [0]\ndef main():\n  count[0] += 1\n  return count[0]"
    assert [value(box.run(code)) for _ in range(3)] == [1, 1, 1]


def test_environment_is_built_and_does_not_carry_over(box):
    code = "import os\ndef main(leave: bool):\n  if leave: os.environ['LEFT'] = 'x'\n  return dict(os.environ)"
    box.run(code, modules=["os"], arguments={"leave": True})
    found = value(box.run(code, modules=["os"], arguments={"leave": False}))
    assert set(found) <= {"LANG", "HOME", "TMPDIR", "PATH", "TZ", "SSL_CERT_FILE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "LD_BIND_NOW", "LC_CTYPE"}


FILES = """
import os, time
def main(name: str, wait: float):
    before = sorted(os.listdir("."))
    with open(name, "w") as f: f.write("x")
    time.sleep(wait)
    return [before, sorted(os.listdir(".")), os.getcwd(), os.environ["HOME"], os.environ["TMPDIR"]]
"""


def test_parallel_calls_have_scratch_directories_of_their_own():
    box = Sandboxes("full")
    running = [box.start(FILES, modules=["os"], arguments={"name": "f%d" % i, "wait": 0.5}) for i in range(4)]
    found = [value(box.take(b)) for b in running]
    for i, (before, after, here, home, tmp) in enumerate(found):
        assert (before, after, home, tmp) == ([], ["f%d" % i], here, here)
    assert len({f[2] for f in found}) == 4
    assert value(box.run(FILES, modules=["os"], arguments={"name": "later", "wait": 0}))[:2] == [[], ["later"]]
    assert box.close() == 0


def test_working_directory_umask_and_signals_do_not_carry_over(box):
    code = ("import os, signal\ndef main(leave: bool):\n  seen = [oct(os.umask(0o777 if leave else 0)), int(signal.getsignal(signal.SIGUSR1)), sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))]\n"
            "  if leave: signal.signal(signal.SIGUSR1, signal.SIG_IGN); signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])\n  return seen")
    order = dict(modules=["os", "signal"])
    first = value(box.run(code, arguments={"leave": True}, **order))
    assert value(box.run(code, arguments={"leave": False}, **order)) == first == ["0o77", 0, []]


def test_source_of_a_tool_reaches_no_log(box):
    """What the compiler warns of shows source lines; the zygote's standard error is the executor's."""
    mark = "SECRET-in-the-source"
    for code in ("def main():\n    if 1 is 1: return '%s'" % mark, "def main(): return '\\d %s'" % mark, "def main(: '%s'" % mark, "x = " + "-" * 9999 + "'%s'" % mark):
        box.run(code)
    assert mark not in json.dumps(box.log)


def test_a_call_does_not_learn_the_hosts_name():
    with contextlib.closing(Sandboxes("full")) as box:
        assert value(box.run("import os, platform\ndef main(): return [os.uname().nodename, platform.node()]",
                             modules=["os", "platform"])) == ["sandbox", "sandbox"]


HOLDS_DESCRIPTORS = """
import array, resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
pairs = [socket.socketpair() for _ in range(8)]
for a, _ in pairs:
    a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * 250))])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="two processes of another uid need root")
def test_too_many_descriptors_under_way_hold_a_first_call_up_and_nothing_breaks():
    """The kernel counts them for a whole uid: somebody else's make FORK and TOOL fail."""
    with contextlib.closing(Sandboxes(launcher=("prlimit", "--nofile=1024:1024"))) as box:
        assert box.run("def main(): return 1")["structured"] == 1
        holder = subprocess.Popen([sys.executable, "-c", HOLDS_DESCRIPTORS], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  user=box.uid, group=box.uid, extra_groups=[])
        assert holder.stdout.readline() == "held\n"
        waiting = box.start("def main(): return 2", timeout_ms=20000)
        until = time.monotonic() + 10
        while not any("tool_not_sent" in line for line in box.log) and time.monotonic() < until:
            time.sleep(0.01)
        assert any("tool_not_sent" in line for line in box.log)
        holder.stdin.close()
        assert holder.wait(10) == 0
        answer = box.take(waiting)
        assert answer["structured"] == 2, answer
        assert box.run("def main(): return 1")["structured"] == 1
        assert not any("worker_stuck" in line or "worker_lost" in line for line in box.log), box.log
