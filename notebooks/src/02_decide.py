# ---
# ftlab:
#   reads: [recipes/cases/*.yaml, data/prompt_kit/*.md]
#   headline: how many of the worked cases should be fine-tuned
# ---

# %% [markdown]
# # Decide
#
# **Question:** should I fine-tune, retrieve, or prompt — for my case?
# **Minutes:** 1. **Hardware:** any; no model is loaded.
#
# Most people who want to [fine-tune](GLOSSARY.md#fine-tuning) should not, or not yet. This notebook asks a dozen
# questions about a case and answers with a ranking, its reasons, and what would turn it over. Then it fills
# [prompts](GLOSSARY.md#prompt) with your case, for a second opinion from any chat model. Bring a case of your own.

# %% [markdown]
# ## One case
#
# A case is a small file. Whatever you do not know, leave out.

# %%
from pathlib import Path

from ftlab.decide import decide, read_case

CASES = Path("../recipes/cases")

print((CASES / "support_triage.yaml").read_text())

# %%
case = read_case(CASES / "support_triage.yaml")
decision = decide(case)
print(decision.recommendation)

# %% [markdown]
# Why? Ratings go from 1 (bad) to 5 (good); the reasons are those that weigh most.

# %%
decision

# %% [markdown]
# Read the last list first. If one small change flips the advice, the advice is weak, and that one thing is what to find
# out next.

# %% [markdown]
# ## Your own case
#
# Change anything; the advice follows. An empty field means "not known". (Where no kernel runs, as on GitHub, you see the
# answer for the case above.)

# %%
from ftlab.widgets import decision_form

form = decision_form(case)
form

# %% [markdown]
# Done? Then run the next cell: it takes what the form holds, and the prompts below are filled from it. (The form's own cell,
# run again, starts anew.)

# %%
from dataclasses import asdict

import yaml

from ftlab.widgets import form_case

my_case = form_case(form)
print(yaml.safe_dump(asdict(my_case), sort_keys=False))

# %% [markdown]
# Saved as `my_case.yaml`, it gives the same advice in a shell: `ftlab decide my_case.yaml`.

# %% [markdown]
# ## Prompt first, retrieval second, training last
#
# The order is not a matter of taste. Each step costs more than the one before, is harder to undo, and mends another kind
# of failure:
#
# | step | it changes | try it in | undo it by | it cannot |
# |---|---|---|---|---|
# | 1. prompt, then a few examples in it | what the model is told | hours to days | editing a text | hold more than fits into it |
# | 2. retrieval (RAG) | what the model can read | weeks | changing a document | teach a form, a tone or a judgement |
# | 3. fine-tuning | what the model does without being told | weeks, most of them data | training again | keep facts up to date |
#
# Go up a step only when the one below has been measured and the failures that are left are of the next kind. What does
# the guide say about the support tickets as we learn more about the failures?

# %%
from dataclasses import replace

import pandas as pd

pd.set_option("display.max_colwidth", None)
known = {
    "nothing is measured": {"prompt_accuracy": None},
    "the prompt is good enough": {"prompt_accuracy": case.target_accuracy},
    "it is three points short": {"prompt_accuracy": case.target_accuracy - 0.03},
    "far short; it lacks facts": {"wants": ("knowledge",), "facts_change": "monthly"},
    "far short; form and judgement are wrong": {},
    "far short; both": {"wants": (*case.wants, "knowledge"), "facts_change": "monthly"},
}
decisions = {what: decide(replace(case, **change)) for what, change in known.items()}
pd.DataFrame({w: {"advice": d.recommendation, "because": d.ranking[0].reason_for} for w, d in decisions.items()}).T

# %% [markdown]
# Same tickets, same target. What decides is how far the prompt falls short, and with which kind of failure. So read twenty
# failures before you choose.
#
# One test by hand tells most of them apart: **paste what the model would have needed to know into the prompt.**
#
# - Right now? It lacked knowledge: [retrieval](GLOSSARY.md#rag) can bring it.
# - Still wrong, but right with five worked examples in the prompt? It lacked practice: keep the examples, or train when
#   they get too long or too dear.
# - Still wrong with both? Look at the answer you expect. Often two people would not agree on it; sometimes the model is
#   too small, or the task is three tasks.
# - Nobody had told it? That is a prompt, and it is done.
#
# [03](03_measure_baselines.ipynb) measures all the steps below training on the tickets.

# %% [markdown]
# ## Take a prompt to any chat model
#
# Rules see a dozen answers; a large chat model also reads your words, and asks back. The prompt kit holds nine prompts to
# fill in. They work in any chat window, because they are nothing but text: [the files](../data/prompt_kit).

