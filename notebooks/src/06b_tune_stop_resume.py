# ---
# ftlab:
#   reads: [data/support_triage/train.jsonl, data/support_triage/validation.jsonl, data/recorded/settings/results.json, data/recorded/forgetting/results.json, data/recorded/triage/points.json, data/recorded/benchmark/results.json, data/models/nano/*.json, data/models/nano/*.jinja, data/models/nano/model.safetensors]
#   headline: fields right, by setting
# ---

# %% [markdown]
# # Tune, stop, resume
#
# **Question:** which settings are worth a try, when should a run end, and what is left if the machine ends it first?
# **Minutes:** 21 to read, 2 to run. **Hardware:** any; two CPU cores are enough.
#
# [06](06_train_with_unsloth.ipynb) trains with settings that were given. Here you change them, one at a time: on `nano`, our own
# model of 3.5 million [parameters](GLOSSARY.md#parameter), which trains in seconds and shows the mechanism, and in the recorded
# trainings of `smol`, a chat model of 135 million, which show what it does to the answers. Then you train too long, and pull the
# plug. At the end, apart from all this: rows that hold tools or thoughts.

# %%
import ftlab  # first: it quiets the libraries below
import torch
from unsloth import FastLanguageModel  # before transformers and trl, which it patches
from unsloth.chat_templates import train_on_responses_only
from datasets import Dataset
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer

from ftlab import hardware
from ftlab.data.schema import read_chat
from ftlab.models import resolve

ON_GPU, PRECISION = torch.cuda.is_available(), hardware.precision("nano")
DTYPE = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[PRECISION]

# %% [markdown]
# ## One training, one call
#
# The cells of [06](06_train_with_unsloth.ipynb) as one function, for `nano`, so that an experiment is one call.

# %%
def nano_trainer(rows, seed=3407, callbacks=(), printed=False, **settings):
    """A trainer of nano on so many tickets; `settings` are SFTConfig's, what is not said is as here."""
    model, tokenizer = FastLanguageModel.from_pretrained(
        model_name=resolve("nano"), max_seq_length=1024, dtype=DTYPE, load_in_4bit=False
    )
    model = FastLanguageModel.get_peft_model(
        model,
        r=16,
        lora_alpha=32,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        use_gradient_checkpointing=False,
        random_state=seed,
    )
    data = {}
    for part, count in {"train": rows, "validation": 60}.items():
        chosen = [row["messages"] for row in read_chat(f"../data/support_triage/{part}.jsonl")[:count]]
        texts = [tokenizer.apply_chat_template(chat, tokenize=False).rstrip() for chat in chosen]
        data[part] = Dataset.from_dict({"text": texts})
    usual = {
        "output_dir": str(ftlab.home() / "06b_nano"),
        "dataset_text_field": "text",
        "max_length": 512,
        "num_train_epochs": 2,
        "per_device_train_batch_size": 8,
        "per_device_eval_batch_size": 16,
        "learning_rate": 4e-3,
        "warmup_steps": 0.05,
        "lr_scheduler_type": "cosine",
        "gradient_checkpointing": False,
        "bf16": PRECISION == "bf16",
        "fp16": PRECISION == "fp16",
        "logging_steps": 1,
        "save_strategy": "no",
        "seed": seed,
        "report_to": "none",
        "disable_tqdm": True,
    }
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=data["train"],
        eval_dataset=data["validation"],
        args=SFTConfig(**usual | settings),
        callbacks=[*callbacks],
    )
    if not printed:
        trainer.remove_callback(PrinterCallback)
    return train_on_responses_only(trainer)


# %% [markdown]
# ## What a setting does to the curve
#
# The same 64 tickets, read twice, with one setting changed at a time.

# %%
import contextlib
import io

USUAL = {
    "learning_rate": 4e-3, "per_device_train_batch_size": 8, "seed": 3407,
    "warmup_steps": 0.05, "lr_scheduler_type": "cosine", "weight_decay": 0.0,
}  # fmt: skip
OTHERS = {
    "learning_rate": (4e-4, 4e-2), "per_device_train_batch_size": (2, 32), "seed": (1, 2),
    "warmup_steps": (0.0, 0.5), "lr_scheduler_type": ("constant",), "weight_decay": (1.0,),
}  # fmt: skip


