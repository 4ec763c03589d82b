"""What is not known exactly is a band [low, likely, high]: draw from it, and see how far a result moves."""

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Band:
    """10 %, 50 % and 90 % of the draws lie below these numbers; None where one draw is unknown."""

    low: float | None
    middle: float | None
    high: float | None


@dataclass(frozen=True)
class Swing:
    """What one assumption does to a result: the result at its low and at its high end (None: unknown)."""

    assumption: str
    low: float
    high: float
    at_low: float | None
    at_high: float | None

    @property
    def width(self) -> float:
        """Distance of the two results; 0 where one is unknown or both are never (infinite)."""
        width = abs(self.at_high - self.at_low) if None not in (self.at_low, self.at_high) else 0.0
        return 0.0 if math.isnan(width) else width

    def to_dict(self, what: str) -> dict:
        """Ready for JSON; `what` names the result."""
        ends = {f"{what}_at_low": self.at_low, f"{what}_at_high": self.at_high}
        return {"assumption": self.assumption, "low": self.low, "high": self.high} | ends


def draw(dice: random.Random, low: float, likely: float, high: float) -> float:
    """A number of a band: half of the draws lie below the likely one, half above, the nearer to it the more often.

    A band above 0 is drawn by ratios, since [1000, 10000, 1000000] is meant so; one that starts at 0 by differences.
    """
    share, end = 1 - math.sqrt(dice.random()), dice.choice((low, high))
    drawn = likely * (end / likely) ** share if low > 0 else likely + (end - likely) * share
    return min(max(drawn, low), high)  # what rounding put outside


def band(draws: Iterable[float | None]) -> Band:
    """The spread of drawn results; infinity is never."""
    draws = list(draws)
    if None in draws:
        return Band(None, None, None)
    draws.sort()
    return Band(*(draws[round(share * (len(draws) - 1))] for share in (0.1, 0.5, 0.9)))


def swings(ends: dict[str, tuple[float, float]], result: Callable[[str, float], float | None]) -> tuple[Swing, ...]:
    """`result(assumption, value)` at both ends of each band, the widest swing first."""
    found = [Swing(name, low, high, result(name, low), result(name, high)) for name, (low, high) in ends.items()]
    return tuple(sorted(found, key=lambda swing: -swing.width))
