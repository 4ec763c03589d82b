"""Fireworks, through its SDK. Names of data sets and jobs are ours, so that nothing can be made twice.

A tuned model answers only from a deployment of its own, which is billed by the hour.
"""

import os
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
SHAPE = "default"  # the hardware that Fireworks has tried for the model


def address() -> str:
    """Where requests go."""
    return os.environ.get("FIREWORKS_BASE_URL", "https://api.fireworks.ai").rstrip("/")


def connect():
    """The SDK's client."""
    fireworks = sdk("fireworks", PACKAGE)
    account = setting("FIREWORKS_ACCOUNT_ID", "your account at Fireworks")
    key = secret("FIREWORKS_API_KEY")
    return fireworks.Fireworks(
        api_key=key, account_id=account, base_url=address(), max_retries=RETRIES, timeout=SECONDS
    )


def upload(client, job: Job, part: str) -> dict:
    """A data set under our name with the file in it; one that is complete is left as it is."""
    sdk_module, name = sdk("fireworks", PACKAGE), f"{job.mark}-{part}"
    try:
        there = client.datasets.get(name)
    except sdk_module.NotFoundError:
        there = client.datasets.create(
            dataset_id=name,
            dataset={"display_name": name, "example_count": str(job.rows[part]), "format": "CHAT", "user_uploaded": {}},
        )
    if there.state != "READY":
        client.datasets.upload(name, file=(f"{name}.jsonl", Path(job.files[part]).read_bytes()))
    return client.datasets.get(name).model_dump(mode="json") | {"id": name}


def find(client, job: Job) -> dict | None:
    """The job of our name, if there is one."""
    try:
        return _raw(_jobs(client, job).get(job.mark), job)
    except sdk("fireworks", PACKAGE).NotFoundError:
        return None


def create(client, job: Job) -> dict:
    """Create the job under our name; a second one of that name would be refused."""
    settings = {"epochs" if name == "n_epochs" else name: value for name, value in job.settings.items()}
    dataset = _full("datasets", job.ids["train"])
    jobs = _jobs(client.with_options(max_retries=0), job)
    if job.method == "dpo":
        config = settings | {"base_model": job.model, "output_model": _full("models", job.mark)}
        made = jobs.create(dataset=dataset, dpo_job_id=job.mark, display_name=job.mark, training_config=config)
    else:
        if "validation" in job.ids:
            settings["evaluation_dataset"] = _full("datasets", job.ids["validation"])
        made = jobs.create(
            dataset=dataset, supervised_fine_tuning_job_id=job.mark, display_name=job.mark, base_model=job.model,
            output_model=_full("models", job.mark), **settings,
        )  # fmt: skip
    return _raw(made, job)


def retrieve(client, job: Job) -> dict:
    """The job as the service sees it now."""
    return _raw(_jobs(client, job).get(job.ids["job"]), job)


def seen(raw: dict) -> dict:
    """What an answer of `create`, `find` or `retrieve` says, as fields of `Job`."""
    state = STATES.get(raw.get("state"), "running")
    model = raw.get("output_model") or (raw.get("training_config") or {}).get("output_model") or ""
    reason = (raw.get("status") or {}).get("message") or "the service gives no reason"
    return {
        "state": state,
        "status": raw.get("state") or "",
        "tuned_model": model if state == "succeeded" else "",
        "trained_tokens": None,
        "error": reason if state == "failed" else "",
    }


def events(client, job: Job, raw: dict) -> list[str]:
    """Fireworks tells a share of the work that is done, and no events."""
    percent = (raw.get("job_progress") or {}).get("percent")
    line = f"{percent} % done"
    return job.events if percent is None or line in job.events else [*job.events, line]


def curve(client, job: Job) -> list[dict]:
    """A link to a file of metrics is all that the service gives."""
    return []


def cancel(client, job: Job) -> dict:
    """Stop the job; what was trained so far is billed."""
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


def undeploy(client, job: Job) -> None:
    """End the deployment and its bill."""
    client.deployments.delete(job.ids["deployment"])


def chat(job: Job) -> ChatService:
    """The model at its own deployment."""
    name = f"{job.tuned_model}#{_full('deployments', job.ids.get('deployment', ''))}"
    return ChatService(f"{address()}/inference/v1", name, "FIREWORKS_API_KEY", RETRIES, SECONDS)


def fetch(client, job: Job, folder: Path) -> list[Path]:
    """The adapter's files, from the addresses that the service signs for a while: they are yours."""
    import httpx

    signed = client.models.get_download_endpoint(job.tuned_model.split("/")[-1]).filename_to_signed_urls or {}
    paths = []
    for name, url in sorted(signed.items()):
        path = folder / Path(name).name  # no folder that a service names
        with whole_file(path) as file, httpx.stream("GET", url, timeout=SECONDS, follow_redirects=True) as answer:
            if not answer.is_success:  # its own message would hold the signed address
                what = f"fireworks: download {name}: HTTP {answer.status_code}"
                raise RefusedError(what, answer.status_code)
            for part in answer.iter_bytes():
                file.write(part)
        paths.append(path)
    return paths


def delete(client, job: Job) -> list[str]:
    """Delete the tuned model, the job and the data sets."""
    gone = []
    if job.tuned_model:
        client.models.delete(job.tuned_model.split("/")[-1])
        gone.append(job.tuned_model)
    if "job" in job.ids:
        _jobs(client, job).delete(job.ids["job"])
        gone.append(job.ids["job"])
    for file in job.uploaded:
        client.datasets.delete(file)
    return gone + job.uploaded


def _jobs(client, job):
    return client.dpo_jobs if job.method == "dpo" else client.supervised_fine_tuning_jobs


def _full(kind: str, name: str) -> str:
    return f"accounts/{setting('FIREWORKS_ACCOUNT_ID', 'your account at Fireworks')}/{kind}/{name}"


def _raw(answer, job) -> dict:
    return answer.model_dump(mode="json") | {"id": job.mark}
