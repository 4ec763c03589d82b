"""The table of notebook 04: drafted examples one by one, to accept, edit or reject; safe in ipywidgets 7 and 8."""

import html

import ipywidgets as widgets

from ftlab.checks.review import Review
from ftlab.errors import FtlabError

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


def review_table(review: Review) -> widgets.VBox:
    """One drafted example at a time: accept, edit or reject; every decision is in the journal before the next shows."""
    table = _Table(review)
    buttons = [_button(name, table) for name in REVIEW_BUTTONS]
    notes = widgets.HTML("".join(f"<p>{html.escape(each)}</p>" for each in review.notes))
    rows = [widgets.HBox(buttons[:4]), widgets.HBox(buttons[4:])]
    box = widgets.VBox([notes, table.head, table.chat, table.answer, table.note, *rows, table.status,
                        widgets.HTML(_access_keys())])  # fmt: skip
    box.add_class("ftlab-review")
    return box


class _Table:
    """The fields, the row that they show, and what was typed and not decided yet; each button is a method."""

    def __init__(self, review: Review):
        wide = widgets.Layout(width="95%")
        self.review, self.typed = review, {}  # (answer, note) by row
        self.head, self.chat, self.status = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.answer = widgets.Textarea(description="answer", rows=8, layout=wide)
        self.note = widgets.Text(description="note", placeholder="why; kept with the decision", layout=wide)
        self._show(review.next_open() or 0)

    def accept(self):
        return self._decided(self.review.edit(self.row, self.answer.value, self.note.value))

    def edit(self):
        if self.answer.value == self.review.draft(self.row):
            return "nothing is changed yet: change the answer first, or press accept"
        return self.accept()

    def reject(self):
        return self._decided(self.review.reject(self.row, self.note.value))

    def back(self):
        self._leave(self.row - 1)

    def skip(self):
        self._leave(self.row + 1)

    def undo(self):
        row = self.review.undo()
        if row is None:
            return "there is no decision to take back"
        (self._show if row == self.row else self._leave)(row)
        return f"example {row + 1}: the latest decision is taken back"

    def original(self):
        self.answer.value = self.review.draft(self.row)

    def save(self):
        return self.review.save()

    def _stored(self, row: int) -> tuple[str, str]:
        decision = self.review.decision(row)
        return self.review.answer(row), decision.note if decision else ""

    def _show(self, row: int):
        self.row = row
        self.head.value, self.chat.value = _review_head(self.review, row), _review_chat(self.review.rows[row])
        self.answer.value, self.note.value = self.typed.get(row, self._stored(row))

    def _leave(self, row: int):
        typed = self.answer.value, self.note.value
        self.typed.pop(self.row, None)
        if typed != self._stored(self.row):
            self.typed[self.row] = typed
        self._show(row % len(self.review))

    def _decided(self, decision) -> str:
        self.typed.pop(decision.row, None)
        row = self.review.next_open(decision.row)
        self._show(decision.row if row is None else row)
        end = "; all are decided: press save" if row is None else ""
        return f"example {decision.row + 1} {decision.decision}{end}"


def _button(name: str, table: _Table) -> widgets.Button:
    def clicked(_):
        try:
            said = getattr(table, name)() or ""
        except FtlabError as error:
            said = str(error)
        table.status.value = f'<p role="status">{html.escape(said)}</p>'

    _, colour, meaning = REVIEW_BUTTONS[name]
    size = widgets.Layout(width="110px", height="44px")
    button = widgets.Button(description=name, tooltip=meaning, button_style=colour, layout=size)
    button.add_class(f"ftlab-{name}")
    button.on_click(clicked)
    return button


def _review_head(review: Review, row: int) -> str:
    decision = review.decision(row)
    now = f"{decision.decision} by {decision.reviewer}, {decision.at[:10]}" if decision else "not decided yet"
    doubt = review.rows[row].get("doubt")
    lines = [f"<b>example {row + 1} of {len(review)}: {html.escape(now)}</b>", html.escape(str(review.progress))]
    lines += [f"<b>the model doubts:</b> {html.escape(str(doubt))}"] if doubt else []
    return "<br>".join(lines)


def _review_chat(row: dict) -> str:
    """All turns before the answer, and a call of tools that stands in it."""
    *before, last = row["messages"]
    texts = [(turn["role"], turn.get("content") or str(turn.get("tool_calls", ""))) for turn in before]
    texts += [("assistant calls", str(last["tool_calls"]))] if last.get("tool_calls") else []
    parts = [f'<b>{html.escape(role)}</b><pre style="white-space: pre-wrap; margin: 0 0 8px">{html.escape(text)}</pre>'
             for role, text in texts]  # fmt: skip
    return f'<div style="max-height: 360px; overflow: auto">{"".join(parts)}</div>'


def _access_keys() -> str:
    """Small buttons that press the large ones: an ipywidgets button has no access key of its own."""
    keys = []
    for name, (key, _, _) in REVIEW_BUTTONS.items():
        press = f"this.closest('.ftlab-review').querySelector('.ftlab-{name}').click()"
        keys.append(f'<button type="button" tabindex="-1" accesskey="{key}" onclick="{press}">{key}: {name}</button>')
    return f"<p>Keys: Alt (Firefox: Alt+Shift, Mac: Ctrl+Option) and {' '.join(keys)}</p>"
