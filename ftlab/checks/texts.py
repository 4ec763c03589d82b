"""What the checks share: the texts and the answers of a row, short forms of them, what many rows do, typing errors."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from rapidfuzz.distance import OSA

from ftlab.checks import privacy
from ftlab.data.findings import Finding, Row, content_field, walk
from ftlab.data.jsonl import json_container
from ftlab.errors import shown

MEANT = 0.1  # beyond this share of the rows a finding is given once
FEW = 20  # below this number of texts nothing is said about what is usual


class TrainedAnswer(NamedTuple):
    """One trained assistant turn: `value` is its JSON object or list, None where it has none."""

    row: Row
    field: str
    text: str
    asked: str  # the user turn before it
    value: object
    is_last: bool

    @property
    def prompt(self) -> str:
        """All texts of the row before its last turn."""
        texts = (turn.get("content") for turn in self.row.data["messages"][:-1])
        return "\n".join(text for text in texts if isinstance(text, str))


def trained_answers(rows: Iterable[Row]) -> Iterator[TrainedAnswer]:
    """Every assistant turn that is a text and is trained on."""
    for row in rows:
        asked, messages = "", row.data["messages"]
        for index, turn in enumerate(messages):
            text = turn.get("content")
            if not isinstance(text, str):
                continue
            if turn["role"] == "user":
                asked = text
            elif turn["role"] == "assistant" and turn.get("weight") != 0 and not turn.get("tool_calls"):
                is_last = index == len(messages) - 1
                yield TrainedAnswer(row, content_field(index), text, asked, json_container(text), is_last)


def texts(row: Row) -> Iterator[tuple[dict, str, str]]:
    """Yield (turn, field, text) of every turn that has a text, those of a rejected answer too."""
    for name in ("messages", "rejected"):
        for place, turn in enumerate(row.data.get(name) or ()):
            if isinstance(turn.get("content"), str):
                yield turn, f"{name}[{place}].content", turn["content"]


def leaves(value) -> Iterator[tuple[str, object]]:
    """Each text, number, true, false and null of a JSON value; the items of a list share the path `[]`."""
    for path, item, _ in walk(value):
        if not isinstance(item, dict | list):
            yield re.sub(r"\[\d+\]", "[]", path) if "[" in path else path, item


def once_if_meant(findings: list[Finding], rows: Sequence[Row]) -> list[Finding]:
    """The findings; or one of the whole file, with the first place and the number, where so many may be meant."""
    if len(findings) <= max(3, MEANT * len(rows)):
        return findings
    first = findings[0]
    more = f" (so in {len(findings)} places, the first is line {first.line}: so many may be meant)"
    return [replace(first, severity="info", line=None, message=first.message + more)]


def excerpt(text: str, length: int = 40) -> str:
    """A text in a message: short, private pieces masked."""
    return shown(privacy.mask_private(text[: 10 * length]), length)


def is_typo(a: str, b: str) -> bool:
    """One letter more, less or other, or two neighbours swapped, in five letters or more; never the first or a digit.

    In shorter words (now, not), and in scripts beyond Latin, Greek and Cyrillic, a letter makes another word.
    """
    if min(len(a), len(b)) < 5 or a[0] != b[0] or max(a + b) >= "\u0590":
        return False
    return OSA.distance(a, b, score_cutoff=1) == 1 and re.sub(r"\D", "", a) == re.sub(r"\D", "", b)
