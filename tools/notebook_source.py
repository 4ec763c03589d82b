"""Notebook sources: notebooks/src/NN_verb_object.py read, checked, and turned into a notebook."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
import yaml

STAMP = "colab"  # the tag of the cells that `make publish` adds to a built notebook


class BuildError(Exception):
    """A source or an output that must be corrected; says where and how."""


@dataclass(frozen=True)
class Source:
    """One file of notebooks/src, read and validated."""

    path: Path
    name: str
    header: dict
    notebook: nbformat.NotebookNode
    has_exercises: bool


def read_source(path: Path) -> Source:
    """Parse header and cells; raises BuildError with file and line for what is missing."""
    lines = path.read_text(encoding="utf-8").split("\n")
    if lines[0] != "# ---" or "# ---" not in lines[1:]:
        raise BuildError(f"{path.name}:1: no YAML header. Start the file with '# ---', '# ftlab:', ..., '# ---'.")
    end = lines.index("# ---", 1)
    header = yaml.safe_load("\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[1:end])) or {}
    settings = header.get("ftlab") if isinstance(header, dict) else None
    unknown = sorted(set(settings) - {"reads", "headline"}) if isinstance(settings, dict) else ["no mapping 'ftlab'"]
    if unknown or not isinstance(settings.get("reads"), list):
        raise BuildError(
            f"{path.name}:2: the header needs 'ftlab:' with 'reads: [globs of data files]' (may be []) "
            f"and optionally 'headline'; found: {', '.join(unknown) or 'no list reads'}."
        )
    body = lines[end + 1 :]
    starts = [end + 2 + i for i, line in enumerate(body) if re.match(r"# %%($|[ \t])", line)]
    first_text = next((end + 2 + i for i, line in enumerate(body) if line.strip()), None)
    if not starts or first_text != starts[0]:
        raise BuildError(
            f"{path.name}:{first_text or end + 2}: the first line after the header must be '# %% [markdown]'."
        )
    notebook = jupytext.reads("\n".join(body).lstrip(), fmt="py:percent")
    if len(notebook.cells) != len(starts):
        raise BuildError(f"{path.name}: {len(starts)} lines '# %%' but {len(notebook.cells)} cells; check the markers.")
    first = notebook.cells[0]
    required = {"Question": r"\bquestion\b", "Minutes": r"\bminutes?\b", "Hardware": r"\bhardware\b"}
    missing = [key for key, word in required.items() if not re.search(word, first.source, re.IGNORECASE)]
    if first.cell_type != "markdown" or missing or not re.search(r"\d", first.source):
        raise BuildError(
            f"{path.name}:{starts[0]}: the first cell must be markdown and state Question, Minutes (a number)"
            f" and Hardware; missing: {', '.join(missing) or 'a number of minutes, or a markdown cell'}."
        )
    for cell, line in zip(notebook.cells, starts, strict=True):
        cell.metadata["source_line"] = line + 1
        if cell.cell_type == "code":
            solve(cell, path.name, keep=True)
    exercises = any("exercise" in tags(cell) for cell in notebook.cells)
    return Source(path, path.stem, settings, notebook, exercises)


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def solve(cell, name: str, keep: bool) -> str:
    """The cell's code with its solutions (`keep`) or with stubs; BuildError on markers that do not pair."""
    out, inside, found = [], False, False
    for number, line in enumerate(cell.source.split("\n"), start=cell.metadata["source_line"]):
        marker = line.strip()
        if marker in ("# solution", "# end solution"):
            if (marker == "# solution") == inside or "exercise" not in tags(cell):
                raise BuildError(
                    f"{name}:{number}: '{marker}' is out of place. Write '# solution' and '# end solution' "
                    f'in pairs, in a cell tagged "exercise".'
                )
            inside, found = not inside, True
            if inside and not keep:
                indent = line[: len(line) - len(line.lstrip())]
                out += [f"{indent}# your code here", f"{indent}..."]
        elif keep or not inside:
            out.append(line)
    if inside or ("exercise" in tags(cell) and not found):
        raise BuildError(
            f"{name}:{cell.metadata['source_line']}: the exercise needs '# solution' and '# end solution'."
        )
    return "\n".join(out)


def variant(source: Source, solved: bool) -> nbformat.NotebookNode:
    """A fresh notebook of the source: for learners, or with the exercises solved; ids come from the text."""
    notebook = nbformat.v4.new_notebook()
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    seen: dict[str, int] = {}
    for cell in source.notebook.cells:
        text = solve(cell, source.path.name, keep=solved) if cell.cell_type == "code" else cell.source
        text = one_folder_down(text) if solved else text
        new = {
            "code": nbformat.v4.new_code_cell,
            "markdown": nbformat.v4.new_markdown_cell,
            "raw": nbformat.v4.new_raw_cell,
        }[cell.cell_type](text)
        new.metadata.update(cell.metadata)
        new.id = cell_id(text, seen)
        notebook.cells.append(new)
    return notebook


def one_folder_down(text: str) -> str:
    """The cell for notebooks/solutions: its paths and links lead where those of the open notebook lead."""
    return re.sub(r"\]\((?=[\w.-]+\.(ipynb|md)\b)", "](../", text.replace("../", "../../"))


def cell_id(text: str, seen: dict[str, int]) -> str:
    """An id that changes only with the cell's own text, so that a rebuild touches few lines."""
    digest = sha(text.encode())
    seen[digest] = seen.get(digest, 0) + 1
    return digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def targets(source: Source, root: Path) -> list[tuple[Path, bool]]:
    """The files built from a source, each with whether its exercises are solved."""
    folder = root / "notebooks"
    built = [(folder / f"{source.name}.ipynb", False)]
    return [*built, (folder / "solutions" / f"{source.name}.ipynb", True)] if source.has_exercises else built
