# ---
# ftlab:
#   reads: [data/brand_voice/*.jsonl, data/brand_voice/guide.yaml, data/recorded/preferences/*.json*, data/recorded/preferences/predictions/*/*.jsonl, data/recorded/rewards/*.json, data/recorded/rewards/predictions/*/*.jsonl, data/support_triage/test.jsonl, data/support_triage/schema.json, data/probes/everyday.jsonl, recipes/support_triage_smol.yaml, data/models/nano/*.json, data/models/nano/*.jinja, data/models/nano/model.safetensors]
#   headline: win rate against SFT alone, recorded on smol
# ---

# %% [markdown]
# # Learn preferences
#
# **Question:** how does DPO change the answer, and where do rewards (GRPO) come in?
# **Minutes:** 25 to read, 2 to run. **Hardware:** any; two CPU cores are enough.
#
# A shop wants every reply in its own voice. Nobody has the time to write hundreds of good ones, but anybody can say which
# of two is better. You go the whole way here with `nano`, in two minutes: [SFT](GLOSSARY.md#sft) on the shop's mail,
# several answers to each message, a judge, pairs, [DPO](GLOSSARY.md#dpo), a [win rate](GLOSSARY.md#win-rate). Then you
# read the same way recorded on `smol`, a real chat model: what each step was worth, what it cost, and whether more SFT
# would have been enough. At the end a program gives rewards.
# ([01](01_what_fine_tuning_changes.ipynb#Learning-from-preferences) has the first look at DPO.)

# %% [markdown]
# ## Your choices

# %%
import ftlab  # first: it quiets the libraries below

MODEL = "nano"  # or "smol", or a hub id such as "unsloth/Qwen3-4B-Instruct-2507" (on a GPU), or a folder
VOICE = "../data/brand_voice"
DATA = {
    "train": f"{VOICE}/archive.jsonl",  # chats, for SFT
    "messages": f"{VOICE}/messages.jsonl",  # what answers are sampled for
    "pairs": None,  # a JSONL of your own: {"prompt": [...], "chosen": [...], "rejected": [...]} a line; None: made below
    "test": f"{VOICE}/test.jsonl",
}
BETA = 0.1  # how tightly DPO holds the model to where it started; larger is tighter
DPO_RATE = {"nano": 4e-4, "smol": 1e-4}.get(MODEL, 5e-6)  # far below SFT's: large models want very small steps
OUTPUT = ftlab.home() / "09_learn_preferences"

# %% [markdown]
# ## What is a good reply?
#
# Here a written style guide says it, in a form that code can check: five points.

# %%
from ftlab.data.schema import read_chat
from ftlab.evaluation.guide import points_kept, points_of, read_guide

guide = read_guide(f"{VOICE}/guide.yaml")
rows = {part: read_chat(DATA[part]) for part in ("train", "messages", "test")}
for point, text in guide.items():
    print(f"{point:16} {text}")

# %%
import pandas as pd

shown = rows["train"][:4]
for row in shown:
    print(f"{row['messages'][1]['content']}\n  {row['messages'][2]['content']}")
    print(f"  {points_of(guide, row['messages'][2]['content'], row['facts'])} of {len(guide)} points\n")
kept = pd.DataFrame([points_kept(guide, row["messages"][2]["content"], row["facts"]) for row in rows["train"]])
shares = kept.mean().map("{:.0%}".format).to_frame(f"of {len(kept)} replies that the team has sent").T
shares.assign(**{"all five": f"{kept.all(axis=1).mean():.0%}"})

# %% [markdown]
# A model that learns from this mail will write like this mail.
#
# The guide is a rule, not people: never in doubt, and blind for all that it does not name, such as how long a reply is, and
# whether what it promises fits the matter. We measure both beside it.

# %% [markdown]
# ## SFT first
#
# The cells of [06](06_train_with_unsloth.ipynb), on the mail as it is. Preference training needs a model that can already do
# the task, well and badly: what it never writes, it cannot be told to prefer.

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

# %%
from datasets import Dataset
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer
from unsloth.chat_templates import train_on_responses_only

from ftlab.training.preflight import check_masks
from ftlab.training.runlog import LivePlot

chats = [row["messages"] for row in rows["train"]]
# many templates end with a new line; after that, TRL would add a second end token
texts = [tokenizer.apply_chat_template(chat, tokenize=False).rstrip() for chat in chats]
trainer = SFTTrainer(
    model=model,
    processing_class=tokenizer,
    train_dataset=Dataset.from_dict({"text": texts}),
    args=SFTConfig(
        output_dir=str(OUTPUT / "sft"),
        dataset_text_field="text",
        max_length=512,
        per_device_train_batch_size=8,
        num_train_epochs=4,
        learning_rate={"nano": 4e-3, "smol": 1e-3}.get(MODEL, 2e-4),
        warmup_steps=0.05,
        lr_scheduler_type="cosine",
        gradient_checkpointing=ON_GPU,
        bf16=PRECISION == "bf16",
        fp16=PRECISION == "fp16",
        logging_steps=2,
        save_strategy="no",
        seed=3407,
        report_to="none",
        disable_tqdm=True,
    ),
    callbacks=[LivePlot()],
)
trainer.remove_callback(PrinterCallback)  # the live plot replaces the printed lines
trainer = train_on_responses_only(trainer)  # learn the answers, not the messages
check_masks(trainer.train_dataset, chats, tokenizer, trainer.data_collator)  # stops if it would learn more
result = trainer.train()
start = {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}  # for later

