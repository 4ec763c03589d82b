"""A cost scenario: one YAML file of assumptions, several ways to serve the same calls, side by side.

Every number may be a band `[low, likely, high]`. Totals are `one_time + monthly x months + per_call x calls` at the
scenario's rate of calls; `monthly` is what does not depend on the number of calls. Accuracy is not part of a scenario:
what errors and reviews cost is in `ftlab.costs.payback`.
"""

import math
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

from ftlab.costs.prices import (
    CHARACTERS,
    GPU_HOUR,
    HOUR,
    MONTH,
    PriceBook,
    complete,
    date_warnings,
    load_prices,
    number_rule,
    read_settings,
    schema_problems,
    section_rule,
    share_rule,
    text_rule,
)
from ftlab.data.schema import read_chat
from ftlab.errors import DataError, RecipeError

HOURS_PER_MONTH = 365 * 24 / 12
DAYS_PER_MONTH = 365 / 12
KINDS = ("prompted", "few_shot", "rag", "tuned_hosted", "tuned_self_hosted", "own_gpu")
TUNED_KINDS = KINDS[3:]
Known = float | None  # dollars; None when a price in it is unknown


@dataclass(frozen=True)
class Charge:
    """What one training job or one rent costs: `billed` units at `price_usd` each; `usd` is None when unknown."""

    usd: Known
    billed: float
    unit: str
    price_usd: Known
    rule: str
    warnings: tuple[str, ...] = ()

    def __repr__(self):
        price = "an unknown price" if self.price_usd is None else f"{self.price_usd:g} USD"
        return f"Charge({money(self.usd)} = {self.billed:,.6g} x {self.unit} at {price}; {self.rule})"


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
        for at, value in _numbers(self.content, ()):
            low, likely, high = value if isinstance(value, list) else (value,) * 3
            found.append(Assumption(".".join(at), low, likely, high))
        return tuple(found)

    @property
    def bands(self) -> tuple[Assumption, ...]:
        """The assumptions that are not certain."""
        return tuple(each for each in self.assumptions if each.low < each.high)

    def point(self, values: dict[str, float] | None = None) -> dict:
        """The content with one number for each band: the likely one, or that of `values` by the assumption's name."""
        return _resolve(self.content, (), values or {})

    def __repr__(self):
        options = ", ".join(f"{name} ({each['kind']})" for name, each in self.content["options"].items())
        return f"Scenario({self.name}: {options}; {len(self.assumptions)} assumptions, {len(self.bands)} with a band)"


