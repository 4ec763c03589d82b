"""Write data/support_triage/raw/: a help desk's export with planted faults, the key to them, the README's counts.

Example: `python tools/make_dirty_export.py` rewrites the files, `--check` fails if they differ.
Sound rows come from train.jsonl; only the planted leaks are taken from validation.jsonl. The seed is fixed.
"""

from __future__ import annotations

import copy
import json
import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import dirty_faults
from dirty_faults import ANSWER, HABITS, LISTS, USER, dump, record, wrong_label
from generated import readme_with, write_or_check
from make_support_triage import NAMES, QUEUES, URGENCIES
from words import pairs, read_lines

SOURCE = Path(__file__).resolve().parents[1] / "data" / "support_triage"
FOLDER = SOURCE / "raw"
SEED = 20261123

# copies and rows added to the sound ones: code -> how many
ADDED = {
    "exact_duplicate": 50, "near_duplicate": 50, "contradiction": 30, "near_contradiction": 24,
    "leak_exact": 24, "leak_near": 24,
}
BLANK_LINES, CRLF_LINES = 10, 40
WRONG_LABELS = 0.15  # of the rows that are sound otherwise
# faults of the file as a whole: no row is unsound through them
OF_THE_FILE = ("bom", "crlf", "blank_line")

AGENTS = [f"agent-{number:02d}" for number in range(1, 9)]
CUSTOMERS, MINUTES = 600, 180 * 24 * 60
FIRST_MINUTE = datetime(2026, 1, 5, 8, 0)
SWAPS = dict(pairs(LISTS.swaps))
PLANTED = {tuple(getattr(dirty_faults, name) for name in names.split()): int(n) for names, n in LISTS.planted.items()}
PRIVATE = re.compile(r"@|07\d{9}")
SIGNED = re.compile(rf"\b({'|'.join(map(re.escape, NAMES))})$", re.IGNORECASE)


@dataclass
class Ticket:
    """One row to be: `faults` are still to be put into it, `original` is the ticket that it is a copy of."""

    messages: list[dict]
    agent: str
    minute: int
    customer: str = ""
    faults: tuple[Callable, ...] = ()
    code: str = ""  # of a row that is a fault by being there
    note: str = ""
    original: Ticket | None = None
    row: dict = field(default_factory=dict)
    line: int = 0


def slip(rng: random.Random, word: str) -> str:
    """The word with two neighbouring letters exchanged."""
    at = rng.choice([i for i in range(1, len(word) - 1) if word[i] != word[i + 1]])
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def change_words(rng: random.Random, messages: list[dict], count: int, swaps: dict[str, str] = SWAPS) -> str:
    """Exchange or misspell `count` words of the ticket in place, never the product or a number; says which."""
    words = messages[1]["content"].split(" ")
    product = (record(messages)["product"] or "").split()
    places = [i for i, word in enumerate(words) if word in swaps
              or re.fullmatch("[a-z]{5,}", word) and word not in product and len(set(word[1:])) > 1]
    changes = []
    for i in sorted(rng.sample(places, count)):
        new = swaps.get(words[i]) or slip(rng, words[i])
        changes.append(f"{words[i]} -> {new}")
        words[i] = new
    messages[1]["content"] = " ".join(words)
    return ", ".join(changes)


def change_labels(rng: random.Random, messages: list[dict]) -> str:
    """Give the answer another queue, another urgency or both, in place; says which."""
    labels = record(messages)
    changes = []
    for name, values in rng.choice([(("queue", QUEUES),), (("urgency", URGENCIES),),
                                    (("queue", QUEUES), ("urgency", URGENCIES))]):
        new = rng.choice([value for value in values if value != labels[name]])
        changes.append(f"{name} {labels[name]} -> {new}")
        labels[name] = new
    messages[2]["content"] = json.dumps(labels)
    return ", ".join(changes)


