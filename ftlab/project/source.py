"""The rows of somebody else's file: which field asks and which answers, what cannot be used, a clean copy."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ftlab.checks.check import CheckReport, check
from ftlab.checks.fix import FixReport, fix
from ftlab.data import formats, jsonl
from ftlab.data.findings import Finding, errors_of, listing
from ftlab.data.schema import read_chat, write_chat
from ftlab.data.splits import group_of
from ftlab.errors import DataError, shown
from ftlab.evaluation.answers import answer_kind
from ftlab.files import JSONL_SUFFIXES
from ftlab.training.data import Part, answer_problems, answers_of, unlike

ASKED = ("prompt", "text", "input", "question", "instruction", "query", "message", "ticket", "sentence", "body",
         "document", "review", "email", "note", "source", "utterance")  # fmt: skip
ANSWERED = ("completion", "label", "output", "answer", "response", "target", "category", "class", "intent", "reply",
            "summary", "expected")  # fmt: skip
LINE = "source_line"  # the key under which each row of the copy says where it stood
FEWEST = 20  # rows; fewer cannot be split into three parts that tell anything
MOST_BROKEN = 0.1  # of all rows; more is a fault of the file as a whole


@dataclass(frozen=True)
class Source:
    """The usable rows of a file, the kind of their answers, the checks, the repairs, what was left out, and notes."""

    path: Path
    rows: list[dict]
    kind: str
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
    copy, names = adopt(path, folder / "source.jsonl", asked, answered, group)
    report, clean = check(copy), folder / "clean.jsonl"
    findings = [_as_theirs(each, path, names) for each in report.findings]
    if report.format in ("preference", "kto"):
        raise DataError(f"{path}: rated answers and pairs ({report.format}) are for DPO and KTO, see notebook 09; give "
                        "rows with one good answer each")  # fmt: skip
    repairs = fix(copy, clean, mask=mask, force=True)
    rows = read_chat(clean)
    kind = kind or answer_kind(answers_of(rows))
    place = path if copy != path else clean  # a table's rows have no line of their own
    part = Part(place, rows, [row.get(LINE, number) for number, row in enumerate(rows, 1)])
    unfit = part.findings([*answer_problems(rows), *unlike(kind, rows)])
    left_out = [*(_as_theirs(each, path, names) for each in repairs.dropped), *unfit]
    broken = [each for each in left_out if each.code != "repeated_row"]
    if len(broken) > MOST_BROKEN * report.rows_in and not drop:
        lines = "\n".join([f"{len(broken)} of {report.rows_in} rows cannot be used:", *listing(broken, 10)])
        raise DataError(f"{path}: {lines}\nmend them, or leave them out (--drop)")
    bad = {each.line for each in unfit}
    rows = [row for row, line in zip(rows, part.lines, strict=True) if line not in bad]
    write_chat(rows, clean, force=True)
    refuse_nothing_to_learn(path, rows)
    notes = [
        f"Read as {'what is asked' if ours == 'prompt' else 'the answer'}: {name}." for ours, name in names.items()
    ]
    if done := Counter(change.code for change in repairs.changes):
        counted = ", ".join(f"{code} {count}" for code, count in done.most_common())
        notes.append(
            f"Repaired: {counted}; check.json lists each. Private data is masked unless --keep-private is given."
        )
    notes += group_notes(path, rows, group)
    report = replace(report, path=str(path), findings=findings)
    return Source(path, rows, kind, report, repairs, left_out, notes)


def adopt(path: Path, copy: Path, asked: Sequence[str], answered: str, group: str | None) -> tuple[Path, dict]:
    """A copy of a JSONL file, line by line, with our names, and with answers that are no text written as JSON.

    Returns what is to be read, and our names with theirs where they differ. Other files are read as they are.
    """
    if path.suffix.lower() not in JSONL_SUFFIXES:
        if asked or answered:
            raise DataError(f"{path}: --input and --output are for JSONL; run ftlab convert {path} --rename OLD=NEW "
                            "--to messages --out chats.jsonl")  # fmt: skip
        return path, {}
    lines = [line for line in jsonl.scan_jsonl(path) if line.is_row]
    rows = [line.row for line in lines if isinstance(line.row, dict)]
    if not rows:
        raise DataError("\n".join(listing([each for line in lines for each in line.findings])))
    if asked or answered or not any(map(formats.fits, rows)):
        asked, answered = find_fields(path, rows, asked, answered)
    written = []
    for line in lines:
        written += [b""] * (line.number - len(written) - 1)  # so that each line keeps its number
        sound = isinstance(line.row, dict) and not errors_of(line.findings)
        row = _ours(line.row, asked, answered, group) | {LINE: line.number} if sound else {}
        written.append(jsonl.encode(row) if sound else line.raw)
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(b"\n".join(written) + b"\n")
    return copy, {"prompt": ", ".join(asked), "completion": answered} if answered else {}


def find_fields(path: Path, rows: list[dict], asked: Sequence[str], answered: str) -> tuple[list[str], str]:
    """The fields that ask and the one that answers, as named or by usual names; DataError where it cannot be told."""
    counts = Counter(key for row in rows for key in row)
    there = [key for key, count in counts.items() if 2 * count >= len(rows)]
    found = [key for key in there if key in ASKED and key != answered] if not asked else list(asked)
    answers = [key for key in there if key in ANSWERED and key not in found] if not answered else [answered]
    unknown = [key for key in (*found, *answers) if key not in counts]
    if unknown or len(answers) != 1 or not (asked or len(found) == 1):
        what = f"no row has {unknown[0]!r}" if unknown else "it cannot be told which field asks and which one answers"
        raise DataError(f"{path}: {what}; there are {', '.join(map(repr, there))}. Name them, for example --input text "
                        "--output label (several: --input subject,body)")  # fmt: skip
    return found, answers[0]


def _ours(row: dict, asked: Sequence[str], answered: str, group: str | None) -> dict:
    """One row under our names."""
    outer, _, inner = (group or "").partition(".")
    own = {group: row[outer][inner]} if inner and isinstance(row.get(outer), dict) and inner in row[outer] else {}
    if not answered:
        return {
            key: _text(value) if key in ANSWERED and isinstance(value, dict) else value for key, value in row.items()
        } | own
    texts = {key: _text(row[key]) for key in asked if row.get(key) not in (None, "")}
    joined = "\n".join(f"{key}: {text}" if len(asked) > 1 else text for key, text in texts.items())
    rest = {key: value for key, value in row.items() if key not in (*asked, answered)}
    prompt = {"prompt": joined} if texts else {}
    answer = {"completion": _text(row[answered])} if row.get(answered) is not None else {}
    return prompt | answer | rest | own


def _text(value) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _as_theirs(found: Finding, path: Path, names: dict) -> Finding:
    """A finding in the copy as one in the file itself."""
    return replace(found, file=str(path), field=names.get(found.field, found.field))


def refuse_nothing_to_learn(path: Path, rows: list[dict]) -> None:
    """DataError for too few rows, and for answers that are all the same."""
    if len(rows) < FEWEST:
        raise DataError(f"{path}: {len(rows)} usable rows, and {FEWEST} are the least to train on some and test on "
                        "others; from a hundred on the numbers begin to tell something: label more")  # fmt: skip
    if len(answers := set(answers_of(rows))) == 1:
        raise DataError(f"{path}: all {len(rows)} rows have the answer {shown(answers.pop())}: there is nothing to "
                        "learn. Add rows with other answers, or name another field (--output)")  # fmt: skip


def group_notes(path: Path, rows: list[dict], group: str | None) -> list[str]:
    """What may have to stay together in a split; DataError for a group that rows do not have."""
    if group:
        missing = [row.get(LINE, number) for number, row in enumerate(rows, 1) if group_of(row, group, None) is None]
        if missing:
            raise DataError(f"{path}:{missing[0]} {group}: is missing, or no plain value, in {len(missing)} row(s); "
                            "fill it in, or name another --group")  # fmt: skip
        return []
    keys = [key for key in rows[0] if key not in ("messages", "id", LINE)]
    values = {key: len({group_of(row, key, None) for row in rows}) for key in keys}
    return [f"`{key}` has {count} values in {len(rows)} rows: if rows of one value belong together, say --group {key}."
            for key, count in values.items() if 0.05 < count / len(rows) < 0.8]  # fmt: skip
