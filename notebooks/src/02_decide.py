# ---
# ftlab:
#   reads: [recipes/cases/*.yaml, data/prompt_kit/*.md, data/recorded/triage/report.json]
#   headline: how many of the worked cases should be fine-tuned
# ---

# %% [markdown]
# # Decide
#
# **Question:** should I fine-tune, retrieve, or prompt — for my case?
# **Minutes:** 16 to read, 1 to run. **Hardware:** any; no model is loaded.
#
# [Fine-tuning](GLOSSARY.md#fine-tuning) is one of three ways to make a language model do a task. The others are to
# write a better [prompt](GLOSSARY.md#prompt), and [retrieval](GLOSSARY.md#rag): to search for the documents that a
# question needs and put them into the prompt. You describe a case in a dozen answers and get a ranking, the reasons,
# and what would change the advice. Then you put the same case to a large chat model for a second opinion. Think of a
# case of your own before you go on.

# %% [markdown]
# ## One case
#
# A case is a small YAML file. This one is the running example of the course, with invented numbers. Leave out what you
# do not know.

# %%
from pathlib import Path

from ftlab.decide import decide, read_case

CASES = Path("../recipes/cases")

print((CASES / "support_triage.yaml").read_text())

# %% [markdown]
# Accuracies are fractions of 1, of cases that are right *as your software needs them*: for a record mostly the whole record.
# `prompt_accuracy` is what the best prompt without examples reaches on real cases with known answers, on the model that you would use if
# you did not train, mostly a large hosted one. `target_accuracy` is what would be good enough. To find it, let two colleagues answer fifty
# cases apart and count how often they agree; more than that nobody can measure.

# %%
case = read_case(CASES / "support_triage.yaml")
decision = decide(case)
decision

# %% [markdown]
# The approach in the first row is the advice. The approaches are a prompt; [few-shot](GLOSSARY.md#few-shot), which is a
# prompt with some solved examples in it; retrieval (`rag`); fine-tuning; and the last two together. Ratings go from 1
# (bad) to 5 (good), so a 5 for cost is cheap and a 5 for update is easy to change. *Together* is their mean, in which quality weighs 5,
# cost 1, time and upkeep 0.7 each and update 0.3. "Does not fit" means that a rule excludes the approach for this case, whatever it is
# together. The reasons given are those that weigh most; a rival may share the one for the winner, so read those against, too.
#
# One way is not in the ranking, since it needs no language model: where the answer is one of a fixed list, a
# [linear classifier](GLOSSARY.md#linear-classifier). "Do first" names it where it may do. If it reaches your target, stop there.
#
# Look at the last list before you believe the first row. Each line is the nearest change that would lead to other advice. If
# one of them is likely in your case, the advice is not firm yet, and that fact is what to find out next. Numbers such as 663 come out of
# the rules; they are judgements, not measurements.
#
# The advice says what is worth a try, not that it will reach the target. For these very tickets it was measured, on a model far smaller
# than you would use, with 300 of them to learn from:

# %%
import json

recorded = json.loads(Path("../data/recorded/triage/report.json").read_text())["systems"]
names = {"constrained": "best prompt", "linear": "linear classifier", "fine_tuned": "fine-tuned"}
for system, name in names.items():
    fields, whole = recorded[system]["field_accuracy"]["value"], recorded[system]["exact_match"]["value"]
    print(f"{name:18} {fields:.1%} of the fields, {whole:.1%} of the whole records")

# %% [markdown]
# Training is best there, as advised, and far from the target of this case all the same. What else was found, and the verdict, stand in the
# [README](../README.md); [07](07_evaluate.ipynb) explains them.

# %% [markdown]
# ## Your own case
#
# Change anything in the form; the advice below it follows. An empty field means "not known". (The form needs a running
# notebook. On a page such as GitHub's you do not see it; the table above is what it shows at the start.)
#
# | in the form | what belongs there |
# |---|---|
# | wants | what is missing today: format, style, vocabulary, knowledge (facts), refusal, accuracy, latency, cost |
# | choice | whether the answer is one label of a fixed list |
# | examples | rows with an input and the right answer, ready to train on |
# | quality of the examples | excellent: checked by a second person; mixed: as they came, mostly right; poor: you would not defend them |
# | private data | whether the texts may not go to a service outside; ask who answers for data protection |
# | budget | for the first three months |

# %%
from ftlab.widgets.decision import decision_form

form = decision_form(case)
form

# %% [markdown]
# When you are done, run the next cell. It reads the form, and the prompts below are filled with this case. (Running
# the form's own cell again resets the form.)

# %%
import yaml

from ftlab.widgets.decision import form_case

my_case = form_case(form)
print(yaml.safe_dump(my_case.model_dump(), sort_keys=False))

