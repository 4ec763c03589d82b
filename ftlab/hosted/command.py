"""`ftlab hosted ACTION --service S`: the steps of a job from a shell."""

import sys
from argparse import Namespace
from functools import partial
from pathlib import Path

from ftlab import home
from ftlab.errors import RecipeError
from ftlab.hosted.job import SERVICES

ACTIONS = ("prepare", "estimate", "submit", "watch", "evaluate", "deploy", "undeploy", "fetch", "cancel", "delete",
           "services")  # fmt: skip


def add_hosted_arguments(hosted) -> None:
    """The arguments of every action; which of them an action needs is said when one is missing."""
    add = hosted.add_argument
    add("action", choices=ACTIONS, metavar="ACTION", help=", ".join(ACTIONS))
    add("file", type=Path, nargs="?", metavar="FILE", help="prepare: training rows; evaluate: test rows")
    add("--service", choices=SERVICES, metavar="S", help=", ".join(SERVICES))
    add("--job", metavar="NAME", help="as prepare printed it (default: the latest of the service)")
    add("--model", metavar="M", help="prepare: the service's name of the base model")
    add("--method", default="sft", choices=("sft", "dpo"), help="prepare (default: sft)")
    add("--validation", type=Path, metavar="FILE", help="prepare: rows that are not trained on")
    add("--set", action="append", default=[], metavar="NAME=VALUE",
        help="prepare: a setting of the service, such as n_epochs=2; may be given again")  # fmt: skip
    add("--attempt", type=int, default=1, metavar="N", help="prepare: 2 trains the same once more")
    add("--drop", action="store_true", help="prepare: leave out rows that the service would refuse")
    add("--out", type=Path, metavar="DIR", help="prepare, fetch, evaluate: where files go")
    add("--force", action="store_true", help="prepare: replace files that are in --out")
    add("--prices", type=Path, metavar="FILE", help="your own prices (data/prices/README.md)")
    add("--billion", type=float, metavar="B", help="the model's parameters, where the price goes by size")
    add("--against", type=Path, metavar="FILE", help="evaluate: predictions of the baseline")
    add("--seconds", type=float, metavar="N", help="watch, deploy: stop waiting after so long; what was begun goes on")
    add("--every", type=float, default=5.0, metavar="N", help="watch, deploy: seconds to the first look (default: 5)")
    add("--yes", action="store_true", help="do not ask; needs --max-usd (delete: needs nothing else)")
    add("--max-usd", type=float, metavar="N", help="refuse what is estimated to cost more")


def run_action(options: Namespace) -> tuple[object, dict, bool]:
    """Do it: (what a person reads, the same for a machine, whether the verdict is positive)."""
    from ftlab.costs.prices import load_prices
    from ftlab.hosted import jobs
    from ftlab.hosted.estimate import estimate
    from ftlab.hosted.services import state_of_services

    if options.action == "services":
        table = state_of_services()
        return table, table.to_dict(), True
    if options.service is None:
        raise RecipeError(f"--service is missing: one of {', '.join(SERVICES)}")
    if options.action == "prepare":
        job, report = prepare_file(options)
        return f"{report!r}\n{job!r}", {"job": job.to_dict(), "report": report.to_dict()}, not report.dropped
    job, say = chosen_job(options), partial(print, file=sys.stderr) if options.json else print
    prices = load_prices(options.prices)
    if options.action == "estimate":
        found = estimate(job, prices=prices, size_b=options.billion)
        return found, found.to_dict(), True
    paid = {"yes": options.yes, "max_usd": options.max_usd, "prices": prices}
    if options.action == "evaluate":
        judged = evaluate_file(job, options, paid)
        found = {"n": judged.comparison.n, "comparison": judged.comparison.to_dict(), "gate": judged.gate.to_dict()}
        return f"{judged.answers!r}\n{judged.gate!r}", found, judged.gate.verdict == "ship"
    if options.action == "fetch":
        paths = [str(path) for path in jobs.fetch(job, options.out or home() / job.name)]
        return "\n".join(paths) or f"{job.service} gives nothing back for this job", {"files": paths}, True
    waiting = jobs.DEPLOYING if options.seconds is None else options.seconds
    of_action = {
        "submit": paid | {"size_b": options.billion, "say": say},
        "watch": {"every": options.every, "most_seconds": options.seconds, "say": say},
        "deploy": paid | {"every": options.every, "most_seconds": waiting, "say": say},
        "undeploy": {"say": say},
        "cancel": {},
        "delete": {"yes": options.yes, "say": say},
    }
    job = getattr(jobs, options.action)(job, **of_action[options.action])
    points = jobs.loss_curve(job) if options.action == "watch" and job.state == "succeeded" else []
    if points:
        say(f"the loss curve has {len(points)} points, the last {points[-1]}; ftlab hosted fetch writes them all")
    return job, job.to_dict() | ({"loss_curve": points} if points else {}), job.state != "failed"


def prepare_file(options: Namespace):
    """`ftlab hosted prepare`: the job and the report of its files."""
    from ftlab.cli import read_rows
    from ftlab.hosted.prepare import prepare
    from ftlab.models import counting_model, load_tokenizer

    if options.file is None or options.model is None:
        raise RecipeError("prepare needs a file of rows and --model, the service's name of the base model")
    rows, _ = read_rows(options.file, None, options.drop)
    validation = None if options.validation is None else read_rows(options.validation, None, options.drop)[0]
    return prepare(
        options.service, options.model, rows, method=options.method, validation=validation, out=options.out,
        force=options.force, settings=dict(map(read_setting, options.set)), attempt=options.attempt, drop=options.drop,
        tokenizer=load_tokenizer(counting_model()),
    )  # fmt: skip


def read_setting(text: str) -> tuple[str, object]:
    """ "n_epochs=2" as a name and a value; a number where it is one."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise RecipeError(f"--set {text}: write NAME=VALUE, such as n_epochs=2")
    if value.lower() in ("true", "false"):
        return name, value.lower() == "true"
    for number in (int, float):
        try:
            return name, number(value)
        except ValueError:
            pass
    return name, value


def chosen_job(options: Namespace):
    """The job that --job names, else the latest of the service."""
    from ftlab.hosted.job import kept_jobs, load_job

    if options.job is not None:
        job = load_job(options.job)
        if job.service != options.service:
            raise RecipeError(f"{job.name} is a job at {job.service}, not at {options.service}")
        return job
    found = kept_jobs(options.service)
    if not found:
        remedy = f"ftlab hosted prepare FILE --service {options.service} --model M"
        raise RecipeError(f"no job at {options.service} yet: {remedy}")
    return found[0]


def evaluate_file(job, options: Namespace, paid: dict):
    """`ftlab hosted evaluate`: the tuned model on test rows, against the predictions of a baseline."""
    from ftlab.hosted.evaluate import evaluate_tuned

    if options.file is None or options.against is None:
        raise RecipeError("evaluate needs a file of test rows and --against, the baseline's predictions on them")
    return evaluate_tuned(job, options.file, options.against, options.out or home() / job.name, **paid)
