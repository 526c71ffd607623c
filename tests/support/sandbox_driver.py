"""Drives tests/support/executor_run.c: real sandboxes, no bus."""

import atexit
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = ("executor_run", "executor_peer", "no_namespaces", "mcpbox-executor", "mcpbox-worker")


def _public_copy(programs, runtime):
    """Where an unprivileged user can read them, wherever the clone lies."""
    made = Path(tempfile.mkdtemp(prefix="mcpbox-sandbox-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    os.chmod(made, 0o755)
    for name in PROGRAMS:
        shutil.copy(programs / name, made / name)
        os.chmod(made / name, 0o755)
    shutil.copytree(runtime, made / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["chmod", "-R", "a+rX", made], check=True)
    return made, made / "runtime"


BIN, RUNTIME = Path(os.environ.get("MCPBOX_TEST_BIN", ROOT / "build/dev/bin")), ROOT / "services/executor/runtime"
if os.geteuid() == 0:
    BIN, RUNTIME = _public_copy(BIN, RUNTIME)
WAIT = 60
LAYERS = {"seccomp": 1, "landlock": 2, "userns": 4, "pidns": 8, "mountns": 16, "netns": 32, "rlimits": 128}
NOBODY = 65534


class Sandboxes:
    """setting: "full", "docker" (no namespaces) or "old" (no Landlock either).  Never run as root: what root may, a sandbox must not prove."""

    def __init__(self, setting="full", without=(), egress=None, env=None, capacity=8):
        command = [BIN / "executor_run", BIN / "mcpbox-worker", RUNTIME, "--capacity", str(capacity)]
        if without:
            command += ["--without", str(sum(LAYERS[name] for name in without))]
        if egress:
            command += ["--egress", egress]
        if setting != "full":
            command = [BIN / "no_namespaces"] + ["--no-landlock"] * (setting == "old") + command
        drop = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
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
        """All processes below this one, by pid."""
        children, found = {}, set()
        for entry in Path("/proc").iterdir():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split() if entry.name.isdigit() else None
            except OSError:
                continue
            if fields:
                children.setdefault(int(fields[1]), set()).add(int(entry.name))
        todo = [self.process.pid]
        while todo:
            for pid in children.get(todo.pop(), ()):
                found.add(pid)
                todo.append(pid)
        return found

    def close(self):
        self.process.stdin.close()
        return self.process.wait(timeout=WAIT)
