"""Payback with people in the loop: the told case, a month by hand, and what must hold for any workflow."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ftlab.costs import payback as module
from ftlab.costs.payback import (
    NUMBERS,
    Workflow,
    by_threshold,
    elasticities,
    is_workflow,
    payback,
    read_workflow,
    report_payback,
    weeks_bands,
    weeks_spread,
    with_new_labels,
)
from ftlab.errors import RecipeError
from ftlab.models import REPOSITORY

MEDICAL = REPOSITORY / "recipes" / "costs" / "medical_coding_payback.yaml"
SMALL = Workflow(
    name="small",
    cases_per_month=1000,
    minutes_per_review=3,
    minutes_per_correction=6,
    usd_per_hour=60,
    accuracy_before=0.8,
    accuracy_after=0.9,
    accuracy_automatic=0.95,
    review_share_before=1.0,
    review_share_after=0.4,
    usd_per_error=10,
    inference_usd_per_case=0.5,
    inference_factor=1.1,
    training_usd=100,
    labels=1000,
    usd_per_label=1.5,
    usd_per_new_label=3,
    evaluation_usd=200,
    setup_usd=300,
    upkeep_usd_per_month=50,
)


def test_a_month_by_hand():
    result = payback(SMALL)
    # before, a minute costs 1 dollar: all 1,000 are read, 3,000; 200 are wrong, 6 minutes each, 1,200; calls 500
    assert result.before == module.Month(3000, pytest.approx(1200), 0, 500, 0)
    # after: 400 are read, 1,200; 600 go out unread with 5 % wrong, 30 at 10 dollars, 300;
    # of 100 wrong answers in all, 70 are among those read: 70 x 6 = 420; calls 550; upkeep 50
    assert result.after == module.Month(1200, pytest.approx(420), pytest.approx(300), pytest.approx(550), 50)
    # saving 4,700 - 2,520 = 2,180; one-time 100 + 1,500 + 200 + 300 = 2,100
    assert result.saving_usd_per_month == pytest.approx(2180)
    assert result.one_time_usd == 2100
    assert result.months == pytest.approx(2100 / 2180)
    assert result.weeks == pytest.approx(2100 / 2180 * 365 / 12 / 7)
    # before 1,000 x 3 + 200 x 6 minutes are 70 hours; after 400 x 3 + 70 x 6 minutes are 27
    assert (result.hours_before, result.hours_after) == (pytest.approx(70), pytest.approx(27))
    assert result.hours_saved_per_month == pytest.approx(43)
    assert "43 hours" in repr(result)
    assert "weeks" in repr(result)
    assert "review_usd" in result._repr_html_()
    assert "never" in repr(payback(replace(SMALL, upkeep_usd_per_month=1e6)))


def test_all_bands_at_once_show_how_fragile_the_told_weeks_are():
    workflow = read_workflow(MEDICAL)
    spread = weeks_spread(workflow, draws=200)
    assert spread.low < spread.middle < spread.high
    assert spread.low < payback(workflow).weeks < spread.high
    assert 0 < spread.share_within < 1
    assert spread == weeks_spread(workflow, draws=200)
    assert "as soon as published" in repr(spread)
    narrow = weeks_spread(replace(workflow, bands={}), draws=5)
    assert narrow.low == narrow.high == payback(workflow).weeks


def test_a_spread_counts_the_draws_that_never_pay_back():
    # upkeep from 0 to 4,460 with 50 as the likeliest: above 2,230 nothing is saved (SMALL saves 2,180 at 50)
    spread = weeks_spread(replace(SMALL, bands={"upkeep_usd_per_month": (0, 4460)}), draws=2000)
    # half of the draws lie above 50, in a triangle that ends at 4,460: 0.5 x (2230 / 4410)^2 above 2,230: 12.8 %
    assert spread.share_never == pytest.approx(0.5 * (2230 / 4410) ** 2, abs=0.025)
    assert spread.high == math.inf
    assert spread.share_within is None
    assert "never .. " not in repr(spread)


def test_a_spread_draws_again_what_cannot_be_and_gives_up_on_what_never_can():
    some = replace(SMALL, bands={"accuracy_automatic": (0.7, 1.0)})  # below 0.8333 the shares do not fit
    assert weeks_spread(some, draws=50).draws == 50
    with pytest.raises(RecipeError, match="small: the bands leave next to no possible case"):
        weeks_spread(replace(SMALL, accuracy_automatic=0.5, bands={"accuracy_automatic": (0.4, 0.6)}), draws=3)
    with pytest.raises(RecipeError, match="^draws: 0 must be a whole number"):
        weeks_spread(SMALL, draws=0)


def test_a_report_is_json_and_tells_what_carries_the_case():
    report = report_payback(read_workflow(MEDICAL))
    answer = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert answer["payback"]["weeks"] == report.payback.weeks
    assert answer["with_new_labels"]["one_time"]["labels"] == pytest.approx(12000 * 3.17)
    assert answer["published_weeks"] == 6
    for name in ("medical_coding", "labels paid for", report.bands[0].assumption, report.elasticities[0].assumption):
        assert name in repr(report)
    never = report_payback(replace(SMALL, upkeep_usd_per_month=1e6, bands={"usd_per_error": (1, 90)})).to_dict()
    assert never["payback"]["weeks"] is None
    assert never["spread"]["middle"] == never["bands"][0]["weeks_at_low"] == "never"


def test_a_workflow_is_told_from_a_scenario(tmp_path):
    assert is_workflow(MEDICAL)
    assert not is_workflow(MEDICAL.parent / "support_triage_hosted.yaml")
    (tmp_path / "broken.yaml").write_text("ours: [")
    assert not any(is_workflow(tmp_path / name) for name in ("broken.yaml", "nowhere.yaml", "."))


def test_the_told_case_comes_out_near_its_weeks_under_assumptions_named_ours():
    workflow = read_workflow(MEDICAL)
    assert (workflow.labels, workflow.training_usd) == (12000, 180)
    assert (workflow.accuracy_before, workflow.accuracy_after) == (0.78, 0.94)
    assert (workflow.review_share_before, workflow.review_share_after) == (1.0, 0.3)
    assert payback(workflow).weeks == pytest.approx(workflow.published_weeks, abs=0.5)
    assert {"cases_per_month", "minutes_per_review", "usd_per_hour", "usd_per_label"} <= set(workflow.ours)
    assert set(workflow.bands) == set(workflow.ours)
    assert repr(workflow).count("ours, not published") == len(workflow.ours)


def test_paid_labels_carry_the_told_case():
    workflow = read_workflow(MEDICAL)
    free, paid = payback(workflow), with_new_labels(workflow)
    labels = workflow.labels * (workflow.usd_per_new_label - workflow.usd_per_label)
    assert paid.one_time_usd - free.one_time_usd == pytest.approx(labels)
    assert paid.months > 4 * free.months
    assert paid.saving_usd_per_month == free.saving_usd_per_month


def test_elasticities_are_what_a_small_change_does():
    workflow = read_workflow(MEDICAL)
    found = {each.assumption: each for each in elasticities(workflow)}
    assert len(found) == len(NUMBERS)
    months, more = payback(workflow).months, replace(workflow, cases_per_month=workflow.cases_per_month * 1.001)
    change = (payback(more).months / months - 1) / 0.001
    assert found["cases_per_month"].elasticity == pytest.approx(change, abs=0.02)
    # the payback is proportional to the one-time cost, so the elasticity of a part is its share
    share = workflow.training_usd / payback(workflow).one_time_usd
    assert found["training_usd"].elasticity == pytest.approx(share, abs=1e-3)
    assert found["usd_per_new_label"].elasticity == 0
    assert "1 - accuracy_automatic" in found
    sizes = [abs(each.elasticity or 0) for each in elasticities(workflow)]
    assert sizes == sorted(sizes, reverse=True)


def test_bands_are_weeks_at_both_ends():
    workflow = read_workflow(MEDICAL)
    for band in weeks_bands(workflow):
        assert band.at_low == payback(replace(workflow, **{band.assumption: band.low})).weeks
    widths = [band.width for band in weeks_bands(workflow)]
    assert widths == sorted(widths, reverse=True)
    never = weeks_bands(replace(workflow, bands={"usd_per_error": (10, 1e5)}))[0]
    assert never.at_high == math.inf


def test_by_threshold_uses_the_measured_share_and_accuracy():
    low, high = by_threshold(SMALL, [(0.5, 0.9, 0.9), (0.9, 0.3, 0.99)])
    assert (low.review_share, high.review_share) == (pytest.approx(0.1), pytest.approx(0.7))
    assert low.payback == payback(replace(SMALL, review_share_after=low.review_share, accuracy_automatic=0.9))


numbers = st.fixed_dictionaries(
    {
        "cases_per_month": st.floats(1, 1e6),
        "minutes_per_review": st.floats(0, 60),
        "usd_per_hour": st.floats(0, 200),
        "usd_per_error": st.floats(0, 1000),
        "inference_factor": st.floats(0, 10),
        "training_usd": st.floats(0, 1e6),
        "review_share_after": st.floats(0.2, 1),
        "upkeep_usd_per_month": st.floats(0, 1e5),
    }
)


@settings(deadline=None)
@given(numbers)
def test_never_exactly_when_nothing_is_saved(changes):
    result = payback(replace(SMALL, **changes))
    assume(not 0 < result.saving_usd_per_month < 1e-6)  # there the months leave the range of a float
    assert (result.verdict == "never") == (result.saving_usd_per_month <= 0)
    assert (result.months is None) == (result.verdict == "never")
    if result.months is not None:
        assert result.months >= 0
        assert result.months * result.saving_usd_per_month == pytest.approx(result.one_time_usd)
    for month in (result.before, result.after):
        assert all(getattr(month, name) >= 0 for name in month.__dataclass_fields__)


@settings(deadline=None)
@given(st.floats(1, 1e5), st.floats(1, 10))
def test_more_cases_never_pay_back_later(cases, factor):
    few, many = (payback(replace(SMALL, cases_per_month=n)) for n in (cases, cases * factor))
    if few.months is not None:
        assert many.months <= few.months * (1 + 1e-9)


def test_shares_that_cannot_be_are_refused_with_what_can():
    # 60 % unread at 80 % leaves 0.6 x 0.2 = 12 % wrong, more than the 10 % of all
    with pytest.raises(RecipeError, match="accuracy_automatic: is 0.8; .* from 0.8333 to 1.0000"):
        payback(replace(SMALL, accuracy_automatic=0.8))
    assert payback(replace(SMALL, accuracy_automatic=0.8334)).months


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("usd_per_hour: [30, 38, 50]", "usd_per_hour: [50, 38, 30]", "from small|low, likely, high"),
        ("setup_usd", "set_up_usd", "did you mean setup_usd"),
        ("  labels: 12000\n", "", "labels: is missing; write it under published"),
        ("  labels: 12000\n", "  labels: 12000\n  usd_per_hour: 3\n", "stands under published: too"),
        ("accuracy_before: 0.78", "accuracy_before: 78", "a fraction from 0 to 1"),
        ("accuracy_before: 0.78", "accuracy_before: .nan", "a fraction from 0 to 1"),
        ("training_usd: 180", "training_usd: about 180", "what the training costs"),
        ("[0.97, 0.985, 0.99]", "0.5", "accuracy_automatic: is 0.5; with the other shares"),
        ("source: a", "origin: a", "source: is missing"),
    ],
)
def test_a_faulty_file_names_line_key_and_remedy(tmp_path, old, new, message):
    text = MEDICAL.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "case.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(RecipeError, match=message) as caught:
        read_workflow(path)
    assert f"{path}:" in str(caught.value)
