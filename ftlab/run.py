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
from ftlab.baselines.choice import choose_records, record_candidates
from ftlab.baselines.linear import train_linear
from ftlab.baselines.prompting import Prompt, input_and_answer, rank_prompts, read_prompts, search_prompts
from ftlab.errors import FtlabError
from ftlab.evaluation.generation import Generations, generate
from ftlab.evaluation.metrics import plain_answer
from ftlab.evaluation.report import Report
from ftlab.files import whole_file
from ftlab.judging import Prompts, judge, probe_comparisons
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
from ftlab.training.data import Data, Part, check_disk, check_lengths_and_masks, read_data
from ftlab.training.recipe import RESOLVED, Recipe, load_recipe
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
    own = identity(recipe)  # now: a file may change while the run is on; and an unknown model is said at once
    data_sha256 = recipe.data_sha256
    if not force:
        refuse_other_work(folder, own)
    say(f"reading data and {recipe.model}")
    data = read_data(recipe)
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

    settings = recipe.evaluation.model_dump(include={"max_new_tokens", "batch_size"}) | {"progress": progress}
    prompts = find_prompts(recipe, model, tokenizer, data, settings, folder, say)
    systems = answer_untrained(model, tokenizer, data, prompts, settings, folder, say)
    before = ask_probe("base", partial(ask, model, tokenizer, settings), data.probe, folder, say)
    del model  # each training has its own, and its answers are those of what it saved

    training = kept(folder / "training.json", partial(train, recipe, data, folder, say))
    tuned = partial(ask_trained, cache(partial(load_trained, recipe, folder)), settings)
    systems["fine_tuned"] = answer_sets("fine_tuned", data.tests, tuned, folder, say)
    after = ask_probe("fine_tuned", tuned, data.probe, folder, say)

    report = replace(
        judge(recipe, data, prompts, systems, probe_comparisons(recipe, data.probe, before, after)),
        training=training,
        recipe_sha256=recipe.sha256,
        data_sha256=data_sha256,
        model_sha256=own["model"],
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
    """Search the recipe's wordings on the validation set, free and held to the values that a field may have."""
    if recipe.prompts is None:
        return Prompts({}, [], None)
    say("searching the best prompt on the validation set")
    tuning, metric = data.validation.rows[: recipe.evaluation.validation_rows], recipe.bars.metric
    wordings = read_prompts(recipe.prompts)
    asked = partial(answer_tried, partial(ask, model, tokenizer, settings), tuning, folder / "search")
    answer = partial(asked, "free")
    search = search_prompts(model, tokenizer, wordings, tuning, data.train.rows, metric=metric, answer=answer)
    best = {kind: search.best(kind) for kind in ("zero_shot", "few_shot")}
    tried = [(candidate.prompt.kind, candidate) for candidate in search.candidates]
    fields = None
    if data.schema:
        fields = or_say(say, "no constrained prompt", record_candidates, data.schema, data.train.rows)
    if fields:
        say("every prompt again, held to the allowed values")  # another may be best then
        held = partial(asked, "held", fields=fields)
        ranked = rank_prompts([candidate.prompt for candidate in search.candidates], tuning, held, metric=metric)
        best["constrained"] = ranked.best()
        tried += [("constrained", candidate) for candidate in ranked.candidates]
    return Prompts(best, tried, fields)


def answer_tried(asked, rows: Sequence[dict], folder: Path, how: str, prompt: Prompt, inputs, **fields):
    """Answers to the validation rows with a prompt of the search, kept under a hash of the prompt."""
    wording = json.dumps([prompt.name, prompt.instruction, prompt.place, prompt.shots, prompt.examples])
    path = folder / f"{how}.{hashlib.sha256(wording.encode()).hexdigest()[:16]}.jsonl"
    return kept_answers(path, rows, partial(asked, rows, prompt, **fields), prompt=prompt.name)


def answer_untrained(model, tokenizer, data: Data, prompts: Prompts, settings: dict, folder: Path, say) -> dict:
    """Answers of all that needs no training of the model, to each test set, by system in the order of the report."""
    systems, tests, asked = {}, data.tests, partial(ask, model, tokenizer, settings)
    linear = or_say(say, "no linear classifier", train_linear, data.train.rows, data.schema) if data.schema else None
    if linear:
        systems["linear"] = answer_sets("linear", tests, lambda rows: linear.answer(inputs_of(rows)), folder, say)
    systems["base"] = answer_sets("base", {"test": tests["test"]}, asked, folder, say)
    for name, prompt in prompts.best.items():
        fields = prompts.fields if name == "constrained" else None
        systems[name] = answer_sets(name, tests, partial(asked, prompt=prompt, fields=fields), folder, say)
    return systems


def answer_sets(name: str, parts: dict[str, Part], answer: Callable, folder: Path, say) -> dict[str, Generations]:
    """A system's answers to each set, kept."""
    answers = {}
    for part, each in parts.items():
        say(f"{name} on {part}")
        path = folder / "predictions" / f"{part}.{name}.jsonl"
        answers[part] = kept_answers(path, each.rows, partial(answer, each.rows))
    return answers


def ask(model, tokenizer, settings: dict, rows: Sequence[dict], prompt: Prompt | None = None, fields=None):
    """Answers to the rows as they ask, or put with a prompt; with `fields`, held to the values that they may have."""
    if fields:
        return choose_records(model, tokenizer, prompt, inputs_of(rows), fields, progress=settings["progress"])
    chats = [prompt.messages(text) for text in inputs_of(rows)] if prompt else [row["messages"][:-1] for row in rows]
    return generate(model, tokenizer, chats, **settings)


def ask_probe(name: str, answer: Callable, probe: Part, folder: Path, say) -> list[str]:
    """Plain answers to the probe, kept too; none without a probe."""

    def plain(rows) -> Generations:
        out = answer(rows)
        return replace(out, texts=tuple(map(plain_answer, out.texts)))

    answers = answer_sets(name, {"probe": probe} if probe.rows else {}, plain, folder, say)
    return list(answers["probe"].texts) if answers else []


def inputs_of(rows: Sequence[dict]) -> list[str]:
    """The last user turn of each row."""
    return [input_and_answer(row)[0] for row in rows]


# --- training


def train(recipe: Recipe, data: Data, folder: Path, say) -> dict:
    """Train the model and save what came of it; what the training was like."""
    say("training")
    rows = data.train.rows + data.replay.rows
    with redirect_stdout(sys.stderr):
        model, tokenizer = load_model(recipe)
        tuned, training = train_model(recipe, model, tokenizer, rows, data.validation.rows, folder)
    tuned.save_pretrained(folder / "adapter")
    tokenizer.save_pretrained(folder / "adapter")
    return training


def load_trained(recipe: Recipe, folder: Path):
    """Model and tokenizer of what a training saved."""
    with redirect_stdout(sys.stderr):
        return load_model(recipe, folder / "adapter")


def ask_trained(load: Callable, settings: dict, rows: Sequence[dict]) -> Generations:
    """Answers of the model that `load` gives; it is loaded only where answers are missing."""
    return ask(*load(), settings, rows)


# --- the machine


def machine_line() -> str:
    """GPU or CPU in one line, without anything personal."""
    machine = hardware.describe()
    return machine.gpu or f"{machine.cpu}, {machine.cores} cores, no GPU"
