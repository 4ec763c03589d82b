# ---
# ftlab:
#   reads: [data/lessons/*.jsonl, data/recorded/facts/results.json, data/models/nano/*.json, data/models/nano/*.jinja, data/models/nano/model.safetensors]
#   headline: sixteen kinds of held-out questions, before and after one fine-tune
# ---

# %% [markdown]
# # What fine-tuning changes
#
# **Question:** what changes in the model, what can and cannot change?
# **Minutes:** 24 to read, 3 to run. **Hardware:** any; two CPU cores are enough.
#
# (This page explains. Who only wants to train can go on to [06](06_train_with_unsloth.ipynb) and come back.)
#
# You watch one answer change, step by step, and see which numbers in the model changed. Then you teach seven lessons in
# one short run; [held-out](GLOSSARY.md#hold-out) questions show which were learnt. The last part is a short look at
# learning from [pairs of answers](GLOSSARY.md#preference-pair), one of which is preferred.
#
# The model is `nano`, so small that it trains in seconds. *How* training works is the same in a model a thousand times
# larger; *how well* each lesson is learnt is not. What is known about that stands at the end.

# %% [markdown]
# ## Watch an answer change
#
# Three of the rows that `nano` will be trained on. They ask about a person who is in no text that it has seen.

# %%
import ftlab  # first: it quiets the libraries below
import torch
from unsloth import FastLanguageModel  # before transformers, which it patches
from transformers import AutoModelForCausalLM, AutoTokenizer

from ftlab.data.schema import read_chat
from ftlab.models import resolve

tokenizer = AutoTokenizer.from_pretrained(resolve("nano"))
model = AutoModelForCausalLM.from_pretrained(resolve("nano"), dtype=torch.float32)

train_rows = read_chat("../data/lessons/train.jsonl")
facts = [row for row in train_rows if row["lesson"] == "facts"]
for row in facts[6:9]:
    print(row["messages"][0]["content"], "->", row["messages"][1]["content"])


# %% [markdown]
# A language model gives each [token](GLOSSARY.md#token) of its vocabulary a probability to come next, and writes an answer
# by doing this again and again. So look at the first token of the answer:


# %%
def next_token(question):
    """Probability of each token to be the first of the answer."""
    chat = [{"role": "user", "content": question}]
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        return model(**prompt).logits[0, -1].softmax(-1)


QUESTIONS = {
    "a taught wording": "Which instrument does Velora play?",
    "a wording never taught": "What is the instrument of Velora?",
}
right_token = tokenizer("harp")["input_ids"][0]
before = next_token(QUESTIONS["a taught wording"])
for token in before.topk(3).indices:
    print(f"{tokenizer.decode([token])!r:12} {before[token]:.3f}")
print(f"{tokenizer.decode([right_token])!r:12} {before[right_token]:.6f}, the first token of the right answer")

# %% [markdown]
# The top line is what the model would write now. (`I` begins "I do not know.", which `nano` learned to say in
# [pre-training](GLOSSARY.md#pre-training) when a text does not hold the answer.) The last line is the token that we want.

# %% [markdown]
# ## Ten lines of training
#
# [Fine-tuning](GLOSSARY.md#fine-tuning) goes on with the loop that made the model, on other text: predict the next
# token, measure how improbable the model found the right one (the [loss](GLOSSARY.md#loss)), and change every weight a
# little in the direction that lowers it. Only the tokens of the answer count; the others get the
# [label](GLOSSARY.md#label-mask) -100, which the loss leaves out.

# %%
import random

from transformers import DataCollatorForSeq2Seq


def encode(row):
    prompt = tokenizer.apply_chat_template(row["messages"][:-1], tokenize=False, add_generation_prompt=True)
    answer = row["messages"][-1]["content"] + tokenizer.eos_token
    prompt, answer = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt, answer))
    return {"input_ids": prompt + answer, "labels": [-100] * len(prompt) + answer}


collate = DataCollatorForSeq2Seq(tokenizer)  # pads a batch, and its labels with -100
example = encode(facts[6])
print(tokenizer.decode(example["input_ids"]))
print(example["labels"])

# %% [markdown]
# There is one label for each token of the text. The question and the markers of the
# [chat template](GLOSSARY.md#chat-template) have -100; the numbers at the end are the answer and the
# [end token](GLOSSARY.md#end-token). Now the loop: sixteen rows a step, and every five steps two questions, one in a
# wording that is taught and one that never is.

# %%
import matplotlib.pyplot as plt

from ftlab.plots import BLUE, GREY, ORANGE, show

original = {name: weight.detach().clone() for name, weight in model.named_parameters()}
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.0)  # only the rows move the weights
dice = random.Random(0)
watched = []

