# ---
# ftlab:
#   reads: [data/support_triage/train.jsonl, data/support_triage/validation.jsonl, data/support_triage/test.jsonl, data/models/nano/model.safetensors, data/models/nano/tokenizer.json]
#   headline: field accuracy before and after one minute of training
# ---

# %% [markdown]
# # Start here
#
# **Question:** does my machine work, and what does a fine-tune look like in one minute?
# **Minutes:** 3. **Hardware:** any; two CPU cores are enough, no GPU, no account, no network.
#
# You [fine-tune](GLOSSARY.md#fine-tuning) a small language model to read support tickets and write one strict JSON
# record for each. You see its answers before and after, on tickets that it never saw. A word that is new to you stands
# in the [glossary](GLOSSARY.md); its first use in a notebook is a link.

# %% [markdown]
# ## What can this machine do?

# %%
import ftlab  # first: it quiets the libraries below
from ftlab import hardware

hardware.describe()

# %% [markdown]
# The notes under the table say what will run here. Everything in this course runs with the bundled model `nano`, so
# whatever the table shows, you can go on. With a GPU, the same cells train larger models.

# %% [markdown]
# ## The task
#
# A shop wants each ticket turned into a record that its software can read: which team, how pressing, which product,
# which order, in what mood, and what the customer wants.

# %%
import json

from ftlab.data import read_chat

train_rows = read_chat("../data/support_triage/train.jsonl")
test_rows = read_chat("../data/support_triage/test.jsonl")

row = train_rows[1]
print(row["messages"][1]["content"], "\n")
print(json.dumps(json.loads(row["messages"][2]["content"]), indent=2))

# %% [markdown]
# Above the ticket, below it the record that we want for it. Each example is a chat of three messages: the [system
# message](GLOSSARY.md#system-prompt) says what to do ("Triage the ticket."), the user's message is the ticket, the
# assistant's is the ideal answer. That is all a fine-tune learns from.

# %% [markdown]
# ## The model before training
#
# `nano` has a few million [parameters](GLOSSARY.md#parameter); even a small chat model has a thousand times as many. It
# has read texts of an invented world of shops, clinics and everyday facts, and never this shop's labels. To use a real
# model, change `MODEL`; the cells stay as they are.

# %%
import torch
from unsloth import FastLanguageModel

from ftlab.models import resolve

MODEL = "nano"  # or "unsloth/Qwen3-4B-Instruct-2507" on a GPU

precision = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[hardware.precision()]
model, tokenizer = FastLanguageModel.from_pretrained(
    model_name=resolve(MODEL),
    max_seq_length=1024,
    dtype=precision,
    load_in_4bit=torch.cuda.is_available(),
)
print(f"{model.num_parameters():,} parameters")

# %%
from ftlab.evaluation.generation import generate

shown, sample = test_rows[:3], test_rows[:120]
before = generate(model, tokenizer, [r["messages"][:-1] for r in sample])
for r, answer in zip(shown, before.texts[:3], strict=True):
    print("ticket:", r["messages"][1]["content"][:90], "...\nanswer:", answer[:110], "\n")

# %% [markdown]
# Nobody has told the model which record we want, so whatever it writes is a guess. A good [prompt](GLOSSARY.md#prompt)
# would tell it, and notebook 03 measures how far that gets. Here we go straight to training.

# %% [markdown]
# ## One minute of training
#
# [LoRA](GLOSSARY.md#lora) freezes the model and trains a small addition to each of its matrices. The next three cells
# are the real calls of [Unsloth](GLOSSARY.md#unsloth) and [TRL](GLOSSARY.md#trl), the same that train an
# 8-billion-parameter model on a GPU; notebook 06 takes them apart.

# %%
model = FastLanguageModel.get_peft_model(
    model,
    r=16,
    lora_alpha=32,
    lora_dropout=0.0,
    target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    bias="none",
    use_gradient_checkpointing="unsloth" if torch.cuda.is_available() else False,
    random_state=3407,
)
model.print_trainable_parameters()

# %%
from datasets import load_dataset

files = {"train": "../data/support_triage/train.jsonl", "validation": "../data/support_triage/validation.jsonl"}
dataset = load_dataset("json", data_files=files)
dataset["train"] = dataset["train"].select(range(600))
dataset["validation"] = dataset["validation"].select(range(60))


def as_text(batch):
    return {"text": [tokenizer.apply_chat_template(chat, tokenize=False) for chat in batch["messages"]]}


