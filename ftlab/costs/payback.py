"""Payback of a workflow with people in the loop: what they review, what slips through, what one training changes.

The money is in the people: months = one-time dollars / (dollars a month before - dollars a month after).
"""

import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, get_type_hints

from pydantic import Field, create_model

from ftlab.costs.arguments import check_whole
from ftlab.costs.keys import Amount, Positive, Share, amount, certain, share
from ftlab.costs.options import money
from ftlab.costs.uncertainty import Band, Swing, band, draw, swings
from ftlab.errors import RecipeError
from ftlab.settings import Number, Settings, Text, read_settings, read_yaml
from ftlab.tables import html_table

WEEKS_PER_MONTH = 365 / 12 / 7
DRAWS = 1000  # of all bands at once


@dataclass(frozen=True, repr=False)
class Workflow:
    """One workflow before and after training; shares and accuracies are fractions of 1, `usd_per_hour` a wage.

    A case is answered by the model and read by a person when it falls into the review share. A wrong answer that is
    read takes `minutes_per_correction` more; one that nobody reads costs `usd_per_error`. `accuracy_automatic` is
    the accuracy on the cases nobody reads after training: with routing by confidence above `accuracy_after`.
    `ours` names the assumptions that no source gives, `bands` holds (low, high) where the file gave a band.
    """

    name: str
    cases_per_month: Annotated[float, Positive, "how many cases a month"]
    minutes_per_review: Annotated[float, Amount, "a person's minutes to read one answer"]
    minutes_per_correction: Annotated[float, Amount, "the further minutes when the answer is wrong"]
    usd_per_hour: Annotated[float, Amount, "what an hour of that person costs in dollars"]
    accuracy_before: Annotated[float, Share, "the accuracy over all cases before training"]
    accuracy_after: Annotated[float, Share, "the accuracy over all cases after training"]
    accuracy_automatic: Annotated[float, Share, "the accuracy on the cases nobody reads after training"]
    review_share_before: Annotated[float, Share, "the share of cases a person reads before"]
    review_share_after: Annotated[float, Share, "the share of cases a person reads after"]
    usd_per_error: Annotated[float, Amount, "what an error that nobody saw costs in dollars"]
    inference_usd_per_case: Annotated[float, Amount, "what the model's answer costs before, in dollars"]
    inference_factor: Annotated[float, Amount, "what it costs after, as a multiple (1.08: 8 % dearer)"]
    training_usd: Annotated[float, Amount, "what the training costs in dollars"]
    labels: Annotated[float, Amount, "how many labelled cases the training needs"]
    usd_per_label: Annotated[float, Amount, "what one label costs you in dollars"]
    usd_per_new_label: Annotated[float, Amount, "what one label costs when a person has to write it"]
    evaluation_usd: Annotated[float, Amount, "what the test set and its reading cost in dollars"]
    setup_usd: Annotated[float, Amount, "what building it in costs in dollars"]
    upkeep_usd_per_month: Annotated[float, Amount, "what watching and retraining cost a month in dollars"]
    source: str = ""
    published_weeks: float | None = None
    ours: tuple[str, ...] = ()
    bands: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __repr__(self):
        lines = [f"Workflow({self.name}; {self.source})"]
        for name in NUMBERS:
            low, high = self.bands.get(name, (None, None))
            ends = "" if low is None else f"  [{low:g} .. {high:g}]"
            origin = "  ours, not published" if name in self.ours else ""
            lines.append(f"  {name:<24}{getattr(self, name):>10,g}{ends}{origin}")
        return "\n".join(lines)


# The file says of each of these numbers, once, that it is published or ours.
_HINTS = {name: hint.__metadata__ for name, hint in get_type_hints(Workflow, include_extras=True).items()
          if hasattr(hint, "__metadata__")}  # fmt: skip
NUMBERS = tuple(_HINTS)
ACCURACIES = ("accuracy_before", "accuracy_after", "accuracy_automatic")
SHARES = ("review_share_before", "review_share_after")
Ours = create_model(
    "Ours",
    __base__=Settings,
    **{name: (kind | None, (share if kind is Share else amount)(what, None)) for name, (kind, what) in _HINTS.items()},
)


class Published(Ours):
    """What the source gives."""

    payback_weeks: Number | None = certain("the published payback in weeks", None)
    training_hours: Number | None = certain("the published hours of training", None)


