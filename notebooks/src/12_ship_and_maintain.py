# ---
# ftlab:
#   reads: [data/recorded/parity/results.json, data/recorded/ship/first/*, data/recorded/ship/first/adapter/*, data/recorded/ship/first/predictions/*, data/recorded/ship/second/*, data/recorded/ship/second/adapter/*, data/recorded/ship/second/predictions/*, data/recorded/triage/predictions/*.fine_tuned.jsonl, data/support_triage/*.jsonl, data/models/nano/*.json, data/models/nano/*.jinja, data/models/nano/model.safetensors]
#   headline: parity of the adapter, its merge and four faults
# ---

# %% [markdown]
# # Ship and maintain
#
# **Question:** how do I export, route by confidence, notice decay and retrain?
# **Minutes:** 23 to read, 1 to run. **Hardware:** any.
#
# An [adapter](GLOSSARY.md#adapter) that passed its evaluation is not yet a product. You merge it, serve it and prove that the
# served model is the one that was judged; you catch the faults by which it is not. Then you decide which answers go out
# alone, put a small router in front of the server, and live through a year in which the traffic changes in month 7.

# %% [markdown]
# ## What ships
#
# `ftlab run` left a folder: adapter, recipe, report, predictions. The one below was made by `python tools/record_ship.py`:
# `nano`, the smallest model of this course, after 320 support tickets, each of which becomes one JSON record. `write_card`
# makes its card from that folder:

# %%
import json
import shutil
from pathlib import Path

import ftlab
from ftlab.serving.card import write_card

RUN = Path("../data/recorded/ship/first")
OUT = (ftlab.home() / "12_ship").resolve()
shutil.rmtree(OUT, ignore_errors=True)
shutil.copytree(RUN / "adapter", OUT / "adapter")
card = write_card(RUN, OUT / "adapter" / "README.md").read_text()
print(card[card.index("## How it is loaded") :])

# %% [markdown]
# Base model, data and recipe stand there with their hashes, beside the chat template and the tokens that it was trained with. (PEFT
# itself notes only the folder of the base model on the machine that trained, which no colleague has.) Whoever serves it needs all
# of these. And the gate said no: after this short training `nano` does worse than a classifier on words. It will do to show how
# things are shipped; the release at the end has to say why it ignores the gate.

# %% [markdown]
# ## Merge
#
# Merging adds the adapter's product to the frozen weights, so that any server can load the model as one. Load the base in
# 32 bits for that, whatever you trained in: each rounding happens once. (An adapter that was trained on a 4-bit base has never seen the
# weights that it is merged into. There the merge is another model: evaluate the merged folder anew, and take *it* as the reference below.)

# %%
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from ftlab.models import resolve

BASE = resolve("nano")
shutil.copy(Path(BASE) / "tokenizer.json", OUT / "adapter")  # the record leaves out this file, since it is the base model's
tokenizer = AutoTokenizer.from_pretrained(OUT / "adapter")  # the tokenizer of the training, with its template
base = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
merged = PeftModel.from_pretrained(base, OUT / "adapter").merge_and_unload()
merged.save_pretrained(OUT / "merged")
tokenizer.save_pretrained(OUT / "merged")
print(*sorted(path.name for path in (OUT / "merged").iterdir()), sep="\n")

# %% [markdown]
# (Unsloth's call `model.save_pretrained_merged("merged", tokenizer, save_method="merged_16bit")` writes 16 bits, which is what most GPU
# servers run. That rounds: judge the 16-bit folder itself, and take it as the reference.)

# %% [markdown]
# ## Is it the same model?
#
# *Parity* means that what is served is what was judged ([glossary](GLOSSARY.md#parity)). `local_side` asks a model a few
# tickets and notes all that decides on answers: the rendered prompt, its tokens, end tokens,
# settings, the probability of every token. The reference is the adapter, asked as the evaluation asked it.

# %%
from ftlab.data.schema import read_chat
from ftlab.serving.parity import compare_sides, parity_table
from ftlab.serving.sides import EVALUATED, local_side

