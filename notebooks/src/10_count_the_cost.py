# ---
# ftlab:
#   reads: [recipes/costs/*.yaml, data/prices/*.csv, data/hardware/*.csv, data/recorded/memory_rows.csv, data/recorded/distill/results.json, data/recorded/triage/predictions/test.constrained.json, data/support_triage/train.jsonl, data/models/nano/tokenizer.json, data/models/nano/config.json]
#   headline: from how many calls a month a tuned hosted model saves anything
# ---

# %% [markdown]
# # Count the cost
#
# **Question:** what does it cost, and when does it pay back?
# **Minutes:** 22 to read, 1 to run. **Hardware:** any; two CPU cores are enough, no GPU, no account, no network.
#
# Before you spend anything, you can estimate whether a training run fits your card, how long it takes, what it costs, and
# from how many calls it saves money. Every estimate says how wrong it may be, every price has its date, and the answer
# can be "never".

# %% [markdown]
# ## Does it fit?
#
# One model of 8 billion [parameters](GLOSSARY.md#parameter), two rows of 2,048 [tokens](GLOSSARY.md#token) at a time,
# trained in three ways on three cards: a T4 (16 GB, old and cheap to rent), a gaming card of 24 GB, and a data-centre
# card of 80 GB. What counts is the card's memory, its [VRAM](GLOSSARY.md#vram).

# %%
from ftlab.costs.memory import estimate_memory
from ftlab.costs.plots import memory_alt, memory_figure
from ftlab.plots import show

MODEL = "llama-3.1-8b"  # any name of the catalogue, or the path of a config.json

bars = [
    estimate_memory(MODEL, method, batch=2, length=2048, gpu=gpu)
    for gpu in ("T4", "RTX 4090", "A100-80GB")
    for method in ("full", "lora", "qlora")
]
show(memory_figure(bars), memory_alt(bars))
for method in ("full", "lora", "qlora"):
    cards = [bar.gpu.name for bar in bars if bar.settings["method"] == method and bar.fits]
    print(f"{method} fits on:", ", ".join(cards) or "none of these")

# %% [markdown]
# Where a bar is longer than the black line, the run stops with "out of memory". [Full
# fine-tuning](GLOSSARY.md#full-fine-tuning) needs a [gradient](GLOSSARY.md#gradient) and an
# [optimizer](GLOSSARY.md#optimizer) state for every weight, [LoRA](GLOSSARY.md#lora) only for a small
# [adapter](GLOSSARY.md#adapter). [QLoRA](GLOSSARY.md#qlora) also stores the frozen weights in 4 bits.
#
# **Exercise (level 2).** Write `training_gib(frozen, bytes_per_frozen, trainable)`: the GiB of weights, gradients and
# optimizer. `frozen` and `trainable` are numbers of parameters. A frozen one takes `bytes_per_frozen` bytes. A
# trainable one takes 16 bytes: weight, gradient and the two states of [Adam](GLOSSARY.md#adam), each a 32-bit float.
# A GiB has `2**30` bytes.


# %% tags=["exercise"]
def training_gib(frozen, bytes_per_frozen, trainable):
    # solution
    return (frozen * bytes_per_frozen + trainable * 16) / 2**30
    # end solution


# %%
from ftlab.exercises.cost import check_training_gib

check_training_gib(training_gib)

# %% [markdown]
# The bars above take less than 16 bytes, because there weights and gradients have 16 bits and the optimizer 8. Your sum
# leaves out [activations](GLOSSARY.md#activation) and [logits](GLOSSARY.md#logits), which grow with the rows in a
# [batch](GLOSSARY.md#batch) and with their length.
#
# ## What would make it fit?
#
# A first try on the card of 24 GB. No row of the data has more than 1,500 tokens (`longest`).

# %%
from ftlab.costs.remedies import what_would_fit

what_would_fit(
    MODEL, "lora", gpu="RTX 4090", batch=8, length=4096, longest=1500,
    checkpointing="off", optimizer="adamw_torch", logits="full",
)  # fmt: skip

