"""Keys: from the environment, Colab's user data or a prompt; and never in what is printed, written or raised."""

import os
import re
import sys

from ftlab.chat_service import from_colab
from ftlab.errors import ModelError, RecipeError

KEYS = ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_MANAGEMENT_TOKEN", "TOGETHER_API_KEY", "FIREWORKS_API_KEY",
        "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "GOOGLE_ACCESS_TOKEN")  # fmt: skip
PIECE = 8  # so many characters in a row of a key are a part of it; services repeat its beginning or end
SDKS = ("openai", "together", "fireworks", "google", "botocore", "boto3", "s3transfer", "httpx", "httpx2", "httpcore",
        "httpcore2", "requests", "urllib3")  # fmt: skip
REMEDIES = {
    401: "the key is missing, wrong or expired",
    403: "the account may not do this: ask for access, or look at its roles and regions",
    404: "it is not there (any more), or the address or the name of the model is wrong",
    429: "too many requests, or no credit left: wait, or look at the account",
}


class RefusedError(ModelError):
    """A service that refused or failed; `status` is its HTTP status, None when nothing came back."""

    def __init__(self, message: str, status: int | None = None, wait_seconds: float | None = None):
        super().__init__(message)
        self.status, self.wait_seconds = status, wait_seconds


def secret(name: str) -> str:
    """The key of this name; from a prompt it is kept for this process only. RecipeError says how to give one."""
    value = os.environ.get(name, "").strip() or from_colab(name) or _from_prompt(name)
    if not value:
        remedy = "export it, put it into Colab's secrets, or run this where you can type it"
        raise RecipeError(f"{name} is not set: {remedy}")
    if not re.fullmatch(r"[!-~]+", value):
        del value  # a traceback may show variables
        raise RecipeError(f"{name} holds a space or a character outside ASCII: copy it once more")
    os.environ[name] = value
    return value


def setting(name: str, what: str) -> str:
    """A value that is no secret, such as a project or a bucket, from the environment."""
    value = os.environ.get(name, "").strip()
    if not value:
        raise RecipeError(f"{name} is not set: it names {what}")
    return value


def clean(text: str) -> str:
    """The text without any piece of a key."""
    for key in filter(None, (os.environ.get(name, "").strip() for name in KEYS)):
        for start in range(max(1, len(key) - PIECE + 1) if len(key) >= PIECE else 0):
            text = text.replace(key[start : start + PIECE], "***")
    return re.sub(r"(?:\*\*\*)[\w*.-]*", "***", text)


def sdk(name: str, package: str):
    """A service's SDK; ModelError says how to install it."""
    import importlib

    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and not name.startswith(error.name.split(".")[0]):
            raise
        remedy = f"pip install {package}, or all of them: pip install -e '.[hosted]'"
        what = f"this service is spoken to through its own SDK, {package}, which is missing"
        raise ModelError(f"{what}: {remedy}") from None


class talking:
    """`with talking("openai: create"):` turns what an SDK raises into one sentence without a key."""

    def __init__(self, what: str):
        self.what = what

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if kind is None or isinstance(error, ModelError) or kind.__module__.split(".")[0] not in SDKS:
            return
        ours = translated(self.what, error)
        del error, traceback  # a traceback that shows variables would show the SDK's words, and a piece of the key
        raise ours from None


def translated(what: str, error: Exception) -> RefusedError:
    """An SDK's error as ours; the words of a 401 are left out, for they repeat the key."""
    status, headers, said = _parts(error)
    if status is None:
        cause = clean(str(error.__cause__ or error))[:200]
        return RefusedError(f"{what}: no answer came back ({type(error).__name__}: {cause}); try again")
    wait = headers.get("retry-after") or headers.get("Retry-After")
    return refused_for(what, status, said, float(wait) if wait and re.fullmatch(r"\d+(\.\d+)?", wait) else None)


def refused_for(what: str, status: int, said: str, wait: float | None = None) -> RefusedError:
    """The error for an HTTP status and the service's words, with a remedy."""
    remedy = REMEDIES.get(status, "the service has a fault: try again later" if status >= 500 else "see what it says")
    said = "" if status == 401 else f": {' '.join(clean(said).split())[:300]}"
    remedy += f"; it asks to wait {wait:g} s" if wait is not None else ""
    return RefusedError(f"{what}: HTTP {status}{said}; {remedy}", status, wait)


def _parts(error) -> tuple[int | None, dict, str]:
    """Status, headers and words of an error of any of the SDKs."""
    if type(error).__name__ in ("RefreshError", "NoCredentialsError", "DefaultCredentialsError"):  # of Google and AWS
        return 401, {}, ""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        meta = response.get("ResponseMetadata", {})
        return meta.get("HTTPStatusCode"), meta.get("HTTPHeaders", {}), response.get("Error", {}).get("Message", "")
    status = getattr(error, "status_code", None) or getattr(error, "code", None)
    status = status if isinstance(status, int) else getattr(response, "status_code", None)
    headers = dict(getattr(response, "headers", None) or {})
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, dict) else None
    return status, headers, str(message or getattr(error, "message", None) or error)


def can_ask() -> bool:
    """True where a person can type: a terminal, or a notebook that is not being built."""
    app = getattr(sys.modules.get("ipykernel.kernelapp"), "IPKernelApp", None)
    if app and app.initialized():
        return bool(getattr(app.instance().kernel, "_allow_stdin", False))
    return bool(sys.stdin and sys.stdin.isatty())


def _from_prompt(name: str) -> str:
    from getpass import getpass

    return getpass(f"{name} (not shown, kept until this process ends): ").strip() if can_ask() else ""
