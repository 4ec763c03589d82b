# ---
# ftlab:
#   reads: [data/services/*.csv, data/limits/*.csv, data/prices/*.csv, data/support_triage/*, data/models/nano/config.json, ftlab/hosted/*.py]
#   headline: the six services side by side, and the verdict on what the stand-in calls a tuned model
# ---

# %% [markdown]
# # Use hosted services
#
# **Question:** how do I do the same at OpenAI, Azure, Vertex, Bedrock, Together or Fireworks, and should I?
# **Minutes:** 14 to read, 2 to run. **Hardware:** any; no GPU, no account.
#
# You prepare the course's support tickets, each of which becomes one JSON record, for six services that tune a model for
# you, compare what they offer, and take one job from upload to verdict. Nothing leaves your machine: the calls go through
# each service's own [SDK](GLOSSARY.md#sdk) to a [stand-in](GLOSSARY.md#stand-in), a small server on your machine that has
# the services' real paths. Name a service and give its key, and the same cells go there.

# %% [markdown]
# ## A stand-in
#
# **The stand-in trains nothing.** Its jobs wait, run and end as a service's do, and what it then calls a tuned model is
# `smol` as it was downloaded. So you learn the way, and what you measure at its end is an untrained model.
#
# `smol` takes a while to start, so it starts now, as a process of its own. `SERVICE = "together"`, or another of the six
# names, leads to the real service instead, with your key ([Keys](#Keys)); then no stand-in is made. Where the price tables of
# the course do not know a price, name a file with yours: `PRICES = load_prices("prices.yaml")`.

# %%
import os

import ftlab
from ftlab.costs.prices import load_prices
from ftlab.hosted.stand_in import StandIn
from ftlab.hosted.stand_in_model import ServedModel
from ftlab.models import smol_or_nano

SERVICE = None  # None: the stand-in. Or openai, azure, vertex, bedrock, together, fireworks: there the cells cost money
PRICES = load_prices()  # of the services, with dates; load_prices(FILE) adds yours (data/prices/README.md)
REAL = SERVICE is not None
SERVICE = SERVICE or "openai"  # whose job goes all the way
if not REAL:
    served = ServedModel(smol_or_nano())  # `transformers serve`, on this machine
    stand_in = StandIn(answer=served.answer).use()  # leads all six SDKs of this process to it
print("real service: what follows costs money, and you will be asked" if REAL else "stand-in: nothing is sent, nothing is paid")

# %% [markdown]
# ## Six services, and how long they last
#
# Services change, and close. So this table has a source and a date for each cell (`data/services/services.csv`), and says how
# old it is.

# %%
import pandas as pd

from ftlab.hosted.services import state_of_services

pd.set_option("display.max_colwidth", None)
services = state_of_services()
head, *lines = services.table()
print(services.age, *services.warnings, sep="\n")
pd.DataFrame(lines, columns=head).set_index("service")

# %% [markdown]
# Read it from the end. Mistral's SDK has no fine-tuning any more; whether it is sold in some other way was not found. OpenAI, which
# most tutorials still begin with, takes no newcomers, and its last day for anybody is written in the table; the models tuned there
# go with their base models a week later. For the closed models of OpenAI, Azure, Google and Amazon we found no way to take the
# weights home (unconfirmed). Together says that you can download them; of Fireworks that is unconfirmed, so try it before you rely
# on it. It is the difference that matters when a service ends. (Azure and Vertex tune open models, too: ask there what you may
# download.)
#
# *Not found* means that nobody could say it from a public page. Ask before you send.

# %% [markdown]
# ## The same rows, six files
#
# `prepare` writes the files in each service's own form, checked by its own rules, and a job that would use them. Nothing is
# sent. The tickets are 200 to train on and 40 to [validate](GLOSSARY.md#validation-set) with. Tokens are counted with the
# tokenizer of `smol`; the services' own count somewhat differently.

# %%
from ftlab.data.schema import check_chat
from ftlab.hosted.prepare import prepare
from ftlab.models import counting_model, load_tokenizer

DATA = "../data/support_triage"
train = check_chat(f"{DATA}/train.jsonl").placed[:200]
validation = check_chat(f"{DATA}/validation.jsonl").placed[:40]
tokenizer = load_tokenizer(counting_model())

