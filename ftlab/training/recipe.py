"""A recipe: one YAML file that says everything a run needs, read strictly.

Files named in a recipe are looked for in the current folder first, then in the recipe's own folder, then in
the root of this repository; absolute paths are taken as they are.
"""

import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import reduce
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator

from ftlab.errors import RecipeError
from ftlab.evaluation.gate import Bars
from ftlab.evaluation.metrics import METRICS
from ftlab.models import REPOSITORY

ADAPTER_KEYS = ("r", "lora_alpha", "lora_dropout", "target_modules")  # what only lora and qlora have
SCHEDULERS = (  # those of transformers that need no further arguments
    "constant",
    "constant_with_warmup",
    "cosine",
    "cosine_with_restarts",
    "inverse_sqrt",
    "linear",
    "polynomial",
)
# PyYAML follows YAML 1.1, in which a number with an exponent needs a dot and a sign: 4e-3 is a text
EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


@dataclass(frozen=True)
class DataFiles:
    """Chat JSONL files; `slices` are further test sets by name, `schema` is the answer's JSON Schema.

    With `train_rows`, only the first so many rows are trained on.
    """

    train: Path
    validation: Path
    test: Path
    slices: dict[str, Path]
    schema: Path | None = None
    train_rows: int | None = None


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
        files = {f"data.{key}": getattr(self.data, key) for key in ("train", "validation", "test", "schema")}
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
    content, lines, problems = _read(path)
    if problems:  # a key given twice: which one is meant is not ours to guess
        _raise(path, problems, lines)
    content = _complete(content, SCHEMA)
    problems = [p for error in Draft202012Validator(SCHEMA).iter_errors(content) for p in _explain(error)]
    problems += _check_together(content)
    bad = {at for at, _ in problems}
    files = {}
    for at, name in _file_names(content):
        files[at], problem = _find(name, path.parent)
        if problem and at not in bad:
            problems.append((at, problem))
    problems += _check_distinct(files)
    _raise(path, problems, lines)
    data, evaluation = content["data"], content["evaluation"]
    modules = content["training"]["target_modules"]
    slices = {name: files["data", "slices", name] for name in data["slices"]}
    data |= {key: files.get(("data", key)) for key in ("train", "validation", "test", "schema")}
    evaluation |= {"probe": files.get(("evaluation", "probe"))}
    content["training"]["target_modules"] = tuple(modules) if isinstance(modules, list) else modules
    return Recipe(
        **content
        | {
            "data": DataFiles(**data | {"slices": slices}),
            "prompts": files.get(("prompts",)),
            "training": Training(**content["training"]),
            "evaluation": Evaluation(**evaluation),
            "bars": Bars(**content["bars"]),
        }
    )


def _pairs(settings) -> str:
    shown = {key: value for key, value in asdict(settings).items() if value is not None}
    shown |= {key: " ".join(value) for key, value in shown.items() if isinstance(value, tuple)}
    return ", ".join(f"{key} {getattr(value, 'name', value)}" for key, value in shown.items())


def _section(required: dict, optional: dict | None = None, **extra) -> dict:
    keys = required | (optional or {})
    return {
        "type": "object",
        "properties": keys,
        "required": list(required),
        "additionalProperties": False,
        **extra,
    }


def _key(kind, remedy, **rules) -> dict:
    return {"type": kind, "description": remedy, **rules}


def _or_null(rule: dict) -> dict:
    return rule | {"type": [rule["type"], "null"], "default": None}


def _file(what) -> dict:
    return _key("string", f"write the path of {what}", minLength=1)


def _count(what) -> dict:
    return _key("integer", f"write {what}, a whole number from 1", minimum=1, maximum=10**9)


def _bar(what) -> dict:
    return _key("number", f"write {what} as a fraction of 1 (0.05 is five points)")


