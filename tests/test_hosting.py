"""The host's guide: each notebook that it names exists, its minutes are the notebook's, its messages are ours."""

import re
import sys
from itertools import pairwise
from pathlib import Path

import jupyterlab
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


def test_its_tables_are_those_of_the_notebooks_today():
    assert host_times.written() == GUIDE, "run tools/host_times.py"


@pytest.mark.parametrize("name", sorted(set(re.findall(r"notebooks/(\w+)\.ipynb", GUIDE))))
def test_a_notebook_it_names_exists_and_states_these_minutes(name):
    read, run = re.search(r"\*\*Minutes:\*\* (\d+) to read, (\d+) to run", SOURCES[name]).groups()
    rows = [line.split(" | ") for line in GUIDE.splitlines() if line.startswith("| [") and f"/{name}.ipynb" in line]
    assert [(row[1], row[4]) for row in rows] == [(run, read)]


def test_its_table_has_every_notebook():
    assert {name for name in SOURCES if f"/{name}.ipynb) | " in GUIDE} == set(SOURCES)


def section(title: str) -> str:
    """What stands under a title of the guide."""
    return re.split(r"\n##", GUIDE.split(f"# {title}\n")[1])[0]


@pytest.mark.parametrize("title", host_times.PLANS)
def test_a_timetable_adds_up(title):
    lines = [line for line in section(title).splitlines() if re.match(r"\| (\d, )?\d\d:", line)]
    rows = [[part.strip() for part in line.strip("|").split("|")] for line in lines]
    for (start, minutes, _, _), (end, *_) in zip(rows, rows[1:], strict=False):
        if start.partition(", ")[0] == end.partition(", ")[0] or "," not in start:
            passed = [int(hour) * 60 + int(minute) for hour, minute in (each[-5:].split(":") for each in (start, end))]
            assert passed[1] - passed[0] == int(minutes)
    assert max(row[0][-5:] for row in rows) <= "17:00"


@pytest.mark.parametrize("day", [day for days in host_times.PLANS.values() for day in days])
def test_between_two_breaks_lies_more_than_one_thing(day):
    breaks = [at for at, item in enumerate(day) if item == "break"]
    assert all(later - earlier > 2 for earlier, later in pairwise(breaks))


def test_where_minutes_on_colab_are_named_it_says_that_nobody_measured_them():
    assert "No notebook has been run on Colab or on a T4 yet" in " ".join(section("Timetables").split())
    (plan,) = [title for title in host_times.PLANS if "T4" in title]
    assert section(plan).strip().startswith("Planned, not measured: none of it has been run on Colab or on a T4.")
    assert section("On Colab").strip().startswith("Nothing here has been run on Colab or on a T4 yet")


PLAN_ITEMS = {title: [item for day in days for item in day] for title, days in host_times.PLANS.items()}


@pytest.mark.parametrize(("title", "items"), PLAN_ITEMS.items())
def test_a_plan_sits_only_those_parts_of_the_exam_whose_notebooks_it_has(title, items):
    for item in items:
        if item.startswith("exam "):
            needed = {name for part in item.split()[1] for name in host_times.EXAM_NEEDS[part]}
            assert needed <= set(items[: items.index(item)])
            named = {"exam A": ": A", "exam ACD": ": A, C and D", "exam ABCD": ""}[item]
            assert f"[18 The exam](notebooks/18_exam.ipynb){named} |" in section(title)


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


def test_the_slides_to_print_are_named_as_they_are_headed():
    told = " ".join(GUIDE.split("- **Print**")[1].split("\n- ")[0].split())
    headings = {"What you have seen": set(), "Summary": set(), "What you have shown": set()}
    for name, text in SOURCES.items():
        (heading,) = re.findall(rf"^# ## ({'|'.join(headings)})$", text, re.MULTILINE)
        headings[heading].add(name.split("_")[0])
    assert set(re.findall(r"\d\d", told.split("*Summary*")[1].split("*")[0])) == headings["Summary"]
    assert set(re.findall(r"\d\d", told.split("*What you have shown*")[1])) == headings["What you have shown"]


MESSAGES = re.findall(r"^\| `([^`]+)`(.*?) \|", GUIDE.split("## What breaks")[1], re.MULTILINE)
JUPYTERLAB = [message for message, whose in MESSAGES if "JupyterLab" in whose]


@pytest.mark.parametrize("message", [message for message, _ in MESSAGES if message not in JUPYTERLAB])
def test_a_message_it_explains_is_one_of_ours(message):
    assert message in re.sub(r'"\s*\n\s*f?"', "", CODE)


def test_two_messages_are_those_of_the_jupyterlab_that_the_course_installs():
    scripts = (Path(jupyterlab.__file__).parent / "static").glob("jlab_core.*.js")
    text = "\n".join(path.read_text(encoding="utf-8") for path in scripts)
    assert len(JUPYTERLAB) == 2
    assert all(message in text for message in JUPYTERLAB)


def test_every_row_of_what_breaks_begins_with_a_message():
    rows = re.findall(r"^\| .*", section("What breaks, and what to type"), re.MULTILINE)
    assert len(rows) == len(MESSAGES) + 1


def test_every_make_target_it_names_exists():
    targets = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z]+)", GUIDE))
    assert len(named) > 4
    assert named <= targets
