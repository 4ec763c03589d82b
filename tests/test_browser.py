"""A notebook in a real JupyterLab in a real browser: run, drive a slider, look at what is shown."""

import shutil
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import build_notebooks  # noqa: E402
import screenshot  # noqa: E402

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(screenshot.chromium() is None, reason="needs Chromium: apt-get install chromium"),
]



@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The fixture as an unexecuted notebook of learners in <folder>/notebooks, its data beside it."""
    folder = tmp_path_factory.mktemp("course")
    shutil.copytree(ROOT / "tests/fixtures/notebooks", folder / "notebooks")
    (folder / "data").mkdir()
    (folder / "data/numbers.txt").write_text("1\n2\n3\n4\n")
    source = build_notebooks.read_source(folder / "notebooks/src/00_try_it.py")
    notebook = build_notebooks.variant(source, solved=False)
    nbformat.write(notebook, folder / "notebooks/00_try_it.ipynb")
    return folder


@pytest.fixture(scope="module")
def page(folder):
    """JupyterLab with the notebook open and all its cells run, from the menu."""
    with screenshot.jupyter_lab(folder) as (url, token), screenshot.open_page() as page:
        try:
            screenshot.open_notebook(page, url, token, "notebooks/00_try_it.ipynb")
            screenshot.run_all_cells(page)
        except Exception:
            screenshot.keep_picture(page, "run_all")
            raise
        yield page


@pytest.fixture(autouse=True)
def picture_on_failure(page, request):
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        screenshot.keep_picture(page, request.node.name)


def test_the_cells_run_and_show_their_outputs(page):
    outputs = page.locator(".jp-OutputArea-output")
    outputs.get_by_text("4 numbers in").wait_for()
    assert outputs.filter(has_text="30").count() > 0
    outputs.get_by_text("optimizer steps: not solved yet").wait_for()


def test_no_cell_ends_in_an_error_and_only_the_marked_one_warns(page):
    assert screenshot.errors_shown(page) == []
    stderr = page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]')
    texts = [text.strip() for text in stderr.all_inner_texts() if "%|" not in text]  # tqdm's bar is on stderr
    assert [text for text in texts if text] == ["a warning that is meant"]


def test_a_slider_moved_by_keyboard_reaches_the_kernel_and_comes_back(page):
    shown = page.locator(".widget-html-content")
    shown.get_by_text("3 squared is 9").wait_for()
    handle = page.get_by_role("slider").first
    handle.focus()
    handle.press("ArrowRight")
    shown.get_by_text("4 squared is 16").wait_for()
    assert page.locator(".widget-readout").first.inner_text().strip() == "4"


def test_the_figure_is_seen_and_has_its_alt_text(page):
    figure = page.get_by_role("img", name="Line chart: the squares of 1 to 4 grow from 1 to 16.")
    figure.wait_for()
    width, natural = figure.evaluate("image => [image.width, image.naturalWidth]")
    assert width > 200
    assert natural == pytest.approx(1.5 * width, rel=0.01)
