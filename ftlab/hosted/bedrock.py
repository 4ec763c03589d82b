"""Amazon Bedrock, through boto3; files lie in your own bucket, and a role of yours lets Bedrock read it.

Identity: as boto3 finds it (environment, profile, role), else two keys from Colab's secrets or a prompt.
AWS_DEFAULT_REGION, FTLAB_S3_BUCKET and FTLAB_BEDROCK_ROLE say where; AWS_ENDPOINT_URL leads elsewhere, as for every AWS
client.
"""

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

from ftlab.files import whole_file
from ftlab.hosted.job import Job
from ftlab.hosted.own_chat import OwnChat, split_system
from ftlab.hosted.secrets import sdk, secret, setting

PROVIDER, PACKAGE = "aws", "boto3"
TARGETS = {"sft": "bedrock_nova"}
STATES = {"Completed": "succeeded", "Failed": "failed", "Stopped": "cancelled"}  # all else is running
NAMES = {"n_epochs": "epochCount", "learning_rate": "learningRate",
         "learning_rate_warmup_steps": "learningRateWarmupSteps"}  # fmt: skip
SETTINGS = tuple(NAMES)
RANGES = {"n_epochs": (1, 5), "learning_rate": (1e-6, 1e-4)}  # Nova's, of AWS's page on its customization
MODELS = r"amazon\.nova"
OTHER_MODELS = "the files are those of Amazon's Nova models (amazon.nova-...); Llama and Claude take other forms there"


def address() -> str:
    return os.environ.get("AWS_ENDPOINT_URL", f"https://bedrock.{_region()}.amazonaws.com").rstrip("/")


