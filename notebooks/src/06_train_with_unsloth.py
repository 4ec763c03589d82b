# ---
# ftlab:
#   reads: [data/support_triage/train.jsonl, data/support_triage/validation.jsonl, data/models/nano/*.json, data/models/nano/*.jinja, data/models/nano/model.safetensors, data/hardware/*.csv]
#   headline: validation loss, first and last
# ---

# %% [markdown]
# # Train with Unsloth
#
# **Question:** how do I train a model on my own file with QLoRA, and see that each step did what it should?
# **Minutes:** 18 to read, 3 to run with `nano`. **Hardware:** any for `nano` and `smol`; by estimate, a T4 (16 GB) trains
# models up to 8B with the same cells.
#
# You train a model to turn support tickets into JSON records. This page is made to be copied: real library calls, every
# setting written out. What you must change for your own
# project stands in the next cell, and nowhere else. As it stands, it trains `nano`, which shows every step in seconds
# and answers badly. With `MODEL = "smol"`, a real chat model of 135 million [parameters](GLOSSARY.md#parameter), the same
# cells take ten to twenty minutes on two CPU cores, by estimate.

# %% [markdown]
# ## Your choices

# %%
import ftlab  # first: it quiets the libraries below

MODEL = "nano"  # or "smol", or a hub id such as "unsloth/Qwen3-4B-Instruct-2507" (on a GPU), or a folder
DATA = {
    "train": "../data/support_triage/train.jsonl",
    "validation": "../data/support_triage/validation.jsonl",
}
ROWS = {"train": 800, "validation": 60}  # how many examples to take; None for all
OUTPUT = ftlab.home() / "06_train_with_unsloth"  # a Path, another for each run: checkpoints go here
MAX_LENGTH = 512  # tokens; what is longer is cut
BATCH, ACCUMULATION = {"nano": (16, 1), "smol": (8, 2)}.get(MODEL, (2, 8))  # each makes 16 examples a step
LEAST_STEPS = 100  # so many times the weights move at least: a small file is read more often, up to ten times
RANK = 16  # of the adapter, the width of its two thin matrices; 8 to 32 is usual
LEARNING_RATE = {"nano": 4e-3, "smol": 2e-3}.get(MODEL, 2e-4)  # the smaller the model, the larger its steps
REPORT_TO = "trackio"  # keeps the curves on this machine; "wandb" is a service, "none" leaves them to the checkpoints
CARD = "T4"  # where this machine has no GPU: the one to ask about before you rent it

# %% [markdown]
# Your own data is two [JSONL](GLOSSARY.md#jsonl) files, each line `{"messages": [{"role": "user", "content": ...},
# {"role": "assistant", "content": ...}]}`, with a system message first if you use one. If you have only one file,
# `ftlab split` cuts it without [leaks](GLOSSARY.md#leakage); `ftlab check` says what is wrong in it.

# %% [markdown]
# ## Load the model

# %%
import torch
from unsloth import FastLanguageModel

from ftlab import hardware
from ftlab.models import resolve

ON_GPU, PRECISION = torch.cuda.is_available(), hardware.precision(MODEL)
DTYPE = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[PRECISION]

model, tokenizer = FastLanguageModel.from_pretrained(
    model_name=resolve(MODEL),  # says in one sentence what is wrong when the model cannot be had
    max_seq_length=max(1024, MAX_LENGTH),  # the longest text it will meet, prompt and answer
    dtype=DTYPE,  # what it computes in
    load_in_4bit=ON_GPU,  # QLoRA: the frozen base in 4 bits; the last experiment below weighs it
)
print(f"{model.num_parameters():,} parameters, computing in {PRECISION}")

# %% [markdown]
# A T4 computes in [fp16](GLOSSARY.md#number-format), newer cards in bf16. A CPU computes in fp32, or in bf16 if it
# multiplies that faster, which is measured (`nano` stays in fp32). The wrong choice is slow or ends in NaN, so the
# hardware decides.

