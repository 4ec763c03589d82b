"""Record two experiments on nano for notebook 04: how much more rows help, and what cleaning is worth.

    python tools/record_data_lessons.py                            # what is missing, for about 20 minutes
    python tools/record_data_lessons.py --only curve --points 50 100
    python tools/record_data_lessons.py --only cleaning --seeds 5
    python tools/record_data_lessons.py --force                    # begin anew: another nano, other settings
    python tools/record_data_lessons.py --check                    # exit 1 unless whole; says so for another nano

A point is one training and its score. Each is on the disk before the next begins, so run it again to go on.
Exit: 0 every point asked for is there, 1 some are missing, 2 input that cannot be used.

Curve: n training tickets, every row once but at least MIN_STEPS steps. A seed sets which rows, their order and the
adapter; for one seed the smaller sets are part of the larger ones.
Cleaning: the raw export as it came, the same cleaned, and CURATED of the cleaned rows that none of the three doubtful
agents has labelled; CLEANING_STEPS steps each, so only the rows differ.
Both are scored on the same validation tickets, those of which the raw export holds no copy.
"""

import os
import sys

if __name__ == "__main__" and "MALLOC_TRIM_THRESHOLD_" not in os.environ:  # read by glibc at start: start again
    churn = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}  # else the logits cost page faults
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | churn)

import argparse  # noqa: E402
import contextlib  # noqa: E402
import hashlib  # noqa: E402
import json  # noqa: E402
import math  # noqa: E402
import random  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Iterable, Sequence  # noqa: E402
from dataclasses import asdict, dataclass  # noqa: E402
from datetime import date  # noqa: E402
from pathlib import Path  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ftlab.data.findings import Row  # noqa: E402
from ftlab.data.schema import check_chat, read_chat  # noqa: E402
from ftlab.data.similar import clusters  # noqa: E402
from ftlab.errors import DataError, FtlabError  # noqa: E402
from ftlab.files import whole_file  # noqa: E402

RECORD = ROOT / "data/recorded/data_lessons.json"
DATA = ROOT / "data/support_triage"
RAW, KEY = DATA / "raw/dirty.jsonl", DATA / "raw/key.jsonl"
TRAIN, VALIDATION, SCHEMA = DATA / "train.jsonl", DATA / "validation.jsonl", DATA / "schema.json"
WEIGHTS = ROOT / "data/models/nano/model.safetensors"

SIZES = (50, 100, 250, 500, 1000, 2000)
ARMS = ("export", "cleaned", "curated")
SEEDS = 3
MIN_STEPS, CLEANING_STEPS, CURATED, HELD_OUT = 60, 80, 500, 120
LARGE = 1000  # rows; such points of later seeds come last, since they take longest
SETTINGS = {
    "model": "nano", "r": 16, "lora_alpha": 32, "per_device_train_batch_size": 8, "learning_rate": 4e-3,
    "warmup_steps": 0.05, "lr_scheduler_type": "cosine", "max_length": 512, "max_new_tokens": 96,
    "generation_batch_size": 50, "min_steps": MIN_STEPS, "cleaning_steps": CLEANING_STEPS,
}  # fmt: skip
# what the person in notebook 04 decides: these findings stay in, the three agents are left out of "curated"
KEEP = {"other_language", "rare_label", "length_outlier", "system_drift", "missing_system"}
DOUBTFUL = {"agent-03", "agent-06", "agent-08"}
SYSTEM = {"role": "system", "content": "Triage the ticket."}


@dataclass(frozen=True)
class Point:
    """One training: `name` is a number of rows (curve) or an arm (cleaning)."""

    experiment: str
    name: str
    seed: int

    def __str__(self):
        return f"{self.experiment} {self.name}, seed {self.seed}"


@dataclass(frozen=True)
class Outcome:
    """The answers of one trained model to the held-out chats, and what the training was."""

    texts: Sequence[str]
    training_loss: float


# --- which points, which rows, how many steps


def plan(only: str | None = None, points: Iterable[str] = (), seeds: int = SEEDS) -> list[Point]:
    """All points asked for, in the order of their use: one seed of everything, then the others, the largest last."""
    every = {"curve": [str(size) for size in SIZES], "cleaning": list(ARMS)}
    asked = {kind: names for kind, names in every.items() if only in (None, kind)}
    points = [str(point) for point in points]
    known = [name for names in asked.values() for name in names]
    for name in points:
        if name not in known:
            raise DataError(f"--points: {name!r} is no point here; known are {', '.join(known)}")
    if seeds < 1:
        raise DataError(f"--seeds: {seeds}; give 1 or more")
    made = [
        Point(kind, name, seed)
        for seed in range(seeds)
        for kind, names in asked.items()
        for name in names
        if not points or name in points
    ]
    return sorted(made, key=lambda p: p.seed > 0 and p.name.isdigit() and int(p.name) >= LARGE)  # sorting keeps ties


