"""What a fine-tune of `smol` forgets: field accuracy on tickets against right answers to everyday questions.

The rows of tickets stay the same while replayed chats, learning rate and rank change. 9 trainings of 300 tickets x 3
epochs (106,000 tokens without replay), each with its answers to 100 validation and 200 test tickets and to the everyday
questions: 2 hours on one core that multiplies in bf16 and has nothing else to do, two or three times as long beside
other work. Published is also the smallest share of replay that loses no more than MOST_LOST of every second everyday
question, and what it loses of the others.
"""

from functools import partial

from experiments._common import fine_tune, mixed, predictions, probe_right, tickets, untrained
from experiments._common import publish as write
from record import WORK, Point, done

FOLDER = WORK / "forgetting"
SHARES = (0, 10, 25, 50)  # percent of all rows that are replayed chats
MOST_LOST = 0.02
# name: (tickets, percent of replay, changes to the training)
TRAINED = {f"replay_{share}": (300, share, {}) for share in SHARES} | {
    "rate_5e-4": (300, 0, {"learning_rate": 5e-4}),
    "rate_2e-3": (300, 0, {"learning_rate": 2e-3}),
    "rate_2e-3_replay_25": (300, 25, {"learning_rate": 2e-3}),
    "r_4": (300, 0, {"r": 4, "lora_alpha": 8}),
    "r_64": (300, 0, {"r": 64, "lora_alpha": 128}),
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


def lost(share: int, first: int) -> float:
    """How much of the everyday questions a share of replay loses: of every second one from the `first` on."""
    before, after = (probe_right(FOLDER / name)[first::2].mean() for name in ("before", f"replay_{share}"))
    return float(before - after)


def enough_replay() -> dict:
    """The smallest share that loses at most MOST_LOST of one half (None: none does), and its loss of the other."""
    known = [share for share in SHARES if done(FOLDER / f"replay_{share}")]
    chosen = next((share for share in known if lost(share, 0) <= MOST_LOST), None)
    return {"percent": chosen, "lost_on_the_other_half": None if chosen is None else lost(chosen, 1)}


def publish() -> None:
    """Write data/recorded/forgetting; without the answers of every share, its own line on them stays."""
    folders = {point.name: FOLDER / point.name for point in points()}
    answered = all((predictions(FOLDER / f"replay_{share}") / "probe.jsonl").exists() for share in SHARES)
    more = {"most_lost": MOST_LOST, "enough_replay": enough_replay()} if answered else {}
    write("forgetting", folders, more)
