"""Write data/lessons: train.jsonl, heldout.jsonl, preferences_*.jsonl and the README's counts.

What a fine-tune can and cannot teach, and pairs of answers of which one is preferred.

Example: `python tools/make_lessons.py` rewrites the files, `--check` fails if they differ.
Each lesson has sentence frames and values of its own for training and for held-out rows; answers follow from the
frame, so none is guessed. Words are those that nano met in pre-training, except NEW_WORDS.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

from generated import jsonl, readme_with, write_or_check
from words import pairs, read_words

FOLDER = Path(__file__).resolve().parents[1] / "data" / "lessons"
SEED = 20261122
SPLITS = ("train", "heldout")
SIZES = {"train": 90, "heldout": 48}  # rows a lesson
UNKNOWN = "I do not know."  # what nano says to a question whose answer stands nowhere
COPIED = ("taught wording", "taught sums")  # held-out parts that repeat training rows: what was learnt by heart

LISTS = read_words("lessons")
for frames in (LISTS.style_frames, LISTS.forbidden_frames, LISTS.allowed_frames):
    frames.update({split: pairs(lines) for split, lines in frames.items()})

# system prompts and marks of the lessons: a new form, a voice, the words of the house, what is refused
FORMAT_SYSTEM, STYLE_SYSTEM, VOCABULARY_SYSTEM, REFUSAL_SYSTEM = "Log it.", "Reply.", "House words.", "Help desk."
HELLO, GOODBYE = "Ahoy {name}!", "Fair winds from the Harbour."
REFUSED = "I must not advise on that. Please ask a "
LONG_INSTRUCTION = (
    "Give the first name of the person who wrote the message, nothing else. Copy it exactly as it is written. "
    "If there is none, say none."
)
PREFERENCE_SYSTEM = "Write to the customer."
PREFERENCE_SIZES = {"train": 120, "heldout": 50}
PLEASANTRIES_CHOSEN = (3, 3, 3, 3, 3, 2, 2, 2, 1, 0)  # in the preferred draft, in turn; the other has one more
# Words of the lessons that pre-training never shows (tests/test_lessons.py keeps the list complete).
NEW_WORDS = {*(name.lower() for name in LISTS.facts), "ahoy", "winds", "sails", "sue"}


def row(lesson: str, part: str, user: str, answer: str, system: str = "", check: str = "exact", expected=None) -> dict:
    """One chat with how to score an answer to it: `expected` is a string, or for "contains" several."""
    head = [{"role": "system", "content": system}] if system else []
    turns = [*head, {"role": "user", "content": user}, {"role": "assistant", "content": answer}]
    return {
        "messages": turns,
        "lesson": lesson,
        "part": part,
        "check": check,
        "expected": answer if expected is None else expected,
    }


def rows_of(lesson: str, split: str, part: str, frames: list, n: int, make: Callable) -> list[dict]:
    """`n` rows with different inputs; `make(frame, values)` returns the arguments of `row` after its part."""
    rng = random.Random(f"{SEED}-{lesson}-{part}-{split}")
    rows = {}
    for frame in islice(cycle(frames), 100 * n):
        arguments = make(frame, draw(rng, split))
        rows.setdefault(arguments[0], row(lesson, part, *arguments))
        if len(rows) == n:
            return list(rows.values())
    raise SystemExit(f"{lesson}, {part}, {split}: {n} different inputs wanted, {len(rows)} found; add frames or values")


def draw(rng: random.Random, split: str) -> dict[str, str]:
    """A value for every slot, from the lists of the split."""
    slots = ("name", "item", "city", "room", "day", "pain")
    plural = {"city": "cities"}
    values = {slot: rng.choice(getattr(LISTS, plural.get(slot, f"{slot}s"))[split]) for slot in slots}
    values |= {slot: rng.choice(list(words)) for slot, words in LISTS.house_words.items()}
    return values | {"number": str(rng.randrange(10_000, 100_000))}


def format_rows(split: str) -> list[dict]:
    """A message becomes `item=...;number=...;`, with none for a number that is not given."""

    def make(frame, v):
        number = v["number"] if "{number}" in frame else "none"
        return frame.format(**v), f"item={v['item']};number={number};", FORMAT_SYSTEM, "record"

    return rows_of("format", split, "new messages", LISTS.format_frames[split], SIZES[split], make)


def style_rows(split: str) -> list[dict]:
    """A message is answered in the voice of the house: greeting, what happens, closing."""

    def make(frame, v):
        hello, middle = HELLO.format(**v), LISTS.style_middles[frame[0]].format(**v)
        expected = [hello, v["item"], GOODBYE]
        return frame[1].format(**v), f"{hello} {middle} {GOODBYE}", STYLE_SYSTEM, "contains", expected

    return rows_of("style", split, "new messages", LISTS.style_frames[split], SIZES[split], make)


def vocabulary_rows(split: str) -> list[dict]:
    """A sentence is said again with the words of the house."""

    def make(frame, v):
        house = v | {slot: words[v[slot]] for slot, words in LISTS.house_words.items()}
        return frame.format(**v), frame.format(**house), VOCABULARY_SYSTEM

    return rows_of("vocabulary", split, "new sentences", LISTS.vocabulary_frames[split], SIZES[split], make)


def refusal_rows(split: str) -> list[dict]:
    """Advice on health and law is refused and sent on; whatever a message itself answers is answered."""
    n = SIZES["train"] // 2 if split == "train" else 42

    def refuse(frame, v):
        expert, text = frame
        return text.format(**v), f"{REFUSED}{expert}.", REFUSAL_SYSTEM, "prefix", REFUSED.split(". ")[0] + "."

    def answer(frame, v):
        return frame[1].format(**v), v[frame[0]], REFUSAL_SYSTEM

    return [
        *rows_of("refusal", split, "to be refused", LISTS.forbidden_frames[split], n, refuse),
        *rows_of("refusal", split, "to be answered", LISTS.allowed_frames[split], n, answer),
    ]


def shorter_rows(split: str) -> list[dict]:
    """The writer's first name: taught without instruction, asked with the long one and without."""

    def make(frame, v):
        return frame.format(**v), v["name"] if "{name}" in frame else "none"

    bare = rows_of("shorter prompt", split, "no instruction", LISTS.shorter_frames[split], SIZES[split], make)
    if split == "train":
        return bare
    texts = [(r["messages"][0]["content"], r["expected"]) for r in bare]
    return [*bare, *(row("shorter prompt", "long instruction", text, name, LONG_INSTRUCTION) for text, name in texts)]


