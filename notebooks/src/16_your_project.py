# ---
# ftlab:
#   reads: [data/other_shapes/library.jsonl, data/models/nano/*.json, data/models/nano/*.jinja, data/models/nano/model.safetensors]
#   headline: share of answers right, fine-tuned
# ---

# %% [markdown]
# # Your project
#
# **Question:** how do I go the whole path with a file of my own, and what do I do then?
# **Minutes:** 16 to read, 3 to run with `nano`. **Hardware:** any for `nano` and `smol`; a GPU for larger models.
#
# You bring one [JSONL](GLOSSARY.md#jsonl) file: a row a line, each with something asked and the right answer. The fields may
# have any names. As it stands, the page takes a file of the course: what readers of a public library wrote, and the desk
# that each message went to. Put your own file into the next cell and run all.
#
# Where do right answers come from? Often they are in an export already: the team that *closed* a ticket (not the one it was first
# sent to), the code that was billed, the reply that was sent. Check fifty by hand before you trust the rest. A hundred usable
# rows are the least that tell anything. A CSV becomes JSONL by `pandas.read_csv("mails.csv").to_json("mails.jsonl",
# orient="records", lines=True, force_ascii=False)`; `ftlab project`, at the end of this page, reads it as it is.

# %% [markdown]
# ## Your choices

# %%
import ftlab  # first: it quiets the libraries below

DATA = "../data/other_shapes/library.jsonl"  # or your own; beside it lie bikes.jsonl and notices.jsonl
ASKED, ANSWERED = ["text"], "category"  # the fields that ask, and the one that answers; notices: ["prompt"], "completion"
# for chats, such as bikes.jsonl: [] and ""
GROUP = "visitor"  # rows with the same value here stay together; None (bikes, notices): each row stands for itself
INSTRUCTION = "Name the desk of the library that this message goes to: loans, cards, fees, rooms or events."
MODEL = "nano"  # or "smol", or a hub id such as "unsloth/Qwen3-4B-Instruct-2507" (on a GPU)
MIN_GAIN = 0.05  # the bar: what training must bring over the best prompt, in fractions of 1
OUTPUT = ftlab.home() / "16_your_project"  # a Path: all that is written goes there

# %% [markdown]
# `INSTRUCTION` is what you would tell a person in one or two sentences. It is the [system prompt](GLOSSARY.md#system-prompt) of
# every row, and the [prompt](GLOSSARY.md#prompt) that training has to beat, so give it some care. (Chats keep the system prompt
# that they have; write the same text here.) The bar stands here because it has to be written down before the result is known.

# %% [markdown]
# ## Read it
#
# Cells that begin with `# portable` run in a folder of your own as they stand, one after the other below a cell with your
# choices; the line names the packages that they need. (`pip install /path/to/this/repository` brings `ftlab`.) A test of the
# course does just that.

# %% tags=["portable"]
# portable: needs nothing but Python
import json
from pathlib import Path


def text_of(row, key):
    """A field as text, since a model reads and writes texts; what is empty teaches nothing."""
    text = row[key] if isinstance(row[key], str) else json.dumps(row[key], ensure_ascii=False)
    if row[key] is None or not text.strip():
        raise ValueError(f"{key} is empty")
    return text


rows = []
for number, line in enumerate(Path(DATA).read_bytes().split(b"\n"), 1):
    if not line.strip():
        continue
    try:
        row = json.loads(line)
        chat = [] if ASKED else row["messages"]
        asked = "\n".join(text_of(row, key) for key in ASKED)
        answer = text_of(row, ANSWERED) if ASKED else text_of(chat[-1], "content")
        group = text_of(row, GROUP) if GROUP else str(number)
    except (ValueError, LookupError, TypeError) as error:
        print(f"{DATA}:{number} left out, {type(error).__name__}: {error}")
        continue
    turns = [("system", INSTRUCTION), ("user", asked), ("assistant", answer)]
    chat = chat or [{"role": role, "content": text} for role, text in turns]
    rows.append({"id": number, "group": group, "messages": chat})

if not rows:
    raise ValueError(f"{DATA}: no row can be read; are ASKED, ANSWERED and GROUP fields of it?")
OUTPUT.mkdir(parents=True, exist_ok=True)
text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
(OUTPUT / "chats.jsonl").write_text(text, encoding="utf-8")
print(len(rows), "rows; the first one:", json.dumps(rows[0], ensure_ascii=False, indent=1))

