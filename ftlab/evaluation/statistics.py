"""How sure a score is, and whether two systems differ on the same examples.

One interval for the mean of a system's scores (Wilson's) and one for the difference of two systems on the same examples
(adjusted paired Wald); each has a form for graded scores and for examples that belong together in groups. Tests:
McNemar's mid-p for 0/1 scores, sign flips for the others. Everything is seeded; all intervals are at level 1 - alpha.
How often they are right, `tools/simulate_statistics.py` counts; its table, with the limits, is in DECISIONS.md.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from scipy.stats import binom, norm, permutation_test, t
from statsmodels.stats.proportion import proportion_confint

from ftlab.errors import DataError, FtlabError

CHUNK = 4_000_000  # numbers drawn at a time by a permutation: 64 MB
RESAMPLES = 10_000
FEW = 30  # with fewer examples, or groups of them, an interval is rough and rules nothing out
LEAST_UNITS = 6  # signs of five can be drawn in 32 ways: no p-value of both sides lies below 0.06
ROUNDING = 1e-18  # a variance below it is that of equal scores
SLACK = 1e-9  # how far a mean of scores may leave [0, 1] by the rounding of its sum; far more than any sum has


@dataclass(frozen=True, repr=False)
class Interval:
    """An estimate and its confidence interval, as fractions of 1."""

    value: float
    low: float
    high: float
    n: int
    method: str

    def __repr__(self):
        return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"


@dataclass(frozen=True, repr=False)
class Comparison:
    """Candidate b against baseline a on the same n examples; `delta` is mean(b) - mean(a), in fractions of 1.

    `disagreement` is the share of examples on which the scores differ (for 0/1 scores: exactly one is right);
    `smallest_detectable_gain` is what a test of this size and disagreement finds with 80 % power.
    """

    n: int
    a: float
    b: float
    delta: float
    low: float
    high: float
    p_value: float
    disagreement: float
    smallest_detectable_gain: float
    verdict: str
    alpha: float = 0.05
    method: str = ""
    metric: str | None = None
    groups: int | None = None  # of examples that belong together, where they were counted; else each stands for itself
    notes: tuple[str, ...] = ()  # what else a reader has to know
    p_holm: float | None = None  # p_value, corrected for the other candidates compared with the same baseline

    def to_dict(self) -> dict:
        """The fields as plain JSON values."""
        return asdict(self)

    def __repr__(self):
        points = f"{100 * self.delta:+.1f} points [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"
        scores = f"{100 * self.a:.1f} % -> {100 * self.b:.1f} %"
        seen = f"disagreement {100 * self.disagreement:.1f} %"
        power = f"detectable from {100 * self.smallest_detectable_gain:.1f} points"
        holm = "" if self.p_holm is None else f" (Holm {self.p_holm:.2g})"
        rests_on = basis(self.n, self.groups)
        text = f"{self.verdict}: {scores}, {points}, p = {self.p_value:.2g}{holm}, {seen}, {power}; {rests_on}"
        return "\n".join([f"Comparison({text})", *self.notes])


@dataclass(frozen=True, repr=False)
class WinRate:
    """How often b is better than a on the same examples: `rate` counts a tie as half."""

    won: int
    tied: int
    lost: int
    rate: Interval
    p_value: float  # of no difference: b wins as often as it loses
    groups: int | None = None

    def __repr__(self):
        counts = f"won {self.won}, tied {self.tied}, lost {self.lost}"
        return f"{self.rate!r}, p = {self.p_value:.2g} ({counts}; {basis(self.rate.n, self.groups)})"


def basis(n: int, groups: int | None = None) -> str:
    """What an interval takes its examples for, and a warning where they are few, in a phrase."""
    units, what = (n, "examples") if groups is None else (groups, "groups")
    text = f"{n:,} examples taken as independent" if groups is None else f"{n:,} examples in {groups:,} groups"
    if units < LEAST_UNITS:
        return f"{text}; so few {what} cannot rule out chance"
    return f"{text}; few {what}, a rough interval" if units < FEW else text


def wilson(successes: int, n: int, alpha: float = 0.05) -> Interval:
    """Wilson's score interval of a rate (1927); unlike p ± 1.96 se it holds near 0 and 1 and for small n."""
    if n < 1 or not 0 <= successes <= n:
        raise DataError(f"{successes} successes of {n}: give 0 <= successes <= n and n >= 1")
    low, high = proportion_confint(successes, n, alpha, method="wilson")
    value = successes / n
    return Interval(value, min(float(low), value), max(float(high), value), int(n), "Wilson")


