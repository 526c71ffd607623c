"""Runs a folder of escape cases (format: README of the corpus) against real sandboxes and judges them.

    python3 tests/support/escape_cases.py --cases DIR [--setting full|docker] [--without LAYER,...] [--json] [id...]

Needs root: each run has a world of its own (escape_world.py).  Exit 0 only when every case ended as its header
says and every invariant held.
"""

import argparse
import ast
import functools
import json
import os
import queue
import re
import socket
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import escape_world  # noqa: E402
from sandbox_driver import Sandboxes  # noqa: E402

CANARY_DIR = Path("/run/escape-canary")
MODULES_DIR = Path("/run/escape-modules")  # one of MCPBOX_MODULE_DIRS, which belongs to the executor's own user
REPLY_MAX = 1280 * 1024
BLOCKS = {"text", "image", "audio", "resource", "resource_link"}
NEIGHBOUR = "async def main(n: int):\n    return {'sum': sum(range(n))}\n"
NEIGHBOUR_MAX_S, NEIGHBOUR_FACTOR = 1.0, 5
NEIGHBOUR_PAUSE_S = 0.01
QUIET_CALLS = 7
MEDIAN_OF = 7  # fewer calls have no median worth the name
TRIES = 3      # promises about time are judged again: the machine may be busy with something else
PREVIOUS = """
held = "CANARY-previous-" + "a6e7"
async def main(secret: str):
    keep = [secret + str(i) for i in range(1000)]
    return len(keep)
"""
SIBLING = """
import threading, time
held = "CANARY-sibling-" + "c3d8"
async def main(secret: str):
    keep = [secret] * 100
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        t = threading.Thread(target=time.sleep, args=(0.01,))
        t.start()
        t.join()
        time.sleep(0.02)
    return 7331
"""


