"""Prices with a unit, a source and a date: base models from genai-prices, the rest from data/prices.

A price that was not found is None and stays None in every sum it enters; it is never 0. Amounts are floats in US
dollars, rounded only when they are printed.
"""

import csv
import io
import math
import re
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime
from difflib import get_close_matches
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator

from ftlab.errors import DataError, RecipeError
from ftlab.models import data_folder

OLD_DAYS = 90  # a price older than this brings a warning
NEAR_DAYS = 180  # a model that retires within so many days brings a warning
TOKENS, CHARACTERS, HOUR, MONTH, CALL, GPU_HOUR = "1M tokens", "1M characters", "hour", "month", "call", "GPU hour"
UNITS = (TOKENS, CHARACTERS, HOUR, MONTH)  # in our tables
BASE = ("input", "cached_input", "output")  # only in a learner's file: instead of genai-prices
TUNED = ("tuned_input", "tuned_cached_input", "tuned_output")
WHATS = ("training", *TUNED, "hosting", "storage", *BASE)
CONFIDENCE = ("H", "M", "L", "")
# PyYAML follows YAML 1.1, in which a number with an exponent needs a dot and a sign: 4e-3 is a text
EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


@dataclass(frozen=True)
class Price:
    """An amount of one currency for one unit; `amount` is None when the price is not known."""

    amount: float | None
    unit: str
    currency: str = "USD"
    source: str = ""
    warnings: tuple[str, ...] = ()

    def __add__(self, other: "Price") -> "Price":
        self._must_match(other)
        known = self.amount is not None and other.amount is not None
        source = self.source if self.source == other.source else "; ".join(filter(None, (self.source, other.source)))
        warnings = tuple(dict.fromkeys(self.warnings + other.warnings))
        return Price(self.amount + other.amount if known else None, self.unit, self.currency, source, warnings)

    def __mul__(self, factor: float) -> "Price":
        return replace(self, amount=None if self.amount is None else self.amount * factor)

    __rmul__ = __mul__

    def __lt__(self, other: "Price") -> bool:
        self._must_match(other)
        if self.amount is None or other.amount is None:
            raise DataError("an unknown price cannot be compared: give it in a prices file")
        return self.amount < other.amount

    def usd(self, quantity: float, unit: str) -> float | None:
        """Dollars for a quantity counted in `unit`; None when the price is unknown, DataError for another unit."""
        self._must_match(Price(0.0, unit))
        return None if self.amount is None else self.amount * quantity

    def convert(self, currency: str, rate: float) -> "Price":
        """The same price in another currency; `rate` is what one unit of the old currency is worth in the new."""
        return replace(self * rate, currency=currency)

    def _must_match(self, other):
        if self.currency != other.currency:
            raise DataError(f"{self.currency} and {other.currency} do not mix: convert one with Price.convert")
        if self.unit != other.unit:
            raise DataError(f"a price per {self.unit} and one per {other.unit} do not mix: convert the quantity")

    def __repr__(self):
        amount = "unknown" if self.amount is None else f"{self.amount:,.10g} {self.currency}"
        return f"Price({amount} per {self.unit}; {self.source or 'no source'})"


@dataclass(frozen=True)
class PriceRow:
    """One row of training.csv; `usd` is per `unit`, None when not found."""

    provider: str
    model: str
    what: str
    unit: str
    usd: float | None
    method: str = ""
    max_billion: float | None = None
    tier: str = ""
    region: str = ""
    currency: str = "USD"
    source: str = ""
    source_url: str = ""
    source_date: date | None = None
    confidence: str = ""
    model_retires: date | None = None
    training_ends: date | None = None
    note: str = ""

    @property
    def key(self) -> tuple:
        """What makes two rows the same offer."""
        return self.provider, self.model, self.max_billion, self.what, self.method, self.tier, self.region

    def price(self, today: date) -> Price:
        """The price with its warnings, as seen on `today`."""
        name = f"{self.provider} {self.model} {self.what.replace('_', ' ')}".replace(" * ", " ")
        warnings = _age_warnings(name, self, today)
        if self.usd is None:
            warnings = (f"{name}: price unknown (not found); give it in a prices file",)
        ends = self.training_ends if self.what == "training" else None
        warnings += date_warnings(f"{self.provider} {self.model}", self.model_retires, ends, today)
        return Price(self.usd, self.unit, self.currency, _source(self), warnings)


