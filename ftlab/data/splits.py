"""Splits that keep every group on one side, and the check that they did."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from ftlab.data import formats
from ftlab.data.findings import errors_of, raise_findings
from ftlab.data.jsonl import json_container
from ftlab.data.schema import write_chat
from ftlab.data.similar import clusters
from ftlab.errors import DataError
from ftlab.files import refuse_existing

FRACTIONS = {"train": 0.8, "validation": 0.1, "test": 0.1}
ALL = None  # the stratum of all rows; every other one is named by a text
ANSWER = ("answer", "label")  # what `stratify` calls the whole answer of a row that is no JSON object


def split_by_group(
    rows: Sequence[dict],
    group: str | Callable,
    fractions: dict[str, float] | None = None,
    stratify: str | Callable | None = None,
    seed: int = 0,
    separator: str | None = None,
) -> dict[str, list]:
    """Split rows so that a whole group goes to one part; fractions count rows and are met as groups allow.

    `group` and `stratify` are a key of the row or a function of it. A row may belong to several groups: a
    list, or with `separator="+"` a string "p1+p2"; rows that share any group stay together (connected
    components). Large groups are placed first, each where it lessens most the squared distance from the
    wanted counts (of each stratum and of all rows, best effort); `seed` breaks ties. Rows keep their order
    inside a part, and their order does not change who goes where. Raises DataError when some part would stay empty.
    """
    fractions = dict(FRACTIONS if fractions is None else fractions)
    shares = list(fractions.values())
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise DataError(f"seed: {seed!r} is no whole number from 0 up")
    if not shares or min(shares) <= 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise DataError(f"fractions must be above 0 and add up to 1, not {fractions}")
    units = _units(rows, group, separator)
    if len(units) < len(fractions):
        merged = f" after joining rows that share a part of {group!r}" if separator else ""
        raise DataError(f"{len(rows)} rows form {len(units)} separate group(s){merged}, too few for "
                        f"{len(fractions)} parts: take a finer group, more data or fewer parts")
    labels = [str(_value(row, stratify, index + 1)) if stratify else "" for index, row in enumerate(rows)]
    strata = {**Counter(labels), ALL: len(rows)}
    placed = [Counter() for _ in shares]  # rows of each stratum, by part
    members = [[] for _ in shares]
    sizes = [len(unit) for unit in units]
    order = np.random.default_rng(seed).permutation(len(units))
    for left, index in enumerate(sorted(order, key=lambda index: -sizes[index])):
        added = {**Counter(labels[row] for row in units[index]), ALL: sizes[index]}
        cost = [  # the part that lacks most rows of these strata costs least
            sum((there[name] - share * strata[name]) * count for name, count in added.items())
            for there, share in zip(placed, shares, strict=True)
        ]
        empty = [part for part, rows_of_part in enumerate(members) if not rows_of_part]
        if len(empty) == len(units) - left:  # as many groups left as empty parts: each needs one
            cost = [value if part in empty else math.inf for part, value in enumerate(cost)]
        part = cost.index(min(cost))
        placed[part].update(added)
        members[part] += units[index]
    parts = zip(fractions, members, strict=True)
    return {name: [rows[index] for index in sorted(part)] for name, part in parts}


@dataclass(frozen=True, repr=False)
class SplitReport:
    """What `split_file` wrote: rows by part, and how many separate groups they formed."""

    path: str
    files: dict[str, str]
    rows: dict[str, int]
    groups: int
    joined: int  # rows that stay together only because they are near duplicates of others
    seed: int
    others: list[str]  # JSONL files of the folder that are not of this split, perhaps of an earlier one

    def __repr__(self):
        total = sum(self.rows.values())
        lines = [f"SplitReport({self.path}: {total:,} rows in {self.groups:,} groups, seed {self.seed})"]
        lines += [f"{n:>8,}  {n / total:>6.1%}  {self.files[part]}" for part, n in self.rows.items()]
        lines.append(f"{self.joined:,} row(s) went where their near duplicates are")
        if self.others:
            lines.append(f"not of this split and perhaps with the same rows: {_some(self.others)}")
        return "\n".join(lines)


def split_file(
    path: str | Path,
    out: str | Path,
    group: str | None = None,
    stratify: str | None = None,
    fractions: dict[str, float] | None = None,
    seed: int = 0,
    separator: str | None = None,
    force: bool = False,
) -> SplitReport:
    """Write one JSONL file a part into the folder `out`, rows as they are; default 90 % train, 10 % test.

    Rows stay together that share `group` (a key of the row) or are near duplicates. `stratify` is a key of the
    row, a field of its JSON answer, or `answer` for plain answers themselves. Raises DataError with the reason when
    rows are unusable, a part would stay empty, a file exists (unless `force`), or the parts would leak into each other.
    """
    if separator and not group:
        raise DataError(f"separator={separator!r} takes names of groups apart: say with group= which key holds them")
    fractions = dict(fractions or {"train": 0.9, "test": 0.1})
    if len({part.casefold() for part in fractions}) < max(2, len(fractions)):
        raise DataError(f"{fractions}: a split needs two parts or more, whose names differ in more than capitals")
    source = formats.read(path)
    raise_findings(errors_of(source.findings))
    ours = [row.data for row in source.rows]
    as_in_file = {id(row.data): line.row for line, row, _ in source.lines}
    files = {part: Path(out) / f"{part}.jsonl" for part in fractions}
    for file in files.values():
        refuse_existing(file, force)
    cluster = {row.line: n for n, rows in enumerate(clusters(source.rows)) for row in rows}
    names, label, plain = {}, {}, not any(map(_record, ours))
    for row, line in ((row.data, row.line) for row in source.rows):
        with _placed(f"{path}:{line}"):
            own = _groups(row, group, line, separator) if group else []
            label[id(row)] = _label(row, stratify, plain)
        near = [("near", cluster.get(line, -line)), ("input", *input_of(row))]
        names[id(row)] = near + [("group", name) for name in own]
    groups = len(_units(ours, lambda row: names[id(row)], None))
    if groups < len(fractions):
        same = f"one {group!r} and rows with" if group else "the same or"
        raise DataError(f"{path}: {len(ours)} row(s) form {groups} separate group(s), too few for "
                        f"{len(fractions)} parts; rows with {same} nearly the same input stay together: take "
                        "a finer group, more data or fewer parts")  # fmt: skip
    with _placed(f"{path}:"):
        parts = split_by_group(ours, lambda row: names[id(row)], fractions, lambda row: label[id(row)], seed)
        for a, b in combinations(parts, 2):
            assert_no_leak(parts[a], parts[b], group, separator)
    for part, rows in parts.items():
        write_chat([as_in_file[id(row)] for row in rows], files[part], force=force)
    sizes = {part: len(rows) for part, rows in parts.items()}
    written = {part: str(file) for part, file in files.items()}
    others = sorted({str(file) for file in Path(out).glob("*.jsonl")} - {str(Path(path)), *written.values()})
    return SplitReport(str(path), written, sizes, groups, len(cluster), seed, others)


@contextmanager
def _placed(place):
    """Name the file, and the line where there is one, in whatever is refused."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{place} {error}") from error


