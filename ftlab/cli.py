"""The command `ftlab`: the package's functions from a shell.

Exit code 0 done, 1 a negative verdict or findings, 2 unusable input (one message on stderr, no traceback).
"""

import dataclasses
import json
import re
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ftlab.arguments import build_parser
from ftlab.errors import FtlabError
from ftlab.models import counting_model, load_tokenizer

DONE, NEGATIVE, UNUSABLE = 0, 1, 2
HARNESSES = ("inspect", "lm_eval")  # of `ftlab export`
COUNTED_AS = {  # by `ftlab fit`
    "chat": [],
    "preference": ["preference pairs, for DPO: prompt + chosen and prompt + rejected of each row go through the model"],
    "unpaired": ["rated answers, for KTO: one answer a row; memory and time are reckoned as for DPO, a rough guess"],
}
TARGETS = (
    "openai, openai_dpo, azure, azure_dpo, gemini, gemini_preference, bedrock_nova, together, together_dpo, "
    "fireworks, fireworks_dpo, trl, trl_prompt_completion, trl_kto, unsloth, axolotl or llama_factory"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    options = build_parser().parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):  # a terminal without UTF-8 must not end a report in a traceback
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        return globals()[f"cmd_{options.command}"](options)
    except FtlabError as error:
        print(f"ftlab: {error}", file=sys.stderr)
    except OSError as error:
        print(f"ftlab: {describe_os_error(error)}", file=sys.stderr)
    except KeyboardInterrupt:
        print("ftlab: interrupted", file=sys.stderr)
    return UNUSABLE


def cmd_doctor(options: Namespace) -> int:
    """`ftlab doctor`: 1 when a library the course needs is missing."""
    from ftlab import hardware

    machine = hardware.describe(options.folder)
    print_result(machine, dataclasses.asdict(machine), options.json)
    return NEGATIVE if "missing" in machine.versions.values() else DONE


def cmd_progress(options: Namespace) -> int:
    """`ftlab progress`: 0 whatever is solved."""
    from ftlab.exercises.progress import progress
    from ftlab.models import REPOSITORY

    found = progress(options.notebooks or REPOSITORY / "notebooks")
    solved, of = sum(each.solved for each in found), sum(len(each.statuses) for each in found)
    text = "\n".join([*map(repr, found), f"{solved} of {of} exercises solved; save a notebook to have it counted"])
    print_result(text, {each.notebook: each.statuses for each in found}, options.json)
    return DONE


def cmd_compare(options: Namespace) -> int:
    """`ftlab compare`: 0 only when B, or one of several candidates, is better."""
    from ftlab.evaluation.predictions import align

    if options.html is None and (options.slice or options.force):
        raise FtlabError("--slice and --force are for the page: name it with --html")
    paths = [options.a, options.b, *options.more]
    aligned = align(paths, options.references, options.metric, options.group, options.group_part)
    results = aligned.compare_all()
    if len(results) == 1:
        (result,) = results.values()
        text, as_dict = repr(result), dataclasses.asdict(result)
    else:
        text = "\n\n".join(f"{name}\n{result!r}" for name, result in results.items())
        as_list = [{"candidate": name} | dataclasses.asdict(result) for name, result in results.items()]
        as_dict = {"baseline": str(options.a), "comparisons": as_list}
    if options.html is not None:
        from ftlab.evaluation.page import write_page

        write_page(options.html, aligned, options.slice, options.force)
        text, as_dict = f"{text}\n\nthe page: {options.html}", as_dict | {"html": str(options.html)}
    print_result(text, as_dict, options.json)
    return DONE if any(result.verdict == "better" for result in results.values()) else NEGATIVE


def cmd_plan(options: Namespace) -> int:
    """`ftlab plan`: 0 with the number of paired cases."""
    from ftlab.evaluation.statistics import sample_size

    n = sample_size(options.gain, options.disagreement, options.power, options.alpha)
    text = (
        f"{n:,} cases, answered by both systems, find a gain of {100 * options.gain:g} points with "
        f"{100 * options.power:g} % power, if exactly one of the two is right on {100 * options.disagreement:g} %"
    )
    print_result(text, {"n": n}, options.json)
    return DONE


