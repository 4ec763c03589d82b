"""The README says what is there: commands, notebooks, and the recorded result."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ftlab.cli import build_parser, main

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import record_run  # noqa: E402

README = (ROOT / "README.md").read_text()
SOURCES = sorted((ROOT / "notebooks/src").glob("*.py"))


def test_every_make_target_it_names_exists():
    targets = re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), flags=re.M)
    named = set(re.findall(r"make ([a-z]+)", README)) - {"it"}
    assert named
    assert named <= set(targets)


COMMANDS = sorted(set(re.findall(r"^ftlab ([a-z]+) ?", README, flags=re.M)))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_it_names_has_help_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert f"ftlab {command}" in capsys.readouterr().out


SHELL = README.split("## From a shell")[1].split("```")[1]
LINES = [line.split("#")[0].strip() for line in SHELL.splitlines() if line.startswith("ftlab ")]


@pytest.mark.parametrize("line", LINES)
def test_every_command_it_shows_has_these_options_and_these_files(line):
    words = shlex.split(line)[1:]
    assert build_parser().parse_args(words).command
    read = [word for word in words if word.startswith(("data/", "recipes/"))]
    assert [name for name in read if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_its_table_agrees_with_each_notebook(source):
    first = source.read_text().split("# %%")[1]
    read, run = re.search(r"\*\*Minutes:\*\* (\d+) to read, (\d+) to run", first).groups()
    row = next(
        line for line in README.splitlines() if f"notebooks/{source.stem}.ipynb" in line and line.startswith("|")
    )
    question = re.search(r"\*\*Question:\*\* (.*?\?)", first, flags=re.S)[1].replace("\n# ", " ")
    assert f"| {read} / {run} |" in row
    assert question in row


def test_its_result_is_the_recorded_run():
    report = json.loads((record_run.SHOWN / "report.json").read_text())
    assert record_run.with_block(README, record_run.readme_block(report)) == README


def test_a_changed_number_would_be_noticed():
    report = json.loads((record_run.SHOWN / "report.json").read_text())
    report["systems"]["fine_tuned"]["field_accuracy"]["value"] -= 0.01
    assert record_run.with_block(README, record_run.readme_block(report)) != README


# ---- without make

PLAIN = README.split("### Without make\n")[1].split("\n## ")[0]


def lines_in(language: str) -> list[str]:
    return re.search(rf"```{language}\n(.*?)```", PLAIN, re.DOTALL)[1].splitlines()


@pytest.mark.skipif(not shutil.which("make"), reason="no make here")
def test_the_plain_commands_are_those_of_the_makefile():
    said = []
    for target in ("lab", "test"):
        text = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        commands = [shlex.split(line) for line in text.replace("\\\n", " ").splitlines()]
        said += [[word for word in words if not re.match("--ServerApp.root_dir|--allow-root", word)]
                 for words in commands if words[0] != "echo" and words not in said]  # fmt: skip
    assert said == [shlex.split(line) for line in lines_in("sh")]


def test_those_for_powershell_are_the_same():
    changed = [line.replace("py -3.12 tools\\", "python3 tools/").replace(".venv\\Scripts\\", ".venv/bin/")
               for line in lines_in("powershell")]  # fmt: skip
    assert changed == lines_in("sh")
