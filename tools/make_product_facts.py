"""Write data/product_facts/: documents of an invented shop, and questions that they answer or do not answer.

Example: `python tools/make_product_facts.py` rewrites the files, `--check` fails if they differ.
Statements and questions are those of nano's small world (tools/words/lexicon.yaml), so that nano can read an
answer in a text; products, shops and towns bear names that its pre-training never showed.
"""

from __future__ import annotations

import random
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from statistics import median

from generated import jsonl, readme_with, write_or_check
from nano_world.texts import UNKNOWN, lexicon
from words import read_words

FOLDER = Path(__file__).resolve().parents[1] / "data" / "product_facts"
SEED = 20261123

LISTS = read_words("product_facts")
N_PRODUCTS = 160
SYSTEM = "You help customers of an online shop."

SHEET = ("product_colour", "price", "weight", "guarantee", "made_of", "made_in", "shelf", "stock")
SHOP = ("manager", "shop_city", "opening_hour", "closing_day", "staff")
TOWN = ("mayor", "market_day", "bridges", "city_food")
PERSON = ("phone_extension", "meeting_day", "language")
DELIVERY = ("arrival_day", "buyer", "shop_delivery")
RELATIONS = {r["name"]: r for r in lexicon.relations if r["name"] in (*SHEET, *SHOP, *TOWN, *PERSON, *DELIVERY)}

