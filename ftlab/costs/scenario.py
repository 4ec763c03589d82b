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
from functools import cached_property

from ftlab.costs.arguments import check_whole
from ftlab.costs.assumptions import Scenario
from ftlab.costs.options import Known, OptionCost, money, option_cost
from ftlab.costs.prices import PriceBook, load_prices
from ftlab.costs.uncertainty import Band, Swing, band, draw, swings
from ftlab.errors import RecipeError
from ftlab.tables import html_table

DRAWS = 100  # of all bands at once, for the bands that every report shows


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


@dataclass(frozen=True)
class Tornado:
    """The saving in dollars over the horizon at both ends of each band, widest first, around that at likely values."""

    saving: Known
    swings: tuple[Swing, ...]

    @property
    def flips(self) -> tuple[str, ...]:
        """The assumptions that alone can turn the answer round."""
        known = [each for each in self.swings if None not in (self.saving, each.at_low, each.at_high)]
        return tuple(each.assumption for each in known if {each.at_low > 0, each.at_high > 0} != {self.saving > 0})

    def to_dict(self) -> list[dict]:
        """Ready for JSON."""
        return [each.to_dict("saving") | {"flips": each.assumption in self.flips} for each in self.swings]


@dataclass(frozen=True)
class SavingBand:
    """The saving when every band is drawn at once: 10 %, 50 % and 90 % of the draws lie below these dollars."""

    low: Known
    likely: Known
    high: Known
    share_positive: float | None
    draws: int


@dataclass(frozen=True, repr=False)
class CostReport:
    """All options of a scenario at its likely values; baseline and candidate are those of `compare`."""

    scenario: Scenario
    today: date
    prices: PriceBook = field(repr=False)
    options: tuple[OptionCost, ...]

    def __getitem__(self, name: str) -> OptionCost:
        named = {option.name: option for option in self.options}
        if name not in named:
            raise RecipeError(f"no option is called {name}; the options are {', '.join(named)}")
        return named[name]

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
        return tuple(dict.fromkeys(found + _break_even_warnings(self)))

    def npv(self, name: str) -> Known:
        """Present value of all that an option costs over the horizon, in dollars."""
        content = self.scenario.content
        return self[name].total_usd(content["horizon_months"], content["discount_rate"])

    def volume_curve(self, calls_per_month_grid: Iterable[float]) -> Curve:
        """Present value of each option over the horizon, were there so many calls a month."""
        grid = tuple(calls_per_month_grid)
        reports = [self.at({"calls_per_month": calls}) for calls in grid]
        totals = {each.name: tuple(report.npv(each.name) for report in reports) for each in self.options}
        return Curve("calls per month", grid, totals)

    def at(self, values: dict[str, float]) -> "CostReport":
        """The same scenario with some assumptions, by name, at other values and certain; the other bands stay."""
        return cost(self.scenario.at(values), self.today, self.prices)

    def tornado(self) -> Tornado:
        """Each band of the two options compared at its low and its high end, the others at their likely values."""
        ends = {each.name: (each.low, each.high) for each in self._bands()}
        return Tornado(self.saving_usd, swings(ends, lambda name, value: self.at({name: value}).saving_usd))

    @property
    def worth_bands(self) -> dict[str, Band]:
        """By option: the spread of its present value when all bands of the scenario are drawn at once."""
        return {each.name: band(report.npv(each.name) for report in self._drawn) for each in self.options}

    @property
    def months_band(self) -> Band:
        """The spread of the months until the break-even; infinity is never."""
        found = [report.break_even for report in self._drawn]
        return band({"never": math.inf, "unknown": None}.get(even.verdict, even.months) for even in found)

    def saving_band(self, draws: int = 300) -> SavingBand:
        """The spread of the saving when all bands of the two options are drawn at once."""
        check_whole("draws", draws)
        return _saving_band(self._draw(self._bands(), draws))

    @cached_property
    def _drawn(self):
        """The report at DRAWS values of all bands at once."""
        return self._draw(self.scenario.bands, DRAWS if self.scenario.bands else 1)

    def _draw(self, bands, draws):
        """The report at `draws` values of the bands, always the same."""
        dice = random.Random(0)
        drawn = ({each.name: draw(dice, each.low, each.likely, each.high) for each in bands} for _ in range(draws))
        return [self.at(values) for values in drawn]

    def _bands(self):
        """The bands that can touch the comparison: not those of other options."""
        others = [f"options.{o.name}." for o in self.options if o.name not in (self.baseline.name, self.candidate.name)]
        return [each for each in self.scenario.bands if not each.name.startswith(tuple(others))]

    def to_dict(self) -> dict:
        """The contract of `ftlab cost --json`; unknown amounts are null."""
        worth = {name: {"likely": self.npv(name)} | asdict(each) for name, each in self.worth_bands.items()}
        months = {name: "never" if at == math.inf else at for name, at in asdict(self.months_band).items()}
        return {
            "scenario": self.scenario.name,
            "today": self.today.isoformat(),
            "options": [option.to_dict() | {"worth_today_usd": worth[option.name]} for option in self.options],
            "compare": dict(self.scenario.content["compare"]),
            "break_even": self.break_even.to_json(),
            "break_even_months": months,
            "saving_usd": self.saving_usd,
            "saving_band": asdict(_saving_band(self._drawn)),
            "tornado": self.tornado().to_dict(),
            "assumptions": [asdict(each) for each in self.scenario.assumptions],
            "warnings": list(self.warnings),
        }

    def rows(self) -> list[tuple[str, ...]]:
        """The table that is printed: a heading, then a line for each option."""
        worth = f"worth today, {self.scenario.content['horizon_months']:g} months"
        heading = ("option", "one-time", "fixed a month", "per call", "all a month", worth, "8 of 10 draws")
        return [heading] + [
            (each.name, money(each.one_time_usd), money(each.monthly_usd), money(each.usd_per_call, 6),
             money(each.monthly_total_usd), money(self.npv(each.name)), _span(self.worth_bands[each.name]))
            for each in self.options
        ]  # fmt: skip

    def __repr__(self):
        rows, (first, *more) = self.rows(), _answer(self)
        lines = [f"CostReport({self.scenario.name}, {self.today}; {first})"]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            lines.append("  " + "  ".join([row[0].ljust(widths[0]), *cells]))
        lines += [f"  {line}" for line in more]
        return "\n".join(lines + [f"  warning: {warning}" for warning in self.warnings])

    def _repr_html_(self):
        return html_table(self.rows(), after=[*_answer(self), *(f"warning: {each}" for each in self.warnings)])


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
    both = (baseline, candidate)
    amounts = [each for option in both for each in (option.monthly_total_usd, option.one_time_usd)]
    if None in amounts + [usd for option in both for _, usd, _ in option.lumps]:
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


