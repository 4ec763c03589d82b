"""How large a LoRA adapter is: rank x (in + out) numbers beside each matrix of in x out that it changes."""

from collections.abc import Sequence
from dataclasses import dataclass

from ftlab.costs.architecture import Architecture, find_architecture
from ftlab.errors import DataError
from ftlab.tables import html_table

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
FEED_FORWARD = ("gate_proj", "up_proj", "down_proj")
TARGETS = ATTENTION + FEED_FORWARD
FULL, MOMENTS = 4, 8  # bytes a number in 32 bits, as adapters are trained; and of Adam's two averages


@dataclass(frozen=True)
class AdapterSize:
    """What an adapter adds to one model."""

    architecture: Architecture
    r: int
    target_modules: tuple[str, ...]

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """Name -> (in, out) of the changed matrices of one layer."""
        linears = {name.rpartition(".")[2]: size for name, size in self.architecture.linears.items()}
        return {name: linears[name] for name in self.target_modules}

    @property
    def parameters(self) -> int:
        """Trained numbers, in all layers."""
        return self.architecture.num_hidden_layers * self.r * sum(map(sum, self.matrices.values()))

    @property
    def share(self) -> float:
        """Trained numbers as a fraction of the model's."""
        return self.parameters / self.architecture.parameters

    def __repr__(self) -> str:
        return (
            f"{self.architecture.name}, rank {self.r} on {', '.join(self.target_modules)}: {self.parameters:,} trained "
            f"numbers, {self.share:.2%} of {self.architecture.parameters:,}; {self.parameters * FULL / 1e6:,.0f} MB in "
            f"32 bits, and {self.parameters * (FULL + MOMENTS) / 1e6:,.0f} MB for gradients and Adam while training"
        )

    def _repr_html_(self) -> str:
        layers = self.architecture.num_hidden_layers
        rows = [("matrix", "in x out", "numbers", "of the adapter", "share")]
        for name, (width, height) in self.matrices.items():
            added = self.r * (width + height)
            rows.append((name, f"{width:,} x {height:,}", f"{layers} x {width * height:,}", f"{layers} x {added:,}",
                         f"{added / (width * height):.1%}"))  # fmt: skip
        return html_table(rows, repr(self))


def adapter_size(model, r: int, target_modules: Sequence[str] = TARGETS) -> AdapterSize:
    """The size of a LoRA adapter of rank r; `model` is whatever `find_architecture` takes.

    Raises ModelError for an unknown model, DataError for a rank below 1, no matrix, or one that the model has not.
    """
    architecture = find_architecture(model)
    known = [name.rpartition(".")[2] for name in architecture.linears]
    if r < 1:
        raise DataError(f"r is {r}: a rank is a whole number from 1")
    if not target_modules or (unknown := [name for name in target_modules if name not in known]):
        wrong = f"target_modules: {', '.join(unknown)}" if target_modules else "target_modules is empty"
        raise DataError(f"{wrong}; {architecture.name} has {', '.join(known)}")
    return AdapterSize(architecture, r, tuple(target_modules))
