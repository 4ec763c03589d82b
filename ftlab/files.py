"""Writing files: nothing is overwritten silently, and no reader ever sees half of a file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ftlab.errors import DataError

JSONL_SUFFIXES = (".jsonl", ".ndjson")


def jsonl_path(path: str | Path) -> Path:
    """The path of a JSONL file that will be written; DataError for a name that says otherwise."""
    path = Path(path)
    if path.suffix.lower() not in JSONL_SUFFIXES:
        raise DataError(f"{path}: only JSONL is written; name the file {path.with_suffix('.jsonl')}")
    return path


def refuse_existing(path: Path, force: bool) -> None:
    """Raise DataError when the file exists and may not be replaced."""
    if path.exists() and not force:
        raise DataError(f"{path} exists already: choose another name, or overwrite with force=True (--force)")


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write into that takes its place only when all is written: no reader ever sees half of it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = "a file has this name" if isinstance(error, FileExistsError) else error.strerror
        raise DataError(f"{path.parent} cannot be a folder ({why}): choose another place") from error
    if path.is_dir():
        raise DataError(f"{path} is a folder: name a file")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
