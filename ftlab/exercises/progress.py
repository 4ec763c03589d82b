"""Which exercises are solved, read from the outputs that the notebooks were saved with."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from ftlab.errors import DataError

GRADE = re.compile(r"^(\S.*): (solved|wrong|not solved yet)$", re.MULTILINE)  # as a `Grade` begins
PLACES = "name the folder with the course's notebooks (--notebooks)"


@dataclass(frozen=True)
class Solved:
    """The exercises of one notebook, by name what their check said last."""

    notebook: str
    statuses: dict[str, str]

    @property
    def solved(self) -> int:
        return sum(status == "solved" for status in self.statuses.values())

    def __repr__(self) -> str:
        left = [f"{name} ({status})" if status == "wrong" else name for name, status in self.statuses.items()
                if status != "solved"]  # fmt: skip
        return f"{self.solved:2} of {len(self.statuses):2}  {self.notebook:<30}  {', '.join(left)}".rstrip()


def progress(folder: Path) -> list[Solved]:
    """One line for each notebook that has exercises; DataError for a folder without notebooks."""
    paths = sorted(folder.glob("[0-9]*.ipynb"))
    if not paths:
        raise DataError(f"{folder}: no notebooks there; {PLACES}")
    found = [Solved(path.stem, statuses(path)) for path in paths]
    return [each for each in found if each.statuses]


def statuses(path: Path) -> dict[str, str]:
    """What the checks of a saved notebook said, in the order of its cells."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: no notebook that can be read ({error}); save it again, or take it out") from error
    outputs = (output for cell in cells for output in cell.get("outputs", []))
    text = "\n".join("".join(output.get("text", "")) for output in outputs)
    return dict(GRADE.findall(text))