class WorkflowFile(Settings):
    """The top level of the file."""

    name: Text = Field(description="a short name")
    task: Text | None = Field(None, description="in a few words what the workflow does")
    source: Text = Field(description="where the published numbers come from")
    ours: Ours
    published: Published = Field(Published())


@dataclass(frozen=True)
class Month:
    """Dollars of one month: reading, correcting, errors that nobody saw, the model's calls, and upkeep."""

    review_usd: float
    correction_usd: float
    error_usd: float
    inference_usd: float
    upkeep_usd: float

    @property
    def total_usd(self) -> float:
        """All of it."""
        return math.fsum(getattr(self, each.name) for each in fields(self))


@dataclass(frozen=True, repr=False)
class Payback:
    """When the one-time cost has come back; `months` and `weeks` are None, and `verdict` "never", when it does not.

    What is saved is negative when the new way is dearer, or when people have more to read and to correct.
    """

    verdict: str
    months: float | None
    weeks: float | None
    one_time: dict[str, float]
    before: Month
    after: Month
    hours_before: float
    hours_after: float
    hours_saved_per_month: float
    one_time_usd: float
    saving_usd_per_month: float

    def __repr__(self):
        when = "never" if self.months is None else f"after {self.weeks:.1f} weeks ({self.months:.2f} months)"
        hours = f"{self.hours_saved_per_month:,.0f} hours of people's work"
        saved = f"{money(self.saving_usd_per_month)} and {hours} saved a month"
        return f"Payback({when}: {money(self.one_time_usd)} at the start, {saved})"

    def _repr_html_(self):
        names = [each.name for each in fields(Month)] + ["total_usd"]
        rows = [(name, money(getattr(self.before, name)), money(getattr(self.after, name))) for name in names]
        start = ", ".join(f"{name} {money(usd)}" for name, usd in self.one_time.items())
        return html_table([("dollars a month", "before", "after"), *rows], after=[repr(self), f"At the start: {start}"])


@dataclass(frozen=True)
class Elasticity:
    """Per cent of payback time for one per cent more of an assumption; None where it is not defined.

    An accuracy enters as its error rate, `1 - accuracy`: one per cent of 0.985 would be two thirds of all errors.
    """

    assumption: str
    value: float
    elasticity: float | None
    ours: bool


@dataclass(frozen=True)
class WeeksSpread(Band):
    """Payback in weeks when every band is drawn at once: 10 %, 50 % and 90 % lie below; infinity is never."""

    share_never: float
    share_within: float | None  # of the draws, as soon as published; None where no weeks were published
    draws: int

    def __repr__(self):
        low, middle, high = (_weeks(each) for each in (self.low, self.middle, self.high))
        told = "" if self.share_within is None else f"as soon as published in {self.share_within:.0%}, "
        return f"WeeksSpread({low} .. {middle} .. {high}; {told}never in {self.share_never:.0%} of {self.draws} draws)"


@dataclass(frozen=True, repr=False)
class PaybackReport:
    """One workflow with its payback, with labels that must be paid for, and how far the bands move it."""

    workflow: Workflow
    payback: Payback
    with_new_labels: Payback
    spread: WeeksSpread
    bands: tuple[Swing, ...]
    elasticities: tuple[Elasticity, ...]

    def to_dict(self) -> dict:
        """Ready for JSON; weeks of infinity are "never", impossible ones null."""
        return {
            "workflow": self.workflow.name,
            "published_weeks": self.workflow.published_weeks,
            "payback": asdict(self.payback),
            "with_new_labels": asdict(self.with_new_labels),
            "spread": _finite(asdict(self.spread)),
            "bands": [_finite(each.to_dict("weeks")) for each in self.bands],
            "elasticities": [asdict(each) for each in self.elasticities],
        }

    def __repr__(self):
        lines = [repr(self.workflow), repr(self.payback), f"labels paid for: {self.with_new_labels}", repr(self.spread)]
        lines.append("weeks at both ends of each band, widest first:")
        for each in self.bands:
            ends = f"{_weeks(each.at_low)} .. {_weeks(each.at_high)}"
            lines.append(f"  {each.assumption} {each.low:g}..{each.high:g}: {ends}")
        strong = [each for each in self.elasticities if each.elasticity][:3]
        carried = ", ".join(f"{each.assumption} ({each.elasticity:+.2f})" for each in strong)
        return "\n".join([*lines, f"per cent of the weeks for one per cent more of: {carried}"])


