"""Several systems or runs on one page: scores, slices, what flipped, worst cases, training curves, data, versions.

`ftlab compare A B C --html page.html` writes it: one file without scripts or anything from elsewhere, for light and
dark, desk and phone. It shows what `predictions.align` and `statistics` find; its template stands beside this file.
"""

import base64
import hashlib
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ftlab import hardware
from ftlab.data.splits import group_of
from ftlab.errors import DataError
from ftlab.evaluation.answers import score
from ftlab.evaluation.metrics import words
from ftlab.evaluation.predictions import SETS, Aligned, run_report
from ftlab.evaluation.report import page_template, pick_examples
from ftlab.evaluation.statistics import basis, present_interval
from ftlab.files import refuse_existing, whole_file
from ftlab.tables import readable

EACH = 5  # examples of a kind
MOST = 12  # slices of one key
DARK = """<style>svg { color: #1a1a1a; fill: currentColor }
@media screen and (prefers-color-scheme: dark) { svg { color: #e8e8e8 } }</style>"""


def write_page(page: str | Path, aligned: Aligned, slices: Sequence[str] = (), force: bool = False) -> Path:
    """Write the page of systems that were read together, the baseline first; `slices` are keys of the references."""
    refuse_existing(page := Path(page), force)
    html = page_template("page.html.j2").render(values_of_page(aligned, slices))
    with whole_file(page) as file:
        file.write(html.encode("utf-8", "backslashreplace"))
    return page


def values_of_page(aligned: Aligned, slices: Sequence[str] = ()) -> dict:
    """What the template shows, by section."""
    names = short_names(list(aligned.scores))
    baseline, *candidates = aligned.scores
    compared = aligned.compare_all()
    means = {path: _mean(values, aligned.groups) for path, values in aligned.scores.items()}
    folders = dict.fromkeys(path.parent.parent for path in map(Path, names) if path.parent.name == "predictions")
    runs = {str(folder): report for folder in folders if (report := run_report(folder))}
    groups = len(set(aligned.groups)) if aligned.groups else None
    return {
        "title": f"{len(names)} systems on {len(aligned.ids):,} examples",
        "aligned": aligned,
        "basis": basis(len(aligned.ids), groups),
        "baseline": names[baseline],
        "systems": [[names[path], str(means[path]), *_against(compared.get(path))] for path in names],
        "means": _means_picture({names[path]: each for path, each in means.items()}, aligned.metric),
        "files": [[name, path] for path, name in names.items()],
        "notes": list(dict.fromkeys(note for each in aligned.notes.values() for note in each)),
        "slices": [(title, ["", "n", *names.values()], rows) for title, rows in _slices(aligned, slices)],
        "agreement": _agreement(aligned, names),
        "flips": [_flips(aligned, names, baseline, path) for path in candidates],
        "worst": _worst(aligned, names),
        "curves": _curves_picture({name: run.get("training", {}).get("log") for name, run in runs.items()}),
        "data": _data_card(aligned),
        "versions": [["this page", _made({"versions": hardware.versions()})],
                     *([name, _made(run)] for name, run in runs.items())],
    }  # fmt: skip


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """A name for each path: as many of its last parts as tell all apart, without what all predictions' names have."""
    bare = {path: path.replace("/predictions/", "/").removesuffix(".jsonl").replace("/test.", "/") for path in paths}
    for parts in range(1, 20):
        names = {path: "/".join(each.split("/")[-parts:]) for path, each in bare.items()}
        if len(set(names.values())) == len(names):
            return {path: readable(name) for path, name in names.items()}
    return {path: path for path in paths}


def _mean(values, groups=None):
    if groups is not None and len(set(groups)) < 2:
        return f"{100 * np.mean(values):.1f} % (one group)"
    return present_interval(values, groups)


def _against(seen) -> list[str]:
    if seen is None:
        return ["baseline", "", ""]
    points = f"{100 * seen.delta:+.1f} [{100 * seen.low:+.1f}, {100 * seen.high:+.1f}]"
    return [points, f"{seen.p_value if seen.p_holm is None else seen.p_holm:.2g}", seen.verdict]


def _by_example(aligned: Aligned) -> dict[str, np.ndarray]:
    """Scores of examples that stand for themselves: a part of an F1 does not, there it is right or wrong."""
    return aligned.exact if aligned.metric in ("macro_f1", *SETS) else aligned.scores


# --- slices


def _slices(aligned: Aligned, keys: Sequence[str]):
    """(title, rows): fields or labels, the keys of the rows that were named, and the length of the request."""
    scores, n = list(_by_example(aligned).values()), len(aligned.ids)
    if aligned.kind in ("record", "label", "labels"):
        answers, references = aligned.answers.values(), list(map(_text, aligned.references))
        parts = [score(aligned.kind, list(map(_text, each)), references).field_values() for each in answers]
        rows = [_row(aligned, name, [each[name] for each in parts]) for name in list(parts[0])[:MOST]]
        yield ("Fields" if aligned.kind == "record" else "Labels"), rows
    for key in keys:
        found = np.array([str(group_of(row, key, None)) for row in aligned.rows])
        if set(found) == {"None"}:
            raise DataError(
                f"{aligned.source}: no row has a text or number under {key!r}; name another key to slice by"
            )
        common = [name for name, _ in Counter(found.tolist()).most_common(MOST)]
        yield f"By {readable(key)}", [_row(aligned, name, scores, found == name) for name in common]
    sizes = np.array([len(words(_request(row))) for row in aligned.rows])
    low, high = np.quantile(sizes, [1 / 3, 2 / 3]) if n else (0, 0)
    if sizes.min() <= low < high < sizes.max():
        masks = {f"up to {low:.0f} words": sizes <= low, f"above {high:.0f} words": sizes > high}
        yield "By length of the request", [_row(aligned, name, scores, mask) for name, mask in masks.items()]


