"""Should I fine-tune? A case goes in; five approaches come out, ranked, with reasons, first steps and what flips it.

The advice is a sum of small rules. Each looks at one thing, changes ratings from 1 (bad) to 5 (good), says why, and
names where it comes from. "Judgement" means ours: no measurement is known that settles it. Nothing here replaces a
measured baseline; the first step is nearly always to measure one.
"""

import difflib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import yaml

from ftlab.errors import DataError

APPROACHES = ("prompt", "few_shot", "rag", "fine_tune", "rag_and_fine_tune")
CRITERIA = ("quality", "cost", "time", "upkeep", "update")
WEIGHTS = {"quality": 5.0, "cost": 1.0, "time": 0.7, "upkeep": 0.7, "update": 0.3}
CHOICES = {
    "wants": ("format", "style", "vocabulary", "knowledge", "refusal", "latency", "cost", "accuracy"),
    "example_quality": ("excellent", "mixed", "poor"),
    "facts_change": ("never", "yearly", "monthly", "daily"),
    "task_changes": ("rarely", "monthly", "weekly"),
}
BEHAVIOUR = {"format", "style", "vocabulary", "refusal", "accuracy"}
EFFORT = {
    "prompt": "hours to two days",
    "few_shot": "one to three days",
    "rag": "one to four weeks",
    "fine_tune": "two to six weeks, most of it data and evaluation",
    "rag_and_fine_tune": "one to three months",
}
START = {  # before any rule: how the approaches stand to one another
    "prompt": {"quality": 3.0, "cost": 4.0, "time": 5.0, "upkeep": 5.0, "update": 5.0},
    "few_shot": {"quality": 3.2, "cost": 3.5, "time": 5.0, "upkeep": 4.5, "update": 5.0},
    "rag": {"quality": 3.0, "cost": 3.0, "time": 3.0, "upkeep": 3.0, "update": 5.0},
    "fine_tune": {"quality": 3.0, "cost": 3.0, "time": 2.0, "upkeep": 2.0, "update": 1.0},
    "rag_and_fine_tune": {"quality": 3.2, "cost": 2.0, "time": 1.0, "upkeep": 1.0, "update": 3.0},
}
TUNED = ("fine_tune", "rag_and_fine_tune")
RETRIEVED = ("rag", "rag_and_fine_tune")
ARITHMETIC = "arithmetic; notebook 10 does it for your case"


@dataclass(frozen=True)
class Case:
    """What is asked of the model, and with what means; None is "not known"."""

    task: str
    wants: tuple[str, ...]
    examples: int | None = None  # labelled, ready for training
    example_quality: str | None = None
    facts_change: str | None = None
    task_changes: str | None = None
    calls_per_day: float | None = None
    latency_ms: float | None = None  # the most that an answer may take
    prompt_accuracy: float | None = None  # of the best prompt so far, a fraction of 1
    target_accuracy: float | None = None  # a fraction of 1
    maintainer: bool | None = None  # somebody will keep a tuned model up
    private_data: bool | None = None  # must not leave the house
    budget_usd: float | None = None  # for the first three months

    @property
    def knowledge(self) -> bool:
        """Facts are wanted."""
        return "knowledge" in self.wants

    @property
    def behaviour(self) -> bool:
        """Something is wanted that examples can teach."""
        return bool(BEHAVIOUR & set(self.wants))

    @property
    def thrift(self) -> bool:
        """A cheaper or faster call is wanted."""
        return bool({"latency", "cost"} & set(self.wants))

    @property
    def dear_calls(self) -> bool:
        """A cheaper or faster call is wanted for so many calls that it matters."""
        return self.thrift and self.volume >= 10_000

    @property
    def gap(self) -> float | None:
        """How much the best prompt lacks to the target, in fractions of 1; None when either is unknown."""
        if self.prompt_accuracy is None or self.target_accuracy is None:
            return None
        return self.target_accuracy - self.prompt_accuracy

    @property
    def volume(self) -> float:
        """Calls a day, 0 when unknown."""
        return self.calls_per_day or 0