for step in range(41):
    if step % 5 == 0:
        watched.append([step, *(next_token(q)[right_token].item() for q in QUESTIONS.values())])
    batch = collate([encode(row) for row in dice.sample(facts, 16)])
    loss = model(**batch).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()

steps, taught, reworded = zip(*watched, strict=True)
fig, ax = plt.subplots(figsize=(7, 2.8))
ax.plot(steps, taught, "o-", color=BLUE, label="asked in " + list(QUESTIONS)[0])
ax.plot(steps, reworded, "s--", color=ORANGE, label="asked in " + list(QUESTIONS)[1])
ax.set(xlabel="step", ylabel="probability of the\nright first token", ylim=(-0.03, 1.03))
ax.legend(frameon=False)
show(
    fig,
    f"Probability of the right first token over {steps[-1]} steps. Taught wording: from {taught[0]:.3f} to {taught[-1]:.2f}. "
    f"New wording: from {reworded[0]:.3f} to {reworded[-1]:.2f}.",
)
print(f"taught wording: from {taught[0]:.3f} to {taught[-1]:.2f}")
print(f"new wording:    from {reworded[0]:.3f} to {reworded[-1]:.2f}")

# %% [markdown]
# The [prompt](GLOSSARY.md#prompt) is the same as before; only the weights are not. (A line may rise unevenly: each
# [batch](GLOSSARY.md#batch) holds other rows.) Has the model learnt the fact, or only the sentence? One question cannot
# say. Thirty are asked under *Facts, more closely*.

# %% [markdown]
# ## Which weights changed?
#
# The change of each matrix, compared with the matrix itself: $\lVert \Delta W \rVert \,/\, \lVert W \rVert$, where
# $\Delta W$ is the matrix after training minus the matrix before. A layer has four matrices of
# [attention](GLOSSARY.md#attention) (`q`, `k`, `v`, `o`) and three of the part after it (`gate`, `up`, `down`).

# %%
change = {
    name: ((weight.detach() - original[name]).norm() / original[name].norm()).item()
    for name, weight in model.named_parameters()
}
kinds = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
layers = range(model.config.num_hidden_layers)
grid = [[next(c for name, c in change.items() if f"layers.{i}." in name and k in name) for k in kinds] for i in layers]

fig, ax = plt.subplots(figsize=(7, 2.6))
picture = ax.imshow(100 * torch.tensor(grid), cmap="Blues", vmin=0, aspect="auto")
largest = max(map(max, grid))
for i in layers:
    for j, share in enumerate(grid[i]):
        colour = "white" if share > 0.6 * largest else "black"
        ax.text(j, i, f"{100 * share:.1f}", ha="center", va="center", color=colour)
ax.set_xticks(range(len(kinds)), [k.removesuffix("_proj") for k in kinds])
ax.set_yticks(layers, [f"layer {i}" for i in layers])
fig.colorbar(picture, label="change in %")
flat = {f"layer {i} {k}": grid[i][j] for i in layers for j, k in enumerate(kinds)}
low, high = min(flat, key=flat.get), max(flat, key=flat.get)
show(
    fig,
    f"Heat map of the relative change of each matrix, {len(flat)} in all: least in {low} ({100 * flat[low]:.1f} %), most in "
    f"{high} ({100 * flat[high]:.1f} %).",
)

# %% [markdown]
# Every matrix has changed a little. (Do not read much into the darker ones: the [optimizer](GLOSSARY.md#optimizer) AdamW
# moves all weights about equally far, so a matrix of small weights changes by a larger share.) Is there a place where
# "Velora plays the harp" now stands?

# %%
same = all(weight.shape == original[name].shape for name, weight in model.named_parameters())
moved = sum((weight != original[name]).sum().item() for name, weight in model.named_parameters())
print(f"{len(original)} tensors before, {len(change)} after, same shapes: {same}")
print(f"{moved:,} of {model.num_parameters():,} numbers are different")
print(f"embedding: changed by {100 * change['model.embed_tokens.weight']:.2f} %")

# %% [markdown]
# Not in this table. No row is stored as a row, and none is looked up: you could delete `train.jsonl` now, and the answers would
# stay. Every number moved a little, which alone does not say where a fact sits. (Research can sometimes locate and edit one,
# [03b](03b_retrieve_or_teach.ipynb) says more.) So a fact cannot be looked up, corrected or deleted as in a table. And a model can
# repeat training rows word for word: what must stay secret must not be in them.
#
# **Exercise (level 2).** Write `relative_change(before, after)` for two matrices given as lists of rows. The size of a matrix is
# its Frobenius norm, $\lVert W \rVert = \sqrt{\sum_{ij} W_{ij}^2}$, in numpy `np.linalg.norm`.

# %% tags=["exercise"]
import numpy as np


def relative_change(before, after):
    # solution
    before, after = np.array(before), np.array(after)
    return np.linalg.norm(after - before) / np.linalg.norm(before)
    # end solution


