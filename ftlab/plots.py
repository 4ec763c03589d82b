"""Figures of the course: functions take results and return figures; `show` displays one."""

import base64
import html
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib.figure import Figure

from ftlab.errors import DataError

if TYPE_CHECKING:
    from ftlab.costs import Curve, Memory
    from ftlab.data.quality import LabelTable
    from ftlab.data.schema import Row
    from ftlab.evaluation.statistics import Interval

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#595959"  # told apart in every kind of colour vision
COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", GREY, "#E69F00", "#56B4E9")  # Okabe and Ito, and grey
STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))  # lines are told apart without colour too
PARTS = {  # of a memory bar: label, parts of an estimate
    "weights": ("weights", "reference model"),
    "gradients": ("gradients",),
    "optimizer": ("optimizer",),
    "adapter and workspace": ("adapter", "workspace"),
    "activations and logits": ("activations", "logits"),
}


def show(fig: Figure, alt: str) -> None:
    """Display `fig` once as a PNG with `alt`, a sentence that says what it shows, and close it."""
    data, metadata = figure_bundle(fig, alt)
    plt.close(fig)
    display(data, metadata=metadata, raw=True)


def figure_bundle(fig: Figure, alt: str) -> tuple[dict, dict]:
    """(data, metadata) of an output that shows `fig` as a PNG with `alt`, for `display(..., raw=True)`.

    JupyterLab 4.6 and nbconvert's lab theme ignore the `alt` of an output's metadata, so the live output is
    an HTML image with an alt attribute of its own. The metadata (read by nbconvert's classic theme) and the
    text/plain of the same output carry it where HTML is not shown.
    """
    if not alt.strip():
        raise ValueError("show(fig, alt) needs a sentence that says what the figure shows: alt is empty.")
    buffer = io.BytesIO()
    fig.savefig(
        buffer,
        format="png",
        dpi=144,
        bbox_inches="tight",
        facecolor="white",
        metadata={"Software": None},
        pil_kwargs={"optimize": True},
    )
    png = buffer.getvalue()
    encoded = base64.b64encode(png).decode()
    width = round(int.from_bytes(png[16:20]) / 1.5)  # pixels of the file / 1.5: sharp on dense screens
    image = f'<img alt="{html.escape(alt)}" width="{width}" src="data:image/png;base64,{encoded}">'
    data = {"image/png": encoded, "text/html": image, "text/plain": alt}
    return data, {"image/png": {"alt": alt, "width": width}}


def systems_figure(
    systems: "Mapping[str, Interval]", bar: float | None = None, metric: str = "field accuracy"
) -> Figure:
    """One dot with its interval for each system, top to bottom; `bar` (a fraction of 1) is a dashed line."""
    _refuse_empty(systems, "systems", "pass at least one name with its interval")
    fig = Figure(figsize=(7, 0.9 + 0.42 * len(systems)), layout="constrained")
    ax = fig.add_subplot()
    for row, interval in enumerate(systems.values()):
        ends = [100 * interval.low, 100 * interval.high]
        ax.plot(ends, [row, row], "|-", color=BLUE, lw=2.2, ms=11, mew=2.2)
        ax.plot(100 * interval.value, row, "o", color=BLUE, ms=7)
        ax.annotate(repr(interval), (1.02, row), xycoords=("axes fraction", "data"), va="center", fontsize=11)
    if bar is not None:
        ax.axvline(100 * bar, color=ORANGE, ls="--", lw=1.8)
        ax.annotate(
            f"bar {100 * bar:.1f} %",
            (100 * bar, 1.02),
            xycoords=("data", "axes fraction"),
            ha="center",
            color="#A34700",
            fontsize=11,
        )
    ax.set_yticks(range(len(systems)), [_readable(name) for name in systems], fontsize=11)
    ax.set_ylim(len(systems) - 0.5, -0.5)
    ax.set_xlim(0, max(100.0, 100 * (bar or 0)) + 1.5)
    ax.set_xlabel(f"{_readable(metric)} in % [95 % interval]", fontsize=11)
    _plain_axes(ax, grid="x")
    ax.tick_params(axis="y", length=0)
    return fig


