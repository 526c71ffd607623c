"""Very many calls of good and hostile tools in one executor; afterwards nothing may be left behind.

    python3 tests/support/soak.py [--calls 100000] [--setting full|docker] [--clients 6]

Looks at 5 % of the calls and at the end, each time when all is quiet: no process, descriptor, mount or scratch entry
more, and no process larger by more than 5 MB.  Needs root.  Prints what it saw; exit 0 when all that holds.
"""

import argparse
import collections
import itertools
import json
import os
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import escape_world  # noqa: E402
from sandbox_driver import Sandboxes  # noqa: E402

GROWTH_MAX_KB = 5 * 1024
SETTLE_S = 15
FDS_OF_A_PROCESS = 3  # of a kind, in the supervisor, for each process that waits
EVENTS_KEPT = 64      # eventfds of the supervisor that wait for their next process (FREE_MAX in pool_internal.h)
RARE = 400            # one call in so many waits for its time limit

# name: (source, modules, outcomes that are right, order)
TOOLS = {
    "trivial": ("def main(n: int): return {'n': n}", [], {"ok"}, {}),
    "loop": ("import asyncio\nasync def main(n: int):\n  await asyncio.sleep(0)\n  return n", [], {"ok"}, {}),
    "threads": ("import threading\ndef main(n: int):\n  ts = [threading.Thread(target=int) for _ in range(8)]\n  [t.start() for t in ts]\n"
                "  [t.join() for t in ts]\n  return n", ["threading"], {"ok"}, {}),
    "output": ("def main(n: int):\n  print('x' * 5000)\n  return 'y' * 20000", [], {"ok"}, {}),
    "raises": ("def main(n: int): raise ValueError('no')", [], {"tool_error"}, {}),
    "syntax": ("def main(n: int:\n", [], {"tool_error"}, {}),
    "scratch": ("import os\ndef main(n: int):\n  os.makedirs('a/b')\n  for i in range(20): open('a/b/%d' % i, 'w').write('x' * 999)\n  return n",
                ["os"], {"ok"}, {}),
    "memory": ("def main(n: int): return len([bytearray(b'x') * (1 << 20) for _ in range(99)])", [], {"memory"}, {"memory_mb": 32}),
    "descriptors": ("import os\ndef main(n: int): return [os.dup(0) for _ in range(999)]", ["os"], {"tool_error", "files"}, {}),
    "exits": ("import os\ndef main(n: int): os._exit(7)", ["os"], {"crash"}, {}),
    "crashes": ("import ctypes\ndef main(n: int): ctypes.string_at(8)", ["ctypes"], {"crash"}, {}),
    "forbidden": ("import ctypes\ndef main(n: int): ctypes.CDLL(None).ptrace(0, 0, 0, 0)", ["ctypes"], {"forbidden"}, {}),
    "forks": ("import os\ndef main(n: int):\n  try: os.fork()\n  except OSError: return n", ["os"], {"ok"}, {}),
    "too_much": ("def main(n: int): return 'x' * (2 << 20)", [], {"result"}, {}),
    "garbage": ("import os\ndef main(n: int):\n  os.write(3, b'garbage')\n  os.write(4, b'garbage' * 99)\n  os._exit(0)", ["os"], {"crash", "result"}, {}),
    "lingers": ("import threading, time\ndef main(n: int):\n  threading.Thread(target=time.sleep, args=(99,)).start()\n  return n", ["threading"], {"ok"}, {}),
}
SLEEPER = ("import time\ndef main(n: int): time.sleep(99)", [], {"timeout"}, {"timeout_ms": 1000})
PLAN = ["trivial"] * 8 + ["loop"] * 4 + ["threads", "output", "raises", "scratch"] * 2 + [n for n in TOOLS if n != "trivial"]
QUIET_ROUNDS = 2  # each tool once more, so that two looks see the same state


