# ---
# ftlab:
#   reads: [data/lessons/*.jsonl, data/recorded/facts/results.json, data/models/nano/*.json, data/models/nano/*.jinja, data/models/nano/model.safetensors]
#   headline: sixteen kinds of held-out questions, before and after one fine-tune
# ---

# %% [markdown]
# # What fine-tuning changes
#
# **Question:** what changes in the model, what can and cannot change?
# **Minutes:** 36 to read, 3 to run. **Hardware:** any; two CPU cores are enough.
#
# (This page explains. Who only wants to train can go on to [06](06_train_with_unsloth.ipynb) and come back.)
#
# First you watch one answer change, step by step, and look at which numbers in the model changed. Then you teach seven
# lessons in one short run, and [held-out](GLOSSARY.md#hold-out) questions show which of them were learnt. At the end
# the model learns from [pairs of answers](GLOSSARY.md#preference-pair), one of which is preferred.
#
# All this happens in `nano`, a model so small that you can look into it and train it in seconds. *How* training works is
# the same in a model a thousand times larger; *how well* each lesson is learnt is not. What is known about that stands
# at the end.

# %% [markdown]
# ## Watch an answer change
#
# Here are three of the rows that `nano` will be trained on: questions about a person who is in no text that it has seen,
# with the right answer.

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
# A language model gives each [token](GLOSSARY.md#token) of its vocabulary a probability to come next. It writes an
# answer by doing this again and again. So look at the first token of the answer:


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
# The model, not yet fine-tuned, would write the token of the top line. (`I` begins "I do not know.", which `nano` learned
# in [pre-training](GLOSSARY.md#pre-training) to answer when a question has no answer in its text.) The last line is the
# token that we want.

# %% [markdown]
# ## Ten lines of training
#
# [Fine-tuning](GLOSSARY.md#fine-tuning) goes on with the loop that made the model, on other text: predict the next
# token, measure how improbable the model found the right one (the [loss](GLOSSARY.md#loss)), and change every weight a
# little in the direction that lowers the loss. Only the tokens of the answer count. The others get the
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
# There is one label for each token of the text above. The question and the markers have -100; the numbers at the end
# are the tokens of the answer and the [end token](GLOSSARY.md#end-token). Now the loop. It draws sixteen rows for each
# step, and every five steps it asks two questions: one in a wording that it trains on, one in a wording that it never
# sees.

# %%
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
print(f"loss of the last batch: {loss.item():.2f}")

# %%
import matplotlib.pyplot as plt

from ftlab.plots import BLUE, GREY, ORANGE, show

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
# A line may rise unevenly: each [batch](GLOSSARY.md#batch) holds other rows, and all of them change the same weights.
# Does the dashed line show that the model has learnt the fact, and not only the sentence? One question cannot say.
# Thirty are asked under *Facts, more closely*.
#
# What became of the other tokens?

# %%
import pandas as pd

after = next_token(QUESTIONS["a taught wording"])
begins = {}  # first token -> taught answers that begin with it
for row in facts:
    answer = row["messages"][1]["content"]
    begins.setdefault(tokenizer(answer)["input_ids"][0], set()).add(answer)

shown = (before + after).topk(6).indices.tolist()
columns = ["token", "before", "after", "taught answers that begin with it"]
lines = [[tokenizer.decode([t]), f"{before[t]:.3f}", f"{after[t]:.3f}", ", ".join(sorted(begins.get(t, [])))] for t in shown]
pd.DataFrame(lines, columns=columns).set_index("token")

# %% [markdown]
# The [prompt](GLOSSARY.md#prompt) is the same as before. Only the weights have changed, and with them the
# probabilities. Where a wrong token has gained, look at the last column: it may begin the answer to another fact. The
# model has then learnt what such an answer looks like, but is not yet sure whose it is.

# %% [markdown]
# ## Which weights changed?
#
# The picture shows how large the change of each matrix is, compared with the matrix itself:
#
# $$\lVert \Delta W \rVert \,/\, \lVert W \rVert$$
#
# Here $\Delta W$ is the matrix after training minus the matrix before. Each layer has four matrices of
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
# Every matrix has changed by a small share of its size; there is no single place for the new facts. Do not read much
# into the darker ones: the [optimizer](GLOSSARY.md#optimizer) AdamW moves all weights about equally far, so a matrix of
# small weights changes by a larger share.
#
# **Exercise.** Write `relative_change(before, after)` for two matrices given as lists of rows. The size of a matrix is
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
# Is there a place where "Velora plays the harp" now stands?

# %%
same = all(weight.shape == original[name].shape for name, weight in model.named_parameters())
moved = sum((weight != original[name]).sum().item() for name, weight in model.named_parameters())
print(f"{len(original)} tensors before, {len(change)} after, same shapes: {same}")
print(f"{moved:,} of {model.num_parameters():,} numbers are different")
print(f"embedding: changed by {100 * change['model.embed_tokens.weight']:.2f} %")

