"""Each service's rules as a table: what is taken, and what is refused before anything is sent, with its words."""

import pytest
from hosted_cases import MODELS, PAIR, count_words, pairs, tickets

from ftlab.data.findings import Row
from ftlab.errors import DataError
from ftlab.hosted.prepare import prepare
from ftlab.hosted.stand_in import StandIn

USER = {"role": "user", "content": "Where is parcel 7?"}
ANSWER = {"role": "assistant", "content": "In Lyon."}
CALL = {"id": "a", "type": "function", "function": {"name": "find", "arguments": '{"parcel": 7}'}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "Lyon"}
TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}
WITH_TOOLS = {"messages": [USER, CALLS, RESULT, ANSWER], "tools": [TOOL]}
UNTRAINED = {"messages": [USER, ANSWER | {"weight": 0}, USER, ANSWER]}
OPENAI_LIKE = ("openai", "azure", "together", "fireworks")
CLOUDS = ("vertex", "bedrock")


def turns(*messages, **more):
    return {"messages": list(messages)} | more


ROWS = {  # name: (a row, services that take it, {words: services that refuse it so})
    "a question and an answer": (turns(USER, ANSWER), MODELS, {}),
    "a system turn before": (turns({"role": "system", "content": "Be short."}, USER, ANSWER), MODELS, {}),
    "two rounds": (turns(USER, ANSWER, USER, ANSWER), MODELS, {}),
    "an answer that is not trained on": (UNTRAINED, OPENAI_LIKE, {"knows no weight": CLOUDS}),
    "a call and its result": (WITH_TOOLS, OPENAI_LIKE, {"carries no tools": CLOUDS}),
    "a call without a result": (
        turns(USER, CALLS, USER, ANSWER, tools=[TOOL]),
        (),
        {"has no result before the next turn": OPENAI_LIKE, "": CLOUDS},
    ),
    "a result of another call": (
        turns(USER, CALLS, RESULT | {"tool_call_id": "b"}, ANSWER, tools=[TOOL]),
        (),
        {"answers the call 'b'": OPENAI_LIKE, "": CLOUDS},
    ),
    "a result without a call": (
        turns(USER, RESULT, ANSWER),
        (),
        {"answers no call": OPENAI_LIKE, "": CLOUDS},
    ),
    "a call of what is not described": (
        turns(USER, CALLS, RESULT, ANSWER, tools=[TOOL | {"function": {"name": "other"}}]),
        (),
        {"which is not in the row's tools": OPENAI_LIKE, "carries no tools": CLOUDS},
    ),
    "arguments that are no JSON": (
        turns(
            USER,
            CALLS | {"tool_calls": [CALL | {"function": {"name": "find", "arguments": "parcel 7"}}]},
            RESULT,
            ANSWER,
            tools=[TOOL],
        ),
        (),
        {"is not a JSON object": OPENAI_LIKE, "": CLOUDS},
    ),
    "a role that is not known": (turns({"role": "human", "content": "Hi"}, ANSWER), (), {"role": tuple(MODELS)}),
    "a developer's turn": (
        turns({"role": "developer", "content": "Be short."}, USER, ANSWER),
        (),
        {"system": tuple(MODELS)},
    ),
    "no answer at the end": (turns(USER, ANSWER, USER), (), {"": tuple(MODELS)}),
    "an empty answer": (turns(USER, {"role": "assistant", "content": ""}), (), {"": tuple(MODELS)}),
    "two questions in a row": (
        turns(USER, USER, ANSWER),
        ("openai", "azure", "vertex", "fireworks"),
        {"wants user and assistant in turns": ("bedrock", "together")},
    ),
    "a reserved word": (
        turns({"role": "user", "content": "User: hello"}, ANSWER),
        ("openai", "azure", "vertex", "together", "fireworks"),
        {"fails the job for the reserved text 'User:'": ("bedrock",)},
    ),
    "a pair where SFT is asked": (PAIR, (), {"preference pair": tuple(MODELS)}),
}


@pytest.fixture(scope="module")
def stand_in():
    with StandIn() as stand_in, pytest.MonkeyPatch.context() as patch:
        for name, value in stand_in.environment().items():
            patch.setenv(name, value)
        yield stand_in
    assert stand_in.requests == []  # nothing of all this was sent


def preparing(service, row, method="sft"):
    """The row as the first of twelve, the others being good."""
    placed = Row(row, "rows.jsonl", 1)
    rest = pairs(11) if method == "dpo" or "rejected" in row else tickets(11)
    return prepare(service, MODELS[service], [placed, *rest], method=method)


TAKEN = [(name, service) for name, (_, services, _) in ROWS.items() for service in services]
REFUSED = [
    (name, service, words)
    for name, (_, _, refused) in ROWS.items()
    for words, services in refused.items()
    for service in services
]


@pytest.mark.parametrize(("name", "service"), TAKEN)
def test_it_is_taken(stand_in, name, service):
    job, report = preparing(service, ROWS[name][0])
    assert (job.state, report.rows, report.dropped) == ("prepared", 12, [])


@pytest.mark.parametrize(("name", "service", "words"), REFUSED)
def test_it_is_refused_and_named(stand_in, name, service, words):
    with pytest.raises(DataError) as caught:
        preparing(service, ROWS[name][0])
    assert words in str(caught.value)
    assert "nothing was written" in str(caught.value)
    assert "rows.jsonl:1" in str(caught.value)


def test_every_row_is_judged_for_every_service():
    for name, (_, taken, refused) in ROWS.items():
        judged = sorted([*taken, *(service for services in refused.values() for service in services)])
        assert judged == sorted(MODELS), name


@pytest.mark.parametrize(("service", "least"), [("openai", 10), ("azure", 10), ("bedrock", 8), ("fireworks", 3)])
def test_too_few_rows_are_refused_at_the_limit(stand_in, service, least):
    assert prepare(service, MODELS[service], tickets(least))[1].rows == least
    with pytest.raises(DataError, match=f"wants at least {least} rows and has {least - 1}"):
        prepare(service, MODELS[service], tickets(least - 1))


@pytest.mark.parametrize("service", ["openai", "azure", "vertex"])
def test_too_long_a_row_is_warned_of_where_a_limit_is_known(stand_in, service):
    long = Row(turns({"role": "user", "content": "word " * 140_000}, ANSWER), "rows.jsonl", 1)
    _, report = prepare(service, MODELS[service], [long, *tickets(11)], tokenizer=count_words)
    assert "too_many_tokens" in {finding.code for finding in report.findings}
    _, report = prepare(service, MODELS[service], tickets(12), tokenizer=count_words)
    assert "too_many_tokens" not in {finding.code for finding in report.findings}


@pytest.mark.parametrize("service", [name for name in MODELS if name != "bedrock"])
def test_pairs_are_taken_for_dpo_and_conversations_refused(stand_in, service):
    assert preparing(service, PAIR, "dpo")[1].rows == 12
    with pytest.raises(DataError, match="takes a preference pair"):
        preparing(service, turns(USER, ANSWER), "dpo")


def test_broken_rows_can_be_left_out(stand_in):
    rows = [Row(turns(USER, CALLS, USER, ANSWER, tools=[TOOL]), "rows.jsonl", 1), *tickets(12)]
    job, report = prepare("openai", MODELS["openai"], rows, drop=True)
    assert (report.rows, job.rows["train"], len(report.dropped)) == (12, 12, 1)
