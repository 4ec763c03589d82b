"""Has the traffic changed, or the model's answers? Three signals a month, and alarms whose false-alarm rate is known.

Each month is compared with a reference period of the same service: inputs and confidences by a rank test, reviewed
answers by Fisher's exact test. The level of each test is the yearly one divided by the number of tests in a year, so
that the chance of any false alarm in a year is at most that (Bonferroni), if cases are independent.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from scipy.stats import fisher_exact, mannwhitneyu

from ftlab.errors import DataError
from ftlab.tables import html_table

SIGNALS = {"inputs": "strangeness", "confidence": "confidences", "accuracy": "right"}  # where a period holds each


@dataclass(frozen=True)
class Period:
    """What is known of the cases of one period; None where a signal is not watched.

    `strangeness`: a number a case, higher where the input is less like the training data. `confidences`: one a case;
    a missing one (None or NaN, as where the server failed) counts as 0. `right`: 1 or 0 for each case that was reviewed
    whatever its route: those that doubt sent to a person are harder.
    """

    strangeness: Sequence[float] | None = None
    confidences: Sequence[float | None] | None = None
    right: Sequence[float] | None = None


@dataclass(frozen=True, repr=False)
class Watch:
    """One month against the reference: the p-value of each signal, and those that raise the alarm."""

    month: str | int
    p_values: dict[str, float]
    seen: dict[str, tuple[float, float]]  # mean of the reference, mean of the month
    level: float
    notes: dict[str, str] = field(default_factory=dict)  # by signal: not watched, or how many were missing

    @property
    def alarms(self) -> tuple[str, ...]:
        """The signals below the level."""
        return tuple(name for name, p in self.p_values.items() if p < self.level)

    def _cells(self) -> list[str]:
        cells = {name: f"{before:.3g} -> {now:.3g} (p {self.p_values[name]:.2g})"
                 for name, (before, now) in self.seen.items()}  # fmt: skip
        return [", ".join(filter(None, (cells.get(name), self.notes.get(name)))) for name in SIGNALS]

    def __repr__(self):
        told = "; ".join(f"{name} {cell}" for name, cell in zip(SIGNALS, self._cells(), strict=True))
        return f"month {self.month}: {', '.join(self.alarms).upper() or 'no alarm'}; {told}"

    def _repr_html_(self):
        return html_table([("month", *SIGNALS, "alarm"), (self.month, *self._cells(), ", ".join(self.alarms) or "-")])


def strangeness(known: Sequence[str]) -> Callable[[Sequence[str]], np.ndarray]:
    """A function that tells how unlike the `known` texts others are: the share of a text's words that these never use.

    Words are runs of letters; numbers say nothing. Likeness to the nearest known text (TF-IDF) was tried on
    support tickets and did not see another shop.
    """
    if not known:
        raise DataError("give the texts that the model was trained on, at least one")
    vocabulary = set().union(*map(_words, known))

    def measure(texts: Sequence[str]) -> np.ndarray:
        return np.array([len(found - vocabulary) / max(1, len(found)) for found in map(_words, texts)])

    return measure


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]+", text.lower()))


def watch_month(reference: Period, month: Period, name: str | int = "", level: float = 0.05 / 36) -> Watch:
    """Compare a month with the reference; an alarm is for stranger inputs, less confidence, or less that is right.

    `level` of each test: 0.05 / 36 allows one false alarm in twenty years with three signals a month. A signal that the
    reference or the month lacks is not watched, and the result says so.
    """
    tests = (partial(_rank_test, alternative="less"), partial(_rank_test, alternative="greater"), _fisher)
    p_values, seen, notes = {}, {}, {}
    for signal, test in zip(SIGNALS, tests, strict=True):
        a, b = _numbers(reference, signal, "the reference"), _numbers(month, signal, f"month {name}")
        if a is None or b is None or not len(b):
            notes[signal] = "not watched"
            continue
        if not len(a):
            raise DataError(f"the reference: {SIGNALS[signal]} is empty: give that of a period, or leave it out")
        if missing := int(np.isnan(b).sum()):
            notes[signal] = f"{missing} of {len(b)} missing, counted as 0"
        a, b = np.nan_to_num(a), np.nan_to_num(b)
        p_values[signal], seen[signal] = test(a, b), (float(a.mean()), float(b.mean()))
    if not seen:
        raise DataError(f"month {name}: nothing to compare; give at least one of {', '.join(SIGNALS.values())}")
    return Watch(name, p_values, seen, level, notes)


def _numbers(period: Period, signal: str, of: str) -> np.ndarray | None:
    """The numbers of a signal, NaN where a confidence is missing; DataError for another that is no number."""
    what, values = SIGNALS[signal], getattr(period, SIGNALS[signal])
    if values is None:
        return None
    wanted = "1 or 0 for each case that was reviewed, no other" if signal == "accuracy" else "a number for each case"
    try:
        numbers = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise DataError(f"{of}: {what}: {error}: give {wanted}") from error
    good = {"inputs": np.isfinite(numbers), "confidence": ~np.isinf(numbers), "accuracy": np.isin(numbers, (0, 1))}
    if wrong := np.flatnonzero(~good[signal]).tolist():
        raise DataError(f"{of}: {what}[{wrong[0]}] is {numbers[wrong[0]]:g}: give {wanted}")
    return numbers


def false_alarms(
    cases: Period,
    reference_size: int,
    month_size: int,
    reviewed: int,
    months: int = 12,
    level: float = 0.05 / 36,
    years: int = 300,
    groups: Sequence | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """How often a year without any shift raises an alarm: the share of simulated years, by signal, and for "any".

    Reference and months are drawn, with replacement, from the same cases. With `groups` (one name a case) whole groups
    are drawn one after the other, as when one event makes many customers write: cases are then not independent.
    """
    sizes = {len(values) for values in (*vars(cases).values(), groups) if values is not None}
    if len(sizes) != 1 or 0 in sizes:
        raise DataError("cases: give each signal that is watched, and groups, once a case, and at least one case")
    dice, (size,), members = np.random.default_rng(seed), sizes, None
    if groups is not None:
        members = [np.flatnonzero(np.asarray(groups) == name) for name in dict.fromkeys(groups)]
    years_with = dict.fromkeys((*SIGNALS, "any"), 0)
    for _ in range(years):
        reference, raised = _taken(cases, _drawn(dice, size, reference_size, members)), set()
        for _ in range(months):
            month = _taken(cases, _drawn(dice, size, month_size, members))
            month = Period(month.strangeness, month.confidences, month.right and month.right[:reviewed])
            raised |= set(watch_month(reference, month, level=level).alarms)
        for name in raised | ({"any"} if raised else set()):
            years_with[name] += 1
    return {name: count / years for name, count in years_with.items()}


def _drawn(dice, size: int, wanted: int, members) -> np.ndarray:
    """Numbers of so many cases; of whole groups, cut at the wanted number."""
    if members is None:
        return dice.integers(0, size, wanted)
    found = np.empty(0, dtype=int)
    while len(found) < wanted:
        found = np.concatenate([found, members[dice.integers(0, len(members))]])
    return found[:wanted]


def _taken(cases: Period, places: np.ndarray) -> Period:
    return Period(
        **{name: None if values is None else [values[i] for i in places] for name, values in vars(cases).items()}
    )


def _rank_test(a, b, alternative: str) -> float:
    return float(mannwhitneyu(a, b, alternative=alternative).pvalue)


def _fisher(a, b) -> float:
    """One-sided: the month has fewer that are right."""
    table = [[a.sum(), len(a) - a.sum()], [b.sum(), len(b) - b.sum()]]
    return float(fisher_exact(np.array(table, dtype=int), alternative="greater").pvalue)
