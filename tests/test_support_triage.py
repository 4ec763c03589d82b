"""The running example's data: every label can be checked against its text, and no sentence crosses splits."""

import itertools
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import datasets
import jsonschema
import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "data" / "support_triage"
SIZES = {"train": 2000, "validation": 300, "test": 600, "hard": 200, "other_shop": 200}
QUEUES = "logistics|aftersales|workshop|billing|accounts|presales|hazards"
KEYS = ["queue", "urgency", "product", "order_id", "tone", "ask"]
# label names that a ticket must not give away
GIVEAWAYS = re.compile(rf"\b({QUEUES}|furious|queue)\b")
# what makes an issue a hazard
DANGER = re.compile(
    r"\b(smok\w*|spark\w*|burn\w*|shock|flame|scald\w*|scorch\w*|melt\w*|chok\w*|swallow|swelled|hurt|blisters|"
    r"cut my|was cut|deep cut|bled|collapsed|gave way|tipped over|fell over|tingle|charred|sprained|"
    r"splinters|"
    r"(drip|leak|run|trickle).*(socket|strip|lead|fuse box)|puddle.*socket|cut my son|shard|"
    r"(mouth|lips|throat)\b|came down on my foot|my palm|collarbone|thrown out)",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def tool():
    """The generator as a module."""
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        import make_support_triage
    finally:
        sys.path.pop(0)
    return make_support_triage


@pytest.fixture(scope="module")
def splits():
    """Split name -> rows as they lie on disk."""
    return {
        s: [json.loads(line) for line in (FOLDER / f"{s}.jsonl").read_text().splitlines()] for s in SIZES
    }


@pytest.fixture(scope="module")
def pairs(splits):
    """Split, row, ticket and record of every row."""
    return [
        (split, row, row["messages"][1]["content"], json.loads(row["messages"][2]["content"]))
        for split, rows in splits.items()
        for row in rows
    ]


def side(split):
    """hard and other_shop share sentences with test, so the three are one side of the wall."""
    return "test" if split in ("hard", "other_shop") else split


def shingles(text, size):
    """Runs of `size` words, with every number masked."""
    words = re.sub(r"\d+", "0", text.lower())
    words = re.findall(r"[a-z0{}]+", words)
    return {tuple(words[i : i + size]) for i in range(len(words) - size + 1)}


def overlap(a, b):
    """Jaccard similarity of two sets."""
    return len(a & b) / len(a | b)


def test_counts_and_keys(splits):
    assert {split: len(rows) for split, rows in splits.items()} == SIZES
    for split, rows in splits.items():
        assert {tuple(row) for row in rows} == {("id", "messages", "pattern", "slice")}
        expected = split if split in ("hard", "other_shop") else "main"
        assert {row["slice"] for row in rows} == {expected}
        for row in rows:
            assert [message["role"] for message in row["messages"]] == ["system", "user", "assistant"]
        assert {row["messages"][0]["content"] for row in rows} == {"Triage the ticket."}
    ids = [row["id"] for rows in splits.values() for row in rows]
    assert len(set(ids)) == len(ids)


def test_files_are_small_ascii_with_unix_line_ends():
    for path in filter(Path.is_file, FOLDER.iterdir()):
        content = path.read_bytes()
        assert content.isascii(), path
        assert b"\r" not in content, path
        assert len(content) < 2_000_000, path


def test_every_record_fits_the_schema(pairs):
    validator = jsonschema.Draft202012Validator(json.loads((FOLDER / "schema.json").read_text()))
    for _, row, _, record in pairs:
        assert list(record) == KEYS, row["id"]
        assert validator.is_valid(record), row["id"]


WRONG = [{"queue": "sales"}, {"urgency": "P5"}, {"order_id": "12345"}, {"order_id": 123456}, {"product": ""}]


@pytest.mark.parametrize("change", [*WRONG, {"tone": None}, {"ask": "refund"}, {"extra": 1}])
def test_schema_refuses_a_wrong_value(change, pairs):
    validator = jsonschema.Draft202012Validator(json.loads((FOLDER / "schema.json").read_text()))
    assert not validator.is_valid({**pairs[0][3], **change})


@pytest.mark.parametrize("key", KEYS)
def test_schema_refuses_a_missing_key(key, pairs):
    validator = jsonschema.Draft202012Validator(json.loads((FOLDER / "schema.json").read_text()))
    assert not validator.is_valid({k: v for k, v in pairs[0][3].items() if k != key})


def test_order_id_is_the_only_six_digit_number_outside_hard(pairs):
    for split, row, ticket, record in pairs:
        numbers = re.findall(r"(?<!\d)\d{6}(?!\d)", ticket)
        if split == "hard":
            assert record["order_id"] is None or record["order_id"] in numbers, row["id"]
        else:
            assert numbers == ([record["order_id"]] if record["order_id"] else []), row["id"]


def test_hard_has_six_digit_decoys(pairs):
    decoys = [
        set(re.findall(r"(?<!\d)\d{6}(?!\d)", ticket)) - {record["order_id"]}
        for split, _, ticket, record in pairs
        if split == "hard"
    ]
    assert sum(map(bool, decoys)) > 0.7 * SIZES["hard"]


def test_product_is_named_and_is_the_only_one_outside_hard(tool, pairs):
    for split, row, ticket, record in pairs:
        shop = tool.OTHER_SHOP if split == "other_shop" else tool.BRIGHTWATER
        names = "|".join(sorted(shop.products, key=len, reverse=True))
        found = set(re.findall(rf"\b({names})\b", ticket.lower()))
        if split == "hard":
            assert record["product"] is None or record["product"] in found, row["id"]
        else:
            assert found == ({record["product"]} if record["product"] else set()), row["id"]


def test_product_lists(tool):
    assert len(tool.BRIGHTWATER.products) >= 45
    assert len(tool.OTHER_SHOP.products) >= 20
    assert not set(tool.BRIGHTWATER.products) & set(tool.OTHER_SHOP.products)


def test_danger_words_are_found_in_hazards_and_nowhere_else(tool):
    for pattern in tool.PATTERNS:
        if pattern.kind == "issue":
            text = re.sub(r"cracked when|a power cut", "", pattern.text)
            assert bool(DANGER.search(text)) == (pattern.label == "hazards"), pattern


def test_urgency_follows_the_patterns(tool, pairs):
    by_id = {p.id: p for p in tool.PATTERNS}
    for _, row, _, record in pairs:
        used = [by_id[name] for name in row["pattern"].split("+")]
        kinds = {p.kind for p in used}
        (issue,) = [p for p in used if p.kind == "issue"]
        expected = "P1" if "p1" in kinds else "P2" if "p2" in kinds else f"P{issue.fields[2][0]}"
        assert record["urgency"] == expected, row["id"]
        assert record["queue"] == issue.label, row["id"]
        assert record["queue"] != "hazards" or record["urgency"] == "P1", row["id"]
        assert not {"p1", "p2"} <= kinds, row["id"]


def test_tone_and_ask_come_from_one_pattern(tool, pairs):
    by_id = {p.id: p for p in tool.PATTERNS}
    for _, row, _, record in pairs:
        used = [by_id[name] for name in row["pattern"].split("+")]
        assert [p.label for p in used if p.kind == "tone"] == [t for t in [record["tone"]] if t != "neutral"]
        (issue,) = [p for p in used if p.kind == "issue"]
        said = [p.label for p in used if p.kind == "ask"]
        assert said == ([] if issue.fields[1].isupper() else [record["ask"]]), row["id"]
        assert record["ask"] in [tool.ASK_OF_LETTER[letter.lower()] for letter in issue.fields[1]], row["id"]


def test_shouting_is_furious(pairs):
    for _, row, ticket, record in pairs:
        shouts = re.search(r"\b[A-Z]{4,}\b|!!", ticket)
        assert not shouts or record["tone"] == "furious", row["id"]


def test_no_label_name_in_a_ticket(pairs):
    for _, row, ticket, _ in pairs:
        assert not GIVEAWAYS.search(ticket.lower()), row["id"]


def test_no_slot_left_and_articles_agree(pairs):
    for _, row, ticket, _ in pairs:
        assert "{" not in ticket, row["id"]
        assert "  " not in ticket, row["id"]
        assert not re.search(r"\b[Aa] [aeio]", ticket), row["id"]


def test_at_least_400_patterns_each_used_and_each_different(tool, splits):
    assert len(tool.PATTERNS) >= 400
    assert len({p.id for p in tool.PATTERNS}) == len(tool.PATTERNS)
    assert len({p.text for p in tool.PATTERNS}) == len(tool.PATTERNS)
    used = {name for rows in splits.values() for row in rows for name in row["pattern"].split("+")}
    assert used == {p.id for p in tool.PATTERNS}


def test_no_pattern_crosses_splits(splits):
    used = {s: {name for row in rows for name in row["pattern"].split("+")} for s, rows in splits.items()}
    for a, b in itertools.combinations(SIZES, 2):
        shared = used[a] & used[b]
        if side(a) != side(b):
            assert not shared, (a, b)
        assert not {name for name in shared if re.search(QUEUES, name)}, (a, b)


def test_no_pattern_resembles_one_across_the_wall(tool):
    words = {p.id: {w[0] for w in shingles(p.text, 1)} for p in tool.PATTERNS}
    for a, b in itertools.combinations(tool.PATTERNS, 2):
        if side(a.split) != side(b.split):
            assert overlap(words[a.id], words[b.id]) < 0.65, (a, b)


def test_no_near_identical_ticket_crosses_splits(splits):
    """No held-out ticket shares 40 % of its runs of three words with a ticket of another side."""
    for a, b in itertools.combinations(SIZES, 2):
        if side(a) == side(b):
            continue
        index = {}
        sets = [shingles(row["messages"][1]["content"], 3) for row in splits[a]]
        for i, one in enumerate(sets):
            for shingle in one:
                index.setdefault(shingle, []).append(i)
        for row in splits[b]:
            one = shingles(row["messages"][1]["content"], 3)
            shared = Counter(i for shingle in one for i in index.get(shingle, ()))
            if shared:
                i, common = shared.most_common(1)[0]
                assert common / min(len(one), len(sets[i])) < 0.4, (row["id"], splits[a][i]["id"])


def test_no_ticket_occurs_twice(pairs):
    tickets = [ticket.lower() for _, _, ticket, _ in pairs]
    assert len(set(tickets)) == len(tickets)


@pytest.mark.parametrize("split", SIZES)
def test_every_label_has_support(pairs, split, tool):
    records = [record for s, _, _, record in pairs if s == split]
    labels = {"queue": tool.QUEUES, "urgency": tool.URGENCIES, "tone": tool.TONES, "ask": tool.ASKS}
    for field, names in labels.items():
        counts = Counter(record[field] for record in records)
        assert set(counts) == set(names)
        assert min(counts.values()) >= max(5, 0.04 * len(records)), (field, counts)
    for field in ("product", "order_id"):
        given = sum(record[field] is not None for record in records) / len(records)
        assert 0.3 < given < 0.9, field


def test_tickets_are_short(pairs):
    words = [len(ticket.split()) for _, _, ticket, _ in pairs]
    assert max(words) <= 110
    assert sum(25 <= n <= 75 for n in words) > 0.8 * len(words)


def test_datasets_reads_all_files_together(tmp_path):
    files = {split: str(FOLDER / f"{split}.jsonl") for split in SIZES}
    loaded = datasets.load_dataset("json", data_files=files, cache_dir=str(tmp_path))
    assert {split: rows.num_rows for split, rows in loaded.items()} == SIZES
    assert len({str(rows.features) for rows in loaded.values()}) == 1


@pytest.mark.parametrize("hash_seed", ["0", "7"])
def test_generator_writes_exactly_these_files(hash_seed):
    result = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "make_support_triage.py"), "--check"],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