def draw(rows: Sequence, n: int, seed: int) -> list:
    """The first n of the rows in an order that the seed sets, so that smaller draws are part of larger ones."""
    if n > len(rows):
        raise DataError(f"{n} rows are asked for and there are {len(rows)}: ask for fewer")
    return random.Random(seed).sample(list(rows), len(rows))[:n]


def curve_steps(rows: int) -> int:
    """Every row once, but at least MIN_STEPS steps: few rows are repeated until something can be learned."""
    return max(math.ceil(rows / SETTINGS["per_device_train_batch_size"]), MIN_STEPS)


def rows_and_steps(point: Point, train: Sequence[dict], arms: dict[str, list[dict]]) -> tuple[list[dict], int]:
    """What a point is trained on, and for how many steps."""
    if point.experiment == "curve":
        rows = draw(train, int(point.name), point.seed)
        return rows, curve_steps(len(rows))
    rows = arms[point.name]
    return draw(rows, CURATED if point.name == "curated" else len(rows), point.seed), CLEANING_STEPS


def held_out_rows() -> list[dict]:
    """The first HELD_OUT validation rows of which the raw export holds no copy, exact or nearly."""
    from ftlab.checks.duplicates import find_leaks

    placed = [Row(row, str(VALIDATION), line) for line, row in enumerate(read_chat(VALIDATION), 1)]
    copied = {finding.line for finding in find_leaks(placed, check_chat(RAW).placed)}
    return [row.data for row in placed if row.line not in copied][:HELD_OUT]


def clean_export() -> dict[str, list[dict]]:
    """The rows of each arm, by the repairs and decisions of notebook 04 ("curated" before 500 are drawn)."""
    from jsonschema import Draft202012Validator

    from ftlab.checks.check import check
    from ftlab.checks.fix import fix
    from ftlab.evaluation.metrics import parse_record

    policy = Draft202012Validator(json.loads(SCHEMA.read_text()))
    with tempfile.TemporaryDirectory() as folder:
        fixed = fix(RAW, Path(folder) / "fixed.jsonl")
        left = check(fixed.out, against=VALIDATION, model=SETTINGS["model"], max_length=SETTINGS["max_length"])
        placed = check_chat(fixed.out).placed
    drop = {finding.line for finding in left.findings if finding.code not in KEEP}
    for group in clusters(placed):
        if len({answer(row.data) for row in group}) > 1:
            drop |= {row.line for row in group}
    cleaned = [
        row.data | {"messages": [SYSTEM, *(turn for turn in row.data["messages"] if turn["role"] != "system")]}
        for row in placed
        if row.line not in drop and policy.is_valid(parse_record(answer(row.data)))
    ]
    curated = [row for row in cleaned if row["agent"] not in DOUBTFUL]
    return {"export": check_chat(RAW).rows, "cleaned": cleaned, "curated": curated}


def wrong_labels(arms: dict[str, list[dict]]) -> dict[str, int]:
    """How many rows of each arm have a wrong label, by the key of the export."""
    key = [json.loads(line) for line in KEY.read_text(encoding="utf-8").splitlines()]
    at = {row.line: row.data["id"] for row in check_chat(RAW).placed}
    wrong = {at[item["line"]] for item in key if item["code"] == "wrong_label" and item["line"] in at}
    return {name: sum(row["id"] in wrong for row in rows) for name, rows in arms.items()}


def answer(row: dict) -> str:
    """The last turn's text."""
    return row["messages"][-1]["content"]


# --- one point


def load_with_adapter(seed: int):
    """nano with a fresh adapter, and its tokenizer."""
    import torch
    from unsloth import FastLanguageModel

    from ftlab import hardware
    from ftlab.models import resolve

    dtypes = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    model, tokenizer = FastLanguageModel.from_pretrained(
        model_name=resolve(SETTINGS["model"]),
        max_seq_length=1024,
        dtype=dtypes[hardware.precision()],
        load_in_4bit=False,
    )
    model = FastLanguageModel.get_peft_model(
        model,
        r=SETTINGS["r"],
        lora_alpha=SETTINGS["lora_alpha"],
        lora_dropout=0.0,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        bias="none",
        use_gradient_checkpointing=False,
        random_state=seed,
    )
    return model, tokenizer


