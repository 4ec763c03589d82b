"""What an answer is (a JSON record, a label, several labels or a text), and scores of each kind in one shape.

`score(kind, predictions, references)` gives `RecordScores`, `LabelScores`, `SetScores` or `TextScores`. Each has
`kind`; `metrics`, the names of its scores, the kind's default first; `values(name)`, one number an example in an array
of shape (n,), as `statistics.compare` takes them; `summary()`, each score's mean with its interval; `field_values()`,
the scores of each field (records) or label (its recall), NaN for examples without it, and `field_table()`, their means,
both empty for texts; and `table()`, header and rows to read in a report.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from ftlab.errors import DataError, shown
from ftlab.evaluation.metrics import RecordScores, as_record, check_texts, exact_text, score_records, words
from ftlab.evaluation.statistics import Interval, basis, present_interval, score_interval
from ftlab.tables import html_table

KINDS = {
    "record": ("field_accuracy", "exact_match", "valid_json"),
    "label": ("exact_match", "macro_f1", "known_label"),
    "labels": ("micro_f1", "exact_match", "first_label", "known_label"),
    "text": ("chrf", "rouge_l", "exact_match", "length_ratio"),
}
METRICS = tuple(dict.fromkeys(name for names in KINDS.values() for name in names))
LABEL_LETTERS = 60  # a longer answer is no label
COMES_BACK = 3  # as often each label occurs, on average
QUOTES = " \"'`*_“”‘’„«»"
CONFUSIONS = 3  # of a label, in its table


def answer_kind(answers: Sequence[str | dict]) -> str:
    """ "record", "label" or "text": what the answers to a task are; give it as many as there are.

    record: at least half are JSON objects with fields (the others are faults, to be named). label: none is longer than
    60 letters or than one line, and each comes back three times on average. text: all else. Several labels in one
    answer look like a label or a text: say `answer: labels`.
    """
    if not len(answers):
        raise DataError("there are no answers to tell the kind of: give at least one")
    if 2 * sum(bool(as_record(answer)) for answer in answers) >= len(answers):
        return "record"
    texts = [str(answer).strip() for answer in answers]
    short = all(len(text) <= LABEL_LETTERS and "\n" not in text for text in texts)
    return "label" if short and COMES_BACK * len(set(texts)) <= len(texts) else "text"


def score(
    kind: str,
    predictions: Sequence[str],
    references: Sequence[str | dict],
    schema: dict | None = None,
    labels: Sequence[str] | None = None,
):
    """Scores of answers of a kind, one by one.

    `schema` is for records, `labels` (else the references') for both kinds of labels.
    """
    if kind not in KINDS:
        raise DataError(f"kind {kind!r} is unknown: choose one of {', '.join(KINDS)}")
    if kind == "record":
        return score_records(predictions, references, schema)
    if kind == "text":
        return score_texts(predictions, references)
    return (score_labels if kind == "label" else score_sets)(predictions, references, labels)


@dataclass(frozen=True, eq=False, repr=False)
class _Scores:
    """Scores of every example by metric, and the texts that were compared."""

    scores: dict[str, np.ndarray]
    predicted: tuple[str, ...]
    references: tuple[str, ...]

    def __len__(self):
        return len(self.references)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the scores, the default first."""
        return tuple(self.scores)

    def values(self, metric: str) -> np.ndarray:
        """One number an example, shape (n,)."""
        return self.scores[metric]

    def summary(self, groups: Sequence | None = None) -> dict[str, Interval]:
        """Each metric's mean with its 95 % interval; `groups`: a name an example, alike where they belong together."""
        return {name: score_interval(values, groups) for name, values in self.scores.items()}

    def field_table(self, groups: Sequence | None = None) -> dict[str, Interval]:
        """For each label, the share of its examples that was answered with it (recall); empty for texts."""
        return {name: present_interval(values, groups) for name, values in self.field_values().items()}

    def __repr__(self):
        lines = [f"  {name:24} {interval}" for name, interval in self.summary().items()]
        return "\n".join([f"{type(self).__name__}, {basis(len(self))}", *lines])

    def _repr_html_(self):
        metrics = [(name, repr(each), each.n, each.method) for name, each in self.summary().items()]
        header, rows = self.table()
        return html_table([("score", "mean [95 % interval]", "n", "interval"), *metrics]) + html_table([header, *rows])


# --- labels


class LabelScores(_Scores):
    """Answers that are one label each, as `label_text` leaves them.

    exact_match: right or wrong. macro_f1: F1 of each label that a reference has, every label counting alike. It is no
    mean over examples; `values` holds each example's part in it to first order (its mean is the macro F1, and its
    spread that of the macro F1), so that intervals and paired comparisons work. known_label: is the answer a label?
    """

    kind = "label"

    def field_values(self) -> dict[str, np.ndarray]:
        """Label -> right or wrong, NaN where the reference is another label; the most frequent label first."""
        right, truth = self.scores["exact_match"], np.array(self.references)
        labels = [label for label, _ in Counter(self.references).most_common()]
        return {label: np.where(truth == label, right, np.nan) for label in labels}

    def table(self) -> tuple[list[str], list[list[str]]]:
        """(header, rows): precision, recall, F1 and examples of each label, and what it was mostly taken for."""
        from sklearn.metrics import precision_recall_fscore_support

        labels = list(self.field_table())
        figures = precision_recall_fscore_support(self.references, self.predicted, labels=labels, zero_division=0)
        wrong = {label: Counter() for label in labels}
        for right, given in zip(self.references, self.predicted, strict=True):
            wrong[right].update([given] if given != right else [])
        rows = [
            [label, *(f"{100 * x:.1f} %" for x in each), str(support), _most(wrong[label])]
            for label, *each, support in zip(labels, *figures, strict=True)
        ]
        return ["label", "precision", "recall", "F1", "examples", "taken for"], rows


def score_labels(
    predictions: Sequence[str], references: Sequence[str], labels: Sequence[str] | None = None
) -> LabelScores:
    """Score answers that are one label each.

    White space and capitals, quotes and emphasis around the label, and a full stop after it do not count, unless two
    of the labels would become one by it: then they count as they stand. Nothing else is forgiven.
    """
    check_texts(predictions, references)
    known = {text.strip() for text in (*references, *(labels or ()))}
    read = label_text if len({label_text(text) for text in known}) == len(known) else str.strip
    predicted, truth = tuple(map(read, predictions)), tuple(map(read, references))
    known = set(map(read, known))
    scores = {
        "exact_match": np.array([a == b for a, b in zip(predicted, truth, strict=True)], dtype=float),
        "macro_f1": macro_f1(predicted, truth),
        "known_label": np.array([text in known for text in predicted], dtype=float),
    }
    return LabelScores(scores, predicted, truth)


def label_text(text: str) -> str:
    """A label without capitals, white space, quotes and emphasis around it, or a full stop after it."""
    plain = " ".join(text.split()).strip(QUOTES).removesuffix(".").strip(QUOTES).casefold()
    return plain or text.strip()


def macro_f1(predicted: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """The examples' parts in the macro F1 over the labels of the references, shape (n,); their mean is the macro F1.

    With F1 = 2 TP / (P + R) (P answers with the label, R examples of it), an example moves a label's F1 by
    (2 [it is a TP] - F1 [it is in P] - F1 [it is in R]) n / (P + R), the influence function of the ratio.
    """
    labels = np.array(sorted(set(references)))
    given, right = np.array(predicted)[:, None] == labels, np.array(references)[:, None] == labels
    size = given.sum(axis=0) + right.sum(axis=0)
    f1 = 2 * (given & right).sum(axis=0) / size
    moved = len(references) * (2 * (given & right) - f1 * given - f1 * right) / size
    return (f1 + moved).mean(axis=1)


def _most(wrong: Counter) -> str:
    return ", ".join(f"{shown(label)} ({count})" for label, count in wrong.most_common(CONFUSIONS))


# --- several labels


class SetScores(_Scores):
    """Answers that are several labels with commas between them, as `labels_of` reads them.

    micro_f1: F1 of the labels of all examples together, so that a frequent label counts more. It is no mean over
    examples; `values` holds each one's part in it to first order, as for macro_f1. exact_match: all labels are there
    and no other, in whatever order. first_label: the first is the right first. known_label: are all of them labels?
    """

    kind = "labels"

    def field_values(self) -> dict[str, np.ndarray]:
        """Label -> whether it was given, NaN where the reference lacks it; the most frequent label first."""
        pairs = [(set(labels_of(given)), set(labels_of(right)))
                 for given, right in zip(self.predicted, self.references, strict=True)]  # fmt: skip
        counts = Counter(label for _, right in pairs for label in sorted(right))
        return {label: np.array([float(label in given) if label in right else np.nan for given, right in pairs])
                for label, _ in counts.most_common()}  # fmt: skip

    def table(self) -> tuple[list[str], list[list[str]]]:
        """(header, rows): precision, recall, F1 and examples of each label of the references."""
        given, right = ([set(labels_of(text)) for text in texts] for texts in (self.predicted, self.references))
        rows = []
        for label in self.field_values():
            hits = sum(label in a and label in b for a, b in zip(given, right, strict=True))
            sizes = [sum(label in each for each in sets) for sets in (given, right)]
            shares = (hits / max(1, sizes[0]), hits / sizes[1], 2 * hits / sum(sizes))
            rows.append([label, *(f"{100 * share:.1f} %" for share in shares), str(sizes[1])])
        return ["label", "precision", "recall", "F1", "examples"], rows


def score_sets(predictions: Sequence[str], references: Sequence[str], labels: Sequence[str] | None = None) -> SetScores:
    """Score answers that are several labels; `labels` are answers, too, in which further labels are known."""
    check_texts(predictions, references)
    given, right = (list(map(labels_of, texts)) for texts in (predictions, references))
    if empty := [number for number, each in enumerate(right, 1) if not each]:
        raise DataError(f"reference {empty[0]}: has no label; write at least one, with commas between several")
    known = {label for text in (*references, *(labels or ())) for label in labels_of(text)}
    pairs = list(zip(given, right, strict=True))
    scores = {
        "micro_f1": micro_f1(given, right),
        "exact_match": np.array([set(a) == set(b) for a, b in pairs], dtype=float),
        "first_label": np.array([a[:1] == b[:1] for a, b in pairs], dtype=float),
        "known_label": np.array([bool(a) and set(a) <= known for a in given], dtype=float),
    }
    return SetScores(scores, tuple(predictions), tuple(references))


def labels_of(text: str) -> tuple[str, ...]:
    """The different labels of an answer in their order: what stands between commas, without white space and quotes."""
    return tuple(dict.fromkeys(label for part in text.split(",") if (label := " ".join(part.split()).strip(QUOTES))))


def micro_f1(given: Sequence[Sequence[str]], right: Sequence[Sequence[str]]) -> np.ndarray:
    """The examples' parts in the micro F1, shape (n,); their mean is the micro F1.

    With F1 = 2 TP / (P + R) over all labels of all examples (P given, R right), an example with tp, p and r of them
    moves it by (2 tp - F1 (p + r)) n / (P + R), the influence function of the ratio.
    """
    hits = np.array([len(set(a) & set(b)) for a, b in zip(given, right, strict=True)])
    sizes = np.array([len(set(a)) + len(set(b)) for a, b in zip(given, right, strict=True)])
    f1 = 2 * hits.sum() / sizes.sum()
    return f1 + (2 * hits - f1 * sizes) * len(hits) / sizes.sum()


# --- texts


class TextScores(_Scores):
    """Free texts against one reference each; every score is from 0 to 1 and 1 for the same text.

    chrf: F score of the character n-grams up to 6, recall counting twice (Popović 2015; sacrebleu's sentence chrF over
    100): no word lists, works in any language, forgives an ending. rouge_l: F1 of the longest common subsequence of
    words (Lin 2004), which order matters for. length_ratio: words of the shorter over words of the longer. None of
    them knows what a text means: for facts or a voice, read examples, or let people judge blindly.
    """

    kind = "text"

    def field_values(self) -> dict[str, np.ndarray]:
        """Texts have no parts."""
        return {}

    def table(self) -> tuple[list[str], list[list[str]]]:
        """(header, rows): what the answers look like beside the references."""
        figures = {
            "words, median": lambda texts: f"{np.median([len(words(text)) for text in texts]):.0f}",
            "words, all together": lambda texts: f"{sum(len(words(text)) for text in texts):,}",
            "empty": lambda texts: f"{sum(not text.strip() for text in texts):,}",
            "different from each other": lambda texts: f"{len(set(texts)):,}",
        }
        rows = [[name, count(self.predicted), count(self.references)] for name, count in figures.items()]
        return ["", "answers", "references"], rows


def score_texts(predictions: Sequence[str], references: Sequence[str]) -> TextScores:
    """Score texts, each against its reference."""
    check_texts(predictions, references)
    pairs = list(zip(predictions, references, strict=True))
    scores = {
        "chrf": np.array([chrf(*pair) for pair in pairs]),
        "rouge_l": np.array([rouge_l(*pair) for pair in pairs]),
        "exact_match": exact_text(predictions, references),
        "length_ratio": np.array([length_ratio(*pair) for pair in pairs]),
    }
    return TextScores(scores, tuple(predictions), tuple(references))


def chrf(prediction: str, reference: str) -> float:
    """Sentence chrF (character 6-grams, beta 2, white space left out), from 0 to 1."""
    if not prediction.split() or not reference.split():
        return float(prediction.split() == reference.split())
    return _chrf().sentence_score(prediction, [reference]).score / 100


@cache
def _chrf():
    from sacrebleu.metrics import CHRF

    return CHRF()


def rouge_l(prediction: str, reference: str) -> float:
    """F1 of the longest common subsequence of words, in lower case and without punctuation."""
    from rapidfuzz.distance import LCSseq

    given, right = words(prediction), words(reference)
    if not given or not right:
        return float(given == right)
    return 2 * LCSseq.similarity(given, right) / (len(given) + len(right))


def length_ratio(prediction: str, reference: str) -> float:
    """Words of the shorter text over words of the longer one."""
    sizes = sorted((len(words(prediction)), len(words(reference))))
    return sizes[0] / sizes[1] if sizes[1] else 1.0


Scores = RecordScores | LabelScores | SetScores | TextScores
