"""The learner's checks: each calls the learner's function, says what is wrong and why, never stops a run."""

import copy
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ftlab.errors import FtlabError

STRICT = "FTLAB_STRICT_EXERCISES"  # the build of the solutions sets it to 1: there, a failing check raises


class ExerciseFailed(FtlabError):
    """A check that did not pass while FTLAB_STRICT_EXERCISES=1."""


@dataclass(frozen=True)
class Case:
    """One call of the learner's function: arguments, the right answer and the reason for it."""

    args: tuple
    expected: object
    why: str


@dataclass(frozen=True)
class Mistake:
    """A known wrong answer: `fn` computes it, `hint` explains it."""

    fn: Callable
    hint: str


@dataclass(frozen=True)
class CheckResult:
    """What a check found; `status` is "solved", "wrong" or "not solved yet"."""

    name: str
    status: str
    message: str

    def __repr__(self) -> str:
        return f"{self.name}: {self.status}\n{self.message}"


def check(
    name: str, fn: Callable, cases: list[Case], mistakes: Sequence[Mistake] = (), tolerance: float = 0.0
) -> CheckResult:
    """Call `fn` on every case, compare floats within `tolerance` (absolute); a wrong `fn` never raises."""
    if not callable(fn):
        return _unsolved(name)
    answers, failures = [], []
    for case in cases:
        try:
            answer = _plain(fn(*copy.deepcopy(case.args)))
            answers.append(answer)
            if _is_blank(answer) and not _is_blank(case.expected):
                answer = "nothing (no return?)"
            elif _same(answer, case.expected, tolerance):
                continue
            failures.append(f"  got       {_short(answer)}\n{_expected(fn, case)}")
        except Exception as error:
            answers.append(None if isinstance(error, NotImplementedError) else error)
            failures.append(f"  raised    {type(error).__name__}: {error}\n{_expected(fn, case)}")
    if all(_is_blank(answer) for answer in answers):
        return _unsolved(name)
    if not failures:
        return CheckResult(name, "solved", f"  all {len(cases)} cases agree")
    hints = [f"  Looks as if {m.hint}" for m in mistakes if _made_by(m, answers, cases, tolerance)]
    count = f"  {len(cases) - len(failures)} of {len(cases)} cases agree; the first that does not:"
    return CheckResult(name, "wrong", "\n".join([count, *failures[:1], *hints[:1]]))


def report(result: CheckResult) -> None:
    """Print a result; raise `ExerciseFailed` only where FTLAB_STRICT_EXERCISES=1 and it is not solved."""
    if result.status != "solved" and os.environ.get(STRICT) == "1":
        remedy = "The solution in notebooks/src does not pass its own check: correct it there."
        raise ExerciseFailed(f"{result!r}\n  {remedy}")
    print(result)


def _unsolved(name: str) -> CheckResult:
    message = "  Write your code in the cell above, then run both cells again. The rest runs without it."
    return CheckResult(name, "not solved yet", message)


def _is_blank(answer) -> bool:
    return answer is None or answer is Ellipsis or answer is NotImplemented


