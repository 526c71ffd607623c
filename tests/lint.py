#!/usr/bin/python3
"""What the tree promises about itself, one JUnit case per promise.  Usage: lint.py JUNIT_OUT"""

import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import urlsplit

REPO = Path(__file__).resolve().parent.parent
BUILD = REPO / "build"


def output(*command):
    return subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False).stdout


def files(*patterns):
    """Files of the tree, whether it is a clone or a copy without .git."""
    listed = output("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns)
    return [name for name in listed.split("\0") if name and (REPO / name).is_file()]


def check(*command):
    """None, or what the command said when it failed."""
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else "\n".join(error_lines(done.stdout + done.stderr))


def error_lines(text):
    """What matters of a compiler's output; all of it when nothing is marked."""
    lines = text.splitlines()
    return [line for line in lines if re.search(r"(error|warning):", line)][:200] or lines[-100:]


def formatted_as_clang_format_has_it():
    return check("clang-format", "--dry-run", "-Werror", *files("*.c", "*.h"))


def builds_clean_under_clang():
    return check("cmake", "--preset", "clang") or check("cmake", "--build", "build/clang")


def clang_tidy_finds_nothing():
    """One file per process: in version 14 a second file inherits state of the first (valist)."""
    sources = [name for name in files("services/*.c") if (REPO / name).exists()]
    runner = f"printf '%s\\0' \"$@\" | xargs -0 -P {os.cpu_count()} -n 1 clang-tidy -p build/clang --quiet"
    return check("sh", "-c", runner, "sh", *sources)


def shell_scripts_parse():
    for script in ["mcpbox", *files("deploy/lib/*.sh")]:
        problem = check("sh", "-n", script)
        if problem:
            return problem
    return None


def generated_documents_are_up_to_date():
    """docs/config.md and deploy/env.example against the tables of the binaries just built."""
    return check("/usr/bin/python3", "docs/generate.py", "--check", "build/clang/bin")


def text_of(name):
    return (REPO / name).read_text(encoding="utf-8", errors="replace")


def lines_with(pattern, names):
    found = []
    for name in names:
        for number, line in enumerate(text_of(name).splitlines(), 1):
            if re.search(pattern, line):
                found.append(f"{name}:{number}: {line.strip()[:160]}")
    return "\n".join(found) or None


def registry_hosts():
    """Hosts of the registries that this machine is set up for: none of them may be in the tree."""
    urls = [output("npm", "config", "get", "registry")]
    urls += output("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages").split()
    urls += re.findall(r"https?://\S+", output("pip", "config", "list"))
    hosts = {urlsplit(url.strip()).hostname for url in urls}
    return sorted(host for host in hosts if host and host not in ("localhost", "127.0.0.1"))


def names_no_registry_host():
    hosts = registry_hosts()
    if not hosts:
        return None
    return lines_with("|".join(re.escape(host) for host in hosts), files())


def names_no_absolute_path_of_this_machine():
    """The clone's own directory and home directories."""
    own = re.escape(str(REPO)) if len(REPO.parts) > 2 else r"\0"
    return lines_with(rf"{own}\b|/home/[a-z]+/|/Users/[a-z]+/", files())


def holds_no_secret():
    return lines_with(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s*$|\b(ghp|gho|npm)_[A-Za-z0-9]{36}\b|\bAKIA[0-9A-Z]{16}\b",
                      [name for name in files() if not name.startswith("tests/lint.py")])


PROMISES = (
    formatted_as_clang_format_has_it,
    builds_clean_under_clang,
    clang_tidy_finds_nothing,
    shell_scripts_parse,
    generated_documents_are_up_to_date,
    names_no_registry_host,
    names_no_absolute_path_of_this_machine,
    holds_no_secret,
)


def main(out):
    suite = ET.Element("testsuite", name="lint")
    failed = 0
    for promise in PROMISES:
        started = time.monotonic()
        problem = promise()
        case = ET.SubElement(suite, "testcase", name=promise.__name__, time=f"{time.monotonic() - started:.1f}")
        print(f"lint: {promise.__name__}: {'FAILED' if problem else 'ok'}", file=sys.stderr, flush=True)
        if problem:
            failed += 1
            print(problem, file=sys.stderr)
            ET.SubElement(case, "failure", message="see text").text = re.sub(r"[^\t\n\x20-\x7e]", "?", problem)
    ET.ElementTree(suite).write(out, encoding="unicode")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
