"""What one way to serve the calls costs: its parts in dollars, before the first call, a month, and a call.

A price that is not known is None, and so is every sum it enters.
"""

import math
from dataclasses import dataclass, field
from datetime import date

from ftlab.costs.assumptions import DAYS_PER_MONTH, HOURS_PER_MONTH, KINDS
from ftlab.costs.prices import CALL, CHARACTERS, GPU_HOUR, HOUR, MONTH, PriceBook, date_warnings
from ftlab.errors import DataError, RecipeError

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


def money(usd: Known, digits: int = 2) -> str:
    """Dollars as text, `unknown` for None; `digits` after the point below 1,000 dollars."""
    if usd is None:
        return "unknown"
    text = f"{abs(usd):,.0f}" if abs(usd) >= 1000 else f"{abs(usd):,.{digits}f}"
    return f"-${text}" if usd < 0 and float(text.replace(",", "")) else f"${text}"


def option_cost(name: str, content: dict, prices: PriceBook, today: date) -> OptionCost:
    """One option of a scenario's content in which every band is one number."""
    option = content["options"][name]
    bill = _Bill(option, content, prices, today)
    run = bill.services()
    bill.people(run)
    lumps = bill.migration(run)
    left_out = [part for part in ("labelling", "evaluation", "retraining") if part not in option]
    if option["kind"] in TUNED_KINDS and left_out:
        bill.notes.append(f"{', '.join(left_out)} not counted: the file gives no such section")
    parts = (bill.one_time, bill.monthly, bill.per_call)
    return OptionCost(name, option["kind"], *parts, content["calls_per_month"], lumps, tuple(dict.fromkeys(bill.notes)))