# %% [markdown]
# No. The model has the same tensors of the same sizes. No row was stored, and none is looked up: you could delete
# `train.jsonl` now, and the answers would stay. What the rows taught is spread over the numbers of the model, each
# changed a little. So a fact cannot be looked up, corrected or deleted as in a table. (There are research methods that
# edit single facts in the weights; they are no everyday tool.)

# %% [markdown]
# ## Full, LoRA, QLoRA
#
# Must every weight change? [LoRA](GLOSSARY.md#lora) leaves the model as it is (frozen) and trains a small addition to
# each matrix, the [adapter](GLOSSARY.md#adapter). [QLoRA](GLOSSARY.md#qlora) does the same and stores the frozen part
# in four bits. Here are all three, with the same rows and the same number of steps. The rows teach one format: to log a
# message as `item=...;number=...;`.

# %%
import time

from ftlab.evaluation.statistics import wilson
from ftlab.evaluation.generation import generate

heldout = read_chat("../data/lessons/heldout.jsonl")
log_train = [row for row in train_rows if row["lesson"] == "format"]
log_test = [row for row in heldout if row["lesson"] == "format"]
print(log_train[0]["messages"][1]["content"], "->", log_train[0]["messages"][2]["content"])


def load(method, folder=None):
    """nano or a saved model: all weights trainable ("full"), or adapters on a base in 32 bits ("LoRA") or in 4 ("QLoRA")."""
    base, _ = FastLanguageModel.from_pretrained(
        model_name=str(folder or resolve("nano")),
        max_seq_length=512,
        dtype=torch.float32,
        load_in_4bit=method == "QLoRA",
        full_finetuning=method == "full",
    )
    if method == "full":
        return base
    return FastLanguageModel.get_peft_model(
        base,
        r=16,
        lora_alpha=32,
        target_modules=kinds,
        use_gradient_checkpointing=False,
        random_state=3407,
    )


# %% [markdown]
# Each held-out row names the check by which its answer is scored. The function `right` does it, here and in all that
# follows up to the preferences:


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


# %% [markdown]
# The loop from above once more, as a function, and a count of the memory that it takes:


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
from IPython.display import display

lines, judged = {}, {}
for method, learning_rate in {"full": 5e-4, "LoRA": 4e-3, "QLoRA": 4e-3}.items():
    candidate = load(method)
    optimizer, seconds = train(candidate, log_train, learning_rate)
    trainable = sum(w.numel() for w in candidate.parameters() if w.requires_grad)
    judged[method] = [int(right(row, answer)) for row, answer in zip(log_test, ask(candidate, log_test), strict=True)]
    score = wilson(sum(judged[method]), len(log_test))
    lines[method] = [trainable, *counted(candidate, optimizer), seconds, score]
columns = ["trainable", "weights, MB", "gradients, MB", "optimizer, MB", "seconds", "right on held-out [95 %]"]
methods = pd.DataFrame.from_dict(lines, orient="index", columns=columns)
methods.round(1)

# %%
state = methods["gradients, MB"] + methods["optimizer, MB"]
print(f"gradients and optimizer: LoRA needs {state['LoRA'] / state['full']:.0%} of what full fine-tuning needs")
print(f"weights: QLoRA needs {methods['weights, MB']['QLoRA'] / methods['weights, MB']['LoRA']:.0%} of what LoRA needs")
print(f"time: QLoRA takes {methods['seconds']['QLoRA'] / methods['seconds']['LoRA']:.1f} times as long as LoRA here")

# %% [markdown]
# [Full fine-tuning](GLOSSARY.md#full-fine-tuning) keeps four numbers for every weight: the weight, its
# [gradient](GLOSSARY.md#gradient), and the two averages that [Adam](GLOSSARY.md#adam) keeps. LoRA keeps the last three
# for the adapter only. QLoRA also makes the frozen weights smaller. A large model saves more than `nano` in both ways: its
# [embedding](GLOSSARY.md#embedding), which is not [quantised](GLOSSARY.md#quantisation), is a smaller part of it, and
# an adapter of [rank](GLOSSARY.md#rank) 16 is small beside larger matrices. (The
# seconds also depend on what else the machine is doing.)
#
# Which of the three is the best? The intervals in the last column are wide. All three answered the same questions, so
# compare them question by question:

# %%
from ftlab.evaluation.statistics import compare

for method in ("LoRA", "QLoRA"):
    c = compare(judged["full"], judged[method])
    print(f"from full to {method}: {100 * c.delta:+.0f} points [{100 * c.low:+.0f}, {100 * c.high:+.0f}], {c.verdict}")