@dataclass(frozen=True)
class GpuRow:
    """One row of gpus.csv: dollars for one GPU and one hour; `gpus` are rented at once under this name."""

    cloud: str
    gpu: str
    gpus: int
    usd_per_gpu_hour: float | None
    sku: str = ""
    region: str = ""
    source: str = ""
    source_url: str = ""
    source_date: date | None = None
    confidence: str = ""

    @property
    def key(self) -> tuple:
        """What makes two rows the same offer."""
        return self.cloud, self.gpu, self.region


@dataclass(frozen=True, repr=False)
class PriceBook:
    """All prices a calculation may use: the tables of the course with the learner's own rows over them."""

    rows: tuple[PriceRow, ...]
    gpus: tuple[GpuRow, ...]

    def find(
        self,
        provider: str,
        model: str,
        what: str,
        method: str = "",
        size_b: float | None = None,
        tier: str = "",
        region: str = "",
    ) -> PriceRow | None:
        """The row for a model: by name first, then by size (`size_b` in billions of parameters); else None."""
        offered = [
            row
            for row in self.rows
            if (row.provider, row.what, row.method, row.tier, row.region) == (provider, what, method, tier, region)
        ]
        by_name = [row for row in offered if row.model == base_name(model)]
        every = [row for row in offered if row.model == "*"]
        sized = sorted((row for row in every if _limit(row) >= (size_b or 0)), key=_limit)
        if any(row.max_billion is not None for row in every) and size_b is None:
            sized = []  # a size class cannot be guessed
        return next(iter([*by_name, *sized]), None)

    def price(self, provider: str, model: str, what: str, today: date | None = None, **selection) -> Price:
        """The price of `what` (training, hosting, ...); unknown, with the reason as a warning, when no row fits."""
        row = self.find(provider, model, what, **selection)
        if row is not None:
            return row.price(today or date.today())
        same = [row for row in self.rows if row.provider == provider and row.what == what]
        known = sorted({row.model for row in same if row.model != "*"})
        providers = ", ".join(sorted({row.provider for row in self.rows}))
        reason = f"known models: {', '.join(known)}" if known else f"providers: {providers}"
        if any(row.max_billion is not None for row in same):
            largest = max(_limit(row) for row in same)
            reason = f"the largest class ends at {largest:g} billion parameters"
            if selection.get("size_b") is None:
                reason = "give size_b, the model's size in billions of parameters"
        chosen = " ".join(f"{key} {value}" for key, value in selection.items() if value not in ("", None))
        warning = f"{provider} {model} {what.replace('_', ' ')} {chosen}".rstrip() + f": no such price ({reason})"
        return Price(None, TOKENS, warnings=(warning + "; give it in a prices file",))

    def gpu(self, cloud: str, gpu: str, today: date | None = None, region: str = "") -> Price:
        """The rent of one GPU for one hour."""
        today = today or date.today()
        row = next((row for row in self.gpus if row.key == (cloud, gpu, region)), None)
        if row is None:
            known = ", ".join(f"{row.cloud} {row.gpu}" for row in self.gpus)
            warning = f"{cloud} {gpu}: no such GPU price; give it in a prices file (known: {known})"
            return Price(None, GPU_HOUR, warnings=(warning,))
        name = f"{cloud} {gpu}"
        warnings = _age_warnings(name, row, today)
        if row.usd_per_gpu_hour is None:
            warnings = (f"{name}: price unknown (not found); give it in a prices file",)
        if row.gpus > 1:
            warnings += (f"{name}: rented only {row.gpus} at once ({row.sku or 'one machine'}); a price for one GPU",)
        return Price(row.usd_per_gpu_hour, GPU_HOUR, source=_source(row), warnings=warnings)

    def dates(self, provider: str, model: str) -> tuple[date | None, date | None]:
        """The days on which a model retires and on which its training ends; None where no day is known."""
        rows = [row for row in self.rows if row.provider == provider and row.model in (base_name(model), "*")]
        retires = min((row.model_retires for row in rows if row.model_retires), default=None)
        return retires, min((row.training_ends for row in rows if row.training_ends), default=None)

    def call(
        self,
        provider: str,
        model: str,
        input_tokens: float,
        output_tokens: float,
        cached_tokens: float = 0,
        written_tokens: float = 0,
        tuned: bool = False,
        batch: bool = False,
        today: date | None = None,
    ) -> Price:
        """The price of one call; `cached_tokens` and `written_tokens` (into the cache) are part of `input_tokens`.

        One call, then multiply: long prompts may have a higher price for each token, and a million calls of 2,000
        tokens are not one call of two billion.
        """
        today = today or date.today()
        if min(cached_tokens, written_tokens, output_tokens) < 0 or cached_tokens + written_tokens > input_tokens:
            cached = f"{cached_tokens:g} cached and {written_tokens:g} written"
            raise DataError(f"{cached} tokens must be part of the {input_tokens:g} input tokens; none may be negative")
        whats = TUNED if tuned else BASE
        if tuned or self.find(provider, model, "input") or self.find(provider, model, "output"):
            return self._listed_call(provider, model, whats, input_tokens, output_tokens, cached_tokens, batch, today)
        return _library_call(provider, model, input_tokens, output_tokens, cached_tokens, written_tokens, batch, today)

    def _listed_call(self, provider, model, whats, input_tokens, output_tokens, cached_tokens, batch, today):
        fresh, cached, out = (self.price(provider, model, what, today) for what in whats)
        notes = ("no batch price in the table: the standard price is counted",) if batch else ()
        if cached.amount is None and fresh.amount is not None:
            note = f"{provider} {model}: no price for cached input; the full price is counted"
            cached = replace(fresh, warnings=(note,) if cached_tokens else ())
        total = Price(0.0, CALL, fresh.currency, warnings=notes)
        amounts = ((input_tokens - cached_tokens, fresh), (cached_tokens, cached), (output_tokens, out))
        for tokens, price in amounts:
            if tokens:
                _ = price.unit == TOKENS or price.usd(0, TOKENS)  # another unit raises
                total = total + replace(price * (tokens / 1e6), unit=CALL)
        return total

    def __repr__(self):
        unknown = sum(row.usd is None for row in self.rows)
        return f"PriceBook({len(self.rows)} prices, {unknown} of them unknown; {len(self.gpus)} GPU prices)"

    def _repr_html_(self):
        import pandas as pd

        shown = [
            (row.provider, row.model, row.what, row.method, row.unit, row.usd, row.source_date, row.confidence)
            for row in self.rows
        ]
        columns = ["provider", "model", "what", "method", "unit", "usd", "date", "confidence"]
        return pd.DataFrame(shown, columns=columns).to_html(index=False, na_rep="unknown")


