# ---
# ftlab:
#   reads: [recipes/costs/*.yaml, data/prices/*.csv, data/hardware/*.csv, data/recorded/memory_rows.csv, data/support_triage/train.jsonl, data/models/nano/tokenizer.json, data/models/nano/config.json]
#   headline: from how many calls a month a tuned hosted model saves anything
# ---

# %% [markdown]
# # Count the cost
#
# **Question:** what does it cost, and when does it pay back?
# **Minutes:** 2. **Hardware:** any; two CPU cores are enough, no GPU, no account, no network.
#
# Before you spend anything, you can know whether a training run fits your card, about how long it takes, what it costs,
# and from how many calls it saves money. Every estimate here comes with what is known about its error, and every price
# with its date. The answer is often "never", and that is worth knowing first.

# %% [markdown]
# ## Does it fit?
#
# One model of 8 billion [parameters](GLOSSARY.md#parameter), two rows of 2,048 [tokens](GLOSSARY.md#token) at a time,
# trained in three ways on three cards: a free Colab card, a gaming card of 24 GB, a data-centre card of 80 GB.

# %%
from ftlab.costs import estimate_memory
from ftlab.costs.plots import memory_alt, memory_figure
from ftlab.plots import show

MODEL = "llama-3.1-8b"  # any name of the catalogue, or the path of a config.json

bars = [
    estimate_memory(MODEL, method, batch=2, length=2048, gpu=gpu)
    for gpu in ("T4", "RTX 4090", "A100-80GB")
    for method in ("full", "lora", "qlora")
]
show(memory_figure(bars), memory_alt(bars))

# %% [markdown]
# Where the bar passes the black line, the run stops with "out of memory". [Full
# fine-tuning](GLOSSARY.md#full-fine-tuning) carries a [gradient](GLOSSARY.md#gradient) and an
# [optimizer](GLOSSARY.md#optimizer) state for every weight (here already in 8 bits); [LoRA](GLOSSARY.md#lora) carries
# them for a small [adapter](GLOSSARY.md#adapter) only; [QLoRA](GLOSSARY.md#qlora) also packs the frozen weights into 4
# bits. That is the whole difference.
#
# **Exercise.** Write `training_gib(frozen, bytes_per_frozen, trainable)`: GiB of weights, gradients and optimizer. A frozen
# parameter takes `bytes_per_frozen`. A trainable one takes 16 bytes: weight, gradient and the two states of
# [Adam](GLOSSARY.md#adam), each a 32-bit float. A GiB has 2**30 bytes.


# %% tags=["exercise"]
def training_gib(frozen, bytes_per_frozen, trainable):
    # solution
    return (frozen * bytes_per_frozen + trainable * 16) / 2**30
    # end solution


# %%
from ftlab.exercises import check_training_gib

check_training_gib(training_gib)

# %% [markdown]
# 16 bytes are the plain way; the bars above take less, with weights and gradients in 16 bits and the optimizer in 8.
# What your sum leaves out are [activations](GLOSSARY.md#activation) and [logits](GLOSSARY.md#logits), which grow with
# the rows in a [batch](GLOSSARY.md#batch) and their length, and the memory that the driver takes.

# %% [markdown]
# ## What would make it fit?
#
# Many settings save memory, and they differ in what they take from you. Here is a run as somebody might start it, on the
# card of 24 GB, with rows that are never longer than 1,500 tokens.

# %%
from ftlab.costs import what_would_fit

what_would_fit(
    MODEL, "lora", gpu="RTX 4090", batch=8, length=4096, longest=1500,
    checkpointing="off", optimizer="adamw_torch", logits="full",
)  # fmt: skip

# %% [markdown]
# The changes stand in the order of what they cost you, the free ones first. A smaller model is the last resort. From a
# shell: `ftlab memory --model llama-3.1-8b --method qlora --batch 2 --length 2048 --gpu T4`.

# %% [markdown]
# ## How wrong is the estimate?
#
# Other people have measured such runs and published the peak. "Calibration": a constant of our formula was read off this
# run. "[Held out](GLOSSARY.md#hold-out)": only compared. "Bound": its longest row is unknown, so the estimate may only
# lie above.

# %%
import matplotlib.pyplot as plt
import pandas as pd