# %% [markdown]
# A row that cannot be read is named by its line, not lost in silence. Each row keeps that line as its `id`, so that you find
# it again in your own file when the model is wrong about it.
#
# **Exercise (level 3).** A loop in a cell cannot be tested. Write its middle as a function: `asked_and_answer(row, asked, answered)`
# returns both texts, or raises `ValueError` where one of them is missing, None or empty. Several fields that ask are joined by a new
# line; an answer that is no text becomes JSON; and 0 is an answer.


# %% tags=["exercise"]
def asked_and_answer(row, asked, answered):
    # solution
    if any(row.get(key) in (None, "") for key in (*asked, answered)):
        raise ValueError(f"one of {asked + [answered]} is missing or empty")
    answer = row[answered] if isinstance(row[answered], str) else json.dumps(row[answered])
    return "\n".join(str(row[key]) for key in asked), answer
    # end solution


# %%
from ftlab.exercises.project import check_asked_and_answer

check_asked_and_answer(asked_and_answer)

# %% [markdown]
# ## What is wrong in it?

# %% tags=["portable"]
# portable: needs ftlab
from ftlab.checks.check import check
from ftlab.checks.fix import fix

report = check(OUTPUT / "chats.jsonl")
repairs = fix(OUTPUT / "chats.jsonl", OUTPUT / "clean.jsonl", force=True)
print(f"{repairs.rows_out} of {repairs.rows_in} rows are kept, {len(repairs.changes)} changes")
report

# %% [markdown]
# Rows that repeat another letter for letter are left out once; [near duplicates](GLOSSARY.md#near-duplicate) stay, and the
# split below keeps each of them on one side. What else the table may hold, and what to do about it, is the subject of
# [04](04_prepare_data.ipynb). Mail addresses, phone, card and account numbers and secret keys are masked in the repaired copy.
# **Names, postal addresses and dates of birth are not looked for**: read a sample. Where the answer needs a number that would be
# masked, call `fix(..., mask=False)`.

# %% [markdown]
# ## Split it

# %% tags=["portable"]
# portable: needs ftlab
from ftlab.data.schema import read_chat
from ftlab.data.splits import split_file
from ftlab.evaluation.answers import KINDS, answer_kind

KIND = answer_kind([row["messages"][-1]["content"] for row in read_chat(OUTPUT / "clean.jsonl")])
METRIC = KINDS[KIND][0]
print(f"the answers are of the kind {KIND}; what counts is {METRIC}")
split_file(
    OUTPUT / "clean.jsonl",
    OUTPUT / "parts",
    group="group",
    stratify="answer" if KIND == "label" else None,
    fractions={"train": 0.6, "validation": 0.1, "test": 0.3},
    force=True,
)

# %% [markdown]
# Three parts: one to learn from, one to choose by, one to judge by. A small file needs a large test part, else no
# difference can be shown on it. Nobody who is in the training part is in the test part. See how many rows went where their near
# duplicates are: this file was written by few patterns, so expect all that learns from it to look too good. In a file of your own
# a large number there says that you have fewer different cases than rows.

# %% [markdown]
# ## What do you get without training?
#
# First without a language model: the commonest answer, the answer of the row that is most like it, and for labels a linear
# classifier that counts words.

# %%
from ftlab.baselines.linear import train_linear
from ftlab.baselines.prompting import input_and_answer
from ftlab.baselines.simple import copy_input, majority, nearest

parts = {part: read_chat(OUTPUT / "parts" / f"{part}.jsonl") for part in ("train", "validation", "test")}
inputs = [input_and_answer(row)[0] for row in parts["test"]]
references = [row["messages"][-1]["content"] for row in parts["test"]]
groups = [row["group"] for row in parts["test"]] if GROUP else None

rivals = {"nearest": nearest(parts["train"])}
if KIND == "label":
    rivals |= {"majority": majority(parts["train"]), "linear": train_linear(parts["train"])}
if KIND == "text":
    rivals |= {"copy": copy_input()}
answers = {name: rival.answer(inputs).texts for name, rival in rivals.items()}
print(f"{len(inputs)} test rows:", {name: texts[0] for name, texts in answers.items()}, "right:", references[0])

# %% [markdown]
# Then with the model that you would train, and a prompt: without examples, or with four solved rows in front of each question,
# those most like it. Which of the two is the rival is chosen on the validation part, before the test rows are asked.

