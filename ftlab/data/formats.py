"""Training files in the formats that people have, read and converted without loss.

The centre is `messages`, the chat format of `ftlab.data.schema`. Every other format is read into it and written
from it; what a format cannot hold is an error that names it, never a silent drop. Files: JSONL, JSON, CSV and
Parquet (the first three also as .gz), a `datasets.Dataset` and a folder written by `save_to_disk`.

What the formats mean here:
- instruction and alpaca: the instruction and its input become one user turn, a blank line between them.
- prompt_completion and preference: nothing in the prompt is trained on, so its assistant turns get weight 0.
- preference: `messages` is the prompt and the chosen answer; the turns of the other answer stand in `rejected`.
- `system` (or `system_prompt`) beside any format but messages is the system turn.
"""

import codecs
import csv
import datetime
import gzip
import json
import re
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path

from ftlab.data import schema
from ftlab.data.schema import Finding, Line, Row
from ftlab.errors import DataError

# the accepted names of each field, the one that is written first
NAMES = {
    "instruction": ("instruction", "question", "query", "prompt"),
    "input": ("input", "context"),
    "output": ("output", "response", "answer"),
    "system": ("system", "system_prompt"),
    "history": ("history",),
}
# what each format needs, in words
FORMATS = {
    "messages": "messages",
    "instruction": "instruction (or question, query, prompt) and response (or answer)",
    "prompt_completion": "prompt and completion",
    "preference": "prompt, chosen and rejected, or input, preferred_output and non_preferred_output",
    "sharegpt": "conversations",
    "alpaca": "instruction and output, or an instruction format with input (or context) or history",
}
# the names a format uses itself, which no extra column may have
_SYSTEM = set(NAMES["system"])
_OPENAI_PAIR = {"input", "preferred_output", "non_preferred_output"}
OWN_NAMES = {
    "messages": {"messages"},
    "instruction": set(chain(*NAMES.values())),
    "prompt_completion": {"prompt", "completion"} | _SYSTEM,
    "preference": {"prompt", "chosen", "rejected"} | _OPENAI_PAIR | _SYSTEM,
    "sharegpt": {"conversations"} | _SYSTEM,
    "alpaca": set(chain(*NAMES.values())),
}
SHAREGPT_ROLES = {
    "system": "system", "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant",
    "tool": "tool", "observation": "tool",
}  # fmt: skip
WRITTEN_ROLES = {"system": "system", "user": "human", "assistant": "gpt", "tool": "tool"}
LIST_COLUMNS = {"messages", "conversations", "history", "tools", "preferred_output", "non_preferred_output"}
TEXT_OR_TURNS = {"prompt", "completion", "chosen", "rejected"}
TURN_COLUMNS = (LIST_COLUMNS - {"history", "tools"}) | TEXT_OR_TURNS
SUFFIXES = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet",
}  # fmt: skip

# code: (severity, message); every {} is filled in where the problem is seen
CODES = {
    # the file
    "broken_csv": ("error", "not CSV: {}; put a cell that holds a quote in quotes and double the one inside"),
    "open_quote": ("error", "a quote opened in this row is never closed, {} line(s) to the end are unread; close it"),
    "wrong_columns": ("error", "has {} cells where the header has {}; quote cells that hold the separator"),
    "not_utf8": ("error", "holds bytes that are not UTF-8; save the file again as UTF-8"),
    "cell_not_json": ("error", "must hold a list as JSON text: {}; write the cell with json.dumps"),
    "outside_data": ("warning", "stands beside data and is no row; it is not carried over: keep it in another file"),
    "null_arguments": ("warning", "{} null(s) left out, which a table adds by itself; write arguments as JSON text"),
    "not_json_value": ("error", "is of type {}, which JSON cannot hold; turn it into text or a number"),
    # one row, being read
    "missing_field": ("error", "is missing; rows of the format {} need {}"),
    "two_names": ("error", "stands beside {} and both are read as the same field; join them or drop one"),
    "two_forms": ("error", "is {} while {} is {}; write both as text or both as lists of turns"),
    "two_systems": ("error", "a system text beside a system turn; keep one of them"),
    "prompt_differs": ("error", "is not among the turns that chosen and rejected share; drop one of the two"),
    "prompt_weight": ("error", "a turn of the prompt is never trained on; drop the weight or write 0"),
    # one row, being written
    "name_taken": ("error", "is an extra column with a name that {} rows use themselves; rename it"),
    "tool_calls_lost": ("error", "tool calls have no place in {}; convert to messages or prompt_completion"),
    "tool_turn_lost": ("error", "a tool turn has no place in {}; convert to messages, sharegpt or prompt_completion"),
    "tools_lost": ("error", "the list of tools has no place in {}; convert to messages or prompt_completion"),
    "weight_zero_lost": ("error", "weight 0 would be lost in {} and the turn trained on; keep the row as messages"),
    "weight_one_lost": ("error", "weight 1 is the default and {} cannot say it; leave the weight out"),
    "key_lost": ("error", "has no place in {}; drop the key or convert to messages or prompt_completion"),
    "system_lost": ("error", "a system turn has no place in {}; convert to alpaca, or move its text to the user turn"),
    "turns_lost": ("error", "{} holds one question and one answer; convert to alpaca or sharegpt, or cut the row"),
    "order_lost": ("error", "{} needs user and assistant turns one after the other; join those of one role"),
    "no_prompt": ("error", "the answer is the first turn and {} needs a prompt before it; add a user turn"),
    "trained_prompt": ("error", "{} trains on the last turn only; give this turn weight 0 or convert to messages"),
    "answer_weight": ("error", "{} always trains on the last turn; cut the row after a turn with weight 1"),
    "rejected_lost": ("error", "the rejected answer has no place in {}; convert to preference or drop the column"),
    "no_rejected": ("error", "is missing; a preference row needs the turns of a second, worse answer in rejected"),
}  # fmt: skip
_ALL_CODES = schema.CODES | CODES


