"""A stand-in for the six services on this machine: their real paths, jobs that advance, failures on demand.

It trains nothing. What it calls a tuned model is whatever `answer` is: in the notebook `smol` as it comes, behind
`transformers serve`. `python -m ftlab.hosted.stand_in` starts one for a shell.
"""

import json
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.parser import BytesParser
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from ftlab.hosted.job import kept_jobs
from ftlab.hosted.secrets import KEYS
from ftlab.hosted.stand_in_clouds import ROUTES as CLOUDS
from ftlab.hosted.stand_in_others import ROUTES as OTHERS
from ftlab.hosted.stand_in_routes import ROUTES as OPENAI
from ftlab.hosted.stand_in_routes import Refused

KEY = "sk-0123-4567-89ab-cdef"
STAGES = ("waiting", "waiting", "running", "running", "succeeded")  # one further at each look
AWS_ERRORS = {400: "ValidationException", 401: "UnrecognizedClientException", 404: "ResourceNotFoundException",
              429: "ThrottlingException"}  # fmt: skip
ANSWER = {"text": "I am a stand-in.", "prompt_tokens": 10, "new_tokens": 5, "finish_reason": "stop"}


@dataclass
class Request:
    """One request as a route sees it."""

    query: dict
    headers: object
    body: bytes

    @property
    def json(self) -> dict:
        """The body as JSON."""
        return json.loads(self.body or b"{}")

    def form(self) -> dict[str, tuple[str, bytes]]:
        """The parts of a multipart body: name to (file name, content)."""
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        parts = BytesParser().parsebytes(head + self.body).get_payload()
        return {part.get_param("name", header="content-disposition"):
                (part.get_filename() or "", part.get_payload(decode=True)) for part in parts}  # fmt: skip


@dataclass
class StandIn:
    """The server and what it holds; `answer` maps (messages, most new tokens) to what `ANSWER` shows.

    `fail("create", "429")` makes the next request whose name fits fail: a status, `drop` (the connection closes before
    anything happens) or `lost` (it happens, and the answer is lost). `curve` are the metrics that jobs report.
    """

    answer: Callable[[list[dict], int], dict] = lambda messages, most: ANSWER
    key: str = field(default=KEY, repr=False)
    curve: list = field(default_factory=list)
    files: dict = field(default_factory=dict)  # id to {"name", "content"}
    jobs: dict = field(default_factory=dict)  # id to what `start` keeps
    deployments: dict = field(default_factory=dict)
    deployment_looks: dict = field(default_factory=dict)  # at each, since it was made
    endpoints: dict = field(default_factory=dict)  # Vertex's, once looked at: 3 with its model, 0 without
    deleted: list = field(default_factory=list)
    requests: list = field(default_factory=list)  # names of the routes that were asked; no header, so no key
    invalid: str = ""  # the error with which new jobs fail
    undeployable: bool = False  # new deployments fail
    retry_after: str = "0"  # seconds, with a 429
    before: Callable = lambda name: None  # called with each request's name; a true answer drops it
    after: Callable = lambda name: None
    _failures: list = field(default_factory=list)

    def __post_init__(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def environment(self) -> dict[str, str]:
        """The variables that lead each SDK here; the keys are the stand-in's own."""
        names = ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZURE_OPENAI_RESOURCE", "TOGETHER_PROJECT_ID",
                 "FIREWORKS_ACCOUNT_ID", "GOOGLE_CLOUD_PROJECT", "FTLAB_GCS_BUCKET", "FTLAB_S3_BUCKET")  # fmt: skip
        here = ("AZURE_OPENAI_ENDPOINT", "AZURE_MANAGEMENT_URL", "FIREWORKS_BASE_URL", "GOOGLE_VERTEX_BASE_URL",
                "STORAGE_EMULATOR_HOST", "AWS_ENDPOINT_URL")  # fmt: skip
        keys = (name for name in KEYS if name != "AWS_SESSION_TOKEN")
        return dict.fromkeys(keys, self.key) | dict.fromkeys(names, "stand-in") | dict.fromkeys(here, self.url) | {
            "OPENAI_BASE_URL": f"{self.url}/v1",
            "TOGETHER_BASE_URL": f"{self.url}/together",  # it has /v1/files as OpenAI has, with another meaning
            "GOOGLE_CLOUD_LOCATION": "us-central1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "FTLAB_BEDROCK_ROLE": "arn:aws:iam::123456789012:role/stand-in",
        }  # fmt: skip

    def use(self) -> "StandIn":
        """Lead every SDK of this process here, and forget jobs of an earlier stand-in at the same address."""
        os.environ.update(self.environment())
        for job in kept_jobs():
            if job.address.startswith(self.url):
                job.path.unlink()
        return self

    def fail(self, name: str, kind: str, times: int = 1) -> None:
        """Let requests of this name fail the next so many times."""
        self._failures += [(name, kind)] * times

    def failure(self, name: str) -> str | None:
        """The failure that this request is to have, if any."""
        found = next((pair for pair in self._failures if pair[0] == name), None)
        if found:
            self._failures.remove(found)
        return found and found[1]

    def keep(self, name: str, content: bytes, id: str = "") -> str:
        """Keep a file; its id."""
        id = id or f"file-{len(self.files) + len(self.deleted) + 1:04d}"
        self.files[id] = {"name": name, "content": content}
        return id

    def start(self, view: Callable, id: str, body: dict, mark: str) -> dict:
        """A new job, as `view(stand_in, job)` shows it in the form of its service."""
        self.jobs[id] = {"id": id, "view": view, "body": body, "mark": mark, "looks": 0, "error": self.invalid,
                         "cancelled": False}  # fmt: skip
        return view(self, self.jobs[id])

    def stage(self, job: dict) -> str:
        """Where a job is; each look has moved it on."""
        if job["cancelled"]:
            return "cancelled"
        at = STAGES[min(job["looks"], len(STAGES) - 1)]
        return "failed" if job["error"] and at != "waiting" else at


