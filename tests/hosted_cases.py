"""What the tests of hosted services share: rows, a job at each service, and which SDK a service needs."""

import importlib.util
from functools import cache
from pathlib import Path

import pytest

from ftlab.data.findings import Row
from ftlab.data.schema import check_chat
from ftlab.hosted.prepare import prepare

ROOT = Path(__file__).resolve().parent.parent
TICKETS = ROOT / "data/support_triage/validation.jsonl"
MODELS = {
    "openai": "gpt-4.1-mini",
    "azure": "gpt-4.1-mini",
    "vertex": "gemini-3.1-flash-lite",
    "bedrock": "amazon.nova-micro-v1:0:128k",
    "together": "Qwen/Qwen3-8B",
    "fireworks": "accounts/fireworks/models/qwen3-8b",
}
SDK = {
    "openai": "openai",
    "azure": "openai",
    "vertex": "google.genai",
    "bedrock": "boto3",
    "together": "together",
    "fireworks": "fireworks",
}
PAIR = {
    "messages": [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Good day."}],
    "rejected": [{"role": "assistant", "content": "What."}],
}


def has_sdk(service):
    try:
        return importlib.util.find_spec(SDK[service]) is not None
    except ModuleNotFoundError:
        return False


if has_sdk("bedrock"):  # botocore reads megabytes of JSON for each client: for all tests once
    import botocore.session

    botocore.session.create_loader = cache(botocore.session.create_loader)


def each_service(*without):
    """A parameter for every service; one whose SDK is missing is skipped, with the reason."""
    return [
        pytest.param(
            name, marks=pytest.mark.skipif(not has_sdk(name), reason=f"{name}: {SDK[name]} is missing (make setup)")
        )
        for name in MODELS
        if name not in without
    ]


@cache
def all_tickets():
    return check_chat(TICKETS).placed


def tickets(count=12, start=0):
    return all_tickets()[start : start + count]


def pairs(count=12):
    ask = [{"role": "user", "content": f"Hello {number}?"} for number in range(count)]
    return [Row({**PAIR, "messages": [turn, PAIR["messages"][1]]}, "p.jsonl", n) for n, turn in enumerate(ask, 1)]


def count_words(texts, **_):
    """A tokenizer that counts words, so that an estimate has a number."""
    return {"input_ids": [text.split() for text in ([texts] if isinstance(texts, str) else texts)]}


def prepared(service, **changes):
    """A job of twelve tickets (or pairs), and of six to validate with."""
    given = {"method": "sft", "tokenizer": count_words} | changes
    if "rows" not in given:
        given["rows"] = pairs() if given["method"] == "dpo" else tickets()
    if given["method"] == "sft":
        given = {"validation": tickets(6, 50)} | given
    job, _ = prepare(service, given.pop("model", MODELS[service]), **given)
    return job


def free_prices(folder):
    """A prices file with a price for everything, so that limits can hold."""
    from ftlab.costs.prices import load_prices

    lines = ["prices:"]
    for provider, model in {
        "openai": "gpt-4.1-mini",
        "azure": "gpt-4.1-mini",
        "google": "gemini-3.1-flash-lite",
        "aws": "amazon.nova-micro-v1:0",
        "together": "*",
        "fireworks": "*",
    }.items():
        for what in ("training", "tuned_input", "tuned_output", "hosting"):
            unit, method = ("hour", "") if what == "hosting" else ("1M tokens", "sft" if what == "training" else "")
            name = "'*'" if "*" in (model if what != "hosting" else "*") else model
            lines.append(
                f"  - {{provider: {provider}, model: {name}, what: {what}, method: '{method}', unit: {unit}, "
                "usd: 1, source: ours, source_date: 2026-11-01}"
            )
    path = folder / "prices.yaml"
    path.write_text("\n".join(lines))
    return load_prices(path)
