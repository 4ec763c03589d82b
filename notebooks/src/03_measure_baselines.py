# ---
# ftlab:
#   reads: [data/support_triage/*.jsonl, data/models/nano/model.safetensors, data/models/nano/tokenizer.json, recipes/support_triage_prompts.yaml]
#   headline: the best prompt on the test set, and the bar
# ---

# %% [markdown]
# # Measure baselines
#
# **Question:** how good is a prompt before any training, and which bar does that set?
# **Minutes:** 3. **Hardware:** any; two CPU cores are enough.
#
# Fine-tuning is worth its trouble only if it beats the best prompt you can write. So you write several, choose between
# them fairly, and set the bar *before* you train.

# %% [markdown]
# ## The naive question

# %%
from ftlab import hardware  # first: it quiets the libraries below
import torch
from unsloth import FastLanguageModel

from ftlab.data import read_chat
from ftlab.models import resolve

MODEL = "nano"  # or "unsloth/Qwen3-4B-Instruct-2507" on a GPU

precision = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[hardware.precision()]
model, tokenizer = FastLanguageModel.from_pretrained(
    model_name=resolve(MODEL), max_seq_length=2048, dtype=precision, load_in_4bit=torch.cuda.is_available()
)
FastLanguageModel.for_inference(model)

train_rows = read_chat("../data/support_triage/train.jsonl")
validation_rows = read_chat("../data/support_triage/validation.jsonl")
test_rows = read_chat("../data/support_triage/test.jsonl")

# %%
from ftlab.baselines import Prompt, input_and_answer, read_prompts
from ftlab.evaluation.generation import generate

naive = Prompt("naive", "Triage the ticket.")
text, right = input_and_answer(validation_rows[0])
print("ticket: ", text)
print("answer: ", generate(model, tokenizer, [naive.messages(text)]).texts[0])
print("right:  ", right)

# %% [markdown]
# A model cannot guess our labels. The prompt has to bring them.

# %% [markdown]
# ## What counts as right?
#
# One answer is a JSON record with six fields. Strict reading first: the whole answer must be one JSON object. Then field
# by field.

# %%
from ftlab.evaluation import score_records

reference = {"queue": "billing", "order_id": None}
answers = [
    '{"queue": "billing", "order_id": null}',
    '{"queue": "billing", "order_id": "null"}',
    'Sure! {"queue": "billing", "order_id": null}',
    '{"queue": "billing"}',
]
scores = score_records(answers, [reference] * len(answers))
for answer, valid, accuracy in zip(answers, scores.valid_json, scores.field_accuracy, strict=True):
    print(f"valid {valid:.0f}  fields {accuracy:.2f}  {answer}")

# %% [markdown]
# The text `"null"` is not null, a missing key is not null either, and a friendly "Sure!" breaks the software that reads
# the record. A strict metric is one that fails when your software would.

# %% [markdown]
# **Exercise.** Write `field_accuracy(prediction, reference)`: the share of the reference's fields that the prediction has
# exactly right. `prediction` is a dict, or `None` when the answer was no valid JSON.

# %% tags=["exercise"]
def field_accuracy(prediction, reference):
    # solution
    if prediction is None:
        return 0.0
    right = [key in prediction and prediction[key] == value for key, value in reference.items()]
    return sum(right) / len(right)
    # end solution


# %%
from ftlab.exercises import check_field_accuracy

check_field_accuracy(field_accuracy)

# %% [markdown]
# ## Several wordings, chosen on the validation set
#
# Six wordings of the same request, from a bare list of keys to the shop's whole policy, each tried on validation
# tickets. The test set stays closed: whatever is chosen by a set looks too good on that set.

# %%
wordings = read_prompts("../recipes/support_triage_prompts.yaml")
for prompt in wordings[:2]:
    print(prompt, "\n")

# %%
from ftlab.baselines import try_prompts

zero_shot = try_prompts(model, tokenizer, wordings, validation_rows[:40])
zero_shot

