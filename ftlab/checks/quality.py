"""What reads wrong in the rows as text: system prompts, answers, labels, lengths, languages and damage.

Most checks compare a row with the others of its file: what nearly all rows do counts as meant, and a row that
does otherwise is reported. Where more than one row in ten is hit, one finding stands for all: so many may be meant.
The rows are gone through several times and only small things are remembered of each, so that they can be many.
"""

import json
import math
import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from os.path import commonprefix
from typing import NamedTuple

import numpy as np

from ftlab.checks import privacy
from ftlab.data import schema
from ftlab.data.schema import Finding, Row

NEARLY_ALL = 0.95  # the share of rows that makes a rule of the file
MEANT = 0.1  # beyond this share of the rows a finding is given once
FEW = 20  # below this number of texts nothing is said about what is usual
LABEL_LETTERS = 60  # a longer value is no label

CODES = {
    # the system prompt
    "system_drift": ("warning", "differs from the prompt of {} of {} rows{}; train and ask with one prompt"),
    "many_systems": ("info", "{} different system prompts in {} rows; right if your users will send each of them"),
    "missing_system": ("warning", "no system prompt, unlike {} of {} rows; add one or leave it out everywhere"),
    # one answer
    "empty_answer": ("warning", "says nothing ({}); write the answer or drop the row"),
    "placeholder_answer": ("warning", "{}; write the answer or drop the row"),
    "answer_in_prompt": ("info", "stands word for word in the prompt; the model may learn to copy: is it meant?"),
    "answer_cut": ("warning", "seems cut off: {}; complete it or drop the row"),
    "answer_not_json": ("warning", "is not JSON, unlike {} of {} answers: {}; mend it or drop the row"),
    "answer_keys_differ": ("warning", "{}, unlike {} of {} answers; use the same keys in the same order"),
    "answer_type_differs": ("warning", "is {} where {} of {} answers have {}; use one type"),
    # the labels
    "label_variant": ("warning", "{} occurs {} time(s) beside {} ({}): one spelling would be right (--fix)"),
    "rare_label": ("info", "{} occurs {} time(s) in {} rows: too few to learn and to test; add examples or merge it"),
    # all texts of one role
    "length_outlier": ("info", "{:,} characters where {:,.0f} are usual (robust z {:+.1f}): is it one whole text?"),
    "other_language": ("warning", "seems to be {} where {:.0%} of the {} texts are {}; drop it if it strayed in"),
    # damage
    "mojibake": ("warning", "{} reads as if it had been {}: UTF-8 was opened with another encoding (--fix)"),
    "html_residue": ("warning", "{} is left of a web page; take the text without markup"),
    "doubled_token": ("warning", "{} stands twice in a row; a template was applied twice (--fix)"),
    "trailing_space": ("info", "ends in {} blank(s) or line break(s), which is learned too (--fix)"),
}

_PLACEHOLDER = re.compile(
    r"[\[<({]*\s*(?:todo|tbd|tba|fixme|xxx+|lorem ipsum.*|placeholder|dummy(?: text| answer)?|"
    r"(?:insert|your|write|add|put|enter)\b.{0,20}\b(?:answer|response|text|reply|output)(?: here)?|"
    r"(?:answer|response|output)(?: goes)? here)\s*[\]>)}]*\W*",
    re.I | re.S,
)
_NOTHING = re.compile(r"(?:n\s*[/.]?\s*a\.?|none|null|nil|nan|undefined|unknown)", re.I)
_NULL_WORDS = {"", "null", "none", "nil", "nan", "n/a", "na", "undefined"}
_TAGS = "p|br|div|span|a|b|i|u|strong|em|ul|ol|li|table|t[rdh]|h[1-6]|img|font|script|style|html|body|head|hr|pre"
_HTML = re.compile(
    rf"</?(?:{_TAGS})(?:\s[^<>]{{0,300}})?/?>|&(?:nbsp|amp|lt|gt|quot|apos|[lr]squo|[lr]dquo|[mn]dash|#\d{{2,6}}|"
    r"#x[0-9a-f]{2,6});",
    re.I,
)
_CODE = re.compile(r"```.*?(?:```|$)|`[^`\n]*`", re.S)
_ADDRESS_OR_DIGITS = re.compile(r"https?://\S+|\d+")
_TWICE = re.compile(
    r"(<\|[^|<>\s]{1,40}\|>|</?s>|<(?:start|end)_of_turn>|<[be]os>|\[/?INST\]|<\uff5c[^<>]{1,40}\uff5c>)(?:\s*\1)+"
)
_NOT_ASCII = re.compile("[^\x00-\x7f]{2,}")
_UNDEFINED_IN_CP1252 = {byte: chr(byte) for byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D)}