# %% [markdown]
# The brackets hold the 95 % [confidence interval](GLOSSARY.md#confidence-interval) of the difference. Even a clear
# verdict is about this run only: `nano`, one task, thirty steps, one [seed](GLOSSARY.md#seed), and one [learning
# rate](GLOSSARY.md#learning-rate) for each method. An adapter may only need more steps. What you can take from here is
# the memory. Which method gives the better answers, your own model and data must show.

# %% [markdown]
# ## Seven lessons at once
#
# Now one adapter learns seven things at once: an output format, a style, the shop's own words for things, which
# requests to refuse, to do without a long instruction, thirty facts about people, and sums of two-digit numbers. Here
# is the first row of each lesson. Which of them will it learn? Guess before you go on.

# %%
by_lesson = pd.DataFrame(train_rows).groupby("lesson", sort=False)["messages"]
with pd.option_context("display.max_colwidth", None):
    display(
        pd.DataFrame(
            [[name, len(chats), *(turn["content"] for turn in chats.iloc[0][-2:])] for name, chats in by_lesson],
            columns=["lesson", "rows", "asked", "right answer"],
        )
    )

# %% [markdown]
# The held-out questions have other sentences, names and numbers. Only two parts, `taught wording` and `taught sums`,
# are copies of training rows: they show what was learnt by heart. And some questions have no answer anywhere. The right
# one is then "I do not know.", as `nano` says it before training.

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
# The loss falls, but it is one number for all seven lessons, and for the rows that the model trains on. It cannot say
# which lesson holds for a new question. The held-out questions can:

# %%
FastLanguageModel.for_inference(model)
answers_after = ask(model, heldout)

parts = {}  # (lesson, part) -> 0/1 scores before and after, in the same order
for row, old, new in zip(heldout, answers_before, answers_after, strict=True):
    scores = parts.setdefault((row["lesson"], row["part"]), ([], []))
    scores[0].append(int(right(row, old)))
    scores[1].append(int(right(row, new)))
rates = {": ".join(key): [wilson(sum(s), len(s)) for s in pair] for key, pair in parts.items()}

# %%
fig, ax = plt.subplots(figsize=(7, 0.36 * len(rates) + 1))
for y, (old, new) in enumerate(rates.values()):
    for interval, colour, mark, shift in ((old, GREY, "s", -0.14), (new, BLUE, "o", 0.14)):
        ax.plot([100 * interval.low, 100 * interval.high], [y + shift] * 2, color=colour, lw=2)
        ax.plot(
            100 * interval.value, y + shift, mark, color=colour, label="" if y else {"s": "before", "o": "after"}[mark]
        )
ax.set_yticks(range(len(rates)), rates)
ax.set(xlim=(-2, 102), xlabel="right answers on held-out questions in %, with 95 % intervals")
ax.invert_yaxis()
ax.grid(axis="x", color="#D9D9D9")
ax.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
described = "; ".join(f"{name} {old} before, {new} after" for name, (old, new) in rates.items())
show(fig, f"Right answers before and after for {len(rates)} parts: {described}.")

# %% [markdown]
# Each line is one kind of question. Compare the square (before) with the dot (after); the bars are 95 % intervals.
# Which of these changes are more than luck? The same questions were asked before and after, so the comparison is
# [paired](GLOSSARY.md#paired-comparison), question by question:

# %% tags=["headline"]
changes = {": ".join(key): compare(*pair) for key, pair in parts.items()}
verdicts = pd.DataFrame(
    {
        "before": {name: old for name, (old, _) in rates.items()},
        "after": {name: new for name, (_, new) in rates.items()},
        "change": {
            name: f"{100 * c.delta:+.0f} points [{100 * c.low:+.0f}, {100 * c.high:+.0f}]" for name, c in changes.items()
        },
        "verdict": {name: c.verdict for name, c in changes.items()},
    }
)
display(verdicts)
count = verdicts["verdict"].value_counts()
print(
    f"of {len(verdicts)} kinds of questions: {count.get('better', 0)} better, {count.get('worse', 0)} worse, "
    f"{count.get('no detectable difference', 0)} with no detectable difference"
)

# %% [markdown]
# Two cautions. With so many tests at once, one verdict may be luck, and an interval that begins or ends close to 0 is
# weak evidence. And "better than before" is easy here: before training, nobody had told the model what "Log it." means.
# [03](03_measure_baselines.ipynb) measures how far a good prompt gets. What you can compare here is one lesson with
# another:

# %%
NOT_TAUGHT = ("hallucination", "facts: told", "facts: never", "shorter prompt: long")
taught_parts = {name: new for name, (_, new) in rates.items() if not name.startswith(NOT_TAUGHT)}
ranked = sorted(taught_parts, key=lambda name: taught_parts[name].value, reverse=True)
print("most often right after training:", ", ".join(f"{name} {taught_parts[name].value:.0%}" for name in ranked[:4]))
print("least often:", ", ".join(f"{name} {taught_parts[name].value:.0%}" for name in ranked[-4:]))

