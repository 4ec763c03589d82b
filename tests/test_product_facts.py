"""The product facts: every answer can be checked against the documents, and nothing else tells it."""

import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from ftlab.data.schema import check_chat

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "data" / "product_facts"
sys.path.insert(0, str(ROOT / "tools"))
try:
    import make_product_facts as tool
    from nano_world import texts
finally:
    sys.path.remove(str(ROOT / "tools"))

SPLITS = ("train", "validation", "test")
SIZES = {
    "train": {"taught": 732, "never_told": 75},
    "validation": {"taught": 40, "paraphrase": 40, "reversed": 25, "never_told": 25, "two_hop": 20},
    "test": {"taught": 90, "paraphrase": 90, "reversed": 60, "never_told": 60, "two_hop": 50},
}
KEPT_OUT = {"Velora", "Tarnwick", "Oskellen", "Brindlemoor", "Quillane"}


def read(name):
    return [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def documents():
    """Documents by id."""
    return {document["id"]: document for document in read("documents")}


@pytest.fixture(scope="module")
def splits():
    return {split: read(split) for split in SPLITS}


def statements_of(shop):
    """(relation, pattern of a sentence) for every statement about a shop's names."""
    sold = "|".join(product["name"] for product in texts.lexicon.products)
    names = {"product": rf"(?:{'|'.join(shop.brands)}) (?:{sold})", "people": "|".join(shop.people),
             "shop": rf"(?:{'|'.join(shop.brands)}) (?:{'|'.join(shop.shop_words)})",
             "town": rf"(?:{'|'.join(shop.towns)}) (?:{'|'.join(shop.town_words)})", "number": r"\d+"}  # fmt: skip
    names |= {"person": names["people"], "towns": names["town"]}
    names |= {kind: "|".join(map(re.escape, values)) for kind, values in tool.VALUES.items()}
    for name, relation in tool.RELATIONS.items():
        for statement in relation["statements"]:
            pattern = re.escape(statement).replace(r"\{s\}", f"(?P<s>{names[relation['subject']]})", 1)
            yield name, re.compile(pattern.replace(r"\{v\}", f"(?P<v>{names[relation['values']]})", 1))


def read_back(documents, shop):
    """(subject, relation) -> (value, document, sentence): what texts say, by the patterns of the statements."""
    patterns, found = list(statements_of(shop)), {}
    for document in documents:
        for sentence in re.split(r"(?<=\.) ", document["text"]):
            meanings = {(match["s"], name, match["v"]) for name, p in patterns if (match := p.fullmatch(sentence))}
            assert len(meanings) == 1, (sentence, meanings)  # each sentence says one thing
            ((subject, relation, value),) = meanings
            assert (subject, relation) not in found, (subject, relation)  # said once
            found[subject, relation] = (value, document["id"], sentence)
    return found


@pytest.fixture(scope="module")
def told(documents):
    return read_back(documents.values(), tool.OUR_SHOP)


def question(row):
    return row["messages"][1]["content"]


def answer(row):
    return row["messages"][2]["content"]


def facts(row):
    return [tuple(fact.split("/")) for fact in row["facts"]]


def test_counts_and_keys(splits, documents):
    assert {split: dict(Counter(row["kind"] for row in rows)) for split, rows in splits.items()} == SIZES
    assert 280 <= len(documents) <= 320
    for rows in splits.values():
        assert {tuple(row) for row in rows} == {("id", "messages", "kind", "facts", "documents", "evidence", "half")}
        assert {row["messages"][0]["content"] for row in rows} == {tool.SYSTEM}
    ids = [row["id"] for rows in splits.values() for row in rows]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(("name", "rows"), [*((s, sum(SIZES[s].values())) for s in SPLITS), ("reading", 400),
                                            ("changed", 34)])  # fmt: skip
def test_the_questions_pass_the_course_s_own_check(name, rows):
    check = check_chat(FOLDER / f"{name}.jsonl")
    assert check.findings == []
    assert check.rows_kept == rows


def test_documents_are_of_very_different_length(documents):
    lengths = Counter(len(re.split(r"(?<=\.) ", document["text"])) for document in documents.values())
    assert set(lengths) == set(range(1, 9))
    assert min(lengths.values()) >= 10
    assert Counter(document["kind"] for document in documents.values()).keys() == {"product", "delivery", "help"}


def test_the_kept_out_names_are_those_of_pre_training(told):
    assert {*tool.OUR_SHOP.brands, *tool.OUR_SHOP.towns} == KEPT_OUT <= set(texts.KEPT_OUT_WORDS)
    for subject, relation in told:
        assert tool.RELATIONS[relation]["subject"] == "person" or subject.split()[0] in KEPT_OUT, subject


def test_evidence_stands_in_its_document_and_gives_the_answer(splits, told):
    for rows in splits.values():
        for row in rows:
            if row["kind"] == "never_told":
                assert (row["documents"], row["evidence"]) == ([], [])
                continue
            known = [told[fact] for fact in facts(row)]
            assert row["documents"] == [document for _, document, _ in known], row["id"]
            assert row["evidence"] == [sentence for _, _, sentence in known], row["id"]
            right = facts(row)[0][0] if row["kind"] == "reversed" else known[-1][0]
            assert answer(row) == right, row["id"]


def test_a_question_names_what_it_is_about(splits, told):
    for rows in splits.values():
        for row in rows:
            subject = facts(row)[0][0]
            if row["kind"] == "reversed":
                assert re.search(rf"\b{told[facts(row)[0]][0]}\b", question(row)), row["id"]
                assert subject not in question(row), row["id"]
            else:
                assert subject in question(row), row["id"]


def test_what_was_never_told_stands_nowhere(splits, told):
    never = [row for rows in splits.values() for row in rows if row["kind"] == "never_told"]
    pairs = [facts(row)[0] for row in never]
    assert len(set(pairs)) == len(pairs)
    assert not set(pairs) & set(told)
    assert {answer(row) for row in never} == {"I do not know."} == {texts.UNKNOWN}
    known = {subject for subject, _ in told}
    for split in SPLITS:  # near-misses and strangers
        asked = [facts(row)[0][0] for row in splits[split] if row["kind"] == "never_told"]
        assert 0.6 < sum(subject in known for subject in asked) / len(asked) < 0.75


def test_a_reversed_question_has_one_right_answer(splits, told):
    """Nobody else has the value, and no other relation could be meant by the question."""
    counts = Counter((relation, value) for (_, relation), (value, _, _) in told.items())
    for rows in splits.values():
        for row in rows:
            if row["kind"] == "reversed":
                ((subject, relation),) = facts(row)
                assert counts[relation, told[subject, relation][0]] == 1, row["id"]


def test_two_hops_need_two_documents(splits, told):
    for rows in splits.values():
        for row in rows:
            if row["kind"] == "two_hop":
                first, second = facts(row)
                assert told[first][0] == second[0], row["id"]  # the first value is the second subject
                assert len(set(row["documents"])) == 2, row["id"]
                assert second[0] not in question(row), row["id"]
                assert answer(row) not in row["evidence"][0], row["id"]


def test_every_fact_asked_about_is_taught_in_three_wordings(splits):
    taught = defaultdict(set)
    for row in splits["train"]:
        if row["kind"] == "taught":
            taught[row["facts"][0]].add(question(row))
    assert {len(wordings) for wordings in taught.values()} == {3}
    rows = [row for split in SPLITS[1:] for row in splits[split] if row["kind"] != "never_told"]
    assert {fact for row in rows for fact in row["facts"]} == set(taught)


def test_taught_questions_stand_in_train_and_no_others_do(splits):
    train = {question(row) for row in splits["train"]}
    assert len(train) == len(splits["train"])
    for split in SPLITS[1:]:
        for row in splits[split]:
            assert (question(row) in train) == (row["kind"] == "taught"), row["id"]


def wordings(rows, kinds):
    """Question patterns: the questions without their subjects, by relation."""
    return {(facts(row)[0][1], question(row).replace(facts(row)[0][0], "{s}")) for row in rows if row["kind"] in kinds}


def test_paraphrases_use_wordings_of_their_own(splits):
    train = wordings(splits["train"], ("taught", "never_told"))
    validation, test = (wordings(splits[split], ("paraphrase",)) for split in SPLITS[1:])
    assert len(validation) > 10 < len(test)
    assert not train & validation
    assert not train & test
    assert not validation & test
    for split in SPLITS[1:]:
        assert wordings(splits[split], ("taught", "never_told")) <= train | wordings(splits[split], ("never_told",))


def test_wordings_of_a_relation_are_all_different():
    for name, relation in tool.RELATIONS.items():
        asked = [*relation["taught"], *relation["validation"], *relation["test"]]
        assert (len(relation["taught"]), len(relation["validation"])) == (3, 1), name
        assert len(relation["test"]) == 2, name
        assert len({*asked, *relation["statements"]}) == len(asked) + len(relation["statements"]), name
        assert all(pattern.count("{s}") == 1 for pattern in [*asked, *relation["statements"]]), name
        assert all(pattern.endswith("?") and "{v}" not in pattern for pattern in asked), name


def test_a_fact_is_in_one_half_and_both_halves_ask_of_every_kind(splits):
    halves = defaultdict(set)
    for row in splits["train"]:
        if row["kind"] == "taught":
            halves[row["facts"][0]].add(row["half"])
    assert {len(names) for names in halves.values()} == {1}
    assert set().union(*halves.values()) == {"A", "B"}
    for split in SPLITS[1:]:
        for row in splits[split]:
            of_its_facts = {half for fact in row["facts"] for half in halves[fact]}
            assert row["half"] == (of_its_facts.pop() if len(of_its_facts) == 1 else ""), row["id"]
        counts = Counter((row["kind"], row["half"]) for row in splits[split])
        for kind in set(SIZES[split]) - {"never_told"}:
            assert 0.7 < counts[kind, "A"] / counts[kind, "B"] < 1.4, (split, kind)


def test_what_changed_contradicts_what_was_taught(splits, documents, told):
    new_documents = {document["id"]: document for document in read("changed_documents")}
    now = read_back((documents | new_documents).values(), tool.OUR_SHOP)
    taught = {(question(row), answer(row)) for row in splits["train"] if row["half"] == "A"}
    rows = read("changed")
    for row in rows:
        (fact,) = facts(row)
        assert (answer(row), row["documents"][0], row["evidence"][0]) == now[fact], row["id"]
        assert told[fact][0] == row["old"] != answer(row), row["id"]
        assert (question(row), row["old"]) in taught, row["id"]
    assert {fact for fact in told if told[fact] != now[fact]} == {facts(row)[0] for row in rows}
    assert {row["documents"][0] for row in rows} == set(new_documents)


def test_passages_tell_the_answer_or_nothing_of_it(told):
    """Reading rows are about another shop; who reads their passages knows the answer, or knows that it is not there."""
    rows = read("reading")
    assert Counter(row["kind"] for row in rows) == tool.READING
    ours = {*(subject for subject, _ in told), *(value for (_, relation), (value, _, _) in told.items()
            if tool.RELATIONS[relation]["values"] in ("people", "towns"))}  # fmt: skip
    for row in rows:
        context, asked = re.fullmatch(r"Context:\n(.*)\n\nQuestion: (.*)", question(row), re.DOTALL).groups()
        sentences = dict.fromkeys(re.split(r"(?<=\.)\s", context))
        passages = read_back([{"id": "", "text": " ".join(sentences)}], tool.OTHER_SHOP)
        assert not any(re.search(rf"\b{re.escape(name)}\b", question(row)) for name in ours), row["id"]
        if row["kind"] == "never_told":
            assert answer(row) == "I do not know."
            assert facts(row)[0] not in passages
            assert facts(row)[0][0] in asked
        else:
            known = [passages[fact] for fact in facts(row)]
            assert [sentence for _, _, sentence in known] == row["evidence"], row["id"]
            right = facts(row)[0][0] if row["kind"] == "reversed" else known[-1][0]
            assert answer(row) == right, row["id"]


def test_taught_paraphrase_and_reversed_ask_about_the_same_facts(splits):
    for split in SPLITS[1:]:
        asked = {kind: [row["facts"][0] for row in splits[split] if row["kind"] == kind]
                 for kind in ("taught", "paraphrase", "reversed")}  # fmt: skip
        assert sorted(asked["taught"]) == sorted(asked["paraphrase"])
        assert set(asked["reversed"]) <= set(asked["taught"])
        assert len(set(asked["taught"])) == len(asked["taught"])


def test_validation_and_test_share_no_fact(splits):
    asked = [{fact for row in splits[split] for fact in row["facts"]} for split in SPLITS[1:]]
    assert not asked[0] & asked[1]


def test_many_relations_are_asked_about(splits):
    for split in SPLITS[1:]:
        assert len({facts(row)[-1][1] for row in splits[split]}) >= 15


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_files_are_small_ascii_with_unix_line_ends(path):
    content = path.read_bytes()
    assert content.isascii()
    assert b"\r" not in content
    assert len(content) < 500_000


@pytest.mark.parametrize("hash_seed", ["0", "7"])
def test_generator_writes_exactly_these_files(hash_seed):
    result = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "make_product_facts.py"), "--check"],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
