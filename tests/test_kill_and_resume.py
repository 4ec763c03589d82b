"""A training process that is killed and resumed by another comes to the same losses and answers as one left alone."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest
import small_run

ROOT = Path(__file__).parents[1]
WHILE_STEP = small_run.SAVED + 3  # in the middle: two whole steps after the first checkpoint


DRILL = ("def nano_trainer", "def train_nano", "script = f", "process.kill", '"--resume"]')  # its cells
HEAD = """
import contextlib
import io
import json
from pathlib import Path

import ftlab
import torch
from datasets import Dataset
from unsloth import FastLanguageModel
from unsloth.chat_templates import train_on_responses_only
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer

from ftlab.data.schema import read_chat
from ftlab.models import resolve

DTYPE, PRECISION, ON_GPU = torch.float32, "fp32", False
"""


def environment(**more) -> dict:
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | more


def killed_after(command, steps: int) -> int:
    """Start the command, kill it when it has printed the loss of so many steps; its exit status."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    seen, told = 0, []
    with subprocess.Popen(command, env=environment(), **pipes) as process:
        for line in process.stdout:
            told.append(line)
            seen += line.startswith("{'loss'")
            if seen == steps:
                process.send_signal(signal.SIGKILL)
    assert seen >= steps, "".join(told)[-2000:]
    return process.returncode


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_a_killed_run_resumes_to_the_same_losses_and_answers(tmp_path):
    command = [sys.executable, "-u", small_run.__file__, str(tmp_path / "killed")]
    assert killed_after(command, WHILE_STEP - 1) == -signal.SIGKILL
    newest = tmp_path / "killed" / f"checkpoint-{small_run.SAVED}"
    assert sorted((tmp_path / "killed").iterdir()) == [newest]
    (tmp_path / "killed" / "checkpoint-99").mkdir()  # as if it had been killed while it wrote this one
    subprocess.run([*command, "--resume"], env=environment(), check=True, capture_output=True)
    resumed = json.loads((tmp_path / "killed" / "result.json").read_text())
    assert resumed.pop("resumed") == newest.name
    alone = small_run.main(tmp_path / "alone")
    assert alone.pop("resumed") is None
    assert len(alone["losses"]) == small_run.STEPS
    assert len(set(alone["losses"].values())) > small_run.STEPS / 2
    assert resumed == alone


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the exit status is another on Windows")
def test_the_drill_of_notebook_06b(tmp_path):
    """Its own cells as a script: three runs through Unsloth, the second one killed."""
    cells = [cell.source for cell in jupytext.read(ROOT / "notebooks" / "src" / "06b_tune_stop_resume.py").cells]
    drill = [next(cell for cell in cells if mark in cell) for mark in DRILL]
    (tmp_path / "drill.py").write_text("\n\n".join([HEAD, *drill]))
    done = subprocess.run(
        [sys.executable, str(tmp_path / "drill.py")], cwd=ROOT / "notebooks", capture_output=True, text=True,
        env=environment(FTLAB_HOME=os.environ["FTLAB_HOME"]),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "exit status -9" in done.stdout
    assert re.search(r"left on disk: .*checkpoint-4, checkpoint-8\n", done.stdout)
    assert "same answers: 8 of 8" in done.stdout
    assert re.search(r"largest difference in any step: 0\n", done.stdout)
