"""`ftlab project FILE.jsonl`: check, split, baselines, training, evaluation, gate, cost and card, in one folder.

Each step is another command of ftlab; what is done lies in the folder and is not done twice.
"""

import hashlib
import io
import json
import logging
import math
import re
import shlex
import shutil
import sys
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import yaml

import ftlab
from ftlab import hardware
from ftlab.baselines.prompting import SELECT
from ftlab.costs.assumptions import DAYS_PER_MONTH, read_scenario
from ftlab.costs.scenario import cost
from ftlab.data.findings import Finding, listing
from ftlab.data.schema import read_chat
from ftlab.data.splits import split_file
from ftlab.errors import DataError, FtlabError, RecipeError
from ftlab.evaluation.generation import prompt_ids
from ftlab.files import whole_file
from ftlab.judging import SIMPLE
from ftlab.kept import differences
from ftlab.models import load_tokenizer
from ftlab.project.advice import NextStep, next_step, percent, spoken
from ftlab.project.ask import find_schema, find_wording, write_recipe
from ftlab.project.sizes import Sizes, choose_sizes, trained_per_second
from ftlab.project.source import Source, leave_out, read_source
from ftlab.run import run_recipe, say_time
from ftlab.serving.card import write_card
from ftlab.training.recipe import LEAST_STEPS, load_recipe
from ftlab.training.train import as_texts

OWN = "project.json"  # whose work lies in the folder, written first: what else is there is ours
LAST = "recipe.yaml"  # with it all that the run reads is there
BEFORE = {OWN, "source.jsonl", "clean.jsonl", "parts", "schema.json", "prompts.yaml", "check.json"}
LONGEST = 1024  # tokens of a row


@dataclass(frozen=True, repr=False)
class Project:
    """The folder, the verdict of its gate, and what to do next."""

    folder: Path
    verdict: str
    advice: NextStep

    def to_dict(self) -> dict:
        """The fields as plain JSON values."""
        return {"folder": str(self.folder), "verdict": self.verdict, "advice": asdict(self.advice)}

    def __repr__(self):
        said = [f"{self.advice.headline}.", *self.advice.reasons, *self.advice.then]
        return "\n- ".join(said) + f"\nRead {self.folder / 'README.md'}"


def run_project(
    path: str | Path, out: str | Path | None = None, *, answer: str | None = None, model: str = "smol",
    group: str | None = None, instruction: str = "", asked: tuple[str, ...] = (), answered: str = "",
    minutes: float = 15, calls_per_day: float | None = None, mask: bool = True, drop: bool = False,
    progress: bool = True,
) -> Project:  # fmt: skip
    """The whole path with one file; `minutes` limits rows and steps on a CPU. One that was stopped goes on.

    `asked` and `answered` name the fields of the rows where they cannot be told, `group` what must not be split. Raises
    DataError where the rows cannot serve, RecipeError where the folder holds another project.
    """
    for option, value in (("--minutes", minutes), ("--calls-per-day", calls_per_day)):
        if value is not None and not 0 < value < math.inf:
            raise RecipeError(f"{option} {value}: give a number above 0")
    say = say_time if progress else lambda text: None
    path = Path(path)
    folder = Path(out or ftlab.home() / f"project_{path.stem}")
    rows = {"kind": answer, "asked": list(asked), "answered": answered, "group": group, "mask": mask, "drop": drop}
    own = whose(path, folder, rows | {"model": model, "instruction": instruction, "minutes": minutes})
    if not (folder / LAST).exists():
        write(folder / OWN, json.dumps(own, indent=1))
        say(f"checking {path}")
        source, sizes = measure(read_source(path, folder, **rows), model, minutes, drop)
        sizes = write_parts(folder, source, sizes, model, instruction)
        for line in [*told(source.left_out), *source.notes, f"{source.kind} answers; {sizes!r}"]:
            say(line)
    if not (folder / "run" / "report.json").exists():
        # it warns of checkpoints that were written within one second, as those of a small model are
        logging.getLogger("transformers.trainer_utils").setLevel(logging.ERROR)
        with nullcontext() if progress else redirect_stderr(io.StringIO()):
            run_recipe(own_recipe(folder), out=folder / "run", progress=progress)
    shutil.rmtree(folder / "run" / "checkpoints", ignore_errors=True)  # most of the folder's size, and used up
    report = json.loads((folder / "run" / "report.json").read_text(encoding="utf-8"))
    found = json.loads((folder / "check.json").read_text(encoding="utf-8"))
    write_card(folder / "run")
    advice = next_step(report, found["limits"])
    costs, ignored = reckon(folder, report, own["model"], found["rows_kept"], calls_per_day, advice.winner)
    advice = replace(advice, then=[*advice.then, *ignored])
    write(folder / "README.md", page(path.name, own, report, found, costs, advice))
    return Project(folder, report["gate"]["verdict"], advice)


