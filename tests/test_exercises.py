"""Each check: a blank is "not solved yet", a solution passes, known mistakes are named, nothing raises."""

import math

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
