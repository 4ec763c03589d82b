# ---
# ftlab:
#   reads: [data/support_triage/*.json*, recipes/support_triage_prompts.yaml, recipes/costs/support_triage_hosted.yaml, data/prices/*.csv, data/recorded/triage/predictions/*, data/recorded/distill/results.json, data/recorded/distill/predictions/**, data/models/nano/*.json, data/models/nano/*.jinja, data/models/nano/model.safetensors]
#   headline: fields right of the long prompt and of its student
# ---

# %% [markdown]
# # Small from large
#
# **Question:** can a long prompt, or a large model, be distilled into a small one, and what is saved?
# **Minutes:** 3. **Hardware:** any.
#
# In [distillation](GLOSSARY.md#distillation) one model learns from the answers of another. The *teacher* answers well today and
# costs too much: a long [prompt](GLOSSARY.md#prompt), or a large model. The *student* shall answer nearly as well for less. What
# it needs is inputs without answers, and those you have: yesterday's tickets. Nobody labels anything. You will see both forms
# at work, count what is kept and what is saved, and see what becomes of a teacher's mistakes.
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
from ftlab.models import resolve

PRECISION = hardware.precision("smol")
DTYPE = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[PRECISION]
smol, smols_tokenizer = FastLanguageModel.from_pretrained(model_name=resolve("smol"), max_seq_length=2048, dtype=DTYPE)
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
from ftlab.evaluation.statistics import clustered_mean
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
    "the same on true answers": read_answers(RECORD / "predictions" / "gold_student" / "test.student.jsonl"),
}
right = {who: fields_right(texts, judged) for who, texts in answers.items()}
shares = {who: clustered_mean(each, judged_phrasings) for who, each in right.items()}
show(systems_figure(shares), systems_alt(shares))

# %% tags=["headline"]
teacher, student, on_truth = right.values()
steps = record["points"]["prompt_student"]["steps"]
print(f"{len(record['new'])} tickets, {steps} steps; judged on {len(judged)} tickets in {len(set(judged_phrasings))} phrasings")
print(f"teacher {teacher.mean():.1%} of the fields, student {student.mean():.1%}, student of the truth {on_truth.mean():.1%}")
for what, a, b in (("student against teacher", teacher, student), ("truth instead of the teacher", student, on_truth)):
    gain = clustered_mean(b - a, judged_phrasings)
    print(f"{what}: {100 * gain.value:+.1f} points [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]")

# %% [markdown]
# TODO-READ-1

# %% [markdown]
# ## What was learned: the task, or the mistakes?
#
# The teacher is wrong in every third field. Look at those fields alone. Does the student repeat the teacher's answer, or
# find the right one?
#
# **Exercise.** Write `taken_over(student, teacher, reference)`: three lists of answers. Of the teacher's wrong answers, which
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
import pandas as pd

from ftlab.evaluation.metrics import parse_record

FIELDS = list(SCHEMA["properties"])


def values(texts):  # field by field, ticket after ticket; None where an answer is no JSON
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
pd.DataFrame(rows).T.map("{:.0%}".format)

# %% [markdown]
# TODO-READ-2

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
# You have 100 labelled tickets, and 400 more that nobody has labelled. A large model learns more from 100 tickets than a small
# one. So train the large one on your 100, let it label the other 400, and train the small one on all 500. (The 400 have
# labels, in fact. They are used to judge, and for a last student that shows what labels by hand would have brought.)
#
# How right is the teacher on the tickets that it labels?

# %%
few, others = train[: record["few"]], train[record["few"] : record["all"]]
labels = read_answers(RECORD / "predictions" / "large_labels" / "train.large.jsonl")
scores = score_records(labels, truth(others), schema=SCHEMA)
print(f"{len(others)} tickets: {scores.field_accuracy.mean():.1%} of the fields right, {scores.exact_match.mean():.1%} of the records")
by_field = {
    field: sum((parse_record(a) or {}).get(field, "?") == json.loads(b)[field] for a, b in zip(labels, truth(others), strict=True))
    for field in FIELDS
}
print("right by field:", ", ".join(f"{field} {count / len(others):.0%}" for field, count in by_field.items()))

# %% [markdown]
# A filter would help if the teacher knew where it is wrong. Its own probability for the whole answer was recorded with each
# label. Keep the surest, and look at what is kept:

# %%
import matplotlib.pyplot as plt
import numpy as np

order = np.argsort(record["points"]["large_labels"]["sure"])[::-1]
kept = np.arange(20, len(others) + 1, 20)
fields, whole = ([100 * each[order[:n]].mean() for n in kept] for each in (scores.field_accuracy, scores.exact_match))
fig, ax = plt.subplots(figsize=(6, 2.6))
ax.plot(100 * kept / len(others), fields, label="fields")
ax.plot(100 * kept / len(others), whole, label="whole records")
ax.set(xlabel="labels kept, the surest first, %", ylabel="right, %", ylim=(0, 101))
ax.legend()
half = len(kept) // 2 - 1
told = f"of the surest half {fields[half]:.0f} % of the fields and {whole[half]:.0f} % of the records, of all {fields[-1]:.0f} and {whole[-1]:.0f} %"
show(fig, f"Line chart of how right the labels are that a filter by confidence keeps: {told}.")
print("right:", told)

