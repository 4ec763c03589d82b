"""Routing: confidences, thresholds that keep their promise, and a router that loses nothing."""

import importlib.util
import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from chat_server import ChatServer, always, completion

from ftlab.checks.review import Review
from ftlab.data.schema import read_chat
from ftlab.errors import DataError, RecipeError
from ftlab.hosted.stand_in_model import ServedModel
from ftlab.models import resolve
from ftlab.serving.router import Router, read_decisions, write_queue
from ftlab.serving.routing import (
    Thresholds,
    answer_confidence,
    choose_thresholds,
    coverage_curve,
    field_confidences,
    judge_routing,
)

OPEN = Thresholds(automatic=0.9, human=0.5, n=100, max_error=0.05, alpha=0.05)
ROOT = Path(__file__).resolve().parent.parent


# --- confidence


def test_a_fields_confidence_is_the_probability_of_its_value():
    tokens = ['{"', "a", '": "', "re", "d", '", "', "b", '": ', "null", "}"]
    chances = [1, 0.9, 1, 0.5, 0.8, 1, 1, 1, 0.7, 1]
    found = field_confidences(tokens, np.log(chances))
    assert found == {"a": pytest.approx(0.4), "b": pytest.approx(0.7)}
    assert answer_confidence(tokens, np.log(chances)) == pytest.approx(0.4)
    assert answer_confidence(tokens, np.log(chances), "least") == pytest.approx(0.5)
    assert answer_confidence(tokens, np.log(chances), "product") == pytest.approx(math.prod(chances))
    assert answer_confidence(tokens, np.log(chances), "mean") == pytest.approx(math.prod(chances) ** (1 / 10))


def test_what_is_no_record_takes_the_whole_answer_and_nothing_has_no_confidence():
    assert answer_confidence(["bil", "ling"], np.log([0.5, 0.5])) == pytest.approx(0.25)
    assert answer_confidence(['{"a": '], np.log([0.5])) == pytest.approx(0.5)
    assert answer_confidence([], []) == 0
    with pytest.raises(DataError, match="how='most'"):
        answer_confidence(["a"], [0.0], "most")


@pytest.mark.parametrize("how", ["mean", "least", "product", "fields"])
@pytest.mark.parametrize("at", [1, 3])
def test_a_log_probability_that_is_no_number_gives_no_confidence(how, at):
    chances = [0.0, -0.1, 0.0, -0.2, 0.0]
    chances[at] = math.nan
    assert math.isnan(answer_confidence(['{"a": ', "1", ', "b": ', "2", "}"], chances, how))


# --- thresholds


def drawn(dice, n=300):
    """Answers whose chance to be right is their confidence, from 0.5 to 1."""
    confidence = dice.uniform(0.5, 1, n)
    return confidence, (dice.uniform(size=n) < confidence).astype(float)


def test_the_error_that_is_allowed_is_kept_as_often_as_promised():
    dice, broken, found = np.random.default_rng(0), 0, 0
    for _ in range(400):
        chosen = choose_thresholds(*drawn(dice), max_error=0.10, alpha=0.10)
        true_error = 1 - (chosen.automatic + 1) / 2 if chosen.automatic <= 1 else 0  # of confidences above it
        broken += true_error > 0.10
        found += chosen.automatic <= 1
    assert broken / 400 <= 0.10
    assert found > 40  # it does find some; else it would keep any promise


def test_answers_that_cannot_be_trusted_are_never_automatic():
    chosen = choose_thresholds(np.linspace(0, 1, 100), np.zeros(100), max_error=0.05)
    assert chosen.route(1.0) == "human"
    assert Thresholds(math.inf, 0.5, 1, 0.1, 0.05).route(1.0) == "checked"