@dataclass(frozen=True)
class Rule:
    """When it applies, what it changes, and why."""

    name: str
    when: Callable[[Case], bool]
    changes: dict  # approach -> {criterion: points}
    reason: str  # completes "because ..."
    source: str
    rules_out: tuple[str, ...] = ()  # approaches that this makes unfit


def _for(approaches, **points):
    return dict.fromkeys(approaches, points)


RULES = (
    Rule("behaviour", lambda c: c.behaviour, {"few_shot": {"quality": 0.8}, "fine_tune": {"quality": 1.5},
         "rag_and_fine_tune": {"quality": 1.0}},
         "format, style, vocabulary, refusals and narrow decisions are what examples teach",
         "Zhou et al. 2023 (LIMA); OpenAI's fine-tuning guide"),
    Rule("facts belong in the context", lambda c: c.knowledge, {"prompt": {"quality": -1}, "few_shot": {"quality": -1},
         "rag": {"quality": 1.5}, "rag_and_fine_tune": {"quality": 1.5}, "fine_tune": {"quality": -1}},
         "facts are read reliably from the context and learned unreliably by training",
         "Ovadia et al. 2023 (2312.05934); Gekhman et al. 2024 (2405.05904)"),
    Rule("only facts", lambda c: c.knowledge and not c.behaviour, _for(TUNED, quality=-1),
         "training on new facts teaches them slowly and raises hallucination",
         "Gekhman et al. 2024 (2405.05904)", rules_out=("fine_tune",)),
    Rule("no facts wanted", lambda c: not c.knowledge, _for(RETRIEVED, quality=-1, cost=-0.5),
         "no knowledge is asked for, so there is nothing to retrieve", "judgement", rules_out=RETRIEVED),
    Rule("facts and behaviour", lambda c: c.knowledge and c.behaviour and (c.gap or 0) > 0.05, {"rag": {"quality": -1}},
         "retrieval brings facts, but neither a style nor a format", "judgement; measure it"),
    Rule("facts move", lambda c: c.knowledge and c.facts_change in ("monthly", "daily"), {"rag": {"quality": 0.5},
         "fine_tune": {"quality": -1, "upkeep": -1}},
         "the facts change faster than a model can be retrained and tested", "judgement", rules_out=("fine_tune",)),
    Rule("the prompt does it", lambda c: c.gap is not None and c.gap <= 0 and not c.dear_calls,
         {"prompt": {"quality": 2},
         "few_shot": {"quality": 0.5}, "rag": {"quality": 0.5}},
         "the measured prompt already reaches the target", "measured by you"),
    Rule("small gap", lambda c: c.gap is not None and 0 < c.gap <= 0.05, {"few_shot": {"quality": 1.3},
         "prompt": {"quality": -0.3}},
         "a few points are often closed by better wording and examples in the prompt", "judgement; measure it"),
    Rule("gap", lambda c: c.gap is not None and c.gap > 0.05,
         {"prompt": {"quality": -1.2}, "few_shot": {"quality": -0.5}, "rag": {"quality": -0.2}},
         "the measured prompt stays clearly below the target", "measured by you"),
    Rule("wide gap", lambda c: c.gap is not None and c.gap > 0.15, {"few_shot": {"quality": -0.7}},
         "so wide a gap is rarely closed by a few examples in the prompt", "judgement; measure it"),
    Rule("prompt not measured", lambda c: c.prompt_accuracy is None and not c.thrift, _for(TUNED, quality=-1.5),
         "no prompt has been measured, and a good one with examples often does most of the way",
         "common practice; notebook 03 measures it", rules_out=TUNED),
    Rule("prompt first", lambda c: c.prompt_accuracy is None, {"prompt": {"quality": 0.5}},
         "nobody has measured it yet, and it is the cheapest thing to try", "common practice"),
    Rule("nothing to show", lambda c: c.examples == 0, {"few_shot": {"quality": -0.6}},
         "there is no example to show yet", "arithmetic"),
    Rule("too few examples", lambda c: c.examples is not None and c.examples < 50, _for(TUNED, quality=-2),
         "fewer than 50 examples are less than hosted services advise as the least",
         "OpenAI's fine-tuning guide (50-100)",
         rules_out=TUNED),
    Rule("few examples", lambda c: c.examples is not None and 50 <= c.examples < 500
         and c.example_quality != "excellent",
         _for(TUNED, quality=-1.5), "below about 500 examples of ordinary quality a good prompt often wins",
         "range stated by practitioners; a learning curve settles it"),
    Rule("few but excellent", lambda c: c.examples is not None and 50 <= c.examples < 500
         and c.example_quality == "excellent", _for(TUNED, quality=-0.4),
         "100 to 500 excellent examples can carry a narrow adapter, with little to spare", "Zhou et al. 2023 (LIMA)"),
    Rule("plenty of examples", lambda c: (c.examples or 0) >= 1000 and c.example_quality != "poor",
         _for(TUNED, quality=0.5), "1,000 to 10,000 examples are the usual range in production",
         "range stated by practitioners"),
    Rule("examples not counted", lambda c: c.examples is None, _for(TUNED, quality=-1, time=-0.5),
         "nobody has counted the labelled examples yet", "judgement", rules_out=TUNED),
    Rule("poor examples", lambda c: c.example_quality == "poor",
         {**_for(TUNED, quality=-2), "few_shot": {"quality": -0.3}},
         "the model would learn the faults of the examples", "notebook 04 measures it", rules_out=TUNED),
    Rule("a moving task", lambda c: c.task_changes == "weekly", _for(TUNED, quality=-1, upkeep=-1),
         "the task changes faster than data can be labelled and a model tested", "judgement", rules_out=TUNED),
    Rule("a slowly moving task", lambda c: c.task_changes == "monthly", _for(TUNED, upkeep=-1, quality=-0.4),
         "each change of the task means new labels, training and a new evaluation", "judgement"),
    Rule("nobody keeps it up", lambda c: c.maintainer is False, {**_for(TUNED, upkeep=-1), "rag": {"upkeep": -1}},
         "a tuned model decays or is retired under you, and nobody would notice", "judgement", rules_out=TUNED),
    Rule("volume", lambda c: c.volume >= 10_000, {"fine_tune": {"cost": 1.0}, "few_shot": {"cost": -1},
         "rag": {"cost": -0.5}, "prompt": {"cost": -0.5}},
         "at this volume the tokens of a long prompt are the largest cost", ARITHMETIC),
    Rule("large volume", lambda c: c.volume >= 100_000, {"fine_tune": {"cost": 1.0}, "few_shot": {"cost": -1},
         "prompt": {"cost": -1}}, "a small tuned model is then many times cheaper a call",
         ARITHMETIC),
    Rule("hardly any volume", lambda c: c.calls_per_day is not None and c.calls_per_day < 100, _for(TUNED, cost=-1.5),
         "so few calls never pay back training, evaluation and upkeep", ARITHMETIC),
    Rule("cheap or fast calls wanted", lambda c: c.thrift and c.volume >= 1_000, {"fine_tune": {"quality": 0.8},
         "few_shot": {"quality": -0.5}, "prompt": {"quality": -0.3}},
         "a small tuned model needs a short prompt and answers faster", "arithmetic"),
    Rule("little time for an answer", lambda c: c.latency_ms is not None and c.latency_ms < 500,
         {"few_shot": {"quality": -0.7}, "rag": {"quality": -0.5}, "fine_tune": {"quality": 0.5}},
         "long prompts and a retrieval step take time before the first token", "arithmetic"),
    Rule("private data", lambda c: bool(c.private_data), {"fine_tune": {"quality": 0.5}, "prompt": {"quality": -0.2}},
         "the data stay in the house, so a smaller open model has to do it, and those gain most from training",
         "judgement; measure it"),
    Rule("small budget", lambda c: c.budget_usd is not None and c.budget_usd < 2_000,
         {"fine_tune": {"cost": -1}, "rag_and_fine_tune": {"cost": -2}},
         "labelling and evaluation cost more than the training itself, and the budget is small", "judgement"),
    Rule("no budget", lambda c: c.budget_usd is not None and c.budget_usd < 200, _for((*TUNED, "rag"), cost=-2),
         "the budget does not pay for data, evaluation and upkeep", "judgement", rules_out=TUNED),
)  # fmt: skip


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


