"""The paths of Together and Fireworks in the stand-in."""

NOW = "2026-01-01T00:00:00Z"


def _missing(message):
    return 404, {}, {"error": {"message": message, "code": 404}}


# --- Together: an upload is an address, a PUT to it and a check

TOGETHER = {
    "waiting": "queued",
    "running": "running",
    "succeeded": "completed",
    "failed": "error",
    "cancelled": "cancelled",
}
LIMITS = {
    "default_gradient_accumulation_steps": 1,
    "max_learning_rate": 1.0,
    "min_learning_rate": 0.0,
    "max_num_checkpoints": 10,
    "max_num_epochs": 20,
    "max_num_evals": 100,
    "max_seq_length_dpo": 8192,
    "max_seq_length_sft": 8192,
    "merge_output_lora": True,
    "min_max_seq_length": 512,
    "model_name": "m",
    "supports_full_training": False,
    "supports_reasoning": False,
    "supports_tools": True,
    "supports_vision": False,
    "lora_training": {
        "default_rank": 8,
        "max_batch_size": 64,
        "max_batch_size_dpo": 64,
        "max_rank": 64,
        "min_batch_size": 1,
        "target_modules": ["q_proj"],
    },
}


def _together_file(id, file):
    return {
        "id": id,
        "object": "file",
        "bytes": len(file["content"]),
        "created_at": 0,
        "filename": file["name"],
        "purpose": "fine-tune",
        "FileType": "jsonl",
        "processing_status": "COMPLETED",
    }


def _together_job(stand_in, job, look=False):
    stage, body = stand_in.stage(job, look), job["body"]
    told = {"object": "fine-tune-event", "created_at": NOW}
    events = [told | {"type": "JOB_PENDING", "message": "Fine-tune request created (stand-in: nothing is trained)"}]
    events += [told | {"type": "JOB_START", "message": "Job started"}] if job["looks"] >= 2 else []
    events += [told | {"type": "JOB_ERROR", "message": job["error"]}] if stage == "failed" else []
    return {
        "id": job["id"],
        "status": TOGETHER[stage],
        "user_id": "stand-in",
        "created_at": NOW,
        "updated_at": NOW,
        "model": body["model"],
        "suffix": body.get("suffix"),
        "training_file": body["training_file"],
        "events": events,
        "model_output_name": f"stand-in/{body['model'].split('/')[-1]}-{body.get('suffix')}",
        "adapter_output_name": None,
        "model_object_name": f"projects/stand-in/models/{job['id']}",
        "token_count": None,
    }


def upload_address(stand_in, request):
    form = request.form() if "multipart" in request.headers["Content-Type"] else request.json
    name = form["file_name"][1].decode() if isinstance(form["file_name"], tuple) else form["file_name"]
    id = stand_in.keep(name, b"")
    return 302, {"Location": f"{stand_in.url}/together/put/{id}", "X-Together-File-Id": id}, {}


def upload_content(stand_in, request, id):
    stand_in.files[id]["content"] = request.body
    return 200, {}, {}


def upload_check(stand_in, request, id):
    return 200, {}, _together_file(id, stand_in.files[id])


def together_files(stand_in, request):
    whole = [pair for pair in stand_in.files.items() if pair[1]["content"]]
    return 200, {}, {"data": [_together_file(*pair) for pair in whole]}


def together_limits(stand_in, request):
    return 200, {}, LIMITS


def together_price(stand_in, request):
    return 200, {}, {"estimation_available": False, "unavailable_reason": "train_file_not_validated"}


def together_create(stand_in, request):
    body = request.json
    if body["training_file"] not in stand_in.files:
        return _missing(f"training file {body['training_file']} not found or expired")
    return (
        200,
        {},
        _together_job(stand_in, stand_in.start(f"ft-{len(stand_in.jobs) + 1:06d}", body, body.get("suffix") or "")),
    )


def together_jobs(stand_in, request):
    return 200, {}, {"data": [_together_job(stand_in, job) for job in stand_in.jobs.values()]}


def together_look(stand_in, request, id):
    return 200, {}, _together_job(stand_in, stand_in.jobs[id], look=True)


def together_events(stand_in, request, id):
    return 200, {}, {"data": _together_job(stand_in, stand_in.jobs[id])["events"]}


def together_metrics(stand_in, request, id):
    return 200, {}, {"metrics": stand_in.curve}


def together_cancel(stand_in, request, id):
    stand_in.jobs[id]["cancelled"] = True
    return 200, {}, _together_job(stand_in, stand_in.jobs[id])


def together_delete(stand_in, request, id):
    stand_in.deleted.append(id)
    return 200, {}, {"message": "deleted", "id": id}


