"""Together AI, through its SDK. A tuned model answers from a dedicated endpoint, which is billed by the hour."""

import os
import shutil
import tempfile
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
SETTINGS = (
    "n_epochs",
    "n_evals",
    "batch_size",
    "learning_rate",
    "lora_r",
    "lora_alpha",
    "dpo_beta",
    "packing",
    "max_seq_length",
)


def address() -> str:
    """Where requests go."""
    return os.environ.get("TOGETHER_BASE_URL", "https://api.together.ai").rstrip("/")


def connect():
    """The SDK's client."""
    together = sdk("together", PACKAGE)
    return together.Together(
        api_key=secret("TOGETHER_API_KEY"), base_url=address(), max_retries=RETRIES, timeout=SECONDS
    )


def upload(client, job: Job, part: str) -> dict:
    """Upload one file under our mark, or find it; the service looks at it before the job may begin."""
    name = f"{job.mark}.{part}.jsonl"
    there = next((file for file in client.files.list().data if file.filename == name), None)
    if there is None:
        with tempfile.TemporaryDirectory() as folder:  # the SDK names a file as it lies on disk
            path = shutil.copyfile(job.files[part], Path(folder) / name)
            there = client.files.upload(file=path, purpose="fine-tune", check=False)
    return there.model_dump(mode="json")


def find(client, job: Job) -> dict | None:
    """The job that carries our mark as its suffix, if there is one; one that was cancelled or failed counts too."""
    found = next((each for each in client.fine_tuning.list().data if each.suffix == job.mark), None)
    return None if found is None else _named(found.model_dump(mode="json"))


def create(client, job: Job) -> dict:
    """Create the job; the SDK's request is not repeated by itself."""
    settings = {"dpo_beta": job.settings["dpo_beta"]} if "dpo_beta" in job.settings else {}
    settings |= {"train_on_inputs": "auto"} if job.method == "sft" else {}
    made = client.with_options(max_retries=0).fine_tuning.create(
        model=job.model,
        training_file=job.ids["train"],
        validation_file=job.ids.get("validation", ""),
        training_method=job.method,
        lora=True,
        suffix=job.mark,
        **settings,
        **{name: value for name, value in job.settings.items() if name != "dpo_beta"},
    )
    return _named(made.model_dump(mode="json"))


def retrieve(client, job: Job) -> dict:
    """The job as the service sees it now."""
    return _named(client.fine_tuning.retrieve(job.ids["job"]).model_dump(mode="json"))


def seen(raw: dict) -> dict:
    """What an answer of `create`, `find` or `retrieve` says, as fields of `Job`."""
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
    """What the service told so far, the oldest first."""
    told = sorted(client.fine_tuning.list_events(job.ids["job"]).data, key=lambda event: event.created_at)
    return [event.message for event in told]


def curve(client, job: Job) -> list[dict]:
    """Step and losses, as the service reports them."""
    return client.fine_tuning.list_metrics(job.ids["job"]).metrics or []


def cancel(client, job: Job) -> dict:
    """Stop the job; what was trained so far is billed."""
    return client.fine_tuning.cancel(job.ids["job"]).model_dump(mode="json")


def deploy(client, job: Job) -> dict:
    """A dedicated endpoint with one replica that serves the tuned model; billed by the minute until `undeploy`."""
    setting("TOGETHER_PROJECT_ID", "your project at Together, which the SDK reads itself")
    lying = (each for each in client.endpoints.list() if each.name.split("/")[-1] == job.mark)
    endpoint = next(lying, None) or client.endpoints.create(name=job.mark)
    there = list(client.endpoints.deployments.list(endpoint.id))  # of a process that died
    raw = job.raw["status"]
    deployment = (
        there[0]
        if there
        else client.endpoints.deployments.create(
            endpoint.id,
            name="tuned",
            model=raw.get("api_model_object_name") or raw.get("model_object_name") or job.tuned_model,
            autoscaling={"min_replicas": 1, "max_replicas": 1},
        )
    )
    share = [{"deployment_id": deployment.id, "weight": 1}]
    client.endpoints.update(endpoint.id, traffic_split=share)
    return {"id": endpoint.id, "name": endpoint.name, "deployment": deployment.id}


def undeploy(client, job: Job) -> None:
    """End the deployment and its bill."""
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


def delete(client, job: Job) -> list[str]:
    """Delete the job with its model, and the files that were uploaded."""
    gone = []
    if "job" in job.ids:
        client.fine_tuning.delete(job.ids["job"])
        gone.append(job.ids["job"])
    for file in job.uploaded:
        client.files.delete(file)
    return gone + job.uploaded


def _named(raw: dict) -> dict:
    """The SDK has three classes for a job, each with another name for the tuned model's."""
    return raw | {
        "output_name": raw.get("output_name") or raw.get("x_model_output_name") or raw.get("model_output_name")
    }
