"""Every service from end to end, its real SDK against the stand-in: the happy path, each failure, no double submit."""

import json
import ssl

import pytest
from hosted_cases import MODELS, SDK, count_words, each_service, free_prices, has_sdk, pairs, prepared, tickets

from ftlab.errors import DataError, ModelError, RecipeError
from ftlab.evaluation.gate import Bars
from ftlab.hosted import estimate as estimate_module
from ftlab.hosted import jobs
from ftlab.hosted.evaluate import evaluate_tuned, tuned_endpoint
from ftlab.hosted.job import ENDED, load_job
from ftlab.hosted.prepare import prepare
from ftlab.hosted.secrets import RefusedError
from ftlab.hosted.stand_in import StandIn
from ftlab.kept import write_predictions

ALL = each_service()
CURVE = [{"step": 1, "train_loss": 2.5}, {"step": 2, "train_loss": 1.25}]
SERVICES = ("openai", "azure", "vertex", "bedrock", "together", "fireworks")
UPLOAD = dict(
    zip(SERVICES, ("upload", "upload", "gcs_upload", "s3_put", "upload_address", "fireworks_upload"), strict=True)
)
CREATE = {name: "create" if name in SERVICES[:2] else f"{name}_create" for name in SERVICES}
LOOK = {name: "look" if name in SERVICES[:2] else f"{name}_look" for name in SERVICES}
DEPLOYED = ("azure", "bedrock", "together", "fireworks")


@pytest.fixture
def stand_in(monkeypatch):
    with StandIn() as stand_in:
        for name, value in stand_in.environment().items():
            monkeypatch.setenv(name, value)
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        # certificates are for https, and loading them takes most of the time of a client
        monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda *_, **__: None)
        monkeypatch.setattr(jobs.time, "sleep", lambda seconds: None)
        monkeypatch.setattr(estimate_module, "can_ask", lambda: True)
        monkeypatch.setattr("builtins.input", lambda text: "yes")
        yield stand_in


@pytest.fixture
def free(tmp_path):
    return free_prices(tmp_path)


def quiet(text):
    pass


def submitted(service, **changes):
    return jobs.submit(prepared(service, **changes), say=quiet)


def watched(job, **changes):
    return jobs.watch(job, every=0, say=quiet, sleep=lambda seconds: None, **changes)


def finished(service, **changes):
    return deployed(watched(submitted(service, **changes)))


def deployed(job, **changes):
    return jobs.deploy(job, **{"say": quiet, "every": 0, "sleep": lambda seconds: None} | changes)


# --- the happy path


@pytest.mark.parametrize("service", ALL)
def test_from_files_to_verdict_and_away_again(stand_in, service, tmp_path, free):
    stand_in.curve = CURVE
    job = submitted(service)
    assert load_job(job.name) == job
    assert set(job.ids) == {"train", "validation", "job"}
    job = watched(job)
    assert (job.state, job.error) == ("succeeded", "")
    assert job.tuned_model
    assert job.raw["create"]["id"] == job.ids["job"]
    job = deployed(job, prices=free)
    assert bool(stand_in.deployments) == (service in DEPLOYED)
    test, baseline = tmp_path / "test.jsonl", tmp_path / "baseline.jsonl"
    rows = [row.data for row in tickets(4)]
    test.write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_predictions(baseline, rows, [row["messages"][-1]["content"] for row in rows])
    judged = evaluate_tuned(job, test, baseline, tmp_path, yes=True, max_usd=1, prices=free, cache=tmp_path / "cache")
    assert set(judged.answers.texts) == {"I am a stand-in."}
    assert (judged.answers.requests, judged.answers.prompt_tokens, judged.answers.new_tokens) == (4, 40, 20)
    assert (judged.comparison.a, judged.comparison.b, judged.gate.verdict) == (1.0, 0.0, "not enough data")
    assert judged.gate.bars == Bars(metric="field_accuracy")
    job = jobs.delete(job, say=quiet)
    assert (job.state, job.ids, job.tuned_model) == ("deleted", {}, "")
    assert not stand_in.deployments
    assert not [file for file in stand_in.files.values() if file["name"].startswith("ftlab")]
    assert [line.split(" ", 2)[2].split()[0] for line in job.log][:4] == ["prepared", "uploaded", "uploaded", "created"]


