"""The command `ftlab`: the package's functions from a shell.

Exit code 0 done, 1 a negative verdict or findings, 2 unusable input (one message on stderr, no traceback).
"""

import argparse
import dataclasses
import datetime
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from ftlab.errors import FtlabError
from ftlab.models import load_tokenizer

DONE, NEGATIVE, UNUSABLE = 0, 1, 2
# as in data.formats and data.export; written out here so that --help loads neither (a test compares)
FORMATS = "messages, instruction, prompt_completion, preference, sharegpt or alpaca"
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
        return options.command(options)
    except FtlabError as error:
        print(f"ftlab: {error}", file=sys.stderr)
    except OSError as error:
        print(f"ftlab: {describe_os_error(error)}", file=sys.stderr)
    except KeyboardInterrupt:
        print("ftlab: interrupted", file=sys.stderr)
    return UNUSABLE


def build_parser() -> argparse.ArgumentParser:
    """The parser of every command; each command's help ends with an example."""
    parser = argparse.ArgumentParser(
        prog="ftlab",
        description="Measure, train and judge fine-tuned language models.",
        epilog="Exit code: 0 done, 1 a negative verdict or findings, 2 unusable input.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    doctor = add_command(commands, cmd_doctor, "what this machine has and what will run on it", "ftlab doctor --json")
    doctor.add_argument("--folder", type=Path, default=Path(), help="where free disk is measured (default: here)")

    add_data_commands(commands)
    add_cost_commands(commands)

    decide = add_command(
        commands, cmd_decide, "prompt, retrieve or fine-tune? ranked advice for one case",
        "ftlab decide recipes/cases/support_triage.yaml",
    )  # fmt: skip
    decide.add_argument("case", type=Path, metavar="CASE.yaml", help="the case: task, wants and what is known")

    run = add_command(commands, cmd_run, "train and judge one recipe", "ftlab run recipes/support_triage.yaml")
    run.add_argument("recipe", type=Path, metavar="RECIPE.yaml", help="needs name, model and data")
    run.add_argument("--out", type=Path, metavar="DIR", help="folder for the results (default: under FTLAB_HOME)")
    run.add_argument("--force", action="store_true", help="replace what is in the folder")

    plan = add_command(
        commands, cmd_plan, "how many test cases show a gain? by McNemar's paired test",
        "ftlab plan --gain 0.05 --disagreement 0.10 --power 0.8 --json",
    )  # fmt: skip
    plan.add_argument("--gain", type=float, required=True, metavar="D", help="the smallest gain that matters (0.05)")
    plan.add_argument("--disagreement", type=float, required=True, metavar="P",
                      help="share of cases that exactly one of the two systems gets right (0.10)")  # fmt: skip
    plan.add_argument("--power", type=float, default=0.8, help="the chance to find that gain (default: %(default)s)")
    plan.add_argument("--alpha", type=float, default=0.05, help="the share of false alarms (default: %(default)s)")

    compare = add_command(
        commands, cmd_compare, "is system B better than system A on the same cases?",
        "ftlab compare prompt.jsonl fine_tuned.jsonl --references test.jsonl --json",
    )  # fmt: skip
    compare.add_argument("a", type=Path, metavar="A.jsonl", help='lines {"id", "prediction"} of the baseline')
    compare.add_argument("b", type=Path, metavar="B.jsonl", help='lines {"id", "prediction"} of the candidate')
    compare.add_argument("--references", type=Path, required=True, metavar="R.jsonl",
                         help='lines {"id", "reference"}, or chat rows')  # fmt: skip
    compare.add_argument("--metric", default="exact_match", help="score of a case (default: %(default)s)")
    return parser


def add_data_commands(commands) -> None:
    """check, split, convert, export."""
    check = add_command(
        commands, cmd_check, "what is wrong in a training file, and a repaired copy",
        "ftlab check tickets.jsonl --against test.jsonl --model nano --fix clean.jsonl",
    )  # fmt: skip
    check.add_argument("file", type=Path, metavar="FILE", help="JSONL, JSON, CSV, Parquet or a saved dataset")
    check.add_argument("--against", type=Path, metavar="EVAL", help="an evaluation file that must not leak into it")
    check.add_argument("--model", metavar="M", help="checks with this model's tokenizer and chat template")
    check.add_argument("--max-length", type=int, metavar="N", help="with --model: tokens a row (default: 1024)")
    check.add_argument("--format", metavar="F", help=f"of the file, when it cannot be told: {FORMATS}")
    check.add_argument("--fix", type=Path, metavar="OUT", help="write a repaired copy and list every change")
    check.add_argument("--keep-private", action="store_true", help="with --fix: do not mask keys, cards, mail, phones")
    check.add_argument("--force", action="store_true", help="with --fix: replace OUT")

    split = add_command(
        commands, cmd_split, "train and test parts that share no group and no near duplicate",
        "ftlab split clean.jsonl --group customer --stratify queue --out parts",
    )  # fmt: skip
    split.add_argument("file", type=Path, metavar="FILE.jsonl", help="chat JSONL; convert other formats first")
    split.add_argument("--out", type=Path, required=True, metavar="DIR")
    split.add_argument("--group", metavar="KEY", help="rows with the same value stay together")
    split.add_argument("--separator", metavar="S", help="a row's groups stand in one string, such as p1+p2")
    split.add_argument("--stratify", metavar="FIELD", help="a key of the row or a field of its JSON answer")
    split.add_argument("--parts", default="train=0.9,test=0.1", help="names and fractions (default: %(default)s)")
    split.add_argument("--seed", type=int, default=0)
    split.add_argument("--force", action="store_true", help="replace the files in DIR")

    convert = add_command(
        commands, cmd_convert, "from one training format to another, without loss or with a reason",
        "ftlab convert alpaca.json --to messages --out chats.jsonl",
    )  # fmt: skip
    convert.add_argument("file", type=Path, metavar="FILE")
    convert.add_argument("--to", required=True, metavar="FORMAT", help=FORMATS)
    convert.add_argument("--format", metavar="F", help="of the file, when it cannot be told")
    convert.add_argument("--out", type=Path, required=True, metavar="OUT.jsonl")
    convert.add_argument("--force", action="store_true", help="replace OUT")

    export = add_command(
        commands, cmd_export, "the files that a service or a trainer takes, checked by its own rules",
        "ftlab export clean.jsonl --to openai --out upload",
    )  # fmt: skip
    export.add_argument("file", type=Path, metavar="FILE")
    export.add_argument("--to", required=True, metavar="TARGET", help=TARGETS)
    export.add_argument("--format", metavar="F", help=f"of the file, when it cannot be told: {FORMATS}")
    export.add_argument("--out", type=Path, required=True, metavar="DIR")
    export.add_argument("--validation", type=Path, metavar="FILE", help="exported beside it")
    export.add_argument("--model", metavar="M", help="estimate tokens with this model's tokenizer")
    export.add_argument("--recipe", type=Path, metavar="RECIPE.yaml", help="settings for axolotl and llama_factory")
    export.add_argument("--drop", action="store_true", help="leave out unreadable and unfit rows, and list them")
    export.add_argument("--bom", action="store_true", help="start with a byte order mark (older Azure)")
    export.add_argument("--force", action="store_true", help="replace the files in DIR")


def add_cost_commands(commands) -> None:
    """cost, memory, fit."""
    cost = add_command(
        commands, cmd_cost, "what each option costs, and after how many calls training pays back",
        "ftlab cost recipes/costs/support_triage_hosted.yaml",
    )  # fmt: skip
    cost.add_argument("scenario", type=Path, metavar="SCENARIO.yaml")
    cost.add_argument("--today", type=datetime.date.fromisoformat, metavar="DATE", help="judge the prices' age then")
    cost.add_argument("--model", default="nano", metavar="M", help="whose tokenizer counts `tokens_from` (an estimate)")

    memory = add_command(
        commands, cmd_memory, "does it fit?", "ftlab memory --model unsloth/Qwen3-8B --gpu T4 --json"
    )
    memory.add_argument("--model", required=True, metavar="M", help="hub id of the catalogue, folder or config.json")
    memory.add_argument("--method", default="qlora", help="full, lora, qlora, dpo_lora, ... (default: qlora)")
    memory.add_argument("--batch", type=int, default=2, metavar="B", help="rows at once (default: 2)")
    memory.add_argument("--length", type=int, default=2048, metavar="L", help="tokens a row (default: 2048)")
    memory.add_argument("--rank", type=int, default=16, help="of the adapter (default: 16)")
    memory.add_argument("--trainer", default="unsloth", choices=("unsloth", "plain"),
                        help="whose kernels: Unsloth's, or plain transformers (default: unsloth)")  # fmt: skip
    memory.add_argument("--checkpointing", choices=("off", "on", "unsloth"),
                        help="of gradients (default: unsloth; with a plain trainer: on)")  # fmt: skip
    memory.add_argument("--optimizer", default="adamw_8bit")
    memory.add_argument("--mode", default="train", choices=("train", "eval"))
    memory.add_argument("--gpu", metavar="G", help="such as T4, L4, A100-80GB, H100; says what would make it fit")
    memory.add_argument("--longest", type=int, metavar="L", help="tokens of your longest row: no shorter length helps")

    fit = add_command(
        commands, cmd_fit, "which models fit a GPU on this data, and how long they take",
        "ftlab fit data/support_triage/train.jsonl --gpu T4",
    )  # fmt: skip
    fit.add_argument("file", type=Path, metavar="FILE.jsonl")
    fit.add_argument("--gpu", required=True, metavar="G")
    fit.add_argument("--epochs", type=float, default=3)
    fit.add_argument("--max-length", type=int, metavar="N", help="tokens a row (default: the longest row)")
    fit.add_argument("--model", default="nano", metavar="M", help="whose tokenizer counts (default: nano)")


def add_command(commands, function, summary: str, example: str) -> argparse.ArgumentParser:
    """The subcommand of a function cmd_NAME, with --json and an example in its help."""
    command = commands.add_parser(
        function.__name__.removeprefix("cmd_"),
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    command.set_defaults(command=function)
    return command


def cmd_doctor(options: argparse.Namespace) -> int:
    """`ftlab doctor`: 1 when a library the course needs is missing."""
    from ftlab import hardware

    machine = hardware.describe(options.folder)
    print_result(machine, dataclasses.asdict(machine), options.json)
    return NEGATIVE if "missing" in machine.versions.values() else DONE


def cmd_compare(options: argparse.Namespace) -> int:
    """`ftlab compare`: 0 only when B is better."""
    from ftlab.evaluation.metrics import compare_files

    result = compare_files(options.a, options.b, options.references, metric=options.metric)
    print_result(result, dataclasses.asdict(result), options.json)
    return DONE if result.verdict == "better" else NEGATIVE


def cmd_plan(options: argparse.Namespace) -> int:
    """`ftlab plan`: 0 with the number of paired cases."""
    from ftlab.evaluation.statistics import sample_size

    n = sample_size(options.gain, options.disagreement, options.power, options.alpha)
    text = (f"{n:,} cases, answered by both systems, find a gain of {100 * options.gain:g} points with "
            f"{100 * options.power:g} % power, if exactly one of the two is right on {100 * options.disagreement:g} %")
    print_result(text, {"n": n}, options.json)
    return DONE


def cmd_check(options: argparse.Namespace) -> int:
    """`ftlab check`: 1 when something was found."""
    from ftlab.checks.check import MAX_LENGTH, check, fix
    from ftlab.files import jsonl_path, refuse_existing

    if options.max_length is not None and options.model is None:
        raise FtlabError("--max-length counts tokens: name the model that they are counted for (--model nano)")
    if options.fix is not None:
        refuse_existing(jsonl_path(options.fix), options.force)
    max_length = MAX_LENGTH if options.max_length is None else options.max_length
    report = check(options.file, options.against, options.model, max_length, options.format)
    text = f"{report}\nevery finding by itself: --json" if len(report.findings) > len(report.counts) else report
    if options.fix is None:
        print_result(text, report.to_dict(), options.json)
    else:
        repaired = fix(options.file, options.fix, options.format, not options.keep_private, options.force)
        text = "\n".join([f"{text}\n", *list_changes(repaired)])
        print_result(text, report.to_dict() | {"fix": repaired.to_dict()}, options.json)
    return NEGATIVE if report.findings else DONE


def list_changes(repaired) -> list[str]:
    """The lines of a repair: what was written, each change and each row left out."""
    head = repr(repaired).splitlines()[0]
    return [head, *map(str, repaired.changes), *(f"left out: {row}" for row in repaired.dropped)]


def cmd_split(options: argparse.Namespace) -> int:
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
    print_result(report, report.to_dict(), options.json)
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


def cmd_convert(options: argparse.Namespace) -> int:
    """`ftlab convert`: 1 when a row could not be written."""
    from ftlab.data.formats import convert

    report = convert(options.file, options.out, options.to, options.format, options.force)
    print_result(report, report.to_dict(), options.json)
    return NEGATIVE if report.rows_with_error else DONE


def cmd_export(options: argparse.Namespace) -> int:
    """`ftlab export`: 1 when rows were left out."""
    from ftlab.data.export import export

    settings = None
    if options.recipe is not None:
        from ftlab.training.recipe import load_recipe

        recipe = load_recipe(options.recipe)
        settings = recipe.training.model_dump() | {"base_model": recipe.model, "seed": recipe.seed}
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


def read_rows(path: Path, format: str | None = None, drop: bool = False) -> tuple[list, list]:
    """The placed rows of a file as messages, and the errors of rows that cannot be read; these raise without `drop`."""
    from ftlab.data import formats
    from ftlab.data.schema import Row, errors_of, raise_findings

    rows, errors = [], []
    for line, chat, found in formats.scan(path, formats.format_of(path, format)):
        place = f"{path} {line.at}".rstrip()  # rows that share a line
        for finding in errors_of(found):
            field = finding.field.removeprefix(line.at).removeprefix(".")
            errors.append(dataclasses.replace(finding, file=place, field=field))
        if chat is not None:
            rows.append(Row(chat.data, place, line.number))
    if not (drop and rows):
        raise_findings(errors)
    return rows, errors


def cmd_cost(options: argparse.Namespace) -> int:
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
        tokenizer = tokenizer or load_tokenizer(options.model)
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    tokenizer = None
    report = cost(read_scenario(options.scenario, count_tokens), options.today)
    as_dict = report.to_dict()
    print_result(report, as_dict, options.json)
    return NEGATIVE if as_dict["break_even"] == "never" else DONE


def cmd_memory(options: argparse.Namespace) -> int:
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


def cmd_fit(options: argparse.Namespace) -> int:
    """`ftlab fit`: 1 when no model of the catalogue fits."""
    from ftlab.checks.tokens import lengths
    from ftlab.costs.time import what_fits
    from ftlab.data.rendering import kind_of

    rows, _ = read_rows(options.file)
    counted = lengths(rows, load_tokenizer(options.model))
    kind = next((kind for kind in map(kind_of, (row.data for row in rows)) if kind != "chat"), "chat")
    methods = ("lora", "qlora") if kind == "chat" else ("dpo_lora", "dpo_qlora")
    table = what_fits(
        counted.total, options.gpu, epochs=options.epochs, max_length=options.max_length, methods=methods
    )
    table = dataclasses.replace(table, rows_in=len(rows))
    notes = [f"counted with the tokenizer of {options.model}; that of another model gives other numbers (--model)"]
    notes += COUNTED_AS[kind] + counted.notes
    text = "\n".join([repr(table), *(f"note: {note}" for note in notes)])
    print_result(text, table.to_dict() | {"counted_with": options.model, "kind": kind, "notes": notes}, options.json)
    return DONE if any(fit.fits for fit in table.fits) else NEGATIVE


def cmd_decide(options: argparse.Namespace) -> int:
    """`ftlab decide`: 0 whatever the advice is."""
    from ftlab.decide import decide, read_case

    decision = decide(read_case(options.case))
    print_result(decision, decision.to_dict(), options.json)
    return DONE


def cmd_run(options: argparse.Namespace) -> int:
    """`ftlab run`: 0 only when the gate says "ship"."""
    from ftlab.run import run_recipe

    report = run_recipe(options.recipe, out=options.out, force=options.force, progress=not options.json)
    print_result(report, report.to_json_dict(), options.json)
    return DONE if report.verdict == "ship" else NEGATIVE


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