def load_prices(overrides: str | Path | None = None) -> PriceBook:
    """The tables of data/prices, with the rows of a CSV or YAML file of the learner over them."""
    folder = data_folder() / "prices"
    rows = [_parse(PriceRow, raw, where) for where, raw in _csv_rows(folder / "training.csv")]
    gpus = [_parse(GpuRow, raw, where) for where, raw in _csv_rows(folder / "gpus.csv")]
    if overrides is not None:
        for where, raw in _override_rows(Path(overrides)):
            kind, table = (GpuRow, gpus) if "gpu" in raw else (PriceRow, rows)
            row = _parse(kind, raw, where)
            place = next((at for at, known in enumerate(table) if known.key == row.key), None)
            table[len(table) if place is None else place : len(table) if place is None else place + 1] = [row]
    return PriceBook(tuple(rows), tuple(gpus))


def base_name(model: str) -> str:
    """The table's name of a model: without `ft:`, without what follows it, and without a date at the end."""
    model = model.split(":")[1] if model.startswith("ft:") else model
    return re.sub(r"-\d{4}-\d{2}-\d{2}$", "", model)


def read_settings(path: str | Path, schema: dict, what: str = "settings") -> tuple[dict, "Place"]:
    """A YAML file that fits a JSON Schema, defaults filled in, and where its keys stand.

    One RecipeError lists everything wrong, each with file, line, key and the remedy (the schema's description).
    """
    path = Path(path)
    content, place = _read_yaml(path, what)
    content = complete(content, schema)
    place.raise_problems(schema_problems(content, schema))
    return content, place


