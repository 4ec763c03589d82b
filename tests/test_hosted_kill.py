"""Killed between every two steps, and submitted again: nothing is lost and nothing is made twice. Real SIGKILLs."""

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hosted_cases import MODELS, ROOT, SDK, each_service, has_sdk

from ftlab.hosted.job import kept_jobs
from ftlab.hosted.stand_in import StandIn

PRICES = """prices:
  - {provider: azure, model: gpt-4.1-mini, what: training, method: sft, unit: 1M tokens, usd: 1}
  - {provider: google, model: gemini-3.1-flash-lite, what: training, method: sft, unit: 1M tokens, usd: 1}
  - {provider: aws, model: "amazon.nova-micro-v1:0", what: training, method: sft, unit: 1M tokens, usd: 1}
  - {provider: together, model: "*", what: hosting, unit: hour, usd: 1}
"""
HELD = ("files", "jobs", "deployments", "deployment_looks", "endpoints", "deleted")
DEPLOYED = ("azure", "bedrock", "together", "fireworks")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "train.jsonl"
    lines = (ROOT / "data/support_triage/validation.jsonl").read_text().splitlines()[:12]
    path.write_text("\n".join(lines) + "\n")
    path.with_name("validation.jsonl").write_text("\n".join(lines[:6]) + "\n")
    path.with_name("prices.yaml").write_text(PRICES)
    return path


@pytest.fixture(scope="module")
def driver():
    names = sorted({SDK[service] for service in MODELS if has_sdk(service)})
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(Path(__file__).with_name("hosted_driver.py")), *names]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=environment, text=True, **pipes)
    yield process
    process.stdin.close()
    process.wait(30)
    process.stdout.close()


def run(driver, stand_in, home, words, kill_at=None):
    """Run `ftlab` in a child of the driver; `kill_at` (number, when) kills it around that request."""
    count = 0

    def kill(when):
        def hook(name):
            nonlocal count
            count += when == "before"
            if kill_at == (count, when):
                os.kill(child, signal.SIGKILL)
            return kill_at == (count, when)  # a request before which the client died never came

        return hook

    stand_in.before, stand_in.after = kill("before"), kill("after")
    variables = [f"{name}={value}" for name, value in (stand_in.environment() | {"FTLAB_HOME": str(home)}).items()]
    driver.stdin.write(json.dumps([*words, "--variables", *variables]) + "\n")
    driver.stdin.flush()
    child = int(driver.stdout.readline())
    driver.stdin.write("go\n")
    driver.stdin.flush()
    return int(driver.stdout.readline()), count


@pytest.fixture
def new_home(tmp_path):
    """Makes a home for one case, with what was prepared in `origin`; models are shared."""
    models = Path(os.environ["FTLAB_HOME"]) / "models"

    def make(name, origin=None):
        home = tmp_path / name
        home.mkdir()
        (home / "models").symlink_to(models, target_is_directory=True)
        if origin is not None:
            shutil.copytree(origin / "hosted", home / "hosted")
        return home

    return make


@pytest.mark.slow
@pytest.mark.parametrize("service", each_service())
def test_killed_anywhere_a_second_submit_finishes_what_the_first_began(driver, rows, new_home, service, monkeypatch):
    prices = ("--prices", str(rows.with_name("prices.yaml")), "--billion", "8")
    submit = ["hosted", "submit", "--service", service, "--yes", "--max-usd", "5", *prices]
    origin = new_home("origin")
    up = ("--out", str(origin / "up"))
    with StandIn() as stand_in:
        prepare = ["hosted", "prepare", str(rows), "--service", service, "--model", MODELS[service], *up]
        prepare += ["--validation", str(rows.with_name("validation.jsonl"))]
        assert run(driver, stand_in, origin, prepare)[0] == 0
        code, requests = run(driver, stand_in, new_home("whole", origin), submit)
        assert (code, len(stand_in.jobs)) == (0, 1)
        assert requests >= 4
        for case in [(number, when) for number in range(1, requests + 1) for when in ("before", "after")]:
            stand_in.jobs.clear()
            stand_in.files.clear()
            home = new_home("{}_{}".format(*case), origin)
            assert run(driver, stand_in, home, submit, case)[0] == -signal.SIGKILL, case
            assert run(driver, stand_in, home, submit)[0] == 0, case
            assert len(stand_in.jobs) == 1, case
            monkeypatch.setenv("FTLAB_HOME", str(home))
            (job,) = kept_jobs(service)
            assert job.ids["job"] == next(iter(stand_in.jobs.values()))["id"], case
            assert sum(bool(file["content"]) for file in stand_in.files.values()) == 2, case


@pytest.mark.slow
@pytest.mark.parametrize("service", each_service())
def test_killed_while_deploying_or_deleting_nothing_is_left_that_costs(driver, rows, new_home, service, monkeypatch):
    prices = ("--prices", str(rows.with_name("prices.yaml")), "--billion", "8")
    at = ("--service", service)
    home = new_home("origin")
    with StandIn() as stand_in:
        paid = ["--yes", "--max-usd", "500", *prices]
        for words in (
            ["prepare", str(rows), *at, "--model", MODELS[service], "--out", str(home / "up")],
            ["submit", *at, *paid],
            ["watch", *at, "--every", "0"],
        ):
            assert run(driver, stand_in, home, ["hosted", *words])[0] == 0
        steps = [["deploy", *at, *paid, "--every", "0"]] if service in DEPLOYED else []
        for number, words in enumerate([*steps, ["delete", *at, "--yes"]]):
            words, before = ["hosted", *words], {name: copy.deepcopy(getattr(stand_in, name)) for name in HELD}
            whole = new_home(f"whole_{number}", home)
            code, requests = run(driver, stand_in, whole, words)
            assert code == 0
            for case in [(nth, when) for nth in range(1, requests + 1) for when in ("before", "after")]:
                for name, held in before.items():
                    setattr(stand_in, name, copy.deepcopy(held))
                again = new_home("{}_{}_{}".format(number, *case), home)
                assert run(driver, stand_in, again, words, case)[0] == -signal.SIGKILL, case
                assert run(driver, stand_in, again, words)[0] == 0, case
                monkeypatch.setenv("FTLAB_HOME", str(again))
                (job,) = kept_jobs(service)
                if words[1] == "deploy":
                    assert "deployment" in job.ids, case
                    assert len(stand_in.deployments) == 1, case
                else:
                    assert (job.state, job.ids) == ("deleted", {}), case
                    assert not stand_in.deployments, case
                    assert not [file for file in stand_in.files.values() if file["name"].startswith("ftlab")], case
            home = whole
