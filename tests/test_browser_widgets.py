"""Every widget of the course in a real JupyterLab in a real browser: change it, see it answer; and what is left of it
where nothing is live."""

import importlib
import inspect
import json
import math
import re
import sys
from datetime import date
from itertools import islice

import nbformat
import pytest

from ftlab.checks.review import Progress, Review
from ftlab.costs.adapter import TARGETS, adapter_size
from ftlab.costs.assumptions import read_scenario
from ftlab.costs.scenario import cost
from ftlab.data.schema import read_chat, write_chat
from ftlab.decide import APPROACHES, decide, read_case
from ftlab.evaluation.blind import BlindTest
from ftlab.models import REPOSITORY
from ftlab.prompt_kit import NOT_KNOWN, read_kit, slots_from_case
from ftlab.widgets.decision import decision_form, form_case

sys.path.insert(0, str(REPOSITORY / "tools"))

import notebook_outputs  # noqa: E402
import notebook_source  # noqa: E402
import screenshot  # noqa: E402

CASE = REPOSITORY / "recipes/cases/support_triage.yaml"
SCENARIO = REPOSITORY / "recipes/costs/support_triage_hosted.yaml"
TODAY = date(2026, 11, 22)
SYSTEMS = ("the prompt", "the training")
PAIRS = [{"id": str(n), "request": f"<i>message</i> {n}", "a": f"from a {n}", "b": f"from b {n}"} for n in range(3)]
BLIND = f"""from pathlib import Path
from ftlab.evaluation.blind import BlindTest
OUTPUT, blind, systems = Path(), {PAIRS!r}, {SYSTEMS!r}"""
# widget: (notebook that shows it, what that notebook has made before its cell)
WIDGETS = {
    "decision_form": ("02_decide", f"from ftlab.decide import read_case\ncase = read_case({str(CASE)!r})"),
    "prompt_kit_form": ("02_decide", f"from ftlab.decide import read_case\nmy_case = read_case({str(CASE)!r})"),
    "adapter_form": ("05_lora_by_hand", ""),
    "cost_form": (
        "10_count_the_cost",
        "from datetime import date\nfrom ftlab.costs.assumptions import read_scenario\n"
        f"support, TODAY = read_scenario({str(SCENARIO)!r}), {TODAY!r}".replace("datetime.date", "date"),
    ),
    "review_table": (
        "04b_how_many_rows",
        "from pathlib import Path\nfrom ftlab.checks.review import Review\nfolder = Path()",
    ),
    "blind_form": ("15_case_brand_voice", BLIND),
}
NO_WIDGETS = {"form_case"}  # reads one
DRIVEN = set()  # each widget that a test drives in a browser
PATIENCE_MS = 60_000  # every wait is for a state, this is only when to give up
HANDLE = '[role="slider"], .ui-slider-handle'  # of ipywidgets 8, and of 7, which gives it no role
TEXT_OF = "html => { const box = document.createElement('div'); box.innerHTML = html; return box.textContent; }"


def place_of(cells, widget: str) -> int:
    """Where the cell that shows the widget stands."""
    return next(n for n, cell in enumerate(cells) if cell.cell_type == "code" and f"{widget}(" in cell.source)


# ---- in a browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three drafts, and one notebook in which each widget is shown by the cell that shows it in the course."""
    folder = tmp_path_factory.mktemp("widgets")
    write_chat(list(islice(read_chat(REPOSITORY / "data/support_triage/train.jsonl"), 3)), folder / "drafts.jsonl")
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    for widget, (name, before) in WIDGETS.items():
        cells = notebook_source.read_source(REPOSITORY / f"notebooks/src/{name}.py").notebook.cells
        shown = cells[place_of(cells, widget)].source
        notebook.cells.append(nbformat.v4.new_code_cell(f"{before}\n{shown}"))
    nbformat.write(notebook, folder / "widgets.ipynb")
    return folder


@pytest.fixture(scope="module")
def page(folder):
    """JupyterLab with the notebook open and all its cells run, from the menu."""
    pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    with screenshot.jupyter_lab(folder) as (url, token), screenshot.open_page() as page:
        page.set_default_timeout(PATIENCE_MS)
        try:
            screenshot.open_notebook(page, url, token, "widgets.ipynb")
            screenshot.run_all_cells(page)
            assert screenshot.errors_shown(page) == []
        except Exception:
            screenshot.keep_picture(page, "widgets_run_all")
            raise
        yield page


@pytest.fixture
def cell(page, request):
    """The cell of the widget that the test names (`cell` is parametrized with it); a picture if the test fails."""
    failed = request.session.testsfailed
    yield page.locator(".jp-CodeCell").nth(list(WIDGETS).index(request.param))
    if request.session.testsfailed > failed:
        screenshot.keep_picture(page, request.param)


