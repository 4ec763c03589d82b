"""Dated facts about the targets of an export: sizes, counts, roles, closing days, from data/limits/*.csv."""

import csv
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ftlab.data.findings import Finding, Row, file_of, finding
from ftlab.data.targets import TARGETS, find_target
from ftlab.errors import DataError
from ftlab.models import REPOSITORY

LIMITS = REPOSITORY / "data" / "limits"
LIMIT_COLUMNS = ("target", "limit", "value", "source_url", "source_date", "confidence", "note")
STALE_DAYS = 90
CLOSINGS = (  # limit, what to say when the day has come, and before
    ("closed_to_new_on", "has been closed to newcomers", "closes to newcomers"),
    ("closes_on", "has been closed", "closes"),
    ("models_retire_on", "has been without its models", "loses its models"),
)


@dataclass(frozen=True)
class Limit:
    """One dated fact about a target; `value` is text, empty when nobody could find it out.

    Confidence: H read at the source or run, M one good secondary source, L a hint.
    """

    target: str
    limit: str
    value: str
    source_url: str
    source_date: str
    confidence: str
    note: str


def limits(to: str, folder: Path = LIMITS) -> dict[str, Limit]:
    """The dated facts about one target by name; raises DataError for a damaged table, naming line and column."""
    find_target(to)
    found, tables = {}, sorted(Path(folder).glob("*.csv"))
    if not tables:
        raise DataError(f"{folder} holds no .csv table of limits: get data/limits back from the repository")
    for path in tables:
        for place, values in dated_rows(path, LIMIT_COLUMNS):
            limit = _limit(values, place)
            if to in limit.target.split():
                found[limit.limit] = limit
    return found


def dated_rows(path: Path, columns: tuple[str, ...]):
    """(file:line, values by column) of a table of dated facts; DataError where it has other columns."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != columns:
            raise DataError(f"{path}:1 the columns must be {', '.join(columns)}")
        for values in reader:
            place = f"{path}:{reader.line_num}"
            if None in values or None in values.values():
                raise DataError(f"{place} has more or fewer than {len(columns)} columns: quote texts with commas")
            yield place, values


def file_findings(row: Row, to: str, known: dict[str, Limit], count: int, size: int, part: str) -> list[Finding]:
    """What is wrong with a file of `count` rows and `size` bytes as a whole, that of a row."""
    train = part == "train"
    most = limit_number(known, "examples_max" if train else "validation_examples_max")
    least, advised = (limit_number(known, name) if train else None for name in ("examples_min", "examples_advised"))
    bytes_max = limit_number(known, "file_bytes_max")
    problems = []
    if not count or (least and count < least):
        problems.append(("too_few_rows", to, least or 1, count))
    elif advised and count < advised:
        problems.append(("few_rows", to, advised, count))
    if most and count > most:
        problems.append(("too_many_rows", to, most, count))
    if bytes_max and size > bytes_max:
        problems.append(("file_too_large", to, bytes_max, size))
    return [finding(code, file_of(row), "", *values) for code, *values in problems]


def limit_number(known: dict[str, Limit], name: str) -> int | None:
    """A limit as a number; None where the table does not know it."""
    return int(known[name].value) if name in known and known[name].value else None


def limit_words(known: dict[str, Limit], name: str) -> list[str]:
    """A limit that is a list of words."""
    return known[name].value.split() if name in known else []


def limit_warnings(to: str, known: dict[str, Limit], tokens_counted: bool, today: date) -> list[str]:
    """What to know before paying: the service's end, old figures, checks that were not made."""
    texts = []
    for name, past, future in CLOSINGS:
        if name in known and known[name].value:
            limit = known[name]
            days = (day_of(limit.value) - today).days
            what = f"{past} since {limit.value}" if days <= 0 else f"{future} on {limit.value}, in {days} days"
            texts.append(f"{to} {what}: {limit.note} ({limit.source_url}, {limit.source_date})")
    ages = {limit.limit: (today - day_of(limit.source_date)).days for limit in known.values() if limit.value}
    old = ", ".join(f"{name} ({days} days)" for name, days in ages.items() if days > STALE_DAYS)
    if old:
        texts.append(f"figures older than {STALE_DAYS} days, look them up again: {old}; data/limits says where")
    empty = [limit.limit for limit in known.values() if not limit.value]
    if empty:
        texts.append(f"not known and so not checked: {', '.join(empty)}")
    if not tokens_counted and limit_number(known, "tokens_per_example_max"):
        texts.append("tokens of a row not counted: pass tokenizer= (--model) for an estimate")
    return texts


def _limit(values, place) -> Limit:
    limit = Limit(**values)
    unknown = [name for name in limit.target.split() if name not in TARGETS]
    if unknown or not limit.target:
        raise DataError(f"{place} target: {' '.join(unknown) or 'is empty'}; use {', '.join(TARGETS)}")
    if limit.value:
        day_of(limit.source_date, f"{place} source_date")
        if limit.limit.endswith("_on"):
            day_of(limit.value, f"{place} value")
        elif limit.limit.endswith(("_min", "_max", "_advised")) and not limit.value.isdecimal():
            raise DataError(f"{place} value: {limit.value!r} is no whole number; leave it empty if not known")
        if not limit.source_url or limit.confidence not in ("H", "M", "L"):
            raise DataError(f"{place} a value needs its source_url and a confidence of H, M or L")
    return limit


def day_of(text, place="") -> date:
    """A day, or the first of a month when only the month is known (2027-04)."""
    try:
        return date.fromisoformat(f"{text}-01" if len(text) == 7 else text)
    except ValueError as error:
        raise DataError(f"{place}: {text!r} is no date; write it as 2026-11-22 or 2026-11") from error
