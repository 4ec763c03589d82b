# ---
# ftlab:
#   reads: [data/support_triage/*.json*, recipes/support_triage_prompts.yaml, recipes/costs/support_triage_hosted.yaml, data/prices/*.csv, data/recorded/triage/predictions/*, data/recorded/distill/results.json, data/recorded/distill/predictions/*/*.jsonl, data/models/nano/*.json, data/models/nano/*.jinja, data/models/nano/model.safetensors]
#   headline: fields right of the long prompt and of its student
# ---

# %% [markdown]
# # Small from large
#
# **Question:** can a long prompt, or a large model, be distilled into a small one, and what is saved?
# **Minutes:** 24 to read, 4 to run. **Hardware:** any.
#
# In [distillation](GLOSSARY.md#distillation) one model learns from the answers of another. The *teacher* answers well today
# and costs too much: a long [prompt](GLOSSARY.md#prompt), or a large model. The *student* shall answer nearly as well for
# less. What it needs is inputs without answers, and those you have: yesterday's tickets. Nobody labels anything. You will
# see both forms at work, count what is kept and what is saved, and see what becomes of a teacher's mistakes.
#
# Students and teachers were trained by `python tools/record.py distill`, on `smol`, a chat model of 135 million
# [parameters](GLOSSARY.md#parameter), and `nano`, with 3.5 million. What takes seconds runs here.

# %% [markdown]
# ## A prompt that works, and its price
#
# The best prompt for the course's tickets is long: before every ticket it shows the four most similar of 2,000 solved ones,
# and each field is [chosen among allowed values](GLOSSARY.md#constrained-choice). Here is all that `smol` reads for one ticket:

# %%
import json
from pathlib import Path

import ftlab
from ftlab.baselines.prompting import read_prompts, with_shots
from ftlab.data.schema import read_chat

DATA, TRIAGE, RECORD = Path("../data/support_triage"), Path("../data/recorded/triage"), Path("../data/recorded/distill")
SCHEMA = json.loads((DATA / "schema.json").read_text())
train, test = read_chat(DATA / "train.jsonl"), read_chat(DATA / "test.jsonl")[:300]
record = json.loads((RECORD / "results.json").read_text())

wording = next(prompt for prompt in read_prompts("../recipes/support_triage_prompts.yaml") if prompt.name == "keys_only")
long_prompt = with_shots(wording, train, 4, select="similar")
asked = [row["messages"][-2]["content"] for row in test]
for turn in long_prompt.messages(asked[0]):
    print(f"{turn['role']:>9}: {turn['content']}")

# %% [markdown]
# The student will read the last of these lines and, before it, "Triage the ticket." Ask the teacher yourself:

# %%
import torch
from unsloth import FastLanguageModel  # before trl, which it patches

from ftlab import hardware
from ftlab.baselines.choice import choose_records, record_candidates
from ftlab.models import resolve, smol_or_nano

TEACHER = smol_or_nano()
PRECISION = hardware.precision(TEACHER)
DTYPE = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[PRECISION]
smol, smols_tokenizer = FastLanguageModel.from_pretrained(
    model_name=resolve(TEACHER), max_seq_length=2048, dtype=DTYPE, load_in_4bit=False
)
choices = choose_records(smol, smols_tokenizer, long_prompt, asked[:2], record_candidates(SCHEMA, train))
for answer, row in zip(choices.texts, test, strict=False):
    print("teacher:", answer)
    print("truth:  ", row["messages"][-1]["content"])
print(f"{choices.seconds_per_call:.1f} seconds and {choices.tokens_per_call:.0f} tokens a call")
del smol

# %% [markdown]
# ## The prompt moves into the weights
#
# The [triage record](03_measure_baselines.ipynb) has the long prompt's answers to 300 test tickets. Half of their
# phrasings play last month's tickets: `smol` learned the teacher's answers to them, with the short prompt, and nobody looked at
# the true ones. A second student learned the true answers of the same tickets, in as many steps. The other half of the
# phrasings judges all three.

# %%
from ftlab.evaluation.metrics import score_records
from ftlab.evaluation.statistics import difference_interval, score_interval
from ftlab.plots import show, systems_alt, systems_figure


def read_answers(path):
    return [json.loads(line)["prediction"] for line in path.read_text().splitlines()]


def truth(rows):
    return [row["messages"][-1]["content"] for row in rows]


queues = SCHEMA["properties"]["queue"]["enum"]
phrasing = [next(part for part in row["pattern"].split("+") if part.split(".")[1] in queues) for row in test]
taught_by_prompt = read_answers(TRIAGE / "predictions" / "test.constrained.jsonl")
judged = [test[at] for at in record["judged"]]
judged_phrasings = [phrasing[at] for at in record["judged"]]