@dataclass(frozen=True)
class ThresholdPayback:
    """The payback if answers with a confidence of at least `threshold` go out unread."""

    threshold: float
    review_share: float
    accuracy_automatic: float
    payback: Payback


def read_workflow(path: str | Path) -> Workflow:
    """Read a workflow; each number stands once, under `published:` (with a source) or under `ours:`."""
    content, place = read_settings(path, WorkflowFile, "workflow assumptions")
    published, ours = (each.model_dump(exclude_none=True) for each in (content.published, content.ours))
    problems = []
    for name in NUMBERS:
        if name not in published and name not in ours:
            problems.append(((name,), "is missing; write it under published: if a source gives it, else under ours:"))
        if name in published and name in ours:
            problems.append((("ours", name), "stands under published: too; keep one"))
    place.raise_problems(problems)
    given = published | ours
    bands = {name: given[name] for name in NUMBERS if isinstance(given[name], list)}
    workflow = Workflow(
        content.name,
        **{name: bands[name][1] if name in bands else given[name] for name in NUMBERS},
        source=content.source,
        published_weeks=published.get("payback_weeks"),
        ours=tuple(name for name in NUMBERS if name in ours),
        bands={name: (low, high) for name, (low, _, high) in bands.items()},
    )
    place.raise_problems(_impossible(workflow))
    return workflow


def payback(workflow: Workflow) -> Payback:
    """Months and weeks until the one-time cost has come back; "never" exactly when nothing is saved a month."""
    if problems := list(_impossible(workflow)):
        (name,), text = problems[0]
        raise RecipeError(f"{workflow.name}: {name}: {text}")
    one_time = {
        "training": workflow.training_usd,
        "labels": workflow.labels * workflow.usd_per_label,
        "evaluation": workflow.evaluation_usd,
        "setup": workflow.setup_usd,
    }
    (before, hours_before), (after, hours_after) = (_month(workflow, trained) for trained in (False, True))
    start, saving = math.fsum(one_time.values()), before.total_usd - after.total_usd
    months = start / saving if saving > 0 else math.inf
    told = ("never", None, None) if math.isinf(months) else ("pays back", months, months * WEEKS_PER_MONTH)
    hours = (hours_before, hours_after, hours_before - hours_after)
    return Payback(*told, one_time, before, after, *hours, start, saving)


def with_new_labels(workflow: Workflow) -> Payback:
    """The payback when no labels lie in the archive and each has to be paid for at `usd_per_new_label`."""
    return payback(replace(workflow, usd_per_label=workflow.usd_per_new_label))


def elasticities(workflow: Workflow) -> tuple[Elasticity, ...]:
    """Which assumption carries the payback: per cent of payback time per per cent of each, strongest first."""
    found = []
    for name in NUMBERS:
        error = name in ACCURACIES
        value = 1 - getattr(workflow, name) if error else getattr(workflow, name)
        ends = [value * 0.99, value * 1.01]
        if error or name in SHARES:
            ends[1] = min(1.0, ends[1])
        months = [_months(replace(workflow, **{name: 1 - end if error else end})) for end in ends]
        defined = 0 < ends[0] < ends[1] and all(0 < each < math.inf for each in months)
        slope = math.log(months[1] / months[0]) / math.log(ends[1] / ends[0]) if defined else None
        found.append(Elasticity(f"1 - {name}" if error else name, value, slope, name in workflow.ours))
    return tuple(sorted(found, key=lambda each: -abs(each.elasticity or 0.0)))


def weeks_bands(workflow: Workflow) -> tuple[Swing, ...]:
    """Payback in weeks with each banded assumption at its low and its high end, widest first."""
    return swings(workflow.bands, lambda name, end: _months(replace(workflow, **{name: end})) * WEEKS_PER_MONTH)


