"""What one way to serve the calls costs: its parts in dollars, before the first call, a month, and a call.

A price that is not known is None, and so is every sum it enters.
"""

import math
from dataclasses import dataclass, field
from datetime import date

from ftlab.costs.assumptions import DAYS_PER_MONTH
from ftlab.costs.keys import HOURS_PER_MONTH
from ftlab.costs.prices import CALL, GPU_HOUR, HOUR, MONTH, PriceBook, date_warnings
from ftlab.errors import DataError, RecipeError

Known = float | None  # dollars; None when a price in it is unknown


@dataclass(frozen=True)
class Charge:
    """What one training job costs, None when unknown, and the units billed (millions of tokens, or hours)."""

    usd: Known
    billed: float
    warnings: tuple[str, ...] = ()


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
        names = ("name", "kind", "one_time_usd", "monthly_usd", "usd_per_call", "monthly_total_usd")
        return {name: getattr(self, name) for name in names} | {
            "parts": {"one_time": self.one_time, "monthly": self.monthly, "per_call": self.per_call},
            "lumps": [{"month": month, "usd": usd, "reason": reason} for month, usd, reason in self.lumps],
        }


def training_charge(
    prices: PriceBook, provider: str, model: str, rows: float, tokens_per_row: float, epochs: float,
    method: str = "sft", size_b: float | None = None, validation_rows: float = 0, evaluations: float = 0,
    packing: bool = True, max_seq_length: float | None = None, hours: float | None = None, today: date | None = None,
) -> Charge:  # fmt: skip
    """What one hosted training job costs, by that service's own rule; `size_b` in billions where size sets the price.

    OpenAI, Azure, Google, Bedrock and Fireworks bill training tokens x epochs, reinforcement fine-tuning by the hour;
    Together adds evaluations x validation tokens, and counts every row as `max_seq_length` tokens without packing.
    """
    price = prices.price(provider, model, "training", today, method=method, size_b=size_b)
    if price.unit == HOUR:
        billed = _needed(hours, "hours", provider)
    elif provider == "together":
        per_row = tokens_per_row if packing else _needed(max_seq_length, "max_seq_length", provider)
        billed = (epochs * rows * per_row + evaluations * validation_rows * tokens_per_row) / 1e6
    else:
        billed = epochs * rows * tokens_per_row / 1e6
    return Charge(price.usd(billed, price.unit), billed, price.warnings)


def money(usd: Known, digits: int = 2) -> str:
    """Dollars as text, `unknown` for None; `digits` after the point below 1,000 dollars."""
    if usd is None:
        return "unknown"
    text = f"{abs(usd):,.0f}" if abs(usd) >= 1000 else f"{abs(usd):,.{digits}f}"
    return f"-${text}" if usd < 0 and float(text.replace(",", "")) else f"${text}"


def option_cost(name: str, content: dict, prices: PriceBook, today: date) -> OptionCost:
    """One option of a scenario's content in which every band is one number."""
    option = content["options"][name]
    ask = _Quotes(prices, today)
    parts = {"one_time": {}, "monthly": {}, "per_call": {}}
    if "provider" in option:
        parts["per_call"]["model"] = _model_call(option, content, ask)
    of_kind = {"rag": _retrieval, "tuned_hosted": _hosted, "tuned_self_hosted": _rented, "own_gpu": _own_machine}
    run = 0.0  # dollars of one training run
    if option["kind"] in of_kind:
        run = of_kind[option["kind"]](option, content, ask, **parts)
    _people(option, content["labour"], ask, run, **parts)
    lumps = _migration(option, content["horizon_months"], ask, run, parts["one_time"])
    if "one_time_usd" in option:
        parts["one_time"] = _one_sum(option, ask, parts["one_time"])
    left_out = [part for part in ("labelling", "evaluation", "retraining") if part not in option]
    if option["kind"].startswith(("tuned", "own")) and left_out and "one_time_usd" not in option:
        ask.notes.append(f"{', '.join(left_out)} not counted: the file gives no such section")
    notes = tuple(dict.fromkeys(ask.notes))
    return OptionCost(name, option["kind"], **parts, calls_per_month=content["calls_per_month"], lumps=lumps,
                      warnings=notes)  # fmt: skip