def retype(rng: random.Random, messages: list[dict]) -> str:
    """Change case, punctuation or one word of the ticket, as typing it again would, in place; says what."""
    text = messages[1]["content"]
    ways = {"lower case": text.lower(), "no punctuation": re.sub(r"[.,!?](?=\s|$)", "", text)}
    how = rng.choice([way for way, new in ways.items() if new != text] + ["a typo"])
    if how == "a typo":
        return change_words(rng, messages, 1, swaps={})
    messages[1]["content"] = ways[how]
    return how


def read(name: str) -> list[list[dict]]:
    """The conversations of one of the example's files."""
    lines = (SOURCE / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["messages"] for line in lines]


def sound_conversations() -> list[list[dict]]:
    """train.jsonl without tickets that hold private data or resemble an earlier one: those faults are planted here."""
    kept, words_of, having = [], [], defaultdict(list)
    for messages in read("train"):
        text = messages[1]["content"]
        if PRIVATE.search(text):
            continue
        words = re.findall("[a-z]+", text.lower())
        pairs, words = set(zip(words, words[1:], strict=False)), set(words)
        near = Counter(other for pair in pairs for other in having[pair]).most_common(8)
        if any(len(words & words_of[other]) / len(words | words_of[other]) >= 0.7 for other, _ in near):
            continue
        for pair in pairs:
            having[pair].append(len(kept))
        kept.append(messages)
        words_of.append(words)
    return kept


def draw_customers(rng: random.Random, tickets: list[Ticket]) -> None:
    """Give every ticket a customer: one of that name where it is signed, and copies to the original's."""
    names = {f"C-{number:04d}": rng.choice(NAMES) for number in range(1, CUSTOMERS + 1)}
    weights = {customer: rng.paretovariate(1.5) for customer in names}
    for ticket in tickets:
        signed = SIGNED.search(ticket.messages[1]["content"])
        fitting = [c for c in names if not signed or names[c].lower() == signed[1].lower()]
        ticket.customer = rng.choices(fitting, [weights[c] for c in fitting])[0]
    for ticket in tickets:
        if ticket.original:
            ticket.customer = ticket.original.customer


def make_copies(rng: random.Random, sound: list[Ticket]) -> list[Ticket]:
    """Copies of sound tickets, each of another one, sent again up to three days later."""
    long_enough = [ticket for ticket in sound if len(ticket.messages[1]["content"].split()) >= 30]
    copies = []
    for code in ("exact_duplicate", "near_duplicate", "contradiction", "near_contradiction"):
        for number in range(ADDED[code]):
            original = long_enough.pop()
            messages, notes = copy.deepcopy(original.messages), []
            if code == "near_duplicate":
                notes.append(change_words(rng, messages, 1 + number % 2))
            if code == "near_contradiction":
                notes.append(retype(rng, messages))
            if "contradiction" in code:
                notes.append(change_labels(rng, messages))
            minute = original.minute + rng.randrange(5, 3 * 24 * 60)
            agent, note = rng.choice(AGENTS), "; ".join(notes)
            copies.append(Ticket(messages, agent, minute, code=code, note=note, original=original))
    return copies


def make_leaks(rng: random.Random) -> list[Ticket]:
    """Rows of validation.jsonl, some with one word changed."""
    rows = [(number, messages) for number, messages in enumerate(read("validation"), 1)
            if len((text := messages[1]["content"]).split()) >= 30 and not PRIVATE.search(text)]
    chosen = rng.sample(rows, ADDED["leak_exact"] + ADDED["leak_near"])
    leaks = []
    for index, (number, messages) in enumerate(chosen):
        code = "leak_exact" if index < ADDED["leak_exact"] else "leak_near"
        note = f"line {number} of validation.jsonl"
        if code == "leak_near":
            note += f" with {change_words(rng, messages, 1)}"
        leaks.append(Ticket(messages, rng.choice(AGENTS), rng.randrange(MINUTES), code=code, note=note))
    return leaks