from ftlab.models import data_folder

measured = pd.read_csv(data_folder() / "recorded/memory_rows.csv", keep_default_na=False)


def estimated_gib(row):
    """The estimate of the counter that was read in this run."""
    keys = ["batch", "length", "rank", "checkpointing", "optimizer", "logits", "trainable_bytes", "rope_positions"]
    run = estimate_memory(row["model"], row["method"], gpu=row["gpu"] or None, **row[keys].to_dict())
    return {"allocated": run.total_gib, "reserved": run.reserved_gib, "device": run.device_gib}[row["counter"]]


measured["estimated"] = measured.apply(estimated_gib, axis=1)
off = measured.estimated - measured.peak_gib
measured["error"] = off.abs().sub(measured.rounding_gib).clip(lower=0) * (2 * (off > 0) - 1) / measured.peak_gib

fig, ax = plt.subplots(figsize=(5, 4))
for (role, rows), mark in zip(measured.groupby("role"), "sDo", strict=True):
    ax.plot(rows.peak_gib, rows.estimated, mark, label=f"{role} ({len(rows)})", mfc="none" if role == "bound" else None)
ends = [measured.peak_gib.min() / 1.3, measured.peak_gib.max() * 1.3]
ax.plot(ends, ends, color="black", lw=1)
ax.set(xscale="log", yscale="log", xlabel="measured peak, GiB", ylabel="estimated peak, GiB")
ax.legend(frameon=False)
held_out = measured[measured.role == "held-out"]
show(
    fig,
    f"Estimated against measured peak memory of {len(measured)} published runs, close to the diagonal. "
    f"Mean error of the {len(held_out)} held-out runs {held_out.error.abs().mean():.1%}.",
)

# %%
pd.set_option("display.max_colwidth", None)
compared = measured[measured.role != "bound"].groupby("role")
errors = compared.error
pd.DataFrame(
    {
        "runs": compared.size(),
        "mean error": errors.apply(lambda e: f"{e.abs().mean():.1%}"),
        "furthest too low": errors.min().map("{:+.1%}".format),
        "furthest too high": errors.max().map("{:+.1%}".format),
        "measured by": compared.source.agg(lambda s: "; ".join(sorted(set(s)))),
    }
)

# %% [markdown]
# Keep that error as a reserve when you choose a card: an estimate that fits by less does not fit. All of these runs were in
# sight while the formula was written, so even the held-out ones are no blind test; `data/hardware/README.md` tells what
# was fitted and what is known to be off. It also tells how one run that was 5.6 % too low was explained: not by turning
# a constant, but by half a GiB of tables that the software of that day kept in every layer.

# %% [markdown]
# ## How long does it take?
#
# 5,000 examples, three [epochs](GLOSSARY.md#epoch), QLoRA on the same 8-billion model. The time depends on how long the
# examples are, so here are two lengths. A band of hours, because a card reaches only a share of its data sheet.

# %%
from datetime import date

from ftlab.costs import duration, estimate_time, load_prices

TODAY = date(2026, 11, 22)  # the day on which the prices were checked; put date.today() here before you decide
prices = load_prices()
rent = {"T4": ("aws", "T4"), "A100-80GB": ("runpod", "A100-80"), "H100": ("runpod", "H100")}

rows = []
for gpu in ("T4", "RTX 4090", "A100-80GB", "H100"):
    times = {n: estimate_time(MODEL, "qlora", rows=5000, length=n, epochs=3, batch=4, gpu=gpu) for n in (512, 2048)}
    row = {"card": gpu}
    row |= {f"{n} tokens": f"{duration(t.low_hours)} to {duration(t.high_hours)}" for n, t in times.items()}
    if gpu in rent:
        hour = prices.gpu(*rent[gpu], today=TODAY).amount
        low, high = times[2048].low_hours * hour, times[2048].high_hours * hour
        row |= {"USD an hour": f"{hour:.2f} at {rent[gpu][0]}", "USD, 2048 tokens": f"{low:.2f} to {high:.2f}"}
    rows.append(row)
pd.DataFrame(rows).set_index("card").fillna("not found")

