"""Strict and repaired parsing, field scores by hand, and files compared without dropping a line."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftlab.errors import DataError
from ftlab.evaluation.metrics import (
    exact_text,
    parse_record,
    parse_repaired,
    probe_scores,
    read_schema,
    score_records,
    short_answers,
)

GOLD = {"queue": "billing", "urgency": "P2", "order_id": None}
RIGHT = json.dumps(GOLD)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-9, 9) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "strict", "repaired"),
    [
        (RIGHT, GOLD, GOLD),
        (f"  {RIGHT}\n", GOLD, GOLD),
        (f"```json\n{RIGHT}\n```", None, GOLD),
        (f"Here it is: {RIGHT}", None, GOLD),
        (RIGHT[:-1], None, GOLD),
        ("{'queue': 'billing'}", None, {"queue": "billing"}),
        ('{"queue": "billing",}', None, {"queue": "billing"}),
        ('{"a": 1, "a": 2}', None, {"a": 2}),
        ('{"a": {"b": 1, "b": 1}}', None, {"a": {"b": 1}}),
        ("[]", None, None),
        ("", None, None),
        ("no json here", None, None),
        ("{}", {}, {}),
    ],
)
def test_parsing(text, strict, repaired):
    assert parse_record(text) == strict
    assert parse_repaired(text) == repaired


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": -Infinity}', '{"a":' * 100_000])
def test_parsing_survives_nan_and_depth(text):
    assert parse_record(text) is None


@given(st.dictionaries(st.text(), JSON, min_size=1, max_size=4))
def test_a_record_matches_its_own_text(record):
    scores = score_records([json.dumps(dict(reversed(record.items())))], [record])
    assert scores.exact_match.tolist() == [1]
    assert scores.field_accuracy.tolist() == [1]


@pytest.mark.parametrize(
    ("value", "answer", "same"),
    [
        (None, '{"x": null}', True),
        (None, "{}", False),
        (None, '{"x": "null"}', False),
        (None, '{"x": ""}', False),
        ("null", '{"x": null}', False),
        (1, '{"x": 1.0}', True),
        (1, '{"x": true}', False),
        (1, '{"x": "1"}', False),
        (False, '{"x": 0}', False),
        ([1], '{"x": [true]}', False),
        ({"a": 1, "b": 2}, '{"x": {"b": 2, "a": 1}}', True),
        ("Billing", '{"x": "billing"}', False),
    ],
)
def test_null_missing_and_text_null_are_different(value, answer, same):
    scores = score_records([answer], [{"x": value}])
    assert scores.fields["x"].tolist() == [float(same)]


def test_scores_by_hand():
    predictions = [
        RIGHT,
        json.dumps(GOLD | {"urgency": "P1"}),
        f"```json\n{RIGHT}\n```",
        json.dumps(GOLD | {"extra": 1}),
        '{"queue": "billing"}',
    ]
    texts = dict.fromkeys(GOLD, {"type": ["string", "null"]})
    schema = {"type": "object", "properties": texts, "required": list(GOLD), "additionalProperties": False}
    scores = score_records(predictions, [RIGHT, *[GOLD] * 4], schema=schema)
    assert scores.valid_json.tolist() == [1, 1, 0, 1, 1]
    assert scores.valid_schema.tolist() == [1, 1, 0, 0, 0]
    assert scores.exact_match.tolist() == [1, 0, 0, 0, 0]
    assert scores.field_accuracy.tolist() == pytest.approx([1, 2 / 3, 0, 1, 1 / 3])
    assert scores.repaired_field_accuracy.tolist() == pytest.approx([1, 2 / 3, 1, 1, 1 / 3])
    assert scores.fields["urgency"].tolist() == [1, 0, 0, 1, 0]
    assert list(scores.fields) == list(GOLD)
    summary = scores.summary()
    assert summary["field_accuracy"].value == pytest.approx(0.6)
    assert summary["exact_match"].method == "Wilson"
    assert scores.field_table()["queue"].value == 0.8
    assert len(scores) == 5


def test_references_with_different_fields():
    scores = score_records(['{"a": 1}', '{"a": 1, "b": 2}'], [{"a": 1}, {"a": 0, "b": 2}])
    assert scores.field_accuracy.tolist() == [1, 0.5]
    assert math.isnan(scores.fields["b"][0])
    assert scores.field_table()["b"].n == 1
    assert scores.summary()["field_accuracy"].value == 0.75


def test_reports_are_readable():
    scores = score_records([RIGHT, "nothing"], [GOLD, GOLD])
    assert "field_accuracy           50.0 % [" in repr(scores)
    assert "valid_schema" not in scores.summary()
    assert "repaired_field_accuracy" in scores._repr_html_()


@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        ([], [], "give one for each"),
        (["{}"], [], "0 references"),
        (["{}"], ["not json"], "reference 1"),
        (["{}", "{}"], [GOLD, {}], "reference 2"),
        ([{"a": 1}], [GOLD], "prediction 1: is dict"),
    ],
)
def test_unusable_scoring(predictions, references, message):
    with pytest.raises(DataError, match=message):
        score_records(predictions, references)


@pytest.mark.parametrize(
    ("prediction", "row", "right"),
    [
        (" Rome.\n", {}, 1),
        ("It is Rome.", {}, 0),
        ("The capital is ROME, in Italy.", {"check": "contains"}, 1),
        ("Romeo", {"check": "contains"}, 0),
        ("the Eternal City", {"accept": ["Rome", "the eternal city"]}, 1),
        ("Rome", {"accept": ["Roma"]}, 0),
        ("It costs 12 euros.", {"accept": ["12"], "check": "contains"}, 1),
        ("It costs 120 euros.", {"accept": ["12", "twelve"], "check": "contains"}, 0),
        ("a C++ program", {"accept": ["c++"], "check": "contains"}, 1),
        ("a C program", {"accept": ["c++"], "check": "contains"}, 0),
    ],
)
def test_probe_scores(prediction, row, right):
    turns = [{"role": "user", "content": "capital of Italy?"}, {"role": "assistant", "content": "Rome"}]
    assert probe_scores([prediction], [{"messages": turns} | row]).tolist() == [right]


def test_exact_text():
    assert exact_text([" yes\n", "Yes", ""], ["yes", "yes", ""]).tolist() == [1, 0, 1]
    with pytest.raises(DataError, match="give one for each"):
        exact_text([], ["a"])


@pytest.mark.parametrize(
    ("answer", "reference", "right"),
    [
        ("The answer is Wednesday.", "Wednesday", 1),
        ("wednesday", "Wednesday", 1),
        ("It costs 120 pounds.", "12", 0),
        ("At the town\nhall, I think", "town hall", 1),
        ("it is 3.5", "3,5", 0),
        ("I do not know whether it is Wednesday.", "Wednesday", 0),
        ("I don't know.", "I do not know.", 1),
        ("The context does not mention it.", "I do not know.", 1),
        ("Lars brings them.", "I do not know.", 0),
        ("", "Wednesday", 0),
    ],
)
def test_short_answers(answer, reference, right):
    assert short_answers([answer], [reference]).tolist() == [right]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "no JSON Schema.*not of type"),
        ('{"type": "no_such_type"}', "no JSON Schema.*type"),
        ("true", "must be an object"),
        ('{"properties": {"a": {"type": "string"}, "b": false}}', "an object for each property"),
    ],
)
def test_a_schema_that_is_none_is_refused(tmp_path, content, message):
    path = tmp_path / "schema.json"
    path.write_text(content)
    with pytest.raises(DataError, match=rf"schema\.json: .*{message}"):
        read_schema(path)
    path.write_text('{"type": "object"}')
    assert read_schema(path) == {"type": "object"}