def make_foreign(rng: random.Random) -> list[Ticket]:
    """Tickets in other languages, rightly answered."""
    tickets = []
    for line in read_lines("foreign_tickets"):
        language, text, labels = line.split(" | ")
        values = [None if value == "-" else value for value in labels.split()]
        values[2] = values[2] and values[2].replace("_", " ")
        reply = dict(zip(("queue", "urgency", "product", "order_id", "tone", "ask"), values, strict=True))
        turns = zip(("system", "user", "assistant"), ("Triage the ticket.", text, json.dumps(reply)), strict=True)
        messages = [{"role": role, "content": content} for role, content in turns]
        note = f"{language}; the answer is right"
        tickets.append(Ticket(messages, rng.choice(AGENTS), rng.randrange(MINUTES), code="other_language", note=note))
    return tickets


def plant_wrong_labels(rng: random.Random, sound: list[Ticket], copied: set[int]) -> None:
    """Plan a wrong label for WRONG_LABELS of the sound tickets, where it is one of the agents' habits."""
    fitting = []
    for ticket in sound:
        key, habit = HABITS.get(ticket.agent, ("queue", {}))
        label = record(ticket.messages)[key]
        if habit.get(label, label) != label and id(ticket) not in copied:
            fitting.append(ticket)
    for ticket in rng.sample(fitting, round(WRONG_LABELS * len(sound))):
        ticket.faults = (wrong_label,)


def make_tickets(rng: random.Random) -> list[Ticket]:
    """All tickets in the order of the file, with the faults that each is to get."""
    conversations = sound_conversations()
    rng.shuffle(conversations)
    tickets = [Ticket(messages, rng.choice(AGENTS), rng.randrange(MINUTES)) for messages in conversations]
    sound = list(tickets)
    for faults, count in PLANTED.items():
        for _ in range(count):
            sound.pop().faults = faults
    copies = make_copies(rng, sound)
    plant_wrong_labels(rng, sound, {id(ticket.original) for ticket in copies})
    tickets += copies + make_leaks(rng) + make_foreign(rng)
    draw_customers(rng, tickets)
    tickets.sort(key=lambda ticket: ticket.minute)
    for number, ticket in enumerate(tickets, 1):
        created = FIRST_MINUTE + timedelta(minutes=ticket.minute)
        ticket.row = {
            "id": f"T-{number:05d}",
            "customer": ticket.customer,
            "agent": ticket.agent,
            "created_at": f"{created:%Y-%m-%dT%H:%M:00Z}",
            "messages": ticket.messages,
        }
    return tickets


def entry(line: int, code: str, place: str, note: str, clean=None, partner=None, follows_from=None) -> dict:
    """One line of the key."""
    return {"line": line, "code": code, "field": place, "note": note, "clean": clean, "partner": partner,
            "follows_from": follows_from}


def plant(rng: random.Random, ticket: Ticket) -> tuple[bytes, list[dict]]:
    """The line of a ticket, without its end, and its lines of the key."""
    row, entries = copy.deepcopy(ticket.row), []
    if ticket.code:
        place = ANSWER if "contradiction" in ticket.code else "messages" if ticket.code == "exact_duplicate" else USER
        partner, note = None, ticket.note
        if ticket.original:
            partner = ticket.original.line
            note = "; ".join(filter(None, [f"copy of {ticket.original.row['id']} on line {partner}", note]))
        entries.append(entry(ticket.line, ticket.code, place, note, partner=partner))
        if ticket.code == "near_contradiction":
            entries.append(entry(ticket.line, "near_duplicate", USER, note, None, partner, ticket.code))
    for fault in ticket.faults:
        damage = fault(rng, row)
        row = damage.row
        entries.append(entry(ticket.line, fault.__name__, damage.field, damage.note, ticket.row))
        for code, place in damage.also:
            entries.append(entry(ticket.line, code, place, damage.note, ticket.row, follows_from=fault.__name__))
    return row if isinstance(row, bytes) else dump(row), entries