class _Bad(Exception):
    """The first thing that keeps a row from being read: code, field and the values of its message."""


@dataclass(frozen=True, repr=False)
class Rows:
    """The usable rows of a file, each as the file has it; every one of them converts to messages."""

    path: str
    rows: list[Row]
    format: str | None  # None where no row could be parsed
    rows_in: int
    rows_with_error: int  # rows_in == len(rows) + rows_with_error
    findings: list[Finding]

    def to_dict(self) -> dict:
        """The report without the rows, ready for JSON."""
        return {
            "format": self.format,
            "rows_in": self.rows_in,
            "rows_kept": len(self.rows),
            **_findings_dict(self.findings),
        }

    def __repr__(self):
        kept = f"{len(self.rows)} of {self.rows_in} rows usable as {self.format}"
        return _report(f"Rows({self.path}: {kept}", self.findings)

    def _repr_html_(self):
        counts = [("rows in the file", self.rows_in), ("rows usable", len(self.rows)), ("format", self.format)]
        return _table(counts, self.findings)


@dataclass(frozen=True, repr=False)
class Conversion:
    """What `convert` wrote and what it could not; the findings say why, by line of the source."""

    path: str
    out: str
    source_format: str
    format: str
    rows_in: int
    rows_written: int
    rows_with_error: int  # rows_in == rows_written + rows_with_error
    findings: list[Finding]

    def to_dict(self) -> dict:
        """The report, ready for JSON."""
        fields = asdict(replace(self, findings=[]))
        return fields | _findings_dict(self.findings)

    def __repr__(self):
        head = f"Conversion({self.path} ({self.source_format}) -> {self.out} ({self.format}): "
        return _report(f"{head}{self.rows_written} of {self.rows_in} rows written", self.findings)

    def _repr_html_(self):
        counts = [("rows in the file", self.rows_in), ("rows written", self.rows_written), ("format", self.format)]
        return _table(counts, self.findings)


def read(path, format: str | None = None) -> Rows:
    """Read a file, a saved folder or a Dataset; bad rows become findings, never an exception.

    Raises DataError where there is nothing to read (no such file, no rows, damaged as a whole) and, without
    `format`, where the rows fit no format or several.
    """
    format = _known(format) or _detect_source(path)
    rows, findings, rows_in, failed = [], [], 0, 0
    for line, chat, found, _ in _read(path, format):
        findings += found
        rows_in += line.is_row
        failed += line.is_row and chat is None
        if chat is not None:
            rows.append(Row(line.row, _name(path), line.number))
    findings.sort(key=lambda finding: finding.line)
    return Rows(_name(path), rows, format, rows_in, failed, findings)


def convert(path, out: str | Path, to: str, format: str | None = None, force: bool = False) -> Conversion:
    """Write the rows of `path` as JSONL in the format `to`; a row that does not fit is a finding and is left out.

    Rows are streamed (the source is read twice when `format` is not given) and other columns carried over.
    Raises DataError as `read` does, when `out` exists (unless `force`) and when not one row can be written;
    no file is left then.
    """
    _known(to)
    out = Path(out)
    if out.suffix not in (".jsonl", ".ndjson"):
        raise DataError(f"{out}: only JSONL is written; name the file {out.with_suffix('.jsonl')}")
    if out.exists() and not force:
        raise DataError(f"{out} exists already: choose another name, or overwrite with force=True (--force)")
    format = _known(format) or _detect_source(path)
    findings, tally = [], Counter()

    def written():
        for line, chat, found, at in _read(path, format):
            if chat is not None and (lost := _chat_findings(chat, _losses(chat.data, to), _row(path, line), at)):
                chat, found = None, found + lost
            findings.extend(found)
            tally.update(rows_in=line.is_row, written=chat is not None, failed=line.is_row and chat is None)
            if chat is not None:
                yield _write(chat.data, to)
        if not tally["written"]:
            schema.raise_findings([finding for finding in findings if finding.severity == "error"])

    schema.write_chat(written(), out, force=force)
    findings.sort(key=lambda finding: finding.line)
    counts = tally["rows_in"], tally["written"], tally["failed"]
    return Conversion(_name(path), str(out), format, to, *counts, findings)


def detect(rows: Iterable[Row]) -> str:
    """The one format that all rows with a known format fit; DataError when there is none, or more than one."""
    first, seen = {}, {}
    for row in rows:
        first.setdefault(_fits(row.data), row)
        if len(first) == 1:
            seen.update(dict.fromkeys(row.data))
    known = {fits: row for fits, row in first.items() if fits}
    if not first:
        raise DataError("no rows: a format is told by the fields of the rows")
    place = _place(next(iter(first.values())))
    if not known:
        needs = "\n".join(f"  {format}: {need}" for format, need in FORMATS.items())
        fields = ", ".join(map(repr, list(seen)[:20])) or "none"
        raise DataError(f"{place} fits no known format; it has the fields {fields}. Rename them to one of\n{needs}")
    common = frozenset.intersection(*known)
    if len(common) == 1:
        return next(iter(common))
    if common:
        fits = " and ".join(sorted(common))
        raise DataError(f"{_place(next(iter(known.values())))} fits {fits}; say which with format= (--format)")
    kinds = "; ".join(f"{' and '.join(sorted(fits))} from {_place(row)}" for fits, row in known.items())
    raise DataError(f"the file mixes formats: {kinds}. Split it, or name the format of the rows to keep")


