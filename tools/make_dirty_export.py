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

from generated import readme_with, write_or_check
from make_support_triage import DAYS, NAMES, QUEUES, TONES, URGENCIES
from words import pairs, read_lines, read_words

SOURCE = Path(__file__).resolve().parents[1] / "data" / "support_triage"
FOLDER = SOURCE / "raw"
SEED = 20261123
SYSTEM, USER, ANSWER = (f"messages[{index}].content" for index in range(3))

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
# what three tired agents do: agent -> field, label -> what they click
HABITS = {
    "agent-03": ("queue", {"aftersales": "logistics", "workshop": "aftersales", "billing": "accounts"}),
    "agent-06": ("tone", dict.fromkeys(TONES, "neutral")),
    "agent-08": ("urgency", dict.fromkeys(URGENCIES, "P3")),
}
CUSTOMERS, MINUTES = 600, 180 * 24 * 60
FIRST_MINUTE = datetime(2026, 1, 5, 8, 0)

LISTS = read_words("dirty_export")
SWAPS = dict(pairs(LISTS.swaps))
RARE = {"queue": "marketing", "tone": "bewildered", "ask": "apology"}
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


@dataclass(frozen=True)
class Damage:
    """A damaged row (an object, or the bytes of its line), where the damage is and what was done.

    `also` are (code, field) of further findings that the same damage leads to.
    """

    row: dict | bytes
    field: str
    note: str
    also: tuple[tuple[str, str], ...] = ()


# ---- small helpers


