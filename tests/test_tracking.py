"""Who keeps the curves: trackio on this machine and without a network; Weights & Biases by one argument."""

import importlib.util
import json
import os
import sqlite3
import subprocess
import sys

import pytest
import small_run

NO_NETWORK = """
import runpy, socket, sys

def refused(self, address, *more):
    raise AssertionError(f"a call to {address}")

real = socket.socket.connect
socket.socket.connect = lambda self, *a: real(self, *a) if self.family == socket.AF_UNIX else refused(self, *a)
socket.getaddrinfo = lambda *a, **k: refused(None, a[:2])
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.skipif(importlib.util.find_spec("trackio") is None, reason="trackio is not installed")
def test_trackio_keeps_the_curve_on_this_machine_and_asks_nobody(tmp_path):
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "TRACKIO_DIR": str(tmp_path / "kept"),
    }
    command = [sys.executable, "-c", NO_NETWORK, small_run.__file__, str(tmp_path / "run"), "--report", "trackio"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    losses = json.loads((tmp_path / "run" / "result.json").read_text())["losses"]
    with sqlite3.connect(tmp_path / "kept" / "tests.db") as database:
        rows = [json.loads(text) for (text,) in database.execute("select metrics from metrics order by step")]
    database.close()
    kept = [row["train/loss"] for row in rows if "train/loss" in row]
    assert kept == pytest.approx(list(losses.values()))


@pytest.mark.skipif(importlib.util.find_spec("wandb") is not None, reason="wandb is installed")
def test_a_tracker_that_is_not_installed_is_named_before_the_first_step(tmp_path):
    with pytest.raises(RuntimeError, match="wandb.*pip install wandb"):
        small_run.main(tmp_path, report="wandb")
    assert not list(tmp_path.glob("checkpoint-*"))
