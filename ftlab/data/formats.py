"""Training files in the formats that people have, read into our one form and converted without loss.

What each format means, and our form, stands in `ftlab.data.forms`; the kinds of file in `ftlab.data.sources`.
"""

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ftlab.data import forms, jsonl, schema, sources, writing
from ftlab.data.findings import (
    Finding,
    Row,
    as_findings,
    errors_of,
    findings_dict,
    in_order,
    raise_findings,
    report_text,
    severity_of,
)
from ftlab.data.forms import FORMATS, fits
from ftlab.data.jsonl import Line
from ftlab.data.sources import name_of
from ftlab.errors import DataError
from ftlab.files import jsonl_path, refuse_existing


@dataclass(frozen=True, repr=False)
class Rows:
    """The usable rows of a file in our form, each with its place; `lines` are all lines with row and findings."""

    path: str
    rows: list[Row]
    format: str | None  # None where no row could be parsed
    rows_in: int
    rows_with_error: int  # rows_in == len(rows) + rows_with_error
    findings: list[Finding]
    lines: list[tuple[Line, Row, list[Finding]]]  # of a line that is no row the row is empty

    def __repr__(self):
        kept = f"{len(self.rows)} of {self.rows_in} rows usable as {self.format}"
        return report_text(f"Rows({self.path}: {kept}", self.findings)


@dataclass(frozen=True, repr=False)
class Conversion:
    """What `convert` wrote and what it could not; the findings say why, by line of the source."""

    path: str
    out: str
    source_format: str
    format: str
    rows_in: int
    rows_written: int
    rows_with_error: int  # rows_in == rows_written + rows_with_error
    findings: list[Finding]

    def to_dict(self) -> dict:
        """The report, ready for JSON."""
        return asdict(replace(self, findings=[])) | findings_dict(self.findings)

    def __repr__(self):
        head = f"Conversion({self.path} ({self.source_format}) -> {self.out} ({self.format}): "
        return report_text(f"{head}{self.rows_written} of {self.rows_in} rows written", self.findings)


def read(path, format: str | None = None, rename: dict[str, str] | None = None) -> Rows:
    """Read a file, a saved folder or a Dataset; bad rows become findings, never an exception.

    `rename` gives keys of the rows ({"text": "prompt"}) other names before anything else.

    Raises DataError where there is nothing to read (no such file, no rows, damaged as a whole) and, without
    `format`, where the rows fit no format or several.
    """
    name = name_of(path)
    format = None if format is None else known(format)
    scanned = list(sources.scan(path, fits))
    scanned = _renamed(scanned, rename, name) if rename else scanned
    parsed = [Row(line.row, name, line.number) for line in scanned if isinstance(line.row, dict) and line.is_row]
    format = format or (detect(parsed) if parsed else None)
    lines, rows, findings, rows_in = [], [], [], 0
    for line in scanned:
        row, found = Row(line.row, name, line.number, line.at), list(line.findings)
        if line.is_row and not errors_of(found):
            row, more = forms.read_row(row, format)
            found += more
        lines.append((line, row, found))
        findings += found
        rows_in += line.is_row
        if line.is_row and not errors_of(found):
            rows.append(row)
    return Rows(name, rows, format, rows_in, rows_in - len(rows), in_order(findings), lines)


def convert(
    path,
    out: str | Path,
    to: str,
    format: str | None = None,
    force: bool = False,
    rename: dict[str, str] | None = None,
) -> Conversion:
    """Write the rows of `path` as JSONL in the format `to`; a row that does not fit is a finding and is left out.

    Other columns are carried over; rows that have the format already stay as they are. Raises DataError as `read`
    does, when `out` exists (unless `force`), when it is `path` and would lose rows, and when not one row can be
    written; nothing is written then.
    """
    known(to)
    out = jsonl_path(out)
    refuse_existing(out, force)
    source = read(path, format, rename)
    written, findings = [], list(source.findings)
    usable = {id(row) for row in source.rows}
    for line, row, _ in source.lines:
        if id(row) not in usable:
            continue
        same = source.format == to and to != "kto" and not {"preferred_output", "conversation"} & set(line.row)
        lost = [] if same else as_findings(writing.losses(row.data, to), row)
        findings += lost
        if not lost:
            written.append(line.row if same else writing.write_row(row.data, to))
    failed = source.rows_in - len(written)
    if not written:
        raise_findings(errors_of(findings))
    if is_same_file(path, out) and failed:
        raise DataError(f"{out} is the file that is read, and {failed:,} row(s) do not convert and would "
                        "be lost: write under another name")  # fmt: skip
    jsonl.write_rows(written, out, force=force)
    findings = in_order(findings)
    return Conversion(source.path, str(out), source.format, to, source.rows_in, len(written), failed, findings)


