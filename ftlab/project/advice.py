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
    "linear": "linear classifier", "majority": "commonest answer", "nearest": "answer of the most similar row",
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
STRICTER = (
    'The gate says "{}", since it asks whether training beats the prompt. To be worth its costs, training has to beat '
    "what is simpler, too, beyond chance, and that is not shown."
)


@dataclass(frozen=True)
class NextStep:
    """What to do, why, and what else; `winner` is the system to use, empty where that is not decided."""

    headline: str
    reasons: list[str]
    then: list[str]
    winner: str = ""


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
    steps = report["training"].get("steps") or 0
    unfair = bool(limits) and steps < FAIR
    later = [f"Only {steps} training steps fitted into the time, where {LEAST_STEPS} are usual."] if unfair else []
    later += [*limits, *([FALLING] if report["training"].get("still_falling") else [])]
    if best and rivals[best]["low"] <= 0 and rate[best]["value"] >= rate[prompt]["value"]:
        pair = f"{named(best, rate)} {standing(rivals[best])} {named('fine_tuned', rate)}"
        reasons = [f"{pair}: training brings {points(rivals[best])}."]
        reasons += [STRICTER.format(gate["verdict"])] if gate["verdict"] != "do not ship" else []
        if best in TRIVIAL:
            headline = LONGER if unfair else "Label more rows: nothing here has learned the task so far"
            return NextStep(headline, reasons, [READ_ANSWERS, *later])
        cheap = "It reads once and writes nothing" if best == "head" else "It needs no chat model"
        reasons.append(f"{cheap}. The best prompt: {named(prompt, rate)}.")
        more = more_cases(rivals[best], metric, gate["bars"]["min_gain"]) if rivals[best]["high"] >= 0 else 0
        then = [f"If the difference between the two matters: {label(more).lower()} to test on."] if more else []
        return NextStep(f"The {spoken(best)} is enough", reasons, [*then, *later], best)
    reasons = [f"{named('fine_tuned', rate)} against {named(prompt, rate)}: training brings {points(seen)}."]
    reasons += [f"The best of the simple rivals: {named(best, rate)}."] if best else []
    if gate["verdict"] == "ship":
        return NextStep("The gate is passed: ship", reasons, [] if report["probes"] else [NO_PROBE], "fine_tuned")
    if gate["verdict"] == "not enough data":
        more = more_cases(seen, metric, gate["bars"]["min_gain"])
        return NextStep(f"{label(more)} to test on", reasons, [ADD_ROWS, *later])
    if unfair:
        return NextStep(LONGER, reasons, later)
    if seen["delta"] < gate["bars"]["min_gain"]:
        return NextStep("Stay with the prompt", reasons, later, prompt)
    return NextStep("Do not ship this training", [*reasons, *gate["reasons"][1:]], later)


def standing(seen: dict) -> str:
    """How the simpler one of a comparison stands to the trained one, by the interval of their difference."""
    if seen["high"] < 0:
        return "does better than"
    return "cannot be told from" if seen["disagreement"] else "scores the same on every case as"


def label(more: int) -> str:
    """So many rows that should be labelled, where the number is known."""
    return f"Label about {more:,} more rows" if more else "Label more rows"


def more_cases(seen: dict, metric: str, gain: float) -> int:
    """Further test cases, in tens, with which the test finds this gain with 80 % power; 0 where there are enough.

    0, too, where the two never differ: how many would show a difference is not known. The gain that groups of cases
    detect takes their likeness into account, and so does its square.
    """
    spread, n = seen["disagreement"], seen["n"]
    if not spread:
        return 0
    if metric == "exact_match" and gain <= spread and not seen.get("groups"):
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
