"""The form of notebook 02: a case, and the advice that follows every change; safe in ipywidgets 7 and 8."""

import html

import ipywidgets as widgets

from ftlab.decide import CHOICES, Case, decide
from ftlab.errors import DataError
from ftlab.settings import fit

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
    rest = [controls[name] for name in Case.model_fields if name not in ("task", "wants")]
    columns = widgets.HBox([widgets.VBox(rest[:half]), widgets.VBox(rest[half:])])
    boxes = widgets.HBox([widgets.HTML("wants:"), *wants.values()], layout=widgets.Layout(flex_flow="row wrap"))
    form = widgets.VBox([controls["task"], boxes, columns, advice])
    for control in (*controls.values(), *wants.values()):
        control.observe(update, names="value")
    update()
    return form


def form_case(form: widgets.VBox) -> Case:
    """The case as it stands now in a `decision_form`; DataError names a field that cannot be read."""
    labels = NUMBERS | LISTS | FLAGS | {"task": "task"}
    names, entries, todo = {label: name for name, label in labels.items()}, {"wants": []}, [form]
    while todo:
        control = todo.pop(0)
        todo += getattr(control, "children", ())
        label = getattr(control, "description", None)
        if isinstance(control, widgets.Checkbox):
            entries["wants"] += [label] if control.value else []
        elif label in names:
            name = names[label]
            entries[name] = _number(control.value) if name in NUMBERS else control.value
    case, problems = fit({name: None if value == UNKNOWN else value for name, value in entries.items()}, Case)
    if problems:
        told = [f"form: {labels.get(at[0] if at else 'examples', 'wants')}: {text}" for at, text in problems]
        raise DataError("; ".join(told))
    return case


def _number(text: str) -> str | float:
    """What was typed, without separators, percent as a fraction of 1; the case says what is no number."""
    text = text.strip().replace(",", "").replace("_", "")
    try:
        return float(text.removesuffix("%")) / 100 if text.endswith("%") else text
    except ValueError:
        return text