def curve(**setting):
    """Points (examples read, training loss)."""
    with contextlib.redirect_stdout(io.StringIO()):  # Unsloth's notes on each start
        trainer = nano_trainer(64, **setting)
        trainer.train()
    batch = trainer.args.per_device_train_batch_size
    return [(row["step"] * batch, float(row["loss"])) for row in trainer.state.log_history if "loss" in row]


usual = curve()
curves = {
    name: {USUAL[name]: usual} | {value: curve(**{name: value}) for value in values} for name, values in OTHERS.items()
}

# %%
import matplotlib.pyplot as plt

from ftlab.plots import COLOURS, plain_axes, show

fig, axes = plt.subplots(2, 3, figsize=(9.5, 4.8), sharey=True, sharex=True, layout="constrained")
told = []
for ax, (name, runs) in zip(axes.flat, curves.items(), strict=True):
    for colour, (value, points) in zip(COLOURS, sorted(runs.items()), strict=False):
        ax.plot(*zip(*points, strict=True), color=colour, lw=1.8, label=f"{value}")
        told.append(f"{name} {value}: {len(points)} steps, the last loss {points[-1][1]:.2f}")
    ax.set(title=name, ylim=(0, 8))
    ax.legend(frameon=False, loc="center right")
    plain_axes(ax, grid="y")
for ax in axes[1]:
    ax.set_xlabel("examples read")
for ax in axes[:, 0]:
    ax.set_ylabel("training loss (nats per token)")
show(fig, "Training loss with six settings changed one at a time: " + "; ".join(told) + ".")
print("\n".join(told))

# %% [markdown]
# - **[Learning rate](GLOSSARY.md#learning-rate).** Too small, and the curve falls so slowly that the file is used up first. Too
#   large, and it leaves the picture: the first steps threw the model off, and the rest is spent on coming back. The good
#   one is the largest that still falls steadily; try three, a factor of ten apart, on a part of your data. These rates are
#   for tiny models: at 1B to 8B begin with the 2e-4 of 06, then halve and double it.
# - **Batch.** Smaller batches make more steps of the same examples, so they get further here, along a rougher curve. At 32
#   there are four steps, and the first moves nothing: the warm-up begins at a rate of zero, so every curve begins flat. What
#   counts is the examples a step, in 06 `BATCH` times `ACCUMULATION`: if their product stays, so does the curve, nearly. If
#   you change it, look at the learning rate again.
# - **[Seed](GLOSSARY.md#seed).** Three times the same settings, and how far the curves lie apart is luck: another order of the
#   examples, another start of the adapter. A difference between two settings that is no larger than that says nothing.
# - **[Warm-up](GLOSSARY.md#warmup) and schedule.** Without a warm-up the curve falls from the first step on; with half of the steps for
#   it, it falls late. A constant rate (TRL's has no warm-up either) ends lowest here, because a cosine spends the last of 16 steps hardly
#   moving. So in a short run both only cost steps. What they are for does not show here: a warm-up guards against wild first steps,
#   which larger models take, and the falling rate lets a long run settle.
# - **Weight decay.** From none to 1.0 nothing can be seen: each step takes the rate times the decay off a weight, and there are few steps.

# %% [markdown]
# ## What a setting does to the answers
#
# A curve on 64 tickets tells how fast. What is a setting worth in answers? Here `smol` learned the same 300 tickets, read three
# times (114 steps), again with one thing changed at a time; "as usual" is here a learning rate of 1e-3 (06 takes 2e-3 for `smol`),
# eight tickets a step, and rank 16 with [alpha](GLOSSARY.md#alpha) 32 in all linear layers. A training and its answers took twenty
# to forty minutes on one core, so they were recorded (`python tools/record.py settings --again`, and five of them by
# `python tools/record.py forgetting --again`). Settings are chosen on [validation](GLOSSARY.md#validation-set) tickets, so
# each model answered 100 of these; and 379 everyday questions, which have nothing to do with tickets.

# %% tags=["headline"]
import json
from pathlib import Path

