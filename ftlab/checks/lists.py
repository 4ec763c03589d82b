"""The word lists and patterns of the checks: data/checks/words.yaml."""

import re
from functools import cache

import yaml

from ftlab.models import data_folder


@cache
def words(name: str):
    """One list of the file, as it stands there; a text of several words as a list of words."""
    return _file()[name]


@cache
def _file() -> dict:
    return yaml.safe_load((data_folder() / "checks" / "words.yaml").read_text(encoding="utf-8"))


def any_of(patterns: list[str]) -> str:
    """A pattern for whichever of these patterns stands there."""
    return f"(?:{'|'.join(patterns)})"


def any_text(texts: list[str]) -> str:
    """A pattern for whichever of these texts stands there, the longest first."""
    return any_of([re.escape(text) for text in sorted(texts, key=len, reverse=True)])
