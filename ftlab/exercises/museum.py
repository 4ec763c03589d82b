"""Notebook 08: the recorded trainings with a planted fault, and the exercise that shows them without their names."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from ftlab.evaluation.metrics import probe_scores
from ftlab.evaluation.statistics import Interval, paired_wald
from ftlab.exercises.engine import Exercise
from ftlab.models import data_folder

RECORDED = data_folder() / "recorded"
RECORD = RECORDED / "museum"
PROBED = 9  # every ninth everyday question was asked


# --- what is recorded


def read_lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@cache
def results(name: str = "museum") -> dict:
    """results.json of a record."""
    return json.loads((RECORDED / name / "results.json").read_text(encoding="utf-8"))


def trainings_of(arm: str) -> dict[int, dict]:
    """Seed -> what the recorded training told; empty where none is recorded."""
    found = results()["points"]
    return {seed: found[f"{arm}_{seed}"] for seed in (1, 2, 3) if f"{arm}_{seed}" in found}


def rows_of(part: str) -> list[dict]:
    """Tickets of the workbench: train, again, fresh, validation; or the rows of a faulty training."""
    return read_lines(RECORD / f"{part}.jsonl")


def texts_of(point: str, part: str = "fresh") -> list[str]:
    """A point's answers to the tickets of a part, or to the everyday questions (probe)."""
    return [line["prediction"] for line in read_lines(RECORD / "predictions" / point / f"{part}.jsonl")]


def team_of(row: dict) -> str:
    return row["messages"][-1]["content"]


def right(arm: str, part: str = "fresh") -> np.ndarray:
    """1 for each right answer, else 0; shape (seeds, tickets)."""
    rows = rows_of("fresh" if arm == "otherwise" else part)
    given = [zip(texts_of(f"{arm}_{seed}", part), rows, strict=False) for seed in trainings_of(arm)]
    return np.array([[float(text.strip() == team_of(row)) for text, row in pairs] for pairs in given])


def everyday(point: str) -> np.ndarray:
    """1 for each everyday question that was answered right, else 0."""
    questions = read_lines(data_folder() / "probes" / "everyday.jsonl")[::PROBED]
    return probe_scores(texts_of(point, "probe"), questions)


def against(scores: np.ndarray, others: np.ndarray) -> Interval:
    """How much more the first are right, on the same tickets: means over seeds, interval over customers."""
    customers = [row["customer"] for row in rows_of("fresh")][: scores.shape[1]]
    return paired_wald(others[:, : scores.shape[1]].mean(0), scores.mean(0), groups=customers)


# --- the cases of the exercise: real runs, without their names

FAULTS = {
    "nothing": "nothing is wrong",
    "leak": "rows of the same customers in training and test",
    "narrow": "training data of too few customers",
    "few": "too few rows and steps",
    "wrong labels": "a part of the answers is wrong",
    "contradictions": "the same question with different answers",
    "loss on the prompt": "the model was trained to write the questions as well",
    "no end token": "the end token was never trained",
    "other prompt": "served with another template or system prompt than trained with",
    "forgetting": "what the model could do before is gone",
    "facts": "facts were trained in, and it now invents others",
    "pleased the measure": "preferences were trained, and only the measure went up",
    "logits kept": "the evaluation keeps every logit in memory",
}


@dataclass(frozen=True)
class Exhibit:
    """A run without its name: what is shown of it, its fault, why it is that, and what to say to other guesses."""

    fault: str
    symptoms: Callable[[], tuple[list[str], list[dict]]]  # lines to print; the log of its losses, where there is one
    why: str
    not_it: dict[str, str]
    needs: tuple[str, ...] = ()  # points of the record


def said(rows: list[dict], texts: list[str], count: int = 5) -> list[str]:
    """The first answers, below their tickets."""
    return [f"  {row['messages'][1]['content']}\n      answers {text!r}, right is {team_of(row)!r}"
            for row, text in zip(rows[:count], texts, strict=False)]  # fmt: skip


def rate_of(scores) -> str:
    return f"{int(np.sum(scores))} of {np.size(scores)}"


def training(arm: str, trained: str = "train") -> tuple[list[str], list[dict]]:
    """What a training on the workbench shows: seed 1."""
    point, rows = trainings_of(arm)[1], ordered(rows_of(trained))
    customers = len({row["customer"] for row in rows})
    lines = [f"trained on {point['rows']} rows of {customers} customers in {point['steps']} steps, among them"]
    lines += [f"  {row['messages'][1]['content'][:100]} -> {team_of(row)}" for row in rows[:8]]
    lines += [f"tickets of new customers: {rate_of(right(arm)[0])} right, {point['asked']['fresh']['cut_off']} cut off"]
    return [*lines, *said(rows_of("fresh"), texts_of(f"{arm}_1"))], point["log"]


