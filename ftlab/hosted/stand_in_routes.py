"""The paths of the stand-in for OpenAI and Azure, a function for each; those of the other services stand beside it."""

import time

from ftlab.hosted.stand_in_clouds import ROUTES as CLOUDS
from ftlab.hosted.stand_in_others import ROUTES as OTHERS

MIN_ROWS = 10  # at OpenAI


def refuse(request, status: int, message: str) -> tuple[int, dict, dict]:
    """An error in the form of the service that is asked."""
    if "amz" in str(request.headers).lower():
        kind = {
            400: "ValidationException",
            401: "UnrecognizedClientException",
            404: "ResourceNotFoundException",
            429: "ThrottlingException",
        }.get(status, "InternalServerException")
        return status, {"x-amzn-ErrorType": kind}, {"message": message}
    return (
        status,
        {},
        {"error": {"message": message, "code": status, "type": "stand_in", "status": "STAND_IN", "param": None}},
    )


# --- OpenAI; Azure has the same under /openai/v1

WORDS = {
    "waiting": "queued",
    "running": "running",
    "succeeded": "succeeded",
    "failed": "failed",
    "cancelled": "cancelled",
}


def _file(id, file):
    return {
        "id": id,
        "object": "file",
        "bytes": len(file["content"]),
        "created_at": 0,
        "filename": file["name"],
        "purpose": "fine-tune",
        "status": "processed",
    }


def _job(stand_in, job, look=False):
    stage, body = stand_in.stage(job, look), job["body"]
    word = "validating_files" if stage == "waiting" and job["looks"] == 0 else WORDS[stage]
    error = {"code": "invalid_training_file", "message": job["error"], "param": "training_file"}
    tuned = f"ft:{body['model']}:stand-in:{body.get('suffix') or ''}:{job['id'][-6:]}"
    return {
        "id": job["id"],
        "object": "fine_tuning.job",
        "created_at": job["created"],
        "model": body["model"],
        "organization_id": "org-stand-in",
        "status": word,
        "training_file": body["training_file"],
        "validation_file": body.get("validation_file"),
        "hyperparameters": {},
        "method": body.get("method"),
        "seed": 0,
        "result_files": ["result-metrics"] if stage == "succeeded" and stand_in.curve else [],
        "metadata": body.get("metadata"),
        "trained_tokens": None,
        "finished_at": None,
        "fine_tuned_model": tuned if stage == "succeeded" else None,
        "error": error if stage == "failed" else None,
    }


def upload(stand_in, request):
    form = request.form()
    id = stand_in.keep(*form["file"])
    return 200, {}, _file(id, stand_in.files[id])


def list_files(stand_in, request):
    return 200, {}, {"object": "list", "has_more": False, "data": [_file(*pair) for pair in stand_in.files.items()]}


def file_content(stand_in, request, id):
    if id == "result-metrics":
        rows = ["step,train_loss", *(f"{row['step']},{row['train_loss']}" for row in stand_in.curve)]
        return 200, {"Content-Type": "text/csv"}, "\n".join(rows).encode()
    return 200, {"Content-Type": "application/jsonl"}, stand_in.files[id]["content"]


def delete_file(stand_in, request, id):
    if stand_in.files.pop(id, None) is None:
        return refuse(request, 404, f"No such File object: {id}")
    stand_in.deleted.append(id)
    return 200, {}, {"id": id, "object": "file", "deleted": True}


def create(stand_in, request):
    body = request.json
    for name in ("training_file", "validation_file"):
        if body.get(name) and body[name] not in stand_in.files:
            return refuse(request, 400, f"{name}: file {body[name]} does not exist or has expired")
    job = stand_in.start(f"ftjob-{len(stand_in.jobs) + 1:06d}", body, (body.get("metadata") or {}).get("ftlab", ""))
    rows = stand_in.files[body["training_file"]]["content"].count(b"\n")
    if rows < MIN_ROWS:
        job["error"] = f"Training file has {rows} example(s), but must have at least {MIN_ROWS} examples"
    return 200, {}, _job(stand_in, job)


def list_jobs(stand_in, request):
    mark = request.query.get("metadata[ftlab]")
    found = [job for job in stand_in.jobs.values() if mark in (None, job["mark"])]
    return 200, {}, {"object": "list", "has_more": False, "data": [_job(stand_in, job) for job in found]}


def look(stand_in, request, id):
    if id not in stand_in.jobs:
        return refuse(request, 404, f"Could not find fine tune: {id}")
    return 200, {}, _job(stand_in, stand_in.jobs[id], look=True)


def cancel(stand_in, request, id):
    stand_in.jobs[id]["cancelled"] = True
    return 200, {}, _job(stand_in, stand_in.jobs[id])


def events(stand_in, request, id):
    job = stand_in.jobs[id]
    told = [("message", "Created fine-tuning job (stand-in: nothing is trained)", None)]
    told += [("message", "Fine-tuning job started", None)] if job["looks"] >= 2 else []
    told += [("metrics", f"Step {row['step']}: training loss={row['train_loss']}", row) for row in stand_in.curve]
    data = [
        {
            "id": f"ev-{number}",
            "object": "fine_tuning.job.event",
            "created_at": number,
            "level": "info",
            "message": message,
            "type": kind,
            "data": values,
        }
        for number, (kind, message, values) in enumerate(told)
    ]
    return 200, {}, {"object": "list", "has_more": False, "data": data[::-1]}


def delete_model(stand_in, request, id):
    stand_in.deleted.append(id)
    return 200, {}, {"id": id, "object": "model", "deleted": True}


def chat(stand_in, request):
    body = request.json
    most = body.get("max_tokens") or body.get("max_completion_tokens") or 96
    said = stand_in.answer(body["messages"], most)
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": said["text"]},
        "finish_reason": said["finish_reason"],
    }
    usage = {
        "prompt_tokens": said["prompt_tokens"],
        "completion_tokens": said["new_tokens"],
        "total_tokens": said["prompt_tokens"] + said["new_tokens"],
    }
    return (
        200,
        {},
        {
            "id": "chat-1",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body["model"],
            "choices": [choice],
            "usage": usage,
        },
    )


def deploy(stand_in, request, id):
    stand_in.deployments[id] = request.json
    return 201, {}, {"id": f"/deployments/{id}", "name": id, "properties": {"provisioningState": "Succeeded"}}


def undeploy(stand_in, request, id):
    stand_in.deployments.pop(id, None)
    return 202, {}, b""


OPENAI = [
    ("POST", r"/files", upload),
    ("GET", r"/files", list_files),
    ("GET", r"/files/([^/]+)/content", file_content),
    ("DELETE", r"/files/([^/]+)", delete_file),
    ("POST", r"/fine_tuning/jobs", create),
    ("GET", r"/fine_tuning/jobs", list_jobs),
    ("GET", r"/fine_tuning/jobs/([^/]+)", look),
    ("POST", r"/fine_tuning/jobs/([^/]+)/cancel", cancel),
    ("GET", r"/fine_tuning/jobs/([^/]+)/events", events),
    ("DELETE", r"/models/(.+)", delete_model),
    ("POST", r"/chat/completions", chat),
]
AZURE = r"/subscriptions/.*/deployments/([^/]+)"
ROUTES = [(method, rf"(?:/openai)?/v1{path}", function) for method, path, function in OPENAI]
ROUTES += [("PUT", AZURE, deploy), ("DELETE", AZURE, undeploy), *OTHERS, *CLOUDS]