# %%
from ftlab.prompt_kit import NOT_KNOWN, read_kit, run_prompt, slots_from_case

kit = read_kit()
pd.DataFrame(
    [
        {
            "prompt": name,
            "what for": prompt.purpose,
            "to fill in": len(prompt.slots),
            "from your case": len(slots_from_case(my_case, prompt)),
        }
        for name, prompt in kit.items()
    ]
).set_index("prompt")

# %% [markdown]
# ### Fill one in
#
# Your case knows most of what the first prompt asks for.

# %%
decide_prompt = kit["decide"]
values = slots_from_case(my_case, decide_prompt)
pd.DataFrame(
    [
        {"slot": slot.name, "what belongs there": slot.description, "value": values.get(slot.name, NOT_KNOWN)}
        for slot in decide_prompt.slots
    ]
).set_index("slot")

# %% [markdown]
# Write *not known* where you do not know: every prompt of the kit makes the model ask instead of guess. What you have tried
# is worth the most, with one or two real failures. (Real customers' names and numbers do not belong there.)

# %%
values["tried"] = "one prompt with the six keys and their lists of values; it mixes up aftersales and workshop"  # yours
prompt = decide_prompt.fill(**{slot.name: values.get(slot.name, NOT_KNOWN) for slot in decide_prompt.slots})
print(prompt)

# %% [markdown]
# Select it, copy it, paste it into a chat. Four things make such a prompt better than "should I fine-tune?", and you can
# use them in your own:
#
# - what you paste stands between tags and is called material, so that a ticket in it is read and not obeyed (a help, no guarantee);
# - the model may not invent numbers, and has a place for its questions;
# - "do not fine-tune" is an answer it is told to give;
# - the form is fixed, so that two answers can be compared, and its end is the file that `ftlab decide` reads.
#
# Ask the same prompt two or three times, or of two models. What changes from answer to answer is not advice.

# %% [markdown]
# ### Or fill in the form
#
# All nine, with your case filled in and a button that copies. What you type goes along to the next prompt. Nothing is sent.
# (Where no kernel runs, take the text above, or the files.)

# %%
from ftlab.widgets import prompt_kit_form

prompt_kit_form(my_case)

# %% [markdown]
# ### Or let Python send it
#
# To any server that speaks OpenAI's HTTP interface: a hosted service, or one of your own such as
# `vllm serve`, `llama-server` or `transformers serve`. As it stands, the cell sends nothing; it says what *would* go where.

# %%
BASE_URL = "http://localhost:8000/v1"  # your server, or the address that your service documents
MODEL = "the-name-your-server-knows"
KEY_VARIABLE = None  # such as "OPENAI_API_KEY": the environment variable with your key; never the key itself
CONFIRM = False  # True sends the prompt: it leaves this notebook, and a hosted service bills you

run_prompt(prompt, BASE_URL, MODEL, api_key_env=KEY_VARIABLE, confirm=CONFIRM)

# %% [markdown]
# Before you set `CONFIRM = True`, read the prompt above once more as the one who receives it would. `nano` is no use here: it
# has been trained on short inbox tasks, and this wants a large chat model.
#
# Then hold the answer against the rules. Save the YAML at its end as `second_opinion.yaml` and run `ftlab decide
# second_opinion.yaml`. If the two disagree, do not ask which is cleverer; find the fact on which they disagree, and measure
# that one.

# %% [markdown]
# ## Where is the border?
#
# Take the support tickets again, and let only two answers vary: how many labelled examples there are, and how good the
# best prompt already is.

# %%
import matplotlib.pyplot as plt
import numpy as np

from ftlab.decide import APPROACHES, rank
from ftlab.plots import show

examples = np.unique(np.geomspace(10, 20_000, 60).astype(int))
accuracies = np.linspace(0.5, 0.99, 50)
winner = [
    [APPROACHES.index(rank(replace(case, examples=int(n), prompt_accuracy=float(a)))[0].approach) for n in examples]
    for a in accuracies
]
colours = ["#DDDDDD", "#F0C27B", "#88BB88", "#0072B2", "#5B3A8C"]
fig, ax = plt.subplots(figsize=(7, 3.6))
ax.contourf(examples, 100 * accuracies, winner, levels=np.arange(-0.5, 5), colors=colours)
ax.axhline(100 * case.target_accuracy, color="black", linestyle="--", linewidth=1)
ax.plot(case.examples, 100 * case.prompt_accuracy, "ko")
ax.set(xscale="log", xlabel="labelled examples", ylabel="the best prompt reaches, %")
for index in sorted(set(np.ravel(winner).tolist())):
    ax.plot([], [], "s", color=colours[index], label=APPROACHES[index])
