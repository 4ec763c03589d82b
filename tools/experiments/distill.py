"""Distillation on support tickets: a long prompt into the weights of `smol`, `smol` into `nano`, and a wrong teacher.

Prompt into weights: the triage record has the long prompt's answers to 300 test tickets. `smol` learns those to half of
the phrasings with the short prompt, and once more the true answers of the same tickets, in as many steps; the other
half judges. Wrong teacher: 400 training tickets from one that takes two teams for two others, and from one that names a
wrong team as often, but at random. Large into small: `smol`, trained on 100 tickets, answers 400 more; `nano`, 40 times
smaller, learns from the 100, from all 500, and from the true answers to all. 9 points: one training of `smol` and its
answers take about six minutes on one core that has nothing else to do.
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
from record import ROOT, WORK, Point, done, minutes_by_machine

import ftlab.run as runs
from ftlab.evaluation.generation import end_token_ids, padded, prompt_ids, reading
from ftlab.files import whole_file
from ftlab.kept import kept, write_predictions
from ftlab.training.data import Part
from ftlab.training.train import load_model, train_model

FOLDER, RECORD = WORK / "distill", ROOT / "data" / "recorded" / "distill"
ANSWERED = 300  # test tickets that the long prompt has answered
MANY = 400  # training tickets that the wrong teachers answer
FEW, ALL = 100, 500  # training tickets: what one has labelled, and with those that the large model answers
CHUNK, NEW_TOKENS = 50, 96  # tickets that are answered and kept together; tokens of an answer at most
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


def large(folder: Path) -> dict:
    """The teacher: `smol`, trained on the few tickets that one has labelled."""
    return train(folder, "smol", lambda: tickets().train.rows[:FEW], judged, save=True)


def large_labels(folder: Path) -> dict:
    """The teacher's answers to the other tickets, with the probability that it gave to each."""
    model, tokenizer = load_model(recipe_with(), FOLDER / "large" / "adapter")
    rows, texts, sure = tickets().train.rows[FEW:ALL], [], []
    for at in range(0, len(rows), CHUNK):
        answer = partial(sure_answers, model, tokenizer, rows[at : at + CHUNK])
        found = kept(folder / "chunks" / f"{at}.json", answer)
        texts, sure = texts + found["texts"], sure + found["sure"]
    write_predictions(folder / "predictions" / "train.large.jsonl", rows, texts)
    return {"tickets": len(rows), "sure": sure}


def sure_answers(model, tokenizer, rows: list[dict]) -> dict:
    """Greedy answers in one batch, and the probability that the model gave to each whole answer."""
    import torch

    ids, ends = [prompt_ids(tokenizer, row["messages"][:-1]) for row in rows], end_token_ids(model, tokenizer)
    given, mask = padded(ids, model.device, tokenizer.pad_token_id, left=True)
    with reading(model, len(rows), given.shape[1] + NEW_TOKENS):
        out = model.generate(input_ids=given, attention_mask=mask, max_new_tokens=NEW_TOKENS, do_sample=False,
                             pad_token_id=tokenizer.pad_token_id, eos_token_id=ends, output_logits=True,
                             return_dict_in_generate=True)  # fmt: skip
    written = out.sequences[:, given.shape[1] :]
    steps = zip(out.logits, written.T, strict=True)
    logs = [logits.float().log_softmax(-1).gather(-1, token[:, None]) for logits, token in steps]
    found = {"texts": [], "sure": []}
    for answer, log in zip(written.tolist(), torch.cat(logs, dim=1), strict=True):
        end = next((at for at, token in enumerate(answer) if token in ends), len(answer) - 1)
        found["texts"].append(tokenizer.decode(answer[: end + 1], skip_special_tokens=True))
        found["sure"].append(round(log[: end + 1].sum().exp().item(), 4))
    return found


def small_rows(more: str | None) -> list[dict]:
    """The few tickets, and perhaps the others with the large model's answers ("taught") or the true ones."""
    few, others = tickets().train.rows[:FEW], tickets().train.rows[FEW:ALL]
    if more == "taught":
        others = with_answers(others, texts_in(FOLDER / "large_labels" / "predictions" / "train.large.jsonl"))
    return few + others if more else few


# --- the points and the record


def train(folder: Path, model: str, rows: Callable, part: Callable, save: bool = False) -> dict:
    """Train a model on the rows; its answers to the tickets of the part are kept."""
    rows, (batch, accumulation) = rows(), BATCH[model]
    recipe = recipe_with(
        num_train_epochs=STEPS[model] / math.ceil(len(rows) / (batch * accumulation)),
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
    if save:
        student.save_pretrained(folder / "adapter")
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
        Point("large", large),
        Point("large_labels", large_labels, ("large",)),
        Point("confused", smol(rows=confused)),
        Point("scattered", smol(rows=scattered)),
        Point("small_few", small(rows=partial(small_rows, None))),
        Point("small_taught", small(rows=partial(small_rows, "taught")), ("large_labels",)),
        Point("small_gold", small(rows=partial(small_rows, "gold"))),
    ]


def publish() -> None:
    """Write data/recorded/distill/: what each point returned, and all answers with their tokens."""
    made = {point.name: found for point in points() if (found := done(FOLDER / point.name))}
    for name in made:
        copy_answers(FOLDER / name / "predictions", RECORD / "predictions" / name)
    new, judges = new_and_judged()
    results = {
        "command": "python tools/record.py distill", "minutes_by_machine": minutes_by_machine(made.values()),
        "not_done": [point.name for point in points() if point.name not in made],
        "new": new, "judged": judges, "few": FEW, "all": ALL, "many": MANY, "confused": CONFUSED,
        "steps": STEPS, "batch": {name: batch * times for name, (batch, times) in BATCH.items()}, "points": made,
    }  # fmt: skip
    with whole_file(RECORD / "results.json") as file:
        file.write((json.dumps(results, indent=1) + "\n").encode())
