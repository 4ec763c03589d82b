"""Will it fit? Peak GPU memory of a fine-tuning run, counted part by part, before anything is loaded.

The peak falls in one of two moments of a training step: at the loss, when the logits are alive, or in the
backward pass through a layer, when the activations of that layer are. The larger one counts; the two never add.
Constants that were fitted are named where they stand; data/recorded/memory_rows.csv says on which rows.
"""

from dataclasses import dataclass, replace

from ftlab.costs.architecture import GIB, Architecture, find_architecture
from ftlab.costs.arguments import check_choice, check_whole
from ftlab.costs.cards import CONTEXT_GIB, Gpu, find_gpu
from ftlab.errors import RecipeError
from ftlab.tables import html_table

HALF = 2  # bytes of a 16-bit number (bf16 or fp16)
# QLoRA (2305.14314): 4 bits a weight, an 8-bit scale for each 64, a float for each 256 of those scales
NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)

METHODS = ("full", "lora", "qlora", "dpo_full", "dpo_lora", "dpo_qlora")
CHECKPOINTING = ("off", "on", "unsloth")
# bytes of optimizer state for each trainable parameter; None: two states as wide as the parameter
# (torch makes them with zeros_like); 8-bit: one byte each for two states, a float for each 256
OPTIMIZERS = {
    "adamw_torch": None,
    "adamw_torch_fused": None,
    "adamw_8bit": 2 * (1 + 4 / 256),
    "paged_adamw_8bit": 2 * (1 + 4 / 256),
    "sgd": 0,
    "adafactor": 0,
}
CHOICES = {
    "method": METHODS,
    "checkpointing": CHECKPOINTING,
    "optimizer": tuple(OPTIMIZERS),
    "logits": ("fused", "in_place", "full"),
    "mode": ("train", "eval"),
    "trainer": ("unsloth", "plain"),
}
# Kinds that overflow in fp16: Unsloth trains them in 32 bits on a card without bf16 (unsloth_zoo 2026.10.9)
FLOAT32_KINDS = ("gemma3", "gemma4", "gpt_oss", "glm4_moe", "qwen3_5", "qwen3_moe")

# Bytes for each logit. Full: 16-bit logits, float copy, log-softmax, its gradient (2+4+4+4). In place: Unsloth
# before 2024-12 wrote the gradient over the logits (2+4+2). Evaluation has no gradient (2+4+4).
LOGIT_BYTES = {"full": 14, "in_place": 8, "fused": 14}
EVAL_LOGIT_BYTES = 10
# Unsloth cuts the loss into chunks, a multiple of 4, that it expects to fit into half of the free memory and at
# most 4 GiB, at 16 bytes a logit (unsloth_zoo 2026.10.9)
FUSED_BUDGET_GIB, FUSED_BUDGET_BYTES = 4.0, 16

FRAGMENTATION = 0.08  # fitted: of what comes and goes, the share that the allocator holds on top of the peak
# the furthest that the estimate lay from a measured row whose longest batch is known, as a share of what was measured
# (data/recorded/memory_rows.csv; a test reads it off). Gemma 3 27B, whose version differs, took 7 % more than counted
KNOWN_ERROR = 0.084
FITS, CLOSE, TOO_LARGE = "fits", "close: may not fit", "does not fit"
OFF = f"measured runs lay up to {KNOWN_ERROR:.0%} off the estimate"
LIBRARIES_GIB = 1.5  # host memory of Python with torch, transformers and Unsloth loaded


