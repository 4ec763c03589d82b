"""Distillation on support tickets: a long prompt into the weights of `smol`, `smol` into `nano`, and a wrong teacher.

Prompt into weights: the triage record has the long prompt's answers to 300 test tickets. `smol` learns those to half of
the phrasings with the short prompt, once more the true answers of the same tickets in as many steps, and the prompt's
for twice as many; the other half judges. Large into small: the record's trainings of `smol` on 300 tickets have
answered 200 validation tickets; `nano`, 40 times smaller, learns from 100 tickets of its own, with these, and with the
true answers. Wrong teacher: 400 training tickets from one that takes two teams for two others, and from one that names
a wrong team as often, but at random. One training of `smol` and its answers take about nine minutes on one core that
has nothing else to do, one of `nano` about one.
"""

import json
import math
import random
import shutil
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from experiments import triage
from experiments._common import SEED, WATCHED, asked_tickets, copy_answers, recipe_with, texts_in, tickets
from experiments.data import values
from record import ROOT, WORK, Point, done, write_results

import ftlab.run as runs
from ftlab.training.data import Part
from ftlab.training.train import load_model, train_model

FOLDER, RECORD = WORK / "distill", ROOT / "data" / "recorded" / "distill"
ANSWERED, KNOWN = 300, 200  # test tickets that the long prompt has answered; validation tickets that `smol` has
FEW, MANY = 100, 400  # training tickets: what one has labelled, and what the wrong teachers answer
BATCH = {"smol": (4, 2), "nano": (16, 1)}  # rows at a time, and how often before a step; 8 rows at once need 4 GB
STEPS = {"smol": 50, "nano": 100}
RATE = {"smol": 2e-3, "nano": 4e-3}  # as in the recipes of both
CONFUSED = {"workshop": "aftersales", "accounts": "billing"}  # what the wrong teacher takes for what


def with_answers(rows: list[dict], answers: list[str]) -> list[dict]:
    """The rows with other answers."""
    return [row | {"messages": [*row["messages"][:-1], row["messages"][-1] | {"content": text}]}
            for row, text in zip(rows, answers, strict=True)]  # fmt: skip


# --- a long prompt into the weights


@cache
def new_and_judged() -> tuple[list[int], list[int]]:
    """Places of the test tickets that the student learns from, and of those that judge: no phrasing is in both."""
    groups = tickets().groups["test"][:ANSWERED]
    names = sorted(set(groups))
    random.Random(SEED).shuffle(names)
    new = set(names[: len(names) // 2])
    return tuple([at for at, group in enumerate(groups) if (group in new) == wanted] for wanted in (True, False))


def judged() -> Part:
    """The tickets that judge what `smol` has learned."""
    test = tickets().tests["test"]
    places = new_and_judged()[1]
    return Part(test.path, [test.rows[at] for at in places], [test.lines[at] for at in places])


def new_tickets(taught: bool) -> list[dict]:
    """The others, with the long prompt's answers or with the true ones."""
    places, rows = new_and_judged()[0], tickets().tests["test"].rows
    rows = [rows[at] for at in places]
    if not taught:
        return rows
    answers = texts_in(triage.RECORD / "predictions" / "test.constrained.jsonl")
    return with_answers(rows, [answers[at] for at in places])


# --- a wrong teacher


def confused() -> list[dict]:
    """Tickets as a teacher answers that takes two teams for two others, and is right in all else."""
    return [with_queue(row, CONFUSED.get(queue(row), queue(row))) for row in tickets().train.rows[:MANY]]


def scattered() -> list[dict]:
    """The same from a teacher that names a wrong team as often, but any team for any ticket."""
    drawn, rows = random.Random(SEED), tickets().train.rows[:MANY]
    wrong = set(drawn.sample(range(MANY), sum(queue(row) in CONFUSED for row in rows)))
    return [with_queue(row, drawn.choice([team for team in values("queue") if team != queue(row)]))
            if at in wrong else row for at, row in enumerate(rows)]  # fmt: skip


def queue(row: dict) -> str:
    return json.loads(row["messages"][-1]["content"])["queue"]


def with_queue(row: dict, team: str) -> dict:
    record = json.loads(row["messages"][-1]["content"]) | {"queue": team}
    return with_answers([row], [json.dumps(record)])[0]


# --- large into small


def small_rows(more: str | None) -> list[dict]:
    """A few tickets of one's own, and perhaps others with the large model's answers ("taught") or the true ones."""
    few, others = tickets().train.rows[:FEW], tickets().validation.rows[:KNOWN]
    if more == "taught":
        others = with_answers(others, texts_in(triage.RECORD / "predictions" / "validation.fine_tuned.jsonl"))
    return few + others if more else few


# --- the points and the record


def train(folder: Path, model: str, rows: Callable, part: Callable, times: int = 1) -> dict:
    """Train a model on the rows, so many times as long; its answers to the tickets of the part are kept."""
    rows, (batch, accumulation) = rows(), BATCH[model]
    recipe = recipe_with(
        num_train_epochs=times * STEPS[model] / math.ceil(len(rows) / (batch * accumulation)),
        learning_rate=RATE[model],
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulation,
        train_sampling_strategy="group_by_length",
    ).model_copy(update={"model": model})
    student, tokenizer = load_model(recipe)
    student, seen = train_model(recipe, student, tokenizer, rows, tickets().validation.rows[:WATCHED], folder)
    ask = partial(runs.ask, student, tokenizer, runs.asking(recipe))
    found = triage.answer(folder, "student", {"test": part()}, ask, tickets().schema)["test"]
    found |= json.loads((folder / "predictions" / "test.student.json").read_text())
    shutil.rmtree(folder / "checkpoints")
    told = {name: seen[name] for name in ("steps", "final_loss", "final_eval_loss")}
    return {"model": model, "rows": len(rows)} | found | told


def points() -> list[Point]:
    smol = partial(partial, train, model="smol", part=judged)
    test = partial(asked_tickets().get, "test")
    small = partial(partial, train, model="nano", part=test)
    return [
        Point("prompt_student", smol(rows=partial(new_tickets, taught=True))),
        Point("gold_student", smol(rows=partial(new_tickets, taught=False))),
        Point("prompt_longer", smol(rows=partial(new_tickets, taught=True), times=2)),
        *(Point(f"small_{name}", small(rows=partial(small_rows, more)))
          for name, more in {"few": None, "taught": "taught", "gold": "gold"}.items()),
        Point("small_confused", small(rows=confused)),
        Point("small_scattered", small(rows=scattered)),
        Point("confused", smol(rows=confused)),
        Point("scattered", smol(rows=scattered)),
    ]  # fmt: skip


def publish() -> None:
    """Write data/recorded/distill/: what each point returned, and all answers with their tokens."""
    made = {point.name: found for point in points() if (found := done(FOLDER / point.name))}
    for name in made:
        copy_answers(FOLDER / name / "predictions", RECORD / "predictions" / name)
    new, judges = new_and_judged()
    more = {
        "new": new, "judged": judges, "few": FEW, "known": KNOWN, "many": MANY, "confused": CONFUSED,
        "steps": STEPS, "batch": {name: batch * times for name, (batch, times) in BATCH.items()}, "points": made,
    }  # fmt: skip
    write_results("distill", RECORD, made, [point.name for point in points()], more)