def to_messages(row: Row, format: str) -> dict:
    """The row as a messages row with its other columns; DataError with file, line and field when it cannot be."""
    chat, findings = _checked(row, _known(format, required=True), "")
    schema.raise_findings([finding for finding in findings if finding.severity == "error"])
    return chat.data


def from_messages(data: dict, format: str) -> dict:
    """A messages row in another format, with its other columns; DataError names the fields that would be lost.

    `to_messages` gives the same row back, but for keys of a turn that are null: some formats leave them out.
    prompt_completion and preference are written as lists of turns, preference under TRL's names.
    """
    chat = _Chat(data, [], [])
    problems = [("not_an_object", "", schema._kind(data))] if not isinstance(data, dict) else _row_problems(data)
    problems = [problem for problem in problems if _ALL_CODES[problem[0]][0] == "error"]
    problems = problems or list(_losses(data, _known(format, required=True)))
    lost = _chat_findings(chat, problems, Row({}, "", 0), "")
    if lost:
        raise DataError("\n".join(f"{finding.field or 'row'}: {finding.message}" for finding in lost[:5]))
    return _write(data, format)


# --- one row into messages


@dataclass(frozen=True)
class _Chat:
    """A messages row and where its turns stand in the source: (path, {our key: its key}), None for plain text."""

    data: dict
    places: list[tuple]
    rejected: list[tuple]


def _read(path, format) -> Iterator[tuple[Line, _Chat | None, list[Finding], str]]:
    """Every line of a source with its row as messages (None if unusable), its findings and its place in the line."""
    for line, at in _scan(path):
        chat, found = None, []
        if line.is_row and not _has_error(line.findings):
            chat, found = _checked(_row(path, line), format, at)
        yield line, None if _has_error(found) else chat, line.findings + found, at


def _checked(row: Row, format: str, at: str) -> tuple[_Chat | None, list[Finding]]:
    """The row as messages, and everything that is wrong with it under the names that the source has."""
    if not isinstance(row.data, dict):
        return None, _findings([("not_an_object", "", schema._kind(row.data))], row, at)
    try:
        chat = _chat(row.data, format)
    except _Bad as bad:
        return None, _findings([bad.args], row, at)
    return chat, _chat_findings(chat, _chat_problems(chat), row, at)


def _row_problems(data):
    """The rules of check_chat for one row."""
    return schema._row_problems(data)


def _chat(data: dict, format: str) -> _Chat:
    if format == "messages":
        return _Chat(data, [], [])
    turns, rejected, extras = _READERS[format](data)
    for name in ("messages", "rejected") if rejected else ("messages",):
        if name in extras:
            raise _Bad("name_taken", name, "messages")
    row = {"messages": [turn for _, _, turn in turns], **extras}
    if rejected:
        row["rejected"] = [turn for _, _, turn in rejected]
    return _Chat(row, [turn[:2] for turn in turns], [turn[:2] for turn in rejected])


def _chat_problems(chat: _Chat):
    """What check_chat finds in a row, in the rejected answer too; nothing twice."""
    yield from _row_problems(chat.data)
    if chat.rejected:
        yield from _rejected_problems(chat.data, len(chat.data["messages"]) - _answer_length(chat.data["messages"]))


def _rejected_problems(data, start):
    """Problems of the other answer after the prompt, messages[:start], under the name of `rejected`."""
    rejected = data["rejected"]
    if not isinstance(rejected, list) or not rejected:
        yield "wrong_type", "rejected", _kind(rejected), "a list of turns that ends with the assistant's"
        return
    for code, field, *values in _row_problems({"messages": data["messages"][:start] + rejected}):
        match = re.match(r"messages\[(\d+)\]", field)
        if match and int(match[1]) >= start:
            yield code, f"rejected[{int(match[1]) - start}]{field[match.end():]}", *values


def _answer_length(messages):
    """The number of turns after the prompt: from the first assistant turn that is trained on."""
    for index, turn in enumerate(messages):
        if isinstance(turn, dict) and turn.get("role") == "assistant" and turn.get("weight") != 0:
            return len(messages) - index
    return 1


def _text(data, field, format="", optional=False):
    """(name, text) of a field under one of its accepted names; an optional one may be empty or missing."""
    names = [name for name in NAMES[field] if data.get(name) is not None]
    names = [name for name in names if data[name] != ""] or ([] if optional else names[:1])
    if len(names) > 1:
        raise _Bad("two_names", names[1], names[0])
    if not names:
        if optional:
            return NAMES[field][0], ""
        raise _Bad("missing_field", NAMES[field][0], format, f"it (also accepted: {', '.join(NAMES[field][1:])})")
    if not isinstance(data[names[0]], str):
        raise _Bad("wrong_type", names[0], _kind(data[names[0]]), "one string")
    return names[0], data[names[0]]


