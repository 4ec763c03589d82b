"""Medical coding: the official list has every code, its notes are kept, and no wording crosses splits."""

import csv
import json
import os
import re
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import pytest

from ftlab.data.schema import check_chat
from ftlab.evaluation.answers import labels_of

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "data" / "medical_coding"
SIZES = {"train": 1500, "validation": 150, "test": 300, "hard": 100}
CODE = re.compile(r"[A-Z]\d[0-9A-Z](?:\.[0-9A-Z]{1,4})?(?:\.?-)?")
FIRST = {"N18": ("E11.22", "I12", "I13"), "I50": ("I11.0", "I13.0"), "Z85": ("Z08",), "R39.1": ("N40.1",),
         "R35": ("N40.1",), "B96": ("N39.0",), "Z3A": ("O24",)}  # fmt: skip
WORDS = {  # what stands in a note whose code is about this side
    "right": r"\b(R|Rt|[Rr]ight|OD|AD)\b",
    "left": r"\b(L|Lt|[Ll]eft|OS|AS)\b",
    "bilateral": r"(\b([Bb]ilat|[Bb]ilateral|OU|[Bb]oth|ears b/l)\b|[Bb]/l)",
}


@pytest.fixture(scope="module")
def official():
    """The official list, from the package that carries it."""
    with warnings.catch_warnings():  # it warns of slips in the list's own file
        warnings.simplefilter("ignore")
        import simple_icd_10_cm

        simple_icd_10_cm.get_all_codes()
    return simple_icd_10_cm


@pytest.fixture(scope="module")
def splits():
    return {split: list(map(json.loads, (FOLDER / f"{split}.jsonl").read_text().splitlines())) for split in SIZES}


@pytest.fixture(scope="module")
def table():
    """The rows of codes.csv by code."""
    return {row["code"]: row for row in read_csv("codes")}


def read_csv(name):
    return list(csv.DictReader((FOLDER / f"{name}.csv").read_text(encoding="utf-8").splitlines()))


def note(row):
    return row["messages"][1]["content"]


def codes(row):
    return list(labels_of(row["messages"][2]["content"]))


def everything(splits):
    return [row for rows in splits.values() for row in rows]


def test_files_are_as_the_tool_writes_them():
    done = subprocess.run([sys.executable, ROOT / "tools" / "make_medical_coding.py", "--check"],
                          capture_output=True, text=True, env=os.environ)  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_every_code_and_description_is_the_official_one(official, table):
    assert len(table) >= 80
    for code, row in table.items():
        assert official.is_valid_item(code), f"{code} is not in the list"
        assert official.is_leaf(code), f"{code} needs more characters"
        assert row["description"] == official.get_description(code)


def test_every_note_has_codes_of_the_table_and_every_code_stands_in_training(splits, table):
    for row in everything(splits):
        assert codes(row)
        assert set(codes(row)) <= table.keys()
        assert row["messages"][2]["content"] == ", ".join(codes(row))
    trained = Counter(code for row in splits["train"] for code in codes(row))
    assert trained.keys() == table.keys()
    assert all(int(row["training_notes"]) == trained[code] for code, row in table.items())


def excluded(official, code):
    """Codes, or beginnings of codes, that the list forbids beside a code."""
    found = []
    for item in (code, *official.get_ancestors(code)):
        for line in official.get_excludes1(item):
            inside = " ".join(re.findall(r"\(([^()]*)\)", line))
            found += [each.rstrip(".-") for each in CODE.findall(inside)]
    return [each for each in found if not code.startswith(each)]


def test_no_note_has_two_codes_that_exclude_each_other(official, splits, table):
    forbidden = {code: excluded(official, code) for code in table}
    assert "E03.9" in table
    assert "E89.0" in forbidden["E03.9"]
    for row in everything(splits):
        for code in codes(row):
            clash = [other for other in codes(row) if other != code and other.startswith(tuple(forbidden[code]))]
            assert not clash, f"{row['id']}: {code} excludes {clash}"


def test_causes_come_before_what_they_cause(splits):
    """Code first: diabetes and hypertension before the kidneys and the heart, an enlarged prostate before its signs."""
    for row in everything(splits):
        found = codes(row)
        for later, firsts in FIRST.items():
            for place, code in enumerate(found):
                if code.startswith(later):
                    assert any(each.startswith(firsts) for each in found[:place]), row["id"]


def test_combination_codes_have_their_additional_code(splits):
    needs = {"E11.22": "N18", "I12.9": "N18", "I11.0": "I50", "I13.0": "I50", "E66.81": "Z68", "O24.410": "Z3A",
             "Z08": "Z85", "Z47.1": "Z96.65", "J44.0": "J20"}  # fmt: skip
    for row in everything(splits):
        for code in codes(row):
            for first, more in needs.items():
                if code.startswith(first):
                    assert any(each.startswith(more) for each in codes(row)), f"{row['id']}: {code} without {more}"