@dataclass
class _Bill:
    """One option while it is added up: dollars by part, and the notes that become its warnings."""

    option: dict
    content: dict
    prices: PriceBook
    today: date
    one_time: dict[str, Known] = field(default_factory=dict)
    monthly: dict[str, Known] = field(default_factory=dict)
    per_call: dict[str, Known] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def services(self) -> Known:
        """Everything but people, times `price_factor`; returns the dollars of one training run."""
        run, factor = 0.0, self.option["price_factor"]
        if "provider" in self.option:
            self.per_call["model"] = self.model_call()
        if self.option["kind"] == "rag":
            self.retrieval()
        if self.option["kind"] == "tuned_hosted":
            run = self.hosted()
        if self.option["kind"] == "tuned_self_hosted":
            run = self.rented()
        if self.option["kind"] == "own_gpu":
            run = self.own_machine()
        for parts in (self.one_time, self.monthly, self.per_call):
            parts.update({part: _times(usd, factor) for part, usd in parts.items()})
        return _times(run, factor)

    def call_usd(self, service, input_tokens, output_tokens=0, cached=0, written=0, **settings) -> Known:
        """Dollars of one call; `service` is a section with a provider and a model."""
        tokens = (input_tokens, output_tokens, cached, written)
        price = self.prices.call(service["provider"], service["model"], *tokens, **settings, today=self.today)
        self.notes += price.warnings
        return price.usd(1, CALL)

    def model_call(self) -> Known:
        """Mean dollars of one call: with the fixed prompt from the cache, and without."""
        option, content = self.option, self.content
        fixed = option["prompt_tokens"] + option.get("example_tokens", 0)
        asked = fixed + option.get("context_tokens", 0) + content["input_tokens"]
        hits, minimum = option["cache_hit_rate"], option["cache_minimum_tokens"]
        if hits and fixed < minimum:
            short = f"a fixed prompt of {fixed:g} tokens is under the {minimum:g}"
            self.notes.append(f"{short} from which prompts are cached")
            hits = 0
        settings = {"tuned": option["kind"] == "tuned_hosted", "batch": option["batch"]}
        calls = []
        for share, cache in ((hits, {"cached": fixed}), (1 - hits, {"written": fixed if hits else 0})):
            if share > 0:
                usd = self.call_usd(option, asked, content["output_tokens"], **cache, **settings)
                calls.append(_times(usd, share))
        return _sum(calls)

    def retrieval(self):
        """Embedding every query and, at the start and again, all documents; searching and storing."""
        retrieval = self.option["retrieval"]
        self.per_call["query embedding"] = self.call_usd(retrieval, self.content["input_tokens"])
        self.per_call["search"] = retrieval["usd_per_search"]
        # documents are embedded in many small calls, so the price of one token is that of a short call
        index = _times(self.call_usd(retrieval, 1000), retrieval["index_tokens"] / 1000)
        self.one_time["index"] = index
        self.monthly["index again"] = _times(index, retrieval["reindexings_per_month"])
        self.monthly["index store"] = retrieval["store_usd_per_month"]

    def hosted(self) -> Known:
        """Training by the service's rule, hosting and storage; returns the dollars of one run."""
        provider, model, hosting = self.option["provider"], self.option["model"], self.option["hosting"]
        terms = {key: value for key, value in self.option["training"].items() if key != "runs"}
        job = training_charge(self.prices, provider, model, today=self.today, **terms)
        self.notes += job.warnings
        self.one_time["training"] = _times(job.usd, self.option["training"]["runs"])
        self.rent("hosting", hosting, tier=hosting["tier"])
        if self.prices.find(provider, model, "storage") is not None:
            self.rent("storage", hosting)
        return job.usd

    def rent(self, part, hosting, **selection):
        """What a service takes for keeping a model, by the hour or by the month."""
        provider, model = self.option["provider"], self.option["model"]
        price = self.prices.price(provider, model, part, self.today, **selection)
        self.notes += price.warnings
        if price.amount is not None and price.unit not in (HOUR, MONTH):
            raise DataError(f"{provider} {model}: {part} has the unit {price.unit}; write hour or month")
        quantity = hosting["replicas"] * (hosting["hours_per_month"] if price.unit == HOUR else 1)
        self.monthly[part] = price.usd(quantity, price.unit)

    def rented(self) -> Known:
        """Training and serving on rented GPUs, idle hours and failed runs included; returns the dollars of one run."""
        training, serving, calls = self.option["training"], self.option["serving"], self.content["calls_per_month"]
        wanted = {key: training[key] for key in ("cloud", "gpu", "hours", "gpus", "minimum_hours")}
        run = gpu_charge(self.prices, **wanted, today=self.today)
        hour = gpu_charge(self.prices, serving["cloud"], serving["gpu"], 1, serving["gpus"], today=self.today)
        self.notes += run.warnings + hour.warnings
        planned = _times(run.usd, 1 + training["failed_share"])
        self.one_time["training"] = _times(planned, training["runs"])
        busy = calls / serving["calls_per_hour"]
        needed = busy / serving["utilisation"]
        if serving["always_on"]:
            rented = max(1, math.ceil(needed / HOURS_PER_MONTH)) * HOURS_PER_MONTH
            self.monthly["GPU at work"] = _times(hour.usd, busy)
            self.monthly["GPU idle"] = _times(hour.usd, rented - busy)
        else:
            self.per_call["GPU at work"] = _times(hour.usd, busy / calls)
            self.per_call["GPU idle"] = _times(hour.usd, (needed - busy) / calls)
            short = max(0.0, serving["minimum_hours"] - needed)
            self.monthly["GPU, up to the shortest rent"] = _times(hour.usd, short)
        return planned

    def own_machine(self) -> Known:
        """A machine of one's own: its price, and its power all day long; returns the dollars of one run (power)."""
        option, training = self.option, self.option["training"]
        capacity = option["calls_per_hour"] * option["utilisation"] * HOURS_PER_MONTH
        machines = max(1, math.ceil(self.content["calls_per_month"] / capacity))
        hour = option["watts"] / 1000 * option["usd_per_kwh"]
        run = training["hours"] * hour * (1 + training["failed_share"])
        self.one_time["machines"] = machines * option["machine_usd"]
        self.one_time["training"] = run * training["runs"]
        self.monthly["power"] = machines * hour * HOURS_PER_MONTH
        return run

    def people(self, run):
        """Experts and engineers, the drafts that experts correct, and retraining, which takes one `run` each time."""
        option, labour = self.option, self.content["labour"]
        expert, engineer = labour["expert_usd_per_hour"], labour["engineer_usd_per_hour"]
        if "drafting" in option:
            drafting = option["drafting"]
            draft = self.call_usd(drafting, drafting["prompt_tokens"], drafting["output_tokens"])
            self.one_time["drafting"] = _times(draft, drafting["rows"])
        for part in ("labelling", "evaluation"):
            if part in option:
                self.one_time[part] = option[part]["rows"] * option[part]["minutes_per_row"] / 60 * expert
        if "setup" in option:
            self.one_time["setup"] = option["setup"]["engineer_hours"] * engineer
        if "review" in option:
            self.per_call["review"] = option["review"]["share"] * option["review"]["minutes"] / 60 * expert
        if "retraining" in option:
            again = option["retraining"]
            labels = again["rows"] * again["minutes_per_row"] / 60 * expert
            self.monthly["retraining"] = _times(run, again["per_quarter"] / 3)
            self.monthly["new labels"] = again["per_quarter"] / 3 * labels
        if "maintenance" in option:
            self.monthly["maintenance"] = option["maintenance"]["engineer_hours_per_month"] * engineer

    def migration(self, run) -> tuple:
        """What the model's retirement inside the horizon forces: by default one training run and one evaluation."""
        option = self.option
        retires, ends = self.prices.dates(option.get("provider", ""), option.get("model", ""))
        retires = date.fromisoformat(option["retires"]) if "retires" in option else retires
        if retires is None:
            return ()
        model = f"{option['provider']} {option['model']}" if "provider" in option else "the model"
        self.notes += date_warnings(model, retires, ends if option["kind"] == "tuned_hosted" else None, self.today)
        month = (retires - self.today).days / DAYS_PER_MONTH
        if not 0 < month <= self.content["horizon_months"]:
            return ()
        usd = option.get("migration_usd", _sum([run, self.one_time.get("evaluation", 0.0)]))
        reason = f"{model} retires after {month:.1f} months and forces a migration for {money(usd)}"
        self.notes.append(reason if usd != 0 else f"{reason}: it is never free, write migration_usd")
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
