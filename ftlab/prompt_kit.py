"""The prompt kit: fill-in prompts for any chat model, each a markdown file in data/prompt_kit.

Filling in sends nothing. `run_prompt` sends one finished prompt to an OpenAI-compatible server, and only when told to.
"""

import re
from dataclasses import astuple, dataclass, replace
from difflib import get_close_matches
from pathlib import Path

import yaml

from ftlab.chat_service import ChatService, number, turns_to_send
from ftlab.decide import Case
from ftlab.errors import DataError, ModelError
from ftlab.models import data_folder
from ftlab.tables import html_table

NOT_KNOWN = "not known"  # what a slot says when its fact is missing; every prompt asks for such facts
SLOT = re.compile(r"\{\{(\w+)\}\}")
FRONT = re.compile(r"---\n(.*?)\n---\n(.*)", re.DOTALL)

REACHED = ("prompt_accuracy", "the best prompt reaches {:.4g} %", "what the best prompt reaches")
PRIVATE = {True: "the data must stay in the house", False: "the data may leave the house"}
KEPT_UP = {True: "kept up by somebody", False: "nobody keeps it up"}
FACTS = {  # by slot: a field of a case, how a prompt says it, what it is called when it is not known
    "data": (
        ("examples", "{:,} labelled examples", "the number of examples"),
        ("example_quality", "their quality is {}", "their quality"),
    ),
    "changes": (
        ("facts_change", "the facts change: {}", "how often the facts change"),
        ("task_changes", "the task changes: {}", "how often the task changes"),
    ),
    "volume": (
        ("calls_per_day", "{:,.9g} calls a day", "calls a day"),
        ("latency_ms", "an answer within {:,.9g} ms", "how long an answer may take"),
    ),
    "accuracy": (REACHED, ("target_accuracy", "{:.4g} % would be good enough", "what would be good enough")),
    "results": (REACHED,),
    "constraints": (
        ("private_data", PRIVATE, "whether the data may leave the house"),
        ("budget_usd", "{:,.9g} USD for the first three months", "the budget"),
        ("maintainer", KEPT_UP, "who keeps it up"),
    ),
}


@dataclass(frozen=True)
class Slot:
    """One place to fill in, with what belongs there and an example value."""

    name: str
    description: str
    example: str


@dataclass(frozen=True, repr=False)
class KitPrompt:
    """A prompt with {{places}}; `fill` puts the values in."""

    name: str
    title: str
    purpose: str
    slots: tuple[Slot, ...]
    text: str

    def fill(self, /, **slots) -> str:
        """The finished prompt; values go in literally. DataError for a missing, empty or unknown slot."""
        known = {slot.name: slot for slot in self.slots}
        for name in slots:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
                raise DataError(f"prompt {self.name}: {name}: unknown slot; {hint}")
        values = {name: "" if value is None else str(value) for name, value in slots.items()}
        empty = [slot for name, slot in known.items() if not values.get(name, "").strip()]
        if empty:
            lines = "".join(f"\n  {slot.name}: {slot.description}" for slot in empty)
            remedy = f"write it, or {NOT_KNOWN!r} and the model will ask"
            raise DataError(f"prompt {self.name}: {len(empty)} slot(s) without a value; {remedy}:{lines}")
        return SLOT.sub(lambda place: values[place[1]], self.text)

    def __repr__(self):
        lines = [f"{self.name}: {self.title}", f"  {self.purpose}"]
        return "\n".join([*lines, *(f"  {{{{{s.name}}}}}  {s.description}" for s in self.slots)])

    def _repr_html_(self):
        rows = [("name", "description", "example"), *map(astuple, self.slots)]
        return html_table(rows, self.title, self.purpose)


@dataclass(frozen=True, repr=False)
class PromptRun:
    """What was sent, or would be, and what came back: `answer` is None when nothing was sent.

    `rough_tokens` counts four characters a token, about right for English; the other two are the server's count.
    """

    url: str
    model: str
    characters: int
    rough_tokens: int
    with_key: bool
    answer: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    def __repr__(self):
        key = "with your key" if self.with_key else "without a key"
        what = f"{self.characters:,} characters (about {self.rough_tokens:,} tokens)"
        if self.answer is None:
            where = f"{self.url}, model {self.model}, {key}"
            return f"Nothing was sent. {what} would go to {where}. confirm=True sends them."
        sides = ((self.prompt_tokens, "in"), (self.completion_tokens, "out"))
        counts = [f"{tokens:,} tokens {side}" for tokens, side in sides if tokens is not None]
        head = f"{self.model} at {self.url}: {', '.join(counts) or what + ' sent'}"
        cut_off = "\n[cut off at the server's length limit: ask for less at a time]"
        return f"{head}\n\n{self.answer}{cut_off if self.finish_reason == 'length' else ''}"