@pytest.mark.parametrize(
    ("code", "drugs"),
    [
        ("Z79.84", r"(?<!stopped )metformin (\d|XR|\+)|empagliflozin|glipizide"),
        ("Z79.4", r"glargine|basal-bolus insulin"),
        ("Z79.85", r"semaglutide|dulaglutide"),
        ("Z79.01", r"apixaban|rivaroxaban|dabigatran"),
    ],
)
def test_long_term_drugs_are_coded_where_they_are_taken(splits, code, drugs):
    assert any(code in codes(row) for row in splits["test"])
    for row in everything(splits):
        if code == "Z79.01" or any(each.startswith("E11") for each in codes(row)):
            assert (code in codes(row)) == bool(re.search(drugs, note(row))), row["id"]


def test_type_1_diabetes_has_no_code_for_insulin(splits):
    rows = [row for row in everything(splits) if any(code.startswith("E10") for code in codes(row))]
    assert rows
    assert all("Z79.4" not in codes(row) for row in rows)


def test_the_side_of_a_code_stands_in_its_note(splits, table):
    seen = 0
    for row in everything(splits):
        for code in codes(row):
            sides = [side for side in WORDS if re.search(rf"\b{side}\b", table[code]["description"].lower())]
            if len(sides) == 1 and not code.startswith(("R10.31", "M81")):
                seen += 1
                assert re.search(WORDS[sides[0]], note(row)), f"{row['id']}: {code}"
    assert seen > 500


def test_what_is_only_suspected_is_not_coded(splits):
    """The assessment of a rule-out names a disease that has a code here, and the note does not have that code."""
    suspected = {"PNA": "J18.9", "pneumonia": "J18.9", "CAP": "J18.9", "angina": "I25.119", "AF": "I48.0",
                 "OSA": "G47.33", "migraine": "G43.009", "UTI": "N39.0", "hypothyroid": "E03.9",
                 "impingement": "M75.41",
                 "DVT": "I82.411", "stone": "N20.0"}  # fmt: skip
    hedge = r"(r/o|rule out|possible|probable|suspect|likely|concern for|\?|not excluded|to be excluded)"
    met = Counter()
    for row in everything(splits):
        if row["trap"] != "rule-out":
            continue
        for word, code in suspected.items():
            if re.search(rf"{hedge}[\w ]* {word}|{word}[\w ]* {hedge}", note(row)):
                met[word] += 1
                assert code not in codes(row), row["id"]
    assert len(met) >= 8


def test_wordings_and_notes_do_not_cross_splits(splits):
    notes, wordings = [note(row) for row in everything(splits)], {}
    assert len(set(notes)) == len(notes)
    for split, rows in splits.items():
        assert len(rows) == SIZES[split]
        wordings[split] = {part for row in rows for part in row["phrasing"].split("+")}
        assert all(part.startswith(f"{split}.") for part in wordings[split])
    assert len({row["phrasing"].split("+")[0] for row in splits["test"]}) > 100


def test_a_sentence_of_the_held_out_side_is_in_no_training_note(splits):
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        import make_medical_coding as tool
    finally:
        sys.path.remove(str(ROOT / "tools"))
    for problem in tool.PROBLEMS:
        for kind in ("says", "means"):
            own = {split: {line for _, line in problem.lines(kind, split)} for split in tool.SPLITS}
            if problem.also != "only" or kind == "means":
                assert not own["train"] & (own["validation"] | own["test"]), (problem.name, kind)
                assert not own["validation"] & own["test"], (problem.name, kind)


def test_no_note_denies_what_it_is_about(splits):
    for row in everything(splits):
        for code, denied in {"R07.9": "denies CP|no CP|no chest pain", "R06.02": "denies SOB|no dyspnea",
                             "R05": "no cough|denies cough", "R00.2": "no palpitations",
                             "R51.9": r"no HA\b|denies headache"}.items():  # fmt: skip
            if any(each.startswith(code) for each in codes(row)):
                assert not re.search(denied, note(row), re.IGNORECASE), row["id"]


def test_chat_rows_can_be_read(splits):
    for split in SIZES:
        assert not check_chat(FOLDER / f"{split}.jsonl").findings


def test_changes_of_a_year_agree_with_the_table(table):
    rows = read_csv("changes")
    deleted = {row["code"] for row in rows if row["change"] == "deleted"}
    added = {row["code"]: row["description"] for row in rows if row["change"] == "added"}
    assert not deleted & table.keys()
    assert all(table[code]["description"] == added[code] for code in table.keys() & added.keys())
    assert Counter(row["change"] for row in rows) == {"added": 487, "renamed": 38, "deleted": 28}
