"""The YAML that Axolotl, LLaMA-Factory and TRL need besides the data, from settings named as PEFT and TRL do."""

import json
import math
from pathlib import Path

import yaml

from ftlab.errors import DataError

# what the files say unless the given settings say otherwise
SETTINGS = {
    "base_model": "unsloth/Qwen3-4B-Instruct-2507",
    "method": "qlora",
    "r": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.0,
    "target_modules": "all-linear",
    "learning_rate": 2e-4,
    "num_train_epochs": 3,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 8,
    "warmup_steps": 0.05,
    "weight_decay": 0.01,
    "lr_scheduler_type": "cosine",
    "max_length": 2048,
    "beta": 0.1,
    "seed": 3407,
}


def complete_settings(given: dict | None) -> dict:
    """SETTINGS with the given ones in their place, None as if not given; DataError for an unknown name or value."""
    given = {key: value for key, value in (given or {}).items() if value is not None}
    unknown = sorted(set(given) - set(SETTINGS))
    if unknown:
        raise DataError(f"unknown setting(s) {', '.join(unknown)}; choose from {', '.join(SETTINGS)}")
    for key, value in given.items():
        number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
        if isinstance(SETTINGS[key], int | float) and not number:
            raise DataError(f"{key}: {value!r} must be a number, 0 or more")
    settings = SETTINGS | given
    if settings["method"] not in ("full", "lora", "qlora"):
        raise DataError(f"method: {settings['method']!r} must be full, lora or qlora")
    modules = settings["target_modules"]
    if modules != "all-linear":
        settings["target_modules"] = [modules] if isinstance(modules, str) else list(modules)
    return settings


def trainer_files(to: str, settings: dict, kind: str, sizes: dict[str, int]) -> dict[str, bytes]:
    """The files of a trainer by name, filled into the templates beside this module; `sizes` are rows by part.

    Keys of Axolotl 0.19, of LLaMA-Factory 0.9.5 and of TRL 1.15 (its SFTConfig, ModelConfig and DatasetMixtureConfig).
    """
    from jinja2 import Environment, StrictUndefined

    name = TRAINER_FILES[to]
    template = (Path(__file__).parent / f"{name}.j2").read_text(encoding="utf-8")
    environment = Environment(trim_blocks=True, undefined=StrictUndefined, keep_trailing_newline=True)
    environment.filters["yaml"] = _yaml
    told = {"preference": kind == "preference", "sizes": sizes}
    told["counted_warmup"] = _warmup_steps(settings, sizes["train"])
    files = {name: environment.from_string(template).render(settings | told).encode()}
    return _dataset_info(kind, sizes) | files if to == "llama_factory" else files


def _dataset_info(kind, sizes) -> dict[str, bytes]:
    """LLaMA-Factory's list of files: sharegpt with our own tags, for its openai layout adds "detailed thinking off"."""
    preference = kind == "preference"
    columns = {"messages": "messages"} | ({"chosen": "chosen", "rejected": "rejected"} if preference else {})
    tags = {f"{tag}_tag": tag for tag in ("role", "content", "user", "assistant", "system")}
    entry = {"formatting": "sharegpt", "ranking": preference, "columns": columns, "tags": tags}
    info = {name: {"file_name": f"{name}.json"} | entry for name in sizes}
    return {"dataset_info.json": (json.dumps(info, indent=1) + "\n").encode()}


def _warmup_steps(settings, rows) -> int:
    """A whole number of steps on one GPU; below 1 the setting is a fraction of all steps."""
    warmup = settings["warmup_steps"]
    if warmup >= 1:
        return int(warmup)
    batch = settings["per_device_train_batch_size"] * settings["gradient_accumulation_steps"]
    return round(math.ceil(rows / batch) * settings["num_train_epochs"] * warmup)


def _yaml(value) -> str:
    return yaml.safe_dump(value, allow_unicode=True).removesuffix("...\n").strip()


TRAINER_FILES = {  # what each trainer is asked to read
    "axolotl": "axolotl.yaml",
    "llama_factory": "llama_factory.yaml",
    "trl_prompt_completion": "trl.yaml",
}
