"""The person who decides on drafted examples: accept, edit or reject each, then save what was kept.

Every decision is one line of a journal beside the output and is on the disk before the call returns. The journal is
only ever added to: a session that was interrupted goes on where it stopped, and the last decision on a row counts.
"""

import contextlib
import getpass
import hashlib
import json
import os
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from textwrap import shorten

from ftlab.data import jsonl, schema
from ftlab.data.findings import raise_findings
from ftlab.errors import DataError
from ftlab.tables import html_table

DECISIONS = ("accepted", "edited", "rejected")
JOURNAL_VERSION = 1
SHOWN_ROWS = 20  # of a review that is displayed
NO_DRAFT = "none"  # `provenance.draft` of a row whose answer a person has yet to write


@dataclass(frozen=True)
class ReviewDecision:
    """What one person decided on one row (counted from 0); `answer` is the new text of an edited one."""

    row: int
    decision: str
    answer: str | None = None
    note: str = ""
    reviewer: str = ""
    at: str = ""  # ISO 8601 with the offset of the local time


@dataclass(frozen=True)
class Progress:
    """Rows by decision; `left` have none yet, `kept` are those that `save` writes."""

    rows: int
    accepted: int
    edited: int
    rejected: int

    @property
    def left(self) -> int:
        """Rows without a decision."""
        return self.rows - self.kept - self.rejected

    @property
    def kept(self) -> int:
        """Rows that `save` writes."""
        return self.accepted + self.edited

    def __str__(self):
        parts = f"{self.accepted} accepted, {self.edited} edited, {self.rejected} rejected"
        return f"{self.rows - self.left} of {self.rows} decided: {parts}; {self.left} left"


