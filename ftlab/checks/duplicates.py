"""Rows that repeat, resemble or contradict one another, and evaluation rows that stand in the training data.

The input of a chat is what stands before its last assistant turn, without the system turn; the answer is that turn.
Similarity is the Jaccard index of the inputs' sets of words and word pairs: at 0.8 about one word in fifteen differs.
Candidates come from MinHash signatures (Broder 1997) in bands; each is then compared exactly. A row is held against
at most MAX_PARTNERS others a band, so that time and findings grow with the rows, whatever the size of a cluster.
Of each row a hash of its words and its signature are kept, about 1 kB; its text is read again where it matters.
"""

import json
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b
from itertools import pairwise
from os.path import commonprefix
from typing import NamedTuple

import numpy as np

from ftlab.data.schema import Finding, Row, content_field, finding
from ftlab.data.similar import normalise, split_words
from ftlab.errors import DataError

NUM_PERM = 128  # slots of a MinHash signature
SEED = 20261
MAX_PARTNERS = 3  # rows that one row is compared with in one band
MAX_POSTINGS = 5  # evaluation rows remembered for one word sequence
MIN_TYPO_LETTERS = 5  # in shorter words one letter makes another word (now, not)
MAX_TYPO_WORDS = 200  # longer inputs with a typo are found by their similarity
MIN_CONTAINED_WORDS = 8  # shorter inputs stand in other texts by chance
SHORT_NGRAMS = (8, 5)  # for inputs of less than 3 * ngram words
CONTAINED = 0.5  # of an input's word sequences; one changed word in the middle leaves that much

# code: (severity, message); every {} is filled in where the problem is seen
CODES = {
    "exact_duplicate": ("warning", "is {} once more, letter for letter; keep one, or training counts it twice"),
    "near_duplicate": (
        "warning",
        "resembles {} (similarity {:.2f}){}; keep both only where the difference teaches something",
    ),
    "contradiction": (
        "warning",
        "has the input of {} but another answer ({}); decide which is right, then mend or drop the other",
    ),
    "near_contradiction": (
        "warning",
        "has the input of {} save for {}, but another answer ({}); decide which is right, then mend or drop the other",
    ),
    "leak_exact": ("error", "has the input of {} of the evaluation set; drop the row, or the score measures memory"),
    "leak_near": (
        "warning",
        "resembles {} of the evaluation set (similarity {:.2f}); drop the row, or the score measures memory",
    ),
    "leak_contained": (
        "warning",
        "holds {}, an input of the evaluation set ({:.0%} of its {}-word sequences); drop the row, or the score lies",
    ),
}

# a word; a Chinese or Japanese character counts as one, for those scripts have no spaces
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
LONG_NUMBER = re.compile(r"\d{5}")  # an order, a customer or a telephone number: names a case, says nothing about it
DIGIT = re.compile(r"\d")
ODD = np.uint64(0x9E3779B97F4A7C15)
MASK = np.uint64(0x5851F42D4C957F2E)  # stands for any masked word


def find_duplicates(rows: Sequence[Row], threshold: float = 0.8) -> list[Finding]:
    """Exact and near duplicates and contradictory answers among `rows`, one finding a row, in their order.

    A row that repeats an earlier one says no more. Answers contradict where the inputs are the same
    (`contradiction`) or differ in letter case, spacing, punctuation, identifying numbers or one typing error
    (`near_contradiction`), under the same system turn; the finding stands at the rarer answer, else at the later.
    An identifying number has five digits or more, or is a value of the row's own JSON answer; an answer that
    differs in it alone does not contradict. Only the last answer of a chat is compared.
    """
    _check(threshold)
    chats, found = _Chats(rows), {}  # index: (code, index of the partner, values)
    for index in np.flatnonzero(chats.first != np.arange(len(chats.first))).tolist():
        found[index] = ("exact_duplicate", int(chats.first[index]))
    _find_contradictions(chats, found)
    _find_near_contradictions(chats, found)
    _find_near_duplicates(chats, found, threshold)
    return [
        _finding(chats[index], code, _place(rows[partner], rows[index]), *values)
        for index, (code, partner, *values) in sorted(found.items())
    ]


def duplicates_to_drop(rows: Sequence[Row]) -> list[Row]:
    """The rows that are an earlier row letter for letter; what else looks alike is for a person to decide."""
    first = {}
    return [row for index, row in enumerate(rows) if first.setdefault(_key(row.data), index) != index]


