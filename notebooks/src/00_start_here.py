# ---
# ftlab:
#   reads: [data/support_triage/train.jsonl, data/support_triage/validation.jsonl, data/support_triage/test.jsonl, data/recorded/triage/report.json]
#   headline: field accuracy of one record for all tickets, and after a short training
# ---

# %% [markdown]
# # Start here
#
# **Question:** does my machine work, and what does a short fine-tune look like?
# **Minutes:** 16 to read, 5 to run. **Hardware:** any; two CPU cores are enough, no GPU, no account, no network.
#
# [Fine-tuning](GLOSSARY.md#fine-tuning) means to go on training a model that is already trained, on examples of what
# you want. Here a small chat model learns to turn support tickets into JSON records, and you compare its answers before
# and after, on tickets that were not in the training. New words link to the [glossary](GLOSSARY.md) where a
# notebook first uses them.
#
# Run the cells from the top, one by one, with Shift and Enter. (No time now? The whole course, and which way through it is
# yours, stands [at the end of this page](#The-whole-course).)

# %% [markdown]
# ## What can this machine do?

# %%
import ftlab  # first: it quiets the libraries below
from ftlab import hardware

hardware.describe()

# %% [markdown]
# The sentences under the table say what will run here. Whatever they say, you can go on: everything in this course runs on
# a laptop. With a GPU, the same cells train larger models. (The course has two models: `smol`, a real small chat model, is the
# one of this page; `nano` is far smaller and shows mechanisms in seconds. The words in the table have their place later: `precision` is how
# finely a number is stored, `4-bit` a way to store a large model in little memory, [05](05_lora_by_hand.ipynb) shows both.)

# %% [markdown]
# ## The task
#
# A shop wants each ticket turned into a record that its software can read: which team (`queue`), how urgent, which
# product, which order, in which tone, and what the customer asks for.

# %%
import json

from ftlab.data.schema import read_chat

FOLDER = "../data/support_triage"  # with train.jsonl, validation.jsonl and test.jsonl

train_rows = read_chat(f"{FOLDER}/train.jsonl")
test_rows = read_chat(f"{FOLDER}/test.jsonl")

row = train_rows[1]
print(row["messages"][1]["content"], "\n")
print(json.dumps(json.loads(row["messages"][2]["content"]), indent=2))

# %% [markdown]
# First comes a ticket, then the record that we want for it. There are seven teams, and urgency goes from P1 (somebody may be
# hurt) to P4 (can wait); the [label policy](../data/support_triage/README.md#Label-policy), the written rule for each value, says
# when. Each example is a chat of three messages: the [system
# message](GLOSSARY.md#system-prompt) says what to do ("Triage the ticket."), the user's message is the ticket, the
# assistant's message is the ideal answer. The model learns from such examples and from nothing else. (Notebook
# [06](06_train_with_unsloth.ipynb) is the one to copy for data of your own, and shows the form of the file.)

# %% [markdown]
# ## The model before training
#
# `smol` is SmolLM2-135M-Instruct: a real chat model, though a very small one. It has 135 million
# [parameters](GLOSSARY.md#parameter), the numbers that training changes; the chat models that you know have a thousand
# times as many. It came with the set-up, and its first use unpacks it, in half a minute. To use a larger model, change
# `MODEL`; the cells stay as they are.

# %%
import torch
from unsloth import FastLanguageModel

from ftlab.models import resolve, smol_or_nano

MODEL = smol_or_nano()  # or "unsloth/Qwen3-4B-Instruct-2507" on a GPU

ON_GPU, PRECISION = torch.cuda.is_available(), hardware.precision(MODEL)
DTYPE = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[PRECISION]

model, tokenizer = FastLanguageModel.from_pretrained(
    model_name=resolve(MODEL),
    max_seq_length=1024,
    dtype=DTYPE,
    load_in_4bit=ON_GPU,
)
print(f"{model.num_parameters():,} parameters, computing in {PRECISION}")

# %%
from ftlab.evaluation.generation import generate

for question in ("What is the capital of France?", "Tell me in one sentence what a support ticket is."):
    answer = generate(model, tokenizer, [[{"role": "user", "content": question}]]).texts[0]
    print(f"{question}\n  {answer}\n")