def find_quality_problems(rows: Sequence[Row]) -> list[Finding]:
    """Every check of this module, in the order of CODES."""
    checks = (find_system_problems, find_answer_problems, find_label_problems, find_length_outliers,
              find_other_languages, find_damage)  # fmt: skip
    return [finding for find in checks for finding in find(rows)]


# ---- the system prompt


def find_system_problems(rows: Sequence[Row]) -> list[Finding]:
    """Rows whose system prompt is missing or differs from that of the others."""
    same = {}  # one text for all rows that have it
    systems = [same.setdefault(system, system) for system in map(system_of, rows)]
    counts = Counter(system for system in systems if system is not None)
    if not counts:
        return []
    main, often = counts.most_common(1)[0]
    given = counts.total()
    missing = [
        schema.finding(CODES, "missing_system", rows[index], "messages[0]", given, len(rows))
        for index, system in enumerate(systems)
        if system is None
    ]
    found = _once_if_meant(missing, rows)
    if often < given * (1 - MEANT):
        first = rows[next(index for index, system in enumerate(systems) if system is not None)]
        return [*found, schema.finding(CODES, "many_systems", first, "messages[0].content", len(counts), given)]
    differences = {system: _difference(main, system) for system in counts if system != main}
    for index, system in enumerate(systems):
        if system in differences:
            values = (often, len(rows), differences[system])
            found.append(schema.finding(CODES, "system_drift", rows[index], "messages[0].content", *values))
    return found


def system_of(row: Row) -> str | None:
    """The system prompt of a row, None where it has none."""
    first = row.data["messages"][0]
    return first["content"] if first["role"] == "system" and isinstance(first["content"], str) else None


def same_but_spacing(a: str, b: str) -> bool:
    """True when two texts differ in white space and letter case only."""
    return _start(a) == _start(b) and _plain(a) == _plain(b)


def _difference(main, other):
    if same_but_spacing(main, other):
        return " in spacing or letter case only (--fix)"
    start = max(0, len(commonprefix([main, other])) - 10)
    return f" from character {start + 1}: {_short(other[start:])} instead of {_short(main[start:])}"


# ---- the answers


class _Answer(NamedTuple):
    """One trained assistant turn: `value` is its JSON object or list, None where it has none."""

    row: Row
    field: str
    text: str
    asked: str  # the user turn before it
    value: object
    is_last: bool


class _Form(NamedTuple):
    """What a JSON answer looks like: its keys in order, None for a list, and the type of every value but null."""

    keys: tuple[str, ...] | None
    types: tuple[tuple[str, str], ...]  # (path, type)


class _Seen(NamedTuple):
    """What is remembered of an answer: `form` and strings are shared by many, so this is about 150 bytes."""

    row: int  # its index
    field: str
    is_last: bool
    has_end: bool
    cut: str | None  # why it is unfinished
    copied: bool
    nothing: tuple[tuple, ...]  # (code, what it says, text that must be rare for it)
    form: _Form | None  # None where it is no JSON


def find_answer_problems(rows: Sequence[Row]) -> list[Finding]:
    """Answers that say nothing, are cut off, or do not have the form of nearly all others."""
    forms = {}
    answers = [_look_at(answer, index, forms) for index, row in enumerate(rows) for answer in _answers(row)]
    empty = _empty_answers(answers, rows)
    left = [answer for answer in answers if answer not in empty]
    cut = _cut_answers(left, rows)
    last = [answer for answer in left if answer.is_last and answer not in cut]
    copied = [
        schema.finding(CODES, "answer_in_prompt", rows[answer.row], answer.field) for answer in last if answer.copied
    ]
    return [*empty.values(), *_once_if_meant(copied, rows), *cut.values(), *_json_problems(last, rows)]


