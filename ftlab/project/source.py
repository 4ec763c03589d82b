"""The rows of somebody else's file: which field asks and which answers, what cannot be used, a clean copy."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from ftlab.checks.check import CheckReport, check
from ftlab.checks.fix import Change, FixReport, fix
from ftlab.data import formats, forms, jsonl, sources
from ftlab.data.findings import Finding, errors_of, listing, raise_findings
from ftlab.data.schema import JUDGED, SYSTEM, read_chat, write_chat
from ftlab.data.splits import group_of
from ftlab.errors import DataError, shown
from ftlab.evaluation.answers import answer_kind
from ftlab.files import JSONL_SUFFIXES
from ftlab.training.data import Part, answer_problems, answers_of, unlike

ASKED = ("prompt", "text", "input", "question", "instruction", "query", "message", "ticket", "sentence", "body",
         "document", "review", "email", "note", "source", "utterance")  # fmt: skip
ANSWERED = ("completion", "label", "output", "answer", "response", "target", "category", "class", "intent", "reply",
            "summary", "expected")  # fmt: skip
READ_AS = {"prompt": "what is asked", "completion": "the answer", "system": "the system prompt"}
TAKEN = {*chain(*forms.OWN_NAMES.values()), *SYSTEM, *JUDGED, "conversation", "tools", "functions"}  # by our readers
LINE = "source_line"  # the key under which each row of the copy says where it stood
TABLES = (".csv", ".tsv")  # a row a line, too
FEWEST = 20  # rows; fewer cannot be split into three parts that tell anything
TELLING = 100  # rows, from which on they do
MOST_BROKEN = 0.1  # of all rows; more is a fault of the file as a whole


@dataclass(frozen=True)
class Source:
    """The usable rows of a file, the kind of their answers, the checks, the repairs, what was left out, and notes.

    The rows lie in the file `clean`, too, each with its group under the key `group`.
    """

    path: Path
    clean: Path
    rows: list[dict]
    kind: str
    group: str | None
    report: CheckReport
    repairs: FixReport
    left_out: list[Finding]
    notes: list[str]


def read_source(
    path: Path,
    folder: Path,
    *,
    kind: str | None = None,
    asked: Sequence[str] = (),
    answered: str = "",
    group: str | None = None,
    mask: bool = True,
    drop: bool = False,
) -> Source:
    """Check a file, and write a repaired copy of the rows that can serve to `folder`/clean.jsonl, in our form.

    `asked` and `answered` name fields where they cannot be told. DataError with file, line, field and remedy: for a
    file that cannot be read, for more than a tenth of unusable rows (without `drop`), where nothing can be learned.
    """
    copy, names, unread, faults = adopt(path, folder / "source.jsonl", asked, answered, group)
    clean = folder / "clean.jsonl"
    try:
        report = check(copy)
        if report.format in ("preference", "kto"):
            raise DataError(f"{path}: rated answers and pairs ({report.format}) are for DPO and KTO, see notebook 09; "
                            "give rows with one good answer each")  # fmt: skip
        repairs = fix(copy, clean, mask=mask, force=True)
    except DataError as error:
        raise DataError(str(error).replace(str(copy), str(path))) from error
    findings, dropped = ([*faults, *_as_theirs(found, path, names)] for found in (report.findings, repairs.dropped))
    counts, rows_in = dict(Counter(each.code for each in findings)), report.rows_in + len(faults)
    report = replace(report, path=str(path), rows_in=rows_in, findings=findings, counts=counts)
    repairs = replace(repairs, changes=[each for each in repairs.changes if not _padding(each, path)])
    source = Source(path, clean, read_chat(clean), "", key_of(group), report, repairs, dropped, [])
    source = leave_out(source, answer_problems(source.rows), drop)
    source = replace(source, kind=kind or answer_kind(answers_of(source.rows)))
    source = leave_out(source, [*unlike(source.kind, source.rows), *groupless(source.rows, source.group)], drop)
    return replace(source, notes=notes_on(source, names, unread))


def leave_out(source: Source, problems: Iterable[tuple[int, str, str]], drop: bool) -> Source:
    """The source without the rows of the problems (index, field, message); DataError where these are too many."""
    problems = list(problems)
    place = source.path if by_line(source.path) else source.clean  # where rows have no line of their own
    part = Part(place, source.rows, [row.get(LINE, number) for number, row in enumerate(source.rows, 1)])
    left_out = [*source.left_out, *part.findings(problems)]
    broken = [each for each in left_out if each.code != "repeated_row"]
    if len(broken) > MOST_BROKEN * source.report.rows_in and not drop:
        lines = "\n".join([f"{len(broken)} of {source.report.rows_in} rows cannot be used:", *listing(broken, 10)])
        raise DataError(f"{source.path}: {lines}\nmend them, or leave them out (--drop)")
    bad = {index for index, _, _ in problems}
    rows = [row for index, row in enumerate(source.rows) if index not in bad]
    refuse_nothing_to_learn(source.path, rows)
    write_chat(rows, source.clean, force=True)
    return replace(source, rows=rows, left_out=left_out)


def by_line(path: Path) -> bool:
    """True for a file in which each row begins on a line of its own."""
    return path.suffix.lower() in (*JSONL_SUFFIXES, *TABLES)


def adopt(
    path: Path, copy: Path, asked: Sequence[str], answered: str, group: str | None
) -> tuple[Path, dict[str, str], list[str], list[Finding]]:
    """A copy of a file, line by line, with our names, and with answers that are no text written as JSON.

    Returns what is to be read, our names with theirs where they differ, the columns that were left away because our
    readers would take them for something, and what keeps rows of a table from being copied. Files whose rows have no
    lines are read as they are.
    """
    if not by_line(path):
        if asked or answered:
            raise DataError(f"{path}: --input and --output are for JSONL and CSV; run ftlab convert {path} --rename "
                            "OLD=NEW --to messages --out chats.jsonl")  # fmt: skip
        return path, {}, [], []
    lines = [line for line in sources.scan(path, formats.fits) if line.is_row]
    rows = [line.row for line in lines if isinstance(line.row, dict)]
    if not rows:
        raise_findings(errors_of(formats.read(path).findings))
    if asked or answered or not any(map(formats.fits, rows)):
        asked, answered = find_fields(path, rows, asked, answered)
    written, faults = [], []
    for line in lines:
        written += [b""] * (line.number - len(written) - 1)  # so that each line keeps its number
        sound = isinstance(line.row, dict) and not errors_of(line.findings)
        row = _ours(line.row, asked, answered, group) | {LINE: line.number} if sound else {}
        written.append(jsonl.encode(row) if sound else line.raw)
        faults += [] if sound or line.raw else errors_of(line.findings)[:1]
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(b"\n".join(written) + b"\n")
    if not answered:
        return copy, {}, [], faults
    others = [key for key in dict.fromkeys(chain(*rows)) if key not in (*asked, answered, group)]
    names = {"prompt": ", ".join(asked), "completion": answered}
    if system := [key for key in others if key in SYSTEM]:
        names["system"] = system[0]
    return copy, names, [key for key in others if key in TAKEN - set(SYSTEM)], faults


def find_fields(path: Path, rows: list[dict], asked: Sequence[str], answered: str) -> tuple[list[str], str]:
    """The fields that ask and the one that answers, as named or by usual names; DataError where it cannot be told."""
    counts = Counter(key for row in rows for key in row)
    there = [key for key, count in counts.items() if 2 * count >= len(rows)]
    found = [key for key in there if key in ASKED and key != answered] if not asked else list(asked)
    answers = [key for key in there if key in ANSWERED and key not in found] if not answered else [answered]
    unknown = [key for key in (*found, *answers) if key not in counts]
    if unknown or len(answers) != 1 or answers[0] in found or not (asked or len(found) == 1):
        what = f"no row has {unknown[0]!r}" if unknown else "it cannot be told which field asks and which one answers"
        raise DataError(f"{path}: {what}; there are {', '.join(map(repr, there))}. Name them, for example --input text "
                        "--output label (several: --input subject,body)")  # fmt: skip
    return found, answers[0]


def key_of(group: str | None) -> str | None:
    """The key under which the copy has a row's group: their own, unless our readers would take it for something."""
    return f"group_{group}" if group in TAKEN else group


