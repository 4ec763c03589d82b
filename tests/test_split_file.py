"""A split that is written: no group and no near duplicate on both sides, or a reason why not."""

import json

import pytest

from ftlab.data import read_chat
from ftlab.data.splits import split_file
from ftlab.errors import DataError

WORDS = "lamp river coin horse window garden letter bridge winter orange pencil mirror basket candle ladder".split()


def chat(text, answer="ok", **extra):
    turns = [{"role": "user", "content": text}, {"role": "assistant", "content": json.dumps({"label": answer})}]
    return {"messages": turns, **extra}


def sentence(number):
    words = [WORDS[(number * step + step) % len(WORDS)] + str(number % 7) for step in range(1, 13)]
    return " ".join([*words, str(number)])


@pytest.fixture
def file(tmp_path):
    def write(rows):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


def parts_of(report):
    return {part: read_chat(path) for part, path in report.files.items()}


def test_every_row_is_written_once_and_a_tenth_is_held_out(file, tmp_path):
    rows = [chat(sentence(n), customer=f"c{n}") for n in range(100)]
    report = split_file(file(rows), tmp_path / "out", group="customer")
    parts = parts_of(report)
    assert report.rows == {"train": 90, "test": 10}
    written = [json.dumps(row) for part in parts.values() for row in part]
    assert sorted(written) == sorted(map(json.dumps, rows))


def test_customers_stay_together(file, tmp_path):
    rows = [chat(sentence(n), customer=f"c{n % 13}") for n in range(130)]
    parts = parts_of(split_file(file(rows), tmp_path / "out", group="customer", fractions={"a": 0.5, "b": 0.5}))
    assert not {row["customer"] for row in parts["a"]} & {row["customer"] for row in parts["b"]}


def test_near_duplicates_stay_together_without_a_group(file, tmp_path):
    base = "the lamp that came on monday has a crack in its glass and the cable is much too short for my desk"
    rows = [chat(f"{base} number {n}") for n in range(12)] + [chat(sentence(n)) for n in range(60)]
    report = split_file(file(rows), tmp_path / "out", fractions={"a": 0.6, "b": 0.4})
    sides = [sum(base in row["messages"][0]["content"] for row in part) for part in parts_of(report).values()]
    assert sorted(sides) == [0, 12]
    assert report.joined == 12


def test_labels_keep_their_shares(file, tmp_path):
    rows = [chat(sentence(n), "rare" if n % 5 == 0 else "frequent", customer=n) for n in range(200)]
    report = split_file(file(rows), tmp_path / "out", "customer", "label", {"train": 0.8, "test": 0.2})
    for part in parts_of(report).values():
        rare = sum("rare" in row["messages"][1]["content"] for row in part) / len(part)
        assert rare == pytest.approx(0.2, abs=0.03)


def test_the_seed_decides(file, tmp_path):
    path = file([chat(sentence(n), customer=n) for n in range(60)])
    seeds = {"a": 0, "b": 0, "c": 1}
    first, again, other = (
        parts_of(split_file(path, tmp_path / name, "customer", seed=seed)) for name, seed in seeds.items()
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"group": "customer"}, "customer"),
        ({"stratify": "colour"}, "neither a key of the row nor a field"),
        ({"fractions": {"train": 0.9, "test": 0.2}}, "add up to 1"),
    ],
)
def test_it_refuses_with_a_reason(file, tmp_path, arguments, message):
    with pytest.raises(DataError, match=message):
        split_file(file([chat(sentence(n)) for n in range(20)]), tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_one_customer_cannot_be_split(file, tmp_path):
    with pytest.raises(DataError, match="too few"):
        split_file(file([chat(sentence(n), customer="one") for n in range(20)]), tmp_path / "out", group="customer")


def test_nothing_is_overwritten(file, tmp_path):
    path = file([chat(sentence(n)) for n in range(20)])
    split_file(path, tmp_path / "out")
    with pytest.raises(DataError, match="exists already"):
        split_file(path, tmp_path / "out")
    split_file(path, tmp_path / "out", force=True)


def test_an_unusable_row_is_named(file, tmp_path):
    path = file([chat(sentence(n)) for n in range(20)])
    with path.open("a") as lines:
        lines.write("{broken\n")
    with pytest.raises(DataError, match="rows.jsonl:21"):
        split_file(path, tmp_path / "out")


def test_a_row_may_belong_to_several_groups(file, tmp_path):
    rows = [chat(sentence(n), customers=[f"c{n % 20}", f"c{(n + 10) % 20}"]) for n in range(60)]
    parts = parts_of(split_file(file(rows), tmp_path / "out", "customers", fractions={"a": 0.5, "b": 0.5}))
    sides = [{name for row in part for name in row["customers"]} for part in parts.values()]
    assert not sides[0] & sides[1]


def test_a_group_that_is_an_object_is_named(file, tmp_path):
    path = file([chat(sentence(n), customer={"name": n}) for n in range(20)])
    with pytest.raises(DataError, match="'customer' holds an object"):
        split_file(path, tmp_path / "out", group="customer")