def together_download(stand_in, request):
    return 200, {"Content-Type": "application/octet-stream"}, b"the stand-in has no weights"


def _endpoint(id):
    return {
        "id": id,
        "name": f"stand-in/{id.removeprefix('ep_')}",
        "createdAt": NOW,
        "updatedAt": NOW,
        "deployments": [],
        "trafficSplit": [],
        "endpointType": "ENDPOINT_TYPE_DEDICATED",
        "etag": "1",
        "projectId": "stand-in",
        "visibility": "VISIBILITY_PRIVATE",
    }


def _deployment(id, body):
    return {
        "id": id,
        "autoscaling": body["autoscaling"],
        "config": "c",
        "configId": "c",
        "createdAt": NOW,
        "endpointId": "e",
        "etag": "1",
        "hardware": "h",
        "model": body["model"],
        "modelId": "m",
        "modelRevisionId": "r",
        "name": body["name"],
        "projectId": "stand-in",
        "status": {"state": "DEPLOYMENT_STATE_READY"},
        "trafficMode": "TRAFFIC_MODE_LIVE",
        "updatedAt": NOW,
    }


def together_endpoints(stand_in, request):
    return 200, {}, {"data": [_endpoint(id) for id in stand_in.deployments]}


def together_endpoint(stand_in, request):
    stand_in.deployments[f"ep_{request.json['name']}"] = None
    return 200, {}, _endpoint(f"ep_{request.json['name']}")


def together_endpoint_change(stand_in, request, id):
    return 200, {}, _endpoint(id)


def together_deploy(stand_in, request, endpoint):
    stand_in.deployments[endpoint] = request.json
    return 200, {}, _deployment("dep_1", request.json)


def together_deployments(stand_in, request, endpoint):
    body = stand_in.deployments.get(endpoint)
    return 200, {}, {"data": [_deployment("dep_1", body)] if body else []}


def together_undeploy(stand_in, request, endpoint, id):
    stand_in.deployments[endpoint] = None
    return 200, {}, {"id": id}


def together_endpoint_delete(stand_in, request, id):
    stand_in.deployments.pop(id, None)
    return 200, {}, {"id": id}


def together_chat(stand_in, request):
    from ftlab.hosted.stand_in_routes import chat

    return chat(stand_in, request)


def together_delete_file(stand_in, request, id):
    from ftlab.hosted.stand_in_routes import delete_file

    return delete_file(stand_in, request, id)


# --- Fireworks: names are the caller's, so a second of the same name is refused

FIREWORKS = {
    "waiting": "PENDING",
    "running": "RUNNING",
    "succeeded": "COMPLETED",
    "failed": "FAILED",
    "cancelled": "CANCELLED",
}


def _fireworks_job(stand_in, job, look=False):
    stage = stand_in.stage(job, look)
    status = (
        {"code": "INVALID_ARGUMENT", "message": job["error"]} if stage == "failed" else {"code": "OK", "message": ""}
    )
    percent = {"waiting": 0, "running": 25 * job["looks"], "succeeded": 100}.get(stage, 0)
    return job["body"] | {
        "name": f"accounts/stand-in/jobs/{job['id']}",
        "state": f"JOB_STATE_{FIREWORKS[stage]}",
        "status": status,
        "jobProgress": {"percent": percent},
    }


def fireworks_dataset(stand_in, request):
    id = request.json["datasetId"]
    if id in stand_in.files:
        return 409, {}, {"error": {"message": f"dataset {id} exists already"}}
    stand_in.keep(id, b"", id)
    return 200, {}, {"name": f"accounts/stand-in/datasets/{id}", "state": "UPLOADING"}


def fireworks_upload(stand_in, request, id):
    stand_in.files[id]["content"] = request.form()["file"][1]
    return 200, {}, {}


def fireworks_dataset_look(stand_in, request, id):
    if id not in stand_in.files:
        return _missing(f"dataset {id} not found")
    state = "READY" if stand_in.files[id]["content"] else "UPLOADING"
    return 200, {}, {"name": f"accounts/stand-in/datasets/{id}", "state": state}


def fireworks_dataset_delete(stand_in, request, id):
    stand_in.files.pop(id, None)
    stand_in.deleted.append(id)
    return 200, {}, {}


def fireworks_create(stand_in, request, kind):
    body = request.json
    id = request.query.get("supervisedFineTuningJobId") or request.query.get("dpoJobId")
    if id in stand_in.jobs:
        return 409, {}, {"error": {"message": f"job {id} exists already"}}
    if body["dataset"].split("/")[-1] not in stand_in.files:
        return 400, {}, {"error": {"message": f"dataset {body['dataset']} not found"}}
    return 200, {}, _fireworks_job(stand_in, stand_in.start(id, body, id))