MODELS = {
    "openai": "gpt-4.1-mini",
    "azure": "gpt-4.1-mini",
    "vertex": "gemini-3.1-flash-lite",
    "bedrock": "amazon.nova-micro-v1:0:128k",
    "together": "Qwen/Qwen3-8B",
    "fireworks": "accounts/fireworks/models/qwen3-8b",
}
jobs, reports = {}, {}
for service, model in MODELS.items() if not REAL else [(SERVICE, MODELS[SERVICE])]:
    jobs[service], reports[service] = prepare(
        service, model, train, validation=validation, settings={"n_epochs": 3}, tokenizer=tokenizer
    )
jobs[SERVICE]

# %%
import json

for service in jobs:
    with open(jobs[service].files["train"]) as file:
        record = json.loads(file.readline())
    print(f"{service:>10}  {', '.join(record)}: {json.dumps(next(iter(record.values())))[:80]}...")

# %% [markdown]
# Four of the six read OpenAI's `messages`. Google has `contents` with the roles `user` and `model`, Amazon wants its schema's
# name in each row, and both take the [system](GLOSSARY.md#system-prompt) turn out of the conversation.
#
# The rules differ more than the forms. Four rows, each with a fault, before each service:

# %%
from ftlab.data.export import export
from ftlab.data.findings import Row
from ftlab.errors import DataError

question, answer = {"role": "user", "content": "Where is parcel 7?"}, {"role": "assistant", "content": "In Lyon."}
call = {"id": "a", "type": "function", "function": {"name": "find", "arguments": '{"parcel": 7}'}}
FAULTY = {
    "a call without a result": {"messages": [question, {"role": "assistant", "content": None, "tool_calls": [call]}, question, answer]},
    "two questions in a row": {"messages": [question, question, answer]},
    "the words User: in a ticket": {"messages": [{"role": "user", "content": "User: hello"}, answer]},
    "an answer with weight 0": {"messages": [question, answer | {"weight": 0}, question, answer]},
}
FORMS = {"openai": "openai", "azure": "azure", "vertex": "gemini", "bedrock": "bedrock_nova", "together": "together", "fireworks": "fireworks"}


def verdict(row, form):
    """The words of the first problem, or that it is taken."""
    try:
        export([Row(row, "rows.jsonl", 1), *train[:20]], form, ftlab.home() / "11_hosted" / "faulty", force=True)
        return "taken"
    except DataError as error:
        return str(error).split("\n")[0].split(": ", 1)[-1][:60] + "..."


pd.DataFrame({fault: {service: verdict(row, form) for service, form in FORMS.items()} for fault, row in FAULTY.items()}).T

# %% [markdown]
# A refusal is either a rule of the service, which would have found it after the upload or, worse, not at all (a call without its result
# before the next turn trains a model to call and not to wait), or a limit of this export; the message says which. ("This export carries no
# tools" is the second kind: for tools at Google or Amazon read their own pages.)
#
# And each has its limits, as far as they were found; in brackets how sure (H: its own page, L: a hint) and of which month. A file outside
# of them is refused before it is sent; where nobody could find a limit, the service itself will tell you:

# %%
from ftlab.data.limits import limits

NAMES = {
    "rows, at least": "examples_min",
    "rows, at most": "examples_max",
    "tokens a row, at most": "tokens_per_example_max",
    "bytes a file, at most": "file_bytes_max",
}


def shown(limit):
    if not limit or not limit.value.isdecimal():
        return "not found"
    return f"{int(limit.value):,} ({limit.confidence}, {str(limit.source_date)[:7]})"


pd.DataFrame({service: {said: shown(limits(form).get(name)) for said, name in NAMES.items()} for service, form in FORMS.items()})

# %% [markdown]
# ## What would it cost?
#
# Billed are the tokens of your rows, times the [epochs](GLOSSARY.md#epoch); at Together also those of validation rows, each time it
# evaluates. What is not known stays unknown: it is never counted as free.

# %%
from ftlab.hosted.estimate import estimate

BILLIONS = {"together": 8, "fireworks": 8}  # their price goes by the model's size
costs = {service: estimate(job, prices=PRICES, size_b=BILLIONS.get(service)) for service, job in jobs.items()}


def usd(value):
    return "unknown" if value is None else f"{value:.2f}"


pd.DataFrame(
    [
        [cost.model.split("/")[-1], *map(usd, (cost.usd_per_mtok, cost.usd, cost.usd_per_hour)), "none told" if cost.usd_per_month == 0 else usd(cost.usd_per_month), str(cost.retires or "no day is known")]
        for cost in costs.values()
    ],
    index=list(costs),
    columns=["model", "USD a million tokens", "USD for this training", "USD an hour while deployed", "USD a month to keep it", "model retires"],
)