def fields_right(answers, rows):  # for each ticket, the share of its fields that is right
    return score_records(answers, truth(rows), schema=SCHEMA).field_accuracy


answers = {
    "the long prompt (teacher)": [taught_by_prompt[at] for at in record["judged"]],
    "student, short prompt": read_answers(RECORD / "predictions" / "prompt_student" / "test.student.jsonl"),
    "the same, twice as long": read_answers(RECORD / "predictions" / "prompt_longer" / "test.student.jsonl"),
    "the same on true answers": read_answers(RECORD / "predictions" / "gold_student" / "test.student.jsonl"),
}
right = {who: fields_right(texts, judged) for who, texts in answers.items()}
shares = {who: score_interval(each, judged_phrasings) for who, each in right.items()}
show(systems_figure(shares), systems_alt(shares))

# %% tags=["headline"]
teacher, student, longer, on_truth = right.values()
steps = record["points"]["prompt_student"]["steps"]
print(f"{len(record['new'])} tickets, {steps} steps; judged on {len(judged)} tickets in {len(set(judged_phrasings))} phrasings")
print(f"teacher {teacher.mean():.1%} of the fields, student {student.mean():.1%}, student of the truth {on_truth.mean():.1%}")
for what, a, b in (
    ("student against teacher", teacher, student),
    ("twice as many steps", student, longer),
    ("truth instead of the teacher", student, on_truth),
):
    gain = difference_interval(b - a, judged_phrasings)
    print(f"{what}: {100 * gain.value:+.1f} points [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]")
import pandas as pd

by_field = {who: score_records(texts, truth(judged), schema=SCHEMA).field_table() for who, texts in answers.items()}
pd.DataFrame({who: {field: f"{rate.value:.0%}" for field, rate in found.items()} for who, found in by_field.items()}).T

# %% [markdown]
# The student's calls take a fifth of the tokens, and on average it lost a good part of what the prompt reaches. Is that what a short
# training on few tickets must lose? On average the last line says no: the same model, the same tickets, as many steps, and with true
# answers it comes to where the prompt is. The table by field says more: in the queue and the urgency even true answers stay below the
# prompt's. So both matter, the teacher's mistakes (it answers one field in three wrongly; [04b](04b_how_many_rows.ipynb) showed what such
# labels do) and the few tickets.
#
# And was it short? Twice as many steps brought a quarter of the loss back (the third line), most of it in the queue and the tone. One
# training each.

# %% [markdown]
# ## What was learned: the task, or the mistakes?
#
# The teacher is wrong in every third field. Look at those fields alone. Does the student repeat the teacher's answer, or
# find the right one?
#
# **Exercise (level 3).** Write `taken_over(student, teacher, reference)`: three lists of answers. Of the teacher's wrong answers, which
# share does the student give, too? With a teacher that is never wrong, return 0.

# %% tags=["exercise"]
def taken_over(student, teacher, reference):
    # solution
    wrong = [(s, t) for s, t, right in zip(student, teacher, reference, strict=True) if t != right]
    return sum(s == t for s, t in wrong) / len(wrong) if wrong else 0.0
    # end solution


# %%
from ftlab.exercises.distill import check_taken_over

check_taken_over(taken_over)

# %%
from ftlab.evaluation.metrics import parse_record

FIELDS = list(SCHEMA["properties"])


def values(texts):  # field by field, ticket after ticket; "?" where an answer is no JSON
    return [(parse_record(text) or {}).get(field, "?") for field in FIELDS for text in texts]


teachers, references = values(answers["the long prompt (teacher)"]), values(truth(judged))
rows = {}
for who in list(answers)[1:]:
    pairs = list(zip(values(answers[who]), teachers, references, strict=True))
    at_fault = [(s, t, r) for s, t, r in pairs if t != r]
    rows[who] = {
        "agrees with the teacher": sum(s == t for s, t, _ in pairs) / len(pairs),
        "where the teacher is wrong: repeats it": sum(s == t for s, t, _ in at_fault) / len(at_fault),
        "is right": sum(s == r for s, _, r in at_fault) / len(at_fault),
    }
in_lessons = [json.loads(taught_by_prompt[at])["queue"] for at in record["new"]]
usual = max(set(in_lessons), key=in_lessons.count)
named = {who: sum(team == usual for team in values(texts)[: len(texts)]) for who, texts in answers.items()}
true_teams = sum(json.loads(text)["queue"] == usual for text in truth(judged))
print(f"the team that the teacher named most often in the lessons, {usual}: named for {named} of {len(judged)} tickets; right for {true_teams}")
pd.DataFrame(rows).T.map("{:.0%}".format)

