"""The museum of faults: each training differs from the good one in the fault that is planted, and the cases teach."""

import importlib
import json
import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from ftlab.evaluation.statistics import paired_wald
from ftlab.exercises import museum as shown
from ftlab.exercises.engine import STRICT, ExerciseFailed

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [path for path in (str(ROOT), str(ROOT / "tools")) if path not in sys.path]
KEY = {letter: case.fault for letter, case in shown.CASES.items()}


@cache
def museum():
    return importlib.import_module("experiments.museum")


def customers(rows):
    return {row["customer"] for row in rows}


def texts(rows):
    return [row["messages"][1]["content"] for row in rows]


# --- the trainings


def test_nobody_who_judges_wrote_a_training_row():
    train, again = museum().good(1), museum().again()
    assert (len(train), len(customers(train))) == (80, 40)
    assert customers(again) == customers(train)
    assert not set(texts(again)) & set(texts(train))
    for part in ("fresh", "validation"):
        rows = museum().rows_of(part)
        assert rows
        assert not customers(rows) & customers(train)
    assert not customers(museum().rows_of("fresh")) & customers(museum().rows_of("validation"))
    assert set(Counter(map(museum().team_of, train)).values()) == {20}


@pytest.mark.parametrize("percent", [20, 40])
def test_so_many_labels_are_wrong_and_nothing_else(percent):
    good = museum().good(1)
    drawn = [museum().noisy(seed, percent) for seed in (1, 2)]
    for rows in drawn:
        assert texts(rows) == texts(good)
        assert sum(map(lambda a, b: museum().team_of(a) != museum().team_of(b), rows, good)) == 80 * percent // 100
    assert drawn[0] != drawn[1], "each seed draws its own"


def test_a_quarter_is_contradicted():
    rows = museum().contradictory(1)
    twice = [text for text, count in Counter(texts(rows)).items() if count == 2]
    assert (len(rows), len(twice)) == (80, 20)
    for text in twice:
        assert len({museum().team_of(row) for row in rows if row["messages"][1]["content"] == text}) == 2


def test_narrow_is_as_many_rows_of_fewer_customers():
    narrow, few = museum().narrow(1), museum().few(1, museum().FEW)
    assert len(narrow) == len(few) == museum().FEW
    assert len(customers(narrow)) == 8 < len(customers(few))
    assert Counter(map(museum().team_of, narrow)) == Counter(map(museum().team_of, few))
    arms = museum().ARMS
    assert {name: arms[name].epochs * museum().FEW / museum().BATCH for name in ("narrow", "few_32_steps")} == {
        "narrow": museum().STEPS, "few_32_steps": museum().STEPS}  # fmt: skip
    assert len(museum().good(1)) * museum().EPOCHS / museum().BATCH == museum().STEPS


def test_only_the_end_token_leaves_the_labels():
    from ftlab.models import load_tokenizer, smol_or_nano

    if smol_or_nano() != "smol":
        pytest.skip("smol is not installed")
    tokenizer = load_tokenizer("smol")
    ids = [*tokenizer("billing")["input_ids"], tokenizer.eos_token_id]
    assert museum().without_end(ids, ids) == [*ids[:-1], -100]


def test_every_point_has_a_name_of_its_own_and_needs_come_first():
    points = museum().points()
    names = [point.name for point in points]
    assert len(set(names)) == len(names)
    for place, point in enumerate(points):
        assert set(point.needs) <= set(names[:place])


# --- the record


def test_the_record_is_that_of_these_rows():
    for part, rows in (("train", museum().good(1)), ("fresh", museum().rows_of("fresh")), ("again", museum().again())):
        assert shown.rows_of(part) == rows
    for name in museum().SHOWN:
        assert shown.rows_of(name) == museum().ARMS[name].rows(1)


def test_every_recorded_training_has_its_answers():
    points = shown.results()["points"]
    assert "good_1" in points
    for name, point in points.items():
        for part, asked in point.get("asked", {}).items():
            assert len(shown.texts_of(name, part)) == asked["n"]


def test_against_counts_customers_where_each_was_trained_once():
    groups, drawn = shown.customers_of("fresh"), np.random.default_rng(0)
    scores, others = (1.0 * (drawn.random((1, len(groups))) < share) for share in (0.4, 0.8))
    found, plain = shown.against(scores, others), paired_wald(others[0], scores[0], groups=groups)
    assert (found.value, found.low, found.high) == pytest.approx((plain.value, plain.low, plain.high))
    assert found.method.startswith("customers, t with 39")


def test_against_is_wider_where_seeds_lie_apart():
    alike, apart = np.zeros((3, 80)), np.zeros((3, 80))
    alike[:, :40], apart[:] = 1, np.arange(80) < np.array([20, 40, 60])[:, None]
    width = {name: shown.against(scores, np.zeros((3, 80))) for name, scores in (("alike", alike), ("apart", apart))}
    assert width["alike"].value == pytest.approx(width["apart"].value)
    assert width["apart"].high - width["apart"].low > 1.5 * (width["alike"].high - width["alike"].low)
    same = shown.against(apart, apart, same=True)
    assert same.high - same.low < 0.2, "what all ways of asking share is no difference"