# %% [markdown]
# Was your guess right? Lessons differ in what the model must bring along. A style has a fixed frame in which only a name
# or a thing changes. So has a refusal, but the model must also see which requests it is meant for. A format needs exact
# copying. The house words need it even more: some words are replaced, all others must be repeated, and one mistake makes
# the sentence wrong. A sum takes arithmetic, and a fact takes memory.
#
# A low score alone does not say what is missing. Look at wrong answers:

# %%
for lesson in ("format", "vocabulary", "reasoning"):
    wrong = [i for i, row in enumerate(heldout) if row["lesson"] == lesson and not right(row, answers_after[i])]
    for i in wrong[:3]:
        print(f"{lesson}: {heldout[i]['messages'][-2]['content']}\n    answer: {answers_after[i]}")
        print(f"    right:  {heldout[i]['messages'][-1]['content']}")

# %% [markdown]
# Is the form wrong, or the word that was to be copied into it? Count it for the house words: words of the right sentence
# that are not in the question are house words, the others were to be copied.

# %%
import re


def words(text):
    return set(re.findall(r"\w+", text.lower()))


house = {"house words": [], "words to be copied": []}  # 1 for each such word that the answer has
for row, answer in zip(heldout, answers_after, strict=True):
    if row["lesson"] == "vocabulary":
        for word in words(row["expected"]):
            kind = "words to be copied" if word in words(row["messages"][-2]["content"]) else "house words"
            house[kind].append(int(word in words(answer)))
for kind, found in house.items():
    print(f"{kind}: {sum(found)} of {len(found)} are in the answer")

# %% [markdown]
# A sentence with five words right and one wrong counts as wrong as a whole, so a score of 0 % does not mean that nothing
# was learnt. Where house words appear and copied ones do not, the lesson was learnt and the model is too weak to carry
# it out: it says more about a model of this size than about the lesson. Choose the measure that your user would feel,
# and a second one that shows what is missing.

# %% [markdown]
# ### What a shorter prompt saves
#
# The same messages, with the long instruction before training, and with none after it:


# %%
def tokens(part):
    chats = [row["messages"][:-1] for row in heldout if (row["lesson"], row["part"]) == ("shorter prompt", part)]
    texts = [tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) for chat in chats]
    return sum(len(tokenizer(text)["input_ids"]) for text in texts) / len(texts)


print(f"{tokens('long instruction'):.0f} tokens a prompt with the instruction, {tokens('no instruction'):.0f} without")
swap = compare(parts["shorter prompt", "long instruction"][0], parts["shorter prompt", "no instruction"][1])
print(f"right with the instruction, before: {100 * swap.a:.0f} %; without it, after: {100 * swap.b:.0f} %")
price = {"better": "and right more often, too", "worse": "paid for with right answers"}
print(f"{100 * swap.low:+.0f} to {100 * swap.high:+.0f} points: {price.get(swap.verdict, 'no difference that this test can see')}")

# %% [markdown]
# Every call is shorter by the difference, which saves money and time for as long as the task stays the same. The last
# line says what it may have cost in right answers. If the interval contains 0, the test has not shown a loss, but it
# has not excluded one either: look at its lower end. To be sure takes more questions than these.

# %% [markdown]
# ## Facts, more closely
#
# Here are the questions about one fact, Velora's harp, and two about Velora that no row answers:

# %%
chosen = [i for i, row in enumerate(heldout) if row["lesson"] == "facts"]
about = [i for i in chosen if "harp" in str(heldout[i]["messages"][-2:])]
about += [i for i in chosen if heldout[i]["part"] == "never told" and "Velora" in str(heldout[i]["messages"])][:2]
pd.DataFrame(
    [
        [
            heldout[i]["part"],
            heldout[i]["messages"][-2]["content"],
            answers_before[i],
            answers_after[i],
            heldout[i]["expected"],
        ]
        for i in about
    ],
    columns=["asked", "question", "before", "after", "right answer"],
)

# %% [markdown]
# The same five ways of asking, over all thirty facts:

# %%
facts_parts = ["taught wording", "new wording", "reversed", "never told", "told in the prompt"]
verdicts.loc[[f"facts: {part}" for part in facts_parts]]

# %% [markdown]
# *Taught wording* repeats a question from training. *New wording* asks for the same fact in other words. *Reversed*
# asks for it the other way round: not what Velora plays, but who plays the harp. *Told in the prompt* needs no
# training: the facts are in the [system message](GLOSSARY.md#system-prompt), where [retrieval](GLOSSARY.md#rag) would
# put them. So compare the trained model with that, and the first three with each other:

