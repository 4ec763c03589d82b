"""All that is worth doing on a GPU that is at hand for a quarter of an hour, in one command and in order of worth.

    python tools/gpu_session.py                 # 12 minutes on a CUDA GPU; writes data/recorded/gpu/session.json
    python tools/gpu_session.py --rehearse      # the same, tiny, on a CPU: writes runs/gpu_rehearsal/session.json
    python tools/gpu_session.py --only notebook_06 rows_llama-3.1-8b_qlora    # some of them; the others' records stay
    python tools/gpu_session.py --summary       # print a record that is there

The parts: notebook 06's cells on `smol`; memory and speed of LoRA and QLoRA on four architectures with random weights
(rows for data/recorded/memory_rows.csv); our settings against stock ones; `ftlab run` on `smol`; pre-training of `nano`
with the time that is left (in runs/gpu_nano, where the next session goes on). Each runs in a process of its own with a
time limit of its own: one that fails or is stopped leaves its error and what it had measured, and the next goes on. The
record is written after each part. Nothing is downloaded: `smol` must be installed.
"""

import argparse
import csv
import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from ftlab import home  # noqa: E402
from ftlab.files import whole_file  # noqa: E402

OUT = ROOT / "data" / "recorded" / "gpu" / "session.json"
REHEARSAL = home() / "gpu_rehearsal" / "session.json"
ARCHITECTURES = ("smollm2-135m", "llama-3.2-1b", "qwen3-4b", "llama-3.1-8b")
METHODS = ("qlora", "lora")
LEAST_SECONDS = 30  # a part with less is not begun
SAID = 40  # last lines that are kept of what a part printed
OUTPUT = 'ftlab.home() / "06_train_with_unsloth"'  # in notebook 06, as what the session changes there
CHOICES = {'MODEL = "nano"': 'MODEL = "smol"'}
TINY_CHOICES = {'ROWS = {"train": 800, "validation": 60}': 'ROWS = {"train": 48, "validation": 8}',
                "LEAST_STEPS = 100": "LEAST_STEPS = 6"}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """One thing to do: {minutes} in its command is the time it has; `record` is the JSON that it leaves."""

    name: str
    minutes: float  # at most
    command: tuple[str, ...]
    record: Path | None = None
    folder: Path = ROOT  # where it runs
    fine: tuple[int, ...] = (0,)  # exit codes of a part that is done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit-minutes", type=float, default=12)
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, on a CPU")
    parser.add_argument("--only", nargs="+", help="names of parts; a wrong one shows all")
    parser.add_argument("--summary", action="store_true", help="print the record, do nothing")
    parser.add_argument("--rows", action="store_true", help="print the record's rows for memory_rows.csv, do nothing")
    parser.add_argument("--out", type=Path, help="the JSON file to write")
    options = parser.parse_args()
    out = options.out or (REHEARSAL if options.rehearse else OUT)
    if options.summary:
        print(summary(json.loads(out.read_text())))
        return 0
    if options.rows:
        parts = json.loads(out.read_text())["parts"]
        rows = [row for name, part in parts.items() if name.startswith("rows_") and part.get("found")
                for row in part["found"]["rows"]]  # fmt: skip
        csv.writer(sys.stdout, lineterminator="\n").writerows(row.values() for row in rows)
        return 0
    import torch

    from ftlab import hardware
    from ftlab.run import machine_line

    if not torch.cuda.is_available() and not options.rehearse:
        print("no CUDA GPU here; --rehearse does all parts in tiny sizes on a CPU", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as work:
        parts = all_parts(Path(work), options.rehearse)
        names = [part.name for part in parts]
        if unknown := set(options.only or ()) - set(names):
            parser.error(f"no part {', '.join(unknown)}; there are {', '.join(names)}")
        told = {
            "command": "python tools/gpu_session.py" + " --rehearse" * options.rehearse, "machine": machine_line(),
            "versions": hardware.versions(), "cuda": torch.version.cuda,
            "created": datetime.date.today().isoformat(), "limit_minutes": options.limit_minutes,
        }  # fmt: skip
        wanted = [part for part in parts if part.name in (options.only or names)]
        session = run_parts(wanted, told, options.limit_minutes, out)
    print(summary(session))
    return 0


def run_parts(parts: list[Part], told: dict, limit_minutes: float, out: Path) -> dict:
    """Run the parts until the time is over; the record is written after each, and keeps what others left in it."""
    end = time.monotonic() + 60 * limit_minutes
    before = json.loads(out.read_text())["parts"] if out.exists() else {}
    session = told | {"parts": before}
    for part in parts:
        seconds = min(60 * part.minutes, end - time.monotonic())
        print(f"[{time.strftime('%H:%M:%S')}] {part.name}: at most {max(seconds, 0):.0f} s", flush=True)
        done = run_part(part, seconds) if seconds >= LEAST_SECONDS else {"status": "no time was left"}
        session["parts"][part.name] = done
        text = json.dumps(session, indent=1).replace(str(ROOT), ".").replace(f"{Path.home()}/", "~/")
        with whole_file(out) as file:
            file.write(f"{text}\n".encode())
        print(f"    {done['status']} {headline(done)}", flush=True)
    return session


def run_part(part: Part, seconds: float) -> dict:
    """Run a part in a process group of its own, and stop that when its time is over; what it left and how it ended."""
    start, minutes = time.monotonic(), f"{seconds / 60 - 0.5:.2f}"  # less what starting and saving take
    command = [word.replace("{minutes}", minutes) for word in part.command]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "MPLBACKEND": "agg"}
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, cwd=part.folder, env=environment, stdout=log, stderr=subprocess.STDOUT,
                                   start_new_session=True)  # fmt: skip
        try:
            code = process.wait(seconds)
            status = "done" if code in part.fine else f"failed with exit code {code}"
        except subprocess.TimeoutExpired:
            status = f"stopped after {seconds:.0f} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        log.seek(0)
        said = [line[:300] for line in log.read().splitlines()[-SAID:]]  # a figure is one long line
    return {"status": status, "seconds": round(time.monotonic() - start, 1), "found": read(part.record), "said": said}


