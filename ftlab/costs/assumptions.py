"""The file of a cost scenario: which keys it has, how it is read, and what its numbers are.

Every number may be a band `[low, likely, high]`.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ftlab.data.schema import read_chat
from ftlab.errors import RecipeError
from ftlab.settings_old import (
    choice_rule,
    complete,
    day_rule,
    flag_rule,
    number_rule,
    read_settings,
    schema_problems,
    section_rule,
    shown,
    text_rule,
)

HOURS_PER_MONTH = 365 * 24 / 12
DAYS_PER_MONTH = 365 / 12
KINDS = ("prompted", "few_shot", "rag", "tuned_hosted", "tuned_self_hosted", "own_gpu")


@dataclass(frozen=True)
class TokenCount:
    """Tokens of a chat file: `rows`, and per row the mean of the prompt (system), input (user), output, all turns."""

    rows: int
    prompt: float
    input: float
    output: float
    total: float


@dataclass(frozen=True)
class Assumption:
    """One number of a scenario, by its path in the file."""

    name: str
    low: float
    likely: float
    high: float


@dataclass(frozen=True, repr=False)
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
            found.append(Assumption(".".join(at), low, likely, high))
        return tuple(found)

    @property
    def bands(self) -> tuple[Assumption, ...]:
        """The assumptions that are not certain."""
        return tuple(each for each in self.assumptions if each.low < each.high)

    def point(self, values: dict[str, float] | None = None) -> dict:
        """The content with one number for each band: the likely one, or that of `values` by the assumption's name."""
        return _likely(_with_values(self.content, values or {}))

    def at(self, values: dict[str, float]) -> "Scenario":
        """The same scenario with these assumptions, by name, certain; the other bands stay.

        Raises RecipeError for a name that no assumption has.
        """
        known = {each.name for each in self.assumptions}
        if unknown := sorted(values.keys() - known):
            raise RecipeError(f"{self.path}: no assumption is called {unknown[0]}; use one of {sorted(known)}")
        return replace(self, content=_with_values(self.content, values))

    def __repr__(self):
        options = ", ".join(f"{name} ({each['kind']})" for name, each in self.content["options"].items())
        return f"Scenario({self.name}: {options}; {len(self.assumptions)} assumptions, {len(self.bands)} with a band)"


def read_scenario(path: str | Path, count_tokens: Callable[[str], int] | None = None) -> Scenario:
    """Read a scenario; one RecipeError lists what is wrong in it, each with file, line, key and remedy.

    `count_tokens(text)` is needed where the file says `tokens_from: rows.jsonl`: its counts are then the scenario's
    input and output tokens, and those of every hosted training that gives no rows of its own.
    """
    path = Path(path)
    content, place = read_settings(path, SCHEMA, "cost assumptions")
    problems = []
    for name, option in content["options"].items():
        rule = OPTION_SCHEMAS[option["kind"]]
        content["options"][name] = complete(option, rule)
        problems += schema_problems(content["options"][name], rule, ("options", name))
    place.raise_problems(problems)
    if "tokens_from" in content:
        if count_tokens is None:
            remedy = "pass count_tokens to read_scenario, or write input_tokens and output_tokens"
            place.raise_problems([(("tokens_from",), f"nobody counts the tokens; {remedy}")])
        _fill_tokens(content, measure_tokens(_beside(path, content["tokens_from"]), count_tokens))
    place.raise_problems([*band_problems(content), *_problems(content)])
    if "calls_per_day" in content:
        content["calls_per_month"] = _scale(content.pop("calls_per_day"), DAYS_PER_MONTH)
    prices = _beside(path, content["prices"]) if "prices" in content else None
    return Scenario(content["name"], content["task"], content, path, prices)


