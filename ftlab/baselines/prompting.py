"""Baselines to beat: the best prompt that a fair search on the validation set finds."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from ftlab.errors import DataError, RecipeError
from ftlab.evaluation.generation import generate
from ftlab.evaluation.metrics import score_records
from ftlab.evaluation.statistics import Interval


@dataclass(frozen=True, repr=False)
class Prompt:
    """A wording, and perhaps solved examples, put in front of each input."""

    name: str
    instruction: str
    shots: tuple[tuple[str, str], ...] = ()  # (input, answer)
    place: str = "system"  # or "user": the instruction stands in front of each input

    @property
    def kind(self) -> str:
        """ "few_shot" with solved examples, "zero_shot" without."""
        return "few_shot" if self.shots else "zero_shot"

    def messages(self, text: str) -> list[dict]:
        """The chat to answer for one input."""

        def user(t):
            return {"role": "user", "content": f"{self.instruction}\n{t}" if self.place == "user" else t}

        turns = [{"role": "system", "content": self.instruction}] if self.place == "system" else []
        for shot, answer in self.shots:
            turns += [user(shot), {"role": "assistant", "content": answer}]
        return [*turns, user(text)]

    def __repr__(self):
        return f"{self.name}: {len(self.shots)} examples, instruction in the {self.place} turn\n{self.instruction}"


@dataclass(frozen=True, repr=False)
class Candidate:
    """A prompt and what it reached on the validation set."""

    prompt: Prompt
    field_accuracy: Interval
    valid_json: Interval
    tokens_per_call: float

    def __repr__(self):
        return (
            f"{self.prompt.name:<16} {self.prompt.kind:<9} field accuracy {self.field_accuracy}, "
            f"valid JSON {self.valid_json}, {self.tokens_per_call:.0f} tokens a call"
        )


@dataclass(frozen=True, repr=False)
class PromptSearch:
    """Candidates, best first."""

    candidates: tuple[Candidate, ...]

    def best(self, kind: str | None = None) -> Prompt:
        """The prompt with the highest field accuracy, of one kind or of all."""
        found = [c.prompt for c in self.candidates if kind in (None, c.prompt.kind)]
        if not found:
            raise RecipeError(f"no prompt of kind {kind} was tried: give search_prompts wordings and shots.")
        return found[0]

    def __repr__(self):
        return "\n".join(map(repr, self.candidates))

    def _repr_html_(self):
        import pandas as pd

        rows = [
            {
                "prompt": c.prompt.name,
                "kind": c.prompt.kind,
                "examples": len(c.prompt.shots),
                "field accuracy": repr(c.field_accuracy),
                "valid JSON": repr(c.valid_json),
                "tokens a call": f"{c.tokens_per_call:.0f}",
            }
            for c in self.candidates
        ]
        return pd.DataFrame(rows).to_html(index=False)


def input_and_answer(row: dict) -> tuple[str, str]:
    """The last user turn and the last assistant turn of a chat row."""
    users = [m["content"] for m in row["messages"] if m["role"] == "user"]
    return users[-1], row["messages"][-1]["content"]


def read_prompts(path: str | Path) -> list[Prompt]:
    """Wordings from a YAML file: a list of {name, instruction, place}."""
    path = Path(path)
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not readable as YAML in UTF-8: {error}; correct it") from error
    if not isinstance(entries, list) or not entries:
        raise RecipeError(f"{path}: must be a list of prompts with name, instruction and place.")
    prompts = []
    for number, entry in enumerate(entries, 1):
        unknown = entry.keys() - {"name", "instruction", "place"} if isinstance(entry, dict) else {"no mapping"}
        if unknown or not all(isinstance(entry.get(k), str) and entry[k].strip() for k in ("name", "instruction")):
            raise RecipeError(
                f"{path}: prompt {number} needs name and instruction as texts (and place: system or user)"
                + (f"; unknown: {', '.join(sorted(map(str, unknown)))}" if unknown else "")
            )
        if entry.get("place", "system") not in ("system", "user"):
            raise RecipeError(f"{path}: prompt {number}, place: must be system or user")
        prompts.append(Prompt(entry["name"], entry["instruction"].strip(), (), entry.get("place", "system")))
    if len({p.name for p in prompts}) < len(prompts):
        raise RecipeError(f"{path}: two prompts have the same name.")
    return prompts


def with_shots(prompt: Prompt, rows: Sequence[dict], k: int, seed: int = 0) -> Prompt:
    """The same prompt with k solved examples drawn from `rows` (training rows, never test rows)."""
    if k > len(rows):
        raise DataError(f"{k} solved examples from {len(rows)} rows: ask for fewer, or give more rows")
    chosen = random.Random(seed).sample(list(rows), k)
    return Prompt(f"{prompt.name}+{k}s{seed}", prompt.instruction, tuple(map(input_and_answer, chosen)), prompt.place)


def try_prompts(
    model,
    tokenizer,
    prompts: Sequence[Prompt],
    rows: Sequence[dict],
    max_new_tokens: int = 96,
    batch_size: int = 50,
    progress: bool = False,
) -> PromptSearch:
    """Score each prompt on `rows` (the validation set: choosing on the test set would flatter the prompt)."""
    pairs = [input_and_answer(row) for row in rows]
    references = [answer for _, answer in pairs]
    candidates = []
    for prompt in prompts:
        out = generate(
            model, tokenizer, [prompt.messages(text) for text, _ in pairs], max_new_tokens, batch_size, progress
        )
        summary = score_records(out.texts, references).summary()
        candidates.append(Candidate(prompt, summary["field_accuracy"], summary["valid_json"], out.tokens_per_call))
    return PromptSearch(tuple(sorted(candidates, key=lambda c: -c.field_accuracy.value)))


def search_prompts(
    model,
    tokenizer,
    wordings: Sequence[Prompt],
    rows: Sequence[dict],
    shot_rows: Sequence[dict],
    shots: Sequence[int] = (1, 2, 4),
    seeds: Sequence[int] = (0, 1),
    **generation,
) -> PromptSearch:
    """All wordings without examples; then the two best ones with 1, 2, 4 examples, each from several draws."""
    zero = try_prompts(model, tokenizer, wordings, rows, **generation)
    few = [with_shots(c.prompt, shot_rows, k, seed) for c in zero.candidates[:2] for k in shots for seed in seeds]
    both = (*zero.candidates, *try_prompts(model, tokenizer, few, rows, **generation).candidates)
    return PromptSearch(tuple(sorted(both, key=lambda c: -c.field_accuracy.value)))