TICKETS = Path("../data/support_triage")
chats = [row["messages"][:-1] for row in read_chat(TICKETS / "test.jsonl")[:6]]
tuned = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32), OUT / "adapter")
reference = local_side("adapter", tuned, tokenizer, chats, template_kwargs=EVALUATED)
reloaded = AutoModelForCausalLM.from_pretrained(OUT / "merged", dtype=torch.float32)
sides = [
    local_side("merged", merged, tokenizer, chats, reference),
    local_side("reloaded", reloaded, AutoTokenizer.from_pretrained(OUT / "merged"), chats, reference),
]
judged = [json.loads(line)["prediction"] for line in (RUN / "predictions" / "test.fine_tuned.jsonl").open()][: len(chats)]
same = sum(now == then for now, then in zip(reference.answers, judged, strict=True))
print(f"the reference gives {same} of {len(judged)} answers as they were judged")
reports = [compare_sides(reference, side) for side in sides]
reports[-1]

# %% [markdown]
# The reference is what was judged (another kind of processor may change a word), and both sides are equal to it, line by line. The
# probabilities differ by rounding alone: a sum in another order. How much is rounding depends on
# the precision, so the bound does too: 0.001 in 32 bits.
#
# Now break it, in the ways that people report: the adapter is not loaded; the merge is served in 16 bits; the end token is
# another after the merge; the template was saved with one word more.

# %% tags=["headline"]
from copy import deepcopy

half = AutoModelForCausalLM.from_pretrained(OUT / "merged", dtype=torch.bfloat16)
rewritten = deepcopy(reloaded)
rewritten.generation_config.eos_token_id = tokenizer.pad_token_id
other_template = deepcopy(tokenizer)
other_template.chat_template = tokenizer.chat_template.replace("<|assistant|>", "<|assistant|>Answer: ")
fresh = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
broken = [
    local_side("adapter not loaded", fresh, tokenizer, chats, reference),
    local_side("served in bf16", half, tokenizer, chats, reference),
    local_side("end token rewritten", rewritten, tokenizer, chats, reference),
    local_side("another template", reloaded, other_template, chats, reference),
]
reports += [compare_sides(reference, side) for side in broken]
caught = sum(report.verdict == "differs" for report in reports[-len(broken) :])
print(f"{caught} of {len(broken)} faults are caught, and {sum(report.verdict == 'equal' for report in reports[:2])} of 2 sound sides pass")
parity_table(reports)

# %%
print(reports[-1])

# %% [markdown]
# Each is caught, by the check that names it, with what to do. See the last one: the weights are the same, and only
# the text in front of the answer is not. Log-probabilities are taken after the reference's own prompt, so that a wrong
# template is not mistaken for wrong weights. For a model that can think aloud look at the line `thinking`: judged with the
# switch off and served with the template's default, it thinks again.

# %% [markdown]
# ## Served
#
# A server is one more side, but tells less. `transformers serve` is the smallest that speaks OpenAI's interface (for tests on this
# machine only: it loads any folder that a request names):

# %%
import os
import socket
import subprocess
import sys
import time

import httpx

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
command = [sys.executable, "-m", "transformers.cli.transformers", "serve"]
command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
environment = os.environ | {"PYTHONWARNINGS": "ignore", "HF_HUB_OFFLINE": "1"}
server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
URL, given_up = f"http://127.0.0.1:{port}/v1", time.monotonic() + 120
while True:
    try:
        httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False)
        break
    except httpx.TransportError:
        assert server.poll() is None, "the server ended: pip install fastapi uvicorn"
        assert time.monotonic() < given_up, "the server has not answered for two minutes"
        time.sleep(0.5)
print("it answers")

# %%
from ftlab.serving.sides import served_side

shutil.copytree(OUT / "merged", OUT / "wrong")
other_template.save_pretrained(OUT / "wrong")
served = [
    served_side("transformers serve", URL, str(OUT / "merged"), chats),
    served_side("the same, another template", URL, str(OUT / "wrong"), chats),
]
parity_table([compare_sides(reference, side) for side in served])

