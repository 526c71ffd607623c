"""Each layer of the sandbox, taken away on purpose, must turn the escape suite red: else nothing proves that it is there.

`./mcpbox test escapes-mutation` runs all cases against all layers (docs/sandbox-layers.md)."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import escape_layers  # noqa: E402

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a world of its own needs root")
RUNS = [(setting, layer, cases.split()) for layer, settings in escape_layers.LAYERS.items() for setting, cases in settings.items()]


@pytest.fixture(scope="module")
def red():
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda run: escape_layers.red_cases(*run), RUNS)
        return {run[:2]: cases for run, cases in zip(RUNS, found)}


@pytest.mark.parametrize("setting,layer,case", [(setting, layer, case) for setting, layer, cases in RUNS for case in cases])
def test_without_the_layer_the_case_is_red(red, setting, layer, case):
    assert case in red[setting, layer], red[setting, layer]


@pytest.fixture(scope="module")
def behind():
    runs = [(setting, without, cases.split()) for (setting, others, layer), cases in escape_layers.BEHIND.items()
            for without in (others, others + "," + layer)]
    with ThreadPoolExecutor(2) as pool:
        return dict(zip([run[:2] for run in runs], pool.map(lambda run: escape_layers.red_cases(*run), runs)))


@pytest.mark.parametrize("setting,others,layer", escape_layers.BEHIND)
def test_behind_other_layers_it_still_holds_some_cases(behind, setting, others, layer):
    cases = set(escape_layers.BEHIND[setting, others, layer].split())
    assert not cases & set(behind[setting, others])
    assert cases <= set(behind[setting, others + "," + layer])


@pytest.mark.parametrize("setting", ["full", "docker"])
def test_with_all_layers_a_look_from_outside_finds_no_fault(setting):
    assert escape_layers.red_cases(setting, None, ["outside"]) == {}
