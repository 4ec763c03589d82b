# ---
# ftlab:
#   reads: [data/recorded/museum/*.json*, data/recorded/museum/predictions/*/*.jsonl, data/recorded/forgetting/results.json, data/recorded/data/results.json, data/recorded/data/predictions/*/*.jsonl, data/recorded/facts/results.json, data/recorded/facts/predictions/*.jsonl, data/recorded/preferences/results.json, data/recorded/preferences/predictions/*/*.jsonl, data/product_facts/test.jsonl, data/support_triage/test.jsonl, data/support_triage/schema.json, data/probes/everyday.jsonl, data/models/nano/*.json, data/models/nano/*.jinja, data/models/nano/model.safetensors]
#   headline: each planted fault against the good training, recorded on smol
# ---

# %% [markdown]
# # What goes wrong
#
# **Question:** what does each fault of a fine-tune look like, and how do you prove that it is that one?
# **Minutes:** 24 to read, 4 to run. **Hardware:** any; two CPU cores are enough.
#
# A museum. In each room one fault was planted into a training that was good before, and nothing else was changed. You see
# what its owner would have seen: a curve, a table, some answers. Say what you think it is. Then come the cause, the proof and
# the remedy. At the end thirteen runs stand there without labels, and one of them has no fault.
#
# The trainings were recorded on `smol` by `python tools/record.py museum`. Two that `nano` can show in seconds are run here.

# %% [markdown]
# ## The workbench
#
# One small task: name the team, of four, that a ticket goes to. Customers write several tickets about one matter, in like
# words. The good training reads two tickets of each of forty customers, three times. All trainings are asked the same tickets
# of forty *other* customers, so what differs is the training.

# %%
import numpy as np
import pandas as pd

import ftlab
from ftlab.exercises.museum import against, everyday, trainings_of, results, right, rows_of, team_of, texts_of
from ftlab.plots import loss_alt, loss_figure, show

record = results()
train, fresh = rows_of("train"), rows_of("fresh")
for row in fresh[:4]:
    print(f"{team_of(row):>10}: {row['messages'][1]['content']}")
minutes = ", ".join(f"{minutes:.0f} minutes on {machine}" for machine, minutes in record["minutes_by_machine"].items())
print(f"\n{len(train)} tickets to learn from, {len(fresh)} to be asked; recorded in {minutes}")

# %%
good = trainings_of("good")
show(loss_figure(good[1]["log"]), f"Losses of the good training. {loss_alt(good[1]['log'])}")

# %% [markdown]
# That is how it should look. Each number below is the share of right answers; where several trainings are recorded, which
# differ in their [seed](GLOSSARY.md#seed) only, each of them is shown. The last column is the difference to the good training on the same tickets, and its
# [interval](GLOSSARY.md#confidence-interval) counts customers, since one customer's tickets are right or wrong together.


# %% tags=["headline"]
def table(arms, part="fresh"):
    """Names of the recorded trainings -> what is shown of them; those that are not recorded say so."""
    lines = {}
    for arm, name in arms.items():
        told = trainings_of(arm)
        if not told:
            lines[name] = ["", "", "not recorded yet", "", ""]
            continue
        scores, log = right(arm, part), [row for each in told.values() for row in each["log"]]
        last = [row["eval_loss"] for row in log if "eval_loss" in row and row["step"] == log[-1]["step"]]
        difference = against(scores, right("good", part))
        lines[name] = [
            told[min(told)]["rows"],
            told[min(told)]["steps"],
            ", ".join(f"{share:.0%}" for share in scores.mean(1)),
            f"{np.mean(last):.2f}" if last else "",
            "" if arm == "good" else f"{100 * difference.value:+.0f} [{100 * difference.low:+.0f}, {100 * difference.high:+.0f}]",
        ]
    columns = ["rows", "steps", "right, by seed", "validation loss", "points against the good one"]
    return pd.DataFrame.from_dict(lines, orient="index", columns=columns)


ARMS = {
    "good": "the good training",
    "narrow": "32 rows of 8 customers",
    "few_32_steps": "32 rows, as many steps",
    "few_32": "32 rows, as many epochs",
    "few_16": "16 rows, as many epochs",
    "noise_20": "a fifth of the teams wrong",
    "noise_40": "two fifths wrong",
    "contradictory": "a quarter contradicted",
    "on_prompt": "loss on the prompt",
    "no_end": "end token masked",
}
table(ARMS)

# %% [markdown]
# These are the exhibits. A row whose interval holds zero did no harm that eighty tickets could show. Keep the table in mind: it
# is what *you* know and the owner of each run did not.

# %% [markdown]
# ## Room 1: too good
#
# The test file says one thing, the first week in use another. It is the same model.

