"""A chat model as judge of pairs of answers, and how far it may be believed: measured against people's verdicts.

Every pair is asked in both orders; a judge that names the same place both times has judged the place, and the pair
counts as a tie.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ftlab.errors import DataError
from ftlab.evaluation.predictions import after_thought
from ftlab.evaluation.statistics import Interval, WinRate, basis, score_interval, wilson, win_rate

INSTRUCTION = """Two answers to the same request follow. Which one is better? Judge what they say, not their length or \
their order. Reply with one word: 1, 2 or tie.

Request:
{request}

Answer 1:
{first}

Answer 2:
{second}"""
VERDICTS = {"a": 0.0, "tie": 0.5, "b": 1.0}  # and what each counts for b
UNREAD = "unreadable"
VOTE = re.compile(r"\W*(?:answer\W+)?(1|2|tie)\b(?![\s,/&]+(?:or |and )?(?:1|2|tie)\b)", re.IGNORECASE)
FIRST, SECOND = {"1": "a", "2": "b", "tie": "tie"}, {"1": "b", "2": "a", "tie": "tie"}


@dataclass(frozen=True)
class Votes:
    """A judge's verdict on each pair ("a", "b", "tie" or "unreadable"), and the words it said in either order."""

    verdicts: tuple[str, ...]
    forth: tuple[str | None, ...]  # "1", "2", "tie" or None, with a in the first place
    back: tuple[str | None, ...]  # with b in the first place
    said: tuple[tuple[str, str], ...] = ()  # the judge's own words, forth and back

    def win_rate(self, groups: Sequence | None = None) -> WinRate:
        """How often b wins, by this judge; contrary and unreadable answers count as half."""
        for_b = [VERDICTS.get(verdict, 0.5) for verdict in self.verdicts]
        return win_rate(np.full(len(for_b), 0.5), for_b, groups)


@dataclass(frozen=True, repr=False)
class Agreement:
    """How far two columns of labels agree: their share, Cohen's kappa, and for each label of the second the share."""

    share: Interval
    kappa: Interval
    by_label: dict[str, Interval]

    def __repr__(self):
        kappa = f"kappa {self.kappa.value:.2f} [{self.kappa.low:.2f}, {self.kappa.high:.2f}]"
        each = ", ".join(f"{label} {interval} of {interval.n}" for label, interval in self.by_label.items())
        return f"agreement {self.share}, {kappa}; {each}"


@dataclass(frozen=True, repr=False)
class JudgeReport:
    """A judge against people on n pairs.

    `by_place` is the share of pairs on which it named the same place in both orders. `slope` is how much of a
    difference it sees: its share of b where people prefer b, less that where they prefer a. `bias` is how far its win
    rate lies from one half where people are divided equally. `margin`: a win rate by this judge that is no farther from
    one half than that may be its bias alone. `pairs`: how many times as many pairs it needs as people would.
    """

    n: int
    agreement: Agreement
    by_place: Interval
    unreadable: int
    slope: Interval
    bias: Interval
    margin: float
    pairs: float
    usable: bool
    verdict: str

    def to_dict(self) -> dict:
        """The fields as plain JSON values."""
        return asdict(self)

    def __repr__(self):
        lines = [f"{self.verdict} ({basis(self.n)})", repr(self.agreement)]
        lines += [f"the same place in both orders: {self.by_place}"]
        bias = [f"{100 * each:+.1f}" for each in (self.bias.value, self.bias.low, self.bias.high)]
        lines += [f"sees {self.slope} of a difference; bias {bias[0]} points [{bias[1]}, {bias[2]}]"]
        lines += [f"{self.unreadable} of {self.n} verdicts unreadable"] if self.unreadable else []
        return "\n  ".join(lines)


def ask_judge(
    endpoint,
    pairs: Sequence[dict],
    instruction: str = INSTRUCTION,
    max_new_tokens: int = 8,
    confirm: bool = False,
) -> Votes:
    """Let a model behind a `baselines.endpoint.Endpoint` judge pairs {"request", "a", "b"}, each in both orders.

    `instruction` has {request}, {first} and {second}, and asks for 1, 2 or tie. A model that thinks aloud needs more
    tokens. Without `confirm=True` nothing is sent: `Endpoint.answer` says what it would cost.
    """
    for number, pair in enumerate(pairs, 1):
        if not all(isinstance(pair.get(name), str) for name in ("request", "a", "b")):
            raise DataError(f"pair {number}: request, a and b must be texts")
    parts = re.split(r"\{(request|first|second)\}", instruction)  # a text may hold braces of its own
    if sorted(parts[1::2]) != ["first", "request", "second"]:
        raise DataError("instruction: must hold {request}, {first} and {second}, each once")

    def chat(pair, first, second):
        texts = {"request": pair["request"], "first": pair[first], "second": pair[second]}
        return [{"role": "user", "content": "".join(texts[p] if i % 2 else p for i, p in enumerate(parts))}]

    chats = [chat(pair, "a", "b") for pair in pairs] + [chat(pair, "b", "a") for pair in pairs]
    texts = endpoint.answer(chats, max_new_tokens, confirm=confirm).texts
    said = tuple(zip(texts[: len(pairs)], texts[len(pairs) :], strict=True))
    return both_orders([read_vote(text) for text, _ in said], [read_vote(text) for _, text in said], said)


