# ---
# ftlab:
#   reads: [data/support_triage/train.jsonl, data/support_triage/validation.jsonl, data/models/nano/*.json, data/models/nano/*.jinja, data/models/nano/model.safetensors]
#   headline: validation loss, first and last
# ---

# %% [markdown]
# # Train with Unsloth
#
# **Question:** how do I train, watch, interrupt and resume a QLoRA run?
# **Minutes:** 3 with `nano`. **Hardware:** any for `nano` and `smol`; by estimate, a T4 (16 GB) trains models up to 8B
# with the same cells.
#
# This page is made to be copied: real library calls, every setting written out. What you must change for your own
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
LEARNING_RATE = {"nano": 4e-3, "smol": 2e-3}.get(MODEL, 2e-4)  # the smaller the model, the larger its steps

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
    r=16,  # rank, the width of the two thin matrices; 8 to 32 is usual
    lora_alpha=32,  # the update is scaled by lora_alpha / r; r or 2 r is usual
    lora_dropout=0.0,  # share of the adapter's inputs left out at random; 0 is fastest
    # all linear layers:
    target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    bias="none",  # biases stay frozen too
    # forget activations and compute them again: less memory for more time
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
# ## The trainer

# %%
import math

from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer

from ftlab.training.runlog import LivePlot

AN_EPOCH = math.ceil(len(dataset["train"]) / (BATCH * ACCUMULATION))  # steps
EPOCHS = min(10, max(2, math.ceil(LEAST_STEPS / AN_EPOCH)))
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
    seed=3407,  # the order of the examples
    report_to="none",  # or "trackio" (on this machine), "wandb" (a service): curves that last
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
# **Exercise.** How many [optimizer](GLOSSARY.md#optimizer) steps is that? Write `steps(rows, epochs, batch,
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
# Bold is trained: the answer and its end token. `check_masks` looks at every example as the trainer's collator puts it
# into a batch, stops at the first that is otherwise, and says why; what you see is the first training example. The end token matters most: a model that never
# learns to stop goes on for ever.

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
from ftlab.exercises.train import check_response_mask

check_response_mask(labels)

# %% [markdown]
# ## Train, and pull the plug
#
# A borrowed machine, such as a Colab session, ends when it likes. Practise that: this callback stops the run in the
# middle, as a lost machine would.
# (Without it, `trainer.train()` is all there is to training.)

# %%
from transformers import TrainerCallback


