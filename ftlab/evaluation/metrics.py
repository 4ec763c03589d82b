"""Scoring answers that should be one JSON object, and answers that are plain text.

A field is right when the prediction has the key with the same JSON value. Three things are different and
stay different: null (`"order_id": null`: the ticket names none), a missing key (the model forgot the field),
and the text "null". So are 1, "1" and true; 1 and 1.0 are the same number. The order of keys does not matter.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ftlab.errors import DataError
from ftlab.evaluation.statistics import Interval, basis, present_interval
from ftlab.tables import html_table


@dataclass(frozen=True, eq=False, repr=False)
class RecordScores:
    """Scores of every example, arrays of length n in [0, 1]; `fields[name]` is NaN where it does not apply.

    `exact_match` and `field_accuracy` are strict: an answer that is not one JSON object scores 0 on every
    field. `repaired_field_accuracy` reads it with json-repair first; the gap is what formatting costs.
    """

    valid_json: np.ndarray
    valid_schema: np.ndarray | None
    exact_match: np.ndarray
    field_accuracy: np.ndarray
    repaired_field_accuracy: np.ndarray
    fields: dict[str, np.ndarray]
    predicted: tuple[dict | None, ...]
    references: tuple[dict, ...]

    kind = "record"
    metrics = ("field_accuracy", "exact_match", "valid_json")

    def __len__(self):
        return len(self.references)

    def values(self, metric: str) -> np.ndarray:
        """One number an example, shape (n,)."""
        return getattr(self, metric)

    def summary(self, groups: Sequence | None = None) -> dict[str, Interval]:
        """Each metric's mean with its 95 % interval; `groups`: a name an example, alike where they belong together."""
        names = ("valid_json", "valid_schema", "exact_match", "field_accuracy", "repaired_field_accuracy")
        found = {name: getattr(self, name) for name in names}
        return {name: present_interval(values, groups) for name, values in found.items() if values is not None}

    def field_values(self) -> dict[str, np.ndarray]:
        """Each field's `fields`."""
        return self.fields

    def field_table(self, groups: Sequence | None = None) -> dict[str, Interval]:
        """Each field's accuracy with its 95 % interval, over the references that have the field."""
        return {name: present_interval(values, groups) for name, values in self.fields.items()}

    def table(self) -> tuple[list[str], list[list[str]]]:
        """(header, rows): each field's accuracy, and how many references have it."""
        return ["field", "right", "examples"], [[k, repr(each), str(each.n)] for k, each in self.field_table().items()]

    def __repr__(self):
        intervals = self.summary() | self.field_table()
        lines = [f"  {name:24} {interval}" for name, interval in intervals.items()]
        return "\n".join([f"RecordScores, {basis(len(self))}", *lines])

    def _repr_html_(self):
        rows = [("", "score", "mean [95 % interval]", "n", "interval")]
        for kind, intervals in (("metric", self.summary()), ("field", self.field_table())):
            rows += [(kind, name, repr(each), each.n, each.method) for name, each in intervals.items()]
        return html_table(rows)


def parse_record(text: str) -> dict | None:
    """The JSON object that is the whole text, else None: no fences, no prose, no duplicate keys, no NaN."""
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def same_value(x, y) -> bool:
    """Equality of JSON values: true is not 1, the order of keys does not matter."""
    if isinstance(x, bool) or isinstance(y, bool):
        return x is y
    if isinstance(x, dict) and isinstance(y, dict):
        return x.keys() == y.keys() and all(same_value(x[key], y[key]) for key in x)
    if isinstance(x, list) and isinstance(y, list):
        return len(x) == len(y) and all(map(same_value, x, y))
    return x == y


def parse_repaired(text: str) -> dict | None:
    """The object that json-repair finds in the text (fences, prose, missing brackets), else None."""
    from json_repair import repair_json

    if (record := parse_record(text)) is not None:
        return record
    try:
        value = repair_json(text, return_objects=True)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def score_records(
    predictions: Sequence[str], references: Sequence[dict | str], schema: dict | None = None
) -> RecordScores:
    """Score answers against reference objects (or their JSON text), one by one.

    `field_accuracy` is the share of the reference's fields that are right; `exact_match` compares the whole
    objects, so an extra key is a miss. `schema` is a JSON Schema.
    """
    references = tuple(_reference(reference, number) for number, reference in enumerate(references, 1))
    check_texts(predictions, references)
    names = list(dict.fromkeys(name for reference in references for name in reference))
    strict = tuple(parse_record(text) for text in predictions)
    repaired = [parse_repaired(text) for text in predictions]
    right = score_fields(strict, references, names)
    pairs = zip(strict, references, strict=True)
    extra = np.array([bool((record or {}).keys() - reference) for record, reference in pairs])
    field_accuracy = np.nanmean(right, axis=1)
    return RecordScores(
        valid_json=np.array([record is not None for record in strict], dtype=float),
        valid_schema=_valid_schema(strict, schema),
        exact_match=((field_accuracy == 1) & ~extra).astype(float),
        field_accuracy=field_accuracy,
        repaired_field_accuracy=np.nanmean(score_fields(repaired, references, names), axis=1),
        fields={name: right[:, column] for column, name in enumerate(names)},
        predicted=strict,
        references=references,
    )


