"""`ftlab project FILE.jsonl`: check, split, baselines, training, evaluation, gate, cost and card, in one folder.

Each step is another command of ftlab; what is done lies in the folder and is not done twice.
"""

import hashlib
import json
import sys
from contextlib import redirect_stdout, suppress
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
from ftlab.kept import differences, kept
from ftlab.models import load_tokenizer
from ftlab.project.advice import NextStep, next_step, shown, spoken
from ftlab.project.ask import find_schema, find_wording, write_recipe, write_scenario
from ftlab.project.sizes import Sizes, choose_sizes, trained_per_second
from ftlab.project.source import LINE, Source, read_source
from ftlab.run import run_recipe, say_time
from ftlab.serving.card import write_card
from ftlab.training.recipe import load_recipe
from ftlab.training.train import as_texts

LONGEST = 1024  # tokens of a row
PARTS = ("train", "validation", "test")


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
        lines = [f"{self.advice.headline}.", *self.advice.reasons, *self.advice.then]
        return "\n".join([*lines, f"Read {self.folder / 'README.md'}"])


def run_project(
    path: str | Path, out: str | Path | None = None, *, answer: str | None = None, model: str = "smol",
    group: str | None = None, instruction: str = "", asked: tuple[str, ...] = (), answered: str = "",
    minutes: float = 15, calls_per_day: float | None = None, mask: bool = True, drop: bool = False, progress: bool = True,
) -> Project:  # fmt: skip
    """The whole path with one file; `minutes` limits rows and steps on a CPU. A stopped one goes on, a finished one is told."""
    say = say_time if progress else lambda text: None
    path = Path(path)
    folder = Path(out or ftlab.home() / f"project_{path.stem}")
    settings = {"answer": answer, "model": model, "group": group, "instruction": instruction, "asked": list(asked),
                "answered": answered, "minutes": minutes, "mask": mask, "drop": drop}  # fmt: skip
    begin(path, folder, settings)
    if not (folder / "recipe.yaml").exists():
        say(f"checking {path}")
        source = read_source(path, folder, kind=answer, asked=asked, answered=answered, group=group, mask=mask, drop=drop)
        for line in [*told(source.left_out), *source.notes]:
            say(line)
        sizes = measure(source, model, minutes)
        say(f"{source.kind} answers; {sizes!r}")
        prepare(path, folder, source, sizes, settings)
    found = json.loads((folder / "check.json").read_text(encoding="utf-8"))
    if not (folder / "run" / "report.json").exists():
        run_recipe(own_recipe(folder), out=folder / "run", progress=progress)
    report = json.loads((folder / "run" / "report.json").read_text(encoding="utf-8"))
    write_card(folder / "run")
    costs = reckon(folder, path.stem, report, found["rows_kept"], calls_per_day)
    advice = next_step(report, found["limits"])
    write(folder / "README.md", page(path, folder, report, found, costs, advice))
    return Project(folder, report["gate"]["verdict"], advice)


