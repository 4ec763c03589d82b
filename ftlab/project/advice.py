"""What a finished run says to do next, in plain words, with the numbers and the reason."""

import math
from dataclasses import dataclass

from ftlab.evaluation.statistics import sample_size
from ftlab.judging import SIMPLE
from ftlab.tables import readable

TRIVIAL = ("majority", "copy")  # rivals that have learned nothing


@dataclass(frozen=True)
class NextStep:
    """What to do, why, and what else."""

    headline: str
    reasons: list[str]
    then: list[str]


def next_step(report: dict, limits: list[str]) -> NextStep:
    """The advice that follows from a run's report.json; `limits` are what the time did not allow."""
    metric, seen, gate = report["gate"]["bars"]["metric"], report["comparison"], report["gate"]
    rate = {name: system[metric] for name, system in report["systems"].items() if metric in system}
    rivals = {name: each for name, each in report["rivals"].items() if name in SIMPLE}
    best = max(rivals, key=lambda name: rate[name]["value"], default=None)
    prompt, tuned = seen["baseline"], rate["fine_tuned"]
    more = more_cases(seen, metric, gate["bars"]["min_gain"])
    label = f"Label about {more:,} more rows" if more else "Label more rows"
    longer = [f"The training was cut short, so this is not its best. {limit}" for limit in limits]
    if report["training"].get("still_falling"):
        longer.append("The validation loss was still falling at the end: more epochs may bring more.")
    simple_wins = best and rivals[best]["low"] <= 0 and rate[best]["value"] >= rate[prompt]["value"]
    if simple_wins and best not in TRIVIAL:
        better = "does better than" if rivals[best]["delta"] < 0 else "cannot be told from"
        reasons = [f"{shown(best, rate)} {better} {shown('fine_tuned', rate)}: {points(rivals[best])}.",
                   f"It needs no language model. The best prompt, {shown(prompt, rate)}, does not reach it."]  # fmt: skip
        then = [] if rivals[best]["high"] < 0 else [f"{label} to test on, and run again, if the difference matters to you."]
        return NextStep(f"The {spoken(best)} is enough", reasons, [*then, *longer])
    if simple_wins:
        reasons = [f"{shown(best, rate)} is not beaten for sure by {shown('fine_tuned', rate)}: {points(rivals[best])}."]
        return NextStep(f"{label}; so far nothing here has learned the task", reasons, ["Read some answers: are they what "
                        "you would write? Two people should agree on them.", *longer])  # fmt: skip
    reasons = [f"{shown('fine_tuned', rate)} against {shown(prompt, rate)}: {points(seen)}."]
    reasons += [f"The best without a language model: {shown(best, rate)}."] if best else []
    if gate["verdict"] == "ship":
        then = ["No probe was given, so nothing is known of what the model lost elsewhere: use it for this task alone, or "
                "name a probe in recipe.yaml."] if not report["probes"] else []  # fmt: skip
        return NextStep("The gate is passed: ship", reasons, [*then, "Put it into service: ftlab release, notebook 12."])
    if gate["verdict"] == "not enough data":
        return NextStep(f"{label} to test on", reasons, ["More test rows narrow the interval. Keep the training rows, add "
                        "the new ones to the file, and run again in another folder.", *longer])  # fmt: skip
    if tuned["value"] <= rate[prompt]["value"]:
        return NextStep("Stay with the prompt", reasons, longer)
    return NextStep("Do not ship this training", [*reasons, *gate["reasons"][1:]], longer)


def more_cases(seen: dict, metric: str, gain: float) -> int:
    """Further test cases, rounded, that would find this gain with 80 % power; 0 where there are enough."""
    spread = seen["disagreement"]
    if metric == "exact_match" and gain <= spread:
        needed = sample_size(gain, spread)
    else:
        needed = math.ceil(seen["n"] * (seen["smallest_detectable_gain"] / gain) ** 2)
    more = needed - seen["n"]
    return max(0, 10 * math.ceil(more / 10))


def shown(name: str, rate: dict) -> str:
    """ "linear classifier 75.2 % [71.8, 78.4]"."""
    value, low, high = (100 * rate[name][key] for key in ("value", "low", "high"))
    return f"{spoken(name)} {value:.1f} % [{low:.1f}, {high:.1f}]"


def spoken(name: str) -> str:
    """A system as a sentence names it."""
    names = {"linear": "linear classifier", "majority": "commonest answer", "nearest": "answer of the likest row",
             "copy": "input itself", "head": "classification head", "base": "untrained model",
             "zero_shot": "prompt without examples", "few_shot": "prompt with examples",
             "constrained": "prompt held to allowed answers", "fine_tuned": "fine-tuned model"}  # fmt: skip
    return names.get(name, readable(name))


def points(seen: dict) -> str:
    """ "+5.0 points [-1.2, +11.0] on 60 cases"."""
    delta, low, high = (100 * seen[key] for key in ("delta", "low", "high"))
    return f"{delta:+.1f} points [{low:+.1f}, {high:+.1f}] on {seen['n']} cases"