def train_and_answer(rows: Sequence[dict], steps: int, seed: int, chats: Sequence[list[dict]]) -> Outcome:
    """Fine-tune nano as notebook 04 does, and answer the chats."""
    import torch
    from unsloth import FastLanguageModel  # before trl, which it patches
    from unsloth.chat_templates import train_on_responses_only
    from datasets import Dataset  # isort: skip
    from transformers.trainer_callback import PrinterCallback
    from trl import SFTConfig, SFTTrainer

    from ftlab import hardware
    from ftlab.evaluation.generation import generate

    precision = hardware.precision()
    model, tokenizer = load_with_adapter(seed)
    texts = [tokenizer.apply_chat_template(row["messages"], tokenize=False).rstrip() for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=model,
            processing_class=tokenizer,
            train_dataset=Dataset.from_dict({"text": texts}),
            args=SFTConfig(
                output_dir=folder,
                dataset_text_field="text",
                max_length=SETTINGS["max_length"],
                per_device_train_batch_size=SETTINGS["per_device_train_batch_size"],
                max_steps=steps,
                learning_rate=SETTINGS["learning_rate"],
                warmup_steps=SETTINGS["warmup_steps"],
                lr_scheduler_type=SETTINGS["lr_scheduler_type"],
                gradient_checkpointing=torch.cuda.is_available(),
                bf16=precision == "bf16",
                fp16=precision == "fp16",
                logging_strategy="no",
                save_strategy="no",
                seed=seed,
                report_to="none",
                disable_tqdm=True,
            ),
        )
        trainer.remove_callback(PrinterCallback)
        trainer = train_on_responses_only(trainer)
        result = trainer.train()
    FastLanguageModel.for_inference(model)
    size, length = SETTINGS["generation_batch_size"], SETTINGS["max_new_tokens"]
    return Outcome(generate(model, tokenizer, chats, length, size).texts, float(result.training_loss))


def fields_right(texts: Sequence[str], references: Sequence[str]) -> str:
    """For each ticket one digit: how many of its fields are right."""
    from ftlab.evaluation.metrics import score_records

    names = {len(json.loads(reference)) for reference in references}
    if len(names) != 1 or not 1 <= max(names) <= 9:
        raise DataError(f"the held-out records have {sorted(names)} fields; one digit a ticket wants the same 1 to 9")
    scores = score_records(texts, references).field_accuracy
    return "".join(str(round(float(value) * max(names))) for value in scores)


# --- the record


def identity(held_out: Sequence[dict]) -> dict:
    """What two points must share to stand in one record."""
    return {
        "model_sha256": sha256(WEIGHTS),
        "data_sha256": {path.name: sha256(path) for path in (TRAIN, VALIDATION, RAW)},
        "settings": SETTINGS,
        "held_out": {"file": VALIDATION.relative_to(ROOT).as_posix(), "ids": [row["id"] for row in held_out]},
    }