def detect(rows: Iterable[Row]) -> str:
    """The one format that all rows with a known format fit; DataError when there is none, or more than one."""
    first, seen = {}, {}
    for row in rows:
        first.setdefault(fits(row.data), row)
        if len(first) == 1:
            seen.update(dict.fromkeys(row.data))
    fitting = {names: row for names, row in first.items() if names}
    if set(fitting) == {frozenset(["alpaca"]), frozenset(["instruction"])}:
        return "alpaca"  # whose input may be missing
    if not first:
        raise DataError("no rows: a format is told by the fields of the rows")
    place = _place(next(iter(first.values())))
    if not fitting:
        needs = "\n".join(f"  {format}: {need}" for format, need in FORMATS.items())
        fields = ", ".join(map(repr, list(seen)[:20])) or "none"
        data = "If data holds the rows, name the file .json. " if "data" in seen else ""
        raise DataError(f"{place} fits no known format; it has the fields {fields}. {data}{_exact_names(seen)}"
                        f"Rename them (ftlab convert --rename OLD=NEW) to one of\n{needs}")  # fmt: skip
    common = frozenset.intersection(*fitting)
    if len(common) == 1:
        return next(iter(common))
    if common:
        names = " and ".join(sorted(common))
        raise DataError(f"{_place(next(iter(fitting.values())))} fits {names}; say which with format= (--format)")
    kinds = "; ".join(f"{' and '.join(sorted(names))} from {_place(row)}" for names, row in fitting.items())
    raise DataError(f"the file mixes formats: {kinds}. Split it, or name the format of the rows to keep")


def known(format: str) -> str:
    """The name of a format, or DataError."""
    if not isinstance(format, str) or format not in FORMATS:
        raise DataError(f"{format!r} is not a format: choose one of {', '.join(FORMATS)}")
    return format


def from_messages(data: dict, format: str) -> dict:
    """A messages row in another format, with its other columns; DataError names the fields that would be lost.

    `read` gives the same row back, but for keys of a turn that are null, which some formats leave out, and for tools
    as JSON text, which sharegpt reads as a list.
    prompt_completion and preference are written as lists of turns, preference under TRL's names.
    """
    known(format)
    problems = [problem for problem in schema.row_problems(data)
                if severity_of(problem[0]) == "error" and (format, problem[0]) != ("kto", "bad_answer")]  # fmt: skip
    lost = as_findings(problems or writing.losses(data, format), Row({}, "", 0))
    if lost:
        raise DataError("\n".join(f"{finding.field or 'row'}: {finding.message}" for finding in lost[:5]))
    return writing.write_row(data, format)


def is_same_file(a, b) -> bool:
    """True when both are paths of one file that exists."""
    try:
        return os.path.samefile(a, b)
    except (OSError, TypeError, ValueError):
        return False


def _renamed(lines: list[Line], names: dict[str, str], file: str) -> list[Line]:
    """The lines with keys of their rows renamed; DataError where no row has such a key, or one has the new name too."""
    renamed, seen = [], set()
    for line in lines:
        row = line.row
        if isinstance(row, dict) and (found := names.keys() & row.keys()):
            if taken := [names[old] for old in found if names[old] in row.keys() - names.keys()]:
                raise DataError(f"{file}:{line.number}: has {taken[0]!r} already; rename to another name")
            row = {names.get(key, key): value for key, value in row.items()}
            seen |= found
        renamed.append(replace(line, row=row))
    if missing := [old for old in names if old not in seen]:
        raise DataError(f"{file}: no row has the key {missing[0]!r}; correct the name that is to be replaced")
    return renamed


def _exact_names(names) -> str:
    """What to say where capitals or blanks alone keep names from a format."""
    plain = {name: name.strip().lower() for name in names}
    if not fits(dict.fromkeys(plain.values(), "")):
        return ""
    renamed = [f"{new!r} for {name!r}" for name, new in plain.items() if name != new]
    return f"Capitals and blanks count: write {', '.join(renamed)}. "


def _place(row: Row):
    return f"{row.file}:{row.line}"