# %% [markdown]
# It can talk, though it does not know everything. Now three tickets of the shop, with the very prompt that it will be
# trained with:

# %%
shown = test_rows[:3]
before = generate(model, tokenizer, [r["messages"][:-1] for r in shown], max_new_tokens=64)
for r, answer in zip(shown, before.texts, strict=True):
    print("ticket:", r["messages"][1]["content"][:90], "...\nanswer:", answer[:110], "\n")

# %% [markdown]
# "Triage the ticket." does not say what a record looks like, so the model can only guess. A good
# [prompt](GLOSSARY.md#prompt) would say it, and [03](03_measure_baselines.ipynb) measures how far that gets. Here we go
# straight to training.

# %% [markdown]
# ## A short training
#
# [LoRA](GLOSSARY.md#lora) leaves the model as it is and trains a small addition to each of its matrices. The next
# cells are real calls of the libraries [Unsloth](GLOSSARY.md#unsloth) and [TRL](GLOSSARY.md#trl), the same that train a
# model of 8 billion parameters on a GPU. Run them now; notebook 06 explains them one by one.

# %%
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
model.print_trainable_parameters()

# %% [markdown]
# With `smol`, 3.5 % of all numbers are new. Only these are trained; the model's own stay as they are.

# %%
from datasets import Dataset

chats, dataset = {}, {}
for part, rows in {"train": 128, "validation": 16}.items():
    chats[part] = [row["messages"] for row in read_chat(f"{FOLDER}/{part}.jsonl")[:rows]]
    # many templates end with a new line; after that, TRL would add a second end token
    texts = [tokenizer.apply_chat_template(chat, tokenize=False).rstrip() for chat in chats[part]]
    dataset[part] = Dataset.from_dict({"text": texts})
print(dataset["train"][1]["text"])

# %% [markdown]
# This is one example as the model sees it. The [chat template](GLOSSARY.md#chat-template) has put a marker before each
# message and an [end token](GLOSSARY.md#end-token) after it.

# %%
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer
from unsloth.chat_templates import train_on_responses_only

from ftlab.training.preflight import check_masks
from ftlab.training.runlog import LivePlot

trainer = SFTTrainer(
    model=model,
    processing_class=tokenizer,
    train_dataset=dataset["train"],
    eval_dataset=dataset["validation"],
    args=SFTConfig(
        output_dir=str(ftlab.home() / "00_start_here"),
        dataset_text_field="text",
        max_length=512,
        per_device_train_batch_size=8,
        per_device_eval_batch_size=8,
        num_train_epochs=1,
        learning_rate={"nano": 4e-3, "smol": 2e-3}.get(MODEL, 2e-4),
        warmup_steps=0.05,
        lr_scheduler_type="cosine",
        gradient_checkpointing=ON_GPU,
        bf16=PRECISION == "bf16",
        fp16=PRECISION == "fp16",
        logging_steps=2,
        eval_strategy="steps",
        eval_steps=4,
        save_strategy="no",
        seed=3407,
        report_to="none",
        disable_tqdm=True,
    ),
    callbacks=[LivePlot()],
)
trainer.remove_callback(PrinterCallback)  # the live plot replaces the printed lines
trainer = train_on_responses_only(trainer)  # learn the answers, not the tickets
check_masks(trainer.train_dataset, chats["train"], tokenizer, trainer.data_collator)  # stops if it would learn more

# %% [markdown]
# What the trainer will learn is in bold: the answer and its end token, nothing of the ticket. Now train. It takes one to four
# minutes on a laptop; the picture grows while it does. A [step](GLOSSARY.md#step) is one change of the weights, here after 8
# tickets.

# %%
result = trainer.train()

# %%
evals = [float(row["eval_loss"]) for row in trainer.state.log_history if "eval_loss" in row]
print(f"{result.global_step} steps in {result.metrics['train_runtime']:.0f} seconds")
print(f"validation loss: {evals[0]:.2f} when first measured, {evals[-1]:.2f} at the end")

