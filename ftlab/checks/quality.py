"""What reads wrong in the rows as text: system prompts, inputs, answers, pairs, lengths, languages.

Most checks compare a row with the others of its file: what nearly all rows do counts as meant, and a row that
does otherwise is reported. Where more than one row in ten is hit, one finding stands for all: so many may be meant.
"""

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from os.path import commonprefix

import numpy as np

from ftlab.checks import damage, labels
from ftlab.checks.damage import CODE
from ftlab.checks.lists import one_of, word_list
from ftlab.checks.texts import FEW, MEANT, excerpt, leaves, once_if_meant, texts, trained_answers
from ftlab.data.findings import Finding, Row, file_of, finding, kind_of
from ftlab.data.jsonl import json_container
from ftlab.data.schema import answer_start
from ftlab.data.similar import normalise, turn_text

NEARLY_ALL = 0.95  # the share of rows that makes a rule of the file

_ADDRESS_OR_DIGITS = re.compile(r"https?://\S+|\d+")


def find_quality_problems(rows: Sequence[Row], control_tokens: bool = True) -> list[Finding]:
    """Every check of this module, of the labels and of damage; without control tokens where a tokenizer is known."""
    checks = (find_system_problems, find_input_problems, find_answer_problems, find_pair_problems,
              labels.find_label_problems, find_length_outliers, find_other_languages)  # fmt: skip
    found = [each for find in checks for each in find(rows)]
    return found + damage.find_damage(rows, control_tokens)


# the system prompt


def find_system_problems(rows: Sequence[Row]) -> list[Finding]:
    """Rows whose system prompt is missing or differs from that of the others."""
    systems = [system_of(row) for row in rows]
    counts = Counter(system for system in systems if system is not None)
    if not counts:
        return []
    main, often = counts.most_common(1)[0]
    given = counts.total()
    without = [row for row, system in zip(rows, systems, strict=True) if system is None]
    missing = [finding("missing_system", row, "messages[0]", given, len(rows)) for row in without]
    found = once_if_meant(missing, rows)
    if often < given * (1 - MEANT):
        return [*found, finding("many_systems", file_of(rows[0]), "messages[0].content", len(counts), given)]
    differences = {system: _difference(main, system) for system in counts if system != main}
    for row, system in zip(rows, systems, strict=True):
        if system in differences:
            field, difference = "messages[0].content", differences[system]
            found.append(finding("system_drift", row, field, often, len(rows), difference))
    return found


def system_of(row: Row) -> str | None:
    """The system prompt of a row, None where it has none."""
    first = row.data["messages"][0]
    return first["content"] if first["role"] == "system" and isinstance(first["content"], str) else None


def same_but_spacing(a: str, b: str) -> bool:
    """True when two texts differ in white space, letter case and unseen characters only."""
    return a.lstrip()[:1].casefold()[:1] == b.lstrip()[:1].casefold()[:1] and normalise(a) == normalise(b)


def _difference(main, other):
    if same_but_spacing(main, other):
        return " in spacing or letter case only (--fix)"
    start = max(0, len(commonprefix([main, other])) - 10)
    return f" from character {start + 1}: {excerpt(other[start:])} instead of {excerpt(main[start:])}"


# inputs, answers and pairs


def find_input_problems(rows: Sequence[Row]) -> Iterator[Finding]:
    """Placeholders where a user's text should stand: the first user turn, or its last paragraph."""
    for row in rows:
        _, field, text = next((each for each in texts(row) if each[0]["role"] == "user"), (None, "", ""))
        if hit := _placeholder(text) or _placeholder(text.rpartition("\n\n")[2]):
            yield finding("placeholder_input", row, field, excerpt(hit[0]))


def find_pair_problems(rows: Sequence[Row]) -> Iterator[Finding]:
    """Preference pairs whose two answers are the same."""
    for row in rows:
        messages, rejected = row.data["messages"], row.data.get("rejected")
        if not rejected:
            continue
        chosen, worse = (" ".join(map(turn_text, turns)) for turns in (messages[answer_start(messages) :], rejected))
        if normalise(worse) == normalise(chosen):
            code = "same_answers" if worse == chosen else "nearly_same_answers"
            yield finding(code, row, f"rejected[{len(rejected) - 1}].content")


@cache
def _placeholders() -> re.Pattern:
    never = rf"[\[<({{]*\s*{one_of(word_list('placeholders'))}\s*[\]>)}}]*\W*"
    return re.compile(rf"(?P<never>{never})|[\[<({{]?(?P<nothing>{one_of(word_list('nothing'))})[\]>)}}]?", re.I | re.S)


def _placeholder(text: str) -> tuple[str, bool] | None:
    """(what stands in the place of a text, whether it could be a word that is meant, such as None)."""
    text = text.strip()
    if whole := _placeholders().fullmatch(text):
        return text, whole["nothing"] is not None
    unfilled = re.search(word_list("unfilled"), text, re.I) if "nsert" in text or "NSERT" in text else None
    return (unfilled[0], False) if unfilled else None


