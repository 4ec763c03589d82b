"""Write data/product_facts/: documents of an invented shop, and questions that they answer or do not answer.

Example: `python tools/make_product_facts.py` rewrites the files, `--check` fails if they differ.
Statements and questions stand in tools/words/product_facts.yaml; some kinds of values are those of nano's small world
(tools/words/lexicon.yaml). The reading rows come from a second shop, of which no name occurs in the first.
"""

from __future__ import annotations

import random
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from statistics import median
from types import SimpleNamespace

from generated import jsonl, readme_with, write_or_check
from nano_world.texts import UNKNOWN, lexicon
from words import read_words

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from ftlab.baselines.prompting import Prompt, rag_messages  # noqa: E402
from ftlab.baselines.retrieval import Hit, chunk  # noqa: E402

FOLDER = ROOT / "data" / "product_facts"
SEED = 20261128

LISTS = read_words("product_facts")
SYSTEM = "You help customers of an online shop."

SHEET = ("product_colour", "price", "weight", "guarantee", "made_of", "made_in", "shelf", "stock")
SHOP = ("manager", "shop_city", "opening_hour", "closing_day", "staff")
TOWN = ("courier", "parcel_day", "delivery_fee", "pickup_point")
PERSON = ("phone_extension", "meeting_day", "language")
RELATIONS = LISTS.relations
REVERSED = {name: relation["reversed"] for name, relation in RELATIONS.items() if "reversed" in relation}
VALUES = {"days": lexicon.days, "countries": lexicon.countries, "languages": lexicon.languages,
          "colours": LISTS.colours, "materials": LISTS.materials, "pickup_points": LISTS.pickup_points}  # fmt: skip

TWO_HOP = {tuple(two.split()): question for two, question in LISTS.two_hop.items()}
SIZES = {
    "validation": {"taught": 40, "paraphrase": 40, "reversed": 25, "never_told": 25, "two_hop": 20},
    "test": {"taught": 90, "paraphrase": 90, "reversed": 60, "never_told": 60, "two_hop": 50},
}
TRAIN_NEVER_TOLD = 75
CHANGED = 40
READING = {"taught": 200, "reversed": 50, "two_hop": 50, "never_told": 100}
KINDS = tuple(SIZES["test"])
PEOPLE = [name for name in lexicon.first_names if name not in LISTS.one_of_two]
OUR_SHOP = SimpleNamespace(**LISTS.corpus, people=PEOPLE, products=160, id="doc")
OTHER_SHOP = SimpleNamespace(**LISTS.reading, products=60, id="other")


@dataclass(frozen=True)
class Fact:
    """One statement of one document; no document says anything else about this subject and relation."""

    subject: str
    relation: str
    value: str
    sentence: str
    document: str

    @property
    def id(self) -> str:
        return f"{self.subject}/{self.relation}"


