"""The form of notebook 02 that fills in a prompt of the kit; nothing is sent."""

import html

import ipywidgets as widgets

from ftlab.decide import Case
from ftlab.prompt_kit import NOT_KNOWN, read_kit, slots_from_case

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


def prompt_kit_form(case: Case) -> widgets.VBox:
    """Choose a prompt of the kit, fill its slots (begun from `case`), copy the finished text. Nothing is sent."""
    kit = read_kit()
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