SCHEMA = _section(
    {
        "name": _key(
            "string",
            "write a short name that may be a folder: letters, digits, dot, dash, underscore",
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z",
        ),
        "task": _key("string", "say in a few words what the model has to do", minLength=1),
        "model": _key("string", "write nano, a hub id (owner/name) or a model folder", minLength=1),
        "seed": _key("integer", "write a whole number from 0", minimum=0, maximum=2**32 - 1),
        "data": _section(
            {
                "train": _file("the training rows (chat JSONL)"),
                "validation": _file("the validation rows (chat JSONL)"),
                "test": _file("the test rows (chat JSONL)"),
            },
            {
                "slices": {
                    "type": ["object", "null"],
                    "description": "write one line `name: path` for each further test set",
                    "default": {},
                    "propertyNames": _key("string", "write the name of a further test set as a text")
                    | {"pattern": r"^(?!(test|validation|train)$)[A-Za-z0-9._-]+$"},
                    "additionalProperties": _file("a further test set (chat JSONL)"),
                },
                "schema": _or_null(_file("the answer's JSON Schema, or leave the key out")),
                "train_rows": _or_null(_count("how many training rows to use, or leave the key out")),
            },
        ),
        "training": _section(
            {
                "method": _key("string", "write lora, qlora or full", enum=["lora", "qlora", "full"]),
                "learning_rate": _key(
                    "number",
                    "write a number above 0 and at most 1 (LoRA on a 1B-8B model: 1e-4 to 2e-4)",
                    exclusiveMinimum=0,
                    maximum=1,
                ),
                "num_train_epochs": _key(
                    "number",
                    "write how often to go through the data (1 to 3)",
                    exclusiveMinimum=0,
                    maximum=10**4,
                ),
                "per_device_train_batch_size": _count("the rows of one step on one device"),
                "gradient_accumulation_steps": _count("the batches added up before each step (1 for none)"),
                "warmup_steps": _key(
                    "number",
                    "write a fraction of all steps below 1 (0.05), or a whole number of steps",
                    minimum=0,
                    maximum=10**9,
                ),
                "weight_decay": _key("number", "write a number from 0 to 1 (0.01)", minimum=0, maximum=1),
                "lr_scheduler_type": _key("string", f"write one of {', '.join(SCHEDULERS)}", enum=SCHEDULERS),
                "max_length": _count("the longest row to train on, in tokens"),
            },
            {
                "r": _or_null(_count("the rank of the adapter (16)")),
                "lora_alpha": _or_null(_count("the scale of the adapter (r or 2·r)")),
                "lora_dropout": _or_null(
                    _key("number", "write a number from 0 to below 1 (0)", minimum=0, exclusiveMaximum=1)
                ),
                "target_modules": {
                    "type": ["array", "string", "null"],
                    "description": "write a list of different layer names ([q_proj, v_proj]) or all-linear",
                    "default": None,
                    "items": {
                        "type": "string",
                        "minLength": 1,
                        "description": "write the name of a layer, such as q_proj",
                    },
                    "minItems": 1,
                    "uniqueItems": True,
                    "pattern": r"^all-linear\Z",
                },
            },
        ),
        "evaluation": _section(
            {
                "max_new_tokens": _count("the longest answer in tokens"),
                "batch_size": _count("how many answers to generate at a time"),
            },
            {
                "probe": _or_null(_file("the probe's rows (JSONL), or leave the key out")),
                "validation_rows": _or_null(_count("how many validation rows to use, or leave the key out")),
            },
        ),
        "bars": _section(
            {
                "min_gain": _bar("the gain that training must bring") | {"exclusiveMinimum": 0, "exclusiveMaximum": 1},
                "max_probe_loss": _bar("the loss that a probe may have") | {"minimum": 0, "exclusiveMaximum": 1},
            },
            {
                "alpha": _bar("the share of false alarms")
                | {"exclusiveMinimum": 0, "exclusiveMaximum": 1, "default": 0.05},
                "metric": _key("string", f"write one of {', '.join(METRICS)}", enum=METRICS)
                | {"default": "field_accuracy"},
            },
        ),
    },
    {"prompts": _or_null(_file("the YAML file of prompt wordings, or leave the key out"))},
)