def score_interval(values: Sequence[float], groups: Sequence | None = None, alpha: float = 0.05) -> Interval:
    """The interval of a mean of scores from 0 to 1: Wilson's, for as many right or wrong examples as tell as much.

    That many is p (1 - p) over the squared standard error of the mean: the effective sample size of surveys (Kish 1965;
    Wilson's form of it in Franco, Little, Louis and Slud 2019, J. Survey Statistics and Methodology 7:334), with
    Student's t for units less one. Unlike a bootstrap it has a width where nearly all scores are 1.
    With `groups` (one name an example: those that belong together have the same) the units are the groups; that a mean
    over groups is less sure: Miller 2024, "Adding Error Bars to Evals", arXiv:2411.00640.
    """
    values = _scores(values)
    if not -SLACK <= values.mean() <= 1 + SLACK:
        raise DataError(f"scores have a mean of {values.mean():.3g}, not from 0 to 1: divide them by their maximum, or "
                        "use difference_interval for differences")  # fmt: skip
    if groups is None and _is_binary(values):
        return wilson(int(values.sum()), len(values), alpha)
    variance, units = variance_of_mean(values, groups)
    value = min(max(float(values.mean()), 0.0), 1.0)
    inside = value * (1 - value)
    size = inside / variance if inside > 0 and variance > ROUNDING else float(units)
    z2 = float(t.ppf(1 - alpha / 2, max(1, units - 1))) ** 2
    centre, half = (value + z2 / size / 2) / (1 + z2 / size), math.sqrt(z2 / size * (inside + z2 / size / 4))
    low, high = centre - half / (1 + z2 / size), centre + half / (1 + z2 / size)
    method = "Wilson, effective size" + (f", {units} groups" if groups is not None else "")
    return Interval(value, max(0.0, min(low, value)), min(1.0, max(high, value)), len(values), method)


def present_interval(values: Sequence[float], groups: Sequence | None = None) -> Interval:
    """The interval of a mean over the examples that have a score (no NaN), by `groups` where these are several."""
    values = np.asarray(values, dtype=float)
    has = ~np.isnan(values)
    own = [] if groups is None else [group for group, here in zip(groups, has, strict=True) if here]
    return score_interval(values[has], own if len(set(own)) > 1 else None)


def _clusters(clusters, n: int) -> tuple[np.ndarray, int]:
    """The number of each example's cluster, and how many there are."""
    if len(clusters) != n:
        raise DataError(f"{n} values but {len(clusters)} clusters: give one cluster a value")
    names, index = np.unique([str(cluster) for cluster in clusters], return_inverse=True)
    if len(names) < 2:
        raise DataError("one cluster says nothing about the next: give at least two")
    return index, len(names)


def variance_of_mean(values, groups) -> tuple[float, int]:
    """(squared standard error of the mean, units): never smaller than if every example stood for itself."""
    n = len(values)
    alone = float(values.var(ddof=1)) / n if n > 1 else 0.0
    if groups is None:
        return alone, n
    index, count = _clusters(groups, n)
    return max(alone, _jackknife(np.bincount(index, weights=values), np.bincount(index))), count


def _jackknife(sums, sizes) -> float:
    """Squared standard error of the mean over clusters, each left out once (CR3): of all such estimates the one that
    is least too small with few clusters of unlike size (MacKinnon, Nielsen and Webb 2023, J. Econometrics 232:272)."""
    count, total, n = len(sums), sums.sum(), sizes.sum()
    without = (total - sums) / (n - sizes)
    return float((count - 1) / count * np.sum((without - total / n) ** 2))


def paired_wald(
    a: Sequence[float], b: Sequence[float], alpha: float = 0.05, groups: Sequence | None = None
) -> Interval:
    """Interval of mean(b) - mean(a) on the same examples, adjusted Wald (Bonett and Price 2012, for 0/1 scores).

    One imagined example is added to each kind of disagreement, so that it stays honest where a bootstrap has width 0:
    when few examples, or none, differ. Graded scores: the two differ by the root mean square of those that do. With
    `groups` the examples are groups, with the jackknife and Student's t for groups less one.
    """
    a, b = _pair(a, b)
    return difference_interval(b - a, groups, alpha)


