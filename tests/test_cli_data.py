"""The commands on data and money, end to end: files, exit codes, JSON."""

import json

import pytest

from ftlab import cli
from ftlab.data import read_chat
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


def test_convert_says_what_would_be_lost(tickets, tmp_path, capsys):
    code, message = run(capsys, "convert", tickets, "--to", "instruction", "--out", tmp_path / "x.jsonl")
    assert code == 2
    assert "system" in message


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