def ordered(rows: list[dict]) -> list[dict]:
    """Those that stand there more than once first, one beside the other."""
    texts = [row["messages"][1]["content"] for row in rows]
    return sorted(rows, key=lambda row: (-texts.count(row["messages"][1]["content"]), row["messages"][1]["content"]))


def two_tests() -> tuple[list[str], list[dict]]:
    tested, used = (rate_of(right("good", part)[0]) for part in ("again", "fresh"))
    lines = [f"test file: {tested} right; tickets of the first week in use: {used}"]
    again, fresh = rows_of("again"), rows_of("fresh")
    for name, rows in (("trained on", rows_of("train")), ("test file", again), ("first week", fresh)):
        chosen = sorted(rows, key=lambda row: row["customer"])[:4]
        lines += [f"{name}:", *(f"  {row['customer']}: {row['messages'][1]['content'][:100]}" for row in chosen)]
    return lines, []


def served(way: str) -> tuple[list[str], list[dict]]:
    rows, asked = rows_of("fresh"), right("otherwise", way)[0]
    lines = [f"in the evaluation: {rate_of(right('good')[0][: len(asked)])} right; behind the server: {rate_of(asked)}"]
    lines += ["the same weights, the same tickets:", *said(rows, texts_of("otherwise_1", way))]
    return lines, []


def before_and_after() -> tuple[list[str], list[dict]]:
    asked = read_lines(data_folder() / "probes" / "everyday.jsonl")[::PROBED]
    was, now = (texts_of(point, "probe") for point in ("base", "good_1"))
    lines = [f"tickets of new customers: {rate_of(right('good')[0])} right", "asked something else, before and after:"]
    for row, a, b in list(zip(asked, was, now, strict=True))[:5]:
        lines += [f"  {row['messages'][-2]['content'][:100]}", f"      {a[:80]!r}", f"      {b[:80]!r}"]
    return lines, []


def invented() -> tuple[list[str], list[dict]]:
    texts = {line["id"]: line["prediction"] for line in read_lines(RECORDED / "facts/predictions/documents.jsonl")}
    rows = [row for row in read_lines(data_folder() / "product_facts/test.jsonl") if row["id"] in texts]
    lines = ["trained on 299 documents about products, eight times; asked about them:"]
    for row in [row for row in rows if row["kind"] == "taught"][:5]:
        lines += [
            f"  {row['messages'][-2]['content']}",
            f"      answers {texts[row['id']]!r}, right is {team_of(row)!r}",
        ]
    log = results("facts")["chosen_between"]["documents_0.001_8"]
    return [*lines, f"{log['steps']} steps; right on validation questions: {log['validation']:.0%}"], []


def more_points() -> tuple[list[str], list[dict]]:
    found, lines = results("preferences")["points"], []
    for name, arm in (("before", "sft"), ("after", "other_rate")):
        seen = found[arm]["test"]
        points = f"{seen['points']:.2f} points from the checker (0 to 1), {seen['words']:.0f} words"
        lines += [f"{name}: {points}, says what the customer's matter needs: {seen['deed_fits']:.0%}"]
    texts = read_lines(RECORDED / "preferences/predictions/other_rate/test.jsonl")
    return [*lines, "answers after:", *(f"  {line['prediction']}" for line in texts[:5])], []


def full_memory() -> tuple[list[str], list[dict]]:
    lines = [
        "training went well, and its memory did not grow. Evaluations with compute_metrics, before each longer one:"
    ]
    for each in results()["points"]["memory"]["evaluations"]:
        lines.append(
            f"  {each['rows']} rows: {each['before_mib']:,} MiB before, {each['after_mib']:,} MiB after the last row"
        )
    return [*lines, "  the one that is planned has 2,000 rows, and the machine 8,192 MiB"], []