def weeks_spread(workflow: Workflow, draws: int = DRAWS) -> WeeksSpread:
    """The payback when every band is drawn at once (see `uncertainty.draw`); what cannot be is drawn again."""
    check_whole("draws", draws)
    dice, weeks = random.Random(0), []
    for _ in range(100 * draws):
        drawn = {name: draw(dice, low, getattr(workflow, name), high) for name, (low, high) in workflow.bands.items()}
        months = _months(replace(workflow, **drawn))
        weeks += [] if math.isnan(months) else [months * WEEKS_PER_MONTH]
        if len(weeks) == draws:
            break
    else:
        raise RecipeError(f"{workflow.name}: the bands leave next to no possible case; narrow accuracy_automatic")
    told = workflow.published_weeks
    within = None if told is None else sum(each <= told for each in weeks) / draws
    return WeeksSpread(**asdict(band(weeks)), share_never=sum(map(math.isinf, weeks)) / draws, share_within=within,
                       draws=draws)  # fmt: skip


def report_payback(workflow: Workflow) -> PaybackReport:
    """All that is known about one workflow's payback, for a page or a shell."""
    parts = (payback(workflow), with_new_labels(workflow), weeks_spread(workflow))
    return PaybackReport(workflow, *parts, weeks_bands(workflow), elasticities(workflow))


def is_workflow(path: str | Path) -> bool:
    """Whether a file is a workflow for `read_workflow`; else read it as a scenario, which says what is wrong in it."""
    try:
        return "ours" in read_yaml(path, WorkflowFile, "workflow assumptions")[0]
    except RecipeError:
        return False


def by_threshold(workflow: Workflow, points: Iterable[tuple[float, float, float]]) -> tuple[ThresholdPayback, ...]:
    """The payback for each (threshold, share above it, accuracy above it) of a measured coverage curve."""
    found = []
    for threshold, automatic, accuracy in points:
        changed = replace(workflow, review_share_after=1 - automatic, accuracy_automatic=accuracy)
        found.append(ThresholdPayback(threshold, 1 - automatic, accuracy, payback(changed)))
    return tuple(found)


def _month(workflow, trained: bool) -> tuple[Month, float]:
    """The dollars of a month and people's hours in it; nothing sorts the cases before training."""
    cases = workflow.cases_per_month
    if trained:
        read = cases * workflow.review_share_after
        missed = (cases - read) * (1 - workflow.accuracy_automatic)
        caught = max(0.0, cases * (1 - workflow.accuracy_after) - missed)
    else:
        read, wrong = cases * workflow.review_share_before, 1 - workflow.accuracy_before
        caught, missed = read * wrong, (cases - read) * wrong
    reading, correcting = read * workflow.minutes_per_review / 60, caught * workflow.minutes_per_correction / 60
    calls = cases * workflow.inference_usd_per_case * (workflow.inference_factor if trained else 1.0)
    upkeep = workflow.upkeep_usd_per_month if trained else 0.0
    wage, errors = workflow.usd_per_hour, missed * workflow.usd_per_error
    return Month(reading * wage, correcting * wage, errors, calls, upkeep), reading + correcting


def _impossible(workflow) -> Iterator[tuple[tuple, str]]:
    """The wrong answers after training must fit: no more than all cases read, no fewer than none."""
    share, tolerance = workflow.review_share_after, 1e-9
    caught = (1 - workflow.accuracy_after) - (1 - share) * (1 - workflow.accuracy_automatic)
    if not -tolerance <= caught <= share + tolerance:
        least = max(0.0, 1 - (1 - workflow.accuracy_after) / (1 - share)) if share < 1 else 0.0
        most = min(1.0, workflow.accuracy_after / (1 - share)) if share < 1 else 1.0
        text = f"is {workflow.accuracy_automatic:g}; with the other shares it lies from {least:.4f} to {most:.4f}"
        yield ("accuracy_automatic",), text


def _months(workflow) -> float:
    """Payback in months, infinity for never, NaN where the shares do not fit one another."""
    if list(_impossible(workflow)):
        return math.nan
    months = payback(workflow).months
    return math.inf if months is None else months


def _weeks(weeks: float) -> str:
    """Weeks as text; infinity is never, NaN cannot be."""
    return "cannot be" if math.isnan(weeks) else "never" if math.isinf(weeks) else f"{weeks:.1f} weeks"


def _finite(values: dict) -> dict:
    """Numbers that JSON can hold: infinity as "never", NaN as null."""
    floats = {name: each for name, each in values.items() if isinstance(each, float) and not math.isfinite(each)}
    return values | {name: None if math.isnan(each) else "never" for name, each in floats.items()}
