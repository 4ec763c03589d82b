"""How often the intervals hold the truth, the tests raise a false alarm, and the plan finds what it plans for.

`python tools/simulate_statistics.py [--runs 1000]` draws scores whose truth is known, hands them to ftlab.evaluation,
and prints a table. An interval should hold the truth in 95 % of the runs, a test be wrong in at most 5 %, and a planned
test find its gain in 80 %. With 1,000 runs a share of 95 % is known to 1.4 points either way.
"""

import argparse
from collections.abc import Callable

import numpy as np
from scipy.stats import binom

from ftlab.evaluation.answers import score_labels, score_sets
from ftlab.evaluation.calibration import BINS, calibration
from ftlab.evaluation.judge import agreement
from ftlab.evaluation.statistics import (
    compare,
    holm,
    mcnemar_midp,
    paired_wald,
    sample_size,
    score_interval,
    wilson,
    win_rate,
)
from ftlab.serving.routing import coverage_curve

SIZES = (10, 30, 100, 300)
SHAPE = {True: "ten in each", False: "2 to 40 in each"}
LABELS, FREQUENT = np.array(["a", "b", "c"]), np.array([0.6, 0.3, 0.1])


def share(happens: Callable, runs: int, *given) -> float:
    """The share of runs in which something happens, asked with a generator of random numbers and what is given."""
    rng = np.random.default_rng(0)
    return float(np.mean([happens(rng, *given) for _ in range(runs)]))


def holds(interval, truth: float) -> bool:
    """Whether the interval holds the truth."""
    return interval.low - 1e-9 <= truth <= interval.high + 1e-9


def wilson_coverage(n: int, rate: float) -> float:
    """Exactly, from the chance of each count."""
    held = [holds(wilson(k, n), rate) for k in range(n + 1)]
    return float(np.sum(binom.pmf(np.arange(n + 1), n, rate) * held))


def some(p: float, rest: Callable) -> Callable:
    """Draws that are 0 but for a share p, which `rest` draws."""
    return lambda rng, n: np.where(rng.random(n) < p, rest(rng, n), 0.0)


GRADED = {  # name: (draws of n scores, their mean)
    "six fields, 80 % right": (lambda rng, n: rng.binomial(6, 0.8, n) / 6, 0.8),
    "like chrF, mean 73 %": (lambda rng, n: rng.beta(8, 3, n), 8 / 11),
    "80 % right, the rest in part": (lambda rng, n: 1 - some(0.2, lambda r, k: r.random(k))(rng, n), 0.9),
    "97 % right, the rest in part": (lambda rng, n: 1 - some(0.03, lambda r, k: r.random(k))(rng, n), 0.985),
}
DIFFERENCES = {  # name: (draws of n differences, their mean)
    "0/1, 8 % gained, 4 % lost": (lambda rng, n: rng.choice([1.0, -1, 0], n, p=[0.08, 0.04, 0.88]), 0.04),
    "0/1, 3 % gained, none lost": (lambda rng, n: rng.choice([1.0, 0], n, p=[0.03, 0.97]), 0.03),
    "of six fields 7 % gained, 2 % lost": (
        lambda rng, n: (rng.binomial(6, 0.07, n) - rng.binomial(6, 0.02, n)) / 6, 0.05),
    "5 % of texts better in part": (some(0.05, lambda rng, n: rng.random(n)), 0.025),
}  # fmt: skip


def groups_of(count: int, alike: bool) -> np.ndarray:
    """The group of each example: ten in each, or from 2 to 40."""
    sizes = np.full(count, 10) if alike else np.round(np.geomspace(2, 40, count)).astype(int)
    return np.repeat(np.arange(count), sizes)


def grouped_rate(rng, groups: np.ndarray, mean: float, together: float) -> np.ndarray:
    """Right or wrong; `together` is the correlation within a group."""
    spread = (1 - together) / together
    chances = rng.beta(mean * spread, (1 - mean) * spread, groups.max() + 1)
    return (rng.random(len(groups)) < chances[groups]).astype(float)


def grouped_difference(rng, groups: np.ndarray, gained: float, lost: float, together: float) -> np.ndarray:
    """1, 0 or -1."""
    better = grouped_rate(rng, groups, gained, together)
    return better - grouped_rate(rng, groups, lost, together) if lost else better


def mean_held(rng, draw, truth, n) -> bool:
    return holds(score_interval(draw(rng, n)), truth)


def difference_held(rng, draw, truth, n) -> bool:
    return holds(paired_wald(np.zeros(n), draw(rng, n)), truth)


