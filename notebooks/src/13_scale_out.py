# ---
# ftlab:
#   reads: [recipes/launch/*, data/support_triage/*.jsonl, data/replay/*.jsonl, data/trainers/*.txt, data/recorded/datatrove/results.json, data/hardware/*.csv, data/models/nano/*.json, data/models/nano/*.jinja, data/models/nano/model.safetensors]
#   headline: losses of one process, of two, and of two that share the weights
# ---

# %% [markdown]
# # Scale out
#
# **Question:** how does the same recipe run on several GPUs or machines?
# **Minutes:** 18 to read, 2 to run. **Hardware:** any; two CPU cores stand in for two GPUs.
#
# You start one training script as one process, as two, and as two that divide the weights between them, and compare the
# [losses](GLOSSARY.md#loss). What makes them agree is a setting that you should know. Then come the files that start the same
# script on machines that you rent, the recipe in the form that three other tools read, and what changes when the model has
# 70 billion [parameters](GLOSSARY.md#parameter).
#
# Nothing here needs a GPU, and also where there is one the processes run on the CPU: they talk through *gloo*, where GPUs use *NCCL*.
# The mechanism is the same, and how fast it is cannot be seen here.

# %% [markdown]
# ## Several processes
#
# On one GPU works one process. Several GPUs are several processes of the *same* script, and each is told its number, its
# [rank](GLOSSARY.md#rank-of-a-process), by the program that starts them. Here is a script that only asks:

# %%
import os
import subprocess
import sys
from pathlib import Path

import ftlab

LAUNCH = Path("../recipes/launch")  # the scripts and files of this notebook
OUT = ftlab.home() / "13_scale_out"
OUT.mkdir(parents=True, exist_ok=True)


