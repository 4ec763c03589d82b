"""Keys, card and account numbers, mail addresses and phone numbers in the rows, found by form alone.

A model can say again what it was trained on, word for word. Names, postal addresses and dates of birth have no
form that a pattern could know and are not looked for: read a sample yourself.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

from stdnum import iban, luhn

from ftlab.checks.lists import one_of, word_list
from ftlab.data.findings import Finding, Row, file_of, finding, walk
from ftlab.data.jsonl import json_container

_REST = "names and addresses are not looked for"

KINDS = ("secret", "card_number", "iban", "email", "phone")
NAMES_A_GROUP = re.compile(
    r"(?:.*[_-])?(?:id|ids|uuid|key|group|customer|client|user|account|author|session|thread|patient|sender)",
    re.IGNORECASE,
)

_WORDS = ("pass", "pwd", "secret", "token", "bearer", "credential", "key")
_WORD = r"pass(?:word|wd|phrase|code)|pwd|secret|token|bearer|credentials?|(?:api|access|secret|private|auth)?[ _-]?key"
_NEAR_WORD = re.compile(
    rf"(?<![A-Za-z])(?:{_WORD})(?![A-Za-z])[\"'`\\]*\s*(?:is|was|=>|:=|->|=|:)?\s*[\"'`\\]*"
    r"(?P<value>[^\s\"'`<>(){}\[\],;\\]{8,})(?![(\[\w])",
    re.I,
)
_MAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])", re.A)
# reserved for examples: RFC 2606 and RFC 6761
_EXAMPLE_DOMAIN = re.compile(r"(?:^|[@.])(?:example\.(?:com|net|org)|example|test|invalid|localhost)$", re.I)
_GAP = "[ \u00a0\u202f-]"
_CARD = re.compile(
    rf"(?<![\w.-])(?:\d{{4}}({_GAP})\d{{4}}\1\d{{4}}\1\d{{4}}|\d{{4}}({_GAP})\d{{6}}\2\d{{4,5}}|\d{{13,19}})(?![\w-])"
)
_IBAN = re.compile(rf"\b[A-Za-z]{{2}}\d{{2}}(?:{_GAP}?[A-Za-z0-9]){{11,30}}")
_PHONE = re.compile(
    r"(?<![\w.,/-])(?:"
    r"(?:\+|00(?=[1-9]))\d{1,3}(?:[ .()/\u00a0-]{0,2}\d){6,13}"  # international
    r"|(?:1[ .-])?\(?[2-9]\d{2}\)?[ .-]\d{3}[ .-]\d{4}"  # North America
    r"|\(?0\d{2,4}\)?[ /-]\d{3,4}[ -]?\d{3,4}"  # with a leading 0 and an area code
    r"|(?P<plain>\d{8,12})"  # only after a word such as phone
    r")(?![\w-])(?![.,/]\d)"
)
_PLACEHOLDER = re.compile(rf"<({'|'.join(KINDS)})_(\d{{1,9}})>")
# what a text without private pieces mostly lacks, quickly seen; each is less than the pattern behind it asks for
_DIGIT_OR_AT = re.compile(r"[\d@]")
_LONG_NUMBER = re.compile(r"\d(?:[ .()/\u00a0\u202f-]{0,2}\d){6}")  # card and phone numbers


class Span(NamedTuple):
    """One private piece of a text, from `start` to `end`; `shown` is what may be printed of it."""

    start: int
    end: int
    code: str
    shown: str


def find_private(rows: Sequence[Row]) -> list[Finding]:
    """Secrets, card and account numbers, mail addresses and phone numbers in any text of a row, shown masked.

    One finding for each field and kind, and one for all rows of a column that names a group by addresses or phone
    numbers. Left out: addresses and numbers reserved for examples (example.com, 07700 900...), and numbers that fail
    their check digit.
    """
    findings, grouped = [], {}
    for row in rows:
        for field, text, _ in walk(row.data):
            pieces = spans(text) if isinstance(text, str) else ()
            for code, count in Counter(piece.code for piece in pieces).items() if pieces else ():
                if stays_in_group(field, code):
                    grouped.setdefault((field, code), []).append(row)
                    continue
                shown = next(piece.shown for piece in pieces if piece.code == code)
                findings.append(finding(code, row, field, count, shown))
    named = {"email": "mail addresses", "phone": "phone numbers"}
    return findings + [
        finding("private_group", file_of(rows[0]), field, len(rows), named[code])
        for (field, code), rows in grouped.items()
    ]


def stays_in_group(field: str, code: str) -> bool:
    """True for an address or a number in a column that names a group: masked, the rows would fall out of their groups.

    What opens an account or pays a bill is masked everywhere.
    """
    return code in ("email", "phone") and NAMES_A_GROUP.fullmatch(field) is not None


def mask_private(text: str, memo: dict | None = None) -> str:
    """The text with `<email_1>`, `<phone_1>`, `<card_number_1>`... in place of private pieces; JSON stays JSON.

    The same value has the same placeholder, and another value another one, wherever the same `memo` is handed in:
    begin one a file with `new_memo`. Without it the numbers hold for this text alone.
    """
    memo = new_memo([text]) if memo is None else memo
    while (masked := _mask_once(text, memo)) != text:  # a mask can lay bare its neighbour
        text = masked
    return text


def new_memo(texts: Iterable[str] = ()) -> dict:
    """A memo for `mask_private` that passes over the placeholders which these texts hold already."""
    memo = {}
    for text in texts:
        for code, number in _PLACEHOLDER.findall(text) if "<" in text else ():
            memo[code] = max(memo.get(code, 0), int(number))
    return memo


def placeholder(piece: Span, text: str, memo: dict) -> str:
    """What stands for this piece of `text`; `memo` maps (code, value) to it and a code to its last number."""
    value = text[piece.start : piece.end]
    if piece.code != "secret":
        value = value.casefold() if piece.code == "email" else re.sub(r"\W", "", value).upper().removeprefix("00")
    if (piece.code, value) not in memo:
        memo[piece.code] = memo.get(piece.code, 0) + 1
        memo[piece.code, value] = f"<{piece.code}_{memo[piece.code]}>"
    return memo[piece.code, value]


def spans(text: str) -> list[Span]:
    """The private pieces in order, none inside another; where two overlap the earlier of KINDS counts."""
    if not _DIGIT_OR_AT.search(text) and "PRIVATE KEY" not in text:  # no private piece is without one of these
        return []
    taken, pieces = bytearray(len(text)), []
    has_number = _LONG_NUMBER.search(text)
    for find in (_secrets, _cards, _ibans, _mails, _phones) if has_number else (_secrets, _ibans, _mails):
        for piece in find(text):
            if not any(taken[piece.start : piece.end]):
                taken[piece.start : piece.end] = b"\1" * (piece.end - piece.start)
                pieces.append(piece)
    return sorted(pieces, key=lambda piece: piece.start)


def _mask_once(text, memo):
    pieces = spans(text)
    masks = [placeholder(piece, text, memo) for piece in pieces]
    masked, end = "", 0
    for piece, mask in zip(pieces, masks, strict=True):
        masked += text[end : piece.start] + mask
        end = piece.end
    masked += text[end:]
    if not pieces or json_container(text) is None or json_container(masked) is not None:
        return masked
    for piece, mask in reversed(list(zip(pieces, masks, strict=True))):  # a bare number of JSON becomes a string
        for written in (mask, f'"{mask}"'):
            masked = text[: piece.start] + written + text[piece.end :]
            if json_container(masked) is not None:
                text = masked
                break
    return text


def _secrets(text):
    for name, hint, shape in word_list("secrets"):
        for match in re.finditer(shape, text) if hint in text else ():
            yield _secret(*match.span(match.re.groups), name)
    lower = text.lower()
    for match in _NEAR_WORD.finditer(text) if any(word in lower for word in _WORDS) else ():
        value = match["value"].rstrip(".,:!?")
        if _looks_random(value):
            yield _secret(match.start("value"), match.start("value") + len(value), "after a word such as password")


def _secret(start, end, name):
    return Span(start, end, "secret", f"{name}, {end - start} characters")


def _looks_random(value: str) -> bool:
    """True for text that people do not write: kinds of characters mixed, high entropy (bits a character)."""
    if "://" in value or "@" in value or not any(char.isdigit() for char in value):
        return False
    kinds = [str.islower, str.isupper, str.isdigit, lambda char: char in "!#$%&*+=?^~|"]
    mixed = sum(any(kind(char) for char in value) for kind in kinds)
    counts = Counter(value).values()
    entropy = -sum(count / len(value) * math.log2(count / len(value)) for count in counts)
    return entropy >= 2.5 and mixed >= 3 or entropy >= 3 and mixed == 2 and len(value) >= 20


def _cards(text):
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if _is_card(digits):
            yield Span(*match.span(), "card_number", f"{len(digits)} digits ending in {digits[-2:]}")


def _is_card(digits: str) -> bool:
    """True when length and first digits belong to a card issuer (ISO/IEC 7812) and the Luhn sum is right."""
    length, two, four = len(digits), int(digits[:2]), int(digits[:4])
    known = (
        digits[0] == "4" and length in (13, 16, 19)  # Visa
        or (51 <= two <= 55 or 2221 <= four <= 2720) and length == 16  # Mastercard
        or two in (34, 37) and length == 15  # American Express
        or (300 <= four // 10 <= 305 or two in (36, 38, 39)) and length == 14  # Diners Club
        or (four == 6011 or 644 <= four // 10 <= 649 or two == 65) and 16 <= length <= 19  # Discover
        or 3528 <= four <= 3589 and 16 <= length <= 19  # JCB
        or two == 62 and 16 <= length <= 19  # UnionPay
    )  # fmt: skip
    return known and luhn.is_valid(digits)


def _ibans(text):
    for match in _IBAN.finditer(text):
        for end in range(match.start() + 15, match.end() + 1):  # words behind it look as if they belonged to it
            value = iban.compact(text[match.start() : end])
            if text[end : end + 1].isalnum() or not iban.is_valid(value, check_country=False):
                continue
            yield Span(match.start(), end, "iban", f"{value[:2]}... ending in {value[-2:]}")
            break


def _mails(text):
    for match in _MAIL.finditer(text) if "@" in text else ():
        if not _EXAMPLE_DOMAIN.search(match[0]):
            yield Span(*match.span(), "email", f"{match[0][0]}...@{match[0].partition('@')[2]}")


def _phones(text):
    patterns = _phone_patterns()
    for match in _PHONE.finditer(text):
        digits = re.sub(r"\D", "", match[0]).removeprefix("00")
        before = text[max(0, match.start() - 40) : match.start()]
        named = patterns["named"].search(before)
        if patterns["other"].search(before) or match["plain"] and not named or not 7 <= len(digits) <= 15:
            continue
        if not patterns["story"].fullmatch(digits):
            yield Span(*match.span(), "phone", f"{len(digits)} digits ending in {digits[-2:]}")


@cache
def _phone_patterns() -> dict[str, re.Pattern]:
    named, other = (one_of(word_list(name).split()) for name in ("phone_words", "other_numbers"))
    return {
        "named": re.compile(rf"\b{named}\b[^\d\n]{{0,25}}$", re.I),
        "other": re.compile(rf"\b{other}(?:[\s.:#]|\b(?:no|nr|number|id|code|is|was)\b)*$", re.I),
        "story": re.compile(word_list("story_numbers")),
    }
