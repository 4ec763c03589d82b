"""The experiments on preferences and rewards: which pairs are made, what is rewarded, what is chosen."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
try:
    import record as recording
    from experiments import preferences, rewards
finally:
    sys.path.remove(str(ROOT / "tools"))


@pytest.mark.parametrize("experiment", [preferences, rewards])
def test_points_are_few_and_need_what_is_there(experiment):
    names = [point.name for point in experiment.points()]
    assert len(set(names)) == len(names) <= 10
    for at, point in enumerate(experiment.points()):
        assert set(point.needs) <= set(names[:at]), "a point comes after what it needs"


@pytest.fixture
def answered(monkeypatch):
    """Three messages: two with a best and a worst answer, one whose answers are all alike."""
    rows = preferences.rows_of("messages")[:3]
    good = "Ahoy {name}! Your {item} of order {number} {deed}. Fair winds from the Harbour."
    lines = []
    for row, fine in zip(rows, (True, True, False), strict=True):
        answers = ["Hello.", "Hello, it is always good to hear from you."]
        if fine:
            answers += [good.format(deed=deed, **row["facts"]) for deed in ("is here", "is a long way off")]
        points = [preferences.points_of(preferences.guide(), text, row["facts"]) for text in answers]
        lines.append({"id": row["id"], "answers": answers, "points": points})
    monkeypatch.setattr(preferences, "sampled", lambda: lines)
    return lines


def text(pair, side):
    return pair[side][0]["content"]


def test_a_pair_is_the_best_against_the_worst_and_equals_make_none(answered):
    made = preferences.pairs()
    assert len(made) == 2
    for pair, line in zip(made, answered, strict=False):
        points = dict(zip(line["answers"], line["points"], strict=True))
        assert points[text(pair, "chosen")] == 5 > points[text(pair, "rejected")] == 1
        assert [turn["role"] for turn in pair["prompt"]] == ["system", "user"]


def test_the_other_pairs_have_the_same_points_and_other_lengths(answered):
    def gaps(longer):
        return [len(text(pair, "chosen").split()) - len(text(pair, "rejected").split())
                for pair in preferences.pairs(longer)]  # fmt: skip

    assert min(gaps(True)) > max(gaps(False))


def test_a_judge_who_sees_prefers_what_fits_and_then_the_guide(monkeypatch):
    row = next(row for row in preferences.rows_of("messages") if row["matter"] == "cancel")
    answers = ["Your {item} stays ashore.", "Ahoy {name}! A storm struck your {item} of order {number}.", "Hello."]
    answers = [text.format(**row["facts"]) for text in answers]
    points = [preferences.points_of(preferences.guide(), text, row["facts"]) for text in answers]
    assert points == [2, 4, 1]
    monkeypatch.setattr(preferences, "sampled", lambda: [{"id": row["id"], "answers": answers, "points": points}])
    blind, seeing = (preferences.pairs(seeing=seeing)[0] for seeing in (False, True))
    assert (text(blind, "chosen"), text(seeing, "chosen")) == (answers[1], answers[0])
    assert text(blind, "rejected") == text(seeing, "rejected") == answers[2]


def test_rated_answers_are_those_of_the_pairs_one_by_one(answered):
    made, rated = preferences.pairs(), preferences.rated()
    assert [row["label"] for row in rated] == [True, False] * len(made)
    assert [row["completion"] for row in rated] == [pair[side] for pair in made for side in ("chosen", "rejected")]


@pytest.mark.parametrize(
    ("points", "deeds", "right"),
    [
        ((0.9, 0.7), (0.4, 0.4), 0),
        ((0.9, 0.7), (0.2, 0.38), 1),
        ((0.9, 0.7), (0.36, 0.4), 0),
        ((0.9, 0.7), (0.2, 0.3), 1),
        ((0.9, 0.7), (0.3, 0.2), 0),
    ],
)
def test_the_setting_is_chosen_on_validation_by_points_unless_deeds_suffer(monkeypatch, points, deeds, right):
    found = {"sft": {"validation": {"points": 0.4, "deed_fits": 0.4}}}
    for name, kept, fit in zip(preferences.TRIED, points, deeds, strict=True):
        found[name] = {"validation": {"points": kept, "deed_fits": fit}}
    monkeypatch.setattr(preferences, "done", lambda folder: found.get(folder.name))
    assert preferences.chosen() == list(preferences.TRIED)[right]
    assert preferences.other_rate() == list(preferences.TRIED)[1 - right]


def test_scores_of_answers():
    rows = preferences.rows_of("validation")[:4]
    careful = [row["messages"][-1]["content"] for row in rows]
    found = preferences.scores("validation", rows, careful)
    assert (found["points"], found["deed_fits"]) == (1, 1)
    assert preferences.scores("validation", rows, ["Hello."] * 4) == {"points": 0.2, "deed_fits": 0, "words": 1}


def completions(*texts):
    return [[{"role": "assistant", "content": text}] for text in texts]


def test_rewards_are_for_valid_records_and_right_fields():
    right = rewards.tickets().train.rows[0]["messages"][-1]["content"]
    record = json.loads(right)
    other = record | {"urgency": "P1" if record["urgency"] != "P1" else "P2"}
    invalid = record | {"urgency": "soon"}
    answers = completions(right, json.dumps(other), json.dumps(invalid), right + " Done.", "no idea")
    assert rewards.valid_record(answers) == [1, 1, 0, 0, 0]
    assert rewards.right_fields(answers, [right] * 5) == pytest.approx([1, 5 / 6, 5 / 6, 0, 0])


@pytest.mark.parametrize("model", rewards.SETTINGS)
def test_grpo_reads_tickets_that_were_not_taught(model):
    setting = rewards.SETTINGS[model]
    taught = {row["id"] for row in rewards.tickets().train.rows[: setting["taught"]]}
    new = [row["id"] for row in rewards.new_tickets(model)]
    assert len(set(new)) == len(new) == setting["steps"] * setting["prompts"]
    assert not taught & set(new)


@pytest.mark.parametrize("name", ["preferences", "rewards"])
def test_the_record_is_of_the_experiments_points(name):
    """What is published names only points that exist, and scores its answers as the experiment does."""
    folder = ROOT / "data" / "recorded" / name
    results = json.loads((folder / "results.json").read_text())
    experiment = {"preferences": preferences, "rewards": rewards}[name]
    assert {*results["points"], *results["not_done"]} == {point.name for point in experiment.points()}
    assert results["minutes_by_machine"] == recording.minutes_by_machine(results["points"].values())
    if name == "preferences":
        for point, found in results["points"].items():
            path = folder / "predictions" / point / "test.jsonl"
            if path.exists():
                texts = [json.loads(line)["prediction"] for line in path.read_text().splitlines()]
                assert preferences.scores("test", preferences.rows_of("test"), texts) == pytest.approx(found["test"])
