"""The YAML that Axolotl, LLaMA-Factory and TRL need besides the data, from settings named as PEFT and TRL do."""

import json
import math

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


def axolotl_files(settings: dict, kind: str, sizes: dict[str, int]) -> dict[str, bytes]:
    """axolotl.yaml, keys of Axolotl 0.19; `axolotl train axolotl.yaml` in the folder of the files."""
    form = {"type": "chat_template", "field_messages": "messages", "chat_template": "tokenizer_default"}
    if kind == "preference":
        form |= {"type": "chat_template.default", "field_chosen": "chosen", "field_rejected": "rejected"}
    else:
        form |= {"roles_to_train": ["assistant"], "message_field_training": "train"}
    sets = [{"path": f"{name}.jsonl", "ds_type": "json", "split": "train"} | form for name in sizes]
    warmup, modules = settings["warmup_steps"], settings["target_modules"]
    config = {"base_model": settings["base_model"], "datasets": sets[:1]}
    if sets[1:]:
        config["test_datasets"] = sets[1:]
    if kind == "preference":
        config |= {"rl": "dpo", "rl_beta": settings["beta"]}
    if settings["method"] != "full":
        config |= {
            "adapter": settings["method"],
            "load_in_4bit": settings["method"] == "qlora",
            "lora_r": settings["r"],
            "lora_alpha": settings["lora_alpha"],
            "lora_dropout": settings["lora_dropout"],
        }
        every = modules == "all-linear"
        config |= {"lora_target_linear": True} if every else {"lora_target_modules": modules}
    config |= {
        "sequence_len": settings["max_length"],
        "excess_length_strategy": "raise",  # its own default drops long rows
        "sample_packing": False,
        "micro_batch_size": settings["per_device_train_batch_size"],
        "gradient_accumulation_steps": settings["gradient_accumulation_steps"],
        "num_epochs": settings["num_train_epochs"],
        "learning_rate": settings["learning_rate"],
        "lr_scheduler": settings["lr_scheduler_type"],
        **({"warmup_ratio": warmup} if warmup < 1 else {"warmup_steps": int(warmup)}),
        "weight_decay": settings["weight_decay"],
        "optimizer": "adamw_torch",
        "bf16": "auto",
        "seed": settings["seed"],
        "output_dir": "output",
    }
    return {"axolotl.yaml": _yaml(config, "Run in this folder: axolotl train axolotl.yaml")}


def llama_factory_files(settings: dict, kind: str, sizes: dict[str, int]) -> dict[str, bytes]:
    """dataset_info.json and llama_factory.yaml, keys of LLaMA-Factory 0.9.5.

    The layout is sharegpt with our own tags: its openai layout adds "detailed thinking off" to the system turn.
    """
    preference = kind == "preference"
    columns = {"messages": "messages"} | ({"chosen": "chosen", "rejected": "rejected"} if preference else {})
    tags = {f"{tag}_tag": tag for tag in ("role", "content", "user", "assistant", "system")}
    entry = {"formatting": "sharegpt", "ranking": preference, "columns": columns, "tags": tags}
    info = {name: {"file_name": f"{name}.json"} | entry for name in sizes}
    same = ("per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs", "learning_rate",
            "lr_scheduler_type", "weight_decay", "seed")  # fmt: skip
    modules = settings["target_modules"]
    config = {"model_name_or_path": settings["base_model"], "stage": "dpo" if preference else "sft", "do_train": True}
    if preference:
        config |= {"pref_beta": settings["beta"], "pref_loss": "sigmoid"}
    if settings["method"] == "full":
        config["finetuning_type"] = "full"
    else:
        config |= {
            "finetuning_type": "lora",
            "lora_rank": settings["r"],
            "lora_alpha": settings["lora_alpha"],
            "lora_dropout": settings["lora_dropout"],
            "lora_target": "all" if modules == "all-linear" else ",".join(modules),
        }
        config |= {"quantization_bit": 4} if settings["method"] == "qlora" else {}
    config |= {"dataset_dir": ".", "dataset": "train", "cutoff_len": settings["max_length"]}
    config |= {"eval_dataset": "validation", "eval_strategy": "epoch"} if "validation" in sizes else {}
    config |= {key: settings[key] for key in same}
    config |= {"warmup_steps": _warmup_steps(settings, sizes["train"]), "bf16": True, "output_dir": "output"}
    head = (
        "Run in this folder: llamafactory-cli train llama_factory.yaml\n"
        "Add `template:` with the name LLaMA-Factory gives to your model; without it the tokenizer's own is parsed.\n"
        "warmup_steps is counted for one GPU; rows over cutoff_len are cut."
    )
    encoded = (json.dumps(info, indent=1) + "\n").encode()
    return {"dataset_info.json": encoded, "llama_factory.yaml": _yaml(config, head)}


def trl_files(settings: dict, kind: str, sizes: dict[str, int]) -> dict[str, bytes]:
    """trl.yaml, keys of TRL 1.15: those of its SFTConfig, ModelConfig and DatasetMixtureConfig."""
    train = {"path": "json", "data_files": "train.jsonl", "split": "train"}
    config = {"model_name_or_path": settings["base_model"], "datasets": [train], "completion_only_loss": True}
    if settings["method"] != "full":
        config |= {
            "use_peft": True,
            "load_in_4bit": settings["method"] == "qlora",
            "lora_r": settings["r"],
            "lora_alpha": settings["lora_alpha"],
            "lora_dropout": settings["lora_dropout"],
            "lora_target_modules": settings["target_modules"],
        }
        config |= {"use_bnb_nested_quant": True} if settings["method"] == "qlora" else {}
    same = ("max_length", "per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs",
            "learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "seed")  # fmt: skip
    config |= {key: settings[key] for key in same} | {"packing": False, "output_dir": "output", "report_to": "none"}
    head = (
        "Run in this folder: trl sft --config trl.yaml\n"
        "This command takes no second file: validation.jsonl is for a script of yours. Rows over max_length are cut."
    )
    return {"trl.yaml": _yaml(config, head)}


def _warmup_steps(settings, rows) -> int:
    """A whole number of steps on one GPU; below 1 the setting is a fraction of all steps."""
    warmup = settings["warmup_steps"]
    if warmup >= 1:
        return int(warmup)
    batch = settings["per_device_train_batch_size"] * settings["gradient_accumulation_steps"]
    return round(math.ceil(rows / batch) * settings["num_train_epochs"] * warmup)


def _yaml(config, head) -> bytes:
    import yaml

    comment = "".join(f"# {line}\n" for line in head.splitlines())
    config = json.loads(json.dumps(config))  # a list that stands twice is written twice, not as an alias
    return (comment + yaml.safe_dump(config, sort_keys=False, allow_unicode=True)).encode()


# each: (settings, chat or preference, rows by file) -> {name of a file: its content}
TRAINER_FILES = {"axolotl": axolotl_files, "llama_factory": llama_factory_files, "trl_prompt_completion": trl_files}
