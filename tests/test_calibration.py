"""Calibration on answers whose chance to be right is known, and figures by hand."""

import numpy as np
import pytest

from ftlab.errors import DataError
from ftlab.evaluation.calibration import calibration, crowding, reliability_alt, reliability_figure
from ftlab.evaluation.judge import Votes
from ftlab.evaluation.metrics import score_records
from ftlab.serving.routing import coverage_curve

CONFIDENCES = np.tile([0.25, 0.75], 100)


def right_in(low: float, high: float) -> np.ndarray:
    """So many of the unsure and of the sure answers are right, exactly."""
    right = np.zeros(200)
    right[0::2][: round(100 * low)] = 1
    right[1::2][: round(100 * high)] = 1
    return right


def test_figures_by_hand():
    seen = calibration(CONFIDENCES, right_in(0.25, 0.55), bins=2)
    assert [(each, part.value, part.n) for each, part in seen.bins] == [(0.25, 0.25, 100), (0.75, 0.55, 100)]
    assert (seen.ece, seen.gap.value) == (pytest.approx(0.1), pytest.approx(0.1))
    assert seen.error.low < 0.02**0.5 < seen.error.high, "the root of (0² + 0.2²) / 2"
    assert seen.p_value < 0.01
    assert "too sure" in repr(seen)
    assert "200 examples taken as independent" in repr(seen)


def test_a_calibrated_system_is_not_accused():
    seen = calibration(CONFIDENCES, right_in(0.25, 0.75), bins=2)
    assert (seen.ece, seen.error.value, seen.error.low, seen.p_value) == (0, 0, 0, 1)
    assert 0.02 < seen.by_chance < 0.12
    assert seen.error.high > 0.02, "so few answers do not prove it"
    assert "about as sure as right" in repr(seen)


def test_answers_of_one_mind_count_for_less():
    right, groups = right_in(0.25, 0.45), np.arange(200) // 2 % 10
    alone, together = calibration(CONFIDENCES, right), calibration(CONFIDENCES, right, np.sort(groups))
    assert crowding(right - CONFIDENCES, np.sort(groups)) > 1.5
    assert together.gap.high - together.gap.low > alone.gap.high - alone.gap.low
    assert together.error.low <= alone.error.low
    assert "10 groups; few groups" in repr(together)


@pytest.mark.parametrize(
    ("confidences", "right"), [([0.5] * 19, [1] * 19), ([1.5] * 40, [1] * 40), ([0.5] * 40, [0.5] * 40)]
)
def test_what_cannot_be_measured_is_said(confidences, right):
    with pytest.raises(DataError, match="0 to 1|at least 20"):
        calibration(confidences, right)


def test_the_picture_has_its_sentence():
    seen = calibration(CONFIDENCES, right_in(0.25, 0.55), bins=2)
    assert len(reliability_figure(seen).axes) == 1
    assert reliability_alt(seen).startswith("Share of right answers by confidence in 2 bins. 25 %: 25.0 % [")


def test_metrics_and_risk_take_groups():
    texts, references = ['{"a": 1}'] * 30 + ['{"a": 2}'] * 30, [{"a": 1}] * 60
    scores, groups = score_records(texts, references), [i // 10 for i in range(60)]
    assert "6 groups" in scores.field_table(groups)["a"].method
    assert scores.summary(groups)["exact_match"].low < scores.summary()["exact_match"].low
    wrong, alone = (coverage_curve(np.full(60, 0.9), scores.exact_match, each).iloc[0] for each in (groups, None))
    assert wrong.high - wrong.low > 0.35 > alone.high - alone.low


def test_votes_in_both_orders_make_a_win_rate():
    votes = Votes(("b", "b", "tie", "unreadable", "a"), ("2",) * 5, ("1",) * 5)
    rate = votes.win_rate()
    assert (rate.won, rate.tied, rate.lost, rate.rate.value) == (2, 2, 1, 0.6)
    assert "taken as independent; so few" in repr(rate)