def find_leaks(rows: Sequence[Row], against: Sequence[Row], threshold: float = 0.8, ngram: int = 13) -> list[Finding]:
    """Training rows that hold an input of the evaluation set `against`: one finding a row, the gravest.

    `leak_exact`: the same input, whatever its case and spacing. `leak_near`: inputs of similarity `threshold`.
    `leak_contained`: the chat, its system turn left out, holds CONTAINED or more of the evaluation input's word
    sequences of length `ngram` (13 as in lm-eval's decontamination; 8 for inputs of fewer than 3 * 13 words, 5 for
    fewer than 24; inputs of fewer than MIN_CONTAINED_WORDS words are not looked for).
    """
    _check(threshold)
    if not isinstance(ngram, int) or ngram < 2:
        raise DataError(f"ngram is {ngram!r}; it must be a whole number of words, 2 or more")
    inputs = {}
    for index, row in enumerate(against):
        if text := normalise(_read(row).text):
            inputs.setdefault(text, index)
    found = {}
    for index, row in enumerate(rows):
        other = inputs.get(normalise(_read(row).text))
        if other is not None:
            found[index] = ("leak_exact", other)
    words, other_words = (_words(_split(_read(row).text) for row in part) for part in (rows, against))
    for index, (other, similarity) in _nearest(words, other_words, threshold).items():
        found.setdefault(index, ("leak_near", other, similarity))
    del words
    whole = _words(_split(f"{chat.text} {normalise(chat.answer)}") for chat in map(_read, rows))
    for index, (other, share, size) in _contained(whole, other_words, ngram).items():
        found.setdefault(index, ("leak_contained", other, share, size))
    return [
        _finding(_read(rows[index]), code, f"{against[other].file}:{against[other].line}", *values)
        for index, (code, other, *values) in sorted(found.items())
    ]


_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=str)


class _Chat(NamedTuple):
    """What is compared of one row: texts with their letter case, and the fields they come from."""

    system: str
    text: str
    answer: str
    text_field: str
    answer_field: str
    row: Row


class _Chats:
    """What is kept of all rows; the chat of a row is read again when it is asked for.

    Texts are told apart by 64-bit hashes: of a million different ones two are alike with a chance of 3 in 100 million.
    """

    def __init__(self, rows: Sequence[Row]):
        self.rows = rows
        seen, first, kept = {}, array("q"), array("q")
        self._system, self._same_input, self._same_skeleton, self._masked = (array("q") for _ in range(4))
        self.hashes = _Hashes()
        self.words = _words(self._splits(seen, first, kept), self.hashes)
        self.first = np.array(first)  # the first row with the very same messages (and tools)
        self.kept = np.array(kept)  # of these, the rows with an input; what follows is of them, in their order
        self.system, self.same_input, self.same_skeleton = map(
            np.array, (self._system, self._same_input, self._same_skeleton)
        )
        self.masked = np.array(self._masked)  # the places in words.flat that only name the case

    def _splits(self, seen, first, kept) -> Iterator[list[str]]:
        """Read every row once and yield the words of those that are kept."""
        start = 0
        for index, row in enumerate(self.rows):
            first.append(seen.setdefault(hash(_key(row.data)), index))
            chat = _read(row)
            if first[index] != index or not chat.text:
                continue
            split = _split(chat.text)
            skeleton = _skeleton(split, chat)
            kept.append(index)
            self._system.append(hash(chat.system))
            self._same_input.append(hash((chat.system, chat.text)))
            self._same_skeleton.append(hash((chat.system, skeleton.text)) if skeleton.text else 0)
            self._masked.extend(start + place for place in skeleton.places)
            start += len(split)
            yield split

    def __getitem__(self, index: int) -> _Chat:
        return _read(self.rows[index])


def _read(row: Row) -> _Chat:
    messages = row.data.get("messages")
    turns = [turn if isinstance(turn, dict) else {} for turn in (messages if isinstance(messages, list) else [])]
    replies = [index for index, turn in enumerate(turns) if turn.get("role") == "assistant"]
    last = replies[-1] if replies else len(turns)
    before = [index for index in range(last) if turns[index].get("role") != "system"]
    system = " ".join(_content(turn) for turn in turns[:last] if turn.get("role") == "system")
    text = " ".join(_content(turns[index]) for index in before)
    return _Chat(
        normalise(system),
        normalise(text, fold_case=False),
        _content(turns[last]) if replies else "",
        content_field(before[-1]) if before else "messages",
        content_field(last) if replies else "messages",
        row,
    )


