"""A row of the formats that people have, read into our form; nothing is lost in silence.

Our form is `messages`, the chat format of `ftlab.data.schema`, with `rejected` (the turns of the other answer) in a
preference pair and `label` (true or false) in a rated answer (KTO). What a format cannot hold is an error that says so.

What the formats mean here:
- instruction and alpaca: the instruction and its input become one user turn, a blank line between them.
- prompt_completion and preference: nothing in the prompt is trained on, so its assistant turns get weight 0.
- preference: `messages` is the prompt and the chosen answer; the turns of the other answer stand in `rejected`.
- kto: a row of any format but preference with a boolean `label` (or `kto_tag`) that rates the last answer.
- sharegpt: a function_call turn becomes the assistant's tool calls, with the arguments as JSON text.
- `system` (or `system_prompt`) beside any format but messages is the system turn.
"""

import json
from itertools import chain

from ftlab.data import jsonl, schema
from ftlab.data.findings import Finding, Row, as_findings, kind_of

# the accepted names of each field, the one that is written first
NAMES = {
    "instruction": ("instruction", "question", "query", "prompt"),
    "input": ("input", "context"),
    "output": ("output", "response", "answer"),
    "system": ("system", "system_prompt"),
    "history": ("history",),
}
PROMPT_NAMES = ("prompt", "question", "instruction", "query")  # of a preference row; the first there is counts
# what each format needs, in words
FORMATS = {
    "messages": "messages",
    "instruction": "instruction (or question, query, prompt) and response (or answer)",
    "prompt_completion": "prompt and completion",
    "preference": "prompt (or question), chosen and rejected, or input, preferred_output and non_preferred_output",
    "kto": "label (or kto_tag), true or false, beside prompt and completion, messages, conversations or an instruction",
    "sharegpt": "conversations (or conversation)",
    "alpaca": "instruction and output, or an instruction format with input (or context) or history",
}
# the names a format uses itself, which no extra column may have
_SYSTEM = set(NAMES["system"])
_OPENAI_PAIR = {"input", "preferred_output", "non_preferred_output"}
OWN_NAMES = {
    "messages": {"messages"},
    "instruction": set(chain(*NAMES.values())),
    "prompt_completion": {"prompt", "completion"} | _SYSTEM,
    "preference": {"prompt", "chosen", "rejected"} | _OPENAI_PAIR | _SYSTEM,
    "kto": {"prompt", "completion", "label"} | _SYSTEM,
    "sharegpt": {"conversations"} | _SYSTEM,
    "alpaca": set(chain(*NAMES.values())),
}
SHAREGPT_ROLES = {role: role for role in schema.ROLES} | schema.ROLE_HINTS | {
    "chatgpt": "assistant", "bing": "assistant", "bard": "assistant",
    "observation": "tool", "function_response": "tool", "tool_response": "tool",
}  # fmt: skip
CALL_ROLES = ("function_call", "tool_call")  # turns whose text is a call
PLACEHOLDERS = {"nan", "none", "null", "n/a", "<noinput>", "<no input>", "<nooutput>"}  # of a field that is empty


class _Bad(Exception):
    """The first thing that keeps a row from being read: code, field and the values of its message."""


# --- one row into messages


def fits(data: dict) -> frozenset[str]:
    """The formats whose fields the row has."""
    names = {name for name, value in data.items() if value is not None}
    found = {"messages"} & names
    if {"prompt", "completion"} <= names:
        found.add("prompt_completion")
    if {"chosen", "rejected"} <= names or {"preferred_output", "non_preferred_output"} <= names:
        found.add("preference")
        if data.get("messages") == data.get("chosen"):  # a copy of it, as in UltraFeedback
            found.discard("messages")
    if _conversations(data):
        found.add("sharegpt")
    if names & set(NAMES["instruction"]) and names & set(NAMES["output"]):
        found.add("alpaca" if {"output", "history", *NAMES["input"]} & set(data) else "instruction")
    rated = found and "preference" not in found and schema.rating(data) is not None
    return frozenset(["kto"] if rated else found)


