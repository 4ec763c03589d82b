"""The prompt kit: fill-in prompts for any chat model, each a markdown file in data/prompt_kit.

Filling in sends nothing. `run_prompt` sends one finished prompt to an OpenAI-compatible server, and only when told to.
"""

import ipaddress
import json
import os
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import yaml

from ftlab.decide import Case
from ftlab.errors import DataError, ModelError
from ftlab.models import data_folder

NOT_KNOWN = "not known"  # what a slot says when its fact is missing; every prompt asks for such facts
SLOT = re.compile(r"\{\{(\w+)\}\}")
FRONT = re.compile(r"---\n(.*?)\n---\n(.*)", re.DOTALL)


@dataclass(frozen=True)
class Slot:
    """One place to fill in, with what belongs there and an example value."""

    name: str
    description: str
    example: str


@dataclass(frozen=True, repr=False)
class KitPrompt:
    """A prompt with {{places}}; `fill` puts the values in."""

    name: str
    title: str
    purpose: str
    slots: tuple[Slot, ...]
    text: str

    def fill(self, /, **slots) -> str:
        """The finished prompt; values go in literally. DataError for a missing, empty or unknown slot."""
        known = {slot.name: slot for slot in self.slots}
        for name in slots:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
                raise DataError(f"prompt {self.name}: {name}: unknown slot; {hint}")
        values = {name: "" if value is None else str(value) for name, value in slots.items()}
        empty = [slot for name, slot in known.items() if not values.get(name, "").strip()]
        if empty:
            lines = "".join(f"\n  {slot.name}: {slot.description}" for slot in empty)
            remedy = f"write it, or {NOT_KNOWN!r} and the model will ask"
            raise DataError(f"prompt {self.name}: {len(empty)} slot(s) without a value; {remedy}:{lines}")
        return SLOT.sub(lambda place: values[place[1]], self.text)

    def __repr__(self):
        lines = [f"{self.name}: {self.title}", f"  {self.purpose}"]
        return "\n".join([*lines, *(f"  {{{{{s.name}}}}}  {s.description}" for s in self.slots)])

    def _repr_html_(self):
        import html

        import pandas as pd

        table = pd.DataFrame(self.slots)[["name", "description", "example"]]
        return f"<b>{html.escape(self.title)}</b><p>{html.escape(self.purpose)}</p>{table.to_html(index=False)}"


@dataclass(frozen=True, repr=False)
class PromptRun:
    """What was sent, or would be, and what came back: `answer` is None when nothing was sent.

    `rough_tokens` counts four characters a token, about right for English; the other two are the server's count.
    """

    url: str
    model: str
    characters: int
    rough_tokens: int
    with_key: bool
    answer: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    @property
    def cut_off(self) -> bool:
        """The answer stopped at the server's length limit and its end is missing."""
        return self.finish_reason == "length"

    def __repr__(self):
        key = "with your key" if self.with_key else "without a key"
        what = f"{self.characters:,} characters (about {self.rough_tokens:,} tokens)"
        if self.answer is None:
            where = f"{self.url}, model {self.model}, {key}"
            return f"Nothing was sent. {what} would go to {where}. confirm=True sends them."
        counts = [f"{n:,} tokens {side}" for n, side in ((self.prompt_tokens, "in"), (self.completion_tokens, "out"))
                  if n is not None]  # fmt: skip
        head = f"{self.model} at {self.url}: {', '.join(counts) or what + ' sent'}"
        end = "\n[cut off at the server's length limit: ask for less at a time]" if self.cut_off else ""
        return f"{head}\n\n{self.answer}{end}"


def read_kit(folder: str | Path | None = None) -> dict[str, KitPrompt]:
    """The prompts by name, in the order of the course; DataError names the file that is not as it must be."""
    folder = Path(folder) if folder else data_folder() / "prompt_kit"
    paths = sorted(folder.glob("*.md"))
    if not paths:
        raise DataError(f"{folder} holds no prompt (.md): get data/prompt_kit back from the repository")
    kit = {}
    for path in paths:
        prompt = read_prompt(path)
        if prompt.name in kit:
            raise DataError(f"{path}: another file already has the name {prompt.name}; rename one of them")
        kit[prompt.name] = prompt
    return kit


def read_prompt(path: str | Path) -> KitPrompt:
    """One prompt file: YAML between two lines `---` with title, purpose and slots, then the text."""
    path = Path(path)
    try:
        parts = FRONT.fullmatch(path.read_text(encoding="utf-8"))
        front = yaml.safe_load(parts[1]) if parts else None
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist: check the path (now in {Path.cwd()})") from error
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path}: not readable as UTF-8 with YAML at its top: {error}") from error
    if not isinstance(front, dict):
        raise DataError(f"{path}: must begin with a line ---, then title, purpose and slots as YAML, then a line ---")
    for field in ("title", "purpose"):
        if not isinstance(front.get(field), str) or not front[field].strip():
            raise DataError(f"{path}: {field}: is missing; write one line of text")
    text, entries = parts[2].strip() + "\n", front.get("slots")
    if not isinstance(entries, dict) or not entries:
        raise DataError(f"{path}: slots: is missing; name each {{{{place}}}} with a description and an example")
    slots = tuple(_slot(path, name, entry) for name, entry in entries.items())
    for name in sorted(set(entries) ^ set(SLOT.findall(text))):
        where = "is not in the text" if name in entries else "is in the text and not under slots"
        raise DataError(f"{path}: slots.{name}: {where}; add it or take it out")
    return KitPrompt(path.stem.lstrip("0123456789_"), front["title"], front["purpose"].strip(), slots, text)