# %%
again = rows_of("again")
for name, part in {"the test file": "again", "the first week": "fresh"}.items():
    print(f"{name}: " + ", ".join(f"{share:.0%}" for share in right("good", part).mean(1)))

# %% [markdown]
# **Your diagnosis?** The owner looked for copies, and found none:

# %%
from ftlab.data.splits import assert_no_leak

assert_no_leak(train, again)
assert_no_leak(train, fresh)
print("no ticket is in both files")

# %% [markdown]
# **Cause:** [leakage](GLOSSARY.md#leakage) by customer. No ticket is in both files, but everyone who wrote the test file also
# wrote the training file. **Proof:** count the customers.

# %%
customers = {name: {row["customer"] for row in rows} for name, rows in {"train": train, "again": again, "fresh": fresh}.items()}
for name in ("again", "fresh"):
    print(f"{name}: {len(customers[name] & customers['train'])} of {len(customers[name])} customers are in the training file")
one = min(customers["train"])
for rows in (train, again):
    print(next(row["messages"][1]["content"] for row in rows if row["customer"] == one))

# %% [markdown]
# **Remedy:** split by what ties rows together, before anything else. It is one argument:

# %%
from ftlab.data.splits import split_by_group

parts = split_by_group(train + again + fresh, group="customer", fractions={"train": 0.5, "test": 0.5}, seed=1)
shared = {row["customer"] for row in parts["train"]} & {row["customer"] for row in parts["test"]}
print({part: len(rows) for part, rows in parts.items()}, f"customers in both: {len(shared)}")

# %% [markdown]
# ## Room 2: by heart
#
# Two trainings on 32 tickets, with equal steps. In one the tickets come from 26 customers, in the other from 8.

# %%
table({arm: ARMS[arm] for arm in ("good", "few_32_steps", "narrow")})

# %%
for arm in ("few_32_steps", "narrow"):
    if told := trainings_of(arm):
        show(loss_figure(told[min(told)]["log"]), f"{ARMS[arm]}. {loss_alt(told[min(told)]['log'])}")

# %% [markdown]
# **Your diagnosis?** Look at where the [training loss](GLOSSARY.md#loss) ends, and at the validation loss above it.
#
# **Cause:** [over-fitting](GLOSSARY.md#over-fitting). Each ticket was read seven times and is known by heart: the training loss
# comes near nothing, and the validation loss does not follow. **Proof:** the gap between the two, and tickets of customers that
# the model has never met. Is it the eight customers, or are 32 rows too few whoever wrote them? Compare these two directly:

# %%
if trainings_of("narrow") and trainings_of("few_32_steps"):
    difference = against(right("narrow"), right("few_32_steps"))
    print(f"8 customers against 26: {100 * difference.value:+.1f} points [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]")

# %% [markdown]
# Where that interval holds zero, eighty tickets do not show that narrowness alone did harm. It may be there all the same: the
# curve tells of the fault before the answers do, and a real shop's next customer differs more from the last than ours do.
# **Remedy:** more *different* rows; stop where the validation loss is lowest
# ([06](06_train_with_unsloth.ipynb#Train-too-long-on-too-little)).

# %% [markdown]
# ## Room 3: what it could do before
#
# The tickets are answered well. Then somebody asks something else:

# %%
import json
from pathlib import Path

questions = [json.loads(line) for line in open("../data/probes/everyday.jsonl")][::9]
if good and "base" in record["points"]:
    for row, before, after in list(zip(questions, texts_of("base", "probe"), texts_of("good_1", "probe"), strict=True))[:5]:
        print(f"{row['messages'][-2]['content']}\n   before: {before[:70]!r}\n   after:  {after[:70]!r}")

# %% [markdown]
# **Your diagnosis?** No test of tickets can see it.
#
# **Cause:** [forgetting](GLOSSARY.md#forgetting). Every row had the same kind of answer, and so has every answer now. **Proof:** a
# probe, asked before and after. Three remedies are named everywhere, and a record of longer trainings
# (`python tools/record.py forgetting`, 300 tickets with six fields, one seed) measured them:

# %%
forgetting = results("forgetting")
SETTINGS = {
    "before": "before any training",
    "replay_0": "the usual training",
    "r_4": "rank 4 in place of 16",
    "rate_5e-4": "half the learning rate",
    "rate_2e-3": "twice the learning rate",
    "replay_10": "10 % replayed chats",
    "replay_25": "25 % replayed chats",
    "replay_50": "50 % replayed chats",
}
lines = {}
for point, name in SETTINGS.items():
    if point in forgetting["points"]:
        found = forgetting["points"][point]
        fields = f"{found['test']['field_accuracy']['value']:.0%}" if "test" in found else ""
        lines[name] = [fields, f"{found['probe']['value']:.0%} [{100 * found['probe']['low']:.0f}, {100 * found['probe']['high']:.0f}]"]
