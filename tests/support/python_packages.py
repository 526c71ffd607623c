"""The packages of tests/requirements.txt, under build/python: installed when they are missing or the list has changed."""

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
LIST = REPO / "tests/requirements.txt"
PLACE = REPO / "build/python"


def need():
    """They can be imported from now on."""
    PLACE.parent.mkdir(exist_ok=True)
    stamp = PLACE / "requirements.txt"
    with open(PLACE.parent / "python.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != LIST.read_text():
            shutil.rmtree(PLACE, ignore_errors=True)
            subprocess.run(["/usr/bin/python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                            "--root-user-action=ignore", "--target", PLACE, "--requirement", LIST], check=True,
                           stdout=sys.stderr)
            shutil.copy(LIST, stamp)
    if str(PLACE) not in sys.path:
        sys.path.insert(0, str(PLACE))