def whose(path: Path, folder: Path, settings: dict) -> dict:
    """What the folder's results follow from; raises where they follow from something else, or are not ours."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; name one with a row a line, such as chats.jsonl (now in {Path.cwd()})")
    if folder.resolve() in path.resolve().parents:
        raise DataError(f"{path} lies in {folder}, where results would be written over it; choose another --out")
    own = settings | {"file": hashlib.sha256(path.read_bytes()).hexdigest()}
    there = {each.name for each in folder.iterdir()} if folder.is_dir() else set()
    before = earlier(folder / OWN) or {}
    if there and (not own.keys() <= before.keys() or LAST not in there and there - BEFORE):
        raise DataError(f"{folder} has other things in it; choose an empty or a new folder (--out)")
    if LAST in there and (other := list(differences(before, own))):
        raise RecipeError(f"{folder} holds another project: {'; '.join(other)}. Go on with what it had, or choose "
                          "another folder (--out)")  # fmt: skip
    return own


def earlier(path: Path) -> dict | None:
    """The settings that an earlier call has left; None where there are none, or no JSON object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def told(left_out: list[Finding]) -> list[str]:
    """The rows that were left out: the first by line, field and reason, and how many only repeat another."""
    broken = [each for each in left_out if each.code != "repeated_row"]
    repeats = len(left_out) - len(broken)
    return listing(broken, 10) + ([f"{repeats} row(s) that repeat an earlier one letter for letter"] if repeats else [])


