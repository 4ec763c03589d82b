"""Whether a confidence means what it says: of answers with 0.8, are 80 % right?

A structured answer (a record, a label) is right or wrong as a whole, or field by field; its confidence comes from
`serving.routing.answer_confidence`, a classifier, or what the model says itself. Which answers to let through is
another question: `serving.routing.coverage_curve` and `choose_thresholds` need only the order.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2, ncx2

from ftlab.errors import DataError
from ftlab.evaluation.statistics import Interval, basis, paired_wald, score_interval, variance_of_mean

BINS = 10
RESAMPLES = 1_000


@dataclass(frozen=True, repr=False)
class Reliability:
    """Confidence against what was right.

    `bins`: (mean confidence, share right), lowest first, as many answers in each. `ece`: the mean distance of the two
    (expected calibration error, Guo et al. 2017); `by_chance` is what a perfectly calibrated system stays below in 95 %
    of such samples, and `p_value` how often it would reach this one. `error`: the root mean squared distance without
    that part of chance, with an interval. `gap`: mean confidence less share right; above 0 it is too sure.
    """

    n: int
    ece: float
    by_chance: float
    p_value: float
    error: Interval
    gap: Interval
    bins: tuple[tuple[float, Interval], ...]
    groups: int | None = None

    def to_dict(self) -> dict:
        """The fields as plain JSON values."""
        return asdict(self)

    def __repr__(self):
        gap = [f"{100 * each:+.1f}" for each in (self.gap.value, self.gap.low, self.gap.high)]
        sure = "too sure" if self.gap.low > 0 else "not sure enough" if self.gap.high < 0 else "about as sure as right"
        chance = f"up to {100 * self.by_chance:.1f} % by chance alone (p = {self.p_value:.2g})"
        lines = [f"ECE {100 * self.ece:.1f} %, {chance}; without chance, root mean square {self.error!r}"]
        lines += [f"confidence less share right: {gap[0]} points [{gap[1]}, {gap[2]}], {sure}"]
        return "\n  ".join([*lines, basis(self.n, self.groups)])


def calibration(
    confidences: Sequence[float], right: Sequence[float], groups: Sequence | None = None, bins: int = BINS
) -> Reliability:
    """Measure calibration; with `groups` (one name an answer) those of a group count as belonging together.

    The ECE of a sample is too large, the more so the smaller it is, since chance adds distance in every bin; its
    bootstrap holds the truth in 45 to 90 % (simulated). So it stands beside what chance alone does (answers drawn right
    as often as their confidence says: Bröcker and Smith 2007, Weather and Forecasting 22:651). The interval is that of
    the squared distance: the sum over the bins, divided by its variance, is a noncentral chi-square, whose centre is
    found from both sides; the estimate takes chance's part off (Kumar, Liang and Ma 2019, arXiv:1909.10155).
    """
    confidences, right = np.asarray(confidences, dtype=float), np.asarray(right, dtype=float)
    if confidences.shape != right.shape or confidences.ndim != 1 or len(right) < 2 * bins:
        raise DataError(f"{len(confidences)} confidences, {len(right)} answers: give one each, at least {2 * bins}")
    if not (np.isin(right, (0, 1)).all() and confidences.min() >= 0 and confidences.max() <= 1):
        raise DataError("confidences must lie from 0 to 1, and right must be 1 or 0")
    order, n = np.argsort(confidences, kind="stable"), len(right)
    confidences, right = confidences[order], right[order]
    groups = None if groups is None else np.array([str(each) for each in groups])[order]
    starts = np.linspace(0, n, bins + 1).astype(int)[:-1]
    sizes = np.diff([*starts, n])
    rng = np.random.default_rng(0)
    fair = rng.random((RESAMPLES, n)) < confidences
    crowd = crowding(right - confidences, groups)
    chance = np.abs(np.add.reduceat(fair - confidences, starts, axis=1)).sum(axis=1) / n * np.sqrt(crowd)
    gaps = np.add.reduceat(right - confidences, starts) / sizes
    seen = float(np.abs(gaps) @ sizes / n)
    shares = [(float(confidences[a : a + size].mean()), score_interval(right[a : a + size]))
              for a, size in zip(starts, sizes, strict=True)]  # fmt: skip
    return Reliability(
        n,
        seen,
        float(np.quantile(chance, 0.95)),
        float((1 + np.sum(chance >= seen)) / (1 + RESAMPLES)),
        _error(gaps, sizes, right, starts, crowd),
        paired_wald(right, confidences, groups=groups),
        tuple(shares),
        None if groups is None else len(set(groups)),
    )


def crowding(values: np.ndarray, groups: Sequence | None) -> float:
    """How many times as large groups make the variance of a mean (the design effect of surveys); 1 without groups."""
    if groups is None or not (alone := float(values.var(ddof=1)) / len(values)):
        return 1.0
    return max(1.0, variance_of_mean(values, groups)[0] / alone)


def _error(gaps, sizes, right, starts, crowd: float) -> Interval:
    """The root mean squared gap of the bins and its interval, from the noncentral chi-square of its sum."""
    n, share = sizes.sum(), (np.add.reduceat(right, starts) + 1) / (sizes + 2)  # of a bin that is all right: not quite
    variance = crowd * float(share * (1 - share) @ sizes) / n  # of one answer, in its bin
    total = float(gaps**2 @ sizes) / variance
    # less distance than chance brings on average is no proof of less: there the upper end is that of the average
    centres = _centre(total, len(sizes), 0.975), _centre(max(total, len(sizes)), len(sizes), 0.025)
    ends = [float(np.sqrt(centre * variance / n)) for centre in centres]
    value = float(np.sqrt(max(0.0, total - len(sizes)) * variance / n))
    return Interval(value, min(ends[0], value), max(ends[1], value), int(n), "noncentral chi-square")


def _centre(total: float, degrees: int, level: float) -> float:
    """The noncentrality under which a sum up to `total` has the probability `level`; 0 where none is that small."""

    def above(centre):
        return float(ncx2.cdf(total, degrees, centre) if centre else chi2.cdf(total, degrees)) - level

    return 0.0 if above(0) <= 0 else float(brentq(above, 0, 4 * total + 40 * degrees))


def reliability_figure(seen: Reliability):
    """Share right against confidence, with intervals; on the line a confidence means what it says."""
    from ftlab.plots import BLUE, GREY, Figure, plain_axes

    fig = Figure(figsize=(4.6, 4.2), layout="constrained")
    ax = fig.add_subplot()
    ax.plot([0, 100], [0, 100], "--", color=GREY, lw=1.2, label="means what it says")
    x = [100 * confidence for confidence, _ in seen.bins]
    ends = [(100 * (each.value - each.low), 100 * (each.high - each.value)) for _, each in seen.bins]
    ax.errorbar(
        x, [100 * each.value for _, each in seen.bins], yerr=np.transpose(ends), fmt="o-", color=BLUE, capsize=3
    )
    ax.set(xlabel="confidence, %", ylabel="right, %", xlim=(0, 102), ylim=(0, 102))
    ax.legend(frameon=False)
    plain_axes(ax, grid="both")
    return fig


def reliability_alt(seen: Reliability) -> str:
    """The sentence for `reliability_figure`, written from the numbers."""
    dots = ", ".join(f"{100 * confidence:.0f} %: {each}" for confidence, each in seen.bins)
    return f"Share of right answers by confidence in {len(seen.bins)} bins. {dots}."
