"""Killed between every two steps, and submitted again: nothing is lost and nothing is made twice. Real SIGKILLs."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hosted_cases import MODELS, ROOT, SDK, each_service, has_sdk

from ftlab.hosted.job import kept_jobs
from ftlab.hosted.stand_in import StandIn

CREATED = ("create", "vertex_create", "bedrock_create", "together_create", "fireworks_create")
PRICES = """prices:
  - {provider: azure, model: gpt-4.1-mini, what: training, method: sft, unit: 1M tokens, usd: 1}
  - {provider: google, model: gemini-3.1-flash-lite, what: training, method: sft, unit: 1M tokens, usd: 1}
  - {provider: aws, model: "amazon.nova-micro-v1:0", what: training, method: sft, unit: 1M tokens, usd: 1}
"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "train.jsonl"
    lines = (ROOT / "data/support_triage/validation.jsonl").read_text().splitlines()[:12]
    path.write_text("\n".join(lines) + "\n")
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


def run(driver, stand_in, home, words, kill_at=None):
    """Run `ftlab` in a child of the driver; `kill_at` (number, when) kills it around that request."""
    count = 0

    def kill(when):
        def hook(name):
            nonlocal count
            if when == "before":
                count += 1
            if kill_at == (count, when):
                os.kill(child, signal.SIGKILL)

        return hook

    stand_in.before, stand_in.after = kill("before"), kill("after")
    variables = [f"{name}={value}" for name, value in (stand_in.environment() | {"FTLAB_HOME": home}).items()]
    driver.stdin.write(json.dumps([*words, "--variables", *variables]) + "\n")
    driver.stdin.flush()
    child = int(driver.stdout.readline())
    driver.stdin.write("go\n")
    driver.stdin.flush()
    code = int(driver.stdout.readline())
    return code, count


@pytest.mark.slow
@pytest.mark.parametrize("service", each_service())
def test_killed_anywhere_a_second_submit_finishes_what_the_first_began(driver, rows, service, tmp_path, monkeypatch):
    prepare = [
        "hosted",
        "prepare",
        str(rows),
        "--service",
        service,
        "--model",
        MODELS[service],
        "--out",
        str(tmp_path / "up"),
    ]
    submit = ["hosted", "submit", "--service", service, "--yes", "--max-usd", "5", "--billion", "8"]
    submit += ["--prices", str(rows.with_name("prices.yaml"))]
    with StandIn() as stand_in:
        home = tmp_path / "0"
        assert run(driver, stand_in, str(home), prepare)[0] == 0
        code, requests = run(driver, stand_in, str(home), submit)
        assert (code, len(stand_in.jobs)) == (0, 1)
    assert requests >= 3
    for number in range(1, requests + 1):
        for when in ("before", "after"):
            home = tmp_path / f"{number}{when}"
            with StandIn() as stand_in:
                assert run(driver, stand_in, str(home), prepare)[0] == 0
                code, _ = run(driver, stand_in, str(home), submit, (number, when))
                assert code == -signal.SIGKILL
                code, _ = run(driver, stand_in, str(home), submit)
                assert (code, len(stand_in.jobs)) == (0, 1), (number, when)
                assert sum(name in CREATED for name in stand_in.requests) <= 2
                monkeypatch.setenv("FTLAB_HOME", str(home))
                (job,) = kept_jobs(service)
                assert job.ids["job"] == next(iter(stand_in.jobs.values()))["id"]
                whole = [file for file in stand_in.files.values() if file["content"]]
                assert len(whole) == 1, (number, when)
