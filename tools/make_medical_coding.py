"""Write data/medical_coding: physician notes with their ICD-10-CM codes, from hand-written problems and sentences.

Example: `python tools/make_medical_coding.py` rewrites the files, `--check` fails if they differ.
A note is put together from problems, and each problem brings its codes: no code is guessed. codes.csv holds the
official description of every code (tests/test_medical_coding.py compares it with the official list).
"""

from __future__ import annotations

import csv
import io
import random
import re
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median

from generated import jsonl, readme_with, write_or_check
from words import pairs, read_words

FOLDER = Path(__file__).resolve().parents[1] / "data" / "medical_coding"
SEED = 20261129
SIZES = {"train": 1500, "validation": 150, "test": 300, "hard": 100}
SYSTEM = "Code the note in ICD-10-CM."
SPLITS = {  # lines of `says` and of `means` that a split may use
    "train": (slice(0, 3), slice(0, 3)),
    "validation": (slice(3, 4), slice(3, 4)),
    "test": (slice(4, 5), slice(4, 6)),
}
MORE_PROBLEMS = [0] * 9 + [1] * 8 + [2] * 3  # how many stand beside the first, as often as listed
WORDS = read_words("medical_coding")
SEXES = {"F": ["F", "yo F", "-year-old woman"], "M": ["M", "yo M", "-year-old man"]}


@dataclass(frozen=True)
class Problem:
    """What a note may be about, with its codes by variant ("" where there is one only)."""

    name: str
    codes: dict[str, list[str]]
    field: str
    ages: range
    sexes: str
    apart: frozenset[str]
    has: frozenset[str]
    also: str
    trap: str
    words: dict

    def lines(self, kind: str, split: str) -> list[tuple[str, str]]:
        """(id, line) of what a split may say of the problem."""
        own = SPLITS[split][kind == "means"]
        return [(f"{split}.{self.name}.{kind}.{n}", line) for n, line in enumerate(self.words[kind])][own]


def read_problem(name: str, words: dict) -> Problem:
    """A problem of tools/words/medical_coding.yaml."""
    codes = words["codes"]
    if isinstance(codes, str):
        codes = [f": {codes}"]
    ages, *sex = words["who"].split()
    low, high = map(int, ages.split("-"))
    return Problem(
        name,
        {variant.strip(): text.split() for variant, text in (line.split(":") for line in codes)},
        words["field"],
        range(low, high + 1),
        sex[0] if sex else "FM",
        frozenset(words.get("apart", "").split()),
        frozenset(words.get("has", "").split()),
        words.get("also", ""),
        words.get("trap", "none"),
        words,
    )


PROBLEMS = [read_problem(name, words) for name, words in WORDS.problems.items()]
HARD = [read_problem(name, words) for name, words in WORDS.hard.items()]


class Slots:
    """Values for the slots of one problem in one note: the same slot has the same value throughout."""

    def __init__(self, problem: Problem, variant: str, rng: random.Random):
        self.problem, self.variant, self.rng = problem, variant, rng
        self.codes = list(problem.codes[variant])
        self.values: dict[str, str] = {}

    def fill(self, text: str) -> str:
        """The text with a value in every slot."""
        while found := re.search(r"\{(\w+)\}", text):
            text = text.replace(found[0], self.value(found[1]))
        return text

    def value(self, slot: str) -> str:
        """The value of a slot; a treatment and a smoking history add their codes."""
        if slot not in self.values:
            self.values[slot] = self.drawn(slot)
        return self.values[slot]

    def drawn(self, slot: str) -> str:
        own, sides = self.problem.words.get("fill") or {}, WORDS.sides.get(slot, {})
        if slot == "V":
            return self.variant
        if slot in own:
            return self.rng.choice(own[slot][self.variant])
        if self.variant in sides:
            return self.rng.choice(sides[self.variant])
        if slot in ("rx", "smoke"):
            kind = self.rng.choice(list((WORDS.treatments if slot == "rx" else WORDS.smoking).values()))
            self.codes += kind["codes"].split()
            return self.rng.choice(kind["text"])
        return self.rng.choice(WORDS.slots[slot])

    def fits(self, text: str) -> bool:
        """Whether the variant has a value for every slot of the text."""
        return "{O}" not in text or self.variant in WORDS.sides["O"]


