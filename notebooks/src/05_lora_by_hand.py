# ---
# ftlab:
#   reads: [data/lessons/*.jsonl, data/product_facts/documents.jsonl, data/probes/everyday.jsonl, data/hardware/*.csv, data/models/nano/*.json, data/models/nano/*.jinja, data/models/nano/model.safetensors]
#   headline: loss and answers of smol, with its weights in fewer and fewer bits
# ---

# %% [markdown]
# # LoRA by hand
#
# **Question:** what do LoRA and 4-bit do to a matrix?
# **Minutes:** 23 to read, 3 to run. **Hardware:** any; two CPU cores are enough.
#
# You write [LoRA](GLOSSARY.md#lora) in ten lines, put it into a real chat model, and compare with the library: the numbers
# are the same. Then you see what [rank](GLOSSARY.md#rank) and [alpha](GLOSSARY.md#alpha) do, pack weights into four bits by
# hand as [QLoRA](GLOSSARY.md#qlora) does, again with the library's own result, and measure what that costs. At the end an
# [adapter](GLOSSARY.md#adapter) is merged into the weights, and taken out again.
#
# The model is `smol` (SmolLM2-135M-Instruct). Where something is trained, it is `nano`, which takes seconds.

# %% [markdown]
# ## One matrix
#
# Four fifths of this model's numbers stand in such matrices (in larger models nearly all), the rest mostly in the table of
# its tokens. This one computes what each
# [token](GLOSSARY.md#token) looks for in the tokens before it, in the sixteenth of thirty layers.

# %%
import torch
from ftlab.models import resolve, smol_or_nano  # before transformers: ftlab quiets the libraries
from transformers import AutoModelForCausalLM, AutoTokenizer

MODEL = smol_or_nano()
model = AutoModelForCausalLM.from_pretrained(resolve(MODEL), dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(resolve(MODEL))

layers = model.model.layers
matrix = layers[len(layers) // 2].self_attn.q_proj
print(f"{matrix.out_features} x {matrix.in_features} = {matrix.weight.numel():,} of {model.num_parameters():,} numbers")

# %% [markdown]
# Full fine-tuning would change each of these numbers. LoRA (Hu et al. 2021, arXiv 2106.09685) leaves the matrix $W$ as
# it is and adds a second path beside it:
#
# $$y = Wx + \frac{\alpha}{r}\, B A x$$
#
# $A$ has $r$ rows, $B$ has $r$ columns, and $r$, the rank, is small. In ten lines:


# %%
class LoRA(torch.nn.Module):
    def __init__(self, layer, r, alpha):
        super().__init__()
        self.layer, self.scale = layer, alpha / r
        self.A = torch.nn.Parameter(torch.empty(r, layer.in_features))
        self.B = torch.nn.Parameter(torch.zeros(layer.out_features, r))
        torch.nn.init.kaiming_uniform_(self.A, a=5**0.5)  # random, as in PEFT

    def forward(self, x):
        return self.layer(x) + self.scale * (x @ self.A.T @ self.B.T)


torch.manual_seed(0)
by_hand = LoRA(matrix.requires_grad_(False), r=16, alpha=32)
trained = sum(weight.numel() for weight in by_hand.parameters() if weight.requires_grad)
print(f"A {tuple(by_hand.A.shape)} and B {tuple(by_hand.B.shape)}: {trained:,} numbers to train", end=", ")
print(f"{trained / matrix.weight.numel():.1%} of the matrix")

# %% [markdown]
# $B$ begins as zero. So at the start the second path adds nothing, and training begins at the model as it is. What
# would happen if $A$ were zero, too? Look at the gradients of the first step:

# %%
x = torch.randn(4, matrix.in_features)
print("same output as without the adapter:", torch.equal(by_hand(x), matrix(x)))

by_hand(x).square().sum().backward()
print(f"largest gradient: A {by_hand.A.grad.abs().max():.3f}, B {by_hand.B.grad.abs().max():.3f}")

# %% [markdown]
# At first only $B$ moves: the gradient of each of the two is multiplied by the other one, and $B$ is zero. Once it is
# not, $A$ moves as well. With both at zero nothing would ever move.
#
# **Exercise (level 2).** How many numbers does an adapter have? Write `adapter_numbers(rows, columns, r)` for a matrix of so many
# rows and columns.

# %% tags=["exercise"]
def adapter_numbers(rows, columns, r):
    # solution
    return r * (rows + columns)
    # end solution


# %%
from ftlab.exercises.lora import check_adapter_numbers

check_adapter_numbers(adapter_numbers)

# %% [markdown]
# ## The same as the library, in the whole model
#
# [PEFT](GLOSSARY.md#peft) is the library that Unsloth, TRL and most other trainers use for adapters. It puts one beside every
# matrix that `target_modules` names. As training would, we give $B$ some numbers, and ask the model for its
# [logits](GLOSSARY.md#logits):

# %%
from peft import LoraConfig, get_peft_model

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
chat = [{"role": "user", "content": "What is the capital of France?"}]
prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)


def logits(model):
    with torch.no_grad():
        return model(**prompt).logits


def one_step(model):
    """One step of plain gradient descent on the chat; the loss before it."""
    loss = model(**prompt, labels=prompt["input_ids"]).loss
    loss.backward()
    torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.1).step()
    return loss.item()


