"""How much of the data a time budget allows, reckoned before anything is trained."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ftlab import hardware
from ftlab.costs.architecture import find_architecture
from ftlab.costs.time import calibrate, estimate_time
from ftlab.training.fit import CPU_BAND, SMOL
from ftlab.training.recipe import LEAST_STEPS, MOST_EPOCHS

# how many times as many tokens a CPU reads, and writes, as it trains: `smol`'s recorded run (data/recorded/triage, 147
# tokens a second) gives 2, and 0.8 to 0.9 in batches of 50; batches of 16 use it less well
READ, WRITE = 2, 0.6
HELD = {"record": 2.5, "label": 1.3, "labels": 0, "text": 0}  # readings that an answer held to allowed values takes
SHOTS, PROMPTS = 3, 7  # solved examples of a prompt, on average; prompts of the search: a wording, six choices of them
VALIDATED = 1.1  # the validation loss, on top of the training
LOADING = 60  # seconds, for libraries and models
USED = 0.6  # of the budget: the reckoning may be off
SHARE = {"test": 0.35, "search": 0.2, "training": 0.3}  # of the time: the most, the most, the least
FEWEST, MOST = {"test": 12, "search": 8}, {"test": 200, "search": 60}  # rows that are asked
ROWS = {"test": 0.3, "search": 0.15}  # of all rows, at most
FEW_ROWS = {"test": 0.3, "search": 0.2}  # of all rows, where the fewest are more: half is left to train on
EPOCHS, BATCH = 3, 8
USUAL = 0.9  # of the usual training; less is said to be cut
LONG = 600  # minutes; what needs more is not asked for


@dataclass(frozen=True, repr=False)
class Sizes:
    """Rows, epochs and minutes of a run; `minutes` of each part (None: nobody knows).

    `searched` of the `validation` rows choose the prompt, `unread` more rows could be trained on; `new_tokens` and
    `longest` are tokens of an answer and a row. `full` is what a run without a limit takes, `allowed` the minutes that
    were given, `enough` those in which training is not cut (None: it is not, or more than LONG).
    """

    train: int
    validation: int
    searched: int
    test: int
    epochs: float
    new_tokens: int
    longest: int
    minutes: dict[str, float] | None = None
    unread: int = 0
    full: "Sizes | None" = None
    allowed: float | None = None
    enough: int | None = None

    @property
    def seen(self) -> float:
        """Rows that training reads, each time counted."""
        return self.train * self.epochs

    @property
    def limits(self) -> list[str]:
        """What the time did not allow, in one sentence; none where all is done."""
        full, cut = self.full or self, []
        if self.unread:
            cut.append(f"{self.train:,} of {self.train + self.unread:,} rows are trained on")
        if self.test < full.test:
            cut.append(f"{self.test:,} test rows are asked, where {full.test:,} would be possible")
        if self.searched < min(self.validation, full.searched):
            cut.append(f"{self.searched:,} of {self.validation:,} validation rows choose the prompt")
        if self.seen < USUAL * full.seen:
            more = f" (--minutes {self.enough} and another --out give that)" if self.enough else ""
            cut.append(f"training reads {self.seen:,.0f} rows in all, where {full.seen:,.0f} would be possible{more}")
        return [f"Cut to fit into {self.allowed:g} minutes: {'; '.join(cut)}."] if cut and self.full else []

    def after_split(self, rows: dict[str, int]) -> "Sizes":
        """The same with the rows that the parts have come to."""
        train = min(self.train, rows["train"]) if self.unread else rows["train"]
        searched = min(self.searched, rows["validation"])
        return replace(self, train=train, unread=rows["train"] - train, searched=searched, test=rows["test"],
                       validation=rows["validation"])  # fmt: skip

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
    few = {name: min(FEWEST[name], int(FEW_ROWS[name] * rows)) for name in MOST}
    most = {name: max(few[name], min(MOST[name], int(ROWS[name] * rows))) for name in MOST}
    train, new, longest = rows - sum(most.values()), round(1.25 * max(answers)) + 4, 64 * (max(lengths) // 64 + 1)
    epochs = round(min(MOST_EPOCHS, max(EPOCHS, LEAST_STEPS * BATCH / train)), 1)
    full = Sizes(train, most["search"], most["search"], most["test"], epochs, new, longest)
    if speed is None:
        return full
    seconds = _seconds_a_row(sum(asked) / rows, sum(answers) / rows, new, kind, speed)
    # a classification head takes as many steps as the training does
    seconds["training"] = sum(lengths) / rows * VALIDATED * (2 if kind == "label" else 1) / speed

    def within(minutes: float) -> Sizes:
        budget = max(60 * USED * minutes - LOADING, 30)
        taken = {name: max(few[name], min(most[name], int(SHARE[name] * budget / seconds[name]))) for name in most}
        spent = {name: taken[name] * seconds[name] for name in most}
        seen = max(budget - sum(spent.values()), SHARE["training"] * budget) / seconds["training"]
        train = rows - taken["test"] - most["search"]
        epochs = min(full.epochs, math.floor(10 * max(1, seen / train)) / 10)  # before rows are left out
        used = min(train, max(BATCH, int(seen / epochs)))
        spent |= {"training": used * epochs * seconds["training"], "loading": LOADING}
        parts = {name: each / 60 for name, each in spent.items()}
        return replace(full, train=used, unread=train - used, searched=taken["search"], test=taken["test"],
                       epochs=epochs, minutes=parts, full=full, allowed=minutes)  # fmt: skip

    def is_usual(sizes: Sizes) -> bool:
        return sizes.seen >= USUAL * full.seen

    longer = range(5 * math.floor(minutes / 5) + 5, LONG + 1, 5)
    found = within(minutes)
    return found if is_usual(found) else replace(found, enough=next((m for m in longer if is_usual(within(m))), None))


def _seconds_a_row(ask: float, answer: float, new: int, kind: str, speed: float) -> dict[str, float]:
    """Seconds that a test row takes (as it is, two prompts, held, tuned), and a row of the prompt search."""
    read, write = READ * speed, WRITE * speed
    shown = ask + SHOTS * (ask + answer)
    held = HELD[kind] * shown / read
    return {
        "test": (3 * ask + shown) / read + 2 * (new + answer) / write + held,
        "search": PROMPTS * (shown / read + answer / write + held),
    }
