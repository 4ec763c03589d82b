"""Every check of a training file in one call, and a repaired copy in which nothing changes unseen.

`check` reads any format of `ftlab.data.formats`, turns the rows into messages and merges what all checks find.
`fix` repairs what has one right repair, and lists each change and each row that it leaves out.

Time and memory of `check` grow with the rows. Rows are kept as bytes; over both processes one of 500 bytes takes
about 2.5 kB, so that a million need less than 3 GB (`tools/bench_check.py`). Every finding is kept, 0.4 kB each.
`fix` holds its rows as objects: about 4 kB a row.
"""

import codecs
import json
import os
import pickle
import subprocess
import sys
import threading
from array import array
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ftlab import files
from ftlab.checks import damage, labels, privacy, quality
from ftlab.data import formats, schema, sources
from ftlab.data.schema import Finding, Line, Row
from ftlab.errors import DataError
from ftlab.hardware import usable_cores
from ftlab.models import load_tokenizer

SEVERITIES = ("error", "warning", "info")  # worst first
MAX_LENGTH = 1024  # tokens; TRL's own default
MANY_ROWS = 20_000  # from here on a second process pays for its start
CHUNK_ROWS = 1000  # handed to it at a time

CODES = {
    "repeated_row": ("warning", "is line {} once more, letter for letter; one of them is enough"),
}


class PackedRows(Sequence):
    """Rows as bytes, a quarter of what they take as objects; each is made anew when it is asked for."""

    def __init__(self, rows: Iterable[Row] = ()):
        self._data, self._files, self._lines = [], [], array("q")
        for row in rows:
            self.append(row)

    def append(self, row: Row, data: bytes | None = None) -> None:
        """Add a row; `data` is its pickled data where that exists already."""
        self._data.append(pickle.dumps(row.data, pickle.HIGHEST_PROTOCOL) if data is None else data)
        self._files.append(row.file)
        self._lines.append(row.line)

    def places(self) -> Iterator[tuple[str, int]]:
        """File and line of each row."""
        return zip(self._files, self._lines, strict=True)

    def __len__(self):
        return len(self._data)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        return Row(pickle.loads(self._data[index]), self._files[index], self._lines[index])

    def __iter__(self):
        return map(Row, map(pickle.loads, self._data), self._files, self._lines)

    def __repr__(self):
        return f"PackedRows({len(self):,} rows)"

    def under(self, name: str, without: set[tuple[str, int]]) -> "PackedRows":
        """The rows under one file name, without those at the places in `without`."""
        rows = PackedRows()
        for data, file, line in zip(self._data, self._files, self._lines, strict=True):
            if (file, line) not in without:
                rows.append(Row({}, name, line), data)
        return rows

    def parts(self, size: int) -> Iterator[tuple[list[bytes], list[str], array]]:
        """What `extend` takes, `size` rows at a time; then an empty part."""
        for start in range(0, len(self) + size, size):
            part = slice(start, start + size)
            yield self._data[part], self._files[part], self._lines[part]

    def extend(self, part: tuple[list[bytes], list[str], array]) -> None:
        """Add the rows of a part."""
        data, files, lines = part
        self._data += data
        self._files += map(sys.intern, files)
        self._lines += lines


