"""The endpoint against a real HTTP server on this machine: order, counts, the cache, the cap."""

import json
import threading
import time

import pytest
from chat_server import ChatServer, always, completion, echo, then_echo

from ftlab.baselines.choice import choose_records
from ftlab.baselines.endpoint import Endpoint
from ftlab.baselines.prompting import Prompt, search_prompts, try_prompts, with_shots
from ftlab.errors import DataError, ModelError, RecipeError

SECRET = "sk-test-5f2b9c1d7e"
CHATS = [[{"role": "user", "content": f"question {i}"}] for i in range(6)]
AT_ONCE = {"Retry-After": "0.01"}  # the SDK's own waits would make the tests slow


@pytest.fixture
def server():
    with ChatServer() as server:
        yield server


@pytest.fixture
def make(server, tmp_path):
    """An endpoint of the server: 1 USD for a million tokens in, 10 for a million out."""

    def make(**changes):
        settings = {"usd_per_mtok_in": 1.0, "usd_per_mtok_out": 10.0, "max_usd": 1.0, "cache": tmp_path / "cache"}
        settings |= {"base_url": server.url, "model": "m", "retries": 0} | changes
        return Endpoint(settings.pop("base_url"), settings.pop("model"), **settings)

    return make


def cached(tmp_path):
    return sorted((tmp_path / "cache").glob("*.json"))


def test_answers_come_in_the_order_of_the_chats_and_are_counted(server, make):
    system = make()
    out = system.answer(CHATS, max_new_tokens=7, confirm=True)
    assert out.texts == tuple(f"about question {i}" for i in range(6))
    assert (out.prompt_tokens, out.new_tokens, out.cut_off, out.empty, out.uncounted) == (6000, 600, 0, 0, 0)
    assert out.tokens_per_call == 1100
    assert out.usd == pytest.approx(6 * (1000 * 1 + 100 * 10) / 1e6)
    assert system.spent_usd == out.usd
    assert (out.requests, out.from_cache) == (6, 0)
    assert out.seconds > 0
    bodies = sorted((request["body"] for request in server.requests), key=json.dumps)
    assert bodies[0] == {"model": "m", "messages": CHATS[0], "max_tokens": 7, "temperature": 0}
    assert repr(out).endswith("1100 tokens a call; 0.0120 USD, 6 requests, 0 answers from the cache")
    assert make(max_usd=0, usd_per_mtok_in=0, usd_per_mtok_out=0).answer([CHATS[0] * 3], confirm=True).usd == 0
    assert repr(system) == f"m at {server.url}/chat/completions: 0.0120 of 1 USD spent"


def test_later_answers_do_not_overtake_earlier_ones(server, make):
    """The first request is answered last, and nobody is answered before all four are here."""
    others = threading.Barrier(4)

    def script(number, body):
        others.wait(timeout=20)
        if "question 0" in str(body):
            time.sleep(0.05)
        return echo(number, body)

    server.script = script
    assert make().answer(CHATS[:4], confirm=True).texts == tuple(f"about question {i}" for i in range(4))


TICKETS = [
    {"messages": [{"role": "user", "content": f"ticket {i} {word}"}, {"role": "assistant", "content": f'{{"n": {i}}}'}]}
    for i, word in enumerate(["kettle", "lamp", "kettle", "lamp"])
]


def test_a_prompt_search_runs_on_a_service_and_sends_nothing_unasked(server, make):
    server.script = lambda number, body: (200, {}, completion('{"n": 1}' if len(body["messages"]) > 2 else "{}"))
    bare = Prompt("bare", "Number it.")
    shown = with_shots(bare, TICKETS[2:], 1, select="similar")
    with pytest.raises(RecipeError, match="confirm=True"):
        try_prompts(make(), None, [bare], TICKETS[:2])
    with pytest.raises(RecipeError, match="response_format"):
        choose_records(make(), None, bare, ["one"], {"a": ["yes", "no"]})
    assert server.requests == []
    tried = try_prompts(make(), None, [bare, shown], TICKETS[:2], max_new_tokens=5, confirm=True)
    found = [(c.prompt.name, c.metrics["field_accuracy"].value) for c in tried.candidates]
    assert found == [("bare+1similar", 0.5), ("bare", 0)]
    assert tried.candidates[0].tokens_per_call == 1100
    sent = {json.dumps([turn["content"] for turn in request["body"]["messages"]]) for request in server.requests}
    assert json.dumps(["Number it.", "ticket 2 kettle", '{"n": 2}', "ticket 0 kettle"]) in sent
    how = {"shots": (1,), "select": ("random",), "confirm": True}
    search = search_prompts(make(), None, [bare], TICKETS[:2], TICKETS[2:], **how)
    assert search.best("few_shot").examples == 1


