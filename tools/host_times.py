"""Write the minutes of each notebook and the timetables into HOSTING.md; --check fails where they are others.

Minutes to run and to read are what the notebook itself states (tools/course_table.py counts the latter); a time for
each exercise comes on top. The timetables add these up, with breaks; look at their last lines.
"""

import sys
from pathlib import Path

from course_table import LINES_A_MINUTE, WORDS_A_MINUTE, Notebook, notebooks
from generated import COUNTS_END, COUNTS_START

ROOT = Path(__file__).resolve().parent.parent
MINUTES_AN_EXERCISE = 6
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
        ("05", "07", "break", "10", "09", "lunch", "12", "own", "break", "exam"),
    ],
}
PAUSES = {  # what, minutes, machine
    "break": ("break", 15, ""), "lunch": ("lunch", 60, ""),
    "own": ("own data: `ftlab check`, a recipe of four lines, `ftlab run` started", 60, "laptop; a T4 for 1B and more"),
}  # fmt: skip
EXAM, EXAM_MINUTES = "18", 90  # in a timetable "exam" is this notebook, whose questions want more than its words


def block(each: Notebook) -> int:
    """Minutes in a timetable: run, read, exercises, rounded up."""
    if number(each) == EXAM:
        return EXAM_MINUTES
    return -(-(each.run + each.read + each.exercises * MINUTES_AN_EXERCISE) // STEP) * STEP


def table(course: list[Notebook]) -> str:
    lines = ["| notebook | run | words | lines of code | read | exercises | block |", "|---|---|---|---|---|---|---|"]
    for each in course:
        cells = (link(each), each.run, f"{each.words:,}", each.lines, each.read, each.exercises, block(each))
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def number(each: Notebook) -> str:
    return each.name.split("_")[0]


def link(each: Notebook) -> str:
    return f"[{number(each)} {each.title}](notebooks/{each.name}.ipynb)"


def clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def hardware(name: str, root: Path) -> str:
    """What the table of README says that a notebook runs on; any machine is a laptop or Colab."""
    lines = (root / "README.md").read_text(encoding="utf-8").splitlines()
    row = next(line for line in lines if line.startswith("|") and f"{name}.ipynb)" in line)
    return row.strip("| ").split(" | ")[-1].replace("any", "laptop or Colab", 1)


def timetable(title: str, days: list[tuple], course: list[Notebook], root: Path) -> str:
    """One table a plan, a line a block."""
    by_number = {number(each): each for each in course}
    lines = [f"### {title}", "", "| from | minutes | what | machine |", "|---|---|---|---|"]
    for at, day in enumerate(days, start=1):
        before = f"{at}, " if len(days) > 1 else ""
        chosen = {item: by_number[EXAM if item == "exam" else item] for item in day if item not in PAUSES}
        blocks = [PAUSES.get(item) or block_of(chosen[item], root) for item in day]
        blocks = [OPEN] * (at == 1) + blocks + [CLOSE] * (at == len(days))
        now = START
        for what, minutes, machine in blocks:
            lines.append(f"| {before}{clock(now)} | {minutes} | {what} | {machine} |")
            now += minutes
        lines.append(f"| {before}{clock(now)} | | end | |")
    return "\n".join(lines)


def block_of(each: Notebook, root: Path) -> tuple[str, int, str]:
    return link(each), block(each), hardware(each.name, root)


def written(root: Path = ROOT) -> str:
    """HOSTING.md as it should be."""
    course = notebooks(root)
    paces = (
        f"All in minutes. Read and block are computed: {WORDS_A_MINUTE} words and {LINES_A_MINUTE} lines of code a "
        f"minute, {MINUTES_AN_EXERCISE} minutes an\nexercise, rounded up to {STEP}: paces of our choice, not measured."
    )
    plans = [timetable(title, days, course, root) for title, days in PLANS.items()]
    made = "\n\n".join([paces, table(course), *plans])
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
