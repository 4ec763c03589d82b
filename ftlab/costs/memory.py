"""Will it fit? Peak GPU memory of a fine-tuning run, counted part by part, before anything is loaded.

The peak falls in one of two moments of a training step: at the loss, when the logits are alive, or in the
backward pass through a layer, when the activations of that layer are. The larger one counts; the two never add.
Constants that were fitted are named where they stand; data/recorded/memory_rows.csv says on which rows.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path

from ftlab.costs.cards import CONTEXT_GIB, Gpu, find_gpu, read_hardware
from ftlab.errors import ModelError, RecipeError
from ftlab.models import CATALOGUE, ask_hub, data_folder, is_hub_id, is_offline, offline_reason

GIB = 2**30
HALF = 2  # bytes of a 16-bit number (bf16 or fp16)
# QLoRA (2305.14314): 4 bits a weight, an 8-bit scale for each 64, a float for each 256 of those scales
NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)

METHODS = ("full", "lora", "qlora", "dpo_full", "dpo_lora", "dpo_qlora")
CHECKPOINTING = ("off", "on", "unsloth")
LOGITS = ("fused", "in_place", "full")
MODES = ("train", "eval")
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
TARGET_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

# Kinds whose parameters are compared with a real model in the tests; any other kind is compared when it is met
VERIFIED = ("gemma3_text", "llama", "mistral", "phi3", "qwen2", "qwen3", "smollm3")

# Bytes for each logit. Full: 16-bit logits, float copy, log-softmax, its gradient (2+4+4+4). In place: Unsloth
# before 2024-12 wrote the gradient over the logits (2+4+2). Evaluation has no gradient (2+4+4).
LOGIT_BYTES = {"full": 14, "in_place": 8, "fused": 14}
EVAL_LOGIT_BYTES = 10
# Unsloth cuts the loss into chunks, a multiple of 4, that it expects to fit into half of the free memory and at
# most 4 GiB, at 16 bytes a logit (unsloth_zoo 2026.10.9)
FUSED_BUDGET_GIB, FUSED_BUDGET_BYTES = 4.0, 16

FRAGMENTATION = 0.08  # fitted: of what comes and goes, the share that the allocator holds on top of the peak
LIBRARIES_GIB = 1.5  # host memory of Python with torch, transformers and Unsloth loaded


@dataclass(frozen=True)
class Architecture:
    """The sizes of one decoder that decide memory and time, named as in config.json."""

    name: str
    model_type: str
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    tie_word_embeddings: bool
    attention_bias: bool = False  # on q, k and v
    skipped: float = 0  # linear parameters that the 4-bit repository keeps in 16 bits

    @property
    def query_width(self) -> int:
        """Width of all query heads together; not always the hidden size."""
        return self.num_attention_heads * self.head_dim

    @property
    def key_width(self) -> int:
        """Width of all key heads together, and of all value heads."""
        return self.num_key_value_heads * self.head_dim

    @property
    def qk_norm(self) -> bool:
        """Whether queries and keys are normalised in each head."""
        return self.model_type in ("qwen3", "gemma3_text")

    @property
    def norms(self) -> int:
        """Norms of the hidden size in one layer."""
        return 4 if self.model_type.startswith(("gemma2", "gemma3")) else 2

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """The linear modules of one layer: name -> (in, out)."""
        hidden, query, key, ff = self.hidden_size, self.query_width, self.key_width, self.intermediate_size
        return {
            "self_attn.q_proj": (hidden, query),
            "self_attn.k_proj": (hidden, key),
            "self_attn.v_proj": (hidden, key),
            "self_attn.o_proj": (query, hidden),
            "mlp.gate_proj": (hidden, ff),
            "mlp.up_proj": (hidden, ff),
            "mlp.down_proj": (ff, hidden),
        }

    @property
    def linear_parameters(self) -> int:
        """Weights of the linear modules in all layers, without the output head: what 4-bit loading packs."""
        return self.num_hidden_layers * sum(rows * columns for rows, columns in self.linears.values())

    @property
    def embedding_parameters(self) -> int:
        """One embedding matrix; an untied output head is as large again."""
        return self.vocab_size * self.hidden_size

    @property
    def parameters(self) -> int:
        """All parameters; tied embeddings count once."""
        layer = self.norms * self.hidden_size
        layer += 2 * self.head_dim * self.qk_norm
        layer += (self.query_width + 2 * self.key_width) * self.attention_bias
        embeddings = self.embedding_parameters * (1 if self.tie_word_embeddings else 2)
        return self.linear_parameters + self.num_hidden_layers * layer + self.hidden_size + embeddings

    def lora_parameters(self, rank: int, target_modules: Sequence[str] = TARGET_MODULES) -> int:
        """Parameters of a LoRA adapter: rank x (in + out) for each target module."""
        sizes = [size for name, size in self.linears.items() if name.split(".")[1] in target_modules]
        return self.num_hidden_layers * rank * sum(rows + columns for rows, columns in sizes)

    @property
    def saved_per_token(self) -> int:
        """Numbers that the forward pass of one layer keeps for the backward pass, for each token.

        Input and output of each norm, queries, keys, values, attention output, gate and up. Kernels that fuse
        or recompute the rest are meant (Unsloth, torch.compile); plain transformers keep about twice as much.
        """
        saved = 2 * self.norms * self.hidden_size + 2 * self.query_width + 2 * self.key_width
        saved += (self.query_width + self.key_width) * self.qk_norm
        return saved + 2 * self.intermediate_size

    @property
    def backward_per_token(self) -> int:
        """Numbers alive beside the saved ones while the gradient passes through one layer, for each token."""
        return 3 * self.intermediate_size + 2 * self.hidden_size


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
        """Whether the card has that much; None without a card."""
        return None if self.gpu is None else self.device_gib <= self.gpu.usable_gib

    def to_dict(self) -> dict:
        """The contract of `ftlab memory --json`: total_gib, parts, fits, and what else is known."""
        return {
            "model": self.model,
            "settings": self.settings,
            "total_gib": round(self.total_gib, 3),
            "parts": {name: round(size, 3) for name, size in self.parts.items()},
            "fits": self.fits,
            "peak_at": self.peak_at,
            "reserved_gib": round(self.reserved_gib, 3),
            "device_gib": round(self.device_gib, 3),
            "host_ram_gib": round(self.host_ram_gib, 3),
            "gpu": self.gpu and self.gpu.name,
            "usable_gib": self.gpu and self.gpu.usable_gib,
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

    def __repr__(self):
        lines = [f"{what:<20}{size:8.2f} GiB" for what, size in self.rows() if size]
        return "\n".join([self._head(), *lines])

    def _repr_html_(self):
        import html

        import pandas as pd

        table = pd.DataFrame([(what, f"{size:.2f}") for what, size in self.rows() if size], columns=["what", "GiB"])
        return f"<p>{html.escape(self._head())}</p>{table.to_html(index=False)}"

    def _head(self):
        verdict = ""
        if self.gpu:
            word = "fits" if self.fits else "does not fit"
            verdict = f": {word} on {self.gpu.name} ({self.gpu.usable_gib:.1f} GiB usable)"
        settings = self.settings
        shape = f"{settings['method']}, batch {settings['batch']} x {settings['length']:,} tokens"
        return f"{self.model}, {shape}{verdict}; peak at the {self.peak_at}"


@dataclass(frozen=True)
class Change:
    """One change of a setting, what it costs you, and the memory with it and all changes before it."""

    setting: str
    old: object
    new: object
    loss: str
    device_gib: float

    @property
    def free(self) -> bool:
        """Whether it costs nothing."""
        return _free(self.loss)


@dataclass(frozen=True, repr=False)
class WhatWouldFit:
    """The changes, least loss first, and the run that they lead to; `memory.fits` says whether they suffice."""

    changes: list[Change]
    memory: Memory

    @property
    def fits(self) -> bool | None:
        """Whether the run fits after all changes."""
        return self.memory.fits

    def to_dict(self) -> dict:
        """Ready for JSON: the changes, and the memory after all of them."""
        changes = [asdict(change) | {"device_gib": round(change.device_gib, 3)} for change in self.changes]
        return {"fits": self.fits, "changes": changes, "memory": self.memory.to_dict()}

    def _rows(self):
        return [
            (change.setting, f"{change.old} -> {change.new}", f"{change.device_gib:.1f}", change.loss)
            for change in self.changes
        ]

    def __repr__(self):
        lines = [f"{setting}: {step}  ({size} GiB; {loss})" for setting, step, size, loss in self._rows()]
        if not self.fits:
            lines.append("still too large: take a card with more memory")
        return "\n".join([*(lines or ["fits as it is"]), repr(self.memory)])

    def _repr_html_(self):
        import pandas as pd

        table = pd.DataFrame(self._rows(), columns=["setting", "change", "GiB needed", "what it costs you"])
        steps = table.to_html(index=False) if self.changes else "<p>fits as it is</p>"
        return steps + self.memory._repr_html_()


def estimate_memory(
    model,
    method: str = "qlora",
    *,
    batch: int = 2,
    length: int = 2048,
    rank: int = 16,
    checkpointing: str = "unsloth",
    optimizer: str = "adamw_8bit",
    logits: str | None = None,
    target_modules: Sequence[str] = TARGET_MODULES,
    skip_modules: Sequence[str] = (),
    trainable_bytes: int | None = None,
    rope_positions: int = 0,
    gpu=None,
    mode: str = "train",
) -> Memory:
    """Estimate the peak GPU memory of training, or of evaluation during training (`mode="eval"`).

    `model`: a name or hub id of the catalogue, a config.json or its folder, or a transformers configuration.
    `batch` is one micro-batch (gradient accumulation changes nothing here), `length` the longest row in it, in
    tokens, after padding. `trainable_bytes` is the width of what is trained: 4 for LoRA (Unsloth and PEFT keep
    adapters in float), 2 for full fine-tuning. `logits`: "fused" (Unsloth's and TRL's chunked loss; the default),
    "full" (plain transformers; the default for DPO), "in_place" (Unsloth of 2024). `skip_modules`: names that
    a 4-bit repository leaves in 16 bits, as in its `llm_int8_skip_modules`. `rope_positions`: for how many positions
    each layer keeps rotary tables of its own (Unsloth with transformers before 4.48: the model's longest row up to
    32,768, or yours when longer); today all layers share one small table, and 0 is right.
    Raises ModelError for a model that it cannot count, RecipeError for a setting it does not know.

    Measured against others' runs (tests/test_costs_memory.py): see data/recorded/memory_rows.csv for each row.
    """
    architecture = find_architecture(model)
    base = method.removeprefix("dpo_") if isinstance(method, str) else method
    dpo = base != method
    logits = logits or ("full" if dpo else "fused")
    for name, value, known in (
        ("method", method, METHODS),
        ("checkpointing", checkpointing, CHECKPOINTING),
        ("optimizer", optimizer, tuple(OPTIMIZERS)),
        ("logits", logits, LOGITS),
        ("mode", mode, MODES),
    ):
        if value not in known:
            raise RecipeError(f"{name}: {value!r} is not known; choose one of {', '.join(known)}")
    trainable_bytes = trainable_bytes or (HALF if base == "full" else 4)
    for name, value, least in (
        ("batch", batch, 1),
        ("length", length, 1),
        ("rank", rank, 1),
        ("trainable_bytes", trainable_bytes, 1),
        ("rope_positions", rope_positions, 0),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise RecipeError(f"{name}: {value!r} must be a whole number of at least {least}")
    for name, value in (("target_modules", target_modules), ("skip_modules", skip_modules)):
        if isinstance(value, str):
            raise RecipeError(f"{name}: {value!r} is one text; write a list of module names, such as [{value!r}]")
    unknown = sorted(set(target_modules) - set(TARGET_MODULES))
    if unknown or not target_modules:
        wrong = f"{', '.join(map(repr, unknown))} not known" if unknown else "empty, so nothing would be trained"
        raise RecipeError(f"target_modules: {wrong}; choose from {', '.join(TARGET_MODULES)}")
    gpu = find_gpu(gpu) if gpu is not None else None

    training = mode == "train"
    trainable = architecture.parameters
    if base != "full":
        trainable = architecture.lora_parameters(rank, target_modules)
    state_bytes = OPTIMIZERS[optimizer]
    parts = {
        "weights": weight_bytes(architecture, base, skip_modules, trainable_bytes),
        "reference model": weight_bytes(architecture, "lora") if method == "dpo_full" else 0,
        "rotary tables": architecture.num_hidden_layers * rope_positions * architecture.head_dim * 2 * HALF,  # cos, sin
        "adapter": trainable * trainable_bytes if base != "full" else 0,
        "gradients": trainable * trainable_bytes if training else 0,
        "optimizer": trainable * (2 * trainable_bytes if state_bytes is None else state_bytes),
        # 4-bit weights are unpacked one matrix at a time, into a buffer as large as the largest
        "workspace": max(map(math.prod, architecture.linears.values())) * HALF if base == "qlora" else 0,
    }
    context = gpu.context_gib if gpu else CONTEXT_GIB
    free_gib = gpu.usable_gib - context - sum(parts.values()) / GIB if gpu else None

    sequences = 2 * batch if dpo else batch  # a chosen and a rejected answer
    tokens = sequences * length
    kept, layer = activation_bytes(architecture, tokens, checkpointing if training else "eval")
    at_loss = logit_bytes(tokens * architecture.vocab_size, logits, training, free_gib)
    parts["activations"] = kept + (layer if layer > at_loss else 0)
    parts["logits"] = at_loss if layer <= at_loss else 0

    offloaded = training and checkpointing == "unsloth"
    checkpoints = checkpoint_bytes(architecture, tokens) if offloaded else 0
    transient = parts["activations"] + parts["logits"] + parts["workspace"]
    settings = {
        "method": method, "batch": batch, "length": length, "rank": rank, "checkpointing": checkpointing,
        "optimizer": optimizer, "logits": logits, "mode": mode,
    }  # fmt: skip
    return Memory(
        model=architecture.name,
        settings=settings,
        parts={name: size / GIB for name, size in parts.items()},
        peak_at="layer" if layer > at_loss else "loss",
        fragmentation_gib=FRAGMENTATION * transient / GIB,
        context_gib=context,
        host_ram_gib=LIBRARIES_GIB + checkpoints / GIB,
        gpu=gpu,
    )


def what_would_fit(
    model, method: str = "qlora", *, gpu, longest: int | None = None, mode: str = "train", **settings
) -> WhatWouldFit:
    """The changes that make a run fit on `gpu`, the one that costs least first; what does not help is left out.

    Free changes are never taken back in favour of costly ones. `longest` is the longest row of your data in tokens:
    a shorter `length` is only proposed down to it. Other arguments as for `estimate_memory`.
    """
    if longest is not None and (isinstance(longest, bool) or not isinstance(longest, int) or longest < 1):
        raise RecipeError(f"longest: {longest!r} must be a whole number of at least 1, the tokens of your longest row")
    architecture = find_architecture(model)
    start = {"method": method, "mode": mode, "gpu": find_gpu(gpu), **settings}

    def estimate(steps, name=architecture):
        return estimate_memory(name, **(start | {setting: new for setting, _, new, _ in steps}))

    memory = estimate([])
    steps = []
    for setting, new, loss in proposals(memory, longest):
        if memory.fits:
            break
        step = (setting, memory.settings[setting], new, loss)
        smaller = estimate([*steps, step])
        if _free(loss) or smaller.device_gib < memory.device_gib - 0.01:  # a free one may help only with later ones
            steps.append(step)
            memory = smaller
    for step in steps[-2::-1]:  # a later change may have made an earlier costly one needless: take that back
        later = steps[steps.index(step) + 1 :]
        fewer = _without(steps, step)
        if not _free(step[3]) and all(other[0] != step[0] for other in later) and estimate(fewer).fits:
            steps = fewer
    name, memory = architecture, estimate(steps)
    if not memory.fits:
        candidates = ((other, estimate(steps, other)) for other in smaller_models(architecture))
        name, memory = next((each for each in candidates if each[1].fits), (architecture, memory))
    for step in [step for step in steps if _free(step[3])]:
        fewer = _without(steps, step)
        other = estimate(fewer, name)
        if other.fits == memory.fits and other.device_gib < memory.device_gib + 0.01:
            steps, memory = fewer, other
    changes = _merge(steps, estimate)
    if name is not architecture:
        loss = "knows and can do less: measure it against your bar"
        changes.append(Change("model", architecture.name, name, loss, memory.device_gib))
    return WhatWouldFit(changes, memory)


def _free(loss: str) -> bool:
    """Whether a change with this loss costs nothing."""
    return loss.startswith("none")


def _without(steps, step) -> list:
    return [other for other in steps if other is not step]


def _merge(steps, estimate) -> list[Change]:
    """One change for each setting, in the order in which they came first; each with all changes before it."""
    changes, done = [], []
    for setting in dict.fromkeys(step[0] for step in steps):
        mine = [step for step in steps if step[0] == setting]
        done += mine
        loss = "; ".join(dict.fromkeys(step[3] for step in mine))
        changes.append(Change(setting, mine[0][1], mine[-1][2], loss, estimate(done).device_gib))
    return changes


def proposals(memory: Memory, longest: int | None) -> list[tuple[str, object, str]]:
    """(setting, new value, what it costs) in order of least loss, starting from the settings of `memory`."""
    settings = memory.settings
    batch, length, rank = settings["batch"], settings["length"], settings["rank"]
    result = []
    if longest and longest < length:
        result.append(("length", longest, "none: no row of your data is longer"))
    if settings["logits"] != "fused":
        result.append(("logits", "fused", "none: the same loss, computed in pieces"))
    if settings["checkpointing"] == "off":
        result.append(("checkpointing", "on", "each layer is computed twice: about a third more time"))
    if settings["checkpointing"] != "unsloth":
        result.append(("checkpointing", "unsloth", "activations wait in host RAM; the same result"))
    while batch > 1:
        batch = batch // 2
        result.append(("batch", batch, "accumulate gradients to keep the effective batch; a little slower"))
    if OPTIMIZERS[settings["optimizer"]] is None:
        result.append(("optimizer", "adamw_8bit", "small: the optimizer's state is rounded to 8 bits"))
    while rank > 8 and "full" not in settings["method"]:
        rank = max(8, rank // 2)
        result.append(("rank", rank, "small on most tasks: less room to learn"))
    methods = ["full", "lora", "qlora"]
    prefix = "dpo_" if settings["method"].startswith("dpo_") else ""
    for method in methods[methods.index(settings["method"].removeprefix("dpo_")) + 1 :]:
        loss = "learns less than full fine-tuning" if method == "lora" else "4-bit base weights: slower, slightly worse"
        result.append(("method", prefix + method, loss))
    return result


def smaller_models(architecture: Architecture) -> list[str]:
    """Names of the catalogue's smaller models, the largest first, those of the same family before the others."""
    smaller = [other for other in known_models() if other.parameters < architecture.parameters]
    smaller.sort(key=lambda other: (other.model_type != architecture.model_type, -other.parameters))
    return [other.name for other in smaller]


