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
    "train": {"taught": 714, "never_told": 75},
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


@pytest.fixture(scope="module")
def told(documents):
    """(subject, relation) -> (value, document, sentence), read back from the texts with nano's statement patterns."""
    products = "|".join(product["name"] for product in texts.lexicon.products)
    subjects = {"product": rf"(?:{'|'.join(tool.LISTS.brands)}) (?:{products})", "person": "[A-Z][a-z]+",
                "shop": rf"(?:{'|'.join(tool.LISTS.brands)}) (?:{'|'.join(tool.LISTS.shop_words)})",
                "city": rf"(?:{'|'.join(tool.LISTS.towns)}) (?:{'|'.join(tool.LISTS.town_words)})"}  # fmt: skip
    patterns = []
    for name, relation in tool.RELATIONS.items():
        if relation["values"] == "number":
            value = r"\d+"
        elif name == "shop_city":
            value = subjects["city"]
        else:
            values = relation["values"]
            values = getattr(texts.lexicon, values) if isinstance(values, str) else values
            value = "|".join(map(re.escape, values))
        for statement in relation["statements"]:
            pattern = re.escape(statement).replace(r"\{s\}", f"(?P<s>{subjects[relation['subject']]})", 1)
            pattern = pattern.replace(r"\{v\}", f"(?P<v>{value})", 1)
            patterns.append((name, re.compile(pattern)))
    found = {}
    for document in documents.values():
        for sentence in re.split(r"(?<=\.) ", document["text"]):
            meanings = {(match["s"], name, match["v"]) for name, p in patterns if (match := p.fullmatch(sentence))}
            assert len(meanings) == 1, (sentence, meanings)  # each sentence says one thing
            ((subject, relation, value),) = meanings
            assert (subject, relation) not in found, (subject, relation)  # said once
            found[subject, relation] = (value, document["id"], sentence)
    return found


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
        assert {tuple(row) for row in rows} == {("id", "messages", "kind", "facts", "documents", "evidence")}
        assert {row["messages"][0]["content"] for row in rows} == {tool.SYSTEM}
    ids = [row["id"] for rows in splits.values() for row in rows]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("split", SPLITS)
def test_the_questions_pass_the_course_s_own_check(split):
    check = check_chat(FOLDER / f"{split}.jsonl")
    assert check.findings == []
    assert check.rows_kept == sum(SIZES[split].values())


def test_documents_are_of_very_different_length(documents):
    lengths = Counter(len(re.split(r"(?<=\.) ", document["text"])) for document in documents.values())
    assert set(lengths) == set(range(1, 9))
    assert min(lengths.values()) >= 10
    assert Counter(document["kind"] for document in documents.values()).keys() == {"product", "delivery", "help"}


def test_the_kept_out_names_are_those_of_pre_training(told):
    assert set(tool.LISTS.brands) | set(tool.LISTS.towns) == KEPT_OUT <= set(texts.KEPT_OUT_WORDS)
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