def _turn(role, place, text):
    return place, None, {"role": role, "content": text}


def _with_system(data, turns):
    """The turns after a system turn from a column `system`, where there is one."""
    name, text = _text(data, "system", optional=True)
    if not text:
        return turns
    if any(isinstance(turn, dict) and turn.get("role") == "system" for _, _, turn in turns):
        raise _Bad("two_systems", name)
    return [_turn("system", name, text), *turns]


def _without(data, names):
    return {name: value for name, value in data.items() if name not in names}


def _read_instruction(data):
    """Turns of an instruction or alpaca row."""
    name, instruction = _text(data, "instruction", "instruction")
    _, given = _text(data, "input", optional=True)
    answer_name, answer = _text(data, "output", "instruction")
    turns = []
    history = [] if data.get("history") in (None, "") else data["history"]
    if not isinstance(history, list):
        raise _Bad("wrong_type", "history", _kind(history), "a list of pairs [question, answer]")
    for index, pair in enumerate(history):
        place = f"history[{index}]"
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)):
            raise _Bad("wrong_type", place, _kind(pair), "a pair of strings: [question, answer]")
        turns += [_turn("user", f"{place}[0]", pair[0]), _turn("assistant", f"{place}[1]", pair[1])]
    question = "\n\n".join(text for text in (instruction, given) if text)
    turns += [_turn("user", name, question), _turn("assistant", answer_name, answer)]
    return _with_system(data, turns), [], _without(data, OWN_NAMES["instruction"])


def _read_sharegpt(data):
    conversations = data.get("conversations")
    if not isinstance(conversations, list) or not conversations:
        raise _Bad("wrong_type", "conversations", _kind(conversations), "a list of turns")
    turns = []
    for index, turn in enumerate(conversations):
        place, names = f"conversations[{index}]", {}
        if isinstance(turn, dict):
            for theirs, ours in (("from", "role"), ("value", "content")):
                if theirs in turn and ours in turn:
                    raise _Bad("two_names", f"{place}.{ours}", theirs)
                if theirs in turn:
                    names[ours] = theirs
            ours = {theirs: ours for ours, theirs in names.items()}
            turn = {ours.get(key, key): value for key, value in turn.items()}
            if isinstance(turn.get("role"), str):
                turn["role"] = SHAREGPT_ROLES.get(turn["role"], turn["role"])
        turns.append((place, names, turn))
    return _with_system(data, turns), [], _without(data, OWN_NAMES["sharegpt"])


def _side(value, place, role):
    """The turns of a prompt or an answer, given as text or as a list of turns."""
    if isinstance(value, str):
        return [_turn(role, place, value)]
    if isinstance(value, list) and value:
        return [(f"{place}[{index}]", {}, turn) for index, turn in enumerate(value)]
    raise _Bad("wrong_type", place, _kind(value), "text or a list of turns")


def _untrained(turns):
    """The turns of a prompt, the assistant's with weight 0."""
    result = []
    for place, names, turn in turns:
        if isinstance(turn, dict) and turn.get("role") == "assistant":
            if turn.get("weight") not in (None, 0):
                raise _Bad("prompt_weight", f"{place}.weight")
            turn = turn | {"weight": 0}
        result.append((place, names, turn))
    return result


def _sides(data, format, *names):
    """The values of the fields of a prompt and its answers, all text or all lists."""
    for name in names:
        if data.get(name) is None:
            raise _Bad("missing_field", name, format, FORMATS[format])
    for name in names[1:]:
        if isinstance(data[name], str) != isinstance(data[names[0]], str):
            raise _Bad("two_forms", name, _kind(data[name]), names[0], _kind(data[names[0]]))
    return [data[name] for name in names]


def _read_prompt_completion(data):
    prompt, completion = _sides(data, "prompt_completion", "prompt", "completion")
    turns = _untrained(_side(prompt, "prompt", "user")) + _side(completion, "completion", "assistant")
    return _with_system(data, turns), [], _without(data, OWN_NAMES["prompt_completion"])


def _read_preference(data):
    if "preferred_output" in data or "non_preferred_output" in data:
        return _read_openai_preference(data)
    extras = _without(data, {"prompt", "chosen", "rejected"} | _SYSTEM)
    chosen, rejected = _sides(data, "preference", "chosen", "rejected")
    prompt = data.get("prompt")
    if isinstance(chosen, list) and not isinstance(prompt, list):
        prompt, chosen, rejected = _shared_prompt(prompt, chosen, rejected)
    else:
        _sides(data, "preference", "prompt", "chosen")
        prompt, chosen = _side(prompt, "prompt", "user"), _side(chosen, "chosen", "assistant")
        rejected = _side(rejected, "rejected", "assistant")
    return _with_system(data, _untrained(prompt) + chosen), rejected, extras


def _shared_prompt(prompt, chosen, rejected):
    """Split two whole conversations into the turns they share and the answers."""
    chosen, rejected = _side(chosen, "chosen", "assistant"), _side(rejected, "rejected", "assistant")
    shorter = min(len(chosen), len(rejected)) - 1
    same = next((index for index in range(shorter) if chosen[index][2] != rejected[index][2]), shorter)
    if not same:
        raise _Bad("missing_field", "prompt", "preference", "it, or chosen and rejected that begin with the same turns")
    if prompt is not None and not any(isinstance(turn, dict) and turn.get("content") == prompt
                                      for _, _, turn in chosen[:same]):
        raise _Bad("prompt_differs", "prompt")
    return chosen[:same], chosen[same:], rejected[same:]