@pytest.mark.parametrize("service", each_service("bedrock"))
def test_preference_pairs_are_trained_on_by_dpo(stand_in, service):
    job = finished(service, method="dpo")
    assert job.state == "succeeded"
    sent = json.dumps(next(iter(stand_in.jobs.values()))["body"])
    assert "dpo" in sent or "preferenceOptimizationSpec" in sent or service == "fireworks" and "trainingConfig" in sent


def test_rows_that_a_service_would_not_look_at_are_not_sent(stand_in):
    with pytest.raises(RecipeError, match="fireworks takes no validation rows for dpo"):
        prepared("fireworks", method="dpo", validation=pairs(3))


def test_bedrock_offers_no_dpo(stand_in):
    with pytest.raises(RecipeError, match="bedrock offers sft, and not dpo"):
        prepare("bedrock", "amazon.nova-micro-v1:0", pairs(), method="dpo")


@pytest.mark.parametrize("service", ALL)
def test_a_service_gets_the_epochs_under_its_own_name(stand_in, service):
    submitted(service, settings={"n_epochs": 2})
    body = json.dumps(next(iter(stand_in.jobs.values()))["body"])
    names = {
        "openai": '"n_epochs": 2',
        "azure": '"n_epochs": 2',
        "vertex": '"epochCount": 2',
        "bedrock": '"epochCount": "2"',
        "together": '"n_epochs": 2',
        "fireworks": '"epochs": 2',
    }
    assert names[service] in body


@pytest.mark.parametrize("service", ["openai", *each_service("openai", "vertex", "fireworks")])
def test_a_loss_curve_and_files_come_back_where_they_are_offered(stand_in, service, tmp_path):
    stand_in.curve = CURVE
    job = finished(service)
    assert jobs.loss_curve(job) == CURVE
    *paths, curve = jobs.fetch(job, tmp_path)
    assert json.loads(curve.read_text()) == CURVE
    assert len(paths) == 1
    assert paths[0].read_bytes()


# --- once


@pytest.mark.parametrize("service", ALL)
def test_a_second_submit_finds_the_first(stand_in, service):
    first = submitted(service)
    again = submitted(service)
    assert again.ids == first.ids
    assert stand_in.requests.count(CREATE[service]) == 1
    assert submitted(service, settings={"n_epochs": 1}).name != first.name
    assert len(stand_in.jobs) == 2


@pytest.mark.parametrize("service", ALL)
def test_a_job_whose_file_here_is_lost_is_found_at_the_service(stand_in, service):
    first = submitted(service)
    first.path.unlink()
    assert submitted(service).ids == first.ids
    assert len(stand_in.jobs) == 1
    assert stand_in.requests.count(CREATE[service]) == 1


def test_another_attempt_is_another_job(stand_in):
    assert submitted("openai").ids["job"] != submitted("openai", attempt=2).ids["job"]


def test_a_file_that_changed_since_it_was_prepared_is_not_sent(stand_in):
    job = prepared("openai")
    with open(job.files["train"], "a") as file:
        file.write("{}\n")
    with pytest.raises(DataError, match="has changed since it was prepared"):
        jobs.submit(job, say=quiet)
    assert stand_in.requests == []


def test_a_job_of_another_address_is_not_touched(stand_in, monkeypatch):
    job = submitted("openai")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(RecipeError, match="lead to another address now"):
        watched(job)


def test_two_processes_do_not_submit_at_once(stand_in):
    from filelock import FileLock

    job = prepared("openai")
    with FileLock(job.path.with_suffix(".lock")), pytest.raises(RecipeError, match="submitted by another process"):
        jobs.submit(job, say=quiet)
    assert not stand_in.jobs
    assert jobs.submit(job, say=quiet).ids["job"]


@pytest.mark.parametrize("service", ALL)
def test_a_deleted_job_is_not_taken_for_a_new_one(stand_in, service, monkeypatch):
    monkeypatch.setattr("ftlab.hosted.vertex.PAUSE", 0)
    job = jobs.delete(watched(submitted(service)), say=quiet)
    with pytest.raises(RecipeError, match=r"was deleted: .*--attempt 2"):
        submitted(service)
    assert jobs.submit(prepared(service, attempt=2), say=quiet).name != job.name


def test_what_was_not_counted_is_counted_by_a_second_prepare(stand_in):
    assert prepared("openai", tokenizer=None).tokens["train"] is None
    again = prepared("openai")
    assert again.tokens["train"] > 0
    assert prepared("openai", tokenizer=None).tokens == again.tokens


# --- failures


