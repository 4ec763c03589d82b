"""The judging of a run: scores of every system's answers, comparisons, the verdict, as one report."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ftlab.baselines.prompting import Candidate, Prompt, input_and_answer, text_of
from ftlab.evaluation.answers import KINDS, Scores, score
from ftlab.evaluation.gate import Gate, agree_on, decide_gate
from ftlab.evaluation.generation import Generations
from ftlab.evaluation.metrics import probe_scores, row_id
from ftlab.evaluation.report import Report, SystemResult, pick_examples
from ftlab.evaluation.statistics import Comparison, Interval, compare, present_interval, score_interval
from ftlab.training.data import Data, answers_of
from ftlab.training.recipe import Recipe

SIMPLE = ("majority", "copy", "nearest", "linear", "head")  # systems without a language model that is asked
Answers = dict[str, Generations]  # of a system, to each test set


@dataclass(frozen=True)
class Prompts:
    """The best prompt of each kind, all that were tried by kind, and the values that answers are held to, if any.

    The values are those of each field of a record, or the labels.
    """

    best: dict[str, Prompt]
    tried: list[tuple[str, Candidate]]
    allowed: dict | list[str] | None


def judge(
    recipe: Recipe,
    data: Data,
    prompts: Prompts,
    systems: dict[str, Answers],
    tuned: dict[int, Answers],
    probes: tuple[list[str], dict[int, list[str]]],
) -> Report:
    """Scores, comparisons and the verdict.

    `systems` holds the answers of each untrained system to each test set, `tuned` those after training by seed,
    `probes` the plain answers to the probe before, and after by seed. The mean over the seeds, example by example, is
    compared; then each seed alone.
    """
    metric, groups = recipe.bars.metric, data.groups.get("test")
    ranked = sorted(prompts.tried, key=lambda pair: -pair[1].metrics[metric].value)
    order = [*(kind for kind, _ in ranked), "constrained", "base"]  # the first that could answer
    baseline = next(name for name in order if name in systems)
    systems = {name: [answers] for name, answers in systems.items()} | {"fine_tuned": list(tuned.values())}
    scores = {name: [scored(data, each) for each in trainings] for name, trainings in systems.items()}
    values = {name: mean_values(each, "test", metric) for name, each in scores.items()}
    against = partial(compare, alpha=recipe.bars.alpha, metric=metric, groups=groups)

    def verdict(after: np.ndarray, after_probe: list[list[str]]) -> tuple[Comparison, dict, dict, Gate]:
        others = [name for name in values if name not in ("fine_tuned", baseline)]
        simpler = [name for name in others if name in SIMPLE or values[name].mean() > after.mean()]
        comparison, rivals = against(values[baseline], after), {name: against(values[name], after) for name in simpler}
        lost = probe_comparisons(recipe, data, probes[0], after_probe)
        return comparison, rivals, lost, decide_gate(comparison, lost, recipe.bars, rivals)

    comparison, rivals, lost, gate = verdict(values["fine_tuned"], list(probes[1].values()))
    by_seed, gates = [], {}
    for seed, each in zip(tuned, scores["fine_tuned"], strict=True) if len(tuned) > 1 else ():
        alone, _, _, gates[seed] = verdict(each["test"].values(metric), [probes[1].get(seed, [])])
        by_seed.append({"seed": seed, metric: alone.b, "comparison": alone, "verdict": gates[seed].verdict})
    return Report(
        task=recipe.task,
        answer=data.kind,
        n=len(data.tests["test"].rows),
        seeds=recipe.all_seeds,
        systems={
            name: system_result(prompts.best.get(name), [each["test"] for each in systems[name]], scores[name], metric,
                                data.groups)
            for name in systems
        },
        baseline=baseline,
        candidate="fine_tuned",
        comparison=comparison,
        gate=agree_on(gate, gates),
        by_seed=by_seed,
        probes=lost,
        rivals=rivals,
        details=scores["fine_tuned"][0]["test"].table() if data.kind != "record" else None,
        prompt_search=[searched(kind, candidate, (KINDS[data.kind][0], metric)) for kind, candidate in ranked],
        examples=examples(data, {name: each[0]["test"].texts for name, each in systems.items()},
                          values[baseline], values["fine_tuned"]),
    )  # fmt: skip


def examples(data: Data, texts: dict[str, Sequence[str]], before: np.ndarray, after: np.ndarray) -> list[dict]:
    """Test rows to read, with what each system answered."""
    test = data.tests["test"].rows
    ids = [row_id(row, index) for index, row in enumerate(test)]
    asked = [text_of(input_and_answer(row)[0]) for row in test]
    return pick_examples(ids, asked, data.references["test"], texts, before, after)


def scored(data: Data, answers: Answers) -> dict[str, Scores]:
    """The scores of answers to each test set."""
    labels = answers_of(data.train.rows) if data.kind in ("label", "labels") else None
    return {
        part: score(data.kind, out.texts, data.references[part], data.schema, labels) for part, out in answers.items()
    }


def mean_values(trainings: Sequence[dict[str, Scores]], part: str, metric: str) -> np.ndarray:
    """The mean of the trainings' scores, example by example."""
    return np.mean([scores[part].values(metric) for scores in trainings], axis=0)


def probe_comparisons(recipe: Recipe, data: Data, before: list[str], after: list[list[str]]) -> dict[str, Comparison]:
    """Before and after training on the probe, if there is one; the mean of the trainings after."""
    if not data.probe.rows:
        return {}
    rows = data.probe.rows
    kept = np.mean([probe_scores(texts, rows) for texts in after], axis=0)
    return {"general skills": compare(probe_scores(before, rows), kept, alpha=recipe.bars.alpha)}


def system_result(
    prompt: Prompt | None,
    outs: Sequence[Generations],
    scores: Sequence[dict[str, Scores]],
    metric: str,
    groups: dict[str, list[str]],
) -> SystemResult:
    """One row of the report: `outs` on the test set, `scores` on each set, of each of the system's trainings."""
    wording = json.dumps(replace(prompt, pick=None).messages("{text}"), indent=1) if prompt else None
    if prompt and prompt.pick:
        wording += f"\nBefore the last turn: the {prompt.pick.k} solved training rows that are most like it."
    first = scores[0]["test"]

    def seen(part: str, name: str) -> Interval:
        return score_interval(mean_values(scores, part, name), groups.get(part))

    return SystemResult(
        metrics={name: seen("test", name) for name in first.metrics},
        fields={field: present_interval(np.mean([each["test"].field_values()[field] for each in scores], axis=0),
                                        groups.get("test"))
                for field in first.field_values()},
        tokens_per_call=float(np.mean([out.tokens_per_call for out in outs])),
        seconds_per_call=float(np.mean([out.seconds_per_call for out in outs])),
        cut_off=sum(out.cut_off for out in outs),
        prompt=wording,
        slices={part: seen(part, metric) for part in scores[0] if part != "test"},
    )  # fmt: skip


def searched(kind: str, candidate: Candidate, metrics: Sequence[str]) -> dict:
    """A prompt of the search as the report lists it."""
    levels = {name: candidate.metrics[name] for name in dict.fromkeys(metrics)}
    return {"name": candidate.prompt.name, "kind": kind, **levels, "tokens_per_call": candidate.tokens_per_call}