# %% [markdown]
# The training is the small number: where its price is known, 200 tickets cost cents. What can cost are the columns beside it. A
# model at Azure, Together or Fireworks may be billed by the hour or the minute that it stands ready, and where that price is in the table,
# one day of it costs far more than this training. (At Fireworks `deploy` asks for a machine that goes away while nobody calls.)
# [10](10_count_the_cost.ipynb) reckons with both.
#
# And a training is paid back only while its model answers.
#
# **Exercise (level 2).** What does the training add to each call, if the model has so many days left? Give `None` where it has none.

# %% tags=["exercise"]
def usd_a_call(training_usd, calls_a_day, days_left):
    # solution
    calls = calls_a_day * days_left
    return training_usd / calls if calls > 0 else None
    # end solution


# %%
from ftlab.exercises.hosted import check_usd_a_call

check_usd_a_call(usd_a_call)

# %% [markdown]
# ## Which one fits?
#
# Write down what you cannot do without, and see who is left. These four questions decide more than the price does:

# %%
state = {(fact.service, fact.fact): fact.value for fact in services.facts}
QUESTIONS = {
    "takes newcomers": lambda name: state[name, "state"].startswith("open"),
    "trains on preferences (DPO)": lambda name: "DPO" in state[name, "methods"] or "preference" in state[name, "methods"],
    "no machine is billed while nobody calls": lambda name: None
    if "not found" in state[name, "calling"]
    else "hour" not in state[name, "calling"] and "minute" not in state[name, "calling"],
    "the weights can be taken home": lambda name: "downloaded" in state[name, "weights"],
}
WORDS = {True: "yes", False: "no", None: "not known"}
pd.DataFrame({question: {name: WORDS[holds(name)] for name in MODELS} for question, holds in QUESTIONS.items()})

# %% [markdown]
# No service has four times yes. Fireworks comes closest: its machine can go away while nobody calls, at the price of a slow first answer
# and of what it runs before it goes. (Azure has a free tier for trials, which ends after a day. A "no" in the last row means that no way was
# found, as above.) With few calls a day and a model that may retire, the last two columns
# weigh most; with rows that must stay in one country, ask about the `data` column above first; with thousands of calls an
# hour, the idle hours vanish and open weights are the safer house.

# %% [markdown]
# ## From upload to model, by hand
#
# This is all that you would type in a project of your own at OpenAI: three calls.

# %%
from openai import OpenAI

if not REAL:  # by hand nobody asks you: with a real key, these calls upload and pay
    client = OpenAI(api_key=os.environ["OPENAI_API_KEY"], base_url=os.environ["OPENAI_BASE_URL"])
    uploaded = client.files.create(file=open(jobs["openai"].files["train"], "rb"), purpose="fine-tune")
    by_hand = client.fine_tuning.jobs.create(
        model="gpt-4.1-mini",
        training_file=uploaded.id,
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}},
        suffix="triage",
    )
    print(uploaded.id, by_hand.id, by_hand.status)
    print(client.fine_tuning.jobs.retrieve(by_hand.id).status)

# %% [markdown]
# Simple, and it has three holes. Nobody asked before the money was spent. If your machine dies between the second call and
# the third, a job runs of which you do not know the name. And who runs the cell twice pays twice.
#
# `submit` makes the same calls and closes the holes. It shows the estimate and asks; it writes each answer to a file before
# the next step; and before it creates a job it looks whether the service has one with its mark.

# %%
from ftlab.hosted.jobs import submit, watch

YES = not REAL  # nothing is paid at the stand-in; at a service you are asked, and only "yes" goes on
paid = {"yes": YES, "prices": PRICES}
job = submit(jobs[SERVICE], **paid, max_usd=2.00, size_b=BILLIONS.get(SERVICE))

# %% [markdown]
# Run it again, as you would after a crash or by mistake:

# %%
job = submit(jobs[SERVICE], **paid, max_usd=2.00, size_b=BILLIONS.get(SERVICE))

# %% [markdown]
# The same job, and no second bill. Now the hard case: the service makes the job, and the line breaks before its answer
# reaches you. The stand-in can do that on demand.

# %%
from ftlab.errors import ModelError

if not REAL:
    stand_in.fail("together_create", "lost")  # it happens, and the answer is lost
    try:
        submit(jobs["together"], yes=True, max_usd=2.00, size_b=8, say=lambda text: None)
    except ModelError as error:
        print("failed: ", error)
    found = submit(jobs["together"], yes=True, max_usd=2.00, size_b=8, say=lambda text: None)
    print("again:  ", found.log[-1])

