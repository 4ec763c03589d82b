"""Rows of files, each with its line: JSONL, JSON and CSV (also as .gz), Parquet, a folder of `save_to_disk`, a Dataset.

Each reader yields `jsonl.Line`; a damaged row is a finding, a source without rows a DataError.
"""

import codecs
import csv
import gzip
import json
import re
import shutil
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from ftlab.data import jsonl, tables
from ftlab.data.findings import MAX_DEPTH, Row, as_findings, kind_of
from ftlab.data.jsonl import Line
from ftlab.data.tables import LIST_COLUMNS, TEXT_OR_TURNS
from ftlab.errors import DataError

SUFFIXES = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet",
}  # fmt: skip

# what the first bytes of a file say, whatever its name is
MAGIC = {
    b"\x1f\x8b": "is packed with gzip: name it .jsonl.gz, .json.gz or .csv.gz",
    b"PK\x03\x04": "is a zip archive or an Excel workbook: unpack it, or save the sheet as CSV UTF-8",
    b"PAR1": "is Parquet: name it .parquet",
    codecs.BOM_UTF16_LE: "is UTF-16: save it again as UTF-8",
    codecs.BOM_UTF16_BE: "is UTF-16: save it again as UTF-8",
}
SEPARATORS = ",;\t|"


def scan(source, is_one_row: Callable[[dict], object]) -> Iterator[Line]:
    """Yield every row of a source and what is wrong in its line; DataError when the source has no row at all.

    A .json file with one object is one row when `is_one_row(object)` is true.
    """
    if not isinstance(source, str | Path):
        return _lines(name_of(source), tables.scan_dataset(source, name_of(source)))
    path = Path(source)
    if path.is_dir():
        return _lines(str(path), tables.scan_folder(path))
    zipped = path.suffix.lower() == ".gz"
    suffix = (Path(path.stem) if zipped else path).suffix.lower()
    if suffix not in SUFFIXES or (zipped and suffix == ".parquet"):
        _refuse_other(path)
        raise DataError(f"{path}: what is in it? Name it {', '.join(SUFFIXES)} (all but Parquet also .gz), "
                        "or name a folder written by save_to_disk")
    if not path.exists():
        raise DataError(f"{path} does not exist: check the path (now in {Path.cwd()})")
    scanners = {"jsonl": _scan_jsonl, "json": partial(_scan_json, is_one_row=is_one_row), "csv": _scan_csv,
                "parquet": lambda path, name: _lines(name, tables.scan_parquet(path, name))}  # fmt: skip
    scanner = scanners[SUFFIXES[suffix]]
    if zipped:
        return _scan_zipped(path, scanner)
    if suffix != ".parquet":
        _refuse_other(path)
    return scanner(path, str(path))


def _refuse_other(path):
    """DataError when the first bytes belong to another kind of file than text in UTF-8."""
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(4)
        for magic, remedy in MAGIC.items():
            if start.startswith(magic):
                raise DataError(f"{path} {remedy}")


def name_of(source) -> str:
    """The name of a source in findings: its path, or Dataset."""
    return str(source) if isinstance(source, str | Path) else type(source).__name__


def _line(name, number, row, problems, at="", is_row=False) -> Line:
    return Line(number, row, as_findings(problems, Row({}, name, number, at)), is_row, at)


def _lines(name, items) -> Iterator[Line]:
    return (_line(name, *item) for item in items)


def _scan_zipped(path, scanner):
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / path.stem
        try:
            with gzip.open(path) as packed, plain.open("wb") as file:
                shutil.copyfileobj(packed, file)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path} is not a whole gzip file ({error}): copy or write it again") from error
        try:
            _refuse_other(plain)
            yield from scanner(plain, str(path))
        except DataError as error:
            raise DataError(str(error).replace(str(plain), str(path))) from error


# --- JSONL and JSON


def _scan_jsonl(path, name):
    for line in jsonl.scan_jsonl(path):
        yield replace(line, findings=[replace(finding, file=name) for finding in line.findings])


