"""The learner's checks: each calls the learner's function, says what is wrong and why, never stops a run."""

import copy
import math
import os
import re
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


def check_training_gib(fn: Callable) -> None:
    """`fn(frozen, bytes_per_frozen, trainable) -> GiB` of weights, gradients and Adam's two states."""
    report(grade_training_gib(fn))


def grade_training_gib(fn: Callable) -> CheckResult:
    """A trained parameter takes 16 bytes: weight, gradient and two states of Adam, each a 32-bit float."""

    def gib(frozen, width, trainable, each=16, unit=2**30):
        return (frozen * width + trainable * each) / unit

    reasons = [
        ((8_000_000_000, 2, 0), "nothing is trained, so only 8 billion weights of 2 bytes lie there"),
        ((0, 2, 8_000_000_000), "everything is trained: 16 bytes for each of 8 billion"),
        ((8_000_000_000, 2, 42_000_000), "LoRA: the frozen weights, and 16 bytes for each number of the adapter"),
        ((8_000_000_000, 0.5, 42_000_000), "QLoRA: the same adapter over weights of half a byte"),
    ]
    mistakes = [
        Mistake(
            lambda f, w, t: gib(f, w, t, unit=1e9),
            "you divided by 10^9. That is GB; a GiB is 2^30 bytes, 7 % more, and memory is told in GiB.",
        ),
        Mistake(
            lambda f, w, t: gib(f, w, f + t),
            "you gave the frozen weights a gradient and optimizer states too. They have none: that is what LoRA saves.",
        ),
        Mistake(lambda f, w, t: gib(f, w, t, 8), "you left out Adam's two states, 8 of the 16 bytes."),
        Mistake(lambda f, w, t: gib(f, w, t, 12), "you left out 4 of the 16 bytes: weight 4, gradient 4, Adam 8."),
        Mistake(
            lambda f, w, t: gib(0, w, t), "you left out the frozen weights. They are not trained, but they lie there."
        ),
        Mistake(lambda f, w, t: gib(f, w, t, unit=1), "you returned bytes. A GiB is 2^30 bytes."),
    ]
    cases = [Case(args, gib(*args), why) for args, why in reasons]
    return check("training memory", fn, cases, mistakes, tolerance=1e-4)


def check_payback_months(fn: Callable) -> None:
    """`fn(one_time_usd, calls_per_month, usd_per_call_before, usd_per_call_after, rent_usd) -> months`."""
    report(grade_payback_months(fn))


def grade_payback_months(fn: Callable) -> CheckResult:
    """One-time cost over what a month saves, after the month's rent; infinity where nothing is left."""

    def months(one_time, calls, before, after, rent):
        saving = calls * (before - after) - rent
        return one_time / saving if saving > 0 else math.inf

    reasons = [
        ((1800.0, 1_000_000, 0.0006, 0.0003, 0.0), "a million calls save 300 USD a month: 6 months for 1,800"),
        ((1800.0, 1_000_000, 0.0006, 0.0003, 100.0), "100 of those 300 USD go to the rent: 9 months"),
        ((1800.0, 100_000, 0.0006, 0.0003, 100.0), "a tenth of the calls saves 30 USD, the rent takes 100: never"),
        ((1800.0, 1_000_000, 0.0006, 0.0005, 100.0), "what the calls save, the rent takes: never"),
        ((1800.0, 1_000_000, 0.0003, 0.0006, 0.0), "the new call is dearer: never"),
        ((0.0, 1_000_000, 0.0006, 0.0003, 100.0), "nothing was spent, so it has paid back at once"),
    ]
    mistakes = [
        Mistake(
            lambda o, c, b, a, r: months(o, c, b, a, 0),
            "you left out the rent. It is due every month, whether anybody calls or not.",
        ),
        Mistake(
            lambda o, c, b, a, r: months(o + r, c, b, a, 0),
            "you paid the rent once. It is due every month, so it belongs under the line, not over it.",
        ),
        Mistake(
            lambda o, c, b, a, r: o / (c * (b - a) - r),
            "you divided without asking whether a month saves anything. A negative time is no payback.",
        ),
        Mistake(
            lambda o, c, b, a, r: months(o, c, b, a, -r),
            "you added the rent to the saving. It is a cost of the new way: subtract it.",
        ),
        Mistake(
            lambda o, c, b, a, r: months(o, c, b, a, r) * c,
            "you returned calls. Months are calls over calls a month.",
        ),
    ]
    cases = [Case(args, months(*args), why) for args, why in reasons]
    return check("payback in months", fn, cases, mistakes, tolerance=1e-6)