# %% [markdown]
# ## Add the adapter
#
# [LoRA](GLOSSARY.md#lora) leaves each matrix $W$ frozen and learns $\Delta W = \frac{\alpha}{r} B A$ with two thin
# matrices of [rank](GLOSSARY.md#rank) $r$.

# %%
model = FastLanguageModel.get_peft_model(
    model,
    r=RANK,
    lora_alpha=32,  # the update is scaled by lora_alpha / r; keep it when the rank changes (05 shows why)
    lora_dropout=0.0,  # share of the adapter's inputs left out at random; 0 is fastest
    # all linear layers:
    target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    bias="none",  # biases stay frozen too
    # forget activations and compute them again: less memory for more time; "Does it fit?" says whether yours needs it
    use_gradient_checkpointing="unsloth" if ON_GPU else False,
    random_state=3407,  # the start of the random half; the other half starts at zero
)
model.print_trainable_parameters()

# %% [markdown]
# The smaller the model, the larger the [adapter](GLOSSARY.md#adapter)'s share: an 8B model gets about half a percent
# from these same settings.

# %% [markdown]
# ## The data, exactly as the model will see it

# %%
import random

from datasets import Dataset

from ftlab.data.schema import read_chat

chats, dataset = {}, {}
for part, path in DATA.items():
    rows = read_chat(path)  # stops at a bad line, with its number and field
    random.Random(3407).shuffle(rows)  # a file sorted by class would give a one-sided sample
    chats[part] = [row["messages"] for row in rows[: ROWS[part]]]
    print(f"{part}: {len(chats[part])} of {len(rows)} examples")
    # many templates end with a new line; after that, TRL would add a second end token
    texts = [tokenizer.apply_chat_template(chat, tokenize=False).rstrip() for chat in chats[part]]
    dataset[part] = Dataset.from_dict({"text": texts})
print(dataset["train"][0]["text"])

# %% [markdown]
# Markers and [end tokens](GLOSSARY.md#end-token) come from the model's own [chat template](GLOSSARY.md#chat-template).
# Train with one template and serve with another, and the model meets a format that it never learned. A model without a
# template (a *base* model) stops here: take its *instruct* version.

# %%
import matplotlib.pyplot as plt

from ftlab.plots import show

lengths = [len(tokenizer(text)["input_ids"]) for part in dataset.values() for text in part["text"]]
fig, ax = plt.subplots(figsize=(7, 2.2))
ax.hist(lengths, bins=30, color="#0072b2")
ax.set(xlabel="tokens in an example", ylabel="examples")
span = f"from {min(lengths)} to {max(lengths)} tokens"
show(fig, f"Histogram of the lengths of {len(lengths)} examples, {span}.")
too_long = sum(n > MAX_LENGTH for n in lengths)
print(f"{span}: MAX_LENGTH = {MAX_LENGTH} cuts {too_long} of {len(lengths)} examples")

# %% [markdown]
# An example longer than `MAX_LENGTH` loses its end, and the end is the answer. Raise `MAX_LENGTH`, or take such examples
# out of your file: `ftlab check FILE --model MODEL --max-length 512` names their lines.

# %% [markdown]
# ## Does it fit?
#
# Four things can stop a run after you have gone to lunch: memory in training, memory in evaluation, the end of a rented
# hour, a full disk. Ask first.

# %%
import math

from ftlab.training.fit import will_it_fit

AN_EPOCH = math.ceil(len(dataset["train"]) / (BATCH * ACCUMULATION))  # steps
EPOCHS = min(10, max(2, math.ceil(LEAST_STEPS / AN_EPOCH)))
kept = [min(length, MAX_LENGTH) for length in lengths[: len(dataset["train"])]]  # of the training rows
will_it_fit(MODEL, kept, batch=BATCH, epochs=EPOCHS, rank=RANK, save_total_limit=2, folder=ftlab.home(), gpu=CARD)

# %% [markdown]
# These are estimates, made before a weight has moved; [10](10_count_the_cost.ipynb) says how far they are off. Evaluation has
# a line of its own because it can fail where training fits: it holds the [logits](GLOSSARY.md#logits) of its whole batch
# at once, and nothing about the first hour warns you. The minutes on a CPU follow from a second of measuring it: what else
# it does at the moment counts. Before you download a model, ask from a shell: `ftlab memory --model qwen3-8b --gpu T4
# --length 512`, with the tokens of your longest example.
#
# How long would these rows take on that card, with the larger models that it holds? Nobody has timed them there: estimates, too.

