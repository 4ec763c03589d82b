"""The judging of a run: scores of every system's answers, comparisons, the verdict, as one report."""

import json
from dataclasses import dataclass, replace

from ftlab.baselines.prompting import Candidate, Prompt, input_and_answer
from ftlab.evaluation.gate import decide_gate
from ftlab.evaluation.generation import Generations
from ftlab.evaluation.metrics import RecordScores, exact_text, plain_answer, row_id, score_records
from ftlab.evaluation.report import Report, SystemResult, pick_examples
from ftlab.evaluation.statistics import Comparison, compare
from ftlab.training.data import Data, Part, answers_of
from ftlab.training.recipe import Recipe


@dataclass(frozen=True)
class Prompts:
    """The best prompt of each kind, all that were tried by kind, and the values that answers are held to, if any."""

    best: dict[str, Prompt]
    tried: list[tuple[str, Candidate]]
    fields: dict | None


def judge(recipe: Recipe, data: Data, prompts: Prompts, systems: dict, probes: dict) -> Report:
    """Scores, comparisons and the verdict; `systems` holds the answers of each system to each test set."""
    metric, alpha = recipe.bars.metric, recipe.bars.alpha
    scores = {
        name: {part: score_records(out.texts, data.references[part], schema=data.schema) for part, out in parts.items()}
        for name, parts in systems.items()
    }
    values = {name: getattr(parts["test"], metric) for name, parts in scores.items()}
    ranked = sorted(prompts.tried, key=lambda pair: -pair[1].metrics[metric].value)
    baseline = ranked[0][0] if ranked else "base"
    tuned = values["fine_tuned"]
    comparison = compare(values[baseline], tuned, alpha=alpha, metric=metric)
    prompted = [name for name in values if name not in ("linear", "fine_tuned", baseline)]
    better = [name for name in prompted if values[name].mean() > tuned.mean()]  # validation had chosen too low
    simpler = [*(["linear"] if "linear" in values else []), *better]
    rivals = {name: compare(values[name], tuned, alpha=alpha, metric=metric) for name in simpler}
    test = data.tests["test"].rows
    return Report(
        task=recipe.task,
        answer=recipe.answer,
        n=len(test),
        seeds=[recipe.seed],
        systems={
            name: system_result(prompts.best.get(name), out["test"], scores[name], metric)
            for name, out in systems.items()
        },
        baseline=baseline,
        candidate="fine_tuned",
        comparison=comparison,
        gate=decide_gate(comparison, probes, recipe.bars, rivals),
        probes=probes,
        rivals=rivals,
        prompt_search=[searched(kind, candidate, metric) for kind, candidate in ranked],
        examples=pick_examples(
            [row_id(row, index) for index, row in enumerate(test)],
            [input_and_answer(row)[0] for row in test],
            data.references["test"],
            {name: out["test"].texts for name, out in systems.items()},
            values[baseline],
            tuned,
        ),
    )


def probe_comparisons(recipe: Recipe, probe: Part, before: list[str], after: list[str]) -> dict[str, Comparison]:
    """Before and after training on the probe, if there is one."""
    if not probe.rows:
        return {}
    right = list(map(plain_answer, answers_of(probe.rows)))
    return {
        "general skills": compare(exact_text(before, right), exact_text(after, right), alpha=recipe.bars.alpha)
    }


def system_result(
    prompt: Prompt | None, out: Generations, scores: dict[str, RecordScores], metric: str
) -> SystemResult:
    """One row of the report: `out` on the test set, `scores` on each set."""
    summary = scores["test"].summary()
    wording = json.dumps(replace(prompt, pick=None).messages("{text}"), indent=1) if prompt else None
    if prompt and prompt.pick:
        wording += f"\nBefore the last turn: the {prompt.pick.k} solved training rows that are most like it."
    return SystemResult(
        metrics={name: summary[name] for name in ("field_accuracy", "exact_match", "valid_json")},
        fields=scores["test"].field_table(),
        tokens_per_call=out.tokens_per_call,
        seconds_per_call=out.seconds_per_call,
        prompt=wording,
        slices={part: each.summary()[metric] for part, each in scores.items() if part != "test"},
    )


def searched(kind: str, candidate: Candidate, metric: str) -> dict:
    """A prompt of the search as the report lists it."""
    levels = {name: candidate.metrics[name] for name in dict.fromkeys(("field_accuracy", metric))}
    return {"name": candidate.prompt.name, "kind": kind, **levels, "tokens_per_call": candidate.tokens_per_call}
