"""What the experiments about one fine-tune each share: a recipe with changes, a training, its answers, the record.

Each is one fine-tune of `smol` on support tickets, judged on the same tickets and on the everyday questions.
"""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
from experiments.triage import RECIPE, answer, first
from record import ROOT, WORK, done, write_results

import ftlab.run as runs
from ftlab.evaluation.metrics import probe_scores, score_records
from ftlab.evaluation.statistics import compare, score_interval
from ftlab.kept import kept_answers
from ftlab.training.data import answers_of, read_data, read_part
from ftlab.training.recipe import ADAPTER_KEYS, load_recipe
from ftlab.training.train import load_model, train_model

ROWS, EPOCHS, RATE, SEED = 300, 3, 1e-3, 1  # unless a point says otherwise: 113 steps of 8, 106,000 tokens
WATCHED, VALIDATION, TEST = 40, 100, 200  # validation rows under the loss; tickets that are answered
PROBE = ROOT / "data" / "probes" / "everyday.jsonl"
REPLAY = ROOT / "data" / "replay" / "everyday.jsonl"
PROBE_TOKENS, BATCH = 24, 50
MEASURES = ("field_accuracy", "exact_match")


def recipe_with(**training):
    """The recipe of the triage run with changes to its training; with method full, without an adapter."""
    recipe = load_recipe(RECIPE)
    changes = {"num_train_epochs": EPOCHS, "learning_rate": RATE} | training
    if changes.get("method") == "full":
        changes |= dict.fromkeys(ADAPTER_KEYS)
    data = recipe.data.model_copy(update={"replay": None, "replay_rows": None, "train_rows": None})
    return recipe.model_copy(
        update={"training": recipe.training.model_copy(update=changes), "data": data, "seed": SEED, "seeds": None}
    )


@cache
def tickets():
    """Every ticket that the recipe names."""
    return read_data(recipe_with())


def asked_tickets() -> dict:
    """The tickets that every model answers."""
    return {"validation": first(tickets().validation, VALIDATION), "test": first(tickets().tests["test"], TEST)}


def mixed(rows: list[dict], share: float) -> list[dict]:
    """The rows and so many replayed chats that these are `share` of the whole."""
    chats = read_part(REPLAY).rows
    wanted = round(len(rows) * share / (1 - share))
    if wanted > len(chats):
        raise ValueError(f"{REPLAY}: {wanted} chats are wanted and it has {len(chats)}; take a smaller share")
    return rows + chats[:wanted]


def answer_probe(folder: Path, model, tokenizer) -> float:
    """The share of everyday questions that a model gets right; its answers are written unless they are there."""
    rows = read_part(PROBE).rows
    settings = {"max_new_tokens": PROBE_TOKENS, "batch_size": BATCH}
    ask = partial(runs.ask, model, tokenizer, settings, rows)
    kept_answers(folder / "predictions" / "probe.jsonl", rows, ask)
    return float(probe_right(folder).mean())


def predictions(folder: Path) -> Path:
    """Where a point's predictions lie: where they were made, or where they were published."""
    made = folder / "predictions"
    return made if made.exists() else ROOT / "data" / "recorded" / folder.parent.name / "predictions" / folder.name


def probe_right(folder: Path) -> np.ndarray:
    """1 for each everyday question that was answered right, else 0."""
    return probe_scores(texts_in(predictions(folder) / "probe.jsonl"), read_part(PROBE).rows)


def texts_in(path: Path) -> list[str]:
    return [json.loads(line)["prediction"] for line in path.read_text().splitlines()]


def untrained(folder: Path) -> dict:
    """What smol answers before any training."""
    model, tokenizer = load_model(recipe_with())
    return {"probe": answer_probe(folder, model, tokenizer)}


def fine_tune(
    folder: Path, rows: Sequence[dict], look: Callable | None = None, only_test: bool = False, **training
) -> dict:
    """Train on the rows, answer the tickets and the everyday questions; checkpoints go when all is answered.

    `look(model)` may add what else is to be known of the trained model; `only_test`: the test tickets are answered
    and nothing else.
    """
    recipe, parts = recipe_with(**training), asked_tickets()
    watched = parts["validation"].rows[:WATCHED]
    model, tokenizer = load_model(recipe)
    tuned, seen = train_model(recipe, model, tokenizer, rows, watched, folder)
    parts = {"test": parts["test"]} if only_test else parts
    results = answer(folder, "fine_tuned", parts, partial(runs.ask, tuned, tokenizer, runs.asking(recipe)),
                     tickets().schema)  # fmt: skip
    if not only_test:
        results["probe"] = answer_probe(folder, tuned, tokenizer)
    results |= look(tuned) if look else {}
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    results |= {"rows": len(rows), "setting": training, "precision": runs.hardware.precision(recipe.model)}
    told = ("steps", "final_loss", "final_eval_loss", "trainable_parameters", "log")
    return results | {f"training_{key}": seen[key] for key in told}


def summary(folder: Path) -> dict:
    """A point's rates with their intervals, from its predictions."""
    found = {}
    for part, each in asked_tickets().items():
        path = predictions(folder) / f"{part}.fine_tuned.jsonl"
        if path.exists():
            right = [json.loads(text) for text in answers_of(each.rows)]
            scores = score_records(texts_in(path), right, schema=tickets().schema)
            found[part] = {name: vars(score_interval(getattr(scores, name))) for name in MEASURES}
    if (predictions(folder) / "probe.jsonl").exists():
        found["probe"] = vars(score_interval(probe_right(folder)))
    return found


def kept(before: Path, after: Path) -> dict:
    """The everyday questions before against after a training, and how many of each skill are right after it."""
    was, now = probe_right(before), probe_right(after)
    skills, right = Counter(), Counter()
    for row, score in zip(read_part(PROBE).rows, now, strict=True):
        skills[row["skill"]] += 1
        right[row["skill"]] += int(score)
    return compare(was, now).to_dict() | {"skills": {skill: [right[skill], n] for skill, n in skills.items()}}


def copy_answers(made: Path, published: Path) -> None:
    published.mkdir(parents=True, exist_ok=True)
    for path in made.glob("*.jsonl"):
        shutil.copy(path, published)


def publish(name: str, folders: dict[str, Path], more: dict) -> None:
    """Write data/recorded/NAME: results.json from the points that are done, by name and folder, and their predictions.

    A point that was made elsewhere, and is only in the record here, stays as it is; so does what `more` leaves out.
    """
    record = ROOT / "data" / "recorded" / name
    old = json.loads((record / "results.json").read_text()) if (record / "results.json").exists() else {}
    table = {}
    for point, folder in folders.items():
        if not (found := done(folder)):
            continue
        table[point] = found
        if (folder / "done.json").exists():
            table[point] = found | summary(folder)
            if (folder / "predictions" / "probe.jsonl").exists():
                table[point]["kept"] = kept(WORK / "forgetting" / "before", folder)
            if folder.parent.name == name:
                copy_answers(folder / "predictions", record / "predictions" / folder.name)
    defaults = {"rows": ROWS, "num_train_epochs": EPOCHS, "learning_rate": RATE, "seed": SEED}
    write_results(name, record, table, folders, {"defaults": defaults, "points": table} | more, old)
