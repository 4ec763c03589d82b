"""Fireworks, through its SDK. Names of data sets and jobs are ours, so that nothing can be made twice.

A tuned model answers only from a deployment of its own, which is billed by the hour.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ftlab.chat_service import ChatService
from ftlab.files import whole_file
from ftlab.hosted.job import Job
from ftlab.hosted.openai import RETRIES, SECONDS
from ftlab.hosted.secrets import RefusedError, sdk, secret, setting

PROVIDER, PACKAGE = "fireworks", "fireworks-ai"
TARGETS = {"sft": "fireworks", "dpo": "fireworks_dpo"}
STATES = {
    "JOB_STATE_COMPLETED": "succeeded", "JOB_STATE_EARLY_STOPPED": "succeeded", "JOB_STATE_FAILED": "failed",
    "JOB_STATE_EXPIRED": "failed", "JOB_STATE_CANCELLED": "cancelled", "JOB_STATE_CREATING": "waiting",
    "JOB_STATE_PENDING": "waiting", "JOB_STATE_VALIDATING": "waiting", "JOB_STATE_CREATING_INPUT_DATASET": "waiting",
}  # fmt: skip
SETTINGS = ("n_epochs", "learning_rate", "lora_rank", "batch_size", "max_context_length")
NO_VALIDATION = ("dpo",)  # its jobs for pairs take none
SHAPE = "default"  # the hardware that Fireworks has tried for the model


def address() -> str:
    return os.environ.get("FIREWORKS_BASE_URL", "https://api.fireworks.ai").rstrip("/")


def connect():
    make = sdk("fireworks", PACKAGE).Fireworks
    known = {"account_id": _account(), "api_key": secret("FIREWORKS_API_KEY"), "base_url": address()}
    return make(**known, max_retries=RETRIES, timeout=SECONDS)


def upload(client, job: Job, part: str) -> dict:
    """A data set under our name with the file in it; one that is complete is left as it is."""
    name = f"{job.mark}-{part}"
    try:
        there = client.datasets.get(name)
    except sdk("fireworks", PACKAGE).NotFoundError:
        given = {"display_name": name, "example_count": str(job.rows[part]), "format": "CHAT", "user_uploaded": {}}
        there = client.datasets.create(dataset_id=name, dataset=given)
    if there.state != "READY":
        client.datasets.upload(name, file=(f"{name}.jsonl", Path(job.files[part]).read_bytes()))
    return client.datasets.get(name).model_dump(mode="json") | {"id": name}


def find(client, job: Job) -> dict | None:
    try:
        return _raw(_jobs(client, job).get(job.mark), job)
    except sdk("fireworks", PACKAGE).NotFoundError:
        return None


def create(client, job: Job) -> dict:
    """A second one of our name would be refused."""
    settings = {"epochs" if name == "n_epochs" else name: value for name, value in job.settings.items()}
    dataset = _full("datasets", job.ids["train"])
    jobs = _jobs(client.with_options(max_retries=0), job)
    settings |= {"base_model": job.model, "output_model": _full("models", job.mark)}
    if job.method == "dpo":
        named = {"dpo_job_id": job.mark, "training_config": settings}
    else:
        named = settings | {"supervised_fine_tuning_job_id": job.mark}
        if "validation" in job.ids:
            named["evaluation_dataset"] = _full("datasets", job.ids["validation"])
    return _raw(jobs.create(dataset=dataset, display_name=job.mark, **named), job)


def retrieve(client, job: Job) -> dict:
    return _raw(_jobs(client, job).get(job.ids["job"]), job)


def seen(raw: dict) -> dict:
    state = STATES.get(raw.get("state"), "running")
    model = raw.get("output_model") or (raw.get("training_config") or {}).get("output_model") or ""
    reason = (raw.get("status") or {}).get("message") or "the service gives no reason"
    return {
        "state": state,
        "status": raw.get("state") or "",
        "tuned_model": model if state == "succeeded" else "",
        "error": reason if state == "failed" else "",
    }


def events(client, job: Job, raw: dict) -> list[str]:
    """Fireworks tells a share of the work that is done, and no events."""
    percent = (raw.get("job_progress") or {}).get("percent")
    line = f"{percent} % done"
    return job.events if percent is None or line in job.events else [*job.events, line]


def cancel(client, job: Job) -> dict:
    _jobs(client, job).cancel(job.ids["job"], body={})
    return {"id": job.ids["job"]}


def deploy(client, job: Job) -> dict:
    """A deployment of its own, which scales to zero when nobody calls; billed by the hour while it runs."""
    settings = {"deployment_shape": SHAPE, "min_replica_count": 0, "max_replica_count": 1}
    try:
        made = client.deployments.create(base_model=job.tuned_model, deployment_id=job.mark, **settings)
    except sdk("fireworks", PACKAGE).ConflictError:  # a process that died made it
        made = client.deployments.get(job.mark)
    return made.model_dump(mode="json") | {"id": job.mark}


def deployment(client, job: Job) -> tuple[str, str]:
    raw = client.deployments.get(job.ids["deployment"]).model_dump(mode="json")
    status, why = raw.get("state") or "", (raw.get("status") or {}).get("message")
    state = {"READY": "ready", "FAILED": "failed", "DELETED": "failed"}.get(status, "waiting")
    return state, ": ".join(filter(None, [status, why]))


def find_deployment(client, job: Job) -> str | None:
    try:
        state = client.deployments.get(job.mark).state
    except sdk("fireworks", PACKAGE).NotFoundError:
        return None
    return None if state in ("DELETING", "DELETED") else job.mark


def undeploy(client, job: Job) -> None:
    client.deployments.delete(job.ids["deployment"])


def chat(job: Job) -> ChatService:
    name = f"{job.tuned_model}#{_full('deployments', job.ids.get('deployment', ''))}"
    return ChatService(f"{address()}/inference/v1", name, "FIREWORKS_API_KEY", RETRIES, SECONDS)


def fetch(client, job: Job, folder: Path) -> list[Path]:
    """The adapter's files and the metrics (in a form that it tells nowhere), from addresses signed for a while."""
    import httpx

    signed = client.models.get_download_endpoint(job.tuned_model.split("/")[-1]).filename_to_signed_urls or {}
    metrics = _metrics_address(client, job)
    paths = []
    for name, url in [*sorted(signed.items()), *([("metrics.jsonl", metrics)] if metrics else [])]:
        path = folder / Path(name).name  # no folder that a service names
        with whole_file(path) as file, httpx.stream("GET", url, timeout=SECONDS, follow_redirects=True) as answer:
            if not answer.is_success:  # its own message would hold the signed address
                raise RefusedError(f"fireworks: download {name}: HTTP {answer.status_code}", answer.status_code)
            for part in answer.iter_bytes():
                file.write(part)
        paths.append(path)
    return paths


def delete(client, job: Job) -> Iterator[tuple[str, Callable]]:
    if job.tuned_model:
        yield job.tuned_model, partial(client.models.delete, job.tuned_model.split("/")[-1])
    if "job" in job.ids:
        yield job.ids["job"], partial(_jobs(client, job).delete, job.ids["job"])
    for file in job.uploaded:
        yield file, partial(client.datasets.delete, file)


def _jobs(client, job):
    return client.dpo_jobs if job.method == "dpo" else client.supervised_fine_tuning_jobs


def _metrics_address(client, job) -> str | None:
    if job.method == "dpo":
        return client.dpo_jobs.get_metrics_file_endpoint(job.ids["job"]).signed_url
    return client.supervised_fine_tuning_jobs.get(job.ids["job"]).metrics_file_signed_url


def _account() -> str:
    return setting("FIREWORKS_ACCOUNT_ID", "your account at Fireworks")


def _full(kind: str, name: str) -> str:
    return f"accounts/{_account()}/{kind}/{name}"


def _raw(answer, job) -> dict:
    """Without the signed address of its metrics, which is as good as a key."""
    told = {name: value for name, value in answer.model_dump(mode="json").items() if "signed" not in name.lower()}
    return told | {"id": job.mark}