def grouped_mean_held(rng, groups, mean, together) -> bool:
    return holds(score_interval(grouped_rate(rng, groups, mean, together), groups), mean)


def grouped_difference_held(rng, groups, gained, lost) -> bool:
    found = grouped_difference(rng, groups, gained, lost, 0.2)
    return holds(paired_wald(np.zeros(len(groups)), found, groups=groups), gained - lost)


def _answers(rng, n):
    right = rng.choice(LABELS, n, p=FREQUENT)
    return np.where(rng.random(n) < 0.7, right, rng.choice(LABELS, n)).tolist(), right.tolist()


def macro_f1_held(rng, n) -> bool:
    given, right = _answers(rng, n)
    hit, taken = 0.8 * FREQUENT, 0.7 * FREQUENT + 0.1  # chance to be right with a label, and to answer with it
    truth = float(np.mean(2 * hit / (taken + FREQUENT)))
    return holds(score_interval(score_labels(given, right).values("macro_f1")), truth)


def kappa_held(rng, n) -> bool:
    chance = float(FREQUENT @ (0.7 * FREQUENT + 0.1))
    return holds(agreement(*_answers(rng, n)).kappa, (0.8 - chance) / (1 - chance))


def micro_f1_held(rng, n) -> bool:
    """Two labels an answer, each given in 80 % and one more in 30 %: hits 1.6, given 1.9, right 2."""
    right = [rng.choice(6, 2, replace=False) for _ in range(n)]
    given = [[label for label in both if rng.random() < 0.8] + ([6] if rng.random() < 0.3 else []) for both in right]
    texts = [[", ".join(map(str, labels)) for labels in side] for side in (given, right)]
    return holds(score_interval(score_sets(*texts).values("micro_f1")), 2 * 1.6 / (1.9 + 2))


def win_rate_held(rng, groups, won, tied) -> bool:
    """Wins, ties and losses of whole examples, or of groups that are of one mind to 0.3."""
    if isinstance(groups, int):
        wins = rng.choice([1, 0.5, 0], groups, p=[won, tied, 1 - won - tied])
        return holds(win_rate(np.full(groups, 0.5), wins).rate, won + tied / 2)
    wins = grouped_rate(rng, groups, won, 0.3)
    return holds(win_rate(np.full(len(groups), 0.5), wins, groups).rate, won)


CONFIDENT = {  # name: the true chance to be right, by confidence
    "calibrated": lambda confidence: confidence,
    "a little too sure": lambda confidence: confidence**1.2,
    "far too sure": lambda confidence: confidence**2,
}
MANY = np.sort(np.random.default_rng(1).beta(4, 1.5, 200_000))  # confidences, for the truth


def _answered(rng, n, chance):
    confidences = rng.beta(4, 1.5, n)
    return confidences, (rng.random(n) < chance(confidences)).astype(float)


def calibration_held(rng, n, chance) -> bool:
    bins = [np.array_split(values, BINS) for values in (MANY, chance(MANY))]
    truth = float(np.sqrt(np.mean([(a.mean() - b.mean()) ** 2 for a, b in zip(*bins, strict=True)])))
    return holds(calibration(*_answered(rng, n, chance)).error, truth)


def confidence_gap_held(rng, n, chance) -> bool:
    return holds(calibration(*_answered(rng, n, chance)).gap, float((MANY - chance(MANY)).mean()))


def seems_uncalibrated(rng, n, chance) -> bool:
    return calibration(*_answered(rng, n, chance)).p_value < 0.05


def risk_held(rng, n, chance) -> bool:
    """The error of the more confident half: at a threshold that was fixed before."""
    half, (confidences, right) = np.median(MANY), _answered(rng, n, chance)
    confidences = np.where(confidences >= half, 1.0, 0.0)
    found = coverage_curve(confidences, right).iloc[0]
    return found.low - 1e-9 <= float((1 - chance(MANY[MANY >= half])).mean()) <= found.high + 1e-9