class Case:
    def __init__(self, path):
        self.id, self.code = path.stem, path.read_text()
        head = {}
        for line in self.code.splitlines():
            match = re.match(r"#\s*([a-z-]+):\s*(.*)$", line)
            if match:
                head[match.group(1)] = match.group(2)
            elif line.strip() and not line.startswith("#"):
                break
        self.head = head
        self.expect = head["expect"]
        self.wall = float(head.get("wall", 5))
        self.needs = head.get("needs", "").split()
        self.settings = head.get("settings", "full docker").split()

    @functools.cached_property
    def modules(self):
        try:
            tree = ast.parse(self.code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return []
        names = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names.update(a.name for a in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module)
        return sorted(names)

    def order(self, arguments="arguments"):
        return {"code": self.code, "modules": self.modules, "timeout_ms": int(self.wall * 1000),
                "memory_mb": int(self.head.get("memory-mb", 256)),
                "arguments": json.loads(self.head.get(arguments, "{}"))}


class Fixtures:
    """Listeners and files that no case may reach."""

    def __init__(self):
        (CANARY_DIR / "drop").mkdir(parents=True)
        (CANARY_DIR / "file.txt").write_text("CANARY-file-91b2\n")
        os.chmod(CANARY_DIR, 0o755)
        os.chmod(CANARY_DIR / "file.txt", 0o644)
        os.chmod(CANARY_DIR / "drop", 0o777)
        self.contacts, self.sockets = [], []
        self._listen(socket.AF_INET, ("127.0.0.1", 47811), b"CANARY-tcp-77aa\n")
        self._listen(socket.AF_INET, ("127.0.0.1", 47811), None)
        self._listen(socket.AF_INET, ("127.0.0.1", 53), None)  # the name server: resolv.conf of this world names it
        if socket.has_ipv6 and os.path.exists("/proc/net/if_inet6"):
            self._listen(socket.AF_INET6, ("::1", 47811), b"CANARY-tcp-77aa\n")
        for name in ("\0escape-canary", str(CANARY_DIR / "sock")):
            self._listen(socket.AF_UNIX, name, b"CANARY-unix\n")
        for name in ("\0escape-canary-dgram", str(CANARY_DIR / "dgram")):
            self._listen(socket.AF_UNIX, name, None)
        for name in ("sock", "dgram"):
            os.chmod(CANARY_DIR / name, 0o777)
        (CANARY_DIR / "owned.txt").write_text("not a canary\n")
        os.chmod(CANARY_DIR / "owned.txt", 0o600)
        MODULES_DIR.mkdir()
        (MODULES_DIR / "escape_module.py").write_text("HERE = 1\n")
        os.utime(CANARY_DIR / "file.txt", (1, 2))  # read before it was written: the next read is noted by the kernel
        self.untouched = self._look()

    def give_to(self, uid):
        """What the executor's own user owns, as its key file is."""
        for path in (CANARY_DIR / "owned.txt", MODULES_DIR, MODULES_DIR / "escape_module.py"):
            os.chown(path, uid, uid)
        self.untouched = self._look()

    @staticmethod
    def _look():
        found = {}
        for path in [top / name for top in (CANARY_DIR, MODULES_DIR) for name in ("", *sorted(top.rglob("*")))]:
            s = path.lstat()
            found[str(path)] = (s.st_ino, s.st_mode, s.st_uid, s.st_gid, s.st_nlink, s.st_size, s.st_mtime_ns, s.st_ctime_ns,
                                s.st_atime_ns if path.name == "file.txt" else 0)
        return found

    def _listen(self, family, address, greeting):
        s = socket.socket(family, socket.SOCK_STREAM if greeting else socket.SOCK_DGRAM)
        s.bind(address)
        if greeting:
            s.listen(8)
        self.sockets.append(s)
        threading.Thread(target=self._serve, args=(s, address, greeting), daemon=True).start()

    def _serve(self, s, address, greeting):
        while True:
            try:
                if greeting:
                    c, _ = s.accept()
                    self.contacts.append(str(address))
                    c.sendall(greeting)
                    c.close()
                else:
                    s.recvfrom(4096)
                    self.contacts.append(str(address))
            except OSError:
                return

    def problems(self):
        found = ["contacted %s" % c for c in self.contacts]
        self.contacts.clear()
        now = self._look()
        found += ["touched %s" % p for p in sorted({*now, *self.untouched}) if now.get(p) != self.untouched.get(p)]
        self.untouched = now  # each change is one case's
        return found


class Neighbour:
    """A second tool that is called all the time."""

    def __init__(self, box):
        self.box, self.wrong = box, []
        self.took = []  # seconds

    def call(self):
        started = time.monotonic()
        answer = self.box.run(NEIGHBOUR, arguments={"n": 1000}, timeout_ms=5000)
        self.took.append(time.monotonic() - started)
        if answer["structured"] != {"sum": 499500}:
            self.wrong.append("the neighbour got %s %s" % (answer["outcome"], answer["error"][:100]))

    def quiet(self):
        """Median seconds while nothing else runs."""
        times = Neighbour(self.box)
        for _ in range(QUIET_CALLS):
            times.call()
            time.sleep(NEIGHBOUR_PAUSE_S)
        self.wrong += times.wrong
        return statistics.median(times.took)

    def beside(self, is_over):
        while not is_over.is_set():
            self.call()
            is_over.wait(NEIGHBOUR_PAUSE_S)

    def late(self, quiet_s):
        found = ["the neighbour took %.2f s" % max(self.took)] if self.took and max(self.took) > NEIGHBOUR_MAX_S else []
        if len(self.took) >= MEDIAN_OF and statistics.median(self.took) > NEIGHBOUR_FACTOR * quiet_s:
            found.append("the neighbour's median was %.1f ms, %.1f ms when quiet" %
                         (statistics.median(self.took) * 1000, quiet_s * 1000))
        return found


def outcome_class(answer):
    if answer["outcome"] in ("timeout", "cpu"):
        return "timeout"
    return "ok" if answer["outcome"] == "ok" else "error"


def expectation_problem(case, answer):
    got = outcome_class(answer)
    if answer["outcome"] == "internal":
        return "passed for a failure of the executor: %s" % answer["error"][:200]
    if case.expect == "contained":
        return None
    if case.expect == "error":
        return None if got in ("error", "timeout") else "succeeded"
    if got != case.expect:
        return "ended as %s: %s" % (answer["outcome"], answer["error"][:200])
    if "want" in case.head and answer["structured"] != json.loads(case.head["want"]):
        return "gave %r" % answer["structured"]
    return None


def reply_problems(answer, log):
    found = []
    text = json.dumps(answer)
    if "CANARY-" in text or any("CANARY-" in line for line in log):
        found.append("a canary came out")
    if isinstance(answer["structured"], dict) and answer["structured"].get("escaped") is True:
        found.append("escaped: %s" % text[:300])
    if answer["line_size"] > REPLY_MAX:
        found.append("the reply has %d bytes" % answer["line_size"])
    if not (isinstance(answer["content"], list) and all(b.get("type") in BLOCKS for b in answer["content"])):
        found.append("the reply is not valid")
    return found


class Runner:
    """One executor in one setting; fixtures are the caller's."""

    def __init__(self, cases, setting, without, fixtures):
        self.cases, self.setting, self.fixtures = cases, setting, fixtures
        self.box = Sandboxes(setting, without, env={"ESCAPE_CANARY_ENV": "CANARY-env-5f0c"}, module_dirs=str(MODULES_DIR))
        fixtures.give_to(self.box.uid)
        Neighbour(self.box).quiet()  # the first call of a tool loads it

    def close(self):
        return self.box.close()

    def _prepare(self, case):
        if "previous" in case.needs:
            self.box.run(PREVIOUS, arguments={"secret": "CANARY-previous-a6e7"})
        if "after" in case.head:
            self.box.run(**self.cases[case.head["after"]].order())
        if "after-arguments" in case.head:
            self.box.run(**case.order("after-arguments"))

    def _start_beside(self, case):
        """Calls that run at the same time: what they must give, and the queue."""
        beside = []
        if "sibling" in case.needs:
            beside.append((7331, self.box.start(SIBLING, modules=["threading"], arguments={"secret": "CANARY-sibling-c3d8"})))
        others = [self.cases[case.head["with"]].order()] if "with" in case.head else []
        others += [case.order("with-arguments")] if "with-arguments" in case.head else []
        beside += [(None, self.box.start(**order)) for order in others]
        if others:
            time.sleep(0.6)
        return beside

    def _attack(self, case):
        """(answer, problems, late)"""
        problems, late = [], []
        self._prepare(case)
        neighbour = Neighbour(self.box)
        quiet_s = neighbour.quiet()
        is_over = threading.Event()
        thread = threading.Thread(target=neighbour.beside, args=(is_over,))
        beside = self._start_beside(case)
        thread.start()
        started = time.monotonic()
        answer = self.box.run(**case.order())
        took = time.monotonic() - started
        if took > case.wall + 2:
            late.append("the reply took %.1f s" % took)
        for wanted, box in beside:
            other = self.box.take(box)
            if wanted is not None and other["structured"] != wanted:
                problems.append("the sibling was disturbed: %s %s" % (other["outcome"], other["error"][:200]))
        is_over.set()
        thread.join()
        left = self._leftovers(answer)
        after_s = neighbour.quiet()
        return answer, problems + left + neighbour.wrong, late + neighbour.late(max(quiet_s, after_s))

    def _leftovers(self, answer):
        until = time.monotonic() + 1
        found = self._left(answer)
        while found and time.monotonic() < until:
            time.sleep(0.02)
            found = self._left(answer)
        return found

    def _left(self, answer):
        return self.box.strays(answer.get("pid", 0)) + self.box.scratch_entries()

    def _judge_once(self, case):
        answers, problems, late = [], [], []
        for _ in range(int(case.head.get("repeat", 1))):
            answer, wrong, slow = self._attack(case)
            answers.append(answer)
            problems += wrong
            late += slow
        for field in case.head.get("distinct", "").split():
            values = [json.dumps((a["structured"] or {}).get(field)) for a in answers]
            if len(set(values)) != len(values):
                problems.append("%s repeats" % field)
        for answer in answers:
            problems += reply_problems(answer, self.box.log)
            problem = expectation_problem(case, answer)
            if problem:
                problems.append(problem)
        return answers[-1], problems + self.fixtures.problems(), late

    def judge(self, case):
        """(answer, problems)"""
        for _ in range(TRIES):
            answer, problems, late = self._judge_once(case)
            if problems or not late:
                return answer, problems
        return answer, late


def load(directory):
    return {p.stem: Case(p) for p in sorted(Path(directory).glob("*.py"))}


def run_all(cases, setting, without, ids, say):
    """Says a row for each case; returns how many failed.  In a world of its own already."""
    fixtures = Fixtures()
    runner = Runner(cases, setting, without, fixtures)
    failed = 0
    for case in [cases[i] for i in ids or cases]:
        row = {"id": case.id, "setting": setting, "expected": case.expect}
        if setting in case.settings:
            started = time.monotonic()
            try:
                answer, row["problems"] = runner.judge(case)
                row.update(got=answer["outcome"], error=answer["error"][:300], structured=json.dumps(answer["structured"])[:600])
            except (OSError, RuntimeError, queue.Empty) as e:
                row.update(got="lost", problems=["the executor was lost: %r" % e])
                runner.box.destroy()
                runner = Runner(cases, setting, without, fixtures)
            row["seconds"] = round(time.monotonic() - started, 2)
        else:
            row.update(got="left out: for setting " + " ".join(case.settings), problems=[])
        failed += bool(row["problems"])
        say(row)
    ended = runner.close()
    runner.box.destroy()
    if ended != 0:
        failed += 1
        say({"id": "executor", "setting": setting, "expected": "ok", "got": "", "problems": ["the executor ended badly"]})
    return failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", required=True)
    parser.add_argument("--setting", default="full", choices=("full", "docker"))
    parser.add_argument("--without", default="")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("ids", nargs="*")
    args = parser.parse_args()
    cases = load(args.cases)
    unknown = [i for i in args.ids if i not in cases]
    if unknown:
        parser.error("no case %s in %s" % (", ".join(unknown), args.cases))

    def say(row):
        if args.json:
            print(json.dumps(row), flush=True)
        else:
            print("%-32s %-10s %-10s %s" % (row["id"], row["expected"], row["got"], "; ".join(row["problems"]) or "ok"), flush=True)

    escape_world.enter()
    failed = run_all(cases, args.setting, [w for w in args.without.split(",") if w], args.ids, say)
    print("%d passed, %d failed" % (len(args.ids or cases) - failed, failed), file=sys.stderr)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
