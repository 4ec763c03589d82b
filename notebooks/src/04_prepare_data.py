# ---
# ftlab:
#   reads: [data/support_triage/raw/*.jsonl, data/support_triage/schema.json, data/support_triage/train.jsonl, data/support_triage/validation.jsonl, data/support_triage/test.jsonl, data/recorded/data/results.json, data/recorded/data/predictions/*/test.fine_tuned.jsonl, data/recorded/triage/points.json, data/recorded/triage/predictions/*drift*, data/recorded/triage/predictions/test.fine_tuned.jsonl, data/prompt_kit/2_draft_examples.md, data/limits/*.csv, data/prices/*.csv, data/models/nano/*.json, data/models/nano/*.jinja, data/models/nano/model.safetensors]
#   headline: what more training rows buy
# ---

# %% [markdown]
# # Prepare data
#
# **Question:** is my data fit to train on, and is there enough of it?
# **Minutes:** 3. **Hardware:** any; two CPU cores are enough.
#
# A help desk gives you its export. You find out what is in it, repair what has only one right repair, and decide about
# the rest. Then come three questions about rows: how many are enough, what the cleaning was worth, what another
# [system prompt](GLOSSARY.md#system-prompt) does. Last, you have more rows drafted and review them.
#
# The checks are the same for any model. The answers to the three questions come from `smol`, a chat model of 135 million
# [parameters](GLOSSARY.md#parameter) whose trainings were recorded: a quarter of an hour each, too long to wait for here.
# What you train yourself on this page is `nano`, with 3.5 million parameters and in twenty seconds.

# %%
import ftlab  # first: it quiets the libraries below
from unsloth import FastLanguageModel  # before transformers and trl, which it patches

from pathlib import Path

MODEL = "nano"  # its tokenizer counts the tokens; "unsloth/Qwen3-4B-Instruct-2507" on a GPU
MAX_LENGTH = 512  # tokens in the longest row that the training below reads
RAW = Path("../data/support_triage/raw/dirty.jsonl")
TRAIN = Path("../data/support_triage/train.jsonl")
VALIDATION = Path("../data/support_triage/validation.jsonl")
TEST = Path("../data/support_triage/test.jsonl")
OUT = ftlab.home() / "04_prepare_data"

# %% [markdown]
# ## What came from the help desk?
#
# Always read some rows first. A training file is [JSONL](GLOSSARY.md#jsonl): one JSON object a line. Three lines, as
# they are on disk:

# %%
lines = RAW.read_bytes().splitlines()
for number in (7, 9, 71):
    print(f"line {number}: {lines[number - 1].decode()}\n")

# %% [markdown]
# Line 7 is sound: a system message, a ticket, and the answer, which is a JSON record of six fields. In line 9 the
# record breaks off in the middle. In line 71 one label has a capital letter, and to a model `Change_details` is not
# the label `change_details`. Nobody can read a whole export with such care, so a program does the checks and you read
# what it finds.
#
# The faults in this file were planted, and a key says where they are (`data/support_triage/raw/README.md`). We use
# the key only to see what the checks did with them.

# %% [markdown]
# ## Can it be read at all?
#
# First the form only: bytes, JSON, roles, turns.

# %%
import pandas as pd

from ftlab.data.schema import check_chat

form = check_chat(RAW)
usable = form.placed
print(f"{form.rows_kept:,} of {form.rows_in:,} rows can be read as chats; {form.rows_in - form.rows_kept} cannot")

severities = ["error", "warning", "info"]  # worst first
classes = pd.DataFrame(form.findings).groupby(["severity", "code"]).size()
classes.sort_values(ascending=False).loc[severities].to_frame("found")

# %% [markdown]
# An *error* means that the row cannot be used. A *warning* means that some tools read the row differently, an *info* is
# only worth knowing. One row can have several findings. Some loaders stop at the first error and others skip the row
# without a message, so know the number before you train.

# %% [markdown]
# ## What do the findings look like?
#
# Now all checks in one call: form, answers and labels, repeats, private data, [tokens](GLOSSARY.md#token), and
# whether a ticket of the [validation set](GLOSSARY.md#validation-set) is also in the export. The table has one line
# for each kind of finding, with the first example of it.

# %%
from ftlab.checks.check import check

report = check(RAW, against=VALIDATION, model=MODEL, max_length=MAX_LENGTH)
report

# %% [markdown]
# Every message names file, line and field, says what is wrong and what to do. Fewer rows are without an error now than
# could be read above, because copies of validation tickets, control tokens in a text and answers cut away by
# `MAX_LENGTH` are errors too. You need not read the whole table: the next sections take the important kinds one by one.
#
# **Your own file:** put its path in place of `RAW`, and your held-out file (or `None`) in place of `VALIDATION`. From a
# shell it is `ftlab check my.jsonl --against my_test.jsonl --model YOUR_MODEL`. A line needs at least
# `{"messages": [{"role": "user", "content": ...}, {"role": "assistant", "content": ...}]}`.

# %% [markdown]
# ## How long are the rows?
#
# A trainer reads at most `max_length` tokens of a row. Count before it does, with the model's own
# [tokenizer](GLOSSARY.md#tokenizer):

# %%
import matplotlib.pyplot as plt

from ftlab.checks.tokens import lengths
from ftlab.models import load_tokenizer
from ftlab.plots import show

tokenizer = load_tokenizer(MODEL)
counted = lengths(usable, tokenizer)
over = counted.share_over(MAX_LENGTH)
fig, ax = plt.subplots(figsize=(7, 2.6))
ax.hist(counted.total, bins=60, color="#0072b2")
ax.axvline(MAX_LENGTH, color="#D55E00", ls="--", lw=1.8)
ax.annotate(f" max_length {MAX_LENGTH}", (MAX_LENGTH, 1), xycoords=("data", "axes fraction"), va="top", color="#A34700")
ax.set(xlabel="tokens in a row", ylabel="rows (logarithmic)", yscale="log")
show(
    fig,
    f"Histogram of {len(counted.total):,} row lengths in tokens, median {counted.percentile(50):.0f}, longest "
    f"{max(counted.total):,}; {over:.1%} lie beyond max_length {MAX_LENGTH}.",
)
print(f"half of the rows have at most {counted.percentile(50):.0f} tokens, the longest has {max(counted.total):,}", end="; ")
print(f"{over:.1%} are longer than {MAX_LENGTH}")

# %% [markdown]
# The few rows right of the line are too long, and the answer is at the end of a row. How many rows does the trainer
# really train on?

# %%
report.trained

# %% [markdown]
# It says nothing about the rows that it loses. A row whose whole answer is cut away teaches nothing. A row with half an
# answer is worse: it teaches the model to stop in the middle. Another trainer loses other rows, by rules that change
# with its versions, so ask it: `ftlab export --to axolotl` (or `llama_factory`) writes its files and names the command.

# %% [markdown]
# ## Is every label there often enough?
#
# A label that is rare in training is learned badly. First one field of the export:

# %%
from ftlab.checks.labels import label_table

