"""The exam: solutions pass, blanks stop nothing, two wrong answers of each kind get a hint; its data are as made."""

import json
from pathlib import Path

import pytest

from ftlab.decide import APPROACHES
from ftlab.exercises import exam
from ftlab.exercises.engine import STRICT, ExerciseFailed

ROOT = Path(__file__).resolve().parent.parent
RIGHT = {  # independent of the checks: what a person wrote down
    "cases": {"A": "rag", "B": "fine_tune", "C": "prompt", "D": "rag_and_fine_tune", "E": "few_shot", "F": "few_shot"},
    "runs": {"A": "overfit", "B": "systematic_labels", "C": "forgetting", "D": "short", "E": "facts",
             "F": "random_labels"},
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


def test_the_faults_are_those_of_the_records_and_three_words_are_not_needed():
    planted = json.loads((ROOT / "data/exam/faults.json").read_text())
    assert planted == RIGHT["runs"]
    assert len(set(exam.FAULTS) - set(planted.values())) == 3
    assert exam.SIGNS.keys() == exam.FAULTS.keys()
    runs = json.loads((ROOT / "data/exam/runs.json").read_text())
    assert not set(planted.values()) & set(json.dumps(runs).replace('"', " ").split()), "runs.json tells no fault"


def test_the_mails_hold_as_many_faults_as_their_page_says():
    read = [json.loads(line) for line in (ROOT / "data/exam/inbox.jsonl").read_text().splitlines()]
    test = [json.loads(line) for line in (ROOT / "data/exam/test.jsonl").read_text().splitlines()]
    desks = {row["messages"][-1]["content"] for row in test}
    kept = exam.usable(read, test, desks)
    assert kept == rows_to_keep(read, test, desks)
    assert len(kept) == 200 - 6, "the sound rows, without the six that are contradicted"
    assert f"has {len(read)} rows" in (ROOT / "data/exam/README.md").read_text()
    assert not {row["pattern"] for row in read if row["id"] in kept} & {row["pattern"] for row in test}
