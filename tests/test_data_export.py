"""Exports: what is written reads back as the same conversations, broken rules stop it, nothing goes unsaid.

Where the target's own reader or types are installed, the files are put before them; those tests are skipped,
with the reason, where they are not.
"""

import json
from datetime import date, timedelta

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ftlab import models
from ftlab.data import export as module
from ftlab.data.export import _prepare, export
from ftlab.data.findings import Row, codes
from ftlab.data.limits import LIMIT_COLUMNS, LIMITS, limits
from ftlab.data.schema import check_chat
from ftlab.data.targets import KINDS, TARGETS
from ftlab.errors import DataError

TRAIN = models.REPOSITORY / "data" / "support_triage" / "train.jsonl"
CHAT = [to for to, target in TARGETS.items() if target.chat]
PAIRS = [to for to, target in TARGETS.items() if target.preference]
TAKEN = [(to, kind) for to, target in TARGETS.items() for kind in KINDS if getattr(target, kind)]
DAY = date(2026, 11, 22)
COLUMNS = ",".join(LIMIT_COLUMNS)

SYSTEM = {"role": "system", "content": "Triage the ticket."}
USER = {"role": "user", "content": "Where is it?"}
ANSWER = {"role": "assistant", "content": "Here."}
CALL = {"id": "c1", "type": "function", "function": {"name": "trace", "arguments": '{"order": "123456"}'}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "content": "in transit", "tool_call_id": "c1"}
TOOLS = [{"type": "function", "function": {"name": "trace", "parameters": {"type": "object", "properties": {}}}}]
WITH_TOOLS = {"messages": [SYSTEM, USER, CALLING, RESULT, ANSWER], "tools": TOOLS}
WORSE = {"role": "assistant", "content": "No idea."}
PAIR = {"messages": [SYSTEM, USER, ANSWER], "rejected": [WORSE]}
RATED = {"messages": [SYSTEM, USER, WORSE], "label": False}


def chat(*messages, **extra):
    return {"messages": list(messages), **extra}


def rows_of(*data, count=1):
    """Rows of a file rows.jsonl; with `count`, that many copies of the last one follow."""
    data = [*data, *[data[-1]] * (count - 1)]
    return [Row(row, "rows.jsonl", line) for line, row in enumerate(data, 1)]


def enough(data):
    """So many copies that no target refuses them for their number."""
    return rows_of(data, count=10)


def errors(found):
    return [finding for finding in found if finding.severity == "error"]


def check_for(rows, to, tokenizer=None, folder=LIMITS):
    """What an export finds in the rows before it writes."""
    return _prepare(rows, to, limits(to, folder), tokenizer, drop=False).findings