# %% [markdown]
# To keep it, copy the text into a file, say `my_case.yaml`. `read_case("my_case.yaml")` reads it here, and `ftlab
# decide my_case.yaml` gives the same advice in a terminal.

# %% [markdown]
# ## Prompt first, retrieval second, training last
#
# Each step usually costs more than the one before, is harder to undo, and cures another kind of failure. (The times are
# rough experience, not measurements.)
#
# | step | it changes | try it in | undo it by | it is no help with |
# |---|---|---|---|---|
# | 1. prompt, then a few examples in it | what the model is told | hours to days | editing a text | more than fits into a prompt |
# | 2. retrieval (RAG) | what the model can read | weeks | changing a document | a form, a tone, a judgement |
# | 3. fine-tuning | what the model does without being told | weeks, most of them for data | training again | facts that change |
#
# Take the next step only when you have measured the one before and the failures that are left are of the kind that the
# next step cures. Here is the advice for the support tickets as more and more becomes known about the failures:

# %%
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
decisions = {what: decide(case.model_copy(update=change)) for what, change in known.items()}
pd.DataFrame({w: {"advice": d.recommendation, "because": d.ranking[0].reason_for} for w, d in decisions.items()}).T

# %% [markdown]
# The tickets and the target are the same in every row. The advice depends on how far the prompt falls short, and on the
# kind of failure. So read some failures, twenty say, before you choose. For each, change the prompt by hand and look
# whether the answer becomes right:
#
# 1. Say more exactly what you want. Right now? Then a better prompt is enough.
# 2. Paste in the facts that the model did not have. Right now? Then it lacked knowledge, and retrieval can supply it.
# 3. Put five solved examples in. Right now? Then it lacked practice. Keep the examples, or fine-tune when the long
#    prompt becomes too slow or too expensive.
# 4. Still wrong? Check the answer that you expect: would two people agree on it? If they would, the model may be too
#    small, or the task is several tasks in one.
#
# [03](03_measure_baselines.ipynb) measures the steps before training on the support tickets.

# %% [markdown]
# ## Take a prompt to any chat model
#
# The rules know a dozen answers about your case. A large chat model can also read your own description, and ask
# questions. The prompt kit holds prompts to fill in for this and for the steps that follow. They are plain text
# ([the files](../data/prompt_kit)) and work in any chat window.

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
# "To fill in" counts the blanks (slots) of each prompt, "from your case" those that your answers above already fill.
#
# ### Fill one in

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
# Leave *not known* where you do not know: every prompt of the kit tells the model to ask and not to guess. The slot
# that your case cannot fill is `tried`: what you have tried, with one or two real failures. It helps the model most,
# because failures show what is missing. Take out customers' names and numbers first.

# %%
values["tried"] = "one prompt with the six keys and their lists of values; it mixes up aftersales and workshop"  # yours
prompt = decide_prompt.fill(**{slot.name: values.get(slot.name, NOT_KNOWN) for slot in decide_prompt.slots})
print(prompt)

# %% [markdown]
# Copy it into a chat. Four things make it more useful than the question "should I fine-tune?", and they work in your
# own prompts too:
#
# - Your text stands between tags and is called material, so that the model is less likely to follow an instruction that
#   hides in it. (This helps; it does not guarantee.)
# - The model must not invent numbers, and it has a place for its questions.
# - "Do not fine-tune" is one of the answers that it is told to give.
# - The form of the answer is fixed, so that two answers can be compared. It ends with a file for `ftlab decide`.
#
# Send it two or three times, or to two models. Do not rely on what differs from answer to answer.

# %% [markdown]
# ### Or fill in the form
#
# This form shows every prompt of the kit with your case filled in, and has a button that copies. What you type is kept
# for the next prompt. Nothing is sent. (It too needs a running notebook; without one, use the files.)

# %%
from ftlab.widgets.prompts import prompt_kit_form

prompt_kit_form(my_case)

# %% [markdown]
# ### Or let Python send it
#
# This works with any server that has OpenAI's HTTP interface: a hosted service, or a server of your own such as `vllm
# serve`, `llama-server` or `transformers serve`. As it stands, the cell sends nothing and only says what it would send.

# %%
BASE_URL = "http://localhost:8000/v1"  # your server, or the address that your service documents
MODEL = "the-name-your-server-knows"
KEY_VARIABLE = None  # such as "OPENAI_API_KEY": the environment variable with your key; never the key itself
CONFIRM = False  # True sends the prompt: it leaves this notebook, and a hosted service bills you

run_prompt(prompt, BASE_URL, MODEL, api_key_env=KEY_VARIABLE, confirm=CONFIRM)