def refusal(status: int, message: str, retry_after: str = "0") -> tuple[int, dict, dict]:
    """An error in a form that every service's SDK reads."""
    headers = {"x-amzn-ErrorType": AWS_ERRORS.get(status, "InternalServerException")}
    headers |= {"Retry-After": retry_after} if status == 429 else {}
    error = {"message": message, "code": status, "status": "STAND_IN"}
    return status, headers, {"message": message, "error": error}


def _handler(stand_in: StandIn):
    routes = [*OPENAI, *OTHERS, *CLOUDS]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self):
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path, query = unquote(parts.path), {key: values[0] for key, values in parse_qs(parts.query).items()}
            request = Request(query, self.headers, body)
            for name, method, pattern, function in routes:
                if method == self.command and (match := re.fullmatch(pattern, path)):
                    return self.reply(name, partial(function, stand_in, request, *match.groups()))
            self.send(*refusal(404, f"the stand-in has no {self.command} {path}"))

        def reply(self, name, call):
            if stand_in.before(name):
                return self.hang_up()
            stand_in.requests.append(name)
            failure = stand_in.failure(name)
            if failure == "drop":
                return self.hang_up()
            given = self.headers.get("Authorization", "") + self.headers.get("x-goog-api-key", "")
            if failure == "401" or stand_in.key not in given and not {"put", "signed"} & set(self.path.split("/")):
                shown = given.removeprefix("Bearer ")
                return self.send(*refusal(401, f"Incorrect API key provided: {shown[:10]}****{shown[-4:]}."))
            if failure and failure.isdecimal():
                return self.send(*refusal(int(failure), f"on demand, {given}", stand_in.retry_after))
            try:
                answer = call()
            except Refused as error:
                answer = refusal(*error.args)
            stand_in.after(name)
            if failure == "lost":
                return self.hang_up()
            self.send(*(answer if isinstance(answer, tuple) else (200, {}, answer)))

        def hang_up(self):
            self.close_connection = True

        def send(self, status, headers, content):
            content = content if isinstance(content, bytes) else json.dumps(content).encode()
            try:
                self.send_response(status)
                defaults = {"Content-Type": "application/json", "Content-Length": str(len(content))}
                for key, value in (defaults | headers).items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                self.close_connection = True  # the client has given up

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any

        def log_message(self, *args):
            pass

    return Handler


def serve() -> None:
    """Start one, print the variables that lead a shell's commands to it, and serve until it is stopped."""
    with StandIn() as stand_in:
        print("\n".join(f"export {name}={value}" for name, value in stand_in.environment().items()), flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    serve()
