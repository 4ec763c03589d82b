"""Notebook 08: the recorded trainings with a planted fault, and the exercise that shows them without their names."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import yaml
from scipy.stats import t

from ftlab.data.splits import group_of
from ftlab.evaluation.metrics import RecordScores, probe_scores, score_records
from ftlab.evaluation.statistics import Interval, paired_wald, variance_of_mean
from ftlab.exercises.engine import Exercise, Grade
from ftlab.models import data_folder

RECORDED = data_folder() / "recorded"
RECORD = RECORDED / "museum"
PROBED = 9  # every ninth everyday question was asked


# --- what is recorded


def read_lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@cache
def results(name: str = "museum") -> dict:
    """results.json of a record."""
    return json.loads((RECORDED / name / "results.json").read_text(encoding="utf-8"))


def trainings_of(arm: str) -> dict[int, dict]:
    """Seed -> what the recorded training told; empty where none is recorded."""
    found = results()["points"]
    return {seed: found[f"{arm}_{seed}"] for seed in (1, 2, 3) if f"{arm}_{seed}" in found}


def rows_of(part: str) -> list[dict]:
    """Tickets of the workbench: train, again, fresh, validation; or the rows of a faulty training."""
    return read_lines(RECORD / f"{part}.jsonl")


def texts_of(point: str, part: str = "fresh") -> list[str]:
    """A point's answers to the tickets of a part, or to the everyday questions (probe)."""
    return [line["prediction"] for line in read_lines(RECORD / "predictions" / point / f"{part}.jsonl")]


def team_of(row: dict) -> str:
    return row["messages"][-1]["content"]


def right(arm: str, part: str = "fresh") -> np.ndarray:
    """1 for each right answer, else 0; shape (seeds, tickets)."""
    rows = rows_of("fresh" if arm == "otherwise" else part)
    given = [zip(texts_of(f"{arm}_{seed}", part), rows, strict=False) for seed in trainings_of(arm)]
    return np.array([[float(text.strip() == team_of(row)) for text, row in pairs] for pairs in given])


def everyday(point: str) -> np.ndarray:
    """1 for each everyday question that was answered right, else 0."""
    questions = read_lines(data_folder() / "probes" / "everyday.jsonl")[::PROBED]
    return probe_scores(texts_of(point, "probe"), questions)


@cache
def asked_of_data() -> list[dict]:
    """The test tickets that the trainings of the record `data` were asked."""
    first = next((RECORDED / "data" / "predictions").iterdir())
    return read_lines(data_folder() / "support_triage/test.jsonl")[: len(read_lines(first / "test.fine_tuned.jsonl"))]


@cache
def scored_by(point: str) -> RecordScores:
    """The scores of a training of the record `data`, ticket by ticket."""
    texts = [line["prediction"] for line in read_lines(RECORDED / f"data/predictions/{point}/test.fine_tuned.jsonl")]
    schema = json.loads((data_folder() / "support_triage/schema.json").read_text(encoding="utf-8"))
    return score_records(texts, [json.loads(team_of(row)) for row in asked_of_data()], schema=schema)


def patterns() -> list[str]:
    """The phrasing of the issue in each of these tickets: those that share it are right or wrong together."""
    schema = json.loads((data_folder() / "support_triage/schema.json").read_text(encoding="utf-8"))
    issues = rf"\w+\.(?:{'|'.join(schema['properties']['queue']['enum'])})\.\d+"
    return [group_of(row, "pattern", issues) for row in asked_of_data()]


def customers_of(part: str) -> list[str]:
    """Who wrote each ticket of a part: one customer's tickets are right or wrong together."""
    return [row["customer"] for row in rows_of(part)]