@dataclass(frozen=True, repr=False)
class Memory:
    """Peak of one run: `parts` (GiB) add up to `total_gib`, what torch.cuda.max_memory_allocated would say."""

    model: str
    settings: dict
    parts: dict[str, float]
    peak_at: str  # "loss" or "layer"
    fragmentation_gib: float
    context_gib: float
    host_ram_gib: float
    gpu: Gpu | None = None
    evaluation: tuple[tuple[int, float], ...] = ()  # (batch, GiB on the card) of evaluation, from this batch down
    plain_gib: float | None = None  # on the card, with a trainer that has not Unsloth's kernels

    @property
    def total_gib(self) -> float:
        """Peak of allocated memory."""
        return sum(self.parts.values())

    @property
    def reserved_gib(self) -> float:
        """With fragmentation: what torch.cuda.max_memory_reserved would say."""
        return self.total_gib + self.fragmentation_gib

    @property
    def device_gib(self) -> float:
        """With the CUDA context: what nvidia-smi would say, and what the card must have."""
        return self.reserved_gib + self.context_gib

    @property
    def fits(self) -> bool | None:
        """Whether the card has that much, for `settings["mode"]` alone; None without a card."""
        return self._fits(self.device_gib)

    @property
    def verdict(self) -> str:
        """As `fits` in words, and whether that is closer than the estimate is known to be; "" without a card."""
        return "" if self.gpu is None else room(self.device_gib, self.gpu)

    @property
    def close(self) -> bool:
        """Whether training, or evaluation with the same batch, fits by less than the estimate's known error."""
        sizes = [self.device_gib, *(gib for _, gib in self.evaluation[:1])]
        return self.gpu is not None and CLOSE in (room(gib, self.gpu) for gib in sizes)

    def _fits(self, gib: float) -> bool | None:
        return None if self.gpu is None else gib <= self.gpu.usable_gib

    @property
    def evaluation_batch(self) -> int | None:
        """The largest batch, of at most the one for training, with which evaluation fits; 0 for none."""
        if self.gpu is None or not self.evaluation:
            return None
        return max((batch for batch, gib in self.evaluation if self._fits(gib)), default=0)

    def to_dict(self) -> dict:
        """The contract of `ftlab memory --json`: total_gib, parts, fits (of `settings.mode`), and more."""

        def other(gib):
            return {"device_gib": round(gib, 3), "fits": self._fits(gib)}

        sizes = ("total_gib", "reserved_gib", "device_gib", "host_ram_gib")
        evaluation = None
        if self.evaluation:
            evaluation = other(self.evaluation[0][1]) | {"largest_batch": self.evaluation_batch}
        return {name: round(getattr(self, name), 3) for name in sizes} | {
            "model": self.model,
            "settings": self.settings,
            "parts": {name: round(size, 3) for name, size in self.parts.items()},
            "fits": self.fits,
            "close": self.close,
            "peak_at": self.peak_at,
            "gpu": self.gpu and self.gpu.name,
            "usable_gib": self.gpu and self.gpu.usable_gib,
            "trainer": self.settings["trainer"],
            "evaluation": evaluation,
            "plain_trainer": None if self.plain_gib is None else other(self.plain_gib),
        }

    def rows(self) -> list[tuple[str, float]]:
        """(what, GiB) from the parts to what the card must have."""
        return [
            *self.parts.items(),
            ("peak allocated", self.total_gib),
            ("fragmentation", self.fragmentation_gib),
            ("CUDA context", self.context_gib),
            ("needed on the GPU", self.device_gib),
            ("needed in host RAM", self.host_ram_gib),
        ]

    def notes(self) -> list[str]:
        """The run and its verdict, evaluation at the same batch, and which trainer is meant."""
        run, what = self.settings, {"train": "training", "eval": "evaluation"}[self.settings["mode"]]
        shape = f"{run['method']}, batch {run['batch']} x {run['length']:,} tokens"
        card = f" {self.verdict} on {self.gpu.name} ({self.gpu.usable_gib:.1f} GiB usable)" if self.gpu else ""
        lines = [f"{self.model}, {shape}: {what}{card}; peak at the {self.peak_at}"]
        if self.evaluation:
            told = self._told(self.evaluation[0][1])
            if self.evaluation_batch == 0:
                told += "; not even with batch 1: evaluate shorter rows, or after training"
            elif self.evaluation_batch not in (None, run["batch"]):
                told += f"; per_device_eval_batch_size={self.evaluation_batch} fits"
            lines.append(f"evaluation with the same batch: {told}")
        if self.close:
            remedy = "try one step on the longest rows first, or take a smaller batch, shorter rows or a larger card"
            lines.append(f"close: {OFF}; {remedy}")
        kernels = "Unsloth's kernels" if run["trainer"] == "unsloth" else "plain transformers"
        plain = "" if self.plain_gib is None else f"; with a plain trainer (trainer=plain) {self._told(self.plain_gib)}"
        return [*lines, f"counted for {kernels}{plain}"]

    def _told(self, gib):
        return f"{gib:.1f} GiB" + (f", {room(gib, self.gpu)} on {self.gpu.name}" if self.gpu else "")

    def __repr__(self):
        lines = [f"{what:<20}{size:8.2f} GiB" for what, size in self.rows() if size]
        first, *more = self.notes()
        return "\n".join([first, *lines, *more])

    def _repr_html_(self):
        rows = [(what, f"{size:.2f}") for what, size in self.rows() if size]
        first, *more = self.notes()
        return html_table([("what", "GiB"), *rows], first, after=more)


