# ---
# ftlab:
#   reads: [data/brand_voice/guide.yaml, data/recorded/museum/*.json*, data/recorded/museum/predictions/*/*.jsonl, data/recorded/forgetting/results.json, data/recorded/data/results.json, data/recorded/data/predictions/*/*.jsonl, data/recorded/facts/results.json, data/recorded/facts/predictions/*.jsonl, data/recorded/preferences/results.json, data/recorded/preferences/predictions/*/*.jsonl, data/product_facts/test.jsonl, data/brand_voice/test.jsonl, data/support_triage/test.jsonl, data/support_triage/schema.json, data/probes/everyday.jsonl, data/models/nano/*.json, data/models/nano/*.jinja, data/models/nano/model.safetensors]
#   headline: each planted fault against the good training, recorded on smol
# ---

# %% [markdown]
# # What goes wrong
#
# **Question:** what does each fault of a fine-tune look like, and how do you prove that it is that one?
# **Minutes:** 34 to read, 1 to run. **Hardware:** any; two CPU cores are enough.
#
# A museum. In each room one fault was planted into a training that was good before, and the rest kept as far as it could be. You see
# what its owner would have seen: a curve, a table, some answers. Say what you think it is. Then come the cause, the proof and
# the remedy. At the end thirteen runs stand there without labels, and one of them has no fault.
#
# The trainings were recorded on `smol`; each room prints the command that makes its own anew. Rooms 3, 4 and 10 to 13 read other
# records, too, with one training of each kind. Six faults can be planted live, in seconds ([Room 8](#Room-8:-it-never-stops)).
# After Room 7 is a place to stop.

# %% [markdown]
# ## The workbench
#
# One small task: name the team, of four, that a ticket goes to. Customers write several tickets about one matter, in like
# words. (The tickets are made up: a customer is one way to phrase one matter, and names and order numbers were filled in
# afterwards, so signatures of one customer differ.) The good training reads two tickets of each of forty customers, three times. All
# trainings are asked the same tickets of forty *other* customers, so what differs is the training.

# %%
import numpy as np
import pandas as pd

import ftlab
from ftlab.exercises.museum import (
    against, between, customers_of, everyday, in_points, made_by, patterns, results, right, rows_of, scored_by, show_losses,
    team_of, texts_of, trainings_of,
)  # fmt: skip
from ftlab.evaluation.statistics import compare, difference_interval, paired_wald, score_interval
from ftlab.plots import show

record = results()
train, fresh = rows_of("train"), rows_of("fresh")
for row in fresh[:4]:
    print(f"{team_of(row):>10}: {row['messages'][1]['content']}")
print(f"\n{len(train)} tickets to learn from, {len(fresh)} to be asked")
print(made_by("museum", "good"))

# %%
good = trainings_of("good")
show_losses("good")

# %% [markdown]
# That is how it should look. (The loss, in *nats a token*, says how improbable the right answer is to the model; lower is better.) In
# the table, *right* stands once for each training that is recorded; those of one line differ in their [seed](GLOSSARY.md#seed), which
# in the lines with wrong answers also draws which ones are wrong. The last column is the difference to the good trainings on the same
# tickets. Its [interval](GLOSSARY.md#confidence-interval) holds what could have come out otherwise: the customers, whose tickets are
# right or wrong together, and the seeds (where there is one training, the customers alone). Three seeds say little about a fourth, so
# where they lie apart, the interval is wide. All lines are held against the *same* three good trainings: if these were lucky, all
# lines look bad together.

# %% tags=["headline"]
def table(arms):
    """Names of the recorded trainings -> what is shown of them; those that are not recorded say so."""
    lines = {}
    for arm, name in arms.items():
        if not (told := trainings_of(arm)):
            lines[name] = ["", "", "not recorded yet", "", ""]
            continue
        scores, first, ends = right(arm), told[min(told)], [each["log"][-1].get("eval_loss") for each in told.values()]
        lines[name] = [
            first["rows"],
            first["steps"],
            ", ".join(f"{share:.0%}" for share in scores.mean(1)),
            f"{np.mean(ends):.2f}" if all(ends) else "",
            "" if arm == "good" else in_points(against(scores, right("good"))),
        ]
    columns = ["rows", "steps", "right, by seed", "validation loss at the end", "points against the good ones"]
    return pd.DataFrame.from_dict(lines, orient="index", columns=columns)


ARMS = {
    "good": "the good training",
    "narrow": "32 rows of 8 customers",
    "few_32_steps": "32 rows, as many steps",
    "few_32": "32 rows, as many epochs",
    "few_16_steps": "16 rows, as many steps",
    "few_16": "16 rows, as many epochs",
    "noise_20": "a fifth of the teams wrong",
    "noise_40": "two fifths wrong",
    "contradictory": "a quarter contradicted",
    "on_prompt": "loss on the prompt",
    "no_end": "end token masked",
}
table(ARMS)

# %% [markdown]
# These are the exhibits. Where an interval holds zero, eighty tickets and so few trainings do not show a harm; that is not the same
# as none. (And of ten such intervals, each right 19 times in 20, one may well miss by chance.) Keep the table in mind: the owner of
# each run did not have it.

# %% [markdown]
# ## Room 1: too good
#
# The test file says one thing, the first week in use another. It is the same model.

# %%
for name, part in {"the test file": "again", "the first week": "fresh"}.items():
    seeds = right("good", part)
    share = score_interval(seeds.mean(0), customers_of(part))
    print(f"{name}: {share!r} right; by seed: " + ", ".join(f"{each:.0%}" for each in seeds.mean(1)))