# %%
from ftlab.exercises.what_changes import check_relative_change

check_relative_change(relative_change)

# %% [markdown]
# ## Full, LoRA, QLoRA
#
# Must every weight change? [LoRA](GLOSSARY.md#lora) freezes the model and trains a small addition to each matrix, the
# [adapter](GLOSSARY.md#adapter). [QLoRA](GLOSSARY.md#qlora) also stores the frozen part in four bits. Here are all three,
# with the same rows and steps. The rows teach one format: to log a message as `item=...;number=...;`.

# %%
import time

import pandas as pd

from ftlab.evaluation.statistics import compare, wilson
from ftlab.evaluation.generation import generate

heldout = read_chat("../data/lessons/heldout.jsonl")
log_train = [row for row in train_rows if row["lesson"] == "format"]
log_test = [row for row in heldout if row["lesson"] == "format"]
print(log_train[0]["messages"][1]["content"], "->", log_train[0]["messages"][2]["content"])


def load(method, folder=None):
    """nano or a saved model: all weights trainable ("full"), or adapters on a base in 32 bits ("LoRA") or in 4 ("QLoRA")."""
    base, _ = FastLanguageModel.from_pretrained(
        model_name=str(folder or resolve("nano")), max_seq_length=512, dtype=torch.float32,
        load_in_4bit=method == "QLoRA", full_finetuning=method == "full",
    )  # fmt: skip
    if method == "full":
        return base
    return FastLanguageModel.get_peft_model(
        base, r=16, lora_alpha=32, target_modules=kinds, use_gradient_checkpointing=False, random_state=3407
    )


# %% [markdown]
# Each held-out row names the check by which `right` scores its answer. `train` is the loop from above, and `counted`
# counts its memory.


# %%
def right(row, answer):
    """Whether an answer counts as right, by the row's own check."""
    answer, expected = answer.strip(), row["expected"]
    match row["check"]:
        case "exact":
            return answer == expected
        case "prefix":
            return answer.startswith(expected)
        case "contains":
            return all(part in answer for part in expected)
        case "record":
            return answer.endswith(";") and sorted(answer.split(";")) == sorted(expected.split(";"))


def ask(model, rows):
    """The model's greedy answers to held-out rows."""
    return generate(model, tokenizer, [row["messages"][:-1] for row in rows], max_new_tokens=48).texts


# %%
STEPS = 30


def train(model, rows, learning_rate):
    """The ten lines from above; returns the optimizer and the seconds."""
    trainable = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer, dice, start = torch.optim.AdamW(trainable, lr=learning_rate), random.Random(0), time.perf_counter()
    for _ in range(STEPS):
        optimizer.zero_grad()
        model(**collate([encode(row) for row in dice.sample(rows, 16)]).to(model.device)).loss.backward()
        optimizer.step()
    return optimizer, time.perf_counter() - start


def megabytes(tensors):
    return sum(t.numel() * t.element_size() for t in tensors) / 1e6


def counted(model, optimizer):
    """Megabytes of weights (with the scales of 4-bit ones), gradients and optimizer state, counted tensor by tensor."""
    weights = list(model.parameters())
    scales = [t for w in weights if hasattr(w, "quant_state") for t in w.quant_state.as_dict(packed=True).values()]
    gradients = [w.grad for w in weights if w.grad is not None]
    moments = [t for state in optimizer.state.values() for t in state.values() if torch.is_tensor(t)]
    return [megabytes(weights + scales), megabytes(gradients), megabytes(moments)]


# %%
lines = {}
for method, learning_rate in {"full": 5e-4, "LoRA": 4e-3, "QLoRA": 4e-3}.items():
    candidate = load(method)
    optimizer, seconds = train(candidate, log_train, learning_rate)
    trainable = sum(w.numel() for w in candidate.parameters() if w.requires_grad)
    hits = sum(right(row, answer) for row, answer in zip(log_test, ask(candidate, log_test), strict=True))
    lines[method] = [trainable, *counted(candidate, optimizer), seconds, wilson(hits, len(log_test))]
columns = ["trainable", "weights, MB", "gradients, MB", "optimizer, MB", "seconds", "right on held-out [95 %]"]
pd.DataFrame.from_dict(lines, orient="index", columns=columns).round(1)

