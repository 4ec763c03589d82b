"""Write data/support_triage/*.jsonl, schema.json and the README's counts from hand-written sentence patterns.

Example: `python tools/make_support_triage.py` rewrites the files, `--check` fails if they differ.
A ticket is put together from patterns; each pattern carries its part of the label, so no label is guessed.
"""

from __future__ import annotations

import json
import random
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from generated import jsonl, readme_with, write_or_check
from words import read_lines, read_words

FOLDER = Path(__file__).resolve().parents[1] / "data" / "support_triage"
SEED = 20261122
SIZES = {"train": 2000, "validation": 300, "test": 600, "hard": 200, "other_shop": 200}
SYSTEM = "Triage the ticket."

QUEUES = ["logistics", "aftersales", "workshop", "billing", "accounts", "presales", "hazards"]
URGENCIES = ["P1", "P2", "P3", "P4"]
TONES = ["furious", "annoyed", "neutral", "friendly"]
ASKS = ["money_back", "new_item", "repair_visit", "trace_parcel", "explanation", "change_details"]
ASK_OF_LETTER = {ask[0]: ask for ask in ASKS}
GOODS = ("logistics", "aftersales", "workshop", "presales")  # here somebody may be waiting for the goods

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Support triage record",
    "type": "object",
    "properties": {
        "queue": {"enum": QUEUES},
        "urgency": {"enum": URGENCIES},
        "product": {"type": ["string", "null"], "minLength": 1},
        "order_id": {"type": ["string", "null"], "pattern": "^[0-9]{6}$"},
        "tone": {"enum": TONES},
        "ask": {"enum": ASKS},
    },
    "required": ["queue", "urgency", "product", "order_id", "tone", "ask"],
    "additionalProperties": False,
}

GREETINGS = ["Hello,", "Hi,", "Hi there,", "Good morning,", "Good evening,", "Dear sir or madam,",
             "Dear {shop},", "Hello {shop},", "To whom it may concern,"]
SIGN_OFFS = ["Regards, {name}", "Kind regards, {name}", "Thanks, {name}", "{name}", "Yours, {name}",
             "Best, {name}", "Sent from my phone"]
NAMES = ["Priya", "Tom", "Aisha", "J. Novak", "Mrs Hale", "Kofi", "Elena", "Sam Whitlow", "Ingrid", "Mateo",
         "R. Singh", "Beth", "Yusuf", "Mr Carver", "Linh", "Dora", "Pat", "Owen", "Farah", "G. Petit"]
COLOURS = ["white", "grey", "black", "blue", "green", "red", "beige"]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December"]
SHORT_FORMS = {"please": "pls", "weeks": "wks", "week": "wk", "tomorrow": "tmrw", "your": "ur", "and": "&",
               "because": "bc", "thanks": "thx", "message": "msg", "before": "b4", "you": "u"}


@dataclass(frozen=True)
class Pattern:
    """One hand-written sentence (or two) and what it says about the label."""

    id: str
    kind: str
    split: str
    label: str
    fields: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Shop:
    """What the shops differ in."""

    name: str
    products: dict[str, set[str]]
    brands: list[str]


def read_patterns(name: str) -> list[Pattern]:
    """Patterns of one file of tools/words; the form is described in support_triage_train.txt."""
    patterns: list[Pattern] = []
    for line in read_lines(name):
        if line.startswith("##"):
            kind, split, label = [*line[2:].split(), ""][:3]
            number = 0
        else:
            number += 1
            fields, sentence = line.split(" | ")
            pattern_id = f"{split}.{label or kind}.{number:02d}"
            patterns.append(Pattern(pattern_id, kind, split, label, tuple(fields.split()), sentence))
    return patterns


def shop_of(name: str, products: dict[str, str], brands: list[str]) -> Shop:
    """A shop whose every product that is not cloth also carries the tag `solid`."""
    tags = {product: {"any", *words.split()} for product, words in products.items()}
    for words in tags.values():
        words |= set() if "cloth" in words else {"solid"}
    return Shop(name, tags, brands)


PATTERNS = read_patterns("support_triage_train") + read_patterns("support_triage_heldout")
SHOPS = read_words("shops")
BRIGHTWATER = shop_of("Brightwater team", SHOPS.brightwater, SHOPS.brightwater_brands)
OTHER_SHOP = shop_of("Pike and Rowan", SHOPS.other_shop, SHOPS.other_shop_brands)


