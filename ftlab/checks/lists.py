"""The word lists and patterns of the checks: data/checks/words.yaml."""

from collections.abc import Iterable
from functools import cache

import yaml

from ftlab.models import data_folder


@cache
def word_list(name: str):
    """One list of the file, as it stands there; a text of several words as a list of words."""
    return _file()[name]


@cache
def _file() -> dict:
    return yaml.safe_load((data_folder() / "checks" / "words.yaml").read_text(encoding="utf-8"))


def one_of(patterns: Iterable[str]) -> str:
    """A pattern for whichever of these patterns stands there."""
    return f"(?:{'|'.join(patterns)})"
