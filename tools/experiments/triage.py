"""Support triage on `smol`: fine-tuned with three seeds and on fewer rows, against prompts and a linear classifier."""

import json
from functools import partial
from pathlib import Path

from record import ROOT, WORK, Point, done

import ftlab.run as runs
from ftlab.baselines.linear import train_linear
from ftlab.baselines.prompting import Prompt
from ftlab.evaluation.metrics import score_records
from ftlab.files import whole_file
from ftlab.judging import searched
from ftlab.training.data import answers_of, read_data
from ftlab.training.recipe import load_recipe
from ftlab.training.train import load_model, train_model

RECIPE = ROOT / "recipes" / "support_triage_smol.yaml"
FOLDER = WORK / "triage"
RATES = (1e-3, 2e-3, 5e-4)
SEEDS = (1, 2, 3)
EPOCHS = {100: 10, 300: 5, 1000: 3, 2000: 2}  # fewer rows more often: 125 to 500 steps
WATCHED = 100  # validation rows under the loss while it trains
CHOSEN_ON = 200  # validation rows that settings are chosen on


def the_recipe(rows: int, rate: float, seed: int):
    recipe = load_recipe(RECIPE)
    training = recipe.training.model_copy(update={"learning_rate": rate, "num_train_epochs": EPOCHS[rows]})
    data = recipe.data.model_copy(update={"train_rows": rows, "replay": None})
    return recipe.model_copy(update={"training": training, "data": data, "seed": seed})


def best_rate() -> float:
    """The learning rate whose answers to the validation rows were best."""
    return max(RATES, key=lambda rate: done(FOLDER / f"rate_{rate:g}")["validation"]["field_accuracy"])


def answer(folder: Path, name: str, parts: dict, ask, schema) -> dict:
    """Answers of a system to each part, written unless they are there; field accuracy and exact records of each."""
    results = {}
    for part, each in parts.items():
        path = folder / "predictions" / f"{part}.{name}.jsonl"
        seen = path.with_suffix(".json")
        if not seen.exists():
            print(f"  {name} on {part}", flush=True)
            out = ask(each.rows)
            runs.write_predictions(path, each.rows, out.texts)
            cost = {key: getattr(out, key) for key in ("prompt_tokens", "new_tokens", "seconds", "cut_off")}
            with whole_file(seen) as file:
                file.write(json.dumps(cost).encode())
        texts = [json.loads(line)["prediction"] for line in path.read_text().splitlines()]
        right = [json.loads(text) for text in answers_of(each.rows)]
        scores = score_records(texts, right, schema=schema)
        results[part] = {
            key: float(getattr(scores, key).mean()) for key in ("field_accuracy", "exact_match", "valid_json")
        }
    return results


def settings(recipe) -> dict:
    return recipe.evaluation.model_dump(include={"max_new_tokens", "batch_size"}) | {"progress": False}


def first(part, n: int):
    return type(part)(part.path, part.rows[:n], part.lines[:n])


def fine_tune(folder: Path, rows: int, seed: int, rate: float | None = None, tests: tuple = ("test",)) -> dict:
    recipe = the_recipe(rows, rate or best_rate(), seed)
    data = read_data(recipe)
    model, tokenizer = load_model(recipe)
    tuned, training = train_model(recipe, model, tokenizer, data.train.rows, data.validation.rows[:WATCHED], folder)
    tuned.save_pretrained(folder / "adapter")
    tokenizer.save_pretrained(folder / "adapter")
    with whole_file(folder / "training.json") as file:
        file.write(json.dumps(training, indent=1).encode())
    parts = {"validation": first(data.validation, CHOSEN_ON)} | {name: data.tests[name] for name in tests}
    results = answer(folder, "fine_tuned", parts, partial(runs.ask, tuned, tokenizer, settings(recipe)), data.schema)
    return results | {"rows": rows, "seed": seed, "learning_rate": recipe.training.learning_rate,
                      "epochs": EPOCHS[rows], "steps": training["steps"]}  # fmt: skip


def linear(folder: Path) -> dict:
    results = {}
    for rows in EPOCHS:
        recipe = the_recipe(rows, 1e-3, 1)
        data = read_data(recipe)
        model = train_linear(data.train.rows, data.schema)
        parts = data.tests if rows == 2000 else {"test": data.tests["test"]}
        asked = lambda each, model=model: model.answer(runs.inputs_of(each))  # noqa: E731
        results[str(rows)] = answer(folder / str(rows), "linear", parts, asked, data.schema)
    return results


def prompts(folder: Path) -> dict:
    """Search on validation, then the best prompt of each kind on the test sets."""
    recipe = the_recipe(2000, 1e-3, 1)
    data = read_data(recipe)
    model, tokenizer = load_model(recipe)
    found = runs.find_prompts(recipe, model, tokenizer, data, settings(recipe), folder, partial(print, flush=True))
    tried = [searched(kind, each, ("field_accuracy",)) for kind, each in found.tried]
    tried = json.loads(json.dumps(tried, default=lambda interval: vars(interval)))
    ask = partial(runs.ask, model, tokenizer, settings(recipe))
    results = {"base": answer(folder, "base", {"test": data.tests["test"]}, ask, data.schema)}
    for kind, prompt in found.best.items():
        asked = partial(ask, prompt=prompt, allowed=found.allowed if kind == "constrained" else None)
        results[kind] = answer(folder, kind, data.tests, asked, data.schema)
    best = {kind: prompt.name for kind, prompt in found.best.items() if isinstance(prompt, Prompt)}
    return results | {"tried": tried, "best": best}


def points() -> list[Point]:
    search = [f"rate_{rate:g}" for rate in RATES]
    points = [
        Point(name, partial(fine_tune, rows=300, seed=1, rate=rate, tests=()))
        for name, rate in zip(search, RATES, strict=True)
    ]
    points.append(Point("linear", linear))
    everything = ("test", "hard", "other_shop")
    points += [
        Point(f"seed_{seed}", partial(fine_tune, rows=2000, seed=seed, tests=everything), tuple(search))
        for seed in SEEDS
    ]
    points.append(Point("prompts", prompts))
    points += [Point(f"rows_{rows}", partial(fine_tune, rows=rows, seed=1), tuple(search)) for rows in (1000, 100, 300)]
    return points
