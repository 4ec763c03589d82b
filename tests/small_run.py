"""A run that is killed by a test: nano with a LoRA, dropout and shuffled rows, by transformers' own Trainer.

    python small_run.py FOLDER [--resume] [--report trackio]

Twelve steps, a checkpoint every four. It prints a line a step and leaves the losses and some answers in the folder.
"""

import json
import random
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments, set_seed
from transformers.trainer_callback import PrinterCallback

from ftlab.models import resolve
from ftlab.training.train import last_checkpoint

STEPS, SAVED = 12, 4


def rows() -> list[dict]:
    draw = random.Random(1)
    texts = [[draw.randrange(20, 400) for _ in range(24)] for _ in range(24)]
    return [{"input_ids": torch.tensor(text), "labels": torch.tensor(text)} for text in texts]


def main(folder: Path, resume: bool = False, report: str = "none") -> dict:
    set_seed(3407)
    model = AutoModelForCausalLM.from_pretrained(resolve("nano"), dtype=torch.float32)
    model = get_peft_model(model, LoraConfig(r=8, lora_dropout=0.1, target_modules=["q_proj", "v_proj"]))
    arguments = TrainingArguments(
        output_dir=str(folder), max_steps=STEPS, per_device_train_batch_size=4, learning_rate=1e-2, logging_steps=1,
        lr_scheduler_type="cosine", save_strategy="steps", save_steps=SAVED, seed=3407, use_cpu=True,
        report_to=report, project="tests", run_name="small", disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(model=model, args=arguments, train_dataset=rows())
    if __name__ != "__main__":
        trainer.remove_callback(PrinterCallback)
    checkpoint = last_checkpoint(folder) if resume else None
    trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    model.eval()
    asked = torch.stack([row["input_ids"][:8] for row in rows()[:4]])
    answers = model.generate(input_ids=asked, attention_mask=torch.ones_like(asked), max_new_tokens=12, do_sample=False)
    losses = {str(row["step"]): float(row["loss"]) for row in trainer.state.log_history if "loss" in row}
    return {"losses": losses, "answers": answers.tolist(), "resumed": checkpoint and checkpoint.name}


if __name__ == "__main__":
    report = sys.argv[sys.argv.index("--report") + 1] if "--report" in sys.argv else "none"
    result = main(Path(sys.argv[1]), "--resume" in sys.argv, report)
    Path(sys.argv[1], "result.json").write_text(json.dumps(result))