def intervals(runs: int):
    """(what, setting, n, share of runs that hold the truth)."""
    for rate in (0.5, 0.9, 0.98):
        for n in SIZES:
            yield "Wilson", f"rate {rate:.0%} (exact)", n, wilson_coverage(n, rate)
    for what, held, cases in (("graded mean", mean_held, GRADED), ("difference", difference_held, DIFFERENCES)):
        for name, (draw, truth) in cases.items():
            for n in SIZES:
                yield what, name, n, share(held, runs, draw, truth, n)
    for mean in (0.5, 0.85, 0.97):
        for count in (3, 5, 10, 30):
            for alike in (True, False):
                held = share(grouped_mean_held, runs, groups_of(count, alike), mean, 0.3)
                yield "mean by group", f"rate {mean:.0%}, {SHAPE[alike]}", f"{count} groups", held
    for gained, lost in ((0.06, 0.06), (0.12, 0.04), (0.04, 0)):
        for count in (5, 10, 30):
            for alike in (True, False):
                held = share(grouped_difference_held, runs, groups_of(count, alike), gained, lost)
                setting = f"{gained:.0%} gained, {lost:.0%} lost, {SHAPE[alike]}"
                yield "difference by group", setting, f"{count} groups", held
    for n in (100, 300):
        yield "macro F1", "three labels, 80 % right", n, share(macro_f1_held, runs, n)
        yield "kappa", "three labels, 80 % right", n, share(kappa_held, runs, n)
        yield "micro F1", "two labels an answer", n, share(micro_f1_held, runs, n)
    for n in (30, 100, 300):
        for won, tied in ((0.4, 0.2), (0.7, 0.1)):
            yield "win rate", f"won {won:.0%}, tied {tied:.0%}", n, share(win_rate_held, runs, n, won, tied)
    for count in (10, 30):
        held = share(win_rate_held, runs, groups_of(count, True), 0.6, 0)
        yield "win rate by group", f"won 60%, {SHAPE[True]}", f"{count} groups", held
    for name, chance in CONFIDENT.items():
        for n in (100, 300, 1000):
            yield "calibration, root mean square", name, n, share(calibration_held, runs, n, chance)
            yield "confidence less share right", name, n, share(confidence_gap_held, runs, n, chance)
            yield "error of the surer half", name, n, share(risk_held, runs, n, chance)


def counts_differ(rng, n, gain) -> bool:
    """Whether McNemar's test finds a difference where 10 % differ."""
    return mcnemar_midp(*rng.multinomial(n, [(0.1 + gain) / 2, (0.1 - gain) / 2, 0.9])[:2]) < 0.05


def found(values, groups=None) -> bool:
    return compare(np.full(len(values), 0.5), 0.5 + values / 2, groups=groups).verdict != "no detectable difference"


def fields_differ(rng, n) -> bool:
    return found((rng.binomial(6, 0.05, n) - rng.binomial(6, 0.05, n)) / 6)


def groups_differ(rng, groups) -> bool:
    return found(grouped_difference(rng, groups, 0.1, 0.1, 0.3), groups)


def any_of_five(rng, corrected) -> bool:
    """Whether one of five candidates that are no better than their baseline seems to be."""
    a = (rng.random(300) < 0.7).astype(float)
    others = [np.where(rng.random(300) < 0.1, rng.random(300) < 0.7, a).astype(float) for _ in range(5)]
    seen = {str(i): compare(a, b) for i, b in enumerate(others)}
    return any(each.verdict != "no detectable difference" for each in (holm(seen) if corrected else seen).values())


def tests(runs: int):
    """(what, setting, n, share of runs that find a difference)."""
    n, few = sample_size(0.05, 0.10), max(50, runs // 5)  # a permutation takes its time
    yield "McNemar's mid-p, false alarms", "10 % differ", n, share(counts_differ, 5 * runs, n, 0.0)
    yield "McNemar's mid-p, power as planned", "10 % differ, gain 5 points", n, share(counts_differ, 5 * runs, n, 0.05)
    for size in (10, 60):
        yield "sign flips, false alarms", "5 % of six fields either way", size, share(fields_differ, few, size)
    for count in (5, 10, 30):
        for alike in (True, False):
            alarms = share(groups_differ, few, groups_of(count, alike))
            yield "sign flips of groups, false alarms", f"10 % either way, {SHAPE[alike]}", f"{count} groups", alarms
    for name, chance in CONFIDENT.items():
        what = "calibration, " + ("false alarms" if name == "calibrated" else "power")
        yield what, name, 300, share(seems_uncalibrated, few, 300, chance)
    for corrected, how in ((False, "each alone"), (True, "by Holm")):
        yield (
            f"any of five candidates, {how}, false alarms",
            "about 4 % differ",
            300,
            share(any_of_five, few, corrected),
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    runs = parser.parse_args().runs
    for title, rows in (("holds the truth", intervals(runs)), ("finds a difference", tests(runs))):
        print(f"| | setting | n | {title} |\n|---|---|---|---|")
        for what, setting, n, part in rows:
            print(f"| {what} | {setting} | {n} | {100 * part:.1f} % |", flush=True)
        print()


if __name__ == "__main__":
    main()
