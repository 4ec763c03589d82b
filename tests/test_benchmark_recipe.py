"""The benchmark of recipes: its summary over rounds, and every arm once with nano."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
try:
    import benchmark_recipe as benchmark
finally:
    sys.path.remove(str(ROOT / "tools"))


def ran(arm, number, speed, loss=1.0):
    return {"arm": arm, "round": number, "tokens_per_second": speed, "validation_loss": loss}


def test_ratios_are_those_of_the_same_round():
    runs = [ran("ours", 0, 200), ran("unsloth_stock", 0, 100), ran("ours", 1, 90), ran("unsloth_stock", 1, 30)]
    found = benchmark.summarise(runs)
    assert found["ours_is_faster"] == {"unsloth_stock": {"median": 2.5, "low": 2.0, "high": 3.0}}
    assert found["arms"]["ours"]["tokens_per_second"] == 145


def test_an_arm_that_failed_leaves_its_error_and_no_ratio():
    runs = [ran("ours", 0, 200), {"arm": "trl_defaults", "round": 0, "error": "Traceback\nRuntimeError: no"}]
    found = benchmark.summarise(runs)
    assert list(found["arms"]) == ["ours"]
    assert found["ours_is_faster"] == {}
    assert benchmark.describe(runs[1]) == "failed: RuntimeError: no"


@pytest.mark.parametrize(("changed", "kept"), [({}, ["ours"]), ({"machine": "another"}, []), ({"rows": 8}, [])])
def test_a_stopped_benchmark_goes_on_only_where_it_may_be_compared(tmp_path, changed, kept):
    new = {"model": "smol", "rows": 240, "machine": "this one", "versions": {"torch": "2"}, "minutes": 0.0, "runs": []}
    runs = [ran("ours", 0, 200), {"arm": "trl_defaults", "round": 0, "error": "no"}]
    out = tmp_path / "results.json"
    out.write_text(json.dumps(new | {"runs": runs, "minutes": 3.0} | changed))
    assert [run["arm"] for run in benchmark.begun(out, new, ["ours", "trl_defaults"])["runs"]] == kept
    kept += ["trl_defaults"] if kept else []  # what is not tried again keeps its error
    assert [run["arm"] for run in benchmark.begun(out, new, ["ours"])["runs"]] == kept
    assert benchmark.begun(tmp_path / "none.json", new, ["ours"]) == new


@pytest.mark.parametrize(("tiny", "told"), [(True, "--tiny"), (False, "--rows 120")])
def test_the_record_names_the_command_that_makes_it_anew(tiny, told):
    options = argparse.Namespace(tiny=tiny, rows=120)
    assert benchmark.command_of(options) == f"python tools/benchmark_recipe.py {told}"


@pytest.mark.slow
def test_every_arm_trains_on_the_same_tokens(tmp_path):
    out = tmp_path / "results.json"
    command = [sys.executable, "tools/benchmark_recipe.py", "--tiny", "--out", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    runs = json.loads(out.read_text())["runs"]
    assert [run["arm"] for run in runs] == list(benchmark.ARMS)
    assert len({run["tokens"] for run in runs}) == 1
    assert len({run["steps"] for run in runs}) == 1
    losses = [run["validation_loss"] for run in runs]
    assert max(losses) / min(losses) < 1.02