@pytest.fixture
def table(tmp_path):
    """A folder with a table of limits of our own; `table(row, ...)` writes it."""

    def write(*rows, header=COLUMNS):
        folder = tmp_path / "limits"
        folder.mkdir(exist_ok=True)
        (folder / "limits.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        return folder

    return write


@pytest.fixture(scope="module")
def tickets():
    return check_chat(TRAIN).placed[:250]


@pytest.fixture(scope="module")
def nano():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(models.resolve("nano"))


def as_kind(tickets, kind):
    """The tickets as conversations, as pairs with a worse answer, or rated good and bad."""
    worse = [{"role": "assistant", "content": "{}"}]
    more = {"preference": lambda line: {"rejected": worse}, "unpaired": lambda line: {"label": line % 3 > 0}}
    return [Row(row.data | more.get(kind, lambda line: {})(row.line), row.file, row.line) for row in tickets]


def pairs_of(tickets):
    return as_kind(tickets, "preference")


def data_of(row):
    """What a target takes of a row of the tickets."""
    return {key: value for key, value in row.data.items() if key in ("messages", "rejected", "label")}


def without_weights(rows):
    bare = [[{key: turn[key] for key in turn if key != "weight"} for turn in row["messages"]] for row in rows]
    return [row | {"messages": turns} for row, turns in zip(rows, bare, strict=True)]


def read_back(report, to, number=0):
    """The rows of an exported file in our form again, read by what each format's documentation says."""
    text = report.files[number].read_text(encoding="utf-8-sig")
    records = json.loads(text) if to == "llama_factory" else [json.loads(line) for line in text.split("\n")[:-1]]
    return [read_record(record, to) for record in records]


def read_record(record, to):
    extras = {key: record[key] for key in ("tools", "parallel_tool_calls") if key in record}
    if to in ("gemini", "gemini_preference", "bedrock_nova"):
        return read_parts(record)
    if "preferred_output" in record:
        asked = record["input"]
        return {"messages": asked["messages"] + record["preferred_output"], "rejected": record["non_preferred_output"]}
    if "chosen" in record and "messages" in record:
        return {"messages": [*record["messages"], record["chosen"]], "rejected": [record["rejected"]]} | extras
    if "chosen" in record:
        return {"messages": record["prompt"] + record["chosen"], "rejected": record["rejected"]} | extras
    if "completion" in record:  # answers inside the prompt are not trained on
        prompt = [turn | ({"weight": 0} if turn["role"] == "assistant" else {}) for turn in record["prompt"]]
        label = {"label": record["label"]} if "label" in record else {}
        return {"messages": prompt + record["completion"]} | label | extras
    if to == "axolotl":
        names = {"train": "weight"}
        turns = [{names.get(key, key): value for key, value in turn.items()} for turn in record["messages"]]
        return record | {"messages": turns}
    return record


def read_parts(record):
    """Google's and Amazon's forms, where a text is a list of parts."""

    def turn(item):
        parts = item.get("parts") or item["content"]
        role = {"model": "assistant"}.get(item["role"], item["role"])
        return {"role": role, "content": "".join(part["text"] for part in parts)}

    heads = [record[key] for key in ("systemInstruction", "system_instruction", "system") if key in record]
    texts = [head["parts"] if isinstance(head, dict) else head for head in heads]
    system = [{"role": "system", "content": "".join(part["text"] for part in parts)} for parts in texts]
    turns = system + [turn(item) for item in record.get("contents") or record["messages"]]
    if "completions" not in record:
        return {"messages": turns}
    by_score = {item["score"]: [turn(item["completion"])] for item in record["completions"]}
    return {"messages": turns + by_score[1], "rejected": by_score[0]}


# --- there and back ---


@pytest.mark.parametrize(("to", "kind"), TAKEN)
def test_the_running_example_comes_back_the_same(to, kind, tickets, tmp_path):
    rows = as_kind(tickets, kind)
    report = export(rows, to, tmp_path / to, validation=rows[:10], today=DAY)
    assert (report.rows, report.validation_rows, report.dropped) == (250, 10, [])
    assert not errors(report.findings)
    assert read_back(report, to) == [data_of(row) for row in rows]
    assert read_back(report, to, 1) == [data_of(row) for row in rows[:10]]
    assert report.left_out == {"id": 260, "pattern": 260, "slice": 260}


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(str.strip)
TEXT = TEXT.filter(lambda text: not any(word in text for word in ("ser:", "SER:", "ot:", "OT:", "<", "[", "ant:")))
PROMPTS = st.tuples(st.booleans(), st.lists(st.tuples(TEXT, TEXT), max_size=3), TEXT).map(
    lambda parts: (
        [{"role": "system", "content": parts[2]}] * parts[0]
        + [
            {"role": role, "content": text}
            for pair in parts[1]
            for role, text in zip(("user", "assistant"), pair, strict=True)
        ]
        + [{"role": "user", "content": parts[2]}]
    )
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(TAKEN), PROMPTS, TEXT, TEXT, st.booleans())
def test_any_row_comes_back_the_same(tmp_path_factory, taken, prompt, answer, worse, label):
    to, kind = taken
    more = {"preference": {"rejected": [{"role": "assistant", "content": worse}]}, "unpaired": {"label": label}}
    if kind != "chat":  # only the answer at the end is judged
        prompt = [turn | ({"weight": 0} if turn["role"] == "assistant" else {}) for turn in prompt]
    data = chat(*prompt, {"role": "assistant", "content": answer}, **more.get(kind, {}))
    report = export(enough(data), to, tmp_path_factory.getbasetemp() / to, force=True)
    assert without_weights(read_back(report, to)) == without_weights([data]) * 10


def test_llama_factorys_name_of_a_rating_becomes_trls(tmp_path):
    report = export(enough(chat(USER, WORSE, kto_tag=False)), "trl_kto", tmp_path)
    assert read_back(report, "trl_kto") == [chat(USER, WORSE, label=False)] * 10


@pytest.mark.parametrize("to", [to for to in TARGETS if to != "trl_kto"])
@pytest.mark.parametrize("rated", [{"label": False}, {"label": True}, {"kto_tag": False}])
def test_a_rated_answer_is_never_trained_as_a_good_one(to, rated, tmp_path):
    rows = rows_of(chat(USER, ANSWER), chat(USER, WORSE, **rated), count=12)
    assert {(f.code, f.line) for f in errors(check_for(rows[1:], to))} == {("wrong_kind", n) for n in range(2, 14)}
    with pytest.raises(DataError, match=r"rows\.jsonl:2 .*marked good or bad.*export it to trl_kto(?s:.*)nothing was"):
        export(rows[1:], to, tmp_path)
    assert errors(check_for(rows, to))  # nor among good ones
    if TARGETS[to].chat:
        report = export(rows_of(*[chat(USER, ANSWER)] * 10, RATED), to, tmp_path, drop=True)
        assert (report.rows, len(report.dropped)) == (10, 1)


@pytest.mark.parametrize("to", CHAT)
def test_tools_are_carried_or_refused_never_lost(to, tmp_path):
    rows = enough(WITH_TOOLS)
    if "chat" in TARGETS[to].tools:
        report = export(rows, to, tmp_path)
        back = read_back(report, to)[0]
        expected = json.loads(json.dumps(WITH_TOOLS))
        if to == "trl_prompt_completion":
            expected["messages"][2]["weight"] = 0
        assert back == expected
    else:
        assert {"tools_not_taken"} == {finding.code for finding in errors(check_for(rows, to))}
        with pytest.raises(DataError, match=r"rows\.jsonl:1 messages\[2\]\.tool_calls: .*no tools"):
            export(rows, to, tmp_path)


HOSTED_WITH_TOOLS = [to for to in CHAT if TARGETS[to].openai_calls]


@pytest.mark.parametrize("to", HOSTED_WITH_TOOLS)
def test_a_service_takes_described_functions_alone(to):
    flat = [{"name": "track", "parameters": {}}]
    (found, *_) = errors(check_for(enough(WITH_TOOLS | {"tools": flat}), to))
    assert (found.code, found.field) == ("flat_tool", "tools[0]")
    assert "{type: function, function: {name," in found.message
    other = [TOOLS[0] | {"function": TOOLS[0]["function"] | {"name": "another"}}]
    (found, *_) = errors(check_for(enough(WITH_TOOLS | {"tools": other}), to))
    assert (found.code, found.field) == ("unlisted_call", "messages[2].tool_calls[0].function.name")
    assert not errors(check_for(enough(WITH_TOOLS), to))
    assert not errors(check_for(enough(WITH_TOOLS | {"tools": flat}), "trl"))


@pytest.mark.parametrize("to", CHAT)
def test_a_weight_of_0_is_carried_or_refused_never_lost(to, tmp_path):
    data = chat(USER, ANSWER | {"weight": 0}, USER, ANSWER | {"weight": 1})
    rows = enough(data)
    if TARGETS[to].weights or to == "trl_prompt_completion":
        report = export(rows, to, tmp_path)
        assert report.findings == []
        assert read_back(report, to)[0] == chat(USER, ANSWER | {"weight": 0}, USER, ANSWER)
    else:
        found = errors(check_for(rows, to))
        assert {(finding.code, finding.field) for finding in found} == {("weight_not_taken", "messages[1].weight")}


def test_axolotl_is_told_by_the_key_that_its_file_names(tmp_path):
    report = export(rows_of(chat(USER, ANSWER | {"weight": 0}, USER, ANSWER)), "axolotl", tmp_path)
    turns = json.loads(report.files[0].read_text())["messages"]
    assert [turn.get("train") for turn in turns] == [None, False, None, None]
    config = yaml.safe_load((tmp_path / "axolotl.yaml").read_text())
    assert config["datasets"][0]["message_field_training"] == "train"


@pytest.mark.parametrize("to", ["trl", "llama_factory"])
def test_the_end_of_a_line_in_a_text_stays_one_line(to, tmp_path):
    data = chat(USER, ANSWER | {"content": "one\u2028two\u2029three"})
    report = export(enough(data), to, tmp_path)
    assert len(report.files[0].read_text(encoding="utf-8").splitlines()) == 10 + 2 * (to == "llama_factory")
    assert read_back(report, to)[0] == data


def test_keys_without_a_place_are_counted(tmp_path):
    data = chat(USER | {"mood": "calm"}, ANSWER | {"weight": None, "name": "bot"}, id="1", note=None)
    assert export(enough(data), "gemini", tmp_path / "a").left_out == {
        "id": 10, "messages[].mood": 10, "messages[].name": 10,
    }  # fmt: skip
    report = export(enough(data), "openai", tmp_path / "b")
    assert report.left_out == {"id": 10, "messages[].mood": 10}
    assert read_back(report, "openai")[0]["messages"][1]["name"] == "bot"


# --- broken rules ---

LONG_AGO = {"role": "assistant", "content": "Earlier."}
MUSEUM = {
    "pair to a chat target": ("openai", PAIR, "wrong_kind", ""),
    "chat to a pair target": ("gemini_preference", chat(USER, ANSWER), "wrong_kind", ""),
    "rated to a pair target": ("openai_dpo", RATED, "wrong_kind", ""),
    "chat to a rated target": ("trl_kto", chat(USER, ANSWER), "wrong_kind", ""),
    "two answers": ("together_dpo", PAIR | {"messages": [USER, ANSWER, ANSWER]}, "one_output", "messages[1]"),
    "no choice": ("openai_dpo", PAIR | {"rejected": [ANSWER | {"content": " Here.\n"}]}, "same_outputs", "rejected"),
    "worse answer as text": ("trl", PAIR | {"rejected": "No idea."}, "wrong_type", "rejected"),
    "worse answer by nobody": ("trl", PAIR | {"rejected": [{"role": "gpt", "content": "a"}]}, "unknown_role",
                               "rejected[0].role"),
    "two worse answers": ("axolotl", PAIR | {"rejected": [WORSE, WORSE]}, "one_output", "rejected"),
    "weight": ("trl", chat(USER, ANSWER | {"weight": 0}, USER, ANSWER), "weight_not_taken", "messages[1].weight"),
    "call": ("bedrock_nova", WITH_TOOLS, "tools_not_taken", "messages[2].tool_calls"),
    "call in a pair": ("axolotl", PAIR | {"messages": [USER, CALLING | {"weight": 0}, RESULT, ANSWER]},
                       "tools_not_taken", "messages[1].tool_calls"),
    "result in a worse answer": ("fireworks_dpo", PAIR | {"rejected": [CALLING, RESULT, WORSE]}, "tools_not_taken",
                                 "rejected[0].tool_calls"),
    "tools only": ("gemini", chat(USER, ANSWER, tools=TOOLS), "tools_not_taken", "tools"),
    "two questions": ("bedrock_nova", chat(USER, USER, ANSWER), "not_alternating", "messages[1].role"),
    "answer first": ("together", chat(SYSTEM, ANSWER, USER, ANSWER), "not_alternating", "messages[1].role"),
    "answer first in a pair": ("llama_factory", PAIR | {"messages": [ANSWER | {"weight": 0}, USER, ANSWER]},
                               "not_alternating", "messages[0].role"),
    "reserved word": ("bedrock_nova", chat(USER | {"content": "the User: said"}, ANSWER), "forbidden_text",
                      "messages[0].content"),
    "reserved answer": ("bedrock_nova", chat(USER, ANSWER | {"content": "end [EOS]"}), "forbidden_text",
                        "messages[1].content"),
    "arguments as object": ("openai", chat(USER, CALLING | {"tool_calls": [
        CALL | {"function": {"name": "f", "arguments": {}}}]}, RESULT, ANSWER), "bad_tool_call",
        "messages[1].tool_calls[0]"),
    "arguments no json": ("fireworks", chat(USER, CALLING | {"tool_calls": [
        CALL | {"function": {"name": "f", "arguments": "{"}}]}, RESULT, ANSWER), "bad_tool_call",
        "messages[1].tool_calls[0].function.arguments"),
    "result for no call": ("azure", chat(USER, CALLING, {"role": "tool", "content": "x"}, ANSWER), "bad_tool_call",
                           "messages[2].tool_call_id"),
    "earlier answer": ("trl_prompt_completion", chat(USER, LONG_AGO, USER, ANSWER), "earlier_answers", "messages"),
    # what every reader refuses, by the codes of the schema
    "no messages": ("openai", {"id": 1}, "missing_messages", "messages"),
    "user last": ("trl", chat(USER), "last_not_assistant", "messages[0].role"),
    "a list": ("trl", [1], "not_an_object", ""),
    "half a pair": ("gemini", chat(USER, ANSWER | {"content": "\ud800"}), "lone_surrogate", "messages[1].content"),
    "tools as text": ("openai", WITH_TOOLS | {"tools": json.dumps(TOOLS)}, "bad_tools", "tools"),
    "one tool": ("openai", WITH_TOOLS | {"tools": TOOLS[0]}, "bad_tools", "tools"),
    "orphan result": ("openai", chat(USER, RESULT, ANSWER), "orphan_result", "messages[1].role"),
    "another id": ("together", chat(USER, CALLING, RESULT | {"tool_call_id": "c2"}, ANSWER), "unknown_call_id",
                   "messages[2].tool_call_id"),
    "no result": ("fireworks", chat(USER, CALLING, ANSWER), "no_result", "messages[1].tool_calls[0]"),
    "one of two results": ("trl", chat(USER, CALLING | {"tool_calls": [CALL, CALL | {"id": "c2"}]}, RESULT, ANSWER),
                           "no_result", "messages[1].tool_calls[1]"),
    "result after an answer": ("openai", chat(USER, CALLING, RESULT, ANSWER, RESULT, ANSWER), "orphan_result",
                               "messages[4].role"),
    "a question in an answer": ("trl", PAIR | {"messages": [USER, ANSWER, USER, ANSWER]}, "role_in_output",
                                "messages[2].role"),
    "two answers that are trained": ("openai_dpo", chat(USER, ANSWER, USER, ANSWER, rejected=[WORSE]), "role_in_output",
                                     "messages[2].role"),
    "a question in a worse one": ("trl", PAIR | {"rejected": [WORSE, USER, WORSE]}, "role_in_output",
                                  "rejected[1].role"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUSEUM)
def test_museum(name, tmp_path):
    to, data, code, where = MUSEUM[name]
    rows = enough(data)
    found = [finding for finding in check_for(rows, to) if finding.line == 1]
    assert (code, where) in [(finding.code, finding.field) for finding in found], found
    if errors(found):
        with pytest.raises(DataError, match=r"rows\.jsonl:1 .*(?s:.*)nothing was written"):
            export(rows, to, tmp_path / "out")
        assert not (tmp_path / "out").exists()
    else:
        assert code in [finding.code for finding in export(rows, to, tmp_path / "out").findings]


def test_every_code_is_in_the_museum_or_tested_here():
    elsewhere = {"mixed_kinds", "role_not_taken", "too_many_tokens"}
    assert {code for _, _, code, _ in MUSEUM.values()} | elsewhere >= set(codes("export"))


@pytest.mark.parametrize(
    ("to", "data", "way_out"),
    [
        ("gemini", PAIR, "export it to gemini_preference, or drop the rejected answer"),
        ("openai", PAIR, "export it to openai_dpo, or drop the rejected answer"),
        ("bedrock_nova", PAIR, "export it to trl, axolotl or llama_factory, or drop the rejected answer"),
        ("together_dpo", chat(USER, ANSWER), "export it to together"),
    ],
)
def test_wrong_kind_names_the_way_out(to, data, way_out):
    (found, *_) = check_for(enough(data), to)
    assert found.code == "wrong_kind"
    assert found.message.endswith(way_out)


@pytest.mark.parametrize("to", PAIRS)
def test_what_stands_before_the_first_trained_answer_is_the_prompt(to, tmp_path):
    data = chat(SYSTEM, USER, LONG_AGO | {"weight": 0}, USER, ANSWER, rejected=[WORSE])
    report = export(enough(data), to, tmp_path)
    assert read_back(report, to) == [chat(SYSTEM, USER, LONG_AGO, USER, ANSWER, rejected=[WORSE])] * 10
    assert report.left_out == {}


@pytest.mark.parametrize("to", CHAT)
def test_a_weight_says_nothing_on_a_turn_that_is_no_answer(to, tmp_path):
    report = export(enough(chat(SYSTEM | {"weight": 0}, USER | {"weight": 0}, ANSWER)), to, tmp_path)
    assert errors(report.findings) == []
    assert read_back(report, to)[0] == chat(SYSTEM, USER, ANSWER)


def test_two_kinds_in_one_file(tmp_path):
    rows = rows_of(chat(USER, ANSWER), PAIR, count=3)
    assert [(item.code, item.line) for item in check_for(rows, "trl")] == [(("mixed_kinds"), n) for n in (2, 3, 4)]
    with pytest.raises(DataError, match="two kinds"):
        export(rows_of(PAIR), "trl", tmp_path, validation=rows_of(chat(USER, ANSWER)))


def test_limits_are_read_from_the_table(table, nano):
    row = chat(USER, ANSWER)
    size = len(json.dumps(row)) + 1
    folder = table(
        "trl,roles,user assistant,there,2026-11-22,H,",
        "trl,examples_min,2,there,2026-11-22,H,",
        "trl,examples_advised,3,there,2026-11-22,H,",
        "trl,examples_max,4,there,2026-11-22,H,",
        f"trl,file_bytes_max,{5 * size - 1},there,2026-11-22,H,",
        "trl,tokens_per_example_max,20,there,2026-11-22,H,",
    )

    def codes(*data, count=1, tokenizer=None):
        return [finding.code for finding in check_for(rows_of(*data, count=count), "trl", tokenizer, folder)]

    assert codes(row) == ["too_few_rows"]
    assert codes(row, count=2) == ["few_rows"]
    assert codes(row, count=3) == []
    assert codes(row, count=5) == ["too_many_rows", "file_too_large"]
    assert codes(row, chat(SYSTEM, USER, ANSWER), row) == ["role_not_taken"]
    long = chat(USER | {"content": "where is my parcel " * 10}, ANSWER)
    assert codes(long, row, row) == []
    assert codes(row, long, row, tokenizer=nano) == ["too_many_tokens"]
    (found,) = check_for(rows_of(row, long, row), "trl", nano, folder)
    assert (found.severity, found.line) == ("warning", 2)
    assert "estimate" in found.message


def test_validation_has_limits_of_its_own(table, tmp_path):
    folder = table("trl,validation_examples_max,1,there,2026-11-22,H,", "trl,examples_min,3,there,2026-11-22,H,")
    rows = rows_of(chat(USER, ANSWER), count=3)
    assert export(rows, "trl", tmp_path / "a", validation=rows[:1], folder=folder).validation_rows == 1
    with pytest.raises(DataError, match="at most 1 rows"):
        export(rows, "trl", tmp_path / "b", validation=rows[:2], folder=folder)


def test_rows_that_are_validated_and_trained_on_are_told(tmp_path):
    rows = [Row(chat(USER | {"content": f"question {n}"}, ANSWER), "rows.jsonl", n + 1) for n in range(6)]
    report = export(rows, "trl", tmp_path / "a", validation=rows[4:], today=DAY)
    assert report.warnings[0].startswith("2 input(s) to validate with are trained on too, the first rows.jsonl:5: ")
    assert "trained on too" not in repr(export(rows[:4], "trl", tmp_path / "b", validation=rows[4:], today=DAY))


def test_drop_lists_what_it_leaves_out(tmp_path):
    good, bad = chat(USER, ANSWER), chat(USER, USER, ANSWER)
    rows = rows_of(bad, good, bad, good, good)
    report = export(rows, "llama_factory", tmp_path, drop=True)
    assert read_back(report, "llama_factory") == [good] * 3
    places = {finding.line for finding in report.dropped}
    assert places == {1, 3}
    assert report.rows + len(places) == len(rows)
    assert "dropped: 2 row(s)" in repr(report)
    with pytest.raises(DataError, match="at least 10 rows and has 9"):  # after dropping there are too few
        export(rows_of(chat(USER), *[good] * 9), "openai", tmp_path / "b", drop=True)


def test_tokens_are_an_estimate(nano, tmp_path):
    rows = rows_of(chat(USER, ANSWER), count=10)
    assert export(rows, "trl", tmp_path / "a").tokens is None
    report = export(rows, "trl", tmp_path / "b", tokenizer=nano)
    texts = sum(len(nano(turn["content"], add_special_tokens=False)["input_ids"]) for turn in (USER, ANSWER))
    assert report.tokens == 10 * (texts + 2 * module.TOKENS_PER_TURN)
    assert "estimate" in repr(report)
    pair = export(rows_of(PAIR, count=10), "trl", tmp_path / "c", tokenizer=nano)
    more = export(rows_of(PAIR | {"messages": [USER, ANSWER]}, count=10), "trl", tmp_path / "d", tokenizer=nano)
    assert pair.tokens > more.tokens


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=3) | st.sampled_from(["user", "assistant"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["messages", "prompt", "chosen", "rejected", "role", "content", "tool_calls", "tools"]), inner
    ),
    max_leaves=10,
)
TURN = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["system", "user", "assistant", "tool", "gpt", None, 3]),
        "content": st.none() | st.text(max_size=3) | st.sampled_from([1, []]),
        "weight": st.sampled_from([0, 1, None, "1"]),
        "tool_calls": st.sampled_from([None, [], [CALL], [{}], [{"function": 1}], [{"function": {"arguments": 1}}], 1]),
        "tool_call_id": st.sampled_from([None, "c1", 1]),
    },
)
ODD = JSON | st.lists(TURN, max_size=4).map(lambda turns: {"messages": turns})
ODD |= st.fixed_dictionaries({key: st.lists(TURN, max_size=3) for key in PAIR}) | st.fixed_dictionaries(
    {"messages": st.lists(TURN, max_size=3), "label": st.booleans()}
)


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(list(TARGETS)), st.lists(ODD, min_size=1, max_size=3), st.booleans())
def test_any_rows_give_findings_or_files_that_read_back(tmp_path_factory, to, data, drop):
    rows = rows_of(*data)
    check_for(rows, to)
    out = tmp_path_factory.getbasetemp() / "odd"
    try:
        report = export(rows, to, out, drop=drop, force=True)
    except DataError:
        return
    assert len(read_back(report, to)) == report.rows
    assert report.rows + len({finding.line for finding in report.dropped}) == len(rows)