def _read_openai_preference(data):
    given = data.get("input")
    if not isinstance(given, dict) or not isinstance(given.get("messages"), list):
        raise _Bad("wrong_type", "input", _kind(given), "an object with the list messages")
    chosen, rejected = _sides(data, "preference", "preferred_output", "non_preferred_output")
    extras = _without(data, _OPENAI_PAIR | _SYSTEM)
    for name, value in _without(given, {"messages"}).items():  # tools, parallel_tool_calls
        if name in extras or name in _SYSTEM:
            raise _Bad("two_names", f"input.{name}", name)
        extras[name] = value
    turns = _untrained(_side(given["messages"], "input.messages", "user"))
    turns += _side(chosen, "preferred_output", "assistant")
    return _with_system(data, turns), _side(rejected, "non_preferred_output", "assistant"), extras


_READERS = {
    "instruction": _read_instruction,
    "alpaca": _read_instruction,
    "prompt_completion": _read_prompt_completion,
    "preference": _read_preference,
    "sharegpt": _read_sharegpt,
}


# --- messages into another format


def _losses(data: dict, to: str) -> Iterator[tuple]:
    """Everything in a legal messages row that the format `to` cannot hold, as (code, field, *values)."""
    messages = data["messages"]
    for name in data:
        if name in OWN_NAMES[to] - {"messages"} and (to, name) != ("preference", "rejected"):
            yield "name_taken", name, to
    if to not in ("messages", "preference") and isinstance(data.get("rejected"), list):
        yield "rejected_lost", "rejected", to
    if to in ("instruction", "alpaca", "sharegpt"):
        for index, turn in enumerate(messages):
            yield from _turn_losses(turn, f"messages[{index}]", to)
    if to in ("instruction", "alpaca"):
        yield from _text_losses(data, messages, to)
    if to in ("prompt_completion", "preference"):
        yield from _prompt_losses(messages, to)
    if to == "preference":
        if data.get("rejected") is None:
            yield "no_rejected", "rejected"
        else:
            yield from (problem for problem in _rejected_problems(data, len(messages) - 1)
                        if _ALL_CODES[problem[0]][0] == "error")


def _turn_losses(turn, at, to):
    for key, value in turn.items():
        if value is None or key in ("role", "content"):
            continue
        if key == "weight":
            if value == 0:
                yield "weight_zero_lost", f"{at}.weight", to
            elif to != "sharegpt":  # there it stays in the turn and harms nobody
                yield "weight_one_lost", f"{at}.weight", to
        else:
            yield "tool_calls_lost" if key == "tool_calls" else "key_lost", f"{at}.{key}", to
    if turn["role"] == "tool" and to != "sharegpt":
        yield "tool_turn_lost", f"{at}.role", to


def _text_losses(data, messages, to):
    if data.get("tools"):
        yield "tools_lost", "tools", to
    start = messages[0]["role"] == "system"
    if start and to == "instruction":
        yield "system_lost", "messages[0].role", to
    for index, turn in enumerate(messages[start:]):
        if turn["role"] != ("user", "assistant")[index % 2]:
            yield "order_lost", f"messages[{index + start}].role", to
            return
    if to == "instruction" and len(messages) - start > 2:
        yield "turns_lost", f"messages[{start + 2}]", to


def _prompt_losses(messages, to):
    if len(messages) == 1:
        yield "no_prompt", "messages", to
    for index, turn in enumerate(messages[:-1]):
        if turn["role"] == "assistant" and turn.get("weight") != 0:
            yield "trained_prompt", f"messages[{index}].weight", to
    if messages[-1].get("weight") == 0:
        yield "answer_weight", f"messages[{len(messages) - 1}].weight", to


def _write(data: dict, to: str) -> dict:
    """The row in the format `to`, which is known to hold it."""
    messages, extras = data["messages"], _without(data, {"messages"})
    if to == "messages":
        return data
    if to == "prompt_completion":
        return {"prompt": messages[:-1], "completion": messages[-1:], **extras}
    if to == "preference":
        rejected = extras.pop("rejected")
        return {"prompt": messages[:-1], "chosen": messages[-1:], "rejected": rejected, **extras}
    if to == "sharegpt":
        return {"conversations": [_sharegpt_turn(turn) for turn in messages], **extras}
    texts = [turn["content"] for turn in messages]
    system = [texts.pop(0)] if messages[0]["role"] == "system" else []
    *earlier, question, answer = texts
    if to == "instruction":
        return {"instruction": question, "response": answer, **extras}
    row = {"instruction": question, "input": "", "output": answer}
    if system:
        row["system"] = system[0]
    if earlier:
        row["history"] = [list(pair) for pair in zip(earlier[::2], earlier[1::2], strict=True)]
    return row | extras


def _sharegpt_turn(turn):
    others = {key: value for key, value in turn.items() if key not in ("role", "content") and value is not None}
    return {"from": WRITTEN_ROLES[turn["role"]], "value": turn["content"], **others}


# --- formats and findings


def _known(format, required=False):
    if format is None and not required:
        return None
    if not isinstance(format, str) or format not in FORMATS:
        raise DataError(f"{format!r} is not a format: choose one of {', '.join(FORMATS)}")
    return format