# %% [markdown]
# Read the second column against the last row: the student of the truth never saw the teacher, so what it repeats is chance,
# or a mistake that is easy to make. What the teacher's student repeats above that, it was taught, and with twice the steps it
# repeats as much and is right more often. Much of what it does
# wrong is neither: the line above the table says how often it names the team that its teacher named most often in the lessons.

# %% [markdown]
# ## What is saved
#
# The student reads no examples, searches none, and scores no candidates.

# %%
cost_of = {
    "long prompt": json.loads((TRIAGE / "predictions" / "test.constrained.json").read_text()) | {"n": len(test)},
    "student": record["points"]["prompt_student"] | {"n": len(judged)},
}
tokens = {who: {part: seen[f"{part}_tokens"] / seen["n"] for part in ("prompt", "new")} for who, seen in cost_of.items()}
pd.DataFrame(tokens).T.assign(call=lambda table: table.prompt + table.new).round(0).astype(int)

# %% [markdown]
# Tokens are not money yet. With the functions of [10](10_count_the_cost.ipynb): the long prompt and a tuned model at the same
# hosted service, with these tokens. The examples change with every ticket, so no
# [cached prompt](GLOSSARY.md#prompt-caching) makes them cheaper. The teacher's answers to 1,000 tickets are counted in place of
# people's labels; work, evaluation and upkeep stay as the scenario has them.

# %%
from dataclasses import replace
from datetime import date

from ftlab.costs.assumptions import read_scenario
from ftlab.costs.scenario import cost

TODAY = date(2026, 11, 22)  # the day on which the prices were checked; put date.today() here before you decide
hosted = read_scenario("../recipes/costs/support_triage_hosted.yaml")
long, short = tokens["long prompt"], tokens["student"]
own = short["prompt"] - 4  # the ticket itself; 4 tokens are "Triage the ticket."
options = hosted.content["options"]
few_shot = options["few_shot"] | {"prompt_tokens": 0, "example_tokens": long["prompt"] - own, "cache_hit_rate": 0}
tuned = {name: part for name, part in options["tuned"].items() if name != "labelling"}
tuned |= {"drafting": {"provider": "openai", "model": "gpt-4.1-mini", "rows": 1000, "prompt_tokens": long["prompt"], "output_tokens": long["new"]}}  # fmt: skip
content = {"input_tokens": own, "output_tokens": long["new"], "options": {"few_shot": few_shot, "tuned": tuned}}
costs = cost(replace(hosted, content=hosted.content | content), TODAY)
for name, option in (("long prompt", costs["few_shot"]), ("student", costs["tuned"])):
    print(f"{name}: {1000 * option.usd_per_call:.3f} USD per 1,000 calls, {option.monthly_usd:.0f} USD a month besides")
print(", ".join(f"{part} {usd:.2f} USD" for part, usd in costs["tuned"].one_time.items() if usd), "at the start")
saved = costs["few_shot"].usd_per_call - costs["tuned"].usd_per_call
print(f"the student saves from {costs['tuned'].monthly_usd / saved:,.0f} calls a month on")

# %% [markdown]
# Tokens fall to a fifth, and the bill does not: a tuned model's token costs more at a service, and the fixed dollars of a month
# are untouched. The teacher's answers are the smallest item. So a prompt of some hundred tokens is worth distilling when calls
# come by the million, when you serve your own weights, or when the seconds count. With a prompt of some thousand tokens the
# border is much lower: put your own numbers in.

# %% [markdown]
# ## A large model into a small one
#
# Now a better teacher: `smol` itself, [fine-tuned](GLOSSARY.md#fine-tuning) on 300 tickets. You have 100 labelled tickets
# of your own, and 200 new ones that nobody has labelled. The student shall be much smaller. How right is the teacher on the
# tickets that it labels? (They have labels, in fact, which are used to judge, and for a last student that shows what labels
# by hand would have brought.)

# %%
import numpy as np

teachers_labels = [
    read_answers(TRIAGE / "predictions" / f"validation.fine_tuned{seed}.jsonl") for seed in ("", ".seed_2", ".seed_3")
]
labels = teachers_labels[0]
first, first_phrasings = test[:200], phrasing[:200]  # those that `nano` has answered
few, others = train[: record["few"]], read_chat(DATA / "validation.jsonl")[: record["known"]]
scores = score_records(labels, truth(others), schema=SCHEMA)
print(f"{len(others)} tickets: {scores.field_accuracy.mean():.1%} of the fields right, {scores.exact_match.mean():.1%} of the records")
pairs = [(parse_record(a) or {}, json.loads(b)) for a, b in zip(labels, truth(others), strict=True)]
print(", ".join(f"{field} {np.mean([a.get(field, '?') == b[field] for a, b in pairs]):.0%}" for field in FIELDS))