def _plain(value):
    """Arrays, tensors and tuples as nested lists, so that only the values are compared."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _same(a, b, tolerance: float) -> bool:
    a, b = _plain(a), _plain(b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_same(x, y, tolerance) for x, y in zip(a, b, strict=True))
    numbers = (int, float)
    if isinstance(a, numbers) and isinstance(b, numbers):
        return math.isclose(a, b, rel_tol=0, abs_tol=tolerance + 1e-12)
    return type(a) is type(b) and a == b


def _made_by(mistake: Mistake, answers: list, cases: list[Case], tolerance: float) -> bool:
    """True when the learner's answers are this mistake's answers in every case, errors included."""
    for answer, case in zip(answers, cases, strict=True):
        try:
            if not _same(answer, mistake.fn(*copy.deepcopy(case.args)), tolerance):
                return False
        except Exception as error:
            if type(error) is not type(answer):
                return False
    return True


def _expected(fn: Callable, case: Case) -> str:
    call = f"{getattr(fn, '__name__', 'your function')}({', '.join(map(repr, case.args))})"
    return f"  expected  {_short(case.expected)}\n  for       {call}\n  because   {case.why}"


def _short(value) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, (list, tuple)) and any(isinstance(item, float) for item in value):
        return "(" + ", ".join(map(_short, value)) + ")"
    return repr(value)


# ---- the checks -------------------------------------------------------------------------------------------


def check_wilson(fn: Callable) -> None:
    """`fn(successes, n) -> (low, high)`: the 95 % Wilson interval of a rate, as fractions of 1."""
    report(grade_wilson(fn))


def grade_wilson(fn: Callable) -> CheckResult:
    """Compare with statsmodels' `proportion_confint(method="wilson")`, within 0.0002."""
    from statsmodels.stats.proportion import proportion_confint

    def interval(successes, n, method="wilson", alpha=0.05):
        return tuple(map(float, proportion_confint(successes, n, alpha=alpha, method=method)))

    def plain_normal(successes, n):
        p = successes / n
        half = 1.959964 * math.sqrt(p * (1 - p) / n)
        return p - half, p + half

    reasons = [
        ((30, 50), "with 50 answers a rate of 0.60 is known to about 13 points either way"),
        ((50, 50), "no errors in 50 does not prove that there are none: the low end stays below 1"),
        ((0, 20), "none right in 20 still leaves room for a small rate: the high end stays above 0"),
        ((3, 10), "ten answers tell little, and the middle of the interval is pulled towards one half"),
        ((900, 1000), "more answers make a narrower interval"),
    ]
    mistakes = [
        Mistake(
            plain_normal,
            "you used p ± 1.96·sqrt(p(1-p)/n), the normal (Wald) interval. It has no width at 0 or n "
            "successes and leaves [0, 1]; Wilson's does neither.",
        ),
        Mistake(
            lambda k, n: interval(k, n, "normal"),
            "you used the normal (Wald) interval, cut at 0 and 1. It has no width at 0 or n "
            "successes; Wilson's does.",
        ),
        Mistake(
            lambda k, n: interval(k, n, alpha=0.10),
            "you used z = 1.645, a 90 % interval. For 95 %, z = 1.96.",
        ),
        Mistake(
            lambda k, n: tuple(100 * end for end in interval(k, n)),
            "you returned percent. Rates here are fractions of 1.",
        ),
        Mistake(
            lambda k, n: interval(k, n)[::-1],
            "you returned (high, low). The order is (low, high).",
        ),
    ]
    cases = [Case(args, interval(*args), why) for args, why in reasons]
    return check("Wilson interval", fn, cases, mistakes, tolerance=2e-4)


def check_field_accuracy(fn: Callable) -> None:
    """`fn(prediction: dict | None, reference: dict) -> float`: share of the reference's fields got right."""
    report(grade_field_accuracy(fn))


def grade_field_accuracy(fn: Callable) -> CheckResult:
    """Right: the key is there and its value equals the reference's; `None` is an answer that is no JSON."""
    reference = {"queue": "billing", "urgency": "P2", "order_id": None, "tone": "neutral"}
    cases = [
        Case((dict(reference), reference), 1.0, "all four fields agree"),
        Case(({**reference, "urgency": "P1"}, reference), 0.75, "three of the reference's four fields agree"),
        Case((None, reference), 0.0, "an answer that is not valid JSON gets no field right"),
        Case(({}, reference), 0.0, "an empty answer gets no field right, not even the one that is null"),
        Case(({"queue": "billing", "urgency": "P2"}, reference), 0.5, "a missing field is wrong: 2 of 4"),
        Case(
            ({**reference, "urgency": "P1", "colour": "red", "mood": "sunny"}, reference),
            0.75,
            "a field that nobody asked for neither helps nor hurts: still 3 of the reference's 4",
        ),
    ]

    def share(prediction, n):
        right = sum(key in prediction and prediction[key] == value for key, value in reference.items())
        return right / n if n else 0.0

    mistakes = [
        Mistake(
            lambda p, r: sum((p or {}).get(k) == v for k, v in r.items()) / len(r),
            "you compare prediction.get(key) with the value. get answers None for a missing key, "
            "which then equals a null in the reference. Ask first whether the key is there.",
        ),
        Mistake(
            lambda p, r: sum(p.get(k) == v for k, v in r.items()) / len(r),
            "you do not treat a prediction of None (no valid JSON), and use get, which cannot tell a "
            "missing key from null.",
        ),
        Mistake(
            lambda p, r: share(p, len(r)),
            "you do not treat a prediction of None, an answer that is no JSON.",
        ),
        Mistake(
            lambda p, r: share(p or {}, len(p or {})),
            "you divide by the number of fields in the prediction. Then leaving fields out pays: "
            "divide by the number of fields in the reference.",
        ),
        Mistake(
            lambda p, r: float(p == r),
            "you score the whole answer, all or nothing. That is exact match; field accuracy is the "
            "share of fields that are right.",
        ),
        Mistake(
            lambda p, r: share(p or {}, 1),
            "you return the number of right fields, not the share of them.",
        ),
    ]
    return check("field accuracy", fn, cases, mistakes, tolerance=1e-6)


