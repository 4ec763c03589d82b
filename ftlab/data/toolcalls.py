"""Tool calls and their results belong together: a service refuses, or bills, a conversation where they do not."""

from collections.abc import Iterator

from ftlab.data.findings import kind_of
from ftlab.data.jsonl import json_container


def tool_problems(row: dict) -> Iterator[tuple]:
    """(code, field, *values) of a row whose turns are sound; a call in the last turn needs no result."""
    tools = row.get("tools")
    if tools not in (None, "") and not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
        yield "bad_tools", "tools", "JSON text" if isinstance(tools, str) else kind_of(tools)
    waiting = {}  # the calls without a result: their place and id
    for index, turn in enumerate(row["messages"]):
        if turn.get("role") == "tool":
            yield from _result_problems(waiting, turn.get("tool_call_id"), f"messages[{index}]")
            continue
        for field, call_id in waiting.items():
            yield "no_result", field, call_id or "here"
        calls = enumerate(turn.get("tool_calls") or ())
        waiting = {f"messages[{index}].tool_calls[{number}]": call.get("id") for number, call in calls}
        for field, call_id in list(waiting.items())[1:]:
            if call_id is not None and list(waiting.values()).count(call_id) > 1:
                yield "same_call_id", f"{field}.id", str(call_id)


def _result_problems(waiting, answered, at):
    """Take the call that this result answers from those that wait; one without an id answers the first."""
    if not waiting:
        yield "orphan_result", f"{at}.role"
        return
    known = [field for field, call_id in waiting.items() if answered is None or call_id in (None, answered)]
    if not known:
        yield "unknown_call_id", f"{at}.tool_call_id", str(answered), ", ".join(map(str, waiting.values()))
    waiting.pop((known or list(waiting))[0])


def call_problems(where: str, turn: dict) -> Iterator[tuple]:
    """What a service would refuse in the calls of one turn, or in its result of one."""
    if turn["role"] == "tool" and not isinstance(turn.get("tool_call_id"), str):
        yield "bad_tool_call", f"{where}.tool_call_id", "is missing: it names the call that this answers"
    for index, call in enumerate(turn.get("tool_calls") or ()):
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        texts = (call.get("id"), function.get("name"), function.get("arguments"))
        if call.get("type") != "function" or not all(isinstance(text, str) for text in texts):
            yield "bad_tool_call", f"{where}.tool_calls[{index}]", "lacks a key or has one of a wrong type"
        elif json_container(function["arguments"]) is None:
            yield "bad_tool_call", f"{where}.tool_calls[{index}].function.arguments", "is not a JSON object"


def described_problems(row: dict) -> Iterator[tuple]:
    """Tools that are described in another form than the services', and calls of what is not described."""
    known = set()
    for index, tool in enumerate(row["tools"]):
        name = _called(tool)
        if tool.get("type") != "function" or not isinstance(name, str):
            yield "flat_tool", f"tools[{index}]"
            return
        known.add(name)
    for at in ("messages", "rejected"):
        for index, turn in enumerate(row.get(at) or ()):
            for number, call in enumerate(turn.get("tool_calls") or ()):
                name = _called(call)
                if isinstance(name, str) and name not in known:
                    yield "unlisted_call", f"{at}[{index}].tool_calls[{number}].function.name", name


def _called(tool: dict):
    """The name of the function of a description or a call."""
    function = tool.get("function")
    return function.get("name") if isinstance(function, dict) else None