def test_routes_and_what_they_cost():
    assert [OPEN.route(each) for each in (0.95, 0.9, 0.6, 0.4, None, math.nan)] == [
        "automatic", "automatic", "checked", "human", "human", "human",
    ]  # fmt: skip
    routed = judge_routing(OPEN, [0.95, 0.95, 0.6, None], [1, 0, 0, 0], minutes_to_check=1, minutes_to_write=3,
                           usd_per_hour=60, usd_per_error=10)  # fmt: skip
    assert routed.errors["automatic"].value == 0.5
    assert routed.hours_per_thousand == pytest.approx(1000 * (1 + 3 + 3) / 4 / 60)
    assert routed.usd_per_thousand == pytest.approx(60 * routed.hours_per_thousand + 10 * 250)
    curve = coverage_curve([0.9, 0.8, 0.8], [1, 0, 1])
    assert list(curve["coverage"]) == [pytest.approx(1 / 3), 1]
    assert list(curve["error"]) == [0, pytest.approx(1 / 3)]


@pytest.mark.parametrize(("confidences", "right"), [([], []), ([0.5], [0.5]), ([math.nan], [1]), ([0.1, 0.2], [1])])
def test_numbers_that_cannot_be_are_refused(confidences, right):
    with pytest.raises(DataError):
        choose_thresholds(confidences, right, max_error=0.1)


# --- the router


def scored(text, chance, finish_reason="stop"):
    body = completion(text, finish_reason=finish_reason)
    body["choices"][0]["logprobs"] = {"content": [{"token": text, "logprob": math.log(chance)}]}
    return body


def sends(*bodies):
    """Answers with these in turn and the last for good; like real servers with log-probabilities only where asked."""

    def script(number, body):
        answer = json.loads(json.dumps(bodies[min(number, len(bodies) - 1)]))
        if not body.get("logprobs"):
            answer["choices"][0].pop("logprobs", None)
        return 200, {}, answer

    return script


def ask(text):
    return [{"role": "user", "content": text}]


def no_record(answer):
    return "" if answer.startswith("{") else "no record"


@pytest.mark.parametrize(
    ("script", "route", "reason"),
    [
        (sends(scored('{"a": 1}', 0.95)), "automatic", ""),
        (sends(scored('{"a": 1}', 0.6)), "checked", ""),
        (sends(scored('{"a": 1}', 0.2)), "human", ""),
        (sends(scored("Sure! Here you are", 0.99)), "human", "no record"),
        (sends(scored('{"a": 1', 0.99, "length")), "human", "cut off"),
        (sends(completion('{"a": 1}')), "human", "no confidence"),
        (always(500, {"error": "out of memory"}), "human", "server: .*HTTP 500.*out of memory"),
        (always(200, b"<html>"), "human", "server: .*no chat completion"),
        (lambda number, body: None, "human", "server: .*connection broke"),
    ],
)
def test_where_an_answer_goes(tmp_path, script, route, reason):
    import re

    with ChatServer(script) as server:
        router = Router(server.url, "m", OPEN, tmp_path / "log.db", problem=no_record)
        decision = router.answer(ask("hello"), "one")
        assert router.answer(ask("hello"), "one") == decision  # not asked again
        with pytest.raises(DataError, match="another request has this id"):
            router.answer(ask("other"), "one")
        router.close()
        assert len(server.requests) == 1
    assert decision.route == route
    assert re.match(reason, decision.reason)
    (row,) = read_decisions(tmp_path / "log.db").to_dict("records")
    assert (row["id"], row["route"], row["answer"]) == ("one", decision.route, decision.answer)


@pytest.mark.parametrize(
    ("given", "kept", "route", "reason"),
    [(np.float32(0.95), 0.95, "automatic", ""), (math.nan, None, "human", "no confidence"),
     (None, None, "human", "no confidence"), ("high", None, "human", "TypeError")],
)  # fmt: skip
def test_a_confidence_of_your_own_is_kept_as_a_number(tmp_path, given, kept, route, reason):
    with ChatServer(sends(scored('{"a": 1}', 0.5))) as server:
        router = Router(server.url, "m", OPEN, tmp_path / "log.db", confidence=lambda messages, reply: given)
        decision = router.answer(ask("hello"), "one")
        router.close()
        assert "logprobs" not in server.requests[0]["body"]  # nobody needs them
    assert decision.route == route
    assert decision.reason.startswith(reason)
    assert decision.confidence == pytest.approx(kept)
    (row,) = read_chat(write_queue(tmp_path / "log.db", tmp_path / "queue.jsonl", routes=(route,)))
    assert row["provenance"]["confidence"] == pytest.approx(kept)


