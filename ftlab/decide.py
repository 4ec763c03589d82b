"""Should I fine-tune? A case goes in; five approaches come out, ranked, with reasons, first steps and what flips it.

The advice is a sum of small rules. Each looks at one thing, changes ratings from 1 (bad) to 5 (good), says why, and
names where it comes from. Nothing here replaces a measured baseline; the first step is nearly always to measure one.
"""

import html
import math
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ftlab.decide_rules import (
    APPROACHES,
    CRITERIA,
    EFFORT,
    FIRST_STEPS,
    PLAIN_AGAINST,
    PLAIN_FOR,
    RULES,
    START,
    WEIGHTS,
    Rule,
    reads_as_choice,
)
from ftlab.settings import Number, Settings, Whole, read_settings
from ftlab.tables import html_table

CHOICES = {
    "wants": ("format", "style", "vocabulary", "knowledge", "refusal", "latency", "cost", "accuracy"),
    "example_quality": ("excellent", "mixed", "poor"),
    "facts_change": ("never", "yearly", "monthly", "weekly", "daily"),
    "task_changes": ("rarely", "monthly", "weekly"),
}
BEHAVIOUR = {"format", "style", "vocabulary", "refusal"}


# ---- the case


def _each_once(wants: tuple) -> tuple:
    if not wants:
        raise ValueError("nothing is wanted")
    return tuple(dict.fromkeys(wants))


Wants = Annotated[
    tuple[Literal[*CHOICES["wants"]], ...],
    BeforeValidator(lambda wants: [wants] if isinstance(wants, str) else wants),
    AfterValidator(_each_once),
]
Amount = Annotated[Number, AfterValidator(lambda value: int(value) if value.is_integer() else value)]


def _field(words: str, **limits):
    return Field(None, description=words, **limits)


def _choice(name: str, words: str):
    return _field(f"{words}: {', '.join(CHOICES[name][:-1])} or {CHOICES[name][-1]}")


