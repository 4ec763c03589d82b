"""Drafted examples and the person who decides on them: read what a model drafted, accept, edit or reject, save.

Every decision is one line of a journal beside the output and is on the disk before the call returns. The journal is
only ever added to: a session that was interrupted goes on where it stopped, and the last decision on a row counts.
"""

import contextlib
import getpass
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple

from ftlab.data import formats, schema
from ftlab.data.schema import Finding, Row
from ftlab.errors import DataError

DECISIONS = ("accepted", "edited", "rejected")
JOURNAL_VERSION = 1
SHOWN_ROWS = 20  # of a review that is displayed
# names that models give to input and answer; as a pair they are read where a row fits no format of `formats`
INPUT_NAMES, ANSWER_NAMES = ("input", "user", "text"), ("answer", "output", "assistant", "response", "completion")
FENCE = re.compile(r"[ \t]*(?:```|~~~)[\w+-]*[ \t\r]*(?=\n|\Z)")
MARKER = re.compile(r"(?:\d+[.):]|[-*])[ \t]*(?=\{)")  # of a numbered or dotted list
LIST = re.compile(r"\[(?=\s*(?:[{\[\]]|\Z))")
TURNS = "messages|conversations|prompt|completion|chosen|rejected|tools"  # lists that belong to one example
WRAPPER = re.compile(rf'\{{\s*"(?!(?:{TURNS})")[^"\n]*"\s*:\s*(?=\[\s*\{{)')
PROSE = re.compile(r".+?(?=\{[ \t]*\"|\n|\Z)")  # up to the end of the line or to what looks like an object
MARKUP = " \t\r\n,}"  # between examples, when nothing else stands there

# code: (severity, message); every {} is filled in where the problem is seen
CODES = {
    "duplicate_key": schema.CODES["duplicate_key"],
    "no_row": ("error", "the answer holds no example; was it a chat about the task? Ask again for JSON Lines only"),
    "cut_off": ("error", "the answer ends in the middle of this example: ask the model for the rest, or for fewer"),
    "broken_json": ("error", "not JSON ({}) and not to be mended safely: mend it by hand, or ask for this one again"),
    "not_readable": ("error", "cannot be read as {}: {}"),
    "no_format": ("error", "holds {}; an example needs input and answer, or messages: rename its keys"),
    "mended": ("warning", "was not quite JSON ({}) and has been mended: compare it with the model's answer"),
    "list_not_closed": ("warning", "this list never ends, so the answer was probably cut off: ask for the rest"),
    "repeated": ("warning", "is the same as the example in line {}; reject one of the two"),
    "other_system": ("warning", "has another system prompt than the one given; all rows should have the same"),
    "not_an_example": ("info", "text that is no example and is left out: {!r}"),
    "answer_as_text": ("info", "the answer was JSON and has become its text, as a chat row needs"),
    "doubt": ("info", "the model doubts: {}"),
    "question": ("warning", "the model asks: {}"),
}


class Drafts(NamedTuple):
    """Chat rows read from a model's answer, and everything in it that is no usable row or needs a look."""

    rows: list[dict]
    findings: list[Finding]

    def __repr__(self):
        return schema.report_text(f"Drafts({len(self.rows)} rows", self.findings)

    def _repr_html_(self):
        return schema.report_table([("rows", len(self.rows))], self.findings)


@dataclass(frozen=True)
class Decision:
    """What one person decided on one row (counted from 0); `answer` is the new text of an edited one."""

    row: int
    decision: str
    answer: str | None = None
    note: str = ""
    reviewer: str = ""
    at: str = ""  # ISO 8601 with the offset of the local time


@dataclass(frozen=True)
class Progress:
    """Rows by decision; `left` have none yet."""

    rows: int
    accepted: int
    edited: int
    rejected: int

    @property
    def left(self) -> int:
        """Rows without a decision."""
        return self.rows - self.accepted - self.edited - self.rejected

    @property
    def kept(self) -> int:
        """Rows that `save` writes."""
        return self.accepted + self.edited

    def __str__(self):
        parts = f"{self.accepted} accepted, {self.edited} edited, {self.rejected} rejected"
        return f"{self.rows - self.left} of {self.rows} decided: {parts}; {self.left} left"


# --- what a model answered to the draft prompt