# %% [markdown]
# Always measure this, on a hundred tickets that a person labels: it tells how good the lessons are. Errors with a pattern will be learned.
# (These are validation tickets; on test tickets, which are phrased in other ways, this teacher is less often right.) A filter
# could raise it. One that works with any teacher: ask several, or one in several ways, and keep what they agree on. The triage
# record has three trainings of this teacher, which answered the same tickets.
#
# **Exercise (level 3).** Write `kept_and_right(agreeing, right, least)`. For each answer of the first teacher, `agreeing` says how many
# others gave the same, and `right` whether it is right. Keep those with at least `least` others. Return the share that is
# kept, and the share of the kept that is right (0 where nothing is kept).

# %% tags=["exercise"]
def kept_and_right(agreeing, right, least):
    # solution
    kept = [is_right for others, is_right in zip(agreeing, right, strict=True) if others >= least]
    return len(kept) / len(right), sum(kept) / len(kept) if kept else 0.0
    # end solution


# %%
from ftlab.exercises.distill import check_kept_and_right

check_kept_and_right(kept_and_right)

# %%
agreeing = np.sum([np.array(other) == labels for other in teachers_labels[1:]], axis=0)
pd.DataFrame(
    {
        f"at least {least} of 2 agree": {
            "labels kept": f"{np.mean(agreeing >= least):.0%}",
            "records right": f"{scores.exact_match[agreeing >= least].mean():.0%}",
            "fields right": f"{scores.field_accuracy[agreeing >= least].mean():.0%}",
        }
        for least in (0, 1, 2)
    }
).T

# %% [markdown]
# Where three agree they are more often right, and more than half of the work is thrown away. Whether that pays is seen in the
# student only.

# %% [markdown]
# ## Students of the large model
#
# Two small students. `nano` is a language model, 40 times smaller than its teacher; its answers are recorded. The other is
# no language model at all: a [linear classifier](GLOSSARY.md#linear-classifier) on words, trained here and now on the same
# tickets.

# %%
from ftlab.baselines.linear import train_linear


def with_answers(rows, answers):
    pairs = zip(rows, answers, strict=True)
    return [row | {"messages": [*row["messages"][:-1], {"role": "assistant", "content": answer}]} for row, answer in pairs]


taught = with_answers(others, labels)
agreed = [row for row, n in zip(taught, agreeing, strict=True) if n == 2]
learns_from = {  # name of the student in the record, and what it learns from
    "your 100 alone": ("small_few", few),
    "and 200 from the teacher": ("small_taught", few + taught),
    "only those on which three agree": (None, few + agreed),
    "and the true 200": ("small_gold", few + others),
}
table, student_scores = {}, {}
for what, (point, rows) in learns_from.items():
    said = train_linear(rows, SCHEMA).answer(asked[:200]).texts
    student_scores[what] = fields_right(said, first)
    table[what] = {"tickets": len(rows), "linear": repr(score_interval(student_scores[what], first_phrasings))}
    if point in record["points"]:
        said = read_answers(RECORD / "predictions" / point / "test.student.jsonl")
        table[what]["nano"] = repr(score_interval(fields_right(said, first), first_phrasings))
teachers_own = read_answers(TRIAGE / "predictions" / "test.fine_tuned.jsonl")[: len(first)]
table["the teacher itself"] = {"tickets": 300, "smol": repr(score_interval(fields_right(teachers_own, first), first_phrasings))}
pd.DataFrame(table).T.fillna("")

# %%
alone, by_teacher, by_agreed, by_hand = student_scores.values()
for what, a, b in (
    ("200 labels of the teacher", alone, by_teacher),
    ("true labels in their place", by_teacher, by_hand),
    ("the filter", by_teacher, by_agreed),
):
    gain = difference_interval(b - a, first_phrasings)
    print(f"linear, {what}: {100 * gain.value:+.1f} points [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]")

# %% [markdown]
# Here is the case in which it pays: few labels, many inputs, a teacher that is right in nine fields of ten. Labels by hand would
# hardly have been better. The filter made the labels better and the student worse. It leaves fewer tickets, and the easy ones, on
# which all agree; which of the two did the harm, this does not tell (as many tickets, drawn by chance, would). With a teacher as
# wrong as the long prompt, or with thousands of inputs to choose from, the filter can win: measure it, it costs one training. For
# `nano` the same order is within its luck: one training each, and a weak reader.
#
# And be fair to the other way: if the 300 tickets that made this teacher are yours, train the student on them directly, and on
# the teacher's labels as well.