def check_luhn(fn: Callable) -> None:
    """`fn(digits) -> bool`: whether the last digit of a number, given as text, fits the others."""
    report(grade_luhn(fn))


def grade_luhn(fn: Callable) -> CheckResult:
    """The check digit of ISO/IEC 7812-1: from the right, every second digit counts double, and 18 counts as 9."""

    def sums(digits, doubled, whole=False):
        numbers = [int(digit) * (1 + (at % 2 == doubled)) for at, digit in enumerate(digits)]
        return sum(n if whole or n < 10 else n - 9 for n in numbers)

    def remainder(digits, **how):
        return sums(digits[::-1], 1, **how) % 10

    reasons = [
        ("4111111111111111", "a number for tests: the ones count 1 and 2 in turn, the 4 counts 8, the sum is 30"),
        ("4111111111111112", "the last digit is one too large, so the sum is 31"),
        ("79927398713", "every second digit from the right is doubled: 1, 8, 3, 2, 9, 7; doubled 1 is 2, 8 is 16 or 7"),
        ("79927398710", "only one last digit in ten fits, and here it is 3"),
        ("378282246310005", "15 digits: counted from the left the wrong ones would be doubled"),
        ("4242424242424224", "two neighbours changed places, which the doubling notices"),
        ("195933", "an order number may pass by chance, one in ten does: length and first digits must fit as well"),
        ("195932", "and nine in ten do not"),
    ]
    mistakes = [
        Mistake(lambda d: remainder(d), "you return the rest of the division. Say whether it is 0."),
        Mistake(
            lambda d: remainder(d, whole=True) == 0,
            "you add a doubled digit as it is. Above 9, take its digits' sum: 16 counts 1 + 6, which is 16 - 9.",
        ),
        Mistake(
            lambda d: sums(d, 0) % 10 == 0,
            "you double every second digit from the left. Count from the right, where the check digit stands: "
            "numbers have different lengths.",
        ),
        Mistake(
            lambda d: sums(d[::-1], 0) % 10 == 0,
            "you double the last digit. It counts once; the one before it is doubled.",
        ),
        Mistake(lambda d: sum(map(int, d)) % 10 == 0, "you double no digit. A plain sum misses a swap of two."),
    ]
    return check("Luhn", fn, [Case((digits,), remainder(digits) == 0, why) for digits, why in reasons], mistakes)


def check_is_leak(fn: Callable) -> None:
    """`fn(train_text, test_text) -> bool`: at least half of the test's five-word runs stand in the training text."""
    report(grade_is_leak(fn))


