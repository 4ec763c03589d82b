"""A split that is written: no group and no near duplicate on both sides, or a reason why not."""

import json
from pathlib import Path

import pytest

from ftlab.data.schema import read_chat
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


@pytest.mark.parametrize("name", ["answer", "label"])
def test_plain_answers_are_labels_themselves(file, tmp_path, name):
    rows = [chat(sentence(n)) for n in range(200)]
    for n, row in enumerate(rows):
        row["messages"][1]["content"] = "bug" if n % 5 == 0 else "feature request"
    parts = parts_of(split_file(file(rows), tmp_path / "out", None, name, {"train": 0.5, "a": 0.25, "b": 0.25}))
    bugs = {part: sum(row["messages"][1]["content"] == "bug" for row in rows) for part, rows in parts.items()}
    assert bugs == {"train": 20, "a": 10, "b": 10}
    with pytest.raises(DataError, match="'queue' is neither .* plain answers are named 'answer'"):
        split_file(tmp_path / "rows.jsonl", tmp_path / "other", stratify="queue")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"group": "customer"}, r"rows\.jsonl:1 row 1: 'customer' is missing or null; .* key of messages"),
        ({"stratify": "colour"}, r"rows\.jsonl:1 'colour' is neither a key of the row \(messages\) nor a field"),
        ({"fractions": {"train": 0.9, "test": 0.2}}, r"rows\.jsonl: fractions must .* add up to 1"),
        ({"separator": "+"}, "say with group= which key"),
        ({"fractions": {"train": 1.0}}, "two parts or more"),
        ({"fractions": {"a": 0.5, "A": 0.5}}, "differ in more than capitals"),
        ({"seed": -1}, "seed: -1 is no whole number"),
    ],
)
def test_it_refuses_with_a_reason(file, tmp_path, arguments, message):
    with pytest.raises(DataError, match=message):
        split_file(file([chat(sentence(n)) for n in range(20)]), tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_one_customer_cannot_be_split(file, tmp_path):
    with pytest.raises(DataError, match=r"rows\.jsonl: 20 row\(s\) form 1 separate group\(s\), too few"):
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


@pytest.mark.parametrize("blank", ["", " ", [], [None], ["c1", ""]])
def test_a_group_without_a_name_is_no_group(file, tmp_path, blank):
    rows = [chat(sentence(n), customer=f"c{n}") for n in range(20)]
    rows[6]["customer"] = blank
    with pytest.raises(DataError, match=r"rows\.jsonl:7 row 7: 'customer' names no group"):
        split_file(file(rows), tmp_path / "out", group="customer")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("answer", ["[1]", "7", "{", "[" * 100_000, None])
def test_an_answer_that_is_no_object_has_no_label(file, tmp_path, answer):
    rows = [chat(sentence(n)) for n in range(20)]
    rows[4]["messages"][1]["content"] = answer
    if answer is None:
        rows[4]["messages"][1]["tool_calls"] = [{"function": {"name": "f"}}]
    with pytest.raises(DataError, match=r"rows\.jsonl:5 'label' is neither"):
        split_file(file(rows), tmp_path / "out", stratify="label")


def test_identical_inputs_stay_together_whatever_the_answer(file, tmp_path):
    rows = [chat("?", f"a{n}") for n in range(8)] + [chat(sentence(n)) for n in range(40)]
    parts = parts_of(split_file(file(rows), tmp_path / "out", fractions={"a": 0.5, "b": 0.5}))
    assert sorted(sum(row["messages"][0]["content"] == "?" for row in part) for part in parts.values()) == [0, 8]


def test_numbers_and_their_text_name_the_same_group(file, tmp_path):
    rows = [chat(sentence(n), customer=(n % 7, float(n % 7), str(n % 7))[n % 3]) for n in range(63)]
    report = split_file(file(rows), tmp_path / "out", "customer", fractions={"a": 0.5, "b": 0.5})
    sides = [{int(row["customer"]) for row in part} for part in parts_of(report).values()]
    assert report.groups == 7
    assert not sides[0] & sides[1]


def test_labels_that_all_differ_do_not_upset_the_fractions(file, tmp_path):
    rows = [chat(sentence(n), name=f"n{n}") for n in range(60)]
    assert split_file(file(rows), tmp_path / "out", stratify="name").rows == {"train": 54, "test": 6}


def test_a_place_that_is_no_folder_is_named(file, tmp_path):
    path = file([chat(sentence(n)) for n in range(20)])
    for out in (path, path / "deeper"):
        with pytest.raises(DataError, match=r"cannot be a folder \(.*choose another place"):
            split_file(path, out)
    (tmp_path / "out" / "train.jsonl").mkdir(parents=True)
    with pytest.raises(DataError, match=r"train\.jsonl is a folder"):
        split_file(path, tmp_path / "out", force=True)


def test_what_an_earlier_split_left_is_told(file, tmp_path):
    path = file([chat(sentence(n)) for n in range(40)])
    first = split_file(path, tmp_path / "out", fractions={"train": 0.5, "validation": 0.2, "test": 0.3})
    again = split_file(path, tmp_path / "out", seed=1, force=True)
    assert first.others == []
    assert again.others == [first.files["validation"]]
    assert first.files["validation"] in repr(again).splitlines()[-1]
    assert split_file(path, tmp_path, fractions={"a": 0.5, "b": 0.5}).others == []  # the source is none


def test_rated_rows_are_split_as_they_are(tmp_path):
    words = "tide berth crane rope sail anchor harbour ferry lamp kettle".split()
    rows = [{"prompt": f"Where is the {word}?", "completion": f"By the {word} gate.", "label": bool(n % 2)}
            for n, word in enumerate(words)]  # fmt: skip
    path = tmp_path / "rated.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = split_file(path, tmp_path / "out", fractions={"train": 0.5, "test": 0.5})
    parts = [json.loads(line) for file in report.files.values() for line in Path(file).read_text().splitlines()]
    assert sorted(map(str, parts)) == sorted(map(str, rows))
