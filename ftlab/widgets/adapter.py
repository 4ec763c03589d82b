"""The form of notebook 05: how large an adapter is, by model, rank and matrices."""

import html

import ipywidgets as widgets

from ftlab.costs.adapter import TARGETS, adapter_size
from ftlab.costs.architecture import known_models
from ftlab.errors import FtlabError

RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def adapter_form(model: str = "smollm2-135m", r: int = 16) -> widgets.VBox:
    """A model, a rank and the matrices to change; the table below follows every choice."""
    which = widgets.Dropdown(options=[each.name for each in known_models()], value=model, description="model")
    rank = widgets.SelectionSlider(options=RANKS, value=r, description="rank r", continuous_update=False)
    small = widgets.Layout(width="110px")
    boxes = [widgets.Checkbox(True, description=name, indent=False, layout=small) for name in TARGETS]
    told = widgets.HTML()

    def update(_=None):
        chosen = [box.description for box in boxes if box.value]
        try:
            told.value = adapter_size(which.value, rank.value, chosen)._repr_html_()
        except FtlabError as error:
            told.value = f"<p>{html.escape(str(error))}</p>"

    for control in (which, rank, *boxes):
        control.observe(update, names="value")
    update()
    matrices = widgets.HBox(boxes, layout=widgets.Layout(flex_flow="row wrap"))
    return widgets.VBox([widgets.HBox([which, rank]), matrices, told])
