"""A small router in front of any OpenAI-compatible server: answer, confidence and route, and each decision in SQLite.

A request is written down before it is sent, and its decision before it is returned. So what a kill interrupts is still
there, as pending, and goes to a person or is asked again; nothing that a caller was told is ever missing.
"""

import json
import math
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ftlab.chat_service import ChatService, Reply, turns_to_send
from ftlab.checks.review import NO_DRAFT, Review
from ftlab.data.jsonl import write_rows
from ftlab.errors import DataError, FtlabError, ModelError
from ftlab.serving.routing import Thresholds, answer_confidence
from ftlab.serving.sides import refuse_to_send

TABLE = """CREATE TABLE IF NOT EXISTS decisions (
    id TEXT PRIMARY KEY, asked TEXT NOT NULL, messages TEXT NOT NULL, model TEXT NOT NULL,
    decided TEXT, answer TEXT, confidence REAL, route TEXT, reason TEXT, seconds REAL)"""


@dataclass(frozen=True)
class RoutedAnswer:
    """What became of one request; `route` is automatic, checked or human, `reason` says why a human has it."""

    id: str
    answer: str
    confidence: float | None
    route: str
    reason: str
    seconds: float


def from_logprobs(messages: Sequence[dict], reply: Reply) -> float | None:
    """The confidence by default: `answer_confidence` of the reply's tokens; None where the server sent none."""
    return answer_confidence(reply.tokens, reply.logprobs) if reply.logprobs else None


class Router:
    """Asks one model of one server and decides by `thresholds` where its answer goes; may be used from many threads.

    `problem(answer)` says what is wrong with an answer, "" if nothing: such answers go to a human, and so does whatever
    the server fails to answer. `confidence(messages, reply)` is a number from 0 to 1, or None (a human again); the one
    by default asks for log-probabilities, and where a server gives none you give another. A server that is not on
    this machine is asked only with `confirm=True`. `fields` go into each request (`logprobs=True`, for your own one).
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        thresholds: Thresholds,
        log: str | Path,
        problem: Callable[[str], str] = lambda answer: "" if answer.strip() else "empty answer",
        confidence: Callable[[Sequence[dict], Reply], float | None] = from_logprobs,
        api_key_env: str | None = None,
        confirm: bool = False,
        timeout: float = 60,
        max_new_tokens: int = 96,
        **fields,
    ):
        self.service = ChatService(base_url, model, api_key_env, retries=0, timeout=timeout)
        refuse_to_send(self.service, "requests", confirm)
        self.thresholds, self.problem, self.confidence = thresholds, problem, confidence
        asked = {"logprobs": True} if confidence is from_logprobs else {}
        self.fields = {"max_tokens": max_new_tokens, "temperature": 0} | asked | fields
        self.log, self.client = open_log(log), self.service.client()
        self.lock = threading.Lock()

    def answer(self, messages: Sequence[dict], id: str | None = None) -> RoutedAnswer:
        """Ask, decide, write down, return. A known `id` that is decided is not asked again."""
        id, start = id or uuid.uuid4().hex, time.perf_counter()
        turns = turns_to_send(messages, id)
        if known := self._begin(id, turns):
            return known
        answer, confidence, reason = "", None, ""
        try:
            reply = self.service.ask(self.client, self.service.model, turns, **self.fields)
            answer = reply.text
            reason = "cut off" if reply.finish_reason == "length" else self.problem(answer)
            sure = None if reason else self.confidence(turns, reply)
            confidence = float(sure) if sure is not None and math.isfinite(sure) else None  # SQLite keeps no numpy
            reason = reason or ("no confidence" if confidence is None else "")
        except ModelError as error:
            reason = f"server: {error}"
        except Exception as error:  # a reply that nobody foresaw must not lose the request
            reason = f"{type(error).__name__}: {error}"
        route = self.thresholds.route(confidence)
        decision = RoutedAnswer(id, answer, confidence, route, reason, time.perf_counter() - start)
        self._write("UPDATE decisions SET decided=?, answer=?, confidence=?, route=?, reason=?, seconds=? WHERE id=?",
                    (_now(), answer, confidence, route, reason, decision.seconds, id))  # fmt: skip
        return decision

    def finish_pending(self) -> list[RoutedAnswer]:
        """Ask again what was under way when an earlier process ended."""
        rows = self._read("SELECT id, messages FROM decisions WHERE decided IS NULL ORDER BY rowid")
        return [self.answer(json.loads(messages), id) for id, messages in rows]

    def close(self) -> None:
        """Close connection and log."""
        self.client.close()
        self.log.close()

    def _begin(self, id: str, turns) -> RoutedAnswer | None:
        """Write the request down; the decision, where this one has been decided before."""
        row = (id, _now(), json.dumps(turns, ensure_ascii=False), self.service.model)
        self._write("INSERT OR IGNORE INTO decisions (id, asked, messages, model) VALUES (?, ?, ?, ?)", row)
        ((messages, decided, *found),) = self._read(
            "SELECT messages, decided, answer, confidence, route, reason, seconds FROM decisions WHERE id=?", (id,)
        )
        if messages != row[2]:
            raise DataError(f"{id}: another request has this id already: give each request its own")
        return RoutedAnswer(id, *found) if decided else None

    def _write(self, statement: str, values: tuple) -> None:
        try:
            with self.lock, self.log:
                self.log.execute(statement, values)
        except sqlite3.Error as error:
            raise FtlabError(
                f"the log cannot be written ({error}), so nothing was decided: make room, ask again"
            ) from error

    def _read(self, query: str, values: tuple = ()) -> list[tuple]:
        with self.lock:
            return self.log.execute(query, values).fetchall()


def open_log(path: str | Path) -> sqlite3.Connection:
    """The log of decisions, made if it is not there; each commit waits for the disk."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        log = sqlite3.connect(path, timeout=30, check_same_thread=False)
        try:
            log.execute("PRAGMA journal_mode=WAL")
            log.execute("PRAGMA synchronous=FULL")
            with log:
                log.execute(TABLE)
        except sqlite3.Error:
            log.close()
            raise
    except sqlite3.Error as error:
        raise DataError(f"{path}: is no log of decisions ({error}); name another file") from error
    return log


