"""Unit tests run offline, write nothing into the repository and give the same result each time.

Property tests draw the same examples in every run; HYPOTHESIS_PROFILE=explore draws new ones, to look for faults.
"""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before any library of the hub is imported
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):  # side by side, each has its share of the cores
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings

import ftlab  # quiets the libraries, before they are imported

for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "ARGS"):  # or `make test ARGS=...` hands them to every make of a test
    os.environ.pop(name, None)

settings.register_profile("repeat", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))


HOMES = count()


def new_home(tmp_path_factory, models: Path) -> str:
    home = tmp_path_factory.getbasetemp() / "homes" / str(next(HOMES))  # mktemp would look at all the others each time
    home.mkdir(parents=True)
    (home / "models").symlink_to(models, target_is_directory=True)
    return str(home)


@pytest.fixture(scope="session", autouse=True)
def models_made_once(tmp_path_factory):
    """Where `smol` is unpacked: the folder that has it already, else a temporary one for all tests."""
    made = Path(ftlab.__file__).resolve().parents[1] / "runs" / "models"
    models = made if any(made.glob("smol-*")) else tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:  # for fixtures that are made before a test has its own
        patch.setenv("FTLAB_HOME", new_home(tmp_path_factory, models))
        yield models


@pytest.fixture(autouse=True)
def runs_in_a_temporary_folder(monkeypatch, tmp_path_factory, models_made_once):
    """What a run writes goes to a folder of this test."""
    monkeypatch.setenv("FTLAB_HOME", new_home(tmp_path_factory, models_made_once))
