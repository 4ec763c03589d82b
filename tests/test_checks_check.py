"""One report from all checks, and a repaired copy that accounts for every row and every change."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftlab.checks.check import check
from ftlab.checks.fix import fix, list_left
from ftlab.data.findings import report_table
from ftlab.data.schema import read_chat, write_chat
from ftlab.errors import DataError, FtlabError, ModelError
from ftlab.models import data_folder

TICKETS = data_folder() / "support_triage"
QUEUES = ("billing", "logistics", "workshop")
CARD = "4111 1111 1111 1111"


def turns(user, answer, system="Triage the ticket."):
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": user},
        {"role": "assistant", "content": answer},
    ]


def ordinary(count=60):
    things = ("toaster smokes", "sofa is late", "bill is wrong", "lamp is broken", "mirror came in pieces")
    words = ("today", "again", "in the hall", "since May", "for my mother", "at night", "with a bang")
    rows = []
    for n in range(count):
        order = str(100000 + 37 * n)
        question = f"The {things[n % 5]} {words[n % 7]} {words[n // 7 % 7]}, order {order}, what can I do?"
        answer = json.dumps({"queue": QUEUES[n % 5 % 3], "order_id": order})
        rows.append({"id": n, "messages": turns(question, answer)})
    return rows


def lines_of(rows):
    return [json.dumps(row).encode() for row in rows]


def put(path, lines, end=b"\n"):
    path.write_bytes(b"\n".join(lines) + end)
    return path


def messy(tmp_path):
    """Sixty ordinary rows; then one row a fault, in a file with a byte order mark, CRLF and a blank line."""
    lines = lines_of(ordinary())
    last = ordinary(61)[-1]["messages"]
    question, answer = last[1]["content"], last[2]["content"]
    plant = [
        {"messages": [{"role": "human", "content": "a" + question}, {"role": "gpt", "content": answer}]},
        {"messages": turns("b" + question, answer.replace("billing", "Billing"))},
        {"messages": turns("c" + question + "  \n", answer)},
        {"messages": turns("d" + question, answer, "triage the  ticket.")},
        {"messages": turns("e" + question + " caf\u00c3\u00a9", answer)},
        {"messages": turns(f"f{question} My card is {CARD}, mail jane@shop.de", answer)},
        {"messages": turns("g" + question + "<|im_end|><|im_end|>", answer)},
        {"messages": ordinary(1)[0]["messages"]},
        {"messages": turns("h", "")},
        {"messages": [{"role": "narrator", "content": "x"}, {"role": "assistant", "content": "y"}]},
    ]
    lines += lines_of(plant) + [b"{broken", b"", b"[1]", lines[7] + b"\r"]
    lines[0] = b"\xef\xbb\xbf" + lines[0]
    return put(tmp_path / "messy.jsonl", lines)


# ---- check


def test_the_tickets_are_clean_but_for_similar_ones():
    report = check(TICKETS / "validation.jsonl")
    assert set(report.counts) <= {"near_duplicate"}
    assert (report.rows_in, report.rows_kept, report.format) == (300, 300, "messages")
    assert not report.errors


def test_report_of_a_messy_file(tmp_path):
    ordinary_report = check(put(tmp_path / "rows.jsonl", lines_of(ordinary())))
    assert (set(ordinary_report.counts) - {"near_duplicate"}, ordinary_report.rows_kept) == (set(), 60)
    path = messy(tmp_path)
    report = check(path)
    expected = {
        "bom": None, "crlf": None, "blank_line": 72, "unknown_role": 61, "label_variant": 62, "trailing_space": 63,
        "system_drift": 64, "mojibake": 65, "card_number": 66, "email": 66, "doubled_token": 67,
        "exact_duplicate": 68, "empty_content": 69, "broken_json": 71, "not_an_object": 73,
    }  # fmt: skip
    first = {}
    for finding in report.findings:
        first.setdefault(finding.code, finding.line)
    assert {code: first[code] for code in expected} == expected
    lines = [finding.line for finding in report.findings]
    of_the_file = lines.count(None)
    assert lines == [None] * of_the_file + sorted(lines[of_the_file:])  # what is about the whole file comes first
    assert report.counts == {code: sum(f.code == code for f in report.findings) for code in report.counts}
    bad = {finding.line for finding in report.errors}
    assert report.rows_in == 73
    assert report.rows_kept == len(report.rows) == 73 - len(bad)
    assert CARD not in str(report.findings)


def test_the_report_is_readable_and_keeps_its_contract(tmp_path):
    report = check(messy(tmp_path))
    data = json.loads(json.dumps(report.to_dict()))
    assert set(data) == {"rows_in", "rows_kept", "findings", "counts", "summary"}
    assert set(data["findings"][0]) == {"code", "severity", "file", "line", "field", "message"}
    assert data["summary"]["error"] == len(report.errors)
    severities = [severity for severity, _, _ in report.classes]
    assert severities == sorted(severities, key=("error", "warning", "info").index)
    assert repr(report).splitlines()[1].startswith("error")
    assert all(code in repr(report) and code in report._repr_html_() for code in report.counts)


def test_html_escapes_what_the_file_says(tmp_path):
    path = put(tmp_path / "rows.jsonl", [json.dumps({"messages": turns("q", "a", "<script>")}).encode()] * 2)
    assert "<script>" not in check(path)._repr_html_()


def test_leaks_into_an_evaluation_file(tmp_path):
    rows = ordinary()
    path = put(tmp_path / "train.jsonl", lines_of(rows))
    against = put(tmp_path / "test.jsonl", [*lines_of(rows[5:6]), b"{broken"])
    report = check(path, against=against)
    leaks = [finding for finding in report.findings if finding.code == "leak_exact"]
    assert [finding.line for finding in leaks] == [6]
    assert "test.jsonl:1" in leaks[0].message
    assert report.rows_kept == 59
    assert [finding.file for finding in report.findings if finding.code == "broken_json"] == [str(against)]
    with pytest.raises(DataError, match="compared with itself"):
        check(path, against=tmp_path / "." / "train.jsonl")


def test_with_the_tokenizer_of_a_model(tmp_path):
    path = put(tmp_path / "rows.jsonl", lines_of(ordinary(20)))
    report = check(path, model="nano", max_length=16)
    assert report.counts["answer_cut_away"] == 20
    assert report.rows_kept == 0
    assert report.trained.rows == 20
    assert report.to_dict()["summary"]["trained"]["max_length"] == 16
    assert "TRL" in repr(report)
    assert check(path, model="nano", max_length=None).trained is None
    with pytest.raises(ModelError):
        check(path, model="no-such-model")


@pytest.mark.parametrize("form", ["json", "csv", "sharegpt"])
def test_other_formats(tmp_path, form):
    rows = [(f"My order {n} is late, why?", ("TODO", f"It comes on day {n}.")[n > 0]) for n in range(30)]
    path = tmp_path / f"rows.{form.replace('sharegpt', 'jsonl')}"
    if form == "json":
        path.write_text(json.dumps([{"instruction": q, "response": a} for q, a in rows]))
    elif form == "csv":
        path.write_text("instruction,response\n" + "".join(f'"{q}","{a}"\n' for q, a in rows))
    else:
        turn = lambda q, a: [{"from": "human", "value": q}, {"from": "gpt", "value": a}]  # noqa: E731
        path.write_text("".join(json.dumps({"conversations": turn(q, a)}) + "\n" for q, a in rows))
    report = check(path)
    assert (report.rows_in, report.rows_kept) == (30, 30)
    assert report.format == ("sharegpt" if form == "sharegpt" else "instruction")
    found = [finding for finding in report.findings if finding.code == "placeholder_answer"]
    assert len(found) == 1
    assert found[0].file == str(path)
    assert found[0].line == {"json": 1, "csv": 2, "sharegpt": 1}[form]
    assert ("[0]" in found[0].field) == (form == "json")  # rows that share a line are told apart
    fixed = fix(path, tmp_path / "fixed.jsonl")
    assert (fixed.rows_in, fixed.rows_out) == (30, 30)
    assert read_chat(tmp_path / "fixed.jsonl")[1]["messages"][0] == {"role": "user", "content": rows[1][0]}


def test_nothing_to_check(tmp_path):
    for content in (b"", b"\n\n"):
        path = tmp_path / "rows.jsonl"
        path.write_bytes(content)
        with pytest.raises(DataError):
            check(path)
    with pytest.raises(DataError):
        check(tmp_path / "none.jsonl")
    report = check(put(tmp_path / "rows.jsonl", [b"{", b"{"]))
    assert (report.rows_in, report.rows_kept, report.counts) == (2, 0, {"broken_json": 2})


# ---- fix


def test_what_is_about_the_whole_file_has_no_line_so_that_no_sound_row_is_dropped_for_it(tmp_path):
    """A byte order mark, CRLF, a prompt for each row, a group named by addresses, a template without markers."""
    rows = [row | {"customer": f"jane{row['id']}@shop.de"} for row in ordinary()]
    for row in rows:
        row["messages"][0]["content"] = f"You are helper {row['id']}."
    lines = lines_of(rows)
    lines[0] = b"\xef\xbb\xbf" + lines[0]
    path = put(tmp_path / "rows.jsonl", [line + b"\r" for line in lines])
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(data_folder() / "models" / "nano")
    tokenizer.chat_template = re.sub(r"{%-?\s*(end)?generation\s*-?%}", "", tokenizer.chat_template)
    tokenizer.save_pretrained(tmp_path / "unmarked")
    (tmp_path / "unmarked" / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "unmarked" / "model.safetensors").touch()
    report = check(path, model=tmp_path / "unmarked")
    of_the_file = {"bom", "crlf", "many_systems", "private_group", "no_generation_markers"}
    assert of_the_file <= set(report.counts) <= of_the_file | {"near_duplicate", "all_masked"}, report.counts
    found = {finding.code: finding for finding in report.findings if finding.code in of_the_file}
    assert {finding.line for finding in found.values()} == {None}
    assert str(found["bom"]).startswith(f"{path}: a byte order mark")
    assert {each["line"] for each in report.to_dict()["findings"] if each["code"] in of_the_file} == {None}
    assert "the file" in repr(report)
    assert "<td>the file</td>" in report._repr_html_()
    assert "<td>the file</td>" in report_table([], list(found.values()))
    repaired = fix(path, tmp_path / "fixed.jsonl")
    assert [str(change) for change in repaired.changes][:2] == [
        "the file [bom] a byte order mark, which many readers refuse -> none",
        "the file [crlf] 60 line(s), first 1, end in CRLF (Windows) -> LF",
    ]
    left = list_left(report, repaired)
    assert not any(line.split(":")[0].strip() in ("bom", "crlf") for line in left)
    assert any(line.startswith(f"  many_systems: 1, first {path}: messages[0].content: 60 different") for line in left)


def test_a_messy_file_is_repaired_and_everything_is_listed(tmp_path):
    path, out = messy(tmp_path), tmp_path / "fixed.jsonl"
    report = fix(path, out)
    changes = {(change.code, change.line) for change in report.changes}
    assert changes == {
        ("bom", None), ("crlf", None), ("blank_line", 72), ("unknown_role", 61), ("label_variant", 62),
        ("trailing_space", 63), ("system_drift", 64), ("mojibake", 65), ("card_number", 66), ("email", 66),
        ("doubled_token", 67),
    }  # fmt: skip
    dropped = {finding.line: finding.code for finding in report.dropped}
    assert dropped == {
        68: "repeated_row", 69: "empty_content", 70: "unknown_role", 71: "broken_json", 73: "not_an_object",
        74: "repeated_row",
    }  # fmt: skip
    assert report.rows_in == report.rows_out + len(report.dropped) == 73
    rows = read_chat(out)
    assert len(rows) == report.rows_out == 67
    assert [turn["role"] for turn in rows[60]["messages"]] == ["user", "assistant"]
    assert json.loads(rows[61]["messages"][2]["content"])["queue"] == "billing"
    assert rows[62]["messages"][1]["content"].endswith("?")
    assert rows[63]["messages"][0]["content"] == "Triage the ticket."
    assert rows[64]["messages"][1]["content"].endswith("caf\u00e9")
    assert rows[65]["messages"][1]["content"].endswith("My card is <card_number_1>, mail <email_1>")
    assert rows[66]["messages"][1]["content"].endswith("?<|im_end|>")
    assert out.read_bytes().splitlines()[:60] == lines_of(ordinary())
    repaired = {code for code, _ in changes} | {"exact_duplicate", "empty_content", "broken_json", "not_an_object"}
    assert not repaired & set(check(out).counts)
    (change,) = (change for change in report.changes if change.code == "label_variant")
    assert ("Billing" in change.before, "billing" in change.after) == (True, True)
    assert re.match(r"line 62 messages\[2\]\.content \[label_variant\] .* -> ", str(change))
    assert "left out: " in repr(report)
    fix(path, tmp_path / "unmasked.jsonl", mask=False)
    assert CARD in (tmp_path / "unmasked.jsonl").read_text()
    for text in (repr(report), json.dumps(report.to_dict())):
        assert CARD not in text
        assert "jane@" not in text


def test_text_parts_are_joined_and_other_parts_leave_the_row_out(tmp_path):
    def parts(*contents):
        return [{"type": "text", "text": text} if isinstance(text, str) else text for text in contents]

    rows = ordinary(4)
    rows[1]["messages"][1]["content"] = parts("Where is", "my sofa?")
    rows[2]["messages"][1]["content"] = parts("Look:", {"type": "image_url", "image_url": {"url": "x"}})
    rows[3]["messages"][2]["content"] = parts("Reach me at jane@shop.de")
    report = fix(put(tmp_path / "rows.jsonl", lines_of(rows)), tmp_path / "fixed.jsonl", mask=False)
    assert [(change.line, change.code) for change in report.changes] == [(2, "wrong_type"), (4, "wrong_type")]
    assert report.changes[0].after == json.dumps("Where is\nmy sofa?")
    assert "jane@" not in repr(report)
    assert [(left.line, left.code) for left in report.dropped] == [(3, "other_part")]
    kept = read_chat(tmp_path / "fixed.jsonl")
    assert [row["messages"][1]["content"] for row in kept][1] == "Where is\nmy sofa?"
    assert fix(tmp_path / "fixed.jsonl", tmp_path / "again.jsonl", mask=False).changes == []


def test_the_tickets_come_out_byte_for_byte(tmp_path):
    report = fix(TICKETS / "train.jsonl", tmp_path / "fixed.jsonl")
    assert report.changes == report.dropped == []
    assert (tmp_path / "fixed.jsonl").read_bytes() == (TICKETS / "train.jsonl").read_bytes()


def test_preference_rows_keep_their_names_and_both_answers(tmp_path):
    rows = [{"prompt": f"q {n}", "chosen": "yes", "rejected": f"no {CARD}"} for n in range(2)]
    rows += [rows[0] | {"rejected": "never"}, rows[0]]
    path = put(tmp_path / "rows.jsonl", lines_of(rows))
    fields = {(finding.line, finding.field) for finding in check(path).findings if finding.code == "card_number"}
    assert fields == {(1, "rejected"), (2, "rejected"), (4, "rejected")}
    report = fix(path, tmp_path / "fixed.jsonl")
    assert [finding.line for finding in report.dropped] == [4]
    assert [change.line for change in report.changes] == [1, 2]  # what is left out has no changes
    answers = [row["rejected"][0]["content"] for row in read_chat(tmp_path / "fixed.jsonl")]
    assert answers == ["no <card_number_1>", "no <card_number_1>", "never"]


def test_rows_that_share_a_line_are_told_apart(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"messages": turns(f"q{n} ", f"a{n}")[1:]} for n in (1, 2, 1)]))
    assert [finding.field for finding in check(path).findings if finding.code == "trailing_space"] == [
        "[0].messages[0].content", "[1].messages[0].content", "[2].messages[0].content"]  # fmt: skip
    report = fix(path, tmp_path / "fixed.jsonl")
    assert [change.field for change in report.changes] == ["[0].messages[0].content", "[1].messages[0].content"]
    assert [finding.field for finding in report.dropped] == ["[2].messages"]
    assert "[0]" in report.dropped[0].message


def test_refusals(tmp_path):
    path = put(tmp_path / "rows.jsonl", lines_of(ordinary(2)))
    out = write_chat(ordinary(1), tmp_path / "out.jsonl")
    before = out.read_bytes()
    with pytest.raises(DataError, match="--force"):
        fix(path, out)
    assert out.read_bytes() == before
    with pytest.raises(DataError, match="the file that is read"):
        fix(path, path, force=True)
    link = tmp_path / "link.jsonl"
    link.symlink_to(path)
    with pytest.raises(DataError, match="the file that is read"):
        fix(path, link, force=True)
    with pytest.raises(DataError, match=r"out\.jsonl"):
        fix(path, tmp_path / "out.csv")
    with pytest.raises(DataError, match="not JSON"):
        fix(put(tmp_path / "bad.jsonl", [b"{"]), tmp_path / "new.jsonl")
    assert not (tmp_path / "new.jsonl").exists()
    assert fix(path, out, force=True).rows_out == 2
    assert not list(tmp_path.glob(".*"))


CLEAN_TEXT = st.text("abcdefgh", min_size=1, max_size=8)
CLEAN_ROW = st.fixed_dictionaries(
    {"messages": st.tuples(CLEAN_TEXT, CLEAN_TEXT).map(lambda pair: turns(*pair)[1:])},
    optional={"id": st.integers() | st.none() | CLEAN_TEXT, "tags": st.lists(st.booleans() | st.floats(0, 1))},
)
STYLES = st.sampled_from([{}, {"separators": (",", ":")}, {"separators": (" ,  ", " : ")}])
DIRTY_TEXT = st.lists(
    st.sampled_from(["billing", "Billing", " ", "\n", "caf\u00c3\u00a9", "\u00c2\u00a0", CARD, "a@b.de", "<s><s>"]),
    max_size=4,
).map("".join)
DIRTY_ROLE = st.sampled_from(["system", "user", "assistant", "human", "GPT", "bot ", "nobody", None])
DIRTY_LINE = st.one_of(
    st.lists(st.fixed_dictionaries({"role": DIRTY_ROLE, "content": DIRTY_TEXT}), max_size=4).map(
        lambda messages: json.dumps({"messages": messages}).encode()
    ),
    st.tuples(DIRTY_TEXT, DIRTY_TEXT, DIRTY_TEXT).map(lambda t: json.dumps({"messages": turns(*t)}).encode()),
    st.sampled_from([b"", b"{", b"\r", b'{"messages": [], "messages": []}', b"null", b"\xff", b"\xef\xbb\xbf"]),
    st.binary(max_size=6),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(CLEAN_ROW, min_size=1, max_size=6, unique_by=lambda row: json.dumps(row["messages"])), STYLES,
       st.sampled_from([b"\n", b""]))  # fmt: skip
def test_a_clean_file_comes_out_the_same(tmp_path_factory, rows, style, end):
    folder = tmp_path_factory.getbasetemp()
    path = put(folder / "clean.jsonl", [json.dumps(row, **style).encode() for row in rows], end)
    report = fix(path, folder / "clean_out.jsonl", force=True)
    assert report.changes == report.dropped == []
    assert (folder / "clean_out.jsonl").read_bytes() == path.read_bytes().removesuffix(b"\n") + b"\n"


@settings(max_examples=100, deadline=None)
@given(st.lists(DIRTY_LINE, min_size=1, max_size=8), st.sampled_from([b"\n", b"\r\n", b""]))
def test_a_second_repair_finds_nothing(tmp_path_factory, lines, end):
    folder = Path(tmp_path_factory.getbasetemp())
    path, once, twice = folder / "dirty.jsonl", folder / "once.jsonl", folder / "twice.jsonl"
    put(path, lines, end)
    try:
        report = fix(path, once, force=True)
    except FtlabError:
        return
    assert report.rows_in == report.rows_out + len(report.dropped)
    assert len(read_chat(once)) == report.rows_out
    assert not check(once).errors
    again = fix(once, twice, force=True)
    assert again.changes == again.dropped == []
    assert twice.read_bytes() == once.read_bytes()
    json.dumps(report.to_dict())


# ---- nothing that a repair would spoil


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_both_answers_of_a_pair_are_repaired_alike(tmp_path):
    end = {"chosen": "Yes, on Monday.  ", "rejected": "No idea.  "}
    rows = [{"prompt": f"Is it open {n}?", **end} for n in range(3)]
    report = fix(put(tmp_path / "pairs.jsonl", lines_of(rows)), tmp_path / "out.jsonl")
    assert {change.field for change in report.changes} == {"chosen", "rejected"}
    for row in rows_of(tmp_path / "out.jsonl"):
        assert (row["messages"][-1]["content"], row["rejected"][0]["content"]) == ("Yes, on Monday.", "No idea.")


def test_private_data_keeps_its_groups(tmp_path):
    mails = [f"{name}@shop-mail.org" for name in ("ann", "ben", "eve")]
    rows = [{"customer": mail, "user_id": mail, "cc": mail, "messages": turns(f"I am {mail}, case {n}", "ok")}
            for n, mail in enumerate(mails * 2)]  # fmt: skip
    fix(put(tmp_path / "mails.jsonl", lines_of(rows)), tmp_path / "out.jsonl")
    out = rows_of(tmp_path / "out.jsonl")
    assert [row["customer"] for row in out] == [row["user_id"] for row in out] == mails * 2
    shown = [row["messages"][1]["content"].split()[2] for row in out]
    assert shown[:3] == shown[3:] == [f"{row['cc']}," for row in out[:3]]  # the same value, the same placeholder
    assert len(set(shown)) == 3
    assert not any(mail in json.dumps(row["messages"]) for row in out for mail in mails)
    left = [found for found in check(tmp_path / "out.jsonl").findings if found.code in ("email", "private_group")]
    assert [(found.severity, found.field) for found in left] == [("info", "customer"), ("info", "user_id")]


@pytest.mark.parametrize("name", ["system", "system_prompt"])
@pytest.mark.parametrize("system", ["Be brief.", [{"text": "Be brief."}], {"text": "Be brief."}])
def test_a_system_text_beside_the_turns_becomes_the_first_turn(tmp_path, name, system):
    said = [{"role": "user", "content": [{"text": "What?"}]}, {"role": "assistant", "content": [{"text": "That."}]}]
    rows = [{"schemaVersion": "bedrock-conversation-2024", name: system, "messages": said}]
    path = put(tmp_path / "nova.jsonl", lines_of(rows))
    assert "unseen_system" in check(path).counts
    report = fix(path, tmp_path / "out.jsonl")
    assert "unseen_system" in {change.code for change in report.changes}
    (row,) = rows_of(tmp_path / "out.jsonl")
    assert row["messages"] == turns("What?", "That.", "Be brief.")
    assert name not in row


def test_tools_as_text_become_a_list(tmp_path):
    tools = [{"type": "function", "function": {"name": "tide"}}]
    path = put(tmp_path / "tools.jsonl", lines_of([{"messages": turns("q", "a"), "tools": json.dumps(tools)}]))
    assert [(found.code, found.severity) for found in check(path).findings] == [("bad_tools", "error")]
    fix(path, tmp_path / "out.jsonl")
    assert rows_of(tmp_path / "out.jsonl")[0]["tools"] == tools


def test_a_rated_file_is_checked_as_one_and_a_bad_answer_is_never_trained_on(tmp_path):
    rows = [{"messages": turns(f"q{n}", "right" if n % 2 else "wrong"), "label": bool(n % 2)} for n in range(4)]
    path = put(tmp_path / "rated.jsonl", lines_of(rows))
    report = check(path)
    assert (report.format, report.rows_kept, report.errors) == ("kto", 4, [])
    bad = report.marked_bad
    assert 0 < bad < 4
    assert f"4 of 4 rows without an error, {bad} answers marked bad" in repr(report)
    assert "answers marked bad" in report._repr_html_()
    assert report.to_dict()["summary"]["marked_bad"] == bad
    with pytest.raises(FtlabError, match=r"rated\.jsonl:1 label: is false: this marks a bad answer"):
        read_chat(path)


@pytest.mark.parametrize("worse", ["no", True, 1.5, [1], ["x"], {}])
def test_a_worse_answer_that_is_none_is_an_error_for_every_reader(tmp_path, worse):
    path = put(tmp_path / "a.jsonl", lines_of([{"messages": turns("q", "a"), "rejected": worse}] * 2))
    assert {found.field.partition("[")[0] for found in check(path).errors} == {"rejected"}
    with pytest.raises(FtlabError, match="rejected"):
        read_chat(path)


def test_roles_and_parts_of_both_answers_are_repaired(tmp_path):
    said = [{"role": "human", "content": "q"}, {"role": "gpt", "content": [{"type": "text", "text": "fine"}]}]
    rows = [{"messages": said, "rejected": [{"role": "gpt", "content": [{"type": "text", "text": "bad"}]}]}]
    fix(put(tmp_path / "a.jsonl", lines_of(rows)), tmp_path / "out.jsonl")
    (row,) = rows_of(tmp_path / "out.jsonl")
    assert row["rejected"] == [{"role": "assistant", "content": "bad"}]
    assert not check(tmp_path / "out.jsonl").errors


def test_a_pair_that_a_repair_makes_equal_is_left_out(tmp_path):
    rows = [{"prompt": "Drink?", "chosen": "caf\u00e9", "rejected": "caf\u00c3\u00a9"},
            {"prompt": "Food?", "chosen": "bread", "rejected": "stone"}]  # fmt: skip
    report = fix(put(tmp_path / "a.jsonl", lines_of(rows)), tmp_path / "out.jsonl")
    assert [(found.line, found.code) for found in report.dropped] == [(1, "no_worse_answer")]
    assert report.rows_out == 1


def test_a_bad_answer_keeps_its_spelling(tmp_path):
    good = [{"prompt": f"Ticket {n}: {thing}", "completion": answer, "label": True}
            for n, (thing, answer) in enumerate([("refund me", "refund"), ("my bill", "billing")] * 20)]  # fmt: skip
    bad = {"prompt": "Ticket the last", "completion": "Billing", "label": False}
    fix(put(tmp_path / "a.jsonl", lines_of([*good, bad])), tmp_path / "out.jsonl")
    assert rows_of(tmp_path / "out.jsonl")[-1]["messages"][-1]["content"] == "Billing"


def test_a_secret_is_masked_wherever_it_stands(tmp_path):
    rows = [{"messages": turns("q", "a"), "account": CARD, "api_key": "sk-abcDEF1234567890abcdefGHIJ"}]
    fix(put(tmp_path / "a.jsonl", lines_of(rows)), tmp_path / "out.jsonl")
    text = (tmp_path / "out.jsonl").read_text()
    assert CARD not in text
    assert "sk-abc" not in text


def test_a_system_prompt_of_several_parts_is_not_lost(tmp_path):
    system = [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}]
    path = put(tmp_path / "a.jsonl", lines_of([{"system": system, "messages": turns("q", "a")[1:]}]))
    assert "unseen_system" in check(path).counts
    fix(path, tmp_path / "out.jsonl")
    assert rows_of(tmp_path / "out.jsonl")[0]["messages"][0] == {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    "text", ["Como se escreve a letra \u00c3 em portugu\u00eas?", "```\n<|im_start|><|im_start|>\n```"]
)
def test_sound_text_and_code_are_left_alone(tmp_path, text):
    rows = [{"messages": turns("What is this?", text)}]
    report = fix(put(tmp_path / "a.jsonl", lines_of(rows)), tmp_path / "out.jsonl")
    assert report.changes == []
