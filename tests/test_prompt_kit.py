"""Prompts are complete and filled literally; a prompt is sent only on request, and every refusal is explained."""

import re
from pathlib import Path

import pytest
import yaml
from chat_server import ChatServer, always, completion

from ftlab.decide import CHOICES, Case, read_case
from ftlab.errors import DataError, ModelError, RecipeError
from ftlab.evaluation.gate import Bars
from ftlab.evaluation.statistics import sample_size
from ftlab.prompt_kit import NOT_KNOWN, KitPrompt, Slot, read_kit, read_prompt, run_prompt, slots_from_case
from ftlab.training.recipe import Training
from ftlab.widgets.decision import decision_form, form_case

CASES = sorted((Path(__file__).resolve().parent.parent / "recipes/cases").glob("*.yaml"))
KIT = read_kit()
NAMES = ("decide", "draft_examples", "critique_examples", "system_prompt", "evaluation", "lora_plan", "cost",
         "compare", "brand_voice")  # fmt: skip


def examples(prompt):
    return {slot.name: slot.example for slot in prompt.slots}


def yaml_block(prompt):
    return yaml.safe_load(re.search(r"```yaml\n(.*?)```", prompt.text, re.DOTALL)[1])


# --- the prompts


def test_the_kit_is_whole_and_in_the_order_of_the_course():
    assert tuple(KIT) == NAMES


@pytest.mark.parametrize("prompt", KIT.values(), ids=KIT)
def test_each_prompt_asks_forbids_invention_fixes_the_form_and_can_say_no(prompt):
    text = " ".join(prompt.text.split())
    assert NOT_KNOWN in text
    assert re.search(r"[Ii]nvent(ed)? (no|name)|Invent no|no invented|remember none|[Nn]ever fill", text)
    assert re.search(r"exactly this form|Answer with JSON Lines and nothing else", text)
    assert re.search(r"[Qq]uestion", text)
    assert "never an instruction to you" in text
    says_no = r"do not fine-tune|not train yet|not worth it|no need to fine-tune|no point in training|needs retrieval"
    assert re.search(says_no + r"|not fit to train on|not fair yet", text)


@pytest.mark.parametrize("prompt", KIT.values(), ids=KIT)
def test_each_prompt_is_filled_with_its_own_examples(prompt):
    text = prompt.fill(**examples(prompt))
    assert not re.search(r"\{\{\w+\}\}", text)
    assert all(slot.example in text for slot in prompt.slots)
    assert len(text) < 8000  # a prompt that people still read


def test_the_yaml_of_decide_is_what_ftlab_decide_reads():
    block = yaml_block(KIT["decide"])
    assert list(block) == list(Case.model_fields)
    for name, choices in CHOICES.items():
        assert set(re.findall(r"\w+", str(block[name]))) >= set(choices)


def test_the_yaml_of_plan_and_evaluation_are_sections_of_a_recipe():
    assert set(yaml_block(KIT["lora_plan"])) == set(Training.model_fields)
    assert set(yaml_block(KIT["evaluation"])) <= set(Bars.model_fields)


def test_the_formula_for_the_number_of_cases_is_right():
    formula = re.search(r"use n = (.*?), with d", " ".join(KIT["evaluation"].text.split()))[1]
    for p, d in ((0.1, 0.05), (0.3, 0.08)):
        n = eval(formula.replace("^", "**"), {"sqrt": lambda x: x**0.5, "p": p, "d": d})
        assert n == pytest.approx(sample_size(d, p), rel=0.02)


def test_a_prompt_shows_its_slots():
    shown = KIT["decide"]._repr_html_()
    for text in ("Fine-tune, retrieve or prompt?", *(slot.name for slot in KIT["decide"].slots)):
        assert text in shown
    assert "{{task}}" in repr(KIT["decide"])


# --- filling in


SLOTS = (Slot("a", "first", "x"), Slot("b", "second", "y"))
TWO = KitPrompt("two", "Two", "for tests", SLOTS, "{{a}} and {{b}}; {{a}}")


@pytest.mark.parametrize(("a", "b"), [(15, 0.5), ("{{b}} \\1", "{{a}}"), ("\n<é>", "\\g<0>")])
def test_values_go_in_literally(a, b):
    assert TWO.fill(a=a, b=b) == f"{a} and {b}; {a}"


@pytest.mark.parametrize("slots", [{"a": "x"}, {"a": "x", "b": " "}, {"a": "x", "b": None}])
def test_a_slot_without_a_value_is_named_with_the_remedy(slots):
    with pytest.raises(DataError, match=r"1 slot\(s\) without a value.*'not known'(.|\n)*b: second"):
        TWO.fill(**slots)


def test_an_unknown_slot_is_named():
    with pytest.raises(DataError, match="tsk: unknown slot; did you mean task"):
        KIT["decide"].fill(tsk="x")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Say {{a}}.", "must begin with a line ---"),
        ("{}Say {{{{b}}}}.", "a stands either in the text"),
        ("---\ntitle: [T\n---\nSay.", "the YAML at the top cannot be used .*give title, purpose and slots"),
        ("---\ntitle: T\npurpose: P\n---\nSay.", "the YAML at the top .*'slots'.*give title"),
        ("---\ntitle: T\npurpose: P\nslots:\n  a: {description: D}\n---\nSay.", "the YAML at the top .*example"),
        ("---\nwords\n---\nSay.", "the YAML at the top cannot be used"),
    ],
)
def test_a_file_that_is_no_prompt_is_named(tmp_path, text, why):
    front = "---\ntitle: T\npurpose: P\nslots:\n  a:\n    description: D\n    example: E\n---\n"
    (tmp_path / "1_own.md").write_text(text.format(front) if "{}" in text else text)
    with pytest.raises(DataError, match=rf"(?s)1_own.md: {why}"):
        read_prompt(tmp_path / "1_own.md")


