"""Record an experiment on `smol` for the notebooks: python tools/record.py triage

An experiment is a file in tools/experiments/ with `points()`: named steps that are done one after the other, each once.
What a point made lies under runs/record/NAME/POINT, so that a stopped recording goes on where it was; several of these
commands may run side by side, and each takes the next point that is free. --list shows what is done, --publish writes
the record.
"""

import argparse
import datetime
import fcntl
import importlib
import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from ftlab.errors import FtlabError  # noqa: E402

WORK = ROOT / "runs" / "record"


@dataclass(frozen=True)
class Point:
    """One step: `make(folder)` writes into its folder and returns what is to be remembered of it (JSON)."""

    name: str
    make: Callable[[Path], dict]
    needs: tuple[str, ...] = ()  # names of points that must be done before


def here(folder: Path) -> dict | None:
    """What a point that was finished on this machine returned: its adapter, if it keeps one, lies beside it."""
    path = folder / "done.json"
    return json.loads(path.read_text()) if path.exists() else None


def done(folder: Path) -> dict | None:
    """What a finished point returned; it may be finished here, or recorded before."""
    record = ROOT / "data" / "recorded" / folder.parent.name
    if found := here(folder):
        return found
    if (record / "points.json").exists():
        return json.loads((record / "points.json").read_text()).get(folder.name)
    if (record / "results.json").exists():
        return json.loads((record / "results.json").read_text()).get("points", {}).get(folder.name)
    return None


def minutes_by_machine(made: Iterable[dict]) -> dict[str, float]:
    """The minutes of what points returned, added up for each machine: those of two are not to be mixed."""
    minutes = {}
    for found in made:
        minutes[found["machine"]] = round(minutes.get(found["machine"], 0) + found["minutes"], 1)
    return minutes


def adapter_of(folder: Path) -> Path:
    """Where a point's adapter lies; it is not published, so a point that is only recorded has none."""
    if not (folder / "adapter").exists():
        again = f"python tools/record.py {folder.parent.name} --again --only {folder.name}"
        raise FtlabError(f"{folder.name}: its answers are recorded, its adapter is not here; make it again: {again}")
    return folder / "adapter"


def take(points: list[Point], work: Path, finished: Callable = done):
    """The next point that nobody works on, with its open lock; None where there is none."""
    for point in points:
        if finished(work / point.name) or not all(done(work / name) for name in point.needs):
            continue
        folder = work / point.name
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        if finished(folder) is None:  # it may have been finished since
            return point, lock
    return None


def without(points: list[Point], failed: Point) -> list[Point]:
    """The points that do not need the failed one, directly or through others; each stands behind those it needs."""
    lost = {failed.name}
    for point in points:
        if lost & set(point.needs):
            lost.add(point.name)
    return [point for point in points if point.name not in lost]


def run(point: Point, folder: Path, machine: str) -> None:
    """Make a point and remember when, on which machine, and how long that took."""
    from ftlab.files import whole_file

    start = time.monotonic()
    print(f"[{time.strftime('%H:%M:%S')}] {point.name}", flush=True)
    result = point.make(folder)
    minutes = (time.monotonic() - start) / 60
    told = {"minutes": round(minutes, 1), "machine": machine, "date": datetime.date.today().isoformat()}
    with whole_file(folder / "done.json") as file:
        file.write(json.dumps(result | told, indent=1).encode())
    print(f"[{time.strftime('%H:%M:%S')}] {point.name}: {minutes:.1f} minutes", flush=True)


def write_results(
    name: str, folder: Path, made: dict, points: Iterable[str], more: dict, old: dict | None = None
) -> None:
    """Write results.json of a record: its command, the minutes of the points made, those not done, and `more`.

    What stands in `old` and nowhere in these is kept.
    """
    from ftlab.files import whole_file

    results = (old or {}) | {
        "command": f"python tools/record.py {name}", "minutes_by_machine": minutes_by_machine(made.values()),
        "not_done": [point for point in points if point not in made],
    } | more  # fmt: skip
    with whole_file(folder / "results.json") as file:
        file.write((json.dumps(results, indent=1) + "\n").encode())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(p.stem for p in (ROOT / "tools/experiments").glob("[a-z]*.py")))
    parser.add_argument("--list", action="store_true", help="show which points are done")
    parser.add_argument("--only", nargs="+", help="names of points to make, no others")
    parser.add_argument("--again", action="store_true", help="also make points that are recorded, not here")
    publish = "write data/recorded/NAME from the points that are done; with --only or --again after they are made"
    parser.add_argument("--publish", action="store_true", help=publish)
    options = parser.parse_args()
    experiment = importlib.import_module(f"experiments.{options.name}")
    if options.publish and not (options.only or options.again):
        experiment.publish()
        return 0
    work = WORK / options.name
    points = experiment.points()
    if options.list:
        for point in points:
            result = done(work / point.name)
            print(f"{point.name:<20}", f"{result['minutes']} minutes" if result else "-")
        return 0
    import ftlab.run  # noqa: F401  (quiets the libraries)
    from ftlab import hardware

    # two CPUs of one name may multiply in other numbers, at another speed
    machine = f"{ftlab.run.machine_line()}, {hardware.precision('smol')}"
    wanted = [point for point in points if not options.only or point.name in options.only]
    finished, failed = here if options.again else done, False
    while True:
        if found := take(wanted, work, finished):
            point, lock = found
            try:
                run(point, work / point.name, machine)
            except FtlabError as error:  # the others can still be made
                print(f"{point.name}: {error}", file=sys.stderr, flush=True)
                wanted, failed = without(wanted, point), True
            lock.close()
        elif all(finished(work / point.name) for point in wanted):
            if options.publish and not failed:
                experiment.publish()
            return int(failed)
        else:
            time.sleep(20)  # another command makes what the next points need


if __name__ == "__main__":
    sys.exit(main())
