"""The rules behind `ftlab decide`: when each applies, what it changes in the ratings, why, and who says so.

"Judgement" means ours: no measurement is known that settles it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

APPROACHES = ("prompt", "few_shot", "rag", "fine_tune", "rag_and_fine_tune")
CRITERIA = ("quality", "cost", "time", "upkeep", "update")
WEIGHTS = {"quality": 5.0, "cost": 1.0, "time": 0.7, "upkeep": 0.7, "update": 0.3}
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
PLAIN_FOR = {  # what to say where no rule says more
    "prompt": "it takes hours, costs nothing to change, and every other approach must beat it",
    "few_shot": "a few good examples in the prompt cost a day and often close most of the gap",
    "rag": "the sources can be updated without touching the model, and cited",
    "fine_tune": "the instructions move into the weights: shorter prompts and steadier answers",
    "rag_and_fine_tune": "the context brings the facts, the weights the behaviour",
}
PLAIN_AGAINST = {
    "prompt": "a long prompt is paid for in every call, and its answers vary",
    "few_shot": "the examples are paid for in every call",
    "rag": "the index, its chunks and its ranking must be built, measured and kept up",
    "fine_tune": "data, evaluation and retraining cost more than the training run",
    "rag_and_fine_tune": "two systems to build, measure and keep up; hard to tell which of them failed",
}
TUNED = ("fine_tune", "rag_and_fine_tune")
RETRIEVED = ("rag", "rag_and_fine_tune")
ARITHMETIC = "arithmetic; notebook 10 does it for your case"


@dataclass(frozen=True)
class Rule:
    """When it applies to a case, what it changes, and why."""

    name: str
    when: Callable[[Any], float]  # how much it applies, from 0 (False) to 1 (True)
    changes: dict  # approach -> {criterion: points}
    reason: str  # completes "because ..."
    source: str
    rules_out: tuple[str, ...] = ()  # approaches that this makes unfit where it applies in full


# what plainly reads as a choice: a verb of choosing with a thing that gets labels, or a word for the labels themselves
_THING = (
    r"(?:(?:e-?)?mails?|letters?|tickets?|messages?|texts?|posts?|comments?|reviews?|documents?|calls?|complaints?|"
    r"requests?|questions?|answers?|essays?|clauses?|intents?|sentiments?|spam|fraud)"
)
_LABELS = r"(?:labels?|class(?:es)?|categor(?:y|ies)|queues?|topics?|intents?|desks?|departments?|folders?)"
_UP_TO_THREE = r" (?:[\w'-]+ ){0,3}"
_CHOOSES = re.compile(
    rf"\b(?:classif(?:y|ies|ying)|categori[sz](?:e|es|ing)) \w|"
    rf"\b(?:label|labels|label?ling|tag|tags|tagging|route|routes|routing|triage|triages|moderate|moderates|moderating|"
    rf"detect|detects|detecting|grade|grades|grading){_UP_TO_THREE}{_THING}\b|"
    rf"\bsort(?:s|ing)?{_UP_TO_THREE}{_THING}\b(?!.*\bby\b)|"
    rf"\b(?:to|into|which of|one of){_UP_TO_THREE}{_LABELS}\b|\byes or no\b|"
    rf"\b{_THING} (?:classification|categori[sz]ation|routing|label?ling|tagging|triage|moderation|detection)\b"
)
_WRITES = re.compile(
    r"(?:(?:re)?write|draft|compose|generate|create|design|invent|plan|explain|solve|prove|compute|translate|sum|"
    r"summari[sz]e)s?\b"
)


def reads_as_choice(task: str) -> bool:
    """Whether the wording of a task plainly says that the answer is one of a list; a guess that rather says no."""
    task = " ".join(task.lower().split())
    return bool(_CHOOSES.search(task)) and not _WRITES.match(task)


def _for(approaches, **points):
    return dict.fromkeys(approaches, points)


RULES = (
    Rule("behaviour", lambda c: c.behaviour, {"few_shot": {"quality": 0.8}, "fine_tune": {"quality": 1.5},
         "rag_and_fine_tune": {"quality": 1.0}},
         "format, style, vocabulary and refusals are what examples teach",
         "Zhou et al. 2023 (LIMA); OpenAI's fine-tuning guide"),
    Rule("a narrow decision", lambda c: c.decision, {"few_shot": {"quality": 0.8}, "fine_tune": {"quality": 1.3}},
         "labelled examples teach a narrow decision that needs no facts", "OpenAI's fine-tuning guide; notebook 03"),
    Rule("it cannot do the task", lambda c: 0.0 if c.knowledge or c.taught else c.fails,
         {"prompt": {"quality": 2}, "few_shot": {"quality": -2}} | _for(TUNED, quality=-6),
         "the model fails at this task: training rarely gives an ability that is missing altogether, so a stronger "
         "model behind the same prompt, tools, or another task come first",
         "Gudibande et al. 2023 (2305.15717): imitation closes little of a gap in ability; 10 to 30 %: judgement",
         rules_out=TUNED),
    Rule("only the form may be missing", lambda c: c.fails if c.taught and not c.few else 0.0,
         {"prompt": {"quality": -0.5}, "fine_tune": {"quality": 0.3}},
         "next to nothing is right, but examples teach a choice among labels, or a manner, even to a model that begins "
         "with nothing", "data/recorded/triage: untrained, best prompt, linear classifier and fine-tuned side by side"),
    Rule("too little right with facts wanted", lambda c: c.fails if c.knowledge else 0.0, _for(TUNED, quality=-6),
         "nearly nothing is right yet: retrieval shows first whether facts were missing or the ability",
         "judgement; measure it", rules_out=TUNED),
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
    Rule("facts move", lambda c: c.knowledge and c.facts_change in ("monthly", "weekly", "daily"),
         {"rag": {"quality": 0.5}, "fine_tune": {"quality": -1, "upkeep": -1}},
         "the facts change faster than a model can be retrained and tested", "judgement", rules_out=("fine_tune",)),
    Rule("the prompt does it", lambda c: c.gap is not None and c.gap <= 0 and not (c.thrift and c.volume >= 10_000),
         {"prompt": {"quality": 2}, "few_shot": {"quality": 0.5}, "rag": {"quality": 0.5}},
         "the measured prompt already reaches the target", "measured by you"),
    Rule("small gap", lambda c: c.gap is not None and 0 < c.gap <= 0.05, {"few_shot": {"quality": 1.3},
         "prompt": {"quality": -0.3}},
         "a few points are often closed by better wording and examples in the prompt", "judgement; measure it"),
    Rule("gap", lambda c: c.gap is not None and c.gap > 0.05,
         {"prompt": {"quality": -1.2}, "few_shot": {"quality": -0.5}, "rag": {"quality": -0.2}},
         "the measured prompt stays clearly below the target", "measured by you"),
    Rule("wide gap", lambda c: c.gap is not None and c.gap >= 0.15, {"few_shot": {"quality": -0.7}},
         "so wide a gap is rarely closed by a few examples in the prompt", "judgement; measure it"),
    Rule("no target", lambda c: c.prompt_accuracy is not None and c.target_accuracy is None and not c.thrift,
         _for(TUNED, quality=-1.5), "nobody has said yet what would be good enough, and the prompt may be",
         "judgement"),
    Rule("prompt not measured", lambda c: c.prompt_accuracy is None and not c.thrift, _for(TUNED, quality=-1.5),
         "no prompt has been measured, and a good one with examples often does most of the way",
         "common practice; notebook 03 measures it", rules_out=TUNED),
    Rule("prompt first", lambda c: c.prompt_accuracy is None, {"prompt": {"quality": 0.5}},
         "nobody has measured it yet, and it is the cheapest thing to try", "common practice"),
    Rule("nothing to show", lambda c: c.examples == 0, {"few_shot": {"quality": -0.6}},
         "there is no example to show yet", "arithmetic"),
    Rule("too few examples", lambda c: c.examples is not None and c.examples < 50, _for(TUNED, quality=-5),
         "fewer than 50 examples are less than hosted services advise as the least",
         "OpenAI's fine-tuning guide (50-100)", rules_out=TUNED),
    Rule("few examples", lambda c: c.thin if c.example_quality != "excellent" else 0.0, _for(TUNED, quality=-5),
         "below about 500 examples of ordinary quality a good prompt often wins, and 500 to 1,000 do markedly better",
         "range stated by practitioners; a learning curve settles it"),
    Rule("few but excellent", lambda c: c.thin if c.example_quality == "excellent" else 0.0, _for(TUNED, quality=-5),
         "50 to 100 examples are the least; 100 to 500 excellent ones can carry a narrow adapter, with little to spare",
         "Zhou et al. 2023 (LIMA); range stated by practitioners"),
    Rule("plenty of examples", lambda c: c.plenty if c.example_quality != "poor" else 0.0,
         _for(TUNED, quality=0.5), "1,000 to 10,000 examples are the usual range in production",
         "range stated by practitioners"),
    Rule("examples not counted", lambda c: c.examples is None, _for(TUNED, quality=-1, time=-0.5),
         "nobody has counted the labelled examples yet", "judgement", rules_out=TUNED),
    Rule("poor examples", lambda c: c.example_quality == "poor",
         _for(TUNED, quality=-2) | {"few_shot": {"quality": -0.3}},
         "the model would learn the faults of the examples", "notebook 04 measures it", rules_out=TUNED),
    Rule("a moving task", lambda c: c.task_changes == "weekly", _for(TUNED, quality=-1, upkeep=-1),
         "the task changes faster than data can be labelled and a model tested", "judgement", rules_out=TUNED),
    Rule("a slowly moving task", lambda c: c.task_changes == "monthly", _for(TUNED, upkeep=-1, quality=-0.4),
         "each change of the task means new labels, training and a new evaluation", "judgement"),
    Rule("nobody keeps it up", lambda c: c.maintainer is False, _for((*TUNED, "rag"), upkeep=-1),
         "a tuned model decays or is retired under you, and nobody would notice", "judgement", rules_out=TUNED),
    Rule("volume", lambda c: c.volume >= 10_000, {"fine_tune": {"cost": 1.0}, "few_shot": {"cost": -1},
         "rag": {"cost": -0.5}, "prompt": {"cost": -0.5}},
         "at this volume the tokens of a long prompt are the largest cost", ARITHMETIC),
    Rule("large volume", lambda c: c.volume >= 100_000, {"fine_tune": {"cost": 1.0}, "few_shot": {"cost": -1},
         "prompt": {"cost": -1}}, "a small tuned model is then many times cheaper a call", ARITHMETIC),
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


FIRST_STEPS = (  # when (case, recommendation), what
    (lambda c, best: c.fails and c.knowledge,
     ("paste the right passage into twenty questions that failed: what stays wrong is no lack of facts, and takes a "
     "stronger model or tools")),
    (lambda c, best: c.fails and c.taught,
     ("so little right is mostly a wrong form, not a missing ability: hold the answers to the values or the form that "
     "are allowed (notebook 03) and measure again; what they reach then is the bar, and may be enough")),
    (lambda c, best: c.fails and not c.knowledge and not c.taught,
     ("read twenty failures: if only the form is wrong, write it into the prompt; else try a stronger model, give it "
     "tools (search, code), or cut the task into smaller ones")),
    (lambda c, best: c.fails and not c.knowledge and not c.taught and c.choice is None,
     ("say whether the answer is one of a fixed list of labels (choice: true or false): such a choice is taught "
      "even to a model that begins with nothing")),
    (lambda c, best: c.prompt_accuracy is None,
     ("make a test set first: 100-300 real cases with known answers that no prompt and no training sees; then measure "
     "the best prompt on it (notebook 03)")),
    (lambda c, best: c.prompt_accuracy is not None and c.target_accuracy is None,
     "write down the accuracy that would be good enough, before the next result is known"),
    (lambda c, best: best in TUNED and c.prompt_accuracy is not None,
     "measure few-shot prompts on the same cases: they are the bar that training has to beat"),
    (lambda c, best: c.labels and not c.few,
     ("if the answer is one of a fixed list of labels, train a linear classifier on the examples (notebook 03): it "
     "takes minutes, and whatever costs more has to beat it")),
    (lambda c, best: best in TUNED,
     "train on a quarter, half and all of the examples: if the curve is flat, more data will not help"),
    (lambda c, best: best in TUNED, "keep 10 % of the examples back, at least 200, that no training ever sees"),
    (lambda c, best: best in RETRIEVED,
     "measure retrieval alone: is the right passage among the first five (recall@5)?"),
    (lambda c, best: c.example_quality in ("poor", "mixed") and not c.few,
     "run `ftlab check` on the examples and repair what it finds"),
    (lambda c, best: c.few and c.examples is not None and (c.behaviour or c.decision),
     "keep what experts correct from now on: it is the training set of later"),
    (lambda c, best: c.private_data,
     "choose an open model that runs in your house, and measure the prompt on that one"),
    (lambda c, best: best in TUNED and c.maintainer is None,
     "name who will retrain and re-test it every quarter; without a name, do not start"),
)  # fmt: skip