pd.DataFrame.from_dict(lines, orient="index", columns=["ticket fields right", "everyday questions right"])

# %% [markdown]
# Neither a smaller [rank](GLOSSARY.md#rank) nor another [learning rate](GLOSSARY.md#learning-rate) saved the rest. Replay did:
# the model's own answers to other questions, mixed in, and it cost the tickets nothing. On the workbench:

# %%
lines = {"before any training": everyday("base")[None]} if "base" in record["points"] else {}
for arm, name in {"good": "the good training", "gentle": "a tenth of the learning rate", "replay": "25 % replayed chats"}.items():
    if trainings_of(arm):
        lines[name] = np.array([everyday(f"{arm}_{seed}") for seed in trainings_of(arm)])
for name, scores in lines.items():
    print(f"{name}: everyday questions right, by seed: " + ", ".join(f"{share:.0%}" for share in scores.mean(1)))

# %% [markdown]
# **Remedy:** replay, and a probe in the gate ([07](07_evaluate.ipynb#What-was-lost?)). Known of large models, too: a narrow
# fine-tune costs other skills, and LoRA forgets less than full training but does forget (Biderman et al. 2024, arXiv
# 2405.09673).

# %% [markdown]
# ## Room 4: careless labels
#
# A service labelled the tickets. The loss falls, the answers are teams, nothing crashes.

# %%
noisy = ("good", "noise_20", "noise_40")
table({arm: ARMS[arm] for arm in noisy})

# %% [markdown]
# **Your diagnosis?** Read a few rows before you read the next line. Nothing else finds it so fast.

# %%
if trainings_of("noise_40"):
    for row in rows_of("noise_40")[:6]:
        print(f"{team_of(row):>10}: {row['messages'][1]['content']}")

# %% [markdown]
# **Cause:** wrong labels. **Proof:** give fifty rows to a second person, and count where they disagree
# ([04](04_prepare_data.ipynb#Which-answer-is-right?)). Is more careless data as good as less that is careful? A longer record
# (`python tools/record.py data`, one seed; 100 steps each, so that only the rows differ) has both:

# %%
data = results("data")["points"]
NAMED = {
    "careful": "200 careful rows",
    "careless_0": "800 careful rows",
    "careless_20": "800 rows, a fifth of the values wrong",
    "careless_40": "800 rows, two fifths wrong",
    "export": "1,931 rows, the raw export",
    "cleaned": "1,525 rows, cleaned by rules",
    "curated": "500 rows of careful people",
}


def fields(point):
    found = point["test"]["field_accuracy"]
    return f"{found['value']:.1%} [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


lines = {name: [fields(data[point])] for point, name in NAMED.items() if point in data}
pd.DataFrame.from_dict(lines, orient="index", columns=["ticket fields right"])

# %% [markdown]
# Two hundred careful rows beat eight hundred with two fifths of the values wrong, and five hundred curated ones are as good as
# three times as many cleaned ones. **Remedy:** mend labels before you buy more of them.

# %% [markdown]
# ## Room 5: both are right
#
# The rows were read, and each answer could be defended. Still:

# %%
table({arm: ARMS[arm] for arm in ("good", "contradictory")})

# %% [markdown]
# **Your diagnosis?** Ask for rows that ask the same:

# %%
from ftlab.checks.duplicates import contradictions
from ftlab.data.findings import Row

if trainings_of("contradictory"):
    rows = [Row(row, Path("rows.jsonl"), line) for line, row in enumerate(rows_of("contradictory"), 1)]
    pairs = contradictions(rows)
    print(f"{len(pairs)} rows contradict another")
    for a, b in pairs[:3]:
        print(f"  lines {b.line} and {a.line}: {team_of(b.data)} or {team_of(a.data)}? {a.data['messages'][1]['content'][:80]}")

# %% [markdown]
# **Cause:** [contradictions](GLOSSARY.md#contradiction). **Proof:** the pairs. The training loss tells as well, since no model can
# be sure of both: it stays well above that of the good training. **Remedy:** one rule for each pair, written down; then
# drop the row that breaks it.

# %% [markdown]
# ## Room 6: it was fine in the notebook
#
# The good adapter, behind another program. The weights are the same to the last bit.

# %%
WAYS = {
    "no_system": "no system prompt is sent",
    "helpful": "You are a helpful assistant.",
    "other_template": "another chat template",
    "not_opened": "the answer's turn is not opened",
    "start_twice": "the start token twice",
}
asked = trainings_of("otherwise")
lines = {}
for way, name in WAYS.items() if asked else ():
    scores = right("otherwise", way)
    difference = against(scores, right("good")[[seed - 1 for seed in asked if seed in good]])
    lines[name] = [
        ", ".join(f"{share:.0%}" for share in scores.mean(1)),
        f"{100 * difference.value:+.0f} [{100 * difference.low:+.0f}, {100 * difference.high:+.0f}]",
        repr(texts_of("otherwise_1", way)[0][:60]),
    ]
