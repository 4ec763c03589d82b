"""Google's Gemini on Vertex AI (Gemini Enterprise Agent Platform), through google-genai; files lie in your own bucket.

Identity: application default credentials (`gcloud auth application-default login`), or a token in GOOGLE_ACCESS_TOKEN.
The SDK knows no upload, so the file goes to Cloud Storage by its HTTP interface with the same credentials.
"""

import os
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ftlab.hosted.job import Job
from ftlab.hosted.own_chat import OwnChat, split_system
from ftlab.hosted.secrets import RefusedError, refused_for, sdk, secret, setting

PROVIDER, PACKAGE = "google", "google-genai"
TARGETS = {"sft": "gemini", "dpo": "gemini_preference"}
METHODS = {"sft": "SUPERVISED_FINE_TUNING", "dpo": "PREFERENCE_TUNING"}
STATES = {
    "JOB_STATE_SUCCEEDED": "succeeded", "JOB_STATE_PARTIALLY_SUCCEEDED": "succeeded", "JOB_STATE_FAILED": "failed",
    "JOB_STATE_EXPIRED": "failed", "JOB_STATE_CANCELLED": "cancelled", "JOB_STATE_QUEUED": "waiting",
    "JOB_STATE_PENDING": "waiting",
}  # fmt: skip
SETTINGS = ("n_epochs", "learning_rate_multiplier", "adapter_size", "beta")
SECONDS = 120
LOOKS, PAUSE = 30, 2.0  # at an endpoint that gives up its model; seconds between two


def address() -> str:
    return f"{_base()}/projects/{_project()}/locations/{_location()}"


def connect():
    """The SDK's own repeats are left off, for it would repeat a creation too."""
    make, options = sdk("google.genai", PACKAGE).Client, {"timeout": SECONDS * 1000}
    if base := os.environ.get("GOOGLE_VERTEX_BASE_URL"):
        options["base_url"] = base
    known = {"project": _project(), "location": _location(), "credentials": _credentials()}
    return make(enterprise=True, http_options=options, **known)


def upload(client, job: Job, part: str) -> dict:
    """Into your bucket, under our mark; the same file again changes nothing."""
    bucket = setting("FTLAB_GCS_BUCKET", "your bucket, in the region of the job")
    name = f"ftlab/{job.mark}/{part}.jsonl"
    query = {"uploadType": "media", "name": name}
    _storage("POST", f"upload/storage/v1/b/{bucket}/o", query, Path(job.files[part]).read_bytes())
    return {"id": f"gs://{bucket}/{name}"}


def find(client, job: Job) -> dict | None:
    """Our mark is the name of its tuned model."""
    found = (each for each in client.tunings.list() if each.tuned_model_display_name == job.mark)
    return next((_raw(each) for each in found), None)


def create(client, job: Job) -> dict:
    config = {"epoch_count" if name == "n_epochs" else name: value for name, value in job.settings.items()}
    config |= {"method": METHODS[job.method], "tuned_model_display_name": job.mark}
    if "validation" in job.ids:
        config["validation_dataset"] = {"gcs_uri": job.ids["validation"]}
    with warnings.catch_warnings(action="ignore"):  # the SDK calls its own tuning experimental
        made = client.tunings.tune(base_model=job.model, training_dataset={"gcs_uri": job.ids["train"]}, config=config)
    return _raw(made)


def retrieve(client, job: Job) -> dict:
    return _raw(client.tunings.get(name=job.ids["job"]))


def seen(raw: dict) -> dict:
    error, model = raw.get("error") or {}, raw.get("tuned_model") or {}
    stats = raw.get("tuning_data_stats") or {}
    counted = next((each for each in stats.values() if isinstance(each, dict)), {}).get("total_billable_token_count")
    return {
        "state": STATES.get(raw.get("state"), "running"),
        "status": raw.get("state") or "",
        "tuned_model": model.get("endpoint") or "",
        "trained_tokens": int(counted) if counted else None,
        "error": error.get("message") or "",
    }


def cancel(client, job: Job) -> dict:
    client.tunings.cancel(name=job.ids["job"])
    return {"id": job.ids["job"]}


def chat(job: Job) -> OwnChat:
    """The endpoint that Google makes for the tuned model."""
    return OwnChat(address(), job.tuned_model, connect, _send)