def test_no_chats_need_no_confirmation_and_other_services_get_other_fields(server, make):
    out = make().answer([])
    assert (out.texts, out.requests, out.usd, out.seconds) == ((), 0, 0, 0)
    make(max_tokens_field="max_completion_tokens", options={"seed": 3}).answer(CHATS[:1], 9, confirm=True)
    body = {"model": "m", "messages": CHATS[0], "max_completion_tokens": 9, "seed": 3}
    assert server.requests[0]["body"] == body


def test_cut_off_and_empty_answers_are_counted(server, make):
    replies = [completion("a", finish_reason="length"), completion(None, finish_reason="length"), completion(" ")]
    server.script = lambda number, body: (200, {}, replies[int(body["messages"][0]["content"][-1])])
    out = make().answer(CHATS[:3], confirm=True)
    assert (out.texts, out.cut_off, out.empty) == (("a", "", " "), 2, 2)
    assert all(text in repr(out) for text in ("2 cut off", "2 empty answers"))


def test_a_repeated_run_sends_nothing_and_says_the_same(server, make):
    first = make().answer(CHATS, confirm=True)
    system = make(max_usd=0)
    again = system.answer(CHATS)  # not confirmed, and nothing to spend
    assert len(server.requests) == 6
    assert (again.requests, again.from_cache, again.usd, system.spent_usd) == (0, 6, 0, 0)
    for field in ("texts", "prompt_tokens", "new_tokens", "seconds", "cut_off"):
        assert getattr(again, field) == getattr(first, field)


def test_equal_chats_are_sent_once(server, make):
    out = make().answer([CHATS[0]] * 5, confirm=True)
    assert len(server.requests) == 1
    assert len(out.texts) == 5
    assert (out.requests, out.from_cache, out.prompt_tokens) == (1, 4, 5000)


def test_another_request_is_not_taken_from_the_cache_and_prices_and_limits_make_none(server, make):
    make().answer(CHATS[:1], confirm=True)
    make(usd_per_mtok_in=5, max_usd=3, concurrency=1, retries=1, timeout=5).answer(CHATS[:1])
    assert len(server.requests) == 1
    elsewhere = {"base_url": server.url.replace("127.0.0.1", "localhost")}
    for number, changes in enumerate(({"model": "m2"}, {"options": {"temperature": 1}}, elsewhere), 2):
        make(**changes).answer(CHATS[:1], confirm=True)
        assert len(server.requests) == number
    make().answer(CHATS[:1], max_new_tokens=95, confirm=True)
    assert len(server.requests) == 5


@pytest.mark.parametrize("content", ["{", "[]", '{"reply": {"text": 1}}', "\x80"])
def test_a_damaged_cache_file_is_named(server, make, tmp_path, content):
    make().answer(CHATS[:1], confirm=True)
    (path,) = cached(tmp_path)
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=rf"{path.name}: no readable answer (?s:.*)delete this file"):
        make().answer(CHATS[:1], confirm=True)
    path.unlink()
    assert make().answer(CHATS[:1], confirm=True).requests == 1


