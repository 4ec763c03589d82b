"""`ftlab project FILE.jsonl`: check, split, baselines, training, evaluation, gate, cost and card, in one folder.

Each step is another command of ftlab; what is done lies in the folder and is not done twice.
"""

import hashlib
import io
import json
import logging
import re
import sys
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

import ftlab
from ftlab import hardware
from ftlab.costs.assumptions import read_scenario
from ftlab.costs.scenario import cost
from ftlab.data.findings import Finding, listing
from ftlab.data.splits import split_file
from ftlab.errors import DataError, FtlabError, RecipeError
from ftlab.evaluation.generation import prompt_ids
from ftlab.files import whole_file
from ftlab.kept import differences
from ftlab.models import load_tokenizer
from ftlab.project.advice import NextStep, next_step, percent, spoken
from ftlab.project.ask import find_schema, find_wording, write_recipe
from ftlab.project.sizes import Sizes, choose_sizes, trained_per_second
from ftlab.project.source import LINE, Source, read_source
from ftlab.run import run_recipe, say_time
from ftlab.serving.card import write_card
from ftlab.training.recipe import load_recipe
from ftlab.training.train import as_texts

OWN = "project.json"  # whose work lies in the folder; written once all that the run reads is there
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
    say = say_time if progress else lambda text: None
    path = Path(path)
    folder = Path(out or ftlab.home() / f"project_{path.stem}")
    rows = {"kind": answer, "asked": list(asked), "answered": answered, "group": group, "mask": mask, "drop": drop}
    own = whose(path, folder, rows | {"model": model, "instruction": instruction, "minutes": minutes})
    if not (folder / OWN).exists():
        say(f"checking {path}")
        source = read_source(path, folder, **rows)
        sizes = measure(source, model, minutes)
        for line in [*told(source.left_out), *source.notes, f"{source.kind} answers; {sizes!r}"]:
            say(line)
        write_parts(folder, source, sizes, model, group, instruction)
        write(folder / OWN, json.dumps(own, indent=1))
    if not (folder / "run" / "report.json").exists():
        # it warns of checkpoints that were written within one second, as those of a small model are
        logging.getLogger("transformers.trainer_utils").setLevel(logging.ERROR)
        with nullcontext() if progress else redirect_stderr(io.StringIO()):
            run_recipe(own_recipe(folder), out=folder / "run", progress=progress)
    report = json.loads((folder / "run" / "report.json").read_text(encoding="utf-8"))
    found = json.loads((folder / "check.json").read_text(encoding="utf-8"))
    write_card(folder / "run")
    advice = next_step(report, found["limits"])
    costs = reckon(folder, report, found["rows_kept"], calls_per_day)
    write(folder / "README.md", page(path.name, report, found, costs, advice))
    return Project(folder, report["gate"]["verdict"], advice)


