"""The labels in the answers: how often each occurs, spellings of one label, labels that hardly occur.

A label is a whole answer, or a value in a JSON answer, of a set that is closed: few values, each of which comes back.
"""

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ftlab.checks.lists import word_list
from ftlab.checks.texts import FEW, MEANT, TrainedAnswer, excerpt, is_typo, leaves, trained_answers
from ftlab.data.findings import Finding, Row, finding
from ftlab.data.jsonl import json_container
from ftlab.data.similar import normalise
from ftlab.tables import html_table

LABEL_LETTERS = 60  # a longer value is no label
SHOWN_LABELS = 60  # of a table that is displayed


@dataclass(frozen=True)
class LabelTable:
    """How often each value of `field` occurs (`""` is the whole answer), most frequent first."""

    field: str
    counts: dict[str, int]
    rows: int
    missing: int  # rows whose answer has no such field

    @property
    def balance(self) -> float:
        """Entropy of the values over its largest possible value: 1 is even, near 0 is one value only."""
        total = sum(self.counts.values())
        if len(self.counts) < 2:
            return 0.0
        shares = [count / total for count in self.counts.values()]
        return -sum(share * math.log(share) for share in shares) / math.log(len(shares))

    def _repr_html_(self):
        rows = [(value, count, f"{count / self.rows:.1%}") for value, count in self.counts.items()]
        more = [f"and {len(rows) - SHOWN_LABELS} more"] if len(rows) > SHOWN_LABELS else []
        return html_table([(self.field or "answer", "rows", "share"), *rows[:SHOWN_LABELS]], after=more)


def label_table(rows: Sequence[Row | dict], field: str = "") -> LabelTable:
    """Count the values of one field of the JSON answers (`a.b`, `tags[]` for list items), or the whole answers.

    Where no answer is JSON, such as one-word labels, the whole answers are counted whatever the field.
    """
    last = _last_answers([row if isinstance(row, Row) else Row(row, "", number) for number, row in enumerate(rows, 1)])
    field = field if any(answer.value is not None for answer in last) else ""
    counts, missing = Counter(), len(rows)
    for answer in last:
        found = leaves(answer.value) if field else [("", answer.text.strip())]
        values = {_as_label(value) for path, value in found if path == field}
        counts.update(values)
        missing -= bool(values)
    return LabelTable(field, dict(counts.most_common()), len(rows), missing)


def find_label_problems(rows: Sequence[Row]) -> list[Finding]:
    """Labels spelt in two ways, and labels that hardly occur; fields of free text are left alone."""
    last = _last_answers(rows)
    fields, variants, spelt, rare = _fields(last), defaultdict(list), set(), {}
    for answer, path, value in _labels(last):
        field, label = fields[path], _as_label(value)
        if _is_variant(answer, value, field.better):
            right = _as_label(field.better[value])
            values = (_named(path, label), field.counts[label], excerpt(right), field.counts[right])
            variants[path].append(finding("label_variant", answer.row, answer.field, *values))
            spelt.add((path, label))
        elif label in field.rare and (path, label) not in rare:  # reported once, where it stands first
            values = (_named(path, label), field.counts[label], len(rows))
            rare[path, label] = finding("rare_label", answer.row, answer.field, *values)
    left = [rare[place] for place in rare if place not in spelt]
    return [each for found in variants.values() for each in found] + left


def label_repairs(rows: Sequence[Row]) -> Iterator[tuple[Row, str, str, str]]:
    """Yield (row, field, text, better text) for each answer with a label variant that can be replaced safely."""
    last = _last_answers(rows)
    better = {path: field.better for path, field in _fields(last).items()}
    for answer, path, value in _labels(last):
        if _is_variant(answer, value, better[path]):
            text = _with_label(answer, path, value, better[path][value])
            if text is not None:
                yield answer.row, answer.field, answer.text, text


def _named(path, label):
    return f"{path}: {excerpt(label)}" if path else excerpt(label)


# the values


def _last_answers(rows) -> list[TrainedAnswer]:
    return [answer for answer in trained_answers(rows) if answer.is_last]


