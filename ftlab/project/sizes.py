"""How much of the data a time budget allows, reckoned before anything is trained."""

from collections.abc import Sequence
from dataclasses import dataclass

from ftlab import hardware
from ftlab.costs.architecture import find_architecture
from ftlab.costs.time import calibrate, estimate_time
from ftlab.training.fit import CPU_BAND, SMOL

# how many times as many tokens a CPU reads, and writes in batches of 16, as it trains; read off `smol`'s recorded run
READ, WRITE = 3.5, 0.45
HELD = {"record": 4, "label": 1.5, "labels": 0, "text": 0}  # passes that an answer held to allowed values takes
SHOTS, PROMPTS = 3, 7  # solved examples of a prompt, on average; prompts of the search: one wording, six choices of them
LOADING = 60  # seconds, for libraries and models
USED = 0.6  # of the budget: the reckoning may be off
TEST, VALIDATION = (12, 200), (8, 60)  # fewest and most rows that are asked
SHARE = {"test": 0.35, "search": 0.2}  # of the time
TEST_SHARE, VALIDATION_SHARE = 0.3, 0.15  # of the rows, at most
STEPS, EPOCHS, MOST_EPOCHS, BATCH = 100, 3, 10, 8


@dataclass(frozen=True, repr=False)
class Sizes:
    """Rows, epochs and minutes of a run; `limits` says what the time did not allow, `minutes` of each part (None: unknown)."""

    train: int
    validation: int
    searched: int
    test: int
    epochs: float
    new_tokens: int
    longest: int
    minutes: dict[str, float] | None
    limits: list[str]

    def __repr__(self):
        rows = f"{self.train:,} rows to train on ({self.epochs:g} epochs), {self.validation} to choose a prompt by"
        rows += f", {self.test} to test on"
        if self.minutes is None:
            return f"{rows}; no limit of time on a GPU"
        total, (low, high) = sum(self.minutes.values()), CPU_BAND
        parts = ", ".join(f"{name} {minutes:.1f}" for name, minutes in self.minutes.items())
        said = f"{rows}\nabout {total:.0f} minutes ({low * total:.0f} to {high * total:.0f}): {parts}"
        return "\n".join([said, *self.limits])


def trained_per_second(model: str, length: int) -> float | None:
    """Tokens a second that this machine trains a model with, by LoRA in rows of `length`; None on a GPU, where time is short."""
    if hardware.gpu_here()[0]:
        return None
    seconds = 4 * 120 / hardware.smol_tokens_per_second(hardware.precision(model))
    speed = calibrate(seconds, SMOL, batch=4, length=120, checkpointing="off")
    named = find_architecture(SMOL if model == "smol" else model)
    run = {"rows": 100, "length": length, "batch": BATCH, "checkpointing": "off", "calibration": speed}
    return estimate_time(named, "lora", **run).tokens_per_second


def choose_sizes(asked: Sequence[int], answers: Sequence[int], kind: str, speed: float | None, minutes: float) -> Sizes:
    """What fits into so many minutes, for rows with so many tokens of prompt and of answer; `speed` None: all of it."""
    rows, ask, answer = len(asked), sum(asked) / len(asked), sum(answers) / len(answers)
    new = round(1.25 * max(answers)) + 4
    most_test, most_validation = (max(least, min(most, int(share * rows))) for (least, most), share in (
        (TEST, TEST_SHARE), (VALIDATION, VALIDATION_SHARE)))  # fmt: skip
    longest = 64 * (max(a + b for a, b in zip(asked, answers, strict=True)) // 64 + 1)
    epochs = min(MOST_EPOCHS, max(EPOCHS, STEPS * BATCH / (rows - most_test - most_validation)))
    if speed is None:
        train = rows - most_test - most_validation
        return Sizes(train, most_validation, most_validation, most_test, round(epochs, 1), new, longest, None, [])
    read, write = READ * speed, WRITE * speed
    shown = ask + SHOTS * (ask + answer)
    held = HELD[kind] * shown / read
    row = {"test": (3 * ask + shown) / read + 2 * (new + answer) / write + held,
           "search": PROMPTS * (shown / read + answer / write + held)}  # fmt: skip
    budget = max(60 * USED * minutes - LOADING, 30)
    test, searched = (max(least, min(most, int(SHARE[name] * budget / row[name]))) for name, least, most in (
        ("test", TEST[0], most_test), ("search", VALIDATION[0], most_validation)))  # fmt: skip
    left = max(budget - test * row["test"] - searched * row["search"], 0.3 * budget)
    passes = 2 if kind == "label" else 1  # a classification head takes as many steps
    seen = left * speed / (ask + answer) / passes / 1.1  # rows, each time counted; a tenth for the validation loss
    train = rows - test - most_validation
    wanted = epochs * train
    epochs = min(epochs, max(1, seen / train))
    used = min(train, max(8, int(seen / epochs)))
    spent = {"prompts": searched * row["search"], "training": passes * used * epochs * (ask + answer) * 1.1 / speed,
             "answers": test * row["test"], "loading": LOADING}  # fmt: skip
    limits = list(_limits(minutes, (used, train), (used * epochs, wanted), (test, most_test), (searched, most_validation)))
    in_minutes = {name: seconds / 60 for name, seconds in spent.items()}
    return Sizes(used, most_validation, searched, test, round(epochs, 1), new, longest, in_minutes, limits)


def _limits(minutes, trained, seen, tested, searched):
    """Sentences on what was cut to fit."""
    cut = [f"{a:,} of {b:,} {what}" for (a, b), what in (
        (trained, "rows are trained on"), (tested, "possible test rows are asked"),
        (searched, "validation rows choose the prompt")) if a < b]  # fmt: skip
    if seen[0] < 0.9 * seen[1]:
        cut.append(f"training reads {seen[0]:,.0f} rows in all, where {seen[1]:,.0f} would be usual")
    if cut:
        yield f"Cut to fit into {minutes:g} minutes: {'; '.join(cut)}. --minutes {4 * minutes:g} allows more."