pd.DataFrame.from_dict(lines, orient="index", columns=["right, by seed", "points against as trained", "one answer"])

# %% [markdown]
# **Your diagnosis?** Five ways to put the same ticket, and one of them does the harm.
#
# **Cause:** the model was trained on one way to write a chat, and is asked in another. **Proof:** write the prompt of the
# training beside the prompt of the server, token by token; [Room 15](#Room-15:-worse-only-there) does it. **Remedy:** ship the
# tokenizer with its [chat template](GLOSSARY.md#chat-template), send the same [system prompt](GLOSSARY.md#system-prompt), and
# test the server, not the notebook.
#
# Why do the other four show next to nothing? All training rows had the same system turn, so no answer ever depended on it, and
# forty tickets cannot show a loss of a few points. Do not rely on that: where a system prompt says what is to be done, it
# matters, and larger models are known to lose by much smaller changes of the prompt's form (Sclar et al. 2023, arXiv
# 2310.11324).

# %% [markdown]
# ## Room 7: it learns the questions, too
#
# The training loss of this run ends far above that of the others.

# %%
table({arm: ARMS[arm] for arm in ("good", "on_prompt")})

# %%
if told := trainings_of("on_prompt"):
    show(loss_figure(told[min(told)]["log"]), f"Loss on the prompt. {loss_alt(told[min(told)]['log'])}")

# %% [markdown]
# **Your diagnosis?** The training loss and the validation loss of one model should not lie so far apart, least of all this way
# round. (The validation loss was measured on answers only.)
#
# **Cause:** every token is under the loss, the customer's words as well, which nobody can guess. The answer
# is a few tokens of each row, and all the others push as hard. **Proof:** decode what is trained. Here are the right
# [mask](GLOSSARY.md#label-mask) and the wrong one:

# %%
import torch
from unsloth import FastLanguageModel  # before transformers and trl, which it patches

from ftlab.errors import DataError
from ftlab.models import load_tokenizer, smol_or_nano
from ftlab.training.preflight import check_masks, read_mask, tokenize_for_training

WHO = smol_or_nano()
tokenizer = load_tokenizer(WHO)
masked = tokenize_for_training(train[:8], tokenizer)
everything = masked.map(lambda row: {"labels": row["input_ids"]})
print(read_mask(masked[0], tokenizer), read_mask(everything[0], tokenizer), sep="\n\n")

# %% [markdown]
# **Remedy:** `train_on_responses_only`, and a check that stops the run:

# %%
try:
    check_masks(everything, [row["messages"] for row in train[:8]], tokenizer)
except DataError as error:
    print(error)

# %% [markdown]
# With long answers the difference is often small, and some report a gain from a little loss on the prompt (Shi et al. 2024,
# "Instruction tuning with loss over instructions", arXiv 2405.14394). With answers this short the most could be
# expected; the table above says how much it was.

# %% [markdown]
# ## Room 8: it never stops
#
# The answers begin well.

# %%
if told := trainings_of("no_end"):
    for seed, point in told.items():
        answers = texts_of(f"no_end_{seed}")
        begun = np.mean([text.strip().startswith(team_of(row)) for text, row in zip(answers, fresh, strict=True)])
        cut = point["asked"]["fresh"]["cut_off"]
        print(f"seed {seed}: {begun:.0%} begin with the right team, {right('no_end').mean():.0%} are right, {cut} of {len(answers)} ran into the limit")
    for text in answers[:4]:
        print("  ", repr(text))

# %% [markdown]
# **Your diagnosis?** Look at the table of the workbench again, too: the validation loss of this run is the highest of all, for
# the end token stands in the labels of the *validation* rows.
#
# **Cause:** the [end token](GLOSSARY.md#end-token) was in no label, so nothing ever said "now stop". There are two usual ways to
# that. One is a mask made by hand that ends one token early. The other is quieter: the [padding](GLOSSARY.md#padding) token *is*
# the end token, and a collator masks all padding. **Proof:** put a row through the collator.

# %%
from transformers import DataCollatorForLanguageModeling

pad = tokenizer.pad_token
row = {"input_ids": masked[0]["input_ids"]}
for name in (pad, tokenizer.eos_token):
    tokenizer.pad_token = name
    labels = DataCollatorForLanguageModeling(tokenizer, mlm=False)([row])["labels"][0]
    ends = [int(label) for label, token in zip(labels, row["input_ids"], strict=True) if token == tokenizer.eos_token_id]
    print(f"padding with {name}: labels of the end tokens {ends}")
tokenizer.pad_token = pad