def drives(widget):
    """Mark a test that drives `widget` in the browser."""
    DRIVEN.add(widget)

    def mark(test):
        for each in (
            pytest.mark.parametrize("cell", [widget], indirect=True),
            pytest.mark.skipif(screenshot.chromium() is None, reason="needs Chromium: apt-get install chromium"),
            pytest.mark.browser,
        ):
            test = each(test)
        return test

    return mark


def expect(locator):
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE_MS)
    return expect(locator)


def html_of(cell):
    """The HTML widgets of a cell."""
    return cell.locator(".widget-html-content")


@drives("decision_form")
def test_the_advice_follows_a_dropdown_and_a_number_and_says_what_it_cannot_read(page, cell):
    case, advice = form_case(decision_form(read_case(CASE))), html_of(cell).last
    changed = case.model_copy(update={"example_quality": "poor"})
    changed_again = changed.model_copy(update={"prompt_accuracy": 0.95})
    texts = [page.evaluate(TEXT_OF, decide(each)._repr_html_()) for each in (case, changed, changed_again)]
    assert len(set(texts)) == 3
    expect(advice).to_have_text(texts[0])
    cell.get_by_label("their quality", exact=True).select_option("poor")
    expect(advice).to_have_text(texts[1])
    number = cell.get_by_label("best prompt reaches", exact=True)
    number.fill("95 %")
    expect(advice).to_have_text(texts[2])
    number.fill("rather well")
    expect(advice).to_have_text(re.compile('^form: best prompt reaches: is "rather well"; write the accuracy'))
    number.fill("0.95")
    expect(advice).to_have_text(texts[2])


@drives("decision_form")
def test_what_is_not_known_reads_not_known(cell):
    assert read_case(CASE).facts_change is None
    shown = cell.get_by_label("facts change", exact=True).evaluate("list => list.selectedOptions[0]?.textContent")
    assert shown.replace("\xa0", " ") == "not known"


@drives("prompt_kit_form")
def test_a_chosen_and_filled_prompt_is_shown_and_copied(page, cell):
    kit, known = read_kit(), slots_from_case(read_case(CASE))
    finished, button = cell.get_by_label("finished", exact=True), cell.get_by_role("button", name="copy the finished")
    expect(finished).to_have_value(filled(kit["decide"], known))
    cell.get_by_label("prompt", exact=True).select_option(label=kit["draft_examples"].title)
    expect(finished).to_have_value(filled(kit["draft_examples"], known))
    rules = 'a "rule" & <b>another</b>\n\tin two lines'
    cell.get_by_label("answer_rules", exact=True).fill(rules)
    text = filled(kit["draft_examples"], known | {"answer_rules": rules})
    expect(finished).to_have_value(text)
    expect(button).to_have_attribute("data-text", text)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button.click()
    expect(cell.get_by_role("status")).to_have_text("copied")
    assert page.evaluate("() => navigator.clipboard.readText()") == text
    page.evaluate("() => Object.defineProperty(navigator, 'clipboard', {value: undefined, configurable: true})")
    old_way = "the old way, as on a page that is not https"
    cell.get_by_label("answer_rules", exact=True).fill(old_way)
    text = filled(kit["draft_examples"], known | {"answer_rules": old_way})
    expect(button).to_have_attribute("data-text", text)  # until it is drawn anew, a click is lost with the old button
    button.click()
    expect(cell.get_by_role("status")).to_have_text("copied")
    page.evaluate("() => delete navigator.clipboard")
    assert page.evaluate("() => navigator.clipboard.readText()") == text


def filled(prompt, values) -> str:
    """The prompt with the values that are there."""
    return prompt.fill(**{slot.name: values.get(slot.name, NOT_KNOWN) for slot in prompt.slots})


@drives("adapter_form")
def test_the_size_of_an_adapter_follows_model_rank_and_matrices(page, cell):
    def says(model, r, matrices):
        expect(told).to_have_text(page.evaluate(TEXT_OF, adapter_size(model, r, matrices)._repr_html_()))

    told = html_of(cell).last
    says("llama-3.1-8b", 16, TARGETS)
    expect(press_right(cell, "rank r")).to_have_text("32")
    says("llama-3.1-8b", 32, TARGETS)
    cell.get_by_label("model", exact=True).select_option("smollm2-135m")
    says("smollm2-135m", 32, TARGETS)
    for name in TARGETS[1:]:
        cell.get_by_label(name, exact=True).click()
    says("smollm2-135m", 32, TARGETS[:1])
    cell.get_by_label(TARGETS[0], exact=True).press("Space")
    expect(told).to_have_text(re.compile("^target_modules is empty"))
    cell.get_by_label(TARGETS[1], exact=True).press("Space")
    says("smollm2-135m", 32, TARGETS[1:2])