def grade_is_leak(fn: Callable) -> CheckResult:
    """Words are `re.findall(r"\\w+", text.lower())`; a test text of fewer than five words is no leak."""

    def words(text):
        return re.findall(r"\w+", text.lower())

    def runs(split):
        return {tuple(split[at : at + 5]) for at in range(len(split) - 4)}

    def share(train, test, of, split=words):
        a, b = runs(split(train)), runs(split(test))
        whole = len({"train": a, "test": b, "both": a | b}[of])
        return len(a & b) / whole if whole else 0.0

    def right(train, test):
        return share(train, test, "test") >= 0.5

    def by_words(train, test):
        a, b = set(words(train)), set(words(test))
        return len(a & b) >= 0.5 * len(b)

    ticket = "The kettle from order 195925 leaks at the spout. Please send me a new one this week."
    thread = (
        f"Forwarded by the night team, who could not find the case in the system. On Monday he wrote: {ticket} "
        "Since then nobody has called him, and he asks for the third time when he may expect a reply from us."
    )
    other = "The sofa never came. Please send me a new one this week."
    reasons = [
        ((ticket, ticket), "the same text is a leak"),
        ((ticket.upper().replace(".", " !"), ticket), "capitals and punctuation do not make another ticket"),
        ((ticket.replace("leaks", "drips"), ticket), "one changed word breaks five of thirteen runs; eight are left"),
        ((ticket.replace("week", "month"), ticket), "at the end it breaks only one"),
        (("a b c d e f g h i j k l m n", "a b c d e f g h i X k l m n"), "five of ten runs are half: enough"),
        ((thread, ticket), "a long thread holds the whole ticket: count the runs of the test text, not of both"),
        ((ticket, thread), "the other way round the ticket is a small part of the test text"),
        ((other, ticket), "tickets share a closing sentence: four of thirteen runs are fewer than half"),
        ((" ".join(reversed(ticket.split())), ticket), "the same words in another order tell another story"),
        (("Where is it? Thanks.", "Thanks."), "fewer than five words are found everywhere: no leak"),
    ]
    mistakes = [
        Mistake(lambda a, b: a == b, "you compare the whole texts. A leak seldom comes letter for letter."),
        Mistake(lambda a, b: b.lower() in a.lower(), "you look for the whole test text. One changed word hides it."),
        Mistake(lambda a, b: words(a) == words(b), "you compare all words. One changed word hides a leak."),
        Mistake(lambda a, b: " ".join(words(b)) in " ".join(words(a)), "you look for all words in one run."),
        Mistake(by_words, "you count single words. Tickets on one matter share most; their order tells them apart."),
        Mistake(lambda a, b: share(a, b, "both") >= 0.5, "you divide by the runs of both texts; length hides a leak."),
        Mistake(
            lambda a, b: share(a, b, "train") >= 0.5,
            "you divide by the runs of the training text. The question is how much of the test text is known.",
        ),
        Mistake(
            lambda a, b: share(a, b, "test", str.split) >= 0.5, "you leave capitals and punctuation in the words."
        ),
        Mistake(lambda a, b: share(a, b, "test") > 0.5, "half is enough: use >= 0.5."),
        Mistake(lambda a, b: share(a, b, "test") > 0, "one shared run is enough for you. Tickets share closing words."),
        Mistake(lambda a, b: share(a, b, "test"), "you return the share. Say whether it is at least 0.5."),
    ]
    return check("leak", fn, [Case(args, right(*args), why) for args, why in reasons], mistakes)


def check_rows_needed(fn: Callable) -> None:
    """`fn(target, rows, score, per_doubling) -> float`: rows for `target`, from a score and what a doubling buys."""
    report(grade_rows_needed(fn))


def grade_rows_needed(fn: Callable) -> CheckResult:
    """rows * 2 ** (points missing / points a doubling buys); inf when a doubling buys nothing; rows when reached."""

    def doubled(target, rows, score, per_doubling, base=2.0):
        return rows * base ** ((target - score) / per_doubling)

    def right(target, rows, score, per_doubling):
        if target <= score:
            return float(rows)
        return doubled(target, rows, score, per_doubling) if per_doubling > 0 else math.inf

    reasons = [
        ((0.70, 500, 0.60, 0.05), "10 points are two doublings of 5: 500, 1,000, 2,000"),
        ((0.60, 500, 0.60, 0.05), "the target is reached: no row more"),
        ((0.62, 1000, 0.60, 0.04), "half a doubling is a factor of 1.41, not of 1.5"),
        ((0.50, 500, 0.60, 0.05), "the target lies below the score: keep the rows you have"),
        ((0.70, 500, 0.60, 0.0), "a doubling buys nothing, so no number of rows is enough"),
        ((0.70, 500, 0.60, -0.01), "each doubling costs a point, so no number of rows is enough"),
        ((0.90, 250, 0.60, 0.03), "ten doublings: a factor of 1,024"),
    ]
    mistakes = [
        Mistake(
            lambda t, r, s, d: r * (1 + (t - s) / d) if d > 0 and t > s else right(t, r, s, d),
            "you add the first number of rows again for each step. Each step doubles all rows so far.",
        ),
        Mistake(
            lambda t, r, s, d: r * 2 * (t - s) / d if d > 0 and t > s else right(t, r, s, d),
            "you multiply by two for each step. Doubling three times is 2 ** 3, not 2 * 3.",
        ),
        Mistake(
            lambda t, r, s, d: doubled(t, r, s, d, base=math.e) if d > 0 and t > s else right(t, r, s, d),
            "you took powers of e. The slope is for a doubling: powers of 2.",
        ),
        Mistake(lambda t, r, s, d: right(t, r, s, d) - r, "you returned how many more. Return how many in all."),
        Mistake(
            lambda t, r, s, d: r * 2.0 ** math.ceil((t - s) / d) if d > 0 and t > s else right(t, r, s, d),
            "you rounded the doublings up. Half a doubling is allowed.",
        ),
        Mistake(doubled, "you did not ask first whether the target is reached, and whether a doubling buys anything."),
    ]
    return check("rows needed", fn, [Case(args, right(*args), why) for args, why in reasons], mistakes, 1e-6)