@pytest.mark.parametrize("service", ALL)
@pytest.mark.parametrize("step", ["upload", "create"])
def test_a_wrong_key_is_said_and_nothing_is_lost(stand_in, service, step):
    stand_in.fail({"upload": UPLOAD, "create": CREATE}[step][service], "401", times=9)
    with pytest.raises(ModelError, match="the key is missing, wrong or expired") as caught:
        submitted(service)
    assert caught.value.__cause__ is None
    stand_in._failures.clear()
    assert submitted(service).ids["job"]
    assert len(stand_in.jobs) == 1


@pytest.mark.parametrize("service", ALL)
def test_a_busy_service_is_waited_for(stand_in, service):
    for name in (UPLOAD[service], CREATE[service]):
        stand_in.fail(name, "429", times=2)
    assert submitted(service).ids["job"]
    assert len(stand_in.jobs) == 1


@pytest.mark.parametrize("service", ALL)
@pytest.mark.parametrize("failure", ["500", "drop"])
def test_a_creation_that_fails_is_not_repeated_by_itself(stand_in, service, failure):
    stand_in.fail(CREATE[service], failure, times=1 if service != "bedrock" else 4)  # boto3 repeats, with our token
    with pytest.raises(RefusedError):
        submitted(service)
    assert stand_in.requests.count(CREATE[service]) == (1 if service != "bedrock" else 4)
    assert not stand_in.jobs
    assert submitted(service).ids["job"]


@pytest.mark.parametrize("service", ALL)
def test_a_job_that_was_made_although_the_answer_was_lost_is_found(stand_in, service):
    stand_in.fail(CREATE[service], "lost", times=1 if service != "bedrock" else 4)
    with pytest.raises(RefusedError, match="no answer came back"):
        submitted(service)
    assert len(stand_in.jobs) == 1
    assert submitted(service).ids["job"] == next(iter(stand_in.jobs.values()))["id"]
    assert len(stand_in.jobs) == 1


@pytest.mark.parametrize("service", ALL)
@pytest.mark.parametrize("failure", ["429", "500", "drop"])
def test_watching_goes_on_after_a_look_that_failed(stand_in, service, failure):
    job = submitted(service)
    stand_in.fail(LOOK[service], failure, times=5)
    assert watched(job).state == "succeeded"


@pytest.mark.parametrize("service", ALL)
def test_a_job_that_the_service_refuses_says_why(stand_in, service, capsys):
    stand_in.invalid = "line 3 has no assistant turn"
    job = jobs.watch(submitted(service), every=0, sleep=quiet)
    assert job.state == "failed"
    assert "line 3 has no assistant turn" in job.error
    assert "line 3 has no assistant turn" in capsys.readouterr().out
    with pytest.raises(RecipeError, match="has no tuned model: it is failed"):
        tuned_endpoint(job, max_usd=1)


@pytest.mark.parametrize("service", ALL)
def test_an_expired_file_is_uploaded_again(stand_in, service):
    stand_in.fail(CREATE[service], "500", times=1 if service != "bedrock" else 4)
    with pytest.raises(RefusedError):
        submitted(service)
    stand_in.files.clear()
    job = submitted(service)
    assert job.ids["job"]
    assert any("uploads expired" in line for line in job.log)


@pytest.mark.parametrize("service", ALL)
def test_a_job_can_be_stopped(stand_in, service):
    job = jobs.cancel(submitted(service))
    assert job.state == "cancelled"
    assert watched(job) == job


@pytest.mark.parametrize("service", ALL)
def test_a_job_that_ended_meanwhile_is_not_stopped_and_can_be_deleted(stand_in, service, monkeypatch):
    monkeypatch.setattr("ftlab.hosted.vertex.PAUSE", 0)
    job = submitted(service)
    next(iter(stand_in.jobs.values()))["looks"] = 9
    assert jobs.cancel(job).state == "succeeded"
    assert jobs.delete(job, say=quiet).state == "deleted"


@pytest.mark.parametrize("service", ALL)
def test_a_job_whose_creation_was_not_answered_is_stopped_with_the_rest(stand_in, service):
    stand_in.fail(CREATE[service], "lost", times=1 if service != "bedrock" else 4)
    job = prepared(service)
    with pytest.raises(RefusedError):
        jobs.submit(job, say=quiet)
    jobs.delete(job, say=quiet)
    (held,) = stand_in.jobs.values()
    assert held["cancelled"]
    assert not any(file["name"].startswith("ftlab") for file in stand_in.files.values())


