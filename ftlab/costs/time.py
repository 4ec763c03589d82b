"""How long will it take? Arithmetic of a training run divided by what a card, or a measured step, delivers.

A GPU reaches only a share of its peak, and that share differs by card, kernels and row length: every answer is a
band. One measured step on your own machine (`calibrate`) narrows it more than any table can.
"""

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ftlab.costs.architecture import Architecture, find_architecture, known_models
from ftlab.costs.arguments import check_choice, check_positive, check_whole
from ftlab.costs.cards import Gpu, find_gpu
from ftlab.costs.memory import CHECKPOINTING, CLOSE, FITS, METHODS, NF4, OFF, TOO_LARGE, estimate_memory
from ftlab.errors import DataError, RecipeError
from ftlab.tables import html_table

# Share of the peak reached, on the operations really done (recomputation included), where gpus.csv has none of
# its own: measured runs of others reach 0.2 (T4, short rows) to 0.51 (A100, Unsloth).
UTILISATION = 0.4
# Factors on the time. Of a card that nobody measured; of one with a measured run, wide enough for the rows of
# data/recorded/memory_rows.csv with fused kernels (plain transformers take about 1.6); after a step of your own.
UNMEASURED_BAND = (0.6, 2.0)
MEASURED_BAND = (0.68, 1.4)
CALIBRATED_BAND = (0.8, 1.25)
# What a small model on a CPU spends beside its plain arithmetic, in operations that take as long: for each number that
# the forward pass keeps (written, read again, its gradient), for each operation of attention (slower than those of
# the large matrices), and for each trained parameter at an update of AdamW (4.6 ns where a large matrix runs at 80
# GFLOP/s). Read off eight models of width 128 to 512 and rows of 64 to 512 tokens on one CPU core (2026-11), where any
# of them foretells any other within 17 %. In a large model they weigh next to nothing.
MOVED, ATTENTION, UPDATED = 350, 2, 350
EFFECTIVE_BATCH = 16  # rows of an update, in `what_fits`
HOURS = ("hours", "low_hours", "high_hours")


@dataclass(frozen=True)
class Calibration:
    """Operations in a second that a machine really does, from a measured step, and the band on its times.

    `work_per_second` counts what moving numbers takes as operations too; times are foretold by it.
    """

    flops_per_second: float
    work_per_second: float
    low: float
    high: float

    def __repr__(self):
        return f"Calibration({self.flops_per_second / 1e12:.3g} TFLOP/s; times x {self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class Time:
    """One run: `hours` with a band, `kwh` at the card's rated power (None without a card)."""

    model: str
    tokens: int
    steps: int  # forward and backward passes of one micro-batch
    hours: float
    low_hours: float
    high_hours: float
    kwh: float | None

    @property
    def seconds_per_step(self) -> float:
        """Seconds for one micro-batch."""
        return self.hours * 3600 / self.steps

    @property
    def tokens_per_second(self) -> float:
        """Tokens in a second, padding included."""
        return self.tokens / (self.hours * 3600)


@dataclass(frozen=True)
class Fit:
    """One model on one card: the best setting that fits and its hours, or the smallest tried without hours.

    `close`: it fits by less than the estimate of memory was off on measured runs.
    """

    model: str
    fits: bool
    method: str
    batch: int
    accumulation: int
    needed_gib: float
    hours: float | None = None
    low_hours: float | None = None
    high_hours: float | None = None
    close: bool = False


@dataclass(frozen=True, repr=False)
class FitTable:
    """What fits a card for one data set, small models first; `cut` rows are longer than `length` and lose their end."""

    gpu: str
    rows_in: int
    length: int
    cut: int
    epochs: float
    models: list[Fit]

    def _table(self):
        rows = [("model", "method", "batch x accumulation", "GiB needed", "time")]
        for fit in self.models:
            told = (TOO_LARGE, "", "")
            if fit.fits:
                time = duration(fit.low_hours, fit.high_hours) + (f"; {CLOSE}" if fit.close else "")
                told = (fit.method, f"{fit.batch} x {fit.accumulation}", time)
            rows.append((fit.model, told[0], told[1], f"{fit.needed_gib:.1f}", told[2]))
        return rows

    def _head(self):
        cut = f"; rows that are longer and lose their end: {self.cut}" if self.cut else ""
        rows = f"{self.rows_in:,} rows of at most {self.length:,} tokens, {self.epochs:g} epochs"
        return f"{rows}, on {self.gpu}{cut}"

    def __repr__(self):
        lines = [f"{name:<15}{how:<14}{batch:<22}{gib:>10}  {time}" for name, how, batch, gib, time in self._table()]
        return "\n".join([self._head(), *lines, *self._notes()])

    def _repr_html_(self):
        return html_table(self._table(), self._head(), after=self._notes())

    def _notes(self):
        close = any(fit.close for fit in self.models)
        return [f"close: {OFF}; try one step on the longest rows first"] if close else []


