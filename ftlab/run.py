"""One recipe from start to verdict: baselines, training, evaluation, gate. `ftlab run` calls it."""

import datetime
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import ftlab  # first: it quiets the libraries below
from ftlab import hardware
from ftlab.baselines.choice import choose_records, record_candidates
from ftlab.baselines.linear import train_linear
from ftlab.baselines.prompting import Candidate, Prompt, input_and_answer, rank_prompts, read_prompts, search_prompts
from ftlab.errors import FtlabError
from ftlab.evaluation.gate import decide_gate
from ftlab.evaluation.generation import Generations, generate
from ftlab.evaluation.metrics import RecordScores, exact_text, plain_answer, row_id, score_records
from ftlab.evaluation.report import Report, SystemResult, pick_examples
from ftlab.evaluation.statistics import Comparison, compare
from ftlab.files import whole_file
from ftlab.models import resolve
from ftlab.training.data import Data, Part, answers_of, check_lengths_and_masks, read_data
from ftlab.training.recipe import RESOLVED, Recipe, load_recipe
from ftlab.training.train import load_model, train_model

WRITTEN = (RESOLVED, "report.json", "report.html", "predictions", "adapter", "checkpoints")  # by a run, in its folder


def run_recipe(path: str | Path, out: str | Path | None = None, force: bool = False, progress: bool = True) -> Report:
    """Baselines, training, evaluation on the same cases, gate.

    Writes recipe.yaml (with every default), report.html, report.json, predictions/, adapter/ and checkpoints/ to `out`
    or FTLAB_HOME/<name> (default runs/<name>). What an earlier run left there stops this one; with `force` it is moved
    to old/ there.
    """
    say = say_time if progress else lambda text: None
    recipe = load_recipe(path)
    data_sha256 = recipe.data_sha256  # now: a file may change while the run is on
    folder = Path(out or ftlab.home() / recipe.name)
    refuse_earlier_run(folder, force)
    say(f"reading data and {recipe.model}")
    model_sha256 = sha256_of_weights(recipe.model)  # an unknown model is said before anything takes time
    data = read_data(recipe)
    with redirect_stdout(sys.stderr):  # Unsloth prints, and stdout is for `ftlab run --json`
        model, tokenizer = load_model(recipe)
        check_lengths_and_masks(recipe, data, model, tokenizer, say)
    set_aside(folder)
    with whole_file(folder / RESOLVED) as file:
        file.write(f"# the recipe of this run, with every default written out\n{recipe.to_yaml()}".encode())

    settings = recipe.evaluation.model_dump(include={"max_new_tokens", "batch_size"}) | {"progress": progress}
    prompts = find_prompts(recipe, model, tokenizer, data, settings, say)
    linear = or_say(say, "no linear classifier", train_linear, data.train.rows, data.schema) if data.schema else None

    systems, tests, test = {}, data.tests, {"test": data.tests["test"]}  # by system, in the order of the report
    if linear:
        systems["linear"] = answer_sets("linear", tests, lambda rows: linear.answer(inputs_of(rows)), folder, say)
    systems["base"] = answer_sets("base", test, partial(ask, model, tokenizer, settings), folder, say)
    for name, prompt in prompts.best.items():
        fields = prompts.fields if name == "constrained" else None
        asked = partial(ask, model, tokenizer, settings, prompt=prompt, fields=fields)
        systems[name] = answer_sets(name, tests, asked, folder, say)
    before = ask_probe("base", model, tokenizer, data.probe, settings, folder, say)

    say("training")
    rows = data.train.rows + data.replay.rows
    with redirect_stdout(sys.stderr):
        tuned, training = train_model(recipe, model, tokenizer, rows, data.validation.rows, folder)
    tuned.save_pretrained(folder / "adapter")
    tokenizer.save_pretrained(folder / "adapter")
    systems["fine_tuned"] = answer_sets("fine_tuned", tests, partial(ask, tuned, tokenizer, settings), folder, say)
    after = ask_probe("fine_tuned", tuned, tokenizer, data.probe, settings, folder, say)

    report = replace(
        judge(recipe, data, prompts, systems, probe_comparisons(recipe, data.probe, before, after)),
        training=training,
        recipe_sha256=recipe.sha256,
        data_sha256=data_sha256,
        model_sha256=model_sha256,
        versions=hardware.versions(),
        machine=machine_line(),
        created=datetime.date.today().isoformat(),
    )
    report.save(folder, force=force)
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


