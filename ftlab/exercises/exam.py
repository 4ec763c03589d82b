"""The exam, notebook 18: cases to decide, runs with a fault, a file to take to a verdict, numbers to work out."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import yaml

from ftlab.decide import Case, decide
from ftlab.evaluation.statistics import sample_size, wilson
from ftlab.exercises.engine import Exercise
from ftlab.models import data_folder

FOLDER = data_folder() / "exam"


def check_each(exercises: Mapping[str, Exercise], answers: Mapping) -> None:
    """The grade of each answer by itself, and how many are right; one that is missing or None is not solved yet."""
    for letter, exercise in exercises.items():
        exercise(given(answers.get(letter)))
    solved = sum(each.grade(given(answers.get(letter))).status == "solved" for letter, each in exercises.items())
    print(f"{solved} of {len(exercises)} solved")


def given(answer) -> Callable:
    """A function that gives one answer, as the engine wants it."""

    def your_answer():
        return answer

    return your_answer


def one_answer(name: str, right, why: str, wrong: Mapping | Sequence = (), tolerance: float = 1e-6) -> Exercise:
    """An exercise whose answer is one value; `wrong` maps answers that people give to what is wrong with them."""
    mistakes = [(given(answer), hint) for answer, hint in dict(wrong).items() if answer != right]
    return Exercise(name, given(right), trials=[((), why)], mistakes=mistakes, tolerance=tolerance)


# ---- A: six cases

CASES = {
    letter: Case(**fields) for letter, fields in yaml.safe_load((FOLDER / "cases.yaml").read_text("utf-8")).items()
}


def case_exercise(letter: str, case: Case) -> Exercise:
    """Which approach: right is what `decide` puts first, and what speaks against another is its hint."""
    ranking = decide(case).ranking
    first, second = ranking[:2]
    hints = {each.approach: f"you chose {each.approach}, and {each.reason_against}" for each in ranking}
    near = f"(`decide`: {first.approach} {first.total:.1f} points of 5, then {second.approach} {second.total:.1f})"
    return one_answer(f"case {letter}", first.approach, f"{first.reason_for} {near}", hints)


check_cases = {letter: case_exercise(letter, case) for letter, case in CASES.items()}


# ---- B: six runs

WORDS = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
FAULTS: dict[str, str] = WORDS["faults"]  # name: what was done
SIGNS: dict[str, str] = WORDS["signs"]


def run_exercise(letter: str, fault: str) -> Exercise:
    """Which fault: the sign of the right one is the reason, the sign of a wrong one what is missing here."""
    hints = {name: f"you named {name}. Its sign would be: {sign}. Look whether it is there."
             for name, sign in SIGNS.items()}  # fmt: skip
    return one_answer(f"run {letter}", fault, SIGNS[fault], hints)


def sealed(letter: str, fault: str) -> str:
    """How key.json writes a fault, so that whoever opens it has not read the answers."""
    return hashlib.sha256(f"the exam, run {letter}: {fault}".encode()).hexdigest()[:16]


KEY = json.loads((FOLDER / "key.json").read_text("utf-8"))
check_runs = {letter: run_exercise(letter, fault)
              for letter, seal in KEY.items() for fault in FAULTS if sealed(letter, fault) == seal}  # fmt: skip


# ---- C: a file and a verdict


def usable(rows, test, labels):
    """Ids of the rows to train on: a label of the list, no test text, no text with two labels, each text once."""
    fit = [row for row in rows if given_answer(row) in labels]
    named = {}
    for row in fit:
        named.setdefault(asked_text(row), set()).add(given_answer(row))
    seen, kept = {asked_text(row) for row in test}, []
    for row in fit:
        if asked_text(row) not in seen and len(named[asked_text(row)]) == 1:
            seen.add(asked_text(row))
            kept.append(row["id"])
    return kept


def asked_text(row: dict) -> str:
    """What the user wrote, without capitals and spare spaces."""
    return " ".join(row["messages"][-2]["content"].lower().split())


def given_answer(row: dict) -> str:
    return row["messages"][-1]["content"]


def mail(name: str, text: str, answer: str) -> dict:
    """A row for a trial."""
    turns = (("system", "Name the desk."), ("user", text), ("assistant", answer))
    return {"id": name, "messages": [{"role": role, "content": content} for role, content in turns]}


def without(step: str) -> Callable:
    """`usable` with one of its steps left out or done by halves."""

    def mistaken(rows, test, labels):
        if step == "test":
            return usable(rows, [], labels)
        if step == "capitals":
            asked = {row["messages"][-2]["content"] for row in test}
            return usable([row for row in rows if row["messages"][-2]["content"] not in asked], [], labels)
        if step == "labels":
            return usable(rows, test, {given_answer(row) for row in rows})
        kept, names = set(usable(rows, test, labels)), {row["id"]: row for row in rows}
        texts = {asked_text(names[name]) for name in kept}
        if step == "first of two":
            firsts = {}
            for row in rows:
                firsts.setdefault(asked_text(row), row)
            return usable(list(firsts.values()), test, labels)
        return [row["id"] for row in rows if asked_text(row) in texts and given_answer(row) in labels]

    return mistaken


DESKS = ("loans", "fees")
TRIAL_TEST = [mail("t1", "What do I owe?", "fees")]
check_usable = Exercise("usable rows", usable, trials=[
    (([mail("a", "Renew it", "loans"), mail("b", "Pay by card", "fees")], TRIAL_TEST, DESKS), "two sound rows"),
    (([mail("a", "Renew it", "loans"), mail("b", "Pay", "other"), mail("c", "Fine", "")], TRIAL_TEST, DESKS),
     "an empty answer, or one that is no desk, would teach what nobody wants"),
    (([mail("a", "What do I owe?", "fees"), mail("b", "Renew it", "loans")], TRIAL_TEST, DESKS),
     "a mail of the test set must not be trained on"),
    (([mail("a", "WHAT DO I OWE?", "fees"), mail("b", "Renew it", "loans")], TRIAL_TEST, DESKS),
     "a test mail in capitals is still a test mail"),
    (([mail("a", "Renew it", "loans"), mail("b", "renew  it", "loans")], TRIAL_TEST, DESKS), "a copy is kept once"),
    (([mail("a", "Renew it", "loans"), mail("b", "Renew it", "fees"), mail("c", "Pay", "fees")], TRIAL_TEST, DESKS),
     "one mail with two desks: nobody knows which is right, so neither stays"),
], mistakes=[
    (without("test"), "you kept rows that are in the test set. Asked what it was trained on, a model shows nothing."),
    (without("capitals"), "you compared texts letter by letter. Capitals and spaces hide a leak."),
    (without("labels"), "you kept answers that are no label of the list."),
    (without("first of two"), "you kept the first of two contradicting rows. It is as likely to be the wrong one."),
    (without("copies"), "you kept copies. They count twice in the loss, and land on both sides of a split."),
])  # fmt: skip


def verdict(gain, low, high, bar):
    """ "ship", "do not ship" or "not enough data", for a gain with its 95 % interval."""
    if gain >= bar and low > 0:
        return "ship"
    return "do not ship" if high < bar else "not enough data"


check_verdict = Exercise("verdict", verdict, trials=[
    ((0.08, 0.03, 0.13, 0.05), "the bar is reached, and the interval lies above 0"),
    ((0.08, -0.01, 0.17, 0.05), "the bar is reached, but the gain may be chance: 0 is in the interval"),
    ((0.02, 0.01, 0.03, 0.05), "a gain that is sure, and smaller than the bar: the interval ends below it"),
    ((0.03, -0.02, 0.08, 0.05), "the bar is neither reached nor ruled out"),
    ((-0.10, -0.15, -0.05, 0.05), "it is worse"),
    ((0.05, 0.01, 0.09, 0.05), "a gain that is just the bar has reached it"),
], mistakes=[
    (lambda g, low, high, bar: "ship" if g >= bar else verdict(g, low, high, bar),
     "you ship whenever the gain reaches the bar. Ask the interval whether it may be chance."),
    (lambda g, low, high, bar: "ship" if low > 0 else verdict(g, low, high, bar),
     "you ship whatever is better than nothing. The bar says what is worth the trouble."),
    (lambda g, low, high, bar: "ship" if low >= bar else "do not ship" if high < bar else "not enough data",
     "you want the whole interval above the bar. This gate wants the gain at the bar and the interval above 0."),
    (lambda g, low, high, bar: "ship" if g >= bar and low > 0 else "do not ship",
     "you have two answers. A test that is too small to rule the gain out has said nothing yet."),
])  # fmt: skip


# ---- D: six numbers

GIB = 2**30
check_numbers = {
    "1": one_answer("number 1, memory", round(8e9 * 0.5 / GIB, 2), "8 billion weights of half a byte, over 2^30", {
        4.0: "that is GB, 10^9 bytes. A GiB is 2^30 bytes.",
        round(8e9 * 2 / GIB, 2): "those are 16 bits a weight. Four bits are half a byte.",
        3.72: "you cut where you should round.",
    }, tolerance=0.006),
    "2": one_answer("number 2, price", 2000 * 250 * 3 * 3 / 1e6, "2,000 rows of 250 tokens, three times, at 3 USD", {
        1.5: "you read the file once. Each epoch is paid for.",
        0.5: "you left out the epochs and the price.",
    }, tolerance=0.006),
    "3": one_answer("number 3, payback", 6 / (400 * 0.15 / 1e6), "400 tokens at 0.15 USD a million, each call", {
        6 / (400 * 0.15 / 1e3): "you took 0.15 USD for a thousand tokens. It is for a million.",
        6 / (0.15 / 1e6): "that is for one token a call. Each call saves 400.",
    }, tolerance=1),
    "4": one_answer("number 4, sample size", sample_size(0.08, 0.12, power=0.8), "McNemar's test, `ftlab plan`", {
        sample_size(0.08, 0.08001, power=0.8): "you took the disagreement for as large as the gain. It is 12 points.",
        sample_size(0.08, 0.12, power=0.9): "that is for a power of 90 %.",
        sample_size(0.05, 0.12, power=0.8): "that is for a gain of five points.",
    }, tolerance=4),
    "5": one_answer("number 5, interval", round(wilson(45, 50).low, 3), "Wilson's interval of 45 in 50", {
        round(0.9 - 1.96 * (0.9 * 0.1 / 50) ** 0.5, 3): "that is the normal interval, not Wilson's.",
        round(wilson(45, 50).high, 3): "that is the upper end.",
        round(100 * wilson(45, 50).low, 1): "that is in percent. Rates here are fractions of 1.",
        0.79: "two digits are too few: give three.",
    }, tolerance=0.002),
    "6": one_answer("number 6, steps", 171, "57 steps an epoch, the last of them smaller, three times", {
        168: "you dropped the last step of each epoch, for which two batches are left.",
        1350: "you forgot that eight batches are added up before a step.",
        169: "you rounded once at the end. Each epoch has its own last step.",
    }),
}  # fmt: skip