# %% [markdown]
# The first is equal in all that this server tells: answers, how they end, and the number of tokens of each prompt. That
# number gives the second one away, even where answers happen to agree. What is not told is said to be not told: this
# server gives no log-probabilities (vLLM and llama.cpp do, and `served_side` asks for them), so a precision that changes no
# answer of these would stay unseen here.

# %% [markdown]
# ## Other servers
#
# vLLM takes the merged folder (`vllm serve merged --dtype bfloat16`) or the adapter on its base (`vllm serve BASE --dtype bfloat16
# --enable-lora --max-lora-rank 32 --lora-modules triage=adapter --chat-template adapter/chat_template.jinja`; its greatest rank is 16
# unless you say more). On a GPU compare in 16 bits, with a reference in 16 bits. llama.cpp and Ollama take a GGUF file, which llama.cpp's
# own converter writes; `to_gguf` calls it where it is, and says how to get it where it is not:

# %%
from ftlab.errors import ModelError
from ftlab.serving.export import modelfile, to_gguf

try:
    print(to_gguf(OUT / "merged", OUT / "triage.gguf"))
except ModelError as error:
    print(str(error).replace(str(OUT), "OUT").replace(sys.executable, "python"))

# %% [markdown]
# (The converter knows the tokenizers of published models. One of its own, as `nano`'s, it may refuse.) Both servers were run once with
# `smol`, on a CPU and in 32 bits (`--dtype float32`), after 15 steps on 75 replies in a ship's voice: six chats each, and again with a
# fault planted (`python tools/record.py parity`; its first lines say where the servers come from).

# %%
from ftlab.serving.parity import Parity

record = json.loads(Path("../data/recorded/parity/results.json").read_text())
parity_table([Parity.from_dict(side) for point in record["points"].values() for side in point.get("parity", [])])

# %% [markdown]
# vLLM is equal, with the merge and with the adapter on its base, within 0.00001 nats, and it tells the tokens of
# the prompt. llama.cpp tells the prompt's text as well. Its arithmetic is another, so it is 0.002 nats off even in 32 bits,
# where our bound is for one library: no answer changes, and another library needs a bound of its own, written down before you
# look (`compare_sides(..., tolerance=0.01)`). A file of 8 bits (`q8_0`) is forty times farther off than that and still answers these six
# chats alike, which is why you look at log-probabilities before an answer changes. What people mostly ship has four bits (`llama-quantize
# triage.gguf triage.Q4_K_M.gguf Q4_K_M`): that is another model again, to be evaluated and not only compared on six chats. The template
# planted here is longer, so every server shows it; one of the same length would be seen only where the server tells text or tokens.
#
# Ollama guesses one of its own templates from the file's, unless a `TEMPLATE` in its own language says it; a near match that nobody
# notices is where served models go wrong. `modelfile` works the template out from what the tokenizer writes, and refuses unless its parts
# give your chats byte for byte. (Ollama itself was not run here. After `ollama create`, ask it: `served_side("triage",
# "http://localhost:11434/v1", "triage", chats)`.)

# %%
print(modelfile(tokenizer, "./triage.gguf", chats))

# %% [markdown]
# ## Who looks at it?
#
# No model is right always, but some answers are surer than others. For that you need a number. One candidate is in the model: the
# probability of its tokens, field by field. Here is one answer of `nano`:

# %%
import pandas as pd

from ftlab.serving.routing import answer_confidence, field_confidences

tokens, logprobs = reference.tokens[0], reference.logprobs[0]
print("".join(tokens))
how = {name: answer_confidence(tokens, logprobs, name) for name in ("mean", "least", "product", "fields")}
means = [answer_confidence(*each, "mean") for each in zip(reference.tokens, reference.logprobs, strict=True)]
print(f"mean over the tokens, of all {len(means)} answers: {min(means):.3f} to {max(means):.3f}")
pd.Series(field_confidences(tokens, logprobs) | {f"all of it: {name}": value for name, value in how.items()}).round(3)