def parse_drafts(
    text: str,
    source: str | None = None,
    prompt: str | None = "draft_examples",
    drafted: date | str | None = None,
    system: str | None = None,
    file: str = "answer",
) -> Drafts:
    """Chat rows out of a model's answer: JSON Lines, a JSON list, fenced code, with or without words around them.

    A row may have messages, input and answer, or any format of `ftlab.data.formats`. `source` (the model), `prompt`
    (its name in the kit) and `drafted` (today) become each row's provenance; `system` goes in front of rows without.
    Nothing is dropped silently: each line of the answer is in a row, is markup around rows, or has a finding.
    """
    if not isinstance(text, str):
        raise DataError(f"text: must be what the model wrote, a text, not {type(text).__name__}; from a run, .answer")
    provenance = {"source": source, "prompt": prompt, "drafted": str(drafted or date.today())}
    rows, findings, first = [], [], {}
    for data, line, problems in _examples(text):
        row = Row(data, file, line)
        findings += [schema.finding(CODES, code, row, field, *values) for code, field, *values in problems]
        if data is None:
            continue
        chat, found = _chat_row(row, system)
        findings += found
        if chat is None:
            continue
        key = json.dumps(chat["messages"], sort_keys=True)
        if key in first:
            findings.append(schema.finding(CODES, "repeated", row, "messages", first[key]))
        first.setdefault(key, line)
        chat.setdefault("id", "draft-" + hashlib.sha256(key.encode()).hexdigest()[:10])
        stated = chat.get("provenance", {})
        rows.append(chat | {"provenance": (stated if isinstance(stated, dict) else {"stated": stated}) | provenance})
    if not rows and not any(finding.code == "question" for finding in findings):
        findings.append(schema.finding(CODES, "no_row", Row({}, file, 1), ""))
    return Drafts(rows, sorted(findings, key=lambda finding: finding.line))


def _examples(text: str) -> Iterator[tuple[dict | None, int, list[tuple]]]:
    """Yield (object, line, problems) for each JSON object in an answer, and (None, line, problems) for what is none."""
    position, lists = 0, []
    while position < len(text):
        line = text.count("\n", 0, position) + 1
        new_line = position == 0 or text[position - 1] == "\n"
        if new_line and (fence := FENCE.match(text, position)):
            position = fence.end()
        elif marker := MARKER.match(text, position):
            position = marker.end()
        elif LIST.match(text, position):
            lists.append(line)
            position += 1
        elif text[position] == "]" and lists:
            lists.pop()
            position += 1
        elif text[position] in MARKUP:
            position += 1
        elif text[position] == "{":
            value, position, problems = _object(text, position)
            if value is not None or problems:
                yield value, line, problems
        else:
            words = PROSE.match(text, position)
            yield None, line, [("not_an_example", "", _short(words[0].strip()))]
            position = words.end()
    for line in lists:
        yield None, line, [("list_not_closed", "")]


def _object(text: str, start: int) -> tuple[dict | None, int, list[tuple]]:
    """(object, end, problems) at `text[start]`; a wrapper such as {"examples": [...]} is no object but its list is."""
    problems, wrapper = [], WRAPPER.match(text, start)
    for strict in (True, False):
        twice = []
        hook = schema.note_duplicates(twice)
        try:
            value, end = json.JSONDecoder(strict=strict, object_pairs_hook=hook).raw_decode(text, start)
        except RecursionError:
            return None, len(text), [("broken_json", "", "too deep")]
        except json.JSONDecodeError as error:
            problems = [("mended", "", error.msg)]
            continue
        except ValueError:
            problems = [("mended", "", schema.long_integer())]
            continue
        if wrapper and _kind(value) is None:
            return None, wrapper.end(), []
        if twice:
            return None, end, [("duplicate_key", key) for key in twice]
        return value, end, problems if strict is False else []
    if wrapper:
        return None, wrapper.end(), []
    return _mend(text, start, problems[0][2])


