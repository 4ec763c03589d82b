"""Write data/brand_voice: a shop's sent mail, customers' messages with careful replies, the README's counts.

Example: `python tools/make_brand_voice.py` rewrites the files, `--check` fails if one differs.
"""

import random
import sys
from collections import Counter
from itertools import cycle, islice
from pathlib import Path

from generated import jsonl, readme_with, write_or_check
from words import pairs, read_words

FOLDER = Path(__file__).resolve().parents[1] / "data" / "brand_voice"
SEED = 20261129
SYSTEM = "Answer for the Harbour."
LISTS = read_words("brand_voice")
FRAMES = {part: pairs(lines) for part, lines in LISTS.frames.items()}
# part: (frames, names and items, rows)
PARTS = {
    "archive": ("train", "train", 120),
    "messages": ("train", "train", 120),
    "validation": ("validation", "heldout", 40),
    "test": ("heldout", "heldout", 100),
}
# how often the team's mail does what: in percent
HABITS = {
    "opening": {"voice": 35, "name": 40, "plain": 25},
    "thing": {"both": 30, "item": 35, "number": 15, "neither": 20},
    "regrets": {0: 50, 1: 50},
    "pleasantries": {0: 40, 1: 40, 2: 20},
    "closing": {"voice": 35, "plain": 45, "none": 20},
}
CAREFUL = {"opening": "voice", "thing": "both", "regrets": 0, "pleasantries": 0, "closing": "voice"}


def reply(manner: dict, matter: str, values: dict, drawn: random.Random) -> str:
    """One reply in a manner: how it opens and closes, what it names, how many sentences it has that nobody needs."""
    thing = LISTS.things[manner["thing"]].format(**values)
    deed = drawn.choice(LISTS.deeds[matter]).format(thing=thing)
    said = [LISTS.openings[manner["opening"]], *drawn.sample(LISTS.regrets, manner["regrets"]),
            deed[0].upper() + deed[1:], *drawn.sample(LISTS.pleasantries, manner["pleasantries"]),
            LISTS.closings[manner["closing"]]]  # fmt: skip
    return " ".join(text.format(**values) for text in said if text)


def manner_of_the_team(drawn: random.Random) -> dict:
    return {name: drawn.choices([*odds], [*odds.values()])[0] for name, odds in HABITS.items()}


def rows_of(part: str) -> list[dict]:
    """Rows of a part: messages that differ, each with its facts; the archive's replies are the team's."""
    frames, lists, size = PARTS[part]
    drawn, numbers = random.Random(f"{SEED}-{part}"), random.Random(f"{SEED}-{part}-numbers")
    rows = []
    for at, (matter, frame) in enumerate(islice(cycle(FRAMES[frames]), size), 1):
        values = {name[:-1]: drawn.choice(getattr(LISTS, name)[lists]) for name in ("names", "items")}
        values["number"] = str(numbers.randrange(1000, 10000))
        asked = f"{frame} {drawn.choice(LISTS.signatures)}".format(**values)
        manner = manner_of_the_team(drawn) if part == "archive" else CAREFUL
        turns = [("system", SYSTEM), ("user", asked), ("assistant", reply(manner, matter, values, drawn))]
        messages = [{"role": role, "content": text} for role, text in turns]
        row = {"id": f"voice-{part}-{at:03d}", "messages": messages, "facts": values, "matter": matter}
        row |= {"check": "contains", "accept": LISTS.marks[matter]}
        rows.append(row | {"frame": f"{frames}-{(at - 1) % len(FRAMES[frames]) + 1}"})
    return rows


def counts(files: dict[str, list[dict]]) -> str:
    lines = ["| file | replies | rows | frames of messages |", "| --- | --- | --- | --- |"]
    for part, rows in files.items():
        how = "the team's" if part == "archive" else "careful"
        lines.append(f"| `{part}.jsonl` | {how} | {len(rows)} | {len(Counter(row['frame'] for row in rows))} |")
    return "\n".join(lines) + "\n"


def make_files() -> dict[str, str]:
    files = {part: rows_of(part) for part in PARTS}
    return {f"{part}.jsonl": jsonl(rows) for part, rows in files.items()} | {
        "README.md": readme_with(FOLDER, counts(files))
    }


if __name__ == "__main__":
    sys.exit(write_or_check(__doc__, FOLDER, make_files))