def fireworks_look(stand_in, request, kind, id):
    if id not in stand_in.jobs or id in stand_in.deleted:
        return _missing(f"job {id} not found")
    return 200, {}, _fireworks_job(stand_in, stand_in.jobs[id], look=True)


def fireworks_cancel(stand_in, request, kind, id):
    stand_in.jobs[id]["cancelled"] = True
    return 200, {}, {}


def fireworks_delete(stand_in, request, kind, id):
    stand_in.deleted.append(id)
    return 200, {}, {}


def fireworks_deploy(stand_in, request):
    id = request.query["deploymentId"]
    stand_in.deployments[id] = request.json
    return 200, {}, request.json | {"name": f"accounts/stand-in/deployments/{id}", "state": "READY"}


def fireworks_undeploy(stand_in, request, id):
    stand_in.deployments.pop(id, None)
    return 200, {}, {}


def fireworks_delete_model(stand_in, request, id):
    stand_in.deleted.append(id)
    return 200, {}, {}


def fireworks_addresses(stand_in, request, id):
    names = ("adapter_config.json", "adapter_model.safetensors")
    return 200, {}, {"filenameToSignedUrls": {f"{id}/{name}": f"{stand_in.url}/signed/{name}" for name in names}}


def fireworks_file(stand_in, request, name):
    return 200, {}, f"the stand-in's {name}".encode()


T, F = "/together/v1", "/v1/accounts/[^/]+"
E, D = "/together/v2/projects/[^/]+/endpoints", rf"{F}/datasets"
KIND = "(supervisedFineTuningJobs|dpoJobs)"
ROUTES = [
    ("POST", rf"{T}/files", upload_address),
    ("PUT", r"/together/put/([^/]+)", upload_content),
    ("POST", rf"{T}/files/([^/]+)/preprocess", upload_check),
    ("GET", rf"{T}/files", together_files),
    ("DELETE", rf"{T}/files/([^/]+)", together_delete_file),
    ("GET", rf"{T}/fine-tunes/models/limits", together_limits),
    ("POST", rf"{T}/fine-tunes/estimate-price", together_price),
    ("POST", rf"{T}/fine-tunes", together_create),
    ("GET", rf"{T}/fine-tunes", together_jobs),
    ("GET", rf"{T}/fine-tunes/([^/]+)", together_look),
    ("DELETE", rf"{T}/fine-tunes/([^/]+)", together_delete),
    ("GET", rf"{T}/fine-tunes/([^/]+)/events", together_events),
    ("GET", rf"{T}/fine-tunes/([^/]+)/metrics", together_metrics),
    ("POST", rf"{T}/fine-tunes/([^/]+)/cancel", together_cancel),
    ("GET", rf"{T}/finetune/download", together_download),
    ("GET", E, together_endpoints),
    ("POST", E, together_endpoint),
    ("PATCH", rf"{E}/([^/]+)", together_endpoint_change),
    ("DELETE", rf"{E}/([^/]+)", together_endpoint_delete),
    ("POST", rf"{E}/([^/]+)/deployments", together_deploy),
    ("GET", rf"{E}/([^/]+)/deployments", together_deployments),
    ("DELETE", rf"{E}/([^/]+)/deployments/([^/]+)", together_undeploy),
    ("POST", rf"{T}/chat/completions", together_chat),
    ("POST", D, fireworks_dataset),
    ("POST", rf"{D}/([^/]+):upload", fireworks_upload),
    ("GET", rf"{D}/([^/]+)", fireworks_dataset_look),
    ("DELETE", rf"{D}/([^/]+)", fireworks_dataset_delete),
    ("POST", rf"{F}/{KIND}", fireworks_create),
    ("GET", rf"{F}/{KIND}/([^/]+)", fireworks_look),
    ("POST", rf"{F}/{KIND}/([^/]+):cancel", fireworks_cancel),
    ("DELETE", rf"{F}/{KIND}/([^/]+)", fireworks_delete),
    ("POST", rf"{F}/deployments", fireworks_deploy),
    ("DELETE", rf"{F}/deployments/([^/]+)", fireworks_undeploy),
    ("DELETE", rf"{F}/models/([^/]+)", fireworks_delete_model),
    ("GET", rf"{F}/models/([^/]+):getDownloadEndpoint", fireworks_addresses),
    ("GET", r"/signed/([^/]+)", fireworks_file),
    ("POST", r"/inference/v1/chat/completions", together_chat),
]