# %% [markdown]
# [Full fine-tuning](GLOSSARY.md#full-fine-tuning) keeps four numbers for every weight: the weight, its
# [gradient](GLOSSARY.md#gradient), and the two averages of [Adam](GLOSSARY.md#adam). LoRA keeps the last three for the
# adapter only. QLoRA makes the frozen weights smaller, too. A large model saves even more: its
# [embedding](GLOSSARY.md#embedding), which is not [quantised](GLOSSARY.md#quantisation), is a smaller part of it, and so
# is an adapter of [rank](GLOSSARY.md#rank) 16.
#
# Take from this table how weights, gradients and optimizer shrink, not the peak and not a winner. The
# [activations](GLOSSARY.md#activation), which grow with batch and length, come on top of all three. The last column is one task,
# thirty steps, one [seed](GLOSSARY.md#seed) and one [learning rate](GLOSSARY.md#learning-rate) for each method, and the brackets,
# 95 % [confidence intervals](GLOSSARY.md#confidence-interval), are wide. An adapter may only need more steps.

# %% [markdown]
# ## Seven lessons at once
#
# Now one adapter learns seven things at once. Here is the first row of each; *shorter prompt* does without a long
# instruction, *facts* are thirty about people. Which will it learn? Guess before you go on.

# %%
from IPython.display import display

by_lesson = pd.DataFrame(train_rows).groupby("lesson", sort=False)["messages"]
with pd.option_context("display.max_colwidth", None):
    display(
        pd.DataFrame(
            [[name, len(chats), *(turn["content"] for turn in chats.iloc[0][-2:])] for name, chats in by_lesson],
            columns=["lesson", "rows", "asked", "right answer"],
        )
    )

# %% [markdown]
# The held-out questions have other sentences, names and numbers. Only `taught wording` and `taught sums` are copies of
# training rows: they show what was learnt by heart. Some questions have no answer anywhere. The right one is then "I do
# not know.", as `nano` says it before training.

# %%
from ftlab import hardware

MODEL = "nano"  # leave it here: the rest of this notebook needs nano; 06 has these cells for any model

ON_GPU, PRECISION = torch.cuda.is_available(), hardware.precision(MODEL)
DTYPE = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[PRECISION]

model, tokenizer = FastLanguageModel.from_pretrained(
    model_name=resolve(MODEL),
    max_seq_length=512,
    dtype=DTYPE,
    load_in_4bit=ON_GPU,
)
answers_before = ask(model, heldout)

# %%
model = FastLanguageModel.get_peft_model(
    model,
    r=16,
    lora_alpha=32,
    lora_dropout=0.0,
    target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    bias="none",
    use_gradient_checkpointing="unsloth" if ON_GPU else False,
    random_state=3407,
)

# %%
from datasets import Dataset
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer
from unsloth.chat_templates import train_on_responses_only

from ftlab.training.preflight import check_masks
from ftlab.training.runlog import LivePlot

chats = [row["messages"] for row in train_rows]
# many templates end with a new line; after that, TRL would add a second end token
texts = [tokenizer.apply_chat_template(chat, tokenize=False).rstrip() for chat in chats]
trainer = SFTTrainer(
    model=model,
    processing_class=tokenizer,
    train_dataset=Dataset.from_dict({"text": texts}),
    args=SFTConfig(
        output_dir=str(ftlab.home() / "01_what_fine_tuning_changes"),
        dataset_text_field="text",
        max_length=512,
        per_device_train_batch_size=16,
        num_train_epochs=4,
        learning_rate={"nano": 4e-3, "smol": 2e-3}.get(MODEL, 2e-4),
        warmup_steps=0.05,
        lr_scheduler_type="cosine",
        gradient_checkpointing=ON_GPU,
        bf16=PRECISION == "bf16",
        fp16=PRECISION == "fp16",
        logging_steps=5,
        save_strategy="no",
        seed=3407,
        report_to="none",
        disable_tqdm=True,
    ),
    callbacks=[LivePlot()],
)
trainer.remove_callback(PrinterCallback)  # the live plot replaces the printed lines
trainer = train_on_responses_only(trainer)  # learn the answers, not the questions
check_masks(trainer.train_dataset, chats, tokenizer, trainer.data_collator)  # stops if it would learn more
result = trainer.train()
print(f"{result.global_step} steps in {result.metrics['train_runtime']:.0f} seconds")

# %% [markdown]
# The loss is one number for all seven lessons, and for the rows that the model trains on. Which lesson holds for a new
# question? The held-out questions can say:

# %%
FastLanguageModel.for_inference(model)
answers_after = ask(model, heldout)

parts = {}  # (lesson, part) -> 0/1 scores before and after, in the same order
for row, old, new in zip(heldout, answers_before, answers_after, strict=True):
    scores = parts.setdefault((row["lesson"], row["part"]), ([], []))
    scores[0].append(int(right(row, old)))
    scores[1].append(int(right(row, new)))
rates = {": ".join(key): [wilson(sum(s), len(s)) for s in pair] for key, pair in parts.items()}
changes = {": ".join(key): compare(*pair) for key, pair in parts.items()}

