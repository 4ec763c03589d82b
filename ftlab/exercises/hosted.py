"""The exercises of notebook 11."""

from ftlab.exercises.engine import Exercise


def usd_a_call(training_usd, calls_a_day, days_left):
    """What the training adds to each call while the model still answers; None where it never answers."""
    calls = calls_a_day * days_left
    return training_usd / calls if calls > 0 else None


check_usd_a_call = Exercise("what the training adds to a call", usd_a_call, trials=[
    ((40.0, 1000, 400), "40 USD over 400,000 calls"),
    ((40.0, 1000, 40), "the same model, retired in 40 days: ten times as much for each call"),
    ((12.0, 50, 365), "few calls: 12 USD over 18,250"),
    ((40.0, 1000, 0), "no day is left, so no call carries it"),
], mistakes=[
    (lambda training_usd, calls_a_day, days_left: training_usd / calls_a_day,
     "that is spread over one day. The model answers on all the days that are left."),
    (lambda training_usd, calls_a_day, days_left: training_usd / (calls_a_day * 365),
     "the horizon is not a year but the days until the model retires."),
    (lambda training_usd, calls_a_day, days_left: training_usd * days_left / calls_a_day,
     "more days make a call cheaper: divide by them."),
    (lambda training_usd, calls_a_day, days_left: training_usd / max(1, calls_a_day * days_left),
     "where no day is left there is no call that could carry it: give None."),
])  # fmt: skip


def has_no_answer(row):
    """Whether a tool call of a row of messages, not of its last turn, has no result after it."""
    calls = {call["id"] for turn in row["messages"][:-1] for call in turn.get("tool_calls", [])}
    results = {turn.get("tool_call_id") for turn in row["messages"] if turn["role"] == "tool"}
    return bool(calls - results)


def _row(*turns):
    return {"messages": [{"role": "user", "content": "Where is parcel 7?"}, *turns]}


def _call(*ids):
    return {"role": "assistant", "content": "", "tool_calls": [{"id": id} for id in ids]}


def _result(id):
    return {"role": "tool", "tool_call_id": id, "content": "in Lyon"}


check_has_no_answer = Exercise("calls without a result", has_no_answer, trials=[
    ((_row(_call("a"), _result("a")),), "the call a has its result"),
    ((_row(_call("a"), {"role": "assistant", "content": "In Lyon."}),), "the call a has none"),
    ((_row(_call("a"), _result("b")),), "there is a result, of another call"),
    ((_row(_call("a", "b"), _result("b")),), "two calls at once, and one of them has none"),
    ((_row({"role": "assistant", "content": "In Lyon."}),), "no call, so nothing is missing"),
    ((_row(_call("a")),), "the row ends with the call: nothing is missing, the model learns to call"),
], mistakes=[
    (lambda row: not any(turn["role"] == "tool" for turn in row["messages"]),
     "you asked whether there is any result. Each call needs its own, by its id."),
    (lambda row: bool(row["messages"][-1].get("tool_calls")) or has_no_answer(row),
     "a call in the last turn needs no result: leave that turn out."),
    (lambda row: sum(len(turn.get("tool_calls", [])) for turn in row["messages"])
     != sum(turn["role"] == "tool" for turn in row["messages"]),
     "you compared the counts. A result of another call is no answer to this one: compare the ids."),
])  # fmt: skip