TWO_HOP = {tuple(two.split()): question for two, question in LISTS.two_hop.items()}
SIZES = {
    "validation": {"taught": 40, "paraphrase": 40, "reversed": 25, "never_told": 25, "two_hop": 20},
    "test": {"taught": 90, "paraphrase": 90, "reversed": 60, "never_told": 60, "two_hop": 50},
}
TRAIN_NEVER_TOLD = 75
KINDS = tuple(SIZES["test"])


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

    def __init__(self, rng: random.Random):
        self.rng = rng
        self.documents: list[dict] = []
        self.facts: list[Fact] = []
        self.unique = {name: self.deck(name) for name in ("price", "shelf", "bridges", "phone_extension")}
        first_names = lexicon.first_names[:]
        rng.shuffle(first_names)
        self.people = tuple(first_names)
        self.unique |= dict.fromkeys(("manager", "mayor", "buyer"), first_names)  # nobody is two of these

        names = [f"{brand} {product['name']}" for brand in LISTS.brands for product in lexicon.products]
        rng.shuffle(names)
        self.products, self.other_products = names[:N_PRODUCTS], names[N_PRODUCTS:]
        self.shops = [f"{brand} {word}" for brand in LISTS.brands for word in LISTS.shop_words]
        self.towns = [f"{town} {word}" for town in LISTS.towns for word in LISTS.town_words]
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
        if relation == "shop_city":
            return self.rng.choice(self.towns)
        known = RELATIONS[relation]
        if known["values"] == "number":
            return str(self.rng.randint(int(known["low"]), int(known["high"])))
        values = known["values"]
        return self.rng.choice(getattr(lexicon, values) if isinstance(values, str) else values)

    def add(self, kind: str, title: str, pairs: list[tuple[str, str]]) -> None:
        """One document that states these (subject, relation) pairs."""
        name = f"doc-{len(self.documents) + 1:03d}"
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
        buyers = len(self.unique["buyer"])
        delivery = [(product, "buyer") for product in self.rng.sample(self.products, buyers)]
        delivery += [(product, "arrival_day") for product in self.rng.sample(self.products, N_PRODUCTS // 2)]
        delivery += [(shop, "shop_delivery") for shop in self.rng.sample(self.shops, 20)]
        self.pages("delivery", "Delivery note", delivery)
        staff = [(name, relation) for name in self.people for relation in self.some(PERSON, 2)]
        self.pages("help", "People page", staff)
        for product in self.products:
            self.add("product", product, [(product, relation) for relation in self.some(SHEET, 1)])


class Questions:
    """Draws the questions. A fact that validation asks about is never asked about in the test."""

    def __init__(self, corpus: Corpus, rng: random.Random):
        self.corpus, self.rng = corpus, rng
        self.by_key = {(fact.subject, fact.relation): fact for fact in corpus.facts}
        self.owner: dict[str, str] = {}  # fact id -> split that asks about it
        self.wordings = {}  # relation -> split -> question patterns
        for name, relation in RELATIONS.items():
            shuffled = rng.sample(relation["questions"], len(relation["questions"]))
            self.wordings[name] = {"train": shuffled[:3], "validation": shuffled[3:4], "test": shuffled[4:]}
        self.untold = self.draw_untold()

    def draw_untold(self) -> list[tuple[str, str]]:
        """Pairs that no document states, in turn of a subject that occurs and of a product that does not."""
        subjects = {"product": self.corpus.products, "shop": self.corpus.shops, "city": self.corpus.towns,
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
        if len(chosen) < count:
            raise RuntimeError(f"{split}: only {len(chosen)} of {count} questions; add documents")
        return chosen

    def split(self, split: str) -> list[dict]:
        """All questions of validation or test."""
        sizes = SIZES[split]
        hops = [(fact, second) for fact in self.corpus.facts for first, last in TWO_HOP
                if fact.relation == first and (second := self.by_key.get((fact.value, last)))]  # fmt: skip
        hops = self.in_turn(hops, lambda pair: (pair[0].relation, pair[1].relation))
        hops = self.claim(split, hops, sizes["two_hop"])
        turns = self.in_turn(self.corpus.facts, lambda fact: fact.relation)
        backwards = [(fact,) for fact in turns if fact.relation in LISTS.reversed]
        backwards = self.claim(split, backwards, sizes["reversed"])
        others = [(fact,) for fact in turns if fact.relation not in LISTS.reversed]
        asked = backwards + self.claim(split, others, sizes["taught"] - sizes["reversed"])

        rows = [self.ask("taught", self.wording(fact.relation, "train"), (fact,)) for (fact,) in asked]
        rows += [self.ask("paraphrase", self.wording(fact.relation, split), (fact,)) for (fact,) in asked]
        rows += [self.ask("reversed", LISTS.reversed[fact.relation], (fact,)) for (fact,) in backwards]
        rows += self.unanswerable(sizes["never_told"])
        rows += [self.ask("two_hop", TWO_HOP[first.relation, last.relation], (first, last)) for first, last in hops]
        return self.number(split, rows)

    def train(self) -> list[dict]:
        """Every fact that is asked about, in each of its three taught wordings, and some that no document tells."""
        facts = [fact for fact in self.corpus.facts if fact.id in self.owner]
        rows = [self.ask("taught", pattern, (fact,)) for fact in facts
                for pattern in self.wordings[fact.relation]["train"]]  # fmt: skip
        return self.number("train", rows + self.unanswerable(TRAIN_NEVER_TOLD))

    def wording(self, relation: str, split: str) -> str:
        return self.rng.choice(self.wordings[relation][split])

    def ask(self, kind: str, pattern: str, facts: tuple[Fact, ...]) -> dict:
        """A row without id; the answer is the value of the last fact, or the subject when asked backwards."""
        question = pattern.format(s=facts[0].subject, v=facts[0].value)
        answer = facts[0].subject if kind == "reversed" else facts[-1].value
        return row(kind, question, answer, [f.id for f in facts], [f.document for f in facts],
                   [f.sentence for f in facts])  # fmt: skip

    def unanswerable(self, count: int) -> list[dict]:
        """Questions in taught wordings, each about a pair that no other question is about."""
        pairs, self.untold = self.untold[:count], self.untold[count:]
        asked = [(self.wording(r, "train").format(s=s), f"{s}/{r}") for s, r in pairs]
        return [row("never_told", question, UNKNOWN, [fact], [], []) for question, fact in asked]

    def number(self, split: str, rows: list[dict]) -> list[dict]:
        """The rows in a random order, with ids."""
        self.rng.shuffle(rows)
        return [{"id": f"{split}-{number:04d}", **one} for number, one in enumerate(rows, 1)]


def row(kind: str, question: str, answer: str, facts: list, documents: list, evidence: list) -> dict:
    """One question as a chat, and where its answer stands."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question},
                {"role": "assistant", "content": answer}]  # fmt: skip
    return {"messages": messages, "kind": kind, "facts": facts, "documents": documents, "evidence": evidence}


def make_files() -> dict[str, str]:
    """File name -> content, the same on every machine."""
    rng = random.Random(SEED)
    corpus = Corpus(rng)
    questions = Questions(corpus, rng)
    test, validation = questions.split("test"), questions.split("validation")
    files = {"documents": corpus.documents, "train": questions.train(), "validation": validation, "test": test}
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
