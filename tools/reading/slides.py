"""Make slides of the built notebooks: `make slides` writes build/slides/index.html.

A section of a notebook becomes a slide: its heading, its first sentence, what it shows (the last picture, else the last
table, else a short text) and the first sentence that reads it; the rest of its prose are the speaker's notes (key S).
Sections that show nothing have none, but the one that sums up and the last, which are slides of words. Nothing is
written twice: change the notebook. A cell tagged "slide" is shown in place of the last picture; a section with a cell
tagged "no-slide" is left out.

Which browser shows them needs no network: reveal.js is copied from the package sphinx-revealjs.
"""

import re
import shutil
import sys
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter
from pages import COURSE, ROOT, describe, title, with_mathml
from traitlets.config import Config

HERE = Path(__file__).resolve().parent
LINES, TABLE_ROWS = 14, 12  # of a text, and of a table, that can be read from the last row of a room
SHORT = 170  # characters of two sentences that are still one thought
SIZE = (1200, 720)
SUMS_UP = re.compile(r"## (What you have (seen|shown)|Summary)$")
NO_PROSE = re.compile(r"\s*(\||[-*] |\d+\. |```|#|\$\$|---|!\[|\*Last|\*\*Exercise)")
SENTENCE_ENDS = re.compile(r"(?:(?<=[.?!:])(?<!e\.g\.)(?<!i\.e\.)|(?<=[.?!]\))) (?=[A-Z`*\"(\[$])")


@dataclass
class Section:
    """A heading of a notebook and the cells up to the next one."""

    heading: str
    cells: list = field(default_factory=list)


def sections(notebook) -> list[Section]:
    """The notebook cut at its headings; the first section is the title."""
    found = []
    for cell in notebook.cells:
        prose = cell.cell_type == "markdown"
        parts = re.split(r"^(?=#{1,2} )", cell.source, flags=re.MULTILINE) if prose else [cell.source]
        for part in filter(None, parts):
            heading = re.match(r"#{1,2} .+", part) if prose else None
            if heading:
                found.append(Section(heading[0]))
                part = part.removeprefix(heading[0])
            found[-1].cells.append(nbformat.from_dict(cell | {"source": part.strip()}))
    return found


def plain(markdown: str) -> str:
    """Text without links and with its lines joined."""
    return " ".join(re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", markdown).split())


def opening(markdown: str) -> str:
    """The first sentence of the first paragraph that is prose, and those after it while they are short together."""
    for paragraph in markdown.split("\n\n"):
        if paragraph.strip() and not NO_PROSE.match(paragraph):
            first, *more = SENTENCE_ENDS.split(plain(paragraph))
            while more and len(first) + len(more[0]) < SHORT:
                first += f" {more.pop(0)}"
            return first
    return ""


def kind(output) -> str:
    """picture, table or text, where it can be read on a slide; else nothing."""
    data = output.get("data", {})
    html, text = "".join(data.get("text/html", "")), "".join(data.get("text/plain", output.get("text", "")))
    if "image/png" in data or "<img" in html or "<svg" in html:
        return "picture"
    if "<table" in html:
        return "table" if html.count("<tr") <= TABLE_ROWS + 1 else ""
    readable = text.strip() and text.count("\n") < LINES and "application/vnd.jupyter.widget-view+json" not in data
    return "text" if readable and output.get("name") != "stderr" and not html else ""


def shown(cells: list) -> tuple[int, object] | None:
    """Which cell's output the slide has: (its place, the output); pictures before tables before texts."""
    tagged = [at for at, cell in enumerate(cells) if "slide" in cell.metadata.get("tags", [])]
    for wanted in ("picture", "table", "text"):
        for at in tagged or reversed(range(len(cells))):
            for output in reversed(cells[at].get("outputs", [])):
                if kind(output) == wanted and not cells[at].source.startswith("from ftlab.exercises"):
                    return at, output
    return None


def slide(section: Section, words: bool) -> list:
    """The cells of one slide, with the notes; none where the section shows nothing, unless it is a slide of words."""
    found, texts = shown(section.cells), [c.source for c in section.cells if c.cell_type == "markdown" and c.source]
    if any("no-slide" in cell.metadata.get("tags", []) for cell in section.cells) or not (found or words):
        return []
    lead = section.cells[0].source if section.cells[0].cell_type == "markdown" else ""
    if words:
        return [cell("markdown", f"{section.heading}\n\n{body(lead)}", "slide")]
    at, output = found
    after = next((c.source for c in section.cells[at + 1 :] if c.cell_type == "markdown"), "")
    cells = [cell("markdown", f"{section.heading}\n\n{with_mathml(opening(lead))}", "slide")]
    cells.append(cell("code", "", "-", outputs=[output]))
    if reading := opening(after):
        mark = "" if "*" in reading else "**"
        cells.append(cell("markdown", f"{mark}{with_mathml(reading)}{mark}", "-"))
    return [*cells, cell("markdown", with_mathml("\n\n".join(map(plain, texts))), "notes")]


def body(markdown: str) -> str:
    """Prose of a slide as it stands, without links."""
    return with_mathml(re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", markdown))


def cell(form: str, source: str, slide_type: str, **more):
    """A cell of the slides; code is left out, what it gave is not."""
    made = (nbformat.v4.new_code_cell if form == "code" else nbformat.v4.new_markdown_cell)(source, **more)
    made.metadata["slideshow"] = {"slide_type": slide_type}
    return made


def deck(notebook) -> nbformat.NotebookNode:
    """The notebook as slides."""
    describe(notebook)
    parts, made = sections(notebook), nbformat.v4.new_notebook()
    question = body(parts[0].cells[0].source).split("\n\n")[0]
    made.cells = [cell("markdown", f"{parts[0].heading}\n\n{question}", "slide")]
    for section in parts[1:]:
        made.cells += slide(section, words=section is parts[-1] or bool(SUMS_UP.match(section.heading)))
    return made


def write(folder: Path) -> list[Path]:
    """A page for each notebook, one that lists them, and what they load."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copytree(files("sphinx_revealjs") / "_static" / "revealjs", folder / "reveal")
    shutil.copy(HERE / "slides.css", folder)
    settings = Config()
    settings.SlidesExporter.update({
        "extra_template_basedirs": [str(HERE)], "template_name": "deck", "reveal_url_prefix": "reveal",
        "reveal_theme": "white",  # of reveal's themes one that takes no font from elsewhere
        "exclude_input": True, "exclude_input_prompt": True, "exclude_output_prompt": True,
        "reveal_width": str(SIZE[0]), "reveal_height": str(SIZE[1]),
    })  # fmt: skip
    exporter, made, lines = SlidesExporter(config=settings), [], []
    for path in COURSE:
        notebook = nbformat.read(path, as_version=4)
        page, _ = exporter.from_notebook_node(deck(notebook), {"metadata": {"name": path.stem}})
        made.append(folder / f"{path.stem}.html")
        made[-1].write_text(page, encoding="utf-8")
        lines.append(f'<li><a href="{path.stem}.html">{path.stem.split("_")[0]} {escape(title(notebook))}</a></li>')
    head = "<!doctype html><html lang=en><meta charset=utf-8><title>ftlab: slides</title>"
    (folder / "index.html").write_text(f"{head}<ul>{''.join(lines)}</ul></html>", encoding="utf-8")
    return made


if __name__ == "__main__":
    pages = write(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "slides")
    print(f"{len(pages)} sets of slides: {pages[0].parent / 'index.html'}")
