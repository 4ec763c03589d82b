"""A row and its place, and what can be wrong with it: the words in which every reader, check and export speaks.

Severities: an `error` is a row that cannot be used, a `warning` a row that some tools read differently,
an `info` something to know. Lines count from 1 as the file lies on disk; what is about the whole file has none, so that
who leaves out the lines with findings loses no sound row by it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from pathlib import Path

import yaml

from ftlab.errors import DataError
from ftlab.tables import html_table

MAX_DEPTH = 64  # of objects and lists inside one another
MAX_PER_ROW = 20  # findings of one severity reported for one row
_ELEMENT = re.compile(r"(?:data)?\[\d+\]")  # a row of a list in JSON
_TURN = re.compile(r"(messages|rejected)(?:\[(\d+)\](?:\.(\w+))?(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem: `field` is a path such as `messages[1].content`, empty when the whole line is meant.

    `line` is None for what is about the whole file.
    """

    code: str
    severity: str
    file: str
    line: int | None
    field: str
    message: str

    @property
    def place(self) -> str:
        """Where it stands, without the file."""
        return "the file" if self.line is None else f"line {self.line}"

    def __str__(self):
        place = f"{self.file}:{'' if self.line is None else self.line}"
        return f"{place} {self.field + ': ' if self.field else ''}{self.message}"


@dataclass(frozen=True, slots=True)
class Row:
    """One row in our form, `messages` with `rejected` or `label` beside it where it has them, and where it stands.

    `line` counts from 1 in the file as it lies on disk, None stands for the whole file (`file_of`); `at` is the place
    in that line where several rows share one, such as data[2]; `turns` says for `messages` and `rejected` where each
    turn stands in the source: (path, {our key: its key}), None instead of the keys for plain text. Without it the
    source has our own names.
    """

    data: dict
    file: str
    line: int | None
    at: str = ""
    turns: dict[str, list[tuple]] | None = None

    @property
    def place(self) -> tuple:
        """What tells the row from all others of its file."""
        return self.file, self.line, self.at

    def source_field(self, field: str) -> str:
        """The name that a field of `data` has in the source, such as completion for messages[1].content."""
        match = _TURN.fullmatch(field) if self.turns else None
        places = self.turns.get(match[1]) if match else None
        if not places:
            return field
        if match[2] is None:
            return re.match(r"\w+", places[0][0])[0]
        place, names = places[int(match[2])]
        if names is None:
            return place
        key = f".{names.get(match[3], match[3])}" if match[3] else ""
        return f"{place}{key}{match[4]}"


def file_of(row: Row) -> Row:
    """The place of a finding about the whole file in which a row stands."""
    return Row({}, row.file, None)


@cache
def codes(section: str | None = None) -> dict[str, list[str]]:
    """The codes of a section of findings.yaml, or all of them, each with its severity and its message."""
    text = Path(__file__).with_name("findings.yaml").read_text(encoding="utf-8")
    sections = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return sections[section] if section else {code: found for each in sections.values() for code, found in each.items()}


def severity_of(code: str) -> str:
    """error, warning or info."""
    return codes()[code][0]


def finding(code: str, row: Row, field: str, *values) -> Finding:
    """One problem of one row, named as the source names the field; each {} of its message takes one of `values`."""
    severity, message = codes()[code]
    field = row.source_field(field)
    field = f"{row.at}.{field}" if row.at and field else row.at or field
    file, field, text = map(_printable, (row.file, field[:200], message.format(*values)))
    return Finding(code.partition(".")[0], severity, file, row.line, field, text)


def as_findings(problems: Iterable[tuple], row: Row) -> list[Finding]:
    """Turn (code, field, *values) into findings, at most MAX_PER_ROW of each severity."""
    seen, findings = Counter(), []
    for code, field, *values in problems:
        seen[severity_of(code)] += 1
        if seen[severity_of(code)] <= MAX_PER_ROW:
            findings.append(finding(code, row, field, *values))
    return findings


def place_of(found: Finding) -> tuple:
    """The `Row.place` that a finding belongs to."""
    shared = _ELEMENT.match(found.field)
    return found.file, found.line, shared[0] if shared else ""


def in_order(found: Iterable) -> list:
    """Findings, or changes, by line; those about the whole file come first."""
    return sorted(found, key=lambda each: each.line or 0)


def errors_of(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that make a row unusable."""
    return [finding for finding in findings if finding.severity == "error"]


def raise_findings(findings: Sequence[Finding]) -> None:
    """Raise one DataError that lists the first findings and counts the others; do nothing without any."""
    if findings:
        raise DataError("\n".join(listing(findings)))


def listing(items: Sequence, show: int = 5) -> list[str]:
    """The first items as text, and how many are left."""
    left = len(items) - show
    return [str(item) for item in items[:show]] + ([f"... and {left} more"] if left > 0 else [])


def findings_dict(findings: Sequence[Finding]) -> dict:
    """Findings and their number by code, ready for JSON."""
    counts = dict(Counter(finding.code for finding in findings))
    return {"findings": [asdict(finding) for finding in findings], "counts": counts}


def report_text(head: str, findings: Sequence[Finding]) -> str:
    """The repr of a result; `head` is its beginning, such as "ChatCheck(a.jsonl: 1 of 2 rows usable"."""
    severities = Counter(finding.severity for finding in findings)
    tally = ", ".join(f"{number} {severity}" for severity, number in severities.items()) or "no findings"
    return "\n".join([f"{head}; {tally})", *listing(findings)])


def report_table(counts: Sequence[tuple], findings: Sequence[Finding]) -> str:
    """The HTML of a result: (what, value) pairs and then the first findings."""
    rows = [("what", "value", "detail"), *((what, value, "") for what, value in counts)]
    rows += [(finding.code, finding.place, str(finding)) for finding in findings[:50]]
    return html_table(rows)


def _printable(text):
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


# --- any JSON value


def walk(value) -> Iterator[tuple[str, object, int]]:
    """Yield (path, value, depth) for everything inside a JSON value, down to MAX_DEPTH + 1."""
    todo = [("", value, 0)]  # the last is the next: three times as fast as a generator that calls itself
    while todo:
        field, value, depth = here = todo.pop()
        yield here
        if depth > MAX_DEPTH:
            continue
        if isinstance(value, dict):
            inside = [(f"{field}.{key}" if field else key, item, depth + 1) for key, item in value.items()]
            todo += inside[::-1]
        elif isinstance(value, list):
            inside = [(f"{field}[{index}]", item, depth + 1) for index, item in enumerate(value)]
            todo += inside[::-1]


@lru_cache(maxsize=1024)
def content_field(turn: int) -> str:
    """The name of the text of a turn in findings; one string for all rows."""
    return f"messages[{turn}].content"


def in_rejected(field: str, start: int) -> str | None:
    """The name of a place in the prompt and the rejected answer, which begins at turn `start`; None for the prompt."""
    match = re.match(r"messages\[(\d+)\]", field)
    return f"rejected[{int(match[1]) - start}]{field[match.end() :]}" if match and int(match[1]) >= start else None


def kind_of(value) -> str:
    """What a JSON value is, in words: "a string", "an object"."""
    if value is None:
        return "null"
    if value == []:
        return "an empty list"
    names = {bool: "true or false", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")


def whole_kind(value) -> str:
    """What a JSON value is, in words, and how many objects a list has."""
    objects = sum(isinstance(item, dict) for item in value) if isinstance(value, list) else 0
    return f"a list of {objects:,} object(s)" if objects else kind_of(value)
