"""The endpoint against a real HTTP server on this machine, which answers as each test tells it to."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ftlab.baselines import endpoint as module
from ftlab.baselines.choice import choose
from ftlab.baselines.endpoint import Endpoint, EndpointAnswers
from ftlab.baselines.prompting import Prompt, search_prompts, try_prompts, with_shots
from ftlab.errors import DataError, ModelError, RecipeError
from ftlab.evaluation.generation import Generations

SECRET = "sk-test-5f2b9c1d7e"
CHATS = [[{"role": "user", "content": f"question {i}"}] for i in range(6)]
TOKENS = {"prompt_tokens": 1000, "completion_tokens": 100}


def completion(text, usage=TOKENS, finish_reason="stop"):
    """A body as services send it."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
    return {"object": "chat.completion", "choices": [choice], "usage": usage}


class Service:
    """A server in a thread. `script` maps (number of the request from 0, body) to (status, headers, content):
    content is JSON, or bytes as they are; None closes the connection without an answer."""

    def __init__(self):
        self.requests, self.script, self.lock = [], self.echo, threading.Lock()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with service.lock:
                    number = len(service.requests)
                    service.requests.append({"path": self.path, "body": body, "headers": dict(self.headers)})
                answer = service.script(number, body)
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, content = answer
                content = content if isinstance(content, bytes) else json.dumps(content).encode()
                try:
                    self.send_response(status)
                    for name, value in {"Content-Length": str(len(content)), **headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    pass  # the client has given up

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @staticmethod
    def echo(number, body):
        return 200, {}, completion("about " + body["messages"][-1]["content"])

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def service():
    service = Service()
    yield service
    service.close()


@pytest.fixture
def waits(monkeypatch):
    """The waits between retries, recorded instead of slept."""
    waits = []
    monkeypatch.setattr(module, "_wait", lambda stop, seconds: waits.append(seconds))
    return waits


@pytest.fixture
def make(service, tmp_path, waits):
    """An endpoint of the server: 1 USD for a million tokens in, 10 for a million out."""

    def make(**changes):
        settings = {"usd_per_mtok_in": 1.0, "usd_per_mtok_out": 10.0, "max_usd": 1.0, "cache": tmp_path / "cache"}
        return Endpoint(changes.pop("base_url", service.url), changes.pop("model", "m"), **settings | changes)

    return make


def always(status, content, headers=None):
    return lambda number, body: (status, headers or {}, content)


def then_echo(*answers):
    """These answers to the first requests, afterwards the echo."""
    return lambda number, body: answers[number] if number < len(answers) else Service.echo(number, body)


def cached(tmp_path):
    return sorted((tmp_path / "cache").glob("*.json"))


# ---- what goes right -----------------------------------------------------------------------------------------


def test_answers_come_in_the_order_of_the_chats_and_are_counted(service, make):
    system = make()
    out = system.answer(CHATS, max_new_tokens=7, confirm=True)
    assert isinstance(out, EndpointAnswers)
    assert isinstance(out, Generations)
    assert out.texts == tuple(f"about question {i}" for i in range(6))
    assert (out.prompt_tokens, out.new_tokens, out.cut_off, out.empty, out.uncounted) == (6000, 600, 0, 0, 0)
    assert out.tokens_per_call == 1100
    assert out.usd == pytest.approx(6 * (1000 * 1 + 100 * 10) / 1e6)
    assert system.spent_usd == out.usd
    assert (out.requests, out.from_cache) == (6, 0)
    assert out.seconds > 0
    assert {request["path"] for request in service.requests} == {"/v1/chat/completions"}
    bodies = sorted((request["body"] for request in service.requests), key=json.dumps)
    assert bodies[0] == {"model": "m", "messages": CHATS[0], "max_tokens": 7, "temperature": 0}


def test_later_answers_do_not_overtake_earlier_ones(service, make):
    """The first request is answered last."""
    others = threading.Barrier(4)

    def script(number, body):
        others.wait(timeout=20)  # all four are here
        if "question 0" in str(body):
            time.sleep(0.05)
        return Service.echo(number, body)

    service.script = script
    assert make().answer(CHATS[:4], confirm=True).texts == tuple(f"about question {i}" for i in range(4))


TICKETS = [
    {"messages": [{"role": "user", "content": f"ticket {i} {word}"}, {"role": "assistant", "content": f'{{"n": {i}}}'}]}
    for i, word in enumerate(["kettle", "lamp", "kettle", "lamp"])
]


def test_a_prompt_search_runs_on_a_service_and_sends_nothing_unasked(service, make):
    service.script = lambda number, body: (200, {}, completion('{"n": 1}' if len(body["messages"]) > 2 else "{}"))
    bare = Prompt("bare", "Number it.")
    shown = with_shots(bare, TICKETS[2:], 1, select="similar")
    with pytest.raises(RecipeError, match="confirm=True"):
        try_prompts(make(), None, [bare], TICKETS[:2])
    assert service.requests == []
    tried = try_prompts(make(), None, [bare, shown], TICKETS[:2], max_new_tokens=5, confirm=True)
    assert [(c.prompt.name, c.field_accuracy.value) for c in tried.candidates] == [("bare+1similar", 0.5), ("bare", 0)]
    assert tried.candidates[0].tokens_per_call == 1100
    sent = {json.dumps([turn["content"] for turn in request["body"]["messages"]]) for request in service.requests}
    assert json.dumps(["Number it.", "ticket 2 kettle", '{"n": 2}', "ticket 0 kettle"]) in sent
    how = {"shots": (1,), "select": ("random",), "confirm": True}
    search = search_prompts(make(), None, [bare], TICKETS[:2], TICKETS[2:], **how)
    assert search.best("few_shot").examples == 1


def test_a_choice_among_candidates_is_refused_for_a_service(service, make):
    with pytest.raises(RecipeError, match="response_format"):
        choose(make(), None, CHATS, ["yes", "no"])
    assert service.requests == []


def test_no_chats_need_no_confirmation(service, make):
    out = make().answer([])
    assert (out.texts, out.requests, out.usd, out.seconds) == ((), 0, 0, 0)


def test_other_services_get_other_fields(service, make):
    make(max_tokens_field="max_completion_tokens", options={"seed": 3}).answer(CHATS[:1], 9, confirm=True)
    body = {"model": "m", "messages": CHATS[0], "max_completion_tokens": 9, "seed": 3}
    assert service.requests[0]["body"] == body


def test_unicode_travels_both_ways(service, make, tmp_path):
    chats = [[{"role": "user", "content": "Größe 東京 🙂 \ud800"}]]
    out = make().answer(chats, confirm=True)
    assert out.texts == ("about " + chats[0][0]["content"],)
    assert make().answer(chats).texts == out.texts


@pytest.mark.parametrize("url", ["{}", "{}/", "{}/chat/completions"])
def test_the_address_may_be_given_in_three_ways(service, make, url):
    make(base_url=url.format(service.url)).answer(CHATS[:1], confirm=True)
    assert service.requests[0]["path"] == "/v1/chat/completions"


def test_cut_off_and_empty_answers_are_counted(service, make):
    replies = [completion("a", finish_reason="length"), completion(None, finish_reason="length"), completion(" ")]
    service.script = lambda number, body: (200, {}, replies[int(body["messages"][0]["content"][-1])])
    out = make().answer(CHATS[:3], confirm=True)
    assert (out.texts, out.cut_off, out.empty) == (("a", "", " "), 2, 2)
    assert "2 cut off" in repr(out)
    assert "2 empty answers" in repr(out)


# ---- the cache -----------------------------------------------------------------------------------------------


def test_a_repeated_run_sends_nothing_and_says_the_same(service, make):
    first = make().answer(CHATS, confirm=True)
    system = make(max_usd=0)
    again = system.answer(CHATS)  # not confirmed, and nothing to spend
    assert len(service.requests) == 6
    assert (again.requests, again.from_cache, again.usd, system.spent_usd) == (0, 6, 0, 0)
    for field in ("texts", "prompt_tokens", "new_tokens", "seconds", "cut_off"):
        assert getattr(again, field) == getattr(first, field)


def test_equal_chats_are_sent_once(service, make):
    out = make().answer([CHATS[0]] * 5, confirm=True)
    assert len(service.requests) == 1
    assert len(out.texts) == 5
    assert (out.requests, out.from_cache, out.prompt_tokens) == (1, 4, 5000)


@pytest.mark.parametrize(
    ("changes", "max_new_tokens"),
    [({"model": "m2"}, 96), ({"options": {"temperature": 1}}, 96), ({"base_url": "localhost"}, 96), ({}, 95)],
)
def test_another_request_is_not_taken_from_the_cache(service, make, changes, max_new_tokens):
    make().answer(CHATS[:1], confirm=True)
    if "base_url" in changes:
        changes = {"base_url": service.url.replace("127.0.0.1", "localhost")}
    make(**changes).answer(CHATS[:1], max_new_tokens, confirm=True)
    assert len(service.requests) == 2


def test_prices_and_limits_do_not_change_the_request(service, make):
    make().answer(CHATS[:1], confirm=True)
    make(usd_per_mtok_in=5, max_usd=3, concurrency=1, retries=0, timeout=5).answer(CHATS[:1])
    assert len(service.requests) == 1


WRONG_TYPE = {"text": 1, "prompt_tokens": 1, "new_tokens": 1, "finish_reason": "stop", "seconds": 1}


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"reply": {}}', json.dumps({"reply": WRONG_TYPE}), "\x80", '{"reply": null}']
)
def test_a_damaged_cache_file_is_named(service, make, tmp_path, content):
    make().answer(CHATS[:1], confirm=True)
    (path,) = cached(tmp_path)
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=rf"{path.name}: no readable answer .*delete this file"):
        make().answer(CHATS[:1], confirm=True)
    path.unlink()
    assert make().answer(CHATS[:1], confirm=True).requests == 1


