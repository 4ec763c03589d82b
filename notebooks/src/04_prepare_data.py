# ---
# ftlab:
#   reads: [data/support_triage/raw/*.jsonl, data/support_triage/schema.json, data/support_triage/train.jsonl, data/support_triage/validation.jsonl, data/support_triage/test.jsonl, data/recorded/data_lessons.json, data/recorded/support_triage_nano/report.json, data/prompt_kit/2_draft_examples.md, data/limits/*.csv, data/prices/*.csv, data/models/nano/model.safetensors, data/models/nano/tokenizer.json]
#   headline: what twice as many training rows buy
# ---

# %% [markdown]
# # Prepare data
#
# **Question:** is my data fit to train on, and is there enough of it?
# **Minutes:** 3. **Hardware:** any; two CPU cores are enough.
#
# A help desk hands you its export. You find out what is in it, repair what has one right repair and decide the rest. Then
# you measure three things that are mostly only claimed: how many rows are enough, what the cleaning was worth, and what
# one changed [system prompt](GLOSSARY.md#system-prompt) does. Last, you have more rows drafted and review them.

# %%
import ftlab  # first: it quiets the libraries below
from unsloth import FastLanguageModel  # before transformers and trl, which it patches

from pathlib import Path

MODEL = "nano"  # its tokenizer counts the tokens; "unsloth/Qwen3-4B-Instruct-2507" on a GPU
MAX_LENGTH = 512  # tokens a row, as in the training below
RAW = Path("../data/support_triage/raw/dirty.jsonl")
TRAIN = Path("../data/support_triage/train.jsonl")
VALIDATION = Path("../data/support_triage/validation.jsonl")
TEST = Path("../data/support_triage/test.jsonl")
OUT = ftlab.home() / "04_prepare_data"

# %% [markdown]
# ## What came from the help desk?
#
# Always look before you count. Three rows, as they lie on disk:

# %%
lines = RAW.read_bytes().splitlines()
for number in (7, 9, 71):
    print(f"line {number}: {lines[number - 1].decode()}\n")

# %% [markdown]
# The first is sound: a system message, a ticket, a record. In the second the record breaks off in the middle. In the
# third one label has a capital letter, and to a model `Change_details` is another label. Nobody reads two thousand rows
# like this and stays awake, so the reading is done by checks, and you read what they find.
#
# The faults in this file were planted, and a key says where (`raw/README.md`). We open it only at the end.

# %% [markdown]
# ## Can it be read at all?
#
# First the form alone: bytes, JSON, roles, turns.

# %%
from ftlab.data import check_chat

form = check_chat(RAW)
usable = form.placed
print(f"{form.rows_kept:,} of {form.rows_in:,} rows can be read as chats; {form.rows_in - form.rows_kept} cannot")

# %%
import pandas as pd

severities = ["error", "warning", "info"]  # worst first
classes = pd.DataFrame(form.findings).groupby(["severity", "code"]).size()
classes.sort_values(ascending=False).loc[severities].to_frame("found")

# %% [markdown]
# An *error* is a row that cannot be used, a *warning* a row that some tools read in another way, an *info* something to
# know. Some loaders stop at the first error, others skip such rows and say nothing. Count them yourself.

# %% [markdown]
# ## What do the findings look like?
#
# Now every check in one call: form, answers and labels, repeats, private data, [tokens](GLOSSARY.md#token), and whether
# a ticket of the [validation set](GLOSSARY.md#validation-set) stands in the export. One line for each kind, with the
# first finding of it.

# %%
from ftlab.data.check import check

report = check(RAW, against=VALIDATION, model=MODEL, max_length=MAX_LENGTH)
report

# %% [markdown]
# Every message says where the trouble is, what it is and what to do. From a shell the same is
# `ftlab check dirty.jsonl --against validation.jsonl --model nano`. The next sections take the kinds one by one.

# %% [markdown]
# ## How long are the rows?

# %%
from ftlab.data import lengths
from ftlab.data.check import load_tokenizer

tokenizer = load_tokenizer(MODEL)
counted = lengths(usable, tokenizer)
counted

# %%
import matplotlib.pyplot as plt

from ftlab.plots import show

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
print(f"{over:.1%} of the rows are longer than {MAX_LENGTH} tokens, the longest has {max(counted.total):,}")

# %% [markdown]
# What lies beyond the line is cut off, and the answer stands at the end. How many rows does a trainer really train on?

# %%
report.trained

# %% [markdown]
# Not one of the three stops to tell you, and each loses rows for reasons of its own. A row whose whole answer is cut away
# teaches nothing; a row with half an answer teaches the model to break off.

# %% [markdown]
# ## Is every label there often enough?
#
# Two fields, in the export and in the [test set](GLOSSARY.md#test-set). The test set stands for the tickets that will
# come.

# %%
from ftlab.data import Row, label_table, read_chat

test_rows = read_chat(TEST)
test_placed = [Row(row, str(TEST), line) for line, row in enumerate(test_rows, 1)]
label_table(usable, "urgency")

# %% [markdown]
# Four values are meant. What else is in the list are spellings of them, and each would be learned as a label of its own.

# %%
from ftlab.data.plots import shares_alt, shares_figure

for field in ("queue", "urgency"):
    tables = {"export": label_table(usable, field), "test set": label_table(test_placed, field)}
    show(shares_figure(tables), shares_alt(tables))

# %% [markdown]
# Where the two dots lie far apart, the model learns to expect something that does not come. Look at `P3`, and keep the
# question for later: are there more such tickets in the export, or does somebody call them so?
#
# Labels are one kind of coverage, the things that people write about another. Which products does the test set ask
# about that the export hardly knows?

