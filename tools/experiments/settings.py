"""What the settings of a fine-tune do to `smol`: loss and answers, by learning rate, rank, layers, method and epochs.

300 tickets x 3 epochs (106,000 tokens) a point, one setting changed at a time; 100 validation and 200 test tickets and
the everyday questions are answered. Five points are those of the experiment `forgetting`, which is recorded first;
the other trainings are made here, `epochs_8` the longest: two hours on one core that multiplies in bf16 and has nothing
else to do. QLoRA reads its 4-bit weights slowly on a CPU, so it has one point. Where a setting is chosen, validation
chooses; full training has two learning rates, as its best is far below that of an adapter, and tells how many singular
values its change needs. `nf4` trains nothing: it packs the untrained base into four bits, and the base under the
adapter of the experiment `triage`, and asks again.
"""

from functools import partial

import bitsandbytes.functional as bnb
import torch
from experiments import triage
from experiments._common import ROWS, answer_probe, asked_tickets, fine_tune, recipe_with, tickets
from experiments._common import publish as write
from record import WORK, Point, adapter_of

import ftlab.run as runs
from ftlab.training.train import load_model

FOLDER = WORK / "settings"
# what `forgetting` has trained already, under the name of the setting
SHARED = {"usual_bf16": "replay_0", "rate_5e-4": "rate_5e-4", "rate_2e-3": "rate_2e-3", "r_4": "r_4", "r_64": "r_64"}
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
TRAINED = {
    "usual": {},  # as `usual_bf16`, on a machine without bf16, as most of the others here
    "r_64_alpha_32": {"r": 64, "lora_alpha": 32},  # more directions alone: r_64 has a larger alpha, too
    "rate_2e-4": {"learning_rate": 2e-4},
    "rate_4e-3": {"learning_rate": 4e-3},
    "attention_only": {"target_modules": ATTENTION},
    "full_2e-5": {"method": "full", "learning_rate": 2e-5},
    "full_2e-4": {"method": "full", "learning_rate": 2e-4},
    "qlora": {"method": "qlora"},
    "epochs_1": {"num_train_epochs": 1},
    "epochs_8": {"num_train_epochs": 8},
}
RANKS = (1, 4, 16, 64)


def train(folder, changes: dict) -> dict:
    look = of_the_change if changes.get("method") == "full" else None
    return fine_tune(folder, tickets().train.rows[:ROWS], look, **changes)


def linears(model) -> dict[str, torch.nn.Linear]:
    """The linear layers that an adapter changes, by name; beside an adapter they are called base_layer."""
    wanted = recipe_with().training.target_modules
    found = {name.removesuffix(".base_layer"): layer for name, layer in model.named_modules()
             if isinstance(layer, torch.nn.Linear)}  # fmt: skip
    return {name: layer for name, layer in found.items() if name.rpartition(".")[2] in wanted}


def of_the_change(tuned) -> dict:
    """By kind of matrix, on average: how far it moved, and what share its largest singular values hold."""
    start = linears(load_model(recipe_with())[0])
    found = {}
    for name, layer in linears(tuned).items():
        before = start[name].weight.detach().float()
        change = layer.weight.detach().float() - before
        squares = torch.linalg.svdvals(change).square()
        held = (squares.cumsum(0) / squares.sum())[[rank - 1 for rank in RANKS]]
        moved = (change.norm() / before.norm())[None]
        found.setdefault(name.rpartition(".")[2], []).append(torch.cat([moved, held]))
    means = {kind: torch.stack(layers).mean(0).tolist() for kind, layers in found.items()}
    return {"change": {kind: {"moved": moved, "held": dict(zip(RANKS, held, strict=True))}
                       for kind, (moved, *held) in means.items()}}  # fmt: skip


def in_four_bits(model) -> None:
    """Every linear layer's weights packed into NF4 and unpacked: what QLoRA multiplies with."""
    for layer in linears(model).values():
        packed, state = bnb.quantize_4bit(layer.weight.data, blocksize=64, quant_type="nf4", compress_statistics=True)
        layer.weight.data = bnb.dequantize_4bit(packed, state).to(layer.weight.dtype)


def nf4(folder) -> dict:
    """Answers of the untrained model and of the contest's first training, with the base in four bits."""
    model, tokenizer = load_model(recipe_with())
    in_four_bits(model)
    results = {"probe": answer_probe(folder, model, tokenizer)}
    recipe = triage.the_recipe(rate=triage.best_rate())
    tuned, tokenizer = load_model(recipe, adapter_of(triage.FOLDER / f"seed_{triage.SEEDS[0]}"))
    in_four_bits(tuned.get_base_model())
    ask = partial(runs.ask, tuned, tokenizer, runs.asking(recipe))
    return results | triage.answer(folder, "fine_tuned", asked_tickets(), ask, tickets().schema)


def points() -> list[Point]:
    return [Point("nf4", nf4), *(Point(name, partial(train, changes=changes)) for name, changes in TRAINED.items())]


def publish() -> None:
    """Write data/recorded/settings/results.json."""
    folders = {name: WORK / "forgetting" / other for name, other in SHARED.items()}
    write("settings", folders | {point.name: FOLDER / point.name for point in points()}, {"from_forgetting": SHARED})