def systems_alt(systems: "Mapping[str, Interval]", bar: float | None = None, metric: str = "field accuracy") -> str:
    """The sentence for `systems_figure`, written from the numbers."""
    _refuse_empty(systems, "systems", "pass at least one name with its interval")
    dots = ", ".join(f"{_readable(name)} {interval}" for name, interval in systems.items())
    text = f"{_readable(metric).capitalize()} of {len(systems)} systems with intervals: {dots}."
    if bar is not None:
        reached = [_readable(name) for name, interval in systems.items() if interval.value >= bar]
        text += f" The bar is at {100 * bar:.1f} %; it is reached by {', '.join(reached) or 'none'}."
    return text


def loss_figure(rows: Iterable[Mapping]) -> Figure:
    """Training loss (thin) and validation loss (thick, dots) over steps; `rows` as in `state.log_history`."""
    rows = list(rows)
    fig = Figure(figsize=(7, 3.2), layout="constrained")
    ax = fig.add_subplot()
    train, validation = _series(rows, "loss"), _series(rows, "eval_loss")
    if train:
        ax.plot(*zip(*train, strict=True), color=GREY, lw=1.1, label="training")
    if validation:
        ax.plot(*zip(*validation, strict=True), "o-", color=BLUE, lw=2.6, ms=7, label="validation")
    if train or validation:
        ax.legend(frameon=False, fontsize=11)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("step", fontsize=11)
    ax.set_ylabel("loss (nats per token)", fontsize=11)
    _plain_axes(ax, grid="y")
    return fig


def loss_alt(rows: Iterable[Mapping]) -> str:
    """The sentence for `loss_figure`, written from the numbers."""
    rows = list(rows)
    parts = [
        _describe_series(name, _series(rows, key))
        for name, key in (("Training loss", "loss"), ("Validation loss", "eval_loss"))
    ]
    return " ".join(filter(None, parts)) or "Loss over steps: nothing was logged yet."


def _series(rows, key) -> list[tuple[float, float]]:
    """(step, value) of the rows that have a finite number under `key`."""
    pairs = [(row.get("step"), row.get(key)) for row in rows]
    return [(step, value) for step, value in pairs if None not in (step, value) and math.isfinite(value)]


def _describe_series(name, points: Sequence) -> str:
    if not points:
        return ""
    (first, start), (last, end) = points[0], points[-1]
    if len(points) == 1:
        return f"{name} {end:.3f} at step {last:g}."
    step, lowest = min(points, key=lambda point: point[1])
    return f"{name} {start:.3f} at step {first:g}, lowest {lowest:.3f} at {step:g}, {end:.3f} at {last:g}."


def _refuse_empty(things, name, remedy):
    if not things:
        raise DataError(f"{name}: empty, there is nothing to draw; {remedy}")


def _readable(name: str) -> str:
    return name.replace("_", " ")


def _plain_axes(ax, grid):
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis=grid, color="#D9D9D9", lw=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=11)


def repeats_figure(groups: "Sequence[Sequence[Row]]") -> Figure:
    """A bracket from each row of a group to the group's first row, over the lines of the file; far ones are high.

    Above the axis (blue) the two answers are the same, below it (orange) they differ. No groups: an axis that says so.
    """
    fig = Figure(figsize=(7, 2.6), layout="constrained")
    ax = fig.add_subplot()
    for first, row, same in _repeats(groups):
        a, b = first.line, row.line
        ax.plot([a, a, b, b], [0, *[b - a if same else a - b] * 2, 0], color=BLUE if same else ORANGE, lw=1)
    for color, label in ((BLUE, "the same answer"), (ORANGE, "another answer")):
        ax.plot([], [], color=color, lw=2, label=label)
    if not groups:
        ax.annotate("no rows with nearly the same input", (0.5, 0.6), xycoords="axes fraction", ha="center", fontsize=11)
    ax.axhline(0, color=GREY, lw=1)
    ax.set_yticks([])
    ax.set_xlabel("line of the file", fontsize=11)
    fig.legend(frameon=False, fontsize=11, loc="outside upper center", ncols=2)
    ax.spines[["left", "top", "right"]].set_visible(False)
    ax.tick_params(labelsize=11)
    return fig