def weight_bytes(
    architecture: Architecture, method: str, skip_modules: Sequence[str] = (), trainable_bytes: int = HALF
) -> float:
    """Bytes of the model as loaded for `method` (full, lora or qlora), without an adapter."""
    if method == "full":
        return architecture.parameters * trainable_bytes
    if method == "lora":
        return architecture.parameters * HALF
    skipped = max(architecture.skipped, skipped_parameters(architecture, skip_modules))
    packed = architecture.linear_parameters - skipped
    return packed * NF4 + (architecture.parameters - packed) * HALF


def skipped_parameters(architecture: Architecture, skip_modules: Sequence[str]) -> int:
    """Linear parameters that stay in 16 bits: `skip_modules` are module names or whole parts of them."""
    # "model.layers.3.mlp" and "language_model.model.layers.3.mlp" are the same layer
    wanted = [f".{name[name.find('layers.') :] if 'layers.' in name else name}." for name in skip_modules]
    return sum(
        math.prod(size)
        for layer in range(architecture.num_hidden_layers)
        for name, size in architecture.linears.items()
        if any(part in f".layers.{layer}.{name}." for part in wanted)
    )


def checkpoint_bytes(architecture: Architecture, tokens: int) -> int:
    """Bytes of the inputs of all layers, which checkpointing keeps."""
    return architecture.num_hidden_layers * tokens * architecture.hidden_size * HALF


