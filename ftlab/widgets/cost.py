"""The form of notebook 10: sliders over a scenario of costs, and the memory of a training run."""

import html
import math
from dataclasses import replace
from datetime import date

import ipywidgets as widgets

from ftlab.costs.architecture import known_models
from ftlab.costs.assumptions import Scenario
from ftlab.costs.memory import CHECKPOINTING, METHODS, estimate_memory
from ftlab.costs.plots import curve_alt, curve_figure, memory_alt, memory_figure
from ftlab.costs.remedies import what_would_fit
from ftlab.costs.scenario import CostReport, cost
from ftlab.errors import FtlabError
from ftlab.plots import figure_bundle
from ftlab.tables import readable

CARDS = ("T4", "L4", "RTX 4090", "A100-80GB", "H100")
SLIDERS = (  # assumption of the scenario, label, lowest, highest, step
    ("options.{baseline}.prompt_tokens", "fixed prompt, tokens", 0, 8000, 50),
    ("options.{baseline}.example_tokens", "examples in it, tokens", 0, 8000, 50),
    ("options.{baseline}.cache_hit_rate", "share from the cache", 0, 1, 0.05),
    ("input_tokens", "question, tokens", 0, 4000, 10),
    ("output_tokens", "answer, tokens", 0, 2000, 5),
    ("horizon_months", "horizon, months", 1, 60, 1),
)


def cost_form(scenario: Scenario, today: date | None = None) -> widgets.VBox:
    """Sliders over a scenario: curves, break-even and table follow; under them the memory of a training run.

    `today` (default: today) decides which prices are old and which models retired.
    """
    report = cost(scenario, today)
    head = widgets.HTML(f"<p>{html.escape(scenario.task)}: what it costs, and from when it pays</p>")
    return widgets.VBox([head, *_money_controls(report), *_memory_controls()])


def _money_controls(report: CostReport) -> list:
    """The controls over a cost report, and what follows them."""
    compare = report.scenario.content["compare"]
    style, layout = {"description_width": "150px"}, widgets.Layout(width="430px")
    point = {each.name: each.likely for each in report.scenario.assumptions}
    size = math.log10(point["calls_per_month"])
    calls = widgets.FloatLogSlider(
        value=point["calls_per_month"], min=min(2, math.floor(size)), max=max(7, math.ceil(size)), step=0.05,
        description="calls a month", readout_format=",.0f",
    )  # fmt: skip
    sliders = {"calls_per_month": calls}
    for assumption, label, low, high, step in SLIDERS:
        name = assumption.format(baseline=compare["baseline"])
        if name in point:
            high = max(high, point[name])
            sliders[name] = widgets.FloatSlider(value=point[name], min=low, max=high, step=step, description=label)
    rivals = [name for name in report.scenario.content["options"] if name != compare["baseline"]]
    rival = widgets.Dropdown(
        options=[(readable(name), name) for name in rivals], value=compare["candidate"],
        description=f"instead of {readable(compare['baseline'])}",
    )  # fmt: skip
    for control in (rival, *sliders.values()):
        control.style, control.layout = style, layout
    picture, table = widgets.HTML(), widgets.HTML()

    def draw(_=None):
        content = report.scenario.content | {"compare": compare | {"candidate": rival.value}}
        moved = {name: slider.value for name, slider in sliders.items() if slider.value != point[name]}
        now = replace(report, scenario=replace(report.scenario, content=content)).at(moved)
        low, high = 10.0**calls.min, 10.0**calls.max
        curve = now.volume_curve(low * (high / low) ** (step / 24) for step in range(25))
        picture.value = _image(curve_figure(curve, calls.value), curve_alt(curve))
        table.value = now._repr_html_()

    return [_columns([rival, *sliders.values()], draw), picture, table]


def _memory_controls() -> list:
    """The controls of one training run, and its memory."""
    choices = {
        "model": ([each.name for each in known_models()], "llama-3.1-8b"),
        "method": (METHODS, "qlora"),
        "gpu": (CARDS, "T4"),
        "batch": ((1, 2, 4, 8, 16), 2),
        "length": ((256, 512, 1024, 2048, 4096, 8192, 16384), 2048),
        "checkpointing": (CHECKPOINTING, "unsloth"),
    }
    controls = {name: widgets.Dropdown(options=list(options), value=value, description=name)
                for name, (options, value) in choices.items()}  # fmt: skip
    picture, text = widgets.HTML(), widgets.HTML()

    def draw(_=None):
        settings = {name: control.value for name, control in controls.items()}
        try:
            memory = estimate_memory(**settings)
            text.value = memory._repr_html_() if memory.fits else what_would_fit(**settings)._repr_html_()
        except FtlabError as error:
            picture.value, text.value = "", f"<p>{html.escape(str(error))}</p>"
            return
        picture.value = _image(memory_figure([memory]), memory_alt([memory]))

    return [widgets.HTML("<p>Does the training fit?</p>"), _columns(list(controls.values()), draw), picture, text]


def _columns(controls: list, draw) -> widgets.HBox:
    """The controls in two columns; `draw` runs now and after every change (sliders: when they are let go)."""
    for control in controls:
        if hasattr(control, "continuous_update"):
            control.continuous_update = False
        control.observe(draw, names="value")
    draw()
    half = (len(controls) + 1) // 2
    return widgets.HBox([widgets.VBox(controls[:half]), widgets.VBox(controls[half:])])


def _image(fig, alt: str) -> str:
    """The figure as an HTML image with alt text."""
    return figure_bundle(fig, alt)[0]["text/html"]
