"""Constrained choice: answer with the likeliest of the answers that are allowed, so that no other can come.

Each candidate is scored with the probability that the model gives to its whole text after the prompt. The prompt is
read once and kept in the key-value cache; a candidate costs its own tokens only. For a model on this machine; chat
services offer the same under the name of structured outputs (`Endpoint(options={"response_format": ...})`).
"""

import copy
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ftlab.baselines.endpoint import Endpoint
from ftlab.baselines.prompting import Asked, Prompt, input_and_answer, text_of
from ftlab.errors import DataError, RecipeError
from ftlab.evaluation.generation import (
    Generations,
    check_lengths,
    end_token_ids,
    padded,
    positions,
    prompt_ids,
    reading,
)
from ftlab.evaluation.metrics import parse_record

MANY_VALUES = 20  # fewer can be chosen from, however often each occurs
Candidates = Sequence | Callable[[str], Sequence]  # values, or a function from an input to values


@dataclass(frozen=True, eq=False, repr=False)
class RecordChoices(Generations):
    """JSON records put together field by field.

    `confidence[field]`, shape (chats,): the chosen value's share of the probability of all values that were allowed.
    """

    confidence: dict[str, np.ndarray]


def choose_records(
    model,
    tokenizer,
    prompt: Prompt,
    inputs: Sequence[Asked],
    fields: Mapping[str, Candidates],
    batch_size: int = 16,
    progress: bool = False,
) -> RecordChoices:
    """For each input a JSON record: field by field the likeliest value, given the prompt and the fields before it.

    `fields` maps each field, in the order of the record, to its values or to a function from the input to them (for
    order numbers: those that stand in the ticket); None is null. A field with one value costs nothing; `batch_size`
    counts values.
    """
    from tqdm import tqdm

    _refuse_service(model)
    if not fields:
        raise DataError("fields is empty: name at least one field with its values")
    texts, tokens, start = [], 0, time.perf_counter()
    confidence = {name: [] for name in fields}
    with reading(model):
        for asked in tqdm(inputs, disable=not progress, leave=False, unit="record"):
            cached = _CachedPrompt(model, tokenizer, prompt.messages(asked))
            record = {}
            for name, values in fields.items():
                values = _distinct(values(text_of(asked)) if callable(values) else values, name)
                record[name], share = _likeliest(cached, record, name, values, list(fields), batch_size)
                confidence[name].append(share)
            texts.append(json.dumps(record, ensure_ascii=False))
            tokens += len(cached.ids)
    # with their end tokens, as if they had been generated
    new_tokens = sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) + 1 for text in texts)
    shares = {name: np.array(each) for name, each in confidence.items()}
    return RecordChoices(tuple(texts), tokens, new_tokens, time.perf_counter() - start, 0, shares)


@dataclass(frozen=True, eq=False, repr=False)
class LabelChoices(Generations):
    """One of the allowed labels for each chat; `confidence`, shape (chats,), is its share of their probability."""

    confidence: np.ndarray


def choose_labels(
    model,
    tokenizer,
    chats: Sequence[Sequence[dict]],
    labels: Sequence[str],
    batch_size: int = 16,
    progress: bool = False,
) -> LabelChoices:
    """For each chat (messages that end with the user's turn) the likeliest of the labels, each with its end token."""
    from scipy.special import softmax
    from tqdm import tqdm

    _refuse_service(model)
    labels, start, best, shares, tokens = _distinct(labels, "labels"), time.perf_counter(), [], [], 0
    with reading(model):
        for chat in tqdm(chats, disable=not progress, leave=False, unit="label"):
            cached = _CachedPrompt(model, tokenizer, chat)
            scores = cached.log_probs(labels, ended=True, batch_size=batch_size)
            best.append(labels[int(scores.argmax())])
            shares.append(float(softmax(scores).max()))
            tokens += len(cached.ids)
    new_tokens = sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) + 1 for text in best)
    return LabelChoices(tuple(best), tokens, new_tokens, time.perf_counter() - start, 0, np.array(shares))


def label_candidates(rows: Sequence[dict]) -> list[str]:
    """The labels that solved chat rows have as answers (training rows, never test rows), most frequent first.

    RecipeError where the answers are so many that they are free text.
    """
    counts = Counter(input_and_answer(row)[1].strip() for row in rows)
    refuse_free_text("the answers", len(counts), len(rows))
    return [label for label, _ in counts.most_common()]


def record_candidates(schema: Mapping, rows: Sequence[dict]) -> dict[str, Candidates]:
    """`fields` for `choose_records` from a JSON Schema and solved chat rows (training rows, never test rows).

    A field for which the schema lists no values gets, from each input, what fits its pattern, or else those values
    of the rows that stand in the input; null where the schema or a row has it. RecipeError for a field of free text.
    """
    records = [parse_record(input_and_answer(row)[1]) or {} for row in rows]
    rules, found = schema.get("properties", {}), {}
    for name in dict.fromkeys([*(name for record in records for name in record), *rules]):
        rule = rules.get(name, {})
        if (values := _listed(rule)) is None:
            seen = [r[name] for r in records if name in r]
            known = list({json.dumps(value): value for value in seen}.values())
            if "pattern" not in rule:
                refuse_free_text(name, len(known), len(seen))
            nullable = None in known or "null" in np.atleast_1d(rule.get("type", "")).tolist()
            found[name] = _pick(name, rule, [v for v in known if v is not None], nullable)
        else:
            found[name] = values
    return found