# %% [markdown]
# The mean over the tokens is near 1 for each answer, since braces and names are always sure. So take the least sure
# field. Where a server tells no probabilities, another opinion is a substitute: how probable does a
# [linear classifier](GLOSSARY.md#linear-classifier) find the answer? Is that number any good? Look at `smol`, fine-tuned
# on 300 tickets (recorded in [07](07_evaluate.ipynb)), and at the queue that it chose:

# %%
import numpy as np

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from ftlab.evaluation.metrics import parse_record


def queue_of(row):
    return json.loads(row["messages"][-1]["content"])["queue"]


solved = read_chat(TICKETS / "train.jsonl")[:300]
linear = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10, max_iter=1000))
linear.fit([row["messages"][1]["content"] for row in solved], [queue_of(row) for row in solved])
queues = list(linear.classes_)


def opinions(run, part):
    """Of each recorded answer: is its queue right, and how probable does the classifier find it?"""
    path = run / "predictions" / f"{part}.fine_tuned.jsonl"
    chosen = [(parse_record(json.loads(line)["prediction"]) or {}).get("queue") for line in path.open()]
    rows = read_chat(TICKETS / f"{part}.jsonl")[: len(chosen)]
    chances = linear.predict_proba([row["messages"][1]["content"] for row in rows])
    right = [queue == queue_of(row) for queue, row in zip(chosen, rows, strict=True)]
    sure = [dict(zip(queues, chance, strict=True)).get(queue, 0) for chance, queue in zip(chances, chosen, strict=True)]
    return sure, np.array(right, dtype=float)


SMOL = Path("../data/recorded/triage")
confidence, right = opinions(SMOL, "validation")
test_confidence, test_right = opinions(SMOL, "test")
print(f"right queues: validation {right.mean():.1%}, test {test_right.mean():.1%}")

# %%
from matplotlib.figure import Figure

from ftlab.plots import plain_axes, show
from ftlab.serving.routing import choose_thresholds, coverage_curve, judge_routing

curve = coverage_curve(test_confidence, test_right).iloc[9:]
figure = Figure(figsize=(6.5, 3))
ax = figure.subplots()
ax.plot(100 * curve["coverage"], 100 * curve["error"])
ax.fill_between(100 * curve["coverage"], 100 * curve["low"], 100 * curve["high"], alpha=0.2)
ax.set(xlabel="% of tickets that go out alone", ylabel="% of these wrong", ylim=(0, None))
plain_axes(ax, "y")
ends = [curve.iloc[(curve["coverage"] - share).abs().argmin()]["error"] for share in (0.25, 0.5, 1)]
show(figure, "The share of wrong queues among the tickets that go out alone, surest first, with 95 % intervals: "
     f"{ends[0]:.0%} of the surest quarter, {ends[1]:.0%} of the surest half, {ends[2]:.0%} of all.")  # fmt: skip

# %% [markdown]
# To the left the tickets that both agree on. A flat line would mean that the number says nothing. Does it also mean what it
# says: of the answers with 0.3, are 30 % right?

# %%
from ftlab.evaluation.calibration import calibration, reliability_alt, reliability_figure

seen = calibration(test_confidence, test_right)
show(reliability_figure(seen), reliability_alt(seen))
seen

# %% [markdown]
# No: the points lie far above the dashed line, at a mean distance (ECE, expected calibration error) that chance does not
# explain, since the classifier spreads its belief over all queues and `smol` is right more often than it believes. A
# threshold needs less: it is enough that surer answers are right more often, as here; so it is chosen on data, and the number
# itself is never read as a chance.
#
# Now choose thresholds, on validation tickets: the lowest for which an error of at most 5 % is shown with 95 % confidence, and one below
# which checking a draft saves nobody time. Checking takes a minute and writing three, and a wrong draft has to be written after all: so it
# pays as long as a third of the drafts is right. Then look at the test tickets:

