"""The open models of the catalogue by family: licence, access, what their chat template does, which card holds them.

The habits of a template are read off what it writes, not off its source: a chat with recognisable words goes in.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ftlab.costs.architecture import known_models
from ftlab.costs.memory import OFF, estimate_memory
from ftlab.models import CATALOGUE
from ftlab.tables import html_table

CARDS = ("T4", "L4", "A100-40GB", "A100-80GB", "H200")  # to rent, the smallest first
QUANTISED = re.compile("bnb|fp8|gguf", re.IGNORECASE)  # copies of a model that is listed too
UNKNOWN = "?"
OWN_TEXT = "; without one, a text of its own"
TOOL = {"type": "function", "function": {"name": "find_order", "description": "Find an order.", "parameters": {
    "type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]}}}  # fmt: skip
SYSTEM, USER, ANSWER = ({"role": role, "content": f"THE-{role}-TEXT"} for role in ("system", "user", "assistant"))


@dataclass(frozen=True)
class Habits:
    """What a chat template makes of a system message, of thoughts and of tools, and what it writes after an answer.

    An end of `eos_token` is whatever the tokenizer calls so.
    """

    system: str = UNKNOWN
    thinking: str = UNKNOWN
    tools: str = UNKNOWN
    end: str = UNKNOWN


@dataclass(frozen=True, repr=False)
class FamilyTable:
    """A heading, one row for each model, and notes to them."""

    rows: list[tuple[str, ...]]
    notes: list[str]

    def __repr__(self):
        widths = [max(map(len, column)) for column in zip(*self.rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in self.rows]
        return "\n".join([*lines, *self.notes])

    def _repr_html_(self):
        return html_table(self.rows, after=self.notes)


def families(templates: Mapping[str, str], listed=(), *, batch: int = 2, length: int = 2048) -> FamilyTable:
    """The table; `templates` are chat templates by hub id, `listed` the hub ids that the installed Unsloth lists."""
    counted = {architecture.name for architecture in known_models()}
    rows = [("model", "billions", "licence", "system", "thoughts", "tools", "end", "LoRA / QLoRA fits")]
    for model in sorted(CATALOGUE, key=lambda model: (family(model.name), model.params_b)):
        if model.name not in counted:
            continue
        template = templates.get(model.hub_id)
        habits = template_habits(template) if template else Habits()
        cards = [smallest_card(model.name, method, batch, length) for method in ("lora", "qlora")]
        licence = model.licence + (", gated" if model.gated else "")
        rows.append((model.hub_id, f"{model.params_b:g}", licence, habits.system.replace(OWN_TEXT, " *"),
                     habits.thinking, habits.tools, habits.end, " / ".join(cards)))  # fmt: skip
    notes = [f"fits: the smallest card that holds training and evaluation with {batch} x {length:,} tokens"]
    notes += [f"(close): may not fit, {OFF}"] if any("(close)" in row[-1] for row in rows) else []
    notes += ["*: " + OWN_TEXT.removeprefix("; ")] if any("*" in row[3] for row in rows) else []
    unlisted = ", ".join(row[0] for row in rows[1:] if row[0] not in listed)
    notes += [f"not in Unsloth's list: {unlisted}"] if listed and unlisted else []
    return FamilyTable(rows, notes)


def family(name: str) -> str:
    """The family of a catalogue name or hub id: its letters before the first digit or sign."""
    return re.match("[a-z]+?(?=lm|[^a-z]|$)", name.rpartition("/")[2].lower()).group()


def newer(listed) -> dict[str, list[str]]:
    """Of the hub ids that Unsloth lists: by family those of a later generation than any in the catalogue."""
    ours, found = {}, {}
    for model in CATALOGUE:
        if model.hub_id:
            name = family(model.name)
            ours[name] = max(_generation(model.hub_id), ours.get(name, 0))
    for name in (hub_id.removeprefix("unsloth/") for hub_id in listed if hub_id.startswith("unsloth/")):
        if not QUANTISED.search(name) and _generation(name) > ours.get(family(name), math.inf):
            found.setdefault(family(name), {}).setdefault(name.lower(), name)  # each stands there in small letters too
    return {name: [*found.get(name, {}).values()] for name in sorted(ours)}


def _generation(hub_id: str) -> float:
    """The first number of a name that is neither a size (7b) nor a date (2409); 0 without one."""
    numbers = re.findall(r"(?<![\d.])(\d{1,2}(?:\.\d+)?)(?![\d.]|m\b|b)", hub_id.rpartition("/")[2].lower())
    return float(next(iter(numbers), 0))


def smallest_card(model: str, method: str, batch: int = 2, length: int = 2048) -> str:
    """The first of CARDS on which training and evaluation with this batch fit, closely or not; or "none of these"."""
    for card in CARDS:
        memory = estimate_memory(model, method, batch=batch, length=length, gpu=card)
        if memory.fits and memory.evaluation_batch == batch:
            return f"{card} (close)" if memory.close else card
    return "none of these"


def template_habits(template: str) -> Habits:
    """Render a few chats with a chat template and say what became of their parts."""
    plain = _rendered(template, [USER, ANSWER])
    before, after = plain.split(USER["content"])[0], plain.split(ANSWER["content"])[1]
    return Habits(
        system=_system(template, before),
        thinking=_thinking(template),
        tools="yes" if "find_order" in _rendered(template, [USER, ANSWER], tools=[TOOL]) else "no",
        end=next(iter(re.findall(r"eos_token|<[^<>]+>", after)), after.strip() or "none"),
    )


def _system(template, before) -> str:
    """Where a system message stands; `before` is what stands before the user's text where there is none."""
    try:
        text = _rendered(template, [SYSTEM, USER])
    except Exception:  # a template refuses with an error of its own kind
        return "refused"
    own = OWN_TEXT if "system" in before else ""
    if SYSTEM["content"] not in text:
        return "dropped" + own
    between = text.split(SYSTEM["content"])[1].split(USER["content"])[0]
    return ("own turn" if between.strip() else "user's turn") + own


def _thinking(template) -> str:
    """Whether the prompt of an answer opens or closes a thought, and whether that can be chosen."""
    asked = {on: _rendered(template, [USER], add_generation_prompt=True, enable_thinking=on) for on in (True, False)}
    if asked[True] != asked[False]:
        return "optional"
    return "always" if "<think>" in asked[True] else "no"


def _rendered(template, chat, tools=None, **options) -> str:
    """The chat as the template writes it, without a tokenizer."""
    from transformers.utils.chat_template_utils import render_jinja_template

    options |= {"bos_token": "bos_token", "eos_token": "eos_token"}
    return render_jinja_template([chat], tools, chat_template=template, **options)[0][0]
