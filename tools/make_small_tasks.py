"""Write data/small_tasks/: one task whose answers are labels, and one whose answers are free text.

Example: `python tools/make_small_tasks.py` rewrites the files, `--check` fails if one differs.
Both are made of rows that the course has: the team that a support ticket goes to, and the replies in a ship's voice.
"""

import json
import re
import sys
from pathlib import Path

from generated import jsonl, write_or_check

ROOT = Path(__file__).resolve().parents[1]
FOLDER, TICKETS, LESSONS = (ROOT / "data" / name for name in ("small_tasks", "support_triage", "lessons"))
QUESTION = "Name the team that this ticket goes to."
ISSUE = re.compile(r"\w+\.(logistics|aftersales|workshop|billing|accounts|presales|hazards)\.\d+")  # in a pattern
PARTS = {"train": 300, "validation": 60, "test": 200}  # tickets
LEARNT = 75  # of the lesson's rows for training, the others for validation


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def team(row: dict) -> dict:
    """A ticket's row with its queue as the whole answer."""
    _, ticket, answer = row["messages"]
    label = {"role": "assistant", "content": json.loads(answer["content"])["queue"]}
    asked = [{"role": "system", "content": QUESTION}, ticket]
    return {"id": f"team-{row['id']}", "messages": [*asked, label], "phrasing": ISSUE.search(row["pattern"])[0]}


def voice(name: str) -> list[dict]:
    """The replies in the ship's voice of one file of lessons."""
    rows = [row for row in read(LESSONS / f"{name}.jsonl") if row["lesson"] == "style"]
    return [{"id": f"voice-{row['id']}", "messages": row["messages"]} for row in rows]


def make_files() -> dict[str, str]:
    files = {f"team_{part}.jsonl": list(map(team, read(TICKETS / f"{part}.jsonl")[:n])) for part, n in PARTS.items()}
    taught = voice("train")
    files |= {"voice_train.jsonl": taught[:LEARNT], "voice_validation.jsonl": taught[LEARNT:]}
    files["voice_test.jsonl"] = voice("heldout")
    return {name: jsonl(rows) for name, rows in files.items()}


if __name__ == "__main__":
    sys.exit(write_or_check(__doc__, FOLDER, make_files))