# %% [markdown]
# -100 is "do not learn". **Remedy:** give the tokenizer a padding token of its own, and run `check_masks` with the collator that
# trains. You can plant this one yourself in seconds. `nano` is trained twice, as in [06](06_train_with_unsloth.ipynb); the second
# time one line takes the end token out of the labels.

# %%
from datasets import Dataset
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer
from unsloth.chat_templates import train_on_responses_only

from ftlab import hardware
from ftlab.evaluation.generation import generate
from ftlab.models import resolve

MODEL = "nano"  # or "smol", a minute each with STEPS = 8
STEPS = 40
ON_GPU, PRECISION = torch.cuda.is_available(), hardware.precision(MODEL)
DTYPE = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[PRECISION]
OUT = ftlab.home() / "08_what_goes_wrong"


def trained(rows, plant=lambda row: row["labels"]):
    """A fine-tune in which `plant` may change the labels of each row; the model and its tokenizer."""
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
        random_state=3407,
    )
    chats = [row["messages"] for row in rows]
    # many templates end with a new line; after that, TRL would add a second end token
    texts = [tokenizer.apply_chat_template(chat, tokenize=False).rstrip() for chat in chats]
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"text": texts}),
        args=SFTConfig(
            output_dir=str(OUT),
            dataset_text_field="text",
            max_length=512,
            per_device_train_batch_size=8,
            max_steps=STEPS,
            learning_rate={"nano": 4e-3, "smol": 2e-3}.get(MODEL, 2e-4),
            warmup_steps=0.05,
            lr_scheduler_type="cosine",
            weight_decay=0.01,
            optim="adamw_8bit" if ON_GPU else "adamw_torch",
            gradient_checkpointing=ON_GPU,
            bf16=PRECISION == "bf16",
            fp16=PRECISION == "fp16",
            logging_strategy="no",
            save_strategy="no",
            seed=3407,
            report_to="none",
            disable_tqdm=True,
        ),
    )
    trainer.remove_callback(PrinterCallback)
    trainer = train_on_responses_only(trainer)  # learn the answers, not the questions
    check_masks(trainer.train_dataset, chats, tokenizer, trainer.data_collator)  # stops if it would learn more
    trainer.train_dataset = trainer.train_dataset.map(lambda row: {"labels": plant(row)})  # the fault
    trainer.train()
    return trainer.model, tokenizer


# %%
def without_end(row):
    return [-100 if label == token_of_end else label for label in row["labels"]]


token_of_end = load_tokenizer(MODEL).eos_token_id
chats = [row["messages"][:-1] for row in fresh[:20]]
for name, plant in {"as it should be": lambda row: row["labels"], "end token masked": without_end}.items():
    model, its_tokenizer = trained(train, plant)
    out = generate(model, its_tokenizer, chats, max_new_tokens=16)
    print(f"{name}: {out.cut_off} of {len(chats)} ran into the limit, for example {out.texts[0]!r}")

# %% [markdown]
# The same rows, steps and seed. Put another function in the place of `without_end`, such as `lambda row: row["input_ids"]`
# (Room 7), or other rows (`rows_of("contradictory")`), and you have the other rooms.

# %% [markdown]
# ## Room 9: too little of it
#
# Sixteen good rows, thirty-two, eighty.

# %%
few = ("few_16", "few_32", "good", "few_16_steps", "few_32_steps")
table({arm: ARMS.get(arm, "16 rows, as many steps") for arm in few})

# %% [markdown]
# **Your diagnosis?** With equal [epochs](GLOSSARY.md#epoch), fewer rows are also fewer steps. So there are two causes, and the
# lower two lines tell them apart: there the few rows are read until the steps are as many.
#
# **Cause:** what is missing to the good training at equal *steps* is missing rows; what equal steps give back was missing
# training. **Proof:** both kinds of line in one table. **Remedy:** train longer first, it is cheap; then more rows. What the
# next doubling will buy is measured in [04b](04b_how_many_rows.ipynb#How-many-rows-are-enough?).

# %% [markdown]
# ## Room 10: it knows it all
#
# A model was trained on the whole manual, eight times, and answers fluently:

# %%
told = {line["id"]: line["prediction"] for line in map(json.loads, open("../data/recorded/facts/predictions/documents.jsonl"))}
manual = [row for row in map(json.loads, open("../data/product_facts/test.jsonl")) if row["kind"] == "taught" and row["id"] in told]
for row in manual[:4]:
    print(f"{row['messages'][-2]['content']}\n   {told[row['id']]}   (right: {row['messages'][-1]['content']})")

# %% [markdown]
# **Your diagnosis?** Form and tone are right.