# %% [markdown]
# The same model, the same tickets: only the words differ. Compare the spread between the wordings with the width of one
# interval before you call one of them better.

# %% [markdown]
# ## Few-shot: show, don't tell
#
# Now put solved tickets in front. Which ones is a lottery too, so draw each number of examples twice.

# %%
from ftlab.baselines import with_shots

best_wording = zero_shot.candidates[0].prompt
candidates = [with_shots(best_wording, train_rows, k, seed) for k in (1, 2, 4) for seed in (0, 1)]
few_shot = try_prompts(model, tokenizer, candidates, validation_rows[:40])
few_shot

# %%
import matplotlib.pyplot as plt

from ftlab.plots import show

both = [*zero_shot.candidates, *few_shot.candidates]
fig, ax = plt.subplots(figsize=(7, 3.5))
for kind, marker in (("zero_shot", "o"), ("few_shot", "s")):
    found = [c for c in both if c.prompt.kind == kind]
    x = [c.tokens_per_call for c in found]
    y = [100 * c.field_accuracy.value for c in found]
    low = [100 * (c.field_accuracy.value - c.field_accuracy.low) for c in found]
    high = [100 * (c.field_accuracy.high - c.field_accuracy.value) for c in found]
    ax.errorbar(x, y, yerr=[low, high], fmt=marker, capsize=3, label=kind.replace("_", "-"))
ax.set(xlabel="tokens a call (prompt and answer)", ylabel="fields right, %", ylim=(0, 100))
ax.legend()
dearest = max(both, key=lambda c: c.tokens_per_call)
best = max(both, key=lambda c: c.field_accuracy.value)
show(
    fig,
    f"Scatter of prompts: fields right against tokens a call. The best, {best.prompt.name}, reaches "
    f"{best.field_accuracy} with {best.tokens_per_call:.0f} tokens; the longest, {dearest.prompt.name}, "
    f"{dearest.field_accuracy} with {dearest.tokens_per_call:.0f}.",
)

# %% [markdown]
# Every token of a prompt is paid on every call, for ever. A fine-tuned model needs a three-word prompt: what you buy with
# training is often not quality but these tokens.

# %% [markdown]
# ## Open the test set once, and set the bar
#
# The best prompt by validation, now on test tickets. Expect a little less than the search promised: the winner of a
# search was partly lucky.

# %% tags=["headline"]
sample = test_rows[:200]
pairs = [input_and_answer(row) for row in sample]
chosen = best.prompt
answers = generate(model, tokenizer, [chosen.messages(text) for text, _ in pairs])
test_scores = score_records(answers.texts, [right for _, right in pairs]).summary()
print(f"{chosen.name}: validation {best.field_accuracy}, test {test_scores['field_accuracy']}")

# %%
from ftlab.evaluation import Bars

bars = Bars(min_gain=0.05, max_probe_loss=0.02)
print(f"best prompt:      {test_scores['field_accuracy']}")
print(f"a fine-tune must reach at least {test_scores['field_accuracy'].value + bars.min_gain:.1%} on the same tickets,")
print(f"with an interval of the gain above 0, and lose no more than {bars.max_probe_loss:.0%} of its general skills.")

# %% [markdown]
# Write the bar down now. After you have seen the result, every bar looks too high or too low.
#
# ## What is known about large models
#
# `nano` follows instructions only a little; a 4B chat model follows them well, and a frontier model better still, so the
# prompt's share of the way is larger there. Two things carry over: wordings and drawn examples scatter the result on
# large models as well, and a choice made on the test set flatters the choice. Run these cells with your own `MODEL`
# before you believe either of us.
#
# ## What you have seen
#
# - A baseline is measured with the same metric on the same tickets as the model you will train.
# - Choose prompts on validation, report on test, and look at the intervals.
# - The bar: the best prompt plus a margin worth the work, fixed before training.
#
# **Read next:** [06 Train with Unsloth](06_train_with_unsloth.ipynb).
