"""Controls for notebooks: thin, over functions that work without them; safe in ipywidgets 7 and 8."""

import html
import math
from dataclasses import fields, replace
from datetime import date

import ipywidgets as widgets

from ftlab.checks.review import Review
from ftlab.costs.assumptions import Scenario
from ftlab.costs.memory import CHECKPOINTING, METHODS, estimate_memory, known_models, what_would_fit
from ftlab.costs.plots import curve_alt, curve_figure, memory_alt, memory_figure
from ftlab.costs.scenario import CostReport, cost
from ftlab.decide import CHOICES, Case, decide, make_case
from ftlab.errors import DataError, FtlabError
from ftlab.plots import figure_bundle
from ftlab.prompt_kit import NOT_KNOWN, KitPrompt, read_kit, slots_from_case

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


# ---- what it costs ------------------------------------------------------------------------------------------

CARDS = ("T4", "L4", "RTX 4090", "A100-80GB", "H100")
SLIDERS = (  # assumption of the scenario, label, lowest, highest, step
    ("options.{baseline}.prompt_tokens", "fixed prompt, tokens", 0, 8000, 50),
    ("options.{baseline}.example_tokens", "examples in it, tokens", 0, 8000, 50),
    ("options.{baseline}.cache_hit_rate", "share from the cache", 0, 1, 0.05),
    ("input_tokens", "question, tokens", 0, 4000, 10),
    ("output_tokens", "answer, tokens", 0, 2000, 5),
    ("horizon_months", "horizon, months", 1, 60, 1),
)


def cost_form(scenario: Scenario, today: date | None = None, model: str = "llama-3.1-8b") -> widgets.VBox:
    """Sliders over a scenario: curves, break-even and table follow; under them the memory of training `model`.

    `today` (default: today) decides which prices are old and which models retired.
    """
    report = cost(scenario, today)
    head = widgets.HTML(f"<p>{html.escape(scenario.task)}: what it costs, and from when it pays</p>")
    return widgets.VBox([head, *_money_controls(report), *_memory_controls(model)])


def _money_controls(report: CostReport) -> list:
    """The controls over a cost report, and what follows them."""
    compare = report.scenario.content["compare"]
    style, layout = {"description_width": "150px"}, widgets.Layout(width="430px")
    point = {each.name: each.likely for each in report.scenario.assumptions}
    calls = widgets.FloatLogSlider(
        value=point["calls_per_month"],
        min=min(2, math.floor(math.log10(point["calls_per_month"]))),
        max=max(7, math.ceil(math.log10(point["calls_per_month"]))),
        step=0.05,
        description="calls a month",
        readout_format=",.0f",
    )
    sliders = {"calls_per_month": calls}
    for assumption, label, low, high, step in SLIDERS:
        name = assumption.format(baseline=compare["baseline"])
        if name in point:
            high = max(high, point[name])
            sliders[name] = widgets.FloatSlider(value=point[name], min=low, max=high, step=step, description=label)
    rivals = [name for name in report.scenario.content["options"] if name != compare["baseline"]]
    rival = widgets.Dropdown(
        options=[(name.replace("_", " "), name) for name in rivals],
        value=compare["candidate"],
        description=f"instead of {compare['baseline'].replace('_', ' ')}",
    )
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


def _memory_controls(model: str) -> list:
    """The controls of one training run, and its memory."""
    names = [each.name for each in known_models()]
    names += [] if model in names else [model]
    choices = {
        "model": (names, model),
        "method": (METHODS, "qlora"),
        "gpu": (CARDS, "T4"),
        "batch": ((1, 2, 4, 8, 16), 2),
        "length": ((256, 512, 1024, 2048, 4096, 8192, 16384), 2048),
        "checkpointing": (CHECKPOINTING, "unsloth"),
    }
    controls = {
        name: widgets.Dropdown(options=list(options), value=value, description=name)
        for name, (options, value) in choices.items()
    }
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


# ---- prompts and drafts -------------------------------------------------------------------------------------

