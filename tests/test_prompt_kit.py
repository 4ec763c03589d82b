"""Prompts are complete and filled literally; a prompt is sent only on request, and every refusal is explained."""

import contextlib
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ftlab.decide import CHOICES, Case, read_case
from ftlab.errors import DataError, ModelError
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


def test_the_yaml_of_the_plan_is_the_training_section_of_a_recipe():
    assert set(yaml_block(KIT["lora_plan"])) == set(Training.model_fields)


def test_the_bars_are_those_of_the_gate():
    assert set(yaml_block(KIT["evaluation"])) <= set(Bars.model_fields)


def test_the_formula_for_the_number_of_cases_is_right():
    formula = re.search(r"use n = (.*?), with d", " ".join(KIT["evaluation"].text.split()))[1]
    for p, d in ((0.1, 0.05), (0.3, 0.08)):
        n = eval(formula.replace("^", "**"), {"sqrt": lambda x: x**0.5, "p": p, "d": d})
        assert n == pytest.approx(sample_size(d, p), rel=0.02)


def test_a_prompt_shows_its_slots():
    shown = KIT["decide"]._repr_html_()
    assert "Fine-tune, retrieve or prompt?" in shown
    assert "{{task}}" in repr(KIT["decide"])
    for slot in KIT["decide"].slots:
        assert slot.name in shown


# --- filling in


SLOTS = (Slot("a", "first", "x"), Slot("b", "second", "y"))
TWO = KitPrompt("two", "Two", "for tests", SLOTS, "{{a}} and {{b}}; {{a}}")


@settings(deadline=None)
@given(*[st.text(min_size=1).filter(str.strip)] * 2)
def test_values_go_in_literally(a, b):
    assert TWO.fill(a=a, b=b) == f"{a} and {b}; {a}"


def test_a_value_is_never_read_as_a_place():
    assert TWO.fill(a="{{b}} \\1", b="{{a}}") == "{{b}} \\1 and {{a}}; {{b}} \\1"


def test_numbers_are_written_out():
    assert TWO.fill(a=15, b=0.5) == "15 and 0.5; 15"


@pytest.mark.parametrize("slots", [{"a": "x"}, {"a": "x", "b": " "}, {"a": "x", "b": None}])
def test_a_slot_without_a_value_is_named_with_the_remedy(slots):
    with pytest.raises(DataError, match=r"1 slot\(s\) without a value.*'not known'(.|\n)*b: second"):
        TWO.fill(**slots)


def test_an_unknown_slot_is_named():
    with pytest.raises(DataError, match="tsk: unknown slot; did you mean task"):
        KIT["decide"].fill(tsk="x")


# --- reading the files


GOOD = "---\ntitle: T\npurpose: P\nslots:\n  a:\n    description: D\n    example: E\n---\nSay {{a}}.\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Say {{a}}.", "must begin with a line ---"),
        ("---\n- a\n---\nx", "must begin with a line ---"),
        ("---\ntitle: [\n---\nx", "not readable"),
        (GOOD.replace("title: T\n", ""), "title: is missing"),
        (GOOD.replace("purpose: P", "purpose: 7"), "purpose: is missing"),
        (GOOD.replace("{{a}}", "{{b}}"), "slots.a: is not in the text"),
        (GOOD + "{{c}}", "slots.c: is in the text and not under slots"),
        (GOOD.replace("example: E", "example: 15"), r"slots.a.example: .* in quotes"),
        (GOOD.replace("slots:\n  a:\n    description: D\n    example: E\n", ""), "slots: is missing"),
        (b"---\ntitle: \xff\n---\nx", "not readable as UTF-8"),
    ],
)
def test_a_file_that_is_no_prompt_is_named(tmp_path, text, why):
    path = tmp_path / "1_own.md"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=why) as caught:
        read_kit(tmp_path)
    assert "1_own.md" in str(caught.value)


def test_an_own_kit(tmp_path):
    (tmp_path / "2_b.md").write_text(GOOD)
    (tmp_path / "1_a.md").write_text(GOOD.replace("\n", "\r\n"), newline="")
    assert list(read_kit(tmp_path)) == ["a", "b"]
    assert read_kit(tmp_path)["a"].fill(a="x") == "Say x.\n"
    (tmp_path / "3_a.md").write_text(GOOD)
    with pytest.raises(DataError, match=r"3_a.md: another file"):
        read_kit(tmp_path)