label_table(usable, "urgency")

# %% [markdown]
# Four values are meant. The others are spellings of these four (`P1` and `P2` appear twice because of a space at the
# end), and a model would learn each spelling as another label. The shares do not add up to 100 %, because some
# answers have no urgency at all.
#
# Now two fields beside the [test set](GLOSSARY.md#test-set), which stands for the tickets that will come. (Counting its
# labels does no harm; choosing anything by its scores would.)

# %%
from ftlab.checks.plots import shares_alt, shares_figure

test_placed = check_chat(TEST).placed
for field in ("queue", "urgency"):
    tables = {"export": label_table(usable, field), "test set": label_table(test_placed, field)}
    show(shares_figure(tables), shares_alt(tables))

# %% [markdown]
# No label is missing, and the two mixes are similar. Where the marks of one line are far apart, a model learns to
# expect a label more or less often than it will be right. The export has more `P3` than the test set. Are there more
# such tickets, or does somebody write `P3` too easily? The section on wrong labels answers that.
#
# Labels are one kind of coverage, what people write about is another: a product with few rows is a weak spot. The
# finding `rare_label` in the table above names such values.

# %% [markdown]
# ## Who repeats whom?
#
# A bracket joins two rows whose tickets are nearly the same. The farther apart the two lines, the higher the bracket.

# %%
from ftlab.data.similar import clusters
from ftlab.checks.plots import repeats_alt, repeats_figure

groups = clusters(usable)
show(repeats_figure(groups), repeats_alt(groups))
again = [(group[0], row) for group in groups for row in group[1:]]
differ = sum(a.data["messages"][-1] != b.data["messages"][-1] for a, b in again)
print(f"{len(again)} rows repeat an earlier one; {differ} of them have another answer")

# %% [markdown]
# The brackets are narrow: a ticket comes again soon after the first time, sent twice or copied by the help desk.
# Above the line (blue) it only counts twice. Below it (orange) is a [contradiction](GLOSSARY.md#contradiction):
# nearly the same ticket with another answer.

# %% [markdown]
# ## Which answer is right?
#
# The first pair of that kind:

# %%
from IPython.display import display


def ticket(row):
    return row.data["messages"][-2]["content"]


def answer(row):
    return row.data["messages"][-1]["content"]


pair = next(group for group in groups if len({answer(row) for row in group}) > 1)
side_by_side = {f"line {row.line}": [ticket(row), answer(row)] for row in pair}
with pd.option_context("display.max_colwidth", None):
    display(pd.DataFrame(side_by_side, index=["ticket", "answer"]))

# %% [markdown]
# Whatever the model answers, one of the two rows counts it as wrong. Which answer is right only somebody can tell who
# knows the label policy, the rules by which tickets are labelled. If there are many such pairs, the policy itself is
# unclear, and no training repairs that.

# %% [markdown]
# ## Does it hold what I test on?
#
# A ticket that is in the training data and in the validation set is a [leak](GLOSSARY.md#leakage). One of them, which
# is not letter for letter the same:

# %%
import re

from ftlab.data.schema import read_chat

leaks = [finding for finding in report.findings if finding.code.startswith("leak")]
near = next(finding for finding in leaks if finding.code == "leak_near")
copy_of = int(re.search(r"(\d+) of the evaluation set", near.message)[1])  # its line in the validation set
row_at = {row.line: row for row in usable}
print(f"{len(leaks)} rows of the export are in the validation set, letter for letter or nearly\n")
print(f"export, line {near.line}:     {ticket(row_at[near.line])}\n")
print(f"validation, line {copy_of}: {read_chat(VALIDATION)[copy_of - 1]['messages'][1]['content']}")

# %% [markdown]
# Find the letters that differ. A search for equal texts misses such a row, and the score then measures what the model
# remembers, not what it can do. So one compares pieces of the texts.
#
# **Exercise.** Write `is_leak(train_text, test_text)`. Words are `re.findall(r"\w+", text.lower())`; a run is five
# words in a row, so "the kettle leaks at the spout" has two runs. Return true when at least half of the different
# runs of the test text are also in the training text. A test text of fewer than five words is no leak.

# %% tags=["exercise"]
def is_leak(train_text, test_text):
    # solution
    def runs(text):
        words = re.findall(r"\w+", text.lower())
        return {tuple(words[at : at + 5]) for at in range(len(words) - 4)}

    known, asked = runs(train_text), runs(test_text)
    return len(asked) > 0 and len(asked & known) >= 0.5 * len(asked)
    # end solution


# %%
from ftlab.exercises.prepare_data import check_is_leak

check_is_leak(is_leak)

# %% [markdown]
# ## What should never be learned by heart?
#
# A model can repeat word for word what it was trained on. So look for keys, card and account numbers, mail addresses
# and phone numbers. The findings do not show them in full.

# %%
private = ("secret", "card_number", "iban", "email", "phone")
firsts = [(code, len(found), found[0].line, found[0].message) for _, code, found in report.classes if code in private]
with pd.option_context("display.max_colwidth", None):
    display(pd.DataFrame(firsts, columns=["code", "fields", "first line", "message"]))

# %% [markdown]
# The repair below puts a name in angle brackets in place of each. In one sentence:

# %%
from ftlab.checks.privacy import mask_private

mask_private("Jo Hale, 4 Mill Lane: refund card 4111 1111 1111 1111, order 195925, or write to jo@hale.internal please.")

# %% [markdown]
# The card number and the mail address are gone. The order number stays: the model needs it. **The name and the street
# stay too**, because no pattern can find them reliably. Read a sample yourself, and ask the person who is responsible
# for the customers' data.
#
# How does the check tell a card number from any other sixteen digits? By its first digits, and by its last, which is
# computed from the others.
#
# **Exercise.** Write `luhn(digits)`, true or false, for a number given as text. Count from the right: the last digit
# stays as it is, the one before it is doubled, the next stays, and so on. Where doubling gives more than 9, subtract
# 9. The number is valid when the sum ends in 0. For example 59: 9 + (2 x 5 - 9) = 10, valid.

# %% tags=["exercise"]
def luhn(digits):
    # solution
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
    # end solution


# %%
from ftlab.exercises.prepare_data import check_luhn

check_luhn(luhn)

# %% [markdown]
# ## Repair what has one right repair
#
# `fix` writes a repaired copy, and lists every change and every row that it leaves out. One change of each kind:

# %%
from ftlab.checks.fix import fix

fixed = fix(RAW, OUT / "fixed.jsonl", force=True)
changes = pd.DataFrame(fixed.changes)
changes.groupby("code").first().assign(changes=changes["code"].value_counts())

# %%
print(f"{fixed.rows_in:,} rows read = {fixed.rows_out:,} written + {len(fixed.dropped)} left out:")
pd.Series([row.code for row in fixed.dropped]).value_counts().to_frame("rows left out")

# %% [markdown]
# The numbers add up, so no row is lost without a note. Left out are rows that cannot be used, and the second of two
# equal rows.

# %% [markdown]
# ## What must a person decide?
#
# The same checks again, on the repaired copy.

