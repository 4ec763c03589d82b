"""The paths of Together and Fireworks in the stand-in."""

from ftlab.hosted import stand_in_routes as common

NOW = "2026-01-01T00:00:00Z"

# --- Together: an upload is an address, a PUT to it and a check

TOGETHER = {"waiting": "queued", "succeeded": "completed", "failed": "error"}  # others have the same word
LIMITS = {  # the SDK looks at these before it creates a job
    "min_max_seq_length": 512, "max_seq_length_sft": 8192, "max_seq_length_dpo": 8192, "supports_vision": False,
    "lora_training": {"default_rank": 8, "min_batch_size": 1, "max_batch_size": 64, "max_batch_size_dpo": 64},
}  # fmt: skip


def _together_file(id, file):
    return {"id": id, "object": "file", "filename": file["name"], "bytes": len(file["content"]), "created_at": 0,
            "purpose": "fine-tune", "FileType": "jsonl", "processing_status": "COMPLETED"}  # fmt: skip


def _together_job(stand_in, job):
    stage, body = stand_in.stage(job), job["body"]
    told = [("JOB_PENDING", "Fine-tune request created (stand-in: nothing is trained)")]
    told += [("JOB_START", "Job started")] if job["looks"] >= 2 else []
    told += [("JOB_ERROR", job["error"])] if stage == "failed" else []
    return {
        "id": job["id"], "status": TOGETHER.get(stage, stage), "created_at": NOW, "updated_at": NOW,
        "model": body["model"], "suffix": body.get("suffix"), "training_file": body["training_file"],
        "model_output_name": f"stand-in/{body['model'].split('/')[-1]}-{body.get('suffix')}",
        "model_object_name": f"projects/stand-in/models/{job['id']}",
        "events": [{"object": "fine-tune-event", "created_at": NOW, "type": kind, "message": message}
                   for kind, message in told],
    }  # fmt: skip


def upload_address(stand_in, request):
    form = request.form() if "multipart" in request.headers["Content-Type"] else request.json
    name = form["file_name"][1].decode() if isinstance(form["file_name"], tuple) else form["file_name"]
    id = stand_in.keep(name, b"")
    return 302, {"Location": f"{stand_in.url}/together/put/{id}", "X-Together-File-Id": id}, {}


def upload_content(stand_in, request, id):
    stand_in.files[id]["content"] = request.body
    return {}


def upload_check(stand_in, request, id):
    return _together_file(id, stand_in.files[id])


def together_files(stand_in, request):
    return {"data": [_together_file(*pair) for pair in stand_in.files.items()]}


def together_create(stand_in, request):
    body = request.json
    common.need_file(stand_in, body["training_file"])
    id = f"ft-{len(stand_in.jobs) + 1:06d}"
    return stand_in.start(_together_job, id, body, body.get("suffix") or "")


def together_events(stand_in, request, id):
    return {"data": _together_job(stand_in, common.the_job(stand_in, id))["events"]}


def _endpoint(stand_in, request, id):
    return {"id": id, "name": f"stand-in/{id.removeprefix('ep_')}"}


def together_endpoints(stand_in, request):
    return {"data": [_endpoint(stand_in, request, id) for id in stand_in.deployments]}


def together_endpoint(stand_in, request):
    id = f"ep_{request.json['name']}"
    stand_in.deployments[id] = None
    return _endpoint(stand_in, request, id)


def together_deploy(stand_in, request, endpoint):
    stand_in.deployments[endpoint] = request.json
    return {"id": "dep_1"}


def together_deployments(stand_in, request, endpoint):
    return {"data": [{"id": "dep_1"}] if stand_in.deployments.get(endpoint) else []}


def together_deployment(stand_in, request, endpoint, id):
    states = {"waiting": "PROVISIONING", "ready": "READY", "failed": "FAILED"}
    state = states[common.deployment_state(stand_in, endpoint)]
    return {"id": id, "status": {"state": f"DEPLOYMENT_STATE_{state}", "message": "as the stand-in says"}}


def together_undeploy(stand_in, request, endpoint, id):
    stand_in.deployments[endpoint] = None
    return {"id": id}


# --- Fireworks: names are the caller's, so a second of the same name is refused

FIREWORKS = {"waiting": "PENDING", "succeeded": "COMPLETED"}


def _fireworks_job(stand_in, job):
    stage = stand_in.stage(job)
    percent = {"running": 25 * job["looks"], "succeeded": 100}.get(stage, 0)
    return job["body"] | {
        "name": f"accounts/stand-in/jobs/{job['id']}", "state": f"JOB_STATE_{FIREWORKS.get(stage, stage.upper())}",
        "status": {"message": job["error"] if stage == "failed" else ""}, "jobProgress": {"percent": percent},
        "metricsFileSignedUrl": f"{stand_in.url}/signed/metrics?signature=stand-in",
    }  # fmt: skip


def _dataset(stand_in, request, id):
    if id not in stand_in.files:
        raise common.Refused(404, f"dataset {id} not found")
    state = "READY" if stand_in.files[id]["content"] else "UPLOADING"
    return {"name": f"accounts/stand-in/datasets/{id}", "state": state}


def fireworks_dataset(stand_in, request):
    id = request.json["datasetId"]
    if id in stand_in.files:
        raise common.Refused(409, f"dataset {id} exists already")
    stand_in.keep(id, b"", id)
    return _dataset(stand_in, request, id)


def fireworks_upload(stand_in, request, id):
    stand_in.files[id]["content"] = request.form()["file"][1]
    return {}


