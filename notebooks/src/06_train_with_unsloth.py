# ---
# ftlab:
#   reads: [data/support_triage/train.jsonl, data/support_triage/validation.jsonl, data/models/nano/model.safetensors, data/models/nano/tokenizer.json]
#   headline: validation loss, first and last
# ---

# %% [markdown]
# # Train with Unsloth
#
# **Question:** how do I train, watch, interrupt and resume a QLoRA run?
# **Minutes:** 3 with `nano`. **Hardware:** any for `nano`; a T4 (16 GB) trains models up to 8B with the same cells.
#
# Every cell stands alone enough to be copied into your project: real library calls, explicit arguments. Point `MODEL` and
# `DATA` at your own and run them all.

# %% [markdown]
# ## Choose the model and the precision

# %%
import ftlab  # first: it quiets the libraries below
import torch
from unsloth import FastLanguageModel

from ftlab import hardware
from ftlab.models import resolve

MODEL = "nano"  # a hub id such as "unsloth/Qwen3-4B-Instruct-2507", or a local folder
DATA = {"train": "../data/support_triage/train.jsonl", "validation": "../data/support_triage/validation.jsonl"}
ON_GPU = torch.cuda.is_available()

precision = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[hardware.precision()]
model, tokenizer = FastLanguageModel.from_pretrained(
    model_name=resolve(MODEL),
    max_seq_length=1024,
    dtype=precision,
    load_in_4bit=ON_GPU,  # QLoRA: the frozen base in 4 bits; for nano on a CPU not worth it (measured below)
)
print(f"{model.num_parameters():,} parameters in {next(model.parameters()).dtype}")

# %% [markdown]
# A T4 computes in fp16, newer cards in bf16, a CPU in fp32: the wrong choice is slow or gives NaN, so the hardware decides.

# %% [markdown]
# ## Add the adapter
#
# LoRA leaves each matrix $W$ frozen and learns $\Delta W = \frac{\alpha}{r} B A$ with two thin matrices of rank $r$.

# %%
model = FastLanguageModel.get_peft_model(
    model,
    r=16,  # rank: 8-32 is usual
    lora_alpha=32,  # the update is scaled by lora_alpha / r
    lora_dropout=0.0,
    target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],  # all linear layers
    bias="none",
    use_gradient_checkpointing="unsloth" if ON_GPU else False,  # less memory for a little time
    random_state=3407,
)
model.print_trainable_parameters()

# %% [markdown]
# The share is large because `nano` is so small; on an 8B model the same adapter is about half a percent.

# %% [markdown]
# ## The data, exactly as the model will see it

# %%
from datasets import load_dataset

dataset = load_dataset("json", data_files=DATA)
dataset["train"] = dataset["train"].select(range(min(600, len(dataset["train"]))))
dataset["validation"] = dataset["validation"].select(range(min(60, len(dataset["validation"]))))
chats = list(dataset["train"]["messages"])


def as_text(batch):
    return {"text": [tokenizer.apply_chat_template(chat, tokenize=False) for chat in batch["messages"]]}


dataset = dataset.map(as_text, batched=True, remove_columns=dataset["train"].column_names)
print(dataset["train"][0]["text"])

# %% [markdown]
# Markers and end tokens come from the model's own chat template. Train with one template and serve with another, and the
# model meets a format that it never learned.

# %%
import matplotlib.pyplot as plt

from ftlab.plots import show

lengths = [len(tokenizer(text)["input_ids"]) for text in dataset["train"]["text"]]
fig, ax = plt.subplots(figsize=(7, 2.2))
ax.hist(lengths, bins=30, color="#0072b2")
ax.set(xlabel="tokens in an example", ylabel="examples")
show(fig, f"Histogram of example lengths: from {min(lengths)} to {max(lengths)} tokens, {len(lengths)} examples.")
print(f"longest: {max(lengths)} tokens, so max_length=512 cuts {sum(n > 512 for n in lengths)} examples")

# %% [markdown]
# An example longer than `max_length` loses its end, and the end is the answer. Look before you train.

# %% [markdown]
# ## The trainer

# %%
from trl import SFTConfig, SFTTrainer

