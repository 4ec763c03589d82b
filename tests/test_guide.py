"""The style guide that code checks, and pairs made with it."""

import json
from collections import Counter
from pathlib import Path

import pytest

from ftlab.errors import DataError
from ftlab.evaluation.guide import best_and_worst, points_kept, points_of, read_guide

VOICE = Path(__file__).parents[1] / "data" / "brand_voice"
FACTS = {"name": "Anna", "item": "lamp", "number": "4821"}
GOOD = "Ahoy Anna! Your lamp of order 4821 stays ashore. Fair winds from the Harbour."


@pytest.fixture(scope="module")
def guide():
    return read_guide(VOICE / "guide.yaml")


def rows_of(part):
    return [json.loads(line) for line in (VOICE / f"{part}.jsonl").read_text().splitlines()]


def test_a_careful_reply_keeps_every_point(guide):
    assert set(points_kept(guide, GOOD, FACTS).values()) == {True}
    assert points_of(guide, f" {GOOD}\n", FACTS) == len(guide) == 5


@pytest.mark.parametrize(
    ("answer", "lost"),
    [
        (GOOD.replace("Ahoy Anna!", "Hello Anna,"), {"opens with"}),
        (GOOD.replace("Anna", "Anne"), {"opens with"}),
        ("Well. " + GOOD, {"opens with"}),
        (GOOD.replace("lamp", "lamps"), {"names the item"}),
        (GOOD.replace("4821", "48210"), {"names the order"}),
        (GOOD + " Yours", {"closes with"}),
        (GOOD.replace("Your", "UNFORTUNATELY, your"), {"never says"}),
        ("", {"opens with", "names the item", "names the order", "closes with"}),
    ],
)
def test_each_fault_costs_its_point_and_no_other(guide, answer, lost):
    assert {name for name, kept in points_kept(guide, answer, FACTS).items() if not kept} == lost


def test_a_forbidden_word_counts_as_a_whole_word(guide):
    assert points_kept(guide, "A regrettable word", FACTS)["never says"]
    assert not points_kept(guide, "We regret it.", FACTS)["never says"]


def test_careful_replies_keep_all_points_and_the_teams_mail_few(guide):
    for part in ("messages", "validation", "test"):
        kept = [points_of(guide, row["messages"][-1]["content"], row["facts"]) for row in rows_of(part)]
        assert set(kept) == {len(guide)}
    archive = Counter(points_of(guide, row["messages"][-1]["content"], row["facts"]) for row in rows_of("archive"))
    assert archive[len(guide)] / archive.total() < 0.05
    assert sum(archive[points] for points in (1, 2, 3)) / archive.total() > 0.7


def test_no_message_and_no_held_out_word_is_in_two_parts():
    asked = {part: {row["messages"][1]["content"] for row in rows_of(part)}
             for part in ("archive", "messages", "validation", "test")}  # fmt: skip
    for part, found in asked.items():
        assert len(found) == len(rows_of(part))
        assert not any(found & other for name, other in asked.items() if name != part)
    facts = {part: {row["facts"][key] for row in rows_of(part) for key in ("name", "item")} for part in asked}
    assert not (facts["archive"] | facts["messages"]) & (facts["validation"] | facts["test"])


def test_every_reply_does_what_its_matter_asks_for():
    from ftlab.evaluation.metrics import probe_scores

    for part in ("archive", "messages", "validation", "test"):
        rows = rows_of(part)
        assert probe_scores([row["messages"][-1]["content"] for row in rows], rows).all()
        for row in rows:  # and never what another asks for
            others = [other | {"messages": row["messages"]} for other in rows if other["matter"] != row["matter"]]
            assert not probe_scores([row["messages"][-1]["content"]] * len(others), others).any()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1, 2]", "holds no points"),
        ("", "holds no points"),
        ("a: [", "is not YAML"),
        ("opens with: 3", "must be one text"),
        ("never says: no", "must be a list of words"),
        ("never says: []", "must be a list of words"),
        ("smells of: tar", "'smells of' is unknown"),
    ],
)
def test_a_bad_guide_is_refused(tmp_path, text, told):
    path = tmp_path / "guide.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=told):
        read_guide(path)


def test_a_missing_guide_and_a_missing_fact_are_named(tmp_path, guide):
    with pytest.raises(DataError, match="cannot be read"):
        read_guide(tmp_path / "none.yaml")
    with pytest.raises(DataError, match="'name'.*item"):
        points_of(guide, GOOD, {"item": "lamp"})


ANSWERS = ["a", "b b b", "c", "d d", "e e e e"]
SCORES = [5, 5, 2, 2, 3]


def test_the_best_against_the_worst():
    assert best_and_worst(ANSWERS, SCORES) == ("a", "c")
    assert best_and_worst(ANSWERS, SCORES, longer=True) == ("b b b", "c")
    assert best_and_worst(["a", "b b", "c c", "d"], [5, 5, 1, 1], longer=True) == ("b b", "d")


def test_equal_answers_make_no_pair():
    assert best_and_worst(["a", "b"], [3, 3]) is None
    assert best_and_worst([], []) is None
    with pytest.raises(DataError, match="one score an answer"):
        best_and_worst(["a"], [1, 2])