def make_export() -> tuple[bytes, list[dict]]:
    """The bytes of dirty.jsonl and the entries of key.jsonl, the same on every machine."""
    rng = random.Random(SEED)
    tickets = make_tickets(rng)
    first_crlf = rng.randrange(len(tickets) // 3, len(tickets) // 2)  # counts tickets, from 0
    crlf = range(first_crlf, first_crlf + CRLF_LINES)
    blank = set(rng.sample([i for i in range(2, len(tickets), 2) if not crlf[0] <= i <= crlf[-1] + 1], BLANK_LINES))
    lines, key = [], []
    for index, ticket in enumerate(tickets):
        if index in blank:
            lines.append(rng.choice([b"", b"  "]) + b"\n")
            key.append(entry(len(lines), "blank_line", "", "an empty line"))
        ticket.line = len(lines) + 1
        line, entries = plant(rng, ticket)
        lines.append(line + (b"\r\n" if index in crlf else b"\n"))
        if index == crlf[0]:
            note = f"{CRLF_LINES} lines from here end in CRLF, as if a part came from another computer"
            entries.append(entry(ticket.line, "crlf", "", note))
        key += entries
    key.insert(0, entry(1, "bom", "", "the file begins with a byte order mark"))
    return b"\xef\xbb\xbf" + b"".join(lines), key


def counts(content: bytes, key: list[dict]) -> str:
    """Markdown: rows by kind, entries of the key by code, codes that meet in one row."""
    lines = content.count(b"\n")
    by_line = defaultdict(set)
    for item in key:
        if item["code"] not in OF_THE_FILE:
            by_line[item["line"]].add(item["code"])
    rows = lines - sum(item["code"] == "blank_line" for item in key)
    wrong = sum(codes == {"wrong_label"} for codes in by_line.values())
    kinds = [
        ("lines", lines),
        ("lines that end in CRLF", content.count(b"\r\n")),
        ("rows (lines that are not blank)", rows),
        ("rows without a fault", rows - len(by_line)),
        ("rows whose only fault is a wrong label", wrong),
        ("rows with another fault", len(by_line) - wrong),
        ("customers", len(set(re.findall(rb'"customer": "([^"]+)"', content)))),
    ]
    table = ["| what | number | share of rows |", "| --- | --- | --- |"]
    for name, number in kinds:
        table.append(f"| {name} | {number} | {f'{number / rows:.1%}' if name.startswith('rows') else ''} |")
    planted = Counter(item["code"] for item in key if not item["follows_from"])
    following = Counter(item["code"] for item in key if item["follows_from"])
    meets = defaultdict(Counter)
    for codes in by_line.values():
        for code in codes:
            meets[code].update(codes - {code})
    table += ["", "| code | planted | follows from another | meets in one row |", "| --- | --- | --- | --- |"]
    for code in dict.fromkeys([*(item["code"] for item in sorted(key, key=lambda item: order(item["code"])))]):
        others = ", ".join(f"{other} {number}" for other, number in sorted(meets[code].items()))
        table.append(f"| `{code}` | {planted[code]} | {following[code] or ''} | {others} |")
    return "\n".join(table)


def order(code: str) -> int:
    """Where a code stands in the README's table: as planned above."""
    faults = [fault.__name__ for faults in PLANTED for fault in faults]
    codes = [*OF_THE_FILE, *faults, *ADDED, "other_language", "wrong_label"]
    return codes.index(code) if code in codes else len(codes)


def make_files() -> dict[str, bytes | str]:
    """File name -> content."""
    content, key = make_export()
    return {"dirty.jsonl": content, "key.jsonl": b"".join(dump(item) + b"\n" for item in key),
            "README.md": readme_with(FOLDER, counts(content, key) + "\n")}


if __name__ == "__main__":
    sys.exit(write_or_check(__doc__, FOLDER, make_files))