def _look_at(answer, index, forms) -> _Seen:
    form = None
    if answer.value is not None:
        keys = tuple(answer.value) if isinstance(answer.value, dict) else None
        types = tuple((path, _type_name(type(value))) for path, value in _leaves(answer.value) if value is not None)
        form = forms.setdefault(form := _Form(keys, types), form)
    return _Seen(
        index,
        answer.field,
        answer.is_last,
        _has_end(answer.text),
        _open_end(answer.text) if answer.value is None else None,
        answer.is_last and _is_copied(answer),
        tuple(_says_nothing(answer)),
        form,
    )


def _is_copied(answer):
    """True for four words or more that the prompt holds."""
    text, prompt = answer.text.strip(), _prompt(answer.row)
    if text[:1].isascii() and not text[:1].isalpha() and text[:1] not in prompt:  # such as the { of JSON
        return False
    return len(text.split()) >= 4 and _plain(text) in _plain(prompt)


def _answers(row) -> Iterator[_Answer]:
    asked, messages = "", row.data["messages"]
    for index, turn in enumerate(messages):
        text = turn.get("content")
        if not isinstance(text, str):
            continue
        if turn["role"] == "user":
            asked = text
        elif turn["role"] == "assistant" and turn.get("weight") != 0 and not turn.get("tool_calls"):
            value = schema.json_container(text)
            yield _Answer(row, schema.content_field(index), text, asked, value, index == len(messages) - 1)


def _says_nothing(answer) -> Iterator[tuple[str, str, str | None]]:
    """Yield (code, what it says, text): with a text it holds only where that is not said by many."""
    text = answer.text.strip()
    if not any(char.isalnum() for char in text) and _is_blank(answer.text):
        yield "empty_answer", _short(text), text
    if _PLACEHOLDER.fullmatch(text):
        yield "placeholder_answer", f"{_short(text)} is a placeholder", None
    elif _NOTHING.fullmatch(text):
        yield "placeholder_answer", f"{_short(text)} is a placeholder", text
    if len(text) >= 12 and same_but_spacing(text, answer.asked):
        yield "placeholder_answer", "repeats the question", None
    if answer.value and (hit := next(_placeholders_in(answer.value), None)):
        yield "placeholder_answer", f"{hit[0]} is {_short(hit[1])}, a placeholder", None


def _empty_answers(answers, rows) -> dict[_Seen, Finding]:
    counts = Counter(text for answer in answers for _, _, text in answer.nothing if text is not None)
    usual = max(FEW, len(answers) * MEANT / 2)
    found = {}
    for answer in answers:
        for code, said, text in answer.nothing:
            if text is None or counts[text] < usual:
                found[answer] = schema.finding(CODES, code, rows[answer.row], answer.field, said)
                break
    return found


def _is_blank(text):
    """No letter, digit, sign or emoji: only brackets, quotes, dots, dashes and invisible characters."""
    return not re.search(r"[^\s\W_]", text) and not any(ord(char) >= 0x2190 and char.isprintable() for char in text)


def _placeholders_in(value):
    for path, item in _leaves(value):
        if isinstance(item, str) and _is_placeholder(item):
            yield path, item


@lru_cache(maxsize=4096)  # the values of an answer are mostly labels, which come again
def _is_placeholder(text):
    return bool(_PLACEHOLDER.fullmatch(text.strip()))


def _cut_answers(answers, rows) -> dict[_Seen, Finding]:
    all_end = len(answers) >= FEW and sum(answer.has_end for answer in answers) >= NEARLY_ALL * len(answers)
    found = {}
    for answer in answers:
        reason, row = answer.cut, None
        if reason is None and all_end and not answer.has_end:
            row = rows[answer.row]
            text = next(other.text for other in _answers(row) if other.field == answer.field)
            reason = f"it ends in {_short(text.rstrip()[-12:])} and nearly all others end a sentence"
        if reason:
            found[answer] = schema.finding(CODES, "answer_cut", row or rows[answer.row], answer.field, reason)
    return found


def _has_end(text):
    last = text.rstrip()[-1:]
    return not (last.isalnum() or last in ",-–—(&/\\")


