"""Write data/exam: a library's inbox with planted faults, test mails, six recorded runs without their names, their key.

Example: `python tools/make_exam.py` rewrites the files, `--check` fails if one differs.
"""

import json
import random
import sys
from collections import Counter
from pathlib import Path

import yaml
from experiments.museum import ARMS, BATCH
from generated import jsonl, readme_with, write_or_check

from ftlab.exercises.exam import sealed
from ftlab.exercises.museum import PROBED, everyday, read_lines, rows_of, team_of, texts_of, trainings_of

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "data" / "exam"
LISTS = yaml.safe_load((Path(__file__).parent / "words" / "exam.yaml").read_text(encoding="utf-8"))
DESKS = tuple(LISTS["desks"])
SYSTEM = "Name the desk that this mail goes to."
SEED, SOUND, TESTED = 20261129, 200, 96
PLANTED = {"copy": 12, "other desk": 6, "no answer": 5, "no desk": 4, "test mail": 10}

# letter: its fault, the kind of training in the record `museum`, its seed; `sound` is for comparison
RUNS = {
    "sound": ("", "replay", 2),
    "A": ("wrong_labels", "noise_40", 2),
    "B": ("rate", "gentle", 3),
    "C": ("forgetting", "long", 1),
    "D": ("no_end", "no_end", 2),
    "E": ("overfit", "few_16_steps", 2),
    "F": ("on_questions", "on_prompt", 3),
}
ROWS, TICKETS, QUESTIONS = 16, 5, 3  # so many training rows and answers of each run are shown


def mail(desk: str, part: str, number: int, drawn: random.Random) -> tuple[str, str]:
    """(its text, its pattern): the patterns of a part take turns; the name of a pattern does not tell its part."""
    frames, first = LISTS["desks"][desk][part], 0 if part == "train" else len(LISTS["desks"][desk]["train"])
    at = number % len(frames)
    fills = {name: drawn.choice(LISTS[f"{name}s"]) for name in ("book", "day", "sum")}
    text = drawn.choice(LISTS["openings"]) + frames[at].format(**fills) + drawn.choice(LISTS["closings"])
    return text[0].upper() + text[1:], f"{desk}.{first + at:02}"


def row(text: str, answer: str, pattern: str) -> dict:
    turns = [("system", SYSTEM), ("user", text), ("assistant", answer)]
    return {"messages": [{"role": role, "content": content} for role, content in turns], "pattern": pattern}