@dataclass
class _Quotes:
    """The prices as of a day, and the notes that come with those that were asked for."""

    prices: PriceBook
    today: date
    notes: list[str] = field(default_factory=list)

    def note(self, priced):
        """The same price or charge; its warnings are kept."""
        self.notes += priced.warnings
        return priced

    def call(self, service, input_tokens, output_tokens=0, cached=0, written=0, **settings) -> Known:
        """Dollars of one call; `service` is a section with a provider and a model."""
        tokens = (input_tokens, output_tokens, cached, written)
        price = self.prices.call(service["provider"], service["model"], *tokens, **settings, today=self.today)
        return self.note(price).usd(1, CALL)

    def gpu_hour(self, rented) -> Known:
        """Dollars of one hour of all GPUs of a section."""
        return self.note(self.prices.gpu(rented["cloud"], rented["gpu"], self.today)).usd(rented["gpus"], GPU_HOUR)

    def rent(self, option, part, **selection) -> Known:
        """Dollars a month for what a service keeps, billed by the hour or by the month."""
        provider, model, hosting = option["provider"], option["model"], option["hosting"]
        price = self.note(self.prices.price(provider, model, part, self.today, **selection))
        if price.amount is not None and price.unit not in (HOUR, MONTH):
            raise DataError(f"{provider} {model}: {part} has the unit {price.unit}; write hour or month")
        return price.usd(hosting["hours_per_month"] if price.unit == HOUR else 1, price.unit)


def _model_call(option, content, ask) -> Known:
    """Mean dollars of one call: with the fixed prompt from the cache, and without."""
    fixed = option["prompt_tokens"] + option.get("example_tokens", 0)
    asked = fixed + option.get("context_tokens", 0) + content["input_tokens"]
    hits, minimum = option["cache_hit_rate"], option["cache_minimum_tokens"]
    if hits and fixed < minimum:
        short = f"a fixed prompt of {fixed:g} tokens is under the {minimum:g}"
        ask.notes.append(f"{short} from which prompts are cached")
        hits = 0
    tuned, calls = option["kind"] == "tuned_hosted", []
    for share, cache in ((hits, {"cached": fixed}), (1 - hits, {"written": fixed if hits else 0})):
        if share > 0:
            calls.append(_times(ask.call(option, asked, content["output_tokens"], **cache, tuned=tuned), share))
    return _sum(calls)


# Each of the next five adds its dollars to the three dictionaries; those of a kind return what a training run costs.


def _retrieval(option, content, ask, one_time, monthly, per_call) -> float:
    """Embedding every query and, at the start and again, all documents; searching and storing."""
    retrieval = option["retrieval"]
    per_call["query embedding"] = ask.call(retrieval, content["input_tokens"])
    per_call["search"] = retrieval["usd_per_search"]
    # documents are embedded in many small calls, so the price of one token is that of a short call
    index = _times(ask.call(retrieval, 1000), retrieval["index_tokens"] / 1000)
    one_time["index"] = index
    monthly["index again"] = _times(index, retrieval["reindexings_per_month"])
    monthly["index store"] = retrieval["store_usd_per_month"]
    return 0.0


def _hosted(option, content, ask, one_time, monthly, per_call) -> Known:
    """Training by the service's rule, hosting and storage."""
    provider, model = option["provider"], option["model"]
    monthly["hosting"] = ask.rent(option, "hosting", tier=option["hosting"]["tier"])
    if ask.prices.find(provider, model, "storage") is not None:
        monthly["storage"] = ask.rent(option, "storage")
    if "training" not in option:
        return 0.0
    terms = {key: value for key, value in option["training"].items() if key != "runs"}
    job = ask.note(training_charge(ask.prices, provider, model, today=ask.today, **terms))
    one_time["training"] = _times(job.usd, option["training"]["runs"])
    return job.usd