# %% [markdown]
# TODO-READ-3
#
# A second filter needs no probabilities and works with any service: ask several teachers, or one in several ways, and keep
# what they agree on. The triage record has three trainings of `smol` on 300 tickets, which answered the same 200.
#
# **Exercise.** Write `kept_and_right(agreeing, right, least)`. For each answer of the first teacher, `agreeing` says how many
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
better = [read_answers(TRIAGE / "predictions" / f"validation.fine_tuned{seed}.jsonl") for seed in ("", ".seed_2", ".seed_3")]
labelled = read_chat(DATA / "validation.jsonl")[: len(better[0])]
agreeing = np.sum([np.array(other) == better[0] for other in better[1:]], axis=0)
better_scores = score_records(better[0], truth(labelled), schema=SCHEMA)
pd.DataFrame(
    {
        f"at least {least} of 2 agree": {
            "labels kept": f"{np.mean(agreeing >= least):.0%}",
            "records right": f"{better_scores.exact_match[agreeing >= least].mean():.0%}",
            "fields right": f"{better_scores.field_accuracy[agreeing >= least].mean():.0%}",
        }
        for least in (0, 1, 2)
    }
).T

# %% [markdown]
# Where three teachers agree they are seldom wrong, and a third of the work or more is thrown away. Whether that pays is seen
# in the student only.

# %% [markdown]
# ## Students of the large model
#
# Two small students. `nano` is a language model, 40 times smaller than its teacher. The other is no language model at all: a
# [linear classifier](GLOSSARY.md#linear-classifier) on words, which answers in a millisecond. It is trained here and now, on
# the same tickets.

# %%
from ftlab.baselines.linear import train_linear


def with_answers(rows, answers):
    pairs = zip(rows, answers, strict=True)
    return [row | {"messages": [*row["messages"][:-1], {"role": "assistant", "content": answer}]} for row, answer in pairs]


