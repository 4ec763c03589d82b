"""The report of a run: every number, the verdict with its reasons, and examples to read.

`report.json` is for scripts, `report.html` for people: one file without scripts and without anything from
elsewhere, so that it can be mailed and still opens years later. Its template stands beside this file.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path

import numpy as np

from ftlab.errors import DataError
from ftlab.evaluation.gate import Gate
from ftlab.evaluation.metrics import parse_record, same_value
from ftlab.evaluation.statistics import Comparison, Interval
from ftlab.files import refuse_existing, whole_file
from ftlab.tables import readable

WRONG = "✗"  # in front of what differs from the reference: a sign, not a colour alone


@dataclass(frozen=True)
class SystemResult:
    """One system on the test set: its metrics, fields and slices (by the metric of the bars) with intervals, its cost.

    `metrics` has those of the answers' kind; `fields` has one entry a field or a label; `cut_off` answers reached
    max_new_tokens; `prompt` is the wording used, if any.
    """

    metrics: dict[str, Interval]
    fields: dict[str, Interval] = field(default_factory=dict)
    tokens_per_call: float | None = None
    seconds_per_call: float | None = None
    cut_off: int = 0
    prompt: str | None = None
    slices: dict[str, Interval] = field(default_factory=dict)


@dataclass(frozen=True, repr=False)
class Report:
    """What a run found. `comparison` is `candidate` against `baseline`, both names of `systems`.

    `training` (of the first seed): minutes, steps, final_loss, final_eval_loss, still_falling, log (rows as in
    `state.log_history`), peak_memory_gib, trainable_parameters. `by_seed`: rows with seed, score, comparison and
    verdict of each training, where there are several. `prompt_search`: rows with name, kind, scores, tokens_per_call.
    `examples`: rows as `pick_examples` makes them. `rivals`: simpler systems (a) against the candidate (b). `details`:
    header and rows on the candidate's answers. `notes`: what else a reader has to know. All but the first seven may be
    left out.
    """

    task: str
    n: int
    systems: dict[str, SystemResult]
    baseline: str
    candidate: str
    comparison: Comparison
    gate: Gate
    probes: dict[str, Comparison] = field(default_factory=dict)
    rivals: dict[str, Comparison] = field(default_factory=dict)
    training: dict = field(default_factory=dict)
    prompt_search: Sequence[dict] = ()
    examples: Sequence[dict] = ()
    by_seed: Sequence[dict] = ()
    details: tuple | None = None
    notes: Sequence[str] = ()
    answer: str = "record"
    seeds: Sequence[int] = ()
    recipe_sha256: str = ""
    model_sha256: str | None = None
    data_sha256: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    machine: str = ""
    created: str = ""

    def __post_init__(self):
        for name in (self.baseline, self.candidate):
            if name not in self.systems:
                known = ", ".join(self.systems)
                raise DataError(f"{name!r} is compared, but has no result; name one of {known}, or add it")

    @property
    def verdict(self) -> str:
        """ "ship", "do not ship" or "not enough data"."""
        return self.gate.verdict

    @property
    def remarks(self) -> list[str]:
        """The notes, and what the numbers themselves give cause to say."""
        found = list(self.notes)
        if self.training.get("still_falling"):
            found.append("The validation loss was still falling when the training ended: more epochs may bring more.")
        cut = self.systems[self.candidate].cut_off
        if cut:
            name = readable(self.candidate)
            found.append(f"{cut} answers of {name} reached max_new_tokens and were cut off: raise it.")
        if self.by_seed:
            reached = [row["comparison"].b for row in self.by_seed]
            low, high = _percent(min(reached)), _percent(max(reached))
            found.append(f"{len(reached)} trainings, from {low} to {high}; their mean is what is compared.")
        return found

    @property
    def bar(self) -> float:
        """The score that the candidate had to reach: the baseline's and the wanted gain."""
        return self.comparison.a + self.gate.bars.min_gain

    def to_json_dict(self) -> dict:
        """The content of report.json: plain JSON values, fractions of 1, null for what is not a number."""
        names = {"baseline": self.baseline, "candidate": self.candidate}
        systems = {
            name: system.metrics | {f.name: getattr(system, f.name) for f in fields(system)[1:]}
            for name, system in self.systems.items()
        }
        whole = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in names}
        comparison = names | self.comparison.to_dict()
        return _plain(whole | {"systems": systems, "comparison": comparison, "gate": self.gate.to_dict()})

    def __repr__(self):
        header, rows = systems_table(self.systems)
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in [header, *rows]]
        head = f"{self.task}, {self.n} test examples"
        against = f"{self.candidate} against {self.baseline}: {self.comparison!r}"
        reasons = [f"  - {reason}" for reason in [*self.gate.reasons, *self.remarks]]
        return "\n".join([head, "", *lines, "", against, f"Verdict: {self.verdict}", *reasons])

    def _repr_html_(self):
        values = {"report": self, "systems_table": systems_table(self.systems), "only_summary": True}
        return page_template().render(values)

    def to_html(self) -> str:
        """A whole page without scripts or anything from elsewhere."""
        return page_template().render(page_values(self))

    def save(self, folder: str | Path, force: bool = False) -> Path:
        """Write report.json and report.html into `folder`, which is returned; `force` replaces old ones."""
        folder = Path(folder)
        as_json = json.dumps(self.to_json_dict(), ensure_ascii=False, indent=2, allow_nan=False)
        texts = {"report.html": self.to_html(), "report.json": as_json + "\n"}  # the last one says that all is there
        for name in texts:
            refuse_existing(folder / name, force)
        for name, text in texts.items():
            with whole_file(folder / name) as file:
                file.write(text.encode("utf-8", "backslashreplace"))
        return folder


