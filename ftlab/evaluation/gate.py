"""The gate: bars written down before the result is known, and one verdict."""

from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field

from ftlab.errors import RecipeError
from ftlab.evaluation.answers import METRICS
from ftlab.evaluation.statistics import FEW, Comparison
from ftlab.settings import Number, Settings
from ftlab.tables import html_table

TINY = 1e-9  # rounding of a difference of two means
FRACTION = "as a fraction of 1 (0.05 is five points)"


class Bars(Settings):
    """What a candidate must show, in fractions of 1: gain on the task, and loss that each probe may have."""

    # what is worth the trouble of a model of one's own; and what nobody would notice
    min_gain: Number = Field(0.05, gt=0, lt=1, description=f"the gain that training must bring {FRACTION}")
    max_probe_loss: Number = Field(0.02, ge=0, lt=1, description=f"the loss that a probe may have {FRACTION}")
    alpha: Number = Field(0.05, gt=0, lt=1, description=f"the share of false alarms {FRACTION}")
    metric: Literal[METRICS] = "field_accuracy"  # partly right counts partly


@dataclass(frozen=True, repr=False)
class Gate:
    """A verdict ("ship", "do not ship" or "not enough data"), its reasons as sentences, and the bars."""

    verdict: str
    reasons: tuple[str, ...]
    bars: Bars

    def to_dict(self) -> dict:
        """The fields as plain JSON values."""
        return {"bars": self.bars.model_dump(), "verdict": self.verdict, "reasons": list(self.reasons)}

    def __repr__(self):
        return "\n".join([f"Gate: {self.verdict}", *(f"  - {reason}" for reason in self.reasons)])

    def _repr_html_(self):
        return html_table([(f"verdict: {self.verdict}",), *((reason,) for reason in self.reasons)])


def decide_gate(
    comparison: Comparison,
    probes: dict[str, Comparison] | None = None,
    bars: Bars | None = None,
    rivals: dict[str, Comparison] | None = None,
) -> Gate:
    """Decide whether the candidate (b of `comparison`) may ship.

    `probes` maps a name to a comparison of the model before (a) and after (b) training on something that it
    must not lose; `rivals` maps the name of a simpler system (a) to its comparison with the candidate (b). With
    delta, low and high of the comparison, g = min_gain and "sees g" meaning that the smallest detectable gain
    (80 % power) is at most g, the first row that fits decides:

    | what the data show                         | verdict         | because                                |
    |--------------------------------------------|-----------------|----------------------------------------|
    | a probe's delta < -max_probe_loss          | do not ship     | something else got worse               |
    | a rival's delta < 0                        | do not ship     | something simpler does better          |
    | delta >= g, low > 0 and p < alpha          | ship            | the bar is met, chance is ruled out    |
    | delta >= g, else                           | not enough data | the gain may be chance                 |
    | delta < 0 and p < alpha                    | do not ship     | it got worse, chance is ruled out      |
    | no example differs, test does not see g    | not enough data | too few examples to meet a difference  |
    | delta < g, high < g, 30 examples or more   | do not ship     | a gain of g is ruled out               |
    | delta < g, else, test does not see g       | not enough data | g is neither shown nor ruled out       |
    | delta < g, else, test sees g               | do not ship     | a fair test, and the bar was missed    |

    On few examples the interval is rough: so "ship" and "got worse" ask for the p-value, which is exact there, and
    "ruled out" for 30 examples or a test that sees g.
    The last row is a choice: a test large enough for the bar has had its say; adding examples until a
    near miss passes would be testing until lucky. Probes and rivals count by their point estimates; a probe too
    small to rule out the loss is named in the reasons and does not change the verdict.
    """
    bars, probes, rivals = bars or Bars(), probes or {}, rivals or {}
    for name, each in {"the comparison": comparison, **probes, **rivals}.items():
        if abs(each.alpha - bars.alpha) > TINY:
            raise RecipeError(f"{name} has alpha {each.alpha}, the bars {bars.alpha}: use one alpha")
    for each in (comparison, *rivals.values()):
        if each.metric not in (None, bars.metric):
            raise RecipeError(f"compared by {each.metric}, but the bars name {bars.metric}: use one")
    verdict, reason = _judge_gain(comparison, bars)
    reasons = [reason]
    judged = [_judge_rival(name, rival) for name, rival in rivals.items()]
    judged += [_judge_probe(name, probe, bars.max_probe_loss) for name, probe in probes.items()]
    for failed, reason in judged:
        reasons.append(reason)
        verdict = "do not ship" if failed else verdict
    if not probes:
        reasons.append("No probe was given, so nothing is known about what the model may have lost.")
    return Gate(verdict, tuple(reasons), bars)