def test_a_cache_that_cannot_be_written_is_named(service, make, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file"):
        make(cache=tmp_path / "file").answer(CHATS[:1], confirm=True)


def test_without_a_folder_answers_go_where_runs_go(service, make, tmp_path, monkeypatch):
    monkeypatch.setenv("FTLAB_HOME", str(tmp_path / "home"))
    make(cache=None).answer(CHATS[:1], confirm=True)
    assert len(list((tmp_path / "home" / "endpoint_cache").iterdir())) == 1


# ---- confirmation, money, keys -------------------------------------------------------------------------------


@pytest.mark.parametrize("confirm", [False, None, 1, "yes"])
def test_nothing_is_sent_without_confirm(service, make, confirm):
    system = make()
    with pytest.raises(RecipeError, match=r"6 requests would be sent to http.* at most 0\.\d+ USD.*confirm=True"):
        system.answer(CHATS, confirm=confirm)
    assert service.requests == []


def most_usd(system, chat, max_new_tokens):
    """Every byte of the request a token, and all new tokens used."""
    body = {"model": "m", "messages": chat, "max_tokens": max_new_tokens, "temperature": 0}
    return (len(json.dumps(body)) * system.usd_per_mtok_in + max_new_tokens * system.usd_per_mtok_out) / 1e6


FEW = {"prompt_tokens": 50, "completion_tokens": 10}  # fewer than the request has bytes, as with real tokenizers
COST = (50 * 1 + 10 * 10) / 1e6


@pytest.mark.parametrize("concurrency", [1, 4])
def test_the_cap_stops_before_the_request_that_could_pass_it(service, make, tmp_path, concurrency):
    """The cap leaves room for three answers and the most that a fourth could cost, not quite."""
    service.script = always(200, completion("x", FEW))
    most = most_usd(make(), CHATS[0], 96)
    system = make(max_usd=3 * COST + most - 1e-9, concurrency=concurrency)
    with pytest.raises(RecipeError, match=r"could be passed: 0\.000450 USD are spent .*Raise max_usd"):
        system.answer(CHATS, confirm=True)
    assert len(service.requests) == 3
    assert system.spent_usd == pytest.approx(3 * COST)
    assert len(cached(tmp_path)) == 3
    out = make().answer(CHATS, confirm=True)  # a higher cap goes on from there
    assert (out.requests, out.from_cache) == (3, 3)


def test_a_cap_that_just_suffices_does_not_stop(service, make):
    service.script = always(200, completion("x", FEW))
    most = most_usd(make(), CHATS[0], 96)
    assert make(max_usd=5 * COST + most + 1e-9).answer(CHATS, confirm=True).requests == 6


def test_retries_count_against_the_cap(service, make):
    """A broken connection may have been billed, so that the second try would no longer fit."""
    service.script = lambda number, body: None
    system = make(max_usd=1.5 * most_usd(make(), CHATS[0], 96))
    with pytest.raises(RecipeError, match="could be passed"):
        system.answer(CHATS[:1], confirm=True)
    assert len(service.requests) == 1


def test_requests_under_way_count(service, make):
    """The cap holds one request at its dearest: so only one is under way at a time, and all are answered."""
    service.script = always(200, completion("x", {"prompt_tokens": 1, "completion_tokens": 0}))
    peak = watch_concurrency(service)
    system = make(max_usd=1.5 * most_usd(make(), CHATS[0], 96), concurrency=4)
    assert system.answer(CHATS, confirm=True).requests == 6
    assert peak() == 1


def test_a_cap_of_zero_sends_nothing_that_costs(service, make):
    with pytest.raises(RecipeError, match="max_usd=0 could be passed"):
        make(max_usd=0).answer(CHATS, confirm=True)
    assert service.requests == []
    assert make(max_usd=0, usd_per_mtok_in=0, usd_per_mtok_out=0).answer(CHATS, confirm=True).usd == 0


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 5}, {"prompt_tokens": "5", "completion_tokens": None}])
def test_without_token_counts_the_most_is_charged(service, make, usage):
    service.script = always(200, completion("x", usage))
    system = make()
    out = system.answer(CHATS[:1], confirm=True)
    assert out.usd == pytest.approx(most_usd(system, CHATS[0], 96))
    assert out.uncounted == 1
    assert "1 without token counts" in repr(out)


