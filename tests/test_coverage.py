"""The coverage map: each entry is a section with cells, and they were executed without an error."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import check  # noqa: E402

ENTRIES = sorted(
    {
        tuple(part.strip() for part in entry.split("->"))
        for item, where in check.coverage_rows((ROOT / check.COVERAGE).read_text(encoding="utf-8"))
        for entry in where.split(";")
        if where != check.OPEN and item not in check.WORDS_ONLY
    }
)
BUILT = {}


def built(notebook: str) -> dict[str, list]:
    if notebook not in BUILT:
        BUILT[notebook] = check.sections(ROOT / f"notebooks/{notebook}.ipynb")
    return BUILT[notebook]


def test_nothing_of_the_curriculum_is_open():
    rows = check.coverage_rows((ROOT / check.COVERAGE).read_text(encoding="utf-8"))
    assert [item for item, where in rows if where == check.OPEN] == []
    assert len(rows) == len(check.ITEMS)
    assert check.coverage_gaps(ROOT) == []


@pytest.mark.parametrize(("notebook", "section"), ENTRIES)
def test_the_cells_of_an_entry_were_executed_and_ended_well(notebook, section):
    cells = built(notebook)[section]
    assert cells
    assert all(cell.execution_count for cell in cells)
    assert [output for cell in cells for output in cell.outputs if output.output_type == "error"] == []


def made(folder: Path, text: str) -> Path:
    (folder / "notebooks/src").mkdir(parents=True)
    (folder / "notebooks/src/00_start_here.py").write_text(text)
    rows = [f"| {item} | what | open |\n" for item in check.ITEMS]
    rows[1] = "| C2 | what | 00_start_here -> Words |\n"
    (folder / "COVERAGE.md").write_text("".join(rows))
    return folder


def test_a_section_in_which_nothing_runs_is_a_gap(tmp_path):
    text = "# %% [markdown]\n# # Start here\n# ## Words\n#\n# None.\n# ## Cells\n\n# %%\n1 + 1\n"
    (found,) = check.coverage_gaps(made(tmp_path, text))
    assert found == 'COVERAGE.md: C2: 00_start_here has no cell that runs under "Words"'


def test_the_glossary_may_be_words(tmp_path):
    root = made(tmp_path, "# %% [markdown]\n# # Start here\n# ## Words\n#\n# None.\n")
    text = (root / "COVERAGE.md").read_text().replace("| C2 | what | 00_start_here -> Words |", "| C2 | what | open |")
    (root / "COVERAGE.md").write_text(text.replace("| C7 | what | open |", "| C7 | what | 00_start_here -> Words |"))
    assert check.coverage_gaps(root) == []