def check_response_mask(fn: Callable) -> None:
    """`fn(input_ids, response_start_ids) -> labels`: -100 up to the end of the last marker, then the ids."""
    report(grade_response_mask(fn))


def grade_response_mask(fn: Callable) -> CheckResult:
    """The marker is a run of ids; where it does not occur there is nothing to learn: all labels are -100."""

    def positions(ids, marker):
        return [i for i in range(len(ids) - len(marker) + 1) if ids[i : i + len(marker)] == marker]

    def mask(ids, end):
        return [-100] * end + ids[end:]

    def right(ids, marker):
        found = positions(ids, marker)
        return mask(ids, found[-1] + len(marker) if found else len(ids))

    def first(ids, marker):
        found = positions(ids, marker)
        return mask(ids, found[0] + len(marker) if found else len(ids))

    def keeps_marker(ids, marker):
        found = positions(ids, marker)
        return mask(ids, found[-1] if found else len(ids))

    def inverted(ids, marker):
        return [i if label == -100 else -100 for i, label in zip(ids, right(ids, marker), strict=True)]

    def last_id_only(ids, marker):
        found = positions(ids, marker[-1:])
        return mask(ids, found[-1] + 1 if found else len(ids))

    def first_id_only(ids, marker):
        found = positions(ids, marker[:1])
        return mask(ids, found[-1] + len(marker) if found else len(ids))

    reasons = [
        (([1, 5, 6, 2, 9, 11, 12, 3], [2, 9]), "prompt and marker give no loss, the answer does"),
        (([1, 2, 9, 4, 7, 2, 9, 11, 12, 3], [2, 9]), "two turns: the answer is what follows the last"),
        (([1, 2, 5, 2, 9, 11, 2, 12, 9, 3], [2, 9]), "one id of the marker alone is not the marker"),
        (([4, 8, 11, 12], [8]), "a marker may be a single id"),
        (([1, 5, 6, 7], [2, 9]), "no marker, no answer to learn from: every label is -100"),
    ]
    mistakes = [
        Mistake(
            first,
            "you stop at the first marker. With several turns that trains on the later user messages "
            "too: look for the last one.",
        ),
        Mistake(
            keeps_marker,
            "you mask up to the marker but not the marker itself. The template writes it, not the "
            "model: mask it too.",
        ),
        Mistake(
            inverted,
            "you masked the answer and left the prompt: the other way round.",
        ),
        Mistake(
            lambda ids, marker: ids,
            "nothing is masked. The model then learns to write the prompt as well.",
        ),
        Mistake(
            lambda ids, marker: [*right(ids, marker)[1:], -100],
            "you shifted the labels by one. The model shifts them itself: labels[i] belongs to input_ids[i].",
        ),
        Mistake(
            lambda ids, marker: [0 if label == -100 else label for label in right(ids, marker)],
            "you masked with 0. Token 0 would be learned; the loss leaves out -100 only.",
        ),
        Mistake(
            last_id_only,
            "you look for the last id of the marker only. It may occur in the answer too: compare the "
            "whole run of ids.",
        ),
        Mistake(
            first_id_only,
            "you look for the first id of the marker only. It may occur in the answer too: compare "
            "the whole run of ids.",
        ),
    ]
    return check("response mask", fn, [Case(args, right(*args), why) for args, why in reasons], mistakes)


