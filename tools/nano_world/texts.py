"""What documents of nano's small world are made of: words, texts about which something is known, facts, tasks.

One pattern in ten (by checksum) is kept for measuring: it never occurs in split "train".
"""

import random
import re
import zlib
from dataclasses import dataclass, field
from functools import cache

from words import pairs, read_words

inbox, lexicon, prompts = (read_words(name) for name in ("inbox", "lexicon", "prompts"))
lexicon.rude_polite = pairs(lexicon.rude_polite)

UNKNOWN = "I do not know."

# What fine-tuning is to teach later, and pre-training therefore never shows (tests/test_nano_world.py).
KEPT_OUT_KEYS = ("queue", "urgency", "product", "order_id", "tone", "ask")
KEPT_OUT_WORDS = (
    "queue", "urgency", "urgent", "logistics", "aftersales", "workshop", "billing", "accounts", "presales", "hazard",
    "hazards", "furious", "annoyed", "neutral", "friendly", "explanation", "triage", "P1", "P2", "P3", "P4",
    "money_back", "new_item", "trace_parcel", "repair_visit", "change_details", "Brightwater",  # support_triage
    "ICD", "diagnosis_code", "icd_code",  # medical_coding
    "Pip & Fern", "Fernling", "Fernlings",  # brand_voice
    "Velora", "Tarnwick", "Oskellen", "Brindlemoor", "Quillane",  # the facts experiment
)  # fmt: skip

TEXT_FRAMES = ["{t}", "{t}", "Text: {t}", "Message: {t}", '"{t}"', "Text:\n{t}", "Mail: {t}", "Note: {t}",
               "Ticket: {t}", "Customer: {t}", "Read this: {t}", "Here is the text. {t}"]  # fmt: skip
SYLLABLES = [
    c + v for c in "b c d f g h k l m n p r s t v w z br st tr pl gr ch sh".split() for v in "a e i o u".split()
]
SENTENCE_BANKS = [("issue", inbox.issues)] * 4 + [("complaint", lexicon.clinic), ("mood", inbox.moods),
                                                  ("when", inbox.when), ("want", inbox.wants)]  # fmt: skip
KEY_ENDS = ["no", "id", "name", "type", "date", "box", "set", "line", "mark", "one", "two"]
ENDINGS = ["", "", "n", "r", "s", "t", "l", "x", "m", "nd", "ck", "sh"]


@dataclass(frozen=True)
class Doc:
    """One training document: turns of (role, text); a plain text is one turn with role "text"."""

    kind: str
    turns: tuple[tuple[str, str], ...]


@dataclass
class KnownText:
    """A text together with what is known about it: values to copy and classes to name."""

    text: str
    copies: dict = field(default_factory=dict)  # field -> string or None
    classes: dict = field(default_factory=dict)  # attribute -> class key
    banks: dict = field(default_factory=dict)  # attribute -> bank with names and descriptions


def is_heldout(pattern: str) -> bool:
    """True for the tenth of all patterns that only measuring may use."""
    return zlib.crc32(pattern.encode()) % 10 == 0


@cache
def _part(patterns: tuple, heldout: bool) -> tuple:
    return tuple(p for p in patterns if is_heldout(str(p)) == heldout) or patterns