@pytest.mark.parametrize("service", ALL)
def test_a_deletion_that_was_broken_off_goes_on(stand_in, service, free, monkeypatch):
    monkeypatch.setattr("ftlab.hosted.vertex.PAUSE", 0)
    job = deployed(watched(submitted(service)), prices=free)
    names = {"openai": "delete_file", "azure": "delete_file", "vertex": "gcs_delete", "bedrock": "s3_delete",
             "together": "together_delete_file", "fireworks": "fireworks_dataset_delete"}  # fmt: skip
    stand_in.fail(names[service], "500", times=4)
    with pytest.raises(RefusedError):
        jobs.delete(job, say=quiet)
    stand_in._failures.clear()
    said = []
    assert jobs.delete(job, say=said.append).state == "deleted"  # the job as it was before, too
    assert any(line.startswith("gone already") for line in said)
    assert not stand_in.deployments
    assert not any(file["name"].startswith("ftlab") for file in stand_in.files.values())


@pytest.mark.parametrize("service", ALL)
def test_a_job_that_was_found_ended_is_known_whole(stand_in, service, free, monkeypatch):
    monkeypatch.setattr("ftlab.hosted.vertex.PAUSE", 0)
    first = watched(submitted(service))
    first.path.unlink()
    found = submitted(service)
    assert found.tuned_model == first.tuned_model
    assert found.raw["status"] == first.raw["status"]
    assert jobs.delete(deployed(found, prices=free), say=quiet).state == "deleted"


@pytest.mark.parametrize("service", ["openai", *each_service("openai")])
def test_as_long_as_a_service_asks_is_waited(stand_in, service, monkeypatch):
    waits = []
    monkeypatch.setattr(jobs.time, "sleep", waits.append)
    stand_in.retry_after = "7"
    stand_in.fail(CREATE[service], "429", times=1 if service != "bedrock" else 4)
    job = submitted(service)
    assert 7 in waits
    waits.clear()
    stand_in.fail(LOOK[service], "429", times=5)
    jobs.watch(job, every=0, say=quiet, sleep=waits.append)
    assert 7 in waits


@pytest.mark.parametrize("service", ALL)
def test_watching_may_stop_and_go_on_after_a_restart(stand_in, service):
    job = watched(submitted(service), most_seconds=0)
    assert job.state not in ENDED
    assert watched(load_job(job.name)).state == "succeeded"


@pytest.mark.parametrize("service", DEPLOYED)
def test_a_model_that_must_be_deployed_is_not_asked_before(stand_in, service, free):
    if not has_sdk(service):
        pytest.skip(f"{SDK[service]} is missing")
    job = watched(submitted(service))
    with pytest.raises(RecipeError, match="only while it is deployed"):
        tuned_endpoint(job, max_usd=1, prices=free)
    job = deployed(job, prices=free)
    assert deployed(job).ids == job.ids
    assert jobs.undeploy(job, say=quiet).ids.get("deployment") is None
    assert not [held for held in stand_in.deployments.values() if held]


NEEDS_DEPLOYMENT = each_service("openai", "vertex")
DEPLOYMENT = {name: "deployment" if name == "azure" else f"{name}_deployment" for name in DEPLOYED}


@pytest.mark.parametrize("service", NEEDS_DEPLOYMENT)
def test_deploying_waits_until_the_model_answers(stand_in, service, free):
    said, job = [], watched(submitted(service))
    stand_in.fail(DEPLOYMENT[service], "500")
    deployed(job, prices=free, say=said.append)
    assert stand_in.requests.count(DEPLOYMENT[service]) >= 3
    words = [line.split(": deployment ")[1].split(":")[0].upper() for line in said if ": deployment " in line]
    assert words[0] in ("CREATING", "PROVISIONING")
    assert words[1:] in (["SUCCEEDED"], ["ACTIVE"], ["READY"])


@pytest.mark.parametrize("service", NEEDS_DEPLOYMENT)
def test_a_deployment_that_is_not_ready_in_time_is_waited_for_again(stand_in, service, free):
    said, job = [], watched(submitted(service))
    job = deployed(job, prices=free, most_seconds=0, say=said.append)
    assert "deploy again to go on waiting" in said[-1]
    assert "may be billed" in said[-1]
    again = deployed(load_job(job.name), say=said.append)
    assert again.ids == job.ids
    assert sum("asked for" in line for line in said) == 1
    assert "deploy again" not in said[-1]


