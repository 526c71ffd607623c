"""Takes one layer of the sandbox away at a time and tells what notices it.

    python3 tests/support/escape_layers.py sweep [--jobs N]    all cases x all layers; writes docs/sandbox-layers.md

A case or a probe from outside that is red without a layer and green with it "holds" that layer.
"""

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import escape_world  # noqa: E402
from sandbox_driver import Sandboxes  # noqa: E402

SUPPORT = Path(__file__).resolve().parent
CORPUS = SUPPORT.parent / "corpus/escapes"
TABLE = SUPPORT.parents[1] / "docs/sandbox-layers.md"
SETTLE_S = 3
# Layer -> setting -> cases that it holds there, for the default run: each is red once the layer is gone.  "outside" is
# the look at the process from outside, for what tool code cannot feel.
LAYERS = {
    "seccomp": {"full": "os-probe-filter os-keyring outside", "docker": "os-socket-families os-tcp-loopback os-raw-clone"},
    "landlock": {"full": "os-probe-landlock state-scratch-parallel", "docker": "os-open-files eg-urllib-file os-write-drop"},
    "userns": {"full": "os-probe-mounts os-probe-pids outside"},
    "callns": {"full": "outside"},
    "pidns": {"full": "os-probe-pids outside"},
    "mountns": {"full": "os-probe-mounts outside"},
    "netns": {"full": "outside"},
    "rlimits": {"full": "os-probe-limits res-memory-over res-files-over outside", "docker": "os-probe-limits res-memory-over res-files-over outside"},
    "caps": {"full": "outside"},
    "dumpable": {"full": "outside", "docker": "os-probe-dumpable outside"},
    "fds": {"full": "os-inherited-fds outside", "docker": "os-inherited-fds outside"},
}
# What a layer holds behind others: (setting, others that are taken away as well, layer) -> cases that are green without
# the others and red without it too.
BEHIND = {
    ("full", "seccomp,landlock", "netns"): "os-tcp-loopback os-abstract-unix eg-urllib-file",
    ("full", "landlock", "mountns"): "os-open-files eg-urllib-file os-write-drop",
    ("docker", "seccomp,landlock", "dumpable"): "os-process-vm-readv os-proc-self-mem",
    ("full", "seccomp,callns", "caps"): "os-mount-calls os-limits-raise",
    ("full", "seccomp,caps", "callns"): "os-mount-calls os-limits-raise",
}
LIMITS = ("Max data size", "Max address space", "Max processes", "Max open files", "Max file size", "Max cpu time", "Max core file size")
KINDS = {"userns": "user", "pidns": "pid", "mountns": "mnt", "netns": "net", "ipcns": "ipc", "utsns": "uts", "cgroupns": "cgroup"}


def _facts(pid):
    """Of one process, as root sees it from outside."""
    proc = Path("/proc/%d" % pid)
    status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line)
    limits = {line[:26].strip(): line[26:].split() for line in (proc / "limits").read_text().splitlines()[1:]}
    return {
        "status": status, "limits": limits, "owner": (proc / "mem").stat().st_uid,
        "fds": {int(f.name): os.readlink(f) for f in (proc / "fd").iterdir()},
        "namespaces": {kind: os.readlink(proc / "ns" / kind) for kind in KINDS.values()},
        "writable": [m[4] for m in map(str.split, (proc / "mountinfo").read_text().splitlines()) if "ro" not in m[5].split(",")],
        "oom": int((proc / "oom_score_adj").read_text()), "session": os.getsid(pid),
    }


def _faults(call, parent, executor, pid, has_namespaces):
    """Names of what is not as a call process must be."""
    faults = []
    if call["status"]["Seccomp"] != "2" or int(call["status"].get("Seccomp_filters", 2)) < int(executor["status"].get("Seccomp_filters", 0)) + 2:
        faults.append("seccomp")
    if call["status"]["NoNewPrivs"] != "1":
        faults.append("no_new_privs")
    faults += ["caps"] if any(int(call["status"][k], 16) for k in ("CapInh", "CapPrm", "CapEff", "CapAmb")) else []
    faults += ["dumpable"] if call["owner"] == int(call["status"]["Uid"].split()[0]) else []
    faults += ["rlimits"] if any(call["limits"][name][1] == "unlimited" for name in LIMITS) else []
    odd = {n: name for n, name in call["fds"].items() if n > 4 or not name.startswith(("pipe:", "socket:"))}
    faults += ["fds %s" % odd] if odd or len(call["fds"]) != 5 else []
    faults += ["oom"] if call["oom"] != 1000 else []
    faults += ["session"] if call["session"] != pid else []
    if not has_namespaces:
        return faults
    faults += ["writable %s" % place for place in call["writable"] if not re.fullmatch("/scratch/[0-9a-f]{16}", place)]
    faults += [name for name, kind in KINDS.items() if call["namespaces"][kind] == executor["namespaces"][kind]]
    faults += ["callns"] if call["namespaces"]["user"] == parent["namespaces"]["user"] else []
    return faults