def cmd_check(options: Namespace) -> int:
    """`ftlab check`: 1 when something was found."""
    from ftlab.checks.check import MAX_LENGTH, check
    from ftlab.checks.fix import fix, list_left
    from ftlab.files import jsonl_path, refuse_existing

    if options.fix is not None:
        refuse_existing(jsonl_path(options.fix), options.force)
    max_length = MAX_LENGTH if options.max_length is None else options.max_length
    model = options.model if options.max_length is None else counting_model(options.model)
    report = check(options.file, options.against, model, max_length, options.format)
    text = repr(report)
    if model != options.model:
        text += f"\ntokens counted with {model}; name the model that you will train (--model)"
    if len(report.findings) > len(report.counts):
        text += "\nevery finding by itself: --json"
    if options.fix is None:
        print_result(text, report.to_dict(), options.json)
    else:
        settings = (options.format, not options.keep_private, options.force, options.drop_contradictions)
        repaired = fix(options.file, options.fix, *settings)
        text = "\n".join([f"{text}\n", *list_changes(repaired), *list_left(report, repaired)])
        print_result(text, report.to_dict() | {"fix": repaired.to_dict()}, options.json)
    return NEGATIVE if report.findings else DONE


def list_changes(repaired) -> list[str]:
    """The lines of a repair: what was written, each change and each row left out."""
    head = repr(repaired).splitlines()[0]
    return [head, *map(str, repaired.changes), *(f"left out: {row}" for row in repaired.dropped)]


def cmd_split(options: Namespace) -> int:
    """`ftlab split`: 0 when the parts are written."""
    from ftlab.data.splits import split_file
    from ftlab.files import JSONL_SUFFIXES

    parts = read_parts(options.parts)
    if options.file.suffix.lower() not in JSONL_SUFFIXES:
        raise FtlabError(f"{options.file}: only chat JSONL is split; first run "
                         f"ftlab convert {options.file} --to messages --out chats.jsonl")  # fmt: skip
    refuse_input(options.file, [options.out / f"{part}.jsonl" for part in parts])
    report = split_file(
        options.file, options.out, options.group, options.stratify, parts, options.seed, options.separator,
        options.force,
    )  # fmt: skip
    print_result(report, dataclasses.asdict(report), options.json)
    return DONE


def read_parts(text: str) -> dict[str, float]:
    """ "train=0.9,test=0.1" as a dict."""
    pairs = [re.fullmatch(r"\s*([\w-]+)\s*=\s*([\d.]+)\s*", part) for part in text.split(",")]
    try:
        parts = {pair[1]: float(pair[2]) for pair in pairs}
    except (TypeError, ValueError) as error:
        raise FtlabError(f"--parts {text}: write names and fractions, such as train=0.8,test=0.2") from error
    if len(parts) < len(pairs):
        raise FtlabError(f"--parts {text}: a name stands twice; give each part a name of its own")
    return parts


def refuse_input(path: Path, outputs: list[Path]) -> None:
    """Raise where a command would write over the file that it reads."""
    from ftlab.data.formats import is_same_file

    for output in outputs:
        if is_same_file(path, output):
            raise FtlabError(f"{output} is the file that is read: choose another folder with --out")


def cmd_convert(options: Namespace) -> int:
    """`ftlab convert`: 1 when a row could not be written."""
    from ftlab.data.formats import convert

    rename = [pair.partition("=") for pair in options.rename]
    if wrong := ["".join(pair) for pair in rename if not (pair[0] and pair[2])]:
        raise FtlabError(f"--rename {wrong[0]}: write the key that is there and the name that is wanted: text=prompt")
    rename = {old: new for old, _, new in rename}
    report = convert(options.file, options.out, options.to, options.format, options.force, rename)
    print_result(report, report.to_dict(), options.json)
    return NEGATIVE if report.rows_with_error else DONE


def cmd_export(options: Namespace) -> int:
    """`ftlab export`: 1 when rows were left out."""
    from ftlab.data.export import export

    if options.file.suffix.lower() in (".yaml", ".yml"):
        return export_from_recipe(options)
    if options.to in HARNESSES:
        return export_to_harness(options)
    settings = None
    if options.recipe is not None:
        from ftlab.training.recipe import load_recipe

        recipe = load_recipe(options.recipe)
        settings = recipe.training.model_dump(exclude={"train_sampling_strategy"})  # the other trainers have their own
        settings |= {"base_model": recipe.model, "seed": recipe.seed}
    files = [options.file] + ([options.validation] if options.validation is not None else [])
    names = [f"{part}{end}" for part in ("train", "validation") for end in (".jsonl", ".json")]
    for file in files:
        refuse_input(file, [options.out / name for name in names])
    (rows, unread), *more = [read_rows(file, options.format, options.drop) for file in files]
    validation, unread_too = more[0] if more else (None, [])
    report = export(
        rows, options.to, options.out, tokenizer=load_tokenizer(options.model), force=options.force,
        validation=validation, drop=options.drop, bom=options.bom, settings=settings,
    )  # fmt: skip
    report = dataclasses.replace(report, dropped=unread + unread_too + report.dropped)
    print_result(report, report.to_dict(), options.json)
    return NEGATIVE if report.dropped else DONE