def fireworks_create(stand_in, request, kind):
    body = request.json
    id = request.query.get("supervisedFineTuningJobId") or request.query.get("dpoJobId")
    if id in stand_in.jobs:
        raise common.Refused(409, f"job {id} exists already")
    common.need_file(stand_in, body["dataset"].split("/")[-1])
    return stand_in.start(_fireworks_job, id, body, id)


def fireworks_metrics(stand_in, request, kind, id):
    return {"signedUrl": f"{stand_in.url}/signed/metrics?signature=stand-in"}


def fireworks_deploy(stand_in, request):
    id = request.query["deploymentId"]
    stand_in.deployments[id] = request.json
    return request.json | {"name": f"accounts/stand-in/deployments/{id}", "state": "CREATING"}


def fireworks_deployment(stand_in, request, id):
    states = {"waiting": "CREATING", "ready": "READY", "failed": "FAILED"}
    return {"name": f"accounts/stand-in/deployments/{id}", "state": states[common.deployment_state(stand_in, id)]}


def fireworks_addresses(stand_in, request, id):
    names = ("adapter_config.json", "adapter_model.safetensors")
    return {"filenameToSignedUrls": {f"{id}/{name}": f"{stand_in.url}/signed/{name}" for name in names}}


FILES, TUNES = "/together/v1/files", "/together/v1/fine-tunes"
ENDPOINTS, TUNE = "/together/v2/projects/[^/]+/endpoints", f"{TUNES}/([^/]+)"
ACCOUNT = "/v1/accounts/[^/]+"
DATA, JOBS = f"{ACCOUNT}/datasets", f"{ACCOUNT}/(supervisedFineTuningJobs|dpoJobs)"
ROUTES = [
    ("upload_address", "POST", FILES, upload_address),
    ("upload_content", "PUT", "/together/put/([^/]+)", upload_content),
    ("upload_check", "POST", f"{FILES}/([^/]+)/preprocess", upload_check),
    ("together_files", "GET", FILES, together_files),
    ("together_delete_file", "DELETE", f"{FILES}/([^/]+)", common.drop_file),
    ("together_limits", "GET", f"{TUNES}/models/limits", lambda *_: LIMITS),
    ("together_price", "POST", f"{TUNES}/estimate-price", lambda *_: {"estimation_available": False}),
    ("together_create", "POST", TUNES, together_create),
    ("together_jobs", "GET", TUNES, common.listing(_together_job, "data")),
    ("together_look", "GET", TUNE, common.look),
    ("together_delete", "DELETE", TUNE, common.forget),
    ("together_events", "GET", f"{TUNE}/events", together_events),
    ("together_metrics", "GET", f"{TUNE}/metrics", lambda stand_in, *_: {"metrics": stand_in.curve}),
    ("together_cancel", "POST", f"{TUNE}/cancel", common.cancel),
    ("together_download", "GET", "/together/v1/finetune/download", lambda *_: b"the stand-in has no weights"),
    ("together_endpoints", "GET", ENDPOINTS, together_endpoints),
    ("together_endpoint", "POST", ENDPOINTS, together_endpoint),
    ("together_endpoint_change", "PATCH", f"{ENDPOINTS}/([^/]+)", _endpoint),
    ("together_endpoint_delete", "DELETE", f"{ENDPOINTS}/([^/]+)", common.end_deployment),
    ("together_deploy", "POST", f"{ENDPOINTS}/([^/]+)/deployments", together_deploy),
    ("together_deployments", "GET", f"{ENDPOINTS}/([^/]+)/deployments", together_deployments),
    ("together_deployment", "GET", f"{ENDPOINTS}/([^/]+)/deployments/([^/]+)", together_deployment),
    ("together_undeploy", "DELETE", f"{ENDPOINTS}/([^/]+)/deployments/([^/]+)", together_undeploy),
    ("together_chat", "POST", "/together/v1/chat/completions", common.chat),
    ("fireworks_dataset", "POST", DATA, fireworks_dataset),
    ("fireworks_upload", "POST", f"{DATA}/([^/]+):upload", fireworks_upload),
    ("fireworks_dataset_look", "GET", f"{DATA}/([^/]+)", _dataset),
    ("fireworks_dataset_delete", "DELETE", f"{DATA}/([^/]+)", common.drop_file),
    ("fireworks_create", "POST", JOBS, fireworks_create),
    ("fireworks_metrics", "GET", f"{JOBS}/([^/]+):getMetricsFileEndpoint", fireworks_metrics),
    ("fireworks_look", "GET", f"{JOBS}/([^/]+)", common.look),
    ("fireworks_cancel", "POST", f"{JOBS}/([^/]+):cancel", common.cancel),
    ("fireworks_delete", "DELETE", f"{JOBS}/([^/]+)", common.forget),
    ("fireworks_deploy", "POST", f"{ACCOUNT}/deployments", fireworks_deploy),
    ("fireworks_deployment", "GET", f"{ACCOUNT}/deployments/([^/]+)", fireworks_deployment),
    ("fireworks_undeploy", "DELETE", f"{ACCOUNT}/deployments/([^/]+)", common.end_deployment),
    ("fireworks_delete_model", "DELETE", f"{ACCOUNT}/models/([^/]+)", common.forget_model),
    ("fireworks_addresses", "GET", f"{ACCOUNT}/models/([^/]+):getDownloadEndpoint", fireworks_addresses),
    ("fireworks_file", "GET", "/signed/([^/]+)", lambda stand_in, request, name: f"the stand-in's {name}".encode()),
    ("fireworks_chat", "POST", "/inference/v1/chat/completions", common.chat),
]