def _content(turn):
    content, calls = turn.get("content"), turn.get("tool_calls")
    text = "" if content is None else content if isinstance(content, str) else _dump(content)
    return f"{text} {_dump(calls)}" if calls else text


def _dump(value):
    return _ENCODER.encode(value)


def _check(threshold):
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold <= 1:
        raise DataError(f"threshold is {threshold!r}; it must be above 0 and at most 1, such as 0.8")


def _key(data):
    """Equal for rows with the very same messages and tools."""
    messages = data.get("messages")
    if isinstance(messages, list) and "tools" not in data and all(map(_is_plain, messages)):
        return tuple([text for turn in messages for text in (turn["role"], turn["content"])])
    return _dump([messages, data.get("tools")])


def _is_plain(turn):
    if not isinstance(turn, dict) or len(turn) != 2:
        return False
    return isinstance(turn.get("role"), str) and isinstance(turn.get("content"), str)


def _place(row, seen_from):
    return f"line {row.line}" if row.file == seen_from.file else f"{row.file}:{row.line}"


def _finding(chat, code, place, *values):
    field = {
        "exact_duplicate": "messages",
        "contradiction": chat.answer_field,
        "near_contradiction": chat.answer_field,
        "leak_contained": "messages",
    }.get(code, chat.text_field)
    return finding(CODES, code, chat.row, field, place, *values)


# answers


def _fields(answer: str) -> dict[str, str]:
    """The values of a JSON answer by path, written as JSON; any other answer is one value at the path ''."""
    try:
        if (leaves := _leaves(answer)) is not None:
            return {path: _dump(value) for path, value in leaves}
    except RecursionError:
        pass
    return {"": normalise(answer)}


def _leaves(answer: str) -> list[tuple[str, object]] | None:
    """The values of an answer by path, those in an object within it too; None where it is no JSON object."""
    try:
        value = json.loads(answer) if answer.lstrip()[:1] == "{" else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        return None
    found, todo = [], [("", value)]
    while todo:
        path, value = here = todo.pop()
        if isinstance(value, dict) and (value or not path):
            inside = [(f"{path}.{key}" if path else key, item) for key, item in value.items()]
            todo += inside[::-1]
        else:
            found.append(here)
    return found


def _labels(answer: str, copied: frozenset[str]) -> dict[str, str]:
    """The values of an answer with each word that only copies the input's identifiers blotted out."""
    fields = _fields(answer)
    if not copied:
        return fields

    def blot(match):
        return "#" if match[0].casefold() in copied else match[0]

    return {path: WORD.sub(blot, value) for path, value in fields.items()}


def _difference(here: dict[str, str], there: dict[str, str], show: int = 3) -> str:
    """Which values differ, in words: `tone: "neutral" there, "furious" here`."""
    paths = [path for path in {**there, **here} if here.get(path) != there.get(path)]
    parts = []
    for path in paths[:show]:
        old, new = (_short(fields.get(path, "nothing")) for fields in (there, here))
        parts.append(f"{path or 'text'}: {old} there, {new} here")
    return "; ".join(parts) + (f"; and {len(paths) - show} more" if len(paths) > show else "")


def _short(text, length=40):
    return text if len(text) <= length else text[: length - 3] + "..."


def _differing(answers: dict[int, dict[str, str]], copies: Counter) -> Iterator[tuple[int, int, str]]:
    """Yield (row, first row with the most frequent answer, difference) for each row with another answer."""
    keys, tally = {index: frozenset(answer.items()) for index, answer in answers.items()}, Counter()
    for index, key in keys.items():
        tally[key] += copies[index]
    usual = tally.most_common(1)[0][0]  # of two as frequent, the first seen
    partner = next(index for index in answers if keys[index] == usual)
    for index in answers:
        if keys[index] != usual:
            yield index, partner, _difference(answers[index], answers[partner])


def _groups(keys: np.ndarray) -> Iterator[list[int]]:
    """The places of those that share a key, key by key; 0 is none."""
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    for run in _runs(keys):
        if keys[run.start]:
            yield order[run].tolist()


