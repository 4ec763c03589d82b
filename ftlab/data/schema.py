"""Chat JSONL: one object a line, `{"messages": [{"role", "content"}, ...]}`; every problem gets a place.

Severities: an `error` is a row that cannot be used, a `warning` a row that some tools read differently,
an `info` something to know. Lines count from 1 as the file lies on disk.
"""

import codecs
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from ftlab.errors import DataError
from ftlab.files import refuse_existing, whole_file

ROLES = ("system", "user", "assistant", "tool")
ROLE_HINTS = {
    "human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant", "ai": "assistant",
    "developer": "system", "function": "tool",
}  # fmt: skip
TEXT_PARTS = ("text", "input_text", "output_text")  # types of the parts of a content that is a list
LONG_LINE_BYTES = 1 << 20  # beyond this a warning
MAX_LINE_BYTES = 8 << 20  # beyond this an error: the line is skipped in pieces and never held in memory
MAX_SPREAD_BYTES = 64 << 20  # of one JSON value over many lines; beyond this its lines are judged one by one
MAX_DEPTH = 64  # of objects and lists inside one another
MAX_PER_ROW = 20  # findings of one severity reported for one row
_STRING = re.compile(rb'"[^"\\]*+(?:\\(?:.|\Z)[^"\\]*+)*+("|\Z)', re.DOTALL)  # one that never ends goes to the end
# what `value_problems` reports leaves one of these in the JSON text: half characters and NUL as escapes, numbers
# that are not finite or could be too large for a float; only such lines are walked through
_DOUBTFUL = re.compile(r"\\u(?:0000|[dD][89a-fA-F])|NaN|Infinity|\d[eE]\+?\d\d|\d{300}")