def _scan_json(path, name, is_one_row):
    """Rows of one JSON array, of the array in {"data": [...]}, or of a JSONL file with the wrong suffix."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
        members = []  # of the outermost object, which is the last to be read
        whole = json.loads(text, object_pairs_hook=lambda pairs: members.__setitem__(slice(None), pairs) or dict(pairs))
    except UnicodeDecodeError as error:
        number = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{number} is not UTF-8 (byte {error.start}); save the file again as UTF-8") from error
    except RecursionError as error:
        raise DataError(f"{path}: more than {MAX_DEPTH} objects or lists inside one another") from error
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip().startswith("{"):  # JSONL under the name of JSON
            yield from _scan_jsonl(path, name)
            return
        if not text.strip():
            raise DataError(f"{path} is empty: it needs a list of objects") from error
        where = f"{path}:{error.lineno} not JSON: {error.msg} at column {error.colno}"
        raise DataError(f"{where}; nothing was read: mend the place or write the file again") from error
    except ValueError as error:
        number = re.search(rf"\d{{{sys.get_int_max_str_digits() + 1},}}", text)
        line = text.count("\n", 0, number.start()) + 1 if number else 1
        raise DataError(f"{path}:{line} {jsonl.long_integer()}; write the number as a string") from error
    if raw.startswith(codecs.BOM_UTF8):
        yield _line(name, None, None, [("bom", "")])
    start, at = re.match(r"\s*", text).end(), ""
    if isinstance(whole, dict) and not isinstance(whole.get("data"), list) and is_one_row(whole):
        text = f"[{text}]"  # one row
    elif isinstance(whole, dict):
        keys = [key for key, _ in members]
        if not isinstance(whole.get("data"), list) or keys.count("data") > 1:
            raise DataError(f'{path} holds one object with {", ".join(map(repr, keys)) or "no fields"}: '
                            'write a list of objects, or {"data": [...]}')
        start, at = _start_of_data(text, whole["data"]), "data"
        yield from (_line(name, _line_of(text, key, start), None, [("outside_data", key)])
                    for key in whole if key != "data")  # fmt: skip
    elif not isinstance(whole, list):
        raise DataError(f"{path} holds {kind_of(whole)}: write a list of objects")
    yield from _elements(text, start, name, at)


def _start_of_data(text, rows) -> int:
    """Where the list under the key `data` begins."""
    starts = (found.end() - 1 for found in re.finditer(r'"data"\s*:\s*\[', text))
    return next(start for start in starts if json.JSONDecoder().raw_decode(text, start)[0] == rows)


def _line_of(text, key, start) -> int:
    """The line of a key beside the list at text[start]."""
    end = json.JSONDecoder().raw_decode(text, start)[1]
    places = (text.find(written, *part) for written in (json.dumps(key, ensure_ascii=False), json.dumps(key))
              for part in ((0, start), (end,)))  # fmt: skip
    return text.count("\n", 0, next((place for place in places if place >= 0), 0)) + 1


def _elements(text, start, name, at):
    """Yield the rows of the legal JSON array at text[start]."""
    duplicates, number, last, index = [], 1, 0, 0
    decoder = json.JSONDecoder(object_pairs_hook=jsonl.note_duplicates(duplicates))
    position = jsonl.skip_space(text, start + 1)
    while text[position] != "]":
        row, end = decoder.raw_decode(text, position)
        number += text.count("\n", last, position)
        last, place = position, f"{at}[{index}]"
        problems = [("duplicate_key", key) for key in duplicates] + list(jsonl.value_problems(row))
        yield _line(name, number, row, problems, place, is_row=True)
        duplicates.clear()
        index += 1
        position = jsonl.skip_space(text, end)
        position = jsonl.skip_space(text, position + 1) if text[position] == "," else position
    if not index:
        raise DataError(f"{name} is empty: its list has no objects")


# --- CSV


def _scan_csv(path, name):
    """Rows of a CSV file: separator , ; | or tab, one header line, lists as JSON text; every cell stays text.

    A first line such as `sep=;`, which Excel writes, names the separator and is no header.
    """
    with path.open("rb") as file:
        if file.read(3) == codecs.BOM_UTF8:
            yield _line(name, None, None, [("bom", "")])
    csv.field_size_limit(max(csv.field_size_limit(), jsonl.MAX_LINE_BYTES))
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        first = file.readline()
        skipped = re.fullmatch(rf"sep=[{SEPARATORS}]\s*", first, re.IGNORECASE) is not None
        if not skipped:
            file.seek(0)
        separator = first[4] if skipped else max(SEPARATORS, key=lambda sign: (_cells(first, sign), first.count(sign)))
        reader = csv.reader(file, delimiter=separator, strict=True)
        header = _csv_header(reader, path)
        lists = LIST_COLUMNS | ({"input"} if "preferred_output" in header else set())
        rows = 0
        while True:
            number = reader.line_num + skipped + 1
            try:
                cells = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                unread = reader.line_num + skipped - number + 1
                at_end = "unexpected end" in str(error)
                problem = ("open_quote", "", unread) if at_end else ("broken_csv", "", error)
                cells, row, problems = None, None, [problem]
            if cells == []:
                continue  # a blank line
            if cells is not None:
                row, problems = _csv_row(header, cells, lists, 1 + skipped)
            rows += 1
            yield _line(name, number, row, problems, is_row=True)
    if not rows:
        raise DataError(f"{name} is empty: it has a header and no rows")


def _cells(line, separator):
    """The number of cells in a header line with this separator."""
    try:
        return len(next(csv.reader([line], delimiter=separator, strict=True), []))
    except csv.Error:
        return 0


def _csv_header(reader, path):
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise DataError(f"{path}:1 the header is not CSV: {error}; mend the first line") from error
    twice = [name for name, count in Counter(header).items() if count > 1]
    if not any(header) or twice:
        problem = f"names {twice[0]!r} twice" if twice else "is empty"
        raise DataError(f"{path}:1 the header {problem}; the first line must name each column once")
    if any(jsonl.has_surrogate(name) for name in header):
        raise DataError(f"{path}:1 the header is not UTF-8; save the file again as CSV UTF-8")
    return header


def _csv_row(header, cells, lists, header_line):
    """One CSV record as a row (None if it has none) and its problems."""
    if len(cells) != len(header):
        return None, [("wrong_columns", "", len(cells), header_line, len(header))]
    damaged = [name for name, cell in zip(header, cells, strict=True) if jsonl.has_surrogate(cell)]
    if damaged:
        return None, [("not_utf8", name) for name in damaged]
    row, problems = {}, []
    for name, cell in zip(header, cells, strict=True):
        row[name], found = _csv_value(name, cell, lists)
        problems += found
    return row, problems + list(jsonl.value_problems(row))


def _csv_value(name, cell, lists):
    """The value of a cell and its problems: JSON text where turns or tools are meant, else the text as it is."""
    start = cell.lstrip()[:1]
    if name in lists and not start:
        return None, []
    if start not in ("[", "{") or name not in lists | TEXT_OR_TURNS:
        return cell, []
    duplicates = []
    try:
        value = json.loads(cell, object_pairs_hook=jsonl.note_duplicates(duplicates))
    except (ValueError, RecursionError) as error:
        why = error if isinstance(error, json.JSONDecodeError | RecursionError) else jsonl.long_integer()
        return cell, [("cell_not_json", name, why)] if name in lists else []
    if name in TEXT_OR_TURNS and not (isinstance(value, list) and value and all(map(_is_turn, value))):
        return cell, []  # an answer that is JSON itself
    return value, [("duplicate_key", f"{name}.{key}") for key in duplicates]


def _is_turn(value):
    return isinstance(value, dict) and {"role", "content"} <= set(value)