def _break_even_warnings(report) -> list[str]:
    """A break-even past the horizon, and migrations before and after it."""
    months, horizon = report.break_even.months, report.scenario.content["horizon_months"]
    if months is None:
        return []
    found = []
    if months > horizon:
        found.append(f"the break-even comes after {months:,.1f} months, the horizon ends at {horizon:g}")
    for month, _, reason in report.candidate.lumps:
        if month <= months:
            found.append(f"{reason}, before the break-even: it is paid in the break-even")
        elif report.candidate.total_usd(month) > report.baseline.total_usd(month):
            found.append(f"{reason}, after the break-even, and puts the candidate behind again for a while")
    return found


def _answer(report) -> list[str]:
    """The break-even with its band, and what can turn it round."""
    lines = [f"{report.candidate.name} against {report.baseline.name}: {report.break_even}"]
    if report.break_even.verdict == "unknown" or not report._bands():
        return lines
    spread, saving = report.months_band, _saving_band(report._drawn)
    months = " to ".join("never" if at == math.inf else f"{at:,.1f}" for at in (spread.low, spread.high))
    lines.append(f"all bands drawn at once: months to the break-even {months}, saving {_span(saving)}, "
                 f"cheaper in {saving.share_positive:.0%} of the draws")  # fmt: skip
    flips = report.tornado().flips
    lines.append(f"alone enough to turn the answer round: {', '.join(flips) or 'no single band'}")
    return lines


def _saving_band(reports) -> SavingBand:
    """The spread of the saving over reports at drawn values."""
    savings = [report.saving_usd for report in reports]
    spread = band(savings)
    positive = None if None in savings else sum(saving > 0 for saving in savings) / len(savings)
    return SavingBand(spread.low, spread.middle, spread.high, positive, len(savings))


def _span(spread) -> str:
    """The low and the high end of a band in dollars."""
    return "unknown" if spread.low is None else f"{money(spread.low)} to {money(spread.high)}"
