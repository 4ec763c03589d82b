"""Make the two runs of notebook 12 on nano: python tools/record_ship.py [first] [second]

`first` is trained on a shop's tickets, `second` by the same recipe on these and on tickets of another shop, as people
have corrected them. What `ftlab run` leaves in runs/ship/NAME is copied to data/recorded/ship, without checkpoints.
"""

import json
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

import yaml  # noqa: E402

from ftlab.data.jsonl import write_rows  # noqa: E402
from ftlab.data.schema import read_chat  # noqa: E402
from ftlab.run import run_recipe  # noqa: E402

TICKETS, WORK = "data/support_triage", Path("runs/ship")
KEPT = ("adapter/adapter_config.json", "adapter/adapter_model.safetensors", "adapter/tokenizer_config.json",
        "adapter/chat_template.jinja", "predictions/test.fine_tuned.jsonl", "predictions/other_shop.fine_tuned.jsonl",
        "recipe.yaml", "report.json", "training.json")  # fmt: skip


def is_kept_back(row: dict) -> bool:
    """Whether a ticket of the other shop is for the test: every second phrasing is."""
    return int(row["pattern"].split("+")[0][-2:]) % 2 == 1


def write_parts() -> None:
    other = read_chat(f"{TICKETS}/other_shop.jsonl")
    first = read_chat(f"{TICKETS}/train.jsonl")[:320]
    parts = {
        "first": first,
        "second": first + [row for row in other if not is_kept_back(row)],
        "validation": read_chat(f"{TICKETS}/validation.jsonl")[:24],
        "test": read_chat(f"{TICKETS}/test.jsonl")[:100],
        "other_shop": [row for row in other if is_kept_back(row)],
    }
    for name, rows in parts.items():
        write_rows(rows, WORK / f"{name}.jsonl", force=True)


def recipe(name: str) -> Path:
    files = {part: str(WORK / f"{part}.jsonl") for part in ("validation", "test", "other_shop")}
    settings = {
        "name": "triage", "task": "turn a support ticket into one JSON object", "model": "nano",
        "data": {"train": str(WORK / f"{name}.jsonl"), "validation": files["validation"], "test": files["test"],
                 "slices": {"other_shop": files["other_shop"]}, "schema": f"{TICKETS}/schema.json"},
        "training": {"r": 8, "lora_alpha": 16, "learning_rate": 4e-3, "num_train_epochs": 4,
                     "per_device_train_batch_size": 16, "gradient_accumulation_steps": 1},
    }  # fmt: skip
    path = WORK / f"{name}.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return path


def keep(name: str) -> None:
    out = ROOT / "data" / "recorded" / "ship" / name
    for file in KEPT:
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(WORK / name / file, out / file)
    config = out / "adapter" / "adapter_config.json"
    settings = json.loads(config.read_text()) | {"base_model_name_or_path": "nano"}  # no path of this machine
    config.write_text(json.dumps(settings, indent=1) + "\n")
    text = (out / "recipe.yaml").read_text()
    text = re.sub(rf"\S*/{WORK}/", "", text)  # files are looked for beside the recipe, then from the root
    (out / "recipe.yaml").write_text(re.sub(rf"\S*/{TICKETS}/", f"{TICKETS}/", text))


if __name__ == "__main__":
    write_parts()
    for name in sys.argv[1:] or ("first", "second"):
        run_recipe(recipe(name), out=WORK / name, force=True)
        keep(name)
