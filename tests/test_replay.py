"""The replayed chats: like pre-training, unlike the probe, and silent about what fine-tuning is to teach."""

import json
import re
import subprocess
import sys
from pathlib import Path

from ftlab.data.schema import read_chat
from ftlab.data.splits import assert_no_leak

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
try:
    from nano_world import texts
    from nano_world.texts import prompts
finally:
    sys.path.remove(str(ROOT / "tools"))

ROWS = read_chat(ROOT / "data" / "replay" / "general.jsonl")
TEXT = "\n".join(message["content"] for row in ROWS for message in row["messages"])


def test_many_kinds_none_more_than_two_in_five():
    kinds = [row["kind"].split(":")[0] for row in ROWS]
    counts = {kind: kinds.count(kind) for kind in kinds}
    assert len(counts) >= 10
    assert max(counts.values()) < 0.4 * len(ROWS)


def test_nothing_of_the_running_example():
    words = "|".join(map(re.escape, texts.KEPT_OUT_WORDS))
    assert not re.findall(rf"(?<![a-z0-9])({words})(?![a-z0-9])", TEXT, flags=re.IGNORECASE)


def test_no_question_of_the_probe_and_no_wording_kept_for_it():
    assert_no_leak(ROWS, read_chat(ROOT / "data" / "probes" / "general_skills.jsonl"))
    kept = [w for wordings in prompts.instructions.values() for w in wordings if texts.is_heldout(w)]
    pieces = {max(re.split(r"\{\w+\}", wording), key=len) for wording in kept}
    pieces = {piece for piece in pieces if len(piece) >= 25}
    used = [w for wordings in prompts.instructions.values() for w in wordings if not texts.is_heldout(w)]
    pieces = {piece for piece in pieces if not any(piece in wording for wording in used)}
    assert len(pieces) > 30
    assert not {piece for piece in pieces if piece in TEXT}


def test_generator_writes_exactly_this_file():
    command = [sys.executable, str(ROOT / "tools" / "make_replay.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads((ROOT / "data" / "replay" / "general.jsonl").read_text().splitlines()[0])["id"] == "replay-0001"