def sha256(path: Path) -> str:
    """Hash of a file's bytes."""
    if not path.exists():
        raise DataError(f"{path} does not exist: get it back from the repository, or make it again")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def open_record(path: Path, about: dict, force: bool = False, check: bool = False) -> dict:
    """The record so far, or a new one; DataError where the file is about something else and `force` is not given.

    With `check`, another nano is only said: nothing is added to the record then, and notebook 04 says it too.
    """
    if force or not path.exists():
        return {"identity": about, "points": []}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        differs = [name for name, value in about.items() if record["identity"].get(name) != value]
        found = [point_of(entry) for entry in record["points"]]
        its_model = record["identity"]["model_sha256"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: no record of this tool ({error!r}): --force begins anew") from error
    if check and differs == ["model_sha256"]:
        print(f"{path}: recorded with another nano ({its_model[:8]}); --force records it anew", file=sys.stderr)
    elif differs:
        raise DataError(f"{path}: recorded with another {', '.join(differs)}; its points do not go with new ones: "
                        "--force begins anew")  # fmt: skip
    if len(set(found)) < len(found):
        raise DataError(f"{path}: a point is there twice; take one out, or --force to begin anew")
    return record


def point_of(entry: dict) -> Point:
    """The point that an entry of the record is about."""
    return Point(entry["experiment"], entry["name"], entry["seed"])


def write_record(path: Path, record: dict) -> None:
    """Replace the file as a whole, so that an interruption leaves the old one."""
    with whole_file(path) as file:
        file.write(json.dumps(record, indent=1, ensure_ascii=False).encode() + b"\n")


def missing(record: dict, wanted: Sequence[Point]) -> list[Point]:
    """The points that are wanted and not in the record, in their order."""
    done = {point_of(entry) for entry in record["points"]}
    return [point for point in wanted if point not in done]


def expected_seconds(record: dict, steps: int) -> float:
    """What a point will take, from the slowest step so far; 0 while nothing is known."""
    return steps * max((entry["seconds"] / entry["steps"] for entry in record["points"]), default=0.0)


def run_points(
    record: dict,
    path: Path,
    wanted: Sequence[Point],
    rows_of: Callable[[Point], tuple[list[dict], int]],
    held_out: Sequence[dict],
    train: Callable[..., Outcome] = train_and_answer,
    minutes: float = 20,
    clock: Callable[[], float] = time.monotonic,
    say: Callable[[str], None] = lambda text: None,
) -> list[Point]:
    """Train and score what is missing, one point after the other; gives the points for which there was no time."""
    chats, references = [row["messages"][:-1] for row in held_out], [answer(row) for row in held_out]
    begin = clock()
    for point in missing(record, wanted):
        rows, steps = rows_of(point)
        start = clock()
        if start - begin + expected_seconds(record, steps) > 60 * minutes:
            continue  # a shorter one may still fit
        outcome = train(rows, steps, point.seed, chats)
        digits = fields_right(outcome.texts, references)
        entry = asdict(point) | {
            "rows": len(rows),
            "steps": steps,
            "training_loss": round(outcome.training_loss, 4),
            "seconds": round(clock() - start, 1),
            "fields_right": digits,  # a digit a ticket, in the order of held_out.ids
        }
        record["points"].append(entry)
        record["minutes"] = round(sum(each["seconds"] for each in record["points"]) / 60, 1)
        write_record(path, record)
        accuracy = sum(map(int, digits)) / len(digits) / len(json.loads(references[0]))
        say(f"{point}: {len(rows):,} rows, {steps} steps, {entry['seconds']:.0f} s, {accuracy:.1%} of the fields right")
    return missing(record, wanted)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("curve", "cleaning"))
    parser.add_argument("--points", nargs="+", default=[], metavar="POINT", help=f"of {SIZES} or {ARMS}")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--minutes", type=float, default=20, help="begin no point that would end later")
    parser.add_argument("--out", type=Path, default=RECORD)
    parser.add_argument("--force", action="store_true", help="begin anew where the file is about another model or data")
    parser.add_argument("--check", action="store_true", help="train nothing, say what is missing or stale")
    options = parser.parse_args(arguments)
    try:
        wanted = plan(options.only, options.points, options.seeds)
        held_out = held_out_rows()
        if options.check and not options.out.exists():
            raise DataError(f"{options.out} does not exist: run tools/record_data_lessons.py")
        force = options.force and not options.check
        record = open_record(options.out, identity(held_out), force, check=options.check)
        left = missing(record, wanted)
        if left and not options.check:
            left = fill(record, options.out, wanted, held_out, options.minutes)
    except FtlabError as error:
        print(error, file=sys.stderr)
        return 1 if options.check else 2
    if left:
        print(f"{len(left)} point(s) missing: {'; '.join(map(str, left))}. Run this tool again.", file=sys.stderr)
    return 1 if left else 0


def fill(record: dict, path: Path, wanted: Sequence[Point], held_out: Sequence[dict], minutes: float) -> list[Point]:
    """Prepare the rows, note where and with what this runs, and train; gives the points that are still missing."""
    import torch

    from ftlab import hardware
    from ftlab.run import machine_line

    train = read_chat(TRAIN)
    arms = clean_export() if any(point.experiment == "cleaning" for point in missing(record, wanted)) else {}
    if arms:
        wrong = wrong_labels(arms)
        record["arms"] = {name: {"rows": len(rows), "wrong_labels": wrong[name]} for name, rows in arms.items()}
    record |= {"versions": hardware.versions(), "machine": machine_line(), "threads": torch.get_num_threads(),
               "date": date.today().isoformat()}  # fmt: skip
    with contextlib.redirect_stdout(sys.stderr):  # Unsloth prints
        return run_points(
            record, path, wanted, lambda point: rows_and_steps(point, train, arms), held_out, minutes=minutes,
            say=lambda text: print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True),
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