def _mend(text: str, start: int, reason: str) -> tuple[dict | None, int, list[tuple]]:
    """Repair broken JSON, only where each letter and digit of it stands in the result, in the same order."""
    from json_repair import repair_json

    before = text[text.rfind("\n", 0, start) + 1 : start]
    body = text[start:].partition("\n")[0].rstrip(" \t\r,]")
    if not body.endswith("}"):  # not on one line: up to the next thing that stands as far left
        left = rf"^[ \t]{{0,{len(before)}}}(?:[{{\[\]]|,[ \t]*\{{|```|~~~)"
        following = re.compile(left, re.MULTILINE).search(text, start + 1)
        body = text[start : following.start() if following else len(text)].rstrip(" \t\r\n,]")
    end = start + len(body)
    if not body.endswith("}"):
        return None, end, [("cut_off", "")]
    try:
        value = repair_json(body, return_objects=True)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or _letters(body) != _letters(json.dumps(value, ensure_ascii=False)):
        return None, end, [("broken_json", "", reason)]
    return value, end, [("mended", "", reason)]


def _letters(text: str) -> str:
    text = re.sub(r"\\u[0-9a-fA-F]{4}|\\.", "", text)
    return re.sub(r"\W|_", "", re.sub(r"\bNone\b", "null", text)).casefold()


def _chat_row(row: Row, system: str | None) -> tuple[dict | None, list[Finding]]:
    """One object of an answer as a chat row, None where it is none, and what is to be said about it."""
    data, codes = dict(row.data), schema.CODES | CODES
    kind = _kind(data)
    if kind is None:
        if isinstance(data.get("question"), str):
            return None, [schema.finding(codes, "question", row, "", data["question"])]
        keys = f"the keys {', '.join(map(repr, list(data)[:10]))}" if data else "nothing"
        return None, [schema.finding(codes, "no_format", row, "", keys)]
    problems = [("answer_as_text", field) for field in _answers_as_text(data)] + list(schema.value_problems(data))
    findings, places = schema.as_findings(problems, row, codes), {}
    if kind == "pair":
        asked, answer = _pair(data)
        turns = [{"role": "user", "content": data.pop(asked)}, {"role": "assistant", "content": data.pop(answer)}]
        data = {"messages": turns} | data
        places = {"messages[0].content": asked, "messages[1].content": answer}
    elif kind != "messages":
        try:
            data = formats.to_messages(Row(data, row.file, row.line), kind)
        except DataError as error:
            return None, [*findings, schema.finding(codes, "not_readable", row, "", kind, error)]
    found = schema.row_findings(Row(data, row.file, row.line))
    findings += [replace(finding, field=places.get(finding.field, finding.field)) for finding in found]
    if schema.errors_of(findings):
        return None, findings
    if data.get("doubt"):
        findings.append(schema.finding(codes, "doubt", row, "doubt", data["doubt"]))
    if system:
        first = data["messages"][0]
        if first["role"] != "system":
            data = data | {"messages": [{"role": "system", "content": system}, *data["messages"]]}
        elif first["content"] != system:
            findings.append(schema.finding(codes, "other_system", row, "messages[0].content"))
    return data, findings


def _kind(data: dict) -> str | None:
    """How an object holds its example: messages, a pair of input and answer, a format of `formats`, or not at all."""
    if "messages" in data:
        return "messages"
    try:
        return formats.detect([Row(data, "answer", 1)])
    except DataError:
        return "pair" if None not in _pair(data) else None


def _pair(data: dict) -> tuple[str | None, str | None]:
    """The names that input and answer have in an object."""
    asked = next((name for name in INPUT_NAMES if name in data), None)
    return asked, next((name for name in ANSWER_NAMES if name in data), None)


def _answers_as_text(data: dict) -> list[str]:
    """Turn answers that are JSON objects, lists, numbers or null into their text, in place; gives their fields."""
    fields = []
    for name in ANSWER_NAMES:
        if name in data and not isinstance(data[name], str) and not _is_turns(data[name]):
            data[name] = json.dumps(data[name], ensure_ascii=False)
            fields.append(name)
    turns = data.get("messages")
    for index, turn in enumerate(turns if isinstance(turns, list) else ()):
        if isinstance(turn, dict) and turn.get("role") == "assistant" and isinstance(turn.get("content"), dict):
            turn["content"] = json.dumps(turn["content"], ensure_ascii=False)
            fields.append(f"messages[{index}].content")
    return fields


def _is_turns(value) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(turn, dict) and "role" in turn for turn in value)


def _short(text: str, length: int = 80) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


# --- one person's decisions


