"""Training files in six formats and five kinds of file: nothing is lost unseen on the way in, across or out."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftlab.data import findings, formats, forms
from ftlab.data.findings import Row, codes
from ftlab.data.formats import convert, detect, from_messages, read
from ftlab.data.rendering import answer_start
from ftlab.errors import DataError

SYSTEM = {"role": "system", "content": "Triage the ticket."}
USER = {"role": "user", "content": "Where is it?"}
ANSWER = {"role": "assistant", "content": "Here."}
UNTRAINED = ANSWER | {"weight": 0}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": {"name": "trace"}}]}
RESULT = {"role": "tool", "content": "{}", "tool_call_id": "1"}
CHAT = {"messages": [USER, ANSWER]}

# one row of each format and what it says as messages
SAYS = {
    "messages": (CHAT, CHAT),
    "instruction": ({"question": "Where is it?", "answer": "Here."}, CHAT),
    "prompt_completion": ({"prompt": "Where is it?", "completion": "Here."}, CHAT),
    "preference": (
        {"prompt": "Where is it?", "chosen": "Here.", "rejected": "Who asks?"},
        CHAT | {"rejected": [ANSWER | {"content": "Who asks?"}]},
    ),
    "kto": ({"prompt": "Where is it?", "completion": "Here.", "label": True}, CHAT | {"label": True}),
    "sharegpt": (
        {"conversations": [{"from": "human", "value": "Where is it?"}, {"from": "gpt", "value": "Here."}]},
        CHAT,
    ),
    "alpaca": ({"instruction": "Where is it?", "input": "", "output": "Here."}, CHAT),
}


def as_in_source(report):
    """The usable rows of what `read` gave, as the source has them."""
    usable = {id(row) for row in report.rows}
    return [line.row for line, row, _ in report.lines if id(row) in usable]


def put(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def as_messages(data, format):
    ours, found = forms.read_row(Row(data, "rows.jsonl", 7), format)
    findings.raise_findings(findings.errors_of(found))
    return ours.data


def rows_with_an_error(result):
    """Rows that have an error, counted from the findings: by line, or by element where a line holds several."""
    one_per_line = ".jsonl" in result.path.lower()  # there "[1]" is a place within the row
    places = set()
    for finding in result.findings:
        if finding.severity == "error":
            element = re.match(r"(data)?\[\d+\]", finding.field)
            places.add((finding.line, element[0] if element and not one_per_line else ""))
    return len(places)


# --- one row into messages


def test_every_format_has_a_sample():
    assert set(SAYS) == set(formats.FORMATS) == set(forms.OWN_NAMES)


@pytest.mark.parametrize("format", SAYS)
def test_a_row_says_the_same_as_messages(format):
    data, said = SAYS[format]
    extra = {"id": "7", "pattern": None, "score": 0.5}
    assert as_messages(data | extra, format) == said | extra
    assert detect([Row(data | extra, "f", 1)]) == format


@pytest.mark.parametrize(
    ("format", "data", "messages"),
    [
        (
            "alpaca",
            {"instruction": "Translate.", "input": "Brot", "output": "bread", "system": "Be brief.",
             "history": [["Hi", "Hello"]]},
            [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Translate.\n\nBrot"),
             ("assistant", "bread")],
        ),
        (
            "alpaca",
            {"instruction": "Who?", "context": "Ann came.", "response": "Ann", "category": "qa"},
            [("user", "Who?\n\nAnn came."), ("assistant", "Ann")],
        ),
        (
            "instruction",
            {"system_prompt": "Be brief.", "question": "q", "response": "a"},
            [("system", "Be brief."), ("user", "q"), ("assistant", "a")],
        ),
        (
            "sharegpt",
            {"system": "s", "conversations": [{"from": "user", "value": "q"}, {"role": "assistant", "content": "a"}]},
            [("system", "s"), ("user", "q"), ("assistant", "a")],
        ),
        (
            "sharegpt",
            {"conversations": [{"from": "human", "value": "q"}, {"from": "observation", "value": "{}"},
                               {"from": "gpt", "value": "a"}]},
            [("user", "q"), ("tool", "{}"), ("assistant", "a")],
        ),
        (
            "sharegpt",
            {"conversations": [{"from": "System", "value": "s"}, {"from": "Human", "value": "q"},
                               {"from": "chatgpt ", "value": "a"}, {"from": "user", "value": "r"},
                               {"from": "function_response", "value": "{}"}, {"from": "GPT", "value": "b"}]},
            [("system", "s"), ("user", "q"), ("assistant", "a"), ("user", "r"), ("tool", "{}"), ("assistant", "b")],
        ),
    ],
)  # fmt: skip
def test_turns_of_a_row(format, data, messages):
    read_back = as_messages(data, format)
    assert [(turn["role"], turn["content"]) for turn in read_back["messages"]] == messages
    others = set(read_back) - {"messages"}
    assert others == {"category"} & set(data)


def test_a_function_call_of_sharegpt_is_a_tool_call():
    tool = {"name": "trace", "parameters": {"type": "object"}}
    call = json.dumps([{"name": "trace", "arguments": {"order": "ü"}}, {"name": "stop", "arguments": "{}"}])
    turns = [("human", "q"), ("function_call", call), ("observation", "{}"), ("gpt", "a")]
    data = {"conversations": [{"from": role, "value": text} for role, text in turns], "tools": json.dumps([tool])}
    read_back = as_messages(data, "sharegpt")
    assert read_back["tools"] == [{"type": "function", "function": tool}]
    question, calling, result, answer = read_back["messages"]
    functions = [{"name": "trace", "arguments": '{"order": "ü"}'}, {"name": "stop", "arguments": "{}"}]
    assert calling == {
        "role": "assistant", "content": None,
        "tool_calls": [{"type": "function", "function": function} for function in functions],
    }  # fmt: skip
    assert [turn["role"] for turn in (question, result, answer)] == ["user", "tool", "assistant"]
    with pytest.raises(DataError, match="tools: is JSON text; write the list"):
        as_messages(data | {"tools": "a saw"}, "sharegpt")


def test_a_prompt_is_never_trained_on():
    data = {"prompt": [USER, ANSWER, USER], "completion": [ANSWER]}
    chat = as_messages(data, "prompt_completion")
    assert chat["messages"] == [USER, UNTRAINED, USER, ANSWER]
    with pytest.raises(DataError, match=r"messages\[1\]\.weight: prompt_completion trains on the last turn only"):
        from_messages({"messages": [USER, ANSWER, USER, ANSWER]}, "prompt_completion")
    assert from_messages(chat, "prompt_completion")["prompt"] == [USER, UNTRAINED, USER]


WORSE = ANSWER | {"content": "Who asks?"}


@pytest.mark.parametrize(
    "data",
    [
        {"prompt": [SYSTEM, USER], "chosen": [ANSWER], "rejected": [WORSE]},
        {"system": SYSTEM["content"], "prompt": USER["content"], "chosen": "Here.", "rejected": "Who asks?"},
        {"system": SYSTEM["content"], "question": USER["content"], "chosen": "Here.", "rejected": "Who asks?"},
        {"chosen": [SYSTEM, USER, ANSWER], "rejected": [SYSTEM, USER, WORSE]},
        {"prompt": USER["content"], "chosen": [SYSTEM, USER, ANSWER], "rejected": [SYSTEM, USER, WORSE]},
        {"input": {"messages": [SYSTEM, USER]}, "preferred_output": [ANSWER], "non_preferred_output": [WORSE]},
    ],
)
def test_every_form_of_a_preference_is_one_row(data):
    chat = as_messages(data, "preference")
    assert chat == {"messages": [SYSTEM, USER, ANSWER], "rejected": [WORSE]}
    trl = {"prompt": [SYSTEM, USER], "chosen": [ANSWER], "rejected": [WORSE]}
    assert from_messages(chat, "preference") == trl


def test_a_question_beside_a_prompt_or_turns_is_a_column():
    text = {"prompt": "q", "question": "other", "chosen": "a", "rejected": "b"}
    turns = {"question": "other", "chosen": [USER, ANSWER], "rejected": [USER, WORSE]}
    assert as_messages(text, "preference")["question"] == as_messages(turns, "preference")["question"] == "other"


def test_a_pair_holds_the_prompt_once_and_without_weights():
    data = {"prompt": [USER, ANSWER, USER], "chosen": [CALL, RESULT, ANSWER], "rejected": [WORSE], "id": "1"}
    chat = as_messages(data, "preference")
    assert chat["messages"][1] == UNTRAINED
    assert chat["messages"][answer_start(chat["messages"]) :] == data["chosen"]


def test_what_stands_inside_the_input_of_a_preference_is_kept():
    options = {"tools": [{"type": "function"}], "parallel_tool_calls": False}
    data = {"input": {"messages": [USER]} | options, "preferred_output": [ANSWER], "non_preferred_output": [WORSE]}
    assert as_messages(data | {"id": "1"}, "preference") == CHAT | {"rejected": [WORSE], "id": "1"} | options


def test_an_equal_pair_still_has_two_answers():
    chat = as_messages({"chosen": [USER, ANSWER], "rejected": [USER, ANSWER]}, "preference")
    assert chat == CHAT | {"rejected": [ANSWER]}


# a row that cannot be read: code, format, row, field
UNREADABLE = [
    ("many_rejected", "preference", {"prompt": "q", "chosen": "a", "rejected": ["b", "c"]}, "rejected"),
    ("not_rated", "kto", {"prompt": "q", "completion": "a", "label": "good"}, "label"),
    ("no_label", "kto", {"prompt": "q", "completion": "a"}, "label"),
    ("missing_field", "instruction", {"instruction": "q"}, "output"),
    ("missing_field", "preference", {"chosen": "a", "rejected": "b"}, "prompt"),
    ("missing_field", "preference", {"chosen": [USER, ANSWER], "rejected": [ANSWER]}, "prompt"),
    ("missing_field", "prompt_completion", {"prompt": "q", "completion": None}, "completion"),
    ("two_names", "instruction", {"instruction": "i", "question": "q", "answer": "a"}, "question"),
    ("two_names", "sharegpt", {"conversations": [{"from": "gpt", "role": "user", "value": "a"}]},
     "conversations[0].role"),
    ("two_names", "preference", {"input": {"messages": [USER], "id": "1"}, "id": "2", "preferred_output": [ANSWER],
                                 "non_preferred_output": [WORSE]}, "input.id"),
    ("two_forms", "prompt_completion", {"prompt": [USER], "completion": "a"}, "completion"),
    ("two_forms", "preference", {"prompt": "q", "chosen": [ANSWER], "rejected": "b"}, "rejected"),
    ("two_systems", "sharegpt", {"system": "s", "conversations": [{"from": "system", "value": "t"}]}, "system"),
    ("prompt_differs", "preference", {"prompt": "other", "chosen": [USER, ANSWER], "rejected": [USER, WORSE]},
     "prompt"),
    ("prompt_weight", "prompt_completion", {"prompt": [USER, ANSWER | {"weight": 1}], "completion": [ANSWER]},
     "prompt[1].weight"),
    ("name_taken", "instruction", {"instruction": "q", "output": "a", "messages": []}, "messages"),
    ("wrong_type", "alpaca", {"instruction": "q", "output": 42}, "output"),
    ("wrong_type", "alpaca", {"instruction": "q", "output": "a", "history": [["q"]]}, "history[0]"),
    ("wrong_type", "alpaca", {"instruction": "q", "output": "a", "history": "q"}, "history"),
    ("wrong_type", "sharegpt", {"conversations": []}, "conversations"),
    ("missing_field", "sharegpt", {"messages": [USER, ANSWER]}, "conversations"),
    ("wrong_type", "sharegpt", {"conversations": ["hi"]}, "conversations[0]"),
    ("bad_call", "sharegpt", {"conversations": [{"from": "function_call", "value": "trace()"}]},
     "conversations[0].value"),
    ("bad_call", "sharegpt", {"conversations": [{"role": "function_call", "content": '{"name": "trace"}'}]},
     "conversations[0].content"),
    ("bad_call", "sharegpt", {"conversations": [{"from": "tool_call", "value": "[]"}]}, "conversations[0].value"),
    ("missing_field", "preference", {"question": None, "chosen": "a", "rejected": "b"}, "prompt"),
    ("wrong_type", "prompt_completion", {"prompt": 1, "completion": 2}, "prompt"),
    ("wrong_type", "preference", {"input": [USER], "preferred_output": [ANSWER], "non_preferred_output": [WORSE]},
     "input"),
    # what check_chat says of the messages, under the names of the source
    ("empty_content", "instruction", {"question": "q", "answer": ""}, "answer"),
    ("empty_content", "alpaca", {"instruction": "q", "output": "a", "history": [["", "b"]]}, "history[0][0]"),
    ("missing_content", "sharegpt", {"conversations": [{"from": "gpt"}]}, "conversations[0].content"),
    ("unknown_role", "sharegpt", {"conversations": [{"from": "narrator", "value": "q"}]}, "conversations[0].from"),
    ("wrong_type", "sharegpt", {"conversations": [{"from": [], "value": "q"}]}, "conversations[0].from"),
    ("empty_content", "sharegpt", {"conversations": [{"from": "gpt", "value": " "}]}, "conversations[0].value"),
    ("last_not_assistant", "prompt_completion", {"prompt": [USER], "completion": [USER]}, "completion[0].role"),
    ("system_not_first", "prompt_completion", {"prompt": [USER, SYSTEM], "completion": [ANSWER]}, "prompt[1].role"),
    ("last_not_assistant", "preference", {"prompt": [USER], "chosen": [ANSWER], "rejected": [USER]},
     "rejected[0].role"),
    ("empty_content", "preference", {"prompt": "q", "chosen": "a", "rejected": ""}, "rejected"),
    ("empty_content", "preference", {"input": {"messages": [USER | {"content": ""}]}, "preferred_output": [ANSWER],
                                     "non_preferred_output": [WORSE]}, "input.messages[0].content"),
    ("missing_messages", "messages", {"prompt": "q"}, "messages"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "format", "data", "field"), UNREADABLE)
def test_a_row_that_cannot_be_read_says_where(tmp_path, code, format, data, field):
    good = SAYS[format][0]
    path = put(tmp_path, "rows.jsonl", lines(good, data, good))
    result = read(path, format)
    errors = [finding for finding in result.findings if finding.severity == "error"]
    assert (code, field, 2) in {(finding.code, finding.field, finding.line) for finding in errors}, result
    assert {finding.line for finding in errors} == {2}
    assert (result.rows_in, len(result.rows), result.rows_with_error) == (3, 2, 1)
    with pytest.raises(DataError, match=re.escape(f"rows.jsonl:7 {errors[0].field}")):
        as_messages(data, format)


# --- messages into another format

# what would be lost: code, format, messages or whole row, field
LOST = [
    ("tool_calls_lost", "alpaca", [USER, CALL, RESULT, ANSWER], "messages[1].tool_calls"),
    ("tool_calls_lost", "sharegpt", [USER, CALL, RESULT, ANSWER], "messages[1].tool_calls"),
    ("key_lost", "sharegpt", [USER, ANSWER, RESULT, ANSWER], "messages[2].tool_call_id"),
    ("key_lost", "instruction", [USER | {"name": "Ann"}, ANSWER], "messages[0].name"),
    ("tool_turn_lost", "alpaca", [USER, ANSWER, {"role": "tool", "content": "x"}, ANSWER], "messages[2].role"),
    ("tools_lost", "instruction", CHAT | {"tools": [{}]}, "tools"),
    ("weight_zero_lost", "sharegpt", [USER, UNTRAINED, USER, ANSWER], "messages[1].weight"),
    ("weight_zero_lost", "alpaca", [USER, UNTRAINED, USER, ANSWER], "messages[1].weight"),
    ("weight_one_lost", "instruction", [USER, ANSWER | {"weight": 1}], "messages[1].weight"),
    ("system_lost", "instruction", [SYSTEM, USER, ANSWER], "messages[0].role"),
    ("turns_lost", "instruction", [USER, ANSWER, USER, ANSWER], "messages[2]"),
    ("order_lost", "alpaca", [USER, USER, ANSWER], "messages[1].role"),
    ("order_lost", "instruction", [ANSWER], "messages[0].role"),
    ("no_prompt", "prompt_completion", [ANSWER], "messages"),
    ("trained_prompt", "preference", CHAT | {"messages": [USER, ANSWER] * 2, "rejected": [WORSE]},
     "messages[1].weight"),
    ("answer_weight", "prompt_completion", [USER, ANSWER, USER, UNTRAINED], "messages[3].weight"),
    ("rejected_lost", "sharegpt", CHAT | {"rejected": [WORSE]}, "rejected"),
    ("no_rejected", "preference", CHAT, "rejected"),
    ("no_label", "kto", CHAT, "label"),
    ("no_label", "kto", CHAT | {"label": "billing"}, "label"),
    ("wrong_type", "preference", CHAT | {"rejected": True}, "rejected"),
    ("last_not_assistant", "preference", CHAT | {"rejected": [USER]}, "rejected[0].role"),
    ("name_taken", "alpaca", CHAT | {"context": "shop"}, "context"),
    ("name_taken", "sharegpt", CHAT | {"system": "s"}, "system"),
    ("name_taken", "prompt_completion", CHAT | {"prompt": "q"}, "prompt"),
    ("wrong_type", "sharegpt", {"messages": "hi"}, "messages"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "format", "data", "field"), LOST)
def test_what_a_format_cannot_hold_is_an_error(tmp_path, code, format, data, field):
    data = data if isinstance(data, dict) else {"messages": data}
    with pytest.raises(DataError) as error:
        from_messages(data, format)
    told = [part.split(": ")[0] for part in str(error.value).splitlines()]
    assert field in told
    fits = CHAT | {"preference": {"rejected": [WORSE]}, "kto": {"label": True}}.get(format, {})
    path = put(tmp_path, "rows.jsonl", lines(fits, data))
    result = convert(path, tmp_path / "out.jsonl", format, format="messages")
    errors = [finding for finding in result.findings if finding.severity == "error"]
    assert (code, field, 2) in {(finding.code, finding.field, finding.line) for finding in errors}
    assert (result.rows_in, result.rows_written, result.rows_with_error) == (2, 1, 1)
    assert as_in_source(read(tmp_path / "out.jsonl", format)) == [from_messages(fits, format)]
    with pytest.raises(DataError, match=r"rows\.jsonl:1 "):
        convert(put(tmp_path, "rows.jsonl", lines(data)), tmp_path / "none.jsonl", format, format="messages")
    assert not (tmp_path / "none.jsonl").exists()


def test_every_code_has_a_test():
    shown = {code for code, *_ in UNREADABLE + LOST}
    shown |= {"bad_answer_lost", "placeholder_input", "rating_as_number"}  # these have tests of their own
    assert {code.partition(".")[0] for name in ("forms", "writing") for code in codes(name)} <= shown


def test_no_code_stands_in_two_sections():
    text = Path(findings.__file__).with_name("findings.yaml").read_text("utf-8")
    listed = re.findall(r"^  ([\w.]+): \[(?:error|warning|info), ", text, re.MULTILINE)
    assert len(listed) == len(codes()) == len(set(listed))


LETTER = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXT = st.text(LETTER, max_size=4).map(lambda text: text + "x")
WEIGHT = st.sampled_from([{}, {}, {"weight": 0}, {"weight": 1}])
NAME = st.sampled_from([{}, {}, {}, {"name": "Ann"}])


def turn(role, *extras):
    return st.builds(lambda text, *keys: {"role": role, "content": text} | dict(*map(dict.items, keys)), TEXT, *extras)


TOOL_USE = st.tuples(turn("user"), st.just(CALL), st.just(RESULT), turn("assistant"))
EXCHANGE = st.one_of(
    st.tuples(turn("user"), turn("assistant", WEIGHT)),
    st.tuples(turn("user"), turn("assistant", WEIGHT)),
    st.tuples(turn("user", NAME), turn("assistant")),
    st.tuples(turn("user"), turn("user"), turn("assistant")),
    TOOL_USE,
)
LEGAL = st.builds(
    lambda system, exchanges, extras: {"messages": [*system, *(turn for part in exchanges for turn in part)]} | extras,
    st.sampled_from([[], [], [SYSTEM]]),
    st.lists(EXCHANGE, min_size=1, max_size=2),
    st.fixed_dictionaries(
        {},
        optional={
            "id": TEXT,
            "slice": st.none() | st.integers() | st.lists(TEXT, max_size=2),
            "rejected": st.lists(turn("assistant"), min_size=1, max_size=1),
            "tools": st.just([{"type": "function"}]),
            "context": TEXT,
            "label": st.booleans(),
            "question": TEXT,
        },
    ),
)


def test_messages_to_any_format_and_back_is_the_identity_where_it_is_accepted():
    accepted, refused = Counter(), Counter()

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
    @given(LEGAL)
    def there_and_back(data):
        before = json.dumps(data)
        for format in formats.FORMATS:
            try:
                written = from_messages(data, format)
            except DataError:
                refused[format] += 1
                continue
            accepted[format] += 1
            assert as_messages(written, format) == data
            assert from_messages(as_messages(written, format), format) == written
            assert set(data) - {"messages"} <= set(written)
        assert json.dumps(data) == before  # the caller's row is left alone

    there_and_back()
    assert set(accepted) == set(formats.FORMATS)
    assert set(refused) >= set(formats.FORMATS) - {"messages"}


# --- rated answers (KTO)

GOOD = {"prompt": "Where is it?", "completion": "Here.", "label": True}
BAD = GOOD | {"completion": "Who asks?", "label": False}


@pytest.mark.parametrize(
    "rows",
    [
        [GOOD, BAD],
        [CHAT | {"label": True}, {"messages": [USER, WORSE], "label": False}],
        [{"conversations": row["messages"], "kto_tag": row is not CHAT} for row in (CHAT | {}, CHAT)],
        [GOOD | {"label": "True"}, BAD | {"label": "false"}],  # as a table has them
    ],
)
def test_rated_answers_are_a_format_of_their_own(tmp_path, rows):
    path = put(tmp_path, "a.jsonl", lines(*rows))
    result = read(path)
    assert (result.format, [row.data["label"] for row in result.rows]) == ("kto", [True, False])
    assert not result.findings
    convert(path, tmp_path / "trl.jsonl", "kto")
    written = [json.loads(line) for line in (tmp_path / "trl.jsonl").read_text().splitlines()]
    assert [set(row) for row in written] == [{"prompt", "completion", "label"}] * 2
    assert [row.data for row in read(tmp_path / "trl.jsonl").rows] == [row.data for row in result.rows]


@pytest.mark.parametrize("to", ["messages", "prompt_completion", "sharegpt", "alpaca", "instruction", "preference"])
def test_a_bad_answer_never_becomes_a_good_one(tmp_path, to):
    path = put(tmp_path, "a.jsonl", lines(GOOD, BAD))
    if to == "preference":  # a pair needs two answers
        with pytest.raises(DataError, match="rejected"):
            convert(path, tmp_path / "out.jsonl", to)
        return
    result = convert(path, tmp_path / "out.jsonl", to)
    assert [(found.code, found.line, found.field) for found in result.findings] == [("bad_answer_lost", 2, "label")]
    assert "Who asks?" not in (tmp_path / "out.jsonl").read_text()


def test_what_stands_for_an_empty_input_is_said_and_not_asked(tmp_path):
    path = put(tmp_path, "a.csv", ",instruction,input,output\n0,Name a fish,,Cod\n1,Name a bird,nan,Gull\n")
    result = read(path)
    assert [(found.code, found.line, found.field) for found in result.findings] == [("placeholder_input", 3, "input")]
    assert [row.data["messages"][0]["content"] for row in result.rows] == ["Name a fish", "Name a bird"]


def test_a_copy_of_the_chosen_answer_is_no_second_format(tmp_path):
    pair = {"chosen": [USER, ANSWER], "rejected": [USER, WORSE], "messages": [USER, ANSWER], "prompt": USER["content"]}
    for format in (None, "preference"):
        result = read(put(tmp_path, "a.jsonl", lines(pair)), format)
        assert (result.format, [row.data for row in result.rows]) == ("preference", [CHAT | {"rejected": [WORSE]}])
    other = pair | {"messages": [USER, WORSE]}
    with pytest.raises(DataError, match="fits messages and preference"):
        read(put(tmp_path, "a.jsonl", lines(other)))


def test_the_turns_may_stand_under_conversation(tmp_path):
    path = put(tmp_path, "a.jsonl", lines({"conversation": SAYS["sharegpt"][0]["conversations"]}))
    assert (read(path).format, [row.data for row in read(path).rows]) == ("sharegpt", [CHAT])
    convert(path, tmp_path / "out.jsonl", "sharegpt")
    assert json.loads((tmp_path / "out.jsonl").read_text()) == SAYS["sharegpt"][0]


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85"])
def test_no_text_ends_a_line_of_jsonl(tmp_path, end):
    path = put(tmp_path, "a.jsonl", lines({"messages": [USER | {"content": f"a{end}b"}, ANSWER]}))
    convert(path, tmp_path / "out.jsonl", "sharegpt")
    assert len((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()) == 1
    assert read(tmp_path / "out.jsonl").rows[0].data["messages"][0]["content"] == f"a{end}b"


def test_a_table_holds_ratings_as_text_and_chats_as_json(tmp_path):
    path = put(tmp_path, "a.csv", "messages,label\n" + '"' + json.dumps([USER, WORSE]).replace('"', '""') + '",False\n')
    assert (read(path).format, read(path).rows[0].data["label"]) == ("kto", False)


def test_of_two_ratings_that_differ_the_bad_one_counts(tmp_path):
    path = put(tmp_path, "a.jsonl", lines(GOOD | {"kto_tag": False}))
    assert read(path).rows[0].data["label"] is False


@pytest.mark.parametrize("row", [SAYS[name][0] | {"label": 0} for name in ("messages", "sharegpt", "alpaca")])
def test_a_number_that_may_be_a_rating_is_said(tmp_path, row):
    assert [found.code for found in read(put(tmp_path, "a.jsonl", lines(row))).findings] == ["rating_as_number"]


def test_the_input_of_an_alpaca_pair_is_part_of_its_prompt(tmp_path):
    row = {"instruction": "Translate.", "input": "Guten Tag", "chosen": "Good day", "rejected": "Go"}
    (read_back,) = read(put(tmp_path, "a.jsonl", lines(row))).rows
    assert read_back.data["messages"][0]["content"] == "Translate.\n\nGuten Tag"


def test_a_column_with_the_name_of_a_form_is_a_column(tmp_path):
    assert read(put(tmp_path, "a.jsonl", lines(CHAT | {"conversation": "c1"}))).format == "messages"


# --- detection


def test_a_mixed_file_names_the_first_line_of_each(tmp_path):
    path = put(tmp_path, "a.jsonl", lines(CHAT, CHAT, SAYS["alpaca"][0], SAYS["sharegpt"][0]))
    with pytest.raises(DataError, match=r"messages from .*a\.jsonl:1; alpaca from .*a\.jsonl:3; sharegpt from .*:4"):
        read(path)
    assert (read(path, "messages").rows_in, len(read(path, "messages").rows)) == (4, 2)


def test_unknown_and_ambiguous_fields_are_told(tmp_path):
    with pytest.raises(DataError) as error:
        read(put(tmp_path, "a.jsonl", lines({"id": 1, "text": "hi"})))
    assert "'id', 'text'" in str(error.value)
    assert all(format in str(error.value) for format in formats.FORMATS)
    both = CHAT | SAYS["preference"][0]
    with pytest.raises(DataError, match="messages and preference; say which"):
        read(put(tmp_path, "a.jsonl", lines(both)))
    assert detect([Row(both, "f", 1), Row(CHAT, "f", 2)]) == "messages"  # the second row settles it
    with pytest.raises(DataError, match="no rows"):
        detect([])


def test_an_input_may_be_missing_in_some_rows(tmp_path):
    rows = [{"instruction": "q", "response": "a"}, {"instruction": "q", "input": "i", "response": "a"}]
    assert [read(put(tmp_path, "a.jsonl", lines(*order))).format for order in (rows, rows[::-1])] == ["alpaca"] * 2


def test_rows_within_data_are_told(tmp_path):
    with pytest.raises(DataError, match="If data holds the rows, name the file .json"):
        read(put(tmp_path, "a.jsonl", lines({"data": [CHAT]})))
    assert len(read(put(tmp_path, "a.json", lines({"data": [CHAT]}))).rows) == 1


def test_capitals_and_blanks_in_names_are_told(tmp_path):
    path = put(tmp_path, "a.csv", "Prompt, completion,id\nq,a,1\n")
    with pytest.raises(DataError, match=r"write 'prompt' for 'Prompt', 'completion' for ' completion'\."):
        read(path)
    with pytest.raises(DataError, match="Rename them") as error:
        read(put(tmp_path, "b.csv", "Text,id\nq,1\n"))
    assert "Capitals" not in str(error.value)


def test_rows_without_a_format_do_not_hide_that_of_the_others(tmp_path):
    result = read(put(tmp_path, "a.jsonl", "{\n[1]\n" + lines({"id": 1}, CHAT)))
    assert result.format == "messages"
    assert (result.rows_in, len(result.rows), rows_with_an_error(result)) == (4, 1, 3)
    nothing = read(put(tmp_path, "a.jsonl", "{\n"))
    assert (nothing.format, nothing.rows_in, nothing.rows_with_error) == (None, 1, 1)


# --- conversion of files


def test_convert_writes_what_fits_and_reports_the_rest(tmp_path):
    rows = [CHAT | {"id": "1"}, {"messages": [SYSTEM, USER, ANSWER]}, {"messages": []}]
    path = put(tmp_path, "a.jsonl", lines(*rows) + "{\n")
    result = convert(path, tmp_path / "new" / "b.jsonl", "instruction")
    assert (result.rows_in, result.rows_written, result.rows_with_error) == (4, 1, 3)
    assert [(finding.code, finding.line) for finding in result.findings] == [
        ("system_lost", 2), ("empty_messages", 3), ("broken_json", 4),
    ]  # fmt: skip
    written = (tmp_path / "new" / "b.jsonl").read_text()
    assert written == lines({"instruction": "Where is it?", "response": "Here.", "id": "1"})
    report = result.to_dict()
    assert [type(report[name]) for name in ("rows_in", "rows_written", "rows_with_error")] == [int] * 3
    assert report["counts"] == {"system_lost": 1, "empty_messages": 1, "broken_json": 1}
    assert json.loads(json.dumps(report)) == report


def test_the_field_of_a_loss_is_that_of_the_source(tmp_path):
    path = put(tmp_path, "a.jsonl", lines({"system": "s", "question": "q", "output": "a"}))
    with pytest.raises(DataError, match=r"a\.jsonl:1 system: a system turn has no place in instruction"):
        convert(path, tmp_path / "b.jsonl", "instruction")


@pytest.mark.parametrize(
    ("format", "row"),
    [
        ("alpaca", {"instruction": "Translate.", "input": "Brot", "output": "bread", "id": 1}),
        ("instruction", {"question": "q", "answer": "a"}),
        ("prompt_completion", {"prompt": "q", "completion": "a"}),
        ("preference", {"prompt": "q", "chosen": "a", "rejected": "b"}),
        ("sharegpt", {"conversations": [{"from": "Human", "value": "q"}, {"from": "gpt", "value": "a"}]}),
    ],
)
def test_rows_that_have_the_format_stay_as_they_are(tmp_path, format, row):
    path = put(tmp_path, "a.json", json.dumps([row]))
    convert(path, tmp_path / "b.jsonl", format)
    assert json.loads((tmp_path / "b.jsonl").read_text()) == row


def test_a_pair_of_openai_gets_the_names_of_trl(tmp_path):
    row = {"input": {"messages": [USER]}, "preferred_output": [ANSWER], "non_preferred_output": [WORSE]}
    convert(put(tmp_path, "a.jsonl", lines(row)), tmp_path / "b.jsonl", "preference")
    assert json.loads((tmp_path / "b.jsonl").read_text()) == {"prompt": [USER], "chosen": [ANSWER], "rejected": [WORSE]}


def test_convert_never_loses_rows_of_its_own_source(tmp_path):
    path = put(tmp_path, "a.jsonl", lines(CHAT) + "{\n")
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"is the file that is read, and 1 row\(s\) do not convert"):
        convert(path, path, "sharegpt", force=True)
    assert path.read_bytes() == before


def test_convert_replaces_a_file_only_by_force(tmp_path):
    path = put(tmp_path, "a.jsonl", lines(CHAT))
    with pytest.raises(DataError, match="--force"):
        convert(path, path, "sharegpt")
    convert(path, path, "sharegpt", force=True)  # onto itself
    assert read(path).format == "sharegpt"
    before = path.read_bytes()
    with pytest.raises(DataError, match="rejected: is missing"):
        convert(path, path, "preference", force=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(DataError, match=r"name the file .*b\.jsonl"):
        convert(path, tmp_path / "b.csv", "messages")
    with pytest.raises(DataError, match="is not a format"):
        convert(path, tmp_path / "b.jsonl", "csv")


def test_reports_are_readable(tmp_path):
    path = put(tmp_path, "a.jsonl", lines(CHAT) + "{\n" * 8)
    result = read(path)
    assert "1 of 9 rows usable as messages; 8 error" in repr(result)
    assert "and 3 more" in repr(result)
    written = convert(path, tmp_path / "b.jsonl", "alpaca")
    assert "1 of 9 rows written; 8 error" in repr(written)


@pytest.mark.parametrize("rating", [{"kto_tag": False}, {"label": False}, {"kto_tag": "False"}])
@pytest.mark.parametrize("pair", [("instruction", "output"), ("question", "answer"), ("prompt", "completion")])
def test_rated_rows_may_have_any_form(tmp_path, pair, rating):
    row = dict(zip(pair, ("Open on Sunday?", "Go away."), strict=True)) | rating
    rows = read(put(tmp_path, "rows.jsonl", lines(row)))
    assert rows.format == "kto"
    assert rows.rows[0].data == {"messages": [USER | {"content": "Open on Sunday?"}, ANSWER | {"content": "Go away."}],
                                 "label": False}  # fmt: skip


def test_a_rating_as_a_number_is_doubted(tmp_path):
    rows = read(put(tmp_path, "rows.csv", "prompt,completion,label\nOpen?,Yes.,1\nOpen on Sunday?,Go away.,0\n"))
    assert [(found.code, found.line, found.field) for found in rows.findings] == [("rating_as_number", 3, "label")]


def test_a_text_that_names_a_class_rates_no_chat(tmp_path):
    claim = {"messages": [USER, ANSWER | {"content": "False"}], "label": "false"}
    assert read(put(tmp_path, "rows.jsonl", lines(claim))).format == "messages"
