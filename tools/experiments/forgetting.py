"""What a fine-tune of `smol` forgets: field accuracy on tickets against right answers to everyday questions.

The rows of tickets stay the same while replayed chats, learning rate and rank change. 12 points, the first without a
training: one is 300 tickets x 3 epochs (106,000 tokens; `tickets_600` twice that), and its answers to 150 validation
and 200 test tickets and to the everyday questions. In all 1.4 million tokens: about 100 minutes on one core that
multiplies in bf16 and has nothing else to do, three times as long beside other work. Published is also the smallest
share of replay that keeps the loss of the probe under MOST_LOST.
"""

from functools import partial

from experiments._common import fine_tune, mixed, probe_right, tickets, untrained
from experiments._common import publish as write
from record import WORK, Point, done

FOLDER = WORK / "forgetting"
SHARES = (0, 10, 25, 50)  # percent of all rows that are replayed chats
MOST_LOST = 0.02
# name: (tickets, percent of replay, changes to the training)
TRAINED = {f"replay_{share}": (300, share, {}) for share in SHARES} | {
    "rate_5e-4": (300, 0, {"learning_rate": 5e-4}),
    "rate_2e-3": (300, 0, {"learning_rate": 2e-3}),
    "rate_5e-4_replay_25": (300, 25, {"learning_rate": 5e-4}),
    "rate_2e-3_replay_25": (300, 25, {"learning_rate": 2e-3}),
    "r_4": (300, 0, {"r": 4, "lora_alpha": 8}),
    "r_64": (300, 0, {"r": 64, "lora_alpha": 128}),
    "tickets_600_replay_25": (600, 25, {}),
}


def train(folder, rows: int, share: int, changes: dict) -> dict:
    result = fine_tune(folder, mixed(tickets().train.rows[:rows], share / 100), **changes)
    return result | {"tickets": rows, "replay_percent": share}


def points() -> list[Point]:
    trained = [
        Point(name, partial(train, rows=rows, share=share, changes=changes), ("before",))
        for name, (rows, share, changes) in TRAINED.items()
    ]
    return [Point("before", untrained), *trained]


def enough_replay() -> int | None:
    """The smallest share of replay that loses less than MOST_LOST of the probe; None where none does."""
    before = probe_right(FOLDER / "before").mean()
    known = [share for share in SHARES if done(FOLDER / f"replay_{share}")]
    return next((s for s in known if before - probe_right(FOLDER / f"replay_{s}").mean() < MOST_LOST), None)


def publish() -> None:
    """Write data/recorded/forgetting/results.json."""
    folders = {point.name: FOLDER / point.name for point in points()}
    write("forgetting", folders, {"most_lost": MOST_LOST, "replay_percent_that_is_enough": enough_replay()})