def agree_on(gate: Gate, by_seed: dict[int, Gate]) -> Gate:
    """The verdict on the mean of several seeds, beside the verdict that each would have had alone.

    "ship" stands only where every seed would ship: what ships is one training, and another was as likely to be it. A
    gain that hangs on the seed is not known well enough, whatever the mean says.
    """
    verdicts = {seed: each.verdict for seed, each in by_seed.items()}
    if len(verdicts) < 2:
        return gate
    if len(set(verdicts.values())) == 1 and gate.verdict in verdicts.values():
        return replace(gate, reasons=(*gate.reasons, f"Each of the {len(verdicts)} seeds alone has the same verdict."))
    told = ", ".join(f"{seed}: {verdict}" for seed, verdict in verdicts.items())
    lowered = gate.verdict == "ship"
    why = "what ships is one of these trainings: find what makes them differ, or take more rows and steps"
    reason = f"The seeds alone do not agree ({told})" + (f"; {why}." if lowered else ".")
    return replace(gate, verdict="not enough data" if lowered else gate.verdict, reasons=(*gate.reasons, reason))


def _judge_gain(seen, bars) -> tuple[str, str]:
    bar = bars.min_gain
    metric = seen.metric or (bars.metric if "metric" in bars.model_fields_set else "the score")
    gain = f"{metric} changed by {_seen(seen)}; bar {_points(bar)}"
    sees = f"the smallest gain that this test finds reliably is {_points(seen.smallest_detectable_gain)}"
    sees_bar = seen.smallest_detectable_gain <= bar + TINY
    if seen.delta >= bar - TINY:
        if seen.low > 0 and seen.p_value < bars.alpha:
            return "ship", f"{gain}: it is met and chance is ruled out."
        return "not enough data", f"{gain}: it is met, but the gain may be chance; {sees}."
    if seen.delta < 0 and seen.p_value < bars.alpha:
        return "do not ship", f"{gain}: it got worse, and chance is ruled out (p = {seen.p_value:.2g})."
    if seen.disagreement == 0 and not sees_bar:
        return "not enough data", f"{gain}: no example differs, but they are few; {sees}."
    if seen.high < bar - TINY and ((seen.groups or seen.n) >= FEW or sees_bar):
        return "do not ship", f"{gain}: a gain that large is ruled out."
    if not sees_bar:
        return "not enough data", f"{gain}: a gain that large is neither shown nor ruled out; {sees}."
    return "do not ship", f"{gain}: it was missed on a test that is large enough for it; {sees}."


def _judge_rival(name, rival) -> tuple[bool, str]:
    """Whether the simpler system wins, and the sentence that says so."""
    what = f"Against the simpler {name}, which reaches {100 * rival.a:.1f} %: {_seen(rival)}"
    if rival.delta >= 0:
        return False, f"{what}: the simpler one does no better."
    doubt = "" if rival.high < 0 else "; the difference may be chance, but it costs less"
    return True, f"{what}: the simpler one does better{doubt}. Take it, or find what it lacks."


def _judge_probe(name, probe, allowed) -> tuple[bool, str]:
    failed = probe.delta < -allowed - TINY
    what = f"Probe {name} changed by {_seen(probe)}; the limit is {_points(-allowed)}"
    if failed:
        doubt = "; the set is small and part of it may be chance" if probe.high >= -allowed else ""
        return True, f"{what}: it got worse{doubt}."
    if probe.a <= allowed + TINY:
        return False, f"{what}: it scored {100 * probe.a:.1f} % before training, so it could not show a loss."
    if probe.low < -allowed - TINY:
        return False, f"{what}: it passes, but the set is too small to rule out a larger loss."
    return False, f"{what}: it passes."


def _seen(comparison) -> str:
    low, high = _points(comparison.low), _points(comparison.high)
    groups = f" in {comparison.groups} groups" if comparison.groups else ""
    return f"{_points(comparison.delta)}, interval {low} to {high}, on {comparison.n} examples{groups}"


def _points(fraction) -> str:
    return f"{100 * fraction:+.1f} points"
