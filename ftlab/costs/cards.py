"""The cards of data/hardware/gpus.csv, and the one way in which their names are understood."""

import csv
import re
from dataclasses import dataclass
from functools import cache

from pydantic import TypeAdapter

from ftlab.errors import DataError, RecipeError
from ftlab.models import data_folder

CONTEXT_GIB = 0.75  # CUDA context where gpus.csv has no measured value; reports go from 0.14 (T4) to 1.4


@dataclass(frozen=True)
class Gpu:
    """One card: memory in GiB (`usable_gib` as PyTorch sees it), dense 16-bit TFLOP/s, GB/s, watts."""

    name: str
    vram_gib: float
    usable_gib: float
    context_gib: float
    tflops: float
    bandwidth_gbs: float
    watts: float
    utilisation: float | None  # share of `tflops` reached in a measured run; None where nobody measured
    bf16: bool = True  # without it, models that overflow in fp16 are trained in 32 bits


def find_gpu(gpu) -> Gpu:
    """The card that a name means ("T4", "A100-80", "NVIDIA A100-SXM4-40GB"); a Gpu stays as it is.

    Raises RecipeError with the known names. A name that fits several cards means the one with the least memory.
    """
    if isinstance(gpu, Gpu):
        return gpu
    known = sorted(gpus(), key=lambda card: (card.vram_gib, card.name))
    asked = _words(str(gpu))
    for card in known:  # a longer name, as the driver spells it, or one without its space
        if set(_words(card.name)) <= set(asked) or asked == ["".join(_words(card.name))]:
            return card
    for card in known:  # a shorter one
        if asked and set(asked) <= set(_words(card.name)):
            return card
    names = ", ".join(card.name for card in known)
    raise RecipeError(f"gpu: {gpu!r} is not in data/hardware/gpus.csv. Known: {names}. Or pass a Gpu(...).")


def gpu_name(gpu: str) -> str:
    """The one spelling of a card's name, also of a card that we do not know."""
    try:
        return find_gpu(gpu).name
    except RecipeError:
        return " ".join(_words(gpu))


def _words(name: str) -> list[str]:
    """The words of a name; 80GB, 80 GB and 80 are the same."""
    words = [re.sub(r"(?<=\d)gi?b$", "", word) for word in re.findall(r"[a-z0-9]+", name.lower())]
    return [word for word in words if word not in ("gb", "gib")]


def read_hardware(name: str) -> list[dict]:
    """The rows of a table of data/hardware."""
    path = data_folder() / "hardware" / name
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise DataError(f"{path} cannot be read: check out the whole repository, or set FTLAB_DATA") from error


@cache
def gpus() -> tuple[Gpu, ...]:
    """All cards of the table."""
    default = {"context_gib": CONTEXT_GIB, "utilisation": None}  # of an empty cell
    rows = [default | {name: cell for name, cell in row.items() if cell} for row in read_hardware("gpus.csv")]
    return TypeAdapter(tuple[Gpu, ...]).validate_python(rows)
