"""The session on a GPU: its parts are kept apart and timed, its rows are those of the estimators."""

import ast
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from test_costs_memory import error_of, measured_rows

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
try:
    import gpu_session as session
    import measure_memory
finally:
    sys.path.remove(str(ROOT / "tools"))

TOLD = {"command": "python tools/gpu_session.py", "machine": "a GPU", "created": "2026-11-29"}
SLOW = "import json, pathlib, subprocess, sys, time; pathlib.Path(sys.argv[1]).write_text(json.dumps({'half': 1})); "
CHILD = "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True); "


@pytest.fixture
def no_least(monkeypatch):
    """Parts may have less than half a minute."""
    monkeypatch.setattr(session, "LEAST_SECONDS", 0.1)


def part(name, code, *words, seconds=30.0, **more):
    return session.Part(name, seconds / 60, (sys.executable, "-c", code, *words), **more)


def is_over(pid):
    """Whether a process ends within two seconds, or waits for its parent to notice."""
    for _ in range(20):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.1)
    return False


def test_a_part_that_is_stopped_or_fails_leaves_its_record_and_the_next_goes_on(tmp_path, no_least):
    record, out = tmp_path / "part.json", tmp_path / "session.json"
    parts = [
        part("hangs", SLOW + CHILD + "time.sleep(60)", str(record), seconds=3, record=record),
        part("fails", "print('so far'); raise SystemExit('out of memory')"),
        part("works", "print('validation loss 0.5')\nprint('more')"),
    ]
    session.run_parts(parts, TOLD, 1, out)
    found = json.loads(out.read_text())
    assert found["machine"] == "a GPU"
    hangs, fails, works = found["parts"].values()
    assert hangs["status"] == "stopped after 3 s"
    assert hangs["found"] == {"half": 1}
    assert is_over(int(hangs["said"][0]))  # what it had started is stopped too
    assert (fails["status"], fails["said"]) == ("failed with exit code 1", ["so far", "out of memory"])
    assert session.headline(fails) == "out of memory"
    assert (works["status"], session.headline(works)) == ("done", "validation loss 0.5")
    assert "stopped after 3 s" in session.summary(found)


def test_without_time_nothing_is_begun_and_other_records_stay(tmp_path):
    out = tmp_path / "session.json"
    out.write_text(json.dumps({"parts": {"earlier": {"status": "done", "said": []}}}))
    found = session.run_parts([part("late", "raise SystemExit(1)")], TOLD, 0.1, out)
    assert found["parts"]["late"] == {"status": "no time was left"}
    assert json.loads(out.read_text())["parts"].keys() == {"earlier", "late"}


def test_the_record_names_no_folder_of_the_machine(tmp_path, no_least):
    out = tmp_path / "session.json"
    session.run_parts([part("says", f"print({str(ROOT / 'tools')!r})")], TOLD, 1, out)
    assert json.loads(out.read_text())["parts"]["says"]["said"] == ["./tools"]


@pytest.mark.parametrize("tiny", [True, False])
def test_parts_are_ready_to_run(tmp_path, tiny, monkeypatch):
    monkeypatch.setenv("FTLAB_HOME", str(tmp_path / "home"))
    parts = session.all_parts(tmp_path, tiny)
    names = [each.name for each in parts]
    assert names[0] == "notebook_06"
    assert names[-3:] == ["benchmark", "ftlab_run", "pretrain_nano"]
    assert len(set(names)) == len(names) == 4 + len(session.ARCHITECTURES) * len(session.METHODS)
    for each in parts:
        scripts = [word for word in each.command if word.endswith(".py")]
        assert all((each.folder / script).is_file() for script in scripts)
    cells = (tmp_path / "cells.py").read_text()
    ast.parse(cells)
    assert f'MODEL = "{"nano" if tiny else "smol"}"' in cells
    from ftlab.training.recipe import load_recipe

    recipe = load_recipe(tmp_path / "recipe" / "recipe.yaml")
    assert recipe.model == ("nano" if tiny else "smol")
    assert len(recipe.all_seeds) == 1


def test_rows_are_those_of_the_estimators():
    peak = {"allocated": 7.0, "reserved": 7.5}
    measured = {"length": 2048, "peak": peak, "tokens_per_second": 3000.4}
    memory, reserved = measure_memory.as_rows("llama-3.1-8b", "qlora", measured)
    assert list(memory) == list(reserved) == list(measured_rows()[0])
    assert (memory["peak_gib"], reserved["peak_gib"]) == (7.0, 7.5)
    assert (memory["tokens_per_second"], reserved["tokens_per_second"]) == (3000, "")
    assert abs(error_of({key: str(value) for key, value in memory.items()})) < 0.5
    assert measure_memory.as_rows("llama-3.1-8b", "qlora", {"length": 4096, "error": "out of memory"}) == []


def test_a_weight_file_takes_no_room_and_is_read_as_zeros(tmp_path):
    from dataclasses import replace

    from transformers import AutoModelForCausalLM

    from ftlab.costs.architecture import find_architecture

    for name, tied in (("qwen3-4b", True), ("llama-3.1-8b", False)):
        architecture = replace(find_architecture(name), **measure_memory.SMALL)
        assert architecture.tie_word_embeddings == tied
        folder = tmp_path / name
        folder.mkdir()
        measure_memory.write_model(architecture, folder)
        model = AutoModelForCausalLM.from_pretrained(folder)
        assert sum(weight.numel() for weight in model.parameters()) == architecture.parameters
        assert not any(weight.any() for weight in model.parameters())
        for weight in model.parameters():
            assert not measure_memory.fill(weight)
        assert all(weight.std() > 0 or weight.ndim == 1 for weight in model.parameters())


@pytest.mark.slow
def test_a_part_of_the_rehearsal(tmp_path):
    out = tmp_path / "session.json"
    command = [sys.executable, "tools/gpu_session.py", "--rehearse", "--only", "rows_llama-3.1-8b_qlora"]
    subprocess.run([*command, "--out", str(out)], cwd=ROOT, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    found = json.loads(out.read_text())["parts"]["rows_llama-3.1-8b_qlora"]
    assert found["status"] == "done"
    assert [each["length"] for each in found["found"]["measured"]] == [64, 128]
    assert len(found["found"]["rows"]) == 4
    assert all(list(row) == list(measured_rows()[0]) for row in found["found"]["rows"])
