"""Each check: a blank is "not solved yet", a solution passes, known mistakes are named, nothing raises."""

import math
import re

import numpy as np
import pytest

from ftlab.exercises.baselines import check_field_accuracy, check_hallucination_rate, check_recall_at_k
from ftlab.exercises.cost import check_payback_months, check_training_gib
from ftlab.exercises.decide import check_break_even
from ftlab.exercises.engine import STRICT, ExerciseFailed
from ftlab.exercises.evaluate import check_wilson
from ftlab.exercises.prepare_data import check_is_leak, check_luhn, check_rows_needed
from ftlab.exercises.train import check_response_mask, check_steps
from ftlab.exercises.what_changes import check_dpo_loss, check_relative_change

# ---- what a learner may write, independent of the solutions in ftlab.exercises


def relative_change(before, after):
    return np.linalg.norm(np.array(after) - np.array(before)) / np.linalg.norm(before)


def dpo_loss(chosen, rejected, chosen_0, rejected_0, beta):
    return float(np.log(1 + np.exp(-beta * ((chosen - chosen_0) - (rejected - rejected_0)))))


def break_even(one_time, prompted, tuned):
    return one_time / (prompted - tuned) if prompted > tuned else math.inf


def field_accuracy(prediction, reference):
    if prediction is None:
        return 0.0
    return sum(k in prediction and prediction[k] == v for k, v in reference.items()) / len(reference)


def recall(found, wanted, k):
    shares = [len(set(need) & set(ids[:k])) / len(set(need)) for ids, need in zip(found, wanted, strict=True) if need]
    return sum(shares) / len(shares)


def hallucination_rate(answers, references):
    unknown = [a for a, r in zip(answers, references, strict=True) if r == "I do not know."]
    return sum(answer != "I do not know." for answer in unknown) / len(unknown)


