"""Chat files as they really arrive: every damage gets a finding with its line, and no row is lost unseen."""

import json
import re
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftlab.data import findings, jsonl, schema
from ftlab.data.schema import check_chat, read_chat, write_chat
from ftlab.errors import DataError

GOOD = {"messages": [{"role": "user", "content": "Where is it?"}, {"role": "assistant", "content": "Here."}]}
USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}
PART = {"type": "text", "text": "a"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
OLD_CALL = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}


def put(tmp_path, content):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def line(*messages, **extra):
    return json.dumps({"messages": list(messages), **extra})


def call(name):
    return {"role": "assistant", "content": None, "tool_calls": [{"id": name, "function": {"name": "f"}}]}


def row_bytes(row=GOOD):
    return json.dumps(row).encode()


def lines_with_a_row(content, findings):
    """The numbers of the lines that begin a row: not blank, and not within JSON over many lines."""
    body, within = content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), set()
    for finding in findings:
        if finding.code == "many_lines":
            count = int(re.search(r"over ([\d,]+) lines", finding.message)[1].replace(",", ""))
            json.loads(b"\n".join(body[finding.line - 1 : finding.line - 1 + count]))
            within |= set(range(finding.line + 1, finding.line + count))
    return [number for number, text in enumerate(body, 1) if text.strip(b" \t\r") and number not in within]


def keeps_its_books(check):
    """Every row is either kept or has an error; a line is reported once for that."""
    with_error = {finding.line for finding in check.errors}
    assert check.rows_in == check.rows_kept + len(with_error)
    assert check.rows_kept == len(check.rows)
    return True


def codes(check):
    """The code of every finding."""
    return [finding.code for finding in check.findings]