def read_decisions(path: str | Path):
    """Every request with its decision, in the order they came (a pandas table); `route` is missing while pending."""
    import pandas as pd

    with _opened(path) as log:
        return pd.read_sql_query("SELECT * FROM decisions ORDER BY rowid", log)


def write_queue(
    log: str | Path,
    out: str | Path,
    routes: Sequence[str] = ("checked", "human"),
    reviews: Sequence[Review] = (),
) -> Path:
    """What people have to see, as drafts for the review table (`Review.open`), the least sure first.

    Each row says where it comes from: the request, the model that drafted it, its confidence and route. A request
    without an answer, or still pending, has no draft that could be accepted. What was decided in `reviews` of earlier
    queues is left out, be it rejected. DataError where nothing waits.
    """
    done = {each.rows[row].get("id") for each in reviews for row in range(len(each)) if each.decision(row)}
    with _opened(log) as opened:
        opened.row_factory = sqlite3.Row  # None stays None; a table of pandas has NaN there
        found = opened.execute("SELECT * FROM decisions ORDER BY rowid").fetchall()
    rows = []
    for each in found:
        route = each["route"] or "human"
        if route in routes and each["id"] not in done:
            source = {"source": "router", "request": each["id"], "model": each["model"], "asked": each["asked"],
                      "route": route, "confidence": each["confidence"]}  # fmt: skip
            drafted = (each["answer"] or "").strip()
            source |= {} if drafted else {"draft": NO_DRAFT}
            answer = {"role": "assistant", "content": each["answer"] if drafted else "(no answer: write one)"}
            row = {"id": each["id"], "messages": [*json.loads(each["messages"]), answer], "provenance": source}
            rows.append(row | ({"doubt": each["reason"]} if each["reason"] else {}))
    if not rows:
        raise DataError(f"{log}: nothing waits for a person ({', '.join(routes)})")
    rows.sort(key=lambda row: -1 if (sure := row["provenance"]["confidence"]) is None else sure)
    return write_rows(rows, out)


def _opened(path: str | Path) -> closing:
    """A log to read, closed behind `with`; DataError where there is none."""
    if not Path(path).exists():
        raise DataError(f"{path}: no such log")
    return closing(open_log(path))


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
