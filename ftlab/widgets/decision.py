"""The form of notebook 02: a case, and the advice that follows every change; safe in ipywidgets 7 and 8."""

import html

import ipywidgets as widgets

from ftlab.decide import CHOICES, NUMBERS, Case, decide
from ftlab.errors import DataError
from ftlab.settings import fit

LABELS = {
    "task": "task", "choice": "one of a fixed list",
    "examples": "labelled examples", "example_quality": "their quality",
    "facts_change": "facts change", "task_changes": "the task changes", "calls_per_day": "calls a day",
    "latency_ms": "answer within, ms", "prompt_accuracy": "best prompt reaches", "target_accuracy": "good enough",
    "maintainer": "somebody keeps it up", "private_data": "data stay in the house", "budget_usd": "budget, USD",
}  # fmt: skip
UNKNOWN = ""  # a Dropdown shows nothing for an option whose value is None


def decision_form(case: Case) -> widgets.VBox:
    """A form that starts from `case`; the advice below it follows every change. Empty fields are "not known"."""
    task, *rest = (_control(name, getattr(case, name)) for name in LABELS)
    task.layout = widgets.Layout(width="520px")
    small = widgets.Layout(width="110px")
    wants = [widgets.Checkbox(want in case.wants, description=want, indent=False, layout=small)
             for want in CHOICES["wants"]]  # fmt: skip
    boxes = widgets.HBox([widgets.HTML("wants:"), *wants], layout=widgets.Layout(flex_flow="row wrap"))
    columns, advice = widgets.HBox([widgets.VBox(rest[:6]), widgets.VBox(rest[6:])]), widgets.HTML()
    form = widgets.VBox([task, boxes, columns, advice])

    def update(_=None):
        try:
            advice.value = decide(form_case(form))._repr_html_()
        except DataError as error:
            advice.value = f"<p>{html.escape(str(error))}</p>"

    for control in (task, *rest, *wants):
        control.observe(update, names="value")
    update()
    return form


def _control(name: str, value) -> widgets.Widget:
    """A text for a number or the task, a list for everything else."""
    look = {"description": LABELS[name], "style": {"description_width": "150px"}}
    if name == "task" or name in NUMBERS:
        text = "" if value is None else value if name == "task" else f"{value:.15g}"
        return widgets.Text(text, **look)
    choices = [(choice, choice) for choice in CHOICES.get(name, ())] or [("yes", True), ("no", False)]
    now = UNKNOWN if value is None else value
    return widgets.Dropdown(options=[("not known", UNKNOWN), *choices], value=now, **look)


def form_case(form: widgets.VBox) -> Case:
    """The case as it stands now in a `decision_form`; DataError names a field that cannot be read."""
    task, boxes, columns, _ = form.children
    controls = {"task": task} | {
        control.description: control for column in columns.children for control in column.children
    }
    content = {"wants": [box.description for box in boxes.children[1:] if box.value]}
    for name, label in LABELS.items():
        value = controls[label].value
        content[name] = None if value == UNKNOWN else _number(value) if name in NUMBERS else value
    case, problems = fit(content, Case)
    if problems:
        told = [f"form: {LABELS.get(at[0] if at else 'examples', 'wants')}: {text}" for at, text in problems]
        raise DataError("; ".join(told))
    return case


def _number(text: str) -> str | float | None:
    """What was typed, without separators, percent as a fraction of 1; the case says what is no number."""
    text = text.strip().replace(",", "").replace("_", "")
    try:
        return float(text.removesuffix("%")) / 100 if text.endswith("%") else text or None
    except ValueError:
        return text