# %% [markdown]
# The bands of the RTX 4090 and the H100 are the widest: no measured run stands behind them. The dearest card is not the
# dearest run, and the rent of any of them is less than an hour of an engineer; keep that in mind for what follows.
#
# You will often read that LoRA on a 7B model with 5,000 examples takes "2 to 6 hours on an H100". We found no measurement
# behind that sentence, and it says nothing about length. So turn it round: how long would the examples have to be?

# %%
lengths = [512, 1024, 2048, 4096, 8192, 16384]
times = [estimate_time(MODEL, "lora", rows=5000, length=n, epochs=3, batch=1, gpu="H100") for n in lengths]
fig, ax = plt.subplots(figsize=(6, 3))
ax.fill_between(lengths, [t.low_hours for t in times], [t.high_hours for t in times], alpha=0.25)
ax.plot(lengths, [t.hours for t in times], "o-")
ax.axhspan(2, 6, color="#D55E00", alpha=0.2)
ax.set(xscale="log", yscale="log", xlabel="tokens in an example", ylabel="hours on an H100")
ax.set_xticks(lengths, lengths, minor=False)
inside = ", ".join(str(n) for n, t in zip(lengths, times, strict=True) if 2 <= t.hours <= 6)
touched = ", ".join(str(n) for n, t in zip(lengths, times, strict=True) if t.high_hours >= 2 and t.low_hours <= 6)
show(
    fig,
    f"Hours of LoRA on 5,000 examples, three epochs, over their length, with a band. The middle lies between 2 and 6 hours "
    f"at {inside} tokens, the band touches that range at {touched}.",
)
print(f"the middle of the estimate lies in 2 to 6 hours at {inside} tokens; its band touches them at {touched}")

# %% [markdown]
# So the sentence is about long examples, or about slow code: plain transformers without fused kernels took about 1.6 times
# as long as our estimate (LLaMA-Factory's measurements of April 2024). Short tickets are done sooner.

# %% [markdown]
# ## How long on your own machine?
#
# No table knows your machine. One measured training step does better: it tells how many operations a second you really get.
# Here a step of `nano` on this CPU. From it we predict a step with longer rows, and one of a model that is twice as wide,
# and we measure those too. All three are measured in turns, so that a busy moment of the machine falls on all of them.

# %%
import time

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from ftlab.costs import calibrate
from ftlab.models import resolve

nano = AutoConfig.from_pretrained(resolve("nano"))
wide = AutoConfig.from_pretrained(
    resolve("nano"), hidden_size=512, intermediate_size=1280, num_attention_heads=8, num_key_value_heads=8
)


def stepper(config, batch, length):
    """A function that takes one training step of a fresh model and returns its seconds."""
    torch.manual_seed(3407)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    ids = torch.randint(0, config.vocab_size, (batch, length))

    def step():
        start = time.perf_counter()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return time.perf_counter() - start

    return step


runs = {"measured": (nano, 4, 128), "longer rows": (nano, 4, 512), "twice as wide": (wide, 4, 128)}
steppers = {what: stepper(*run) for what, run in runs.items()}
rounds = pd.DataFrame([{what: step() for what, step in steppers.items()} for _ in range(9)])[2:]  # the first warm up
here = calibrate(list(rounds["measured"]), nano, "full", batch=4, length=128, checkpointing="off")
here

# %%
rows = []
for what, (config, batch, length) in list(runs.items())[1:]:
    guess = estimate_time(
        config, "full", rows=batch, length=length, batch=batch, checkpointing="off", calibration=here
    ).seconds_per_step
    real = rounds[what].median()
    rows.append((what, guess, real, guess / real - 1))
furthest = max(abs(error) for *_, error in rows)
quarter = "within a quarter of what was measured" if furthest <= 0.25 else "further off than a quarter: is the machine busy?"
print(f"one measured step foretold the others with an error of at most {furthest:.0%}, {quarter}")
rows = [(what, f"{guess:.2f} s", f"{real:.2f} s", f"{error:+.0%}") for what, guess, real, error in rows]
pd.DataFrame(rows, columns=["step", "predicted", "measured", "error"]).set_index("step")

# %% [markdown]
# The formula counts the arithmetic, and what a small model spends beside it: on moving numbers through memory and on the
# update. What it leaves out, such as starting each operation, or another program that takes turns with yours, is why an
# estimate holds best near what you measured. So calibrate on the model and the length that you will train: ten steps on
# a rented card cost cents, and `calibrate` turns them into hours for the whole run.