def export_to_harness(options: Namespace) -> int:
    """`ftlab export TEST --to inspect`, or lm_eval: a test set as a task."""
    from ftlab.evaluation.harness import RUN, export_eval

    if given := [name for name in ("recipe", "validation", "model", "bom") if getattr(options, name)]:
        raise FtlabError(f"--{given[0]} is for training files, and {options.to} gets a test set: leave it out")
    rows, _ = read_rows(options.file, options.format)
    name = re.sub(r"\W", "_", options.file.stem)
    prompt = None if options.prompt is None else options.prompt.read_text(encoding="utf-8").strip()
    refuse_input(options.file, [options.out / f"{name}.jsonl"])
    files = export_eval(rows, options.to, options.out, name, prompt=prompt, force=options.force)
    told = f"{len(rows):,} samples in {', '.join(map(str, files))}\nrun it there: {RUN[options.to].format(name=name)}"
    print_result(told, {"to": options.to, "files": list(map(str, files)), "rows": len(rows)}, options.json)
    return DONE


def export_from_recipe(options: Namespace) -> int:
    """`ftlab export RECIPE.yaml`: the recipe names rows and settings itself."""
    from ftlab.training import elsewhere

    if given := [name for name in ("recipe", "validation", "format", "model", "drop", "bom") if getattr(options, name)]:
        raise FtlabError(f"--{given[0]} is for a file of rows, and {options.file} is a recipe: leave it out")
    report = elsewhere.export_recipe(options.file, options.to, options.out, force=options.force)
    print_result(report, report.to_dict(), options.json)
    return DONE


def read_rows(path: Path, format: str | None = None, drop: bool = False) -> tuple[list, list]:
    """The placed rows of a file in our form, and the errors of rows that cannot be read; these raise without `drop`."""
    from ftlab.data import formats
    from ftlab.data.findings import errors_of, raise_findings

    source = formats.read(path, format)
    errors = errors_of(source.findings)
    if not (drop and source.rows):
        raise_findings(errors)
    return source.rows, errors


def cmd_cost(options: Namespace) -> int:
    """`ftlab cost`: 1 when training never pays back; also for a workflow with people in the loop."""
    from ftlab.costs.assumptions import read_scenario
    from ftlab.costs.payback import is_workflow, read_workflow, report_payback
    from ftlab.costs.scenario import cost

    if is_workflow(options.scenario):
        workflow = report_payback(read_workflow(options.scenario))
        print_result(workflow, workflow.to_dict(), options.json)
        return NEGATIVE if workflow.payback.verdict == "never" else DONE

    def count_tokens(text):
        nonlocal tokenizer
        tokenizer = tokenizer or load_tokenizer(model)
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    model, tokenizer = counting_model(options.model), None
    report = cost(read_scenario(options.scenario, count_tokens), options.today)
    as_dict = report.to_dict() | {"counted_with": model if tokenizer else None}
    note = f"\nnote: tokens_from is counted with the tokenizer of {model} (--model names another)" if tokenizer else ""
    print_result(f"{report!r}{note}", as_dict, options.json)
    return NEGATIVE if as_dict["break_even"] == "never" else DONE


def cmd_memory(options: Namespace) -> int:
    """`ftlab memory`: 1 when it does not fit the GPU named."""
    from ftlab.costs.memory import estimate_memory
    from ftlab.costs.remedies import what_would_fit

    settings = {
        "batch": options.batch, "length": options.length, "rank": options.rank, "mode": options.mode,
        "checkpointing": options.checkpointing, "optimizer": options.optimizer, "gpu": options.gpu,
        "trainer": options.trainer,
    }  # fmt: skip
    memory = estimate_memory(options.model, options.method, **settings)
    as_dict = memory.to_dict()
    if memory.fits is not False:
        print_result(memory, as_dict, options.json)
        return DONE
    remedies = what_would_fit(options.model, options.method, longest=options.longest, **settings)
    print_result(f"{memory!r}\n\n{remedies!r}", as_dict | {"would_fit": remedies.to_dict()}, options.json)
    return NEGATIVE


