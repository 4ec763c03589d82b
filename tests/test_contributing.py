"""The pages for those who change the course: their steps work as written, and the drawing is the house."""

import ast
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from ftlab.cli import main

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
try:
    import build_notebooks
    import course_table
    import record as recording
finally:
    sys.path.remove(str(ROOT / "tools"))

GUIDE, DRAWING = (ROOT / "CONTRIBUTING.md").read_text(), (ROOT / "ARCHITECTURE.md").read_text()
RUN = {"run", "judging", "kept"}  # what the drawing calls run


def block(section: str, language: str, place: int = 0) -> str:
    """A block of code of a language in a section of CONTRIBUTING.md, without its indent."""
    text = GUIDE.split(f"## {section}\n")[1].split("\n## ")[0]
    lines = re.findall(rf"   ```{language}\n(.*?)\n   ```", text, re.S)[place].splitlines()
    return "\n".join(line.removeprefix("   ") for line in lines) + "\n"


def loaded(path: Path):
    """A file as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_notebook_of_the_guide_builds(tmp_path):
    source = tmp_path / "notebooks/src/90_ask_something.py"
    source.parent.mkdir(parents=True)
    source.write_text(block("Add a notebook", "python"))
    shutil.copytree(ROOT / "data/small_tasks", tmp_path / "data/small_tasks")
    assert build_notebooks.main([], tmp_path) == 0
    assert '"200\\n"' in (tmp_path / "notebooks/90_ask_something.ipynb").read_text()
    assert build_notebooks.main(["--check"], tmp_path) == 0


def test_the_minutes_of_the_notebook_of_the_guide_are_counted(tmp_path):
    source = tmp_path / "notebooks/src/90_ask_something.py"
    source.parent.mkdir(parents=True)
    source.write_text(block("Add a notebook", "python"))
    (tmp_path / "README.md").write_text("| [90](notebooks/90_ask_something.ipynb) | how many? | 0 / 0 | any |\n")
    assert course_table.findings(tmp_path) != []
    course_table.write(tmp_path)
    assert course_table.findings(tmp_path) == []
    assert "**Minutes:** 1 to read, 1 to run." in source.read_text()
    assert "| how many? | 1 / 1 | any |" in (tmp_path / "README.md").read_text()


def test_the_exercise_of_the_guide_is_open_solved_and_wrong(tmp_path):
    (tmp_path / "guide_check.py").write_text(block("Add an exercise", "python"))
    check = loaded(tmp_path / "guide_check.py").check_share
    assert check.grade(lambda count, n: None).status == "not solved yet"
    assert check.grade(lambda count, n: 0 if n == 0 else count / n).status == "solved"
    for mistake, hint in check.mistakes:
        assert check.grade(mistake).message.endswith(f"Looks as if {hint}")
    cells = block("Add an exercise", "python", 1)
    assert course_table.LEVEL.findall(cells) == ["2"]
    source = tmp_path / "notebooks/src/90_ask_something.py"
    source.parent.mkdir(parents=True)
    source.write_text(block("Add a notebook", "python") + "\n" + cells.replace("ftlab.exercises.NAME", "guide_check"))
    shutil.copytree(ROOT / "data/small_tasks", tmp_path / "data/small_tasks")
    assert build_notebooks.main([], tmp_path) == 0
    assert "share: not solved yet" in (tmp_path / "notebooks/90_ask_something.ipynb").read_text()
    assert "share: solved" in (tmp_path / "notebooks/solutions/90_ask_something.ipynb").read_text()


def test_the_experiment_of_the_guide_is_made_once_listed_and_published(tmp_path, monkeypatch, capsys):
    file = tmp_path / "tools/experiments/tickets.py"
    file.parent.mkdir(parents=True)
    file.write_text(block("Add an experiment", "python").replace("NAME", "tickets"))
    shutil.copytree(ROOT / "data/small_tasks", tmp_path / "data/small_tasks")
    monkeypatch.setattr(recording, "ROOT", tmp_path)
    monkeypatch.setattr(recording, "WORK", tmp_path / "runs/record")
    monkeypatch.setitem(sys.modules, "record", recording)
    monkeypatch.setattr(recording, "importlib", SimpleNamespace(import_module=lambda name: loaded(file)))
    lines = [line for line in block("Add an experiment", "sh").splitlines() if line]
    for line in lines:
        monkeypatch.setattr(sys, "argv", line.replace("NAME", "tickets").split()[1:])
        assert recording.main() == 0
    assert re.search(r"^counted +[\d.]+ minutes", capsys.readouterr().out, re.M)
    results = json.loads((tmp_path / "data/recorded/tickets/results.json").read_text())
    assert results["points"]["counted"]["n"] == 200
    assert results["command"] == "python tools/record.py tickets"
    shutil.rmtree(tmp_path / "runs")
    for more, made in ((), False), (("--again",), True):  # what is published counts as done, until it is made again
        monkeypatch.setattr(sys, "argv", ["record.py", "tickets", *more])
        assert recording.main() == 0
        assert (tmp_path / "runs/record/tickets/counted/done.json").exists() == made


def test_the_data_set_of_the_guide_is_made_and_checked(tmp_path, capsys):
    (tmp_path / "tools").mkdir()
    (tmp_path / "data/greetings").mkdir(parents=True)
    shutil.copy(ROOT / "tools/generated.py", tmp_path / "tools")
    tool = tmp_path / "tools/make_greetings.py"
    tool.write_text(block("Add a data set", "python").replace("NAME", "greetings"))
    for arguments in ([], ["--check"]):
        subprocess.run([sys.executable, tool, *arguments], check=True)
    made = tmp_path / "data/greetings/train.jsonl"
    assert main(["check", str(made), "--model", "nano"]) == 0
    made.write_text(made.read_text() + "\n")
    assert subprocess.run([sys.executable, tool, "--check"], capture_output=True).returncode == 1


def test_every_file_the_guide_names_exists():
    named = re.findall(r"`((?:tools|notebooks|ftlab|data)/[\w./]+)`", GUIDE + DRAWING)
    assert len(named) > 5
    assert [name for name in named if "N" not in name and not (ROOT / name).exists()] == []


def room(module: str) -> str | None:
    """The room of the drawing that a module is in: a folder of ftlab, or `run`; None for files that all use."""
    part = module.split(".")[1] if "." in module else ""
    return "run" if part in RUN else part if (ROOT / "ftlab" / part).is_dir() else None


def imports(path: Path) -> set[str]:
    """The modules of ftlab that a file imports, at the top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ftlab"):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("ftlab.")}
    return found


def test_the_drawing_has_every_import_between_rooms_and_no_other():
    drawn = set(re.findall(r"(\w+) --> (\w+)", DRAWING))
    real = set()
    for path in (ROOT / "ftlab").rglob("*.py"):
        user = room(".".join(path.relative_to(ROOT).with_suffix("").parts))
        used = {room(module) for module in imports(path)} - {user, None} if user else set()
        real |= {(user, other) for other in used}
    assert real == drawn


def test_no_room_is_forgotten():
    rooms = {path.parent.name for path in (ROOT / "ftlab").glob("*/__init__.py")}
    assert rooms == set(re.findall(r"^\| `(\w+)` \|", DRAWING.split("## The rooms")[1], re.M))


@pytest.mark.parametrize("form", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.md")), ids=lambda path: path.stem)
def test_a_form_for_issues_has_a_name_and_says_what_it_is_about(form):
    header = yaml.safe_load(form.read_text().split("---")[1])
    assert header["name"]
    assert header["about"]


def test_how_to_cite_names_the_version_of_the_package():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