# %%
products = {name: label_table(rows, "product").counts for name, rows in {"export": usable, "test": test_placed}.items()}
rarest = sorted(products["test"], key=lambda name: products["export"].get(name, 0))[:5]
unseen = [name for name in products["test"] if name not in products["export"]]
print(f"{len(products['test'])} products in the test set, {len(unseen)} of them never in the export")
print("rarest in the export:", ", ".join(f"{name} ({products['export'].get(name, 0)} rows)" for name in rarest))

# %% [markdown]
# ## Who repeats whom?
#
# One bracket for each row that says nearly what an earlier row says; the farther apart, the higher.

# %%
from ftlab.data import clusters
from ftlab.data.plots import repeats_alt, repeats_figure

groups = clusters(usable)
show(repeats_figure(groups), repeats_alt(groups))
again = [(group[0], row) for group in groups for row in group[1:]]
other = sum(a.data["messages"][-1] != b.data["messages"][-1] for a, b in again)
print(f"{len(again)} rows repeat an earlier one; {other} of them have another answer")

# %% [markdown]
# The brackets are narrow: a ticket comes again within days, sent twice or copied by the help desk. Above the line it
# simply counts twice. Below it is worse: nearly the same ticket, and another answer.

# %% [markdown]
# ## Which answer is right?

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
# The model is punished whatever it answers. No program can tell which of the two is right: that takes somebody who knows
# the policy. If such pairs are many, the policy itself is unclear, and no training cures that.

# %% [markdown]
# ## Does it hold what I test on?

# %%
import re

leaks = [finding for finding in report.findings if finding.code.startswith("leak")]
near = next(finding for finding in leaks if finding.code == "leak_near")
other = int(re.search(r"(\d+) of the evaluation set", near.message)[1])
row_at = {row.line: row for row in usable}
print(f"{len(leaks)} rows of the export stand in the validation set, letter for letter or nearly\n")
print(f"export, line {near.line}:     {ticket(row_at[near.line])}\n")
print(f"validation, line {other}: {read_chat(VALIDATION)[other - 1]['messages'][1]['content']}")

# %% [markdown]
# Find the word that differs: a comparison of whole texts misses such a row, and the score then measures memory.
#
# **Exercise.** Write `is_leak(train_text, test_text)`: true when at least half of the test text's runs of five words also
# stand in the training text. Words are `re.findall(r"\w+", text.lower())`; a test text of fewer than five is no
# [leak](GLOSSARY.md#leakage).

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
from ftlab.exercises import check_is_leak

check_is_leak(is_leak)

# %% [markdown]
# ## What should never be learned by heart?
#
# A model can say again, word for word, what it was trained on. So look for keys, card and account numbers, addresses and
# phone numbers; findings show them masked.

# %%
private = ("secret", "card_number", "iban", "email", "phone")
firsts = [(code, len(found), found[0].line, found[0].message) for _, code, found in report.classes if code in private]
with pd.option_context("display.max_colwidth", None):
    display(pd.DataFrame(firsts, columns=["code", "fields", "first line", "message"]))

# %%
from ftlab.data.privacy import mask_private

mask_private("Jo Hale, 4 Mill Lane: refund card 4111 1111 1111 1111, order 195925, or write to jo@hale.internal please.")

# %% [markdown]
# The card number and the mail address are gone, the order number stays: the model needs it. **The name and the street
# stay too.** They have no form that a pattern could know. Read a sample, and ask whoever guards the customers' data.
#
# How does the check tell a card number from any other sixteen digits? By its last digit.
#
# **Exercise.** Write `luhn(digits)` for a number given as text. From the right, every second digit is doubled (the one
# before the last is the first of them); a doubled digit above 9 loses 9; the number is right when the sum of all ends
# in 0.

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
from ftlab.exercises import check_luhn

check_luhn(luhn)

# %% [markdown]
# ## Repair what has one right repair
#
# `fix` writes a copy and lists every change and every row that it leaves out. One change of each kind:

# %%
from ftlab.data.check import fix

fixed = fix(RAW, OUT / "fixed.jsonl", force=True)
changes = pd.DataFrame(fixed.changes)
changes.groupby("code").first().assign(changes=changes["code"].value_counts())

# %%
print(f"{fixed.rows_in:,} rows read = {fixed.rows_out:,} written + {len(fixed.dropped)} left out:")
pd.Series([row.code for row in fixed.dropped]).value_counts().to_frame("rows left out")

# %% [markdown]
# In and out add up: no row vanishes unseen. Left out is what cannot be read, and the second copy of a row.

# %% [markdown]
# ## What must a person decide?
#
# The same checks again, on the repaired copy.

# %%
left = check(fixed.out, against=VALIDATION, model=MODEL, max_length=MAX_LENGTH)
pd.DataFrame([(sev, code, len(found)) for sev, code, found in left.classes], columns=["severity", "code", "found"])

# %% [markdown]
# None of these has one right repair. Is a ticket in German a stray or a customer? Which of two answers is wrong? Is
# `<p>` a mark of the web page, or what the customer wrote? So write down what you decide, and why:
#
# - **One system prompt for all rows**, the one that the product will send.
# - **Keep** other languages (customers do write them), rare labels and long texts that fit.
# - **Drop both** rows of a [contradiction](GLOSSARY.md#contradiction) until somebody has looked.
# - **Drop** records that the label policy does not know (`schema.json` has it in a form that a program can read).
# - **Drop** the rest; here it is cheaper to lose rows than to mend each by hand.