# %% [markdown]
# ## The cells to copy
#
# Three steps: collect the teacher's answers, keep what is valid, train. The teacher may be any service that speaks OpenAI's
# interface, hosted or on your machine (`llama-server`, vLLM, Ollama). Your texts leave the machine when it is a hosted one, so
# nothing is sent before you have read what it can cost at most, and have said yes.

# %%
UNLABELLED = "../data/support_triage/validation.jsonl"  # your JSONL; what stands in the last turn of the assistant is not read
TEACHER = None  # the address of a chat service, such as "http://localhost:8000/v1"; None: the answers recorded above
TEACHER_MODEL = "the-name-of-the-model"
USD_PER_MTOK = {"usd_per_mtok_in": 0.40, "usd_per_mtok_out": 1.60}  # your service's prices
CONFIRM = False  # True, once you have read what would be sent, and what it costs at most
SYSTEM = "Triage the ticket."  # what the student will read; the teacher reads `long_prompt`

# %%
from ftlab.baselines.endpoint import Endpoint
from ftlab.errors import RecipeError

unlabelled = read_chat(UNLABELLED)
if TEACHER is None:  # the recorded answers below belong to the first of the course's tickets
    unlabelled = unlabelled[: len(labels)]
inputs = [next(turn["content"] for turn in row["messages"] if turn["role"] == "user") for row in unlabelled]
chats = [long_prompt.messages(text) for text in inputs]
service = Endpoint(
    TEACHER or "http://localhost:8000/v1",
    TEACHER_MODEL,
    api_key_env=None,  # or the name of the variable that holds your key
    max_usd=1.0,  # it stops before it could cost more
    **USD_PER_MTOK,
)
try:
    drafts = list(service.answer(chats, max_new_tokens=96, confirm=CONFIRM).texts)
except RecipeError as refused:
    if TEACHER is not None:  # nothing was confirmed, or the money is used up: no other teacher's answers in its place
        raise
    print(refused)
    drafts = labels

# %% [markdown]
# That refusal is the receipt before the purchase. (With a local model, `generate(model, tokenizer, chats)` from
# `ftlab.evaluation.generation` takes the place of the service.) Now keep what is valid, and write down where each row came
# from: a row of unknown origin can never be taken out again.

# %%
from jsonschema import Draft202012Validator

policy = Draft202012Validator(SCHEMA)
valid = [policy.is_valid(parse_record(text)) for text in drafts]
provenance = {"teacher": TEACHER_MODEL if TEACHER else "smol, fine-tuned on 300 tickets", "prompt": long_prompt.name if TEACHER else SYSTEM,
              "date": date.today().isoformat()}  # fmt: skip
rows = [
    {
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": text},
            {"role": "assistant", "content": draft},
        ],
        "provenance": provenance,
    }
    for text, draft, ok in zip(inputs, drafts, valid, strict=True)
    if ok
]
OUT = ftlab.home() / "17_small_from_large"
OUT.mkdir(parents=True, exist_ok=True)
with (OUT / "taught.jsonl").open("w") as file:
    file.writelines(json.dumps(row) + "\n" for row in rows)
print(f"{len(rows)} of {len(drafts)} answers fit the schema")
print(json.dumps(rows[0]))

# %% [markdown]
# Then train, as in [06](06_train_with_unsloth.ipynb). As it stands the student is `nano` and takes a minute; `"smol"` or a
# hub id runs through the same cell.

# %%
from datasets import Dataset
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer
from unsloth.chat_templates import train_on_responses_only

from ftlab.training.preflight import check_masks

MODEL = "nano"
ON_GPU, PRECISION = torch.cuda.is_available(), hardware.precision(MODEL)
DTYPE = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[PRECISION]

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