MUSEUM = {
    "broken json": (b'{"messages": [', "broken_json", "error", ""),
    "python quotes": (b"{'messages': []}", "broken_json", "error", ""),
    "two objects": (row_bytes() + b" " + row_bytes(), "broken_json", "error", ""),
    "huge integer": (b'{"n": ' + b"1" * 5000 + b"}", "broken_json", "error", ""),
    "assistant first": (line(ANSWER, USER, ANSWER).encode(), "assistant_first", "warning", "messages[0].role"),
    "a bad answer": (line(USER, ANSWER, label=False).encode(), "bad_answer", "error", "label"),
    "a bad answer beside its class": (
        line(USER, ANSWER, label="complaint", kto_tag=False).encode(), "bad_answer", "error", "kto_tag"
    ),
    "a bad answer of LLaMA-Factory": (line(USER, ANSWER, kto_tag=False).encode(), "bad_answer", "error", "kto_tag"),
    "a system in parts": (
        line(USER, ANSWER, system=[{"text": "Be brief."}]).encode(), "unseen_system", "warning", "system"
    ),
    "tools as text": (line(USER, ANSWER, tools='[{"type": "function"}]').encode(), "bad_tools", "error", "tools"),
    "a result without a call": (
        line(USER, {"role": "tool", "content": "2"}, ANSWER).encode(), "orphan_result", "warning", "messages[1].role"
    ),
    "a result of another call": (
        line(USER, call("a"), {"role": "tool", "content": "2", "tool_call_id": "b"}, ANSWER).encode(),
        "unknown_call_id", "warning", "messages[2].tool_call_id",
    ),
    "a call without a result": (
        line(USER, call("a"), call("b"), {"role": "tool", "content": "2", "tool_call_id": "b"}, ANSWER).encode(),
        "no_result", "warning", "messages[1].tool_calls[0]",
    ),
    "two calls of one id": (
        line(USER, call("a") | {"tool_calls": call("a")["tool_calls"] * 2}).encode(),
        "same_call_id", "warning", "messages[1].tool_calls[1].id",
    ),
    "a comma after the row": (row_bytes() + b",", "broken_json", "error", ""),
    "pretty printed": (json.dumps(GOOD, indent=1).encode(), "many_lines", "error", ""),
    "a list": (b"[1]", "not_an_object", "error", ""),
    "null": (b"null", "not_an_object", "error", ""),
    "no messages": (b'{"id": "1"}', "missing_messages", "error", "messages"),
    "sharegpt": (b'{"conversations": []}', "missing_messages", "error", "messages"),
    "null messages": (b'{"messages": null}', "missing_messages", "error", "messages"),
    "empty messages": (b'{"messages": []}', "empty_messages", "error", "messages"),
    "messages text": (b'{"messages": "hi"}', "wrong_type", "error", "messages"),
    "turn text": (line("hi", ANSWER), "wrong_type", "error", "messages[0]"),
    "no role": (line({"content": "q"}, ANSWER), "missing_role", "error", "messages[0].role"),
    "role number": (line({"role": 1, "content": "q"}, ANSWER), "wrong_type", "error", "messages[0].role"),
    "role list": (line({"role": [], "content": "q"}, ANSWER), "wrong_type", "error", "messages[0].role"),
    "role gpt": (line(USER, {"role": "gpt", "content": "a"}), "unknown_role", "error", "messages[1].role"),
    "role User": (line(USER | {"role": "User"}, ANSWER), "unknown_role", "error", "messages[0].role"),
    "no content": (line({"role": "user"}, ANSWER), "missing_content", "error", "messages[0].content"),
    "null content": (line(USER | {"content": None}), "missing_content", "error", "messages[0].content"),
    "blank content": (line(USER | {"content": " \n"}), "empty_content", "error", "messages[0].content"),
    "content object": (line(USER, ANSWER | {"content": {}}), "wrong_type", "error", "messages[1].content"),
    "calls text": (line(USER, ANSWER | {"tool_calls": "f"}), "wrong_type", "error", "messages[1].tool_calls"),
    "user calls": (
        line(USER | {"tool_calls": [{}]}, ANSWER),
        "misplaced_tool_calls",
        "error",
        "messages[0].tool_calls",
    ),
    "text parts": (line(USER, ANSWER | {"content": [PART, "b"]}), "wrong_type", "error", "messages[1].content"),
    "image part": (line(USER | {"content": [PART, IMAGE]}, ANSWER), "other_part", "error", "messages[0].content[1]"),
    "function call": (line(USER, OLD_CALL), "old_function_call", "error", "messages[1].function_call"),
    "functions": (line(USER, ANSWER, functions=[{"name": "f"}]), "old_functions", "warning", "functions"),
    "weight half": (line(USER, ANSWER | {"weight": 0.5}), "bad_weight", "error", "messages[1].weight"),
    "weight true": (line(USER, ANSWER | {"weight": True}), "bad_weight", "error", "messages[1].weight"),
    "weights zero": (line(USER, ANSWER | {"weight": 0}), "nothing_to_learn", "error", "messages[1].role"),
    "user last": (line(USER, ANSWER, USER), "last_not_assistant", "error", "messages[2].role"),
    "system beside": (line(USER, ANSWER, system="Triage."), "unseen_system", "warning", "system"),
    "late system": (
        line(USER, {"role": "system", "content": "s"}, ANSWER),
        "system_not_first",
        "error",
        "messages[1].role",
    ),
    "two users": (line(USER, USER, ANSWER), "repeated_role", "warning", "messages[1].role"),
    "no user": (line(ANSWER), "no_user_turn", "warning", "messages"),
    "utf-8 cut": (b'{"messages": "caf\xc3"}', "invalid_utf8", "error", ""),
    "latin-1": ('{"messages": "café"}'.encode("latin-1"), "invalid_utf8", "error", ""),
    "nul byte": (b'{"a": "\0"}', "nul_byte", "error", ""),
    "nul escape": (line(USER, ANSWER, note="a\0b"), "nul_character", "warning", "note"),
    "surrogate": (
        line(USER | {"content": "\ud800"}, ANSWER),
        "lone_surrogate",
        "error",
        "messages[0].content",
    ),
    "surrogate key": (line(USER, ANSWER, **{"\udfff": 1}), "lone_surrogate", "error", ""),
    "duplicate key": (b'{"messages": [], "messages": []}', "duplicate_key", "error", "messages"),
    "inner duplicate": (
        b'{"messages": [{"role": "user", "role": "user", "content": "q"}]}',
        "duplicate_key",
        "error",
        "role",
    ),
    "nan": (line(USER, ANSWER, score=float("nan")), "not_finite", "error", "score"),
    "infinity": (b'{"score": [1, -Infinity]}', "not_finite", "error", "score[1]"),
    "too large": (b'{"score": 1e999}', "not_finite", "error", "score"),
    "deep": (b'{"a":' + b"[" * 70 + b"]" * 70 + b"}", "too_deep", "error", "a" + "[0]" * 64),
    "abyss": (b"[" * 200_000 + b"]" * 200_000, "too_deep", "error", None),
}