def _rented(option, content, ask, one_time, monthly, per_call) -> Known:
    """Training and serving on rented GPUs, idle hours and failed runs included."""
    serving, calls, run = option["serving"], content["calls_per_month"], 0.0
    if training := option.get("training"):
        run = _times(ask.gpu_hour(training), training["hours"] * (1 + training["failed_share"]))
        one_time["training"] = _times(run, training["runs"])
    hour, busy = ask.gpu_hour(serving), calls / serving["calls_per_hour"]
    needed = busy / serving["utilisation"]
    if serving["always_on"]:
        rented = max(1, math.ceil(needed / HOURS_PER_MONTH)) * HOURS_PER_MONTH
        monthly |= {"GPU at work": _times(hour, busy), "GPU idle": _times(hour, rented - busy)}
    else:
        per_call |= {"GPU at work": _times(hour, busy / calls), "GPU idle": _times(hour, (needed - busy) / calls)}
    return run


def _own_machine(option, content, ask, one_time, monthly, per_call) -> float:
    """A machine of one's own: its price, and its power all day long; a run costs its power."""
    capacity = option["calls_per_hour"] * option["utilisation"] * HOURS_PER_MONTH
    machines = max(1, math.ceil(content["calls_per_month"] / capacity))
    hour, run = option["watts"] / 1000 * option["usd_per_kwh"], 0.0
    one_time["machines"] = machines * option["machine_usd"]
    if training := option.get("training"):
        run = training["hours"] * hour * (1 + training["failed_share"])
        one_time["training"] = run * training["runs"]
    monthly["power"] = machines * hour * HOURS_PER_MONTH
    return run


def _people(option, labour, ask, run, one_time, monthly, per_call) -> None:
    """Experts and engineers, drafts that experts correct, and retraining with one `run` each."""
    expert, engineer = labour["expert_usd_per_hour"], labour["engineer_usd_per_hour"]
    if drafting := option.get("drafting"):
        draft = ask.call(drafting, drafting["prompt_tokens"], drafting["output_tokens"])
        one_time["drafting"] = _times(draft, drafting["rows"])
    for part in ("labelling", "evaluation"):
        if part in option:
            one_time[part] = option[part]["rows"] * option[part]["minutes_per_row"] / 60 * expert
    if "setup" in option:
        one_time["setup"] = option["setup"]["engineer_hours"] * engineer
    if "review" in option:
        per_call["review"] = option["review"]["share"] * option["review"]["minutes"] / 60 * expert
    if again := option.get("retraining"):
        labels = again["rows"] * again["minutes_per_row"] / 60 * expert
        monthly["retraining"] = _times(run, again["per_quarter"] / 3)
        monthly["new labels"] = again["per_quarter"] / 3 * labels
    if "maintenance" in option:
        monthly["maintenance"] = option["maintenance"]["engineer_hours_per_month"] * engineer


def _one_sum(option, ask, one_time) -> dict[str, Known]:
    """A sum that the file gives is all that the start costs: what the file says of parts of it is not added."""
    if parts := [name for name, usd in one_time.items() if usd != 0]:
        ask.notes.append(f"one_time_usd is the whole start: {', '.join(parts)} not added to it")
    return {"in one sum": option["one_time_usd"]}


def _migration(option, horizon, ask, run, one_time) -> tuple:
    """What the model's retirement inside the horizon forces: by default one training run and one evaluation."""
    retires, ends = ask.prices.dates(option.get("provider", ""), option.get("model", ""))
    retires = date.fromisoformat(option["retires"]) if "retires" in option else retires
    if retires is None:
        return ()
    model = f"{option['provider']} {option['model']}" if "provider" in option else "the model"
    ask.notes += date_warnings(model, retires, ends if option["kind"] == "tuned_hosted" else None, ask.today)
    month = (retires - ask.today).days / DAYS_PER_MONTH
    if not 0 < month <= horizon:
        return ()
    again = [run, one_time.get("evaluation", 0.0)]
    if "training" not in option and "one_time_usd" in option:  # then all of the one sum
        again = [option["one_time_usd"]]
    usd = option.get("migration_usd", _sum(again))
    reason = f"{model} retires after {month:.1f} months and forces a migration for {money(usd)}"
    ask.notes.append(reason if usd != 0 else f"{reason}: it is never free, write migration_usd")
    return ((month, usd, reason),)


def _needed(value, name, provider) -> float:
    if value is None:
        raise RecipeError(f"training.{name}: is missing; {provider} bills this job by it")
    return value


def _sum(values) -> Known:
    values = list(values)
    return None if None in values else math.fsum(values)


def _times(usd: Known, factor: float) -> Known:
    return None if usd is None else usd * factor
