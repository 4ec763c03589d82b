"""The site that `make site` builds with Sphinx and MyST-NB, of the notebooks as they lie there: nothing is run.

A page asks no other computer for anything: fonts are the reader's, formulas are MathML, the search is a file.
"""

import json
import re
import sys
from pathlib import Path

from myst_parser.mdit_to_docutils.base import default_slugify

sys.path.insert(0, str(Path(__file__).resolve().parent))
from pages import COURSE, ROOT, describe, mathml, title  # noqa: E402

HOUSE = ["COVERAGE", "CHANGELOG", "CONTRIBUTING", "ARCHITECTURE", "DECISIONS", "LICENSES"]
DATA = sorted(path.relative_to(ROOT).with_suffix("").as_posix() for path in (ROOT / "data").rglob("README.md"))

project = "ftlab"
html_title = "ftlab: fine-tuning, measured"
root_doc = "README"
extensions = ["myst_nb", "sphinx_copybutton"]
include_patterns = ["*.md", "notebooks/[0-9]*.ipynb", "notebooks/GLOSSARY.md", "data/**README.md"]
exclude_patterns = [".*", "build", "ftlab", "recipes", "requirements", "runs", "tests", "tools", "notebooks/solutions"]
suppress_warnings = ["misc.highlighting_failure"]  # a drawing in Mermaid is shown as the text that it is

nb_execution_mode = "off"
nb_ipywidgets_js = {}  # controls need a kernel, and their scripts another computer
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
nb_merge_streams = True
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
myst_all_links_external = False

html_theme = "furo"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = html_use_index = False
html_math_renderer = "mathml"
copybutton_exclude = ".linenos, .gp, .go"


def contents(caption: str, entries: list[str]) -> str:
    return "\n".join(["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *entries, "```", ""])


def titled(path: Path) -> str:
    """`06 Train with Unsloth <notebooks/06_train_with_unsloth>`."""
    return f"{path.stem.split('_')[0]} {title(json.loads(path.read_text(encoding='utf-8')))} <notebooks/{path.stem}>"


def linked(text: str) -> str:
    """Links as this site has them: headings by its own names (Jupyter's keep capitals), folders as plain words."""
    text = re.sub(r"(\]\([\w./]*(?:\.ipynb)?#)([^)\s]+)\)",
                  lambda found: f"{found[1]}{default_slugify(found[2].replace('-', ' '))})", text)  # fmt: skip
    return re.sub(r"\[([^][]+)\]\((?:\.\./)*[\w/]+\)", r"\1", text)


def prepared(notebook: dict) -> dict:
    """A notebook with its links and pictures as this site has them; code stays as it is."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = linked("".join(cell["source"]))
    describe(notebook)
    return notebook


def read(app, name: str, source: list[str]) -> None:
    """A page as it is read, and, on the first, what stands beside it."""
    if name.startswith("notebooks/") and name != "notebooks/GLOSSARY":
        source[0] = json.dumps(prepared(json.loads(source[0])))
    else:
        source[0] = linked(source[0])
    if name == root_doc:
        source[0] += contents("Course", [*map(titled, COURSE), "Glossary <notebooks/GLOSSARY>"])
        source[0] += contents("For hosts", ["HOSTING"]) + contents("Data", DATA) + contents("The house", HOUSE)


# what a keyboard or a screen reader needs and Sphinx, furo or pandas leaves out; nothing is found twice in a page
READABLE = {
    r"<pre>": '<pre tabindex="0">',  # wider than the page, it is pushed by the arrow keys
    r'<div class="(table-wrapper|math|output text_html)': r'<div tabindex="0" class="\1',
    r'role="heading">': 'role="heading" aria-level="2">',
    r'<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="Pages">',
    r'<aside class="(toc-drawer[^"]*)">': r'<aside class="\1" aria-label="On this page">',
    r'(?<!</h1>)<div id="search-results">': '<h1>Search</h1><div id="search-results">',
    r"<th(?: [^>]*)?>(?:<p></p>|&nbsp;)?</th>": "<td></td>",  # the corner of a table heads nothing
}


def finish(app, error) -> None:
    for page in Path(app.outdir).rglob("*.html") if error is None else ():
        text = page.read_text(encoding="utf-8")
        for pattern, better in READABLE.items():
            text = re.sub(pattern, better, text)
        page.write_text(text, encoding="utf-8")


def formula(self, node) -> None:
    from docutils.nodes import SkipNode

    self.body.append(mathml(node.astext(), block=node.tagname == "math_block"))
    raise SkipNode


def setup(app) -> None:
    app.add_html_math_renderer("mathml", inline_renderers=(formula, None), block_renderers=(formula, None))
    app.connect("source-read", read)
    app.connect("build-finished", finish)
