"""Files of predictions, or logs of other harnesses, compared on one file of references."""

import json
import re
from collections import defaultdict, namedtuple
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from ftlab.data.findings import Finding, kind_of, raise_findings
from ftlab.data.jsonl import scan_jsonl
from ftlab.data.splits import group_of
from ftlab.errors import DataError
from ftlab.evaluation.answers import KINDS, METRICS, answer_kind, score
from ftlab.evaluation.harness import pick_score, read_log
from ftlab.evaluation.metrics import as_record, exact_text, row_id, same_value, score_fields
from ftlab.evaluation.statistics import Comparison, compare, holm

OWN = "harness"  # the metric that is a log's own score
SETS = ("micro_f1", "first_label")  # metrics that say that the answers are several labels
# in front of an answer; some templates write <think> into the prompt, so that the answer holds only its end (not one
# that is quoted)
THOUGHT = re.compile(
    r"\A\s*(?:<(think|thinking|thought|reasoning)>.*?</\1>|\[THINK\].*?\[/THINK\]|(?:(?!<think>).)*(?<!`)</think>)\s*",
    re.DOTALL,
)


def compare_files(
    a: str | Path,
    b: str | Path,
    references: str | Path | None = None,
    metric: str = "exact_match",
    group: str | None = None,
    group_part: str | None = None,
) -> Comparison:
    """Compare two files of {"id", "prediction"} lines on {"id", "reference"} lines; b is the candidate.

    A chat row is a reference too: its last turn, when that is an answer. Predictions and references are text or JSON
    objects; what the references are as a whole (`answer_kind`) decides which metrics there are. `exact_match` compares
    parsed values when both are (the text of) a JSON object, labels as `score_labels` reads them, else the stripped
    texts; `valid_json` asks whether a prediction is an object. A thought in front of a prediction (<think>...</think>)
    is not judged. Ids match as texts: 7 is "7"; a reference without an id has the number of its row, from 0, as in the
    predictions of `ftlab run`. Every reference needs exactly one prediction in each file, and no other may stand
    there; DataError names file, line and field.

    A log of inspect-ai or lm-eval is predictions too (`harness.read_log`); without `references` its targets are taken.
    Repeats of a sample count by their mean. The metric "harness", or "harness:NAME", is the log's own score. `group` is
    a key of the references, or of the log's samples: rows with the same value, or the same part of it that the regular
    expression `group_part` finds, belong together, and are compared as `statistics.compare` does it with groups.
    """
    (found,) = align([a, b], references, metric, group, group_part).compare_all().values()
    return found


def run_report(folder: Path) -> dict:
    """The report of the run in a folder; empty where there is none."""
    file = folder / "report.json"
    try:
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except ValueError as error:
        raise DataError(f"{file}: is no JSON ({error}); run the recipe again, or take the file away") from error


def predictions_of(path: str | Path) -> Path:
    """The file of predictions that a path means: itself, or that of the candidate in the folder of a run."""
    path = Path(path)
    if not path.is_dir():
        return path
    if not (report := run_report(path)):
        raise DataError(f"{path}: holds no report.json, so it is no finished run; name a file of predictions")
    return path / "predictions" / f"test.{report['comparison']['candidate']}.jsonl"


@dataclass(frozen=True, eq=False)
class Aligned:
    """What several systems, by their paths, answered to the same references, in the order of these.

    `scores` are by the metric; `exact` says on which examples they differ; `answers` has the first answer of each.
    """

    metric: str
    kind: str | None  # of the answers; None where a log brings scores of its own
    source: str
    rows: list[dict]
    ids: list
    references: list
    answers: dict[str, list]
    scores: dict[str, np.ndarray]
    exact: dict[str, np.ndarray]
    groups: list[str] | None
    notes: dict[str, list[str]]

    def compare(self, a: str, b: str) -> Comparison:
        """Candidate b against baseline a."""
        found = compare(self.scores[a], self.scores[b], metric=self.metric, groups=self.groups)
        notes = [*self.notes[a], *(self.notes[b] if a != b else ())]
        return replace(found, disagreement=float(np.mean(self.exact[a] != self.exact[b])), notes=tuple(notes))

    def compare_all(self) -> dict[str, Comparison]:
        """Each system against the first; where there are several, with Holm's verdicts over all of them."""
        baseline, *candidates = self.scores
        results = {path: self.compare(baseline, path) for path in candidates or [baseline]}
        return holm(results) if len(results) > 1 else results


