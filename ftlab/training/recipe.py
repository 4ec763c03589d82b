"""A recipe: one YAML file that says everything a run needs, read strictly.

Files named in a recipe are looked for in the current folder first, then in the recipe's own folder, then in
the root of this repository; absolute paths are taken as they are.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path

from ftlab.evaluation.gate import Bars
from ftlab.evaluation.metrics import METRICS
from ftlab.models import REPOSITORY
from ftlab.settings_old import (
    choice_rule,
    complete,
    number_rule,
    read_yaml,
    remedy,
    schema_problems,
    section_rule,
    text_rule,
    whole_rule,
)

ADAPTER_KEYS = ("r", "lora_alpha", "lora_dropout", "target_modules")  # what only lora and qlora have
FILE_KEYS = ("train", "validation", "test", "schema", "replay")  # of the section data
SCHEDULERS = (  # those of transformers that need no further arguments
    "constant",
    "constant_with_warmup",
    "cosine",
    "cosine_with_restarts",
    "inverse_sqrt",
    "linear",
    "polynomial",
)


@dataclass(frozen=True)
class DataFiles:
    """Chat JSONL files; `slices` are further test sets by name, `schema` is the answer's JSON Schema.

    With `train_rows`, only the first so many rows are trained on; the rows of `replay` are mixed in, so that the
    model keeps what it could do before.
    """

    train: Path
    validation: Path
    test: Path
    slices: dict[str, Path]
    schema: Path | None = None
    train_rows: int | None = None
    replay: Path | None = None


@dataclass(frozen=True)
class Training:
    """Settings by the names of PEFT and TRL; those of the adapter are None when `method` is "full".

    `warmup_steps` below 1 is a fraction of all steps, from 1 a number of steps; `max_length` is in tokens.
    """

    method: str
    learning_rate: float
    num_train_epochs: float
    per_device_train_batch_size: int
    gradient_accumulation_steps: int
    warmup_steps: float
    weight_decay: float
    lr_scheduler_type: str
    max_length: int
    r: int | None = None
    lora_alpha: int | None = None
    lora_dropout: float | None = None
    target_modules: tuple[str, ...] | str | None = None


@dataclass(frozen=True)
class Evaluation:
    """How answers are generated; `probe` is a file of what the model must not lose, None for no probe.

    `validation_rows` is how many validation rows the prompt search may use, None for all.
    """

    max_new_tokens: int
    batch_size: int
    probe: Path | None = None
    validation_rows: int | None = None


@dataclass(frozen=True, repr=False)
class Recipe:
    """One run: model, data, training, evaluation, and the bars that were written down before it."""

    name: str
    task: str
    model: str
    seed: int
    data: DataFiles
    prompts: Path | None
    training: Training
    evaluation: Evaluation
    bars: Bars

    @property
    def files(self) -> dict[str, Path]:
        """Every file that the recipe names, by its key."""
        files = {f"data.{key}": getattr(self.data, key) for key in FILE_KEYS}
        files |= {f"data.slices.{name}": path for name, path in self.data.slices.items()}
        files |= {"prompts": self.prompts, "evaluation.probe": self.evaluation.probe}
        return {key: path for key, path in files.items() if path is not None}

    @property
    def sha256(self) -> str:
        """Hash of the settings: comments, layout and folders do not count, file names do."""
        text = json.dumps(asdict(self), sort_keys=True, default=lambda path: path.name)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def data_sha256(self) -> str:
        """Hash of the bytes of every file that the recipe names: data, schema, prompts, probe."""
        total = hashlib.sha256()
        for key, path in sorted(self.files.items()):
            with path.open("rb") as file:
                total.update(f"{key} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
        return total.hexdigest()

    def __repr__(self):
        rows = [
            ("task", self.task),
            ("model", f"{self.model}, seed {self.seed}"),
            ("files", ", ".join(f"{key} {path.name}" for key, path in self.files.items())),
            ("training", _pairs(self.training)),
            ("evaluation", _pairs(self.evaluation)),
            ("bars", _pairs(self.bars)),
        ]
        return "\n".join([f"Recipe {self.name}", *(f"  {name:<11}{value}" for name, value in rows)])


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe; one RecipeError lists everything wrong in it, each with file, line, key and remedy."""
    path = Path(path)
    content, place = read_yaml(path, SCHEMA, "recipe")
    content = complete(content, SCHEMA)
    problems = schema_problems(content, SCHEMA) + list(_check_together(content))
    files = {}
    for at, name in _file_names(content):
        files[at], problem = _find(name, path.parent)
        if problem:
            problems.append((at, problem))
    problems += _check_distinct(files)
    place.raise_problems(problems)
    data, evaluation, training = content["data"], content["evaluation"], content["training"]
    data |= {key: files.get(("data", key)) for key in FILE_KEYS}
    data |= {"slices": {name: files["data", "slices", name] for name in data["slices"]}}
    evaluation |= {"probe": files.get(("evaluation", "probe"))}
    if isinstance(training.get("target_modules"), list):
        training |= {"target_modules": tuple(training["target_modules"])}
    return Recipe(
        **content
        | {
            "data": DataFiles(**data),
            "prompts": files.get(("prompts",)),
            "training": Training(**training),
            "evaluation": Evaluation(**evaluation),
            "bars": Bars(**content["bars"]),
        }
    )