def _runs(keys: np.ndarray) -> Iterator[slice]:
    """Where two or more equal values stand in a row."""
    same = np.flatnonzero(keys[1:] == keys[:-1])
    for run in np.split(same, np.flatnonzero(np.diff(same) > 1) + 1) if len(same) else ():
        yield slice(run[0], run[-1] + 2)


def _find_contradictions(chats, found):
    copies = Counter(chats.first.tolist())
    for group in _groups(chats.same_input):
        indices = chats.kept[group].tolist()
        answers = {index: _fields(chats[index].answer) for index in indices}
        for index, partner, difference in _differing(answers, copies):
            found[index] = ("contradiction", partner, difference)


class _Skeleton(NamedTuple):
    """An input without what only names the case, and without spaces, punctuation and letter case."""

    text: str
    names: frozenset[str]  # the words that only name the case
    places: list[int]  # of these words


def _skeleton(split: list[str], chat: _Chat) -> _Skeleton:
    if not DIGIT.search(chat.text):
        return _Skeleton("".join(split), frozenset(), [])
    copied = _copied_values(chat.answer)
    places = [place for place, word in enumerate(split) if not word.isalpha() and _is_name(word, copied)]
    names, text = frozenset([split[place] for place in places]), split.copy()
    for place in places:
        text[place] = "#"
    return _Skeleton("".join(text), names, places)


def _is_name(word, copied):
    return word in copied or LONG_NUMBER.search(word)


def _copied_values(answer: str) -> set[str]:
    """The words with a digit of those JSON values that are strings without a space, such as AB-1234."""
    values = [value for _, value in _leaves(answer) or () if isinstance(value, str) and " " not in value]
    return {word for value in values if DIGIT.search(value) for word in _split(value) if DIGIT.search(word)}


def _names(chat) -> frozenset[str]:
    return _skeleton(_split(chat.text), chat).names


def _find_near_contradictions(chats, found):
    """First inputs with the same skeleton, then, of the first input with each, those with one typo besides."""
    copies, kept = Counter(chats.first.tolist()), chats.kept
    for group in _groups(chats.same_skeleton):
        members = {index: chats[index] for index in kept[group].tolist()}
        answers = {index: _labels(chat.answer, _names(chat)) for index, chat in members.items()}
        for index, partner, difference in _differing(answers, copies):
            if index not in found:
                how = _what_differs(members[index].text, members[partner].text)
                found[index] = ("near_contradiction", partner, how, difference)
    firsts = np.sort(np.unique(chats.same_skeleton, return_index=True)[1])
    spelling = {value: word for word, value in chats.hashes.items()}
    for a, b in _typos(firsts, chats.words, chats.masked, spelling):
        partner, index = int(kept[min(a, b)]), int(kept[max(a, b)])
        if index not in found:
            here, there = chats[index], chats[partner]
            _add_typo(here, there, index, partner, found, _names(here) | _names(there))


def _add_typo(here, there, index, partner, found, copied=frozenset()):
    """Record the pair if its inputs differ in one mistyped word and its answers in more than that."""
    typo = _one_typo(_split(here.text), _split(there.text), copied)
    if typo and here.system == there.system:
        copied = copied | set(typo)
        difference = _difference(_labels(here.answer, copied), _labels(there.answer, copied))
        if difference:
            found[index] = ("near_contradiction", partner, f"one word ({typo[0]}, {typo[1]})", difference)


def _what_differs(here, there):
    same = "".join(_split(here)) == "".join(_split(there))
    return "letter case, spacing or punctuation" if same else "a number that names the case"


# words


def _split(text: str) -> list[str]:
    return split_words(text)


class _Hashes(dict):
    """Word: 64-bit hash, the same in every process; its lowest bit says whether a typing error is looked for in it.

    Words of letters come again and are remembered; numbers would fill the memory.
    """

    def __missing__(self, word):
        raw = int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
        value = raw >> 1 << 1 | (len(word) >= MIN_TYPO_LETTERS and word.isalpha())
        if word.isalpha():
            self[word] = value
        return value


