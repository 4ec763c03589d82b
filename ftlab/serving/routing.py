"""Which answers go out by themselves, which are checked, which a person writes: thresholds chosen on data.

A confidence is a number from 0 to 1 that is higher for answers that are more often right; whether it is one, the
curve shows. Nothing here assumes that 0.9 means 90 %.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import beta

from ftlab.errors import DataError
from ftlab.evaluation.statistics import Interval, present_interval, wilson
from ftlab.tables import html_table

ROUTES = ("automatic", "checked", "human")
FIRST = 2  # the search begins with so many times the answers that would prove the error if all were right


@dataclass(frozen=True)
class Thresholds:
    """At `automatic` and above an answer goes out, at `human` and above a person checks it, below a person writes it.

    `automatic` is above 1 where no threshold keeps the error that is allowed. `n` answers chose them.
    """

    automatic: float
    human: float
    n: int
    max_error: float
    alpha: float

    def route(self, confidence: float | None) -> str:
        """Where an answer goes; to a human where nothing is known of its confidence."""
        if confidence is None or not confidence >= self.human:
            return "human"
        return "automatic" if confidence >= self.automatic else "checked"


@dataclass(frozen=True, repr=False)
class RoutingReport:
    """What thresholds do to answers that were not used to choose them: share and error of each route, and the work."""

    thresholds: Thresholds
    shares: dict[str, Interval]
    errors: dict[str, Interval | None]  # None: no answer went there
    hours_per_thousand: float
    usd_per_thousand: float

    def to_dict(self) -> dict:
        """The fields as plain JSON values."""
        return asdict(self)

    def __repr__(self):
        lines = [
            f"  {route}: {self.shares[route]!r} of the answers, wrong {self.errors[route] or '-'}" for route in ROUTES
        ]
        work = f"  {self.hours_per_thousand:.1f} hours of people, {self.usd_per_thousand:,.0f} USD per 1,000 answers"
        return "\n".join([f"routed by {self.thresholds}", *lines, work])

    def _repr_html_(self):
        rows = [("route", "share of answers", "wrong"), *((r, self.shares[r], self.errors[r] or "-") for r in ROUTES)]
        work = f"{self.hours_per_thousand:.1f} hours of people, {self.usd_per_thousand:,.0f} USD per 1,000 answers"
        return html_table(rows, f"automatic from {self.thresholds.automatic:.3f}, human below "
                          f"{self.thresholds.human:.3f}", after=[work])  # fmt: skip


def answer_confidence(tokens: Sequence[str], logprobs: Sequence[float], how: str = "fields") -> float:
    """One number for an answer out of the log-probabilities of its tokens.

    "mean": the geometric mean of their probabilities; "least": the least sure token; "product": the probability of the
    whole answer; "fields": of a JSON record, the least probable value of a field (the product over its tokens), which
    leaves out braces and names that are nearly always sure. An answer that is no record takes "product" there. NaN
    where one of the log-probabilities is NaN.
    """
    if how not in ("mean", "least", "product", "fields"):
        raise DataError(f"how={how!r}: choose mean, least, product or fields")
    logprobs = [float(each) for each in logprobs]
    if not logprobs:
        return 0.0
    if any(map(math.isnan, logprobs)):  # min would pass over it
        return math.nan
    if how == "mean":
        return math.exp(sum(logprobs) / len(logprobs))
    if how == "least":
        return math.exp(min(logprobs))
    values = field_confidences(tokens, logprobs) if how == "fields" else {}
    return min(values.values()) if values else math.exp(sum(logprobs))


def field_confidences(tokens: Sequence[str], logprobs: Sequence[float]) -> dict[str, float]:
    """The probability of each field's value in a JSON record, over the tokens that hold a part of it."""
    text, ends = "".join(tokens), np.cumsum([len(token) for token in tokens])
    found = {}
    for name, start, end in _values(text):
        inside = [
            p for p, stop, token in zip(logprobs, ends, tokens, strict=True) if stop - len(token) < end and stop > start
        ]
        found[name] = math.exp(sum(inside))
    return found


def _values(text: str):
    """(name, start, end) of each top-level value of the first JSON object in a text."""
    decoder, at = json.JSONDecoder(), text.find("{") + 1
    key = re.compile(r'[\s,]*("(?:[^"\\]|\\.)*")\s*:\s*')
    while at and (match := key.match(text, at)):
        try:
            _, end = decoder.raw_decode(text, match.end())
        except ValueError:
            return
        yield json.loads(match[1]), match.end(), end
        at = end