points = json.loads(Path("../data/recorded/settings/results.json").read_text())["points"]
before = json.loads(Path("../data/recorded/forgetting/results.json").read_text())["points"]["before"]["probe"]["value"]
SETTINGS = {
    "usual": "as usual",
    "rate_5e-4": "learning rate 5e-4",
    "rate_2e-3": "learning rate 2e-3",
    "rate_4e-3": "learning rate 4e-3",
    "r_4": "rank 4, alpha 8",
    "r_64": "rank 64, alpha 128",
    "r_64_alpha_32": "rank 64, alpha 32",
    "attention_only": "attention matrices only",
    "full_2e-4": "all weights, learning rate 2e-4",
}
fig, axes = plt.subplots(1, 2, figsize=(10, 3.4), sharey=True, layout="constrained")
told = []
for place, (name, label) in enumerate(SETTINGS.items()):
    rates = points[name]["validation"]["field_accuracy"], points[name]["probe"]
    for ax, rate in zip(axes, rates, strict=True):
        ends = [[100 * (rate["value"] - rate["low"])], [100 * (rate["high"] - rate["value"])]]
        ax.errorbar(100 * rate["value"], place, xerr=ends, fmt="o", color=COLOURS[name != "usual"], capsize=3)
    told.append(f"{label} {100 * rates[0]['value']:.1f} and {100 * rates[1]['value']:.1f} %")
axes[0].set(xlabel="fields of validation tickets right, %", yticks=range(len(SETTINGS)), yticklabels=SETTINGS.values())
axes[0].invert_yaxis()
axes[1].axvline(100 * before, color="black", lw=0.8, ls=":")
axes[1].text(100 * before, 0, "before\ntraining ", ha="right", va="center", fontsize=8)
axes[1].set(xlabel="everyday questions right, %", xlim=(0, 75))
for ax in axes:
    plain_axes(ax, grid="x")
show(fig, f"Fields and everyday questions right after {len(told)} trainings: {'; '.join(told)}; before, {100 * before:.1f} %.")

# %%
import pandas as pd

table = {
    label: {
        "numbers trained, millions": f"{points[name]['training_trainable_parameters'] / 1e6:.1f}",
        "training loss, last two steps": f"{points[name]['training_final_loss']:.3f}",
        "validation loss, 40 tickets": f"{points[name]['training_final_eval_loss']:.3f}",
        "fields right, %": f"{100 * points[name]['validation']['field_accuracy']['value']:.1f}",
        "whole records right, %": f"{100 * points[name]['validation']['exact_match']['value']:.0f}",
    }
    for name, label in SETTINGS.items()
}
pd.DataFrame(table).T

# %% [markdown]
# Rank 4, 16 and 64: each is better than the one before it. So take the highest rank? Look at the line with alpha 32: rank 64 with
# the alpha of rank 16 does no better than rank 16. Two things hide in "rank 64, alpha 128": more directions, and a larger step. An
# adapter's change is scaled by alpha / r, and r directions that start at random add up with the root of r. So a step moves a weight
# by about the learning rate times alpha over the root of r. The same trainings by that step:

# %%
fig, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
told, ranks = [], {}
for name in SETTINGS:
    setting = {"r": 16, "lora_alpha": 32, "learning_rate": 1e-3} | points[name]["setting"]
    if not {"method", "target_modules"} & set(setting):
        step = setting["learning_rate"] * setting["lora_alpha"] / setting["r"] ** 0.5
        ranks.setdefault(setting["r"], []).append((step, 100 * points[name]["validation"]["field_accuracy"]["value"]))
for colour, (rank, found) in zip(COLOURS, sorted(ranks.items()), strict=False):
    ax.plot(*zip(*sorted(found), strict=True), "o-", color=colour, label=f"rank {rank}")
    told.append(f"rank {rank}: " + ", ".join(f"{right:.1f} % at {step:.3g}" for step, right in sorted(found)))
