"""Fine-tune on tickets and everyday chats, in one process or in many. Each SETTING is one training and has a folder.

    python train.py 16x1        # one process: 16 rows a batch, 1 batch a step
    torchrun --standalone --nproc_per_node 2 train.py 8x1        # two processes: each a batch of 8

With UNSLOTH_FSDP2=1 before the second line, the two divide the weights between them. A base that fits no card whole
also needs UNSLOTH_FSDP2_SHARDED_LOAD=1 and --16bit: then each process reads only its share of it.
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

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("settings", nargs="+", metavar="SETTING", help="BATCHxACCUMULATION, as in 8x1 or 8x1:own-mean")
options.add_argument("--out", type=Path, default=ftlab.home() / "13_scale_out")
options.add_argument("--steps", type=int, default=10)
options.add_argument("--save-every", type=int, help="steps between checkpoints; none by default")
options.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
options.add_argument("--16bit", dest="in_16_bits", action="store_true", help="do not pack the base into four bits")
options = options.parse_args()
print(f"process {os.environ.get('RANK', 0)} of {os.environ.get('WORLD_SIZE', 1)}", flush=True)

ON_GPU, PRECISION = torch.cuda.is_available(), hardware.precision(MODEL)
DTYPE = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[PRECISION]

chats = []
for file, count in FILES.items():
    chats += [row["messages"] for row in read_chat(DATA / file)[:count]]
random.Random(3407).shuffle(chats)  # the same order in every process


def train(folder, batch, accumulation, own_mean):
    """Train a new adapter; returns the trainer."""
    model, tokenizer = FastLanguageModel.from_pretrained(
        model_name=resolve(MODEL),
        max_seq_length=1024,
        dtype=DTYPE,
        load_in_4bit=ON_GPU and not options.in_16_bits,
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
            output_dir=str(folder / "checkpoints"),
            dataset_text_field="text",
            max_length=512,
            packing=False,
            per_device_train_batch_size=batch,  # of each process
            gradient_accumulation_steps=accumulation,
            average_tokens_across_devices=not own_mean,  # the default is True
            max_steps=options.steps,
            learning_rate=4e-3,
            lr_scheduler_type="constant",
            optim="adamw_8bit" if ON_GPU else "adamw_torch",
            gradient_checkpointing=ON_GPU,
            ddp_find_unused_parameters=False,
            bf16=PRECISION == "bf16",
            fp16=PRECISION == "fp16",
            use_cpu=not ON_GPU,
            logging_steps=1,
            save_strategy="steps" if options.save_every else "no",
            save_steps=options.save_every or 500,
            seed=3407,  # the same shuffle in every process, of which each takes its own rows
            report_to="none",
            disable_tqdm=True,
        ),
    )
    trainer = train_on_responses_only(trainer)
    trainer.train(resume_from_checkpoint=options.resume or None)
    return trainer


for setting in options.settings:
    shape, _, mean = setting.partition(":")
    folder = options.out / setting.replace(":", "_")
    trainer = train(folder, *map(int, shape.split("x")), own_mean=mean == "own-mean")
    trainer.save_model(str(folder / "adapter"))  # on every process: all give their share, one writes
    weights = list(trainer.model_wrapped.parameters())
    shares = [getattr(weight, "_local_tensor", weight) for weight in weights]
    adapter = [weight.detach().flatten() for weight in weights if weight.requires_grad]
    sharded = any(share is not weight for share, weight in zip(shares, weights, strict=True))
    result = {
        "setting": setting,
        "processes": trainer.args.world_size,
        "sharded": sharded,
        "numbers_here": sum(share.numel() for share in shares),
        "adapter": None if sharded else torch.cat(adapter).norm().item(),  # its size
        "losses": [row["loss"] for row in trainer.state.log_history if "loss" in row],
    }
    if trainer.is_world_process_zero():  # one of them writes
        options.out.mkdir(parents=True, exist_ok=True)
        with (options.out / "losses.jsonl").open("a") as file:
            file.write(json.dumps(result) + "\n")
if torch.distributed.is_initialized():
    torch.distributed.destroy_process_group()