def _record(row) -> dict:
    """The JSON object that the answer of a row is; empty where it is something else."""
    answer = json_container(row["messages"][-1].get("content") or "")
    return answer if isinstance(answer, dict) else {}


def _label(row, stratify, plain):
    """The stratum of one row: a key of the row, a field of its JSON answer, or in a `plain` file the answer itself."""
    if stratify is None:
        return "all"
    if stratify in row:
        return str(row[stratify])
    if plain and stratify in ANSWER:
        return " ".join((row["messages"][-1].get("content") or "").split())
    record = _record(row)
    if stratify not in record:
        remedy = "plain answers are named 'answer'" if plain else "stratify by another one"
        raise DataError(f"{stratify!r} is neither a key of the row ({_some(list(row), 20)}) nor a field of its JSON "
                        f"answer; {remedy}")  # fmt: skip
    return str(record[stratify])


def group_of(row: dict, key: str, part: str | None) -> str | None:
    """What the row has under the key, or the part that a regular expression finds; None where there is nothing."""
    value = row.get(key)
    if value is None or isinstance(value, dict | list):
        return None
    found = re.search(part, str(value)) if part else None
    return str(value) if part is None else found and found[0]


def assert_no_leak(
    a: Sequence[dict], b: Sequence[dict], key: str | Callable | None = None, separator: str | None = None
) -> None:
    """Raise DataError when a and b share a group (`key`) or an identical input.

    The input of a chat row is what stands before the last turn, without the system turn, letter case and
    spacing; near-duplicates need a similarity search and are not looked for here.
    """
    problems = []
    if key is not None:
        shared = set(_groups_of(a, key, separator)) & set(_groups_of(b, key, separator))
        if shared:
            problems.append(f"{len(shared)} shared group(s): {_some(sorted(map(str, shared)))}")
    inputs = {input_of(row): _name(row, number) for number, row in enumerate(a, 1)}
    same = [f"{_name(row, number)} = {inputs[text]}" for number, row in enumerate(b, 1)
            if (text := input_of(row)) in inputs]
    if same:
        problems.append(f"{len(same)} identical input(s), second set = first set: {_some(same)}")
    if problems:
        raise DataError("the two sets leak into each other: " + "; ".join(problems)
                        + ". Split again by group and drop the duplicates, or the score measures memory")