def find_answer_problems(rows: Sequence[Row]) -> list[Finding]:
    """Answers that say nothing, are cut off, or do not have the form of nearly all others."""
    empty = _empty_answers(answers := list(trained_answers(rows)))
    left = [answer for answer in answers if id(answer) not in empty]
    cut = _cut_answers(left)
    last = [answer for answer in left if answer.is_last and id(answer) not in cut]
    copied = [_finding("answer_in_prompt", answer) for answer in last if _is_copied(answer)]
    return [*empty.values(), *once_if_meant(copied, rows), *cut.values(), *_json_problems(last)]


def _finding(code, answer, *values):
    return finding(code, answer.row, answer.field, *values)


def _is_copied(answer):
    """True for four words or more that the prompt holds."""
    text, prompt = answer.text.strip(), answer.prompt
    if text[:1].isascii() and not text[:1].isalpha() and text[:1] not in prompt:  # such as the { of JSON
        return False
    return len(text.split()) >= 4 and normalise(text) in normalise(prompt)


def _empty_answers(answers) -> dict[int, Finding]:
    """By id of the answer; words such as None count only where few answers are like that, for they may be a label."""
    said = [(answer, *_says_nothing(answer)) for answer in answers]
    counts = Counter(text for _, _, _, text in said if text is not None)
    usual = max(FEW, len(answers) * MEANT / 2)
    meant = [(answer, code, what) for answer, code, what, text in said if text is None or counts[text] < usual]
    return {id(answer): _finding(code, answer, what) for answer, code, what in meant if code}


def _says_nothing(answer) -> tuple[str | None, str, str | None]:
    """(code, what it says, text): with a text it holds only where that is not said by many."""
    text = answer.text.strip()
    if not any(char.isalnum() for char in text) and _is_blank(text):
        return "empty_answer", excerpt(text), text
    if hit := _placeholder(text):
        return "placeholder_answer", f"{excerpt(hit[0])} is a placeholder", text if hit[1] else None
    if len(text) >= 12 and same_but_spacing(text, answer.asked):
        return "placeholder_answer", "repeats the question", None
    for path, value in leaves(answer.value) if answer.value else ():
        hit = _placeholder(value) if isinstance(value, str) else None
        if hit and not hit[1]:
            return "placeholder_answer", f"{path} is {excerpt(value)}, a placeholder", None
    return None, "", None


def _is_blank(text):
    """No letter, digit, sign or emoji: only brackets, quotes, dots, dashes and invisible characters."""
    return not re.search(r"[^\s\W_]", text) and not any(ord(char) >= 0x2190 and char.isprintable() for char in text)


def _cut_answers(answers) -> dict[int, Finding]:
    all_end = len(answers) >= FEW and sum(_has_end(answer.text) for answer in answers) >= NEARLY_ALL * len(answers)
    found = {}
    for answer in answers:
        reason = _open_end(answer.text) if answer.value is None else None
        if reason is None and all_end and not _has_end(answer.text):
            reason = f"it ends in {excerpt(answer.text.rstrip()[-12:])} and nearly all others end a sentence"
        if reason:
            found[id(answer)] = _finding("answer_cut", answer, reason)
    return found


def _has_end(text):
    last = text.rstrip()[-1:]
    return not (last.isalnum() or last in ",-–—(&/\\")


def _open_end(text):
    """Why the text is unfinished: an open code fence, or an open string, object or list of JSON; else None."""
    if len(re.findall(r"^\s*```", text, re.M)) % 2:
        return "a code fence (```) is open"
    text = text.strip()
    if not re.match(r'\{\s*(?:"|$)|\[\s*(?:["{\[\d-]|true|false|null|$)', text):
        return None
    rest = re.sub(r'"(?:[^"\\]|\\.)*"', "", text, flags=re.S)  # without whole strings
    if '"' in rest:
        return "a string of the JSON is open"
    while (closed := re.sub(r"\{[^{}\[\]]*\}|\[[^{}\[\]]*\]", "", rest)) != rest:
        rest = closed
    opened = [char for char in rest if char in "{["]
    return f"{'an object' if opened[-1] == '{' else 'a list'} of the JSON is open" if opened else None


# the form of JSON answers


def _json_problems(answers):
    with_json = [answer for answer in answers if answer.value is not None]
    if len(answers) < FEW or len(with_json) < NEARLY_ALL * len(answers):
        return []
    count, others = (len(with_json), len(answers)), [answer for answer in answers if answer.value is None]
    others = [_finding("answer_not_json", answer, *count, _json_error(answer.text)) for answer in others]
    return others + _key_problems(with_json) + _type_problems(with_json)


