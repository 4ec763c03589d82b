"""Time `ftlab check` on files of growing size: seconds, CPU seconds and peak memory of generated support tickets.

    python tools/bench_check.py --record              # 25,000, 50,000 and 100,000 chats

Each size is one run of the command in a process of its own; the smaller files are the first lines of the largest. The
promise is 100,000 chats in a minute and 2 GB on two cores. Nobody fine-tunes on millions; who cleans a file for
pre-training takes an engine made for it, such as datatrove (https://github.com/huggingface/datatrove).
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import psutil
from make_support_triage import QUEUES, SYSTEM, TicketMaker

from ftlab import hardware
from ftlab.data.schema import write_chat
from ftlab.errors import FtlabError

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "data/recorded/bench_check.json"
MOST = 100_000  # rows
MAX_SECONDS, MAX_MB = 60, 2000  # the promise for so many


@dataclass(frozen=True)
class Run:
    """What one run of the command took."""

    rows: int
    wall_seconds: float
    cpu_seconds: float  # of all threads
    peak_mb: float
    findings: int


def chats(count: int, seed: int = 0) -> Iterator[dict]:
    """Generated tickets, some of them damaged: one in fifty repeats another, one in a hundred holds an address."""
    rng = random.Random(seed)
    maker = TicketMaker("train")
    maker.rng = random.Random(seed + 1)
    text, record = "", {}
    for number in range(count):
        if not text or number % 50:
            text, record, _ = maker.ticket(rng.choice(QUEUES))
        user = f"{text} Write to jane{number}@mailbox.org." if number % 100 == 1 else text
        turns = (("system", SYSTEM), ("user", user), ("assistant", json.dumps(record)))
        yield {"id": f"chat-{number:07d}", "messages": [{"role": role, "content": text} for role, text in turns]}


def sizes(up_to: int) -> list[int]:
    """A quarter, a half and all of the rows."""
    return [up_to // 4, up_to // 2, up_to]


def measure(path: Path, rows: int, arguments: list[str]) -> Run:
    """One run of `ftlab check` on a file."""
    before, start = _cpu_of_children(), time.perf_counter()
    command = [sys.executable, "-m", "ftlab", "check", str(path), "--json", *arguments]
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(command, stdout=out, cwd=ROOT)
        process, peak = psutil.Process(child.pid), 0
        while child.poll() is None:
            peak = max(peak, _memory(process))
            time.sleep(0.05)
        wall = time.perf_counter() - start
        if child.returncode not in (0, 1):
            raise FtlabError(f"{' '.join(command)} ended with {child.returncode}; its message stands above")
        out.seek(0)
        report = json.load(out)
    cpu = _cpu_of_children() - before
    assert report["rows_in"] == rows, "the command has not seen all rows"
    return Run(rows, round(wall, 2), round(cpu, 2), round(peak / 1e6, 1), len(report["findings"]))


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _memory(process) -> int:
    """Bytes that a process holds now; 0 when it has just ended."""
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def growth(runs: list[Run]) -> dict[str, float]:
    """How many times as large each number is for the largest file as for the smallest, and the time of one row."""
    first, last = runs[0], runs[-1]
    names = ("rows", "wall_seconds", "cpu_seconds", "peak_mb")
    ratios = {name: getattr(last, name) / getattr(first, name) for name in names}
    ratios["wall_seconds_per_row"] = ratios["wall_seconds"] / ratios["rows"]
    ratios["cpu_seconds_per_row"] = ratios["cpu_seconds"] / ratios["rows"]
    return {name: round(ratio, 2) for name, ratio in ratios.items()}


def files(up_to: int, folder: Path) -> Iterator[tuple[int, Path]]:
    """Yield each size with its file, smallest first; the smaller ones are the first lines of the largest."""
    largest = write_chat(chats(up_to), folder / "all.jsonl")
    for count in sizes(up_to):
        path = folder / f"first-{count}.jsonl"
        with largest.open("rb") as lines, path.open("wb") as file:
            file.writelines(islice(lines, count))
        yield count, path


def main(argv: list[str] | None = None) -> int:
    """Print a line a size; exit 1 when the promise is broken, 2 when the command fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--up-to", type=int, default=MOST, metavar="ROWS", help="the largest file (%(default)s)")
    parser.add_argument("--model", help="also check lengths and labels with this model's tokenizer")
    parser.add_argument("--record", action="store_true", help=f"write {RECORD.relative_to(ROOT)}")
    options = parser.parse_args(argv)
    if not 4 <= options.up_to <= MOST:
        parser.error(f"--up-to takes 4 to {MOST:,} rows; for more use an engine made for it, such as datatrove")
    arguments = ["--model", options.model] if options.model else []
    print(f"{'rows':>12}{'seconds':>10}{'CPU s':>10}{'peak MB':>10}{'findings':>10}")
    runs = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            for count, path in files(options.up_to, Path(folder)):
                run = measure(path, count, arguments)
                print(f"{run.rows:>12,}{run.wall_seconds:>10.1f}{run.cpu_seconds:>10.1f}{run.peak_mb:>10,.0f}"
                      f"{run.findings:>10,}", flush=True)  # fmt: skip
                runs.append(run)
    except FtlabError as error:
        print(error, file=sys.stderr)
        return 2
    print("from the smallest to the largest: " + ", ".join(f"{name} x{n}" for name, n in growth(runs).items()))
    kept = runs[-1].wall_seconds <= MAX_SECONDS and runs[-1].peak_mb <= MAX_MB
    print(f"{MAX_SECONDS} seconds and {MAX_MB:,} MB: {'kept' if kept else 'broken'}")
    if options.record:
        record = {
            "command": " ".join(["ftlab check FILE", *arguments]),
            "date": datetime.now(UTC).date().isoformat(),
            "machine": f"{hardware.cpu_name()}, {hardware.usable_cores()} cores",
            "versions": hardware.versions(),
            "runs": [asdict(run) for run in runs],
            "growth": growth(runs),
        }
        RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        print(f"written: {RECORD.relative_to(ROOT)}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
