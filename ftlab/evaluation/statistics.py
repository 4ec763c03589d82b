"""How sure a score is, and whether two systems differ on the same examples.

Two kinds of scores, each with its own tools: 0/1 scores (right or wrong) take Wilson, the adjusted paired
Wald interval and McNemar's mid-p; graded scores (a share of fields) take bootstraps and sign flips.
Everything is seeded; all intervals are at level 1 - alpha.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from scipy.stats import binom, norm, permutation_test, t
from statsmodels.stats.proportion import proportion_confint

from ftlab.errors import DataError, FtlabError

CHUNK = 4_000_000  # numbers drawn at a time by a bootstrap: 64 MB
RESAMPLES = 10_000


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

    def to_dict(self) -> dict:
        """The fields as plain JSON values."""
        return asdict(self)

    def __repr__(self):
        points = f"{100 * self.delta:+.1f} points [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"
        scores = f"{100 * self.a:.1f} % -> {100 * self.b:.1f} %"
        seen = f"disagreement {100 * self.disagreement:.1f} %"
        power = f"detectable from {100 * self.smallest_detectable_gain:.1f} points"
        text = f"{self.verdict}: {scores}, {points}, p = {self.p_value:.2g}, n = {self.n}, {seen}, {power}"
        return "\n".join([f"Comparison({text})", *self.notes])


@dataclass(frozen=True, repr=False)
class WinRate:
    """How often b is better than a on the same examples: `rate` counts a tie as half."""

    won: int
    tied: int
    lost: int
    rate: Interval
    p_value: float  # of no difference: b wins as often as it loses

    def __repr__(self):
        return f"{self.rate!r}, p = {self.p_value:.2g} (won {self.won}, tied {self.tied}, lost {self.lost})"


def wilson(successes: int, n: int) -> Interval:
    """Wilson's score interval of a rate (1927); unlike p ± 1.96 se it holds near 0 and 1 and for small n."""
    if n < 1 or not 0 <= successes <= n:
        raise DataError(f"{successes} successes of {n}: give 0 <= successes <= n and n >= 1")
    low, high = proportion_confint(successes, n, method="wilson")
    value = successes / n
    return Interval(value, min(float(low), value), max(float(high), value), int(n), "Wilson")


