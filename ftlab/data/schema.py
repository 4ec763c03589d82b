"""Chat JSONL: `{"messages": [{"role", "content"}, ...]}`; the rules of such a row, reading and writing of files."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ftlab.data import jsonl, toolcalls
from ftlab.data.findings import (
    Finding,
    Row,
    as_findings,
    errors_of,
    in_order,
    in_rejected,
    kind_of,
    raise_findings,
    report_text,
    severity_of,
)

ROLES = ("system", "user", "assistant", "tool")
ROLE_HINTS = {
    "human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant", "ai": "assistant",
    "developer": "system", "function": "tool",
}  # fmt: skip
TEXT_PARTS = ("text", "input_text", "output_text")  # types of the parts of a content that is a list
SYSTEM = ("system", "system_prompt", "systemPrompt")  # names of a system prompt beside the turns
JUDGED = ("label", "kto_tag")  # true or false: is the answer a good one? (TRL's and LLaMA-Factory's name)


@dataclass(frozen=True, repr=False)
class ChatCheck:
    """What `check_chat` saw; `rows` are the usable ones."""

    path: str
    rows: list[dict]
    rows_in: int
    rows_kept: int
    findings: list[Finding]
    lines: list[int]  # of each usable row

    @property
    def placed(self) -> list[Row]:
        """The usable rows with their places."""
        return [Row(row, self.path, line) for row, line in zip(self.rows, self.lines, strict=True)]

    @property
    def errors(self) -> list[Finding]:
        """The findings that make a row unusable."""
        return errors_of(self.findings)

    def __repr__(self):
        return report_text(f"ChatCheck({self.path}: {self.rows_kept} of {self.rows_in} rows usable", self.findings)


def check_chat(path: str | Path) -> ChatCheck:
    """Check a chat JSONL file; bad content becomes findings, never an exception.

    Every line that is not blank is a row, so `rows_in == rows_kept + rows with an error`.
    Raises DataError only when there is nothing to check: no such file, a folder, or not one row.
    """
    rows, lines, findings, rows_in = [], [], [], 0
    for line in jsonl.scan_jsonl(path):
        found = list(line.findings)
        row = Row(line.row, str(path), line.number)
        if isinstance(line.row, dict) or (line.is_row and not errors_of(found)):
            found += row_findings(row)
        findings += found
        rows_in += line.is_row
        if line.is_row and not errors_of(found):
            rows.append(line.row)
            lines.append(line.number)
    return ChatCheck(str(path), rows, rows_in, len(rows), in_order(findings), lines)


def read_chat(path: str | Path) -> list[dict]:
    """Return the rows of a chat JSONL file; one DataError lists the first problems if a row is unusable."""
    check = check_chat(path)
    raise_findings(check.errors)
    return check.rows


write_chat = jsonl.write_rows


# --- the rules of a chat row


def row_findings(row: Row) -> list[Finding]:
    """What is wrong with the conversation of one row."""
    return as_findings(row_problems(row.data), row)


def row_problems(row: dict) -> Iterator[tuple]:
    """The broken rules of a chat row as (code, field, *values), for `as_findings`."""
    if not isinstance(row, dict):
        yield jsonl.not_an_object(row)
        return
    sound = True
    for problem in _chat_problems(row):
        sound = sound and severity_of(problem[0]) != "error"
        yield problem
    if sound and (row.get("tools") is not None or not all(map(_is_plain_turn, row["messages"]))):
        yield from toolcalls.tool_problems(row)


def _chat_problems(row):
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
        if (name := system_beside(row)[0]) and turns[0].get("role") != "system":
            yield "unseen_system", name
        if row.get("rejected") not in (None, ""):
            yield from _rejected_problems(row)
    if bad := [name for name, good in ratings(row).items() if not good]:
        yield "bad_answer", bad[0], "drop the row, or export to trl_kto"
    functions = row.get("functions")
    if isinstance(functions, list) and any(isinstance(item, dict) and "name" in item for item in functions):
        yield "old_functions", "functions"


def _rejected_problems(row):
    """Problems of the other answer of a pair, after the same prompt."""
    rejected, start = row["rejected"], answer_start(row["messages"])
    if not isinstance(rejected, list) or not rejected:
        yield "wrong_type", "rejected", kind_of(rejected), "the turns of a worse answer; or rename the column"
        return
    for code, field, *values in row_problems({"messages": row["messages"][:start] + rejected}):
        if moved := in_rejected(field, start):
            yield code, moved, *values


def answer_start(messages: list) -> int:
    """The turn with which the answer begins: the first of the assistant's that is trained, else the last."""
    for index, turn in enumerate(messages):
        if isinstance(turn, dict) and turn.get("role") == "assistant" and turn.get("weight") != 0:
            return index
    return len(messages) - 1


def rating(row: dict) -> bool | None:
    """Whether a rated (KTO) answer is a good one, False where two ratings differ; None where the row is not rated."""
    found = ratings(row)
    return all(found.values()) if found else None


def ratings(row: dict) -> dict[str, bool]:
    """Which of JUDGED rate the answer of a row, and how.

    Tables hold true and false as text; a text `label` that is the answer itself is a class.
    """
    if row.get("rejected") or not any(name in row for name in JUDGED):
        return {}
    answers = [row.get(name) for name in ("completion", "output", "response", "answer")]
    turns = row.get("messages")
    answers += [turn.get("content") for turn in turns[-1:] if isinstance(turn, dict)] if isinstance(turns, list) else []
    classes = {answer.strip().casefold() for answer in answers if isinstance(answer, str)}
    found = {}
    for name in JUDGED:
        value = row.get(name)
        text = str(value).strip().casefold()
        if isinstance(value, bool) or (isinstance(value, str) and text in ("true", "false") and text not in classes):
            found[name] = text == "true"
        elif name == "kto_tag" and text in ("0", "1", "true", "false"):
            found[name] = text in ("1", "true")
    return found


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


def system_beside(row: dict) -> tuple[str, str]:
    """Name and text of the system prompt that stands beside the turns, as text or in text parts; else empty."""
    for name in SYSTEM:
        value = row.get(name)
        parts = value if isinstance(value, list) else [value]
        texts = [part.get("text", part.get("content")) if isinstance(part, dict) else part for part in parts]
        text = "\n".join(text for text in texts if isinstance(text, str)).strip()
        if text:
            return name, text
    return "", ""


def _conversation_problems(turns):
    roles = [turn.get("role") for turn in turns]
    last = f"messages[{len(turns) - 1}].role"
    if roles[-1] != "assistant":
        yield "last_not_assistant", last
    elif all(turn.get("weight") == 0 for turn in turns if turn.get("role") == "assistant"):
        yield "nothing_to_learn", last
    first = next((index for index, role in enumerate(roles) if role != "system"), 0)
    if "user" not in roles:
        yield "no_user_turn", "messages"
    elif roles[first] == "assistant":
        yield "assistant_first", f"messages[{first}].role"
    for index, (before, role) in enumerate(pairwise(roles), 1):
        if role == before and role in ("user", "assistant"):
            yield "repeated_role", f"messages[{index}].role", role
