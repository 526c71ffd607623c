"""Drives tests/support/executor_run.c: real sandboxes, no bus."""

import atexit
import contextlib
import functools
import itertools
import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE_BIN = Path(os.environ.get("MCPBOX_TEST_BIN", ROOT / "build/dev/bin"))
SOURCE_RUNTIME = ROOT / "services/executor/runtime"
PROGRAMS = ("executor_run", "executor_peer", "no_namespaces", "mcpbox-executor", "mcpbox-worker")
WAIT = 60
LAYERS = {"seccomp": 1, "landlock": 2, "userns": 4, "pidns": 8, "mountns": 16, "netns": 32, "rlimits": 128,
          "caps": 512, "dumpable": 1024, "fds": 2048, "callns": 4096}
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


PF_EXITING, PENDING_KILL = 0x4, 1 << 8


def processes_of(uid):
    """{pid: (parent, start time, is dying)} of all processes of that uid, wherever they ended up."""
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
            killed = any(int(line.split()[1], 16) & PENDING_KILL for line in status.splitlines() if line[:7] in ("SigPnd:", "ShdPnd:"))
            found[int(entry.name)] = (int(fields[1]), int(fields[19]), killed or bool(int(fields[6]) & PF_EXITING))
    return found


class Sandboxes:
    """setting: "full", "docker" (no namespaces) or "old" (no Landlock either).  Never run as root: what root may, a sandbox must not prove."""

    def __init__(self, setting="full", without=(), egress=None, env=None, capacity=8, uid=None, cgroup=None,
                 launcher=(), module_dirs="", worker=None, options=()):
        where, runtime = programs()
        command = [where / "executor_run", worker or where / "mcpbox-worker", runtime, "--capacity", str(capacity), *options]
        if without:
            command += ["--without", str(sum(LAYERS[name] for name in without))]
        if module_dirs:
            command += ["--module-dirs", module_dirs]
        if egress:
            command += ["--egress", egress]
        if setting != "full":
            command = [where / "no_namespaces"] + ["--no-landlock"] * (setting == "old") + command
        if cgroup:
            command += ["--cgroup", cgroup]
        command = [*launcher, *command]
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
        for box in self.waiting.values():
            box.put(None)

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

    @staticmethod
    def take(box):
        """The answer behind what start() returned."""
        answer = box.get(timeout=WAIT)
        if answer is None:
            raise RuntimeError("the executor is gone")
        return answer

    def run(self, code, **order):
        return self.take(self.start(code, **order))

    def inspect(self, code):
        return self.run(code, inspect=True)["inspection"]

    def processes(self):
        """{pid: (parent, start time, is dying)} of what it started, and of what that left elsewhere."""
        found = processes_of(self.uid)
        found.pop(self.process.pid, None)
        return found

    def call_depth(self):
        """How far below this process calls run: worker, the first process of its namespace, zygote, call."""
        return 4 if self.layers["userns"] else 2

    def depth(self, tree, pid):
        """How far below this process; None when it left."""
        far = 0
        while pid in tree:
            pid, far = tree[pid][0], far + 1
        return far if pid == self.process.pid else None

    @staticmethod
    def is_dying(tree, pid):
        """It, or who takes it along."""
        while pid in tree:
            pid, _, dying = tree[pid]
            if dying:
                return True
        return False

    def strays(self, pid=0):
        """What should not be there once no call runs: the process `pid`, its kin, and who left the tree."""
        tree = self.processes()
        problems = ["process %d of the call is left" % pid] if pid in tree and not self.is_dying(tree, pid) else []
        for child in tree:
            if self.is_dying(tree, child):
                continue  # with a worker that retires
            far = self.depth(tree, child)
            if far is None:
                problems.append("process %d left the tree" % child)
            elif far > self.call_depth():
                problems.append("process %d is a call's child" % child)
            elif far == 3 and self.call_depth() == 4 and any(
                    p == tree[child][0] and (born, other) < (tree[child][1], child) for other, (p, born, _) in tree.items()):
                problems.append("process %d lost its parent" % child)  # only the zygote is a child of the first process
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

    def destroy(self):
        """After a run with a layer removed: whatever of its user is left goes."""
        self.process.kill()
        self.process.wait()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
