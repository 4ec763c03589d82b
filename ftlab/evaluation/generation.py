"""Greedy answers in batches: the part of an evaluation that takes the time."""

import copy
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from ftlab.errors import DataError


@dataclass(frozen=True, repr=False)
class Generations:
    """Answers in the order of the chats, and what they cost."""

    texts: tuple[str, ...]
    prompt_tokens: int
    new_tokens: int
    seconds: float
    cut_off: int  # answers that reached max_new_tokens without an end token

    @property
    def tokens_per_call(self) -> float:
        """Prompt and answer tokens of one call, on average."""
        return (self.prompt_tokens + self.new_tokens) / max(1, len(self.texts))

    @property
    def seconds_per_call(self) -> float:
        """Wall time of one call in these batches, on average."""
        return self.seconds / max(1, len(self.texts))

    def __repr__(self):
        cut = f", {self.cut_off} cut off at max_new_tokens" if self.cut_off else ""
        return f"{len(self.texts)} answers in {self.seconds:.0f} s, {self.tokens_per_call:.0f} tokens a call{cut}"


def generate(
    model,
    tokenizer,
    chats: Sequence[Sequence[dict]],
    max_new_tokens: int = 96,
    batch_size: int = 50,
    progress: bool = False,
) -> Generations:
    """Answer each chat (messages that end with the user's turn) greedily.

    Batches hold chats of like length, padded on the left, longest first, so that a lack of memory shows at
    once. On a CPU, what all prompts begin with is read once, and an answer that has ended leaves its batch. The batch
    size changes greedy answers of a 16-bit model a little: fix it and record it.
    """
    from tqdm import tqdm

    ids = [prompt_ids(tokenizer, chat) for chat in chats]
    check_lengths(ids, max_new_tokens, positions(model))
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
    end_ids = end_token_ids(model, tokenizer)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else end_ids[0]
    settings = {"do_sample": False, "use_cache": True, "pad_token_id": pad, "eos_token_id": end_ids}
    texts, new_tokens, cut_off, start = [""] * len(ids), 0, 0, time.perf_counter()
    bar = tqdm(total=len(ids), disable=not progress, leave=False, unit="chat")
    longest = max(map(len, ids), default=0) + max_new_tokens
    with reading(model, batch_size, longest), bar:
        on_cpu = model.device.type == "cpu" and len(ids) > 1
        ask = partial(_answers_after, read_beginning(model, ids)) if on_cpu else _answers
        for at in range(0, len(order), batch_size):
            batch = order[at : at + batch_size]
            answers = ask(model, [ids[i] for i in batch], max_new_tokens, settings)
            for i, answer in zip(batch, answers, strict=True):
                end = next((k for k, token in enumerate(answer) if token in end_ids), None)
                cut_off += end is None
                new_tokens += len(answer) if end is None else end + 1
                texts[i] = tokenizer.decode(answer[:end], skip_special_tokens=True)
            bar.update(len(batch))
    return Generations(tuple(texts), sum(map(len, ids)), new_tokens, time.perf_counter() - start, cut_off)


def read_beginning(model, ids: Sequence[list[int]]):
    """A cache that holds what all prompts (token ids) begin with, for one row; each keeps a last token to be read.

    It is empty for a model with a sliding window: padding that follows would push the beginning out of it.
    """
    import torch
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    shared = min(len(os.path.commonprefix(ids)), min(map(len, ids)) - 1)
    if shared and not any(cache.is_sliding):
        model(input_ids=torch.tensor([ids[0][:shared]]).to(model.device), past_key_values=cache, logits_to_keep=1)
    return cache


def _answers(model, rows: Sequence[list[int]], max_new_tokens: int, settings: dict) -> list[list[int]]:
    """New tokens of each prompt (token ids), with what follows an end: the whole batch until the last has ended."""
    ids, mask = padded(rows, model.device, settings["pad_token_id"], left=True)
    out = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=max_new_tokens, **settings)
    return out[:, ids.shape[1] :].tolist()


def _answers_after(begun, model, rows: Sequence[list[int]], max_new_tokens: int, settings: dict) -> list[list[int]]:
    """The same for a CPU, where each row costs: `begun` has read what all prompts begin with, and ended ones leave."""
    import torch

    shared = begun.get_seq_length() if begun else 0  # a cache that has read nothing is false
    ids, mask = padded([row[shared:] for row in rows], model.device, settings["pad_token_id"], left=True)
    first = torch.tensor([rows[0][:shared]] * len(rows), dtype=ids.dtype).to(ids.device)
    ids, mask = torch.cat([first, ids], 1), torch.cat([torch.ones_like(first), mask], 1)
    cache, start, left = copy.deepcopy(begun), ids.shape[1], torch.arange(len(rows))
    if shared:
        cache.batch_repeat_interleave(len(rows))
    answers, ends = [[]] * len(rows), torch.tensor(settings["eos_token_id"])

    def ended(ids):
        return torch.isin(ids[:, start:], ends).any(dim=1)

    def a_quarter_ended(ids, scores, **_):
        done = ended(ids)
        return done | (4 * done.sum() >= len(done))

    while len(left):
        room = start + max_new_tokens - ids.shape[1]
        ids = model.generate(input_ids=ids, attention_mask=mask, past_key_values=cache, max_new_tokens=room,
                             stopping_criteria=[a_quarter_ended], **settings)  # fmt: skip
        for i, row in zip(left.tolist(), ids[:, start:].tolist(), strict=True):
            answers[i] = row
        going = (~ended(ids)).nonzero().flatten() if ids.shape[1] < start + max_new_tokens else left[:0]
        mask = torch.cat([mask, mask.new_ones(len(mask), ids.shape[1] - mask.shape[1])], 1)[going]
        left, ids = left[going], ids[going]
        cache.batch_select_indices(going)
    return answers


