"""A repaired copy of a training file, in which nothing changes unseen.

`fix` repairs what has one right repair, in every answer of a row alike, and lists each change and each row left out.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ftlab.checks import damage, duplicates, labels, privacy, quality
from ftlab.data import formats, jsonl, schema
from ftlab.data.findings import Finding, Row, errors_of, finding, in_order, listing, raise_findings, walk
from ftlab.data.rendering import row_kind
from ftlab.errors import DataError, shown
from ftlab.files import jsonl_path, refuse_existing, whole_file

REPAIRS = {
    "mojibake": damage.mend_mojibake,
    "doubled_token": damage.merge_doubled_tokens,
    "trailing_space": str.rstrip,
}
OF_THE_FILE = {"bom": "none", "crlf": "LF", "blank_line": "removed"}  # what reading and writing repair
@dataclass(frozen=True)
class Change:
    """One repair: what stood in `field` of a line and what stands there now, shortened, private pieces masked.

    `line` is None for one of the whole file.
    """

    line: int | None
    field: str
    code: str
    before: str
    after: str

    def __str__(self):
        place = "the file" if self.line is None else f"line {self.line}"
        return f"{place}{' ' + self.field if self.field else ''} [{self.code}] {self.before} -> {self.after}"


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
        return "\n".join([head, *listing(self.changes, 10), *listing(dropped, 10)])


def fix(
    path,
    out: str | Path,
    format: str | None = None,
    mask: bool = True,
    force: bool = False,
    drop_contradictions: bool = False,
) -> FixReport:
    """Write a repaired copy as messages JSONL; what has no single right repair stays as it is or is left out, listed.

    Repaired: byte order mark, CRLF, blank lines, role names such as human, tools as JSON text, a system text beside
    the turns, mojibake, doubled special tokens, blanks at the end of a turn, a system prompt that differs in spacing or
    case, spellings of a label, private data (`mask`; not in columns that name a group), rows that repeat another. A
    line without a repair is copied byte for byte. `drop_contradictions` leaves out both rows of each contradiction that
    the repairs have left. Raises DataError when `out` exists (unless `force`), is `path` itself, or when not one row
    could be written.
    """
    out = jsonl_path(out)
    if formats.is_same_file(path, out):
        raise DataError(f"{out} is the file that is read: write the repaired copy under another name")
    refuse_existing(out, force)
    source = formats.read(path, format)
    changes, records, dropped = [], [], []
    for line, row, found in source.lines:
        if not line.is_row:
            changes += [Change(each.line, each.field, each.code, each.message.partition(";")[0],
                               OF_THE_FILE.get(each.code, "left out")) for each in found]  # fmt: skip
            continue
        record = _Record(row, line.raw if source.format == "messages" else b"")
        if isinstance(row.data, dict) and "messages" in line.row and not errors_of(line.findings):
            _repair_row(record)
            found = _problems(record) if record.changes else found
        errors = errors_of(found)
        dropped += errors[:1]
        records += [] if errors else [record]
    every = (text for record in records for _, text, _ in walk(record.row.data) if isinstance(text, str))
    memo = privacy.new_memo(every) if mask else None
    todo = records
    while todo:  # until nothing changes: one repair can lay bare the next
        changed = [record for record in todo if _repair_texts(record, memo)]
        records = _leave_out(records, _broken(records), dropped)
        records = _leave_out(records, _repeated(records), dropped)
        changed += _repair_across(records)
        todo = list({id(record): record for record in changed}.values())
    if drop_contradictions:
        records = _leave_out(records, _contradicting(records), dropped)
    if not records:
        raise_findings(dropped)
    _write(records, out)
    changes += [change for record in records for change in record.changes]
    counts = source.rows_in, len(records)
    return FixReport(source.path, str(out), source.format, *counts, in_order(changes), in_order(dropped))


@dataclass(eq=False, slots=True)
class _Record:
    """A row with the bytes of its line, empty where the line is no messages row, and what was changed in it."""

    row: Row
    raw: bytes
    changes: list[Change] = field(default_factory=list)

    def note(self, place: str, code: str, before: str, after: str) -> None:
        """Note one change of the row, under the name that the source has for its place."""
        place = ".".join(filter(None, (self.row.at, self.row.source_field(place))))
        self.changes.append(Change(self.row.line, place, code, shown(before), shown(after)))


# --- repairs


def _repair_row(record) -> None:
    """Mend what keeps a row from being used and has one right repair: roles, text in parts, tools and system."""
    data = record.row.data
    for side in ("messages", "rejected"):
        turns = data.get(side)
        for index, turn in enumerate(turns if isinstance(turns, list) else ()):
            if isinstance(turn, dict):
                _repair_turn(record, turn, f"{side}[{index}]")
    messages = data.get("messages")
    if isinstance(data.get("tools"), str) and isinstance(tools := jsonl.json_container(data["tools"]), list):
        record.note("tools", "bad_tools", "JSON text", f"a list of {len(tools)}")
        data["tools"] = tools
    name, text = schema.system_beside(data)
    turns = [turn for turn in messages if isinstance(turn, dict)] if isinstance(messages, list) else None
    if text and turns is not None and all(turn.get("role") != "system" for turn in turns):
        record.note(name, "unseen_system", privacy.mask_private(text), "the first turn")
        messages.insert(0, {"role": "system", "content": text})
        del data[name]


def _repair_turn(record, turn: dict, at: str) -> None:
    if (text := schema.joined_parts(turn.get("content"))) is not None:
        parts = f"a list of {len(turn['content'])} text part(s)"
        record.note(f"{at}.content", "wrong_type", parts, privacy.mask_private(text))
        turn["content"] = text
    role = turn.get("role")
    if isinstance(role, str) and role not in schema.ROLES:
        plain = role.strip().lower()
        known = plain if plain in schema.ROLES else schema.ROLE_HINTS.get(plain)
        if known:
            record.note(f"{at}.role", "unknown_role", privacy.mask_private(role), known)
            turn["role"] = known


def _problems(record) -> list[Finding]:
    """What makes a row unusable."""
    return [each for each in errors_of(schema.row_findings(record.row)) if each.code != "bad_answer"]


def _broken(records) -> Iterator[tuple[Row, Finding]]:
    """Rows that a repair has left without a text, and pairs that it has left without a worse answer."""
    for record in records:
        if not record.changes:
            continue
        if problems := _problems(record):
            yield record.row, problems[0]
        elif any(quality.find_pair_problems([record.row])):
            yield record.row, finding("no_worse_answer", record.row, "rejected")


def _repeated(records) -> Iterator[tuple[Row, Finding]]:
    """Rows that are an earlier one once more."""
    for row, original in duplicates.exact_repeats([record.row for record in records]):
        yield row, finding("repeated_row", row, "messages", f"{original.line} {original.at}".rstrip())


def _contradicting(records) -> Iterator[tuple[Row, Finding]]:
    """Both rows of each contradiction."""
    for pair in duplicates.contradictions([record.row for record in records]):
        for row, other in (pair, pair[::-1]):
            yield row, finding("contradicted", row, "messages", other.line)


def _leave_out(records, out, dropped) -> list[_Record]:
    out = {id(row): finding for row, finding in out}
    dropped += out.values()
    return [record for record in records if id(record.row) not in out]


def _repair_texts(record, memo) -> bool:
    """Repair what one row shows by itself, in all its answers; True if something changed."""
    size, data = len(record.changes), record.row.data
    for turn, place, text in damage.texts(record.row):
        for code, repair in REPAIRS.items() if text.strip() else ():
            if (repaired := repair(text)) != text:
                record.note(place, code, *_around(text, repaired))
                turn["content"] = text = repaired
    if memo is not None:
        for name, value in data.items():
            pieces = privacy.spans(value) if isinstance(value, str) else ()
            if not pieces or not all(privacy.stays_in_group(name, piece.code) for piece in pieces):
                data[name] = _masked(value, name, record, memo)
    return len(record.changes) > size


def _masked(value, at, record, memo):
    """A copy of a JSON value with every private piece of its texts masked; keys stay."""
    if isinstance(value, dict):
        return {key: _masked(item, f"{at}.{key}", record, memo) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, f"{at}[{index}]", record, memo) for index, item in enumerate(value)]
    if not isinstance(value, str) or not (pieces := privacy.spans(value)):
        return value
    for piece in pieces:
        record.note(at, piece.code, piece.shown, privacy.placeholder(piece, value, memo))
    return privacy.mask_private(value, memo)


def _repair_across(records: Sequence[_Record]) -> list[_Record]:
    """Repair what shows beside the other rows: the system prompt and the labels; return the changed records.

    Pairs and rated answers keep their labels: spelt anew in one answer only, they would tell it from the others.
    """
    changed = []
    systems = Counter(system for record in records if (system := quality.system_of(record.row)) is not None)
    main = systems.most_common(1)[0][0] if systems else None
    for record in records:
        system = quality.system_of(record.row)
        if system not in (None, main) and systems[system] < systems[main] and quality.same_but_spacing(system, main):
            record.note("messages[0].content", "system_drift", *_around(system, main))
            record.row.data["messages"][0]["content"] = main
            changed.append(record)
    single = [record for record in records if row_kind(record.row.data) == "chat"]
    record_of = {id(record.row): record for record in single}
    for row, place, before, after in list(labels.label_repairs([record.row for record in record_of.values()])):
        answer = row.data["messages"][-1]
        if answer["content"] == before:
            record_of[id(row)].note(place, "label_variant", *_around(before, after))
            answer["content"] = after
            changed.append(record_of[id(row)])
    return changed


# --- writing


def _write(records: list[_Record], out: Path) -> None:
    """Write the lines, all or nothing."""
    try:
        with whole_file(out) as file:
            for record in records:
                is_as_it_was = record.raw and not record.changes
                file.write((record.raw if is_as_it_was else jsonl.encode(record.row.data)) + b"\n")
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror}; choose another place") from error


def _around(before: str, after: str, length: int = 40) -> tuple[str, str]:
    """The part in which two texts differ, with a little of what stands before it."""
    same = len(os.path.commonprefix([before, after]))
    before, after = privacy.mask_private(before), privacy.mask_private(after)
    start = max(0, min(same, len(before)) - 15)
    return before[start : start + length], after[start : start + length]


def list_left(report, repaired) -> list[str]:
    """What no repair decides, a line a kind: how many, and what to do."""
    done = {(change.code, change.line) for change in repaired.changes}
    done |= {(code, row.line) for row in repaired.dropped for code in report.counts}
    lines = []
    for _, code, findings in report.classes:
        if left := [found for found in findings if found.file == report.path and (code, found.line) not in done]:
            lines.append(f"  {code}: {len(left):,}, first {left[0]}")
    return ["left as they are, for you to decide (no column that names a group is masked):", *lines] if lines else []
