#!/usr/bin/python3
"""Makes docs/config.md and deploy/env.example from the settings tables of the services' binaries.

    docs/generate.py BIN_DIR            writes both
    docs/generate.py --check BIN_DIR    exit 1 and a diff when they are not what the binaries say
"""

import difflib
import json
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
SERVICES = ("registry", "gateway", "executor", "egress-proxy", "admin")
KINDS = {"string": "text", "secret": "secret", "uint": "number", "ms": "duration", "size": "size", "bool": "yes or no"}

# What ./mcpbox and mcpboxctl read themselves; no service has a row for these.
OWN = (
    ("MCPBOX_DATA", "text", "", "data directory of the instance; `--data` wins"),
    ("MCPBOX_TOKEN", "secret", "", "access token for `mcpboxctl`; wins over the one that `login` kept"),
    ("MCPBOX_CACHE", "text", "/var/cache/mcpbox", "where the tests keep their Debian 13 root"),
)

CONFIG_HEAD = """# Settings

Made by `docs/generate.py` from each service's own table (`services/*/*_cfg.c`); a test compares it. Environment only.

Give them to `./mcpbox up`, which remembers them in the data directory and hands each to the services whose table
names it. An empty value forgets a setting. `mcpbox-SERVICE --print-config` shows what is in force. Durations are
`250ms`, `30s`, `10m`; sizes are `64k`, `8m`, `1g`. Where *file* is said, `NAME_FILE` may name a file that holds the
value. Rows marked *by up* are filled in by `./mcpbox up`; give them yourself only without it.
"""

EXAMPLE_HEAD = """# Every setting an operator may give, with its default.  Made by docs/generate.py; docs/config.md says more.
# For compose files and orchestrators; `./mcpbox up` takes the same names from its environment.
"""


def tables(bin_dir):
    """Rows by name: the row and the services that have it."""
    rows = {}
    for service in SERVICES:
        out = subprocess.run([f"{bin_dir}/mcpbox-{service}", "--print-config-table"], capture_output=True, text=True,
                             check=True).stdout
        for line in out.splitlines():
            row = json.loads(line)
            _, services = rows.setdefault(row["name"], (row, []))
            services.append(service)
    return [rows[name] for name in sorted(rows)]


def cell(text):
    return str(text).replace("|", "\\|")


def range_of(row):
    if not row["min"] and not row["max"]:
        return ""
    return f"{row['min']} to {row['max']}"


def notes_of(row):
    notes = [word for flag, word in (("required", "required"), ("file", "file"), ("internal", "by up")) if row[flag]]
    return ", ".join(notes)


def config_md(rows):
    lines = [CONFIG_HEAD, "| variable | kind | default | range | services | meaning | notes |",
             "|---|---|---|---|---|---|---|"]
    for row, services in rows:
        default = f"`{row['default']}`" if row["default"] not in (None, "") else ""
        used_by = "all" if len(services) == len(SERVICES) else ", ".join(services)
        lines.append(f"| `{row['name']}` | {KINDS.get(row['kind'], row['kind'])} | {cell(default)} | {range_of(row)} "
                     f"| {used_by} | {cell(row['meaning'])} | {notes_of(row)} |")
    lines += ["", "## Read by the commands themselves", "", "| variable | kind | default | meaning |", "|---|---|---|---|"]
    lines += [f"| `{name}` | {kind} | {f'`{default}`' if default else ''} | {meaning} |"
              for name, kind, default, meaning in OWN]
    return "\n".join(lines) + "\n"


def env_example(rows):
    lines = [EXAMPLE_HEAD]
    for row, services in rows:
        if row["internal"]:
            continue
        used_by = "all services" if len(services) == len(SERVICES) else ", ".join(services)
        lines.append(f"# {row['meaning']} ({used_by})")
        lines.append(f"#{row['name']}={row['default'] or ''}\n")
    return "\n".join(lines)


def differs(path, text):
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    diff = difflib.unified_diff(old.splitlines(True), text.splitlines(True), str(path), "what the binaries say")
    sys.stdout.writelines(diff)
    return old != text


def main(arguments):
    check = arguments[0] == "--check"
    rows = tables(arguments[-1])
    texts = {REPO / "docs" / "config.md": config_md(rows), REPO / "deploy" / "env.example": env_example(rows)}
    if check:
        return 1 if any([differs(path, text) for path, text in texts.items()]) else 0
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