def shell(line, **variables):
    """Run one line as a terminal would, with some environment variables; what it printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""} | variables
    done = subprocess.run(line, shell=True, env=variables, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{line}\n{done.stderr[-3000:]}")
    return done.stdout


print((LAUNCH / "who.py").read_text())

# %%
print(shell(f"torchrun --standalone --nproc_per_node 2 {LAUNCH}/who.py"))

# %% [markdown]
# Two processes, two numbers, and after `all_reduce` both know the mean. That one operation is all that
# [data parallel](GLOSSARY.md#data-parallel) training adds: each process computes the
# [gradient](GLOSSARY.md#gradient) of its own rows, they take the mean, and each makes the same step. (Larger models are also cut up
# in other ways: *tensor* parallel divides each matrix, *pipeline* parallel the layers, *sequence* or *context* parallel the tokens of one
# long row. A fine-tune rarely needs them.)
#
# With several machines, `torchrun` starts on each of them and they meet at an address. Two launchers on this machine play
# two machines:

# %%
import socket
from concurrent.futures import ThreadPoolExecutor

with socket.socket() as free:
    free.bind(("localhost", 0))
    port = free.getsockname()[1]
meet = f"--nnodes 2 --nproc_per_node 1 --rdzv_id lab --rdzv_backend c10d --rdzv_endpoint localhost:{port}"
with ThreadPoolExecutor() as machines:
    print(*machines.map(shell, [f"torchrun {meet} {LAUNCH}/who.py"] * 2), sep="")

# %% [markdown]
# The same line on both, and the second found the first. There is another launcher that you will meet, `accelerate launch`.
# Ask it for two processes on a CPU:

# %%
print(shell(f"accelerate launch --cpu --num_processes 2 {LAUNCH}/who.py"))

# %% [markdown]
# One process, without a word about the other. (It wants MPI for more on a CPU.) A launch that silently does less than you
# asked for still trains, and its loss looks well: so let the script say how many it is, and read that line.

# %% [markdown]
# ## The script
#
# This is the training of [06](06_train_with_unsloth.ipynb) as a file: `nano`, [LoRA](GLOSSARY.md#lora), tickets with
# everyday chats mixed in. There is nothing about processes in it but the last lines, where one of them writes.

# %%
print((LAUNCH / "train.py").read_text())

# %% [markdown]
# ## One process, two, and two that share
#
# Ten steps of 16 rows, four times: one process with a [batch](GLOSSARY.md#batch) of 16; one with two batches of 8 added up
# ([gradient accumulation](GLOSSARY.md#gradient-accumulation)); two processes with 8 each; and two that also divide the
# weights, by [FSDP](GLOSSARY.md#fsdp), which Unsloth does when `UNSLOTH_FSDP2=1` is set.

# %%
import json
import time

(OUT / "losses.jsonl").unlink(missing_ok=True)
LAUNCHES = [
    (f"python {LAUNCH}/train.py 16x1 8x2 --out {OUT}", {}),
    (f"torchrun --standalone --nproc_per_node 2 {LAUNCH}/train.py 8x1 8x1:own-mean --out {OUT}", {}),
    (f"torchrun --standalone --nproc_per_node 2 {LAUNCH}/train.py 8x1 --out {OUT}", {"UNSLOTH_FSDP2": "1"}),
]
for line, variables in LAUNCHES:
    start = time.perf_counter()
    said = shell(line, **variables)
    print(f"{time.perf_counter() - start:4.0f} s  {' '.join(f'{k}={v}' for k, v in variables.items())} {line.split(' --out')[0]}")
    print("       ", ", ".join(sorted(text for text in said.splitlines() if text.startswith("process "))))

# %% [markdown]
# The first two lines hold two trainings each. Under each line stands what the script says of itself, the line to look for. The table,
# training by training:

# %%
import pandas as pd

results = [json.loads(line) for line in open(OUT / "losses.jsonl")]
own_mean = next(result for result in results if result["setting"].endswith("own-mean"))
same = [result for result in results if result is not own_mean]
one = same[0]["losses"]


def apart(result):
    """The largest difference to one process, over the ten steps."""
    return max(abs(a - b) for a, b in zip(one, result["losses"], strict=True))


def named(result):
    processes = f"{result['processes']} process{'es' if result['processes'] > 1 else ''}"
    return f"{processes}, {result['setting']}{', sharded' if result['sharded'] else ''}"


def size(result):
    """The size of the trained adapter; where it is divided, no process has all of it."""
    return f"{result['adapter']:.6f}" if result["adapter"] else ""


pd.DataFrame(
    [
        [*(f"{result['losses'][step - 1]:.6f}" for step in (1, 2, 5, 10)), f"{apart(result):.0e}", f"{result['numbers_here']:,}"]
        for result in same
    ],
    index=[named(result) for result in same],
    columns=["step 1", "step 2", "step 5", "step 10", "most apart", "numbers in each process"],
)

# %% tags=["headline"]
assert all(apart(result) < 1e-4 for result in same)
print("all the same to the fourth decimal, in every step")

# %% [markdown]
# The same training. What is left is rounding: a number in 32 bits has about seven digits, and a sum in another order ends
# in another last digit. Such differences start below a millionth and may grow in longer runs, since each step begins where the one
# before ended; with fewer bits, or a base in four, they are larger. The bound of 0.0001 leaves room for that on other machines, and is far
# below what a real difference makes, as you will see.
#
# Four things must be the same for that, and the script sees to them: the start of the [adapter](GLOSSARY.md#adapter)
# (`random_state`), the order of the rows (`seed`: every process shuffles alike and takes every second batch), the number of
# rows in a step, and no dropout. The learning rate stays, because the step stays.
#
# **Exercise (level 2).** How many rows are in a step? Write `rows_a_step(batch, accumulation, processes)`. If you go from one GPU to
# eight and change nothing else, it is eight times as many, with an eighth of the steps: that is another training.

# %% tags=["exercise"]
def rows_a_step(batch, accumulation, processes):
    # solution
    return batch * accumulation * processes
    # end solution


# %%
from ftlab.exercises.scale import check_rows_a_step

check_rows_a_step(rows_a_step)

# %% [markdown]
# ## The mean of what?
#
# There was a fifth thing. The loss is a mean over the [tokens](GLOSSARY.md#token) of the answers. A ticket's record has
# dozens of them and the answer to an everyday question one or two, so two processes rarely hold the same number. Let each
# divide by its own count, as it would if it knew nothing of the other:

# %%
import torch

losses = [torch.tensor([3.0, 3.0, 3.0]), torch.full((9,), 1 / 3)]  # of the tokens in two processes: 3 hard, 9 easy
print(f"mean of all 12 tokens:  {torch.cat(losses).mean():.3f}")
print(f"mean of the two means:  {torch.stack([each.mean() for each in losses]).mean():.3f}")

# %%
pd.DataFrame(
    [
        [f"{result['losses'][step - 1]:.4f}" for step in (1, 2, 5, 10)] + [f"{apart(result):.0e}", size(result)]
        for result in (same[0], same[2], own_mean)
    ],
    index=[named(same[0]), named(same[2]), named(own_mean)],
    columns=["step 1", "step 2", "step 5", "step 10", "most apart", "size of the adapter"],
)

# %% [markdown]
# The last line differs from the first step on, by far more than rounding does. At step 1 only the yardstick differs, for the weights are
# still the same; that the trainings part is seen in the last column. It is no error that you would see in a curve: the training works,
# and weighs a token higher in the process whose rows have fewer of them. What prevents it is `average_tokens_across_devices=True`, by
# which the trainer adds up the counts of all processes and divides by that. It is the default today; older versions had it off, and for
# gradient accumulation the same fault stood in the trainers for years (corrected in October 2024). A loop of your own has to do it by
# hand: each process calls `backward` on its sum, divided by the count of all, times the number of processes, since DDP takes the mean
# afterwards.
#
# **Exercise (level 2).** Do it by hand: `loss_of_all(sums, counts)` gets the summed loss and the number of tokens of each process.

# %% tags=["exercise"]
def loss_of_all(sums, counts):
    # solution
    return sum(sums) / sum(counts)
    # end solution


# %%
from ftlab.exercises.scale import check_loss_of_all

check_loss_of_all(loss_of_all)

# %% [markdown]
# ## Copies or shares?
#
# Look at the last column of the table of losses. Data parallel (DDP): each process holds the whole model, so that a second
# GPU makes the training faster and nothing smaller. With FSDP each holds half of the numbers; before a layer computes, the
# processes gather it, and forget it again afterwards. That costs traffic in every layer, and is for models that do not
# fit otherwise. As long as the model fits one card, take DDP. (On a GPU Unsloth looks whether it does: if so, the frozen
# weights stay whole in each process, and only what is trained is divided.)
#
# Not everything shrinks. How much a GPU needs is shown for a model of 70 billion parameters: its sizes are public, and
# `estimate_memory` returns the parts. Weights, gradients and [optimizer](GLOSSARY.md#optimizer) state are divided;
# [activations](GLOSSARY.md#activation) belong to a process's own rows; while a layer computes, all of it is there, with
# the next one on its way; and the table of tokens and the head are gathered for the whole step.

# %%
from transformers import LlamaConfig

from ftlab.costs.architecture import find_architecture
from ftlab.costs.cards import find_gpu
from ftlab.costs.memory import CLOSE, FITS, TOO_LARGE, estimate_memory, room

llama_70b = LlamaConfig(
    hidden_size=8192, num_hidden_layers=80, num_attention_heads=64, num_key_value_heads=8,
    intermediate_size=28672, vocab_size=128256, name_or_path="llama-3.3-70b",
)  # fmt: skip
DIVIDED = ("weights", "copy of the head", "adapter", "gradients", "optimizer")
sizes = find_architecture(llama_70b)


def gib_a_gpu(method, optimizer, width, gpus):
    memory = estimate_memory(llama_70b, method, batch=1, length=2048, optimizer=optimizer, trainable_bytes=width)
    divided = sum(memory.parts[part] for part in DIVIDED)
    layer = memory.parts["weights"] * sizes.linear_parameters / sizes.parameters / sizes.num_hidden_layers
    ends = 2 * 2 * sizes.embedding_parameters / 2**30  # embedding and head, two bytes a number
    gathered = 2 * layer + ends if gpus > 1 else 0
    return divided / gpus + gathered + memory.device_gib - divided


card = find_gpu("H100")
VERDICTS = {FITS: " fits", CLOSE: " close", TOO_LARGE: ""}
rows = {}
for name, *settings in (
    ("full, weights and Adam in 32 bits", "full", "adamw_torch", 4),
    ("full, all in 16 bits", "full", "adamw_torch", 2),
    ("full in 16 bits, 8-bit Adam", "full", "adamw_8bit", 2),
    ("LoRA", "lora", "adamw_8bit", 4),
    ("QLoRA", "qlora", "adamw_8bit", 4),
):
    needed = {gpus: gib_a_gpu(*settings, gpus) for gpus in (1, 2, 4, 8, 16)}
    rows[name] = [f"{gib:,.0f}{VERDICTS[room(gib, card)]}" for gib in needed.values()]
print(f"GiB a GPU, {sizes.parameters / 1e9:.1f} billion parameters, 1 row of 2,048 tokens each; {card.name}: {card.usable_gib:.0f} GiB")
pd.DataFrame.from_dict(rows, orient="index", columns=["1 GPU", "2", "4", "8", "16"])

# %% [markdown]
# An estimate, counted and not measured here ("close": it fits by less than such estimates are known to be off). QLoRA puts a 70B
# model on one large card, and a second card may hold a second copy. LoRA in 16 bits has to be shared. Full fine-tuning fills a
# machine of eight with one short row each. With the weights and Adam's numbers kept in 32 bits and the computing done in 16, the
# careful and usual way, not even two such machines are enough.
#
# What else changes at that size:
#
# - Loading takes minutes and must not happen eight times. With `UNSLOTH_FSDP2_SHARDED_LOAD=1` beside `UNSLOTH_FSDP2=1` and a base in 16
#   bits, each process reads its share; in four bits each still loads the whole model first, which must fit one card.
# - A [checkpoint](GLOSSARY.md#checkpoint) of a full fine-tuning is hundreds of gigabytes and is written in shards
#   (`SHARDED_STATE_DICT`; for an adapter `FULL_STATE_DICT` is right), so save seldom and to a disk that all machines see. And put no
#   saving under `is_world_process_zero`: with shares the others would wait for ever. A run that hangs says where with
#   `TORCH_DISTRIBUTED_DEBUG=DETAIL` and `NCCL_DEBUG=INFO`.
# - GPUs of one machine are joined by fast links, machines by slower ones. Sharing the weights within a machine and copying them between
#   machines is called *hybrid* sharding (HSDP); the files below share over all, the simpler way.
# - One failing GPU stops all of them, so the resume of 06 becomes routine: `--save-every` and `--resume` above.
# - Does it pay? Compare tokens a second *for each GPU*, with one and with eight. What is missing of eight times is traffic, or waiting for
#   the longest batch.

# %% [markdown]
# ## The files that start it
#
# On one machine with eight GPUs, `torchrun --standalone --nproc_per_node 8 recipes/launch/train.py 2x1` is all, with
# `UNSLOTH_FSDP2=1` before it to share. For several machines, the line that you tried above:

# %%
print((LAUNCH / "nodes.sh").read_text())
print(shell(f"sh -n {LAUNCH}/nodes.sh && bash -n {LAUNCH}/slurm.sbatch && echo both scripts can be read by the shell"))
print((LAUNCH / "slurm.sbatch").read_text())

# %% [markdown]
# On a cluster with Slurm, `sbatch` waits for two machines and starts that line on each. Where you rent machines, SkyPilot
# finds, starts and prepares them; its file wraps the line as well (and was read by SkyPilot's own code, as
# [DECISIONS.md](../DECISIONS.md) tells):

# %%
print((LAUNCH / "skypilot.yaml").read_text())

# %% [markdown]
# If your team launches with `accelerate`, its FSDP is this file. (With it, accelerate divides the model instead of Unsloth;
# on a CPU it refuses.) Its own reader says what it understands:

# %%
from accelerate.commands.config.config_args import load_config_from_file

read = load_config_from_file(str(LAUNCH / "accelerate_fsdp2.yaml"))
print(f"{read.distributed_type.value} version {read.fsdp_config['fsdp_version']}, {read.num_processes} processes, {read.mixed_precision}")
print((LAUNCH / "accelerate_fsdp2.yaml").read_text())

# %% [markdown]
# DeepSpeed's ZeRO-3 is the same idea, older and with more ways to move numbers to host memory. It is a JSON file, named in
# the trainer (`SFTConfig(deepspeed="deepspeed_zero3.json")`); `auto` means what the trainer says. Make the `SFTConfig` *before*
# `from_pretrained`, or each process loads the whole model first. The file is only read here, and was not run. It and `UNSLOTH_FSDP2`
# exclude each other: Unsloth stops with an error that says so.

# %%
from accelerate.utils.deepspeed import HfDeepSpeedConfig

read = HfDeepSpeedConfig(LAUNCH / "deepspeed_zero3.json")
print(f"ZeRO stage 3: {read.is_zero3()}; something in host memory: {read.is_offload()}")
print((LAUNCH / "deepspeed_zero3.json").read_text())

# %% [markdown]
# And where a scheduler hands out machines to many people's jobs, starts again what failed, or runs a search over settings,
# the engine is **Ray Train**. It starts the processes that `torchrun` would, and the script does not notice. Ray is not
# installed for the course. The file below was run once with Ray 2.60 and two processes of 8 rows
# (`python recipes/launch/ray_train.py 2 --cpu`): its ten losses were those of one process, in all four digits.

# %%
print((LAUNCH / "ray_train.py").read_text())

# %% [markdown]
# ## The same recipe in another tool
#
# You may have to hand your recipe to a team that uses another trainer. `ftlab export` takes a recipe as it takes a file: it
# writes the rows that a run would train on, with the replay mixed in, and a YAML with the settings under the tool's names.

# %%
import yaml

recipe = {
    "name": "elsewhere",
    "model": "unsloth/Qwen3-4B-Instruct-2507",
    "data": {
        "train": "data/support_triage/train.jsonl",
        "train_rows": 300,
        "replay": "data/replay/everyday.jsonl",
        "replay_rows": 150,
        "validation": "data/support_triage/validation.jsonl",
        "test": "data/support_triage/test.jsonl",
    },
    "training": {"method": "qlora", "num_train_epochs": 3, "max_length": 512},
}
(OUT / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))

from ftlab.training.elsewhere import export_recipe

for tool in ("axolotl", "llama_factory", "trl"):
    report = export_recipe(OUT / "recipe.yaml", tool, OUT / tool, force=True)
    print(f"{tool}: {report.rows} rows, {report.validation_rows} to validate;", *(path.name for path in report.files))
    print(*(f"  - {warning}" for warning in report.warnings), sep="\n")

# %% [markdown]
# (In a terminal: `ftlab export recipe.yaml --to axolotl --out FOLDER`. TRL's command reads no validation file; it is there for a script
# of yours.) The last remark on each is what no file can carry: which prompt it has to beat and what counts as good enough. Whoever trains
# elsewhere still judges here.

# %%
print((OUT / "axolotl" / "axolotl.yaml").read_text())
print((OUT / "llama_factory" / "llama_factory.yaml").read_text())

# %% [markdown]
# Are those the right names? Axolotl ignores a key that it does not know, so that a misspelt learning rate trains with
# the default. Its own code was asked for the names that it has, and so was LLaMA-Factory's:

# %%
for tool in ("axolotl", "llama_factory"):
    head, *known = Path(f"../data/trainers/{tool}_keys.txt").read_text().splitlines()
    written = yaml.safe_load((OUT / tool / f"{tool}.yaml").read_text())
    unknown = set(written) - set(known)
    print(f"{tool}: {len(written)} keys written, {len(unknown)} unknown among the {len(known)} of the tool")
    assert not unknown

# %% [markdown]
# Beside these lists the tests of this repository let both tools' own readers read the files where they are installed; they
# pin other versions than the course. TRL is installed here, so its command line's parser can read its file at once:

# %%
from trl import DatasetMixtureConfig, ModelConfig, ScriptArguments, SFTConfig, TrlParser

parser = TrlParser((ScriptArguments, SFTConfig, ModelConfig, DatasetMixtureConfig))
here = ["--use_cpu", "true", "--bf16", "false"]  # TRL's default is bf16, which not every machine has
_, training, model, mixture = parser.parse_args_and_config(["--config", str(OUT / "trl" / "trl.yaml"), *here])
print(f"{model.model_name_or_path}: LoRA of rank {model.lora_r}, base in 4 bits: {model.load_in_4bit}")
print(f"learning rate {training.learning_rate}, {training.num_train_epochs:g} epochs, {training.per_device_train_batch_size} x {training.gradient_accumulation_steps} rows")
print(f"data: {mixture.datasets[0].data_files}, loss on the answer alone: {training.completion_only_loss}")

# %% [markdown]
# On a GPU, `trl sft --config trl.yaml` in that folder trains it, and `--accelerate_config` takes the file from above.
# (`bnb_4bit_quant_storage: bfloat16` is there for that: packed numbers stored as bytes are not divided by accelerate.) Axolotl
# shares a model with `fsdp_version: 2` and an `fsdp_config`, and hands itself to Ray with `use_ray: true`; LLaMA-Factory
# starts several processes with `FORCE_TORCHRUN=1`. Those lines are about machines, not about the recipe, and are yours to
# add.

# %% [markdown]
# ## When the data outgrows one machine
#
# A fine-tuning set fits any laptop. If yours is cut from millions of documents, their near
# [duplicates](04_prepare_data.ipynb) are the first thing that no single process finds in time. `datatrove` does it in four
# stages that share only files: signatures of each part, matches in each bucket, clusters, and the filter. (*MinHash*: a text is cut into
# overlapping pieces, *shingles*, here words and pairs of words; these become a short signature, and texts whose signatures agree in a
# part fall into one bucket.) Here it ran on its local executor over the help desk's export, beside `ftlab`, with the same shingles:

# %%
record = json.load(open("../data/recorded/datatrove/results.json"))
print(f"{record['rows']:,} rows; {record['command']}, {record['date']}, datatrove {record['versions']['datatrove']}")
took = record["seconds"].items()
print("seconds:", ", ".join(f"{'ftlab' if name == 'ftlab' else 'datatrove, ' + name.replace('_', ' ')} {seconds:.0f}" for name, seconds in took))
lines = {"ftlab": record["ftlab"]} | {f"datatrove, {name.replace('_', ' ')}": found for name, found in record["datatrove"].items()}
pd.DataFrame.from_dict(lines, orient="index").astype("Int64").astype(object).where(lambda table: table.notna(), "")

# %% [markdown]
# With the same shingles it misses none of our pairs and finds more, and each of those is below the threshold: MinHash makes
# candidates, and `datatrove` takes them as found, where `ftlab` compares each pair exactly. So the findings are the same once
# they are checked, and unchecked they would cost rows that only look alike. With its usual shingles, five words in a row,
# short texts lose pairs that differ in one word.
#
# On a cluster, `SlurmPipelineExecutor` or `RayPipelineExecutor` takes the place of `LocalPipelineExecutor`, with the same
# steps and as many tasks as you have parts. For a file on one machine it is the slower way, as the seconds say: what it buys is that
# no process needs to hold all of it.

# %% [markdown]
# ## What you have seen
#
# - Several GPUs are several processes of one script. `torchrun` starts them, on one machine or on many.
# - The same rows in a step give the same loss, with one process, with two, and with two that share the weights.
# - That holds because the loss is divided by the tokens of all processes. A mean of means is another training.
# - Copies (DDP) for speed, shares (FSDP, ZeRO-3) for models that do not fit. Neither divides activations.
# - A launch file is a wrapper around the same line; a recipe carries over to other trainers, and its bars stay with you.

# %% [markdown]
# ## What would you do?
#
# Decide first, then open the answer.
#
# **1.** You moved from one GPU to eight and changed nothing else. The run has an eighth of the steps and ends worse. What
# do you set?
#
# <details><summary>One answer</summary>
#
# The rows in a step: an eighth of the batch on each GPU, or less accumulation. If you want larger steps, that is another
# training, with a learning rate to search.
#
# </details>
#
# **2.** The same launch line took as long on eight GPUs as on one. What is the first line of the log that you look for?
#
# <details><summary>One answer</summary>
#
# The one in which the script says how many processes it is. A launcher that starts one of eight still trains, and nothing
# else tells you.
#
# </details>
#
# **3.** An 8B model with QLoRA fits one of your four cards, and a colleague sets up FSDP. What do you say?
#
# <details><summary>One answer</summary>
#
# Copies (DDP) are simpler and faster as long as the model fits. Shares are for models that do not fit.
#
# </details>
#
# **Read next:** [10 Count the cost](10_count_the_cost.ipynb), for what those machines cost.
