"""Keys, card and account numbers, mail addresses and phone numbers in the rows, found by form alone.

A model can say again what it was trained on, word for word. Names, postal addresses and dates of birth have no
form that a pattern could know and are not looked for: read a sample yourself.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ftlab.data import schema
from ftlab.data.schema import Finding, Row

_REST = "names and addresses are not looked for"
CODES = {
    "secret": ("warning", f"{{}} secret(s): {{}}; make it invalid where it is from and mask it (--fix); {_REST}"),
    "card_number": ("warning", f"{{}} payment card number(s): {{}}; mask it (--fix); {_REST}"),
    "iban": ("warning", f"{{}} bank account number(s): {{}}; mask it (--fix); {_REST}"),
    "email": ("warning", f"{{}} mail address(es): {{}}; mask it (--fix) unless it is meant to be learned; {_REST}"),
    "phone": ("warning", f"{{}} phone number(s): {{}}; mask it (--fix) unless it is meant to be learned; {_REST}"),
}

_PEM = "[A-Z0-9 ]{0,30}PRIVATE KEY-----"
_BASE64_LINES = r"(?:(?:\s|\\[nr])*[A-Za-z0-9+/=]{32,})+"
# keys with a form of their own: (name, text that must be there, pattern); a group in the pattern is the secret
_SHAPES = [
    (name, hint, re.compile(shape))
    for name, hint, shape in (
        ("OpenAI or Anthropic key", "sk-", r"(?<![\w-])sk-(?=[\w-]*\d)(?=[\w-]*[A-Za-z]{3})[\w-]{20,}"),
        ("Stripe key", "k_live_", r"\b[rs]k_live_[A-Za-z0-9]{16,}"),
        ("Stripe key", "k_test_", r"\b[rs]k_test_[A-Za-z0-9]{16,}"),
        ("AWS key", "AKIA", r"\bAKIA[0-9A-Z]{16}\b"),
        ("AWS key", "ASIA", r"\bASIA[0-9A-Z]{16}\b"),
        *(("GitHub token", f"gh{letter}_", rf"\bgh{letter}_[A-Za-z0-9]{{30,}}") for letter in "oprsu"),
        ("GitHub token", "github_pat_", r"\bgithub_pat_\w{30,}"),
        ("GitLab token", "glpat-", r"\bglpat-[\w-]{20,}"),
        ("Google key", "AIza", r"\bAIza[\w-]{35}(?![\w-])"),
        ("Slack token", "xox", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
        ("Hugging Face token", "hf_", r"\bhf_[A-Za-z0-9]{30,}\b"),
        ("JWT", "eyJ", r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*"),
        ("private key", "PRIVATE KEY-----",
         rf"-----BEGIN {_PEM}(?:(?:[^-]|-(?!----))*-----END {_PEM}|{_BASE64_LINES})"),
        ("password in a web address", "://",
         r"\b[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/:@]{1,100}:([^\s/:@<>]{3,200})@"),
    )
]  # fmt: skip
_HINTS = [hint for _, hint, _ in _SHAPES]
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
# how many characters an account number has in each country (ISO 13616 registry, read 2026-11)
_IBAN_LENGTH = {
    country: int(length)
    for length, countries in {
        "15": "NO", "16": "BE", "18": "DK FI FO GL NL", "19": "MK SI", "20": "AT BA EE KZ LT LU XK",
        "21": "CH HR LI LV", "22": "BG BH CR DE GB GE IE ME RS VA", "23": "AE GI IL IQ TL",
        "24": "AD CZ DZ ES MD PK RO SA SE SK TN VG", "25": "LY PT", "26": "IS TR",
        "27": "BI DJ FR GR IT MC MR SM", "28": "AL AZ BY CY DO GT HU LB NI PL", "29": "BR EG PS QA UA",
        "30": "JO KW MU", "31": "MT SC",
    }.items()
    for country in countries.split()
}  # fmt: skip
_IBAN = re.compile(rf"\b[A-Za-z]{{2}}\d{{2}}(?:{_GAP}?[A-Za-z0-9]){{11,27}}")
_PHONE = re.compile(
    r"(?<![\w.,/-])(?:"
    r"(?:\+|00(?=[1-9]))\d{1,3}(?:[ .()/\u00a0-]{0,2}\d){6,13}"  # international
    r"|(?:1[ .-])?\(?[2-9]\d{2}\)?[ .-]\d{3}[ .-]\d{4}"  # North America
    r"|\(?0\d{2,4}\)?[ /-]\d{3,4}[ -]?\d{3,4}"  # with a leading 0 and an area code
    r"|(?P<plain>\d{8,12})"  # only after a word such as phone
    r")(?![\w-])(?![.,/]\d)"
)
_PHONE_WORD = re.compile(
    r"\b(?:phone|telephone|tel|mobile|cell|call|ring|reach|text|fax|whatsapp)\b[^\d\n]{0,25}$", re.I
)
_OTHER_NUMBER = re.compile(
    r"\b(?:order|invoice|tracking|serial|case|ticket|customer|reference|ref|booking|account|parcel|part|article|"
    r"model|card|isbn|vat)(?:[\s.:#]|\b(?:no|nr|number|id|code|is|was)\b)*$",
    re.I,
)
# numbers set aside for stories: Ofcom (07700 900000-999, 01632 960..., 020 7946 0...), North America 555-0100 to -0199
_STORY_NUMBER = re.compile(r"(?:44|0)?(?:7700900|1632960|2079460|113496|114496|808157)\d{3,4}|1?\d{3}55501\d{2}")
# what a text without private pieces mostly lacks, quickly seen; each is less than the pattern behind it asks for
_DIGIT_OR_AT = re.compile(r"[\d@]")
_LONG_NUMBER = re.compile(r"\d(?:[ .()/\u00a0\u202f-]{0,2}\d){6}")  # card and phone numbers
_IBAN_START = re.compile(r"\d(?<=[A-Za-z]{2}\d)\d")  # two letters and two digits; a search for a digit is quick


@dataclass(frozen=True)
class Span:
    """One private piece of a text, from `start` to `end`; `shown` is what may be printed of it."""

    start: int
    end: int
    code: str
    shown: str


def find_private(rows: Sequence[Row]) -> list[Finding]:
    """Secrets, card and account numbers, mail addresses and phone numbers in any text of a row, shown masked.

    One finding for each field and kind. Left out: addresses and numbers reserved for examples (example.com,
    07700 900...), and numbers that fail their check digit.
    """
    findings = []
    for row in rows:
        if not any(map(spans, _all_texts(row.data))):  # mostly: then nobody asks for the names of its fields
            continue
        for field, text in _texts(row.data):
            pieces = spans(text)
            if not pieces:
                continue
            for code, count in Counter(piece.code for piece in pieces).items():
                shown = next(piece.shown for piece in pieces if piece.code == code)
                findings.append(schema.finding(CODES, code, row, field, count, shown))
    return findings


def mask_private(text: str) -> str:
    """Return text with `<secret>`, `<card_number>`, `<iban>`, `<email>`, `<phone>` in place; JSON stays JSON."""
    while (masked := _mask_once(text)) != text:  # a mask can lay bare its neighbour
        text = masked
    return text


def spans(text: str) -> list[Span]:
    """The private pieces in order, none inside another; where two overlap the earlier kind of CODES counts."""
    searches = _searches(text)
    if not searches:
        return []
    taken, pieces = bytearray(len(text)), []
    for find in searches:
        for piece in find(text):
            if not any(taken[piece.start : piece.end]):
                taken[piece.start : piece.end] = b"\1" * (piece.end - piece.start)
                pieces.append(piece)
    return sorted(pieces, key=lambda piece: piece.start)


def _searches(text: str) -> list:
    """The searches that could find something; what each looks for first is less than its patterns ask for."""
    if not _DIGIT_OR_AT.search(text) and "PRIVATE KEY" not in text:
        return []
    lower = text.lower()
    is_possible = {
        _secrets: any(map(text.__contains__, _HINTS)) or any(map(lower.__contains__, _WORDS)),
        _cards: (number := _LONG_NUMBER.search(text)),
        _ibans: _IBAN_START.search(text),
        _mails: "@" in text,
        _phones: number,
    }
    return [find for find, sign in is_possible.items() if sign]


def _all_texts(value) -> list[str]:
    """Every text within a JSON value, in no order."""
    todo, texts = [value], []
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, dict):
            todo += value.values()
        elif isinstance(value, list):
            todo += value
    return texts


def _mask_once(text):
    pieces = spans(text)
    ends = [0, *(piece.end for piece in pieces)]
    starts = [*(piece.start for piece in pieces), len(text)]
    kept = [text[end:start] for end, start in zip(ends, starts, strict=True)]
    masked = kept[0] + "".join(f"<{piece.code}>{rest}" for piece, rest in zip(pieces, kept[1:], strict=True))
    if not pieces or schema.json_container(text) is None or schema.json_container(masked) is not None:
        return masked
    for piece in reversed(pieces):  # one at a time: a bare number of JSON becomes a string
        for mask in (f"<{piece.code}>", f'"<{piece.code}>"'):
            masked = text[: piece.start] + mask + text[piece.end :]
            if schema.json_container(masked) is not None:
                text = masked
                break
    return text


def _texts(data) -> Iterator[tuple[str, str]]:
    for field, value, _ in schema.walk(data):
        if isinstance(value, str):
            yield field, value


def _secrets(text):
    for name, hint, shape in _SHAPES:
        for match in shape.finditer(text) if hint in text else ():
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
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2]]
    return known and (sum(doubled) + sum(map(int, digits[-1::-2]))) % 10 == 0


def _ibans(text):
    for match in _IBAN.finditer(text):
        length = _IBAN_LENGTH.get(match[0][:2].upper())
        places = [index for index, char in enumerate(match[0]) if char.isalnum()]
        if length is None or len(places) < length:
            continue
        end = match.start() + places[length - 1] + 1
        value = re.sub(_GAP, "", text[match.start() : end]).upper()
        inside = end < len(text) and text[end].isalnum()
        if not inside and int("".join(str(int(char, 36)) for char in value[4:] + value[:4])) % 97 == 1:
            yield Span(match.start(), end, "iban", f"{value[:2]}... ending in {value[-2:]}")


def _mails(text):
    for match in _MAIL.finditer(text):
        if not _EXAMPLE_DOMAIN.search(match[0]):
            yield Span(*match.span(), "email", f"{match[0][0]}...@{match[0].partition('@')[2]}")


def _phones(text):
    for match in _PHONE.finditer(text):
        digits = re.sub(r"\D", "", match[0]).removeprefix("00")
        before = text[max(0, match.start() - 40) : match.start()]
        named = _PHONE_WORD.search(before)
        if _OTHER_NUMBER.search(before) or match["plain"] and not named or not 7 <= len(digits) <= 15:
            continue
        if not _STORY_NUMBER.fullmatch(digits):
            yield Span(*match.span(), "phone", f"{len(digits)} digits ending in {digits[-2:]}")
