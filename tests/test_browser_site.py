"""The built site in a real browser, from files: a phone and a desk, light and dark, its search, and axe on every page.

`make site` first: it makes the pages, and its environment holds axe-core.

    make site
    .venv/bin/python -m pytest -m slow tests/test_browser_site.py
"""

import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import screenshot  # noqa: E402

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
SITE = ROOT / "build/site"
PAGES = sorted(SITE.rglob("*.html"))
AXE = next((ROOT / ".venv-reading").glob("lib/python*/site-packages/axe_playwright_python/axe.min.js"), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(screenshot.chromium() is None, reason="needs Chromium: apt-get install chromium"),
    pytest.mark.skipif(not PAGES, reason="no build/site: run `make site`"),
]
WIDTHS, SCHEMES = (390, 1280), ("light", "dark")
BRIGHTNESS = """() => {
    const numbers = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
    const mean = colour => numbers(colour).reduce((a, b) => a + b) / 3 / 255;
    const style = getComputedStyle(document.body);
    return [mean(style.backgroundColor), mean(style.color)];
}"""
# on a phone furo lets all of the words be pushed aside when something among them is too wide: that counts, too
TOO_WIDE = """() => {
    const words = document.querySelector('.content');
    return Math.max(document.documentElement.scrollWidth - window.innerWidth, words.scrollWidth - words.clientWidth);
}"""


@pytest.fixture(scope="module")
def page():
    """A page that may open files only; what else it asks for is in `page.asked`."""
    with screenshot.open_page(width=1280, height=900) as page:
        page.asked = []

        def answer(route):
            if route.request.url.startswith("file:"):
                return route.continue_()
            page.asked.append(route.request.url)
            return route.abort()

        page.route("**/*", answer)
        yield page


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_the_window_and_none_asks_another_computer(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    wide = {}
    for path in PAGES:
        page.goto(path.as_uri(), wait_until="load")
        if (more := page.evaluate(TOO_WIDE)) > 0:
            wide[path.relative_to(SITE).as_posix()] = more
    assert wide == {}
    assert page.asked == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_it_is_light_or_dark_as_the_reader_has_it(page, scheme):
    page.emulate_media(color_scheme=scheme)
    for name in ("README.html", "notebooks/07_evaluate.html"):
        page.goto((SITE / name).as_uri(), wait_until="load")
        paper, ink = page.evaluate(BRIGHTNESS)
        assert (paper > 0.8 and ink < 0.4) if scheme == "light" else (paper < 0.25 and ink > 0.6)


def test_the_search_finds_a_word_and_leads_to_its_page(page):
    page.goto(f"{(SITE / 'search.html').as_uri()}?q=leakage", wait_until="load")
    first = page.locator("#search-results li a").first
    first.wait_for()
    found = page.locator("#search-results li a").all_inner_texts()
    assert len(found) > 2
    first.click()
    page.wait_for_load_state()
    assert "leak" in page.locator("article").inner_text().lower()
    assert page.asked == []


def test_a_keyboard_reaches_the_words_before_the_menu(page):
    page.goto((SITE / "README.html").as_uri(), wait_until="load")
    page.keyboard.press("Tab")
    focused = page.evaluate("() => [document.activeElement.tagName, document.activeElement.textContent.trim()]")
    assert focused == ["A", "Skip to content"]


@pytest.mark.skipif(AXE is None, reason="no axe-core in .venv-reading: run `make site`")
@pytest.mark.parametrize("part", [0, 1, 2])  # of the pages, so that two workers share them
@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_nothing(page, scheme, part):
    """Every rule where it is light, those on colours where it is dark; code has its colours looked at on one page."""
    page.set_viewport_size({"width": 1280, "height": 900})
    page.emulate_media(color_scheme=scheme)
    rules = {} if scheme == "light" else {"runOnly": ["color-contrast"]}
    found = defaultdict(list)
    for path in PAGES[part::3]:
        page.goto(path.as_uri(), wait_until="load")
        page.evaluate(AXE.read_text())
        without = {"exclude": [] if path.stem == "04_prepare_data" else [[".highlight"]], "include": [["html"]]}
        for violation in page.evaluate("([place, rules]) => axe.run(place, rules)", [without, rules])["violations"]:
            for node in violation["nodes"]:
                found[violation["id"]].append((path.relative_to(SITE).as_posix(), " ".join(map(str, node["target"]))))
    assert dict(found) == {}
