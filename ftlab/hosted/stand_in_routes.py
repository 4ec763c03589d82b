"""What the paths of the stand-in share, and those of OpenAI and Azure; the other services' stand beside it.

A route is a name, a method, a pattern and a function of the stand-in, the request and the pattern's groups, of which
the last is an id. It gives the content of the answer, or (status, headers, content). An answer has the fields that the
services' SDKs and this package read, and no more.
"""

MIN_ROWS = 10  # at OpenAI


class Refused(Exception):
    """(status, message), which is sent in the form of the service that was asked."""


def the_job(stand_in, id: str) -> dict:
    """The job of this id."""
    if id not in stand_in.jobs or id in stand_in.deleted:
        raise Refused(404, f"no job {id}")
    return stand_in.jobs[id]


def look(stand_in, request, *groups):
    """A job, which each look moves on."""
    job = the_job(stand_in, groups[-1])
    job["looks"] += not job["cancelled"]
    return job["view"](stand_in, job)


def cancel(stand_in, request, *groups):
    """Stop a job."""
    job = the_job(stand_in, groups[-1])
    if stand_in.stage(job) in ("succeeded", "failed", "cancelled"):
        raise Refused(400, f"job {groups[-1]} has ended already")
    job["cancelled"] = True
    return job["view"](stand_in, job)


def listing(view, field: str, by: str = ""):
    """The route that lists the jobs of one service under `field`; the query `by` chooses them by their mark."""

    def list_jobs(stand_in, request, *_):
        wanted = request.query.get(by, "")
        found = [job for job in stand_in.jobs.values() if job["view"] is view and wanted in job["mark"]]
        return {field: [view(stand_in, job) for job in found], "has_more": False}

    return list_jobs


def forget(stand_in, request, *groups):
    """Delete a job."""
    if groups[-1] in stand_in.deleted:
        raise Refused(404, f"no {groups[-1]}")
    stand_in.deleted.append(groups[-1])
    return {"id": groups[-1], "deleted": True}


def forget_model(stand_in, request, *groups):
    """Delete a tuned model, which may have the name of its job."""
    return forget(stand_in, request, f"model {groups[-1]}")


def drop_file(stand_in, request, id):
    """Delete a file."""
    if stand_in.files.pop(id, None) is None:
        raise Refused(404, f"no file {id}")
    stand_in.deleted.append(id)
    return {"id": id, "deleted": True}


def deployment_state(stand_in, id: str) -> str:
    """Where a deployment is, by the last part of its name: ready at the third look."""
    id = id.split("/")[-1]
    if id not in stand_in.deployments:
        raise Refused(404, f"no deployment {id}")
    looks = stand_in.deployment_looks[id] = stand_in.deployment_looks.get(id, 0) + 1
    return "waiting" if looks < 3 else "failed" if stand_in.undeployable else "ready"


def end_deployment(stand_in, request, id):
    """Delete a deployment, by the last part of its name."""
    if id.split("/")[-1] not in stand_in.deployments:
        raise Refused(404, f"no deployment {id}")
    for held in (stand_in.deployments, stand_in.deployment_looks):
        held.pop(id.split("/")[-1], None)
    return {"id": id}


def need_file(stand_in, id: str, name: str = "the training file") -> None:
    """Refuse a job whose file is not there."""
    if id not in stand_in.files:
        raise Refused(400, f"{name}: file {id} does not exist or has expired")


def curve_table(stand_in) -> bytes:
    """The metrics that jobs report, as CSV."""
    rows = stand_in.curve
    return "\n".join(",".join(map(str, line)) for line in [list(rows[0]), *(row.values() for row in rows)]).encode()


