"""Which built notebooks are up to date: hashes of their source, of the ftlab modules they import and of their data."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from notebook_source import STAMP, BuildError, Source, sha, tags, targets

FORMAT = "1"  # raise it when a change of the builder should rebuild every notebook


def imported_files(path: Path, root: Path, found: dict[Path, None] | None = None) -> list[Path]:
    """The files of `ftlab` that a Python file may import when it runs, directly or through others, and their texts.

    By its syntax tree: imports inside functions count, those under `if TYPE_CHECKING:` do not, for they never run. A
    module's texts are the YAML file of its name and, where it speaks of templates, those of its folder.
    """
    found = {} if found is None else found
    for name in sorted(imported_names(path, root)):
        parts = name.split(".")
        for depth in range(1, len(parts) + 1 if parts[0] == "ftlab" else 0):
            stem = root.joinpath(*parts[:depth])
            for file in (stem / "__init__.py", stem.with_suffix(".py"), stem.with_suffix(".yaml")):
                if file.is_file() and file not in found:
                    found[file] = None
                    if file.suffix == ".py":
                        if ".j2" in file.read_text(encoding="utf-8"):
                            found |= dict.fromkeys(file.parent.glob("*.j2"))
                        imported_files(file, root, found)
    return sorted(found)


def imported_names(path: Path, root: Path) -> set[str]:
    """Dotted names that may be modules: for `from a import b`, both `a` and `a.b`; the command for `!ftlab`."""
    text = path.read_text(encoding="utf-8")
    names = {"ftlab.cli"} if re.search(r"^\s*#?\s*[!%].*\bftlab\b", text, re.MULTILINE) else set()
    for node in running_nodes(ast.parse(text, filename=str(path))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(root).parts[: -node.level] if node.level else ()
            base = ".".join([*package, *([node.module] if node.module else [])])
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return names


def running_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a syntax tree but those under `if TYPE_CHECKING:`."""
    todo = [tree]
    while todo:
        node = todo.pop()
        yield node
        typing_only = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        todo += node.orelse if typing_only else ast.iter_child_nodes(node)


def stale_by_module(sources: list[Source], root: Path) -> list[str]:
    """One line for every file of ftlab: how many notebooks a change in it makes stale, and which."""
    reached = {source.name: imported_files(source.path, root) for source in sources}
    lines = [f"notebooks of {len(sources)} made stale by a change in each module:"]
    modules = [path for path in sorted((root / "ftlab").rglob("*.py")) if path.stat().st_size]  # empty ones aside
    for path in modules:
        stale = [name.split("_")[0] for name, files in reached.items() if path in files]
        lines.append(f"{len(stale):4}  {path.relative_to(root).as_posix():36} {' '.join(stale)}".rstrip())
    return [*lines, f"{sum(path in modules for files in reached.values() for path in files):4}  together"]


def inputs(source: Source, root: Path) -> dict[str, str]:
    """Short hashes of all that the built notebook depends on: source, imported ftlab files, data it reads."""
    files = {source.path, *imported_files(source.path, root)}
    for pattern in source.header["reads"]:
        matches = [path for path in root.glob(pattern) if path.is_file()]
        if not matches:
            raise BuildError(f"{source.path.name}: header: reads: '{pattern}' matches no file. Correct or remove it.")
        files.update(matches)
    hashes = {str(path.relative_to(root)): sha(path.read_bytes()) for path in files}
    return {"format": FORMAT} | dict(sorted(hashes.items()))


def cells_hash(notebook) -> str:
    """Of all cells but those with which `make publish` stamps a notebook."""
    built = [cell for cell in notebook.cells if STAMP not in tags(cell)]
    return sha(json.dumps(built, sort_keys=True).encode())


def staleness(path: Path, now: dict[str, str]) -> str:
    """Why a built notebook must be built again; empty when it is up to date."""
    if not path.is_file():
        return "missing"
    try:
        notebook = nbformat.read(path, as_version=4)
        built = notebook.metadata["ftlab"]
        before, cells = built["inputs"], built["cells_sha256"]
    except (ValueError, KeyError, AttributeError):
        return "not made by this build"
    if cells_hash(notebook) != cells:
        return "edited by hand (cells or outputs differ from what was built)"
    changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    return f"stale: changed {', '.join(changed)}" if changed else ""


def stale(sources: list[Source], root: Path) -> list[tuple[Source, Path, bool, str]]:
    """(source, file to build, whether its exercises are solved, why) for all that is not up to date."""
    return [
        (source, path, solved, why)
        for source in sources
        for path, solved in targets(source, root)
        if (why := staleness(path, inputs(source, root)))
    ]


def orphans(sources: list[Source], root: Path) -> list[str]:
    """One line for every built notebook that no source makes."""
    expected = {path for source in sources for path, _ in targets(source, root)}
    built = [*root.glob("notebooks/*.ipynb"), *root.glob("notebooks/solutions/*.ipynb")]
    return [
        f"{path.relative_to(root)}: has no source in notebooks/src (or no exercises): delete it"
        for path in sorted(built)
        if path not in expected
    ]