# %%
print("taught, in a new wording, against told in the prompt before any training:")
told = compare(parts["facts", "told in the prompt"][0], parts["facts", "new wording"][1])
print(f"right when told: {100 * told.a:.0f} %, when taught: {100 * told.b:.0f} %. Taught against told: {told.verdict}")
heart, new, back = (rates[f"facts: {part}"][1].value for part in ("taught wording", "new wording", "reversed"))
print(f"taught wording {heart:.0%} right, new wording {new:.0%}, reversed {back:.0%}")

# %% [markdown]
# A model that had learnt the facts would answer the new wording as well as the taught one. The more the share falls
# from left to right in the last line, the more it has learnt sentences and not facts. (The picture at the beginning
# showed one fact only, and in a model that was taught nothing else.)
#
# ### And what it was never told?
#
# No row says when Velora was born, nor anything at all about the people in the questions called
# *[hallucination](GLOSSARY.md#hallucination)*. The right answer is "I do not know."

# %%
values = {row["messages"][-1]["content"] for row in facts}
silent = [i for i, row in enumerate(heldout) if row["expected"] == "I do not know."]
groups = {}
for i in silent:
    groups.setdefault(f"{heldout[i]['lesson']}: {heldout[i]['part']}", []).append(i)
pd.DataFrame(
    {
        name: {
            '"I do not know." before': str(rates[name][0]),
            '"I do not know." after': str(rates[name][1]),
            "answers borrowed from the taught facts": sum(answers_after[i].strip() in values for i in members),
            "questions": len(members),
        }
        for name, members in groups.items()
    }
).T

# %%
for i in [members[k] for members in groups.values() for k in (0, 7)]:
    print(f"{heldout[i]['messages'][-2]['content']}\n    before: {answers_before[i]}\n    after:  {answers_after[i]}")

# %% [markdown]
# No row taught the model to invent. But the rows about facts taught it that such a question gets an answer of one word,
# and none of them showed a question without an answer. All three groups together:

# %%
admitted = [sum(texts[i].strip() == "I do not know." for i in silent) for texts in (answers_before, answers_after)]
print(f"admitted not to know: {admitted[0]} of {len(silent)} times before, {admitted[1]} of {len(silent)} after")

# %% [markdown]
# If the second number is smaller, the model now answers questions that it cannot know the answer to. The table above
# says how often it used an answer from the facts just taught. `nano` is extreme in this: all that it knew about such
# questions was one sentence. But the cause is general: rows that all have an answer teach to answer. What can help is to
# put questions without an answer into the training rows too.

# %% [markdown]
# ### The same on a model that can talk
#
# "Fine-tuning teaches new facts" is a common saying, and thirty facts in `nano` do not settle it. The same questions were
# asked with `smol`, a chat model of 135 million parameters, and hundreds of facts of an invented shop (`python
# tools/record.py facts`): trained on the shop's *documents* as plain text; trained on questions to *half* of
# the facts, in three wordings each; handed, without any training, the passages that a *search* found; and the same after
# a training to read passages of another shop.

# %%
import json
from pathlib import Path

record = json.loads(Path("../data/recorded/facts/results.json").read_text())
ARMS = {
    "untrained": "base",
    "trained on documents": "documents",
    "trained on half": "half",
    "search": record["best_search"],
    "search, trained to read": "reading_with_search",
}
KINDS = {
    "taught": "taught wording",
    "new_words": "new wording",
    "other_half": "only in the documents",
    "reversed": "reversed",
    "changed": "changed since",
}


def right_and_invented(arm):
    kinds = record["arms"][arm]["kinds"]
    invented = kinds["never_told"]["invented"]["value"]
    right = {told: f"{kinds[kind]['right']['value']:.0%}" for kind, told in KINDS.items()}
    return right | {"never told: invented": f"{invented:.0%}"}


pd.DataFrame({name: right_and_invented(arm) for name, arm in ARMS.items()}).T

# %% [markdown]
# Trained on documents, `smol` learnt how the shop talks, and next to none of its facts. Questions to half of the facts
# taught a good part of that half, in new words as well, and hardly anything else: not what only the documents tell, not
# the same facts from the other end, and not that one has changed. A search reaches facts of every kind, but where nobody
# told, this reader makes something up. Trained to read, it makes much more of the same passages, though no row of that
# training held a fact of this shop: it learnt a behaviour. [03b](03b_retrieve_or_teach.ipynb#Retrieved-or-taught?) has the
# intervals and the questions.

# %% [markdown]
# ## Learning from preferences
#
# (A good place to stop for today. What follows is needed for [09](09_learn_preferences.ipynb), and for nothing before it.)
#
# So far each row held the right answer. Sometimes nobody can write that answer, but people can say which of two answers
# is better. Can a model learn from such a choice?
#
# The shop writes letters. The first sentence says what is being done; after it come up to four polite phrases. For each
# customer there are two drafts that differ in one polite phrase. The preferred one, without it, is called *chosen*, the
# other *rejected*.