def check_relative_change(fn: Callable) -> None:
    """`fn(before, after) -> float`: the length of the change over the length of what was there (Frobenius norms)."""
    report(grade_relative_change(fn))


def grade_relative_change(fn: Callable) -> CheckResult:
    """Root of the summed squares of all differences, over the same of `before`; both are lists of rows."""

    def norm(rows):
        return math.sqrt(sum(value**2 for row in rows for value in row))

    def difference(before, after):
        return [[b - a for a, b in zip(x, y, strict=True)] for x, y in zip(before, after, strict=True)]

    def right(before, after):
        return norm(difference(before, after)) / norm(before)

    start = [[3.0, 0.0], [0.0, 4.0]]
    reasons = [
        ((start, start), "nothing has changed"),
        ((start, [[6.0, 0.0], [0.0, 8.0]]), "every number doubled: the change is as long as the matrix was"),
        ((start, [[3.0, 0.0], [0.0, -4.0]]), "one sign has turned: 8 over 5"),
        (([[1.0, 1.0]], [[1.1, 0.9]]), "changes up and down do not cancel out: squares are added"),
    ]
    mistakes = [
        Mistake(
            lambda b, a: sum(map(sum, difference(b, a))) / norm(b),
            "you added the differences, and those up and down cancel out. Square them first.",
        ),
        Mistake(lambda b, a: norm(difference(b, a)), "you did not divide by the length of `before`."),
        Mistake(
            lambda b, a: (norm(a) - norm(b)) / norm(b),
            "you took the difference of two lengths. A matrix can change a lot and stay as long as it was.",
        ),
        Mistake(lambda b, a: right(b, a) ** 2, "the square roots are missing."),
    ]
    return check("relative change", fn, [Case(args, right(*args), why) for args, why in reasons], mistakes, 1e-9)


def check_recall_at_k(fn: Callable) -> None:
    """`fn(found, wanted, k) -> float`: share of the wanted documents among the first k found, over the questions."""
    report(grade_recall_at_k(fn))


def grade_recall_at_k(fn: Callable) -> CheckResult:
    """The mean over the questions that want something; `found` and `wanted` hold a list of ids for each question."""

    def shares(found, wanted, share):
        values = [share(ids, need) for ids, need in zip(found, wanted, strict=True) if need]
        return sum(values) / len(values)

    def right(found, wanted, k):
        return shares(found, wanted, lambda ids, need: sum(one in ids[:k] for one in need) / len(need))

    found = [["a", "b", "c"], ["d", "e", "f"], ["g", "h", "i"]]
    reasons = [
        ((found, [["b"], ["d"], ["x"]], 2), "two of three questions find what they want among their first two"),
        ((found, [["b"], ["d"], ["x"]], 1), "with k = 1 only the second question does"),
        ((found, [["a", "c"], ["e", "z"], ["g", "h"]], 3), "1, 1/2 and 1: the share of what each question wants"),
        ((found, [["a"], [], ["x"]], 3), "a question that no document answers is left out: 1 of 2"),
    ]
    mistakes = [
        Mistake(lambda f, w, k: right(f, w, len(f[0])), "you look at all hits. Only the first k reach the model."),
        Mistake(
            lambda f, w, k: shares(f, w, lambda ids, need: float(any(one in ids[:k] for one in need))),
            "any of the wanted documents is enough for you. A question that wants two is half served with one.",
        ),
        Mistake(
            lambda f, w, k: right(f, w, k) * sum(map(bool, w)) / len(w),
            "you count questions that need nothing as failures. There is nothing to find for them.",
        ),
        Mistake(
            lambda f, w, k: shares(f, w, lambda ids, need: sum(one in ids[:k] for one in need) / k),
            "you divide by k. That is precision: how much of what was found is wanted.",
        ),
    ]
    return check("recall at k", fn, [Case(args, right(*args), why) for args, why in reasons], mistakes, 1e-9)


def check_hallucination_rate(fn: Callable) -> None:
    """`fn(answers, references) -> float`: of the questions whose answer nobody told, the share that got one."""
    report(grade_hallucination_rate(fn))


