"""The small world that nano grows up in: documents made from the sentence banks, one per seed.

`document(seed)` always returns the same document for the same seed, so training can resume anywhere.
"""

import json
import re

from nano_world.texts import SENTENCE_BANKS, UNKNOWN, Doc, KnownText, Texts, inbox, lexicon, prompts

SKILLS = ["copy", "reverse", "sort", "sort_numbers", "largest", "smallest", "count", "sum", "difference", "first",
          "last", "repeat_n", "yes_no_mentions"]  # fmt: skip
HARD_SKILLS = ["copy", "reverse", "sort", "sort_numbers", "sum", "difference", "yes_no_mentions"]


class World(Texts):
    """Draws documents: every kind is a method."""

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

    def case(self) -> KnownText:
        return self.ticket() if self.chance(0.78) else self.clinic_note()

    def one_sentence(self) -> KnownText:
        """A text of one sentence, of which one class is known."""
        attribute, bank = self.pick(SENTENCE_BANKS)
        key = self.pick(list(bank))
        return KnownText(self.sentence(bank, key), {}, {attribute: key}, {attribute: bank})

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
            instruction = f"{self.pick(prompts.field_phrases[attribute]).capitalize()}: {instruction}"
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
        instruction = self.pattern(wordings).format(field=self.pick(prompts.field_phrases[attribute]))
        shot = (case.text, self.description(case, attribute))
        doc = self.chat("describe", instruction[0].upper() + instruction[1:], [shot])
        turns = list(doc.turns)
        more = [a for a in case.classes if a != attribute]
        self.rng.shuffle(more)
        for other in more[: self.pick([0, 1, 2, 3])]:  # further questions about the same text
            asked = self.pattern([w for w in prompts.instructions["describe"] if "{field}" in w])
            turns += [("user", asked.format(field=self.pick(prompts.field_phrases[other]))),
                      ("assistant", self.description(case, other))]  # fmt: skip
        return Doc("describe", tuple(turns))

    def description(self, case: KnownText, attribute: str) -> str:
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
        name = self.pick(prompts.key_names[key]).replace("_", " ")
        phrase = self.pick([name, self.pick(prompts.field_phrases[key]).removeprefix("the ")])
        instruction = self.pattern(prompts.instructions["extract"]).format(field=phrase)
        if self.chance(0.6):
            instruction += f" If there is none, say {none}."
        elif case.copies[key] is None:
            return self.extract()
        shots = [(case.text, case.copies[key] or none)]
        return self.chat("extract", instruction, shots)

    def record_key(self, field: str, odd: bool, taken) -> str:
        """A name for a key that no other key of the record has."""
        while True:
            name = self.odd_key() if odd else self.pick(prompts.key_names[field])
            if self.chance(0.08):
                name = name + "_" + self.pick(["of", "x", "code", "value", "kind", "a"])
            if name not in taken:
                return name

    def record_instruction(self, lines: list[tuple[str, str]], bare: bool, listed: bool) -> str:
        """What is to be filled in: the keys alone, one a line with its description, or in a sentence."""
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
            endings = ["Use null where nothing is said.", "Write null for what is missing.", "Only JSON."]
            instruction += self.pick(endings)
        return instruction

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
            names[f] = name = self.record_key(f, odd and not bare, names.values())
            phrase = self.pick(prompts.field_phrases[f])
            if f in case.copies:
                forms = [phrase, phrase + " or null", phrase + ", null if not given", f"{phrase} (or null)"]
                lines.append((name, self.pick(forms)))
            else:
                opts, style = self.options(case.banks[f], case.classes[f])
                if len(opts) < 2:
                    opts, style = self.options(case.banks[f], case.classes[f])
                chosen_options[f] = {k: n for k, n, _ in opts}
                text = self.option_text(opts, style != "plain" or self.chance(0.3))
                form = self.pick(["one of {o}", "{p}: {o}", "{p}, one of: {o}", "{o}"])
                lines.append((name, form.format(o=text, p=phrase)))
        instruction = self.record_instruction(lines, bare, listed)
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
