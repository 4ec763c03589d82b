"""Before a run: does its training fit, does its evaluation, how long does it take, and is there room on the disk?"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ftlab import hardware
from ftlab.costs.architecture import GIB, find_architecture
from ftlab.costs.cards import CONTEXT_GIB, Gpu, find_gpu
from ftlab.costs.memory import CLOSE, FITS, LIBRARIES_GIB, TOO_LARGE, Memory, estimate_memory, room
from ftlab.costs.time import calibrate, duration, estimate_time, flops_per_token, padded_tokens
from ftlab.errors import ModelError, RecipeError
from ftlab.tables import html_table

# how far the minutes may be off that follow from a layer of `smol`, timed for a second on this CPU
CPU_BAND = (0.5, 2.0)
COUNTED = 3e8  # parameters: a smaller model keeps no GPU busy, and its arithmetic says nothing about its minutes
SMOL = "smollm2-135m"  # its name in the catalogue


@dataclass(frozen=True, repr=False)
class Preflight:
    """Rows of (what, needed, there is, verdict) for the machine at hand and perhaps for a card by name."""

    title: str
    rows: list[tuple[str, str, str, str]]
    memory: Memory | None  # of training on the card; None where there is none

    @property
    def fits(self) -> bool:
        """Whether nothing is too small."""
        return not any(verdict.startswith(TOO_LARGE) for *_, verdict in self.rows)

    def __repr__(self):
        return "\n".join([self.title, *(f"{w:<48}{n:>18}{t:>12}  {v}".rstrip() for w, n, t, v in self.rows)])

    def _repr_html_(self):
        return html_table([("", "needed", "there is", ""), *self.rows], self.title)


def will_it_fit(
    model: str,
    lengths: Sequence[int],
    *,
    batch: int,
    epochs: float,
    rank: int = 16,
    save_total_limit: int = 2,
    folder: str | Path = ".",
    gpu: str | None = None,
) -> Preflight:
    """What a LoRA run on rows of `lengths` tokens needs, beside what there is; estimates, made before it begins.

    On a machine with a GPU it is QLoRA on that GPU. Without one it is LoRA on the CPU, and QLoRA on the card `gpu`
    where one is named. `folder` is where checkpoints go. ModelError for a model that cannot be counted, RecipeError for
    a card that is not known.
    """
    architecture = find_architecture(SMOL if model == "smol" else model)
    here, longest, tokens = card_here(), max(lengths), round(padded_tokens(lengths, batch))
    run = {"batch": batch, "rank": rank}
    passes = run | {"tokens": tokens, "length": max(1, round(tokens / len(lengths))), "epochs": epochs}
    rows, memory, card = [], None, here or (find_gpu(gpu) if gpu else None)
    if here is None:
        rows += _on_the_cpu(architecture, model, longest, run, passes)
    if card is not None:
        memory = estimate_memory(architecture, "qlora", length=longest, gpu=card, **run)
        rows += _on_the_card(memory, card)
        rows.append(_without_checkpointing(architecture, longest, run, card))
        if card.tflops and architecture.parameters > COUNTED:
            time = estimate_time(architecture, "qlora", gpu=card, **passes)
            rows.append((f"training: time on the {card.name}", duration(time.low_hours, time.high_hours), "", ""))
    saved = 4 * architecture.lora_parameters(rank) * (3 * (save_total_limit + 1) + 1)  # weights, two moments; one more
    rows.append(_room("checkpoints: disk", saved / GIB, shutil.disk_usage(folder).free / GIB))
    title = f"{model}: {len(lengths)} rows of at most {longest} tokens, {batch} at a time, {epochs:g} epochs; estimated"
    return Preflight(title, rows, memory)


def wants_checkpointing(model: str, method: str, *, longest: int, batch: int, rank: int = 16) -> bool:
    """Whether this machine's GPU is too small to train without gradient checkpointing, which costs time.

    False without a GPU; True for a model that cannot be counted, and where it would fit only closely.
    """
    if (card := card_here()) is None:
        return False
    try:
        architecture = find_architecture(SMOL if model == "smol" else model)
        run = {"batch": batch, "rank": rank, "length": longest, "gpu": card, "checkpointing": "off"}
        return estimate_memory(architecture, method, **run).verdict != FITS
    except ModelError:
        return True


def card_here() -> Gpu | None:
    """The GPU of this machine with the memory that it reports; one that the table lacks has no speed."""
    name, usable = hardware.gpu_here()
    if name is None:
        return None
    try:
        return replace(find_gpu(name), usable_gib=usable)
    except RecipeError:
        return Gpu(name, usable, usable, CONTEXT_GIB, tflops=0, bandwidth_gbs=0, watts=0, utilisation=None)


def _on_the_cpu(architecture, model, longest, run, passes):
    """Memory and time without a GPU: no 4-bit weights, no checkpointing, numbers as wide as the CPU computes."""
    import psutil

    precision = hardware.precision(model)
    plain = {"checkpointing": "off", "optimizer": "adamw_torch", "length": longest} | run
    width = 2 if precision == "fp32" else 1  # what is counted in 16 bits
    free = psutil.virtual_memory().available / GIB
    for what, mode in (("training", "train"), ("evaluation, same batch", "eval")):
        needed = LIBRARIES_GIB + width * estimate_memory(architecture, "lora", mode=mode, **plain).total_gib
        yield _room(f"{what}: memory of this computer", needed, free)
    seconds = 4 * 120 / hardware.smol_tokens_per_second(precision)
    low, high = CPU_BAND
    speed = replace(calibrate(seconds, SMOL, batch=4, length=120, checkpointing="off"), low=low, high=high)
    time = estimate_time(architecture, "lora", calibration=speed, checkpointing="off", **passes)
    yield "training: time on this computer", duration(time.low_hours, time.high_hours), "", ""


def _on_the_card(memory: Memory, card: Gpu):
    """Memory on a card; what fits only within the estimate's known error says so, with a setting that is surer."""
    training, (batch, evaluation) = room(memory.device_gib, card), memory.evaluation[0]
    if training == CLOSE:
        training += "; halve the batch, or try one step on the longest rows" if batch > 1 else "; try one step first"
    yield _room(f"training: memory of the {card.name}", memory.device_gib, card.usable_gib, training)
    verdict = room(evaluation, card)
    surer = next((size for size, gib in memory.evaluation if room(gib, card) == FITS), memory.evaluation_batch)
    if verdict != FITS and 0 < surer < batch:
        verdict += f"; per_device_eval_batch_size={surer} {'does' if verdict == TOO_LARGE else 'is surer'}"
    yield _room(f"evaluation, same batch: memory of the {card.name}", evaluation, card.usable_gib, verdict)


def _without_checkpointing(architecture, longest, run, card):
    """The memory of the same training with all activations kept, and what time that saves."""
    off = estimate_memory(architecture, "qlora", length=longest, gpu=card, checkpointing="off", **run)
    kept, again = (flops_per_token(architecture, "qlora", longest, run["rank"], how) for how in ("off", "unsloth"))
    saved = f"{1 - kept / again:.0%} less to compute: use_gradient_checkpointing=False"
    verdict = f"{FITS}; {saved}" if room(off.device_gib, card) == FITS else "too large, or close: keep checkpointing"
    return _room("the same without gradient checkpointing", off.device_gib, card.usable_gib, verdict)


def _room(what, needed, there_is, verdict=None):
    verdict = verdict or (FITS if needed <= there_is else TOO_LARGE)
    return what, f"{needed:.2f} GiB", f"{there_is:.1f} GiB", verdict
