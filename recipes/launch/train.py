"""Fine-tune on tickets and everyday chats, in one process or in many. Each SETTING is one training.

    python train.py 16x1        # one process: 16 rows a batch, 1 batch a step
    torchrun --standalone --nproc_per_node 2 train.py 8x1        # two processes: each a batch of 8

With UNSLOTH_FSDP2=1 before the second line, the two divide the weights between them.
`8x1:own-mean` lets each process divide its loss by its own count of tokens.
"""

import argparse  # noqa: I001  (ftlab first, unsloth before trl)
import json
import os
import random
from pathlib import Path

import ftlab  # first: it quiets the libraries below
import triton_on_cpu  # noqa: F401  (the file beside this one; it does nothing on a GPU)
import torch
from unsloth import FastLanguageModel
from unsloth.chat_templates import train_on_responses_only

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from ftlab import hardware
from ftlab.data.schema import read_chat
from ftlab.models import resolve

MODEL = "nano"  # or "smol", or a hub id
DATA = Path(ftlab.__file__).parents[1] / "data"
FILES = {"support_triage/train.jsonl": 107, "replay/general.jsonl": 53}  # how many rows of each
STEPS = 10

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("settings", nargs="+", metavar="SETTING", help="BATCHxACCUMULATION, as in 8x1 or 8x1:own-mean")
options.add_argument("--out", type=Path, default=ftlab.home() / "13_scale_out")
options = options.parse_args()

ON_GPU, PRECISION = torch.cuda.is_available(), hardware.precision(MODEL)
DTYPE = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[PRECISION]

chats = []
for file, count in FILES.items():
    chats += [row["messages"] for row in read_chat(DATA / file)[:count]]
random.Random(3407).shuffle(chats)  # the same order in every process


def train(batch, accumulation, own_mean):
    """Train a new adapter; returns the trainer."""
    model, tokenizer = FastLanguageModel.from_pretrained(
        model_name=resolve(MODEL),
        max_seq_length=1024,
        dtype=DTYPE,
        load_in_4bit=ON_GPU,
    )
    model = FastLanguageModel.get_peft_model(
        model,
        r=16,
        lora_alpha=32,
        lora_dropout=0.0,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        bias="none",
        use_gradient_checkpointing="unsloth" if ON_GPU else False,
        random_state=3407,  # the same start in every process
    )
    texts = [tokenizer.apply_chat_template(chat, tokenize=False).rstrip() for chat in chats]
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"text": texts}),
        args=SFTConfig(
            output_dir=str(options.out / "checkpoints"),
            dataset_text_field="text",
            max_length=512,
            packing=False,
            per_device_train_batch_size=batch,  # of each process
            gradient_accumulation_steps=accumulation,
            average_tokens_across_devices=not own_mean,  # the default is True
            max_steps=STEPS,
            learning_rate=4e-3,
            lr_scheduler_type="constant",
            optim="adamw_8bit" if ON_GPU else "adamw_torch",
            gradient_checkpointing=ON_GPU,
            ddp_find_unused_parameters=False,
            bf16=PRECISION == "bf16",
            fp16=PRECISION == "fp16",
            use_cpu=not ON_GPU,
            logging_steps=1,
            save_strategy="no",
            seed=3407,  # the same shuffle in every process, of which each takes its own rows
            report_to="none",
            disable_tqdm=True,
        ),
    )
    trainer = train_on_responses_only(trainer)
    trainer.train()
    return trainer


for setting in options.settings:
    shape, _, mean = setting.partition(":")
    trainer = train(*map(int, shape.split("x")), own_mean=mean == "own-mean")
    weights = [getattr(weight, "_local_tensor", weight) for weight in trainer.model_wrapped.parameters()]
    result = {
        "setting": setting,
        "processes": trainer.args.world_size,
        "sharded": bool(os.environ.get("UNSLOTH_FSDP2")),
        "numbers_here": sum(weight.numel() for weight in weights),
        "losses": [row["loss"] for row in trainer.state.log_history if "loss" in row],
    }
    if trainer.is_world_process_zero():  # one of them writes
        options.out.mkdir(parents=True, exist_ok=True)
        with (options.out / "losses.jsonl").open("a") as file:
            file.write(json.dumps(result) + "\n")
if torch.distributed.is_initialized():
    torch.distributed.destroy_process_group()
