"""The baseline without a language model: a linear classifier on words and letters, for labels or fields of a record.

TF-IDF of words, word pairs and pieces of 2 to 5 letters, then a linear support vector machine (scikit-learn): seconds
to train, no prompt, no GPU. It can only choose among values that it was shown, or copy what fits a pattern.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ftlab.baselines.choice import pattern_values, refuse_free_text
from ftlab.baselines.prompting import Asked, input_and_answer, text_of
from ftlab.errors import DataError
from ftlab.evaluation.answers import answer_kind
from ftlab.evaluation.generation import Generations
from ftlab.evaluation.metrics import parse_record

WORDS = {"ngram_range": (1, 2), "sublinear_tf": True}
LETTERS = {"analyzer": "char_wb", "ngram_range": (2, 5), "sublinear_tf": True}
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


def train_linear(rows: Sequence[dict], schema: Mapping | None = None, kind: str | None = None) -> Linear:
    """Train on chat rows whose last answer is a JSON record or a label (`kind`; None: found out).

    A field with a pattern in the schema is looked up in the input instead. Raises DataError for an answer that is no
    record or lacks a field, RecipeError for a field, or answers, of free text.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union

    pairs = [input_and_answer(row) for row in rows]
    if not pairs:
        raise DataError("there are no rows to train on: give solved chat rows")
    answers = [answer for _, answer in pairs]
    labels = (kind or answer_kind(answers)) == "label"
    records = [{LABEL: answer.strip()} for answer in answers] if labels else _records(answers)
    features = make_union(TfidfVectorizer(**WORDS), TfidfVectorizer(**LETTERS))
    try:
        seen = features.fit_transform([text_of(asked) for asked, _ in pairs])
    except ValueError as error:
        raise DataError(f"there are no words to learn from in the inputs of the {len(pairs)} rows: {error}") from error
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


def _first(pattern: str) -> Callable[[str], str | None]:
    return lambda text: next(iter(pattern_values(pattern, text)), None)


def _always(value) -> Callable[[str], object]:
    return lambda text: value