# %%
from ftlab.costs.time import what_fits

what_fits(kept, CARD, epochs=EPOCHS)

# %% [markdown]
# And when it does not fit? Here is a QLoRA run on an 8B model as somebody might start it on a T4, and one change after the
# other.

# %%
import pandas as pd

from ftlab.costs.memory import estimate_memory
from ftlab.costs.remedies import proposals

asked = estimate_memory(
    "qwen3-8b", "qlora", gpu="T4", batch=8, length=2048, rank=64, checkpointing="off", optimizer="adamw_torch"
)
settings, rungs = dict(asked.settings), [("as started", asked, "")]
for rung in proposals(asked, longest=1024):  # no row of the data is longer than that
    settings[rung.setting] = rung.new
    rungs.append((f"{rung.setting}: {rung.new}", estimate_memory("qwen3-8b", gpu="T4", **settings), rung.loss))
trains = next(place for place, (_, run, _) in enumerate(rungs) if run.fits)
evaluates = next(place for place, (_, run, _) in enumerate(rungs) if run.evaluation_batch == run.settings["batch"])
print(f"of the T4's {asked.gpu.usable_gib:.1f} GiB, training fits from line {trains} on, evaluation from line {evaluates} on")
pd.set_option("display.max_colwidth", None)
pd.DataFrame(
    [(what, round(run.device_gib, 1), round(run.evaluation[0][1], 1), loss) for what, run, loss in rungs],
    columns=["each change keeps those above it", "training, GiB", "evaluation, GiB", "what it costs you"],
)

# %% [markdown]
# Start at the top: the cheap changes come first, and you stop at the first line that fits with a tenth to spare (measured runs lay up to
# 8 % off such estimates). Shorter rows are free if none of
# yours is longer; a smaller batch with more accumulation makes the same steps, a little slower. The settings below have
# checkpointing and the 8-bit optimizer from the start. If evaluation alone fails, lower `per_device_eval_batch_size` and
# leave the rest. If the last line is still too large, take a smaller model or a larger card. After an out-of-memory error
# restart the kernel: what the broken step held is not given back. Then change one line. After a change of the checkpointing, of the
# evaluation's batch, or of the batch with batch x accumulation kept, resume from the last [checkpoint](GLOSSARY.md#checkpoint); another
# rank or optimizer cannot read it, so begin anew there, in another `OUTPUT`.

# %% [markdown]
# ## The trainer
#
# Who keeps the curves? `REPORT_TO` says it, and one cell prepares for either tracker.

# %%
import functools
import os

os.environ.setdefault("TRACKIO_DIR", str(ftlab.home() / "trackio"))  # else a folder in the hub's cache
os.environ.setdefault("WANDB_MODE", "offline")  # "online" sends what is logged to the service
if REPORT_TO == "trackio":
    import trackio

    trackio.init = functools.partial(trackio.init, embed=False)  # else it starts a web server inside this page

# %%
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer

from ftlab.training.runlog import LivePlot

