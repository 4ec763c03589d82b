"""A cost scenario: how its file is read (the keys are in `ftlab.costs.keys`), and what its numbers are."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ftlab.costs.keys import OPTIONS, ScenarioFile
from ftlab.data.findings import walk
from ftlab.data.schema import read_chat
from ftlab.errors import RecipeError
from ftlab.settings import Settings, fit, read_settings

DAYS_PER_MONTH = 365 / 12


@dataclass(frozen=True)
class Assumption:
    """One number of a scenario, by its path in the file."""

    name: str
    low: float
    likely: float
    high: float


@dataclass(frozen=True)
class Scenario:
    """A checked scenario; `content` is the file with defaults filled in and bands as they were written."""

    name: str
    task: str
    content: dict
    path: Path
    prices: Path | None = None

    @property
    def assumptions(self) -> tuple[Assumption, ...]:
        """Every number of the scenario; where no band was given, low, likely and high are the same."""
        found = []
        for at, value in _numbers(self.content):
            low, likely, high = value if isinstance(value, list) else (value,) * 3
            found.append(Assumption(at, low, likely, high))
        return tuple(found)

    @property
    def bands(self) -> tuple[Assumption, ...]:
        """The assumptions that are not certain."""
        return tuple(each for each in self.assumptions if each.low < each.high)

    def point(self) -> dict:
        """The content with one number, the likely one, for each band."""
        return _with_values(self.content, {each.name: each.likely for each in self.bands})

    def at(self, values: dict[str, float]) -> "Scenario":
        """The same scenario with these assumptions, by name, certain; the other bands stay.

        Raises RecipeError for a name that no assumption has.
        """
        known = {at for at, _ in _numbers(self.content)}
        if unknown := sorted(values.keys() - known):
            raise RecipeError(f"{self.path}: no assumption is called {unknown[0]}; use one of {sorted(known)}")
        return replace(self, content=_with_values(self.content, values))


def read_scenario(path: str | Path, count_tokens: Callable[[str], int] | None = None) -> Scenario:
    """Read a scenario; one RecipeError lists what is wrong in it, each with file, line, key and remedy.

    `count_tokens(text)` is needed where the file says `tokens_from: rows.jsonl`: its counts are then the scenario's
    input and output tokens, and those of every hosted training that gives no rows of its own.
    """
    path = Path(path)
    found, place = read_settings(path, ScenarioFile, "cost assumptions")
    content, problems = _plain_dict(found), []
    for name, option in content["options"].items():
        checked, wrong = fit(option, OPTIONS[option["kind"]])
        problems += [(("options", name, *at), _where(at, problem)) for at, problem in wrong]
        if checked is not None:
            content["options"][name] = _plain_dict(checked)
    place.raise_problems(problems)
    if "tokens_from" in content:
        if count_tokens is None:
            remedy = "pass count_tokens to read_scenario, or write input_tokens and output_tokens"
            place.raise_problems([(("tokens_from",), f"nobody counts the tokens; {remedy}")])
        _fill_tokens(content, _beside(path, content["tokens_from"]), count_tokens)
    place.raise_problems(_problems(content))
    if "calls_per_day" in content:
        calls = content.pop("calls_per_day")
        banded = isinstance(calls, list)
        content["calls_per_month"] = [n * DAYS_PER_MONTH for n in calls] if banded else calls * DAYS_PER_MONTH
    prices = _beside(path, content["prices"]) if "prices" in content else None
    return Scenario(content["name"], content["task"], content, path, prices)


def _plain_dict(settings: Settings) -> dict:
    """Settings as a dictionary in which days are texts and what was left out is not there."""
    return settings.model_dump(mode="json", exclude_none=True)


def _where(at, problem: str) -> str:
    """A problem of an option; a key of the top level is sent there."""
    if problem.startswith("is unknown") and at[-1] in ScenarioFile.model_fields:
        return "is unknown here; put it at the top level of the file"
    return problem


def _numbers(content) -> Iterator[tuple[str, float | list]]:
    """(path, number or band) of every number in the content; those inside a band do not stand for themselves."""
    for at, value, _ in walk(content):
        if isinstance(value, int | float | list) and not isinstance(value, bool) and not at.endswith("]"):
            yield at, value


def _with_values(content, values, at=()):
    """The content with the numbers of `values` in place of those that stand at their paths."""
    if isinstance(content, dict):
        return {key: _with_values(each, values, (*at, key)) for key, each in content.items()}
    return values.get(".".join(at), content)


def _problems(content) -> Iterator[tuple[tuple, str]]:
    """Rules over more than one key."""
    if ("calls_per_month" in content) == ("calls_per_day" in content):
        yield ("calls_per_month",), "is missing or stands beside calls_per_day; write one of the two"
    for key in ("input_tokens", "output_tokens"):
        if key not in content:
            yield (key,), "is missing; write tokens per call, or tokens_from: a chat JSONL file"
    for role, name in content["compare"].items():
        if name not in content["options"]:
            yield ("compare", role), f"is {name}; write one of {', '.join(content['options'])}"
    if content["compare"]["baseline"] == content["compare"]["candidate"]:
        yield ("compare", "candidate"), "is the baseline itself; name another option"
    for name, option in content["options"].items():
        yield from ((("options", name, *at), problem) for at, problem in _training_problems(option))


def _training_problems(option) -> Iterator[tuple[tuple, str]]:
    """What a tuned option's training lacks; one sum (`one_time_usd`) may stand for all of it."""
    if not option["kind"].startswith(("tuned", "own")):
        return
    if "training" not in option:
        if "one_time_usd" not in option:
            yield ("training",), "is missing; write what is trained, or one_time_usd: one sum for the whole start"
        if "retraining" in option:
            yield ("retraining",), "is there without training, which says what one run costs; write both or neither"
    elif option["kind"] == "tuned_hosted":
        training = option["training"]
        for key in ("rows", "tokens_per_row"):
            if key not in training:
                yield ("training", key), "is missing; write it, or tokens_from: a chat JSONL file at the top"
        if option["provider"] == "together" and not training["packing"] and "max_seq_length" not in training:
            yield ("training", "max_seq_length"), "is missing; without packing the service bills this for each row"


def _fill_tokens(content, path, count_tokens):
    """Put the mean tokens of a chat file where the scenario gives no number (the template's own few are left out)."""
    sums = {"system": 0, "user": 0, "assistant": 0, "tool": 0}
    rows = read_chat(path)
    for row in rows:
        for message in row["messages"]:
            sums[message["role"]] += count_tokens(message.get("content") or "")
    content.setdefault("input_tokens", (sums["user"] + sums["tool"]) / len(rows))
    content.setdefault("output_tokens", sums["assistant"] / len(rows))
    for option in content["options"].values():
        if option["kind"] == "tuned_hosted" and "training" in option:
            option["training"].setdefault("rows", len(rows))
            option["training"].setdefault("tokens_per_row", sum(sums.values()) / len(rows))


def _beside(path, name) -> Path:
    """A file named in a scenario: from the current folder, else from the scenario's own."""
    return Path(name) if Path(name).exists() else path.parent / name
