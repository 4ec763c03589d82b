"""Drift: a shift raises the alarm, and years without one raise it as seldom as is said."""

import numpy as np
import pytest

from ftlab.data.schema import read_chat
from ftlab.errors import DataError
from ftlab.models import data_folder
from ftlab.serving.drift import Period, false_alarms, strangeness, watch_month

DICE = np.random.default_rng(0)
CASES = Period(DICE.normal(size=400), DICE.uniform(size=400), (DICE.uniform(size=400) < 0.8).astype(float))


def test_each_signal_sees_its_own_shift_and_no_other():
    same = Period(CASES.strangeness[:60], CASES.confidences[:60], CASES.right[:60])
    assert watch_month(CASES, same, 1).alarms == ()
    shifts = {
        "inputs": Period(same.strangeness + 1, same.confidences, same.right),
        "confidence": Period(same.strangeness, same.confidences - 0.4, same.right),
        "accuracy": Period(same.strangeness, same.confidences, same.right * (np.arange(60) % 2)),
    }
    for name, month in shifts.items():
        assert watch_month(CASES, month, 2).alarms == (name,)


def test_a_signal_that_is_not_watched_is_left_out():
    found = watch_month(Period(right=CASES.right), Period(strangeness=[1.0], right=CASES.right[:20]), 3)
    assert list(found.p_values) == ["accuracy"]
    assert "month 3: no alarm" in repr(found)
    with pytest.raises(DataError, match="nothing to compare"):
        watch_month(Period(), Period(), 3)


def test_a_year_without_a_shift_is_as_quiet_as_is_said():
    rates = false_alarms(CASES, reference_size=200, month_size=60, reviewed=30, years=60)
    assert rates["any"] <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 60)
    loose = false_alarms(CASES, reference_size=200, month_size=60, reviewed=30, years=30, level=0.05)
    assert loose["any"] > 0.5  # what 36 tests at 5 % each would do


def test_tickets_of_another_shop_are_strange():
    rows = {part: [row["messages"][1]["content"] for row in read_chat(data_folder() / f"support_triage/{part}.jsonl")]
            for part in ("train", "test", "other_shop")}  # fmt: skip
    measure = strangeness(rows["train"])
    assert measure(rows["train"][:5]) == pytest.approx(0, abs=1e-6)
    reference, month = measure(rows["test"][:200]), measure(rows["other_shop"][:60])
    assert watch_month(Period(reference), Period(month), 7).alarms == ("inputs",)
    assert watch_month(Period(reference), Period(measure(rows["test"][200:260])), 6).alarms == ()