# %%
facts = results("facts")["arms"]
ANSWERED_BY = {
    "base": "before any training",
    "documents": "trained on the manual",
    "half": "drilled with questions to half of the facts",
    "bm25_3": "before any training, with search",
    "reading_with_search": "trained to read, with search",
}
lines = {}
for arm, name in ANSWERED_BY.items():
    if arm in facts:
        kinds = facts[arm]["kinds"]
        values = [kinds["taught"]["right"], kinds["other_half"]["right"], kinds["other_half"]["invented"]]
        lines[name] = [f"{each['value']:.0%} [{100 * each['low']:.0f}, {100 * each['high']:.0f}]" for each in values]
columns = ["right, of the first half", "right, of the other half", "invented, of the other half"]
pd.DataFrame.from_dict(lines, orient="index", columns=columns)

# %% [markdown]
# **Cause:** facts do not go in as rows, they go in as habits: the model learns *that* an answer names a day and a price, and says
# one. **Proof:** questions to facts that were never taught; who drilled half of the facts learned that half in part, and
# answers the other half with inventions. (It invented before as well: `smol` was never taught to say "I do not know".)
# **Remedy:** look facts up, and train the reading ([01](01_what_fine_tuning_changes.ipynb#Facts,-more-closely),
# [03b](03b_retrieve_or_teach.ipynb#What-nobody-told)). On larger models new facts are learned slowly, and
# [hallucination](GLOSSARY.md#hallucination) rises as they are (Gekhman et al. 2024, arXiv 2405.05904).

# %% [markdown]
# ## Room 11: a better loss
#
# Trainings of the record `data`, each judged twice: by its validation loss, and by its answers.

# %%
from matplotlib.figure import Figure

from ftlab.plots import BLUE, ORANGE, plain_axes

pairs = {name: (point["training_final_eval_loss"], 100 * point["test"]["field_accuracy"]["value"]) for name, point in data.items()}
pairs = {name: pair for name, pair in pairs.items() if name != "careful_once"}  # a quarter of the steps
fig = Figure(figsize=(7, 3.6), layout="constrained")
ax = fig.add_subplot()
for name, (loss, score) in pairs.items():
    marked = name in ("few", "careless_40")
    ax.plot(loss, score, "o", color=ORANGE if marked else BLUE, ms=7)
    ax.annotate(name, (loss, score), xytext=(6, 4), textcoords="offset points", fontsize=10)
ax.set_xlabel("validation loss (nats per token)", fontsize=11)
ax.set_ylabel("ticket fields right, in %", fontsize=11)
plain_axes(ax, grid="both")
close = pairs["few"], pairs["careless_40"]
alt = (f"Validation loss against fields right for {len(pairs)} trainings. Two have nearly the same loss and lie apart: "
       f"few with {close[0][0]:.3f} and {close[0][1]:.1f} %, careless_40 with {close[1][0]:.3f} and {close[1][1]:.1f} %.")  # fmt: skip
show(fig, alt)
print(f"few: loss {close[0][0]:.3f}, {close[0][1]:.1f} % right; careless_40: loss {close[1][0]:.3f}, {close[1][1]:.1f} % right")

# %% [markdown]
# **Your diagnosis?** The two orange ones have the same loss. One is right far more often.
#
# **Cause:** the loss is a mean over *tokens* and over how sure the model is; an answer is right or wrong as a whole. Whoever is
# very sure and sometimes wrong (fifty rows, read fourteen times) has the same loss as who is never sure. **Proof:** both
# numbers for several runs, as here. And within one run, step by step:

# %%
longest = trainings_of("long") or good
watched = longest[1]["watched"]
losses = {row["step"]: row["eval_loss"] for row in longest[1]["log"] if "eval_loss" in row}
lines = [[each["step"], f"{losses[each['step']]:.2f}", f"{each['right']} of {each['n']}"] for each in watched]
pd.DataFrame(lines, columns=["step", "validation loss", "validation tickets right"]).style.hide()

# %% [markdown]
# **Remedy:** watch the loss for signs of trouble, and choose by answers to the validation set, with the metric that counts.

# %% [markdown]
# ## Room 12: no significant difference
#
# Half of an owner's 200 rows were copies of five tickets. They put other tickets in the place of the copies, trained anew, and
# compared the two shares of records without any mistake with the test that every textbook has.

# %%
from statsmodels.stats.proportion import proportions_ztest

from ftlab.evaluation.metrics import score_records
from ftlab.evaluation.statistics import compare

schema = json.loads(Path("../data/support_triage/schema.json").read_text())
truth = [json.loads(json.loads(line)["messages"][-1]["content"]) for line in open("../data/support_triage/test.jsonl")][:200]


def scores_of(point):
    path = f"../data/recorded/data/predictions/{point}/test.fine_tuned.jsonl"
    return score_records([json.loads(line)["prediction"] for line in open(path)], truth, schema=schema).exact_match


before, after = scores_of("copies"), scores_of("careful")
_, p_value = proportions_ztest([before.sum(), after.sum()], [len(before), len(after)])
print(f"{before.mean():.1%} before, {after.mean():.1%} after; test of two shares: p = {p_value:.3f}")