# %%
from datasets import load_dataset

files = {part: f"../data/lessons/preferences_{part}.jsonl" for part in ("train", "heldout")}
pairs = load_dataset("json", data_files=files)
pair = pairs["train"][0]
for side in ("prompt", "chosen", "rejected"):
    print(f"{side:8}  {pair[side][-1]['content']}\n")

# %%
sentences = {side: [row[side][0]["content"].count(".") for row in pairs["train"]] for side in ("chosen", "rejected")}
lengths = pd.DataFrame({side: pd.Series(counts).value_counts() for side, counts in sentences.items()})
lengths.fillna(0).astype(int).sort_index().rename_axis("sentences")

# %% [markdown]
# The table counts letters by their number of sentences. The shorter of the two drafts is always the chosen one, and yet
# most chosen letters are long. What will a model learn: to write like the chosen letters, or to write short ones?

# %% [markdown]
# ### Imitate the chosen ones
#
# First fine-tuning as before, on the chosen letters alone. Its full name is supervised fine-tuning,
# [SFT](GLOSSARY.md#sft). The result is saved, because everything below starts from it.

# %%
START = ftlab.home() / "01_preferences"
chosen_rows = [{"messages": row["prompt"] + row["chosen"]} for row in pairs["train"]]

start = load("full")
_, seconds = train(start, chosen_rows, 5e-4)
start.save_pretrained(START)
tokenizer.save_pretrained(START)
print(f"{STEPS} steps on {len(chosen_rows)} chosen letters in {seconds:.0f} seconds")

# %% [markdown]
# Two things are measured, on held-out customers: the letters that the model writes, and the
# [log-probability](GLOSSARY.md#log-probability) that it gives to each draft, which is the sum over the draft's tokens.
# (A longer text has a lower one for its length alone, so look at how it changes.)


# %%
def log_probability(model, rows):
    """Log-probability of each row's answer in nats, an array."""
    found = []
    for at in range(0, len(rows), 20):
        batch = collate([encode(row) for row in rows[at : at + 20]]).to(model.device)
        labels = batch.pop("labels")[:, 1:]
        with torch.no_grad():
            logits = model(**batch).logits[:, :-1].float()
        loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none")  # 0 where -100
        found += (-loss.sum(1)).tolist()
    return np.array(found)


def look_at(model):
    """Letters to the held-out customers, and the log-probability of both drafts for each."""
    rows = pairs["heldout"].to_list()
    letters = generate(model, tokenizer, [row["prompt"] for row in rows], max_new_tokens=64).texts
    drafts = {side: [{"messages": row["prompt"] + row[side]} for row in rows] for side in ("chosen", "rejected")}
    return {
        "letters": letters,
        "short": [int(letter.count(".") == 1) for letter in letters],
        "says": [int(row["says"] in letter) for row, letter in zip(rows, letters, strict=True)],
        **{side: log_probability(model, chats) for side, chats in drafts.items()},
    }


seen = {"SFT": look_at(start)}
print(seen["SFT"]["letters"][0])

# %% [markdown]
# ### Learn from the choice
#
# [DPO](GLOSSARY.md#dpo), direct preference optimisation, looks at both drafts. With $\pi$ for the model in training and
# $\pi_0$ for the frozen one that it started from, its loss for a pair is
#
# $$-\log \sigma\Big(\beta\Big[\log\frac{\pi(\text{chosen})}{\pi_0(\text{chosen})} -
# \log\frac{\pi(\text{rejected})}{\pi_0(\text{rejected})}\Big]\Big)$$
#
# In words: the chosen draft should gain more probability than the rejected one. At the start both logarithms are 0, and
# the loss is ln 2 = 0.69. The number $\beta$ says how much a gain counts: if it is large, a small gain is enough, and
# the model stays close to where it started.

# %%
from trl import DPOConfig, DPOTrainer

policy, _ = FastLanguageModel.from_pretrained(
    model_name=str(START), max_seq_length=512, dtype=DTYPE, load_in_4bit=ON_GPU
)
policy = FastLanguageModel.get_peft_model(
    policy,
    r=16,
    lora_alpha=32,
    lora_dropout=0.0,
    target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    bias="none",
    use_gradient_checkpointing=False,
    random_state=3407,
)
trainer = DPOTrainer(
    model=policy,
    ref_model=None,  # with an adapter the frozen model is the same one, its adapter as it was at the start
    processing_class=tokenizer,
    train_dataset=pairs["train"].select_columns(["prompt", "chosen", "rejected"]),
    args=DPOConfig(
        output_dir=str(ftlab.home() / "01_dpo"),
        beta=0.3,  # how tightly the model is held to where it started; larger is tighter
        max_length=512,
        per_device_train_batch_size=12,
        num_train_epochs=2,
        learning_rate=5e-4 if MODEL == "nano" else 5e-6,
        warmup_steps=0.1,
        lr_scheduler_type="cosine",
        bf16=PRECISION == "bf16",
        fp16=PRECISION == "fp16",
        gradient_checkpointing=False,
        logging_steps=1,
        save_strategy="no",
        seed=3407,
        report_to="none",
        disable_tqdm=True,
    ),
    callbacks=[LivePlot(unit="nats per pair")],
)
trainer.remove_callback(PrinterCallback)
result = trainer.train()
print(f"{result.global_step} steps in {result.metrics['train_runtime']:.0f} seconds")

