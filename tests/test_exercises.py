"""Each check: a blank is "not solved yet", a solution passes, known mistakes are named, nothing raises."""

import ast
import importlib
import json
import math
import re
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from ftlab.exercises.baselines import check_field_accuracy, check_hallucination_rate, check_recall_at_k
from ftlab.exercises.cost import check_payback_months, check_training_gib
from ftlab.exercises.decide import check_break_even
from ftlab.exercises.distill import check_kept_and_right, check_taken_over
from ftlab.exercises.engine import STRICT, Exercise, ExerciseFailed
from ftlab.exercises.evaluate import check_wilson
from ftlab.exercises.hosted import check_has_no_answer, check_usd_a_call
from ftlab.exercises.lora import check_adapter_numbers, check_merged, check_quantise
from ftlab.exercises.medical import check_micro_f1, check_route
from ftlab.exercises.preferences import check_advantages, check_win_rate
from ftlab.exercises.prepare_data import check_is_leak, check_luhn, check_rows_needed
from ftlab.exercises.project import check_asked_and_answer, check_rows_to_label
from ftlab.exercises.scale import check_loss_of_all, check_rows_a_step
from ftlab.exercises.ship import check_false_alarm_in_a_year
from ftlab.exercises.start import check_strongest_rival
from ftlab.exercises.train import check_response_mask, check_steps
from ftlab.exercises.tune import check_steps_lost, check_stops_and_keeps
from ftlab.exercises.voice import check_invented_numbers, check_kappa
from ftlab.exercises.what_changes import check_dpo_loss, check_relative_change

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
try:
    import course_table
    import notebook_source
finally:
    sys.path.remove(str(ROOT / "tools"))

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