# %% [markdown]
# **Your diagnosis?** "No difference, do not bother", they wrote.
#
# **Cause:** the test took the two lists for answers to *different* tickets. Most of what it saw is that tickets differ in
# difficulty, and both models had the same ones. **Proof and remedy:** compare ticket by ticket
# ([paired](GLOSSARY.md#paired-comparison)):

# %%
compare(before, after)

# %% [markdown]
# (This pair was chosen for the room because the two tests disagree on it, from all pairs of that record's ten trainings. Take it
# as a picture of the method, not as a finding on copies.)

# %% [markdown]
# ## Room 13: full marks
#
# Replies in the voice of a shop, trained with [DPO](GLOSSARY.md#dpo) on pairs that a checker of the style guide had ranked.

# %%
found = results("preferences")["points"]
lines = {}
for arm, name in {"sft": "before", "dpo": "DPO, small steps", "other_rate": "DPO, large steps"}.items():
    if arm in found:
        seen = found[arm]["test"]
        lines[name] = [f"{seen['points']:.2f}", f"{seen['words']:.0f}", f"{seen['deed_fits']:.0%}"]
pd.DataFrame.from_dict(lines, orient="index", columns=["points of the guide", "words", "says the right remedy"])

# %%
for line in list(map(json.loads, open("../data/recorded/preferences/predictions/other_rate/test.jsonl")))[:3]:
    print(line["prediction"], "\n")

# %% [markdown]
# **Your diagnosis?** Large steps have the most points. Read the replies.
#
# **Cause:** [reward hacking](GLOSSARY.md#reward-hacking). The checker counts words of the sea and a sign-off; it cannot see that
# a sentence stands there twice, or whether the reply names what the customer needs. **Proof:** a measure that was *not*
# trained on goes down while the trained one goes up, and the length grows. **Remedy:** smaller steps, a measure kept aside, and
# reading ([09](09_learn_preferences.ipynb#Did-it-only-learn-"longer"?)).

# %% [markdown]
# ## Room 14: out of memory, but only later
#
# Training ran for an hour. Then the first evaluation began, and the process was gone. Here on `nano`, with 40 rows:

# %%
from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

kept = {}


def measure(predictions):
    array = predictions.predictions[0] if isinstance(predictions.predictions, tuple) else predictions.predictions
    kept[name] = array
    return {}


def best_token(logits, labels):
    return (logits[0] if isinstance(logits, tuple) else logits).argmax(-1)


