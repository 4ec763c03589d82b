# ---
# ftlab:
#   reads: [data/support_triage/*.json*, data/recorded/support_triage_nano/report.json, data/recorded/support_triage_nano/predictions/*, data/probes/*, data/replay/*, data/models/nano/*, recipes/support_triage.yaml]
#   headline: the verdict of the gate
# ---

# %% [markdown]
# # Evaluate
#
# **Question:** did it work, by how much, and may it ship?
# **Minutes:** 3. **Hardware:** any.
#
# The answers judged here come from one recorded run of `ftlab run recipes/support_triage.yaml`: a [linear
# classifier](GLOSSARY.md#linear-classifier) without a language model, the [untrained base](GLOSSARY.md#base-model), the
# best zero-shot and [few-shot](GLOSSARY.md#few-shot) [prompts](GLOSSARY.md#prompt), the best one [held to the allowed
# values](GLOSSARY.md#constrained-choice), and the [fine-tuned](GLOSSARY.md#fine-tuning) model, all on the same 600
# [held-out](GLOSSARY.md#hold-out) tickets. Run the recipe yourself and point `RUN` at your own folder.

# %%
import json
from pathlib import Path

from ftlab.data import read_chat

RUN = Path("../data/recorded/support_triage_nano")  # or Path("../runs/support_triage")

report = json.loads((RUN / "report.json").read_text())
rows = read_chat("../data/support_triage/test.jsonl")
references = [row["messages"][-1]["content"] for row in rows]


def read_predictions(part, system):
    lines = (RUN / "predictions" / f"{part}.{system}.jsonl").read_text().splitlines()
    return [json.loads(line)["prediction"] for line in lines]


answers = {system: read_predictions("test", system) for system in report["systems"]}
print(f"{len(rows)} tickets, systems: {', '.join(answers)}; recorded {report['created']} on {report['machine']}")

# %% [markdown]
# ## One number for each system

# %%
from ftlab.evaluation import score_records
from ftlab.plots import show, systems_alt, systems_figure

schema = json.loads(Path("../data/support_triage/schema.json").read_text())
scores = {system: score_records(texts, references, schema=schema) for system, texts in answers.items()}
accuracy = {system: s.summary()["field_accuracy"] for system, s in scores.items()}
show(systems_figure(accuracy), systems_alt(accuracy))

# %% [markdown]
# The dots are shares of fields right; the bars are [95 % intervals](GLOSSARY.md#confidence-interval). Is the form the
# same story as the content?

# %%
import pandas as pd

metrics = ["valid_json", "valid_schema", "exact_match", "field_accuracy"]
pd.DataFrame({system: {m: repr(s.summary()[m]) for m in metrics} for system, s in scores.items()})

# %% [markdown]
# Four metrics, four stories: an answer can be valid JSON with labels that do not exist (`valid_schema` catches that), and
# it can have most fields right and still never be right as a whole (`exact_match`). Choose the one that your
# software feels: here a wrong field costs a correction, so the [gate](GLOSSARY.md#gate) looks at fields.

# %% [markdown]
# ## Why an interval?
#
# "Eight of ten were right" sounds good. What might be true of all the tickets that you did not look at?

# %%
from ftlab.evaluation import wilson

for n in (10, 50, 200, 600):
    print(f"{round(0.8 * n):>3} of {n:<3} right: {wilson(round(0.8 * n), n)}")

# %% [markdown]
# With ten examples, anything from a coin toss to near perfection. This is the Wilson interval; unlike the schoolbook
# formula it never leaves the range from 0 to 1.

# %% [markdown]
# **Exercise.** Write `wilson_interval(successes, n)` that returns `(low, high)` at 95 %, with z = 1.96:
#
# $$\frac{1}{1 + z^2/n}\left(p + \frac{z^2}{2n} \pm z\sqrt{\frac{p(1-p)}{n} + \frac{z^2}{4n^2}}\right)$$

# %% tags=["exercise"]
def wilson_interval(successes, n):
    # solution
    z, p = 1.959964, successes / n
    middle = p + z**2 / (2 * n)
    half = z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    return (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)
    # end solution


# %%
from ftlab.exercises import check_wilson

check_wilson(wilson_interval)

# %% [markdown]
# ## The comparison is paired
#
# Both systems answered the *same* tickets. What counts is not how far apart two averages are, but on which tickets the
# systems differ.

