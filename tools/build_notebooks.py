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
    python tools/build_notebooks.py --stale-by-module      what a change in each module of ftlab makes stale
    python tools/build_notebooks.py --run-all        run every built notebook, change no file
    python tools/build_notebooks.py --run-all --jobs 2     two at a time
    python tools/build_notebooks.py --run-all --part 2/3   the second, fifth, eighth ... notebook
    python tools/build_notebooks.py --run-all --solutions      and the solved ones, which differ in the exercises only

Exit: 0 done, 1 findings or a failing cell, 2 a source that cannot be used.
"""

import argparse
import datetime
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path

import nbformat
import yaml
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from notebook_freshness import cells_hash, inputs, orphans, stale, stale_by_module
from notebook_outputs import ANSI, problems, tidy
from notebook_source import BuildError, Source, read_source, tags, targets, variant
from publish import stamp, stamped_with

import ftlab
from ftlab.files import whole_file

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_SECONDS = 15 * 60
PACKAGES = ["torch", "transformers", "trl", "peft", "unsloth"]


@dataclass(frozen=True)
class Run:
    """What executing one notebook gave; `error` is empty when every cell passed."""

    name: str
    minutes: float
    headline: str
    error: str


def execute(notebook, root: Path, name: str, strict: bool, jobs: int = 1) -> Run:
    """Run all cells in a fresh kernel: offline, in the notebook's folder, with a temporary FTLAB_HOME.

    In it only the folder of models is this machine's: `smol` is made once, not for each notebook.
    One of several `jobs` takes its share of the cores: more threads than cores only wait for each other.
    """
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
        share_models(Path(home))
        environment = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
        path = os.pathsep.join(filter(None, [str(root), str(ROOT), os.environ.get("PYTHONPATH")]))
        environment |= {
            "HF_HUB_OFFLINE": "1",
            "FTLAB_HOME": home,
            "PYTHONPATH": path,
            "PYTHONHASHSEED": "0",
            "FTLAB_STRICT_EXERCISES": "1" if strict else "0",
        }
        if jobs > 1:
            environment["OMP_NUM_THREADS"] = str(max(1, cores() // jobs))
        error = ""
        try:
            client.execute(env=environment)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as problem:
            error = explain(problem, name, notebook.cells[at["index"]], at["index"])
        minutes = (time.monotonic() - started) / 60
        for old, new in ((home, "runs"), (str(root), "."), (str(ROOT), ".")):
            replace_text(notebook, old, new)
    return Run(name, minutes, headline(notebook), error)


def share_models(home: Path) -> None:
    """Let a temporary FTLAB_HOME use the models that were made here, and keep those that it makes."""
    models = ftlab.home() / "models"
    models.mkdir(exist_ok=True)
    (home / "models").symlink_to(models.resolve(), target_is_directory=True)


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
            data.update({mime: text.replace(old, new) for mime, text in data.items() if isinstance(text, str)})
            if "text" in output:
                output.text = output.text.replace(old, new)
            if "traceback" in output:
                output.traceback = [line.replace(old, new) for line in output.traceback]


def headline(notebook) -> str:
    """The last line that the cell tagged "headline" printed; where it printed nothing, the last of what it shows."""
    for cell in notebook.cells:
        if "headline" in tags(cell):
            printed = [output.text for output in cell.outputs if output.get("name") == "stdout"]
            shown = [output.get("data", {}).get("text/plain", "") for output in cell.outputs]
            lines = [line.strip() for text in printed or shown for line in text.split("\n") if line.strip()]
            return lines[-1][:100] if lines else ""
    return ""


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


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def hardware() -> str:
    """CPU cores this process may use and the name of the first NVIDIA GPU, if there is one."""
    gpu = "no GPU"
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        asked = subprocess.run(query, capture_output=True, text=True)
        gpu = asked.stdout.strip().split("\n")[0] if asked.returncode == 0 else gpu
    return f"{cores()} CPU cores ({platform.machine()}), {gpu}"


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
    stamp(notebook, stamped_with(path), label)
    nbformat.validate(notebook)
    with whole_file(path) as file:
        file.write(nbformat.writes(notebook).rstrip("\n").encode() + b"\n")
    return run


def run_built(sources: list[Source], root: Path, solutions: bool = False, jobs: int = 1) -> list[Run]:
    """Execute every built notebook as it lies on disk, `jobs` at a time; on request the solved ones too."""
    todo = [
        (source, path, solved, root, jobs)
        for source in sources
        for path, solved in targets(source, root)[: None if solutions else 1]
    ]
    if jobs == 1:
        return [run_one(*each) for each in todo]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        return list(pool.map(run_one, *zip(*todo, strict=True)))


def run_one(source: Source, path: Path, solved: bool, root: Path, jobs: int) -> Run:
    """Execute one built notebook; its outputs are thrown away."""
    label = str(path.relative_to(root))
    if not path.is_file():
        return Run(label, 0.0, "", f"{label}: missing. Build it: python tools/build_notebooks.py")
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    print(f"running {label} ...", file=sys.stderr, flush=True)
    run = execute(notebook, root, label, strict=solved, jobs=jobs)
    caption = source.header.get("headline")
    told = f"{caption}: {run.headline}" if caption and run.headline else run.headline
    return Run(label, run.minutes, told, run.error)


def print_table(runs: list[Run]) -> None:
    rows = [("notebook", "minutes", "headline result")]
    rows += [(run.name, f"{run.minutes:.1f}", "FAILED" if run.error else run.headline) for run in runs]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, minutes, result in rows:
        print(f"{name:<{widths[0]}}  {minutes:>{widths[1]}}  {result}".rstrip())


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="notebooks to treat, by the start of their names (default: all)")
    parser.add_argument("--force", action="store_true", help="build also what is up to date")
    parser.add_argument("--check", action="store_true", help="build nothing; exit 1 naming what is not up to date")
    parser.add_argument("--run-all", action="store_true", help="run the built notebooks, changing no file")
    parser.add_argument("--solutions", action="store_true", help="with --run-all: run the solved ones too")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="with --run-all: so many at a time")
    parser.add_argument("--part", type=part, default=(1, 1), metavar="K/N", help="with --run-all: every Nth from K")
    parser.add_argument("--stale-by-module", action="store_true", help="print what a change in each module makes stale")
    args = parser.parse_args(argv)
    try:
        sources = select([read_source(path) for path in sorted((root / "notebooks/src").glob("*.py"))], args.names)
        if args.stale_by_module:
            print("\n".join(stale_by_module(sources, root)))
            return 0
        if args.check:
            return check(sources, root, all_sources=not args.names)
        if args.run_all:
            first, step = args.part
            return run_all(sources[first - 1 :: step], root, args.solutions, args.jobs)
        if args.force:
            work = [(source, path, solved, "forced") for source in sources for path, solved in targets(source, root)]
        else:
            work = stale(sources, root)
    except (BuildError, SyntaxError, yaml.YAMLError) as error:
        print(error, file=sys.stderr)
        return 2
    return build_all(work, root)


def part(text: str) -> tuple[int, int]:
    """K and N of "K/N"; a K that is not from 1 to N is refused."""
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(f"{text}: give K/N with K from 1 to N, for example 2/3")
    return int(found[1]), int(found[2])


def select(sources: list[Source], names: list[str]) -> list[Source]:
    unknown = [name for name in names if not any(s.name.startswith(Path(name).stem) for s in sources)]
    if unknown or not sources:
        raise BuildError(f"no source in notebooks/src starts with: {', '.join(unknown) or '(the folder has none)'}")
    return [s for s in sources if not names or any(s.name.startswith(Path(name).stem) for name in names)]


def check(sources: list[Source], root: Path, all_sources: bool) -> int:
    """Name what is not up to date and, of all sources, what has none; 1 where there is something."""
    lines = [f"{path.relative_to(root)}: {why}" for _, path, _, why in stale(sources, root)]
    lines += orphans(sources, root) if all_sources else []
    print("\n".join(lines) or f"{len(sources)} sources: every built notebook is up to date")
    if lines:
        print("\nBuild them: python tools/build_notebooks.py", file=sys.stderr)
    return 1 if lines else 0


def run_all(sources: list[Source], root: Path, solutions: bool, jobs: int) -> int:
    """Run the built notebooks, print the errors and the table; 1 where a cell failed."""
    runs = run_built(sources, root, solutions, jobs)
    for run in runs:
        if run.error:
            print(f"\n{run.error}\n", file=sys.stderr)
    print_table(runs)
    return 1 if any(run.error for run in runs) else 0


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