def flops_per_token(
    model, method: str = "qlora", length: int = 1024, rank: int = 16, checkpointing: str = "unsloth"
) -> float:
    """Floating-point operations of training on one token of a row of `length` tokens.

    A weight costs 2 in the forward pass, 2 for the gradient of its input, 2 for its own gradient where it is
    trained, and 2 again where checkpointing repeats the forward pass (Kaplan et al. 2020, 2001.08361). Attention
    looks back on (length + 1) / 2 tokens on average. DPO adds one forward pass of the reference model.
    """
    architecture = find_architecture(model)
    check_choice("method", method, METHODS)
    check_choice("checkpointing", checkpointing, CHECKPOINTING)
    base = method.removeprefix("dpo_")
    again = checkpointing != "off"
    full = base == "full"
    head = architecture.embedding_parameters  # a multiplication even where it shares the embedding's weights
    pairs = _attention_flops(architecture, length)
    flops = (4 + 2 * full + 2 * again) * architecture.active_parameters + (4 + 2 * full) * head
    flops += (3 + again) * pairs
    if not full:
        flops += (6 + 2 * again) * architecture.lora_parameters(rank)
    if base != method:
        flops += 2 * (architecture.active_parameters + head) + pairs
    return flops


def estimate_time(
    model, method: str = "qlora", *, tokens: int | None = None, rows: int | None = None, length: int = 1024,
    epochs: float = 1, batch: int = 2, rank: int = 16, checkpointing: str = "unsloth", gpu=None,
    calibration: Calibration | None = None,
) -> Time:  # fmt: skip
    """Estimate how long training takes on a card (`gpu`) or on the machine of a `calibration`.

    Give `tokens` (of one epoch, padding included, in rows of about `length`) or `rows` of `length` tokens; for DPO
    a row is one answer, so a pair counts twice. Loading, evaluation and saving are not in it.
    Raises RecipeError for missing or impossible values.
    """
    architecture = find_architecture(model)
    for name, value in (("length", length), ("epochs", epochs), ("batch", batch), ("rank", rank)):
        check_positive(name, value)
    if (tokens is None) == (rows is None):
        raise RecipeError("tokens, rows: give one of the two: the tokens of an epoch, or the number of rows")
    if (gpu is None) == (calibration is None):
        raise RecipeError("gpu, calibration: give one of the two: a card's name, or what calibrate() returned")
    check_positive("tokens" if rows is None else "rows", rows if tokens is None else tokens)
    epoch = rows * length if tokens is None else tokens
    total = max(1, round(epoch * epochs))
    steps = math.ceil(math.ceil(epoch / (batch * length)) * epochs)
    if calibration is not None:
        seconds = _work(architecture, method, total, steps, length, rank, checkpointing) / calibration.work_per_second
        low, high, kwh = seconds * calibration.low, seconds * calibration.high, None
    else:
        card = find_gpu(gpu)
        flops = total * flops_per_token(architecture, method, length, rank, checkpointing)
        seconds = _seconds(architecture, method, checkpointing, flops, steps, card)
        low, high = (seconds * factor for factor in (MEASURED_BAND if card.utilisation else UNMEASURED_BAND))
        kwh = seconds / 3600 * card.watts / 1000
    hours = [value / 3600 for value in (seconds, low, high)]
    return Time(architecture.name, total, steps, *hours, kwh)


def calibrate(
    seconds_per_step: float | Sequence[float], model, method: str = "lora", *, batch: int, length: int, rank: int = 16,
    checkpointing: str = "unsloth",
) -> Calibration:  # fmt: skip
    """What this machine delivers, from the seconds of one or several measured micro-batches (not the first ones).

    Take the seconds of whole steps, the update included. Best taken on the model and length you will train: it then
    holds everything that a formula leaves out. The further you go from it, the less it holds.
    """
    measured = [seconds_per_step] if isinstance(seconds_per_step, int | float) else list(seconds_per_step)
    if not measured:
        raise RecipeError("seconds_per_step: no measured step; run a few and pass their seconds")
    for seconds in measured:
        check_positive("seconds_per_step", seconds)
    check_positive("batch", batch)
    check_positive("length", length)
    middle = statistics.median(measured)
    architecture, tokens = find_architecture(model), round(batch * length)
    flops = tokens * flops_per_token(architecture, method, length, rank, checkpointing)
    work = _work(architecture, method, tokens, 1, length, rank, checkpointing)
    low, high = min(CALIBRATED_BAND[0], min(measured) / middle), max(CALIBRATED_BAND[1], max(measured) / middle)
    return Calibration(flops / middle, work / middle, low, high)


