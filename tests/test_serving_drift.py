"""Drift: a shift raises the alarm, and years without one raise it as seldom as is said."""

import numpy as np
import pytest
from chat_server import ChatServer, always

from ftlab.data.schema import read_chat
from ftlab.errors import DataError
from ftlab.models import data_folder
from ftlab.serving.drift import Period, false_alarms, strangeness, watch_month
from ftlab.serving.router import Router, read_decisions
from ftlab.serving.routing import Thresholds

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


def test_a_signal_without_data_is_said_to_be_not_watched():
    found = watch_month(Period(right=CASES.right), Period(strangeness=[1.0], right=CASES.right[:20]), 3)
    assert list(found.p_values) == ["accuracy"]
    assert "month 3: no alarm; inputs not watched; confidence not watched; accuracy 0." in repr(found)
    assert found._repr_html_().count("not watched") == 2
    nobody = watch_month(CASES, Period(CASES.strangeness[:60], CASES.confidences[:60], []), 3)
    assert repr(nobody).endswith("accuracy not watched")
    with pytest.raises(DataError, match="nothing to compare"):
        watch_month(Period(), Period(), 3)


@pytest.mark.parametrize("nothing", [None, np.nan])
def test_an_outage_raises_the_alarm_and_is_named(nothing):
    down = [*CASES.confidences[:30], *[nothing] * 30]
    found = watch_month(CASES, Period(confidences=down), 4)
    assert found.alarms == ("confidence",)
    assert "30 of 60 missing, counted as 0" in repr(found)
    assert "30 of 60 missing" in found._repr_html_()
    as_zero = watch_month(CASES, Period(confidences=[*CASES.confidences[:30], *[0] * 30]), 4)
    assert (found.p_values, found.seen) == (as_zero.p_values, as_zero.seen)


def test_the_confidences_of_the_routers_log_are_watched_as_they_are(tmp_path):
    with ChatServer(always(500, {"error": "down"})) as server:
        router = Router(server.url, "m", Thresholds(0.9, 0.5, 100, 0.05, 0.05), tmp_path / "log.db")
        for i in range(12):
            router.answer([{"role": "user", "content": f"q{i}"}])
        router.close()
    month = Period(confidences=read_decisions(tmp_path / "log.db")["confidence"])
    assert watch_month(CASES, month, 5).alarms == ("confidence",)


@pytest.mark.parametrize(
    ("reference", "month", "message"),
    [
        ({"right": [1, 0]}, {"right": [1, None]}, r"month 6: right\[1\] is nan: give 1 or 0 .* reviewed"),
        ({"right": [1, 0.5]}, {"right": [1]}, r"the reference: right\[1\] is 0.5"),
        ({"strangeness": [1, 2]}, {"strangeness": [1, np.nan]}, r"month 6: strangeness\[1\] is nan"),
        ({"strangeness": [1, 2]}, {"strangeness": ["far"]}, "month 6: strangeness: could not convert"),
        ({"strangeness": []}, {"strangeness": [1]}, "the reference: strangeness is empty"),
        ({"strangeness": [1], "right": []}, {"strangeness": [1], "right": [1]}, "the reference: right is empty"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(reference, month, message):
    with pytest.raises(DataError, match=message):
        watch_month(Period(**reference), Period(**month), 6)


@pytest.mark.parametrize("cases", [Period(), Period(right=[]), Period([1.0, 2.0], right=[1])])
def test_years_are_drawn_only_from_whole_cases(cases):
    with pytest.raises(DataError, match="cases: give each signal"):
        false_alarms(cases, reference_size=5, month_size=5, reviewed=5, years=1)


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