def measure(source: Source, model: str, minutes: float, drop: bool) -> tuple[Source, Sizes]:
    """The source without rows that are too long, and how many rows and steps the time allows."""
    with redirect_stdout(sys.stderr):
        import unsloth  # noqa: F401  (before transformers, which the tokenizer brings)
    tokenizer = load_tokenizer(model)
    lengths = [len(ids) for ids in tokenizer(as_texts(source.rows, tokenizer))["input_ids"]]
    remedy = f"where {LONGEST:,} are the most: shorten it, or train with a recipe of your own (ftlab run)"
    if long := [(at, "", f"has {n:,} tokens, {remedy}") for at, n in enumerate(lengths) if n > LONGEST]:
        source, lengths = leave_out(source, long, drop), [n for n in lengths if n <= LONGEST]
    prompts = [len(prompt_ids(tokenizer, row["messages"][:-1])) for row in source.rows]
    answers = [max(1, n - before) for n, before in zip(lengths, prompts, strict=True)]
    speed = trained_per_second(model, max(1, sum(lengths) // len(lengths)))
    return source, choose_sizes(prompts, answers, source.kind, speed, minutes)


def write_parts(folder: Path, source: Source, sizes: Sizes, model: str, instruction: str) -> Sizes:
    """Split, and write what the run reads; the sizes as the split has made them.

    The schema and the wording are read off training rows: what stands in others is not known before the test.
    """
    rows, schema, stratify = source.rows, None, "answer" if source.kind == "label" else None
    if source.kind == "record":
        few = find_schema(rows)
        stratify = next((name for name in few["required"] if "enum" in few["properties"][name]), None)
    share = {"validation": sizes.validation / len(rows), "test": sizes.test / len(rows)}
    share = {"train": 1 - sum(share.values())} | share
    split = split_file(source.clean, folder / "parts", source.group, stratify, share, force=True)
    sizes, train = sizes.after_split(split.rows), read_chat(split.files["train"])
    if source.kind == "record":
        schema = find_schema(train)
        write(folder / "schema.json", json.dumps(schema, indent=1, ensure_ascii=False))
    wording = {"name": "from_the_data", "instruction": find_wording(train, source.kind, schema, instruction)}
    write(folder / "prompts.yaml", yaml.safe_dump([wording], allow_unicode=True, sort_keys=False))
    own = {
        "left_out": [asdict(each) for each in source.left_out],
        "notes": source.notes,
        "limits": sizes.limits,
        "estimate": repr(sizes),
        "train_rows": sizes.train,
        "rows_kept": len(rows),
        "repairs": source.repairs.to_dict(),
        "split": asdict(split),
        "schema": bool(schema),
    }
    write(folder / "check.json", json.dumps(source.report.to_dict() | own, indent=1, ensure_ascii=False))
    name, on_gpu = (
        re.sub(r"[^A-Za-z0-9._-]|^\W+", "_", folder.name).lstrip("._-") or "project",
        bool(hardware.gpu_here()[0]),
    )
    recipe = write_recipe(name, model, source.kind, sizes, source.group, bool(schema), on_gpu)
    write(folder / LAST, yaml.safe_dump(recipe, allow_unicode=True, sort_keys=False))
    return sizes


def own_recipe(folder: Path) -> Path:
    """The recipe of the folder; RecipeError where a file of the current folder would be read in place of one of its."""
    recipe = load_recipe(folder / LAST)
    if strange := [path for path in recipe.files.values() if folder.resolve() not in path.resolve().parents]:
        raise RecipeError(
            f"{strange[0]} would be read in place of the project's own file: start ftlab in another folder"
        )
    return folder / LAST


def reckon(
    folder: Path, report: dict, model: str, rows: int, calls_per_day: float | None, winner: str
) -> tuple[str, list[str]]:
    """What the prompt at a service and a model on a machine cost, or why it cannot be said; what was not heeded."""
    path, systems, stands = folder / "cost.yaml", report["systems"], (folder / "cost.yaml").exists()
    if not stands:
        metric, prompt = report["gate"]["bars"]["metric"], systems[report["comparison"]["baseline"]]
        values = {"name": folder.name, "n": report["n"], "rows": rows, "calls_per_day": calls_per_day, "model": model}
        values |= {"hours": (report["training"]["minutes"] or 1) / 60, "tuned": systems["fine_tuned"]}
        values |= {"prompted": prompt, "reached": percent(prompt[metric]), "metric": metric}
        values |= {"simple": winner if winner in SIMPLE else "", "systems": systems}
        write(path, templates().get_template("cost.yaml.j2").render(values))
    try:
        scenario = read_scenario(path)
        ignored = []
        if stands and calls_per_day and scenario.content["calls_per_month"] != calls_per_day * DAYS_PER_MONTH:
            ignored = [f"--calls-per-day {calls_per_day:g} is not heeded, since cost.yaml stands: write it there."]
        return repr(cost(scenario)).replace("$0.000000", "$0".rjust(9)), ignored
    except FtlabError as error:
        return str(error), []


def page(file: str, own: dict, report: dict, found: dict, costs: str, advice: NextStep) -> str:
    """README.md: what to do next and why, the numbers, what became of the data, the costs, how to run it again."""
    metric, environment = report["gate"]["bars"]["metric"], templates()
    environment.filters |= {"spoken": spoken, "rate": lambda name: percent(report["systems"][name][metric])}
    left_out = told([Finding(**each) for each in found["left_out"]])
    values = {"file": file, "metric": metric, "report": report, "found": found, "costs": costs, "advice": advice}
    values |= {"own": own, "command": command(file, own), "left_out": left_out, "usual": LEAST_STEPS}
    values |= {"prompt": best_prompt(report, report["comparison"]["baseline"])}
    return environment.get_template("page.md.j2").render(values)


def best_prompt(report: dict, kind: str) -> dict:
    """The best prompt of a kind: its name, how many solved examples it has, and how they are chosen."""
    name = next((each["name"] for each in report["prompt_search"] if each["kind"] == kind), "")
    found = re.search(r"\+(\d+)([a-z])\w*$", name)  # as `with_shots` names it
    select = next((how for how in SELECT if found and how.startswith(found[2])), "")
    return {"name": name, "examples": int(found[1]) if found else 0, "select": select}


def command(file: str, own: dict) -> str:
    """What was typed, but for the folder."""
    options = {"--answer": own["kind"], "--model": own["model"], "--input": ",".join(own["asked"]),
               "--output": own["answered"], "--group": own["group"], "--instruction": own["instruction"],
               "--minutes": f"{own['minutes']:g}"}  # fmt: skip
    said = [word for option, value in options.items() if value for word in (option, value)]
    flags = [flag for flag, on in (("--keep-private", not own["mask"]), ("--drop", own["drop"])) if on]
    return shlex.join(["ftlab", "project", file, *said, *flags])


def templates():
    """The texts beside this file."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True,
                       lstrip_blocks=True, keep_trailing_newline=True)  # fmt: skip


def write(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with whole_file(path) as file:
        file.write(text.encode())