def measure_tokens(path: str | Path, count_tokens: Callable[[str], int]) -> TokenCount:
    """Mean tokens of a chat JSONL file, counted turn by turn (the template's own few tokens are left out)."""
    sums = {"system": 0, "user": 0, "assistant": 0, "tool": 0}
    rows = read_chat(path)
    for row in rows:
        for message in row["messages"]:
            sums[message["role"]] += count_tokens(message.get("content") or "")
    means = {role: total / len(rows) for role, total in sums.items()}
    asked = means["user"] + means["tool"]
    return TokenCount(len(rows), means["system"], asked, means["assistant"], sum(means.values()))


def draw(dice: random.Random, low: float, likely: float, high: float) -> float:
    """A number of a band: half of the draws lie below the likely one, half above, the nearer to it the more often.

    A band above 0 is drawn by ratios, since [1000, 10000, 1000000] is meant so; one that starts at 0 by differences.
    """
    share, end = 1 - math.sqrt(dice.random()), dice.choice((low, high))
    drawn = likely * (end / likely) ** share if low > 0 else likely + (end - likely) * share
    return min(max(drawn, low), high)  # what rounding put outside


def certain_rule(what: str, minimum: float = 0, maximum: float = 1e12, above: float | None = None, **more) -> dict:
    """The rule of a number without a band; `above` is a least value that is not reached itself."""
    least = f"at least {minimum:g}" if above is None else f"above {above:g}"
    bounds = {"minimum": minimum, "maximum": maximum} | ({} if above is None else {"exclusiveMinimum": above})
    return number_rule(f"{what} ({least})", **bounds, **more)


def band_rule(what: str, **bounds) -> dict:
    """The rule of a number or a band [low, likely, high] of such numbers."""
    number = certain_rule(what, **bounds)
    number["description"] += ", or a band [low, likely, high]"
    return number | {"type": ["number", "array"], "items": number, "minItems": 3, "maxItems": 3}


def share_rule(what: str, **bounds) -> dict:
    """The rule of a fraction, or a band of fractions."""
    return band_rule(f"{what}, a fraction from 0 to 1", maximum=1, **bounds)


def band_problems(content: dict) -> Iterator[tuple[tuple, str]]:
    """(key path, message) for every band that does not rise."""
    for at, value in _numbers(content):
        if isinstance(value, list) and sorted(value) != value:
            yield at, f"is {shown(value)}; write the band as [low, likely, high], from small to large"


def _numbers(content, at=()) -> Iterator[tuple[tuple, float | list]]:
    """(path, number or band) of every number in the content."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _numbers(value, (*at, key))
        elif isinstance(value, int | float | list) and not isinstance(value, bool):
            yield (*at, key), value


def _with_values(content, values, at=()):
    """The content with the numbers of `values` in place of those that stand at their paths."""
    if isinstance(content, dict):
        return {key: _with_values(each, values, (*at, key)) for key, each in content.items()}
    return values.get(".".join(at), content)


def _likely(content):
    """The content with one number for each band."""
    if isinstance(content, dict):
        return {key: _likely(each) for key, each in content.items()}
    return content[1] if isinstance(content, list) else content


def _scale(value, factor):
    return [each * factor for each in value] if isinstance(value, list) else value * factor


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
        if option["kind"] != "tuned_hosted":
            continue
        training, at = option["training"], ("options", name, "training")
        for key in ("rows", "tokens_per_row"):
            if key not in training:
                yield (*at, key), "is missing; write it, or tokens_from: a chat JSONL file at the top"
        if option["provider"] == "together" and not training["packing"] and "max_seq_length" not in training:
            yield (*at, "max_seq_length"), "is missing; without packing the service bills this length for each row"


def _fill_tokens(content, count):
    """Put counted tokens where the file gives no number."""
    content.setdefault("input_tokens", count.input)
    content.setdefault("output_tokens", count.output)
    for option in content["options"].values():
        if option["kind"] == "tuned_hosted":
            option["training"].setdefault("rows", count.rows)
            option["training"].setdefault("tokens_per_row", count.total)


def _beside(path, name) -> Path:
    """A file named in a scenario: from the current folder, else from the scenario's own."""
    return Path(name) if Path(name).exists() else path.parent / name