@pytest.mark.parametrize("name", MUSEUM)
def test_museum(tmp_path, name):
    damaged, code, severity, field = MUSEUM[name]
    damaged = damaged if isinstance(damaged, bytes) else damaged.encode()
    path = put(tmp_path, row_bytes() + b"\n" + damaged + b"\n" + row_bytes() + b"\n")
    check = check_chat(path)
    found = [finding for finding in check.findings if finding.code == code]
    assert found, check
    assert (found[0].severity, found[0].line, found[0].file) == (severity, 2, str(path))
    assert field is None or found[0].field == field
    assert {finding.line for finding in check.findings} == {2}
    assert check.rows_in == 3
    assert check.rows_kept == (2 if check.errors else 3)
    assert keeps_its_books(check)
    json.dumps(findings.findings_dict(check.findings), ensure_ascii=False).encode("utf-8")
    if severity == "error":
        with pytest.raises(DataError, match=r"rows\.jsonl:2 "):
            read_chat(path)
    else:
        assert len(read_chat(path)) == 3


def test_every_code_is_in_the_museum_or_tested_here():
    of_the_file = {"bom", "crlf", "blank_line", "long_line", "line_too_long"}
    known = {code for name in ("jsonl", "schema", "toolcalls") for code in findings.codes(name)}
    assert {code for _, code, _, _ in MUSEUM.values()} | of_the_file == known


@pytest.mark.parametrize(
    "row",
    [
        GOOD,
        {"messages": [{"role": "system", "content": "Triage the ticket."}, USER, ANSWER], "pattern": "p1"},
        {"messages": [USER, ANSWER | {"weight": 0}, USER, ANSWER | {"weight": 1}]},
        {"messages": [USER, ANSWER | {"weight": None, "tool_calls": None}]},
        {
            "messages": [
                USER,
                {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]},
                {"role": "tool", "content": "", "tool_call_id": "1"},
                ANSWER,
            ],
            "tools": [],
        },
        {"messages": [USER | {"content": "emoji \U0001f600, line separator \u2028"}, ANSWER]},
    ],
)
def test_legal_rows_have_no_findings(tmp_path, row):
    path = write_chat([row], tmp_path / "rows.jsonl")
    assert check_chat(path).findings == []
    assert read_chat(path) == [row]


def test_bom_crlf_and_blank_lines_keep_their_line_numbers(tmp_path):
    path = put(tmp_path, b"\xef\xbb\xbf" + row_bytes() + b"\r\n\r\n \t\n" + row_bytes() + b"\n{\n\n\n")
    check = check_chat(path)
    places = [(finding.code, finding.line) for finding in check.findings]
    assert places == [("bom", None), ("crlf", None), ("blank_line", 2), ("broken_json", 5), ("blank_line", 6)]
    assert check.findings[1].message.startswith("2 line(s), first 1, end")
    assert check.rows == [GOOD, GOOD]
    assert check.rows_in == 3


def test_what_the_old_forms_become_is_said(tmp_path):
    old = {"messages": [USER, OLD_CALL, {"role": "function", "name": "f", "content": "1"}, ANSWER]}
    check = check_chat(put(tmp_path, json.dumps(old)))
    assert [finding.field for finding in check.errors] == ["messages[1].function_call", "messages[2].role"]
    assert "tool_calls: [{id, type: function, function: this}]" in check.errors[0].message
    assert "write tool, and the id of the call that it answers as tool_call_id" in check.errors[1].message
    call = {"id": "1", "type": "function", "function": OLD_CALL["function_call"]}
    turns = [USER, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "1", "content": "1"}]
    assert check_chat(put(tmp_path, line(*turns, ANSWER))).findings == []  # what the messages ask for
    assert check_chat(put(tmp_path, line(USER, ANSWER | {"function_call": None}))).findings == []