def activation_bytes(architecture: Architecture, tokens: int, checkpointing: str) -> tuple[int, int]:
    """(bytes kept on the GPU until the backward pass, bytes that come on top in the costliest layer)."""
    ends = 2 * tokens * architecture.hidden_size * HALF  # the last hidden states and their gradient
    saved = tokens * architecture.saved_per_token * HALF
    backward = tokens * architecture.backward_per_token * HALF
    if checkpointing == "off":
        return ends + architecture.num_hidden_layers * saved, backward
    if checkpointing == "on":
        return ends + checkpoint_bytes(architecture, tokens), saved + backward
    if checkpointing == "eval":
        return ends // 2, saved
    return ends, saved + backward


def logit_bytes(count: int, logits: str, training: bool, free_gib: float | None) -> float:
    """Bytes alive at the loss for `count` = tokens x vocabulary; the fused loss looks at the free memory."""
    if not training:
        return count * EVAL_LOGIT_BYTES
    size = count * LOGIT_BYTES[logits]
    if logits != "fused":
        return size
    budget = FUSED_BUDGET_GIB if free_gib is None else min(FUSED_BUDGET_GIB, max(free_gib / 2, 1 / 16))
    pieces = count * FUSED_BUDGET_BYTES / GIB / budget
    return size if pieces <= 1 else size / (4 * math.ceil(pieces / 4))