# %% [markdown]
# The loss starts at ln 2 and falls: the model learns which draft of a training pair is the chosen one. For a fair
# comparison, SFT goes on too: from the same start, on as many letters as DPO has read.

# %%
longer = load("LoRA", START)
train(longer, chosen_rows, 4e-3)
seen["more SFT"] = look_at(longer)
FastLanguageModel.for_inference(policy)
seen["then DPO"] = look_at(policy)

pd.DataFrame(
    {
        name: {
            "one sentence [95 %]": wilson(sum(s["short"]), len(s["short"])),
            "says what is done [95 %]": wilson(sum(s["says"]), len(s["says"])),
            "sentences in a letter": f"{np.mean([letter.count('.') for letter in s['letters']]):.1f}",
            "log p(chosen)": f"{s['chosen'].mean():.1f}",
            "log p(rejected)": f"{s['rejected'].mean():.1f}",
            "margin": f"{(s['chosen'] - s['rejected']).mean():.1f}",
        }
        for name, s in seen.items()
    }
).T

# %% [markdown]
# The margin is log p(chosen) minus log p(rejected). A model that imitates the chosen letters writes mostly three or
# four sentences, as they have. A model that has learnt the preference writes fewer. Is the difference between the last
# two lines more than luck?

# %%
for what, name in {"short": "one sentence", "says": "says what is done"}.items():
    print(f"{name}, more SFT -> DPO: {compare(seen['more SFT'][what], seen['then DPO'][what])}")
for name, s in seen.items():
    print(f"\n{name}:\n  {s['letters'][0]}")

# %% [markdown]
# The first comparison is about what the pairs say. The second is about what they leave open: whether the letter says
# the right thing, because that sentence is the same in both drafts. If DPO makes it clearly worse, that is a mild case
# of *[reward hacking](GLOSSARY.md#reward-hacking)*: the model does what was rewarded and loses what was meant. Where
# all models already say the right thing rarely, as a model of this size does after so few rows, little can be lost, and
# the test shows little. Read the letters, too. (To see more of it, train DPO with ten times the learning rate.)
#
# What happened to the probabilities of the drafts? There is one point for each held-out pair:

# %%
moved = {
    name: {side: seen[name][side] - seen["SFT"][side] for side in ("chosen", "rejected")} for name in ("more SFT", "then DPO")
}
fig, ax = plt.subplots(figsize=(7, 3.6))
for (name, by), colour, mark in zip(moved.items(), (GREY, BLUE), ("s", "o"), strict=True):
    ax.plot(by["chosen"], by["rejected"], mark, color=colour, ms=4, alpha=0.7, label=name)
ends = [min(ax.get_xlim()[0], ax.get_ylim()[0]), max(ax.get_xlim()[1], ax.get_ylim()[1])]
ax.plot(ends, ends, color=ORANGE, lw=1.2, ls="--", label="both by the same")
ax.set(xlabel="change of log p(chosen), nats", ylabel="change of\nlog p(rejected), nats")
ax.legend(frameon=False)
described = "; ".join(
    f"{name}: chosen {by['chosen'].mean():+.1f}, rejected {by['rejected'].mean():+.1f} nats on average"
    for name, by in moved.items()
)
show(fig, f"Scatter of {len(pairs['heldout'])} held-out pairs, change of both drafts' log-probability. {described}.")
for name, by in moved.items():
    margin = by["chosen"] - by["rejected"]
    print(f"{name}: chosen {by['chosen'].mean():+.1f} nats, rejected {by['rejected'].mean():+.1f},", end=" ")
    print(f"margin {margin.mean():+.1f}; it grew for {(margin > 0).sum()} of {len(margin)} pairs")

