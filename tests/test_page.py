"""The page of several systems: what stands on it, that nothing gets in unescaped, and how a browser shows it."""

import html.parser
import json
import sys
from pathlib import Path

import pytest

from ftlab.cli import main
from ftlab.errors import DataError
from ftlab.evaluation.page import short_names, values_of_page, write_page
from ftlab.evaluation.predictions import align, predictions_of

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import screenshot  # noqa: E402

EVIL = "<script>alert('x')</script> & \"quotes\""
TRIAGE = ROOT / "data/recorded/triage"


def write(path: Path, rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def run(tmp_path) -> Path:
    """The folder of a small run: 40 labels, of which base has every second right and fine_tuned all but four."""
    truth = ["refund" if i % 3 else "hold" for i in range(40)]
    rows = [
        {"id": i, "customer": f"c{i // 4}", "market": "at" if i < 10 else "de",
         "messages": [{"role": "user", "content": f"{EVIL} {'please ' * i}"}, {"role": "assistant", "content": label}]}
        for i, label in enumerate(truth)
    ]  # fmt: skip
    write(tmp_path / "test.jsonl", rows)
    for name, right in (("base", lambda i: i % 2), ("fine_tuned", lambda i: i > 3)):
        said = [truth[i] if right(i) else EVIL for i in range(40)]
        lines = [{"id": i, "prediction": text} for i, text in enumerate(said)]
        write(tmp_path / f"run/predictions/test.{name}.jsonl", lines)
    report = {
        "comparison": {"candidate": "fine_tuned"}, "created": "2026-11-29", "machine": EVIL, "versions": {"trl": "1"},
        "training": {"log": [{"step": 1, "loss": 2.0, "eval_loss": 1.5}, {"step": 9, "loss": 1.0, "eval_loss": 0.5}]},
        "recipe_sha256": "a" * 64,
    }  # fmt: skip
    (tmp_path / "run/report.json").write_text(json.dumps(report))
    return tmp_path / "run"


def aligned(run, **settings):
    files = [run / f"predictions/test.{name}.jsonl" for name in ("base", "fine_tuned")]
    return align(files, run.parent / "test.jsonl", **settings)


def test_what_the_page_says(run):
    values = values_of_page(aligned(run, group="customer"), ["market"])
    assert values["basis"] == "40 examples in 10 groups; few groups, a rough interval"
    assert [row[0] for row in values["systems"]] == ["base", "fine tuned"]
    assert values["systems"][1][1].startswith("90.0 % [")
    assert values["systems"][1][2].startswith("+40.0 [")
    slices = {title: {row[0]: row[1] for row in rows} for title, _, rows in values["slices"]}
    assert slices["Labels"] == {"refund": "26", "hold": "14"}
    assert slices["By market"] == {"de": "30", "at": "10"}
    assert dict(row[:2] for row in values["agreement"]) == {
        "all systems": "18", "no system": "2", "only base": "2", "only fine tuned": "18"
    }  # fmt: skip
    (flip,) = values["flips"]
    assert flip["counts"] == {"better": 18, "worse": 2, "as before": 20}
    assert {each["change"] for each in flip["examples"]} == {"better", "worse"}
    assert [each["id"] for each in values["worst"]][:2] == [0, 2], "wrong in both"
    assert "10; the largest, c0, has 4 examples" in dict(values["data"])["groups"]
    assert str(run) in dict(values["versions"])
    assert "0.500" in values["curves"][0]


def test_a_slice_of_one_group_has_no_interval(run):
    values = values_of_page(aligned(run, group="market"), ["market"])
    rows = next(rows for title, _, rows in values["slices"] if title == "By market")
    assert all("one group" in cell for row in rows for cell in row[2:])


def test_macro_f1_is_shown_by_examples_where_one_must_be_named(run):
    values = values_of_page(aligned(run, metric="macro_f1"))
    assert values["flips"][0]["counts"]["better"] == 18


def test_the_page_is_one_file_and_nothing_gets_in_unescaped(run, tmp_path):
    page = write_page(tmp_path / "page.html", aligned(run))
    text = page.read_text()

    class Tags(html.parser.HTMLParser):
        found: list = []  # noqa: RUF012

        def handle_starttag(self, tag, attrs):
            self.found.append(tag)
            assert not any(value and value.startswith(("http", "//")) for _, value in attrs)
            assert tag != "img" or dict(attrs)["alt"]

    Tags().feed(text)
    assert Tags.found.count("img") == 2
    assert not {"script", "link", "iframe"} & set(Tags.found)
    with pytest.raises(DataError, match="exists already"):
        write_page(page, aligned(run))


def test_the_command_takes_the_folder_of_a_run(run, tmp_path, capsys):
    base, page = str(run / "predictions/test.base.jsonl"), tmp_path / "page.html"
    arguments = ["compare", base, str(run), "--references", str(tmp_path / "test.jsonl"), "--html", str(page)]
    assert main([*arguments, "--slice", "market", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["delta"], answer["html"]) == (pytest.approx(0.4), str(page))
    assert "By market" in page.read_text()
    assert main([*arguments, "--force", "--slice", "colour"]) == 2
    assert "no row has a text or number under 'colour'" in capsys.readouterr().err
    assert main([*arguments[:-2], "--slice", "market"]) == 2
    assert "--html" in capsys.readouterr().err
    with pytest.raises(DataError, match="no finished run"):
        predictions_of(tmp_path)


def test_names_are_as_short_as_tells_them_apart():
    paths = ["runs/a/predictions/test.fine_tuned.jsonl", "runs/b/predictions/test.fine_tuned.jsonl"]
    assert list(short_names(paths).values()) == ["a/fine tuned", "b/fine tuned"]
    assert short_names(["x/old.jsonl", "x/new.jsonl"]) == {"x/old.jsonl": "old", "x/new.jsonl": "new"}


@pytest.mark.browser
@pytest.mark.skipif(screenshot.chromium() is None, reason="needs Chromium: apt-get install chromium")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_it_on_a_desk_and_on_a_phone(tmp_path, width):
    """The recorded run: nothing is wider than the window, nothing is asked of the network, dark is dark."""
    pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    lines = (ROOT / "data/support_triage/test.jsonl").read_text().splitlines(keepends=True)[:300]
    (tmp_path / "test.jsonl").write_text("".join(lines))
    files = [TRIAGE / f"predictions/test.{name}.jsonl" for name in ("constrained", "fine_tuned", "linear")]
    page_file = write_page(tmp_path / "page.html", align(files, tmp_path / "test.jsonl", "field_accuracy"))
    asked = []
    with screenshot.open_page(width, 844) as page:
        page.on("request", lambda request: asked.append(request.url))
        page.emulate_media(color_scheme="dark")
        page.goto(page_file.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 28)"
        assert page.evaluate("[...document.images].every(each => each.complete && each.naturalWidth > 0)")
        assert page.locator("h2").all_inner_texts() == [
            "Slices", "What flipped", "Worst cases", "Training", "Data", "Origin"
        ]  # fmt: skip
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}
