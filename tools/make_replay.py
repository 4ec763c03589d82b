"""Write data/replay/general.jsonl: chats of the kind that nano grew up with, to mix into a fine-tune.

Example: `python tools/make_replay.py` rewrites the file, `--check` fails if it differs.
The chats are drawn as pre-training draws them, from seeds of their own and from the sentence patterns and wordings
that pre-training uses; the probe (data/probes/general_skills.jsonl) is made of those that it never uses.
"""

import sys
from itertools import count
from pathlib import Path

from generated import jsonl, write_or_check

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
from nano_world.compose import document  # noqa: E402

FOLDER = ROOT / "data" / "replay"
SEEDS, ROWS = 40_000_000, 1_000  # pre-training counts up from 0
LONGEST = 1_000  # characters of a whole chat: about 300 tokens, well below the recipe's max_length


def rows():
    """The first chats that are short enough, all prompts different."""
    found, seen = [], set()
    for seed in count(SEEDS):
        doc = document(seed)
        prompt = doc.turns[:-1]
        if doc.turns[-1][0] != "assistant" or prompt in seen or sum(len(text) for _, text in doc.turns) > LONGEST:
            continue
        seen.add(prompt)
        messages = [{"role": role, "content": text} for role, text in doc.turns]
        found.append({"id": f"replay-{len(found) + 1:04}", "messages": messages, "kind": doc.kind})
        if len(found) == ROWS:
            return found


def make_files() -> dict[str, str]:
    return {"general.jsonl": jsonl(rows())}


if __name__ == "__main__":
    sys.exit(write_or_check(__doc__, FOLDER, make_files))