@dataclass(frozen=True, repr=False)
class Decision:
    """The ranking, one recommendation, and how firmly it stands."""

    case: Case
    ranking: tuple[Advice, ...]
    do_first: tuple[str, ...]
    flips: tuple[str, ...]
    assumed: tuple[str, ...] = field(default=())

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
            "flips": list(self.flips),
            "assumed": list(self.assumed),
        }

    def __repr__(self):
        best = self.ranking[0]
        lines = [f"{self.case.task}", f"-> {best.approach}: {best.reason_for}", ""]
        lines += [f"   {'':<18}" + "".join(f"{c:>9}" for c in CRITERIA) + "  effort"]
        for a in self.ranking:
            ratings = "".join(f"{getattr(a, c):>9.1f}" for c in CRITERIA)
            lines += [f"   {a.approach:<18}{ratings}  {a.effort}" + ("" if a.fit else "  (does not fit)")]
            lines += [f"     for: {a.reason_for}", f"     against: {a.reason_against}"]
        for title, items in (("do first", self.do_first), ("it flips if", self.flips), ("not known", self.assumed)):
            lines += ["", f"   {title}:", *(f"   - {item}" for item in items)] if items else []
        return "\n".join(lines)

    def _repr_html_(self):
        import html

        import pandas as pd

        table = pd.DataFrame(
            [[a.approach if a.fit else f"{a.approach} (does not fit)", *(f"{getattr(a, c):.1f}" for c in CRITERIA),
              a.effort, a.reason_for, a.reason_against] for a in self.ranking],
            columns=["approach", *CRITERIA, "effort", "for", "against"],
        )  # fmt: skip
        parts = [f"<b>{html.escape(self.case.task)}: {self.recommendation}</b>", table.to_html(index=False)]
        for title, items in (("Do first", self.do_first), ("It flips if", self.flips), ("Not known", self.assumed)):
            if items:
                listed = "".join(f"<li>{html.escape(item)}</li>" for item in items)
                parts.append(f"{title}:<ul>{listed}</ul>")
        return "".join(parts)


