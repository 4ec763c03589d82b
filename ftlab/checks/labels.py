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

from rapidfuzz.distance import OSA

from ftlab.checks import privacy
from ftlab.checks.lists import words
from ftlab.data import schema
from ftlab.data.schema import Finding, Row
from ftlab.data.similar import normalise
from ftlab.errors import shown

MEANT = 0.1  # the share of other values that a closed set may have
FEW = 20  # below this number of values nothing is said about what is usual
LABEL_LETTERS = 60  # a longer value is no label
CODES = {
    "label_variant": ("warning", "{} occurs {} time(s) beside {} ({}): one spelling would be right (--fix)"),
    "rare_label": ("info", "{} occurs {} time(s) in {} rows: too few to learn and to test; add examples or merge it"),
}


@dataclass(frozen=True, repr=False)
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

    def to_dict(self) -> dict:
        """Ready for JSON."""
        values = {"rows": self.rows, "missing": self.missing, "balance": self.balance, "counts": self.counts}
        return {"field": self.field} | values

    def __repr__(self):
        name = self.field or "the whole answer"
        head = f"LabelTable({name}: {len(self.counts)} values in {self.rows} rows, balance {self.balance:.2f})"
        lines = [f"{count:8,}  {_excerpt(value, 60)}" for value, count in list(self.counts.items())[:30]]
        left = [f"... and {len(self.counts) - 30} more"] if len(self.counts) > 30 else []
        return "\n".join([head, *lines, *left, *([f"{self.missing:8,}  (no such field)"] if self.missing else [])])

    def _repr_html_(self):
        import pandas as pd

        rows = [(value, count, f"{count / self.rows:.1%}") for value, count in self.counts.items()]
        table = pd.DataFrame(rows, columns=[self.field or "answer", "rows", "share"])
        return table.to_html(index=False, max_rows=60)


def label_table(rows: Sequence[Row | dict], field: str = "") -> LabelTable:
    """Count the values of one field of the JSON answers (`a.b`, `tags[]` for list items), or the whole answers.

    Where no answer is JSON, such as one-word labels, the whole answers are counted whatever the field.
    """
    rows = [row if isinstance(row, Row) else Row(row, "", number) for number, row in enumerate(rows, 1)]
    answers = list(_answers(rows))
    field = field if any(answer.value is not None for answer in answers) else ""
    counts, missing = Counter(), len(rows)
    for answer in answers:
        found = leaves(answer.value) if field else [("", answer.text.strip())]
        values = {_as_label(value) for path, value in found if path == field}
        counts.update(values)
        missing -= bool(values)
    return LabelTable(field, dict(counts.most_common()), len(rows), missing)


def label_fields(rows: Sequence[Row]) -> list[str]:
    """The fields of the answers that are labels, a closed set of values; `""` stands for the whole answer."""
    return [path for path, values in _counts(rows).items() if _is_closed_set(_labels_of(values))]


def find_label_problems(rows: Sequence[Row]) -> list[Finding]:
    """Labels spelt in two ways, and labels that hardly occur; fields of free text are left alone."""
    fields = {path: _Field(values) for path, values in _counts(rows).items()}
    variants, spelt, rare = defaultdict(list), set(), defaultdict(dict)
    for answer, path, value in _labels(rows):
        field, label = fields[path], _as_label(value)
        if _is_variant(answer, value, field.better):
            right = _as_label(field.better[value])
            found = (_named(path, label), field.counts[label], _excerpt(right), field.counts[right])
            variants[path].append(schema.finding(CODES, "label_variant", answer.row, answer.field, *found))
            spelt.add((path, label))
        elif label in field.rare and label not in rare[path]:  # reported once, where it stands first
            found = (_named(path, label), field.counts[label], len(rows))
            rare[path][label] = schema.finding(CODES, "rare_label", answer.row, answer.field, *found)
    rest = (finding for path in rare for label, finding in rare[path].items() if (path, label) not in spelt)
    return [finding for path in variants for finding in variants[path]] + list(rest)


def label_repairs(rows: Sequence[Row]) -> Iterator[tuple[Row, str, str, str]]:
    """Yield (row, field, text, better text) for each answer with a label variant that can be replaced safely."""
    better = {path: _Field(values).better for path, values in _counts(rows).items()}
    for path in better:
        for answer, here, value in _labels(rows) if better[path] else ():
            if here == path and _is_variant(answer, value, better[path]):
                text = _with_label(answer, path, value, better[path][value])
                if text is not None:
                    yield answer.row, answer.field, answer.text, text


# the values


class _Answer(NamedTuple):
    """The last turn of a chat: `value` is its JSON object or list, None where it has none."""

    row: Row
    field: str
    text: str
    value: object


def _answers(rows) -> Iterator[_Answer]:
    for row in rows:
        messages = row.data["messages"]
        text = messages[-1].get("content")
        is_meant = messages[-1]["role"] == "assistant" and messages[-1].get("weight") != 0
        if isinstance(text, str) and is_meant and not messages[-1].get("tool_calls"):
            yield _Answer(row, schema.content_field(len(messages) - 1), text, schema.json_container(text))


