"""A planted key appears nowhere: not in what is printed, written or raised, nor in a traceback with its variables."""

import contextlib
import gc
import io
import json
import ssl
import traceback

import pytest
from hosted_cases import SDK, each_service, free_prices, prepared, tickets

from ftlab.chat_service import ChatService
from ftlab.errors import FtlabError, RecipeError
from ftlab.hosted import estimate, jobs, secrets
from ftlab.hosted.evaluate import evaluate_tuned
from ftlab.hosted.stand_in import StandIn
from ftlab.kept import write_predictions

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
PLANTED = "sk-plant-9f8e7d6c5b4a3f2e1d0c"
PIECES = [PLANTED[i : i + 8] for i in range(len(PLANTED) - 7)]
WRONG = "sk-wrong-1a2b3c4d5e6f7a8b9c0d"


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda *_, **__: None)
    monkeypatch.setattr(jobs.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(estimate, "can_ask", lambda: True)
    monkeypatch.setattr("builtins.input", lambda text: "yes")
    with StandIn(key=PLANTED) as stand_in:
        for name, value in stand_in.environment().items():
            monkeypatch.setenv(name, value)
        yield stand_in
    gc.collect()  # clients with open connections are warned of here and in no later test


def leaks(text, key=PLANTED):
    return [piece for piece in (key[i : i + 8] for i in range(len(key) - 7)) if piece in text]


def everything_written():
    from ftlab import home

    return "\n".join(path.read_text(errors="replace") for path in home().rglob("*") if path.is_file()
                     and "models" not in path.parts)  # fmt: skip


@pytest.mark.parametrize("service", each_service())
def test_a_whole_life_of_a_job_leaves_no_trace_of_it(stand_in, service, capsys, caplog, tmp_path, monkeypatch):
    monkeypatch.setattr("ftlab.hosted.vertex.PAUSE", 0)
    stand_in.curve, prices = [{"step": 1, "train_loss": 2.5}], free_prices(tmp_path)
    job = jobs.watch(jobs.submit(prepared(service)), every=0, sleep=lambda seconds: None)
    job = jobs.deploy(job, prices=prices, every=0)
    rows = [row.data for row in tickets(3)]
    test, baseline = tmp_path / "test.jsonl", tmp_path / "baseline.jsonl"
    test.write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_predictions(baseline, rows, ["{}"] * 3)
    judged = evaluate_tuned(job, test, baseline, tmp_path / "out", prices=prices, cache=tmp_path / "cache")
    print(job, job.raw, judged, jobs.loss_curve(job), jobs.fetch(job, tmp_path / "fetched"))
    print(jobs.undeploy(job), jobs.delete(job))
    written = [path.read_bytes().decode(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert leaks("".join(written)) == []
    told = capsys.readouterr()
    assert job.state == "succeeded"
    assert leaks(told.out + told.err + caplog.text + everything_written()) == []


@pytest.mark.parametrize("service", each_service())
def test_a_wrong_key_is_not_repeated_in_any_form_of_the_error(stand_in, service, monkeypatch, caplog):
    names = [name for name, value in stand_in.environment().items() if value == PLANTED]
    for name in names:
        monkeypatch.setenv(name, WRONG)
    text = everything_of_the_error(lambda: jobs.submit(prepared(service)))
    assert "the key is missing, wrong or expired" in text
    assert leaks(text + caplog.text + everything_written(), WRONG) == []


@pytest.mark.parametrize("status", ["400", "500"])
@pytest.mark.parametrize("service", each_service())
def test_a_service_that_repeats_the_key_is_not_repeated(stand_in, service, status, caplog):
    names = {"openai": "list_jobs", "azure": "list_jobs", "vertex": "vertex_jobs"}
    name = names.get(service) or ("fireworks_look" if service == "fireworks" else f"{service}_jobs")
    stand_in.fail(name, status, times=9)  # its answer holds what it was sent
    text = everything_of_the_error(lambda: jobs.submit(prepared(service)))
    assert f"HTTP {status}" in text
    assert leaks(text + caplog.text + everything_written()) == []


def everything_of_the_error(call):
    """What is printed, the error, and its traceback with all variables."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            call()
        except FtlabError as error:
            caught = traceback.TracebackException.from_exception(error, capture_locals=True)
            text = "".join(caught.format()) + str(error) + repr(error)
        else:
            pytest.fail("nothing failed")
    return text + out.getvalue()


def test_what_a_service_repeats_of_a_key_is_masked(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", PLANTED)
    for said in (PLANTED, f"key {PLANTED[:10]}****{PLANTED[-4:]} is wrong", f"...{PLANTED[5:15]}...", f"'{PLANTED}'x"):
        assert leaks(secrets.clean(said)) == []
    assert secrets.clean("nothing of it") == "nothing of it"


def test_a_key_comes_from_a_prompt_where_somebody_can_type(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "")
    monkeypatch.setattr(secrets, "can_ask", lambda: False)
    with pytest.raises(RecipeError, match="OPENAI_API_KEY is not set: export it"):
        secrets.secret("OPENAI_API_KEY")
    monkeypatch.setattr(secrets, "can_ask", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda text: PLANTED)
    assert secrets.secret("OPENAI_API_KEY") == PLANTED


def test_a_key_comes_from_colab(monkeypatch):
    import sys
    from types import ModuleType, SimpleNamespace

    colab = ModuleType("google.colab")
    colab.userdata = SimpleNamespace(get=lambda name: PLANTED)
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    monkeypatch.setitem(sys.modules, "google", sys.modules.get("google") or ModuleType("google"))
    monkeypatch.setenv("TOGETHER_API_KEY", "")
    assert secrets.secret("TOGETHER_API_KEY") == PLANTED
    monkeypatch.delenv("TEACHERS_KEY", raising=False)
    service = ChatService("https://example.org/v1", "a-model", "TEACHERS_KEY", retries=0, timeout=1)
    assert service.key() == PLANTED


@pytest.mark.parametrize(("service", "names"), [
    ("vertex", ["GOOGLE_ACCESS_TOKEN"]),
    ("bedrock", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]),
])  # fmt: skip
def test_what_the_clouds_own_tools_have_not_left_is_asked_for_by_name(stand_in, service, names, monkeypatch, tmp_path):
    pytest.importorskip(SDK[service], reason=f"{SDK[service]} is missing (make setup)")
    job = prepared(service)
    for name in names:
        monkeypatch.delenv(name)
    for name in ("HOME", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "CLOUDSDK_CONFIG"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(RecipeError, match=f"{names[0]} is not set: export it, put it into Colab's secrets"):
        jobs.submit(job)
    asked = []
    monkeypatch.setattr(secrets, "can_ask", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda text: asked.append(text.split()[0]) or PLANTED)
    assert "job" in jobs.submit(job).ids
    assert asked == names


def test_a_key_with_a_space_in_it_is_refused_without_being_shown(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f"{PLANTED} x")
    with pytest.raises(RecipeError, match="holds a space") as caught:
        secrets.secret("OPENAI_API_KEY")
    assert leaks(str(caught.value)) == []
