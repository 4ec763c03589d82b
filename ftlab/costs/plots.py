"""Figures of costs: dollars over calls, memory by part."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from ftlab.plots import COLOURS, GREY, refuse_empty
from ftlab.tables import readable

if TYPE_CHECKING:
    from ftlab.costs.memory import Memory
    from ftlab.costs.scenario import Curve

STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))  # lines are told apart without colour too
PARTS = {  # of a memory bar: label, parts of an estimate
    "weights": ("weights", "reference model", "rotary tables", "copy of the head"),
    "gradients": ("gradients",),
    "optimizer": ("optimizer",),
    "adapter and workspace": ("adapter", "workspace"),
    "activations and logits": ("activations", "logits"),
}


def curve_figure(curve: "Curve", at: float | None = None) -> Figure:
    """Dollars of each option over calls, both axes logarithmic; `at` marks today's calls."""
    _refuse_curve(curve)
    fig = Figure(figsize=(7, 3.4), layout="constrained")
    ax = fig.add_subplot()
    positive = any(usd for dollars in curve.usd.values() for usd in dollars)
    for place, (name, dollars) in enumerate(curve.usd.items()):
        known = [math.nan if usd is None else usd for usd in dollars]
        label = readable(name) + (" (a price is unknown)" if None in dollars else "")
        label += " (0 USD is below this axis)" if positive and 0 in dollars else ""
        ax.plot(curve.calls, known, ls=STYLES[place % 5], color=COLOURS[place % 7], lw=2, label=label)
    if at is not None:
        ax.axvline(at, color=GREY, lw=1)
    ax.set(xscale="log", yscale="log" if positive else "linear")  # a logarithmic axis needs a number above 0
    ax.set(xlabel=curve.axis, ylabel="USD over the horizon, worth today")
    ax.grid(color="#D9D9D9", lw=0.8)
    ax.legend(frameon=False)
    return fig


def curve_alt(curve: "Curve") -> str:
    """The sentence for `curve_figure`: the cheapest option at each end, and about where another takes its place."""
    _refuse_curve(curve)
    stretches = []
    for place, calls in enumerate(curve.calls):
        known = {name: usd[place] for name, usd in curve.usd.items() if usd[place] is not None}
        best = readable(min(known, key=known.get, default="none with known prices"))
        if not stretches or stretches[-1][1] != best:
            stretches.append((calls, best))
    texts = [f"from {float(f'{calls:.2g}'):,.0f} {best}" for calls, best in stretches]
    return f"Lines of the dollars of {len(curve.usd)} options over {curve.axis}. The cheapest: {', '.join(texts)}."


def _refuse_curve(curve):
    refuse_empty(curve.usd, "curve.usd", "the scenario needs an option")
    refuse_empty(curve.calls, "curve.calls", "give the curve at least one number of calls")


def memory_figure(memories: "Sequence[Memory]") -> Figure:
    """One stacked bar of GiB for each estimate; a black line marks what its card has."""
    refuse_empty(memories, "memories", "pass at least one result of estimate_memory")
    fig = Figure(figsize=(7, 1.3 + 0.34 * len(memories)), layout="constrained")
    ax = fig.add_subplot()
    runs = zip(_runs(memories), memories, strict=True)
    names = [f"{run}{f' on {each.gpu.name}' if each.gpu else ''}" for run, each in runs]
    left = [0.0] * len(memories)
    for colour, (label, sizes) in zip(COLOURS, _memory_bars(memories).items(), strict=False):
        ax.barh(range(len(memories)), sizes, left=left, color=colour, label=label, height=0.7)
        left = [start + size for start, size in zip(left, sizes, strict=True)]
    for row, each in enumerate(memories):
        if each.gpu:
            ax.plot([each.gpu.usable_gib] * 2, [row - 0.45, row + 0.45], color="black", lw=2.5)
        end = max(left[row], each.gpu.usable_gib if each.gpu else 0)
        ax.annotate(f" {left[row]:.1f} {each.verdict}", (end, row), va="center", fontsize=9)
    ax.set_yticks(range(len(memories)), names)
    ax.set_ylim(len(memories) - 0.5, -0.5)
    ax.margins(x=0.18)
    ax.set_xlabel("GiB (black line: what the card has)")
    ax.spines[["top", "right"]].set_visible(False)
    fig.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    return fig


def memory_alt(memories: "Sequence[Memory]") -> str:
    """The sentence for `memory_figure`, written from the numbers."""
    refuse_empty(memories, "memories", "pass at least one result of estimate_memory")
    bars = []
    for run, each in zip(_runs(memories), memories, strict=True):
        room = f" of {each.gpu.usable_gib:.1f} on {each.gpu.name}: {each.verdict}" if each.gpu else ""
        bars.append(f"{run} {each.device_gib:.1f}{room}")
    models = list(dict.fromkeys(each.model for each in memories))
    models = models[0] if len(models) == 1 else f"{', '.join(models[:-1])} and {models[-1]}"
    return f"Stacked bars of the GiB needed to train {models}, by part. {'; '.join(bars)}."


def _runs(memories) -> list[str]:
    """What tells the estimates apart: the method, with the model in front where there are several models."""
    several = len({each.model for each in memories}) > 1
    return [f"{f'{each.model} ' if several else ''}{each.settings['method']}" for each in memories]


def _memory_bars(memories) -> dict[str, list[float]]:
    """Label -> GiB of each estimate; together they are what the card must have."""
    bars = {label: [sum(each.parts[part] for part in parts) for each in memories] for label, parts in PARTS.items()}
    bars["fragmentation and CUDA"] = [each.fragmentation_gib + each.context_gib for each in memories]
    return {label: sizes for label, sizes in bars.items() if any(sizes)}