@pytest.mark.parametrize("service", NEEDS_DEPLOYMENT)
def test_a_deployment_that_fails_says_so_and_can_be_ended(stand_in, service, free):
    stand_in.undeployable, job = True, watched(submitted(service))
    with pytest.raises(RefusedError, match=f"{service}: the deployment has failed .*ftlab hosted undeploy"):
        deployed(job, prices=free)
    assert jobs.undeploy(load_job(job.name), say=quiet).ids.get("deployment") is None


@pytest.mark.parametrize("service", NEEDS_DEPLOYMENT)
@pytest.mark.parametrize("end", [jobs.undeploy, jobs.delete])
def test_a_deployment_of_which_nothing_is_written_here_is_ended_all_the_same(stand_in, service, free, end):
    job = watched(submitted(service))
    deployed(job, prices=free)  # what it gives is not kept
    assert end(job, say=quiet).ids.get("deployment") is None
    assert not [held for held in stand_in.deployments.values() if held]
    job = watched(submitted(service, attempt=2))
    name = {"azure": "deploy"}.get(service, f"{service}_deploy")
    stand_in.fail(name, "lost", times=4)
    with pytest.raises(ModelError):
        deployed(job, prices=free)
    stand_in._failures.clear()
    end(job, say=quiet)
    assert not [held for held in stand_in.deployments.values() if held]


# --- money