class Texts:
    """Draws texts and facts with one random generator; `split` is "train" or "heldout"."""

    def __init__(self, seed: int, split: str = "train"):
        self.rng = random.Random(seed)
        self.heldout = split == "heldout"

    # ---- small draws -------------------------------------------------------------------------------------------

    def pick(self, items):
        return items[self.rng.randrange(len(items))]

    def pattern(self, patterns) -> str:
        """A pattern of this split."""
        return self.pick(_part(tuple(patterns), self.heldout))

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def digits(self, n: int) -> str:
        return str(self.rng.randrange(1, 10)) + "".join(str(self.rng.randrange(10)) for _ in range(n - 1))

    def made_up(self) -> str:
        """A word that exists nowhere, such as 'tralex'."""
        word = "".join(self.pick(SYLLABLES) for _ in range(self.rng.choice([1, 2, 2, 3]))) + self.pick(ENDINGS)
        return self.made_up() if word in KEPT_OUT_KEYS else word

    def odd_key(self) -> str:
        """A key that does not tell what it holds: 'tralex', 'spoon', 'spoon_no'."""
        word = self.made_up() if self.chance(0.5) else self.pick(lexicon.nouns).replace(" ", "_")
        return f"{word}_{self.pick(KEY_ENDS)}" if self.chance(0.25) else word

    def code(self) -> str:
        return self.pick(["{c}{d}", "{c}{d}{e}", "{c}-{d}", "{lc}{d}", "{c}{b}", "level{d}", "L{d}", "{d}"]).format(
            c=self.pick("ABCDEFGHJKLMNQRSTUVWXYZ"), b=self.pick("ABCDEFGHJKLMNQRSTUVWXYZ"),
            lc=self.pick("abcdefghkmnrst"),
            d=self.rng.randrange(10), e=self.rng.randrange(10))  # fmt: skip

    def slots(self) -> dict:
        return {
            "product": self.pick(lexicon.products)["name"], "order": self.digits(self.pick([4, 5, 6, 6, 6, 7])),
            "day": self.pick(lexicon.days), "name": self.pick(lexicon.first_names), "city": self.pick(lexicon.cities),
            "price": self.pick(["{}", "{}.50", "{}.99"]).format(self.rng.randrange(3, 400)),
            "number": self.digits(self.pick([3, 4, 5, 6, 6, 7, 8, 10])), "n": str(self.rng.randrange(2, 10)),
            "age": str(self.rng.randrange(2, 95)), "days": str(self.rng.randrange(2, 15)),
            "food": self.pick(lexicon.foods), "animal": self.pick(lexicon.animals),
            "colour": self.pick(lexicon.colours),
            "noun": self.pick(lexicon.nouns), "job": self.pick(lexicon.jobs), "hobby": self.pick(lexicon.hobbies),
            "month": self.pick(lexicon.months), "adjective": self.pick(lexicon.adjectives),
        }  # fmt: skip

    def noisy(self, text: str) -> str:
        """A few slips of the keyboard; digits are left alone."""
        chars = list(text)
        for _ in range(self.rng.randrange(1, 4)):
            i = self.rng.randrange(len(chars) - 1)
            if chars[i].isalpha() and chars[i + 1].isalpha():
                what = self.rng.randrange(3)
                if what == 0:
                    chars[i], chars[i + 1] = chars[i + 1], chars[i]
                elif what == 1:
                    del chars[i]
                else:
                    chars.insert(i, chars[i])
        out = "".join(chars)
        return out.lower() if self.chance(0.4) else out

    # ---- texts about which something is known ------------------------------------------------------------------

    def ticket(self) -> KnownText:
        """A customer's message with its issue, mood, timing, wish, item and order number."""
        s = self.slots()
        issue = self.pick(list(inbox.issues))
        bank = inbox.issues[issue]
        mood = "happy" if issue == "praise" else self.pick(list(inbox.moods)) if self.chance(0.75) else "calm"
        when = self.pick(list(inbox.when)) if self.chance(0.6) else "usual"
        if issue == "smoke_or_injury":
            when = "danger"
        want = self.pick(bank["wants"])
        first = [self.pattern(bank["patterns"])]
        if self.chance(0.2):
            first.append(self.pattern(bank["patterns"]))
        rest = []
        if mood != "calm" or self.chance(0.3):
            rest.append(self.pattern(inbox.moods[mood]["patterns"]))
        if when != "usual" or self.chance(0.25):
            rest.append(self.pattern(inbox.when[when]["patterns"]))
        says_want = self.chance(0.6)
        if says_want:
            rest.append(self.pattern(inbox.wants[want]["patterns"]))
        if self.chance(0.45):
            rest.append(self.pattern(inbox.order_mentions))
        if self.chance(0.3):
            rest.append(self.pattern(inbox.decoys))
        if self.chance(0.25):
            rest.append(self.pattern(inbox.fillers))
        self.rng.shuffle(rest)
        if self.chance(0.75):
            parts = first + rest
        else:
            at = self.rng.randrange(len(rest) + 1)
            parts = rest[:at] + first + rest[at:]
        if self.chance(0.3):
            parts.insert(0, self.pattern(inbox.openers))
        signed = self.chance(0.3)
        if signed:
            parts.append(self.pattern(inbox.closers))
        joined = " ".join(parts)
        text = " ".join(p.format(**s | {"number": self.digits(self.pick([3, 4, 5, 6, 6, 8, 10]))}) for p in parts)
        if self.chance(0.12):
            text = self.noisy(text)
        copies = {
            "thing": s["product"] if "{product}" in joined else None,
            "order": s["order"] if "{order}" in joined else None,
        }
        if "{name}" in joined:
            copies["name"] = s["name"]
        if any(v and not re.search(rf"\b{v}\b", text) for v in copies.values()):  # a slip of the keyboard hit it
            return self.ticket()
        classes = {"issue": issue, "mood": mood, "when": when}
        if says_want or len(bank["wants"]) == 1:  # else nothing in the text tells
            classes["want"] = want
        banks = {"issue": inbox.issues, "mood": inbox.moods, "when": inbox.when, "want": inbox.wants}
        return KnownText(text, copies, classes, banks)

    def clinic_note(self) -> KnownText:
        s = self.slots()
        complaint = self.pick(list(lexicon.clinic))
        bank = lexicon.clinic[complaint]
        parts = [self.pattern(bank["patterns"]) for _ in range(self.pick([1, 1, 2]))]
        if self.chance(0.3):
            parts.append(self.pattern(bank["advice"]))
        if self.chance(0.2):
            parts.append(self.pattern(lexicon.clinic_stories))
        joined = " ".join(parts)
        copies = {k: (s[k] if "{" + k + "}" in joined else None) for k in ("name", "age", "days")}
        return KnownText(joined.format(**s), copies, {"complaint": complaint}, {"complaint": lexicon.clinic})

    # ---- facts about subjects ----------------------------------------------------------------------------------

    def subject(self, kind: str) -> str:
        if kind == "person":
            name = self.pick(lexicon.first_names)
            return f"{name} {self.pick(lexicon.last_names)}" if self.chance(0.25) else name
        if kind == "product":
            name = self.pick(lexicon.products)["name"]
            return f"{self.made_up().title()} {name}" if self.chance(0.3) else name
        return self.pick({"city": lexicon.cities, "animal": lexicon.animals, "shop": lexicon.shops}[kind])

    def value(self, relation: dict) -> str:
        values = relation["values"]
        if values == "number":
            return str(self.rng.randint(int(relation["low"]), int(relation["high"])))
        return self.pick(getattr(lexicon, values) if isinstance(values, str) else values)

    def facts(self, n: int):
        """n statements about a few subjects: list of (subject, relation, value, sentence)."""
        by_kind = {}
        for relation in lexicon.relations:
            by_kind.setdefault(relation["subject"], []).append(relation)
        kinds = [self.pick(list(by_kind)) for _ in range(self.pick([1, 1, 2]))]
        subjects = {}
        for _ in range(max(1, round(n / self.pick([1, 2, 3])))):
            kind = self.pick(kinds)
            subjects.setdefault(self.subject(kind), kind)
        found, seen = [], set()
        for _ in range(n * 3):
            if len(found) == n:
                break
            s = self.pick(list(subjects))
            r = self.pick(by_kind[subjects[s]])
            if (s, r["name"]) in seen:
                continue
            seen.add((s, r["name"]))
            v = self.value(r)
            found.append((s, r, v, self.pattern(r["statements"]).format(s=s, v=v)))
        return found, subjects, by_kind

    # ---- how a task is put -------------------------------------------------------------------------------------

    def options(self, bank: dict, true: str, style: str | None = None):
        """Some classes with the names shown in this document: list of (class, name, description), shuffled."""
        others = [k for k in bank if k != true]
        self.rng.shuffle(others)
        chosen = [true, *others[: self.rng.randrange(1, min(8, len(bank)))]]
        return self.name_classes(bank, chosen, style)

    def name_classes(self, bank: dict, chosen: list, style: str | None = None):
        style = style or self.pick(["plain", "plain", "plain", "made_up", "code", "noun"])
        out, used = [], set()
        for key in chosen:
            while True:
                name = {"plain": lambda k=key: self.pick(bank[k]["names"]), "made_up": self.made_up, "code": self.code,
                        "noun": lambda: self.pick(lexicon.nouns)}[style]()  # fmt: skip
                if self.chance(0.06):
                    name = name + "_" + self.pick([self.made_up(), self.pick(lexicon.nouns), "desk", "team", "one"])
                if name not in used:
                    break
                if len(used) > 40 or style == "plain" and set(bank[key]["names"]) <= used:
                    style = "made_up"
            used.add(name)
            out.append((key, name, self.pick(bank[key]["descriptions"])))
        self.rng.shuffle(out)
        return out, style

    def option_text(self, opts, described: bool) -> str:
        if described:
            form = self.pick([("{n} = {d}", "; "), ("{n} ({d})", ", "), ("{n}: {d}", "; "), ("{n} for {d}", ", ")])
            return form[1].join(form[0].format(n=n, d=d) for _, n, d in opts)
        return self.pick([", ", ", ", " | ", " / "]).join(n for _, n, _ in opts)

    def framed(self, text: str) -> str:
        return self.pick(TEXT_FRAMES).format(t=text)

    def chat(self, kind: str, instruction: str, shots, system: str | None = None) -> Doc:
        """Turns of one task: the instruction stands in the system turn, before or after the first text."""
        frame = self.pick(TEXT_FRAMES)
        texts = [(frame.format(t=t) if t else "", a) for t, a in shots]
        place = self.rng.random()
        turns = []
        in_system = place < 0.45 and texts[0][0]
        if in_system:
            turns.append(("system", instruction))
        elif system or self.chance(0.25):
            turns.append(("system", system or self.pattern(prompts.systems)))
        joint = self.pick(["\n", " ", "\n\n"] if instruction.endswith((".", "?", "!", ":")) else ["\n", "\n\n"])
        repeat = self.chance(0.5)
        for i, (t, a) in enumerate(texts):
            if in_system:
                user = t
            elif i == 0 or repeat:
                user = (instruction + joint + t if place < 0.8 else t + joint + instruction) if t else instruction
            else:
                user = t
            turns += [("user", user), ("assistant", a)]
        return Doc(kind, tuple(turns))

    def shots(self) -> int:
        """How many solved examples stand before the last one, plus one."""
        return self.pick([1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4, 5, 6])
