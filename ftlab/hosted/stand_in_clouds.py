"""The paths of Google's and Amazon's clouds in the stand-in: jobs, and the buckets that both read from."""

from xml.sax.saxutils import escape

NOW = "2026-01-01T00:00:00Z"


def _missing(message):
    return (
        404,
        {"x-amzn-ErrorType": "ResourceNotFoundException"},
        {"message": message, "error": {"code": 404, "message": message}},
    )


def _bad(message):
    return (
        400,
        {"x-amzn-ErrorType": "ValidationException"},
        {"message": message, "error": {"code": 400, "message": message}},
    )


# --- Vertex

VERTEX = {
    "waiting": "PENDING",
    "running": "RUNNING",
    "succeeded": "SUCCEEDED",
    "failed": "FAILED",
    "cancelled": "CANCELLED",
}


def _tuning_job(stand_in, job, look=False):
    stage, body = stand_in.stage(job, look), job["body"]
    place = job["id"].split("/tuningJobs/")[0]
    number = job["id"].split("/")[-1]
    found = {"name": job["id"], "state": f"JOB_STATE_{VERTEX[stage]}", "createTime": NOW} | body
    if stage == "succeeded":
        found["tunedModel"] = {"model": f"{place}/models/{number}", "endpoint": f"{place}/endpoints/{number}"}
    if stage == "failed":
        found["error"] = {"code": 3, "message": job["error"]}
    return found


def gcs_upload(stand_in, request, bucket):
    id = f"gs://{bucket}/{request.query['name']}"
    stand_in.keep(id, request.body, id)
    return 200, {}, {"name": request.query["name"]}


def gcs_delete(stand_in, request, bucket, name):
    id = f"gs://{bucket}/{name}"
    if stand_in.files.pop(id, None) is None:
        return _missing(f"no object {id}")
    stand_in.deleted.append(id)
    return 204, {}, b""


def vertex_create(stand_in, request, place):
    body = request.json
    spec = body.get("supervisedTuningSpec") or body.get("preferenceOptimizationSpec")
    if spec["trainingDatasetUri"] not in stand_in.files:
        return _bad(f"the training file {spec['trainingDatasetUri']} does not exist")
    id = f"{place}/tuningJobs/{len(stand_in.jobs) + 1:06d}"
    return 200, {}, _tuning_job(stand_in, stand_in.start(id, body, body["tunedModelDisplayName"]))


def vertex_jobs(stand_in, request, place):
    return 200, {}, {"tuningJobs": [_tuning_job(stand_in, job) for job in stand_in.jobs.values()]}


def vertex_look(stand_in, request, id):
    return (200, {}, _tuning_job(stand_in, stand_in.jobs[id], look=True)) if id in stand_in.jobs else _missing(id)


def vertex_cancel(stand_in, request, id):
    stand_in.jobs[id]["cancelled"] = True
    return 200, {}, {}


def vertex_delete_model(stand_in, request, id):
    stand_in.deleted.append(id)
    return 200, {}, {}


def vertex_endpoint(stand_in, request, id):
    """The endpoint of a tuned model; it gives up its model at the second look after it was asked."""
    if id in stand_in.deleted:
        return _missing(id)
    looks = stand_in.endpoints.setdefault(id, 3)
    if looks < 3:
        stand_in.endpoints[id] = looks - 1
    return 200, {}, {"name": id} | ({"deployedModels": [{"id": "1"}]} if stand_in.endpoints[id] > 0 else {})


def vertex_undeploy(stand_in, request, id):
    if request.json != {"deployedModelId": "1"} or stand_in.endpoints.get(id) != 3:
        return _bad("the model is not deployed there, or is on its way already")
    stand_in.endpoints[id] = 2
    return 200, {}, {"name": f"{id}/operations/1"}


def vertex_delete_endpoint(stand_in, request, id):
    if stand_in.endpoints.get(id) != 0:
        return _bad("the endpoint still holds a model")
    stand_in.deleted.append(id)
    return 200, {}, {"name": f"{id}/operations/2"}