def pool(split: str, kind: str, label: str = "") -> list[Pattern]:
    """Patterns a split may use; hard and other_shop add test's sentences to their own, except issues."""
    own = [p for p in PATTERNS if (p.kind, p.split, p.label) == (kind, split, label)]
    if split in ("hard", "other_shop") and kind in ("ask", "tone", "p1", "p2", "ref"):
        own += [p for p in PATTERNS if (p.kind, p.split, p.label) == (kind, "test", label)]
    return own


class TicketMaker:
    """Draws tickets for one split; all randomness comes from its own seeded generator."""

    def __init__(self, split: str):
        self.split = split
        self.rng = random.Random(f"{SEED}-{split}")
        self.shop = OTHER_SHOP if split == "other_shop" else BRIGHTWATER
        self.hard = split == "hard"
        self.asked = dict.fromkeys(ASKS, 1)
        self.decks: dict[tuple[str, str], list[Pattern]] = {}

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def draw(self, kind: str, label: str = "", fits=lambda pattern: True) -> Pattern | None:
        """Next fitting pattern of a shuffled deck, so that all patterns are used about equally often."""
        deck = self.decks.setdefault((kind, label), [])
        for fresh in (False, True):
            if fresh:
                new = pool(self.split, kind, label)
                self.rng.shuffle(new)
                deck.extend(new)
            for i, pattern in enumerate(deck):
                if fits(pattern):
                    return deck.pop(i)
        return None

    def ticket(self, queue: str) -> tuple[str, dict, list[str]]:
        """Text, record and pattern ids of one ticket of the given queue."""
        issue = self.draw("issue", queue)
        tag, letters, urgency = issue.fields
        asks = [ASK_OF_LETTER[letter.lower()] for letter in letters]
        ask = self.rng.choices(asks, [1 / self.asked[a] for a in asks])[0]
        self.asked[ask] += 1
        base = int(urgency[0])
        waits = urgency.endswith("+") and ask != "money_back"
        product, need = self.choose_product(queue, tag, waits and queue in GOODS)
        pressure, level = self.choose_pressure(queue, base, waits and queue in GOODS, need)
        tone = self.choose_tone(queue, base)
        tone_line = None
        if tone != "neutral":
            tone_line = self.draw("tone", tone, lambda p: base < 4 or "prob" not in p.fields)
        ask_line = None if letters.isupper() else self.draw("ask", ask, lambda p: fits_queue(p, queue))
        ref = self.choose_reference(issue, queue, base)
        decoy = self.choose_decoy(issue, product)
        side = self.choose_side(queue, product)

        front = [p for p in (tone_line, ref) if p and "^" in p.fields]
        facts = [p for p in (ref, decoy) if p and p not in front]
        tone_line = None if tone_line in front else tone_line
        self.rng.shuffle(facts)
        parts = self.rng.choice([
            [*front, issue, pressure, *facts, tone_line, ask_line, side],
            [*front, issue, pressure, tone_line, ask_line, *facts, side],
            [*front, issue, tone_line, pressure, ask_line, *facts, side],
            [*front, issue, ask_line, pressure, tone_line, *facts, side],
            [*front, issue, ask_line, tone_line, *facts, pressure, side],
        ])
        used = [p for p in parts if p]
        order_id = f"{self.rng.randrange(100_000, 1_000_000)}"
        body = " ".join(self.fill(p.text, product, order_id) for p in used)
        text = self.finish(body, product, tone)
        has_order = any("{o}" in p.text or "{n}" in p.text for p in used)
        record = {
            "queue": queue,
            "urgency": f"P{level}",
            "product": product,
            "order_id": order_id if has_order else None,
            "tone": tone,
            "ask": ask,
        }
        return text, record, [p.id for p in used]

    def choose_product(self, queue: str, tag: str, may_need: bool) -> tuple[str | None, Pattern | None]:
        """A product with the tag and, now and then, a sentence that says that somebody depends on it."""
        if tag == "-":
            return None, None
        products = [p for p, tags in self.shop.products.items() if tag in tags]
        need = None
        if may_need and self.chance(0.3):
            when = ("own", "both") if queue == "workshop" else ("wait", "both")
            tags = set().union(*(self.shop.products[p] for p in products))
            need = self.draw("p1", "", lambda p: p.fields[0] in tags and p.fields[1] in when)
            if need:
                products = [p for p in products if need.fields[0] in self.shop.products[p]]
        return self.rng.choice(products), need

    def choose_pressure(
        self, queue: str, base: int, waits: bool, need: Pattern | None
    ) -> tuple[Pattern | None, int]:
        """The sentence about time, if any, and the urgency it leads to (1 to 4)."""
        if need:
            return need, 1
        if base == 2:
            return None, 2
        if (base == 3 or queue == "presales") and self.chance(0.3):
            return self.draw("p2", "", lambda p: waits or "gen" in p.fields), 2
        if self.chance(0.5 if self.hard else 0.12):
            return self.draw("time"), base
        return None, base

    def choose_tone(self, queue: str, base: int) -> str:
        """A tone; in hard often a misleading one: calm about danger, angry about a trifle."""
        weights = [18, 25, 37, 20]
        if self.hard and queue == "hazards":
            weights = [5, 10, 35, 50]
        elif self.hard and base == 4:
            weights = [40, 30, 20, 10]
        return self.rng.choices(TONES, weights)[0]

    def choose_reference(self, issue: Pattern, queue: str, base: int) -> Pattern | None:
        """A sentence that gives the order id, unless the issue has one or an order would be odd."""
        if base == 4 or queue in ("accounts", "presales") or "{o}" in issue.text or "{n}" in issue.text:
            return None
        return self.draw("ref") if self.chance(0.7) else None

    def choose_decoy(self, issue: Pattern, product: str | None) -> Pattern | None:
        """A sentence with a number that is no order id."""
        if not self.chance(0.85 if self.hard else 0.22):
            return None
        tags = self.shop.products[product] if product else set()
        taken = {slot for slot in ("{price}", "{track}") if slot in issue.text}
        return self.draw("decoy", "", lambda p: (p.fields[0] in tags or p.fields[0] == "all")
                         and not any(slot in p.text for slot in taken))

    def choose_side(self, queue: str, product: str | None) -> Pattern | None:
        """A sentence on some other matter, which has no part in the label."""
        if not self.chance(0.6 if self.hard else 0.08):
            return None
        return self.draw("side", "", lambda p: (product or "{p2}" not in p.text)
                         and queue not in p.fields[0].lstrip("-").split(","))

    def fill(self, text: str, product: str | None, order_id: str) -> str:
        """Put a value into every slot of a pattern; each occurrence is drawn anew."""
        rng = self.rng

        def value(match: re.Match) -> str:
            slot = match[1]
            if slot in ("p", "p2"):
                return self.noun(product, slot, text, sentence_start=match.start() == 0
                                 or text[match.start() - 2] == ".")
            if slot == "n":
                return order_id
            if slot == "o":
                forms = ["{}", "{}", "#{}", "no. {}", "number {}", "nr {}"]
                forms += [] if "(" in text else ["({})"]
                return rng.choice(forms).format(order_id)
            if slot == "n6":
                return next(n for n in map(str, rng.sample(range(100_000, 1_000_000), 2)) if n != order_id)
            if re.fullmatch("[nd][0-9]", slot):
                if slot == "d9":
                    return f"700900{rng.randrange(1000):03d}"
                low = 10 ** (int(slot[1]) - 1)
                return str(rng.randrange(low, 10 * low))
            return {
                "day": lambda: rng.choice(DAYS),
                "month": lambda: rng.choice(MONTHS),
                "date": lambda: f"{rng.randrange(1, 29)} {rng.choice(MONTHS)}",
                "weeks": lambda: rng.choice(["two", "three", "four", "five", "six"]),
                "months": lambda: rng.choice(["two", "three", "five", "eight", "ten"]),
                "small": lambda: str(rng.randrange(10, 49)),
                "cm": lambda: str(rng.randrange(62, 99)),
                "price": lambda: f"{rng.randrange(18, 390)}{rng.choice(['', '.50', '.90', '.99'])}",
                "track": lambda: f"PX{rng.randrange(10**8, 10**9)}GB",
                "model": lambda: f"{rng.choice('KTVX')}{rng.choice('BLRS')}-{rng.randrange(100, 3000)}",
                "postcode": lambda: f"{rng.choice('BKNP')}{rng.choice('EQX')}{rng.randrange(1, 20)} "
                f"{rng.randrange(1, 10)}{rng.choice('ADT')}{rng.choice('BHY')}",
            }[slot]()

        return re.sub(r"\{(\w+)\}", value, text)

    def noun(self, product: str, slot: str, text: str, sentence_start: bool) -> str:
        """The product as a customer names it, sometimes with a brand or a colour in front."""
        if slot == "p2":
            return self.rng.choice([p for p in self.shop.products if p not in product and product not in p])
        if sentence_start:
            return product[0].upper() + product[1:]
        if self.chance(0.8) or "{p} each" in text:
            return product
        colours = [] if any(colour in text for colour in [*COLOURS, "yellow", "colour", "new"]) else COLOURS
        return f"{self.rng.choice([*self.shop.brands, *colours])} {product}"

    def finish(self, body: str, product: str | None, tone: str) -> str:
        """Greeting, sign-off, a/an, and in some tickets typos, short forms or lower case throughout."""
        body = re.sub(r"\b([Aa]) (?=[aeioAEIO])", r"\1n ", body)
        if self.chance(0.6 if self.hard else 0.16):
            protected = {word for name in self.shop.products for word in name.split()}
            count = self.rng.randrange(2, 5) if self.hard else self.rng.randrange(1, 3)
            body = self.misspell(body, protected, count)
        greeting = self.rng.choice(GREETINGS).format(shop=self.shop.name) if self.chance(0.45) else ""
        sign_off = self.rng.choice(SIGN_OFFS).format(name=self.rng.choice(NAMES)) if self.chance(0.45) else ""
        text = " ".join(part for part in (greeting, body, sign_off) if part)
        return text.lower() if tone != "furious" and self.chance(0.05) else text

    def misspell(self, text: str, protected: set[str], count: int) -> str:
        """Text with `count` short forms or slips of the finger; never in a product name or a number."""
        words = text.split(" ")
        bare = [word.rstrip(".,?!") for word in words]
        places = [i for i, word in enumerate(bare) if word.lower() in SHORT_FORMS
                  or (re.fullmatch("[a-z]{5,}", word) and word not in protected)]
        for i in self.rng.sample(places, min(count, len(places))):
            word, end = bare[i], words[i][len(bare[i]) :]
            if word.lower() in SHORT_FORMS:
                words[i] = SHORT_FORMS[word.lower()] + end
                continue
            at = self.rng.randrange(1, len(word) - 2)
            swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
            slips = [swapped, word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:]]
            words[i] = self.rng.choice(slips) + end
        return " ".join(words)


