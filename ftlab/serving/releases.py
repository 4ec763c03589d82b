"""Releases on disk: a folder each, with card and hashes; `current.json` names the one in service, and is written whole.

A release is copied beside the others, checked, and only then named; a roll-back names the one before it again.
"""

import datetime
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ftlab.data.findings import raise_findings
from ftlab.data.jsonl import scan_jsonl, write_rows
from ftlab.errors import DataError
from ftlab.evaluation.metrics import row_id
from ftlab.evaluation.predictions import compare_files
from ftlab.evaluation.statistics import Comparison
from ftlab.files import whole_file
from ftlab.serving.card import CARD, model_card, read_run
from ftlab.training.recipe import RESOLVED, Recipe, load_recipe

POINTER, HASHES, ABOUT = "current.json", "SHA256SUMS", "release.json"
COPIED = ("adapter", "predictions", RESOLVED, "report.json")


@dataclass(frozen=True, repr=False)
class Release:
    """What was decided about a run: `name` is its folder, None where it was refused, `reasons` say why.

    `against` holds, by test set, the comparison with the release that was in service, on the cases that both answered.
    """

    name: str | None
    folder: str | None
    replaced: str | None
    reasons: tuple[str, ...]
    against: dict[str, Comparison]

    def to_dict(self) -> dict:
        """The fields as plain JSON values."""
        return asdict(self)

    def __repr__(self):
        head = f"release {self.name} is in service ({self.folder})" if self.name else "not released"
        seen = [f"  {part}, release {self.replaced} -> this: {each!r}" for part, each in self.against.items()]
        return "\n".join([head, *(f"  {reason}" for reason in self.reasons), *seen])


