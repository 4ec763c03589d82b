"""One small hierarchy: each message says what is wrong, where, and what to do."""

import json


class FtlabError(Exception):
    """Base of every error that ftlab raises on purpose; the command line prints it without a traceback."""


class DataError(FtlabError):
    """A file or a row that cannot be used as it is; names file, line, field and the remedy."""


class ModelError(FtlabError):
    """A model that cannot be loaded here, and what to do about it."""


class RecipeError(FtlabError):
    """A recipe with a missing, unknown or impossible setting."""


def shown(value, length: int = 60) -> str:
    """A value as a message names it, in at most `length` characters."""
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, list):
        text = f"[{', '.join(map(shown, value))}]"
    elif isinstance(value, int | float) and not isinstance(value, bool):
        text = "a huge number" if abs(value) >= 1e300 else f"{value:.15g}"
    else:
        text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= length else f"{text[: length - 3]}..."
