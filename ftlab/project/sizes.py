"""How much of the data a time budget allows, reckoned before anything is trained."""

from collections.abc import Sequence
from dataclasses import dataclass

from ftlab import hardware
from ftlab.costs.architecture import find_architecture
from ftlab.costs.time import calibrate, estimate_time
from ftlab.training.fit import CPU_BAND, SMOL
from ftlab.training.recipe import LEAST_STEPS, MOST_EPOCHS

# how many times as many tokens a CPU reads, and writes, as it trains: `smol`'s recorded run (data/recorded/triage, 147
# tokens a second) gives 2, and 0.8 to 0.9 in batches of 50; batches of 16 use it less well
READ, WRITE = 2, 0.6
HELD = {"record": 2.5, "label": 1.3, "labels": 0, "text": 0}  # readings that an answer held to allowed values takes
SHOTS, PROMPTS = (
    3,
    7,
)  # solved examples of a prompt, on average; prompts of the search: one wording, six choices of them
VALIDATED = 1.1  # the validation loss, on top of the training
LOADING = 60  # seconds, for libraries and models
USED = 0.6  # of the budget: the reckoning may be off
SHARE = {"test": 0.35, "search": 0.2, "training": 0.3}  # of the time: the most, the most, the least
FEWEST, MOST = {"test": 12, "search": 8}, {"test": 200, "search": 60}  # rows that are asked
ROWS = {"test": 0.3, "search": 0.15}  # of all rows, at most
EPOCHS, BATCH = 3, 8


@dataclass(frozen=True, repr=False)
class Sizes:
    """Rows, epochs and minutes of a run; `minutes` of each part (None: nobody knows), `limits`: what the time cut.

    `searched` of the `validation` rows choose the prompt; `new_tokens` and `longest` are tokens of an answer and a row.
    """

    train: int
    validation: int
    searched: int
    test: int
    epochs: float
    new_tokens: int
    longest: int
    minutes: dict[str, float] | None = None
    limits: tuple[str, ...] = ()

    def __repr__(self):
        said = f"{self.train:,} rows to train on, {self.epochs:g} times; {self.searched} to choose a prompt by; "
        said += f"{self.test} to test on"
        if self.minutes is None:
            return f"{said}; no limit of time on a GPU"
        total, (low, high) = sum(self.minutes.values()), CPU_BAND
        parts = ", ".join(f"{name} {minutes:.1f}" for name, minutes in self.minutes.items())
        said += f"\nabout {total:.0f} minutes ({low * total:.0f} to {high * total:.0f}): {parts}"
        return "\n".join([said, *self.limits])


def trained_per_second(model: str, length: int) -> float | None:
    """Tokens a second that this CPU trains a model with, by LoRA in rows of `length`; None on a GPU."""
    if hardware.gpu_here()[0]:
        return None
    seconds = 4 * 120 / hardware.smol_tokens_per_second(hardware.precision(model))
    speed = calibrate(seconds, SMOL, batch=4, length=120, checkpointing="off")
    run = {"rows": 100, "length": length, "batch": BATCH, "checkpointing": "off", "calibration": speed}
    return estimate_time(find_architecture(SMOL if model == "smol" else model), "lora", **run).tokens_per_second


def choose_sizes(asked: Sequence[int], answers: Sequence[int], kind: str, speed: float | None, minutes: float) -> Sizes:
    """What fits into so many minutes, for rows with so many tokens of prompt and answer; `speed` None: all of it."""
    rows, lengths = len(asked), [a + b for a, b in zip(asked, answers, strict=True)]
    most = {name: max(FEWEST[name], min(MOST[name], int(ROWS[name] * rows))) for name in MOST}
    train, new, longest = rows - sum(most.values()), round(1.25 * max(answers)) + 4, 64 * (max(lengths) // 64 + 1)
    epochs = min(MOST_EPOCHS, max(EPOCHS, LEAST_STEPS * BATCH / train))
    if speed is None:
        return Sizes(train, most["search"], most["search"], most["test"], round(epochs, 1), new, longest)
    length, budget = sum(lengths) / rows, max(60 * USED * minutes - LOADING, 30)
    seconds = _seconds_a_row(sum(asked) / rows, sum(answers) / rows, new, kind, speed)
    taken = {name: max(FEWEST[name], min(most[name], int(SHARE[name] * budget / seconds[name]))) for name in most}
    spent = {name: taken[name] * seconds[name] for name in most}
    each = length * VALIDATED * (2 if kind == "label" else 1) / speed  # a classification head takes as many steps
    seen = max(budget - sum(spent.values()), SHARE["training"] * budget) / each  # rows, each time counted
    train, wanted = rows - taken["test"] - most["search"], epochs * train
    epochs = round(min(epochs, max(1, seen / train)), 1)
    used = min(train, max(BATCH, int(seen / epochs)))
    spent |= {"training": used * epochs * each, "loading": LOADING}
    cut = [f"{a:,} of {b:,} {what}" for a, b, what in (
        (used, train, "rows are trained on"), (taken["test"], most["test"], "possible test rows are asked"),
        (taken["search"], most["search"], "validation rows choose the prompt")) if a < b]  # fmt: skip
    if used * epochs < 0.9 * wanted:
        cut.append(f"training reads {used * epochs:,.0f} rows in all, where {wanted:,.0f} would be usual")
    limits = (f"Cut to fit into {minutes:g} minutes (--minutes): {'; '.join(cut)}.",) if cut else ()
    in_minutes = {name: each / 60 for name, each in spent.items()}
    return Sizes(used, most["search"], taken["search"], taken["test"], epochs, new, longest, in_minutes, limits)


def _seconds_a_row(ask: float, answer: float, new: int, kind: str, speed: float) -> dict[str, float]:
    """Seconds that a test row takes (as it is, two prompts, held, tuned), and a row of the prompt search."""
    read, write = READ * speed, WRITE * speed
    shown = ask + SHOTS * (ask + answer)
    held = HELD[kind] * shown / read
    return {
        "test": (3 * ask + shown) / read + 2 * (new + answer) / write + held,
        "search": PROMPTS * (shown / read + answer / write + held),
    }