def release(run: str | Path, releases: str | Path, despite: str = "") -> Release:
    """Make a finished run the release in service, if its gate says "ship" and no test set lost more than it may.

    The second is asked of each test set of the release in service; the recipe's bar `max_probe_loss` says how much.
    What cannot be compared, since the cases are others or the release in service is damaged, is refused too. `despite`
    overrules a refusal and is kept with the reason that you give.
    """
    run, releases = Path(run), Path(releases)
    report, _ = read_run(run)
    before = (_history(releases) or [None])[-1]
    reasons, against = _judged(run, report, releases)
    if reasons and not despite:
        remedy = "mend it, or say why it is released all the same (--despite)"
        return Release(None, None, before, (*reasons, remedy), against)
    number = max((int(path.name) for path in releases.glob("[0-9]*") if path.name.isdigit()), default=0) + 1
    folder, unfinished = releases / str(number), releases / f".{number}.{os.getpid()}"
    try:
        for name in COPIED:
            if (run / name).is_dir():
                shutil.copytree(run / name, unfinished / name)
            elif (run / name).exists():
                unfinished.mkdir(parents=True, exist_ok=True)
                shutil.copy2(run / name, unfinished / name)
        (unfinished / CARD).write_text(model_card(run), encoding="utf-8")
        about = {"release": str(number), "created": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
                 "replaced": before, "objections": reasons, "despite": despite,
                 "against": {part: each.to_dict() for part, each in against.items()}}  # fmt: skip
        (unfinished / ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")
        (unfinished / HASHES).write_text("".join(_hash_lines(unfinished)), encoding="utf-8")
        os.rename(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    _name(releases, [*_history(releases), str(number)])
    reasons += [f"released all the same: {despite}"] if reasons else []
    return Release(str(number), str(folder), before, tuple(reasons), against)


def rollback(releases: str | Path) -> Release:
    """Put the release before the one in service back; DataError where there is none, or its files have changed."""
    releases = Path(releases)
    history = _history(releases)
    if len(history) < 2:
        raise DataError(
            f"{releases} has no release before {history[-1] if history else 'the first'}: nothing to put back"
        )
    folder = releases / history[-2]
    check_release(folder)
    _name(releases, history[:-1])
    return Release(history[-2], str(folder), history[-1], (f"release {history[-1]} stays in its folder",), {})


def current(releases: str | Path) -> Path | None:
    """The folder of the release in service, its hashes checked; None before the first."""
    history = _history(Path(releases))
    if not history:
        return None
    check_release(Path(releases) / history[-1])
    return Path(releases) / history[-1]


def check_release(folder: str | Path) -> None:
    """Raise DataError for a file that is missing, changed or new since the release was made, but for hidden ones."""
    folder = Path(folder)
    try:
        wanted = (folder / HASHES).read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    except OSError as error:
        raise DataError(f"{folder}: no release lies there ({error.strerror}); look into {POINTER} beside it") from error
    found = list(_hash_lines(folder))
    if other := sorted({line.strip().rpartition("  ")[2] for line in {*wanted} ^ {*found}}):
        raise DataError(f"{folder}: not as it was released: {', '.join(other)}. Put the files back from a copy, or "
                        "release the run again (--despite)")  # fmt: skip


def _judged(run: Path, report: dict, releases: Path) -> tuple[list[str], dict[str, Comparison]]:
    """What speaks against a run, and how it compares with the release in service on each test set of that one."""
    recipe, gate, reasons, against = load_recipe(run / RESOLVED), report["gate"], [], {}
    if gate["verdict"] != "ship":
        reasons.append(f"the gate of this run says {gate['verdict']!r}: {' '.join(gate['reasons'])}")
    try:
        before = current(releases)
    except DataError as error:
        return [*reasons, f"not compared with the release in service: {error}"], against
    parts = ["test", *(read_run(before)[1]["data"].get("slices") or ())] if before else []
    for part in parts:
        seen = _compared(part, before, run, recipe)
        if isinstance(seen, str):
            reasons.append(f"not compared on {part}: {seen}")
            continue
        against[part] = seen
        if seen.delta < -(allowed := recipe.bars.max_probe_loss):
            reasons.append(f"on {part} it loses {-100 * seen.delta:.1f} points against the release in service "
                           f"(allowed: {100 * allowed:.1f})")  # fmt: skip
    return reasons, against


def _compared(part: str, before: Path, run: Path, recipe: Recipe) -> Comparison | str:
    """Release in service (a) against run (b) on the cases of a test set that both answered; else why not."""
    files = [folder / "predictions" / f"{part}.fine_tuned.jsonl" for folder in (before, run)]
    if lacking := [who for who, file in zip(("the release in service", "this run"), files, strict=True)
                   if not file.exists()]:  # fmt: skip
        return f"{' and '.join(lacking)} did not answer it"
    if not (references := {"test": recipe.data.test, **recipe.data.slices}.get(part)):
        return "the recipe of this run does not name it"
    a, b, truth = map(_rows, (*files, references))
    if a.keys() == b.keys():
        return compare_files(*files, references, metric=recipe.bars.metric)
    if any(row.get("id") is None for row in truth.values()):
        return f"other cases, and nothing says which they share: give each row of {references} an id"
    shared = [key for key in truth if key in a and key in b]
    if 2 * len(shared) < min(len(a), len(b)) or not shared:
        return f"other cases: this run answered {len(shared)} of the {len(a)} of the release in service"
    with tempfile.TemporaryDirectory() as folder:
        names = ("release in service.jsonl", "this run.jsonl", "references.jsonl")
        cut = [write_rows([rows[key] for key in shared], Path(folder) / name)
               for name, rows in zip(names, (a, b, truth), strict=True)]  # fmt: skip
        found = compare_files(*cut, metric=recipe.bars.metric)
    seen = f"on the {len(shared)} cases that both answered: {len(a)} the release in service, {len(b)} this run"
    return replace(found, notes=(seen, *(note.replace(f"{folder}{os.sep}", "") for note in found.notes)))


def _rows(path: Path) -> dict[str, dict]:
    """The rows of a file by their ids."""
    lines = [line for line in scan_jsonl(path) if line.is_row]
    raise_findings([each for line in lines for each in line.findings if each.severity == "error"])
    return {str(row_id(line.row, number)): line.row for number, line in enumerate(lines)}


def _hash_lines(folder: Path) -> Iterator[str]:
    """`sha256sum -c SHA256SUMS` reads these; hidden files, such as a file manager's .DS_Store, do not count."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != HASHES):
        name = path.relative_to(folder).as_posix()
        if not any(part.startswith(".") for part in name.split("/")):
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            yield f"{digest}  {name}\n"


def _history(releases: Path) -> list[str]:
    """The releases that a roll-back goes through, the one in service last."""
    try:
        return list(json.loads((releases / POINTER).read_text(encoding="utf-8"))["history"])
    except FileNotFoundError:
        return []
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"{releases / POINTER}: cannot be read ({error}): write {{\"history\": [\"1\"]}} with the "
                        "numbers of the releases, the one in service last") from error  # fmt: skip


def _name(releases: Path, history: list[str]) -> None:
    with whole_file(releases / POINTER) as file:
        file.write((json.dumps({"current": history[-1], "history": history}) + "\n").encode())