# %%
left = check(fixed.out, against=VALIDATION, model=MODEL, max_length=MAX_LENGTH)
pd.DataFrame([(sev, code, len(found)) for sev, code, found in left.classes], columns=["severity", "code", "found"])

# %% [markdown]
# These need a decision. Does a ticket in Spanish belong here? Which of two answers is wrong? Is `<p>` left over from
# a web page, or did the customer write it? Write down what you decide, and why:
#
# - **One system prompt for all rows**, the one that the product will send.
# - **Keep** other languages (customers do write in them), rare labels and long texts that fit.
# - **Drop both** rows of a contradiction until somebody has looked at them.
# - **Drop** records that break the label policy. `schema.json` holds it as a [schema](GLOSSARY.md#schema).
# - **Drop** everything else that was found: leaks, near copies, broken answers, remains of markup. With this many rows
#   left, that is cheaper than to mend each by hand.

# %%
import json

from jsonschema import Draft202012Validator

from ftlab.evaluation.metrics import parse_record

KEEP = {"other_language", "rare_label", "length_outlier", "system_drift", "missing_system"}
POLICY = Draft202012Validator(json.loads(TEST.with_name("schema.json").read_text()))

fixed_rows = check_chat(fixed.out).placed
drop = {finding.line for finding in left.findings if finding.code not in KEEP} - {None}  # None: of the whole file
for group in clusters(fixed_rows):
    if len({answer(row) for row in group}) > 1:  # a contradiction: all rows of the group go
        drop |= {row.line for row in group}
outside = {row.line for row in fixed_rows if row.line not in drop and not POLICY.is_valid(parse_record(answer(row)))}
drop |= outside
print(f"{len(drop)} rows to drop, {len(outside)} of them found only by the label policy")

# %%
from ftlab.data.schema import write_chat

SYSTEM = {"role": "system", "content": "Triage the ticket."}

clean = [
    row.data | {"messages": [SYSTEM, *(turn for turn in row.data["messages"] if turn["role"] != "system")]}
    for row in fixed_rows
    if row.line not in drop
]
write_chat(clean, OUT / "clean.jsonl", force=True)
print(f"{len(fixed_rows):,} rows - {len(drop)} dropped = {len(clean):,} clean rows")
clean_report = check(OUT / "clean.jsonl", against=VALIDATION, model=MODEL, max_length=MAX_LENGTH)
clean_report

# %% [markdown]
# What is still found is what you chose to keep, and no trainer loses a row any more.

# %% [markdown]
# ## How good is the checker?
#
# Now open the key. *[Recall](GLOSSARY.md#recall)*: of the planted faults, how many were found?
# *[Precision](GLOSSARY.md#precision)*: of the findings, how many are faults? (*Found* also counts faults that come
# along with another one, so it can be larger than *planted*. A few kinds are reported once for the file or once for a
# label.)

# %%
from collections import defaultdict

key = [json.loads(line) for line in RAW.with_name("key.jsonl").read_text(encoding="utf-8").splitlines()]
lines_found = defaultdict(set)
for finding in report.findings:
    lines_found[finding.code].add(finding.line)


def score(code, items):
    found = lines_found[code]
    hits = [item for item in items if found & {item["line"], item["partner"], None}]  # None: of the whole file
    if code == "rare_label":  # reported once for a label
        hits = [item for item in items if item["note"] in {hit["note"] for hit in hits}]
    planted = [item for item in items if not item["follows_from"]]  # the others come with another fault of the row
    right = found & {None, *(line for item in items for line in (item["line"], item["partner"]))}
    recall = sum(item in hits for item in planted) / len(planted)
    return {"code": code, "planted": len(planted), "found": len(found), "recall": recall,
            "precision": len(right) / len(found) if found else None}  # fmt: skip


codes = dict.fromkeys(item["code"] for item in key)
quality = pd.DataFrame([score(code, [item for item in key if item["code"] == code]) for code in codes])
perfect = (quality["recall"] == 1) & (quality["precision"] == 1)
print(f"{perfect.sum()} of {len(quality)} kinds have recall 1 and precision 1. The others:")
quality[~perfect].sort_values("recall").round(2).set_index("code")

# %% [markdown]
# These faults were planted by the people who wrote the checks, so expect less on your own data. And look at the first
# line: of the wrong labels, the checks found none.

# %% [markdown]
# ## What no checker finds: wrong labels
#
# A row with a wrong label looks perfect. It can be read, and its label exists; only the policy says otherwise. What
# you *can* do is to compare the people who labelled. For each agent and field, the table shows the label that the
# agent gives more often than the median agent does. Where the agent's mix of labels differs from that of the others by
# more than chance explains, a *p* is added: how often chance alone would make such a difference. (A chi-squared test;
# shown below 0.01, after Holm's correction for so many comparisons.)

# %%
from scipy.stats import chi2_contingency
from statsmodels.stats.multitest import multipletests

answers = pd.DataFrame([{"agent": row["agent"], **json.loads(row["messages"][-1]["content"])} for row in clean])
agents, fields = sorted(answers["agent"].unique()), ("queue", "urgency", "tone")


def most_above(field):
    shares = pd.crosstab(answers["agent"], answers[field], normalize="index")
    excess = 100 * (shares - shares.median())
    return excess.idxmax(axis=1) + excess.max(axis=1).map(" {:+.0f} points".format)


def p_value(agent, field):
    return chi2_contingency(pd.crosstab(answers["agent"] == agent, answers[field])).pvalue


habits = pd.DataFrame({field: most_above(field) for field in fields})
pairs = [(agent, field) for agent in agents for field in fields]
for (agent, field), p in zip(pairs, multipletests([p_value(*each) for each in pairs], method="holm")[1], strict=True):
    habits.loc[agent, field] += f", p = {p:.0e}" if p < 0.01 else ""
habits

# %% [markdown]
# Two agents stand out clearly: one writes the tone `neutral` far too often, one the urgency `P3` (the `P3` from
# above). A third, agent-03, gives other queues than the rest, spread over several labels. A small *p* is not proof of
# a fault: an agent may simply get other tickets. Read ten rows of each, then you know. Here the key, which nobody has
# in real life, can tell:

# %%
wrong = {row_at[item["line"]].data["id"] for item in key if item["code"] == "wrong_label"}
by_agent = pd.Series([row["agent"] for row in clean if row["id"] in wrong]).value_counts()
print(f"{by_agent.sum()} of {len(clean):,} clean rows ({by_agent.sum() / len(clean):.0%}) have a wrong label:", by_agent.to_dict())

# %% [markdown]
# The wrong labels come from these three agents, and all the cleaning so far has left them in. The cure is to have the
# tickets of these agents labelled again by somebody else. The cheap way is to leave their rows out.

# %% [markdown]
# ## One row, five formats
#
# The same conversation has several usual forms. TRL reads the first two, services mostly the first; `sharegpt` and
# `alpaca` are common in Axolotl, LLaMA-Factory and published data sets.

