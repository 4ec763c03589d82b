"""Unit tests run offline and write nothing into the repository."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before any library of the hub is imported

import pytest

import ftlab  # noqa: F401  quiets the libraries, before they are imported


@pytest.fixture(autouse=True)
def runs_in_a_temporary_folder(monkeypatch, tmp_path_factory):
    """What a run writes goes to a folder of this test."""
    monkeypatch.setenv("FTLAB_HOME", str(tmp_path_factory.mktemp("runs")))
