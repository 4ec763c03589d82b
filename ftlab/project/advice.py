"""What a finished run says to do next, in plain words, with the numbers and the reason."""

import math
from dataclasses import dataclass

from ftlab.evaluation.statistics import sample_size
from ftlab.judging import SIMPLE
from ftlab.tables import readable
from ftlab.training.recipe import LEAST_STEPS

FAIR = LEAST_STEPS // 2  # with fewer steps, cut to fit the time, training was not given a chance
TRIVIAL = ("majority", "copy")  # rivals that have learned nothing
NAMES = {
    "linear": "linear classifier", "majority": "commonest answer", "nearest": "answer of the likest row",
    "copy": "input itself", "head": "classification head", "base": "untrained model",
    "zero_shot": "prompt without examples", "few_shot": "prompt with examples",
    "constrained": "prompt held to allowed answers", "fine_tuned": "fine-tuned model",
}  # fmt: skip
NO_PROBE = (
    "Nothing is known of what the model lost elsewhere: use it for this task alone, or name a probe in recipe.yaml."
)
ADD_ROWS = "More test rows narrow the interval. Add the new ones to your file, and run again with another --out."
READ_ANSWERS = "Read some answers in run/report.html. Would two people have written the same?"
LONGER = "Train longer before you decide (--minutes)"
FALLING = "The validation loss was still falling at the end: more epochs may bring more."


@dataclass(frozen=True)
class NextStep:
    """What to do, why, and what else."""

    headline: str
    reasons: list[str]
    then: list[str]


def next_step(report: dict, limits: list[str]) -> NextStep:
    """The advice that follows from a run's report.json; `limits` are what the time did not allow.

    Something simpler comes first: where training is not shown to beat it (the interval reaches 0), it is enough. Then
    the gate's verdict decides.
    """
    gate, seen = report["gate"], report["comparison"]
    metric, prompt = gate["bars"]["metric"], seen["baseline"]
    rate = {name: system[metric] for name, system in report["systems"].items()}
    rivals = {name: each for name, each in report["rivals"].items() if name in SIMPLE}
    best = max(rivals, key=lambda name: rate[name]["value"], default=None)
    more = more_cases(seen, metric, gate["bars"]["min_gain"])
    label = f"Label about {more:,} more rows" if more else "Label more rows"
    steps = report["training"].get("steps") or 0
    unfair = bool(limits) and steps < FAIR
    later = [f"Only {steps} training steps fitted into the time, where {LEAST_STEPS} are usual."] if unfair else []
    later += [*limits, *([FALLING] if report["training"].get("still_falling") else [])]
    if best and rivals[best]["low"] <= 0 and rate[best]["value"] >= rate[prompt]["value"]:
        better = "does better than" if rivals[best]["delta"] < 0 else "cannot be told from"
        reasons = [f"{named(best, rate)} {better} {named('fine_tuned', rate)}: training brings {points(rivals[best])}."]
        if best in TRIVIAL:
            headline = LONGER if unfair else f"{label}: nothing here has learned the task so far"
            return NextStep(headline, reasons, [READ_ANSWERS, *later])
        reasons.append(f"It needs no chat model, and the best prompt does not reach it: {named(prompt, rate)}.")
        then = [] if rivals[best]["high"] < 0 else [f"If the difference matters: {label.lower()} to test on."]
        return NextStep(f"The {spoken(best)} is enough", reasons, [*then, *later])
    reasons = [f"{named('fine_tuned', rate)} against {named(prompt, rate)}: training brings {points(seen)}."]
    reasons += [f"The best of the simple rivals: {named(best, rate)}."] if best else []
    if gate["verdict"] == "ship":
        return NextStep("The gate is passed: ship", reasons, [] if report["probes"] else [NO_PROBE])
    if gate["verdict"] == "not enough data":
        return NextStep(f"{label} to test on", reasons, [ADD_ROWS, *later])
    if unfair:
        return NextStep(LONGER, reasons, later)
    if seen["delta"] < gate["bars"]["min_gain"]:
        return NextStep("Stay with the prompt", reasons, later)
    return NextStep("Do not ship this training", [*reasons, *gate["reasons"][1:]], later)


def more_cases(seen: dict, metric: str, gain: float) -> int:
    """Further test cases, in tens, with which the test finds this gain with 80 % power; 0 where there are enough."""
    spread, n = seen["disagreement"], seen["n"]
    if metric == "exact_match" and gain <= spread:
        needed = sample_size(gain, spread)
    else:
        needed = n * (seen["smallest_detectable_gain"] / gain) ** 2
    return max(0, 10 * math.ceil((needed - n) / 10))


def named(name: str, rate: dict) -> str:
    """ "linear classifier 75.2 % [71.8, 78.4]"."""
    return f"{spoken(name)} {percent(rate[name])}"


def percent(interval: dict) -> str:
    """ "75.2 % [71.8, 78.4]", of an interval as report.json has it."""
    value, low, high = (100 * interval[key] for key in ("value", "low", "high"))
    return f"{value:.1f} % [{low:.1f}, {high:.1f}]"


def spoken(name: str) -> str:
    """A system as a sentence names it."""
    return NAMES.get(name, readable(name))


def points(seen: dict) -> str:
    """ "+5.0 points [-1.2, +11.0] on 60 cases"."""
    delta, low, high = (100 * seen[key] for key in ("delta", "low", "high"))
    return f"{delta:+.1f} points [{low:+.1f}, {high:+.1f}] on {seen['n']} cases"