# %%
import hashlib
import json

from jsonschema import Draft202012Validator

from ftlab.data import write_chat
from ftlab.evaluation import parse_record

KEEP = {"other_language", "rare_label", "length_outlier", "system_drift", "missing_system"}
POLICY = Draft202012Validator(json.loads(TEST.with_name("schema.json").read_text()))
SYSTEM = {"role": "system", "content": "Triage the ticket."}

fixed_rows = check_chat(fixed.out).placed
drop = {finding.line for finding in left.findings if finding.code not in KEEP}
for group in clusters(fixed_rows):
    if len({answer(row) for row in group}) > 1:
        drop |= {row.line for row in group}
outside = {row.line for row in fixed_rows if row.line not in drop and not POLICY.is_valid(parse_record(answer(row)))}
drop |= outside
clean = [
    row.data | {"messages": [SYSTEM, *(turn for turn in row.data["messages"] if turn["role"] != "system")]}
    for row in fixed_rows
    if row.line not in drop
]
write_chat(clean, OUT / "clean.jsonl", force=True)
print(f"{len(fixed_rows):,} rows - {len(drop)} dropped = {len(clean):,} clean rows")
print(f"{len(outside)} of the {len(drop)} only because the policy does not know their record")

# %%
clean_report = check(OUT / "clean.jsonl", against=VALIDATION, model=MODEL, max_length=MAX_LENGTH)
clean_report

# %% [markdown]
# What is left is what you chose to keep, and every trainer now trains on every row.

# %% [markdown]
# ## How good is the checker?
#
# Now open the key. *[Recall](GLOSSARY.md#recall)*: of the faults planted, how many were found?
# *[Precision](GLOSSARY.md#precision)*: of the findings, how many are faults? A few kinds are reported once for the file
# or once for a label, and count as found where that finding is there.

# %%
from collections import defaultdict

key = [json.loads(line) for line in RAW.with_name("key.jsonl").read_text(encoding="utf-8").splitlines()]
lines_found = defaultdict(set)
for finding in report.findings:
    lines_found[finding.code].add(finding.line)


def score(code, items):
    found = lines_found[code]
    hits = [item for item in items if found & {item["line"], item["partner"]}]
    if code in ("crlf", "double_eos", "rare_label"):  # reported once
        hits = [item for item in items if item["note"] in {hit["note"] for hit in hits}]
    planted = [item for item in items if not item["follows_from"]]  # the others come with another fault of the row
    right = found & {line for item in items for line in (item["line"], item["partner"])}
    recall = sum(item in hits for item in planted) / len(planted)
    return {"code": code, "planted": len(planted), "found": len(found), "recall": recall,
            "precision": len(right) / len(found) if found else None}  # fmt: skip


codes = dict.fromkeys(item["code"] for item in key)
quality = pd.DataFrame([score(code, [item for item in key if item["code"] == code]) for code in codes])
perfect = (quality["recall"] == 1) & (quality["precision"] == 1)
print(f"{perfect.sum()} of {len(quality)} kinds: all found, nothing else. The others:")
quality[~perfect].sort_values("recall").round(2).set_index("code")

# %% [markdown]
# This is a first test, on faults that were planted in a few ways only; your data has its own. But look at the line with
# recall 0: it is the largest class of all.

# %% [markdown]
# ## What no checker finds: wrong labels
#
# A wrong label is a perfect row. It parses, its label exists, the ticket is genuine; only the answer is not what the
# policy says. What you *can* do is to compare the people who labelled. For each agent and field: which label is given
# more often than the middle agent gives it, and by how much? (*p*: how often so different a mix of labels would come by
# chance, from a chi-squared test against the other agents.)

# %%
from scipy.stats import chi2_contingency

answers = pd.DataFrame([{"agent": row["agent"], **json.loads(row["messages"][-1]["content"])} for row in clean])


def stands_out(field):
    shares = pd.crosstab(answers["agent"], answers[field], normalize="index")
    excess = 100 * (shares - shares.median())
    told = excess.idxmax(axis=1) + excess.max(axis=1).map(" {:+.0f} points".format)
    for agent in shares.index:
        p = chi2_contingency(pd.crosstab(answers["agent"] == agent, answers[field])).pvalue
        told[agent] += f", p = {p:.0e}" if p < 0.01 else ""
    return told


pd.DataFrame({field: stands_out(field) for field in ("queue", "urgency", "tone")})

# %% [markdown]
# Two agents stand out at once: one calls the tone `neutral`, one the urgency `P3`, whatever the ticket says (there is the
# `P3` from above). A third mixes up queues, which shows in the *p* more than in any one label. (24 comparisons: do not
# believe a *p* that is only just small.) Read ten tickets of each, and you know. The key, which in life nobody has:

# %%
wrong = {row_at[item["line"]].data["id"] for item in key if item["code"] == "wrong_label"}
by_agent = pd.Series([row["agent"] for row in clean if row["id"] in wrong]).value_counts()
print(f"{by_agent.sum()} of {len(clean):,} clean rows have a wrong label:", by_agent.to_dict())

# %% [markdown]
# These are three agents of eight, and about one row in seven, after all that cleaning. The cure is to have their tickets
# labelled again by somebody else. The cheap way is to leave their rows out, and that is tried below.

# %% [markdown]
# ## One row, five formats
#
# Trainers and services want the same conversation in other clothes.

# %%
from ftlab.data import from_messages
from ftlab.errors import DataError