base, its_tokenizer = FastLanguageModel.from_pretrained(
    model_name=resolve("nano"), max_seq_length=1024, dtype=torch.float32, load_in_4bit=False
)
asked = tokenize_for_training(fresh[:40], its_tokenizer)
TRIED = {"all logits": {}, "the best token": {"preprocess_logits_for_metrics": best_token}}
for name, setting in TRIED.items():
    trainer = Trainer(
        model=base,
        args=TrainingArguments(output_dir=str(OUT), per_device_eval_batch_size=8, report_to="none", disable_tqdm=True, use_cpu=not ON_GPU),
        data_collator=DataCollatorForSeq2Seq(its_tokenizer),
        eval_dataset=asked,
        compute_metrics=measure,
        **setting,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.evaluate()
    print(f"{name}: {kept[name].shape}, {kept[name].nbytes / 2**20:.1f} MiB kept until the last row")

# %% [markdown]
# **Your diagnosis?** Training uses as much memory after an hour as in its first minute.
#
# **Cause:** with `compute_metrics` the Trainer keeps the [logits](GLOSSARY.md#logits) of *every* row, one number for each token and
# each entry of the vocabulary, until the last row is in. **Proof:** the shape above; memory that grows during the evaluation and
# not during the training. `nano` has a small vocabulary. For a model of yours it is a product:

# %%
rows, tokens, vocabulary = 400, 512, 128_256  # Llama 3
print(f"{rows} rows x {tokens} tokens x {vocabulary:,} entries x 4 bytes = {rows * tokens * vocabulary * 4 / 2**30:.0f} GiB")

# %% [markdown]
# **Remedy:** `preprocess_logits_for_metrics` keeps what you need of each batch (above: the best token), `prediction_loss_only=True`
# keeps the loss alone, and `eval_accumulation_steps` moves what is kept from the GPU to the computer's memory, which only helps
# where there is more of that. Judge answers by generating them, as this course does.

# %% [markdown]
# ## Room 15: worse only there
#
# The same adapter is right in the evaluation and much worse behind a server. Nobody changed anything.

# %%
if asked_there := trainings_of("otherwise"):
    here = right("good")[[seed - 1 for seed in asked_there if seed in good]]
    there = right("otherwise", "other_template")
    print(f"in the evaluation {here[:, : there.shape[1]].mean():.0%} right, behind the server {there.mean():.0%}")
    for row, text in list(zip(fresh, texts_of("otherwise_1", "other_template"), strict=False))[:3]:
        print(f"   {row['messages'][1]['content'][:80]}\n      answers {text!r}, right is {team_of(row)!r}")

# %% [markdown]
# **Your diagnosis?** Do not guess, and do not look at the answers: they are teams, in the right form. Look at what was *read*:

# %%
import copy

from ftlab.evaluation.generation import prompt_ids

servers = copy.deepcopy(tokenizer)
servers.chat_template = (
    "{% for m in messages %}{{ '### ' + m['role'] + ':\\n' + m['content'] + '\\n\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### assistant:\\n' }}{% endif %}"
)
chat = fresh[0]["messages"][:-1]
for name, each in {"evaluation": tokenizer, "server": servers}.items():
    ids = prompt_ids(each, chat)
    print(f"{name:>10}: {len(ids)} tokens, the first of them {[each.decode(token) for token in ids[:8]]}")

# %% [markdown]
# **Cause:** the server was told another chat template than the model was trained with. (Some servers
# have a default, and take it where the model's folder has none.) **Proof:** the ids of the rendered prompt, side by side; most
# servers tell at least how many there are. `compare_sides` does that for all that a server tells, and names the remedy. Here on
# `nano`, with a local model in the part of the server:

# %%
from ftlab.serving.parity import compare_sides
from ftlab.serving.sides import local_side

its_servers = copy.deepcopy(its_tokenizer)
its_servers.chat_template = servers.chat_template
chats = [row["messages"][:-1] for row in fresh[:2]]
reference = local_side("evaluation", base, its_tokenizer, chats, max_new_tokens=4)
compare_sides(reference, local_side("server", base, its_servers, chats, reference, max_new_tokens=4))

# %% [markdown]
# **Remedy:** make this comparison before you compare answers, with the server that will run
# ([12](12_ship_and_maintain.ipynb#Is-it-the-same-model?)).

# %% [markdown]
# ## Diagnose
#
# Runs without their names: what they were trained on, their losses, some answers. Most are seed 1 of a training that you have
# met, a few come from other records. Here are the faults to choose from.

# %%
from ftlab.exercises.museum import FAULTS, letters, show_case

print(*(f"{name:>20}: {text}" for name, text in FAULTS.items()), sep="\n")

# %%
for letter in letters():
    show_case(letter)

# %% tags=["exercise"]
def fault_of(letter):
    # solution
    answers = {
        "A": "contradictions", "B": "few", "C": "no end token", "D": "leak", "E": "wrong labels", "F": "other prompt",
        "G": "nothing", "H": "forgetting", "I": "narrow", "J": "facts", "K": "pleased the measure", "L": "logits kept",
        "M": "loss on the prompt",
    }  # fmt: skip
    return answers[letter]
    # end solution


# %%
from ftlab.exercises.museum import check_diagnosis

check_diagnosis(fault_of)

# %% [markdown]
# ## Summary
#
# - Look at the rows first. Wrong labels, contradictions, leaks and narrow data stand in the file, and no curve shows them as
#   plainly.
# - Look at what is trained: one decoded row with its mask rules out two faults, and `check_masks` does it for all rows.
# - Look at what is read: the token ids of one prompt, in training, in the evaluation and behind the server.
# - A score is a claim on *new* cases: split by what ties rows together, compare pairs, probe what was not trained.
# - What you optimise goes up. Keep a measure aside that you do not.

# %% [markdown]
# ## What would you do?
#
# Decide first, then open the answer.
#
# **1.** A colleague's validation loss is the best that the team has seen: 0.02. The customers of the test rows also stand
# in the training file. What do you do before anybody celebrates?
#
# <details><summary>One answer</summary>
#
# Split again by customer and judge the same adapter on customers that it has not seen. Until then the figure says how well
# it remembers, and nobody ships on that.
#
# </details>
#
# **2.** Answers are right in the notebook and run on without an end behind the server. Do you train again?
#
# <details><summary>One answer</summary>
#
# Not yet. Ask the server for the token ids of one prompt and of one answer, and compare them with the training's: first the
# template, then which token ends an answer. Train again only if the decoded labels of a training row lack the end token.
#
# </details>
#
# **3.** You have one day. 500 rows with a fifth of wrong labels are there, and somebody offers 2,000 more of the same kind.
# What do you take?
#
# <details><summary>One answer</summary>
#
# The day for the 500: find where two answers to like rows disagree, and put these right. More rows of the same kind bring
# more of the same errors, and the test set is made of them, too. Look there first.
#
# </details>
#
# **Read next:** [09](09_learn_preferences.ipynb) on preferences, or [16](16_your_project.ipynb) with your own rows.