full = 100 * points["full_2e-4"]["validation"]["field_accuracy"]["value"]
ax.axhline(full, color="black", lw=0.8, ls=":", label="all weights")
ax.set(xlabel="learning rate x alpha / root of rank", ylabel="fields right, %", xscale="log")
ax.set_xticks([0.004, 0.008, 0.016, 0.032], ["0.004", "0.008", "0.016", "0.032"])
ax.minorticks_off()
ax.legend(frameon=False, loc="lower right")
plain_axes(ax, grid="y")
show(fig, f"Fields of validation tickets right, by the size of a step: {'; '.join(told)}; all weights {full:.1f} %.")
print("\n".join(told))
for rank in ("16", "64"):
    held = [100 * kind["held"][rank] for kind in points["full_2e-4"]["change"].values()]
    print(f"all weights: the {rank} largest singular values hold {min(held):.0f} to {max(held):.0f} % of a matrix's change")
longer = json.loads(Path("../data/recorded/triage/points.json").read_text())
for point in (longer["rate_0.001"], longer["rate_0.002"]):
    right = 100 * point["validation"]["field_accuracy"]
    print(f"five times read: rank 16, learning rate {point['learning_rate']:g}, {point['steps']} steps: {right:.1f} %")

# %% [markdown]
# Both count. Along each line a larger step gets further, up to the largest that was tried: rank 16 at four times the learning
# rate is where rank 64 is without. And of the same step, the higher rank makes more. All weights make most of it, and they use their
# directions: in some matrices 16 hold little more than half of the change
# ([05](05_lora_by_hand.ipynb#The-singular-values-of-a-fine-tune) says what a singular value is).
#
# Which matrices? Attention alone (the line above the last of the table) has learned least of all, with more numbers than rank 4 in all
# matrices. That is what is published, too: an adapter belongs beside all of them.
#
# Is [LoRA](GLOSSARY.md#lora) worse, then? On large models and sets of this size it is not, once the learning rate fits and the
# training is long enough ([05](05_lora_by_hand.ipynb#Rank,-alpha,-layers)). Here even 4e-3 may not be the best rate, and the
# training is short: the last lines are of the contest in [03](03_measure_baselines.ipynb), as many tickets (200 answered), read five
# times. What more directions give in 114 steps, 76 more steps give nearly as well, and rank 16 trains and keeps a twenty-seventh of
# the numbers.
#
# So when a higher rank wins, ask what else it changed, and whether the training had ended. Take larger steps, and more of them,
# before you pay for a larger adapter, and search the learning rate anew for each rank. (To compare ranks, keep alpha, or let
# `use_rslora=True`, a line in Unsloth's own notebooks, divide by the root of r.)
#
# The order by validation loss is the order by fields, but for two lines that lie 0.3 points apart. That is not always so:
# [08](08_what_goes_wrong.ipynb#Room-11:-a-better-loss) has two trainings of equal loss whose answers lie nine points apart. And on
# the right nothing helps: every one of them gets nearly all everyday questions wrong. What keeps the old skills is
# [replay](07_evaluate.ipynb#How-much-replay,-and-what-else-helps?).
#
# One training each. Three trainings of the contest that differ in their seed alone lie 2.5 points apart in the fields of
# validation tickets: believe no smaller difference here. ("As usual" was trained twice, here in 32 bits and before that in bf16,
# as rank 4 and 2e-3 were: 79.8 and 79.7 %.) The intervals take each ticket by itself, and these tickets share
# sentence patterns; by pattern they would be wider.

# %% [markdown]
# ## The same, sooner
#
# Rank, rate and steps change what is learned. Other settings should change only how long it takes: how many rows are computed at once
# and in which order, in which [number format](GLOSSARY.md#number-format), and what is kept in memory. Recorded with `smol` on one core
# (`python tools/benchmark_recipe.py --rows 120`): the same 120 tickets read once, eight a step, the same adapter and learning rate.
# `ours` takes eight rows at once, of like length (`train_sampling_strategy="group_by_length"`; [06](06_train_with_unsloth.ipynb) takes
# them in random order), in the format that this machine multiplies fastest, and keeps its activations. Unsloth's notebooks take two rows
# four times, with [gradient checkpointing](GLOSSARY.md#gradient-checkpointing), and the base in 4 bits.