def known_models() -> list[Architecture]:
    """The catalogue's models that have sizes in architectures.csv, the smallest first."""
    names = {model.name for model in CATALOGUE}
    return sorted((each for each in _table().values() if each.name in names), key=lambda each: each.parameters)


def find_architecture(model) -> Architecture:
    """The sizes of `model`: a catalogue name, a hub id, a config.json, a folder with one, or a configuration.

    Raises ModelError for an unknown name and for a model that is not a plain dense decoder.
    """
    if isinstance(model, Architecture):
        return model
    if hasattr(model, "to_dict"):
        return _from_config(model.to_dict(), getattr(model, "name_or_path", "") or model.model_type)
    name = str(model)
    table = _table()
    if name.lower() in table:
        return table[name.lower()]
    for architecture, hub_id in zip(table.values(), _hub_ids(), strict=True):
        if name.lower() == hub_id.lower():
            return architecture
    path = data_folder() / "models" / "nano" if name == "nano" else Path(name)
    if path.is_dir():
        path = path / "config.json"
    if not Path(name).exists() and name != "nano" and is_hub_id(name):
        path = _hub_config(name)
    if not path.is_file():
        raise ModelError(
            f"{name}: not in the catalogue ({', '.join(table)}, nano), and no config.json at {path}. "
            "Give a name of the catalogue or the path of the model's config.json."
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not a readable JSON file ({error}); download config.json again") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path}: holds no JSON object; it must be the model's config.json")
    return _from_config(config, name)


