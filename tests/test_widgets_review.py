"""The prompt form and the review table drive the functions below them and lose nothing that was typed."""

import html
import re

import ipywidgets as widgets
import pytest
from controls import control, shown, walk

from ftlab.checks.review import SHOWN_ROWS, Progress, Review
from ftlab.data.schema import read_chat, write_chat
from ftlab.decide import Case
from ftlab.prompt_kit import NOT_KNOWN, read_kit, slots_from_case
from ftlab.widgets.prompts import prompt_kit_form
from ftlab.widgets.review import REVIEW_BUTTONS, review_table

CASE = Case(task="label mails", wants=["format"], examples=3000, prompt_accuracy=0.7)
ALLOWED = (widgets.Button, widgets.Dropdown, widgets.Checkbox, widgets.Text, widgets.Textarea, widgets.HTML,
           widgets.VBox, widgets.HBox)  # fmt: skip


# --- the prompt form


@pytest.fixture
def form():
    return prompt_kit_form(CASE)


def finished(form):
    return control(form, "finished").value


def test_it_starts_with_the_first_prompt_filled_from_the_case(form):
    prompt = next(iter(read_kit().values()))
    empty = dict.fromkeys((slot.name for slot in prompt.slots), NOT_KNOWN)
    assert finished(form) == prompt.fill(**(empty | slots_from_case(CASE, prompt)))
    assert "<task>label mails</task>" in finished(form)
    assert "volume" in shown(form)  # said to be empty


def test_a_slot_changes_the_text_and_the_copy_button(form):
    control(form, "tried").value = "a <b>long</b> {{task}} prompt"
    assert "<tried_so_far>a <b>long</b> {{task}} prompt</tried_so_far>" in finished(form)
    data = re.search(r'data-text="([^"]*)"', shown(form))[1]
    assert html.unescape(data) == finished(form)
    control(form, "tried").value = " "
    assert f"<tried_so_far>{NOT_KNOWN}</tried_so_far>" in finished(form)


def test_what_was_typed_goes_with_the_learner_to_the_next_prompt(form):
    control(form, "task").value = "sort letters"
    control(form, "prompt").value = "compare"
    assert "<task>sort letters</task>" in finished(form)


@pytest.mark.parametrize("name", read_kit())
def test_each_prompt_has_a_field_for_each_slot(form, name):
    control(form, "prompt").value = name
    for slot in read_kit()[name].slots:
        assert slot.example in control(form, slot.name).placeholder
    assert not re.search(r"\{\{\w+\}\}", finished(form))


def test_only_controls_that_ipywidgets_7_has(form, review):
    for each in (*walk(form), *walk(review_table(review))):
        assert type(each) in ALLOWED


# --- the review table


@pytest.fixture
def drafts(tmp_path):
    rows = [
        {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": f"<i>q{n}</i>"},
                      {"role": "assistant", "content": f"a{n}"}]}
        for n in range(3)
    ]  # fmt: skip
    rows[1]["doubt"] = "two <b>queues</b> fit"
    return write_chat(rows, tmp_path / "drafts.jsonl")


@pytest.fixture
def review(drafts, tmp_path):
    return Review.open(drafts, tmp_path / "out.jsonl", reviewer="Ada")


@pytest.fixture
def table(review):
    return review_table(review)


def press(table, name):
    control(table, name).click()


def again(review):
    """The review as another session reads it from the disk."""
    return Review.open(review.drafts, review.out, reviewer="Bob")


def test_a_whole_review_by_buttons(table, review):
    assert "example 1 of 3" in shown(table)
    assert control(table, "answer").value == "a0"
    press(table, "accept")
    assert again(review).progress == Progress(3, 1, 0, 0)
    assert "example 2 of 3" in shown(table)
    control(table, "answer").value = "better"
    control(table, "note").value = "wrong queue"
    press(table, "edit")
    assert again(review).decision(1).note == "wrong queue"
    assert (control(table, "answer").value, control(table, "note").value) == ("a2", "")
    press(table, "reject")
    assert again(review).progress == Progress(3, 1, 1, 1)
    assert "all are decided" in shown(table)
    press(table, "save")
    assert [row["messages"][-1]["content"] for row in read_chat(review.out)] == ["a0", "better"]
    assert f"2 rows in {review.out}" in shown(table)


