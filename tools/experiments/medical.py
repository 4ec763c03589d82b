"""Medical coding on `smol`: trained on 300 and 1,500 notes, against prompts, a linear classifier and the likest note.

The prompt is chosen on 40 validation notes; the learning rate is the recipe's, which was chosen for tickets (triage)
and not searched here. For every answer of a fine-tune its probability is kept, which is what routing and its
thresholds are about. The trainings take 133,000 and 333,000 tokens: with all answers an hour on one core. The search
takes more than half an hour of one core, and the best prompt with examples as long again or longer.
"""

import json
import shutil
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from experiments.triage import first
from record import ROOT, WORK, Point, done, write_results

import ftlab.run as runs
from ftlab.baselines.linear import train_linear
from ftlab.baselines.prompting import Prompt, read_prompts, search_prompts, with_shots
from ftlab.baselines.simple import majority, nearest
from ftlab.evaluation.answers import score
from ftlab.evaluation.generation import answer_probabilities
from ftlab.files import whole_file
from ftlab.kept import kept_answers
from ftlab.training.data import answers_of, read_data
from ftlab.training.recipe import load_recipe
from ftlab.training.train import load_model

RECIPE = ROOT / "recipes" / "medical_coding.yaml"
FOLDER, RECORD = WORK / "medical", ROOT / "data" / "recorded" / "medical"
EPOCHS = {300: 4, 1500: 2}
FEW, ALL = EPOCHS
WATCHED, SEARCHED_ON = 20, 40  # validation notes under the loss, and those that each prompt is tried on
KINDS = ("zero_shot", "few_shot")
SHOWN = ("micro_f1", "exact_match", "first_label", "known_label")


def the_recipe(rows: int = ALL):
    """The recipe of the run with so many training notes, read so often as these want."""
    recipe = load_recipe(RECIPE)
    changes = {"num_train_epochs": EPOCHS[rows]}
    data = recipe.data.model_copy(update={"train_rows": rows})
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=changes), "data": data})


@cache
def notes(rows: int = ALL):
    """What the recipe names, with so many training notes."""
    return read_data(the_recipe(rows))


def asked() -> dict:
    """The notes that every system answers."""
    data = notes()
    return {"validation": data.validation} | data.tests


def answer(folder: Path, name: str, parts: dict, ask) -> dict:
    """A system's answers to each part, kept, and their scores."""
    found = {}
    for part, out in runs.answer_sets(name, parts, ask, folder, runs.say_time).items():
        scores = score("labels", out.texts, answers_of(parts[part].rows), labels=answers_of(notes().train.rows))
        found[part] = {metric: float(scores.values(metric).mean()) for metric in SHOWN}
        found[part]["tokens_per_call"] = out.tokens_per_call
    return found


def simple(folder: Path) -> dict:
    """What answers without a language model."""
    found = {}
    for rows in EPOCHS:
        train = notes(rows).train.rows
        rivals = {"majority": majority(train), "nearest": nearest(train), "linear": train_linear(train, kind="labels")}
        found[str(rows)] = {name: answer(folder / str(rows), name, asked(), partial(runs.ask_rival, rival))
                            for name, rival in rivals.items()}  # fmt: skip
    return found


def search(folder: Path) -> dict:
    """All prompts on validation notes, with and without examples, and the best of each kind."""
    model, tokenizer = load_model(the_recipe())
    tuning, wordings = notes().validation.rows[:SEARCHED_ON], read_prompts(the_recipe().prompts)
    found = search_prompts(model, tokenizer, wordings, tuning, notes().train.rows, select=("similar",), kind="labels",
                           metric="micro_f1", **runs.asking(the_recipe()))  # fmt: skip
    tried = [{"name": each.prompt.name, "kind": each.prompt.kind, "micro_f1": each.metrics["micro_f1"].value,
              "tokens_per_call": each.tokens_per_call} for each in found.candidates]  # fmt: skip
    return {"tried": tried, "kind": tried[0]["kind"], "best": {kind: found.best(kind).name for kind in KINDS}}


def chosen(kind: str) -> Prompt:
    """The best prompt of a kind, by the search: its name tells the wording and how many solved notes it shows."""
    wording, _, shots = done(FOLDER / "search")["best"][kind].partition("+")
    prompt = next(each for each in read_prompts(the_recipe().prompts) if each.name == wording)
    if not shots:
        return prompt
    return with_shots(prompt, notes().train.rows, int(shots.removesuffix("similar")), select="similar")


def prompted(folder: Path, kind: str) -> dict:
    """The best prompt of a kind on every note."""
    model, tokenizer = load_model(the_recipe())
    few = runs.asking(the_recipe()) | {"batch_size": 8}  # a batch goes on until its longest answer ends
    ask = partial(runs.ask, model, tokenizer, few, prompt=chosen(kind))
    return answer(folder, kind, asked(), ask)


def fine_tune(folder: Path, rows: int) -> dict:
    """One training, its answers to every note, and how sure it was of each."""
    recipe = the_recipe(rows)
    data, parts = notes(rows), asked()
    watched = replace(data, validation=first(data.validation, WATCHED))
    training = runs.kept(folder / "training.json",
                         partial(runs.train, recipe, recipe.seed, watched, folder, runs.say_time))  # fmt: skip
    model, tokenizer = load_model(recipe, folder / "adapter")
    found = answer(folder, "fine_tuned", parts, partial(runs.ask, model, tokenizer, runs.asking(recipe)))
    for part, each in parts.items():
        texts = kept_answers(folder / "predictions" / f"{part}.fine_tuned.jsonl", each.rows, None).texts
        chats = [row["messages"][:-1] for row in each.rows]
        sure = answer_probabilities(model, tokenizer, chats, texts)
        with whole_file(folder / "predictions" / f"{part}.fine_tuned.sure.json") as file:
            file.write((json.dumps([round(float(p), 6) for p in sure]) + "\n").encode())
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    told = ("steps", "final_loss", "final_eval_loss", "trainable_parameters")
    return found | {"rows": rows, "learning_rate": recipe.training.learning_rate, "epochs": EPOCHS[rows]} | {
        name: training.get(name) for name in told}  # fmt: skip


def points() -> list[Point]:
    """All notes first: the case is about them."""
    trainings = [Point(f"rows_{rows}", partial(fine_tune, rows=rows)) for rows in (ALL, FEW)]
    prompts = [Point(kind, partial(prompted, kind=kind), needs=("search",)) for kind in KINDS]
    return [Point("simple", simple), Point("search", search), *prompts, *trainings]


def publish() -> None:
    """Write data/recorded/medical: results.json from the points that are done, and their answers."""
    made = {point.name: found for point in points() if (found := done(FOLDER / point.name))}
    for name in made:
        for path in (FOLDER / name).rglob("predictions/*"):
            place = RECORD / "predictions" / path.relative_to(FOLDER).parent.as_posix().replace("/predictions", "")
            place.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".jsonl" or path.name.endswith(".sure.json"):
                shutil.copy(path, place)
    write_results("medical", RECORD, made, [point.name for point in points()], {"points": made})
