"""Write the minutes of each notebook and the timetables into HOSTING.md; --check fails where they are others.

Run minutes are what the notebook itself states. Reading is computed: its words and its lines of code, at the paces
below, and a time for each exercise. The timetables add these up, with breaks; look at their last lines.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from generated import COUNTS_END, COUNTS_START
from notebook_source import read_source, tags, variant

ROOT = Path(__file__).resolve().parent.parent
WORDS_A_MINUTE, LINES_A_MINUTE, MINUTES_AN_EXERCISE = 200, 25, 6
START = 9 * 60  # minutes after midnight
STEP = 5  # blocks are rounded up to so many minutes
OPEN = ("welcome: who is here, with which case of their own", 15, "")
CLOSE = ("what each will do on Monday", 15, "")
# title: a tuple a day, of numbers of notebooks and of what lies between them
PLANS = {
    "Half a day: may it ship?": [("00", "02", "break", "03", "break", "07")],
    "One day: from a case to a verdict": [("00", "02", "03", "break", "04", "lunch", "06", "break", "07", "exam")],
    "Two days: the whole way, with your own data": [
        ("00", "01", "break", "02", "03", "lunch", "04", "break", "06", "11"),
        ("07", "break", "10", "09", "lunch", "12", "own", "break", "exam"),
    ],
}
PAUSES = {  # what, minutes, machine
    "break": ("break", 15, ""), "lunch": ("lunch", 60, ""),
    "own": ("own data: `ftlab check`, a recipe of four lines, `ftlab run` started", 60, "laptop; a T4 for 1B and more"),
}  # fmt: skip
EXAM = "18"  # in a timetable "exam" is this notebook


@dataclass(frozen=True)
class Times:
    """One notebook: what it states, and what is counted in it."""

    name: str
    title: str
    run: int
    words: int
    lines: int
    exercises: int

    @property
    def reading(self) -> int:
        return round(self.words / WORDS_A_MINUTE + self.lines / LINES_A_MINUTE)

    @property
    def block(self) -> int:
        """Minutes in a timetable: run, read, exercises, rounded up."""
        return -(-(self.run + self.reading + self.exercises * MINUTES_AN_EXERCISE) // STEP) * STEP


def times_of(path: Path) -> Times:
    """What the source of a notebook states, and what it holds for learners."""
    cells = variant(read_source(path), solved=False).cells
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    code = [cell for cell in cells if cell.cell_type == "code"]
    words = len(re.sub(r"\]\([^)]*\)", "]", " ".join(texts)).split())
    lines = sum(bool(line.strip()) for cell in code for line in cell.source.splitlines())
    exercises = sum("exercise" in tags(cell) for cell in code)
    run = int(re.search(r"\*\*Minutes:\*\* (\d+)", texts[0])[1])
    title = re.search(r"^# (.+)$", texts[0], re.MULTILINE)[1]
    return Times(path.stem, title, run, words, lines, exercises)


def table(notebooks: dict[str, Times]) -> str:
    lines = ["| notebook | run | words | lines of code | read | exercises | block |", "|---|---|---|---|---|---|---|"]
    for each in notebooks.values():
        cells = (link(each), each.run, f"{each.words:,}", each.lines, each.reading, each.exercises, each.block)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def link(each: Times) -> str:
    return f"[{each.name[:2]} {each.title}](notebooks/{each.name}.ipynb)"


def clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def hardware(name: str, root: Path) -> str:
    """What the table of README says that a notebook runs on; any machine is a laptop or Colab."""
    lines = (root / "README.md").read_text(encoding="utf-8").splitlines()
    row = next(line for line in lines if line.startswith("|") and f"{name}.ipynb)" in line)
    return row.strip("| ").split(" | ")[-1].replace("any", "laptop or Colab", 1)


def timetable(title: str, days: list[tuple], notebooks: dict[str, Times], root: Path) -> str:
    """One table a plan, a line a block."""
    lines = [f"### {title}", "", "| from | minutes | what | machine |", "|---|---|---|---|"]
    for number, day in enumerate(days, start=1):
        before = f"{number}, " if len(days) > 1 else ""
        chosen = {item: notebooks[EXAM if item == "exam" else item] for item in day if item not in PAUSES}
        blocks = [PAUSES.get(item) or block_of(chosen[item], root) for item in day]
        blocks = [OPEN] * (number == 1) + blocks + [CLOSE] * (number == len(days))
        now = START
        for what, minutes, machine in blocks:
            lines.append(f"| {before}{clock(now)} | {minutes} | {what} | {machine} |")
            now += minutes
        lines.append(f"| {before}{clock(now)} | | end | |")
    return "\n".join(lines)


def block_of(each: Times, root: Path) -> tuple[str, int, str]:
    return link(each), each.block, hardware(each.name, root)


def written(root: Path = ROOT) -> str:
    """HOSTING.md as it should be."""
    notebooks = {path.stem[:2]: times_of(path) for path in sorted((root / "notebooks/src").glob("[0-9]*.py"))}
    paces = (
        f"All in minutes. Read and block are computed: {WORDS_A_MINUTE} words and {LINES_A_MINUTE} lines of code a "
        f"minute, {MINUTES_AN_EXERCISE} minutes an\nexercise, rounded up to {STEP}: paces of our choice, not measured."
    )
    plans = [timetable(title, days, notebooks, root) for title, days in PLANS.items()]
    made = "\n\n".join([paces, table(notebooks), *plans])
    before, rest = (root / "HOSTING.md").read_text(encoding="utf-8").split(COUNTS_START)
    return f"{before}{COUNTS_START}\n{made}\n{COUNTS_END}{rest.split(COUNTS_END)[1]}"


def main() -> int:
    now = written()
    if sys.argv[1:] == ["--check"]:
        if now != (ROOT / "HOSTING.md").read_text(encoding="utf-8"):
            print("HOSTING.md: minutes differ from the notebooks'; run tools/host_times.py", file=sys.stderr)
            return 1
        return 0
    (ROOT / "HOSTING.md").write_text(now, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
