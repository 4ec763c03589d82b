"""Write data/probes/everyday.jsonl and data/replay/everyday.jsonl from the questions in tools/words/everyday.yaml.

Example: `python tools/make_probe.py` rewrites the files, `--check` fails if they differ.
The probe has answers of ours. The replay has those of `smol` itself: what the file holds stays, and new questions are
put to it (greedy, in the precision of this machine), so only questions and order can be checked.
"""

import json
import re
import sys
from itertools import cycle
from pathlib import Path

from generated import jsonl, write_or_check
from words import pairs, read_words

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
FOLDER = ROOT / "data"
REPLAY = FOLDER / "replay" / "everyday.jsonl"
WORDS = read_words("everyday")
SAME = "="  # in place of the accepted answers: what was asked, word for word
LONGEST, BATCH = 40, 48  # tokens of an answer of smol; a longer one ends with its last whole sentence


def asked(skill: dict, items: list[str]) -> list[str]:
    """Each item in a frame of its skill; the frames take turns."""
    return [frame.format(x=item) for item, frame in zip(items, cycle(skill["frames"]), strict=False)]


def probe() -> list[dict]:
    """The questions with what counts as right; a row without `accept` wants exactly its answer."""
    rows = []
    for name, skill in WORDS.skills.items():
        items, answers = zip(*pairs(skill["probe"]), strict=True)
        for item, prompt, answer in zip(items, asked(skill, items), answers, strict=True):
            accept = [item] if answer == SAME else answer.split(" / ")
            turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": accept[0]}]
            row = {"id": f"everyday-{len(rows) + 1:03}", "messages": turns, "skill": name}
            rows.append(row if answer == SAME else row | {"check": "contains", "accept": accept})
    return rows


def replay() -> list[dict]:
    """Questions with smol's answers; the kinds are spread evenly, so that the first rows hold all of them."""
    kinds = {name: asked(skill, skill["replay"]) for name, skill in WORDS.skills.items()} | {"open": WORDS.open}
    spread = sorted(
        ((n + 0.5) / len(prompts), kind, prompt) for kind, prompts in kinds.items() for n, prompt in enumerate(prompts)
    )
    answers = recorded()
    if "--check" not in sys.argv:
        answers |= ask_smol([prompt for _, _, prompt in spread if prompt not in answers])
    rows = []
    for _, kind, prompt in spread:
        turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answers.get(prompt, "")}]
        rows.append({"id": f"replayed-{len(rows) + 1:03}", "messages": turns, "kind": kind})
    return rows


def recorded() -> dict[str, str]:
    """The answers that the file holds, by question."""
    lines = REPLAY.read_text(encoding="utf-8").splitlines() if REPLAY.exists() else []
    return {prompt["content"]: answer["content"] for prompt, answer in (json.loads(line)["messages"] for line in lines)}


def ask_smol(prompts: list[str]) -> dict[str, str]:
    """What smol answers to each question, greedily."""
    if not prompts:
        return {}
    from transformers import AutoModelForCausalLM

    from ftlab import hardware
    from ftlab.evaluation.generation import generate
    from ftlab.models import load_tokenizer, resolve

    dtype = hardware.torch_dtype(hardware.precision("smol"))
    model, tokenizer = AutoModelForCausalLM.from_pretrained(resolve("smol"), dtype=dtype), load_tokenizer("smol")
    chats = [[{"role": "user", "content": prompt}] for prompt in prompts]
    texts = generate(model, tokenizer, chats, max_new_tokens=LONGEST, batch_size=BATCH, progress=True).texts
    long = [len(tokenizer(text, add_special_tokens=False)["input_ids"]) >= LONGEST - 1 for text in texts]
    return {p: whole_sentences(text) if cut else text for p, text, cut in zip(prompts, texts, long, strict=True)}


def whole_sentences(text: str) -> str:
    """A text that was cut off, up to its last whole sentence or line; nothing without one: take the question out."""
    ends = [match.end() for match in re.finditer(r"(?<!\d)[.!?](?=\s)|[^\s.](?=\n)", text)]
    return text[: ends[-1]] if ends else ""


def make_files() -> dict[str, str]:
    return {"probes/everyday.jsonl": jsonl(probe()), "replay/everyday.jsonl": jsonl(replay())}


if __name__ == "__main__":
    sys.exit(write_or_check(__doc__, FOLDER, make_files))