# %% [markdown]
# The [loss](GLOSSARY.md#loss) says how improbable the model finds the right answer, as an average over its
# [tokens](GLOSSARY.md#token) (pieces of text); lower is better: 0.25 is as if each right token got a probability of 78 % (e to the
# power of -0.25). Compare losses on the same data only. The thin line is the loss on tickets that the model trains on, the thick
# one on validation tickets, which it does not train on. As long as the thick line falls too, the model learns something that holds
# for other tickets.
#
# A low loss does not mean right answers. Braces, quotes and the names of the fields are the same in every record, and
# once the model has learned these, most tokens of an answer are easy. So look at the answers.

# %% [markdown]
# ## Before and after, on unseen tickets

# %%
import pandas as pd
from IPython.display import display

sample = test_rows[:40]  # the three from above, and 37 more
FastLanguageModel.for_inference(model)
after = generate(model, tokenizer, [r["messages"][:-1] for r in sample], max_new_tokens=64)

table = pd.DataFrame(
    {
        "ticket": [r["messages"][1]["content"] for r in shown],
        "before": before.texts,
        "after": after.texts[:3],
        "right answer": [r["messages"][2]["content"] for r in shown],
    }
)
with pd.option_context("display.max_colwidth", None):
    display(table)

# %% [markdown]
# Compare the last two columns, first the form and then each value. Three tickets can show what kinds of errors there
# are. How frequent they are takes a count over more tickets, and something to compare with: one record, the same for
# every ticket, with the value of each field that is most frequent in training.

# %% tags=["headline"]
from collections import Counter

from ftlab.evaluation.metrics import score_records
from ftlab.plots import show, systems_alt, systems_figure

records = [json.loads(r["messages"][2]["content"]) for r in train_rows]
counts = {field: Counter(record[field] for record in records) for field in records[0]}
usual = json.dumps({field: count.most_common(1)[0][0] for field, count in counts.items()})
same = [usual] * len(sample)
answers = {"one record for all": same, "after": after.texts}

references = [r["messages"][2]["content"] for r in sample]
scores = {name: score_records(texts, references) for name, texts in answers.items()}
right = {name: score.summary()["field_accuracy"] for name, score in scores.items()}
show(systems_figure(right), systems_alt(right))
print(f"{len(sample)} test tickets; valid JSON after the training: {scores['after'].summary()['valid_json']}")
print(f"fields right: one record for all {right['one record for all']}, after the training {right['after']}")

# %% [markdown]
# Each dot is the share of fields that are right, and the bar its 95 % [confidence
# interval](GLOSSARY.md#confidence-interval): where the share may well lie on other tickets of this kind. Where two bars
# do not overlap, the difference is hardly luck. Notebook 07 explains intervals.
#
# Before the training no answer was a record at all, which is no rival. "One record for all" has read no ticket either; so it,
# and not zero, is the least that a fine-tune has to beat. In which
# fields does the fine-tune beat it?

# %%
judged = ("queue", "urgency", "tone", "ask")  # the others stand in the ticket, word for word
made = [record or {} for record in scores["after"].predicted]
table = {name: scores[name].field_table() for name in ("one record for all", "after")}
table = pd.DataFrame(table).map(str)
table["after: values that no record has"] = [
    f"{sum(str(record.get(field)) not in counts[field] for record in made)} of {len(made)}" if field in judged else ""
    for field in counts
]
table

# %% [markdown]
# Look at product and order number first, which stand in the ticket word for word: there even a short training has taught the
# model to find the field. The four others have to be judged, and are harder. Where `after` is no better than the one record, or
# worse, look at the last column: a value that no record has, such as a queue of the model's own invention, shows that it does not
# know yet which values there are. Where it says 0, the model knows the values, and not yet when to use which.

# %% [markdown]
# ## Half an hour instead
#
# You trained on about a hundred tickets, each read once. The same cells with 300 tickets, each read five times, and 150
# everyday chats among them (they keep the model from answering everything with a record, as [07](07_evaluate.ipynb) shows) take
# about half an hour on one core. That was done three times and recorded (`python
# tools/record.py triage --again` repeats it). The other rows are what it has to beat: the best prompt that was found for the same
# model, and a classifier that counts words and has a search pattern for the order number.

# %%
from pathlib import Path

from ftlab.evaluation.statistics import Interval

