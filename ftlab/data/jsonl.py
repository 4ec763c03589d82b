"""JSONL, one object a line: every line with what is wrong in it as JSON, and the one writer of rows."""

import codecs
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ftlab.data.findings import MAX_DEPTH, Finding, Row, as_findings, walk, whole_kind
from ftlab.errors import DataError
from ftlab.files import refuse_existing, whole_file

LONG_LINE_BYTES = 1 << 20  # beyond this a warning
MAX_LINE_BYTES = 8 << 20  # beyond this an error: the line is skipped in pieces and never held in memory
MAX_SPREAD_BYTES = 16 << 20  # of one JSON value over many lines; beyond this its lines are judged one by one
MAX_FAILED = 20  # values over many lines that turned out to be none; beyond this none is looked for
# what `value_problems` reports leaves one of these in the JSON text: half characters and NUL as escapes, numbers
# that are not finite or could be too large for a float; only such lines are walked through
_DOUBTFUL = re.compile(r"\\u(?:0000|[dD][89a-fA-F])|NaN|Infinity|\d[eE]\+?\d\d|\d{300}")
_SPACE = re.compile(r"[ \t\r\n]*")
# ends of a line to str.splitlines and to some readers; JSON may hold them as they are or as escapes
_LINE_ENDS = {ord(char): f"\\u{ord(char):04x}" for char in "\x85\u2028\u2029"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file: `row` is its JSON value, None where it has none; blank lines are no row.

    What is about the whole file comes as one without a number.

    `at` is the place of the row in its line where several share one, such as data[2]; `raw` the bytes of a JSONL line.
    """

    number: int | None
    row: object
    findings: list[Finding]
    is_row: bool = True
    at: str = ""
    raw: bytes = b""


def scan_jsonl(path: str | Path) -> Iterator[Line]:
    """Yield every row of a JSONL file with what is wrong in it as JSON.

    Blank lines, a byte order mark and CRLF line ends come as lines with `is_row=False`. JSON printed over many lines is
    one row with one error, at its first line.
    Raises DataError for a missing file, a folder and a file without one row.
    """
    rows = crlf = first_crlf = blank = first_blank = start = end = failed = 0
    spread_to = 0  # the last line of a value over many lines
    for number, raw, size in _raw_lines(path):
        start, end = end, end + size
        if raw.endswith(b"\r\n"):
            crlf += 1
            first_crlf = first_crlf or number
        if number <= spread_to:
            continue
        if number == 1 and raw.startswith(codecs.BOM_UTF8):
            start += len(codecs.BOM_UTF8)
            raw = raw.removeprefix(codecs.BOM_UTF8)
            yield _note(path, None, "bom")
        if size <= MAX_LINE_BYTES and not raw.strip(b" \t\r\n"):
            blank += 1
            first_blank = first_blank or number
            continue
        if blank:
            yield _note(path, first_blank, "blank_line", blank)
            blank = first_blank = 0
        rows += 1
        row, problems = _parse(raw, size)
        if problems and problems[0][0] == "broken_json" and raw.lstrip()[:1] in (b"{", b"[") and failed < MAX_FAILED:
            spread, lines = _spread_value(path, start)
            failed += not spread
            spread_to, problems = number + lines - 1, spread or problems
        yield Line(number, row, as_findings(problems, Row({}, str(path), number)), raw=raw.rstrip(b"\r\n"))
    if blank:
        yield _note(path, first_blank, "blank_line", blank)
    if crlf:
        yield _note(path, None, "crlf", crlf, first_crlf)
    if not rows:
        raise DataError(f"{path} is empty: it needs one JSON object a line")


def _note(path, number, code, *values) -> Line:
    return Line(number, None, as_findings([(code, "", *values)], Row({}, str(path), number)), is_row=False)


def _raw_lines(path: str | Path) -> Iterator[tuple[int, bytes, int]]:
    """Yield (number, bytes, size) of each line; of a line over MAX_LINE_BYTES only the end is kept."""
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path} is a folder: name one .jsonl file")
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist: check the path (now in {Path.cwd()})") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; check its permissions") from error
    with file:
        number = 0
        while raw := file.readline(MAX_LINE_BYTES):
            number += 1
            size = len(raw)
            while not raw.endswith(b"\n") and (rest := file.readline(1 << 16)):
                raw = rest
                size += len(rest)
            yield number, raw, size


def _spread_value(path, start: int) -> tuple[list[tuple], int]:
    """The one problem of a JSON value over many lines that begins at a byte of a file, and its lines; else none."""
    with Path(path).open("rb") as file:
        file.seek(start)
        text = file.read(MAX_SPREAD_BYTES).decode("utf-8", "replace")
    try:
        value, end = json.JSONDecoder().raw_decode(text, skip_space(text, 0))
    except (ValueError, RecursionError):
        return [], 0
    lines = text.count("\n", 0, end) + 1
    if lines == 1 or text[end:].partition("\n")[0].strip():
        return [], 0
    is_all = isinstance(value, list) or isinstance(value.get("data"), list)
    remedy = "if this is all of the file, name it .json" if is_all else "put each object on one line (jq -c . does)"
    return [("many_lines", "", whole_kind(value), lines, remedy)], lines


def skip_space(text: str, position: int) -> int:
    """The place of the next character that is no JSON white space."""
    return _SPACE.match(text, position).end()


def _parse(raw: bytes, size: int) -> tuple[object, list[tuple]]:
    """Return the JSON value of one line (None if it has none) and its problems as JSON."""
    if size > MAX_LINE_BYTES:
        is_list = raw.rstrip().endswith(b"]")
        remedy = "if it is one list of all rows, name the file .json" if is_list else "split the row or drop it"
        return None, [("line_too_long", "", size, MAX_LINE_BYTES, remedy)]
    problems = [("long_line", "", size)] if size > LONG_LINE_BYTES else []
    duplicates = []
    try:
        if b"\0" in raw:
            return None, [*problems, ("nul_byte", "", raw.index(0))]
        text = raw.decode("utf-8")
        row = json.loads(text, object_pairs_hook=note_duplicates(duplicates))
    except UnicodeDecodeError as error:
        return None, [*problems, ("invalid_utf8", "", error.start, raw[error.start])]
    except RecursionError:
        return None, [*problems, ("too_deep", "", MAX_DEPTH)]
    except json.JSONDecodeError as error:
        text = text.rstrip()
        place = f"{error.msg} at column {min(error.pos, len(text)) + 1}"
        return None, [*problems, ("broken_json", "", place, _json_hint(text, error))]
    except ValueError:
        return None, [*problems, ("broken_json", "", long_integer(), "write the number as a string")]
    problems += [("duplicate_key", key) for key in duplicates]
    if text.count("{") + text.count("[") > MAX_DEPTH or _DOUBTFUL.search(text):
        problems += value_problems(row)
    return row, problems


def _json_hint(text, error):
    if error.msg == "Extra data":
        if text[error.pos :].strip() == ",":
            return "JSONL has no commas between rows: drop the comma at the end of the line"
        return "one object a line: put the rest on a line of its own"
    if text.strip() in ("]", "{", "}") or text.lstrip().startswith("["):
        return "this looks like pretty-printed JSON or one big list: write one object a line"
    if error.pos >= len(text):
        return "the line ends too early: was it cut, or does it go on in the next one? Write one object a line"
    return "mend the line by hand or write the file again with a JSON library"


def long_integer() -> str:
    """What json refuses with a ValueError that is no JSONDecodeError."""
    return f"an integer of more than {sys.get_int_max_str_digits():,} digits, which Python does not read"


def note_duplicates(duplicates: list[str]) -> Callable:
    """An `object_pairs_hook` for json that adds to `duplicates` each key that stands twice in one object."""

    def to_dict(pairs):
        result = dict(pairs)
        if len(result) < len(pairs):
            duplicates.extend(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        return result

    return to_dict


def value_problems(value) -> Iterator[tuple]:
    """What other readers refuse in a JSON value: depth, NaN, half characters, NUL; as for `as_findings`."""
    for field, item, depth in walk(value):
        if depth > MAX_DEPTH:
            yield "too_deep", field, MAX_DEPTH
        if isinstance(item, float) and not math.isfinite(item):
            yield "not_finite", field
        texts = [item] if isinstance(item, str) else item if isinstance(item, dict) else ()
        if any(has_surrogate(text) for text in texts):
            yield "lone_surrogate", field
        if any("\0" in text for text in texts):
            yield "nul_character", field


def has_surrogate(text: str) -> bool:
    """True for text with half a surrogate pair, which UTF-8 cannot hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def json_container(text: str) -> dict | list | None:
    """The JSON object or list that a text is, else None."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def not_an_object(value) -> tuple:
    """The problem of a row that is no JSON object, for `as_findings`."""
    kind, remedy = whole_kind(value), "write one JSON object for each row"
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        remedy = _bare_turns(value)
    elif isinstance(value, str) and json_container(value) is not None:
        kind += " that is JSON itself, encoded twice"
    return "not_an_object", "", kind, remedy


def _bare_turns(items) -> str:
    for name, keys in (("messages", {"role", "content"}), ("conversations", {"from", "value"})):
        if all(keys <= set(item) for item in items):
            return f'each list is one chat: write {{"{name}": [...]}} around it'
    return "take the rows out of the list, or name the file .json if this list is all of it"


def encode(row: dict, place: str = "row") -> bytes:
    """A row as one line of JSON without its end, in UTF-8; no character in it ends a line for any reader."""
    if not isinstance(row, dict):
        raise DataError(f"{place}: a row must be an object (dict), not {type(row).__name__}")
    try:
        return json.dumps(row, ensure_ascii=False, allow_nan=False).translate(_LINE_ENDS).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{place}: not writable as JSON: {error}; use text, numbers, lists") from error


def write_rows(rows: Iterable[dict], path: str | Path, force: bool = False) -> Path:
    """Write rows as JSONL (UTF-8, LF, one object a line), all or nothing; `force` allows overwriting."""
    path = Path(path)
    refuse_existing(path, force)
    with whole_file(path) as file:
        for number, row in enumerate(rows, 1):
            file.write(encode(row, f"{path}:{number}") + b"\n")
    return path
