"""The paths of Google's and Amazon's clouds in the stand-in: jobs, and the buckets that both read from."""

from xml.sax.saxutils import escape

from ftlab.hosted import stand_in_routes as common

NOW = "2026-01-01T00:00:00Z"

# --- Vertex


def _tuning_job(stand_in, job):
    stage, body = stand_in.stage(job), job["body"]
    place, number = job["id"].split("/tuningJobs/")
    state = "PENDING" if stage == "waiting" else stage.upper()
    found = {"name": job["id"], "state": f"JOB_STATE_{state}", "createTime": NOW} | body
    if stage == "succeeded":
        found["tunedModel"] = {"model": f"{place}/models/{number}", "endpoint": f"{place}/endpoints/{number}"}
    if stage == "failed":
        found["error"] = {"code": 3, "message": job["error"]}
    return found


def gcs_upload(stand_in, request, bucket):
    id = f"gs://{bucket}/{request.query['name']}"
    stand_in.keep(id, request.body, id)
    return {"name": request.query["name"]}


def gcs_delete(stand_in, request, bucket, name):
    return common.drop_file(stand_in, request, f"gs://{bucket}/{name}")


def vertex_create(stand_in, request, place):
    body = request.json
    spec = body.get("supervisedTuningSpec") or body.get("preferenceOptimizationSpec")
    common.need_file(stand_in, spec["trainingDatasetUri"])
    id = f"{place}/tuningJobs/{len(stand_in.jobs) + 1:06d}"
    return stand_in.start(_tuning_job, id, body, body["tunedModelDisplayName"])


def vertex_endpoint(stand_in, request, id):
    """The endpoint of a tuned model; it gives up its model at the second look after it was asked."""
    if id in stand_in.deleted:
        raise common.Refused(404, f"no endpoint {id}")
    looks = stand_in.endpoints.setdefault(id, 3)
    stand_in.endpoints[id] = max(0, looks - (looks < 3))
    return {"name": id} | ({"deployedModels": [{"id": "1"}]} if stand_in.endpoints[id] > 0 else {})


def vertex_undeploy(stand_in, request, id):
    if request.json != {"deployedModelId": "1"} or stand_in.endpoints.get(id) != 3:
        raise common.Refused(400, "the model is not deployed there, or is on its way already")
    stand_in.endpoints[id] = 2
    return {"name": f"{id}/operations/1"}


def vertex_delete_endpoint(stand_in, request, id):
    if stand_in.endpoints.get(id) != 0:
        raise common.Refused(400, "the endpoint still holds a model")
    stand_in.deleted.append(id)
    return {"name": f"{id}/operations/2"}


def vertex_generate(stand_in, request, id):
    body = request.json
    chat = [("system", part) for part in body.get("systemInstruction", {}).get("parts", [])]
    chat += [("assistant" if turn["role"] == "model" else "user", turn["parts"][0]) for turn in body["contents"]]
    messages = [{"role": role, "content": part["text"]} for role, part in chat]
    said = stand_in.answer(messages, body.get("generationConfig", {}).get("maxOutputTokens", 96))
    reason = "MAX_TOKENS" if said["finish_reason"] == "length" else "STOP"
    content = {"role": "model", "parts": [{"text": said["text"]}]}
    usage = {"promptTokenCount": said["prompt_tokens"], "candidatesTokenCount": said["new_tokens"]}
    return {"candidates": [{"content": content, "finishReason": reason}], "usageMetadata": usage}


# --- Bedrock and S3

BEDROCK = {"succeeded": "Completed", "failed": "Failed", "cancelled": "Stopped"}
ARN = "arn:aws:bedrock:us-east-1:123456789012"


def _customization(stand_in, job):
    stage, body = stand_in.stage(job), job["body"]
    base = f"arn:aws:bedrock:us-east-1::foundation-model/{body['baseModelIdentifier']}"
    found = body | {"jobArn": job["id"], "creationTime": NOW, "status": BEDROCK.get(stage, "InProgress"),
                    "baseModelArn": base}  # fmt: skip
    if stage == "succeeded":
        found["outputModelArn"] = f"{ARN}:custom-model/{body['customModelName']}"
    if stage == "failed":
        found["failureMessage"] = job["error"]
    return found


def s3_put(stand_in, request, bucket, key):
    stand_in.keep(f"s3://{bucket}/{key}", request.body, f"s3://{bucket}/{key}")
    return b""


def s3_get(stand_in, request, bucket, key):
    file = stand_in.files.get(f"s3://{bucket}/{key}")
    if file is None:
        raise common.Refused(404, key)
    return file["content"]


def s3_delete(stand_in, request, bucket, key):
    common.drop_file(stand_in, request, f"s3://{bucket}/{key}")
    return b""


def s3_list(stand_in, request, bucket):
    start = f"s3://{bucket}/"
    keys = [id.removeprefix(start) for id in stand_in.files if id.startswith(start + request.query.get("prefix", ""))]
    items = "".join(f"<Contents><Key>{escape(key)}</Key><Size>1</Size></Contents>" for key in keys)
    head = f"<Name>{bucket}</Name><KeyCount>{len(keys)}</KeyCount><IsTruncated>false</IsTruncated>"
    return f"<ListBucketResult>{head}{items}</ListBucketResult>".encode()