class PullThePlug(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step >= 0.6 * state.max_steps


trainer.add_callback(PullThePlug())
try:
    stopped = trainer.train()
finally:  # also when you interrupt this cell yourself
    trainer.remove_callback(PullThePlug)
print(f"stopped after {stopped.global_step} of {trainer.state.max_steps} steps")

# %% [markdown]
# What is left of the run? Only what lies on disk.

# %%
checkpoints = sorted(OUTPUT.glob("checkpoint-*"), key=lambda folder: int(folder.name.split("-")[1]))
for folder in checkpoints:
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    print(f"{folder.name}: {size:.1f} MB, {len(list(folder.iterdir()))} files")
saved = int(checkpoints[-1].name.split("-")[1])
print(f"steps done after the newest checkpoint, and therefore lost: {stopped.global_step - saved}")

# %% [markdown]
# A [checkpoint](GLOSSARY.md#checkpoint) holds the adapter, the optimizer, the learning-rate
# [schedule](GLOSSARY.md#schedule), the random state and the step. Save often enough that you would not mind losing what
# comes between two of them.

# %% [markdown]
# ## Resume
#
# In a new session, run the cells from the top down to the mask, skip the plug, and run this one. Do skip it: `train()`
# without `resume_from_checkpoint` starts at step 0 and soon replaces the checkpoints in `OUTPUT` by its own. On Colab,
# `OUTPUT` must be on a mounted drive: the session's own disk goes with it.

# %% tags=["headline"]
result = trainer.train(resume_from_checkpoint=True)  # from the highest number in output_dir
log = [row for row in trainer.state.log_history if "eval_loss" in row]
evals = [(row["step"], float(row["eval_loss"])) for row in log]
(first_step, first_loss), (last_step, last_loss) = evals[0], evals[-1]
print(f"{result.global_step} steps; validation loss", end=" ")
print(f"{first_loss:.3f} at step {first_step}, {last_loss:.3f} at step {last_step}")
middle = next(loss for step, loss in evals if step >= last_step / 2)
print(f"in the second half of the run it changed by {last_loss / middle - 1:+.0%}")

# %% [markdown]
# One curve: the second run went on where the checkpoint was made, in the [learning
# rate's](GLOSSARY.md#learning-rate) schedule as well as in the order of examples. Thick is validation loss; while it
# falls, the model still learns something that holds outside the training set. If the last line says that it fell by
# more than a few per cent, the run was short: raise `LEAST_STEPS`, or take more examples, and look again. If it says
# that the loss rose, train for less long.

# %%
print(f"this second part: {result.metrics['train_runtime'] / 60:.1f} minutes")
if ON_GPU:
    peak = torch.cuda.max_memory_allocated() / 2**30
    print(f"at most {peak:.1f} GiB of GPU memory since the start")

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
# does not say that it is right.

# %% [markdown]
# ## Train too long on too little
#
# The rest of this notebook is about the method, not about your model: two experiments with `nano`, which show a mechanism
# on any machine. First, 40 tickets for 15 epochs.

# %%
nano, nano_tokenizer = FastLanguageModel.from_pretrained(
    model_name=resolve("nano"), max_seq_length=1024, dtype=DTYPE, load_in_4bit=False
)
nano = FastLanguageModel.get_peft_model(
    nano,
    r=16,
    lora_alpha=32,
    lora_dropout=0.0,
    target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    bias="none",
    use_gradient_checkpointing=False,
    random_state=3407,
)


def tickets(part, rows):
    chosen = [r["messages"] for r in read_chat(f"../data/support_triage/{part}.jsonl")[:rows]]
    texts = [nano_tokenizer.apply_chat_template(chat, tokenize=False).rstrip() for chat in chosen]
    return Dataset.from_dict({"text": texts})


overfit = SFTTrainer(
    model=nano,
    processing_class=nano_tokenizer,
    train_dataset=tickets("train", 40),
    eval_dataset=tickets("validation", 60),
    args=SFTConfig(
        output_dir=str(ftlab.home() / "06_overfit"),
        dataset_text_field="text",
        max_length=512,
        per_device_train_batch_size=8,
        per_device_eval_batch_size=16,
        num_train_epochs=15,
        learning_rate=4e-3,
        lr_scheduler_type="constant",
        gradient_checkpointing=False,
        bf16=PRECISION == "bf16",
        fp16=PRECISION == "fp16",
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
overfit_result = overfit.train()

# %%
history = overfit.state.log_history
trained = [float(row["loss"]) for row in history if "loss" in row]
unseen = {row["step"]: float(row["eval_loss"]) for row in history if "eval_loss" in row}
best, end = min(unseen, key=unseen.get), max(unseen)
print(f"the forty tickets: loss {trained[0]:.2f} at first, {trained[-1]:.2f} at the end")
print(f"unseen tickets: lowest {unseen[best]:.2f} at step {best}, {unseen[end]:.2f} at step {end}")
rise = unseen[end] / unseen[best] - 1
rose = f"rose by {rise:.0%}" if rise >= 0.005 else "did not rise again"
print(f"after its lowest point, the loss on unseen tickets {rose}")

# %% [markdown]
# From where the thin curve falls and the thick one does not, the model learns the forty by heart. On other tickets it
# grows surer of its mistakes, and the loss counts a sure mistake heavily. The answers themselves may stay as good for a
# while, so judge by both: [07](07_evaluate.ipynb) counts answers. The remedies, best first: more examples, and more varied
# ones; fewer epochs; keeping the checkpoint with the lowest validation loss (`load_best_model_at_end=True`, which works in
# the first trainer because it saves as often as it evaluates).

# %% [markdown]
# ## QLoRA: the base in four bits
#
# On a GPU your model was in 4 bits all along; on a CPU it was not. What does it save, and what does it cost? The same
# adapter on the same batch, once on each base.

# %%
import time

batch = nano_tokenizer(list(tickets("train", 16)["text"]), return_tensors="pt", padding=True)


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
    base, _ = FastLanguageModel.from_pretrained(
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
seconds = {name: seconds_per_step(m) for name, m in loaded.items()}
for name, m in loaded.items():
    print(f"{name}: {weight_bytes(m) / 1e6:.1f} MB of frozen weights, {seconds[name]:.2f} s a step")
embedding = loaded["4-bit (NF4)"].get_input_embeddings().weight
print(f"in 4 bits, {embedding.nbytes / 1e6:.1f} MB of that is the embedding", end="; ")
print(f"a step takes {seconds['4-bit (NF4)'] / seconds['16/32-bit']:.1f} times as long here")

# %% [markdown]
# Four bits save memory, not time: each matrix is unpacked before use, which costs a multiple on one CPU and next to
# nothing on another. What a CPU can train in reasonable time fits its memory anyway, so the cells above leave it without
# [quantisation](GLOSSARY.md#quantisation) there. Only the linear layers shrink. The [embedding](GLOSSARY.md#embedding)
# stays as it is, and the smaller the model, the larger its share. A Qwen3-8B goes from about 15 GiB in 16 bits to about
# 6, and only so does it fit a 16 GB card together with its training.

# %% [markdown]
# ## On a GPU
#
# The cells above are the GPU cells. What changes follows from `MODEL` and the hardware: 4-bit loading, fp16 or bf16, an
# 8-bit optimizer, [gradient checkpointing](GLOSSARY.md#gradient-checkpointing), a batch of 2 with 8 accumulation steps,
# a learning rate of 2e-4. Before you rent one, `ftlab memory --model YOUR_MODEL --gpu T4 --length 512` estimates whether
# it fits; give it the tokens of your longest example. If it does not: `BATCH` 1 and `ACCUMULATION` 16, then leave out the
# longest examples, then take a smaller model. `MAX_LENGTH` alone saves nothing unless it cuts examples.
#
# ## What you have seen
#
# - Model, adapter, text, trainer, mask: five steps, each with one thing to look at before you train.
# - Prove the mask and the end token on every example; both faults are silent.
# - Save checkpoints, and practise the resume before you need it.
# - Validation loss tells when to stop, and whether you stopped too early. Whether the model is *good* is another question.
#
# **Read next:** [07 Evaluate](07_evaluate.ipynb).