def _ours(row: dict, asked: Sequence[str], answered: str, group: str | None) -> dict:
    """One row under our names; the fields that ask and answer win over whatever else it has."""
    outer, _, inner = (group or "").partition(".")
    within = row if group in row else {group: row[outer].get(inner)} if isinstance(row.get(outer), dict) else {}
    own = {} if within.get(group) is None else {key_of(group): within[group]}
    if not answered:
        return {
            key: _text(value) if key in ANSWERED and isinstance(value, dict) else value for key, value in row.items()
        } | own
    texts = {key: _text(row[key]) for key in asked if row.get(key) not in (None, "")}
    joined = "\n".join(f"{key}: {text}" if len(asked) > 1 else text for key, text in texts.items())
    rest = {key: value for key, value in row.items() if key not in (*asked, answered, *TAKEN.difference(SYSTEM))}
    prompt = {"prompt": joined} if texts else {}
    answer = {"completion": _text(row[answered])} if row.get(answered) is not None else {}
    return rest | own | prompt | answer


def _text(value) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _as_theirs(findings: Sequence[Finding], path: Path, names: dict) -> list[Finding]:
    """Findings in the copy as those in the file itself."""
    return [replace(found, file=str(path), field=names.get(found.field, found.field))
            for found in findings if not _padding(found, path)]  # fmt: skip


