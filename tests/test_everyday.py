"""The everyday questions: what counts as right, and that replay and probe share nothing."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from ftlab.data.schema import read_chat
from ftlab.data.splits import assert_no_leak
from ftlab.evaluation.metrics import probe_scores

ROOT = Path(__file__).resolve().parents[1]
PROBE = read_chat(ROOT / "data" / "probes" / "everyday.jsonl")
REPLAY = read_chat(ROOT / "data" / "replay" / "everyday.jsonl")
TICKETS = read_chat(ROOT / "data" / "support_triage" / "train.jsonl")


def test_each_row_accepts_its_answer_and_no_triage_record():
    assert probe_scores([row["messages"][-1]["content"] for row in PROBE], PROBE).all()
    records = [row["messages"][-1]["content"] for row in TICKETS[: len(PROBE)]]
    assert not probe_scores(records, PROBE).any()


def test_no_question_gives_its_answer_away():
    asked = [row["messages"][-2]["content"] for row in PROBE]
    same = Counter(row["skill"] for row, right in zip(PROBE, probe_scores(asked, PROBE), strict=True) if right)
    assert set(same) <= {"reading", "plural"}  # the text holds it; "sheep" is its own plural
    assert same["plural"] <= 1


def test_one_answer_to_all_is_hardly_ever_right():
    answers = Counter(answer.casefold() for row in PROBE for answer in row.get("accept", []))
    assert max(answers.values()) < 0.05 * len(PROBE)


def test_every_skill_has_rows_enough_and_is_replayed():
    skills = Counter(row["skill"] for row in PROBE)
    assert 300 <= len(PROBE) <= 400
    assert min(skills.values()) >= 15
    assert set(skills) < {row["kind"] for row in REPLAY}
    assert {row["kind"] for row in REPLAY[:60]} == {row["kind"] for row in REPLAY}  # a small share has all kinds


def test_replay_shares_no_question_with_probe_and_tickets():
    assert_no_leak(REPLAY + TICKETS, PROBE)
    asked = [row["messages"][0]["content"] for row in REPLAY]
    assert len(set(asked)) == len(asked) >= 300  # half of 600 rows, as the experiment on forgetting mixes them


def test_replayed_answers_are_whole():
    answers = [row["messages"][-1]["content"] for row in REPLAY]
    assert all(answer.strip() == answer and answer for answer in answers)


def test_generator_writes_exactly_these_files():
    command = [sys.executable, str(ROOT / "tools" / "make_probe.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads((ROOT / "data/probes/everyday.jsonl").read_text().splitlines()[0])["id"] == "everyday-001"
