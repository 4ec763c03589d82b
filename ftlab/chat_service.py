"""The one door to chat services that speak OpenAI's HTTP interface, hosted or local: a thin layer on the `openai` SDK.

The SDK sends and repeats; this says what may be sent where, hides the key, and turns what fails into one sentence.
"""

import ipaddress
import json
import os
import re
import threading
from math import inf
from urllib.parse import urlsplit

from pydantic import BaseModel

from ftlab.errors import DataError, ModelError, RecipeError

ROLES = ("system", "developer", "user", "assistant")
SECRET_LENGTH = 8  # a shorter "key", such as the EMPTY of a local server, is none
REMEDIES = {
    401: "the key is missing or wrong: api_key_env= names its variable",
    403: "the key may not use this model: ask for access, or name another model",
    404: "check the name of the model, and base_url (it often ends in /v1)",
    413: "the prompt is too long for this service: shorten it",
    429: "too many requests, or no credit left: lower concurrency, wait, or look at the account",
}


def from_colab(name: str) -> str:
    """The secret of this name in Colab's user data; empty elsewhere, and where there is none or it is not granted."""
    try:
        from google.colab import userdata
    except ImportError:
        return ""
    try:
        return (userdata.get(name) or "").strip()
    except Exception:  # Colab's own: not granted, or not there
        return ""


class Reply(BaseModel, frozen=True, strict=True, extra="ignore"):
    """One answer; counts are None where the service gave none, `seconds` are those of the try that was answered.

    `tokens` and `logprobs` are there where they were asked for (`logprobs=True`) and the service gives them; `thought`
    is what a server took out of the answer as the model's thinking.
    """

    text: str
    prompt_tokens: int | None
    new_tokens: int | None
    finish_reason: str | None
    seconds: float
    refusal: str | None = None
    thought: str | None = None
    tokens: list[str] | None = None
    logprobs: list[float] | None = None


class ChatService:
    """One model of one service; `retries` are the SDK's: after timeouts, broken connections, status 408, 409, 429, 5xx.

    `api_key_env` names the environment variable, or Colab's secret, that holds the key (None: no key is sent); it is
    read when something is sent, and never shown. RecipeError: an address or a setting that cannot be.
    """

    def __init__(self, base_url: str, model: str, api_key_env: str | None, retries: int, timeout: float):
        self.base_url, self.here = _address(base_url)
        self.url = f"{self.base_url}/chat/completions"
        if not isinstance(model, str) or not model.strip():
            raise RecipeError(f"model: {model!r} is no name; write the name under which the service knows the model")
        self.model, self.api_key_env = model, api_key_env
        if api_key_env is not None and self.base_url.startswith("http:") and not self.here:
            raise RecipeError(f"base_url: {self.base_url}: the key would travel unencrypted; use https")
        self.retries, self.timeout = number("retries", retries, 0, whole=True), number("timeout", timeout, 0.001)
        self.tries = threading.local()  # of this thread's last question: `sent`, and of these `refused`

    def key(self) -> str:
        """The key, empty without one; messages never repeat the variable's name, for it may be a key by mistake."""
        if self.api_key_env is None:
            return ""
        if not isinstance(self.api_key_env, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.api_key_env):
            raise RecipeError("api_key_env: is no name of an environment variable; never write a key in a cell")
        key = os.environ.get(self.api_key_env, "").strip() or from_colab(self.api_key_env)
        if not re.fullmatch(r"[!-~]+", key):
            why = "holds a space or a character outside ASCII" if key else "is not set or empty"
            remedy = "set it before you start Python, or add it to Colab's user data"
            raise RecipeError(f"api_key_env: the variable of this name {why}; {remedy}")
        return key

    def client(self):
        """The SDK's client. Redirects are not followed with the key, and no proxy is asked for this machine."""
        import openai

        key = self.key()
        hooks = {"request": [self._count_sent], "response": [self._count_refused]}
        http = openai.DefaultHttpxClient(
            timeout=self.timeout, follow_redirects=False, trust_env=not self.here, event_hooks=hooks
        )
        return openai.OpenAI(
            base_url=self.base_url,
            api_key=key or "none",  # else the SDK takes OPENAI_API_KEY
            max_retries=self.retries,
            timeout=self.timeout,
            http_client=http,
        )

    def _count_sent(self, request) -> None:
        self.tries.sent += 1

    def _count_refused(self, response) -> None:
        self.tries.refused += not response.is_success

    def ask(self, client, model: str, messages: list[dict], **fields) -> Reply:
        """Send one chat with further fields of the request; ModelError says what failed, and what to do."""
        import openai

        self.tries.sent = self.tries.refused = 0
        try:
            raw = client.chat.completions.with_raw_response.create(
                model=model,
                messages=messages,
                extra_body=fields,
                extra_headers=None if self.api_key_env else {"Authorization": openai.Omit()},
            )
        except openai.OpenAIError as error:
            tried = f" (tried {self.tries.sent} times)" if self.tries.sent > 1 else ""
            # not chained: the SDK's own message may repeat the key
            raise ModelError(f"{self.url}, {self.model}: {self._problem(error)}{tried}") from None
        text = self._clean(raw.text)
        try:
            return _reply(json.loads(text), raw.elapsed.total_seconds())
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            came = f"no chat completion came back but {_said(text) or 'nothing'!r}"
            remedy = "is this an OpenAI-compatible service, and does base_url end in /v1?"
            raise ModelError(f"{self.url}, {self.model}: {came}; {remedy}") from None

    def _problem(self, error) -> str:
        """What an error of the SDK means, and what to do."""
        import openai

        cause = self._clean(str(error.__cause__ or error))
        if type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout"):  # of the SDK's HTTP library
            self.tries.sent = self.tries.refused = 0  # nothing reached the service
            return f"no server answers ({cause}); start it, or check base_url and the network"
        if isinstance(error, openai.APITimeoutError):
            return f"no answer within timeout={self.timeout:g} s; raise it, or ask for fewer tokens"
        if not isinstance(error, openai.APIStatusError):
            return f"the connection broke ({cause}); try again, then look at the server's log"
        status, headers = error.status_code, error.response.headers
        remedy = REMEDIES.get(status, "check base_url, model and options")
        if status >= 500:
            remedy = "the service has a fault: look at its log, or try again later"
        elif 300 <= status < 400:
            remedy = f"it points to {headers.get('location', 'another address')}: give that as base_url"
        if "retry-after" in headers:
            remedy += f"; it asks to wait {headers['retry-after']} s"
        said = _said(self._clean(error.response.text))
        return f"HTTP {status}{': ' * bool(said)}{said}; {remedy}"

    def _clean(self, text: str) -> str:
        """The text without the key, in case the service repeats it."""
        key = os.environ.get(self.api_key_env or "", "").strip()
        return text.replace(key, "***") if len(key) >= SECRET_LENGTH else text


