"""Build, check and run the notebooks.

A source, notebooks/src/NN_verb_object.py (jupytext py:percent), becomes notebooks/NN_verb_object.ipynb with
the exercises open and, where it has exercises, notebooks/solutions/NN_verb_object.ipynb with them solved;
both are executed.

The source starts with a YAML header, every line behind "# " and between two lines "# ---":

    ftlab:
      reads: [data/support_triage/*.jsonl]   # files whose change makes the notebook stale (from the root)
      headline: field accuracy               # optional: what the output of the cell tagged "headline" is

and a first markdown cell that states Question, Minutes and Hardware. Cell tags: "exercise" (lines from
"# solution" to "# end solution" become a stub), "headline", "allow-stderr", "raises-exception".

Examples:
    python tools/build_notebooks.py                  build what is stale
    python tools/build_notebooks.py 03 07 --force    build these, stale or not
    python tools/build_notebooks.py --check          exit 1 if a notebook is missing, stale or edited by hand
    python tools/build_notebooks.py --run-all        run every built notebook, change no file
    python tools/build_notebooks.py --run-all --solutions      and the solved ones, which differ in the exercises only

Exit: 0 done, 1 findings or a failing cell, 2 a source that cannot be used.
"""

import argparse
import ast
import datetime
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import jupytext
import nbformat
import yaml
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).resolve().parent.parent
FORMAT = "1"  # raise it when a change here should rebuild every notebook
TIMEOUT_SECONDS = 15 * 60
MAX_OUTPUT_BYTES, MAX_NOTEBOOK_BYTES = 200_000, 1_500_000
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
PACKAGES = ["torch", "transformers", "trl", "peft", "unsloth"]

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
PROGRESS = re.compile(r"\d+%\|.*\|")
HERE_ONLY = re.compile(r"(?<![\w.:/\\-])/(?:home|root|Users|tmp|work|private|content|mnt)/[\w.-][^\s'\"<>]*")


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


@dataclass(frozen=True)
class Run:
    """What executing one notebook gave; `error` is empty when every cell passed."""

    name: str
    minutes: float
    headline: str
    error: str


# ---- sources ----------------------------------------------------------------------------------------------