# %%
from ftlab.evaluation.generation import generate


def judged(answers, part):
    """Points of each answer to the messages of a part."""
    return [points_of(guide, text, row["facts"]) for text, row in zip(answers, rows[part], strict=True)]


def answer_test():
    """Greedy answers to the test messages."""
    FastLanguageModel.for_inference(model)
    asked = [row["messages"][:-1] for row in rows["test"]]
    return generate(model, tokenizer, asked, max_new_tokens=64).texts


sft_answers = answer_test()
sft_points = judged(sft_answers, "test")
print(f"{sum(sft_points) / len(sft_points):.1f} of {len(guide)} points on {len(sft_points)} new messages. The first three:")
for row, text, points in zip(rows["test"][:3], sft_answers, sft_points, strict=False):
    print(f"\n{row['messages'][1]['content']}\n  {text}\n  {points} points")

# %% [markdown]
# It writes like the team, habits included. ([Greedy decoding](GLOSSARY.md#greedy-decoding) takes the likeliest word each
# time, so its habits are the team's most frequent ones.)
#
# ## Ask it several times, and judge
#
# At [temperature](GLOSSARY.md#temperature) 1 the answers scatter. Six to each of 96 messages:

# %%
SAMPLES, ASKED = 6, 96
torch.manual_seed(3407)
tokenizer.padding_side = "left"  # so that every answer begins where its prompt ends
sampled = []
for at in range(0, ASKED, 24):
    batch = rows["messages"][at : at + 24]
    prompts = [tokenizer.apply_chat_template(row["messages"][:-1], tokenize=False, add_generation_prompt=True) for row in batch]
    inputs = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False).to(model.device)
    with torch.inference_mode():
        out = model.generate(
            **inputs,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            num_return_sequences=SAMPLES,
            max_new_tokens=64,
            pad_token_id=tokenizer.pad_token_id,
        )
    written = tokenizer.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    sampled += [written[n : n + SAMPLES] for n in range(0, len(written), SAMPLES)]
scores = [
    [points_of(guide, text, row["facts"]) for text in answers]
    for row, answers in zip(rows["messages"], sampled, strict=False)
]
print(rows["messages"][0]["messages"][1]["content"])
for points, text in sorted(zip(scores[0], sampled[0], strict=True), reverse=True):
    print(f"  {points} points: {text}")

# %% [markdown]
# The best answer against the worst makes a [preference pair](GLOSSARY.md#preference-pair). Where all six have as many points
# there is none.

# %%
from ftlab.data.jsonl import write_rows
from ftlab.evaluation.guide import best_and_worst

made = []
for row, answers, points in zip(rows["messages"], sampled, scores, strict=False):
    if found := best_and_worst(answers, points):
        chosen, rejected = ([{"role": "assistant", "content": text}] for text in found)
        made.append({"prompt": row["messages"][:-1], "chosen": chosen, "rejected": rejected})
OUTPUT.mkdir(parents=True, exist_ok=True)
pairs_file = DATA["pairs"] or write_rows(made, OUTPUT / "pairs.jsonl", force=True)
print(f"{len(made)} pairs of {ASKED} messages")
for side in ("chosen", "rejected"):
    print(f"{side:9}", made[0][side][0]["content"])

# %% [markdown]
# Such pairs are *[on-policy](GLOSSARY.md#on-policy)*: both answers are the model's own, so the pair is about choices that
# it really makes. On pairs that people or another model wrote (*off-policy*) DPO spends its steps on answers that this
# model would not have given. Tajwar et al. (2024, arXiv 2404.14367) compared both: own samples help, and so does pushing
# bad answers down.
#
# ## Read the pairs
#
# A file of pairs, made here or named in `DATA`, is read as all files are: what is wrong is said with line and field. Look at
# the lengths, too:

# %%
from ftlab.data.findings import errors_of, raise_findings
from ftlab.data.formats import from_messages, read

pairs = read(pairs_file, "preference")
raise_findings(errors_of(pairs.findings))
dataset = Dataset.from_list([from_messages(row.data, "preference") for row in pairs.rows])
print(pairs)
words = pd.DataFrame(
    {side: [len(turns[0]["content"].split()) for turns in dataset[side]] for side in ("chosen", "rejected")}
)
longer = (words["chosen"] > words["rejected"]).mean()
words.mean().map("{:.1f} words".format).to_frame("on average").T.assign(**{"chosen is longer": f"{longer:.0%} of pairs"})

# %% [markdown]
# Where the chosen answer is mostly the longer one, a model can learn "longer" in place of "better".

# %% [markdown]
# ## One pair by hand
#
# DPO's [loss](GLOSSARY.md#loss) looks at four numbers: the [log-probability](GLOSSARY.md#log-probability) of the chosen and
# of the rejected answer, each under the model in training ($\pi$) and under the frozen [reference
# model](GLOSSARY.md#reference-model) from which it started ($\pi_0$):
#
# $$\text{loss} = -\log\sigma\Big(\beta\log\frac{\pi(\text{chosen})}{\pi_0(\text{chosen})}
# - \beta\log\frac{\pi(\text{rejected})}{\pi_0(\text{rejected})}\Big)$$
#
# $\sigma$ turns the difference into a probability. Only the *difference* counts: the loss also falls when both answers become less
# likely, if the rejected one does so faster. Before the first step we do the trainer's sum.

