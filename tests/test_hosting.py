"""The host's guide: each notebook that it names exists, its minutes are the notebook's, its messages are ours."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
try:
    import course_table
    import host_times
finally:
    sys.path.remove(str(ROOT / "tools"))

GUIDE = (ROOT / "HOSTING.md").read_text(encoding="utf-8")
SOURCES = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "notebooks/src").glob("[0-9]*.py")}
FILES = [path for folder in ("ftlab", "tools") for path in (ROOT / folder).rglob("*.py")]
CODE = "\n".join(path.read_text(encoding="utf-8") for path in FILES)
ELSEWHERE = {"The kernel appears to have died", "not solved yet"}  # JupyterLab's; an exercise's


def test_its_tables_are_those_of_the_notebooks_today():
    assert host_times.written() == GUIDE, "run tools/host_times.py"


@pytest.mark.parametrize("name", sorted(set(re.findall(r"notebooks/(\w+)\.ipynb", GUIDE))))
def test_a_notebook_it_names_exists_and_states_these_minutes(name):
    read, run = re.search(r"\*\*Minutes:\*\* (\d+) to read, (\d+) to run", SOURCES[name]).groups()
    rows = [line.split(" | ") for line in GUIDE.splitlines() if line.startswith("| [") and f"/{name}.ipynb" in line]
    assert [(row[1], row[4]) for row in rows] == [(run, read)]


def test_its_table_has_every_notebook():
    assert {name for name in SOURCES if f"/{name}.ipynb) | " in GUIDE} == set(SOURCES)


@pytest.mark.parametrize("title", host_times.PLANS)
def test_a_timetable_adds_up(title):
    lines = GUIDE.split(f"### {title}\n")[1].split("\n###")[0].splitlines()
    lines = [line for line in lines if re.match(r"\| (\d, )?\d\d:", line)]
    rows = [[part.strip() for part in line.strip("|").split("|")] for line in lines]
    for (start, minutes, _, _), (end, *_) in zip(rows, rows[1:], strict=False):
        if start.partition(", ")[0] == end.partition(", ")[0] or "," not in start:
            passed = [int(hour) * 60 + int(minute) for hour, minute in (each[-5:].split(":") for each in (start, end))]
            assert passed[1] - passed[0] == int(minutes)
    assert max(row[0][-5:] for row in rows) <= "17:00"


PLAN_ITEMS = {title: [item for day in days for item in day] for title, days in host_times.PLANS.items()}


@pytest.mark.parametrize(("title", "items"), PLAN_ITEMS.items())
def test_a_plan_sits_only_those_parts_of_the_exam_whose_notebooks_it_has(title, items):
    for item in items:
        if item.startswith("exam "):
            needed = {name for part in item.split()[1] for name in host_times.EXAM_NEEDS[part]}
            assert needed <= set(items[: items.index(item)])
            if item != "exam ABCD":
                assert re.search(r"18 The exam\]\(\S+\): A, C and D \|", GUIDE.split(f"### {title}\n")[1])


def test_some_plan_sits_the_whole_exam_and_the_guide_says_what_each_part_rests_on():
    assert "exam ABCD" in [item for items in PLAN_ITEMS.values() for item in items]
    told = " ".join(GUIDE.split("## End with the exam")[1].split())
    for part, names in host_times.EXAM_NEEDS.items():
        assert all(name in told.split(f"{part} on ")[1].split(f"{chr(ord(part) + 1)} on ")[0] for name in names)
        assert re.search(rf"\b{part} {host_times.EXAM_MINUTES[part]}\b", told)
    assert set(re.findall(r"\[(\w+)\]\(\w+\.ipynb\)", SOURCES["18_exam"].split("# ## A.")[0])) >= {
        name for names in host_times.EXAM_NEEDS.values() for name in names}  # fmt: skip


def test_the_cases_of_08_are_counted():
    from ftlab.exercises import museum

    assert {"08": len(museum.CASES)} == host_times.CASES
    assert host_times.block(next(each for each in course_table.notebooks(ROOT) if each.name.startswith("08"))) > 60


def test_a_change_of_a_notebook_would_be_noticed(monkeypatch):
    monkeypatch.setattr(course_table, "WORDS_A_MINUTE", 100)
    assert host_times.written() != GUIDE


MESSAGES = re.findall(r"^\| `([^`]+)`", GUIDE.split("## What breaks")[1], re.MULTILINE)


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_it_explains_is_one_of_ours(message):
    pieces = re.sub(r'"\s*\n\s*f?"', "", CODE)
    assert message in pieces or message in ELSEWHERE


def test_every_make_target_it_names_exists():
    targets = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z]+)", GUIDE))
    assert len(named) > 4
    assert named <= targets
