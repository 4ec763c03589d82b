# ---
# ftlab:
#   reads: [data/support_triage/raw/*.jsonl, data/support_triage/schema.json, data/support_triage/validation.jsonl, data/support_triage/test.jsonl, data/recorded/data/results.json, data/limits/*.csv, data/prices/*.csv, data/models/nano/*.json, data/models/nano/*.jinja, data/models/nano/model.safetensors]
#   headline: rows of the export that are left to train on
# ---

# %% [markdown]
# # Prepare data
#
# **Question:** is my data fit to train on?
# **Minutes:** 22 to read, 1 to run. **Hardware:** any; no model is trained.
#
# A help desk gives you its export. You find out what is in it, repair what has only one right repair, decide about the rest,
# and split it so that the test stays honest. At the end there is a file to train on, with a card that says what it is.
#
# The checks are the same for any model; they count [tokens](GLOSSARY.md#token) as `nano` does, the tiny model of this
# course. ([04b](04b_how_many_rows.ipynb) asks how many rows are enough, what cleaning was worth, and how to get more rows.)

# %%
import ftlab  # first: it quiets the libraries below
from pathlib import Path

MODEL = "nano"  # its tokenizer counts the tokens; "unsloth/Qwen3-4B-Instruct-2507" on a GPU
MAX_LENGTH = 512  # tokens in the longest row that the training will read
RAW = Path("../data/support_triage/raw/dirty.jsonl")
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
# Now all checks in one call: form, answers and labels, repeats, private data, tokens, and
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
# answer trains the half that is left, and never its end. (An answer that is broken off in the file is another fault: there an end token
# follows the break, and the model learns to stop in the middle.) Another trainer loses other rows, by rules that change
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
# expect a label more or less often than it will be right. The export has a little more `P3` than the test set, no more than chance may
# do. But the sum over all people who labelled can hide what one of them does: see the section on wrong labels.
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
# **Exercise (level 3).** Write `is_leak(train_text, test_text)`. Words are `re.findall(r"\w+", text.lower())`; a run is five
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
# **Exercise (level 3).** Write `luhn(digits)`, true or false, for a number given as text. Count from the right: the last digit
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
# What is still found is what you chose to keep, and TRL loses no row any more, with this tokenizer and this `MAX_LENGTH`.

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
# more than chance explains, a *p* is added: how often chance would make a difference at least as large, if tickets were dealt to the
# agents at random. (A chi-squared test; the number is multiplied up for so many comparisons by Holm's rule, and shown below 0.01. Several
# tickets of one customer make it a little too small.)

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
# Two agents stand out clearly: one writes the tone `neutral` far too often, one the urgency `P3`. A third, agent-03, gives
# `accounts` more often than the rest; the test says that its whole mix of queues differs. A small *p* is not proof of
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
# which is ending its fine-tuning. Replace `"openai"` by `"together"`, `"fireworks"`, `"gemini"` or another
# name that `ftlab export --help` lists. Limits that we
# could not find are named, not guessed. Fields that the service has no place for (`customer`, `agent`) are not sent.
# `limits("openai")` shows the rules behind it, each with its date.

# %% [markdown]
# ## What will the training cost?
#
# Services bill tokens times [epochs](GLOSSARY.md#epoch). (A service counts with its own tokenizer and its own marks around each
# turn, and its bill will differ a little, as the estimate of the export above does from the count below. `nano`'s is no guide: its
# small vocabulary cuts a text into more pieces.)

# %%
from ftlab.costs.prices import load_prices

epochs = 3
tokens = lengths(train_placed, counter).tokens(max_length=MAX_LENGTH, epochs=epochs)
prices = load_prices()
offers = [
    ("openai", "gpt-4.1-mini", None),
    ("google", "gemini-3.1-flash-lite", None),
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

# %% tags=["headline"]
import hashlib

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
    "leaks": f"course's {VALIDATION.name}: {leaked['validation']} rows; course's {TEST.name}: {leaked['test']} rows; of its own "
    f"validation part {len(find_leaks(validation_placed, train_placed))} of {len(validation_placed)} share sentences: its score flatters",
    "known wrong": f"{in_train / len(train):.0%} of the training rows have a wrong label ({len(by_agent)} agents): label again",
}
lines = ["| what | value |", "|---|---|", *(f"| {what} | {value} |" for what, value in card.items())]
(OUT / "parts" / "README.md").write_text("\n".join(["# Quality card", "", *lines, ""]), encoding="utf-8")
with pd.option_context("display.max_colwidth", None):
    display(pd.Series(card).to_frame("value"))
print(card["clean rows"])

# %% [markdown]
# ## Was it worth it?
#
# `smol`, a chat model of 135 million parameters, learned from this file at three of its stages, each time in as many steps
# (`python tools/record.py data`). 200 test tickets:

# %%
learned = json.loads(Path("../data/recorded/data/results.json").read_text())["points"]
STAGES = {"export": "as it came, what can be read", "cleaned": "repaired and decided", "curated": "500 of these, chosen"}
pd.DataFrame(
    {
        what: {
            "rows": learned[stage]["rows"],
            "fields right": f"{learned[stage]['test']['field_accuracy']['value']:.1%}",
            "whole records right": f"{learned[stage]['test']['exact_match']['value']:.1%}",
        }
        for stage, what in STAGES.items()
    }
).T

# %% [markdown]
# Both steps together gained more than chance explains; neither alone did, and each left fewer rows. [04b](04b_how_many_rows.ipynb) has
# the intervals, what each kind of fault costs, and what wrong labels do, which no cleaning found.
#
# ## What is known about large models
#
# Wrong labels are common: about 3 % on average in the *test* sets of ten well-known collections (Northcutt et al. 2021,
# arXiv:2103.14749). The habit of one labeller always points the same way, so a model can learn it like anything else.
# What such labels cost, and whether fewer and better rows beat more, is measured in [04b](04b_how_many_rows.ipynb).
#
# ## What you have seen
#
# - Read some rows, check all, repair what has only one right repair, write down your decisions, and check again.
# - Rows can be lost without a message: too long, in the wrong form, dropped by a converter. The numbers must add up.
# - Remove leaks and copies before the split, and split by what repeats.
# - Checks find faults of form. You find wrong labels by comparing people and by reading.
# - A file without its card is a riddle in a year.

# %% [markdown]
# ## What would you do?
#
# Decide first, then open the answer.
#
# **1.** The export is here, 143 rows of it cannot be read, and the training is to start tonight. What must be done before,
# and what may wait?
#
# <details><summary>One answer</summary>
#
# Before: rows that repeat what you test on, contradictions, private data, rows that are cut, and the count of what was left
# out. May wait: rare labels, other languages, odd lengths. Wrong labels cannot be found tonight: read ten rows of each
# labeller, and say on the card what you do not know.
#
# </details>
#
# **2.** Your test says 97 %, much more than anybody hoped. What do you check first?
#
# <details><summary>One answer</summary>
#
# Leaks: the same tickets, nearly the same ones, and the same customers on both sides. Then split by what repeats, and test
# again.
#
# </details>
#
# **3.** One labeller gives `P3` far more often than all others, and *p* is tiny. Do you drop his rows?
#
# <details><summary>One answer</summary>
#
# Not yet. He may get other tickets. Read ten of them; if they are wrong, have all of his labelled again by somebody else,
# or leave them out and write it down.
#
# </details>
#
# **Read next:** [04b How many rows](04b_how_many_rows.ipynb): is there enough of it? Or go on to
# [06 Train with Unsloth](06_train_with_unsloth.ipynb); what LoRA and four bits do inside a model is in
# [05](05_lora_by_hand.ipynb).
