"""How texts are written, counted: their words against those of other texts, how they open and close, their lengths.

What a text is about is masked first ({name}, {item}), so that a style is counted and not the orders of a week. A style
is measured on texts that somebody has called right; the rest of the pile shows what they leave out.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact, norm
from sklearn.feature_extraction.text import CountVectorizer

from ftlab.errors import DataError
from ftlab.evaluation.statistics import Interval, wilson

SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
OPENING = re.compile(r"[^.,!?:\n]*[.,!?:]?")  # up to the first stop
TERM = r"(?u)\{\w+\}|\b\w+\b"  # a masked fact is a word
ALPHA = 0.05
PRIOR = 10  # texts' worth of belief that a word is as frequent in both piles
LEAST = 5  # texts that must have a word before anything is said about it
COMMON = 0.10  # a form of opening or closing that fewer house texts have is not the house's
ALWAYS = 0.90  # a fact that so many house texts name belongs to the style
SPAN = (5, 95)  # percentiles that the house's lengths are said to lie between


@dataclass(frozen=True, repr=False)
class Style:
    """What n texts of a house do; forms by their share, lengths from the 5th to the 95th percentile."""

    n: int
    opens: dict[str, Interval]
    closes: dict[str, Interval]
    names: tuple[str, ...]  # masked facts that nearly all of them name
    sentences: tuple[int, int]  # in a text
    words: tuple[int, int]  # in a text
    avoided: tuple[str, ...]  # words that the other texts have and none of these, more than chance (exact, all words)
    at_most: float  # share of house texts that may have an avoided word all the same (95 %)

    def kept(self, text: str, facts: Mapping[str, str]) -> dict[str, bool]:
        """Which habits a text keeps."""
        text = masked(text, facts)
        used = {term.lower() for term in re.findall(TERM, text)}
        length, words = len(sentences(text)), len(text.split())
        return {
            "opens": opening(text) in self.opens,
            "closes": closing(text) in self.closes,
            "names": all(fact in text for fact in self.names),
            "length": self.sentences[0] <= length <= self.sentences[1] and self.words[0] <= words <= self.words[1],
            "avoids": not used & set(self.avoided),
        }

    def score(self, text: str, facts: Mapping[str, str]) -> float:
        """The share of the habits that a text keeps."""
        return float(np.mean([*self.kept(text, facts).values()]))

    def __repr__(self):
        forms = {"opens with": self.opens, "closes with": self.closes}
        lines = [f"Style of {self.n} texts"]
        lines += [f"  {how} {form!r}: {share}" for how, all_of in forms.items() for form, share in all_of.items()]
        lines += [f"  names {', '.join(self.names) or 'no fact in particular'}"]
        lines += [f"  {self.sentences[0]} to {self.sentences[1]} sentences, {self.words[0]} to {self.words[1]} words"]
        lines += [f"  never (0 of {self.n}, at most {self.at_most:.1%}): {', '.join(self.avoided) or 'nothing found'}"]
        return "\n".join(lines)


def measure_style(house: Sequence[str], other: Sequence[str]) -> Style:
    """The style of masked texts; what they avoid is found against `other`: texts on the same matters, not right."""
    _refuse_few(house=house, other=other)
    lengths = [len(sentences(text)) for text in house], [len(text.split()) for text in house]
    ends = [tuple(int(end) for end in np.percentile(each, SPAN, method="closest_observation")) for each in lengths]
    facts = sorted({fact for text in house for fact in re.findall(r"\{\w+\}", text)})
    names = tuple(fact for fact in facts if np.mean([fact in text for text in house]) >= ALWAYS)
    words = distinctive_words(house, other, longest=1)
    never = words[words["house"] == 0].sort_values("other", ascending=False)
    tables = ([[0, len(house)], [count, len(other) - count]] for count in never["other"])
    chance = [fisher_exact(table, alternative="less").pvalue * len(words) for table in tables]  # Bonferroni
    avoided = tuple(word for word, p in zip(never.index, chance, strict=True) if p < ALPHA)
    opens, closes = (forms([take(text) for text in house]) for take in (opening, closing))
    return Style(len(house), opens, closes, names, *ends, avoided, wilson(0, len(house)).high)


def distinctive_words(
    house: Sequence[str], other: Sequence[str], longest: int = 2, alpha: float = ALPHA
) -> pd.DataFrame:
    """Words (and runs of up to `longest`) by how much oftener the house's texts have them than others; strongest first.

    `log_odds` is the log of the odds that a house text has the word, less that of the others: 0.7 is twice the odds.
    Each pile is mixed with PRIOR texts that have the word as often as both piles together, so that rare words are drawn
    to 0 (Monroe, Colaresi and Quinn 2008, Political Analysis 16:372; here a text has a word or not, since a second use
    in one text is no second witness). The intervals hold for all words at once (Bonferroni).
    """
    _refuse_few(house=house, other=other)
    vectorizer = CountVectorizer(ngram_range=(1, longest), token_pattern=TERM, binary=True, min_df=LEAST)
    try:
        has = vectorizer.fit_transform([*house, *other]).toarray()
    except ValueError as error:
        raise DataError(f"no word stands in {LEAST} of these texts: give more, or longer ones") from error
    counts, sizes = (has[: len(house)].sum(0), has[len(house) :].sum(0)), (len(house), len(other))
    usual = (counts[0] + counts[1]) / sum(sizes)
    odds, variance = [], 0.0
    for count, size in zip(counts, sizes, strict=True):
        with_it, without = count + PRIOR * usual, size - count + PRIOR * (1 - usual)
        without = np.maximum(without, 0.5)  # a word that every text has
        odds.append(np.log(with_it / without))
        variance = variance + 1 / with_it + 1 / without
    half = norm.ppf(1 - alpha / 2 / len(usual)) * np.sqrt(variance)
    table = pd.DataFrame(
        {"house": counts[0], "other": counts[1], "log_odds": odds[0] - odds[1]},
        index=vectorizer.get_feature_names_out(),
    )
    table["low"], table["high"] = table["log_odds"] - half, table["log_odds"] + half
    return table.loc[(table["log_odds"].abs() / half).sort_values(ascending=False).index]


def masked(text: str, facts: Mapping[str, str]) -> str:
    """The text with each fact, where it stands as a whole word, replaced by its name in braces."""
    for name, value in facts.items():
        text = re.sub(rf"\b{re.escape(value)}\b", f"{{{name}}}", text, flags=re.IGNORECASE)
    return text


def sentences(text: str) -> list[str]:
    """Sentences of a text: they end with a stop or a line."""
    return [part for part in SENTENCE_END.split(text.strip()) if part]


def opening(text: str) -> str:
    """A text up to its first stop, which in mail is the greeting."""
    return OPENING.match(text.strip())[0]


def closing(text: str) -> str:
    """The last sentence of a text."""
    return (sentences(text) or [""])[-1]


def forms(values: Sequence[str], least: float = COMMON) -> dict[str, Interval]:
    """Values by their share, the most frequent first; those of less than `least` are left out."""
    found = Counter(values).most_common()
    return {value: wilson(count, len(values)) for value, count in found if count / len(values) >= least}


def _refuse_few(**piles):
    for name, texts in piles.items():
        if len(texts) < LEAST or not all(isinstance(text, str) for text in texts):
            raise DataError(f"{name}: {len(texts)} texts, or some that are none: a style is counted on {LEAST} or more")