# %% [markdown]
# The first table has one change a line, on top of those above it; those that cost nothing come first. Do not reserve room
# for rows longer than yours. Compute the loss in pieces (`fused`), as Unsloth does. Use [gradient
# checkpointing](GLOSSARY.md#gradient-checkpointing). The second table is the run after these changes. (From a shell:
# `ftlab memory --help`.)
#
# ## How wrong is the estimate?
#
# Other people have measured such runs and published the peak, the most memory in use at any time:
#
# - *calibration*: a constant of our formula was taken from this run;
# - *held-out*: nothing was taken from it ([hold-out](GLOSSARY.md#hold-out));
# - *bound*: the longest row is unknown, so the estimate can only be an upper limit.

# %%
import matplotlib.pyplot as plt
import pandas as pd

from ftlab.models import data_folder

measured = pd.read_csv(data_folder() / "recorded/memory_rows.csv", keep_default_na=False)


def estimated_gib(row):
    """The estimate of the counter that was read in this run."""
    keys = ["batch", "length", "rank", "checkpointing", "optimizer", "logits", "trainable_bytes"]
    keys += ["rope_positions", "packed", "head_copy"]
    run = estimate_memory(row["model"], row["method"], gpu=row["gpu"] or None, **row[keys].to_dict())
    return {"allocated": run.total_gib, "reserved": run.reserved_gib, "device": run.device_gib}[row["counter"]]


measured["estimated"] = measured.apply(estimated_gib, axis=1)
off = measured.estimated - measured.peak_gib
measured["error"] = off.abs().sub(measured.rounding_gib).clip(lower=0) * (2 * (off > 0) - 1) / measured.peak_gib
low, high = measured.peak_gib.min(), measured.peak_gib.max()
print(f"{len(measured)} runs, {measured.model.nunique()} models, peaks from {low:g} to {high:g} GiB")

# %%
fig, ax = plt.subplots(figsize=(5, 4))
for (role, rows), mark in zip(measured.groupby("role"), "sDo", strict=True):
    ax.plot(rows.peak_gib, rows.estimated, mark, label=f"{role} ({len(rows)})", mfc="none" if role == "bound" else None)
ends = [measured.peak_gib.min() / 1.3, measured.peak_gib.max() * 1.3]
ax.plot(ends, ends, color="black", lw=1)
ax.set(xscale="log", yscale="log", xlabel="measured peak, GiB", ylabel="estimated peak, GiB (on the line: exact)")
for axis in (ax.xaxis, ax.yaxis):
    axis.set_ticks([5, 10, 20, 50, 100], labels=["5", "10", "20", "50", "100"])
    axis.set_ticks([], minor=True)
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
        "most too low": errors.min().map("{:+.1%}".format),
        "most too high": errors.max().map("{:+.1%}".format),
        "measured by": compared.source.agg(lambda s: "; ".join(sorted(set(s)))),
    }
)

# %% [markdown]
# Keep a tenth of the card free. (Of the held-out runs about half are known to a whole GB only, where an error counts from the rounding on,
# and two were extrapolated by their publisher. What stops your run is an estimate that is too *low*; the worst that we know is 7 %, of a
# model that is not in this table.) Two warnings: we knew all of these runs while we wrote the
# formula, so even the held-out ones are no blind test; and your software may differ from theirs.
# (`data/hardware/README.md` says what is known to be wrong.)
#
# ## How long does it take?
#
# 5,000 examples, three [epochs](GLOSSARY.md#epoch), QLoRA on the same 8B model, for two lengths of examples:

# %%
from datetime import date

from ftlab.costs.prices import load_prices
from ftlab.costs.time import duration, estimate_time

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
# A time is a range, because no card reaches the speed of its data sheet; those of the RTX 4090 and the H100 are the widest,
# because we have no measured run on them. Compare the last column with an hour of an engineer; it is one run that works, and you will need
# several.
#
# It is often said that LoRA on a 7B model with 5,000 examples takes "2 to 6 hours on an H100". We found no measurement
# behind that. How long would the examples have to be (here with 8B)?