taught = with_answers(others, labels)
surest = [taught[at] for at in order[: len(others) // 2]]
agreed = [row for row, n in zip(with_answers(labelled, better[0]), agreeing, strict=True) if n == 2]
learns_from = {
    "your 100 alone": few,
    "and 400 from the teacher": few + taught,
    "and the surest 200 of them": few + surest,
    "and the true 400": few + others,
    "your 100 and 200 from a better teacher": few + with_answers(labelled, better[0]),
    "and those on which three agree": few + agreed,
}
first = test[:200]  # those that `nano` has answered
linear = {what: train_linear(rows, SCHEMA).answer(asked[:200]).texts for what, rows in learns_from.items()}
nano = dict(zip(list(learns_from)[:2] + ["and the true 400"], ("small_few", "small_taught", "small_gold"), strict=True))
table = {}
for what, rows in learns_from.items():
    table[what] = {"tickets": len(rows), "linear": repr(clustered_mean(fields_right(linear[what], first), phrasing[:200]))}
    if what in nano:
        said = read_answers(RECORD / "predictions" / nano[what] / "test.student.jsonl")
        table[what]["nano"] = repr(clustered_mean(fields_right(said, first), phrasing[:200]))
pd.DataFrame(table).T.fillna("")

# %% [markdown]
# TODO-READ-4

# %% [markdown]
# ## The cells to copy
#
# Three steps: collect the teacher's answers, keep what is valid, train. The teacher may be any service that speaks OpenAI's
# interface, hosted or on your machine (`llama-server`, vLLM, Ollama). Your texts leave the machine when it is a hosted one, so
# nothing is sent before you have read what it can cost at most, and have said yes.

# %%
UNLABELLED = "../data/support_triage/train.jsonl"  # your JSONL; what stands in the last turn of the assistant is not read
TEACHER = None  # the address of a chat service, such as "http://localhost:8000/v1"; None: the answers recorded above
TEACHER_MODEL = "the-name-of-the-model"
USD_PER_MTOK = {"usd_per_mtok_in": 0.40, "usd_per_mtok_out": 1.60}  # your service's prices
CONFIRM = False  # True, once you have read what would be sent, and what it costs at most
SYSTEM = "Triage the ticket."  # what the student will read; the teacher reads `long_prompt`

# %%
from ftlab.baselines.endpoint import Endpoint
from ftlab.errors import RecipeError

unlabelled = read_chat(UNLABELLED)[record["few"] : record["all"]]
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
    print(refused)
    drafts = labels

# %% [markdown]
# That refusal is the receipt before the purchase. (With a local model, `generate(model, tokenizer, chats)` from
# `ftlab.evaluation.generation` takes the place of the service.) Now keep what is valid, and write down where each row came from:
# a row of unknown origin can never be taken out again.

# %%
from jsonschema import Draft202012Validator

policy = Draft202012Validator(SCHEMA)
valid = [policy.is_valid(parse_record(text)) for text in drafts]
provenance = {"teacher": TEACHER_MODEL if TEACHER else "smol, 100 tickets", "prompt": long_prompt.name if TEACHER else SYSTEM,
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
# for billing. The other names a wrong team for as many tickets, but any team for any ticket. `smol` learned 400 tickets from
# each:

# %%
def team(text):
    return (parse_record(text) or {}).get("queue", "?")


true_teams = [team(text) for text in truth(judged)]
hit = np.array([queue in record["confused"] for queue in true_teams])
teams = {}
for kind in ("scattered", "confused"):
    named = [team(text) for text in read_answers(RECORD / "predictions" / kind / "test.student.jsonl")]
    correct = np.array([a == b for a, b in zip(named, true_teams, strict=True)])
    wrongly = np.array([a == record["confused"].get(b) for a, b in zip(named, true_teams, strict=True)])
    teams[f"{kind} errors"] = {
        "team right": repr(clustered_mean(correct, judged_phrasings)),
        "of the two teams' tickets": f"{correct[hit].mean():.0%}",
        "of all others": f"{correct[~hit].mean():.0%}",
        "the teacher's mistake repeated": f"{wrongly[hit].mean():.0%}",
    }
wrong_labels = np.mean([team(text) in record["confused"] for text in truth(train[: record["many"]])])
print(f"{wrong_labels:.0%} of the training tickets had a wrong team")
pd.DataFrame(teams).T

# %% [markdown]
# TODO-READ-5

# %% [markdown]
# ## Probabilities instead of texts
#
# A text says which value the teacher chose. Its probabilities say how near the others were, and that is more to learn from.
# The usual loss is the [KL divergence](GLOSSARY.md#kl-divergence) from the teacher's distribution $p$ to the student's $q$,
# $\sum_v p_v \log(p_v / q_v)$ at each token, with both softened by a [temperature](GLOSSARY.md#temperature). It needs the
# [logits](GLOSSARY.md#logits) of both over one vocabulary, so a hosted teacher cannot give it. TRL has two trainers for it.
# By hand, and asserted equal to TRL's:

# %%
from torch.nn.functional import log_softmax
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
# all that it finds likely. Now three students of one teacher, 30 steps each. The teacher is the `nano` that you have just
# trained; the students are the same model with two of its four layers taken out. One learns the teacher's texts by plain
# [SFT](GLOSSARY.md#sft). One learns the teacher's probabilities on these texts. One writes its own answers, and learns the
# teacher's probabilities there: [on-policy](GLOSSARY.md#on-policy).

# %%
import copy
import logging

logging.getLogger("transformers").setLevel(logging.ERROR)
teacher_model = model.merge_and_unload().float().eval()
of_teacher = with_answers(first[:80], generate(teacher_model, tokenizer, [row["messages"][:-1] for row in first[:80]]).texts)
lessons = with_answers(others[:160], generate(teacher_model, tokenizer, [row["messages"][:-1] for row in others[:160]]).texts)


def halved(large):
    small = copy.deepcopy(large)
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
ways = {
    "texts (SFT)": lambda student: sft(student, chats, 30, 1e-3).eval(),
    "probabilities, teacher's texts": lambda student: gkd(student, chats, 30, 1e-3, on_policy=False),
    "probabilities, own texts": lambda student: gkd(student, chats, 30, 1e-3, on_policy=True),
}
students, compared = {}, {}
for how, learn in ways.items():
    start = time.perf_counter()
    students[how] = learn(halved(teacher_model))
    seconds = time.perf_counter() - start
    told = generate(students[how], tokenizer, [row["messages"][:-1] for row in of_teacher]).texts
    compared[how] = {
        "fields as the teacher": f"{fields_right(told, of_teacher).mean():.0%}",
        "fields right": f"{fields_right(told, first[:80]).mean():.0%}",
        "seconds": f"{seconds:.0f}",
    }
print(f"the teacher: {fields_right([row['messages'][-1]['content'] for row in of_teacher], first[:80]).mean():.0%} of the fields right")
pd.DataFrame(compared).T

# %% [markdown]
# TODO-READ-6
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
# - Llama 3: a model that is trained with it and passed on must have "Llama 3" in front of its name (Llama 3 Community License,
#   2024-04-18).
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
# - *Small can beat large*: a T5 of 770M parameters that also learned the teacher's reasons beat the prompted 540B PaLM with 80 % of
#   the data of one benchmark (Hsieh et al. 2023, arXiv:2305.02301).
# - *And not*: models of 1.5B to 13B that imitated ChatGPT took over its style, which people liked, and closed little or nothing of
#   the gap on tasks that the imitation data did not hold (Gudibande et al. 2023, arXiv:2305.15717).
#
# TODO-READ-7

# %% [markdown]
# ## What you have seen
#
# TODO-SUMMARY
#
# **Read next:** [10 Count the cost](10_count_the_cost.ipynb), for your own border; [07 Evaluate](07_evaluate.ipynb), before a
# student replaces its teacher.