def both_orders(forth: Sequence[str | None], back: Sequence[str | None], said: tuple = ()) -> Votes:
    """The votes ("1", "2", "tie" or None) on pairs with a in the first place, and with b there, as one verdict each."""
    return Votes(tuple(map(_verdict, forth, back)), tuple(forth), tuple(back), said)


def read_vote(text: str) -> str | None:
    """ "1", "2" or "tie": the first word of the answer behind a thought; None for anything else, as for "1, 2"."""
    found = VOTE.match(after_thought(text))
    return found[1].lower() if found else None


def _verdict(forth: str | None, back: str | None) -> str:
    if forth is None or back is None:
        return UNREAD
    return FIRST[forth] if FIRST[forth] == SECOND[back] else "tie"


def agreement(given: Sequence[str], wanted: Sequence[str]) -> Agreement:
    """How far labels agree with those that are wanted; people with each other, or a judge with people.

    Kappa's interval moves the share that agrees by Wilson and holds fixed what chance would agree on.
    """
    if len(given) != len(wanted) or not len(given):
        raise DataError(f"{len(given)} labels against {len(wanted)}: give one for each of the same examples")
    given, wanted = np.array(given), np.array(wanted)
    share = wilson(int((given == wanted).sum()), len(given))
    chance = sum(float((given == label).mean() * (wanted == label).mean()) for label in np.unique(wanted))
    ends = [(rate - chance) / (1 - chance) if chance < 1 else 0.0 for rate in (share.value, share.low, share.high)]
    kappa = Interval(*ends, len(given), "Wilson, chance held fixed")
    labels = sorted(np.unique(wanted), key=lambda label: -(wanted == label).sum())
    each = {str(label): score_interval((given == label)[wanted == label].astype(float)) for label in labels}
    return Agreement(share, kappa, each)


def measure_judge(votes: Votes, people: Sequence[str]) -> JudgeReport:
    """May this judge be used, and for which differences? `people` has "a", "b" or "tie" for each pair.

    Where people divide equally its win rate is one half plus `bias`, and it grows by `slope` for each point of theirs
    (Rogan and Gladen 1978, for a test that errs). So the sign of a difference can be believed where the win rate lies
    farther from one half than the bias can reach. Pairs as those here are supposed: measure anew on other tasks.
    """
    if wrong := sorted({str(each) for each in people} - VERDICTS.keys()):
        raise DataError(f"people: {wrong[0]!r} is no verdict; write a, b or tie for each pair")
    found = agreement(votes.verdicts, people)
    for_b = np.array([VERDICTS.get(verdict, 0.5) for verdict in votes.verdicts])
    people = np.array(people)
    if not ((people == "a").any() and (people == "b").any()):
        raise DataError("people: prefer only one side; give pairs on which some prefer a and some prefer b")
    at_a, at_b = score_interval(for_b[people == "a"]), score_interval(for_b[people == "b"])
    n = len(people)
    slope = _combine(at_b, at_a, n, minus=True)
    both = _combine(at_b, at_a, n, minus=False)
    bias = Interval(*((x - 1) / 2 for x in (both.value, both.low, both.high)), n, both.method)
    margin = max(abs(bias.low), abs(bias.high))
    place = sum(one == other and one in ("1", "2") for one, other in zip(votes.forth, votes.back, strict=True))
    usable = found.kappa.low > 0 and slope.low > 0 and margin < slope.value / 2
    pairs = 1 / slope.value**2 if slope.value > 0 else math.inf
    return JudgeReport(n, found, wilson(place, n), votes.verdicts.count(UNREAD), slope, bias, margin, pairs, usable,
                       _said(usable, found, slope, margin, pairs, n))  # fmt: skip


def _combine(x: Interval, y: Interval, n: int, minus: bool) -> Interval:
    """Interval of x + y or x - y of independent rates, from the intervals of both (MOVER: Zou and Donner 2008)."""
    sign = -1 if minus else 1
    y_low, y_high = (y.high, y.low) if minus else (y.low, y.high)
    value = x.value + sign * y.value
    low = value - math.hypot(x.value - x.low, y.value - y_low)
    high = value + math.hypot(x.high - x.value, y_high - y.value)
    return Interval(value, low, high, n, "MOVER")


def _said(usable, found, slope, margin, pairs, n) -> str:
    if usable:
        sees = f"it sees {100 * slope.value:.0f} % of a difference and needs {pairs:.1f} times as many pairs as people"
        return f"May be used where its win rate lies more than {100 * margin:.1f} points from one half; {sees}."
    if found.kappa.low <= 0 or slope.low <= 0:
        return f"Do not use it: on these {n} pairs it agrees with people no better than chance would."
    return f"Do not use it: its bias may reach {100 * margin:.1f} points, its signal at most {50 * slope.value:.1f}."