# %%
benchmark = json.loads(Path("../data/recorded/benchmark/results.json").read_text())
ARMS = {
    "ours": "ours",
    "unsloth_stock": "Unsloth's notebooks, 4 bits",
    "unsloth_stock_16bit": "the same, the base not packed",
    "trl_defaults": "TRL's defaults",
}
table = {}
for arm, label in ARMS.items():
    runs = [run for run in benchmark["runs"] if run["arm"] == arm]
    done = [run for run in runs if "error" not in run]
    ratio = benchmark["ours_is_faster"].get(arm)
    table[label] = {
        "rounds": len(done),
        "tokens/s, median": f"{benchmark['arms'][arm]['tokens_per_second']:.0f}" if done else runs[0]["error"],
        "ours is so many times as fast": f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})" if ratio else "",
        "padding": f"{done[0]['padding']:.0%}" if done else "",
        "validation loss, 60 tickets": f"{benchmark['arms'][arm]['validation_loss']:.3f}" if done else "",
    }
print(f"{benchmark['machine']}, beside other work, {benchmark['created']}")
pd.DataFrame(table).T

# %% [markdown]
# Three and a half times as fast as the notebooks as they come, and most of that is one line: a CPU has to unpack 4-bit matrices for
# every product. On a GPU they are there to save memory, and cost less. Against the same settings without them the recipe is 1.4 times
# as fast: it does not compute activations a second time, and takes eight rows at once without more padding than two. TRL's
# defaults ask for bf16, which this machine only emulates, and were not through in the forty minutes that each gets.
#
# Did the same come out? The losses lie 0.016 apart at most, after the same tokens. Grouping by length gives the rows another order, and
# one training each (the rounds repeat it, digit for digit) cannot tell which of the two made the difference. So nothing here is shown to
# learn better, nor does packing the base show a gain. The ratios are of this machine: measure before you believe a speed, also ours.

# %% [markdown]
# ## Train too long on too little
#
# Forty tickets for up to 15 epochs. Two guards are set: `EarlyStoppingCallback`
# ([early stopping](GLOSSARY.md#early-stopping)) ends the run when two evaluations in a row
# were no lower than the lowest so far, and `load_best_model_at_end` puts back the weights of the lowest one.

# %%
from transformers import EarlyStoppingCallback

from ftlab.training.runlog import LivePlot

with contextlib.redirect_stdout(io.StringIO()):
    overfit = nano_trainer(
        40,
        callbacks=[LivePlot(), EarlyStoppingCallback(early_stopping_patience=2)],
        output_dir=str(ftlab.home() / "06b_overfit"),
        num_train_epochs=15,
        lr_scheduler_type="constant",  # a cosine would fall over all 15 epochs, and this run ends before
        logging_steps=5,
        eval_strategy="steps",
        eval_steps=10,
        save_strategy="steps",
        save_steps=10,  # it can only put back what it has saved: save as often as you evaluate
        save_total_limit=2,  # the best is always one of them
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,  # a loss is better when it is smaller; of an accuracy, say True
    )
overfit_result = overfit.train()
history = [*overfit.state.log_history]  # what is measured later is not of this run
overfit.remove_callback(LivePlot)  # nor does it belong in the picture

# %%
trained = [float(row["loss"]) for row in history if "loss" in row]
unseen = {row["step"]: float(row["eval_loss"]) for row in history if "eval_loss" in row}
best, end = min(unseen, key=unseen.get), max(unseen)
print(f"stopped at step {end} of {overfit.state.max_steps}")
print(f"the forty tickets: loss {trained[0]:.2f} at first, {trained[-1]:.2f} at the end")
print(f"unseen tickets: lowest {unseen[best]:.3f} at step {best}, {unseen[end]:.3f} at step {end}")
kept = overfit.evaluate()["eval_loss"]
print(f"the weights that are kept, measured again: {kept:.3f}")
assert abs(kept - unseen[best]) < 1e-4, "the best checkpoint was not put back"

