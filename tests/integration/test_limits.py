"""Each limit of a call gives its own outcome and words, and what code asks for in vain is told: real sandboxes."""

import os
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from sandbox_driver import Sandboxes  # noqa: E402

LIMITS = dict(memory_mb=128, cpu_ms=1000, timeout_ms=9000, threads=16, files=64, scratch_mb=8, result_kb=64, output_kb=64)
MODULES = ["os", "subprocess", "socket", "threading", "resource", "urllib.request", "multiprocessing", "ctypes", "fcntl"]


@pytest.fixture(scope="module", params=["full", "docker"])
def sandboxes(request):
    made = Sandboxes(request.param)
    yield made
    made.close()


EXCESSES = {
    "timeout": ("import time\ndef main(): time.sleep(60)", dict(timeout_ms=1000), "time limit 1 s exceeded (1."),
    "cpu": ("def main():\n  while True: pass", {}, "CPU time limit 1 s exceeded ("),
    "memory": ("def main():\n  x = []\n  while True: x.append(bytearray(1 << 20))", {}, "memory limit 128 MiB exceeded"),
    "output": ("def main():\n  while True: print('x' * 999)", {}, "output limit 64 KiB exceeded ("),
    "result": ("def main(): return 'x' * 204800", {}, "result limit 64 KiB exceeded (200.0 KiB)"),
    "files": ("import os\ndef main():\n  while True: os.dup(1)", {}, "descriptor limit 64 exceeded"),
    "threads": ("import threading, time\ndef main():\n"
                "  for _ in range(99): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n"
                "  time.sleep(5)",
                {}, "thread limit 16 exceeded"),
    "scratch": ("def main():\n  f = open('a', 'wb')\n  while True: f.write(bytes(1 << 20))", {},
                "scratch space limit 8 MiB exceeded (8 MiB used)"),
}


@pytest.mark.parametrize("outcome", EXCESSES)
def test_names_limit_and_use(sandboxes, outcome):
    if outcome == "scratch" and not sandboxes.layers["mountns"]:
        pytest.skip("no scratch directory without a mount namespace")
    code, limits, text = EXCESSES[outcome]
    answer = sandboxes.run(code, modules=MODULES, **{**LIMITS, **limits})
    assert (answer["outcome"], answer["error"][:len(text)]) == (outcome, text), answer


def test_too_many_files_are_told_from_too_many_bytes(sandboxes):
    if not sandboxes.layers["mountns"]:
        pytest.skip("no scratch directory without a mount namespace")
    answer = sandboxes.run("def main():\n  for i in range(5000): open(str(i), 'w').close()", **LIMITS)
    assert (answer["outcome"], answer["error"]) == ("scratch", "scratch space limit of 1024 files exceeded"), answer


def test_a_tool_that_copes_with_a_limit_is_fine(sandboxes):
    code = ("import os, errno\ndef main():\n  try:\n    while True: os.dup(1)\n"
            "  except OSError as e: return errno.errorcode[e.errno]")
    answer = sandboxes.run(code, modules=MODULES + ["errno"], **LIMITS)
    assert (answer["outcome"], answer["structured"], answer["content"][0]["text"]) == ("ok", None, "EMFILE"), answer


IN_VAIN = {
    "subprocess": ("import subprocess\ndef main(): subprocess.run(['true'])", "no other process", ("syscall", "processes", 2)),
    "fork": ("import os\ndef main():\n  os.fork()", "no other process", ("syscall", "processes", 3)),
    "socket": ("import socket\ndef main():\n\n  socket.socket()", "mcpbox_request_network_access", ("syscall", "sockets", 4)),
    "kill": ("import os\ndef main(): os.kill(os.getppid(), 0)", "to nobody", ("syscall", "signals", 2)),
    "module": ("def main():\n  import requests", "ask for it with mcpbox_request_module", ("import", "requests", 2)),
    "client": ("def main():\n  import httpx", "requests go through `http`", ("import", "httpx", 2)),
    "library": ("import urllib.request\ndef main():\n  urllib.request.urlopen('http://a.example.com')", "requests with the object http",
                ("syscall", "sockets", 3)),
    "pool": ("import multiprocessing\ndef main(): multiprocessing.Pool(2)", "ThreadPoolExecutor", ("syscall", "processes", 2)),
    "system": ("import os\ndef main(): os.system('true')", "no other process", ("syscall", "processes", 2)),
    "callback": ("import ctypes\ndef main(): ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 1)", "(CFUNCTYPE)", ("syscall", "executable memory", 2)),
    "lock": ("import fcntl\ndef main(): fcntl.flock(1, fcntl.LOCK_SH)", "go without", ("syscall", "file locks", 2)),
    "useless": ("def main():\n  import telnetlib", "would not help", ("import", "telnetlib", 2)),
}


@pytest.mark.parametrize("what", IN_VAIN)
def test_says_what_helps_and_reports_it(sandboxes, what):
    code, words, told = IN_VAIN[what]
    answer = sandboxes.run(code, modules=MODULES, **LIMITS)
    assert answer["outcome"] == "tool_error" and words in answer["error"], answer
    assert [(e["kind"], e["name"], e["line"]) for e in answer["events"]] == [told], answer


def test_memory_that_ran_out_names_line_use_and_what_helps(sandboxes):
    answer = sandboxes.run("def main():\n  x = []\n  while True: x.append(bytearray(1 << 20))", **LIMITS)
    assert re.fullmatch(r"memory limit 128 MiB exceeded \(1[0-9]{2}(\.\d)? MiB used\)", answer["error"]), answer
    text = answer["content"][0]["text"]
    assert "\nWhat helps: " in text and "MemoryError at line 3" in text, text
    own = sandboxes.run("def main(): raise MemoryError('my own')", **LIMITS)
    assert (own["outcome"], own["error"]) == ("tool_error", "MemoryError: my own"), own


def test_a_warning_names_no_path_of_the_machine(sandboxes):
    answer = sandboxes.run("async def f(): pass\nasync def main():\n  x = f()\n  return 1", **LIMITS)
    assert answer["stdout"] == "tool.py: RuntimeWarning: coroutine 'f' was never awaited\n", answer


def test_a_refusal_that_the_code_hides_is_reported_all_the_same(sandboxes):
    code = "def main():\n  for name in ('requests', 'numpy', 'requests'):\n    try: __import__(name)\n    except ImportError: pass"
    answer = sandboxes.run(code, **LIMITS)
    assert answer["outcome"] == "ok"
    assert [e["name"] for e in answer["events"]] == ["requests", "numpy"]