class Soak:
    def __init__(self, box, say):
        self.box, self.say = box, say
        self.numbers, self.lock = itertools.count(), threading.Lock()
        self.wrong = collections.Counter()

    def call(self, number):
        name = "sleeper" if number % RARE == RARE - 1 else PLAN[number % len(PLAN)]
        code, modules, right, order = SLEEPER if name == "sleeper" else TOOLS[name]
        answer = self.box.run(code, modules=modules, arguments={"n": number}, tool=name, **order)
        if name == "scratch" and not self.box.layers["mountns"]:
            right = {"tool_error"}
        if answer["outcome"] not in right:
            with self.lock:
                self.wrong["%s: %s %s" % (name, answer["outcome"], answer["error"][:80])] += 1

    def calls(self, upto, clients):
        def client():
            while True:
                with self.lock:
                    number = next(self.numbers)
                if number >= upto:
                    return
                self.call(number)
        threads = [threading.Thread(target=client) for _ in range(clients)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.numbers = itertools.count(upto)

    def look(self):
        """What is there once all is quiet: sizes by role, counts, leftovers."""
        for _ in range(QUIET_ROUNDS):
            for name, (code, modules, _, order) in TOOLS.items():
                self.box.run(code, modules=modules, arguments={"n": 0}, tool=name, **order)
        until = time.monotonic() + SETTLE_S
        seen = self._look()
        while True:
            time.sleep(0.5)
            seen, before = self._look(), seen
            if seen["left"] == [] and {k: seen[k] for k in ("processes", "fds")} == {k: before[k] for k in ("processes", "fds")}:
                return seen
            if time.monotonic() > until:
                return seen

    def _look(self):
        tree = self.box.processes()
        sizes, mounts = {0: _rss_kb(self.box.process.pid)}, 0
        for pid in tree:
            depth = self.box.depth(tree, pid)
            sizes[depth] = max(sizes.get(depth, 0), _rss_kb(pid))
            mounts = max(mounts, _lines(pid, "mountinfo"))
        return {"rss_kb": sizes, "processes": len(tree), "mounts": mounts, "fds": _descriptors(self.box.process.pid),
                "threads": len(os.listdir("/proc/%d/task" % self.box.process.pid)), "left": self.box.strays() + self.box.scratch_entries()}


def _lines(pid, name):
    try:
        return len(Path("/proc/%d/%s" % (pid, name)).read_text().splitlines())
    except OSError:
        return 0


def _descriptors(pid):
    """Counts by kind."""
    kinds = collections.Counter()
    for entry in Path("/proc/%d/fd" % pid).iterdir():
        try:
            kinds[os.readlink(entry).partition(":")[0].rstrip("0123456789").split("/")[-1]] += 1
        except OSError:
            continue  # closed meanwhile
    return kinds


def _rss_kb(pid):
    try:
        return int(Path("/proc/%d/status" % pid).read_text().partition("VmRSS:")[2].split()[0])
    except (OSError, IndexError):
        return 0


def faults(early, late, clients):
    """What the second look finds that the first did not."""
    found = list(late["left"])
    more = late["processes"] - early["processes"]
    if more > len(TOOLS) * clients:  # as many wait for a tool as ran at once, lately, and one more
        found.append("%d processes more" % more)
    for kind, count in late["fds"].items():
        # A tool's code lies in a memory file; a tool that changes its generation at a look has one more or less.
        kept = {"anon_inode": EVENTS_KEPT, "memfd": len(TOOLS)}.get(kind, 0)
        if count > early["fds"][kind] + FDS_OF_A_PROCESS * max(0, more) + kept:
            found.append("%d descriptors of kind %s, %d at first" % (count, kind, early["fds"][kind]))
    if late["threads"] > early["threads"]:
        found.append("%d threads, %d at first" % (late["threads"], early["threads"]))
    if late["mounts"] > early["mounts"] + 8:  # a slot for each process that waits
        found.append("%d mounts, %d at first" % (late["mounts"], early["mounts"]))
    for depth, size in late["rss_kb"].items():
        if depth in early["rss_kb"] and size > early["rss_kb"][depth] + GROWTH_MAX_KB:
            found.append("a process at depth %s has %d kB, %d at first" % (depth, size, early["rss_kb"][depth]))
    return found


def soak(setting, calls, clients, say):
    """In a world of its own already.  Returns the faults."""
    box = Sandboxes(setting)
    run = Soak(box, say)
    started = time.monotonic()
    run.calls(calls // 20, clients)
    early = run.look()
    say("at %d calls: %s" % (calls // 20, json.dumps(early)))
    run.calls(calls, clients)
    late = run.look()
    say("at %d calls: %s" % (calls, json.dumps(late)))
    found = faults(early, late, clients) + ["%d times %s" % (n, text) for text, n in run.wrong.items()]
    if box.close() != 0:
        found.append("the executor ended badly")
    until = time.monotonic() + 2  # they die with their worker, a moment later
    while (left := box.processes()) and time.monotonic() < until:
        time.sleep(0.02)
    found += ["%d processes outlived the executor" % len(left)] if left else []
    box.destroy()
    say("%d calls in %.0f s" % (calls, time.monotonic() - started))
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=100000)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--setting", default="full", choices=("full", "docker"))
    args = parser.parse_args()
    escape_world.enter()
    found = soak(args.setting, args.calls, args.clients, lambda text: print(text, flush=True))
    for fault in found:
        print("FAULT " + fault)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
