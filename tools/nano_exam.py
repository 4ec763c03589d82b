"""The questions that measure nano: held-out documents without their last answer, how they are scored, the probe set.

Held-out means: the sentence patterns and instructions are from the tenth that split "train" leaves out, and
the seeds are from a range of their own. Names and words are from the lists that training used too.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from generated import jsonl
from nano_world.compose import World
from nano_world.texts import UNKNOWN, Doc, inbox, is_heldout, lexicon, prompts

from ftlab.errors import DataError

# training counts up from 0, the tokenizer from 10,000,000
MEASURE_SEEDS, PROBE_SEEDS = 2_000_000_000, 3_000_000_000
SKILLS = ("copy", "reverse", "sort", "sort_numbers", "largest", "smallest", "first", "last", "count", "sum",
          "difference", "repeat_n", "yes_no_mentions")  # fmt: skip
ENTITIES = re.compile(r"\d+|\b(?:" + "|".join([*(p["name"] for p in lexicon.products), *lexicon.first_names]) + r")\b")



class Exam(World):
    """A held-out world with the number of solved examples and the style of class names fixed."""

    def __init__(self, seed: int, examples: int = 0, style: str | None = None):
        super().__init__(seed, split="heldout")
        self.examples, self.style, self.n_options = examples, style, None

    def shots(self) -> int:
        return self.examples + 1

    def options(self, bank, true, style=None):
        named = super().options(bank, true, style or self.style)
        self.n_options = len(named[0])
        return named


@dataclass(frozen=True)
class Question:
    """A chat without its last answer, the answer, and how often guessing among the options is right."""

    doc: Doc
    chance: float | None = None

    @property
    def prompt(self) -> list[dict]:
        return as_messages(self.doc)[:-1]

    @property
    def answer(self) -> str:
        return self.doc.turns[-1][1]


@dataclass(frozen=True, repr=False)
class Score:
    """One measured rate with its 95 % interval, in fractions of 1; `chance` is what guessing would give."""

    task: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    chance: float | None = None

    def __repr__(self):
        interval = f"{100 * self.value:5.1f} % [{100 * self.low:.0f}, {100 * self.high:.0f}]"
        chance = f", by chance {100 * self.chance:.0f} %" if self.chance else ""
        return f"{self.task:38} {self.metric:22} {interval}, n = {self.n}{chance}"


def as_messages(doc: Doc) -> list[dict]:
    """The turns of a document as chat messages."""
    return [{"role": role, "content": text} for role, text in doc.turns]


# ---- questions ---------------------------------------------------------------------------------------


def classify(seed: int, style: str) -> Question | None:
    """Plain names stand alone; made-up names stand with their description."""
    exam = Exam(seed, style=style)
    doc = exam.classify()
    kind = "classify" if style == "plain" else "classify_described"
    return Question(doc, 1 / exam.n_options) if doc.kind == kind else None


def which_text(seed: int) -> Question:
    """Which of two to four numbered texts a description fits."""
    doc = Exam(seed).which_text()
    return Question(doc, 1 / len(re.findall(r"(?m)^\d\. ", doc.turns[-2][1])))


def json_record(seed: int, examples: int) -> Question | None:
    """A record after `examples` solved ones; None where there are fewer, or the prompt lacks a value.

    With solved examples, three prompts in ten do not list the keys; the examples show them.
    """
    doc = Exam(seed, examples).json_record()
    solved = sum(role == "assistant" for role, _ in doc.turns) - 1
    prompt = "\n".join(text for _, text in doc.turns[:-1])
    values = json.loads(doc.turns[-1][1]).values()
    shown = all(value is None or value in prompt for value in values)
    return Question(doc) if solved == examples and shown else None


def qa_context(seed: int, answerable: bool) -> Question | None:
    """A question about facts in the prompt, which tell the answer or do not."""
    doc = Exam(seed).qa_context()
    return Question(doc) if (doc.turns[-1][1] != UNKNOWN) == answerable else None


def qa_without_context(seed: int) -> Question | None:
    """The last question of an answerable document alone; None where the facts stand in the same turn."""
    full = qa_context(seed, answerable=True)
    if full is None or re.search(r"\. |\n", question := full.doc.turns[-2][1]):
        return None
    return Question(Doc("qa_alone", (("user", question), full.doc.turns[-1])))


def polite_reply(seed: int) -> Question | None:
    """A message whose reference reply takes up something that the customer named."""
    doc = Exam(seed).polite()
    text, reply = doc.turns[-2][1], doc.turns[-1][1]
    return Question(doc) if set(ENTITIES.findall(text)) & set(ENTITIES.findall(reply)) else None


def polite_rewrite(seed: int) -> Question:
    """A rude sentence that pre-training has shown with its polite form, asked for in new words."""
    exam = Exam(seed)
    rude, polite = exam.pick([pair for pair in lexicon.rude_polite if not is_heldout(str(pair))])
    instruction = exam.pattern(prompts.instructions["rewrite_polite"])
    return Question(exam.chat("polite", instruction, [(rude, polite)]))


def skill(seed: int, name: str) -> Question:
    """One general skill on a short list or two numbers."""
    return Question(Exam(seed).skill(name), 0.5 if name == "yes_no_mentions" else None)


TASKS: dict[str, tuple[int, Callable[[int], Question | None]]] = {
    **{f"skill: {name}": (i, lambda seed, name=name: skill(seed, name)) for i, name in enumerate(SKILLS)},
    "extract": (20, lambda seed: Question(Exam(seed).extract())),
    "describe": (23, lambda seed: Question(Exam(seed).describe())),
    "which text": (24, which_text),
    "same topic": (25, lambda seed: Question(Exam(seed).same_topic(), 0.5)),
    "classify, plain names": (21, lambda seed: classify(seed, "plain")),
    "classify, invented names described": (22, lambda seed: classify(seed, "made_up")),
    **{
        f"json, {n}-shot": (30 + n, lambda seed, n=n: json_record(seed, n)) for n in range(7)
    },
    "profile_json": (40, lambda seed: Question(Exam(seed).profile_json())),
    "qa_context, answerable": (50, lambda seed: qa_context(seed, answerable=True)),
    "qa_context, not answerable": (51, lambda seed: qa_context(seed, answerable=False)),
    "answerable questions, text left out": (50, qa_without_context),
    "pairs": (60, lambda seed: Question(World.replies_few_shot_words(Exam(seed)))),
    "polite reply": (61, polite_reply),
}  # fmt: skip
PROBE_TASKS = {
    **{name: (25, lambda seed, name=name: skill(seed, name)) for name in SKILLS[:10]},
    "extract": (50, lambda seed: Question(Exam(seed).extract())),
    "qa_answerable": (50, lambda seed: qa_context(seed, answerable=True)),
    "qa_unknown": (25, lambda seed: qa_context(seed, answerable=False)),
    "polite_rewrite": (25, polite_rewrite),
}


def draw(make: Callable[[int], Question | None], start: int, n: int) -> Iterator[Question]:
    """The first n questions with different prompts, from seed `start` on."""
    seen, seed = set(), start
    while len(seen) < n:
        question = make(seed)
        seed += 1
        if question is not None and question.doc.turns[:-1] not in seen:
            seen.add(question.doc.turns[:-1])
            yield question
        if seed - start > 100_000:
            raise DataError(f"only {len(seen)} of {n} questions from seed {start} on: ask for fewer with --n")


def score(task: str, questions: list[Question], answers: list[str]) -> list[Score]:
    """Exact match of the text; records are compared as values, polite replies by what they name."""
    from ftlab.evaluation.metrics import exact_text, score_records
    from ftlab.evaluation.statistics import score_interval

    references = [question.answer for question in questions]
    if "json" in task:
        scores = score_records(answers, references)
        rates = {"records right": scores.exact_match, "values right": scores.field_accuracy,
                 "valid JSON": scores.valid_json}  # fmt: skip
    elif task == "describe":
        rates = {"names the right class": [same_class(*pair) for pair in zip(answers, references, strict=True)]}
    elif task == "polite reply":
        pairs = zip(questions, answers, strict=True)
        rates = {"names only what was said": [names_only_what_was_said(*pair) for pair in pairs]}
    elif task == "answerable questions, text left out":
        unknown = exact_text(answers, [UNKNOWN] * len(answers))
        rates = {"right": exact_text(answers, references), f'"{UNKNOWN}"': unknown}
    else:
        rates = {"right": exact_text(answers, references)}
    chances = [question.chance for question in questions if question.chance]
    chance = sum(chances) / len(chances) if chances else None
    result = []
    for metric, values in rates.items():
        interval = score_interval(list(values))
        result.append(Score(task, metric, interval.value, interval.low, interval.high, interval.n, chance))
    return result


def same_class(text: str, reference: str) -> float:
    """1 where the text is one of the descriptions of the class that the reference describes."""
    worlds = (inbox.issues, inbox.moods, inbox.when, inbox.wants, lexicon.clinic)
    classes = [entry["descriptions"] for bank in worlds for entry in bank.values()]
    return float(any(text.strip() in words and reference in words for words in classes))


def names_only_what_was_said(question: Question, text: str) -> float:
    """1 where the reply names an item, number or person, and none that the customer did not name."""
    named = set(ENTITIES.findall(text))
    said = set(ENTITIES.findall(question.doc.turns[-2][1]))
    return float(bool(named) and named <= said)


def probe_lines() -> str:
    """The probe set as JSON lines."""
    rows = []
    for block, (name, (n, make)) in enumerate(PROBE_TASKS.items()):
        for question in draw(make, PROBE_SEEDS + block * 1_000_000, n):
            messages = as_messages(question.doc)
            rows.append({"id": f"general-{len(rows) + 1:04}", "messages": messages, "skill": name})
    return jsonl(rows)