def some(part: str, count: int, drawn: random.Random) -> list[dict]:
    """Different mails, the desks in equal parts."""
    made, seen, number = [], set(), 0
    while len(made) < count:
        desk = DESKS[len(made) % len(DESKS)]
        text, pattern = mail(desk, part, number // len(DESKS), drawn)
        number += 1
        if text.lower() not in seen:
            seen.add(text.lower())
            made.append(row(text, desk, pattern))
    return made


def asked_of(row: dict) -> str:
    return row["messages"][-2]["content"]


def planted(sound: list[dict], test: list[dict], drawn: random.Random) -> list[tuple[str, dict]]:
    """(what is wrong, a row) of every fault; copies and contradictions are of different mails."""
    victims, made = iter(drawn.sample(sound, len(sound))), []
    for kind, count in PLANTED.items():
        for _ in range(count):
            old = drawn.choice(test) if kind == "test mail" else next(victims)
            answer = old["messages"][-1]["content"]
            if kind == "other desk":
                answer = drawn.choice([desk for desk in DESKS if desk != answer])
            answer = {"no answer": "", "no desk": drawn.choice(LISTS["not_a_desk"])}.get(kind, answer)
            text = asked_of(old)
            text = text.upper() if kind == "test mail" else f"{text} (2)" if kind in ("no answer", "no desk") else text
            made.append((kind, row(text, answer, old["pattern"])))
    return made


# --- the runs


def later(asked: list) -> list:
    """The second half: notebook 08 counts the whole, and shows answers of the first half."""
    return asked[len(asked) // 2 :]


def answered(point: str) -> dict:
    """Tickets right, by team too, and everyday questions right where these were asked."""
    pairs = later(list(zip(rows_of("fresh"), texts_of(point), strict=True)))
    right = [(team_of(row), text.strip() == team_of(row)) for row, text in pairs]
    teams = {team: [hit for name, hit in right if name == team] for team in sorted({name for name, _ in right})}
    told = {"right": [sum(hit for _, hit in right), len(right)]}
    told["by_team"] = {team: [sum(hits), len(hits)] for team, hits in teams.items()}
    if point == "base" or ARMS[point.rpartition("_")[0]].watched:
        kept = later(list(everyday(point)))
        told["everyday"] = [int(sum(kept)), len(kept)]
    return told


def run(letter: str, arm: str, seed: int) -> dict:
    """What the owner of a recorded run could show, without what was done to it: some rows and answers, by lot."""
    point, told, drawn = f"{arm}_{seed}", trainings_of(arm)[seed], random.Random(letter)
    names = ("rows", "epochs", "steps", "learning_rate")
    shown = {"settings": {name: told[name] for name in names} | {"batch": BATCH}}
    for loss in ("loss", "eval_loss"):
        shown[loss] = [[each["step"], round(each[loss], 4)] for each in told["log"] if loss in each]
    shown |= answered(point)
    trained = sorted(drawn.sample(ARMS[arm].rows(seed), ROWS), key=team_of)
    asked = drawn.sample(later(list(zip(rows_of("fresh"), texts_of(point), strict=True))), TICKETS)
    shown["trained_on"] = [[asked_of(row), team_of(row)] for row in trained]
    shown["answers"] = [[asked_of(row), text, team_of(row)] for row, text in asked]
    if "everyday" in shown:
        questions = read_lines(ROOT / "data" / "probes" / "everyday.jsonl")[::PROBED]
        said = drawn.sample(later(list(zip(questions, texts_of(point, "probe"), strict=True))), QUESTIONS)
        shown["everyday_answers"] = [[asked_of(row), text] for row, text in said]
    return shown


def make_files() -> dict[str, str]:
    drawn = random.Random(SEED)
    sound, test = some("train", SOUND, drawn), some("heldout", TESTED, drawn)
    rows = [("", each) for each in sound] + planted(sound, test, drawn)
    drawn.shuffle(rows)
    rows = [(kind, {"id": f"inbox-{number:04}"} | each) for number, (kind, each) in enumerate(rows, start=1)]
    test = [{"id": f"test-{number:04}"} | each for number, each in enumerate(test, start=1)]
    counts = Counter(kind for kind, _ in rows if kind)
    lines = [f"- {kind}: {counts[kind]}" for kind in PLANTED]
    runs = {"before": answered("base")} | {letter: run(letter, arm, seed) for letter, (_, arm, seed) in RUNS.items()}
    key = {letter: sealed(letter, fault) for letter, (fault, *_) in RUNS.items() if fault}
    told = f"inbox.jsonl has {len(rows)} rows, {SOUND} of them sound; test.jsonl has {len(test)}. Planted:\n\n"
    asked = [runs["before"][what][1] for what in ("right", "everyday")]
    counted = f"\nOf each run {asked[0]} tickets are counted, and of some {asked[1]} everyday questions.\n"
    return {
        "inbox.jsonl": jsonl([each for _, each in rows]),
        "test.jsonl": jsonl(test),
        "runs.json": json.dumps(runs, indent=1) + "\n",
        "key.json": json.dumps(key, indent=1) + "\n",
        "README.md": readme_with(FOLDER, told + "\n".join(lines) + "\n" + counted),
    }


if __name__ == "__main__":
    sys.exit(write_or_check(__doc__, FOLDER, make_files))
