"""The course on Colab: what is installed there, the first cell, and how `make publish` puts it into a notebook."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
try:
    import lock_colab
    import notebook_freshness
    import on_colab
    import publish
finally:
    sys.path.remove(str(ROOT / "tools"))

RUNTIME, PINS, LOCK = (
    lock_colab.pins(path.read_text()) for path in (lock_colab.RUNTIME, lock_colab.OUT, lock_colab.LOCK)
)


def test_every_requirement_of_the_course_is_met_on_colab():
    there = RUNTIME | PINS
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    for line in wanted:
        requirement = Requirement(line)
        name = lock_colab.canonical(requirement.name)
        if name not in lock_colab.NOT_THERE:
            assert requirement.specifier.contains(there[name]), line
    assert all(name in RUNTIME for name in lock_colab.NOT_THERE if name in ("torch", "ipywidgets"))


def test_what_changes_on_colab_is_what_the_tests_ran_with_and_its_torch_stays():
    assert not set(lock_colab.FIXED) & set(PINS)
    assert {name: PINS[name] for name in PINS if name in LOCK} == {name: LOCK[name] for name in PINS if name in LOCK}
    assert set(lock_colab.TOGETHER) <= {name for name in PINS if PINS[name] == LOCK.get(name)}
    assert Requirement(lock_colab.ALSO[0]).specifier.contains(PINS["torchao"])


@pytest.mark.network
def test_the_pins_for_colab_resolve_as_they_did():
    pytest.importorskip("uv")
    assert lock_colab.changes(RUNTIME) == PINS


@pytest.fixture
def colab(tmp_path, monkeypatch):
    """A Colab session as far as `prepare` sees it: what is installed, what was run. Nothing is really installed."""
    installed, ran = dict(RUNTIME), []

    def run(command, check):
        ran.append([str(part) for part in command])
        if "install" in command:
            installed.update(lock_colab.pins(Path(command[-1]).read_text()))

    monkeypatch.setattr(on_colab, "version", lambda name: installed.get(lock_colab.canonical(name)))
    monkeypatch.setattr(on_colab.subprocess, "run", run)
    monkeypatch.setattr(on_colab.os, "chdir", lambda folder: None)
    monkeypatch.setattr(on_colab.sys, "modules", {"sys": sys})
    monkeypatch.setattr(on_colab.sys, "path", list(sys.path))
    for name in ("PYTHONPATH", "FTLAB_HOME"):
        monkeypatch.setenv(name, "")
    return ran


def test_the_first_call_installs_and_the_second_does_not(colab, capsys):
    on_colab.prepare()
    assert [command[3] for command in colab] == ["install", "install", "doctor"]
    assert all("--no-deps" in command for command in colab[:2])
    assert "--require-hashes" in colab[1]
    assert f"torch stays {RUNTIME['torch']}" in capsys.readouterr().out
    assert os.environ["FTLAB_HOME"] == str(ROOT / "runs")
    colab.clear()
    on_colab.prepare()
    assert [command[3] for command in colab] == ["doctor"]
    assert "which the end of the session deletes" in capsys.readouterr().out


def test_a_library_that_was_loaded_before_asks_for_a_restart(colab, capsys):
    sys.modules["pyarrow"] = None
    on_colab.prepare()
    told = capsys.readouterr().out
    assert "Restart now" in told
    assert "pyarrow" in told
    assert "doctor" not in str(colab)
    on_colab.prepare()  # after the restart, as far as the packages go
    assert "Restart" not in capsys.readouterr().out


def test_what_a_run_writes_can_go_to_the_drive(colab, monkeypatch, capsys):
    mounted = []
    drive = type("drive", (), {"mount": staticmethod(mounted.append)})
    monkeypatch.setitem(sys.modules, "google", type("google", (), {}))
    monkeypatch.setitem(sys.modules, "google.colab", type("colab", (), {"drive": drive}))
    on_colab.prepare(drive=True)
    assert mounted == ["/content/drive"]
    assert os.environ["FTLAB_HOME"] == "/content/drive/MyDrive/ftlab"
    assert "your Drive" in capsys.readouterr().out


def test_on_kaggle_what_a_run_writes_goes_where_a_version_keeps_it(colab, monkeypatch, capsys):
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    on_colab.prepare(drive=True)  # there is no Drive, and nothing of Colab's is imported
    assert os.environ["FTLAB_HOME"] == "/kaggle/working/ftlab"
    told = capsys.readouterr().out
    assert "Save Version keeps" in told
    assert "drive" not in told.lower()


def test_a_course_that_lies_on_the_drive_writes_there(colab, monkeypatch, capsys):
    monkeypatch.setattr(on_colab, "ROOT", on_colab.DRIVE / "MyDrive" / "ftlab")
    on_colab.prepare()
    assert os.environ["FTLAB_HOME"] == "/content/drive/MyDrive/ftlab/runs"
    assert "on your Drive" in capsys.readouterr().out


def test_it_prepares_a_folder_that_no_git_knows(tmp_path):
    """As it comes out of a zip; everything is installed already, so nothing is."""
    for name in ("tools/on_colab.py", "requirements/colab.txt", "requirements/smol.txt"):
        copy = tmp_path / name
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, copy)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "ftlab.py").write_text("print('the doctor spoke')")
    told = "import on_colab as c; c.wanting = lambda pins: []; c.prepare(); import os; print(os.getcwd())"
    told = subprocess.check_output([sys.executable, "-c", told], cwd=tmp_path / "tools", text=True)
    assert "the doctor spoke" in told
    assert told.splitlines()[-1] == str(tmp_path / "notebooks")


@pytest.fixture
def course(tmp_path):
    """A built notebook and its solution, as small as can be."""
    for name in ("notebooks/05_by_hand.ipynb", "notebooks/solutions/05_by_hand.ipynb"):
        notebook = nbformat.v4.new_notebook()
        notebook.cells = [
            nbformat.v4.new_markdown_cell("# By hand", id="a"),
            nbformat.v4.new_code_cell("1 + 1", id="b"),
        ]
        notebook.metadata["ftlab"] = {"inputs": {}, "cells_sha256": notebook_freshness.cells_hash(notebook)}
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, tmp_path / name)
    return tmp_path


def test_a_stamp_opens_the_right_notebook_and_is_not_an_edit_by_hand(course, capsys):
    assert publish.main(["someone/ft-lab"], course) == 0
    assert "2 notebooks open on Colab from github.com/someone/ft-lab" in capsys.readouterr().out
    for name in ("notebooks/05_by_hand.ipynb", "notebooks/solutions/05_by_hand.ipynb"):
        notebook = nbformat.read(course / name, as_version=4)
        nbformat.validate(notebook)
        title, badge, cell, code = notebook.cells
        assert (title.source, code.source) == ("# By hand", "1 + 1")
        assert f"/github/someone/ft-lab/blob/main/{name})" in badge.source
        assert "https://github.com/someone/ft-lab ~/ft-lab" in cell.source
        assert notebook_freshness.staleness(course / name, {}) == ""
        assert publish.stamped_with(course / name) == "someone/ft-lab"


def test_stamps_are_replaced_and_taken_off_without_a_trace(course):
    before = {path: path.read_bytes() for path in course.rglob("*.ipynb")}
    publish.main(["none"], course)
    before = {path: path.read_bytes() for path in before}
    for repo in ("someone/ftlab", "another/course", "another/course"):
        publish.main([repo], course)
        assert len(nbformat.read(course / "notebooks/05_by_hand.ipynb", as_version=4).cells) == 4
    assert publish.stamped_with(course / "notebooks/05_by_hand.ipynb") == "another/course"
    publish.main(["none"], course)
    assert before == {path: path.read_bytes() for path in before}


@pytest.mark.parametrize("arguments", [[], [""], ["ftlab"], ["a/b/c"], ["https://github.com/a/b"], ["a/b; rm -rf x"]])
def test_only_a_repository_is_stamped(arguments, course, capsys):
    before = {path: path.read_bytes() for path in course.rglob("*.ipynb")}
    assert publish.main(arguments, course) == 2
    assert "make publish REPO=owner/name" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in before}


def test_the_first_cell_does_nothing_elsewhere_and_prepares_colab(course, monkeypatch):
    publish.main(["someone/ftlab"], course)
    cell = nbformat.read(course / "notebooks/05_by_hand.ipynb", as_version=4).cells[2]
    code = TransformerManager().transform_cell(cell.source)
    calls = []

    class Shell:
        def system(self, command):
            calls.append(command)

    def run():
        exec(code, {"get_ipython": Shell})

    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(on_colab, "prepare", lambda drive: calls.append(f"prepare, drive={drive}"))
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    run()
    assert calls == []
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab_2026")
    run()
    clone, prepare = calls
    assert re.search(r"git clone .*--branch main https://github.com/someone/ftlab ~/ftlab$", clone.strip())
    assert prepare == "prepare, drive=False"