# %%
from ftlab.data.formats import from_messages
from ftlab.errors import DataError

chat = {"messages": clean[0]["messages"]}
for name in ("messages", "prompt_completion", "sharegpt", "alpaca", "instruction"):
    try:
        print(f"{name}: {json.dumps(from_messages(chat, name))}\n")
    except DataError as error:
        print(f"{name}: cannot hold it. {error}\n")

# %% [markdown]
# Four forms hold the row without loss. The fifth has no place for a system message. A converter that writes only what
# fits drops it from every row, and the model is trained without the [prompt](GLOSSARY.md#prompt) that it later gets.
# `ftlab convert` refuses instead. ([Preference pairs](GLOSSARY.md#preference-pair) have two answers and a form of their
# own: [01](01_what_fine_tuning_changes.ipynb).)

# %% [markdown]
# ## Split by customer
#
# One customer writes several times about one matter. If some of these tickets are trained on and others tested on, the
# test is too easy. So all tickets of a customer go to the same side, here nine tenths to train on, one to validate. The
# queues get the same shares on both sides: a [stratified split](GLOSSARY.md#stratified-split).

# %%
from ftlab.data.splits import split_file

split = split_file(
    OUT / "clean.jsonl",
    OUT / "parts",
    group="customer",
    stratify="queue",
    fractions={"train": 0.9, "validation": 0.1},
    force=True,
)
split

# %% [markdown]
# Every row went to one side, with its customer. What would a random split have done, on the export as it came and on
# the clean rows?

# %%
import random

from ftlab.checks.duplicates import find_leaks