# %% [markdown]
# Before you set `CONFIRM = True`, check the prompt above for anything that must not leave your house. The small models
# of this course are too weak for such a prompt; it takes a large chat model.
#
# Then compare the answer with the rules. Save the YAML at its end as `second_opinion.yaml` and run `ftlab decide
# second_opinion.yaml`. If the two disagree, find the fact on which they disagree, and measure it.

# %% [markdown]
# ## Where is the border?
#
# Take the support tickets again and vary two answers only: how many labelled examples there are, and how good the best
# prompt already is. The dot is the case above.

# %%
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

from ftlab.decide import APPROACHES, rank
from ftlab.plots import show

examples = np.geomspace(10, 20_000, 120)
accuracies = np.arange(50, 100) / 100


def advised(n, accuracy):
    best = rank(case.model_copy(update={"examples": int(n), "prompt_accuracy": float(accuracy)}))[0]
    return APPROACHES.index(best.approach)


winner = np.array([[advised(n, accuracy) for n in examples] for accuracy in accuracies])
colours = ["#DDDDDD", "#F0C27B", "#88BB88", "#56B4E9", "#CC79A7"]  # one for each approach, in the order of APPROACHES
fig, ax = plt.subplots(figsize=(7, 3.6))
ax.pcolormesh(examples, 100 * accuracies, winner, cmap=ListedColormap(colours), vmin=-0.5, vmax=4.5)
for index in np.unique(winner):  # each name in the middle of its area
    y, x = (int(np.median(places)) for places in np.nonzero(winner == index))
    ax.text(examples[x], 100 * accuracies[y], APPROACHES[index], ha="center", va="center", fontsize=12)
ax.axhline(100 * case.target_accuracy, color="black", linestyle="--", linewidth=1)
ax.plot(case.examples, 100 * case.prompt_accuracy, "ko")
ax.set(xscale="log", xlabel="labelled examples", ylabel="the best prompt reaches, %")
ax.xaxis.set_major_formatter("{x:,.0f}")
show(
    fig,
    f"Map of the recommendation by number of examples and accuracy of the best prompt, target {case.target_accuracy:.0%}. "
    f"At {case.examples:,} examples and {case.prompt_accuracy:.0%} (black dot) it says {decision.recommendation}.",
)

# %% [markdown]
# The dashed line is the target. From there on the prompt is good enough, however many examples there are. Fine-tuning
# wins only where there are enough examples *and* the prompt stays clearly below the target. The steps in its border are
# the thresholds of the rules (you find them below), not measurements. So if your dot lies near a border, the map cannot
# decide for you: measure.

# %% [markdown]
# ## When it says "don't", and when not
#
# The same case again. In each row one thing is different.

# %%
different = {
    "as it is": {},
    "nobody maintains it": {"maintainer": False},
    "the task changes every week": {"task_changes": "weekly"},
    "the examples are poor": {"example_quality": "poor"},
    "only 40 examples": {"examples": 40},
    "the prompt was never measured": {"prompt_accuracy": None},
    "the prompt is good enough": {"prompt_accuracy": case.target_accuracy + 0.01},
    "what is wanted are facts": {"wants": ("knowledge",), "facts_change": "daily"},
    "next to nothing is right": {"prompt_accuracy": 0.02},
    "so too where it must work something out": {
        "task": "work out what a customer gets back", "wants": ("accuracy",), "prompt_accuracy": 0.02
    },
}
table = {}
for what, change in different.items():
    other = decide(case.model_copy(update=change))
    (tuned,) = [advice for advice in other.ranking if advice.approach == "fine_tune"]
    table[what] = {"advice": other.recommendation, "the main reason against fine-tuning": tuned.reason_against}
pd.DataFrame(table).T

# %% [markdown]
# Most of these are reasons not to train *now*. Name a maintainer, repair the examples, measure the prompt, and ask
# again. Two of them will not go away with work: a prompt that is good enough, and facts that change every day.
#
# Where the model gets next to nothing right, look first at what fails. It may be only the form: hold the answers to the
# values that are allowed ([03](03_measure_baselines.ipynb)) and measure again, because a form is quickly taught. If the
# ability is missing, as in the last row, training is a poor bet for anything that the model must work out. Try the prompt
# on a stronger model, give this one tools, or make the task smaller. A choice among a few labels is another matter, so the
# row above it does not speak against training: a linear classifier, which begins with
# nothing, learns one from enough examples, and so does a very small language model ([07](07_evaluate.ipynb)).

# %% [markdown]
# ## Fourteen cases from as many trades

# %%
cases = {path.stem: read_case(path) for path in sorted(CASES.glob("*.yaml"))}
rows = []
for name, other in cases.items():
    best = rank(other)[0]
    rows.append([name, other.task, ", ".join(other.wants), best.approach, best.reason_for])
