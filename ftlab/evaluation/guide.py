"""A style guide that code can check, and pairs of answers made with it.

A guide is a YAML file, one point a line: `opens with`, `closes with` and `names ...` are a text that the answer must
open or close with or hold, with the row's facts in braces; `never says` is a list of words.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from ftlab.errors import DataError

OPENS, CLOSES, NAMES, NEVER = "opens with", "closes with", "names ", "never says"


def read_guide(path: str | Path) -> dict[str, str | list[str]]:
    """The points of a guide by name; DataError for a file that holds something else."""
    try:
        guide = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; check the path (now in {Path.cwd()})") from error
    except yaml.YAMLError as error:
        raise DataError(f"{path} is not YAML: {str(error).splitlines()[0]}; write one `name: text` a line") from error
    if not isinstance(guide, dict) or not guide:
        raise DataError(f"{path} holds no points: write one `name: text` a line")
    for name, value in guide.items():
        if name == NEVER:
            right, form = isinstance(value, list) and all(isinstance(word, str) for word in value), "a list of words"
        elif name in (OPENS, CLOSES) or str(name).startswith(NAMES):
            right, form = isinstance(value, str), "one text"
        else:
            raise DataError(f"{path}: point {name!r} is unknown; there are {OPENS}, {CLOSES}, {NAMES}..., {NEVER}")
        if not right or not value:
            raise DataError(f"{path}: point {name!r} must be {form}, not {value!r}")
    return guide


def points_kept(guide: Mapping, answer: str, facts: Mapping[str, str]) -> dict[str, bool]:
    """Which points of the guide an answer keeps; capitals count where a text is given, not in forbidden words."""
    kept, answer = {}, answer.strip()
    for name, value in guide.items():
        if name == NEVER:
            kept[name] = not re.search(rf"\b({'|'.join(map(re.escape, value))})\b", answer, re.IGNORECASE)
            continue
        try:
            text = value.format(**facts)
        except (KeyError, IndexError) as error:
            raise DataError(f"point {name!r} asks for {error} and the row's facts have {', '.join(facts)}") from error
        if name in (OPENS, CLOSES):
            kept[name] = answer.startswith(text) if name == OPENS else answer.endswith(text)
        else:
            kept[name] = bool(re.search(rf"\b{re.escape(text)}\b", answer))
    return kept


def points_of(guide: Mapping, answer: str, facts: Mapping[str, str]) -> int:
    """How many points of the guide an answer keeps."""
    return sum(points_kept(guide, answer, facts).values())


def best_and_worst(answers: Sequence[str], scores: Sequence[float], longer: bool = False) -> tuple[str, str] | None:
    """(chosen, rejected) of several answers to one message: the highest score against the lowest; None if equal.

    Among equals the first is taken; with `longer` the longest of the best and the shortest of the worst, as judges do
    who like length.
    """
    if len(answers) != len(scores):
        raise DataError(f"{len(answers)} answers and {len(scores)} scores: give one score an answer")
    if not len(answers) or min(scores) == max(scores):
        return None
    best = [answer for answer, score in zip(answers, scores, strict=True) if score == max(scores)]
    worst = [answer for answer, score in zip(answers, scores, strict=True) if score == min(scores)]
    return (max(best, key=word_count), min(worst, key=word_count)) if longer else (best[0], worst[0])


def word_count(text: str) -> int:
    """Words of a text, by white space."""
    return len(text.split())