class Case(Settings):
    """What is asked of the model, and with what means; None is "not known"."""

    task: str = Field(description="in a sentence what the model has to do", pattern=r"\S")
    wants: Wants = Field(description=f"a list out of {', '.join(CHOICES['wants'])}")
    choice: bool | None = _field("whether the answer is one of a fixed list of labels: true or false", strict=True)
    examples: Whole | None = _field("the number of labelled examples that are ready for training")
    example_quality: Literal[*CHOICES["example_quality"]] | None = _choice(
        "example_quality", "how good the examples are"
    )
    facts_change: Literal[*CHOICES["facts_change"]] | None = _choice("facts_change", "how often the facts change")
    task_changes: Literal[*CHOICES["task_changes"]] | None = _choice("task_changes", "how often the task changes")
    calls_per_day: Amount | None = _field("the number of calls a day, above 0", gt=0, le=1e12)
    latency_ms: Amount | None = _field("the milliseconds that an answer may take", gt=0, le=1e9)
    prompt_accuracy: Number | None = _field(
        "the accuracy of the best prompt so far as a fraction of 1: 0.85 for 85 %", ge=0, le=1
    )
    target_accuracy: Number | None = _field("the accuracy that would do as a fraction of 1: 0.92 for 92 %", gt=0, le=1)
    maintainer: bool | None = _field("whether somebody keeps it up: true or false", strict=True)
    private_data: bool | None = _field("whether data must stay in the house: true or false", strict=True)
    budget_usd: Amount | None = _field("the budget of the first three months in USD", ge=0, le=1e12)

    @model_validator(mode="after")
    def _no_contradiction(self):
        if self.examples == 0 and self.example_quality:
            raise ValueError(f"has no examples to be {self.example_quality}; leave out example_quality")
        return self

    @property
    def knowledge(self) -> bool:
        """Facts are wanted."""
        return "knowledge" in self.wants

    @property
    def behaviour(self) -> bool:
        """A manner is wanted, which examples can teach."""
        return bool(BEHAVIOUR & set(self.wants))

    @property
    def decision(self) -> bool:
        """A right answer is wanted and nothing else: without facts to look up, a judgement."""
        return "accuracy" in self.wants and not self.knowledge and not self.behaviour

    @property
    def chooses(self) -> bool:
        """The answer is one of a fixed list: as `choice` says; where it is not known, only if the wording is plain."""
        guess = "style" not in self.wants and reads_as_choice(self.task)
        return not self.knowledge and (guess if self.choice is None else self.choice)

    @property
    def labels(self) -> bool:
        """The answer may be one of a list of labels, which a linear classifier can learn too."""
        may_be = "accuracy" in self.wants and "style" not in self.wants and not self.knowledge
        return self.chooses or (may_be and self.choice is not False)

    @property
    def thrift(self) -> bool:
        """A cheaper or faster call is wanted."""
        return bool({"latency", "cost"} & set(self.wants))

    @property
    def volume(self) -> float:
        """Calls a day, 0 when unknown."""
        return self.calls_per_day or 0

    @property
    def gap(self) -> float | None:
        """How much the best prompt lacks to the target, in fractions of 1; None when either is unknown."""
        if self.prompt_accuracy is None or self.target_accuracy is None:
            return None
        return round(self.target_accuracy - self.prompt_accuracy, 6)

    @property
    def taught(self) -> bool:
        """Examples can teach it from nothing: a choice among labels, or a manner alone."""
        return self.chooses or (self.behaviour and not self.knowledge and "accuracy" not in self.wants)

    @property
    def fails(self) -> float:
        """How surely next to nothing is right: 1 where the best prompt gets at most 10 % right, 0 from 30 % on."""
        if self.prompt_accuracy is None or (self.gap is not None and self.gap <= 0):
            return 0.0
        return min(1.0, max(0.0, round((0.3 - self.prompt_accuracy) / 0.2, 6)))

    @property
    def plenty(self) -> float:
        """How much the examples are enough: 0 up to 500, 1 from 1,000 on."""
        return min(1.0, max(0.0, math.log2(max(self.examples or 0, 1) / 500)))

    @property
    def few(self) -> bool:
        """Fewer than 50 examples are known of."""
        return (self.examples or 0) < 50

    @property
    def thin(self) -> float:
        """How much the examples are too few: 1 at 50, falling to 0 at 500 excellent or 1,000 other ones."""
        if self.few:  # below 50 another rule holds
            return 0.0
        enough = 500 if self.example_quality == "excellent" else 1000
        return max(0.0, math.log(enough / self.examples) / math.log(enough / 50)) ** 2


def read_case(path: str | Path) -> Case:
    """A case from a YAML file; RecipeError names the line, the field and what it may be."""
    return read_settings(path, Case, "case")[0]


# ---- the advice


@dataclass(frozen=True)
class Advice:
    """One approach for one case: ratings from 1 to 5, higher is better."""

    approach: str
    quality: float
    cost: float
    time: float
    upkeep: float
    update: float
    effort: str
    reason_for: str
    reason_against: str
    fit: bool  # False when a rule speaks against it altogether
    total: float  # weighted mean of the ratings

    def to_dict(self) -> dict:
        """As `ftlab decide --json` prints it."""
        kept = {name: getattr(self, name) for name in ("approach", *CRITERIA, "effort")}
        return kept | {"for": self.reason_for, "against": self.reason_against, "fit": self.fit}


@dataclass(frozen=True)
class Flip:
    """A change of one field that leads to other advice; of a number, `values` are the ends of the stretch that does."""

    field: str
    values: tuple
    advice: str
    text: str

    def __str__(self) -> str:
        return f"{self.text}: {self.advice}"


