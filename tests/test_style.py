"""A style is measured: what is planted is found, luck is not, and the formula is the published one."""

import json
from pathlib import Path

import numpy as np
import pytest

from ftlab.errors import DataError
from ftlab.evaluation.style import (
    PRIOR,
    closing,
    distinctive_words,
    forms,
    masked,
    measure_style,
    opening,
    sentences,
)

ROOT = Path(__file__).resolve().parents[1]
WORDS = [f"word{at}" for at in range(60)]


def replies(part):
    lines = (ROOT / "data" / "brand_voice" / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
    return [(row["messages"][-1]["content"], row["facts"]) for row in map(json.loads, lines)]


def masked_replies(part):
    return [masked(*reply) for reply in replies(part)]


def drawn(dice, n, extra=None, share=0.0):
    """Texts of random words; a share of them has the word `extra`."""
    texts = [" ".join(dice.choice(WORDS, 12, replace=False)) for _ in range(n)]
    return [f"{text} {extra}" if extra and dice.random() < share else text for text in texts]


@pytest.mark.parametrize("sizes", [(100, 100), (40, 150)])
def test_in_texts_of_one_kind_hardly_ever_any_word_is_called_distinctive(sizes):
    dice, alarms = np.random.default_rng(1), 0
    for _ in range(100):
        words = distinctive_words(*(drawn(dice, n) for n in sizes), longest=1)
        alarms += bool(((words["low"] > 0) | (words["high"] < 0)).any())
    assert alarms <= 8  # 5 are allowed for all words at once; 9 or more of 100 would be luck in 6 of 100


def test_in_texts_of_one_kind_hardly_ever_any_word_is_said_to_be_avoided():
    dice = np.random.default_rng(2)
    found = sum(bool(measure_style(drawn(dice, 60), drawn(dice, 60)).avoided) for _ in range(60))
    assert found <= 6


def test_a_planted_word_leads_the_list_on_its_side_and_is_avoided_on_the_other():
    dice = np.random.default_rng(3)
    with_it, without = drawn(dice, 100, "ahoy", 0.5), drawn(dice, 100)
    words = distinctive_words(with_it, without, longest=1)
    assert (words.index[0], words["low"].iloc[0] > 0) == ("ahoy", True)
    assert (distinctive_words(without, with_it, longest=1)["high"].iloc[0]) < 0
    assert measure_style(without, with_it).avoided == ("ahoy",)


def test_log_odds_are_those_of_the_paper_on_texts():
    house, other = ["a b", "a c", "a", "b", "c"] * 4, ["b c", "b", "c", "a", "c"] * 6
    row = distinctive_words(house, other, longest=1).loc["a"]
    assert (row["house"], row["other"]) == (12, 6)
    usual = 18 / 50
    odds = [(count + PRIOR * usual) / (n - count + PRIOR * (1 - usual)) for count, n in ((12, 20), (6, 30))]
    variance = sum(
        1 / (count + PRIOR * usual) + 1 / (n - count + PRIOR * (1 - usual)) for count, n in ((12, 20), (6, 30))
    )
    assert row["log_odds"] == pytest.approx(np.log(odds[0] / odds[1]))
    assert (row["high"] - row["log_odds"]) == pytest.approx(2.3940 * variance**0.5, rel=1e-3)  # 0.05 / 3 words, 2 sides


def test_a_word_used_twice_in_one_text_is_one_witness():
    once, twice = (distinctive_words([f"{word} x"] * 10, ["y x"] * 10).loc["ahoy"] for word in ("ahoy", "ahoy ahoy"))
    assert once["log_odds"] == twice["log_odds"]


def test_rare_words_are_drawn_to_no_difference():
    common, rare = ["old new"] * 40 + ["old"] * 60, ["old seldom"] * 8 + ["old"] * 92
    words = distinctive_words(common + ["old"] * 4, ["old"] * 104, longest=1)
    few = distinctive_words(rare + ["old"] * 4, ["old"] * 104, longest=1)
    assert words.loc["new", "low"] > 0 > few.loc["seldom", "low"]


def test_the_profile_of_the_house_knows_its_own_new_replies_and_not_the_mail_as_sent():
    style = measure_style(masked_replies("messages"), masked_replies("archive"))
    marks = {part: [style.score(*reply) for reply in replies(part)] for part in ("validation", "test", "archive")}
    assert min(marks["validation"] + marks["test"]) > max(marks["archive"])
    assert style.names == ("{item}", "{name}", "{number}")
    assert {"regret", "hello", "writing"} <= set(style.avoided)
    assert not {"order", "sails", "gold"} & set(style.avoided)


def test_each_habit_is_lost_alone():
    style = measure_style(masked_replies("messages"), masked_replies("archive"))
    text, facts = replies("test")[0]
    assert style.score(text, facts) == 1
    for habit, changed in {
        "opens": text.replace("Ahoy", "Hey"),
        "closes": text.replace("Fair winds", "Fine winds"),
        "names": text.replace(facts["item"], "thing"),
        "length": text.replace("Fair winds", "She sails. She sails on and on. Fair winds"),
        "avoids": text.replace("hold up", "regret"),
    }.items():
        kept = style.kept(changed, facts)
        assert [each for each in kept if not kept[each]] == [habit], changed


def test_the_profile_prints_what_was_counted():
    said = repr(measure_style(masked_replies("messages"), masked_replies("archive")))
    for part in ("Style of 120 texts", "'Ahoy {name}!': 100.0 % [96.9, 100.0]", "3 to 3 sentences", "at most 3.1%"):
        assert part in said


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("Hello Rosa, Your tent is at sea. Kind regards, the team.", "Hello Rosa,", "Kind regards, the team."),
        ("Ahoy! Done.", "Ahoy!", "Done."),
        ("Dear Ann,\n\nWe are late.\n\nBest,\nThe team", "Dear Ann,", "The team"),
        ("no stop at all", "no stop at all", "no stop at all"),
        ("", "", ""),
    ],
)
def test_openings_and_closings(text, first, last):
    assert (opening(text), closing(text)) == (first, last)


def test_sentences_end_with_a_stop_or_a_line():
    assert sentences("One. Two!\nThree 3.5 kg") == ["One.", "Two!", "Three 3.5 kg"]


def test_masking_takes_whole_words_only():
    assert masked("Ben, your bench of order 12 is not 123.", {"name": "Ben", "number": "12"}) == (
        "{name}, your bench of order {number} is not 123."
    )


def test_a_seldom_form_is_not_the_houses():
    assert list(forms(["a"] * 19 + ["b"])) == ["a"]
    assert list(forms(["b", "a", "a"])) == ["a", "b"]


def test_too_few_texts_or_none_are_refused():
    with pytest.raises(DataError, match="house: 2 texts"):
        measure_style(["a", "b"], ["a"] * 9)
    with pytest.raises(DataError, match="other: 9 texts, or some that are none"):
        measure_style(["a"] * 9, [None] * 9)
    with pytest.raises(DataError, match="no word stands in 5"):
        distinctive_words([f"a{n}" for n in range(6)], [f"b{n}" for n in range(6)])
