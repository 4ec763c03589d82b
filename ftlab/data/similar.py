"""Which texts resemble one another: the words of a text in any script, their overlap, and a search that scales.

Similarity is the Jaccard index of two texts' sets of words and word pairs: at 0.8 about one word in fifteen differs.
Candidates come from MinHash signatures in bands (Broder 1997; the library is rensa), then each is compared exactly.
A text that shares a band with MAX_ALIKE others is compared with them but not kept for later ones: so the work grows
with the number of texts, even where all follow one template, and `Similar.left_out` says how many were not kept.
"""

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from typing import NamedTuple

from ftlab.data.findings import Row, content_field
from ftlab.data.schema import rating
from ftlab.errors import DataError

SLOTS = 128  # of a MinHash signature
SEED = 20261
MAX_ALIKE = 500  # texts in the way of a search; of more, the later ones are not kept
# they join or shape letters (zero-width joiners, soft hyphen, word joiner, byte order mark) and are not seen
INVISIBLE = dict.fromkeys([0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF])
# scripts without spaces between words: Chinese and Japanese; Thai, Lao, Myanmar and Khmer, which are written in letters
HAN_KANA = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
UNSPACED = "\u0e01-\u0e4e\u0e80-\u0ece\u1000-\u109f\u1780-\u17d3"
SKIN_TONES = "\U0001f3fb-\U0001f3ff"  # they belong to the emoji before them
PIECE = 3  # letters of UNSPACED that stand for a word
ASCII_WORD = re.compile(r"[a-z0-9]+(?:(?<![a-z0-9]{2})#)?|[+*/%=<>^$]|-(?=\s?\d)(?<![^\s(]-)")  # 10, c#, +, -


class Exchange(NamedTuple):
    """What is compared of a chat: what stands before its last assistant turn, without the system turn; that turn."""

    system: str
    text: str  # normalised, with its letter case
    answer: str
    text_field: str
    answer_field: str
    rejected: str | None  # the worse answer of a preference pair
    label: bool | None  # of an unpaired (KTO) row: whether the answer is a good one


def exchange(data: dict) -> Exchange:
    """The last exchange of a row in our form."""
    messages = data.get("messages")
    turns = [turn if isinstance(turn, dict) else {} for turn in (messages if isinstance(messages, list) else [])]
    last = next((place for place in reversed(range(len(turns))) if turns[place].get("role") == "assistant"), None)
    before = turns if last is None else turns[:last]
    asked = [place for place, turn in enumerate(before) if turn.get("role") != "system"]
    return Exchange(
        normalise(" ".join(turn_text(turn) for turn in before if turn.get("role") == "system")),
        normalise(" ".join(turn_text(turns[place]) for place in asked), fold_case=False),
        "" if last is None else turn_text(turns[last]),
        content_field(asked[-1]) if asked else "messages",
        "messages" if last is None else content_field(last),
        turn_text(data["rejected"][-1]) if data.get("rejected") else None,
        rating(data),
    )


def turn_text(turn: dict) -> str:
    """The content of a turn and the tools that it calls, as text."""
    content, calls = turn.get("content"), turn.get("tool_calls")
    text = "" if content is None else content if isinstance(content, str) else as_json(content)
    return f"{text} {as_json(calls)}" if calls else text


as_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=str).encode  # whatever the order of keys


# words


def normalise(text: str, fold_case: bool = True) -> str:
    """Text as it is compared: Unicode NFKC, no invisible characters, single spaces and, as asked, no letter case."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(INVISIBLE)
    text = " ".join(text.split())
    return text.casefold() if fold_case else text


def split_words(text: str) -> list[str]:
    """The words of a text in lower case, in any script; signs that change a meaning (+, <, C#, an emoji) are words.

    A vowel sign or point (Unicode category M) belongs to its letter: Python's own \\w cuts Hindi and Arabic words
    there. Of scripts without spaces each Chinese or Japanese sign counts as a word, and each three letters in a row.
    """
    text = text.casefold()
    if text.isascii():
        return ASCII_WORD.findall(text)
    word, unspaced = _patterns()
    words = []
    for found in word.findall(text):
        letters = unspaced.findall(found)
        starts = range(max(1, len(letters) - PIECE + 1))
        words += ["".join(letters[start : start + PIECE]) for start in starts] if letters else [found]
    return words


@cache
def _patterns() -> tuple[re.Pattern, re.Pattern]:
    """Of a word in any script and of a letter of UNSPACED with its marks; made from Python's own Unicode tables."""
    kinds = defaultdict(list)
    for char in map(chr, range(0x20000)):
        kinds[unicodedata.category(char)].append(char)
    marks = "".join(kinds["Mn"] + kinds["Mc"] + kinds["Me"]) + SKIN_TONES
    signs = re.escape("".join(char for kind in ("Sm", "Sc", "So") for char in kinds[kind] if char not in "|~"))
    letter = rf"[{UNSPACED}][{marks}]*"
    words = (
        rf"[{HAN_KANA}][{marks}]*",
        rf"(?:{letter})+",
        r"(?<!\w)[a-z]#",
        rf"(?:[^\W_{HAN_KANA}{UNSPACED}]|[{marks}])+",
        rf"[{signs}*/%^][{marks}]*",
        r"(?<![^\s(])-(?=\s?\d)",
    )
    return re.compile("|".join(words)), re.compile(letter)


def shingles(text: str) -> set[str]:
    """The words and word pairs of a text."""
    words = split_words(text)
    return {*words, *(f"{a} {b}" for a, b in pairwise(words))}


def jaccard(a: set, b: set) -> float:
    """Shared members over all members."""
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)


