"""The exam: solutions pass, blanks stop nothing, wrong answers get a hint; its data are as made, its runs unseen."""

import json
import re
from pathlib import Path

import pytest

from ftlab.decide import APPROACHES
from ftlab.exercises import exam
from ftlab.exercises.engine import STRICT, ExerciseFailed

ROOT = Path(__file__).resolve().parent.parent
RIGHT = {  # independent of the checks: what a person wrote down
    "cases": {"A": "rag", "B": "fine_tune", "C": "prompt", "D": "rag_and_fine_tune", "E": "few_shot", "F": "few_shot"},
    "runs": {"A": "wrong_labels", "B": "rate", "C": "forgetting", "D": "no_end", "E": "overfit", "F": "on_questions"},
    "numbers": {"1": 3.73, "2": 4.5, "3": 100_000, "4": 145, "5": 0.786, "6": 171},
}  # fmt: skip
CHECKS = {"cases": exam.check_cases, "runs": exam.check_runs, "numbers": exam.check_numbers}
ONE_EACH = [(part, letter) for part, each in CHECKS.items() for letter in each]
FUNCTIONS = [exam.check_usable, exam.check_verdict]
EVERY = [*FUNCTIONS, *(exercise for each in CHECKS.values() for exercise in each.values())]


def rows_to_keep(rows, test, labels):
    def words(row):
        return row["messages"][-2]["content"].casefold().split()

    kept = []
    for row in rows:
        twins = [other["messages"][-1]["content"] for other in rows if words(other) == words(row)]
        first = next(other for other in rows if words(other) == words(row))
        if len(set(twins)) == 1 and twins[0] in labels and first is row and words(row) not in map(words, test):
            kept.append(row["id"])
    return kept


def said(gain, low, high, bar):
    reached, certain, out_of_reach = gain >= bar, low > 0, high < bar
    return {(True, True): "ship"}.get((reached, certain), "do not ship" if out_of_reach else "not enough data")


@pytest.mark.parametrize(("part", "letter"), ONE_EACH)
def test_the_right_answer_is_solved_a_blank_is_open(part, letter):
    exercise = CHECKS[part][letter]
    assert exercise.grade(exam.given(RIGHT[part][letter])).status == "solved"
    assert exercise.grade(exam.given(None)).status == exercise.grade(exam.given(...)).status == "not solved yet"


@pytest.mark.parametrize(("exercise", "fn"), [(exam.check_usable, rows_to_keep), (exam.check_verdict, said)])
def test_a_learners_own_function_is_solved(exercise, fn):
    assert exercise.grade(fn).status == "solved"
    assert exercise.grade(lambda *_: None).status == "not solved yet"


@pytest.mark.parametrize(("exercise", "mistake", "hint"), [(each, *m) for each in EVERY for m in each.mistakes])
def test_each_known_mistake_is_wrong_and_gets_its_own_hint(exercise, mistake, hint):
    assert exercise.grade(mistake).message.endswith(f"Looks as if {hint}")


@pytest.mark.parametrize("exercise", EVERY, ids=lambda each: each.name)
def test_at_least_two_wrong_answers_have_a_hint(exercise):
    assert len(exercise.mistakes) >= 2


def test_a_part_prints_a_grade_for_each_answer_and_raises_only_in_the_solutions(monkeypatch, capsys):
    monkeypatch.delenv(STRICT, raising=False)
    exam.check_each(exam.check_cases, RIGHT["cases"] | {"A": "fine_tune", "B": None})
    printed = capsys.readouterr().out
    assert printed.count(": solved") == 4
    assert "case A: wrong" in printed
    assert "case B: not solved yet" in printed
    monkeypatch.setenv(STRICT, "1")
    exam.check_each(exam.check_cases, RIGHT["cases"])
    with pytest.raises(ExerciseFailed):
        exam.check_each(exam.check_cases, {})


def test_every_way_is_right_for_some_case():
    assert {exercise.solution() for exercise in exam.check_cases.values()} == set(APPROACHES)


RUNS = json.loads((ROOT / "data/exam/runs.json").read_text())


