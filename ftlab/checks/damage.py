"""Damage that one text shows by itself: wrong encodings, markup, control tokens, unseen characters, broken thoughts."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from os.path import commonprefix

import ftfy

from ftlab.checks.lists import one_of, word_list
from ftlab.checks.texts import excerpt, once_if_meant, texts
from ftlab.data.findings import Finding, Row, codes, finding

LETTER = re.compile("(?<!\\w)(\u00c3)(?= |$)")  # by itself it is the letter, not half of another
CODE = re.compile(r"```.*?(?:```|$)|`[^`\n]*`", re.S)
HARMONY_ANSWER = "<|channel|>final<|message|>"
RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
DIRECTION_MARKS = "\u200e\u200f\u061c\u2066\u2067\u2068\u2069"  # and isolates: right in texts that have such letters
# joiners are right beside letters that need them and between the parts of an emoji; tags in flags; zero-width spaces
# in scripts without spaces
JOINED = "\u0590-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\ufb50-\ufdff\ufe70-\ufefe"
CONTROL = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")
UNSEEN = re.compile(
    r"\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f"  # the flag of a region
    rf"|(?<=[{JOINED}])[\u200c\u200d]|[\u200c\u200d](?=[{JOINED}])"
    r"|(?<=[\ufe0f\u20e3\u2190-\u2bff\U0001f000-\U0001faff])\u200d"  # between the parts of one emoji
    r"|(?<=[\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff])\u200b"
    r"|(?P<unseen>[\x01-\x08\x0b\x0c\x0e-\x1f\x7f\xad\u061c\u115f\u1160\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069"
    r"\u3164\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f]|(?<=[\ufe00-\ufe0f\U000e0100-\U000e01ef])"
    r"[\ufe00-\ufe0f\U000e0100-\U000e01ef])"
)


def find_damage(rows: Sequence[Row], control_tokens: bool = True) -> list[Finding]:
    """All damage in the turns of the rows, kind by kind; a thought is looked for in answers alone.

    `control_tokens=False` leaves these out, for a check that knows the tokenizer and so says more about them.
    """
    found = defaultdict(list)
    for row in rows:
        for turn, field, text in texts(row):
            for code, *values in _damage(text):
                found[code].append(finding(code, row, field, *values))
            if turn["role"] == "assistant" and turn.get("weight") != 0 and not text.isspace():
                for code, *values in _thought_problems(text, bool(turn.get("tool_calls"))):
                    found[code].append(finding(code, row, field, *values))
    if not control_tokens:
        found.pop("control_token", None)
    for code in ("html_residue", "thought_not_begun", "thought_without_answer", "empty_thought", "thought_form"):
        found[code] = once_if_meant(found[code], rows)
    return [each for code in codes("damage") for each in found[code]]


# repairs


def mend_mojibake(text: str) -> str:
    """Undo UTF-8 that was read with another encoding, as ftfy sees it; any other text stays as it is."""
    if text.isascii():
        return text
    return "".join(part if part == "\u00c3" else ftfy.fix_encoding(part) for part in LETTER.split(text))


def merge_doubled_tokens(text: str) -> str:
    """Keep one of each control token that follows itself."""
    once, end = "", 0
    for code in CODE.finditer(text):  # a text about templates
        once += _patterns()["twice"].sub(r"\1", text[end : code.start()]) + code[0]
        end = code.end()
    return once + _patterns()["twice"].sub(r"\1", text[end:])


# one text


def control_tokens() -> str:
    """The pattern of a control token of any common chat template."""
    listed = one_of(map(re.escape, word_list("control_tokens")))
    return rf"<\|[^|<>\s]{{2,40}}\|>|<\uff5c[^<>\n]{{1,40}}\uff5c>|{listed}"


@cache
def _patterns() -> dict[str, re.Pattern]:
    token = control_tokens()
    tags, entities = (one_of(word_list(name).split()) for name in ("html_tags", "html_entities"))
    pairs = word_list("thoughts")
    openings = rf"(?P<open>{one_of(re.escape(begin) for begin, _ in pairs)})"
    return {
        "token": re.compile(token),
        "twice": re.compile(rf"({token})(?:\s*\1)+"),
        "html": re.compile(rf"</?{tags}(?:\s[^<>]{{0,300}})?/?>|&(?:{entities}|#\d{{2,6}}|#x[0-9a-f]{{2,6}});", re.I),
        "thought": re.compile(rf"{openings}|{one_of(re.escape(end) for _, end in pairs)}"),
    }


def _damage(text: str) -> Iterator[tuple]:
    patterns = _patterns()
    mended = mend_mojibake(text)
    if mended != text:
        start = len(commonprefix([text, mended]))
        yield "mojibake", *(excerpt((each[start:].split() or [""])[0], 20) for each in (text, mended))
    if ("<" in text or "&" in text) and (markup := patterns["html"].search(CODE.sub("", text))):
        yield "html_residue", excerpt(markup[0])
    if "<" in text or "[" in text:
        if twice := patterns["twice"].search(CODE.sub("", text)):
            yield "doubled_token", twice[1]
        if tokens := sorted(set(patterns["token"].findall(text))):
            yield "control_token", ", ".join(tokens[:5])
    unseen = ()
    if not text.isascii() or CONTROL.search(text):
        unseen = [match["unseen"] for match in UNSEEN.finditer(text) if match["unseen"]]
    if unseen and RIGHT_TO_LEFT.search(text):
        unseen = [char for char in unseen if char not in DIRECTION_MARKS]
    if unseen:
        points = ", ".join(f"U+{ord(char):04X}" for char in sorted(set(unseen))[:5])
        yield "invisible_character", f"{len(unseen)} character(s)", points
    if text.strip() and text != text.rstrip():
        yield "trailing_space", len(text) - len(text.rstrip())


def _thought_problems(text: str, calls_tools: bool) -> Iterator[tuple]:
    """What is wrong with the thoughts of one answer; the gravest first, and then no more."""
    pattern = _patterns()["thought"]
    if not pattern.search(text):
        return
    text = CODE.sub(lambda match: " " * len(match[0]), text)  # a text about thoughts
    ends, first = dict(word_list("thoughts")), word_list("thoughts")[0]
    begin, start, last, is_empty = None, 0, None, False
    for match in pattern.finditer(text):
        mark = match[0]
        if begin is None and match["open"] is None:
            if mark == HARMONY_ANSWER:
                continue
            starts = {end: opening for opening, end in word_list("thoughts")}
            yield "thought_not_begun", mark, starts[mark]
            return
        if begin is None:
            begin, start = mark, match.end()
        elif mark == ends[begin]:
            last, is_empty, used, begin = match.end(), not text[start : match.start()].strip(), begin, None
    if begin is not None:
        yield "thought_open", begin
    elif last is not None and not text[last:].strip() and not calls_tools:
        yield "thought_without_answer",
    elif last is not None and is_empty:
        yield "empty_thought",
    elif last is not None and used != first[0]:
        yield "thought_form", used, ends[used], f"most write {first[0]}...{first[1]}"