def read_row(row: Row, format: str) -> tuple[Row, list[Finding]]:
    """The row in our form, and everything that is wrong with it under the names that the source has."""
    if not isinstance(row.data, dict):
        return row, schema.row_findings(row)
    try:
        data, turns = _to_ours(row.data, format)
    except _Bad as bad:
        return row, as_findings([bad.args], row)
    ours = Row(data, row.file, row.line, row.at, turns)
    problems = (each for each in schema.row_problems(data) if format != "kto" or each[0] != "bad_answer")
    found = as_findings(problems, ours)
    found += as_findings(_doubts(row.data, format), row)
    return ours, found


def _to_ours(data: dict, format: str) -> tuple[dict, dict | None]:
    """The data in our form, and where its turns stand in the source."""
    if format == "messages":
        return {key: value for key, value in data.items() if key != "rejected" or value not in (None, "")}, None
    turns, rejected, extras = _READERS[format](data)
    for name in ("messages", "rejected") if rejected else ("messages",):
        if name in extras:
            raise _Bad("name_taken", name, "messages")
    row = {"messages": [turn for _, _, turn in turns], **extras}
    places = {"messages": [turn[:2] for turn in turns]}
    if rejected:
        row["rejected"] = [turn for _, _, turn in rejected]
        places["rejected"] = [turn[:2] for turn in rejected]
    return row, places


def _doubts(data, format):
    """What was read otherwise than it may have been meant."""
    for name in NAMES["input"] if format in ("instruction", "alpaca") else ():
        if is_placeholder(data.get(name)):
            yield "placeholder_input.read", name, data[name]
    for name in schema.JUDGED if format not in ("kto", "preference") else ():
        if data.get(name) in (0, "0", -1):
            yield "rating_as_number", name


def is_placeholder(text) -> bool:
    """True for a text that other tools write into a field that is empty."""
    return isinstance(text, str) and text.strip().casefold() in PLACEHOLDERS


def _text(data, field, format="", optional=False):
    """(name, text) of a field under one of its accepted names; an optional one may be empty or missing."""
    names = [name for name in NAMES[field] if data.get(name) is not None]
    names = [name for name in names if data[name] != ""] or ([] if optional else names[:1])
    if len(names) > 1:
        raise _Bad("two_names", names[1], names[0])
    if not names:
        if optional:
            return NAMES[field][0], ""
        raise _Bad("missing_field", NAMES[field][0], format, f"it (also accepted: {', '.join(NAMES[field][1:])})")
    if not isinstance(data[names[0]], str):
        raise _Bad("wrong_type", names[0], kind_of(data[names[0]]), "one string")
    return names[0], data[names[0]]


def _turn(role, place, text):
    return place, None, {"role": role, "content": text}


def _with_system(data, turns):
    """The turns after a system turn from a column `system`, where there is one."""
    name, text = _text(data, "system", optional=True)
    if not text:
        return turns
    if any(isinstance(turn, dict) and turn.get("role") == "system" for _, _, turn in turns):
        raise _Bad("two_systems", name)
    return [_turn("system", name, text), *turns]


def _without(data, names):
    return {name: value for name, value in data.items() if name not in names}


def _read_instruction(data):
    """Turns of an instruction or alpaca row."""
    name, instruction = _text(data, "instruction", "instruction")
    _, given = _text(data, "input", optional=True)
    given = "" if is_placeholder(given) else given
    answer_name, answer = _text(data, "output", "instruction")
    turns = []
    history = [] if data.get("history") in (None, "") else data["history"]
    if not isinstance(history, list):
        raise _Bad("wrong_type", "history", kind_of(history), "a list of pairs [question, answer]")
    for index, pair in enumerate(history):
        place = f"history[{index}]"
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)):
            raise _Bad("wrong_type", place, kind_of(pair), "a pair of strings: [question, answer]")
        turns += [_turn("user", f"{place}[0]", pair[0]), _turn("assistant", f"{place}[1]", pair[1])]
    question = "\n\n".join(text for text in (instruction, given) if text)
    turns += [_turn("user", name, question), _turn("assistant", answer_name, answer)]
    return _with_system(data, turns), [], _without(data, OWN_NAMES["instruction"])