def _open_end(text):
    """Why the text is unfinished: an open code fence, or an open string, object or list of JSON; else None."""
    if len(re.findall(r"^\s*```", text, re.M)) % 2:
        return "a code fence (```) is open"
    text = text.strip()
    if text[:1] not in ("{", "["):
        return None
    stack, in_string, escaped = [], False, False
    for char in text:
        if in_string:
            in_string = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char == '"':
            in_string = True
        elif char in "{[":
            stack.append(char)
        elif char in "}]" and stack:
            stack.pop()
    looks_like_json = re.match(r'\{\s*(?:"|$)|\[\s*(?:["{\[\d-]|true|false|null|$)', text)
    if not looks_like_json or not (in_string or stack):
        return None
    what = "a string" if in_string else "an object" if stack[-1] == "{" else "a list"
    return f"{what} of the JSON is open"


def _json_problems(answers, rows):
    with_json = [answer for answer in answers if answer.form is not None]
    if not with_json or len(answers) < FEW or len(with_json) < NEARLY_ALL * len(answers):
        return []
    found = [
        schema.finding(CODES, "answer_not_json", row := rows[answer.row], answer.field, len(with_json), len(answers),
                       _json_error(row.data["messages"][-1]["content"]))
        for answer in answers if answer.form is None
    ]  # fmt: skip
    return found + _key_problems(with_json, rows) + _type_problems(with_json, rows)


def _json_error(text):
    if text.lstrip().startswith("```"):
        return "it stands in a code fence"
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return f"{error.msg} at character {error.pos + 1}"
    except (ValueError, RecursionError) as error:
        return _short(str(error))
    return "it is a single value, no object or list"


def _key_problems(answers, rows):
    counts = Counter(answer.form.keys for answer in answers if answer.form.keys is not None)
    if len(counts) < 2 or (top := counts.most_common(1)[0])[1] < NEARLY_ALL * len(answers):
        return []
    main, often = top
    found = []
    for answer in answers:
        keys = main if answer.form.keys is None else answer.form.keys
        if keys != main:
            missing, more = [k for k in main if k not in keys], [k for k in keys if k not in main]
            parts = [f"lacks {_names(missing)}"] if missing else []
            parts += [f"adds {_names(more)}"] if more else []
            what = " and ".join(parts) or f"has its keys in the order {_names(keys)}"
            values = (what, often, len(answers))
            found.append(schema.finding(CODES, "answer_keys_differ", rows[answer.row], answer.field, *values))
    return found


def _type_problems(answers, rows):
    """Fields that are of one type in nearly all answers and of another here; null is no type."""
    counts = defaultdict(Counter)
    for form, count in Counter(answer.form for answer in answers).items():
        for path, name in form.types:
            counts[path][name] += count
    mains = {}
    for path, names in counts.items():
        main, often = names.most_common(1)[0]
        if len(names) > 1 and names.total() >= FEW and often >= NEARLY_ALL * names.total():
            mains[path] = main
    found = {path: [] for path in mains}
    for answer in answers if mains else ():
        for path, name in answer.form.types:
            if path in mains and name != mains[path]:
                main, row = mains[path], rows[answer.row]
                values = (f"{path}: {name}", counts[path][main], counts[path].total(), main)
                found[path].append(schema.finding(CODES, "answer_type_differs", row, answer.field, *values))
    return [finding for path in found for finding in found[path]]


def _type_name(kind):
    return {bool: "true or false", str: "a string"}.get(kind, "a number")


# ---- the labels


@dataclass(frozen=True, repr=False)
class LabelTable:
    """How often each value of `field` occurs (`""` is the whole answer), most frequent first."""

    field: str
    counts: dict[str, int]
    rows: int
    missing: int  # rows whose answer has no such field

    @property
    def balance(self) -> float:
        """Entropy of the values over its largest possible value: 1 is even, near 0 is one value only."""
        total = sum(self.counts.values())
        if len(self.counts) < 2:
            return 0.0
        shares = [count / total for count in self.counts.values()]
        return -sum(share * math.log(share) for share in shares) / math.log(len(shares))

    def to_dict(self) -> dict:
        """Ready for JSON."""
        return {
            "field": self.field, "rows": self.rows, "missing": self.missing, "balance": self.balance,
            "counts": self.counts,
        }  # fmt: skip

    def __repr__(self):
        name = self.field or "the whole answer"
        head = f"LabelTable({name}: {len(self.counts)} values in {self.rows} rows, balance {self.balance:.2f})"
        lines = [f"{count:8,}  {_short(value, 60)}" for value, count in list(self.counts.items())[:30]]
        left = [f"... and {len(self.counts) - 30} more"] if len(self.counts) > 30 else []
        return "\n".join([head, *lines, *left, *([f"{self.missing:8,}  (no such field)"] if self.missing else [])])

    def _repr_html_(self):
        import pandas as pd

        shown = [(value, count, f"{count / self.rows:.1%}") for value, count in self.counts.items()]
        table = pd.DataFrame(shown, columns=[self.field or "answer", "rows", "share"])
        return table.to_html(index=False, max_rows=60)


