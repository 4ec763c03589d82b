"""Any chat service that speaks OpenAI's HTTP interface (`POST {base_url}/chat/completions`) as a system to evaluate.

The answers come back as `ftlab.evaluation.generation.generate` gives them, so the same scores and gate apply.
Nothing is sent without `confirm=True`, nothing beyond `max_usd`, and no request that is answered already is sent again.
"""

import hashlib
import json
import math
import os
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from ftlab.errors import DataError, ModelError, RecipeError
from ftlab.evaluation.generation import Generations

LOCAL = ("localhost", "127.0.0.1", "::1")
BACKOFF_S = 1.0  # doubles with every retry
MAX_WAIT_S = 120.0  # a service that asks for a longer wait is asked again by you, later
ROLES = ("system", "developer", "user", "assistant")
FIXED = ("model", "messages", "n", "stream", "max_tokens", "max_completion_tokens")  # not for options
SECRET_LENGTH = 8  # a shorter "key", such as the EMPTY of a local server, is none


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


@dataclass(frozen=True)
class Reply:
    """What the cache keeps of one answered request; counts are None where the service gave none."""

    text: str
    prompt_tokens: int | None
    new_tokens: int | None
    finish_reason: str | None
    seconds: float


class Endpoint:
    """One model of one service; prices in US dollars per million tokens.

    `api_key_env` names the environment variable that holds the key (None: send no key); the key itself is read when
    something is sent, and never shown or written. `max_usd` is the most this object may spend: before each request,
    what was counted so far, what is under way and the most this request can cost (a token for every byte of it, and
    `max_new_tokens`) must stay within. A service that counts tokens it was not sent, such as unlimited thinking, can
    pass it once. `cache` is a folder (default: endpoint_cache under FTLAB_HOME); it holds prompts and answers in plain
    text, so treat it like your data. `max_tokens_field` and `options` are what services differ in: some want
    `max_completion_tokens`, or refuse a temperature (`options={}`).
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
        retries: int = 5,
        timeout: float = 60,
        max_tokens_field: str = "max_tokens",
        options: dict | None = None,
    ):
        self.url = _checked_url(base_url, api_key_env)
        if not isinstance(model, str) or not model.strip():
            raise RecipeError(f"model={model!r}: give the name that the service knows the model by")
        self.model, self.api_key_env = model, api_key_env
        self.usd_per_mtok_in = _at_least("usd_per_mtok_in", usd_per_mtok_in, 0)
        self.usd_per_mtok_out = _at_least("usd_per_mtok_out", usd_per_mtok_out, 0)
        self.max_usd = _at_least("max_usd", max_usd, 0)
        self.concurrency = int(_at_least("concurrency", concurrency, 1))
        self.retries = int(_at_least("retries", retries, 0))
        self.timeout = _at_least("timeout", timeout, 0.001)
        self.max_tokens_field = max_tokens_field
        self.options = _checked_options({"temperature": 0} if options is None else options)
        self._cache = Path(cache) if cache is not None else None
        self.spent_usd = 0.0  # counted from the tokens that the service reported
        self._reserved_usd = 0.0  # the most that the requests under way can cost
        self._under_way = 0
        self._money = threading.Condition()

    def __repr__(self):
        return f"{self.model} at {self.url}: {self.spent_usd:.4f} of {self.max_usd:g} USD spent"

    @property
    def cache(self) -> Path:
        """The folder of the answers."""
        if self._cache is None:
            from ftlab import home

            return home() / "endpoint_cache"
        return self._cache

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
        from tqdm import tqdm

        max_new_tokens = int(_at_least("max_new_tokens", max_new_tokens, 1))
        bodies = [self._body(chat, number, max_new_tokens) for number, chat in enumerate(chats)]
        keys = [self._key(body) for body in bodies]
        replies = {key: reply for key in dict.fromkeys(keys) if (reply := self._cached(key))}
        missing = {key: body for key, body in zip(keys, bodies, strict=True) if key not in replies}
        spent, sent, new = self.spent_usd, _Counter(), len(missing)
        if missing:
            self._check_confirmed(confirm, missing, max_new_tokens)
            with self._client() as client, tqdm(total=new, disable=not progress, leave=False, unit="chat") as bar:
                replies |= self._fetch(client, missing, max_new_tokens, sent, bar)
        ordered = [replies[key] for key in keys]
        return EndpointAnswers(
            texts=tuple(reply.text for reply in ordered),
            prompt_tokens=sum(reply.prompt_tokens or 0 for reply in ordered),
            new_tokens=sum(reply.new_tokens or 0 for reply in ordered),
            seconds=sum(reply.seconds for reply in ordered),
            cut_off=sum(reply.finish_reason == "length" for reply in ordered),
            usd=self.spent_usd - spent,
            requests=sent.value,
            from_cache=len(ordered) - new,
            empty=sum(not reply.text.strip() for reply in ordered),
            uncounted=sum(reply.prompt_tokens is None or reply.new_tokens is None for reply in ordered),
        )

    # ---- what is asked, and where it is kept -------------------------------------------------------------------

    def _body(self, chat, number: int, max_new_tokens: int) -> dict:
        if not isinstance(chat, list | tuple) or not chat:
            raise DataError(f"chat {number}: must be a list of messages with at least a user turn")
        messages = [_checked_message(message, f"chat {number}: messages[{i}]") for i, message in enumerate(chat)]
        return {"model": self.model, "messages": messages, self.max_tokens_field: max_new_tokens, **self.options}

    def _key(self, body: dict) -> str:
        """The request's hash: the same address and body give the same file, whatever the key or the prices."""
        return hashlib.sha256(json.dumps([self.url, body], sort_keys=True).encode()).hexdigest()

    def _cached(self, key: str) -> Reply | None:
        path = self.cache / f"{key}.json"
        try:
            return _checked_reply(Reply(**json.loads(path.read_text(encoding="utf-8"))["reply"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(f"{path}: no readable answer ({error}); delete this file to ask again") from error

    def _keep(self, key: str, body: dict, reply: Reply) -> None:
        """Written whole or not at all."""
        path = self.cache / f"{key}.json"
        temporary = path.with_name(f".{key}.{os.getpid()}.tmp")
        try:
            self.cache.mkdir(parents=True, exist_ok=True)
            content = {"url": self.url, "request": body, "reply": asdict(reply)}
            temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
            os.replace(temporary, path)
        except OSError as error:
            raise DataError(f"{path} cannot be written: {error.strerror}; choose another cache folder") from error

    # ---- money -------------------------------------------------------------------------------------------------

    def _usd(self, tokens_in: int, tokens_out: int) -> float:
        return (tokens_in * self.usd_per_mtok_in + tokens_out * self.usd_per_mtok_out) / 1e6

    def _most_usd(self, body: dict, max_new_tokens: int) -> float:
        """No tokenizer makes more tokens than bytes; the JSON around the texts stands for the chat template."""
        return self._usd(len(json.dumps(body)), max_new_tokens)

    def _check_confirmed(self, confirm: bool, missing: dict, max_new_tokens: int) -> None:
        if confirm is not True:
            most = sum(self._most_usd(body, max_new_tokens) for body in missing.values())
            raise RecipeError(
                f"{len(missing)} requests would be sent to {self.url} ({self.model}), for at most {most:.4f} USD, "
                f"usually much less; {self.spent_usd:.4f} of {self.max_usd:g} USD are spent. "
                "Your texts leave this machine. If you want that, pass confirm=True."
            )

    def _reserve(self, usd: float, stop: threading.Event) -> bool:
        """Set the money aside, waiting for requests under way if only they stand against it; False when stopped."""
        with self._money:
            while self._reserved_usd and self.spent_usd + self._reserved_usd + usd > self.max_usd and not stop.is_set():
                self._money.wait()
            if stop.is_set():
                return False
            if self.spent_usd + usd > self.max_usd:
                raise RecipeError(
                    f"max_usd={self.max_usd:g} could be passed: {self.spent_usd:.6f} USD are spent and the next "
                    f"request may cost up to {usd:.6f}. It was not sent. {self._kept()} Raise max_usd to go on."
                )
            self._reserved_usd += usd
            self._under_way += 1
            return True

    def _settle(self, reserved: float, cost: float) -> None:
        with self._money:
            self._under_way -= 1
            self._reserved_usd = self._reserved_usd - reserved if self._under_way else 0.0  # no rounding is left over
            self.spent_usd += cost
            self._money.notify_all()

    def _kept(self) -> str:
        return f"The answers so far are kept in {self.cache}; the next run goes on from there."

    # ---- sending -----------------------------------------------------------------------------------------------

    def _client(self):
        import httpx

        headers = {"Authorization": f"Bearer {self._secret()}"} if self.api_key_env else {}
        headers["Content-Type"] = "application/json"
        return httpx.Client(headers=headers, timeout=self.timeout, trust_env=not self._local)  # no proxy to oneself

    @property
    def _local(self) -> bool:
        import httpx

        return httpx.URL(self.url).host in LOCAL

    def _secret(self) -> str:
        secret = os.environ.get(self.api_key_env, "").strip() if self.api_key_env else ""
        if self.api_key_env and not (secret and secret.isascii() and secret.isprintable()):
            raise RecipeError(
                f"the environment variable {self.api_key_env} holds no usable key: set it before you start Python "
                "(export, or the secrets of your notebook service), never in a cell"
            )
        return secret

    def _fetch(self, client, missing: dict, max_new_tokens: int, sent: "_Counter", bar) -> dict[str, Reply]:
        """Ask for all of them; the first error stops the others and is raised."""
        stop, replies = threading.Event(), {}
        with ThreadPoolExecutor(self.concurrency) as pool:
            jobs = {
                pool.submit(self._ask, client, key, body, max_new_tokens, stop, sent): key
                for key, body in missing.items()
            }
            try:
                for job in as_completed(jobs):
                    if reply := job.result():
                        replies[jobs[job]] = reply
                        bar.update()
            finally:
                stop.set()
                for job in jobs:
                    job.cancel()
        return replies

    def _ask(self, client, key: str, body: dict, max_new_tokens: int, stop, sent: "_Counter") -> Reply | None:
        """One request with its retries, or None when another has failed and ended the run."""
        try:
            for attempt in range(self.retries + 1):
                if not self._reserve(self._most_usd(body, max_new_tokens), stop):
                    return None
                sent.add()
                outcome = self._try(client, body, max_new_tokens)
                if outcome.reply:
                    self._keep(key, body, outcome.reply)
                    return outcome.reply
                if not outcome.again or attempt == self.retries:
                    break
                _wait(stop, outcome.wait_s(attempt))
            tries = f" (tried {attempt + 1} times)" if attempt else ""
            raise ModelError(f"{self.url}, {self.model}: {outcome.problem}{tries}. {self._kept()}")
        except BaseException:
            stop.set()
            raise

    def _try(self, client, body: dict, max_new_tokens: int) -> "_Outcome":
        """Send once and count what it cost; what is not known to be free counts in full."""
        most = self._most_usd(body, max_new_tokens)
        cost = most
        try:
            outcome = self._send(client, body)
            cost = outcome.usd(self, most)
        finally:
            self._settle(most, cost)
        return outcome

    def _send(self, client, body: dict) -> "_Outcome":
        import httpx

        start = time.perf_counter()
        try:
            response = client.post(self.url, content=json.dumps(body).encode())
        except httpx.TimeoutException:
            return _Outcome(f"no answer within timeout={self.timeout:g} s; raise it, or ask for fewer tokens", True)
        except httpx.ConnectError as error:
            problem = f"no connection ({self._clean(str(error))}); is the service running, is base_url right?"
            return _Outcome(problem, again=not self._local, free=True)
        except httpx.HTTPError as error:
            return _Outcome(f"the connection broke ({self._clean(str(error)) or type(error).__name__})", True)
        return self._read(response, time.perf_counter() - start)

    def _read(self, response, seconds: float) -> "_Outcome":
        """What a response means: a reply, a failure that may pass, or one that will not."""
        status, text = response.status_code, self._clean(response.text)
        said = f": {_message_of(text)}" if text.strip() else ""
        if status in (401, 403):
            key = f"the key in {self.api_key_env}" if self.api_key_env else "api_key_env (no key was sent)"
            return _Outcome(f"HTTP {status}, not allowed{said}; check {key} and its rights", free=True)
        if status == 429 and "insufficient_quota" in text:
            return _Outcome(f"HTTP 429, no credit left{said}; waiting does not help", free=True)
        if status in (408, 429) or status >= 500:
            wait = _retry_after(response.headers.get("retry-after"))
            if wait is not None and wait > MAX_WAIT_S:
                problem = f"HTTP {status}, the service asks to wait {wait:.0f} s{said}; run this again later"
                return _Outcome(problem, free=True)
            advice = "lower concurrency or wait" if status == 429 else "the service has a fault: try again later"
            return _Outcome(f"HTTP {status}{said}; {advice}", True, free=True, after_s=wait)
        if status != 200:
            problem = f"HTTP {status}{said}; check base_url (it often ends in /v1), model, options and max_tokens_field"
            return _Outcome(problem, free=True)
        try:
            reply = _reply_of(json.loads(text), seconds)
        except (ValueError, RecursionError):
            return _Outcome(f"the answer is not a chat completion in JSON{said}; check base_url (often ends in /v1)")
        return _Outcome("", reply=reply)

    def _clean(self, text: str) -> str:
        """The text without the key, in case the service repeats it."""
        secret = os.environ.get(self.api_key_env, "").strip() if self.api_key_env else ""
        return text.replace(secret, "***") if len(secret) >= SECRET_LENGTH else text


@dataclass(frozen=True)
class _Outcome:
    """One attempt: a reply, or a problem that may pass (`again`) or not."""

    problem: str
    again: bool = False
    free: bool = False  # refused or never received, so not billed
    after_s: float | None = None
    reply: Reply | None = None

    def usd(self, endpoint: Endpoint, most: float) -> float:
        """What this attempt cost; where that is unknown, the most it can have cost."""
        if self.free:
            return 0.0
        if not self.reply or self.reply.prompt_tokens is None or self.reply.new_tokens is None:
            return most
        return endpoint._usd(self.reply.prompt_tokens, self.reply.new_tokens)

    def wait_s(self, attempt: int) -> float:
        """What the service asked for, else 1, 2, 4, ... seconds, shortened at random so that requests spread out."""
        backoff = min(MAX_WAIT_S, BACKOFF_S * 2**attempt) * random.uniform(0.5, 1)
        return backoff if self.after_s is None else self.after_s


class _Counter:
    """Counts from several threads."""

    def __init__(self):
        self.value, self._lock = 0, threading.Lock()

    def add(self):
        with self._lock:
            self.value += 1


def _wait(stop: threading.Event, seconds: float) -> None:
    """Sleep, but wake when another request has failed."""
    stop.wait(seconds)


def _reply_of(answer, seconds: float) -> Reply:
    """The first choice of a chat completion; ValueError when it is none."""
    try:
        choice = answer["choices"][0]
        text = choice["message"].get("content")
        usage = answer.get("usage") or {}
        counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        reason = choice.get("finish_reason")
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError("no choices[0].message") from error
    if not isinstance(text, str | None):
        raise ValueError("choices[0].message.content is no text")
    counts = [count if isinstance(count, int) and count >= 0 else None for count in counts]
    return Reply(text or "", *counts, reason if isinstance(reason, str) else None, seconds)


def _message_of(text: str, show: int = 300) -> str:
    """What the service says of its error, shortened; {"error": {"message"}} is the usual form."""
    try:
        text = json.loads(text)["error"]["message"]
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    text = " ".join(str(text).split())
    return text if len(text) <= show else text[:show] + " ..."


def _retry_after(header: str | None) -> float | None:
    """Seconds to wait from a Retry-After header (a number or an HTTP date); None without a readable one."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            when = parsedate_to_datetime(header)
        except ValueError:
            return None
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        seconds = (when - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _checked_message(message, place: str) -> dict:
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        raise DataError(f"{place}.role: must be one of {', '.join(ROLES)}")
    if not isinstance(message.get("content"), str):
        raise DataError(f"{place}.content: must be a text; drop or answer this chat another way")
    return {"role": message["role"], "content": message["content"]}


def _checked_reply(reply: Reply) -> Reply:
    """TypeError when a cached reply has been changed into something else."""
    counts = (reply.prompt_tokens, reply.new_tokens)
    if not isinstance(reply.text, str) or not isinstance(reply.seconds, int | float):
        raise TypeError("text or seconds is of the wrong type")
    if not all(count is None or isinstance(count, int) for count in counts):
        raise TypeError("prompt_tokens or new_tokens is no whole number")
    return reply


def _checked_options(options) -> dict:
    """Further fields of the request, such as temperature, seed or response_format."""
    try:
        options = json.loads(json.dumps(dict(options), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise RecipeError(f"options={options!r}: must be a dictionary that JSON can hold ({error})") from error
    if fixed := [name for name in FIXED if name in options]:
        raise RecipeError(f"options: {', '.join(fixed)} cannot be set here; the cap and the cache rely on them")
    return options


def _checked_url(base_url: str, api_key_env: str | None) -> str:
    """The address that requests go to; a key is never sent unencrypted to another machine."""
    import httpx

    try:
        url = httpx.URL(base_url)
    except (httpx.InvalidURL, TypeError):
        url = httpx.URL("")
    if url.userinfo or url.query or url.fragment:
        raise RecipeError("base_url must hold no user, password, query or fragment: put the key in api_key_env")
    if not url.host or url.scheme not in ("http", "https"):
        raise RecipeError(f"base_url {base_url!r}: give http(s)://host/..., for example http://127.0.0.1:8000/v1")
    if api_key_env and url.scheme == "http" and url.host not in LOCAL:
        raise RecipeError(f"base_url {base_url!r}: a key would travel unencrypted; use https")
    return f"{base_url.rstrip('/').removesuffix('/chat/completions')}/chat/completions"


def _at_least(name: str, value: float, least: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < math.inf:
        raise RecipeError(f"{name}={value!r}: give a number of at least {least:g}")
    return value