def whose(path: Path, folder: Path, settings: dict) -> dict:
    """What the folder's results follow from; raises where they follow from something else, or are not ours."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; name one with a row a line, such as chats.jsonl (now in {Path.cwd()})")
    own = settings | {"file": hashlib.sha256(path.read_bytes()).hexdigest()}
    there = {each.name for each in folder.iterdir()} if folder.exists() else set()
    if OWN not in there:
        if there - {"source.jsonl", "clean.jsonl", "parts", "schema.json", "prompts.yaml", "check.json"}:
            raise DataError(f"{folder} has other things in it; choose an empty or a new folder (--out)")
    elif other := list(differences(json.loads((folder / OWN).read_text(encoding="utf-8")), own)):
        raise RecipeError(f"{folder} holds another project: {'; '.join(other)}. Go on with what it had, or choose "
                          "another folder (--out)")  # fmt: skip
    return own


def told(left_out: list[Finding]) -> list[str]:
    """The rows that were left out: the first by line, field and reason, and how many only repeat another."""
    broken = [each for each in left_out if each.code != "repeated_row"]
    repeats = len(left_out) - len(broken)
    return listing(broken, 10) + ([f"{repeats} row(s) that repeat an earlier one letter for letter"] if repeats else [])


def measure(source: Source, model: str, minutes: float) -> Sizes:
    """How many rows and steps the time allows; DataError for rows that are too long."""
    with redirect_stdout(sys.stderr):
        import unsloth  # noqa: F401  (before transformers, which the tokenizer brings)
    tokenizer = load_tokenizer(model)
    lengths = [len(ids) for ids in tokenizer(as_texts(source.rows, tokenizer))["input_ids"]]
    prompts = [len(prompt_ids(tokenizer, row["messages"][:-1])) for row in source.rows]
    long = [row.get(LINE, at) for at, row in enumerate(source.rows, 1) if lengths[at - 1] > LONGEST]
    if long:
        raise DataError(f"{source.path}:{long[0]}: more than {LONGEST:,} tokens, as have {len(long)} row(s): shorten "
                        "or delete them, or train with a recipe of your own (ftlab run)")  # fmt: skip
    answers = [max(1, n - before) for n, before in zip(lengths, prompts, strict=True)]
    speed = trained_per_second(model, max(1, sum(lengths) // len(lengths)))
    return choose_sizes(prompts, answers, source.kind, speed, minutes)


def write_parts(folder: Path, source: Source, sizes: Sizes, model: str, group: str | None, instruction: str) -> None:
    """Split, and write what the run reads."""
    rows, schema, stratify = source.rows, None, "answer" if source.kind == "label" else None
    if source.kind == "record":
        schema = find_schema(rows)
        fields = (name for name in schema["required"] if "enum" in schema["properties"][name])
        stratify = next(fields, None)
        write(folder / "schema.json", json.dumps(schema, indent=1, ensure_ascii=False))
    share = {"validation": sizes.validation / len(rows), "test": sizes.test / len(rows)}
    share = {"train": 1 - sum(share.values())} | share
    split = split_file(folder / "clean.jsonl", folder / "parts", group, stratify, share, force=True)
    wording = {"name": "from_the_data", "instruction": find_wording(rows, source.kind, schema, instruction)}
    write(folder / "prompts.yaml", yaml.safe_dump([wording], allow_unicode=True, sort_keys=False))
    own = {"left_out": told(source.left_out), "notes": source.notes, "limits": sizes.limits, "estimate": repr(sizes)}
    own |= {
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
    recipe = write_recipe(name, model, source.kind, sizes, group, bool(schema), on_gpu)
    write(folder / "recipe.yaml", yaml.safe_dump(recipe, allow_unicode=True, sort_keys=False))


def own_recipe(folder: Path) -> Path:
    """The recipe of the folder; RecipeError where a file of the current folder would be read in place of one of its."""
    recipe = load_recipe(folder / "recipe.yaml")
    if strange := [path for path in recipe.files.values() if folder.resolve() not in path.resolve().parents]:
        raise RecipeError(
            f"{strange[0]} would be read in place of the project's own file: start ftlab in another folder"
        )
    return folder / "recipe.yaml"


def reckon(folder: Path, report: dict, rows: int, calls_per_day: float | None) -> str:
    """What the prompt at a service and the tuned model on a machine cost, or why it cannot be said."""
    path, systems = folder / "cost.yaml", report["systems"]
    tuned = systems["fine_tuned"]
    if not path.exists():
        hours, prompted = (report["training"]["minutes"] or 1) / 60, systems[report["comparison"]["baseline"]]
        values = {"name": folder.name, "n": report["n"], "rows": rows, "calls_per_day": calls_per_day, "hours": hours}
        values |= {"tuned": tuned, "prompted": prompted}
        values |= {"calls_per_hour": max(1, round(3600 / max(tuned["seconds_per_call"], 1e-3)))}
        write(path, templates().get_template("cost.yaml.j2").render(values))
    try:
        return repr(cost(read_scenario(path)))
    except FtlabError as error:
        return str(error)


def page(file: str, report: dict, found: dict, costs: str, advice: NextStep) -> str:
    """README.md: what to do next and why, the numbers, what became of the data, the costs, how to run it again."""
    metric, environment = report["gate"]["bars"]["metric"], templates()
    environment.filters |= {"spoken": spoken, "rate": lambda name: percent(report["systems"][name][metric])}
    values = {"file": file, "metric": metric, "report": report, "found": found, "costs": costs, "advice": advice}
    return environment.get_template("page.md.j2").render(values)


def templates():
    """The texts beside this file."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True,
                       lstrip_blocks=True, keep_trailing_newline=True)  # fmt: skip


def write(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with whole_file(path) as file:
        file.write(text.encode())
