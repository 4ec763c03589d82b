# ---
# ftlab:
#   reads: [data/support_triage/schema.json, data/support_triage/train.jsonl, data/support_triage/validation.jsonl, data/support_triage/test.jsonl, data/recorded/data/results.json, data/recorded/data/predictions/*/test.fine_tuned.jsonl, data/recorded/triage/points.json, data/recorded/triage/training.json, data/recorded/triage/predictions/*drift*, data/recorded/triage/predictions/test.fine_tuned.jsonl, data/prompt_kit/2_draft_examples.md, data/limits/*.csv, data/models/nano/*.json, data/models/nano/*.jinja, data/models/nano/model.safetensors]
#   headline: what more training rows buy
# ---

# %% [markdown]
# # How many rows
#
# **Question:** is there enough data, and what do its faults cost?
# **Minutes:** 21 to read, 1 to run. **Hardware:** any; two CPU cores are enough.
#
# Three questions about rows: how many are enough, what the cleaning of [04](04_prepare_data.ipynb) was worth, and what another
# [system prompt](GLOSSARY.md#system-prompt) does. Last, you have more rows drafted and review them.
#
# The answers to the three questions come from `smol`, a chat model of 135 million [parameters](GLOSSARY.md#parameter) whose
# trainings were recorded: up to half an hour each, too long to wait for here. What you train yourself on this page is `nano`,
# with 3.5 million parameters and in twenty seconds.

# %%
import ftlab  # first: it quiets the libraries below
from unsloth import FastLanguageModel  # before transformers and trl, which it patches

import json
from pathlib import Path

from ftlab.data.schema import read_chat

MODEL = "nano"  # what you train yourself; "unsloth/Qwen3-4B-Instruct-2507" on a GPU
MAX_LENGTH = 512  # tokens in the longest row that the training reads
DATA = Path("../data/support_triage")
OUT = ftlab.home() / "04b_how_many_rows"

train_rows = read_chat(DATA / "train.jsonl")
schema = json.loads((DATA / "schema.json").read_text())
print(f"{len(train_rows):,} labelled tickets to train on")

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
# | 1,000 | enough for a chat model of 65 billion parameters, if they are chosen with care, by rules and by hand | LIMA, Zhou et al. 2023, arXiv:2305.11206 |
# | 1,000-10,000 | usual in production | practitioners |
# | 9,000 | chosen out of 52,000, they beat all 52,000 | AlpaGasus, Chen et al. 2023, arXiv:2307.08701 |
#
# And what services accept or advise, each with the date on which we read it:

# %%
import pandas as pd
from IPython.display import display

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
RECORD = Path("../data/recorded/data")
results = json.loads((RECORD / "results.json").read_text())


def smols_answers(point):
    lines = (RECORD / "predictions" / point / "test.fine_tuned.jsonl").read_text().splitlines()
    return [json.loads(line)["prediction"] for line in lines]


test_rows = read_chat(DATA / "test.jsonl")[: len(smols_answers("careful"))]
references = [row["messages"][-1]["content"] for row in test_rows]
queues = schema["properties"]["queue"]["enum"]
patterns = [next(p for p in row["pattern"].split("+") if p.split(".")[1] in queues) for row in test_rows]
for machine, minutes in results["minutes_by_machine"].items():
    print(f"{len(test_rows)} test tickets from {len(set(patterns))} sentence patterns; recorded in {minutes:.0f} minutes on {machine}")

# %%
import numpy as np

from ftlab.baselines.linear import train_linear
from ftlab.evaluation.metrics import score_records


def tickets_right(answers):  # for each test ticket, the share of its fields that is right
    return score_records(answers, references).field_accuracy


asked = [row["messages"][1]["content"] for row in test_rows]
sizes = {"few": 50, "careful": 200, "careless_0": 800}  # the points of the record that have correct labels only
right = {
    "fine-tuned": {rows: tickets_right(smols_answers(point)) for point, rows in sizes.items()},
    "linear": {rows: tickets_right(train_linear(train_rows[:rows], schema).answer(asked).texts) for rows in sizes.values()},
}
pd.DataFrame({who: {rows: f"{np.mean(each):.1%}" for rows, each in by.items()} for who, by in right.items()})

# %% [markdown]
# Down a column only the rows differ. Now the same as a picture, with two trainings more: one that read the 200 only once,
# and a longer one.