def label_table(rows: Sequence[Row], field: str = "") -> LabelTable:
    """Count the values of one field of the JSON answers (`a.b`, `tags[]` for list items), or the whole answers."""
    counts, missing = Counter(), len(rows)
    for answer in _last_answers(rows):
        values = {_show(value) for path, value in _labels(answer) if path == field}
        counts.update(values)
        missing -= bool(values)
    return LabelTable(field, dict(counts.most_common()), len(rows), missing)


def label_fields(rows: Sequence[Row]) -> list[str]:
    """The fields of the answers that are labels, a closed set of values; `""` stands for the whole answer."""
    return [path for path, values in _values_by_path(rows).items() if _is_closed_set(_shown(values))]


def find_label_problems(rows: Sequence[Row]) -> list[Finding]:
    """Labels spelt in two ways, and labels that hardly occur; fields of free text are left alone."""
    looked_at = {}
    for path, values in _values_by_path(rows).items():
        shown = _shown(values)
        better, rare = _better(values, shown), _rare(shown)
        if better or rare:
            looked_at[path] = shown, better, rare
    variants, spelt, firsts = defaultdict(list), defaultdict(set), defaultdict(dict)
    for answer, path, value in _labels_in(rows, looked_at):
        (shown, better, rare), text = looked_at[path], _text_key(value)
        if _is_variant(answer, value, better):
            right = _show(better[value])
            values = (_place(path, value), shown[text], _short(right), shown[right])
            variants[path].append(schema.finding(CODES, "label_variant", answer.row, answer.field, *values))
            spelt[path].add(text)
        elif text in rare and text not in firsts[path]:  # reported once, where it stands first
            values = (_place(path, value), shown[text], len(rows))
            firsts[path][text] = schema.finding(CODES, "rare_label", answer.row, answer.field, *values)
    found = []
    for path in looked_at:
        found += variants[path]
        found += [finding for text, finding in firsts[path].items() if text not in spelt[path]]
    return found


def label_repairs(rows: Sequence[Row]) -> Iterator[tuple[Row, str, str, str]]:
    """Yield (row, field, text, better text) for each answer with a label variant that can be replaced safely."""
    for path, values in _values_by_path(rows).items():
        better = _better(values, _shown(values))
        for answer, _, value in _labels_in(rows, {path}) if better else ():
            if _is_variant(answer, value, better):
                text = _with_label(answer, path, value, better[value])
                if text is not None:
                    yield answer.row, answer.field, answer.text, text


def _last_answers(rows) -> Iterator[_Answer]:
    return (answer for row in rows for answer in _answers(row) if answer.is_last)


def _leaves(value) -> list[tuple[str, object]]:
    """(path, value) of every text, number, true, false and null; the items of a list share the path `[]`."""
    todo, found = [("", value)], []
    while todo:
        path, item = here = todo.pop()
        if isinstance(item, dict):
            inside = [(f"{path}.{key}" if path else key, inner) for key, inner in item.items()]
            todo += inside[::-1]
        elif isinstance(item, list):
            todo += [(f"{path}[]", inner) for inner in reversed(item)]
        else:
            found.append(here)
    return found


def _labels(answer):
    yield "", answer.text.strip()
    if answer.value is not None:
        yield from _leaves(answer.value)


def _labels_in(rows, paths=None) -> Iterator[tuple[_Answer, str, object]]:
    """Yield (answer, path, value) for each field of the answers, or those in `paths`; "" is an answer without JSON."""
    for answer in _last_answers(rows) if paths is None or paths else ():
        for path, value in _labels(answer):
            if (path or answer.value is None) and (paths is None or path in paths):  # JSON is judged field by field
                yield answer, path, value