def chat(stand_in, request):
    """A chat in OpenAI's form."""
    body = request.json
    said = stand_in.answer(body["messages"], body.get("max_tokens") or body.get("max_completion_tokens") or 96)
    choice = {"message": {"role": "assistant", "content": said["text"]}, "finish_reason": said["finish_reason"]}
    usage = {"prompt_tokens": said["prompt_tokens"], "completion_tokens": said["new_tokens"]}
    return {"object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage}


# --- OpenAI; Azure has the same under /openai/v1


def _file(id, file):
    return {"id": id, "object": "file", "filename": file["name"], "status": "processed"}


def _job(stand_in, job):
    stage, body = stand_in.stage(job), job["body"]
    waiting = "queued" if job["looks"] else "validating_files"
    tuned = f"ft:{body['model']}:stand-in:{body.get('suffix') or ''}:{job['id'][-6:]}"
    error = {"code": "invalid_training_file", "message": job["error"], "param": "training_file"}
    return {
        "id": job["id"], "object": "fine_tuning.job", "model": body["model"], "metadata": body.get("metadata"),
        "status": waiting if stage == "waiting" else stage,
        "result_files": ["result-metrics"] if stage == "succeeded" and stand_in.curve else [],
        "fine_tuned_model": tuned if stage == "succeeded" else None,
        "error": error if stage == "failed" else None,
    }  # fmt: skip


def upload(stand_in, request):
    id = stand_in.keep(*request.form()["file"])
    return _file(id, stand_in.files[id])


def list_files(stand_in, request):
    return {"data": [_file(*pair) for pair in stand_in.files.items()], "has_more": False}


def file_content(stand_in, request, id):
    return curve_table(stand_in) if id == "result-metrics" else stand_in.files[id]["content"]


def create(stand_in, request):
    body = request.json
    for name in ("training_file", "validation_file"):
        if body.get(name):
            need_file(stand_in, body[name], name)
    id, mark = f"ftjob-{len(stand_in.jobs) + 1:06d}", (body.get("metadata") or {}).get("ftlab", "")
    made = stand_in.start(_job, id, body, mark)
    rows = stand_in.files[body["training_file"]]["content"].count(b"\n")
    if rows < MIN_ROWS:
        too_few = f"Training file has {rows} example(s), but must have at least {MIN_ROWS} examples"
        stand_in.jobs[id]["error"] = too_few
    return made


def events(stand_in, request, id):
    told = [("message", "Created fine-tuning job (stand-in: nothing is trained)", None)]
    told += [("message", "Fine-tuning job started", None)] if the_job(stand_in, id)["looks"] >= 2 else []
    told += [("metrics", f"Step {row['step']}: training loss={row['train_loss']}", row) for row in stand_in.curve]
    data = [dict(zip(("type", "message", "data"), each, strict=True)) for each in reversed(told)]
    return {"data": data, "has_more": False}


def deploy(stand_in, request, id):
    stand_in.deployments[id] = request.json
    return {"name": id}


def deployment(stand_in, request, id):
    states = {"waiting": "Creating", "ready": "Succeeded", "failed": "Failed"}
    return {"name": id, "properties": {"provisioningState": states[deployment_state(stand_in, id)]}}


JOB = "/fine_tuning/jobs/([^/]+)"
OPENAI = [
    ("upload", "POST", "/files", upload),
    ("list_files", "GET", "/files", list_files),
    ("file_content", "GET", "/files/([^/]+)/content", file_content),
    ("delete_file", "DELETE", "/files/([^/]+)", drop_file),
    ("create", "POST", "/fine_tuning/jobs", create),
    ("list_jobs", "GET", "/fine_tuning/jobs", listing(_job, "data", "metadata[ftlab]")),
    ("look", "GET", JOB, look),
    ("cancel", "POST", f"{JOB}/cancel", cancel),
    ("events", "GET", f"{JOB}/events", events),
    ("delete_model", "DELETE", "/models/(.+)", forget_model),
    ("chat", "POST", "/chat/completions", chat),
]
AZURE = "/subscriptions/.*/deployments/([^/]+)"
ROUTES = [(name, method, f"(?:/openai)?/v1{path}", function) for name, method, path, function in OPENAI]
ROUTES += [
    ("deploy", "PUT", AZURE, deploy),
    ("deployment", "GET", AZURE, deployment),
    ("undeploy", "DELETE", AZURE, end_deployment),
]
