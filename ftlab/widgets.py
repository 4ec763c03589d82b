"""Controls for notebooks: thin, over functions that work without them; safe in ipywidgets 7 and 8."""

import html
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


def decision_form(case: Case) -> widgets.VBox:
    """A form that starts from `case`; the advice below it follows every change. Empty fields are "not known"."""
    wide, style = widgets.Layout(width="520px"), {"description_width": "150px"}
    controls = {"task": widgets.Text(case.task, description="task", layout=wide, style=style)}
    for name, label in NUMBERS.items():
        value = getattr(case, name)
        controls[name] = widgets.Text("" if value is None else f"{value:g}", description=label, style=style)
    for name, label in LISTS.items():
        options = [("not known", None), *((choice, choice) for choice in CHOICES[name])]
        controls[name] = widgets.Dropdown(options=options, value=getattr(case, name), description=label, style=style)
    for name, label in FLAGS.items():
        options = [("not known", None), ("yes", True), ("no", False)]
        controls[name] = widgets.Dropdown(options=options, value=getattr(case, name), description=label, style=style)
    wants = {
        want: widgets.Checkbox(want in case.wants, description=want, indent=False, layout=widgets.Layout(width="110px"))
        for want in CHOICES["wants"]
    }
    advice = widgets.HTML()

    def read() -> Case:
        entries = {name: control.value for name, control in controls.items()}
        for name in NUMBERS:
            entries[name] = _number(name, entries[name])
        return make_case(entries | {"wants": [want for want, box in wants.items() if box.value]}, "form")

    def update(_=None):
        try:
            advice.value = decide(read())._repr_html_()
        except DataError as error:
            advice.value = f"<p>{html.escape(str(error))}</p>"

    for control in (*controls.values(), *wants.values()):
        control.observe(update, names="value")
    update()
    half = (len(NUMBERS) + len(LISTS) + len(FLAGS) + 1) // 2
    rest = [controls[f.name] for f in fields(Case) if f.name not in ("task", "wants")]
    columns = widgets.HBox([widgets.VBox(rest[:half]), widgets.VBox(rest[half:])])
    boxes = widgets.HBox([widgets.HTML("wants:"), *wants.values()], layout=widgets.Layout(flex_flow="row wrap"))
    return widgets.VBox([controls["task"], boxes, columns, advice])


def _number(name: str, text: str):
    text = text.strip().replace(",", "").replace("_", "")
    if not text:
        return None
    try:
        value = float(text.rstrip("%")) / (100 if text.endswith("%") else 1)
    except ValueError as error:
        raise DataError(f"form: {NUMBERS[name]}: {text!r} is not a number") from error
    return int(value) if name == "examples" and value == int(value) else value