# %% tags=["allow-stderr"]
from trl import DPOConfig, DPOTrainer

FastLanguageModel.for_training(model)
dpo = DPOTrainer(
    model=model,  # with the adapter that SFT has trained
    ref_model=None,  # no second model: TRL 1.x keeps a frozen copy of the adapter (older ones took the base without it)
    processing_class=tokenizer,
    train_dataset=dataset,
    args=DPOConfig(
        output_dir=str(OUTPUT / "dpo"),
        loss_type=["sigmoid"],  # DPO as published
        beta=BETA,
        max_length=512,  # prompt and answer together
        per_device_train_batch_size=4,  # four pairs are eight answers
        gradient_accumulation_steps=1,
        precompute_ref_log_probs=True,  # the frozen model reads each answer once, before the training
        num_train_epochs=1,
        learning_rate=DPO_RATE,
        warmup_steps=0.1,
        lr_scheduler_type="cosine",
        gradient_checkpointing=ON_GPU,
        bf16=PRECISION == "bf16",
        fp16=PRECISION == "fp16",
        logging_steps=1,
        save_strategy="no",
        seed=3407,
        report_to="none",
        disable_tqdm=True,
    ),
    callbacks=[LivePlot(unit="nats per pair")],
)
dpo.remove_callback(PrinterCallback)
print(", ".join(name for name in dpo.train_dataset.column_names if name.startswith("ref_")))


# %%
def log_probability(model, prompt_ids, answer_ids):
    """Log-probability of an answer after its prompt: its tokens' log-probabilities, added up."""
    ids = torch.tensor([prompt_ids + answer_ids], device=model.device)
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, len(prompt_ids) - 1 : -1].float()
    return logits.log_softmax(-1).gather(1, ids[0, len(prompt_ids) :, None]).sum().item()


def implicit_rewards(pair):
    """What the model has gained on the reference, times beta: of the chosen and of the rejected answer."""
    now = [log_probability(model, pair["prompt_ids"], pair[f"{side}_ids"]) for side in ("chosen", "rejected")]
    return [BETA * (new - pair[f"ref_{side}_logps"]) for new, side in zip(now, ("chosen", "rejected"), strict=True)]


def dpo_loss(pair):
    better, worse = implicit_rewards(pair)
    return -torch.nn.functional.logsigmoid(torch.tensor(better - worse)).item()


def trainers_loss(pair):
    """The same by TRL, on a batch of this one pair."""
    batch = {name: tensor.to(model.device) for name, tensor in dpo.data_collator([pair]).items()}
    with torch.no_grad():
        return dpo.compute_loss(dpo.model, batch).item()


pair = dpo.train_dataset[0]
print(f"before the first step: by hand {dpo_loss(pair):.4f}, TRL {trainers_loss(pair):.4f}; ln 2 = 0.6931")
assert abs(dpo_loss(pair) - trainers_loss(pair)) < 1e-3
assert abs(trainers_loss(pair) - 0.6931) < 1e-2, "the reference is not the model that SFT has left"

# %% [markdown]
# Nothing has moved yet, so the loss is that of a coin toss: the sign that the reference is the model you started from. $\beta
# \log(\pi / \pi_0)$ is called the *implicit reward*: DPO trains as if it were the judge's mark, and asks that the chosen answer
# gets more of it. With a small $\beta$ the model has to move far before the loss is content; a large one holds it near the
# reference.
#
# ## DPO

# %%
result = dpo.train()
print(f"{result.global_step} steps in {result.metrics['train_runtime']:.0f} seconds")
better, worse = implicit_rewards(pair)
print(f"the pair from above: rewards {better:+.2f} and {worse:+.2f}; by hand {dpo_loss(pair):.4f}, TRL {trainers_loss(pair):.4f}")
assert abs(dpo_loss(pair) - trainers_loss(pair)) < 1e-2

# %%
log = pd.DataFrame([row for row in dpo.state.log_history if "rewards/margins" in row])
log = log.rename(columns=lambda name: name.replace("rewards/", ""))[["accuracies", "margins", "chosen", "rejected"]]
parts = pd.concat([log.head(4).astype(float).mean(), log.tail(4).astype(float).mean()], axis=1).T
parts.index = ["first four steps", "last four steps"]
parts.round(2)

# %% [markdown]
# Watch `accuracies`, how often the chosen answer has the larger implicit reward, and `margins`, by how much. `chosen` and
# `rejected` say how: often both fall, the rejected one faster. (If `chosen` falls deep, take fewer steps, or a larger beta. In the
# first two steps nothing has moved, and TRL counts a tie as wrong: so the first line may lie below one half.) None of it says that
# the answers are better. That takes answers.
#
# ## How often does it win?

# %%
from ftlab.evaluation.statistics import win_rate

dpo_answers = answer_test()
dpo_points = judged(dpo_answers, "test")
frames = [row["frame"] for row in rows["test"]]  # messages of one sentence pattern count together
print(f"points: SFT {sum(sft_points) / len(sft_points):.2f}, then DPO {sum(dpo_points) / len(dpo_points):.2f} of {len(guide)}")
print("win rate of DPO against SFT:", win_rate(sft_points, dpo_points, groups=frames))
for row, before, after in zip(rows["test"][:3], sft_answers, dpo_answers, strict=False):
    print(f"\n{row['messages'][1]['content']}\n  SFT: {before}\n  DPO: {after}")

