"""Tables of results in a notebook, and names as they stand in them."""

from collections.abc import Iterable, Sequence
from html import escape

NAMES = {"chrf": "chrF", "rouge_l": "ROUGE-L", "macro_f1": "macro F1"}


def readable(name: str) -> str:
    """A metric's or system's name as it is read."""
    return NAMES.get(name) or name.replace("_", " ").replace("json", "JSON")


def html_table(rows: Iterable[Sequence], *before: str, after: Iterable[str] = ()) -> str:
    """A table, whose first row is its heading, between paragraphs."""
    import pandas as pd

    heading, *rows = (list(row) for row in rows)
    first, last = ("".join(f"<p>{escape(text)}</p>" for text in texts) for texts in (before, after))
    return first + pd.DataFrame(rows, columns=heading).to_html(index=False) + last