@dataclass(frozen=True, repr=False)
class CheckReport:
    """What all checks found in one file, in the order of its lines; `rows` are those without an error, as messages.

    `counts` is the number of findings by code; `trained` what each trainer would train on, None without a model.
    """

    path: str
    format: str | None
    rows_in: int
    rows_kept: int
    rows: PackedRows
    findings: list[Finding]
    counts: dict[str, int]
    trained: object = None  # tokens.TrainedRows

    @property
    def errors(self) -> list[Finding]:
        """The findings that make a row unusable."""
        return schema.errors_of(self.findings)

    @property
    def classes(self) -> list[tuple[str, str, list[Finding]]]:
        """(severity, code, findings), worst first and then the most frequent first."""
        by_code = defaultdict(list)
        for finding in self.findings:
            by_code[finding.severity, finding.code].append(finding)
        order = sorted(by_code, key=lambda kind: (SEVERITIES.index(kind[0]), -len(by_code[kind]), kind[1]))
        return [(*kind, by_code[kind]) for kind in order]

    def to_dict(self) -> dict:
        """The report without the rows, ready for JSON."""
        severities = Counter(finding.severity for finding in self.findings)
        return {
            "rows_in": self.rows_in,
            "rows_kept": self.rows_kept,
            **schema.findings_dict(self.findings),
            "summary": {
                "path": self.path,
                "format": self.format,
                **{severity: severities[severity] for severity in SEVERITIES},
                "trained": None if self.trained is None else asdict(self.trained),
            },
        }

    def __repr__(self):
        severities = Counter(finding.severity for finding in self.findings)
        tally = ", ".join(f"{severities[name]} {name}" for name in SEVERITIES if severities[name]) or "no findings"
        usable = f"{self.rows_kept:,} of {self.rows_in:,} rows without an error"
        lines = [f"CheckReport({self.path}, {self.format}: {usable}; {tally})"]
        for severity, code, findings in self.classes:
            lines += [f"{severity:<8}{code:<22}{len(findings):>6,}  {_lines(findings)}", f"        {findings[0]}"]
        return "\n".join(lines + ([repr(self.trained)] if self.trained is not None else []))

    def _repr_html_(self):
        import pandas as pd

        table = pd.DataFrame(
            [
                ("", "rows in the file", self.rows_in, "", ""),
                ("", "rows without an error", self.rows_kept, "", ""),
                *(
                    (severity, code, len(findings), _lines(findings), str(findings[0]))
                    for severity, code, findings in self.classes
                ),
            ],
            columns=["severity", "what", "how many", "where", "the first of them"],
        )
        trained = self.trained._repr_html_() if self.trained is not None else ""
        return table.to_html(index=False) + trained


def check(
    path,
    against=None,
    model: str | Path | None = None,
    max_length: int | None = MAX_LENGTH,
    format: str | None = None,
    processes: int | None = None,
) -> CheckReport:
    """Run every check on a training file; bad content becomes findings, never an exception.

    `against` is an evaluation file whose inputs must not be in this one; `model` a name for its tokenizer, which
    adds what depends on tokens (`max_length` in tokens, None for no cut). An error in `against` is listed under
    that file's name. `processes` is 1 or 2: the second one looks for duplicates, with the same findings; None takes
    it for MANY_ROWS or more. Raises DataError when there is nothing to check, ModelError without such a
    tokenizer.
    """
    from ftlab.checks import duplicates, tokens

    if against is not None and formats.is_same_file(path, against):
        raise DataError(f"{path} is compared with itself: name another file, such as the test set (--against)")
    tokenizer = load_tokenizer(model)
    source = _load(path, format)
    findings, trained, rows = [], None, source.rows
    if rows:
        with _duplicates(rows, processes) as found_duplicates:
            others = quality.find_quality_problems(rows, control_tokens=tokenizer is None) + privacy.find_private(rows)
            if tokenizer is not None and max_length is None:
                others += tokens.find_token_problems(rows, tokenizer, None)
            elif tokenizer is not None:
                found, trained = tokens.problems_and_trained_rows(rows, tokenizer, max_length)
                others += found
            findings = found_duplicates() + others
    if against is not None:
        other = _load(against, None)
        findings += schema.errors_of(other.findings)
        if rows and other.rows:
            findings += duplicates.find_leaks(rows, other.rows)
    findings = source.findings + _under_source_names(findings, source)
    kept = rows.under(source.name, {(finding.file, finding.line) for finding in schema.errors_of(findings)})
    findings = [_with_place(finding, source.places) for finding in findings]
    findings.sort(key=lambda finding: (finding.file != source.name, finding.line))
    counts = dict(Counter(finding.code for finding in findings))
    return CheckReport(source.name, source.format, source.rows_in, len(kept), kept, findings, counts, trained)