def test_three_words_are_not_needed_and_no_file_of_the_exam_names_a_fault():
    planted = {letter: exercise.solution() for letter, exercise in exam.check_runs.items()}
    assert planted == RIGHT["runs"]
    assert len(set(exam.FAULTS) - set(planted.values())) == 3
    assert exam.SIGNS.keys() == exam.FAULTS.keys()
    for name in ("runs.json", "key.json", "README.md"):
        read = (ROOT / "data/exam" / name).read_text()
        assert not set(planted.values()) & set(re.findall(r"\w+", read)), f"{name} tells no fault"


def test_the_page_says_of_the_runs_what_their_file_holds():
    told = (ROOT / "notebooks/src/18_exam.py").read_text().replace("\n# ", " ")
    assert {run["right"][1] for run in RUNS.values()} == {40}
    assert {run["everyday"][1] for run in RUNS.values() if "everyday" in run} == {22}
    assert "the same 40 tickets" in told
    assert "asked 22 everyday questions" in told
    assert RUNS["sound"]["settings"]["rows"] == 80 + 27
    assert "80 such tickets and 27 everyday chats" in told
    assert {len(run["trained_on"]) for run in RUNS.values() if "trained_on" in run} == {16}


def tells(line: str, right: int, asked: int, loss: str) -> bool:
    """Whether a line has both numbers by which a run is known: its share, as a count or in percent, and its loss."""
    numbers = re.findall(r"(?<![\w.])(\d+(?:\.\d+)?)( ?%)?", line)
    percents = [float(number) for number, percent in numbers if percent]
    losses = [f"{float(number):.2f}" for number, percent in numbers if "." in number and not percent]
    share = f"{right} of {asked}" in line or any(abs(each - 100 * right / asked) <= 0.5 for each in percents)
    return share and loss in losses


def lines_of(notebook: Path):
    """What a notebook's outputs print, line by line; of tables each row."""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            data = {"text/plain": output.get("text", "")} | output.get("data", {})
            yield from "".join(data["text/plain"]).splitlines()
            for row in "".join(data.get("text/html", "")).split("</tr>"):
                yield " ".join(re.sub(r"<[^>]+>", " ", row).split())


def test_the_two_numbers_of_a_run_are_found_where_they_stand():
    was = "few: validation loss 0.128, training loss 0.018, 67.6 % right"  # a run of the exam before, in notebook 08
    assert tells(was, 135, 200, "0.13")
    assert tells("| 36 of 40 | 0.12 |", 36, 40, "0.12")
    assert not tells(was, 120, 200, "0.13")
    assert not tells("67.6 % right", 135, 200, "0.13")


def test_no_run_of_the_exam_is_printed_by_a_notebook():
    others = [path for path in (ROOT / "notebooks").glob("[0-9]*.ipynb") if not path.name.startswith("18_")]
    assert len(others) > 15
    lines = {path.name: set(lines_of(path)) for path in others}
    assert any("80%, 74%, 79%" in line for line in lines["08_what_goes_wrong.ipynb"]), "tables are read"
    for letter in RIGHT["runs"]:
        (right, asked), loss = RUNS[letter]["right"], f"{RUNS[letter]['eval_loss'][-1][1]:.2f}"
        found = [(name, line) for name, each in lines.items() for line in each if tells(line, right, asked, loss)]
        assert not found, f"run {letter}: {right} of {asked}, loss {loss}"


def test_the_mails_hold_as_many_faults_as_their_page_says():
    read = [json.loads(line) for line in (ROOT / "data/exam/inbox.jsonl").read_text().splitlines()]
    test = [json.loads(line) for line in (ROOT / "data/exam/test.jsonl").read_text().splitlines()]
    desks = {row["messages"][-1]["content"] for row in test}
    kept = exam.usable(read, test, desks)
    assert kept == rows_to_keep(read, test, desks)
    assert len(kept) == 200 - 6, "the sound rows, without the six that are contradicted"
    assert f"has {len(read)} rows" in (ROOT / "data/exam/README.md").read_text()
    assert not {row["pattern"] for row in read if row["id"] in kept} & {row["pattern"] for row in test}
