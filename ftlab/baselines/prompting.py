"""Baselines to beat: the best prompt that a fair search on the validation set finds."""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field

from ftlab.baselines.endpoint import Endpoint
from ftlab.baselines.retrieval import Bm25, Chunk, Hit
from ftlab.errors import DataError, RecipeError
from ftlab.evaluation.generation import Generations, generate
from ftlab.evaluation.metrics import parse_record, score_records
from ftlab.evaluation.statistics import Interval
from ftlab.settings import Settings, Text, fit, read_text
from ftlab.tables import html_table

SELECT = ("random", "balanced", "similar")


class SimilarShots:
    """Picks, for each input anew, the k solved examples whose inputs share the most and rarest words with it (BM25)."""

    def __init__(self, pairs: Sequence[tuple[str, str]], k: int):
        self.pairs, self.k = tuple(pairs), k
        self._copies = Counter(text for text, _ in self.pairs)
        self._index = Bm25([Chunk(str(i), str(i), 0, text) for i, (text, _) in enumerate(self.pairs)])

    def __call__(self, text: str) -> tuple[tuple[str, str], ...]:
        """The k examples, the likest last; one with the very same input is left out, since it would tell the answer."""
        hits = self._index.search(text, self.k + self._copies[text])
        found = [int(hit.chunk.id) for hit in hits]
        rest = (i for i in range(len(self.pairs)) if i not in found)  # where too few share a word with the input
        usable = [i for i in (*found, *rest) if self.pairs[i][0] != text][: self.k]
        return tuple(self.pairs[i] for i in reversed(usable))


@dataclass(frozen=True, repr=False)
class Prompt:
    """A wording, and perhaps solved examples, put in front of each input."""

    name: str
    instruction: str
    shots: tuple[tuple[str, str], ...] = ()  # (input, answer)
    place: str = "system"  # or "user": the instruction stands in front of each input
    pick: SimilarShots | None = None  # more solved examples, after `shots`, chosen anew for each input

    @property
    def examples(self) -> int:
        """Solved examples in front of each input."""
        return len(self.shots) + (self.pick.k if self.pick else 0)

    @property
    def kind(self) -> str:
        """ "few_shot" with solved examples, "zero_shot" without."""
        return "few_shot" if self.examples else "zero_shot"

    def messages(self, text: str) -> list[dict]:
        """The chat to answer for one input."""

        def user(t):
            return {"role": "user", "content": f"{self.instruction}\n{t}" if self.place == "user" else t}

        turns = [{"role": "system", "content": self.instruction}] if self.place == "system" else []
        for shot, answer in (*self.shots, *(self.pick(text) if self.pick else ())):
            turns += [user(shot), {"role": "assistant", "content": answer}]
        return [*turns, user(text)]

    def __repr__(self):
        return f"{self.name}: {self.examples} examples, instruction in the {self.place} turn\n{self.instruction}"


@dataclass(frozen=True, repr=False)
class Candidate:
    """A prompt and what it reached on the validation set."""

    prompt: Prompt
    field_accuracy: Interval
    exact_match: Interval
    valid_json: Interval
    tokens_per_call: float

    def __repr__(self):
        return (
            f"{self.prompt.name:<24} {self.prompt.kind:<9} field accuracy {self.field_accuracy}, "
            f"valid JSON {self.valid_json}, {self.tokens_per_call:.0f} tokens a call"
        )


@dataclass(frozen=True, repr=False)
class PromptSearch:
    """Candidates, best first."""

    candidates: tuple[Candidate, ...]

    def best(self, kind: str | None = None) -> Prompt:
        """The first prompt, of one kind or of all."""
        found = [c.prompt for c in self.candidates if kind in (None, c.prompt.kind)]
        if not found:
            raise RecipeError(f"no prompt of kind {kind} was tried: give search_prompts wordings and shots.")
        return found[0]

    def __repr__(self):
        return "\n".join(map(repr, self.candidates))

    def _repr_html_(self):
        rows = [("prompt", "kind", "examples", "field accuracy", "valid JSON", "tokens a call")]
        rows += [(c.prompt.name, c.prompt.kind, c.prompt.examples, repr(c.field_accuracy), repr(c.valid_json),
                  f"{c.tokens_per_call:.0f}") for c in self.candidates]  # fmt: skip
        return html_table(rows)


def input_and_answer(row: dict) -> tuple[str, str]:
    """The last user turn and the last assistant turn of a chat row."""
    users = [m["content"] for m in row["messages"] if m["role"] == "user"]
    return users[-1], row["messages"][-1]["content"]


class Wording(Settings):
    """One prompt of a file."""

    name: Text = Field(description="a text, in quotes if it is a number")
    instruction: Text = Field(description="a text: what the model is asked to do")
    place: Literal["system", "user"] = "system"


class Wordings(Settings):
    """The prompts of a file."""

    prompts: list[Wording] = Field(min_length=1, description="a list of prompts with name, instruction and place")


def read_prompts(path: str | Path) -> list[Prompt]:
    """Wordings from a YAML file: a list of {name, instruction, place}; RecipeError names what is wrong in it."""
    path = Path(path)
    try:
        entries = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: not readable as YAML: {error}; correct it") from error
    found, problems = fit({"prompts": entries}, Wordings)
    if problems:
        lines = [_place(at) + text for at, text in problems]
        raise RecipeError("\n".join(f"{path}: {line}" for line in lines))
    if len({wording.name for wording in found.prompts}) < len(found.prompts):
        raise RecipeError(f"{path}: two prompts have the same name; rename one")
    return [Prompt(wording.name, wording.instruction, (), wording.place) for wording in found.prompts]