def _json_error(text):
    if text.lstrip().startswith("```"):
        return "it stands in a code fence"
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return f"{error.msg} at character {error.pos + 1}"
    except (ValueError, RecursionError) as error:
        return excerpt(str(error))
    return "it is a single value, no object or list"


def _key_problems(answers):
    keys_of = [tuple(answer.value) if isinstance(answer.value, dict) else None for answer in answers]
    main, often = max(Counter(keys_of).items(), key=lambda item: item[1])
    found = []
    for answer, keys in zip(answers, keys_of, strict=True) if main and often >= NEARLY_ALL * len(answers) else ():
        if keys not in (None, main):
            missing, more = [key for key in main if key not in keys], [key for key in keys if key not in main]
            parts = [f"lacks {_names(missing)}"] if missing else []
            parts += [f"adds {_names(more)}"] if more else []
            what = " and ".join(parts) or f"has its keys in the order {_names(keys)}"
            found.append(_finding("answer_keys_differ", answer, what, often, len(answers)))
    return found


def _type_problems(answers):
    """Fields that are of one type in nearly all answers and of another here; null is no type."""
    counts = defaultdict(Counter)
    types = [{path: kind_of(item) for path, item in leaves(answer.value) if item is not None} for answer in answers]
    for each in types:
        for path, kind in each.items():
            counts[path][kind] += 1
    usual = {path: kinds.most_common(1)[0] for path, kinds in counts.items() if len(kinds) > 1}
    usual = {path: main for path, main in usual.items() if main[1] >= max(FEW, NEARLY_ALL * counts[path].total())}
    return [
        _finding("answer_type_differs", answer, f"{path}: {each[path]}", often, counts[path].total(), main)
        for path, (main, often) in usual.items()
        for answer, each in zip(answers, types, strict=True)
        if each.get(path, main) != main
    ]


def _names(keys):
    return ", ".join(excerpt(key, 30) for key in list(keys)[:8])


# all texts of one role


def _by_role(rows) -> list[list[tuple[Row, str, str]]]:
    """(row, field, text) of the user and of the assistant turns, the role that is seen first first."""
    by_role = defaultdict(list)
    for row in rows:
        for turn, field, text in texts(row):
            if turn["role"] in ("user", "assistant") and field.startswith("messages"):
                by_role[turn["role"]].append((row, field, text))
    return list(by_role.values())


def find_length_outliers(rows: Sequence[Row]) -> Iterator[Finding]:
    """Texts far longer or shorter than others of their role: robust z over 6, and four times or a quarter.

    z = 0.6745 * (log length - median) / MAD (Iglewicz and Hoaglin 1993); the MAD is at least 0.1, so that equal
    lengths do not make every other one an outlier. Lengths are in characters.
    """
    for group in _by_role(rows):
        if len(group) < FEW:
            continue
        logs = np.log([max(1, len(text)) for *_, text in group])
        middle = np.median(logs)
        spread = max(0.1, np.median(np.abs(logs - middle)))
        z = 0.6745 * (logs - middle) / spread
        for index in np.flatnonzero((np.abs(z) > 6) & (np.abs(logs - middle) > math.log(4))).tolist():
            row, field, text = group[index]
            yield finding("length_outlier", row, field, len(text), math.exp(middle), z[index])


def find_other_languages(rows: Sequence[Row]) -> Iterator[Finding]:
    """Texts in another language than nine in ten of their role, by py3langid on the first 400 characters.

    Reported when the other language leads by 30 in log-likelihood, so short texts and names pass, and when
    few of the words are common in the file. JSON and code are not looked at.
    """
    for group in _by_role(rows):
        group = [(row, field, prose) for row, field, text in group if len(prose := _prose(text)) >= 15]
        if len(group) < FEW:
            continue
        sample = [_language(prose)[0] for *_, prose in group[:: max(1, len(group) // 300)]]
        main, often = Counter(sample).most_common(1)[0]
        if often < (1 - MEANT) * len(sample):
            continue
        few = group[:5000]
        counts = Counter(word for *_, prose in few for word in set(prose.lower().split()))
        common = {word for word, count in counts.items() if count >= 0.02 * len(few)}
        for row, field, prose in group:
            its_words = prose.lower().split()
            if len(its_words) >= 4 and sum(map(common.__contains__, its_words)) > 0.4 * len(its_words):
                continue
            language, scores = _language(prose)
            if language != main and scores[language] - scores[main] >= 30:
                yield finding("other_language", row, field, language, often / len(sample), len(group), main)


def _language(text) -> tuple[str, dict[str, float]]:
    """The likeliest language, and every language's log-likelihood."""
    import py3langid

    ranked = py3langid.rank(text)
    return ranked[0][0], dict(ranked)


def _prose(text):
    """What there is to read: no JSON, code, web addresses and digits."""
    if json_container(text) is not None:
        return ""
    text = CODE.sub(" ", text) if "`" in text else text
    return _ADDRESS_OR_DIGITS.sub(" ", text)[:400].strip()