print(f"the test file is better by {in_points(between('again', 'fresh'))} points (interval over customers and seeds)")
print(made_by("museum", "good"))

# %% [markdown]
# **Your diagnosis?** The owner looked for copies, and found none:

# %%
from ftlab.data.splits import assert_no_leak, split_by_group

again = rows_of("again")
assert_no_leak(train, again)
assert_no_leak(train, fresh)
print("no ticket is in both files")

# %% [markdown]
# **Cause:** [leakage](GLOSSARY.md#leakage) by customer. No ticket is in both files, but everyone who wrote the test file also
# wrote the training file. **Proof:** count the customers.

# %%
wrote = set(customers_of("train"))
for part in ("again", "fresh"):
    print(f"{part}: {len(wrote & set(customers_of(part)))} of {len(set(customers_of(part)))} customers are in the training file")
for rows in (train, again):
    print(next(row["messages"][1]["content"] for row in rows if row["customer"] == min(wrote)))

# %% [markdown]
# That proves the leak, not its size: customers with four tickets or more went into training first, so they were not drawn by
# lot, and their tickets may be easier. (A training without them, asked both files, would settle it; it is not recorded.)
# **Remedy:** split by what ties rows together, before anything else. It is one argument:

# %%
parts = split_by_group(train + again + fresh, group="customer", fractions={"train": 0.5, "test": 0.5}, seed=1)
shared = {row["customer"] for row in parts["train"]} & {row["customer"] for row in parts["test"]}
print({part: len(rows) for part, rows in parts.items()}, f"customers in both: {len(shared)}")

# %% [markdown]
# ## Room 2: by heart
#
# Two kinds of training on 32 tickets, with equal steps. In one the tickets come from 26 customers, in the other from 8.

# %%
print(made_by("museum", "few_32_steps", "narrow"))
for arm in ("few_32_steps", "narrow"):
    show_losses(arm, ARMS[arm])
table({arm: ARMS[arm] for arm in ("good", "few_32_steps", "narrow")})

# %% [markdown]
# **Your diagnosis?** The first figure is that of the 26 customers. Look at where the [training loss](GLOSSARY.md#loss) ends, and
# at the validation loss above it.
#
# **Cause:** [over-fitting](GLOSSARY.md#over-fitting). Each ticket was read seven times or more and is known by heart: the
# training loss comes near nothing, and the validation loss does not follow. That is a sign, not yet a harm: [Room
# 9](#Room-9:-too-little-of-it) shows what the same steps were worth. **Proof:** the gap between the two, and tickets of
# customers that the model has never met. Is it the eight customers, or are 32 rows too few whoever wrote them? Compare these
# two directly:

# %%
if trainings_of("narrow") and trainings_of("few_32_steps"):
    print(f"8 customers against 26: {in_points(against(right('narrow'), right('few_32_steps')))} points")

# %% [markdown]
# Where that interval holds zero, the record does not show that narrowness alone did harm. It may all the same: a real shop's
# next customer differs more from the last than ours do. **Remedy:** more *different* rows. To stop early helps where the
# validation loss turns upwards ([06b](06b_tune_stop_resume.ipynb#Train-too-long-on-too-little)); look at the figures whether it
# would have helped here.

# %% [markdown]
# ## Room 3: what it could do before
#
# The tickets are answered well. Then somebody asks something else:

# %%
import json
from pathlib import Path

questions = [json.loads(line) for line in open("../data/probes/everyday.jsonl")][::9]
for row, before, after in list(zip(questions, texts_of("base", "probe"), texts_of("good_1", "probe"), strict=True))[:5]:
    print(f"{row['messages'][-2]['content']}\n   before: {before[:70]!r}\n   after:  {after[:70]!r}")

# %% [markdown]
# **Your diagnosis?** No test of tickets can see it.
#
# **Cause:** [forgetting](GLOSSARY.md#forgetting). Every row had the same kind of answer, and so has every answer now.
# **Proof:** a probe, asked before and after. Three remedies are named everywhere: a smaller [rank](GLOSSARY.md#rank), a smaller
# [learning rate](GLOSSARY.md#learning-rate), and **replay**: the model's own answers to other questions, mixed in. A record of
# longer trainings (300 tickets, six fields) tried all three:

# %%
forgetting = results("forgetting")["points"]
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


def shown(rate):
    return f"{rate['value']:.0%} [{100 * rate['low']:.0f}, {100 * rate['high']:.0f}]"


lines = {
    name: [
        forgetting[point].get("training_steps", ""),
        shown(forgetting[point]["test"]["field_accuracy"]) if "test" in forgetting[point] else "",
        shown(forgetting[point]["probe"]),
    ]
    for point, name in SETTINGS.items()
    if point in forgetting
}
print(made_by("forgetting"))
pd.DataFrame.from_dict(lines, orient="index", columns=["steps", "ticket fields right", "everyday questions right"])

# %% [markdown]
# Neither a smaller rank (with a smaller alpha) nor half the rate saved the everyday answers. Replay saved most of them, and on the
# tickets no loss is seen; but it took more steps, and what it costs at equal steps is not told. (These intervals take each ticket
# by itself; by phrasing they would be wider.) On the workbench, with a tenth of the rate beside it:

# %%
def seeds_and_mean(scores, groups=None):
    return ", ".join(f"{share:.0%}" for share in scores.mean(1)) + f": {score_interval(scores.mean(0), groups)!r}"


by_seed = {"before any training": ["", "", "", repr(score_interval(everyday("base"))), ""]}
for arm, name in {"good": "the good training", "gentle": "a tenth of the learning rate", "replay": "25 % replayed chats"}.items():
    if not (told := trainings_of(arm)):
        print(f"{name}: not recorded yet")
        continue
    kept = np.array([everyday(f"{arm}_{seed}") for seed in told])
    by_seed[name] = [
        told[min(told)]["steps"],
        seeds_and_mean(right(arm), customers_of("fresh")),
        "" if arm == "good" else in_points(against(right(arm), right("good"))),
        seeds_and_mean(kept),
        in_points(paired_wald(everyday("base"), kept.mean(0))),
    ]
print(made_by("museum", "base", "good", "gentle", "replay"))
asked = f"right of {len(questions)} everyday questions"
columns = ["steps", "new customers right", "points against the good ones", asked, "points against before"]
pd.DataFrame.from_dict(by_seed, orient="index", columns=columns)

# %% [markdown]
# Read the two shares of a line together. A tenth of the rate learned hardly anything in as many steps and still lost most of
# what was there: no remedy here. With replay most of it is kept, but not all: what is lost all the same stands in the last column,
# and a gate that allows two points would not pass it. So the share of replay has to be chosen, by a probe. What it costs the new
# customers, the interval in points leaves open. (The intervals of the shares, and of the last column, hold customers or questions, not
# seeds.)
#
# **Remedy:** replay, and a probe in the gate ([07](07_evaluate.ipynb#What-was-lost?)). Known of large models, too: a narrow
# fine-tune costs other skills, and LoRA forgets less than full training but does forget (Biderman et al. 2024, arXiv
# 2405.09673).

# %% [markdown]
# ## Room 4: careless labels
#
# A service labelled the tickets. The loss falls, the answers are teams, nothing crashes.

# %%
print(made_by("museum", "noise_20", "noise_40"))
table({arm: ARMS[arm] for arm in ("good", "noise_20", "noise_40")})

# %% [markdown]
# **Your diagnosis?** Read a few rows before you read the next line. Nothing else finds it so fast.

# %%
for row in rows_of("noise_40")[:6]:
    print(f"{team_of(row):>10}: {row['messages'][1]['content']}")
if trainings_of("noise_20"):
    print(f"\ntwo fifths wrong against one fifth: {in_points(against(right('noise_40'), right('noise_20')))} points")

# %% [markdown]
# **Cause:** wrong labels. **Proof:** give fifty rows to a second person, count where they disagree, and let a third decide those: a
# disagreement may be an error, or a question with two answers ([04](04_prepare_data.ipynb#Which-answer-is-right?)). Where the
# interval of the last line holds zero, two fifths were not shown to be worse than one fifth, which was bad enough.
#
# Is more careless data as good as less that is careful? A longer record has both (six fields, 100 steps of 8 rows, so each read 800
# rows: few ones several times, of many ones a part). Its intervals count phrasings: tickets that were phrased alike are right or wrong
# together. Each line is one training.

# %%
NAMED = {
    "careful": "200 careful rows",
    "careless_0": "800 careful rows",
    "careless_40": "800 rows, two fifths wrong in four of the fields",
    "export": "1,931 rows, the raw export",
    "cleaned": "1,525 rows, cleaned by rules",
    "curated": "500 rows of careful people",
}
print(made_by("data"))
for few, many in (("careful", "careless_40"), ("curated", "export"), ("curated", "cleaned")):
    found = compare(scored_by(many).field_accuracy, scored_by(few).field_accuracy, groups=patterns())
    print(f"{NAMED[few]} against {NAMED[many]}: {100 * found.delta:+.1f} points [{100 * found.low:+.1f}, {100 * found.high:+.1f}]")
shares = {name: repr(scored_by(point).summary(patterns())["field_accuracy"]) for point, name in NAMED.items()}
pd.DataFrame({"ticket fields right": shares})

# %% [markdown]
# With equal steps, two hundred careful rows, each read four times, beat eight hundred with two fifths wrong by far. Between five
# hundred curated rows and 800 drawn from the raw export the difference is small: two trainings of the *same* rows may lie as far apart
# ([06b](06b_tune_stop_resume.ipynb#What-a-setting-does-to-the-answers)), so with one training each it is not safe to believe. What the
# whole export would give in more steps, this record does not say. **Remedy:** mend labels before you buy more of them.

# %% [markdown]
# ## Room 5: both are right
#
# The rows were read, and every ticket has an answer that can be defended. Still:

# %%
print(made_by("museum", "contradictory"))
for arm in ("good", "contradictory"):
    ends = [np.mean([row["loss"] for row in told["log"] if "loss" in row][-10:]) for told in trainings_of(arm).values()]
    print(f"{ARMS[arm]}: training loss over the last ten steps, by seed: {', '.join(f'{end:.2f}' for end in ends)}")
table({arm: ARMS[arm] for arm in ("good", "contradictory")})

# %% [markdown]
# **Your diagnosis?** Ask for rows that ask the same:

# %%
from ftlab.checks.duplicates import contradictions
from ftlab.data.findings import Row