# %%
thresholds = choose_thresholds(confidence, right, max_error=0.05, worth_checking=1 / 3)
judge_routing(thresholds, test_confidence, test_right, minutes_to_check=1, minutes_to_write=3, usd_per_hour=30, usd_per_error=5)

# %% [markdown]
# Compare the error of the automatic route, and its interval, with the 5 %: where the interval reaches beyond it, the test neither breaks
# the promise nor confirms it. The promise is about tickets like those it was chosen on, and test
# tickets are phrased in ways that validation never shows; `smol` is right less often on them. So choose thresholds on
# traffic, and go on checking a sample of what goes out. Hours and dollars follow from the minutes and prices in that line;
# put in your own, and see [10](10_count_the_cost.ipynb).

# %% [markdown]
# ## A router, and a server that dies
#
# The `Router` asks the server, decides and writes each decision to a SQLite file: the request before it is sent, the
# decision before you get it. An answer with a `problem` goes to a human, and so does everything that the server fails to
# answer.
#
# The server that still runs holds `nano`, and thresholds belong to one model: those of `smol` promise nothing here. So
# choose them anew, on the answers that this `nano` gave in its evaluation:

# %%
nano_confidence, nano_right = opinions(RUN, "test")
nano_thresholds = choose_thresholds(nano_confidence, nano_right, max_error=0.05, worth_checking=1 / 3)
print(f"right queues: {nano_right.mean():.1%} of {nano_thresholds.n}")
nano_thresholds

# %% [markdown]
# `automatic` is infinite: no threshold shows an error of at most 5 %, so nothing that `nano` says goes out alone. Above `human` a
# person checks its draft, below a person writes. That is enough to see whether a ticket gets lost. By default a router asks
# the server for log-probabilities; this server gives none, so the classifier's opinion is the confidence. 24 tickets from 4
# threads; after half of them the server is killed:

# %%
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from ftlab.serving.router import Router, read_decisions, write_queue


def problem(answer):
    record = parse_record(answer)
    return "" if record and record.get("queue") in queues else "no record with a known queue"


def second_opinion(messages, reply):
    chances = linear.predict_proba([messages[-1]["content"]])[0]
    return float(chances[queues.index(parse_record(reply.text)["queue"])])


router = Router(URL, str(OUT / "merged"), nano_thresholds, OUT / "decisions.db", problem, second_opinion)
tickets = read_chat(TICKETS / "test.jsonl")[200:224]
answered, lock = [], Lock()


def send(row):
    decision = router.answer(row["messages"][:-1], row["id"])
    with lock:
        answered.append(decision)
        if len(answered) == 12:
            server.kill()


start = time.perf_counter()
with ThreadPoolExecutor(4) as pool:
    list(pool.map(send, tickets))
seconds = time.perf_counter() - start
router.close()
waits = [decision.seconds for decision in answered if not decision.reason.startswith("server")]
print(f"{len(waits)} answers in {seconds:.0f} s; the median wait is {np.median(waits):.1f} s, the longest {max(waits):.1f} s")

# %%
log = read_decisions(OUT / "decisions.db")
assert sorted(log["id"]) == sorted(row["id"] for row in tickets)
assert log["route"].notna().all()
log.assign(reason=log["reason"].str.split(" ").str[0]).groupby(["route", "reason"]).size().rename("tickets").to_frame()

# %% [markdown]
# All 24 are in the log, each with a route. What the dead server did not answer is a human's, with the reason. Had the router
# itself been killed, the requests under way would lie there without a decision, and `router.finish_pending()` asks them
# again (a test does that). The file holds what customers wrote: give it a keeper, and a day on which rows are deleted.
#
# What people have to see comes out as drafts for the review table of [04b](04b_how_many_rows.ipynb), the least sure first. A
# ticket that the dead server left has no draft: it can be written or rejected there, not accepted. What people decide
# becomes training rows that say where they come from. The true answers stand in for what a person would write:

# %%
from ftlab.checks.review import Review

