"""One recipe from start to verdict: baselines, training, evaluation, gate. `ftlab run` calls it.

Each piece of work is kept in the run's folder as soon as it is done, and what is judged is read from there: a run that
was stopped goes on where it was, and comes to the same report.
"""

import datetime
import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import ftlab  # first: it quiets the libraries below
from ftlab import hardware
from ftlab.baselines.choice import choose_labels, choose_records, label_candidates, record_candidates
from ftlab.baselines.head import train_head
from ftlab.baselines.linear import train_linear
from ftlab.baselines.prompting import Prompt, input_and_answer, rank_prompts, read_prompts, search_prompts
from ftlab.baselines.simple import copy_input, majority, nearest
from ftlab.errors import FtlabError
from ftlab.evaluation.generation import Generations, generate
from ftlab.evaluation.metrics import plain_answer
from ftlab.evaluation.report import Report
from ftlab.files import whole_file
from ftlab.judging import Answers, Prompts, judge
from ftlab.kept import (
    RUN,
    identity,
    kept,
    kept_answers,
    refuse_other_work,
    set_aside,
    sha256_of_weights,
    write_predictions,
)
from ftlab.models import resolve
from ftlab.training.data import Data, Part, check_disk, check_lengths_and_masks, read_data, remarks_on
from ftlab.training.recipe import RESOLVED, Recipe, load_recipe, settled
from ftlab.training.train import load_model, train_model

__all__ = ["machine_line", "run_recipe", "sha256_of_weights", "write_predictions"]


def run_recipe(path: str | Path, out: str | Path | None = None, force: bool = False, progress: bool = True) -> Report:
    """Baselines, training, evaluation on the same cases, gate.

    Writes recipe.yaml (with every default), report.html, report.json, predictions/, search/, adapter/ and checkpoints/
    to `out` or FTLAB_HOME/<name> (default runs/<name>). Unfinished work of the same recipe, data and model that lies
    there goes on; a finished run, or work of another, stops this one; with `force` it is moved to old/ there.
    """
    say = say_time if progress else lambda text: None
    recipe = load_recipe(path)
    folder = Path(out or ftlab.home() / recipe.name)
    weights = sha256_of_weights(recipe.model)  # an unknown model is said at once
    say(f"reading data and {recipe.model}")
    data = read_data(recipe)
    notes = []
    recipe = settled(recipe, data.kind, len(data.train.rows) + len(data.replay.rows), notes.append)
    notes += remarks_on(data)
    own = identity(recipe, weights)
    if not force:
        refuse_other_work(folder, own)
    for note in notes:
        say(note)
    with redirect_stdout(sys.stderr):  # Unsloth prints, and stdout is for `ftlab run --json`
        model, tokenizer = load_model(recipe)
        check_lengths_and_masks(recipe, data, model, tokenizer, say)
    check_disk(recipe, model, folder)
    if force:
        set_aside(folder)
    if (folder / RUN).exists():
        say(f"going on with what lies in {folder}")
    kept(folder / RUN, lambda: own)
    with whole_file(folder / RESOLVED) as file:
        file.write(f"# the recipe of this run, with every default written out\n{recipe.to_yaml()}".encode())

    settings = asking(recipe, progress)
    prompts = find_prompts(recipe, model, tokenizer, data, settings, folder, say)
    systems = answer_untrained(model, tokenizer, data, prompts, settings, folder, say)
    before = ask_probe("base", partial(ask, model, tokenizer, settings), data.probe, folder, say)
    del model  # each training has its own, and its answers are those of what it saved
    if data.kind == "label" and prompts.allowed:
        systems["head"] = answer_head(recipe, tokenizer, data, folder, say)

    training, tuned, after = train_each(recipe, data, settings, folder, say)
    report = replace(
        judge(recipe, data, prompts, systems, tuned, (before, after)),
        training=training[recipe.seed],
        notes=notes,
        recipe_sha256=recipe.sha256,
        data_sha256=recipe.data_sha256,
        model_sha256=weights,
        versions=hardware.versions(),
        machine=machine_line(),
        created=datetime.date.today().isoformat(),
    )
    report.save(folder, force=True)  # a page without its report.json is of this run, too
    say(f"written: {folder / 'report.html'} and {folder / 'report.json'}")
    return report