rows = [Row(row, Path("rows.jsonl"), line) for line, row in enumerate(rows_of("contradictory"), 1)]
pairs = contradictions(rows)
print(f"{len(pairs)} rows contradict another")
for a, b in pairs[:3]:
    print(f"  lines {b.line} and {a.line}: {team_of(b.data)} or {team_of(a.data)}? {a.data['messages'][1]['content'][:80]}")

# %% [markdown]
# **Cause:** [contradictions](GLOSSARY.md#contradiction). **Proof:** the pairs. The training loss tells as well, since no model
# can be sure of both: here it ends above that of the good trainings. (Wrong labels keep it high, too; the pairs tell which it
# is.) How much it costs varies: see how far apart the seeds lie. (Here the second answer was drawn by lot, so you see which one is
# wrong; in real data both may be defensible. And the copies took the place of twenty other tickets, which may be part of the harm.)
# **Remedy:** one rule for each pair, written down; then drop
# the row that breaks it.

# %% [markdown]
# ## Room 6: it was fine in the notebook
#
# The good adapter, asked as another program might ask it. The weights are the same to the last bit. (No other program ran:
# each way of asking was made here, by changing the chat or its template.)

# %%
WAYS = {
    "no_system": "no system prompt is sent",
    "helpful": "You are a helpful assistant.",
    "other_template": "another chat template",
    "not_opened": "the answer's turn is not opened",
    "start_twice": "the start token twice",
}
as_trained, lines = right("good")[[seed - 1 for seed in trainings_of("otherwise")]], {}
for way, name in WAYS.items():
    scores = right("otherwise", way)
    lines[name] = [
        ", ".join(f"{share:.0%}" for share in scores.mean(1)),
        in_points(against(scores, as_trained, same=True)),
        repr(texts_of("otherwise_1", way)[0][:60]),
    ]
print(made_by("museum", "good", "otherwise"))
there = right("otherwise", "other_template")
for seed, was, now in zip(trainings_of("otherwise"), as_trained, there, strict=True):
    print(f"another template, seed {seed}: {compare(was[: len(now)], now, groups=customers_of('fresh')[: len(now)])}")
pd.DataFrame.from_dict(lines, orient="index", columns=["right, by seed", "points against as trained", "one answer"])

# %% [markdown]
# **Your diagnosis?** Five ways to put the same ticket, and one of them is the lowest in each training.
#
# **Cause:** the model was trained on one way to write a chat, and is asked in another. **Proof:** write the prompt of the
# training beside the prompt of the server, token by token; [Room 15](#Room-15:-worse-only-there) does it. **Remedy:** ship the
# tokenizer with its [chat template](GLOSSARY.md#chat-template), send the same [system prompt](GLOSSARY.md#system-prompt), and
# test the server, not the notebook.
#
# How much the other template costs differs from training to training; that is why its interval in the table, which also holds what
# the *next* adapter would lose, is so wide. For the adapter in your hand, compare ticket by ticket: the lines above the table. The other four
# ways show next to nothing, and forty tickets cannot show a loss of a few points. Nobody could have known: the system turn was the
# same in all training rows, and so was the template, and only one of the two matters here. Larger models lose by much smaller changes
# of the prompt's form (Sclar et al. 2023, arXiv 2310.11324).

# %% [markdown]
# ## Room 7: it learns the questions, too
#
# The training loss of this run ends far above that of the good one.

# %%
print(made_by("museum", "on_prompt"))
show_losses("on_prompt", "Loss on the prompt")
table({arm: ARMS[arm] for arm in ("good", "on_prompt")})

# %% [markdown]
# **Your diagnosis?** The training loss and the validation loss of one model should not lie so far apart, least of all this way
# round. (The validation loss was measured on answers only.)
#
# **Cause:** every token is under the loss, the customer's words as well, which nobody can guess. The answer
# is a few tokens of each row, and all the others push as hard. **Proof:** decode what is trained. Here are the right
# [mask](GLOSSARY.md#label-mask) and the wrong one. **Remedy:** `train_on_responses_only`, and a check that stops the run:

# %%
import torch
from unsloth import FastLanguageModel  # before transformers and trl, which it patches

from ftlab.errors import DataError
from ftlab.models import load_tokenizer, resolve, smol_or_nano
from ftlab.training.preflight import check_masks, read_mask, tokenize_for_training

tokenizer = load_tokenizer(smol_or_nano())
masked = tokenize_for_training(train[:8], tokenizer)
everything = masked.map(lambda row: {"labels": row["input_ids"]})
print(read_mask(masked[0], tokenizer), read_mask(everything[0], tokenizer), sep="\n\n")
try:
    check_masks(everything, [row["messages"] for row in train[:8]], tokenizer)
except DataError as error:
    print(f"\n{error}")

# %% [markdown]
# The table above says how much it was here, and how unlike its seeds are. Do not take it for a law: Shi et al. (2024, "Instruction
# tuning with loss over instructions", arXiv 2405.14394) report a *gain* from loss on the prompt, most of all with long prompts, short
# answers and few rows, as here, on larger models and general tasks. Try both, and judge by answers.
#
# **Half-way.** Seven rooms are done, and this is a good place to stop for today. To go on later, run the cells above once more:
# they take seconds.

# %% [markdown]
# ## Room 8: it never stops
#
# The answers begin well.

# %%
for (seed, point), scores in zip(trainings_of("no_end").items(), right("no_end"), strict=True):
    answers = texts_of(f"no_end_{seed}")
    begun = np.mean([text.strip().startswith(team_of(row)) for text, row in zip(answers, fresh, strict=True)])
    cut = point["asked"]["fresh"]["cut_off"]
    print(f"seed {seed}: {begun:.0%} begin with the right team, {scores.mean():.0%} are right,", end=" ")
    print(f"{cut} of {len(answers)} ran into the limit")