def align(
    paths: Sequence[str | Path],
    references: str | Path | None = None,
    metric: str = "exact_match",
    group: str | None = None,
    group_part: str | None = None,
) -> Aligned:
    """Read and score files of predictions as `compare_files` says it; the first one's targets without `references`.

    The folder of a run means the answers of its candidate to the test set.
    """
    paths = list(map(predictions_of, paths))
    if len(set(paths)) < len(paths) > 2:
        raise DataError("a file is named twice: name each system once")
    if metric not in METRICS and metric.partition(":")[0] != OWN:
        raise DataError(f"metric {metric!r} is unknown: choose one of {', '.join(METRICS)}, or {OWN} of a log")
    source = paths[0] if references is None else references
    truth = _read_by_id(source, "reference") if references is not None else _targets(source)
    right = [after_thought(each.value) for each in truth.values()]
    known = right and metric in METRICS
    kind = "labels" if metric in SETS else answer_kind(right) if known else None
    _check_metric(metric, kind, source, truth)
    groups = _groups(truth, source, group, group_part) if group else None
    answers, scores, exact, notes = {}, {}, {}, {}
    for path in map(str, paths):
        predictions = _read_predictions(path)
        _check_ids(predictions, truth, path, source)
        pairs = [(given, each) for key, each in truth.items() for given in predictions[key]]
        score_by = partial(_judged, kind, path, pairs, [len(predictions[key]) for key in truth])
        answers[path] = [after_thought(predictions[key][0].value) for key in truth]
        scores[path] = score_by(metric)
        exact[path] = scores[path] if metric not in ("macro_f1", *SETS) else score_by("exact_match")
        notes[path] = list(_notes(path, source, pairs, len(truth)))
        notes[path] += _forgiven(path, pairs) if kind == "label" and metric in KINDS[kind] else []
    rows, ids = ([getattr(each, name) for each in truth.values()] for name in ("row", "id"))
    return Aligned(metric, kind, str(source), rows, ids, right, answers, scores, exact, groups, notes)


def _judged(kind, path, pairs, repeats, metric) -> np.ndarray:
    """The score of each reference: the mean over the repeats of its prediction; shape (references,)."""
    if metric not in METRICS:
        values = pick_score(metric.partition(":")[2], [given for given, _ in pairs], path)
    elif lacking := [given for given, _ in pairs if given.value is None]:
        what = "has no single text to judge, since choices were compared or several filters stand there"
        raise DataError(f"{path}:{lacking[0].line} {what}; take --metric {OWN} (or {OWN}:NAME)")
    else:
        values = _values(metric, kind, *_texts(pairs))
    return np.add.reduceat(values, np.cumsum([0, *repeats[:-1]])) / repeats


def after_thought(answer):
    """An answer without the thought in front of it; one that never ends is left, and so is an object."""
    return THOUGHT.sub("", answer, count=1) if isinstance(answer, str) else answer


def _check_metric(metric: str, kind: str | None, path, truth) -> None:
    """Raise DataError where the references cannot be judged by the metric."""
    if metric in METRICS and (without := [each for each in truth.values() if each.value is None]):
        raise DataError(f"{path}:{without[0].line} has no single target: take --metric {OWN}, or give --references")
    if metric == "field_accuracy":
        message = "is no JSON object, which field_accuracy needs; correct it or use exact_match"
        wrong = [right for right in truth.values() if not as_record(after_thought(right.value))]
        raise_findings([_finding(path, right.line, "reference", message) for right in wrong])
    elif metric in ("macro_f1", "known_label") and kind not in (None, "label"):
        remedy = f"choose one of {', '.join(KINDS[kind])}"
        raise DataError(f"{path}: {metric} is for labels, each of which comes back, not for a {kind}: {remedy}")


def _values(metric: str, kind: str, predictions: Sequence, references: Sequence) -> np.ndarray:
    """The score of each prediction, text or object, by one metric."""
    if metric == "valid_json":
        return np.array([as_record(given) is not None for given in predictions], dtype=float)
    if metric == "field_accuracy":
        pairs = zip(predictions, references, strict=True)
        rows = [(as_record(given), as_record(right)) for given, right in pairs]
        return np.array([np.mean(score_fields([given], [right], list(right))) for given, right in rows])
    if metric == "exact_match" and kind not in ("label", "labels"):
        return np.array([_same(*pair) for pair in zip(predictions, references, strict=True)], dtype=float)
    judged = "labels" if kind == "labels" else "label" if metric in KINDS["label"] else "text"
    return score(judged, list(map(_as_text, predictions)), list(map(_as_text, references))).values(metric)


def _same(prediction, reference) -> bool:
    record, truth = as_record(prediction), as_record(reference)
    if record is None and truth is None:
        return prediction.strip() == reference.strip()
    return record is not None and truth is not None and same_value(record, truth)