@dataclass(frozen=True)
class Place:
    """Where the keys of a YAML file stand, for messages."""

    path: Path
    lines: dict

    def raise_problems(self, problems) -> None:
        """One RecipeError for all (key path, message) pairs, in the order of the file; nothing without any."""
        found = sorted({(self._line(at), ".".join(map(str, at)) or "file", text) for at, text in problems})
        if found:
            raise RecipeError("\n".join(f"{self.path}:{line}: {key}: {text}" for line, key, text in found))

    def _line(self, at):
        return next((self.lines[at[:end]] for end in range(len(at), -1, -1) if at[:end] in self.lines), 1)


def number_rule(
    what: str,
    minimum: float = 0,
    maximum: float = 1e12,
    band: bool = True,
    default: float | None = None,
    above: float | None = None,
) -> dict:
    """The schema of a number; with `band`, also of [low, likely, high]; `what` completes the remedy "write ..."."""
    least = f"at least {minimum:g}" if above is None else f"above {above:g}"
    remedy = f"write {what} ({least})" + (", or a band [low, likely, high]" if band else "")
    bounds = {"minimum": minimum, "maximum": maximum} | ({"exclusiveMinimum": above} if above is not None else {})
    rule = {"type": ["number", "array"] if band else ["number"], "description": remedy} | bounds
    if band:
        rule |= {"items": {"type": ["number"], "description": remedy} | bounds, "minItems": 3, "maxItems": 3}
    return rule | ({} if default is None else {"default": default})


def share_rule(what: str, default: float | None = None, minimum: float = 0) -> dict:
    """The schema of a fraction, or a band of fractions."""
    return number_rule(f"{what}, a fraction from 0 to 1", minimum=minimum, maximum=1, default=default)


def text_rule(what: str) -> dict:
    """The schema of a text that is not empty."""
    return {"type": "string", "minLength": 1, "description": f"write {what}"}


def section_rule(required: dict, optional: dict | None = None, **more) -> dict:
    """The schema of a section with these keys and no others."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": required | (optional or {}),
        "required": list(required),
    } | more


def schema_problems(content: dict, schema: dict, at: tuple = ()) -> list[tuple[tuple, str]]:
    """(key path, message with remedy) for all that does not fit the schema."""
    return [
        ((*at, *inner), text)
        for error in Draft202012Validator(schema).iter_errors(content)
        for inner, text in _explain(error)
    ]


def complete(value, rule: dict):
    """A copy with the schema's defaults filled in, and with `4e-3` read as the number that it is."""
    if isinstance(value, dict):
        known, others = rule.get("properties", {}), rule.get("additionalProperties")
        filled = {key: complete(each["default"], each) for key, each in known.items() if "default" in each}
        others = others if isinstance(others, dict) else {}
        given = {key: complete(each, known.get(key, others)) for key, each in value.items() if each is not None}
        missing = {key: None for key, each in value.items() if each is None and key not in known}
        return filled | given | missing
    if isinstance(value, list):
        return [complete(each, rule.get("items", {})) for each in value]
    if isinstance(value, str) and "number" in rule.get("type", ()) and EXPONENT.fullmatch(value):
        value = float(value)
    if isinstance(value, date):
        return value.isoformat()
    return "not a number" if isinstance(value, float) and math.isnan(value) else value