def room(gib: float, gpu: Gpu) -> str:
    """The verdict on an estimate: fits, does not fit, or fits by less than the estimate is known to be off."""
    if gib > gpu.usable_gib:
        return TOO_LARGE
    return FITS if gib <= (1 - KNOWN_ERROR) * gpu.usable_gib else CLOSE


def estimate_memory(
    model, method: str = "qlora", *, batch: int = 2, length: int = 2048, rank: int = 16,
    checkpointing: str | None = None, optimizer: str = "adamw_8bit", logits: str | None = None,
    trainable_bytes: int | None = None, rope_positions: int = 0, packed: bool = False, head_copy: bool = True,
    gpu=None, mode: str = "train", trainer: str = "unsloth",
) -> Memory:  # fmt: skip
    """Estimate the peak GPU memory of training, or of evaluation during training (`mode="eval"`).

    `model`: a name or hub id of the catalogue, a config.json or its folder, or a transformers configuration.
    `batch` is one micro-batch (gradient accumulation changes nothing here), `length` the longest row in it, in
    tokens, after padding. `trainer`: "unsloth", or "plain" for transformers without fused kernels. `checkpointing`:
    "unsloth" by default, "on" for a plain trainer. `trainable_bytes` is the width of what is trained: by default 4
    for LoRA, 2 for full fine-tuning. `logits`: "fused" (Unsloth's and TRL's chunked loss; the default), "full" (the
    default of a plain trainer and for DPO), "in_place" (Unsloth of 2024). `packed`: every batch is full; otherwise
    shorter ones count too, whose logits may be cut into fewer pieces. `head_copy`: loading in 4 bits leaves memory
    as large as an output head of its own reserved (False: before 2025). `rope_positions`: for how many positions
    each layer keeps rotary tables of its own (transformers before 4.48: the longest row, at least the model's up to
    32,768). Raises ModelError for a model that it cannot count, RecipeError for a setting it does not know.
    Measured against others' runs: data/recorded/memory_rows.csv, tests/test_costs_memory.py.
    """
    architecture, card = find_architecture(model), None if gpu is None else find_gpu(gpu)
    plain, name = trainer == "plain", str(method)
    settings = {
        "method": method, "batch": batch, "length": length, "rank": rank, "optimizer": optimizer, "mode": mode,
        "trainer": trainer, "checkpointing": checkpointing or ("on" if plain else "unsloth"),
        "logits": logits or ("full" if plain or name.startswith("dpo_") else "fused"),
        "trainable_bytes": trainable_bytes or (HALF if name.endswith("full") else 4),
        "rope_positions": rope_positions, "packed": packed, "head_copy": head_copy,
    }  # fmt: skip
    _check(settings)
    evaluation, size = [], batch
    while size and mode == "train":
        evaluation.append((size, _count(architecture, settings | {"mode": "eval", "batch": size}, card).device_gib))
        size //= 2
    plain_gib = None
    if not plain:
        other = {"trainer": "plain", "logits": "full"}
        other["checkpointing"] = "off" if settings["checkpointing"] == "off" else "on"
        plain_gib = _count(architecture, settings | other, card).device_gib
    return replace(_count(architecture, settings, card), evaluation=tuple(evaluation), plain_gib=plain_gib)


def _check(settings: dict) -> None:
    """Raise RecipeError for a setting that is not known or impossible."""
    for name, choices in CHOICES.items():
        check_choice(name, settings[name], choices)
    if settings["trainer"] == "plain" and settings["checkpointing"] == "unsloth":
        raise RecipeError("checkpointing: 'unsloth' needs Unsloth; choose off or on for a plain trainer")
    for name in ("batch", "length", "rank", "trainable_bytes"):
        check_whole(name, settings[name])
    check_whole("rope_positions", settings["rope_positions"], 0)