COPY = """(function (button) {
    var text = button.dataset.text;
    function say(done) {
        button.nextElementSibling.textContent = done ? 'copied' : 'not allowed here: select the text and copy it';
    }
    function copyOldWay() {
        var area = document.createElement('textarea'), done = false;
        area.value = text;
        document.body.appendChild(area);
        area.select();
        try { done = document.execCommand('copy'); } catch (error) { done = false; }
        area.remove();
        button.focus();
        say(done);
    }
    if (navigator.clipboard && navigator.clipboard.writeText) {
        navigator.clipboard.writeText(text).then(function () { say(true); }, copyOldWay);
    } else { copyOldWay(); }
})(this)"""
REVIEW_BUTTONS = {  # name: access key, colour, what it does
    "accept": ("a", "success", "keep the answer; a changed one is kept as edited"),
    "edit": ("t", "warning", "keep the answer as you have changed it"),
    "reject": ("r", "danger", "leave the example out"),
    "back": ("b", "", "look at the example before this one"),
    "skip": ("s", "", "look at the next one and decide later"),
    "undo": ("u", "", "take the latest decision back"),
    "original": ("o", "", "put the drafted answer back into the field"),
    "save": ("w", "info", "write what is accepted and edited so far"),
}


def prompt_kit_form(case: Case, kit: dict[str, KitPrompt] | None = None) -> widgets.VBox:
    """Choose a prompt of the kit, fill its slots (begun from `case`), copy the finished text. Nothing is sent."""
    kit = kit or read_kit()
    wide, style = widgets.Layout(width="95%"), {"description_width": "120px"}
    values = slots_from_case(case)  # by slot, kept from prompt to prompt
    choice = widgets.Dropdown(
        options=[(prompt.title, name) for name, prompt in kit.items()], description="prompt", layout=wide
    )
    purpose, slots, note, button = widgets.HTML(), widgets.VBox(), widgets.HTML(), widgets.HTML()
    text = widgets.Textarea(description="finished", rows=16, layout=wide)

    def fill(_=None):
        prompt = kit[choice.value]
        given = {slot.name: values.get(slot.name, "") for slot in prompt.slots}
        empty = [name for name, value in given.items() if not value.strip()]
        text.value = prompt.fill(**(given | dict.fromkeys(empty, NOT_KNOWN)))
        missing = f"; empty, so they read {NOT_KNOWN!r} and the model will ask: {', '.join(empty)}" if empty else ""
        note.value = f"<p>{len(text.value):,} characters{html.escape(missing, quote=False)}</p>"

    def keep(name):
        def changed(change):
            values[name] = change["new"]
            fill()

        return changed

    def choose(_=None):
        prompt, rows = kit[choice.value], []
        purpose.value = f"<p>{html.escape(prompt.purpose)}</p>"
        for slot in prompt.slots:
            field = widgets.Textarea(values.get(slot.name, ""), placeholder=f"such as: {slot.example}", rows=2,
                                     description=slot.name, layout=wide, style=style)  # fmt: skip
            field.observe(keep(slot.name), names="value")
            rows += [widgets.HTML(html.escape(slot.description)), field]
        slots.children = rows
        fill()

    def offer(_=None):
        button.value = _copy_button(text.value)

    choice.observe(choose, names="value")
    text.observe(offer, names="value")
    choose()
    return widgets.VBox([choice, purpose, slots, note, text, button])


def _copy_button(text: str) -> str:
    """An HTML button that copies `text`, and a place where it says whether it could."""
    return (
        f'<button type="button" data-text="{html.escape(text)}" onclick="{html.escape(COPY)}">copy the finished prompt'
        '</button> <span role="status"></span>'
    )


