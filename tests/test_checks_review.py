"""What a model drafted is read without loss, and what a person decided survives."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftlab.checks.drafts import parse_drafts
from ftlab.checks.review import Progress, Review
from ftlab.data.schema import check_chat, read_chat, write_chat
from ftlab.errors import DataError
from ftlab.prompt_kit import read_kit

PAIR = {"input": "where is order 195925?", "answer": {"queue": "logistics", "order_id": "195925"}}
CHAT = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}


def codes(drafts):
    return [finding.code for finding in drafts.findings]


def turns(row):
    return [(turn["role"], turn["content"]) for turn in row["messages"]]


def chat(question, answer, **extra):
    return {
        "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    } | extra  # fmt: skip


# --- reading an answer


LINES = [json.dumps(PAIR | {"input": f"ticket {n}"}) for n in range(3)]
WHOLE = {
    "lines": "\n".join(LINES),
    "crlf": "\r\n".join(LINES) + "\r\n",
    "a list": "[" + ", ".join(LINES) + "]",
    "a list on lines": "[\n  " + ",\n  ".join(LINES) + "\n]",
    "pretty list": json.dumps([json.loads(line) for line in LINES], indent=2),
    "pretty objects": "\n\n".join(json.dumps(json.loads(line), indent=4) for line in LINES),
    "fenced": "```jsonl\n" + "\n".join(LINES) + "\n```",
    "one fence each": "\n".join(f"```json\n{line}\n```" for line in LINES),
    "wrapped": json.dumps({"examples": [json.loads(line) for line in LINES]}),
    "wrapped and fenced": "```json\n" + json.dumps({"examples": [json.loads(x) for x in LINES]}, indent=1) + "\n```",
    "numbered": "\n".join(f"{n}. {line}" for n, line in enumerate(LINES, 1)),
    "commas": ",\n".join(LINES) + ",",
}


@pytest.mark.parametrize("name", WHOLE)
def test_every_form_of_a_good_answer_gives_the_same_rows(name):
    rows, findings = parse_drafts(WHOLE[name], source="model-x", drafted="2026-11-01")
    assert [turns(row) for row in rows] == [
        [("user", f"ticket {n}"), ("assistant", json.dumps(PAIR["answer"]))] for n in range(3)
    ]
    assert rows[0]["provenance"] == {"source": "model-x", "prompt": "draft_examples", "drafted": "2026-11-01"}
    assert {finding.code for finding in findings} == {"answer_as_text"}


@pytest.mark.parametrize(
    "row",
    [
        CHAT,
        {"prompt": "q", "completion": "a"},
        {"instruction": "q", "output": "a"},
        {"question": "q", "answer": "a"},
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
        {"input": "q", "answer": "a"},
        {"input": "q", "output": "a"},
        {"user": "q", "assistant": "a"},
    ],
)
def test_the_shapes_that_models_write(row):
    drafts = parse_drafts(json.dumps(row))
    assert turns(drafts.rows[0]) == [("user", "q"), ("assistant", "a")]
    assert drafts.findings == []


def test_words_around_the_examples_are_said_and_left_out():
    drafts = parse_drafts(f"Here are three [as asked]:\n\n{WHOLE['fenced']}\nI hope this helps!\nSee {{you}}.")
    assert len(drafts.rows) == 3
    said = [(f.line, f.message) for f in drafts.findings if f.code == "not_an_example"]
    assert [line for line, _ in said] == [1, 8, 9]
    assert "as asked" in said[0][1]


def test_an_answer_cut_off_in_the_middle_keeps_what_is_whole_and_says_what_is_not():
    for text in ("\n".join(LINES), WHOLE["a list on lines"], WHOLE["wrapped"], WHOLE["pretty list"]):
        cut = text[: text.rindex("logistics")]
        drafts = parse_drafts(cut)
        assert len(drafts.rows) == 2, cut
        assert codes(drafts).count("cut_off") == 1
        assert codes(drafts).count("list_not_closed") == (0 if text[:2] == '{"' and "\n" in text else 1)


ONE = LINES[0]
OTHER_SYSTEM = {"messages": [{"role": "system", "content": "Other."}, *CHAT["messages"]]}
# what a model wrote: how many rows it gives, and (code, line, field, part of the message) of its findings
SAID = {
    "{'input': 'q', 'answer': 'a'}": (1, ("mended", 1, "", "compare it")),
    '{"input": "q", "answer": "a",}': (1, ("mended", 1, "", "")),
    '{input: "q", answer: "a"}': (1, ("mended", 1, "", "")),
    '{"input": "q" "answer": "a"}': (1, ("mended", 1, "", "")),
    '{"input": "two\nlines", "answer": "a"}': (1, ("mended", 1, "", "")),
    '{"input": "q", "answer": ' + "7" * 5000 + "}": (1, ("mended", 1, "", "more than 4,300 digits")),
    '{"input": "q", "answer": "a" // the usual case\n}': (0, ("broken_json", 1, "", "not to be mended safely")),
    '{"input": "q", "input": "other", "answer": "a"}': (0, ("duplicate_key", 1, "input", "")),
    '{"input": "", "answer": "a"}': (0, ("empty_content", 1, "input", "")),
    '{"colour": "red"}': (0, ("no_format", 1, "", "'colour'")),
    '{"messages": []}': (0, ("empty_messages", 1, "messages", "")),
    '{"messages": [{"role": "user", "content": "q"}]}': (0, ("last_not_assistant", 1, "messages[0].role", "")),
    '{"input": "q"}': (0, ("no_format", 1, "", "")),
    "{}": (0, ("no_format", 1, "", "nothing")),
    f"{ONE}\n{ONE}": (2, ("repeated", 2, "messages", "line 1")),
    '{"question": "Is a late refund billing?"}': (0, ("question", 1, "", "late refund")),
    '{"input": "q", "answer": "a", "doubt": "two queues fit"}': (1, ("doubt", 1, "doubt", "two queues fit")),
    f"{ONE}\n{json.dumps(OTHER_SYSTEM)}": (2, ("other_system", 2, "messages[0].content", "")),
    "": (0, ("no_row", None, "", "Ask again")),
    "I cannot do that.": (0, ("not_an_example", 1, "", "cannot do")),
    "```\n```": (0, ("no_row", None, "", "")),
    "[]": (0, ("no_row", None, "", "")),
    "[1, 2]": (0, ("no_row", None, "", "")),
}  # fmt: skip


@pytest.mark.parametrize("text", SAID)
def test_what_is_odd_in_an_answer_is_said(text):
    count, (code, line, field, words) = SAID[text]
    drafts = parse_drafts(text, system="Triage the ticket.")
    assert len(drafts.rows) == count
    (found,) = [found for found in drafts.findings if found.code == code]
    assert (found.line, found.field, words in found.message) == (line, field, True)
    assert count or code == "question" or [each for each in drafts.findings if each.severity == "error"]
    assert len(parse_drafts(f"{text}\n{LINES[1]}").rows) == count + 1  # the others are read all the same


def test_a_row_keeps_its_doubt_has_an_id_and_the_system_prompt_in_front():
    rows = parse_drafts("\n".join(LINES), system="Triage the ticket.").rows
    assert {turns(row)[0] for row in rows} == {("system", "Triage the ticket.")}
    assert len({row["id"] for row in rows}) == 3
    assert rows[0]["id"] == parse_drafts(LINES[0], system="Triage the ticket.").rows[0]["id"]
    assert parse_drafts('{"input": "q", "answer": "a", "doubt": "why"}').rows[0]["doubt"] == "why"
    mended = parse_drafts('{"input": "two\nlines", "answer": \'a\'}').rows[0]
    assert turns(mended) == [("user", "two\nlines"), ("assistant", "a")]


def test_what_is_no_text_is_a_clear_error():
    with pytest.raises(DataError, match="from a run, .answer"):
        parse_drafts(None)


def test_the_line_that_the_draft_prompt_asks_for_is_read():
    asked = read_kit()["draft_examples"].text.strip().splitlines()[-1]
    drafts = parse_drafts(asked)
    assert len(drafts.rows) == 1
    assert drafts.findings == []
    assert drafts.rows[0]["invented_input"] is False


def test_rows_can_be_written_and_checked(tmp_path):
    rows, _ = parse_drafts("\n".join(LINES), system="Triage the ticket.")
    check = check_chat(write_chat(rows, tmp_path / "drafts.jsonl"))
    assert (check.rows_kept, check.findings) == (3, [])


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet='{}[]":,\\ \nab1`-.', max_size=60))
def test_nothing_that_a_model_writes_ends_in_a_traceback_or_is_lost_unsaid(text):
    drafts = parse_drafts(text)
    said = len(drafts.rows) + len(drafts.findings)
    assert said >= 1
    repr(drafts)
    assert "<" in drafts._repr_html_()


@settings(max_examples=80, deadline=None)
@given(st.lists(st.one_of(st.just(LINES[0]), st.text(alphabet="ab1 .,:-*[](", max_size=12)), max_size=6))
def test_each_line_is_a_row_or_has_its_finding(lines):
    rows, findings = parse_drafts("\n".join(lines))
    assert len(rows) == lines.count(LINES[0])
    words = {n for n, line in enumerate(lines, 1) if line != LINES[0] and set(line) & set("ab1")}
    assert words <= {finding.line for finding in findings if finding.code == "not_an_example"}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=4), st.sampled_from([None, 1]))
def test_texts_come_back_as_they_were(pairs, indent):
    pairs = [(f"q{q}", f"a{a}") for q, a in pairs]
    written = "\n".join(json.dumps({"input": q, "answer": a}, indent=indent) for q, a in pairs)
    try:
        written.encode()
    except UnicodeEncodeError:
        return
    rows = parse_drafts(written).rows
    kept = [(row["messages"][0]["content"], row["messages"][1]["content"]) for row in rows]
    assert kept == [pair for pair in pairs if not any("\ud800" <= c <= "\udfff" for c in "".join(pair))]


# --- deciding


@pytest.fixture
def drafts(tmp_path):
    rows = [chat(f"q{n}", f"a{n}", id=f"d{n}") for n in range(4)]
    rows[0]["provenance"] = {"source": "model-x", "prompt": "draft_examples", "drafted": "2026-11-01"}
    return write_chat(rows, tmp_path / "drafts.jsonl")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "reviewed.jsonl"


def start(drafts, out):
    return Review.open(drafts, out, reviewer="Ada")


def test_decisions_are_counted_saved_and_traceable(drafts, out):
    review = start(drafts, out)
    review.accept(0)
    review.edit(1, "better", note="wrong queue")
    review.reject(2, note="invented order id")
    assert review.progress == Progress(4, 1, 1, 1)
    assert (review.progress.left, review.next_open(), review.next_open(3)) == (1, 3, 3)
    saved = review.save()
    assert saved.startswith(f"2 rows in {out}; 3 of 4 decided")
    first, second = read_chat(out)
    assert (turns(first)[1], turns(second)[1]) == (("assistant", "a0"), ("assistant", "better"))
    day = review.decision(0).at[:10]
    assert first["provenance"] == {
        "source": "model-x", "prompt": "draft_examples", "drafted": "2026-11-01",
        "decision": "accepted", "reviewer": "Ada", "reviewed": day,
    }  # fmt: skip
    assert second["provenance"] == {
        "decision": "edited", "reviewer": "Ada", "reviewed": day, "note": "wrong queue",
    }  # fmt: skip
    assert (first["id"], second["id"]) == ("d0", "d1")


def test_every_decision_is_on_the_disk_at_once_and_the_next_session_goes_on(drafts, out):
    review = start(drafts, out)
    review.edit(2, "better")
    review.reject(0, note="no")
    again = start(drafts, out)  # the first session was never closed
    assert again.progress == review.progress == Progress(4, 0, 1, 1)
    assert (again.answer(2), again.decision(0).note, again.next_open()) == ("better", "no", 1)


def test_the_last_decision_on_a_row_counts(drafts, out):
    review = start(drafts, out)
    review.reject(0)
    review.edit(0, "better")
    assert review.edit(0, "a0").decision == "accepted"  # an edit that changes nothing
    assert start(drafts, out).progress == Progress(4, 1, 0, 0)
    assert start(drafts, out).answer(0) == "a0"


def test_undo_takes_back_one_decision_after_the_other_also_in_a_later_session(drafts, out):
    review = start(drafts, out)
    review.accept(0)
    review.edit(0, "better")
    review.reject(1)
    assert review.undo() == 1
    later = start(drafts, out)
    assert later.undo() == 0
    assert later.decision(0).decision == "accepted"
    assert later.undo() == 0
    assert later.undo() is None
    assert start(drafts, out).progress == Progress(4, 0, 0, 0)


@pytest.mark.parametrize("answer", ["", " \n", None, "half \ud800"])
def test_an_answer_that_cannot_be_trained_on_is_refused(drafts, out, answer):
    review = start(drafts, out)
    with pytest.raises(DataError, match="answer"):
        review.edit(0, answer)
    assert review.progress.left == 4


@pytest.mark.parametrize(("answer", "why"), [('{"queue": }', "column 11"), ("5", "no object"), ("[]", "no object")])
def test_an_edit_does_not_break_an_answer_that_was_json(tmp_path, out, answer, why):
    review = start(write_chat([chat("q", '{"queue": "billing"}')], tmp_path / "d.jsonl"), out)
    with pytest.raises(DataError, match=why):
        review.edit(0, answer)
    assert review.edit(0, '{"queue": "logistics"}').decision == "edited"


def test_a_call_of_tools_can_be_accepted_and_not_edited(tmp_path, out):
    call = {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]}
    drafts = write_chat([{"messages": [{"role": "user", "content": "q"}, call]}], tmp_path / "d.jsonl")
    review = start(drafts, out)
    with pytest.raises(DataError, match="call of tools"):
        review.edit(0, "text")
    review.accept(0)
    review.save()
    assert read_chat(out)[0]["messages"][1] == call


@pytest.mark.parametrize("row", [-1, 4, True, "0", None])
def test_a_row_that_is_not_there(drafts, out, row):
    with pytest.raises(DataError, match="4 rows, which count from 0"):
        start(drafts, out).accept(row)


def test_changed_drafts_are_refused_and_the_journal_stays(drafts, out):
    start(drafts, out).accept(0)
    journal = start(drafts, out).journal
    before, old = journal.read_bytes(), drafts.read_bytes()
    drafts.write_bytes(old + json.dumps(CHAT).encode() + b"\n")
    with pytest.raises(DataError, match=r"4 rows, sha256 .* now 5 rows.*Put the old drafts back"):
        start(drafts, out)
    assert journal.read_bytes() == before
    drafts.write_bytes(old)
    assert start(drafts, out).progress.accepted == 1


def test_a_line_that_a_crash_cut_is_taken_off_and_said(drafts, out):
    review = start(drafts, out)
    review.accept(0)
    review.accept(1)
    whole = review.journal.read_bytes()
    review.journal.write_bytes(whole[:-20])
    again = start(drafts, out)
    assert again.progress.accepted == 1
    assert "cut by a crash" in again.notes[0]
    assert '"row": 1' in repr(again)
    again.reject(3)
    assert start(drafts, out).progress == Progress(4, 1, 0, 1)
    assert start(drafts, out).notes == []


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_wherever_a_crash_cuts_the_journal_the_decisions_before_it_are_there(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("crash")
    drafts = write_chat([chat(f"q{n}", f"a{n}") for n in range(3)], folder / "drafts.jsonl")
    review = start(drafts, folder / "out.jsonl")
    for row in range(3):
        review.edit(row, f"neu é {row}")
    whole = review.journal.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    review.journal.write_bytes(whole[:cut])
    again = start(drafts, folder / "out.jsonl")
    lines = whole[:cut].count(b"\n") + (cut < len(whole) and whole[cut : cut + 1] == b"\n")
    assert again.progress.edited == max(0, lines - 1)
    again.accept(0)
    assert start(drafts, folder / "out.jsonl").decision(0).decision == "accepted"


@pytest.mark.parametrize(
    "line",
    [
        "{", "[]", "7", '{"row": 9}', '{"undo": 3}', '{"row": 0, "decision": "perhaps"}', "[" * 100_000,
        '{"row": 99, "decision": "accepted"}', '{"row": null, "decision": "accepted"}',
        '{"row": 0, "decision": "edited", "answer": 5}',
    ],
)  # fmt: skip
def test_a_damaged_line_in_the_journal_is_named(drafts, out, line):
    review = start(drafts, out)
    with review.journal.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=r"reviewed\.jsonl\.journal\.jsonl:2: "):
        start(drafts, out)


def test_a_file_that_is_no_journal_is_left_alone(drafts, out):
    journal = out.with_name("reviewed.jsonl.journal.jsonl")
    journal.write_text("my notes\n")
    with pytest.raises(DataError, match=":1: "):
        start(drafts, out)
    assert journal.read_text() == "my notes\n"


def test_two_open_sessions_see_each_other(drafts, out):
    one, two = start(drafts, out), start(drafts, out)
    one.accept(0)
    two.reject(1)
    one.accept(2)
    assert one.progress == Progress(4, 2, 0, 1)
    assert two.undo() == 2
    two.save()
    assert [row["id"] for row in read_chat(out)] == ["d0"]


def test_saving_again_is_fine_and_foreign_content_is_not_overwritten(drafts, out):
    review = start(drafts, out)
    with pytest.raises(DataError, match="no row is accepted yet"):
        review.save()
    review.accept(0)
    review.save()
    review.accept(1)
    start(drafts, out).save()
    assert len(read_chat(out)) == 2
    out.write_text("by hand\n")
    assert "force=True" in start(drafts, out).notes[0]
    with pytest.raises(DataError, match="force=True"):
        start(drafts, out).save()
    assert out.read_text() == "by hand\n"
    start(drafts, out).save(force=True)
    assert len(read_chat(out)) == 2


def test_drafts_that_cannot_be_used_are_said_and_the_others_reviewed(tmp_path, out):
    drafts = tmp_path / "d.jsonl"
    drafts.write_text(json.dumps(CHAT) + '\n{"messages": []}\n')
    review = start(drafts, out)
    assert len(review) == 1
    assert "1 draft(s)" in review.notes[0]
    assert review.findings[0].line == 2
    drafts.write_text('{"messages": []}\n')
    with pytest.raises(DataError, match="d.jsonl:1 messages"):
        start(drafts, tmp_path / "other.jsonl")
    drafts.write_text(json.dumps(CHAT))
    with pytest.raises(DataError, match="drafts file itself"):
        start(drafts, drafts)


def test_a_journal_that_is_gone_is_an_error_and_not_begun_anew(drafts, out):
    review = start(drafts, out)
    review.journal.unlink()
    with pytest.raises(DataError, match="is gone"):
        review.accept(0)
    assert not review.journal.exists()


def test_a_full_disk_leaves_the_journal_readable_and_says_so(drafts, out, monkeypatch):
    review = start(drafts, out)
    review.accept(0)

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DataError, match="No space left"):
            review.accept(1)
    assert review.progress.accepted == 1
    assert start(drafts, out).progress.accepted == 1
    review.accept(2)
    assert start(drafts, out).progress.accepted == 2


def test_what_is_shown_is_escaped(tmp_path):
    drafts = write_chat([CHAT], tmp_path / "<b>.jsonl")
    shown = Review.open(drafts, tmp_path / "out.jsonl")._repr_html_()
    assert "<b>" not in shown
    assert "0 of 1 decided" in shown