def coverage_curve(confidences: Sequence[float], right: Sequence[float], groups: Sequence | None = None):
    """For each threshold that changes anything: the share of answers above it and the error among these (table).

    The interval of each error holds for its threshold alone, not for all at once; `groups` (one name an answer) count
    what belongs together.
    """
    import pandas as pd

    confidences, right = _pairs(confidences, right)
    rows = []
    for threshold in np.unique(confidences)[::-1]:
        above = confidences >= threshold
        wrong = present_interval(np.where(above, 1 - right, np.nan), groups)
        rows.append((float(threshold), float(above.mean()), wrong.value, wrong.low, wrong.high))
    return pd.DataFrame(rows, columns=["threshold", "coverage", "error", "low", "high"])


def choose_thresholds(
    confidences: Sequence[float],
    right: Sequence[float],
    max_error: float,
    worth_checking: float = 0.5,
    alpha: float = 0.05,
    steps: int = 20,
) -> Thresholds:
    """The thresholds that validation answers (1 right, 0 wrong) allow.

    Automatic: thresholds are tried from the strictest down, at most `steps` of them, and the search ends at the first
    whose error cannot be shown to be at most `max_error`: the exact upper bound at level 1 - alpha, one-sided. Testing
    in a fixed order needs no correction for the number of tries (Angelopoulos et al. 2021, "Learn then Test",
    arXiv:2110.01052); it holds for answers that are independent, and for traffic like these. Human: below the
    confidence from which on an answer is right with a chance of `worth_checking` (isotonic regression): there, checking
    a draft saves nobody time.
    """
    from sklearn.isotonic import IsotonicRegression

    confidences, right = _pairs(confidences, right)
    if not (0 < max_error < 1 and 0 < alpha < 1 and 0 <= worth_checking <= 1):
        raise DataError("max_error and alpha must lie between 0 and 1, worth_checking from 0 to 1")
    ordered = np.sort(confidences)[::-1]
    first = math.ceil(FIRST * math.log(alpha) / math.log1p(-max_error))
    places = np.unique(np.linspace(min(first, len(ordered)), len(ordered), steps).astype(int)) - 1
    automatic = math.inf
    for threshold in dict.fromkeys(ordered[places].tolist()):
        above = confidences >= threshold
        if _most(int((1 - right[above]).sum()), int(above.sum()), alpha) > max_error:
            break
        automatic = threshold
    seen = np.unique(confidences)
    fitted = IsotonicRegression(out_of_bounds="clip").fit(confidences, right).predict(seen)
    worth = seen[fitted >= worth_checking]
    human = float(worth.min()) if len(worth) else math.inf
    return Thresholds(automatic, min(human, automatic), len(right), max_error, alpha)


def judge_routing(
    thresholds: Thresholds,
    confidences: Sequence[float | None],
    right: Sequence[float],
    minutes_to_check: float = 1.0,
    minutes_to_write: float = 3.0,
    usd_per_hour: float = 30.0,
    usd_per_error: float = 0.0,
) -> RoutingReport:
    """Shares, errors and work on answers that did not choose the thresholds.

    A checked answer takes its check, and a wrong one the writing as well; what people touch is counted as right
    afterwards, which is an assumption. Errors of the automatic route cost `usd_per_error` each.
    """
    routes = np.array([thresholds.route(each) for each in confidences])
    wrong = 1 - np.asarray(right, dtype=float)
    if not len(routes) or len(routes) != len(wrong):
        raise DataError(f"{len(routes)} confidences and {len(wrong)} answers: give one each, and at least one")
    n = len(routes)
    count = {route: int((routes == route).sum()) for route in ROUTES}
    missed = {route: int(wrong[routes == route].sum()) for route in ROUTES}
    minutes = (count["checked"] * minutes_to_check + (missed["checked"] + count["human"]) * minutes_to_write) / n
    hours = 1000 * minutes / 60
    return RoutingReport(
        thresholds,
        {route: wilson(count[route], n) for route in ROUTES},
        {route: wilson(missed[route], count[route]) if count[route] else None for route in ROUTES},
        hours,
        hours * usd_per_hour + 1000 * missed["automatic"] / n * usd_per_error,
    )


def _most(wrong: int, n: int, alpha: float) -> float:
    """The exact upper bound of an error rate (Clopper and Pearson 1934), one-sided."""
    return 1.0 if wrong >= n else float(beta.ppf(1 - alpha, wrong + 1, n - wrong))


def _pairs(confidences, right) -> tuple[np.ndarray, np.ndarray]:
    confidences, right = np.asarray(confidences, dtype=float), np.asarray(right, dtype=float)
    if confidences.shape != right.shape or confidences.ndim != 1 or not len(right):
        raise DataError(
            f"{confidences.shape} confidences and {right.shape} answers: give one number each, at least one"
        )
    if not np.isfinite(confidences).all() or not np.isin(right, (0, 1)).all():
        raise DataError("confidences must be finite, and right must be 1 or 0: judge whole answers")
    return confidences, right