@contextmanager
def _duplicates(rows: PackedRows, processes: int | None) -> Iterator[Callable[[], list[Finding]]]:
    """Begin to look for duplicates and yield what waits for the findings; in this process they are made then.

    The other one is a plain child process: multiprocessing would run a user's script without a main guard again.
    Whatever goes wrong there, the work is done here.
    """
    from ftlab.checks.duplicates import find_duplicates

    if processes is None:
        processes = 2 if len(rows) >= MANY_ROWS and usable_cores() > 1 else 1
    if processes < 2 or not sys.executable:
        yield lambda: find_duplicates(rows)
        return
    ours = Path(__file__).resolve().parents[2]  # the folder of this very ftlab
    paths = [str(ours), os.environ.get("PYTHONPATH", "")]
    with subprocess.Popen(
        [sys.executable, "-P", "-c", "from ftlab.data import check; check._find_duplicates_for_parent()"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as child:  # fmt: skip

        def wait():
            try:
                return pickle.load(child.stdout)
            except Exception:  # a garbled answer raises many kinds
                return find_duplicates(rows)

        sender = threading.Thread(target=_send, args=(rows, child.stdin))
        sender.start()
        try:
            yield wait
        finally:
            child.kill()
            sender.join()


def _send(rows, stream) -> None:
    """Write the rows and an empty part as the end."""
    try:
        with stream:
            for part in rows.parts(CHUNK_ROWS):
                pickle.dump(part, stream)
    except Exception:  # without the end the reader gives no answer, and that is noticed
        pass


def _find_duplicates_for_parent() -> None:
    """The other side of `_duplicates`: rows from stdin, findings to stdout."""
    from ftlab.checks.duplicates import find_duplicates

    rows = PackedRows()
    while (part := pickle.load(sys.stdin.buffer))[0]:
        rows.extend(part)
    pickle.dump(find_duplicates(rows), sys.stdout.buffer)


@dataclass(frozen=True)
class Change:
    """One repair: what stood in `field` of a line and what stands there now, shortened, private pieces masked."""

    line: int
    field: str
    code: str
    before: str
    after: str

    def __str__(self):
        place = f"line {self.line}{' ' + self.field if self.field else ''}"
        return f"{place} [{self.code}] {self.before} -> {self.after}"


@dataclass(frozen=True, repr=False)
class FixReport:
    """What `fix` did: every change, and for every row left out the reason. `rows_in == rows_out + len(dropped)`."""

    path: str
    out: str
    format: str
    rows_in: int
    rows_out: int
    changes: list[Change]
    dropped: list[Finding]

    def to_dict(self) -> dict:
        """The report, ready for JSON."""
        counts = Counter(change.code for change in self.changes)
        return asdict(self) | {"counts": dict(counts)}

    def __repr__(self):
        head = (
            f"FixReport({self.path} ({self.format}) -> {self.out}: {self.rows_out:,} of {self.rows_in:,} rows "
            f"written, {len(self.changes)} change(s), {len(self.dropped)} row(s) left out)"
        )
        dropped = [f"left out: {row}" for row in self.dropped]
        return "\n".join([head, *schema.listing(self.changes, 10), *schema.listing(dropped, 10)])

    def _repr_html_(self):
        import pandas as pd

        rows = [("left out", row.line, row.code, row.message, "") for row in self.dropped]
        rows += [("changed", c.line, f"{c.code} {c.field}", c.before, c.after) for c in self.changes]
        columns = ["what", "line", "why and where", "before", "after"]
        return pd.DataFrame(rows, columns=columns).to_html(index=False, max_rows=200)


def fix(path, out: str | Path, format: str | None = None, mask: bool = True, force: bool = False) -> FixReport:
    """Write a repaired copy as messages JSONL; what has no single right repair stays as it is or is left out, listed.

    Repaired: byte order mark, CRLF, blank lines, role names such as human, mojibake, doubled special tokens,
    blanks at the end of a turn, a system prompt that differs in spacing or case, spellings of a label, private
    data (`mask`), rows that repeat another. A line without a repair is copied byte for byte. Raises DataError when
    `out` exists (unless `force`), is `path` itself, or when not one row could be written.
    """
    out = files.jsonl_path(out)
    if formats.is_same_file(path, out):
        raise DataError(f"{out} is the file that is read: write the repaired copy under another name")
    files.refuse_existing(out, force)
    records = []
    source = _load(path, format, records)
    dropped = list(source.dropped)
    todo = records
    while todo:  # until nothing changes: one repair can lay bare the next
        changed = [record for record in todo if _repair_texts(record, mask)]
        records = _leave_out(records, _broken(records), dropped)
        records = _leave_out(records, _repeated(records), dropped)
        changed += _repair_across(records)
        todo = list({id(record): record for record in changed}.values())
    if not records:
        schema.raise_findings(dropped)
    _write([record.encode() for record in records], out, source.ends_with_newline)
    changes = [_located(change, record, source.places) for record in records for change in record.changes]
    changes = sorted(source.changes + changes, key=lambda change: change.line)
    dropped = sorted((_with_place(finding, source.places) for finding in dropped), key=lambda finding: finding.line)
    return FixReport(source.name, str(out), source.format, source.rows_in, len(records), changes, dropped)


# ---- reading


@dataclass(eq=False, slots=True)
class _Record:
    """A row as messages, with the bytes of its line where these already are a messages row."""

    row: Row
    raw: bytes | None = None
    chat: formats.Chat | None = None  # knows the names that the source has; None where it has ours
    changes: list = field(default_factory=list)

    def note(self, place: str, code: str, before: str, after: str) -> None:
        """Note one change of the row."""
        self.changes.append(Change(self.row.line, place, code, _short(before), _short(after)))

    def encode(self) -> bytes:
        """The line without its end: as it stood, or written in the style (spaces, escapes) in which it stood."""
        if self.raw is not None and not self.changes:
            return self.raw
        styles = [{"ensure_ascii": False, "separators": gaps} for gaps in (None, (",", ":"))]
        styles += [style | {"ensure_ascii": True} for style in styles]
        was = json.loads(self.raw) if self.raw is not None else None
        same = (style for style in styles if self.raw is not None and json.dumps(was, **style).encode() == self.raw)
        return json.dumps(self.row.data, allow_nan=False, **next(same, styles[0])).encode()


@dataclass
class _Source:
    """A file as it was read: its usable rows, all findings, and for each other row the first error."""

    name: str
    format: str | None
    rows: PackedRows
    turns: list[bytes | None]  # of each row: where its turns stand in the source, pickled; None where it has our names
    findings: list[Finding]
    dropped: list[Finding]
    changes: list  # what reading repairs: the byte order mark, line ends, blank lines, roles, text parts
    places: dict[str, tuple[str, str]]  # for rows that share a line: a file name of their own -> (file, place)
    rows_in: int = 0
    ends_with_newline: bool = True


def _load(path, format, to_repair: list[_Record] | None = None) -> _Source:
    """The rows of a source; or into `to_repair`, with the bytes of the lines, roles and text parts mended."""
    lines = deque()  # one reading: it is the dear part
    name = sources.name_of(path)
    passing = _pack_lines(sources.scan(path, formats.fits), lines)
    format = formats.format_of_lines(passing, name) if format is None else formats.format_of(path, format)
    deque(passing, maxlen=0)  # to the end
    source = _Source(name, format, PackedRows(), [], [], [], [], {})
    raw = _raw_lines(path) if to_repair is not None and format == "messages" else {}
    has_bytes = bool(raw)
    source.ends_with_newline = not raw or raw[max(raw)].endswith(b"\n")
    same = {}  # most rows of a file have their turns at the same places
    while lines:
        line, packed = lines.popleft()
        line = line if packed is None else Line(line, pickle.loads(packed), [])
        chat, found = formats.read_line(line, name, format)
        source.findings += found
        source.rows_in += line.is_row
        if not line.is_row:
            source.changes += [_of_the_file(finding) for finding in found]
            continue
        file = f"{name} {line.at}" if line.at else name
        if line.at:
            source.places[file] = (name, line.at)
        row = Row(chat.data if chat else line.row, file, line.number)
        places = chat if chat and chat.places else None
        errors = schema.errors_of(found)
        if to_repair is not None:
            record = _Record(row, _body(raw.pop(line.number)) if has_bytes else None, places)
            line_is_good = isinstance(line.row, dict) and not schema.errors_of(line.findings)
            if format == "messages" and line_is_good:
                _repair_turns(record)
                errors = errors if _problems(record) else []
            if not errors:
                to_repair.append(record)
        elif not errors:
            source.rows.append(row, packed if chat.data is line.row else None)
            turns = places and pickle.dumps((places.places, places.rejected))
            source.turns.append(same.setdefault(turns, turns))
        source.dropped += errors[:1]
    return source


def _pack_lines(scanned: Iterable[Line], lines: deque) -> Iterator[Line]:
    """Pass the lines on and keep them: (number, pickled row) of one that is nothing but a row, else (line, None)."""
    for line in scanned:
        is_plain = line.is_row and not line.findings and not line.at
        lines.append((line.number, pickle.dumps(line.row, pickle.HIGHEST_PROTOCOL)) if is_plain else (line, None))
        yield line


def _raw_lines(path) -> dict[int, bytes]:
    """The lines of a plain JSONL file by number; nothing for other sources."""
    if not isinstance(path, str | Path) or Path(path).suffix.lower() not in files.JSONL_SUFFIXES:
        return {}
    return {number: raw for number, raw, _ in schema.raw_lines(path)}


def _body(raw):
    """A line without byte order mark and line end."""
    raw = raw.removeprefix(codecs.BOM_UTF8)
    return raw.removesuffix(b"\r\n") if raw.endswith(b"\r\n") else raw.removesuffix(b"\n")


def _of_the_file(finding):
    after = {"bom": "none", "crlf": "LF", "blank_line": "removed"}.get(finding.code, "left out")
    return Change(finding.line, finding.field, finding.code, finding.message.partition(";")[0], after)


def _with_place(finding, places):
    """The finding under the name of its file, with the place in the line where rows share one."""
    if finding.file not in places:
        return finding
    file, at = places[finding.file]
    return replace(finding, file=file, field=f"{at}.{finding.field}".rstrip("."))


def _under_source_names(findings, source):
    """The findings with the names of fields that the source has, such as completion for the last turn."""
    if not any(source.turns):
        return findings
    places = {(finding.file, finding.line) for finding in findings}
    turns = {place: turns for place, turns in zip(source.rows.places(), source.turns, strict=True) if place in places}
    found = []
    for finding in findings:
        packed = turns.get((finding.file, finding.line))
        name = formats.Chat({}, *pickle.loads(packed)).source_field(finding.field) if packed else finding.field
        found.append(replace(finding, field=name) if name != finding.field else finding)
    return found


def _located(change, record, places):
    _, at = places.get(record.row.file, ("", ""))
    return replace(change, field=f"{at}.{change.field}") if at else change


# ---- repairs


def _repair_turns(record) -> None:
    """Mend what would make a row unusable and has one right repair: names of roles, content cut into text parts."""
    messages = record.row.data.get("messages")
    for index, turn in enumerate(messages if isinstance(messages, list) else []):
        if not isinstance(turn, dict):
            continue
        if (text := schema.joined_parts(turn.get("content"))) is not None:
            parts = f"a list of {len(turn['content'])} text part(s)"
            record.note(f"messages[{index}].content", "wrong_type", parts, privacy.mask_private(text))
            turn["content"] = text
        role = turn.get("role")
        if isinstance(role, str) and role not in schema.ROLES:
            plain = role.strip().lower()
            known = plain if plain in schema.ROLES else schema.ROLE_HINTS.get(plain)
            if known:
                record.note(f"messages[{index}].role", "unknown_role", privacy.mask_private(role), known)
                turn["role"] = known


def _problems(record) -> list[Finding]:
    """What makes a row unusable."""
    return schema.errors_of(schema.row_findings(record.row))


def _broken(records) -> Iterator[tuple[_Record, Finding]]:
    """Rows that a repair has left without a text."""
    for record in records:
        if record.changes and (problems := _problems(record)):
            yield record, problems[0]


def _repeated(records) -> Iterator[tuple[_Record, Finding]]:
    from ftlab.checks import duplicates

    rows = {id(record.row): record for record in records}
    repeated = duplicates.duplicates_to_drop([record.row for record in records])
    if not repeated:
        return
    first = {}
    for record in records:
        first.setdefault(hash(_content(record.row)), record.row)
    for row in repeated:
        original = first[hash(_content(row))]
        if original is row:  # another rejected answer
            continue
        place = original.line if original.file == row.file else f"{original.line} ({original.file})"
        yield rows[id(row)], schema.finding(CODES, "repeated_row", row, "messages", place)


def _content(row):
    return json.dumps([row.data["messages"], row.data.get("tools"), row.data.get("rejected")], sort_keys=True)


def _leave_out(records, out, dropped) -> list[_Record]:
    out = {id(record): finding for record, finding in out}
    dropped += out.values()
    return [record for record in records if id(record) not in out]


def _repair_texts(record, mask) -> bool:
    """Repair what one row shows by itself; True if something changed."""
    size = len(record.changes)
    for index, turn in enumerate(record.row.data["messages"]):
        text = turn.get("content")
        if isinstance(text, str) and text.strip():
            for code, repair in _REPAIRS.items():
                repaired = repair(text)
                if repaired != text:
                    record.note(f"messages[{index}].content", code, *_around(text, repaired))
                    text = repaired
            turn["content"] = text
    if mask:
        record.row.data.update(_masked(record.row.data, "", record))
    return len(record.changes) > size


_REPAIRS = {
    "mojibake": damage.mend_mojibake,
    "doubled_token": damage.merge_doubled_tokens,
    "trailing_space": str.rstrip,
}


def _masked(value, at, record):
    """A copy of a JSON value with every private piece of its texts masked; keys stay."""
    if isinstance(value, dict):
        return {key: _masked(item, f"{at}.{key}" if at else key, record) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, f"{at}[{index}]", record) for index, item in enumerate(value)]
    if not isinstance(value, str) or (masked := privacy.mask_private(value)) == value:
        return value
    for piece in privacy.spans(value):
        record.note(at, piece.code, piece.shown, f"<{piece.code}>")
    return masked


def _repair_across(records: Sequence[_Record]) -> list[_Record]:
    """Repair what shows beside the other rows: the system prompt and the labels; return the changed records."""
    by_row = {id(record.row): record for record in records}
    rows = [record.row for record in records]
    changed = []
    systems = Counter(system for row in rows if (system := quality.system_of(row)) is not None)
    main = systems.most_common(1)[0][0] if systems else None
    for row in rows:
        system = quality.system_of(row)
        if system not in (None, main) and systems[system] < systems[main] and quality.same_but_spacing(system, main):
            by_row[id(row)].note("messages[0].content", "system_drift", *_around(system, main))
            row.data["messages"][0]["content"] = main
            changed.append(by_row[id(row)])
    for row, place, before, after in list(labels.label_repairs(rows)):
        turn = row.data["messages"][-1]  # the answer
        if turn["content"] == before:
            by_row[id(row)].note(place, "label_variant", *_around(before, after))
            turn["content"] = after
            changed.append(by_row[id(row)])
    return changed


# ---- writing


def _write(lines: list[bytes], out: Path, ends_with_newline: bool) -> None:
    """Write the lines, all or nothing."""
    try:
        with files.whole_file(out) as file:
            file.write(b"\n".join(lines) + b"\n" * ends_with_newline)
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror}; choose another place") from error


def _around(before: str, after: str, length: int = 40) -> tuple[str, str]:
    """The part in which two texts differ, with a little of what stands before it."""
    same = len(os.path.commonprefix([before, after]))
    before, after = privacy.mask_private(before), privacy.mask_private(after)
    start = max(0, min(same, len(before)) - 15)
    return before[start : start + length], after[start : start + length]


def _short(text: str, length: int = 60) -> str:
    return repr(text if len(text) <= length else text[: length - 3] + "...")


def _lines(findings, show=5):
    lines = list(dict.fromkeys(finding.line for finding in findings))
    more = ", ..." if len(lines) > show else ""
    return f"line {', '.join(map(str, lines[:show]))}{more}"
