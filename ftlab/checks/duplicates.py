"""Rows that repeat, resemble or contradict one another, and evaluation rows that stand in the training data.

The input of a chat is what stands before its last assistant turn, without the system turn; the answer is that turn.
What makes two inputs similar is said in `ftlab.data.similar`.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from sys import intern
from typing import NamedTuple

from ftlab.checks.texts import is_typo
from ftlab.data.findings import Finding, Row, file_of, finding, walk
from ftlab.data.jsonl import json_container
from ftlab.data.similar import HAN_KANA, UNSPACED, Exchange, as_json, exchange, find_similar, normalise, split_words
from ftlab.errors import shown

MAX_PARTNERS = 3  # of the words in one open place, neighbours in the alphabet that one is compared with
MAX_TYPO_WORDS = 30  # longer inputs with a typo are found by their similarity
MAX_POSTINGS = 5  # evaluation rows that one word sequence may stand in
MIN_CONTAINED_WORDS = 8  # shorter inputs stand in other texts by chance
NGRAMS = (13, 8, 5)  # words in a sequence (13: as in lm-eval); the first that stands in the input three times over
CACHED = 1 << 17  # chats of which words and values are kept while duplicates are looked for
CONTAINED = 0.5  # of an input's word sequences; one changed word in the middle leaves that much

FIELDS = {"exact_duplicate": "messages", "leak_contained": "messages"}  # of other codes: where input or answer stand

LONG_NUMBER = re.compile(r"\d{5}")  # an order, a customer or a telephone number: names a case, says nothing about it
DIGIT = re.compile(r"\d")
HAN_OR_KANA, THAI_AND_LIKE = re.compile(f"[{HAN_KANA}]"), re.compile(f"[{UNSPACED}]")
# a word that may be mistyped: in shorter ones (now, not), and beyond Greek and Cyrillic, a letter makes another word
TYPED_WORD = re.compile(r"[^\W\d_\u0590-\U0010ffff]{5,}")


def find_duplicates(rows: Sequence[Row], threshold: float = 0.8) -> list[Finding]:
    """Exact and near duplicates and contradictory answers among `rows`, one finding a row, in their order.

    A row that repeats an earlier one says no more. Answers contradict where the inputs are the same
    (`contradiction`) or differ in letter case, spacing, punctuation, identifying numbers or one typing error
    (`near_contradiction`), under the same system turn; the finding stands at the rarer answer, else at the later.
    An identifying number has five digits or more, or is a value of the row's own JSON answer; an answer that
    differs in it alone does not contradict. Two preference pairs contradict where the one's choice is the other's
    rejection, two unpaired rows where one answer is labelled good and bad. Only the last answer of a chat is compared.
    """
    chats = [exchange(row.data) for row in rows]
    kept, found = _exact_and_contradicting(rows, chats)
    crowd = _find_near_duplicates(chats, kept, found, threshold)
    return [
        _finding(rows[index], chats[index], code, rows[partner], *values)
        for index, (code, partner, *values) in sorted(found.items())
    ] + _crowded(rows, crowd)


def contradictions(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Each row whose answer contradicts another row's, as in `find_duplicates`, and that row."""
    _, found = _exact_and_contradicting(rows, [exchange(row.data) for row in rows])
    pairs = [(index, each[1]) for index, each in sorted(found.items()) if "contradiction" in each[0]]
    return [(rows[index], rows[partner]) for index, partner in pairs]


def _exact_and_contradicting(rows, chats) -> tuple[list[int], dict[int, tuple]]:
    """The rows that repeat no earlier one, and what is found so far: row to (code, partner, values)."""
    first = {}
    originals = [first.setdefault(_key(row.data), index) for index, row in enumerate(rows)]
    found = {index: ("exact_duplicate", original) for index, original in enumerate(originals) if original != index}
    copies = Counter(originals)
    kept = [index for index, original in enumerate(originals) if original == index and chats[index].text]
    _find_contradictions(chats, kept, copies, found)
    _find_near_contradictions(chats, kept, copies, found)
    _fields.cache_clear()
    _skeleton.cache_clear()
    return kept, found


def exact_repeats(rows: Sequence[Row]) -> Iterator[tuple[Row, Row]]:
    """Yield (row, earlier row) for each that is the earlier one letter for letter; what else looks alike may be meant.

    Compared are turns, tools, rejected answer and label.
    """
    first = {}
    for row in rows:
        original = first.setdefault(_key(row.data), row)
        if original is not row:
            yield row, original


