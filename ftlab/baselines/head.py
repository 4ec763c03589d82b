"""The rival of a fine-tune that writes labels: the same model with a layer on top that only tells labels apart.

transformers' own classes (`AutoModelForSequenceClassification`, `Trainer`) with a LoRA of PEFT; the layer reads the
last token of the prompt. It costs one pass a call and no written token, and cannot answer anything but a label.
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ftlab import hardware
from ftlab.baselines.choice import LabelChoices, label_candidates
from ftlab.baselines.prompting import Asked, input_and_answer
from ftlab.evaluation.generation import padded, prompt_ids, reading

BATCH = 16  # inputs at a time while it answers


@dataclass(frozen=True, eq=False, repr=False)
class Head:
    """A trained classification head, asked as the other systems are."""

    model: object
    tokenizer: object
    labels: tuple[str, ...]
    steps: int
    minutes: float

    def answer(self, inputs: Sequence[Asked]) -> LabelChoices:
        """The likeliest label of each input, with the head's probability of it."""
        import torch

        ids, start, shares = _prompts(self.tokenizer, inputs), time.perf_counter(), []
        device = next(self.model.parameters()).device
        with reading(self.model), torch.autocast(device.type, self.model.dtype, self.model.dtype != torch.float32):
            for at in range(0, len(ids), BATCH):
                input_ids, mask = padded(ids[at : at + BATCH], device, self.tokenizer.pad_token_id)
                logits = self.model(input_ids=input_ids, attention_mask=mask).logits
                shares.append(logits.float().softmax(dim=-1).cpu().numpy())
        shares = np.concatenate(shares)
        texts = tuple(self.labels[best] for best in shares.argmax(axis=1))
        return LabelChoices(texts, sum(map(len, ids)), 0, time.perf_counter() - start, 0, shares.max(axis=1))

    def __repr__(self):
        return f"Head: {len(self.labels)} labels, {self.steps} steps in {self.minutes:.1f} minutes"


def train_head(model: str, tokenizer, rows: Sequence[dict], settings, seed: int, dtype: str) -> Head:
    """Train on chat rows whose last answer is a label, in as many steps as a fine-tune with these settings takes.

    `model` is what `resolve` gives, `settings` the section `training` of a recipe, `dtype` "fp32", "bf16" or "fp16".
    RecipeError where the answers are free text.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding, Trainer, logging
    from transformers.trainer_callback import PrinterCallback

    labels, pairs = label_candidates(rows), [input_and_answer(row) for row in rows]
    number, ids = {label: i for i, label in enumerate(labels)}, _prompts(tokenizer, [asked for asked, _ in pairs])
    data = [{"input_ids": x, "labels": number[y.strip()]} for x, (_, y) in zip(ids, pairs, strict=True)]
    torch.manual_seed(seed)
    precision = hardware.torch_dtype(dtype)
    level = logging.get_verbosity()
    logging.set_verbosity_error()  # it would warn of a layer that is to be trained, and is
    network = AutoModelForSequenceClassification.from_pretrained(
        model,
        num_labels=len(labels),
        pad_token_id=tokenizer.pad_token_id,
        dtype=precision,
        quantization_config=_four_bits(precision) if settings.method == "qlora" else None,
    )
    logging.set_verbosity(level)
    with tempfile.TemporaryDirectory() as nothing:  # the trainer must have a folder, and writes nothing into it
        trainer = Trainer(
            model=_with_adapter(network, settings),
            args=_arguments(settings, seed, nothing, dtype),
            train_dataset=data,
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        trainer.remove_callback(PrinterCallback)
        result = trainer.train()
    return Head(trainer.model, tokenizer, tuple(labels), result.global_step, result.metrics["train_runtime"] / 60)


def _prompts(tokenizer, inputs: Sequence[Asked]) -> list[list[int]]:
    """Tokens of each input as a chat, up to where an answer would begin."""
    chats = [[{"role": "user", "content": asked}] if isinstance(asked, str) else asked for asked in inputs]
    return [prompt_ids(tokenizer, chat) for chat in chats]


def _four_bits(precision):
    """NF4 for all but the head, as QLoRA has it."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=precision,
        llm_int8_skip_modules=["score"],
    )


def _with_adapter(network, settings):
    """The network with a LoRA and a head that is trained whole; as it is for full training."""
    from peft import LoraConfig, TaskType, get_peft_model

    network.score.float()  # small steps would be lost in 16 bits
    if settings.method == "full":
        return network
    adapter = settings.model_dump(include={"r", "lora_alpha", "lora_dropout"})
    layers = settings.target_modules
    layers = layers if isinstance(layers, str) else list(layers)
    return get_peft_model(network, LoraConfig(task_type=TaskType.SEQ_CLS, target_modules=layers, **adapter))


def _arguments(settings, seed: int, folder: str, dtype: str):
    import torch
    from transformers import TrainingArguments

    names = {
        "learning_rate", "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps",
        "warmup_steps", "weight_decay", "lr_scheduler_type", "train_sampling_strategy",
    }  # fmt: skip
    return TrainingArguments(
        output_dir=folder,
        **settings.model_dump(include=names),
        bf16=dtype == "bf16",
        fp16=dtype == "fp16",
        dataloader_pin_memory=torch.cuda.is_available(),
        save_strategy="no",
        logging_strategy="no",
        seed=seed,
        report_to="none",
        disable_tqdm=True,
    )