def test_input_that_is_no_row(tmp_path):
    with pytest.raises(DataError, match=r"no train rows.*check_chat"):
        export([], "trl", tmp_path)
    with pytest.raises(DataError, match="no validation rows"):
        export(rows_of(chat(USER, ANSWER)), "trl", tmp_path, validation=[])
    with pytest.raises(DataError, match=r"Row\(data, file, line\)"):
        export([chat(USER, ANSWER)], "trl", tmp_path)
    with pytest.raises(DataError, match="not writable as JSON"):
        export(rows_of(chat(USER, ANSWER, tools=[{"a": {1}}])), "trl", tmp_path)
    with pytest.raises(DataError, match=r"'opnai' is no export target; choose one of openai"):
        check_for(rows_of(chat(USER, ANSWER)), "opnai")


# --- files ---


def test_nothing_is_overwritten_and_a_failure_leaves_the_old_files(tmp_path, monkeypatch):
    good = rows_of(chat(USER, ANSWER), count=2)
    report = export(good, "axolotl", tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(DataError, match=r"train\.jsonl exists already.*force=True"):
        export(good[:1], "axolotl", tmp_path)

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        export(good[:1], "axolotl", tmp_path, force=True)
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert export(good[:1], "axolotl", tmp_path, force=True).files == report.files
    assert len(read_back(report, "axolotl")) == 1


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(DataError, match="cannot be a folder"):
        export(rows_of(chat(USER, ANSWER)), "trl", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_byte_order_mark_only_where_it_was_ever_wanted(tmp_path):
    rows = enough(chat(USER, ANSWER))
    for folder, bom in (("plain", False), ("marked", True)):
        report = export(rows, "azure", tmp_path / folder, bom=bom)
        assert report.files[0].read_bytes().startswith(b"\xef\xbb\xbf") == bom
        assert read_back(report, "azure") == [row.data for row in rows]
    with pytest.raises(DataError, match="bom=True is for azure"):
        export(rows, "openai", tmp_path / "c", bom=True)


def test_report_is_readable_and_escaped(tmp_path):
    rows = enough(chat(USER, ANSWER, **{"<script>": 1}))
    report = export(rows, "gemini", tmp_path, today=DAY)
    text, page = repr(report), report._repr_html_()
    for part in (text, page):
        assert "train.jsonl" in part
        assert "10 to train on" in part
        assert "copies the files to your bucket" in part
    assert "<script>" in text
    assert "<script>" not in page
    assert json.loads(json.dumps(report.to_dict()))["rows"] == 10


# --- dated facts ---


@pytest.mark.parametrize("to", TARGETS)
def test_the_table_is_whole(to):
    known = limits(to)
    assert "roles" in known
    for limit in known.values():
        if not limit.value:
            assert "not found" in limit.note
        else:
            assert limit.source_url.startswith("https://")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("trl,examples_min,ten,u,2026-11-22,H,", r"limits\.csv:2 value: 'ten' is no whole number"),
        ("trl,closes_on,soon,u,2026-11-22,H,", r"limits\.csv:2 value: 'soon' is no date"),
        ("trl,examples_min,1,u,yesterday,H,", r"limits\.csv:2 source_date: 'yesterday' is no date"),
        ("trl,examples_min,1,,2026-11-22,H,", r"limits\.csv:2 a value needs its source_url"),
        ("trl,examples_min,1,u,2026-11-22,sure,", r"confidence of H, M or L"),
        ("opnai,examples_min,1,u,2026-11-22,H,", r"limits\.csv:2 target: opnai; use openai"),
        ("trl,examples_min,1,u,2026-11-22,H,a,b", r"limits\.csv:2 has more or fewer"),
        ("trl,examples_min", r"limits\.csv:2 has more or fewer"),
    ],
)
def test_a_damaged_table_names_the_line(row, message, table):
    with pytest.raises(DataError, match=message):
        limits("trl", table(row))