@drives("cost_form")
def test_sliders_moved_by_keyboard_change_the_table_and_the_curves(page, cell):
    report = cost(read_scenario(SCENARIO), TODAY)
    months = report.scenario.content["horizon_months"]
    money = html_of(cell).filter(has=page.locator("table")).first
    curves = cell.locator("img").first
    expect(money).to_have_text(page.evaluate(TEXT_OF, report._repr_html_()))
    before = curves.get_attribute("src")

    readout = press_right(cell, "horizon, months")
    expect(readout).to_have_text(f"{months + 1:.2f}")
    moved = {"horizon_months": months + 1}
    expect(money).to_have_text(page.evaluate(TEXT_OF, report.at(moved)._repr_html_()))
    expect(curves).not_to_have_attribute("src", before)

    calls = cell.locator(".widget-hslider", has_text="calls a month").locator(".widget-readout")
    calls_before = calls.inner_text()
    press_right(cell, "calls a month")
    expect(calls).not_to_have_text(calls_before)
    steps = round(math.log10(float(calls.inner_text().replace(",", ""))) / 0.05)  # it moves in steps of 0.05 decades
    moved["calls_per_month"] = 10 ** (steps * 0.05)
    expect(money).to_have_text(page.evaluate(TEXT_OF, report.at(moved)._repr_html_()))


def press_right(cell, label: str):
    """Press the right arrow on the slider of this label; gives its readout."""
    slider = cell.locator(".widget-hslider", has_text=label)
    slider.locator(HANDLE).focus()
    slider.locator(HANDLE).press("ArrowRight")
    return slider.locator(".widget-readout")


@drives("review_table")
def test_a_review_by_access_keys_is_on_the_disk_before_the_next_draft_shows(page, cell, folder):
    def again():
        return Review.open(folder / "drafts.jsonl", folder / "reviewed.jsonl", reviewer="a later session")

    head = html_of(cell).filter(has_text="example ").first
    answer, note = (cell.get_by_label(label, exact=True) for label in ("answer", "note"))
    drafts = read_chat(folder / "drafts.jsonl")
    better = json.dumps(json.loads(drafts[1]["messages"][-1]["content"]) | {"product": "lamp"})
    cells = page.locator(".jp-Cell").count()

    expect(head).to_contain_text("example 1 of 3: not decided yet")
    press_access_key(page, "a")
    expect(head).to_contain_text("example 2 of 3: not decided yet")
    assert again().progress == Progress(3, accepted=1, edited=0, rejected=0)

    expect(answer).to_have_value(drafts[1]["messages"][-1]["content"])
    answer.fill(better)
    note.fill("the product was missing")
    press_access_key(page, "t")
    expect(head).to_contain_text("example 3 of 3: not decided yet")
    assert again().progress == Progress(3, accepted=1, edited=1, rejected=0)
    assert (again().answer(1), again().decision(1).note) == (better, "the product was missing")

    press_access_key(page, "r")
    expect(head).to_contain_text("example 3 of 3: rejected by you")
    assert again().progress == Progress(3, accepted=1, edited=1, rejected=1)
    expect(cell.get_by_role("status")).to_have_text("example 3 rejected; all are decided: press save")

    cell.get_by_role("button", name="save", exact=True).click()
    expect(cell.get_by_role("status")).to_contain_text("2 rows in")
    saved = [row["messages"][-1]["content"] for row in read_chat(folder / "reviewed.jsonl")]
    assert saved == [drafts[0]["messages"][-1]["content"], better]
    assert page.locator(".jp-Cell").count() == cells  # no key was taken for one of the notebook's own


@drives("blind_form")
def test_blind_judgements_by_access_keys_are_on_the_disk_and_end_in_the_result(page, cell, folder):
    def again():
        return BlindTest.open(PAIRS, SYSTEMS, folder / "blind.jsonl", "you")

    head, texts = html_of(cell).filter(has_text="pair ").first, html_of(cell)
    for n, (key, said) in enumerate((("j", "A"), ("k", "tie"), ("l", "B"))):
        expect(head).to_have_text(f"pair {n + 1} of 3: not judged yet")
        left, right = again().sides(n)
        expect(texts.nth(1)).to_contain_text(again().pairs[n]["request"])
        expect(texts.nth(2)).to_have_text(f"A{left}")
        expect(texts.nth(3)).to_have_text(f"B{right}")
        assert not any(name in cell.locator(".jp-OutputArea").inner_text() for name in SYSTEMS)
        press_access_key(page, key)
        told = "All are judged" if n == 2 else f"pair {n + 1}: {said}, saved"
        expect(cell.get_by_role("status")).to_contain_text(told)
        assert again().said(n) == said
    expect(cell.get_by_role("status")).to_contain_text(f"{SYSTEMS[1]} against {SYSTEMS[0]}: win rate")
    cell.get_by_role("button", name="back", exact=True).click()
    expect(head).to_have_text("pair 2 of 3: tie")
    cell.get_by_role("button", name="A is better", exact=True).click()
    expect(cell.get_by_role("status")).to_contain_text("All are judged")
    assert again().said(1) == "A"
    assert len((folder / "blind.jsonl").read_text().splitlines()) == 5  # a header, and every judgement


