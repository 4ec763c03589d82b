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
from ftlab.evaluation.answers import answer_kind, score
from ftlab.evaluation.generation import Generations, generate
from ftlab.evaluation.metrics import parse_record
from ftlab.evaluation.statistics import Interval
from ftlab.settings import Settings, Text, fit, read_text
from ftlab.tables import html_table, readable

SELECT = ("random", "balanced", "similar")
Asked = str | tuple[dict, ...]  # what a row asks: the one turn of its user, or several turns that end with the user's


def text_of(asked: Asked) -> str:
    """What is asked as one text, for whoever reads words and not turns."""
    return asked if isinstance(asked, str) else "\n".join(str(turn.get("content") or "") for turn in asked)


class SimilarShots:
    """Picks, for each input anew, the k solved examples whose inputs share the most and rarest words with it (BM25)."""

    def __init__(self, pairs: Sequence[tuple[Asked, str]], k: int):
        self.pairs, self.k = tuple(pairs), k
        self._texts = [text_of(asked) for asked, _ in self.pairs]
        self._copies = Counter(self._texts)
        self._index = Bm25([Chunk(str(i), str(i), 0, text) for i, text in enumerate(self._texts)])

    def __call__(self, asked: Asked) -> tuple[tuple[Asked, str], ...]:
        """The k examples, the likest last; one with the very same input is left out, since it would tell the answer."""
        text = text_of(asked)
        hits = self._index.search(text, self.k + self._copies[text])
        found = [int(hit.chunk.id) for hit in hits]
        rest = (i for i in range(len(self.pairs)) if i not in found)  # where too few share a word with the input
        usable = [i for i in (*found, *rest) if self._texts[i] != text][: self.k]
        return tuple(self.pairs[i] for i in reversed(usable))


@dataclass(frozen=True, repr=False)
class Prompt:
    """A wording, and perhaps solved examples, put in front of each input."""

    name: str
    instruction: str
    shots: tuple[tuple[Asked, str], ...] = ()  # (input, answer)
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

    def messages(self, asked: Asked) -> list[dict]:
        """The chat to answer for one input; solved examples stand before all its turns."""

        def turns_of(asked):
            turns = [{"role": "user", "content": asked}] if isinstance(asked, str) else list(asked)
            if self.place == "user":
                first = next(i for i, turn in enumerate(turns) if turn["role"] == "user")
                turns[first] = turns[first] | {"content": f"{self.instruction}\n{turns[first]['content']}"}
            return turns

        turns = [{"role": "system", "content": self.instruction}] if self.place == "system" else []
        for shot, answer in (*self.shots, *(self.pick(asked) if self.pick else ())):
            turns += [*turns_of(shot), {"role": "assistant", "content": answer}]
        return [*turns, *turns_of(asked)]

    def __repr__(self):
        return f"{self.name}: {self.examples} examples, instruction in the {self.place} turn\n{self.instruction}"


@dataclass(frozen=True, repr=False)
class Candidate:
    """A prompt and what it reached on the validation set: each metric of the kind of answers, the default first."""

    prompt: Prompt
    metrics: dict[str, Interval]
    tokens_per_call: float

    def __repr__(self):
        seen = ", ".join(f"{readable(name)} {interval}" for name, interval in self.metrics.items())
        return f"{self.prompt.name:<24} {self.prompt.kind:<9} {seen}, {self.tokens_per_call:.0f} tokens a call"


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
        names = list(self.candidates[0].metrics)
        rows = [("prompt", "kind", "examples", *map(readable, names), "tokens a call")]
        rows += [(c.prompt.name, c.prompt.kind, c.prompt.examples, *(repr(c.metrics[name]) for name in names),
                  f"{c.tokens_per_call:.0f}") for c in self.candidates]  # fmt: skip
        return html_table(rows)


def input_and_answer(row: dict) -> tuple[Asked, str]:
    """What a chat row asks, without its system turn, and the answer that ends it."""
    *turns, answer = [turn for turn in row["messages"] if turn["role"] != "system"]
    return turns[0]["content"] if [turn["role"] for turn in turns] == ["user"] else tuple(turns), answer["content"]


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
    kind: str | None = None,
    metric: str | None = None,
    answer: Callable | None = None,
) -> PromptSearch:
    """Score each prompt on `rows` (the validation set: choosing on the test set would flatter the prompt).

    `kind` is what their answers are (record, label or text; None: found out), `metric` what ranks (None: the kind's).
    `model` is a model on this machine with its tokenizer, or an `Endpoint` with None (it sends only with confirm=True).
    `answer(prompt, inputs)` answers in its place, as in `rank_prompts`.
    """

    def write(prompt, inputs):
        chats = [prompt.messages(text) for text in inputs]
        if isinstance(model, Endpoint):
            return model.answer(chats, max_new_tokens, confirm, progress)
        return generate(model, tokenizer, chats, max_new_tokens, batch_size, progress)

    return rank_prompts(prompts, rows, answer or write, kind, metric)


def rank_prompts(
    prompts: Iterable[Prompt],
    rows: Sequence[dict],
    answer: Callable[[Prompt, list[Asked]], Generations],
    kind: str | None = None,
    metric: str | None = None,
) -> PromptSearch:
    """Score each prompt by what `answer(prompt, inputs)` gives for the inputs of `rows`; the best by `metric` first."""
    pairs = [input_and_answer(row) for row in rows]
    inputs, references = [asked for asked, _ in pairs], [right for _, right in pairs]
    kind, candidates = kind or answer_kind(references), []
    for prompt in prompts:
        out = answer(prompt, inputs)
        scores = score(kind, out.texts, references)
        summary = scores.summary()
        metrics = {name: summary[name] for name in scores.metrics}
        candidates.append(Candidate(prompt, metrics, out.tokens_per_call))
    return _best_first(candidates, metric)


def _best_first(candidates: Sequence[Candidate], metric: str | None) -> PromptSearch:
    known = candidates[0].metrics if candidates else ()
    if metric not in (None, *known):
        raise RecipeError(f"metric {metric!r} is unknown here: choose one of {', '.join(known)}")
    metric = metric or next(iter(known), None)
    return PromptSearch(tuple(sorted(candidates, key=lambda c: -c.metrics[metric].value)))


def search_prompts(
    model,
    tokenizer,
    wordings: Sequence[Prompt],
    rows: Sequence[dict],
    shot_rows: Sequence[dict],
    shots: Sequence[int] = (2, 4),
    seeds: Sequence[int] = (0,),
    select: Sequence[str] = SELECT,
    metric: str | None = None,
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
