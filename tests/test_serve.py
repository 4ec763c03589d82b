"""`transformers serve` answers with nano what nano answers here: nothing of the prompt, no marker, the same counts."""

import importlib.util
import json
from pathlib import Path

import pytest

from ftlab.baselines.endpoint import Endpoint
from ftlab.data.schema import read_chat
from ftlab.errors import ModelError
from ftlab.evaluation.generation import generate
from ftlab.hosted.stand_in_model import ServedModel
from ftlab.models import resolve
from ftlab.prompt_kit import run_prompt

ROOT = Path(__file__).resolve().parent.parent
ROWS = read_chat(ROOT / "data/support_triage/validation.jsonl")[:3]
SINGLE = [row["messages"][:-1] for row in ROWS]
TWO_TURNS = ROWS[0]["messages"] + ROWS[1]["messages"][1:-1]
CHATS = [*SINGLE, TWO_TURNS]
MAX_NEW_TOKENS = 24
START_SECONDS = 600  # a busy machine imports slowly
MISSING = [name for name in ("fastapi", "uvicorn", "openai") if importlib.util.find_spec(name) is None]
needs_server = pytest.mark.skipif(
    bool(MISSING), reason=f"transformers serve needs {', '.join(MISSING)}: pip install 'transformers[serving]'"
)


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(resolve("nano"))
    assert tokenizer.response_template, (
        "nano's tokenizer has no response_template; without one, transformers serve looks for Qwen's own markers "
        "(nano's architecture is Qwen3), does not find them, and gives the prompt back with the answer"
    )
    return tokenizer


# --- what the server reads: the tokenizer's response template


def parsed(tokenizer, messages):
    """The message that a server makes of the last answer, as it comes out of the model."""
    ids = tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True)["input_ids"]
    answer = messages[-1]["content"] + tokenizer.eos_token
    return tokenizer.parse_response(answer, prefix=tokenizer.decode(ids))


def test_the_tokenizer_says_where_an_answer_begins_and_ends(tokenizer):
    for row in ROWS:
        assert parsed(tokenizer, row["messages"]) == row["messages"][-1]
    again = [*TWO_TURNS, {"role": "assistant", "content": "a\n <b> {{c}}"}]
    assert parsed(tokenizer, again) == again[-1]


def test_a_ticket_that_holds_a_marker_is_not_taken_for_the_answer(tokenizer):
    messages = [{"role": "user", "content": "I read <|assistant|> here"}, {"role": "assistant", "content": "so it is"}]
    assert parsed(tokenizer, messages) == messages[-1]


def test_a_saved_tokenizer_keeps_it(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).response_template == tokenizer.response_template


# --- the server itself


@pytest.fixture(scope="module")
def server():
    """(base_url, model's name) of `transformers serve nano`, started as a user would."""
    served = ServedModel("nano")
    try:
        served.wait(START_SECONDS)
        yield f"{served.url}/v1", served.folder
    finally:
        served.stop()


@pytest.fixture(scope="module")
def here(tokenizer):
    """What nano answers in this process, one chat at a time and in the server's precision."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(resolve("nano"), dtype=torch.float32)
    return generate(model, tokenizer, CHATS, MAX_NEW_TOKENS, batch_size=1)


@pytest.fixture
def endpoint(server, tmp_path):
    url, model = server
    free = {"usd_per_mtok_in": 0, "usd_per_mtok_out": 0, "max_usd": 0}
    return Endpoint(url, model, **free, cache=tmp_path, concurrency=2, retries=0, timeout=300)


@pytest.mark.slow
@needs_server
def test_the_answers_are_those_of_the_model_and_nothing_else(endpoint, here):
    answers = endpoint.answer(CHATS, max_new_tokens=MAX_NEW_TOKENS, confirm=True)
    assert answers.texts == here.texts
    assert (answers.prompt_tokens, answers.new_tokens) == (here.prompt_tokens, here.new_tokens)
    assert answers.requests == len(CHATS)


@pytest.mark.slow
@needs_server
def test_an_answer_that_is_cut_off_says_so(endpoint):
    assert endpoint.answer(SINGLE[:1], max_new_tokens=1, confirm=True).cut_off == 1


@pytest.mark.slow
@needs_server
def test_a_streamed_answer_is_the_same(server, here):
    import httpx

    url, model = server
    body = {"model": model, "messages": SINGLE[0], "max_tokens": MAX_NEW_TOKENS, "temperature": 0, "stream": True}
    pieces = []
    with httpx.stream("POST", f"{url}/chat/completions", json=body, timeout=300, trust_env=False) as response:
        for line in response.iter_lines():
            if line.startswith("data: {"):
                pieces.append(json.loads(line.removeprefix("data: "))["choices"][0]["delta"].get("content"))
    assert "".join(piece or "" for piece in pieces) == here.texts[0]


@pytest.mark.slow
@needs_server
def test_a_prompt_of_the_kit_is_answered_without_the_prompt(server):
    url, model = server
    text = SINGLE[1][-1]["content"]
    run = run_prompt(text, url, model, confirm=True, max_tokens=MAX_NEW_TOKENS, timeout=300)
    assert run.prompt_tokens > 0
    assert 0 < run.completion_tokens <= MAX_NEW_TOKENS
    assert "<|" not in run.answer
    assert not run.answer.startswith(text)


@pytest.mark.slow
@needs_server
def test_the_server_names_the_model_that_it_serves(server):
    url, model = server
    with pytest.raises(ModelError, match="HTTP 400: .*pinned to .*" + Path(model).name):
        run_prompt("hello", url, "another", confirm=True, timeout=300)
