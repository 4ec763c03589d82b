"""Training files in the formats that people have, read and converted without loss.

The centre is `messages`, the chat format of `ftlab.data.schema`. Every other format is read into it and written
from it; what a format cannot hold is an error that names it, never a silent drop. Files are read by
`ftlab.data.sources`.

What the formats mean here:
- instruction and alpaca: the instruction and its input become one user turn, a blank line between them.
- prompt_completion and preference: nothing in the prompt is trained on, so its assistant turns get weight 0.
- preference: `messages` is the prompt and the chosen answer; the turns of the other answer stand in `rejected`.
- sharegpt: a function_call turn becomes the assistant's tool calls, with the arguments as JSON text.
- `system` (or `system_prompt`) beside any format but messages is the system turn.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path

from ftlab import files
from ftlab.data import schema, sources
from ftlab.data.schema import Finding, Line, Row
from ftlab.data.sources import name_of
from ftlab.errors import DataError

# the accepted names of each field, the one that is written first
NAMES = {
    "instruction": ("instruction", "question", "query", "prompt"),
    "input": ("input", "context"),
    "output": ("output", "response", "answer"),
    "system": ("system", "system_prompt"),
    "history": ("history",),
}
PROMPT_NAMES = ("prompt", "question", "instruction", "query")  # of a preference row; the first there is counts
# what each format needs, in words
FORMATS = {
    "messages": "messages",
    "instruction": "instruction (or question, query, prompt) and response (or answer)",
    "prompt_completion": "prompt and completion",
    "preference": "prompt (or question), chosen and rejected, or input, preferred_output and non_preferred_output",
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
SHAREGPT_ROLES = {role: role for role in schema.ROLES} | schema.ROLE_HINTS | {
    "chatgpt": "assistant", "bing": "assistant", "bard": "assistant",
    "observation": "tool", "function_response": "tool", "tool_response": "tool",
}  # fmt: skip
CALL_ROLES = ("function_call", "tool_call")  # turns whose text is a call
WRITTEN_ROLES = {"system": "system", "user": "human", "assistant": "gpt", "tool": "tool"}

# code: (severity, message); every {} is filled in where the problem is seen
CODES = {
    # one row, being read
    "missing_field": ("error", "is missing; rows of the format {} need {}"),
    "two_names": ("error", "stands beside {} and both are read as the same field; join them or drop one"),
    "two_forms": ("error", "is {} while {} is {}; write both as text or both as lists of turns"),
    "bad_call": ("error", "a {} turn must hold a call as JSON text: {{name, arguments}} or a list of these"),
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
            **schema.findings_dict(self.findings),
        }

    def __repr__(self):
        kept = f"{len(self.rows)} of {self.rows_in} rows usable as {self.format}"
        return schema.report_text(f"Rows({self.path}: {kept}", self.findings)

    def _repr_html_(self):
        counts = [("rows in the file", self.rows_in), ("rows usable", len(self.rows)), ("format", self.format)]
        return schema.report_table(counts, self.findings)


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
        return asdict(replace(self, findings=[])) | schema.findings_dict(self.findings)

    def __repr__(self):
        head = f"Conversion({self.path} ({self.source_format}) -> {self.out} ({self.format}): "
        return schema.report_text(f"{head}{self.rows_written} of {self.rows_in} rows written", self.findings)

    def _repr_html_(self):
        counts = [("rows in the file", self.rows_in), ("rows written", self.rows_written), ("format", self.format)]
        return schema.report_table(counts, self.findings)


def read(path, format: str | None = None) -> Rows:
    """Read a file, a saved folder or a Dataset; bad rows become findings, never an exception.

    Raises DataError where there is nothing to read (no such file, no rows, damaged as a whole) and, without
    `format`, where the rows fit no format or several.
    """
    format = format_of(path, format)
    rows, findings, rows_in, failed = [], [], 0, 0
    for line, chat, found in scan(path, format):
        findings += found
        rows_in += line.is_row
        failed += line.is_row and chat is None
        if chat is not None:
            rows.append(_row(path, line))
    findings.sort(key=lambda finding: finding.line)
    return Rows(name_of(path), rows, format, rows_in, failed, findings)


def convert(path, out: str | Path, to: str, format: str | None = None, force: bool = False) -> Conversion:
    """Write the rows of `path` as JSONL in the format `to`; a row that does not fit is a finding and is left out.

    Rows are streamed (the source is read twice when `format` is not given) and other columns carried over; rows
    that have the format already stay as they are. Raises DataError as `read` does, when `out` exists (unless
    `force`), when it is `path` and would lose rows, and when not one row can be written; nothing is written then.
    """
    _known(to)
    out = files.jsonl_path(out)
    own = is_same_file(path, out)
    files.refuse_existing(out, force)
    format = format_of(path, format)
    findings, tally = [], Counter()

    def written():
        for line, chat, found in scan(path, format):
            same = format == to and chat is not None and "preferred_output" not in line.row  # OpenAI's names go
            losses = () if same or chat is None else _losses(chat.data, to)
            if lost := _chat_findings(chat, losses, _row(path, line), line.at):
                chat, found = None, found + lost
            findings.extend(found)
            if line.is_row:
                tally.update(["rows_in", "failed" if chat is None else "written"])
            if chat is not None:
                yield line.row if same else _write(chat.data, to)
        if not tally["written"]:
            schema.raise_findings(schema.errors_of(findings))
        if own and tally["failed"]:
            raise DataError(f"{out} is the file that is read, and {tally['failed']:,} row(s) do not convert and would "
                            "be lost: write under another name")  # fmt: skip

    schema.write_chat(written(), out, force=force)
    findings.sort(key=lambda finding: finding.line)
    counts = tally["rows_in"], tally["written"], tally["failed"]
    return Conversion(name_of(path), str(out), format, to, *counts, findings)


def detect(rows: Iterable[Row]) -> str:
    """The one format that all rows with a known format fit; DataError when there is none, or more than one."""
    first, seen = {}, {}
    for row in rows:
        first.setdefault(fits(row.data), row)
        if len(first) == 1:
            seen.update(dict.fromkeys(row.data))
    known = {names: row for names, row in first.items() if names}
    if set(known) == {frozenset(["alpaca"]), frozenset(["instruction"])}:
        return "alpaca"  # whose input may be missing
    if not first:
        raise DataError("no rows: a format is told by the fields of the rows")
    place = _place(next(iter(first.values())))
    if not known:
        needs = "\n".join(f"  {format}: {need}" for format, need in FORMATS.items())
        fields = ", ".join(map(repr, list(seen)[:20])) or "none"
        data = "If data holds the rows, name the file .json. " if "data" in seen else ""
        raise DataError(f"{place} fits no known format; it has the fields {fields}. {data}{_exact_names(seen)}"
                        f"Rename them to one of\n{needs}")  # fmt: skip
    common = frozenset.intersection(*known)
    if len(common) == 1:
        return next(iter(common))
    if common:
        names = " and ".join(sorted(common))
        raise DataError(f"{_place(next(iter(known.values())))} fits {names}; say which with format= (--format)")
    kinds = "; ".join(f"{' and '.join(sorted(names))} from {_place(row)}" for names, row in known.items())
    raise DataError(f"the file mixes formats: {kinds}. Split it, or name the format of the rows to keep")


def _exact_names(names) -> str:
    """What to say where capitals or blanks alone keep names from a format."""
    plain = {name: name.strip().lower() for name in names}
    if not fits(dict.fromkeys(plain.values(), "")):
        return ""
    renamed = [f"{new!r} for {name!r}" for name, new in plain.items() if name != new]
    return f"Capitals and blanks count: write {', '.join(renamed)}. "


def to_messages(row: Row, format: str) -> dict:
    """The row as a messages row with its other columns; DataError with file, line and field when it cannot be."""
    chat, findings = read_row(row, _known(format))
    schema.raise_findings(schema.errors_of(findings))
    return chat.data


def to_pair(data: dict) -> dict:
    """A messages row with a list `rejected` as {"prompt", "chosen", "rejected"} of turns; any other row as it is."""
    if not isinstance(data, dict) or {"prompt", "chosen"} & set(data):
        return data
    messages, rejected = data.get("messages"), data.get("rejected")
    if not (isinstance(messages, list) and isinstance(rejected, list)):
        return data
    start = len(messages) - _answer_length(messages)
    prompt = [_without(turn, {"weight"}) if isinstance(turn, dict) else turn for turn in messages[:start]]
    extras = _without(data, {"messages", "rejected"})
    return {"prompt": prompt, "chosen": messages[start:], "rejected": rejected, **extras}


def from_messages(data: dict, format: str) -> dict:
    """A messages row in another format, with its other columns; DataError names the fields that would be lost.

    `to_messages` gives the same row back, but for keys of a turn that are null, which some formats leave out, and for
    tools as JSON text, which sharegpt reads as a list.
    prompt_completion and preference are written as lists of turns, preference under TRL's names.
    """
    if isinstance(data, dict):
        problems = [problem for problem in schema.row_problems(data) if _is_error(problem)]
    else:
        problems = [schema.not_an_object(data)]
    lost = schema.as_findings(problems or _losses(data, _known(format)), Row({}, "", 0), _ALL_CODES)
    if lost:
        raise DataError("\n".join(f"{finding.field or 'row'}: {finding.message}" for finding in lost[:5]))
    return _write(data, format)


# --- what other modules build on


@dataclass(frozen=True)
class Chat:
    """A messages row and where its turns stand in the source: (path, {our key: its key}), None for plain text."""

    data: dict
    places: list[tuple]
    rejected: list[tuple]

    def source_field(self, field: str) -> str:
        """The name that a field of `data` has in the source, such as completion for messages[1].content."""
        match = re.fullmatch(r"(messages|rejected)(?:\[(\d+)\](?:\.(\w+))?(.*))?", field, re.DOTALL)
        places = (self.places if match[1] == "messages" else self.rejected) if match else []
        if not places:
            return field
        if match[2] is None:
            return re.match(r"\w+", places[0][0])[0]
        place, names = places[int(match[2])]
        if names is None:
            return place
        key = f".{names.get(match[3], match[3])}" if match[3] else ""
        return f"{place}{key}{match[4]}"


def fits(data: dict) -> frozenset[str]:
    """The formats whose fields the row has."""
    names = {name for name, value in data.items() if value is not None}
    found = {"messages"} & names
    if {"prompt", "completion"} <= names:
        found.add("prompt_completion")
    if {"chosen", "rejected"} <= names or {"preferred_output", "non_preferred_output"} <= names:
        found.add("preference")
    if "conversations" in names:
        found.add("sharegpt")
    if names & set(NAMES["instruction"]) and names & set(NAMES["output"]):
        found.add("alpaca" if {"output", "history", *NAMES["input"]} & set(data) else "instruction")
    return frozenset(found)


def format_of(source, format: str | None = None) -> str | None:
    """The given format, or the one that the rows of a source fit; None when not one row can be parsed."""
    return _known(format) if format is not None else format_of_lines(sources.scan(source, fits), name_of(source))


def format_of_lines(lines: Iterable[Line], name: str) -> str | None:
    """The format that the rows of lines fit; None when not one of them can be parsed."""
    rows = (Row(line.row, name, line.number) for line in lines
            if line.is_row and isinstance(line.row, dict) and not schema.errors_of(line.findings))  # fmt: skip
    first = next(rows, None)
    return None if first is None else detect(chain([first], rows))


def scan(source, format: str | None) -> Iterator[tuple[Line, Chat | None, list[Finding]]]:
    """Every line of a source, its row as messages (None if unusable) and all that is wrong with it."""
    name = name_of(source)
    for line in sources.scan(source, fits):
        yield line, *read_line(line, name, format)


def read_line(line: Line, name: str, format: str | None) -> tuple[Chat | None, list[Finding]]:
    """The row of a line as messages (None if unusable) and all that is wrong with the line."""
    if not line.is_row or schema.errors_of(line.findings):
        return None, line.findings
    chat, found = read_row(Row(line.row, name, line.number), format, line.at)
    return None if schema.errors_of(found) else chat, line.findings + found


def read_row(row: Row, format: str, at: str = "") -> tuple[Chat | None, list[Finding]]:
    """The row as messages, and everything that is wrong with it under the names that the source has."""
    if not isinstance(row.data, dict):
        return None, schema.as_findings([schema.not_an_object(row.data)], row, at=at)
    try:
        chat = _chat(row.data, format)
    except _Bad as bad:
        return None, schema.as_findings([bad.args], row, _ALL_CODES, at)
    return chat, _chat_findings(chat, _chat_problems(chat), row, at)


# --- one row into messages


def _chat(data: dict, format: str) -> Chat:
    if format == "messages":
        return Chat(data, [], [])
    turns, rejected, extras = _READERS[format](data)
    for name in ("messages", "rejected") if rejected else ("messages",):
        if name in extras:
            raise _Bad("name_taken", name, "messages")
    row = {"messages": [turn for _, _, turn in turns], **extras}
    if rejected:
        row["rejected"] = [turn for _, _, turn in rejected]
    return Chat(row, [turn[:2] for turn in turns], [turn[:2] for turn in rejected])


def _chat_problems(chat: Chat):
    """What check_chat finds in a row, in the rejected answer too; nothing twice."""
    yield from schema.row_problems(chat.data)
    if chat.rejected:
        yield from _rejected_problems(chat.data, len(chat.data["messages"]) - _answer_length(chat.data["messages"]))


def _rejected_problems(data, start):
    """Problems of the other answer after the prompt, messages[:start], under the name of `rejected`."""
    rejected = data["rejected"]
    if not isinstance(rejected, list) or not rejected:
        yield "wrong_type", "rejected", _kind(rejected), "a list of turns that ends with the assistant's"
        return
    for code, field, *values in schema.row_problems({"messages": data["messages"][:start] + rejected}):
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
    if conversations is None:
        raise _Bad("missing_field", "conversations", "sharegpt", FORMATS["sharegpt"])
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
            role = turn.get("role")
            if isinstance(role, str):
                plain = role.strip().lower()
                turn["role"] = SHAREGPT_ROLES.get(plain, role)
                if plain in CALL_ROLES:
                    turn |= {"role": "assistant", "content": None, "tool_calls": _calls(turn, place, names, role)}
                    names["tool_calls"] = names.get("content", "content")
        turns.append((place, names, turn))
    extras = _without(data, OWN_NAMES["sharegpt"])
    tools = schema.json_container(extras["tools"]) if isinstance(extras.get("tools"), str) else None
    if isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools):  # JSON text, as LLaMA-Factory has it
        extras["tools"] = [tool if "function" in tool else {"type": "function", "function": tool} for tool in tools]
    return _with_system(data, turns), [], extras


def _calls(turn, place, names, role):
    """The tool calls that a function_call turn holds as JSON text."""
    text = turn.get("content")
    value = schema.json_container(text) if isinstance(text, str) else None
    calls = value if isinstance(value, list) else [value]
    if not calls or not all(isinstance(call, dict) and {"name", "arguments"} == set(call) for call in calls):
        raise _Bad("bad_call", f"{place}.{names.get('content', 'content')}", role)
    functions = [{"name": call["name"], "arguments": _as_text(call["arguments"])} for call in calls]
    return [{"type": "function", "function": function} for function in functions]


def _as_text(value):
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


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
    chosen, rejected = _sides(data, "preference", "chosen", "rejected")
    names = PROMPT_NAMES if isinstance(chosen, str) else ("prompt",)  # beside turns a question is but a column
    name = next((name for name in names if data.get(name) is not None), "prompt")
    prompt = data.get(name)
    extras = _without(data, {"prompt", name, "chosen", "rejected"} | _SYSTEM)
    if isinstance(chosen, list) and not isinstance(prompt, list):
        prompt, chosen, rejected = _shared_prompt(prompt, chosen, rejected)
    else:
        _sides(data, "preference", name, "chosen")
        prompt, chosen = _side(prompt, name, "user"), _side(chosen, "chosen", "assistant")
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
            yield from filter(_is_error, _rejected_problems(data, len(messages) - 1))


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


def is_same_file(a, b) -> bool:
    """True when both are paths of one file that exists."""
    try:
        return os.path.samefile(a, b)
    except (OSError, TypeError, ValueError):
        return False


def _known(format):
    if not isinstance(format, str) or format not in FORMATS:
        raise DataError(f"{format!r} is not a format: choose one of {', '.join(FORMATS)}")
    return format


def _row(source, line: Line) -> Row:
    return Row(line.row, name_of(source), line.number)


def _place(row: Row):
    return f"{row.file}:{row.line}"


def _kind(value):
    return "an empty list" if value == [] else schema.kind_of(value)


def _is_error(problem):
    return _ALL_CODES[problem[0]][0] == "error"


def _chat_findings(chat: Chat, problems, row: Row, at: str) -> list[Finding]:
    """Findings of a row as messages, with every field under the name that it has in the source."""
    renamed = ((code, chat.source_field(field), *values) for code, field, *values in problems)
    return schema.as_findings(renamed, row, _ALL_CODES, at)