# code: (severity, message); every {} is filled in where the problem is seen
CODES = {
    # the file
    "bom": ("warning", "a byte order mark, which many readers refuse; save the file without one"),
    "crlf": ("info", "{} line(s) end in CRLF (Windows); read all the same, but hashes differ from LF"),
    "blank_line": ("warning", "{} blank line(s) from here; some readers stop or fail at one: delete them"),
    # the line
    "long_line": ("warning", "this line has {:,} bytes; trainers cut at max_length tokens: is it one row?"),
    "line_too_long": ("error", "this line has {:,} bytes and only {:,} are read; {}"),
    "nul_byte": ("error", "byte {} is NUL; the file is damaged or UTF-16: save it again as UTF-8"),
    "invalid_utf8": ("error", "byte {} of the line (0x{:02x}) is not UTF-8; save the file again as UTF-8"),
    "broken_json": ("error", "not JSON: {}; {}"),
    "many_lines": ("error", "{} over {:,} lines, where JSONL has one object a line; {}"),
    "not_an_object": ("error", "this line holds {}; write one JSON object a line"),
    # any value
    "duplicate_key": ("error", "stands twice in one object and readers differ on which one counts; keep one"),
    "too_deep": ("error", "more than {} objects or lists inside one another; flatten the row"),
    "not_finite": ("error", "NaN, Infinity or a number too large for a float; write null or a finite number"),
    "lone_surrogate": ("error", "half a surrogate pair, which tokenizers refuse; write the whole character"),
    "nul_character": ("warning", "a NUL character (\\u0000), mostly a trace of damage; remove it"),
    # the conversation
    "missing_messages": ("error", "is missing; {}"),
    "empty_messages": ("error", "is an empty list; give at least a user and an assistant turn"),
    "wrong_type": ("error", "is {}; it must be {}"),
    "missing_role": ("error", "is missing; write one of {}"),
    "unknown_role": ("error", "{!r} is not a role that chat templates know; write {}"),
    "system_not_first": ("error", "a system turn must be the first and only one: move it or merge it"),
    "missing_content": ("error", "is missing or null; write the text of the turn"),
    "empty_content": ("error", "is empty; write the text of the turn or drop the row"),
    "other_part": ("error", "a part of type {!r}, and only text is trained on here; {}"),
    "old_function_call": ("error", "the old form; write tool_calls: [{{id, type: function, function: this}}] instead"),
    "old_functions": ("warning", "the old form, ignored by trainers; write tools: [{{type: function, function: ...}}]"),
    "misplaced_tool_calls": ("error", "only an assistant turn calls tools; move them to one"),
    "bad_weight": ("error", "must be 0 (do not train on this turn) or 1"),
    "last_not_assistant": ("error", "the last turn must be the assistant's: add it or cut what follows it"),
    "nothing_to_learn": ("error", "every assistant turn has weight 0; give one of them weight 1"),
    "unseen_system": ("warning", "a system text beside the messages is not seen by a model; make it the first turn"),
    "no_user_turn": ("warning", "has no user turn; many chat templates expect one"),
    "repeated_role": ("warning", "two {} turns in a row; some trainers drop such rows: join them"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem: `field` is a path such as `messages[1].content`, empty when the whole line is meant."""

    code: str
    severity: str
    file: str
    line: int
    field: str
    message: str

    def __str__(self):
        return f"{self.file}:{self.line} {self.field + ': ' if self.field else ''}{self.message}"


@dataclass(frozen=True, slots=True)
class Row:
    """One usable row and where it stands: `line` counts from 1 in the file as it lies on disk."""

    data: dict
    file: str
    line: int


@dataclass(frozen=True, repr=False)
class ChatCheck:
    """What `check_chat` saw; `rows` are the usable ones, `counts` the number of findings by code."""

    path: str
    rows: list[dict]
    rows_in: int
    rows_kept: int
    findings: list[Finding]
    counts: dict[str, int]
    lines: list[int]  # of each usable row

    @property
    def placed(self) -> list[Row]:
        """The usable rows with their places."""
        return [Row(row, self.path, line) for row, line in zip(self.rows, self.lines, strict=True)]

    @property
    def errors(self) -> list[Finding]:
        """The findings that make a row unusable."""
        return errors_of(self.findings)

    def to_dict(self) -> dict:
        """The report without the rows, ready for JSON."""
        return {"rows_in": self.rows_in, "rows_kept": self.rows_kept, **findings_dict(self.findings)}

    def __repr__(self):
        return report_text(f"ChatCheck({self.path}: {self.rows_kept} of {self.rows_in} rows usable", self.findings)

    def _repr_html_(self):
        return report_table([("rows in the file", self.rows_in), ("rows usable", self.rows_kept)], self.findings)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file: `row` is its JSON value, None where it has none; blank lines are no row.

    `at` is the place of the row in its line where several share one, such as data[2].
    """

    number: int
    row: object
    findings: list[Finding]
    is_row: bool = True
    at: str = ""


def check_chat(path: str | Path) -> ChatCheck:
    """Check a chat JSONL file; bad content becomes findings, never an exception.

    Every line that is not blank is a row, so `rows_in == rows_kept + rows with an error`.
    Raises DataError only when there is nothing to check: no such file, a folder, or not one row.
    """
    rows, lines, findings, rows_in = [], [], [], 0
    for line in scan_jsonl(path):
        found = list(line.findings)
        row = Row(line.row, str(path), line.number)
        if isinstance(line.row, dict):
            found += row_findings(row)
        elif line.is_row and not errors_of(found):
            found += as_findings([not_an_object(line.row)], row)
        findings += found
        rows_in += line.is_row
        if line.is_row and not errors_of(found):
            rows.append(line.row)
            lines.append(line.number)
    findings.sort(key=lambda finding: finding.line)
    counts = dict(Counter(finding.code for finding in findings))
    return ChatCheck(str(path), rows, rows_in, len(rows), findings, counts, lines)


def read_chat(path: str | Path) -> list[dict]:
    """Return the rows of a chat JSONL file; one DataError lists the first problems if a row is unusable."""
    check = check_chat(path)
    raise_findings(check.errors)
    return check.rows


def write_chat(rows: Iterable[dict], path: str | Path, force: bool = False) -> Path:
    """Write rows as JSONL (UTF-8, LF, one object a line), all or nothing; `force` allows overwriting."""
    path = Path(path)
    refuse_existing(path, force)
    with whole_file(path) as file:
        for number, row in enumerate(rows, 1):
            file.write(_encode(row, f"{path}:{number}") + b"\n")
    return path


# --- files


def scan_jsonl(path: str | Path) -> Iterator[Line]:
    """Yield every row of a JSONL file with what is wrong in it as JSON, one line in memory at a time.

    Blank lines, a byte order mark and CRLF line ends come as lines with `is_row=False`. JSON printed over many lines
    is one row with one error, at its first line; only then are several lines in memory.
    Raises DataError for a missing file, a folder and a file without one row.
    """
    held, text, depth = [], bytearray(), 0  # what may be the beginning of one value over many lines
    for line, raw in _scan_lines(path):
        if held and not _goes_on(text, line, raw):
            yield from held
            held, text, depth = [], bytearray(), 0
        if not held and not _is_cut(line, raw):
            yield line
            continue
        held.append(line)
        text += raw
        depth += _brackets(raw)
        if depth > 0 and len(text) < MAX_SPREAD_BYTES:
            continue
        whole = _one_value(path, held, text) if depth == 0 else None
        yield from held if whole is None else [whole]
        held, text, depth = [], bytearray(), 0
    yield from held


def _scan_lines(path) -> Iterator[tuple[Line, bytes]]:
    """Every line by itself, and its bytes; notes on the file have none."""
    rows = crlf = first_crlf = blank = first_blank = 0
    name = str(path)
    for number, raw, size in raw_lines(path):
        if raw.endswith(b"\r\n"):
            crlf += 1
            first_crlf = first_crlf or number
        if number == 1 and raw.startswith(codecs.BOM_UTF8):
            raw = raw.removeprefix(codecs.BOM_UTF8)
            yield _note(path, 1, "bom"), b""
        if size <= MAX_LINE_BYTES and not raw.strip(b" \t\r\n"):
            blank += 1
            first_blank = first_blank or number
            continue
        if blank:
            yield _note(path, first_blank, "blank_line", blank), b""
            blank = first_blank = 0
        rows += 1
        row, problems = _parse(raw, size)
        yield Line(number, row, as_findings(problems, Row({}, name, number)) if problems else []), raw
    if blank:
        yield _note(path, first_blank, "blank_line", blank), b""
    if crlf:
        yield _note(path, first_crlf, "crlf", crlf), b""
    if not rows:
        raise DataError(f"{path} is empty: it needs one JSON object a line")


def _is_cut(line: Line, raw: bytes) -> bool:
    """True for a line that looks like the first of a JSON value over many lines."""
    broken = any(finding.code == "broken_json" for finding in line.findings)
    return broken and raw.lstrip()[:1] in (b"{", b"[") and _brackets(raw) > 0


def _goes_on(text: bytearray, line: Line, raw: bytes) -> bool:
    """False where legal JSON cannot go on with this line."""
    if any(finding.code == "line_too_long" for finding in line.findings):
        return False
    return not line.is_row or text.rstrip()[-1:] in b"[{,:" or raw.lstrip()[:1] in b"]},:"


def _brackets(raw: bytes) -> float:
    """Brackets opened less those closed; minus infinity where a string does not end in the line."""
    rest = _STRING.sub(lambda match: b"" if match[1] else b'"', raw)
    opened = rest.count(b"{") + rest.count(b"[") - rest.count(b"}") - rest.count(b"]")
    return -math.inf if b'"' in rest else opened


def _one_value(path, held: list[Line], text: bytearray) -> Line | None:
    """The lines as one row that says so; None where they are no JSON value together."""
    try:
        value = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    first, last = held[0].number, held[-1].number
    remedy = "put each object on one line (jq -c . writes them so)"
    if isinstance(value, list) or isinstance(value.get("data"), list):
        remedy = "if this is all of the file, name it .json"
    problem = ("many_lines", "", _whole_kind(value), last - first + 1, remedy)
    return Line(first, None, as_findings([problem], Row({}, str(path), first)))


def raw_lines(path: str | Path) -> Iterator[tuple[int, bytes, int]]:
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


def _note(path, number, code, *values):
    return Line(number, None, as_findings([(code, "", *values)], Row({}, str(path), number)), is_row=False)


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
        return "one object a line: put the rest on a line of its own"
    if text.strip() in ("]", "{", "}") or text.lstrip().startswith("["):
        return "this looks like pretty-printed JSON or one big list: write one object a line"
    if error.pos >= len(text):
        return "the line ends too early: was it cut, or does it go on in the next one? Write one object a line"
    return "mend the line by hand or write the file again with a JSON library"


def long_integer() -> str:
    """What json refuses with a ValueError that is no JSONDecodeError."""
    return f"an integer of more than {sys.get_int_max_str_digits():,} digits, which Python does not read"


def not_an_object(value) -> tuple:
    """The problem of a row that is no JSON object, for `as_findings`."""
    kind = _whole_kind(value)
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        bare = all({"role", "content"} <= set(item) for item in value)
        around = 'turns without {"messages": ...} around them'
        kind += f" ({around if bare else 'name the file .json if this is all of it'})"
    elif isinstance(value, str) and json_container(value) is not None:
        kind += " that is JSON itself, encoded twice"
    return "not_an_object", "", kind


def _whole_kind(value) -> str:
    """What a JSON value is, in words, and how many objects a list has."""
    objects = sum(isinstance(item, dict) for item in value) if isinstance(value, list) else 0
    return f"a list of {objects:,} object(s)" if objects else kind_of(value)


def _encode(row, place) -> bytes:
    if not isinstance(row, dict):
        raise DataError(f"{place}: a row must be an object (dict), not {type(row).__name__}")
    try:
        return json.dumps(row, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{place}: not writable as JSON: {error}; use text, numbers, lists") from error


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


@lru_cache(maxsize=1024)
def content_field(turn: int) -> str:
    """The name of the text of a turn in findings; one string for all rows."""
    return f"messages[{turn}].content"


def kind_of(value) -> str:
    """What a JSON value is, in words: "a string", "an object"."""
    if value is None:
        return "null"
    names = {bool: "true or false", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")


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


def note_duplicates(duplicates: list[str]) -> Callable:
    """An `object_pairs_hook` for json that adds to `duplicates` each key that stands twice in one object."""

    def to_dict(pairs):
        result = dict(pairs)
        if len(result) < len(pairs):
            duplicates.extend(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        return result

    return to_dict


# --- the rules of a chat row


def row_findings(row: Row) -> list[Finding]:
    """What is wrong with the conversation of one row."""
    return as_findings(row_problems(row.data), row)


def row_problems(row: dict) -> Iterator[tuple]:
    """The broken rules of a chat row as (code, field, *values), for `as_findings`."""
    messages = row.get("messages")
    if messages is None:
        yield "missing_messages", "messages", _messages_hint(row)
    elif not isinstance(messages, list):
        yield "wrong_type", "messages", kind_of(messages), "a list of turns"
    elif not messages:
        yield "empty_messages", "messages"
    else:
        for index, turn in enumerate(messages):
            if _is_plain_turn(turn):
                continue
            if isinstance(turn, dict):
                yield from _turn_problems(turn, f"messages[{index}]", index)
            else:
                yield "wrong_type", f"messages[{index}]", kind_of(turn), "an object with role and content"
        turns = [turn if isinstance(turn, dict) else {} for turn in messages]
        yield from _conversation_problems(turns)
        if isinstance(row.get("system"), str) and row["system"].strip() and turns[0].get("role") != "system":
            yield "unseen_system", "system"
    functions = row.get("functions")
    if isinstance(functions, list) and any(isinstance(item, dict) and "name" in item for item in functions):
        yield "old_functions", "functions"


def _messages_hint(row):
    if "conversations" in row:
        return "rename conversations to messages, from to role (user, assistant) and value to content"
    if {"prompt", "instruction", "input", "text"} & set(row):
        return "turn the input into a user turn and the answer into an assistant turn"
    return 'write {"messages": [{"role": "user", "content": ...}, {"role": "assistant", "content": ...}]}'


def _is_plain_turn(turn) -> bool:
    """True for the commonest sound turn: a user's or an assistant's text and nothing else."""
    if not isinstance(turn, dict) or len(turn) != 2 or turn.get("role") not in ("user", "assistant"):
        return False
    content = turn.get("content")
    return isinstance(content, str) and not content.isspace() and content != ""


def _turn_problems(turn, at, index):
    role = turn.get("role")
    if role is None:
        yield "missing_role", f"{at}.role", ", ".join(ROLES)
    elif not isinstance(role, str):
        yield "wrong_type", f"{at}.role", kind_of(role), f"one of {', '.join(ROLES)}"
    elif role not in ROLES:
        lower = role.strip().lower()
        advice = lower if lower in ROLES else ROLE_HINTS.get(lower, f"one of {', '.join(ROLES)}")
        if lower == "function":
            advice += ", and the id of the call that it answers as tool_call_id"
        yield "unknown_role", f"{at}.role", role[:40], advice
    if role == "system" and index:
        yield "system_not_first", f"{at}.role"
    yield from _content_problems(turn, at, role)
    weight = turn.get("weight")
    if isinstance(weight, bool) or weight not in (None, 0, 1):
        yield "bad_weight", f"{at}.weight"


def _content_problems(turn, at, role):
    calls, content = turn.get("tool_calls"), turn.get("content")
    if calls is not None and not (isinstance(calls, list) and all(isinstance(call, dict) for call in calls)):
        yield "wrong_type", f"{at}.tool_calls", kind_of(calls), "a list of objects"
    elif calls and role != "assistant":
        yield "misplaced_tool_calls", f"{at}.tool_calls"
    old_call = turn.get("function_call")
    if old_call:
        yield "old_function_call", f"{at}.function_call"
    if content is None:
        if not calls and not old_call:
            yield "missing_content", f"{at}.content"
    elif isinstance(content, list) and content and all(isinstance(part, str | dict) for part in content):
        yield from _part_problems(content, f"{at}.content")
    elif not isinstance(content, str):
        yield "wrong_type", f"{at}.content", kind_of(content), "one string"
    elif not content.strip() and not calls and not old_call and role != "tool":
        yield "empty_content", f"{at}.content"


def _part_problems(parts, at):
    """Content as a list of parts: text alone can be joined, whatever else is there cannot be kept."""
    others = [(index, part) for index, part in enumerate(parts) if not _is_text_part(part)]
    for index, part in others:
        kind = part.get("type", "")
        calls = kind in ("tool_use", "tool_result", "tool_call")
        remedy = "write calls as tool_calls and results as turns of role tool" if calls else "drop the row"
        yield "other_part", f"{at}[{index}]", kind if isinstance(kind, str) else kind_of(kind), remedy
    if not others:
        yield "wrong_type", at, f"a list of {len(parts)} text part(s)", "one string: join their texts"


def _is_text_part(part) -> bool:
    return isinstance(part, str) or (
        isinstance(part, dict) and isinstance(part.get("text"), str) and part.get("type", "text") in TEXT_PARTS
    )


def joined_parts(content) -> str | None:
    """The text of a content that is a list of text parts, one a line; None for any other content."""
    if not isinstance(content, list) or not content or not all(map(_is_text_part, content)):
        return None
    return "\n".join(part if isinstance(part, str) else part["text"] for part in content)


def _conversation_problems(turns):
    roles = [turn.get("role") for turn in turns]
    last = f"messages[{len(turns) - 1}].role"
    if roles[-1] != "assistant":
        yield "last_not_assistant", last
    elif all(turn.get("weight") == 0 for turn in turns if turn.get("role") == "assistant"):
        yield "nothing_to_learn", last
    if "user" not in roles:
        yield "no_user_turn", "messages"
    for index, (before, role) in enumerate(pairwise(roles), 1):
        if role == before and role in ("user", "assistant"):
            yield "repeated_role", f"messages[{index}].role", role


# --- findings


def finding(codes: dict, code: str, row: Row, field: str, *values) -> Finding:
    """One problem of one row; `codes` maps a code to (severity, message), each {} in it takes one of `values`."""
    severity, message = codes[code]
    file, field, text = map(_printable, (row.file, field[:200], message.format(*values)))
    return Finding(code, severity, file, row.line, field, text)


def as_findings(problems: Iterable[tuple], row: Row, codes: dict = CODES, at: str = "") -> list[Finding]:
    """Turn (code, field, *values) into findings, at most MAX_PER_ROW of each severity; `at` goes before the field."""
    seen, findings = {}, []
    for code, field, *values in problems:
        severity = codes[code][0]
        seen[severity] = seen.get(severity, 0) + 1
        if seen[severity] <= MAX_PER_ROW:
            field = f"{at}.{field}" if at and field else at or field
            findings.append(finding(codes, code, row, field, *values))
    return findings


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
    import pandas as pd

    rows = [(what, value, "") for what, value in counts]
    rows += [(finding.code, f"line {finding.line}", str(finding)) for finding in findings[:50]]
    return pd.DataFrame(rows, columns=["what", "value", "detail"]).to_html(index=False)


def _printable(text):
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
