"""Each check: a blank is "not solved yet", a solution passes, known mistakes are named, nothing raises."""

import math
import re

import numpy as np
import pytest

from ftlab import exercises


def wilson(successes, n, z=1.96):
    p = successes / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return middle - half, middle + half


def wald(successes, n):
    p = successes / n
    half = 1.96 * math.sqrt(p * (1 - p) / n)
    return p - half, p + half


def field_accuracy(prediction, reference):
    if prediction is None:
        return 0.0
    return sum(k in prediction and prediction[k] == v for k, v in reference.items()) / len(reference)


def by_get(prediction, reference):
    return sum((prediction or {}).get(k) == v for k, v in reference.items()) / len(reference)


def forgets_none(prediction, reference):
    return sum(k in prediction and prediction[k] == v for k, v in reference.items()) / len(reference)


def by_prediction(prediction, reference):
    if not prediction:
        return 0.0
    return sum(prediction.get(k, ...) == v for k, v in reference.items()) / len(prediction)


def response_mask(input_ids, marker):
    for start in range(len(input_ids) - len(marker), -1, -1):
        if input_ids[start : start + len(marker)] == marker:
            end = start + len(marker)
            return [-100] * end + input_ids[end:]
    return [-100] * len(input_ids)


def first_marker(input_ids, marker):
    for start in range(len(input_ids) - len(marker) + 1):
        if input_ids[start : start + len(marker)] == marker:
            end = start + len(marker)
            return [-100] * end + input_ids[end:]
    return [-100] * len(input_ids)


def marker_kept(input_ids, marker):
    labels = response_mask(input_ids, marker)
    masked = labels.count(-100)
    if masked == len(labels):
        return labels
    return [-100] * (masked - len(marker)) + input_ids[masked - len(marker) :]


def steps(rows, epochs, batch, accumulation):
    return math.ceil(epochs * math.ceil(rows / (batch * accumulation)))


GRADES = {
    exercises.grade_wilson: wilson,
    exercises.grade_field_accuracy: field_accuracy,
    exercises.grade_response_mask: response_mask,
    exercises.grade_steps: steps,
}
CHECKS = [
    exercises.check_wilson,
    exercises.check_field_accuracy,
    exercises.check_response_mask,
    exercises.check_steps,
]


def blank(*args):
    """What a stub leaves."""
    ...  # noqa: PIE790


def raises_not_implemented(*args):
    raise NotImplementedError


@pytest.mark.parametrize("grade", GRADES)
@pytest.mark.parametrize("stub", [blank, raises_not_implemented, lambda *args: ..., ..., None])
def test_a_blank_is_not_solved_yet(grade, stub):
    assert grade(stub).status == "not solved yet"


@pytest.mark.parametrize(("grade", "solution"), GRADES.items())
def test_a_solution_passes(grade, solution):
    assert grade(solution).status == "solved"