def _key(data):
    """Equal for rows with the very same turns, tools, rejected answer and label."""
    return hash(as_json([data.get(name) for name in ("messages", "tools", "rejected", "label")]))


def _finding(row, chat, code, partner, *values):
    other_file = partner.file != row.file or code.startswith("leak")
    place = f"{partner.file}:{partner.line}" if other_file else f"line {partner.line}"
    field = FIELDS.get(code, chat.answer_field if "contradiction" in code else chat.text_field)
    return finding(code, row, field, place, *values)


def _crowded(rows, crowd) -> list[Finding]:
    return [finding("crowded", file_of(rows[crowd[0]]), "", len(crowd))] if crowd else []


# contradictions


def _find_contradictions(chats, kept, copies, found):
    for group in _groups((_question(chats[index], chats[index].text), index) for index in kept):
        for index, partner, paths in _differing({index: _answer(chats[index]) for index in group}, copies):
            found[index] = ("contradiction", partner, _difference(chats[index], chats[partner], paths))


def _find_near_contradictions(chats, kept, copies, found):
    """First inputs with the same skeleton, then, of the first input with each, those with one typo besides."""
    questions = {}
    for index in kept:
        if text := "".join(_skeleton(chats[index]).words):  # a space between words says nothing
            questions[index] = _question(chats[index], text)
    for group in _groups((question, index) for index, question in questions.items()):
        answers = {index: _answer(chats[index], _skeleton(chats[index]).names) for index in group}
        for index, partner, paths in _differing(answers, copies):
            if index not in found:
                same = split_words(chats[index].text) == split_words(chats[partner].text)
                how = "letter case, spacing or punctuation" if same else "a number that names the case"
                difference = _difference(chats[index], chats[partner], paths)
                found[index] = ("near_contradiction", partner, how, difference)
    first = {question: index for index, question in reversed(questions.items())}
    for a, b in _typos({index: chats[index] for index in first.values()}):
        index, partner = max(a, b), min(a, b)
        if index not in found:
            _add_typo(chats, index, partner, found)


def _question(chat: Exchange, text: str) -> tuple:
    """What two rows must share for their answers to be compared."""
    if chat.rejected is not None:
        return chat.system, text, frozenset(map(normalise, (chat.answer, chat.rejected)))
    return (chat.system, text) if chat.label is None else (chat.system, text, normalise(chat.answer))


def _groups(keyed) -> list[list[int]]:
    groups = defaultdict(list)
    for key, index in keyed:
        groups[key].append(index)
    return [group for group in groups.values() if len(group) > 1]


@lru_cache(maxsize=CACHED)
def _fields(chat: Exchange) -> dict[str, object]:
    """The values of a JSON answer by path; any other answer is one value at the path ''."""
    if chat.label is not None:
        return {"label": chat.label}
    value = json_container(chat.answer) if chat.rejected is None else None
    if not isinstance(value, dict):
        return {"": normalise(chat.answer)}
    return {path: item for path, item, _ in walk(value) if not isinstance(item, dict | list) or not item}


def _answer(chat: Exchange, names=frozenset()) -> dict[str, str]:
    """The fields as text, with each word blotted out that only copies the input's identifiers."""
    fields = {path: value if path == "" else as_json(value) for path, value in _fields(chat).items()}
    if names:
        blot = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, names))})(?!\w)", re.I)
        fields = {path: blot.sub("#", text) for path, text in fields.items()}
    return fields


def _differing(answers: dict[int, dict[str, str]], copies: Counter) -> Iterator[tuple[int, int, list[str]]]:
    """Yield (row, first row with the most frequent answer, paths that differ) for each row with another answer."""
    tally, first = Counter(), {}
    keys = {index: frozenset(answer.items()) for index, answer in answers.items()}
    for index, key in keys.items():
        tally[key] += copies[index]
        first.setdefault(key, index)
    usual = tally.most_common(1)[0][0]  # of two as frequent, the first seen
    for index, key in keys.items():
        if key != usual:
            yield index, first[usual], _paths(answers[index], answers[first[usual]])


