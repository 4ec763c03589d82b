"""OpenAI, through the openai SDK. Azure, whose jobs are the same, uses most of it with another client.

Each service's module has the same functions: `connect` (the SDK's client), `address` (where requests go), `upload` (one
file, or find it), `find` (a job that carries our mark), `create`, `retrieve` (the job as the service sees it now),
`seen` (what an answer of these three says, as fields of `Job`), `cancel`, `chat` (the tuned model as a `ChatService`),
`delete` (what there is to delete: its name, and a call that does it), and where the service has more than that:
`events` (what it told so far, the oldest first), `curve` (step and losses), `fetch` (write files, give their paths),
`deploy`, `deployment` (waiting, ready or failed, and the service's own word), `find_deployment` (its id, by our mark)
and `undeploy`. It names its SETTINGS; where they are known, the RANGES of these; and where its files serve some MODELS
only, a pattern of their names, with OTHER_MODELS to say so.
"""

import base64
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ftlab.chat_service import ChatService
from ftlab.files import whole_file
from ftlab.hosted.job import Job
from ftlab.hosted.secrets import sdk, secret

PROVIDER, PACKAGE = "openai", "openai"
TARGETS = {"sft": "openai", "dpo": "openai_dpo"}
STATES = {
    "validating_files": "waiting", "queued": "waiting", "pending": "waiting", "running": "running",
    "succeeded": "succeeded", "failed": "failed", "cancelled": "cancelled",
}  # fmt: skip
SETTINGS = ("n_epochs", "batch_size", "learning_rate_multiplier", "beta")
RETRIES, SECONDS = 3, 120  # of each request but `create`, which is never repeated by itself


def address() -> str:
    return os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1").rstrip("/")


def connect():
    return client_at(address(), "OPENAI_API_KEY")


def client_at(url: str, key: str):
    """The SDK's client at an address, with the key of this name."""
    openai = sdk("openai", PACKAGE)
    return openai.OpenAI(api_key=secret(key), base_url=url, max_retries=RETRIES, timeout=SECONDS)


def upload(client, job: Job, part: str) -> dict:
    """A process that died may have uploaded it already."""
    name = f"{job.mark}.{part}.jsonl"
    lying = client.files.list(purpose="fine-tune")
    there = next((file for file in lying if file.filename == name and file.status != "error"), None)
    if there is None:
        there = client.files.create(file=(name, Path(job.files[part]).read_bytes()), purpose="fine-tune")
    return there.model_dump(mode="json")


def find(client, job: Job) -> dict | None:
    listed = client.fine_tuning.jobs.list(metadata={"ftlab": job.mark})
    found = (each for each in listed if (getattr(each, "metadata", None) or {}).get("ftlab") == job.mark)
    return next((each.model_dump(mode="json") for each in found), None)


def create(client, job: Job, **more) -> dict:
    """Never sent twice by itself, for a second one would be paid for."""
    kind = {"sft": "supervised", "dpo": "dpo"}[job.method]
    made = client.with_options(max_retries=0).fine_tuning.jobs.create(
        model=job.model,
        training_file=job.ids["train"],
        **({"validation_file": job.ids["validation"]} if "validation" in job.ids else {}),
        method={"type": kind, kind: {"hyperparameters": job.settings}},
        suffix=job.name[-12:],
        metadata={"ftlab": job.mark},
        **more,
    )
    return made.model_dump(mode="json")


def retrieve(client, job: Job) -> dict:
    return client.fine_tuning.jobs.retrieve(job.ids["job"]).model_dump(mode="json")


def seen(raw: dict) -> dict:
    error = raw.get("error") or {}
    return {
        "state": STATES.get(raw["status"], "running"),
        "status": raw["status"],
        "tuned_model": raw.get("fine_tuned_model") or "",
        "trained_tokens": raw.get("trained_tokens"),
        "error": f"{error.get('code')}: {error.get('message')}" if error.get("message") else "",
    }


def events(client, job: Job, raw: dict) -> list[str]:
    return [event.message for event in _told(client, job)]


def curve(client, job: Job) -> list[dict]:
    told = (event for event in _told(client, job) if event.type == "metrics")
    return [event.data for event in told if isinstance(event.data, dict)]


def cancel(client, job: Job) -> dict:
    return client.fine_tuning.jobs.cancel(job.ids["job"]).model_dump(mode="json")


def chat(job: Job) -> ChatService:
    return ChatService(address(), job.tuned_model, "OPENAI_API_KEY", RETRIES, SECONDS)


def fetch(client, job: Job, folder: Path) -> list[Path]:
    """The table of metrics; the weights stay with the service."""
    paths = []
    for number, file in enumerate(job.raw.get("status", {}).get("result_files") or []):
        content = client.files.content(file).read()
        paths.append(folder / f"metrics_{number}.csv")
        with whole_file(paths[-1]) as out:
            out.write(content if b"," in content.split(b"\n")[0] else base64.b64decode(content))
    return paths


def delete(client, job: Job) -> Iterator[tuple[str, Callable]]:
    if job.tuned_model:
        yield job.tuned_model, partial(client.models.delete, job.tuned_model)
    for file in [*job.uploaded, *(job.raw.get("status", {}).get("result_files") or [])]:
        yield file, partial(client.files.delete, file)


def _told(client, job) -> list:
    return list(client.fine_tuning.jobs.list_events(job.ids["job"], limit=100))[::-1]