def bootstrap_mean(values: Sequence[float], alpha: float = 0.05) -> Interval:
    """Percentile bootstrap of a mean; equal values give width 0, which is too sure for small n."""
    values = _scores(values)
    rng = np.random.default_rng(0)
    means, chunk = [], max(1, CHUNK // len(values))
    for start in range(0, RESAMPLES, chunk):
        size = (min(chunk, RESAMPLES - start), len(values))
        means.append(values[rng.integers(0, len(values), size=size)].mean(axis=1))
    low, high = np.quantile(np.concatenate(means), [alpha / 2, 1 - alpha / 2])
    value = float(values.mean())
    return Interval(value, min(float(low), value), max(float(high), value), len(values), "bootstrap")


def interval_of(values: Sequence[float]) -> Interval:
    """The interval of a mean: Wilson when every value is 0 or 1, else the bootstrap."""
    values = _scores(values)
    return wilson(int(values.sum()), len(values)) if _is_binary(values) else bootstrap_mean(values)


def clustered_mean(values: Sequence[float], clusters: Sequence, alpha: float = 0.05) -> Interval:
    """The mean's interval when examples come in clusters (tickets of one customer, texts of one pattern).

    The clustered standard error of Miller 2024, "Adding Error Bars to Evals", arXiv:2411.00640: se² = se_CLT² +
    1/n² · the sum, over ordered pairs of different examples of one cluster, of the product of their deviations; times
    Student's t for clusters less one, as a few clusters tell little of how much they differ. Needs at least two.
    """
    values = _scores(values)
    index, count = _clusters(clusters, len(values))
    half = float(t.ppf(1 - alpha / 2, count - 1)) * math.sqrt(_clustered_variance(values, index))
    value = float(values.mean())
    return Interval(value, value - half, value + half, len(values), f"clustered ({count} clusters)")


def _clusters(clusters, n: int) -> tuple[np.ndarray, int]:
    """The number of each example's cluster, and how many there are."""
    if len(clusters) != n:
        raise DataError(f"{n} values but {len(clusters)} clusters: give one cluster a value")
    names, index = np.unique([str(cluster) for cluster in clusters], return_inverse=True)
    if len(names) < 2:
        raise DataError("one cluster says nothing about the next: give at least two")
    return index, len(names)


def _clustered_variance(values, index) -> float:
    """Squared standard error of the mean."""
    n, deviations = len(values), values - values.mean()
    squares = np.sum(deviations**2)
    within = np.sum(np.bincount(index, weights=deviations) ** 2) - squares
    return float(max(0.0, squares / (n - 1) / n + within / n**2))


def paired_bootstrap(a: Sequence[float], b: Sequence[float], alpha: float = 0.05) -> Interval:
    """Interval of mean(b) - mean(a) on the same examples: examples are drawn, both scores go along."""
    a, b = _pair(a, b)
    return replace(bootstrap_mean(b - a, alpha), method="paired bootstrap")


def paired_wald(a: Sequence[float], b: Sequence[float], alpha: float = 0.05) -> Interval:
    """Interval of mean(b) - mean(a) for 0/1 scores, adjusted Wald (Bonett and Price 2012).

    One imagined example is added to each kind of disagreement, so that it stays honest where a bootstrap has
    width 0: when few examples, or none, differ.
    """
    a, b = _pair(a, b)
    n = len(a) + 2
    gained, lost = (np.sum(b > a) + 1) / n, (np.sum(a > b) + 1) / n
    half = _z(1 - alpha / 2) * math.sqrt((gained + lost - (gained - lost) ** 2) / n)
    value, centre = float(np.mean(b - a)), gained - lost
    low, high = max(-1.0, float(centre - half)), min(1.0, float(centre + half))
    return Interval(value, min(low, value), max(high, value), len(a), "adjusted paired Wald")


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

    0/1 scores: adjusted paired Wald interval and McNemar's mid-p. Graded scores: paired bootstrap and
    sign-flip permutation. With `groups` (one name an example: those that belong together have the same), the clustered
    interval of the difference, and sign flips of whole groups. The verdict is "better" or "worse" when p < alpha, else
    "no detectable difference". The smallest detectable gain takes the mean squared difference as p, which for 0/1
    scores is the disagreement, and never less than one wholly different example: nobody differing is no proof for
    small n. Examples in groups count as the number that would tell as much if they were independent.
    """
    a, b = _pair(a, b)
    if not 0 <= min(a.mean(), b.mean()) <= max(a.mean(), b.mean()) <= 1:  # single parts of a macro F1 may lie outside
        raise DataError("scores must lie between 0 and 1: divide them by their maximum")
    n = alone = len(a)
    count = None
    if groups is not None:
        index, count = _clusters(groups, n)
        interval = clustered_mean(b - a, groups, alpha)
        gains = np.bincount(index, weights=b - a)
        p_value = paired_permutation(np.zeros(count), gains)
        alone = _effective_size(b - a, index, count)
    elif _is_binary(a) and _is_binary(b):
        interval = paired_wald(a, b, alpha)
        p_value = mcnemar_midp(int(np.sum(a > b)), int(np.sum(b > a)))
    else:
        interval = paired_bootstrap(a, b, alpha)
        p_value = paired_permutation(a, b)
    verdict = "no detectable difference"
    if p_value < alpha and interval.value:
        verdict = "better" if interval.value > 0 else "worse"
    spread = min(1.0, max(float(np.mean((b - a) ** 2)), 1 / alone))
    detectable = smallest_detectable_gain(alone, spread, alpha=alpha)
    means, change = (float(a.mean()), float(b.mean())), (interval.value, interval.low, interval.high)
    return Comparison(n, *means, *change, p_value, float(np.mean(a != b)), detectable, verdict, alpha=alpha,
                      method=interval.method, metric=metric, groups=count)  # fmt: skip


def win_rate(a: Sequence[float], b: Sequence[float], groups: Sequence | None = None) -> WinRate:
    """Win rate of b over a by any scores of the same examples, of which only the order counts; a tie is half a win.

    Interval and p-value are those of `compare` against one half; with `groups` both count groups.
    """
    a, b = _pair(a, b)
    found = compare(np.full(len(a), 0.5), np.where(b > a, 1.0, np.where(b < a, 0.0, 0.5)), groups=groups)
    low, high = max(0.0, found.low + 0.5), min(1.0, found.high + 0.5)
    rate = Interval(found.b, low, high, found.n, found.method)
    return WinRate(int((b > a).sum()), int((b == a).sum()), int((b < a).sum()), rate, found.p_value)


def _effective_size(values, index, count: int) -> float:
    """How many independent examples would tell the mean as well as these clusters do: at least one, at most all."""
    n, clustered = len(values), _clustered_variance(values, index)
    alone = float(np.sum((values - values.mean()) ** 2)) / (n - 1) / n
    return float(count) if not alone else max(1.0, n * min(1.0, alone / clustered) if clustered else float(n))


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