def _values_by_path(rows) -> dict[str, Counter]:
    """How often each value of a field was seen: texts as they are, other values as (text,), long ones as a hash."""
    by_path = defaultdict(Counter)
    for _, path, value in _labels_in(rows):
        text = _text_key(value)
        by_path[path][text if isinstance(text, int) else value if isinstance(value, str) else (text,)] += 1
    return by_path


def _text_key(value) -> str | int:
    """The value as text, or a hash of it when it is too long for a label: such ones are only counted."""
    text = _show(value)
    return text if len(text) <= LABEL_LETTERS else hash(text)


def _shown(values: Counter) -> Counter:
    """How often each value was seen, as text."""
    shown = Counter()
    for value, count in values.items():
        shown[_show(value) if isinstance(value, str) else value[0] if isinstance(value, tuple) else value] += count
    return shown


def _is_closed_set(shown: Counter) -> bool:
    """True when few distinct values, each of which comes back, make up nearly all that was seen, null left out."""
    total = shown.total() - shown["null"]
    frequent = [count for value, count in shown.items() if count >= 3 and isinstance(value, str) and value != "null"]
    return total >= FEW and 0 < len(frequent) <= 200 and sum(frequent) >= (1 - MEANT) * total


def _rare(shown: Counter) -> set[str | int]:
    """The values of a closed set that hardly occur."""
    limit = min(10, max(3, shown.total() / 200))
    return {value for value, count in shown.items() if count < limit} if _is_closed_set(shown) else set()


def _better(values: Counter, shown: Counter) -> dict[str, str | None]:
    """Value: better value, for another case or spacing, one typo from a frequent value, "null" beside null."""
    texts = {value: count for value, count in values.items() if isinstance(value, str)}
    better = {}
    if shown["null"] >= max(3, MEANT / 2 * values.total()):
        better |= {value: None for value in texts if value.strip().lower() in _NULL_WORDS}
    if _is_closed_set(shown):
        better |= _other_spellings({value: count for value, count in texts.items() if value not in better})
    return better


def _is_variant(answer, value, better) -> bool:
    """Whether a value of an answer has a better one; what is copied from the prompt is no typo."""
    if not isinstance(value, str) or value not in better:
        return False
    is_typo = better[value] is not None and _key(value) != _key(better[value])
    return not is_typo or value.lower() not in _prompt(answer.row).lower()


def _other_spellings(counts: dict[str, int]) -> dict[str, str]:
    better, by_key = {}, defaultdict(list)
    for value in sorted(counts, key=lambda value: (-counts[value], value)):
        by_key[_key(value)].append(value)
    for first, *others in by_key.values():
        better |= {other: first for other in others if 3 * counts[other] <= counts[first]}
    frequent = [value for value in counts if counts[value] >= 5]
    for value in counts.keys() - better.keys():
        near = [other for other in frequent if 20 * counts[value] <= counts[other] and _one_typo(value, other)]
        if near:
            better[value] = max(near, key=lambda other: (counts[other], other))
    return better


def _key(value):
    return re.sub(r"[\s_-]+", " ", value).strip().casefold()


def _one_typo(a: str, b: str) -> bool:
    """One letter added, left out, changed or swapped, not the first one, in words of five letters or more."""
    a, b = a.casefold(), b.casefold()
    if a == b or min(len(a), len(b)) < 5 or a[0] != b[0] or re.sub(r"\D", "", a) != re.sub(r"\D", "", b):
        return False
    start = len(commonprefix([a, b]))
    a, b = a[start:], b[start:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[:2] == b[:2][::-1] and a[2:] == b[2:])


def _with_label(answer, path, value, better):
    """The answer with one value replaced and every other character as it was; None where that is not certain."""
    if path == "":
        return answer.text.replace(value, better) if answer.value is None else None
    goal = _replaced(answer.value, path, value, better)
    for quoted in {json.dumps(value), json.dumps(value, ensure_ascii=False)}:
        new = json.dumps(better, ensure_ascii=quoted.isascii())
        for match in re.finditer(re.escape(quoted), answer.text):
            text = answer.text[: match.start()] + new + answer.text[match.end() :]
            if schema.json_container(text) == goal:
                return text
    return None


def _replaced(container, path, old, new, at=""):
    """A copy of a JSON value in which `old` at `path` has become `new`."""
    if isinstance(container, dict):
        return {key: _replaced(item, path, old, new, f"{at}.{key}" if at else key) for key, item in container.items()}
    if isinstance(container, list):
        return [_replaced(item, path, old, new, f"{at}[]") for item in container]
    return new if at == path and container == old else container