report = json.loads(Path("../data/recorded/triage/report.json").read_text())
recorded = {}
for name, system in report["systems"].items():
    found = system["field_accuracy"]
    recorded[name] = Interval(found["value"], found["low"], found["high"], report["n"], "recorded")
show(systems_figure(recorded), systems_alt(recorded))
whole = {name: f"{system['exact_match']['value']:.0%}" for name, system in report["systems"].items()}
print(f"{report['n']} test tickets; recorded {report['created']} on {report['machine']}; all six fields right:", whole)

# %% [markdown]
# `fine tuned`, the last row, is the mean of the three; `base` is the same model before training, `constrained` the best
# prompt, with its answers held to the allowed values, and `linear` the classifier. So fine-tuning wins? Not yet. The line below the
# picture says how often a *whole* record is right, which is far more seldom. With 2,000 tickets the classifier is where this
# fine-tune is with 300 ([03](03_measure_baselines.ipynb)). And the
# fine-tune has lost something elsewhere. By the bars that were written down first it may not ship; [07](07_evaluate.ipynb) says
# why.
#
# **Exercise (level 1).** Which row is the strongest rival of `fine tuned`? Return its name.
#
# Exercises look like this one: you write in the cell, run it, and run the check below it. A blank stops nothing. Level 1 is to
# read an answer off what a cell shows; level 2 is a line or two, by a rule that you are told; level 3 is to build: several steps,
# or cases that you have to think of.

# %% tags=["exercise"]
def strongest_rival():
    # solution
    return "linear"
    # end solution


# %%
from ftlab.exercises.start import check_strongest_rival

check_strongest_rival(strongest_rival)

# %% [markdown]
# Save your notebooks: `ftlab progress`, in a shell in the folder of this repository, reads in the saved ones which exercises you have
# solved. (`source .venv/bin/activate` first, once in each terminal.)
#
# ## What you have seen
#
# - Fine-tuning is ordinary training, continued for a short time on examples of one task.
# - The same cells run on this machine and on a GPU; you change only `MODEL`.
# - A few examples, read once, teach the form; the content takes more examples, more readings, or both. Valid JSON is not yet a right record.
# - "Better than before" is no reason to ship yet: count, and compare with a good prompt and with something simple.

# %% [markdown]
# ## What would you do?
#
# Decide first, then open the answer.
#
# **1.** Your manager compares the answers, prose before and records after, and says: "Great, ship it." What do you answer?
#
# <details><summary>One answer</summary>
#
# Better than before is no bar. One record for all tickets, which reads nothing, has a good part of the fields right. First
# the best prompt of the same model and a classifier that counts words, on the same tickets ([03](03_measure_baselines.ipynb));
# then the verdict ([07](07_evaluate.ipynb)).
#
# </details>
#
# **2.** A run of your own has ended, and the validation loss was still falling. More data, a larger model, or more steps?
#
# <details><summary>One answer</summary>
#
# More steps first: read the same rows once more. It costs minutes; the other two cost weeks or money. Then look at answers,
# for a lower loss alone is not a better record.
#
# </details>
#
# **3.** After a training of your own order numbers are right nearly always, urgency is no better than the commonest value. You have
# one hour. What do you do with it?
#
# <details><summary>One answer</summary>
#
# Read twenty tickets whose urgency is wrong, beside the label policy, the rule for each value. If two people would not agree on
# them, no training helps; if they would, these tickets are what the training needs more of.
#
# </details>

