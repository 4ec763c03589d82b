"""The rows that a run reads, looked at before anything takes time: what cannot serve is named with file and line."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ftlab.data.findings import Finding, content_field, raise_findings
from ftlab.data.schema import check_chat
from ftlab.data.splits import assert_no_leak
from ftlab.errors import DataError
from ftlab.evaluation.generation import positions, prompt_ids
from ftlab.evaluation.metrics import parse_record, read_schema
from ftlab.training.recipe import Recipe
from ftlab.training.train import bytes_to_save, untrainable_rows

SPARE = 100 * 2**20  # bytes, for tokenizers, answers and the report


@dataclass(frozen=True)
class Part:
    """The rows of one file, and the line of each."""

    path: Path | None
    rows: list[dict]
    lines: list[int]

    def findings(self, problems: Iterable[tuple[int, str, str]]) -> list[Finding]:
        """Findings from (index of the row, field, message)."""
        return [Finding("run", "error", str(self.path), self.lines[i], field, text) for i, field, text in problems]


@dataclass(frozen=True)
class Data:
    """What a run reads: `tests` are the test set and the slices, `references` their answers as JSON objects."""

    train: Part
    replay: Part
    validation: Part
    tests: dict[str, Part]
    probe: Part
    references: dict[str, list[dict]]
    schema: dict | None


def read_data(recipe: Recipe) -> Data:
    """Every row that the run needs; one DataError with file and line where some cannot serve, or sets share rows."""
    files = recipe.data
    train = read_part(files.train, files.train_rows)
    replay, validation, probe = map(read_part, (files.replay, files.validation, recipe.evaluation.probe))
    tests = {"test": read_part(files.test)} | {name: read_part(path) for name, path in files.slices.items()}
    problems = []
    for part in (validation, *tests.values()):
        problems += part.findings(answer_problems(part.rows, judged=True))
    for part in (train, replay, probe):
        problems += part.findings(answer_problems(part.rows, judged=False))
    raise_findings(problems)
    for part in (validation, *tests.values(), probe):
        refuse_leak(train.path, train.rows + replay.rows, part)
    for part in tests.values():
        refuse_leak(validation.path, validation.rows, part)
    references = {name: [parse_record(answer) for answer in answers_of(part.rows)] for name, part in tests.items()}
    schema = read_schema(files.schema) if files.schema else None
    return Data(train, replay, validation, tests, probe, references, schema)


def read_part(path: Path | None, rows: int | None = None) -> Part:
    """The first `rows` of a chat file (None: all); none without a file. DataError where any row is unusable."""
    if path is None:
        return Part(None, [], [])
    check = check_chat(path)
    raise_findings(check.errors)
    return Part(path, check.rows[:rows], check.lines)


def answer_problems(rows: Sequence[dict], judged: bool) -> Iterator[tuple[int, str, str]]:
    """(index, field, message) of rows that cannot be asked and compared; `judged` ones need a record as answer."""
    for index, row in enumerate(rows):
        turns = row["messages"]
        roles = [turn["role"] for turn in turns if turn["role"] != "system"]
        answer, field = turns[-1].get("content"), content_field(len(turns) - 1)
        if "user" not in roles:
            yield index, "messages", "needs one turn of the user; correct it, or leave it out"
        elif not isinstance(answer, str):
            yield index, field, "the last turn has no text to compare with; correct it"
        elif judged and roles != ["user", "assistant"]:
            remedy = "split a longer conversation, or leave it out"
            yield index, "messages", f"needs one turn of the user and one answer; {remedy}"
        elif judged and not parse_record(answer):
            yield index, field, "the answer is no JSON object with fields; correct it"


def refuse_leak(path: Path, rows: list[dict], part: Part) -> None:
    """Raise DataError with both files where a part shares an input with the rows."""
    try:
        assert_no_leak(rows, part.rows)
    except DataError as error:
        raise DataError(f"{path} and {part.path}: {error}") from error


def check_lengths_and_masks(recipe: Recipe, data: Data, model, tokenizer, say) -> None:
    """Raise DataError with file and line for rows that would be cut off, or trained on anything but their answers."""
    problems = []
    for part in (data.train, data.replay):
        found = untrainable_rows(part.rows, tokenizer, recipe.training.max_length)
        problems += part.findings((index, "", text) for index, text in found)
    limit, room = positions(model), recipe.evaluation.max_new_tokens
    for part in (*data.tests.values(), data.probe):
        sizes = [len(prompt_ids(tokenizer, row["messages"][:-1])) for row in part.rows]
        problems += part.findings(
            (index, "", f"{size:,} tokens and {room} new ones do not fit into the {limit:,} positions of the model")
            for index, size in enumerate(sizes)
            if limit and size + room > limit
        )
    raise_findings(problems)
    answers = answers_of(data.tests["test"].rows)
    long = sum(len(tokenizer(answer, add_special_tokens=False)["input_ids"]) >= room for answer in answers)
    if long:
        say(f"{long} of {len(answers)} right answers do not fit into max_new_tokens {room} and cannot be met: raise it")


def check_disk(recipe: Recipe, model, folder: Path) -> None:
    """Raise DataError where what a training writes does not fit on the folder's disk."""
    home = next(each for each in (folder.resolve(), *folder.resolve().parents) if each.exists())
    needed, free = bytes_to_save(recipe.training, model) + SPARE, shutil.disk_usage(home).free
    if free < needed:
        sizes = f"{needed / 2**30:.1f} GiB, and {home} has {free / 2**30:.1f} GiB free"
        raise DataError(f"the checkpoints and answers of this run take about {sizes}: make room, or choose --out")


def answers_of(rows: Sequence[dict]) -> list[str]:
    """The last turn of each row."""
    return [row["messages"][-1]["content"] for row in rows]
