"""Drives tests/support/executor_run.c: real sandboxes, no bus."""

import atexit
import functools
import itertools
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE_BIN = Path(os.environ.get("MCPBOX_TEST_BIN", ROOT / "build/dev/bin"))
SOURCE_RUNTIME = ROOT / "services/executor/runtime"
PROGRAMS = ("executor_run", "executor_peer", "no_namespaces", "mcpbox-executor", "mcpbox-worker")
WAIT = 60
LAYERS = {"seccomp": 1, "landlock": 2, "userns": 4, "pidns": 8, "mountns": 16, "netns": 32, "rlimits": 128}
# Where neither distributions nor containers hand out numbers; one of its own for each executor, since without user
# namespaces the kernel counts the threads of a uid together.
FIRST_UID = 2_000_000_000
_uids = itertools.count()


@functools.lru_cache(None)
def programs():
    """(directory of the programs, directory of the runtime), readable by an unprivileged user wherever the clone lies."""
    if os.geteuid() != 0:
        return SOURCE_BIN, SOURCE_RUNTIME
    made = Path(tempfile.mkdtemp(prefix="mcpbox-sandbox-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    os.chmod(made, 0o755)
    for name in PROGRAMS:
        shutil.copy(SOURCE_BIN / name, made / name)
        os.chmod(made / name, 0o755)
    shutil.copytree(SOURCE_RUNTIME, made / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["chmod", "-R", "a+rX", made], check=True)
    return made, made / "runtime"


def fresh_uid():
    return FIRST_UID + os.getpid() * 16 + next(_uids) % 16


def processes_of(uid):
    """{pid: (parent, start time)} of all processes of that uid, wherever they ended up."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            status = (entry / "status").read_text()
        except OSError:
            continue
        if "\nUid:\t%d\t" % uid in status and fields[0] != "Z":
            found[int(entry.name)] = (int(fields[1]), int(fields[19]))
    return found


class Sandboxes:
    """setting: "full", "docker" (no namespaces) or "old" (no Landlock either).  Never run as root: what root may, a sandbox must not prove."""

    def __init__(self, setting="full", without=(), egress=None, env=None, capacity=8, uid=None, cgroup=None):
        where, runtime = programs()
        command = [where / "executor_run", where / "mcpbox-worker", runtime, "--capacity", str(capacity)]
        if without:
            command += ["--without", str(sum(LAYERS[name] for name in without))]
        if egress:
            command += ["--egress", egress]
        if setting != "full":
            command = [where / "no_namespaces"] + ["--no-landlock"] * (setting == "old") + command
        if cgroup:
            command += ["--cgroup", cgroup]
        self.uid = uid or (fresh_uid() if os.geteuid() == 0 else os.geteuid())
        drop = {"user": self.uid, "group": self.uid, "extra_groups": []} if os.geteuid() == 0 else {}
        self.process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, cwd="/", env={**os.environ, **(env or {})}, **drop)
        self.log = []
        threading.Thread(target=self._read_log, daemon=True).start()
        first = self.process.stdout.readline()
        assert first.startswith("READY "), (first, self.log)
        self.layers = json.loads(first[6:])
        self.waiting, self.lock, self.count = {}, threading.Lock(), 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read_log(self):
        self.log.extend(self.process.stderr)

    def _read(self):
        for line in self.process.stdout:
            answer = json.loads(line)
            answer["line_size"] = len(line)
            self.waiting.pop(answer["id"]).put(answer)

    def start(self, code, **order):
        """Hands a call over; the queue gets its answer."""
        with self.lock:
            self.count += 1
            order.update(id=str(self.count), code=code)
            order.setdefault("arguments", {})
            box = self.waiting[order["id"]] = queue.Queue()
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
        return box

    def run(self, code, **order):
        return self.start(code, **order).get(timeout=WAIT)

    def inspect(self, code):
        return self.run(code, inspect=True)["inspection"]

    def processes(self):
        """{pid: (parent, start time)} of what it started, and of what that left elsewhere."""
        found = processes_of(self.uid)
        found.pop(self.process.pid, None)
        return found

    def call_depth(self):
        """How far below this process calls run: worker, the first process of its namespace, zygote, call."""
        return 4 if self.layers["pidns"] else 2

    def strays(self, pid=0):
        """What should not be there once no call runs: the process `pid`, its kin, and who left the tree."""
        found = self.processes()
        problems = ["process %d of the call is left" % pid] if pid in found else []
        first = {}  # parent -> its oldest child, as far as it is the only one that it should have
        for child, (parent, born) in found.items():
            first[parent] = min(first.get(parent, (born, child)), (born, child))
        for child in found:
            above, at = [], child
            while at in found:
                at = found[at][0]
                above.append(at)
            if at != self.process.pid:
                problems.append("process %d left the tree" % child)
            elif len(above) > self.call_depth():
                problems.append("process %d is a call's child" % child)
            elif len(above) == 3 and self.call_depth() == 4 and first[found[child][0]][1] != child:
                problems.append("process %d lost its parent" % child)
        return problems

    def scratch_entries(self):
        """Files in scratch directories, seen through the roots of the namespaces."""
        left = []
        for pid in self.processes() if self.layers["mountns"] else ():
            scratch = Path("/proc/%d/root/scratch" % pid)
            try:
                left += [str(p) for p in scratch.rglob("*") if not p.is_dir()] if os.path.ismount(scratch) else []
            except OSError:
                continue  # gone meanwhile
        return left[:3]

    def close(self):
        self.process.stdin.close()
        return self.process.wait(timeout=WAIT)