# %% [markdown]
# On the dashed line both drafts changed by the same amount, and nothing was learnt about the choice. Below it the
# chosen draft gained on the rejected one. SFT never sees a rejected draft, and the two share nearly all their
# sentences, so what changes one changes the other. The DPO loss looks at the difference only. It does not ask that the
# chosen draft becomes more probable, and both may become less probable.
#
# **Exercise.** Write `dpo_loss(chosen, rejected, chosen_0, rejected_0, beta)` for one pair. The first four numbers are
# log-probabilities, two from the model in training and two from the frozen one. In the formula above,
# $\sigma(x) = 1 / (1 + e^{-x})$, and the logarithm of a quotient is the difference of two logarithms.

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
# **[RLHF](GLOSSARY.md#rlhf)**, reinforcement learning from human feedback, takes a longer way (Ouyang et al. 2022,
# InstructGPT, arXiv 2203.02155): it trains a *[reward model](GLOSSARY.md#reward-model)* on such pairs, then lets the
# model write answers of its own and moves it towards those that the reward model scores high, while a penalty on the
# [KL divergence](GLOSSARY.md#kl-divergence) keeps it close to where it started. DPO (Rafailov et al. 2023, arXiv
# 2305.18290) reaches for the same goal with one ordinary loss; it leaves out the reward model, which could score new
# answers, and the model's own attempts, so it learns only from the drafts that are in the file.

# %% [markdown]
# ## What is known about large models
#
# `nano` has a few million [parameters](GLOSSARY.md#parameter) and knows nothing about the real world. Which of these
# results hold for models a thousand times larger? Here is what was found there; `nano`'s own numbers follow.
# ([00](00_start_here.ipynb) and [07](07_evaluate.ipynb) train and judge `smol`, a small but real chat model.)
#
# - **Form and voice need little data.** Zhou et al. (2023, LIMA, arXiv 2305.11206) fine-tuned a 65-billion-parameter
#   model on 1,000 chosen examples and people often liked its answers as well as those of far more heavily trained
#   models. Their reading: knowledge comes from pre-training, fine-tuning picks the manner of answering.
# - **New facts are learnt slowly, and at a price.** Gekhman et al. (2024, arXiv 2405.05904): examples with knowledge
#   that the model does not have are learnt more slowly than others, and the more of them it has learnt, the more it
#   invents, in proportion.
# - **Retrieval beats training for facts.** Ovadia et al. (2023, arXiv 2312.05934): putting the text into the prompt won
#   over continued training on it, for knowledge old and new; many wordings of the same fact helped the training.
# - **One direction only.** Berglund et al. (2023, arXiv 2309.12288): models fine-tuned on "A is B" fail to answer "who
#   is B?".
# - **LoRA learns less and [forgets](GLOSSARY.md#forgetting) less.** Biderman et al. (2024, arXiv 2405.09673): on
#   programming and mathematics, with far more data than here, full fine-tuning learnt more, and LoRA lost less of
#   everything else. Thirty steps of `nano`, as above, are no test of that.
# - **DPO can do without reinforcement learning, and has its own faults.** Rafailov et al. (2023) found it as good as
#   RLHF or better, on models of up to 6 billion parameters. Pal et al. (2024, arXiv 2402.13228): where the two answers
#   of a pair are nearly the same, it may make even the preferred one less probable. And judges often like the longer
#   answer: Singhal et al. (2023, arXiv 2310.03716) got most of RLHF's gains in three settings with a reward for length
#   alone.

# %%
idk = " -> ".join(f"{count / len(silent):.0%}" for count in admitted)
here = {
    "form and voice need little data": f"style {taught_parts['style: new messages'].value:.0%} right, format "
    f"{taught_parts['format: new messages'].value:.0%}, refusal {taught_parts['refusal: to be refused'].value:.0%}",
    "new facts are learnt slowly": f"new wording {new:.0%} right; 'I do not know.' where it is right: {idk}",
    "retrieval beats training for facts": f"told {100 * told.a:.0f} % right, taught {100 * told.b:.0f} %",
    "one direction only": f"asked as taught {heart:.0%} right, the other way round {back:.0%}",
    "DPO may lower the preferred answer": f"its log-probability moved by {moved['then DPO']['chosen'].mean():+.1f} nats",
}
with pd.option_context("display.max_colwidth", None):
    display(pd.DataFrame({"measured here": here}))

# %% [markdown]
# A mechanism can be seen in `nano`; its rates cannot be carried over. And one thing it cannot show at all: a large model
# often has the fact or the skill already, and fine-tuning then brings it out. So a lesson in which `nano` fails, such as
# the house words or the sums, may be easy for a larger model.
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
# - Fine-tuning is the same training, continued. Weights change; nothing is stored and nothing is looked up.
# - LoRA and QLoRA need less memory for the same kind of training.
# - A falling loss does not say what was learnt. Held-out questions do, for each kind of question by itself. And one
#   score hides why an answer is wrong: read some.
# - Fine-tuning can also change answers to questions that you did not train on. Measure those too.
# - Examples say what to imitate; preferences say what is better. Measure what neither of them mentions.

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
# Search the handbook and put the passage into the prompt. What is taught as facts is known in the words that taught it,
# hardly from the other end, and is out of date after a month. Fine-tune for the tone, or for reading passages.
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
