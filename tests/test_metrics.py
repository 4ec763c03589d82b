"""Strict and repaired parsing, field scores by hand, and files compared without dropping a line."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftlab.errors import DataError
from ftlab.evaluation.metrics import (
    after_thought,
    compare_files,
    exact_text,
    parse_record,
    parse_repaired,
    read_schema,
    score_records,
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


def test_exact_text():
    assert exact_text([" yes\n", "Yes", ""], ["yes", "yes", ""]).tolist() == [1, 0, 1]
    with pytest.raises(DataError, match="give one for each"):
        exact_text([], ["a"])


def jsonl(path, rows):
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def files(tmp_path):
    """Three files on four references: a is right on 1, b on 1, 2 and 4."""
    references = [{"id": "1", "reference": GOLD}, {"id": "2", "reference": RIGHT}]
    references += [{"id": "3", "reference": {"queue": "x"}}, {"id": "4", "reference": {"queue": "y"}}]
    a = [{"id": "4", "prediction": "no"}, {"id": "3", "prediction": ""}]
    a += [{"id": "2", "prediction": GOLD | {"urgency": "P4"}}, {"id": "1", "prediction": RIGHT}]
    b = [{"id": "1", "prediction": GOLD}, {"id": "2", "prediction": " " + RIGHT}]
    b += [{"id": "3", "prediction": {"queue": "z"}}, {"id": "4", "prediction": '{"queue": "y"}'}]
    names = {"a": a, "b": b, "references": references}
    return {name: jsonl(tmp_path / f"{name}.jsonl", rows) for name, rows in names.items()}


@pytest.mark.parametrize(
    ("metric", "a", "b", "disagreement"),
    [
        ("exact_match", 1 / 4, 3 / 4, 2 / 4),
        ("field_accuracy", (1 + 2 / 3) / 4, 3 / 4, 2 / 4),
        ("valid_json", 2 / 4, 1, 2 / 4),
    ],
)
def test_compare_files(files, metric, a, b, disagreement):
    seen = compare_files(**files, metric=metric)
    assert (seen.n, seen.metric) == (4, metric)
    assert (seen.a, seen.b, seen.delta, seen.disagreement) == pytest.approx((a, b, b - a, disagreement))


def test_chat_rows_are_references(files, tmp_path):
    """The test set as it lies on disk: the answer is the last turn."""
    answers = {"1": RIGHT, "2": RIGHT, "3": '{"queue": "x"}', "4": '{"queue": "y"}'}
    turns = {key: [{"role": "user", "content": "?"}, {"role": "assistant", "content": a}] for key, a in answers.items()}
    chats = jsonl(tmp_path / "test.jsonl", [{"id": key, "messages": messages} for key, messages in turns.items()])
    for metric in ("exact_match", "field_accuracy"):
        assert compare_files(files["a"], files["b"], chats, metric) == compare_files(**files, metric=metric)


def compare_lines(tmp_path, a, b, references, metric="exact_match"):
    rows = {"a": a, "b": b, "references": references}
    files = {name: jsonl(tmp_path / f"{name}.jsonl", lines) for name, lines in rows.items()}
    return compare_files(**files, metric=metric)


def test_compare_files_on_texts(tmp_path):
    references = [{"id": 1, "reference": "yes"}, {"id": 2, "reference": '{"a": 1}'}]
    a = [{"id": 1, "prediction": "yes "}, {"id": 2, "prediction": '{"a": 1'}]
    b = [{"id": 2, "prediction": '{ "a":1.0}'}, {"id": 1, "prediction": {"a": 1}}]
    seen = compare_lines(tmp_path, a, b, references)
    assert (seen.a, seen.b) == (0.5, 0.5)


@pytest.mark.parametrize(
    "thought",
    [
        "\n<think>\nis it {a}?\n</think>\n\n", "<think></think>", "begun</think>",
        "<thinking>a</thinking>", "[THINK]a[/THINK]\n",
    ],
)
@pytest.mark.parametrize("metric", ["exact_match", "field_accuracy", "valid_json"])
def test_a_thought_in_front_of_a_prediction_is_not_judged_and_that_is_said(tmp_path, thought, metric):
    references = [{"id": i, "reference": {"x": i}} for i in range(3)]
    plain = [{"id": i, "prediction": '{"x": 1}'} for i in range(3)]
    thinking = [row | {"prediction": thought + row["prediction"]} for row in plain]
    seen = compare_lines(tmp_path, plain, thinking, references, metric)
    assert (seen.a, seen.delta) == (1 if metric == "valid_json" else pytest.approx(1 / 3), 0)
    said = "b.jsonl: 3 of 3 predictions begin with a thought; what follows it was judged"
    assert seen.notes == (f"{tmp_path}/{said}",)
    assert seen.notes[0] in repr(seen)


def test_a_thought_that_never_ends_is_a_wrong_answer_and_one_in_the_reference_is_not_judged(tmp_path):
    references = [{"id": i, "reference": text} for i, text in enumerate(["yes", "<think>hm</think> yes"])]
    a = [{"id": i, "prediction": "<think>yes"} for i in range(2)]
    b = [{"id": i, "prediction": "yes"} for i in range(2)]
    seen = compare_lines(tmp_path, a, b, references)
    assert (seen.a, seen.b, seen.notes) == (0, 1, ())


def test_ids_as_numbers_and_as_texts_match_and_that_is_said(tmp_path):
    references = [{"id": i, "reference": str(i)} for i in (7, 8)]
    a = [{"id": str(i), "prediction": str(i)} for i in (8, 7)]
    seen = compare_lines(tmp_path, a, [row | {"id": int(row["id"])} for row in a], references)
    assert (seen.a, seen.b, len(seen.notes)) == (1, 1, 1)
    assert "a.jsonl" in seen.notes[0]
    assert "matched as texts" in seen.notes[0]


def test_references_without_an_id_have_their_number(tmp_path):
    """As in the predictions that a run writes for such a test file."""
    turns = [[{"role": "user", "content": "?"}, {"role": "assistant", "content": text}] for text in ("x", "y", "z")]
    chats = [{"messages": turns[0]}, {"id": "mine", "messages": turns[1]}, {"id": None, "messages": turns[2]}]
    predictions = [{"id": key, "prediction": text} for key, text in ((2, "z"), ("mine", "y"), (0, "x"))]
    assert compare_lines(tmp_path, predictions, predictions, chats).a == 1
    with pytest.raises(DataError, match=r"references\.jsonl:4 id: 0 stands already on line 1"):
        compare_lines(tmp_path, predictions, predictions, [*chats, {"id": 0, "messages": turns[0]}])


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


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("a", '{"id": "9", "prediction": ""}\n', r"a\.jsonl:5 id: '9' is not in .*references\.jsonl"),
        ("b", '{"id": "1", "prediction": ""}\n', r"b\.jsonl:5 id: '1' stands already on line 1"),
        ("a", '{"prediction": ""}\n', r"a\.jsonl:5 id: must be"),
        ("a", '{"id": 1, "prediction": ""}\n', r"a\.jsonl:5 id: 1 stands already on line 4"),
        ("a", '{"id": true, "prediction": ""}\n', r"a\.jsonl:5 id: must be"),
        ("a", '{"id": "9"}\n', r"a\.jsonl:5 prediction: is missing"),
        ("a", '{"id": "9", "prediction": null}\n', r"a\.jsonl:5 prediction: is missing"),
        ("a", '{"id": "9", "prediction": 3}\n', r"a\.jsonl:5 prediction: is a number; write a text"),
        ("b", "{\n", r"b\.jsonl:5 not JSON"),
        ("b", "[]\n", r"b\.jsonl:5 is no object"),
        ("b", '{"id": "9", "prediction": {"a": 1, "a": 2}}\n', r"b\.jsonl:5 a: stands twice"),
        ("references", '{"id": "5", "reference": "x"}\n', r"references\.jsonl:5 id: '5' has no prediction"),
        ("references", '{"id": "4", "reference": "x"}\n', r"references\.jsonl:5 id: '4' stands already"),
        ("references", '{"id": "5"}\n', r"references\.jsonl:5 reference: is missing"),
        ("references", '{"id": "5", "messages": []}\n', r"references\.jsonl:5 reference: is missing"),
        ("references", '{"id": "5", "messages": [{"role": "user", "content": "x"}]}\n', r":5 reference: is missing"),
    ],
)
def test_compare_files_drops_nothing_silently(files, name, line, message):
    files[name].write_text(files[name].read_text() + line)
    with pytest.raises(DataError, match=message):
        compare_files(**files)


def test_compare_files_needs_a_fitting_metric(files):
    with pytest.raises(DataError, match="choose one of exact_match"):
        compare_files(**files, metric="f1")
    text = files["references"].read_text().replace('{"queue": "y"}', '"y"')
    files["references"].write_text(text)
    with pytest.raises(DataError, match=r"references\.jsonl:4 reference: is no JSON object"):
        compare_files(**files, metric="field_accuracy")
    assert compare_files(**files).n == 4


def test_a_quoted_mark_ends_no_thought():
    text = "never `</think>` to close it"
    assert after_thought(text) == text
