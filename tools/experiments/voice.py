"""What notebook 15 compares with the record of preferences: `smol` with a style guide, and trained on edited replies.

`plain`, `guide`, `examples` and `similar` are prompts for the model as it comes: the system prompt of the shop's mail,
the written guide, the guide with five edited replies (one a matter), the guide with the five edited replies whose
messages are most like the one that is asked. `edited` is the SFT of the record of preferences, as many rows and steps, on the
replies that keep the voice in place of the mail as it was sent. Answers are greedy. About 20 minutes on one core that
has nothing else to do.
"""

import json
import shutil
from functools import partial

from experiments import preferences
from experiments._common import copy_answers
from record import ROOT, WORK, Point, done, write_results

import ftlab.run as runs
from ftlab.baselines.prompting import Prompt, input_and_answer, read_prompts, with_shots
from ftlab.kept import kept_answers
from ftlab.training.train import train_model

FOLDER, RECORD = WORK / "voice", ROOT / "data" / "recorded" / "voice"
PROMPTS = ROOT / "recipes" / "brand_voice_prompts.yaml"
SHOTS = 5


def prompts() -> dict[str, Prompt]:
    """The four prompts by name; their examples are edited replies to messages that no test has."""
    plain, guide = read_prompts(PROMPTS)
    edited = preferences.rows_of("messages")
    one_a_matter = {row["matter"]: row for row in reversed(edited)}  # the first of each
    shots = tuple(input_and_answer(row) for row in one_a_matter.values())
    return {
        "plain": plain,
        "guide": guide,
        "examples": Prompt("examples", guide.instruction, shots),
        "similar": with_shots(guide, edited, SHOTS, select="similar"),
    }


def prompted(folder, name: str) -> dict:
    """The answers of smol, as it comes, with one of the prompts."""
    _, model, tokenizer = preferences.started()
    settings, found = {"max_new_tokens": preferences.NEW_TOKENS, "batch_size": 50}, {}
    for part in ("validation", "test"):
        rows = preferences.rows_of(part)
        ask = partial(runs.ask, model, tokenizer, settings, rows, prompt=prompts()[name])
        out = kept_answers(folder / "predictions" / f"{part}.jsonl", rows, ask)
        found[part] = preferences.scores(part, rows, list(out.texts)) | {"tokens_per_call": out.tokens_per_call}
    return found


def edited(folder) -> dict:
    """SFT on the edited replies: as many rows, steps and the same settings as the record's SFT on the mail."""
    recipe, model, tokenizer = preferences.started()
    rows, watched = preferences.rows_of("messages"), preferences.rows_of("validation")
    tuned, seen = train_model(recipe, model, tokenizer, rows, watched, folder)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    found = preferences.answer(folder, preferences.plain(tuned), tokenizer)
    return found | {"steps": seen["steps"], "log": seen["log"], "rows": len(rows)}


def points() -> list[Point]:
    return [*(Point(name, partial(prompted, name=name)) for name in ("plain", "guide", "examples", "similar")),
            Point("edited", edited)]  # fmt: skip


def publish() -> None:
    """Write data/recorded/voice: results.json, and each arm's answers with the tokens of a call."""
    folders = {point.name: FOLDER / point.name for point in points()}
    table = {name: found for name, folder in folders.items() if (found := done(folder))}
    RECORD.mkdir(parents=True, exist_ok=True)
    for name, folder in folders.items():
        if (folder / "predictions").exists():
            copy_answers(folder / "predictions", RECORD / "predictions" / name)
    told = {name: [[turn["role"], turn["content"]] for turn in prompt.messages("{message}")]
            for name, prompt in prompts().items() if prompt.pick is None}  # fmt: skip
    more = {"settings": {"examples": SHOTS, "new_tokens": preferences.NEW_TOKENS}, "prompts": told, "points": table}
    write_results("voice", RECORD, table, folders, json.loads(json.dumps(more)))