def luhn_sum(digits, doubled=(1, 2), from_left=False, whole=False):
    """The sum with one thing done otherwise: weights from the right, the end counted from, 16 as 16."""
    values = [int(d) * doubled[at % 2] for at, d in enumerate(digits if from_left else reversed(digits))]
    return sum(value if whole else value // 10 + value % 10 for value in values)


def luhn(digits):
    return luhn_sum(digits) % 10 == 0


def runs(text, split=None):
    words = split(text) if split else re.findall(r"\w+", text.lower())
    return [tuple(words[at : at + 5]) for at in range(len(words) - 4)]


def known_share(train, test, split=None):
    known, asked = runs(train, split), runs(test, split)
    return sum(run in known for run in asked) / len(asked) if asked else 0.0


def jaccard(a, b):
    a, b = set(runs(a)), set(runs(b))
    return len(a & b) >= 0.5 * len(a | b) > 0


def shared_words(a, b):
    a, b = (set(re.findall(r"\w+", text.lower())) for text in (a, b))
    return 2 * len(a & b) >= len(b)


def rows_needed(target, rows, score, per_doubling):
    if target <= score:
        return rows
    return rows * 2 ** ((target - score) / per_doubling) if per_doubling > 0 else math.inf


def response_mask(input_ids, marker, from_the_end=True, keep_marker=False):
    starts = range(len(input_ids) - len(marker) + 1)
    for start in reversed(starts) if from_the_end else starts:
        if input_ids[start : start + len(marker)] == marker:
            end = start if keep_marker else start + len(marker)
            return [-100] * end + input_ids[end:]
    return [-100] * len(input_ids)


def steps(rows, epochs, batch, accumulation):
    return math.ceil(epochs * math.ceil(rows / (batch * accumulation)))


def wilson(successes, n, z=1.96):
    p = successes / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return middle - half, middle + half


def wald(successes, n):
    p = successes / n
    half = 1.96 * math.sqrt(p * (1 - p) / n)
    return p - half, p + half


def training_gib(frozen, bytes_per_frozen, trainable):
    return (frozen * bytes_per_frozen + trainable * (4 + 4 + 2 * 4)) / 1024**3


def payback_months(one_time, calls, before, after, rent):
    saved = calls * before - calls * after - rent
    return math.inf if saved <= 1e-9 else one_time / saved


SOLUTIONS = {
    check_relative_change: relative_change, check_dpo_loss: dpo_loss, check_break_even: break_even,
    check_field_accuracy: field_accuracy, check_recall_at_k: recall, check_hallucination_rate: hallucination_rate,
    check_luhn: luhn, check_is_leak: lambda train, test: known_share(train, test) >= 0.5,
    check_rows_needed: rows_needed, check_response_mask: response_mask, check_steps: steps, check_wilson: wilson,
    check_training_gib: training_gib, check_payback_months: payback_months,
}  # fmt: skip
SOLVED = pytest.mark.parametrize(("check", "solution"), SOLUTIONS.items(), ids=lambda each: getattr(each, "name", ""))
WRONG = {  # what a learner may write by mistake, and what the check must say
    check_relative_change: [
        (lambda b, a: float(np.sum(np.array(a) - np.array(b)) / np.linalg.norm(b)), "cancel out"),
        (lambda b, a: float(np.linalg.norm(np.array(a) - np.array(b))), "did not divide"),
        (lambda b, a: float((np.linalg.norm(a) - np.linalg.norm(b)) / np.linalg.norm(b)), "difference of two lengths"),
        (lambda b, a: relative_change(b, a) ** 2, "square roots"),
    ],
    check_dpo_loss: [
        (lambda c, r, c0, r0, b: dpo_loss(c, r, 0, 0, b), "frozen model out"),
        (lambda c, r, c0, r0, b: dpo_loss(r, c, r0, c0, b), "sign is turned"),
        (lambda *args: -dpo_loss(*args), "never below 0"),
        (lambda c, r, c0, r0, b: dpo_loss(c, r, c0, r0, 1), "beta out"),
        (lambda c, r, c0, r0, b: b * (c - c0 - r + r0), "stopped at the margin"),
        (lambda *args: math.exp(-dpo_loss(*args)), "stopped at the sigmoid"),
        (lambda c, r, c0, r0, b: dpo_loss(c, 0, c0, 0, b), "chosen draft only"),
    ],
    check_break_even: [
        (lambda o, p, t: o / (p - t), "without asking whether there is a saving"),
        (lambda o, p, t: o / abs(p - t) if p != t else math.inf, "without its sign"),
        (lambda o, p, t: o / p, "not by what a call saves"),
        (lambda o, p, t: o / (t - p) if t > p else math.inf, "the wrong way round"),
    ],
    check_field_accuracy: [
        (lambda p, r: sum((p or {}).get(k) == v for k, v in r.items()) / len(r), "get answers None"),
        (lambda p, r: sum(k in p and p[k] == v for k, v in r.items()) / len(r), "prediction of None"),
        (lambda p, r: sum(p.get(k, ...) == v for k, v in r.items()) / len(p) if p else 0.0, "in the prediction"),
        (lambda p, r: float(p == r), "exact match"),
    ],
    check_recall_at_k: [
        (lambda f, w, k: recall(f, w, 99), "all hits"),
        (lambda f, w, k: sum(bool({*n} & {*i[:k]}) for i, n in zip(f, w, strict=True)) / sum(map(bool, w)), "any"),
        (lambda f, w, k: recall(f, w, k) * sum(map(bool, w)) / len(w), "need nothing"),
        (lambda f, w, k: sum(len({*n} & {*i[:k]}) / k for i, n in zip(f, w, strict=True)) / sum(map(bool, w)),
         "precision"),
    ],
    check_hallucination_rate: [
        (lambda a, r: 1 - hallucination_rate(a, r), "admits"),
        (lambda a, r: sum(x != y for x, y in zip(a, r, strict=True)) / len(a), "wrong answers"),
        (lambda a, r: hallucination_rate(a, r) * r.count("I do not know.") / len(r), "all questions"),
    ],
    check_luhn: [
        (lambda d: luhn_sum(d) % 10, "rest of the division"),
        (lambda d: luhn_sum(d, whole=True) % 10 == 0, "16 counts 1 + 6"),
        (lambda d: luhn_sum(d, (2, 1), from_left=True) % 10 == 0, "from the left"),
        (lambda d: luhn_sum(d, (2, 1)) % 10 == 0, "double the last digit"),
        (lambda d: luhn_sum(d, (1, 1)) % 10 == 0, "double no digit"),
    ],
    check_is_leak: [
        (lambda a, b: a == b, "letter for letter"),
        (lambda a, b: b.lower() in a.lower(), "whole test text"),
        (lambda a, b: runs(a) == runs(b) != [], "One changed word"),
        (lambda a, b: known_share(b, a) >= 0.5, "runs of the training text"),
        (lambda a, b: known_share(a, b, str.split) >= 0.5, "capitals and punctuation"),
        (lambda a, b: known_share(a, b) > 0.5, ">= 0.5"),
        (lambda a, b: known_share(a, b) > 0, "one shared run"),
        (known_share, "return the share"), (shared_words, "single words"), (jaccard, "runs of both texts"),
    ],
    check_rows_needed: [
        (lambda t, r, s, d: rows_needed(t, r, s, d) - r, "how many more"),
        (lambda t, r, s, d: r * (1 + (t - s) / d) if d > 0 and t > s else rows_needed(t, r, s, d), "doubles all rows"),
        (lambda t, r, s, d: r * 2 ** ((t - s) / d), "ask first"),
        (lambda t, r, s, d: r * math.exp((t - s) / d) if d > 0 and t > s else rows_needed(t, r, s, d), "powers of e"),
    ],
    check_response_mask: [
        (lambda ids, marker: response_mask(ids, marker, from_the_end=False), "first marker"),
        (lambda ids, marker: response_mask(ids, marker, keep_marker=True), "not the marker itself"),
        (lambda ids, marker: ids, "nothing is masked"),
    ],
    check_steps: [
        (lambda r, e, b, a: int(e * (r // (b * a))), "floor division"),
        (lambda r, e, b, a: math.ceil(e * r / (b * a)), "over all epochs"),
        (lambda r, e, b, a: math.ceil(e * math.ceil(r / b)), "counted batches"),
    ],
    check_wilson: [
        (wald, "Wald"), (lambda k, n: wilson(k, n, 1.645), "90 %"),
        (lambda k, n: tuple(100 * x for x in wilson(k, n, 1.95996)), "percent"),
        (lambda k, n: wilson(k, n)[::-1], "(low, high)"),
    ],
    check_training_gib: [
        (lambda f, w, t: (f * w + t * 16) / 1e9, "7 % more"),
        (lambda f, w, t: (f * w + (f + t) * 16) / 2**30, "what LoRA saves"),
        (lambda f, w, t: (f * w + t * 8) / 2**30, "Adam's two states"),
        (lambda f, w, t: t * 16 / 2**30, "they lie there"),
        (lambda f, w, t: f * w + t * 16, "you returned bytes"),
    ],
    check_payback_months: [
        (lambda o, c, b, a, r: payback_months(o, c, b, a, 0), "left out the rent"),
        (lambda o, c, b, a, r: payback_months(o + r, c, b, a, 0), "the rent once"),
        (lambda o, c, b, a, r: payback_months(o, c, b, a, -r), "subtract it"),
        (lambda o, c, b, a, r: c * payback_months(o, c, b, a, r), "returned calls"),
        (lambda o, c, b, a, r: o / (c * (b - a) - r), "negative time"),
    ],
}  # fmt: skip


def blank(*args):
    """What a stub leaves."""
    ...  # noqa: PIE790


def raises_not_implemented(*args):
    raise NotImplementedError


@pytest.mark.parametrize("check", SOLUTIONS, ids=lambda check: check.name)
@pytest.mark.parametrize("stub", [blank, raises_not_implemented, lambda *args: ..., ..., None])
def test_a_blank_is_not_solved_yet(check, stub):
    assert check.grade(stub).status == "not solved yet"


@pytest.mark.parametrize(
    ("check", "wrong", "hint"), [(check, *each) for check, mistakes in WRONG.items() for each in mistakes]
)
def test_a_common_mistake_is_recognised(check, wrong, hint):
    grade = check.grade(wrong)
    assert grade.status == "wrong"
    assert hint in grade.message.split("Looks as if")[1]
    assert "because" in grade.message


@pytest.mark.parametrize(("check", "mistake", "hint"), [(each, *m) for each in SOLUTIONS for m in each.mistakes])
def test_no_mistake_hides_another(check, mistake, hint):
    """Each known mistake is wrong in some trial and gets its own explanation."""
    assert check.grade(mistake).message.endswith(f"Looks as if {hint}")


@pytest.mark.parametrize("check", [check_luhn, check_is_leak], ids=lambda check: check.name)
@pytest.mark.parametrize("constant", [True, False])
def test_the_same_answer_to_everything_is_wrong(check, constant):
    assert check.grade(lambda *_: constant).status == "wrong"


def test_a_wrong_answer_shows_got_expected_call_and_reason():
    grade = check_steps.grade(lambda *args: 777)
    assert grade.status == "wrong"
    for part in ("got       777", "expected  8", "(64, 1, 8, 1)", "because   64 rows", "0 of 6 cases agree"):
        assert part in grade.message
    assert "Looks as if" not in grade.message, "an unknown mistake must not get a made-up hint"


def test_numbers_are_shown_with_four_digits():
    message = check_wilson.grade(lambda k, n: (0.123456, 0.2)).message
    assert "got       (0.1235, 0.2000)" in message
    assert "expected  (0.4618, 0.7239)" in message


def test_an_error_in_the_learners_code_is_told_not_raised():
    grade = check_field_accuracy.grade(lambda prediction, reference: 1 / 0)
    assert grade.status == "wrong"
    assert "raised    ZeroDivisionError: division by zero" in grade.message


def test_a_half_finished_function_is_wrong_not_unsolved():
    grade = check_field_accuracy.grade(lambda p, r: None if p is None else field_accuracy(p, r))
    assert grade.status == "wrong"
    assert "nothing (no return?)" in grade.message


def test_arrays_and_tuples_count_as_lists_and_inputs_are_copies():
    def array(ids, marker):
        labels = np.array(response_mask(ids, marker))
        ids.clear()
        return labels

    assert check_response_mask.grade(array).status == "solved"
    assert check_response_mask.grade(response_mask).status == "solved"


@SOLVED
def test_a_learners_check_prints_and_never_raises(check, solution, monkeypatch, capsys):
    monkeypatch.delenv(STRICT, raising=False)
    for fn, status in ((blank, "not solved yet"), (lambda *args: 1 / 0, "wrong"), (solution, "solved")):
        check(fn)
        assert capsys.readouterr().out.split("\n")[0].endswith(f": {status}")


@SOLVED
def test_in_strict_mode_only_a_solution_passes(check, solution, monkeypatch):
    monkeypatch.setenv(STRICT, "1")
    check(solution)
    for unfinished in (blank, lambda *args: 1 / 0):
        with pytest.raises(ExerciseFailed, match="notebooks/src"):
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
