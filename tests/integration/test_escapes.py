"""Every case of tests/corpus/escapes in real sandboxes, with all namespaces and as inside Docker's default profile.

Both settings run side by side, each in a world of its own; the tests then ask for what came of their case.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS / "support"))
import escape_cases  # noqa: E402
import escape_world  # noqa: E402

CORPUS = TESTS / "corpus/escapes"
SETTINGS = ("full", "docker")
PAIRS = [(setting, case.id) for case in escape_cases.load(CORPUS).values() for setting in SETTINGS if setting in case.settings]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a world of its own needs root")


@pytest.fixture(scope="module")
def verdicts():
    runs = [escape_world.throw_away(sys.executable, TESTS / "support/escape_cases.py", "--cases", CORPUS, "--setting", setting,
                                    "--json", stdout=subprocess.PIPE, text=True) for setting in SETTINGS]
    with ThreadPoolExecutor() as readers:
        texts = list(readers.map(lambda run: run.communicate()[0], runs))
    return {(row["setting"], row["id"]): row for text in texts for row in map(json.loads, text.splitlines())}


@pytest.mark.parametrize("setting,case", PAIRS)
def test_case_ends_as_its_header_says(verdicts, setting, case):
    assert (setting, case) in verdicts, "the runner broke off before this case"
    row = verdicts[setting, case]
    assert row["problems"] == [], row


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_executor_ends_well(verdicts, setting):
    assert (setting, "executor") not in verdicts, verdicts[setting, "executor"]
