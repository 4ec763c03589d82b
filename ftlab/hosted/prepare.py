"""The job of a service before anything is sent: its files, checked by the service's rules, and its settings."""

import hashlib
import importlib
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path

from ftlab import home
from ftlab.data.export import ExportReport, export
from ftlab.data.findings import Row, listing
from ftlab.errors import RecipeError
from ftlab.hosted.job import SERVICES, Job, load_job, sha256_of

EPOCHS = 3
NOWHERE = "no address yet"  # of a job that was prepared without an account
SHOWN = 5  # findings of the rows that a job keeps among its notes


def module(service: str):
    """The functions of one service."""
    if service not in SERVICES:
        raise RecipeError(f"{service!r} is no service here; choose one of {', '.join(SERVICES)}")
    return importlib.import_module(f"ftlab.hosted.{service}")


def prepare(
    service: str,
    model: str,
    rows: Sequence[Row],
    *,
    method: str = "sft",
    validation: Sequence[Row] | None = None,
    settings: dict | None = None,
    out: str | Path | None = None,
    tokenizer=None,
    attempt: int = 1,
    force: bool = False,
    **options,
) -> tuple[Job, ExportReport]:
    """Write the service's files, checked by its rules, and the job that would use them. Nothing is sent.

    `settings` are the service's own hyper-parameters; `n_epochs` is 3 where none is given, so that a price can be told.
    The same data and settings give the same job; one that was submitted is never made anew. Files in a folder `out` of
    yours are replaced only with `force`. `options` go to `export`.
    """
    own = module(service)
    if not re.search(getattr(own, "MODELS", ""), model):
        raise RecipeError(f"{service}: {own.OTHER_MODELS}; {model} is none of them")
    if method not in own.TARGETS:
        raise RecipeError(f"{service} offers {', '.join(own.TARGETS)}, and not {method} (through this package)")
    if validation and method in getattr(own, "NO_VALIDATION", ()):
        raise RecipeError(f"{service} takes no validation rows for {method}: leave them out")
    settings = {"n_epochs": EPOCHS} | (settings or {})
    if unknown := [name for name in settings if name not in own.SETTINGS]:
        raise RecipeError(f"{service} has no setting {', '.join(unknown)}; it has {', '.join(own.SETTINGS)}")
    _check_settings(service, settings, getattr(own, "RANGES", {}))
    if out is None:  # a folder of its own, so that no later job writes over these files
        given = (row.data for row in [*rows, *(validation or ())])
        content = json.dumps([model, settings, attempt, *given], default=str)
        folder = f"{service}_{method}_{hashlib.sha256(content.encode()).hexdigest()[:12]}"
        out, force = home() / "hosted" / "files" / folder, True
    options |= {"validation": validation, "tokenizer": tokenizer, "force": force}
    report = export(rows, own.TARGETS[method], Path(out), **options)
    files = {path.stem: str(path.resolve()) for path in report.files}
    counts = {"train": report.rows} | ({"validation": report.validation_rows} if "validation" in files else {})
    data = {part: sha256_of(path) for part, path in files.items()}
    address, missing = _address(own)
    job = Job(
        service, address, model, method, settings, data, attempt, files, counts,
        {"train": report.tokens, "validation": report.validation_tokens},
        [*report.warnings, *missing, *listing(report.findings, SHOWN)],
    )  # fmt: skip
    if job.path.exists():
        kept = load_job(job.name)
        counted = {part: count for part, count in job.tokens.items() if count is not None}
        return kept.step("", files=files, tokens=kept.tokens | counted, notes=job.notes), report
    return job.step("prepared"), report


def _check_settings(service: str, settings: dict, ranges: dict) -> None:
    """RecipeError for a number that no training can have, or that the service is known to refuse."""
    epochs = settings["n_epochs"]
    if epochs != "auto" and not (type(epochs) is int and epochs >= 1):
        raise RecipeError(f"{service}: n_epochs is {epochs!r}: give a whole number from 1 on, or auto")
    for name, value in settings.items():
        if not isinstance(value, int | float):
            continue
        least, most = ranges.get(name, (0, math.inf))
        if not (math.isfinite(value) and least <= value <= most):
            told = f"{least:g} to {most:g}" if math.isfinite(most) else f"{least:g} or more"
            raise RecipeError(f"{service}: {name} is {value:g}: it takes {told}")


def _address(own) -> tuple[str, list[str]]:
    """Where the service's requests would go; without the settings that say it, nowhere yet, and what is missing."""
    try:
        return own.address(), []
    except RecipeError as error:
        return NOWHERE, [f"{error}; set it and prepare again before you submit"]
