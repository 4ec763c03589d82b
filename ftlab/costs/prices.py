"""Prices with a unit, a source and a date: base models from genai-prices, the rest from data/prices.

A price that was not found is None and stays None in every sum it enters; it is never 0. Amounts are floats in US
dollars, rounded only when they are printed.
"""

import csv
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ftlab.costs.cards import gpu_name
from ftlab.errors import DataError
from ftlab.models import data_folder
from ftlab.settings import Number, Place, Settings, Text, Whole, fit, read_settings, read_text

OLD_DAYS = 90  # a price older than this brings a warning
NEAR_DAYS = 180  # a model that retires within so many days brings a warning
TOKENS, HOUR, MONTH, CALL, GPU_HOUR = "1M tokens", "hour", "month", "call", "GPU hour"
BASE = ("input", "cached_input", "output")  # only in a learner's file: instead of genai-prices
TUNED = ("tuned_input", "tuned_cached_input", "tuned_output")
REMEDY = "give it in a prices file (--prices FILE, or under prices: at the top of a scenario)"


@dataclass(frozen=True)
class Price:
    """Dollars for one unit; `amount` is None when the price is not known."""

    amount: float | None
    unit: str
    warnings: tuple[str, ...] = ()

    def usd(self, quantity: float, unit: str) -> float | None:
        """Dollars for a quantity counted in `unit`; None when the price is unknown, DataError for another unit."""
        if self.unit != unit:
            raise DataError(f"a price per {self.unit} and one per {unit} do not mix: convert the quantity")
        return None if self.amount is None else self.amount * quantity


USD = Field(None, ge=0, le=1e12, description="a number from 0, or leave it empty when it is not known")
Cell = Annotated[str, Field(description="it as a text, in quotes when it looks like a number")]


def _day(what: str):
    return Field(None, description=f"{what} as 2026-11-22")


class _Sourced(Settings):
    """Where a figure comes from, in both tables."""

    region: Cell = ""
    source: Cell = ""
    source_url: Cell = ""
    source_date: date | None = _day("the day of the price")
    confidence: Literal["H", "M", "L", ""] = ""

    def doubts(self, name: str, usd: float | None, today: date) -> tuple[str, ...]:
        """What to know of the figure: unknown, old, without a date, or not confirmed."""
        if usd is None:
            return (f"{name}: price unknown (not found); {REMEDY}",)
        found = []
        if self.source_date is None:
            found.append(f"{name}: the price has no date; check it")
        elif (age := (today - self.source_date).days) > OLD_DAYS:
            found.append(f"{name}: the price is {age} days old ({self.source_date}); check it at the provider")
        if self.confidence == "L":
            found.append(f"{name}: the price is a lead nobody has confirmed (confidence L); check it at the provider")
        return tuple(found)


class PriceRow(_Sourced):
    """One row of training.csv; `usd` is per `unit`, None when not found."""

    provider: Text = Field(description="the provider, such as openai")
    model: Text = Field(description="the model's name at the provider, or * for every model")
    what: Literal[("training", *TUNED, "hosting", "storage", *BASE)]
    unit: Literal[TOKENS, HOUR, MONTH]
    usd: Number | None = USD
    method: Cell = ""
    max_billion: Number | None = Field(None, ge=0, le=1e12, description="the largest size in billions of parameters")
    tier: Cell = ""
    currency: Literal["USD"] = Field("USD", description="USD, and the price in dollars: other currencies do not mix")
    model_retires: date | None = _day("the day on which the model retires")
    training_ends: date | None = _day("the day on which its training ends")
    note: Cell = ""

    @property
    def key(self) -> tuple:
        """What makes two rows the same offer."""
        return self.provider, self.model, self.max_billion, self.what, self.method, self.tier, self.region

    @property
    def limit(self) -> float:
        """The largest size of its class, in billions of parameters."""
        return math.inf if self.max_billion is None else self.max_billion

    def price(self, today: date) -> Price:
        """The price with its warnings, as seen on `today`."""
        model = f"{self.provider} {self.model}"
        warnings = self.doubts(f"{model} {self.what.replace('_', ' ')}".replace(" * ", " "), self.usd, today)
        ends = self.training_ends if self.what == "training" else None
        warnings += date_warnings(model, self.model_retires, ends, today)
        if ends and self.note:  # who may still train, and how
            warnings += (f"{model} {self.what}: {self.note}".replace(" * ", " "),)
        return Price(self.usd, self.unit, warnings)


class GpuRow(_Sourced):
    """One row of gpus.csv: dollars for one GPU and one hour; `gpus` are rented at once under this name."""

    cloud: Text = Field(description="the cloud, such as aws")
    gpu: Text = Field(description="the GPU, such as H100")
    gpus: Whole = Field(1, ge=1, description="how many are rented at once, a whole number from 1")
    usd_per_gpu_hour: Number | None = USD
    sku: Cell = ""

    @property
    def key(self) -> tuple:
        """What makes two rows the same offer."""
        return self.cloud, gpu_name(self.gpu), self.region

    def price(self, today: date) -> Price:
        """The price of one GPU and one hour with its warnings, as seen on `today`."""
        name = f"{self.cloud} {self.gpu}"
        warnings = self.doubts(name, self.usd_per_gpu_hour, today)
        if self.gpus > 1:
            machine = self.sku or "one machine"
            warnings += (f"{name}: rented only {self.gpus} at once ({machine}); a price for one GPU",)
        return Price(self.usd_per_gpu_hour, GPU_HOUR, warnings)


