"""The baseline without a language model: for each field of a record one linear classifier on words and letters.

TF-IDF of words, word pairs and pieces of 2 to 5 letters, then a linear support vector machine (scikit-learn): seconds
to train, no prompt, no GPU. It can only choose among values that it was shown, or copy what fits a pattern.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ftlab.baselines.choice import pattern_values, refuse_free_text
from ftlab.baselines.prompting import input_and_answer
from ftlab.errors import DataError
from ftlab.evaluation.generation import Generations
from ftlab.evaluation.metrics import parse_record

WORDS = {"ngram_range": (1, 2), "sublinear_tf": True}
LETTERS = {"analyzer": "char_wb", "ngram_range": (2, 5), "sublinear_tf": True}


@dataclass(frozen=True, eq=False, repr=False)
class LinearRecords:
    """For each field a classifier on the features of `features`, or a function that looks its value up in the input."""

    features: object
    fields: dict[str, object]
    rows: int

    def answer(self, inputs: Sequence[str]) -> Generations:
        """A JSON record for each input."""
        start = time.perf_counter()
        seen = self.features.transform(inputs)
        columns = []
        for field in self.fields.values():
            columns.append(map(field, inputs) if isinstance(field, Callable) else map(json.loads, field.predict(seen)))
        records = [dict(zip(self.fields, values, strict=True)) for values in zip(*columns, strict=True)]
        return Generations(tuple(map(json.dumps, records)), 0, 0, time.perf_counter() - start, 0)

    def __repr__(self):
        looked_up = [name for name, field in self.fields.items() if isinstance(field, Callable)]
        size = f"{len(self.features.get_feature_names_out()):,} features, {self.rows:,} rows"
        more = f"; looked up in the input: {', '.join(looked_up)}" if looked_up else ""
        return f"LinearRecords: {len(self.fields)} fields, {size}{more}"


def train_linear(rows: Sequence[dict], schema: Mapping | None = None) -> LinearRecords:
    """Train on chat rows whose last answer is a JSON record; a field with a pattern in the schema is looked up instead.

    Raises DataError for an answer that is no record or lacks a field, RecipeError for a field of free text.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union
    from sklearn.svm import LinearSVC

    pairs = [input_and_answer(row) for row in rows]
    records = [parse_record(answer) for _, answer in pairs]
    if not records:
        raise DataError("there are no rows to train on: give solved chat rows")
    names = list(records[0] or ())
    for number, record in enumerate(records, 1):
        if not record or record.keys() != set(names):
            wanted = f" of {', '.join(names)}" if names else ""
            raise DataError(f"row {number}: the answer is no JSON object with fields{wanted}; correct it")
    features = make_union(TfidfVectorizer(**WORDS), TfidfVectorizer(**LETTERS))
    try:
        seen = features.fit_transform([text for text, _ in pairs])
    except ValueError as error:
        raise DataError(f"there are no words to learn from in the inputs of the {len(pairs)} rows: {error}") from error
    rules = (schema or {}).get("properties", {})
    fields = {}
    for name in names:
        values = [json.dumps(record[name], sort_keys=True) for record in records]
        pattern = rules.get(name, {}).get("pattern")
        if pattern is not None:
            fields[name] = _first(pattern)
        elif len(set(values)) == 1:
            fields[name] = _always(records[0][name])
        else:
            refuse_free_text(name, len(set(values)), len(values))
            fields[name] = LinearSVC(random_state=0).fit(seen, values)
    return LinearRecords(features, fields, len(pairs))


def _first(pattern: str) -> Callable[[str], str | None]:
    return lambda text: next(iter(pattern_values(pattern, text)), None)


def _always(value) -> Callable[[str], object]:
    return lambda text: value