# %% [markdown]
# **Win rate:** which of two answers to the same message has more points? One half means no difference; a tie counts half.
# The interval is over sentence patterns, as messages of one pattern win or lose together. (People and models often prefer the first or
# the second place: show each pair in both orders.)
#
# Now what the guide is silent about. Each row says by which words a reply does what the matter asks for (`accept`):

# %%
from ftlab.evaluation.metrics import probe_scores
from ftlab.evaluation.statistics import compare

sft_fits, dpo_fits = (probe_scores(texts, rows["test"]) for texts in (sft_answers, dpo_answers))
print("does what the matter asks for, SFT -> DPO:", compare(sft_fits, dpo_fits, groups=frames))
words_in = {name: sum(len(text.split()) for text in texts) / len(texts) for name, texts in
            {"SFT": sft_answers, "DPO": dpo_answers}.items()}  # fmt: skip
print("words in a reply:", ", ".join(f"{name} {count:.1f}" for name, count in words_in.items()))

# %% [markdown]
# By the judge nearly every reply is better. But `nano` reads badly: with five matters, one reply in five fits by luck, and
# neither training has changed that, since the pairs say nothing about it. What of a model that can read?
#
# **Exercise (level 2).** Write `win_rate_of(a, b)` for two lists of points: how often `b` is better, a tie counting half.

# %% tags=["exercise"]
def win_rate_of(a, b):
    # solution
    return sum((y > x) + (y == x) / 2 for x, y in zip(a, b, strict=True)) / len(a)
    # end solution


# %%
from ftlab.exercises.preferences import check_win_rate

check_win_rate(win_rate_of)

# %% [markdown]
# ## The same way on `smol`, recorded
#
# What the steps are worth is a question for a model that can write. `python tools/record.py preferences` made the record:
# the same guide, mail and messages, one training each. Of DPO two learning rates were tried, and one was chosen on forty validation
# messages; nothing else was searched.

# %%
import json
from pathlib import Path

RECORD = Path("../data/recorded/preferences")
record = json.loads((RECORD / "results.json").read_text())
arms = {
    "sft": "SFT on the mail", "more_sft": "+ SFT on chosen answers", "dpo": "+ DPO", "other_rate": "+ DPO, other rate",
    "seeing": "+ DPO, a judge who sees", "longer": "+ DPO, long ones chosen", "kto": "+ KTO",
}  # fmt: skip
probe = read_chat("../data/probes/everyday.jsonl")[::2]


def recorded(arm, part):
    """The answers of an arm to the test messages or to the everyday questions."""
    lines = (RECORD / "predictions" / arm / f"{part}.jsonl").read_text().splitlines()
    return [json.loads(line)["prediction"] for line in lines]


answers = {arm: recorded(arm, "test") for arm in arms}
points = {arm: judged(texts, "test") for arm, texts in answers.items()}
for machine, minutes in record["minutes_by_machine"].items():
    print(f"{record['command']}: {minutes:.0f} minutes on {machine}, beside other work")
for arm in ("sft", "dpo"):
    print(f"\n{arms[arm]}: {answers[arm][0]}")

# %%
table = {}
for name in ("sft", "more_sft", "dpo_1e-4", "dpo_4e-4"):
    found = record["points"][name]
    logged = [row for row in found.get("log", []) if "rewards/chosen" in row][-4:]
    ends = [f"{sum(row[f'rewards/{side}'] for row in logged) / len(logged):+.2f}" if logged else "" for side in ("chosen", "rejected")]
    shares = f"{len(guide) * found['validation']['points']:.2f}", f"{found['validation']['deed_fits']:.0%}"
    table[f"{name}, chosen" if name == record["chosen"] else name] = [*shares, *ends]
of_validation = [f"points of {len(guide)}", "does what the matter asks for", "reward of chosen at the end", "of rejected"]
pd.DataFrame.from_dict(table, orient="index", columns=of_validation)

# %% [markdown]
# So it was chosen, on validation messages: the setting with the most points, of those that cost at most five points of the replies that
# do what the matter asks for; where each costs more, the one that costs least. (That limit was written after a first result had been
# seen.) With forty messages, one message is two and a half points. The last two columns are those that you watched above. Now the test:

# %% tags=["headline"]
rates = {arm: win_rate(points["sft"], points[arm], groups=frames) for arm in arms if arm != "sft"}
print(f"DPO wins against SFT alone on {rates['dpo'].rate} of the messages, more SFT on {rates['more_sft'].rate}")
pd.DataFrame(
    {
        arms[arm]: {
            f"points of {len(guide)}": f"{sum(points[arm]) / len(frames):.2f}",
            "win rate against SFT alone [95 %]": rates[arm].rate if arm in rates else "",
            "p": f"{rates[arm].p_value:.2g}" if arm in rates else "",
            "won, tied, lost": f"{rates[arm].won}, {rates[arm].tied}, {rates[arm].lost}" if arm in rates else "",
            "words": f"{sum(len(text.split()) for text in answers[arm]) / len(frames):.1f}",
        }
        for arm in arms
    }
).T

# %% [markdown]
# "Other rate" is the DPO setting that was not chosen, four times the chosen one; "a judge who sees", "long ones chosen" and "KTO" take the
# chosen setting and come further down. The intervals are over messages. Each arm was trained once, and another seed can move it by more
# than they say: read the table as one case.

