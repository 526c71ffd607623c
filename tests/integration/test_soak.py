"""Nothing is left behind by good and hostile calls: the short form; `./mcpbox test soak --calls 100000` is the long one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import escape_world  # noqa: E402

SUPPORT = Path(__file__).parents[1] / "support"
CALLS = {"full": 2000, "docker": 1000}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a world of its own needs root")


@pytest.fixture(scope="module")
def ends():
    runs = {setting: escape_world.throw_away(sys.executable, SUPPORT / "soak.py", "--setting", setting, "--calls", str(calls),
                                             stdout=subprocess.PIPE, text=True) for setting, calls in CALLS.items()}
    return {setting: (run.communicate()[0], run.returncode) for setting, run in runs.items()}


@pytest.mark.parametrize("setting", CALLS)
def test_nothing_is_left_behind(ends, setting):
    text, status = ends[setting]
    assert status == 0, text