def repeats_alt(groups: "Sequence[Sequence[Row]]") -> str:
    """The sentence for `repeats_figure`, written from the groups."""
    if not groups:
        return "No brackets: no rows with nearly the same input."
    pairs = [same for *_, same in _repeats(groups)]
    return (
        f"Brackets between rows with nearly the same input: {len(groups)} groups, the largest of "
        f"{max(map(len, groups))} rows; {sum(pairs)} repeats have the same answer as the first row of "
        f"their group, {len(pairs) - sum(pairs)} another one."
    )


def _repeats(groups) -> "list[tuple[Row, Row, bool]]":
    """(first row, later row, whether their answers are the same) of every group."""
    return [
        (group[0], row, row.data["messages"][-1].get("content") == group[0].data["messages"][-1].get("content"))
        for group in groups
        for row in group[1:]
    ]


def shares_figure(tables: "Mapping[str, LabelTable]", least: float = 0.01) -> Figure:
    """How often each value of a field occurs in each set, in % of its rows: one line a value, one dot a set.

    Values that reach the share `least` in no set are left out; `shares_alt` counts them.
    """
    values, _ = _common_values(tables, least)
    fig = Figure(figsize=(7, 1 + 0.34 * len(values)), layout="constrained")
    ax = fig.add_subplot()
    for place, (name, table) in enumerate(tables.items()):
        shares = [100 * table.counts.get(value, 0) / table.rows for value in values]
        ax.plot(shares, range(len(values)), "osD^vP"[place % 6], color=COLOURS[place - 1], ms=7, label=name)
    ax.set_yticks(range(len(values)), values, fontsize=11)
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.set_xlim(left=0)
    ax.set_xlabel(f"{_field(tables)}, % of the rows", fontsize=11)
    fig.legend(frameon=False, fontsize=11, loc="outside upper center", ncols=len(tables))
    _plain_axes(ax, grid="both")
    return fig


def shares_alt(tables: "Mapping[str, LabelTable]", least: float = 0.01) -> str:
    """The sentence for `shares_figure`, written from the counts."""
    values, rare = _common_values(tables, least)
    parts = [
        f"{name} " + ", ".join(f"{value} {table.counts.get(value, 0) / table.rows:.1%}" for value in values)
        for name, table in tables.items()
    ]
    return f"Shares of the values of {_field(tables)}: {'; '.join(parts)}. {rare} rarer value(s)."


def _field(tables) -> str:
    return next(iter(tables.values())).field or "the whole answer"


def _common_values(tables, least) -> tuple[list[str], int]:
    """The values that reach `least` in some set, in alphabetical order, and the number of the others."""
    _refuse_empty(tables, "tables", "pass at least one name with its label_table")
    for name, table in tables.items():
        _refuse_empty(table.counts, f"tables[{name!r}]", f"no answer has a value of {_field(tables)}")
    every = sorted({value for table in tables.values() for value in table.counts})
    common = [v for v in every if any(table.counts.get(v, 0) >= least * table.rows for table in tables.values())]
    _refuse_empty(common, "values", f"none reaches {least:.1%} of the rows: lower `least`")
    return common, len(every) - len(common)