def read_kit() -> dict[str, KitPrompt]:
    """The prompts by name, in the order of the course."""
    folder = data_folder() / "prompt_kit"
    prompts = [read_prompt(path) for path in sorted(folder.glob("*.md"))]
    if not prompts:
        raise DataError(f"{folder} holds no prompt (.md): get data/prompt_kit back from the repository")
    return {prompt.name: prompt for prompt in prompts}


def read_prompt(path: Path) -> KitPrompt:
    """One prompt file: YAML between two lines `---` with title, purpose and slots, then the text."""
    parts = FRONT.fullmatch(path.read_text(encoding="utf-8"))
    if not parts:
        raise DataError(f"{path}: must begin with a line ---, then title, purpose and slots as YAML, then a line ---")
    try:
        front, text = yaml.safe_load(parts[1]), parts[2].strip() + "\n"
        slots = tuple(Slot(name, **slot) for name, slot in front["slots"].items())
        title, purpose = front["title"], front["purpose"]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        needs = "title, purpose and slots, each slot with description and example"
        raise DataError(f"{path}: the YAML at the top cannot be used ({error}); give {needs}") from error
    for name in sorted({slot.name for slot in slots} ^ set(SLOT.findall(text))):
        raise DataError(f"{path}: {name} stands either in the text or under slots; it must stand in both")
    return KitPrompt(path.stem.lstrip("0123456789_"), title, purpose, slots, text)


def slots_from_case(case: Case, prompt: KitPrompt | None = None) -> dict[str, str]:
    """What a case knows, in words, by slot (only those of `prompt` when given); the others are left out."""
    names = {slot.name for slot in prompt.slots} if prompt else None
    found = {"task": case.task, "wants": ", ".join(case.wants)}
    for slot, facts in FACTS.items():
        values = [getattr(case, name) for name, _, _ in facts]
        if any(value is not None for value in values):
            found[slot] = "; ".join(_say(value, *fact) for value, fact in zip(values, facts, strict=True))
    return {slot: text for slot, text in found.items() if names is None or slot in names}


def _say(value, name: str, words, what: str) -> str:
    if value is None:
        return f"{what}: {NOT_KNOWN}"
    if isinstance(value, bool):
        return words[value]
    return words.format(100 * value if name.endswith("_accuracy") else value)


def run_prompt(
    text: str,
    base_url: str,
    model: str,
    api_key_env: str | None = None,
    confirm: bool = False,
    max_tokens: int | None = None,
    timeout: float = 120,
) -> PromptRun:
    """Send one prompt, once, to an OpenAI-compatible server; without `confirm=True`, only say what would be sent where.

    `base_url` is what an OpenAI client takes (http://localhost:8000/v1); `api_key_env` names the environment variable
    that holds the key (None: no key is sent); `max_tokens` limits the answer (None: the server's own limit), `timeout`
    the wait for it in seconds. RecipeError or DataError for what cannot be sent, ModelError for what the server does;
    none shows the key.
    """
    service = ChatService(base_url, model, api_key_env, retries=0, timeout=timeout)
    if not isinstance(text, str) or not text.strip():
        raise DataError("text: is empty; fill a prompt of the kit first: read_kit()['decide'].fill(...)")
    messages = turns_to_send([{"role": "user", "content": text}], "text")
    limit = {} if max_tokens is None else {"max_tokens": number("max_tokens", max_tokens, 1, whole=True)}
    run = PromptRun(service.url, model, len(text), -(-len(text) // 4), bool(service.key()))
    if confirm is not True:
        return run
    with service.client() as client:
        reply = service.ask(client, model, messages, **limit)
    if not reply.text.strip():
        why = f"refuses: {reply.refusal[:300]}" if reply.refusal else f"wrote no text ({reply.finish_reason})"
        raise ModelError(f"{service.url}: the model {why}; change the prompt, or allow a longer answer")
    return replace(run, answer=reply.text, finish_reason=reply.finish_reason, prompt_tokens=reply.prompt_tokens,
                   completion_tokens=reply.new_tokens)  # fmt: skip