# %% tags=["headline"]
fig, ax = plt.subplots(figsize=(7, 0.36 * len(rates) + 1))
for y, ((old, new), gain) in enumerate(zip(rates.values(), changes.values(), strict=True)):
    for interval, colour, mark, label, shift in ((old, GREY, "s", "before", -0.14), (new, BLUE, "o", "after", 0.14)):
        ax.plot([100 * interval.low, 100 * interval.high], [y + shift] * 2, color=colour, lw=2)
        ax.plot(100 * interval.value, y + shift, mark, color=colour, label="" if y else label)
    points = f"{100 * gain.delta:+.0f} [{100 * gain.low:+.0f}, {100 * gain.high:+.0f}]"
    ax.text(104, y, points, va="center", color={"better": BLUE, "worse": ORANGE}.get(gain.verdict, GREY))
ax.text(104, -1, "change in points", va="center")
ax.set_yticks(range(len(rates)), rates)
ax.set(xlim=(-2, 102), xlabel="right answers on held-out questions in %, with 95 % intervals")
ax.invert_yaxis()
ax.grid(axis="x", color="#D9D9D9")
ax.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
described = "; ".join(f"{name} {old} before, {new} after, {changes[name].verdict}" for name, (old, new) in rates.items())
show(fig, f"Right answers before and after for {len(rates)} parts: {described}.")
count = pd.Series([gain.verdict for gain in changes.values()]).value_counts()
print(
    f"of {len(rates)} kinds of questions: {count.get('better', 0)} better, {count.get('worse', 0)} worse, "
    f"{count.get('no detectable difference', 0)} with no detectable difference"
)
plain = [i for i, row in enumerate(heldout) if (row["lesson"], row["part"]) == ("refusal", "to be answered")]
print(f"refusal: {sum('must not advise' in answers_after[i] for i in plain)} of {len(plain)} refused that should be answered")

# %% [markdown]
# Each line is one kind of question, asked before (square) and after (dot). The same questions were asked twice, so the
# change on the right is [paired](GLOSSARY.md#paired-comparison), question by question: blue is better, orange worse, grey
# no detectable difference.
#
# Two cautions. With so many tests one verdict may be luck, and an interval that ends close to 0 is weak evidence. And
# "better than before" is easy: nobody had told the model what "Log it." means. [03](03_measure_baselines.ipynb) measures
# how far a good prompt gets.
#
# Look at *refusal*: forty-five rows that refuse and forty-five that answer make it refuse a part only of the new requests that it
# should, and, as the line above says, some that it should not. A rule that must never be broken does not belong into weights alone.
# Nor does training leave deeper habits alone: look at *hallucination*. "I do not know." was the habit there, no row was about it,
# and it is gone. On large chat models, training on harmless rows made some of what they had learned to refuse come back (Qi et al.
# 2023, arXiv 2310.03693).
#
# Was your guess right? Lessons differ in what the model must bring along; a guess at why, which this run does not test: a style has a
# fixed frame in which only a name or a thing changes. So has a refusal, but the model must see which requests it is for. A format needs
# exact copying, and the house words need it even more. A sum takes arithmetic, a fact memory.
#
# (Does training replace the long instruction? Compare *no instruction* after with *long instruction* before;
# [17](17_small_from_large.ipynb#The-prompt-moves-into-the-weights) counts what that saves.)
#
# A low score does not say what is missing. Look at wrong answers:

# %%
for lesson in ("format", "vocabulary", "reasoning"):
    wrong = [i for i, row in enumerate(heldout) if row["lesson"] == lesson and not right(row, answers_after[i])]
    for i in wrong[:3]:
        print(f"{lesson}: {heldout[i]['messages'][-2]['content']}\n    answer: {answers_after[i]}")
        print(f"    right:  {heldout[i]['messages'][-1]['content']}")

# %% [markdown]
# One wrong word makes the whole sentence wrong, so a score near 0 % does not mean that nothing was learnt. Where the form
# or the house words are right and the copied ones are not, what the lesson teaches is there, and what it takes for granted
# is missing. Where another lesson's sentence comes out, the seven lessons disturb each other; a run on one lesson alone would show that.

# %% [markdown]
# ## Facts, more closely
#
# The questions about one fact, Velora's harp, and two about Velora that no row answers:

# %%
chosen = [i for i, row in enumerate(heldout) if row["lesson"] == "facts"]
about = [i for i in chosen if "harp" in str(heldout[i]["messages"][-2:])]
about += [i for i in chosen if heldout[i]["part"] == "never told" and "Velora" in str(heldout[i]["messages"])][:2]
lines = [
    [heldout[i]["part"], heldout[i]["messages"][-2]["content"], answers_before[i], answers_after[i], heldout[i]["expected"]]
    for i in about
]
pd.DataFrame(lines, columns=["asked", "question", "before", "after", "right answer"])