def press_access_key(page, key: str) -> None:
    """Alt and the key. Playwright's own key presses leave out what access keys go by."""
    keyboard = page.context.new_cdp_session(page)
    pressed = {"modifiers": 1, "key": key, "unmodifiedText": key, "windowsVirtualKeyCode": ord(key.upper())}
    for kind in ("keyDown", "keyUp"):  # 1: Alt
        keyboard.send("Input.dispatchKeyEvent", pressed | {"type": kind})
    keyboard.detach()


# ---- where nothing is live


def test_every_widget_of_the_course_is_driven():
    found = set()
    for path in sorted((REPOSITORY / "ftlab/widgets").glob("[a-z]*.py")):
        module = importlib.import_module(f"ftlab.widgets.{path.stem}")
        functions = inspect.getmembers(module, inspect.isfunction)
        found |= {name for name, made in functions if made.__module__ == module.__name__ and name[0] != "_"}
    assert found - NO_WIDGETS == set(WIDGETS) == DRIVEN


def outputs_of(cells) -> list[str]:
    """What the cells show without a kernel and without a script: HTML, prints, plain texts, alt texts of images."""
    texts = []
    for output in (output for cell in cells for output in cell.get("outputs", [])):
        data, shown = output.get("data", {}), output.get("metadata", {})
        image = shown.get("image/png", {}).get("alt") if "image/png" in data else None
        texts.append(image or data.get("text/html") or data.get("text/plain") or output.get("text", ""))
    return texts


READABLE = {  # widget: what one output before it, or the one after it, says
    "decision_form": [f"{read_case(CASE).task}: ", *(f"<td>{name}" for name in APPROACHES)],
    "prompt_kit_form": [f"<task>{read_case(CASE).task}</task>", "## Recommendation"],
    "adapter_form": ["llama-3.1-8b, rank 16 on q_proj", *(f"<td>{name}" for name in TARGETS)],
    "cost_form": ["options over calls a day. The cheapest: "],
    "blind_form": ["you: 0 of ", "<th>message</th>", "<th>A</th>", "<th>B</th>", "<td>not judged yet"],
    "review_table": ["drafts.jsonl to reviewed.jsonl: ", "<th>answer</th>", "<th>decision</th>", "<td>not decided yet"],
}


@pytest.mark.parametrize("widget", WIDGETS)
def test_a_built_notebook_can_be_read_where_no_control_is_live(widget):
    cells = nbformat.read(REPOSITORY / f"notebooks/{WIDGETS[widget][0]}.ipynb", as_version=4).cells
    place = place_of(cells, widget)
    (own,) = outputs_of(cells[place : place + 1])
    assert "controls" in own  # a sentence, and not the repr of a widget
    assert "(" not in own
    section = max(n for n in range(place) if re.match("## ", cells[n].source))  # the widget's section of the notebook
    prose = " ".join(
        " ".join(cell.source.split()) for cell in cells[section : place + 2] if cell.cell_type == "markdown"
    )
    assert re.search("no kernel runs|running (kernel|notebook)|the notebook runs|nothing is live", prose)
    beside = outputs_of(cells[:place] + cells[place + 1 : place + 2])
    assert any(all(part in text for part in READABLE[widget]) for text in beside)


@pytest.mark.parametrize("widget", WIDGETS)
def test_a_built_notebook_keeps_the_state_of_its_widgets(widget):
    """So that VS Code, nbviewer and nbconvert's page show the controls as they were."""
    notebook = nbformat.read(REPOSITORY / f"notebooks/{WIDGETS[widget][0]}.ipynb", as_version=4)
    (output,) = notebook.cells[place_of(notebook.cells, widget)].outputs
    state = notebook.metadata["widgets"][notebook_outputs.WIDGET_STATE]["state"]
    todo, texts = [output.data[notebook_outputs.WIDGET_VIEW]["model_id"]], []
    while todo:
        model = state[todo.pop()]
        todo += [name.removeprefix("IPY_MODEL_") for name in model["state"].get("children", ())]
        if model["model_name"] == "HTMLModel":
            texts.append(model["state"]["value"])
    assert any(len(text) > 100 for text in texts)
