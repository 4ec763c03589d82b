"""Write data/small_tasks/: one task whose answers are labels, and one whose answers are free text.

Example: `python tools/make_small_tasks.py` rewrites the files, `--check` fails if one differs.
Both are made of rows that the course has: the team that a support ticket goes to, and the replies in a ship's voice.
"""

import json
import sys
from pathlib import Path

from generated import jsonl, write_or_check

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from ftlab.data.schema import read_chat  # noqa: E402
from ftlab.training.data import group_of  # noqa: E402
from ftlab.training.recipe import load_recipe  # noqa: E402

FOLDER, TICKETS, LESSONS = (ROOT / "data" / name for name in ("small_tasks", "support_triage", "lessons"))
QUESTION = "Name the team that this ticket goes to."
PARTS = {"train": 300, "validation": 60, "test": 200}  # tickets
RECIPE = load_recipe(ROOT / "recipes" / "support_triage_smol.yaml")  # says which part of a pattern counts
LEARNT = 75  # of the lesson's rows for training, the others for validation


def team(row: dict) -> dict:
    """A ticket's row with its queue as the whole answer."""
    _, ticket, answer = row["messages"]
    label = {"role": "assistant", "content": json.loads(answer["content"])["queue"]}
    asked = [{"role": "system", "content": QUESTION}, ticket]
    phrasing = group_of(row, RECIPE.group, RECIPE.group_part)
    return {"id": f"team-{row['id']}", "messages": [*asked, label], "phrasing": phrasing}


def voice(name: str) -> list[dict]:
    """The replies in the ship's voice of one file of lessons."""
    rows = [row for row in read_chat(LESSONS / f"{name}.jsonl") if row["lesson"] == "style"]
    return [{"id": f"voice-{row['id']}", "messages": row["messages"]} for row in rows]


def make_files() -> dict[str, str]:
    tickets = {part: read_chat(TICKETS / f"{part}.jsonl")[:n] for part, n in PARTS.items()}
    files = {f"team_{part}.jsonl": list(map(team, rows)) for part, rows in tickets.items()}
    taught = voice("train")
    files |= {"voice_train.jsonl": taught[:LEARNT], "voice_validation.jsonl": taught[LEARNT:]}
    files["voice_test.jsonl"] = voice("heldout")
    return {name: jsonl(rows) for name, rows in files.items()}


if __name__ == "__main__":
    sys.exit(write_or_check(__doc__, FOLDER, make_files))