dataset = dataset.map(as_text, batched=True, remove_columns=dataset["train"].column_names)
print(dataset["train"][1]["text"])

# %% [markdown]
# This is one example as the model sees it: the [chat template](GLOSSARY.md#chat-template) has put a marker in front of
# each turn and an [end token](GLOSSARY.md#end-token) behind it.

# %%
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer
from unsloth.chat_templates import train_on_responses_only

from ftlab.training.runlog import LivePlot

trainer = SFTTrainer(
    model=model,
    processing_class=tokenizer,
    train_dataset=dataset["train"],
    eval_dataset=dataset["validation"],
    args=SFTConfig(
        output_dir=str(ftlab.home() / "00_start_here"),
        dataset_text_field="text",
        max_length=512,
        per_device_train_batch_size=16,
        per_device_eval_batch_size=16,
        num_train_epochs=2,
        learning_rate=4e-3 if MODEL == "nano" else 2e-4,
        warmup_steps=0.05,
        lr_scheduler_type="cosine",
        gradient_checkpointing=torch.cuda.is_available(),
        bf16=hardware.precision() == "bf16",
        fp16=hardware.precision() == "fp16",
        logging_steps=3,
        eval_strategy="steps",
        eval_steps=15,
        save_strategy="no",
        seed=3407,
        report_to="none",
        disable_tqdm=True,
    ),
    callbacks=[LivePlot()],
)
trainer.remove_callback(PrinterCallback)  # the live plot replaces the printed lines
trainer = train_on_responses_only(trainer)  # learn the answers, not the tickets
result = trainer.train()

# %%
evals = [float(row["eval_loss"]) for row in trainer.state.log_history if "eval_loss" in row]
print(f"{result.global_step} steps in {result.metrics['train_runtime']:.0f} seconds; validation loss {evals[0]:.2f}", end=" ")
print(f"when first measured, {evals[-1]:.2f} at the end")

# %% [markdown]
# The [loss](GLOSSARY.md#loss) is how surprised the model is by the right answer, [token](GLOSSARY.md#token) by token:
# lower is better. The thin line is the loss on the tickets that it trains on, the thick one on validation tickets that
# it does not. As long as the thick line falls too, the model learns the task and not only the examples.

# %% [markdown]
# ## Before and after, on unseen tickets

# %%
import pandas as pd
from IPython.display import display

FastLanguageModel.for_inference(model)
after = generate(model, tokenizer, [r["messages"][:-1] for r in sample])

table = pd.DataFrame(
    {
        "ticket": [r["messages"][1]["content"] for r in shown],
        "before": before.texts[:3],
        "after": after.texts[:3],
        "right answer": [r["messages"][2]["content"] for r in shown],
    }
)
with pd.option_context("display.max_colwidth", None):
    display(table)

# %% [markdown]
# Three tickets are for looking: first at the form of the answers, then at each value. How often form and values are right,
# only a count can tell.

# %% tags=["headline"]
from ftlab.evaluation import score_records
from ftlab.plots import show, systems_alt, systems_figure

references = [r["messages"][2]["content"] for r in sample]
scores = {name: score_records(out.texts, references).summary() for name, out in {"before": before, "after": after}.items()}
fields = {name: summary["field_accuracy"] for name, summary in scores.items()}
show(systems_figure(fields), systems_alt(fields))
for name, summary in scores.items():
    print(f"{name}: {summary['field_accuracy']} of the fields right, {summary['valid_json']} valid JSON")

# %% [markdown]
# Each dot is the share of fields that are right on 120 unseen tickets, the bar its 95 % [confidence
# interval](GLOSSARY.md#confidence-interval): where the share may lie on other tickets of this kind. Where the two bars
# do not overlap, the change is more than luck. A share without its interval says little; notebook 07 shows why.
#
# ## What you have seen
#
# - A fine-tune is ordinary training, continued for a moment on examples of one task.
# - The same cells run on this machine and on a GPU; only `MODEL` changes.
# - "Better than before" is not yet a reason to ship: a good prompt might do as well, without any training.
#
# **Read next:** [03 Measure baselines](03_measure_baselines.ipynb) for the bar that a fine-tune must beat,
# [06 Train with Unsloth](06_train_with_unsloth.ipynb) for these cells one by one,
# [07 Evaluate](07_evaluate.ipynb) for whether it worked.
