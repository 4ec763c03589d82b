"""What a job will cost before it is sent, as far as it is known; and the question that stands before every bill."""

import math
import re
from dataclasses import asdict, dataclass
from datetime import date

from ftlab.costs.prices import HOUR, TOKENS, load_prices
from ftlab.errors import RecipeError
from ftlab.hosted.prepare import module
from ftlab.hosted.secrets import can_ask
from ftlab.tables import html_table

UNKNOWN = "unknown"


@dataclass(frozen=True, repr=False)
class Estimate:
    """Tokens and dollars of one job; None is unknown, never free.

    `tokens` are counted with another tokenizer and without the service's own turn markers; `usd` leaves taxes out.
    """

    service: str
    model: str
    rows: int
    tokens: int | None
    epochs: float | None
    usd_per_mtok: float | None
    usd: float | None
    usd_per_hour: float | None  # while the tuned model is deployed; 0 where it need not be
    usd_per_month: float | None  # for keeping the tuned model; 0 where no such price is told
    ends: date | None  # no new jobs after that day
    retires: date | None  # the model and all that is tuned from it
    warnings: tuple[str, ...]

    @property
    def hosting_line(self) -> str:
        """What an hour of deployment costs."""
        if self.usd_per_hour is None:
            return "hosting: unknown (not found): look it up before you deploy"
        if not self.usd_per_hour:
            return "hosting: none beside the tokens of each call"
        day = 24 * self.usd_per_hour
        return f"hosting: {self.usd_per_hour:.2f} USD for each hour while it is deployed, {day:,.0f} a day"

    @property
    def storage_line(self) -> str:
        """What a month of keeping the tuned model costs, used or not."""
        usd = "an unknown price (not found)" if self.usd_per_month is None else f"{self.usd_per_month:.2f} USD"
        return f"storage: {usd} each month until the model is deleted"

    def to_dict(self) -> dict:
        """The fields as plain JSON values."""
        days = {name: day and day.isoformat() for name, day in (("ends", self.ends), ("retires", self.retires))}
        return asdict(self) | days | {"warnings": list(self.warnings)}

    def _lines(self) -> list[tuple[str, str]]:
        tokens = UNKNOWN if self.tokens is None else f"about {self.tokens:,} in {self.rows:,} rows (an estimate)"
        epochs = "left to the service" if self.epochs is None else f"{self.epochs:g}"
        price = UNKNOWN if self.usd_per_mtok is None else f"{self.usd_per_mtok:g} USD per million trained tokens"
        retires = "no day is known" if self.retires is None else f"{self.retires}, with everything tuned from it"
        lines = [("tokens", tokens), ("epochs", epochs), ("price", price)]
        lines += [("training", UNKNOWN if self.usd is None else f"about {self.usd:.2f} USD")]
        lines += [("hosting", self.hosting_line.removeprefix("hosting: "))]
        lines += [] if self.usd_per_month == 0 else [("storage", self.storage_line.removeprefix("storage: "))]
        lines += [("time", f"{UNKNOWN}: no service promises one"), ("retires", retires)]
        last = min(filter(None, (self.ends, self.retires)), default=None)
        lines += [("new jobs", f"until {last}")] if self.ends else []
        return lines + [("warning", text) for text in self.warnings]

    def __repr__(self):
        head = f"Estimate: {self.model} at {self.service}"
        return "\n".join([head, *(f"{name:>10}: {text}" for name, text in self._lines())])

    def _repr_html_(self):
        return html_table([(f"{self.model} at {self.service}", ""), *self._lines()])


def estimate(job, *, prices=None, size_b: float | None = None) -> Estimate:
    """The estimate of a prepared job: (tokens x epochs + validation tokens x evaluations) x price.

    Without packing a row counts as `max_seq_length` tokens (Together). `size_b`: billions of parameters, for prices by
    size.
    """
    book = prices or load_prices()
    provider, name = module(job.service).PROVIDER, priced_name(job.model)
    price = book.price(provider, name, "training", method=job.method, size_b=size_b)
    hosting = book.price(provider, name, "hosting", size_b=size_b)
    storage = book.find(provider, name, "storage")
    epochs = job.settings.get("n_epochs")
    epochs = epochs if isinstance(epochs, int | float) else None
    tokens = billed = job.tokens.get("train")
    if job.settings.get("packing") is False:
        length = job.settings.get("max_seq_length")
        billed = length and length * job.rows.get("train", 0)
    looks = job.settings.get("n_evals", 0)  # Together bills the validation rows each time that they are looked at
    looked = job.tokens.get("validation") if looks else 0
    known = None not in (billed, epochs, looked, price.amount)
    usd = price.usd((billed * epochs + looks * looked) / 1e6, TOKENS) if known else None
    retires, ends = book.dates(provider, name)
    hourly = hosting.amount
    if hourly and hosting.unit != HOUR:
        hourly /= 730
    monthly = 0.0 if storage is None else storage.usd
    return Estimate(
        job.service, job.model, job.rows.get("train", 0), tokens, epochs, price.amount, usd, hourly, monthly, ends,
        retires, price.warnings + (hosting.warnings if hourly else ()) + tuple(job.notes),
    )  # fmt: skip


def priced_name(model: str) -> str:
    """The name of a model in the price tables: Amazon's end with the length of the context, which has no price."""
    return re.sub(r":\d+k$", "", model)


def confirm(what: str, usd: float | None, yes: bool, max_usd: float | None, per: str = "") -> None:
    """Ask before something is sent or paid; RecipeError for every answer but "yes", and where nobody can be asked.

    With `yes` nobody is asked, and `max_usd` must cover the price; an unknown price is covered by nothing.
    """
    if max_usd is not None and not (math.isfinite(max_usd) and max_usd >= 0):
        raise RecipeError(f"not done: max_usd={max_usd:g} (--max-usd) is no amount of dollars: give a number from 0 on")
    price = "an unknown price" if usd is None else f"about {usd:.2f} USD{f' {per}' if per else ''}"
    if max_usd is not None and usd is not None and usd > max_usd:
        raise RecipeError(f"not done: {price} is more than max_usd={max_usd:g} (--max-usd)")
    if yes:
        if max_usd is None:
            raise RecipeError("not done: yes=True (--yes) needs the most that it may cost, max_usd= (--max-usd)")
        if usd is None:
            raise RecipeError("not done: the price is unknown, so no limit can hold; give it in a prices file "
                              "(--prices), or answer the question yourself (without --yes)")  # fmt: skip
        return
    if not can_ask():
        remedy = "yes=True with max_usd= (--yes --max-usd N) says so beforehand"
        raise RecipeError(f"not done: nobody can be asked here; {remedy}")
    try:
        said = input(f"{what}, for {price}? Write yes to go on: ")
    except EOFError:  # the terminal was closed
        said = ""
    if said.strip().lower() != "yes":
        raise RecipeError("not done: you did not write yes")
