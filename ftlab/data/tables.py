"""Rows of tables: Parquet, a folder of `save_to_disk`, a Dataset.

Each reader yields (line, row, problems, place in the line, is it a row); rows count from 1, without a header.
"""

import datetime
from collections import Counter
from collections.abc import Iterator

from ftlab.data import jsonl
from ftlab.data.findings import walk
from ftlab.errors import DataError

# columns of a table that hold turns or a list, or text as well as turns
LIST_COLUMNS = {
    "messages", "conversations", "conversation", "history", "tools", "preferred_output", "non_preferred_output"
}  # fmt: skip
TEXT_OR_TURNS = {"prompt", "completion", "chosen", "rejected"}
TURN_COLUMNS = (LIST_COLUMNS - {"history", "tools"}) | TEXT_OR_TURNS


def scan_parquet(path, name) -> Iterator[tuple]:
    """Rows of a Parquet file."""

    def rows():
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            twice = [column for column, count in Counter(names).items() if count > 1]
            if twice:
                raise DataError(f"{path} has two columns {twice[0]!r}: rename one")
            for batch in file.iter_batches(1000):
                yield from batch.to_pylist()

    yield from _table_rows(rows(), name)


def scan_folder(path) -> Iterator[tuple]:
    """Rows of a folder written by `Dataset.save_to_disk`."""
    splits = sorted(item.parent.name for item in path.glob("*/state.json"))
    if (path / "dataset_dict.json").exists() and splits:
        raise DataError(f"{path} holds the splits {', '.join(splits)}: name one, for example {path / splits[0]}")
    if not (path / "state.json").exists():
        raise DataError(f"{path} is a folder that save_to_disk did not write: name a file in it")
    from datasets import load_from_disk

    try:
        dataset = load_from_disk(str(path))
    except Exception as error:  # whatever damage the folder has
        raise DataError(f"{path} cannot be loaded ({_first_line(error)}): save the data set again") from error
    yield from scan_dataset(dataset, str(path))


def scan_dataset(dataset, name) -> Iterator[tuple]:
    """Rows of a `datasets.Dataset`."""
    if isinstance(dataset, dict):
        raise DataError(f"a DatasetDict with the splits {', '.join(map(str, dataset))}: give one of them")
    if not hasattr(dataset, "with_format"):
        raise DataError(f"give a path or a datasets.Dataset, not a {type(dataset).__name__}")
    yield from _table_rows(iter(dataset.with_format(None)), name)


def _table_rows(rows, name):
    """Lines of a table, counted from 1 without a header; keys that are null only because others have them go."""
    number = nulls = first_null = 0
    for number, row in enumerate(_guarded(rows, name), 1):
        row, removed = _plain_row(row)
        nulls += removed
        first_null = first_null or (number if removed else 0)
        problems = [
            ("not_json_value", field, type(value).__name__)
            for field, value, _ in walk(row)
            if not isinstance(value, (str, int, float, list, dict, type(None)))
        ]
        yield number, row, problems or list(jsonl.value_problems(row)), "", True
    if nulls:
        yield None, None, [("null_arguments", "tool_calls", nulls, first_null)], "", False
    if not number:
        raise DataError(f"{name} is empty: it has no rows")


def _guarded(rows, name):
    """The same rows; whatever a damaged table raises becomes a DataError."""
    try:
        yield from rows
    except DataError:
        raise
    except Exception as error:  # Arrow raises many kinds: OSError, ValueError, KeyError, its own
        raise DataError(f"{name} cannot be read ({_first_line(error)}): it is damaged, write it again") from error


def _first_line(error):
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"


def _plain_row(row: dict) -> tuple[dict, int]:
    """A row of a table with dates as text and turns without null keys, and the nulls taken out of tool calls."""
    result, removed = {}, 0
    for name, value in row.items():
        if isinstance(value, (datetime.date, datetime.time)):
            value = value.isoformat()
        elif name == "input" and isinstance(value, dict):
            value, removed_here = _plain_row({key: item for key, item in value.items() if item is not None})
            removed += removed_here
        elif name == "tools":
            value, removed_here = _without_nulls(value)
            removed += removed_here
        elif name in TURN_COLUMNS and isinstance(value, list):
            turns = []
            for turn in value:
                if isinstance(turn, dict):
                    turn = {key: item for key, item in turn.items() if item is not None or key == "content"}
                if isinstance(turn, dict) and "tool_calls" in turn:
                    turn["tool_calls"], removed_here = _without_nulls(turn["tool_calls"])
                    removed += removed_here
                turns.append(turn)
            value = turns
        result[name] = value
    return result, removed


def _without_nulls(value):
    """The value without keys that are null, at any depth, and their number."""
    if isinstance(value, dict):
        items = {key: _without_nulls(item) for key, item in value.items() if item is not None}
        removed = len(value) - len(items) + sum(count for _, count in items.values())
        return {key: item for key, (item, _) in items.items()}, removed
    if isinstance(value, list):
        items = [_without_nulls(item) for item in value]
        return [item for item, _ in items], sum(count for _, count in items)
    return value, 0