# %% [markdown]
# ## When is SFT enough?
#
# The chosen answers are good answers: why not simply train on these? `more_sft` did, on those of the same pairs, twice, so
# that it read as many answers as DPO.

# %%
for arm in ("dpo", "other_rate", "kto"):
    print(f"{arms[arm]}, against more SFT:", win_rate(points["more_sft"], points[arm], groups=frames).rate)
print("+ KTO, against + DPO:", win_rate(points["dpo"], points["kto"], groups=frames).rate)

# %% [markdown]
# By the guide the chosen DPO cannot be told from SFT on the best of six (rejection sampling). KTO, which got the same answers one by one
# with a thumb up or down, beats both (it also took twice as many steps, as its rows are single answers). The larger rate beats SFT, too,
# with replies that you will read below. SFT is the simpler rival and only imitates answers that the model gave: run it first. Preferences
# have more to say where good and bad differ in a detail that imitation blurs, where even the best sample is not good, or where the bad
# answers are what must go.

# %% [markdown]
# ## Did it only learn "longer"?

# %%
from ftlab.evaluation.guide import word_count as words_of

lines = [json.loads(line) for line in (RECORD / "samples.jsonl").read_text().splitlines()]


def gap(longer):
    """How many words the chosen answers have more than the rejected, on average."""
    found = [best_and_worst(line["answers"], line["points"], longer) for line in lines]
    gaps = [words_of(pair[0]) - words_of(pair[1]) for pair in found if pair]
    return sum(gaps) / len(gaps)


lengths = {arm: [words_of(text) for text in texts] for arm, texts in answers.items()}


def and_likes_length(arm):
    """Points of a judge who keeps to the guide, and among equals likes the longer answer."""
    return [kept + count / 1000 for kept, count in zip(points[arm], lengths[arm], strict=True)]


def at_equal_length(arm, most=2):
    """The win rate on those messages whose two answers differ by no more than `most` words."""
    near = [at for at in range(len(frames)) if abs(lengths[arm][at] - lengths["sft"][at]) <= most]
    sides = [points["sft"][at] for at in near], [points[arm][at] for at in near]
    return f"{win_rate(*sides, groups=[frames[at] for at in near]).rate} ({len(near)} messages)" if near else "no message"


pd.DataFrame(
    {
        arms[arm]: {
            "pairs: chosen longer by": f"{gap(arm == 'longer'):+.1f} words" if arm != "kto" else "",
            "replies, words": f"{sum(lengths['sft']) / len(frames):.1f} -> {sum(lengths[arm]) / len(frames):.1f}",
            "win rate by the guide": rates[arm].rate,
            "where both are as long": at_equal_length(arm),
            "by one who likes length": win_rate(and_likes_length("sft"), and_likes_length(arm), groups=frames).rate,
        }
        for arm in ("dpo", "other_rate", "longer", "kto")
    }
).T

# %% [markdown]
# Two of these trainings differ in the pairs alone. Both have as many points in them; in "long ones chosen" the chosen answer is
# about five words longer on average, in the others less than one. By the guide the two cannot be told apart, and the replies are
# longer: the next cell has the difference. So length is learned from the pairs, whether anybody meant it or not. And a judge who
# likes length would have called it better.
#
# The larger rate is another matter. Read one reply of each rate:

# %%
from ftlab.evaluation.statistics import difference_interval

more = difference_interval([new - old for new, old in zip(lengths["longer"], lengths["dpo"], strict=True)], frames)
print(f"long ones chosen against level pairs: {more.value:+.1f} words a reply [{more.low:+.1f}, {more.high:+.1f}]", end="; ")
print("by the guide it wins", win_rate(points["dpo"], points["longer"], groups=frames).rate, "\n")
for arm in ("dpo", "other_rate"):
    print(f"{arms[arm]}: {answers[arm][2]}\n")
for arm in arms:
    again = sum(text.count("Fair winds") > 1 for text in answers[arm])
    print(f"{arms[arm]}: {again} of {len(frames)} replies say farewell more than once")

# %% [markdown]
# At the larger rate nearly all replies repeat themselves, many until the limit. That was to be read before any test: in the table
# of validation both rewards had fallen far below zero, the sign that even the chosen answers became less likely. A win rate does
# not see it, and "equal length" hides it: it keeps the few replies that did not run away. Park et al. (2024, arXiv 2403.19159)
# found DPO's answers to grow far beyond the lengths in the pairs, on models of 2.8 billion parameters, and tamed it by a term for
# length in the loss. Without one, level the pairs in length, and look at the win rate where both answers are about as long: a win
# that is gone there was length.
#
# ## What did it cost elsewhere?
#
# The guide does not look at what a reply promises, and knows nothing of the capital of Nigeria.

# %%
from ftlab.evaluation.statistics import score_interval

fits = {arm: probe_scores(answers[arm], rows["test"]) for arm in arms}
knows = {arm: probe_scores(recorded(arm, "probe"), probe) for arm in arms}


def change(arm):
    """Points of deeds that fit, won or lost against SFT alone, with the interval of the difference."""
    found = compare(fits["sft"], fits[arm], groups=frames)
    return f"{100 * found.delta:+.0f} [{100 * found.low:+.0f}, {100 * found.high:+.0f}], {found.verdict}"


