"""The keys of a scenario's file, declared once: type, default, bounds and what to write.

Every amount may be a band `[low, likely, high]`.
"""

from datetime import date
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from ftlab.settings import Number, Settings, Text

HOURS_PER_MONTH = 365 * 24 / 12
KINDS = ("prompted", "few_shot", "rag", "tuned_hosted", "tuned_self_hosted", "own_gpu")


def banded(least: float = 0, most: float = 1e12, open_ended: bool = False) -> type:
    """The type of a number, or of a band [low, likely, high] of such numbers; `open_ended`: above `least` only."""

    def check(value):
        numbers = [_as_number(each) for each in value] if isinstance(value, list) else [_as_number(value)]
        if isinstance(value, list) and (len(value) != 3 or sorted(numbers) != numbers):
            raise ValueError("no band")
        if not all(least <= each <= most and not (open_ended and each == least) for each in numbers):
            raise ValueError("out of bounds")
        return numbers if isinstance(value, list) else numbers[0]

    return Annotated[float | list[float], BeforeValidator(check)]


def _as_number(value) -> float:
    """A number that pydantic and YAML may have left as text; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("no number")
    return float(value)


Amount, Share, Positive, Some = banded(), banded(most=1), banded(open_ended=True), banded(least=0.001)
SomeShare = banded(least=0.001, most=1)


def amount(what: str, default=...):
    """The field of a banded number; `what` completes the remedy "write ..."."""
    default = float(default) if isinstance(default, int) else default
    return Field(default, description=f"{what}, or a band [low, likely, high] from small to large")


def share(what: str, default=...):
    """The field of a banded fraction."""
    return amount(f"{what}, a fraction from 0 to 1", default)


def certain(what: str, default=..., **bounds):
    """The field of a number without a band."""
    return Field(default, description=what, **({"ge": 0, "le": 1e12} | bounds))


def flag(question: str, default: bool):
    """The field of true or false."""
    return Field(default, strict=True, description=f"true or false: {question}")


class Labour(Settings):
    expert_usd_per_hour: Amount = amount("what an hour of an expert costs")
    engineer_usd_per_hour: Amount = amount("what an hour of an engineer costs")


class Compare(Settings):
    baseline: Text = Field(description="the option without training")
    candidate: Text = Field(description="its rival")


class ExpertRows(Settings):
    rows: Amount = amount("how many rows experts write, correct or label")
    minutes_per_row: Amount = amount("an expert's minutes a row")


class Retraining(ExpertRows):
    per_quarter: Amount = amount("how often a quarter")


class Setup(Settings):
    engineer_hours: Amount = amount("an engineer's hours before the start")


class Maintenance(Settings):
    engineer_hours_per_month: Amount = amount("an engineer's hours a month")


class Reviewed(Settings):
    share: Share = share("the share of answers a person reads")
    minutes: Amount = amount("minutes each")


class Api(Settings):
    provider: Text = Field(description="the provider, such as openai")
    model: Text = Field(description="the model's name at the provider")
    prompt_tokens: Amount = amount("the fixed prompt's tokens per call")


class Drafting(Api):
    rows: Amount = amount("how many rows a stronger model drafts")
    output_tokens: Amount = amount("tokens of a draft")


class Option(Settings):
    kind: Literal[KINDS]
    one_time_usd: Amount | None = amount("all that it costs at the start, in one sum of dollars", None)
    setup: Setup | None = None
    drafting: Drafting | None = None
    labelling: ExpertRows | None = None
    evaluation: ExpertRows | None = None
    review: Reviewed | None = None
    maintenance: Maintenance | None = None
    migration_usd: Amount | None = amount("what a move to another model costs, in dollars", None)
    retires: date | None = Field(None, description="the day on which the model retires as 2026-11-22")


class Prompted(Option, Api):
    cache_hit_rate: Share = share("the share of calls whose fixed prompt is billed as cached", 0)
    cache_minimum_tokens: Number = certain("the shortest prompt that is cached, in tokens", 1024)


class FewShot(Prompted):
    example_tokens: Amount = amount("the examples' tokens per call")


class Retrieval(Settings):
    provider: Text = Field(description="the provider of the embedding model")
    model: Text = Field(description="the embedding model")
    index_tokens: Amount = amount("tokens of all documents")
    reindexings_per_month: Amount = amount("how often all documents are embedded again", 0)
    usd_per_search: Amount = amount("dollars for one search", 0)
    store_usd_per_month: Amount = amount("dollars a month for the index", 0)


class Rag(Prompted):
    context_tokens: Amount = amount("the retrieved text's tokens per call")
    retrieval: Retrieval
    example_tokens: Amount = amount("the examples' tokens per call", 0)


class HostedTraining(Settings):
    epochs: Positive = amount("how often to go through the data")
    rows: Amount | None = amount("how many training rows", None)
    tokens_per_row: Amount | None = amount("tokens of a training row, all turns", None)
    method: Text = Field("sft", description="sft, dpo or rft")
    size_b: Number | None = certain("the model's size in billions of parameters", None, gt=0)
    runs: Amount = amount("how many jobs you pay for, failed and trial runs included", 1)
    validation_rows: Amount = amount("how many validation rows", 0)
    evaluations: Amount = amount("how often the service evaluates on them", 0)
    packing: bool = flag("does the service pack short rows together?", True)
    max_seq_length: Amount | None = amount("the length of a row in tokens when packing is off", None)
    hours: Amount | None = amount("hours of a job that is billed by the hour", None)


class Hosting(Settings):
    hours_per_month: banded(most=744) = amount("hours a month that it is deployed (at most 744)", HOURS_PER_MONTH)
    tier: str = Field("", description="the tier of the hosting price")


class TunedHosted(Prompted):
    training: HostedTraining | None = None
    hosting: Hosting = Hosting()
    retraining: Retraining | None = None


class Runs(Settings):
    hours: Amount = amount("hours of one training run")
    runs: Amount = amount("how many runs you plan, trials included", 1)
    failed_share: Amount = amount("failed runs for each good one (0.5: one in three fails)", 0)


class RentedRuns(Runs):
    cloud: Text = Field(description="the cloud, such as aws")
    gpu: Text = Field(description="the GPU, such as H100")
    gpus: Number = certain("how many GPUs", 1, gt=0)


class Speed(Settings):
    calls_per_hour: Some = amount("how many calls one machine answers in an hour at full load")
    utilisation: SomeShare = share("the share of full load that you reach in practice")


class Serving(Speed):
    cloud: Text = Field(description="the cloud, such as aws")
    gpu: Text = Field(description="the GPU, such as H100")
    gpus: Number = certain("GPUs of one machine", 1, gt=0)
    always_on: bool = flag("does the machine run when nobody calls?", True)


class TunedSelfHosted(Option):
    training: RentedRuns | None = None
    serving: Serving
    retraining: Retraining | None = None


class OwnGpu(Option, Speed):
    machine_usd: Amount = amount("the price of one machine in dollars")
    watts: Amount = amount("what a machine draws, in watts")
    usd_per_kwh: Amount = amount("the price of a kilowatt-hour in dollars")
    training: Runs | None = None
    retraining: Retraining | None = None


OPTIONS = dict(zip(KINDS, (Prompted, FewShot, Rag, TunedHosted, TunedSelfHosted, OwnGpu), strict=True))


class AnyOption(Settings):
    """An option whose kind decides its keys."""

    model_config = ConfigDict(extra="allow")
    kind: Literal[KINDS]


class ScenarioFile(Settings):
    """The top level of the file."""

    name: Text = Field(description="a short name")
    task: Text = Field(description="in a few words what the model has to do")
    horizon_months: Number = certain("over how many months to count (above 0, at most 120)", gt=0, le=120)
    calls_per_month: Some | None = amount("how many calls a month", None)
    calls_per_day: Some | None = amount("how many calls a day", None)
    input_tokens: Amount | None = amount("tokens of what each call asks, without the fixed prompt", None)
    output_tokens: Amount | None = amount("tokens of an answer", None)
    tokens_from: Text | None = Field(None, description="a chat JSONL file whose tokens are counted")
    labour: Labour
    compare: Compare
    options: dict[Annotated[str, Field(pattern=r"^[\w-]+$")], AnyOption] = Field(
        min_length=2,
        description="at least two options as sections with kind: and its numbers, each under a name in letters, "
        "digits, _ and -",
    )
    discount_rate: Number = certain("the discount rate a year, such as 0.08", 0, le=1)
    prices: Text | None = Field(
        None, description="the name of a CSV or YAML file with your prices (data/prices/README.md)"
    )