# %%
sizes = [512, 1024, 2048, 4096, 8192, 16384]
times = [estimate_time(MODEL, "lora", rows=5000, length=n, epochs=3, batch=1, gpu="H100") for n in sizes]
fig, ax = plt.subplots(figsize=(6, 3))
ax.fill_between(sizes, [t.low_hours for t in times], [t.high_hours for t in times], alpha=0.25)
ax.plot(sizes, [t.hours for t in times], "o-")
ax.axhspan(2, 6, color="#D55E00", alpha=0.2)
ax.annotate("2 to 6 hours", (sizes[0], 3.4), va="center", color="#A34700")
ax.set(xscale="log", yscale="log", xlabel="tokens in an example", ylabel="hours on an H100")
ax.set_xticks(sizes, [f"{n:,}" for n in sizes])
ax.set_yticks([0.2, 0.5, 1, 2, 6, 20], ["0.2", "0.5", "1", "2", "6", "20"])
ax.minorticks_off()
inside = ", ".join(f"{n:,}" for n, t in zip(sizes, times, strict=True) if 2 <= t.hours <= 6)
touched = ", ".join(f"{n:,}" for n, t in zip(sizes, times, strict=True) if t.high_hours >= 2 and t.low_hours <= 6)
show(
    fig,
    f"Hours of LoRA on 5,000 examples, three epochs, over their length, with a range. The middle is between 2 and 6 hours "
    f"for examples of {inside} tokens, the range overlaps for {touched}.",
)
print(f"the middle of the estimate is between 2 and 6 hours for examples of {inside} tokens")
print(f"the range of the estimate overlaps with 2 to 6 hours for {touched} tokens")

# %% [markdown]
# So the sentence fits long examples, or slower code (`data/hardware/README.md` has plain transformers).
#
# ## How long on your own machine?
#
# Measure one training step: it tells how many operations a second you really get. From one of
# `nano` on this CPU we predict two others, with longer rows and with a model twice as wide. (The three take turns, so that
# other work disturbs all alike.)

# %%
import time

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from ftlab.costs.time import calibrate
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

# %% [markdown]
# TFLOP/s are million million operations a second; behind them stands the range of a predicted time. The other two steps:

# %%
rows = []
for what, (config, batch, length) in list(runs.items())[1:]:
    guess = estimate_time(
        config, "full", rows=batch, length=length, batch=batch, checkpointing="off", calibration=here
    ).seconds_per_step
    real = rounds[what].median()
    rows.append((what, guess, real, guess / real - 1))
furthest = max(abs(error) for *_, error in rows)
within = all(here.low <= real / guess <= here.high for _, guess, real, _ in rows)
inside = "inside that range" if within else "outside that range: is the machine busy?"
print(f"one measured step predicted the others with an error of at most {furthest:.0%}, {inside}")
rows = [(what, f"{guess:.2f} s", f"{real:.2f} s", f"{error:+.0%}") for what, guess, real, error in rows]
pd.DataFrame(rows, columns=["step", "predicted", "measured", "error"]).set_index("step")

# %% [markdown]
# The formula is best close to what you measured. So run ten steps on the rented card with your model and length, give their
# seconds to `calibrate`, and `estimate_time(..., calibration=...)` gives the hours of the whole run.
#
# ## Your own file
#
# A service bills tokens times epochs, and a card computes on them. Put the path of your own
# [JSONL](GLOSSARY.md#jsonl) in `DATA` (each line `{"messages": [...]}`), and count with the
# [tokenizer](GLOSSARY.md#tokenizer) of the model that you will train. (Here it is that of `smol`, close to those of larger
# models; where `smol` is not installed, that of `nano`, which needs more tokens. A service counts with its own.)

# %%
import statistics

from ftlab.data.schema import read_chat
from ftlab.models import counting_model, load_tokenizer

DATA = "../data/support_triage/train.jsonl"
EPOCHS = 3
COUNTER = counting_model()  # or the name of your model