def _show(value) -> str:
    """Text for a label; the string "null" keeps its quotes so that it is not taken for null."""
    if value is None:
        return "null"
    if not isinstance(value, str):
        return json.dumps(value)
    return json.dumps(value) if value in ("null", "true", "false") else value


def _place(path, value):
    return f"{path}: {_short(_show(value))}" if path else _short(_show(value))


# ---- all texts of one role


def find_length_outliers(rows: Sequence[Row], threshold: float = 6.0) -> list[Finding]:
    """Texts far longer or shorter than others of their role: robust z over `threshold`, and four times or a quarter.

    z = 0.6745 * (log length - median) / MAD (Iglewicz and Hoaglin 1993); the MAD is at least 0.1, so that equal
    lengths do not make every other one an outlier. Lengths are in characters.
    """
    found = []
    for texts in _Texts.by_role(rows, lambda text: True):
        if len(texts) < FEW:
            continue
        logs = np.log(np.maximum(1, texts.lengths))
        middle = np.median(logs)
        spread = max(0.1, np.median(np.abs(logs - middle)))
        z = 0.6745 * (logs - middle) / spread
        for index in np.flatnonzero((np.abs(z) > threshold) & (np.abs(logs - middle) > math.log(4))).tolist():
            row, field, text = texts[index]
            values = (len(text), math.exp(middle), z[index])
            found.append(schema.finding(CODES, "length_outlier", row, field, *values))
    return found