chat = {"messages": clean[0]["messages"]}
for name in ("messages", "prompt_completion", "sharegpt", "alpaca", "instruction"):
    try:
        print(f"{name}: {json.dumps(from_messages(chat, name))}\n")
    except DataError as error:
        print(f"{name}: cannot hold it. {error}\n")

# %% [markdown]
# Four hold the row without loss. The fifth has no place for a system message; a converter that just writes what fits
# would have dropped it from every row, and the model would be trained without the [prompt](GLOSSARY.md#prompt) that it
# later gets. `ftlab convert` refuses instead.

# %% [markdown]
# ## Split by customer
#
# One customer writes several times about one matter. If some of these tickets are trained on and others tested on, the
# test is too easy. So whole customers go to one side, with the queues in the same proportions on both.

# %%
from ftlab.data import split_file

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
# And what would a random split have done, on the export as it came and on the clean rows?

# %%
import random

from ftlab.data.duplicates import find_leaks


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
        "half of its word runs in one training ticket": found.count("leak_contained"),
    })
pd.DataFrame(rows).set_index("split").T

# %% [markdown]
# Read the columns from left to right: cleaning takes the twins away, the split by customer the acquaintances. The last
# line stays, and it should worry you a little: tickets of different customers share whole sentences here, because these
# tickets were put together from sentence patterns. Ask of your own data what repeats, and group by that. (The test set of
# this course is split by pattern: greetings apart, its sentences are in no training row.)

# %% [markdown]
# ## How many rows are enough?
#
# Ask around, and you get these answers:
#
# | rows | what is said of them | who says it |
# |---|---|---|
# | 50-100 | the least to begin with | practitioners; some services take fewer, see below |
# | 100-500 | excellent ones can give real gains on a narrow task with LoRA | practitioners |
# | below 500 | a good prompt often wins | other practitioners |
# | 500-1,000 | markedly better | practitioners |
# | 1,000 | enough for a chat model of 65 billion parameters, if each is chosen by hand | LIMA, Zhou et al. 2023, arXiv:2305.11206 |
# | 1,000-10,000 | usual in production | practitioners |
# | 9,000 | chosen out of 52,000, they beat all 52,000 | AlpaGasus, Chen et al. 2023, arXiv:2307.08701 |
#
# And the services themselves, each fact with its date:

# %%
from ftlab.data.export import limits

told = [
    (service, {"examples_min": "least", "examples_advised": "advised"}[name], limit.value, limit.source_date, limit.note)
    for service in ("openai", "azure", "gemini", "bedrock_nova", "together", "fireworks")
    for name, limit in limits(service).items()
    if name in ("examples_min", "examples_advised") and limit.value
]
with pd.option_context("display.max_colwidth", None):
    display(pd.DataFrame(told, columns=["service", "", "rows", "read on", "note"]))

# %% [markdown]
# What a service takes is not what helps. The answers lie two powers of ten apart, since each speaks of another task,
# another model and other rows. So measure yours. Here it was done for `nano`: training sets of 50 to 2,000 tickets, several
# draws of each (of 2,000 there is only one, all of them, and only the start and the order differ). The rule for the
# steps: every row once, but at least as many steps as the next line says, so few rows are repeated. The
# [held-out](GLOSSARY.md#hold-out) tickets are always the same.

# %%
import numpy as np

lessons = json.loads(Path("../data/recorded/data_lessons.json").read_text())
settings, held_out_ids = lessons["identity"]["settings"], lessons["identity"]["held_out"]["ids"]
validation_by_id = {row["id"]: row for row in read_chat(VALIDATION)}
held_out = [validation_by_id[name] for name in held_out_ids]
references = [row["messages"][-1]["content"] for row in held_out]
per_record = len(json.loads(references[0]))  # fields of one record

points = pd.DataFrame(lessons["points"])
points["tickets"] = [np.array([int(digit) for digit in digits]) / per_record for digits in points["fields_right"]]
points["score"] = points["tickets"].map(np.mean)
curve = points[points["experiment"] == "curve"].copy()
batch = settings["per_device_train_batch_size"]
print(f"{len(curve)} trainings, at least {settings['min_steps']} steps of {batch} rows, scored on {len(held_out)} tickets")
bundled = hashlib.sha256(Path("../data/models/nano/model.safetensors").read_bytes()).hexdigest()
whose = "the bundled nano" if bundled == lessons["identity"]["model_sha256"] else "another nano: record it anew"
print(f"recorded {lessons['date']} with {whose}, on {lessons['machine']}, {lessons['minutes']} minutes in all")

# %% [markdown]
# ## What do twice as many rows buy?
#
# Rows count in doublings: from 50 to 100 costs fifty tickets, from 1,000 to 2,000 a thousand. A straight line over the
# number of doublings has a slope, and the slope is the price list.

# %% tags=["headline"]
import statsmodels.formula.api as smf

from ftlab.data.plots import learning_curve_alt, learning_curve_figure
from ftlab.evaluation import Interval

curve["doublings"] = np.log2(curve["rows"])
fit = smf.ols("score ~ doublings", data=curve).fit()
slope, (low, high) = fit.params["doublings"], fit.conf_int().loc["doublings"]
seen = "a gain" if low > 0 else "a loss" if high < 0 else "no difference that can be told from chance"
print(f"twice as many rows: {100 * slope:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}], {seen}")

