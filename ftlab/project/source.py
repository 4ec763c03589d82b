"""The rows of somebody else's file: which field asks and which answers, what cannot be used, a clean copy."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ftlab.checks.check import CheckReport, check
from ftlab.checks.fix import FixReport, fix
from ftlab.data import formats, jsonl
from ftlab.data.findings import Finding, listing
from ftlab.data.schema import read_chat, write_chat
from ftlab.data.splits import group_of
from ftlab.errors import DataError
from ftlab.evaluation.answers import answer_kind
from ftlab.files import JSONL_SUFFIXES
from ftlab.training.data import Part, answer_problems, answers_of, unlike

ASKED = ("prompt", "text", "input", "question", "instruction", "query", "message", "ticket", "sentence", "body",
         "document", "review", "email", "note", "source", "utterance")  # fmt: skip
ANSWERED = ("completion", "label", "output", "answer", "response", "target", "category", "class", "intent", "reply",
            "summary", "expected")  # fmt: skip
OURS = ("prompt", "completion")
LINE = "source_line"  # the key under which each row of the copy says where it stood
FEWEST = 20  # rows; fewer cannot be split into three parts that tell anything
MOST_BROKEN = 0.1  # of all rows; more is a fault of the file as a whole


@dataclass(frozen=True)
class Source:
    """A clean copy of a file: its rows, the kind of their answers, the checks' report, the repairs and what was left out.

    `notes` are sentences that a reader has to know.
    """

    path: Path
    rows: list[dict]
    kind: str
    report: CheckReport
    repairs: FixReport
    left_out: list[Finding]
    notes: list[str]


def read_source(path: Path, folder: Path, *, kind: str | None = None, asked: Sequence[str] = (), answered: str = "",
                group: str | None = None, mask: bool = True, drop: bool = False) -> Source:  # fmt: skip
    """Check a file, and write a repaired copy of the rows that can serve to `folder`/clean.jsonl, in our form.

    `asked` and `answered` name fields where they cannot be told. DataError with file, line, field and remedy: for a
    file that cannot be read, for more than a tenth of unusable rows (without `drop`), and where nothing can be learned.
    """
    copy, names, notes = adopt(path, folder / "source.jsonl", asked, answered, group)
    report, clean = check(copy), folder / "clean.jsonl"
    report = replace(report, path=str(path), findings=[_as_theirs(each, path, names) for each in report.findings])
    if report.format in ("preference", "kto"):
        raise DataError(f"{path}: rated answers and pairs of answers ({report.format}) are for DPO and KTO (notebook 09); "
                        "give rows with one good answer each")  # fmt: skip
    repairs = fix(copy, clean, mask=mask, force=True)
    left_out = [_as_theirs(each, path, names) for each in repairs.dropped]
    rows = read_chat(clean)
    kind = kind or answer_kind(answers_of(rows))
    at = Part(path, rows, [row.get(LINE, number) for number, row in enumerate(rows, 1)])
    unfit = at.findings([*answer_problems(rows), *unlike(kind, rows)])
    left_out += unfit
    broken = [each for each in left_out if each.code != "repeated_row"]
    if len(broken) > MOST_BROKEN * report.rows_in and not drop:
        share = f"{len(broken)} of {report.rows_in} rows of {path} cannot be used"
        lines = "\n".join(listing(broken, 10))
        raise DataError(f"{share}:\n{lines}\nmend them, or leave them out (--drop)")
    lines = {each.line for each in unfit}
    rows = [row for row, line in zip(rows, at.lines, strict=True) if line not in lines]
    write_chat(rows, clean, force=True)
    refuse_nothing_to_learn(path, rows, kind)
    notes += group_notes(rows, group, path)
    return Source(path, rows, kind, report, repairs, left_out, notes)


def adopt(path: Path, copy: Path, asked: Sequence[str], answered: str, group: str | None) -> tuple[Path, dict, list]:
    """A copy of a JSONL file with our names, the same lines, and answers that are no text written as JSON.

    Returns what is to be read, our name -> theirs, and what was found out. Files of another kind are read as they are.
    """
    if path.suffix.lower() not in JSONL_SUFFIXES:
        if asked or answered:
            raise DataError(f"{path}: --input and --output name fields of JSONL; first run ftlab convert {path} "
                            "--rename OLD=NEW --to messages --out chats.jsonl")  # fmt: skip
        return path, {}, []
    lines = [line for line in jsonl.scan_jsonl(path) if line.is_row]
    rows = [line.row for line in lines if isinstance(line.row, dict)]
    if not rows:
        raise DataError("\n".join(listing([each for line in lines for each in line.findings])))
    names, notes = {}, []
    if asked or answered or not any(map(formats.fits, rows)):
        asked, answered = find_fields(path, rows, asked, answered)
        names = dict(zip(OURS, (asked[0], answered), strict=True))
        notes.append(f"Read `{'`, `'.join(asked)}` as what is asked and `{answered}` as the answer (--input, --output).")
    written, last = [], 0
    for line in lines:
        blank = [b""] * (line.number - last - 1)  # so that a line keeps its number
        last = line.number
        sound = isinstance(line.row, dict) and not any(each.severity == "error" for each in line.findings)
        row = jsonl.encode(_ours(line.row, asked, answered, group, line.number)) if sound else line.raw
        written += [*blank, row]
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(b"\n".join(written) + b"\n")
    return copy, names, notes


def find_fields(path: Path, rows: list[dict], asked: Sequence[str], answered: str) -> tuple[Sequence[str], str]:
    """The fields that ask and the one that answers, as named or by their usual names; DataError where they are not told."""
    counts = Counter(key for row in rows for key in row)
    usual = [key for key, count in counts.items() if 2 * count >= len(rows)]
    named = bool(asked)
    asked = asked or [key for key in usual if key in ASKED and key != answered]
    found = [answered] if answered else [key for key in usual if key in ANSWERED and key not in asked]
    unknown = [key for key in (*asked, *found) if key not in counts]
    if len(found) != 1 or unknown or not (named or len(asked) == 1):
        what = f"no row has the field {unknown[0]!r}." if unknown else "which field asks, and which one is the answer?"
        raise DataError(f"{path}: {what} There are {', '.join(map(repr, usual))}: say it with --input and --output, for "
                        "example --input text --output label (several inputs: --input subject,body)")  # fmt: skip
    return asked, found[0]


def _ours(row: dict, asked: Sequence[str], answered: str, group: str | None, number: int) -> dict:
    """One row under our names, with its line."""
    if asked and answered:
        texts = {key: _text(row[key]) for key in asked if row.get(key) not in (None, "")}
        prompt = next(iter(texts.values()), None) if len(asked) == 1 else "\n".join(f"{k}: {t}" for k, t in texts.items())
        answer = {} if row.get(answered) is None else {"completion": _text(row[answered])}
        rest = {key: value for key, value in row.items() if key not in (*asked, answered)}
        row = ({} if not prompt else {"prompt": prompt}) | answer | rest
    else:
        row = {key: _text(value) if key in ANSWERED and isinstance(value, dict) else value for key, value in row.items()}
    outer, _, inner = (group or "").partition(".")
    if inner and isinstance(row.get(outer), dict) and inner in row[outer]:
        row[group] = row[outer][inner]
    return row | {LINE: number}


def _text(value) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _as_theirs(found: Finding, path: Path, names: dict) -> Finding:
    """A finding in the copy as one in the file itself."""
    return replace(found, file=str(path), field=names.get(found.field, found.field))


def refuse_nothing_to_learn(path: Path, rows: list[dict], kind: str) -> None:
    """DataError for too few rows, and for answers that are all the same."""
    if len(rows) < FEWEST:
        raise DataError(f"{path}: {len(rows)} usable rows; at least {FEWEST} are needed to train on some and test on "
                        "others, and from 100 on the numbers begin to tell something: label more")  # fmt: skip
    answers = set(answers_of(rows))
    if len(answers) == 1:
        raise DataError(f"{path}: each of the {len(rows)} rows has the answer {answers.pop()[:60]!r}: there is nothing to "
                        f"learn. Add rows with other answers, or name the field of the {kind} (--output)")  # fmt: skip


def group_notes(rows: list[dict], group: str | None, path: Path) -> Iterator[str]:
    """What may have to stay together in a split; DataError for a group that rows do not have."""
    if group:
        missing = [row.get(LINE, number) for number, row in enumerate(rows, 1) if group_of(row, group, None) is None]
        if missing:
            raise DataError(f"{path}:{missing[0]} {group}: is missing or no plain value ({len(missing)} rows); fill it in, "
                            "or name another --group")  # fmt: skip
        return
    for key in rows[0].keys() - {"messages", "id", LINE}:
        values = Counter(group_of(row, key, None) for row in rows)
        if 1 < len(values) < 0.8 * len(rows) and len(values) > 0.05 * len(rows):
            yield (f"`{key}` has {len(values)} values in {len(rows)} rows. If it names who or what a row belongs to, "
                   f"`--group {key}` keeps each of them on one side of the split.")  # fmt: skip