def _place(at: tuple) -> str:
    """ "prompt 2, name: " for the key path (prompts, 1, name)."""
    return ", ".join(["prompt " + str(at[1] + 1), *map(str, at[2:])]) + ": " if len(at) > 1 else ""


def with_shots(prompt: Prompt, rows: Sequence[dict], k: int, seed: int = 0, select: str = "random") -> Prompt:
    """The same prompt with k solved examples from `rows` (training rows, never test rows).

    "random": drawn by the seed. "balanced": drawn so that together they show as many different answers (field values
    of a record) as k examples can. "similar": chosen anew for each input, those most like it; the seed plays no part.
    """
    if select not in SELECT:
        raise RecipeError(f"select={select!r}: choose one of {', '.join(SELECT)}")
    if not 1 <= k <= len(rows):
        raise DataError(f"{k} solved examples from {len(rows)} rows: ask for at least one, or give more rows")
    pairs = [input_and_answer(row) for row in rows]
    if select == "similar":
        return replace(prompt, name=f"{prompt.name}+{k}similar", shots=(), pick=SimilarShots(pairs, k))
    drawn = random.Random(seed).sample(pairs, k if select == "random" else len(pairs))
    shots = drawn if select == "random" else _covering(drawn, k)
    return replace(prompt, name=f"{prompt.name}+{k}{select[0]}{seed}", shots=tuple(shots))


def _covering(pairs: list[tuple[str, str]], k: int) -> list[tuple[str, str]]:
    """k pairs, each the first of those that bring the most field values not shown so far."""
    values = [_values(answer) for _, answer in pairs]
    left, shown, chosen = list(range(len(pairs))), set(), []
    for _ in range(k):
        best = max(left, key=lambda i: len(values[i] - shown))
        left.remove(best)
        shown |= values[best]
        chosen.append(pairs[best])
    return chosen


def _values(answer: str) -> set:
    """The fields of a record with their values, or the answer as a whole."""
    record = parse_record(answer)
    return {answer} if record is None else {(name, json.dumps(value)) for name, value in record.items()}


def try_prompts(
    model,
    tokenizer,
    prompts: Sequence[Prompt],
    rows: Sequence[dict],
    max_new_tokens: int = 96,
    batch_size: int = 50,
    progress: bool = False,
    confirm: bool = False,
    metric: str = "field_accuracy",
) -> PromptSearch:
    """Score each prompt on `rows` (the validation set: choosing on the test set would flatter the prompt).

    `model` is a model on this machine with its tokenizer, or an `Endpoint` with None (it sends only with confirm=True).
    """

    def write(prompt, inputs):
        chats = [prompt.messages(text) for text in inputs]
        if isinstance(model, Endpoint):
            return model.answer(chats, max_new_tokens, confirm, progress)
        return generate(model, tokenizer, chats, max_new_tokens, batch_size, progress)

    return rank_prompts(prompts, rows, write, metric)


def rank_prompts(
    prompts: Iterable[Prompt],
    rows: Sequence[dict],
    answer: Callable[[Prompt, list[str]], Generations],
    metric: str = "field_accuracy",
) -> PromptSearch:
    """Score each prompt by what `answer(prompt, inputs)` gives for the inputs of `rows`; the best by `metric` first."""
    pairs = [input_and_answer(row) for row in rows]
    inputs, references = [text for text, _ in pairs], [right for _, right in pairs]
    candidates = []
    for prompt in prompts:
        out = answer(prompt, inputs)
        summary = score_records(out.texts, references).summary()
        levels = [summary[name] for name in ("field_accuracy", "exact_match", "valid_json")]
        candidates.append(Candidate(prompt, *levels, out.tokens_per_call))
    return _best_first(candidates, metric)


def _best_first(candidates: Iterable[Candidate], metric: str) -> PromptSearch:
    return PromptSearch(tuple(sorted(candidates, key=lambda c: -getattr(c, metric).value)))


def search_prompts(
    model,
    tokenizer,
    wordings: Sequence[Prompt],
    rows: Sequence[dict],
    shot_rows: Sequence[dict],
    shots: Sequence[int] = (2, 4),
    seeds: Sequence[int] = (0,),
    select: Sequence[str] = SELECT,
    metric: str = "field_accuracy",
    **settings,
) -> PromptSearch:
    """All wordings without examples; then the two best ones with examples, in each number and selection.

    Random and balanced examples are drawn once for each seed. `settings` are those of `try_prompts`.
    """
    zero = try_prompts(model, tokenizer, wordings, rows, metric=metric, **settings)
    draws = [(k, seed, how) for k in shots for how in select for seed in (seeds if how != "similar" else (0,))]
    few = [with_shots(c.prompt, shot_rows, *draw) for c in zero.candidates[:2] for draw in draws]
    return _best_first((*zero.candidates, *try_prompts(model, tokenizer, few, rows, **settings).candidates), metric)


def rag_messages(
    prompt: Prompt, question: str, hits: Sequence[Hit], shots: Sequence[tuple[str, Sequence[Hit], str]] = ()
) -> list[dict]:
    """The chat for one question: the chunks, best first and one a line, then the question.

    `shots` are solved examples (question, hits, answer), each with its own context.
    """

    def turn(asked, found):
        context = "\n".join(hit.chunk.text for hit in found)
        return f"Context:\n{context}\n\nQuestion: {asked}"

    solved = tuple((turn(asked, found), answer) for asked, found, answer in shots)
    return replace(prompt, shots=(*prompt.shots, *solved)).messages(turn(question, hits))
