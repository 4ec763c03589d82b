"""The trainer of `ftlab run`: the cells of notebook 06 with the settings of a recipe."""

import gc
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from ftlab import hardware
from ftlab.errors import ModelError
from ftlab.models import resolve
from ftlab.training.fit import wants_checkpointing
from ftlab.training.preflight import check_masks, what_is_wrong
from ftlab.training.recipe import ADAPTER_KEYS, Recipe, Training


def load_model(recipe: Recipe, weights: Path | None = None):
    """Model and tokenizer of a recipe through Unsloth, in the precision of this machine; trained: with the `weights`.

    They are the folder that a training has saved: an adapter, or with method full a whole model.
    """
    import torch
    from unsloth import FastLanguageModel

    gc.collect()  # a model that was used before makes room
    full = recipe.training.method == "full"
    precision = hardware.precision(recipe.model)
    if full and not torch.cuda.is_available():
        precision = "fp32"  # bf16 would round most steps of 2e-5 away; the trainer still multiplies in bf16
    try:
        model, tokenizer = FastLanguageModel.from_pretrained(
            model_name=str(weights) if weights and full else resolve(recipe.model),
            max_seq_length=max(2048, recipe.training.max_length),
            dtype=hardware.torch_dtype(precision),
            load_in_4bit=recipe.training.method == "qlora",
            full_finetuning=full,
        )
        if weights and not full:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, weights)
    except Exception as error:  # a damaged file of a model shows as nearly anything
        raise ModelError(f"{recipe.model}: cannot be loaded. {type(error).__name__}: {error}") from error
    tokenizer = getattr(tokenizer, "tokenizer", tokenizer)  # a model that sees comes with a processor
    if tokenizer.chat_template is None:
        raise ModelError(f"{recipe.model}: has no chat template, so it cannot be asked; take its instruct model")
    return model, tokenizer


def untrainable_rows(rows: Sequence[dict], tokenizer, max_length: int) -> list[tuple[int, str]]:
    """(index, problem with remedy) of each row whose loss would not be on its whole answers, before any training."""
    from unsloth.chat_templates import train_on_responses_only

    if not rows:
        return []
    begin, end = tokenizer.bos_token, tokenizer.eos_token
    texts = [text if text.endswith(end) else text + end for text in as_texts(rows, tokenizer)]  # as TRL does
    doubled = bool(begin) and any(text.startswith(begin) for text in texts)  # the tokenizer's own is one too many
    ids = tokenizer(texts, add_special_tokens=not doubled)["input_ids"]
    mask = train_on_responses_only(None, tokenizer=tokenizer, return_function=True)
    labels = mask({"input_ids": ids})["labels"]
    problems = []
    for index, row in enumerate(rows):
        if (length := len(ids[index])) > max_length:
            remedy = "raise max_length, or shorten or drop the row"
            problems.append((index, f"{length:,} tokens, which max_length {max_length:,} would cut: {remedy}"))
        elif wrong := what_is_wrong({"input_ids": ids[index], "labels": labels[index]}, row, tokenizer):
            problems.append((index, wrong))
    return problems


def train_model(recipe: Recipe, model, tokenizer, train: Sequence[dict], validation: Sequence[dict], folder: Path):
    """Train as notebook 06 does; returns the model and what the run was like."""
    from unsloth.chat_templates import train_on_responses_only  # noqa: I001  (before trl)
    import torch
    from datasets import Dataset
    from transformers.trainer_callback import PrinterCallback
    from trl import SFTTrainer

    texts, settings = as_texts(train, tokenizer), recipe.training
    longest = min(settings.max_length, max(map(len, tokenizer(texts)["input_ids"])))
    batch = settings.per_device_train_batch_size
    again = wants_checkpointing(recipe.model, settings.method, longest=longest, batch=batch, rank=settings.r)
    again = again or (settings.method == "full" and torch.cuda.is_available())  # Unsloth has switched it on
    if settings.method != "full":
        model = add_adapter(settings, model, recipe.seed, again)
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"text": texts}),
        eval_dataset=Dataset.from_dict({"text": as_texts(validation, tokenizer)}),
        args=trainer_arguments(recipe, len(train), folder, again),
    )
    trainer = train_on_responses_only(trainer)
    check_masks(trainer.train_dataset, train, tokenizer, trainer.data_collator)
    trainer.remove_callback(PrinterCallback)
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    try:
        checkpoint = last_checkpoint(Path(trainer.args.output_dir))
        result = trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    except torch.cuda.OutOfMemoryError as error:
        remedy = "lower per_device_train_batch_size (and raise gradient_accumulation_steps), max_length, or take qlora"
        raise ModelError(f"{recipe.model}: the GPU's memory is full while training; {remedy}") from error
    log = [
        {"step": row["step"], **{key: float(row[key]) for key in ("loss", "eval_loss") if key in row}}
        for row in trainer.state.log_history
        if "loss" in row or "eval_loss" in row
    ]
    before = int(checkpoint.name.partition("-")[2]) if checkpoint else 0
    taken = (result.global_step - before) / result.global_step  # in this process; as long for each step before
    return trainer.model, {
        "minutes": result.metrics["train_runtime"] / 60 / taken if taken else None,
        "steps": result.global_step,
        "final_loss": next((row["loss"] for row in reversed(log) if "loss" in row), None),
        "final_eval_loss": next((row["eval_loss"] for row in reversed(log) if "eval_loss" in row), None),
        "still_falling": still_falling([row["eval_loss"] for row in log if "eval_loss" in row]),
        "log": log,
        "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "peak_memory_gib": torch.cuda.max_memory_allocated() / 2**30 if on_gpu else None,
    }