# %%
import numpy as np

baseline = report["comparison"]["baseline"]
a, b = scores[baseline], scores["fine_tuned"]
both = {
    f"{baseline} right": [int((a.exact_match * b.exact_match).sum()), int((a.exact_match * (1 - b.exact_match)).sum())],
    f"{baseline} wrong": [int(((1 - a.exact_match) * b.exact_match).sum()), int(((1 - a.exact_match) * (1 - b.exact_match)).sum())],
}
pd.DataFrame(both, index=["fine_tuned right", "fine_tuned wrong"]).T

# %% [markdown]
# Whole records right or wrong. Tickets that both have right, or both wrong, say nothing about the difference; the mid-p
# [McNemar test](GLOSSARY.md#mcnemar-test) looks only at the other two counts.

# %%
from ftlab.evaluation import compare

compare(a.exact_match, b.exact_match, metric="exact_match")

# %%
comparison = compare(a.field_accuracy, b.field_accuracy, metric="field_accuracy")
comparison

# %% [markdown]
# The same question for the share of fields, which is not 0 or 1: here the interval comes from
# [resampling](GLOSSARY.md#bootstrap) the tickets ten thousand times, always both answers of a ticket together.

# %% [markdown]
# ## Is something simpler as good?
#
# The prompt is one rival. The other needs no language model at all.

# %%
simple = scores["linear"]
print("fine_tuned against linear:", compare(simple.field_accuracy, b.field_accuracy, metric="field_accuracy"))

# %% [markdown]
# A gain over a weak rival is no reason to ship. The gate of `ftlab run` therefore asks both: is the fine-tune better than
# the best prompt, and is nothing simpler better than the fine-tune?

# %% [markdown]
# ## How many tickets does a claim need?

# %%
import matplotlib.pyplot as plt

from ftlab.evaluation import sample_size

gains = np.array([0.02, 0.03, 0.05, 0.08, 0.10, 0.15])
fig, ax = plt.subplots(figsize=(7, 3))
for disagreement in (0.15, 0.20, 0.30):
    ax.plot(100 * gains, [sample_size(g, disagreement) for g in gains], marker="o", label=f"{disagreement:.0%} disagree")
ax.set(xlabel="gain to be found, points", ylabel="tickets needed", yscale="log")
ax.legend(title="the two systems")
show(
    fig,
    "Line chart: tickets needed for a paired comparison with 80 % power. A gain of 5 points needs "
    f"{sample_size(0.05, 0.15)} tickets when the systems disagree on 15 %, {sample_size(0.05, 0.30)} at 30 %; "
    f"a gain of 15 points {sample_size(0.15, 0.15)} and {sample_size(0.15, 0.30)}.",
)

# %% [markdown]
# To find half the gain you need about four times the tickets. A [test set](GLOSSARY.md#test-set) of a few dozen can
# show a triumph, never a small improvement.

# %% [markdown]
# ## Are 600 tickets really 600?
#
# They were built from far fewer sentence patterns, and tickets from one pattern succeed or fail together. Real data has the
# same trouble: one customer writes twenty times.

# %%
from ftlab.evaluation import clustered_mean, interval_of

clusters = [next(p for p in row["pattern"].split("+") if p.split(".")[1] in schema["properties"]["queue"]["enum"]) for row in rows]
print(f"{len(rows)} tickets from {len(set(clusters))} issue patterns")
print("as if independent:", interval_of(b.field_accuracy))
print("by pattern:       ", clustered_mean(b.field_accuracy, clusters))

# %%
gain = b.field_accuracy - a.field_accuracy
print("gain, as if independent:", interval_of(gain))
print("gain, by pattern:       ", clustered_mean(gain, clusters))

# %% [markdown]
# The interval by pattern is the honest one for tickets phrased in ways that nobody has seen. Always ask what the unit is that
# repeats itself in your data.

# %% [markdown]
# ## Where is it wrong?

# %%
fields = {system: s.field_table() for system, s in scores.items() if system in ("linear", baseline, "fine_tuned")}
names = list(schema["properties"])
fig, ax = plt.subplots(figsize=(7, 3))
for offset, (system, table) in zip((-0.2, 0, 0.2), fields.items(), strict=True):
    y = np.arange(len(names)) + offset
    values = np.array([100 * table[n].value for n in names])
    errors = np.array([[100 * (table[n].value - table[n].low) for n in names], [100 * (table[n].high - table[n].value) for n in names]])
    ax.errorbar(values, y, xerr=errors, fmt="o", capsize=3, label=system)
