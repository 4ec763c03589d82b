"""Run All Cells, from the menu of a real JupyterLab, for every notebook of the course: no error that was not meant.

    .venv/bin/python -m pytest -m slow tests/test_browser_run_all.py                    all of them, one after the other
    FTLAB_PICTURES=pictures .venv/bin/python -m pytest -m slow tests/test_browser_run_all.py -k 14     one, to look at

The notebooks and what they read are copied first: nothing is written into the repository. FTLAB_PICTURES names a folder
for what the browser showed at the end; without it the pictures go with the test's temporary folder.
"""

import os
import shutil
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import screenshot  # noqa: E402

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(screenshot.chromium() is None, reason="needs Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The learners' notebooks and the folders that they read, in a folder of their own."""
    folder = tmp_path_factory.mktemp("course")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns("src", "solutions"))
    for name in ("data", "recipes"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = Path(os.environ.get("FTLAB_PICTURES") or tmp_path_factory.mktemp("pictures")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize("name", [path.stem for path in NOTEBOOKS])
def test_run_all_shows_no_error_but_those_it_was_built_with(course, pictures, name):
    built = (ROOT / f"notebooks/{name}.ipynb").read_bytes()
    assert screenshot.lab_page(course / f"notebooks/{name}.ipynb", pictures / f"{name}.png", run=True) == []
    assert (pictures / f"{name}.png").stat().st_size > 0
    assert (ROOT / f"notebooks/{name}.ipynb").read_bytes() == built


def test_an_error_ends_the_run_and_is_told(tmp_path):
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    notebook.cells = [nbformat.v4.new_code_cell(text) for text in ("print(1)", "1 / 0", "print(2)")]
    nbformat.write(notebook, tmp_path / "stops.ipynb")
    told = screenshot.lab_page(tmp_path / "stops.ipynb", tmp_path / "stops.png", run=True)
    assert told == ["ZeroDivisionError: division by zero"]