print(*(f"   {text!r}" for text in answers[:4]), sep="\n")
print(made_by("museum", "no_end"))

# %% [markdown]
# **Your diagnosis?** Look at the table of the workbench again, too: the validation loss of this run is the highest of all, for
# the end token stands in the labels of the *validation* rows.
#
# **Cause:** the [end token](GLOSSARY.md#end-token) was in no label, so nothing ever said "now stop". There are two usual ways to
# that. One is a mask made by hand that ends one token early. The other is quieter: the [padding](GLOSSARY.md#padding) token *is*
# the end token, and a collator (what makes a batch of rows) masks all padding. **Proof:** put a row through the collator.

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
import time


def as_it_is(row):
    return row["labels"]


def without_end(row):
    return [-100 if label == token_of_end else label for label in row["labels"]]


token_of_end = load_tokenizer(MODEL).eos_token_id
LIVE = {  # what can be trained live, and the arm that the record calls so
    "as it should be": (train, as_it_is, "good"),
    "Room 2: 8 customers": (rows_of("narrow"), as_it_is, "narrow"),
    "Room 4: two fifths wrong": (rows_of("noise_40"), as_it_is, "noise_40"),
    "Room 5: a quarter contradicted": (rows_of("contradictory"), as_it_is, "contradictory"),
    "Room 7: loss on the prompt": (train, lambda row: row["input_ids"], "on_prompt"),
    "Room 8: end token masked": (train, without_end, "no_end"),
    "Room 9: 16 rows, as many steps": (rows_of("few_16"), as_it_is, "few_16_steps"),
}
RUN = ["as it should be", "Room 8: end token masked"]  # or any others of LIVE
for name in RUN:
    rows, plant, _ = LIVE[name]
    began = time.monotonic()
    model, its_tokenizer = trained(rows, plant)
    out = generate(model, its_tokenizer, [row["messages"][:-1] for row in fresh[:20]], max_new_tokens=16)
    teams = sum(text.strip() == team_of(row) for text, row in zip(out.texts, fresh[:20], strict=True))
    took = f"{name}: {time.monotonic() - began:.0f} seconds with {MODEL}"
    print(f"{took}; {teams} of 20 right, {out.cut_off} ran into the limit, for example {out.texts[0]!r}")
told = {name: [f"{point['minutes']:.0f}" for point in trainings_of(arm).values()] for name, (_, _, arm) in LIVE.items()}
pd.DataFrame({"minutes of a recorded training with smol, by seed": {name: ", ".join(each) for name, each in told.items()}})

# %% [markdown]
# The same rows, steps and seed; one line differs. Write another name of `LIVE` into `RUN`, and you have that room; on twenty tickets
# only a large difference shows. With `MODEL = "smol"` and 30 steps it is nearly the training of the record, whose minutes, with all
# answers and on a core that had other work, stand in the table.

# %% [markdown]
# ## Room 9: too little of it
#
# Sixteen good rows, thirty-two, eighty.

# %%
for fewer in ("few_32", "few_16"):
    if trainings_of(f"{fewer}_steps"):
        print(f"{ARMS[fewer]}: with as many steps {in_points(against(right(f'{fewer}_steps'), right(fewer)))} points more")
print(made_by("museum", "few_16", "few_32", "few_16_steps", "few_32_steps"))
table({arm: ARMS[arm] for arm in ("few_16", "few_32", "good", "few_16_steps", "few_32_steps")})

# %% [markdown]
# **Your diagnosis?** With equal [epochs](GLOSSARY.md#epoch), fewer rows are also fewer steps. So there are two causes, and the
# lower two lines tell them apart: there the few rows are read until the steps are as many.
#
# **Cause:** what equal steps give back was missing training; what is still missing to the good training at equal steps is
# missing rows. (Where that interval holds zero, it is not shown.) **Proof:** both kinds of line in one table. **Remedy:** train
# longer first, it is cheap; then more rows. Larger sizes, up to 800 rows, stand in
# [04b](04b_how_many_rows.ipynb#How-many-rows-are-enough?).

# %% [markdown]
# ## Room 10: it knows it all
#
# A model was trained on the whole manual, eight times, and answers fluently:

# %%
told = {line["id"]: line["prediction"] for line in map(json.loads, open("../data/recorded/facts/predictions/documents.jsonl"))}
manual = [row for row in map(json.loads, open("../data/product_facts/test.jsonl")) if row["kind"] == "taught" and row["id"] in told]
for row in manual[:4]:
    print(f"{row['messages'][-2]['content']}\n   {told[row['id']]}   (right: {row['messages'][-1]['content']})")
print(made_by("facts"))

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
    kinds = facts[arm]["kinds"]
    rates = kinds["taught"]["right"], kinds["other_half"]["right"], kinds["other_half"]["invented"]
    lines[name] = [shown(rate) for rate in rates]
columns = ["right, of the first half", "right, of the other half", "invented, of the other half"]
pd.DataFrame.from_dict(lines, orient="index", columns=columns)