@pytest.mark.parametrize(
    ("parts", "field", "told"),
    [
        ([PART, {"text": "b"}, "c"], "", "3 text part(s); it must be one string: join"),
        ([PART, IMAGE], "[1]", "type 'image_url', and only text is trained on here; drop the row"),
        ([{"type": "tool_use", "name": "f"}], "[0]", "'tool_use', and only text is trained on here; write calls"),
        ([{"type": ["text"]}], "[0]", "'a list'"),
        ([{"type": "text", "text": None}], "[0]", "'text'"),
    ],
)
def test_content_in_parts_says_whether_they_can_be_joined(tmp_path, parts, field, told):
    check = check_chat(put(tmp_path, line(USER | {"content": parts}, ANSWER)))
    assert [finding.field for finding in check.findings] == [f"messages[0].content{field}"]
    assert told in check.findings[0].message
    assert (schema.joined_parts(parts) is None) == (codes(check) != ["wrong_type"])


def test_text_parts_are_joined_one_a_line():
    assert schema.joined_parts([PART, {"text": "b"}, "c"]) == "a\nb\nc"
    for content in ("a", None, [], {}, [PART, 1], [PART, IMAGE]):
        assert schema.joined_parts(content) is None


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize(
    ("content", "places"),
    [
        (json.dumps([GOOD, GOOD], indent=2), [(1, "a list of 2 object(s) over 26 lines")]),
        (f"[\n{line(USER, ANSWER)},\n\n{line(USER, ANSWER)}\n]", [(1, "a list of 2 object(s) over 5 lines")]),
        (line(USER, ANSWER) + "\n" + json.dumps(GOOD, indent=1), [(2, "an object over 12 lines")]),
        ((json.dumps(GOOD, indent=1) + "\n") * 2, [(1, "an object over 12 lines"), (13, "an object over 12 lines")]),
        (json.dumps({"data": [GOOD]}, indent=1), [(1, "name it .json")]),
    ],
)
def test_json_over_many_lines_is_said_once(tmp_path, content, places, end):
    check = check_chat(put(tmp_path, content.encode().replace(b"\n", end)))
    errors = [(finding.line, finding.code) for finding in check.errors]
    assert errors == [(number, "many_lines") for number, _ in places]
    assert all(told in finding.message for finding, (_, told) in zip(check.errors, places, strict=True))
    assert "blank_line" not in codes(check)
    assert keeps_its_books(check)


@pytest.mark.parametrize(
    "first",
    ['{"messages": [', "[", "{", '{"messages": [{"role": "user", "content": "wh', '{"a": {"b":', "[[[,"],
)
def test_a_cut_line_costs_that_row_only(tmp_path, first):
    path = put(tmp_path, first + "\n" + (line(USER, ANSWER) + "\n") * 3 + "]}\n" + line(USER, ANSWER))
    check = check_chat(path)
    assert [(finding.line, finding.code) for finding in check.errors] == [(1, "broken_json"), (5, "broken_json")]
    assert check.lines == [2, 3, 4, 6]


def test_a_value_over_more_lines_than_are_held_is_judged_line_by_line(tmp_path, monkeypatch):
    path = put(tmp_path, json.dumps([GOOD] * 3, indent=1))
    assert len(check_chat(path).errors) == 1
    monkeypatch.setattr(jsonl, "MAX_SPREAD_BYTES", 100)
    check = check_chat(path)
    assert len(check.errors) > 10
    assert keeps_its_books(check)


@pytest.mark.parametrize("system", [None, "", " ", 1, [1]])
def test_a_column_that_is_no_system_text_is_a_column(tmp_path, system):
    assert check_chat(put(tmp_path, line(USER, ANSWER, system=system))).findings == []
    turns = [{"role": "system", "content": "s"}, USER, ANSWER]
    assert check_chat(put(tmp_path, line(*turns, system="Triage."))).findings == []


@pytest.mark.parametrize("digits", [4300, 4301, 100_000])
def test_a_long_integer_is_read_or_told(tmp_path, digits):
    check = check_chat(put(tmp_path, line(USER, ANSWER)[:-1] + ', "n": -' + "7" * digits + "}"))
    assert check.rows_kept == (digits == 4300)
    told = "not JSON: an integer of more than 4,300 digits, which Python does not read; write the number as a string"
    assert [finding.message for finding in check.findings] == [told] * (digits > 4300)
    for row in check.rows:
        assert read_chat(write_chat([row], tmp_path / "again.jsonl")) == [row]