@dataclass(frozen=True, repr=False)
class Decision:
    """The ranking, one recommendation, and how firmly it stands."""

    case: Case
    ranking: tuple[Advice, ...]
    do_first: tuple[str, ...]
    flips: tuple[Flip, ...]
    assumed: tuple[str, ...]

    @property
    def recommendation(self) -> str:
        """The approach that stands first."""
        return self.ranking[0].approach

    def to_dict(self) -> dict:
        """As `ftlab decide --json` prints it."""
        return {
            "recommendation": self.recommendation,
            "ranking": [advice.to_dict() for advice in self.ranking],
            "do_first": list(self.do_first),
            "flips": list(map(str, self.flips)),
            "assumed": list(self.assumed),
        }

    @property
    def _lists(self) -> dict:
        """What follows the table, by title."""
        lists = {"do first": self.do_first, "it flips if": map(str, self.flips), "not known": self.assumed}
        return {title: each for title, items in lists.items() if (each := list(items))}

    def __repr__(self):
        best = self.ranking[0]
        lines = [f"{self.case.task}", f"-> {best.approach}: {best.reason_for}", ""]
        lines += [f"   {'':<18}" + "".join(f"{c:>9}" for c in (*CRITERIA, "together")) + "  effort"]
        for a in self.ranking:
            ratings = "".join(f"{getattr(a, c):>9.1f}" for c in (*CRITERIA, "total"))
            lines += [f"   {a.approach:<18}{ratings}  {a.effort}" + ("" if a.fit else "  (does not fit)")]
            lines += [f"     for: {a.reason_for}", f"     against: {a.reason_against}"]
        for title, items in self._lists.items():
            lines += ["", f"   {title}:", *(f"   - {item}" for item in items)]
        return "\n".join(lines)

    def _repr_html_(self):
        rows = [[a.approach if a.fit else f"{a.approach} (does not fit)", *(f"{getattr(a, c):.1f}" for c in CRITERIA),
                 f"{a.total:.1f}", a.effort, a.reason_for, a.reason_against] for a in self.ranking]  # fmt: skip
        table = html_table([("approach", *CRITERIA, "together", "effort", "for", "against"), *rows])
        parts = [f"<b>{html.escape(self.case.task)}: {self.recommendation}</b>", table]
        for title, items in self._lists.items():
            listed = "".join(f"<li>{html.escape(item)}</li>" for item in items)
            parts.append(f"{title.capitalize()}:<ul>{listed}</ul>")
        return "".join(parts)


def decide(case: Case) -> Decision:
    """Rank the five approaches for one case."""
    ranking = rank(case)
    best = ranking[0].approach
    do_first = tuple(step for applies, step in FIRST_STEPS if applies(case, best))
    skip = {"latency_ms", "private_data"} | (set() if case.knowledge else {"facts_change"})
    skip |= set() if case.fails and not case.knowledge else {"choice"}
    unknown = [name for name in Case.model_fields if getattr(case, name) is None and name not in skip]
    assumed = tuple(Case.model_fields[name].description for name in unknown)
    return Decision(case, ranking, do_first, _flips(case, best), assumed)


def rank(case: Case) -> tuple[Advice, ...]:
    """Apply every rule; approaches that fit come first, then the weighted mean of the ratings decides."""
    applied = [(rule, strength) for rule in RULES if (strength := float(rule.when(case)))]
    advices = (_advice(approach, applied) for approach in APPROACHES)
    return tuple(sorted(advices, key=lambda advice: (not advice.fit, -advice.total)))


def _advice(approach: str, applied: list[tuple[Rule, float]]) -> Advice:
    """The sum of all rules for one approach; its reasons are those that weigh most."""
    ratings, fit = dict(START[approach]), True
    pro, contra = [(0, PLAIN_FOR[approach])], [(0, PLAIN_AGAINST[approach])]
    for rule, strength in applied:
        changes = rule.changes.get(approach, {})
        for criterion, points in changes.items():
            ratings[criterion] += strength * points
        weight = strength * sum(WEIGHTS[c] * points for c, points in changes.items())
        if approach in rule.rules_out and strength == 1:
            fit, weight = False, weight - 10
        (pro if weight > 0 else contra).append((weight, rule.reason))
    ratings = {criterion: min(5.0, max(1.0, value)) for criterion, value in ratings.items()}
    total = sum(WEIGHTS[c] * ratings[c] for c in CRITERIA) / sum(WEIGHTS.values())
    rounded = {criterion: round(value, 1) for criterion, value in ratings.items()}
    reasons = max(pro, key=itemgetter(0))[1], min(contra, key=itemgetter(0))[1]
    return Advice(approach, **rounded, effort=EFFORT[approach], reason_for=reasons[0], reason_against=reasons[1],
                  fit=fit, total=total)  # fmt: skip


# ---- what would change it