# %% [markdown]
# **Cause:** read as text, the facts did not go in: after the whole manual hardly a question more is answered right. **Proof:**
# the columns of right answers. Questions about half of the facts brought in a part of *that* half, and next to nothing of the
# other.
#
# The third column proves nothing about training: `smol` invented nearly every answer before, since nobody taught it to say "I
# do not know", and after the drill it invents less. That new facts *add* inventions is reported of larger models (Gekhman et
# al. 2024, arXiv 2405.05904), and not seen here.
#
# **Remedy:** look facts up, and train the reading ([01](01_what_fine_tuning_changes.ipynb#Facts,-more-closely),
# [03b](03b_retrieve_or_teach.ipynb#What-nobody-told)); find [hallucinations](GLOSSARY.md#hallucination) by questions whose answer
# nobody told.

# %% [markdown]
# ## Room 11: a better loss
#
# Trainings of the record `data`, each judged twice: by its validation loss, and by its answers. Which of the two orange ones
# would you take?

# %%
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from ftlab.plots import BLUE, ORANGE, plain_axes

data = {name: point for name, point in results("data")["points"].items() if name != "careful_once"}  # a quarter of the steps
TWO = ("few", "careless_40")
pairs = {name: (point["training_final_eval_loss"], 100 * scored_by(name).field_accuracy.mean()) for name, point in data.items()}
fig = Figure(figsize=(7, 3.6), layout="constrained")
ax = fig.add_subplot()
for name, (loss, score) in pairs.items():
    ax.plot(loss, score, "o", color=ORANGE if name in TWO else BLUE, ms=7)
    ax.annotate(name, (loss, score), xytext=(6, 4), textcoords="offset points", fontsize=10)
ax.set_xlabel("validation loss (nats per token)", fontsize=11)
ax.set_ylabel("ticket fields right, in %", fontsize=11)
plain_axes(ax, grid="both")
alt = "; ".join(f"{name} {loss:.3f} and {score:.1f} %" for name, (loss, score) in pairs.items())
show(fig, f"Validation loss against fields right for {len(pairs)} trainings: {alt}.")
for name in TWO:
    losses = f"validation loss {pairs[name][0]:.3f}, training loss {data[name]['training_final_loss']:.3f}"
    print(f"{name}: {losses}, {pairs[name][1]:.1f} % right")
together = spearmanr(*zip(*pairs.values(), strict=True)).statistic
print(f"over all {len(pairs)} trainings, rank correlation of loss and right answers: {together:.2f}")
print("from few to careless_40:", compare(scored_by("few").field_accuracy, scored_by("careless_40").field_accuracy, groups=patterns()))
for worse, better in (("careless_0", "export"), ("careful", "curated")):
    change = compare(scored_by(worse).field_accuracy, scored_by(better).field_accuracy, groups=patterns())
    print(f"a lower loss, from {worse} to {better}: {pairs[worse][0]:.3f} to {pairs[better][0]:.3f};", change)
print(made_by("data"))

# %% [markdown]
# **Your diagnosis?** Equal loss, unequal answers: by the loss nobody could choose between these two. And a loss that is lower
# by a little bought nothing that is seen in answers: the last two lines. (These pairs were looked for, among all
# pairs. Over all trainings the loss orders them well, as the correlation says.)
#
# **Cause:** the loss is a mean over *tokens* and asks how sure the model is; an answer is right or wrong as a whole. A likely reason
# here: `few` read fifty rows fourteen times and is sure, as its training loss says, and to be sure and wrong is dear; `careless_40` is
# unsure even of its own rows. **Proof:** both numbers for several trainings, as here. Within *one* training the two mostly go
# together. The good ones, step by step:

# %%
lines = [
    [seed, each["step"], f"{loss:.2f}", f"{each['right']} of {each['n']}"]
    for seed, point in good.items()
    for each, loss in zip(point["watched"], [row["eval_loss"] for row in point["log"] if "eval_loss" in row], strict=True)
]
pd.DataFrame(lines, columns=["seed", "step", "validation loss", "validation tickets right"]).style.hide()

# %% [markdown]
# There the loss falls and the answers get better, at each look. **Remedy:** the loss finds the bad runs; between near ones, and most
# of all between runs on different rows, choose by answers to the validation set, with the metric that counts.

# %% [markdown]
# ## Room 12: no significant difference
#
# Half of an owner's 200 rows were copies of five tickets. They put other tickets in the place of the copies, trained anew, and
# compared the two shares of records without any mistake with the test that every textbook has.

# %%
from statsmodels.stats.proportion import proportions_ztest

before, after = scored_by("copies").exact_match, scored_by("careful").exact_match
_, p_value = proportions_ztest([before.sum(), after.sum()], [len(before), len(after)])
print(f"{before.mean():.1%} before, {after.mean():.1%} after; test of two shares: p = {p_value:.3f}")
print(made_by("data"))

# %% [markdown]
# **Your diagnosis?** "No difference, do not bother", they wrote. A friend compared ticket by ticket (the first line below) and
# wrote: "There is one."

# %%
print(compare(before, after))
print(compare(before, after, groups=patterns()))

# %% [markdown]
# **Cause:** each of them forgot something. The owner took the two lists for answers to *different* tickets, and so counted how
# much tickets differ. The friend's test is [paired](GLOSSARY.md#paired-comparison), but takes 200 tickets for 200 witnesses,
# and they are phrased in far fewer ways. **Proof:** the second line, by phrasing. The gain is *not* shown; but the owner's "no
# difference" is not shown either. Does pairing never help, then? All pairs of this record, in all three ways:

# %%
from itertools import combinations

