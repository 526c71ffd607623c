"""Every case of tests/corpus/escapes in real sandboxes, with all namespaces and as inside Docker's default profile.

Both settings run side by side, a thread each; the tests then ask for what came of their case.
"""

import os
import sys
import threading
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS / "support"))
import escape_cases  # noqa: E402

CASES = escape_cases.load(TESTS / "corpus/escapes")
SETTINGS = ("full", "docker")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the fixtures of the corpus lie under /run")


@pytest.fixture(scope="module")
def fixtures():
    made = escape_cases.Fixtures()
    yield made
    made.close()


@pytest.fixture(scope="module")
def verdicts(fixtures):
    found = {}

    def run(setting):
        runner = escape_cases.Runner(CASES, setting, fixtures=fixtures)
        for case in CASES.values():
            found[setting, case.id] = runner.judge(case)
        runner.close()

    threads = [threading.Thread(target=run, args=(s,)) for s in SETTINGS]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return found


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("case", sorted(CASES))
def test_case_ends_as_its_header_says(verdicts, setting, case):
    assert (setting, case) in verdicts, "the runner broke off before this case"
    answer, problems = verdicts[setting, case]
    assert problems == [], answer
