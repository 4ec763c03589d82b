"""The report of a run: every number, the verdict with its reasons, and examples to read.

`report.json` is for scripts, `report.html` for people: one file without scripts and without anything from
elsewhere, so that it can be mailed and still opens years later.
"""

import html
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from ftlab.errors import DataError
from ftlab.evaluation.gate import Gate
from ftlab.evaluation.metrics import _same, parse_record
from ftlab.evaluation.statistics import Comparison, Interval

WRONG = "✗ "  # in front of what differs from the reference: a sign, not a colour alone
STYLE = """
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; background: #fff; color: #1a1a1a;
       font: 1rem/1.5 system-ui, sans-serif; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; }
.verdict { border-left: .5rem solid #595959; padding: .25rem 1rem; background: #f5f5f5; }
.verdict.ship { border-color: #006b4e; } .verdict.no { border-color: #a34700; }
.verdict p { font-size: 1.5rem; font-weight: bold; margin: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .5rem 0; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .25rem; color: #404040; }
th, td { text-align: left; vertical-align: top; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid #ddd; }
thead th { border-bottom: 2px solid #595959; }
td { max-width: 32rem; overflow-wrap: break-word; }
blockquote, pre { white-space: pre-wrap; overflow-wrap: anywhere; }
blockquote { margin: .5rem 0; padding: .25rem 1rem; border-left: .25rem solid #0072b2; }
pre { background: #f5f5f5; padding: .5rem; font-size: .85rem; }
img { max-width: 100%; height: auto; }
article, figure { break-inside: avoid; } figure { margin: 1rem 0; } tr { break-inside: avoid; }
@media print { body { margin: 0; max-width: none; font-size: 10pt; } .wide { overflow: visible; } }
"""


@dataclass(frozen=True)
class SystemResult:
    """One system on the test set: its metrics, fields and slices (field accuracy) with intervals, its cost.

    `metrics` has field_accuracy, exact_match and valid_json; `prompt` is the wording used, if any.
    """

    metrics: dict[str, Interval]
    fields: dict[str, Interval] = field(default_factory=dict)
    tokens_per_call: float | None = None
    seconds_per_call: float | None = None
    prompt: str | None = None
    slices: dict[str, Interval] = field(default_factory=dict)