def against(scores: np.ndarray, others: np.ndarray, same: bool = False) -> Interval:
    """How much more the first are right, on the same tickets; its interval holds customers and seeds.

    Two-way analysis of variance: that over customers of the seeds' mean, and that over seeds of the customers' mean,
    less what both hold (Searle, Casella and McCulloch 1992, Variance Components), with Student's t by Satterthwaite. A
    kind with one training adds nothing for seeds: nobody knows how far its next seed would lie. `same`: row for row the
    same training, asked in two ways, so that what varies over seeds is their difference.
    """
    others, groups = others[:, : scores.shape[1]], customers_of("fresh")[: scores.shape[1]]
    found, few = paired_wald(others.mean(0), scores.mean(0), groups=groups), len(set(groups)) - 1
    over_customers = [(((found.high - found.low) / 2 / t.ppf(0.975, few)) ** 2, few)]
    several = [scores - others] if same else [scores, others]
    seeds = [_over_seeds(each, groups) for each in several if len(each) > 1]
    return _added(found.value, (found.low + found.high) / 2, over_customers, seeds, scores.shape[1])


def between(part: str, other: str, arm: str = "good") -> Interval:
    """How much more of one part than of another, of other customers, the same trainings have right; as `against`."""
    scores, others = right(arm, part), right(arm, other)
    asked = [(scores, customers_of(part)), (others, customers_of(other))]
    over_customers = [(variance_of_mean(each.mean(0), groups)[0], len(set(groups)) - 1) for each, groups in asked]
    difference = scores.mean(1) - others.mean(1)
    shared = sum(_over_seeds(each, groups)[2] for each, groups in asked) if len(difference) > 1 else 0.0
    seeds = [(float(difference.var(ddof=1)) / len(difference), len(difference) - 1, shared)] if shared else []
    value = float(difference.mean())
    return _added(value, value, over_customers, seeds, scores.shape[1])


def _over_seeds(scores: np.ndarray, groups: list[str]) -> tuple[float, int, float]:
    """Of several trainings: squared standard error of their mean, degrees of freedom, and what customers hold of it."""
    who = np.array(groups)
    means = np.array([[row[who == name].mean() for name in sorted(set(groups))] for row in scores])
    rest = means - means.mean(0) - means.mean(1, keepdims=True) + means.mean()
    few, customers = len(scores) - 1, means.shape[1]
    shared = float((rest**2).sum()) / few / (customers - 1) / means.size
    return float(scores.mean(1).var(ddof=1)) / len(scores), few, shared


def _added(value: float, centre: float, over_customers: list, over_seeds: list, n: int) -> Interval:
    """The interval of the variances together, and never less than the customers' alone."""
    least = sum(each for each, _ in over_customers)
    parts = [*over_customers, *((each, few) for each, few, _ in over_seeds)]
    whole = sum(each for each, _ in parts)
    variance = max(least, whole - sum(shared for *_, shared in over_seeds))
    freedom = whole**2 / sum(each**2 / few for each, few in parts)
    half = float(t.ppf(0.975, freedom)) * variance**0.5
    low, high = max(-1.0, min(value, centre - half)), min(1.0, max(value, centre + half))
    counted = "customers and seeds" if over_seeds else "customers"
    return Interval(value, low, high, n, f"{counted}, t with {freedom:.1f} degrees of freedom")


def in_points(difference: Interval) -> str:
    return f"{100 * difference.value:+.1f} [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"


def made_by(name: str = "museum", *arms: str) -> str:
    """The command that makes a record anew, or some trainings of this one, with their seeds and minutes."""
    found = results(name)
    if not arms:
        chosen, seeds, minutes = "", "one training each", found["minutes_by_machine"]
    else:
        points = [point for arm in arms for point in (arm, *(f"{arm}_{seed}" for seed in (1, 2, 3)))
                  if point in found["points"]]  # fmt: skip
        minutes, chosen = {}, f" --only {' '.join(points)}"
        for told in map(found["points"].get, points):
            minutes[told["machine"]] = minutes.get(told["machine"], 0) + told["minutes"]
        counts = sorted({len(trainings_of(arm)) for arm in arms if trainings_of(arm)})
        seeds = f"seeds of each: {' or '.join(map(str, counts))}" if counts else "no training in it"
    told = " and ".join(f"{count:.0f} minutes on {machine}" for machine, count in minutes.items())
    return f"{seeds}; {told}; again: {found['command']} --again{chosen} --publish"


