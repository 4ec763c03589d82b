"""What the site and the slides share: pictures with their alt text, and formulas that need no script."""

import re
from html import escape
from pathlib import Path

from latex2mathml.converter import convert

ROOT = Path(__file__).resolve().parents[2]
COURSE = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
FORMULA = re.compile(r"\$\$(?P<block>.+?)\$\$|\$(?P<inline>[^\s$](?:[^$]*?[^\s$])?)\$(?!\d)", re.DOTALL)


def describe(notebook: dict) -> None:
    """Write a notebook's pictures as HTML with their alt text, which renderers do not read from the metadata."""
    for output in (output for cell in notebook["cells"] for output in cell.get("outputs", [])):
        about = output.get("metadata", {}).get("image/png", {})
        if "alt" in about:
            data = "".join(output["data"].pop("image/png")).replace("\n", "")
            alt, width = escape(about["alt"]), about.get("width", "")
            output["data"]["text/html"] = f'<img alt="{alt}" width="{width}" src="data:image/png;base64,{data}">'


def mathml(tex: str, block: bool = False) -> str:
    """A formula as browsers draw it by themselves."""
    made = convert(" ".join(tex.split()), display="block" if block else "inline")
    return f'<div class="math">{made}</div>' if block else made


def with_mathml(markdown: str) -> str:
    """Markdown whose formulas between dollars are MathML."""
    return FORMULA.sub(lambda at: mathml(at["block"] or at["inline"], block=at["block"] is not None), markdown)


def title(notebook: dict) -> str:
    """The first heading."""
    return re.search(r"^# (.+)$", "".join(notebook["cells"][0]["source"]), re.MULTILINE)[1]