pd.DataFrame(
    {
        arms[arm]: {
            "does what the matter asks for [95 %]": score_interval(fits[arm]),
            "against SFT alone": "" if arm == "sft" else change(arm),
            "everyday questions [95 %]": score_interval(knows[arm]),
        }
        for arm in arms
    }
).T

# %%
samples_fit = {
    side: probe_scores([best_and_worst(line["answers"], line["points"])[at] for line in lines], rows["messages"][: len(lines)])
    for at, side in enumerate(("chosen", "rejected"))
}
for side, fit in samples_fit.items():
    print(f"of the {side} answers, {score_interval(fit)} do what the matter asks for")

# %% [markdown]
# The judge did not look at it: chosen and rejected answers are wrong about equally often, and a training on them has no
# reason to keep it. **What the judge does not see, the training may spend** ([reward hacking](GLOSSARY.md#reward-hacking)). Here no arm
# differs detectably from SFT: with a hundred messages of 25 patterns only large losses can be told from luck. The judge who sees (first
# whether a reply does what the matter asks for, then the guide) has the highest value and the fewest points: its pairs teach another thing,
# and whether one pass over them is enough to learn it, this test cannot say. Measure what the judge does not see.
#
# Everyday questions were lost by SFT on mail alone (`smol` as it comes answers 67.5 % of all 379; [07](07_evaluate.ipynb#What-was-lost?)
# has the remedy).
#
# ## Which data do you have?
#
# | method | one row is | it needs beside the model | source |
# | --- | --- | --- | --- |
# | SFT | a message and a good answer | nothing | |
# | DPO | a message, a better and a worse answer | the reference's log-probabilities: one more reading of each answer | Rafailov et al. 2023, arXiv 2305.18290 |
# | [KTO](GLOSSARY.md#kto) | a message and an answer, thumb up or down | the same, and readings of answers to other messages; thumbs need not come in pairs | Ethayarajh et al. 2024, arXiv 2402.01306 |
# | [ORPO](GLOSSARY.md#orpo) | as DPO | no reference; SFT and preference in one loss, from the start | Hong et al. 2024, arXiv 2403.07691 |
# | RLHF with PPO | messages; pairs for the reward model | a reward model, a value model, the reference, answers written all the while | Ouyang et al. 2022, arXiv 2203.02155 |
# | [GRPO](GLOSSARY.md#grpo) | a message | a reward (a program or a model), answers written all the while | Shao et al. 2024, arXiv 2402.03300 |
#
# In TRL: `KTOTrainer` with the columns `prompt`, `completion`, `label`; ORPO under `trl.experimental.orpo`.
# [04](04_prepare_data.ipynb#One-row,-five-formats) has the forms of the rows.
#
# **What it costs.** A pair is two answers, read forwards and backwards, and the reference reads them once more: by that count DPO
# takes two and a half to three times the computing of SFT on as many rows. It needs no second model in memory, since the reference
# is the same one with its old adapter.

# %% [markdown]
# ## Where rewards come in
#
# Sometimes a program can say how good an answer is: the code compiles, the sum is right, the record is valid. Then the
# model can write, be marked, and be moved towards what got better marks. That is reinforcement learning.
#
# **[RLHF](GLOSSARY.md#rlhf)** puts a *[reward model](GLOSSARY.md#reward-model)*, trained on people's pairs, in the place of
# the program, and PPO is its rule: a second model (the value model) guesses how much reward to expect, and what came out
# better becomes more probable. **GRPO** leaves the value model out. It asks for several answers to the *same* prompt and
# compares each with the mean of its group:
#
# $$\text{advantage} = \frac{\text{reward} - \text{mean of the group}}{\text{standard deviation of the group}}$$
#
# Tokens of answers with a positive advantage become more probable, the others less. Where all answers of a group are
# equally good there is nothing to learn.
#
# **Exercise (level 2).** Write `advantages(rewards)` for one group. Take the standard deviation of a sample
# (`statistics.stdev`) and add 0.0001 to it, as TRL does, so that nothing is divided by zero.

# %% tags=["exercise"]
import statistics


def advantages(rewards):
    # solution
    mean, deviation = statistics.mean(rewards), statistics.stdev(rewards)
    return [(reward - mean) / (deviation + 1e-4) for reward in rewards]
    # end solution


# %%
from ftlab.exercises.preferences import check_advantages

check_advantages(advantages)

# %% [markdown]
# ## GRPO, a few steps
#
# The style guide is a program, so it can give the reward. A reward function gets the prompts, the answers, and every other
# column of the data, and returns one number an answer:


# %%
def points_reward(prompts, completions, facts, **_):
    return [points_of(guide, completion[0]["content"], fact) / len(guide)
            for completion, fact in zip(completions, facts, strict=True)]  # fmt: skip


asked = [{"prompt": row["messages"][:-1], "facts": row["facts"]} for row in rows["messages"]]
print(points_reward([asked[0]["prompt"]] * 2, [[{"content": text}] for text in sampled[0][:2]], [asked[0]["facts"]] * 2))

# %%
from trl import GRPOConfig, GRPOTrainer

for name, weight in model.named_parameters():  # back to where DPO has started, too
    if name in start:
        weight.data.copy_(start[name])