# %% tags=["headline"]
import matplotlib.pyplot as plt

from ftlab.evaluation.statistics import difference_interval, score_interval
from ftlab.plots import show

read_once = tickets_right(smols_answers("careful_once"))
others = json.loads(Path("../data/recorded/triage/points.json").read_text())
lines = Path("../data/recorded/triage/predictions/test.fine_tuned.jsonl").read_text().splitlines()[: len(references)]
longer = tickets_right([json.loads(line)["prediction"] for line in lines]).mean()  # 300 tickets, mixed with everyday chats
steps = json.loads(Path("../data/recorded/triage/training.json").read_text())["steps"]
fig, ax = plt.subplots(figsize=(7, 3.2))
told = []
dots = [("fine-tuned", "o", right["fine-tuned"]), ("linear", "s", right["linear"]), ("fine-tuned, read once", "D", {200: read_once})]
for who, marker, by in dots:
    means = [score_interval(each, patterns) for each in by.values()]
    ends = [[100 * (m.value - m.low) for m in means], [100 * (m.high - m.value) for m in means]]
    ax.errorbar(list(by), [100 * m.value for m in means], yerr=ends, marker=marker, capsize=3, label=who)
    told.append(f"{who} " + ", ".join(f"{100 * m.value:.1f} % with {rows}" for rows, m in zip(by, means, strict=True)))
ax.plot(300, 100 * longer, "*", ms=12, label=f"fine-tuned, {steps} steps")
told.append(f"fine-tuned for {steps} steps {100 * longer:.1f} % with 300")
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
# far less. And the star, a longer training on 300 tickets with larger steps (and everyday chats mixed in), is above everything. So
# probably what ran out at 800 was not tickets but steps: each was read once. Only a longer training on the 800 would show it. More rows pay
# only where the training is long enough to use them.
#
# How much of such a curve is luck? Each dot is one training. Three trainings of the triage record saw the same 300
# tickets, and differed in their [seed](GLOSSARY.md#seed) only:

# %%
print(", ".join(f"{others[f'seed_{seed}']['test']['field_accuracy']:.1%}" for seed in (1, 2, 3)), "of the fields right")

# %% [markdown]
# That is the luck of the seed in a longer training. In the short ones above it was not measured and may be larger, and another choice of
# tickets adds some of its own. So take a few points between two single trainings for undecided.

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
    return difference_interval(slopes, patterns)


for who, by in right.items():
    slope = by_doubling(by)
    seen = "a gain" if slope.low > 0 else "a loss" if slope.high < 0 else "no difference that can be told from chance"
    print(f"{who}, twice as many rows: {100 * slope.value:+.1f} points [{100 * slope.low:+.1f}, {100 * slope.high:+.1f}], {seen}")
print(f"the same 200 tickets four times instead of once: {100 * np.mean(right['fine-tuned'][200] - read_once):+.1f} points")

# %% [markdown]
# The classifier lives on rows. The fine-tune lives on steps as well: the same tickets once more, and again, brought more than
# all doublings together. So "200 rows are too few" may only mean "25 steps are too few": read a small set several times
# before you ask for more of it. And a straight line is a poor picture of a curve that ends flat. When you plan, take the
# slope between your last two sizes.

# %% [markdown]
# **Exercise (level 3).** How many rows would a target take? Write `rows_needed(target, rows, score, per_doubling)`: with `rows`
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
# trains that in ten to thirty minutes (in other settings than the recorded points: twice the rate, fewer steps, validation tickets); as it
# stands it trains `nano`.

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

held_out = read_chat(DATA / "validation.jsonl")[:120]
drawn = random.Random(LIVE_SEED).sample(train_rows, len(train_rows))[:LIVE_ROWS]
tuned, its_tokenizer, result = fine_tune(drawn, STEPS, LIVE_SEED)
answers_now = generate(tuned, its_tokenizer, [row["messages"][:-1] for row in held_out]).texts
now = score_records(answers_now, [row["messages"][-1]["content"] for row in held_out])
print(f"{MODEL}, {LIVE_ROWS} rows, {result.global_step} steps: {now.field_accuracy.mean():.1%} of the fields right")

# %% [markdown]
# It cannot be compared with the dots above: another model, fewer steps, other tickets. `nano` has read little English, so the
# tickets have to teach it the language too; the model that you start from decides how many rows are enough. Below, its mistakes are
# useful.

