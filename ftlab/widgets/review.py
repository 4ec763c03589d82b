"""The table of notebook 04: drafted examples one by one, to accept, edit or reject."""

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
