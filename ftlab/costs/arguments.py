"""Checks of the arguments of estimates; each message names the argument and what it may be."""

import math
from collections.abc import Sequence

from ftlab.errors import RecipeError


def check_choice(name: str, value, choices: Sequence[str]) -> None:
    """Raise RecipeError for a value that is none of `choices`."""
    if value not in choices:
        raise RecipeError(f"{name}: {value!r} is not known; choose one of {', '.join(choices)}")


def check_whole(name: str, value, least: int = 1) -> None:
    """Raise RecipeError for a value that is no whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise RecipeError(f"{name}: {value!r} must be a whole number of at least {least}")


def check_positive(name: str, value) -> None:
    """Raise RecipeError for a value that is no finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise RecipeError(f"{name}: {value!r} must be a number above 0")
