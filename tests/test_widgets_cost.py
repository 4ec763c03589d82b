"""The cost form shows what the functions below it answer, follows every control, and hides no missing price."""

import html
import re
from datetime import date

import ipywidgets as widgets
import pytest
from controls import control, shown, walk

from ftlab.costs.assumptions import read_scenario
from ftlab.costs.scenario import cost
from ftlab.models import REPOSITORY
from ftlab.widgets.cost import CARDS, cost_form

TODAY = date(2026, 11, 22)
COSTS = REPOSITORY / "recipes" / "costs"


def texts(form):
    return html.unescape(shown(form))


def alts(form):
    return [html.unescape(alt) for alt in re.findall(r'<img alt="([^"]+)"', texts(form))]


@pytest.fixture(scope="module")
def scenario():
    return read_scenario(COSTS / "support_triage_hosted.yaml")


@pytest.fixture(scope="module")
def report(scenario):
    return cost(scenario, TODAY)


@pytest.fixture
def form(scenario):
    return cost_form(scenario, TODAY)


def test_it_starts_with_the_answer_for_the_scenario(form, report):
    shown = texts(form)
    assert repr(report.break_even) in shown
    for warning in report.warnings:
        assert warning in shown
    for row in report.rows():
        assert all(cell in shown for cell in row)


@pytest.mark.parametrize(
    ("description", "value", "name"),
    [
        ("calls a month", 2_000_000, "calls_per_month"),
        ("fixed prompt, tokens", 5000, "options.few_shot.prompt_tokens"),
        ("examples in it, tokens", 4000, "options.few_shot.example_tokens"),
        ("share from the cache", 0, "options.few_shot.cache_hit_rate"),
        ("question, tokens", 1000, "input_tokens"),
        ("answer, tokens", 700, "output_tokens"),
        ("horizon, months", 36, "horizon_months"),
    ],
)
def test_a_slider_is_its_assumption(form, report, description, value, name):
    control(form, description).value = value
    expected = report.at({name: value})
    assert repr(expected.break_even) in texts(form)
    assert all(cell in texts(form) for row in expected.rows() for cell in row)


def test_sliders_wait_until_they_are_let_go_and_name_what_they_move(form):
    sliders = [w for w in walk(form) if isinstance(w, widgets.FloatSlider | widgets.FloatLogSlider)]
    assert len(sliders) == 7
    assert not any(slider.continuous_update for slider in sliders)
    assert len({slider.description for slider in sliders}) == 7


def test_another_option_may_be_the_rival(form):
    control(form, "instead of few shot").value = "prompted"
    assert "prompted against few_shot: " in texts(form)


def test_every_picture_has_its_sentence_and_a_run_that_does_not_fit_its_remedy(form):
    money, memory = alts(form)
    assert "prompted" in money
    assert "qlora" in memory
    assert "fits on T4" in texts(form)
    control(form, "method").value = "full"
    control(form, "gpu").value = "RTX 4090"
    assert alts(form) != [money, memory]
    assert "what it costs you" in texts(form)
    for card in CARDS:
        control(form, "gpu").value = card
        assert f"on {card}" in texts(form)


def test_an_unknown_price_stays_unknown():
    form = cost_form(read_scenario(COSTS / "azure_unknown_prices.yaml"), TODAY)
    assert "unknown: a price is missing" in texts(form)
    control(form, "calls a month").value = 1000
    assert "unknown" in texts(form)


def test_a_baseline_without_a_prompt_has_no_slider_for_it():
    scenario = read_scenario(COSTS / "support_triage_own_weights.yaml")
    content = scenario.content | {"compare": {"baseline": "own_machine", "candidate": "rented"}}
    form = cost_form(type(scenario)(scenario.name, scenario.task, content, scenario.path), TODAY)
    assert all(getattr(w, "description", "") != "fixed prompt, tokens" for w in walk(form))
    assert "rented against own_machine" in texts(form)


def test_only_controls_that_ipywidgets_7_has(form):
    allowed = (
        widgets.Dropdown, widgets.FloatSlider, widgets.FloatLogSlider, widgets.HTML, widgets.VBox, widgets.HBox,
    )  # fmt: skip
    assert all(isinstance(w, allowed) for w in walk(form))