@dataclass(frozen=True)
class Prompts:
    """The best prompt of each kind, all that were tried by kind, and the values that answers are held to, if any."""

    best: dict[str, Prompt]
    tried: list[tuple[str, Candidate]]
    fields: dict | None


def find_prompts(recipe: Recipe, model, tokenizer, data: Data, settings: dict, say) -> Prompts:
    """Search the recipe's wordings on the validation set, free and held to the values that a field may have."""
    if recipe.prompts is None:
        return Prompts({}, [], None)
    say("searching the best prompt on the validation set")
    tuning, metric = data.validation.rows[: recipe.evaluation.validation_rows], recipe.bars.metric
    wordings = read_prompts(recipe.prompts)
    search = search_prompts(model, tokenizer, wordings, tuning, data.train.rows, metric=metric, **settings)
    best = {kind: search.best(kind) for kind in ("zero_shot", "few_shot")}
    tried = [(candidate.prompt.kind, candidate) for candidate in search.candidates]
    fields = None
    if data.schema:
        fields = or_say(say, "no constrained prompt", record_candidates, data.schema, data.train.rows)
    if fields:
        say("every prompt again, held to the allowed values")  # another may be best then
        held = partial(choose_records, model, tokenizer, fields=fields, progress=settings["progress"])
        ranked = rank_prompts([candidate.prompt for candidate in search.candidates], tuning, held, metric=metric)
        best["constrained"] = ranked.best()
        tried += [("constrained", candidate) for candidate in ranked.candidates]
    return Prompts(best, tried, fields)


def answer_sets(name: str, parts: dict[str, Part], answer: Callable, folder: Path, say) -> dict[str, Generations]:
    """A system's answers to each set; they are written as they come, so that a broken run leaves them."""
    answers = {}
    for part, each in parts.items():
        say(f"{name} on {part}")
        answers[part] = answer(each.rows)
        write_predictions(folder / "predictions" / f"{part}.{name}.jsonl", each.rows, answers[part].texts)
    return answers


def ask(model, tokenizer, settings: dict, rows: Sequence[dict], prompt: Prompt | None = None, fields=None):
    """Answers to the rows as they ask, or put with a prompt; with `fields`, held to the values that they may have."""
    if fields:
        return choose_records(model, tokenizer, prompt, inputs_of(rows), fields, progress=settings["progress"])
    chats = [prompt.messages(text) for text in inputs_of(rows)] if prompt else [row["messages"][:-1] for row in rows]
    return generate(model, tokenizer, chats, **settings)


def ask_probe(name: str, model, tokenizer, probe: Part, settings: dict, folder: Path, say) -> list[str]:
    """Plain answers to the probe, written too; none without a probe."""
    if not probe.rows:
        return []
    say(f"{name} on the probe")
    texts = list(map(plain_answer, ask(model, tokenizer, settings, probe.rows).texts))
    write_predictions(folder / "predictions" / f"probe.{name}.jsonl", probe.rows, texts)
    return texts


def inputs_of(rows: Sequence[dict]) -> list[str]:
    """The last user turn of each row."""
    return [input_and_answer(row)[0] for row in rows]


# --- judging