def _paths(here: dict[str, str], there: dict[str, str]) -> list[str]:
    return [path for path in {**there, **here} if here.get(path) != there.get(path)]


def _difference(here: Exchange, there: Exchange, paths: list[str], show: int = 3) -> str:
    """Which values differ, in words: `tone: "neutral" there, "furious" here`."""
    new, old = _fields(here), _fields(there)
    parts = [f"{path or 'text'}: {_value(old, path)} there, {_value(new, path)} here" for path in paths[:show]]
    return "; ".join(parts) + (f"; and {len(paths) - show} more" if len(paths) > show else "")


def _value(fields, path):
    return "nothing" if path not in fields else "null" if fields[path] is None else shown(fields[path], 40)


class _Skeleton(NamedTuple):
    """The words of an input, with # for those that only name the case (`names`)."""

    words: list[str]
    names: frozenset[str]


@lru_cache(maxsize=CACHED)
def _skeleton(chat: Exchange) -> _Skeleton:
    words = list(map(intern, split_words(chat.text)))
    if not DIGIT.search(chat.text):
        return _Skeleton(words, frozenset())
    copied = set()  # values of the JSON answer that are strings with a digit and without a space, such as AB-1234
    for value in _fields(chat).values() if DIGIT.search(chat.answer) and chat.answer.lstrip()[:1] == "{" else ():
        if isinstance(value, str) and " " not in value and DIGIT.search(value):
            copied |= {word for word in split_words(value) if DIGIT.search(word)}
    names = frozenset(word for word in words if not word.isalpha() and (word in copied or LONG_NUMBER.search(word)))
    return _Skeleton(["#" if word in names else word for word in words] if names else words, names)


# typing errors


def _typos(chats: dict[int, Exchange]) -> Iterator[tuple[int, int]]:
    """Yield pairs of texts that have all words but one in common, place for place, and nearly that one.

    Every text gets a key for each place, with that one word left open; equal keys meet. The open words are compared
    in alphabetical order, each with the MAX_PARTNERS before it.
    """
    first, groups = {}, defaultdict(list)
    for index, chat in chats.items():
        if chat.text.count(" ") >= MAX_TYPO_WORDS:
            continue
        words, asked = _skeleton(chat).words, _question(chat, "")
        for place, word in enumerate(words) if len(words) <= MAX_TYPO_WORDS else ():
            if TYPED_WORD.fullmatch(word):
                key = hash((asked, *words[:place], None, *words[place + 1 :]))
                other = first.setdefault(key, (word, index))
                if other[1] != index:
                    groups[key].append((word, index))
    for key, members in groups.items():
        members = sorted([first[key], *members])
        for here, (word, index) in enumerate(members):
            for other, partner in members[max(0, here - MAX_PARTNERS) : here]:
                if is_typo(word, other):
                    yield index, partner


def _add_typo(chats, index, partner, found):
    """Record the pair if its inputs differ in one mistyped word and its answers in more than that."""
    here, there = chats[index], chats[partner]
    mine, others = _skeleton(here), _skeleton(there)
    if len(mine.words) != len(others.words):
        return
    pairs = [pair for pair in zip(mine.words, others.words, strict=True) if pair[0] != pair[1]]
    same_case = here.system == there.system and _question(here, "") == _question(there, "")
    if len(pairs) == 1 and is_typo(*pairs[0]) and same_case:
        names = mine.names | others.names | set(pairs[0])
        if paths := _paths(_answer(here, names), _answer(there, names)):
            how = f"one word ({', '.join(pairs[0])})"
            found[index] = ("near_contradiction", partner, how, _difference(here, there, paths))


# similarity


def _find_near_duplicates(chats, kept, found, threshold) -> list[int]:
    """Add them to `found`; give the rows that later ones were not compared with."""
    rest = [index for index in kept if index not in found]  # a contradiction says more than a resemblance

    def is_pair(here, there):  # another system turn may ask for another answer, and one choice for several rejections
        a, b = chats[rest[here]], chats[rest[there]]
        if (a.rejected, a.label, b.rejected, b.label) != (None,) * 4:
            return a.system == b.system and _answers_of(a) == _answers_of(b)
        return a.system == b.system or _answer(a) == _answer(b)

    nearest, crowd = find_similar([chats[index].text for index in rest], None, threshold, is_pair)
    for here, (there, similarity) in nearest.items():
        index, partner = rest[here], rest[there]
        answers = " and the answer is the same"
        if paths := _paths(_answer(chats[index]), _answer(chats[partner])):
            _add_typo(chats, index, partner, found)
            answers = f" and the answer differs ({_difference(chats[index], chats[partner], paths)})"
        if index not in found:
            found[index] = ("near_duplicate", partner, similarity, answers)
    return [rest[here] for here in crowd if here not in nearest]


