"""The site and the slides: made of the notebooks by their own environment; a page asks no other computer for anything.

Skipped where they are not made: a learner does not need what that installs. A link to nothing ends `make site` itself.

    make site slides
    .venv/bin/python -m pytest -m "slow or not slow" tests/test_reading.py
"""

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv-reading" / "bin" / "python"
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video)\b[^>]*\bsrc=["']?(?!data:)([^"'\s>]+)|<link\b[^>]*\bhref=["']([^"']+)"""
)
SITE, SLIDES = ROOT / "build/site", ROOT / "build/slides"
written = pytest.mark.skipif(not SITE.exists(), reason="no build/site: run `make site`")
shown = pytest.mark.skipif(not SLIDES.exists(), reason="no build/slides: run `make slides`")
made_here = pytest.mark.skipif(not PYTHON.exists(), reason="no .venv-reading: run `make site` once")


def test_all_it_installs_is_pinned():
    lines = (ROOT / "requirements/reading.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    assert {"myst-nb", "furo", "sphinx-revealjs", "latex2mathml", "nbconvert"} <= {pin.split("==")[0] for pin in pins}


def fetched(page: Path) -> list[str]:
    """What a page loads from elsewhere; a link that a reader may follow is none of it."""
    found = ["".join(parts) for parts in LOADED.findall(page.read_text(encoding="utf-8"))]
    return [url for url in found if re.match(r"(https?:)?//", url)]


PREPARE = """
import json, sys
sys.path.insert(0, "tools/reading")
from conf import prepared
print(json.dumps(prepared(json.load(sys.stdin))))
"""


@made_here
def test_links_of_a_notebook_are_changed_in_its_words_and_nowhere_else():
    words = ["# A title\n", "\n", "[Files](../data/prompt_kit), [two\n", "words](GLOSSARY.md#Seed-of-a-run)\n"]
    code = ["answer = WAYS[way](arguments)\n", "print('[files](../data)', \"[x](y.ipynb#A-B)\")"]
    cells = [{"cell_type": "markdown", "source": words}, {"cell_type": "code", "source": code, "outputs": []}]
    notebook, command = json.dumps({"cells": cells}), [PYTHON, "-c", PREPARE]
    done = subprocess.run(command, cwd=ROOT, input=notebook, capture_output=True, text=True, check=True)
    text, same = json.loads(done.stdout)["cells"]
    assert text["source"] == "# A title\n\nFiles, [two\nwords](GLOSSARY.md#seed-of-a-run)\n"
    assert same["source"] == code


@shown
@pytest.mark.slow
def test_slides_of_every_notebook_show_pictures_with_their_text_and_fetch_nothing():
    assert [path.stem for path in sorted(SLIDES.glob("[0-9]*.html"))] == NOTEBOOKS
    for page in SLIDES.glob("*.html"):
        assert fetched(page) == []
    text = (SLIDES / "07_evaluate.html").read_text(encoding="utf-8")
    assert text.count("<section") > 8
    assert re.findall(r'<img(?![^>]*alt="[^"]+)[^>]*>', text) == []
    assert "score_records(" not in text, "code stays in the notebook"
    for script in ("dist/reveal.js", "plugin/notes/notes.js", "dist/theme/white.css", "../slides.css"):
        script = str(Path("reveal", script)).replace("reveal/../", "")
        assert script in text
        assert (SLIDES / script).is_file()
    assert "://" not in re.sub(r"/\*.*?\*/", "", (SLIDES / "reveal/dist/theme/white.css").read_text(), flags=re.DOTALL)


@shown
@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_a_notebook_sums_up_is_a_slide_of_words(name):
    pages = (SLIDES / f"{name}.html").read_text(encoding="utf-8").split("<section")
    (page,) = [page for page in pages if re.search(r"<h2[^>]*>(What you have (seen|shown)|Summary)<", page)]
    assert page.count("<li>") > 2
    assert "<img" not in page


@written
@pytest.mark.slow
def test_the_site_has_every_notebook_and_fetches_nothing():
    pages = list(SITE.rglob("*.html"))
    assert {path.stem for path in (SITE / "notebooks").glob("[0-9]*.html")} == set(NOTEBOOKS)
    assert {SITE / "HOSTING.html", SITE / "notebooks/GLOSSARY.html", SITE / "search.html"} <= set(pages)
    assert {str(page): urls for page in pages if (urls := fetched(page))} == {}
    for made in pages:
        text = made.read_text(encoding="utf-8")
        assert re.findall(r'<pre>|<div class="table|role="heading">|<aside class="[^"]*">|<th[^>]*></th>', text) == []
        assert "<h1" in text
    page = (SITE / "notebooks/07_evaluate.html").read_text(encoding="utf-8")
    assert 'href="GLOSSARY.html#linear-classifier"' in page
    assert "<math" in page
    assert "leakage" in (SITE / "searchindex.js").read_text(encoding="utf-8")