# %% [markdown]
# ## Your own file
#
# What a service bills, and what a card computes, are tokens times epochs. Count them in the file, with the
# [tokenizer](GLOSSARY.md#tokenizer) of the model that you will train. (Here that of `nano`; a service counts with its
# own, so for a bill this is an estimate.)

# %%
import statistics

from transformers import AutoTokenizer

from ftlab.costs import training_charge, what_fits
from ftlab.data import read_chat

chats = read_chat("../data/support_triage/train.jsonl")
tokenizer = AutoTokenizer.from_pretrained(resolve("nano"))
lengths = [len(tokenizer.apply_chat_template(chat["messages"])["input_ids"]) for chat in chats]
EPOCHS = 3
print(f"{len(lengths):,} rows x {statistics.mean(lengths):.0f} tokens x {EPOCHS} epochs = {sum(lengths) * EPOCHS:,} tokens")
print(f"the longest row has {max(lengths):,} tokens")
services = [("openai", "gpt-4.1-mini", None), ("fireworks", "an 8B model", 8), ("google", "gemini-3.5-flash", None)]
for provider, model, size_b in services:
    charge = training_charge(
        prices, provider, model, len(lengths), statistics.mean(lengths), EPOCHS, size_b=size_b, today=TODAY
    )
    print(f"{provider}, {model}: " + ("price not found" if charge.usd is None else f"{charge.usd:.2f} USD"))

# %% [markdown]
# The training itself costs less than an hour of anybody's time. On a card of your own:

# %%
what_fits(lengths, "T4", epochs=EPOCHS)

# %% [markdown]
# The same from a shell: `ftlab fit` (see `ftlab fit --help`). A cost scenario can count a file too:
# `recipes/costs/support_triage_own_file.yaml` names one under `tokens_from`.

# %% [markdown]
# ## What do the prices rest on?
#
# The prices of ordinary models come from the package `genai-prices`; those of training, tuned
# [inference](GLOSSARY.md#inference), hosting and GPUs from two small tables in `data/prices`. Each has a date and a
# confidence: H read at the source, M one good secondary source, L a lead to check, empty where nothing was found.

# %%
shown = [
    {
        "service": row.provider,
        "model": row.model if row.model != "*" else f"up to {row.max_billion:g}B" if row.max_billion else "any",
        "method": row.method,
        "USD": "not found" if row.usd is None else f"{row.usd:g} per {row.unit}",
        "date": row.source_date,
        "confidence": row.confidence,
        "model retires": row.model_retires or "",
    }
    for row in prices.rows
    if row.what == "training"
]
pd.set_option("display.max_rows", None)
pd.DataFrame(shown).set_index(["service", "model"])

# %%
unknown = pd.Series([f"{row.provider}: {row.what.replace('_', ' ')}" for row in prices.rows if row.usd is None])
print(f"{len(unknown)} of {len(prices.rows)} prices are not known:")
print(unknown.value_counts().to_string())

# %% [markdown]
# An unknown price is never counted as zero: a sum that needs it is "unknown" until you give the price in your scenario
# (`data/prices/README.md` shows how). Old prices and models that retire bring a warning.

# %% [markdown]
# ## Four ways to answer the same tickets
#
# A long [prompt](GLOSSARY.md#prompt), examples or documents in the prompt, a tuned model at a service, a tuned model
# with weights of your own on a rented GPU. All assumptions stand in files that you can change; a band `[low, likely,
# high]` where nobody knows.

# %%
from dataclasses import replace

from ftlab.costs import cost, read_scenario

hosted = read_scenario("../recipes/costs/support_triage_hosted.yaml")
own = read_scenario("../recipes/costs/support_triage_own_weights.yaml")
options = hosted.content["options"] | {"own_weights": own.content["options"]["rented"]}
support = replace(hosted, content=hosted.content | {"options": options})
report = cost(support, TODAY)
report

# %% [markdown]
# "Worth today" adds up the months, later ones a little less. The column beside it is its band: nobody knows the numbers
# of such a file well, so all of them are drawn a hundred times, and eight draws of ten lie between these ends. The tuned
# options are the cheapest for each call (a rented machine costs nothing more for one more call) and the dearest in the
# end: what they need besides calls weighs more.