# %%
import torch
from unsloth import FastLanguageModel

from ftlab import hardware
from ftlab.models import resolve

ON_GPU, PRECISION = torch.cuda.is_available(), hardware.precision(MODEL)
DTYPE = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[PRECISION]

model, tokenizer = FastLanguageModel.from_pretrained(
    model_name=resolve(MODEL),
    max_seq_length=1024,
    dtype=DTYPE,
    load_in_4bit=ON_GPU,
)

# %%
from ftlab.baselines.prompting import Prompt, with_shots
from ftlab.evaluation.answers import score
from ftlab.evaluation.generation import generate

LONGEST = 8 + max(len(tokenizer(text)["input_ids"]) for text in references)  # tokens of an answer, of every system
plain = Prompt("instruction", INSTRUCTION)
prompts = {"zero_shot": plain, "few_shot": with_shots(plain, parts["train"], k=4, select="similar")}


def said_to(prompt, texts):
    asked = [prompt.messages(text) for text in texts]
    return generate(model, tokenizer, asked, max_new_tokens=LONGEST, batch_size=16).texts


chosen_on = [input_and_answer(row) for row in parts["validation"]]
tried = {}
for name, prompt in prompts.items():
    replies = said_to(prompt, [text for text, _ in chosen_on])
    tried[name] = score(KIND, replies, [right for _, right in chosen_on]).values(METRIC).mean()
    print(f"{name:10} {METRIC} {tried[name]:.1%} on {len(replies)} validation rows; the first answers: {replies[:2]}")
best_prompt = max(tried, key=tried.get)
answers[best_prompt] = said_to(prompts[best_prompt], inputs)

# %% [markdown]
# Read a few answers before you count them: is the form wrong, or the content? `nano` is far too small to follow a prompt, so
# its line here is low whatever you write; with `smol` or a larger model it is a rival to be taken seriously, and
# [03](03_measure_baselines.ipynb) searches for a better one, on the validation part.

# %% [markdown]
# ## Train
#
# The cells of [06](06_train_with_unsloth.ipynb), where each setting is explained.

# %% tags=["portable"]
# portable: needs unsloth, torch, trl and datasets (`pip install unsloth` brings all four), and ftlab
import math

import torch
from unsloth import FastLanguageModel

from ftlab import hardware
from ftlab.models import resolve

ON_GPU, PRECISION = torch.cuda.is_available(), hardware.precision(MODEL)
DTYPE = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[PRECISION]