# search


class Similar(NamedTuple):
    """`nearest` maps a text to (a text like it, their similarity); `left_out` texts were not kept for later ones."""

    nearest: dict[int, tuple[int, float]]
    left_out: list[int]


def find_similar(
    texts: Sequence[str],
    others: Sequence[str] | None = None,
    threshold: float = 0.8,
    is_pair: Callable[[int, int], bool] = lambda here, there: True,
) -> Similar:
    """For each text one of `others`, or without them one before it, whose similarity reaches `threshold`.

    `is_pair(text, other)` may refuse a pair. Texts without a word resemble nothing.
    """
    from rensa import RMinHashLSH

    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold <= 1:
        raise DataError(f"threshold is {threshold!r}; it must be above 0 and at most 1, such as 0.8")
    slots, bands = _bands(threshold)
    least = threshold - 4 * (threshold * (1 - threshold) / slots) ** 0.5 - 1e-9  # four standard errors below
    index, kept, left_out, nearest = RMinHashLSH(threshold, slots, bands), {}, [], {}

    def keep(place, signature, near):
        if len(near) < MAX_ALIKE:
            index.insert(place, signature)
            kept[place] = signature
        else:
            left_out.append(place)

    for there, signature, _ in _signed(others or (), slots):
        keep(there, signature, index.query(signature))
    partners = texts if others is None else others
    partner_set = lru_cache(maxsize=8192)(lambda place: shingles(partners[place]))
    for here, signature, words in _signed(texts, slots):
        near = sorted(index.query(signature))
        for there in near:
            if signature.jaccard(kept[there]) < least:
                continue
            similarity = jaccard(words, partner_set(there))
            if similarity >= threshold and is_pair(here, there):
                nearest[here] = there, similarity
                break
        if others is None:
            keep(here, signature, near)
    return Similar(nearest, left_out)


def _signed(texts, slots: int, block: int = 1000) -> Iterator[tuple[int, object, set[str]]]:
    """Yield (place, MinHash signature, shingles) of each text that has a word."""
    from rensa import RMinHash

    for start in range(0, len(texts), block):
        sets = {place: shingles(text) for place, text in enumerate(texts[start : start + block], start)}
        sets = {place: words for place, words in sets.items() if words}
        signatures = RMinHash.from_token_sets(sets.values(), slots, SEED)
        yield from zip(sets, signatures, sets.values(), strict=True)


def _bands(threshold: float) -> tuple[int, int]:
    """(slots, bands): as long bands as find 99.5 % of the pairs, 1 - (1 - threshold ** size) ** bands."""
    size = next(n for n in range(16, 0, -1) if n == 1 or (1 - threshold**n) ** (SLOTS // n) <= 0.005)
    return SLOTS // size * size, SLOTS // size


def clusters(rows: Sequence[Row], threshold: float = 0.8) -> list[list[Row]]:
    """Groups of two or more rows with similar inputs, largest first; a row joins an earlier one it resembles."""
    chats = [exchange(row.data) for row in rows]
    texts = [chat.text or normalise(chat.answer, fold_case=False) for chat in chats]
    first = {}
    root = [first.setdefault(text, place) if text else place for place, text in enumerate(texts)]
    distinct = list(first.values())
    for here, (there, _) in find_similar([texts[place] for place in distinct], None, threshold).nearest.items():
        root[distinct[here]] = root[distinct[there]]
    groups = defaultdict(list)
    for place, row in enumerate(rows):
        groups[root[root[place]]].append(row)
    return sorted((group for group in groups.values() if len(group) > 1), key=len, reverse=True)