before = logits(model)
settings = LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules=TARGETS, bias="none")
peft_model = get_peft_model(model, settings)
for name, weight in peft_model.named_parameters():
    if "lora_B" in name:
        torch.nn.init.normal_(weight, std=0.005)
from_peft = logits(peft_model)
peft_model.print_trainable_parameters()
print(f"the adapter moves the logits by up to {(from_peft - before).abs().max():.2f}")

# %% [markdown]
# Now the same by hand: take PEFT's adapter out, put ours beside the same matrices, with the same numbers. And let both take one
# step of training.

# %%
def numbers_of(model):
    return {name: weight.detach().clone() for name, weight in model.named_parameters() if "lora_" in name}


adapter = numbers_of(peft_model)
loss_of_peft = one_step(peft_model)
after_a_step = numbers_of(peft_model)
model = peft_model.unload()  # the model as it was

for name, layer in list(model.named_modules()):
    parent, _, last = name.rpartition(".")
    if last in TARGETS:
        ours = LoRA(layer, r=16, alpha=32)
        ours.A.data = adapter[f"base_model.model.{name}.lora_A.default.weight"].clone()
        ours.B.data = adapter[f"base_model.model.{name}.lora_B.default.weight"].clone()
        setattr(model.get_submodule(parent), last, ours)

difference = (logits(model) - from_peft).abs().max().item()
print(f"{len(adapter) // 2} matrices; largest difference between our logits and PEFT's: {difference:.1e}")
assert difference < 1e-3

loss = one_step(model)
apart = moved = 0.0
for name, ours in model.named_modules():
    if isinstance(ours, LoRA):
        for part, weight in {"A": ours.A, "B": ours.B}.items():
            key = f"base_model.model.{name}.lora_{part}.default.weight"
            apart = max(apart, (weight - after_a_step[key]).abs().max().item())
            moved = max(moved, (weight - adapter[key]).abs().max().item())
print(f"a step: loss {loss:.4f} and {loss_of_peft:.4f}; numbers moved by up to {moved:.1e}; A and B differ by {apart:.1e} at most")
assert apart < 1e-2 * moved

# %% [markdown]
# The same answers, and the same step: that is all that LoRA is. A training takes many such steps, the loop of
# [01](01_what_fine_tuning_changes.ipynb), with a better [optimizer](GLOSSARY.md#optimizer), which is given the $A$ and $B$ alone.

# %% [markdown]
# ## What can a rank reach?
#
# $BA$ can be no more than a sum of $r$ columns times rows. Suppose that the change which a task needs is known: here a
# random one of rank 8 for a small matrix. How near can an adapter of rank 1, 2, 4, 8 or 16 come to it? The best that any
# matrix of rank $r$ can do is known, too: keep the $r$ largest [singular values](GLOSSARY.md#singular-value) of the
# change and drop the rest (Eckart and Young, 1936).

# %%
torch.manual_seed(1)
wanted = torch.randn(64, 8) @ torch.diag(2.0 ** -torch.arange(8)) @ torch.randn(8, 48)  # 8 directions, each half as strong
strengths = torch.linalg.svdvals(wanted)