@cache
def page_template(name: str = "report.html.j2"):
    """A template of a page, with the ways it writes names and numbers."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=folder, autoescape=True, undefined=StrictUndefined)
    environment.filters |= {"readable": readable, "points": _points, "percent": _percent}
    environment.filters |= {"example_table": example_table, "by_system": by_system}
    return environment.get_template(name)


def page_values(report: Report) -> dict:
    """What the template shows beside the report itself: figures, and what does not stand in it ready for a table."""
    from ftlab.plots import loss_alt, loss_figure, systems_alt, systems_figure

    metric, log = report.gate.bars.metric, list(report.training.get("log") or ())
    seen = {name: system.metrics[metric] for name, system in report.systems.items() if metric in system.metrics}
    formats = {"minutes": ".1f", "final_loss": ".3f", "final_eval_loss": ".3f", "peak_memory_gib": ".2f"}
    return {
        "report": report,
        "only_summary": False,
        "metric": metric,
        "wrong": WRONG,
        "systems_table": systems_table(report.systems),
        "systems_figure": _figure(systems_figure(seen, report.bar, metric), systems_alt(seen, report.bar, metric)),
        "loss_figure": _figure(loss_figure(log), loss_alt(log)) if log else "",
        "rivals": [[name, _percent(seen.a), _points(seen), seen.n] for name, seen in report.rivals.items()],
        "by_seed": [
            [str(row["seed"]), _percent(row["comparison"].b), _points(row["comparison"]), row["verdict"]]
            for row in report.by_seed
        ],
        "probes": [[k, _percent(seen.a), _percent(seen.b), _points(seen), seen.n] for k, seen in report.probes.items()],
        "training": [
            [readable(key), _number(value, formats.get(key, ""))]
            for key, value in report.training.items()
            if key not in ("log", "still_falling") and value is not None
        ],
        "prompts": [
            [
                row.get("name", ""),
                readable(row.get("kind", "")),
                _shown(row.get(metric)),
                _number(row.get("tokens_per_call"), ".0f"),
            ]
            for row in report.prompt_search
        ],
        "versions": ", ".join(f"{name} {version}" for name, version in report.versions.items()),
    }


def systems_table(systems: dict[str, SystemResult]) -> tuple[list[str], list[list[str]]]:
    """(header, rows): a row for each system, a column for each metric and for what a call takes."""
    metrics = list(dict.fromkeys(name for system in systems.values() for name in system.metrics))
    rows = [
        [
            readable(name),
            *(_shown(system.metrics.get(metric)) for metric in metrics),
            _number(system.tokens_per_call, ".0f"),
            _number(system.seconds_per_call, ".3f"),
        ]
        for name, system in systems.items()
    ]
    return ["system", *map(readable, metrics), "tokens/call", "seconds/call"], rows


def by_system(systems: dict[str, SystemResult], what: str) -> tuple[list[str], list[list[str]]]:
    """(header, rows): a row for each of the `fields` or `slices`, a column for each system."""
    intervals = [getattr(system, what) for system in systems.values()]
    names = dict.fromkeys(name for values in intervals for name in values)
    rows = [[name, *(_shown(values.get(name)) for values in intervals)] for name in names]
    return ["", *map(readable, systems)], rows


def example_table(example: dict, answer: str = "record") -> tuple[list[str], list[list[str]], dict[str, str]]:
    """(header, rows, answers that are no JSON object) of an example: what each system said, wrong values marked.

    Free texts are not marked, since hardly any is the reference word for word.
    """
    reference, predictions = example["reference"], example["predictions"]
    record = parse_record(reference) if isinstance(reference, str) else reference
    if not isinstance(record, dict):
        right = str(reference).strip()
        free = answer == "text"
        said = [[readable(k), _mark(text, free or text.strip() == right)] for k, text in predictions.items()]
        return ["", "answer"], [["reference", right], *said], {}
    answers = {name: parse_record(text) for name, text in predictions.items()}
    keys = dict.fromkeys([*record, *(key for answer in answers.values() for key in answer or ())])
    rows = [
        [key, _json(record[key]) if key in record else "", *(_cell(answer, record, key) for answer in answers.values())]
        for key in keys
    ]
    unread = {name: text for name, text in predictions.items() if answers[name] is None}
    return ["", "reference", *map(readable, answers)], rows, unread


def _cell(answer, reference, key) -> str:
    """What an answer (None: no JSON object) says under a key, marked when the reference says otherwise."""
    if answer is None:
        return _mark("no JSON object", False)
    if key not in answer:
        return _mark("no such key", False) if key in reference else ""
    return _mark(_json(answer[key]), key in reference and same_value(answer[key], reference[key]))


def _mark(text, right) -> str:
    return text if right else f"{WRONG} {text}"


def _json(value) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def pick_examples(
    ids: Sequence,
    texts: Sequence[str],
    references: Sequence,
    predictions: dict[str, Sequence[str]],
    before: Sequence[float],
    after: Sequence[float],
    each: int = 3,
) -> list[dict]:
    """Examples to read: the largest gains, the largest losses, and what is still most wrong after.

    `before` and `after` are the scores of baseline and candidate (n,), `predictions` the answers of each
    system. Rows: {"id", "text", "reference", "predictions": {system: text}, "change": better | worse |
    still wrong}.
    """
    before, after = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    sizes = {len(ids), len(texts), len(references), len(before), len(after), *map(len, predictions.values())}
    if len(sizes) > 1:
        raise DataError(f"lists of {sorted(sizes)} examples: give each of them one entry an example")
    groups = {
        "better": [i for i in np.argsort(before - after, kind="stable") if after[i] > before[i]],
        "worse": [i for i in np.argsort(after - before, kind="stable") if after[i] < before[i]],
        "still wrong": [i for i in np.argsort(after, kind="stable") if after[i] == before[i] < 1],
    }
    return [
        {"id": ids[i], "text": texts[i], "reference": references[i],
         "predictions": {name: answers[i] for name, answers in predictions.items()}, "change": change}
        for change, chosen in groups.items()
        for i in chosen[:each]
    ]  # fmt: skip


def _plain(value):
    """JSON values only: intervals and comparisons as objects, NaN and infinity as null."""
    if isinstance(value, Interval):
        return {"value": _plain(value.value), "low": _plain(value.low), "high": _plain(value.high)}
    if isinstance(value, Comparison):
        return _plain(value.to_dict())
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def _shown(value) -> str:
    return "–" if value is None else str(value)


def _number(value, form: str) -> str:
    if value is None or not isinstance(value, int | float | np.number):
        return _shown(value)
    return "–" if not math.isfinite(value) else f"{value:,}" if isinstance(value, int) else f"{value:{form or ',.4g'}}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def _points(seen: Comparison) -> str:
    return f"{100 * seen.delta:+.1f} points [{100 * seen.low:+.1f}, {100 * seen.high:+.1f}]"


def _figure(fig, alt):
    from markupsafe import Markup

    from ftlab.plots import figure_bundle

    return Markup(f"<figure>{figure_bundle(fig, alt)[0]['text/html']}</figure>")
