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
MINUTES_A_CASE, CASES = 3, {"08": 13}  # an exercise that asks for one diagnosis after the other
START = 9 * 60  # minutes after midnight
STEP = 5  # blocks are rounded up to so many minutes
OPEN = ("welcome: who is here, with which case of their own", 15, "")
CLOSE = ("what each will do on Monday", 15, "")
# title: a tuple a day, of numbers of notebooks and of what lies between them; "exam ACD" are these parts of the exam
PLANS = {
    "Half a day: may it ship?": [("00", "02", "03", "break", "07", "exam A")],
    "Half a day on Colab's T4: train, then judge": [("colab", "02", "06", "break", "07", "exam A")],
    "One day: from a case to a verdict": [
        ("00", "02", "03", "break", "04", "lunch", "06", "break", "07", "10", "break", "exam ACD"),
    ],
    "Two days: the whole way, with your own data": [
        ("00", "01", "break", "02", "03", "lunch", "04", "06", "break", "05", "07", "break", "11"),
        ("08", "break", "10", "09", "lunch", "12", "own", "break", "exam ABCD"),
    ],
}
NOTES = {  # under the title of a plan
    "Half a day on Colab's T4: train, then judge": (
        "Planned, not measured: none of it has been run on Colab or on a T4. The notebooks' minutes are those of the "
        "table above, in\nwhich 06 trains `nano`; what a larger model takes on a T4 nobody has timed. Start it before "
        "the break and let it train through\nthe break; a person without a T4 takes `MODEL = \"nano\"`."
    ),
}
SETUP = (
    "set-up: 02, 06, 07 and 18 opened by their badges, 06 on a T4 runtime; the first cell once in each; then `MODEL` "
    "in 06 and its cells down to `will_it_fit`"
)
PAUSES = {  # what, minutes, machine
    "break": ("break", 15, ""), "lunch": ("lunch", 60, ""),
    "colab": (SETUP, 30, "Colab; a T4 for 06"),
    "own": ("own data: `ftlab check`, a recipe of four lines, `ftlab run` started", 60, "laptop; a T4 for 1B and more"),
}  # fmt: skip
EXAM = "18"
EXAM_MINUTES = {"A": 10, "B": 25, "C": 35, "D": 20}  # by somebody who sat it: its questions want more than its words
EXAM_NEEDS = {"A": ("02",), "B": ("08",), "C": ("04", "06", "07"), "D": ("06", "07", "10")}  # what a part rests on


def block(each: Notebook) -> int:
    """Minutes in a timetable: run, read, exercises, rounded up."""
    if number(each) == EXAM:
        return sum(EXAM_MINUTES.values())
    cases = CASES.get(number(each))
    exercises = MINUTES_A_CASE * cases if cases else MINUTES_AN_EXERCISE * each.exercises
    return -(-(each.run + each.read + exercises) // STEP) * STEP


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
    lines = [f"### {title}", "", *([NOTES[title], ""] if title in NOTES else [])]
    lines += ["| from | minutes | what | machine |", "|---|---|---|---|"]
    for at, day in enumerate(days, start=1):
        before = f"{at}, " if len(days) > 1 else ""
        blocks = [PAUSES.get(item) or block_of(item, by_number, root) for item in day]
        blocks = [OPEN] * (at == 1) + blocks + [CLOSE] * (at == len(days))
        now = START
        for what, minutes, machine in blocks:
            lines.append(f"| {before}{clock(now)} | {minutes} | {what} | {machine} |")
            now += minutes
        lines.append(f"| {before}{clock(now)} | | end | |")
    return "\n".join(lines)


def block_of(item: str, by_number: dict[str, Notebook], root: Path) -> tuple[str, int, str]:
    """What, minutes and machine of a notebook, or of the parts of the exam that are named after it."""
    parts = item.removeprefix("exam ") if item.startswith("exam") else ""
    each = by_number[EXAM if parts else item]
    named = " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1:]]))
    some = f": {named}" if parts and set(parts) < set(EXAM_MINUTES) else ""
    minutes = sum(EXAM_MINUTES[part] for part in parts) if parts else block(each)
    return link(each) + some, minutes, hardware(each.name, root)


def written(root: Path = ROOT) -> str:
    """HOSTING.md as it should be."""
    course = notebooks(root)
    paces = (
        f"All in minutes. Read and block are computed: {WORDS_A_MINUTE} words and {LINES_A_MINUTE} lines of code a "
        f"minute, {MINUTES_AN_EXERCISE} minutes an\nexercise ({MINUTES_A_CASE} for each of the {CASES['08']} cases "
        f"of 08), rounded up to {STEP}: paces of our choice, not measured. The exam's\nminutes are an estimate of "
        "somebody who sat it. No notebook has been run on Colab or on a T4 yet: there, all of this is planned,\nnot "
        "measured."
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
