"""The commands on data and money, end to end: files, exit codes, JSON."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_data_sources import CUT, ROW, build, damaged
from test_smol import needs_smol

from ftlab import cli
from ftlab.data.schema import read_chat
from ftlab.models import REPOSITORY

ROWS = 200
SCENARIOS = [p for p in sorted((REPOSITORY / "recipes/costs").glob("*.yaml")) if not p.stem.endswith("payback")]
TRAIN = REPOSITORY / "data/support_triage/train.jsonl"


@pytest.fixture
def tickets(tmp_path):
    """Clean tickets."""
    path = tmp_path / "tickets.jsonl"
    path.write_text("".join(TRAIN.read_text().splitlines(keepends=True)[:ROWS]))
    return path


def run(capsys, *arguments):
    """(exit code, the printed JSON)."""
    code = cli.main([*map(str, arguments), "--json"])
    out = capsys.readouterr()
    return code, json.loads(out.out) if out.out else out.err


def test_check_of_a_clean_file(tickets, capsys):
    code, report = run(capsys, "check", tickets)
    assert code == 0
    assert (report["rows_in"], report["rows_kept"], report["findings"]) == (ROWS, ROWS, [])


def test_check_finds_a_leak_and_a_broken_line(tickets, tmp_path, capsys):
    evaluation = tmp_path / "eval.jsonl"
    evaluation.write_text(tickets.read_text().splitlines()[6] + "\n")
    with tickets.open("a") as file:
        file.write('{"messages": [\n')
    code, report = run(capsys, "check", tickets, "--against", evaluation)
    assert code == 1
    found = {finding["code"]: finding["line"] for finding in report["findings"]}
    assert found == {"leak_exact": 7, "broken_json": ROWS + 1}
    assert report["rows_in"] == ROWS + 1


def test_check_writes_a_repaired_copy(tickets, tmp_path, capsys):
    lines = tickets.read_text().splitlines()
    lines[2] = lines[2].replace('"role": "user"', '"role": "human"')
    tickets.write_text("\n".join(lines) + "\n")
    out = tmp_path / "clean.jsonl"
    code, report = run(capsys, "check", tickets, "--fix", out)
    assert code == 1
    assert [change["line"] for change in report["fix"]["changes"]] == [3]
    assert run(capsys, "check", out)[0] == 0


def test_check_with_a_tokenizer(tickets, capsys):
    code, report = run(capsys, "check", tickets, "--model", "nano", "--max-length", "60")
    assert code == 1
    assert report["counts"]["answer_truncated"] + report["counts"]["answer_cut_away"] == ROWS


def test_split(tickets, tmp_path, capsys):
    code, report = run(capsys, "split", tickets, "--out", tmp_path / "parts", "--group", "id", "--stratify", "queue")
    assert code == 0
    assert sum(report["rows"].values()) == ROWS
    assert report["rows"]["test"] == pytest.approx(0.1 * ROWS, abs=5)
    assert run(capsys, "split", tickets, "--out", tmp_path / "parts")[0] == 2
    assert run(capsys, "split", tickets, "--out", tmp_path / "other", "--parts", "train")[0] == 2


def test_convert_there_and_back(tickets, tmp_path, capsys):
    there, back = tmp_path / "sharegpt.jsonl", tmp_path / "back.jsonl"
    assert run(capsys, "convert", tickets, "--to", "sharegpt", "--out", there)[0] == 0
    assert run(capsys, "convert", there, "--to", "messages", "--out", back)[0] == 0
    assert read_chat(back) == read_chat(tickets)


def test_export(tickets, tmp_path, capsys):
    code, report = run(capsys, "export", tickets, "--to", "openai", "--out", tmp_path / "upload", "--model", "nano")
    assert code == 0
    assert report["rows"] == ROWS
    assert report["tokens"] > ROWS
    code, message = run(capsys, "export", tickets, "--to", "no_such_service", "--out", tmp_path / "upload2")
    assert code == 2
    assert "openai" in message


def test_export_for_a_trainer_takes_the_recipe(tickets, tmp_path, capsys):
    recipe = REPOSITORY / "recipes/support_triage.yaml"
    code, _ = run(capsys, "export", tickets, "--to", "axolotl", "--out", tmp_path / "axolotl", "--recipe", recipe)
    assert code == 0
    config = next((tmp_path / "axolotl").glob("*.y*ml")).read_text()
    assert "lora_r: 16" in config


PAIR = {"prompt": "q", "chosen": "a", "rejected": "b"}


def write(path, *rows):
    """One JSON text a line; what is text already stands as it is."""
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_export_drops_what_cannot_be_read_too(tickets, tmp_path, capsys):
    with tickets.open("a") as file:
        file.write('{"messages": [\n' + json.dumps({"messages": [{"role": "user", "content": "q"}]}) + "\n")
    code, message = run(capsys, "export", tickets, "--to", "trl", "--out", tmp_path / "a")
    assert code == 2
    assert f"{ROWS + 1} not JSON" in message
    code, report = run(capsys, "export", tickets, "--to", "trl", "--out", tmp_path / "a", "--drop")
    assert code == 1
    assert report["rows"] == ROWS
    assert {finding["line"] for finding in report["dropped"]} == {ROWS + 1, ROWS + 2}


def test_export_counts_rows_that_share_a_line(tmp_path, capsys):
    good, bad = {"instruction": "q", "output": "a"}, {"instruction": "q", "output": ""}
    path = write(tmp_path / "a.json", [good, bad, good, bad])
    assert cli.main(["export", str(path), "--to", "trl", "--out", str(tmp_path / "a"), "--drop"]) == 1
    text = capsys.readouterr().out
    assert "dropped: 2 row(s)" in text
    assert f"{path}:1 [3].output: is empty" in text


def test_pairs_are_exported_in_whatever_form_they_come(tmp_path, capsys):
    question = {"question": "q", "chosen": "a", "rejected": "b"}
    path = write(tmp_path / "pairs.jsonl", PAIR, question)
    fixed = tmp_path / "fixed.jsonl"
    assert run(capsys, "convert", path, "--to", "messages", "--out", fixed)[0] == 0
    for number, file in enumerate((path, fixed)):
        assert run(capsys, "export", file, "--to", "trl", "--out", tmp_path / str(number))[0] == 0
        rows = [json.loads(line) for line in (tmp_path / str(number) / "train.jsonl").read_text().splitlines()]
        assert [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows] == [("a", "b")] * 2


def test_export_takes_a_format(tmp_path, capsys):
    path = write(tmp_path / "both.jsonl", {"instruction": "q", "output": "a", "prompt": "p", "completion": "c"})
    code, message = run(capsys, "export", path, "--to", "trl", "--out", tmp_path / "a")
    assert code == 2
    assert "--format" in message
    assert run(capsys, "export", path, "--to", "trl", "--out", tmp_path / "a", "--format", "prompt_completion")[0] == 0
    assert '"content": "p"' in (tmp_path / "a" / "train.jsonl").read_text()


def test_no_command_writes_over_the_file_that_it_reads(tickets, tmp_path, capsys):
    train = tickets.rename(tmp_path / "train.jsonl")
    before = train.read_bytes()
    for command in (["split", train], ["export", train, "--to", "trl"]):
        code, message = run(capsys, *command, "--out", tmp_path, "--force")
        assert code == 2
        assert "is the file that is read" in message
    for command in (["convert", train, "--to", "instruction", "--out", train], ["check", train, "--fix", train]):
        assert run(capsys, *command, "--force")[0] == 2
    assert train.read_bytes() == before


def row_in_array(field: str | None) -> str:
    """Which row of a JSON array a field is of, as [2]; rows of one array may share a line."""
    return field.partition("]")[0] if field and field.startswith("[") else ""


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(ROW, min_size=1, max_size=4),
    st.lists(CUT, max_size=2),
    st.sampled_from(["jsonl", "json", "csv"]),
    st.sampled_from(["trl", "llama_factory"]),
)
def test_every_command_keeps_its_books(tmp_path_factory, capsys, rows, cuts, kind, to):
    folder = tmp_path_factory.getbasetemp() / "books"
    folder.mkdir(exist_ok=True)
    path = folder / f"a.{kind}"
    path.write_bytes(damaged(build(folder, kind, rows, {}), cuts))
    code, report = run(capsys, "check", path)
    if code == 2:
        assert str(path) in report
        return
    assert code == (1 if report["findings"] else 0)
    code, repair = run(capsys, "check", path, "--fix", folder / "fixed.jsonl", "--force")
    if code != 2:
        fix = repair["fix"]
        assert fix["rows_in"] == report["rows_in"] == fix["rows_out"] + len(fix["dropped"])
        assert len(read_chat(folder / "fixed.jsonl")) == fix["rows_out"]
    code, exported = run(capsys, "export", path, "--to", to, "--out", folder / "out", "--drop", "--force")
    if code != 2:
        dropped = {(found["file"], found["line"], row_in_array(found["field"])) for found in exported["dropped"]}
        assert code == (1 if dropped else 0)
        assert report["rows_in"] == exported["rows"] + len(dropped)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["split", "tickets", "--out", "a", "--parts", "../a=0.5,b=0.5"], "write names and fractions"),
        (["split", "tickets", "--out", "a", "--parts", "a=0.5,a=0.5"], "a name stands twice"),
        (["split", "tickets", "--out", "a", "--parts", "a=1.2.3,b=1"], "write names and fractions"),
        (["split", "a.csv", "--out", "a"], "ftlab convert"),
        (["export", "tickets", "--to", "trl", "--out", "a", "--recipe", "no.yaml"], "no.yaml"),
        (["export", "tickets", "--to", "trl", "--out", "a", "--recipe", "recipe"], "settings are for axolotl"),
        (["check", "tickets", "--fix", "tickets"], "exists already"),
        (["check", "tickets", "--fix", "a.csv"], "only JSONL is written"),
    ],
)
def test_options_that_make_no_sense_are_refused(command, told, tickets, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"tickets": tickets, "recipe": REPOSITORY / "recipes/support_triage.yaml"}
    code, message = run(capsys, *(names.get(part, part) for part in command))
    assert code == 2
    assert told in message
    assert [path for path in tmp_path.iterdir() if path != tickets] == []


def test_a_repair_lists_every_change(tickets, tmp_path, capsys):
    tickets.write_text(tickets.read_text().replace('"role": "user"', '"role": "human"'))
    assert cli.main(["check", str(tickets), "--fix", str(tmp_path / "clean.jsonl")]) == 1
    text = capsys.readouterr().out
    assert text.count('"human" -> "user"') == ROWS
    assert "every finding by itself: --json" in text


def test_a_repair_says_what_it_leaves_to_a_person(tmp_path, capsys):
    chats = [[{"role": "user", "content": "Is the gate open?"}, {"role": "assistant", "content": text}]
             for text in ("yes ", "no")]  # fmt: skip
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps({"messages": turns, "customer": "ana@quay.net"}) + "\n" for turns in chats))
    cli.main(["check", str(path), "--fix", str(tmp_path / "clean.jsonl")])
    left = capsys.readouterr().out.partition("left as they are")[2].splitlines()[1:]
    assert [line.split()[:2] for line in left] == [["contradiction:", "1,"], ["private_group:", "1,"]]


def test_contradictions_are_left_out_on_request(tmp_path, capsys):
    said = [("Where is it?", "delivery"), ("Where  is it?", "billing"), ("It is broken.", "returns"), ("Hm?", "other")]
    pairs = [[{"role": "user", "content": a}, {"role": "assistant", "content": b}] for a, b in said]
    file, out = tmp_path / "rows.jsonl", tmp_path / "fixed.jsonl"
    file.write_text("".join(json.dumps({"messages": pair}) + "\n" for pair in pairs))
    lines = file.read_text().splitlines()
    assert cli.main(["check", str(file), "--fix", str(out)]) == 1
    assert out.read_text().splitlines() == lines
    assert cli.main(["check", str(file), "--fix", str(out), "--drop-contradictions", "--force"]) == 1
    assert out.read_text().splitlines() == lines[2:]
    told = capsys.readouterr().out
    assert f"{file}:1 messages: and line 2 ask the same and answer differently" in told
    assert f"{file}:2 messages: and line 1 ask the same" in told
    assert cli.main(["check", str(out)]) == 0


def test_keys_are_renamed_on_the_way(tmp_path, capsys):
    table, out = tmp_path / "labels.csv", tmp_path / "chats.jsonl"
    table.write_text("text,label,day\nIt is late,delivery,1\nMy refund,billing,2\n")
    assert cli.main(["convert", str(table), "--to", "messages", "--out", str(out)]) == 2
    assert "--rename OLD=NEW" in capsys.readouterr().err
    command = ["convert", str(table), "--to", "messages", "--out", str(out), "--rename", "text=prompt", "--rename"]
    assert cli.main([*command, "label=completion"]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [turn["content"] for row in rows for turn in row["messages"]] == [
        "It is late", "delivery", "My refund", "billing",
    ]  # fmt: skip
    assert [row["day"] for row in rows] == ["1", "2"]
    capsys.readouterr()
    for wrong, message in (("label", "text=prompt"), ("lable=completion", "no row has the key 'lable'"),
                           ("label=day", "labels.csv:2: has 'day' already")):  # fmt: skip
        assert cli.main([*command, wrong, "--force"]) == 2
        assert message in capsys.readouterr().err


def test_help_names_every_format_and_target(capsys):
    from ftlab.data import formats
    from ftlab.data.targets import TARGETS

    for command, names in (("export", {**TARGETS, **formats.FORMATS}), ("convert", formats.FORMATS)):
        with pytest.raises(SystemExit, match="0"):
            cli.main([command, "--help"])
        words = capsys.readouterr().out.replace(",", " ").split()
        assert set(names) <= set(words)


def test_a_terminal_without_utf8_ends_in_no_traceback(tmp_path):
    path = write(tmp_path / "a.jsonl", {"messages": [{"role": "usér", "content": "q"}]})
    command = [sys.executable, "-m", "ftlab", "check", str(path)]
    done = subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 1
    assert "usér" in done.stdout.decode("utf-8")
    assert done.stderr == b""


def test_memory(capsys):
    code, memory = run(capsys, "memory", "--model", "unsloth/Qwen3-8B", "--gpu", "T4")
    assert code == 0
    assert memory["fits"] is True
    assert memory["total_gib"] == pytest.approx(sum(memory["parts"].values()), abs=0.01)
    code, memory = run(capsys, "memory", "--model", "unsloth/Qwen3-8B", "--method", "full", "--gpu", "T4")
    assert (code, memory["fits"]) == (1, False)


def test_fit(tickets, capsys):
    code, table = run(capsys, "fit", tickets, "--gpu", "T4")
    assert code == 0
    assert any(row["fits"] for row in table["models"])
    assert table["rows_in"] == ROWS


COUNTERS = [pytest.param("smol", marks=needs_smol), "nano"]


@pytest.mark.parametrize("counter", COUNTERS)
def test_fit_counts_what_goes_through_the_model(tmp_path, capsys, monkeypatch, counter):
    if counter == "nano":
        monkeypatch.setenv("FTLAB_SMOL", "0")
    turns = [{"role": role, "content": "one two three"} for role in ("user", "assistant")]
    chat, pair = {"messages": turns}, dict.fromkeys(("prompt", "chosen", "rejected"), "one two three")
    rated = chat | {"label": False}
    seen = {}
    for kind, data in (("chat", chat), ("preference", pair), ("unpaired", rated)):
        code, seen[kind] = run(capsys, "fit", write(tmp_path / f"{kind}.jsonl", data, data), "--gpu", "T4")
        assert (code, seen[kind]["rows_in"], seen[kind]["kind"], seen[kind]["counted_with"]) == (0, 2, kind, counter)
        assert f"tokenizer of {counter}" in seen[kind]["notes"][0]
    methods = {kind: {row["method"] for row in table["models"]} for kind, table in seen.items()}
    assert methods["chat"] <= {"lora", "qlora"}
    assert methods["preference"] | methods["unpaired"] <= {"dpo_lora", "dpo_qlora"}
    assert seen["preference"]["length"] == seen["chat"]["length"]
    longer = pair | {"rejected": "one two three " * 9}
    assert run(capsys, "fit", write(tmp_path / "p.jsonl", longer), "--gpu", "T4")[1]["length"] > seen["chat"]["length"]


@pytest.mark.parametrize("counter", COUNTERS)
def test_check_counts_with_the_best_tokenizer_here_only_where_a_length_is_given(tickets, capsys, monkeypatch, counter):
    if counter == "nano":
        monkeypatch.setenv("FTLAB_SMOL", "0")
    assert cli.main(["check", str(tickets), "--max-length", "30"]) == 1
    assert f"tokens counted with {counter}; name the model" in capsys.readouterr().out
    assert run(capsys, "check", tickets, "--max-length", "30")[1]["counts"]["answer_cut_away"]
    assert not run(capsys, "check", tickets)[1]["summary"]["trained"]


@needs_smol
def test_smol_says_that_its_template_leaves_tools_out(tmp_path, capsys):
    turns = [{"role": "user", "content": "Tide?"}, {"role": "assistant", "content": "High at six."}]
    tool = {"type": "function", "function": {"name": "tide", "description": "d", "parameters": {}}}
    path = write(tmp_path / "a.jsonl", {"messages": turns, "tools": [tool]})
    assert "does not render" in run(capsys, "fit", path, "--gpu", "T4")[1]["notes"][-1]
    assert "tools_not_rendered" in run(capsys, "check", path, "--max-length", "99")[1]["counts"]


def test_fit_and_check_say_what_a_template_leaves_out(tmp_path, capsys):
    call = {"id": "c", "type": "function", "function": {"name": "tide", "arguments": "{}"}}
    turns = [{"role": "user", "content": "Tide?"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    described = {"type": "function", "function": {"name": "tide", "description": "long " * 500, "parameters": {}}}
    path = write(tmp_path / "a.jsonl", {"messages": turns, "tools": [described]})
    _, table = run(capsys, "fit", path, "--gpu", "T4", "--model", "nano")
    assert "does not render" in table["notes"][-1]
    _, report = run(capsys, "check", path, "--model", "nano")
    assert {"tools_not_rendered", "answer_not_rendered"} <= set(report["counts"])
    _, exported = run(capsys, "export", path, "--to", "trl", "--out", tmp_path / "o", "--model", "nano")
    assert exported["tokens"] > 500
    assert any("does not render" in text for text in exported["warnings"])
    code, message = run(capsys, "export", path, "--to", "gemini", "--out", tmp_path / "g")
    assert code == 2
    assert "carries no tools" in message


def test_rated_answers_are_exported_for_kto_alone(tmp_path, capsys):
    rated = [{"prompt": "q", "completion": text, "label": text == "good"} for text in ("good", "bad")]
    path = write(tmp_path / "kto.jsonl", *rated)
    code, message = run(capsys, "export", path, "--to", "trl", "--out", tmp_path / "a")
    assert code == 2
    assert "kto.jsonl:2" in message
    assert "export it to trl_kto" in message
    assert run(capsys, "export", path, "--to", "trl_kto", "--out", tmp_path / "b")[0] == 0
    rows = [json.loads(line) for line in (tmp_path / "b" / "train.jsonl").read_text().splitlines()]
    assert [(row["completion"][0]["content"], row["label"]) for row in rows] == [("good", True), ("bad", False)]


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_cost(path, capsys):
    code, report = run(capsys, "cost", path, "--today", "2026-11-22")
    assert code == (1 if report["break_even"] == "never" else 0)
    assert report["options"]
    assert report["assumptions"]


def test_decide(capsys):
    code, decision = run(capsys, "decide", REPOSITORY / "recipes/cases/medical_coding.yaml")
    assert code == 0
    assert decision["recommendation"] == decision["ranking"][0]["approach"]
    assert {"quality", "cost", "time", "upkeep", "update", "effort", "for", "against"} <= set(decision["ranking"][0])


@pytest.mark.parametrize("command", ["check", "split", "convert", "export", "cost", "decide", "fit"])
def test_a_file_that_is_not_there(command, tmp_path, capsys):
    more = {
        "split": ["--out", tmp_path], "convert": ["--to", "alpaca", "--out", tmp_path / "o.jsonl"],
        "export": ["--to", "openai", "--out", tmp_path / "o"], "fit": ["--gpu", "T4"],
    }  # fmt: skip
    code, message = run(capsys, command, tmp_path / "no.jsonl", *more.get(command, []))
    assert code == 2
    assert "no.jsonl" in message
    assert "Traceback" not in message