def test_what_it_costs_is_shown_before_the_question(stand_in, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr("builtins.input", lambda text: asked.append(capsys.readouterr().out + text) or "no")
    with pytest.raises(RecipeError, match="you did not write yes"):
        jobs.submit(prepared("openai"))
    assert "5 USD per million trained tokens" in asked[0]
    assert "2027-01-14" in asked[0]
    assert "Write yes to go on" in asked[0]
    assert stand_in.requests == []


def test_yes_needs_a_limit_that_covers_the_price(stand_in):
    job = prepared("openai", tokenizer=lambda texts, **_: {"input_ids": [range(100_000) for _ in texts]})
    for changes, told in (
        ({"yes": True}, "needs the most that it may cost"),
        ({"yes": True, "max_usd": 0.5}, "is more than max_usd=0.5"),
        ({"max_usd": 0.5}, "is more than max_usd=0.5"),
    ):
        with pytest.raises(RecipeError, match=told):
            jobs.submit(job, say=quiet, **changes)
    assert stand_in.requests == []


def test_an_unknown_price_is_covered_by_no_limit(stand_in):
    with pytest.raises(RecipeError, match="the price is unknown, so no limit can hold"):
        jobs.submit(prepared("azure"), yes=True, max_usd=1e6, say=quiet)
    assert stand_in.requests == []


def test_where_nobody_can_be_asked_nothing_is_sent(stand_in, monkeypatch):
    monkeypatch.setattr(estimate_module, "can_ask", lambda: False)
    with pytest.raises(RecipeError, match="nobody can be asked here"):
        submitted("openai")
    assert stand_in.requests == []


def test_an_estimate_multiplies_and_keeps_what_is_unknown_unknown(stand_in):
    job = prepared("openai", rows=tickets(10), settings={"n_epochs": 4})
    found = estimate_module.estimate(job)
    assert found.usd == pytest.approx(job.tokens["train"] * 4 * 5 / 1e6)
    assert (found.usd_per_hour, str(found.retires)) == (0, "2027-01-14")
    assert estimate_module.estimate(prepared("openai", settings={"n_epochs": "auto"})).usd is None
    assert estimate_module.estimate(prepared("openai", tokenizer=None)).usd is None
    azure = estimate_module.estimate(prepared("azure"))
    assert (azure.usd, azure.usd_per_hour) == (None, 1.7)
    assert "training: unknown" in repr(azure)
    sized = prepared("fireworks")
    assert estimate_module.estimate(sized).usd is None
    assert estimate_module.estimate(sized, size_b=8).usd_per_mtok == 0.5


def test_together_bills_the_validation_rows_each_time_they_are_looked_at(stand_in):
    job = prepared("together", settings={"n_epochs": 2, "n_evals": 3})
    tokens, found = job.tokens, estimate_module.estimate(job, size_b=8)
    assert min(tokens.values()) > 0
    assert found.usd == pytest.approx((2 * tokens["train"] + 3 * tokens["validation"]) * found.usd_per_mtok / 1e6)
    unlooked = estimate_module.estimate(prepared("together", settings={"n_epochs": 2}), size_b=8)
    assert unlooked.usd == pytest.approx(2 * tokens["train"] * found.usd_per_mtok / 1e6)


def test_without_packing_together_bills_every_row_at_its_full_length(stand_in):
    long = prepared("together", settings={"n_epochs": 2, "packing": False, "max_seq_length": 8192})
    found = estimate_module.estimate(long, size_b=8)
    assert found.usd == pytest.approx(2 * 12 * 8192 * found.usd_per_mtok / 1e6)
    open_end = prepared("together", settings={"n_epochs": 2, "packing": False})
    assert estimate_module.estimate(open_end, size_b=8).usd is None


def test_what_is_billed_while_nobody_calls_is_told(stand_in):
    azure = estimate_module.estimate(prepared("azure"))
    assert any("hosting" in text and "days old" in text for text in azure.warnings)
    bedrock = estimate_module.estimate(prepared("bedrock"))
    assert "storage: an unknown price" in bedrock.storage_line
    assert "unknown price (not found) each month" in repr(bedrock)
    assert estimate_module.estimate(prepared("openai")).usd_per_month == 0


@pytest.mark.parametrize("service", [each for each in ALL if each.values[0] == "fireworks"])
@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_fireworks_gives_weights_and_metrics_back(stand_in, service, method, tmp_path):
    job = watched(submitted(service, method=method))
    paths = jobs.fetch(job, tmp_path / "weights")
    assert [path.name for path in paths] == ["adapter_config.json", "adapter_model.safetensors", "metrics.jsonl"]
    assert paths[1].read_text() == "the stand-in's adapter_model.safetensors"
    assert paths[2].read_text() == "the stand-in's metrics"
    assert "signature=" not in job.path.read_text(), "a signed address is as good as a key"


@pytest.mark.parametrize("service", [each for each in ALL if each.values[0] == "vertex"])
def test_vertex_leaves_no_endpoint_behind(stand_in, service, monkeypatch):
    monkeypatch.setattr("ftlab.hosted.vertex.PAUSE", 0)
    job = watched(submitted(service))
    endpoint, said = job.tuned_model, []
    jobs.delete(job, yes=True, say=said.append)
    assert endpoint in stand_in.deleted
    assert said[0] == f"deleted: {endpoint}"
    assert stand_in.requests.count("vertex_undeploy") >= 1


def test_settings_and_services_that_are_not_there_are_named(stand_in):
    with pytest.raises(RecipeError, match="openai has no setting lora_r; it has n_epochs"):
        prepared("openai", settings={"lora_r": 8})
    with pytest.raises(RecipeError, match="'mistral' is no service here; choose one of openai"):
        prepare("mistral", "m", tickets(), tokenizer=count_words)


def test_a_missing_sdk_is_one_friendly_message(stand_in, monkeypatch):
    import importlib

    real = importlib.import_module

    def without(name, *rest):
        if name == "together":
            raise ModuleNotFoundError("No module named 'together'", name="together")
        return real(name, *rest)

    job = prepared("together")
    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(ModelError, match=r"its own SDK, together, which is missing: pip install together"):
        jobs.submit(job, say=quiet)
    assert MODELS["together"] == job.model


def test_bedrock_speaks_to_moto_too(monkeypatch):
    """Another stand-in than ours, for S3 and for what it has of Bedrock; its jobs never end."""
    moto = pytest.importorskip("moto", reason="moto is missing (make setup)")
    from ftlab.hosted import bedrock

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("FTLAB_S3_BUCKET", "tickets")
    monkeypatch.setenv("FTLAB_BEDROCK_ROLE", "arn:aws:iam::123456789012:role/tuning")
    with moto.mock_aws():
        client = bedrock.connect()
        client.s3.create_bucket(Bucket="tickets")
        job = prepared("bedrock", validation=None)
        file = bedrock.upload(client, job, "train")
        key = file["id"].removeprefix("s3://tickets/")
        assert client.s3.get_object(Bucket="tickets", Key=key)["Body"].read().count(b"\n") == 12
        job = job.step("uploaded", ids={"train": file["id"]})
        assert bedrock.find(client, job) is None
        bedrock.create(client, job)
        (listed,) = client.bedrock.list_model_customization_jobs()["modelCustomizationJobSummaries"]
        assert listed["jobName"] == job.mark
        found = bedrock.retrieve(client, job.step("", ids={"job": job.mark}))  # moto knows names, and no addresses
        assert bedrock.seen(found)["state"] == "running"
