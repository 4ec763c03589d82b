"""Intervals and tests against published and hand-computed values, and by simulation with known truth."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftlab.errors import DataError, FtlabError
from ftlab.evaluation.statistics import (
    compare,
    difference_interval,
    holm,
    mcnemar_midp,
    paired_permutation,
    paired_wald,
    sample_size,
    score_interval,
    smallest_detectable_gain,
    wilson,
    win_rate,
)  # fmt: skip

RIGHT_OR_WRONG = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=60)
GRADED = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30)


def pairs(both, b_gains, a_only, neither):
    """0/1 scores of a and b from the four counts of a paired table."""
    a = [1] * both + [0] * b_gains + [1] * a_only + [0] * neither
    b = [1] * both + [1] * b_gains + [0] * a_only + [0] * neither
    return a, b


def test_wilson_by_its_formula():
    n, p, z = 50, 0.3, 1.959963984540054
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    interval = wilson(15, 50)
    assert (interval.low, interval.high) == pytest.approx((centre - half, centre + half))
    assert repr(wilson(8, 10)) == "80.0 % [49.0, 94.3]"


@given(st.integers(1, 400), st.data())
def test_wilson_bounds_and_symmetry(n, data):
    successes = data.draw(st.integers(0, n))
    interval, mirror = wilson(successes, n), wilson(n - successes, n)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1
    assert interval.low < interval.high  # also where all or none are right
    assert interval.low == pytest.approx(1 - mirror.high, abs=1e-12)


def test_scores_have_one_interval_and_differences_another():
    assert score_interval([0, 1, 1]) == wilson(2, 3)
    assert score_interval([0, 0.5, 1]).method == "Wilson, effective size"
    assert score_interval([True, False]).method == "Wilson"
    # a difference that is nowhere negative is a difference: no loss is ruled out by two examples that gained
    assert difference_interval([0, 0.5, 1, 0]) == paired_wald([0, 0, 0, 0], [0, 0.5, 1, 0])
    assert difference_interval([0, 0.5, 1, 0]).low < 0


@pytest.mark.parametrize("groups", [None, ["a", "b", "c"]])
@pytest.mark.parametrize("end", [0.0, 1.0])
def test_a_mean_outside_by_rounding_alone_is_taken_for_the_end_and_by_more_refused(end, groups):
    """The parts of a perfect macro F1 add up to 1, give or take the rounding of their sum."""
    outwards = 2 * end - 1
    rounded = score_interval([np.nextafter(end, end + outwards)] * 3, groups)
    assert rounded.value == end
    assert 0 <= rounded.low < rounded.high <= 1
    for wrong in (end + 0.001 * outwards, end + 1e-6 * outwards):
        with pytest.raises(DataError, match="not from 0 to 1"):
            score_interval([wrong] * 3, groups)
        with pytest.raises(DataError, match="between 0 and 1"):
            compare([wrong] * 3, [0.5] * 3, groups=groups)
    assert compare([np.nextafter(end, end + outwards)] * 3, [0.5] * 3, groups=groups).n == 3


def test_the_interval_of_many_graded_scores_is_the_normal_one():
    values = np.random.default_rng(1).uniform(size=2000)
    half = 1.96 * values.std(ddof=1) / math.sqrt(len(values))
    interval = score_interval(values)
    assert interval.low == pytest.approx(values.mean() - half, abs=0.001)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.001)


@given(GRADED)
def test_graded_bounds_and_symmetry(scores):
    a, b = map(np.array, zip(*scores, strict=True))
    forth, back = paired_wald(a, b), paired_wald(b, a)
    assert -1 <= forth.low <= forth.value <= forth.high <= 1
    mirrored = (-back.value, -back.high, -back.low)
    assert (forth.value, forth.low, forth.high) == pytest.approx(mirrored, abs=1e-9)
    one, mirror = score_interval(a), score_interval(1 - a)
    assert 0 <= one.low <= one.value <= one.high <= 1
    assert one.low == pytest.approx(1 - mirror.high, abs=1e-6)


@pytest.mark.parametrize("groups", [None, range(40), ["a", "b", "c", "d"] * 10])
@pytest.mark.parametrize("value", [0, 0.7, 1])
def test_equal_scores_leave_doubt(groups, value):
    interval = score_interval([value] * 40, groups)
    units = 40 if groups is None else len(set(groups))
    assert interval.high - interval.low > 1.5 / units
    assert interval.low <= value <= interval.high


def test_clusters_by_hand():
    # clusters (1, 1) and (0, 0): each left out once leaves a mean of 0 or 1, so se² = 1/2 · (1/4 + 1/4) = 1/4, which is
    # what one example of p = 1/2 would tell; t with one degree of freedom
    interval = score_interval([1, 1, 0, 0], ["x", "x", "y", "y"])
    z2 = 12.7062**2
    assert interval.high - interval.value == pytest.approx(math.sqrt(z2 / 4 + z2**2 / 4) / (1 + z2), rel=1e-5)


def test_groups_by_hand():
    # two groups of two, one gains on both; imagined groups: 2 · sqrt(1²) either way; sums 2, 0, 2, -2, each of 2
    interval = paired_wald([0, 0, 1, 0], [1, 1, 1, 0], groups=["x", "x", "y", "y"])
    sums = np.array([2.0, 0, 2, -2])
    left_out = (sums.sum() - sums) / 6
    se = math.sqrt(3 / 4 * np.sum((left_out - sums.sum() / 8) ** 2))
    assert interval.low == pytest.approx(max(-1, 0.25 - 12.7062 * se))
    assert difference_interval([1, 1, 0, -1], [1, 1, 2, 2]).method == "adjusted paired Wald, 2 groups"


def test_clusters_of_one_give_the_plain_interval_and_copies_widen_it():
    values = np.random.default_rng(0).uniform(size=40)
    plain = score_interval(values, range(40))
    assert (plain.low, plain.high) == pytest.approx((score_interval(values).low, score_interval(values).high))
    copied = score_interval(np.repeat(values, 5), np.repeat(np.arange(40), 5))
    naive = score_interval(np.repeat(values, 5), range(200))
    assert copied.high - copied.low == pytest.approx(plain.high - plain.low, rel=0.03)
    assert naive.high - naive.low < 0.5 * (copied.high - copied.low)


def test_examples_that_belong_together_are_compared_as_groups():
    """Ten groups of twenty like examples tell what ten examples tell; groups of one tell what examples do."""
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 2, 10), rng.integers(0, 2, 10)
    few, names = compare(a, b, groups=range(10)), np.repeat(np.arange(10), 20)
    many = compare(np.repeat(a, 20), np.repeat(b, 20), groups=names)
    assert (many.n, many.groups, few.groups) == (200, 10, 10)
    assert many.delta == pytest.approx(few.delta)
    assert many.p_value == pytest.approx(few.p_value)  # whole groups change their sign
    assert (many.low, many.high) == pytest.approx((few.low, few.high), abs=0.05)
    assert many.smallest_detectable_gain == pytest.approx(few.smallest_detectable_gain, rel=0.06)
    assert many.smallest_detectable_gain > 3 * compare(np.repeat(a, 20), np.repeat(b, 20)).smallest_detectable_gain


@given(st.lists(st.tuples(st.sampled_from([0, 0.5, 1]), st.sampled_from([0, 0.5, 1]), st.integers(0, 3)), min_size=2))
def test_a_comparison_by_groups_keeps_its_bounds_and_turns_round(rows):
    a, b, groups = zip(*rows, strict=True)
    if len(set(groups)) < 2:
        groups = range(len(rows))
    forth, back = compare(a, b, groups=groups), compare(b, a, groups=groups)
    assert forth.low <= forth.delta <= forth.high
    assert (forth.low, forth.high, forth.p_value) == pytest.approx((-back.high, -back.low, back.p_value), abs=1e-9)
    assert 0 < forth.p_value <= 1
    assert 0 < forth.smallest_detectable_gain <= 1


def test_groups_hold_the_false_alarms_that_single_examples_raise():
    """No difference, but the examples of a group go together: 20 groups of 15."""
    rng, groups, alarms = np.random.default_rng(1), np.repeat(np.arange(20), 15), np.zeros(2)
    for _ in range(100):
        luck = np.repeat(rng.choice([-0.3, 0, 0.3], 20), 15)
        a = rng.random(300) < 0.5
        b = rng.random(300) < 0.5 + luck
        alarms += [compare(a, b, groups=groups).p_value < 0.05, compare(a, b).p_value < 0.05]
    assert alarms[0] <= 12
    assert alarms[1] >= 15


def test_mcnemar_midp_published_and_at_its_edges():
    """Examples of Fagerland, Lydersen and Laake: Bentur 2009 (counts 1 and 7) and Cavo 2012 (6 and 16)."""
    assert mcnemar_midp(1, 7) == pytest.approx(0.0390625)  # 2 · 9/256 - 8/256
    assert mcnemar_midp(6, 16) == pytest.approx(0.034690, abs=5e-7)
    assert mcnemar_midp(0, 0) == 1
    assert mcnemar_midp(0, 6) == pytest.approx(1 / 64)
    assert mcnemar_midp(1, 1) == pytest.approx(0.75)  # equal counts: 1 - pmf / 2


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_midp_symmetry_bounds_and_direction(b_only, c_only):
    p = mcnemar_midp(b_only, c_only)
    assert 0 < p <= 1 or max(b_only, c_only) > 100
    assert p == pytest.approx(mcnemar_midp(c_only, b_only))
    if b_only > c_only:
        assert mcnemar_midp(b_only + 1, c_only) < p


def test_paired_wald_published():
    """Cavo 2012 (59, 6, 16, 80) by Bonett and Price: -0.062 with -0.1195 to -0.0032."""
    first, second = pairs(59, 16, 6, 80)
    interval = paired_wald(second, first)
    assert interval.value == pytest.approx(-10 / 161)
    assert (interval.low, interval.high) == pytest.approx((-0.1195, -0.0032), abs=5e-5)


def test_paired_wald_has_width_where_nothing_differs():
    same = [1, 0] * 10
    assert paired_wald(same, same).high > 0.1


def test_permutation_by_hand():
    # six positive differences: of 64 sign patterns only all + and all - are as extreme
    assert paired_permutation([0] * 6, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) == pytest.approx(2 / 64)
    assert paired_permutation([0.3, 0.5], [0.3, 0.5]) == 1
    assert paired_permutation([0.3, 0.5, 0.1], [0.3, 0.5, 0.2]) == 1


def test_permutation_sampled_is_seeded_and_near_the_exact_value(monkeypatch):
    rng = np.random.default_rng(5)
    a = rng.uniform(size=12)
    b = np.clip(a + rng.normal(0.15, 0.15, 12), 0, 1)
    exact = paired_permutation(a, b)
    monkeypatch.setattr("ftlab.evaluation.statistics.RESAMPLES", 2000)
    sampled = paired_permutation(a, b)
    assert exact == pytest.approx(round(exact * 4096) / 4096)  # all 2^12 patterns
    assert 0.001 < exact < 0.2
    assert sampled == pytest.approx(exact, abs=0.03)
    assert sampled == paired_permutation(a, b)


@pytest.mark.parametrize(
    ("disagreement", "n"), [(0.08, 249), (0.10, 312), (0.15, 469), (0.20, 626), (0.30, 940)]
)
def test_sample_size_for_five_points(disagreement, n):
    assert sample_size(0.05, disagreement) == n


@given(st.integers(20, 3000), st.floats(0.01, 1), st.floats(0.6, 0.95))
def test_plan_and_its_inverse_agree(n, disagreement, power):
    assert smallest_detectable_gain(100, 0.15) == pytest.approx(0.109, abs=0.0005)
    gain = smallest_detectable_gain(n, disagreement, power)
    if gain <= disagreement:
        assert 0.6 * n < sample_size(gain, disagreement, power) <= n


@pytest.mark.parametrize(("gain", "disagreement"), [(0, 0.1), (0.2, 0.1), (0.05, 1.1), (-0.05, 0.1)])
def test_impossible_plans(gain, disagreement):
    with pytest.raises(FtlabError, match="gain <= disagreement"):
        sample_size(gain, disagreement)
    with pytest.raises(FtlabError, match="between 0 and 1"):
        sample_size(0.05, 0.1, power=80)


def test_compare_by_hand():
    a, b = pairs(both=60, b_gains=16, a_only=6, neither=18)
    seen = compare(a, b, metric="exact_match")
    assert (seen.n, seen.a, seen.b, seen.disagreement) == (100, 0.66, 0.76, 0.22)
    assert seen.delta == pytest.approx(0.10)
    assert seen.p_value == pytest.approx(0.034690, abs=5e-7)
    assert seen.low > 0
    assert seen.smallest_detectable_gain == smallest_detectable_gain(100, 0.22)
    assert (seen.verdict, seen.metric) == ("better", "exact_match")
    assert "better: 66.0 % -> 76.0 %, +10.0 points" in repr(seen)
    detectable = 100 * seen.smallest_detectable_gain
    told = f"disagreement 22.0 %, detectable from {detectable:.1f} points; 100 examples taken as independent)"
    assert told in repr(seen)


def test_compare_graded():
    rng = np.random.default_rng(2)
    a = rng.integers(0, 6, 200) / 6
    b = np.clip(a + rng.choice([0, 0, 1 / 6], 200), 0, 1)
    seen = compare(a, b)
    assert (seen.verdict, seen.method) == ("better", "adjusted paired Wald")
    assert compare(b, a).verdict == "worse"
    assert seen.smallest_detectable_gain == pytest.approx(
        smallest_detectable_gain(200, float(np.mean((b - a) ** 2)))
    )


def test_nobody_differing_is_not_certainty():
    seen = compare([1, 0] * 10, [1, 0] * 10)
    assert (seen.delta, seen.p_value, seen.verdict) == (0, 1, "no detectable difference")
    assert seen.smallest_detectable_gain == smallest_detectable_gain(20, 1 / 20)
    assert seen.low < 0 < seen.high


@settings(deadline=None)
@given(RIGHT_OR_WRONG)
def test_compare_is_antisymmetric_and_bounded(scores):
    a, b = zip(*scores, strict=True)
    forth, back = compare(a, b), compare(b, a)
    assert forth.delta == -back.delta
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))
    assert forth.p_value == pytest.approx(back.p_value)
    assert -1 <= forth.low <= forth.delta <= forth.high <= 1
    mirror = {"better": "worse", "worse": "better"}
    assert mirror.get(forth.verdict, forth.verdict) == back.verdict


def test_holm_by_hand():
    rng = np.random.default_rng(0)
    a = rng.random(200) < 0.5
    candidates = {name: a | (rng.random(200) < gain) for name, gain in {"x": 0.0, "y": 0.06, "z": 0.3}.items()}
    alone = {name: compare(a, b) for name, b in candidates.items()}
    p = {name: each.p_value for name, each in alone.items()}
    together = holm(alone)
    ordered = sorted(p, key=p.get)
    assert ordered[0] == "z"
    wanted = np.maximum.accumulate([min(1, p[name] * (3 - i)) for i, name in enumerate(ordered)])
    assert [together[name].p_holm for name in ordered] == pytest.approx(list(wanted))
    assert together["z"].verdict == "better"
    assert alone["x"].p_holm is None
    assert f"(Holm {together['y'].p_holm:.2g})" in repr(together["y"])
    with pytest.raises(DataError, match="several alphas"):
        holm(alone | {"w": compare(a, a, alpha=0.1)})


def test_holm_takes_back_a_verdict_that_is_one_of_many():
    a, b = pairs(both=60, b_gains=16, a_only=6, neither=18)  # p = 0.035
    rest = {f"same_{i}": compare(a, a) for i in range(4)}
    assert compare(a, b).verdict == "better"
    assert holm({"b": compare(a, b)} | rest)["b"].verdict == "no detectable difference"
    assert holm({"b": compare(a, b)})["b"].verdict == "better"


def simulate(n, disagreement, gain, runs, seed):
    """Draw paired 0/1 scores with a known gain; return the share of significant results and of coverage."""
    rng = np.random.default_rng(seed)
    chances = [(disagreement + gain) / 2, (disagreement - gain) / 2, 1 - disagreement]
    found = covered = 0
    for gained, lost, rest in rng.multinomial(n, chances, size=runs):
        seen = compare(*pairs(rest, gained, lost, 0))
        found += seen.verdict != "no detectable difference"
        covered += seen.low <= gain <= seen.high
    return found / runs, covered / runs


def test_planned_power_false_alarms_and_coverage():
    """At the planned n the gain is found in about 80 %, and nothing is "found" in more than about 5 %."""
    n = sample_size(0.05, 0.10)
    power, coverage = simulate(n, 0.10, 0.05, runs=600, seed=0)
    assert power == pytest.approx(0.80, abs=0.05)  # three standard errors
    assert coverage > 0.92
    false_alarms, coverage = simulate(n, 0.10, 0.0, runs=600, seed=1)
    assert 0.01 < false_alarms < 0.08
    assert coverage > 0.92


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wilson(3, 0), "n >= 1"),
        (lambda: wilson(3, 2), "successes"),
        (lambda: score_interval([]), "at least one"),
        (lambda: score_interval([0.5, math.nan]), "score number 2 is not finite"),
        (lambda: score_interval([-0.5, 0.1]), "use difference_interval"),
        (lambda: score_interval([70, 80]), "divide them by their maximum"),
        (lambda: compare([1], [1, 0]), "1 scores against 2"),
        (lambda: compare([1], [80]), "between 0 and 1"),
        (lambda: score_interval([1, 0], ["x", "x"]), "at least two"),
        (lambda: score_interval([1, 0], ["x"]), "1 clusters"),
    ],
)
def test_unusable_scores(call, message):
    with pytest.raises(DataError, match=message):
        call()


def test_win_rate_by_hand():
    found = win_rate([5, 3, 3, 1], [5, 4, 2, 3])
    assert (found.won, found.tied, found.lost) == (2, 1, 1)
    assert found.rate.value == 0.625
    assert 0 <= found.rate.low <= 0.625 <= found.rate.high <= 1


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=30))
@settings(max_examples=30, deadline=None)
def test_win_rate_turns_round_and_sees_only_the_order(pairs):
    a, b = map(list, zip(*pairs, strict=True))
    there, back = win_rate(a, b), win_rate(b, a)
    assert there.rate.value == pytest.approx(1 - back.rate.value)
    assert there.p_value == pytest.approx(back.p_value)
    stretched = win_rate([10 * value + 3 for value in a], [10 * value + 3 for value in b])
    assert stretched.rate == there.rate


def test_win_rate_of_equals_is_one_half_and_groups_widen_it():
    assert win_rate([1, 2, 3], [1, 2, 3]).rate.value == 0.5
    assert win_rate([1, 2, 3], [1, 2, 3]).p_value == 1
    a, b = [0] * 20, [1] * 15 + [0] * 2 + [-1] * 3
    alone, together = win_rate(a, b), win_rate(a, b, groups=[n // 4 for n in range(20)])
    assert together.rate.value == alone.rate.value
    assert together.rate.high - together.rate.low > alone.rate.high - alone.rate.low
    assert together.p_value > alone.p_value