def _some(names, show=5):
    return ", ".join(names[:show]) + (f" and {len(names) - show} more" if len(names) > show else "")


def _name(row, number):
    return repr(row["id"]) if "id" in row else f"row {number}"


def _value(row, key, number):
    value = key(row) if callable(key) else row.get(key)
    if value is None:
        what = "the function gives None" if callable(key) else f"{key!r} is missing or null"
        keys = f" of {_some(list(row), 20)}" if row else ""
        raise DataError(f"{_name(row, number)}: {what}; fill it in or choose another key{keys}")
    return value


def _groups(row, key, number, separator) -> list:
    """The groups of one row, one or several."""
    value = _value(row, key, number)
    if separator and isinstance(value, str):
        value = [part.strip() for part in value.split(separator) if part.strip()]
    values = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
    if not values or any(item is None or (isinstance(item, str) and not item.strip()) for item in values):
        raise DataError(f"{_name(row, number)}: {key!r} names no group; fill it in")
    if any(isinstance(item, dict | list) for item in values):
        raise DataError(f"{_name(row, number)}: {key!r} holds an object or a list in a list; name groups by text")
    return [_as_name(item) for item in values]


def _as_name(value):
    """Numbers as text: 7, 7.0 and "7" name the same group."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _groups_of(rows, key, separator) -> dict[object, list[int]]:
    """Map every group to the indices of its rows."""
    result = defaultdict(list)
    for index, row in enumerate(rows):
        for item in _groups(row, key, index + 1, separator):
            result[item].append(index)
    return result


def _units(rows, key, separator) -> list[list[int]]:
    """Row indices that must stay together, in an order that does not depend on the order of the rows."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    groups = _groups_of(rows, key, separator)
    names = sorted(groups, key=lambda name: (str(name), type(name).__name__))
    edges = [(index, len(rows) + number) for number, name in enumerate(names) for index in groups[name]]
    if not edges:
        return []
    size = len(rows) + len(names)
    graph = coo_array((np.ones(len(edges)), np.array(edges).T), shape=(size, size))
    labels = connected_components(graph, directed=False)[1]
    units = {label: [] for label in labels[len(rows):]}  # in the order of the sorted names
    for index, label in enumerate(labels[:len(rows)]):
        units[label].append(index)
    return list(units.values())


def input_of(row):
    turns = row.get("messages")
    if turns:
        before = turns[:-1]
        texts = [turn.get("content") for turn in before if turn.get("role") != "system"]
        texts = texts or [turn.get("content") for turn in before] or [turns[-1].get("content")]
    else:
        texts = [row.get("prompt", {name: value for name, value in row.items() if name != "id"})]
    return tuple(" ".join(str(text).split()).casefold() for text in texts)
