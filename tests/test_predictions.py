"""Two files of predictions on one of references: every line counts, and each kind of answer has its metrics."""

import json

import pytest

from ftlab.errors import DataError
from ftlab.evaluation.predictions import after_thought, compare_files

GOLD = {"queue": "billing", "urgency": "P2", "order_id": None}
RIGHT = json.dumps(GOLD)


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
    with pytest.raises(DataError, match="choose one of field_accuracy"):
        compare_files(**files, metric="f1")
    text = files["references"].read_text().replace('{"queue": "y"}', '"y"')
    files["references"].write_text(text)
    with pytest.raises(DataError, match=r"references\.jsonl:4 reference: is no JSON object"):
        compare_files(**files, metric="field_accuracy")
    assert compare_files(**files).n == 4


def test_a_quoted_mark_ends_no_thought():
    text = "never `</think>` to close it"
    assert after_thought(text) == text


LABELS = ["billing", "delivery"] * 6


def labelled(texts):
    return [{"id": i, "prediction": text} for i, text in enumerate(texts)]


def test_labels_are_compared_as_a_run_scores_them_and_that_is_said(tmp_path):
    references = [{"id": i, "reference": label} for i, label in enumerate(LABELS)]
    always, tuned = labelled(["billing"] * 12), labelled([f"**{label.title()}**." for label in LABELS])
    seen = compare_lines(tmp_path, always, tuned, references)
    assert (seen.a, seen.b, seen.disagreement) == (0.5, 1, 0.5)
    said = "b.jsonl: 12 labels are right apart from capitals, quotes or a full stop, which do not count"
    assert seen.notes == (f"{tmp_path}/{said}",)
    seen = compare_lines(tmp_path, always, tuned, references, "macro_f1")
    assert (seen.a, seen.b, seen.disagreement, seen.metric) == (pytest.approx(1 / 3), 1, 0.5, "macro_f1")
    seen = compare_lines(tmp_path, always, labelled(["none"] * 12), references, "known_label")
    assert (seen.a, seen.b) == (1, 0)


def test_texts_are_compared_by_their_metrics_only(tmp_path):
    references = [{"id": i, "reference": f"The {i}. parcel is on its way."} for i in range(5)]
    near = labelled([f"the {i}. parcel is on its way" for i in range(5)])
    far = labelled(["No."] * 5)
    for metric in ("chrf", "rouge_l", "length_ratio"):
        seen = compare_lines(tmp_path, far, near, references, metric)
        assert seen.a < 0.5 < seen.b
    assert compare_lines(tmp_path, far, near, references).b == 0  # capitals count in a text
    with pytest.raises(DataError, match="macro_f1 is for labels.*not for a text: choose one of chrf"):
        compare_lines(tmp_path, far, near, references, "macro_f1")


def test_sets_of_labels_are_compared_where_the_metric_says_so(tmp_path):
    references = [{"id": i, "reference": "I10, E78.5"} for i in range(4)]
    one, turned = labelled(["I10"] * 4), labelled(["E78.5, I10"] * 4)
    seen = compare_lines(tmp_path, one, turned, references, "micro_f1")
    assert (seen.a, seen.b, seen.disagreement) == (pytest.approx(2 / 3), 1, 1)
    seen = compare_lines(tmp_path, one, turned, references, "first_label")
    assert (seen.a, seen.b) == (1, 0)