# %%
months = {}
for option in report.options:
    besides = ", ".join(f"{part} {usd:.2f}" for part, usd in option.monthly.items() if usd)
    months[option.name.replace("_", " ")] = {
        "calls, USD a month": f"{option.usd_per_call * option.calls_per_month:.2f}",
        "besides, USD a month": besides,
        "at the start, USD": ", ".join(f"{part} {usd:.2f}" for part, usd in option.one_time.items() if usd),
    }
pd.DataFrame(months).T

# %% [markdown]
# Money is only half of it: the options do not answer equally well. Compare only those that reach your bar
# ([03](03_measure_baselines.ipynb) and [07](07_evaluate.ipynb) measure that). If the short prompt reaches it, nothing beats it.

# %% [markdown]
# ## From how many calls?

# %%
import numpy as np

from ftlab.costs import Curve
from ftlab.costs.plots import curve_alt, curve_figure

DAYS_PER_MONTH = 365 / 12
days = np.geomspace(30, 1_000_000, 40)
curve = Curve("calls a day", tuple(days), report.volume_curve(days * DAYS_PER_MONTH).usd)
show(curve_figure(curve, at=support.point()["calls_per_month"] / DAYS_PER_MONTH), curve_alt(curve))

# %% [markdown]
# Flat at the left: what you pay whether anybody calls or not. Rising at the right: what the calls cost. The grey line is
# today. Steps in the line of own weights are further machines.

# %%
from ftlab.costs import break_even


def how_long(calls_a_day, baseline, candidate):
    """Months until the candidate has paid back, or never."""
    at = report.at({"calls_per_month": calls_a_day * DAYS_PER_MONTH})
    even = break_even(at[baseline], at[candidate])
    return f"{even.months:,.1f} months" if even.months is not None else even.verdict


volumes = [300, 2000, 10_000, 30_000, 100_000, 300_000]
pairs = [("few_shot", "tuned"), ("prompted", "tuned"), ("few_shot", "own_weights"), ("prompted", "own_weights")]
table = {
    f"{new} instead of {old}".replace("_", " "): {f"{n:,} a day": how_long(n, old, new) for n in volumes}
    for old, new in pairs
}
pd.DataFrame(table).T

# %% [markdown]
# "Never" is an answer, not a failure of the sum: where a month saves nothing, no patience helps. The border has a simple
# form, the fixed dollars of a month over what one call saves.

# %% tags=["headline"]
few_shot, tuned = report["few_shot"], report["tuned"]
border = tuned.monthly_usd / (few_shot.usd_per_call - tuned.usd_per_call)
print(f"at {support.point()['calls_per_month']:,.0f} calls a month: {report.break_even}")
print(f"tuned saves against few-shot only above {border:,.0f} calls a month ({border / DAYS_PER_MONTH:,.0f} a day)")

# %% [markdown]
# **Exercise.** Write `payback_months(one_time_usd, calls_per_month, usd_per_call_before, usd_per_call_after, rent_usd)`:
# after how many months has it paid back, when hosting costs `rent_usd` a month? Return `math.inf` for never.

# %% tags=["exercise"]
import math


def payback_months(one_time_usd, calls_per_month, usd_per_call_before, usd_per_call_after, rent_usd):
    # solution
    saved = calls_per_month * (usd_per_call_before - usd_per_call_after) - rent_usd
    return one_time_usd / saved if saved > 0 else math.inf
    # end solution


# %%
from ftlab.exercises import check_payback_months

check_payback_months(payback_months)

# %% [markdown]
# ## The long prompt may already be cheap
#
# Services bill a prompt that they have just seen at a part of its price. The saving that a tuned model promises is the
# long prompt; if that is [cached](GLOSSARY.md#prompt-caching), most of it is gone. The same comparison at four shares
# of cached calls:

