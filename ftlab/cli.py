"""The command `ftlab`: the package's functions from a shell.

Exit code 0 done, 1 a negative verdict or findings, 2 unusable input (one message on stderr, no traceback).
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ftlab.errors import FtlabError

DONE, NEGATIVE, UNUSABLE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    options = build_parser().parse_args(arguments)
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

    doctor = add_command(
        commands, "doctor", run_doctor, "what this machine has and what will run on it", "ftlab doctor --json"
    )
    doctor.add_argument(
        "--folder", type=Path, default=Path(), help="where free disk is measured (default: here)"
    )

    compare = add_command(
        commands,
        "compare",
        run_compare,
        "is system B better than system A on the same cases?",
        "ftlab compare prompt.jsonl fine_tuned.jsonl --references test.jsonl --json",
    )
    compare.add_argument("a", type=Path, metavar="A.jsonl", help='lines {"id", "prediction"} of the baseline')
    compare.add_argument(
        "b", type=Path, metavar="B.jsonl", help='lines {"id", "prediction"} of the candidate'
    )
    compare.add_argument(
        "--references", type=Path, required=True, metavar="R.jsonl", help='lines {"id", "reference"}'
    )
    compare.add_argument("--metric", default="exact_match", help="score of a case (default: exact_match)")

    decide = add_command(
        commands, "decide", run_decide, "prompt, retrieve or fine-tune? ranked advice for one case",
        "ftlab decide recipes/cases/support_triage.yaml",
    )  # fmt: skip
    decide.add_argument("case", type=Path, metavar="CASE.yaml", help="the case: task, wants and what is known")

    run = add_command(
        commands, "run", run_recipe, "train and judge one recipe", "ftlab run recipes/triage.yaml"
    )
    run.add_argument("recipe", type=Path, metavar="RECIPE.yaml")
    run.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for the results (default: under FTLAB_HOME)"
    )
    run.add_argument("--force", action="store_true", help="replace what is in the folder")
    return parser


def add_command(commands, name: str, function, summary: str, example: str) -> argparse.ArgumentParser:
    """One subcommand with --json and an example in its help."""
    command = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    command.set_defaults(command=function)
    return command


def run_doctor(options: argparse.Namespace) -> int:
    """`ftlab doctor`: 1 when a library the course needs is missing."""
    from ftlab import hardware

    machine = hardware.describe(options.folder)
    show(machine, dataclasses.asdict(machine), options.json)
    return NEGATIVE if "missing" in machine.versions.values() else DONE


def run_compare(options: argparse.Namespace) -> int:
    """`ftlab compare`: 0 only when B is better."""
    from ftlab.evaluation import compare_files

    result = compare_files(options.a, options.b, options.references, metric=options.metric)
    show(result, dataclasses.asdict(result), options.json)
    return DONE if result.verdict == "better" else NEGATIVE


def run_decide(options: argparse.Namespace) -> int:
    """`ftlab decide`: 0 whatever the advice is."""
    from ftlab.decide import decide, read_case

    decision = decide(read_case(options.case))
    show(decision, decision.to_dict(), options.json)
    return DONE


def run_recipe(options: argparse.Namespace) -> int:
    """`ftlab run`: 0 only when the gate says "ship"."""
    from ftlab.run import run_recipe

    report = run_recipe(options.recipe, out=options.out, force=options.force, progress=not options.json)
    show(report, report.to_json_dict(), options.json)
    return DONE if report.verdict == "ship" else NEGATIVE


def show(result: object, as_dict: dict, as_json: bool) -> None:
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
