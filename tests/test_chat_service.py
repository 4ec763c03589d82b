"""The real `openai` SDK against a server on this machine: what goes out, what comes back, how each failure is told."""

import socket
import subprocess
import sys
import threading

import pytest
from chat_server import ChatServer, always, completion, then_echo

from ftlab.chat_service import ChatService, Reply, turns_to_send
from ftlab.errors import DataError, ModelError, RecipeError

SECRET = "sk-test-5f2b9c1d7e"
CHAT = [{"role": "user", "content": "Größe 東京 🙂"}]
AT_ONCE = {"Retry-After": "0.01"}  # the SDK's own waits would make the tests slow


@pytest.fixture
def server():
    with ChatServer() as server:
        yield server


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    """The variables of these tests; OPENAI_API_KEY must never be taken unasked."""
    for name, key in (("TEST_KEY", f"{SECRET}\n"), ("EMPTY_KEY", " "), ("SPLIT_KEY", "sk x"), ("OPENAI_API_KEY", "o")):
        monkeypatch.setenv(name, key)


def ask(base_url, key=None, retries=0, timeout=20, **fields) -> Reply:
    service = ChatService(base_url, "m", key, retries, timeout)
    with service.client() as client:
        return service.ask(client, "m", CHAT, **fields)


def test_the_sdk_is_imported_only_to_send():
    """It takes a second."""
    code = "import sys, ftlab.prompt_kit, ftlab.baselines.prompting; print('openai' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False"]


def test_a_chat_and_its_answer_and_a_key_only_when_it_is_named(server):
    reply = ask(server.url, max_tokens=9, seed=3)
    assert (reply.text, reply.finish_reason) == ("about " + CHAT[0]["content"], "stop")
    assert (reply.prompt_tokens, reply.new_tokens) == (1000, 100)
    assert 0 < reply.seconds < 20
    assert server.requests[0]["body"] == {"model": "m", "messages": CHAT, "max_tokens": 9, "seed": 3}
    ask(server.url, "TEST_KEY")
    assert [request["headers"]["Authorization"] for request in server.requests] == [None, f"Bearer {SECRET}"]


@pytest.mark.parametrize("given", ["", "/v1/", "/v1beta/openai", "/v1/chat/completions"])
def test_the_address_may_be_given_in_the_usual_ways(server, given):
    ask(f" {server.url.removesuffix('/v1')}{given} ")
    assert server.requests[0]["path"] == f"{'/v1beta/openai' if 'beta' in given else '/v1'}/chat/completions"


def test_a_proxy_is_not_asked_for_a_server_on_this_machine(server, monkeypatch):
    with ChatServer(always(500, {})) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.removesuffix("/v1"))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert ask(server.url).text.startswith("about")
        assert proxy.requests == []


PARTS = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (completion(PARTS), {"text": "ab"}),
        (completion(None, finish_reason="length"), {"text": "", "finish_reason": "length"}),
        (completion(None, refusal="I will not"), {"text": "", "refusal": "I will not"}),
        (completion("x", usage=None), {"prompt_tokens": None, "new_tokens": None}),
        (completion("x", usage={"prompt_tokens": 5}), {"prompt_tokens": 5, "new_tokens": None}),
        (completion("x", usage={"prompt_tokens": "5", "completion_tokens": -1}), {"prompt_tokens": None}),
        (completion("x", finish_reason=7), {"finish_reason": None}),
    ],
)
def test_services_answer_in_several_ways(server, body, expected):
    server.script = always(200, body)
    reply = ask(server.url)
    assert {name: getattr(reply, name) for name in expected} == expected