def test_the_cache_is_where_it_is_told_to_be(server, make, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file"):
        make(cache=tmp_path / "file").answer(CHATS[:1], confirm=True)
    monkeypatch.setenv("FTLAB_HOME", str(tmp_path / "home"))
    make(cache=None).answer(CHATS[:1], confirm=True)
    assert len(list((tmp_path / "home" / "endpoint_cache").iterdir())) == 1


# ---- confirmation, money, keys -------------------------------------------------------------------------------


@pytest.mark.parametrize("confirm", [False, 1])
def test_nothing_is_sent_without_confirm(server, make, confirm):
    with pytest.raises(RecipeError, match=r"6 requests would be sent to http.* at most 0\.\d+ USD.*confirm=True"):
        make().answer(CHATS, confirm=confirm)
    assert server.requests == []


def most_usd(system, chat, max_new_tokens):
    """Every byte of the request a token, and all new tokens used."""
    body = {"model": "m", "messages": chat, "max_tokens": max_new_tokens, "temperature": 0}
    return (len(json.dumps(body)) * system.usd_per_mtok_in + max_new_tokens * system.usd_per_mtok_out) / 1e6


FEW = {"prompt_tokens": 50, "completion_tokens": 10}  # fewer than the request has bytes, as with real tokenizers
COST = (50 * 1 + 10 * 10) / 1e6


@pytest.mark.parametrize("concurrency", [1, 4])
def test_the_cap_stops_before_the_request_that_could_pass_it(server, make, tmp_path, concurrency):
    """The cap leaves room for three answers and the most that a fourth could cost, not quite."""
    server.script = always(200, completion("x", FEW))
    most = most_usd(make(), CHATS[0], 96)
    system = make(max_usd=3 * COST + most - 1e-9, concurrency=concurrency)
    with pytest.raises(RecipeError, match=r"could be passed: 0\.000450 USD are spent .*Raise max_usd"):
        system.answer(CHATS, confirm=True)
    assert len(server.requests) == 3
    assert system.spent_usd == pytest.approx(3 * COST)
    assert len(cached(tmp_path)) == 3
    assert make(max_usd=2 * COST + most + 1e-9).answer(CHATS, confirm=True).requests == 3  # goes on, and just suffices


def test_retries_count_against_the_cap(server, make):
    """A broken connection may have been billed: no first try where the money would not last for the second."""
    server.script = lambda number, body: None
    most = most_usd(make(), CHATS[0], 96)
    with pytest.raises(RecipeError, match="could be passed"):
        make(max_usd=1.5 * most, retries=1).answer(CHATS[:1], confirm=True)
    assert server.requests == []
    system = make(max_usd=2.5 * most, retries=1)
    with pytest.raises(ModelError, match=r"the connection broke .*\(tried 2 times\)"):
        system.answer(CHATS[:1], confirm=True)
    assert system.spent_usd == pytest.approx(2 * most)


def test_requests_under_way_count(server, make):
    """The cap holds one request at its dearest: so only one is under way at a time, and all are answered."""
    server.script = always(200, completion("x", {"prompt_tokens": 1, "completion_tokens": 0}))
    peak = watch_concurrency(server)
    system = make(max_usd=1.5 * most_usd(make(), CHATS[0], 96), concurrency=4)
    assert system.answer(CHATS, confirm=True).requests == 6
    assert peak() == 1


def test_without_token_counts_the_most_is_charged(server, make):
    server.script = always(200, completion("x", {"prompt_tokens": 5}))
    system = make()
    out = system.answer(CHATS[:1], confirm=True)
    assert out.usd == pytest.approx(most_usd(system, CHATS[0], 96))
    assert out.uncounted == 1
    assert "1 without token counts" in repr(out)


def test_a_refused_try_is_free_and_one_without_an_answer_is_not(server, make):
    server.script = then_echo((429, AT_ONCE, {}), None)
    system = make(retries=2)
    out = system.answer(CHATS[:1], confirm=True)
    assert (out.texts, out.requests) == (("about question 0",), 3)
    assert out.usd == pytest.approx(0.002 + most_usd(system, CHATS[0], 96))


@pytest.mark.parametrize("script", [always(200, b"{"), lambda number, body: time.sleep(0.5), None])
def test_a_broken_answer_and_a_late_one_are_charged_and_a_service_that_is_not_there_costs_nothing(server, make, script):
    server.script = script
    if script is None:
        server.server.server_close()
    system = make(timeout=0.2)
    with pytest.raises(ModelError):
        system.answer(CHATS[:1], confirm=True)
    assert system.spent_usd == pytest.approx(most_usd(system, CHATS[0], 96) if script else 0)


def test_keys_are_sent_but_never_shown_or_kept(server, make, tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_KEY", SECRET)
    server.script = then_echo((200, {}, completion(f"your key is {SECRET}")))
    system = make(api_key_env="SOME_KEY")
    out = system.answer(CHATS[:2], confirm=True)
    assert {request["headers"]["Authorization"] for request in server.requests} == {f"Bearer {SECRET}"}
    assert "your key is ***" in out.texts
    written = [path.read_text() for path in cached(tmp_path)]
    assert len(written) == 2
    assert not any(SECRET in text for text in (*written, repr(system), repr(vars(system)), repr(out)))


def test_a_lasting_failure_ends_the_run_and_keeps_the_answers(server, make, tmp_path):
    server.script = lambda n, body: echo(n, body) if "question 0" in str(body) else (500, AT_ONCE, b"<h1>Oops")
    with pytest.raises(ModelError, match=r"HTTP 500: <h1>Oops.*\(tried 4 times\)\. The answers so far are kept in"):
        make(concurrency=1, retries=3).answer(CHATS, confirm=True)
    assert len(server.requests) == 1 + 4  # no other chat is begun
    assert len(cached(tmp_path)) == 1
    server.script = echo
    out = make().answer(CHATS, confirm=True)
    assert (out.requests, out.from_cache) == (5, 1)


def test_the_first_error_wins_and_later_chats_are_not_begun(server, make):
    chats = [[{"role": "user", "content": f"question {i}"}] for i in range(200)]
    server.script = always(401, {"error": {"message": "bad key"}})
    with pytest.raises(ModelError, match="bad key"):
        make(concurrency=3).answer(chats, confirm=True)
    assert len(server.requests) < 200


def watch_concurrency(server):
    """Wrap the script; returns a function that gives the most requests that were in the server at once."""
    inner, now, peak, lock = server.script, [0], [0], threading.Lock()

    def script(number, body):
        with lock:
            now[0] += 1
            peak[0] = max(peak[0], now[0])
        time.sleep(0.02)
        answer = inner(number, body)
        with lock:
            now[0] -= 1
        return answer

    server.script = script
    return lambda: peak[0]


def test_no_more_than_so_many_at_once(server, make):
    peak = watch_concurrency(server)
    make(concurrency=3).answer(CHATS, confirm=True)
    assert 1 <= peak() <= 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"usd_per_mtok_in": -1}, "usd_per_mtok_in=-1"),
        ({"usd_per_mtok_out": "3"}, "usd_per_mtok_out='3'"),
        ({"max_usd": float("nan")}, "max_usd=nan"),
        ({"concurrency": 0}, "concurrency=0"),
        ({"options": {"n": 5}}, "n cannot be set here"),
        ({"options": {"temperature": float("nan")}}, "must be a dictionary that JSON can hold"),
        ({"options": {"seed": {1}}}, "must be a dictionary that JSON can hold"),
        ({"options": "hot"}, "must be a dictionary that JSON can hold"),
    ],
)
def test_an_impossible_setting_is_refused(make, changes, message):
    with pytest.raises(RecipeError, match=message):
        make(**changes)


def test_what_cannot_be_sent_is_named_before_anything_is(server, make):
    with pytest.raises(RecipeError, match="max_new_tokens="):
        make().answer(CHATS, 0, confirm=True)
    with pytest.raises(RecipeError, match="api_key_env: the variable of this name is not set"):
        make(api_key_env="NO_SUCH_KEY").answer(CHATS, confirm=True)
    with pytest.raises(DataError, match=r"chat 1: messages\[0\].role"):
        make().answer([CHATS[0], [{"role": "tool", "content": "x"}]], confirm=True)
    assert server.requests == []