def test_edit_without_a_change_says_what_to_do_and_a_changed_answer_that_is_accepted_is_edited(table, review):
    press(table, "edit")
    assert "nothing is changed yet" in shown(table)
    assert again(review).progress.left == 3
    control(table, "answer").value = "better"
    press(table, "accept")
    assert again(review).answer(0) == "better"
    assert "example 1 edited" in shown(table)


def test_what_was_typed_survives_looking_at_other_examples(table, review):
    control(table, "answer").value = "half an ans"
    control(table, "note").value = "hm"
    press(table, "skip")
    assert control(table, "answer").value == "a1"
    press(table, "back")
    assert (control(table, "answer").value, control(table, "note").value) == ("half an ans", "hm")
    assert again(review).progress.left == 3
    press(table, "original")
    assert control(table, "answer").value == "a0"


def test_undo_shows_the_example_again(table, review):
    press(table, "accept")
    press(table, "undo")
    assert "example 1 of 3: not decided yet" in shown(table)
    assert again(review).progress.left == 3
    press(table, "undo")
    assert "no decision to take back" in shown(table)


def test_a_decided_example_says_so_and_can_be_decided_anew(table, review):
    control(table, "answer").value = "better"
    press(table, "edit")
    press(table, "back")
    assert "example 1 of 3: edited by Ada" in shown(table)
    assert control(table, "answer").value == "better"
    press(table, "original")
    press(table, "accept")
    assert again(review).decision(0).decision == "accepted"


@pytest.mark.parametrize("name", ["save", "edit"])
def test_an_error_is_shown_and_nothing_moves(table, review, name):
    control(table, "answer").value = " "
    press(table, name)
    assert {"save": "no row is accepted yet", "edit": "edited answer is empty"}[name] in shown(table)
    assert "example 1 of 3" in shown(table)
    assert again(review).progress.left == 3


def test_the_table_goes_on_where_the_review_stopped_and_shows_texts_as_they_are(table, review):
    press(table, "back")
    assert "example 3 of 3" in shown(table)
    press(table, "skip")
    assert "&lt;i&gt;q0" in shown(table)
    press(table, "accept")
    assert "two &lt;b&gt;queues&lt;/b&gt; fit" in shown(table)
    assert "<i>" not in shown(table)
    assert "example 2 of 3" in shown(review_table(again(review)))


def test_each_button_has_its_own_access_key(table):
    keys = re.findall(r'accesskey="(\w)"[^>]*>\w: (\w+)<', shown(table))
    assert [name for _, name in keys] == list(REVIEW_BUTTONS)
    assert len({key for key, _ in keys}) == len(REVIEW_BUTTONS)


def test_a_review_shows_its_rows_where_no_control_is_live(review, table):
    press(table, "accept")
    control(table, "note").value = "which <queue>?"
    press(table, "reject")
    shown_rows = review._repr_html_()
    assert "drafts.jsonl to out.jsonl: 2 of 3 decided" in shown_rows
    for text in ("accepted", "rejected", "not decided yet", "which &lt;queue&gt;?", "&lt;i&gt;q2&lt;/i&gt;", "a2"):
        assert text in shown_rows
    assert "<i>" not in shown_rows
    assert str(review.out.parent) not in shown_rows  # a committed notebook names no folder of this machine


def test_a_long_review_says_how_many_rows_are_not_listed(tmp_path):
    rows = [
        {"messages": [{"role": "user", "content": f"q{n} " + "x" * 400}, {"role": "assistant", "content": f"a{n}"}]}
        for n in range(SHOWN_ROWS + 2)
    ]
    shown_rows = Review.open(write_chat(rows, tmp_path / "drafts.jsonl"), tmp_path / "out.jsonl")._repr_html_()
    assert shown_rows.count("not decided yet") == SHOWN_ROWS
    assert "and 2 more" in shown_rows
    assert "x" * 301 not in shown_rows