FastLanguageModel.for_training(model)
grpo = GRPOTrainer(
    model=model,
    reward_funcs=[points_reward],  # several are added up
    processing_class=tokenizer,
    train_dataset=Dataset.from_list(asked),
    args=GRPOConfig(
        output_dir=str(OUTPUT / "grpo"),
        num_generations=8,  # answers to each prompt
        per_device_train_batch_size=32,  # answers a step: four prompts
        max_completion_length=64,
        temperature=1.0,
        beta=0.0,  # no penalty for leaving the start; above 0 a reference is read, too
        max_steps=15,
        learning_rate={"nano": 1e-3, "smol": 2e-4}.get(MODEL, 1e-5),
        lr_scheduler_type="constant",
        gradient_checkpointing=ON_GPU,
        bf16=PRECISION == "bf16",
        fp16=PRECISION == "fp16",
        logging_steps=1,
        save_strategy="no",
        seed=3407,
        report_to="none",
        disable_tqdm=True,
    ),
)
grpo.remove_callback(PrinterCallback)
result = grpo.train()
steps = [row for row in grpo.state.log_history if "reward" in row]
written = sum(float(row["completions/mean_length"]) for row in steps) * 32
print(f"{result.global_step} steps in {result.metrics['train_runtime']:.0f} seconds, {written:,.0f} tokens written")
print("mean reward of each step:", ", ".join(f"{float(row['reward']):.2f}" for row in steps))

# %% [markdown]
# The reward is what training pushes up, so it proves nothing. New messages do:

# %%
grpo_answers = answer_test()
grpo_points = judged(grpo_answers, "test")
grpo_fits = probe_scores(grpo_answers, rows["test"])
print("win rate of GRPO against SFT:", win_rate(sft_points, grpo_points, groups=frames))
print("win rate of GRPO against DPO:", win_rate(dpo_points, grpo_points, groups=frames))
print("does what the matter asks for, SFT -> GRPO:", compare(sft_fits, grpo_fits, groups=frames))
for name, texts in {"SFT": sft_answers, "DPO": dpo_answers, "GRPO": grpo_answers}.items():
    print(f"\n{name}:", *texts[:3], sep="\n  ")

# %% [markdown]
# The reward is reached; read what reached it. `nano` writes broken English after SFT already, and what matters is whether there is less
# of a reply left between the words that count. This run had no penalty for leaving the start (`beta=0.0`, TRL's default), unlike DPO.
# What helps where rewards are gamed: a `beta` above 0, fewer steps, a second reward for what the first does not see; and above all a
# reward that cannot be had without doing the task: a record that is right, a test that passes, a sum.

# %% [markdown]
# ## GRPO on the tickets, recorded
#
# The course's main task can be checked: a JSON record with the right fields. A model learned it a little by SFT, `smol` from 100 tickets
# and `nano` from 300, then went on with GRPO on others; the reward was the share of right fields, and 1 for a valid record,
# so that 2 is the most. The honest rival has the same start and about the same time, and reads the right answers to the same tickets.

# %%
from itertools import combinations, product

from ftlab.evaluation.metrics import parse_record, score_records
from ftlab.training.data import group_of
from ftlab.training.recipe import load_recipe

REWARDS = Path("../data/recorded/rewards")
rewards = json.loads((REWARDS / "results.json").read_text())
SUBJECTS, WAYS = ("smol", "nano"), {"start": "start: a short SFT", "grpo": "+ GRPO", "more_sft": "+ SFT for the same time"}
told = {each: rewards["points"]["_".join(each)] for each in product(SUBJECTS, WAYS)}
for machine, minutes in rewards["minutes_by_machine"].items():
    print(f"{rewards['command']}: {minutes:.0f} minutes on {machine}, beside other work")
for subject in SUBJECTS:
    run = told[subject, "grpo"]
    print(f"\n{subject}: {run['steps']} steps of GRPO, {run['rows']} tickets, {run['tokens_written']:,.0f} tokens written; first and last five steps:")
    kinds = {"mean reward": "reward", "right fields, its first half": "rewards/right_fields/mean", "entropy of a token, nats": "entropy"}
    for name, key in kinds.items():
        curve = [row[key] for row in run["log"] if key in row]
        print(f"  {name}: {sum(curve[:5]) / 5:.2f}, {sum(curve[-5:]) / 5:.2f}")

# %%
recipe = load_recipe("../recipes/support_triage_smol.yaml")
written = {
    each: [json.loads(line)["prediction"] for line in open(REWARDS / "predictions" / "_".join(each) / "test.jsonl")]
    for each in told
}
tickets = read_chat("../data/support_triage/test.jsonl")[: len(written["smol", "start"])]
right = [json.loads(row["messages"][-1]["content"]) for row in tickets]
schema = json.loads(Path("../data/support_triage/schema.json").read_text())
groups = [group_of(row, recipe.group, recipe.group_part) for row in tickets]
scored = {each: score_records(texts, right, schema=schema) for each, texts in written.items()}
pd.DataFrame(
    {
        f"{subject} {WAYS[way]}": {
            "fields right [95 %]": score_interval(scored[subject, way].field_accuracy),
            "valid records [95 %]": score_interval(scored[subject, way].valid_schema),
            "training, minutes of the processor": f"{told[subject, way]['training_cpu_minutes']:.1f}",
        }
        for subject, way in told
    }
).T

# %%
for subject, (way, other) in product(SUBJECTS, combinations(WAYS, 2)):
    found = compare(scored[subject, way].field_accuracy, scored[subject, other].field_accuracy, groups=groups)
    print(f"{subject}, {WAYS[way]} -> {WAYS[other]}: {found}\n")