def _refuse_service(model) -> None:
    if isinstance(model, Endpoint):
        raise RecipeError(
            f"{model.model}: a service does not give the probabilities of candidates. Use a model on this machine, or "
            "ask the service for structured outputs: Endpoint(..., options={'response_format': ...})"
        )


def refuse_free_text(name: str, values: int, rows: int) -> None:
    """Raise RecipeError for a field with so many different values that it is no label."""
    if values > max(MANY_VALUES, rows / 2):
        raise RecipeError(f"{name}: {values} values in {rows} rows are free text, not labels")


def pattern_values(pattern: str, text: str) -> list[str]:
    """What fits a schema's pattern in a text, as whole words, in order."""
    inner = pattern.removeprefix("^").removesuffix("$")
    return [found[0] for found in re.finditer(rf"(?<!\w)(?:{inner})(?!\w)", text)]


def _pick(name: str, rule: Mapping, known: list, nullable: bool) -> Callable[[str], list]:
    """A function from an input to the values that one property may have there."""
    if not (known or nullable or "pattern" in rule) or any(isinstance(value, list | dict) for value in known):
        raise RecipeError(f"{name}: neither the schema nor the rows tell its values as plain texts or numbers")

    def stands_in(text, value):
        shown = value if isinstance(value, str) else json.dumps(value)
        return re.search(rf"(?<!\w){re.escape(shown)}", text, re.IGNORECASE)

    def pick(text: str) -> list:
        if "pattern" in rule:
            values = pattern_values(rule["pattern"], text)
        else:
            values = [value for value in known if stands_in(text, value)]
        return [*([None] if nullable else []), *(values or ([] if nullable else known))]

    return pick


def _listed(rule: Mapping) -> list | None:
    """The values that one property's schema lists; None when it lists none."""
    if "enum" in rule:
        return list(rule["enum"])
    if "const" in rule:
        return [rule["const"]]
    return [False, True] if rule.get("type") == "boolean" else None


def _likeliest(cached, record: dict, name: str, values: list, names: list[str], batch_size: int):
    """The best value of a field and its share; `record` holds the fields before it."""
    from scipy.special import softmax

    if len(values) == 1:
        return values[0], 1.0
    later = names[names.index(name) + 1 :]
    texts = [json.dumps(record | {name: value}, ensure_ascii=False) for value in values]
    if later:  # up to the next key, so that a value cannot win as the beginning of a longer one
        next_key = json.dumps(later[0], ensure_ascii=False)[:-1]
        texts = [f"{text[:-1]}, {next_key}" for text in texts]
    scores = cached.log_probs(texts, ended=not later, batch_size=batch_size)
    best = int(scores.argmax())
    return values[best], float(softmax(scores)[best])


class _CachedPrompt:
    """A prompt, read once."""

    def __init__(self, model, tokenizer, chat: Sequence[dict]):
        import torch
        from transformers import DynamicCache

        self.model, self.tokenizer = model, tokenizer
        self.ids = prompt_ids(tokenizer, chat)
        out = model(torch.tensor([self.ids]).to(model.device), use_cache=True)
        kept = out.past_key_values  # on a GPU Unsloth gives plain pairs (keys, values), one a layer
        self.cache = kept if hasattr(kept, "batch_repeat_interleave") else DynamicCache(kept)
        self.first = out.logits[:, -1:]

    def log_probs(self, texts: Sequence[str], ended: bool, batch_size: int) -> np.ndarray:
        """Log-probability of each text right after the prompt, with the end token where `ended`; shape (texts,)."""
        end = end_token_ids(self.model, self.tokenizer)[:1] if ended else []
        rows = [self.tokenizer(text, add_special_tokens=False)["input_ids"] + end for text in texts]
        check_lengths([self.ids], max(map(len, rows)), positions(self.model))
        return np.concatenate([self._scores(rows[at : at + batch_size]) for at in range(0, len(rows), batch_size)])

    def _scores(self, rows: list[list[int]]) -> np.ndarray:
        import torch

        ids, mask = padded(rows, self.model.device)
        places = torch.arange(len(self.ids), len(self.ids) + ids.shape[1], device=ids.device)
        cache = copy.deepcopy(self.cache)  # the model writes into the cache that it is given
        cache.batch_repeat_interleave(len(rows))
        logits = self.model(
            input_ids=ids,
            attention_mask=torch.cat([mask.new_ones(len(rows), len(self.ids)), mask], dim=1),
            position_ids=places.expand(len(rows), -1),
            past_key_values=cache,
            use_cache=True,
        ).logits
        before = torch.cat([self.first.expand(len(rows), -1, -1), logits[:, :-1]], dim=1)  # what predicts each token
        log_probs = before.float().log_softmax(dim=-1).gather(-1, ids[:, :, None])[:, :, 0]
        return (log_probs * mask).sum(dim=1).double().cpu().numpy()


def _distinct(values, name: str) -> list:
    """The values without repetition, in their order (true is not 1)."""
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise DataError(f"{name}: give a list with at least one value (None for null), not {values!r}")
    try:
        return list({json.dumps(value): value for value in values}.values())
    except TypeError as error:
        raise DataError(f"{name}: every value must be one that JSON knows ({error})") from error
