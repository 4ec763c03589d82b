"""Distillation on support tickets: a long prompt into the weights of `smol`, and `smol` into `nano`.

Prompt into weights: the contest's best prompt (triage.py) answers tickets whose own answers nobody reads; `smol` learns
these with the short prompt, and once more the true answers of the same tickets, in as many steps.
Large into small: `smol`, trained on 100 tickets, answers 400 more; `nano`, 40 times smaller, learns from these, from
the 100 alone, and from the true answers. Then from a teacher that takes two teams for two others, and from one that is
as often wrong, but at random.
"""

import json
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from experiments import triage
from experiments._common import SEED, WATCHED, asked_tickets, fine_tune, recipe_with, texts_in, tickets
from experiments.data import values
from record import ROOT, WORK, Point, done, minutes_by_machine

import ftlab.run as runs
from ftlab.baselines.choice import choose_records, record_candidates
from ftlab.evaluation.generation import end_token_ids, padded, prompt_ids, reading
from ftlab.files import whole_file
from ftlab.kept import kept, write_predictions
from ftlab.training.train import load_model, train_model

FOLDER, RECORD = WORK / "distill", ROOT / "data" / "recorded" / "distill"
NEW = slice(100, 220)  # validation tickets: no sentence of theirs is in the prompt's examples, as for test tickets
CHUNK = 20  # tickets that are kept together: a stopped recording loses no more
FEW, ALL = 100, 500  # training tickets: those whose answers one has, and with those that the large model answers
MAX_NEW_TOKENS = 96
SURE = 200  # of the large model's answers, those that it is surest of
SMALL = {"learning_rate": 4e-3, "per_device_train_batch_size": 16}  # as the recipe of `nano` has it
SMALL_STEPS = 100
SEEDS = (1, 2)  # of the small model, which varies more
CONFUSED = {"workshop": "aftersales", "accounts": "billing"}  # what the wrong teacher takes for what
STEPS, BATCH, RATE = 50, 8, 2e-3  # the rate that the contest chose on validation


def new_tickets() -> list[dict]:
    """The tickets that the long prompt answers for its student."""
    return tickets().validation.rows[NEW]


def prompt_labels(folder: Path) -> dict:
    """The long prompt's answers to the new tickets, with how sure it is of each field."""
    recipe = triage.the_recipe(triage.ALL)
    data, rows = triage.tickets(recipe), new_tickets()
    model, tokenizer = load_model(recipe)
    prompt = triage.every_prompt(recipe, data)[done(triage.FOLDER / "prompts")["best"]["constrained"]]
    fields = record_candidates(data.schema, data.train.rows)

    def answer(some: list[dict]) -> dict:
        out = choose_records(model, tokenizer, prompt, runs.inputs_of(some), fields)
        return {"prompt_tokens": out.prompt_tokens, "new_tokens": out.new_tokens, "texts": out.texts,
                "sure": np.prod(list(out.confidence.values()), axis=0).round(4).tolist()}  # fmt: skip

    return {"prompt": prompt.name} | labelled(folder / "predictions" / "new.prompt.jsonl", rows, answer)


def labelled(path: Path, rows: list[dict], answer: Callable) -> dict:
    """A teacher's answers, written as predictions and CHUNK by CHUNK; what they cost, and how sure it is of each."""
    texts, sure, tokens = [], [], {"prompt_tokens": 0, "new_tokens": 0}
    for at in range(0, len(rows), CHUNK):
        found = kept(path.parent.parent / "chunks" / f"{at}.json", partial(answer, rows[at : at + CHUNK]))
        texts, sure = texts + found["texts"], sure + found["sure"]
        tokens = {name: count + found[name] for name, count in tokens.items()}
    write_predictions(path, rows, texts)
    return {"tickets": len(rows), "sure": sure} | tokens


def with_answers(rows: list[dict], answers: list[str]) -> list[dict]:
    """The rows with other answers."""
    return [row | {"messages": [*row["messages"][:-1], row["messages"][-1] | {"content": text}]}
            for row, text in zip(rows, answers, strict=True)]  # fmt: skip


def prompt_student(folder: Path) -> dict:
    """`smol` with the short prompt, trained on the long prompt's answers."""
    answers = texts_in(FOLDER / "prompt_labels" / "predictions" / "new.prompt.jsonl")
    return train(folder, with_answers(new_tickets(), answers))


def gold_student(folder: Path) -> dict:
    """The same from the true answers."""
    return train(folder, new_tickets())


def train(folder: Path, rows: list[dict], look: Callable | None = None) -> dict:
    training = {"num_train_epochs": STEPS * BATCH / len(rows), "learning_rate": RATE}
    return fine_tune(folder, rows, look, only_test=True, train_sampling_strategy="group_by_length", **training)


# --- large into small


def large(folder: Path) -> dict:
    """The teacher: `smol`, trained on the few tickets whose answers one has."""

    def save(model) -> dict:
        model.save_pretrained(folder / "adapter")
        return {}

    return train(folder, tickets().train.rows[:FEW], save)


def large_labels(folder: Path) -> dict:
    """The teacher's answers to the other tickets."""
    model, tokenizer = load_model(recipe_with(), FOLDER / "large" / "adapter")
    rows = tickets().train.rows[FEW:ALL]
    return labelled(folder / "predictions" / "train.large.jsonl", rows, partial(sure_answers, model, tokenizer))