def delete(client, job: Job) -> Iterator[tuple[str, Callable]]:
    if job.tuned_model:
        yield job.tuned_model, partial(_delete_endpoint, job.tuned_model)
        model = job.raw["status"]["tuned_model"]["model"]
        yield model, partial(client.models.delete, model=model)
    for file in job.uploaded:
        bucket, _, name = file.removeprefix("gs://").partition("/")
        yield file, partial(_storage, "DELETE", f"storage/v1/b/{bucket}/o/{name.replace('/', '%2F')}")


def _send(client, model: str, messages: list[dict], fields: dict) -> dict:
    """One chat by `generate_content`."""
    system, turns = split_system(messages)
    contents = [
        {"role": "model" if turn["role"] == "assistant" else "user", "parts": [{"text": turn["content"]}]}
        for turn in turns
    ]
    config = {"system_instruction": system, "max_output_tokens": fields.get("max_tokens"),
              "temperature": fields.get("temperature")}  # fmt: skip
    answer = client.models.generate_content(model=model, contents=contents, config=config)
    usage, candidate = answer.usage_metadata, (answer.candidates or [None])[0]
    reason = "length" if candidate and str(candidate.finish_reason).endswith("MAX_TOKENS") else "stop"
    counts = {"prompt_tokens": usage and usage.prompt_token_count, "new_tokens": usage and usage.candidates_token_count}
    return {"text": answer.text or "", "finish_reason": reason} | counts


def _base() -> str:
    return os.environ.get("GOOGLE_VERTEX_BASE_URL", f"https://{_location()}-aiplatform.googleapis.com").rstrip("/")


def _project() -> str:
    return setting("GOOGLE_CLOUD_PROJECT", "your project")


def _location() -> str:
    return setting("GOOGLE_CLOUD_LOCATION", "the region, such as us-central1")


def _credentials():
    """A token that was given, else what Google's own tools left on this machine, else a token that is asked for."""
    import google.auth
    from google.oauth2.credentials import Credentials

    if not os.environ.get("GOOGLE_ACCESS_TOKEN"):
        try:
            return google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])[0]
        except google.auth.exceptions.DefaultCredentialsError:
            pass
    return Credentials(secret("GOOGLE_ACCESS_TOKEN"))


def _delete_endpoint(endpoint: str) -> None:
    """Take the model off the endpoint and delete it, by Google's HTTP interface; one that is gone already is gone."""
    url = f"{_base()}/v1/{endpoint}"
    for _ in range(LOOKS):
        answer = _request("GET", url, missing_is_fine=True)
        if answer.status_code == 404:
            return
        deployed = answer.json().get("deployedModels") or []
        if not deployed:
            _request("DELETE", url, missing_is_fine=True)
            return
        for each in deployed:  # both requests begin an operation; the next look tells whether it has ended
            _request("POST", f"{url}:undeployModel", json={"deployedModelId": each["id"]}, busy_is_fine=True)
        time.sleep(PAUSE)
    raise RefusedError(f"vertex: {endpoint} still holds its model; delete the job again in a few minutes")


def _storage(method: str, path: str, query: dict | None = None, content: bytes | None = None) -> None:
    """One request to Cloud Storage, or to what STORAGE_EMULATOR_HOST names, as for Google's own clients."""
    base = os.environ.get("STORAGE_EMULATOR_HOST", "https://storage.googleapis.com").rstrip("/")
    _request(method, f"{base}/{path}", params=query, data=content)


def _request(method: str, url: str, missing_is_fine: bool = False, busy_is_fine: bool = False, **content):
    """One request with the same credentials, for what the SDK has no function."""
    from google.auth.transport.requests import AuthorizedSession

    with AuthorizedSession(_credentials()) as session:
        answer = session.request(method, url, timeout=SECONDS, **content)
    fine = (404,) * missing_is_fine + (400, 409) * busy_is_fine
    if not answer.ok and answer.status_code not in fine:
        what = url.split("?")[0].rsplit("/", 2)[-2]
        raise refused_for(f"vertex: {method} {what}", answer.status_code, answer.text)
    return answer


def _raw(tuning_job) -> dict:
    dumped = tuning_job.model_dump(mode="json", exclude_none=True, exclude={"sdk_http_response"})
    return dumped | {"id": tuning_job.name}