def read_source(path: Path) -> Source:
    """Parse header and cells; raises BuildError with file and line for what is missing."""
    lines = path.read_text(encoding="utf-8").split("\n")
    if lines[0] != "# ---" or "# ---" not in lines[1:]:
        raise BuildError(
            f"{path.name}:1: no YAML header. Start the file with '# ---', '# ftlab:', ..., '# ---'."
        )
    end = lines.index("# ---", 1)
    header = (
        yaml.safe_load("\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[1:end])) or {}
    )
    settings = header.get("ftlab") if isinstance(header, dict) else None
    unknown = (
        sorted(set(settings) - {"reads", "headline"})
        if isinstance(settings, dict)
        else ["no mapping 'ftlab'"]
    )
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
        raise BuildError(
            f"{path.name}: {len(starts)} lines '# %%' but {len(notebook.cells)} cells; check the markers."
        )
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


# ---- freshness --------------------------------------------------------------------------------------------


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def imported_files(path: Path, root: Path, found: dict[Path, None] | None = None) -> list[Path]:
    """The files of `ftlab` that a Python file imports, directly or through others, by its syntax tree."""
    found = {} if found is None else found
    text = path.read_text(encoding="utf-8")
    names = {"ftlab.cli"} if re.search(r"^\s*#?\s*[!%].*\bftlab\b", text, re.MULTILINE) else set()
    for node in ast.walk(ast.parse(text, filename=str(path))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = path.relative_to(root).parts[: -node.level]
                base = ".".join([*package, *([node.module] if node.module else [])])
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    for name in sorted(names):
        parts = name.split(".")
        for depth in range(1, len(parts) + 1 if parts[0] == "ftlab" else 0):
            stem = root.joinpath(*parts[:depth])
            for file in (stem / "__init__.py", stem.with_suffix(".py")):
                if file.is_file() and file not in found:
                    found[file] = None
                    imported_files(file, root, found)
    return sorted(found)


def inputs(source: Source, root: Path) -> dict[str, str]:
    """Short hashes of all that the built notebook depends on: source, imported ftlab files, data it reads."""
    files = {source.path, *imported_files(source.path, root)}
    for pattern in source.header["reads"]:
        matches = [path for path in root.glob(pattern) if path.is_file()]
        if not matches:
            raise BuildError(
                f"{source.path.name}: header: reads: '{pattern}' matches no file. Correct or remove it."
            )
        files.update(matches)
    hashes = {str(path.relative_to(root)): sha(path.read_bytes()) for path in files}
    return {"format": FORMAT} | dict(sorted(hashes.items()))


def cells_hash(notebook) -> str:
    return sha(json.dumps(notebook.cells, sort_keys=True).encode())


def targets(source: Source, root: Path) -> list[tuple[Path, bool]]:
    """The files built from a source, each with whether its exercises are solved."""
    folder = root / "notebooks"
    built = [(folder / f"{source.name}.ipynb", False)]
    return [*built, (folder / "solutions" / f"{source.name}.ipynb", True)] if source.has_exercises else built


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


def findings(sources: list[Source], root: Path) -> list[str]:
    """One line for every built notebook that is missing, stale, edited by hand or without a source."""
    expected = {path: inputs(source, root) for source in sources for path, _ in targets(source, root)}
    lines = [
        f"{path.relative_to(root)}: {why}" for path, now in expected.items() if (why := staleness(path, now))
    ]
    for folder in (root / "notebooks", root / "notebooks" / "solutions"):
        lines += [
            f"{path.relative_to(root)}: has no source in notebooks/src (or no exercises): delete it"
            for path in sorted(folder.glob("*.ipynb"))
            if path not in expected
        ]
    return lines


# ---- execution --------------------------------------------------------------------------------------------


def execute(notebook, root: Path, name: str, strict: bool) -> Run:
    """Run all cells in a fresh kernel: offline, in the notebook's folder, with a temporary FTLAB_HOME."""
    started = time.monotonic()
    folder = (root / name).parent
    folder.mkdir(parents=True, exist_ok=True)
    at = {"index": 0}
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(folder)}},
        timeout_func=lambda cell: max(1, int(TIMEOUT_SECONDS - (time.monotonic() - started))),
        on_cell_start=lambda cell, cell_index: at.update(index=cell_index),
    )
    with tempfile.TemporaryDirectory(prefix="ftlab_runs_") as home:
        environment = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
        path = os.pathsep.join(filter(None, [str(root), str(ROOT), os.environ.get("PYTHONPATH")]))
        environment |= {
            "HF_HUB_OFFLINE": "1",
            "FTLAB_HOME": home,
            "PYTHONPATH": path,
            "PYTHONHASHSEED": "0",
            "FTLAB_STRICT_EXERCISES": "1" if strict else "0",
        }
        error = ""
        try:
            client.execute(env=environment)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as problem:
            error = explain(problem, name, notebook.cells[at["index"]], at["index"])
        minutes = (time.monotonic() - started) / 60
        for old, new in ((home, "runs"), (str(root), "."), (str(ROOT), ".")):
            replace_text(notebook, old, new)
    return Run(name, minutes, headline(notebook), error)


def explain(problem: Exception, name: str, cell, index: int) -> str:
    """Notebook, cell, source line and a traceback that can be read in a log."""
    line = cell.metadata.get("source_line")
    text = ANSI.sub("", getattr(problem, "traceback", "") or str(problem)).strip()
    inner = re.findall(r"Cell In\[\d+\], line (\d+)", text)
    where = f", source line {line + int(inner[0]) - 1 if inner else line}" if line else ""
    if isinstance(problem, CellTimeoutError):
        text = f"more than {TIMEOUT_SECONDS // 60} minutes for the notebook; stopped here:\n{cell.source}"
    return f"{name}: cell {index + 1}{where} failed\n{text}"


