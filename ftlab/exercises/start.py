"""The exercise of notebook 00."""

import json

from ftlab.exercises.engine import Exercise
from ftlab.models import data_folder

REPORT = data_folder() / "recorded" / "triage" / "report.json"


def strongest_rival():
    """The system that has most fields right in the recorded contest, the fine-tuned one aside."""
    systems = json.loads(REPORT.read_text(encoding="utf-8"))["systems"]
    rivals = {name: found["field_accuracy"]["value"] for name, found in systems.items() if name != "fine_tuned"}
    return max(rivals, key=rivals.get)


check_strongest_rival = Exercise("the strongest rival", strongest_rival, trials=[
    ((), "of all rows but `fine tuned`, its dot lies furthest to the right"),
], mistakes=[
    (lambda: "fine tuned", "you named the fine-tune itself. A rival is what it has to beat."),
    (lambda: "base", "you compared with the model before training. Better than nothing is no bar."),
    (lambda: "constrained",
     "you took the best prompt. One row reads no language at all, only counts words, and lies further to the right."),
])  # fmt: skip