@dataclass
class _Words:
    """The words of many texts as hashes, one text behind another: text i is flat[starts[i]:starts[i + 1]]."""

    flat: np.ndarray  # (words,) uint64
    starts: np.ndarray  # (texts + 1,)

    def __len__(self):
        return len(self.starts) - 1

    @cached_property
    def lengths(self) -> np.ndarray:
        """(texts,) words of each; computed once, or what asks for it text by text takes the square of the time."""
        return np.diff(self.starts)

    def differ_in_one(self, here: int, there: int) -> bool:
        """True for two texts of one length that differ in one word."""
        a, b = (self.flat[self.starts[text] : self.starts[text + 1]] for text in (here, there))
        return len(a) == len(b) and np.count_nonzero(a != b) == 1

    def only(self, chosen: np.ndarray) -> "_Words":
        """The texts for which `chosen` is true."""
        starts = np.concatenate([[0], np.cumsum(self.lengths[chosen])])
        return _Words(self.flat[np.repeat(chosen, self.lengths)], starts)


def _words(texts: Iterable[list[str]], hashes: _Hashes | None = None) -> _Words:
    hashes, flat, starts = _Hashes() if hashes is None else hashes, array("Q"), array("q", [0])
    for text in texts:
        flat.extend(map(hashes.__getitem__, text))
        starts.append(len(flat))
    return _Words(np.frombuffer(flat, np.uint64) if flat else np.zeros(0, np.uint64), np.array(starts))