class Corpus:
    """Draws the values, and puts the statements into documents of one to eight sentences."""

    def __init__(self, rng: random.Random, shop: SimpleNamespace):
        self.rng, self.shop = rng, shop
        self.documents: list[dict] = []
        self.facts: list[Fact] = []
        self.unique = {name: self.deck(name) for name in ("price", "shelf", "delivery_fee", "phone_extension")}
        people = rng.sample(shop.people, len(shop.people))
        self.people = tuple(people)
        self.unique |= dict.fromkeys(("manager", "courier", "adviser"), people)  # nobody is two of these

        sold = [product["name"] for product in lexicon.products if product["name"] not in LISTS.not_sold]
        names = [f"{brand} {product}" for brand in shop.brands for product in sold]
        rng.shuffle(names)
        self.products, self.other_products = names[: shop.products], names[shop.products :]
        self.shops = [f"{brand} {word}" for brand in shop.brands for word in shop.shop_words]
        self.towns = [f"{town} {word}" for town in shop.towns for word in shop.town_words]
        self.write()

    def deck(self, relation: str) -> list[str]:
        """All numbers of a relation in a random order, for values that must not occur twice."""
        low, high = int(RELATIONS[relation]["low"]), int(RELATIONS[relation]["high"])
        numbers = list(map(str, range(low, high + 1)))
        self.rng.shuffle(numbers)
        return numbers

    def value(self, relation: str) -> str | None:
        """A value of the relation; None when its values must differ and all are taken."""
        if relation in self.unique:
            return self.unique[relation].pop() if self.unique[relation] else None
        known = RELATIONS[relation]
        if known["values"] == "number":
            return str(self.rng.randint(int(known["low"]), int(known["high"])))
        return self.rng.choice(self.towns if known["values"] == "towns" else VALUES[known["values"]])

    def another(self, fact: Fact) -> Fact | None:
        """The fact with a new value, told in the same words; None when no value is left."""
        value = fact.value
        while value == fact.value:
            value = self.value(fact.relation)
        if value is None:
            return None
        told = {statement.format(s=fact.subject, v=fact.value): statement
                for statement in RELATIONS[fact.relation]["statements"]}  # fmt: skip
        sentence = told[fact.sentence].format(s=fact.subject, v=value)
        return Fact(fact.subject, fact.relation, value, sentence, fact.document)

    def add(self, kind: str, title: str, pairs: list[tuple[str, str]]) -> None:
        """One document that states these (subject, relation) pairs."""
        name = f"{self.shop.id}-{len(self.documents) + 1:03d}"
        facts = []
        for subject, relation in pairs:
            value = self.value(relation)
            if value is not None:
                statement = self.rng.choice(RELATIONS[relation]["statements"])
                facts.append(Fact(subject, relation, value, statement.format(s=subject, v=value), name))
        if facts:
            text = " ".join(fact.sentence for fact in facts)
            self.documents.append({"id": name, "kind": kind, "title": title, "text": text})
            self.facts += facts

    def some(self, relations: tuple[str, ...], least: int) -> list[str]:
        """At least so many of the relations, in a random order."""
        return self.rng.sample(relations, self.rng.randint(least, len(relations)))

    def pages(self, kind: str, title: str, pairs: list[tuple[str, str]]) -> None:
        """The pairs, shuffled, on pages of one to eight sentences."""
        self.rng.shuffle(pairs)
        number = 0
        while pairs:
            size, number = self.rng.randint(1, 8), number + 1
            self.add(kind, f"{title} {number}", pairs[:size])
            del pairs[:size]

    def write(self) -> None:
        """All documents: shops and towns first, because their people must not run out."""
        for shop in self.shops:
            pairs = [(shop, relation) for relation in self.some(SHOP[2:], 0)]
            pairs += [(shop, relation) for relation in SHOP[:2]]
            self.rng.shuffle(pairs)
            self.add("help", shop, pairs)
        for town in self.towns:
            self.add("help", town, [(town, relation) for relation in self.some(TOWN, 1)])
        advisers = len(self.unique["adviser"]) * 4 // 5  # the others may take over, when something changes
        notes = [(product, "adviser") for product in self.rng.sample(self.products, advisers)]
        notes += [(product, "arrival_day") for product in self.rng.sample(self.products, len(self.products) // 2)]
        notes += [(shop, "shop_delivery") for shop in self.rng.sample(self.shops, len(self.shops) * 2 // 3)]
        self.pages("delivery", "Note to the staff", notes)
        staff = [(name, relation) for name in self.people for relation in self.some(PERSON, 2)]
        self.pages("help", "People page", staff)
        for product in self.products:
            self.add("product", product, [(product, relation) for relation in self.some(SHEET, 1)])

    def hops(self) -> list[tuple[Fact, Fact]]:
        """Pairs of facts of which the first tells the subject of the second."""
        told = {(fact.subject, fact.relation): fact for fact in self.facts}
        return [(fact, second) for fact in self.facts for first, last in TWO_HOP
                if fact.relation == first and (second := told.get((fact.value, last)))]  # fmt: skip


class Questions:
    """Draws the questions. A fact that validation asks about is never asked about in the test."""

    def __init__(self, corpus: Corpus, rng: random.Random):
        self.corpus, self.rng = corpus, rng
        self.by_key = {(fact.subject, fact.relation): fact for fact in corpus.facts}
        self.owner: dict[str, str] = {}  # fact id -> split that asks about it
        self.half: dict[str, str] = {}  # fact id -> A or B, within a split and relation in turn
        self.turn: Counter = Counter()
        self.untold = self.draw_untold()

    def draw_untold(self) -> list[tuple[str, str]]:
        """Pairs that no document states, in turn of a subject that occurs and of a product that does not."""
        subjects = {"product": self.corpus.products, "shop": self.corpus.shops, "town": self.corpus.towns,
                    "person": self.corpus.people}  # fmt: skip
        near = [(s, r) for r, relation in RELATIONS.items() for s in subjects[relation["subject"]]]
        near = [pair for pair in near if pair not in self.by_key]
        far = [(s, r) for s in self.corpus.other_products for r in SHEET]
        near, far = self.in_turn(near, lambda pair: pair[1]), self.in_turn(far, lambda pair: pair[1])
        return [pair for three in zip(near[::2], near[1::2], far, strict=False) for pair in three]

    def in_turn(self, items: list, group) -> list:
        """Shuffled, and so that the groups take turns."""
        groups = defaultdict(list)
        for item in self.rng.sample(items, len(items)):
            groups[group(item)].append(item)
        return [item for row in zip_longest(*groups.values()) for item in row if item is not None]

    def claim(self, split: str, candidates: list[tuple[Fact, ...]], count: int) -> list[tuple[Fact, ...]]:
        """The first `count` candidates whose facts no other split asks about; from now on they are this split's."""
        chosen = []
        for facts in candidates:
            if len(chosen) < count and all(self.owner.get(fact.id, split) == split for fact in facts):
                self.owner |= {fact.id: split for fact in facts}
                chosen.append(facts)
                self.halve(split, facts)
        if len(chosen) < count:
            raise RuntimeError(f"{split}: only {len(chosen)} of {count} questions; add documents")
        return chosen

    def halve(self, split: str, facts: tuple[Fact, ...]) -> None:
        """Facts that are asked about together come into one half, unless one of them has a half already."""
        first = facts[0].relation
        half = "AB"[(self.turn[split, first] + list(RELATIONS).index(first)) % 2]
        self.half = dict.fromkeys((fact.id for fact in facts), half) | self.half
        self.turn[split, first] += 1

    def split(self, split: str) -> list[dict]:
        """All questions of validation or test."""
        sizes = SIZES[split]
        hops = self.in_turn(self.corpus.hops(), lambda pair: (pair[0].relation, pair[1].relation))
        hops = self.claim(split, hops, sizes["two_hop"])
        turns = self.in_turn(self.corpus.facts, lambda fact: fact.relation)
        backwards = [(fact,) for fact in turns if fact.relation in REVERSED]
        backwards = self.claim(split, backwards, sizes["reversed"])
        others = [(fact,) for fact in turns if fact.relation not in REVERSED]
        asked = backwards + self.claim(split, others, sizes["taught"] - sizes["reversed"])

        rows = [self.ask("taught", self.wording(fact.relation, "taught"), (fact,)) for (fact,) in asked]
        rows += [self.ask("paraphrase", self.wording(fact.relation, split), (fact,)) for (fact,) in asked]
        rows += [self.ask("reversed", REVERSED[fact.relation], (fact,)) for (fact,) in backwards]
        rows += self.unanswerable(sizes["never_told"])
        rows += [self.ask("two_hop", TWO_HOP[first.relation, last.relation], (first, last)) for first, last in hops]
        return self.number(split, rows)

    def train(self) -> list[dict]:
        """Every fact that is asked about, in each of its three taught wordings, and some that no document tells."""
        facts = [fact for fact in self.corpus.facts if fact.id in self.owner]
        rows = [self.ask("taught", pattern, (fact,)) for fact in facts
                for pattern in RELATIONS[fact.relation]["taught"]]  # fmt: skip
        return self.number("train", rows + self.unanswerable(TRAIN_NEVER_TOLD))

    def wording(self, relation: str, split: str) -> str:
        return self.rng.choice(RELATIONS[relation][split])

    def ask(self, kind: str, pattern: str, facts: tuple[Fact, ...]) -> dict:
        """A row without id; the answer is the value of the last fact, or the subject when asked backwards."""
        question = pattern.format(s=facts[0].subject, v=facts[0].value)
        answer = facts[0].subject if kind == "reversed" else facts[-1].value
        halves = {self.half.get(fact.id, "") for fact in facts}
        return row(kind, question, answer, facts, halves.pop() if len(halves) == 1 else "")

    def unanswerable(self, count: int) -> list[dict]:
        """Questions in taught wordings, each about a pair that no other question is about."""
        pairs, self.untold = self.untold[:count], self.untold[count:]
        asked = [(self.wording(r, "taught").format(s=s), f"{s}/{r}") for s, r in pairs]
        return [row("never_told", question, UNKNOWN, (), "") | {"facts": [fact]} for question, fact in asked]

    def changed(self, test: list[dict]) -> tuple[list[dict], list[dict]]:
        """Taught questions of half A whose answer is another one now, and the new versions of their documents."""
        taught = [one for one in test if one["kind"] == "taught" and one["half"] == "A"]
        told = {fact.id: fact for fact in self.corpus.facts}
        texts = {document["id"]: document["text"] for document in self.corpus.documents}
        rows, seen = [], set()
        for one in taught:
            old = told[one["facts"][0]]
            new = self.corpus.another(old) if len(rows) < CHANGED else None
            if new is not None:
                question = one["messages"][1]["content"]
                rows.append(row("changed", question, new.value, (new,), "A") | {"old": old.value})
                texts[new.document] = texts[new.document].replace(old.sentence, new.sentence)
                seen.add(new.document)
        documents = [one | {"text": texts[one["id"]]} for one in self.corpus.documents if one["id"] in seen]
        return self.number("changed", rows), documents

    def number(self, split: str, rows: list[dict]) -> list[dict]:
        """The rows in a random order, with ids."""
        self.rng.shuffle(rows)
        return [{"id": f"{split}-{number:04d}", **one} for number, one in enumerate(rows, 1)]


def row(kind: str, question: str, answer: str, facts: tuple[Fact, ...], half: str) -> dict:
    """One question as a chat, and where its answer stands."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question},
                {"role": "assistant", "content": answer}]  # fmt: skip
    return {"messages": messages, "kind": kind, "facts": [fact.id for fact in facts],
            "documents": [fact.document for fact in facts],
            "evidence": [fact.sentence for fact in facts], "half": half}  # fmt: skip


class Reading:
    """Questions with passages of another shop: what a model is to learn is to find the answer, not to know it."""

    def __init__(self, rng: random.Random):
        self.rng, self.corpus = rng, Corpus(rng, OTHER_SHOP)
        self.questions = Questions(self.corpus, rng)
        self.chunks = chunk(self.corpus.documents, sentences=3, overlap=1)

    def rows(self) -> list[dict]:
        """Rows of each kind; where the passages do not tell, the answer is that one does not know."""
        turns = self.questions.in_turn(self.corpus.facts, lambda fact: fact.relation)
        hops = self.questions.in_turn(self.corpus.hops(), lambda pair: (pair[0].relation, pair[1].relation))
        single = iter([(fact,) for fact in turns])
        backwards = [(fact,) for fact in turns if fact.relation in REVERSED]
        candidates = {"taught": single, "never_told": single, "reversed": iter(backwards), "two_hop": iter(hops)}
        rows = []
        for kind, count in READING.items():
            chosen = [facts for facts, _ in zip(candidates[kind], range(count), strict=False)]
            if len(chosen) < count:
                raise RuntimeError(f"reading, {kind}: only {len(chosen)} of {count} questions; add documents")
            rows += [self.ask(kind, facts) for facts in chosen]
        return self.questions.number("reading", rows)

    def ask(self, kind: str, facts: tuple[Fact, ...]) -> dict:
        """A question with its passages in front, in the form that `rag_messages` gives it."""
        first, last = facts[0].relation, facts[-1].relation
        patterns = {"reversed": REVERSED.get(first), "two_hop": TWO_HOP.get((first, last))}
        pattern = patterns.get(kind) or self.questions.wording(first, "taught")
        one = self.questions.ask(kind, pattern, facts)
        question, told = one["messages"][1]["content"], kind != "never_told"
        passages = self.passages(facts, told)
        chat = rag_messages(Prompt("", SYSTEM), question, [Hit(i, 0, c) for i, c in enumerate(passages, 1)])
        answer = one["messages"][2] | ({} if told else {"content": UNKNOWN})
        evidence = {} if told else {"documents": [], "evidence": []}
        return one | {"messages": [*chat, answer]} | evidence

    def passages(self, facts: tuple[Fact, ...], told: bool) -> list:
        """Up to four chunks: those that tell the facts (one of each, where `told`), and near ones that do not."""
        holding = [[c for c in self.chunks if fact.sentence in c.text] for fact in facts]
        right = [self.rng.choice(chunks) for chunks in holding] if told else []
        near = facts[0].subject, facts[-1].relation
        kin = [f.sentence for f in self.corpus.facts if f.subject == near[0] or f.relation == near[1]]
        others = [c for c in self.chunks if not any(fact.sentence in c.text for fact in facts)]
        others = self.rng.sample(others, len(others))
        others.sort(key=lambda c: sum(sentence in c.text for sentence in kin), reverse=True)
        chosen = [*right, *others[: self.rng.randint(max(1, len(right)), 4) - len(right)]]
        return self.rng.sample(chosen, len(chosen))


def make_files() -> dict[str, str]:
    """File name -> content, the same on every machine."""
    rng = random.Random(SEED)
    corpus = Corpus(rng, OUR_SHOP)
    questions = Questions(corpus, rng)
    test, validation, train = questions.split("test"), questions.split("validation"), questions.train()
    changed, new_documents = questions.changed(test)
    files = {"documents": corpus.documents, "train": train, "validation": validation, "test": test,
             "changed": changed, "changed_documents": new_documents, "reading": Reading(rng).rows()}  # fmt: skip
    contents = {f"{name}.jsonl": jsonl(rows) for name, rows in files.items()}
    return contents | {"README.md": readme_with(FOLDER, summary(files) + "\n")}


def summary(files: dict[str, list[dict]]) -> str:
    """Markdown: documents by kind, questions by kind and split, one example of each."""
    documents = files["documents"]
    lengths = {kind: [d["text"].count(". ") + 1 for d in documents if d["kind"] == kind]
               for kind in ("product", "delivery", "help")}  # fmt: skip
    lines = ["| documents | number | sentences, median | longest |", "| --- | --- | --- | --- |"]
    lines += [f"| {kind} | {len(n)} | {median(n):g} | {max(n)} |" for kind, n in lengths.items()]
    splits = ("train", "validation", "test")
    lines += ["", f"| questions | {' | '.join(splits)} |", "| --- | --- | --- | --- |"]
    counts = {split: Counter(row["kind"] for row in files[split]) for split in splits}
    lines += [f"| {kind} | {' | '.join(str(counts[s][kind]) for s in splits)} |" for kind in KINDS]
    lines += [f"| all | {' | '.join(str(len(files[s])) for s in splits)} |"]
    halves = {split: Counter(row["half"] for row in files[split]) for split in splits}
    lines += [f"| about half {half} only | {' | '.join(str(halves[s][half]) for s in splits)} |" for half in "AB"]
    kinds = Counter(row["kind"] for row in files["reading"])
    lines += ["", f"`reading.jsonl`: {', '.join(f'{kinds[kind]} {kind}' for kind in READING)}.", ""]
    lines += [f"`changed.jsonl`: {len(files['changed'])} questions; {len(files['changed_documents'])} new documents."]
    lines += ["", "The first of each kind in `test.jsonl`:", ""]
    for kind in KINDS:
        one = next(row for row in files["test"] if row["kind"] == kind)
        _, question, answer = (message["content"] for message in one["messages"])
        places = zip(one["evidence"], one["documents"], strict=True)
        told = " ".join(f'"{sentence}" ({name})' for sentence, name in places)
        lines.append(f"- {kind}: {question} **{answer}**; told in: {told or 'nothing'}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(write_or_check(__doc__, FOLDER, make_files))
