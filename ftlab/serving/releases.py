"""Releases on disk: a folder each, with card and hashes; `current.json` names the one in service, and is written whole.

A release is copied beside the others, checked, and only then named; a roll-back names the one before it again.
"""

import datetime
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ftlab.errors import DataError
from ftlab.evaluation.predictions import compare_files
from ftlab.evaluation.statistics import Comparison
from ftlab.files import whole_file
from ftlab.serving.card import CARD, model_card, read_run
from ftlab.training.recipe import RESOLVED, load_recipe

POINTER, HASHES, ABOUT = "current.json", "SHA256SUMS", "release.json"
COPIED = ("adapter", "predictions", RESOLVED, "report.json")


@dataclass(frozen=True, repr=False)
class Release:
    """What was decided about a run: `name` is its folder, None where it was refused, `reasons` say why.

    `against` holds, for each test set that both have answered, the comparison with the release that was in service.
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

    The second is asked of each test set that the release in service has answered as well; the recipe's bar
    `max_probe_loss` says how much. `despite` overrules a refusal and is kept with the reason that you give.
    """
    run, releases = Path(run), Path(releases)
    report, _ = read_run(run)
    before = current(releases)
    against = dict(_comparisons(before, run)) if before else {}
    reasons = list(_objections(report, against, load_recipe(run / RESOLVED).bars.max_probe_loss))
    if reasons and not despite:
        remedy = "mend it, or say why it is released all the same (--despite)"
        return Release(None, None, before and before.name, (*reasons, remedy), against)
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
                 "replaced": before and before.name, "objections": reasons, "despite": despite,
                 "against": {part: each.to_dict() for part, each in against.items()}}  # fmt: skip
        (unfinished / ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")
        (unfinished / HASHES).write_text("".join(_hash_lines(unfinished)), encoding="utf-8")
        os.rename(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    _name(releases, [*_history(releases), str(number)])
    reasons += [f"released all the same: {despite}"] if reasons else []
    return Release(str(number), str(folder), before and before.name, tuple(reasons), against)


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
    """Raise DataError for a file that is missing, changed or new since the release was made."""
    folder = Path(folder)
    try:
        wanted = (folder / HASHES).read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError as error:
        raise DataError(f"{folder}: no release lies there ({error.strerror}); look into {POINTER} beside it") from error
    found = list(_hash_lines(folder))
    if other := sorted({line.split(maxsplit=1)[1].strip() for line in {*wanted} ^ {*found}}):
        raise DataError(f"{folder}: not as it was released: {', '.join(other)}. Put the files back from a copy, or "
                        "release the run again")  # fmt: skip


def _objections(report: dict, against: dict[str, Comparison], allowed: float) -> Iterator[str]:
    gate = report["gate"]
    if gate["verdict"] != "ship":
        yield f"the gate of this run says {gate['verdict']!r}: {' '.join(gate['reasons'])}"
    for part, seen in against.items():
        if seen.delta < -allowed:
            yield (f"on {part} it loses {-100 * seen.delta:.1f} points against the release in service "
                   f"(allowed: {100 * allowed:.1f})")  # fmt: skip


def _comparisons(before: Path, run: Path) -> Iterator[tuple[str, Comparison]]:
    """Release in service (a) against run (b) on each test set that both have answered in full."""
    recipe = load_recipe(run / RESOLVED)
    for part, references in {"test": recipe.data.test, **recipe.data.slices}.items():
        files = [folder / "predictions" / f"{part}.fine_tuned.jsonl" for folder in (before, run)]
        if all(file.exists() for file in files):
            ids = [{json.loads(line)["id"] for line in file.read_text(encoding="utf-8").splitlines()} for file in files]
            if ids[0] == ids[1]:
                yield part, compare_files(*files, references, metric=recipe.bars.metric)


def _hash_lines(folder: Path) -> Iterator[str]:
    """`sha256sum -c SHA256SUMS` reads these."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != HASHES):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        yield f"{digest}  {path.relative_to(folder).as_posix()}\n"


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
