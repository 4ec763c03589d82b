"""What a run needs beside its rows: a schema of records, the wording to beat, the recipe."""

import json
import re
from collections import Counter
from collections.abc import Sequence

from ftlab.baselines.choice import MANY_VALUES
from ftlab.baselines.prompting import input_and_answer, text_of
from ftlab.evaluation.answers import labels_of
from ftlab.evaluation.metrics import parse_record
from ftlab.project.sizes import BATCH, Sizes
from ftlab.training.data import answers_of

LISTED = 100  # labels that a prompt names, all or none: a list that lacks some would forbid right answers


def find_schema(rows: Sequence[dict]) -> dict:
    """A JSON Schema of records: their fields, the values of those that have few, the shape of numbers such as 4711.

    Of training rows: what stands in test rows alone is not known before the test.
    """
    records = [parse_record(answer) for answer in answers_of(rows)]
    texts = [text_of(input_and_answer(row)[0]) for row in rows]
    names = list(dict.fromkeys(name for record in records for name in record))
    rules = {}
    for name in names:
        pairs = [(record[name], text) for record, text in zip(records, texts, strict=True) if name in record]
        rules[name] = _rule(pairs)
    required = [name for name in names if all(name in record for record in records)]
    return {"type": "object", "properties": rules, "required": required}


def _rule(pairs: Sequence[tuple]) -> dict:
    """The rule of one field from its (value, input) pairs."""
    values = list({json.dumps(value): value for value, _ in pairs}.values())
    if len(values) <= min(MANY_VALUES, len(pairs) / 2) and not any(isinstance(value, dict | list) for value in values):
        return {"enum": values}
    if not all(value is None or (isinstance(value, str) and value in text) for value, text in pairs):
        return {}
    shapes = {re.sub(r"\d", r"\\d", re.escape(value)) for value in values if value}  # copied from the input
    if len(shapes) != 1 or r"\d" not in (shape := shapes.pop()):
        return {}
    return {"type": ["string", "null"] if None in values else "string", "pattern": f"^{shape}$"}


def find_wording(rows: Sequence[dict], kind: str, schema: dict | None, instruction: str = "") -> str:
    """The prompt that training has to beat: the `instruction`, else the training rows' own, and what answers may be."""
    systems = Counter(row["messages"][0]["content"] for row in rows if row["messages"][0]["role"] == "system")
    own = (instruction or next((text for text, _ in systems.most_common(1)), "")).strip()
    if kind == "text":
        return own or "Write the answer to this, and nothing else."
    if kind == "record":
        fields = ", ".join(_field(name, rule) for name, rule in schema["properties"].items())
        return f"{own} Answer with one JSON object with the keys {fields}, and nothing else.".strip()
    named = Counter(label for answer in answers_of(rows) for label in (
        labels_of(answer) if kind == "labels" else [answer.strip()]))  # fmt: skip
    if len(named) > LISTED:
        how_many = "one or several short labels, with commas" if kind == "labels" else "one short label"
        return f"{own} Answer with {how_many}, and nothing else.".strip()
    listed = ", ".join(label for label, _ in named.most_common())
    how_many = "one or several of these, with commas" if kind == "labels" else "one of these"
    return f"{own} Answer with {how_many}, and nothing else: {listed}.".strip()


def _field(name: str, rule: dict) -> str:
    values = [json.dumps(value, ensure_ascii=False) for value in rule.get("enum", ())]
    return f"{json.dumps(name)} ({' or '.join(values)})" if values else json.dumps(name)


def write_recipe(name: str, model: str, kind: str, sizes: Sizes, group: str | None, schema: bool, on_gpu: bool) -> dict:
    """The recipe of the run, as `ftlab run` reads it; its files lie beside it."""
    large = on_gpu and model not in ("nano", "smol")
    batch, accumulation = (2, 8) if large else (BATCH, 1)
    data = {part: f"parts/{part}.jsonl" for part in ("train", "validation", "test")}
    data |= ({"schema": "schema.json"} if schema else {}) | {"train_rows": sizes.train}
    training = {
        "method": "qlora" if large else "lora",
        "num_train_epochs": sizes.epochs,
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": accumulation,
        "max_length": sizes.longest,
    }
    asked = {"max_new_tokens": sizes.new_tokens, "batch_size": 16, "validation_rows": sizes.searched}
    recipe = {"name": name, "model": model, "answer": kind, "data": data, "prompts": "prompts.yaml"}
    recipe |= {"group": group} if group else {}
    return recipe | {"training": training, "evaluation": asked, "bars": {"min_gain": 0.05}}