def at_random(rows):
    rows = random.Random(0).sample(rows, len(rows))
    return rows[len(rows) // 10 :], rows[: len(rows) // 10]


splits = {
    "random, as it came": at_random(usable),
    "random, cleaned": at_random(check_chat(OUT / "clean.jsonl").placed),
    "by customer, cleaned": [check_chat(file).placed for file in split.files.values()],
}
rows = []
for name, (train_part, held_out) in splits.items():
    customers = {row.data["customer"] for row in train_part}
    found = [finding.code for finding in find_leaks(held_out, train_part)]
    rows.append({
        "split": name,
        "held out": len(held_out),
        "of a customer that is trained on": sum(row.data["customer"] in customers for row in held_out),
        "the same ticket, or nearly": found.count("leak_exact") + found.count("leak_near"),
        "holds half of the runs of words of a training ticket": found.count("leak_contained"),
    })
pd.DataFrame(rows).set_index("split").T

# %% [markdown]
# From left to right: cleaning removes the copies, the split by customer removes the known customers. The last line counts
# much as your first exercise does, and it stays: tickets of different customers share whole sentences, because these
# tickets were put together from sentence patterns. Ask what repeats in your own data, and split by that. (The test set
# of this course is split by pattern: apart from greetings, its sentences are in no training row.)

# %% [markdown]
# ## How many rows are enough?
#
# These answers are common. Those of practitioners come without a source:
#
# | rows | what is said about them | who says it |
# |---|---|---|
# | 50-100 | the least to begin with | practitioners; some services take fewer, see below |
# | 100-500 | excellent ones can give real gains on a narrow task with [LoRA](GLOSSARY.md#lora) | practitioners |
# | below 500 | a good prompt often wins | other practitioners |
# | 500-1,000 | markedly better | practitioners |
# | 1,000 | enough for a chat model of 65 billion parameters, if each is chosen by hand | LIMA, Zhou et al. 2023, arXiv:2305.11206 |
# | 1,000-10,000 | usual in production | practitioners |
# | 9,000 | chosen out of 52,000, they beat all 52,000 | AlpaGasus, Chen et al. 2023, arXiv:2307.08701 |
#
# And what services accept or advise, each with the date on which we read it:

# %%
from ftlab.data.export import limits

told = [
    (service, {"examples_min": "least", "examples_advised": "advised"}[name], limit.value, limit.source_date, limit.note)
    for service in ("openai", "azure", "gemini", "bedrock_nova", "together", "fireworks")
    for name, limit in limits(service).items()
    if name in ("examples_min", "examples_advised") and limit.value
]
with pd.option_context("display.max_colwidth", None):
    display(pd.DataFrame(told, columns=["service", "kind", "rows", "read on", "note"]))

# %% [markdown]
# What a service accepts is not what helps. The answers differ so much because each is about another task, another model
# and other rows. So measure. For the course's task, support triage, it was recorded: `smol` was fine-tuned on 50, 200 and
# 800 tickets (`python tools/record.py data`). Each time it took 100 steps of eight tickets, so that few tickets are read
# more often and only the rows differ; once more it read the 200 only once. Beside it a [linear
# classifier](GLOSSARY.md#linear-classifier), which learns here and now from the same tickets. The score is [field
# accuracy](GLOSSARY.md#field-accuracy) on 200 test tickets.

# %%
import numpy as np

from ftlab.baselines.linear import train_linear
from ftlab.evaluation.metrics import score_records
from ftlab.evaluation.statistics import clustered_mean

RECORD = Path("../data/recorded/data")
train_rows = read_chat(TRAIN)


def smols_answers(point):
    lines = (RECORD / "predictions" / point / "test.fine_tuned.jsonl").read_text().splitlines()
    return [json.loads(line)["prediction"] for line in lines]


test_rows = read_chat(TEST)[: len(smols_answers("careful"))]
references = [row["messages"][-1]["content"] for row in test_rows]
SCHEMA = json.loads(TEST.with_name("schema.json").read_text())
queues = SCHEMA["properties"]["queue"]["enum"]
patterns = [next(p for p in row["pattern"].split("+") if p.split(".")[1] in queues) for row in test_rows]


def tickets_right(answers):  # for each test ticket, the share of its fields that is right
    return score_records(answers, references).field_accuracy


asked = [row["messages"][1]["content"] for row in test_rows]
sizes = {"few": 50, "careful": 200, "careless_0": 800}  # the points of the record that have correct labels only
right = {
    "fine-tuned": {rows: tickets_right(smols_answers(point)) for point, rows in sizes.items()},
    "linear": {rows: tickets_right(train_linear(train_rows[:rows], SCHEMA).answer(asked).texts) for rows in sizes.values()},
}
read_once = tickets_right(smols_answers("careful_once"))
others = json.loads(Path("../data/recorded/triage/points.json").read_text())
longer = others["seed_1"]["test"]["field_accuracy"]  # of 300 tickets, 190 steps, mixed with everyday chats
for machine, minutes in json.loads((RECORD / "results.json").read_text())["minutes_by_machine"].items():
    print(f"recorded in {minutes:.0f} minutes on {machine}")
pd.DataFrame({who: {rows: f"{np.mean(each):.1%}" for rows, each in by.items()} for who, by in right.items()})

# %% tags=["headline"]
fig, ax = plt.subplots(figsize=(7, 3.2))
told = []
dots = [("fine-tuned", "o", right["fine-tuned"]), ("linear", "s", right["linear"]), ("fine-tuned, read once", "D", {200: read_once})]
for who, marker, by in dots:
    means = [clustered_mean(each, patterns) for each in by.values()]
    ends = [[100 * (m.value - m.low) for m in means], [100 * (m.high - m.value) for m in means]]
    ax.errorbar(list(by), [100 * m.value for m in means], yerr=ends, marker=marker, capsize=3, label=who)
    told.append(f"{who} " + ", ".join(f"{100 * m.value:.1f} % with {rows}" for rows, m in zip(by, means, strict=True)))
ax.plot(300, 100 * longer, "*", ms=12, label="fine-tuned, 190 steps")
told.append(f"fine-tuned for 190 steps {100 * longer:.1f} % with 300")
ax.set(xscale="log", xlabel="training tickets", ylabel="fields right, %", ylim=(0, 101))
ax.set_xticks(list(sizes.values()), [f"{rows}" for rows in sizes.values()])
ax.minorticks_off()
ax.legend(loc="lower right")
show(fig, f"Line chart of fields right by number of training tickets. {'; '.join(told)}.")
print("\n".join(reversed(told)))

# %% [markdown]
# "You need thousands of examples" is a common saying. Here fifty tickets, read fourteen times, take the fine-tune about as
# far as two hundred take the classifier, which has no language to begin with. From 200 to 800 the fine-tune gains nothing,
# and the classifier overtakes it. Are 200 enough, then? Look at the two single marks. Read only once, the same 200 taught
# far less. And the star, a longer training on 300 tickets with larger steps, is above everything. So what ran out at 800
# was not tickets but steps: each was read once. More rows pay only where the training is long enough to use them.
#
# How much of such a curve is luck? Each dot is one training. Three trainings of the triage record saw the same 300
# tickets, and differed in their [seed](GLOSSARY.md#seed) only:

# %%
print(", ".join(f"{others[f'seed_{seed}']['test']['field_accuracy']:.1%}" for seed in (1, 2, 3)), "of the fields right")

# %% [markdown]
# Another choice of tickets would add some luck of its own. So believe no difference that is as small as theirs.

# %% [markdown]
# ## What do twice as many rows buy?
#
# From 50 to 100 rows you need fifty more tickets, from 400 to 800 four hundred more. So ask what each *doubling* brings:
# the slope of a straight line over the number of doublings. Every model answered the same tickets, so each ticket has a
# slope of its own, and their mean has a [confidence interval](GLOSSARY.md#confidence-interval) that knows which tickets
# belong together.

# %%
doublings = np.log2(list(sizes.values()))
doublings -= doublings.mean()


def by_doubling(by):
    slopes = doublings @ np.array(list(by.values())) / (doublings @ doublings)  # of every ticket
    return clustered_mean(slopes, patterns)


for who, by in right.items():
    slope = by_doubling(by)
    seen = "a gain" if slope.low > 0 else "a loss" if slope.high < 0 else "no difference that can be told from chance"
    print(f"{who}, twice as many rows: {100 * slope.value:+.1f} points [{100 * slope.low:+.1f}, {100 * slope.high:+.1f}], {seen}")
print(f"the same 200 tickets four times instead of once: {100 * np.mean(right['fine-tuned'][200] - read_once):+.1f} points")

# %% [markdown]
# The classifier lives on rows. The fine-tune lives on steps as well: the same tickets once more, and again, brought more than
# all doublings together. So "500 rows are too few" may only mean "25 steps are too few": read a small set several times
# before you ask for more of it. And a straight line is a poor picture of a curve that ends flat. When you plan, take the
# slope between your last two sizes.

# %% [markdown]
# **Exercise.** How many rows would a target take? Write `rows_needed(target, rows, score, per_doubling)`: with `rows`
# rows the score is `score`, and each doubling adds `per_doubling` (scores are fractions of 1). Parts of a doubling
# count too: half a doubling is a factor of 2 ** 0.5. If the target is already reached, return `rows`. If a doubling
# adds nothing or takes something away, no number is enough: return `math.inf`.

# %% tags=["exercise"]
def rows_needed(target, rows, score, per_doubling):
    # solution
    import math

    if target <= score:
        return rows
    if per_doubling <= 0:
        return math.inf
    return rows * 2 ** ((target - score) / per_doubling)
    # end solution


# %%
from ftlab.exercises.prepare_data import check_rows_needed

check_rows_needed(rows_needed)

# %% [markdown]
# For five more points on your own task you need `rows_needed(score + 0.05, rows, score, per_doubling)` rows. If
# nobody can label that many, look for better rows or a larger model.

# %% [markdown]
# ## One point of your own
#
# This function is a whole training; [06](06_train_with_unsloth.ipynb) explains every setting. With `MODEL = "smol"` it
# makes a point like those above in ten to thirty minutes; as it stands it trains `nano`.

# %%
import torch
from datasets import Dataset
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer
from unsloth.chat_templates import train_on_responses_only

from ftlab import hardware
from ftlab.models import resolve
from ftlab.training.preflight import check_masks

ON_GPU, PRECISION = torch.cuda.is_available(), hardware.precision(MODEL)
DTYPE = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[PRECISION]


def fine_tune(rows, steps, seed):
    model, tokenizer = FastLanguageModel.from_pretrained(
        model_name=resolve(MODEL), max_seq_length=1024, dtype=DTYPE, load_in_4bit=ON_GPU
    )
    model = FastLanguageModel.get_peft_model(
        model,
        r=16,
        lora_alpha=32,
        lora_dropout=0.0,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        bias="none",
        use_gradient_checkpointing="unsloth" if ON_GPU else False,
        random_state=seed,
    )
    chats = [row["messages"] for row in rows]
    # many templates end with a new line; after that, TRL would add a second end token
    texts = [tokenizer.apply_chat_template(chat, tokenize=False).rstrip() for chat in chats]
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"text": texts}),
        args=SFTConfig(
            output_dir=str(OUT / "trainer"),
            dataset_text_field="text",
            max_length=MAX_LENGTH,
            per_device_train_batch_size=8,
            max_steps=steps,
            learning_rate={"nano": 4e-3, "smol": 2e-3}.get(MODEL, 2e-4),
            warmup_steps=0.05,
            lr_scheduler_type="cosine",
            gradient_checkpointing=ON_GPU,
            bf16=PRECISION == "bf16",
            fp16=PRECISION == "fp16",
            logging_strategy="no",
            save_strategy="no",
            seed=seed,
            report_to="none",
            disable_tqdm=True,
        ),
    )
    trainer.remove_callback(PrinterCallback)
    trainer = train_on_responses_only(trainer)  # learn the answers, not the tickets
    check_masks(trainer.train_dataset, chats, tokenizer, trainer.data_collator)  # stops if it would learn more
    result = trainer.train()
    FastLanguageModel.for_inference(model)
    return model, tokenizer, result


# %% tags=["allow-stderr"]
import random

from ftlab.evaluation.generation import generate

LIVE_ROWS, LIVE_SEED, STEPS = 500, 7, 63  # 63 steps of 8: each row once

