"""The word lists and sentence patterns that the generators draw from: hand-written files in this folder.

The order of the items matters: a generator draws by number, so a new item changes what it writes.
"""

from pathlib import Path
from types import SimpleNamespace

from yaml import CBaseLoader, load

FOLDER = Path(__file__).parent


def read_words(name: str) -> SimpleNamespace:
    r"""The lists of NAME.yaml: a text after `|` is a list, one item a line, with `\n` for a line break in an item.

    Everything is text, so `no` and `10` need no quotes; a block such as `>-`, without a line break at its end, is one.
    """
    with open(FOLDER / f"{name}.yaml", encoding="utf-8") as file:
        return SimpleNamespace(**_lists(load(file, CBaseLoader)))


def _lists(value):
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_lists(item) for item in value]
    return [line.replace("\\n", "\n") for line in value.splitlines()] if value.endswith("\n") else value


def read_lines(name: str) -> list[str]:
    """The lines of NAME.txt: an indented one continues the one above, `# ` begins a comment, empty ones fall away."""
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").replace("\n    ", " ")
    return [line for line in text.splitlines() if line and not line.startswith("# ")]


def pairs(lines: list[str]) -> list[tuple[str, ...]]:
    """Items of two parts, written `first | second`."""
    return [tuple(line.split(" | ")) for line in lines]