def _fits(data: dict) -> frozenset[str]:
    """The formats whose fields the row has."""
    names = {name for name, value in data.items() if value is not None}
    fits = {"messages"} & names
    if {"prompt", "completion"} <= names:
        fits.add("prompt_completion")
    if {"chosen", "rejected"} <= names or {"preferred_output", "non_preferred_output"} <= names:
        fits.add("preference")
    if "conversations" in names:
        fits.add("sharegpt")
    if names & set(NAMES["instruction"]) and names & set(NAMES["output"]):
        fits.add("alpaca" if {"output", "history", *NAMES["input"]} & set(data) else "instruction")
    return frozenset(fits)


def _detect_source(path) -> str | None:
    """The format of a source, None when not one row can be parsed."""
    rows = (_row(path, line) for line, _ in _scan(path) if line.is_row and not _has_error(line.findings))
    rows = (row for row in rows if isinstance(row.data, dict))
    first = next(rows, None)
    return None if first is None else detect(chain([first], rows))


def _row(path, line: Line) -> Row:
    return Row(line.row, _name(path), line.number)


def _place(row: Row):
    return f"{row.file}:{row.line}"


def _name(path):
    return str(path) if isinstance(path, (str, Path)) else type(path).__name__


def _kind(value):
    return "an empty list" if value == [] else schema._kind(value)


def _has_error(findings):
    return any(finding.severity == "error" for finding in findings)


def _chat_findings(chat: _Chat, problems, row: Row, at: str) -> list[Finding]:
    """Findings of a row as messages, with every field under the name that it has in the source."""
    renamed = ((code, _source_field(field, chat), *values) for code, field, *values in problems)
    return _findings(renamed, row, at)


def _source_field(field, chat):
    match = re.fullmatch(r"(messages|rejected)(?:\[(\d+)\](?:\.(\w+))?(.*))?", field, re.DOTALL)
    places = (chat.places if match[1] == "messages" else chat.rejected) if match else []
    if not places:
        return field
    if match[2] is None:
        return re.match(r"\w+", places[0][0])[0]
    place, names = places[int(match[2])]
    if names is None:
        return place
    key = f".{names.get(match[3], match[3])}" if match[3] else ""
    return f"{place}{key}{match[4]}"


def _findings(problems, row: Row, at: str) -> list[Finding]:
    """Turn (code, field, *values) into findings, at most MAX_PER_ROW of each severity."""
    seen, findings = Counter(), []
    for code, field, *values in problems:
        severity = _ALL_CODES[code][0]
        seen[severity] += 1
        if seen[severity] <= schema.MAX_PER_ROW:
            field = f"{at}.{field}" if at and field else at or field
            findings.append(schema.finding(_ALL_CODES, code, row, field, *values))
    return findings


def _findings_dict(findings):
    counts = dict(Counter(finding.code for finding in findings))
    return {"findings": [asdict(finding) for finding in findings], "counts": counts}


def _report(head, findings, show=5):
    severities = Counter(finding.severity for finding in findings)
    tally = ", ".join(f"{number} {severity}" for severity, number in severities.items()) or "no findings"
    left = [f"... and {len(findings) - show} more"] if len(findings) > show else []
    return "\n".join([f"{head}; {tally})", *map(str, findings[:show]), *left])


def _table(counts, findings):
    import pandas as pd

    rows = [(what, value, "") for what, value in counts]
    rows += [(finding.code, f"line {finding.line}", str(finding)) for finding in findings[:50]]
    return pd.DataFrame(rows, columns=["what", "value", "detail"]).to_html(index=False)


# --- sources: each yields its lines, and for several rows on one line the place of the row in it


def _scan(source) -> Iterator[tuple[Line, str]]:
    """Yield every row of a source as (line, place in the line); DataError when the source has no row at all."""
    if not isinstance(source, (str, Path)):
        return _scan_dataset(source, _name(source))
    path = Path(source)
    if path.is_dir():
        return _scan_folder(path)
    zipped = path.suffix.lower() == ".gz"
    kind = SUFFIXES.get((Path(path.stem) if zipped else path).suffix.lower())
    if kind is None or (zipped and kind == "parquet"):
        raise DataError(f"{path}: what is in it? Name it {', '.join(SUFFIXES)} (all but Parquet also .gz), "
                        "or name a folder written by save_to_disk")
    if not path.exists():
        raise DataError(f"{path} does not exist: check the path (now in {Path.cwd()})")
    scan = {"jsonl": _scan_jsonl, "json": _scan_json, "csv": _scan_csv, "parquet": _scan_parquet}[kind]
    return _scan_zipped(path, scan) if zipped else scan(path, str(path))


def _scan_jsonl(path, name):
    for line in schema.scan_jsonl(path):
        yield replace(line, findings=[replace(finding, file=name) for finding in line.findings]), ""


def _scan_zipped(path, scan):
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / path.stem
        try:
            with gzip.open(path) as packed, plain.open("wb") as file:
                shutil.copyfileobj(packed, file)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path} is not a whole gzip file ({error}): copy or write it again") from error
        try:
            yield from scan(plain, str(path))
        except DataError as error:
            raise DataError(str(error).replace(str(plain), str(path))) from error