def decide(case: Case) -> Decision:
    """Rank the five approaches for one case."""
    ranking = rank(case)
    return Decision(case, ranking, _do_first(case, ranking), _flips(case, ranking[0].approach), _not_known(case))


def rank(case: Case) -> tuple[Advice, ...]:
    """Apply every rule; approaches that fit come first, then the weighted mean of the ratings decides."""
    applied = [rule for rule in RULES if rule.when(case)]
    advices = []
    for approach in APPROACHES:
        ratings = dict(START[approach])
        pro, contra = [], []
        for rule in applied:
            changes = rule.changes.get(approach, {})
            weight = sum(WEIGHTS[c] * points for c, points in changes.items())
            for criterion, points in changes.items():
                ratings[criterion] += points
            if weight > 0:
                pro.append((weight, rule.reason))
            elif weight < 0 or approach in rule.rules_out:
                contra.append((weight - 10 * (approach in rule.rules_out), rule.reason))
        ratings = {criterion: min(5.0, max(1.0, value)) for criterion, value in ratings.items()}
        total = sum(WEIGHTS[c] * ratings[c] for c in CRITERIA) / sum(WEIGHTS.values())
        fit = not any(approach in rule.rules_out for rule in applied)
        reason_for = max(pro, default=(0, _PLAIN_FOR[approach]))[1]
        reason_against = min(contra, default=(0, _PLAIN_AGAINST[approach]))[1]
        advices.append(Advice(approach, **{c: round(v, 1) for c, v in ratings.items()}, effort=EFFORT[approach],
                              reason_for=reason_for, reason_against=reason_against, fit=fit, total=total))  # fmt: skip
    return tuple(sorted(advices, key=lambda a: (not a.fit, -a.total)))


_PLAIN_FOR = {
    "prompt": "it takes hours, costs nothing to change, and every other approach must beat it",
    "few_shot": "a few good examples in the prompt cost a day and often close most of the gap",
    "rag": "the sources can be updated without touching the model, and cited",
    "fine_tune": "the instructions move into the weights: shorter prompts and steadier answers",
    "rag_and_fine_tune": "the context brings the facts, the weights the behaviour",
}
_PLAIN_AGAINST = {
    "prompt": "a long prompt is paid for in every call, and its answers vary",
    "few_shot": "the examples are paid for in every call",
    "rag": "the index, its chunks and its ranking must be built, measured and kept up",
    "fine_tune": "data, evaluation and retraining cost more than the training run",
    "rag_and_fine_tune": "two systems to build, measure and keep up; hard to tell which of them failed",
}