def bedrock_create(stand_in, request):
    body = request.json
    id = next((job["id"] for job in stand_in.jobs.values() if job["mark"] == body["clientRequestToken"]), None)
    if id is None:
        common.need_file(stand_in, body["trainingDataConfig"]["s3Uri"])
        id = f"{ARN}:model-customization-job/{len(stand_in.jobs) + 1:06d}"
        stand_in.start(_customization, id, body, body["clientRequestToken"])
        if stand_in.curve:
            path = f"{body['outputDataConfig']['s3Uri']}/training_artifacts/step_wise_training_metrics.csv"
            stand_in.keep(path, common.curve_table(stand_in), path)
    return {"jobArn": id}


def bedrock_deploy(stand_in, request):
    name = request.json["modelDeploymentName"]
    stand_in.deployments[name] = request.json
    return {"customModelDeploymentArn": f"{ARN}:custom-model-deployment/{name}"}


def bedrock_deployments(stand_in, request):
    base = f"{ARN}:custom-model-deployment"
    return {"modelDeploymentSummaries": [
        {"customModelDeploymentArn": f"{base}/{name}", "customModelDeploymentName": name, "createdAt": NOW,
         "modelArn": body["modelArn"], "status": "Active"}
        for name, body in stand_in.deployments.items() if request.query.get("nameContains", "") in name
    ]}  # fmt: skip


def bedrock_deployment(stand_in, request, id):
    state = common.deployment_state(stand_in, id)
    states = {"waiting": "Creating", "ready": "Active", "failed": "Failed"}
    found = {"customModelDeploymentArn": id, "modelDeploymentName": id.split("/")[-1], "createdAt": NOW}
    found |= {"modelArn": stand_in.deployments[id.split("/")[-1]]["modelArn"], "status": states[state]}
    return found | ({"failureMessage": "on demand"} if state == "failed" else {})


def bedrock_converse(stand_in, request, id):
    body = request.json
    chat = [("system", part) for part in body.get("system", [])]
    chat += [(turn["role"], turn["content"][0]) for turn in body["messages"]]
    messages = [{"role": role, "content": part["text"]} for role, part in chat]
    said = stand_in.answer(messages, body.get("inferenceConfig", {}).get("maxTokens", 96))
    counts = (said["prompt_tokens"], said["new_tokens"])
    usage = {"inputTokens": counts[0], "outputTokens": counts[1], "totalTokens": sum(counts)}
    message = {"role": "assistant", "content": [{"text": said["text"]}]}
    reason = "max_tokens" if said["finish_reason"] == "length" else "end_turn"
    return {"output": {"message": message}, "stopReason": reason, "usage": usage}


PLACE = "/v1beta1/(projects/[^/]+/locations/[^/]+)"
TUNE, ENDPOINT = "/v1beta1/(projects/.+/tuningJobs/[^/]+)", "/v1/(projects/.+/endpoints/[^/]+)"
JOBS, DEPLOYMENTS, BUCKET = "/model-customization-jobs", "/model-customization/custom-model-deployments", "/(stand-in)"
ROUTES = [
    ("gcs_upload", "POST", "/upload/storage/v1/b/([^/]+)/o", gcs_upload),
    ("gcs_delete", "DELETE", "/storage/v1/b/([^/]+)/o/(.+)", gcs_delete),
    ("vertex_create", "POST", f"{PLACE}/tuningJobs", vertex_create),
    ("vertex_jobs", "GET", f"{PLACE}/tuningJobs", common.listing(_tuning_job, "tuningJobs")),
    ("vertex_look", "GET", TUNE, common.look),
    ("vertex_cancel", "POST", f"{TUNE}:cancel", common.cancel),
    ("vertex_delete_model", "DELETE", "/v1beta1/(projects/.+/models/[^/]+)", common.forget_model),
    ("vertex_generate", "POST", "/v1beta1/(projects/.+/endpoints/[^/]+):generateContent", vertex_generate),
    ("vertex_endpoint", "GET", ENDPOINT, vertex_endpoint),
    ("vertex_undeploy", "POST", f"{ENDPOINT}:undeployModel", vertex_undeploy),
    ("vertex_delete_endpoint", "DELETE", ENDPOINT, vertex_delete_endpoint),
    ("bedrock_create", "POST", JOBS, bedrock_create),
    ("bedrock_jobs", "GET", JOBS, common.listing(_customization, "modelCustomizationJobSummaries", "nameContains")),
    ("bedrock_look", "GET", f"{JOBS}/([^/]+/[^/]+)", common.look),
    ("bedrock_stop", "POST", f"{JOBS}/(.+)/stop", common.cancel),
    ("bedrock_deploy", "POST", DEPLOYMENTS, bedrock_deploy),
    ("bedrock_deployments", "GET", DEPLOYMENTS, bedrock_deployments),
    ("bedrock_deployment", "GET", f"{DEPLOYMENTS}/(.+)", bedrock_deployment),
    ("bedrock_undeploy", "DELETE", f"{DEPLOYMENTS}/(.+)", common.end_deployment),
    ("bedrock_delete_model", "DELETE", "/custom-models/(.+)", common.forget_model),
    ("bedrock_converse", "POST", "/model/(.+)/converse", bedrock_converse),
    ("s3_put", "PUT", f"{BUCKET}/(.+)", s3_put),
    ("s3_list", "GET", f"{BUCKET}/?", s3_list),
    ("s3_get", "GET", f"{BUCKET}/(.+)", s3_get),
    ("s3_delete", "DELETE", f"{BUCKET}/(.+)", s3_delete),
]
