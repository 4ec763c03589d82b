"""A judge model against people: planted judges behind a real local server, and figures by hand."""

import random

import numpy as np
import pytest
from chat_server import ChatServer, completion
from sklearn.metrics import cohen_kappa_score

from ftlab.baselines.endpoint import Endpoint
from ftlab.errors import DataError, RecipeError
from ftlab.evaluation.judge import agreement, ask_judge, measure_judge, read_vote

PEOPLE = ["b", "a", "b", "a", "tie"] * 16
PAIRS = [
    {"request": f"Say {{hello}} number {i}.", "a": f"{'good' if want == 'a' else 'poor'} {i} from a",
     "b": f"{'good' if want == 'b' else 'poor'} {i} from b"}
    for i, want in enumerate(PEOPLE)
]  # fmt: skip


def votes_of(judge, tmp_path):
    """The votes of a planted judge: a function of (first answer, second answer) to its words."""

    def script(number, body):
        first, second = body["messages"][0]["content"].split("\n\nAnswer ")[1:]
        return 200, {}, completion(judge(first.splitlines()[1], second.splitlines()[1]))

    with ChatServer(script) as server:
        endpoint = Endpoint(server.url, "judge", usd_per_mtok_in=0, usd_per_mtok_out=0, max_usd=0, cache=tmp_path)
        return ask_judge(endpoint, PAIRS, confirm=True)


def better(first, second):
    """What people would say."""
    one, other = first.startswith("good"), second.startswith("good")
    return "tie" if one == other else "1" if one else "2"


def test_a_perfect_judge_is_believed_as_far_as_the_pairs_reach(tmp_path):
    votes = votes_of(lambda *pair: f"**{better(*pair)}**, since", tmp_path)
    assert list(votes.verdicts) == PEOPLE
    report = measure_judge(votes, PEOPLE)
    assert report.usable
    assert (report.agreement.kappa.value, report.slope.value, report.bias.value, report.pairs) == (1, 1, 0, 1)
    assert report.agreement.kappa.low < 1  # 80 pairs prove no perfection
    assert 0.02 < report.margin < 0.12
    assert report.by_place.value == 0
    assert "May be used where its win rate lies more than" in repr(report)


def test_a_judge_of_places_is_found_out(tmp_path):
    votes = votes_of(lambda first, second: "1", tmp_path)
    assert set(votes.verdicts) == {"tie"}
    report = measure_judge(votes, PEOPLE)
    assert (report.usable, report.by_place.value, report.agreement.kappa.value) == (False, 1, 0)
    assert "no better than chance" in report.verdict


def test_a_noisy_judge_needs_more_pairs(tmp_path):
    def judge(first, second):  # its whims hang on the pair, not on the order in which requests arrive
        return random.Random(f"{first}, {second}").choice([better(first, second), "1", "2"])

    report = measure_judge(votes_of(judge, tmp_path), PEOPLE)
    assert report.usable
    assert 0.1 < report.slope.value < 0.7
    assert report.pairs == pytest.approx(1 / report.slope.value**2)
    assert report.pairs > 2
    assert report.bias.low < 0 < report.bias.high


def test_a_judge_that_favours_one_system_has_a_bias_that_is_named(tmp_path):
    """It loves b's style: half of the pairs that people give to a go to b, whatever the order."""

    def judge(first, second):
        number = int(first.split()[1])
        return ("1" if first.endswith("b") else "2") if number % 4 < 2 else better(first, second)

    report = measure_judge(votes_of(judge, tmp_path), PEOPLE)
    assert report.bias.low > 0.05
    assert report.margin > 0.15
    assert ("Do not use it" in report.verdict) == (not report.usable)


def test_words_that_are_no_verdict_count_against_the_judge(tmp_path):
    report = measure_judge(votes_of(lambda first, second: "Both are fine answers.", tmp_path), PEOPLE)
    assert (report.usable, report.unreadable) == (False, 80)
    assert report.agreement.share.value == 0


@pytest.mark.parametrize(
    ("text", "vote"),
    [("1", "1"), (" Answer 2.", "2"), ("TIE", "tie"), ("<think>2?</think>\n1", "1"), ("12", None), ("Neither 1", None),
     ("1, 2", None), ("1 or 2.", None), ("1/2", None), ("1. 2 has no closing.", "1")],
)
def test_reading_a_vote(text, vote):
    assert read_vote(text) == vote


def test_kappa_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    one, other = rng.choice(["a", "b", "tie"], (2, 60))
    other = np.where(rng.random(60) < 0.5, one, other)
    found = agreement(list(one), list(other))
    assert found.kappa.value == pytest.approx(cohen_kappa_score(one, other))
    assert sum(each.n for each in found.by_label.values()) == 60


def test_nothing_is_sent_without_consent_and_pairs_must_be_whole(tmp_path):
    endpoint = Endpoint("http://localhost:9", "m", usd_per_mtok_in=0, usd_per_mtok_out=0, max_usd=0, cache=tmp_path)
    with pytest.raises(RecipeError, match="160 requests would be sent"):
        ask_judge(endpoint, PAIRS)
    with pytest.raises(DataError, match="pair 1: request, a and b"):
        ask_judge(endpoint, [{"request": "x", "a": "y"}])
    with pytest.raises(DataError, match="each once"):
        ask_judge(endpoint, PAIRS, instruction="{request} {first}")


def test_people_must_have_seen_both_sides(tmp_path):
    votes = votes_of(better, tmp_path)
    with pytest.raises(DataError, match="'A' is no verdict"):
        measure_judge(votes, ["A"] * 80)
    with pytest.raises(DataError, match="prefer only one side"):
        measure_judge(votes, ["b"] * 80)