def _texts(pairs) -> list[list]:
    """What was given, and what is right, without thoughts."""
    return [[after_thought(each.value) for each in side] for side in zip(*pairs, strict=True)]


def _as_text(value) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _forgiven(path, pairs):
    """That labels were right only apart from what does not count."""
    texts = [list(map(_as_text, side)) for side in _texts(pairs)]
    forgiven = int(np.sum(score("label", *texts).values("exact_match") - exact_text(*texts)))
    if forgiven:
        yield f"{path}: {forgiven} labels are right apart from capitals, quotes or a full stop, which do not count"


def _notes(path, references, pairs, count):
    """What a reader has to know of the pairs (prediction, reference) that were compared."""
    if len(pairs) > count:
        yield f"{path}: {len(pairs)} answers to {count} samples; the mean of the repeats of each was compared"
    thoughts = sum(after_thought(given.value) != given.value for given, _ in pairs)
    if thoughts:
        yield f"{path}: {thoughts} of {len(pairs)} predictions begin with a thought; what follows it was judged"
    if any(type(given.id) is not type(right.id) for given, right in pairs):
        yield f"{path} and {references}: ids are numbers in one and texts in the other; they were matched as texts"


def _finding(path, line, field, message):
    return Finding("compare", "error", str(path), line, field, message)


# one line of a file that is compared; `scores` are those of a log, `row` what else stands there
_Entry = namedtuple("_Entry", "id line value row scores", defaults=({}, {}))


def _read_predictions(path) -> dict[str, list[_Entry]]:
    """Map the text of each id to its predictions: one, or in a log one a repeat."""
    if (log := read_log(path)) is None:
        return {key: [each] for key, each in _read_by_id(path, "prediction").items()}
    result = defaultdict(list)
    for each in log:
        result[str(each.id)].append(_Entry(each.id, each.line, each.answer, each.row, each.scores))
    return result


def _targets(path) -> dict[str, _Entry]:
    """The references that a log holds itself."""
    if (log := read_log(path)) is None:
        raise DataError(f"{path} is no log of inspect-ai or lm-eval, which hold their targets: name --references")
    return {str(each.id): _Entry(each.id, each.line, each.target, each.row) for each in log}


def _groups(truth, path, key, part) -> list[str]:
    """The group of each reference."""
    found = [(each, group_of(each.row, key, part)) for each in truth.values()]
    what = f"no part that {part} finds" if part else "no text or number"
    raise_findings([_finding(path, each.line, key, f"has {what}: name another key as group")
                    for each, group in found if group is None])  # fmt: skip
    return [group for _, group in found]


def _read_by_id(path, field) -> dict[str, _Entry]:
    """Map the text of each id to its entry; DataError when a line is broken, or an id missing or repeated."""
    result, findings, rows = {}, [], 0
    for line in scan_jsonl(path):
        errors = [finding for finding in line.findings if finding.severity == "error"]
        findings += errors
        if errors or not line.is_row:
            continue
        rows += 1
        if not isinstance(line.row, dict):
            findings.append(_finding(path, line.number, "", f"is no object; write one with id and {field}"))
            continue
        key = row_id(line.row, rows - 1) if field == "reference" else line.row.get("id")
        value = _value(line.row, field)
        if not isinstance(key, str | int) or isinstance(key, bool):
            findings.append(_finding(path, line.number, "id", "must be a text or a whole number"))
        elif str(key) in result:
            message = f"{key!r} stands already on line {result[str(key)].line}; keep one of the two"
            findings.append(_finding(path, line.number, "id", message))
        else:
            result[str(key)] = _Entry(key, line.number, value, line.row)
        if not isinstance(value, str | dict):
            message = "is missing" if value is None else f"is {kind_of(value)}"
            findings.append(_finding(path, line.number, field, f"{message}; write a text or an object"))
    raise_findings(findings)
    return result


def _value(row, field):
    """What stands under `field`; for a chat row without a reference, the answer that ends it."""
    turns = row.get("messages")
    if field == "reference" and field not in row and isinstance(turns, list) and turns and isinstance(turns[-1], dict):
        return turns[-1].get("content") if turns[-1].get("role") == "assistant" else None
    return row.get(field)


def _check_ids(predictions, truth, path, references):
    unknown, missing = f"is not in {references}; delete the line or add the reference", f"has no prediction in {path}"
    wrong = [_finding(path, each[0].line, "id", f"{each[0].id!r} {unknown}")
             for key, each in predictions.items() if key not in truth]  # fmt: skip
    wrong += [_finding(references, each.line, "id", f"{each.id!r} {missing}; add it")
              for key, each in truth.items() if key not in predictions]  # fmt: skip
    raise_findings(wrong)
