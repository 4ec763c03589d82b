"""What a cost scenario answers: several ways to serve the same calls, side by side, and when one pays back another.

The file is read in `ftlab.costs.assumptions`, each option added up in `ftlab.costs.options`. Totals are
`one_time + monthly x months + per_call x calls` at the scenario's rate of calls; `monthly` is what does not depend on
the number of calls. Accuracy is not part of a scenario: what errors and reviews cost is in `ftlab.costs.payback`.
"""

import math
import random
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import date

from ftlab.costs.assumptions import (
    HOURS_PER_MONTH,
    KINDS,
    Assumption,
    Scenario,
    TokenCount,
    measure_tokens,
    read_scenario,
)
from ftlab.costs.options import Charge, Known, OptionCost, gpu_charge, money, option_cost, training_charge
from ftlab.costs.prices import PriceBook, load_prices
from ftlab.errors import RecipeError

__all__ = [
    "HOURS_PER_MONTH",
    "KINDS",
    "Assumption",
    "BreakEven",
    "Charge",
    "CostReport",
    "Curve",
    "OptionCost",
    "SavingBand",
    "Scenario",
    "Swing",
    "TokenCount",
    "Tornado",
    "break_even",
    "cost",
    "gpu_charge",
    "measure_tokens",
    "money",
    "read_scenario",
    "training_charge",
]


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
        amounts = [map(money, usd) for usd in self.usd.values()]
        return _html(zip(self.calls, *amounts, strict=True), [self.axis, *self.usd])


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
        return _html(self._rows(), ["assumption", "low", "high", "saving at low", "saving at high", ""])


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
        totals = [self.npv(option.name) for option in (self.baseline, self.candidate)]
        return None if None in totals else totals[0] - totals[1]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Everything a reader has to know before trusting the numbers, each once."""
        names = {}  # of the options that share a warning
        for option in self.options:
            for warning in option.warnings:
                names.setdefault(warning, []).append(option.name)
        found = [f"{', '.join(options)}: {warning}" for warning, options in names.items()]
        return tuple(dict.fromkeys(found + self._break_even_warnings()))

    def _break_even_warnings(self):
        months, horizon = self.break_even.months, self.scenario.content["horizon_months"]
        if months is None:
            return []
        found = []
        if months > horizon:
            found.append(f"the break-even comes after {months:,.1f} months, the horizon ends at {horizon:g}")
        for month, _, reason in self.candidate.lumps:
            if month <= months:
                found.append(f"{reason}, before the break-even: it is paid in the break-even")
            elif self.candidate.total_usd(month) > self.baseline.total_usd(month):
                found.append(f"{reason}, after the break-even, and puts the candidate behind again for a while")
        return found

    def npv(self, name: str) -> Known:
        """Present value of all that an option costs over the horizon, in dollars."""
        content = self.scenario.content
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
        """The same scenario with some assumptions, by name, at other values and certain; the other bands stay."""
        return cost(self.scenario.at(values), self.today, self.prices)

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
        horizon = self.scenario.content["horizon_months"]
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
        from html import escape

        compared = f"{self.candidate.name} against {self.baseline.name}: {self.break_even}"
        notes = "".join(f"<li>{escape(warning)}</li>" for warning in self.warnings)
        return f"{_html(self._rows(), self._headings())}<p>{escape(compared)}</p><ul>{notes}</ul>"


def cost(scenario: Scenario, today: date | None = None, prices: PriceBook | None = None) -> CostReport:
    """All options of a scenario side by side; `today` decides which prices are old and which models retired."""
    today = today or date.today()
    prices = prices or load_prices(scenario.prices)
    content = scenario.point()
    options = tuple(option_cost(name, content, prices, today) for name in content["options"])
    return CostReport(scenario, today, prices, options)


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


def _html(rows, columns) -> str:
    import pandas as pd

    return pd.DataFrame(list(rows), columns=columns).to_html(index=False)
