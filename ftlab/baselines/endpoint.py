"""Any chat service that speaks OpenAI's HTTP interface as a system to evaluate: answers kept on disk, money capped.

The answers come back as `ftlab.evaluation.generation.generate` gives them, so the same scores and gate apply.
Nothing is sent without `confirm=True`, nothing beyond `max_usd`, and no request that is answered already is sent again.
"""

import hashlib
import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ftlab import home
from ftlab.chat_service import ChatService, Reply, number, turns_to_send
from ftlab.errors import DataError, ModelError, RecipeError
from ftlab.evaluation.generation import Generations
from ftlab.files import whole_file

FIXED = ("model", "messages", "n", "stream", "max_tokens", "max_completion_tokens")  # not for options


@dataclass(frozen=True, repr=False)
class EndpointAnswers(Generations):
    """Answers of a service; `seconds` is the sum of the single requests' times (as first measured), not wall time."""

    usd: float  # counted for this call of `answer`
    requests: int  # sent for this call of `answer`, failed ones included
    from_cache: int  # answers that needed no request
    empty: int  # answers without text: refused, filtered, or all tokens spent on thinking
    uncounted: int  # answers for which the service reported no token counts; they count 0 tokens here

    def __repr__(self):
        notes = [f"{self.usd:.4f} USD", f"{self.requests} requests, {self.from_cache} answers from the cache"]
        notes += [f"{self.empty} empty answers"] if self.empty else []
        notes += [f"{self.uncounted} without token counts"] if self.uncounted else []
        return f"{super().__repr__()}; {', '.join(notes)}"