def difference_interval(differences: Sequence[float], groups: Sequence | None = None, alpha: float = 0.05) -> Interval:
    """`paired_wald` from the differences themselves, one an example, or from another number that may be negative."""
    values = _scores(differences)
    sums, sizes, method = values, np.ones(len(values)), "adjusted paired Wald"
    z = _z(1 - alpha / 2)
    if groups is not None:
        index, count = _clusters(groups, len(values))
        sums, sizes = np.bincount(index, weights=values), np.bincount(index)
        z, method = float(t.ppf(1 - alpha / 2, count - 1)), f"{method}, {count} groups"
    means = sums[sums != 0] / sizes[sums != 0]
    imagined = sizes.mean() * (math.sqrt(float(np.mean(means**2))) if len(means) else 1.0)
    sums, sizes = np.append(sums, [imagined, -imagined]), np.append(sizes, [sizes.mean()] * 2)
    centre = float(sums.sum() / sizes.sum())
    variance = _jackknife(sums, sizes) if groups is not None else float(sums.var()) / len(sums)
    half, value, most = z * math.sqrt(variance), float(values.mean()), max(1.0, float(np.abs(values).max()))
    low, high = max(-most, centre - half), min(most, centre + half)
    return Interval(value, min(low, value), max(high, value), len(values), method)


def mcnemar_midp(b_only: int, c_only: int) -> float:
    """Two-sided mid-p of McNemar's test from the two discordant counts; 1 when there are none.

    Fagerland, Lydersen and Laake 2013, BMC Medical Research Methodology 13:91: the exact conditional test is
    too careful, the mid-p keeps the error rate near alpha with more power.
    """
    n = b_only + c_only
    if n == 0:
        return 1.0
    if b_only == c_only:
        return float(1 - binom.pmf(b_only, n, 0.5) / 2)
    return float(2 * binom.cdf(min(b_only, c_only), n, 0.5) - binom.pmf(b_only, n, 0.5))


def paired_permutation(a: Sequence[float], b: Sequence[float]) -> float:
    """Two-sided p-value for paired scores: under no difference each b - a could have either sign.

    Exact when the signs can be enumerated within RESAMPLES, else sampled.
    """
    a, b = _pair(a, b)
    differences = (b - a)[b != a]  # a zero keeps its value under either sign
    if len(differences) < 2:
        return 1.0
    test = permutation_test(
        (differences,),
        lambda x, axis: x.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, CHUNK // len(differences)),
        rng=np.random.default_rng(0),
    )
    return float(test.pvalue)


