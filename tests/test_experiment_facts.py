"""The facts experiment: what it asks, what each arm may have seen, and how answers are judged."""

import json
import sys
from pathlib import Path

import pytest

from ftlab.baselines.prompting import input_and_answer

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
try:
    from experiments import facts
finally:
    sys.path.remove(str(ROOT / "tools"))


def known(rows):
    return {fact for row in rows for fact in row["facts"]}


def test_every_kind_has_thirty_questions_or_more_and_each_is_asked_once():
    kinds = facts.questions()
    assert list(kinds) == [*facts.ASKED, "changed"]
    assert all(30 <= len(rows) <= facts.PER_KIND for rows in kinds.values())
    ids = [row["id"] for rows in kinds.values() for row in rows]
    assert len(set(ids)) == len(ids)


def test_half_was_never_asked_about_the_other_half():
    kinds, rows = facts.questions(), facts.rows_of("half")
    asked = {input_and_answer(row)[0] for row in rows}
    assert not known(rows) & known(kinds["other_half"])
    assert known(kinds["taught"]) | known(kinds["new_words"]) | known(kinds["changed"]) <= known(rows)
    assert {input_and_answer(row)[0] for row in kinds["taught"]} <= asked
    assert not {input_and_answer(row)[0] for row in kinds["new_words"]} & asked


def test_the_drill_has_every_fact_that_is_asked_about():
    kinds = facts.questions()
    told = known(row for kind, rows in kinds.items() if kind != "never_told" for row in rows)
    assert told <= known(facts.rows_of("drill"))


@pytest.mark.parametrize(
    ("text", "reference", "right"),
    [
        ("It costs 28 pounds.", "28", True),
        ("It costs 280 pounds.", "28", False),
        ("the Town-Hall", "town hall", True),
        ("I don't know.", "28", False),
        ("I do not know, perhaps 28.", "28", False),
        ("28", facts.UNKNOWN, False),
        ("I do not know", facts.UNKNOWN, True),
        ("The context does not tell.", facts.UNKNOWN, True),
    ],
)
def test_an_answer_is_right_when_it_holds_the_reference_or_is_silent_where_nobody_told(text, reference, right):
    row = {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": reference}]}
    assert facts.is_right(text, row) is right


def test_after_the_change_the_search_finds_the_new_documents():
    search = facts.search_by("bm25")
    for row in facts.questions()["changed"]:
        texts = [hit.chunk.text for hit in search(row, 20)]
        assert any(row["evidence"][0] in text for text in texts), row["id"]
        before = [hit.chunk.text for hit in search(row | {"kind": "taught"}, 20)]
        assert not any(row["evidence"][0] in text for text in before), row["id"]


def test_solved_examples_come_from_another_shop():
    told = [document["text"] for document in facts.read("documents")]
    for prompt in facts.wordings():
        for question, answer in prompt.shots:
            context = question.removeprefix("Context:\n").split("\n\n")[0]
            assert not any(passage in text for passage in context.splitlines() for text in told)
            assert answer == facts.UNKNOWN or facts.holds(context, answer)


def test_only_points_that_exist_are_needed():
    names = [point.name for point in facts.points()]
    assert len(set(names)) == len(names)
    for number, point in enumerate(facts.points()):
        assert set(point.needs) <= set(names[:number])  # one worker can make them in this order


def write_arm(folder, answer, **made):
    """Predictions of an arm whose answer to a row is answer(row)."""
    folder.mkdir(parents=True)
    for kind, rows in facts.questions().items():
        lines = [json.dumps({"id": row["id"], "prediction": answer(row)}) for row in rows]
        (folder / f"{kind}.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "done.json").write_text(json.dumps({"test": {}, "machine": "m", "minutes": 2.0} | made))


def test_the_record_says_what_the_predictions_say(tmp_path, monkeypatch):
    monkeypatch.setattr(facts, "FOLDER", tmp_path / "work")
    monkeypatch.setattr(facts, "RECORD", tmp_path / "record")
    write_arm(tmp_path / "work/bm25_1", lambda row: input_and_answer(row)[1], validation=0.9, found=1.0, prompt="p")
    write_arm(tmp_path / "work/bm25_3", lambda row: "nonsense", validation=0.1, found=1.0, prompt="p")
    write_arm(tmp_path / "work/documents", lambda row: row.get("old", facts.UNKNOWN), validation=0.2, setting="s")
    facts.publish()
    results = json.loads((tmp_path / "record/results.json").read_text())
    assert results["best_search"] == "bm25_1"
    assert results["minutes_by_machine"] == {"m": 6.0}
    assert "half" in results["not_done"]
    assert "bm25_1" not in results["not_done"]
    values = {arm: {kind: {name: shares["value"] for name, shares in measures.items()}
                    for kind, measures in results["arms"][arm]["kinds"].items()}
              for arm in results["arms"]}  # fmt: skip
    assert values["bm25_1"]["taught"] == {"right": 1, "invented": 0}
    assert values["bm25_1"]["changed"] == {"right": 1, "invented": 0, "old": 0}
    assert values["bm25_3"]["never_told"] == {"right": 0, "invented": 1}
    assert values["documents"]["never_told"] == {"right": 1, "invented": 0}
    assert values["documents"]["two_hop"] == {"right": 0, "invented": 0}
    assert values["documents"]["changed"] == {"right": 0, "invented": 1, "old": 1}
    (outcome,) = results["published"]
    assert outcome["arms"] == ["documents", "bm25_1"]
    assert outcome["verdict"] == "agrees"
    saved = (tmp_path / "record/predictions/bm25_1.jsonl").read_text().splitlines()
    assert len(saved) == sum(results["questions"].values())
