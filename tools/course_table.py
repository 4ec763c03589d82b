"""The course at a glance: minutes to read in each first cell, the table in 00_start_here, minutes in README's table.

    .venv/bin/python tools/course_table.py              print words, lines of code, minutes and exercises
    .venv/bin/python tools/course_table.py --write      write them into the first cells, the table of 00 and README

Prose is read at 200 words a minute, code at 30 lines a minute; exercises and the wait for a cell come on top.
`make check` names a first cell whose minutes to read are off by more than two minutes and a tenth, and a table that is
not what is there.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import jupytext

ROOT = Path(__file__).resolve().parent.parent
WORDS_A_MINUTE, LINES_A_MINUTE = 200, 30
STATED = re.compile(r"(\*\*Minutes:\*\* )(?:(\d+) to read, )?(\d+)(?: to run)?")
LEVEL = re.compile(r"\*\*Exercise \(level ([123])\)\.\*\*")
HOLDS_THE_TABLE = "00_start_here"
TABLE = re.compile(r"(?<=# <!-- the course -->\n).*?(?=# <!-- end of the course -->)", flags=re.S)
HEAD = ["| notebook | the question it answers | read | run | exercises |", "|---|---|---|---|---|"]


@dataclass(frozen=True)
class Notebook:
    """One source: what its first cell says, and what was counted. Minutes are whole."""

    name: str
    title: str
    question: str
    words: int
    lines: int
    exercises: int
    stated: int | None
    run: int

    @property
    def to_read(self) -> int:
        return max(1, round(self.words / WORDS_A_MINUTE + self.lines / LINES_A_MINUTE))

    @property
    def is_off(self) -> bool:
        return self.stated is None or abs(self.stated - self.to_read) > 2 + 0.1 * self.to_read

    @property
    def read(self) -> int:
        """The minutes to read that it shall state."""
        return self.to_read if self.is_off else self.stated


def look_at(path: Path) -> Notebook:
    """Read one source; what stands in a code fence is code, and the target of a link is not read."""
    words = lines = exercises = 0
    cells = [cell for cell in jupytext.read(path).cells if cell.cell_type != "raw"]  # raw is the header
    for cell in cells:
        is_text = cell.cell_type == "markdown"
        code = re.findall(r"```.*?```", cell.source, flags=re.S) if is_text else [cell.source]
        lines += sum(bool(line.strip()) for text in code for line in text.splitlines())
        exercises += "exercise" in cell.metadata.get("tags", [])
        if is_text:
            prose = re.sub(r"```.*?```|\]\([^)]*\)|<[^>]*>", " ", cell.source, flags=re.S)
            words += len(re.findall(r"\w[\w'’.-]*", prose))
    first = next(cell.source for cell in cells if cell.cell_type == "markdown")
    title = re.search(r"^# (.+)", first, flags=re.M)[1]
    question = " ".join(re.search(r"\*\*Question:\*\* (.*?\?)", first, flags=re.S)[1].split())
    _, stated, run = STATED.search(first).groups()
    return Notebook(path.stem, title, question, words, lines, exercises, int(stated) if stated else None, int(run))


def notebooks(root: Path) -> list[Notebook]:
    return [look_at(path) for path in sorted((root / "notebooks/src").glob("[0-9]*.py"))]


def table(course: list[Notebook]) -> str:
    """The table of 00, as comment lines of a source."""
    rows = [
        f"| [{each.name.split('_')[0]} {each.title}]({each.name}.ipynb) | {each.question} | {each.read} | {each.run} "
        f"| {each.exercises or ''} |"
        for each in course
    ]
    return "".join(f"# {line}\n" for line in HEAD + rows)


def findings(root: Path) -> list[str]:
    """One line for each first cell and each table that is off."""
    course, holder = notebooks(root), root / f"notebooks/src/{HOLDS_THE_TABLE}.py"
    found = [
        f"notebooks/src/{each.name}.py: takes about {each.to_read} minutes to read and states {each.stated or 'none'}"
        for each in course
        if each.is_off
    ]
    if holder.is_file() and TABLE.findall(holder.read_text()) != [table(course)]:
        found.append(f"notebooks/src/{HOLDS_THE_TABLE}.py: its table of the course is not what is there")
    return [f"{line}. Run: python tools/course_table.py --write" for line in found]


def write(root: Path) -> None:
    """Put the minutes into first cells and README's rows, and the table into 00."""
    course, readme = notebooks(root), (root / "README.md").read_text()
    for each in course:
        path = root / f"notebooks/src/{each.name}.py"
        text = STATED.sub(rf"\g<1>{each.read} to read, \g<3> to run", path.read_text(), count=1)
        path.write_text(TABLE.sub(lambda _: table(course), text) if each.name == HOLDS_THE_TABLE else text)
        row = re.compile(rf"^(\|.*notebooks/{each.name}\.ipynb.*\| )[\d /]+( \|[^|]*\|)$", flags=re.M)
        readme = row.sub(rf"\g<1>{each.read} / {each.run}\g<2>", readme)
    (root / "README.md").write_text(readme)


def main() -> int:
    """The command line."""
    if "--write" in sys.argv:
        write(ROOT)
    print(f"{'notebook':30} {'words':>6} {'lines':>6} {'read':>5} {'run':>4} {'exercises':>10}")
    for each in notebooks(ROOT):
        print(f"{each.name:30} {each.words:6,} {each.lines:6,} {each.read:5} {each.run:4} {each.exercises:10}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