@pytest.mark.parametrize("status", [408, 429, 500, 503, 529, None])
def test_what_may_pass_is_tried_again(server, status):
    server.script = then_echo(*([(status, AT_ONCE, b"busy") if status else None] * 2))
    assert ask(server.url, retries=2).text.startswith("about")
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("status", "content", "why"),
    [
        (401, {"error": {"message": f"bad key {SECRET}"}}, r"HTTP 401: bad key \*\*\*; the key .*api_key_env="),
        (403, b"", "HTTP 403; the key may not use this model"),
        (404, {"error": "no model m"}, r"HTTP 404: no model m; check the name of the model, and base_url .*/v1"),
        (413, {}, "HTTP 413; the prompt is too long"),
        (400, {"error": {"message": "Use 'max_completion_tokens'"}}, "HTTP 400: Use 'max_c.*; check .*options"),
        (422, {"detail": "extra field"}, "HTTP 422: extra field"),
        (307, {}, "HTTP 307; it points to another address: give that as base_url"),
        (200, b'{"choices": [', r"no chat completion came back but '{\"choices\": \['; is this an OpenAI-compatible"),
        (200, b"<html>Welcome\n</html>", "no chat completion came back but '<html>Welcome </html>'; .*end in /v1"),
        (200, b"", "no chat completion came back but 'nothing'"),
        (200, b"[" * 100_000, "no chat completion"),
        (200, {"error": {"message": "overloaded"}}, "no chat completion came back but 'overloaded'"),
        (200, {"choices": []}, "no chat completion"),
        (200, {"choices": [{"message": "x"}]}, "no chat completion"),
        (200, completion({"a": 1}), "no chat completion"),
    ],
)
def test_what_will_not_pass_is_told_at_once_with_the_remedy_and_without_the_key(server, status, content, why):
    server.script = always(status, content)
    with pytest.raises(ModelError, match=f"{server.url}/chat/completions, m: {why}") as caught:
        ask(server.url, "TEST_KEY", retries=2)
    assert len(server.requests) == 1
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__  # a notebook would show the SDK's error, and with it the key
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    ("status", "wait", "tries", "why"),
    [
        (500, "0.01", 3, r"HTTP 500: daily limit; the service has a fault.*\(tried 3 times\)"),
        (429, "86400", 1, "429: daily limit; too many requests, or no credit.*asks to wait 86400 s"),
    ],
)
def test_a_lasting_failure_ends_after_the_retries_and_a_very_long_wait_at_once(server, status, wait, tries, why):
    server.script = always(status, {"error": {"message": "daily limit"}}, {"Retry-After": wait})
    with pytest.raises(ModelError, match=why):
        ask(server.url, retries=2)
    assert len(server.requests) == tries


def test_a_redirect_is_not_followed_with_the_key(server):
    with ChatServer() as other:
        server.script = always(307, {}, {"Location": other.url})
        with pytest.raises(ModelError, match=f"points to {other.url}"):
            ask(server.url, "TEST_KEY")
        assert other.requests == []


def test_a_server_that_does_not_answer_in_time(server):
    end = threading.Event()
    server.script = lambda number, body: end.wait(20) and None
    with pytest.raises(ModelError, match=r"no answer within timeout=0\.2 s; raise it"):
        ask(server.url, timeout=0.2)
    end.set()


def test_no_server():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ModelError, match="no server answers .*; start it, or check base_url"):
        ask(f"http://127.0.0.1:{port}/v1")


def test_nothing_is_logged_with_the_key(server, caplog, capfd):
    caplog.set_level("DEBUG")
    server.script = then_echo((200, {}, completion(f"your key is {SECRET}")))
    assert ask(server.url, "TEST_KEY").text == "your key is ***"
    assert not any(SECRET in text for text in (caplog.text, *capfd.readouterr()))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"base_url": "localhost:8000"}, "no server's address"),
        ({"base_url": "ftp://host/v1"}, "no server's address"),
        ({"base_url": None}, "no server's address"),
        ({"base_url": "http://"}, "no server's address"),
        ({"base_url": "http://localhost:port/v1"}, "no server's address"),
        ({"base_url": "https://me:secret@host/v1"}, "name the key's variable in api_key_env="),
        ({"base_url": "https://host/v1?key=secret"}, "name the key's variable in api_key_env="),
        ({"base_url": "http://example.org/v1", "api_key_env": "TEST_KEY"}, "would travel unencrypted; use https"),
        ({"model": ""}, "model: '' is no name"),
        ({"retries": 1.5}, "retries=1.5: give a whole number"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": True}, "timeout=True"),
        ({"timeout": float("inf")}, "timeout=inf"),
        ({"api_key_env": "sk-secret"}, "no name of an environment variable; never write"),
        ({"api_key_env": b"secret"}, "no name of an environment variable"),
        ({"api_key_env": "hf_secret"}, "is not set or empty; set it before"),
        ({"api_key_env": "EMPTY_KEY"}, "is not set or empty"),
        ({"api_key_env": "SPLIT_KEY"}, "holds a space"),
    ],
)
def test_an_impossible_setting_is_refused_and_nothing_secret_repeated(changes, why):
    settings = {"base_url": "http://127.0.0.1:9/v1", "model": "m", "api_key_env": None, "retries": 0, "timeout": 1}
    with pytest.raises(RecipeError, match=why) as caught:
        ChatService(**settings | changes).client()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("chat", "why"),
    [
        ([], "chat 1: must be a list of messages"),
        ("hi", "chat 1: must be a list of messages"),
        ([{"role": "tool", "content": "x"}], r"chat 1: messages\[0\].role"),
        ([{"role": ["user"], "content": "x"}], r"chat 1: messages\[0\].role"),
        ([*CHAT, {"role": "user", "content": None}], r"chat 1: messages\[1\].content"),
        ([{"role": "user", "content": "ab\ud800"}], r"chat 1: messages\[0\].content: character 3 is half a surrogate"),
    ],
)
def test_a_chat_that_cannot_be_sent_is_named(chat, why):
    with pytest.raises(DataError, match=why):
        turns_to_send(chat, "chat 1")


def test_only_role_and_content_are_sent():
    assert turns_to_send([CHAT[0] | {"id": 7}], "chat 0") == CHAT