def _hub_config(hub_id: str) -> Path:
    """config.json of a model of the hub: from the local cache, else fetched (a few kilobytes, never the weights)."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    cached = try_to_load_from_cache(hub_id, "config.json")
    if isinstance(cached, str):
        return Path(cached)
    known = f"give the path of its config.json, or a name of the catalogue ({', '.join(_table())}, nano)"
    if is_offline():
        raise ModelError(f"{hub_id}: not on this machine, and offline mode is on ({offline_reason()}); {known}")
    try:
        ask_hub(hub_id)
    except ModelError as error:
        raise ModelError(f"{error} Or {known}.") from error
    try:
        return Path(hf_hub_download(hub_id, "config.json"))
    except Exception as error:  # network, disk: each library below raises its own
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"{hub_id}: its config.json could not be fetched ({reason}); {known}") from error


def _from_config(config: dict, name: str) -> Architecture:
    """Sizes from a configuration; transformers fills in what the file leaves out."""
    from transformers import CONFIG_MAPPING

    kind = config.get("model_type")
    if kind not in CONFIG_MAPPING:
        raise ModelError(f"{name}: model_type {kind!r} is not known to the installed transformers; upgrade it")
    try:
        text = CONFIG_MAPPING[kind].from_dict(config).get_text_config()
    except Exception as error:  # whatever transformers makes of a damaged configuration
        raise ModelError(f"{name}: transformers cannot read this configuration: {error}") from error
    needed = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
    missing = [field for field in needed if not isinstance(getattr(text, field, None), int)]
    experts = [key for key in ("num_experts", "num_local_experts", "n_routed_experts") if getattr(text, key, None)]
    odd = [kind for kind in getattr(text, "layer_types", None) or () if "attention" not in kind or "linear" in kind]
    if missing or experts or odd or getattr(text, "is_encoder_decoder", False):
        why = f"no {', '.join(missing)}" if missing else "experts, an encoder or layers other than attention"
        alone = "" if missing else _weights_alone(text, name)
        raise ModelError(
            f"{name}: only plain dense decoders can be counted; this one has {why}. {alone}Measure a short run."
        )
    heads = text.num_attention_heads
    quantization = config.get("quantization_config") or {}
    architecture = Architecture(
        name=name,
        model_type=text.model_type,
        hidden_size=text.hidden_size,
        num_hidden_layers=text.num_hidden_layers,
        num_attention_heads=heads,
        num_key_value_heads=getattr(text, "num_key_value_heads", None) or heads,
        head_dim=getattr(text, "head_dim", None) or text.hidden_size // heads,
        intermediate_size=text.intermediate_size,
        vocab_size=text.vocab_size,
        tie_word_embeddings=bool(getattr(text, "tie_word_embeddings", False)),
        attention_bias=bool(getattr(text, "attention_bias", False)) or text.model_type == "qwen2",
    )
    if text.model_type not in VERIFIED:
        real = _real_parameters(text, name)
        if abs(architecture.parameters / real - 1) > 0.02:
            counted = f"{architecture.parameters:,} parameters counted, {real:,} in the real model"
            raise ModelError(f"{name}: its layers are not those of a plain decoder ({counted}). Measure a short run.")
    skipped = skipped_parameters(architecture, quantization.get("llm_int8_skip_modules") or ())
    return replace(architecture, skipped=skipped)


def _weights_alone(config, name: str) -> str:
    """What the weights of a model take whose training cannot be counted; empty where it cannot even be built."""
    try:
        real = _real_parameters(config, name)
    except ModelError:
        return ""
    return f"Its {real / 1e9:.1f} billion parameters alone take {real * HALF / GIB:.1f} GiB in 16 bits. "


def _real_parameters(config, name: str) -> int:
    """Parameters of the model that transformers builds from a configuration, without memory for its weights."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except Exception as error:  # whatever the model's own code makes of its configuration
        raise ModelError(f"{name}: transformers cannot build this model: {error}. Measure a short run.") from error
    return sum(weight.numel() for weight in model.parameters())


@cache
def _table() -> dict[str, Architecture]:
    """The catalogue's architectures by name, as in data/hardware/architectures.csv."""
    text = ("name", "model_type")
    sizes = [field.name for field in fields(Architecture) if field.name in read_hardware("architectures.csv")[0]]
    return {
        row["name"]: Architecture(
            **{name: row[name] if name in text else int(row[name]) for name in sizes if name != "tie_word_embeddings"},
            tie_word_embeddings=row["tie_word_embeddings"] == "true",
            skipped=float(row["skipped_b"]) * 1e9,
        )
        for row in read_hardware("architectures.csv")
    }


@cache
def _hub_ids() -> tuple[str, ...]:
    return tuple(row["hub_id"] for row in read_hardware("architectures.csv"))