def luhn(digits):
    doubled = [int(d) * (1 + at % 2) for at, d in enumerate(reversed(digits))]
    return sum(n // 10 + n % 10 for n in doubled) % 10 == 0


def is_leak(train, test):
    known, asked = (
        [tuple(words[at : at + 5]) for at in range(len(words) - 4)]
        for words in (re.findall(r"\w+", text.lower()) for text in (train, test))
    )
    return bool(asked) and sum(run in known for run in asked) / len(asked) >= 0.5


def rows_needed(target, rows, score, per_doubling):
    if target <= score:
        return rows
    return rows * 2 ** ((target - score) / per_doubling) if per_doubling > 0 else math.inf


def response_mask(input_ids, marker):
    for start in reversed(range(len(input_ids) - len(marker) + 1)):
        if input_ids[start : start + len(marker)] == marker:
            end = start + len(marker)
            return [-100] * end + input_ids[end:]
    return [-100] * len(input_ids)


def steps(rows, epochs, batch, accumulation):
    return math.ceil(epochs * math.ceil(rows / (batch * accumulation)))


def stops_and_keeps(losses, patience):
    for stop in range(patience, len(losses)):
        if min(losses[stop - patience + 1 : stop + 1]) >= min(losses[: stop - patience + 1]):
            return stop, losses.index(min(losses[: stop + 1]))
    return len(losses) - 1, losses.index(min(losses))


def steps_lost(killed_in, save_steps):
    finished = range(1, killed_in)
    return sum(step > max([0, *(each for each in finished if each % save_steps == 0)]) for step in finished)


def wilson(successes, n, z=1.96):
    p = successes / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return middle - half, middle + half


def training_gib(frozen, bytes_per_frozen, trainable):
    return (frozen * bytes_per_frozen + trainable * (4 + 4 + 2 * 4)) / 1024**3


def payback_months(one_time, calls, before, after, rent):
    saved = calls * before - calls * after - rent
    return math.inf if saved <= 1e-9 else one_time / saved


def adapter_numbers(rows, columns, r):
    return rows * r + r * columns


def merged(weight, A, B, alpha):  # noqa: N803
    return np.array(weight) + alpha / len(A) * np.array(B) @ np.array(A)


def quantise(block, levels):
    absmax = np.abs(block).max()
    return absmax, np.abs(np.array(levels) - (np.array(block) / absmax)[:, None]).argmin(1)


def rows_a_step(batch, accumulation, processes):
    return processes * (accumulation * batch)


def micro_f1(given, right):
    named = [[(i, code) for i, each in enumerate(sets) for code in each] for sets in (given, right)]
    return 2 * len(set(named[0]).intersection(named[1])) / (len(named[0]) + len(named[1]))


def route(codes, sure, known, automatic, human):
    if any(code not in known for code in codes) or sure < human:
        return "human"
    return ("checked", "automatic")[sure >= automatic]


def loss_of_all(sums, counts):
    return np.sum(sums) / np.sum(counts)


def win_rate(a, b):
    wins = np.array(b) > np.array(a)
    ties = np.array(b) == np.array(a)
    return np.mean(wins + ties / 2)


def advantages(rewards):
    rewards = np.array(rewards)
    return (rewards - rewards.mean()) / (rewards.std(ddof=1) + 1e-4)


def kept_and_right(agreeing, right, least):
    kept = np.array(agreeing) >= least
    return kept.mean(), np.array(right)[kept].mean() if kept.any() else 0


def taken_over(student, teacher, reference):
    student, teacher, reference = map(np.array, (student, teacher, reference))
    wrong = teacher != reference
    return (student == teacher)[wrong].mean() if wrong.any() else 0


def asked_and_answer(row, asked, answered):
    texts = [row.get(key) for key in [*asked, answered]]
    if None in texts or "" in texts:
        raise ValueError("missing")
    *questions, answer = texts
    return "\n".join(map(str, questions)), answer if isinstance(answer, str) else json.dumps(answer)


def rows_to_label(n, detectable, gain):
    return max(0, math.ceil(round(n * detectable**2 / gain**2, 6)) - n)


def false_alarm_in_a_year(level, signals, months):
    quiet = 1
    for _ in range(signals * months):
        quiet *= 1 - level
    return 1 - quiet


def invented_numbers(message, reply):
    asked = set(re.split(r"\D+", message))
    return [each for each in re.split(r"\D+", reply) if each and each not in asked]


def kappa(one, two):
    labels = sorted({*one, *two})
    table = np.array([[sum(x == a and y == b for x, y in zip(one, two, strict=True)) for b in labels] for a in labels])
    chance = (table.sum(0) @ table.sum(1)) / len(one) ** 2
    return (np.trace(table) / len(one) - chance) / (1 - chance)


def usd_a_call(training_usd, calls_a_day, days_left):
    return None if days_left == 0 else training_usd / days_left / calls_a_day


def has_no_answer(row):
    named = [turn["tool_call_id"] for turn in row["messages"] if turn["role"] == "tool"]
    before = row["messages"][:-1]
    return any(call["id"] not in named for turn in before for call in turn.get("tool_calls") or ())


def strongest_rival():
    return "linear"


SOLUTIONS = {
    check_strongest_rival: strongest_rival,
    check_relative_change: relative_change, check_dpo_loss: dpo_loss, check_break_even: break_even,
    check_field_accuracy: field_accuracy, check_recall_at_k: recall, check_hallucination_rate: hallucination_rate,
    check_luhn: luhn, check_is_leak: is_leak,
    check_rows_needed: rows_needed, check_response_mask: response_mask, check_steps: steps, check_wilson: wilson,
    check_stops_and_keeps: stops_and_keeps, check_steps_lost: steps_lost,
    check_adapter_numbers: adapter_numbers, check_merged: merged, check_quantise: quantise,
    check_training_gib: training_gib, check_payback_months: payback_months,
    check_usd_a_call: usd_a_call, check_has_no_answer: has_no_answer,
    check_win_rate: win_rate, check_advantages: advantages,
    check_rows_a_step: rows_a_step, check_loss_of_all: loss_of_all,
    check_micro_f1: micro_f1, check_route: route,
    check_kept_and_right: kept_and_right, check_taken_over: taken_over,
    check_false_alarm_in_a_year: false_alarm_in_a_year,
    check_invented_numbers: invented_numbers, check_kappa: kappa,
    check_asked_and_answer: asked_and_answer, check_rows_to_label: rows_to_label,
}  # fmt: skip
SOLVED = pytest.mark.parametrize(("check", "solution"), SOLUTIONS.items(), ids=lambda each: getattr(each, "name", ""))


def blank(*args):
    """What a stub leaves."""
    ...  # noqa: PIE790


def raises_not_implemented(*args):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("check", "wrong", "hint"),
    [
        (check_field_accuracy, lambda p, r: sum((p or {}).get(k) == v for k, v in r.items()) / 4, "get answers None"),
        (check_steps, lambda r, e, b, a: int(e * (r // (b * a))), "floor division"),
        (check_wilson, lambda k, n: wilson(k, n, 1.645), "90 %"),
        (check_training_gib, lambda f, w, t: (f * w + t * 8) / 2**30, "Adam's two states"),
        (check_usd_a_call, lambda usd, calls, days: usd / calls, "spread over one day"),
        (check_usd_a_call, lambda usd, calls, days: usd / calls / 365, "not a year"),
        (check_has_no_answer, lambda row: "tool" not in [t["role"] for t in row["messages"]], "whether there is any"),
        (check_has_no_answer, lambda row: len(json.dumps(row).split('"id"')) != len(json.dumps(row).split("call_id")),
         "compared the counts"),
        (check_strongest_rival, lambda: "constrained", "took the best prompt"),
        (check_strongest_rival, lambda: "fine_tuned".replace("_", " "), "fine-tune itself"),
    ],
)
def test_a_learners_own_way_to_a_mistake_is_recognised(check, wrong, hint):
    grade = check.grade(wrong)
    assert grade.status == "wrong"
    assert hint in grade.message.split("Looks as if")[1]
    assert "because" in grade.message


@pytest.mark.parametrize("check", [check_luhn, check_is_leak], ids=lambda check: check.name)
def test_the_same_answer_to_everything_is_wrong(check):
    assert check.grade(lambda *_: True).status == check.grade(lambda *_: False).status == "wrong"


def test_a_wrong_answer_shows_got_expected_call_and_reason():
    grade = check_steps.grade(lambda *args: 777)
    assert grade.status == "wrong"
    for part in ("got       777", "expected  8", "(64, 1, 8, 1)", "because   64 rows", "0 of 6 cases agree"):
        assert part in grade.message
    assert "Looks as if" not in grade.message, "an unknown mistake must not get a made-up hint"


def test_early_stopping_is_that_of_transformers():
    from transformers import EarlyStoppingCallback, TrainerControl, TrainerState, TrainingArguments

    arguments = TrainingArguments(metric_for_best_model="eval_loss", greater_is_better=False, eval_strategy="steps",
                                  load_best_model_at_end=True, save_strategy="steps", report_to="none")  # fmt: skip
    for (losses, patience), _ in check_stops_and_keeps.trials:
        callback, state, control = EarlyStoppingCallback(patience), TrainerState(), TrainerControl()
        for place, loss in enumerate(losses):
            callback.on_evaluate(arguments, state, control, metrics={"eval_loss": loss})
            if state.best_metric is None or loss < state.best_metric:  # the trainer's own rule, after its callbacks
                state.best_metric, kept = loss, place
            if control.should_training_stop:
                break
        assert (place, kept) == check_stops_and_keeps.solution(losses, patience)


def test_numbers_are_shown_with_four_digits():
    message = check_wilson.grade(lambda k, n: (0.123456, 0.2)).message
    assert "got       (0.1235, 0.2000)" in message
    assert "expected  (0.4618, 0.7239)" in message


@pytest.mark.parametrize(
    ("unfinished", "told"),
    [
        (lambda p, r: 1 / 0, "raised    ZeroDivisionError: division by zero"),
        (lambda p, r: None if p is None else field_accuracy(p, r), "nothing (no return?)"),
    ],
)
def test_an_error_or_a_missing_answer_is_told_and_wrong(unfinished, told):
    grade = check_field_accuracy.grade(unfinished)
    assert grade.status == "wrong"
    assert told in grade.message


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


# ---- all exercises of the course, whatever their form


def checks() -> dict[str, list[Exercise]]:
    """Every check_* of ftlab.exercises by its name: one exercise, or those of a part of the exam or of notebook 08."""
    found = {}
    for path in sorted((ROOT / "ftlab/exercises").glob("[a-z]*.py")):
        module = importlib.import_module(f"ftlab.exercises.{path.stem}")
        for name, value in vars(module).items():
            if name.startswith("check_") and isinstance(value, Exercise | dict):
                found[name] = list(value.values()) if isinstance(value, dict) else [value]
    museum = importlib.import_module("ftlab.exercises.museum")
    return found | {"check_diagnosis": [museum.check_of(letter) for letter in museum.CASES]}


CHECKS = checks()
EACH = [each for several in CHECKS.values() for each in several]
SOURCES = {path.stem: path for path in sorted((ROOT / "notebooks/src").glob("[0-9]*.py"))}


@pytest.mark.parametrize("check", EACH, ids=lambda check: check.name)
def test_each_is_open_when_blank_solved_by_its_solution_and_tells_two_mistakes_apart(check):
    for stub in (blank, raises_not_implemented, lambda *args: ..., ..., None):
        assert check.grade(stub).status == "not solved yet"
    assert check.grade(check.solution).status == "solved"
    told = {hint for mistake, hint in check.mistakes if check.grade(mistake).message.endswith(f"Looks as if {hint}")}
    assert told == {hint for _, hint in check.mistakes}
    assert len(told) >= 2


def imported(source: str) -> list[str]:
    """The checks that a notebook imports."""
    lines = "\n".join(re.findall(r"^from ftlab\.exercises\.\w+ import (.*)", source, re.MULTILINE))
    return [name for name in re.findall(r"check_\w+", lines) if name != "check_each"]


IMPORTED = {stem: imported(path.read_text(encoding="utf-8")) for stem, path in SOURCES.items()}


@pytest.mark.parametrize("name", CHECKS)
def test_each_check_is_run_by_one_notebook_and_named_in_the_tests(name):
    assert sum(names.count(name) for names in IMPORTED.values()) == 1
    tests = [path for path in (ROOT / "tests").glob("test_*.py") if re.search(rf"\b{name}\b", path.read_text("utf-8"))]
    assert tests


def test_no_notebook_has_an_exercise_without_a_check():
    exercises = {each.name: each.exercises for each in course_table.notebooks(ROOT)}
    assert {stem: len(names) for stem, names in IMPORTED.items()} == exercises
    assert all(exercises.values()), "every notebook has one"


# ---- levels


def solution_of(source: str) -> list[ast.stmt]:
    """The statements between the marks of a cell, without imports."""
    text = textwrap.dedent(re.search(r"# solution\n(.*?)\n\s*# end solution", source, re.DOTALL)[1])
    body = ast.parse("def f():\n" + textwrap.indent(text, "    ")).body[0].body
    return [each for each in body if not isinstance(each, ast.Import | ast.ImportFrom)]


def leveled() -> list:
    """(notebook, level or None, statements of the solution) of each exercise."""
    found = []
    for stem, path in SOURCES.items():
        level = None
        for cell in notebook_source.read_source(path).notebook.cells:
            marks = course_table.LEVEL.findall(cell.source) if cell.cell_type == "markdown" else []
            assert len(marks) <= 1, f"{stem}: two exercises in one cell of text"
            level = int(marks[0]) if marks else level
            if "exercise" in cell.metadata.get("tags", []):
                found.append(pytest.param(level, solution_of(cell.source), id=f"{stem}-{cell.metadata['source_line']}"))
                level = None
    return found


LEVELED = leveled()


@pytest.mark.parametrize(("level", "statements"), LEVELED)
def test_each_exercise_says_its_level_which_is_what_it_asks(level, statements):
    assert level in (1, 2, 3), "write **Exercise (level N).** before it; 00 says what the levels are"
    if level == 1:
        assert {type(each) for each in statements} <= {ast.Return, ast.Assign}
        values = [node for each in statements for node in ast.walk(each) if isinstance(node, ast.Call | ast.BinOp)]
        assert values == [], "to read is not to compute"
    if level == 2:
        assert len(statements) <= 2


def test_every_level_has_exercises_and_00_says_what_they_are():
    assert {param.values[0] for param in LEVELED} >= {1, 2, 3}
    text = re.sub(r"\s*\n# ", " ", SOURCES["00_start_here"].read_text())
    for level in ("Level 1 is to read", "level 2 is a line or two", "level 3 is to build"):
        assert level in text


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [(64, 1, 8, 1), (100, 3, 8, 4), (5, 2, 8, 4), (100, 0.5, 8, 1), (13, 2, 3, 2)]
)
def test_the_rule_for_steps_is_the_trainers(arguments, tmp_path):
    import torch
    from transformers import Trainer, TrainingArguments

    rows, epochs, batch, accumulation = arguments
    settings = TrainingArguments(tmp_path, num_train_epochs=epochs, per_device_train_batch_size=batch,
                                 gradient_accumulation_steps=accumulation, use_cpu=True, report_to=[])  # fmt: skip
    dataset = [{"x": torch.zeros(1)} for _ in range(rows)]
    trainer = Trainer(model=torch.nn.Linear(1, 1), args=settings, train_dataset=dataset)
    values = trainer.set_initial_training_values(settings, trainer.get_train_dataloader())
    assert steps(*arguments) == values[-1]