review = Review.open(write_queue(OUT / "decisions.db", OUT / "queue.jsonl"), OUT / "reviewed.jsonl", reviewer="you")
true_answers = {row["id"]: row["messages"][-1]["content"] for row in tickets}
for number, row in enumerate(review.rows):
    review.edit(number, true_answers[row["id"]])
print(review.save())
print(json.dumps(read_chat(OUT / "reviewed.jsonl")[0]["provenance"], indent=1).replace(str(OUT), "OUT"))

# %% [markdown]
# The next queue leaves out what was decided, so that it empties:

# %%
from ftlab.errors import DataError

try:
    write_queue(OUT / "decisions.db", OUT / "next.jsonl", reviews=[review])
except DataError as error:
    print(str(error).replace(str(OUT), "OUT"))

# %% [markdown]
# ## A year
#
# The help desk's model is the run from above. Each month 100 tickets are watched in three signals: how many of their words
# training never used, how sure the model is of the queue, and whether the queue is right, for the 40 of them that somebody
# reviews *whatever their route was*. (Those that doubt sent to a person are the hard ones; their error says nothing about
# the rest.) From month 7 on, half of the tickets come from another shop, which sells other things. Tickets are drawn, with
# replacement, from the test tickets of the two recorded runs, with the answers that these gave.

# %%
from ftlab.serving.drift import SIGNALS, Period, false_alarms, strangeness, watch_month
from ftlab.serving.sides import token_logprobs


def texts_of(rows):
    return [row["messages"][1]["content"] for row in rows]


unknown_words = strangeness(texts_of(read_chat(TICKETS / "train.jsonl")[:320]))
by_id = {row["id"]: row for part in ("test", "other_shop") for row in read_chat(TICKETS / f"{part}.jsonl")}


def cases(run, part, unknown_words):
    """Strangeness, confidence and right or wrong of each answer of a run."""
    lines = [json.loads(line) for line in (run / "predictions" / f"{part}.fine_tuned.jsonl").open()]
    rows = [by_id[line["id"]] for line in lines]
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32), run / "adapter")
    answers = [tokenizer(line["prediction"], add_special_tokens=False)["input_ids"] for line in lines]
    prompts = [tokenizer.apply_chat_template(row["messages"][:-1], add_generation_prompt=True)["input_ids"] for row in rows]
    read = token_logprobs(model, list(zip(prompts, answers, strict=True)))
    sure = [field_confidences([tokenizer.decode(i) for i in ids], seen).get("queue", 0.0) for ids, seen in zip(answers, read, strict=True)]
    right = [(parse_record(line["prediction"]) or {}).get("queue") == queue_of(row) for line, row in zip(lines, rows, strict=True)]
    return pd.DataFrame({"strange": unknown_words(texts_of(rows)), "sure": sure, "right": right})


FIRST, SECOND = RUN, Path("../data/recorded/ship/second")
home, other = (cases(FIRST, part, unknown_words) for part in ("test", "other_shop"))
from sklearn.metrics import roc_auc_score

believed, was_right = opinions(FIRST, "test")
print(f"how well a number tells right queues from wrong ones (0.5 not at all, 1 wholly), of {len(home)} answers of nano: the model's own "
      f"{roc_auc_score(home['right'], home['sure']):.2f}, the classifier's {roc_auc_score(was_right, believed):.2f}")
pd.DataFrame({"home": home.mean(), "other shop": other.mean()}).round(3)

# %% [markdown]
# Read the line above the table: of `nano` the model's own probability tells right from wrong hardly better than a coin, and the
# classifier's opinion does it well. So measure a confidence before you route by it. The watch takes the model's own all the same, as a
# server would tell it; see below what such a signal is worth.

# %%
dice = np.random.default_rng(7)


def month_of(number, home, other):
    share = 50 if number >= 7 else 0
    parts = [home.sample(100 - share, random_state=dice, replace=True), other.sample(share, random_state=dice, replace=True)]
    month = pd.concat(parts).sample(frac=1, random_state=dice)
    return Period(month["strange"], month["sure"], month["right"][:40])