@dataclass(frozen=True)
class OptionCost:
    """One way to serve the calls: parts in dollars, None where unknown; `lumps` are (month, usd, reason)."""

    name: str
    kind: str
    one_time: dict[str, Known]
    monthly: dict[str, Known]
    per_call: dict[str, Known]
    calls_per_month: float
    lumps: tuple[tuple[float, Known, str], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def one_time_usd(self) -> Known:
        """Dollars before the first call."""
        return _sum(self.one_time.values())

    @property
    def monthly_usd(self) -> Known:
        """Dollars a month that do not depend on the number of calls."""
        return _sum(self.monthly.values())

    @property
    def usd_per_call(self) -> Known:
        """Dollars for each call."""
        return _sum(self.per_call.values())

    @property
    def monthly_total_usd(self) -> Known:
        """Dollars a month at the scenario's rate of calls."""
        if self.monthly_usd is None or self.usd_per_call is None:
            return None
        return self.monthly_usd + self.usd_per_call * self.calls_per_month

    def total_usd(self, months: float, rate: float = 0.0) -> Known:
        """Dollars until `months` from now; `rate` is the discount rate a year (0: plain sum, else present value)."""
        amounts = [self.one_time_usd, self.monthly_total_usd, *(usd for at, usd, _ in self.lumps if at <= months)]
        if None in amounts:
            return None
        factor = (1 + rate) ** (-1 / 12)
        whole = int(months)
        paid = sum(factor**month for month in range(1, whole + 1)) + (months - whole) * factor**months
        lumps = sum(usd * factor**at for at, usd, _ in self.lumps if at <= months)
        return self.one_time_usd + self.monthly_total_usd * paid + lumps

    def to_dict(self) -> dict:
        """Ready for JSON; unknown amounts are null."""
        return {
            "name": self.name,
            "kind": self.kind,
            "one_time_usd": self.one_time_usd,
            "monthly_usd": self.monthly_usd,
            "usd_per_call": self.usd_per_call,
            "monthly_total_usd": self.monthly_total_usd,
            "parts": {"one_time": self.one_time, "monthly": self.monthly, "per_call": self.per_call},
            "lumps": [{"month": month, "usd": usd, "reason": reason} for month, usd, reason in self.lumps],
        }


@dataclass(frozen=True)
class BreakEven:
    """When the candidate has cost as little as the baseline: `verdict` is "break-even", "never" or "unknown"."""

    verdict: str
    calls: float | None = None
    months: float | None = None
    reason: str = ""

    def to_json(self) -> dict | str:
        """{"calls", "months"}, or "never", or "unknown" when a price is missing."""
        if self.verdict == "break-even":
            return {"calls": self.calls, "months": self.months}
        return self.verdict

    def __repr__(self):
        if self.verdict == "break-even":
            return f"break-even after {self.calls:,.0f} calls, {self.months:,.1f} months"
        return f"{self.verdict}: {self.reason}"


@dataclass(frozen=True)
class Curve:
    """Total dollars of each option (None when unknown) over `calls`; `axis` says what is counted."""

    axis: str
    calls: tuple[float, ...]
    usd: dict[str, tuple[Known, ...]]

    def _repr_html_(self):
        import pandas as pd

        table = pd.DataFrame({self.axis: self.calls} | {name: map(money, usd) for name, usd in self.usd.items()})
        return table.to_html(index=False)


@dataclass(frozen=True)
class Swing:
    """What one assumption does to the saving: dollars over the horizon at its low and at its high end."""

    assumption: str
    low: float
    high: float
    saving_at_low: Known
    saving_at_high: Known
    flips: bool

    @property
    def width(self) -> float:
        """Dollars between the two ends; 0 when unknown."""
        known = self.saving_at_low is not None and self.saving_at_high is not None
        return abs(self.saving_at_high - self.saving_at_low) if known else 0.0


@dataclass(frozen=True, repr=False)
class Tornado:
    """The swings of all bands, widest first, around the saving with every assumption at its likely value."""

    saving: Known
    swings: tuple[Swing, ...]

    @property
    def flips(self) -> tuple[str, ...]:
        """The assumptions that alone can turn the answer round."""
        return tuple(swing.assumption for swing in self.swings if swing.flips)

    def _rows(self):
        return [
            (each.assumption, f"{each.low:,g}", f"{each.high:,g}", money(each.saving_at_low),
             money(each.saving_at_high), "flips the answer" if each.flips else "")
            for each in self.swings
        ]  # fmt: skip

    def __repr__(self):
        lines = [f"Tornado(saving {money(self.saving)} with likely values)"]
        for name, low, high, at_low, at_high, flips in self._rows():
            lines.append(f"  {name} {low}..{high}: {at_low} .. {at_high} {flips}".rstrip())
        return "\n".join(lines)

    def _repr_html_(self):
        import pandas as pd

        columns = ["assumption", "low", "high", "saving at low", "saving at high", ""]
        return pd.DataFrame(self._rows(), columns=columns).to_html(index=False)


@dataclass(frozen=True)
class SavingBand:
    """The saving when every band is drawn at once: 10 %, 50 % and 90 % of the draws lie below these dollars."""

    low: Known
    likely: Known
    high: Known
    share_positive: float | None
    draws: int

    def __repr__(self):
        if self.likely is None:
            return "SavingBand(unknown: a price is missing)"
        span = f"{money(self.low)} .. {money(self.likely)} .. {money(self.high)}"
        return f"SavingBand({span}; the candidate is cheaper in {self.share_positive:.0%} of {self.draws} draws)"


@dataclass(frozen=True, repr=False)
class CostReport:
    """All options of a scenario at its likely values; baseline and candidate are those of `compare`."""

    scenario: Scenario
    today: date
    prices: PriceBook = field(repr=False)
    options: tuple[OptionCost, ...]

    def __getitem__(self, name: str) -> OptionCost:
        for option in self.options:
            if option.name == name:
                return option
        raise RecipeError(f"no option is called {name}; the options are {', '.join(o.name for o in self.options)}")

    @property
    def baseline(self) -> OptionCost:
        """What is done without the candidate."""
        return self[self.scenario.content["compare"]["baseline"]]

    @property
    def candidate(self) -> OptionCost:
        """What may take its place."""
        return self[self.scenario.content["compare"]["candidate"]]

    @property
    def break_even(self) -> BreakEven:
        """When the candidate has paid back what it costs more at the start."""
        return break_even(self.baseline, self.candidate)

    @property
    def saving_usd(self) -> Known:
        """Present value of baseline minus candidate over the horizon; None when a price is unknown."""
        return _saving(self.baseline, self.candidate, self.scenario.content)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Everything a reader has to know before trusting the numbers, each once."""
        names = {}  # of the options that share a warning
        for option in self.options:
            for warning in option.warnings:
                names.setdefault(warning, []).append(option.name)
        found = [f"{', '.join(options)}: {warning}" for warning, options in names.items()]
        even, horizon = self.break_even, self.scenario.point()["horizon_months"]
        if even.months is not None:
            if even.months > horizon:
                found.append(f"the break-even comes after {even.months:,.1f} months, the horizon ends at {horizon:g}")
            for month, _, reason in self.candidate.lumps:
                if month <= even.months:
                    found.append(f"{reason}, before the break-even: it is paid in the break-even")
                elif self.candidate.total_usd(month) > self.baseline.total_usd(month):
                    found.append(f"{reason}, after the break-even, and puts the candidate behind again for a while")
        return tuple(dict.fromkeys(found))

    def npv(self, name: str) -> Known:
        """Present value of all that an option costs over the horizon, in dollars."""
        content = self.scenario.point()
        return self[name].total_usd(content["horizon_months"], content["discount_rate"])

    def curve(self, calls_grid: Iterable[float]) -> Curve:
        """Dollars spent after so many calls in all, at the scenario's rate of calls a month."""
        grid = tuple(calls_grid)
        totals = {each.name: tuple(each.total_usd(n / each.calls_per_month) for n in grid) for each in self.options}
        return Curve("calls", grid, totals)

    def volume_curve(self, calls_per_month_grid: Iterable[float]) -> Curve:
        """Present value of each option over the horizon, were there so many calls a month."""
        grid = tuple(calls_per_month_grid)
        reports = [self.at({"calls_per_month": calls}) for calls in grid]
        totals = {each.name: tuple(report.npv(each.name) for report in reports) for each in self.options}
        return Curve("calls per month", grid, totals)

    def at(self, values: dict[str, float]) -> "CostReport":
        """The same scenario with some assumptions, by name, at other values."""
        known = {each.name for each in self.scenario.assumptions}
        if unknown := sorted(values.keys() - known):
            raise RecipeError(f"{self.scenario.path}: no assumption is called {unknown[0]}; use one of {sorted(known)}")
        content = self.scenario.point(values)
        options = _options(content, self.prices, self.today)
        scenario = Scenario(self.scenario.name, self.scenario.task, content, self.scenario.path, self.scenario.prices)
        return CostReport(scenario, self.today, self.prices, options)

    def _bands(self):
        """The bands that can touch the comparison: not those of other options."""
        others = [f"options.{o.name}." for o in self.options if o.name not in (self.baseline.name, self.candidate.name)]
        return [band for band in self.scenario.bands if not band.name.startswith(tuple(others))]

    def tornado(self) -> Tornado:
        """Each band of the two options compared at its low and its high end, the others at their likely values."""
        saving, swings = self.saving_usd, []
        for each in self._bands():
            ends = [self.at({each.name: value}).saving_usd for value in (each.low, each.high)]
            known = None not in (saving, *ends)
            flips = known and any((end > 0) != (saving > 0) for end in ends)
            swings.append(Swing(each.name, each.low, each.high, *ends, flips))
        return Tornado(saving, tuple(sorted(swings, key=lambda swing: -swing.width)))

    def saving_band(self, draws: int = 300, seed: int = 0) -> SavingBand:
        """The spread of the saving when each band is drawn from a triangle over low, likely and high."""
        dice, bands, savings = random.Random(seed), self._bands(), []
        for _ in range(draws):
            values = {band.name: dice.triangular(band.low, band.high, band.likely) for band in bands}
            savings.append(self.at(values).saving_usd)
        if None in savings:
            return SavingBand(None, None, None, None, draws)
        savings.sort()
        low, likely, high = (savings[round(share * (draws - 1))] for share in (0.1, 0.5, 0.9))
        return SavingBand(low, likely, high, sum(saving > 0 for saving in savings) / draws, draws)

    def to_dict(self) -> dict:
        """The contract of `ftlab cost --json`; unknown amounts are null."""
        return {
            "scenario": self.scenario.name,
            "today": self.today.isoformat(),
            "options": [option.to_dict() for option in self.options],
            "compare": dict(self.scenario.content["compare"]),
            "break_even": self.break_even.to_json(),
            "saving_usd": self.saving_usd,
            "assumptions": [asdict(each) for each in self.scenario.assumptions],
            "warnings": list(self.warnings),
        }

    def _rows(self):
        return [
            (each.name, money(each.one_time_usd), money(each.monthly_usd), money(each.usd_per_call, 6),
             money(each.monthly_total_usd), money(self.npv(each.name)))
            for each in self.options
        ]  # fmt: skip

    def _headings(self):
        horizon = self.scenario.point()["horizon_months"]
        return ["option", "one-time", "fixed a month", "per call", "all a month", f"worth today, {horizon:g} months"]

    def __repr__(self):
        compared = f"{self.candidate.name} against {self.baseline.name}"
        rows = [self._headings(), *self._rows()]
        lines = [f"CostReport({self.scenario.name}, {self.today}; {compared}: {self.break_even})"]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            lines.append("  " + "  ".join([row[0].ljust(widths[0]), *cells]))
        return "\n".join(lines + [f"  warning: {warning}" for warning in self.warnings])

    def _repr_html_(self):
        import html

        import pandas as pd

        table = pd.DataFrame(self._rows(), columns=self._headings()).to_html(index=False)
        compared = f"{self.candidate.name} against {self.baseline.name}: {self.break_even}"
        notes = "".join(f"<li>{html.escape(warning)}</li>" for warning in self.warnings)
        return f"{table}<p>{html.escape(compared)}</p><ul>{notes}</ul>"


def read_scenario(path: str | Path, count_tokens: Callable[[str], int] | None = None) -> Scenario:
    """Read a scenario; one RecipeError lists everything wrong in it, each with file, line, key and remedy.

    `count_tokens(text)` is needed where the file says `tokens_from: rows.jsonl`: its counts are then the scenario's
    input and output tokens, and those of every hosted training that gives no rows of its own.
    """
    path = Path(path)
    content, place = read_settings(path, SCHEMA, "cost assumptions")
    for name, option in content["options"].items():
        rule = OPTION_SCHEMAS[option["kind"]]
        content["options"][name] = complete(option, rule)
        place.raise_problems(schema_problems(content["options"][name], rule, ("options", name)))
    if "tokens_from" in content:
        _fill_tokens(content, path, place, count_tokens)
    place.raise_problems(_problems(content))
    if "calls_per_day" in content:
        content["calls_per_month"] = _scale(content.pop("calls_per_day"), DAYS_PER_MONTH)
    prices = _beside(path, content["prices"]) if "prices" in content else None
    return Scenario(content["name"], content["task"], content, path, prices)


def cost(scenario: Scenario, today: date | None = None, prices: PriceBook | None = None) -> CostReport:
    """All options of a scenario side by side; `today` decides which prices are old and which models retired."""
    today = today or date.today()
    prices = prices or load_prices(scenario.prices)
    return CostReport(scenario, today, prices, _options(scenario.point(), prices, today))


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


def training_charge(
    prices: PriceBook,
    provider: str,
    model: str,
    rows: float,
    tokens_per_row: float,
    epochs: float,
    method: str = "sft",
    size_b: float | None = None,
    validation_rows: float = 0,
    evaluations: float = 0,
    packing: bool = True,
    max_seq_length: float | None = None,
    characters_per_row: float | None = None,
    hours: float | None = None,
    today: date | None = None,
) -> Charge:
    """What one hosted training job costs, by that service's own rule; `size_b` in billions where size sets the price.

    OpenAI, Azure, Google, Bedrock and Fireworks bill training tokens x epochs (Google once billed characters, and
    reinforcement fine-tuning is billed by the hour); Together adds evaluations x validation tokens, and counts every
    row as `max_seq_length` tokens when packing is off.
    """
    price = prices.price(provider, model, "training", today, method=method, size_b=size_b)
    if price.unit == HOUR:
        billed, rule = _needed(hours, "hours", provider), "hours"
    elif price.unit == CHARACTERS:
        billed = rows * _needed(characters_per_row, "characters_per_row", provider) * epochs / 1e6
        rule = "rows x characters x epochs"
    elif provider == "together":
        per_row = tokens_per_row if packing else _needed(max_seq_length, "max_seq_length", provider)
        billed = (epochs * rows * per_row + evaluations * validation_rows * tokens_per_row) / 1e6
        length = "tokens" if packing else "max_seq_length"
        rule = f"epochs x rows x {length} + evaluations x validation tokens"
    else:
        billed, rule = epochs * rows * tokens_per_row / 1e6, "rows x tokens x epochs"
    return Charge(price.usd(billed, price.unit), billed, price.unit, price.amount, rule, price.warnings)


def gpu_charge(
    prices: PriceBook,
    cloud: str,
    gpu: str,
    hours: float,
    gpus: float = 1,
    minimum_hours: float = 0,
    today: date | None = None,
) -> Charge:
    """The rent of `gpus` GPUs for `hours`, at least `minimum_hours`."""
    price = prices.gpu(cloud, gpu, today)
    billed = gpus * max(hours, minimum_hours)
    return Charge(price.usd(billed, GPU_HOUR), billed, GPU_HOUR, price.amount, "GPUs x hours", price.warnings)


def break_even(baseline: OptionCost, candidate: OptionCost) -> BreakEven:
    """The first moment at which the candidate's total is not above the baseline's.

    "never" exactly when the candidate saves nothing a month; forced migrations are paid when they fall due.
    """
    amounts = [option.monthly_total_usd for option in (baseline, candidate)]
    amounts += [option.one_time_usd for option in (baseline, candidate)]
    amounts += [usd for option in (baseline, candidate) for _, usd, _ in option.lumps]
    if None in amounts:
        return BreakEven("unknown", reason="a price is missing; see the warnings")
    saving = baseline.monthly_total_usd - candidate.monthly_total_usd
    if saving <= 0:
        return BreakEven("never", reason=f"{candidate.name} saves nothing a month ({money(-saving)} dearer)")
    behind = candidate.one_time_usd - baseline.one_time_usd
    lumps = [(at, usd) for at, usd, _ in candidate.lumps] + [(at, -usd) for at, usd, _ in baseline.lumps]
    months = 0.0
    for until, usd in [*sorted(lumps), (math.inf, 0.0)]:
        months = max(months, behind / saving)  # where the lines cross, if they do before `until`
        if months < until:
            break
        behind, months = behind + usd, until
    if math.isinf(months):
        return BreakEven("never", reason=f"{candidate.name} saves next to nothing a month")
    return BreakEven("break-even", months * candidate.calls_per_month, months)


def money(usd: Known, digits: int = 2) -> str:
    """Dollars as text, `unknown` for None; `digits` after the point below 1,000 dollars."""
    if usd is None:
        return "unknown"
    text = f"{abs(usd):,.0f}" if abs(usd) >= 1000 else f"{abs(usd):,.{digits}f}"
    return f"-${text}" if usd < 0 and float(text.replace(",", "")) else f"${text}"


def _flag(what, default):
    return {"type": "boolean", "description": f"write true or false: {what}", "default": default}


def _rows_section(what):
    return section_rule(
        {"rows": number_rule(f"how many rows {what}"), "minutes_per_row": number_rule("an expert's minutes a row")}
    )


_TOKENS = "tokens per call"
_API = {
    "provider": text_rule("the provider, such as openai"),
    "model": text_rule("the model's name at the provider"),
    "prompt_tokens": number_rule(f"the fixed prompt's {_TOKENS}"),
}
_API_OPTIONS = {
    "cache_hit_rate": share_rule("the share of calls whose fixed prompt is billed as cached", default=0),
    "cache_minimum_tokens": number_rule("the shortest prompt that is cached, in tokens", band=False, default=1024),
    "batch": _flag("are the calls sent as a batch?", False),
}
_COMMON = {
    "price_factor": number_rule("a factor on all prices of this option", default=1),
    "setup": section_rule({"engineer_hours": number_rule("an engineer's hours before the start")}),
    "drafting": section_rule(
        _API
        | {
            "rows": number_rule("how many rows a stronger model drafts"),
            "output_tokens": number_rule("tokens of a draft"),
        }
    ),
    "labelling": _rows_section("experts write or correct"),
    "evaluation": _rows_section("of the test set experts label"),
    "review": section_rule(
        {"share": share_rule("the share of answers a person reads"), "minutes": number_rule("minutes each")}
    ),
    "maintenance": section_rule({"engineer_hours_per_month": number_rule("an engineer's hours a month")}),
    "migration_usd": number_rule("what a move to another model costs, in dollars"),
    "retires": text_rule("the day on which the model retires, as 2027-01-14") | {"pattern": r"^\d{4}-\d\d-\d\d$"},
}
_RETRAINING = {
    "retraining": section_rule(
        {
            "per_quarter": number_rule("how often a quarter"),
            "rows": number_rule("how many new rows experts label each time"),
            "minutes_per_row": number_rule("an expert's minutes a row"),
        }
    )
}
_HOSTED_TRAINING = section_rule(
    {"epochs": number_rule("how often to go through the data", above=0)},
    {
        "rows": number_rule("how many training rows"),
        "tokens_per_row": number_rule("tokens of a training row, all turns"),
        "method": text_rule("sft, dpo or rft") | {"default": "sft"},
        "size_b": number_rule("the model's size in billions of parameters", band=False, above=0),
        "runs": number_rule("how many jobs you pay for, failed and trial runs included", default=1),
        "validation_rows": number_rule("how many validation rows", default=0),
        "evaluations": number_rule("how often the service evaluates on them", default=0),
        "packing": _flag("does the service pack short rows together?", True),
        "max_seq_length": number_rule("the length of a row in tokens when packing is off"),
        "characters_per_row": number_rule("characters of a training row"),
        "hours": number_rule("hours of a job that is billed by the hour"),
    },
)
_GPU = {"cloud": text_rule("the cloud, such as aws"), "gpu": text_rule("the GPU, such as H100")}
_GPU_RUN = {"hours": number_rule("hours of one training run")}
_GPU_RUN_OPTIONS = {
    "runs": number_rule("how many runs you plan, trials included", default=1),
    "failed_share": number_rule("failed runs for each good one (0.5: one in three fails)", default=0),
    "minimum_hours": number_rule("the shortest rent in hours", default=0),
    "gpus": number_rule("how many GPUs", band=False, above=0, default=1),
}
_SPEED = {
    "calls_per_hour": number_rule("how many calls one machine answers in an hour at full load", minimum=0.001),
    "utilisation": share_rule("the share of full load that you reach in practice", minimum=0.001),
}
_KIND_KEYS = {  # kind: (required keys, further keys)
    "prompted": (_API, _API_OPTIONS),
    "few_shot": (_API | {"example_tokens": number_rule(f"the examples' {_TOKENS}")}, _API_OPTIONS),
    "rag": (
        _API
        | {
            "context_tokens": number_rule(f"the retrieved text's {_TOKENS}"),
            "retrieval": section_rule(
                {
                    "provider": text_rule("the provider of the embedding model"),
                    "model": text_rule("the embedding model"),
                    "index_tokens": number_rule("tokens of all documents"),
                },
                {
                    "reindexings_per_month": number_rule("how often all documents are embedded again", default=0),
                    "usd_per_search": number_rule("dollars for one search", default=0),
                    "store_usd_per_month": number_rule("dollars a month for the index", default=0),
                },
            ),
        },
        _API_OPTIONS | {"example_tokens": number_rule(f"the examples' {_TOKENS}", default=0)},
    ),
    "tuned_hosted": (
        _API | {"training": _HOSTED_TRAINING},
        _API_OPTIONS
        | _RETRAINING
        | {
            "hosting": section_rule(
                {},
                {
                    "hours_per_month": number_rule(
                        "hours a month that it is deployed", maximum=744, default=HOURS_PER_MONTH
                    ),
                    "replicas": number_rule("how many deployments", band=False, default=1),
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
                    "gpus": number_rule("GPUs of one machine", band=False, above=0, default=1),
                    "always_on": _flag("does the machine run when nobody calls?", True),
                    "minimum_hours": number_rule("the shortest rent a month in hours", default=0),
                },
            ),
        },
        _RETRAINING,
    ),
    "own_gpu": (
        {
            "machine_usd": number_rule("the price of one machine in dollars"),
            "watts": number_rule("what a machine draws, in watts"),
            "usd_per_kwh": number_rule("the price of a kilowatt-hour in dollars"),
            "training": section_rule(_GPU_RUN, {key: _GPU_RUN_OPTIONS[key] for key in ("runs", "failed_share")}),
            **_SPEED,
        },
        _RETRAINING,
    ),
}
OPTION_SCHEMAS = {
    kind: section_rule({"kind": text_rule("the kind of option")} | required, _COMMON | optional)
    for kind, (required, optional) in _KIND_KEYS.items()
}
SCHEMA = section_rule(
    {
        "name": text_rule("a short name"),
        "task": text_rule("in a few words what the model has to do"),
        "horizon_months": number_rule("over how many months to count", band=False, above=0, maximum=120),
        "labour": section_rule(
            {
                "expert_usd_per_hour": number_rule("what an hour of an expert costs"),
                "engineer_usd_per_hour": number_rule("what an hour of an engineer costs"),
            }
        ),
        "compare": section_rule(
            {"baseline": text_rule("the option without training"), "candidate": text_rule("its rival")}
        ),
        "options": {
            "type": "object",
            "minProperties": 2,
            "description": "write at least two options, each under its name",
            "propertyNames": text_rule("the option's name in letters, digits, _ and -") | {"pattern": r"^[\w-]+$"},
            "additionalProperties": {
                "type": "object",
                "description": "write the option as a section with kind: and its numbers",
                "properties": {"kind": {"enum": list(KINDS), "description": f"write one of {', '.join(KINDS)}"}},
                "required": ["kind"],
            },
        },
    },
    {
        "calls_per_month": number_rule("how many calls a month", minimum=0.001),
        "calls_per_day": number_rule("how many calls a day", minimum=0.001),
        "input_tokens": number_rule("tokens of what each call asks, without the fixed prompt"),
        "output_tokens": number_rule("tokens of an answer"),
        "tokens_from": text_rule("a chat JSONL file whose tokens are counted"),
        "discount_rate": number_rule("the discount rate a year, such as 0.08", band=False, maximum=1, default=0),
        "prices": text_rule("a CSV or YAML file with your own prices"),
    },
)


def _problems(content) -> Iterator[tuple[tuple, str]]:
    """Rules over more than one key."""
    for at, value in _numbers(content, ()):
        if isinstance(value, list) and sorted(value) != value:
            yield at, f"is {value}; write the band as [low, likely, high], from small to large"
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
        if "retires" in option and _day(option["retires"]) is None:
            yield ("options", name, "retires"), f"is {option['retires']}; write a day as 2027-01-14"
        training = option.get("training", {})
        at = ("options", name, "training")
        if option["kind"] == "tuned_hosted":
            for key in ("rows", "tokens_per_row"):
                if key not in training:
                    yield (*at, key), "is missing; write it, or tokens_from: a chat JSONL file at the top"
            if option["provider"] == "together" and not training["packing"] and "max_seq_length" not in training:
                yield (*at, "max_seq_length"), "is missing; without packing the service bills this length for each row"


def _numbers(value, at) -> Iterator[tuple[tuple, float | list]]:
    """(path, number or band) of every number in the content."""
    for key, each in value.items():
        if isinstance(each, dict):
            yield from _numbers(each, (*at, key))
        elif isinstance(each, list) or (isinstance(each, int | float) and not isinstance(each, bool)):
            yield (*at, key), each


def _resolve(value, at, values):
    if isinstance(value, dict):
        return {key: _resolve(each, (*at, key), values) for key, each in value.items()}
    likely = value[1] if isinstance(value, list) else value
    return values.get(".".join(at), likely)


def _scale(value, factor):
    return [each * factor for each in value] if isinstance(value, list) else value * factor


def _fill_tokens(content, path, place, count_tokens):
    """Put the counts of `tokens_from` where the file gives no number."""
    if count_tokens is None:
        remedy = "pass count_tokens to read_scenario, or write input_tokens and output_tokens"
        place.raise_problems([(("tokens_from",), f"nobody counts the tokens; {remedy}")])
    count = measure_tokens(_beside(path, content["tokens_from"]), count_tokens)
    content.setdefault("input_tokens", count.input)
    content.setdefault("output_tokens", count.output)
    for option in content["options"].values():
        if option["kind"] == "tuned_hosted":
            option["training"].setdefault("rows", count.rows)
            option["training"].setdefault("tokens_per_row", count.total)


def _beside(path, name) -> Path:
    """A file named in a scenario: from the current folder, else from the scenario's own."""
    return Path(name) if Path(name).exists() else path.parent / name


def _day(text) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _needed(value, name, provider) -> float:
    if value is None:
        raise RecipeError(f"training.{name}: is missing; {provider} bills this job by it")
    return value


def _sum(values) -> Known:
    values = list(values)
    return None if None in values else math.fsum(values)


def _times(usd: Known, factor: float) -> Known:
    return None if usd is None else usd * factor


def _saving(baseline, candidate, content) -> Known:
    horizon, rate = content["horizon_months"], content["discount_rate"]
    totals = [option.total_usd(horizon, rate) for option in (baseline, candidate)]
    return None if None in totals else totals[0] - totals[1]


def _options(content, prices, today) -> tuple[OptionCost, ...]:
    return tuple(_option(name, option, content, prices, today) for name, option in content["options"].items())


def _option(name, option, content, prices, today) -> OptionCost:
    """One option of a scenario in which every band is one number."""
    kind, calls, labour = option["kind"], content["calls_per_month"], content["labour"]
    expert, engineer = labour["expert_usd_per_hour"], labour["engineer_usd_per_hour"]
    one_time, monthly, per_call, notes = {}, {}, {}, []
    factor = option["price_factor"]

    if "provider" in option:
        per_call["model"] = _call_usd(option, content, prices, today, notes)
    if kind == "rag":
        _add_retrieval(option["retrieval"], content, prices, today, one_time, monthly, per_call, notes)
    run = 0.0  # dollars of one training run
    if kind == "tuned_hosted":
        run = _add_hosted(option, prices, today, one_time, monthly, notes)
    if kind == "tuned_self_hosted":
        run = _add_rented(option, calls, prices, today, one_time, monthly, per_call, notes)
    if kind == "own_gpu":
        run = _add_own(option, calls, one_time, monthly)
    for parts in (one_time, monthly, per_call):  # so far only prices of services and machines
        parts.update({part: _times(usd, factor) for part, usd in parts.items()})
    run = _times(run, factor)

    if "drafting" in option:
        one_time["drafting"] = _draft_usd(option["drafting"], prices, today, notes)
    for part in ("labelling", "evaluation"):
        if part in option:
            one_time[part] = option[part]["rows"] * option[part]["minutes_per_row"] / 60 * expert
    if "setup" in option:
        one_time["setup"] = option["setup"]["engineer_hours"] * engineer
    if "review" in option:
        per_call["review"] = option["review"]["share"] * option["review"]["minutes"] / 60 * expert
    if "retraining" in option:
        again = option["retraining"]
        monthly["retraining"] = _times(run, again["per_quarter"] / 3)
        monthly["new labels"] = again["per_quarter"] / 3 * again["rows"] * again["minutes_per_row"] / 60 * expert
    if "maintenance" in option:
        monthly["maintenance"] = option["maintenance"]["engineer_hours_per_month"] * engineer
    lumps = _migration(option, one_time, run, content, prices, today, notes)
    if kind in TUNED_KINDS:
        left_out = [part for part in ("labelling", "evaluation", "retraining") if part not in option]
        if left_out:
            notes.append(f"{', '.join(left_out)} not counted: the file gives no such section")
    return OptionCost(name, kind, one_time, monthly, per_call, calls, lumps, tuple(dict.fromkeys(notes)))


def _call_usd(option, content, prices, today, notes) -> Known:
    """Mean dollars of one call: with the fixed prompt from the cache, and without."""
    fixed = option["prompt_tokens"] + option.get("example_tokens", 0)
    asked = fixed + option.get("context_tokens", 0) + content["input_tokens"]
    hits = option["cache_hit_rate"]
    if hits and fixed < option["cache_minimum_tokens"]:
        minimum = option["cache_minimum_tokens"]
        notes.append(f"a fixed prompt of {fixed:g} tokens is under the {minimum:g} from which prompts are cached")
        hits = 0
    settings = {"tuned": option["kind"] == "tuned_hosted", "batch": option["batch"], "today": today}
    total = 0.0
    for share, cached, written in ((hits, fixed, 0), (1 - hits, 0, fixed if hits else 0)):
        if share > 0:
            price = prices.call(
                option["provider"], option["model"], asked, content["output_tokens"], cached, written, **settings
            )
            notes += price.warnings
            usd = price.usd(1, "call")
            total = None if total is None or usd is None else total + share * usd
    return total


def _add_retrieval(retrieval, content, prices, today, one_time, monthly, per_call, notes):
    asked = content["input_tokens"]
    query = prices.call(retrieval["provider"], retrieval["model"], asked, 0, today=today)
    notes += query.warnings
    # documents are embedded in many small calls, so the price of one token is that of a short call
    token = prices.call(retrieval["provider"], retrieval["model"], 1000, 0, today=today) * (1 / 1000)
    index = _times(token.usd(1, "call"), retrieval["index_tokens"])
    per_call["query embedding"] = query.usd(1, "call")
    per_call["search"] = retrieval["usd_per_search"]
    one_time["index"] = index
    monthly["index again"] = _times(index, retrieval["reindexings_per_month"])
    monthly["index store"] = retrieval["store_usd_per_month"]


def _add_hosted(option, prices, today, one_time, monthly, notes) -> Known:
    """Training by the service's rule and hosting; returns the dollars of one run."""
    provider, model, hosting = option["provider"], option["model"], option["hosting"]
    terms = {key: value for key, value in option["training"].items() if key != "runs"}
    job = training_charge(prices, provider, model, today=today, **terms)
    notes += job.warnings
    one_time["training"] = _times(job.usd, option["training"]["runs"])
    for part in ("hosting", "storage"):
        if part == "storage" and prices.find(provider, model, part) is None:
            continue
        price = prices.price(provider, model, part, today, tier=hosting["tier"] if part == "hosting" else "")
        notes += price.warnings
        quantity = hosting["replicas"] * (hosting["hours_per_month"] if price.unit == HOUR else 1)
        if price.amount is not None and price.unit not in (HOUR, MONTH):
            raise DataError(f"{provider} {model}: {part} has the unit {price.unit}; write hour or month")
        monthly[part] = price.usd(quantity, price.unit)
    return job.usd


def _add_rented(option, calls, prices, today, one_time, monthly, per_call, notes) -> Known:
    """Training and serving on rented GPUs, idle hours and failed runs included; returns the dollars of one run."""
    training, serving = option["training"], option["serving"]
    wanted = {key: training[key] for key in ("cloud", "gpu", "hours", "gpus", "minimum_hours")}
    run = gpu_charge(prices, **wanted, today=today)
    hour = gpu_charge(prices, serving["cloud"], serving["gpu"], 1, serving["gpus"], today=today)
    notes += run.warnings + hour.warnings
    planned = _times(run.usd, 1 + training["failed_share"])
    one_time["training"] = _times(planned, training["runs"])
    busy = calls / serving["calls_per_hour"]
    needed = busy / serving["utilisation"]
    if serving["always_on"]:
        rented = max(1, math.ceil(needed / HOURS_PER_MONTH)) * HOURS_PER_MONTH
        monthly["GPU at work"] = _times(hour.usd, busy)
        monthly["GPU idle"] = _times(hour.usd, rented - busy)
    else:
        per_call["GPU at work"] = _times(hour.usd, busy / calls)
        per_call["GPU idle"] = _times(hour.usd, (needed - busy) / calls)
        monthly["GPU, up to the shortest rent"] = _times(hour.usd, max(0.0, serving["minimum_hours"] - needed))
    return planned


def _add_own(option, calls, one_time, monthly) -> Known:
    """A machine of one's own: its price, and its power all day long; returns the dollars of one run (power)."""
    capacity = option["calls_per_hour"] * option["utilisation"] * HOURS_PER_MONTH
    machines = max(1, math.ceil(calls / capacity))
    kilowatt_usd = option["watts"] / 1000 * option["usd_per_kwh"]
    run = option["training"]["hours"] * kilowatt_usd * (1 + option["training"]["failed_share"])
    one_time["machines"] = machines * option["machine_usd"]
    one_time["training"] = run * option["training"]["runs"]
    monthly["power"] = machines * kilowatt_usd * HOURS_PER_MONTH
    return run


def _draft_usd(drafting, prices, today, notes) -> Known:
    price = prices.call(
        drafting["provider"], drafting["model"], drafting["prompt_tokens"], drafting["output_tokens"], today=today
    )
    notes += price.warnings
    return _times(price.usd(1, "call"), drafting["rows"])


def _migration(option, one_time, run, content, prices, today, notes):
    """What the model's retirement inside the horizon forces: by default one training run and one evaluation."""
    retires, ends = prices.dates(option.get("provider", ""), option.get("model", ""))
    retires = _day(option["retires"]) if "retires" in option else retires
    if retires is None:
        return ()
    model = f"{option['provider']} {option['model']}" if "provider" in option else "the model"
    notes += date_warnings(model, retires, ends if option["kind"] == "tuned_hosted" else None, today)
    month = (retires - today).days / DAYS_PER_MONTH
    if not 0 < month <= content["horizon_months"]:
        return ()
    usd = option["migration_usd"] if "migration_usd" in option else _sum([run, one_time.get("evaluation", 0.0)])
    reason = f"{model} retires after {month:.1f} months and forces a migration for {money(usd)}"
    notes.append(reason if usd != 0 else f"{reason}: it is never free, write migration_usd")
    return ((month, usd, reason),)