def replace_text(notebook, old: str, new: str) -> None:
    """Replace a path in every text output."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            data.update(
                {mime: text.replace(old, new) for mime, text in data.items() if isinstance(text, str)}
            )
            if "text" in output:
                output.text = output.text.replace(old, new)
            if "traceback" in output:
                output.traceback = [line.replace(old, new) for line in output.traceback]


def headline(notebook) -> str:
    """The last line of the last text output of the cell tagged "headline", or nothing."""
    for cell in notebook.cells:
        if "headline" in tags(cell):
            texts = [
                output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs
            ]
            lines = [line.strip() for text in texts for line in text.split("\n") if line.strip()]
            return lines[-1][:100] if lines else ""
    return ""


# ---- outputs ----------------------------------------------------------------------------------------------


def tidy(notebook) -> None:
    """Leave what a reader needs: prints in one stream, no progress bars, timestamps or double images."""
    notebook.metadata["language_info"] = nbformat.from_dict({"name": "python"})  # nbclient writes versions
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        outputs = []
        for output in cell.outputs:
            last = outputs[-1] if outputs else None
            if output.output_type == "stream" and last and last.get("name") == output.name:
                last.text += output.text
            elif not is_progress_bar(output):
                outputs.append(output)
        for output in outputs:
            if output.output_type == "stream":
                output.text = final_lines(output.text, progress=output.name == "stdout")
            data, shown = output.get("data", {}), output.get("metadata", {})
            if "text/html" in data:
                data["text/html"] = re.sub(
                    r"<progress\b.*?</progress>\s*", "", data["text/html"], flags=re.DOTALL
                )
            if WIDGET_VIEW in data:  # what GitHub, and JupyterLab before the cell has run, shows in its place
                data["text/plain"] = "Run this cell to see its controls."
            if "image/png" in data and shown.get("image/png", {}).get("alt"):
                data.pop("text/html", None)  # the same image with its alt text; GitHub may refuse it
        cell.outputs = [output for output in outputs if output.output_type != "stream" or output.text.strip()]
    keep_widgets_in_use(notebook)


def is_progress_bar(output) -> bool:
    data = output.get("data", {})
    return WIDGET_VIEW in data and bool(PROGRESS.search(data.get("text/plain", "")))


def final_lines(text: str, progress: bool) -> str:
    """What a terminal shows in the end: carriage returns overwrite the line; bars go unless `progress`."""
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in ANSI.sub("", text).split("\n")]
    return "\n".join(line for line in lines if progress or not PROGRESS.search(line))


def keep_widgets_in_use(notebook) -> None:
    """Keep the state of the widgets that are shown, or no `widgets` (GitHub refuses one without `state`).

    Models are renamed in the order in which they are met, so that a rebuild gives the same file.
    """
    state = notebook.metadata.pop("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    views = [
        output.data[WIDGET_VIEW]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if WIDGET_VIEW in output.get("data", {})
    ]
    names: dict[str, str] = {}
    todo = [view["model_id"] for view in views]
    while todo:
        model = todo.pop(0)
        if model in state and model not in names:
            names[model] = f"{len(names) + 1:032x}"
            todo += re.findall(r"IPY_MODEL_(\w+)", json.dumps(state[model]))
    for view in views:
        view["model_id"] = names.get(view["model_id"], view["model_id"])
    if names:
        text = json.dumps({names[model]: state[model] for model in names})
        text = re.sub(r"IPY_MODEL_(\w+)", lambda m: f"IPY_MODEL_{names.get(m[1], m[1])}", text)
        kept = {"state": json.loads(text), "version_major": 2, "version_minor": 0}
        notebook.metadata["widgets"] = nbformat.from_dict({WIDGET_STATE: kept})


def problems(notebook) -> list[str]:
    """What may not be committed, one line each with the cell and the remedy."""
    found = []
    for index, cell in enumerate(notebook.cells, start=1):
        where = f"cell {index}" + (
            f" (source line {cell.metadata.source_line})" if "source_line" in cell.metadata else ""
        )
        for alt in re.findall(r"!\[(.*?)\]\(", cell.source if cell.cell_type == "markdown" else ""):
            if not alt.strip():
                found.append(f"{where}: an image without alt text: write ![what it shows](file)")
        for output in cell.get("outputs", []):
            size = len(json.dumps(output))
            if size > MAX_OUTPUT_BYTES:
                found.append(
                    f"{where}: an output of {size // 1000} kB (at most {MAX_OUTPUT_BYTES // 1000}): show less"
                )
            if output.get("name") == "stderr" and "allow-stderr" not in tags(cell):
                found.append(
                    f'{where}: writes to stderr: cure it or tag the cell "allow-stderr":\n{output.text}'
                )
            found += [f"{where}: {line}" for line in image_problems(output)]
            for text in texts_of(output):
                if path := HERE_ONLY.search(text):
                    found.append(f"{where}: prints a path of this machine, {path.group()}: print it relative")
    size = len(nbformat.writes(notebook))
    if size > MAX_NOTEBOOK_BYTES:
        found.append(f"the notebook has {size // 1000} kB (at most {MAX_NOTEBOOK_BYTES // 1000}): show less")
    return found


def image_problems(output) -> list[str]:
    data, shown = output.get("data", {}), output.get("metadata", {})
    bare = [
        mime for mime in data if mime.startswith("image/") and not shown.get(mime, {}).get("alt", "").strip()
    ]
    bare += [
        tag[:60]
        for tag in re.findall(r"<img\b[^>]*>", data.get("text/html", ""))
        if not re.search(r"\balt=([\"'])(?!\1)", tag)
    ]
    return [f"an image without alt text ({item}): use ftlab.plots.show(fig, alt)" for item in bare]


def texts_of(output) -> list[str]:
    data = output.get("data", {})
    plain = [text for mime, text in data.items() if mime.startswith("text/") and isinstance(text, str)]
    return [*plain, output.get("text", ""), *output.get("traceback", [])]


# ---- commands ---------------------------------------------------------------------------------------------


def last_verified(minutes: float) -> str:
    """The line that ends every built notebook: date, versions, hardware, minutes."""
    versions = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            versions.append(f"{package} not installed")
    return (
        f"---\n*Last verified: {datetime.date.today()}, {', '.join(versions)}, {hardware()}, "
        f"{max(minutes, 0.1):.1f} minutes.*"
    )


def hardware() -> str:
    """CPU cores this process may use and the name of the first NVIDIA GPU, if there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = "no GPU"
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        asked = subprocess.run(query, capture_output=True, text=True)
        gpu = asked.stdout.strip().split("\n")[0] if asked.returncode == 0 else gpu
    return f"{cores} CPU cores ({platform.machine()}), {gpu}"