# %%
rows = []
for share in (0, 0.5, 0.8, 0.95):
    at = report.at({"options.few_shot.cache_hit_rate": share, "calls_per_month": 30_000 * DAYS_PER_MONTH})
    few_shot, tuned = at["few_shot"], at["tuned"]
    saved = few_shot.usd_per_call - tuned.usd_per_call
    needed = tuned.monthly_usd / saved if saved > 0 else math.inf
    rows.append((f"{share:.0%}", f"{1000 * few_shot.usd_per_call:.3f}", f"{1000 * tuned.usd_per_call:.3f}",
                 f"{needed / DAYS_PER_MONTH:,.0f} calls a day", repr(at.break_even)))  # fmt: skip
columns = ["cached", "few-shot, USD per 1,000 calls", "tuned", "saves from", "at 30,000 a day"]
pd.DataFrame(rows, columns=columns).set_index("cached")

# %% [markdown]
# Put the fixed part of the prompt first and leave it unchanged, and you may have earned what a
# [fine-tune](GLOSSARY.md#fine-tuning) would have saved, in an afternoon. (Services cache from a least length on, 1,024
# tokens in this scenario, so a short prompt gets nothing.)

# %% [markdown]
# ## What matters most?
#
# Nobody knows the numbers of such a file well. Each bar moves one assumption from its low to its high end and leaves the
# others at their likely values. Here the own weights against a long prompt at another service, as in
# `recipes/costs/support_triage_own_weights.yaml`.

# %%
own_report = cost(own, TODAY)
tornado = own_report.tornado()
top = tornado.swings[:9]
fig, ax = plt.subplots(figsize=(6, 3.6))
for row, swing in enumerate(top):
    colour = "#D55E00" if swing.flips else "#0072B2"
    ax.barh(row, swing.saving_at_high - swing.saving_at_low, left=swing.saving_at_low, color=colour, height=0.65)
    ends = sorted([(swing.saving_at_low, swing.low), (swing.saving_at_high, swing.high)])
    for (usd, value), side in zip(ends, ("right", "left"), strict=True):
        ax.annotate(f" {value:,.6g} " if value < 1e4 else f" {value:,.0f} ", (usd, row), ha=side, va="center", fontsize=8)
ax.set_yticks(range(len(top)), [swing.assumption.removeprefix("options.").replace("_", " ") for swing in top])
ax.invert_yaxis()
ax.axvline(0, color="black", lw=1)
ax.axvline(tornado.saving, color="black", lw=1, ls=":")
ax.use_sticky_edges = False
ax.margins(x=0.2)
ax.set_xlabel(f"USD saved over {own.content['horizon_months']:g} months (orange: crosses zero)")
show(
    fig,
    f"Tornado of the saving, {tornado.saving:,.0f} USD with likely values, widest bar on top: {top[0].assumption}. "
    f"Alone can turn the answer: {', '.join(tornado.flips)}.",
)

# %%
print("alone enough to turn the answer round:", ", ".join(tornado.flips))
print("all bands at once:", own_report.saving_band(draws=200))

# %% [markdown]
# These are the numbers to find out before anything else; the ones at the bottom may stay guesses. What one training
# run costs is not even among them.

# %% [markdown]
# ## The model that is retired under you
#
# A hosted fine-tune ends with its [base model](GLOSSARY.md#base-model). What does the report say about this one?

# %%
for warning in report.warnings:
    print("-", warning)

# %% [markdown]
# A payback that comes after the retirement is no payback: the horizon of any hosted fine-tune ends on that day. At 30,000
# calls a day, against [few-shot](GLOSSARY.md#few-shot), over 24 months:

# %%
def at_volume(**changes):
    """The support scenario at 30,000 calls a day, with changes to the options named."""
    changed = {name: option | changes.get(name, {}) for name, option in support.content["options"].items()}
    content = support.content | {"options": changed, "calls_per_month": 30_000 * DAYS_PER_MONTH}
    return cost(replace(support, content=content), TODAY)


never = {"retires": "2099-01-01"}
again = at_volume()["tuned"].one_time_usd
cases = {
    "if no model ever retired": at_volume(few_shot=never, tuned=never),
    "as announced: train and evaluate again": at_volume(),
    "as announced: and all the work again": at_volume(tuned={"migration_usd": again}),
}
pd.DataFrame(
    [
        (what, repr(case.break_even), f"{case.saving_usd:,.0f}", sum(month <= 24 for month, _, _ in case["tuned"].lumps))
        for what, case in cases.items()
    ],
    columns=["case", "break-even", "USD saved in 24 months", "forced moves"],
).set_index("case")