# --- the cases of the exercise: real runs, without their names

@dataclass(frozen=True)
class Exhibit:
    """A run without its name: what is shown of it, its fault, why it is that, and what to say to other guesses."""

    fault: str
    shown: list[str]  # a function of WAYS and its arguments
    why: str
    not_it: dict[str, str]
    needs: Sequence[str] = ()  # points of the record

    def symptoms(self) -> tuple[list[str], list[dict]]:
        """Lines to print, and the log of its losses, where there is one."""
        way, *arguments = self.shown
        return WAYS[way](*arguments)


_TEXTS = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
FAULTS: dict[str, str] = _TEXTS["faults"]
CASES = {letter: Exhibit(**case) for letter, case in _TEXTS["cases"].items()}


def said(rows: list[dict], texts: list[str], count: int = 5) -> list[str]:
    """The first answers, below their tickets."""
    return [f"  {row['messages'][1]['content']}\n      answers {text!r}, right is {team_of(row)!r}"
            for row, text in zip(rows[:count], texts, strict=False)]  # fmt: skip


def rate_of(scores) -> str:
    return f"{int(np.sum(scores))} of {np.size(scores)}"


def training(arm: str, trained: str = "train") -> tuple[list[str], list[dict]]:
    """What a training on the workbench shows: seed 1."""
    point, rows = trainings_of(arm)[1], ordered(rows_of(trained))
    customers = len({row["customer"] for row in rows})
    lines = [f"trained on {point['rows']} rows of {customers} customers in {point['steps']} steps, among them"]
    lines += [f"  {row['messages'][1]['content'][:100]} -> {team_of(row)}" for row in rows[:8]]
    lines += [f"tickets of new customers: {rate_of(right(arm)[0])} right, {point['asked']['fresh']['cut_off']} cut off"]
    return [*lines, *said(rows_of("fresh"), texts_of(f"{arm}_1"))], point["log"]


def ordered(rows: list[dict]) -> list[dict]:
    """Those that stand there more than once first, one beside the other."""
    texts = [row["messages"][1]["content"] for row in rows]
    return sorted(rows, key=lambda row: (-texts.count(row["messages"][1]["content"]), row["messages"][1]["content"]))


def two_tests() -> tuple[list[str], list[dict]]:
    tested, used = (rate_of(right("good", part)[0]) for part in ("again", "fresh"))
    lines = [f"test file: {tested} right; tickets of the first week in use: {used}"]
    again, fresh = rows_of("again"), rows_of("fresh")
    for name, rows in (("trained on", rows_of("train")), ("test file", again), ("first week", fresh)):
        chosen = sorted(rows, key=lambda row: row["customer"])[:4]
        lines += [f"{name}:", *(f"  {row['customer']}: {row['messages'][1]['content'][:100]}" for row in chosen)]
    return lines, []


def served(way: str) -> tuple[list[str], list[dict]]:
    rows, asked = rows_of("fresh"), right("otherwise", way)[0]
    lines = [f"in the evaluation: {rate_of(right('good')[0][: len(asked)])} right; as a server asks: {rate_of(asked)}"]
    lines += ["the same weights, the same tickets:", *said(rows, texts_of("otherwise_1", way))]
    return lines, []


def before_and_after() -> tuple[list[str], list[dict]]:
    asked = read_lines(data_folder() / "probes" / "everyday.jsonl")[::PROBED]
    was, now = (texts_of(point, "probe") for point in ("base", "good_1"))
    lines = [f"tickets of new customers: {rate_of(right('good')[0])} right", "asked something else, before and after:"]
    for row, a, b in list(zip(asked, was, now, strict=True))[:5]:
        lines += [f"  {row['messages'][-2]['content'][:100]}", f"      {a[:80]!r}", f"      {b[:80]!r}"]
    return lines, []