def judge(recipe: Recipe, data: Data, prompts: Prompts, systems: dict, probes: dict) -> Report:
    """Scores, comparisons and the verdict; `systems` holds the answers of each system to each test set."""
    metric, alpha = recipe.bars.metric, recipe.bars.alpha
    scores = {
        name: {part: score_records(out.texts, data.references[part], schema=data.schema) for part, out in parts.items()}
        for name, parts in systems.items()
    }
    values = {name: getattr(parts["test"], metric) for name, parts in scores.items()}
    ranked = sorted(prompts.tried, key=lambda pair: -pair[1].metrics[metric].value)
    baseline = ranked[0][0] if ranked else "base"
    tuned = values["fine_tuned"]
    comparison = compare(values[baseline], tuned, alpha=alpha, metric=metric)
    prompted = [name for name in values if name not in ("linear", "fine_tuned", baseline)]
    better = [name for name in prompted if values[name].mean() > tuned.mean()]  # validation had chosen too low
    simpler = [*(["linear"] if "linear" in values else []), *better]
    rivals = {name: compare(values[name], tuned, alpha=alpha, metric=metric) for name in simpler}
    test = data.tests["test"].rows
    return Report(
        task=recipe.task,
        answer=recipe.answer,
        n=len(test),
        seeds=[recipe.seed],
        systems={
            name: system_result(prompts.best.get(name), out["test"], scores[name], metric)
            for name, out in systems.items()
        },
        baseline=baseline,
        candidate="fine_tuned",
        comparison=comparison,
        gate=decide_gate(comparison, probes, recipe.bars, rivals),
        probes=probes,
        rivals=rivals,
        prompt_search=[searched(kind, candidate, metric) for kind, candidate in ranked],
        examples=pick_examples(
            [row_id(row, index) for index, row in enumerate(test)],
            inputs_of(test),
            data.references["test"],
            {name: out["test"].texts for name, out in systems.items()},
            values[baseline],
            tuned,
        ),
    )


def probe_comparisons(recipe: Recipe, probe: Part, before: list[str], after: list[str]) -> dict[str, Comparison]:
    """Before and after training on the probe, if there is one."""
    if not probe.rows:
        return {}
    right = list(map(plain_answer, answers_of(probe.rows)))
    return {
        "general skills": compare(exact_text(before, right), exact_text(after, right), alpha=recipe.bars.alpha)
    }


def system_result(
    prompt: Prompt | None, out: Generations, scores: dict[str, RecordScores], metric: str
) -> SystemResult:
    """One row of the report: `out` on the test set, `scores` on each set."""
    summary = scores["test"].summary()
    wording = json.dumps(replace(prompt, pick=None).messages("{text}"), indent=1) if prompt else None
    if prompt and prompt.pick:
        wording += f"\nBefore the last turn: the {prompt.pick.k} solved training rows that are most like it."
    return SystemResult(
        metrics={name: summary[name] for name in ("field_accuracy", "exact_match", "valid_json")},
        fields=scores["test"].field_table(),
        tokens_per_call=out.tokens_per_call,
        seconds_per_call=out.seconds_per_call,
        prompt=wording,
        slices={part: each.summary()[metric] for part, each in scores.items() if part != "test"},
    )


def searched(kind: str, candidate: Candidate, metric: str) -> dict:
    """A prompt of the search as the report lists it."""
    levels = {name: candidate.metrics[name] for name in dict.fromkeys(("field_accuracy", metric))}
    return {"name": candidate.prompt.name, "kind": kind, **levels, "tokens_per_call": candidate.tokens_per_call}


# --- files and the machine


def refuse_earlier_run(folder: Path, force: bool) -> None:
    """Raise FileExistsError where the folder holds what a run wrote, unless `force`."""
    for old in (folder / name for name in WRITTEN):
        if old.exists() and not force:
            raise FileExistsError(17, "an earlier run's work is there already", str(old))
    folder.mkdir(parents=True, exist_ok=True)


def set_aside(folder: Path) -> None:
    """Move what an earlier run left to old/, in place of what was there from the one before it."""
    found = [name for name in WRITTEN if (folder / name).exists()]
    if not found:
        return
    old = folder / "old"
    old.mkdir(exist_ok=True)
    for path in (old / name for name in WRITTEN):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for name in found:
        (folder / name).rename(old / name)


def write_predictions(path: Path, rows: Sequence[dict], texts: Sequence[str]) -> None:
    """JSONL lines {"id", "prediction"}, as `ftlab compare` reads them; a row without an id has its number, from 0."""
    lines = [
        json.dumps({"id": row_id(row, index), "prediction": text}) + "\n"
        for index, (row, text) in enumerate(zip(rows, texts, strict=True))
    ]
    with whole_file(path) as file:
        file.write("".join(lines).encode())


def sha256_of_weights(model: str) -> str | None:
    """Hash of a model's safetensors; None for one that is not on this disk yet."""
    files = sorted(Path(resolve(model)).glob("*.safetensors"))
    total = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest() if files else None


def machine_line() -> str:
    """GPU or CPU in one line, without anything personal."""
    machine = hardware.describe()
    return machine.gpu or f"{machine.cpu}, {machine.cores} cores, no GPU"