def test_keys_are_sent_but_never_shown_or_kept(service, make, tmp_path, monkeypatch, capfd, caplog):
    caplog.set_level("DEBUG")
    monkeypatch.setenv("SOME_KEY", SECRET)
    service.script = then_echo((200, {}, completion(f"your key is {SECRET}")))
    system = make(api_key_env="SOME_KEY")
    out = system.answer(CHATS[:2], confirm=True)
    assert {request["headers"]["Authorization"] for request in service.requests} == {f"Bearer {SECRET}"}
    assert "your key is ***" in out.texts
    service.script = always(401, {"error": {"message": f"Incorrect API key provided: {SECRET}"}})
    with pytest.raises(ModelError, match=r"401.*provided: \*\*\*; check the key in SOME_KEY") as error:
        system.answer(CHATS[2:], confirm=True)
    shown = [repr(system), repr(vars(system)), repr(out), str(error.value), *capfd.readouterr(), caplog.text]
    written = [path.read_text() for path in cached(tmp_path)]
    assert len(written) == 2
    assert not any(SECRET in text for text in shown + written)


@pytest.mark.parametrize("value", [None, "", "  ", "sk-\nx", "schlüssel"])
def test_a_missing_key_is_named_before_anything_is_sent(service, make, monkeypatch, value):
    monkeypatch.delenv("SOME_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("SOME_KEY", value)
    with pytest.raises(RecipeError, match="SOME_KEY holds no usable key"):
        make(api_key_env="SOME_KEY").answer(CHATS, confirm=True)
    assert service.requests == []


def test_no_key_is_sent_unasked(service, make, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    make().answer(CHATS[:1], confirm=True)
    assert SECRET not in str(service.requests)


def test_a_redirect_is_not_followed(service, make, monkeypatch):
    monkeypatch.setenv("SOME_KEY", SECRET)
    service.script = always(307, {}, {"Location": service.url.replace("127.0.0.1", "localhost")})
    with pytest.raises(ModelError, match="HTTP 307"):
        make(api_key_env="SOME_KEY").answer(CHATS[:1], confirm=True)
    assert len(service.requests) == 1


# ---- failures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 529])
def test_a_passing_failure_is_retried(service, make, waits, status):
    service.script = then_echo((status, {}, {"error": {"message": "busy"}}), (status, {}, b""))
    out = make().answer(CHATS[:1], confirm=True)
    assert out.texts == ("about question 0",)
    assert out.requests == 3
    assert out.usd == pytest.approx(0.002)  # what was refused is not charged
    assert 0.5 <= waits[0] <= 1 <= waits[1] <= 2


@pytest.mark.parametrize(("header", "low", "high"), [("7", 7, 7), ("0.25", 0.25, 0.25), ("0", 0, 0), ("-3", 0, 0)])
def test_retry_after_in_seconds_is_honoured(service, make, waits, header, low, high):
    service.script = then_echo((429, {"Retry-After": header}, b""))
    make().answer(CHATS[:1], confirm=True)
    assert len(waits) == 1
    assert low <= waits[0] <= high


def test_retry_after_as_a_date_is_honoured(service, make, waits):
    from datetime import UTC, datetime, timedelta

    when = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    service.script = then_echo((503, {"Retry-After": when}, b""))
    make().answer(CHATS[:1], confirm=True)
    assert 60 < waits[0] <= 100


@pytest.mark.parametrize("header", ["soon", "inf", "nan", "Mon, 99 Foo 2026"])
def test_an_unreadable_retry_after_falls_back(service, make, waits, header):
    service.script = then_echo((429, {"Retry-After": header}, b""))
    make().answer(CHATS[:1], confirm=True)
    assert 0.5 <= waits[0] <= 1


def test_a_very_long_retry_after_ends_the_run(service, make, waits):
    service.script = always(429, {"error": {"message": "daily limit"}}, {"Retry-After": "86400"})
    with pytest.raises(ModelError, match="asks to wait 86400 s: daily limit; run this again later"):
        make().answer(CHATS[:1], confirm=True)
    assert (len(service.requests), waits) == (1, [])


def test_an_empty_account_is_not_retried(service, make):
    service.script = always(429, {"error": {"message": "You exceeded it.", "code": "insufficient_quota"}})
    with pytest.raises(ModelError, match="no credit left: You exceeded it"):
        make().answer(CHATS[:1], confirm=True)
    assert len(service.requests) == 1


def test_a_lasting_failure_ends_the_run_after_the_retries(service, make, waits, tmp_path):
    service.script = lambda n, body: Service.echo(n, body) if "question 0" in str(body) else (500, {}, b"<h1>Oops")
    system = make(concurrency=1, retries=3)
    with pytest.raises(ModelError, match=r"HTTP 500: <h1>Oops; .*\(tried 4 times\)\. The answers so far are kept in"):
        system.answer(CHATS, confirm=True)
    assert len(service.requests) == 1 + 4  # no other chat is begun
    assert len(waits) == 3
    assert waits[0] <= 1 <= waits[1] <= 2 <= waits[2] <= 4
    assert len(cached(tmp_path)) == 1
    service.script = Service.echo
    out = make().answer(CHATS, confirm=True)
    assert (out.requests, out.from_cache) == (5, 1)


@pytest.mark.parametrize(
    ("status", "content", "message"),
    [
        (401, {"error": {"message": "bad key"}}, "HTTP 401, not allowed: bad key; check api_key_env"),
        (403, b"", "HTTP 403, not allowed; check"),
        (404, {"error": {"message": "no such model"}}, r"HTTP 404: no such model; check base_url \(it often ends in"),
        (400, {"error": {"message": "Use 'max_completion_tokens'"}}, "Use 'max_completion_tokens'; .*max_tokens_field"),
        (422, {"detail": "extra field"}, "HTTP 422: .*extra field"),
        (200, b'{"choices": [', "not a chat completion in JSON"),
        (200, b"<html>Welcome</html>", "not a chat completion in JSON: <html>Welcome</html>; check base_url"),
        (200, b"", "not a chat completion"),
        (200, b"[" * 100_000, "not a chat completion"),
        (200, [], "not a chat completion"),
        (200, {"error": {"message": "overloaded"}}, "not a chat completion in JSON: overloaded"),
        (200, {"choices": []}, "not a chat completion"),
        (200, {"choices": [{"message": {"content": [{"text": "a"}]}}]}, "not a chat completion"),
    ],
)
def test_a_failure_that_will_not_pass_is_not_retried(service, make, waits, status, content, message):
    service.script = always(status, content)
    with pytest.raises(ModelError, match=message) as error:
        make(concurrency=1).answer(CHATS, confirm=True)
    assert (len(service.requests), waits) == (1, [])
    assert len(str(error.value)) < 800
    assert service.url in str(error.value)


def test_a_broken_answer_is_charged(service, make):
    service.script = always(200, b"{")
    system = make()
    with pytest.raises(ModelError):
        system.answer(CHATS[:1], confirm=True)
    assert system.spent_usd == pytest.approx(most_usd(system, CHATS[0], 96))


def test_a_timeout_is_retried_charged_and_explained(service, make, waits):
    release = threading.Event()

    def script(number, body):
        release.wait(20)
        return Service.echo(number, body)

    service.script = script
    system = make(timeout=0.2, retries=1)
    try:
        with pytest.raises(ModelError, match=r"no answer within timeout=0\.2 s; raise it.*\(tried 2 times\)"):
            system.answer(CHATS[:1], confirm=True)
    finally:
        release.set()
    assert len(waits) == 1
    assert system.spent_usd == pytest.approx(2 * most_usd(system, CHATS[0], 96))  # the service may bill both


def test_a_broken_connection_is_retried(service, make, waits):
    service.script = then_echo(None)
    assert make().answer(CHATS[:1], confirm=True).texts == ("about question 0",)
    assert len(waits) == 1


def test_a_service_that_is_not_running_is_named_at_once(service, make, waits):
    port = free_port()
    system = make(base_url=f"http://127.0.0.1:{port}/v1")
    with pytest.raises(ModelError, match="no connection .*is the service running"):
        system.answer(CHATS, confirm=True)
    assert (waits, system.spent_usd) == ([], 0)


def free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_the_first_error_wins_and_later_chats_are_not_begun(service, make):
    chats = [[{"role": "user", "content": f"question {i}"}] for i in range(200)]
    service.script = always(401, {"error": {"message": "bad key"}})
    with pytest.raises(ModelError, match="bad key"):
        make(concurrency=3).answer(chats, confirm=True)
    assert len(service.requests) < 200


# ---- concurrency ---------------------------------------------------------------------------------------------


def watch_concurrency(service):
    """Wrap the script; returns a function that gives the most requests that were in the server at once."""
    inner, now, peak, lock = service.script, [0], [0], threading.Lock()

    def script(number, body):
        with lock:
            now[0] += 1
            peak[0] = max(peak[0], now[0])
        time.sleep(0.02)
        answer = inner(number, body)
        with lock:
            now[0] -= 1
        return answer

    service.script = script
    return lambda: peak[0]


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_than_so_many_at_once(service, make, concurrency):
    chats = [[{"role": "user", "content": f"question {i}"}] for i in range(15)]
    peak = watch_concurrency(service)
    make(concurrency=concurrency).answer(chats, confirm=True)
    assert 1 <= peak() <= concurrency


def test_so_many_are_really_at_once(service, make):
    """Nobody is answered before three are here: with fewer at once this would fail."""
    three = threading.Barrier(3)

    def script(number, body):
        three.wait(timeout=20)
        return Service.echo(number, body)

    service.script = script
    assert make(concurrency=3).answer(CHATS[:3], confirm=True).requests == 3


def test_one_endpoint_may_serve_several_threads(service, make):
    system = make()
    with ThreadPoolExecutor(3) as pool:
        outs = list(pool.map(lambda i: system.answer(CHATS[2 * i : 2 * i + 2], confirm=True), range(3)))
    assert [text for out in outs for text in out.texts] == [f"about question {i}" for i in range(6)]
    assert system.spent_usd == pytest.approx(6 * 0.002)


# ---- settings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base_url": "api.example.com/v1"}, "give http"),
        ({"base_url": ""}, "give http"),
        ({"base_url": None}, "give http"),
        ({"base_url": "ftp://host/v1"}, "give http"),
        ({"base_url": "http://"}, "give http"),
        ({"base_url": "http://host:port/v1"}, "give http"),
        ({"base_url": "https://host/v1?key=abc"}, "no user, password, query"),
        ({"base_url": "https://me:abc@host/v1"}, "no user, password, query"),
        ({"base_url": "http://host/v1", "api_key_env": "SOME_KEY"}, "unencrypted; use https"),
        ({"model": ""}, "model=''"),
        ({"model": None}, "model=None"),
        ({"usd_per_mtok_in": -1}, "usd_per_mtok_in=-1"),
        ({"usd_per_mtok_out": "3"}, "usd_per_mtok_out='3'"),
        ({"usd_per_mtok_in": True}, "usd_per_mtok_in=True"),
        ({"max_usd": float("nan")}, "max_usd=nan"),
        ({"max_usd": float("inf")}, "max_usd=inf"),
        ({"max_usd": None}, "max_usd=None"),
        ({"concurrency": 0}, "concurrency=0"),
        ({"retries": -1}, "retries=-1"),
        ({"timeout": 0}, "timeout=0"),
        ({"options": {"n": 5}}, "n cannot be set here"),
        ({"options": {"stream": True}}, "stream cannot be set here"),
        ({"options": {"temperature": float("nan")}}, "must be a dictionary that JSON can hold"),
        ({"options": {"seed": {1}}}, "must be a dictionary that JSON can hold"),
        ({"options": "hot"}, "must be a dictionary that JSON can hold"),
    ],
)
def test_an_impossible_setting_is_refused(make, changes, message):
    with pytest.raises(RecipeError, match=message) as error:
        make(**changes)
    assert "abc" not in str(error.value)