def _do_first(case: Case, ranking) -> tuple[str, ...]:
    best, steps = ranking[0].approach, []
    if case.prompt_accuracy is None:
        steps.append("collect 100-300 real cases with known answers and measure the best prompt on them (notebook 03)")
    elif case.target_accuracy is None:
        steps.append("write down the accuracy that would be good enough, before the next result is known")
    if best in TUNED and case.prompt_accuracy is not None:
        steps.append("measure few-shot prompts on the same cases: they are the bar that training has to beat")
    if best in TUNED:
        steps.append("train on a quarter, half and all of the examples: if the curve is flat, more data will not help")
        steps.append("keep 10 % of the examples back, at least 200, that no training ever sees")
    if best in RETRIEVED:
        steps.append("measure retrieval alone: is the right passage among the first five (recall@5)?")
    if case.example_quality in ("poor", "mixed") and (case.examples or 0) >= 50:
        steps.append("run `ftlab check` on the examples and repair what it finds")
    if case.examples is not None and case.examples < 50 and case.behaviour:
        steps.append("keep what experts correct from now on: it is the training set of later")
    if case.private_data:
        steps.append("choose an open model that runs in your house, and measure the prompt on that one")
    if case.maintainer is None and best in TUNED:
        steps.append("name who will retrain and re-test it every quarter; without a name, do not start")
    return tuple(steps)


STEPS = {  # values to try when looking for what would change the answer
    "examples": (0, 50, 100, 200, 500, 1000, 5000),
    "example_quality": CHOICES["example_quality"],
    "facts_change": CHOICES["facts_change"],
    "task_changes": CHOICES["task_changes"],
    "calls_per_day": (10, 100, 1_000, 10_000, 100_000),
    "latency_ms": (200, 2_000),
    "prompt_accuracy": tuple(n / 100 for n in range(40, 100, 5)),
    "maintainer": (True, False),
    "private_data": (True, False),
    "budget_usd": (100, 1_000, 10_000),
}


def _flips(case: Case, recommendation: str) -> tuple[str, ...]:
    """The nearest single change of each known or unknown answer that changes the recommendation."""
    flips = []
    for name, steps in STEPS.items():
        now = getattr(case, name)
        if name == "prompt_accuracy" and case.target_accuracy is None:
            continue
        changed = []
        for value in steps:
            if value == now or (name == "example_quality" and not case.examples):
                continue
            other = rank(replace(case, **{name: value}))[0].approach
            if other != recommendation:
                distance = abs(value - now) if isinstance(now, int | float) and not isinstance(value, str) else 0
                changed.append((distance, steps.index(value), value, other))
        above = [c for c in changed if now is None or isinstance(c[2], str | bool) or c[2] > now]
        below = [c for c in changed if c not in above]
        for side, word in ((above, "at least"), (below, "at most")):
            if side:
                _, _, value, other = min(side)
                flips.append(f"{name} were {_value(name, value, word)}{_now(name, now)}: {other}")
    wants = {
        "knowledge": "facts were wanted too" if not case.knowledge else "no facts were wanted",
        "cost": "a cheaper call were the aim" if "cost" not in case.wants else None,
    }
    for want, words in wants.items():
        changed_wants = tuple(w for w in case.wants if w != want) if want in case.wants else (*case.wants, want)
        if words and changed_wants:
            other = rank(replace(case, wants=changed_wants))[0].approach
            if other != recommendation:
                flips.append(f"{words}: {other}")
    return tuple(flips)


def _value(name, value, word):
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    return f"{word} {value:.0%}" if name == "prompt_accuracy" else f"{word} {value:,}"


def _now(name, now):
    if now is None:
        return " (not known)"
    if isinstance(now, bool):
        return ""
    if isinstance(now, str):
        return f" (now {now})"
    return f" (now {now:.0%})" if name == "prompt_accuracy" else f" (now {now:,})"