ax.set(yticks=np.arange(len(names)), yticklabels=names, xlabel="right, %", xlim=(0, 101))
ax.invert_yaxis()
ax.legend()
weakest = min(names, key=lambda n: fields["fine_tuned"][n].value)
strongest = max(names, key=lambda n: fields["fine_tuned"][n].value)
show(
    fig,
    f"Dots with intervals for each field. Fine-tuned: best on {strongest}, {fields['fine_tuned'][strongest]}; "
    f"weakest on {weakest}, {fields['fine_tuned'][weakest]}.",
)
print(f"strongest: {strongest} {fields['fine_tuned'][strongest]}; weakest: {weakest} {fields['fine_tuned'][weakest]}")

# %% [markdown]
# An average hides this. What is copied from the ticket and what must be judged from it are different skills. Which
# labels are taken for which?

# %%
truth = [json.loads(reference)[weakest] for reference in references]
said = [(record or {}).get(weakest, "(no record)") for record in b.predicted]
pd.crosstab(pd.Series(truth, name=f"{weakest}: right"), pd.Series(said, name="answered"))

# %% [markdown]
# Large numbers off the diagonal are worth reading. Here are tickets behind them.

# %%
wrong = [i for i in range(len(rows)) if truth[i] != said[i]]
for i in wrong[:4]:
    print(f"{rows[i]['id']}: right {truth[i]}, answered {said[i]}\n  {rows[i]['messages'][1]['content']}\n")

# %% [markdown]
# ## Harder tickets, another shop

# %%
parts = {"test": scores["fine_tuned"].summary()["field_accuracy"]}
for part in ("hard", "other_shop"):
    part_rows = read_chat(f"../data/support_triage/{part}.jsonl")
    part_references = [row["messages"][-1]["content"] for row in part_rows]
    for system in ("linear", baseline, "fine_tuned"):
        parts[f"{part}, {system}"] = score_records(read_predictions(part, system), part_references).summary()["field_accuracy"]
show(systems_figure(parts), systems_alt(parts))

# %% [markdown]
# The hard slice has misleading tone, mixed issues and decoy numbers; the other shop sells things that never occurred in
# training. A fine-tune is narrow: measure it on what will really arrive, not only on what looks like your training set.

# %% [markdown]
# ## What was lost?
#
# The same run asked both models 400 general questions that have nothing to do with tickets: copy, sort, find a value,
# answer from a text, say "I do not know" where the text is silent.

# %%
from ftlab.run import normalise

probe_rows = read_chat("../data/probes/general_skills.jsonl")
right = {system: np.array([normalise(said) == normalise(row["messages"][-1]["content"]) for row, said in zip(probe_rows, read_predictions("probe", system), strict=True)], dtype=float) for system in ("base", "fine_tuned")}
skills = {skill: [i for i, row in enumerate(probe_rows) if row["skill"] == skill] for skill in dict.fromkeys(row["skill"] for row in probe_rows)}
fig, ax = plt.subplots(figsize=(7, 4))
for offset, (system, label) in zip((-0.15, 0.15), (("base", "before training"), ("fine_tuned", "after training")), strict=True):
    rates = [wilson(int(right[system][members].sum()), len(members)) for members in skills.values()]
    y = np.arange(len(skills)) + offset
    errors = [[100 * (r.value - r.low) for r in rates], [100 * (r.high - r.value) for r in rates]]
    ax.errorbar([100 * r.value for r in rates], y, xerr=errors, fmt="o", capsize=3, label=label)
ax.set(yticks=np.arange(len(skills)), yticklabels=skills, xlabel="right, %", xlim=(-1, 101))
ax.invert_yaxis()
ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
change = {skill: right["fine_tuned"][members].mean() - right["base"][members].mean() for skill, members in skills.items()}
most = min(change, key=change.get)
show(
    fig,
    f"Dots with intervals for {len(skills)} general skills before and after training. The largest loss is in {most}: "
    f"{100 * change[most]:+.0f} points; over all {100 * (right['fine_tuned'].mean() - right['base'].mean()):+.1f} points.",
)
compare(right["base"], right["fine_tuned"], metric="general skills")