def _pairs(settings) -> str:
    shown = {key: value for key, value in asdict(settings).items() if value is not None}
    shown |= {key: " ".join(value) for key, value in shown.items() if isinstance(value, tuple)}
    return ", ".join(f"{key} {getattr(value, 'name', value)}" for key, value in shown.items())


def _file(what) -> dict:
    return text_rule(f"the path of {what}")


def _fraction(what, **bounds) -> dict:
    return number_rule(f"{what} as a fraction of 1 (0.05 is five points)", **bounds)


SCHEMA = section_rule(
    {
        "name": text_rule(
            "a short name that may be a folder: letters, digits, dot, dash, underscore",
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z",
        ),
        "task": text_rule("in a few words what the model has to do"),
        "model": text_rule("nano, a hub id (owner/name) or a model folder"),
        "seed": whole_rule("the seed of all that is random", minimum=0, maximum=2**32 - 1),
        "data": section_rule(
            {
                "train": _file("the training rows (chat JSONL)"),
                "validation": _file("the validation rows (chat JSONL)"),
                "test": _file("the test rows (chat JSONL)"),
            },
            {
                "slices": {
                    "type": "object",
                    "description": "write one line `name: path` for each further test set",
                    "default": {},
                    "propertyNames": text_rule(
                        "the name of a further test set as a text",
                        pattern=r"^(?!(test|validation|train|probe)$)[a-z0-9._-]+$",
                    ),
                    "additionalProperties": _file("a further test set (chat JSONL)"),
                },
                "schema": _file("the answer's JSON Schema, or leave the key out"),
                "replay": _file("rows of general skills to mix in (chat JSONL), or leave the key out"),
                "train_rows": whole_rule("how many training rows to use, or leave the key out"),
            },
        ),
        "training": section_rule(
            {
                "method": choice_rule(("lora", "qlora", "full")),
                "learning_rate": number_rule(
                    "a number above 0 and at most 1 (LoRA on a 1B-8B model: 1e-4 to 2e-4)",
                    exclusiveMinimum=0,
                    maximum=1,
                ),
                "num_train_epochs": number_rule(
                    "how often to go through the data (1 to 3)", exclusiveMinimum=0, maximum=10**4
                ),
                "per_device_train_batch_size": whole_rule("the rows of one step on one device"),
                "gradient_accumulation_steps": whole_rule("the batches added up before each step (1 for none)"),
                "warmup_steps": number_rule(
                    "a fraction of all steps below 1 (0.05), or a whole number of steps", minimum=0, maximum=10**9
                ),
                "weight_decay": number_rule("a number from 0 to 1 (0.01)", minimum=0, maximum=1),
                "lr_scheduler_type": choice_rule(SCHEDULERS),
                "max_length": whole_rule("the longest row to train on, in tokens"),
            },
            {
                "r": whole_rule("the rank of the adapter (16)"),
                "lora_alpha": whole_rule("the scale of the adapter (r or 2·r)"),
                "lora_dropout": number_rule("a number from 0 to below 1 (0)", minimum=0, exclusiveMaximum=1),
                "target_modules": {
                    "type": ["array", "string"],
                    "description": "write a list of different layer names ([q_proj, v_proj]) or all-linear",
                    "items": text_rule("the name of a layer, such as q_proj"),
                    "minItems": 1,
                    "uniqueItems": True,
                    "pattern": r"^all-linear\Z",
                },
            },
        ),
        "evaluation": section_rule(
            {
                "max_new_tokens": whole_rule("the longest answer in tokens"),
                "batch_size": whole_rule("how many answers to generate at a time"),
            },
            {
                "probe": _file("the probe's rows (JSONL), or leave the key out"),
                "validation_rows": whole_rule("how many validation rows to use, or leave the key out"),
            },
        ),
        "bars": section_rule(
            {
                "min_gain": _fraction("the gain that training must bring", exclusiveMinimum=0, exclusiveMaximum=1),
                "max_probe_loss": _fraction("the loss that a probe may have", minimum=0, exclusiveMaximum=1),
            },
            {
                "alpha": _fraction("the share of false alarms", exclusiveMinimum=0, exclusiveMaximum=1, default=0.05),
                "metric": choice_rule(METRICS, default="field_accuracy"),
            },
        ),
    },
    {"prompts": _file("the YAML file of prompt wordings, or leave the key out")},
)


