"""What notebook 15 compares with the record of preferences: `smol` with a style guide, and trained on edited replies.

`plain`, `guide` and `examples` are prompts for the model as it comes: the system prompt of the shop's mail, the
written guide, the guide with three edited replies. They answer the first 25 test messages, which show each sentence
pattern once, and 10 validation messages (`plain` twice as many), on which the best of them is chosen.
`edited` is the SFT of the record of preferences, as many rows and steps, on the replies that keep the voice in place
of the mail as it was sent. `drawn` are answers of that model to the messages of the mail, which it has not read;
`edited_dpo` goes on from it by DPO on pairs of these, judged facts first, then by the measured style, and kept where
the better one may be sent, with the rate and beta that the record of preferences chose. Answers are greedy. About an
hour on one core that has nothing else to do.
"""

import json
import re
import shutil
import time
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from experiments import preferences
from experiments._common import copy_answers
from record import ROOT, WORK, Point, done, write_results

from ftlab.baselines.prompting import Prompt, input_and_answer, read_prompts
from ftlab.evaluation.generation import Generations, end_token_ids, padded, prompt_ids, reading
from ftlab.evaluation.guide import best_and_worst
from ftlab.evaluation.metrics import holds, probe_scores
from ftlab.evaluation.style import masked, measure_style
from ftlab.kept import kept_answers

FOLDER, RECORD = WORK / "voice", ROOT / "data" / "recorded" / "voice"
PROMPTS = ROOT / "recipes" / "brand_voice_prompts.yaml"
SHOTS = ("late", "broken", "cancel")  # matters of the examples
ASKED = {name: {"validation": 10, "test": 25} for name in ("examples", "guide")}  # each sentence pattern once
ASKED["plain"] = {"validation": 20, "test": 50}  # and twice
# grammar and no voice, struck from the words to avoid as in notebook 15
STRUCK = {"it", "us", "such", "this", "with", "in", "like", "things", "line", "again"}


def prompts() -> dict[str, Prompt]:
    """The prompts by name; the examples are edited replies to messages that no test has."""
    plain, guide = read_prompts(PROMPTS)
    first = {row["matter"]: row for row in reversed(preferences.rows_of("messages"))}  # of each matter the first
    shots = tuple(input_and_answer(first[matter]) for matter in SHOTS)
    return {"plain": plain, "guide": guide, "examples": Prompt("examples", guide.instruction, shots)}


def answer_after_prefix(model, tokenizer, chats: list) -> Generations:
    """Greedy answers to chats that begin alike, as `generate` gives them: what they share is read once."""
    import torch

    start, ids = time.perf_counter(), [prompt_ids(tokenizer, chat) for chat in chats]
    shared = next(at for at, tokens in enumerate(zip(*ids, strict=False)) if len(set(tokens)) > 1)
    rests, mask = padded([row[shared:] for row in ids], model.device, tokenizer.pad_token_id, left=True)
    ends = end_token_ids(model, tokenizer)
    with reading(model, len(ids), rests.shape[1] + preferences.NEW_TOKENS):
        prefix = torch.tensor([ids[0][:shared]], device=model.device)
        cache = model(input_ids=prefix, use_cache=True).past_key_values
        cache.batch_repeat_interleave(len(ids))
        whole = torch.cat([prefix.expand(len(ids), -1), rests], dim=1)  # the padding stands between the two parts
        out = model.generate(
            input_ids=whole, attention_mask=torch.cat([torch.ones_like(whole[:, :shared]), mask], dim=1),
            past_key_values=cache, do_sample=False, max_new_tokens=preferences.NEW_TOKENS,
            pad_token_id=tokenizer.pad_token_id, eos_token_id=ends,
        )  # fmt: skip
    texts, new_tokens, cut_off = [], 0, 0
    for answer in out[:, whole.shape[1] :].tolist():
        end = next((at for at, token in enumerate(answer) if token in ends), None)
        cut_off, new_tokens = cut_off + (end is None), new_tokens + (len(answer) if end is None else end + 1)
        texts.append(tokenizer.decode(answer[:end], skip_special_tokens=True))
    return Generations(tuple(texts), sum(map(len, ids)), new_tokens, time.perf_counter() - start, cut_off)


