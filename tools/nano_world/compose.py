"""The small world that nano grows up in: documents made from the sentence banks, one per seed.

`document(seed)` always returns the same document for the same seed, so training can resume anywhere.
One pattern in ten (by checksum) is kept for measuring: it never occurs in split "train".
"""

import json
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

KEY_NAMES = {
    "issue": ["topic", "issue", "problem", "category", "reason", "subject", "type", "matter", "team", "desk", "group"],
    "mood": ["mood", "feeling", "attitude", "temper", "manner", "emotion", "voice"],
    "when": ["priority", "speed", "level", "timing", "rank", "deadline", "importance"],
    "want": ["wish", "request", "action", "next", "need", "goal", "todo", "wanted"],
    "thing": ["item", "article", "thing", "goods", "object", "about", "item_name"],
    "order": ["order", "order_number", "reference", "ref", "order_no", "number", "case_number"],
    "name": ["name", "customer", "sender", "person", "from", "signed"],
    "complaint": ["complaint", "problem", "reason", "visit", "kind", "condition"],
    "age": ["age", "years", "age_years"],
    "days": ["days", "since_days", "duration"],
}
FIELD_PHRASES = {
    "thing": [
        "the item",
        "the article named in the text",
        "the thing the customer bought",
        "the goods",
        "the item named",
    ],
    "order": ["the order number", "the number of the order", "the order reference", "the digits of the order"],
    "name": ["the name of the person", "the first name", "who wrote or is meant"],
    "age": ["the age in years", "how old the person is"],
    "days": ["the number of days", "for how many days"],
    "issue": ["what the text is about", "the main problem", "the reason for writing"],
    "mood": ["how the writer feels", "the mood of the writer", "how it is said"],
    "when": ["how soon it must be done", "how pressing it is", "how much it can wait"],
    "want": ["what the writer wants", "what should be done next", "the wish of the customer"],
    "complaint": ["the complaint", "why the person came", "the reason for the visit"],
}
TEXT_FRAMES = ["{t}", "{t}", "Text: {t}", "Message: {t}", '"{t}"', "Text:\n{t}", "Mail: {t}", "Note: {t}",
               "Ticket: {t}", "Customer: {t}", "Read this: {t}", "Here is the text. {t}"]  # fmt: skip
SYLLABLES = [
    c + v for c in "b c d f g h k l m n p r s t v w z br st tr pl gr ch sh".split() for v in "a e i o u".split()
]
SKILLS = ["copy", "reverse", "sort", "sort_numbers", "largest", "smallest", "count", "sum", "difference", "first",
          "last", "repeat_n", "yes_no_mentions"]  # fmt: skip
HARD_SKILLS = ["copy", "reverse", "sort", "sort_numbers", "sum", "difference", "yes_no_mentions"]
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
class Case:
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


