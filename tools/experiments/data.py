"""What rows do to `smol`: how many; an export raw, cleaned and curated; careless labels; copies; contradictions.

All but `careful_once` are trained for 100 steps, so that only the rows differ: 800 are read once, fewer more often.
`export`, `cleaned` and `curated` are what notebook 04 makes of its raw export. The others are tickets of train.jsonl:
50 and 200 careful ones, 800 careless ones (each field that a person judges is wrong with the stated probability), 200
of which half are copies of five, 200 of which 40 contradict others. 11 points: 2 hours and a half on one core that
multiplies in bf16 and has nothing else to do, two or three times as long beside other work. 200 test tickets are
answered: nothing is chosen here.
"""

import json
import math
import random
import tempfile
from functools import cache, partial
from pathlib import Path

from experiments._common import SEED, fine_tune, tickets
from experiments._common import publish as write
from jsonschema import Draft202012Validator
from record import ROOT, WORK, Point

from ftlab.checks.check import check
from ftlab.checks.fix import fix
from ftlab.data.schema import check_chat
from ftlab.data.similar import clusters
from ftlab.evaluation.metrics import parse_record

FOLDER = WORK / "data"
FEW, CAREFUL, CARELESS = 50, 200, 800
STEPS, BATCH = 100, 8  # 800 rows are read once, fewer more often
JUDGED = ("queue", "urgency", "tone", "ask")
COPIED, COPIES = 5, 20  # tickets that stand there so often: half of the rows
CONTRADICTED = 40  # tickets that stand there a second time with other values
LONGEST = 2048  # tokens: sixteen rows of the export are longer than the 512 of the recipe
CURATED = 500  # what a team might look through by hand
EXPORT = ROOT / "data" / "support_triage" / "raw"
KEPT = {"other_language", "rare_label", "length_outlier", "system_drift", "missing_system"}  # 04 lives with these
DOUBTFUL = {"agent-03", "agent-06", "agent-08"}  # whose labels 04 finds wrong: not in `curated`


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


def answer(row: dict) -> str:
    return row["messages"][-1]["content"]


@cache
def from_export() -> dict[str, list[dict]]:
    """The raw export as it came; cleaned as notebook 04 does; CURATED of those rows that careful agents labelled."""
    with tempfile.TemporaryDirectory() as folder:
        fixed = fix(EXPORT / "dirty.jsonl", Path(folder) / "fixed.jsonl")
        left = check(fixed.out, against=tickets().validation.path, model="smol", max_length=512)
        placed = check_chat(fixed.out).placed
    dropped = {finding.line for finding in left.findings if finding.code not in KEPT}
    for group in clusters(placed):
        if len({answer(row.data) for row in group}) > 1:
            dropped |= {row.line for row in group}
    policy, system = Draft202012Validator(tickets().schema), tickets().train.rows[0]["messages"][0]
    cleaned = [
        row.data | {"messages": [system, *(turn for turn in row.data["messages"] if turn["role"] != "system")]}
        for row in placed
        if row.line not in dropped and policy.is_valid(parse_record(answer(row.data)))
    ]
    curated = [row for row in cleaned if row["agent"] not in DOUBTFUL]
    curated = random.Random(SEED).sample(curated, CURATED)
    return {"export": check_chat(EXPORT / "dirty.jsonl").rows, "cleaned": cleaned, "curated": curated}


def wrong_labels() -> dict[str, int]:
    """How many rows of each have a wrong label, by the key of the export."""
    key = [json.loads(line) for line in (EXPORT / "key.jsonl").read_text(encoding="utf-8").splitlines()]
    at = {row.line: row.data["id"] for row in check_chat(EXPORT / "dirty.jsonl").placed}
    wrong = {at[item["line"]] for item in key if item["code"] == "wrong_label" and item["line"] in at}
    return {name: sum(row["id"] in wrong for row in rows) for name, rows in from_export().items()}


def trained_on() -> dict[str, tuple]:
    """Name -> (function that makes the rows, epochs), in the order in which they are recorded."""
    rows = tickets().train.rows
    made = {"cleaned": partial(from_export().get, "cleaned"), "careful": lambda: rows[:CAREFUL]}
    made |= {f"careless_{percent}": partial(careless, rows[:CARELESS], percent / 100) for percent in (0, 40)}
    made |= {name: partial(from_export().get, name) for name in ("export", "curated")}
    made |= {"few": lambda: rows[:FEW], "contradictions": contradictory, "copies": copied}
    made |= {"careless_20": partial(careless, rows[:CARELESS], 0.2)}
    equal_steps = {name: (make, STEPS / math.ceil(len(make()) / BATCH)) for name, make in made.items()}
    return equal_steps | {"careful_once": (made["careful"], 1)}


def train(folder, rows, epochs: float) -> dict:
    """Two rows at a time: eight as long as the longest of the export need 15 GB."""
    batch = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": BATCH // 2}
    return fine_tune(folder, rows(), only_test=True, num_train_epochs=epochs, max_length=LONGEST, **batch)


def points() -> list[Point]:
    return [Point(name, partial(train, rows=rows, epochs=epochs)) for name, (rows, epochs) in trained_on().items()]


def publish() -> None:
    """Write data/recorded/data/results.json."""
    write("data", {point.name: FOLDER / point.name for point in points()},
          {"careful": CAREFUL, "careless": CARELESS, "fields_with_noise": JUDGED,
           "export_rows": {name: len(rows) for name, rows in from_export().items()},
           "export_wrong_labels": wrong_labels()})  # fmt: skip