def test_many_threads_lose_nothing(tmp_path):
    with ChatServer(sends(scored('{"a": 1}', 0.95))) as server:
        router = Router(server.url, "m", OPEN, tmp_path / "log.db")
        threads = [threading.Thread(target=router.answer, args=(ask(f"q{i}"), f"id{i}")) for i in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        router.close()
    found = read_decisions(tmp_path / "log.db")
    assert sorted(found["id"]) == sorted(f"id{i}" for i in range(16))
    assert set(found["route"]) == {"automatic"}


KILLED = """
import sys
from ftlab.serving.router import Router
from ftlab.serving.routing import Thresholds
open = Thresholds(0.9, 0.5, 100, 0.05, 0.05)
router = Router(sys.argv[1], sys.argv[3], open, sys.argv[2], confidence=lambda messages, reply: 0.95)
for i in range(1000):
    print(router.answer([{"role": "user", "content": f"q{i}"}], f"id{i}").id, flush=True)
"""


def start_router(url, log, model="m"):
    command = [sys.executable, "-c", KILLED, url, str(log), model]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def test_a_kill_loses_no_decision_and_what_was_under_way_is_finished(tmp_path):
    def slowly(number, body):
        time.sleep(0.02 if number < 10 else 2)
        return 200, {}, scored('{"a": 1}', 0.95)

    with ChatServer(slowly) as server:
        process = start_router(server.url, tmp_path / "log.db")
        told = [process.stdout.readline().strip() for _ in range(10)]
        while len(server.requests) < 11:
            time.sleep(0.01)
        kill(process)
        found = read_decisions(tmp_path / "log.db")
        assert list(found["id"]) == [*told, "id10"]
        assert list(found["route"].isna()) == [False] * 10 + [True]
        (waits,) = read_chat(write_queue(tmp_path / "log.db", tmp_path / "queue.jsonl"))
        assert (waits["id"], waits["provenance"]["route"], waits["provenance"]["draft"]) == ("id10", "human", "none")
        server.script = sends(scored('{"a": 1}', 0.6))
        router = Router(server.url, "m", OPEN, tmp_path / "log.db")
        assert [(each.id, each.route) for each in router.finish_pending()] == [("id10", "checked")]
        assert router.finish_pending() == []
        router.close()


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("fastapi") is None, reason="transformers serve needs fastapi and uvicorn")
def test_a_kill_before_a_real_server_loses_nothing(tmp_path):
    server, log = ServedModel(None), tmp_path / "log.db"
    url, model = f"{server.url}/v1", str(resolve("nano"))
    try:
        server.wait(600)
        process = start_router(url, log, model)
        told = [process.stdout.readline().strip() for _ in range(3)]
        until = time.monotonic() + 60
        while len(read_decisions(log)) < 4 and time.monotonic() < until:  # the fourth is written down and sent
            time.sleep(0.01)
        kill(process)
        found = read_decisions(log)
        assert list(found["id"]) == [f"id{i}" for i in range(len(found))]
        assert told == list(found["id"])[:3]
        assert found["route"].isna().sum() == 1
        assert set(found["route"][:-1]) == {"automatic"}
        waits = read_chat(write_queue(log, tmp_path / "queue.jsonl"))
        assert [row["id"] for row in waits] == [found["id"].iloc[-1]]
        router = Router(url, model, OPEN, log, confidence=lambda messages, reply: 0.6)
        assert [each.route for each in router.finish_pending()] == ["checked"]
        router.close()
    finally:
        server.stop()
    assert read_decisions(log)["answer"].str.len().min() > 0


