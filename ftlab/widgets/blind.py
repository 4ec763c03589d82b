"""The form of notebook 15: a message and two answers, whose they are hidden; safe in ipywidgets 7 and 8."""

import html

import ipywidgets as widgets

from ftlab.errors import FtlabError
from ftlab.evaluation.blind import BlindTest

BLIND_BUTTONS = {  # name: access key, colour, what it does
    "A is better": ("j", "info", "the left answer is better"),
    "tie": ("k", "", "neither is better"),
    "B is better": ("l", "info", "the right answer is better"),
    "back": ("h", "", "look at the pair before this one; judging it again counts"),
}
SAY = {"A is better": "A", "tie": "tie", "B is better": "B"}
TEXT = '<b>{}</b><pre style="white-space: pre-wrap; font: inherit; margin: 0 0 8px">{}</pre>'


def blind_form(test: BlindTest) -> widgets.VBox:
    """One pair at a time: A, B or tie; each judgement is on the disk before the next pair shows, then the result."""
    form = _Form(test)
    buttons = [_button(name, form) for name in BLIND_BUTTONS]
    box = widgets.VBox([form.head, form.request, widgets.HBox([form.left, form.right]), widgets.HBox(buttons),
                        form.status, widgets.HTML(_access_keys())])  # fmt: skip
    box.add_class("ftlab-blind")
    return box


class _Form:
    """The texts, and the pair that they show."""

    def __init__(self, test: BlindTest):
        half = widgets.Layout(width="48%", padding="0 8px")
        self.test = test
        self.head, self.request, self.status = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.left, self.right = widgets.HTML(layout=half), widgets.HTML(layout=half)
        start = test.next_open()
        self.show(start or 0)
        if start is None:
            self.tell(self.result())

    def press(self, name: str) -> None:
        """Judge, or go back; an error is told and nothing moves."""
        try:
            if name == "back":
                self.tell("")
                return self.show((self.at - 1) % len(self.test))
            self.test.say(self.at, SAY[name])
            following = self.test.next_open(self.at)
            self.tell(self.result() if following is None else f"pair {self.at + 1}: {SAY[name]}, saved")
            self.show(self.at if following is None else following)
        except FtlabError as error:
            self.tell(str(error))

    def result(self) -> str:
        return f"All are judged.\n{self.test.result()!r}"

    def tell(self, text: str) -> None:
        self.status.value = f'<pre role="status" style="white-space: pre-wrap">{html.escape(text)}</pre>'

    def show(self, at: int) -> None:
        self.at = at
        said = self.test.said(at)
        self.head.value = f"<b>pair {at + 1} of {len(self.test)}: {said or 'not judged yet'}</b>"
        left, right = self.test.sides(at)
        self.request.value = TEXT.format("message", html.escape(self.test.pairs[at]["request"]))
        self.left.value, self.right.value = TEXT.format("A", html.escape(left)), TEXT.format("B", html.escape(right))


def _button(name: str, form: _Form) -> widgets.Button:
    key, colour, meaning = BLIND_BUTTONS[name]
    size = widgets.Layout(width="130px", height="44px")
    button = widgets.Button(description=name, tooltip=meaning, button_style=colour, layout=size)
    button.add_class(f"ftlab-blind-{key}")
    button.on_click(lambda _: form.press(name))
    return button


def _access_keys() -> str:
    """Small buttons that press the large ones: an ipywidgets button has no access key of its own."""
    keys = []
    for name, (key, _, _) in BLIND_BUTTONS.items():
        press = f"this.closest('.ftlab-blind').querySelector('.ftlab-blind-{key}').click()"
        keys.append(f'<button type="button" tabindex="-1" accesskey="{key}" onclick="{press}">{key}: {name}</button>')
    return f"<p>Keys: Alt (Firefox: Alt+Shift, Mac: Ctrl+Option) and {' '.join(keys)}</p>"