def find_other_languages(rows: Sequence[Row], margin: float = 30.0) -> list[Finding]:
    """Texts in another language than nine in ten of their role, by py3langid on the first 400 characters.

    Reported when the other language leads by `margin` in log-likelihood, so short texts and names pass, and when
    few of the words are common in the file. JSON and code are not looked at.
    """
    found = []
    for texts in _Texts.by_role(rows, lambda text: len(_prose(text)) >= 15):
        if len(texts) < FEW:
            continue
        sample = [_language(_prose(texts[index][2]))[0] for index in range(0, len(texts), max(1, len(texts) // 300))]
        main, often = Counter(sample).most_common(1)[0]
        if often < (1 - MEANT) * len(sample):
            continue
        few = min(5000, len(texts))
        common = Counter(word for index in range(few) for word in set(_prose(texts[index][2]).lower().split()))
        common = {word for word, count in common.items() if count >= 0.02 * few}
        for row, field, text in texts:
            text = _prose(text)
            words = text.lower().split()
            if len(words) >= 4 and sum(map(common.__contains__, words)) > 0.4 * len(words):
                continue
            language, scores = _language(text)
            if language != main and scores[language] - scores[main] >= margin:
                values = (language, often / len(sample), len(texts), main)
                found.append(schema.finding(CODES, "other_language", row, field, *values))
    return found


def _language(text) -> tuple[str, dict[str, float]]:
    import py3langid

    ranked = py3langid.rank(text)
    return ranked[0][0], dict(ranked)


def _prose(text):
    """What there is to read: no JSON, code, web addresses and digits."""
    if schema.json_container(text) is not None:
        return ""
    text = _CODE.sub(" ", text) if "`" in text else text
    return _ADDRESS_OR_DIGITS.sub(" ", text)[:400].strip()


class _Texts(Sequence):
    """Texts of one role as (row, field, text); kept is where they stand and how long they are."""

    def __init__(self, rows):
        self.rows, self.lengths = rows, array("q")
        self._row, self._turn = array("q"), array("l")

    @classmethod
    def by_role(cls, rows, is_meant: Callable[[str], bool]) -> list["_Texts"]:
        """The user and the assistant turns for which `is_meant(text)` is true, the role that is seen first first."""
        by_role = {}
        for index, row in enumerate(rows):
            for turn, message in enumerate(row.data["messages"]):
                role, text = message["role"], message.get("content")
                if role in ("user", "assistant") and isinstance(text, str):
                    texts = by_role.setdefault(role, cls(rows))
                    if is_meant(text):
                        texts.lengths.append(len(text))
                        texts._row.append(index)
                        texts._turn.append(turn)
        return list(by_role.values())

    def __len__(self):
        return len(self._row)

    def __getitem__(self, index):
        row, turn = self.rows[self._row[index]], self._turn[index]
        return row, schema.content_field(turn), row.data["messages"][turn]["content"]


# ---- damage


def find_damage(rows: Sequence[Row]) -> list[Finding]:
    """Mojibake, leftovers of web pages, doubled special tokens, blanks at the end of a turn."""
    found = defaultdict(list)
    for row in rows:
        for _, field, text in _texts(row):
            for code, *values in _damage(text):
                found[code].append(schema.finding(CODES, code, row, field, *values))
    found["html_residue"] = _once_if_meant(found["html_residue"], rows)
    return [finding for code in CODES for finding in found[code]]


def mend_mojibake(text: str) -> str:
    """Undo UTF-8 read as cp1252 or latin-1 where the whole text allows it; otherwise return it as it is."""
    if any(mended for _, mended in _mojibake(text)):
        for encoding in ("latin-1", "cp1252"):
            mended = _reread(text, encoding)
            if mended is not None:
                return mended
    return text


def merge_doubled_tokens(text: str) -> str:
    """Keep one of each special token that follows itself."""
    return _TWICE.sub(r"\1", text)


def _damage(text):
    wrong = next(_mojibake(text), None)
    if wrong:
        yield "mojibake", repr(wrong[0][:20]), repr(wrong[1][:20])
    if ("<" in text or "&" in text) and (markup := _HTML.search(_CODE.sub("", text))):
        yield "html_residue", _short(markup[0])
    if twice := _TWICE.search(text):
        yield "doubled_token", twice[1]
    if text.strip() and text != text.rstrip():
        yield "trailing_space", len(text) - len(text.rstrip())


def _mojibake(text) -> Iterator[tuple[str, str]]:
    """Yield (as it stands, as it was) for runs of characters that are the UTF-8 bytes of something likelier."""
    if text.isascii():
        return
    for match in _NOT_ASCII.finditer(text):
        mended = _reread(match[0], "latin-1") or _reread(match[0], "cp1252")
        if mended and (len(mended) > 2 or all(_is_likely(char) for char in mended)):
            yield match[0], mended


def _is_likely(char):
    """Letters of western and central Europe, typographic signs, emoji; not the rare signs that chance makes."""
    code = ord(char)
    return 0xA0 <= code < 0x180 or 0x2010 <= code < 0x2030 or code in (0x20AC, 0x2122, 0xFEFF) or code >= 0x1F000


def _reread(text, encoding):
    """The text with its bytes in `encoding` read as UTF-8; None where they are no UTF-8 or nothing changes."""
    try:
        if encoding == "cp1252":  # five bytes have no character there and are read as they are
            undefined = _UNDEFINED_IN_CP1252.values()
            raw = b"".join(c.encode("latin-1" if c in undefined else "cp1252") for c in text)
        else:
            raw = text.encode(encoding)
        mended = raw.decode("utf-8")
    except UnicodeError:
        return None
    return mended if mended != text else None


# ---- small things


def _once_if_meant(findings, rows):
    """The findings, or only the first one with the number of the others where so many may be meant."""
    if len(findings) <= max(3, MEANT * len(rows)):
        return findings
    more = f" (so in {len(findings)} places: only the first is listed, so many may be meant)"
    return [replace(findings[0], severity="info", message=findings[0].message + more)]


def _texts(row) -> Iterator[tuple[str, str, str]]:
    """Yield (role, field, text) of every turn that has a text."""
    for index, turn in enumerate(row.data["messages"]):
        if isinstance(turn.get("content"), str):
            yield turn["role"], schema.content_field(index), turn["content"]


def _prompt(row):
    texts = [turn.get("content") for turn in row.data["messages"][:-1]]
    return "\n".join(text for text in texts if isinstance(text, str))


def _plain(text):
    return " ".join(text.split()).casefold()


def _start(text):
    """The first character of `_plain(text)`, without the work of the whole."""
    return text.lstrip()[:1].casefold()[:1]


def _names(keys):
    return ", ".join(_short(key, 30) for key in list(keys)[:8])


def _short(text, length=40):
    """A quoted excerpt on one line, private pieces masked."""
    text = privacy.mask_private(text[: 10 * length])
    return repr(text if len(text) <= length else text[: length - 3] + "...")