# %% [markdown]
# ## What was the cleaning worth?
#
# Same model, same settings, same number of steps; only the rows differ:
#
# - *export*: all rows of the help desk's export that can be read, as they came;
# - *cleaned*: what the cleaning of [04](04_prepare_data.ipynb) left (less one row);
# - *curated*: 500 of those, none of them from the three agents whose labels stood out there.
#
# "500 curated rows beat 5,000 noisy ones" is a common claim. This is how to test it, with the rows we have. Before you go
# on, write down what you expect.

# %%
ARMS = ("export", "cleaned", "curated")
counts = {name: (results["points"][name]["rows"], results["export_wrong_labels"][name]) for name in ARMS}
pd.DataFrame(
    {name: {"rows": f"{rows:,}", "with a wrong label": f"{wrong / rows:.1%}"} for name, (rows, wrong) in counts.items()}
).T

# %% [markdown]
# The cleaning removed what the checks find. It did not remove wrong labels: their share even rises, because other rows went.
# Only leaving out the three agents removes them.
#
# Now `smol`, trained on each for the same 100 steps. The bar is the 95 % interval for other tickets; tickets made from one
# sentence pattern count as one group ([07](07_evaluate.ipynb#Are-300-tickets-really-300?) explains why).

# %%
from ftlab.evaluation.statistics import compare, holm
from ftlab.plots import systems_alt, systems_figure

by_arm = {name: tickets_right(smols_answers(name)) for name in ARMS}
accuracy = {name: score_interval(tickets, patterns) for name, tickets in by_arm.items()}
show(systems_figure(accuracy), systems_alt(accuracy))


def against(before, after):
    seen = compare(before, after, metric="field_accuracy", groups=patterns)
    points = f"{100 * seen.delta:+.1f} points [{100 * seen.low:+.1f}, {100 * seen.high:+.1f}]"
    return {"difference": points, "verdict": seen.verdict}


pairs = [("export", "cleaned"), ("cleaned", "curated"), ("export", "curated")]
pd.DataFrame({f"{a} -> {b}": against(by_arm[a], by_arm[b]) for a, b in pairs}).T

# %% [markdown]
# Five hundred curated rows did better than the whole export, by more than other tickets explain: so far the saying holds here. Neither step
# alone can be told from chance, and the record does not say what did it: cleaning, better labels, or fewer rows read more often (a random
# 500 of the cleaned rows would tell). One training of each was made, and the interval covers other tickets, not other draws of rows.
#
# Could this experiment see a difference at all? The three agents erred in the queue, the urgency and the tone. Does the
# model learn these fields?

# %%
labels = pd.DataFrame([json.loads(reference) for reference in references])
fields_by_arm = {name: score_records(smols_answers(name), references).field_table() for name in ARMS}
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
accuracy = {name: score_interval(tickets, patterns) for name, tickets in by_fault.items()}
show(systems_figure(accuracy), systems_alt(accuracy))
careful = by_fault.pop("200 careful")
pd.DataFrame({f"200 careful -> {name}": against(careful, tickets) for name, tickets in by_fault.items()}).T

# %% [markdown]
# With 40 % wrong the model loses a sixth of all fields, and 200 careful tickets are far better than 800 such ones: it is
# cheaper to label few well than many badly. The 800 correct ones, in turn, are no better here than the 200, since the
# model took the same number of steps on both. Forty contradictions among 200 rows make a fifth of the judged labels wrong, half as many as
# in the bar above, and cost about half as much: no more than wrong labels would by themselves; but the checks find them for you. Copies
# cost least: what they take is the place of other tickets. What the export's wrong labels cost alone, this record cannot tell: leaving
# them out changed less than it can show. Where your own labels stand you learn by having a hundred tickets
# labelled twice. ([08](08_what_goes_wrong.ipynb) has more faults, and how each looks.)

# %% [markdown]
# ## One system prompt, and what happens when it drifts
#
# Some rows of the export have another system prompt than the others, and some have none (04 reports them as
# `system_drift` and `missing_system`). Does that matter, once the model has learned the task? The fine-tuned `smol` of the
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
accuracy = {name: score_interval(each.field_accuracy, patterns[:n]) for name, each in drift.items()}
show(systems_figure(accuracy), systems_alt(accuracy))
against_training = holm({
    name: compare(drift["as_in_training"].field_accuracy, drift[name].field_accuracy, groups=patterns[:n]) for name in other_prompts
})
print(f"{n} tickets; three comparisons, so each is judged by Holm's rule")
for name, system in other_prompts.items():
    seen = against_training[name]
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
from ftlab.models import load_tokenizer
from ftlab.prompt_kit import read_kit