def check_steps(fn: Callable) -> None:
    """`fn(rows, epochs, batch, accumulation) -> int`: how often the optimizer steps, on one device."""
    report(grade_steps(fn))


def grade_steps(fn: Callable) -> CheckResult:
    """The rule of `transformers.Trainer` 5.17: a part-filled last group of an epoch still makes a step."""

    def steps(rows, epochs, batch, accumulation):
        return math.ceil(epochs * max(math.ceil(math.ceil(rows / batch) / accumulation), 1))

    reasons = [
        ((64, 1, 8, 1), "64 rows in batches of 8 make 8 batches, and each makes a step"),
        ((64, 3, 8, 4), "8 batches, 4 to a step: 2 steps an epoch, 3 epochs"),
        ((100, 1, 8, 1), "12 full batches and one of 4 rows: the last one counts"),
        ((100, 3, 8, 4), "13 batches are 4 steps (the last of one batch), and every epoch starts afresh"),
        ((5, 2, 8, 4), "fewer rows than one step takes still make one step an epoch"),
        ((100, 0.5, 8, 1), "half of 13 steps, rounded up"),
    ]
    mistakes = [
        Mistake(
            lambda r, e, b, a: math.ceil(e * (r // (b * a))),
            "you dropped the incomplete step at the end of an epoch (floor division). The Trainer keeps it.",
        ),
        Mistake(
            lambda r, e, b, a: math.ceil(e * r / (b * a)),
            "you rounded up once over all epochs. A step never takes rows of two epochs: round up "
            "within each epoch, then multiply.",
        ),
        Mistake(
            lambda r, e, b, a: math.ceil(e * math.ceil(r / b)),
            "you counted batches. The optimizer steps once in `accumulation` batches.",
        ),
        Mistake(
            lambda r, e, b, a: math.ceil(r / (b * a)),
            "you counted one epoch only.",
        ),
        Mistake(
            lambda r, e, b, a: e * math.ceil(r / (b * a)),
            "a part of an epoch needs a last rounding up: steps are whole.",
        ),
        Mistake(
            lambda r, e, b, a: math.ceil(e * max(math.ceil(r / b) // a, 1)),
            "you dropped the last group of batches of an epoch when it is not full. The Trainer makes "
            "a step of it (older versions did not).",
        ),
    ]
    return check("optimizer steps", fn, [Case(args, steps(*args), why) for args, why in reasons], mistakes)


def check_break_even(fn: Callable) -> None:
    """`fn(one_time_usd, usd_per_call_prompted, usd_per_call_tuned) -> calls`, infinity for never."""
    report(grade_break_even(fn))


def grade_break_even(fn: Callable) -> CheckResult:
    """One-time cost over the saving per call; no saving, no pay-back."""

    def calls(one_time, prompted, tuned):
        return one_time / (prompted - tuned) if prompted > tuned else math.inf

    reasons = [
        ((1000.0, 0.002, 0.001), "each call saves a tenth of a cent, so 1,000 USD take a million calls"),
        ((180.0, 0.01, 0.004), "180 USD over 0.6 cents a call"),
        ((0.0, 0.002, 0.001), "nothing was spent, so the first call pays"),
        ((1000.0, 0.001, 0.002), "the tuned call is dearer: it never pays back"),
        ((1000.0, 0.001, 0.001), "no difference, no pay-back"),
    ]
    mistakes = [
        Mistake(
            lambda o, p, t: o / (p - t),
            "you divided without asking whether there is a saving. A negative number of calls is no pay-back, and "
            "no difference divides by zero.",
        ),
        Mistake(lambda o, p, t: o / abs(p - t) if p != t else math.inf, "you took the difference without its sign."),
        Mistake(lambda o, p, t: o / p, "you divided by the price of a prompted call, not by what a call saves."),
        Mistake(
            lambda o, p, t: o / (t - p) if t > p else math.inf,
            "you subtracted the wrong way round: saved is prompted minus tuned.",
        ),
    ]
    return check("break-even", fn, [Case(args, calls(*args), why) for args, why in reasons], mistakes, tolerance=1e-6)