class NoteMaker:
    """Draws notes for one split; all randomness comes from its own seeded generator."""

    def __init__(self, split: str):
        self.split, self.rng = split, random.Random(f"{SEED}-{split}")
        self.decks: dict[str, list] = {}

    def draw(self, deck: str, items: list, fits=lambda item: True):
        """The next fitting item of a shuffled deck, so that all come about equally often; None where none fits."""
        rest = self.decks.setdefault(deck, [])
        for fresh in (False, True):
            if fresh:
                new = list(items)
                self.rng.shuffle(new)
                rest.extend(new)
            for i, item in enumerate(rest):
                if fits(item):
                    return rest.pop(i)
        return None

    def variant(self, problem: Problem) -> Slots:
        return Slots(problem, self.draw(f"{problem.name} variant", list(problem.codes)), self.rng)

    def note(self) -> dict:
        """Text, codes and where they come from."""
        first = self.draw("first", [problem for problem in PROBLEMS if problem.also != "only"])
        sex, age = self.rng.choice(first.sexes), self.rng.choice(first.ages)
        chosen = [first]

        def fits(other: Problem) -> bool:
            return sex in other.sexes and age in other.ages and all(apart(other, each) for each in chosen)

        for _ in range(0 if first.also == "alone" else self.rng.choice(MORE_PROBLEMS)):
            more = self.draw("more", [problem for problem in PROBLEMS if problem.also in ("yes", "only")], fits)
            chosen += [more] if more else []
        slots = [self.variant(problem) for problem in chosen]
        says_id, says = self.draw(f"{first.name} says", first.lines("says", self.split))
        means = [self.draw(f"{each.name} means", each.lines("means", self.split)) for each in chosen]
        finds = self.draw(f"{first.name} finds", first.words["finds"], slots[0].fits)
        does = [self.draw(f"{each.name} does", each.words["does"], own.fits)
                for each, own in zip(chosen, slots, strict=True)]  # fmt: skip

        def fill(own: Slots, text: str) -> str:
            filled = own.fill(text)
            return filled[0].upper() + filled[1:]

        text = self.layout(
            f"{self.header(age, sex)} {slots[0].fill(says)}",
            self.bystanders(chosen),
            fill(slots[0], finds),
            [fill(own, line) for own, (_, line) in zip(slots, means, strict=True)],
            [fill(own, line) for own, line in zip(slots, does, strict=True)],
        )
        return {
            "text": text,
            "codes": unique(code for own in slots for code in own.codes),
            "phrasing": "+".join([says_id, *(name for name, _ in means)]),
            "specialty": first.field,
            "trap": "+".join(unique(each.trap for each in chosen if each.trap != "none")) or "none",
        }

    def header(self, age: int, sex: str) -> str:
        form = self.rng.choice(SEXES[sex])
        return f"{age} {form}" if form.startswith("yo") else f"{age}{form}"

    def bystanders(self, chosen: list[Problem]) -> list[str]:
        """A denial, and now and then a fact that is not coded; neither says anything about the problems."""
        found, has = [], frozenset().union(*(each.has for each in chosen))
        if self.rng.random() < 0.55:
            about = self.rng.choice([tag for tag in WORDS.denials if tag not in has])
            text = self.rng.choice(WORDS.denials[about])
            found.append(text[0].upper() + text[1:] + ".")
        if self.rng.random() < 0.3:
            near = frozenset().union(*(each.apart for each in chosen))
            found.append(self.rng.choice([text for tag, text in pairs(WORDS.bystanders) if tag not in near]))
        return [each.replace("{n}", self.rng.choice(WORDS.slots["n"])) for each in found]

    def layout(self, says: str, more: list[str], finds: str, means: list[str], does: list[str]) -> str:
        """The note as one of four kinds of doctors write it."""
        several = len(means) > 1
        both = [f"{mean} - {do}" for mean, do in zip(means, does, strict=True)]
        numbered = [f"{n}. {each}" for n, each in enumerate(both, 1)] if several else both
        listed = [f"{n}) {each}" for n, each in enumerate(means, 1)] if several else means
        front = " ".join([says, *more])
        return self.rng.choice([
            f"HPI: {front} PE: {finds} A/P: {' '.join(numbered)}",
            f"S: {front} O: {finds} A: {'; '.join(means)}. P: {' '.join(does)}",
            f"{front}\nExam: {finds}\nImpression: {' '.join(listed)}\nPlan: {' '.join(does)}",
            f"{front} {finds}\n" + "\n".join(numbered),
        ])  # fmt: skip

    def hard_note(self) -> dict:
        """A note that is written as a whole, to set a trap."""
        problem = self.draw("hard", HARD)
        own = self.variant(problem)
        sex, age = self.rng.choice(problem.sexes), self.rng.choice(problem.ages)
        (text,) = problem.words["note"]
        return {
            "text": f"{self.header(age, sex)}. {own.fill(text)}",
            "codes": own.codes,
            "phrasing": f"hard.{problem.name}",
            "specialty": problem.field,
            "trap": problem.trap,
        }


def apart(one: Problem, other: Problem) -> bool:
    """Whether two problems may stand in one note: a coder would neither combine them nor choose."""
    return one.name != other.name and not one.apart & other.apart