def read(path: Path | None):
    """The JSON that a part left, a list from JSON lines; None where there is none, or half of it."""
    try:
        text = path.read_text()
        return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text)
    except (AttributeError, OSError, ValueError):
        return None


def all_parts(work: Path, tiny: bool) -> list[Part]:
    """Every part, the worthiest first; `tiny` for a rehearsal."""
    python, small = sys.executable, ("--tiny",) if tiny else ()
    fresh = {OUTPUT: f'__import__("pathlib").Path({str(work / "06")!r})'}  # old checkpoints would be gone on with
    cells = notebook_cells(work / "cells.py", fresh | (TINY_CHOICES if tiny else CHOICES))
    parts = [Part("notebook_06", 3, (python, str(cells)), folder=ROOT / "notebooks")]
    for model in ARCHITECTURES:
        for method in METHODS:
            record = work / f"rows_{model}_{method}.json"
            command = (python, "tools/measure_memory.py", model, method, "--out", str(record), *small)
            command += ("--lengths", "64", "128") if tiny else ()
            parts.append(Part(f"rows_{model}_{method}", 2, command, record))
    record = work / "benchmark.json"
    command = (python, "tools/benchmark_recipe.py", "--out", str(record), *small)
    command += () if tiny else ("--rounds", "2", "--rows", "960", "--arms", "ours", "unsloth_stock", "trl_defaults")
    parts.append(Part("benchmark", 4, command, record))
    recipe, run = write_recipe(work / "recipe", tiny), work / "run"
    command = (python, "-m", "ftlab", "run", str(recipe), "--out", str(run))
    parts.append(Part("ftlab_run", 4, command, run / "report.json", fine=(0, 1)))  # 1: it says not to ship
    nano = work / "nano" if tiny else home() / "gpu_nano"  # another session goes on there
    no_weights = shutil.ignore_patterns("*.safetensors")
    shutil.copytree(ROOT / "data/models/nano", nano / "tokenizer", ignore=no_weights, dirs_exist_ok=True)
    tokens, size = ("2.2e4", ("512", "--no-compile")) if tiny else ("300e6", ("65536",))
    command = (python, "tools/pretrain_nano.py", "--work", str(nano), "--stop-after", "{minutes}", "--tokens", tokens)
    return [*parts, Part("pretrain_nano", 12, (*command, "--tokens-per-step", *size), nano / "curve.jsonl")]


