"""Checks of the repository as a whole: links, coverage map, minutes to read, forbidden names; and its size.

    .venv/bin/python tools/check.py

Exit code 0 when all is well, 1 with one line a finding.
"""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import jupytext
from markdown_it import MarkdownIt
from mdit_py_plugins.anchors import anchors_plugin

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from tools import course_table  # noqa: E402
from tools.figures import figures  # noqa: E402

PAGES = ("*.md", "notebooks/GLOSSARY.md", "data/**/README.md")
COVERAGE = "COVERAGE.md"
OPEN = "open"
ITEMS = [
    f"{letter}{number}"
    for letter, count in {"C": 7, "D": 7, "P": 6, "T": 6, "E": 5, "M": 4, "H": 1, "S": 3, "W": 4, "X": 5}.items()
    for number in range(1, count + 1)
]
WORDS_ONLY = {"C7"}  # the glossary: its place needs no cell that runs
# in two halves, so that this file does not name them
REGISTRY_HOSTS = tuple(
    ".".join(halves)
    for halves in [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("download.pytorch", "org"),
        ("anaconda", "org"),
        ("anaconda", "com"),
        ("npmjs", "org"),
        ("proxy.golang", "org"),
        ("crates", "io"),
    ]
)
MARKDOWN = MarkdownIt("commonmark").enable("table").use(anchors_plugin, max_level=6)


def main() -> int:
    """Print the figures, then every finding; 1 when there is one."""
    print("\n".join(figures(ROOT)))
    findings = [*broken_links(ROOT), *coverage_gaps(ROOT), *forbidden_names(ROOT), *course_table.findings(ROOT)]
    for finding in findings:
        print(finding)
    print(f"check: {len(findings)} findings in links, coverage map, file contents and minutes to read")
    return 1 if findings else 0


def broken_links(root: Path) -> list[str]:
    """Relative links of the pages and of the notebooks' text that point to no file or to no heading."""
    findings = []
    for path in sorted(path for pattern in PAGES for path in root.glob(pattern)):
        findings += broken_links_of(path.relative_to(root), path.read_text(), root, path.parent)
    for path in notebook_sources(root):
        findings += broken_links_of(path.relative_to(root), notebook_text(path), root, root / "notebooks")
    return findings


def broken_links_of(name: Path, text: str, root: Path, folder: Path) -> list[str]:
    """The broken relative links of one text; `folder` is where its links start."""
    findings = []
    for link in links(text):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (folder / unquote(parts.path)).resolve() if parts.path else None
        if target is not None and not target.exists():
            findings.append(f"{name}: link to {link}: no such file")
        elif target is not None and not target.is_relative_to(root.resolve()):
            findings.append(f"{name}: link to {link}: leaves the repository")
        elif parts.fragment and not has_anchor(target, text, parts.fragment):
            findings.append(f"{name}: link to {link}: no such heading")
    return findings


def has_anchor(target: Path | None, text: str, fragment: str) -> bool:
    """True when the target (or, for None, `text` itself) has the heading; True for files without headings."""
    if target is not None:
        if target.suffix == ".ipynb":
            text = notebook_text(target)
        elif target.suffix == ".md":
            text = target.read_text()
        else:
            return True
    slugs = {token.attrGet("id") for token in MARKDOWN.parse(text) if token.type == "heading_open"}
    jupyter = {heading.replace(" ", "-") for heading in headings(text)}
    return unquote(fragment) in slugs | jupyter


def coverage_gaps(root: Path) -> list[str]:
    """Curriculum items that the map lacks, names twice, or sends to no section, or to one in which nothing runs."""
    findings, seen = [], set()
    places = {path.stem: sections(path) for path in notebook_sources(root)}
    for item, where in coverage_rows((root / COVERAGE).read_text()):
        if item in seen:
            findings.append(f"{COVERAGE}: {item} stands there twice")
        if item not in ITEMS:
            findings.append(f"{COVERAGE}: {item} is no item of the curriculum")
        seen.add(item)
        for entry in [] if where == OPEN else where.split(";"):
            notebook, arrow, section = (part.strip() for part in entry.partition("->"))
            if not arrow:
                findings.append(
                    f'{COVERAGE}: {item}: "{entry.strip()}" is neither "{OPEN}" nor "notebook -> section"'
                )
            elif notebook not in places:
                findings.append(f"{COVERAGE}: {item}: no notebook notebooks/src/{notebook}.py")
            elif section not in places[notebook]:
                findings.append(f'{COVERAGE}: {item}: {notebook} has no section "{section}"')
            elif item not in WORDS_ONLY and not places[notebook][section]:
                findings.append(f'{COVERAGE}: {item}: {notebook} has no cell that runs under "{section}"')
    return findings + [f"{COVERAGE}: {item} is missing" for item in ITEMS if item not in seen]


def sections(path: Path) -> dict[str, list]:
    """The code cells that stand under each heading of a notebook or of its source, up to the next heading."""
    found, heading = {}, ""
    for cell in jupytext.read(path).cells:
        if cell.cell_type == "markdown":
            for heading in headings(cell.source):
                found.setdefault(heading, [])
        elif cell.cell_type == "code":
            found.setdefault(heading, []).append(cell)
    return found


def coverage_rows(text: str) -> list[tuple[str, str]]:
    """(item, where) of every row of the map's table."""
    rows = re.findall(r"^\|\s*([A-Z]\d+)\s*\|[^|]*\|\s*([^|]*?)\s*\|\s*$", text, re.MULTILINE)
    return [(item, where) for item, where in rows]


def forbidden_names(root: Path) -> list[str]:
    """Files under version control that name a package registry's host or a path of this machine."""
    folders = [path for path in (root.resolve(), Path.home()) if len(path.parts) > 2 or path == Path("/root")]
    names = [*REGISTRY_HOSTS, *(f"{path}/" for path in folders)]
    pattern = re.compile("|".join(map(re.escape, names)))
    findings = []
    for path in tracked_files(root):
        try:
            lines = path.read_text().splitlines()
        except (UnicodeDecodeError, OSError):  # binary, or deleted but not yet committed
            continue
        findings += [
            f"{path.relative_to(root)}:{number}: names {found.group()}"
            for number, line in enumerate(lines, start=1)
            if (found := pattern.search(line))
        ]
    return findings


def tracked_files(root: Path) -> list[Path]:
    """What git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [root / name for name in listed.split("\0") if name]


def notebook_sources(root: Path) -> list[Path]:
    """The notebooks' sources, in course order."""
    return sorted((root / "notebooks" / "src").glob("[0-9]*.py"))


def notebook_text(path: Path) -> str:
    """The markdown cells of a notebook or of its source, one blank line between them."""
    cells = jupytext.read(path).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def headings(text: str) -> list[str]:
    """The headings of a markdown text, without their marks."""
    tokens = MARKDOWN.parse(text)
    return [
        after.content
        for token, after in zip(tokens, tokens[1:], strict=False)
        if token.type == "heading_open"
    ]


def links(text: str) -> list[str]:
    """Targets of the links and images of a markdown text."""
    inline = [child for token in MARKDOWN.parse(text) for child in token.children or []]
    return [
        token.attrGet("href") or token.attrGet("src")
        for token in inline
        if token.type in {"link_open", "image"}
    ]


if __name__ == "__main__":
    sys.exit(main())