def test_against_holds_the_truth_nineteen_times_in_twenty(monkeypatch):
    """Two kinds of training that are equally good, seeds that differ: an interval over customers alone misses often."""
    groups, drawn, held = np.repeat(np.arange(40), 2), np.random.default_rng(1), Counter()
    monkeypatch.setattr(shown, "customers_of", lambda part: list(groups))
    for _ in range(400):
        customers = drawn.normal(1, 1.5, 40)
        kinds = [customers + drawn.normal(0, 0.5, (3, 1)) + drawn.normal(0, 1, (3, 40)) for _ in range(2)]
        a, b = (1.0 * (np.repeat(kind, 2, axis=1) + drawn.normal(0, 0.5, (3, 80)) > 0) for kind in kinds)
        both, alone = shown.against(a, b), paired_wald(b.mean(0), a.mean(0), groups=groups)
        held["both"] += both.low <= 0 <= both.high
        held["alone"] += alone.low <= 0 <= alone.high
    assert held["both"] / 400 > 0.92
    assert held["alone"] / 400 < 0.85


def test_between_is_the_difference_of_two_shares_and_holds_both_intervals():
    found = shown.between("again", "fresh")
    parts = [shown.right("good", part).mean() for part in ("again", "fresh")]
    assert found.value == pytest.approx(parts[0] - parts[1])
    assert found.low < found.value < found.high


def test_made_by_names_what_is_recorded_and_makes_it_again():
    line = shown.made_by("museum", "good", "memory")
    assert line.endswith("python tools/record.py museum --again --only good_1 good_2 good_3 memory --publish")
    assert "seeds of each: 3" in line
    told = [shown.results()["points"][name]["minutes"] for name in ("good_1", "good_2", "good_3", "memory")]
    assert sum(int(number) for number in re.findall(r"(\d+) minutes", line)) == pytest.approx(sum(told), abs=1.1)
    assert shown.made_by("data").endswith("python tools/record.py data --again --publish")
    for name in ("data", "facts", "preferences", "forgetting"):
        assert "one training each" in shown.made_by(name)


def test_scored_is_what_the_record_says():
    for name, point in shown.results("data")["points"].items():
        assert shown.scored_by(name).field_accuracy.mean() == pytest.approx(point["test"]["field_accuracy"]["value"])
        assert len(shown.patterns()) == len(shown.scored_by(name))
    assert 2 < len(set(shown.patterns())) < len(shown.patterns()) / 2


# --- the cases


def test_the_notebooks_answers_are_the_key():
    source = (ROOT / "notebooks/src/08_what_goes_wrong.py").read_text()
    names = {}
    exec(source.split("# solution\n")[1].split("# end solution")[0].replace("    return answers[letter]", "").replace(
        "    answers = {", "answers = {", 1), names)  # fmt: skip
    assert names["answers"] == KEY


def test_every_fault_is_a_case_once():
    assert sorted(KEY.values()) == sorted(shown.FAULTS)
    for case in shown.CASES.values():
        assert set(case.not_it) <= set(shown.FAULTS) - {case.fault}
        assert len(case.not_it) >= 2


@pytest.mark.parametrize("letter", KEY)
def test_the_right_answer_solves_and_a_blank_does_not(letter):
    check = shown.check_of(letter)
    assert check.grade(KEY.get).status == "solved"
    assert check.grade(KEY.get).message.endswith(shown.CASES[letter].why)
    assert check.grade(lambda letter: None).status == "not solved yet"
    assert check.grade(lambda letter: ...).status == "not solved yet"


@pytest.mark.parametrize(
    ("letter", "guess"), [(letter, guess) for letter in KEY for guess in shown.CASES[letter].not_it]
)
def test_a_wrong_guess_gets_the_hint_that_is_for_it(letter, guess):
    grade = shown.check_of(letter).grade(lambda asked: guess)
    assert grade.status == "wrong"
    hint = shown.CASES[letter].not_it[guess]
    assert grade.message.endswith(f"Looks as if you take it for {guess!r}. {hint[0].upper()}{hint[1:]}")
    assert shown.CASES[letter].why not in grade.message
    assert repr(shown.CASES[letter].fault) not in grade.message.replace(hint, "")


def test_a_blank_prints_and_does_not_stop_but_where_it_must(monkeypatch, capsys):
    monkeypatch.delenv(STRICT, raising=False)
    shown.check_diagnosis(lambda letter: None)
    assert capsys.readouterr().out.count("not solved yet") == len(shown.letters())
    monkeypatch.setenv(STRICT, "1")
    with pytest.raises(ExerciseFailed):
        shown.check_diagnosis(lambda letter: None)
    shown.check_diagnosis(KEY.get)


def test_a_case_without_its_run_is_left_out(monkeypatch):
    monkeypatch.setattr(shown, "results", lambda name="museum": {"points": {}})
    assert shown.letters() == [letter for letter, case in shown.CASES.items() if not case.needs]
    assert shown.right("no_end").size == 0


@pytest.mark.parametrize("letter", shown.letters() if (shown.RECORD / "results.json").exists() else [])
def test_a_case_shows_what_there_is_and_not_its_name(letter, capsys, monkeypatch):
    monkeypatch.setattr("ftlab.plots.show", lambda fig, alt: print(alt))
    shown.show_case(letter)
    out = capsys.readouterr().out
    assert out.count("\n") > 3
    assert shown.CASES[letter].fault not in out.splitlines()[0]
    assert shown.FAULTS[shown.CASES[letter].fault] not in out


def test_the_record_is_plain_json():
    found = json.loads((shown.RECORD / "results.json").read_text())
    assert found["command"] == "python tools/record.py museum"
    assert set(found["not_done"]).isdisjoint(found["points"])