def _row(aligned: Aligned, name: str, scores: Sequence, mask=True) -> list[str]:
    """Name, examples and each system's mean over the examples that have a score and are in the mask."""
    has = ~np.isnan(scores[0]) & mask
    groups = None if aligned.groups is None else np.array(aligned.groups)[has]
    return [name, f"{has.sum():,}", *(str(_mean(values[has], groups)) for values in scores)]


# --- examples


def _agreement(aligned: Aligned, names: dict) -> list[list[str]]:
    """How many examples all systems have wholly right, none, and only one."""
    right = np.array(list(_by_example(aligned).values())) >= 1
    count = right.sum(axis=0)
    found = {"all systems": count == len(right), "no system": count == 0}
    found |= {f"only {name}": each & (count == 1) for name, each in zip(names.values(), right, strict=True)}
    return [[name, f"{mask.sum():,}", f"{100 * mask.mean():.1f} %"] for name, mask in found.items()]


def _flips(aligned: Aligned, names: dict, a: str, b: str) -> dict:
    """On how many examples a candidate is better or worse than the baseline, and the largest changes to read."""
    before, after = (_by_example(aligned)[path] for path in (a, b))
    texts = {names[path]: list(map(_text, aligned.answers[path])) for path in (a, b)}
    requests, references = list(map(_request, aligned.rows)), list(map(_text, aligned.references))
    picked = pick_examples(aligned.ids, requests, references, texts, before, after, EACH)
    counts = {"better": (after > before).sum(), "worse": (after < before).sum(), "as before": (after == before).sum()}
    return {"name": names[b], "counts": counts, "examples": [each for each in picked if each["change"] in counts]}


def _worst(aligned: Aligned, names: dict) -> list[dict]:
    """The examples on which all systems together do worst."""
    together = np.mean(list(_by_example(aligned).values()), axis=0)
    picked = [i for i in np.argsort(together, kind="stable")[:EACH] if together[i] < 1]
    return [
        {"id": aligned.ids[i], "text": _request(aligned.rows[i]), "reference": _text(aligned.references[i]),
         "predictions": {name: _text(aligned.answers[path][i]) for path, name in names.items()},
         "change": f"{100 * together[i]:.0f} % on average"}
        for i in picked
    ]  # fmt: skip


def _request(row: dict) -> str:
    """The last thing that a row's user says, or what stands where other forms have it; "" where nothing does."""
    said = [turn.get("content") for turn in row.get("messages") or () if turn.get("role") == "user"]
    return _text(said[-1] if said else next((row[key] for key in ("prompt", "input") if row.get(key)), ""))


def _text(value) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


# --- where it comes from


def _made(run: dict) -> str:
    parts = [run.get("created"), run.get("machine"), *(f"{k} {v}" for k, v in run.get("versions", {}).items())]
    parts += [f"{key.removesuffix('_sha256')} {run[key][:12]}" for key in run if key.endswith("_sha256") and run[key]]
    return ", ".join(filter(None, parts))


def _data_card(aligned: Aligned) -> list[list[str]]:
    """What the references are: how many, of which kind, how long, what repeats, and the hash of their file."""
    requests, answers = list(map(_request, aligned.rows)), list(map(_text, aligned.references))
    rows = [["file", aligned.source], ["examples", f"{len(answers):,}"], ["answers", aligned.kind or "scored by a log"]]
    if aligned.groups:
        name, most = Counter(aligned.groups).most_common(1)[0]
        rows.append(["groups", f"{len(set(aligned.groups)):,}; the largest, {name}, has {most:,} examples"])
    for what, texts in (("request", requests), ("answer", answers)):
        lengths = [len(words(text)) for text in texts]
        rows += [[f"words of a {what}", f"{np.median(lengths):.0f} (median), {max(lengths):,} (longest)"]] * any(
            lengths
        )
        rows += [[f"different {what}s", f"{len(set(texts)):,}"]] * any(texts)
    common = [f"{text[:60]} ({count:,})" for text, count in Counter(answers).most_common(3) if text and count > 1]
    rows += [["most frequent answers", "; ".join(common)]] * bool(common)
    file = Path(aligned.source)
    return [*rows, ["SHA-256", hashlib.sha256(file.read_bytes()).hexdigest()]] if file.is_file() else rows


# --- pictures


def _means_picture(means: dict, metric: str):
    from ftlab.plots import systems_alt, systems_figure

    if any(isinstance(each, str) or each.low < 0 for each in means.values()):
        return ""
    fig = systems_figure(means, metric=metric)
    fig.set_size_inches(5.6, 1.0 + 0.42 * len(means))
    return _picture(fig, systems_alt(means, metric=metric))


def _curves_picture(logs: dict):
    """The validation loss over the steps, or where none was taken the training loss, of each run that has a log."""
    from ftlab.plots import loss_alt, loss_figure

    if not (logs := {name: log for name, log in logs.items() if log}):
        return ""
    alts = [f"{name}: {loss_alt(log)}" for name, log in logs.items()]
    return [_picture(loss_figure(log), alt) for log, alt in zip(logs.values(), alts, strict=True)]


def _picture(fig, alt: str):
    """A figure as SVG, whose black follows the reader's light or dark."""
    from markupsafe import Markup

    buffer = io.BytesIO()
    fig.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue().decode().replace("#000000", "currentColor").replace("#d9d9d9", "#88888866")
    svg = svg.replace("#595959", "#808080").replace("<defs>", f"{DARK}<defs>", 1)
    encoded = base64.b64encode(svg[svg.index("<svg") :].encode()).decode()
    return Markup('<figure><img alt="{}" src="data:image/svg+xml;base64,{}"></figure>').format(alt, encoded)