def _read(path) -> tuple[object, dict, list]:
    """The content, the line of each key (by its path), and keys that stand there twice."""
    if path.is_dir():
        raise RecipeError(f"{path} is a folder: name one recipe (.yaml)")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise RecipeError(f"{path} does not exist: check the path (now in {Path.cwd()})") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    try:
        content, node = yaml.safe_load(text), yaml.compose(text, Loader=yaml.SafeLoader)
        lines, twice = {}, []
        _find_lines(node, (), lines, twice)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else path
        remedy = "indent with spaces, write `key: value`, and put a text with a colon in quotes"
        raise RecipeError(f"{where}: not YAML: {error.problem or error.context}; {remedy}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(f"{path}: not readable as YAML: {error}; correct or quote that value") from error
    if not isinstance(content, dict):
        keys = ", ".join(SCHEMA["properties"])
        raise RecipeError(f"{path}: holds no settings; write `key: value` lines for {keys}")
    return content, lines, twice


def _find_lines(node, at, lines, twice):
    if node is None:
        return
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            inner = (*at, key.value if isinstance(key.value, str) else str(key.start_mark.line + 1))
            if inner in seen:
                lines[inner] = key.start_mark.line + 1
                twice.append((inner, "stands there twice; delete one"))
            seen.add(inner)
            lines[inner] = key.start_mark.line + 1
            _find_lines(value, inner, lines, twice)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _find_lines(value, (*at, index), lines, twice)


def _complete(value, rule):
    """A copy with defaults filled in and numbers as numbers: `4e-3` and 3 where a float is meant."""
    kinds = rule.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if "object" in kinds and isinstance(value, dict):
        known = rule.get("properties", {})
        filled = {key: each["default"] for key, each in known.items() if "default" in each}
        return filled | {key: _complete(each, known.get(key, {})) for key, each in value.items()}
    if value is None and rule.get("default") is not None and "null" in kinds:
        return rule["default"]
    number = {"integer", "number"} & set(kinds)
    if number and isinstance(value, str) and EXPONENT.fullmatch(value):
        value = float(value)
    if isinstance(value, float) and math.isnan(value):
        return "nan"  # no number to a schema: it would pass every comparison
    if number and isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18:
        return int(value) if "integer" in kinds and value == int(value) else float(value)
    return value


def _explain(error):
    """(path, message with remedy) for what jsonschema found."""
    at, rule = tuple(error.absolute_path), error.schema
    if error.validator == "additionalProperties":
        for key in error.instance.keys() - rule["properties"].keys():
            yield (*at, key), f"is unknown; {_meant(key, at, rule['properties'])}"
    elif error.validator == "required":
        for key in error.validator_value:
            if key not in error.instance:
                yield (*at, key), f"is missing; {_remedy(rule['properties'][key])}"
    else:
        shown = json.dumps(error.instance, default=str, ensure_ascii=False)
        shown = "empty" if error.instance is None else shown
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        close = get_close_matches(str(error.instance), rule.get("enum", ()), n=1)
        meant = f" (did you mean {close[0]}?)" if close else ""
        yield at, f"is {shown}{meant}; {_remedy(rule)}"


def _remedy(rule) -> str:
    return rule.get("description") or f"write it as a section with {', '.join(rule['properties'])}"


def _meant(key, at, known) -> str:
    """The nearest key of the same section, else the section where the key belongs."""
    if close := get_close_matches(str(key), known, n=3):
        return f"did you mean {' or '.join(close)}?"
    sections = {"": SCHEMA} | SCHEMA["properties"]
    for section, rule in sections.items():
        if key in rule.get("properties", ()) and section != ".".join(map(str, at)):
            return f"put it under {section}:" if section else "put it at the top level"
    return f"delete it, or use one of {', '.join(known)}"


def _check_together(content):
    """Rules over more than one key, and those that a schema cannot say."""
    training = content.get("training")
    if not isinstance(training, dict):
        return
    for key in ADAPTER_KEYS:
        rule, given = SCHEMA["properties"]["training"]["properties"][key], training.get(key) is not None
        if training.get("method") in ("lora", "qlora") and not given:
            yield ("training", key), f"is missing, and {training['method']} needs it; {_remedy(rule)}"
        if training.get("method") == "full" and given:
            yield ("training", key), "has no effect with method full, which trains every weight; delete it"
    warmup = training.get("warmup_steps")
    if isinstance(warmup, float) and warmup > 1 and warmup != round(warmup):
        remedy = _remedy(SCHEMA["properties"]["training"]["properties"]["warmup_steps"])
        yield ("training", "warmup_steps"), f"is {warmup}; {remedy}"


def _file_names(content):
    """(path of the key, file name) of every file that the recipe names as a text."""
    slices = _get(content, ("data", "slices"))
    keys = [("data", key) for key in ("train", "validation", "test", "schema")]
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


def _raise(path, problems, lines):
    """One RecipeError with a line for each problem, in the order of the file; nothing without problems."""
    found = sorted({(_line(at, lines), ".".join(map(str, at)) or "recipe", text) for at, text in problems})
    if found:
        raise RecipeError("\n".join(f"{path}:{line}: {key}: {text}" for line, key, text in found))


def _line(at, lines):
    """The line of a key, or of the section in which it is missing."""
    return next(lines[at[:end]] for end in range(len(at), -1, -1) if at[:end] in lines)