def _check_together(content):
    """Rules over more than one key, and those that a schema cannot say."""
    training = content.get("training")
    if not isinstance(training, dict):
        return
    rules = SCHEMA["properties"]["training"]["properties"]
    for key in ADAPTER_KEYS:
        if training.get("method") in ("lora", "qlora") and key not in training:
            yield ("training", key), f"is missing, and {training['method']} needs it; {remedy(rules[key])}"
        if training.get("method") == "full" and key in training:
            yield ("training", key), "has no effect with method full, which trains every weight; delete it"
    warmup = training.get("warmup_steps")
    if isinstance(warmup, float) and warmup > 1 and warmup != round(warmup):
        yield ("training", "warmup_steps"), f"is {warmup}; {remedy(rules['warmup_steps'])}"


def _file_names(content):
    """(path of the key, file name) of every file that the recipe names as a text."""
    slices = _get(content, ("data", "slices"))
    keys = [("data", key) for key in FILE_KEYS]
    keys += [("data", "slices", name) for name in (slices if isinstance(slices, dict) else ())]
    for at in [*keys, ("prompts",), ("evaluation", "probe")]:
        if isinstance(name := _get(content, at), str) and name:
            yield at, name


def _get(content, at):
    return reduce(lambda inner, key: inner.get(key) if isinstance(inner, dict) else None, at, content)


def _find(name, folder) -> tuple[Path | None, str]:
    """The file, or None and what to do."""
    tried = dict.fromkeys(base.resolve() for base in (Path.cwd(), folder, REPOSITORY))
    found = next((base / name for base in tried if (base / name).exists()), None)
    if found is None:
        places = ", ".join(map(str, tried))
        return None, f"{name} does not exist; correct the path (looked in {places})"
    if not found.is_file():
        return None, f"{name} is a folder; name one file"
    return found, ""


def _check_distinct(files):
    """No file may serve two purposes: a test row that was trained on measures memory."""
    seen = {}
    for at, path in files.items():
        if path and at[0] == "data" and at != ("data", "schema"):
            first = seen.setdefault(path.resolve(), at)
            if first != at:
                yield at, f"is the same file as {'.'.join(first)}; name a file with other rows"