reference_period = Period(home["strange"], home["sure"], home["right"])
for number in range(1, 13):
    month = watch_month(reference_period, month_of(number, home, other), number)
    print(month)
    if month.alarms:
        break

# %% [markdown]
# Each line is a month against the reference, with a *p* for each signal: how often chance alone would make such a
# difference. Read the month of the alarm: the inputs raised it, and its accuracy is not even lower than that of the
# reference. That does not say that the answers are as good as before. It says that 40 reviewed tickets show only a large
# loss, and in the table above the other shop's tickets are not much worse. An alarm for inputs says: review more, now.
#
# Was it sure to come in month 7? That month is one draw. Here are 300 of the kind:

# %%
shifted = [watch_month(reference_period, month_of(7, home, other)).alarms for _ in range(300)]
power = {signal: np.mean([signal in alarms for alarms in shifted]) for signal in SIGNALS}
print({signal: f"{share:.0%}" for signal, share in power.items()})
print(f"inputs within two months: {1 - (1 - power['inputs']) ** 2:.0%}, within three: {1 - (1 - power['inputs']) ** 3:.0%}")

# %% [markdown]
# The first line is the *power* of the watch: the share of months shifted like this one that raise an alarm. That ours came
# in the very first of them was luck, too; another seed may wait a month or two. Confidence and accuracy hardly ever notice
# this shift. To see more, watch more tickets a month, or review more of them; a looser level costs false alarms.
#
# And how often does it cry wolf? Each test has a level of 0.05 / 36, so that a year of three signals should stay quiet
# 19 times of 20. Measured on years that are drawn from the home tickets alone:

# %%
quiet = false_alarms(reference_period, reference_size=100, month_size=100, reviewed=40, years=100)
print({name: f"{rate:.0%}" for name, rate in quiet.items()})

# %% [markdown]
# Out of 100 years, so a few per cent more or less are chance. That holds while tickets are independent. If one
# broken delivery makes thirty customers write, they are not: `false_alarms(..., groups=...)` draws such clusters, and the
# rate rises.
#
# **Exercise (level 2).** With 5 % for each test, how many quiet years would have an alarm? Write `false_alarm_in_a_year(level,
# signals, months)`, for tests that are independent.

# %% tags=["exercise"]
def false_alarm_in_a_year(level, signals, months):
    # solution
    return 1 - (1 - level) ** (signals * months)
    # end solution


# %%
from ftlab.exercises.ship import check_false_alarm_in_a_year

check_false_alarm_in_a_year(false_alarm_in_a_year)

# %% [markdown]
# ## Retrain, compare, release, roll back
#
# Suppose that after the alarm people review 87 tickets of the other shop at once. (At twenty a month it would take until the end of
# the year.) They join the training set, and the same recipe runs again: `ftlab run` with nothing changed but the data. That is the
# second recorded run. A release is a folder with card and hashes; `current.json` names the one in service. First the old one. Its
# gate said no, so `ftlab release` refuses unless you say why:

# %%
from ftlab.data.jsonl import write_rows

shutil.copytree("../data/recorded/ship", OUT / "runs")
shop = read_chat(TICKETS / "train.jsonl")[:320]
reviewed, kept_back = [], []  # every second phrasing of the other shop is for the test
for row in read_chat(TICKETS / "other_shop.jsonl"):
    (kept_back if int(row["pattern"].split("+")[0][-2:]) % 2 else reviewed).append(row)
parts = {"test": read_chat(TICKETS / "test.jsonl")[:100], "other_shop": kept_back, "validation": read_chat(TICKETS / "validation.jsonl")[:24]}
for name, rows in {"first": shop, "second": shop + reviewed}.items():
    for part, content in (parts | {name: rows}).items():  # the files that the recipe names
        write_rows(content, OUT / "runs" / name / f"{part}.jsonl")
print(f"{len(reviewed)} reviewed tickets join {len(shop)}; {len(kept_back)} of the other shop are kept for the test")