held_out = read_chat(VALIDATION)[:120]
drawn = random.Random(LIVE_SEED).sample(train_rows, len(train_rows))[:LIVE_ROWS]
tuned, its_tokenizer, result = fine_tune(drawn, STEPS, LIVE_SEED)
answers_now = generate(tuned, its_tokenizer, [row["messages"][:-1] for row in held_out]).texts
now = score_records(answers_now, [row["messages"][-1]["content"] for row in held_out])
print(f"{MODEL}, {LIVE_ROWS} rows, {result.global_step} steps: {now.field_accuracy.mean():.1%} of the fields right")

# %% [markdown]
# Ten times as many tickets as the first dot of the figure, and a score below it: `nano` has read little English, so the
# tickets have to teach it the language too. The model that you start from decides how many rows are enough. Below, its
# mistakes are useful.

# %% [markdown]
# ## What was the cleaning worth?
#
# Same model, same settings, same number of steps; only the rows differ:
#
# - *export*: all rows that can be read, as they came;
# - *cleaned*: the rows that your cleaning left;
# - *curated*: 500 of those, none of them from the three agents.
#
# "500 curated rows beat 5,000 noisy ones" is a common claim. This is how to test it, with the rows we have. Before you go
# on, write down what you expect.

# %%
DOUBTFUL = {"agent-03", "agent-06", "agent-08"}  # those that stand out above
arms = {
    "export": [row.data for row in usable],
    "cleaned": clean,
    "curated": [row for row in clean if row["agent"] not in DOUBTFUL],
}
arms["curated"] = random.Random(1).sample(arms["curated"], 500)


def flagged(found, placed):
    at = {finding.line for finding in found.findings if finding.severity != "info"}
    return {row.data["id"] for row in placed if row.line in at}


dirty_ids, clean_ids = flagged(report, usable), flagged(clean_report, check_chat(OUT / "clean.jsonl").placed)
rows = {}
for name, arm in arms.items():
    found = dirty_ids if name == "export" else clean_ids
    rows[name] = {
        "rows": f"{len(arm):,}",
        "with an error or a warning": f"{np.mean([row['id'] in found for row in arm]):.1%}",
        "with a wrong label": f"{np.mean([row['id'] in wrong for row in arm]):.1%}",
    }
pd.DataFrame(rows).T

# %% [markdown]
# Cleaning removes what the checks find. It does not remove wrong labels: their share even rises, because other rows
# went. Only leaving out the three agents removes them.
#
# Now `smol`, trained on each for the same 100 steps. (Its cleaned rows are these but one: a finding about the whole file
# stands on line 1, and cost that row.) The bar is the 95 % interval for other tickets; tickets made from one sentence
# pattern count as one group ([07](07_evaluate.ipynb#Are-300-tickets-really-300?) explains why).

# %%
from ftlab.evaluation.statistics import compare
from ftlab.plots import systems_alt, systems_figure

by_arm = {name: tickets_right(smols_answers(name)) for name in arms}
accuracy = {name: clustered_mean(tickets, patterns) for name, tickets in by_arm.items()}
show(systems_figure(accuracy), systems_alt(accuracy))


def against(before, after):
    seen = compare(before, after, metric="field_accuracy", groups=patterns)
    points = f"{100 * seen.delta:+.1f} points [{100 * seen.low:+.1f}, {100 * seen.high:+.1f}]"
    return {"difference": points, "verdict": seen.verdict}


pairs = [("export", "cleaned"), ("cleaned", "curated"), ("export", "curated")]
pd.DataFrame({f"{a} -> {b}": against(by_arm[a], by_arm[b]) for a, b in pairs}).T

# %% [markdown]
# Five hundred curated rows did better than the whole export, by more than chance explains. So the saying holds here, by a
# few points. Neither step alone can be told from chance: cleaning brought a part, and leaving out three people the
# rest. One training of each was made, and the interval covers other tickets, not other draws of rows.
#
# Could this experiment see a difference at all? The three agents erred in the queue, the urgency and the tone. Does the
# model learn these fields?

# %%
labels = pd.DataFrame([json.loads(reference) for reference in references])
fields_by_arm = {name: score_records(smols_answers(name), references).field_table() for name in arms}
most_common = {field: f"{labels[field].value_counts(normalize=True, dropna=False).iloc[0]:.1%}" for field in labels}
pd.DataFrame(fields_by_arm | {"always the most common value": most_common})

# %% [markdown]
# The last column is what the same answer to every ticket would score. A field that is not clearly above it was hardly
# learned, and there a wrong label can hardly do harm, nor its removal good. Before you believe a "no difference" about
# your data, look at this table for your model. What else limits this experiment:
#
# - **Equal steps.** The whole export was not even read once. With more steps the larger set would teach more, and
#   more of its faults too.
# - **The work.** The 500 curated rows were picked from many more that somebody had labelled and you had cleaned. Fewer
#   rows are not less work.
# - **Reasons besides the score.** The raw rows teach keys and card numbers. And some are copies of validation tickets,
#   which would make a score on those too good; the score here is on test tickets.

# %% [markdown]
# ## What do wrong labels, contradictions and copies cost?
#
# In the export about one row in nine has a wrong label, most often in one field. What would careless people do, who get
# every judgement wrong now and then? Faults were planted into 800 training tickets: each of the four fields that a person
# judges got another value by chance, in none or in 40 % of the cases. Beside them stand 200 tickets without a fault, read
# four times, so that the steps are the same again; 200 of which 40 are there twice, the second time with all four fields
# different; and 200 of which half are copies of five tickets.

# %%
planted = {
    "200 careful": "careful",
    "800, none wrong": "careless_0",
    "800, 40 % wrong": "careless_40",
    "200, 40 contradict others": "contradictions",
    "200, half of them copies": "copies",
}
by_fault = {name: tickets_right(smols_answers(point)) for name, point in planted.items()}
accuracy = {name: clustered_mean(tickets, patterns) for name, tickets in by_fault.items()}
show(systems_figure(accuracy), systems_alt(accuracy))
careful = by_fault.pop("200 careful")
pd.DataFrame({f"200 careful -> {name}": against(careful, tickets) for name, tickets in by_fault.items()}).T

# %% [markdown]
# With 40 % wrong the model loses a sixth of all fields, and 200 careful tickets are far better than 800 such ones: it is
# cheaper to label few well than many badly. The 800 correct ones, in turn, are no better here than the 200, since the
# model took the same number of steps on both. Forty contradictions among 200 rows cost nearly half as much as all those
# wrong labels, and the checks find them for you. Copies cost least: what they take is the place of other tickets. One row
# in nine wrong, as in the export, was a few points. Where your own labels stand you learn by having a hundred tickets
# labelled twice.

# %% [markdown]
# ## One system prompt, and what happens when it drifts
#
# Some rows of the export have another system prompt than the others, and some have none (`system_drift` and
# `missing_system` in the first table). Does that matter, once the model has learned the task? The fine-tuned `smol` of the
# record was asked with the system prompt of its training and with three others. All four answer the same tickets, so
# compare them ticket by ticket, in a [paired comparison](GLOSSARY.md#paired-comparison).

