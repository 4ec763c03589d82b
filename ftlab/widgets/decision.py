"""The form of notebook 02: a case, and the advice that follows every change; safe in ipywidgets 7 and 8."""

import html
import math
from dataclasses import fields

import ipywidgets as widgets

from ftlab.decide import CHOICES, Case, decide, make_case
from ftlab.errors import DataError

NUMBERS = {
    "examples": "labelled examples", "calls_per_day": "calls a day", "latency_ms": "answer within, ms",
    "prompt_accuracy": "best prompt reaches", "target_accuracy": "good enough", "budget_usd": "budget, USD",
}  # fmt: skip
LISTS = {"example_quality": "their quality", "facts_change": "facts change", "task_changes": "the task changes"}
FLAGS = {"maintainer": "somebody keeps it up", "private_data": "data stay in the house"}
UNKNOWN = ""  # a Dropdown shows nothing for an option whose value is None


def decision_form(case: Case) -> widgets.VBox:
    """A form that starts from `case`; the advice below it follows every change. Empty fields are "not known"."""
    wide, style = widgets.Layout(width="520px"), {"description_width": "150px"}
    controls = {"task": widgets.Text(case.task, description="task", layout=wide, style=style)}
    for name, label in NUMBERS.items():
        value = getattr(case, name)
        controls[name] = widgets.Text("" if value is None else f"{value:.15g}", description=label, style=style)
    for name, label in (LISTS | FLAGS).items():
        choices = [("yes", True), ("no", False)] if name in FLAGS else [(choice, choice) for choice in CHOICES[name]]
        value = UNKNOWN if getattr(case, name) is None else getattr(case, name)
        options = [("not known", UNKNOWN), *choices]
        controls[name] = widgets.Dropdown(options=options, value=value, description=label, style=style)
    wants = {
        want: widgets.Checkbox(want in case.wants, description=want, indent=False, layout=widgets.Layout(width="110px"))
        for want in CHOICES["wants"]
    }
    advice = widgets.HTML()

    def update(_=None):
        try:
            advice.value = decide(form_case(form))._repr_html_()
        except DataError as error:
            advice.value = f"<p>{html.escape(str(error))}</p>"

    half = (len(NUMBERS) + len(LISTS) + len(FLAGS) + 1) // 2
    rest = [controls[f.name] for f in fields(Case) if f.name not in ("task", "wants")]
    columns = widgets.HBox([widgets.VBox(rest[:half]), widgets.VBox(rest[half:])])
    boxes = widgets.HBox([widgets.HTML("wants:"), *wants.values()], layout=widgets.Layout(flex_flow="row wrap"))
    form = widgets.VBox([controls["task"], boxes, columns, advice])
    for control in (*controls.values(), *wants.values()):
        control.observe(update, names="value")
    update()
    return form


def form_case(form: widgets.VBox) -> Case:
    """The case as it stands now in a `decision_form`; DataError names a field that cannot be read."""
    names = {label: name for name, label in (NUMBERS | LISTS | FLAGS).items()} | {"task": "task"}
    entries, wants, todo = {}, [], [form]
    while todo:
        control = todo.pop(0)
        todo += getattr(control, "children", ())
        label = getattr(control, "description", None)
        if isinstance(control, widgets.Checkbox):
            wants += [label] if control.value else []
        elif label in names:
            name = names[label]
            value = _number(name, control.value) if name in NUMBERS else control.value
            entries[name] = None if value == UNKNOWN else value
    return make_case(entries | {"wants": wants}, "form")


def _number(name: str, text: str):
    text = text.strip().replace(",", "").replace("_", "")
    if not text:
        return None
    try:
        value = float(text.rstrip("%")) / (100 if text.endswith("%") else 1)
    except ValueError as error:
        raise DataError(f"form: {NUMBERS[name]}: {text!r} is not a number") from error
    if not math.isfinite(value):
        raise DataError(f"form: {NUMBERS[name]}: {text!r} is no number that a form can hold; leave it empty if unknown")
    return int(value) if value == int(value) else value
