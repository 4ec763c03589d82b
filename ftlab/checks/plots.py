"""Figures of data sets: who repeats whom, how often each label occurs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from ftlab.plots import BLUE, COLOURS, GREY, ORANGE, plain_axes, refuse_empty

if TYPE_CHECKING:
    from ftlab.checks.labels import LabelTable
    from ftlab.data.findings import Row


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