# %% [markdown]
# In the picture little happens after step 20, so read the printed lines: the thin curve, of the forty, goes on falling, and the
# thick one, of unseen tickets, rises, as the model learns the forty by heart. The usual reason is that it grows surer of its
# mistakes, and the loss counts a sure mistake heavily. Whether the answers get worse is not measured here:
# [07](07_evaluate.ipynb) counts answers. What is kept is the best that was measured, not the last.
#
# The remedies, best first: more examples, and more varied ones; fewer epochs; these two guards, which work in the trainer of
# [06](06_train_with_unsloth.ipynb) as well, because it saves as often as it evaluates. There the rate falls over all epochs that
# you ask for. If such a run stops early, train once more with about as many epochs as it took, so that the rate falls to its end.
#
# **Exercise (level 3).** Be the callback. `stops_and_keeps(losses, patience)` gets the validation losses, one an evaluation, and
# returns two places in that list, counted from 0: where the run stops, and the evaluation whose weights are kept. Only a loss
# below the lowest so far is better; the run stops when `patience` evaluations in a row were not better, or at the end.

# %% tags=["exercise"]
def stops_and_keeps(losses, patience):
    # solution
    kept = 0
    for place in range(1, len(losses)):
        if losses[place] < losses[kept]:
            kept = place
        if place - kept == patience:
            return place, kept
    return len(losses) - 1, kept
    # end solution


# %%
from ftlab.exercises.tune import check_stops_and_keeps

check_stops_and_keeps(stops_and_keeps)

# %% [markdown]
# ## Pull the plug
#
# A borrowed machine ends when it likes, in the middle of a step, without a last word. Practise that before you need it: a
# process of its own trains, and is killed from outside. First, the run that nobody disturbs, here.

# %%
import shutil

from ftlab.evaluation.generation import generate


def train_nano(folder, resume=False, printed=False):
    """Sixteen steps with a checkpoint every four; leaves the losses and eight answers in `folder`."""
    trainer = nano_trainer(64, output_dir=str(folder), save_strategy="steps", save_steps=4, printed=printed)
    trainer.train(resume_from_checkpoint=resume)
    losses = {row["step"]: float(row["loss"]) for row in trainer.state.log_history if "loss" in row}
    asked = [row["messages"][:-1] for row in read_chat("../data/support_triage/validation.jsonl")[:8]]
    answers = generate(trainer.model, trainer.processing_class, asked, max_new_tokens=96).texts
    Path(folder, "result.json").write_text(json.dumps({"losses": losses, "answers": answers}))


DRILL = ftlab.home() / "06b_drill"
shutil.rmtree(DRILL, ignore_errors=True)  # of an earlier run: a resume takes the highest number that it finds
with contextlib.redirect_stdout(io.StringIO()):
    train_nano(DRILL / "undisturbed")
undisturbed = json.loads((DRILL / "undisturbed" / "result.json").read_text())
print("last loss:", undisturbed["losses"]["16"])

# %% [markdown]
# The same as a script, made of the two functions; in a project you write the file yourself. Started from a terminal,
# `nohup python train_nano.py FOLDER > log.txt &`, it goes on when you close the notebook; started from a cell, as below, it ends
# with the notebook's kernel. When Colab takes the machine back, both end.

# %%
import inspect

script = f"""
import json
import sys
from pathlib import Path

import ftlab
import torch
from datasets import Dataset
from unsloth import FastLanguageModel
from unsloth.chat_templates import train_on_responses_only
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer

from ftlab.data.schema import read_chat
from ftlab.evaluation.generation import generate
from ftlab.models import resolve

DTYPE, PRECISION = {DTYPE}, {PRECISION!r}

{inspect.getsource(nano_trainer)}
{inspect.getsource(train_nano)}
train_nano(sys.argv[1], resume="--resume" in sys.argv, printed=True)
"""
(DRILL / "train_nano.py").write_text(script)
print(len(script.splitlines()), "lines")

# %% [markdown]
# Now start it, and kill it when it has printed the loss of step 11.

# %%
import subprocess
import sys

command = [sys.executable, "-u", str(DRILL / "train_nano.py"), str(DRILL / "killed")]
seen, told = 0, []
with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
    for line in process.stdout:
        told.append(line)
        seen += line.startswith("{'loss'")
        if seen == 11:
            process.kill()  # SIGKILL: it cannot tidy up
assert seen >= 11, "".join(told[-20:])  # it ended by itself: its last words say why
print(f"killed in step {seen + 1}; exit status {process.returncode}")
left = sorted(path.name for path in (DRILL / "killed").iterdir())
print("left on disk:", ", ".join(left))