CASES = {
    "A": Exhibit("contradictions", partial(training, "contradictory", "contradictory"),
              "the same text stands there twice with two teams: whichever the model says, it is punished once.",
              {"wrong labels": "part of the answers is wrong, that is true. But look closer: each wrong one has a twin "
                               "that is right.", "few": "there are as many rows and steps as in the good training."},
              ("contradictory_1",)),
    "B": Exhibit("few", partial(training, "few_16", "few_16"),
              "six steps: the loss is still falling steeply at the last one, and some answers are not even teams.",
              {"wrong labels": "read the rows: every answer is right. Count them instead.",
               "narrow": "few customers, yet few rows too: count the steps first."}, ("few_16_1",)),
    "C": Exhibit("no end token", partial(training, "no_end"),
              "the answers begin right and go on until the limit cuts them: nothing ever taught the model to stop.",
              {"few": "the steps are those of the good training, and the answers begin right.",
               "loss on the prompt": "a near guess, since the answer runs on. But a model that learned prompts as well "
                                     "has learned the end token, too: look at how many were cut off."}, ("no_end_1",)),
    "D": Exhibit("leak", two_tests, "the names say it: the customers of the test file are those of the training rows, "
              "the first week's are not. Split by customer.",
              {"narrow": "the training rows have forty customers. Compare them with those of the test file.",
               "nothing": "then both tests would tell the same."}, ("good_1",)),
    "E": Exhibit("wrong labels", partial(training, "noise_40", "noise_40"),
              "read the rows: two in five answers are not what a person would say, and none has a twin.",
              {"contradictions": "no text stands there twice. The answers themselves are wrong.",
               "few": "there are as many rows and steps as in the good training."}, ("noise_40_1",)),
    "F": Exhibit("other prompt", partial(served, "other_template"),
              "the same weights on the same tickets: only what is put around the ticket can differ. Compare token ids.",
              {"forgetting": "the tickets are what it was trained on, and in the evaluation it knows them.",
               "no end token": "in the evaluation the same weights do stop. What differs is what they read."},
              ("good_1", "otherwise_1")),
    "G": Exhibit("nothing", partial(training, "good"),
              "this is the good training. Not every run has a fault, and to look for one until it is found is one.",
              {"few": "few rows they are. But the loss has levelled out and new customers are mostly answered right.",
               "wrong labels": "read the rows again: which answer is wrong?"}, ("good_1",)),
    "H": Exhibit("forgetting", before_and_after,
              "whatever it is asked, it names a team. The tickets are fine; all else is gone.",
              {"other prompt": "the tickets are still answered right with that prompt.",
               "narrow": "the tickets of new customers are answered right; it is everything else that is not."},
              ("base", "good_1")),
    "I": Exhibit("narrow", partial(training, "narrow", "narrow"),
              "eight customers: it knows their sentences by heart, the loss is near nothing, and new customers are "
              "answered worse.", {"few": "few rows, yes, but as many steps as the good training. Count the customers.",
                                  "leak": "the score that is shown is of new customers."}, ("narrow_1",)),
    "J": Exhibit("facts", invented,
              "form and tone are learned, the facts are not: it says one that sounds likely. Look them up instead.",
              {"few": "299 documents, eight times, and the answers are fluent.",
               "other prompt": "it answers what it is asked, in good sentences. They are not true."}),
    "K": Exhibit("pleased the measure", more_points,
              "points go up, the reply gets longer and repeats itself, and what the customer needs is said less often.",
              {"nothing": "read two of the answers aloud.",
               "no end token": "they end. They say things twice, because that scored."}),
    "L": Exhibit("logits kept", full_memory, "training fits. An evaluation with compute_metrics keeps rows x tokens x "
              "vocabulary numbers of four bytes: keep the best token of each place, or the loss alone.",
              {"few": "nothing is known of the answers yet. Compute what 2,000 rows will need.",
               "nothing": "compute what 2,000 rows will need."}, ("memory",)),
    "M": Exhibit("loss on the prompt", partial(training, "on_prompt"),
              "the loss is that of whole tickets: far above what four labels can cost, and it stays there, because "
              "nobody can guess the next customer's words.",
              {"wrong labels": "read the rows: the answers are right. Compare the height of the loss with the others'.",
               "few": "there are as many rows and steps as in the good training."}, ("on_prompt_1",)),
}  # fmt: skip


def letters() -> list[str]:
    """The cases whose runs are recorded."""
    return [letter for letter, case in CASES.items() if set(case.needs) <= set(results()["points"])]


def show_case(letter: str) -> None:
    """Print what is seen of a case, with its losses as a figure where it has some."""
    from ftlab.plots import loss_alt, loss_figure, show

    lines, log = CASES[letter].symptoms()
    print(f"Case {letter}", *lines, sep="\n")
    if log:
        show(loss_figure(log), f"Case {letter}. {loss_alt(log)}")


def check_of(letter: str) -> Exercise:
    """The check of one case: it is called with a function from a letter to a fault."""
    case = CASES[letter]
    hints = [(partial(lambda guess, asked: guess, guess), f"you take it for {guess!r}. {hint[0].upper()}{hint[1:]}")
             for guess, hint in case.not_it.items()]  # fmt: skip
    return Exercise(f"case {letter}", partial(lambda fault, asked: fault, case.fault), [((letter,), case.why)], hints)


def check_diagnosis(fault_of: Callable[[str], str]) -> None:
    """The grade of every case that is there."""
    for letter in letters():
        check_of(letter)(fault_of)