tokenizer = load_tokenizer(MODEL)


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

SYSTEM = "Triage the ticket."  # the one system prompt, in every row and every call
DRAFTER = None  # {"base_url": "http://localhost:11434/v1", "model": "qwen3:8b"}; "api_key_env" where a key is needed

if DRAFTER:
    drafter, text = DRAFTER["model"], run_prompt(request, **DRAFTER, confirm=True).answer
else:
    first, second = (row["messages"][1]["content"] for row in two_more)
    sound = {"input": first, "answer": json.loads(answer_of(two_more[0])), "invented_input": False, "doubt": "P3 or P2?"}
    other = {"ticket": second, "label": "workshop"}
    lines = ["Sure, here are the examples:", "```json", json.dumps(sound), json.dumps(other), "```"]
    drafter, text = "written by hand", "\n".join(lines)
drafted = parse_drafts(text, source=drafter, system=SYSTEM)
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
import hashlib

from ftlab.checks.check import check
from ftlab.data.schema import write_chat

drafts = [
    {
        "id": f"draft-{row['id']}",
        "messages": [*row["messages"][:-1], {"role": "assistant", "content": text}],
        "provenance": {"source": f"{MODEL}, tuned on {LIVE_ROWS} rows", "prompt": SYSTEM},
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
from jsonschema import Draft202012Validator

from ftlab.data.schema import check_chat
from ftlab.evaluation.metrics import parse_record

POLICY = Draft202012Validator(schema)  # the label policy: which keys, which values
truth = {f"draft-{row['id']}": json.loads(answer_of(row)) for row in held_out}
drafts_checked = check_chat(folder / "drafts.jsonl").placed
objected = {finding.line for finding in drafts_report.findings if finding.severity == "error"}
objected |= {row.line for row in drafts_checked if not POLICY.is_valid(parse_record(answer_of(row.data)))}
known = [row for row in drafts_checked if row.data["id"] in truth]
is_wrong = {row.line: parse_record(answer_of(row.data)) != truth[row.data["id"]] for row in known}
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
    elif parse_record(answer_of(row.data)):
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
# ## What is known about large models
#
# For large models it has been reported that fewer and better rows can beat more (LIMA and AlpaGasus, in the table
# above). The record of `smol` points the same way where quality differs much: two hundred careful tickets beat eight
# hundred careless ones. It is one training each, on one task, and short: with more steps, more rows may pay. The curve does
# not carry over to your task or model either: a larger model knows more of a task before the first row, and needs fewer of
# them.
#
# ## What you have seen
#
# - Ask what a doubling of the rows brings, with its interval, and separate it from what more steps bring.
# - A claim about data needs equal steps and the same held-out tickets for all, and more than one draw where it is close.
# - Label few rows well rather than many badly. The checks find contradictions and copies; wrong labels they do not find.
# - One system prompt, stored in one place. Drafts are kept only after a person has read them, with their history.

# %% [markdown]
# ## What would you do?
#
# Decide first, then open the answer.
#
# **1.** A run on 500 rows taught little. "We need ten times as many," says the team. What do you try before you pay for
# labels?
#
# <details><summary>One answer</summary>
#
# More steps on the same rows. 500 rows read once in batches of 16 are 32 steps. If it still learns nothing, look at the
# fields one by one.
#
# </details>
#
# **2.** For the same money you get 800 tickets labelled in a hurry or 200 labelled with care. Which, and how would you find
# out what yours are?
#
# <details><summary>One answer</summary>
#
# The 200, if haste gets many judgements wrong: the careless 800 did far worse here. Have a hundred tickets labelled twice,
# by two people; where they disagree, one is wrong.
#
# </details>
#
# **3.** The last doubling of your rows brought +1 point, interval -1 to +3. Your manager offers money for another doubling.
#
# <details><summary>One answer</summary>
#
# That doubling cannot be told from chance, and the next is expected to bring no more. Spend it on the fields that are weak,
# on wrong labels, or try a larger model on the rows that you have.
#
# </details>
#
# **Read next:** [06 Train with Unsloth](06_train_with_unsloth.ipynb).
