"""What a model answered to the draft prompt: chat rows, and a finding for everything else in the answer."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import NamedTuple

from ftlab.data import forms, jsonl, schema
from ftlab.data.findings import Finding, Row, as_findings, errors_of, finding, in_order, report_table, report_text
from ftlab.data.similar import split_words
from ftlab.errors import DataError, shown

# names that models give to input and answer; as a pair they are read where a row fits no format of `forms`
INPUT_NAMES, ANSWER_NAMES = ("input", "user", "text"), ("answer", "output", "assistant", "response", "completion")
FILE = "answer"  # named in findings
FENCE = re.compile(r"[ \t]*(?:```|~~~)[\w+-]*[ \t\r]*(?=\n|\Z)")
MARKER = re.compile(r"(?:\d+[.):]|[-*])[ \t]*(?=\{)")  # of a numbered or dotted list
LIST = re.compile(r"\[(?=\s*(?:[{\[\]]|\Z))")
TURNS = "messages|conversations|prompt|completion|chosen|rejected|tools"  # lists that belong to one example
WRAPPER = re.compile(rf'\{{\s*"(?!(?:{TURNS})")[^"\n]*"\s*:\s*(?=\[\s*\{{)')
PROSE = re.compile(r".+?(?=\{[ \t]*\"|\n|\Z)")  # up to the end of the line or to what looks like an object
MARKUP = " \t\r\n,}"  # between examples, when nothing else stands there


class Drafts(NamedTuple):
    """Chat rows read from a model's answer, and everything in it that is no usable row or needs a look."""

    rows: list[dict]
    findings: list[Finding]

    def __repr__(self):
        return report_text(f"Drafts({len(self.rows)} rows", self.findings)

    def _repr_html_(self):
        return report_table([("rows", len(self.rows))], self.findings)


def parse_drafts(
    text: str,
    source: str | None = None,
    prompt: str | None = "draft_examples",
    drafted: date | str | None = None,
    system: str | None = None,
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
        row = Row(data, FILE, line)
        findings += [finding(code, row, field, *values) for code, field, *values in problems]
        chat, found = (None, []) if data is None else _chat_row(row, system)
        findings += found
        if chat is None:
            continue
        key = json.dumps(chat["messages"], sort_keys=True)
        if key in first:
            findings.append(finding("repeated", row, "messages", first[key]))
        first.setdefault(key, line)
        chat.setdefault("id", "draft-" + hashlib.sha256(key.encode()).hexdigest()[:10])
        stated = chat.get("provenance", {})
        rows.append(chat | {"provenance": (stated if isinstance(stated, dict) else {"stated": stated}) | provenance})
    if not rows and not any(found.code == "question" for found in findings):
        findings.append(finding("no_row", Row({}, FILE, None), ""))
    return Drafts(rows, in_order(findings))


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
            yield None, line, [("not_an_example", "", shown(words[0].strip(), 80))]
            position = words.end()
    for line in lists:
        yield None, line, [("list_not_closed", "")]


def _object(text: str, start: int) -> tuple[dict | None, int, list[tuple]]:
    """(object, end, problems) at `text[start]`; a wrapper such as {"examples": [...]} is no object but its list is."""
    wrapper, reason = WRAPPER.match(text, start), None
    for strict in (True, False):
        twice = []
        try:
            hook = jsonl.note_duplicates(twice)
            value, end = json.JSONDecoder(strict=strict, object_pairs_hook=hook).raw_decode(text, start)
        except RecursionError:
            return None, len(text), [("broken_json.draft", "", "too deep")]
        except ValueError as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else jsonl.long_integer()
            continue
        if wrapper and _kind(value) is None:
            break
        if twice:
            return None, end, [("duplicate_key", key) for key in twice]
        return value, end, [("mended", "", reason)] if reason else []
    return (None, wrapper.end(), []) if wrapper else _mend(text, start, reason)


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
        return None, end, [("broken_json.draft", "", reason)]
    return value, end, [("mended", "", reason)]


def _letters(text: str) -> str:
    text = re.sub(r"\\u[0-9a-fA-F]{4}|\\.", "", text)
    return "".join(split_words(re.sub(r"\bNone\b", "null", text)))


def _chat_row(row: Row, system: str | None) -> tuple[dict | None, list[Finding]]:
    """One object of an answer as a chat row, None where it is none, and what is to be said about it."""
    data = dict(row.data)
    kind = _kind(data)
    if kind is None:
        if isinstance(data.get("question"), str):
            return None, [finding("question", row, "", data["question"])]
        keys = f"the keys {', '.join(map(repr, list(data)[:10]))}" if data else "nothing"
        return None, [finding("no_format", row, "", keys)]
    problems = [("answer_as_text", field) for field in _answers_as_text(data)] + list(jsonl.value_problems(data))
    findings, places = as_findings(problems, row), None
    if kind == "pair":
        asked, answer = _pair(data)
        places = {"messages": [(asked, None), (answer, None)]}
        turns = [{"role": "user", "content": data.pop(asked)}, {"role": "assistant", "content": data.pop(answer)}]
        data = {"messages": turns} | data
    elif kind != "messages":
        ours, found = forms.read_row(replace(row, data=data), kind)
        if errors := errors_of(found):
            return None, [*findings, finding("not_readable", row, "", kind, "\n".join(map(str, errors)))]
        data = ours.data
    findings += schema.row_findings(replace(row, data=data, turns=places))
    if errors_of(findings):
        return None, findings
    if data.get("doubt"):
        findings.append(finding("doubt", row, "doubt", data["doubt"]))
    if system:
        first = data["messages"][0]
        if first["role"] != "system":
            data = data | {"messages": [{"role": "system", "content": system}, *data["messages"]]}
        elif first["content"] != system:
            findings.append(finding("other_system", row, "messages[0].content"))
    return data, findings


def _kind(data: dict) -> str | None:
    """How an object holds its example: messages, a pair of input and answer, a format of `forms`, or not at all."""
    if "messages" in data:
        return "messages"
    kinds = forms.fits(data)
    return next(iter(kinds)) if len(kinds) == 1 else "pair" if None not in _pair(data) else None


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
    for index, turn in enumerate(data["messages"] if _is_turns(data.get("messages")) else ()):
        if turn["role"] == "assistant" and isinstance(turn.get("content"), dict):
            turn["content"] = json.dumps(turn["content"], ensure_ascii=False)
            fields.append(f"messages[{index}].content")
    return fields


def _is_turns(value) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(turn, dict) and "role" in turn for turn in value)
