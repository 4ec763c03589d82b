"""Figures of the course: functions take results and return figures; `show` displays one."""

import base64
import html
import io

import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib.figure import Figure


def show(fig: Figure, alt: str) -> None:
    """Display `fig` once as a PNG with `alt`, a sentence that says what it shows, and close it.

    JupyterLab 4.6 and nbconvert's lab theme ignore the `alt` of an output's metadata, so the live output is
    an HTML image with an alt attribute of its own. The metadata (read by nbconvert's classic theme) and the
    text/plain of the same output carry it where HTML is not shown.
    """
    if not alt.strip():
        raise ValueError("show(fig, alt) needs a sentence that says what the figure shows: alt is empty.")
    buffer = io.BytesIO()
    fig.savefig(
        buffer,
        format="png",
        dpi=144,
        bbox_inches="tight",
        facecolor="white",
        metadata={"Software": None},
        pil_kwargs={"optimize": True},
    )
    plt.close(fig)
    png = buffer.getvalue()
    encoded = base64.b64encode(png).decode()
    width = round(int.from_bytes(png[16:20]) / 1.5)  # pixels of the file / 1.5: sharp on dense screens
    image = f'<img alt="{html.escape(alt)}" width="{width}" src="data:image/png;base64,{encoded}">'
    display(
        {"image/png": encoded, "text/html": image, "text/plain": alt},
        metadata={"image/png": {"alt": alt, "width": width}},
        raw=True,
    )
