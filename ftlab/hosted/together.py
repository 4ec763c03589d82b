"""Together AI, through its SDK. A tuned model answers from a dedicated endpoint, which is billed by the hour."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ftlab.chat_service import ChatService
from ftlab.files import whole_file
from ftlab.hosted.job import Job
from ftlab.hosted.openai import RETRIES, SECONDS
from ftlab.hosted.secrets import sdk, secret, setting

PROVIDER, PACKAGE = "together", "together"
TARGETS = {"sft": "together", "dpo": "together_dpo"}
STATES = {
    "pending": "waiting", "queued": "waiting", "running": "running", "compressing": "running", "uploading": "running",
    "cancel_requested": "running", "cancelled": "cancelled", "error": "failed", "user_error": "failed",
    "completed": "succeeded",
}  # fmt: skip
SETTINGS = ("n_epochs", "n_evals", "batch_size", "learning_rate", "lora_r", "lora_alpha", "dpo_beta", "packing",
            "max_seq_length")  # fmt: skip


def address() -> str:
    return os.environ.get("TOGETHER_BASE_URL", "https://api.together.ai").rstrip("/")


def connect():
    make = sdk("together", PACKAGE).Together
    return make(api_key=secret("TOGETHER_API_KEY"), base_url=address(), max_retries=RETRIES, timeout=SECONDS)


def upload(client, job: Job, part: str) -> dict:
    """The service looks at it before the job may begin."""
    name = f"{job.mark}.{part}.jsonl"
    size = Path(job.files[part]).stat().st_size  # of a file that arrived whole
    lying = client.files.list().data
    there = next((file for file in lying if file.filename == name and file.bytes == size), None)
    if there is None:
        with tempfile.TemporaryDirectory() as folder:  # the SDK names a file as it lies on disk
            path = shutil.copyfile(job.files[part], Path(folder) / name)
            there = client.files.upload(file=path, purpose="fine-tune", check=False)
    return there.model_dump(mode="json")


def find(client, job: Job) -> dict | None:
    """Our mark is its suffix; one that was cancelled or failed counts too."""
    found = next((each for each in client.fine_tuning.list().data if each.suffix == job.mark), None)
    return None if found is None else _named(found.model_dump(mode="json"))


def create(client, job: Job) -> dict:
    made = client.with_options(max_retries=0).fine_tuning.create(
        model=job.model,
        training_file=job.ids["train"],
        validation_file=job.ids.get("validation", ""),
        training_method=job.method,
        lora=True,
        suffix=job.mark,
        **({"train_on_inputs": "auto"} if job.method == "sft" else {}),
        **job.settings,
    )
    return _named(made.model_dump(mode="json"))


def retrieve(client, job: Job) -> dict:
    return _named(client.fine_tuning.retrieve(job.ids["job"]).model_dump(mode="json"))


def seen(raw: dict) -> dict:
    state = STATES.get(raw["status"], "running")
    told = [event["message"] for event in raw.get("events") or [] if isinstance(event, dict)]
    return {
        "state": state,
        "status": raw["status"],
        "tuned_model": raw["output_name"] or "" if state == "succeeded" else "",
        "trained_tokens": raw.get("token_count"),
        "error": (told or ["the service gives no reason"])[-1] if state == "failed" else "",
    }


def events(client, job: Job, raw: dict) -> list[str]:
    told = sorted(client.fine_tuning.list_events(job.ids["job"]).data, key=lambda event: event.created_at)
    return [event.message for event in told]


def curve(client, job: Job) -> list[dict]:
    return client.fine_tuning.list_metrics(job.ids["job"]).metrics or []


def cancel(client, job: Job) -> dict:
    return client.fine_tuning.cancel(job.ids["job"]).model_dump(mode="json")


def deploy(client, job: Job) -> dict:
    """A dedicated endpoint with one replica that serves the tuned model; billed by the minute until `undeploy`."""
    setting("TOGETHER_PROJECT_ID", "your project at Together, which the SDK reads itself")
    endpoint = _endpoint(client, job) or client.endpoints.create(name=job.mark)
    there, raw = client.endpoints.deployments, job.raw["status"]
    deployment = next(iter(there.list(endpoint.id)), None) or there.create(  # a process that died may have made it
        endpoint.id,
        name="tuned",
        model=raw.get("api_model_object_name") or raw.get("model_object_name") or job.tuned_model,
        autoscaling={"min_replicas": 1, "max_replicas": 1},
    )
    client.endpoints.update(endpoint.id, traffic_split=[{"deployment_id": deployment.id, "weight": 1}])
    return {"id": endpoint.id, "name": endpoint.name, "deployment": deployment.id}


def deployment(client, job: Job) -> tuple[str, str]:
    made = job.raw["deploy"]
    seen = client.endpoints.deployments.retrieve(made["deployment"], endpoint_id=made["id"]).status
    status = seen.state.removeprefix("DEPLOYMENT_STATE_")
    state = {"READY": "ready", "FAILED": "failed", "STOPPED": "failed"}.get(status, "waiting")
    return state, ": ".join(filter(None, [status, seen.message]))


def find_deployment(client, job: Job) -> str | None:
    found = _endpoint(client, job)
    return found and found.id


def undeploy(client, job: Job) -> None:
    endpoint = job.ids["deployment"]
    client.endpoints.update(endpoint, traffic_split=[])
    for deployment in client.endpoints.deployments.list(endpoint):
        client.endpoints.deployments.delete(deployment.id, endpoint_id=endpoint)
    client.endpoints.delete(endpoint)


def chat(job: Job) -> ChatService:
    """The endpoint, which is called by its own name."""
    name = job.raw.get("deploy", {}).get("name", job.tuned_model)
    return ChatService(f"{address()}/v1", name, "TOGETHER_API_KEY", RETRIES, SECONDS)


def fetch(client, job: Job, folder: Path) -> list[Path]:
    """The adapter's weights, packed: they are yours."""
    path = folder / "adapter.tar.zst"
    with whole_file(path) as file:
        file.write(client.fine_tuning.content(ft_id=job.ids["job"], checkpoint="adapter").read())
    return [path]


def delete(client, job: Job) -> Iterator[tuple[str, Callable]]:
    """The model goes with its job."""
    if "job" in job.ids:
        yield job.ids["job"], partial(client.fine_tuning.delete, job.ids["job"])
    for file in job.uploaded:
        yield file, partial(client.files.delete, file)


def _endpoint(client, job):
    """The endpoint under our mark, or None."""
    return next((each for each in client.endpoints.list() if each.name.split("/")[-1] == job.mark), None)


def _named(raw: dict) -> dict:
    """The SDK has three classes for a job, each with another name for the tuned model's."""
    names = (raw.get(name) for name in ("output_name", "x_model_output_name", "model_output_name"))
    return raw | {"output_name": next(filter(None, names), None)}