def review_table(review: Review) -> widgets.VBox:
    """One drafted example at a time: accept, edit or reject; every decision is in the journal before the next shows."""
    wide, typed = widgets.Layout(width="95%"), {}  # typed: (answer, note) changed and not decided yet, by row
    at = {"row": review.next_open() or 0}
    head, chat = widgets.HTML(), widgets.HTML()
    answer = widgets.Textarea(description="answer", rows=8, layout=wide)
    note = widgets.Text(description="note", placeholder="why; kept with the decision", layout=wide)
    status = widgets.HTML()
    buttons = {}
    for name, (_, colour, meaning) in REVIEW_BUTTONS.items():
        size = widgets.Layout(width="110px", height="44px")
        buttons[name] = widgets.Button(description=name, tooltip=meaning, button_style=colour, layout=size)
        buttons[name].add_class(f"ftlab-{name}")

    def stored(row: int) -> tuple[str, str]:
        decision = review.decision(row)
        return review.answer(row), decision.note if decision else ""

    def show(row: int):
        at["row"] = row
        head.value = _review_head(review, row)
        chat.value = _review_chat(review.rows[row])
        answer.value, note.value = typed.get(row, stored(row))

    def leave(row: int):
        typed[at["row"]] = answer.value, note.value
        if typed[at["row"]] == stored(at["row"]):
            del typed[at["row"]]
        show(row % len(review))

    def decided(decision) -> str:
        typed.pop(decision.row, None)
        row = review.next_open(decision.row)
        show(decision.row if row is None else row)
        end = "; all are decided: press save" if row is None else ""
        return f"example {decision.row + 1} {decision.decision}{end}"

    def accept():
        return decided(review.edit(at["row"], answer.value, note.value))

    def edit():
        if answer.value == review.draft(at["row"]):
            return "nothing is changed yet: change the answer first, or press accept"
        return accept()

    def undo():
        row = review.undo()
        if row is None:
            return "there is no decision to take back"
        (show if row == at["row"] else leave)(row)
        return f"example {row + 1}: the latest decision is taken back"

    def original():
        answer.value = review.draft(at["row"])

    actions = {
        "accept": accept, "edit": edit, "undo": undo, "original": original, "save": lambda: repr(review.save()),
        "reject": lambda: decided(review.reject(at["row"], note.value)),
        "back": lambda: leave(at["row"] - 1), "skip": lambda: leave(at["row"] + 1),
    }  # fmt: skip

    def act(action):
        def clicked(_):
            try:
                said = action() or ""
            except FtlabError as error:
                said = str(error)
            status.value = f'<p role="status">{html.escape(said)}</p>'

        return clicked

    for name, button in buttons.items():
        button.on_click(act(actions[name]))
    notes = widgets.HTML("".join(f"<p>{html.escape(each)}</p>" for each in review.notes))
    show(at["row"])
    rows = [list(buttons.values())[:4], list(buttons.values())[4:]]
    keys = widgets.HTML(_access_keys())
    box = widgets.VBox([notes, head, chat, answer, note, *map(widgets.HBox, rows), status, keys])
    box.add_class("ftlab-review")
    return box


def _review_head(review, row) -> str:
    decision = review.decision(row)
    now = f"{decision.decision} by {decision.reviewer}, {decision.at[:10]}" if decision else "not decided yet"
    doubt = review.rows[row].get("doubt")
    lines = [f"<b>example {row + 1} of {len(review)}: {html.escape(now)}</b>", html.escape(str(review.progress))]
    lines += [f"<b>the model doubts:</b> {html.escape(str(doubt))}"] if doubt else []
    return "<br>".join(lines)


def _review_chat(row) -> str:
    """All turns before the answer, and a call of tools that stands in it."""
    *before, last = row["messages"]
    texts = [(turn["role"], turn.get("content") or str(turn.get("tool_calls", ""))) for turn in before]
    texts += [("assistant calls", str(last["tool_calls"]))] if last.get("tool_calls") else []
    parts = [
        f'<b>{html.escape(role)}</b><pre style="white-space: pre-wrap; margin: 0 0 8px">{html.escape(text)}</pre>'
        for role, text in texts
    ]
    return f'<div style="max-height: 360px; overflow: auto">{"".join(parts)}</div>'


def _access_keys() -> str:
    """Small buttons that press the large ones: an ipywidgets button has no access key of its own."""
    keys = []
    for name, (key, _, _) in REVIEW_BUTTONS.items():
        press = f"this.closest('.ftlab-review').querySelector('.ftlab-{name}').click()"
        keys.append(f'<button type="button" tabindex="-1" accesskey="{key}" onclick="{press}">{key}: {name}</button>')
    return f"<p>Keys: Alt (Firefox: Alt+Shift, Mac: Ctrl+Option) and {' '.join(keys)}</p>"