def sft(model, chats, steps, learning_rate):
    # many templates end with a new line; after that, TRL would add a second end token
    texts = [tokenizer.apply_chat_template(chat, tokenize=False).rstrip() for chat in chats]
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"text": texts}),
        args=SFTConfig(
            output_dir=str(OUT / "student"),
            dataset_text_field="text",
            max_length=512,
            per_device_train_batch_size=16,
            max_steps=steps,
            learning_rate=learning_rate,
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
    trainer.train()
    return trainer.model


# %%
from ftlab.evaluation.generation import generate

to_learn = [row["messages"] for row in few + rows]
model = sft(model, to_learn, steps=60, learning_rate={"nano": 4e-3, "smol": 2e-3}.get(MODEL, 2e-4))
written = generate(model, tokenizer, [row["messages"][:-1] for row in first[:60]], max_new_tokens=96)
print(f"{len(to_learn)} tickets, 60 steps: {fields_right(written.texts, first[:60]).mean():.1%} of the fields of 60 tickets right")

# %% [markdown]
# The recorded `nano` above took 100 steps and answered 200 tickets, so the two numbers differ.

# %% [markdown]
# ## A wrong teacher
#
# Two teachers, equally often wrong about the team. One takes every workshop ticket for aftersales and every accounts ticket
# for billing. The other names a wrong team for as many tickets, but any team for any ticket. `nano` and `smol` learned 400 tickets
# from each.

# %%
many = train[: record["many"]]
judges = {"nano": ("small_", first, first_phrasings), "smol": ("", judged, judged_phrasings)}
seen = {}
for who, (prefix, rows, groups) in judges.items():
    team = np.array([json.loads(text)["queue"] for text in truth(rows)])
    hit = np.isin(team, list(record["confused"]))
    mistake = np.array([record["confused"].get(name, "") for name in team])
    for kind in ("scattered", "confused"):
        said = read_answers(RECORD / "predictions" / f"{prefix}{kind}" / "test.student.jsonl")
        named = np.array([str((parse_record(text) or {}).get("queue")) for text in said])
        seen[f"{who}, {kind} errors"] = {
            "team right": repr(score_interval(named == team, groups)),
            "on the two teams' tickets": f"{np.mean((named == team)[hit]):.0%} of {hit.sum()}",
            "on all others": f"{np.mean((named == team)[~hit]):.0%}",
            "the confused teacher's mistake": f"{np.mean((named == mistake)[hit]):.0%}",
            "names one of the two teams": f"{np.isin(named, list(record['confused'])).mean():.0%}",
        }
print(f"wrong teams: {np.mean([json.loads(text)['queue'] in record['confused'] for text in truth(many)]):.0%} of the training tickets")
pd.DataFrame(seen).T

# %% [markdown]
# One average of the teachers, different students. An error with a pattern is a rule like any other, and is learned like one: of the two
# teams' tickets neither student gets one right, and most of `smol`'s answers to them are the very mistake. What errors without a pattern
# do, these trainings show less well. `nano` names few teams but these two, which is why it does better on their tickets and worse on the
# others; `smol`, after 50 steps, is seldom right about any team, and names these two next to never. So the average of a teacher tells
# you little. Agreement cannot find a mistake that all teachers share. Look at the teacher's errors by class, on tickets that a person
# labelled, before anything is trained. (One training each.)

# %% [markdown]
# ## Probabilities instead of texts
#
# A text says which value the teacher chose. Its probabilities say how near the others were, and that is more to learn from.
# The usual loss is the [KL divergence](GLOSSARY.md#kl-divergence) from the teacher's distribution $p$ to the student's $q$,
# $\sum_v p_v \log(p_v / q_v)$ at each token, with both softened by a [temperature](GLOSSARY.md#temperature). It needs the
# [logits](GLOSSARY.md#logits) of both over one vocabulary, so a hosted teacher cannot give it. TRL has two trainers for it.
# By hand, and asserted equal to TRL's:

# %%
import os

from torch.nn.functional import log_softmax

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"  # it warns that what is experimental may change with the next version
from trl.experimental.gkd import GKDConfig, GKDTrainer


def forward_kl(student_logits, teacher_logits, temperature=1.0):
    p = log_softmax(teacher_logits / temperature, dim=-1)
    q = log_softmax(student_logits / temperature, dim=-1)
    return (p.exp() * (p - q)).sum(dim=-1).mean()


torch.manual_seed(0)
ours, theirs = torch.randn(2, 5, 7), torch.randn(2, 5, 7)  # 2 rows, 5 tokens, a vocabulary of 7
answer_tokens = torch.zeros(2, 5, dtype=torch.long)  # no token is masked
for temperature in (1.0, 2.0):
    trls = GKDTrainer.generalized_jsd_loss(ours, theirs, answer_tokens, beta=0.0, temperature=temperature)
    torch.testing.assert_close(forward_kl(ours, theirs, temperature), trls)
    print(f"temperature {temperature}: {forward_kl(ours, theirs, temperature):.4f}, TRL {trls:.4f}")

# %% [markdown]
# `beta=0` is this one; `beta=1` turns it round, which makes a student avoid what the teacher finds unlikely instead of covering
# all that it finds likely. Now three students of one teacher. The teacher is the `nano` that you have just
# trained; the students are the same model with two of its four layers taken out. All three begin with 15 steps of plain
# [SFT](GLOSSARY.md#sft) on the teacher's texts, so that they can write an answer at all, and take 15 more. One goes on with the texts.
# One learns the teacher's probabilities on these texts. One writes its own answers, and learns the teacher's probabilities there:
# [on-policy](GLOSSARY.md#on-policy).

# %%
import logging

from transformers import AutoModelForCausalLM

logging.getLogger("transformers").setLevel(logging.ERROR)
teacher_model = model.merge_and_unload().float().eval()
said = generate(teacher_model, tokenizer, [row["messages"][:-1] for row in first[:80]]).texts
compared_rows = [row for row, text in zip(first[:80], said, strict=True) if parse_record(text)]  # only a record has fields
of_teacher = with_answers(compared_rows, [text for text in said if parse_record(text)])
lessons = with_answers(many[:160], generate(teacher_model, tokenizer, [row["messages"][:-1] for row in many[:160]]).texts)


teacher_model.save_pretrained(OUT / "teacher")


def halved():  # loaded anew: a copy in memory would keep what Unsloth has tied to the large model
    small = AutoModelForCausalLM.from_pretrained(OUT / "teacher", dtype=torch.float32)
    small.model.layers = torch.nn.ModuleList([small.model.layers[0], small.model.layers[-1]])
    small.model.layers[1].self_attn.layer_idx = 1  # its place in the key-value cache
    small.config.num_hidden_layers, small.config.layer_types = 2, small.config.layer_types[:2]
    return small.train().requires_grad_(True)


def gkd(student, chats, steps, learning_rate, on_policy):
    trainer = GKDTrainer(
        model=student,
        teacher_model=teacher_model,
        processing_class=tokenizer,
        train_dataset=Dataset.from_list([{"messages": chat} for chat in chats]),
        args=GKDConfig(
            output_dir=str(OUT / "gkd"),
            max_length=512,
            per_device_train_batch_size=16,
            max_steps=steps,
            learning_rate=learning_rate,
            lr_scheduler_type="cosine",
            beta=0.0,  # forward KL
            lmbda=1.0 if on_policy else 0.0,  # the share of steps on the student's own answers
            temperature=0.9,  # of what the student samples; the loss itself is taken at 1
            max_new_tokens=64,
            gradient_checkpointing=ON_GPU,
            bf16=PRECISION == "bf16",
            logging_strategy="no",
            save_strategy="no",
            seed=3407,
            report_to="none",
            disable_tqdm=True,
        ),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trainer.model.eval()


# %%
import time

chats = [row["messages"] for row in lessons]
sft(halved(), chats, 15, 1e-3).save_pretrained(OUT / "begun")


def begun():
    return AutoModelForCausalLM.from_pretrained(OUT / "begun", dtype=torch.float32).train()


ways = {
    "as all three began": lambda student: student.eval(),
    "texts (SFT)": lambda student: sft(student, chats, 15, 1e-3).eval(),
    "probabilities, teacher's texts": lambda student: gkd(student, chats, 15, 1e-3, on_policy=False),
    "probabilities, own texts": lambda student: gkd(student, chats, 15, 2e-4, on_policy=True),
}
students, compared = {}, {}
for how, learn in ways.items():
    start = time.perf_counter()
    students[how] = learn(begun())
    seconds = time.perf_counter() - start
    told = generate(students[how], tokenizer, [row["messages"][:-1] for row in of_teacher]).texts
    compared[how] = {
        "fields as the teacher": f"{fields_right(told, of_teacher).mean():.0%}",
        "fields right": f"{fields_right(told, compared_rows).mean():.0%}",
        "seconds": f"{seconds:.0f}",
    }
print(f"the teacher: {fields_right([row['messages'][-1]['content'] for row in of_teacher], compared_rows).mean():.0%} of the fields right")
pd.DataFrame(compared).T

# %% [markdown]
# The first column is what distillation is about: how often the student answers as its teacher does. After so few steps of
# so small a student, the order of the three is one draw. Both ways with probabilities took longer than SFT: the teacher reads every batch,
# too, and writing comes on top.
# The third student takes a fifth of the others' learning rate. With 1e-3 it ends in loops that never close the record: each text it
# learns from is one that it has just written, so a step too far spoils the next lesson as well.
# On-policy pays where a student's own mistakes lead it to places that no teacher's text shows: long answers, reasoning.
#
# TRL's newer `DistillationTrainer` is on-policy only and made for a GPU: its loss is a Triton kernel, and on a machine
# without Triton it stops in the first step (TRL 1.15). `GKDTrainer`, under `trl.experimental`, runs anywhere, and refuses two
# models with vocabularies of different size. For such pairs TRL has `GOLDTrainer`, or you distil through texts, as above.

# %% [markdown]
# ## May you?
#
# Whose answers are they? Terms differ, and they change: read those of *your* provider on the day on which you start. What we
# could read:
#
# - Anthropic forbids training models that compete with its own, and names classifiers, summarizers and extraction tools as
#   allowed (support.claude.com, article 12326764, a copy read on 2026-11-29).
# - OpenAI's terms have a clause against using output "to develop models that compete with OpenAI" (as others quote it; we could
#   not read the current text).
# - Gemma 1 to 3: a model trained on Gemma's outputs to perform like it counts as a derivative and falls under the same terms
#   (Gemma Terms of Use, 1.1 e, version of 2026-04-01); Gemma 4 has a licence of its own.
# - Llama 3 (Community License of 2024-04-18, 1.b.v) forbids using it or its output to improve any other large language model. From Llama
#   3.1 on that is allowed, and a model so made and passed on must have "Llama" in front of its name.
# - `smol` and Qwen3 are Apache-2.0, which asks for nothing of the kind.
#
# And the inputs are your customers': what [04](04_prepare_data.ipynb) says about personal data holds before you send anything.

# %% [markdown]
# ## What is known of larger models
#
# - *A prompt into the weights* is called context distillation (Askell et al. 2021, arXiv:2112.00861). Snell et al. 2022
#   (arXiv:2209.15189) distilled instructions and worked examples; distilled examples beat direct training on these examples by
#   9 % on a text-to-SQL set.
# - *Probabilities instead of labels*: Hinton, Vinyals and Dean 2015 (arXiv:1503.02531). *On-policy*: Agarwal et al. 2024
#   (arXiv:2306.13649), because a student meets its own mistakes, not its teacher's.
# - *Small can beat large*: a T5 of 770M parameters that also learned the teacher's reasons beat the prompted 540B PaLM with
#   80 % of the data of one benchmark (Hsieh et al. 2023, arXiv:2305.02301).
# - *And not*: models of 1.5B to 13B that imitated ChatGPT took over its style, which people liked, and closed little or
#   nothing of the gap on tasks that the imitation data did not hold (Gudibande et al. 2023, arXiv:2305.15717).
#
# What you saw: a student learns its teacher's answers where the inputs are like those it met, with the teacher's mistakes. It did not beat
# its teacher here, as a student that reads reasons can. Tasks that the lessons did not hold were not tested.

# %% [markdown]
# ## What you have seen
#
# - The teacher needs inputs, not labels. Measure it on a hundred labelled ones first: its errors become the student's.
# - A long prompt can go into the weights. Tokens a call fell to a fifth, and so did a good part of what the prompt reached: this teacher
#   was wrong in a third of the fields.
# - A good teacher's labels were worth nearly as much as true ones, where own labels were few.
# - A filter trades rows for correctness. A systematic error is learned like any other rule, and an average hides it.
# - Probabilities say more than texts, and need both models' logits over one vocabulary.
# - Read your provider's terms, and ask before you send.

# %% [markdown]
# ## What would you do?
#
# Decide first, then open the answer.
#
# **1.** Your long prompt gets two fields of three right and is expensive. The team wants to distil it. What do you ask for
# first?
#
# <details><summary>One answer</summary>
#
# A hundred labelled tickets, to see where it is wrong. The student is taught those errors. Labels by hand for a few hundred
# tickets may cost less than what the errors cost.
#
# </details>
#
# **2.** Two teachers have 70 % of the teams right. One errs anywhere, the other always sends workshop tickets to
# aftersales. Which do you take?
#
# <details><summary>One answer</summary>
#
# That depends on what an error costs where. The second one's student may well get the workshop's tickets all wrong, and that can be
# mended: have that one class labelled by people. The average cannot tell you any of this.
#
# </details>
#
# **3.** 60,000 calls a month, and the student would read a fifth of the tokens. Worth it?
#
# <details><summary>One answer</summary>
#
# At a hosted service hardly: the fixed dollars of a month and the dearer token eat what is saved, and the border lay at
# over a million calls. With your own weights, or where seconds count, do the sum again.
#
# </details>
#
# **Read next:** [10 Count the cost](10_count_the_cost.ipynb), for your own border; [07 Evaluate](07_evaluate.ipynb), before a
# student replaces its teacher.