def _slot(path, name, entry) -> Slot:
    entry = entry if isinstance(entry, dict) else {}
    for field in ("description", "example"):
        if not isinstance(entry.get(field), str) or not entry[field].strip():
            raise DataError(f"{path}: slots.{name}.{field}: is missing; write a text, in quotes if it is a number")
    return Slot(str(name), entry["description"], entry["example"])


def slots_from_case(case: Case, prompt: KitPrompt | None = None) -> dict[str, str]:
    """What a case knows, in words, by slot (only those of `prompt` when given); the others are left out."""
    kept = {None: None, True: "kept up by somebody", False: "nobody keeps it up"}[case.maintainer]
    private = {None: None, True: "the data must stay in the house", False: "the data may leave the house"}
    reached = _say(_percent(case.prompt_accuracy), "the best prompt reaches {:.4g} %", "what the best prompt reaches")
    found = {
        "task": [case.task],
        "wants": [", ".join(case.wants)],
        "data": [
            _say(case.examples, "{:,} labelled examples", "the number of examples"),
            _say(case.example_quality, "their quality is {}", "their quality"),
        ],
        "changes": [
            _say(case.facts_change, "the facts change: {}", "how often the facts change"),
            _say(case.task_changes, "the task changes: {}", "how often the task changes"),
        ],
        "volume": [
            _say(case.calls_per_day, "{:,.9g} calls a day", "calls a day"),
            _say(case.latency_ms, "an answer within {:,.9g} ms", "how long an answer may take"),
        ],
        "accuracy": [
            reached,
            _say(_percent(case.target_accuracy), "{:.4g} % would be good enough", "what would be good enough"),
        ],
        "results": [reached],
        "constraints": [
            private[case.private_data] or _unknown("whether the data may leave the house"),
            _say(case.budget_usd, "{:,.9g} USD for the first three months", "the budget"),
            kept or _unknown("who keeps it up"),
        ],
    }
    names = {slot.name for slot in prompt.slots} if prompt else set(found)
    return {
        name: "; ".join(parts)
        for name, parts in found.items()
        if name in names and not all(part.endswith(NOT_KNOWN) for part in parts)
    }


def _say(value, words, what):
    return _unknown(what) if value is None else words.format(value)


def _percent(fraction):
    return None if fraction is None else 100 * fraction


def _unknown(what):
    return f"{what}: {NOT_KNOWN}"


