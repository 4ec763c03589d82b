"""What the tests of the forms share: the controls of a form, by their description."""

import ipywidgets as widgets


def walk(widget):
    """A form and every control in it."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from walk(child)


def control(form, description):
    """The first control with this description."""
    return next(w for w in walk(form) if getattr(w, "description", None) == description)


def shown(form):
    """The HTML of a form."""
    return "\n".join(w.value for w in walk(form) if isinstance(w, widgets.HTML))
