"""Stamp the built notebooks for Colab: make publish REPO=owner/name (REPO=none takes the stamps off again).

Each gets, below its title, a badge that opens it on Colab from that GitHub repository and a cell that makes Colab or
Kaggle ready (tools/on_colab.py); on any other machine the cell does nothing. Nothing is sent anywhere: commit and push
afterwards. A notebook that is built anew keeps its stamp.
"""

import re
import sys
from pathlib import Path

import nbformat
from notebook_source import STAMP, tags

from ftlab.files import whole_file

ROOT = Path(__file__).resolve().parent.parent
BRANCH = "main"
BADGE = (
    "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    "(https://colab.research.google.com/github/{repo}/blob/{branch}/{path})"
)
CELL = """\
# On Colab or Kaggle, run this first (some minutes, once in a session). Elsewhere it does nothing.
import os
import sys

if {{"COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE"}} & set(os.environ):
    ![ -d ~/{name} ] || git clone --quiet --depth 1 --branch {branch} https://github.com/{repo} ~/{name}
    sys.path.insert(0, os.path.expanduser("~/{name}/tools"))
    import on_colab

    on_colab.prepare(drive=False)  # on Colab, drive=True: checkpoints on your Google Drive, for the next session"""


def stamp(notebook, repo: str | None, path: str) -> None:
    """Put badge and cell of a repository below the title, or take them away where `repo` is None."""
    notebook.cells = [cell for cell in notebook.cells if STAMP not in tags(cell)]
    notebook.metadata["ftlab"].pop("repo", None)
    if repo is None:
        return
    notebook.metadata["ftlab"]["repo"] = repo
    given = {"repo": repo, "name": repo.split("/")[1], "branch": BRANCH, "path": path}
    badge, cell = nbformat.v4.new_markdown_cell(BADGE.format(**given)), nbformat.v4.new_code_cell(CELL.format(**given))
    for number, new in enumerate((badge, cell)):
        new.metadata["tags"] = [STAMP]
        new.id = f"{STAMP}-{number}"
        notebook.cells.insert(1 + number, new)


def stamped_with(path: Path) -> str | None:
    """The repository in a built notebook's stamp, if it has one."""
    return nbformat.read(path, as_version=4).metadata.get("ftlab", {}).get("repo") if path.is_file() else None


def main(arguments: list[str], root: Path = ROOT) -> int:
    if len(arguments) != 1 or not re.fullmatch(r"[\w.-]+/[\w.-]+|none", arguments[0]):
        print("name the GitHub repository: make publish REPO=owner/name", file=sys.stderr)
        return 2
    repo = None if arguments[0] == "none" else arguments[0]
    built = sorted([*root.glob("notebooks/*.ipynb"), *root.glob("notebooks/solutions/*.ipynb")])
    for path in built:
        notebook = nbformat.read(path, as_version=4)
        stamp(notebook, repo, path.relative_to(root).as_posix())
        with whole_file(path) as file:
            file.write(nbformat.writes(notebook).rstrip("\n").encode() + b"\n")
    told = f"open on Colab from github.com/{repo}, branch {BRANCH}: commit and push them" if repo else "have no stamp"
    print(f"{len(built)} notebooks {told}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
