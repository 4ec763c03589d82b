"""A tuned model at a service, asked and judged as every other system of the course is."""

import json
from dataclasses import dataclass
from pathlib import Path

from ftlab.baselines.endpoint import Endpoint, EndpointAnswers
from ftlab.costs.prices import load_prices
from ftlab.data.schema import read_chat
from ftlab.errors import RecipeError
from ftlab.evaluation.answers import KINDS, answer_kind
from ftlab.evaluation.gate import Bars, Gate, decide_gate
from ftlab.evaluation.predictions import compare_files
from ftlab.evaluation.statistics import Comparison
from ftlab.hosted.estimate import confirm, estimate, priced_name
from ftlab.hosted.job import Job
from ftlab.hosted.prepare import module
from ftlab.kept import write_predictions

ANSWER_TOKENS = 96


@dataclass(frozen=True)
class Judged:
    """What the tuned model answered, how it compares with the baseline, and the verdict."""

    predictions: Path
    answers: EndpointAnswers
    comparison: Comparison
    gate: Gate


def tuned_endpoint(job: Job, *, max_usd: float, prices=None, **options) -> Endpoint:
    """The tuned model as an `Endpoint`, at its own price for each token; RecipeError where that is not known."""
    own, book = module(job.service), prices or load_prices()
    if not job.tuned_model:
        raise RecipeError(f"{job.name} has no tuned model: it is {job.state}")
    if hasattr(own, "deploy") and "deployment" not in job.ids:
        why = "a tuned model answers only while it is deployed"
        raise RecipeError(f"{job.name}: at {job.service} {why}: deploy it first")
    whats, model = ("tuned_input", "tuned_output"), priced_name(job.model)
    price = {what: book.price(own.PROVIDER, model, what).amount for what in whats}
    if unknown := [name for name, usd in price.items() if usd is None]:
        raise RecipeError(f"the price of {' and '.join(unknown)} of {job.model} is unknown, so max_usd cannot hold; "
                          "give it in a prices file: ftlab.costs.prices.load_prices(path) (--prices)")  # fmt: skip
    service = own.chat(job)
    return Endpoint(
        service.base_url, service.model, usd_per_mtok_in=price["tuned_input"], usd_per_mtok_out=price["tuned_output"],
        max_usd=max_usd, service=service, **options,
    )  # fmt: skip


def evaluate_tuned(
    job: Job, test: str | Path, against: str | Path, out: str | Path, *, yes: bool = False,
    max_usd: float | None = None, prices=None, bars: Bars | None = None, max_new_tokens: int = ANSWER_TOKENS, **options,
) -> Judged:  # fmt: skip
    """Ask the tuned model every row of `test` and judge it against the predictions of the baseline (`against`).

    Answers that came before are in the cache and are not paid for again; they are written into the folder `out`, under
    the job's name. `bars` name the metric; without them it is the usual one of the kind of answer.
    """
    rows, path = read_chat(test), Path(out) / f"{job.name}.jsonl"
    bars = bars or Bars(metric=KINDS[answer_kind([row["messages"][-1]["content"] for row in rows])][0])
    compare_files(against, against, test, metric=bars.metric)  # what is wrong with the files is said before any bill
    chats = [row["messages"][:-1] for row in rows]
    endpoint = tuned_endpoint(job, max_usd=max_usd or 0, prices=prices, **options)
    sent = len(json.dumps(chats))  # a token for every byte, as the endpoint counts
    most = (sent * endpoint.usd_per_mtok_in + len(rows) * max_new_tokens * endpoint.usd_per_mtok_out) / 1e6
    if max_usd is None:
        endpoint.max_usd = most * (endpoint.service.retries + 1)
    hosting = estimate(job, prices=prices).hosting_line
    confirm(f"{job.name}: send {len(rows)} test rows to {job.address} ({hosting})", most, yes, max_usd, "at most")
    answers = endpoint.answer(chats, max_new_tokens=max_new_tokens, confirm=True)
    write_predictions(path, rows, answers.texts)
    comparison = compare_files(against, path, test, metric=bars.metric)
    return Judged(path, answers, comparison, decide_gate(comparison, bars=bars))