def invented() -> tuple[list[str], list[dict]]:
    texts = {line["id"]: line["prediction"] for line in read_lines(RECORDED / "facts/predictions/documents.jsonl")}
    rows = [row for row in read_lines(data_folder() / "product_facts/test.jsonl") if row["id"] in texts]
    lines = ["trained on 299 documents about products, eight times; asked about them:"]
    for row in [row for row in rows if row["kind"] == "taught"][:5]:
        lines += [
            f"  {row['messages'][-2]['content']}",
            f"      answers {texts[row['id']]!r}, right is {team_of(row)!r}",
        ]
    log = results("facts")["chosen_between"]["documents_0.001_8"]
    return [*lines, f"{log['steps']} steps; right on validation questions: {log['validation']:.0%}"], []


def more_points() -> tuple[list[str], list[dict]]:
    found, lines = results("preferences")["points"], []
    for name, arm in (("before", "sft"), ("after", "other_rate")):
        seen = found[arm]["test"]
        points = f"{seen['points']:.2f} points from the checker (0 to 1), {seen['words']:.0f} words"
        lines += [f"{name}: {points}, says what the customer's matter needs: {seen['deed_fits']:.0%}"]
    texts = read_lines(RECORDED / "preferences/predictions/other_rate/test.jsonl")
    return [*lines, "answers after:", *(f"  {line['prediction']}" for line in texts[:5])], []


def full_memory() -> tuple[list[str], list[dict]]:
    lines = ["evaluations with compute_metrics, each longer than the one before; the memory of the process:"]
    for each in results()["points"]["memory"]["evaluations"]:
        lines.append(
            f"  {each['rows']} rows: {each['before_mib']:,} MiB before, {each['after_mib']:,} MiB after the last row"
        )
    return [*lines, "  the one that is planned has 2,000 rows, and the machine 8,192 MiB"], []


WAYS = {way.__name__: way for way in
        (training, two_tests, served, before_and_after, invented, more_points, full_memory)}  # fmt: skip


def letters() -> list[str]:
    """The cases whose runs are recorded."""
    return [letter for letter, case in CASES.items() if set(case.needs) <= set(results()["points"])]


def show_losses(arm: str, name: str = "The good training") -> None:
    """The losses of an arm's first recorded training, as a figure."""
    if told := trainings_of(arm):
        _show_log(name, told[min(told)]["log"])


def show_case(letter: str) -> None:
    """Print what is seen of a case, with its losses as a figure where it has some."""
    lines, log = CASES[letter].symptoms()
    print(f"Case {letter}", *lines, sep="\n")
    if log:
        _show_log(f"Case {letter}", log)


def _show_log(name: str, log: list[dict]) -> None:
    from ftlab.plots import loss_alt, loss_figure, show

    show(loss_figure(log), f"{name}. {loss_alt(log)}")


class UntoldExercise(Exercise):
    """An exercise whose answer is told to those who have it: one wrong guess would give it away."""

    def grade(self, fn: Callable) -> Grade:
        """The grade; of a wrong guess without what was expected, of the right one with the reason."""
        grade = super().grade(fn)
        if grade.status == "solved":
            return replace(grade, message=f"  because   {self.trials[0][1]}")
        kept = [line for line in grade.message.splitlines() if not line.startswith(("  expected", "  because"))]
        return replace(grade, message="\n".join(kept))


def check_of(letter: str) -> Exercise:
    """The check of one case: it is called with a function from a letter to a fault."""
    case = CASES[letter]
    hints = [(partial(lambda guess, asked: guess, guess), f"you take it for {guess!r}. {hint[0].upper()}{hint[1:]}")
             for guess, hint in case.not_it.items()]  # fmt: skip
    solution, trials = partial(lambda fault, asked: fault, case.fault), [((letter,), case.why)]
    return UntoldExercise(f"case {letter}", solution, trials, hints)


def check_diagnosis(fault_of: Callable[[str], str]) -> None:
    """The grade of every case that is there."""
    for letter in letters():
        check_of(letter)(fault_of)