# %% [markdown]
# What went down is [forgetting](GLOSSARY.md#forgetting): the price that the narrow training took elsewhere. Whether it
# matters depends on what else the model must do, and that is for you to say *before* the run. Watch `qa_unknown`: a
# model that no longer says "I do not know" invents an answer, and that is how a fine-tune makes
# [hallucination](GLOSSARY.md#hallucination) worse.

# %% [markdown]
# ## Can it be kept?
#
# The usual remedy is **replay**: some chats of the old kind, mixed in among the new. The recipe does that. Here is what
# it is worth: the same short fine-tune twice, without and with 300 general chats.

# %%
import contextlib
import io
from dataclasses import replace

import ftlab
from ftlab.evaluation.generation import generate
from ftlab.evaluation.metrics import exact_text
from ftlab.run import load_model, probe_answers, train_model
from ftlab.training.recipe import load_recipe

recipe = load_recipe("../recipes/support_triage.yaml")
recipe = replace(recipe, training=replace(recipe.training, num_train_epochs=1))
train, replay = read_chat(recipe.data.train)[:600], read_chat(recipe.data.replay)[:300]
tickets, asked = read_chat(recipe.data.validation)[:60], probe_rows[::3]
settings = {"max_new_tokens": 96, "batch_size": 50, "progress": False}
truth = [normalise(row["messages"][-1]["content"]) for row in asked]
kept, learned = {"before": right["base"][::3]}, {}
for name, extra in (("without replay", []), ("with replay", replay)):
    with contextlib.redirect_stdout(io.StringIO()):  # Unsloth is talkative
        model, tokenizer = load_model(recipe)
        model, training = train_model(recipe, model, tokenizer, train + extra, tickets[:16], ftlab.home() / "07_replay")
    answered = generate(model, tokenizer, [row["messages"][:-1] for row in tickets], **settings).texts
    learned[name] = score_records(answered, [row["messages"][-1]["content"] for row in tickets]).field_accuracy
    kept[name] = exact_text(probe_answers(model, tokenizer, asked, settings), truth)
    print(f"{name}: {training['steps']} steps, {60 * training['minutes']:.0f} seconds")

# %%
kept_rates = {name: interval_of(values) for name, values in kept.items()}
show(systems_figure(kept_rates, metric="general skills"), systems_alt(kept_rates, metric="general skills"))
print("replay on the general skills:", compare(kept["without replay"], kept["with replay"], metric="general skills"))
print("replay on the tickets:       ", compare(learned["without replay"], learned["with replay"], metric="field_accuracy"))

# %% [markdown]
# Read both lines: what replay keeps of the old, and what it costs or brings on the new. It is no free lunch either, since
# every replayed chat is trained on too: here the steps went up by half.

# %% [markdown]
# ## May it ship?
#
# The bars stand in `recipes/support_triage.yaml`, written before the run. The gate only applies them.

# %% tags=["headline"]
for reason in report["gate"]["reasons"]:
    print("-", reason)
print("bars:", report["gate"]["bars"])
print("verdict:", report["gate"]["verdict"])

# %% [markdown]
# A verdict is not a matter of taste: it follows from the numbers and the bars. "Do not ship" is a result too, and often
# the cheapest one.

# %%
from ftlab.evaluation import Bars, decide_gate

few = 40
decide_gate(compare(a.field_accuracy[:few], b.field_accuracy[:few], metric="field_accuracy"), bars=Bars(min_gain=0.05))

# %% [markdown]
# The same gate with the first 40 tickets only, and without the probe.
#
# ## What is known about large models
#
# Published comparisons of fine-tuned models rarely give intervals or [paired](GLOSSARY.md#paired-comparison) tests, so
# small gains in them may be chance. The tools here do not care how large the model is: give them your own predictions,
# two files and the references, with `ftlab compare A.jsonl B.jsonl --references R.jsonl`. What `nano` cannot show is
# how much a *good* prompt does: large models follow instructions far better, so expect a smaller gain over the best
# prompt there.
#
# ## What you have seen
#
# - Same tickets, same metric, intervals on everything, a paired test for the difference.
# - The average hides fields, slices and clusters; the unit that repeats decides how much you know.
# - The bar first, then the result, then the verdict.
#
# **Read next:** the report of your own run (`ftlab run recipes/support_triage.yaml`), and
# [03 Measure baselines](03_measure_baselines.ipynb) if the prompt was too easy to beat.