# %%
TRIAGE = Path("../data/recorded/triage")
other_prompts = others["drift"]["systems"]


def of_the_triage(name):
    lines = (TRIAGE / "predictions" / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line)["prediction"] for line in lines]


files = {"as_in_training": "test.fine_tuned"} | {name: f"{name}.fine_tuned.drift" for name in other_prompts}
n = len(of_the_triage(files["a_long_one"]))
drift = {name: score_records(of_the_triage(file)[:n], references[:n]) for name, file in files.items()}
accuracy = {name: each.summary()["field_accuracy"] for name, each in drift.items()}
show(systems_figure(accuracy), systems_alt(accuracy))
for name, system in other_prompts.items():
    seen = compare(drift["as_in_training"].field_accuracy, drift[name].field_accuracy, metric="field_accuracy")
    change = f"{100 * seen.delta:+.1f} points [{100 * seen.low:+.1f}, {100 * seen.high:+.1f}]"
    print(f'"{system}"')
    print(f"  {change}, {seen.verdict}; {drift[name].valid_json.mean():.0%} of the answers are valid JSON")

# %% [markdown]
# The weights are the same in all four; only one line before the ticket differs. "No detectable
# difference" does not make a prompt harmless: the interval says how much it may still cost. How tightly the answers are
# tied to the prompt that they were trained under differs from model to model, and the remedy is free: write the system
# prompt once, keep it short, store it in one place, and use the same text in every row and every call. (The prompt kit
# has a prompt that helps to write it: `system_prompt`.)

# %% [markdown]
# ## Have examples drafted
#
# Rare cases need more rows, and writing them by hand is slow. The usual way: a strong model drafts, an expert
# reviews. The prompt kit (`data/prompt_kit`) has the request for it. Here it asks for answers to tickets that nobody
# has labelled. (We take validation tickets and pretend, because their labels let us score the drafts. In your project
# take others: a draft of a validation ticket in the training data is a leak.)

# %%
import hashlib

from ftlab.prompt_kit import read_kit

def answer_of(row):
    return row["messages"][-1]["content"]


unlabelled, two_more = held_out[:24], held_out[24:26]  # as if: their labels are known, and are used only at the end
checked = [row["messages"] for row in train_rows[:2]]
request = read_kit()["draft_examples"].fill(
    task="turn a support ticket into one JSON object",
    answer_rules=f"keys: {', '.join(json.loads(references[0]))}; null where the ticket says nothing",
    examples="\n".join(f"INPUT: {turns[1]['content']} ANSWER: {turns[2]['content']}" for turns in checked),
    inputs="\n".join(row["messages"][1]["content"] for row in two_more),
    coverage="the inputs above, nothing else",
    count="2",
)
last_lines = "\n".join(request.strip().splitlines()[-4:])
print(f"{len(request):,} characters, {len(tokenizer(request)['input_ids']):,} tokens; the last lines:\n{last_lines}")

# %% [markdown]
# Send it to any model with an OpenAI-compatible interface, on your machine or elsewhere: set `DRAFTER`. Without one, an
# answer that we wrote by hand stands in, such as large models give: polite words, a fence, one sound row, and one with
# other keys than were asked for.

# %%
from ftlab.checks.drafts import parse_drafts
from ftlab.prompt_kit import run_prompt

DRAFTER = None  # {"base_url": "http://localhost:11434/v1", "model": "qwen3:8b"}; "api_key_env" where a key is needed

if DRAFTER:
    drafter, text = DRAFTER["model"], run_prompt(request, **DRAFTER, confirm=True).answer
else:
    first, second = (row["messages"][1]["content"] for row in two_more)
    sound = {"input": first, "answer": json.loads(answer_of(two_more[0])), "invented_input": False, "doubt": "P3 or P2?"}
    other = {"ticket": second, "label": "workshop"}
    lines = ["Sure, here are the examples:", "```json", json.dumps(sound), json.dumps(other), "```"]
    drafter, text = "written by hand", "\n".join(lines)
drafted = parse_drafts(text, source=drafter, system=SYSTEM["content"])
print(f"{text}\n\nusable rows: {len(drafted.rows)} of 2")
drafted

# %% [markdown]
# Every line of the answer becomes either a row or a finding, so nothing is lost unnoticed. Drafting needs a strong
# model that can follow a long request; the small models of this course are too weak for it. Before you use one, read
# what its terms say about training on its answers.
#
# There is a second way: let the model that you trained answer the new tickets. Its mistakes show you what it has not
# learned.

# %%
drafts = [
    {
        "id": f"draft-{row['id']}",
        "messages": [*row["messages"][:-1], {"role": "assistant", "content": text}],
        "provenance": {"source": f"{MODEL}, tuned on {LIVE_ROWS} rows", "prompt": SYSTEM["content"]},
    }
    for row, text in zip(unlabelled, answers_now[: len(unlabelled)], strict=True)
    if text.strip()
] + drafted.rows
digest = hashlib.sha256(json.dumps(drafts).encode()).hexdigest()[:8]
folder = OUT / f"review_{digest}"  # a review belongs to one set of drafts; other drafts get a folder of their own
write_chat(drafts, folder / "drafts.jsonl", force=True)
drafts_report = check(folder / "drafts.jsonl", model=MODEL, max_length=MAX_LENGTH)
drafts_report

# %% [markdown]
# The checks and the label policy see only faults of form. How many of the wrong drafts do they find?

# %%
truth = {f"draft-{row['id']}": json.loads(answer_of(row)) for row in held_out}
drafts_checked = check_chat(folder / "drafts.jsonl").placed
objected = {finding.line for finding in drafts_report.findings if finding.severity == "error"}
objected |= {row.line for row in drafts_checked if not POLICY.is_valid(parse_record(answer(row)))}
known = [row for row in drafts_checked if row.data["id"] in truth]
is_wrong = {row.line: parse_record(answer(row)) != truth[row.data["id"]] for row in known}
unseen_wrong = sum(wrong_here and line_ not in objected for line_, wrong_here in is_wrong.items())
print(f"{len(known)} drafts, {sum(is_wrong.values())} with a wrong field; the checks object to {len(objected & set(is_wrong))}")
print(f"wrong, and no check objects: {unseen_wrong}. Only somebody who reads the ticket finds these.")

# %% [markdown]
# ## Review them
#
# Now a person reads them, one at a time. Each decision is saved before the next example appears, so you can stop at any
# time and continue tomorrow. (This cell decides a few from the known labels, so that there is something to see here.)

# %%
from ftlab.checks.review import Review

review = Review.open(folder / "drafts.jsonl", folder / "reviewed.jsonl", reviewer="the answer key")
right_ones, wrong_ones = ([n for n, row in enumerate(known) if is_wrong[row.line] == flag] for flag in (False, True))
for number in sorted(right_ones[:2] + wrong_ones[:2]):
    row = known[number]
    if review.decision(number):  # decided in an earlier session
        continue
    if not is_wrong[row.line]:
        review.accept(number)
    elif parse_record(answer(row)):
        review.edit(number, json.dumps(truth[row.data["id"]]), note="a field was wrong")
    else:
        review.reject(number, note="no record at all")