def run_prompt(
    text: str,
    base_url: str,
    model: str,
    api_key_env: str | None = None,
    confirm: bool = False,
    max_tokens: int | None = None,
    timeout: float = 120,
) -> PromptRun:
    """Send one prompt to an OpenAI-compatible server; without `confirm=True`, only say what would be sent where.

    `base_url` is what an OpenAI client takes (http://localhost:8000/v1); `api_key_env` names the environment variable
    that holds the key (None: no key is sent); `max_tokens` limits the answer (None: the server's own limit), `timeout`
    the wait for it in seconds. DataError for what cannot be sent, ModelError for what the server does; neither shows
    the key.
    """
    import httpx

    url = _endpoint(base_url)
    _check_sendable(text, model, max_tokens, timeout)
    key = _key(api_key_env, url)
    run = PromptRun(str(url), model, len(text), -(-len(text) // 4), bool(key))
    if confirm is not True:
        return run
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    body = {"model": model, "messages": [{"role": "user", "content": text}], "stream": False}
    body |= {"max_tokens": max_tokens} if max_tokens else {}
    try:
        with httpx.Client(timeout=timeout, trust_env=not _is_here(url.host)) as client:  # no proxy to this machine
            response = client.post(url, json=body, headers=headers)
    except httpx.ConnectTimeout as error:
        raise ModelError(f"{url}: no connection within {timeout:g} s; check address, port and network") from error
    except httpx.TimeoutException as error:
        raise ModelError(f"{url}: no answer within {timeout:g} s; give a longer timeout= or a smaller model") from error
    except httpx.ConnectError as error:
        raise ModelError(f"{url}: no server answers ({error}); start it, or check address and port") from error
    except httpx.HTTPError as error:
        raise ModelError(f"{url}: the connection broke ({error}); try again, then look at the server's log") from error
    _check_status(response, url, model, key)
    answer, finish_reason, usage = _read_answer(response, url)
    return PromptRun(run.url, model, run.characters, run.rough_tokens, run.with_key, answer, finish_reason,
                     usage.get("prompt_tokens"), usage.get("completion_tokens"))  # fmt: skip


def _endpoint(base_url):
    """The address of chat completions under `base_url`, as an httpx.URL."""
    import httpx

    try:
        url = httpx.URL(str(base_url).strip())
    except httpx.InvalidURL as error:
        raise DataError(f"base_url: {base_url!r} is no address: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise DataError(f"base_url: {str(url)!r} is no server's address; write http://localhost:8000/v1, for example")
    if url.userinfo:
        raise DataError("base_url: holds a user name or password; leave them out and name the key's variable in "
                        "api_key_env=")  # fmt: skip
    path = url.path.rstrip("/")
    if not path.endswith("/chat/completions"):
        path = (path or "/v1") + "/chat/completions"
    return url.copy_with(path=path)


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_sendable(text, model, max_tokens, timeout):
    if not isinstance(text, str) or not text.strip():
        raise DataError("text: is empty; fill a prompt of the kit first: read_kit()['decide'].fill(...)")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        place = f"text: character {error.start + 1}"
        raise DataError(f"{place} is half a surrogate pair; write the whole character") from error
    if not isinstance(model, str) or not model.strip():
        raise DataError("model: is empty; write the name under which the server knows the model")
    if max_tokens is not None and (isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1):
        raise DataError(f"max_tokens: must be a whole number above 0, or None, not {max_tokens!r}")
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < float("inf"):
        raise DataError(f"timeout: must be a number of seconds above 0, not {timeout!r}")


def _key(api_key_env, url) -> str | None:
    """The key in the variable `api_key_env`; the name is never repeated, for it may be a key given by mistake."""
    if api_key_env is None:
        return None
    if not isinstance(api_key_env, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", api_key_env):
        raise DataError("api_key_env: is no name of an environment variable; never write the key itself in a cell")
    key = os.environ.get(api_key_env, "").strip()
    if not re.fullmatch(r"[!-~]+", key):
        why = "is not set or empty" if not key else "holds a space or a character outside ASCII"
        raise DataError(f"api_key_env: the environment variable of this name {why}; set it before you start Python")
    if url.scheme == "http" and not _is_here(url.host):
        raise DataError(f"base_url: {str(url)!r}: the key would travel unencrypted; use https")
    return key


def _check_status(response, url, model, key):
    status = response.status_code
    if 200 <= status < 300:
        return
    said = _said(response)
    said = f" The server says: {said.replace(key, '***') if key else said}" if said else ""
    remedy = {
        401: "the key is missing or wrong: name its variable as api_key_env=",
        403: "this key may not use this model: ask for access, or name another model",
        404: f"no such model or address: is the server's name for the model {model!r}, and does base_url end in /v1?",
        413: "the prompt is too long for this server: fill in less",
        429: "too many requests, or the account has no credit: wait, or look at the account",
    }.get(status)
    if remedy is None and 300 <= status < 400:
        remedy = f"the server points to {response.headers.get('location', 'another address')}: give that as base_url"
    remedy = remedy or ("the server failed: look at its log" if status >= 500 else "the server refuses the request")
    raise ModelError(f"{url}: status {status}: {remedy}.{said}")


def _said(response) -> str:
    """The server's own words about an error, in one short line."""
    try:
        content = response.json()
        for key in ("error", "message", "detail"):
            content = content[key] if isinstance(content, dict) and key in content else content
        text = content if isinstance(content, str) else json.dumps(content)
    except (ValueError, RecursionError):
        text = response.text
    return " ".join(text.split())[:300]


def _read_answer(response, url) -> tuple[str, str | None, dict]:
    """(text, finish_reason, usage) of a chat completion; ModelError says what came instead."""
    try:
        content = response.json()
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{url}: the answer is not JSON but {response.text[:80]!r}; is this an OpenAI-compatible "
                         "server, and does base_url end in /v1?") from error  # fmt: skip
    try:
        choice = content["choices"][0]
        message = choice["message"]
        text, refusal = message.get("content"), message.get("refusal")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ModelError(f"{url}: no choices[0].message in the JSON; is the server OpenAI-compatible?") from error
    if isinstance(text, list):  # some servers send the text in parts
        text = "".join(part["text"] for part in text if isinstance(part, dict) and isinstance(part.get("text"), str))
    if refusal and not text:
        raise ModelError(f"{url}: the model refuses: {str(refusal)[:300]}")
    if not isinstance(text, str) or not text.strip():
        why = choice.get("finish_reason")
        raise ModelError(f"{url}: the model wrote no text (finish_reason {why!r}); allow longer answers, or try again")
    usage = content.get("usage") if isinstance(content.get("usage"), dict) else {}
    finish_reason = choice.get("finish_reason")
    return text, finish_reason if isinstance(finish_reason, str) else None, usage