# %%
report_before = json.loads(Path("../data/recorded/support_triage_nano/report.json").read_text())
best = report_before["comparison"]["baseline"]
level = report_before["systems"][best]["field_accuracy"]
prompt = Interval(level["value"], level["low"], level["high"], report_before["n"], "recorded")
scores_by_rows = curve.groupby("rows")["score"].apply(list).to_dict()
line = (fit.params["Intercept"], slope)
show(learning_curve_figure(scores_by_rows, line, prompt), learning_curve_alt(scores_by_rows, line, prompt))
low_draws = [rows for rows, values in sorted(scores_by_rows.items()) if min(values) <= prompt.high]  # not clearly above
above = [rows for rows in sorted(scores_by_rows) if rows > max(low_draws, default=0)]
print(f"best prompt: {best}, {prompt}")
print(f"every training beats it from {above[0]:,} rows on" if above else "not even the largest size beats it every time")

# %% [markdown]
# Read three things: how far the dots of one size lie apart (that is what one training can tell you), where the
# curve leaves the level of the prompt (which was measured on the test set, so on other tickets), and whether the dots
# bend away from the dashed line. Does it bend? The last doubling beside the average one:

# %%
means = curve.groupby("rows")["score"].mean()
sizes = sorted(means.index)[-2:]
last = (means[sizes[1]] - means[sizes[0]]) / np.log2(sizes[1] / sizes[0])
spread = curve.groupby("rows")["score"].agg(lambda values: values.max() - values.min()).mean()
print(f"from {sizes[0]:,} to {sizes[1]:,} rows: {100 * last:+.1f} points for twice as many; over the whole curve {100 * slope:+.1f}")
print(f"best and worst training on equally many rows lie {100 * spread:.1f} points apart, on average over the sizes")

# %% [markdown]
# If the last doubling still buys what the others bought, more rows are worth their price; if it buys less, look for
# better rows or a larger model first. The [interval](GLOSSARY.md#confidence-interval) of the slope covers other draws
# and other starts of the training, not other tickets or another task. And from about 500 rows on more rows are more
# steps too, as they are in life.

# %% [markdown]
# **Exercise.** How many rows would a target take? Write `rows_needed(target, rows, score, per_doubling)`: `rows` rows score
# `score`, and twice as many score `per_doubling` more (all fractions of 1). A target that is reached needs no row more: return
# `rows`. Where a doubling buys nothing or costs something, no number is enough: `math.inf`.

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
from ftlab.exercises import check_rows_needed

check_rows_needed(rows_needed)

# %% [markdown]
# The next five points of your own task are `rows_needed(score + 0.05, rows, score, per_doubling)` rows. If that is a hundred
# thousand, the answer is not more rows.

# %% [markdown]
# ## One point of your own
#
# One training with a [seed](GLOSSARY.md#seed) that the record does not have. This is the whole of it; the sections
# below use it again.

# %%
import torch
from datasets import Dataset
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer
from unsloth.chat_templates import train_on_responses_only

from ftlab import hardware
from ftlab.models import resolve

precision = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[hardware.precision()]


def fine_tune(rows, steps, seed):
    model, tokenizer = FastLanguageModel.from_pretrained(
        model_name=resolve(MODEL), max_seq_length=1024, dtype=precision, load_in_4bit=torch.cuda.is_available()
    )
    model = FastLanguageModel.get_peft_model(
        model,
        r=16,
        lora_alpha=32,
        lora_dropout=0.0,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        bias="none",
        use_gradient_checkpointing="unsloth" if torch.cuda.is_available() else False,
        random_state=seed,
    )
    texts = [tokenizer.apply_chat_template(row["messages"], tokenize=False) for row in rows]
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
            learning_rate=4e-3 if MODEL == "nano" else 2e-4,
            warmup_steps=0.05,
            lr_scheduler_type="cosine",
            gradient_checkpointing=torch.cuda.is_available(),
            bf16=hardware.precision() == "bf16",
            fp16=hardware.precision() == "fp16",
            logging_strategy="no",
            save_strategy="no",
            seed=seed,
            report_to="none",
            disable_tqdm=True,
        ),
    )
    trainer.remove_callback(PrinterCallback)
    trainer = train_on_responses_only(trainer)  # learn the answers, not the tickets
    result = trainer.train()
    FastLanguageModel.for_inference(model)
    return model, tokenizer, result


# %% tags=["allow-stderr"]
from ftlab.evaluation import score_records
from ftlab.evaluation.generation import generate

LIVE_ROWS, LIVE_SEED = 100, 7  # choose another size of the curve; twenty seconds or more

