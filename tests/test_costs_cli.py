"""`ftlab memory`, `fit` and `cost` on what people really type: one message with the remedy, never a traceback."""

import json

import pytest

from ftlab.cli import main
from ftlab.models import REPOSITORY

ROW = {"messages": [{"role": "user", "content": "Where is it?"}, {"role": "assistant", "content": "Here."}]}
SCENARIO = REPOSITORY / "recipes" / "costs" / "brand_voice_low_volume.yaml"


@pytest.fixture
def ask(capsys):
    """A function that runs the command line; exit code, stdout and stderr come back."""

    def ask(*words):
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:  # argparse
            code = stop.code
        return code, *capsys.readouterr()

    return ask


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["memory", "--model", "qwen3-5b"], "qwen3-5b: not in the catalogue"),
        (["memory", "--model", "someone/else"], "someone/else: not on this machine"),
        (["memory", "--model", "qwen3-4b", "--gpu", "Abacus"], "gpu: 'Abacus' is not in"),
        (["memory", "--model", "qwen3-4b", "--batch", "0"], "batch: 0 must be a whole number"),
        (["memory", "--model", "qwen3-4b", "--batch", "two"], "invalid int value"),
        (["memory", "--model", "qwen3-4b", "--length", "-5"], "length: -5 must be a whole number"),
        (["memory", "--model", "qwen3-4b", "--method", "lroa"], "method: 'lroa' is not known; choose one of"),
        (["memory", "--model", "qwen3-4b", "--optimizer", "adam"], "optimizer: 'adam' is not known"),
        (["fit", "{rows}", "--gpu", "X9"], "gpu: 'X9' is not in"),
        (["fit", "{rows}", "--gpu", "T4", "--epochs", "nan"], "epochs: nan must be a number above 0"),
        (["fit", "{rows}", "--gpu", "T4", "--max-length", "0"], "max_length: 0 must be a whole number"),
        (["fit", "{empty}", "--gpu", "T4"], "empty.jsonl"),
        (["cost", "{rows}"], "rows.jsonl"),
        (["cost", "{empty}"], "empty.jsonl"),
        (["cost", "{folder}"], "is a folder"),
        (["cost", SCENARIO, "--today", "soon"], "invalid fromisoformat value"),
    ],
    ids=lambda value: " ".join(map(str, value[:4])) if isinstance(value, list) else "",
)
def test_unusable_input_is_one_message_and_exit_2(ask, tmp_path, words, message):
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW) + "\n")
    (tmp_path / "empty.jsonl").write_text("")
    places = {"rows": tmp_path / "rows.jsonl", "empty": tmp_path / "empty.jsonl", "folder": tmp_path}
    code, _, error = ask(*(str(word).format(**places) for word in words))
    assert code == 2
    assert message in error
    assert "Traceback" not in error


def test_a_scenario_is_answered_with_bands(ask):
    code, text, _ = ask("cost", SCENARIO, "--today", "2026-11-22")
    assert "8 of 10 draws" in text
    assert "all bands drawn at once" in text
    same, text, _ = ask("cost", SCENARIO, "--today", "2026-11-22", "--json")
    answer = json.loads(text)
    assert code == same == (1 if answer["break_even"] == "never" else 0)
    assert answer["saving_band"]["low"] <= answer["saving_band"]["likely"] <= answer["saving_band"]["high"]


def test_what_does_not_fit_comes_with_what_would(ask):
    words = ("memory", "--model", "qwen3-14b", "--method", "lora", "--gpu", "T4")
    code, text, _ = ask(*words)
    assert code == 1
    assert "does not fit" in text
    assert "lora -> qlora" in text
    code, text, _ = ask(*words, "--json")
    assert code == 1
    assert json.loads(text)["would_fit"]
    code, text, _ = ask("memory", "--model", "qwen3-0.6b", "--gpu", "T4", "--mode", "eval", "--json")
    assert code == 0
    assert "would_fit" not in json.loads(text)


def test_a_workflow_with_people_is_told_from_a_scenario(ask):
    code, text, _ = ask("cost", REPOSITORY / "recipes" / "costs" / "medical_coding_payback.yaml")
    assert code == 0
    assert "weeks" in text
    code, text, _ = ask("cost", REPOSITORY / "recipes" / "costs" / "medical_coding_payback.yaml", "--json")
    assert json.loads(text)
