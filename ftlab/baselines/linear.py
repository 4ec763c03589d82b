"""The baseline without a language model: a linear classifier on words and letters, for labels or fields of a record.

TF-IDF of words, word pairs and pieces of 2 to 5 letters, then a linear support vector machine (scikit-learn): seconds
to train, no prompt, no GPU. It can only choose among values that it was shown, or copy what fits a pattern.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ftlab.baselines.choice import pattern_values, refuse_free_text
from ftlab.baselines.prompting import Asked, input_and_answer, text_of
from ftlab.errors import DataError
from ftlab.evaluation.answers import answer_kind, labels_of
from ftlab.evaluation.generation import Generations
from ftlab.evaluation.metrics import parse_record

WORDS = {"ngram_range": (1, 2), "sublinear_tf": True}
LETTERS = {"analyzer": "char_wb", "ngram_range": (2, 5), "sublinear_tf": True}
WEAKLY = 1000.0  # how little the weights of a label among several are held down
LABEL = None  # the one field of an answer that is a label


@dataclass(frozen=True, eq=False, repr=False)
class Linear:
    """For each field a classifier on the features of `features`, or a function that looks its value up in the input."""

    features: object
    fields: dict[str, object]
    rows: int

    def answer(self, inputs: Sequence[Asked]) -> Generations:
        """A JSON record, or a label, for each input."""
        start, texts = time.perf_counter(), list(map(text_of, inputs))
        seen = self.features.transform(texts)
        columns = []
        for field in self.fields.values():
            columns.append(map(field, texts) if isinstance(field, Callable) else map(json.loads, field.predict(seen)))
        records = [dict(zip(self.fields, values, strict=True)) for values in zip(*columns, strict=True)]
        answers = [record[LABEL] if LABEL in record else json.dumps(record) for record in records]
        return Generations(tuple(answers), 0, 0, time.perf_counter() - start, 0)

    def __repr__(self):
        looked_up = [name for name, field in self.fields.items() if isinstance(field, Callable)]
        size = f"{len(self.features.get_feature_names_out()):,} features, {self.rows:,} rows"
        more = f"; looked up in the input: {', '.join(looked_up)}" if looked_up and LABEL not in looked_up else ""
        what = "one label" if LABEL in self.fields else f"{len(self.fields)} fields"
        return f"Linear: {what}, {size}{more}"


@dataclass(frozen=True, eq=False, repr=False)
class LinearSets:
    """One classifier a label on the features of `features`."""

    features: object
    classifier: object
    labels: tuple[str, ...]
    rows: int

    def probabilities(self, inputs: Sequence[Asked]) -> np.ndarray:
        """The probability of each label for each input, shape (inputs, labels)."""
        return self.classifier.predict_proba(self.features.transform(list(map(text_of, inputs))))

    def answer(self, inputs: Sequence[Asked]) -> Generations:
        """The labels that are likelier than not, the likeliest first; at least one."""
        start, texts = time.perf_counter(), []
        for each in self.probabilities(inputs):
            order = [i for i in np.argsort(-each, kind="stable") if each[i] > 0.5] or [int(each.argmax())]
            texts.append(", ".join(self.labels[i] for i in order))
        return Generations(tuple(texts), 0, 0, time.perf_counter() - start, 0)

    def __repr__(self):
        size = f"{len(self.features.get_feature_names_out()):,} features, {self.rows:,} rows"
        return f"LinearSets: {len(self.labels)} labels, {size}"


def train_linear(rows: Sequence[dict], schema: Mapping | None = None, kind: str | None = None) -> Linear | LinearSets:
    """Train on chat rows whose last answer is a JSON record, a label or several labels (`kind`; None: found out).

    A field with a pattern in the schema is looked up in the input instead. Raises DataError for an answer that is no
    record or lacks a field, RecipeError for a field, or answers, of free text.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union

    pairs = [input_and_answer(row) for row in rows]
    if not pairs:
        raise DataError("there are no rows to train on: give solved chat rows")
    answers = [answer for _, answer in pairs]
    kind = kind or answer_kind(answers)
    labels = kind == "label"
    records = [] if kind == "labels" else [{LABEL: a.strip()} for a in answers] if labels else _records(answers)
    features = make_union(TfidfVectorizer(**WORDS), TfidfVectorizer(**LETTERS))
    try:
        seen = features.fit_transform([text_of(asked) for asked, _ in pairs])
    except ValueError as error:
        raise DataError(f"there are no words to learn from in the inputs of the {len(pairs)} rows: {error}") from error
    if kind == "labels":
        return LinearSets(features, *_one_for_each([labels_of(answer) for answer in answers], seen), len(pairs))
    rules = {} if labels else (schema or {}).get("properties", {})
    fields = {}
    for name in records[0]:
        pattern = rules.get(name, {}).get("pattern")
        fields[name] = _first(pattern) if pattern else _learned(name, [record[name] for record in records], seen)
    return Linear(features, fields, len(pairs))


def _records(answers: Sequence[str]) -> list[dict]:
    """The answers as records, all with the fields of the first."""
    records = [parse_record(answer) for answer in answers]
    names = list(records[0] or ())
    for number, record in enumerate(records, 1):
        if not record or record.keys() != set(names):
            wanted = f" of {', '.join(names)}" if names else " and no label that comes back"
            raise DataError(f"row {number}: the answer is no JSON object with fields{wanted}; correct it")
    return records


def _learned(name: str, values: list, seen):
    """A classifier that tells the values of a field from the features, or the one value that it has."""
    from sklearn.svm import LinearSVC

    texts = [json.dumps(value, sort_keys=True) for value in values]
    if len(set(texts)) == 1:
        return _always(values[0])
    refuse_free_text(name or "the answers", len(set(texts)), len(texts))
    return LinearSVC(random_state=0).fit(seen, texts)


def _one_for_each(sets: Sequence[Sequence[str]], seen):
    """A classifier for each label, which knows nothing of the others, and the labels.

    C is large, so that a label with few rows can be likelier than not.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import MultiLabelBinarizer

    labels = sorted({label for each in sets for label in each})
    present = MultiLabelBinarizer(classes=labels).fit_transform(sets)
    classifier = OneVsRestClassifier(LogisticRegression(C=WEAKLY, solver="liblinear", random_state=0))
    return classifier.fit(seen, present), tuple(labels)


def _first(pattern: str) -> Callable[[str], str | None]:
    return lambda text: next(iter(pattern_values(pattern, text)), None)


def _always(value) -> Callable[[str], object]:
    return lambda text: value