class World:
    """Draws documents with one random generator; `split` is "train" or "heldout"."""

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

    def ticket(self) -> Case:
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
        return Case(text, copies, classes,
                    {"issue": inbox.issues, "mood": inbox.moods, "when": inbox.when, "want": inbox.wants})  # fmt: skip

    def clinic_note(self) -> Case:
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
        return Case(joined.format(**s), copies, {"complaint": complaint}, {"complaint": lexicon.clinic})

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

    # ---- the kinds of documents --------------------------------------------------------------------------------

    def text(self) -> Doc:
        s, lines = self.slots(), []
        for _ in range(self.pick([2, 3, 4, 5])):
            bank = self.pick(["stories", "facts", "templates_story", "clinic_stories", "help", "shop", "rude"])
            if bank == "help":
                lines.append(self.pattern(inbox.help))
            elif bank == "shop":
                lines.append(self.pattern(inbox.stories))
            elif bank == "rude":
                lines.append(self.pattern(lexicon.rude_polite)[self.rng.randrange(2)])
            else:
                lines.append(self.pattern(getattr(lexicon, bank)))
        return Doc("text", (("text", " ".join(p.format(**s) for p in lines)),))

    def sheet(self) -> Doc:
        found, _, _ = self.facts(self.pick([3, 4, 5, 6]))
        return Doc("sheet", (("text", " ".join(f[3] for f in found)),))

    def plain_ticket(self) -> Doc:
        return Doc("plain_ticket", (("text", self.ticket().text if self.chance(0.7) else self.clinic_note().text),))

    def case(self) -> Case:
        return self.ticket() if self.chance(0.78) else self.clinic_note()

    def one_sentence(self) -> Case:
        """A text of one sentence, of which one class is known."""
        attribute, bank = self.pick(SENTENCE_BANKS)
        key = self.pick(list(bank))
        return Case(self.sentence(bank, key), {}, {attribute: key}, {attribute: bank})

    def classify(self) -> Doc:
        """Name one class of a text, from names given in the prompt (and often described there)."""
        short = self.chance(0.5)
        case = self.one_sentence() if short else self.case()
        attribute = self.pick(list(case.classes))
        bank = case.banks[attribute]
        opts, style = self.options(bank, case.classes[attribute])
        described = style != "plain" or self.chance(0.4)
        task = "classify_described" if described else "classify"
        instruction = self.pattern(prompts.instructions[task]).format(options=self.option_text(opts, described))
        if self.chance(0.3):
            instruction = f"{self.pick(FIELD_PHRASES[attribute]).capitalize()}: {instruction}"
        names = {k: n for k, n, _ in opts}
        shots = []
        for _ in range(self.shots()):
            shots.append((case.text, names[case.classes[attribute]]))
            for _ in range(200):
                like = self.ticket if "issue" in case.classes else self.clinic_note
                case = self.one_sentence() if short else like()
                if case.classes.get(attribute) in names:
                    break
            else:
                break
        return self.chat(task, instruction, shots)

    def describe(self) -> Doc:
        """Say in words what a text is about, how it is said, or what it asks for."""
        case = self.one_sentence() if self.chance(0.5) else self.case()
        attribute = self.pick([a for a in case.classes if a in ("issue", "complaint")] * 3 + list(case.classes))
        wordings = prompts.instructions["describe"]
        if attribute in ("issue", "complaint"):
            wordings = wordings + prompts.instructions["summarise_subject"]
        else:
            wordings = [w for w in wordings if "{field}" in w]
        instruction = self.pattern(wordings).format(field=self.pick(FIELD_PHRASES[attribute]))
        shot = (case.text, self.description(case, attribute))
        doc = self.chat("describe", instruction[0].upper() + instruction[1:], [shot])
        turns = list(doc.turns)
        more = [a for a in case.classes if a != attribute]
        self.rng.shuffle(more)
        for other in more[: self.pick([0, 1, 2, 3])]:  # further questions about the same text
            asked = self.pattern([w for w in prompts.instructions["describe"] if "{field}" in w])
            turns += [("user", asked.format(field=self.pick(FIELD_PHRASES[other]))),
                      ("assistant", self.description(case, other))]  # fmt: skip
        return Doc("describe", tuple(turns))

    def description(self, case: Case, attribute: str) -> str:
        """The class of a text in words: mostly the first of its descriptions, so that there is one answer to learn."""
        descriptions = case.banks[attribute][case.classes[attribute]]["descriptions"]
        return descriptions[0] if self.chance(0.8) else self.pick(descriptions)

    def sentence(self, bank: dict, key: str) -> str:
        """One sentence of this class."""
        return self.pattern(bank[key]["patterns"]).format(**self.slots())

    def same_topic(self) -> Doc:
        """Yes or no: are two sentences about the same matter?"""
        bank = inbox.issues if self.chance(0.8) else lexicon.clinic
        key = self.pick(list(bank))
        same = self.chance(0.5)
        other = key if same else self.pick([k for k in bank if k != key])
        a, b = self.sentence(bank, key), self.sentence(bank, other)
        if a == b:
            return self.same_topic()
        instruction = self.pattern(prompts.instructions["same_topic"]).format(a=a, b=b)
        return self.chat("same_topic", instruction, [("", "yes" if same else "no")])

    def which_text(self) -> Doc:
        """The number of the one text that a description fits."""
        bank = inbox.issues if self.chance(0.8) else lexicon.clinic
        keys = self.rng.sample(list(bank), self.pick([2, 3, 4]))
        at = self.rng.randrange(len(keys))
        texts = "\n".join(f"{i}. {self.sentence(bank, key)}" for i, key in enumerate(keys, start=1))
        description = self.pick(bank[keys[at]]["descriptions"])
        instruction = self.pattern(prompts.instructions["which_text"]).format(texts=texts, description=description)
        return self.chat("which_text", instruction, [("", str(at + 1))])

    def extract(self) -> Doc:
        """Copy one value out of a text, or say none."""
        case = self.case()
        key = self.pick(list(case.copies))
        none = self.pick(["none", "null", "not given"])
        phrase = self.pick(
            [self.pick(KEY_NAMES[key]).replace("_", " "), self.pick(FIELD_PHRASES[key]).removeprefix("the ")]
        )
        instruction = self.pattern(prompts.instructions["extract"]).format(field=phrase)
        if self.chance(0.6):
            instruction += f" If there is none, say {none}."
        elif case.copies[key] is None:
            return self.extract()
        shots = [(case.text, case.copies[key] or none)]
        return self.chat("extract", instruction, shots)

    def json_record(self) -> Doc:
        """One to seven keys given in the prompt, some to copy, some to classify; null where nothing is said."""
        case = self.case()
        fields = list(case.copies) + list(case.classes)
        self.rng.shuffle(fields)
        wanted = fields[: self.pick([1, 2, 3, 4, 5, 6, 7])]
        lines, names, chosen_options = [], {}, {}
        listed = self.chance(0.5)
        odd = self.chance(0.4)  # keys under names that tell nothing
        bare = self.chance(0.25)  # key names alone: classes take any name of theirs, so only copies are asked
        if bare:
            wanted = [f for f in wanted if f in case.copies] or [self.pick(list(case.copies))]
        for f in wanted:
            while True:
                name = self.odd_key() if odd and not bare else self.pick(KEY_NAMES[f])
                if self.chance(0.08):
                    name = name + "_" + self.pick(["of", "x", "code", "value", "kind", "a"])
                if name not in names.values():
                    break
            names[f] = name
            phrase = self.pick(FIELD_PHRASES[f])
            if f in case.copies:
                lines.append(
                    (
                        name,
                        self.pick([phrase, phrase + " or null", phrase + ", null if not given", f"{phrase} (or null)"]),
                    )
                )
            else:
                opts, style = self.options(case.banks[f], case.classes[f])
                if len(opts) < 2:
                    opts, style = self.options(case.banks[f], case.classes[f])
                chosen_options[f] = {k: n for k, n, _ in opts}
                text = self.option_text(opts, style != "plain" or self.chance(0.3))
                lines.append(
                    (name, self.pick(["one of {o}", "{p}: {o}", "{p}, one of: {o}", "{o}"]).format(o=text, p=phrase))
                )
        if bare:
            keys = ", ".join(n for n, _ in lines)
        elif listed:
            mark = self.pick(["- ", "", "* "])
            keys = "\n" + "\n".join(f"{mark}{n}: {d}" for n, d in lines) + "\n"
        else:
            keys = self.pick(["; ", ", "]).join(f"{n} ({d})" for n, d in lines)
        instruction = self.pattern(prompts.instructions["json"]).format(keys=keys).strip()
        if self.chance(0.4):
            instruction += " " if instruction.endswith((".", "?", "!")) else "\n"
            instruction += self.pick(
                ["Use null where nothing is said.", "Write null for what is missing.", "Only JSON."]
            )
        shots = []
        kind = case.classes.keys()
        for _ in range(self.shots()):
            labels = {f: chosen_options[f][case.classes[f]] for f in chosen_options}
            record = {names[f]: labels[f] if f in labels else case.copies.get(f) for f in wanted}
            shots.append((case.text, json.dumps(record)))
            for _ in range(400):
                case = self.ticket() if "issue" in kind else self.clinic_note()
                if all(case.classes.get(f) in chosen_options[f] for f in chosen_options):
                    break
            else:
                break
        if len(shots) > 1 and self.chance(0.3):
            instruction = self.pick(
                [
                    "Fill in the record.",
                    "Write the record for each text.",
                    "Do the same for each text.",
                    "Make the JSON.",
                ]
            )
        return self.chat("json", instruction, shots)

    def profile_json(self) -> Doc:
        """A record of facts about one subject, with keys named after relations; null where not stated."""
        by_kind = {}
        for relation in lexicon.relations:
            by_kind.setdefault(relation["subject"], []).append(relation)
        kind = self.pick([k for k in by_kind if len(by_kind[k]) > 1])
        relations = by_kind[kind][:]
        self.rng.shuffle(relations)
        relations = relations[: self.pick([1, 2, 3, 4, 5])]
        names = {r["name"]: self.pick(r["aliases"]) for r in relations}
        shots = []
        for _ in range(self.shots()):
            s, lines, record = self.subject(kind), [], {}
            for r in relations:
                v = self.value(r) if self.chance(0.85) else None
                record[names[r["name"]]] = v
                if v is not None:
                    lines.append(self.pattern(r["statements"]).format(s=s, v=v))
            for r in self.rng.sample(by_kind[kind], k=min(2, len(by_kind[kind]))):
                if r["name"] not in names:
                    lines.append(self.pattern(r["statements"]).format(s=s, v=self.value(r)))
            self.rng.shuffle(lines)
            shots.append((" ".join(lines) or f"This is about {s}.", json.dumps(record)))
        instruction = self.pattern(prompts.instructions["json"]).format(keys=", ".join(dict.fromkeys(names.values())))
        return self.chat("json", instruction, shots)

    def qa_context(self) -> Doc:
        """Answer from the facts in the prompt; say so when they do not tell."""
        found, subjects, by_kind = self.facts(self.pick([1, 2, 3, 4, 5, 6, 8, 10]))
        self.rng.shuffle(found)
        context = " ".join(f[3] for f in found)
        qas = []
        for _ in range(self.pick([1, 1, 2, 3, 4])):
            if self.chance(0.75):
                s, r, v, _ = self.pick(found)
                answer = v
            else:
                s = self.pick(list(subjects)) if self.chance(0.7) else self.subject("person")
                r = self.pick(
                    by_kind[subjects.get(s, "person")] if subjects.get(s, "person") in by_kind else lexicon.relations
                )
                if any((f[0], f[1]["name"]) == (s, r["name"]) for f in found):
                    continue
                answer = UNKNOWN
            qas.append((self.pattern(r["questions"]).format(s=s), answer))
        if not qas:
            return self.qa_context()
        first, *rest = qas
        instruction = self.pattern(prompts.instructions["qa_context"]).format(question=first[0])
        turns = []
        form = self.rng.randrange(4)
        if form == 0:
            turns += [("system", context), ("user", first[0])]
        elif form == 1:
            turns += [("system", self.pattern(prompts.systems)), ("user", f"{context}\n{instruction}")]
        elif form == 2:
            turns += [
                ("user", f"{instruction}\n{context}" if "above" not in instruction else f"{context}\n\n{instruction}")
            ]
        else:
            turns += [
                (
                    "user",
                    self.pick(["Facts: {c}\nQuestion: {q}", "Context:\n{c}\n\nQuestion: {q}", "{c} {q}"]).format(
                        c=context, q=first[0]
                    ),
                )
            ]
        turns.append(("assistant", first[1]))
        for q, a in rest:
            turns += [("user", q), ("assistant", a)]
        return Doc("qa_context", tuple(turns))

    def qa_alone(self) -> Doc:
        """The same questions with nothing to answer them from."""
        r = self.pick(lexicon.relations)
        question = self.pattern(r["questions"]).format(s=self.subject(r["subject"]))
        head = (("system", self.pattern(prompts.systems)),) if self.chance(0.5) else ()
        return Doc("qa_alone", (*head, ("user", question), ("assistant", UNKNOWN)))

    def skill(self, name: str | None = None) -> Doc:
        """General skills on short lists and numbers: the probe for forgetting."""
        name = name or self.pick(SKILLS + 2 * HARD_SKILLS)
        bank = self.pick(
            [lexicon.nouns, lexicon.nouns, lexicon.animals, lexicon.foods, lexicon.colours, lexicon.first_names]
        )
        k = self.pick([3, 3, 4, 4, 5, 6])
        items = self.rng.sample(bank, k) if self.chance(0.85) else [self.made_up() for _ in range(k)]
        numbers = self.rng.sample(range(1, self.pick([10, 30, 100])), self.pick([3, 4, 5]))
        joint = self.pick([", ", ", ", " "]) if all(" " not in i for i in items) else ", "
        slots = {"items": joint.join(items)}
        if name in ("sort_numbers", "largest", "smallest"):
            slots["items"] = joint.join(map(str, numbers))
        a, b = self.rng.randrange(1, 20), self.rng.randrange(1, 20)
        if name == "difference" and b > a:
            a, b = b, a
        n = self.rng.randrange(2, 5)
        word = self.pick(items)
        if name == "yes_no_mentions":
            text = self.text().turns[0][1]
            inside = sorted(set(re.findall(r"[a-z]+", text)) & {*lexicon.nouns, *lexicon.foods, *lexicon.animals})
            word = self.pick(inside) if inside and self.chance(0.6) else self.pick(lexicon.nouns)
            answer = "yes" if re.search(rf"\b{word}\b", text) else "no"
            instruction = self.pattern(prompts.instructions[name]).format(word=word)
            return self.chat("skill:" + name, instruction, [(text, answer)])
        answer = {
            "copy": lambda: joint.join(items), "reverse": lambda: joint.join(reversed(items)),
            "sort": lambda: joint.join(sorted(items)), "sort_numbers": lambda: joint.join(map(str, sorted(numbers))),
            "largest": lambda: str(max(numbers)), "smallest": lambda: str(min(numbers)),
            "count": lambda: str(len(items)), "sum": lambda: str(a + b), "difference": lambda: str(a - b),
            "first": lambda: items[0], "last": lambda: items[-1], "repeat_n": lambda: " ".join([word] * n),
        }[name]()  # fmt: skip
        if name == "repeat_n":
            slots["items"] = word
        instruction = self.pattern(prompts.instructions[name]).format(**slots, a=a, b=b, n=n, word=word)
        head = (("system", self.pattern(prompts.systems)),) if self.chance(0.25) else ()
        return Doc("skill:" + name, (*head, ("user", instruction), ("assistant", answer)))

    def polite(self) -> Doc:
        """Answer a customer politely, or say a rude sentence politely."""
        if self.chance(0.4):
            rude, polite = self.pattern(lexicon.rude_polite)
            return self.chat("polite", self.pattern(prompts.instructions["rewrite_polite"]), [(rude, polite)])
        issue = self.pick(list(inbox.replies))
        s = self.slots()
        text = self.pattern(inbox.issues[issue]["patterns"]).format(**s)
        reply = self.pattern(inbox.replies[issue])
        if any("{" + k + "}" in reply and s[k] not in text for k in ("product", "order", "name")):
            text += " " + " ".join(
                f.format(**s)
                for k, f in (("product", "It is the {product}."), ("order", "Order {order}."), ("name", "{name}"))
                if s[k] not in text
            )  # noqa: E501
        return self.chat("polite", self.pattern(prompts.instructions["polite_reply"]), [(text, reply.format(**s))])

    def replies_few_shot_words(self) -> Doc:
        """A pattern shown by examples only, with invented words: in-context learning at its barest."""
        keys = [self.made_up() if self.chance(0.5) else self.pick(lexicon.nouns) for _ in range(self.pick([2, 3, 4]))]
        keys = list(dict.fromkeys(keys))
        values = {k: (self.code() if self.chance(0.5) else self.made_up()) for k in keys}
        order = keys + [self.pick(keys) for _ in range(self.pick([1, 2, 4]))]
        turns = []
        for k in order:
            turns += [("user", k), ("assistant", values[k])]
        return Doc("pairs", tuple(turns))

    def document(self) -> Doc:
        r = self.rng.random()
        for share, make in MIX:
            if r < share:
                return make(self)
            r -= share
        return self.text()


MIX = [
    (0.03, World.text), (0.01, World.sheet), (0.02, World.plain_ticket), (0.10, World.classify), (0.15, World.describe),
    (0.02, World.same_topic), (0.03, World.which_text), (0.05, World.extract), (0.05, World.json_record),
    (0.02, World.profile_json), (0.14, World.qa_context), (0.01, World.qa_alone), (0.33, World.skill),
    (0.02, World.polite), (0.02, World.replies_few_shot_words),
]  # fmt: skip


def document(seed: int, split: str = "train") -> Doc:
    """The document with this number; the same for the same seed, everywhere."""
    return World(seed, split).document()