def _answers_of(chat):
    return normalise(chat.answer), normalise(chat.rejected or ""), chat.label


# the evaluation set


def find_leaks(rows: Sequence[Row], against: Sequence[Row], threshold: float = 0.8) -> list[Finding]:
    """Training rows that hold an input of the evaluation set `against`: one finding a row, the gravest.

    `leak_exact`: the same input, whatever its case and spacing. `leak_near`: inputs of similarity `threshold`.
    `leak_contained`: the chat, its system turn left out, holds CONTAINED or more of the evaluation input's word
    sequences (NGRAMS; inputs of fewer than MIN_CONTAINED_WORDS words are not looked for).
    """
    chats, others = ([exchange(row.data) for row in part] for part in (rows, against))
    asked = [normalise(chat.text) for chat in chats]
    inputs = {text: index for index, other in reversed(list(enumerate(others))) if (text := normalise(other.text))}
    found = {index: ("leak_exact", inputs[text]) for index, text in enumerate(asked) if text in inputs}
    texts, other_texts = [chat.text for chat in chats], [other.text for other in others]
    nearest, crowd = find_similar(texts, other_texts, threshold)
    for index, (other, similarity) in nearest.items():
        found.setdefault(index, ("leak_near", other, similarity))
    whole = (f"{chat.text} {normalise(chat.answer)}" for chat in chats)
    for index, (other, share, size) in _contained(whole, other_texts).items():
        found.setdefault(index, ("leak_contained", other, share, size))
    leaks = [
        _finding(rows[index], chats[index], code, against[other], *values)
        for index, (code, other, *values) in sorted(found.items())
    ]
    return leaks + _crowded(against, crowd)


def _contained(texts, others: Sequence[str]) -> dict[int, tuple[int, float, int]]:
    """Map a text to (a text of `others`, the share of its word sequences found here, their length).

    A sequence in more than MAX_POSTINGS of the others, such as an instruction that all begin with, is left out.
    """
    postings, total, signs = defaultdict(lambda: defaultdict(list)), Counter(), {}
    for other, text in enumerate(others):
        words = split_words(text)
        signs[other] = _signs_per_word(words)
        if size := signs[other] * _ngram_size(len(words) // signs[other]):
            for gram in dict.fromkeys(_ngrams(words, size)):
                postings[size][gram].append(other)
    for size, grams in postings.items():
        postings[size] = {gram: owners for gram, owners in grams.items() if len(owners) <= MAX_POSTINGS}
        total.update(other for owners in postings[size].values() for other in owners)
    shortest = min(postings, default=0)
    beginnings = {gram[:shortest] for grams in postings.values() for gram in grams}
    best = {}
    for here, text in enumerate(texts if postings else ()):
        words = split_words(text)
        if beginnings.isdisjoint(_ngrams(words, shortest)):
            continue
        for size in sorted(postings, reverse=True):
            hits = Counter(other for gram in set(_ngrams(words, size)) for other in postings[size].get(gram, ()))
            for other, count in sorted(hits.items()):
                share = count / total[other]
                if share >= CONTAINED and share > best.get(here, (0, 0))[1]:
                    best[here] = (other, share, size // signs[other])
    return best


def _ngram_size(length: int) -> int:
    """How long the sequences of an input of `length` words are; 0 if it is too short to look for."""
    if length < MIN_CONTAINED_WORDS:
        return 0
    return next((size for size in NGRAMS if length >= 3 * size), NGRAMS[-1])


def _signs_per_word(words: list[str]) -> int:
    """About how many of what `split_words` gives make one word: signs of Chinese and Japanese, letters of Thai."""
    counts = Counter(2 if HAN_OR_KANA.match(word) else 4 if THAI_AND_LIKE.match(word) else 1 for word in words)
    return counts.most_common(1)[0][0] if counts else 1


def _ngrams(words: list[str], size: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(size)), strict=False)
