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
from ftlab.tables import readable

if TYPE_CHECKING:
    from ftlab.evaluation.statistics import Interval

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#595959"  # told apart in every kind of colour vision
COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", GREY, "#E69F00", "#56B4E9")  # Okabe and Ito, and grey


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
    fig.savefig(buffer, format="png", dpi=144, bbox_inches="tight", facecolor="white", metadata={"Software": None},
                pil_kwargs={"optimize": True})  # fmt: skip
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
    refuse_empty(systems, "systems", "pass at least one name with its interval")
    fig = Figure(figsize=(7, 0.9 + 0.42 * len(systems)), layout="constrained")
    ax = fig.add_subplot()
    for row, interval in enumerate(systems.values()):
        ends = [100 * interval.low, 100 * interval.high]
        ax.plot(ends, [row, row], "|-", color=BLUE, lw=2.2, ms=11, mew=2.2)
        ax.plot(100 * interval.value, row, "o", color=BLUE, ms=7)
        ax.annotate(repr(interval), (1.02, row), xycoords=("axes fraction", "data"), va="center", fontsize=11)
    if bar is not None:
        ax.axvline(100 * bar, color=ORANGE, ls="--", lw=1.8)
        ax.annotate(f"bar {100 * bar:.1f} %", (100 * bar, 1.02), xycoords=("data", "axes fraction"), ha="center",
                    color="#A34700", fontsize=11)  # fmt: skip
    ax.set_yticks(range(len(systems)), [readable(name) for name in systems], fontsize=11)
    ax.set_ylim(len(systems) - 0.5, -0.5)
    ax.set_xlim(0, max(100.0, 100 * (bar or 0)) + 1.5)
    ax.set_xlabel(f"{readable(metric)} in % [95 % interval]", fontsize=11)
    plain_axes(ax, grid="x")
    ax.tick_params(axis="y", length=0)
    return fig


def systems_alt(systems: "Mapping[str, Interval]", bar: float | None = None, metric: str = "field accuracy") -> str:
    """The sentence for `systems_figure`, written from the numbers."""
    refuse_empty(systems, "systems", "pass at least one name with its interval")
    dots = ", ".join(f"{readable(name)} {interval}" for name, interval in systems.items())
    text = f"{readable(metric).capitalize()} of {len(systems)} systems with intervals: {dots}."
    if bar is not None:
        reached = [readable(name) for name, interval in systems.items() if interval.value >= bar]
        text += f" The bar is at {100 * bar:.1f} %; it is reached by {', '.join(reached) or 'none'}."
    return text


def loss_figure(rows: Iterable[Mapping], unit: str = "nats per token") -> Figure:
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
    ax.set_ylabel(f"loss ({unit})", fontsize=11)
    plain_axes(ax, grid="y")
    return fig


def loss_alt(rows: Iterable[Mapping]) -> str:
    """The sentence for `loss_figure`, written from the numbers."""
    rows = list(rows)
    parts = (_describe_series("Training loss", _series(rows, "loss")),
             _describe_series("Validation loss", _series(rows, "eval_loss")))  # fmt: skip
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


def refuse_empty(things, name: str, remedy: str) -> None:
    """Raise DataError where there is nothing to draw."""
    if not things:
        raise DataError(f"{name}: empty, there is nothing to draw; {remedy}")


def plain_axes(ax, grid: str) -> None:
    """Two spines, a pale grid behind ("x", "y" or "both"), readable tick labels."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis=grid, color="#D9D9D9", lw=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=11)