def still_falling(losses: Sequence[float]) -> bool:
    """Whether the last validation loss is the lowest, and 2 % or more below the one before it."""
    return len(losses) > 1 and losses[-1] == min(losses) and losses[-1] <= 0.98 * losses[-2]


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint; what a stopped run had half written is deleted."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))
    while found:
        try:
            json.loads((found[-1] / "trainer_state.json").read_text())  # the trainer writes it last
        except (OSError, ValueError):
            shutil.rmtree(found.pop())
        else:
            return found[-1]
    return None


def as_texts(rows: Sequence[dict], tokenizer) -> list[str]:
    """The rows as the chat template writes them."""
    # without the new line that some templates end with: TRL would add a second end token after it
    return [
        tokenizer.apply_chat_template(row["messages"], tools=row.get("tools"), tokenize=False).rstrip() for row in rows
    ]


def add_adapter(settings: Training, model, seed: int, checkpointing: bool = False):
    """The model with a new LoRA adapter; with `checkpointing` activations are computed again in the backward pass."""
    from unsloth import FastLanguageModel

    layers = settings.target_modules
    return FastLanguageModel.get_peft_model(
        model,
        **settings.model_dump(include={"r", "lora_alpha", "lora_dropout"}),
        target_modules=layers if isinstance(layers, str) else list(layers),
        bias="none",
        use_gradient_checkpointing="unsloth" if checkpointing else False,
        random_state=seed,
    )


def bytes_to_save(settings: Training, model, trainings: int) -> int:
    """What trainings write, at 4 bytes a number: the end and a checkpoint (weights, two moments) of each, one more."""
    from torch.nn import Linear

    if settings.method == "full":
        numbers = sum(weight.numel() for weight in model.parameters())
    else:
        layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, Linear)}
        chosen = settings.target_modules
        numbers = sum(
            settings.r * (layer.in_features + layer.out_features)
            for name, layer in layers.items()
            if chosen == "all-linear" or name.rpartition(".")[2] in chosen
        )
    return 4 * numbers * ((1 + 3) * trainings + 3)


def trainer_arguments(recipe: Recipe, rows: int, folder: Path, checkpointing: bool = False):
    """The SFTConfig of a run over so many rows; `checkpointing` as for the adapter."""
    import torch
    from trl import SFTConfig

    settings, precision, on_gpu = recipe.training, hardware.precision(recipe.model), torch.cuda.is_available()
    batch = settings.per_device_train_batch_size * settings.gradient_accumulation_steps
    steps = rows * settings.num_train_epochs // batch
    logged = max(1, int(steps // 50))
    return SFTConfig(
        output_dir=str(folder / "checkpoints"),
        dataset_text_field="text",
        packing=False,
        per_device_eval_batch_size=settings.per_device_train_batch_size,
        **settings.model_dump(exclude={"method", *ADAPTER_KEYS}),  # they have TRL's names
        gradient_checkpointing=checkpointing,  # less memory for more time
        optim="adamw_8bit" if on_gpu else "adamw_torch",
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        logging_steps=logged,
        eval_strategy="steps",
        eval_steps=max(1, int(steps // 6)),
        save_strategy="steps",  # a run that was stopped goes on from here
        save_steps=max(logged, int(steps // 6) // logged * logged),  # else a loss that was not logged yet is lost
        save_total_limit=1,
        seed=recipe.seed,
        report_to="none",
        disable_tqdm=True,
    )