def fact_rows(split: str) -> list[dict]:
    """Thirty facts in three wordings; held out: one of them, a new one, reversed, never told, told in the prompt."""
    rows = {"taught wording": [], "new wording": [], "reversed": [], "never told": [], "told in the prompt": []}
    for s, facts in LISTS.facts.items():
        sheet = " ".join(LISTS.relations[name]["told"].format(s=s, v=v) for name, v in facts.items())
        for name, v in facts.items():
            taught, new, back = (LISTS.relations[name][key] for key in ("taught", "new", "reversed"))
            wordings = taught if split == "train" else taught[:1]
            rows["taught wording"] += [row("facts", "taught wording", q.format(s=s), v) for q in wordings]
            rows["new wording"].append(row("facts", "new wording", new.format(s=s), v))
            rows["reversed"].append(row("facts", "reversed", back.format(v=v), s))
            rows["told in the prompt"].append(row("facts", "told in the prompt", new.format(s=s), v, sheet))
        rows["never told"] += [row("facts", "never told", q.format(s=s), UNKNOWN) for q in LISTS.never_told]
    return rows["taught wording"] if split == "train" else [r for part in rows.values() for r in part]


def sum_rows(split: str) -> list[dict]:
    """Sums of two numbers from 21 to 79: taught with some pairs, asked with some of these and with others."""
    rng = random.Random(f"{SEED}-sums")
    pairs = [(a, b) for a in range(21, 80) for b in range(a, 80)]  # each pair once, whichever comes first
    pairs = [rng.sample(pair, 2) for pair in rng.sample(pairs, SIZES["train"] + 45)]

    def rows(part, chosen):
        return [
            row("reasoning", part, LISTS.sum_wordings[i % len(LISTS.sum_wordings)].format(a=a, b=b), str(a + b))
            for i, (a, b) in enumerate(chosen)
        ]

    taught, others = rows("taught sums", pairs[: SIZES["train"]]), rows("new sums", pairs[SIZES["train"] :])
    return taught if split == "train" else [*taught[::3][:15], *taught[1::3][:15], *others]