def fits_queue(pattern: Pattern, queue: str) -> bool:
    """Whether an ask sentence suits tickets of the queue."""
    return pattern.fields[0] == "all" or queue in pattern.fields[0].split(",")


def make_split(split: str, seen: set[str]) -> list[dict]:
    """Rows of one split; `seen` holds all texts so far, so that no text occurs twice."""
    maker = TicketMaker(split)
    count = SIZES[split]
    queues = [QUEUES[i % len(QUEUES)] for i in range(count)]
    maker.rng.shuffle(queues)
    rows = []
    for number, queue in enumerate(queues, 1):
        text, record, patterns = maker.ticket(queue)
        while text in seen:
            text, record, patterns = maker.ticket(queue)
        seen.add(text)
        rows.append({
            "id": f"{split}-{number:04d}",
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": text},
                {"role": "assistant", "content": json.dumps(record)},
            ],
            "pattern": "+".join(patterns),
            "slice": split if split in ("hard", "other_shop") else "main",
        })
    return rows


def make_files() -> dict[str, str]:
    """File name -> content, the same on every machine."""
    seen: set[str] = set()
    splits = {split: make_split(split, seen) for split in SIZES}
    files = {f"{split}.jsonl": jsonl(rows) for split, rows in splits.items()}
    files["schema.json"] = json.dumps(SCHEMA, indent=2) + "\n"
    examples = "\n".join(show_row(splits[split][0]) for split in ("train", "hard"))
    files["README.md"] = readme_with(FOLDER, f"{count_table(splits)}\n\n{examples}")
    return files


