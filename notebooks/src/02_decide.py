# ---
# ftlab:
#   reads: [recipes/cases/*.yaml]
#   headline: how many of the worked cases should be fine-tuned
# ---

# %% [markdown]
# # Decide
#
# **Question:** should I fine-tune, retrieve, or prompt — for my case?
# **Minutes:** 1. **Hardware:** any; no model is loaded.
#
# Most people who want to fine-tune should not, or not yet. This notebook asks a dozen questions about a case and answers
# with a ranking, its reasons, and what would turn it over. Bring a case of your own.

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

decision_form(case)

# %% [markdown]
# The same from a shell: `ftlab decide my_case.yaml`.

# %% [markdown]
# ## Where is the border?
#
# Take the support tickets again, and let only two answers vary: how many labelled examples there are, and how good the
# best prompt already is.

# %%
from dataclasses import replace

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
import pandas as pd

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
pd.set_option("display.max_colwidth", None)
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
# - Facts go into the context; format, style and narrow decisions can go into the weights.
# - The advice is as firm as its nearest flip. Measure that one thing next.
#
# **Read next:** [03 Measure baselines](03_measure_baselines.ipynb), because nearly every case above starts there.