class Review:
    """A session over drafted rows; open it with `Review.open`. Rows count from 0."""

    def __init__(self, drafts: Path, out: Path, check: schema.ChatCheck, reviewer: str):
        self.drafts, self.out, self.reviewer = drafts, out, reviewer
        self.journal = out.with_name(out.name + ".journal.jsonl")
        self.rows, self.findings = check.rows, check.findings
        self.notes: list[str] = []  # what a reader should know: rows left out, a journal that was cut
        self._history: list[ReviewDecision] = []
        self._saved: str | None = None  # hash of the output as this review last wrote it

    @classmethod
    def open(cls, drafts: str | Path, out: str | Path, reviewer: str | None = None) -> "Review":
        """Start, or go on with, the review of a chat JSONL file by `reviewer` (your login name); `save` writes `out`.

        DataError when no row can be reviewed, or when the drafts are not those that the journal beside `out` is about.
        """
        drafts, out = Path(drafts), Path(out)
        check = schema.check_chat(drafts)
        if not check.rows:
            raise_findings(check.errors)
        if drafts.resolve() == out.resolve():
            raise DataError(f"out: {out} is the drafts file itself; name another file for what is accepted")
        review = cls(drafts, out, check, reviewer or _login())
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

    def decision(self, row: int) -> ReviewDecision | None:
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

    def accept(self, row: int, note: str = "") -> ReviewDecision:
        """Keep the row as it was drafted; DataError where nothing was (`NO_DRAFT`)."""
        self._check_row(row)
        stated = self.rows[row].get("provenance")
        if isinstance(stated, dict) and stated.get("draft") == NO_DRAFT:
            raise DataError(f"{self.drafts} row {row + 1}: nothing was drafted: write the answer, or reject the row")
        return self._decide(row, "accepted", None, note)

    def edit(self, row: int, answer: str, note: str = "") -> ReviewDecision:
        """Keep the row with another answer; one that equals the draft is accepted as it is."""
        if answer == self.draft(row):
            return self.accept(row, note)
        _check_edit(f"{self.drafts} row {row + 1}", self.draft(row), answer)
        return self._decide(row, "edited", answer, note)

    def reject(self, row: int, note: str = "") -> ReviewDecision:
        """Leave the row out; the journal keeps the note."""
        return self._decide(row, "rejected", None, note)

    def undo(self) -> int | None:
        """Take back the latest decision, also one of an earlier session; gives its row, None when there is none."""
        self._load()
        row = self._history[-1].row if self._history else None
        if row is not None:
            self._append({"undo": row, "reviewer": self.reviewer, "at": _now()})
        return row

    def save(self, force: bool = False) -> str:
        """Write what was accepted or edited to `out`, all or nothing, and say so; may be called again later.

        DataError when nothing is kept, or when `out` holds something that this review did not write (unless `force`).
        """
        self._load()
        current = self._current()
        rows = [self._finished(current[row]) for row in sorted(current) if current[row].decision != "rejected"]
        if not rows:
            raise DataError(f"nothing to write to {self.out}: no row is accepted yet ({self.progress})")
        if not force and self.out.exists() and _digest_of(self.out) != self._saved:
            raise DataError(f"{self.out} exists and was not written by this review, or was changed since: "
                            "move it away, or overwrite it with force=True")  # fmt: skip
        try:
            jsonl.write_rows(rows, self.out, force=True)
        except (OSError, DataError) as error:
            raise DataError(f"{self.out} cannot be written: {error}; your decisions are safe") from error
        self._append({"saved": _digest_of(self.out), "rows": len(rows), "at": _now()})
        return f"{len(rows)} rows in {self.out}; {self.progress}"

    def __repr__(self):
        return "\n  ".join([f"Review({self.drafts} -> {self.out}: {self.progress})", *self.notes])

    def _repr_html_(self):
        """The rows with what was decided: what a reader sees where no control is live."""
        import pandas as pd

        table = [("example", "input", "answer", "decision", "note"), *map(self._shown, range(len(self))[:SHOWN_ROWS])]
        more = [f"and {len(self) - SHOWN_ROWS} more"] if len(self) > SHOWN_ROWS else []
        head = f"{self.drafts.name} to {self.out.name}: {self.progress}"
        with pd.option_context("display.max_colwidth", None):
            return html_table(table, head, *self.notes, after=more)

    def _shown(self, row: int) -> tuple:
        """(number, last turn before the answer, answer, decision, note) of a row as it stands now."""
        asked = next((turn.get("content") or "" for turn in self.rows[row]["messages"][-2::-1]), "")
        texts = [shorten(text, 300, placeholder=" ...") for text in (asked, self.answer(row))]
        decision = self.decision(row)
        return row + 1, *texts, *((decision.decision, decision.note) if decision else ("not decided yet", ""))

    def _current(self) -> dict[int, ReviewDecision]:
        return {decision.row: decision for decision in self._history}

    def _decide(self, row, decision, answer, note) -> ReviewDecision:
        self._check_row(row)
        _check_text("note", note)
        self._load()
        self._append(asdict(ReviewDecision(row, decision, answer, note, self.reviewer, _now())))
        return self._history[-1]

    def _check_row(self, row):
        if isinstance(row, bool) or not isinstance(row, int) or not 0 <= row < len(self.rows):
            raise DataError(f"row: {row!r} is not among the {len(self.rows)} rows, which count from 0")

    def _finished(self, decision: ReviewDecision) -> dict:
        row = self.rows[decision.row]
        stated = row.get("provenance", {})
        stated = stated if isinstance(stated, dict) else {"source": stated}
        made = {"decision": decision.decision, "reviewer": decision.reviewer, "reviewed": decision.at[:10]}
        made |= {"note": decision.note} if decision.note else {}
        *before, last = row["messages"]
        turn = last if decision.answer is None else last | {"content": decision.answer}
        return row | {"messages": [*before, turn], "provenance": stated | made}

    # the journal

    def _start(self):
        """Read the journal, or begin one; a last line that was cut by a crash is taken off, and noted."""
        try:
            self.journal.parent.mkdir(parents=True, exist_ok=True)
            content = self.journal.read_bytes() if self.journal.exists() else b""
            tail = content.rpartition(b"\n")[2]
            cut = tail.decode("utf-8", "replace")
            if tail and jsonl.json_container(cut) is not None:  # whole but for its line end
                with self.journal.open("ab") as file:
                    file.write(b"\n")
            elif tail:
                os.truncate(self.journal, len(content) - len(tail))
                self.notes.append(f"{self.journal}: its last line was cut by a crash, taken off: {cut[:200]!r}")
            if not self.journal.exists() or not self.journal.stat().st_size:
                header = {"journal": JOURNAL_VERSION, "drafts": self.drafts.name, "sha256": _digest_of(self.drafts)}
                self._write(header | {"rows": len(self.rows)})
        except OSError as error:
            raise DataError(f"{self.journal} cannot be written: {error.strerror}; choose another folder") from error
        self._load()

    def _load(self):
        """Decisions out of the journal, those of another session too; DataError names the line that cannot be read."""
        self._history, self._saved = [], None
        try:
            lines = self.journal.read_bytes().splitlines()
        except OSError as error:
            raise DataError(f"{self.journal} is gone ({error.strerror}): put it back, or open anew") from error
        for number, line in enumerate(lines, 1):
            place = f"{self.journal}:{number}"
            try:
                event = json.loads(line)
                self._check_header(event, place) if number == 1 else self._replay(event)
            except (ValueError, TypeError, IndexError, RecursionError) as error:
                raise DataError(f"{place}: no line of a review journal ({error}): mend or delete it, "
                                "or move the journal away to begin anew") from error  # fmt: skip

    def _replay(self, event: dict):
        """One line of the journal after the first."""
        if "saved" in event:
            self._saved = event["saved"]
        elif "undo" in event:
            if self._history.pop().row != event["undo"]:
                raise ValueError("undo of another row")
        else:
            decision = ReviewDecision(**event)
            with_answer = isinstance(decision.answer, str | None)
            if decision.decision not in DECISIONS or decision.row not in range(len(self.rows)) or not with_answer:
                raise ValueError("no decision on one of the rows")
            self._history.append(decision)

    def _check_header(self, event, place):
        if not isinstance(event, dict) or event.get("journal") != JOURNAL_VERSION:
            raise DataError(f"{place}: does not begin like a review journal: move it away, or choose another out")
        if event.get("sha256") != (digest := _digest_of(self.drafts)):
            raise DataError(
                f"{self.drafts} is not the file that {self.journal} is about ({event.get('drafts')}, "
                f"{event.get('rows')} rows, sha256 {str(event.get('sha256'))[:12]}; now {len(self.rows)} rows, "
                f"{digest[:12]}). Put the old drafts back to go on; review new drafts from a file of their own, "
                "with an out of their own"
            )

    def _append(self, event: dict):
        self._write(event)
        self._replay(event)

    def _write(self, event: dict):
        """Add one line to the journal and wait until the disk has it; half a line is taken off again."""
        size = self.journal.stat().st_size if self.journal.exists() else 0
        try:
            with self.journal.open("ab") as file:
                file.write((json.dumps(event, ensure_ascii=False) + "\n").encode("utf-8"))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                os.truncate(self.journal, size)
            raise DataError(f"{self.journal}: not written ({error.strerror}); this decision is not saved: make room "
                            "or check permissions, then decide again") from error  # fmt: skip


def _check_edit(place, draft, answer):
    _check_text("answer", answer)
    if not answer.strip():
        raise DataError(f"{place}: the edited answer is empty; write one, or reject the row")
    if not draft:
        raise DataError(f"{place}: the answer is a call of tools, which is no text; edit the drafts file, or reject it")
    kind = type(jsonl.json_container(draft))
    try:
        if kind in (dict, list) and not isinstance(json.loads(answer), kind):
            raise ValueError(f"it is no {'object' if kind is dict else 'list'}")
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: the draft is JSON and the edited answer is not like it: {error}; mend it") from error


def _check_text(field, text):
    if not isinstance(text, str):
        raise DataError(f"{field}: must be a text, not {type(text).__name__}")
    if jsonl.has_surrogate(text):
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
