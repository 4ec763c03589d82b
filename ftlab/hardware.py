"""What this machine has, and what it can therefore train."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from ftlab.tables import html_table

GIB = 2**30
PACKAGES = ("torch", "transformers", "trl", "peft", "unsloth", "bitsandbytes", "datasets")
# QLoRA, batch 2, length 2048, with Unsloth: peaks measured on a T4, plus 10 % for fragmentation
# (Qwen3-14B 12.95 GiB, Llama-3.1-8B 7.92, Llama-3.2-3B 6.53; outputs of Unsloth's own notebooks, 2026)
QLORA_NEEDS_GIB = {"14B": 12.95 * 1.1, "8B": 7.92 * 1.1, "3B": 6.53 * 1.1}


@dataclass(frozen=True)
class FourBit:
    """Whether 4-bit loading works here, and why."""

    works: bool
    why: str


@dataclass(frozen=True)
class SmolSpeed:
    """How `smol` trains on this CPU: `bf16_gain` is the speed of matrices in bf16 over that in fp32."""

    precision: str
    bf16_gain: float
    tokens_per_second: float

    def __str__(self):
        return (f"trains in {self.precision} (this CPU multiplies bf16 {self.bf16_gain:.2g} times as fast as fp32), "
                f"about {float(f'{self.tokens_per_second:.2g}'):,.0f} tokens/s with LoRA, measured now")  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """One computer; sizes in GiB, `gpu` None on a CPU, `smol` None on a GPU."""

    gpu: str | None
    vram_gib: float | None
    cpu: str
    cores: int
    ram_gib: float
    disk_free_gib: float
    precision: str
    four_bit: FourBit
    versions: dict[str, str]
    on_colab: bool
    smol: SmolSpeed | None = None
    notes: tuple[str, ...] = ()

    def rows(self) -> list[tuple[str, str]]:
        """The facts as (name, value) pairs, ready to print."""
        gpu = f"{self.gpu}, {self.vram_gib:.1f} GiB" if self.gpu else "none found"
        return [
            ("GPU", gpu),
            ("CPU", f"{self.cpu}, {self.cores} core{'s' * (self.cores != 1)}"),
            ("memory", f"{self.ram_gib:.1f} GiB"),
            ("free disk", f"{self.disk_free_gib:.0f} GiB"),
            ("precision", self.precision),
            ("4-bit", f"{'yes' if self.four_bit.works else 'no'}: {self.four_bit.why}"),
            *([("smol", str(self.smol))] if self.smol else []),
            ("where", "Google Colab" if self.on_colab else platform.platform(terse=True)),
            ("versions", ", ".join(f"{name} {version}" for name, version in self.versions.items())),
        ]

    def __repr__(self) -> str:
        lines = [f"{name:<10} {value}" for name, value in self.rows()]
        return "\n".join([*lines, *(f"- {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        return html_table([("", "this machine"), *self.rows()], after=self.notes)


def describe(folder: str | Path = ".") -> Machine:
    """Look at this machine; `folder` is where the free disk space is measured."""
    import psutil

    gpu, vram_gib = gpu_here()
    machine = Machine(
        gpu, vram_gib, cpu_name(), usable_cores(), psutil.virtual_memory().total / GIB,
        shutil.disk_usage(folder).free / GIB, precision(), check_four_bit(gpu), versions(),
        on_colab="COLAB_RELEASE_TAG" in os.environ, smol=None if gpu else smol_speed(),
    )  # fmt: skip
    idle = "" if gpu else idle_gpu()
    return replace(machine, notes=(*advise(machine), *([idle] if idle else [])))


def precision(model: str = "nano") -> str:
    """ "bf16" on a GPU that computes it (Ampere and newer), "fp16" on an older one (T4); on a CPU whichever is faster.

    `nano` stays at fp32 on a CPU: it is so small that nothing is won, and a loss curve without rounding noise is
    easier to read.
    """
    import torch

    if not torch.cuda.is_available():
        return "bf16" if model != "nano" and bf16_gain() > 1 else "fp32"
    # torch.cuda.is_bf16_supported() says True for a T4, which only emulates it: ask for the architecture
    major, _ = torch.cuda.get_device_capability(0)
    return "bf16" if major >= 8 or torch.version.hip else "fp16"


def torch_dtype(precision: str):
    """The torch.dtype of "fp32", "fp16" or "bf16"."""
    import torch

    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]


@cache
def bf16_gain() -> float:
    """How many times as fast as fp32 this CPU multiplies matrices in bf16; measured in about a second.

    Above 1 with AMX or avx512_bf16; far below 1 where bf16 is only emulated, which a few small products show.
    """
    gain = _bf16_gain(rows=16, rounds=2)
    return gain if gain < 0.3 else _bf16_gain(rows=960, rounds=4)


def _bf16_gain(rows: int, rounds: int) -> float:
    import torch

    left, right = torch.randn(rows, 576), torch.randn(576, 1536)  # a batch against one layer of `smol`
    seconds = {}
    for _ in range(rounds):  # the two in turn, the best of each: the first prepares, other work disturbs both alike
        for dtype in (torch.float32, torch.bfloat16):
            a, b = left.to(dtype), right.to(dtype)
            start = time.perf_counter()
            for _ in range(5):
                a @ b
            seconds[dtype] = min(seconds.get(dtype, float("inf")), time.perf_counter() - start)
    return seconds[torch.float32] / seconds[torch.bfloat16]


@cache
def smol_tokens_per_second(dtype: str) -> float:
    """Tokens a second that this CPU will train `smol` with by LoRA (r 16, every linear layer), in one or two seconds.

    A layer of its shape goes forward and backward; times its 30 layers, and the head once. A real step with Unsloth and
    AdamW took 1.26 times that sum, which is counted in: 129 expected, 131 to 149 seen (bf16, one core with AMX, rows
    of 120 tokens). Other work on the machine slows both.
    """
    import torch

    rows, length = 4, 120  # tickets are about as long
    batch = torch.randn(rows, length, 576, requires_grad=True)
    shapes = [(576, 576), (192, 576), (192, 576), (576, 576), (1536, 576), (1536, 576), (576, 1536)]
    frozen = [torch.full(shape, 0.02, dtype=torch_dtype(dtype)) for shape in [*shapes, (49152, 576)]]
    adapters = [[torch.full((16, inputs), 0.02, requires_grad=True), torch.zeros(outputs, 16, requires_grad=True)]
                for outputs, inputs in shapes]  # fmt: skip
    seconds = {}
    for part, forward, times in (("layer", _smol_layer, 4), ("head", _smol_head, 2)):
        for _ in range(times):  # the best: the first one prepares, and other work disturbs
            start = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
                loss = forward(batch, frozen, adapters)
            loss.backward()
            seconds[part] = min(seconds.get(part, float("inf")), time.perf_counter() - start)
    return rows * length / (30 * seconds["layer"] + seconds["head"]) / 1.26


def _smol_layer(x, frozen, adapters):
    from torch.nn import functional

    def linear(i, x):
        down, up = adapters[i]
        return functional.linear(x, frozen[i]) + functional.linear(functional.linear(x, down), up)

    normed = functional.rms_norm(x, (576,))
    q, k, v = (linear(i, normed).unflatten(-1, (-1, 64)).transpose(1, 2) for i in range(3))
    seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    x = x + linear(3, seen.transpose(1, 2).flatten(2))
    normed = functional.rms_norm(x, (576,))
    return (x + linear(6, functional.silu(linear(4, normed)) * linear(5, normed))).float().mean()


def _smol_head(x, frozen, adapters):
    from torch.nn import functional

    scores = functional.linear(x, frozen[-1]).float().flatten(0, 1)
    return functional.cross_entropy(scores, scores.new_zeros(len(scores), dtype=int))


def smol_speed() -> SmolSpeed:
    """Precision and speed of training `smol` on this CPU."""
    chosen = precision("smol")
    return SmolSpeed(chosen, bf16_gain(), smol_tokens_per_second(chosen))


def gpu_here() -> tuple[str | None, float | None]:
    """Name and memory (GiB) of the first CUDA GPU, or (None, None)."""
    import torch

    if not torch.cuda.is_available():
        return None, None
    properties = torch.cuda.get_device_properties(0)
    return properties.name, properties.total_memory / GIB


def check_four_bit(gpu: str | None) -> FourBit:
    """Whether bitsandbytes is there to quantise the base model to NF4."""
    if importlib.util.find_spec("bitsandbytes") is None:
        return FourBit(False, "bitsandbytes is not installed; run `make setup`")
    cpu = "bitsandbytes NF4 works on a CPU, slower per token the larger the model; off by default"
    return FourBit(True, "bitsandbytes NF4 on the GPU" if gpu else cpu)


def idle_gpu() -> str:
    """Why torch does not use a GPU that is here, and what to do; empty when there is none."""
    import torch

    if torch.backends.mps.is_available():
        return "Apple's GPU is not used: the course trains on the CPU of a Mac."
    if shutil.which("nvidia-smi") is None:
        return ""
    if torch.version.cuda is None:
        what = "is a build without CUDA: install PyTorch's CUDA build of the same version into this environment."
    else:
        what = (f"finds no GPU: the driver may be older than CUDA {torch.version.cuda} wants, or the GPU is hidden "
                "(CUDA_VISIBLE_DEVICES). Look at `nvidia-smi`.")  # fmt: skip
    return f"An NVIDIA driver is here, but torch {torch.__version__} {what}"


def advise(machine: Machine) -> list[str]:
    """Plain sentences: what will run there and what will not."""
    notes = ["Every notebook runs here with the bundled model `nano`, offline."]
    if machine.gpu is None:
        notes.append("No GPU: `nano` trains in minutes; models of 1B parameters and more need an NVIDIA GPU "
                     "(the README, \"Other machines\").")  # fmt: skip
    elif machine.four_bit.works:
        fits = [size for size, gib in QLORA_NEEDS_GIB.items() if machine.vram_gib >= gib]
        large = ("QLoRA (4-bit, batch 2, 2,048 tokens) fits models up to about {}; "
                 "`ftlab memory` works it out for one model.")  # fmt: skip
        small = "This GPU is small: choose a model of 1B parameters or fewer, a batch of 1 and short texts."
        notes.append(large.format(fits[0]) if fits else small)
    if machine.precision == "fp16":
        notes.append("This GPU has no bf16: train with fp16=True, bf16=False.")
    if machine.ram_gib < 4:
        short = f"Only {machine.ram_gib:.1f} GiB of memory"
        notes.append(f"{short}: close other programs; loading the libraries takes about 1.5 GiB.")
    if machine.disk_free_gib < 2:
        notes.append(f"Only {machine.disk_free_gib:.1f} GiB of disk left: checkpoints and model downloads may fail.")
    return notes


def cpu_name() -> str:
    """The processor's own name where the system tells it, else the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def usable_cores() -> int:
    """Cores this process may use: fewer than the machine has inside a container."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Installed version of each library the course stands on; "missing" where there is none."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return found
