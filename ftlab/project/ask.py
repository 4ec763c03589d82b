"""What a run needs beside its rows: the schema of records, a wording of the prompt, the recipe, a cost scenario."""

import json
import re
from collections import Counter
from collections.abc import Sequence

from ftlab.baselines.choice import MANY_VALUES
from ftlab.baselines.prompting import input_and_answer, text_of
from ftlab.evaluation.metrics import parse_record
from ftlab.project.sizes import BATCH, Sizes
from ftlab.training.data import answers_of

LISTED = 30  # values that a prompt names


def find_schema(rows: Sequence[dict]) -> dict:
    """A JSON Schema of the records in the answers: fields, the values of those that have few, the shape of numbers like 4711."""
    records = [parse_record(answer) for answer in answers_of(rows)]
    names = list(dict.fromkeys(name for record in records for name in record))
    texts = [text_of(input_and_answer(row)[0]) for row in rows]
    rules = {name: _rule([(r[name], text) for r, text in zip(records, texts, strict=True) if name in r]) for name in names}
    required = [name for name in names if all(name in record for record in records)]
    return {"type": "object", "properties": rules, "required": required}


def _rule(pairs: Sequence[tuple]) -> dict:
    """The rule of one field from its (value, input) pairs."""
    values = list({json.dumps(value): value for value, _ in pairs}.values())
    if len(values) <= min(MANY_VALUES, len(pairs) / 2) and not any(isinstance(value, dict | list) for value in values):
        return {"enum": values}
    found = [value for value in values if value is not None]
    shapes = {re.sub(r"[A-Z]", "[A-Z]", re.sub(r"\d", r"\\d", re.escape(value))) for value in found if isinstance(value, str)}
    copied = all(value is None or str(value) in text for value, text in pairs)
    if copied and len(shapes) == 1 and (shape := shapes.pop()).count(r"\d"):
        return {"type": ["string", "null"] if None in values else "string", "pattern": f"^{shape}$"}
    return {}


def system_of_rows(rows: Sequence[dict]) -> str:
    """The system prompt that most rows have, or nothing."""
    found = Counter(row["messages"][0]["content"] for row in rows if row["messages"][0]["role"] == "system")
    return found.most_common(1)[0][0] if found else ""


def find_wording(rows: Sequence[dict], kind: str, schema: dict | None, instruction: str = "") -> str:
    """The instruction of the prompt that training has to beat: `instruction` or the rows' own, and what answers may be."""
    own = instruction or system_of_rows(rows)
    if kind == "record":
        fields = [_field(name, rule) for name, rule in schema["properties"].items()]
        allowed = f"Answer with one JSON object with the keys {', '.join(fields)}, and nothing else."
    elif kind == "text":
        allowed = "" if own else "Write the answer to this, and nothing else."
    else:
        counts = Counter(answers_of(rows) if kind == "label" else
                         [label.strip() for answer in answers_of(rows) for label in answer.split(",")])  # fmt: skip
        labels = ", ".join(label.strip() for label, _ in counts.most_common(LISTED))
        several = "one or several of these, with commas" if kind == "labels" else "one of these"
        allowed = f"Answer with {several}, and nothing else: {labels}."
    return " ".join(filter(None, [own.strip(), allowed]))


def _field(name: str, rule: dict) -> str:
    values = [json.dumps(value, ensure_ascii=False) for value in rule.get("enum", ())]
    return f"{json.dumps(name)} ({' or '.join(values)})" if values else json.dumps(name)


def write_recipe(name: str, model: str, kind: str, sizes: Sizes, *, group: str | None, schema: bool, on_gpu: bool) -> dict:
    """The recipe of the run, as `ftlab run` reads it; its files lie beside it."""
    large = on_gpu and model not in ("nano", "smol")
    batch = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 8} if large else {
        "per_device_train_batch_size": BATCH, "gradient_accumulation_steps": 1}  # fmt: skip
    data = {part: f"parts/{part}.jsonl" for part in ("train", "validation", "test")}
    data |= ({"schema": "schema.json"} if schema else {}) | {"train_rows": sizes.train}
    return {
        "name": name, "model": model, "answer": kind, "data": data, **({"group": group} if group else {}),
        "prompts": "prompts.yaml",
        "training": {"method": "qlora" if large else "lora", "num_train_epochs": sizes.epochs, **batch,
                     "max_length": sizes.longest},
        "evaluation": {"max_new_tokens": sizes.new_tokens, "batch_size": 16, "validation_rows": sizes.searched},
        "bars": {"min_gain": 0.05},
    }  # fmt: skip


def write_scenario(name: str, report: dict, rows: int, calls_per_day: float | None) -> dict:
    """A cost scenario from what was measured; all else in it is an assumption, for its reader to change."""
    systems, baseline = report["systems"], report["comparison"]["baseline"]
    tuned, prompted = systems["fine_tuned"], systems[baseline]
    labelled = {"rows": rows, "minutes_per_row": [0.3, 0.5, 2]}
    return {
        "name": name, "task": report["task"], "horizon_months": 12, "discount_rate": 0.08,
        "calls_per_day": calls_per_day or [100, 1000, 10000],
        "input_tokens": round(tuned["tokens_per_call"]), "output_tokens": 0,
        "labour": {"expert_usd_per_hour": 35, "engineer_usd_per_hour": 70},
        "compare": {"baseline": "prompt_at_a_service", "candidate": "tuned_on_a_machine"},
        "options": {
            "prompt_at_a_service": {
                "kind": "prompted", "provider": "google", "model": "gemini-3.5-flash-lite",
                "prompt_tokens": max(0, round(prompted["tokens_per_call"] - tuned["tokens_per_call"])),
                "evaluation": {"rows": report["n"], "minutes_per_row": 1},
            },
            "tuned_on_a_machine": {
                "kind": "own_gpu", "machine_usd": [500, 1000, 3000], "watts": [30, 80, 250],
                "usd_per_kwh": [0.1, 0.2, 0.4], "utilisation": [0.2, 0.4, 0.7],
                "calls_per_hour": max(1, round(3600 / max(tuned["seconds_per_call"], 1e-3))),
                "labelling": labelled, "setup": {"engineer_hours": [8, 24, 60]},
                "maintenance": {"engineer_hours_per_month": [1, 2, 6]},
            },
        },
    }  # fmt: skip