def sure_answers(model, tokenizer, rows: list[dict]) -> dict:
    """Greedy answers in one batch, and the probability that the model gave to each whole answer."""
    import torch

    ids = [prompt_ids(tokenizer, row["messages"][:-1]) for row in rows]
    ends = end_token_ids(model, tokenizer)
    given, mask = padded(ids, model.device, tokenizer.pad_token_id, left=True)
    with reading(model, len(rows), given.shape[1] + MAX_NEW_TOKENS):
        out = model.generate(input_ids=given, attention_mask=mask, max_new_tokens=MAX_NEW_TOKENS, do_sample=False,
                             pad_token_id=tokenizer.pad_token_id, eos_token_id=ends, output_logits=True,
                             return_dict_in_generate=True)  # fmt: skip
        written = out.sequences[:, given.shape[1] :]
        logs = torch.stack(out.logits, dim=1).float().log_softmax(-1).gather(-1, written[:, :, None])[:, :, 0]
    found = {"texts": [], "sure": [], "prompt_tokens": sum(map(len, ids)), "new_tokens": 0}
    for answer, log in zip(written.tolist(), logs, strict=True):
        end = next((at for at, token in enumerate(answer) if token in ends), len(answer) - 1)
        found["texts"].append(tokenizer.decode(answer[: end + 1], skip_special_tokens=True))
        found["sure"].append(round(log[: end + 1].sum().exp().item(), 4))
        found["new_tokens"] += end + 1
    return found


def taught() -> list[dict]:
    """The training tickets with the large model's answers."""
    answers = texts_in(FOLDER / "large_labels" / "predictions" / "train.large.jsonl")
    return with_answers(tickets().train.rows[FEW:ALL], answers)


def surest() -> list[dict]:
    """Those of them that the large model was surest of."""
    sure = done(FOLDER / "large_labels")["sure"]
    return [row for row, _ in sorted(zip(taught(), sure, strict=True), key=lambda pair: -pair[1])[:SURE]]


def confused() -> list[dict]:
    """All tickets as a teacher answers that takes two teams for two others, and is right in all else."""
    return [with_queue(row, CONFUSED.get(queue(row), queue(row))) for row in tickets().train.rows[:ALL]]


def scattered() -> list[dict]:
    """All tickets from a teacher that names a wrong team as often, but any team for any ticket."""
    drawn, rows = random.Random(SEED), tickets().train.rows[:ALL]
    wrong = set(drawn.sample(range(ALL), sum(queue(row) in CONFUSED for row in rows)))
    teams = values("queue")
    return [with_queue(row, drawn.choice([team for team in teams if team != queue(row)])) if at in wrong else row
            for at, row in enumerate(rows)]  # fmt: skip


def queue(row: dict) -> str:
    return json.loads(row["messages"][-1]["content"])["queue"]


def with_queue(row: dict, team: str) -> dict:
    record = json.loads(row["messages"][-1]["content"]) | {"queue": team}
    return with_answers([row], [json.dumps(record)])[0]


def small(folder: Path, rows: Callable[[], list[dict]]) -> dict:
    """`nano`, trained on the rows with each seed, and its answers to the test tickets."""
    rows, test = rows(), {"test": asked_tickets()["test"]}
    epochs = SMALL_STEPS * SMALL["per_device_train_batch_size"] / len(rows)
    for seed in SEEDS:
        recipe = recipe_with(num_train_epochs=epochs, **SMALL).model_copy(update={"model": "nano", "seed": seed})
        name, place = f"seed_{seed}", folder / f"seed_{seed}"
        if not (folder / "predictions" / f"test.{name}.json").exists():
            model, tokenizer = load_model(recipe)
            watched = tickets().validation.rows[:WATCHED]
            model, _ = train_model(recipe, model, tokenizer, rows, watched, place)
            ask = partial(runs.ask, model, tokenizer, runs.asking(recipe))
            triage.answer(folder, name, test, ask, tickets().schema)
            shutil.rmtree(place)
    return {"rows": len(rows)}


def small_rows() -> dict[str, Callable[[], list[dict]]]:
    """What `nano` learns from, by point."""
    rows = tickets().train.rows
    return {
        "small_few": lambda: rows[:FEW],
        "small_taught": lambda: rows[:FEW] + taught(),
        "small_gold": lambda: rows[:ALL],
        "small_surest": lambda: rows[:FEW] + surest(),
        "small_confused": confused,
        "small_scattered": scattered,
    }


# --- the record


def points() -> list[Point]:
    needs = dict.fromkeys(("small_taught", "small_surest"), ("large_labels",))
    return [
        Point("prompt_labels", prompt_labels),
        Point("large", large),
        Point("prompt_student", prompt_student, ("prompt_labels",)),
        Point("large_labels", large_labels, ("large",)),
        *(Point(name, partial(small, rows=rows), needs.get(name, ())) for name, rows in small_rows().items()),
        Point("gold_student", gold_student),
    ]


def publish() -> None:
    """Write data/recorded/distill/: what each point returned, and all answers with their tokens."""
    made = {point.name: found for point in points() if (found := done(FOLDER / point.name))}
    for name in made:
        for path in sorted((FOLDER / name / "predictions").glob("*.json*")):
            (RECORD / "predictions" / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, RECORD / "predictions" / name)
    results = {
        "command": "python tools/record.py distill", "minutes_by_machine": minutes_by_machine(made.values()),
        "not_done": [point.name for point in points() if point.name not in made],
        "new": [NEW.start, NEW.stop], "few": FEW, "all": ALL, "sure": SURE, "steps": STEPS, "batch": BATCH,
        "small_steps": SMALL_STEPS, "confused": CONFUSED, "points": made,
    }  # fmt: skip
    with whole_file(RECORD / "results.json") as file:
        file.write((json.dumps(results, indent=1) + "\n").encode())