def build(source: Source, path: Path, solved: bool, root: Path) -> Run:
    """Execute one variant of a source and write it; on BuildError nothing is written."""
    before = inputs(source, root)
    source = read_source(source.path)  # after the hash: an edit since the start of the builder counts
    notebook = variant(source, solved)
    label = str(path.relative_to(root))
    run = execute(notebook, root, label, strict=solved)
    if run.error:
        raise BuildError(run.error)
    tidy(notebook)
    if wrong := problems(notebook):
        raise BuildError("\n".join(f"{label}: {line}" for line in wrong))
    verified = nbformat.v4.new_markdown_cell(last_verified(run.minutes))
    verified.id = "last-verified"
    notebook.cells.append(verified)
    for cell in notebook.cells:
        cell.metadata.pop("source_line", None)
    notebook.metadata["ftlab"] = {"inputs": before, "cells_sha256": cells_hash(notebook)}
    nbformat.validate(notebook)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = nbformat.writes(notebook)
    part = path.with_suffix(".part")
    part.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
    part.replace(path)
    return run


def run_built(sources: list[Source], root: Path, solutions: bool = False) -> list[Run]:
    """Execute every built notebook as it lies on disk, outputs thrown away; on request the solved ones too."""
    runs = []
    for source in sources:
        for path, solved in targets(source, root)[: None if solutions else 1]:
            label = str(path.relative_to(root))
            if not path.is_file():
                runs.append(
                    Run(label, 0.0, "", f"{label}: missing. Build it: python tools/build_notebooks.py")
                )
                continue
            notebook = nbformat.read(path, as_version=4)
            for cell in notebook.cells:
                if cell.cell_type == "code":
                    cell.outputs, cell.execution_count = [], None
            print(f"running {label} ...", file=sys.stderr, flush=True)
            run = execute(notebook, root, label, strict=solved)
            caption = source.header.get("headline")
            told = f"{caption}: {run.headline}" if caption and run.headline else run.headline
            runs.append(Run(label, run.minutes, told, run.error))
    return runs