def _scan_json(path, name):
    """Rows of one JSON array, of the array in {"data": [...]}, or of a JSONL file with the wrong suffix."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
        whole = json.loads(text)
    except UnicodeDecodeError as error:
        number = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{number} is not UTF-8 (byte {error.start}); save the file again as UTF-8") from error
    except RecursionError as error:
        raise DataError(f"{path}: more than {schema.MAX_DEPTH} objects or lists inside one another") from error
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip().startswith("{"):  # JSONL under the name of JSON
            yield from _scan_jsonl(path, name)
            return
        if not text.strip():
            raise DataError(f"{path} is empty: it needs a list of objects") from error
        where = f"{path}:{error.lineno} not JSON: {error.msg} at column {error.colno}"
        raise DataError(f"{where}; nothing was read: mend the place or write the file again") from error
    except ValueError as error:  # an integer of thousands of digits
        raise DataError(f"{path}: {error}; write the number as a string") from error
    if raw.startswith(codecs.BOM_UTF8):
        yield _line(name, 1, None, [("bom", "")]), ""
    start, at = _skip(text, 0), ""
    if isinstance(whole, dict) and not isinstance(whole.get("data"), list) and _fits(whole):
        text = f"[{text}]"  # one row
    elif isinstance(whole, dict):
        members = list(_members(text, start))
        starts = [place for key, place in members if key == "data" and text[place] == "["]
        if len(starts) != 1:
            raise DataError(f'{path} holds one object with {", ".join(map(repr, whole)) or "no fields"}: '
                            'write a list of objects, or {"data": [...]}')
        for key, place in members:
            if place != starts[0]:
                yield _line(name, text.count("\n", 0, place) + 1, None, [("outside_data", key)]), ""
        start, at = starts[0], "data"
    elif not isinstance(whole, list):
        raise DataError(f"{path} holds {schema._kind(whole)}: write a list of objects")
    yield from _elements(text, start, name, at)


def _elements(text, start, name, at):
    """Yield the rows of the legal JSON array at text[start]."""
    duplicates, number, last, index = [], 1, 0, 0
    decoder = json.JSONDecoder(object_pairs_hook=lambda pairs: schema._object(pairs, duplicates))
    position = _skip(text, start + 1)
    while text[position] != "]":
        row, end = decoder.raw_decode(text, position)
        number += text.count("\n", last, position)
        last, place = position, f"{at}[{index}]"
        problems = [("duplicate_key", key) for key in duplicates] + list(schema._value_problems(row))
        yield _line(name, number, row, problems, place, is_row=True), place
        duplicates.clear()
        index += 1
        position = _skip(text, end)
        position = _skip(text, position + 1) if text[position] == "," else position
    if not index:
        raise DataError(f"{name} is empty: its list has no objects")


def _members(text, start):
    """Yield (key, place of its value) of the legal JSON object at text[start]."""
    decoder = json.JSONDecoder()
    position = _skip(text, start + 1)
    while text[position] != "}":
        key, end = decoder.raw_decode(text, position)
        place = _skip(text, _skip(text, end) + 1)
        yield key, place
        position = _skip(text, decoder.raw_decode(text, place)[1])
        position = _skip(text, position + 1) if text[position] == "," else position


def _skip(text, position):
    """The place of the next character that is no JSON white space."""
    while text[position : position + 1] in (" ", "\t", "\r", "\n"):
        position += 1
    return position


def _scan_csv(path, name):
    """Rows of a CSV file: separator , ; or tab, one header line, lists as JSON text; every cell stays text."""
    with path.open("rb") as file:
        start = file.read(3)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{path} is UTF-16; save it as CSV UTF-8")
    if start == codecs.BOM_UTF8:
        yield _line(name, 1, None, [("bom", "")]), ""
    csv.field_size_limit(max(csv.field_size_limit(), schema.MAX_LINE_BYTES))
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        first = file.readline()
        file.seek(0)
        reader = csv.reader(file, delimiter=max(",;\t", key=first.count), strict=True)
        header = _csv_header(reader, path)
        lists = LIST_COLUMNS | ({"input"} if "preferred_output" in header else set())
        rows = 0
        while True:
            number = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                unread = reader.line_num - number + 1
                at_end = "unexpected end" in str(error)
                problem = ("open_quote", "", unread) if at_end else ("broken_csv", "", error)
                cells, row, problems = None, None, [problem]
            if cells == []:
                continue  # a blank line
            if cells is not None:
                row, problems = _csv_row(header, cells, lists)
            rows += 1
            yield _line(name, number, row, problems, is_row=True), ""
    if not rows:
        raise DataError(f"{name} is empty: it has a header and no rows")


def _csv_header(reader, path):
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise DataError(f"{path}:1 the header is not CSV: {error}; mend the first line") from error
    twice = [name for name, count in Counter(header).items() if count > 1]
    if not any(header) or twice:
        problem = f"names {twice[0]!r} twice" if twice else "is empty"
        raise DataError(f"{path}:1 the header {problem}; the first line must name each column once")
    if any(schema._has_surrogate(name) for name in header):
        raise DataError(f"{path}:1 the header is not UTF-8; save the file again as CSV UTF-8")
    return header


def _csv_row(header, cells, lists):
    """One CSV record as a row (None if it has none) and its problems."""
    if len(cells) != len(header):
        return None, [("wrong_columns", "", len(cells), len(header))]
    damaged = [name for name, cell in zip(header, cells, strict=True) if schema._has_surrogate(cell)]
    if damaged:
        return None, [("not_utf8", name) for name in damaged]
    row, problems = {}, []
    for name, cell in zip(header, cells, strict=True):
        row[name], found = _csv_value(name, cell, lists)
        problems += found
    return row, problems + list(schema._value_problems(row))


def _csv_value(name, cell, lists):
    """The value of a cell and its problems: JSON text where turns or tools are meant, else the text as it is."""
    start = cell.lstrip()[:1]
    if name in lists and not start:
        return None, []
    if start not in ("[", "{") or name not in lists | TEXT_OR_TURNS:
        return cell, []
    duplicates = []
    try:
        value = json.loads(cell, object_pairs_hook=lambda pairs: schema._object(pairs, duplicates))
    except (ValueError, RecursionError) as error:
        return cell, [("cell_not_json", name, error)] if name in lists else []
    if name in TEXT_OR_TURNS and not (isinstance(value, list) and value and all(map(_is_turn, value))):
        return cell, []  # an answer that is JSON itself
    return value, [("duplicate_key", f"{name}.{key}") for key in duplicates]


def _is_turn(value):
    return isinstance(value, dict) and {"role", "content"} <= set(value)


def _scan_parquet(path, name):
    def rows():
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            twice = [column for column, count in Counter(names).items() if count > 1]
            if twice:
                raise DataError(f"{path} has two columns {twice[0]!r}: rename one")
            for batch in file.iter_batches(1000):
                yield from batch.to_pylist()

    yield from _table_rows(rows(), name)


def _scan_folder(path):
    """Rows of a folder written by `Dataset.save_to_disk`."""
    splits = sorted(item.parent.name for item in path.glob("*/state.json"))
    if (path / "dataset_dict.json").exists() and splits:
        raise DataError(f"{path} holds the splits {', '.join(splits)}: name one, for example {path / splits[0]}")
    if not (path / "state.json").exists():
        raise DataError(f"{path} is a folder that save_to_disk did not write: name a file in it")
    from datasets import load_from_disk

    try:
        dataset = load_from_disk(str(path))
    except Exception as error:  # whatever damage the folder has
        raise DataError(f"{path} cannot be loaded ({_first_line(error)}): save the data set again") from error
    yield from _scan_dataset(dataset, str(path))


def _scan_dataset(dataset, name):
    if isinstance(dataset, dict):
        raise DataError(f"a DatasetDict with the splits {', '.join(map(str, dataset))}: give one of them")
    if not hasattr(dataset, "with_format"):
        raise DataError(f"give a path or a datasets.Dataset, not a {type(dataset).__name__}")
    yield from _table_rows(iter(dataset.with_format(None)), name)


def _table_rows(rows, name):
    """Lines of a table, counted from 1 without a header; keys that are null only because others have them go."""
    number = nulls = first_null = 0
    for number, row in enumerate(_guarded(rows, name), 1):
        row, removed = _plain(row)
        nulls += removed
        first_null = first_null or (number if removed else 0)
        problems = [
            ("not_json_value", field, type(value).__name__)
            for field, value, _ in schema._walk(row)
            if not isinstance(value, (str, int, float, list, dict, type(None)))
        ]
        yield _line(name, number, row, problems or list(schema._value_problems(row)), is_row=True), ""
    if nulls:
        yield _line(name, first_null, None, [("null_arguments", "tool_calls", nulls)]), ""
    if not number:
        raise DataError(f"{name} is empty: it has no rows")


def _guarded(rows, name):
    """The same rows; whatever a damaged table raises becomes a DataError."""
    try:
        yield from rows
    except DataError:
        raise
    except Exception as error:  # Arrow raises many kinds: OSError, ValueError, KeyError, its own
        raise DataError(f"{name} cannot be read ({_first_line(error)}): it is damaged, write it again") from error


def _first_line(error):
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"


def _plain(row: dict) -> tuple[dict, int]:
    """A row of a table with dates as text and turns without null keys, and the nulls taken out of tool calls."""
    result, removed = {}, 0
    for name, value in row.items():
        if isinstance(value, (datetime.date, datetime.time)):
            value = value.isoformat()
        elif name == "input" and isinstance(value, dict):
            value, removed_here = _plain({key: item for key, item in value.items() if item is not None})
            removed += removed_here
        elif name == "tools":
            value, removed_here = _without_nulls(value)
            removed += removed_here
        elif name in TURN_COLUMNS and isinstance(value, list):
            turns = []
            for turn in value:
                if isinstance(turn, dict):
                    turn = {key: item for key, item in turn.items() if item is not None or key == "content"}
                if isinstance(turn, dict) and "tool_calls" in turn:
                    turn["tool_calls"], removed_here = _without_nulls(turn["tool_calls"])
                    removed += removed_here
                turns.append(turn)
            value = turns
        result[name] = value
    return result, removed


def _without_nulls(value):
    """The value without keys that are null, at any depth, and their number."""
    if isinstance(value, dict):
        items = {key: _without_nulls(item) for key, item in value.items() if item is not None}
        removed = len(value) - len(items) + sum(count for _, count in items.values())
        return {key: item for key, (item, _) in items.items()}, removed
    if isinstance(value, list):
        items = [_without_nulls(item) for item in value]
        return [item for item, _ in items], sum(count for _, count in items)
    return value, 0


def _line(name, number, row, problems, at="", is_row=False) -> Line:
    return Line(number, row, _findings(problems, Row({}, name, number), at), is_row)