# %% [markdown]
# *Found*, not *created*: the job that was lost is the one that you go on with. In the tests of this course, the process is
# killed before and after every single request of a submission, a deployment and a deletion, at each of the six services.

# %% [markdown]
# ## Watch
#
# A job takes minutes to hours, and no service promises how many. `watch` looks more and more rarely, goes on after errors, and
# may be stopped: what it knows is in the job's file.

# %%
job = watch(job, every=0.2 if not REAL else 10)
job

# %% [markdown]
# What a job told stands in `job.events`, and its loss curve comes from `loss_curve(job)` where the service reports one. The
# stand-in reports none, for it has nothing to report.

# %% [markdown]
# ## Is it better?
#
# A tuned model at a service is a system like any other: the same tickets, the same metric, the same
# [gate](GLOSSARY.md#gate). The rival is the linear classifier of [03](03_measure_baselines.ipynb), which needs no language
# model, trained on the same 200 tickets. Twelve held-out tickets, so that it takes a minute here; a real verdict wants a few
# hundred. Where a model answers only once it is deployed, `deploy` does that first, and waits; at OpenAI there is nothing to do.
# `max_usd` is compared once with the price of a *day* of it, before anything is made. It stops nothing afterwards: the deployment goes on
# billing until `delete`, so set a budget alarm at the service, too.

# %%
from ftlab.hosted.jobs import deploy

job = deploy(job, **paid, max_usd=200)

# %%
from ftlab.baselines.linear import train_linear
from ftlab.data.schema import read_chat, write_chat
from ftlab.hosted.evaluate import evaluate_tuned
from ftlab.kept import write_predictions

OUT = ftlab.home() / "11_hosted"
test = read_chat(f"{DATA}/test.jsonl")[: 12 if not REAL else 200]
write_chat(test, OUT / "test.jsonl", force=True)
linear = train_linear([row.data for row in train], json.load(open(f"{DATA}/schema.json")))
write_predictions(OUT / "linear.jsonl", test, linear.answer([row["messages"][-2]["content"] for row in test]).texts)

judged = evaluate_tuned(
    job, OUT / "test.jsonl", OUT / "linear.jsonl", OUT, **paid, max_usd=0.50, max_new_tokens=64, concurrency=2
)
judged.answers

# %% [markdown]
# The dollars are what the service would have counted. These are two of the answers:

# %%
for row, text in list(zip(test, judged.answers.texts, strict=True))[:2]:
    print("ticket:", row["messages"][1]["content"][:90], "...\nanswer:", text.replace("\n", " "), "\n")

# %% tags=["headline"]
print("verdict on", "the tuned model:" if REAL else "what the stand-in calls a tuned model:", judged.gate.verdict)
judged.gate

# %% [markdown]
# As it must be: an untrained model that was told `Triage the ticket.` answers in prose, and most answers were cut off at 64 tokens;
# before you blame a training, raise that number. The gate does not know that it was a stand-in; it sees answers, and says no. Had
# the service not trained at all, this is the line in which you would find out, and *succeeded* above would have told you nothing.
# (A wrong version of the file may show less plainly: compare the number of rows and the file's name in the job, too. And at a real
# service add a second rival, the untrained model with your best prompt: the gate then says whether the training bought anything.) A
# status says that a job ended. It never says that the model is good.

# %% [markdown]
# ## Preferences
#
# A job on [preference pairs](GLOSSARY.md#preference-pair) is the same call with other rows, where the service offers it.
# Pairs in a job for SFT, or the other way round, are refused before anything is sent:

# %%
pairs = [
    Row({"messages": row.data["messages"], "rejected": [{"role": "assistant", "content": "I will look into it."}]}, row.file, row.line)
    for row in train[:20]
]
preferences, report = prepare("fireworks", MODELS["fireworks"], pairs, method="dpo", settings={"n_epochs": 1}, tokenizer=tokenizer)
with open(preferences.files["train"]) as file:
    print(list(json.loads(file.readline())))
try:
    prepare("fireworks", MODELS["fireworks"], pairs, method="sft")
except DataError as error:
    print(str(error).split("\n")[0][:150])

# %%
if not REAL:
    preferences = watch(submit(preferences, yes=True, max_usd=2.00, size_b=8), every=0.1)

# %% [markdown]
# The price is twice that of SFT there. What pairs should be, and what such a training changes, is in
# [09](09_learn_preferences.ipynb).

