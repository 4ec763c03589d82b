"""The calls in the notebooks fit the installed libraries, and those recorded in an environment like Colab's."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
try:
    import lock_colab
    import on_colab
    import signatures
finally:
    sys.path.remove(str(ROOT / "tools"))

RECORD = json.loads(signatures.RECORD.read_text(encoding="utf-8"))
TOY = """\
import functools
import pandas as pd
from trl import SFTConfig, SFTTrainer as Trainer
from ftlab.models import resolve
import trackio

config = SFTConfig(
    output_dir="x", max_length=5
)
trainer = Trainer(model=resolve("nano"), args=config)
trainer = wrapped(trainer)
trainer.train(resume_from_checkpoint=True)
pd.DataFrame([1]).to_csv("x", index=False)
print("of no library", sep="")
trackio.init = functools.partial(trackio.init, embed=False)
unknown.call(argument=1)
trainer.state.anything(argument=1)
trainer(argument=1).anything(argument=1)
"""


def test_calls_are_found_by_imports_and_by_the_class_of_an_object(tmp_path):
    (tmp_path / "a.py").write_text(TOY)
    found = [(call.line, call.target, call.arguments) for call in signatures.calls(tmp_path / "a.py")]
    assert found == [
        (7, "trl.SFTConfig", ("output_dir", "max_length")),
        (10, "trl.SFTTrainer", ("model", "args")),
        (12, "trl.SFTTrainer.train", ("resume_from_checkpoint",)),
        (13, "pandas.DataFrame.to_csv", ("index",)),
        (13, "pandas.DataFrame", ()),
        (15, "trackio.init", ("embed",)),
    ]


def test_every_call_in_the_notebooks_fits_both_stacks():
    """In a process of its own: it imports Unsloth."""
    command = [sys.executable, ROOT / "tools" / "signatures.py"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stdout + result.stderr[-2000:]
    assert ", 0 do not fit\n" in result.stdout


def test_the_record_is_of_what_the_course_installs_there_and_knows_the_calls_of_what_ran_there():
    there = on_colab.pins(lock_colab.RUNTIME.read_text()) | on_colab.pins(lock_colab.OUT.read_text())
    kept = {name: version.partition("+")[0] for name, version in RECORD["versions"].items()}
    assert kept == {name: there[name] for name in signatures.PACKAGES}
    ran = [path for path in signatures.sources() if path.name[:2] in ("00", "06", "07")]
    assert {call.target for path in ran for call in signatures.calls(path)} <= set(RECORD["signatures"])


@pytest.mark.parametrize(
    ("planted", "told"),
    [
        ("max_lenght=5", "a.py:7 trl.SFTConfig(max_lenght=...): no such argument (there); the nearest is max_length"),
        ("zzz=5", "a.py:7 trl.SFTConfig(zzz=...): no such argument (there); it takes output_dir, max_length"),
    ],
)
def test_a_planted_renamed_argument_is_named_with_its_place_and_the_nearest(tmp_path, planted, told):
    (tmp_path / "a.py").write_text(TOY.replace("max_length=5", planted))
    known = {"trl.SFTConfig": ["output_dir", "max_length"], "pandas.DataFrame": [signatures.ANYTHING]}
    assert signatures.misfits(signatures.calls(tmp_path / "a.py"), known, "there") == [told]


@pytest.mark.parametrize("target", ["trl.SFTConfig", "unsloth.FastLanguageModel.get_peft_model", "trl.SFTTrainer"])
def test_an_argument_that_a_library_renames_is_named_in_every_notebook_that_gives_it(target):
    found = [call for path in signatures.sources() for call in signatures.calls(path)]
    old = next(call.arguments[-1] for call in found if call.target == target)
    names = [name for name in RECORD["signatures"][target] if name != signatures.ANYTHING]
    renamed = {target: [f"new_{name}" if name == old else name for name in names]}
    lines = signatures.misfits(found, renamed, "there")
    givers = [f"{call.source}:{call.line}" for call in found if call.target == target and old in call.arguments]
    assert [line.split()[0] for line in lines] == givers
    assert all(f"{target}({old}=...)" in line and f"the nearest is new_{old}" in line for line in lines)
    with_kwargs = {target: [*renamed[target], signatures.ANYTHING]}
    assert signatures.misfits(found, with_kwargs, "there") == []
    assert signatures.misfits(found, with_kwargs, "there", {target: names}) == lines
    assert signatures.misfits(found, {target: None}, "there")[0].endswith(f"{target} is not there (there)")