class OwnPrices(Settings):
    """A learner's YAML file."""

    prices: list[PriceRow] = Field([], description="a list of rows, `- {column: value, column: value}`")
    gpus: list[GpuRow] = Field([], description="a list of rows, `- {column: value, column: value}`")


@dataclass(frozen=True, repr=False)
class PriceBook:
    """All prices a calculation may use: the tables of the course with the learner's own rows over them."""

    rows: tuple[PriceRow, ...]
    gpus: tuple[GpuRow, ...]

    def find(
        self, provider: str, model: str, what: str, method: str = "", size_b: float | None = None, tier: str = ""
    ) -> PriceRow | None:
        """The row for a model: by name first, then by size (`size_b` in billions of parameters); else None."""
        wanted = (provider, what, method, tier, "")
        offered = [row for row in self.rows if (row.provider, row.what, row.method, row.tier, row.region) == wanted]
        named = next((row for row in offered if row.model == base_name(model)), None)
        every = [row for row in offered if row.model == "*"]
        if named is not None or size_b is None and any(row.max_billion is not None for row in every):
            return named  # a size class cannot be guessed
        return min((row for row in every if row.limit >= (size_b or 0)), key=lambda row: row.limit, default=None)

    def price(self, provider: str, model: str, what: str, today: date | None = None, **selection) -> Price:
        """The price of `what` (training, hosting, ...); unknown, with the reason as a warning, when no row fits."""
        row = self.find(provider, model, what, **selection)
        if row is not None:
            return row.price(today or date.today())
        chosen = " ".join(f"{key} {value}" for key, value in selection.items() if value not in ("", None))
        name = f"{provider} {model} {what.replace('_', ' ')} {chosen}".rstrip()
        reason = self._why_none(provider, what, selection.get("size_b"))
        return Price(None, TOKENS, (f"{name}: no such price ({reason}); {REMEDY}",))

    def _why_none(self, provider, what, size_b) -> str:
        """What there is instead of a price that was not found."""
        same = [row for row in self.rows if row.provider == provider and row.what == what]
        if any(row.max_billion is not None for row in same):
            if size_b is None:
                return "give size_b, the model's size in billions of parameters"
            return f"the largest class ends at {max(row.limit for row in same):g} billion parameters"
        if known := sorted({row.model for row in same if row.model != "*"}):
            return f"known models: {', '.join(known)}"
        return f"providers: {', '.join(sorted({row.provider for row in self.rows}))}"

    def gpu(self, cloud: str, gpu: str, today: date | None = None) -> Price:
        """The rent of one GPU for one hour; `gpu` in any spelling that `find_gpu` knows."""
        row = next((row for row in self.gpus if row.key == (cloud, gpu_name(gpu), "")), None)
        if row is not None:
            return row.price(today or date.today())
        known = ", ".join(f"{row.cloud} {row.gpu}" for row in self.gpus)
        return Price(None, GPU_HOUR, (f"{cloud} {gpu}: no such GPU price; {REMEDY} (known: {known})",))

    def dates(self, provider: str, model: str) -> tuple[date | None, date | None]:
        """The days on which a model retires and on which its training ends; None where no day is known."""
        rows = [row for row in self.rows if row.provider == provider and row.model in (base_name(model), "*")]
        retires = min((row.model_retires for row in rows if row.model_retires), default=None)
        return retires, min((row.training_ends for row in rows if row.training_ends), default=None)

    def call(
        self, provider: str, model: str, input_tokens: float, output_tokens: float, cached_tokens: float = 0,
        written_tokens: float = 0, tuned: bool = False, today: date | None = None,
    ) -> Price:  # fmt: skip
        """The price of one call; `cached_tokens` and `written_tokens` (into the cache) are part of `input_tokens`.

        One call, then multiply: long prompts may have a higher price for each token, and a million calls of 2,000
        tokens are not one call of two billion.
        """
        today = today or date.today()
        if min(cached_tokens, written_tokens, output_tokens) < 0 or cached_tokens + written_tokens > input_tokens:
            cached = f"{cached_tokens:g} cached and {written_tokens:g} written"
            raise DataError(f"{cached} tokens must be part of the {input_tokens:g} input tokens; none may be negative")
        if tuned or self.find(provider, model, "input") or self.find(provider, model, "output"):
            counts = (input_tokens - cached_tokens, cached_tokens, output_tokens)
            return self._listed_call(provider, model, TUNED if tuned else BASE, counts, today)
        usage = {"input_tokens": input_tokens, "cache_read_tokens": cached_tokens, "cache_write_tokens": written_tokens,
                 "output_tokens": output_tokens}  # fmt: skip
        return _library_call(provider, model, usage, today)

    def _listed_call(self, provider, model, whats, counts, today):
        """A call by our tables, which know no price for writing into the cache."""
        fresh, cached, out = (self.price(provider, model, what, today) for what in whats)
        if cached.amount is None and fresh.amount is not None:
            cached = Price(fresh.amount, fresh.unit, (_full_price(provider, model),))
        used = [(tokens, price) for tokens, price in zip(counts, (fresh, cached, out), strict=True) if tokens]
        usd = [price.usd(tokens / 1e6, TOKENS) for tokens, price in used]
        notes = tuple(dict.fromkeys(warning for _, price in used for warning in price.warnings))
        return Price(None if None in usd else math.fsum(usd), CALL, notes)