@pytest.mark.parametrize(
    ("chat", "message"),
    [
        ([], "chat 1: must be a list of messages"),
        (None, "chat 1: must be a list of messages"),
        ("hi", "chat 1: must be a list of messages"),
        (["hi"], r"chat 1: messages\[0\].role"),
        ([{"role": "tool", "content": "x"}], r"chat 1: messages\[0\].role"),
        ([{"role": ["user"], "content": "x"}], r"chat 1: messages\[0\].role"),
        ([{"role": "user", "content": None}], r"chat 1: messages\[0\].content"),
    ],
)
def test_a_chat_that_cannot_be_sent_is_named(service, make, chat, message):
    with pytest.raises(DataError, match=message):
        make().answer([CHATS[0], chat], confirm=True)
    assert service.requests == []


@pytest.mark.parametrize("max_new_tokens", [0, -1, None, "9", float("nan")])
def test_max_new_tokens_must_be_a_number(service, make, max_new_tokens):
    with pytest.raises(RecipeError, match="max_new_tokens="):
        make().answer(CHATS, max_new_tokens, confirm=True)


def test_reprs_read_well(service, make):
    system = make()
    out = system.answer(CHATS, confirm=True)
    assert repr(out).endswith("1100 tokens a call; 0.0120 USD, 6 requests, 0 answers from the cache")
    assert repr(system) == f"m at {service.url}/chat/completions: 0.0120 of 1 USD spent"