review

# %%
from ftlab.widgets.review import review_table

review_table(Review.open(folder / "drafts.jsonl", folder / "reviewed.jsonl", reviewer="you"))

# %% [markdown]
# The buttons need a running kernel; the table above shows the drafts and decisions everywhere. Each row that is kept
# carries its history: who drafted it, with which prompt, who decided, and when.

# %%
if review.progress.kept:
    review.save(force=True)
    kept_rows = read_chat(folder / "reviewed.jsonl")
    display(pd.DataFrame([{"id": row["id"], **row["provenance"]} for row in kept_rows]))
print(review.progress)

# %% [markdown]
# In a year somebody will ask where a wrong answer comes from, or whether you were allowed to train on that source.
# This table answers. Use drafts for training only: a test set drafted by a model measures how much you agree with
# that model.

# %% [markdown]
# ## Export for a service
#
# Each service has its own rules for a training file. `export` checks them, writes the files and says what it left out.

# %%
from ftlab.data.export import export
from ftlab.models import counting_model

counter = load_tokenizer(counting_model())  # of smol, or of nano where smol is not installed
train_placed, validation_placed = splits["by customer, cleaned"]
train = [row.data for row in train_placed]
exported = export(train_placed, "openai", OUT / "openai", validation=validation_placed, tokenizer=counter, force=True)
exported

# %% [markdown]
# The rows pass this service's rules. Read the warnings before you send anything: they are about the service itself,
# which is ending its fine-tuning. Replace `"openai"` by another service of the table further above. Limits that we
# could not find are named, not guessed. Fields that the service has no place for (`customer`, `agent`) are not sent.
# `limits("openai")` shows the rules behind it, each with its date.

# %% [markdown]
# ## What will the training cost?
#
# Services bill tokens times [epochs](GLOSSARY.md#epoch). (A service counts with its own tokenizer, and its bill will
# differ a little. `nano`'s is no guide: its small vocabulary cuts a text into more pieces.)

# %%
from ftlab.costs.prices import load_prices

epochs = 3
tokens = lengths(train_placed, counter).tokens(max_length=MAX_LENGTH, epochs=epochs)
prices = load_prices()
offers = [
    ("openai", "gpt-4.1-mini", None),
    ("google", "gemini-2.5-flash", None),
    ("fireworks", "a model of 8B", 8),
    ("together", "a model of 8B", 8),
    ("aws", "amazon.nova-lite-v1:0", None),
]
rows = []
for provider, model_name, size_b in offers:
    price = prices.price(provider, model_name, "training", method="sft", size_b=size_b)
    usd = price.usd(tokens / 1e6, price.unit)
    rows.append({
        "service": provider,
        "model": model_name,
        "USD per million tokens": "unknown" if price.amount is None else f"{price.amount:.2f}",
        "one training, USD": "unknown" if usd is None else f"{usd:.2f}",
        "warnings": "; ".join(price.warnings),
    })
print(f"{tokens:,} tokens of {counting_model()} in {epochs} epochs of {len(train_placed):,} rows")
with pd.option_context("display.max_colwidth", None):
    display(pd.DataFrame(rows))

# %% [markdown]
# One training on a file of this size costs little. The work above costs more, and later so do the calls;
# [10 Count the cost](10_count_the_cost.ipynb) adds everything up. An unknown price stays unknown; it is not zero.

# %% [markdown]
# ## The quality card
#
# What somebody must know before using this file, from the numbers above. Put it into a README next to the file.

# %%
final = lengths(train_placed, counter)
in_train = sum(row["id"] in wrong for row in train)
leaked = {
    "validation": sum(finding.code.startswith("leak") for finding in clean_report.findings),
    "test": len(find_leaks(train_placed, test_placed)),
}
masked = sum(change.code in private for change in fixed.changes)
LABELS = ("queue", "urgency", "tone", "ask")
card = {
    "source": f"{RAW.name}, {form.rows_in:,} rows",
    "left out": f"{len(fixed.dropped)} rows unreadable or repeated, {len(drop)} by decision",
    "clean rows": f"{len(clean):,}: {split.rows['train']:,} to train on, {split.rows['validation']:,} to validate",
    "split": "by customer, stratified by queue",
    "sha256 of the training part, first digits": hashlib.sha256(Path(split.files["train"]).read_bytes()).hexdigest()[:16],
    f"tokens a row, of {counting_model()}": f"median {final.percentile(50):.0f}, 95 % up to {final.percentile(95):.0f}, longest {max(final.total)}",
    "balance (1 is even)": ", ".join(f"{f} {label_table(train_placed, f).balance:.2f}" for f in LABELS),
    "languages": f"English, {left.counts.get('other_language', 0)} rows in others, kept on purpose",
    "private data": f"{masked} pieces masked (keys, cards, accounts, mail, phones); names and addresses not looked for",
    "leaks": f"{VALIDATION.name}: {leaked['validation']} rows; {TEST.name}: {leaked['test']} rows",
    "known wrong": f"{in_train / len(train):.0%} of the training rows have a wrong label ({len(DOUBTFUL)} agents): label again",
}
lines = ["| what | value |", "|---|---|", *(f"| {what} | {value} |" for what, value in card.items())]
(OUT / "parts" / "README.md").write_text("\n".join(["# Quality card", "", *lines, ""]), encoding="utf-8")
with pd.option_context("display.max_colwidth", None):
    display(pd.Series(card).to_frame("value"))

# %% [markdown]
# ## What is known about large models
#
# For large models it has been reported that fewer and better rows can beat more (LIMA and AlpaGasus, in the table
# above). The record of `smol` points the same way where quality differs much: two hundred careful tickets beat eight
# hundred careless ones. It is one training each, on one task, and short: with more steps, more rows may pay. Wrong labels
# are common: about 3 % on average in the *test* sets of ten well-known collections (Northcutt et al. 2021,
# arXiv:2103.14749). The habit of one labeller is not random like most of these, and a model can learn it like anything
# else. The curve does not carry over to your task or model either: a larger model knows more of a task before the first
# row, and needs fewer of them.
#
# ## What you have seen
#
# - Read some rows, check all, repair what has only one right repair, write down your decisions, and check again.
# - Rows can be lost without a message: too long, in the wrong form, dropped by a converter. The numbers must add up.
# - Remove leaks and copies before the split, and split by what repeats.
# - Checks find faults of form. You find wrong labels by comparing people and by reading.
# - Ask what a doubling of the rows brings, with its interval, and separate it from what more steps bring.
# - A claim about data needs equal steps and the same held-out tickets for all, and more than one draw where it is close.
# - One system prompt, stored in one place. Drafts are kept only after a person has read them, with their history.
#
# **Read next:** [06 Train with Unsloth](06_train_with_unsloth.ipynb); what LoRA and four bits do inside a model is in
# [05](05_lora_by_hand.ipynb).