def load_prices(overrides: str | Path | None = None) -> PriceBook:
    """The tables of data/prices, with the rows of a CSV or YAML file of the learner over them."""
    folder = data_folder() / "prices"
    rows = [*_csv_rows(folder / "training.csv"), *_csv_rows(folder / "gpus.csv")]
    if overrides is not None and Path(overrides).suffix.lower() == ".csv":
        rows += _csv_rows(Path(overrides))
    elif overrides is not None:
        own, _ = read_settings(overrides, OwnPrices, "prices")
        rows += own.prices + own.gpus
    latest = {row.key: row for row in rows}.values()  # a later row takes the place of an earlier one
    prices = tuple(row for row in latest if isinstance(row, PriceRow))
    return PriceBook(prices, tuple(row for row in latest if isinstance(row, GpuRow)))


def base_name(model: str) -> str:
    """The table's name of a model: without `ft:`, without what follows it, and without a date at the end."""
    model = model.split(":")[1] if model.startswith("ft:") else model
    return re.sub(r"-\d{4}-\d{2}-\d{2}$", "", model)


def date_warnings(name: str, retires: date | None, ends: date | None, today: date) -> tuple[str, ...]:
    """What to know about a model that retires, or whose training ends, within NEAR_DAYS of `today` or before it."""
    found = []
    if retires and retires <= today:
        found.append(f"{name}: retired on {retires}; choose another model")
    elif retires and (left := (retires - today).days) <= NEAR_DAYS:
        found.append(f"{name}: retires on {retires}, in {left} days; every fine-tune of it ends then")
    if ends and ends <= today:
        found.append(f"{name}: no new training since {ends}; choose another service")
    elif ends and (left := (ends - today).days) <= NEAR_DAYS:
        found.append(f"{name}: new training ends on {ends}, in {left} days")
    return tuple(found)


def _library_call(provider, model, usage, today):
    """A call by genai-prices; a price that it does not have is unknown here, where the library counts it as free."""
    from genai_prices import Usage, __version__, calc_price

    name, source = f"{provider} {model}", f"genai-prices {__version__}"
    day = datetime(today.year, today.month, today.day, tzinfo=UTC)
    try:
        found = calc_price(Usage(**usage), model, provider_id=provider, genai_request_timestamp=day)
    except LookupError:
        return Price(None, CALL, (f"{name}: not in {source}{_near(provider, model)}; correct it, or {REMEDY}",))
    prices, notes = found.model_price, []
    used = [kind for kind in ("input", "output") if usage[f"{kind}_tokens"]]
    if missing := [kind for kind in used if getattr(prices, f"{kind}_mtok") is None]:
        return Price(None, CALL, (f"{name}: {source} has no price for {' and '.join(missing)} tokens; {REMEDY}",))
    if usage["cache_read_tokens"] and prices.cache_read_mtok is None:
        notes.append(_full_price(provider, model))
    if found.model.deprecated:
        notes.append(f"{name} is marked as deprecated in {source}; choose its successor")
    return Price(float(found.total_price), CALL, tuple(notes))


def _near(provider, model):
    """Names of the library that look like a name it does not know."""
    from genai_prices.data_snapshot import get_snapshot

    providers = {each.id: each for each in get_snapshot().providers}
    if provider not in providers:
        return f" (providers: {', '.join(get_close_matches(provider, providers, n=3) or sorted(providers)[:12])})"
    close = get_close_matches(model, [each.id for each in providers[provider].models], n=3, cutoff=0.4)
    return f" (did you mean {' or '.join(close)}?)" if close else ""


def _full_price(provider, model):
    return f"{provider} {model}: no price for cached input; the full price is counted"


def _csv_rows(path: Path) -> Iterator[PriceRow | GpuRow]:
    """The rows of one table; DataError names file, line, column and remedy."""
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        if not reader.fieldnames:
            raise DataError(f"{path} is empty: its first line names the columns")
        kind = GpuRow if "gpu" in reader.fieldnames else PriceRow
        for cells in reader:
            if None in cells:
                raise DataError(f"{path}:{reader.line_num}: more cells than columns; put a text with a comma in quotes")
            given = {column: cell.strip() for column, cell in cells.items() if cell and cell.strip()}
            row, problems = fit(given, kind)
            Place(path, {(): reader.line_num}).raise_problems(problems, DataError)
            yield row
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not CSV: {error}; close every quote") from error