def look_from_outside(box, has_namespaces):
    """Faults of the processes that wait for calls; they are confined as those that run are."""
    box.run("def main(): return 1")
    until = time.monotonic() + SETTLE_S
    while True:
        tree = box.processes()
        calls = [pid for pid in tree if box.depth(tree, pid) == box.call_depth()]
        try:
            executor = _facts(box.process.pid)
            faults = sorted({f for pid in calls for f in _faults(_facts(pid), _facts(tree[pid][0]), executor, pid, has_namespaces)})
        except OSError:
            faults = ["gone meanwhile"]
        if calls and not faults:
            return []
        if time.monotonic() > until:
            return faults or ["nobody waits"]
        time.sleep(0.05)


def outside(setting, without):
    """In a world of its own already."""
    box = Sandboxes(setting, without)
    try:
        return look_from_outside(box, setting == "full")
    finally:
        box.destroy()


def red_cases(setting, layer, ids=()):
    """{case: why} of what is red when that layer is taken away (None: none; several with commas).  A world of its own each."""
    names = [i for i in ids if i != "outside"]
    without = ["--without", layer] if layer else []
    found = {}
    if names or not ids:
        run = escape_world.throw_away(sys.executable, SUPPORT / "escape_cases.py", "--cases", CORPUS, "--setting", setting, *without,
                                      "--json", *names, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        rows = [json.loads(line) for line in run.communicate()[0].splitlines()]
        if not rows:
            raise RuntimeError("the run without %s said nothing" % layer)
        found = {row["id"]: row["problems"] for row in rows if row["problems"]}
    if "outside" in ids or not ids:
        run = escape_world.throw_away(sys.executable, __file__, "outside", setting, layer or "", stdout=subprocess.PIPE, text=True)
        faults = json.loads(run.communicate()[0])
        found.update({"outside": faults} if faults else {})
    return found


def sweep(jobs, say):
    """{(setting, layer): red cases}"""
    runs = [("full", None), ("docker", None)] + [(s, layer) for layer, settings in LAYERS.items() for s in settings]
    with ThreadPoolExecutor(jobs) as pool:
        started = {run: pool.submit(red_cases, *run) for run in runs}
        found = {}
        for run, future in started.items():
            found[run] = future.result()
            say("%s without %s: %d red" % (run[0], run[1], len(found[run])))
    return found


def table(found):
    """Markdown: a section for each layer."""
    lines = ["# What each layer of the sandbox holds", "",
             "Written by `./mcpbox test escapes-mutation`: every case of `tests/corpus/escapes` is run once with each layer taken away",
             "on purpose.  A case that turns red is held by that layer; one that stays green without any layer is held by another layer",
             "too, which is the point of having several.  `outside` is the look at the process from its parent's side",
             "(`tests/support/escape_layers.py`): it is what tells of layers that tool code cannot feel.", ""]
    always = {setting: set(found[setting, None]) for setting in ("full", "docker")}
    for setting, cases in always.items():
        lines += ["With all layers, setting `%s`: %s." % (setting, "nothing is red" if not cases else "red: " + ", ".join(sorted(cases))), ""]
    for layer, settings in LAYERS.items():
        lines += ["## " + layer, ""]
        for setting in settings:
            cases = sorted(set(found[setting, layer]) - always[setting])
            lines += ["Setting `%s`, %d red: %s" % (setting, len(cases), ", ".join(cases) or "none"), ""]
    red = set().union(*found.values())
    quiet = sorted(p.stem for p in CORPUS.glob("*.py") if p.stem not in red)
    lines += ["## Held by more than one layer", "", "Green whichever single layer is missing; they guard against a door that opens later: " +
              ", ".join(quiet), ""]
    lines += ["## Behind other layers", "", "| setting | without | cases that this layer alone still holds | layer |", "|---|---|---|---|"]
    lines += ["| %s | %s | %s | %s |" % (setting, others.replace(",", ", "), cases.replace(" ", ", "), layer) for (setting, others, layer), cases in BEHIND.items()]
    lines += ["", "`tests/integration/test_layers.py` asserts some cases of each layer, and this table, in every run of the tests."]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=("sweep", "outside"))
    parser.add_argument("rest", nargs="*")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    if args.command == "outside":
        escape_world.enter()
        print(json.dumps(outside(args.rest[0], [w for w in [*args.rest, ""][1].split(",") if w])))
        return 0
    found = sweep(args.jobs, lambda text: print(text, file=sys.stderr, flush=True))
    TABLE.write_text(table(found))
    print("wrote %s" % TABLE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