chats = read_chat(DATA)
tokenizer = load_tokenizer(COUNTER)
lengths = [len(tokenizer.apply_chat_template(chat["messages"])["input_ids"]) for chat in chats]
print(f"tokens of {COUNTER}: {len(lengths):,} rows x {statistics.mean(lengths):.0f} tokens x {EPOCHS} epochs", end=" ")
print(f"= {sum(lengths) * EPOCHS:,}")
print(f"the longest row has {max(lengths):,} tokens")

# %% [markdown]
# What do services ask for one training on it?

# %%
from ftlab.costs.options import training_charge

services = [("openai", "gpt-4.1-mini", None), ("fireworks", "an 8B model", 8), ("google", "gemini-3.5-flash", None)]
for provider, model, size_b in services:
    charge = training_charge(
        prices, provider, model, len(lengths), statistics.mean(lengths), EPOCHS, size_b=size_b, today=TODAY
    )
    print(f"{provider}, {model}: " + ("price not found" if charge.usd is None else f"{charge.usd:.2f} USD"))

# %% [markdown]
# One training on a file of this size costs little; the sections below show what does cost. Which models could you train on
# it yourself, with LoRA where it fits and otherwise QLoRA?

# %%
from ftlab.costs.time import what_fits

what_fits(lengths, "T4", epochs=EPOCHS)

# %% [markdown]
# A model that is missing here does not fit. Put your own card in place of `"T4"`. (From a shell: `ftlab fit --help`.)
#
# ## What do the prices rest on?
#
# The prices of ordinary models come from the package `genai-prices`, the others (training,
# [inference](GLOSSARY.md#inference) with tuned models, hosting, GPUs) from two small tables in `data/prices`. Each price
# there has a date and a confidence: H, read at the source; M, one good secondary source; L, an unconfirmed hint; empty,
# nothing found. The prices of supervised training ([SFT](GLOSSARY.md#sft)):

# %%
shown = [
    {
        "service": row.provider,
        "model": row.model if row.model != "*" else f"up to {row.max_billion:g}B" if row.max_billion else "larger",
        "USD": "not found" if row.usd is None else f"{row.usd:g} per {row.unit}",
        "date": row.source_date,
        "confidence": row.confidence,
        "model retires": row.model_retires or "",
    }
    for row in prices.rows
    if row.what == "training" and row.method == "sft"
]
pd.set_option("display.max_rows", None)
print(f"{sum(row.usd is None for row in prices.rows)} of all {len(prices.rows)} prices are not known")
pd.DataFrame(shown).set_index(["service", "model"])

# %% [markdown]
# An unknown price is never counted as zero: a sum that needs it is "unknown" until you give the price yourself
# (`data/prices/README.md` shows how).
#
# ## Four ways to answer the same tickets
#
# A [prompt](GLOSSARY.md#prompt) alone, with examples ([few-shot](GLOSSARY.md#few-shot)), with documents
# ([RAG](GLOSSARY.md#rag)), and a tuned model, this one twice: hosted by the service, and as your own weights on a rented
# GPU. All assumptions are in two files that you can change, most of them as `[low, likely, high]`, because nobody knows
# them exactly.

# %%
from dataclasses import replace

from ftlab.costs.assumptions import read_scenario
from ftlab.costs.scenario import cost

hosted = read_scenario("../recipes/costs/support_triage_hosted.yaml")
own = read_scenario("../recipes/costs/support_triage_own_weights.yaml")
options = hosted.content["options"] | {"own_weights": own.content["options"]["rented"]}
support = replace(hosted, content=hosted.content | {"options": options})
report = cost(support, TODAY)
print(f"{support.point()['calls_per_month']:,.0f} calls a month")
report

# %% [markdown]
# "Worth today" is the sum over all months, with later dollars counted a little less. The last column is its range: all
# assumptions are drawn at random between their ends, and eight of ten draws are inside. At this number of calls the tuned
# options are the cheapest for one more call and the dearest in all. Where does the money go?

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
# Look for the large numbers: setting up, labelling, maintenance, and for your own weights a GPU that waits for calls. The
# training is one of the small ones. (And compare only options that answer well enough for you:
# [03](03_measure_baselines.ipynb) and [07](07_evaluate.ipynb) measure that.)
#
# ## From how many calls?
#
# More calls favour whatever is cheap per call. The same five options from 30 to a million calls a day:

# %%
import numpy as np

from ftlab.costs.scenario import Curve
from ftlab.costs.plots import curve_alt, curve_figure

DAYS_PER_MONTH = 365 / 12
days = np.geomspace(30, 1_000_000, 40)
curve = Curve("calls a day", tuple(days), report.volume_curve(days * DAYS_PER_MONTH).usd)
show(curve_figure(curve, at=support.point()["calls_per_month"] / DAYS_PER_MONTH), curve_alt(curve))
print(curve_alt(curve).partition(". ")[2])

# %% [markdown]
# On the left a line is flat: that is what you pay even if nobody calls. Each step in the line of the own weights is one more
# machine. The grey line is the scenario above. All lines use the likely values; the order near a crossing is uncertain.
#
# When has a tuned model paid back what it cost at the start?

# %%
from ftlab.costs.scenario import break_even


def how_long(calls_a_day, baseline, candidate):
    """Months until the candidate has saved what it cost at the start, or never."""
    at = report.at({"calls_per_month": calls_a_day * DAYS_PER_MONTH})
    even = break_even(at[baseline], at[candidate])
    late = " (too late)" if even.months is not None and even.months > support.content["horizon_months"] else ""
    return even.verdict if even.months is None else f"{even.months:,.1f} months{late}"


volumes = [300, 2000, 10_000, 30_000, 100_000, 300_000]
pairs = [("few_shot", "tuned"), ("prompted", "tuned"), ("few_shot", "own_weights"), ("prompted", "own_weights")]
table = {
    f"{new} instead of {old}".replace("_", " "): {f"{n:,} a day": how_long(n, old, new) for n in volumes}
    for old, new in pairs
}
pd.DataFrame(table).T

# %% [markdown]
# "Never" means that a month saves nothing, so waiting does not help. It ends where the calls of a month save as much as the
# tuned model costs each month: its fixed dollars a month divided by what one call saves.

# %% tags=["headline"]
few_shot, tuned = report["few_shot"], report["tuned"]
border = tuned.monthly_usd / (few_shot.usd_per_call - tuned.usd_per_call)
print(f"at {support.point()['calls_per_month']:,.0f} calls a month: {report.break_even}")
print(f"tuned saves against few-shot only above {border:,.0f} calls a month ({border / DAYS_PER_MONTH:,.0f} a day)")
same_upkeep = (tuned.monthly_usd - tuned.monthly["maintenance"]) / (few_shot.usd_per_call - tuned.usd_per_call)
print(f"... and if the prompt took as many hours of upkeep, above {same_upkeep:,.0f}")

# %% [markdown]
# **Exercise (level 2).** Write `payback_months(one_time_usd, calls_per_month, usd_per_call_before, usd_per_call_after,
# rent_usd)`: after how many months has the new way saved its `one_time_usd`, if each month also costs `rent_usd` for
# hosting? Return `math.inf` for never. (Not discounted: every month counts the same.)

# %% tags=["exercise"]
import math


def payback_months(one_time_usd, calls_per_month, usd_per_call_before, usd_per_call_after, rent_usd):
    # solution
    saved = calls_per_month * (usd_per_call_before - usd_per_call_after) - rent_usd
    return one_time_usd / saved if saved > 0 else math.inf
    # end solution


# %%
from ftlab.exercises.cost import check_payback_months

check_payback_months(payback_months)

# %% [markdown]
# ## The long prompt may already be cheap
#
# A tuned model saves you the long prompt. But a service that has seen the beginning of a prompt a short time before bills
# that part at a lower price ([prompt caching](GLOSSARY.md#prompt-caching)). The same comparison with four shares of calls
# whose prompt is cached:

# %%
rows = []
for share in (0, 0.5, 0.8, 0.95):
    at = report.at({"options.few_shot.cache_hit_rate": share, "calls_per_month": 30_000 * DAYS_PER_MONTH})
    few_shot, tuned = at["few_shot"], at["tuned"]
    saved = few_shot.usd_per_call - tuned.usd_per_call
    needed = tuned.monthly_usd / saved if saved > 0 else math.inf
    rows.append((f"{share:.0%}", f"{1000 * few_shot.usd_per_call:.3f}", f"{1000 * tuned.usd_per_call:.3f}",
                 f"{needed / DAYS_PER_MONTH:,.0f} calls a day", repr(at.break_even)))  # fmt: skip
columns = ["cached", "few-shot, USD per 1,000 calls", "tuned, USD per 1,000 calls", "tuned saves from", "at 30,000 a day"]
pd.DataFrame(rows, columns=columns).set_index("cached")

# %% [markdown]
# The more calls are cached, the less is left for a [fine-tune](GLOSSARY.md#fine-tuning) to save. (The scenario above reckons with 60 %.)
# So first put the fixed part of your prompt at its beginning, never change it, and look at the bill again. A cache has limits: prompts below
# a least length (1,024 tokens at OpenAI) are never cached, and entries go after some minutes without a call. If answers may wait for hours,
# ask for the price of batches, too.
#
# ## Or the prompt goes into the weights
#
# In [17](17_small_from_large.ipynb) `smol` learned to answer without its long prompt ([distillation](GLOSSARY.md#distillation)). The
# tokens of a call, before and after, are recorded there. What are they worth at this service, and what if the prompt were ten
# times as long?

# %%
import json

records = data_folder() / "recorded"
distilled = json.loads((records / "distill/results.json").read_text())
student = distilled["points"]["prompt_student"]
long = json.loads((records / "triage/predictions/test.constrained.json").read_text())
before, answer = (long[f"{part}_tokens"] / 300 for part in ("prompt", "new"))  # of 300 tickets
after = student["prompt_tokens"] / len(distilled["judged"])
ticket = after - 4  # 4 tokens are "Triage the ticket."
rows = []
for times in (1, 10):
    prompted = support.content["options"]["few_shot"] | {"prompt_tokens": 0, "example_tokens": times * before - ticket, "cache_hit_rate": 0}
    content = {"input_tokens": ticket, "output_tokens": answer, "options": support.content["options"] | {"few_shot": prompted}}
    at = cost(replace(support, content=support.content | content), TODAY)
    saved = at["few_shot"].usd_per_call - at["tuned"].usd_per_call
    rows.append((f"{times * before:,.0f}", f"{after:,.0f}", f"{1000 * at['few_shot'].usd_per_call:.3f}", f"{1000 * at['tuned'].usd_per_call:.3f}",
                 f"{at['tuned'].monthly_usd / saved:,.0f} calls a month"))  # fmt: skip
columns = ["tokens of the prompt", "of the student's", "prompt, USD per 1,000 calls", "student, USD per 1,000 calls", "student saves from"]
pd.DataFrame(rows, columns=columns).set_index("tokens of the prompt")

# %% [markdown]
# The examples of that prompt change with every ticket, so nothing of it is cached. What the student lost in answers, 17 shows; no
# price is put on that here.
#
# ## What matters most?
#
# A comparison that is not settled shows it best: the second file alone, own weights on a rented GPU against a long prompt
# at a service, with more calls than above. Each bar moves one assumption from its low to its high end, the two numbers,
# and leaves the others at their likely values.

# %%
own_report = cost(own, TODAY)
tornado = own_report.tornado()
top = tornado.swings[:9]
fig, ax = plt.subplots(figsize=(6, 3.6))
for row, swing in enumerate(top):
    colour = "#D55E00" if swing.assumption in tornado.flips else "#0072B2"
    ax.barh(row, swing.at_high - swing.at_low, left=swing.at_low, color=colour, height=0.65)
    ends = sorted([(swing.at_low, swing.low), (swing.at_high, swing.high)])
    for (usd, value), side in zip(ends, ("right", "left"), strict=True):
        ax.annotate(f" {value:,.6g} " if value < 1e4 else f" {value:,.0f} ", (usd, row), ha=side, va="center", fontsize=8)