exact = [scored_by(name).exact_match for name in results("data")["points"]]
tested = pd.DataFrame(
    {
        "two shares": proportions_ztest([a.sum(), b.sum()], [len(a), len(b)])[1] < 0.05,
        "paired": compare(a, b).p_value < 0.05,
        "paired, by phrasing": compare(a, b, groups=patterns()).p_value < 0.05,
    }
    for a, b in combinations(exact, 2)
)
print(f"of {len(tested)} pairs, p < 0.05:", ", ".join(f"{name}: {count}" for name, count in tested.sum().items()))
print("by the last test and not by the first:", (tested["paired, by phrasing"] & ~tested["two shares"]).sum())
alike = [np.corrcoef(a, b)[0, 1] for a, b in combinations(exact, 2)]
print(f"correlation of two systems' records, right or not: {np.median(alike):.2f} in the middle; {len(set(patterns()))} phrasings")

# %% [markdown]
# Pairing finds a few more than the textbook, and counting phrasings takes back more than that. This record has no gain that
# only the right test finds; it has claims that do not survive the counting of phrasings. Why none? What pairing takes out of the noise is
# what two systems have in common, and the last line says how little that is for whole records; the few phrasings then widen every
# interval again. (The pairs overlap, and each was tested
# at 0.05. The pair above was looked for: one on which owner and
# friend disagree.) **Remedy:** pair, and count what repeats itself, both and always, and say so before you see the result. To
# see a gain of this size takes more tickets that are phrased otherwise
# ([07](07_evaluate.ipynb#How-many-tickets-does-a-claim-need?)).

# %% [markdown]
# ## Room 13: full marks
#
# Replies in the voice of a shop, trained with [DPO](GLOSSARY.md#dpo) on pairs that a checker of the style guide had ranked.

# %%
from ftlab.evaluation.guide import points_kept, read_guide
from ftlab.evaluation.metrics import probe_scores

voice = [json.loads(line) for line in open("../data/brand_voice/test.jsonl")]
frames = [row["frame"] for row in voice]  # messages of one sentence pattern count together
replies, fits, lines, seen = {}, {}, {}, {}


def says_twice(text):
    said = [part.strip() for part in text.split(".") if part.strip()]
    return len(set(said)) < len(said)


ARMS_OF_DPO = {"sft": "before", "dpo": "DPO, small steps", "longer": "the same, longer ones chosen", "other_rate": "DPO, large steps"}
for arm, name in ARMS_OF_DPO.items():
    read = open(f"../data/recorded/preferences/predictions/{arm}/test.jsonl")
    replies[arm] = texts = [json.loads(line)["prediction"] for line in read]
    fits[arm] = probe_scores(texts, voice)
    lines[name] = [
        f"{results('preferences')['points'][arm]['test']['points']:.2f}",
        f"{np.mean([len(text.split()) for text in texts]):.0f}",
        f"{sum(map(says_twice, texts))} of {len(texts)}",
        f"{sum(text.rstrip()[-1] not in '.!?' for text in texts)} of {len(texts)}",
        repr(score_interval(fits[arm], frames)),
    ]
print(*replies["other_rate"][:3], sep="\n\n")
guide = read_guide("../data/brand_voice/guide.yaml")
for arm, texts in replies.items():
    kept = pd.DataFrame([points_kept(guide, text, row["facts"]) for text, row in zip(texts, voice, strict=True)])
    seen[arm] = {"points": kept.mean(axis=1).to_numpy(float), "words": np.array([len(text.split()) for text in texts], float)}
    print(f"{arm}, point by point:", ", ".join(f"{point} {share:.0%}" for point, share in kept.mean().items()))
for arm in ("dpo", "longer", "other_rate"):
    changes = {what: difference_interval(seen[arm][what] - seen["sft"][what], frames) for what in ("points", "words")}
    told = ", ".join(f"{found.value:+.2f} {what} [{found.low:+.2f}, {found.high:+.2f}]" for what, found in changes.items())
    print(f"{ARMS_OF_DPO[arm]}, against before: {told}")
print("\nthe right remedy, before and after large steps:", compare(fits["sft"], fits["other_rate"], groups=frames))
print(made_by("preferences"))
columns = ["points of the guide", "words", "say a sentence twice", "do not end in a full stop", "say the right remedy"]
pd.DataFrame.from_dict(lines, orient="index", columns=columns)

# %% [markdown]
# **Your diagnosis?** Large steps have the most points. Their first three replies stand above the table.
#
# **Cause:** steps too large, and a measure that hides it. The guide has five points, and four of them really got better, so the mean
# rose. That a sentence stands there twice costs no point; that a reply breaks off costs one of five (it does not close as it should), and
# the other four outweigh it. Nobody was paid for repeating: but who looks at the mean alone takes the broken model. (Where the measure
# itself pays for what readers dislike, it is called [reward hacking](GLOSSARY.md#reward-hacking).) **Proof:** what the measure does not
# see: the replies grew by a third (the interval is above the table), most say a sentence twice, and many do not end. With small steps
# none of this happened, not even where the pairs themselves had the longer reply chosen: that run is longer than the other one with
# small steps, and not longer than before. Whether the right
# remedy is named less often is not shown: the interval is wide and holds zero. **Remedy:** smaller steps, a measure kept aside, and reading
# ([09](09_learn_preferences.ipynb#Did-it-only-learn-"longer"?) has the pairs that teach length). One training each: the intervals know
# which messages happened to be asked, and no other seed.

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
# **Your diagnosis?** Nothing in the training got larger.
#
# **Cause:** with `compute_metrics` the Trainer keeps the [logits](GLOSSARY.md#logits) of *every* row, one number for each token
# and each entry of the vocabulary, until the last row is in. **Proof:** the shape above, and the memory of a whole process,
# which grows with the rows that are evaluated. Recorded with `smol`:

# %%
print(made_by("museum", "memory"))
rows, tokens, vocabulary = 400, 512, 128_256  # a model of yours; Llama 3
print(f"{rows} rows x {tokens} tokens x {vocabulary:,} entries x 4 bytes = {rows * tokens * vocabulary * 4 / 2**30:.0f} GiB")
evaluated = pd.DataFrame(record["points"]["memory"]["evaluations"]).drop(columns="shape").set_index("rows")
evaluated.columns = ["logits kept, MiB", "process before, MiB", "after the last row, MiB"]
evaluated

# %% [markdown]
# About twice the rows, about twice the logits; the product above says what a larger model would keep. **Remedy:**
# `preprocess_logits_for_metrics` keeps what you need of each batch (above: the best token), `prediction_loss_only=True` keeps
# the loss alone, and `eval_accumulation_steps` moves what is kept from the GPU to the computer's memory, which only helps where
# there is more of that. Judge answers by generating them, as this course does.

# %% [markdown]
# ## Room 15: worse only there
#
# The same adapter does well in the evaluation and worse behind a server. Nobody changed anything.

# %%
for name, scores in {"in the evaluation": as_trained[:, : there.shape[1]], "as the server asks": there}.items():
    print(f"{name}: {scores.mean():.0%} right, by seed: " + ", ".join(f"{share:.0%}" for share in scores.mean(1)))
print(f"{in_points(against(there, as_trained, same=True))} points")
for row, text in list(zip(fresh, texts_of("otherwise_1", "other_template"), strict=False))[:3]:
    print(f"   {row['messages'][1]['content'][:80]}\n      answers {text!r}, right is {team_of(row)!r}")
print(made_by("museum", "good", "otherwise"))

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
# **Cause:** the server has another chat template than the model was trained with. (Some servers have a default, and take it
# where the model's folder has none. Here no server ran: its template was put into the tokenizer, in the same process, so the
# model read what it would have read there.) **Proof:** the ids of the rendered prompt, side by side; most servers tell at least
# how many there are. `compare_sides` does that for all that a server tells, and names the remedy. Here on `nano`, with a local
# model in the part of the server:

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
# met, a few come from other records. Name the fault that *what is shown* proves: four of the cases show the good training, and what is
# wrong may be the test, the prompt, or what nobody asked. Here are the faults to choose from.

# %%
from ftlab.exercises.museum import FAULTS, letters, show_case

print(*(f"{name:>20}: {text}" for name, text in FAULTS.items()), sep="\n")
for letter in letters():
    show_case(letter)

# %% [markdown]
# **Exercise (level 1).** Write `fault_of(letter)`: it gets the letter of a case, such as `"A"`, and returns the name of its fault, one of
# the names in the list above, such as `"leak"`. Each name is right once. Begin with the cases that you are sure of, and return
# `None` for the others.

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
# | what you see | look first | rooms |
# |---|---|---|
# | the loss does not fall, leaps, or is NaN | learning rate, precision ([06b](06b_tune_stop_resume.ipynb#What-a-setting-does-to-the-curve)) | |
# | the training loss stays high | one decoded row with its mask; then the rows themselves | 4, 5, 7 |
# | the training loss is near nothing, the validation loss is not | how many different rows, how often read | 2, 9 |
# | answers never end, or break off | the end token in the labels; the limit of new tokens; `max_length` in training ([06](06_train_with_unsloth.ipynb)) | 8 |
# | good in the test, bad in use | what ties rows of both files together; then the ids that the server read | 1, 6, 15 |
# | good here, worse only behind a server | template, start token, adapter loaded or not, merged or packed ([12](12_ship_and_maintain.ipynb#Is-it-the-same-model?)) | 6, 15 |
# | everything but the task is gone | a probe, asked before and after | 3 |
# | the measure rises and readers complain | answers, read aloud; a measure kept aside | 13 |
# | fluent and wrong | whether facts were to be trained in | 10 |
# | no difference, or one that nobody believes | pairs, and what repeats itself among the cases | 11, 12 |
# | out of memory at the evaluation | what is kept of each row | 14 |
#
# - Look at the rows first. Wrong labels, contradictions, leaks and narrow data stand in the file, and no curve shows them as
#   plainly.
# - Look at what is trained: one decoded row with its mask rules out two faults, and `check_masks` does it for all rows.
# - Look at what is read: the token ids of one prompt, in training, in the evaluation and behind the server.
# - A score is a claim on *new* cases: split by what ties rows together, compare pairs, probe what was not trained.
# - What you optimise goes up, and a mean can rise over broken answers. Keep a measure aside that you do not optimise, and read.

# %% [markdown]
# ## What would you do?
#
# Decide first, then open the answer.
#
# **1.** A colleague's validation loss is the best that the team has seen: 0.02. The customers of the validation rows also stand
# in the training file. What do you do before anybody celebrates?
#
# <details><summary>One answer</summary>
#
# Split again by customer and judge the same adapter on customers that it has not seen. Until then nobody knows how much of the
# figure is memory, and nobody ships on that.
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