def notebook_cells(path: Path, choices: dict[str, str]) -> Path:
    """Notebook 06 as a script, with other choices in its second cell; its source is one, but for those."""
    text = (ROOT / "notebooks/src/06_train_with_unsloth.py").read_text()
    for old, new in choices.items():
        if text.count(old) != 1:
            raise SystemExit(f"notebooks/src/06_train_with_unsloth.py: {old!r} stands there {text.count(old)} times")
        text = text.replace(old, new)
    path.write_text(text)
    return path


def write_recipe(folder: Path, tiny: bool) -> Path:
    """The contest's recipe with one seed, two prompts and 200 tickets, which a GPU does in a few minutes."""
    folder.mkdir()
    name = "support_triage" if tiny else "support_triage_smol"
    recipe = yaml.safe_load((ROOT / f"recipes/{name}.yaml").read_text())
    prompts = yaml.safe_load((ROOT / recipe["prompts"]).read_text())
    for key, count in {"test": 8 if tiny else 200, "validation": 8 if tiny else 60}.items():
        lines = (ROOT / recipe["data"][key]).read_text().splitlines(keepends=True)[:count]
        (folder / f"{key}.jsonl").write_text("".join(lines))
        recipe["data"][key] = str(folder / f"{key}.jsonl")
    (folder / "prompts.yaml").write_text(yaml.safe_dump(prompts[:1] if tiny else prompts[2:4]))
    recipe["prompts"], recipe["evaluation"]["validation_rows"] = str(folder / "prompts.yaml"), 4 if tiny else 30
    recipe["data"].pop("slices")
    recipe.pop("seeds", None)
    if tiny:
        recipe["data"] |= {"train_rows": 16, "replay_rows": 8}
        recipe["evaluation"].pop("probe")
        recipe["training"]["num_train_epochs"] = 1
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def summary(session: dict) -> str:
    """The parts in a table."""
    lines = [f"{session['machine']}, {session['created']}"]
    for name, part in session["parts"].items():
        lines.append(f"{name:<28}{part['status']:<26}{part.get('seconds', 0):>6.0f} s  {headline(part)}")
    return "\n".join(lines)


def headline(part: dict) -> str:
    """What a part found, in a line; of one that is not done, the last line it printed."""
    found = part.get("found")
    if isinstance(found, list) and found:  # a curve
        return f"loss {found[-1]['loss']} after {found[-1]['tokens']:,} tokens, {found[-1]['minutes']} minutes"
    if isinstance(found, dict) and "measured" in found:
        return "; ".join(map(of_length, found["measured"]))
    if isinstance(found, dict) and "ours_is_faster" in found:
        return ", ".join(f"{ratio['median']:.2f} x {arm}" for arm, ratio in found["ours_is_faster"].items())
    if isinstance(found, dict) and "gate" in found:
        return found["gate"]["verdict"]
    told = [""] + [line for line in part.get("said", ()) if line.strip()]
    losses = [line for line in told if "validation loss" in line and part["status"] == "done"]
    return (losses or told)[-1][:120]


def of_length(measured: dict) -> str:
    """One measurement of tools/measure_memory.py."""
    if "error" in measured:
        return f"{measured['length']}: {measured['error'][:60]}"
    peak, speed = measured["peak"], f"{measured['tokens_per_second']:,.0f} tokens/s"
    memory = f"{peak['allocated']:.2f} GiB allocated, {peak['reserved']:.2f} reserved, " if peak else ""
    return f"{measured['length']}: {memory}{speed}"


if __name__ == "__main__":
    sys.exit(main())