def test_the_queue_is_reviewed_and_becomes_training_rows_with_their_origin(tmp_path):
    answers = [scored('{"a": 1}', 0.95), scored('{"a": 2}', 0.7), scored("nonsense", 0.9), scored('{"a": 3}', 0.6)]
    with ChatServer(sends(*answers)) as server:
        router = Router(server.url, "m", OPEN, tmp_path / "log.db", problem=no_record)
        for i in range(4):
            router.answer(ask(f"q{i}"), f"id{i}")
        router.close()
    queue = write_queue(tmp_path / "log.db", tmp_path / "queue.jsonl")
    assert [row["id"] for row in read_chat(queue)] == ["id2", "id3", "id1"]  # the least sure first
    review = Review.open(queue, tmp_path / "reviewed.jsonl", reviewer="kim")
    review.edit(0, '{"a": 9}')
    review.accept(1)
    review.reject(2)
    review.save()
    rows = read_chat(tmp_path / "reviewed.jsonl")
    assert [json.loads(row["messages"][-1]["content"]) for row in rows] == [{"a": 9}, {"a": 3}]
    assert rows[0]["provenance"] | {"asked": "", "reviewed": ""} == {
        "source": "router", "request": "id2", "model": "m", "asked": "", "route": "human", "confidence": None,
        "decision": "edited", "reviewer": "kim", "reviewed": "",
    }  # fmt: skip
    with pytest.raises(DataError, match="nothing waits"):
        write_queue(tmp_path / "log.db", tmp_path / "none.jsonl", routes=())
    with pytest.raises(DataError, match="nothing waits"):
        write_queue(tmp_path / "log.db", tmp_path / "none.jsonl", reviews=[review])


def test_a_new_queue_leaves_out_what_was_decided_and_what_nobody_drafted_cannot_be_accepted(tmp_path):
    answers = [scored('{"a": 1}', 0.6), completion(""), completion(" \n"), scored('{"a": 2}', 0.6)]
    with ChatServer(sends(*answers)) as server:
        router = Router(server.url, "m", OPEN, tmp_path / "log.db")
        for i in range(3):
            router.answer(ask(f"q{i}"), f"id{i}")
        review = Review.open(write_queue(tmp_path / "log.db", tmp_path / "first.jsonl"), tmp_path / "out.jsonl", "kim")
        assert [row["id"] for row in review.rows] == ["id1", "id2", "id0"]
        for row in (0, 1):
            for take in (lambda row=row: review.accept(row), lambda row=row: review.edit(row, review.draft(row))):
                with pytest.raises(DataError, match=f"row {row + 1}: nothing was drafted"):
                    take()
        review.reject(0)
        review.accept(2)
        router.answer(ask("q3"), "id3")
        router.close()
    again = Review.open(tmp_path / "first.jsonl", tmp_path / "out.jsonl", "kim")  # in another session
    second = read_chat(write_queue(tmp_path / "log.db", tmp_path / "second.jsonl", reviews=[again]))
    assert [row["id"] for row in second] == ["id2", "id3"]


def test_texts_leave_only_when_confirmed_and_a_file_that_is_no_log_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="leave this machine"):
        Router("https://example.com/v1", "m", OPEN, tmp_path / "log.db")
    (tmp_path / "text.db").write_text("this is no database, but a text of some length\n" * 50)
    with pytest.raises(DataError, match="is no log"):
        Router("http://localhost:1/v1", "m", OPEN, tmp_path / "text.db")


def test_a_log_that_cannot_be_written_stops_the_request_before_it_is_sent(tmp_path):
    from ftlab.errors import FtlabError

    with ChatServer() as server:
        router = Router(server.url, "m", OPEN, tmp_path / "log.db")
        with sqlite3.connect(tmp_path / "log.db") as other:
            other.execute("DROP TABLE decisions")
        other.close()
        with pytest.raises(FtlabError, match="log cannot be written"):
            router.answer(ask("hello"))
        router.close()
        assert server.requests == []