def dump(row: object) -> bytes:
    """One line of JSON in UTF-8; half a surrogate pair stays an escape."""
    text = json.dumps(row, ensure_ascii=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(row).encode()


def record(messages: list[dict]) -> dict:
    """The record in the answer."""
    return json.loads(messages[2]["content"])


def add(row: dict, sentence: str, turn: int = 1) -> dict:
    """The row with a sentence at the end of a turn."""
    row["messages"][turn]["content"] += f" {sentence}"
    return row


def answer(row: dict, text: str) -> dict:
    """The row with another answer."""
    row["messages"][2]["content"] = text
    return row


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


def history(rng: random.Random, lines: int) -> str:
    """A parcel's history, such as people paste, of about ten words a line."""
    return "\n".join(
        f"{rng.choice(DAYS)} {rng.randrange(24):02d}:{rng.randrange(60):02d} "
        f"parcel {rng.choice(LISTS.steps)} in {rng.choice(LISTS.depots)} by {rng.choice(NAMES)}"
        for _ in range(lines)
    )


# ---- faults: each takes a generator and a copy of a sound row


def broken_json(rng, row):
    line = dump(row)
    at = rng.randrange(len(line) // 3, len(line) - 60)
    return Damage(*rng.choice([
        (line[:at], "", "the line is cut"),
        (repr(row).encode(), "", "written with Python's quotes"),
        (line[:-1] + b",}", "", "a comma before the last brace"),
        (line + b" " + line, "", "two rows on one line"),
        (line.replace(b'"messages": ', b'"messages" '), "", "a colon is missing"),
    ]))


def not_an_object(rng, row):
    values = [(row["messages"], "a bare list of turns"), (row["messages"][1]["content"], "only the ticket's text"),
              (None, "null"), (len(dump(row)), "a number")]
    value, note = rng.choice(values)
    return Damage(dump(value), "", note)


def nul_byte(rng, row):
    return Damage(dump(add(row, "MARK")).replace(b"MARK", b"\0"), "", "a raw NUL byte at the end of the ticket")


def invalid_utf8(rng, row):
    sentence, code = rng.choice([("Please ask for René.", "latin-1"), ("I paid 20 € more.", "cp1252")])
    line = dump(add(row, "MARK")).replace(b"MARK", sentence.encode(code))
    return Damage(line, "", f"a sentence in {code} in a UTF-8 file")


def duplicate_key(rng, row):
    old, new, key = rng.choice([('"agent": ', '"agent": "agent-00", ', "agent"),
                                ('"messages": ', '"messages": [], ', "messages"),
                                ('"role": ', '"role": "user", ', "role")])
    line = dump(row).decode().replace(old, new + old, 1)
    return Damage(line.encode(), key, f"{key} stands twice in one object")


def lone_surrogate(rng, row):
    return Damage(add(row, "\ud83d"), USER, "half an emoji at the end of the ticket")


def nul_character(rng, row):
    return Damage(add(row, "\0\0"), USER, "two NUL characters at the end of the ticket")


def missing_messages(rng, row):
    messages = row.pop("messages")
    ticket, reply = messages[1]["content"], messages[2]["content"]
    extra, note = rng.choice([
        ({"chat": messages}, "the turns stand under chat"),
        ({"ticket": ticket, "reply": reply}, "ticket and reply instead of turns"),
        ({"messages": None}, "messages is null"),
        ({}, "messages is not there"),
    ])
    return Damage({**row, **extra}, "messages", note)


def empty_messages(rng, row):
    return Damage({**row, "messages": []}, "messages", "messages is an empty list")


def wrong_type(rng, row):
    turns = row["messages"]
    if rng.random() < 0.3:
        return Damage({**row, "messages": json.dumps(turns)}, "messages", "messages is JSON inside a string")
    if rng.random() < 0.4:
        turns[1]["content"] = [turns[1]["content"]]
        return Damage(row, USER, "the ticket stands in a list")
    turns[2]["content"] = record(turns)
    return Damage(row, ANSWER, "the answer is an object instead of a string")


ROLE_LOST = {1: (("no_user_turn", "messages"),), 2: (("last_not_assistant", "messages[2].role"),)}


def missing_role(rng, row):
    turn = rng.choice([1, 2])
    del row["messages"][turn]["role"]
    return Damage(row, f"messages[{turn}].role", "the role is deleted", ROLE_LOST[turn])


def unknown_role(rng, row):
    turn, role = rng.choice([(1, "human"), (1, "customer"), (1, "User"), (2, "gpt"), (2, "agent"), (2, "bot")])
    row["messages"][turn]["role"] = role
    return Damage(row, f"messages[{turn}].role", f"the role is {role}", ROLE_LOST[turn])


def system_not_first(rng, row):
    system, user, reply = row["messages"]
    return Damage({**row, "messages": [user, system, reply]}, "messages[1].role", "the system turn is second")


def missing_content(rng, row):
    turn = rng.choice([1, 2])
    if rng.random() < 0.5:
        del row["messages"][turn]["content"]
        return Damage(row, f"messages[{turn}].content", "content is deleted")
    row["messages"][turn]["content"] = None
    return Damage(row, f"messages[{turn}].content", "content is null")


def empty_content(rng, row):
    turn = rng.choice([1, 2])
    row["messages"][turn]["content"] = rng.choice(["", " ", "\n\n"])
    return Damage(row, f"messages[{turn}].content", "nothing but white space")


def last_not_assistant(rng, row):
    if rng.random() < 0.5:
        row["messages"].append({"role": "user", "content": "Thank you."})
        return Damage(row, "messages[3].role", "the customer has the last word")
    del row["messages"][2]
    return Damage(row, "messages[1].role", "the answer is not there")


def no_user_turn(rng, row):
    del row["messages"][1]
    return Damage(row, "messages", "the ticket is not there")


def repeated_role(rng, row):
    ticket = row["messages"][1]["content"]
    ends = [match.end() for match in re.finditer(r"[.?!] ", ticket)]
    at = min(ends or [len(ticket) // 2], key=lambda end: abs(end - len(ticket) // 2))
    turns = [{"role": "user", "content": part.strip()} for part in (ticket[:at], ticket[at:])]
    row["messages"][1:2] = turns
    return Damage(row, "messages[2].role", "the ticket is split into two user turns")


def system_drift(rng, row):
    prompt = rng.choice(LISTS.prompts)
    row["messages"][0]["content"] = prompt
    return Damage(row, SYSTEM, f"another system prompt: {prompt}")


def missing_system(rng, row):
    del row["messages"][0]
    return Damage(row, "messages[0]", "the system turn is not there")


SHORT = (("answer_not_json", ANSWER), ("length_outlier", ANSWER))


def empty_answer(rng, row):
    text = rng.choice(LISTS.nothing)
    return Damage(answer(row, text), ANSWER, f"the answer is {text}", SHORT)


def placeholder_answer(rng, row):
    text = rng.choice(LISTS.placeholders)
    return Damage(answer(row, text), ANSWER, f"the answer is {text}", SHORT)


def answer_cut(rng, row):
    text = row["messages"][2]["content"]
    text = text[: rng.randrange(len(text) // 2, len(text) - 10)].rstrip()
    return Damage(answer(row, text), ANSWER, "the answer is cut off", (("answer_not_json", ANSWER),))


def answer_not_json(rng, row):
    reply, labels = row["messages"][2]["content"], record(row["messages"])
    text, note = rng.choice([
        (f"This one goes to {labels['queue']}, {labels['urgency']}.", "a sentence instead of the record"),
        (repr(labels), "the record as Python writes it"),
        (f"```json\n{reply}\n```", "the record inside a code fence"),
        ("; ".join(f"{key}: {value}" for key, value in labels.items()), "key: value instead of JSON"),
    ])
    also = (("length_outlier", ANSWER),) if text.startswith("This") else ()
    return Damage(answer(row, text), ANSWER, note, also)


def answer_keys_differ(rng, row):
    turn = row["messages"][-1]
    labels = json.loads(turn["content"])
    key = rng.choice(list(labels))
    without = {k: v for k, v in labels.items() if k != key}
    new, note = rng.choice([
        (without, f"{key} is missing"),
        ({**labels, "language": "en"}, "one key more: language"),
        ({("priority" if k == "urgency" else k): v for k, v in labels.items()}, "urgency is called priority"),
        (dict(reversed(labels.items())), "the keys stand in reverse order"),
    ])
    turn["content"] = json.dumps(new)
    return Damage(row, f"messages[{len(row['messages']) - 1}].content", note)


def label_variant(rng, row):
    labels = record(row["messages"])
    key = rng.choice(["queue", "queue", "urgency", "tone", "ask"])
    old = labels[key]
    at = rng.randrange(1, len(old) - 1) if len(old) > 3 else 0
    misspelt = old[:at] + old[at + 1 :] if at else f"{old[0]} {old[1:]}"
    labels[key] = rng.choice([old.capitalize() if old.islower() else old.lower(), f" {old}", f"{old} ", misspelt])
    note = f"{key} {old!r} is written {labels[key]!r}"
    return Damage(answer(row, json.dumps(labels)), ANSWER, note)


def rare_label(rng, row):
    labels, key = record(row["messages"]), rng.choice(list(RARE))
    labels[key] = RARE[key]
    return Damage(answer(row, json.dumps(labels)), ANSWER, f"{key} is {RARE[key]}, which the policy does not know")


def length_outlier(rng, row):
    parts = rng.sample(LISTS.thread, 4)
    for part in parts:
        add(row, f"\n> On {rng.choice(DAYS)} {rng.choice(NAMES)} wrote:\n> {part}")
    return Damage(row, USER, f"a thread of {len(parts)} older mails is pasted below the ticket")


def mojibake(rng, row):
    add(row, rng.choice(LISTS.foreign_words).encode().decode("cp1252"))
    return Damage(row, USER, "a sentence in UTF-8 that was read as cp1252")


def html_residue(rng, row):
    text = row["messages"][1]["content"]
    new, note = rng.choice([
        (f"<p>{text}</p>", "wrapped in a p tag"),
        (f'<div class="mail">{text}</div>', "wrapped in a div tag"),
        (text.replace(". ", ".<br>"), "br tags between the sentences"),
        (text.replace(". ", ".&nbsp; "), "&nbsp; between the sentences"),
    ])
    if new == text:
        new, note = f"{text}&nbsp;<br/>", "&nbsp; and a br tag at the end"
    row["messages"][1]["content"] = new
    return Damage(row, USER, note)


def secret(rng, row):
    letters = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"

    def draw(count):
        return "".join(rng.choices(letters, k=count))

    note, sentence = rng.choice([
        ("an AWS key (the one in Amazon's own manuals)", "The log of our till says key AKIAIOSFODNN7EXAMPLE refused."),
        ("a made-up OpenAI key", f"My script used sk-{draw(48)} and got error 401."),
        ("a made-up JSON web token", f"The page shows eyJ{draw(21)}.eyJ{draw(36)}.{draw(43)} and stays white."),
        ("a made-up bearer token", f"It sends Authorization: Bearer {draw(40)} and nothing comes back."),
        ("a made-up password", f"If it helps, my password is {draw(6)}-{draw(5)}!{draw(5)} on your site."),
        ("a made-up private key", f"-----BEGIN PRIVATE KEY-----\n{draw(64)}\n{draw(64)}\n-----END PRIVATE KEY-----"),
    ])
    return Damage(add(row, sentence), USER, note)


def card_number(rng, row):
    sentence = rng.choice(["I paid with card {}.", "The card is {}, valid for two more years.", "My card number: {}"])
    return Damage(add(row, sentence.format(rng.choice(LISTS.cards))), USER, "a card number published for tests")


def iban(rng, row):
    sentence = rng.choice(["My account is {}.", "Our IBAN, for your files: {}", "The money came from {}."])
    return Damage(add(row, sentence.format(rng.choice(LISTS.ibans))), USER, "an IBAN published as an example")


def email(rng, row):
    name = f"{rng.choice(['ruth', 'tom.b', 'n.okafor', 'hale', 'linh88', 'carver-family'])}{rng.randrange(100)}"
    sentence = rng.choice(["You can write to {}.", "My mail: {}", "Please answer to {} only."])
    return Damage(add(row, sentence.format(f"{name}@{rng.choice(LISTS.mail_hosts)}")), USER, "a made-up mail address")


def phone(rng, row):
    forms = ["+49 30 23125 {0}", "0049 69 90009{0}", "+33 1 99 00 {1} {2}", "+33 6 39 98 {1} {2}", "020 1946 0{0}"]
    numbers = rng.randrange(100, 1000), rng.randrange(10, 100), rng.randrange(10, 100)
    number = rng.choice(forms).format(*numbers)
    sentence = rng.choice(["My phone number is {}.", "Call me on {}.", "Tel. {}"])
    return Damage(add(row, sentence.format(number)), USER, "a phone number that is nobody's")


def answer_cut_away(rng, row):
    add(row, "\n" + history(rng, 60))
    also = (("length_outlier", USER),)
    return Damage(row, ANSWER, "60 lines of a parcel's history are pasted below the ticket", also)


def answer_truncated(rng, row):
    answer(row, json.dumps({**record(row["messages"]), "history": history(rng, 60)}))
    also = (("answer_keys_differ", ANSWER), ("length_outlier", ANSWER))
    return Damage(row, ANSWER, "60 lines of a parcel's history are pasted into the answer, as a key of their own", also)


def put_marker(rng, row, markers):
    """Put one of the markers between two words of the ticket; the row and what was done."""
    text, marker = row["messages"][1]["content"], rng.choice(markers)
    at = rng.choice([match.start() for match in re.finditer(" ", text)])
    row["messages"][1]["content"] = f"{text[:at]} {marker}{text[at:]}"
    return Damage(row, USER, f"{marker} stands in the ticket")


def special_token_in_text(rng, row):
    return put_marker(rng, row, LISTS.own_markers)


def foreign_marker(rng, row):
    return put_marker(rng, row, LISTS.foreign_markers)


def double_eos(rng, row):
    also = (("special_token_in_text", ANSWER), ("answer_not_json", ANSWER))
    return Damage(answer(row, row["messages"][2]["content"] + "<|end|>"), ANSWER, "the answer ends with <|end|>", also)


def wrong_label(rng, row):
    labels, (key, habit) = record(row["messages"]), HABITS[row["agent"]]
    old, labels[key] = labels[key], habit[labels[key]]
    return Damage(answer(row, json.dumps(labels)), ANSWER, f"{key} {old} -> {labels[key]}, a habit of {row['agent']}")


# faults that meet in one row -> how many rows
PLANTED = {
    (broken_json,): 16, (not_an_object,): 8, (nul_byte,): 8, (invalid_utf8,): 10, (duplicate_key,): 8,
    (lone_surrogate,): 8, (nul_character,): 8, (missing_messages,): 10, (empty_messages,): 8, (wrong_type,): 9,
    (missing_role,): 8, (unknown_role,): 14, (system_not_first,): 8, (missing_content,): 8, (empty_content,): 10,
    (last_not_assistant,): 10, (no_user_turn,): 8, (repeated_role,): 8,
    (system_drift,): 18, (missing_system,): 12, (empty_answer,): 8, (placeholder_answer,): 10, (answer_cut,): 14,
    (answer_not_json,): 12, (answer_keys_differ,): 12, (label_variant,): 20, (rare_label,): 9,
    (length_outlier,): 10, (mojibake,): 12, (html_residue,): 12,
    (secret,): 12, (card_number,): 10, (iban,): 10, (email,): 12, (phone,): 12,
    (answer_cut_away,): 8, (answer_truncated,): 8,
    (special_token_in_text,): 10, (foreign_marker,): 10, (double_eos,): 8,
    (email, phone): 8, (html_residue, mojibake): 6, (system_drift, label_variant): 6,
    (missing_system, answer_keys_differ): 4, (secret, html_residue): 4,
}


# ---- the export


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
