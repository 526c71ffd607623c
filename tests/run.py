#!/usr/bin/python3
"""Behind `./mcpbox test [LABEL...]`: runs suites, sums their JUnit files, ends with `N passed, N failed`.

Each suite is a row of SUITES.  It writes JUnit under build/results/ and its progress to stderr.  A suite that
ends badly without a failed case in its files, or that leaves no file, counts as one failed test: nothing that
could not run is silently skipped.
"""

import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO / "tests/support"))
import python_packages  # noqa: E402

BUILD = REPO / "build"
RESULTS = BUILD / "results"
NODE_AT_LEAST = 20


def say(text):
    print(f"test: {text}", file=sys.stderr, flush=True)


def run(*command, cwd=REPO):
    """Returns the exit status; output goes to stderr."""
    say(" ".join(str(part) for part in command))
    return subprocess.run([str(part) for part in command], cwd=cwd, stdout=sys.stderr,
                          stdin=subprocess.DEVNULL, check=False).returncode


def build(preset, *defines):
    if not (BUILD / preset / "build.ninja").exists():
        if run("cmake", "--preset", preset, *defines):
            return 1
    return run("cmake", "--build", BUILD / preset)


def without_randomised_addresses():
    """ThreadSanitizer of gcc 12 cannot place its shadow under every layout that new kernels choose."""
    prefix = ["setarch", "-R"]
    return prefix if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0 else []


def ctest(preset, out, *selection):
    prefix = without_randomised_addresses() if preset == "tsan" else []
    os.environ["TSAN_OPTIONS"] = f"suppressions={REPO / 'tests' / 'tsan.supp'}"
    return run(*prefix, "ctest", "--test-dir", BUILD / preset, "--output-on-failure", "--no-tests=error", "--parallel", os.cpu_count(),
               "--output-junit", out, *selection)


def ctest_suite(preset, *selection):
    def suite(out):
        return build(preset) or ctest(preset, out / f"ctest-{preset}.xml", *selection)
    return suite


def pytest(out, folder):
    python_packages.need()
    files = sorted((REPO / folder).glob("test_*.py"))
    if not files:
        return 0
    return run("/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={out}/pytest.xml",
               *files)


def integration(out):
    status = build("dev")
    if status:
        return status
    os.environ["MCPBOX_TEST_BIN"] = str(BUILD / "dev" / "bin")
    listed = subprocess.run(["ctest", "--test-dir", str(BUILD / "dev"), "-N", "-L", "integration"],
                            capture_output=True, text=True, check=False).stdout
    if "Total Tests: 0" not in listed:
        status = ctest("dev", out / "ctest.xml", "-L", "integration")
    return pytest(out, "tests/integration") or status


def node_binary():
    """The system's node, or one from the npm registry where the system's is too old for the SDK clients.  None: it cannot be had."""
    node = shutil.which("node")
    if node:
        version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
        if int(version.lstrip("v").split(".")[0]) >= NODE_AT_LEAST:
            return node
    machine = {"x86_64": "x64", "aarch64": "arm64"}[os.uname().machine]
    prefix = BUILD / "node"
    binary = prefix / "node_modules" / f"node-linux-{machine}" / "bin" / "node"
    if not binary.exists():
        prefix.mkdir(parents=True, exist_ok=True)
        if run("npm", "install", "--prefix", prefix, "--no-save", f"node-linux-{machine}@22"):
            say(f"no Node {NODE_AT_LEAST} or newer, and the npm registry gives none")
            return None
    return str(binary)


def e2e(out):
    node = node_binary()
    if not node:
        return 1
    os.environ["PATH"] = f"{Path(node).parent}:{os.environ['PATH']}"
    if run("npm", "ci", "--no-audit", "--no-fund", cwd=REPO / "examples"):
        return 1
    files = sorted((REPO / "tests" / "e2e").glob("*.test.mjs"))
    return run(node, "--test", "--test-concurrency=1", "--test-reporter=spec", "--test-reporter-destination=stderr",
               "--test-reporter=junit", f"--test-reporter-destination={out}/node.xml", *files)


def lint(out):
    return run("/usr/bin/python3", REPO / "tests" / "lint.py", out / "lint.xml")


def debian13(out):
    return run("bash", REPO / "tests" / "debian13" / "run.sh", out / "unit.xml")


# Label, what it runs.  Without labels all of them, in this order.
SUITES = {
    "lint": lint,
    "unit": ctest_suite("dev", "-L", "unit"),
    "fuzz": ctest_suite("dev", "-L", "fuzz"),
    "asan": ctest_suite("asan", "-L", "unit|fuzz"),
    # A control group's memory limit would meet ThreadSanitizer's own memory.
    "tsan": ctest_suite("tsan", "-L", "unit|integration", "-E", "integration_cgroup"),
    "integration": integration,
    "e2e": e2e,
    "debian13": debian13,
}


def count(files):
    """Sums the cases of JUnit files: passed, failed, skipped, and the names of the failed ones."""
    passed = failed = skipped = 0
    names = []
    for file in files:
        for case in ET.parse(file).getroot().iter("testcase"):
            if case.find("failure") is not None or case.find("error") is not None:
                failed += 1
                names.append(case.get("name"))
            elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
                skipped += 1
            else:
                passed += 1
    return passed, failed, skipped, names


def run_suite(label):
    out = RESULTS / label
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    started = time.monotonic()
    status = SUITES[label](out)
    files = sorted(out.glob("*.xml"))
    passed, failed, skipped, names = count(files)
    if (status and not failed) or not files:
        failed += 1
        names.append(f"{label}: ended with status {status}, {len(files)} result files")
    say(f"{label}: {passed} passed, {failed} failed, {skipped} skipped in {time.monotonic() - started:.0f} s")
    return passed, failed, skipped, [f"{label}: {name}" for name in names]


def by_hand(program, *fixed):
    """A command that takes long and is no label: runs a program of tests/support with the dev build."""
    def command(arguments):
        if build("dev"):
            return 1
        os.environ["MCPBOX_TEST_BIN"] = str(BUILD / "dev" / "bin")
        return subprocess.run(["/usr/bin/python3", REPO / "tests/support" / program, *fixed, *arguments], check=False).returncode
    return command


COMMANDS = {
    "escapes": by_hand("escape_cases.py"),              # --cases DIR [--json]: any folder in the format of tests/corpus/escapes
    "escapes-mutation": by_hand("escape_layers.py", "sweep"),  # [--jobs N]: all cases x all layers -> docs/sandbox-layers.md
    "soak": by_hand("soak.py"),                         # [--calls N]: nothing is left behind
}


def main(labels):
    if labels and labels[0] in COMMANDS:
        return COMMANDS[labels[0]](labels[1:])
    unknown = [label for label in labels if label not in SUITES]
    if unknown:
        print(f"test: no label {', '.join(unknown)}; there are: {', '.join(SUITES)}", file=sys.stderr)
        return 2
    totals = [0, 0, 0]
    broken = []
    for label in labels or SUITES:
        *numbers, names = run_suite(label)
        totals = [a + b for a, b in zip(totals, numbers)]
        broken += names
    for name in broken:
        say(f"FAILED {name}")
    skipped = f", {totals[2]} skipped" if totals[2] else ""
    print(f"{totals[0]} passed, {totals[1]} failed{skipped}", flush=True)
    return 1 if totals[1] or not totals[0] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