def prompted(folder, name: str) -> dict:
    """The answers of smol, as it comes, with one of the prompts."""
    _, model, tokenizer = preferences.started()
    prompt, found = prompts()[name], {}
    for part, n in ASKED[name].items():
        rows = preferences.rows_of(part)[:n]
        chats = [prompt.messages(input_and_answer(row)[0]) for row in rows]
        ask = partial(answer_after_prefix, model, tokenizer, chats)
        out = kept_answers(folder / "predictions" / f"{part}.jsonl", rows, ask)
        found[part] = preferences.scores(part, rows, list(out.texts)) | {"tokens_per_call": out.tokens_per_call}
    return found


@cache
def style():
    """The measured style of the edited replies against the mail as it was sent."""
    replies = [[masked(row["messages"][2]["content"], row["facts"]) for row in preferences.rows_of(part)]
               for part in ("messages", "archive")]  # fmt: skip
    counted = measure_style(*replies)
    return replace(counted, avoided=tuple(word for word in counted.avoided if word not in STRUCK))


@cache
def catalogue() -> set[str]:
    """The shop's items, and names of customers."""
    rows = (row for part in ("archive", "messages", "validation", "test") for row in preferences.rows_of(part))
    return {row["facts"][kind].lower() for row in rows for kind in ("item", "name")}


def facts_in(text: str) -> set[str]:
    """Numbers, items and names in a text."""
    return set(re.findall(r"\d[\d.,:/-]*\d|\d", text)) | (catalogue() & set(re.findall(r"\w+", text.lower())))


def fit_to_send(text: str, row: dict) -> bool:
    """Names the facts of its message, invents none, does what is asked: the checks of notebook 15."""
    named = all(holds(text, fact) for fact in row["facts"].values())
    return bool(named and facts_in(text) <= facts_in(row["messages"][1]["content"]) and probe_scores([text], [row])[0])


def reviewed_pairs() -> list[dict]:
    """A preference pair for each message of the mail to which one of the drawn answers may be sent."""
    rows = {row["id"]: row for row in preferences.rows_of("archive")}
    made = []
    for line in (FOLDER / "drawn" / "samples.jsonl").read_text().splitlines():
        each = json.loads(line)
        row = rows[each["id"]]
        marks = [2 * fit_to_send(text, row) + style().score(text, row["facts"]) for text in each["answers"]]
        if (found := best_and_worst(each["answers"], marks)) and fit_to_send(found[0], row):
            chosen, rejected = ([{"role": "assistant", "content": text}] for text in found)
            made.append({"prompt": row["messages"][:-1], "chosen": chosen, "rejected": rejected})
    return made


def edited_dpo(folder: Path) -> dict:
    """DPO from the SFT on edited replies, on its own answers; the settings are the record of preferences' choice."""
    rate, beta = preferences.TRIED[preferences.chosen()]
    made = reviewed_pairs()
    model, tokenizer, log = preferences.prefer(folder, "dpo", made, rate, beta, FOLDER / "edited" / "model")
    found = preferences.answer(folder, preferences.plain(model), tokenizer)
    return found | {"setting": {"learning_rate": rate, "beta": beta}, "log": log, "pairs": len(made)}


def points() -> list[Point]:
    drawn = partial(preferences.samples, start=FOLDER / "edited" / "model", part="archive")
    return [
        *(Point(name, partial(prompted, name=name)) for name in ASKED),
        Point("edited", partial(preferences.sft, part="messages")),  # as many rows, steps, the same settings
        Point("drawn", drawn, ("edited",)),
        Point("edited_dpo", edited_dpo, ("drawn",)),
    ]


def publish() -> None:
    """Write data/recorded/voice: results.json, and each arm's answers with the tokens of a call."""
    folders = {point.name: FOLDER / point.name for point in points()}
    table = {name: found for name, folder in folders.items() if (found := done(folder))}
    RECORD.mkdir(parents=True, exist_ok=True)
    for name, folder in folders.items():
        if (folder / "predictions").exists():
            copy_answers(folder / "predictions", RECORD / "predictions" / name)
    if (FOLDER / "drawn" / "samples.jsonl").exists():
        shutil.copy(FOLDER / "drawn" / "samples.jsonl", RECORD)
    told = {name: prompt.messages("{message}") for name, prompt in prompts().items()}
    more = {"settings": {"asked": ASKED, "new_tokens": preferences.NEW_TOKENS}, "prompts": told, "points": table}
    write_results("voice", RECORD, table, folders, more)