def test_a_table_with_other_columns_or_none(table, tmp_path):
    with pytest.raises(DataError, match=r"limits\.csv:1 the columns must be target"):
        limits("trl", table(header="target,value"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no \.csv"):
        limits("trl", tmp_path / "empty")


def warnings_of(to, day, tmp_path, **options):
    return export(enough(chat(USER, ANSWER)), to, tmp_path / "out", today=day, force=True, **options).warnings


def test_a_closing_service_is_named_with_its_days(tmp_path, table):
    closing = limits("openai")["closes_on"]
    last = date.fromisoformat(closing.value)
    before, after = (warnings_of("openai", last + timedelta(days), tmp_path) for days in (-5, 1))
    assert any("openai closes on" in text and "in 5 days" in text and closing.source_url in text for text in before)
    assert any(f"openai has been closed since {closing.value}" in text for text in after)
    assert any("closed to newcomers since" in text for text in before)
    assert not any("clos" in text for text in warnings_of("together", DAY, tmp_path))
    folder = table("trl,closes_on,2027-04,there,2026-11-22,M,some note")
    (text,) = [text for text in warnings_of("trl", date(2027, 3, 31), tmp_path, folder=folder) if "some note" in text]
    assert text.startswith("trl closes on 2027-04, in 1 days: some note (there")


def test_old_and_missing_figures_are_named(tmp_path, table):
    folder = table(
        "trl,examples_min,1,there,2026-08-24,H,", "trl,examples_max,9999,there,2026-08-23,H,",
        "trl,file_bytes_max,,,,,not found",
    )  # fmt: skip
    texts = warnings_of("trl", DAY, tmp_path, folder=folder)
    (old,) = [text for text in texts if "older than" in text]
    assert "examples_max (91 days)" in old
    assert "examples_min" not in old
    assert "not known and so not checked: file_bytes_max" in texts


# --- the targets' own readers ---


def test_trl_reads_every_kind(tmp_path, tickets, nano):
    from datasets import load_dataset
    from trl.data_utils import apply_chat_template, is_conversational

    def load(rows, to, folder):
        path = export(rows, to, tmp_path / folder).files[0]
        return load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))

    whole = "".join(f"<|{turn['role']}|>{turn['content']}<|end|>" for turn in tickets[0].data["messages"])
    data = load(tickets[:20], "trl", "chat")
    assert all(is_conversational(row) for row in data)
    assert apply_chat_template(data[0], nano) == {"text": whole}
    parts = apply_chat_template(load(tickets[:20], "trl_prompt_completion", "parts")[0], nano)
    assert parts["prompt"] + parts["completion"] == whole
    pair = apply_chat_template(load(pairs_of(tickets[:20]), "trl", "pairs")[0], nano)
    assert pair["prompt"] + pair["chosen"] == whole
    assert pair["rejected"] == "{}<|end|>"


