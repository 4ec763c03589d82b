"""Unit tests run offline, write nothing into the repository and give the same result each time.

Property tests draw the same examples in every run; HYPOTHESIS_PROFILE=explore draws new ones, to look for faults.
"""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before any library of the hub is imported

import pytest
from hypothesis import settings

import ftlab  # noqa: F401  quiets the libraries, before they are imported

settings.register_profile("repeat", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))


@pytest.fixture(autouse=True)
def runs_in_a_temporary_folder(monkeypatch, tmp_path_factory):
    """What a run writes goes to a folder of this test."""
    monkeypatch.setenv("FTLAB_HOME", str(tmp_path_factory.mktemp("runs")))