def _not_known(case: Case) -> tuple[str, ...]:
    words = {
        "examples": "the number of labelled examples", "example_quality": "the quality of the examples",
        "facts_change": "how often the facts change", "task_changes": "how often the task changes",
        "calls_per_day": "calls a day", "prompt_accuracy": "the accuracy of the best prompt",
        "target_accuracy": "the accuracy that would do", "maintainer": "whether somebody keeps it up",
        "budget_usd": "the budget",
    }  # fmt: skip
    skip = {"facts_change"} if not case.knowledge else set()
    return tuple(words[name] for name in words if getattr(case, name) is None and name not in skip)


def read_case(path: str | Path) -> Case:
    """A case from a YAML file; DataError names the field and what it may be."""
    path = Path(path)
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist: check the path (now in {Path.cwd()})") from error
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path}: not readable as YAML in UTF-8: {error}") from error
    return make_case(entries, str(path))


def make_case(entries: dict, where: str = "case") -> Case:
    """A checked case from a dict with the fields of `Case`; missing or null is "not known"."""
    if not isinstance(entries, dict):
        raise DataError(f"{where}: must hold fields such as task and wants, not {type(entries).__name__}")
    names = [f.name for f in fields(Case)]
    for name in entries:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1)
            raise DataError(f"{where}: {name}: unknown field" + (f"; did you mean {near[0]}?" if near else
                            f"; known are {', '.join(names)}"))  # fmt: skip
    entries = {name: value for name, value in entries.items() if value is not None}
    if not isinstance(entries.get("task"), str) or not entries["task"].strip():
        raise DataError(f"{where}: task: is missing; say in a sentence what the model has to do")
    entries["wants"] = _wants(entries.get("wants"), where)
    for name in ("example_quality", "facts_change", "task_changes"):
        if name in entries and entries[name] not in CHOICES[name]:
            raise DataError(f"{where}: {name}: {entries[name]!r} is none of {', '.join(CHOICES[name])}")
    for name in ("maintainer", "private_data"):
        if name in entries and not isinstance(entries[name], bool):
            raise DataError(f"{where}: {name}: must be true or false, not {entries[name]!r}")
    for name in ("examples", "calls_per_day", "latency_ms", "budget_usd", "prompt_accuracy", "target_accuracy"):
        _check_number(name, entries.get(name), where)
    case = Case(**entries)
    _check_contradictions(case, where)
    return case


def _wants(wants, where):
    wants = [wants] if isinstance(wants, str) else wants
    if not isinstance(wants, list | tuple) or not wants:
        raise DataError(f"{where}: wants: is missing; a list out of {', '.join(CHOICES['wants'])}")
    for want in wants:
        if want not in CHOICES["wants"]:
            near = difflib.get_close_matches(str(want), CHOICES["wants"], n=1)
            raise DataError(f"{where}: wants: {want!r} is none of {', '.join(CHOICES['wants'])}"
                            + (f"; did you mean {near[0]}?" if near else ""))  # fmt: skip
    return tuple(dict.fromkeys(wants))


def _check_number(name, value, where):
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise DataError(f"{where}: {name}: must be a number of at least 0, not {value!r}")
    if name == "examples" and not isinstance(value, int):
        raise DataError(f"{where}: {name}: must be a whole number, not {value!r}")
    if name.endswith("_accuracy") and value > 1:
        remedy = f"; write {value / 100:g} for {value:g} %" if value <= 100 else ""
        raise DataError(f"{where}: {name}: must be a fraction of 1, not {value!r}{remedy}")


def _check_contradictions(case: Case, where: str):
    if case.examples == 0 and case.example_quality:
        raise DataError(f"{where}: example_quality: there are no examples to be {case.example_quality}; "
                        "leave it out, or correct examples")  # fmt: skip
    if case.calls_per_day == 0:
        raise DataError(f"{where}: calls_per_day: is 0; leave it out when it is not known yet")
    if case.latency_ms == 0:
        raise DataError(f"{where}: latency_ms: is 0; write the milliseconds that an answer may take")
    if case.target_accuracy == 0:
        raise DataError(f"{where}: target_accuracy: is 0, which any answer reaches; write what would be good enough")


def as_dict(case: Case) -> dict:
    """The case as YAML holds it."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(case).items()}
