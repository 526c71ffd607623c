"""What processes use, read from /proc."""

import os
from pathlib import Path

TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")


def processes():
    """Every live process: pid -> (parent, name, processor time in us, its dead and waited-for children's included)."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            name, rest = (entry / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue  # it ended meanwhile
        fields = rest.split()
        found[int(entry.name)] = (int(fields[1]), name, sum(int(ticks) for ticks in fields[11:15]) * TICK_US)
    return found


def family(all_processes, root):
    """root and its descendants."""
    own = {root}
    size = 0
    while size != len(own):
        size = len(own)
        own |= {pid for pid, (parent, _, _) in all_processes.items() if parent in own}
    return own & all_processes.keys()


def machine_busy_us():
    """Processor time of everything that runs here."""
    user, nice, system, _, _, irq, softirq = (int(n) for n in Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system + irq + softirq) * TICK_US


class Usage:
    """with Usage({name: pid}) as u: ...; u.used_us: name -> processor time of that process and its descendants, and
    of the whole machine.  A name is left out when descendants were replaced meanwhile, whose time went with them."""

    def __init__(self, pids):
        self.pids, self.used_us = pids, {}

    def _read(self):
        now = processes()
        used = {name: sum(now[pid][2] for pid in family(now, root)) for name, root in self.pids.items() if root in now}
        return {**used, "whole machine": machine_busy_us()}

    def __enter__(self):
        self.before = self._read()
        return self

    def __exit__(self, *_):
        used = {name: us - self.before.get(name, 0) for name, us in self._read().items()}
        self.used_us = {name: us for name, us in used.items() if us >= 0}


def private_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith(("Private_Clean:", "Private_Dirty:")))


def generations(all_processes, root):
    """Descendants of root by how far they are from it."""
    found = [{root}]
    while found[-1]:
        found.append({pid for pid, (parent, _, _) in all_processes.items() if parent in found[-1]})
    return found[:-1]


def waiting_calls(executor):
    """Private memory in kB of each process that waits for a call: the executor's youngest generation, children of
    the tools' zygotes (supervisor -> worker -> init of its namespaces -> zygote -> calls)."""
    found = []
    for pid in generations(processes(), executor)[-1] - {executor}:
        try:
            found.append(private_kb(pid))
        except OSError:
            continue  # it has just served its call
    return sorted(found)
