"""OpenAI, through the openai SDK. Azure, whose jobs are the same, uses most of it with another client.

Each service's module has the same functions: `connect` (a client), `address`, `upload`, `find` (a job that carries our
mark), `create`, `retrieve`, `seen` (what an answer says), `events`, `curve`, `cancel`, `chat`, `fetch`, `delete`, and
where a tuned model must be deployed before it answers, `deploy` and `undeploy`.
"""

import base64
import csv
import io
import os
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
    """Where requests go."""
    return os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1").rstrip("/")


def connect():
    """The SDK's client."""
    return client_at(address(), "OPENAI_API_KEY")


def client_at(url: str, key: str):
    """The SDK's client at an address, with the key of this name."""
    openai = sdk("openai", PACKAGE)
    return openai.OpenAI(api_key=secret(key), base_url=url, max_retries=RETRIES, timeout=SECONDS)


def upload(client, job: Job, part: str) -> dict:
    """Upload one file, or find it: a process that died may have uploaded it. The answer has the file's id."""
    name = f"{job.mark}.{part}.jsonl"
    lying = client.files.list(purpose="fine-tune")
    there = next((file for file in lying if file.filename == name and file.status != "error"), None)
    if there is None:
        there = client.files.create(file=(name, Path(job.files[part]).read_bytes()), purpose="fine-tune")
    return there.model_dump(mode="json")


def find(client, job: Job) -> dict | None:
    """The job that carries our mark, if the service has one."""
    for found in client.fine_tuning.jobs.list(metadata={"ftlab": job.mark}):
        if (getattr(found, "metadata", None) or {}).get("ftlab") == job.mark:
            return found.model_dump(mode="json")
    return None


def create(client, job: Job, **more) -> dict:
    """Create the job; never sent twice by itself, for a second one would be paid for."""
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
    """The job as the service sees it now."""
    return client.fine_tuning.jobs.retrieve(job.ids["job"]).model_dump(mode="json")


def seen(raw: dict) -> dict:
    """What an answer of `create`, `find` or `retrieve` says, as fields of `Job`."""
    error = raw.get("error") or {}
    return {
        "state": STATES.get(raw["status"], "running"),
        "status": raw["status"],
        "tuned_model": raw.get("fine_tuned_model") or "",
        "trained_tokens": raw.get("trained_tokens"),
        "error": f"{error.get('code')}: {error.get('message')}" if error.get("message") else "",
    }


def events(client, job: Job, raw: dict) -> list[str]:
    """What the service told so far, the oldest first."""
    told = list(client.fine_tuning.jobs.list_events(job.ids["job"], limit=100))
    return [event.message for event in reversed(told)]


def curve(client, job: Job) -> list[dict]:
    """Step and losses, as the service reports them while it trains."""
    told = list(client.fine_tuning.jobs.list_events(job.ids["job"], limit=100))
    return [event.data for event in reversed(told) if event.type == "metrics" and isinstance(event.data, dict)]


def cancel(client, job: Job) -> dict:
    """Stop the job; what was trained so far may be billed."""
    return client.fine_tuning.jobs.cancel(job.ids["job"]).model_dump(mode="json")


def chat(job: Job) -> ChatService:
    """The tuned model as any OpenAI-compatible service."""
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


def delete(client, job: Job) -> list[str]:
    """Delete the tuned model and the files that were uploaded."""
    gone = []
    if job.tuned_model:
        client.models.delete(job.tuned_model)
        gone.append(job.tuned_model)
    for file in job.uploaded:
        client.files.delete(file)
    return gone + job.uploaded


def read_metrics(path: Path) -> list[dict]:
    """The rows of a fetched table of metrics, empty cells left out."""
    rows = csv.DictReader(io.StringIO(Path(path).read_text(encoding="utf-8")))
    return [{key: float(value) for key, value in row.items() if value} for row in rows]
