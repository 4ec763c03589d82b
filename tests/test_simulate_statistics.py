"""Simulations with known truth, few runs each; the whole table: tools/simulate_statistics.py."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

import simulate_statistics as simulate  # noqa: E402

RUNS = 200  # a share of 95 % is known to 3 points either way, so the bars below are where a faulty formula ends up
LEAST = 0.90


@pytest.mark.parametrize("rate", [0.5, 0.9, 0.98])
@pytest.mark.parametrize("n", [30, 100, 300])
def test_wilson_exactly(rate, n):
    assert 0.92 < simulate.wilson_coverage(n, rate) < 0.99


@pytest.mark.parametrize("name", simulate.GRADED)
def test_graded_means(name):
    for n in (10, 100):
        assert simulate.share(simulate.mean_held, RUNS, *simulate.GRADED[name], n) > 0.88


@pytest.mark.parametrize("name", simulate.DIFFERENCES)
def test_differences(name):
    for n in (10, 100):
        assert simulate.share(simulate.difference_held, RUNS, *simulate.DIFFERENCES[name], n) > LEAST - 0.02


@pytest.mark.parametrize("mean", [0.5, 0.85, 0.97])
def test_means_by_group(mean):
    for count in (5, 30):
        groups = simulate.groups_of(count, alike=True)
        assert simulate.share(simulate.grouped_mean_held, RUNS, groups, mean, 0.3) > 0.86


def test_differences_by_group():
    for count in (5, 30):
        groups = simulate.groups_of(count, alike=True)
        assert simulate.share(simulate.grouped_difference_held, RUNS, groups, 0.12, 0.04) > LEAST


def test_macro_f1_and_kappa():
    assert simulate.share(simulate.macro_f1_held, RUNS, 100) > 0.88
    assert simulate.share(simulate.kappa_held, RUNS, 100) > LEAST


def test_win_rates_micro_f1_and_calibration():
    assert simulate.share(simulate.win_rate_held, RUNS, 100, 0.4, 0.2) > LEAST
    assert simulate.share(simulate.win_rate_held, RUNS, simulate.groups_of(10, alike=True), 0.6, 0) > 0.88
    assert simulate.share(simulate.micro_f1_held, 100, 100) > 0.87
    for name in ("calibrated", "far too sure"):
        assert simulate.share(simulate.calibration_held, 60, 100, simulate.CONFIDENT[name]) > 0.86
    assert simulate.share(simulate.seems_uncalibrated, 60, 100, simulate.CONFIDENT["calibrated"]) < 0.17


def test_false_alarms_and_power():
    n = simulate.sample_size(0.05, 0.10)
    assert simulate.share(simulate.counts_differ, 1000, n, 0.0) < 0.07
    assert simulate.share(simulate.counts_differ, 1000, n, 0.05) == pytest.approx(0.80, abs=0.04)


@pytest.mark.slow
def test_holm_keeps_the_false_alarms_of_all_candidates_together():
    assert simulate.share(simulate.any_of_five, 150, False) > 0.08
    assert simulate.share(simulate.any_of_five, 150, True) < 0.09