config = SFTConfig(
    output_dir=str(ftlab.home() / "06_train_with_unsloth"),
    dataset_text_field="text",
    max_length=512,
    packing=False,
    per_device_train_batch_size=16,  # 2 on a T4 with an 8B model,
    gradient_accumulation_steps=1,  # then 8 here: the same 16 examples a step
    per_device_eval_batch_size=16,
    num_train_epochs=2,
    learning_rate=4e-3 if MODEL == "nano" else 2e-4,  # small models take larger steps
    warmup_steps=0.05,  # a fraction of all steps
    weight_decay=0.01,
    lr_scheduler_type="cosine",
    optim="adamw_8bit" if ON_GPU else "adamw_torch",
    bf16=hardware.precision() == "bf16",
    fp16=hardware.precision() == "fp16",
    logging_steps=2,
    eval_strategy="steps",
    eval_steps=15,
    save_strategy="steps",
    save_steps=15,
    save_total_limit=2,
    seed=3407,
    report_to="none",  # or "trackio", "wandb"
    disable_tqdm=True,
)
trainer = SFTTrainer(
    model=model,
    processing_class=tokenizer,
    train_dataset=dataset["train"],
    eval_dataset=dataset["validation"],
    args=config,
)
print(f"{len(dataset['train'])} examples, {config.num_train_epochs} epochs, batch {config.per_device_train_batch_size}")

# %% [markdown]
# **Exercise.** How many optimizer steps is that? Write `steps(rows, epochs, batch, accumulation)`. The last batch of an
# epoch may be smaller; it still counts, and so does a last, incomplete accumulation.

# %% tags=["exercise"]
def steps(rows, epochs, batch, accumulation):
    # solution
    import math

    batches = math.ceil(rows / batch)
    return math.ceil(epochs * max(math.ceil(batches / accumulation), 1))
    # end solution


# %%
from ftlab.exercises import check_steps

check_steps(steps)

# %% [markdown]
# ## Loss on the answer only, proved
#
# Without a mask the model also learns to write tickets. `train_on_responses_only` sets the label of every token outside
# the answer to -100, which the loss ignores. A wrong marker here ruins a run silently, so prove it.

# %%
from unsloth.chat_templates import train_on_responses_only

from ftlab.training.preflight import check_masks

trainer = train_on_responses_only(trainer)
check_masks(trainer.train_dataset, chats, tokenizer)

# %% [markdown]
# Bold is trained: the answer and its end token. `check_masks` looked at every example and stops with the first that is
# otherwise. The end token matters most: a model that never learns to stop goes on for ever.

# %% [markdown]
# **Exercise.** Write the mask yourself: `labels(input_ids, marker)` returns a copy of the ids in which everything up to
# and including the *last* occurrence of the marker (a list of ids) is -100. Without the marker, everything is.

# %% tags=["exercise"]
def labels(input_ids, marker):
    # solution
    n = len(marker)
    starts = [i for i in range(len(input_ids) - n + 1) if input_ids[i : i + n] == marker]
    end = starts[-1] + n if starts else len(input_ids)
    return [-100] * end + list(input_ids[end:])
    # end solution


# %%
from ftlab.exercises import check_response_mask

check_response_mask(labels)

# %% [markdown]
# ## Train, and pull the plug
#
# A Colab session ends when it likes. Practise that: this callback stops the run after 30 steps, as a lost machine would.

# %%
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback

from ftlab.training.runlog import LivePlot