def grade_hallucination_rate(fn: Callable) -> CheckResult:
    """A question counts where the reference is "I do not know."; any other answer to it is made up."""
    unknown = "I do not know."

    def wrong(answers, references):
        return sum(a != r for a, r in zip(answers, references, strict=True) if r == unknown)

    def right(answers, references):
        return wrong(answers, references) / references.count(unknown)

    reasons = [
        ((["red", unknown], [unknown, unknown]), "nobody told either; one of the two got an answer"),
        ((["red", "7", unknown], ["red", "8", unknown]), "the wrong 7 is an error; what nobody told was admitted"),
        ((["red", "7", "Mia", "Leo"], ["red", unknown, unknown, unknown]), "all three got an answer"),
        (([unknown, unknown, "7", unknown], ["red", unknown, unknown, unknown]), "one of three; the first was told"),
    ]
    mistakes = [
        Mistake(lambda a, r: 1 - right(a, r), "you return how often the model admits that it does not know."),
        Mistake(lambda a, r: wrong(a, r) / len(r), "you divide by all questions. Only those that nobody told count."),
        Mistake(
            lambda a, r: sum(x != y for x, y in zip(a, r, strict=True)) / len(r),
            "you count all wrong answers. A wrong answer to a question that was told is an error of another kind.",
        ),
        Mistake(
            lambda a, r: sum(x != unknown for x in a) / len(a),
            "you count every answer but \"I do not know.\", also where there was one to give.",
        ),
        Mistake(wrong, "you return the number, not the share."),
    ]
    return check("hallucination rate", fn, [Case(args, right(*args), why) for args, why in reasons], mistakes, 1e-9)


def check_dpo_loss(fn: Callable) -> None:
    """`fn(chosen, rejected, chosen_0, rejected_0, beta) -> float`: the DPO loss of one pair from log-probabilities."""
    report(grade_dpo_loss(fn))


def grade_dpo_loss(fn: Callable) -> CheckResult:
    """-log sigmoid(beta * ((chosen - chosen_0) - (rejected - rejected_0))), Rafailov et al. 2023, arXiv 2305.18290."""

    def loss(gained):
        return math.log1p(math.exp(-gained))

    def right(c, r, c0, r0, beta):
        return loss(beta * ((c - c0) - (r - r0)))

    reasons = [
        ((-10.0, -12.0, -10.0, -12.0, 0.1), "nothing has moved yet: a coin toss, ln 2, however probable the two are"),
        ((-8.0, -12.0, -10.0, -12.0, 0.1), "the chosen draft gained 2 nats on the rejected one: less than ln 2"),
        ((-10.0, -14.0, -10.0, -12.0, 0.1), "the rejected draft lost 2 nats: as good as a gain of the chosen one"),
        ((-15.0, -22.0, -10.0, -12.0, 0.1), "both fell, the rejected one by more: still less than ln 2"),
        ((-12.0, -11.0, -10.0, -12.0, 0.5), "the wrong one gained, and a larger beta makes that dearer"),
    ]
    mistakes = [
        Mistake(
            lambda c, r, c0, r0, b: loss(b * (c - r)),
            "you left the frozen model out. A draft that was probable before would then count as learnt.",
        ),
        Mistake(
            lambda c, r, c0, r0, b: loss(-b * ((c - c0) - (r - r0))),
            "the sign is turned: this loss falls when the rejected draft gains.",
        ),
        Mistake(
            lambda c, r, c0, r0, b: -right(c, r, c0, r0, b),
            "you returned log sigmoid. The loss is minus that, and never below 0.",
        ),
        Mistake(lambda c, r, c0, r0, b: loss((c - c0) - (r - r0)), "you left beta out."),
        Mistake(
            lambda c, r, c0, r0, b: b * ((c - c0) - (r - r0)),
            "you stopped at the margin. The loss is minus the logarithm of its sigmoid.",
        ),
        Mistake(
            lambda c, r, c0, r0, b: 1 / (1 + math.exp(-b * ((c - c0) - (r - r0)))),
            "you stopped at the sigmoid. The loss is minus its logarithm.",
        ),
        Mistake(
            lambda c, r, c0, r0, b: loss(b * (c - c0)),
            "you look at the chosen draft only. What the rejected one loses counts as much.",
        ),
    ]
    return check("DPO loss", fn, [Case(args, right(*args), why) for args, why in reasons], mistakes, 1e-6)