# the keys of the file


def _rows_section(what):
    return section_rule(
        {"rows": band_rule(f"how many rows {what}"), "minutes_per_row": band_rule("an expert's minutes a row")}
    )


_TOKENS = "tokens per call"
_API = {
    "provider": text_rule("the provider, such as openai"),
    "model": text_rule("the model's name at the provider"),
    "prompt_tokens": band_rule(f"the fixed prompt's {_TOKENS}"),
}
_API_OPTIONS = {
    "cache_hit_rate": share_rule("the share of calls whose fixed prompt is billed as cached", default=0),
    "cache_minimum_tokens": certain_rule("the shortest prompt that is cached, in tokens", default=1024),
    "batch": flag_rule("are the calls sent as a batch?", False),
}
_COMMON = {
    "price_factor": band_rule("a factor on all prices of this option", default=1),
    "setup": section_rule({"engineer_hours": band_rule("an engineer's hours before the start")}),
    "drafting": section_rule(
        _API
        | {
            "rows": band_rule("how many rows a stronger model drafts"),
            "output_tokens": band_rule("tokens of a draft"),
        }
    ),
    "labelling": _rows_section("experts write or correct"),
    "evaluation": _rows_section("of the test set experts label"),
    "review": section_rule(
        {"share": share_rule("the share of answers a person reads"), "minutes": band_rule("minutes each")}
    ),
    "maintenance": section_rule({"engineer_hours_per_month": band_rule("an engineer's hours a month")}),
    "migration_usd": band_rule("what a move to another model costs, in dollars"),
    "retires": day_rule("the day on which the model retires"),
}
_RETRAINING = {
    "retraining": section_rule(
        {
            "per_quarter": band_rule("how often a quarter"),
            "rows": band_rule("how many new rows experts label each time"),
            "minutes_per_row": band_rule("an expert's minutes a row"),
        }
    )
}
_HOSTED_TRAINING = section_rule(
    {"epochs": band_rule("how often to go through the data", above=0)},
    {
        "rows": band_rule("how many training rows"),
        "tokens_per_row": band_rule("tokens of a training row, all turns"),
        "method": text_rule("sft, dpo or rft", default="sft"),
        "size_b": certain_rule("the model's size in billions of parameters", above=0),
        "runs": band_rule("how many jobs you pay for, failed and trial runs included", default=1),
        "validation_rows": band_rule("how many validation rows", default=0),
        "evaluations": band_rule("how often the service evaluates on them", default=0),
        "packing": flag_rule("does the service pack short rows together?", True),
        "max_seq_length": band_rule("the length of a row in tokens when packing is off"),
        "characters_per_row": band_rule("characters of a training row"),
        "hours": band_rule("hours of a job that is billed by the hour"),
    },
)
_GPU = {"cloud": text_rule("the cloud, such as aws"), "gpu": text_rule("the GPU, such as H100")}
_GPU_RUN = {"hours": band_rule("hours of one training run")}
_GPU_RUN_OPTIONS = {
    "runs": band_rule("how many runs you plan, trials included", default=1),
    "failed_share": band_rule("failed runs for each good one (0.5: one in three fails)", default=0),
    "minimum_hours": band_rule("the shortest rent in hours", default=0),
    "gpus": certain_rule("how many GPUs", above=0, default=1),
}
_SPEED = {
    "calls_per_hour": band_rule("how many calls one machine answers in an hour at full load", minimum=0.001),
    "utilisation": share_rule("the share of full load that you reach in practice", minimum=0.001),
}
_KIND_KEYS = {  # kind: (required keys, further keys)
    "prompted": (_API, _API_OPTIONS),
    "few_shot": (_API | {"example_tokens": band_rule(f"the examples' {_TOKENS}")}, _API_OPTIONS),
    "rag": (
        _API
        | {
            "context_tokens": band_rule(f"the retrieved text's {_TOKENS}"),
            "retrieval": section_rule(
                {
                    "provider": text_rule("the provider of the embedding model"),
                    "model": text_rule("the embedding model"),
                    "index_tokens": band_rule("tokens of all documents"),
                },
                {
                    "reindexings_per_month": band_rule("how often all documents are embedded again", default=0),
                    "usd_per_search": band_rule("dollars for one search", default=0),
                    "store_usd_per_month": band_rule("dollars a month for the index", default=0),
                },
            ),
        },
        _API_OPTIONS | {"example_tokens": band_rule(f"the examples' {_TOKENS}", default=0)},
    ),
    "tuned_hosted": (
        _API | {"training": _HOSTED_TRAINING},
        _API_OPTIONS
        | _RETRAINING
        | {
            "hosting": section_rule(
                {},
                {
                    "hours_per_month": band_rule(
                        "hours a month that it is deployed", maximum=744, default=HOURS_PER_MONTH
                    ),
                    "replicas": certain_rule("how many deployments", default=1),
                    "tier": {"type": "string", "description": "write the tier of the hosting price", "default": ""},
                },
                default={},
            )
        },
    ),
    "tuned_self_hosted": (
        {
            "training": section_rule(_GPU | _GPU_RUN, _GPU_RUN_OPTIONS),
            "serving": section_rule(
                _GPU | _SPEED,
                {
                    "gpus": certain_rule("GPUs of one machine", above=0, default=1),
                    "always_on": flag_rule("does the machine run when nobody calls?", True),
                    "minimum_hours": band_rule("the shortest rent a month in hours", default=0),
                },
            ),
        },
        _RETRAINING,
    ),
    "own_gpu": (
        {
            "machine_usd": band_rule("the price of one machine in dollars"),
            "watts": band_rule("what a machine draws, in watts"),
            "usd_per_kwh": band_rule("the price of a kilowatt-hour in dollars"),
            "training": section_rule(_GPU_RUN, {key: _GPU_RUN_OPTIONS[key] for key in ("runs", "failed_share")}),
            **_SPEED,
        },
        _RETRAINING,
    ),
}
OPTION_SCHEMAS = {
    kind: section_rule({"kind": choice_rule(KINDS)} | required, _COMMON | optional)
    for kind, (required, optional) in _KIND_KEYS.items()
}
SCHEMA = section_rule(
    {
        "name": text_rule("a short name"),
        "task": text_rule("in a few words what the model has to do"),
        "horizon_months": certain_rule("over how many months to count", above=0, maximum=120),
        "labour": section_rule(
            {
                "expert_usd_per_hour": band_rule("what an hour of an expert costs"),
                "engineer_usd_per_hour": band_rule("what an hour of an engineer costs"),
            }
        ),
        "compare": section_rule(
            {"baseline": text_rule("the option without training"), "candidate": text_rule("its rival")}
        ),
        "options": {
            "type": "object",
            "minProperties": 2,
            "description": "write at least two options, each under its name",
            "propertyNames": text_rule("the option's name in letters, digits, _ and -", pattern=r"^[\w-]+$"),
            "additionalProperties": {
                "type": "object",
                "description": "write the option as a section with kind: and its numbers",
                "properties": {"kind": choice_rule(KINDS)},
                "required": ["kind"],
            },
        },
    },
    {
        "calls_per_month": band_rule("how many calls a month", minimum=0.001),
        "calls_per_day": band_rule("how many calls a day", minimum=0.001),
        "input_tokens": band_rule("tokens of what each call asks, without the fixed prompt"),
        "output_tokens": band_rule("tokens of an answer"),
        "tokens_from": text_rule("a chat JSONL file whose tokens are counted"),
        "discount_rate": certain_rule("the discount rate a year, such as 0.08", maximum=1, default=0),
        "prices": text_rule("a CSV or YAML file with your own prices"),
    },
)