def _count(architecture: Architecture, run: dict, gpu: Gpu | None) -> Memory:
    """The peak of one run with checked settings."""
    method, width, fused = run["method"], run["trainable_bytes"], run["trainer"] == "unsloth"
    base, training = method.removeprefix("dpo_"), run["mode"] == "train"
    # numbers of activations are as wide as the card allows for this kind of model
    wide = 2 if gpu and not gpu.bf16 and architecture.model_type.startswith(FLOAT32_KINDS) else 1
    trainable = architecture.parameters if base == "full" else architecture.lora_parameters(run["rank"])
    state_bytes = OPTIMIZERS[run["optimizer"]]
    own_head = base == "qlora" and run["head_copy"] and not architecture.tie_word_embeddings
    rotary = architecture.num_hidden_layers * run["rope_positions"] * architecture.head_dim * 2 * HALF  # cos, sin
    parts = {
        "weights": weight_bytes(architecture, base, width, dynamic=fused),
        "reference model": weight_bytes(architecture, "lora") if method == "dpo_full" else 0,
        "rotary tables": rotary,
        "copy of the head": architecture.embedding_parameters * HALF if own_head else 0,
        "adapter": trainable * width if base != "full" else 0,
        "gradients": trainable * width if training else 0,
        "optimizer": trainable * (2 * width if state_bytes is None else state_bytes),
        # 4-bit weights are unpacked one matrix at a time, into a buffer as large as the largest
        "workspace": architecture.largest_matrix * HALF * wide if base == "qlora" else 0,
    }
    context = gpu.context_gib if gpu else CONTEXT_GIB
    free_gib = gpu.usable_gib - context - sum(parts.values()) / GIB if gpu else None

    tokens = run["batch"] * run["length"] * (2 if base != method else 1)  # a chosen and a rejected answer
    kept, layer = activation_bytes(architecture, tokens, run["checkpointing"] if training else "eval", fused)
    kept, layer = kept * wide, layer * wide
    at_loss = logit_bytes(tokens * architecture.vocab_size, run["logits"], training, free_gib, run["packed"])
    parts["activations"] = kept + (layer if layer > at_loss else 0)
    parts["logits"] = at_loss if layer <= at_loss else 0

    offloaded = training and run["checkpointing"] == "unsloth"
    checkpoints = checkpoint_bytes(architecture, tokens) if offloaded else 0
    transient = parts["activations"] + parts["logits"] + parts["workspace"]
    return Memory(
        model=architecture.name,
        settings=run,
        parts={name: size / GIB for name, size in parts.items()},
        peak_at="layer" if layer > at_loss else "loss",
        fragmentation_gib=FRAGMENTATION * transient / GIB,
        context_gib=context,
        host_ram_gib=LIBRARIES_GIB + checkpoints / GIB,
        gpu=gpu,
    )


def weight_bytes(architecture: Architecture, method: str, trainable_bytes: int = HALF, dynamic: bool = True) -> float:
    """Bytes of the model as loaded for `method` (full, lora or qlora), without an adapter.

    `dynamic`: from a repository of Unsloth that keeps some modules in 16 bits, an allowance where they are not known.
    """
    other = architecture.other_parameters * HALF
    if method != "qlora":
        return architecture.parameters * (trainable_bytes if method == "full" else HALF) + other
    skipped = architecture.kept_in_16_bits if dynamic else architecture.skipped or 0
    packed = architecture.linear_parameters - skipped
    return packed * NF4 + (architecture.parameters - packed) * HALF + other


def checkpoint_bytes(architecture: Architecture, tokens: int) -> int:
    """Bytes of the inputs of all layers, which checkpointing keeps."""
    return architecture.num_hidden_layers * tokens * architecture.hidden_size * HALF


def activation_bytes(
    architecture: Architecture, tokens: int, checkpointing: str, fused: bool = True
) -> tuple[int, int]:
    """(bytes kept on the GPU until the backward pass, bytes that come on top in the costliest layer)."""
    ends = 2 * tokens * architecture.hidden_size * HALF  # the last hidden states and their gradient
    saved = tokens * architecture.saved_per_token(fused) * HALF
    backward = tokens * architecture.backward_per_token(fused) * HALF
    if checkpointing == "off":
        return ends + architecture.num_hidden_layers * saved, backward
    if checkpointing == "on":
        return ends + checkpoint_bytes(architecture, tokens), saved + backward
    if checkpointing == "eval":
        return ends // 2, saved
    return ends, saved + backward


def logit_bytes(count: int, logits: str, training: bool, free_gib: float | None, packed: bool = False) -> float:
    """Bytes alive at the loss for `count` = tokens x vocabulary; the fused loss looks at the free memory.

    A batch that just fits the budget of the fused loss is not cut, a longer one is, and then takes less. Unless all
    batches are full (`packed`), one of those shorter ones comes along: so much counts.
    """
    if not training:
        return count * EVAL_LOGIT_BYTES
    size = count * LOGIT_BYTES[logits]
    if logits != "fused":
        return size
    budget = FUSED_BUDGET_GIB if free_gib is None else min(FUSED_BUDGET_GIB, max(free_gib / 2, 1 / 16))
    pieces = count * FUSED_BUDGET_BYTES / GIB / budget
    if pieces <= 1:
        return size
    return size / (4 * -(-pieces // 4)) if packed else size / pieces
