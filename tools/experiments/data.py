"""What bad rows cost `smol`: few careful tickets against four times as many careless ones, copies, contradictions.

A careless ticket has, with the stated probability, a wrong value in each field that a person judges. 250 careful
tickets are read 4 times and 1,000 careless ones once: the same 125 steps, so that only the rows differ; `careful_once`
gives the 250 as many epochs as the 1,000. Copies, contradictions and carelessness among few: 250 rows read 4 times.
9 points of 118,000 tokens (`careful_once` a quarter of that): 1 million tokens, about 80 minutes on one core that
multiplies in bf16 and has nothing else to do. 150 validation and 200 test tickets are answered.
"""

import json
import random
from functools import partial

from experiments._common import SEED, fine_tune, tickets
from experiments._common import publish as write
from record import WORK, Point

FOLDER = WORK / "data"
CAREFUL, CARELESS, OFTEN = 250, 1000, 4  # CARELESS / CAREFUL epochs make the steps equal
JUDGED = ("queue", "urgency", "tone", "ask")
COPIED, COPIES = 5, 25  # tickets that stand there so often: half of the rows
CONTRADICTED = 50  # tickets that stand there a second time with other values


def relabelled(row: dict, chance: float, drawn: random.Random) -> dict:
    """The ticket with each judged field wrong with this chance, any other value being as likely."""
    *asked, last = row["messages"]
    record = json.loads(last["content"])
    for field in JUDGED:
        if drawn.random() < chance:
            record[field] = drawn.choice([value for value in values(field) if value != record[field]])
    return row | {"messages": [*asked, last | {"content": json.dumps(record)}]}


def values(field: str) -> list:
    return tickets().schema["properties"][field]["enum"]


def careless(rows: list[dict], chance: float) -> list[dict]:
    drawn = random.Random(SEED)
    return [relabelled(row, chance, drawn) for row in rows]


def copied() -> list[dict]:
    """CAREFUL rows, half of which are copies of a few tickets."""
    rows = tickets().train.rows
    return rows[:COPIED] * COPIES + rows[COPIED : COPIED + CAREFUL - COPIED * COPIES]


def contradictory() -> list[dict]:
    """CAREFUL rows of which some are the same tickets as others, with all judged fields different."""
    rows = tickets().train.rows[: CAREFUL - CONTRADICTED]
    return rows + careless(rows[:CONTRADICTED], 1)


def trained_on() -> dict[str, tuple]:
    """Name -> (rows as a function, epochs)."""
    few, many = tickets().train.rows[:CAREFUL], tickets().train.rows[:CARELESS]
    noisy = {f"careless_{percent}": (partial(careless, many, percent / 100), 1) for percent in (0, 10, 20, 40)}
    return {"careful": (lambda: few, OFTEN), "careful_once": (lambda: few, 1)} | noisy | {
        "few_careless_20": (partial(careless, few, 0.2), OFTEN),
        "copies": (copied, OFTEN),
        "contradictions": (contradictory, OFTEN),
    }  # fmt: skip


def train(folder, rows, epochs: int) -> dict:
    return fine_tune(folder, rows(), num_train_epochs=epochs)


def points() -> list[Point]:
    return [Point(name, partial(train, rows=rows, epochs=epochs)) for name, (rows, epochs) in trained_on().items()]


def publish() -> None:
    """Write data/recorded/data/results.json."""
    write("data", {point.name: FOLDER / point.name for point in points()},
          {"careful": CAREFUL, "careless": CARELESS, "fields_with_noise": JUDGED})  # fmt: skip