class PullThePlug(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step >= 30


live_plot = LivePlot()
trainer.remove_callback(PrinterCallback)  # the live plot replaces the printed lines
trainer.add_callback(live_plot)
trainer.add_callback(PullThePlug())
stopped = trainer.train()
print(f"stopped after {stopped.global_step} steps")

# %% [markdown]
# The run stopped in the middle. On disk is a checkpoint: adapter, optimizer, scheduler, random state and step.

# %%
from pathlib import Path

for folder in sorted(Path(config.output_dir).glob("checkpoint-*")):
    size = sum(f.stat().st_size for f in folder.iterdir()) / 1e6
    print(f"{folder.name}: {size:.1f} MB, {len(list(folder.iterdir()))} files")

# %% [markdown]
# ## Resume

# %% tags=["headline"]
trainer.remove_callback(PullThePlug)
result = trainer.train(resume_from_checkpoint=True)  # the newest checkpoint in output_dir
evals = [row["eval_loss"] for row in trainer.state.log_history if "eval_loss" in row]
print(f"{result.global_step} steps; validation loss {float(evals[0]):.3f} at first, {float(evals[-1]):.3f} at last")

# %% [markdown]
# One curve: the second run went on where the first one stopped, with the same learning rate and the same order of
# examples. Thick is validation loss; while it falls, the model still learns something general.

# %% [markdown]
# ## Train too long on too little
#
# The same adapter from scratch, on 40 examples for 15 epochs.

# %%
small_model, _ = FastLanguageModel.from_pretrained(
    model_name=resolve(MODEL), max_seq_length=1024, dtype=precision, load_in_4bit=ON_GPU
)
small_model = FastLanguageModel.get_peft_model(
    small_model,
    r=16,
    lora_alpha=32,
    lora_dropout=0.0,
    target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    bias="none",
    use_gradient_checkpointing="unsloth" if ON_GPU else False,
    random_state=3407,
)
overfit = SFTTrainer(
    model=small_model,
    processing_class=tokenizer,
    train_dataset=dataset["train"].select(range(40)),
    eval_dataset=dataset["validation"],
    args=SFTConfig(
        output_dir=str(ftlab.home() / "06_overfit"),
        dataset_text_field="text",
        max_length=512,
        per_device_train_batch_size=8,
        per_device_eval_batch_size=16,
        num_train_epochs=15,
        learning_rate=4e-3 if MODEL == "nano" else 2e-4,
        lr_scheduler_type="constant",
        bf16=hardware.precision() == "bf16",
        fp16=hardware.precision() == "fp16",
        logging_steps=5,
        eval_strategy="steps",
        eval_steps=10,
        save_strategy="no",
        seed=3407,
        report_to="none",
        disable_tqdm=True,
    ),
    callbacks=[LivePlot()],
)
overfit.remove_callback(PrinterCallback)
overfit = train_on_responses_only(overfit)
last = overfit.train()

# %%
losses = [float(row["eval_loss"]) for row in overfit.state.log_history if "eval_loss" in row]
print(f"validation loss: best {min(losses):.2f}, last {losses[-1]:.2f}; with 600 examples {float(evals[-1]):.2f}")

# %% [markdown]
# Training loss goes to zero, validation loss does not follow: from there on the model learns the forty tickets by heart.
# More different examples help; more epochs do not.

# %% [markdown]
# ## QLoRA: the base in four bits
#
# On a GPU you have been training in 4 bits all along. On a CPU, here is the same load once, timed: what does it save, and
# what does it cost?

# %%
import time

batch = tokenizer(dataset["train"]["text"][:16], return_tensors="pt", padding=True).to(model.device)


def weight_bytes(m):
    return sum(p.numel() * p.element_size() for p in m.parameters() if not p.requires_grad)


def seconds_per_step(m):
    times = []
    for _ in range(4):
        start = time.perf_counter()
        m(**batch, labels=batch["input_ids"]).loss.backward()
        times.append(time.perf_counter() - start)
    return min(times)


loaded = {}
for name, four_bit in {"16/32-bit": False, "4-bit (NF4)": True}.items():
    base, _ = FastLanguageModel.from_pretrained(
        model_name=resolve(MODEL), max_seq_length=1024, dtype=precision, load_in_4bit=four_bit
    )
    loaded[name] = FastLanguageModel.get_peft_model(
        base,
        r=16,
        lora_alpha=32,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        use_gradient_checkpointing=False,
        random_state=3407,
    )
seconds = {name: seconds_per_step(m) for name, m in loaded.items()}
for name, m in loaded.items():
    print(f"{name}: {weight_bytes(m) / 1e6:.1f} MB of frozen weights, {seconds[name]:.2f} s a step")
print(f"4-bit takes {seconds['4-bit (NF4)'] / seconds['16/32-bit']:.1f} times as long here")

# %% [markdown]
# Four bits save memory, and an 8B model fits on a small card only that way. They do not save time: each matrix is unpacked
# before use, which can cost a multiple on one CPU and next to nothing on another. `nano` fits anywhere, so its default on a CPU is LoRA without quantisation. (Its embedding stays in full
# precision and is a large part of so small a model; in an 8B model the saving is close to four times.)

# %% [markdown]
# ## Save, load back, and check that nothing changed

# %%
from ftlab.evaluation.generation import generate

FastLanguageModel.for_inference(model)
question = [chats[0][:-1]]
answer = generate(model, tokenizer, question).texts[0]

model.save_pretrained(ftlab.home() / "my_adapter")
tokenizer.save_pretrained(ftlab.home() / "my_adapter")
again, again_tokenizer = FastLanguageModel.from_pretrained(
    model_name=str(ftlab.home() / "my_adapter"), max_seq_length=1024, dtype=precision, load_in_4bit=ON_GPU
)
FastLanguageModel.for_inference(again)
assert generate(again, again_tokenizer, question).texts[0] == answer, "the loaded adapter answers otherwise"
print("same answer after loading:", answer)

# %% [markdown]
# The adapter is the whole product of the training; the base model stays what it was.
#
# ## On a GPU
#
# The cells above are the GPU cells. What changes: `MODEL`, 4-bit loading, fp16 or bf16, an 8-bit optimizer, gradient
# checkpointing, a batch of 2 with 8 accumulation steps. The field's usual settings for LoRA are r 16, alpha 16 or 32, all
# seven linear layers, a learning rate of 1e-4 to 2e-4 and one to three epochs; `nano` takes a rate twenty times larger
# because it is so small.
#
# ## What you have seen
#
# - Model, adapter, text, mask, trainer: five steps, each with one thing to check.
# - Prove the mask and the end token on every example; both faults are silent.
# - Save checkpoints, and practise the resume before you need it.
# - Validation loss tells when to stop. Whether the model is *good* is another question.
#
# **Read next:** [07 Evaluate](07_evaluate.ipynb).