def _read_sharegpt(data):
    name = _conversations(data) or "conversations"
    conversations = data.get(name)
    if conversations is None:
        raise _Bad("missing_field", "conversations", "sharegpt", FORMATS["sharegpt"])
    if not isinstance(conversations, list) or not conversations:
        raise _Bad("wrong_type", name, kind_of(conversations), "a list of turns")
    turns = []
    for index, turn in enumerate(conversations):
        place, names = f"{name}[{index}]", {}
        if isinstance(turn, dict):
            for theirs, ours in (("from", "role"), ("value", "content")):
                if theirs in turn and ours in turn:
                    raise _Bad("two_names", f"{place}.{ours}", theirs)
                if theirs in turn:
                    names[ours] = theirs
            ours = {theirs: ours for ours, theirs in names.items()}
            turn = {ours.get(key, key): value for key, value in turn.items()}
            role = turn.get("role")
            if isinstance(role, str):
                plain = role.strip().lower()
                turn["role"] = SHAREGPT_ROLES.get(plain, role)
                if plain in CALL_ROLES:
                    turn |= {"role": "assistant", "content": None, "tool_calls": _calls(turn, place, names, role)}
                    names["tool_calls"] = names.get("content", "content")
        turns.append((place, names, turn))
    extras = _without(data, OWN_NAMES["sharegpt"] | {name})
    tools = jsonl.json_container(extras["tools"]) if isinstance(extras.get("tools"), str) else None
    if isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools):  # JSON text, as LLaMA-Factory has it
        extras["tools"] = [tool if "function" in tool else {"type": "function", "function": tool} for tool in tools]
    return _with_system(data, turns), [], extras


def _calls(turn, place, names, role):
    """The tool calls that a function_call turn holds as JSON text."""
    text = turn.get("content")
    value = jsonl.json_container(text) if isinstance(text, str) else None
    calls = value if isinstance(value, list) else [value]
    keys = {"name", "arguments"}
    if not calls or not all(isinstance(call, dict) and keys <= set(call) <= keys | {"id"} for call in calls):
        raise _Bad("bad_call", f"{place}.{names.get('content', 'content')}", role)
    result = []
    for call in calls:
        text = call["arguments"]
        text = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
        name = {"id": call["id"]} if "id" in call else {}
        result.append({**name, "type": "function", "function": {"name": call["name"], "arguments": text}})
    return result


def _side(value, place, role):
    """The turns of a prompt or an answer, given as text or as a list of turns."""
    if isinstance(value, str):
        return [_turn(role, place, value)]
    if isinstance(value, list) and value:
        return [(f"{place}[{index}]", {}, turn) for index, turn in enumerate(value)]
    raise _Bad("wrong_type", place, kind_of(value), "text or a list of turns")


def _untrained(turns):
    """The turns of a prompt, the assistant's with weight 0."""
    result = []
    for place, names, turn in turns:
        if isinstance(turn, dict) and turn.get("role") == "assistant":
            if turn.get("weight") not in (None, 0):
                raise _Bad("prompt_weight", f"{place}.weight")
            turn = turn | {"weight": 0}
        result.append((place, names, turn))
    return result


def _sides(data, format, *names):
    """The values of the fields of a prompt and its answers, all text or all lists."""
    for name in names:
        if data.get(name) is None:
            raise _Bad("missing_field", name, format, FORMATS[format])
    for name in names[1:]:
        if isinstance(data[name], str) != isinstance(data[names[0]], str):
            raise _Bad("two_forms", name, kind_of(data[name]), names[0], kind_of(data[names[0]]))
    return [data[name] for name in names]


def _read_prompt_completion(data):
    prompt, completion = _sides(data, "prompt_completion", "prompt", "completion")
    turns = _untrained(_side(prompt, "prompt", "user")) + _side(completion, "completion", "assistant")
    return _with_system(data, turns), [], _without(data, OWN_NAMES["prompt_completion"])