def best_possible(r):
    """The share of the change that the best matrix of rank r leaves over."""
    return (strengths[r:].norm() / strengths.norm()).item()


def trained_rank(r, steps=400):
    """The share that an adapter of rank r leaves over after training."""
    zero = torch.nn.Linear(48, 64, bias=False).requires_grad_(False)
    zero.weight.zero_()
    adapter = LoRA(zero, r, alpha=r)
    optimizer = torch.optim.Adam([adapter.A, adapter.B], lr=0.05)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        (adapter.B @ adapter.A - wanted).square().sum().backward()
        optimizer.step()
        scheduler.step()
    return ((adapter.B @ adapter.A - wanted).norm() / wanted.norm()).item()


for r in (1, 2, 4, 8, 16):
    print(f"rank {r:2}: {trained_rank(r):6.1%} is left over; the best possible is {best_possible(r):6.1%}")

# %% [markdown]
# The training finds the best possible, but for a trace. A rank that is too small gets the strongest directions and misses
# the rest; one that is larger than needed gains nothing here and costs its numbers. So how many directions does a real
# fine-tune use?

# %% [markdown]
# ## The singular values of a fine-tune
#
# Train `nano` with *all* its weights, as in [01](01_what_fine_tuning_changes.ipynb), to log messages as
# `item=...;number=...;`, and look at the change of its matrices.

# %%
import random

from transformers import DataCollatorForSeq2Seq

from ftlab.data.schema import read_chat
from ftlab.evaluation.generation import generate
from ftlab.evaluation.statistics import compare, wilson

nano_tokenizer = AutoTokenizer.from_pretrained(resolve("nano"))
collate = DataCollatorForSeq2Seq(nano_tokenizer)
rows = {part: [row for row in read_chat(f"../data/lessons/{part}.jsonl") if row["lesson"] == "format"]
        for part in ("train", "heldout")}  # fmt: skip


def encode(row):
    """The ids of a chat, and labels for its answer alone."""
    prompt = nano_tokenizer.apply_chat_template(row["messages"][:-1], tokenize=False, add_generation_prompt=True)
    answer = row["messages"][-1]["content"] + nano_tokenizer.eos_token
    prompt, answer = (nano_tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt, answer))
    return {"input_ids": prompt + answer, "labels": [-100] * len(prompt) + answer}