def turns_to_send(chat, place: str) -> list[dict]:
    """The messages with role and content only; DataError where one cannot be sent."""
    if not isinstance(chat, list | tuple) or not chat:
        raise DataError(f"{place}: must be a list of messages with at least a user turn")
    for i, turn in enumerate(chat):
        at = f"{place}: messages[{i}]"
        if not isinstance(turn, dict) or turn.get("role") not in ROLES:
            raise DataError(f"{at}.role: must be one of {', '.join(ROLES)}")
        if not isinstance(turn.get("content"), str):
            raise DataError(f"{at}.content: must be a text; drop or answer this chat another way")
        try:
            turn["content"].encode("utf-8")
        except UnicodeEncodeError as error:
            raise DataError(
                f"{at}.content: character {error.start + 1} is half a surrogate pair; write the whole character"
            ) from error
    return [{"role": turn["role"], "content": turn["content"]} for turn in chat]


def number(name: str, value, least: float, whole: bool = False) -> float:
    """A finite number of at least `least`; RecipeError otherwise."""
    kinds = int if whole else int | float
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value < inf:
        raise RecipeError(f"{name}={value!r}: give a {'whole ' * whole}number of at least {least:g}")
    return value


def _address(base_url) -> tuple[str, bool]:
    """The address that an OpenAI client takes, and whether it is this machine."""
    text = str(base_url).strip()
    if any(sign in text for sign in "@?#"):  # not repeated: it may hold a key
        raise RecipeError("base_url: holds a password, query or fragment; name the key's variable in api_key_env=")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise RecipeError(f"base_url: {text!r} is no server's address; write http://localhost:8000/v1, for example")
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    try:
        here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = False
    return f"{parts.scheme}://{parts.netloc}{path or '/v1'}", here


def _reply(answer: dict, seconds: float) -> Reply:
    """The first choice of a chat completion; some services send its text in parts."""
    choice = answer["choices"][0]
    content, refusal = choice["message"].get("content"), choice["message"].get("refusal")
    if isinstance(content, list):
        content = "".join(part["text"] for part in content if isinstance(part.get("text"), str))
    usage = answer.get("usage") if isinstance(answer.get("usage"), dict) else {}
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    counts = [count if isinstance(count, int) and count >= 0 else None for count in counts]
    reason = choice.get("finish_reason")
    thought = choice["message"].get("reasoning_content") or choice["message"].get("reasoning")
    scored = (choice.get("logprobs") or {}).get("content") or []
    return Reply(
        text="" if content is None else content,
        prompt_tokens=counts[0],
        new_tokens=counts[1],
        finish_reason=reason if isinstance(reason, str) else None,
        seconds=seconds,
        refusal=refusal if isinstance(refusal, str) else None,
        thought=thought if isinstance(thought, str) else None,
        tokens=[str(each["token"]) for each in scored] or None,
        logprobs=[float(each["logprob"]) for each in scored] or None,
    )


def _said(text: str) -> str:
    """The service's own words about an error, in one short line; {"error": {"message"}} is the usual form."""
    try:
        content = json.loads(text)
        for key in ("error", "message", "detail"):
            content = content[key] if isinstance(content, dict) and key in content else content
        text = content if isinstance(content, str) else json.dumps(content) if content else ""
    except (ValueError, RecursionError):
        pass
    return " ".join(text.split())[:300]