def say_time(text: str) -> None:
    """Print what begins now, with the time."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def or_say(say, what: str, make, *arguments):
    """What `make` gives, or None with the reason said, where this task does not allow it."""
    try:
        return make(*arguments)
    except FtlabError as error:
        say(f"{what}: {error}")
        return None


# --- asking


def find_prompts(recipe: Recipe, model, tokenizer, data: Data, settings: dict, folder: Path, say) -> Prompts:
    """Search the recipe's wordings on the validation set, free and held to the answers that are allowed."""
    allowed = allowed_answers(data, say)
    if recipe.prompts is None:
        return Prompts({}, [], allowed)
    say("searching the best prompt on the validation set")
    tuning, metric = data.validation.rows[: recipe.evaluation.validation_rows], recipe.bars.metric
    wordings = read_prompts(recipe.prompts)
    asked = partial(answer_tried, partial(ask, model, tokenizer, settings), say, tuning, folder / "search")
    scored = {"kind": data.kind, "metric": metric}
    search = search_prompts(
        model, tokenizer, wordings, tuning, data.train.rows, answer=partial(asked, "free"), **scored
    )
    best = {kind: search.best(kind) for kind in ("zero_shot", "few_shot")}
    tried = [(candidate.prompt.kind, candidate) for candidate in search.candidates]
    if allowed:
        say("every prompt again, held to the allowed values")  # another may be best then
        held = partial(asked, "held", allowed=allowed)
        ranked = rank_prompts([candidate.prompt for candidate in search.candidates], tuning, held, **scored)
        best["constrained"] = ranked.best()
        tried += [("constrained", candidate) for candidate in ranked.candidates]
    return Prompts(best, tried, allowed)


def allowed_answers(data: Data, say) -> dict | list[str] | None:
    """What answers can be held to: the values of each field (with a schema), or the labels; None for texts."""
    if data.kind == "label":
        return or_say(say, "no constrained choice", label_candidates, data.train.rows)
    if data.kind == "record" and data.schema:
        return or_say(say, "no constrained prompt", record_candidates, data.schema, data.train.rows)
    return None


def answer_tried(asked, say, rows: Sequence[dict], folder: Path, how: str, prompt: Prompt, inputs, **allowed):
    """Answers to the validation rows with a prompt of the search, kept under a hash of the prompt.

    Empty ones where the prompt with its examples leaves no room for an answer: a long example is no reason to stop.
    """
    wording = json.dumps([prompt.name, prompt.instruction, prompt.place, prompt.shots, prompt.examples])
    path = folder / f"{how}.{hashlib.sha256(wording.encode()).hexdigest()[:16]}.jsonl"
    ask = partial(asked, rows, prompt, **allowed)
    answers = or_say(say, f"prompt {prompt.name}", partial(kept_answers, path, rows, ask, prompt=prompt.name))
    return answers or Generations(("",) * len(rows), 0, 0, 0.0, 0)


def answer_untrained(model, tokenizer, data: Data, prompts: Prompts, settings: dict, folder: Path, say) -> dict:
    """Answers of all that needs no training of the model, to each test set, by system in the order of the report."""
    systems, tests, asked = {}, data.tests, partial(ask, model, tokenizer, settings)
    for name, rival in simple_rivals(data, say).items():
        systems[name] = answer_sets(name, tests, partial(ask_rival, rival), folder, say)
    systems["base"] = answer_sets("base", {"test": tests["test"]}, asked, folder, say)
    for name, prompt in prompts.best.items():
        put = partial(asked, prompt=prompt, allowed=prompts.allowed if name == "constrained" else None)
        answers = or_say(say, f"no {name}", answer_sets, name, tests, put, folder, say)
        systems |= {name: answers} if answers else {}
    if data.kind == "label" and prompts.allowed and not prompts.best:  # as the rows ask
        held = partial(asked, allowed=prompts.allowed)
        systems["constrained"] = answer_sets("constrained", tests, held, folder, say)
    return systems


def simple_rivals(data: Data, say) -> dict:
    """What answers without a language model, for this kind of answers; what the data do not allow is said."""
    rows, rivals = data.train.rows, {}
    if data.kind in ("label", "labels"):
        rivals |= {"majority": majority(rows), "nearest": nearest(rows)}
    elif data.kind == "text":
        rivals |= {"copy": copy_input(), "nearest": nearest(rows)}
    if data.kind in ("label", "labels") or data.kind == "record" and data.schema:
        linear = or_say(say, "no linear classifier", train_linear, rows, data.schema, data.kind)
        rivals |= {"linear": linear} if linear else {}
    return rivals


def answer_head(recipe: Recipe, tokenizer, data: Data, folder: Path, say) -> Answers:
    """Answers of a classification head on the same model; it is trained only where they are missing."""

    @cache
    def trained():
        say("training a classification head")
        where, dtype = resolve(recipe.model), hardware.precision(recipe.model)
        with redirect_stdout(sys.stderr):
            return train_head(where, tokenizer, data.train.rows, recipe.training, recipe.seed, dtype)

    return answer_sets("head", data.tests, lambda rows: trained().answer(inputs_of(rows)), folder, say)


