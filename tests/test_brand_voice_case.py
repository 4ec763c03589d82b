"""The cells of notebook 15 that a reader copies, and the experiment behind it."""

import ast
import json
import re
import sys
from pathlib import Path

import pandas as pd
import pytest

from ftlab.costs.payback import payback, read_workflow
from ftlab.evaluation.metrics import holds, probe_scores

ROOT = Path(__file__).resolve().parents[1]
SOURCE = (ROOT / "notebooks" / "src" / "15_case_brand_voice.py").read_text(encoding="utf-8")
sys.path.insert(0, str(ROOT / "tools"))
try:
    from experiments import voice
finally:
    sys.path.remove(str(ROOT / "tools"))


def rows_of(part):
    lines = (ROOT / "data" / "brand_voice" / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def cells():
    """The functions of the notebook that check facts."""
    wanted = ("message", "reply", "facts_in", "facts_kept")
    nodes = [node for node in ast.parse(SOURCE).body if getattr(node, "name", None) in wanted]
    assert len(nodes) == len(wanted)
    names = {row["facts"][kind].lower() for row in rows_of("test") for kind in ("item", "name")}
    space = {"re": re, "pd": pd, "holds": holds, "probe_scores": probe_scores, "CATALOGUE": names | {"kettle"}}
    exec(compile(ast.Module(nodes, []), "15", "exec"), space)
    return space


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        (lambda text, facts: text, []),
        (lambda text, facts: text.replace(facts["number"], "9999"), ["names", "invents nothing"]),
        (lambda text, facts: text.replace(facts["number"], facts["number"][:3]), ["names", "invents nothing"]),
        (lambda text, facts: text.replace(f" of order {facts['number']}", ""), ["names"]),
        (lambda text, facts: text.replace(facts["item"], "Kettle"), ["names", "invents nothing"]),
        (lambda text, facts: text.replace("Head winds", "The stars"), ["does what is asked"]),
    ],
)
def test_facts_that_are_lost_invented_or_not_done_are_seen_each_by_its_check(cells, change, lost):
    row = rows_of("test")[0]
    text = change(cells["reply"](row), row["facts"])
    found = cells["facts_kept"]([text], [row]).iloc[0]
    assert list(found.index[found == 0]) == lost


def test_both_exercises_of_the_notebook_are_checked():
    assert "check_invented_numbers(invented_numbers)" in SOURCE
    assert "check_kappa(kappa)" in SOURCE


def test_prompts_hold_the_guide_and_examples_that_no_test_has():
    prompts = voice.prompts()
    assert list(prompts) == ["plain", "guide", "examples"]
    assert prompts["plain"].instruction == rows_of("test")[0]["messages"][0]["content"]
    assert prompts["guide"].instruction == prompts["examples"].instruction
    asked = {row["messages"][1]["content"] for part in ("validation", "test") for row in rows_of(part)}
    assert len(prompts["examples"].shots) == 3
    assert not asked & {shot for shot, _ in prompts["examples"].shots}


@pytest.mark.parametrize("part", ["validation", "test"])
def test_so_many_messages_are_asked_as_hold_each_pattern_once(part):
    frames = [row["frame"] for row in rows_of(part)]
    for name, times in {"examples": 1, "guide": 1, "plain": 2}.items():
        asked = frames[: voice.ASKED[name][part]]
        assert {asked.count(frame) for frame in set(frames)} == {times}
    assert part == "validation" or f'rows["test"][:{voice.ASKED["guide"]["test"]}]' in SOURCE


@pytest.mark.slow
def test_what_prompts_share_is_read_once_and_the_answers_are_the_same(monkeypatch):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from ftlab.evaluation.generation import generate
    from ftlab.models import resolve

    monkeypatch.setattr(voice.preferences, "NEW_TOKENS", 12)
    model, tokenizer = (each.from_pretrained(resolve("nano")) for each in (AutoModelForCausalLM, AutoTokenizer))
    prompt = voice.prompts()["examples"]
    chats = [prompt.messages(row["messages"][1]["content"]) for row in rows_of("test")[:4]]
    ours, usual = (
        voice.answer_after_prefix(model, tokenizer, chats),
        generate(model, tokenizer, chats, max_new_tokens=12),
    )
    for name in ("texts", "prompt_tokens", "new_tokens", "cut_off"):
        assert getattr(ours, name) == getattr(usual, name)


def test_the_payback_hangs_on_the_accuracies_that_the_notebook_puts_in():
    workflow = read_workflow(ROOT / "recipes" / "costs" / "brand_voice_payback.yaml")
    assert payback(workflow).verdict == "never"
    assert {"accuracy_before", "cases_per_month"} <= set(workflow.ours)


def test_pairs_prefer_what_may_be_sent_and_leave_out_messages_without_such_an_answer(tmp_path, monkeypatch):
    first, second = rows_of("archive")[:2]
    house, fine = voice.preferences.rows_of("messages")[0], {}
    for row in (first, second):
        text = house["messages"][2]["content"]
        for kind, fact in house["facts"].items():
            text = text.replace(fact, row["facts"][kind])
        fine[row["id"]] = text
    assert voice.fit_to_send(fine[first["id"]], first)
    assert not voice.fit_to_send(fine[first["id"]].replace(first["facts"]["number"], "1"), first)
    lines = [
        {"id": first["id"], "answers": ["Hello.", fine[first["id"]]]},
        {"id": second["id"], "answers": ["Hello.", "Ahoy!"]},  # none may be sent
    ]
    (tmp_path / "drawn").mkdir()
    (tmp_path / "drawn" / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setattr(voice, "FOLDER", tmp_path)
    (pair,) = voice.reviewed_pairs()
    assert (pair["chosen"][0]["content"], pair["rejected"][0]["content"]) == (fine[first["id"]], "Hello.")


def test_the_experiment_strikes_the_words_that_the_notebook_strikes():
    (struck,) = [node.value for node in ast.parse(SOURCE).body
                 if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "GRAMMAR"]  # fmt: skip
    assert ast.literal_eval(struck) == voice.STRUCK
