"""The state of the services: what each offers and for how long, from data/services/services.csv, a source a row."""

import re
from dataclasses import asdict, dataclass
from datetime import date

from ftlab.data.limits import dated_rows, day_of
from ftlab.errors import DataError
from ftlab.models import data_folder
from ftlab.tables import html_table

COLUMNS = ("service", "fact", "value", "source_url", "source_date", "confidence", "note")
FACTS = ("state", "methods", "models", "retirement", "calling", "data", "weights")
STALE_DAYS = 90


@dataclass(frozen=True)
class Fact:
    """One dated fact about a service; `value` is empty when it was not found."""

    service: str
    fact: str
    value: str
    source_url: str
    source_date: str
    confidence: str
    note: str


@dataclass(frozen=True, repr=False)
class Services:
    """All facts, their age in days, and a warning for each that is old or names a day that has passed since."""

    facts: tuple[Fact, ...]
    oldest_days: int
    newest_days: int
    warnings: tuple[str, ...]

    def to_dict(self) -> dict:
        """The table as plain JSON values."""
        return asdict(self)

    def table(self) -> list[tuple[str, ...]]:
        """A line a service, a column a fact; the first line names them."""
        cells = {(fact.service, fact.fact): fact.value or "not found" for fact in self.facts}
        names = dict.fromkeys(fact.service for fact in self.facts)
        lines = [(name, *(cells.get((name, fact), "not found") for fact in FACTS)) for name in names]
        return [("service", *FACTS), *lines]

    @property
    def age(self) -> str:
        """How old the facts are."""
        span = " to ".join(map(str, sorted({self.newest_days, self.oldest_days})))
        return f"facts of {span} days ago; data/services says from where"

    def __repr__(self):
        head, *lines = self.table()
        told = [line[0] + "".join(f"\n  {name:>10}: {cell}" for name, cell in zip(head[1:], line[1:], strict=True))
                for line in lines]  # fmt: skip
        return "\n".join([*told, self.age, *(f"warning: {text}" for text in self.warnings)])

    def _repr_html_(self):
        return html_table(self.table(), after=[self.age, *self.warnings])


def state_of_services(today: date | None = None, path=None) -> Services:
    """The facts as they look today; DataError for a damaged table."""
    today, path = today or date.today(), path or data_folder() / "services" / "services.csv"
    facts = [_fact(values, place) for place, values in dated_rows(path, COLUMNS)]
    ages = [(today - day_of(fact.source_date)).days for fact in facts]
    warnings = tuple(
        f"{fact.service}, {fact.fact}: {why}, look it up again at {fact.source_url}"
        for fact, days in zip(facts, ages, strict=True)
        for why in [f"{days} days old"] * (days > STALE_DAYS) + [f"{day} is past" for day in _passed(fact, today)]
    )
    return Services(tuple(facts), max(ages), min(ages), warnings)


def _passed(fact: Fact, today: date) -> list[str]:
    """The days of a fact that lay ahead when it was read and lie behind now; of a month, its first counts."""
    days = [match[0] for match in re.finditer(r"\d{4}-\d{2}(-\d{2})?", fact.value)]
    return [day for day in days if fact.source_date < day and date.fromisoformat(f"{day}-01"[:10]) < today]


def _fact(values, place) -> Fact:
    fact = Fact(**values)
    if fact.fact not in FACTS or not fact.source_url or fact.confidence not in ("H", "M", "L", ""):
        needed = f"a fact of {', '.join(FACTS)}, its source_url, and a confidence of H, M, L or none"
        raise DataError(f"{place} needs {needed}")
    day_of(fact.source_date, f"{place} source_date")
    return fact