def print_table(runs: list[Run]) -> None:
    rows = [("notebook", "minutes", "headline result")]
    rows += [(run.name, f"{run.minutes:.1f}", "FAILED" if run.error else run.headline) for run in runs]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, minutes, result in rows:
        print(f"{name:<{widths[0]}}  {minutes:>{widths[1]}}  {result}".rstrip())


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", help="notebooks to treat, by the start of their names (default: all)"
    )
    parser.add_argument("--force", action="store_true", help="build also what is up to date")
    parser.add_argument(
        "--check", action="store_true", help="build nothing; exit 1 naming what is not up to date"
    )
    parser.add_argument("--run-all", action="store_true", help="run the built notebooks, changing no file")
    parser.add_argument("--solutions", action="store_true", help="with --run-all: run the solved ones too")
    args = parser.parse_args(argv)
    try:
        sources = select(
            [read_source(path) for path in sorted((root / "notebooks/src").glob("*.py"))], args.names
        )
        if args.check:
            lines = (
                findings(sources, root)
                if not args.names
                else [
                    f"{path.relative_to(root)}: {why}"
                    for source in sources
                    for path, _ in targets(source, root)
                    if (why := staleness(path, inputs(source, root)))
                ]
            )
            print("\n".join(lines) or f"{len(sources)} sources: every built notebook is up to date")
            if lines:
                print("\nBuild them: python tools/build_notebooks.py", file=sys.stderr)
            return 1 if lines else 0
        if args.run_all:
            runs = run_built(sources, root, args.solutions)
            for run in runs:
                if run.error:
                    print(f"\n{run.error}\n", file=sys.stderr)
            print_table(runs)
            return 1 if any(run.error for run in runs) else 0
        work = [
            (source, path, solved, why)
            for source in sources
            for path, solved in targets(source, root)
            if (why := staleness(path, inputs(source, root)) or ("forced" if args.force else ""))
        ]
    except (BuildError, SyntaxError, yaml.YAMLError) as error:
        print(error, file=sys.stderr)
        return 2
    return build_all(work, root)


def select(sources: list[Source], names: list[str]) -> list[Source]:
    unknown = [name for name in names if not any(s.name.startswith(Path(name).stem) for s in sources)]
    if unknown or not sources:
        raise BuildError(
            f"no source in notebooks/src starts with: {', '.join(unknown) or '(the folder has none)'}"
        )
    return [s for s in sources if not names or any(s.name.startswith(Path(name).stem) for name in names)]


def build_all(work: list[tuple[Source, Path, bool, str]], root: Path) -> int:
    """Build each in turn; one that fails does not stop the others."""
    failed = 0
    for source, path, solved, why in work:
        print(f"{path.relative_to(root)}: {why}; building ...", flush=True)
        try:
            run = build(source, path, solved, root)
            print(f"  built in {run.minutes:.1f} minutes, {path.stat().st_size // 1000} kB", flush=True)
        except BuildError as error:
            failed += 1
            print(f"\n{error}\n", file=sys.stderr, flush=True)
    if not work:
        print("nothing to build: every notebook is up to date")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