def what_fits(
    lengths: Sequence[int], gpu, *, epochs: float = 3, max_length: int | None = None,
    methods: Sequence[str] = ("lora", "qlora"),
) -> FitTable:  # fmt: skip
    """For each model of the catalogue: the first of `methods` that fits `gpu`, its largest batch, and the hours.

    `lengths`: the tokens of each row of your data. Memory is counted for the longest one, or for `max_length`.
    """
    card, lengths = find_gpu(gpu), list(lengths)
    if not lengths:
        raise DataError("lengths: there is no row to train on; give the number of tokens of each row")
    check_positive("epochs", epochs)
    if max_length is not None:
        check_whole("max_length", max_length)
    if isinstance(methods, str) or not methods:
        raise RecipeError(f"methods: {methods!r} must be a list of at least one of {', '.join(METHODS)}")
    length = max_length or max(lengths)
    kept = [min(value, length) for value in lengths]
    fits = [_best_fit(model, kept, card, epochs, methods) for model in known_models()]
    cut = sum(value > length for value in lengths)
    return FitTable(card.name, len(lengths), length, cut, epochs, fits)


def padded_tokens(lengths: Sequence[int], batch: int) -> float:
    """Expected tokens of one epoch when random batches are padded to their longest row.

    With n rows in order of length, the longest of a batch drawn from them is the i-th with probability
    (i/n)^batch - ((i-1)/n)^batch.
    """
    count = len(lengths)
    longest = sum(
        value * ((place / count) ** batch - ((place - 1) / count) ** batch)
        for place, value in enumerate(sorted(lengths), 1)
    )
    return count * longest


def duration(hours: float, at_most: float | None = None) -> str:
    """Hours in words that fit their size: 40 s, 12 min, 3.4 h; with `at_most`, 12 min to 3.4 h."""
    if at_most is not None:
        return f"{duration(hours)} to {duration(at_most)}"
    if hours < 1 / 60:
        return f"{hours * 3600:.2g} s"
    if hours < 1:
        return f"{hours * 60:.0f} min"
    return f"{hours:.1f} h" if hours < 10 else f"{hours:,.0f} h"


def _best_fit(model, lengths, card, epochs, methods) -> Fit:
    """The first method and largest micro-batch (at most 8) that fit; else the smallest that closely do, or the last."""
    close = []
    for method, batch in itertools.product(methods, (8, 4, 2, 1)):
        memory = estimate_memory(model, method, batch=batch, length=max(lengths), gpu=card)
        fit = Fit(model.name, memory.fits, method, batch, EFFECTIVE_BATCH // batch, round(memory.device_gib, 2))
        if memory.verdict == FITS:
            break
        close += [replace(fit, close=True)] if memory.verdict == CLOSE else []
    else:
        fit = close[-1] if close else fit
    if not fit.fits:
        return fit
    tokens = round(padded_tokens(lengths, fit.batch))
    run = {"tokens": tokens, "length": max(1, round(tokens / len(lengths))), "epochs": epochs, "batch": fit.batch}
    time = estimate_time(model, fit.method, gpu=card, **run)
    return replace(fit, **{name: round(getattr(time, name), 3) for name in HOURS})


def _seconds(architecture: Architecture, method: str, checkpointing: str, flops: float, steps: int, card: Gpu) -> float:
    """Roofline: the slower of computing and reading the weights in each pass; unpacking 4-bit weights comes on top."""
    passes = steps * (2 + (checkpointing != "off"))
    bandwidth = card.bandwidth_gbs * 1e9
    reading = passes * architecture.parameters * 2 / bandwidth
    # each pass reads the packed weights, writes them out in 16 bits and reads those again
    unpacking = passes * architecture.linear_parameters * (NF4 + 4) / bandwidth if method.endswith("qlora") else 0
    computing = flops / (card.tflops * 1e12 * (card.utilisation or UTILISATION))
    return max(computing, reading) + unpacking


def _work(architecture, method, tokens, steps, length, rank, checkpointing) -> float:
    """Operations, with what is moved and updated counted as the operations that take as long."""
    again = checkpointing != "off"
    kept = architecture.num_hidden_layers * architecture.saved_per_token() * (1 + again / 2)
    kept += 3 * architecture.vocab_size  # logits, their softmax and its gradient
    attention = (3 + again) * _attention_flops(architecture, length)
    each = flops_per_token(architecture, method, length, rank, checkpointing)
    trained = architecture.parameters if method.endswith("full") else architecture.lora_parameters(rank)
    return tokens * (each + (ATTENTION - 1) * attention + MOVED * kept) + steps * trained * UPDATED


def _attention_flops(architecture, length) -> float:
    """Operations of one token's attention to those before it, in one pass through all layers."""
    return 4 * architecture.num_hidden_layers * architecture.query_width * (length + 1) / 2
