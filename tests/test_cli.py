"""The command line: help, JSON, exit codes, one message on stderr."""

import json
import subprocess
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from ftlab import arguments, cli
from ftlab.costs.cards import gpus
from ftlab.errors import DataError

COMMANDS = ["doctor", "compare", "check", "split", "convert", "export", "cost", "memory", "fit", "decide",
            "run", "plan", "project"]  # fmt: skip
COMPARE = ["compare", "a.jsonl", "b.jsonl", "--references", "r.jsonl"]


@dataclass(frozen=True)
class Comparison:
    """Stands in for a comparison of two files; guarantees only the field that cli reads."""

    verdict: str
    delta: float = 0.1


def replace_module(monkeypatch, name, **functions):
    """Put stand-in functions where the command imports the real ones from."""
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(**functions))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main([command, "--help"])
    assert exit_.value.code == 0
    shown = capsys.readouterr().out
    assert f"example:\n  ftlab {command}" in shown
    assert "--json" in shown


@pytest.mark.parametrize("command", COMMANDS)
def test_the_example_of_the_help_parses(command, capsys):
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    example = capsys.readouterr().out.rsplit("example:\n  ftlab ", 1)[1]
    assert cli.build_parser().parse_args(example.split()).command


@pytest.mark.parametrize("arguments", [[], ["no-such-command"], ["compare", "a.jsonl"]])
def test_wrong_usage_is_exit_2(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert exit_.value.code == 2
    assert "usage: ftlab" in capsys.readouterr().err


def test_doctor_json(capsys):
    assert cli.main(["doctor", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["precision"] in {"fp32", "fp16", "bf16"}
    assert answer["gpu"] or answer["smol"]["tokens_per_second"] > 0
    assert answer["versions"]["python"].startswith("3.")


@pytest.mark.parametrize(("verdict", "code"), [("better", 0), ("worse", 1), ("no detectable difference", 1)])
def test_compare_exit_code_follows_the_verdict(monkeypatch, capsys, verdict, code):
    calls = []

    def align(paths, references, metric, group, group_part):
        calls.append((*map(str, paths), str(references), metric))
        return SimpleNamespace(compare_all=lambda: {"b.jsonl": Comparison(verdict)})

    replace_module(monkeypatch, "ftlab.evaluation.predictions", align=align)
    assert cli.main([*COMPARE, "--metric", "field_accuracy", "--json"]) == code
    assert json.loads(capsys.readouterr().out) == {"verdict": verdict, "delta": 0.1}
    assert calls == [("a.jsonl", "b.jsonl", "r.jsonl", "field_accuracy")]


def test_formats_and_targets_in_the_help_are_those_of_the_code(capsys):
    from ftlab.data.formats import FORMATS
    from ftlab.data.targets import TARGETS

    for command, known in (("convert", FORMATS), ("export", TARGETS)):
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        assert ", ".join(known) in " ".join(capsys.readouterr().out.split())


def test_gpus_in_the_help_are_spelled_as_in_the_one_list():
    named = arguments.SOME_GPUS.removeprefix("such as ").split(", ")
    assert set(named) <= {card.name for card in gpus()}


def test_plan_says_how_many_cases(capsys):
    assert cli.main(["plan", "--gain", "0.05", "--disagreement", "0.10", "--power", "0.8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"n": 312}
    assert cli.main(["plan", "--gain", "0.05", "--disagreement", "0.1", "--alpha", "0.01"]) == 0
    assert capsys.readouterr().out.startswith("465 cases")
    assert cli.main(["plan", "--gain", "5", "--disagreement", "0.1"]) == 2
    assert "give fractions with 0 < gain <= disagreement <= 1" in capsys.readouterr().err


def test_no_command_has_the_name_of_a_function_that_it_calls():
    own = {name for name, value in vars(cli).items() if getattr(value, "__module__", "") == "ftlab.cli"}
    commands = cli.build_parser()._subparsers._group_actions[0].choices
    assert {f"cmd_{name}" for name in commands} <= own
    assert not own & set(commands)


@pytest.mark.parametrize(("verdict", "code"), [("ship", 0), ("do not ship", 1), ("not enough data", 1)])
def test_run_exit_code_follows_the_gate(monkeypatch, capsys, verdict, code):
    calls = []

    def run_recipe(path, out, force, progress):
        calls.append((str(path), out, force, progress))
        return SimpleNamespace(verdict=verdict, to_json_dict=lambda: {"gate": {"verdict": verdict}})

    replace_module(monkeypatch, "ftlab.run", run_recipe=run_recipe)
    assert cli.main(["run", "r.yaml", "--force", "--json"]) == code
    assert json.loads(capsys.readouterr().out)["gate"]["verdict"] == verdict
    assert calls == [("r.yaml", None, True, False)]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (DataError("a.jsonl:3: field id is missing"), "a.jsonl:3: field id is missing"),
        (FileNotFoundError(2, "No such file", "a.jsonl"), "a.jsonl: no such file"),
        (FileExistsError(17, "File exists", "runs/x"), "--force"),
        (PermissionError(13, "Permission denied", "runs/x"), "runs/x: Permission denied"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_unusable_input_is_exit_2_with_one_line(monkeypatch, capsys, error, message):
    def align(paths, references, metric, group, group_part):
        raise error

    replace_module(monkeypatch, "ftlab.evaluation.predictions", align=align)
    assert cli.main(COMPARE) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert shown.err.startswith("ftlab: ")
    assert shown.err.count("\n") == 1


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch):
    """Only errors raised on purpose are turned into a message: a bug must stay visible."""

    def align(paths, references, metric, group, group_part):
        raise ZeroDivisionError

    replace_module(monkeypatch, "ftlab.evaluation.predictions", align=align)
    with pytest.raises(ZeroDivisionError):
        cli.main(COMPARE)


def test_help_is_light_and_the_module_runs():
    """`python -m ftlab --help` must not load torch: it would take seconds."""
    code = """
import runpy, sys
sys.argv = ["ftlab", "--help"]
try:
    runpy.run_module("ftlab")
except SystemExit as exit_:
    print(exit_.code, "torch" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "0 False"
    assert "doctor" in ran.stdout