def connect():
    """The three clients: s3 (files), bedrock (jobs), runtime (answers)."""
    boto3 = sdk("boto3", PACKAGE)
    from botocore.config import Config

    config = Config(
        retries={"total_max_attempts": 4, "mode": "standard"}, read_timeout=120, s3={"addressing_style": "path"},
        request_checksum_calculation="when_required", response_checksum_validation="when_required",
    )  # fmt: skip
    session = boto3.session.Session(region_name=_region())  # the default one keeps the keys that it saw first
    if session.get_credentials() is None:
        given = {name.lower(): secret(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        session = boto3.session.Session(region_name=_region(), **given)
    names = {"s3": "s3", "bedrock": "bedrock", "runtime": "bedrock-runtime"}
    return SimpleNamespace(**{own: session.client(name, config=config) for own, name in names.items()})


def upload(client, job: Job, part: str) -> dict:
    """Into your bucket, under our mark; the same file again changes nothing."""
    bucket, key = _bucket(), f"ftlab/{job.mark}/{part}.jsonl"
    client.s3.put_object(Bucket=bucket, Key=key, Body=Path(job.files[part]).read_bytes())
    return {"id": f"s3://{bucket}/{key}"}


def find(client, job: Job) -> dict | None:
    """Names are unique in an account."""
    listed = client.bedrock.list_model_customization_jobs(nameContains=job.mark)["modelCustomizationJobSummaries"]
    found = next((each for each in listed if each["jobName"] == job.mark), None)
    return None if found is None else _job(client, found["jobArn"])


def create(client, job: Job) -> dict:
    """By its token a second request for the same is no second job."""
    validators = [{"s3Uri": job.ids["validation"]}] if "validation" in job.ids else []
    made = client.bedrock.create_model_customization_job(
        jobName=job.mark,
        customModelName=job.mark,
        clientRequestToken=job.mark,
        roleArn=setting("FTLAB_BEDROCK_ROLE", "the role that lets Bedrock read your bucket"),
        baseModelIdentifier=job.model,
        customizationType="FINE_TUNING",
        trainingDataConfig={"s3Uri": job.ids["train"]},
        outputDataConfig={"s3Uri": f"s3://{_bucket()}/ftlab/{job.mark}/output"},
        hyperParameters={NAMES[name]: str(value) for name, value in job.settings.items()},
        **({"validationDataConfig": {"validators": validators}} if validators else {}),
    )
    return {"id": made["jobArn"], "status": "InProgress"}


def retrieve(client, job: Job) -> dict:
    return _job(client, job.ids["job"])


def seen(raw: dict) -> dict:
    return {
        "state": STATES.get(raw["status"], "running"),
        "status": raw["status"],
        "tuned_model": raw.get("outputModelArn") or "",
        "error": raw.get("failureMessage") or "",
    }


def events(client, job: Job, raw: dict) -> list[str]:
    """The stages of the work, where Bedrock tells them."""
    stages = (raw.get("statusDetails") or {}).items()
    lines = [f"{name}: {stage['status']}" for name, stage in stages if isinstance(stage, dict) and "status" in stage]
    return [*job.events, *(line for line in lines if line not in job.events)]


def curve(client, job: Job) -> list[dict]:
    """From the table that Bedrock leaves in your bucket."""
    rows = []
    for key in _outputs(client, job):
        if key.endswith("step_wise_training_metrics.csv"):
            table = csv.DictReader(io.StringIO(_object(client, key).decode()))
            rows += [{name: float(cell) for name, cell in row.items() if cell} for row in table]
    return rows


def cancel(client, job: Job) -> dict:
    client.bedrock.stop_model_customization_job(jobIdentifier=job.ids["job"])
    return {"id": job.ids["job"]}


def deploy(client, job: Job) -> dict:
    """Make the tuned model callable on demand: billed by the token, and nothing while nobody calls."""
    made = client.bedrock.create_custom_model_deployment(
        modelDeploymentName=job.mark, modelArn=job.tuned_model, clientRequestToken=job.mark
    )
    return {"id": made["customModelDeploymentArn"]}


def deployment(client, job: Job) -> tuple[str, str]:
    raw = client.bedrock.get_custom_model_deployment(customModelDeploymentIdentifier=job.ids["deployment"])
    state = {"Active": "ready", "Failed": "failed"}.get(raw["status"], "waiting")
    return state, ": ".join(filter(None, [raw["status"], raw.get("failureMessage")]))


def find_deployment(client, job: Job) -> str | None:
    listed = client.bedrock.list_custom_model_deployments(nameContains=job.mark)["modelDeploymentSummaries"]
    found = (each for each in listed if each["customModelDeploymentName"] == job.mark)
    return next((each["customModelDeploymentArn"] for each in found), None)


def undeploy(client, job: Job) -> None:
    client.bedrock.delete_custom_model_deployment(customModelDeploymentIdentifier=job.ids["deployment"])


def chat(job: Job) -> OwnChat:
    return OwnChat(address().replace("bedrock.", "bedrock-runtime."), job.ids.get("deployment", "none"), connect, _send)


def fetch(client, job: Job, folder: Path) -> list[Path]:
    """The tables of metrics from your bucket; the weights stay with Amazon."""
    paths = []
    for key in _outputs(client, job):
        paths.append(folder / key.split("/output/", 1)[1].replace("/", "_"))
        with whole_file(paths[-1]) as file:
            file.write(_object(client, key))
    return paths


def delete(client, job: Job) -> Iterator[tuple[str, Callable]]:
    """With what Bedrock wrote into your bucket."""
    if job.tuned_model:
        yield job.tuned_model, partial(client.bedrock.delete_custom_model, modelIdentifier=job.tuned_model)
    for key in [*(file.split("/", 3)[3] for file in job.uploaded), *_outputs(client, job)]:
        yield f"s3://{_bucket()}/{key}", partial(client.s3.delete_object, Bucket=_bucket(), Key=key)


def _send(client, model: str, messages: list[dict], fields: dict) -> dict:
    """One chat by `converse`."""
    system, turns = split_system(messages)
    more = {"system": [{"text": system}]} if system is not None else {}
    names = {"max_tokens": "maxTokens", "temperature": "temperature"}
    answer = client.runtime.converse(
        modelId=model,
        messages=[{"role": turn["role"], "content": [{"text": turn["content"]}]} for turn in turns],
        inferenceConfig={own: fields[name] for name, own in names.items() if name in fields},
        **more,
    )
    parts = answer["output"]["message"]["content"]
    return {
        "text": "".join(part.get("text", "") for part in parts),
        "prompt_tokens": answer["usage"]["inputTokens"],
        "new_tokens": answer["usage"]["outputTokens"],
        "finish_reason": "length" if answer["stopReason"] == "max_tokens" else "stop",
    }


def _object(client, key: str) -> bytes:
    return client.s3.get_object(Bucket=_bucket(), Key=key)["Body"].read()


def _outputs(client, job) -> list[str]:
    found = client.s3.list_objects_v2(Bucket=_bucket(), Prefix=f"ftlab/{job.mark}/output/")
    return [each["Key"] for each in found.get("Contents", [])]


def _region() -> str:
    return setting("AWS_DEFAULT_REGION", "the region, such as us-east-1")


def _bucket() -> str:
    return setting("FTLAB_S3_BUCKET", "your bucket, in the region of the job")


def _job(client, arn: str) -> dict:
    raw = client.bedrock.get_model_customization_job(jobIdentifier=arn)
    del raw["ResponseMetadata"]
    return json.loads(json.dumps(raw | {"id": arn}, default=str))