def vertex_generate(stand_in, request, id):
    body = request.json
    system = [
        {"role": "system", "content": part["text"]} for part in body.get("systemInstruction", {}).get("parts", [])
    ]
    turns = [
        {"role": "assistant" if turn["role"] == "model" else "user", "content": turn["parts"][0]["text"]}
        for turn in body["contents"]
    ]
    said = stand_in.answer(system + turns, body.get("generationConfig", {}).get("maxOutputTokens", 96))
    reason = "MAX_TOKENS" if said["finish_reason"] == "length" else "STOP"
    content = {"role": "model", "parts": [{"text": said["text"]}]}
    usage = {"promptTokenCount": said["prompt_tokens"], "candidatesTokenCount": said["new_tokens"]}
    return 200, {}, {"candidates": [{"content": content, "finishReason": reason}], "usageMetadata": usage}


# --- Bedrock and S3

BEDROCK = {
    "waiting": "InProgress",
    "running": "InProgress",
    "succeeded": "Completed",
    "failed": "Failed",
    "cancelled": "Stopped",
}
ARN = "arn:aws:bedrock:us-east-1:123456789012"


def _customization(stand_in, job, look=False):
    stage, body = stand_in.stage(job, look), job["body"]
    found = {
        name: body[name]
        for name in (
            "jobName",
            "roleArn",
            "clientRequestToken",
            "trainingDataConfig",
            "outputDataConfig",
            "hyperParameters",
        )
    }
    found |= {
        "jobArn": job["id"],
        "outputModelName": body["customModelName"],
        "creationTime": NOW,
        "status": BEDROCK[stage],
        "baseModelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{body['baseModelIdentifier']}",
        "validationDataConfig": body.get("validationDataConfig", {"validators": []}),
    }
    if stage == "succeeded":
        found["outputModelArn"] = f"{ARN}:custom-model/{body['customModelName']}"
    if stage == "failed":
        found["failureMessage"] = job["error"]
    return found


def s3_put(stand_in, request, bucket, key):
    id = f"s3://{bucket}/{key}"
    stand_in.keep(id, request.body, id)
    return 200, {"ETag": '"0"'}, b""


def s3_get(stand_in, request, bucket, key):
    file = stand_in.files.get(f"s3://{bucket}/{key}")
    return (200, {"Content-Type": "text/plain"}, file["content"]) if file else _missing(key)


def s3_delete(stand_in, request, bucket, key):
    stand_in.files.pop(f"s3://{bucket}/{key}", None)
    stand_in.deleted.append(f"s3://{bucket}/{key}")
    return 204, {}, b""


def s3_list(stand_in, request, bucket):
    start = f"s3://{bucket}/"
    keys = [id.removeprefix(start) for id in stand_in.files if id.startswith(start + request.query.get("prefix", ""))]
    items = "".join(f"<Contents><Key>{escape(key)}</Key><Size>1</Size></Contents>" for key in keys)
    head = f"<Name>{bucket}</Name><KeyCount>{len(keys)}</KeyCount><IsTruncated>false</IsTruncated>"
    return 200, {"Content-Type": "application/xml"}, f"<ListBucketResult>{head}{items}</ListBucketResult>".encode()


def bedrock_create(stand_in, request):
    body = request.json
    there = next((job for job in stand_in.jobs.values() if job["mark"] == body["clientRequestToken"]), None)
    if there is None:
        if body["trainingDataConfig"]["s3Uri"] not in stand_in.files:
            return _bad(f"the S3 object {body['trainingDataConfig']['s3Uri']} does not exist")
        there = stand_in.start(
            f"{ARN}:model-customization-job/{len(stand_in.jobs) + 1:06d}", body, body["clientRequestToken"]
        )
        output = body["outputDataConfig"]["s3Uri"]
        for row in stand_in.curve[:1]:
            lines = [",".join(row), *(",".join(map(str, each.values())) for each in stand_in.curve)]
            path = f"{output}/training_artifacts/step_wise_training_metrics.csv"
            stand_in.keep(path, "\n".join(lines).encode(), path)
    return 201, {}, {"jobArn": there["id"]}