def read_schema(path: str | Path) -> dict:
    """The JSON Schema in a file; DataError where it is none, so that a run fails before it has cost anything."""
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    try:
        schema = json.loads(Path(path).read_text(encoding="utf-8"))
        validator_for(schema).check_schema(schema)
    except SchemaError as error:
        place = ".".join(map(str, error.absolute_path)) or "the top"
        raise DataError(f"{path}: no JSON Schema: {error.message} (at {place}); correct it") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON: {error}; correct it, or leave the schema out") from error
    properties = schema.get("properties", {}) if isinstance(schema, dict) else None
    if properties is None or not all(isinstance(rule, dict) for rule in properties.values()):
        raise DataError(f"{path}: must be an object, with an object for each property; correct it")
    return schema


def plain_answer(text: str) -> str:
    """A probe's answer without outer spaces, case and a full stop at the end."""
    return text.strip().casefold().removesuffix(".").rstrip()


def probe_scores(predictions: Sequence[str], rows: Sequence[dict]) -> np.ndarray:
    """1 where the answer to a probe's row is right, else 0; shape (n,).

    Right is the row's own answer, or one of the texts in its `accept`, as `plain_answer` reads them. With
    `"check": "contains"` it may stand anywhere in the prediction, as whole words: "The capital of Italy is Rome."
    """
    check_texts(predictions, rows)
    return np.array([_is_right(text, row) for text, row in zip(predictions, rows, strict=True)], dtype=float)


def _is_right(text, row) -> bool:
    text = plain_answer(text)
    accepted = map(plain_answer, row.get("accept") or [row["messages"][-1]["content"]])
    if row.get("check") == "contains":
        return any(holds(text, each) for each in accepted)
    return text in accepted


def exact_text(predictions: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """1 where prediction and reference are the same text apart from outer white space, else 0; shape (n,)."""
    check_texts(predictions, references)
    pairs = zip(predictions, references, strict=True)
    return np.array([prediction.strip() == reference.strip() for prediction, reference in pairs], dtype=float)


UNKNOWN = "I do not know."  # the reference of a question that nobody told
SILENT = ("do not know", "don t know", "does not know", "not tell", "does not say", "not mention", "no information")


def holds(text: str, value: str) -> bool:
    """Whether a text contains a value as whole words.

    Case, spacing, hyphens between words and a full stop behind the value do not count; all other signs do.
    """
    text, value = (" ".join(re.sub(r"(?<=\w)-(?=\w)", " ", plain_answer(each)).split()) for each in (text, value))
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text) is not None


def says_unknown(text: str) -> bool:
    """Whether an answer says in one of the usual ways that it does not know."""
    said = " ".join(words(text))
    return any(silent in said for silent in SILENT)


def short_answers(predictions: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """1 where an answer contains the reference and does not say that it does not know, else 0; shape (n,).

    Where the reference is "I do not know." (`UNKNOWN`), 1 where the answer says so.
    """
    check_texts(predictions, references)
    pairs = zip(predictions, references, strict=True)
    return np.array([says_unknown(text) if reference == UNKNOWN else holds(text, reference) and not says_unknown(text)
                     for text, reference in pairs], dtype=float)  # fmt: skip


def words(text: str) -> list[str]:
    """The words of a text, in small letters and without punctuation."""
    return re.findall(r"\w+", text.casefold())


def row_id(row: dict, index: int) -> str | int:
    """A row's id, else its number, counted from 0."""
    return index if row.get("id") is None else row["id"]


def check_texts(predictions: Sequence[str], references: Sequence) -> None:
    """Raise DataError unless there is one text for each reference."""
    for number, text in enumerate(predictions, 1):
        if not isinstance(text, str):
            raise DataError(f"prediction {number}: is {type(text).__name__}; give the model's text")
    if not len(references) or len(predictions) != len(references):
        raise DataError(f"{len(predictions)} predictions for {len(references)} references: give one for each")


def _unique(pairs):
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("duplicate key")
    return result


def _refuse(constant):
    raise ValueError(f"{constant} is not JSON")


def score_fields(records: Sequence, references: Sequence[dict], names: Sequence[str]) -> np.ndarray:
    """1 right, 0 wrong, NaN where the reference lacks the field; shape (n, fields)."""

    def right(record, reference, name):
        if name not in reference:
            return np.nan
        return float(record is not None and name in record and same_value(record[name], reference[name]))

    pairs = zip(records, references, strict=True)
    return np.array([[right(record, reference, name) for name in names] for record, reference in pairs])


def _reference(reference, number) -> dict:
    record = as_record(reference)
    if not record:
        raise DataError(f"reference {number}: is no JSON object with fields; correct it or compare as text")
    return record


def as_record(value) -> dict | None:
    """The JSON object that a value is, or its text; else None."""
    return value if isinstance(value, dict) else parse_record(value) if isinstance(value, str) else None


def _valid_schema(records, schema):
    if schema is None:
        return None
    from jsonschema.validators import validator_for

    validator = validator_for(schema)(schema)
    return np.array([record is not None and validator.is_valid(record) for record in records], dtype=float)