# %% [markdown]
# ## Deploy, and clean up
#
# At Azure, Bedrock, Together and Fireworks a tuned model answers only from a deployment. `deploy` says what an hour costs
# before it asks, and then waits until the model answers:

# %%
from ftlab.hosted.jobs import delete

if not REAL:
    quiet = {"say": lambda text: None}
    other = submit(jobs["fireworks"], yes=True, max_usd=2.00, size_b=8, **quiet)
    other = deploy(watch(other, every=0.1, **quiet), yes=True, max_usd=200, every=0.1)
    print("running:", list(stand_in.deployments))
    delete(other, yes=True)
    print("running:", list(stand_in.deployments))

# %% [markdown]
# `delete` ends the deployment first, then takes away the model and the files. Whoever tries services forgets exactly this, and
# finds it on the bill.

# %%
job = delete(job, yes=YES)

# %% [markdown]
# ## Keys
#
# Keys come from the environment, from Colab's secrets, or from a prompt that does not show them; never from a cell. At Google
# and Amazon what their own tools left on your machine comes first. And a service's error may repeat a key, so what it says to a
# wrong one is left out:

# %%
if not REAL:
    os.environ["OPENAI_API_KEY"] = "sk-a-wrong-key-0123456789"
    another, _ = prepare("openai", "gpt-4o-mini", train, tokenizer=tokenizer)
    try:
        submit(another, yes=True, max_usd=2.00, say=lambda text: None)
    except ModelError as error:
        print(error)
    served.stop()

# %% [markdown]
# The stand-in had answered "Incorrect API key provided: sk-a-wrong****6789."; OpenAI does so too. Neither the message, nor
# the job's file, nor a traceback has any of it.
#
# **Exercise (level 3).** A tool call needs its result before the next turn; only in the *last* turn it needs none, since there the model
# learns to call. Write `has_no_answer(row)`: true where the id of some call that is not in the last turn has no turn of the role `tool` that
# names it in `tool_call_id`.

# %% tags=["exercise"]
def has_no_answer(row):
    # solution
    calls = {call["id"] for turn in row["messages"][:-1] for call in turn.get("tool_calls", [])}
    results = {turn.get("tool_call_id") for turn in row["messages"] if turn["role"] == "tool"}
    return bool(calls - results)
    # end solution


# %%
from ftlab.exercises.hosted import check_has_no_answer

check_has_no_answer(has_no_answer)

# %% [markdown]
# ## Summary
#
# - Look first how long the service, and the model, will be there; a model of your own that can be taken home outlives both.
# - The same rows need another form, and pass other rules, at each service. Check before you upload.
# - Training is cheap. Hosting by the hour, and a model that nobody calls, are not. What is unknown is not free.
# - Between upload and create a process may die: keep what the service answered, give the job a mark, look before you create.
# - *Succeeded* is a status. The gate is the verdict.
#
# From a shell: `ftlab hosted prepare`, `estimate`, `submit`, `watch`, `evaluate`, `deploy`, `delete`, each with `--service`.
# `python -m ftlab.hosted.stand_in` starts a stand-in for it, and prints the variables that lead there.

# %% [markdown]
# ## What would you do?
#
# Decide first, then open the answer.
#
# **1.** A tutorial of last year begins with a fine-tune at OpenAI. You have an account and have never tuned there. How do
# you start?
#
# <details><summary>One answer</summary>
#
# Not there: it takes no newcomers, and what is tuned there ends with its base model. Look at the table first, then at the
# days on which each model retires, then at prices.
#
# </details>
#
# **2.** The connection broke while a job was being created, by hand, with three calls. Do you run the cell again?
#
# <details><summary>One answer</summary>
#
# Not before you have listed the jobs of the service. It may exist and be billed. (`submit` looks for its own mark, which is
# why running it twice is safe.)
#
# </details>
#
# **3.** A job has *succeeded* on Friday evening, and somebody has deployed the model so that it is ready on Monday. What do
# you do on Friday?
#
# <details><summary>One answer</summary>
#
# Take the deployment down: it may bill by the hour, called or not. And *succeeded* is a status: on Monday evaluate it, with
# the gate, before anybody deploys.
#
# </details>
#
# **Read next:** [10 Count the cost](10_count_the_cost.ipynb) for the months after, [07 Evaluate](07_evaluate.ipynb) for the
# gate, and [06 Train with Unsloth](06_train_with_unsloth.ipynb) for the same training on a machine of your own.