class Endpoint:
    """One model of one service; prices in US dollars per million tokens.

    `api_key_env` names the environment variable that holds the key (None: send no key). `max_usd` is the most this
    object may spend: before each request, what was counted so far, what is under way and the most this request can
    cost with all its `retries` (a token for every byte of it, and `max_new_tokens`) must stay within. A service that
    counts tokens it was not sent, such as unlimited thinking, can pass it once. At most `concurrency` requests are
    under way at once; use one object from one thread at a time. `cache` is a folder (default:
    endpoint_cache under FTLAB_HOME); it holds prompts and answers in plain text, so treat it like your data.
    `max_tokens_field` and `options` are what services differ in: some want `max_completion_tokens`, or refuse a
    temperature (`options={}`). `service` takes the place of address, name and key: one made already, or one that
    speaks otherwise (`ftlab.hosted`) and has the same attributes.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        usd_per_mtok_in: float,
        usd_per_mtok_out: float,
        max_usd: float,
        api_key_env: str | None = None,
        cache: str | Path | None = None,
        concurrency: int = 4,
        retries: int = 3,
        timeout: float = 60,
        max_tokens_field: str = "max_tokens",
        options: dict | None = None,
        service: ChatService | None = None,
    ):
        self.service = service or ChatService(base_url, model, api_key_env, retries, timeout)
        self.model, self.url = self.service.model, self.service.url
        self.usd_per_mtok_in = number("usd_per_mtok_in", usd_per_mtok_in, 0)
        self.usd_per_mtok_out = number("usd_per_mtok_out", usd_per_mtok_out, 0)
        self.max_usd = number("max_usd", max_usd, 0)
        self.concurrency = number("concurrency", concurrency, 1, whole=True)
        self.max_tokens_field = max_tokens_field
        self.options = _checked_options({"temperature": 0} if options is None else options)
        self.cache = home() / "endpoint_cache" if cache is None else Path(cache)
        self.spent_usd = 0.0  # counted from the tokens that the service reported
        self._money = threading.Lock()

    def __repr__(self):
        return f"{self.model} at {self.url}: {self.spent_usd:.4f} of {self.max_usd:g} USD spent"

    def answer(
        self,
        chats: Sequence[Sequence[dict]],
        max_new_tokens: int = 96,
        confirm: bool = False,
        progress: bool = False,
    ) -> EndpointAnswers:
        """Answer each chat (messages that end with the user's turn), several at a time, from the cache where possible.

        Without `confirm=True` and with something to send it raises RecipeError, which says how much would be sent and
        what it can cost at most. An error ends the run; every answer that came before it is in the cache, so the next
        run goes on from there. ModelError: the service refused or failed. RecipeError: the settings, or the cap.
        """
        fields = {"model": self.model, self.max_tokens_field: number("max_new_tokens", max_new_tokens, 1, whole=True)}
        fields |= self.options
        bodies = [fields | {"messages": turns_to_send(chat, f"chat {i}")} for i, chat in enumerate(chats)]
        keys = [hashlib.sha256(json.dumps([self.url, body], sort_keys=True).encode()).hexdigest() for body in bodies]
        replies = {key: reply for key in dict.fromkeys(keys) if (reply := self._cached(key))}
        missing = {key: body for key, body in zip(keys, bodies, strict=True) if key not in replies}
        most = {key: self._usd(len(json.dumps(body)), max_new_tokens) for key, body in missing.items()}
        if missing and confirm is not True:
            raise RecipeError(
                f"{len(missing)} requests would be sent to {self.url} ({self.model}), for at most "
                f"{sum(most.values()):.4f} USD if none must be repeated, usually much less; {self.spent_usd:.4f} of "
                f"{self.max_usd:g} USD are spent. Your texts leave this machine. If you want that, pass confirm=True."
            )
        before, sent = self.spent_usd, 0
        if missing:
            fetched, sent = self._fetch(missing, most, progress)
            replies |= fetched
        ordered = [replies[key] for key in keys]
        return EndpointAnswers(
            texts=tuple(reply.text for reply in ordered),
            prompt_tokens=sum(reply.prompt_tokens or 0 for reply in ordered),
            new_tokens=sum(reply.new_tokens or 0 for reply in ordered),
            seconds=sum(reply.seconds for reply in ordered),
            cut_off=sum(reply.finish_reason == "length" for reply in ordered),
            usd=self.spent_usd - before,
            requests=sent,
            from_cache=len(ordered) - len(missing),
            empty=sum(not reply.text.strip() for reply in ordered),
            uncounted=sum(not _counted(reply) for reply in ordered),
        )

    def _fetch(self, missing: dict, most: dict, progress: bool) -> tuple[dict[str, Reply], int]:
        """The answers and how many requests they took, some at a time; after a failure no more are sent."""
        from tqdm import tqdm

        todo, replies, sent, bar = list(missing), {}, 0, {"disable": not progress, "leave": False, "unit": "chat"}
        with self.service.client() as client, ThreadPoolExecutor(self.concurrency) as pool, tqdm(todo, **bar) as bar:
            while todo:
                keys = self._affordable(todo[: self.concurrency], most)
                todo = todo[len(keys) :]
                outcomes = list(pool.map(lambda key: self._ask(client, key, missing[key], most[key]), keys))
                bar.update(len(keys))
                sent += sum(tries for _, tries in outcomes)
                replies |= {key: reply for key, (reply, _) in zip(keys, outcomes, strict=True)}
                for failed in (reply for reply, _ in outcomes if isinstance(reply, ModelError)):
                    raise ModelError(f"{failed}. {self._kept()}") from None
        return replies, sent

    def _affordable(self, keys: list[str], most: dict) -> list[str]:
        """The first keys that stay within the cap even if each costs its most in every try; RecipeError without any."""
        usd, found = self.spent_usd, []
        for key in keys:
            usd += most[key] * (self.service.retries + 1)
            if usd > self.max_usd:
                break
            found.append(key)
        if not found:
            raise RecipeError(
                f"max_usd={self.max_usd:g} could be passed: {self.spent_usd:.6f} USD are spent and the next request "
                f"may cost up to {usd - self.spent_usd:.6f}. It was not sent. {self._kept()} Raise max_usd to go on."
            )
        return found

    def _ask(self, client, key: str, body: dict, most: float) -> tuple[Reply | ModelError, int]:
        """One answer, paid for and kept, or why there is none; and how many times it was sent."""
        reply, tries = None, self.service.tries
        try:
            reply = self.service.ask(client, **body)
            self._keep(key, body, reply)
            return reply, tries.sent
        except ModelError as error:
            return error, tries.sent
        finally:
            with self._money:
                self.spent_usd += self._cost(tries.sent - tries.refused, reply, most)

    def _usd(self, tokens_in: int, tokens_out: int) -> float:
        return (tokens_in * self.usd_per_mtok_in + tokens_out * self.usd_per_mtok_out) / 1e6

    def _cost(self, tries: int, reply: Reply | None, most: float) -> float:
        """Of so many tries that were not refused: what the reply says of its own, the most for each of the others."""
        if reply is None or not _counted(reply):
            return most * tries
        return self._usd(reply.prompt_tokens, reply.new_tokens) + most * (tries - 1)

    def _kept(self) -> str:
        return f"The answers so far are kept in {self.cache}; the next run goes on from there."

    def _cached(self, key: str) -> Reply | None:
        path = self.cache / f"{key}.json"
        try:
            return Reply.model_validate(json.loads(path.read_text(encoding="utf-8"))["reply"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, LookupError) as error:
            raise DataError(f"{path}: no readable answer ({error}); delete this file to ask again") from error

    def _keep(self, key: str, body: dict, reply: Reply) -> None:
        """Under the hash of address and request: whatever the key or the prices, an equal request has one answer."""
        content = {"url": self.url, "request": body, "reply": reply.model_dump()}
        with whole_file(self.cache / f"{key}.json") as file:
            file.write(json.dumps(content, indent=1).encode())


def _counted(reply: Reply) -> bool:
    return reply.prompt_tokens is not None and reply.new_tokens is not None


def _checked_options(options) -> dict:
    """Further fields of the request, such as temperature, seed or response_format."""
    try:
        options = json.loads(json.dumps(dict(options), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise RecipeError(f"options={options!r}: must be a dictionary that JSON can hold ({error})") from error
    if fixed := [name for name in FIXED if name in options]:
        raise RecipeError(f"options: {', '.join(fixed)} cannot be set here; the cap and the cache rely on them")
    return options