def _padding(found: Finding | Change, path: Path) -> bool:
    """True for a blank line of the copy that a table does not have."""
    return found.code == "blank_line" and path.suffix.lower() in TABLES


def refuse_nothing_to_learn(path: Path, rows: list[dict]) -> None:
    """DataError for too few rows, and for answers that are all the same."""
    if len(rows) < FEWEST:
        raise DataError(f"{path}: {len(rows)} usable rows, and {FEWEST} are the least to train on some and test on "
                        f"others; from {TELLING} on the numbers begin to tell something: label more")  # fmt: skip
    if len(answers := set(answers_of(rows))) == 1:
        raise DataError(f"{path}: all {len(rows)} rows have the answer {shown(answers.pop())}: there is nothing to "
                        "learn. Add rows with other answers, or name another field (--output)")  # fmt: skip


def groupless(rows: Sequence[dict], group: str | None) -> Iterator[tuple[int, str, str]]:
    """(index, field, message) of rows without a group."""
    for index, row in enumerate(rows if group else ()):
        if not (group_of(row, group, None) or "").strip():
            yield index, group, "is missing, or no plain value; fill it in, or name another --group"


def notes_on(source: Source, names: dict[str, str], unread: list[str]) -> list[str]:
    """What was read as what, what was not read, what was repaired, and what the rows leave to be decided."""
    notes = [f"Read as {READ_AS[ours]}: {name}." for ours, name in names.items()]
    keys = [key for key in dict.fromkeys(chain(*source.rows)) if key not in ("messages", "id", LINE, source.group)]
    unread = [*unread, *(key for key in keys if _in_words(source.rows, key))]
    if unread:
        both = ",".join([unread[0], names["prompt"].replace(", ", ",")]) if names else ""
        remedy = f" What else is asked can be named, such as --input {both}." if names else ""
        notes.append(f"Not read: {', '.join(unread)}.{remedy}")
    if done := Counter(change.code for change in source.repairs.changes):
        counted = ", ".join(f"{code} {count}" for code, count in done.most_common())
        notes.append(
            f"Repaired: {counted}; check.json lists each. Private data is masked unless --keep-private is given."
        )
    values = {key: len({group_of(row, key, None) for row in source.rows}) for key in keys if not source.group}
    notes += [f"`{key}` has {count} values in {len(source.rows)} rows: if rows of one value belong together, say "
              f"--group {key}." for key, count in values.items() if 0.05 < count / len(source.rows) < 0.8]  # fmt: skip
    if len(source.rows) < TELLING:
        notes.append(f"Fewer than {TELLING} usable rows: the numbers tell little.")
    return notes


def _in_words(rows: Sequence[dict], key: str) -> bool:
    """True where most rows have a text of several words under the key."""
    return 2 * sum(isinstance(row.get(key), str) and " " in row[key].strip() for row in rows) > len(rows)