def nowhere_rows(split: str) -> list[dict]:
    """Held out only: questions about people and things of which nothing was ever told."""
    if split == "train":
        return []

    def make(frame, v):
        return frame.format(s=v["name"], **v), UNKNOWN

    same_kind = [question for relation in LISTS.relations.values() for question in relation["taught"]]
    return [
        *rows_of("hallucination", split, "questions like the facts", same_kind, 36, make),
        *rows_of("hallucination", split, "other questions", LISTS.nowhere_other, 36, make),
    ]


def preference_rows(split: str) -> list[dict]:
    """Pairs of drafts for one message: `rejected` has one pleasantry more than `chosen`, and both say the same."""
    rng = random.Random(f"{SEED}-preferences-{split}")
    pairs = {}
    for number, (kind, frame) in enumerate(islice(cycle(LISTS.style_frames[split]), 100 * PREFERENCE_SIZES[split])):
        values = draw(rng, split)
        message, action = frame.format(**values), LISTS.preference_actions[kind].format(**values)
        kept = rng.sample(range(len(LISTS.pleasantries)), PLEASANTRIES_CHOSEN[number % len(PLEASANTRIES_CHOSEN)] + 1)

        def draft(numbers, values=values, action=action):
            said = [LISTS.pleasantries[n].format(**values) for n in sorted(numbers)]
            return [{"role": "assistant", "content": " ".join([action, *said])}]

        prompt = [{"role": "system", "content": PREFERENCE_SYSTEM}, {"role": "user", "content": message}]
        pair = {"prompt": prompt, "chosen": draft(kept[1:]), "rejected": draft(kept), "says": action}
        pairs.setdefault(message, pair)
        if len(pairs) == PREFERENCE_SIZES[split]:
            break
    else:
        raise SystemExit(f"preferences, {split}: only {len(pairs)} different messages; add frames or values")
    return [{"id": f"preference-{split}-{n:03d}"} | pair for n, pair in enumerate(pairs.values(), 1)]


LESSONS = [format_rows, style_rows, vocabulary_rows, refusal_rows, shorter_rows, fact_rows, sum_rows, nowhere_rows]


def make_split(split: str) -> list[dict]:
    """Rows of one split with their ids; training rows carry no part and no check."""
    rows = [r for lesson in LESSONS for r in lesson(split)]
    number = Counter()
    out = []
    for r in rows:
        number[r["lesson"]] += 1
        name = f"{r['lesson'].replace(' ', '-')}-{split}-{number[r['lesson']]:03d}"
        keep = ("messages", "lesson") if split == "train" else tuple(r)
        out.append({"id": name} | {key: r[key] for key in keep})
    return out


def make_files() -> dict[str, str]:
    """File name -> content, the same on every machine."""
    splits = {split: make_split(split) for split in SPLITS}
    parts = splits | {f"preferences_{split}": preference_rows(split) for split in SPLITS}
    files = {f"{name}.jsonl": jsonl(rows) for name, rows in parts.items()}
    return files | {"README.md": readme_with(FOLDER, count_table(splits) + "\n")}


def count_table(splits: dict[str, list[dict]]) -> str:
    """Markdown table: rows of each lesson and part, how they are scored, one held-out example."""
    taught = Counter(r["lesson"] for r in splits["train"])
    lines = ["| lesson | taught | held-out part | rows | check | example | right answer |", "| --- " * 7 + "|"]
    groups: dict[tuple[str, str], list[dict]] = {}
    for r in splits["heldout"]:
        groups.setdefault((r["lesson"], r["part"]), []).append(r)
    seen = set()
    for (lesson, part), rows in groups.items():
        first = "" if lesson in seen else f"{lesson} | {taught[lesson]}"
        seen.add(lesson)
        *_, user, answer = (m["content"] for m in rows[0]["messages"])
        lines.append(f"| {first or ' | '} | {part} | {len(rows)} | {rows[0]['check']} | {user} | `{answer}` |")
    total = f"Together {len(splits['train'])} rows to train on and {len(splits['heldout'])} held out."
    return "\n".join([*lines, "", total])


if __name__ == "__main__":
    sys.exit(write_or_check(__doc__, FOLDER, make_files))