def test_no_kit_and_no_file(tmp_path):
    with pytest.raises(DataError, match="holds no prompt"):
        read_kit(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        read_prompt(tmp_path / "x.md")


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


# --- sending, against a real server on this machine


@contextlib.contextmanager
def serve(status=200, body=None, headers=None, wait=0.0):
    """A server that answers each POST alike; gives (base_url, list of the requests it got)."""
    got, released = [], threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            text = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, dict(self.headers), json.loads(text)))
            released.wait(wait)
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1", got
        finally:
            released.set()
            server.shutdown()


def completion(content, **more):
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"} | more
    return {"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    """The variables that hold a key in these tests."""
    for name, key in (("TEST_KEY", "sk-secret\n"), ("EMPTY_KEY", ""), ("BROKEN_KEY", "sk secret")):
        monkeypatch.setenv(name, key)


@pytest.mark.parametrize("confirm", [False, "no", 1])
def test_nothing_is_sent_unless_confirm_is_true(confirm):
    with serve(body=completion("hi")) as (url, got):
        run = run_prompt("x" * 4001, url, "m", api_key_env="TEST_KEY", confirm=confirm)
        assert got == []
    assert (run.answer, run.characters, run.rough_tokens) == (None, 4001, 1001)
    assert repr(run).startswith("Nothing was sent. 4,001 characters (about 1,001 tokens) would go to " + url)
    assert "with your key" in repr(run)
    assert "secret" not in repr(run)


def test_a_confirmed_prompt_is_sent_and_answered():
    with serve(body=completion("Guten Tag é")) as (url, got):
        run = run_prompt("Grüße {{x}}", url, "m", api_key_env="TEST_KEY", confirm=True, max_tokens=9)
    ((path, headers, body),) = got
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer sk-secret"
    assert body == {
        "model": "m", "messages": [{"role": "user", "content": "Grüße {{x}}"}], "stream": False, "max_tokens": 9,
    }  # fmt: skip
    assert (run.answer, run.prompt_tokens, run.completion_tokens, run.cut_off) == ("Guten Tag é", 7, 3, False)
    assert "Guten Tag é" in repr(run)
    assert "secret" not in repr(run)


def test_no_key_no_header():
    with serve(body=completion("hi")) as (url, got):
        run_prompt("x", url, "m", confirm=True)
    assert "Authorization" not in got[0][1]
    assert "max_tokens" not in got[0][2]  # the server's own limit


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("", "/v1/chat/completions"),
        ("/", "/v1/chat/completions"),
        ("/v1", "/v1/chat/completions"),
        ("/v1/", "/v1/chat/completions"),
        ("/v1beta/openai", "/v1beta/openai/chat/completions"),
        ("/v1/chat/completions", "/v1/chat/completions"),
    ],
)
def test_the_address_may_be_given_in_the_usual_ways(given, path):
    with serve(body=completion("hi")) as (url, got):
        run_prompt("x", url.removesuffix("/v1") + given, "m", confirm=True)
    assert got[0][0] == path


def test_a_proxy_is_not_asked_for_a_server_on_this_machine(monkeypatch):
    with serve(status=500, body={}) as (proxy, asked), serve(body=completion("hi")) as (url, _):
        monkeypatch.setenv("HTTP_PROXY", proxy.removesuffix("/v1"))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert run_prompt("x", url, "m", confirm=True).answer == "hi"
    assert asked == []


def test_an_answer_that_was_cut_off_says_so():
    with serve(body=completion("{", finish_reason="length")) as (url, _):
        run = run_prompt("x", url, "m", confirm=True)
    assert run.cut_off
    assert "cut off" in repr(run)


def test_an_answer_in_parts_is_joined():
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    with serve(body=completion(parts)) as (url, _):
        assert run_prompt("x", url, "m", confirm=True).answer == "ab"


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (401, {"error": {"message": "bad key sk-secret"}}, r"401: the key .*api_key_env=.*bad key \*\*\*"),
        (403, {"error": "no"}, "403: this key may not use"),
        (404, {"detail": "no model m"}, "404: no such model .*'m'.* no model m"),
        (413, {}, "413: the prompt is too long"),
        (429, {"message": "slow down"}, "429: too many requests.*slow down"),
        (400, {"error": {"message": "bad field"}}, "400: the server refuses.*bad field"),
        (500, b"<html>oops\n</html>", "500: the server failed.*<html>oops </html>"),
    ],
)
def test_a_refusal_says_what_to_do_and_hides_the_key(status, body, why):
    with serve(status, body) as (url, _), pytest.raises(ModelError, match=why) as caught:
        run_prompt("x", url, "m", api_key_env="TEST_KEY", confirm=True)
    assert "sk-secret" not in str(caught.value)


def test_a_redirect_is_not_followed_with_the_key():
    with serve(body=completion("hi")) as (other, got), serve(307, {}, {"Location": other}) as (url, _):
        with pytest.raises(ModelError, match="points to " + other):
            run_prompt("x", url, "m", api_key_env="TEST_KEY", confirm=True)
        assert got == []


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<html>", "not JSON but '<html>'"),
        (b"", "not JSON but ''"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        ({}, r"no choices\[0\].message"),
        ([], r"no choices\[0\].message"),
        ({"choices": []}, r"no choices\[0\].message"),
        ({"choices": [{"text": "old"}]}, r"no choices\[0\].message"),
        ({"choices": [{"message": "x"}]}, r"no choices\[0\].message"),
        (completion(None, finish_reason="length"), "wrote no text .*length"),
        (completion(" "), "wrote no text"),
        ({"choices": [{"message": {"content": None, "refusal": "I will not"}}]}, "refuses: I will not"),
    ],
)
def test_an_answer_of_another_kind_is_explained(body, why):
    with serve(body=body) as (url, _), pytest.raises(ModelError, match=why):
        run_prompt("x", url, "m", confirm=True)


@pytest.mark.parametrize("usage", [None, [], "x"])
def test_counts_may_be_missing(usage):
    with serve(body=completion("hi") | {"usage": usage}) as (url, _):
        run = run_prompt("x", url, "m", confirm=True)
    assert run.prompt_tokens is None
    assert "hi" in repr(run)


def test_no_server():
    with serve() as (url, _):
        pass
    with pytest.raises(ModelError, match="no server answers.*start it"):
        run_prompt("x", url, "m", confirm=True)


def test_a_server_that_does_not_answer_in_time():
    with serve(body=completion("late"), wait=30) as (url, got):
        with pytest.raises(ModelError, match=r"no answer within 0.2 s; give a longer timeout="):
            run_prompt("x", url, "m", confirm=True, timeout=0.2)
        for _ in range(100):  # it was sent, and only once
            if got:
                break
            time.sleep(0.05)
        assert len(got) == 1


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"text": " "}, "text: is empty"),
        ({"text": None}, "text: is empty"),
        ({"text": "ab\ud800"}, "text: character 3"),
        ({"base_url": "localhost:8000"}, "base_url: .* no server's address"),
        ({"base_url": "ftp://x"}, "base_url: .* no server's address"),
        ({"base_url": ""}, "base_url: .* no server's address"),
        ({"base_url": "http://localhost:port/v1"}, "base_url: .* no address"),
        ({"base_url": "https://me:secret@x/v1"}, "name the key's variable in api_key_env="),
        ({"model": ""}, "model: is empty"),
        ({"api_key_env": "sk-secret"}, "api_key_env: is no name .* never write the key itself"),
        ({"api_key_env": ""}, "api_key_env: is no name"),
        ({"api_key_env": b"secret"}, "api_key_env: is no name"),
        ({"api_key_env": "hf_secret"}, "api_key_env: .* is not set or empty; set it before"),
        ({"api_key_env": "EMPTY_KEY"}, "api_key_env: .* is not set or empty"),
        ({"api_key_env": "BROKEN_KEY"}, "api_key_env: .* holds a space"),
        ({"api_key_env": "TEST_KEY", "base_url": "http://example.org/v1"}, "would travel unencrypted; use https"),
        ({"max_tokens": 0}, "max_tokens: must be"),
        ({"max_tokens": True}, "max_tokens: must be"),
        ({"max_tokens": 1.5}, "max_tokens: must be"),
        ({"timeout": 0}, "timeout: must be"),
        ({"timeout": "5"}, "timeout: must be"),
    ],
)
@pytest.mark.parametrize("confirm", [False, True])
def test_what_cannot_be_sent_is_said_before_anything_is_sent(changed, why, confirm):
    arguments = {"text": "x", "base_url": "http://127.0.0.1:9/v1", "model": "m", "confirm": confirm} | changed
    with pytest.raises(DataError, match=why) as caught:
        run_prompt(**arguments)
    assert "secret" not in str(caught.value)