# %% [markdown]
# No answers, no final weights (`README.md` is a card that TRL writes with each checkpoint); what was done after the newest
# checkpoint is lost. Save often enough that you would not mind losing what comes between two of them.
#
# ## Resume
#
# A new process, which knows nothing but the folder, goes on from there.

# %%
ended = subprocess.run([*command, "--resume"], capture_output=True, text=True)
assert ended.returncode == 0, ended.stderr[-2000:]
resumed = json.loads((DRILL / "killed" / "result.json").read_text())
for name, run in {"undisturbed": undisturbed, "killed and resumed": resumed}.items():
    print(f"{name}: loss {run['losses']['12']:.6f} at step 12, {run['losses']['16']:.6f} at step 16")
same = sum(a == b for a, b in zip(undisturbed["answers"], resumed["answers"], strict=True))
apart = max(abs(undisturbed["losses"][step] - loss) for step, loss in resumed["losses"].items())
print(f"largest difference in any step: {apart:.1g}")
print(f"same answers: {same} of {len(resumed['answers'])}")
assert ON_GPU or resumed == undisturbed, "on a CPU, a resumed run must come to the same end"

# %% [markdown]
# The second process had the weights, the optimizer's averages, the place in the learning-rate schedule, the state of the random
# numbers and the place in the order of examples, all from the checkpoint. So it did the lost steps again and came to the
# same numbers, to the last digit on a CPU; a GPU may add up in another order. That holds for the same rows, batch, epochs and
# schedule: change one, and it goes on at another place with another rate. (Early stopping counts its evaluations anew, unless you
# set `restore_callback_states_from_checkpoint=True`.) One fault is left to you: a machine that dies
# *while* it writes a checkpoint leaves half of one. If the resume complains about the newest folder, delete that folder, and
# the one before is taken.
#
# **Exercise (level 2).** How many whole steps does a kill cost? A run that is killed in the middle of step `killed_in` had saved
# every `save_steps` steps. Write `steps_lost(killed_in, save_steps)`: the finished steps that have to be done again.

# %% tags=["exercise"]
def steps_lost(killed_in, save_steps):
    # solution
    return (killed_in - 1) % save_steps
    # end solution


# %%
from ftlab.exercises.tune import check_steps_lost

check_steps_lost(steps_lost)

# %% [markdown]
# ## Tools and thoughts
#
# Some rows hold more than text: [tools](GLOSSARY.md#tool-call) that the model may call, its calls, their results, or a thought
# before the answer. What becomes of them is up to the chat template. Here is such a row, with the template that Unsloth has for
# Qwen3. Qwen3 itself is not on this machine, so the tokenizer is that of `nano`, told Qwen3's markers:

# %%
import copy

from transformers import AutoTokenizer
from unsloth.chat_templates import CHAT_TEMPLATES

from ftlab.training.preflight import check_masks, tokenize_for_training