def answer_probabilities(model, tokenizer, chats: Sequence[Sequence[dict]], texts: Sequence[str], batch_size: int = 8):
    """The probability that the model gives to each whole text after its chat, with its end token; shape (chats,).

    For a text that it wrote itself, greedily, this is how sure it was of every token of it.
    """
    import numpy as np
    import torch

    end, found = end_token_ids(model, tokenizer)[:1], []
    answers = [tokenizer(text, add_special_tokens=False)["input_ids"] + end for text in texts]
    rows = [prompt_ids(tokenizer, chat) + answer for chat, answer in zip(chats, answers, strict=True)]
    with reading(model, batch_size, max(map(len, rows), default=0)):
        for at in range(0, len(rows), batch_size):
            ids, mask = padded(rows[at : at + batch_size], model.device, end[0], left=True)
            places = (mask.cumsum(dim=1) - 1).clamp(min=0)
            logits = model(input_ids=ids, attention_mask=mask, position_ids=places).logits
            for row, answer in enumerate(answers[at : at + batch_size]):
                said = logits[row, -len(answer) - 1 : -1].float().log_softmax(dim=-1)
                wanted = torch.tensor(answer, device=said.device)
                found.append(float(said.gather(-1, wanted[:, None]).sum().exp()))
    return np.array(found)


@contextmanager
def reading(model, rows: int = 1, longest: int = 1) -> Iterator[None]:
    """Without gradients and without dropout; the model's mode is restored.

    In bf16 on a CPU, plain attention halves the time of an answer; it is used where its scores, of `rows` texts of
    `longest` tokens, take less than a gigabyte.
    """
    import torch

    was_training, attention = model.training, getattr(model.config, "_attn_implementation", None)
    scores = 6 * rows * longest**2 * getattr(model.config, "num_attention_heads", 1)  # bytes
    plain = attention == "sdpa" and model.device.type == "cpu" and model.dtype == torch.bfloat16 and scores < 2**30
    model.eval()
    if plain:
        model.set_attn_implementation("eager")
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)
        if plain:
            model.set_attn_implementation(attention)


def padded(rows: Sequence[list[int]], device, pad: int = 0, left: bool = False):
    """Token ids and attention mask of a batch, each of shape (rows, longest row)."""
    import torch

    gaps = [max(map(len, rows)) - len(row) for row in rows]
    ids = [[pad] * gap + row if left else row + [pad] * gap for row, gap in zip(rows, gaps, strict=True)]
    mask = [[0] * gap + [1] * len(row) if left else [1] * len(row) + [0] * gap
            for row, gap in zip(rows, gaps, strict=True)]  # fmt: skip
    return torch.tensor(ids).to(device), torch.tensor(mask).to(device)


def prompt_ids(tokenizer, chat: Sequence[dict]) -> list[int]:
    """Tokens up to where the answer begins; a model that can think aloud first (Qwen3) is told not to."""
    text = tokenizer.apply_chat_template(list(chat), tokenize=False, add_generation_prompt=True, enable_thinking=False)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def positions(model) -> int | None:
    """How many tokens the model reads at most; Unsloth's max_seq_length counts, for it cuts longer prompts."""
    limits = getattr(model.config, "max_position_embeddings", None), getattr(model, "max_seq_length", None)
    return min((n for n in limits if n), default=None)


def end_token_ids(model, tokenizer) -> list[int]:
    """Every token that ends an answer: the tokenizer's and the model's own."""
    configured = getattr(model.generation_config, "eos_token_id", None)
    configured = configured if isinstance(configured, list) else [configured]
    return [*dict.fromkeys(i for i in [tokenizer.eos_token_id, *configured] if i is not None)]


def check_lengths(ids, max_new_tokens, limit) -> None:
    """Raise DataError for a prompt (token ids) that leaves no room for its answer; `limit` None: no limit known."""
    for number, row in enumerate(ids):
        if limit and len(row) + max_new_tokens > limit:
            raise DataError(
                f"chat {number}: {len(row)} prompt tokens and {max_new_tokens} new ones do not fit into the "
                f"{limit} positions of the model. Shorten the prompt (fewer examples) or the answer."
            )