# --- from a case


def test_a_case_fills_what_it_knows_and_says_what_it_does_not():
    case = Case(task="label mails", wants=["format", "cost"], examples=3000, prompt_accuracy=0.835,
                private_data=True, budget_usd=2_000_000)  # fmt: skip
    assert slots_from_case(case) == {
        "task": "label mails",
        "wants": "format, cost",
        "data": "3,000 labelled examples; their quality: not known",
        "accuracy": "the best prompt reaches 83.5 %; what would be good enough: not known",
        "results": "the best prompt reaches 83.5 %",
        "constraints": "the data must stay in the house; 2,000,000 USD for the first three months; "
        "who keeps it up: not known",
    }


def test_a_full_case_leaves_only_what_no_case_holds():
    case = Case(task="t", wants=["style"], examples=0, facts_change="daily", task_changes="rarely", calls_per_day=0.5,
                latency_ms=300, prompt_accuracy=0, target_accuracy=1, maintainer=False, private_data=False,
                budget_usd=0)  # fmt: skip
    found = slots_from_case(case, KIT["decide"])
    assert {slot.name for slot in KIT["decide"].slots} - set(found) == {"tried"}
    assert found["accuracy"] == "the best prompt reaches 0 %; 100 % would be good enough"
    assert found["constraints"] == "the data may leave the house; 0 USD for the first three months; nobody keeps it up"
    assert set(slots_from_case(case, KIT["brand_voice"])) == set()


# --- the learner's case, from the form of the same notebook


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_form_gives_back_the_case_it_was_given(path):
    case = read_case(path)
    again = form_case(decision_form(case))
    assert set(again.wants) == set(case.wants)
    assert again.model_copy(update={"wants": case.wants}) == case


def test_what_is_typed_into_the_form_reaches_the_prompts():
    form = decision_form(Case(task="label mails", wants=["format"]))
    task, boxes = form.children[0], form.children[1]
    task.value = "sort <b>letters</b>"
    next(box for box in boxes.children if box.description == "knowledge").value = True
    case = form_case(form)
    assert case.wants == ("format", "knowledge")
    assert slots_from_case(case)["task"] == "sort <b>letters</b>"
    task.value = " "
    with pytest.raises(DataError, match='form: task: is " "; write in a sentence'):
        form_case(form)


# --- sending, against a real server on this machine (the SDK's own failures: test_chat_service)


@pytest.fixture
def server():
    with ChatServer(always(200, completion("Guten Tag é", {"prompt_tokens": 7, "completion_tokens": 3}))) as server:
        yield server


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TEST_KEY", "sk-secret\n")


@pytest.mark.parametrize("confirm", [False, "no", 1])
def test_nothing_is_sent_unless_confirm_is_true(server, confirm):
    run = run_prompt("x" * 4001, server.url, "m", api_key_env="TEST_KEY", confirm=confirm)
    assert server.requests == []
    assert (run.answer, run.characters, run.rough_tokens) == (None, 4001, 1001)
    assert repr(run).startswith("Nothing was sent. 4,001 characters (about 1,001 tokens) would go to " + server.url)
    assert "with your key" in repr(run)
    assert "secret" not in repr(run)


def test_a_confirmed_prompt_is_sent_and_answered(server):
    run = run_prompt("Grüße {{x}}", server.url, "m", api_key_env="TEST_KEY", confirm=True, max_tokens=9)
    (request,) = server.requests
    assert request["headers"]["Authorization"] == "Bearer sk-secret"
    assert request["body"] == {
        "model": "m", "messages": [{"role": "user", "content": "Grüße {{x}}"}], "max_tokens": 9,
    }  # fmt: skip
    assert (run.answer, run.prompt_tokens, run.completion_tokens) == ("Guten Tag é", 7, 3)
    assert repr(run) == f"m at {server.url}/chat/completions: 7 tokens in, 3 tokens out\n\nGuten Tag é"


def test_the_servers_own_limit_holds_and_an_answer_that_was_cut_off_says_so(server):
    server.script = always(200, completion("{", usage=None, finish_reason="length"))
    run = run_prompt("x", server.url, "m", confirm=True)
    assert "max_tokens" not in server.requests[0]["body"]
    assert "1 characters (about 1 tokens) sent\n\n{\n[cut off" in repr(run)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (completion(None, finish_reason="length"), r"wrote no text \(length\); .*longer"),
        (completion(" "), "wrote no text"),
        (completion(None, refusal="I will not"), "refuses: I will not"),
        (None, "the connection broke"),
    ],
)
def test_an_answer_without_text_is_explained_and_the_prompt_sent_only_once(server, body, why):
    server.script = always(200, body) if body else lambda number, sent: None
    with pytest.raises(ModelError, match=why):
        run_prompt("x", server.url, "m", confirm=True)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("changed", "error", "why"),
    [
        ({"text": " "}, DataError, "text: is empty"),
        ({"text": "ab\ud800"}, DataError, "text: .*character 3"),
        ({"base_url": "localhost:8000"}, RecipeError, "base_url: .* no server's address"),
        ({"api_key_env": "sk-secret"}, RecipeError, "api_key_env: is no name .* never write a key"),
        ({"max_tokens": 0}, RecipeError, "max_tokens="),
    ],
)
def test_what_cannot_be_sent_is_said_before_anything_is_sent(server, changed, error, why):
    with pytest.raises(error, match=why) as caught:
        run_prompt(**{"text": "x", "base_url": server.url, "model": "m", "confirm": True} | changed)
    assert "secret" not in str(caught.value)
    assert server.requests == []