TWICE_AN_EPOCH = max(1, AN_EPOCH // 2)

config = SFTConfig(
    output_dir=str(OUTPUT),
    dataset_text_field="text",  # the column to train on
    max_length=MAX_LENGTH,  # longer examples are cut
    packing=False,  # one example in a row, so that its mask can be checked
    num_train_epochs=EPOCHS,  # how often every example is seen; 1 to 3 is usual, more for a small file
    per_device_train_batch_size=BATCH,  # examples in memory at once
    gradient_accumulation_steps=ACCUMULATION,  # batches added up before the weights move
    per_device_eval_batch_size=BATCH,  # a larger one may run out of memory in the middle of the run
    learning_rate=LEARNING_RATE,  # how far the weights move in a step, at most
    warmup_steps=0.05,  # it rises during the first 5 % of the steps
    lr_scheduler_type="cosine",  # and then falls to zero along a cosine
    weight_decay=0.01,  # a gentle pull of the adapter towards zero
    optim="adamw_8bit" if ON_GPU else "adamw_torch",  # 8 bits: a quarter of the optimizer's memory
    gradient_checkpointing=ON_GPU,  # the same choice as for the adapter; TRL's own default is True
    bf16=PRECISION == "bf16",  # mixed precision on newer cards
    fp16=PRECISION == "fp16",  # and on a T4
    logging_steps=2,  # training loss every two steps
    eval_strategy="steps",
    eval_steps=TWICE_AN_EPOCH,  # validation loss
    save_strategy="steps",
    save_steps=TWICE_AN_EPOCH,  # a checkpoint
    save_total_limit=2,  # keep the two newest
    seed=3407,  # the order of the examples; the adapter has its own, random_state
    report_to=REPORT_TO,  # curves that last
    project="fine-tuning",  # under which the tracker files this run
    run_name=OUTPUT.name,  # a resumed run goes on under its name
    disable_tqdm=True,  # the live plot shows how far it is
)
trainer = SFTTrainer(
    model=model,
    processing_class=tokenizer,
    train_dataset=dataset["train"],
    eval_dataset=dataset["validation"],
    args=config,
    callbacks=[LivePlot()],  # draws both losses while it trains
)
trainer.remove_callback(PrinterCallback)  # no printed lines beside the plot; in a script, keep them
print(f"{len(dataset['train'])} examples, {config.num_train_epochs} epochs,", end=" ")
print(f"{BATCH} x {ACCUMULATION} examples a step")

# %% [markdown]
# Why `LEAST_STEPS`? A model learns by steps, not by files. Two epochs of 300 examples are fewer than forty steps, which
# teach little, and the result looks as if fine-tuning did not work.
#
# **Exercise (level 2).** How many [optimizer](GLOSSARY.md#optimizer) steps is that? Write `steps(rows, epochs, batch,
# accumulation)`. The last [batch](GLOSSARY.md#batch) of an [epoch](GLOSSARY.md#epoch) may be smaller; it still counts,
# and so does a last, incomplete accumulation.

# %% tags=["exercise"]
def steps(rows, epochs, batch, accumulation):
    # solution
    import math

    batches = math.ceil(rows / batch)
    return math.ceil(epochs * max(math.ceil(batches / accumulation), 1))
    # end solution


# %%
from ftlab.exercises.train import check_steps

check_steps(steps)

# %% [markdown]
# ## Loss on the answer only, proved
#
# Without a [mask](GLOSSARY.md#label-mask) the model also learns to write tickets. `train_on_responses_only` sets the
# label of every [token](GLOSSARY.md#token) outside the answers to -100, which the [loss](GLOSSARY.md#loss) ignores. A
# wrong marker here ruins a run silently, so prove it.

# %%
from unsloth.chat_templates import train_on_responses_only

from ftlab.training.preflight import check_masks

trainer = train_on_responses_only(trainer)  # it finds the markers in the chat template
check_masks(trainer.eval_dataset, chats["validation"], tokenizer, trainer.data_collator)  # or its loss misleads
check_masks(trainer.train_dataset, chats["train"], tokenizer, trainer.data_collator)

# %% [markdown]
# Bold is trained: the answer and its end token. `check_masks` looks at every example as the trainer puts it into a batch,
# stops at the first that is otherwise, and says why; what you see is the first training example. The end token matters most:
# a model that never learns to stop goes on for ever.

# %% [markdown]
# **Exercise (level 3).** Write the mask yourself: `labels(input_ids, marker)` returns a copy of the ids in which everything up to
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
from ftlab.exercises.train import check_response_mask

check_response_mask(labels)

# %% [markdown]
# ## Train

# %% tags=["headline"]
result = trainer.train()
log = [row for row in trainer.state.log_history if "eval_loss" in row]
evals = [(row["step"], float(row["eval_loss"])) for row in log]
(first_step, first_loss), (last_step, last_loss) = evals[0], evals[-1]
print(f"{result.global_step} steps; validation loss", end=" ")
print(f"{first_loss:.3f} at step {first_step}, {last_loss:.3f} at step {last_step}")
middle = next(loss for step, loss in evals if step >= last_step / 2)
print(f"in the second half of the run it changed by {last_loss / middle - 1:+.0%}")

# %% [markdown]
# Thick is validation loss; while it falls, the model still learns something that holds outside the training set. If the last
# line says that it fell by more than a few per cent, the run may have been short: raise `LEAST_STEPS`, or take more examples, and compare
# the last losses. (A hint, no proof: the learning rate falls to zero along the cosine, so every such curve flattens at its end.) If it says
# that the loss rose, train for less long.

# %%
print(f"{result.metrics['train_runtime'] / 60:.1f} minutes")
if ON_GPU:
    peak = torch.cuda.max_memory_allocated() / 2**30
    print(f"at most {peak:.1f} GiB of GPU memory since the start")

# %% [markdown]
# Compare it with what was foretold. (On a GPU the forecast is of all that the card has to give: what torch keeps in reserve and the
# CUDA context come on top of the number above.) What is left of the
# run? Only what lies on disk.

# %%
checkpoints = sorted(OUTPUT.glob("checkpoint-*"), key=lambda folder: int(folder.name.split("-")[1]))
for folder in checkpoints:
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    print(f"{folder.name}: {size:.1f} MB, {len(list(folder.iterdir()))} files")

# %% [markdown]
# A checkpoint holds the adapter, the optimizer, the learning-rate [schedule](GLOSSARY.md#schedule), the random state and the
# step. If your session dies, run the cells from the top down to the mask in a new one, and then
# `trainer.train(resume_from_checkpoint=True)`: it goes on from the highest number in `OUTPUT`. Without that argument,
# `train()` starts at step 0 and soon replaces the checkpoints by its own. On Colab, `OUTPUT` must be on a mounted drive:
# the session's own disk goes with it. In [06b](06b_tune_stop_resume.ipynb#Pull-the-plug) a run is killed and resumed, to see
# what it loses.
#
# The curve lies there too, whoever else keeps it:

# %%
import json

history = pd.DataFrame(json.loads((checkpoints[-1] / "trainer_state.json").read_text())["log_history"])
history.to_csv(OUTPUT / "curve.csv", index=False)
history[["step", "learning_rate", "loss", "eval_loss"]].tail(4)

# %% [markdown]
# With `REPORT_TO = "trackio"` the same numbers are in a small database, run beside run, with the settings of each. Nothing
# left this machine ("uploading", it says, and means its own folder). `trackio show`, with `TRACKIO_DIR` set to that folder,
# opens them in your browser, without an account.

# %%
if REPORT_TO == "trackio":
    for run in trackio.Api().runs("fine-tuning"):
        print(run.name, {name: run.config[name] for name in ("learning_rate", "num_train_epochs", "seed")})

# %% [markdown]
# With `"wandb"` (`pip install wandb`) they wait in a folder `wandb`, and `wandb sync` sends them; with `WANDB_MODE=online` they
# are sent at once, and others can watch. The settings go along, and so may lines of your data if you log answers: ask who
# may see them. With `"none"` you have the file above.

# %% [markdown]
# ## Save, load back, and check that nothing changed

# %%
import gc

from ftlab.evaluation.generation import generate

FastLanguageModel.for_inference(model)
question = [chats["validation"][0][:-1]]
answer = generate(model, tokenizer, question, max_new_tokens=96).texts[0]

adapter = OUTPUT / "adapter"
model.save_pretrained(adapter)
tokenizer.save_pretrained(adapter)  # with its chat template
for file in sorted(adapter.iterdir()):
    print(f"{file.name}: {file.stat().st_size / 1e3:,.0f} kB")

del trainer, model  # as after a restart: nothing is left in memory
gc.collect()
torch.cuda.empty_cache()

# %%
model, tokenizer = FastLanguageModel.from_pretrained(
    model_name=str(adapter),  # names its base model, which is loaded first
    max_seq_length=max(1024, MAX_LENGTH),
    dtype=DTYPE,
    load_in_4bit=ON_GPU,  # as in training
)
FastLanguageModel.for_inference(model)
again = generate(model, tokenizer, question, max_new_tokens=96).texts[0]
assert again == answer, f"the loaded adapter answers otherwise: {again}"
print("same answer after loading:", answer)

del model
gc.collect()
torch.cuda.empty_cache()

# %% [markdown]
# The adapter is the whole product of the training; the [base model](GLOSSARY.md#base-model) stays what it was. The
# answer is to the first validation example. That it is the same again says that nothing was lost on the way to disk; it
# does not say that it is right: [07](07_evaluate.ipynb) judges the model. What follows here is about the method.

# %% [markdown]
# ## QLoRA: the base in four bits
#
# On a GPU your model was in 4 bits all along; on a CPU it was not. What does it save, and what does it cost? The same
# adapter on the same batch, once on each base.

# %%
import time


def weight_bytes(m):
    return sum(p.numel() * p.element_size() for p in m.parameters() if not p.requires_grad)


def seconds_per_step(m):
    inputs, times = batch.to(m.device), []
    for _ in range(4):
        start = time.perf_counter()
        with torch.autocast(m.device.type, dtype=DTYPE, enabled=ON_GPU):
            loss = m(**inputs, labels=inputs["input_ids"]).loss
        loss.backward()
        if ON_GPU:
            torch.cuda.synchronize()  # a GPU works on after the call has returned
        times.append(time.perf_counter() - start)
    return min(times)


modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
loaded = {}
for name, four_bit in {"16/32-bit": False, "4-bit (NF4)": True}.items():
    base, nano_tokenizer = FastLanguageModel.from_pretrained(
        model_name=resolve("nano"), max_seq_length=1024, dtype=DTYPE, load_in_4bit=four_bit
    )
    loaded[name] = FastLanguageModel.get_peft_model(
        base,
        r=16,
        lora_alpha=32,
        target_modules=modules,
        use_gradient_checkpointing=False,
        random_state=3407,
    )
chats = [row["messages"] for row in read_chat("../data/support_triage/train.jsonl")[:16]]
texts = [nano_tokenizer.apply_chat_template(chat, tokenize=False).rstrip() for chat in chats]
batch = nano_tokenizer(texts, return_tensors="pt", padding=True)
seconds = {name: seconds_per_step(m) for name, m in loaded.items()}
for name, m in loaded.items():
    print(f"{name}: {weight_bytes(m) / 1e6:.1f} MB of frozen weights, {seconds[name]:.2f} s forward and backward")
embedding = loaded["4-bit (NF4)"].get_input_embeddings().weight
print(f"in 4 bits, {embedding.nbytes / 1e6:.1f} MB of that is the embedding", end="; ")
print(f"forward and backward take {seconds['4-bit (NF4)'] / seconds['16/32-bit']:.1f} times as long here")

# %% [markdown]
# Four bits save memory, not time: each matrix is unpacked before use. What that costs, the last line says of this machine. What a
# CPU can train in reasonable time fits its memory anyway, so the cells above leave it without
# [quantisation](GLOSSARY.md#quantisation) there. Only the linear layers shrink. The [embedding](GLOSSARY.md#embedding) stays as it
# is, and the smaller the model, the larger its share. A Qwen3-8B goes from about 15 GiB in 16 bits to about 6, and only so does it
# fit a 16 GB card together with its training.

# %% [markdown]
# ## Which model, which card?
#
# The cells take any model that Unsloth loads. The families differ in what you may do with them, in what their
# chat template makes of your messages, and in the card that they need.

# %%
import runpy
from pathlib import Path

import unsloth
from unsloth.chat_templates import CHAT_TEMPLATES
from unsloth.ollama_template_mappers import MODEL_TO_OLLAMA_TEMPLATE_MAPPER as TEMPLATE_OF

from ftlab.families import families, newer
from ftlab.models import CATALOGUE

mapper = Path(unsloth.__file__).parent / "models" / "mapper.py"
listed = runpy.run_path(str(mapper))["FLOAT_TO_INT_MAPPER"]  # every model that this Unsloth has a 4-bit copy of
templates = {
    entry.hub_id: CHAT_TEMPLATES[TEMPLATE_OF[entry.hub_id]][0]
    for entry in CATALOGUE
    if TEMPLATE_OF.get(entry.hub_id) in CHAT_TEMPLATES
}
templates["unsloth/mistral-7b-v0.3"] = CHAT_TEMPLATES["mistral"][0]  # of its instruct version; this one is a base model
families(templates, listed)

# %% [markdown]
# Licence and access first: where the publisher's own copy is gated, its terms bind you here too, and the community licences carry
# conditions; read them before you ship. Then the habits. They were read off what Unsloth's templates write; "?" means that Unsloth
# bundles none, and the one that comes with the model counts. A system message in the user's turn works, but a server must put it
# there too. A model that thinks wants thoughts in your rows, or to be told that there are none, in training and in use. Where tools
# are not written ("no"), rows with tools would teach calls to what the model cannot see: `check_masks` refuses them
# ([06b](06b_tune_stop_resume.ipynb#Tools-and-thoughts)). An end of `eos_token` is whatever the tokenizer calls so. The cards are
# estimates, evaluation included; `gemma-3` needs more on a T4 because it does not stand fp16. Your own model's template you ask the
# same way:

# %%
from ftlab.families import template_habits

print(template_habits(tokenizer.chat_template))
for family_name, names in newer(listed).items():
    print(f"{family_name}: {', '.join(names) or 'none'}")

# %% [markdown]
# Below the habits stand the models of later generations than the table's that this version of Unsloth lists. Take one if
# your card holds it, by changing `MODEL`; its habits are the two things to look at before you train.

# %% [markdown]
# ## On a GPU
#
# The cells above are the GPU cells. What changes follows from `MODEL` and the hardware: 4-bit loading, fp16 or bf16, an
# 8-bit optimizer, [gradient checkpointing](GLOSSARY.md#gradient-checkpointing), a batch of 2 with 8 accumulation steps,
# a learning rate of 2e-4.
#
# ## What you have seen
#
# - Model, adapter, text, trainer, mask: five steps, each with one thing to look at before you train.
# - Ask first whether it fits, evaluation included; if not, climb the ladder from the top.
# - Prove the mask and the end token on every example; both faults are silent.
# - A validation loss that still falls is a hint that you stopped too early. Whether the model is *good* is another question.
# - Load the adapter back before you close the notebook, and see that it answers as it did.

# %% [markdown]
# ## What would you do?
#
# Decide first, then open the answer.
#
# **1.** You have 337 rows, the run made 44 steps and ended below the prompt. What do you change first?
#
# <details><summary>One answer</summary>
#
# The number of steps: more epochs. The loss was most likely still falling. More data and other settings come after that.
#
# </details>
#
# **2.** After an hour, at the first evaluation, the card is out of memory. The batch in training fits. What do you change,
# and where do you go on?
#
# <details><summary>One answer</summary>
#
# `per_device_eval_batch_size`, and nothing else. Restart the kernel, and begin again: the trainer evaluates before it saves at the same
# step, so at the first evaluation there is no checkpoint. Ask `will_it_fit` first, and before a long run call `trainer.evaluate()` once,
# ahead of `trainer.train()`: then it fails in the first minute.
#
# </details>
#
# **3.** Both losses look fine, and the model never stops writing. What do you look at?
#
# <details><summary>One answer</summary>
#
# Whether the end token is trained: `check_masks` shows it. If it is not (a padding token that is also the end token, a template that
# adds none), it has to be trained again; a stop word in the server only hides it. If it is, compare it with `eos_token_id` in
# `generation_config.json` and in the server: the right one there is the repair.
#
# </details>
#
# **Read next:** [06b Tune, stop, resume](06b_tune_stop_resume.ipynb), before you change a setting or leave a run alone;
# [07 Evaluate](07_evaluate.ipynb); [08 What goes wrong](08_what_goes_wrong.ipynb), if a run of yours looks odd.