def train(model, learning_rate, steps=30, seed=0):
    """The loss of the last five steps, on average."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer, dice, losses = torch.optim.AdamW(weights, lr=learning_rate), random.Random(seed), []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model(**collate([encode(row) for row in dice.sample(rows["train"], 16)])).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[-5:]) / 5


def right_answers(model):
    """1 or 0 for each held-out question."""
    asked = [row["messages"][:-1] for row in rows["heldout"]]
    answers = generate(model, nano_tokenizer, asked, max_new_tokens=48).texts
    return [float(sorted(answer.strip().split(";")) == sorted(row["expected"].split(";")))
            for answer, row in zip(answers, rows["heldout"], strict=True)]  # fmt: skip


def nano():
    return AutoModelForCausalLM.from_pretrained(resolve("nano"), dtype=torch.float32)


start, tuned = nano(), nano()
final_loss = train(tuned, learning_rate=5e-4)
print(f"loss at the end of 30 steps: {final_loss:.3f}")

# %%
import matplotlib.pyplot as plt

from ftlab.plots import BLUE, GREY, ORANGE, show

name = next(name for name, _ in tuned.named_parameters() if name.endswith("layers.2.mlp.up_proj.weight"))
weight = start.get_parameter(name).detach()
change = tuned.get_parameter(name).detach() - weight


def kept(matrix):
    """For each rank, the share of the matrix (of its squares) that its largest singular values hold."""
    squares = torch.linalg.svdvals(matrix).square()
    return (squares.cumsum(0) / squares.sum()).tolist()


fig, ax = plt.subplots(figsize=(7, 2.8))
curves = {"the change": (kept(change), BLUE), "the weights themselves": (kept(weight), ORANGE),
          "random numbers": (kept(torch.randn_like(weight)), GREY)}  # fmt: skip
for label, (curve, colour) in curves.items():
    ax.plot(range(1, len(curve) + 1), curve, color=colour, label=label)
ax.axvline(16, color="black", lw=0.8, ls=":")
ax.set(xlabel="rank", ylabel="share held", ylim=(0, 1.02))
ax.legend(frameon=False)
told = "; ".join(f"{label} {curve[15]:.0%}" for label, (curve, _) in curves.items())
show(fig, f"Share of a matrix that its largest singular values hold, by rank, up to {len(kept(weight))}. At rank 16: {told}.")
print(f"a matrix of {weight.shape[0]} x {weight.shape[1]}; the 16 largest of {min(weight.shape)} singular values hold: {told}")

# %% [markdown]
# The change is far from random: a few directions hold much of it, more than of the weights themselves. Does the rest matter? A
# quarter of the squares is still half of the size (its root), which the table above would call a miss. So try it: cut the change of
# every matrix down to its 16 largest singular values, or to one, put that back, and ask.

# %%
scores = {"trained, all weights": right_answers(tuned)}
for rank in (16, 1):
    cut = nano()
    for name, weight in cut.named_parameters():
        change = (tuned.get_parameter(name) - start.get_parameter(name)).detach()
        if name.split(".")[-2] in TARGETS:
            U, S, V = torch.linalg.svd(change, full_matrices=False)
            change = (U[:, :rank] * S[:rank]) @ V[:rank]
        weight.data += change
    scores[f"its changes cut to rank {rank}"] = right_answers(cut)
for what, hits in scores.items():
    print(f"{what:26} {wilson(int(sum(hits)), len(hits))} right")

# %% [markdown]
# What the 16 largest leave out, these answers hardly miss; cut down to one, most are gone. So an adapter of a small rank can stand in
# for a change of all weights. Nobody promises that it will for
# every task: Biderman et al. (2024, arXiv 2405.09673) found changes of a far higher rank after training on billions of tokens of
# programs, and there LoRA learnt less than full fine-tuning.

# %% [markdown]
# ## Rank, alpha, layers
#
# Now adapters instead, each with 30 steps on the same rows. The first line has the usual rank, alpha and matrices (its learning
# rate of 4e-3 is `nano`'s own; models of 1 to 8 billion parameters take 1e-4 to 2e-4); each of the others changes one thing. The last
# column compares it with the first line, question by question.

# %%
import pandas as pd

tried = {
    "r 16, alpha 32, all matrices": {},
    "rank 1, alpha 2": {"r": 1, "lora_alpha": 2},
    "rank 64, alpha 128": {"r": 64, "lora_alpha": 128},
    "rank 64, alpha 32": {"r": 64},
    "alpha 4": {"lora_alpha": 4},
    "alpha 256": {"lora_alpha": 256},
    "learning rate / 8": {"learning_rate": 5e-4},
    "learning rate x 8": {"learning_rate": 3.2e-2},
    "attention alone": {"target_modules": TARGETS[:4]},
    "the other three alone": {"target_modules": TARGETS[4:]},
}
lines, usual = {}, None
for what, change in tried.items():
    change = {"r": 16, "lora_alpha": 32, "target_modules": TARGETS, "learning_rate": 4e-3} | change
    learning_rate = change.pop("learning_rate")
    torch.manual_seed(0)
    adapted = get_peft_model(nano(), LoraConfig(lora_dropout=0.0, bias="none", **change))
    numbers = sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)
    loss = train(adapted, learning_rate)
    hits = right_answers(adapted)
    lines[what] = [f"{numbers:,}", f"{loss:.3f}", f"{sum(hits) / len(hits):.0%}", ""]
    if usual is None:
        usual, usual_adapter = hits, adapted  # it is merged further down
    else:
        against = compare(usual, hits)
        lines[what][-1] = f"{100 * against.delta:+.0f} points [{100 * against.low:+.0f}, {100 * against.high:+.0f}]"
titles = ["trained numbers", "loss at the end", f"right of {len(usual)} held-out", "against the first line [95 %]"]
pd.DataFrame.from_dict(lines, orient="index", columns=titles)

# %% [markdown]
# Where an interval holds 0, the two cannot be told apart.
#
# - **Rank.** On this easy task rank 1 cannot be told from rank 16. (The cut to rank 1 above failed: what training finds when it may
#   use one direction only is another change than the strongest direction of a full one.) Rank 64 with alpha 2 r has more
#   directions, each of which takes a step of the same size, so that together they go further: here too far. With alpha left at 32,
#   the division by r holds them back.
# - **Alpha** may be eight times smaller without harm, and eight times larger ruins the answers. It scales the change
#   linearly. The **learning rate** acts more strongly: with [Adam](GLOSSARY.md#adam), both $A$ and $B$ move by it in every
#   step, and as soon as $A$ has moved as far as its random start, their product grows with up to its square. An eighth of it learns
#   too little in 30 steps; eight times as much breaks the model.
# - **Layers.** Attention alone and the other three alone both get there, and all together were not better here. What each costs,
#   its numbers say.
#
# So choose alpha once, 32 say, and keep it when you change the rank; then search the learning rate. With alpha at 2 r a larger rank
# also takes larger steps, and the rate has to be searched again. (`use_rslora=True` divides by the root of r, so that rates carry over
# from rank to rank better; *DoRA* trains the length of each column beside its direction. Both are arguments of `LoraConfig`.)
#
# One run each, of a tiny model on one easy task: the mechanism is general, the heights are not. On large models, LoRA on
# all matrices beat LoRA on attention alone even at equal numbers (Schulman et al. 2025, "LoRA Without Regret"), the best
# learning rate hardly depended on the rank when alpha stayed at 32, and it was about ten times that of full fine-tuning.

# %% [markdown]
# ## How large is an adapter?
#
# Choose a model, a rank and the matrices. (The form works where the notebook runs. On a page such as GitHub's you see the
# table below it, which is what it shows at the start.)

# %%
from ftlab.widgets.adapter import adapter_form

adapter_form("llama-3.1-8b", r=16)

# %%
from ftlab.costs.adapter import adapter_size

adapter_size("llama-3.1-8b", r=16)

# %% [markdown]
# The larger the matrices, the smaller the share: an adapter grows with the sides of a matrix, the matrix with their
# product.

# %% [markdown]
# ## Four bits
#
# QLoRA (Dettmers et al. 2023, arXiv 2305.14314) stores the frozen matrices in four bits a number. Four bits can name
# sixteen values. Which sixteen? Weights lie around zero like a normal distribution. (Those of `smol`'s file were packed once before,
# into four bits of another kind: Q4_1, blocks of 32, sixteen levels at equal distances between their least and their largest. So what
# follows is a second packing, and the prices of weights that were never packed may be others.) So *NF4*, the 4-bit "normal float",
# takes levels that are close together where weights are many:

# %%
import bitsandbytes.functional as bnb

NF4 = bnb.get_4bit_type("nf4", device="cpu")
weight = matrix.weight.detach()
fig, ax = plt.subplots(figsize=(7, 2.4))
ax.hist((weight.reshape(-1, 64) / weight.reshape(-1, 64).abs().amax(1, keepdim=True)).flatten(), bins=120, color=BLUE)
for level in NF4:
    ax.axvline(level, color=ORANGE, lw=1)
ax.set(xlabel="weight / largest, in size, of its block of 64", yticks=[])
show(fig, f"Histogram of a matrix's weights, each divided by the largest, in size, of its block, with the {len(NF4)} levels of NF4.")
print(", ".join(f"{level:.3f}" for level in NF4))

# %% [markdown]
# (The bars at both ends are the largest of each block.) Packing takes three steps: cut the matrix into blocks of 64
# numbers, divide each by its largest (in size, the sign left aside), and write down which level is nearest. Unpacking goes back.


# %%
def pack(weight, levels=NF4, size=64):
    """The index of the nearest level for each number, and the number that is largest in size, without its sign, of each block."""
    blocks = weight.float().reshape(-1, size)
    largest = blocks.abs().amax(1)
    middles = (levels[1:] + levels[:-1]) / 2  # a number between two of them belongs to the level between
    return torch.bucketize(blocks / largest[:, None], middles), largest


def unpack(index, largest, levels=NF4):
    return levels[index] * largest[:, None]


packed, state = bnb.quantize_4bit(weight, blocksize=64, quant_type="nf4")
index, largest = pack(weight)
two_in_a_byte = torch.stack([packed.flatten() >> 4, packed.flatten() & 15], 1).flatten()  # bitsandbytes' own indices
assert torch.equal(index.flatten(), two_in_a_byte.long())
assert torch.allclose(unpack(index, largest).reshape(weight.shape), bnb.dequantize_4bit(packed, state))
error = (unpack(index, largest).reshape(weight.shape) - weight).norm() / weight.norm()
print(f"bitsandbytes packs into {packed.numel():,} bytes, and by hand every index is the same")
print(f"what comes back differs from the weights by {error:.1%} of their size")

# %% [markdown]
# **Exercise (level 3).** Write it for one block, in plain Python: `quantise(block, levels)` returns the largest number in size, and
# the list of indices of the nearest levels.

# %% tags=["exercise"]
def quantise(block, levels):
    # solution
    absmax = max(abs(number) for number in block)
    nearest = [min(range(len(levels)), key=lambda i: abs(levels[i] - number / absmax)) for number in block]
    return absmax, nearest
    # end solution


# %%
from ftlab.exercises.lora import check_quantise

check_quantise(quantise)

# %% [markdown]
# ### Double quantisation
#
# Each block also stores its largest number, in 32 bits: half a bit for each weight. QLoRA packs these, too: in blocks of
# 256, less their mean, into 8 bits.

# %%
packed_twice, twice = bnb.quantize_4bit(weight, blocksize=64, quant_type="nf4", compress_statistics=True)
levels_8 = twice.state2.code  # 256 levels, closer together near zero
offset = largest.mean()
centred = torch.nn.functional.pad(largest - offset, (0, -len(largest) % 256))
index_8, largest_8 = pack(centred, levels_8, size=256)
index_8 = index_8.flatten()[: len(largest)]

assert torch.allclose(offset, twice.offset)
assert torch.equal(largest_8, twice.state2.absmax)
apart = (index_8 - twice.absmax.long()).abs()
assert apart.max() <= 1
print(f"{(apart == 0).float().mean():.1%} of the 8-bit indices are those of bitsandbytes, the others are neighbours", end=" ")
print("(numbers in the middle between two levels)")
numbers = weight.numel()
once = 4 + 32 * len(largest) / numbers
again = 4 + (8 * len(largest) + 32 * (len(largest_8) + 1)) / numbers
print(f"bits for each weight: 32 as it is, {once:.2f} with NF4, {again:.2f} with double quantisation")

# %% [markdown]
# The paper's figures for large matrices are 4.5 and 4.127 bits.
#
# ### QLoRA is both together
#
# The matrix stays packed; each use unpacks it, multiplies, and forgets the unpacked numbers. The adapter beside it stays as it is,
# and is all that gets a gradient. bitsandbytes has such a layer, too:


# %%
class Packed(torch.nn.Module):
    def __init__(self, weight):
        super().__init__()
        (self.out_features, self.in_features), (self.index, self.largest) = weight.shape, pack(weight)

    def forward(self, x):
        return x @ unpack(self.index, self.largest).reshape(self.out_features, self.in_features).T


from bitsandbytes.nn import Linear4bit, Params4bit

library = Linear4bit(matrix.in_features, matrix.out_features, bias=False, quant_type="nf4", compress_statistics=False)
library.weight = Params4bit(weight.clone(), requires_grad=False, quant_type="nf4", compress_statistics=False)
library = library.to("cpu")  # packs
qlora = LoRA(Packed(weight), r=16, alpha=32)
assert torch.allclose(qlora(x), library(x), atol=1e-4)

qlora(x).square().sum().backward()
with_gradient = [name for name, weight in qlora.named_parameters() if weight.grad is not None]
print(f"the same output as bitsandbytes' layer; a gradient have: {', '.join(with_gradient)}")
print(f"{weight.numel() * 2:,} bytes in 16 bits, {packed.numel() + 4 * len(largest):,} packed; the adapter beside it has {trained:,} numbers")

# %% [markdown]
# The frozen matrix takes less than a third of its 16 bits; gradients and the optimizer's memory belong to
# the adapter alone.

# %% [markdown]
# ## What do four bits cost?
#
# Pack and unpack *every* matrix of the thirty layers and ask the model. The loss is that of short English texts (about
# a shop that does not exist); the questions are everyday ones with a known answer, put to each variant alike. Beside NF4:
# fifteen levels at equal distances, zero in their middle, and normal levels in three bits.

# %%
import json

from scipy.stats import norm

from ftlab import hardware
from ftlab.evaluation.metrics import probe_scores

ON_CPU = {"fp32": torch.float32, "bf16": torch.bfloat16}
DTYPE = torch.float32 if torch.cuda.is_available() else ON_CPU[hardware.precision(MODEL)]  # all here computes on the CPU
model = AutoModelForCausalLM.from_pretrained(resolve(MODEL), dtype=DTYPE)  # once more, without our adapters
linears = {name: layer for name, layer in model.named_modules() if name.rpartition(".")[2] in TARGETS}
original = {name: layer.weight.detach().clone() for name, layer in linears.items()}
texts = [json.loads(line)["text"] for line in open("../data/product_facts/documents.jsonl")][:24]
questions = [json.loads(line) for line in open("../data/probes/everyday.jsonl")][::6]


def normal_levels(bits):
    """As NF4, by quantiles of the normal distribution: one more above zero than below."""
    n, half = 2**bits, 2**bits // 2
    outermost = 1 - (1 / (2 * (n - 1)) + 1 / (2 * n)) / 2
    above, below = (norm.ppf(torch.linspace(outermost, 0.5, n)[:-1].numpy()) for n in (half + 1, half))
    levels = torch.tensor(sorted([*above, 0.0, *-below]), dtype=torch.float32)
    return levels / levels.max()


VARIANTS = {
    "as it is": None,
    "NF4": NF4,
    "4 bits, equal distances": torch.arange(-7, 8) / 7,
    "3 bits, normal": normal_levels(3),
}
assert torch.allclose(normal_levels(4), NF4, atol=1e-4)


# %%
def loss_of_texts():
    """Nats a token."""
    total = count = 0
    for text in texts:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            total += model(ids, labels=ids).loss.item() * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
    return total / count


scores, lines = {}, {}
for variant, levels in VARIANTS.items():
    for name, layer in linears.items():
        back = original[name] if levels is None else unpack(*pack(original[name], levels), levels)
        layer.weight.data = back.reshape(layer.weight.shape).to(DTYPE)
    answers = generate(model, tokenizer, [row["messages"][:-1] for row in questions], max_new_tokens=24, batch_size=50)
    scores[variant] = probe_scores(list(answers.texts), questions)
    lost = compare(scores["as it is"], scores[variant])
    told = f"{100 * lost.delta:+.1f} points [{100 * lost.low:+.1f}, {100 * lost.high:+.1f}]" if levels is not None else ""
    lines[variant] = [f"{loss_of_texts():.3f}", f"{scores[variant].mean():.0%}", told]
for name, layer in linears.items():
    layer.weight.data = original[name]

# %% tags=["headline"]
print("questions right: " + ", ".join(f"{variant} {scores[variant].mean():.0%}" for variant in VARIANTS))
pd.DataFrame.from_dict(lines, orient="index", columns=["loss, nats a token", f"right of {len(questions)}", "against as it is"])

# %% [markdown]
# The loss sees more than the answers do: it rises as soon as bits go, while a question is right or wrong. With NF4 the loss
# is up, and a loss of answers cannot be told from chance (with so few questions the interval is wide). Nearly as many levels
# at equal distances cost more, and three bits nearly everything. So it is not the number of bits alone.
#
# The smaller a model, the less it can spare: for models of 7 to 65 billion [parameters](GLOSSARY.md#parameter), Dettmers et al.
# found that a fine-tune on an NF4 base ends where one on 16 bits does. The adapter is trained *on* the packed base, and learns to
# make up for it.

# %% [markdown]
# ## Merge, and un-merge
#
# $W$ and $\frac{\alpha}{r}BA$ have the same shape. Add them up, and the adapter is gone: the model is as fast as before,
# and one file. In 32 bits that loses nothing. Models are mostly kept in 16. How much is lost depends on how large the change is, so
# look at two: the one made up above, which is small, and one that was trained, the adapter of `nano` from the first line of *Rank,
# alpha, layers*.

# %%
place = f"layers.{len(layers) // 2}.self_attn.q_proj"
small = 32 / 16 * (adapter[f"base_model.model.model.{place}.lora_B.default.weight"]
                   @ adapter[f"base_model.model.model.{place}.lora_A.default.weight"])  # fmt: skip
module = usual_adapter.get_submodule("base_model.model.model.layers.2.self_attn.q_proj")
changes = {
    "made up, small": (weight, small),
    "trained": (module.base_layer.weight.detach(), module.get_delta_weight("default").detach()),
}


def merge_errors(weight, update):
    """For each way to keep the merged weights, the error of the merge, as a share of the change."""
    errors = {}
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        base = weight.to(dtype)
        merged = (base.float() + update).to(dtype)
        undone = (merged.float() - update).to(dtype)
        lost = (merged.float() - base.float() - update).norm() / update.norm()
        errors[str(dtype).removeprefix("torch.")] = f"{lost:.2%} ({(undone == base).float().mean():.0%})"
    base = unpack(*pack(weight)).reshape(weight.shape)
    merged = unpack(*pack(base + update)).reshape(weight.shape)
    return errors | {"NF4, packed again": f"{(merged - base - update).norm() / update.norm():.0%}"}


table = {f"{name}: {update.norm() / weight.norm():.1%} of the weights": merge_errors(weight, update)
         for name, (weight, update) in changes.items()}  # fmt: skip
print("error of the merge, as a share of the change (in brackets: weights that come back when it is un-merged)")
pd.DataFrame(table)

# %% [markdown]
# bf16 has about two to three digits. A change much smaller than the weight falls between two of them and is rounded to one
# or the other; fp16 has a digit more. Un-merging does not give every weight back. Packed into four bits again, a small change
# drowns in the rounding, and of a large one a good part does: so a QLoRA adapter is merged into a base in 16 bits, or not at all.
#
# There are two such bases: the original weights, which most tools take, and the packed ones, unpacked to 16 bits, on which the
# adapter was trained. They differ by the error of the packing, which may be more than the adapter changes. Such errors are random and
# spread over many numbers, and the answers may well survive them. But whether they did is to be measured: after a merge, ask the
# merged model the questions that you asked before. And keep the adapter: from the merged weights it can be had back only with the
# base, and only up to the rounding.
#
# **Exercise (level 2).** Write `merged_weights(weight, A, B, alpha)` for lists of rows; numpy may help. The rank is the number of rows of
# `A`.

# %% tags=["exercise"]
def merged_weights(weight, A, B, alpha):
    # solution
    import numpy as np

    return np.array(weight) + alpha / len(A) * np.array(B) @ np.array(A)
    # end solution


# %%
from ftlab.exercises.lora import check_merged

check_merged(merged_weights)

# %% [markdown]
# ## What you have seen
#
# - LoRA is a second path of two thin matrices, and ten lines of code give the library's numbers, and its step.
# - A rank limits how many directions a change can have. In the fine-tune above, few directions were enough for the answers.
# - Choose alpha once, keep it when the rank changes, and search the learning rate, which acts more strongly.
# - NF4 names sixteen levels where weights are many; with double quantisation a weight takes little more than four bits.
# - What few bits cost, a loss shows early and answers late. Merging into 16 bits rounds; into four, a small change is lost.

# %% [markdown]
# ## What would you do?
#
# Decide first, then open the answer.
#
# **1.** A colleague raised the rank to 64 and alpha to 128, and the answers got worse. Which knob do you turn first?
#
# <details><summary>One answer</summary>
#
# Alpha, back to 32, what it was: with 2 r the larger rank takes larger steps all together. Then search the learning rate. Whether
# the rank is needed is a question for later, and often it is not.
#
# </details>
#
# **2.** The model does not fit the card by a few GiB. Rank 8 instead of 16, or the base in four bits?
#
# <details><summary>One answer</summary>
#
# Four bits. The adapter is a small share of the model, so halving it saves next to nothing; the frozen weights are what is
# large.
#
# </details>
#
# **3.** Your QLoRA adapter was judged and is good. Operations wants one file in four bits. What do you hand over?
#
# <details><summary>One answer</summary>
#
# Merge into a base in 16 bits, ask the merged model the questions of the evaluation (it may stand on another base than the one it
# was trained on), pack it, and ask again. Added to a packed base
# and packed once more, the change can drown in the rounding. And keep the adapter.
#
# </details>
#
# **Read next:** [06 Train with Unsloth](06_train_with_unsloth.ipynb).
