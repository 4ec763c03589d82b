"""Write data/exam: a library's inbox with planted faults, test mails, six recorded runs without their names, counts.

Example: `python tools/make_exam.py` rewrites the files, `--check` fails if one differs.
"""

import json
import random
import sys
from collections import Counter
from pathlib import Path

import yaml
from generated import jsonl, readme_with, write_or_check

from ftlab.data.schema import read_chat
from ftlab.evaluation.metrics import parse_record, score_fields
from ftlab.evaluation.statistics import score_interval

ROOT = Path(__file__).resolve().parents[1]
FOLDER, RECORDED = ROOT / "data" / "exam", ROOT / "data" / "recorded"
LISTS = yaml.safe_load((Path(__file__).parent / "words" / "exam.yaml").read_text(encoding="utf-8"))
DESKS = tuple(LISTS["desks"])
SYSTEM = "Name the desk that this mail goes to."
SEED, SOUND, TESTED = 20261129, 200, 96
PLANTED = {"copy": 12, "other desk": 6, "no answer": 5, "no desk": 4, "test mail": 10}

# letter: (its fault, the record, the point in it); the sound ones are for comparison
RUNS = {
    "sound": ("", "forgetting", "replay_50"),
    "sound, 200 tickets": ("", "data", "careful"),
    "sound nano": ("", "distill", "small_gold"),
    "A": ("overfit", "data", "few"),
    "B": ("systematic_labels", "distill", "small_confused"),
    "C": ("forgetting", "forgetting", "replay_0"),
    "D": ("short", "data", "careful_once"),
    "E": ("facts", "facts", "documents"),
    "F": ("random_labels", "data", "careless_40"),
}


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


def asked(each: dict) -> str:
    return each["messages"][1]["content"]


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
            text = asked(old)
            text = text.upper() if kind == "test mail" else f"{text} (2)" if kind in ("no answer", "no desk") else text
            made.append((kind, row(text, answer, old["pattern"])))
    return made


# --- the runs


def run(record: str, point: str) -> dict:
    """What can be seen of a recorded run, without what was done to it."""
    results = json.loads((RECORDED / record / "results.json").read_text(encoding="utf-8"))
    if record == "facts":
        arm = results["arms"][point]
        return {"model": "smol", "answers": {kind: each["right"] for kind, each in arm["kinds"].items()}}
    found = results["points"][point]
    folder = RECORDED / record / "predictions" / point
    steps = found.get("training_steps") or found["steps"]
    shown = {"model": found.get("model", "smol"), "rows": found["rows"], "steps": steps}
    shown["log"] = found.get("training_log") or [
        {"step": steps, "loss": found["final_loss"]}, {"step": steps, "eval_loss": found["final_eval_loss"]}
    ]  # fmt: skip
    if "probe" in found:
        shown["everyday"] = found["probe"]
    if folder.exists():
        shown |= tickets_right(next(folder.glob("test.*.jsonl")))
    return shown | ({"fields": found["test"]["field_accuracy"]} if "test" in found else {})


def tickets_right(path: Path) -> dict:
    """Of answers to the first test tickets: the fields right, each field, and the team by the team that is right."""
    given = [parse_record(json.loads(line)["prediction"]) for line in path.read_text(encoding="utf-8").splitlines()]
    rows = read_chat(ROOT / "data" / "support_triage" / "test.jsonl")[: len(given)]
    right = [json.loads(each["messages"][-1]["content"]) for each in rows]
    names = list(right[0])
    scores = score_fields(given, right, names)
    interval = score_interval(scores.mean(axis=1))
    named, team = [each["queue"] for each in right], names.index("queue")
    teams = {name: [i for i, each in enumerate(named) if each == name] for name in sorted(set(named))}
    return {
        "fields": vars(interval),
        "by_field": {name: float(scores[:, at].mean()) for at, name in enumerate(names)},
        "by_team": {name: [int(scores[places, team].sum()), len(places)] for name, places in teams.items()},
    }


def make_files() -> dict[str, str]:
    drawn = random.Random(SEED)
    sound, test = some("train", SOUND, drawn), some("heldout", TESTED, drawn)
    rows = [("", each) for each in sound] + planted(sound, test, drawn)
    drawn.shuffle(rows)
    rows = [(kind, {"id": f"inbox-{number:04}"} | each) for number, (kind, each) in enumerate(rows, start=1)]
    test = [{"id": f"test-{number:04}"} | each for number, each in enumerate(test, start=1)]
    counts = Counter(kind for kind, _ in rows if kind)
    lines = [f"- {kind}: {counts[kind]}" for kind in PLANTED]
    told = f"inbox.jsonl has {len(rows)} rows, {SOUND} of them sound; test.jsonl has {len(test)}. Planted:\n\n"
    return {
        "inbox.jsonl": jsonl([each for _, each in rows]),
        "test.jsonl": jsonl(test),
        "runs.json": json.dumps({name: run(*where) for name, (_, *where) in RUNS.items()}, indent=1) + "\n",
        "faults.json": json.dumps({name: fault for name, (fault, *_) in RUNS.items() if fault}, indent=1) + "\n",
        "README.md": readme_with(FOLDER, told + "\n".join(lines) + "\n"),
    }


if __name__ == "__main__":
    sys.exit(write_or_check(__doc__, FOLDER, make_files))
