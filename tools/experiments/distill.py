"""Distillation on support tickets: a long prompt into the weights of `smol`, and `smol` into `nano`.

Prompt into weights: the contest's best prompt (triage.py) answers tickets whose own answers nobody reads; `smol` learns
these with the short prompt, and once more the true answers of the same tickets, in as many steps.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from experiments import triage
from experiments._common import fine_tune, texts_in, tickets
from record import WORK, Point, done

import ftlab.run as runs
from ftlab.baselines.choice import choose_records, record_candidates
from ftlab.kept import kept, write_predictions
from ftlab.training.train import load_model

FOLDER = WORK / "distill"
NEW = slice(100, 260)  # validation tickets: no sentence of theirs is in the prompt's examples, as for test tickets
CHUNK = 20  # tickets that are kept together: a stopped recording loses no more
STEPS, BATCH, RATE = 60, 8, 2e-3  # the rate that the contest chose on validation


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


def train(folder: Path, rows: list[dict]) -> dict:
    return fine_tune(folder, rows, only_test=True, num_train_epochs=STEPS * BATCH / len(rows), learning_rate=RATE)


def points() -> list[Point]:
    return [
        Point("prompt_labels", prompt_labels),
        Point("prompt_student", prompt_student, ("prompt_labels",)),
        Point("gold_student", gold_student),
    ]
