"""Kinds of answers, and the scores of labels and texts: against scikit-learn and values worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from ftlab.errors import DataError
from ftlab.evaluation.answers import (
    KINDS,
    answer_kind,
    chrf,
    label_text,
    labels_of,
    length_ratio,
    rouge_l,
    score,
)
from ftlab.evaluation.statistics import compare

LABELS = st.sampled_from(["billing", "delivery", "other"])
PAIRS = st.lists(st.tuples(st.one_of(LABELS, st.just("no idea")), LABELS), min_size=2, max_size=40)


@pytest.mark.parametrize(
    ("kind", "answers"),
    [
        ("record", ['{"a": 1}', {"a": 2}]),
        ("record", ['{"a": 1}', '{"a": 1}', '{"a": 1']),  # so that the broken one can be named
        ("label", ["yes", "no"] * 3),
        ("label", [f"intent {i}" for i in range(77)] * 3),
        ("label", ["3"] * 3),
        ("text", ["yes", "no"] * 2),  # too few to tell
        ("text", [f"The {i}. answer." for i in range(9)]),
        ("text", ["a\nb"] * 9),
        ("text", ["word " * 13] * 9),
        ("text", ["{}", "[]", "[]"]),
    ],
)
def test_kinds_of_answers(kind, answers):
    assert answer_kind(answers) == kind


@given(st.lists(st.sampled_from(["yes", "no", "a rather long answer, " * 4, '{"a": 1}']), min_size=1), st.randoms())
def test_the_kind_depends_neither_on_the_order_nor_on_repeating_the_file(answers, random):
    kind, shuffled = answer_kind(answers), random.sample(answers, len(answers))
    assert answer_kind(shuffled) == kind
    assert answer_kind(answers * 3) in (kind, "label")  # every answer comes back then


@pytest.mark.parametrize("text", ["Billing", " billing.\n", '"Billing".', "**billing**", "`BILLING`", "“billing.”"])
def test_what_does_not_count_around_a_label(text):
    scores = score("label", [text], ["billing"])
    assert (scores.predicted, scores.values("exact_match").tolist()) == (("billing",), [1])


@pytest.mark.parametrize("text", ["billings", "label: billing", "billing, other", "", "bill ing"])
def test_what_counts(text):
    assert score("label", [text], ["billing"]).values("exact_match").tolist() == [0]


def test_labels_that_differ_only_in_such_marks_stay_apart():
    given = ["A", "a", "A."]
    assert score("label", given, ["A", "A", "a"]).values("exact_match").tolist() == [1, 0, 0]
    assert score("label", given, ["A", "A", "b"]).values("exact_match").tolist() == [1, 1, 0]
    assert [label_text(stars) for stars in ("*", "**", ".")] == ["*", "**", "."]


@given(PAIRS)
def test_label_scores_are_those_of_scikit_learn(pairs):
    given, right = zip(*pairs, strict=True)
    scores, labels = score("label", given, right), sorted(set(right))
    assert scores.values("exact_match").mean() == pytest.approx(accuracy_score(right, given))
    wanted = f1_score(right, given, labels=labels, average="macro", zero_division=0)
    assert scores.values("macro_f1").mean() == pytest.approx(wanted)
    assert {label: each.n for label, each in scores.field_table().items()} == {x: right.count(x) for x in labels}
    for interval in scores.summary().values():
        assert 0 <= interval.low <= interval.value <= interval.high <= 1


def test_the_interval_of_macro_f1_is_that_of_a_bootstrap_that_counts_anew():
    rng = np.random.default_rng(1)
    right = rng.choice(["a", "b", "c"], 400, p=[0.6, 0.3, 0.1])
    given = np.where(rng.random(400) < 0.7, right, rng.choice(["a", "b", "c"], 400))
    seen = score("label", given.tolist(), right.tolist()).summary()["macro_f1"]
    draws = rng.integers(0, 400, (1000, 400))
    counted = [f1_score(right[draw], given[draw], average="macro") for draw in draws]
    low, high = np.quantile(counted, [0.025, 0.975])
    assert (seen.low, seen.high) == pytest.approx((low, high), abs=0.01)


def test_macro_f1_can_be_compared_pair_by_pair():
    right = ["a"] * 50 + ["b"] * 10
    always_a, tuned = ["a"] * 60, ["a"] * 48 + ["b"] * 12
    scores = [score("label", answers, right).values("macro_f1") for answers in (always_a, tuned)]
    seen = compare(*scores, metric="macro_f1")
    wanted = [f1_score(right, answers, average="macro", zero_division=0) for answers in (always_a, tuned)]
    assert (seen.a, seen.b) == pytest.approx(tuple(wanted))
    assert seen.verdict == "better"


def test_known_labels_and_confusions():
    scores = score("label", ["refund", "refund", "Refund", "dunno"], ["billing", "billing", "other", "other"])
    assert scores.values("known_label").tolist() == [0, 0, 0, 0]
    header, rows = scores.table()
    assert dict(zip(header, rows[0], strict=True))["taken for"] == '"refund" (2)'
    assert rows[1][-1] == '"refund" (1), "dunno" (1)'
    known = score("label", scores.predicted, scores.references, labels=["Refund", "billing"])
    assert known.values("known_label").tolist() == [1, 1, 1, 0]


@given(st.lists(st.tuples(st.text("ab é.", max_size=12), st.text("ab é.", max_size=12)), min_size=1, max_size=9))
def test_text_scores_are_fractions_and_1_for_the_same_text(pairs):
    given, right = zip(*pairs, strict=True)
    scores, same = score("text", given, right), score("text", right, right)
    for name in scores.metrics:
        assert 0 <= scores.values(name).min() <= scores.values(name).max() <= 1
        assert same.values(name).min() == pytest.approx(1)


def test_text_scores_by_hand():
    assert rouge_l("The cat sat down.", "the black cat sat") == pytest.approx(2 * 3 / 8)
    assert rouge_l("sat cat the", "the cat sat") == pytest.approx(2 * 1 / 6)  # order counts
    assert length_ratio("one two", "one two three") == length_ratio("one two three", "one two") == pytest.approx(2 / 3)
    # n = 1: 2 of 3 and 2 of 3; n = 2: 1 of 2 and 1 of 2; n = 3: 0; the longer ones do not exist
    assert chrf("abc", "abd") == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert (chrf("", "a"), chrf(" ", ""), rouge_l("", "a"), length_ratio("", "a")) == (0, 1, 0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_one_shape(kind):
    answers = {"record": ['{"a": 1}', '{"a": 2}'], "label": ["x", "y"], "labels": ["x, y", "y"],
               "text": ["one text", "another text"]}[kind]  # fmt: skip
    scores = score(kind, answers[::-1], answers)
    assert (scores.kind, scores.metrics, len(scores)) == (kind, KINDS[kind], 2)
    assert set(scores.metrics) <= scores.summary().keys()
    assert all(scores.values(name).shape == (2,) for name in scores.metrics)
    header, rows = scores.table()
    assert rows
    assert all(len(row) == len(header) and all(isinstance(cell, str) for cell in row) for row in rows)
    assert "[" in repr(scores)
    assert "<table" in scores._repr_html_()
    with pytest.raises(DataError, match="prediction 2: is dict"):
        score(kind, ["x", {}], answers)
    with pytest.raises(DataError, match="give one for each"):
        score(kind, ["x"], answers)


SETS = st.sets(st.sampled_from(["I10", "E11.9", "Z79.4", "R55"]), min_size=1)
SET_PAIRS = st.lists(st.tuples(st.one_of(SETS, st.just({"?"})), SETS), min_size=1, max_size=30)


@given(SET_PAIRS)
def test_micro_f1_of_sets_is_that_of_scikit_learn(pairs):
    given, right = zip(*pairs, strict=True)
    scores = score("labels", [", ".join(sorted(each)) for each in given], [", ".join(sorted(each)) for each in right])
    names = sorted(set().union(*given, *right))
    truth, answers = (np.array([[name in each for name in names] for each in sets]) for sets in (right, given))
    expected = f1_score(truth, answers, average="micro", zero_division=0)
    assert scores.values("micro_f1").mean() == pytest.approx(expected)
    assert scores.values("exact_match").tolist() == [float(a == b) for a, b in pairs]
    rows = {row[0]: row for row in scores.table()[1]}
    assert rows.keys() == set().union(*right)
    assert sum(int(row[4]) for row in rows.values()) == truth.sum()


def test_the_interval_of_micro_f1_is_about_that_of_drawing_the_examples_again():
    drawn = np.random.default_rng(0)
    sets = [[f"c{i}" for i in range(6) if drawn.random() < 0.3] or ["c0"] for _ in range(300)]
    given = [[label for label in each if drawn.random() < 0.8] or ["c5"] for each in sets]
    texts = [[", ".join(each) for each in both] for both in (given, sets)]
    seen = score("labels", *texts).summary()["micro_f1"]
    again = [
        score("labels", [texts[0][i] for i in at], [texts[1][i] for i in at]).values("micro_f1").mean()
        for at in drawn.integers(0, 300, size=(200, 300))
    ]
    low, high = np.quantile(again, [0.025, 0.975])
    assert (seen.low, seen.high) == pytest.approx((low, high), abs=0.012)


def test_labels_of_an_answer():
    assert labels_of(' "I10",  E11.9 , ,I10,\n`Z79.4` ') == ("I10", "E11.9", "Z79.4")
    assert labels_of("") == labels_of(" , ") == ()


def test_order_and_repetition_count_for_the_first_label_only():
    right = ["E11.22, N18.31"] * 4
    scores = score("labels", ["N18.31, E11.22", "E11.22, N18.31, E11.22", "E11.22", "e11.22, N18.31"], right)
    assert scores.values("exact_match").tolist() == [1, 1, 0, 0]
    assert scores.values("first_label").tolist() == [0, 1, 1, 0]
    assert scores.values("known_label").tolist() == [1, 1, 1, 0]
    assert score("labels", ["I10"], ["I10"], labels=["E11.9, R55"]).values("known_label").tolist() == [1]
    assert score("labels", ["R55, X"], ["I10"], labels=["E11.9, R55"]).values("known_label").tolist() == [0]
    assert score("labels", [""], ["I10"]).values("known_label").tolist() == [0]
    recalls = {label: np.nanmean(each) for label, each in scores.field_values().items()}
    assert recalls == {"E11.22": 0.75, "N18.31": 0.75}


def test_a_reference_without_a_label_is_named():
    with pytest.raises(DataError, match="reference 2: has no label"):
        score("labels", ["a", "b"], ["a", " , "])


def test_an_unknown_kind_and_no_answers():
    with pytest.raises(DataError, match="choose one of record, label, labels, text"):
        score("number", ["1"], ["1"])
    with pytest.raises(DataError, match="no answers"):
        answer_kind([])