def _labels(answers: list[TrainedAnswer]) -> Iterator[tuple[TrainedAnswer, str, object]]:
    """Each value of the answers: field by field where they are JSON, else the whole answer at the path ""."""
    for answer in answers:
        for path, value in [("", answer.text.strip())] if answer.value is None else leaves(answer.value):
            yield answer, path, value


def _as_label(value) -> str:
    """Text for a label; the string "null" keeps its quotes so that it is not taken for null."""
    return value if isinstance(value, str) and value not in ("null", "true", "false") else json.dumps(value)


class _Field(NamedTuple):
    """What is known of the values of one field."""

    counts: Counter  # by label; None stands for all that are too long to be one
    rare: set[str]
    better: dict[str, str | None]  # value: the one that is meant, None for null


def _fields(answers: list[TrainedAnswer]) -> dict[str, _Field]:
    counts, texts = defaultdict(Counter), defaultdict(Counter)
    for _, path, value in _labels(answers):
        label = _as_label(value)
        counts[path][label if len(label) <= LABEL_LETTERS else None] += 1
        if isinstance(value, str) and len(label) <= LABEL_LETTERS:
            texts[path][value] += 1
    return {path: _field(counts[path], texts[path]) for path in counts}


def _field(counts: Counter, texts: Counter) -> _Field:
    rare, better = set(), {}
    if counts["null"] >= max(3, MEANT / 2 * counts.total()):
        better = {value: None for value in texts if value.strip().lower() in word_list("null_words")}
    if _is_closed_set(counts):
        least = min(10, max(3, counts.total() / 200))
        rare = {label for label, count in counts.items() if count < least}
        better |= _spellings({value: count for value, count in texts.items() if value not in better})
    return _Field(counts, rare, better)


def _is_closed_set(counts: Counter) -> bool:
    """True when few distinct values, each of which comes back, make up nearly all that was seen, null left out."""
    total = counts.total() - counts["null"]
    frequent = [count for label, count in counts.items() if count >= 3 and label not in (None, "null")]
    return total >= FEW and 0 < len(frequent) <= 200 and sum(frequent) >= (1 - MEANT) * total


# spellings


def _spellings(counts: dict[str, int]) -> dict[str, str]:
    """Value: better value, for another case or spacing, or one typo from a far more frequent value."""
    better, by_key = {}, defaultdict(list)
    for value in sorted(counts, key=lambda value: (-counts[value], value)):
        by_key[_key(value)].append(value)
    for first, *others in by_key.values():
        better |= {other: first for other in others if 3 * counts[other] <= counts[first]}
    frequent = [value for value in counts if counts[value] >= 5]
    for value in counts.keys() - better.keys():
        typed = value.casefold()
        near = [each for each in frequent if 20 * counts[value] <= counts[each] and is_typo(typed, each.casefold())]
        if near:
            better[value] = max(near, key=lambda other: (counts[other], other))
    return better


def _key(value):
    return re.sub(r"[\s_-]+", " ", normalise(value)).strip()


def _is_variant(answer, value, better) -> bool:
    """Whether a value of an answer has a better one; what is copied from the prompt is no typo."""
    if not isinstance(value, str) or value not in better:
        return False
    is_respelt = better[value] is None or _key(value) == _key(better[value])
    return is_respelt or value.lower() not in answer.prompt.lower()


def _with_label(answer, path, value, better):
    """The answer with one value replaced and every other character as it was; None where that is not certain."""
    if path == "":
        return answer.text.replace(value, better) if better is not None else None
    goal = _replaced(answer.value, path, value, better)
    for quoted in {json.dumps(value), json.dumps(value, ensure_ascii=False)}:
        new = json.dumps(better, ensure_ascii=quoted.isascii())
        for match in re.finditer(re.escape(quoted), answer.text):
            text = answer.text[: match.start()] + new + answer.text[match.end() :]
            if json_container(text) == goal:
                return text
    return None


def _replaced(container, path, old, new, at=""):
    """A copy of a JSON value in which `old` at `path` has become `new`."""
    if isinstance(container, dict):
        return {key: _replaced(item, path, old, new, f"{at}.{key}" if at else key) for key, item in container.items()}
    if isinstance(container, list):
        return [_replaced(item, path, old, new, f"{at}[]") for item in container]
    return new if at == path and container == old else container