def begin(path: Path, folder: Path, settings: dict) -> None:
    """Note whose work lies in the folder; RecipeError where it is another's."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; name one with a row a line, such as chats.jsonl (now in {Path.cwd()})")
    if folder.exists() and not folder.is_dir() or folder.is_dir() and any(folder.iterdir()) and not (
        folder / "project.json").exists():  # fmt: skip
        raise DataError(f"{folder} has other things in it; choose an empty or new folder (--out)")
    own = json.loads(json.dumps(settings | {"file": hashlib.sha256(path.read_bytes()).hexdigest()}))
    if other := list(differences(kept(folder / "project.json", lambda: own), own)):
        raise RecipeError(f"{folder} holds another project: {'; '.join(other)}. Go on with what it had, or choose another "
                          "folder (--out)")  # fmt: skip


def told(left_out: list[Finding]) -> list[str]:
    """The rows that were left out: the first by line, field and reason, and how many only repeat another."""
    broken = [each for each in left_out if each.code != "repeated_row"]
    repeats = len(left_out) - len(broken)
    return listing(broken, 10) + ([f"{repeats} row(s) repeat an earlier one letter for letter."] if repeats else [])


def measure(source: Source, model: str, minutes: float) -> Sizes:
    """Take out rows that are too long, and choose how many rows and steps the time allows."""
    with redirect_stdout(sys.stderr):
        import unsloth  # noqa: F401  (before transformers, which the tokenizer brings)
    tokenizer = load_tokenizer(model)
    lengths = [len(ids) for ids in tokenizer(as_texts(source.rows, tokenizer))["input_ids"]]
    prompts = [len(prompt_ids(tokenizer, row["messages"][:-1])) for row in source.rows]
    long = [(row.get(LINE, at), n) for at, (row, n) in enumerate(zip(source.rows, lengths, strict=True), 1) if n > LONGEST]
    if long:
        raise DataError(f"{source.path}:{long[0][0]} has {long[0][1]:,} tokens, above {LONGEST:,} ({len(long)} such rows): "
                        "shorten or delete them, or train with a recipe of your own (ftlab run)")  # fmt: skip
    answers = [max(1, n - before) for n, before in zip(lengths, prompts, strict=True)]
    speed = trained_per_second(model, max(1, sum(lengths) // len(lengths)))
    return choose_sizes(prompts, answers, source.kind, speed, minutes)


def prepare(path: Path, folder: Path, source: Source, sizes: Sizes, settings: dict) -> None:
    """Split, and write what the run reads; the recipe last, since it says that all is there."""
    kind, rows, n = source.kind, source.rows, len(source.rows)
    schema = find_schema(rows) if kind == "record" else None
    fields = [name for name, rule in (schema or {"properties": {}})["properties"].items() if "enum" in rule]
    stratify = "answer" if kind == "label" else next((name for name in fields if name in schema["required"]), None)
    fractions = {"validation": sizes.validation / n, "test": sizes.test / n}
    fractions = {"train": 1 - sum(fractions.values())} | fractions
    split = split_file(folder / "clean.jsonl", folder / "parts", settings["group"], stratify, fractions, force=True)
    if schema:
        write(folder / "schema.json", json.dumps(schema, indent=1, ensure_ascii=False))
    wording = {"name": "from_the_data", "instruction": find_wording(rows, kind, schema, settings["instruction"])}
    write(folder / "prompts.yaml", yaml.safe_dump([wording], allow_unicode=True, sort_keys=False))
    found = source.report.to_dict() | {"repairs": source.repairs.to_dict(), "split": split.to_dict(), "notes": source.notes,
                                       "left_out": told(source.left_out), "limits": sizes.limits,
                                       "rows_kept": n, "estimate": repr(sizes)}  # fmt: skip
    write(folder / "check.json", json.dumps(found, indent=1, ensure_ascii=False))
    on_gpu = bool(hardware.gpu_here()[0])
    recipe = write_recipe(folder.name, settings["model"], kind, sizes, group=settings["group"], schema=bool(schema),
                          on_gpu=on_gpu)  # fmt: skip
    write(folder / "recipe.yaml", yaml.safe_dump(recipe, allow_unicode=True, sort_keys=False))


def own_recipe(folder: Path) -> Path:
    """The recipe of the folder; RecipeError where another file with the name of one of its files would be read."""
    recipe = load_recipe(folder / "recipe.yaml")
    if strange := [path for path in recipe.files.values() if folder.resolve() not in path.resolve().parents]:
        raise RecipeError(f"{strange[0]} would be read in place of the project's own file: start ftlab in another folder")
    return folder / "recipe.yaml"


def reckon(folder: Path, name: str, report: dict, rows: int, calls_per_day: float | None) -> str:
    """What the prompt at a service and the tuned model on a machine cost, or why nobody knows."""
    path = folder / "cost.yaml"
    if not path.exists():
        write(path, yaml.safe_dump(write_scenario(name, report, rows, calls_per_day), sort_keys=False))
    with suppress(FtlabError):
        return repr(cost(read_scenario(path)))
    return "The costs cannot be reckoned: mend cost.yaml and run `ftlab cost cost.yaml`."


def page(path: Path, folder: Path, report: dict, found: dict, costs: str, advice: NextStep) -> str:
    """README.md: what to do next, why, the numbers, what was done to the data, and how to run it again."""
    metric = report["gate"]["bars"]["metric"]
    rate = {name: system[metric] for name, system in report["systems"].items()}
    minutes = report["training"].get("minutes")
    counts = ", ".join(f"{name} {count}" for name, count in found["counts"].items()) or "nothing"
    rows = ", ".join(f"{count} {part}" for part, count in found["split"]["rows"].items())
    lines = [
        f"# {path.name}: what to do next", "", f"**{advice.headline}.**", "",
        *(f"- {line}" for line in [*advice.reasons, *advice.then]), "",
        f"## The numbers: {metric}, {report['n']} test rows that nothing was trained on", "",
        "95 % intervals; tokens of a call in brackets.", "",
        *(f"- {shown(name, rate)} ({system['tokens_per_call']:.0f} tokens)" for name, system in report["systems"].items()),
        "", f"The gate's verdict: **{report['gate']['verdict']}**.", "", *(f"- {line}" for line in report["gate"]["reasons"]),
        "", f"Compared is the fine-tuned model with the {spoken(report['comparison']['baseline'])}. Trained: {report['machine']}"
        + (f", {minutes:.1f} minutes, {report['training']['steps']} steps." if minutes else "."), "",
        "## The data", "",
        f"{found['rows_in']} rows, {found['rows_kept']} usable; split into {rows}, with like rows on one side.",
        f"`ftlab check` found: {counts} (check.json has every finding, repairs included).", "",
        *(f"- {line}" for line in [*(f"left out: {line}" for line in found["left_out"]), *found["notes"], *found["limits"]]),
        "", "## The costs", "", "What was measured is in it; prices of labour and machines, calls and hours are assumptions. "
        "Change them in cost.yaml, then `ftlab cost cost.yaml`.", "", "```", costs, "```", "",
        "## Run it again", "", "In this folder: `ftlab run recipe.yaml --out again`. With other data or settings: edit "
        "recipe.yaml, or `ftlab project` on the new file with another `--out`.", "",
        "run/report.html shows every system and answers to read; run/adapter/README.md is the model's card; parts/ the "
        "split (`source_line` is a row's line in your file), prompts.yaml the wording to beat.", "",
    ]  # fmt: skip
    return "\n".join(lines)


def write(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with whole_file(path) as file:
        file.write(text.encode())