NUMBERS = {  # field: parts of 1 in which its border is searched, lowest and highest number of them
    "examples": (1, 0, 10**6), "calls_per_day": (1, 1, 10**8), "latency_ms": (1, 1, 10**6),
    "prompt_accuracy": (100, 0, 100), "target_accuracy": (100, 1, 100), "budget_usd": (1, 0, 10**7),
}  # fmt: skip


def _flips(case: Case, recommendation: str) -> tuple[Flip, ...]:
    """Each change of one field alone that leads to another recommendation."""
    flips = []
    for name in Case.model_fields:
        if name in NUMBERS:
            flips += _number_flips(case, name, recommendation)
        elif name not in ("task", "wants") and (name != "example_quality" or case.examples):
            flips += _choice_flips(case, name, recommendation)
    aims = {"knowledge": "no facts were wanted" if case.knowledge else "facts were wanted too"}
    aims |= {} if "cost" in case.wants else {"cost": "a cheaper call were the aim"}
    for want, text in aims.items():
        wants = tuple(each for each in case.wants if each != want) if want in case.wants else (*case.wants, want)
        if wants and (other := _recommend(case, "wants", wants)) != recommendation:
            flips.append(Flip("wants", (wants,), other, text))
    return tuple(flips)


def _recommend(case: Case, name: str, value) -> str:
    return rank(case.model_copy(update={name: value}))[0].approach


def _choice_flips(case: Case, name: str, recommendation: str) -> list[Flip]:
    """The values of a choice that change the recommendation, those with the same advice together."""
    now, flips = getattr(case, name), {}
    for value in CHOICES.get(name, (True, False)):
        if value != now and (other := _recommend(case, name, value)) != recommendation:
            flips.setdefault(other, []).append(value)
    texts = {other: " or ".join(_shown(name, value) for value in values) for other, values in flips.items()}
    return [Flip(name, tuple(flips[other]), other, _change(name, text, now)) for other, text in texts.items()]


def _number_flips(case: Case, name: str, recommendation: str) -> list[Flip]:
    """The nearest stretches below and above what the number is now; all of them where it is not known."""
    now = getattr(case, name)
    found = [stretch for stretch in _stretches(case, name) if stretch[2] != recommendation]
    if now is not None:
        found = [each for each in found if each[0] > now][:1] + [each for each in found if each[1] < now][-1:]
    return [Flip(name, (low, high), other, _change(name, _span(name, low, high), now)) for low, high, other in found]


def _change(name: str, text: str, now) -> str:
    return f"{name} were {text} ({'not known' if now is None else f'now {_shown(name, now)}'})"


def _span(name: str, low: float, high: float) -> str:
    parts, least, most = NUMBERS[name]
    first, last = _shown(name, low), _shown(name, high)
    if low * parts <= least:
        return "known" if high * parts >= most else first if low == high else f"at most {last}"
    return f"at least {first}" if high * parts >= most else first if low == high else f"between {first} and {last}"


def _shown(name: str, value) -> str:
    if isinstance(value, bool | str):
        return {True: "yes", False: "no"}.get(value, value)
    return f"{100 * value:.4g} %" if name.endswith("accuracy") else f"{value:,.15g}"


def _stretches(case: Case, name: str) -> list[tuple]:
    """(lowest value, highest value, recommendation) of each stretch of a number with one recommendation."""
    parts, least, most = NUMBERS[name]

    def value(at: int) -> float:
        return at if parts == 1 else at / parts

    @cache
    def advised(at: int) -> str:
        return _recommend(case, name, value(at))

    powers = (round(1.3**k) for k in range(100))
    grid = range(least, most + 1) if most == 100 else sorted({least, most, *(at for at in powers if least < at < most)})
    starts, last = [least], least
    for at in grid:
        while advised(at) != advised(last):
            before, last = last, at  # a border lies between them: halve
            while last - before > 1:
                middle = (before + last) // 2
                before, last = (middle, last) if advised(middle) == advised(before) else (before, middle)
            starts.append(last)
        last = at
    ends = [*(start - 1 for start in starts[1:]), most]
    return [(value(start), value(end), advised(start)) for start, end in zip(starts, ends, strict=True)]