@pytest.mark.parametrize(
    ("grade", "wrong", "hint"),
    [
        (exercises.grade_wilson, wald, "Wald"),
        (exercises.grade_wilson, lambda k, n: wilson(k, n, 1.645), "90 %"),
        (exercises.grade_wilson, lambda k, n: tuple(100 * x for x in wilson(k, n, 1.95996)), "percent"),
        (exercises.grade_wilson, lambda k, n: wilson(k, n)[::-1], "(low, high)"),
        (exercises.grade_field_accuracy, by_get, "get answers None"),
        (exercises.grade_field_accuracy, forgets_none, "prediction of None"),
        (exercises.grade_field_accuracy, by_prediction, "fields in the prediction"),
        (exercises.grade_field_accuracy, lambda p, r: float(p == r), "exact match"),
        (exercises.grade_response_mask, first_marker, "first marker"),
        (exercises.grade_response_mask, marker_kept, "not the marker itself"),
        (exercises.grade_response_mask, lambda ids, marker: ids, "nothing is masked"),
        (exercises.grade_steps, lambda r, e, b, a: int(e * (r // (b * a))), "floor division"),
        (exercises.grade_steps, lambda r, e, b, a: math.ceil(e * r / (b * a)), "over all epochs"),
        (exercises.grade_steps, lambda r, e, b, a: math.ceil(e * math.ceil(r / b)), "counted batches"),
    ],
)
def test_a_common_mistake_is_recognised(grade, wrong, hint):
    result = grade(wrong)
    assert result.status == "wrong"
    assert hint in result.message
    assert "because" in result.message or "raised" in result.message


def test_a_wrong_answer_shows_got_expected_call_and_reason():
    result = exercises.grade_steps(lambda *args: 777)
    assert result.status == "wrong"
    for part in ("got       777", "expected  8", "(64, 1, 8, 1)", "because   64 rows", "0 of 6 cases agree"):
        assert part in result.message
    assert "Looks as if" not in result.message, "an unknown mistake must not get a made-up hint"


def test_an_error_in_the_learners_code_is_told_not_raised():
    result = exercises.grade_field_accuracy(lambda prediction, reference: 1 / 0)
    assert result.status == "wrong"
    assert "raised    ZeroDivisionError: division by zero" in result.message


def test_a_half_finished_function_is_wrong_not_unsolved():
    result = exercises.grade_field_accuracy(lambda p, r: None if p is None else field_accuracy(p, r))
    assert result.status == "wrong"
    assert "nothing (no return?)" in result.message


def test_arrays_and_tuples_count_as_lists_and_inputs_are_copies():
    def array(ids, marker):
        labels = np.array(response_mask(ids, marker))
        ids.clear()
        return labels

    assert exercises.grade_response_mask(array).status == "solved"
    assert exercises.grade_response_mask(response_mask).status == "solved"


@pytest.mark.parametrize(("check", "solution"), list(zip(CHECKS, GRADES.values(), strict=True)))
def test_a_learners_check_prints_and_never_raises(check, solution, monkeypatch, capsys):
    monkeypatch.delenv(exercises.STRICT, raising=False)
    for fn, status in ((blank, "not solved yet"), (lambda *args: 1 / 0, "wrong"), (solution, "solved")):
        check(fn)
        assert capsys.readouterr().out.split("\n")[0].endswith(f": {status}")


@pytest.mark.parametrize(("check", "solution"), list(zip(CHECKS, GRADES.values(), strict=True)))
def test_in_strict_mode_only_a_solution_passes(check, solution, monkeypatch):
    monkeypatch.setenv(exercises.STRICT, "1")
    check(solution)
    for unfinished in (blank, lambda *args: 1 / 0):
        with pytest.raises(exercises.ExerciseFailed, match="notebooks/src"):
            check(unfinished)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [(64, 1, 8, 1), (100, 3, 8, 4), (5, 2, 8, 4), (100, 0.5, 8, 1), (13, 2, 3, 2)]
)
def test_the_rule_for_steps_is_the_trainers(arguments, tmp_path):
    import torch
    from transformers import Trainer, TrainingArguments

    rows, epochs, batch, accumulation = arguments
    settings = TrainingArguments(
        output_dir=tmp_path,
        num_train_epochs=epochs,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulation,
        use_cpu=True,
        report_to=[],
    )
    dataset = [{"x": torch.zeros(1)} for _ in range(rows)]
    trainer = Trainer(model=torch.nn.Linear(1, 1), args=settings, train_dataset=dataset)
    values = trainer.set_initial_training_values(settings, trainer.get_train_dataloader())
    assert steps(*arguments) == values[-1]


def break_even(one_time, prompted, tuned):
    return one_time / (prompted - tuned) if prompted > tuned else math.inf


def test_break_even():
    assert exercises.grade_break_even(break_even).status == "solved"
    assert exercises.grade_break_even(lambda *_: None).status == "not solved yet"


@pytest.mark.parametrize(
    ("fn", "hint"),
    [
        (lambda o, p, t: o / (p - t), "without asking whether there is a saving"),
        (lambda o, p, t: o / abs(p - t) if p != t else math.inf, "without its sign"),
        (lambda o, p, t: o / p, "not by what a call saves"),
        (lambda o, p, t: o / (t - p) if t > p else math.inf, "the wrong way round"),
    ],
)
def test_break_even_names_the_mistake(fn, hint):
    result = exercises.grade_break_even(fn)
    assert result.status == "wrong"
    assert hint in result.message


def training_gib(frozen, bytes_per_frozen, trainable):
    weights = frozen * bytes_per_frozen
    return (weights + trainable * (4 + 4 + 2 * 4)) / 1024**3


def payback_months(one_time, calls, before, after, rent):
    saved = calls * before - calls * after - rent
    return math.inf if saved <= 1e-9 else one_time / saved


COST_GRADES = [(exercises.grade_training_gib, training_gib), (exercises.grade_payback_months, payback_months)]


@pytest.mark.parametrize(("grade", "solution"), COST_GRADES)
def test_cost_exercises(grade, solution):
    assert grade(solution).status == "solved"
    assert grade(lambda *_: ...).status == "not solved yet"
    assert grade(lambda *_: 1 / 0).status == "wrong"


@pytest.mark.parametrize(
    ("grade", "fn", "hint"),
    [
        (exercises.grade_training_gib, lambda f, w, t: (f * w + t * 16) / 1e9, "7 % more"),
        (exercises.grade_training_gib, lambda f, w, t: (f * w + (f + t) * 16) / 2**30, "what LoRA saves"),
        (exercises.grade_training_gib, lambda f, w, t: (f * w + t * 8) / 2**30, "Adam's two states"),
        (exercises.grade_training_gib, lambda f, w, t: t * 16 / 2**30, "they lie there"),
        (exercises.grade_training_gib, lambda f, w, t: f * w + t * 16, "you returned bytes"),
        (exercises.grade_payback_months, lambda o, c, b, a, r: payback_months(o, c, b, a, 0), "left out the rent"),
        (exercises.grade_payback_months, lambda o, c, b, a, r: payback_months(o + r, c, b, a, 0), "the rent once"),
        (exercises.grade_payback_months, lambda o, c, b, a, r: payback_months(o, c, b, a, -r), "subtract it"),
        (exercises.grade_payback_months, lambda o, c, b, a, r: c * payback_months(o, c, b, a, r), "returned calls"),
    ],
)
def test_cost_exercises_name_the_mistake(grade, fn, hint):
    result = grade(fn)
    assert result.status == "wrong"
    assert hint in result.message


def test_a_payback_below_zero_is_no_payback():
    result = exercises.grade_payback_months(lambda o, c, b, a, r: o / (c * (b - a) - r))
    assert result.status == "wrong"
    assert "negative time" in result.message


def luhn(digits):
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value // 10 + value % 10
    return total % 10 == 0


def five_word_runs(text, split=None):
    words = split(text) if split else re.findall(r"\w+", text.lower())
    return [words[at : at + 5] for at in range(len(words) - 4)]


def known_share(train, test, split=None):
    known, asked = five_word_runs(train, split), five_word_runs(test, split)
    return sum(run in known for run in asked) / len(asked) if asked else 0.0


def is_leak(train, test):
    return known_share(train, test) >= 0.5


@pytest.mark.parametrize(
    ("check", "grade", "solution"),
    [
        (exercises.check_luhn, exercises.grade_luhn, luhn),
        (exercises.check_is_leak, exercises.grade_is_leak, is_leak),
    ],
)
def test_checks_of_the_data_notebook(check, grade, solution, monkeypatch, capsys):
    monkeypatch.delenv(exercises.STRICT, raising=False)
    assert grade(solution).status == "solved"
    for stub in (blank, raises_not_implemented, ...):
        assert grade(stub).status == "not solved yet"
    for constant in (True, False):
        assert grade(lambda *_, constant=constant: constant).status == "wrong"
    check(lambda *_: 1 / 0)
    assert capsys.readouterr().out.split("\n")[0].endswith(": wrong")
    monkeypatch.setenv(exercises.STRICT, "1")
    check(solution)
    with pytest.raises(exercises.ExerciseFailed, match="notebooks/src"):
        check(blank)


def luhn_sum(digits, doubled=(1, 2), from_left=False, whole=False):
    """The sum with one thing done otherwise: weights from the right, the end counted from, 16 as 16."""
    values = [int(d) * doubled[at % 2] for at, d in enumerate(digits if from_left else reversed(digits))]
    return sum(value if whole else value // 10 + value % 10 for value in values)


@pytest.mark.parametrize(
    ("grade", "wrong", "hint"),
    [
        (exercises.grade_luhn, lambda d: luhn_sum(d) % 10, "rest of the division"),
        (exercises.grade_luhn, lambda d: luhn_sum(d, whole=True) % 10 == 0, "16 counts 1 + 6"),
        (exercises.grade_luhn, lambda d: luhn_sum(d, (2, 1), from_left=True) % 10 == 0, "from the left"),
        (exercises.grade_luhn, lambda d: luhn_sum(d, (2, 1)) % 10 == 0, "double the last digit"),
        (exercises.grade_luhn, lambda d: luhn_sum(d, (1, 1)) % 10 == 0, "double no digit"),
        (exercises.grade_is_leak, lambda a, b: a == b, "letter for letter"),
        (exercises.grade_is_leak, lambda a, b: b.lower() in a.lower(), "whole test text"),
        (exercises.grade_is_leak, lambda a, b: five_word_runs(a) == five_word_runs(b) != [], "One changed word"),
        (exercises.grade_is_leak, lambda a, b: known_share(b, a) >= 0.5, "runs of the training text"),
        (exercises.grade_is_leak, lambda a, b: known_share(a, b, str.split) >= 0.5, "capitals and punctuation"),
        (exercises.grade_is_leak, lambda a, b: known_share(a, b) > 0.5, ">= 0.5"),
        (exercises.grade_is_leak, lambda a, b: known_share(a, b) > 0, "one shared run"),
        (exercises.grade_is_leak, known_share, "return the share"),
    ],
)
def test_mistakes_of_the_data_notebook_are_named(grade, wrong, hint):
    result = grade(wrong)
    assert result.status == "wrong"
    assert hint in result.message


def test_single_words_and_runs_of_both_texts_are_no_measure_of_a_leak():
    def words(text):
        return set(re.findall(r"\w+", text.lower()))

    def jaccard(a, b):
        a, b = ({tuple(run) for run in five_word_runs(text)} for text in (a, b))
        return len(a & b) >= 0.5 * len(a | b) > 0

    by_words = exercises.grade_is_leak(lambda a, b: 2 * len(words(a) & words(b)) >= len(words(b)))
    assert "single words" in by_words.message
    assert "runs of both texts" in exercises.grade_is_leak(jaccard).message


def relative_change(before, after):
    before, after = np.array(before), np.array(after)
    return np.linalg.norm(after - before) / np.linalg.norm(before)


def test_relative_change():
    assert exercises.grade_relative_change(relative_change).status == "solved"
    assert exercises.grade_relative_change(lambda *_: None).status == "not solved yet"


@pytest.mark.parametrize(
    ("fn", "hint"),
    [
        (lambda b, a: float(np.sum(np.array(a) - np.array(b)) / np.linalg.norm(b)), "cancel out"),
        (lambda b, a: float(np.linalg.norm(np.array(a) - np.array(b))), "did not divide"),
        (lambda b, a: float((np.linalg.norm(a) - np.linalg.norm(b)) / np.linalg.norm(b)), "difference of two lengths"),
        (lambda b, a: relative_change(b, a) ** 2, "square roots"),
    ],
)
def test_relative_change_names_the_mistake(fn, hint):
    result = exercises.grade_relative_change(fn)
    assert result.status == "wrong"
    assert hint in result.message
