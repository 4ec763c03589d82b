"""What each service and trainer takes: the shape of its records, and which turns, weights and tool calls it knows.

A shape is a function from a row to a record. The row holds only what the target takes: `messages` for a conversation;
`prompt`, `chosen`, `rejected` for a preference pair; `prompt`, `completion`, `label` for an answer marked good or bad.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ftlab.errors import DataError

KINDS = {
    "chat": "a conversation",
    "preference": "a preference pair (chosen and rejected)",
    "unpaired": "an answer marked good or bad (label)",
}


@dataclass(frozen=True)
class Target:
    """A shape for each kind of row that is taken, and what may stand in a row.

    `weights`: a turn of a conversation may carry weight 0; `tools`: the kinds of row that may hold calls and
    results; `openai_calls`: a call needs an id and its arguments as JSON text; `alternate`: strictly user, assistant,
    user, ...; `one_output`: chosen and rejected are one turn each; `renders`: a trainer that takes the model's own chat
    template; `note` goes into the report.
    """

    chat: Callable[[dict], dict] | None = None
    preference: Callable[[dict], dict] | None = None
    unpaired: Callable[[dict], dict] | None = None
    weights: bool = False
    tools: tuple[str, ...] = ()
    openai_calls: bool = False
    alternate: bool = False
    one_output: bool = True
    renders: bool = False
    suffix: str = ".jsonl"
    note: str = ""

    def turn_keys(self, kind: str) -> tuple[str, ...]:
        """The keys of a turn that reach the file; others are counted and named in the report."""
        return ("role", "content") + (("name", "tool_calls", "tool_call_id") if kind in self.tools else ())

    def row_keys(self, kind: str) -> tuple[str, ...]:
        """The keys of a row, beside its turns, that reach the file."""
        extra = ("parallel_tool_calls",) if self.openai_calls else ()
        return (("tools",) if kind in self.tools else ()) + extra


def find_target(to: str) -> Target:
    """The target of this name; DataError names those that exist."""
    if to not in TARGETS:
        raise DataError(f"{to!r} is no export target; choose one of {', '.join(TARGETS)}")
    return TARGETS[to]


def other_target(to: str, kind: str) -> str:
    """Where to take a row of a kind that `to` does not know."""
    if kind == "unpaired":
        return "export it to trl_kto, or keep the rows with label true and delete that key"
    names = (f"{to}_dpo", f"{to}_preference", to.removesuffix("_dpo").removesuffix("_preference"))
    sibling = next((name for name in names if name in TARGETS and getattr(TARGETS[name], kind)), None)
    advice = f"export it to {sibling or 'trl, axolotl or llama_factory'}"
    return advice + (", or drop the rejected answer" if kind == "preference" else "")


# --- shapes


def _extras(row):
    return {key: row[key] for key in ("tools", "parallel_tool_calls") if key in row}


def _openai_dpo(row):
    return {
        "input": {"messages": row["prompt"]} | _extras(row),
        "preferred_output": row["chosen"],
        "non_preferred_output": row["rejected"],
    }


def _gemini(row):
    return _gemini_turns(row["messages"], "systemInstruction")


def _gemini_preference(row):
    pair = ((1, row["chosen"]), (0, row["rejected"]))
    completions = [{"score": score, "completion": _gemini_turn(turns[0])} for score, turns in pair]
    return _gemini_turns(row["prompt"], "system_instruction") | {"completions": completions}


def _gemini_turns(turns, system_key):
    """Contents with roles user and model; the system turn stands apart."""
    system, rest = _split_system(turns)
    head = {system_key: {"parts": [{"text": system}]}} if system is not None else {}
    return head | {"contents": [_gemini_turn(turn) for turn in rest]}


def _gemini_turn(turn):
    return {"role": "model" if turn["role"] == "assistant" else "user", "parts": [{"text": turn["content"]}]}


def _nova(row):
    system, rest = _split_system(row["messages"])
    return {
        "schemaVersion": "bedrock-conversation-2024",
        **({"system": [{"text": system}]} if system is not None else {}),
        "messages": [{"role": turn["role"], "content": [{"text": turn["content"]}]} for turn in rest],
    }


def _prompt_completion(row):
    return {"prompt": row["messages"][:-1], "completion": row["messages"][-1:]} | _extras(row)


def _axolotl(row):
    """Weight 0 becomes train: false, which the YAML names as message_field_training."""
    turns = [{key: value for key, value in turn.items() if key != "weight"} for turn in row["messages"]]
    for turn, own in zip(turns, row["messages"], strict=True):
        turn |= {"train": False} if "weight" in own else {}
    return {"messages": turns} | _extras(row)


def _turn_pair(row):
    """Axolotl and LLaMA-Factory: the prompt is called messages, and each output is one turn."""
    return {"messages": row["prompt"], "chosen": row["chosen"][0], "rejected": row["rejected"][0]} | _extras(row)


def _split_system(turns) -> tuple[str | None, list[dict]]:
    first = turns[0]["role"] == "system" if turns else False
    return (turns[0]["content"], turns[1:]) if first else (None, turns)


TRL_NOTE = "SFTTrainer trains on every token of messages unless you set assistant_only_loss=True"
UNSLOTH_NOTE = "apply the chat template, then train_on_responses_only, or the questions are trained on too"
VERTEX_NOTE = "Vertex reads gs:// only: `ftlab hosted submit` copies the files to your bucket, by hand you do"
BEDROCK_NOTE = "Bedrock reads s3:// only: `ftlab hosted submit` copies the files to your bucket, by hand you do"
AXOLOTL_NOTE = (
    "Axolotl drops rows by rules of its own; ask it: `axolotl preprocess axolotl.yaml --debug` in that folder logs how "
    "many it dropped and shows the labels of some"
)
LLAMA_NOTE = (
    "LLaMA-Factory drops a row that it cannot read and goes on; ask it: `llamafactory-cli train llama_factory.yaml` in "
    "that folder prints Num examples before the first step"
)

_OPENAI = {"tools": ("chat", "preference"), "openai_calls": True}
_TRL = {"tools": ("chat", "preference"), "one_output": False, "renders": True}
_VERTEX = {"note": VERTEX_NOTE}
TARGETS = {
    "openai": Target(chat=dict, weights=True, **_OPENAI),
    "openai_dpo": Target(preference=_openai_dpo, one_output=False, **_OPENAI),
    "azure": Target(chat=dict, weights=True, **_OPENAI),
    "azure_dpo": Target(preference=_openai_dpo, one_output=False, **_OPENAI),
    "gemini": Target(chat=_gemini, **_VERTEX),
    "gemini_preference": Target(preference=_gemini_preference, **_VERTEX),
    "bedrock_nova": Target(chat=_nova, alternate=True, note=BEDROCK_NOTE),
    "together": Target(chat=dict, weights=True, alternate=True, **_OPENAI),
    "together_dpo": Target(preference=_openai_dpo, alternate=True, **_OPENAI),
    "fireworks": Target(chat=dict, weights=True, **_OPENAI),
    "fireworks_dpo": Target(preference=_openai_dpo),
    "trl": Target(chat=dict, preference=dict, note=TRL_NOTE, **_TRL),
    "trl_prompt_completion": Target(chat=_prompt_completion, tools=("chat",), renders=True),
    "trl_kto": Target(unpaired=dict, tools=("unpaired",), renders=True),
    "unsloth": Target(chat=dict, preference=dict, note=UNSLOTH_NOTE, **_TRL),
    "axolotl": Target(
        chat=_axolotl, preference=_turn_pair, weights=True, tools=("chat",), renders=True, note=AXOLOTL_NOTE
    ),
    "llama_factory": Target(chat=dict, preference=_turn_pair, alternate=True, suffix=".json", note=LLAMA_NOTE),
}