def test_trl_judges_the_rated_answers(tmp_path, tickets, nano):
    """The real KTOTrainer reads the file: the answer is the completion, and its label is the row's."""
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM
    from trl import KTOConfig, KTOTrainer

    rated = as_kind(tickets[:4], "unpaired")
    path = export(rated, "trl_kto", tmp_path / "data").files[0]
    data = load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    arguments = KTOConfig(output_dir=str(tmp_path / "run"), report_to="none", use_cpu=True, bf16=False, max_length=1024)
    model = AutoModelForCausalLM.from_pretrained(models.resolve("nano"))
    trainer = KTOTrainer(model=model, args=arguments, train_dataset=data, processing_class=nano)
    batch = trainer.data_collator([trainer.train_dataset[index] for index in range(4)])
    assert batch["label"].tolist() == [row.data["label"] for row in rated]
    for ids, mask, row in zip(batch["input_ids"], batch["completion_mask"], rated, strict=True):
        judged = nano.decode(ids[mask.bool()])
        assert judged == row.data["messages"][-1]["content"] + "<|end|>"


@pytest.mark.parametrize("to", ["trl", "trl_prompt_completion"])
def test_trl_trains_on_the_answers_alone(to, tmp_path, tickets, nano):
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    path = export(tickets[:8], to, tmp_path / "data").files[0]
    data = load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    arguments = SFTConfig(
        output_dir=str(tmp_path / "run"), report_to="none", use_cpu=True, bf16=False, max_length=1024,
        assistant_only_loss=to == "trl",
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(models.resolve("nano"))
    trainer = SFTTrainer(model=model, args=arguments, train_dataset=data, processing_class=nano)
    batch = trainer.data_collator([trainer.train_dataset[index] for index in range(8)])
    for labels, row in zip(batch["labels"], tickets, strict=False):
        learned = nano.decode([token for token in labels.tolist() if token != -100])
        assert learned == row.data["messages"][-1]["content"] + "<|end|>"


def test_openai_types_accept_the_turns(tmp_path, tickets):
    types = pytest.importorskip("openai.types.chat", reason="needs the openai SDK: pip install -e '.[hosted]'")
    from pydantic import TypeAdapter

    adapter = TypeAdapter(types.ChatCompletionMessageParam)
    tools = TypeAdapter(list[types.ChatCompletionToolParam])
    for to in ("openai", "azure", "together", "fireworks"):
        for rows in (tickets, enough(WITH_TOOLS)):
            for row in read_back(export(rows, to, tmp_path / to, force=True), to)[:5]:
                for turn in row["messages"]:
                    adapter.validate_python(turn)
                tools.validate_python(row.get("tools", []))


def test_google_types_accept_the_records(tmp_path, tickets):
    types = pytest.importorskip("google.genai.types", reason="needs google-genai: pip install -e '.[hosted]'")
    for line in export(tickets, "gemini", tmp_path / "chat").files[0].read_text().splitlines():
        record = json.loads(line)
        assert set(record) == {"systemInstruction", "contents"}
        types.Content.model_validate(record["systemInstruction"])  # forbids unknown keys
        roles = [types.Content.model_validate(content).role for content in record["contents"]]
        assert roles == ["user", "model"]
    for line in export(pairs_of(tickets), "gemini_preference", tmp_path / "pairs").files[0].read_text().splitlines():
        record = json.loads(line)
        types.Content.model_validate(record.pop("system_instruction"))
        example = types.GeminiPreferenceExample.model_validate(record)
        assert [item.score for item in example.completions] == [1, 0]


def test_together_checks_the_file(tmp_path, tickets):
    files = pytest.importorskip("together.lib.utils.files", reason="needs together: pip install -e '.[hosted]'")
    for to, rows in (("together", tickets), ("together_dpo", pairs_of(tickets))):
        report = files.check_file(export(rows, to, tmp_path / to).files[0])
        assert (report["is_check_passed"], report["num_samples"]) == (True, 250)


def test_bedrock_shapes_accept_the_records(tmp_path, tickets):
    pytest.importorskip("botocore", reason="needs boto3: pip install -e '.[hosted]'")
    from botocore.loaders import Loader
    from botocore.model import ServiceModel
    from botocore.validate import ParamValidator

    service = ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"))
    shape = service.operation_model("Converse").input_shape
    for line in export(tickets, "bedrock_nova", tmp_path).files[0].read_text().splitlines():
        record = json.loads(line)
        assert record.pop("schemaVersion") == "bedrock-conversation-2024"
        assert not ParamValidator().validate({"modelId": "m"} | record, shape).has_errors()


def test_axolotl_trains_on_the_answers_alone(tmp_path, tickets, nano):
    needs = "needs Axolotl 0.19, which pins other versions"
    strategies = pytest.importorskip("axolotl.prompt_strategies.chat_template", reason=needs, exc_type=ImportError)
    from axolotl.prompt_strategies.dpo.chat_template import default
    from axolotl.utils.dict import DictDefault

    masked = rows_of(chat(SYSTEM, USER, LONG_AGO | {"weight": 0}, USER, ANSWER))
    path = export([*tickets[:5], *masked], "axolotl", tmp_path / "chat").files[0]
    config = DictDefault(yaml.safe_load(path.with_name("axolotl.yaml").read_text()))
    strategy = strategies.load(nano, config, ds_cfg=config.datasets[0])
    for line, row in zip(path.read_text().splitlines(), [*tickets[:5], *masked], strict=True):
        labels = strategy.tokenize_prompt(json.loads(line))["labels"]
        learned = nano.decode([token for token in labels if token != -100])
        assert learned == row.data["messages"][-1]["content"] + "<|end|>"
    path = export(pairs_of(tickets), "axolotl", tmp_path / "pairs").files[0]
    config = DictDefault(yaml.safe_load(path.with_name("axolotl.yaml").read_text()))
    read = default(config)[0](json.loads(path.read_text().splitlines()[0]), tokenizer=nano)
    assert read["chosen"] == tickets[0].data["messages"][-1]["content"] + "<|end|>"
    assert read["rejected"] == "{}<|end|>"
    assert read["prompt"].endswith(tickets[0].data["messages"][1]["content"] + "<|end|><|assistant|>")


def test_llama_factory_reads_the_data(tmp_path, tickets):
    parser = pytest.importorskip("llamafactory.data.parser", reason="needs LLaMA-Factory 0.9.5, which pins others")
    from llamafactory.data.converter import SharegptDatasetConverter

    for kind, rows in (("chat", tickets), ("preference", pairs_of(tickets))):
        path = export(rows, "llama_factory", tmp_path / kind).files[0]
        (attributes,) = parser.get_dataset_list(["train"], str(path.parent))
        converter = SharegptDatasetConverter(attributes, None)
        for record, row in zip(json.loads(path.read_text()), rows, strict=True):
            read = converter(record)
            turns = row.data["messages"]
            answers = turns[-1:] + row.data.get("rejected", [])
            assert read["_system"] == turns[0]["content"]
            assert read["_prompt"] == turns[1:2]
            assert read["_response"] == answers
