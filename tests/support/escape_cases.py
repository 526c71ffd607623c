"""Runs a folder of escape cases (format: README of the corpus) against real sandboxes and judges them.

    python3 tests/support/escape_cases.py --cases DIR [--setting full|docker] [--without LAYER,...] [--json] [id...]

Exit 0 only when every case ended as its header says and every invariant held.
"""

import argparse
import ast
import errno
import fcntl
import json
import os
import re
import shutil
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from sandbox_driver import Sandboxes  # noqa: E402

CANARY_DIR = Path("/run/escape-canary")
REPLY_MAX = 1280 * 1024
NEIGHBOUR = "async def main(n: int):\n    return {'sum': sum(range(n))}\n"
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

    def modules(self):
        try:
            tree = ast.parse(self.code)
        except (SyntaxError, ValueError):
            return []
        names = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names.update(a.name for a in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module)
        return sorted(names)

    def order(self):
        return {"code": self.code, "modules": self.modules(), "timeout_ms": int(self.wall * 1000),
                "memory_mb": int(self.head.get("memory-mb", 256)),
                "arguments": json.loads(self.head.get("arguments", "{}"))}


class Fixtures:
    """Listeners and files that no case may reach."""

    def __init__(self):
        # Names and port are fixed by the corpus: one run at a time on a machine, the next waits.
        self.lock = open("/run/escape-canary.lock", "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        shutil.rmtree(CANARY_DIR, ignore_errors=True)
        (CANARY_DIR / "drop").mkdir(parents=True)
        (CANARY_DIR / "file.txt").write_text("CANARY-file-91b2\n")
        os.chmod(CANARY_DIR, 0o755)
        os.chmod(CANARY_DIR / "file.txt", 0o644)
        os.chmod(CANARY_DIR / "drop", 0o777)
        self.contacts, self.sockets = [], []
        self._listen(socket.AF_INET, ("127.0.0.1", 47811), b"CANARY-tcp-77aa\n")
        self._listen(socket.AF_INET6, ("::1", 47811), b"CANARY-tcp-77aa\n")
        for name in ("\0escape-canary", str(CANARY_DIR / "sock")):
            self._listen(socket.AF_UNIX, name, b"CANARY-unix\n")
        for name in ("\0escape-canary-dgram", str(CANARY_DIR / "dgram")):
            self._listen(socket.AF_UNIX, name, None)
        self._listen(socket.AF_INET, ("127.0.0.1", 47811), None)
        for name in ("sock", "dgram"):
            os.chmod(CANARY_DIR / name, 0o777)

    def _listen(self, family, address, greeting):
        kind = socket.SOCK_STREAM if greeting else socket.SOCK_DGRAM
        s = socket.socket(family, kind)
        try:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._bind(s, address)
        except OSError:
            if family == socket.AF_INET6:
                s.close()
                return  # a host without IPv6 has nothing to reach there
            raise
        if greeting:
            s.listen(8)
        self.sockets.append(s)
        threading.Thread(target=self._serve, args=(s, address, greeting), daemon=True).start()

    @staticmethod
    def _bind(s, address, patience_s=30):
        """The corpus' port lies among those that the kernel gives to anyone: wait for who has it just now."""
        end = time.monotonic() + patience_s
        while True:
            try:
                return s.bind(address)
            except OSError as e:
                if e.errno != errno.EADDRINUSE or time.monotonic() > end:
                    raise
                time.sleep(0.1)

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
        found += ["left %s behind" % p for p in (CANARY_DIR / "drop").iterdir()]
        if (CANARY_DIR / "file.txt").read_text() != "CANARY-file-91b2\n":
            found.append("changed the canary file")
        return found

    def close(self):
        for s in self.sockets:
            s.close()
        shutil.rmtree(CANARY_DIR, ignore_errors=True)
        self.lock.close()


def outcome_class(answer):
    if answer["outcome"] in ("timeout", "cpu"):
        return "timeout"
    return "ok" if answer["outcome"] == "ok" else "error"


def expectation_problem(case, answer):
    got = outcome_class(answer)
    if case.expect == "contained":
        return None
    if case.expect == "error":
        return None if got in ("error", "timeout") else "succeeded"
    if got != case.expect:
        return "ended as %s: %s" % (answer["outcome"], answer["error"][:200])
    if "want" in case.head and answer["structured"] != json.loads(case.head["want"]):
        return "gave %r" % answer["structured"]
    return None


class Runner:
    """One setting; fixtures are the caller's and may be shared."""

    def __init__(self, cases, setting, without=(), fixtures=None):
        self.cases, self.setting, self.fixtures = cases, setting, fixtures
        self.box = Sandboxes(setting, without, env={"ESCAPE_CANARY_ENV": "CANARY-env-5f0c"})
        self.box.run(NEIGHBOUR, arguments={"n": 10})
        self.baseline = len(self.box.processes())

    def close(self):
        self.box.close()

    def _prepare(self, case):
        if "previous" in case.needs:
            self.box.run(PREVIOUS, arguments={"secret": "CANARY-previous-a6e7"})
        if "after" in case.head:
            self.box.run(**self.cases[case.head["after"]].order())
        sibling = None
        if "sibling" in case.needs:
            sibling = self.box.start(SIBLING, modules=["threading"], arguments={"secret": "CANARY-sibling-c3d8"})
        if "with" in case.head:
            self.box.start(**self.cases[case.head["with"]].order())
            time.sleep(0.6)
        return sibling

    def _neighbour(self):
        started = time.monotonic()
        answer = self.box.run(NEIGHBOUR, arguments={"n": 1000}, timeout_ms=5000)
        took = time.monotonic() - started
        if answer["structured"] != {"sum": 499500}:
            return ["neighbour answered %s %s" % (answer["outcome"], answer["error"][:100])]
        return ["neighbour took %.2f s" % took] if took > 1 else []

    def _leftovers(self):
        until = time.monotonic() + 1
        while len(self.box.processes()) > self.baseline and time.monotonic() < until:
            time.sleep(0.02)
        left = len(self.box.processes()) - self.baseline
        return ["%d processes are left" % left] if left > 0 else []

    def _run_once(self, case):
        problems = []
        sibling = self._prepare(case)
        started = time.monotonic()
        box = self.box.start(**case.order())
        problems += self._neighbour()
        answer = box.get(timeout=60)
        took = time.monotonic() - started
        if took > case.wall + 2:
            problems.append("the reply took %.1f s" % took)
        if sibling and sibling.get(timeout=60)["structured"] != 7331:
            problems.append("the sibling was disturbed")
        return answer, problems

    def judge(self, case):
        """(answer, problems)"""
        answers, problems = [], []
        for _ in range(int(case.head.get("repeat", 1))):
            answer, found = self._run_once(case)
            answers.append(answer)
            problems += found
        for field in case.head.get("distinct", "").split():
            values = [json.dumps((a["structured"] or {}).get(field)) for a in answers]
            if len(set(values)) != len(values):
                problems.append("%s repeats" % field)
        for answer in answers:
            text = json.dumps(answer)
            if "CANARY-" in text or any("CANARY-" in line for line in self.box.log):
                problems.append("a canary came out")
            if isinstance(answer["structured"], dict) and answer["structured"].get("escaped") is True:
                problems.append("escaped: %s" % text[:300])
            if answer["line_size"] > REPLY_MAX:
                problems.append("the reply has %d bytes" % answer["line_size"])
            problem = expectation_problem(case, answer)
            if problem:
                problems.append(problem)
        problems += self.fixtures.problems() + self._leftovers() + self._neighbour()
        return answers[-1], problems


def load(directory):
    return {p.stem: Case(p) for p in sorted(Path(directory).glob("*.py"))}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", required=True)
    parser.add_argument("--setting", default="full", choices=("full", "docker"))
    parser.add_argument("--without", default="")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("ids", nargs="*")
    args = parser.parse_args()
    cases = load(args.cases)
    fixtures = Fixtures()
    runner = Runner(cases, args.setting, [w for w in args.without.split(",") if w], fixtures)
    failed = 0
    for case_id in args.ids or cases:
        answer, problems = runner.judge(cases[case_id])
        row = {"id": case_id, "expected": cases[case_id].expect, "got": answer["outcome"], "problems": problems}
        failed += bool(problems)
        if args.json:
            print(json.dumps(row), flush=True)
        else:
            print("%-32s %-10s %-10s %s" % (case_id, row["expected"], row["got"], "; ".join(problems) or "ok"), flush=True)
    runner.close()
    fixtures.close()
    print("%d passed, %d failed" % (len(args.ids or cases) - failed, failed), file=sys.stderr)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