@dataclass(frozen=True, repr=False)
class Report:
    """What a run found. `comparison` is `candidate` against `baseline`, both names of `systems`.

    `training`: minutes, steps, final_loss, final_eval_loss, log (rows as in `state.log_history`),
    peak_memory_gib, trainable_parameters. `prompt_search`: rows with name, kind, field_accuracy,
    tokens_per_call. `examples`: rows as `pick_examples` makes them. `rivals`: simpler systems (a) against the
    candidate (b). All but the first seven may be left out.
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
        header, rows = self._systems_table()
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in [header, *rows]]
        head = f"{self.task}, {self.n} test examples"
        against = f"{self.candidate} against {self.baseline}: {self.comparison!r}"
        reasons = [f"  - {reason}" for reason in self.gate.reasons]
        return "\n".join([head, "", *lines, "", against, f"Verdict: {self.verdict}", *reasons])

    def _repr_html_(self):
        return self._verdict_html() + _table("Systems on the test set", *self._systems_table())

    def to_html(self) -> str:
        """A whole page without scripts or anything from elsewhere."""
        parts = [
            f"<h1>{_text(self.task)}</h1>",
            f"<p>{self.n} test examples. {_text(self.created)}</p>",
            self._verdict_html(),
            self._systems_html(),
            self._parts_html(),
            self._training_html(),
            self._probes_html(),
            self._examples_html(),
            self._prompts_html(),
            self._origin_html(),
        ]
        policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{_text(self.task)}: {_text(self.verdict)}</title>\n<style>{STYLE}</style>\n</head>\n"
            "<body>\n<main>\n" + "\n".join(filter(None, parts)) + "\n</main>\n</body>\n</html>\n"
        )

    def save(self, folder: str | Path, force: bool = False) -> Path:
        """Write report.json and report.html into `folder`, which is returned; `force` replaces old ones."""
        folder = Path(folder)
        as_json = json.dumps(self.to_json_dict(), ensure_ascii=False, indent=2, allow_nan=False)
        texts = {"report.json": as_json + "\n", "report.html": self.to_html()}
        for name in texts:
            if (folder / name).exists() and not force:
                raise DataError(
                    f"{folder / name} exists already: choose another folder, or overwrite with force=True (--force)"
                )
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            temporary = folder / f".{name}.{os.getpid()}.tmp"
            try:
                temporary.write_bytes(text.encode("utf-8", "backslashreplace"))
                os.replace(temporary, folder / name)
            finally:
                temporary.unlink(missing_ok=True)
        return folder

    def _systems_table(self):
        metrics = list(dict.fromkeys(name for system in self.systems.values() for name in system.metrics))
        header = ["system", *map(_readable, metrics), "tokens/call", "seconds/call"]
        rows = [
            [
                _readable(name),
                *(_shown(system.metrics.get(metric)) for metric in metrics),
                _number(system.tokens_per_call, ".0f"),
                _number(system.seconds_per_call, ".3f"),
            ]
            for name, system in self.systems.items()
        ]
        return header, rows

    def _verdict_html(self):
        kind = {"ship": "ship", "do not ship": "no"}.get(self.verdict, "")
        reasons = "".join(f"<li>{_text(reason)}</li>" for reason in self.gate.reasons)
        verdict = f"<p>Verdict: {_text(self.verdict)}</p><ul>{reasons}</ul>"
        return f'<section class="verdict {kind}">{verdict}</section>'

    def _systems_html(self):
        from ftlab.plots import systems_alt, systems_figure

        metric, seen = self.gate.bars.metric, self.comparison
        shown = {name: s.metrics[metric] for name, s in self.systems.items() if metric in s.metrics}
        sentence = (
            f"{_readable(self.candidate).capitalize()} against {_readable(self.baseline)}, example by example: "
            f"{_points(seen)}, p = {seen.p_value:.2g} ({seen.method}, n = {seen.n}). They differ on "
            f"{100 * seen.disagreement:.1f} % of the examples; a gain of "
            f"{100 * seen.smallest_detectable_gain:.1f} points is the smallest that this test finds reliably."
        )
        return (
            "<h2>Systems</h2>"
            + _figure(systems_figure(shown, self.bar, metric), systems_alt(shown, self.bar, metric))
            + _table("Means with 95 % intervals on the test set", *self._systems_table())
            + f"<p>{_text(sentence)}</p>"
            + self._rivals_html()
        )

    def _rivals_html(self):
        if not self.rivals:
            return ""
        header = ["system", "reaches", f"{_readable(self.candidate)} against it", "examples"]
        rows = [[name, f"{100 * seen.a:.1f} %", _points(seen), str(seen.n)] for name, seen in self.rivals.items()]
        return _table("Simpler systems that must not do better", header, rows)

    def _parts_html(self):
        by_field = _by_system({name: system.fields for name, system in self.systems.items()})
        by_slice = _by_system({name: system.slices for name, system in self.systems.items()})
        html_fields = "<h2>Fields</h2>" + _table("Share of right values of each field", *by_field)
        html_slices = "<h2>Slices</h2>" + _table("Field accuracy on further test sets", *by_slice)
        return (html_fields if by_field[1] else "") + (html_slices if by_slice[1] else "")

    def _training_html(self):
        from ftlab.plots import loss_alt, loss_figure

        if not self.training:
            return ""
        log = list(self.training.get("log") or ())
        formats = {"minutes": ".1f", "final_loss": ".3f", "final_eval_loss": ".3f", "peak_memory_gib": ".2f"}
        rows = [
            [_readable(key), _number(value, formats.get(key, "")) if _is_number(value) else _shown(value)]
            for key, value in self.training.items()
            if key != "log" and value is not None
        ]
        figure = _figure(loss_figure(log), loss_alt(log)) if log else ""
        return "<h2>Training</h2>" + figure + _table("What the training took", ["", ""], rows)

    def _probes_html(self):
        if not self.probes:
            return ""
        header = ["probe", "before", "after", "change in points", "examples"]
        rows = [
            [name, f"{100 * seen.a:.1f} %", f"{100 * seen.b:.1f} %", _points(seen), str(seen.n)]
            for name, seen in self.probes.items()
        ]
        limit = f"What the model must not lose; the limit is {100 * self.gate.bars.max_probe_loss:.1f} points"
        return "<h2>Probes</h2>" + _table(limit, header, rows)

    def _examples_html(self):
        if not self.examples:
            return ""
        note = f"{WRONG.strip()} marks what differs from the reference."
        return f"<h2>Examples</h2><p>{note}</p>" + "".join(map(_example_html, self.examples))

    def _prompts_html(self):
        header = ["prompt", "kind", "field accuracy", "tokens/call"]
        rows = [
            [
                str(row.get("name", "")),
                _readable(str(row.get("kind", ""))),
                _shown(row.get("field_accuracy")),
                _number(row.get("tokens_per_call"), ".0f"),
            ]
            for row in self.prompt_search
        ]
        used = "".join(
            f"<h3>Prompt of {_text(_readable(name))}</h3><pre>{_text(system.prompt)}</pre>"
            for name, system in self.systems.items()
            if system.prompt
        )
        tried = _table("Prompts tried on validation rows", header, rows) if rows else ""
        return f"<h2>Prompts</h2>{tried}{used}" if tried or used else ""

    def _origin_html(self):
        rows = [
            ["created", self.created],
            ["recipe (SHA-256)", self.recipe_sha256],
            ["model (SHA-256)", self.model_sha256 or "not on the disk before the run"],
            ["data (SHA-256)", self.data_sha256],
            ["machine", str(self.machine)],
            ["versions", ", ".join(f"{name} {version}" for name, version in self.versions.items())],
        ]
        return "<h2>Origin</h2>" + _table("What made these numbers", ["", ""], [r for r in rows if r[1]])


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
        {
            "id": ids[i],
            "text": texts[i],
            "reference": references[i],
            "predictions": {name: answers[i] for name, answers in predictions.items()},
            "change": change,
        }
        for change, chosen in groups.items()
        for i in chosen[:each]
    ]


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


def _text(value) -> str:
    return html.escape(str(value))


def _readable(name: str) -> str:
    return name.replace("_", " ").replace("json", "JSON")


def _shown(value) -> str:
    return "–" if value is None else str(value)


def _is_number(value) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _number(value, form) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:{form or ',.4g'}}"


def _points(seen: Comparison) -> str:
    return f"{100 * seen.delta:+.1f} points [{100 * seen.low:+.1f}, {100 * seen.high:+.1f}]"


def _by_system(intervals: dict[str, dict[str, Interval]]):
    """(header, rows): a row for each field or slice, a column for each system."""
    names = dict.fromkeys(name for values in intervals.values() for name in values)
    rows = [[name, *(_shown(values.get(name)) for values in intervals.values())] for name in names]
    return ["", *map(_readable, intervals)], rows


def _table(caption, header, rows) -> str:
    """An HTML table of texts, all escaped; the first cell of a row is its heading, a header may be empty."""
    titles = "".join(f'<th scope="col">{_text(cell)}</th>' if cell else "<td></td>" for cell in header)
    head = f"<thead><tr>{titles}</tr></thead>" if any(header) else ""
    lines = "".join(
        f'<tr><th scope="row">{_text(first)}</th>{"".join(f"<td>{_text(cell)}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    label = f'role="region" tabindex="0" aria-label="{_text(caption)}"'
    return (
        f'<div class="wide" {label}><table><caption>{_text(caption)}</caption>{head}'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _figure(fig, alt) -> str:
    from ftlab.plots import figure_bundle

    return f"<figure>{figure_bundle(fig, alt)[0]['text/html']}</figure>"


def _example_html(example) -> str:
    reference, predictions = example.get("reference"), example.get("predictions", {})
    record = parse_record(reference) if isinstance(reference, str) else reference
    raw = {}
    if isinstance(record, dict):
        header, rows = _record_rows(record, predictions)
        raw = {name: text for name, text in predictions.items() if parse_record(text) is None}
    else:
        right = str(reference).strip()
        header = ["reference", *map(_readable, predictions)]
        rows = [[right, *(_mark(text, text.strip() == right) for text in predictions.values())]]
    title = f"{example.get('id', '')}: {example.get('change', '')}".strip(": ")
    return (
        f"<article><h3>{_text(title)}</h3><blockquote>{_text(example.get('text', ''))}</blockquote>"
        + _table(f"Answers to {example.get('id', 'this')}", header, rows)
        + "".join(f"<p>{_text(_readable(name))} wrote:</p><pre>{_text(t)}</pre>" for name, t in raw.items())
        + "</article>"
    )


def _record_rows(reference, predictions):
    """(header, rows): a row for each key, a column for the reference and for each system."""
    answers = {name: parse_record(text) for name, text in predictions.items()}
    keys = dict.fromkeys([*reference, *(key for answer in answers.values() for key in answer or ())])
    rows = []
    for key in keys:
        truth = _json(reference[key]) if key in reference else ""
        rows.append([key, truth, *(_cell(answer, reference, key) for answer in answers.values())])
    return ["", "reference", *map(_readable, answers)], rows


def _cell(answer, reference, key) -> str:
    """What an answer (None: no JSON object) says under a key, marked when the reference says otherwise."""
    if answer is None:
        return _mark("no JSON object", False)
    if key not in answer:
        return _mark("no such key", False) if key in reference else ""
    return _mark(_json(answer[key]), key in reference and _same(answer[key], reference[key]))


def _mark(text, right) -> str:
    return text if right else f"{WRONG}{text}"


def _json(value) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