find_order = {
    "type": "function",
    "function": {
        "name": "find_order",
        "description": "Find an order.",
        "parameters": {"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]},
    },
}
call = {"id": "1", "type": "function", "function": {"name": "find_order", "arguments": '{"number": "195925"}'}}
agent = {
    "tools": [find_order],
    "messages": [
        {"role": "user", "content": "Where is order 195925?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "on its way"},
        {"role": "assistant", "content": "It is on its way to you."},
    ],
}
nano_tokenizer = AutoTokenizer.from_pretrained(resolve("nano"))
qwen = copy.deepcopy(nano_tokenizer)
qwen.add_special_tokens(
    {"eos_token": "<|im_end|>", "extra_special_tokens": ["<|im_start|>", "<think>", "</think>"]}
)
qwen.bos_token = None
qwen.chat_template = CHAT_TEMPLATES["qwen-3"][0]
check_masks(tokenize_for_training([agent], qwen), [agent], qwen)

# %% [markdown]
# The call is trained and the last answer is; the tool's description and its result are only read. (The empty thought before the
# answer is the template's own: more below.) The same row on the template
# of `nano`, which knows no tools (nor does that of `smol`), and a row with two thoughts on Qwen3's:

# %%
from ftlab.errors import DataError

thoughtful = {
    "messages": [
        {"role": "user", "content": "The lamp is broken."},
        {"role": "assistant", "content": "<think>\nRepairs are for the workshop.\n</think>\n\nworkshop"},
        {"role": "user", "content": "And the invoice?"},
        {"role": "assistant", "content": "<think>\nMoney is for billing.\n</think>\n\nbilling"},
    ]
}
for name, row, its_tokenizer in [("tools", agent, nano_tokenizer), ("thoughts", thoughtful, qwen)]:
    try:
        check_masks(tokenize_for_training([row], its_tokenizer), [row], its_tokenizer)
    except DataError as error:
        print(f"{name}: {error}\n")

# %% [markdown]
# Both would have trained without a word, and taught calls to what the model cannot see, or answers without the thought that you
# wrote. Make a row for each answer that has a thought. And rows *without* thoughts, on a model that thinks?

# %%
plain = {"messages": [thoughtful["messages"][0], {"role": "assistant", "content": "workshop"}]}
for name in ("qwen-3", "qwen3-thinking", "qwen3-instruct"):
    qwen.chat_template = CHAT_TEMPLATES[name][0]
    for option in ({}, {"enable_thinking": False}):
        asked = qwen.apply_chat_template(plain["messages"][:1], tokenize=False, add_generation_prompt=True, **option)
        print(f"{name:15} {option or 'as it comes'}: asked with {asked[-28:]!r}")
    try:
        check_masks(tokenize_for_training([plain], qwen), [plain], qwen)
        print(f"{'':15} the mask is right\n")
    except DataError as error:
        print(f"{'':15} refused: {str(error)[:150]} ...\n")

# %% [markdown]
# `qwen-3` writes an empty thought before an answer that has none, and trains it; with `enable_thinking=False` the prompt holds
# it already. Choose one of the two ways of asking, and evaluate and serve with that one. `qwen3-thinking` opens a thought by
# itself and cannot be told not to: rows without thoughts do not fit it. `qwen3-instruct` never thinks.
# `ftlab check` sees that each call has its result, and [11](11_use_hosted_services.ipynb#The-same-rows,-six-files) exports such
# rows for the services that take them.

# %% [markdown]
# ## What you have seen
#
# - The learning rate first: a tenth or ten times of it, and little is learnt. Then steps, then the rest.
# - A higher rank with a larger alpha is two changes: more directions and a larger step. More steps may do as much.
# - A difference between two settings that another seed makes as well is none.
# - Choose by answers to validation rows, and look at what the model could do before.
# - Keep the best checkpoint, not the last, and save often enough to lose little.
# - Practise the resume before you need it: a killed run loses the steps since the last checkpoint.
# - Tools and thoughts live or die with the chat template: prove the mask on such rows, too.

# %% [markdown]
# ## What would you do?
#
# Decide first, then open the answer.
#
# **1.** After the first tenth of a run the training loss is higher than at its start, and it does not come down. What do you
# change, and by how much?
#
# <details><summary>One answer</summary>
#
# The learning rate, to a third or a tenth. A rate that is too large throws the model off in its first steps, and the rest of
# the run is spent on coming back.
#
# </details>
#
# **2.** Two runs differ in rank only: 64 is 0.8 points better than 16. A colleague wants to ship rank 64. What do you ask?
#
# <details><summary>One answer</summary>
#
# How far two runs lie apart that differ in nothing but the seed. If that is as much, the smaller adapter does as well. If not:
# was it chosen on validation rows, and did alpha change with the rank?
#
# </details>
#
# **3.** Your Colab session ends about every two hours without a word, an epoch takes three, and you save once an epoch. What
# happens, and what do you change?
#
# <details><summary>One answer</summary>
#
# There is never a checkpoint: `resume_from_checkpoint=True` stops with an error, and without it the run starts at step 0 each
# time. Save about every ten minutes (`save_steps` = 600 / seconds a step), to a mounted drive, with `save_total_limit=2`; with
# `load_best_model_at_end`, evaluate as often. One line starts and resumes alike:
# `trainer.train(resume_from_checkpoint=any(Path(folder).glob("checkpoint-*")))`.
#
# </details>
#
# **Read next:** [07 Evaluate](07_evaluate.ipynb).
