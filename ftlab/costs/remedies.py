"""What would make a run fit a card: changes of its settings, the one that costs least first."""

from dataclasses import asdict, dataclass

from ftlab.costs.architecture import Architecture, find_architecture, known_models
from ftlab.costs.arguments import check_whole
from ftlab.costs.cards import find_gpu
from ftlab.costs.memory import OPTIMIZERS, Memory, estimate_memory
from ftlab.tables import html_table


@dataclass(frozen=True)
class Remedy:
    """One setting that changes, what it costs you, and the GiB needed with it and all remedies before it."""

    setting: str
    old: object
    new: object
    loss: str
    device_gib: float = 0.0

    @property
    def free(self) -> bool:
        """Whether it costs nothing."""
        return self.loss.startswith("none")


@dataclass(frozen=True, repr=False)
class WhatWouldFit:
    """The changes, least loss first, and the run that they lead to; `memory.fits` says whether they suffice."""

    changes: list[Remedy]
    memory: Memory

    def to_dict(self) -> dict:
        """Ready for JSON: the changes, and the memory after all of them."""
        changes = [asdict(change) | {"device_gib": round(change.device_gib, 3)} for change in self.changes]
        return {"fits": self.memory.fits, "changes": changes, "memory": self.memory.to_dict()}

    def _rows(self):
        return [
            (change.setting, f"{change.old} -> {change.new}", f"{change.device_gib:.1f}", change.loss)
            for change in self.changes
        ]

    def __repr__(self):
        lines = [f"{setting}: {step}  ({size} GiB; {loss})" for setting, step, size, loss in self._rows()]
        if not self.memory.fits:
            lines.append("still too large: take a card with more memory")
        return "\n".join([*(lines or ["fits as it is"]), repr(self.memory)])

    def _repr_html_(self):
        heading = ("setting", "change", "GiB needed", "what it costs you")
        steps = html_table([heading, *self._rows()]) if self.changes else "<p>fits as it is</p>"
        return steps + self.memory._repr_html_()


def what_would_fit(model, method: str = "qlora", *, gpu, longest: int | None = None, **settings) -> WhatWouldFit:
    """The changes that make a run fit on `gpu`, the one that costs least first; what does not help is left out.

    `longest` is the longest row of your data in tokens: a shorter `length` is only proposed down to it. Other
    arguments as for `estimate_memory`.
    """
    if longest is not None:
        check_whole("longest", longest)
    start = {"method": method, "gpu": find_gpu(gpu), **settings}

    def needed(steps, name=None):
        return estimate_memory(name or architecture, **(start | {step.setting: step.new for step in steps}))

    architecture, name = find_architecture(model), None
    memory, steps = needed([]), []
    for step in proposals(memory, longest):
        if memory.fits:
            break
        smaller = needed([*steps, step])
        if step.free or smaller.device_gib < memory.device_gib - 0.01:  # a free one may help only with later ones
            steps, memory = [*steps, step], smaller
    if not memory.fits:
        name = next((other for other in smaller_models(architecture) if needed(steps, other).fits), None)
        memory = needed(steps, name)
    for costs_nothing in (False, True):  # a later change may have made an earlier one needless: take that back
        for step in [step for step in reversed(steps) if step.free is costs_nothing]:
            fewer = [other for other in steps if other is not step]
            other = needed(fewer, name)
            as_small = other.fits == memory.fits and other.device_gib < memory.device_gib + 0.01
            if as_small or other.fits and not step.free:
                steps, memory = fewer, other
    changes = [
        Remedy(step.setting, step.old, step.new, step.loss, needed(steps[: place + 1]).device_gib)
        for place, step in enumerate(steps)
    ]
    if name is not None:
        loss = "knows and can do less: measure it against your bar"
        changes.append(Remedy("model", architecture.name, name, loss, memory.device_gib))
    return WhatWouldFit(changes, memory)


def proposals(memory: Memory, longest: int | None) -> list[Remedy]:
    """Changes from the settings of `memory`, in order of least loss; a later one of the same setting goes further."""
    run = memory.settings
    found = []

    def propose(setting, new, loss):
        found.append(Remedy(setting, run[setting], new, loss))

    if longest and longest < run["length"]:
        propose("length", longest, "none: no row of your data is longer")
    if run["logits"] != "fused":
        propose("logits", "fused", "none: the same loss, computed in pieces")
    again = "each layer is computed twice: about a third more time"
    if run["checkpointing"] == "off":
        propose("checkpointing", "on", again)
    if run["checkpointing"] != "unsloth" and run["trainer"] == "unsloth":
        twice = f"{again}; " if run["checkpointing"] == "off" else ""
        propose("checkpointing", "unsloth", f"{twice}activations wait in host RAM; the same result")
    batch, rank, methods = run["batch"], run["rank"], ["full", "lora", "qlora"]
    while batch > 1:
        batch //= 2
        propose("batch", batch, "accumulate gradients to keep the effective batch; a little slower")
    if OPTIMIZERS[run["optimizer"]] is None:
        propose("optimizer", "adamw_8bit", "small: the optimizer's state is rounded to 8 bits")
    while rank > 8 and "full" not in run["method"]:
        rank = max(8, rank // 2)
        propose("rank", rank, "small on most tasks: less room to learn")
    base = run["method"].removeprefix("dpo_")
    losses = {"lora": "learns less than full fine-tuning", "qlora": "4-bit base weights: slower, slightly worse"}
    if base == "full":
        losses["qlora"] = f"{losses['lora']}; {losses['qlora']}"
    for method in methods[methods.index(base) + 1 :]:
        propose("method", run["method"].replace(base, method), losses[method])
    return found


def smaller_models(architecture: Architecture) -> list[str]:
    """Names of the catalogue's smaller models, the largest first, those of the same family before the others."""
    smaller = [other for other in known_models() if other.parameters < architecture.parameters]
    smaller.sort(key=lambda other: (other.model_type != architecture.model_type, -other.parameters))
    return [other.name for other in smaller]