@pytest.mark.parametrize(
    ("content", "code", "told"),
    [
        ('{"messages": [\n', "broken_json", "at column 15; the line ends too early"),
        ([GOOD] * 3, "not_an_object",
         "holds a list of 3 object(s); take the rows out of the list, or name the file .json"),
        (GOOD["messages"], "not_an_object",
         'holds a list of 2 object(s); each list is one chat: write {"messages": [...]} around it'),
        (json.dumps(json.dumps(GOOD)), "not_an_object",
         "a string that is JSON itself, encoded twice; write one JSON object for each row"),
        ([GOOD, 1], "not_an_object", "holds a list of 1 object(s); write one JSON object for each row"),
        ([], "not_an_object", "holds an empty list; write one JSON object for each row"),
        (json.dumps(GOOD).encode("utf-16-le"), "nul_byte", "UTF-16"),
    ],
)  # fmt: skip
def test_a_line_with_something_else_says_what_it_is(tmp_path, content, code, told):
    check = check_chat(put(tmp_path, json.dumps(content) if isinstance(content, list) else content))
    assert codes(check) == [code]
    assert told in check.findings[0].message


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b" \r\n"])
def test_a_file_without_rows_is_an_error(tmp_path, content):
    with pytest.raises(DataError, match="is empty"):
        check_chat(put(tmp_path, content))


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        check_chat(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="is a folder"):
        read_chat(tmp_path)


def test_a_five_megabyte_line_is_read_with_a_warning(tmp_path):
    big = {"messages": [USER | {"content": "x" * (5 << 20)}, ANSWER]}
    check = check_chat(put(tmp_path, row_bytes() + b"\n" + row_bytes(big) + b"\n"))
    assert codes(check) == ["long_line"]
    assert check.rows[1] == big


def test_a_longer_line_is_skipped_in_bounded_memory(tmp_path):
    path = put(tmp_path, b"x" * (40 << 20) + b"\n" + row_bytes())
    tracemalloc.start()
    check = check_chat(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(finding.code, finding.line) for finding in check.findings] == [("line_too_long", 1)]
    assert check.rows == [GOOD]
    assert peak < 3 * jsonl.MAX_LINE_BYTES  # of 40 MB; reading doubles its buffer as it grows


def test_one_list_on_a_line_that_is_too_long_is_told_from_one_row(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", 100)
    for row, told in ((GOOD, "split the row"), ([GOOD], "name the file .json")):
        check = check_chat(put(tmp_path, json.dumps(row)))
        assert codes(check) == ["line_too_long"]
        assert told in check.findings[0].message


def test_a_line_of_exactly_the_limit_is_read(tmp_path, monkeypatch):
    size = len(row_bytes()) + 1
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", size)
    path = put(tmp_path, (row_bytes() + b"\n") * 2 + row_bytes(GOOD | {"a": 1}) + b"\n" + row_bytes())
    check = check_chat(path)
    assert [(finding.code, finding.line) for finding in check.findings] == [("line_too_long", 3)]
    assert check.rows == [GOOD] * 3


def test_findings_of_one_row_are_bounded_but_the_row_is_still_an_error(tmp_path):
    content = line(*[USER] * 30, *[1] * 30)
    check = check_chat(put(tmp_path, content))
    assert check.rows_kept == 0
    assert len(check.findings) == 2 * findings.MAX_PER_ROW
    assert keeps_its_books(check)


def test_read_chat_lists_the_first_and_counts_the_rest(tmp_path):
    with pytest.raises(DataError) as error:
        read_chat(put(tmp_path, b"{\n" * 9))
    message = str(error.value)
    assert message.count("rows.jsonl:") == 5
    assert "rows.jsonl:1 not JSON" in message
    assert "and 4 more" in message


def test_reports_are_readable(tmp_path):
    check = check_chat(put(tmp_path, row_bytes() + b"\n{\n"))
    assert "1 of 2 rows usable; 1 error" in repr(check)
    assert "rows.jsonl:2 not JSON" in repr(check)


ANY_LINE = st.one_of(
    st.binary(max_size=40),
    st.just(b""),
    st.sampled_from([row_bytes(), b"\xef\xbb\xbf", b"\xff\xfe", b"\r", b"null", b"[["]),
    st.sampled_from([b"[", b"{", b"]", b"}", b",", row_bytes() + b",", b'{"messages": [', b'"a": ', b"1", b"]}"]),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.sampled_from(["user", "assistant"]),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["messages", "role", "content", "weight", "tool_calls"]), inner),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode()),
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "role": st.sampled_from(["system", "user", "assistant", "tool", "bot", None, 3, []]),
                "content": st.none() | st.text(st.characters(), max_size=3) | st.sampled_from([1, [], {}]),
                "weight": st.sampled_from([0, 1, True, 0.5, "1", {}]),
                "tool_calls": st.sampled_from([None, [], [{}], {}, 1, [1]]),
            },
        ),
        max_size=4,
    ).map(lambda turns: json.dumps({"messages": turns}).encode()),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(ANY_LINE, max_size=8))