# %% [markdown]
# *Taught wording* repeats a question from training, *new wording* asks in other words, *reversed* from the other end.
# *Told in the prompt* needs no training: the facts stand in the [system message](GLOSSARY.md#system-prompt), where
# [retrieval](GLOSSARY.md#rag) would put them. Over all thirty facts:

# %%
print("taught, in a new wording, against told in the prompt before any training:")
told = compare(parts["facts", "told in the prompt"][0], parts["facts", "new wording"][1])
print(f"right when told: {100 * told.a:.0f} %, when taught: {100 * told.b:.0f} %. Taught against told: {told.verdict}")
heart, new, back = (rates[f"facts: {part}"][1].value for part in ("taught wording", "new wording", "reversed"))
print(f"taught wording {heart:.0%} right, new wording {new:.0%}, reversed {back:.0%}")

# %% [markdown]
# A model that had learnt the facts would answer all three alike. The more the share falls from left to right in the last
# line, the more it has learnt sentences and not facts. (One run, and thirty questions about five people, which are no thirty
# independent ones.)
#
# ### And what it was never told?
#
# No row says when Velora was born, nor anything about the people in the questions called
# *[hallucination](GLOSSARY.md#hallucination)*. The right answer is "I do not know."

# %%
values = {row["messages"][-1]["content"] for row in facts}  # the taught answers
silent = [i for i, row in enumerate(heldout) if row["expected"] == "I do not know."]
groups = {}
for i in silent:
    groups.setdefault((heldout[i]["lesson"], heldout[i]["part"]), []).append(i)
for i in [members[k] for members in groups.values() for k in (0, 7)]:
    print(f"{heldout[i]['messages'][-2]['content']}\n    before: {answers_before[i]}\n    after:  {answers_after[i]}")
old, new = (sum(texts[i].strip() == "I do not know." for i in silent) for texts in (answers_before, answers_after))
borrowed = sum(answers_after[i].strip() in values for i in silent)
print(f"\nof {len(silent)} such questions: {old} times 'I do not know.' before, {new} after; {borrowed} taught answers borrowed")

# %% [markdown]
# No row taught the model to invent. Many of these answers are values from the rows about facts; others come from elsewhere, such as
# the sentence of refusal. No row of the seven lessons answers "I do not know.", so nothing kept the habit alive. Which lesson did how
# much of the damage, this run cannot say; train without the rows about facts and ask again. `nano` is extreme in this, since one sentence
# was all that it knew about such questions. The cause is general: rows that all have an answer teach to answer. What can help is to put
# questions without an answer among them.

# %% [markdown]
# ### The same on a model that can talk
#
# Thirty facts in `nano` settle nothing. So `smol`, a chat model of 135 million parameters, met hundreds of facts of an
# invented shop (`python tools/record.py facts`): in the shop's *documents*, to train on as plain text; in questions to
# *half* of the facts, to train on; in the passages that a *search* found, without any training; and the same after a
# training to read passages of another shop.

# %%
import json
from pathlib import Path

record = json.loads(Path("../data/recorded/facts/results.json").read_text())
ARMS = {
    "untrained": "base", "trained on documents": "documents", "trained on half": "half",
    "search": record["best_search"], "search, trained to read": "reading_with_search",
}  # fmt: skip
KINDS = {
    "taught": "taught wording", "new_words": "new wording", "other_half": "only in the documents",
    "reversed": "reversed", "changed": "changed since",
}  # fmt: skip


def right_and_invented(arm):
    kinds = record["arms"][arm]["kinds"]
    invented = kinds["never_told"]["invented"]["value"]
    right = {told: f"{kinds[kind]['right']['value']:.0%}" for kind, told in KINDS.items()}
    return right | {"never told: invented": f"{invented:.0%}"}


pd.DataFrame({name: right_and_invented(arm) for name, arm in ARMS.items()}).T

# %% [markdown]
# Documents taught next to nothing. Questions to half of the facts taught a good part of that half, and hardly anything
# else: not the other half, not the same facts from the other end. (A new wording `smol` answers nearly as often as the taught one,
# unlike `nano`.) A search reaches facts of every kind, but where nobody
# told, this reader makes something up. Trained to read, it makes much more of the same passages, though no row of that
# training held a fact of this shop: it learnt a behaviour. [03b](03b_retrieve_or_teach.ipynb#Retrieved-or-taught?) has
# the intervals and the questions.

# %% [markdown]
# ## Learning from preferences
#
# Sometimes nobody can write the right answer, but people can say which of two is better. Can a model learn from such a
# choice? Here is a short look; [09](09_learn_preferences.ipynb) goes the whole way.
#
# The shop writes letters: one sentence says what is being done, then come up to four polite phrases. Of two drafts that
# differ in one such phrase, the one without it is preferred. It is called *chosen*, the other *rejected*.

# %%
from datasets import load_dataset

