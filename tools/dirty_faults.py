"""The faults of data/support_triage/raw: each damages a copy of a sound row and says where and how."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass

from make_support_triage import DAYS, NAMES, TONES, URGENCIES
from words import read_words

SYSTEM, USER, ANSWER = (f"messages[{index}].content" for index in range(3))

# what three tired agents do: agent -> field, label -> what they click
HABITS = {
    "agent-03": ("queue", {"aftersales": "logistics", "workshop": "aftersales", "billing": "accounts"}),
    "agent-06": ("tone", dict.fromkeys(TONES, "neutral")),
    "agent-08": ("urgency", dict.fromkeys(URGENCIES, "P3")),
}
LISTS = read_words("dirty_export")
RARE = {"queue": "marketing", "tone": "bewildered", "ask": "apology"}


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