# %%
left = next(month for month, _, _ in report["tuned"].lumps)
capped = at_volume().at({"horizon_months": left})
print(f"months left until the retirement: {left:.1f}; saved by then: {capped.saving_usd:,.0f} USD")

# %% [markdown]
# Here it is worse than a new run: this service takes no new training at all after the day in the warnings, so there will be
# no successor to tune, and the last row of the table is the honest one, at another service's prices. Weights of your own do
# not retire. That, and not the price of a call, is often the better reason for them.

# %% [markdown]
# ## Payback with people in the loop
#
# In many workflows the calls cost nothing worth counting: the money is in the people who check the answers. A case that
# practitioners tell, and that we could not check at its origin: 12,000 labelled notes, medical codes 78 % right before
# training and 94 % after, review of all notes down to 30 %, 180 USD of training, paid back in six weeks.

# %%
from ftlab.costs.payback import (
    by_threshold, elasticities, payback, read_workflow, weeks_bands, weeks_spread, with_new_labels,
)  # fmt: skip

workflow = read_workflow("../recipes/costs/medical_coding_payback.yaml")
payback(workflow)

# %% [markdown]
# It does come out near six weeks, and that proves nothing: the story keeps silent about how many notes there are, how long
# a review takes and what a wrong code costs. We had to assume these, and chose values under which the story holds.

# %%
print(workflow)

# %% [markdown]
# So how fragile is it? Each assumption of ours from its low to its high end:

# %%
bands = [band for band in weeks_bands(workflow) if band.width > 0.2]
fig, ax = plt.subplots(figsize=(6, 3.4))
for row, band in enumerate(bands):
    ax.plot([band.weeks_at_low, band.weeks_at_high], [row, row], color="#0072B2", lw=7, solid_capstyle="butt")
    ends = sorted([(band.weeks_at_low, band.low), (band.weeks_at_high, band.high)])
    for (weeks, value), side in zip(ends, ("right", "left"), strict=True):
        ax.annotate(f" {value:g} ", (weeks, row), ha=side, va="center", fontsize=8)
ax.axvline(workflow.published_weeks, color="#D55E00", ls="--")
ax.set_yticks(range(len(bands)), [band.assumption.replace("_", " ") for band in bands])
ax.invert_yaxis()
ax.margins(x=0.12)
ax.set_xlabel("weeks until it has paid back (dashed: the story)")
widest = bands[0]
show(
    fig,
    f"Bars of the payback in weeks at both ends of each assumption. The widest: {widest.assumption}, "
    f"{widest.weeks_at_low:.1f} weeks at {widest.low:g} and {widest.weeks_at_high:.1f} at {widest.high:g}.",
)

# %% [markdown]
# One at a time is kind to the story. All of them at once, each anywhere in its band:

# %%
spread = weeks_spread(workflow)
print(
    f"eight of ten such worlds pay back within {spread.low:.1f} to {spread.high:.1f} weeks; in {spread.share_within:.0%} it is "
    f"as soon as told, in {spread.share_never:.1%} never"
)

# %% [markdown]
# Which numbers carry it? Per cent more weeks for one per cent more of each; minus means sooner.

# %%
strong = [each for each in elasticities(workflow) if each.elasticity is not None]
pd.DataFrame(
    [(each.assumption, f"{each.value:g}", f"{each.elasticity:+.2f}", "ours" if each.ours else "told") for each in strong],
    columns=["assumption", "value", "% weeks for 1 %", "whose"],
).set_index("assumption")

# %% [markdown]
# The price of training, which everybody quotes, hardly moves the answer. The hours of people carry it, and the story does not
# tell them. And where did the 12,000 labels come from? If no archive holds them, somebody has to write them:

# %%
found, paid = payback(workflow), with_new_labels(workflow)
print(f"labels from the archive: {found}")
print(f"labels paid for:         {paid}")

# %% [markdown]
# ### Who is reviewed?
#
# The review share follows from a threshold: answers that the model is sure of go out unread. A lower threshold saves more
# reading and lets more errors out. The curve below is **made up** to fit the story (70 % unread, 98.5 % of them right);
# yours comes from measuring how often the model is right at each confidence.

