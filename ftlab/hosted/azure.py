"""Azure OpenAI (Microsoft Foundry): OpenAI's jobs at your own resource.

A tuned model answers only while it is deployed. The deployment is a call to Azure's management with another token:
`az account get-access-token` gives one.
"""

import os
from dataclasses import replace

from ftlab.chat_service import ChatService
from ftlab.hosted import openai as common
from ftlab.hosted.job import Job
from ftlab.hosted.openai import cancel, curve, delete, events, fetch, find, retrieve, seen, upload  # noqa: F401
from ftlab.hosted.secrets import RefusedError, refused_for, secret, setting

PROVIDER, PACKAGE = "azure", "openai"
TARGETS = {"sft": "azure", "dpo": "azure_dpo"}
SETTINGS = (*common.SETTINGS, "training_type")
DEPLOYMENTS = {"Succeeded": "ready", "Failed": "failed", "Canceled": "failed", "Disabled": "failed"}
VERSION = "2024-10-01"  # of the management's interface


def address() -> str:
    resource = setting("AZURE_OPENAI_ENDPOINT", "your resource, such as https://NAME.openai.azure.com")
    return f"{resource.rstrip('/')}/openai/v1"


def connect():
    return common.client_at(address(), "AZURE_OPENAI_API_KEY")


def create(client, job: Job) -> dict:
    """As at OpenAI, with Azure's training tier."""
    settings = dict(job.settings)
    tier = settings.pop("training_type", "GlobalStandard")
    return common.create(client, replace(job, settings=settings), extra_body={"trainingType": tier})


def deploy(client, job: Job) -> dict:
    """Deploy the tuned model under our mark; billed by the hour until `undeploy`."""
    body = {
        "sku": {"name": "standard", "capacity": 1},
        "properties": {"model": {"format": "OpenAI", "name": job.tuned_model, "version": "1"}},
    }
    return _manage("PUT", job.mark, body) | {"id": job.mark}


def deployment(client, job: Job) -> tuple[str, str]:
    status = _manage("GET", job.ids["deployment"]).get("properties", {}).get("provisioningState", "")
    return DEPLOYMENTS.get(status, "waiting"), status


def find_deployment(client, job: Job) -> str | None:
    try:
        return _manage("GET", job.mark) and job.mark
    except RefusedError as error:
        if error.status != 404:
            raise
        return None


def undeploy(client, job: Job) -> None:
    _manage("DELETE", job.ids["deployment"])


def chat(job: Job) -> ChatService:
    """The deployment, which is called by its own name."""
    return ChatService(address(), job.ids.get("deployment", ""), "AZURE_OPENAI_API_KEY", common.RETRIES, common.SECONDS)


def _manage(method: str, name: str, body: dict | None = None) -> dict:
    import httpx

    base = os.environ.get("AZURE_MANAGEMENT_URL", "https://management.azure.com").rstrip("/")
    at = (
        f"subscriptions/{setting('AZURE_SUBSCRIPTION_ID', 'your subscription')}"
        f"/resourceGroups/{setting('AZURE_RESOURCE_GROUP', 'the group of your resource')}"
        f"/providers/Microsoft.CognitiveServices/accounts/{setting('AZURE_OPENAI_RESOURCE', 'your resource by name')}"
    )
    url = f"{base}/{at}/deployments/{name}?api-version={VERSION}"
    answer = httpx.request(
        method,
        url,
        json=body,
        headers={"Authorization": f"Bearer {secret('AZURE_MANAGEMENT_TOKEN')}"},  # no variable of its own holds it
        timeout=common.SECONDS,
        trust_env="127.0.0.1" not in base,
    )
    if not answer.is_success:
        raise refused_for(f"azure: {method} deployment", answer.status_code, answer.text)
    return answer.json() if answer.content else {}