def _typos(texts: np.ndarray, words: _Words, masked: np.ndarray, spelling: dict[int, str]) -> Iterator[tuple[int, int]]:
    """Yield pairs of texts that have all words but one in common, place for place, and nearly that one.

    Every text gets a hash for each place, with that one word left open; equal hashes meet. In a large group the
    open words are compared in alphabetical order, each with the MAX_PARTNERS before it.
    """
    texts = texts[(words.lengths[texts] > 0) & (words.lengths[texts] <= MAX_TYPO_WORDS)].astype(np.int32)
    if not len(texts):
        return
    is_masked = np.zeros(len(words.flat), bool)
    is_masked[masked] = True
    blocks = np.array_split(texts, len(texts) // 4096 + 1)
    parts = zip(*(_open_places(words, is_masked, block) for block in blocks), strict=True)
    keys, owner, place = map(np.concatenate, parts)
    for top in range(16):  # a part of the keys at a time: sorting takes memory
        part = np.flatnonzero(keys >> np.uint64(60) == top)
        order = part[np.argsort(keys[part])]
        for run in _runs(keys[order]):
            members = order[run]
            hashes = words.flat[words.starts[owner[members]] + place[members]].tolist()
            open_words = sorted(zip(map(spelling.get, hashes), owner[members].tolist(), strict=True))
            for here, (word, text) in enumerate(open_words):
                for other, partner in open_words[max(0, here - MAX_PARTNERS) : here]:
                    if _is_typo(word, other):
                        yield text, partner


def _open_places(words, is_masked, texts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each word that may be mistyped: the hash of its text with this word left open, the text, the place in it."""
    lengths = words.lengths[texts]
    first = np.cumsum(lengths) - lengths
    owner = np.repeat(np.arange(len(texts)), lengths)
    place = np.arange(len(owner)) - first[owner]
    spots = words.starts[texts][owner] + place
    flat = np.where(is_masked[spots], MASK, words.flat[spots])
    powers = np.cumprod(np.full(MAX_TYPO_WORDS, ODD))
    weighted = flat * powers[place]
    keys = np.add.reduceat(weighted, first)[owner] - weighted + powers[place] * MASK
    mistakable = (flat & np.uint64(1)) == 1  # see _Hashes
    return keys[mistakable], texts[owner[mistakable]], place[mistakable].astype(np.int16)


def _one_typo(here: list[str], there: list[str], masked=frozenset()) -> tuple[str, str] | None:
    """The one pair of words in which two texts differ, if it looks like a typing error."""
    if len(here) != len(there):
        return None
    pairs = [(a, b) for a, b in zip(here, there, strict=True) if a != b and not (a in masked and b in masked)]
    return pairs[0] if len(pairs) == 1 and _is_typo(*pairs[0]) else None


def _is_typo(a: str, b: str) -> bool:
    """One letter more, less or other, or two neighbours swapped, in a word of some length; never its first letter."""
    if a == b or min(len(a), len(b)) < MIN_TYPO_LETTERS or a[0] != b[0] or not (a.isalpha() and b.isalpha()):
        return False
    start = len(commonprefix([a, b]))
    a, b = a[start:], b[start:]
    end = len(commonprefix([a[::-1], b[::-1]]))
    a, b = a[: len(a) - end], b[: len(b) - end]
    return max(len(a), len(b)) == 1 or (len(a) == 2 and a == b[::-1])


# similarity


def _find_near_duplicates(chats, found, threshold):
    is_open = ~np.isin(chats.kept, list(found))  # a contradiction says more than a resemblance
    rest, systems = chats.kept[is_open].tolist(), chats.system[is_open].tolist()
    chats.words = words = chats.words.only(is_open)  # in place of all of them, which are done with

    def is_pair(here, there):  # another system turn may ask for another answer
        if systems[here] == systems[there]:
            return True
        return _fields(chats[rest[here]].answer) == _fields(chats[rest[there]].answer)

    for here, (there, similarity) in _nearest(words, None, threshold, is_pair).items():
        index, partner = rest[here], rest[there]
        chat, other = chats[index], chats[partner]
        if words.differ_in_one(here, there):
            _add_typo(chat, other, index, partner, found)
        if index not in found:
            same = chat.answer == other.answer
            difference = "" if same else _difference(_fields(chat.answer), _fields(other.answer))
            answers = f" and the answer differs ({difference})" if difference else " and the answer is the same"
            found[index] = ("near_duplicate", partner, similarity, answers)


def _nearest(
    words: _Words, others: _Words | None, threshold: float, is_pair: Callable[[int, int], bool] | None = None
) -> dict[int, tuple[int, float]]:
    """Map a text to (a text of `others`, their Jaccard similarity) where it reaches `threshold`.

    Without `others` the partner is an earlier text of `words`. A band is a few slots of the signature: texts that
    agree in one are candidates. In each band a text meets the first, the last and one other that agree with it.
    """
    signatures = _signatures(words)
    other_signatures = signatures if others is None else _signatures(others)
    size = len(other_signatures)
    shingles = lru_cache(maxsize=4096)(lambda text: _shingle_set(words, text))
    other_shingles = shingles if others is None else lru_cache(maxsize=4096)(lambda text: _shingle_set(others, text))
    filled = np.flatnonzero(words.lengths if others is None else others.lengths)
    open_texts, nearest, compared = np.flatnonzero(words.lengths), {}, set()
    for number, band in enumerate(_bands(threshold)):
        keys, other_keys = _fold(signatures[open_texts, band]), _fold(other_signatures[filled, band])
        order = filled[np.argsort(other_keys, kind="stable")]
        sorted_keys = np.sort(other_keys)
        start = np.searchsorted(sorted_keys, keys)
        if others is None:
            rank = np.empty(len(words), np.int64)
            rank[order] = np.arange(len(order))
            agree = rank[open_texts] - start  # those before it
        else:
            agree = np.searchsorted(sorted_keys, keys, side="right") - start
        some = np.flatnonzero(agree)
        left, agree, start = open_texts[some], agree[some], start[some]
        any_of_them = (left * 7919 + number * 104729) % agree if len(left) else agree
        right = [order[start + offset] for offset in (0, agree - 1, any_of_them)]
        pairs = np.unique(np.concatenate([left * size + partner for partner in right]))
        now = {}
        for pair in _promising(pairs, size, signatures, other_signatures, threshold):
            here, there = divmod(pair, size)
            if here in now or pair in compared:
                continue
            similarity = _jaccard(shingles(here), other_shingles(there))
            if similarity >= threshold and (is_pair is None or is_pair(here, there)):
                now[here] = (there, similarity)
            else:
                compared.add(pair)
        nearest |= now
        open_texts = open_texts[~np.isin(open_texts, list(now))] if now else open_texts
    return nearest


def _promising(pairs, size, signatures, other_signatures, threshold) -> Iterator[int]:
    """The pairs whose signatures agree in nearly enough slots: four standard errors below the threshold."""
    least = threshold - 4 * (threshold * (1 - threshold) / NUM_PERM) ** 0.5 - 1e-9
    for chunk in np.array_split(pairs, len(pairs) // 8192 + 1):
        here, there = np.divmod(chunk, size)
        yield from chunk[(signatures[here] == other_signatures[there]).mean(axis=1) >= least].tolist()


def _bands(threshold: float) -> list[slice]:
    """As long bands as find 99.5 % of the pairs at the threshold: 1 - (1 - threshold ** length) ** number."""
    length = next(n for n in range(16, 0, -1) if n == 1 or (1 - threshold**n) ** (NUM_PERM // n) <= 0.005)
    return [slice(start, start + length) for start in range(0, NUM_PERM - length + 1, length)]


def _fold(slots: np.ndarray) -> np.ndarray:
    """One 64-bit key for each row of slots."""
    keys = np.zeros(len(slots), np.uint64)
    for column in slots.T:
        keys = _mix(keys + column)
    return keys


def _mix(values: np.ndarray) -> np.ndarray:
    values = values * ODD
    return values ^ (values >> np.uint64(29))


def _signatures(words: _Words, block: int = 4096) -> np.ndarray:
    """(texts, NUM_PERM) MinHash signatures; texts without words get one too and must not be compared."""
    from rensa import RMinHash

    result = np.zeros((len(words), NUM_PERM), np.uint32)
    for first in range(0, len(words), block):
        starts = words.starts[first : first + block + 1]
        shingles = _shingles(words.flat[starts[0] : starts[-1]], starts[1:] - starts[0] - 1)
        offsets = (2 * (starts - starts[0])).astype(np.uint64)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(shingles, offsets, NUM_PERM, SEED)
        result[first : first + block] = matrix.to_rows()
    return result


def _shingles(flat: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Each word and its pair with the next one; the last word of a text, having none, comes twice."""
    pairs = _mix(_mix(flat) + np.roll(flat, -1))
    last = last[last >= 0]
    pairs[last] = flat[last]
    return np.stack([flat, pairs], axis=1).ravel()


def _shingle_set(words: _Words, text: int) -> set:
    flat = words.flat[words.starts[text] : words.starts[text + 1]].tolist()
    return {*flat, *pairwise(flat)}


def _jaccard(a: set, b: set) -> float:
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)


# containment


def _contained(words: _Words, others: _Words, ngram: int) -> dict[int, tuple[int, float, int]]:
    """Map a text to (a text of `others`, the share of its word sequences found here, their length)."""
    sizes = np.array([_ngram_size(length, ngram) for length in others.lengths.tolist()], np.int64)
    best = {}
    for size in sorted(set(sizes.tolist()) - {0}, reverse=True):
        grams, owner = _ngrams(others, np.flatnonzero(sizes == size), size)
        total = np.bincount(owner, minlength=len(others))
        for block in np.array_split(np.arange(len(words)), len(words) // 4096 + 1):
            for text, other, count in _shared(*_ngrams(words, block, size), grams, owner):
                share = count / total[other]
                if share >= CONTAINED and share > best.get(text, (0, 0))[1]:
                    best[text] = (other, float(share), size)
    return best


def _ngram_size(length: int, ngram: int) -> int:
    """How long the sequences of an input of `length` words are; 0 if it is too short to look for."""
    if length < MIN_CONTAINED_WORDS:
        return 0
    sizes = [size for size in (ngram, *SHORT_NGRAMS) if size <= ngram]
    return next((size for size in sizes if length >= 3 * size), sizes[-1])


def _ngrams(words: _Words, texts: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The distinct word sequences of each text as hashes, sorted, and the text of each."""
    if not len(texts):
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    counts = np.maximum(words.lengths[texts] - size + 1, 0)
    owner = np.repeat(texts, counts)
    place = words.starts[owner] + np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    grams = np.zeros(len(owner), np.uint64)
    for step in range(size):
        grams = _mix(grams + words.flat[place + step])
    order = np.lexsort((owner, grams))
    grams, owner = grams[order], owner[order]
    new = np.ones(len(grams), bool)
    new[1:] = (np.diff(grams) != 0) | (np.diff(owner) != 0)
    return grams[new], owner[new]


def _shared(grams, owner, other_grams, other_owner) -> Iterator[tuple[int, int, int]]:
    """Yield (text, other text, number of sequences they share); a sequence of many others counts for the first few."""
    start = np.searchsorted(other_grams, grams)
    shared = np.searchsorted(other_grams, grams, side="right") - start
    pairs = []
    for step in range(MAX_POSTINGS):
        hit = shared > step
        pairs.append(owner[hit] * (1 << 32) + other_owner[start[hit] + step])
    values, counts = np.unique(np.concatenate(pairs), return_counts=True)
    for pair, count in zip(values.tolist(), counts.tolist(), strict=True):
        yield pair >> 32, pair & (1 << 32) - 1, count