def cmd_fit(options: Namespace) -> int:
    """`ftlab fit`: 1 when no model of the catalogue fits."""
    from ftlab.checks.tokens import lengths
    from ftlab.costs.time import what_fits
    from ftlab.data.rendering import row_kind

    rows, _ = read_rows(options.file)
    model = counting_model(options.model)
    counted = lengths(rows, load_tokenizer(model))
    kind = next((kind for kind in map(row_kind, (row.data for row in rows)) if kind != "chat"), "chat")
    methods = ("lora", "qlora") if kind == "chat" else ("dpo_lora", "dpo_qlora")
    table = what_fits(counted.total, options.gpu, epochs=options.epochs, max_length=options.max_length, methods=methods)
    table = dataclasses.replace(table, rows_in=len(rows))
    notes = [f"counted with the tokenizer of {model}; that of another model gives other numbers (--model)"]
    notes += COUNTED_AS[kind] + counted.notes
    text = "\n".join([repr(table), *(f"note: {note}" for note in notes)])
    as_dict = dataclasses.asdict(table) | {"counted_with": model, "kind": kind, "notes": notes}
    print_result(text, as_dict, options.json)
    return DONE if any(fit.fits for fit in table.models) else NEGATIVE


def cmd_decide(options: Namespace) -> int:
    """`ftlab decide`: 0 whatever the advice is."""
    from ftlab.decide import decide, read_case

    decision = decide(read_case(options.case))
    print_result(decision, decision.to_dict(), options.json)
    return DONE


def cmd_hosted(options: Namespace) -> int:
    """`ftlab hosted`: 1 when the job failed, rows were left out, or the gate does not say "ship"."""
    from ftlab.hosted.command import run_action

    text, as_dict, good = run_action(options)
    print_result(text, as_dict, options.json)
    return DONE if good else NEGATIVE


def cmd_run(options: Namespace) -> int:
    """`ftlab run`: 0 only when the gate says "ship"."""
    from ftlab.run import run_recipe

    report = run_recipe(options.recipe, out=options.out, force=options.force, progress=not options.json)
    print_result(report, report.to_json_dict(), options.json)
    return DONE if report.verdict == "ship" else NEGATIVE


def cmd_project(options: Namespace) -> int:
    """`ftlab project`: 0 only when the gate says "ship"."""
    from ftlab.project.project import run_project

    project = run_project(
        options.file, options.out, answer=options.answer, model=options.model, group=options.group,
        instruction=options.instruction, asked=tuple(filter(None, options.input.split(","))), answered=options.output,
        minutes=options.minutes, calls_per_day=options.calls_per_day, mask=not options.keep_private, drop=options.drop,
        progress=not options.json,
    )  # fmt: skip
    print_result(project, project.to_dict(), options.json)
    return DONE if project.verdict == "ship" else NEGATIVE


def cmd_release(options: Namespace) -> int:
    """`ftlab release`: 1 when a run was refused."""
    from ftlab.serving.releases import current, release, rollback

    if options.rollback and options.run:
        raise FtlabError("--rollback puts the release before back and takes no run: leave one of the two out")
    if not (options.rollback or options.run):
        if not (folder := current(options.to)):
            raise FtlabError(f"{options.to}: nothing is released there; name the folder of a run")
        text = f"release {folder.name} is in service ({folder}), its files as released"
        print_result(text, {"name": folder.name, "folder": str(folder)}, options.json)
        return DONE
    result = rollback(options.to) if options.rollback else release(options.run, options.to, options.despite)
    print_result(result, result.to_dict(), options.json)
    return DONE if result.name else NEGATIVE


def print_result(result: object, as_dict: dict, as_json: bool) -> None:
    """Print a result for a person, or for a machine."""
    print(json.dumps(as_dict, ensure_ascii=False, indent=2) if as_json else result)


def describe_os_error(error: OSError) -> str:
    """What went wrong with which file, and what to do."""
    if isinstance(error, FileNotFoundError):
        return f"{error.filename}: no such file. Check the path; it is relative to {Path.cwd()}."
    if isinstance(error, FileExistsError):
        return f"{error.filename} exists already. Choose another place or add --force."
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


if __name__ == "__main__":
    sys.exit(main())