def test_any_bytes_give_a_report_that_adds_up(tmp_path_factory, lines):
    content = b"\n".join(lines)
    path = put(tmp_path_factory.getbasetemp(), content)
    try:
        check = check_chat(path)
    except DataError:
        assert not lines_with_a_row(content, [])
        return
    rows = lines_with_a_row(content, check.findings)
    assert check.rows_in == len(rows)
    assert {finding.line for finding in check.errors} <= set(rows)
    assert keeps_its_books(check)
    if check.rows:  # what is kept can be written, and comes back the same
        again = write_chat(check.rows, path.with_name("again.jsonl"), force=True)
        assert read_chat(again) == check.rows


def test_write_does_not_overwrite(tmp_path):
    path = write_chat([GOOD], tmp_path / "new" / "rows.jsonl")
    assert path.read_bytes().count(b"\n") == 1
    with pytest.raises(DataError, match="--force"):
        write_chat([GOOD, GOOD], path)
    assert read_chat(path) == [GOOD]
    before = path.stat().st_ino
    write_chat([GOOD, GOOD], path, force=True)
    assert len(read_chat(path)) == 2
    assert path.stat().st_ino != before  # replaced whole: no reader ever sees half a file


@pytest.mark.parametrize("bad", [{"a": float("nan")}, {"a": "\ud800"}, {"a": {1, 2}}, ["a"]])
def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, bad):
    path = write_chat([GOOD], tmp_path / "rows.jsonl")
    with pytest.raises(DataError, match=r"rows\.jsonl:2"):
        write_chat([GOOD, bad], path, force=True)
    assert read_chat(path) == [GOOD]
    assert list(tmp_path.iterdir()) == [path]


ODD_TEXT = st.text(st.sampled_from(["a", "1", "e", "\\", "u", "{", "\ud83d", "\ude00", "\0", "\u00e9"]), max_size=6)
ODD_NUMBER = st.sampled_from([float("nan"), float("inf"), -float("inf"), 1.5, 10**299, 7])
ODD_VALUE = st.recursive(
    ODD_TEXT | ODD_NUMBER | st.none() | st.sampled_from(["NaN", "1e999", "\\ud83d"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD_TEXT, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(ODD_VALUE, st.integers(0, 2 * findings.MAX_DEPTH), st.sampled_from(["", "1e400", "-1E+0309", "1" * 309 + ".5"]))
def test_no_problem_of_a_value_is_overlooked_in_its_line(value, depth, number):
    """Only lines that show a sign of one are walked through; all others must have none."""
    text = "[" * depth + json.dumps(value) + "]" * depth
    text = f"[{text}, {number}]" if number else text
    row, problems = jsonl._parse(text.encode(), len(text))
    assert row == json.loads(text) or "nan" in str(row)
    assert problems == list(jsonl.value_problems(row))


def test_walk_goes_in_the_order_of_the_text():
    value = {"a": [1, {"b": 2, "c": []}], "d": {"": 3}}
    assert [(path, depth) for path, _, depth in findings.walk(value)] == [
        ("", 0), ("a", 1), ("a[0]", 2), ("a[1]", 2), ("a[1].b", 3), ("a[1].c", 3), ("d", 1), ("d.", 2),
    ]  # fmt: skip
