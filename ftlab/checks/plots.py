"""Figures of data sets: who repeats whom, how often each label occurs, what more rows buy."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from ftlab.plots import BLUE, COLOURS, GREY, ORANGE, plain_axes, refuse_empty

if TYPE_CHECKING:
    from ftlab.checks.labels import LabelTable
    from ftlab.data.findings import Row
    from ftlab.evaluation.statistics import Interval


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
        ax.text(0.5, 0.6, "no rows with nearly the same input", transform=ax.transAxes, ha="center", fontsize=11)
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
        ax.plot(shares, range(len(values)), "osD^vP"[place % 6], color=(GREY, *COLOURS)[place % 8], ms=7, label=name)
    ax.set_yticks(range(len(values)), values, fontsize=11)
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.set_xlim(left=0)
    ax.set_xlabel(f"{_field(tables)}, % of the rows", fontsize=11)
    fig.legend(frameon=False, fontsize=11, loc="outside upper center", ncols=len(tables))
    plain_axes(ax, grid="both")
    return fig


def shares_alt(tables: "Mapping[str, LabelTable]", least: float = 0.01) -> str:
    """The sentence for `shares_figure`, written from the counts."""
    values, rare = _common_values(tables, least)
    parts = [
        f"{name} " + ", ".join(f"{value} {table.counts.get(value, 0) / table.rows:.1%}" for value in values)
        for name, table in tables.items()
    ]
    return f"Shares of the values of {_field(tables)}: {'; '.join(parts)}. {rare} rarer value(s)."


def learning_curve_figure(
    scores: "Mapping[int, Sequence[float]]",
    line: tuple[float, float] | None = None,
    prompt: "Interval | None" = None,
    live: tuple[int, float] | None = None,
) -> Figure:
    """A dot for each training over the number of its rows (logarithmic), scores in fractions of 1, means joined.

    `line`: (score at one row, gain for twice as many rows), dashed; `prompt`: a level with its interval;
    `live`: (rows, score) of one more training.
    """
    refuse_empty(scores, "scores", "give the scores of at least one number of rows")
    sizes = sorted(scores)
    fig = Figure(figsize=(7, 3.4), layout="constrained")
    ax = fig.add_subplot()
    dots = [(size, 100 * score) for size in sizes for score in scores[size]]
    ax.plot(*zip(*dots, strict=True), "o", color=BLUE, ms=5, alpha=0.55, label="one training")
    ax.plot(sizes, [100 * fmean(scores[size]) for size in sizes], color=BLUE, lw=2.2, label="mean")
    if line:
        ends = [100 * (line[0] + line[1] * math.log2(size)) for size in (sizes[0], sizes[-1])]
        ax.plot([sizes[0], sizes[-1]], ends, "--", color=GREY, lw=1.6, label="straight line")
    if prompt:
        ax.axhline(100 * prompt.value, color=ORANGE, lw=1.8, label="best prompt, no training")
        ax.axhspan(100 * prompt.low, 100 * prompt.high, color=ORANGE, alpha=0.18, lw=0)
    if live:
        ax.plot(live[0], 100 * live[1], "D", color=COLOURS[2], ms=10, mec="black", label="this run")
    ax.set_xscale("log")
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ax.minorticks_off()
    ax.set_ylim(0, 100)
    ax.set_xlabel("training rows (logarithmic)", fontsize=11)
    ax.set_ylabel("fields right, %", fontsize=11)
    fig.legend(frameon=False, fontsize=11, loc="outside upper center", ncols=3)
    plain_axes(ax, grid="y")
    return fig


def learning_curve_alt(
    scores: "Mapping[int, Sequence[float]]",
    line: tuple[float, float] | None = None,
    prompt: "Interval | None" = None,
    live: tuple[int, float] | None = None,
) -> str:
    """The sentence for `learning_curve_figure`, written from the numbers."""
    refuse_empty(scores, "scores", "give the scores of at least one number of rows")
    parts = [
        f"{size:,} rows {fmean(scores[size]):.1%} ({min(scores[size]):.1%} to {max(scores[size]):.1%} in "
        f"{len(scores[size])} trainings)"
        for size in sorted(scores)
    ]
    text = f"Fields right over training rows: {', '.join(parts)}."
    if line:
        text += f" The straight line gains {100 * line[1]:+.1f} points for twice as many rows."
    if prompt:
        text += f" The best prompt without training stands at {prompt}."
    return text + (f" This run: {live[1]:.1%} with {live[0]:,} rows." if live else "")


def _field(tables) -> str:
    return next(iter(tables.values())).field or "the whole answer"


def _common_values(tables, least) -> tuple[list[str], int]:
    """The values that reach `least` in some set, in alphabetical order, and the number of the others."""
    refuse_empty(tables, "tables", "pass at least one name with its label_table")
    for name, table in tables.items():
        refuse_empty(table.counts, f"tables[{name!r}]", f"no answer has a value of {_field(tables)}")
    every = sorted({value for table in tables.values() for value in table.counts})
    common = [v for v in every if any(table.counts.get(v, 0) >= least * table.rows for table in tables.values())]
    refuse_empty(common, "values", f"none reaches {least:.1%} of the rows: lower `least`")
    return common, len(every) - len(common)