# %% [markdown]
# GRPO gave `smol` the easy half of the reward whole: every record is valid, where a third was. And its fields got *worse*, by four
# points, which is more than chance. SFT for the same time, from the same start, gains 35. (`nano`, whose records were nearly all valid
# before, gains little by GRPO, if anything, for its interval holds 0, and 17 points by SFT.) Yet right fields are the other half of
# the reward, and the reward rose. Look at what `smol` writes, field by field: how often it is right, and the commonest value.

# %%
from collections import Counter

import numpy as np


def of_field(records, field):
    """How often a field is right, and the value that it holds most often, with its share."""
    values = [json.dumps(record.get(field)) for record in records]
    value, count = Counter(values).most_common(1)[0]
    hits = np.mean([said == json.dumps(row[field]) for said, row in zip(values, right, strict=True)])
    return f"{hits:.0%} right; {value} {count / len(values):.0%}"


counted = {WAYS[way]: [parse_record(text) or {} for text in written["smol", way]] for way in WAYS}
counted["the right answers"] = right
pd.DataFrame({label: {field: of_field(records, field) for field in right[0]} for label, records in counted.items()})

# %% [markdown]
# For every ticket the same queue, the same urgency, the same tone; and no order number in 86 of 100 tickets, though half of them have
# one, which the start had mostly copied. A number in a wrong form makes a record invalid, `null` never does; "p3" is no queue,
# "hazards" is one. It has learned what is *safe* to write: that is reward hacking again, with two rewards that
# each look sound. And the answers have *collapsed*: the entropy fell to less than a seventh, so the eight answers to a ticket were
# soon nearly alike, and where all get the same reward, there is nothing left to learn from. GRPO can only choose among answers that
# the model writes itself, and this start hardly ever wrote the right queue. (Why it went this way is our reading; no run here tests it.)
#
# So begin later, with a model that finds the right answer sometimes; that `nano` lost nothing fits this. Pay for the form only where
# the content is right. Against collapse, a `beta` above 0 and a clip that is wider upwards (`epsilon_high`; DAPO, Yu et al. 2025,
# arXiv 2503.14476) are published. Above all, watch the entropy beside the reward, and read answers.
#
# SFT read each right answer many times in those minutes, while GRPO writes answers in every step, uses them once and throws them
# away. Our reward, too, needs the right answers: where you have these, begin with SFT. GRPO is for where only a check exists. (What
# ran is TRL's default, `loss_type="dapo"`, a later form of the paper's loss. Dividing by the standard deviation makes questions that
# are nearly always or nearly never answered weigh more; `scale_rewards="none"` leaves that out: Liu et al. 2025, arXiv 2503.20783.)
# One training each, and no setting was searched.
#
# ## What is known about larger models
#
# - **DPO works, with one ordinary loss.** Rafailov et al. (2023) found it as good as PPO-based RLHF or better in summaries
#   and dialogue, on models of up to 6 billion parameters. Pal et al. (2024, arXiv 2402.13228): where the two answers of a
#   pair are nearly the same, it may make even the chosen one less probable.
# - **Judges like length.** Singhal et al. (2023, arXiv 2310.03716) got most of RLHF's gains in three settings with a reward
#   for length alone.
# - **Pairs are not a must.** Ethayarajh et al. (2024, KTO) matched preference methods with thumbs alone, from 1 to 30
#   billion; Hong et al. (2024, ORPO) did without a reference, from 125 million to 7 billion.
# - **Rewards pay where answers can be checked and the model already finds them sometimes.** Shao et al. (2024) trained a
#   7-billion model on mathematics first, and GRPO on top brought it from 46.8 to 51.7 % on the MATH benchmark.
#
# What this page cannot show: people as judges, who disagree; answers that nobody could write down as a rule.
#
# ## What you have seen
#
# - Pairs come from the model's own answers and a judge; DPO makes the chosen ones more probable *relative* to the rejected.
# - The loss says nothing about answers: count wins, on new messages, with intervals.
# - SFT on the chosen answers is the rival to beat, and may be enough.
# - Look at length, at what the judge cannot see, and at what the model could do before.
# - Rewards are for what a program can check. They give exactly what is counted, and its easy part first.

# %% [markdown]
# ## What would you do?
#
# Decide first, then open the answer.
#
# **1.** After DPO the win rate is 93 %, and replies are a third longer. Do you ship it?
#
# <details><summary>One answer</summary>
#
# Read some first. Then look at the win rate among replies of like length, and at what the judge does not see. A win that is gone at
# equal length was length; one that stays is not cleared, for few replies are compared there. Fewer steps, a larger beta or pairs
# that are level in length are the remedies.
#
# </details>
#
# **2.** You have 90 pairs of the model's own answers. Which training do you run first, SFT or DPO?
#
# <details><summary>One answer</summary>
#
# SFT on the chosen answers: a trainer that you know, and it cannot run away. It is the rival that DPO has to beat, and here
# it came close or won.
#
# </details>
#
# **3.** A program can check your answers, and 2,000 right ones lie in the archive. A colleague wants GRPO. What do you
# propose?
#
# <details><summary>One answer</summary>
#
# SFT on the 2,000 for the same minutes, and then compare. GRPO is for where only the check exists, and it gives exactly
# what is counted.
#
# </details>
#
# **Read next:** [15 Brand voice](15_case_brand_voice.ipynb), a whole case; [10 Count the cost](10_count_the_cost.ipynb).