def sample_size(gain: float, disagreement: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """Paired examples that find a gain with this power: (z_α √p + z_β √(p - d²))² / d², rounded up.

    `gain` d and `disagreement` p (share of examples on which exactly one system is right) are fractions of 1;
    normal approximation of McNemar's test (Connor 1987). Clusters of m need 1 + (m - 1)·rho times as many.
    """
    if not 0 < gain <= disagreement <= 1:
        raise FtlabError(
            f"gain {gain} with disagreement {disagreement} is impossible: give fractions with "
            "0 < gain <= disagreement <= 1 (two systems cannot differ on average more often than one by one)"
        )
    z_alpha, z_power = _zs(power, alpha)
    root = z_alpha * math.sqrt(disagreement) + z_power * math.sqrt(disagreement - gain**2)
    return math.ceil(root**2 / gain**2 - 1e-9)


def smallest_detectable_gain(n: int, disagreement: float, power: float = 0.8, alpha: float = 0.05) -> float:
    """The gain that n paired examples find with this power: (z_α + z_β) √(p / n), at most 1.

    It leaves out the d² of `sample_size`, and so is a little too large (0.2 points at n = 100, p = 0.15).
    """
    if n < 1 or not 0 <= disagreement <= 1:
        raise FtlabError(f"n = {n}, disagreement = {disagreement}: give n >= 1 and a fraction from 0 to 1")
    return min(1.0, sum(_zs(power, alpha)) * math.sqrt(disagreement / n))


def compare(
    a: Sequence[float],
    b: Sequence[float],
    alpha: float = 0.05,
    metric: str | None = None,
    groups: Sequence | None = None,
) -> Comparison:
    """Compare candidate b with baseline a, scored on the same examples in the same order, from 0 to 1.

    The interval is `paired_wald`. The p-value of 0/1 scores is McNemar's mid-p, of graded scores a sign-flip
    permutation; with `groups` (one name an example: those that belong together have the same) whole groups change their
    sign. The verdict is "better" or "worse" when p < alpha, else "no detectable difference". The smallest detectable
    gain takes the mean squared difference as p, which for 0/1 scores is the disagreement, and never less than one
    wholly different example: nobody differing is no proof for small n. Examples in groups count as the number that
    would tell as much if they were independent.
    """
    a, b = _pair(a, b)
    low, high = sorted((a.mean(), b.mean()))  # single parts of a macro F1 may lie outside
    if not -SLACK <= low <= high <= 1 + SLACK:
        raise DataError("scores must lie between 0 and 1: divide them by their maximum")
    n = alone = len(a)
    count, interval = None, paired_wald(a, b, alpha, groups)
    if groups is not None:
        index, count = _clusters(groups, n)
        p_value = paired_permutation(np.zeros(count), np.bincount(index, weights=b - a))
        alone = _effective_size(b - a, groups, count)
    elif _is_binary(a) and _is_binary(b):
        p_value = mcnemar_midp(int(np.sum(a > b)), int(np.sum(b > a)))
    else:
        p_value = paired_permutation(a, b)
    verdict = _verdict(interval.value, p_value, alpha)
    spread = min(1.0, max(float(np.mean((b - a) ** 2)), 1 / alone))
    detectable = smallest_detectable_gain(alone, spread, alpha=alpha)
    means, change = (float(a.mean()), float(b.mean())), (interval.value, interval.low, interval.high)
    return Comparison(n, *means, *change, p_value, float(np.mean(a != b)), detectable, verdict, alpha=alpha,
                      method=interval.method, metric=metric, groups=count)  # fmt: skip


def win_rate(a: Sequence[float], b: Sequence[float], groups: Sequence | None = None) -> WinRate:
    """Win rate of b over a by any scores of the same examples, of which only the order counts; a tie is half a win.

    The interval is that of a score, the p-value that of `compare` against one half; with `groups` both count groups.
    """
    a, b = _pair(a, b)
    wins = np.where(b > a, 1.0, np.where(b < a, 0.0, 0.5))
    tested = compare(np.full(len(a), 0.5), wins, groups=groups)
    rate = score_interval(wins, groups)
    return WinRate(int((b > a).sum()), int((b == a).sum()), int((b < a).sum()), rate, tested.p_value, tested.groups)


def holm(comparisons: dict[str, Comparison]) -> dict[str, Comparison]:
    """The same comparisons of several candidates with one baseline, each with Holm's p-value and the verdict by it.

    Holm 1979: with probability 1 - alpha none of the verdicts is a false alarm, whatever the candidates have in common.
    The intervals stay those of each comparison alone.
    """
    from statsmodels.stats.multitest import multipletests

    if len({each.alpha for each in comparisons.values()}) > 1:
        raise DataError("comparisons of several alphas: give them one")
    corrected = multipletests([each.p_value for each in comparisons.values()], method="holm")[1]
    return {
        name: replace(each, p_holm=float(p), verdict=_verdict(each.delta, float(p), each.alpha))
        for (name, each), p in zip(comparisons.items(), corrected, strict=True)
    }


def _verdict(delta: float, p_value: float, alpha: float) -> str:
    if p_value >= alpha or not delta:
        return "no detectable difference"
    return "better" if delta > 0 else "worse"


def _effective_size(values, groups, count: int) -> float:
    """How many independent examples would tell the mean as well as these groups do: at least one, at most all."""
    variance = float(values.var(ddof=1))
    mean = variance_of_mean(values, groups)[0]
    return max(1.0, min(len(values), variance / mean)) if variance > ROUNDING else float(count)


def _scores(values) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not len(values):
        raise DataError(f"scores must be one list of at least one number, not of shape {values.shape}")
    if not np.isfinite(values).all():
        number = int(np.argmin(np.isfinite(values))) + 1
        raise DataError(f"score number {number} is not finite: score that example")
    return values


def _pair(a, b):
    a, b = _scores(a), _scores(b)
    if len(a) != len(b):
        raise DataError(f"{len(a)} scores against {len(b)}: score both systems on the same examples")
    return a, b


def _is_binary(values):
    return bool(np.isin(values, (0, 1)).all())


def _z(quantile):
    return float(norm.ppf(quantile))


def _zs(power, alpha):
    if not (0 < alpha < 1 and 0 < power < 1):
        raise FtlabError(f"power {power} and alpha {alpha} must lie between 0 and 1")
    return _z(1 - alpha / 2), _z(power)