def _library_call(provider, model, input_tokens, output_tokens, cached_tokens, written_tokens, batch, today):
    from genai_prices import Usage, __version__, calc_price

    source = f"genai-prices {__version__}"
    asked = {
        "provider_id": provider,
        "genai_request_timestamp": datetime(today.year, today.month, today.day, tzinfo=UTC),
    }
    counts = {
        "input_tokens": input_tokens,
        "cache_read_tokens": cached_tokens,
        "cache_write_tokens": written_tokens,
        "output_tokens": output_tokens,
    }
    usage = Usage(**counts)
    try:
        found = calc_price(usage, model, **asked, price_context={"processing": "batch"} if batch else None)
    except LookupError:
        warning = f"{provider} {model}: not in {source}{_near(provider, model)}; correct it or give it in a prices file"
        return Price(None, CALL, source=source, warnings=(warning,))
    prices, notes = found.model_price, []
    missing = [
        name
        for name, tokens in (("input", input_tokens), ("output", output_tokens))
        if tokens and getattr(prices, f"{name}_mtok") is None
    ]
    if missing:  # the library counts what it does not know as free
        note = f"{provider} {model}: {source} has no price for {' and '.join(missing)} tokens; give it in a prices file"
        return Price(None, CALL, source=source, warnings=(note,))
    if cached_tokens and prices.cache_read_mtok is None:
        notes.append(f"{provider} {model}: no price for cached input; the full price is counted")
    if batch and found.total_price == calc_price(usage, model, **asked).total_price > 0:
        notes.append(f"{provider} {model}: no batch price in {source}; the standard price is counted")
    if found.model.deprecated:
        notes.append(f"{provider} {model} is marked as deprecated in {source}; choose its successor")
    return Price(float(found.total_price), CALL, source=source, warnings=tuple(notes))


def _near(provider, model):
    from genai_prices.data_snapshot import get_snapshot

    providers = {each.id: each for each in get_snapshot().providers}
    if provider not in providers:
        return f" (providers: {', '.join(get_close_matches(provider, providers, n=3) or sorted(providers)[:12])})"
    close = get_close_matches(model, [each.id for each in providers[provider].models], n=3, cutoff=0.4)
    return f" (did you mean {' or '.join(close)}?)" if close else ""


def _age_warnings(name, row, today) -> tuple[str, ...]:
    found = []
    if row.source_date is None:
        found.append(f"{name}: the price has no date; check it")
    elif (age := (today - row.source_date).days) > OLD_DAYS:
        found.append(f"{name}: the price is {age} days old ({row.source_date}); check it at the provider")
    if row.confidence == "L":
        found.append(f"{name}: the price is a lead nobody has confirmed (confidence L); check it at the provider")
    return tuple(found)


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


def _limit(row):
    return math.inf if row.max_billion is None else row.max_billion


def _source(row):
    return ", ".join(filter(None, (row.source or row.source_url, row.source_date and row.source_date.isoformat())))


def _csv_rows(path):
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist: check the path (now in {Path.cwd()})") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text: {error}; save it as CSV in UTF-8") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        if not reader.fieldnames:
            raise DataError(f"{path} is empty: its first line names the columns")
        for raw in reader:
            where = f"{path}:{reader.line_num}"
            if None in raw:
                raise DataError(f"{where}: more cells than columns; put a text with a comma in quotes")
            yield where, {key: value.strip() for key, value in raw.items() if value and value.strip()}
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not CSV: {error}; close every quote") from error


def _override_rows(path):
    if path.suffix.lower() == ".csv":
        yield from _csv_rows(path)
        return
    rows = {"type": "array", "default": [], "description": "write a list of rows, `- {provider: ..., usd: ...}`"}
    row = {"type": "object", "description": "write a row as {provider: ..., model: ..., what: ..., usd: ...}"}
    rows |= {"items": row}
    schema = {"type": "object", "additionalProperties": False, "properties": {"prices": rows, "gpus": rows}}
    content, place = read_settings(path, schema, "prices")
    for table in ("prices", "gpus"):
        for number, raw in enumerate(content[table]):
            where = f"{path}:{place.lines.get((table, number), 1)}"
            yield where, {str(key): str(value) for key, value in raw.items() if value not in ("", None)}