class Review:
    """A session over drafted rows; open it with `Review.open`. Rows count from 0."""

    def __init__(self, drafts: Path, out: Path, check: schema.ChatCheck, digest: str, reviewer: str, origin: dict):
        self.drafts, self.out, self.reviewer = drafts, out, reviewer
        self.journal = out.with_name(out.name + ".journal.jsonl")
        self.rows, self.findings = check.rows, check.findings
        self.notes: list[str] = []  # what a reader should know: rows left out, a journal that was cut
        self._digest, self._origin = digest, origin
        self._history: list[Decision] = []
        self._saved: str | None = None  # hash of the output as this review last wrote it
        self._size = 0  # bytes of the journal that have been read

    @classmethod
    def open(
        cls,
        drafts: str | Path,
        out: str | Path,
        reviewer: str | None = None,
        source: str | None = None,
        prompt: str | None = None,
        drafted: date | str | None = None,
    ) -> "Review":
        """Start, or go on with, the review of a chat JSONL file; `save` will write `out`.

        `reviewer` is your login name unless given; source, prompt and drafted stand in for rows that do not say it.
        DataError when no row can be reviewed, or when the drafts are not those that the journal beside `out` is about.
        """
        drafts, out = Path(drafts), Path(out)
        check = schema.check_chat(drafts)
        if not check.rows:
            schema.raise_findings(check.errors)
        if drafts.resolve() == out.resolve():
            raise DataError(f"out: {out} is the drafts file itself; name another file for what is accepted")
        origin = {"source": source, "prompt": prompt, "drafted": str(drafted) if drafted else None}
        review = cls(drafts, out, check, _digest_of(drafts), reviewer or _login(), origin)
        if left_out := check.rows_in - check.rows_kept:
            review.notes.append(f"{left_out} draft(s) in {drafts} cannot be used and are not shown: see .findings")
        review._start()
        if out.exists() and _digest_of(out) != review._saved:
            review.notes.append(f"{out} exists and is not what this review saved: save(force=True) would overwrite it")
        return review

    def __len__(self):
        return len(self.rows)

    @property
    def progress(self) -> Progress:
        """How many rows are decided, and how."""
        count = Counter(decision.decision for decision in self._current().values())
        return Progress(len(self.rows), *(count[name] for name in DECISIONS))

    def decision(self, row: int) -> Decision | None:
        """The last decision on a row, None while it has none."""
        self._check_row(row)
        return self._current().get(row)

    def draft(self, row: int) -> str:
        """The answer as it was drafted (empty for a turn that only calls tools)."""
        self._check_row(row)
        return self.rows[row]["messages"][-1].get("content") or ""

    def answer(self, row: int) -> str:
        """The answer as it stands now: the edited text where there is one, else the draft."""
        decision = self.decision(row)
        return decision.answer if decision and decision.answer is not None else self.draft(row)

    def next_open(self, after: int = -1) -> int | None:
        """The first row without a decision behind `after`, then from the start; None when all are decided."""
        done = self._current()
        order = [*range(after + 1, len(self.rows)), *range(after + 1)]
        return next((row for row in order if row not in done), None)

    def accept(self, row: int, note: str = "") -> Decision:
        """Keep the row as it was drafted."""
        return self._decide(row, "accepted", None, note)

    def edit(self, row: int, answer: str, note: str = "") -> Decision:
        """Keep the row with another answer; one that equals the draft is accepted as it is."""
        if answer == self.draft(row):
            return self.accept(row, note)
        _check_edit(f"{self.drafts} row {row + 1}", self.draft(row), answer)
        return self._decide(row, "edited", answer, note)

    def reject(self, row: int, note: str = "") -> Decision:
        """Leave the row out; the journal keeps the note."""
        return self._decide(row, "rejected", None, note)

    def undo(self) -> int | None:
        """Take back the latest decision, also one of an earlier session; gives its row, None when there is none."""
        self._refresh()
        if not self._history:
            return None
        row = self._history[-1].row
        self._append({"undo": row, "reviewer": self.reviewer, "at": _now()})
        self._history.pop()
        return row

    def kept_rows(self) -> list[dict]:
        """The accepted and edited rows in the order of the drafts, each with its provenance."""
        current = self._current()
        return [self._finished(current[row]) for row in sorted(current) if current[row].decision != "rejected"]

    def save(self, force: bool = False) -> "Saved":
        """Write what was accepted or edited to `out`, all or nothing; may be called again after more decisions.

        DataError when nothing is kept, or when `out` holds something that this review did not write (unless `force`).
        """
        self._refresh()
        rows = self.kept_rows()
        if not rows:
            raise DataError(f"nothing to write to {self.out}: no row is accepted yet ({self.progress})")
        if not force and self.out.exists() and _digest_of(self.out) != self._saved:
            raise DataError(f"{self.out} exists and was not written by this review, or was changed since: "
                            "move it away, or overwrite it with force=True")  # fmt: skip
        try:
            schema.write_chat(rows, self.out, force=True)
        except (OSError, DataError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise DataError(f"{self.out} cannot be written: {why}; your decisions are safe") from error
        digest = _digest_of(self.out)
        self._append({"saved": digest, "rows": len(rows), "at": _now()})
        self._saved = digest
        return Saved(str(self.out), self.progress)

    def __repr__(self):
        lines = [f"Review({self.drafts} -> {self.out}: {self.progress})", *(f"  {note}" for note in self.notes)]
        return "\n".join(lines)

    def _repr_html_(self):
        """The rows with what was decided: what a reader sees where no control is live."""
        import html

        import pandas as pd

        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        rows = [(n + 1, _short(self._input(n), 300), *self._shown(n)) for n in range(min(len(self), SHOWN_ROWS))]
        table = pd.DataFrame(rows, columns=["example", "input", "answer", "decision", "note"])
        with pd.option_context("display.max_colwidth", None):
            listed = table.to_html(index=False)
        more = f"<p>and {len(self) - len(rows)} more</p>" if len(self) > len(rows) else ""
        head = f"{self.drafts.name} to {self.out.name}: {self.progress}"
        return f"<p>{html.escape(head)}</p>{notes}{listed}{more}"

    def _input(self, row: int) -> str:
        """The last turn before the answer."""
        return next((turn.get("content") or "" for turn in self.rows[row]["messages"][-2::-1]), "")

    def _shown(self, row: int) -> tuple[str, str, str]:
        """(answer, decision, note) of a row as it stands now."""
        decision = self.decision(row)
        answer = _short(self.answer(row), 300)
        return (answer, decision.decision, decision.note) if decision else (answer, "not decided yet", "")

    # the journal

    def _current(self) -> dict[int, Decision]:
        return {decision.row: decision for decision in self._history}

    def _decide(self, row, decision, answer, note) -> Decision:
        self._check_row(row)
        _check_text("note", note)
        self._refresh()
        made = Decision(row, decision, answer, note, self.reviewer, _now())
        self._append(asdict(made))
        self._history.append(made)
        return made

    def _has_row(self, row) -> bool:
        return isinstance(row, int) and not isinstance(row, bool) and 0 <= row < len(self.rows)

    def _check_row(self, row):
        if not self._has_row(row):
            raise DataError(f"row: {row!r} is not among the {len(self.rows)} rows, which count from 0")

    def _finished(self, decision: Decision) -> dict:
        row = self.rows[decision.row]
        stated = row.get("provenance", {})
        stated = {key: value for key, value in stated.items() if value is not None} if isinstance(stated, dict) else {
            "source": stated}  # fmt: skip
        made = {"decision": decision.decision, "reviewer": decision.reviewer, "reviewed": decision.at[:10]}
        provenance = self._origin | stated | made | ({"note": decision.note} if decision.note else {})
        *before, last = row["messages"]
        turn = last if decision.answer is None else last | {"content": decision.answer}
        return row | {"messages": [*before, turn], "provenance": provenance}

    def _start(self):
        """Read the journal, or begin one; a last line that was cut by a crash is taken off, and noted."""
        header = {"journal": JOURNAL_VERSION, "drafts": self.drafts.name, "sha256": self._digest}
        header["rows"] = len(self.rows)
        try:
            self.journal.parent.mkdir(parents=True, exist_ok=True)
            content = self.journal.read_bytes() if self.journal.exists() else b""
            whole, _, tail = content.rpartition(b"\n")
            if tail:
                if schema.json_container(tail.decode("utf-8", "replace")) is not None:  # whole but for its line end
                    with self.journal.open("ab") as file:
                        file.write(b"\n")
                else:
                    os.truncate(self.journal, len(content) - len(tail))
                    cut = tail.decode("utf-8", "replace")
                    self.notes.append(f"{self.journal}: its last line was cut by a crash, taken off: {cut[:200]!r}")
            if not self.journal.exists() or not self.journal.stat().st_size:
                self._append(header)
        except OSError as error:
            raise DataError(f"{self.journal} cannot be written: {error.strerror}; choose another folder") from error
        self._load()

    def _refresh(self):
        """Read the journal again when another session has written to it."""
        try:
            size = self.journal.stat().st_size
        except OSError as error:
            raise DataError(f"{self.journal} is gone ({error.strerror}): put it back, or open anew") from error
        if size != self._size:
            self._load()

    def _load(self):
        """Decisions out of the journal; DataError names the line that cannot be read."""
        history, saved = [], None
        content = self.journal.read_bytes()
        for number, line in enumerate(content.splitlines(), 1):
            place = f"{self.journal}:{number}"
            try:
                event = json.loads(line)
                if number == 1:
                    self._check_header(event, place)
                elif "saved" in event:
                    saved = event["saved"]
                elif "undo" in event:
                    if history.pop().row != event["undo"]:
                        raise ValueError("undo of another row")
                else:
                    decision = Decision(**event)
                    if decision.decision not in DECISIONS:
                        raise ValueError(f"unknown decision {decision.decision!r}")
                    if not self._has_row(decision.row):
                        raise ValueError(f"there is no row {decision.row!r}")
                    if not isinstance(decision.answer, str | None):
                        raise ValueError("the answer is no text")
                    history.append(decision)
            except (ValueError, TypeError, IndexError, RecursionError) as error:
                raise DataError(f"{place}: no line of a review journal ({error}): mend or delete it, "
                                "or move the journal away to begin anew") from error  # fmt: skip
        self._history, self._saved, self._size = history, saved, len(content)

    def _check_header(self, event, place):
        if not isinstance(event, dict) or event.get("journal") != JOURNAL_VERSION:
            raise DataError(f"{place}: does not begin like a review journal: move it away, or choose another out")
        if event.get("sha256") != self._digest:
            raise DataError(
                f"{self.drafts} is not the file that {self.journal} is about ({event.get('drafts')}, "
                f"{event.get('rows')} rows, sha256 {str(event.get('sha256'))[:12]}; now {len(self.rows)} rows, "
                f"{self._digest[:12]}). Put the old drafts back to go on; review new drafts from a file of their own, "
                "with an out of their own"
            )

    def _append(self, event: dict):
        """Add one line to the journal and wait until the disk has it; half a line is taken off again."""
        line = (json.dumps(event, ensure_ascii=False) + "\n").encode("utf-8")
        try:
            with self.journal.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            self._size += len(line)  # less than the file has when another session wrote too: read again before the next
        except OSError as error:
            with contextlib.suppress(OSError):
                os.truncate(self.journal, self._size)
            raise DataError(f"{self.journal}: not written ({error.strerror}); this decision is not saved: make room "
                            "or check permissions, then decide again") from error  # fmt: skip


@dataclass(frozen=True)
class Saved:
    """What `save` wrote."""

    path: str
    progress: Progress

    def __repr__(self):
        return f"{self.progress.kept} rows in {self.path}; {self.progress}"


def _check_edit(place, draft, answer):
    _check_text("answer", answer)
    if not answer.strip():
        raise DataError(f"{place}: the edited answer is empty; write one, or reject the row")
    if not draft:
        raise DataError(f"{place}: the answer is a call of tools, which is no text; edit the drafts file, or reject it")
    drafted = schema.json_container(draft)
    try:
        if drafted is not None and not isinstance(json.loads(answer), type(drafted)):
            kind = type(drafted)
            raise ValueError(f"it is no {'object' if kind is dict else 'list'}")
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: the draft is JSON and the edited answer is not like it: {error}; mend it") from error


def _check_text(field, text):
    if not isinstance(text, str):
        raise DataError(f"{field}: must be a text, not {type(text).__name__}")
    if schema.has_surrogate(text):
        raise DataError(f"{field}: holds half a surrogate pair; write the whole character")


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without user names
        return "not named"


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