ax.set_yticks(range(len(top)), [swing.assumption.removeprefix("options.").replace("_", " ") for swing in top])
ax.invert_yaxis()
ax.axvline(0, color="black", lw=1)
ax.axvline(tornado.saving, color="black", lw=1, ls=":")
ax.use_sticky_edges = False
ax.margins(x=0.25)
ax.set_xlabel(f"USD saved over {own.content['horizon_months']:g} months (dotted: likely values; orange: crosses 0)")
show(
    fig,
    f"Tornado of the saving, {tornado.saving:,.0f} USD with likely values, widest bar on top: {top[0].assumption}. "
    f"Alone can turn the answer: {', '.join(tornado.flips)}.",
)

# %%
print("each of these alone can change the answer:", ", ".join(name.removeprefix("options.") for name in tornado.flips))
band = own_report.saving_band(draws=200)
print(f"all drawn at once: eight of ten draws save {band.low:,.0f} to {band.high:,.0f} USD (minus: lose)")
print(f"own weights are cheaper in {band.share_positive:.0%} of the draws")

# %% [markdown]
# Find out the orange numbers before anything else; those at the bottom may stay guesses. As long as the draws both win and
# lose, these assumptions do not decide the question. What a training run costs is not among the nine largest, which are shown. Prices and
# wages were not varied at all: where a price is marked as unconfirmed, try it a third higher and lower.
#
# ## The model that is retired under you
#
# When a service switches off a [base model](GLOSSARY.md#base-model), every fine-tune of it ends too: see the warnings under
# the first report. A fine-tune that has not paid back by that day never will. The same comparison with few-shot over the
# 24 months of the scenario, at 30,000 calls a day, where it would pay back. The last two cases assume that there is a
# successor to tune:


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
    columns=["case", "break-even", "USD saved in 24 months", "moves to another model"],
).set_index("case")

# %%
left = next(month for month, _, _ in report["tuned"].lumps)
capped = at_volume().at({"horizon_months": left})
print(f"months left until the model is switched off: {left:.1f}; saved by then: {capped.saving_usd:,.0f} USD")

# %% [markdown]
# This service takes no new training after the day in the warnings, so there will be no successor to tune there, and the last two rows
# assume one at its prices all the same. Elsewhere the sum is another: a machine that stands ready at Fireworks (8 USD an hour) costs 5,840
# USD a month, a deployment at Azure (1.70) 1,241 before its tokens, far more than the calls save here; at Bedrock tuned models of Amazon's
# own are billed by the token, but the price of their training was not found. Weights of your own cannot be switched off by somebody else.
#
# ## Payback with people in the loop
#
# (A second subject, for those whose answers are read by people; it stands alone.)
#
# Often the money goes to the people who check the answers. Here is a case that practitioners tell and that we could not
# check at its origin ([14](14_case_medical_coding.ipynb) works such a case out): 12,000 labelled notes, medical
# codes 78 % right before training and 94 % after, calls 8 % dearer, review of all notes before and of 30 % after, 180 USD
# for training, paid back in about six weeks.

# %%
from ftlab.costs.payback import (
    by_threshold, payback, read_workflow, weeks_bands, weeks_spread, with_new_labels,
)  # fmt: skip

workflow = read_workflow("../recipes/costs/medical_coding_payback.yaml")
payback(workflow)

# %% [markdown]
# Our sum gives about the same, and that proves nothing. The story does not say how many notes there are, how long a review
# takes or what a wrong code costs. We had to assume these numbers, and chose them so that the story holds. (Three more assumptions are not
# in the list: that people who read miss nothing, that an hour saved is a dollar saved, and that the building takes no time: its weeks come
# on top of the six.)

# %%
print(workflow)

# %% [markdown]
# Each of our assumptions from its low to its high end:

# %%
bands = [band for band in weeks_bands(workflow) if band.width > 0.2]
fig, ax = plt.subplots(figsize=(6, 3.4))
for row, band in enumerate(bands):
    ax.plot([band.at_low, band.at_high], [row, row], color="#0072B2", lw=7, solid_capstyle="butt")
    ends = sorted([(band.at_low, band.low), (band.at_high, band.high)])
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
    f"{widest.at_low:.1f} weeks at {widest.low:g} and {widest.at_high:.1f} at {widest.high:g}.",
)
doubled = [b for b in bands if max(b.at_low, b.at_high) >= 2 * workflow.published_weeks]
print("alone enough to double the six weeks:", ", ".join(b.assumption.replace("_", " ") for b in doubled) or "none")

# %% [markdown]
# So the case stands on a few numbers that it does not tell. And all of them are uncertain at the same time:

# %%
spread = weeks_spread(workflow)
print(
    f"eight of ten draws pay back within {spread.low:.1f} to {spread.high:.1f} weeks; {spread.share_within:.0%} pay back as "
    f"soon as told, {spread.share_never:.1%} never"
)

# %% [markdown]
# Six weeks is possible under these assumptions, but only one result among many. And where did the 12,000 labels come from?
# If there is no archive, somebody has to write them:

# %%
found, paid = payback(workflow), with_new_labels(workflow)
print(f"labels from the archive: {found}")
print(f"labels paid for:         {paid}")

# %% [markdown]
# That one question changes the payback more than any other number here.
#
# ### Who is reviewed?
#
# Answers above a threshold of the model's confidence go out unread. A lower threshold saves more reading and lets more
# errors pass. The shares and accuracies below are **made up** to fit the story (70 % unread, 98.5 % of them right); for
# your own case, measure how often the model is right at each confidence.

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
# The dearer an error, the more notes are worth reading. So find out the cost of an error before you choose the threshold. No
# price list has it: ask the people who repair the errors.
#
# ## Your own numbers
#
# Move the assumptions of the tickets until they are yours. (Where no kernel runs, as on GitHub, the controls are not
# shown.)

# %%
from ftlab.widgets.cost import cost_form

cost_form(support, TODAY)

# %% [markdown]
# For a decision, copy one of the files in `recipes/costs`, put your numbers and your date in, and run
# `ftlab cost my_scenario.yaml`.
#
# ## What you have seen
#
# - Memory can be estimated to within about a tenth, for runs like those measured. Time is a wide range until you measure a step.
# - Training is cheap. Labels, people, maintenance and waiting machines are not.
# - A tuned model must earn back its fixed costs from what each call saves: less with a cached prompt, never with too few
#   calls, and only until the base model is switched off.
# - Where people check the answers, their hours decide. Do not believe a payback that does not state them.
# - Vary every assumption. If the answer changes, find out that number first.

# %% [markdown]
# ## What would you do?
#
# Decide first, then open the answer.
#
# **1.** At 2,000 calls a day the fine-tune pays back never. The service offers training at half price. Does that change the
# answer?
#
# <details><summary>One answer</summary>
#
# No. Training is a small, single sum; what each month costs besides is larger than what its calls save. More calls, or less
# upkeep, would change it.
#
# </details>
#
# **2.** The prompt is long, and the team wants to fine-tune to get rid of it. What do you ask the service before you do any
# sum?
#
# <details><summary>One answer</summary>
#
# Which share of the prompt it bills as cached, and at what price. Put the fixed part first, never change it, and look at
# the next bill. Often little is left to save.
#
# </details>
#
# **3.** A vendor's case pays back in six weeks. Which numbers do you ask for?
#
# <details><summary>One answer</summary>
#
# Cases a month, minutes a review, the price of an hour, what an error costs, and who paid for the labels. Without these,
# any number of weeks can be had.
#
# </details>
#
# **Read next:** [02 Decide](02_decide.ipynb), if the answer was "never"; [06 Train with
# Unsloth](06_train_with_unsloth.ipynb), if it was not.
