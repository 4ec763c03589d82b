"""A row in our form written in another format; what the format cannot hold is told and never dropped in silence."""

from collections.abc import Iterator

from ftlab.data.forms import OWN_NAMES

WRITTEN_ROLES = {"system": "system", "user": "human", "assistant": "gpt", "tool": "tool"}


def losses(data: dict, to: str) -> Iterator[tuple]:
    """Everything in a legal messages row that the format `to` cannot hold, as (code, field, *values)."""
    messages = data["messages"]
    for name in data:
        if name in OWN_NAMES[to] - {"messages"} and (to, name) not in (("preference", "rejected"), ("kto", "label")):
            yield "name_taken", name, to
    if to == "kto" and not isinstance(data.get("label"), bool):
        yield "no_label", "label"
    elif to != "kto" and data.get("label") is False:
        yield "bad_answer_lost", "label", to
    if to not in ("messages", "preference") and isinstance(data.get("rejected"), list):
        yield "rejected_lost", "rejected", to
    if to in ("instruction", "alpaca", "sharegpt"):
        for index, turn in enumerate(messages):
            yield from _turn_losses(turn, f"messages[{index}]", to)
    if to in ("instruction", "alpaca"):
        yield from _text_losses(data, messages, to)
    if to in ("prompt_completion", "preference", "kto"):
        yield from _prompt_losses(messages, to)
    if to == "preference" and data.get("rejected") is None:
        yield "no_rejected", "rejected"


def _turn_losses(turn, at, to):
    for key, value in turn.items():
        if value is None or key in ("role", "content"):
            continue
        if key == "weight":
            if value == 0:
                yield "weight_zero_lost", f"{at}.weight", to
            elif to != "sharegpt":  # there it stays in the turn and harms nobody
                yield "weight_one_lost", f"{at}.weight", to
        else:
            yield "tool_calls_lost" if key == "tool_calls" else "key_lost", f"{at}.{key}", to
    if turn["role"] == "tool" and to != "sharegpt":
        yield "tool_turn_lost", f"{at}.role", to


def _text_losses(data, messages, to):
    if data.get("tools"):
        yield "tools_lost", "tools", to
    start = messages[0]["role"] == "system"
    if start and to == "instruction":
        yield "system_lost", "messages[0].role", to
    for index, turn in enumerate(messages[start:]):
        if turn["role"] != ("user", "assistant")[index % 2]:
            yield "order_lost", f"messages[{index + start}].role", to
            return
    if to == "instruction" and len(messages) - start > 2:
        yield "turns_lost", f"messages[{start + 2}]", to


def _prompt_losses(messages, to):
    if len(messages) == 1:
        yield "no_prompt", "messages", to
    for index, turn in enumerate(messages[:-1]):
        if turn["role"] == "assistant" and turn.get("weight") != 0:
            yield "trained_prompt", f"messages[{index}].weight", to
    if messages[-1].get("weight") == 0:
        yield "answer_weight", f"messages[{len(messages) - 1}].weight", to


def write_row(data: dict, to: str) -> dict:
    """The row in the format `to`, which is known to hold it."""
    messages, extras = data["messages"], {key: value for key, value in data.items() if key != "messages"}
    if to == "messages":
        return data
    if to in ("prompt_completion", "kto"):
        return {"prompt": messages[:-1], "completion": messages[-1:], **extras}
    if to == "preference":
        rejected = extras.pop("rejected")
        return {"prompt": messages[:-1], "chosen": messages[-1:], "rejected": rejected, **extras}
    if to == "sharegpt":
        return {"conversations": [_sharegpt_turn(turn) for turn in messages], **extras}
    texts = [turn["content"] for turn in messages]
    system = [texts.pop(0)] if messages[0]["role"] == "system" else []
    *earlier, question, answer = texts
    if to == "instruction":
        return {"instruction": question, "response": answer, **extras}
    row = {"instruction": question, "input": "", "output": answer}
    if system:
        row["system"] = system[0]
    if earlier:
        row["history"] = [list(pair) for pair in zip(earlier[::2], earlier[1::2], strict=True)]
    return row | extras


def _sharegpt_turn(turn):
    others = {key: value for key, value in turn.items() if key not in ("role", "content") and value is not None}
    return {"from": WRITTEN_ROLES[turn["role"]], "value": turn["content"], **others}


