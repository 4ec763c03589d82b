"""Tables of results in a notebook."""

from collections.abc import Iterable, Sequence
from html import escape


def html_table(rows: Iterable[Sequence], *before: str, after: Iterable[str] = ()) -> str:
    """A table, whose first row is its heading, between paragraphs."""
    import pandas as pd

    heading, *rows = (list(row) for row in rows)
    first, last = ("".join(f"<p>{escape(text)}</p>" for text in texts) for texts in (before, after))
    return first + pd.DataFrame(rows, columns=heading).to_html(index=False) + last