def _parse(kind, raw, where):
    """A PriceRow or GpuRow from texts; DataError names file, line and column."""
    known = {each.name: each for each in fields(kind)}
    for key in raw:
        if key not in known:
            close = get_close_matches(str(key), known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"use {', '.join(known)}"
            raise DataError(f"{where}: {key}: is no column; {hint}")
    needed = ("provider", "model", "what", "unit") if kind is PriceRow else ("cloud", "gpu")
    for key in needed:
        if key not in raw:
            raise DataError(f"{where}: {key}: is missing; fill it in")
    values = {key: _value(key, text, where) for key, text in raw.items()}
    blank = {"usd": None} if kind is PriceRow else {"usd_per_gpu_hour": None, "gpus": 1}
    return kind(**(blank | values))


def _value(key, text, where):
    allowed = {"unit": UNITS, "what": WHATS, "confidence": CONFIDENCE}.get(key)
    if allowed and text not in allowed:
        raise DataError(f"{where}: {key}: is {text!r}; write one of {', '.join(filter(None, allowed))}")
    if key in ("source_date", "model_retires", "training_ends"):
        try:
            return date.fromisoformat(text)
        except ValueError as error:
            raise DataError(f"{where}: {key}: is {text!r}; write a day as 2026-11-22") from error
    if key in ("usd", "usd_per_gpu_hour", "max_billion", "gpus"):
        try:
            number = int(text) if key == "gpus" else float(text)
        except ValueError:
            number = math.nan
        if not 0 <= number < 1e12 or (key == "gpus" and number < 1):
            remedy = "write a number from 0, or leave it empty when it is not known"
            raise DataError(f"{where}: {key}: is {text!r}; {remedy}")
        return number
    return text


def _read_yaml(path, what):
    if path.is_dir():
        raise RecipeError(f"{path} is a folder: name one file of {what} (.yaml)")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise RecipeError(f"{path} does not exist: check the path (now in {Path.cwd()})") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read as UTF-8 text: {error}; save it as UTF-8") from error
    try:
        content, node = yaml.safe_load(text), yaml.compose(text, Loader=yaml.SafeLoader)
        lines, twice = {}, []
        _find_lines(node, (), lines, twice)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else path
        remedy = "indent with spaces, write `key: value`, and put a text with a colon in quotes"
        raise RecipeError(f"{where}: not YAML: {error.problem or error.context}; {remedy}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(f"{path}: not readable as YAML: {error}; correct or quote that value") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: holds no {what}; write `key: value` lines")
    place = Place(path, lines)
    place.raise_problems([(at, "stands there twice; delete one") for at in twice])
    return content, place


def _find_lines(node, at, lines, twice):
    if node is None:  # an empty file
        return
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            inner = (*at, key.value if isinstance(key.value, str) else "?")
            _ = twice.append(inner) if inner in seen else seen.add(inner)
            lines[inner] = key.start_mark.line + 1
            _find_lines(value, inner, lines, twice)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _find_lines(value, (*at, index), lines, twice)


def _explain(error):
    at, rule = tuple(error.absolute_path), error.schema
    if error.validator == "additionalProperties":
        for key in [key for key in error.instance if key not in rule["properties"]]:
            close = get_close_matches(str(key), rule["properties"], n=2)
            hint = f"did you mean {' or '.join(close)}?" if close else f"use one of {', '.join(rule['properties'])}"
            yield (*at, key), f"is unknown; {hint}"
    elif error.validator == "required":
        for key in error.validator_value:
            if key not in error.instance:
                yield (*at, key), f"is missing; {_remedy(rule['properties'][key])}"
    else:
        shown = "empty" if error.instance is None else repr(error.instance)
        yield at, f"is {shown if len(shown) <= 60 else shown[:57] + '...'}; {_remedy(rule)}"


def _remedy(rule):
    return rule.get("description") or f"write it as a section with {', '.join(rule.get('properties', ()))}"
