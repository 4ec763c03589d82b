"""Controls reach the functions below them, and say so when a field cannot be read."""

import ipywidgets as widgets
import pytest
from controls import control, walk

from ftlab.decide import Case, decide
from ftlab.errors import DataError
from ftlab.widgets.decision import decision_form, form_case

CASE = Case(task="label mails", wants=["format"], examples=3000, example_quality="excellent",
            prompt_accuracy=0.7, target_accuracy=0.9, maintainer=True)  # fmt: skip


@pytest.fixture
def form():
    return decision_form(CASE)


def advice(form):
    return form.children[-1].value


def test_it_starts_with_the_advice_for_the_case(form):
    assert advice(form) == decide(CASE)._repr_html_()
    assert "label mails: fine_tune" in advice(form)


@pytest.mark.parametrize(
    ("description", "value", "expected"),
    [
        ("labelled examples", "20", "label mails: few_shot"),
        ("best prompt reaches", "95 %", "label mails: prompt"),
        ("knowledge", True, "label mails: rag"),
        ("somebody keeps it up", False, "label mails: few_shot"),
        ("task", "sort letters", "sort letters: fine_tune"),
    ],
)
def test_a_change_changes_the_advice(form, description, value, expected):
    control(form, description).value = value
    assert expected in advice(form)


def test_an_empty_field_is_not_known(form):
    control(form, "best prompt reaches").value = ""
    assert "the accuracy of the best prompt" in advice(form)


@pytest.mark.parametrize(
    ("description", "value", "said"),
    [
        ("labelled examples", "many", "form: labelled examples: is"),
        ("labelled examples", "0", "form: labelled examples: has no examples to be excellent"),
        ("good enough", "1.5", "form: good enough: is"),
        ("calls a day", "nan %", "form: calls a day: is"),
        ("calls a day", "1e400", "form: calls a day: is"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_field(form, description, value, said):
    control(form, description).value = value
    assert said in advice(form)
    with pytest.raises(DataError, match=said):
        form_case(form)
    control(form, description).value = "1"
    assert "form: " not in advice(form)


def test_only_controls_that_ipywidgets_7_has(form):
    allowed = (widgets.Text, widgets.Dropdown, widgets.Checkbox, widgets.HTML, widgets.VBox, widgets.HBox)
    assert all(isinstance(w, allowed) for w in walk(form))


def test_large_numbers_keep_their_digits():
    form = decision_form(CASE.model_copy(update={"calls_per_day": 1_234_567}))
    assert control(form, "calls a day").value == "1234567"