ax.legend(loc="lower left")
show(
    fig,
    f"Map of the recommendation by number of examples and accuracy of the best prompt, target {case.target_accuracy:.0%}. "
    f"At {case.examples:,} examples and {case.prompt_accuracy:.0%} (black dot) it says {decision.recommendation}.",
)

# %% [markdown]
# Above the dashed line a prompt is good enough, however many examples you have. To the left there is too little to learn
# from. Training is one corner of the map, and both of its borders can be measured in a day. Do you know where your dot is?

# %% [markdown]
# ## When it says "don't"
#
# The same case, with one thing taken away at a time.

# %%
without = {
    "as it is": {},
    "nobody maintains it": {"maintainer": False},
    "the task changes every week": {"task_changes": "weekly"},
    "the examples are poor": {"example_quality": "poor"},
    "only 40 examples": {"examples": 40},
    "the prompt was never measured": {"prompt_accuracy": None},
    "the prompt is good enough": {"prompt_accuracy": 0.93},
    "what is wanted are facts": {"wants": ("knowledge",), "facts_change": "daily"},
}
pd.DataFrame({what: {"advice": decide(replace(case, **change)).recommendation} for what, change in without.items()}).T

# %% [markdown]
# Any one of them is enough. They are not faults of the method but of the moment: several can be cured, and then the
# question is worth asking again.

# %% [markdown]
# ## Fourteen cases from as many trades

# %%
cases = {path.stem: read_case(path) for path in sorted(CASES.glob("*.yaml"))}
rows = [
    {
        "case": name,
        "task": c.task,
        "wants": ", ".join(c.wants),
        "advice": decide(c).recommendation,
        "because": decide(c).ranking[0].reason_for,
    }
    for name, c in cases.items()
]
pd.DataFrame(rows).set_index("case")

# %% tags=["headline"]
advice = [row["advice"] for row in rows]
tuned = sum("fine_tune" in a for a in advice)
print(f"{tuned} of {len(advice)} worked cases end in training; the others do better with {', '.join(sorted({a for a in advice if 'fine_tune' not in a}))}")

# %% [markdown]
# Find the one that is nearest to yours, copy its file, and change what differs.

# %% [markdown]
# ## Where the advice comes from
#
# There is no model behind it: every rule is one line that you can read, doubt and change. "Judgement" means that no
# measurement is known that would settle it.

# %%
from ftlab.decide import RULES

pd.DataFrame([{"rule": r.name, "because": r.reason, "source": r.source} for r in RULES]).set_index("rule")

# %% [markdown]
# ## How many examples?
#
# Here the field disagrees with itself, and each figure is right somewhere:
#
# | who says so | how many |
# |---|---|
# | hosted services, as the least they take or advise | 10 to 100 |
# | LIMA (Zhou et al. 2023), style and format of a 65B model | 1,000 curated ones |
# | practitioners, a narrow adapter | 100 to 500 excellent ones |
# | practitioners, production | 1,000 to 10,000 |
#
# The number depends on the task, the model and the quality, so the only honest answer is a curve of your own: train on a
# quarter, half and all of what you have. If it is flat, more will not help. [06](06_train_with_unsloth.ipynb) trains; a
# loop around its cells is your curve.

# %% [markdown]
# ## Does it pay?
#
# A tuned model needs no long prompt, so each call is cheaper; the training must be earned back first.
#
# **Exercise.** Write `break_even(one_time_usd, usd_per_call_prompted, usd_per_call_tuned)`: after how many calls has it paid
# back? Return `math.inf` for never.

# %% tags=["exercise"]
import math


def break_even(one_time_usd, usd_per_call_prompted, usd_per_call_tuned):
    # solution
    saved = usd_per_call_prompted - usd_per_call_tuned
    return one_time_usd / saved if saved > 0 else math.inf
    # end solution


# %%
from ftlab.exercises import check_break_even

check_break_even(break_even)

# %% [markdown]
# Real bills are longer: hosting by the hour, retraining every quarter, a model that is retired under you.
#
# ## What you have seen
#
# - Prompt first, retrieval second, training last; many products end with all three.
# - Facts go into the context; format, style and narrow decisions can go into the [weights](GLOSSARY.md#parameter).
# - The advice is as firm as its nearest flip. Measure that one thing next.
# - A good prompt to a chat model says what is known, asks for what is not, and may be told "don't". The kit has nine.
#
# **Read next:** [03 Measure baselines](03_measure_baselines.ipynb), because nearly every case above starts there.