# %%
made_up = [  # threshold, share of notes above it, accuracy among them
    (0.995, 0.25, 0.998), (0.99, 0.40, 0.995), (0.97, 0.55, 0.991), (0.95, 0.70, 0.985),
    (0.90, 0.80, 0.976), (0.80, 0.90, 0.963), (0.60, 0.97, 0.950), (0.00, 1.00, 0.940),
]  # fmt: skip
fig, ax = plt.subplots(figsize=(6, 3.2))
best = []
for usd, style in ((10, "o-"), (25, "s--"), (60, "D:")):
    points = by_threshold(replace(workflow, usd_per_error=usd), made_up)
    weeks = [point.payback.weeks if point.payback.weeks is not None else math.nan for point in points]
    ax.plot([100 * point.review_share for point in points], weeks, style, label=f"an error costs {usd} USD")
    soonest = min((week, point.review_share) for week, point in zip(weeks, points, strict=True) if not math.isnan(week))
    best.append(f"at {usd} USD an error {soonest[0]:.1f} weeks with {soonest[1]:.0%} reviewed")
ax.set(xlabel="notes that a person still reads, %", ylabel="weeks until paid back", ylim=(0, 40))
ax.legend(frameon=False)
show(fig, f"Weeks until paid back over the review share for three costs of an error. Soonest: {'; '.join(best)}.")
print("soonest: " + "; ".join(best))

# %% [markdown]
# The cheapest share to review is not the smallest. It depends on what an error costs, and that number has no price list:
# ask the people who repair the errors.

# %% [markdown]
# ## Your own numbers
#
# First without moving anything: when does a tuned hosted model pay back, by calls a day and by the share of calls whose
# prompt is cached?

# %%
from matplotlib.colors import LogNorm

pair = replace(support, content=support.content | {"options": {name: options[name] for name in ("few_shot", "tuned")}})
pair_report = cost(pair, TODAY)
days, shares = np.geomspace(1000, 300_000, 24), np.linspace(0, 1, 11)
months = np.full((len(shares), len(days)), np.nan)
for row, share in enumerate(shares):
    for column, day in enumerate(days):
        at = pair_report.at({"options.few_shot.cache_hit_rate": share, "calls_per_month": day * DAYS_PER_MONTH})
        even = at.break_even
        months[row, column] = even.months if even.months is not None else np.nan
fig, ax = plt.subplots(figsize=(6.4, 3.2))
ax.set_facecolor("#DDDDDD")
mesh = ax.pcolormesh(days, 100 * shares, months, norm=LogNorm(0.5, 60), cmap="cividis_r", shading="nearest")
fig.colorbar(mesh, label="months")
ax.contour(days, 100 * shares, np.nan_to_num(months, nan=1e3), levels=[pair.content["horizon_months"]], colors="black")
ax.set(xscale="log", xlabel="calls a day", ylabel="calls with a cached prompt, %")
show(
    fig,
    f"Months until the tuned model has paid back, by calls a day and share of cached calls. "
    f"Grey, {np.isnan(months).mean():.0%} of the map: never. The black line is the horizon of {pair.content['horizon_months']:g} months.",
)

# %% [markdown]
# Grey is "never"; left of the black line it takes longer than the horizon. Now move the numbers to yours. (Where no kernel
# runs, as on GitHub, the controls are not shown.)

# %%
from ftlab.widgets import cost_form

cost_form(support, TODAY)

# %% [markdown]
# For a decision, copy one of the files in `recipes/costs`, put your numbers and your date in, and run
# `ftlab cost my_scenario.yaml`.
#
# ## What you have seen
#
# - Memory can be known to a few per cent before anything is loaded; time only as a band, until you have measured a step.
# - Training is cheap. Labels, people, upkeep and idle machines are not.
# - A tuned model must earn back its fixed costs from what a call saves. A cached prompt shrinks that; too few calls make
#   it "never"; a retirement ends it.
# - With people in the loop, their hours decide. A payback that does not state them states nothing.
#
# **Read next:** [02 Decide](02_decide.ipynb), if the answer was "never"; [06 Train with Unsloth](06_train_with_unsloth.ipynb),
# if it was not.