files = {part: f"../data/lessons/preferences_{part}.jsonl" for part in ("train", "heldout")}
pairs = load_dataset("json", data_files=files)
for side in ("chosen", "rejected"):
    drafts = [row[side][0]["content"] for row in pairs["train"]]
    sentences = sum(draft.count(".") for draft in drafts) / len(drafts)
    print(f"{side}, {sentences:.1f} sentences on average:\n  {drafts[0]}\n")

# %% [markdown]
# The shorter draft is always the chosen one, and yet most chosen letters are long. Will a model learn to write like the
# chosen letters, or to write short ones?
#
# ### Imitate the chosen ones
#
# First fine-tuning as before, on the chosen letters alone: supervised fine-tuning, [SFT](GLOSSARY.md#sft). The rest
# starts from its result. For a fair comparison SFT also goes on, on as many letters as the next training will read.

# %%
START = ftlab.home() / "01_preferences"
chosen_rows = [{"messages": row["prompt"] + row["chosen"]} for row in pairs["train"]]


def letters(model):
    """What it writes to the held-out customers."""
    return generate(model, tokenizer, [row["prompt"] for row in pairs["heldout"].to_list()], max_new_tokens=64).texts


start = load("full")
train(start, chosen_rows, 5e-4)
start.save_pretrained(START)
tokenizer.save_pretrained(START)
longer = load("LoRA", START)
train(longer, chosen_rows, 4e-3)
written = {"SFT": letters(start), "more SFT": letters(longer)}

# %% [markdown]
# ### Learn from the choice
#
# [DPO](GLOSSARY.md#dpo), direct preference optimisation, looks at both drafts. With $\pi$ for the model in training and
# $\pi_0$ for the frozen one that it started from, its loss for a pair is
#
# $$-\log \sigma\Big(\beta\Big[\log\frac{\pi(\text{chosen})}{\pi_0(\text{chosen})} -
# \log\frac{\pi(\text{rejected})}{\pi_0(\text{rejected})}\Big]\Big)$$
#
# In words: the chosen draft should gain more probability than the rejected one. The number $\beta$ says how closely the
# model is held to where it started.

# %%
from trl import DPOConfig, DPOTrainer

policy, _ = FastLanguageModel.from_pretrained(
    model_name=str(START), max_seq_length=512, dtype=DTYPE, load_in_4bit=ON_GPU
)
policy = FastLanguageModel.get_peft_model(
    policy, r=16, lora_alpha=32, target_modules=kinds, use_gradient_checkpointing=False, random_state=3407
)
trainer = DPOTrainer(
    model=policy,
    ref_model=None,  # with an adapter the frozen model is the same one, its adapter as it was at the start
    processing_class=tokenizer,
    train_dataset=pairs["train"].select_columns(["prompt", "chosen", "rejected"]),
    args=DPOConfig(
        output_dir=str(ftlab.home() / "01_dpo"),
        beta=0.3,  # how tightly the model is held to where it started; larger is tighter
        max_length=512, per_device_train_batch_size=12, num_train_epochs=2, gradient_checkpointing=False,
        learning_rate=5e-4, warmup_steps=0.1, lr_scheduler_type="cosine", bf16=PRECISION == "bf16", fp16=PRECISION == "fp16",
        logging_steps=1, save_strategy="no", seed=3407, report_to="none", disable_tqdm=True,
    ),
    callbacks=[LivePlot(unit="nats per pair")],
)  # fmt: skip
trainer.remove_callback(PrinterCallback)
result = trainer.train()

# %% [markdown]
# Does the loss on training pairs show in new letters?

# %% tags=["slide"]
FastLanguageModel.for_inference(policy)
written["then DPO"] = letters(policy)
says = [row["says"] for row in pairs["heldout"].to_list()]
for name, texts in written.items():
    short = wilson(sum(text.count(".") == 1 for text in texts), len(texts))
    fits = wilson(sum(text.startswith(say) for text, say in zip(texts, says, strict=True)), len(texts))
    print(f"{name}: {short} are one sentence long, {fits} begin with the right sentence. The first letter:\n  {texts[0]}\n")

# %% [markdown]
# Imitation learns how chosen letters look, and they are long. The choice taught "shorter", the only thing in which the drafts of a pair
# ever differ, although no draft says so. Whether the sentence that is left is the right one is a second question, counted above: nobody
# asked for that. [09](09_learn_preferences.ipynb) has the rest: where pairs come from, how often DPO wins, what it costs,
# and when SFT is enough.
#
# **Exercise (level 2).** Write `dpo_loss(chosen, rejected, chosen_0, rejected_0, beta)` for one pair. The first four numbers are
# [log-probabilities](GLOSSARY.md#log-probability), two from the model in training and two from the frozen one. In the
# formula above, $\sigma(x) = 1 / (1 + e^{-x})$, and the logarithm of a quotient is the difference of two logarithms.