pd.DataFrame(rows, columns=["case", "task", "wants", "advice", "because"]).set_index("case")

# %% tags=["headline"]
advice = [row[3] for row in rows]
tuned = sum("fine_tune" in approach for approach in advice)
others = ", ".join(sorted({approach for approach in advice if "fine_tune" not in approach}))
print(f"{tuned} of {len(advice)} worked cases end in training; the advice for the others is {others}")

# %% [markdown]
# Find the case that is nearest to yours in [recipes/cases](../recipes/cases), copy its file, and change what differs. Three of
# them are worked out: support triage from [03](03_measure_baselines.ipynb) to [12](12_ship_and_maintain.ipynb), medical coding in
# [14](14_case_medical_coding.ipynb), brand voice in [15](15_case_brand_voice.ipynb). (An inbox may want sorting, as in triage, or replies:
# then 15, and [03b](03b_retrieve_or_teach.ipynb) where the replies need facts.)
# The cases were made up to be different from one another, so how many of them end in training says nothing about how
# often it is right in practice.

# %% [markdown]
# ## Where the advice comes from
#
# No model gives this advice. It is a sum of rules, and you can read, doubt and change each of them (they
# stand in `ftlab/decide_rules.py`). "Judgement" means that we know of no measurement that would settle the question.

# %%
from ftlab.decide import RULES

pd.DataFrame([{"rule": r.name, "because": r.reason, "source": r.source} for r in RULES]).set_index("rule")

# %% [markdown]
# ## How many examples?
#
# Advice on this goes from ten to ten thousand, and each figure comes from another task, another model and other rows.
#
# So measure: train on a quarter, on half and on all of what you have, with as many steps each, and score each on the same
# held-out cases. If the score no longer rises, more of the same examples will not help much.
# [04b](04b_how_many_rows.ipynb) has the figures, shows how to read such a curve, and lets you train one point of your own.

# %% [markdown]
# ## Does it pay?
#
# A fine-tuned model often does with a short prompt, which makes each call cheaper. But the training costs something
# first. If it costs 1,000 USD and each call saves 0.002 USD, it has paid for itself after 500,000 calls: at 4,000 a day, in 125 days. (The
# run itself is mostly one of the small sums; labels, evaluation and upkeep are the large ones.)
#
# **Exercise (level 2).** Write `break_even(one_time_usd, usd_per_call_prompted, usd_per_call_tuned)`: after how many calls has
# the training paid for itself? Return `math.inf` if it never does. Think of the case where the tuned call is not
# cheaper.

# %% tags=["exercise"]
import math


def break_even(one_time_usd, usd_per_call_prompted, usd_per_call_tuned):
    # solution
    saved = usd_per_call_prompted - usd_per_call_tuned
    return one_time_usd / saved if saved > 0 else math.inf
    # end solution


# %%
from ftlab.exercises.decide import check_break_even

check_break_even(break_even)

# %% [markdown]
# A real bill has more lines: a server by the hour, retraining, the day on which the service retires the model.
# [10](10_count_the_cost.ipynb) adds them up.
#
# ## What you have seen
#
# - Prompt first, retrieval second, training last. Many products use all three.
# - Facts belong in the prompt. A format, a style and a narrow decision can be trained into the
#   [weights](GLOSSARY.md#parameter).
# - Advice is only as good as the answers behind it. Find the one answer that would change it, and measure that.
# - "Do not fine-tune" is a possible result. Ask rules and chat models so that they can say it.

# %% [markdown]
# ## What would you do?
#
# Decide first, then open the answer.
#
# **1.** "We have 40 labelled examples, and nobody has tried a prompt. Can we fine-tune by Friday?" What do you do until
# Friday?
#
# <details><summary>One answer</summary>
#
# Measure a prompt, with and without examples, on the 40. They are too few to train on, and just enough to see what fails.
# Then ask again with the number that was missing.
#
# </details>
#
# **2.** The advice is to fine-tune. The last list says that a prompt of 87 % to 91 % would turn it, and yours reached
# "about 85 %, on 30 cases". Is the advice firm?
#
# <details><summary>One answer</summary>
#
# No. On 30 cases the true value may well lie on the other side. Measure the prompt on some hundred cases before anybody
# labels a row.
#
# </details>
#
# **3.** The answers must be in your house's strict form, about prices that change every day. Prompt, retrieval, or
# training?
#
# <details><summary>One answer</summary>
#
# Retrieval for the prices, whatever else you do. For the form, the prompt and an answer held to the schema first; training
# only if both stay short, and then for the form alone.
#
# </details>
#
# **Read next:** [03 Measure baselines](03_measure_baselines.ipynb), because most cases start with a measured prompt; then
# [16 Your project](16_your_project.ipynb), with a file of your own.