def show_row(row: dict) -> str:
    """Markdown of one row: the ticket as a quotation and the record."""
    _, ticket, record = (message["content"] for message in row["messages"])
    return f"`{row['id']}`:\n\n> {ticket}\n\n```json\n{record}\n```\n"


def count_table(splits: dict[str, list[dict]]) -> str:
    """Markdown table of examples per label and split, with the numbers of patterns and of words."""
    records = {s: [json.loads(row["messages"][2]["content"]) for row in rows] for s, rows in splits.items()}
    texts = {s: [row["messages"][1]["content"] for row in rows] for s, rows in splits.items()}
    lines = [("field", "label", *SIZES), ("---",) * (len(SIZES) + 2)]
    lines.append(("", "examples", *(len(rows) for rows in records.values())))
    for field, labels in (("queue", QUEUES), ("urgency", URGENCIES), ("tone", TONES), ("ask", ASKS)):
        for label in labels:
            lines.append((field, label, *(sum(r[field] == label for r in rows) for rows in records.values())))
    for field in ("product", "order_id"):
        lines.append((field, "null", *(sum(r[field] is None for r in rows) for rows in records.values())))
    lines.append(("", "patterns of its own", *(sum(p.split == s for p in PATTERNS) for s in SIZES)))
    lines.append(("", "words, median", *(round(median(len(t.split()) for t in ts)) for ts in texts.values())))
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


if __name__ == "__main__":
    sys.exit(write_or_check(__doc__, FOLDER, make_files))