# %%
def ftlab_release(*arguments):
    done = subprocess.run([sys.executable, "-m", "ftlab", "release", *map(str, arguments), "--to", str(OUT / "releases")],
                          capture_output=True, text=True, cwd="..")  # fmt: skip
    print(f"exit code {done.returncode}: {done.stdout}{done.stderr}".replace(str(OUT), "OUT"))


ftlab_release(OUT / "runs" / "first")
ftlab_release(OUT / "runs" / "first", "--despite", "a lesson in shipping, on nano")

# %%
ftlab_release(OUT / "runs" / "second", "--despite", "a lesson in shipping, on nano")

# %% [markdown]
# It was compared with the release in service, on each test set that both have answered: the old shop's tickets, on which
# nothing may be lost, and those of the new shop that nobody trained on. Read both lines before you believe in the
# retraining: where the old shop gains as much as the new one, nobody can say whether the new shop's tickets helped, or merely more rows
# and steps. (A third run would: with as many further tickets of the old shop.) And if something is wrong tomorrow:

# %%
ftlab_release("--rollback")
ftlab_release()

# %% [markdown]
# The rollback names a folder, and no server reads that name by itself: start the server anew from it, with *its* thresholds (they belong
# to one model), and compare it again. Many teams let a new release answer a small part of the traffic first (a *canary*), or answer
# beside the old one without being heard (*shadow*).

# %%
new_words = strangeness(texts_of(shop + reviewed))
after_home, after_other = (cases(SECOND, part, new_words) for part in ("test", "other_shop"))
new_reference = Period(after_home["strange"], after_home["sure"], after_home["right"])
for number in range(month.month + 1, 13):
    print(watch_month(new_reference, month_of(number, after_home, after_other), number))
pd.DataFrame({"home": after_home.mean(), "other shop": after_other.mean()}).round(3)

# %% [markdown]
# This is how the rest of the year would look, had the second release stayed in service. It has its own watch: which words are unknown
# is counted anew, for the second training used those of the other shop, and the reference is what this release makes of the
# home tickets. The other shop's tickets are hardly stranger now, so no inputs alarm. Quiet does not mean good: this release is
# no less sure of the other shop's tickets, and fewer of their queues are right than of the home shop's (`right` in the table). Forty
# reviewed tickets, half of each shop, cannot show that.

# %% [markdown]
# ## What you have seen
#
# - What is served may differ from what was judged in template, end token, precision, settings, weights. Compare all of
#   them, with a few tickets, after each export.
# - What a server does not tell is not equal; it is not known.
# - A confidence is whatever is higher for right answers. Thresholds are chosen on data, and hold for data like these.
# - A router writes down first and sends afterwards; what fails goes to a person.
# - Alarms have a price: state how often they are false, and how often they come when they should. Retraining is the same recipe,
#   judged against the release in service.

# %% [markdown]
# ## What would you do?
#
# Decide first, then open the answer.
#
# **1.** The served model is worse than the one that was judged, and the weights have the same hash. Where do you look
# first?
#
# <details><summary>One answer</summary>
#
# At the text and the token ids that the server really makes of a ticket: template, system prompt, a doubled begin token.
# Then end tokens and settings, then precision.
#
# </details>
#
# **2.** The threshold promised at most 5 % wrong, and a sample of this month's automatic answers has 9 %. Who is to blame,
# and what do you do tonight?
#
# <details><summary>One answer</summary>
#
# Nobody has to be: the promise was about tickets like those it was chosen on. Raise the threshold so that more goes to
# people, review a larger sample whatever its route, and choose anew on this month's traffic.
#
# </details>
#
# **3.** Inputs raise an alarm, and the forty reviewed answers look as good as before. Do you roll back?
#
# <details><summary>One answer</summary>
#
# No. Forty show only a large loss, and an alarm about inputs says nothing about answers. Review more, now; then decide.
#
# </details>
#
# **Read next:** [14 Medical coding](14_case_medical_coding.ipynb), routing in a whole case; [10 Count the
# cost](10_count_the_cost.ipynb), for what the hours of people are worth.