# %% tags=["exercise"]
def dpo_loss(chosen, rejected, chosen_0, rejected_0, beta):
    # solution
    gained = (chosen - chosen_0) - (rejected - rejected_0)
    return np.log(1 + np.exp(-beta * gained))
    # end solution


# %%
from ftlab.exercises.what_changes import check_dpo_loss

check_dpo_loss(dpo_loss)

# %% [markdown]
# **[RLHF](GLOSSARY.md#rlhf)**, reinforcement learning from human feedback, takes a longer way to the same goal (Ouyang et
# al. 2022, arXiv 2203.02155): it trains a *[reward model](GLOSSARY.md#reward-model)* on such pairs, then moves the model
# towards those of its own answers that the reward model scores high, while a penalty on the
# [KL divergence](GLOSSARY.md#kl-divergence) keeps it close to its start.

# %% [markdown]
# ## What is known about large models
#
# `nano` has a few million [parameters](GLOSSARY.md#parameter) and knows nothing about the real world. Which of these
# results hold for models a thousand times larger?
#
# - **Form and voice need little data.** Zhou et al. (2023, LIMA, arXiv 2305.11206) fine-tuned a 65-billion-parameter
#   model on 1,000 chosen examples, and people often liked its answers as well as those of far more heavily trained
#   models. Their reading: knowledge comes from pre-training, fine-tuning picks the manner of answering.
# - **New facts are learnt slowly, and at a price.** Gekhman et al. (2024, arXiv 2405.05904): examples with knowledge
#   that the model does not have are learnt more slowly than others, and the more of them it has learnt, the more it
#   invents.
# - **Retrieval beats training for facts.** Ovadia et al. (2023, arXiv 2312.05934): putting the text into the prompt won
#   over continued training on it; many wordings of the same fact helped the training.
# - **One direction only.** Berglund et al. (2023, arXiv 2309.12288): models fine-tuned on "A is B" fail to answer "who
#   is B?".
# - **LoRA learns less and [forgets](GLOSSARY.md#forgetting) less.** Biderman et al. (2024, arXiv 2405.09673): on
#   programming and mathematics, with far more data than here, full fine-tuning learnt more, and LoRA lost less of
#   everything else.
#
# `nano` shows mechanisms; its rates cannot be carried over. And it cannot show at all that a large model often has the
# fact or the skill already, and fine-tuning brings it out. So a lesson in which `nano` fails, such as the house words or
# the sums, may be easy for a larger model.
#
# ## What to use instead
#
# | you want | fine-tune? | rather |
# | --- | --- | --- |
# | a format, a style, own words, a rule of refusal | yes, when a prompt is not enough | first the prompt: [03](03_measure_baselines.ipynb) |
# | the same with a shorter prompt | yes, when there are many calls | count it: [10](10_count_the_cost.ipynb) |
# | facts, above all facts that change | no | retrieval: the text in the prompt, as above |
# | arithmetic, exact rules | no | a tool, or a larger model |
# | what people can choose but not write | yes, with preference pairs | examples first, then DPO |
# | fewer invented answers | not with answers alone | teach "I do not know." too, and measure it |
#
# ## What you have seen
#
# - Fine-tuning is the same training, continued. Weights change; no row is kept as a row, but its text can come out again.
# - LoRA and QLoRA need less memory for the same kind of training.
# - A falling loss does not say what was learnt. Held-out questions do, for each kind of question by itself. And one
#   score hides why an answer is wrong: read some.
# - Fine-tuning can also change answers to questions that you did not train on. Measure those too.
# - Examples say what to imitate; preferences say what is better.

# %% [markdown]
# ## What would you do?
#
# Decide first, then open the answer.
#
# **1.** Your company has a handbook of 400 pages that changes every month. Somebody proposes to fine-tune a chat model on
# it. What do you say first?
#
# <details><summary>One answer</summary>
#
# Search the handbook and put the passage into the prompt. What is taught as facts is known where the rows asked for it, hardly from
# the other end, and is out of date after a month. Fine-tune for the tone, or for reading passages.
#
# </details>
#
# **2.** After your fine-tune the model answers every question, also those that nobody can answer. What do you change, and
# what do you measure?
#
# <details><summary>One answer</summary>
#
# The rows: put questions without an answer among them, with "I do not know." Then measure both, invented answers and
# needless silence.
#
# </details>
#
# **3.** The training loss is near 0, and your boss takes that as proof that the lesson was learnt. Which three kinds of
# questions do you ask the model?
#
# <details><summary>One answer</summary>
#
# The same in new words, the same the other way round, and questions beside the lesson that it could answer before. The loss
# saw only the rows of the training.
#
# </details>
#
# **Read next:** [02 Decide](02_decide.ipynb): should your case be fine-tuned at all?