def curve_figure(curve: "Curve", at: float | None = None) -> Figure:
    """Dollars of each option over calls, both axes logarithmic; `at` marks today's calls."""
    _refuse_curve(curve)
    fig = Figure(figsize=(7, 3.4), layout="constrained")
    ax = fig.add_subplot()
    for place, (name, dollars) in enumerate(curve.usd.items()):
        known = [math.nan if usd is None else usd for usd in dollars]
        label = _readable(name) + (" (a price is unknown)" if None in dollars else "")
        label += " (0 USD is below this axis)" if 0 in dollars else ""
        ax.plot(curve.calls, known, ls=STYLES[place % 5], color=COLOURS[place % 7], lw=2, label=label)
    if at is not None:
        ax.axvline(at, color=GREY, lw=1)
    ax.set(xscale="log", yscale="log", xlabel=curve.axis, ylabel="USD over the horizon, worth today")
    ax.grid(color="#D9D9D9", lw=0.8)
    ax.legend(frameon=False)
    return fig


def curve_alt(curve: "Curve") -> str:
    """The sentence for `curve_figure`: the cheapest option at each end, and where another takes its place."""
    _refuse_curve(curve)
    stretches = []
    for place, calls in enumerate(curve.calls):
        known = {name: usd[place] for name, usd in curve.usd.items() if usd[place] is not None}
        best = _readable(min(known, key=known.get, default="none with known prices"))
        if not stretches or stretches[-1][1] != best:
            stretches.append((calls, best))
    texts = [f"from {calls:,.0f} {best}" for calls, best in stretches]
    return f"Lines of the dollars of {len(curve.usd)} options over {curve.axis}. The cheapest: {', '.join(texts)}."


def _refuse_curve(curve):
    _refuse_empty(curve.usd, "curve.usd", "the scenario needs an option")
    _refuse_empty(curve.calls, "curve.calls", "give the curve at least one number of calls")


def memory_figure(memories: "Sequence[Memory]") -> Figure:
    """One stacked bar of GiB for each estimate; a black line marks what its card has."""
    _refuse_empty(memories, "memories", "pass at least one result of estimate_memory")
    fig = Figure(figsize=(7, 1.3 + 0.34 * len(memories)), layout="constrained")
    ax = fig.add_subplot()
    names = [f"{each.settings['method']}{f' on {each.gpu.name}' if each.gpu else ''}" for each in memories]
    left = [0.0] * len(memories)
    for colour, (label, sizes) in zip(COLOURS, _memory_bars(memories).items(), strict=False):
        ax.barh(range(len(memories)), sizes, left=left, color=colour, label=label, height=0.7)
        left = [start + size for start, size in zip(left, sizes, strict=True)]
    for row, each in enumerate(memories):
        if each.gpu:
            ax.plot([each.gpu.usable_gib] * 2, [row - 0.45, row + 0.45], color="black", lw=2.5)
        verdict = {True: "fits", False: "does not fit", None: ""}[each.fits]
        end = max(left[row], each.gpu.usable_gib if each.gpu else 0)
        ax.annotate(f" {left[row]:.1f} {verdict}", (end, row), va="center", fontsize=9)
    ax.set_yticks(range(len(memories)), names)
    ax.set_ylim(len(memories) - 0.5, -0.5)
    ax.margins(x=0.18)
    ax.set_xlabel("GiB (black line: what the card has)")
    ax.spines[["top", "right"]].set_visible(False)
    fig.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    return fig


def memory_alt(memories: "Sequence[Memory]") -> str:
    """The sentence for `memory_figure`, written from the numbers."""
    _refuse_empty(memories, "memories", "pass at least one result of estimate_memory")
    bars = []
    for each in memories:
        room = f" of {each.gpu.usable_gib:.1f} on {each.gpu.name}: {'fits' if each.fits else 'no'}" if each.gpu else ""
        bars.append(f"{each.settings['method']} {each.device_gib:.1f}{room}")
    return f"Stacked bars of the GiB needed to train {memories[0].model}, by part. {'; '.join(bars)}."


def _memory_bars(memories) -> dict[str, list[float]]:
    """Label -> GiB of each estimate; together they are what the card must have."""
    bars = {label: [sum(each.parts[part] for part in parts) for each in memories] for label, parts in PARTS.items()}
    bars["fragmentation and CUDA"] = [each.fragmentation_gib + each.context_gib for each in memories]
    return {label: sizes for label, sizes in bars.items() if any(sizes)}