def unique(items) -> list:
    return list(dict.fromkeys(items))


def make_split(split: str, seen: set[str]) -> list[dict]:
    """Rows of one split; `seen` holds all notes so far, so that none occurs twice."""
    maker, rows = NoteMaker(split), []
    while len(rows) < SIZES[split]:
        note = maker.hard_note() if split == "hard" else maker.note()
        text = note.pop("text")
        if text in seen:
            continue
        seen.add(text)
        codes = ", ".join(note.pop("codes"))
        turns = zip(("system", "user", "assistant"), (SYSTEM, text, codes), strict=True)
        messages = [{"role": role, "content": content} for role, content in turns]
        rows.append({"id": f"{split}-{len(rows) + 1:04d}", "messages": messages} | note)
    return rows


def codes_of(row: dict) -> list[str]:
    return row["messages"][-1]["content"].split(", ")


@cache
def official() -> dict[str, str]:
    """Code -> official description, of the release that the package carries."""
    import simple_icd_10_cm

    return {code: simple_icd_10_cm.get_description(code) for code in all_codes()}


def all_codes() -> dict[str, str]:
    """Code -> specialty of the first problem that brings it, in the order of the code list."""
    found = {}
    for problem in [*PROBLEMS, *HARD]:
        for codes in problem.codes.values():
            for code in codes:
                found.setdefault(code, problem.field)
    for kinds, field in ((WORDS.treatments, "endocrinology"), (WORDS.smoking, "pulmonology")):
        for kind in kinds.values():
            for code in kind["codes"].split():
                found.setdefault(code, field)
    return dict(sorted(found.items()))


def known_descriptions() -> dict[str, str]:
    """Code -> description as codes.csv has it; those of new codes are looked up in the official list."""
    path, known = FOLDER / "codes.csv", {}
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines()
        known = {row["code"]: row["description"] for row in csv.DictReader(lines)}
    return {code: known[code] if code in known else official()[code] for code in all_codes()}


def codes_table(splits: dict[str, list[dict]]) -> str:
    """codes.csv: every code with its description, its specialty and how many training notes have it."""
    counts = Counter(code for row in splits["train"] for code in codes_of(row))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["code", "description", "specialty", "training_notes"])
    for (code, text), field in zip(known_descriptions().items(), all_codes().values(), strict=True):
        writer.writerow([code, text, field, counts[code]])
    return out.getvalue()


def make_files() -> dict[str, str]:
    """File name -> content, the same on every machine."""
    seen: set[str] = set()
    splits = {split: make_split(split, seen) for split in SIZES}
    files = {f"{split}.jsonl": jsonl(rows) for split, rows in splits.items()}
    files["codes.csv"] = codes_table(splits)
    shown = "\n".join(show_row(splits[split][0]) for split in ("train", "test", "hard"))
    files["README.md"] = readme_with(FOLDER, f"{count_table(splits)}\n\n{shown}")
    return files


def show_row(row: dict) -> str:
    """Markdown of one row: the note as a quotation, and its codes."""
    _, note, codes = (message["content"] for message in row["messages"])
    quoted = note.replace("\n", "\n> ")
    return f"`{row['id']}`:\n\n> {quoted}\n\n`{codes}`\n"


def count_table(splits: dict[str, list[dict]]) -> str:
    """Markdown table of what the splits hold."""

    def several(rows: list[dict], n: int) -> int:
        return sum(len(codes_of(row)) == n or n == 4 <= len(codes_of(row)) for row in rows)

    lines = [("", *SIZES), ("---",) * (len(SIZES) + 1), ("notes", *map(len, splits.values()))]
    lines += [(f"with {n} codes" if n < 4 else "with 4 or more", *(several(rows, n) for rows in splits.values()))
              for n in (1, 2, 3, 4)]  # fmt: skip
    traps = unique(trap for rows in splits.values() for row in rows for trap in row["trap"].split("+"))
    lines += [(f"trap: {trap}", *(sum(trap in row["trap"].split("+") for row in rows) for rows in splits.values()))
              for trap in sorted(traps)]  # fmt: skip
    firsts = {split: {row["phrasing"].split("+")[0] for row in rows} for split, rows in splits.items()}
    lines.append(("codes", *(len({code for row in rows for code in codes_of(row)}) for rows in splits.values())))
    lines.append(("phrasings of the complaint", *map(len, firsts.values())))
    words = {split: [len(row["messages"][1]["content"].split()) for row in rows] for split, rows in splits.items()}
    lines.append(("words, median", *(round(median(each)) for each in words.values())))
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


if __name__ == "__main__":
    sys.exit(write_or_check(__doc__, FOLDER, make_files))