def bedrock_jobs(stand_in, request):
    names = ("jobArn", "jobName", "status", "creationTime", "baseModelArn")
    found = [
        _customization(stand_in, job) for job in stand_in.jobs.values() if request.query["nameContains"] in job["mark"]
    ]
    return 200, {}, {"modelCustomizationJobSummaries": [{name: each[name] for name in names} for each in found]}


def bedrock_look(stand_in, request, id):
    return (200, {}, _customization(stand_in, stand_in.jobs[id], look=True)) if id in stand_in.jobs else _missing(id)


def bedrock_stop(stand_in, request, id):
    stand_in.jobs[id]["cancelled"] = True
    return 200, {}, {}


def bedrock_deploy(stand_in, request):
    name = request.json["modelDeploymentName"]
    stand_in.deployments[name] = request.json
    return 202, {}, {"customModelDeploymentArn": f"{ARN}:custom-model-deployment/{name}"}


def bedrock_undeploy(stand_in, request, id):
    stand_in.deployments.pop(id.split("/")[-1], None)
    return 200, {}, {}


def bedrock_delete_model(stand_in, request, id):
    stand_in.deleted.append(id)
    return 200, {}, {}


def bedrock_converse(stand_in, request, id):
    body = request.json
    system = [{"role": "system", "content": part["text"]} for part in body.get("system", [])]
    turns = [{"role": turn["role"], "content": turn["content"][0]["text"]} for turn in body["messages"]]
    said = stand_in.answer(system + turns, body.get("inferenceConfig", {}).get("maxTokens", 96))
    usage = {
        "inputTokens": said["prompt_tokens"],
        "outputTokens": said["new_tokens"],
        "totalTokens": said["prompt_tokens"] + said["new_tokens"],
    }
    message = {"role": "assistant", "content": [{"text": said["text"]}]}
    reason = "max_tokens" if said["finish_reason"] == "length" else "end_turn"
    return 200, {}, {"output": {"message": message}, "stopReason": reason, "usage": usage, "metrics": {"latencyMs": 1}}


PLACE = r"/v1beta1/(projects/[^/]+/locations/[^/]+)"
M, B = "/model-customization-jobs", "/(stand-in)"
ROUTES = [
    ("POST", r"/upload/storage/v1/b/([^/]+)/o", gcs_upload),
    ("DELETE", r"/storage/v1/b/([^/]+)/o/(.+)", gcs_delete),
    ("POST", rf"{PLACE}/tuningJobs", vertex_create),
    ("GET", rf"{PLACE}/tuningJobs", vertex_jobs),
    ("GET", r"/v1beta1/(projects/.+/tuningJobs/[^/]+)", vertex_look),
    ("POST", r"/v1beta1/(projects/.+/tuningJobs/[^/]+):cancel", vertex_cancel),
    ("DELETE", r"/v1beta1/(projects/.+/models/[^/]+)", vertex_delete_model),
    ("POST", r"/v1beta1/(projects/.+/endpoints/[^/]+):generateContent", vertex_generate),
    ("GET", r"/v1/(projects/.+/endpoints/[^/]+)", vertex_endpoint),
    ("POST", r"/v1/(projects/.+/endpoints/[^/]+):undeployModel", vertex_undeploy),
    ("DELETE", r"/v1/(projects/.+/endpoints/[^/]+)", vertex_delete_endpoint),
    ("POST", M, bedrock_create),
    ("GET", M, bedrock_jobs),
    ("GET", rf"{M}/([^/]+/[^/]+)", bedrock_look),
    ("POST", rf"{M}/(.+)/stop", bedrock_stop),
    ("POST", "/model-customization/custom-model-deployments", bedrock_deploy),
    ("DELETE", "/model-customization/custom-model-deployments/(.+)", bedrock_undeploy),
    ("DELETE", "/custom-models/(.+)", bedrock_delete_model),
    ("POST", "/model/(.+)/converse", bedrock_converse),
    ("PUT", rf"{B}/(.+)", s3_put),
    ("GET", B + "/?", s3_list),
    ("GET", rf"{B}/(.+)", s3_get),
    ("DELETE", rf"{B}/(.+)", s3_delete),
]