model, tokenizer = FastLanguageModel.from_pretrained(
    model_name=resolve(MODEL),
    max_seq_length=1024,
    dtype=DTYPE,
    load_in_4bit=ON_GPU,
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

# %% tags=["portable"]
# portable, after the cell above
from datasets import Dataset

lines = (OUTPUT / "parts" / "train.jsonl").read_text(encoding="utf-8").split("\n")
chats = [json.loads(line)["messages"] for line in lines if line]
# many templates end with a new line; after that, TRL would add a second end token
texts = [tokenizer.apply_chat_template(chat, tokenize=False).rstrip() for chat in chats]
EPOCHS = min(10, max(2, math.ceil(100 * 16 / len(texts))))  # about a hundred steps of 16 rows
print(f"{len(texts)} rows, {EPOCHS} times\n{texts[0]}")

# %% tags=["portable"]
# portable, after the two cells above
from trl import SFTConfig, SFTTrainer
from unsloth.chat_templates import train_on_responses_only

from ftlab.training.preflight import check_masks

trainer = SFTTrainer(
    model=model,
    processing_class=tokenizer,
    train_dataset=Dataset.from_dict({"text": texts}),
    args=SFTConfig(
        output_dir=str(OUTPUT / "checkpoints"),
        dataset_text_field="text",
        max_length=512,
        per_device_train_batch_size=16 if MODEL == "nano" else 8,
        num_train_epochs=EPOCHS,
        learning_rate={"nano": 4e-3, "smol": 2e-3}.get(MODEL, 2e-4),
        warmup_steps=0.05,
        lr_scheduler_type="cosine",
        gradient_checkpointing=ON_GPU,
        bf16=PRECISION == "bf16",
        fp16=PRECISION == "fp16",
        logging_steps=10,
        save_strategy="no",
        seed=3407,
        report_to="none",
        disable_tqdm=True,
    ),
)
trainer = train_on_responses_only(trainer)  # learn the answers, not the questions
check_masks(trainer.train_dataset, chats, tokenizer, trainer.data_collator)  # stops if it would learn more
result = trainer.train()
model.save_pretrained(OUTPUT / "adapter")
tokenizer.save_pretrained(OUTPUT / "adapter")
print(f"{result.global_step} steps in {result.metrics['train_runtime']:.0f} seconds; saved in {OUTPUT.name}/adapter")

# %% [markdown]
# The [adapter](GLOSSARY.md#adapter) is saved together with the tokenizer, since a model that is asked with another template
# than it was trained with is another model. Ask it, as your program will:

# %% tags=["portable"]
# portable, after the cells that train
lines = (OUTPUT / "parts" / "test.jsonl").read_text(encoding="utf-8").split("\n")
test = [json.loads(line)["messages"] for line in lines if line]
FastLanguageModel.for_inference(model)
tokenizer.padding_side = "left"
LONGEST = 8 + max(len(tokenizer(chat[-1]["content"])["input_ids"]) for chat in test)  # tokens of an answer
said = []
for at in range(0, len(test), 16):
    asked = [
        tokenizer.apply_chat_template(chat[:-1], tokenize=False, add_generation_prompt=True)
        for chat in test[at : at + 16]
    ]
    batch = tokenizer(asked, return_tensors="pt", padding=True, add_special_tokens=False).to(model.device)
    written = model.generate(**batch, max_new_tokens=LONGEST, do_sample=False)
    said += tokenizer.batch_decode(written[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
right = sum(answer.strip() == chat[-1]["content"].strip() for answer, chat in zip(said, test, strict=True))
print(f"{right} of {len(test)} answers are the right one, letter for letter; the first: {said[0]!r}")

# %% [markdown]
# ## Did it work?
#
# Every system on the same test rows, with its 95 % [confidence interval](GLOSSARY.md#confidence-interval). For labels the
# metric is the share that is right, for records the share of their fields, for texts the likeness in letters. Rows of one
# group are no independent witnesses: the intervals count groups, as the split did.

# %% tags=["headline"]
from ftlab.plots import show, systems_alt, systems_figure

answers["fine_tuned"] = said
scores = {name: score(KIND, texts, references) for name, texts in answers.items()}
rates = {name: each.summary(groups)[METRIC] for name, each in scores.items()}
show(systems_figure(rates, metric=METRIC), systems_alt(rates, metric=METRIC))
print(f"{METRIC}, {len(references)} test rows: fine-tuned {rates['fine_tuned']}")

# %% [markdown]
# Where two bars overlap, the order of the two may be chance. The comparison below is paired: both systems on the same rows,
# which tells more than two bars.

# %%
from ftlab.evaluation.gate import Bars, decide_gate
from ftlab.evaluation.statistics import compare

values = {name: each.values(METRIC) for name, each in scores.items()}
comparison = compare(values[best_prompt], values["fine_tuned"], metric=METRIC, groups=groups)
simple = {name: compare(values[name], values["fine_tuned"], metric=METRIC, groups=groups) for name in rivals}
gate = decide_gate(comparison, rivals=simple, bars=Bars(min_gain=MIN_GAIN, metric=METRIC))
gate

# %% [markdown]
# With `nano` the gain over the prompt says nothing about your case, since `nano` cannot follow a prompt. Set `MODEL = "smol"`, and
# compare with the large model that you would otherwise use ([03](03_measure_baselines.ipynb) asks it).
#
# The gate only *stops* bad trainings: does training beat the best prompt by the bar, is chance ruled out, and does nothing simpler
# do better? "Ship" is a permission, not advice. Look at its line on `linear`: on this easy file counting words is as good as
# training. Whether you *need* the training is a second question, which `ftlab project` below answers: what is not shown to be
# better than something simpler is not worth its costs. "Do not ship" is a result too, and often the cheaper one. "Not enough data"
# comes with the smallest gain that this test finds reliably.
#
# **Exercise (level 3).** A test of `n` rows reliably finds gains from `detectable` on, and you want to find one of `gain`. A test that
# finds 10 points on 50 rows finds 5 points on four times as many. How many *more* rows must be labelled, rounded up, and never fewer
# than 0? Write `rows_to_label(n, detectable, gain)`.


# %% tags=["exercise"]
def rows_to_label(n, detectable, gain):
    # solution
    return max(0, math.ceil(n * (detectable / gain) ** 2 - 1e-9) - n)
    # end solution


# %%
from ftlab.exercises.project import check_rows_to_label

check_rows_to_label(rows_to_label)

# %% [markdown]
# ## Where is it wrong?

# %%
import pandas as pd

whose = "fine_tuned" if values["fine_tuned"].min() < 1 else best_prompt  # of a faultless one there is nothing to read
wrong = [i for i, value in enumerate(values[whose]) if value < 1]
table = pd.DataFrame(
    {
        "line": [parts["test"][i]["id"] for i in wrong],
        "asked": [str(inputs[i])[:100] for i in wrong],
        "answered": [answers[whose][i][:60] for i in wrong],
        "right": [references[i][:60] for i in wrong],
    }
)
print(f"{whose}: {len(wrong)} of {len(references)} are not wholly right")
table.head(8)

# %% [markdown]
# `line` is the line in your file. Read these rows before you change a setting: are they hard, or is the answer in the file
# wrong? [07](07_evaluate.ipynb) goes on from here.

# %% [markdown]
# ## The same in one command
#
# `ftlab project` does all this with a fair search for the prompt, answers held to allowed values, costs and a model card; reckons
# before it starts how long that takes, and cuts rows and steps to fit `--minutes`; and writes a folder that a colleague can
# read and run again. In a shell: `ftlab project data/other_shapes/library.jsonl --group visitor`. The same call from Python,
# with your choices and hardly any time:

# %%
from ftlab.project.project import run_project

project = run_project(
    DATA,
    OUTPUT / f"project_{Path(DATA).stem}",
    model=MODEL,
    asked=ASKED,
    answered=ANSWERED,
    group=GROUP,
    instruction=INSTRUCTION,
    minutes=3,
    progress=False,
)
project

# %% [markdown]
# One sentence on what to do next, with the numbers that it follows from, and what the time did not allow. (It splits anew and
# trains for less time, so its numbers differ from those above by some points: that is how much so few test rows can tell.) A
# [classification head](GLOSSARY.md#classification-head), which it tries where the answers are labels, is the language model with a
# small layer that picks the label: it reads, and writes nothing. The folder:

# %%
from IPython.display import Markdown

page = (project.folder / "README.md").read_text(encoding="utf-8")
print(sorted(path.name for path in project.folder.iterdir()))
Markdown(page.replace("\n#", "\n###").split("#### Run it again")[0])

# %% [markdown]
# This page is `README.md` in the folder. Its costs compare the systems with a prompt at a hosted service, which is *assumed* to be
# right as often as the prompt was here. They say which is cheaper, not which is good enough: measure a real prompt at the service,
# then fill in `cost.yaml`. `recipe.yaml` beside it has every setting, so that `ftlab run recipe.yaml --out again`
# repeats the run there; run twice, `ftlab project` does no step a second time. With `--model smol` and fifteen minutes the
# numbers are those of a real chat model.
#
# ## What you have seen
#
# - The names of fields are the smallest problem; rows that repeat, that are broken or that belong together are larger ones.
# - Something simple and a good prompt come first, on the same test rows, and the bar is written down before the result.
# - The gate may say no, and then the simple thing is what you ship. "Ship" allows it: where something simpler is as good, ship that.
# - "Not enough data" has a number: the rows that must be labelled for the gain that matters to you.

# %% [markdown]
# ## What would you do?
#
# Decide first, then open the answer.
#
# **1.** The page says: something simpler is enough. Your manager has promised "an AI model". What do you do?
#
# <details><summary>One answer</summary>
#
# Ship the simpler system and show the page: the same test rows, the interval, the price of a call. Keep the recipe. When new
# rows come or the task grows, one command tells whether that has changed.
#
# </details>
#
# **2.** The page says that there is not enough data to decide. Which do you ask for: a larger model, or labels?
#
# <details><summary>One answer</summary>
#
# Labels for the test set first, as many as the page names: without them no result can be believed, of any model. Then the
# training rows.
#
# </details>
#
# **3.** The check leaves out 9 % of your rows, and the run goes on. The result is good. Are you done?
#
# <details><summary>One answer</summary>
#
# No. Look at what was left out: if it is one customer, one language or the long cases, the result holds for the rest alone,
# and that will be asked of the model tomorrow.
#
# </details>
#
# **Read next:** [10 Count the cost](10_count_the_cost.ipynb) with your own numbers in `cost.yaml`,
# [12 Ship and maintain](12_ship_and_maintain.ipynb) when the gate says yes.