def ask_rival(rival, rows: Sequence[dict]) -> Generations:
    """Its answers to the rows."""
    return rival.answer(inputs_of(rows))


def answer_sets(name: str, parts: dict[str, Part], answer: Callable, folder: Path, say) -> Answers:
    """A system's answers to each set, kept."""
    answers = {}
    for part, each in parts.items():
        say(f"{name} on {part}")
        path = folder / "predictions" / f"{part}.{name}.jsonl"
        answers[part] = kept_answers(path, each.rows, partial(answer, each.rows))
    return answers


def asking(recipe: Recipe, progress: bool = False) -> dict:
    """The settings of `ask` in a recipe."""
    return recipe.evaluation.model_dump(include={"max_new_tokens", "batch_size"}) | {"progress": progress}


def ask(model, tokenizer, settings: dict, rows: Sequence[dict], prompt: Prompt | None = None, allowed=None):
    """Answers to the rows as they ask, or put with a prompt; `allowed` ones only, where they are given."""
    if isinstance(allowed, dict):
        return choose_records(model, tokenizer, prompt, inputs_of(rows), allowed, progress=settings["progress"])
    chats = [prompt.messages(asked) for asked in inputs_of(rows)] if prompt else [row["messages"][:-1] for row in rows]
    if allowed:
        return choose_labels(model, tokenizer, chats, allowed, progress=settings["progress"])
    return generate(model, tokenizer, chats, **settings)


def ask_probe(name: str, answer: Callable, probe: Part, folder: Path, say) -> list[str]:
    """Plain answers to the probe, kept too; none without a probe."""

    def plain(rows) -> Generations:
        out = answer(rows)
        return replace(out, texts=tuple(map(plain_answer, out.texts)))

    answers = answer_sets(name, {"probe": probe} if probe.rows else {}, plain, folder, say)
    return list(answers["probe"].texts) if answers else []


def inputs_of(rows: Sequence[dict]) -> list:
    """What each row asks, without its system turn."""
    return [input_and_answer(row)[0] for row in rows]


# --- training


def train_each(recipe: Recipe, data: Data, settings: dict, folder: Path, say) -> tuple[dict, dict, dict]:
    """By seed: what the training was like, the answers after it to the test sets, and to the probe."""
    training, tuned, after = {}, {}, {}
    for seed in recipe.all_seeds:
        place, name = folder_of(recipe, seed, folder), answers_name(recipe, seed)
        training[seed] = kept(place / "training.json", partial(train, recipe, seed, data, place, say))
        asked = partial(ask_trained, cache(partial(load_trained, recipe, place)), settings)
        tuned[seed] = answer_sets(name, data.tests, asked, folder, say)
        after[seed] = ask_probe(name, asked, data.probe, folder, say)
    return training, tuned, after


def folder_of(recipe: Recipe, seed: int, folder: Path) -> Path:
    """Where the training with a seed lies: the first one's in the run's folder itself."""
    return folder if seed == recipe.seed else folder / f"seed_{seed}"


def answers_name(recipe: Recipe, seed: int) -> str:
    """The name of its answers."""
    return "fine_tuned" if seed == recipe.seed else f"fine_tuned.seed_{seed}"


def train(recipe: Recipe, seed: int, data: Data, place: Path, say) -> dict:
    """Train the model and save what came of it; what the training was like."""
    say(f"training, seed {seed}" if recipe.seeds else "training")
    rows = data.train.rows + data.replay.rows
    own = recipe.model_copy(update={"seed": seed, "seeds": None})
    with redirect_stdout(sys.stderr):
        model, tokenizer = load_model(recipe)
        tuned, training = train_model(own, model, tokenizer, rows, data.validation.rows, place)
    tuned.save_pretrained(place / "adapter")
    tokenizer.save_pretrained(place / "adapter")
    return training


def load_trained(recipe: Recipe, place: Path):
    """Model and tokenizer of what a training saved."""
    with redirect_stdout(sys.stderr):
        return load_model(recipe, place / "adapter")


def ask_trained(load: Callable, settings: dict, rows: Sequence[dict]) -> Generations:
    """Answers of the model that `load` gives; it is loaded only where answers are missing."""
    return ask(*load(), settings, rows)


# --- the machine


def machine_line() -> str:
    """GPU or CPU in one line, without anything personal."""
    return hardware.gpu_here()[0] or f"{hardware.cpu_name()}, {hardware.usable_cores()} cores, no GPU"