train_rows = read_chat(TRAIN)
drawn = random.Random(LIVE_SEED).sample(train_rows, len(train_rows))[:LIVE_ROWS]
steps = max(-(-LIVE_ROWS // 8), settings["min_steps"])  # the rule of the record
tuned, its_tokenizer, result = fine_tune(drawn, steps, LIVE_SEED)
texts = generate(tuned, its_tokenizer, [row["messages"][:-1] for row in held_out]).texts
live_score = score_records(texts, references).field_accuracy.mean()
print(f"{LIVE_ROWS} rows, {result.global_step} steps: {live_score:.1%} of the fields right")

# %%
live = (LIVE_ROWS, live_score)
show(learning_curve_figure(scores_by_rows, line, prompt, live), learning_curve_alt(scores_by_rows, line, prompt, live))
at = fit.get_prediction(pd.DataFrame({"doublings": [np.log2(LIVE_ROWS)]})).summary_frame(alpha=0.05).iloc[0]
where = "inside" if at["obs_ci_lower"] <= live_score <= at["obs_ci_upper"] else "outside"
print(f"this run {live_score:.1%}; the line expects {at['mean']:.1%}, and of 20 further trainings 19 between")
print(f"{at['obs_ci_lower']:.1%} and {at['obs_ci_upper']:.1%}: it lies {where}")

# %% [markdown]
# The diamond is yours, drawn and trained anew. What *one more training* may give is a wider band than the interval of the
# line: who trains once and compares once has drawn one dot. (Lies it outside? The line is only a line, and it may miss
# the dots at its ends: look at them.)

# %% [markdown]
# ## What was the cleaning worth?
#
# Same model, same settings, same number of steps; only the rows differ. The whole export as it came; all rows that your
# cleaning left; and 500 of those, none of them labelled by the three agents. The last is the claim "500 curated beat
# 5,000 noisy", as far as this export goes. Before you run on, write down what you expect.

# %%
DOUBTFUL = {"agent-03", "agent-06", "agent-08"}  # those that stand out above
arms = {
    "export": [row.data for row in usable],
    "cleaned": clean,
    "curated": [row for row in clean if row["agent"] not in DOUBTFUL],
}
arms["curated"] = random.Random(LIVE_SEED).sample(arms["curated"], len(arms["curated"]))[:500]


def flagged(found, placed):
    at = {finding.line for finding in found.findings if finding.severity != "info"}
    return {row.data["id"] for row in placed if row.line in at}


dirty_ids, clean_ids = flagged(report, usable), flagged(clean_report, check_chat(OUT / "clean.jsonl").placed)
rows = {
    name: {
        "rows": len(arm),
        "with an error or a warning, %": 100 * np.mean([row["id"] in (dirty_ids if name == "export" else clean_ids) for row in arm]),
        "with a wrong label, %": 100 * np.mean([row["id"] in wrong for row in arm]),
    }
    for name, arm in arms.items()
}
pd.DataFrame(rows).T.round(1)

# %% [markdown]
# The checks have done their part: the second column falls. The third does not fall with it; as the other faults go, wrong
# labels become a larger share of what is left, until their authors go too.
#
# Several draws and trainings of each, recorded. A dot is their mean, its bar covers other tickets (those of one
# sentence pattern go together, see notebook 07).

# %%
from ftlab.evaluation import clustered_mean
from ftlab.plots import systems_alt, systems_figure

QUEUES = set(json.loads(TEST.with_name("schema.json").read_text())["properties"]["queue"]["enum"])
patterns = [next(p for p in row["pattern"].split("+") if p.split(".")[1] in QUEUES) for row in held_out]
cleaning = points[points["experiment"] == "cleaning"]
by_arm = {name: np.stack(list(cleaning[cleaning["name"] == name].sort_values("seed")["tickets"])) for name in arms}
accuracy = {name: clustered_mean(tickets.mean(axis=0), patterns) for name, tickets in by_arm.items()}
show(systems_figure(accuracy), systems_alt(accuracy))
print(f"{cleaning['steps'].iloc[0]} steps each, {cleaning['seed'].nunique()} draws, {len(held_out)} tickets")

# %%
def gain(before, after):
    difference = by_arm[after] - by_arm[before]  # draws x tickets: the same tickets, so the comparison is paired
    interval = clustered_mean(difference.mean(axis=0), patterns)
    draws = difference.mean(axis=1)
    agree = abs(np.sign(draws).sum()) == len(draws)  # all up, or all down
    seen = agree and (interval.low > 0 or interval.high < 0)
    return {
        "comparison": f"{before} -> {after}",
        "points": f"{100 * interval.value:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]",
        "draw by draw": ", ".join(f"{100 * draw:+.1f}" for draw in draws),
        "verdict": ("better" if interval.value > 0 else "worse") if seen else "no difference seen",
    }


verdicts = pd.DataFrame([gain("export", "cleaned"), gain("cleaned", "curated"), gain("export", "curated")])
print(f"500 curated rows against the whole export: {verdicts['verdict'].iloc[2]}, {verdicts['points'].iloc[2]} points")
verdicts

# %% [markdown]
# A verdict needs both: an interval that leaves out zero (so it is not these tickets) and draws that all point the same
# way (so it is not this draw). "No difference seen" is no proof that there is none: look at how wide the interval is, and
# ask whether a difference of that size would matter to you.
#
# Now one training of your own on the 500.

# %% tags=["allow-stderr"]
tuned, its_tokenizer, result = fine_tune(arms["curated"], settings["cleaning_steps"], LIVE_SEED)
answers_now = generate(tuned, its_tokenizer, [row["messages"][:-1] for row in held_out]).texts
now = score_records(answers_now, references)
recorded = 100 * by_arm["curated"].mean(axis=1)
print(f"this run {100 * now.field_accuracy.mean():.1f} %; recorded: {', '.join(f'{score:.1f} %' for score in recorded)}")

# %% [markdown]
# What this experiment can and cannot see:
#
# - **Which question it asks.** All three had the same few steps, so the whole export was not even read once. With as many
#   steps as each set deserves, the larger set gets more training too, and more of its faults.
# - **What the price was.** The 500 curated rows were picked out of many more that somebody had labelled and you had
#   cleaned. "Fewer rows" is not "less work".
# - **What cleaning is for, besides points.** The raw rows teach keys and card numbers, and some are tickets of the
#   validation set in other words: that is why only tickets without a copy in the export are scored here. Reason enough.
#
# Where do the points come from, or go to?

# %%
pd.DataFrame({"this run on curated rows": now.field_table()})

# %% [markdown]
# The three agents had their habits with the queue, the urgency and the tone. Train on `arms["cleaned"]` in the cell above
# and look at these three again.

# %% [markdown]
# ## One system prompt, and what happens when it drifts
#
# Do all rows of the export begin in the same way?

# %%
drifted, without = (report.counts.get(code, 0) for code in ("system_drift", "missing_system"))
print(f"{drifted} rows of the export have another system prompt than the others, {without} have none")

# %% [markdown]
# Does it matter which words stand there, if the model has learned the task anyway? Ask the model that you have just
# trained, with the prompt of its training and with others.

# %%
other_prompts = {
    "one word more": "Please triage the ticket.",
    "a general one": "You are a helpful assistant.",
    "a long one": "Return a JSON object with the queue, the urgency, the product, the order number, the tone and the request.",
}
asked = held_out[:60]


def ask(system):
    chats = [[{"role": "system", "content": system}, *row["messages"][1:-1]] for row in asked]
    return score_records(generate(tuned, its_tokenizer, chats).texts, references[: len(asked)])


kept = score_records(answers_now[: len(asked)], references[: len(asked)])
drift = {"as in training": kept} | {name: ask(system) for name, system in other_prompts.items()}
accuracy = {name: each.summary()["field_accuracy"] for name, each in drift.items()}
show(systems_figure(accuracy), systems_alt(accuracy))

# %%
from ftlab.evaluation import compare

for name in other_prompts:
    seen = compare(kept.field_accuracy, drift[name].field_accuracy, metric="field_accuracy")
    change = f"{100 * seen.delta:+.1f} points [{100 * seen.low:+.1f}, {100 * seen.high:+.1f}]"
    print(f"{name}: {change}, {seen.verdict}; {drift[name].valid_json.mean():.0%} of the answers are valid JSON")

# %% [markdown]
# Nothing in the [weights](GLOSSARY.md#parameter) has changed, only one line in front of the ticket. A prompt that costs
# nothing today may cost something after the next training, and nobody will look for the reason in a greeting. So write
# it once, keep it short, put the same text in every row and every call, and keep it in one place that both programs
# read. (The kit has a prompt for writing it: `system_prompt`.)

# %% [markdown]
# ## Have examples drafted
#
# Thin cases need more rows, and writing them by hand is slow. Usual is: a strong model drafts, an expert reviews. The
# prompt for it is in the kit; here it asks for answers to real tickets that nobody has labelled.

# %%
from ftlab.prompt_kit import read_kit

unlabelled = held_out[:24]  # as if: their labels are known, and are used only at the end
checked = [row["messages"] for row in train_rows[:2]]
request = read_kit()["draft_examples"].fill(
    task="turn a support ticket into one JSON object",
    answer_rules=f"keys: {', '.join(json.loads(references[0]))}; null where the ticket says nothing",
    examples="\n".join(f"INPUT: {turns[1]['content']} ANSWER: {turns[2]['content']}" for turns in checked),
    inputs="\n".join(row["messages"][1]["content"] for row in unlabelled[:2]),
    coverage="the inputs above, nothing else",
    count="2",
)
print(f"{len(request):,} characters, {len(tokenizer(request)['input_ids']):,} tokens; it ends:\n{request[-330:]}")

# %% [markdown]
# Give it to any model that speaks OpenAI's protocol, on your machine or elsewhere. Without one, `nano` has to try.

# %% tags=["allow-stderr"]
from ftlab.data.review import parse_drafts
from ftlab.prompt_kit import run_prompt

DRAFTER = None  # {"base_url": "http://localhost:11434/v1", "model": "qwen3:8b"}; "api_key" where one is needed

if DRAFTER:
    drafter, text = DRAFTER["model"], run_prompt(request, **DRAFTER, confirm=True).answer
else:
    base, base_tokenizer = FastLanguageModel.from_pretrained(
        model_name=resolve(MODEL), max_seq_length=2048, dtype=precision, load_in_4bit=torch.cuda.is_available()
    )
    FastLanguageModel.for_inference(base)
    try:
        drafter, text = MODEL, generate(base, base_tokenizer, [[{"role": "user", "content": request}]], 150).texts[0]
    except DataError as error:  # the prompt is longer than the model can read
        drafter, text = MODEL, ""
        print(error)
drafted = parse_drafts(text, source=drafter, system=SYSTEM["content"])
print(f"{drafter} wrote: {text[:200]!r}\n\nusable rows: {len(drafted.rows)} of 2")
drafted

# %% [markdown]
# The reading is strict about one thing: every line of the answer is either in a row or in a finding. A model that cannot
# follow a prompt of this length is no drafter, however well it does after training; drafting is work for a strong model.
# Read what its terms say about training on its answers.
#
# There is a second way to a draft: the model that you trained answers the new tickets itself. Its mistakes are the ones
# that you want to see.

# %%
drafts = [
    {
        "id": f"draft-{row['id']}",
        "messages": [*row["messages"][:-1], {"role": "assistant", "content": text}],
        "provenance": {"source": f"{MODEL}, tuned on {len(arms['curated'])} curated rows", "prompt": SYSTEM["content"]},
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
# The checks and the label policy see what is wrong in form. How much of what is really wrong do they see?

# %%
truth = {f"draft-{row['id']}": json.loads(reference) for row, reference in zip(held_out, references, strict=True)}
drafts_checked = check_chat(folder / "drafts.jsonl").placed
objected = {finding.line for finding in drafts_report.findings if finding.severity == "error"}
objected |= {row.line for row in drafts_checked if not POLICY.is_valid(parse_record(answer(row)))}
known = [row for row in drafts_checked if row.data["id"] in truth]
is_wrong = {row.line: parse_record(answer(row)) != truth[row.data["id"]] for row in known}
unseen_wrong = sum(wrong_here and line_ not in objected for line_, wrong_here in is_wrong.items())
print(f"{len(known)} drafts, {sum(is_wrong.values())} wrong somewhere; the checks object to {len(objected & set(is_wrong))}")
print(f"wrong, and no check says so: {unseen_wrong}. Only somebody who reads the ticket finds these.")

# %% [markdown]
# ## Review them
#
# So read. One example at a time, the keys stand below the buttons, and each decision is on the disk before the next
# example shows: close the notebook in the middle and go on tomorrow. (A few are decided already. Somebody who knew the
# answers did that, so that this page has something to show.)

# %%
from ftlab.data.review import Review

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
from ftlab.widgets import review_table

review_table(Review.open(folder / "drafts.jsonl", folder / "reviewed.jsonl", reviewer="you"))

# %% [markdown]
# The table above shows the drafts and the decisions also where nothing is live. What is kept carries its history with it:
# who drafted it, with which prompt, who decided, and when.

# %%
if review.progress.kept:
    review.save(force=True)
    kept_rows = read_chat(folder / "reviewed.jsonl")
    display(pd.DataFrame([{"id": row["id"], **row["provenance"]} for row in kept_rows]))
print(review.progress)

# %% [markdown]
# In a year somebody will ask why the model says what it says, or whether it may have learned from that source at all.
# Then this table is the answer. Drafts are for training only: a test set that a model drafted measures how much you agree
# with that model.

# %% [markdown]
# ## Export for a service

# %%
from ftlab.data.export import export

train_placed, validation_placed = splits["by customer, cleaned"]
train = [row.data for row in train_placed]
exported = export(train_placed, "openai", OUT / "openai", validation=validation_placed, tokenizer=tokenizer, force=True)
exported

# %% [markdown]
# The rows pass this service's rules; the warnings are about the service. It is closing, and a model tuned there is shut
# down with it. Some limits could not be found out, and are named instead of guessed. What the service knows no field for
# (`customer`, `agent`) stays at home, which is just as well.

# %%
shown = ["limit", "value", "source_date", "confidence", "note"]
with pd.option_context("display.max_colwidth", None):
    display(pd.DataFrame(limits("openai").values())[shown])

# %% [markdown]
# H: read at the source; M: one good secondary source. An empty value was not found.

# %% [markdown]
# ## What will the training cost?
#
# Services bill tokens times [epochs](GLOSSARY.md#epoch). (Counted with `nano`'s [tokenizer](GLOSSARY.md#tokenizer),
# whose small vocabulary cuts a text into more pieces than a large model's does: an estimate on the high side. The
# export above counts turns in another way and differs a little.)

# %%
from ftlab.costs.prices import load_prices

epochs = 3
tokens = lengths(train_placed, tokenizer).tokens(max_length=MAX_LENGTH, epochs=epochs)
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
        "mind": "; ".join(price.warnings),
    })
print(f"{tokens:,} tokens in {epochs} epochs of {len(train_placed):,} rows")
with pd.option_context("display.max_colwidth", None):
    display(pd.DataFrame(rows))

# %% [markdown]
# For data of this size the training is the smallest bill. What costs is the work above, and later each call; notebook 10
# does the whole sum. An unknown price stays unknown: it is not zero.

# %% [markdown]
# ## The quality card
#
# Everything that somebody should know before using this file, from the numbers above. Put it into the README next to it.

# %%
final = lengths(splits["by customer, cleaned"][0], tokenizer)
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
    "tokens a row": f"median {final.percentile(50):.0f}, 95 % up to {final.percentile(95):.0f}, longest {max(final.total)}",
    "balance (1 is even)": ", ".join(f"{f} {label_table(train_placed, f).balance:.2f}" for f in LABELS),
    "languages": f"English, {left.counts.get('other_language', 0)} rows in others, kept on purpose",
    "private data": f"{masked} pieces masked (keys, cards, accounts, mail, phones); names and addresses not looked for",
    "leaks": f"{VALIDATION.name}: {leaked['validation']} rows; {TEST.name}: {leaked['test']} rows",
    "known wrong": f"{in_train / len(train):.0%} of the training rows have a wrong label ({len(DOUBTFUL)} agents): label again",
}
print("| what | value |\n|---|---|")
for what, value in card.items():
    print(f"| {what} | {value} |")

# %% [markdown]
# ## What is known about large models
#
# That fewer and better rows can beat more has been reported for large models (LIMA and AlpaGasus, in the table above);
# whether your run agreed stands in the verdicts. Wrong labels are everywhere: about 3 % on average in the *test* sets of
# ten well-known collections (Northcutt et al. 2021, arXiv:2103.14749). What `nano` cannot show is how well a large model
# shrugs off noise that has no pattern; a habit of one labeller is a pattern, and patterns are what models learn. Nor does
# its curve hold for a large model, which knows much of a task before the first row: the shape can be compared, the
# numbers cannot.
#
# ## What you have seen
#
# - Look, count, repair what has one right repair, decide the rest in writing, and check again.
# - Rows vanish in silence: by length, by form, by a converter. In and out must add up.
# - Leaks and twins go before the split, groups go together in the split.
# - Checks find faults of form. Wrong labels are found by comparing people, and by reading.
# - Rows count in doublings. Measure what one buys, with its interval, before you pay for the next.
# - One training is one dot. A claim about data needs several draws, and the same tickets for both sides.
# - One system prompt, in one place. Drafts come with their history and are kept only by a person.
#
# **Read next:** [06 Train with Unsloth](06_train_with_unsloth.ipynb).
