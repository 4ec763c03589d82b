"""The hosted service of CONTRIBUTING.md goes from rows to an answer and away again, as written there."""

import re
import ssl
import sys
import types
from pathlib import Path

import pytest
from hosted_cases import tickets

import ftlab.hosted
from ftlab.costs.prices import load_prices
from ftlab.hosted import estimate, jobs
from ftlab.hosted import prepare as prepare_module
from ftlab.hosted.evaluate import tuned_endpoint
from ftlab.hosted.prepare import prepare
from ftlab.hosted.stand_in import StandIn

ROOT = Path(__file__).resolve().parent.parent
SECTION = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Add a hosted service\n")[1].split("\n## ")[0]


@pytest.fixture
def harbour(monkeypatch):
    """The module of the guide under another name, led to a stand-in."""
    text = re.search(r"   ```python\n(.*?)\n   ```", SECTION, re.DOTALL)[1]
    text = re.sub(r"^   ", "", text, flags=re.MULTILINE).replace('"NAME_', '"HARBOUR_').replace("NAME", "harbour")
    made = types.ModuleType("ftlab.hosted.harbour")
    exec(compile(text, "CONTRIBUTING.md", "exec"), made.__dict__)
    monkeypatch.setitem(sys.modules, made.__name__, made)
    monkeypatch.setattr(ftlab.hosted, "harbour", made, raising=False)
    monkeypatch.setattr(prepare_module, "SERVICES", (*prepare_module.SERVICES, "harbour"))
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda *_, **__: None)
    monkeypatch.setattr(estimate, "can_ask", lambda: True)
    monkeypatch.setattr("builtins.input", lambda text: "yes")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with StandIn() as stand_in:
        monkeypatch.setenv("HARBOUR_BASE_URL", f"{stand_in.url}/v1")
        monkeypatch.setenv("HARBOUR_API_KEY", stand_in.key)
        yield made


def test_the_service_of_the_guide_trains_answers_and_is_deleted(harbour, tmp_path):
    quiet = {"say": lambda text: None}
    job, _ = prepare("harbour", "gpt-4.1-mini", tickets())
    job = jobs.submit(job, **quiet)
    assert jobs.submit(job, **quiet) == job, "a second call finds the job"
    job = jobs.watch(job, every=0, sleep=lambda seconds: None, **quiet)
    assert job.state == "succeeded"
    prices = tmp_path / "prices.yaml"  # nobody wrote down what it costs: a limit needs a price
    row = "{provider: harbour, model: '*', what: %s, unit: 1M tokens, usd: 1, source: ours, source_date: 2026-11-01}"
    prices.write_text("prices:\n" + "".join(f"  - {row % what}\n" for what in ("tuned_input", "tuned_output")))
    asked = tuned_endpoint(job, max_usd=1, prices=load_prices(prices), cache=tmp_path / "cache")
    assert asked.answer([[{"role": "user", "content": "Hello?"}]], confirm=True).texts == ("I am a stand-in.",)
    assert jobs.delete(job, **quiet).ids == {}


def test_the_guide_names_every_function_that_a_service_has(harbour):
    listed = set(re.findall(r"`(\w+)`", (ROOT / "ftlab/hosted/openai.py").read_text().split('"""')[1]))
    assert {"connect", "find", "create", "chat", "delete"} <= listed
    only_deployed = {"deploy", "deployment", "find_deployment", "undeploy"}
    assert [name for name in listed - only_deployed if not hasattr(harbour, name)] == []


def test_every_file_it_sends_you_to_exists():
    named = re.findall(r"`((?:ftlab|data|tests)/[\w./]+)`", SECTION)
    assert len(named) >= 6
    assert [name for name in named if "NAME" not in name and not (ROOT / name).exists()] == []
    assert all((ROOT / name).exists() for name in re.findall(r"tests/\w+\.py", SECTION))