# %% [markdown]
# ## The whole course
#
# Minutes to read, and to run on one core of a laptop, and how many exercises there are. Each notebook opens alone.
#
# <!-- the course -->
# | notebook | the question it answers | read | run | exercises |
# |---|---|---|---|---|
# | [00 Start here](00_start_here.ipynb) | does my machine work, and what does a short fine-tune look like? | 16 | 5 | 1 |
# | [01 What fine-tuning changes](01_what_fine_tuning_changes.ipynb) | what changes in the model, what can and cannot change? | 24 | 3 | 2 |
# | [02 Decide](02_decide.ipynb) | should I fine-tune, retrieve, or prompt — for my case? | 16 | 1 | 1 |
# | [03 Measure baselines](03_measure_baselines.ipynb) | how good is a prompt, with and without examples, before any training, and which bar does it set? | 18 | 3 | 1 |
# | [03b Retrieve or teach](03b_retrieve_or_teach.ipynb) | should facts go into the prompt, by a search, or into the weights, by training? | 18 | 2 | 2 |
# | [04 Prepare data](04_prepare_data.ipynb) | is my data fit to train on? | 22 | 1 | 2 |
# | [04b How many rows](04b_how_many_rows.ipynb) | is there enough data, and what do its faults cost? | 21 | 1 | 1 |
# | [05 LoRA by hand](05_lora_by_hand.ipynb) | what do LoRA and 4-bit do to a matrix? | 23 | 3 | 3 |
# | [06 Train with Unsloth](06_train_with_unsloth.ipynb) | how do I train a model on my own file with QLoRA, and see that each step did what it should? | 18 | 3 | 2 |
# | [06b Tune, stop, resume](06b_tune_stop_resume.ipynb) | which settings are worth a try, when should a run end, and what is left if the machine ends it first? | 21 | 2 | 2 |
# | [07 Evaluate](07_evaluate.ipynb) | did it work, by how much, and may it ship? | 32 | 2 | 1 |
# | [08 What goes wrong](08_what_goes_wrong.ipynb) | what does each fault of a fine-tune look like, and how do you prove that it is that one? | 34 | 1 | 1 |
# | [09 Learn preferences](09_learn_preferences.ipynb) | how does DPO change the answer, and where do rewards (GRPO) come in? | 25 | 2 | 2 |
# | [10 Count the cost](10_count_the_cost.ipynb) | what does it cost, and when does it pay back? | 22 | 1 | 2 |
# | [11 Use hosted services](11_use_hosted_services.ipynb) | how do I do the same at OpenAI, Azure, Vertex, Bedrock, Together or Fireworks, and should I? | 14 | 2 | 2 |
# | [12 Ship and maintain](12_ship_and_maintain.ipynb) | how do I export, route by confidence, notice decay and retrain? | 23 | 1 | 1 |
# | [13 Scale out](13_scale_out.ipynb) | how does the same recipe run on several GPUs or machines? | 18 | 2 | 2 |
# | [14 A case: medical coding](14_case_medical_coding.ipynb) | a whole case: physicians' notes in, diagnosis codes out. Which notes may go out unread, and does it pay? | 14 | 1 | 2 |
# | [15 A case: brand voice](15_case_brand_voice.ipynb) | a whole case on style: when is a style guide in the prompt enough, and when is a voice worth training? | 25 | 1 | 2 |
# | [16 Your project](16_your_project.ipynb) | how do I go the whole path with a file of my own, and what do I do then? | 16 | 3 | 2 |
# | [17 Small from large](17_small_from_large.ipynb) | can a long prompt, or a large model, be distilled into a small one, and what is saved? | 24 | 4 | 2 |
# | [18 The exam](18_exam.ipynb) | can I do it without being led by the hand? | 11 | 2 | 5 |
# <!-- end of the course -->
#
# Ways through it:
#
# - **You decide** whether a project starts, and will not train yourself: this page, 02, the first half of 10, *May it ship?*
#   in 07, *Six services* in 11: an hour, to know what to ask. To decide for a case of your own, add an afternoon: one or two
#   hundred cases with their right answers, a prompt of a large chat model and a classifier measured on them (03), then
#   [16](16_your_project.ipynb).
# - **You build it:** this page, 01, 02, 03, 04, 06, 07, 12, in this order; 03b where the task needs facts, 04b before you pay
#   for labels, 05 to see what the library does, 13 when one card is too small, 08 when something
#   looks odd. Two afternoons.
# - **You show it to others**, as a host: run this page on your own machine the day before; then 02, 03 and 07 together, and
#   put the questions at the end of each to the group before anybody opens an answer. Half a day.
# - **You have a JSONL** and an afternoon: [16](16_your_project.ipynb) takes it the whole way; 04 and 06 explain what it does.
#
# **Read next:** if you only decide, [02 Decide](02_decide.ipynb), with a case of your own in mind; if you build it,
# [01 What fine-tuning changes](01_what_fine_tuning_changes.ipynb).
