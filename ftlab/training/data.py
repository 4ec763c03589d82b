"""The rows that a run reads, looked at before anything takes time: what cannot serve is named with file and line."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ftlab.data.findings import Finding, content_field, raise_findings
from ftlab.data.schema import check_chat
from ftlab.data.splits import assert_no_leak, group_of
from ftlab.errors import DataError, shown
from ftlab.evaluation.answers import answer_kind, labels_of
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
    """What a run reads: `tests` are the test set and the slices, `references` their answers (records as JSON objects).

    `groups` names the group of each row of a test set, where the recipe has them; `kind` is what the answers are.
    """

    train: Part
    replay: Part
    validation: Part
    tests: dict[str, Part]
    probe: Part
    references: dict[str, list]
    schema: dict | None
    kind: str
    groups: dict[str, list[str]]


def read_data(recipe: Recipe) -> Data:
    """Every row that the run needs; one DataError with file and line where some cannot serve, or sets share rows."""
    files = recipe.data
    train = read_part(files.train, files.train_rows)
    replay = read_part(files.replay, files.replay_rows)
    validation, probe = read_part(files.validation), read_part(recipe.evaluation.probe)
    tests = {"test": read_part(files.test)} | {name: read_part(path) for name, path in files.slices.items()}
    problems = []
    for part in (train, replay, probe, validation, *tests.values()):
        problems += part.findings(answer_problems(part.rows))
    raise_findings(problems)
    kind = recipe.answer or answer_kind(answers_of(validation.rows + tests["test"].rows))
    for part in (validation, *tests.values()):
        problems += part.findings(unlike(kind, part.rows))
    groups = {}
    for name, part in tests.items() if recipe.group else ():
        found = [group_of(row, recipe.group, recipe.group_part) for row in part.rows]
        groups[name] = found
        problems += part.findings(group_problems(found, recipe))
    raise_findings(problems)
    for part in (validation, *tests.values(), probe):
        refuse_leak(train.path, train.rows + replay.rows, part)
    for part in tests.values():
        refuse_leak(validation.path, validation.rows, part)
    read = parse_record if kind == "record" else str
    references = {name: [read(answer) for answer in answers_of(part.rows)] for name, part in tests.items()}
    schema = read_schema(files.schema) if files.schema else None
    return Data(train, replay, validation, tests, probe, references, schema, kind, groups)


def read_part(path: Path | None, rows: int | None = None) -> Part:
    """The first `rows` of a chat file (None: all); none without a file. DataError where any row is unusable."""
    if path is None:
        return Part(None, [], [])
    check = check_chat(path)
    raise_findings(check.errors)
    return Part(path, check.rows[:rows], check.lines)


def answer_problems(rows: Sequence[dict]) -> Iterator[tuple[int, str, str]]:
    """(index, field, message) of rows that cannot be asked, or have no text as answer."""
    for index, row in enumerate(rows):
        turns = row["messages"]
        roles = [turn["role"] for turn in turns if turn["role"] != "system"]
        answer, field = turns[-1].get("content"), content_field(len(turns) - 1)
        if "user" not in roles:
            yield index, "messages", "needs one turn of the user; correct it, or leave it out"
        elif not isinstance(answer, str) or not answer.strip():
            yield index, field, "the last turn has no text to compare with; correct it"


def unlike(kind: str, rows: Sequence[dict]) -> Iterator[tuple[int, str, str]]:
    """(index, field, message) of answers that are not of the kind."""
    for index, row in enumerate(rows):
        answer, field = row["messages"][-1]["content"], content_field(len(row["messages"]) - 1)
        if kind == "record" and not parse_record(answer):
            yield index, field, "the answer is no JSON object with fields; correct it"
        elif kind in ("label", "labels") and "\n" in answer.strip():
            yield index, field, "the answer has several lines and is no label; correct it, or write `answer: text`"


def group_problems(groups: Sequence[str | None], recipe: Recipe) -> Iterator[tuple[int, str, str]]:
    """(index, field, message) of rows without a group, and of a set that has only one."""
    for index, group in enumerate(groups):
        if group is None:
            what = f"a part that {recipe.group_part} finds" if recipe.group_part else "a text or a number"
            yield index, recipe.group, f"has no group: write {what}, or leave `group` out of the recipe"
    if len(set(groups)) == 1 and groups[0] is not None:
        yield 0, recipe.group, "all rows are of one group, which says nothing about the next; leave `group` out"


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
    for part in (data.validation, *data.tests.values(), data.probe):
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


def remarks_on(data: Data) -> Iterator[str]:
    """What a reader has to know of the rows, though they may be used as they are."""
    replayed, trained = len(data.replay.rows), len(data.train.rows)
    if replayed > trained:
        remedy = "data.replay_rows takes fewer"
        yield f"{replayed:,} replay rows for {trained:,} training rows: most of the training goes to them; {remedy}."
    if data.kind in ("label", "labels"):
        read = labels_of if data.kind == "labels" else lambda answer: (answer.strip(),)
        trained, tested = ({label for answer in answers_of(rows) for label in read(answer)}
                           for rows in (data.train.rows, data.tests["test"].rows))  # fmt: skip
        new = tested - trained
        if new:
            yield f"The test set has labels that no training row has, so they cannot be learned: {shown_list(new)}."


def shown_list(names: Iterable[str], most: int = 5) -> str:
    """The first names in order, and how many more."""
    names = sorted(names)
    return ", ".join(map(shown, names[:most])) + (f" and {len(names) - most} more" if names[most:] else "")


def check_disk(recipe: Recipe, model, folder: Path) -> None:
    """Raise DataError where what a training writes does not fit on the folder's disk."""
    home = next(each for each in (folder.resolve(), *folder.resolve().parents) if each.exists())
    needed = bytes_to_save(recipe.training, model, len(recipe.all_seeds)) + SPARE
    free = shutil.disk_usage(home).free
    if free < needed:
        sizes = f"{needed / 2**30:.1f} GiB, and {home} has {free / 2**30:.1f} GiB free"
        raise DataError(f"the checkpoints and answers of this run take about {sizes}: make room, or choose --out")


def answers_of(rows: Sequence[dict]) -> list[str]:
    """The last turn of each row."""
    return [row["messages"][-1]["content"] for row in rows]