def leaves(value) -> Iterator[tuple[str, object]]:
    """Each text, number, true, false and null of a JSON value; the items of a list share the path `[]`."""
    for path, item, _ in schema.walk(value):
        if not isinstance(item, dict | list):
            yield re.sub(r"\[\d+\]", "[]", path) if "[" in path else path, item


def _labels(rows) -> Iterator[tuple[_Answer, str, object]]:
    """Each value of the answers: field by field where they are JSON, else the whole answer at the path ""."""
    for answer in _answers(rows):
        for path, value in [("", answer.text.strip())] if answer.value is None else leaves(answer.value):
            yield answer, path, value


def _counts(rows) -> dict[str, Counter]:
    """How often each value of a field was seen: texts as they are, other values as (text,), long ones as a hash."""
    by_path = defaultdict(Counter)
    for _, path, value in _labels(rows):
        label = _as_label(value)
        key = hash(label) if len(label) > LABEL_LETTERS else value if isinstance(value, str) else (label,)
        by_path[path][key] += 1
    return by_path


def _as_label(value) -> str:
    """Text for a label; the string "null" keeps its quotes so that it is not taken for null."""
    return value if isinstance(value, str) and value not in ("null", "true", "false") else json.dumps(value)


def _labels_of(values: Counter) -> Counter:
    """How often each value was seen, as text."""
    counts = Counter()
    for value, count in values.items():
        counts[_as_label(value) if isinstance(value, str) else value[0] if isinstance(value, tuple) else value] += count
    return counts


def _is_closed_set(counts: Counter) -> bool:
    """True when few distinct values, each of which comes back, make up nearly all that was seen, null left out."""
    total = counts.total() - counts["null"]
    frequent = [count for label, count in counts.items() if count >= 3 and isinstance(label, str) and label != "null"]
    return total >= FEW and 0 < len(frequent) <= 200 and sum(frequent) >= (1 - MEANT) * total


class _Field:
    """What is known of the values of one field; `better` maps a value to the one that is meant, None for null."""

    def __init__(self, values: Counter):
        self.counts = _labels_of(values)
        closed = _is_closed_set(self.counts)
        least = min(10, max(3, self.counts.total() / 200))
        self.rare = {label for label, count in self.counts.items() if count < least} if closed else set()
        texts = {value: count for value, count in values.items() if isinstance(value, str)}
        self.better = {}
        if self.counts["null"] >= max(3, MEANT / 2 * values.total()):
            self.better |= {value: None for value in texts if value.strip().lower() in words("null_words")}
        if closed:
            self.better |= _spellings({value: count for value, count in texts.items() if value not in self.better})


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
        near = [other for other in frequent if 20 * counts[value] <= counts[other] and _is_typo(value, other)]
        if near:
            better[value] = max(near, key=lambda other: (counts[other], other))
    return better


def _key(value):
    return re.sub(r"[\s_-]+", " ", normalise(value)).strip()


def _is_typo(a: str, b: str) -> bool:
    """One letter added, left out, changed or swapped, not the first one or a digit, in five letters or more."""
    a, b = a.casefold(), b.casefold()
    if min(len(a), len(b)) < 5 or a[0] != b[0] or re.sub(r"\D", "", a) != re.sub(r"\D", "", b):
        return False
    if max(a + b) >= "\u0590":  # beyond Latin, Greek and Cyrillic a letter makes another word
        return False
    return OSA.distance(a, b, score_cutoff=1) == 1


def _is_variant(answer, value, better) -> bool:
    """Whether a value of an answer has a better one; what is copied from the prompt is no typo."""
    if not isinstance(value, str) or value not in better:
        return False
    is_typo = better[value] is not None and _key(value) != _key(better[value])
    return not is_typo or value.lower() not in _prompt(answer.row).lower()


def _prompt(row):
    texts = [turn.get("content") for turn in row.data["messages"][:-1]]
    return "\n".join(text for text in texts if isinstance(text, str))


def _with_label(answer, path, value, better):
    """The answer with one value replaced and every other character as it was; None where that is not certain."""
    if path == "":
        return answer.text.replace(value, better) if better is not None else None
    goal = _replaced(answer.value, path, value, better)
    for quoted in {json.dumps(value), json.dumps(value, ensure_ascii=False)}:
        new = json.dumps(better, ensure_ascii=quoted.isascii())
        for match in re.finditer(re.escape(quoted), answer.text):
            text = answer.text[: match.start()] + new + answer.text[match.end() :]
            if schema.json_container(text) == goal:
                return text
    return None


def _replaced(container, path, old, new, at=""):
    """A copy of a JSON value in which `old` at `path` has become `new`."""
    if isinstance(container, dict):
        return {key: _replaced(item, path, old, new, f"{at}.{key}" if at else key) for key, item in container.items()}
    if isinstance(container, list):
        return [_replaced(item, path, old, new, f"{at}[]") for item in container]
    return new if at == path and container == old else container


def _named(path, label):
    return f"{path}: {_excerpt(label)}" if path else _excerpt(label)


def _excerpt(text, length=40):
    return shown(privacy.mask_private(text[: 10 * length]), length)