def _read_preference(data):
    if "preferred_output" in data or "non_preferred_output" in data:
        return _read_openai_preference(data)
    if isinstance(data.get("rejected"), list) and any(isinstance(answer, str | list) for answer in data["rejected"]):
        raise _Bad("many_rejected", "rejected")
    chosen, rejected = _sides(data, "preference", "chosen", "rejected")
    names = PROMPT_NAMES if isinstance(chosen, str) else ("prompt",)  # beside turns a question is but a column
    name = next((name for name in names if data.get(name) is not None), "prompt")
    prompt = data.get(name)
    extras = _without(data, {"prompt", name, "chosen", "rejected"} | _SYSTEM)
    if name == "instruction" and isinstance(prompt, str):  # as alpaca has it
        field, given = _text(data, "input", optional=True)
        prompt = "\n\n".join(text for text in (prompt, given) if text and not is_placeholder(text))
        extras.pop(field, None)
    if extras.get("messages") == chosen:  # a copy of it, as in UltraFeedback
        del extras["messages"]
    if isinstance(chosen, list) and not isinstance(prompt, list):
        prompt, chosen, rejected = _shared_prompt(prompt, chosen, rejected)
    else:
        _sides(data, "preference", name, "chosen")
        prompt, chosen = _side(prompt, name, "user"), _side(chosen, "chosen", "assistant")
        rejected = _side(rejected, "rejected", "assistant")
    return _with_system(data, _untrained(prompt) + chosen), rejected, extras


def _shared_prompt(prompt, chosen, rejected):
    """Split two whole conversations into the turns they share and the answers."""
    chosen, rejected = _side(chosen, "chosen", "assistant"), _side(rejected, "rejected", "assistant")
    shorter = min(len(chosen), len(rejected)) - 1
    same = next((index for index in range(shorter) if chosen[index][2] != rejected[index][2]), shorter)
    if not same:
        raise _Bad("missing_field", "prompt", "preference", "it, or chosen and rejected that begin with the same turns")
    if prompt is not None and not any(isinstance(turn, dict) and turn.get("content") == prompt
                                      for _, _, turn in chosen[:same]):
        raise _Bad("prompt_differs", "prompt")
    return chosen[:same], chosen[same:], rejected[same:]


def _read_openai_preference(data):
    given = data.get("input")
    if not isinstance(given, dict) or not isinstance(given.get("messages"), list):
        raise _Bad("wrong_type", "input", kind_of(given), "an object with the list messages")
    chosen, rejected = _sides(data, "preference", "preferred_output", "non_preferred_output")
    extras = _without(data, _OPENAI_PAIR | _SYSTEM)
    for name, value in _without(given, {"messages"}).items():  # tools, parallel_tool_calls
        if name in extras or name in _SYSTEM:
            raise _Bad("two_names", f"input.{name}", name)
        extras[name] = value
    turns = _untrained(_side(given["messages"], "input.messages", "user"))
    turns += _side(chosen, "preferred_output", "assistant")
    return _with_system(data, turns), _side(rejected, "non_preferred_output", "assistant"), extras


def _conversations(data) -> str | None:
    """The name under which a row has the turns of ShareGPT."""
    if data.get("conversations") is not None:
        return "conversations"
    return "conversation" if isinstance(data.get("conversation"), list) else None


def _read_kto(data):
    rating = schema.rating(data)
    if rating is None:
        name = next((name for name in schema.JUDGED if name in data), "label")
        raise _Bad("not_rated", name, kind_of(data[name])) if name in data else _Bad("no_label", name)
    rest = _without(data, set(schema.JUDGED))
    if isinstance(rest.get("messages"), list):
        turns = [(f"messages[{index}]", {}, turn) for index, turn in enumerate(rest["messages"])]
        return turns, [], _without(rest, {"messages"}) | {"label": rating}
    has_completion = rest.get("completion") is not None
    read = _read_sharegpt if _conversations(rest) else _read_prompt_completion if has_completion else _read_instruction
    turns, _, extras = read(rest)
    return turns, [], extras | {"label": rating}


_READERS = {
    "kto": _read_kto,
    "instruction": _read_instruction,
    "alpaca": _read_instruction,
    "prompt_completion": _read_prompt_completion,
    "preference": _read_preference,
    "sharegpt": _read_sharegpt,
}
