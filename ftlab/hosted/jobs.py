"""The steps of a prepared job, the same for every service: submit, watch, deploy, fetch, cancel, delete.

Each step is done once. What the service holds already, under our mark, is found and not made again; what was done is in
the job's file before the next step begins.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ftlab.errors import DataError, RecipeError
from ftlab.files import whole_file
from ftlab.hosted.estimate import confirm, estimate
from ftlab.hosted.job import Job, load_job, sha256_of
from ftlab.hosted.prepare import module
from ftlab.hosted.secrets import RefusedError, talking

TRIES = 6  # of a request that is safe to repeat, beyond those of the SDK
LOST = 60  # looks in a row that may fail, about an hour of them
LONGEST_WAIT = 60.0  # seconds between two looks at a job
DEPLOYING = 1800.0  # seconds after which `deploy` no longer waits: what never answers may still be billed


def submit(
    job: Job, *, yes: bool = False, max_usd: float | None = None, prices=None, size_b: float | None = None,
    say: Callable = print,
) -> Job:  # fmt: skip
    """Show what the job costs, ask, upload, create. A second call finds what the first one made, and asks nothing."""
    job = load_job(job.name)
    again = f"to train once more, prepare it with another attempt (--attempt {job.attempt + 1})"
    if job.state == "deleted":
        raise RecipeError(f"{job.name} was deleted: {again}")
    if "job" in job.ids:
        say(f"{job.name} is submitted already, as {job.ids['job']}; {again}")
        return job
    changed = [path for part, path in job.files.items() if not Path(path).exists() or sha256_of(path) != job.data[part]]
    if changed:
        raise DataError(f"{changed[0]} is gone or has changed since it was prepared: prepare the job again")
    cost = estimate(job, prices=prices, size_b=size_b)
    say(cost)
    what = f"{job.name}: upload {', '.join(job.files.values())} to {job.address} and start this job"
    confirm(what, cost.usd, yes, max_usd)
    own, client = module(job.service), _client(job)
    with _alone(job):
        job = load_job(job.name)  # what another process did meanwhile
        if "job" not in job.ids:
            job = _send(own, client, job, say)
    say(f"submitted: {job.ids['job']} ({job.status})")
    return job


def _send(own, client, job: Job, say: Callable) -> Job:
    """Upload what is not there yet, and create the job; files that the service let go are uploaded again."""
    kept, job = set(job.ids), _upload(own, client, job)
    try:
        return _create(own, client, job)
    except RefusedError as error:
        about_file = re.search(r"file|dataset|object|gs://|s3://", str(error), re.I)
        if not (kept and about_file and error.status in (400, 404)):
            raise
        say(f"an uploaded file is no longer there ({error}); it is uploaded again")
        return _create(own, client, _upload(own, client, job.step("uploads expired", ids={})))


def watch(
    job: Job, *, every: float = 5.0, most_seconds: float | None = None, say: Callable = print,
    sleep: Callable = time.sleep,
) -> Job:  # fmt: skip
    """Look at the job until it has ended, more and more rarely, and say what changed; it may be called again any time.

    A look that fails is repeated; `most_seconds` ends the watching, not the job.
    """
    _check_seconds(every, most_seconds)
    job = load_job(job.name)
    if "job" not in job.ids:
        raise RecipeError(f"{job.name} is not submitted")
    own, client = module(job.service), _client(job)

    def told(before: Job) -> tuple[Job, bool]:
        now = look(before, own, client)
        for text in now.events[len(before.events) :]:
            say(f"  {text}")
        if now.status != before.status:
            say(f"{now.name}: {now.status}")
        return now, now.status != before.status

    job = _repeat(told, job, lambda job: job.ended, every, most_seconds, say, sleep)
    if not job.ended:
        say(f"{job.name}: {job.status}; it goes on without being watched")
    if job.error:
        say(f"{job.name}: {job.error}")
    return job


def look(job: Job, own=None, client=None) -> Job:
    """The job as the service sees it now, with what it told since."""
    own, client = own or module(job.service), client or _client(job)
    with talking(f"{job.service}: look at {job.ids['job']}"):
        raw = own.retrieve(client, job)
        said = own.events(client, job, raw) if hasattr(own, "events") else []
    changes = own.seen(raw)
    new = changes["status"] != job.status
    return job.step(f"status {changes['status']}" if new else "", "status", raw, **changes, events=said or job.events)


def loss_curve(job: Job) -> list[dict]:
    """What the service reports of each step, such as train_loss; empty where it reports nothing."""
    return _ask(job, "curve", default=[])


def deploy(
    job: Job, *, yes: bool = False, max_usd: float | None = None, prices=None, every: float = 5.0,
    most_seconds: float = DEPLOYING, say: Callable = print, sleep: Callable = time.sleep,
) -> Job:  # fmt: skip
    """Deploy the tuned model where it must be, after showing what an hour costs, and wait until it answers.

    `max_usd` caps the cost of one day. A second call makes nothing anew, and waits for what the first one asked for.
    """
    _check_seconds(every, most_seconds)
    job = load_job(job.name)
    _need_model(job)
    if not hasattr(module(job.service), "deploy"):
        say(f"{job.service}: the tuned model answers without a deployment")
        return job
    if "deployment" in job.ids:
        say(f"{job.name} is deployed already, as {job.ids['deployment']}")
    else:
        cost = estimate(job, prices=prices)
        say(cost.hosting_line)
        a_day = None if cost.usd_per_hour is None else 24 * cost.usd_per_hour
        confirm(f"{job.name}: deploy {job.tuned_model}", a_day, yes, max_usd, "a day")
        raw = _ask(job, "deploy")
        say(f"asked for, as {raw['id']}; the service may need minutes")
        job = job.step("deploy asked", "deploy", raw, ids=job.ids | {"deployment": raw["id"]})
    ends = "it may be billed until you end it: ftlab hosted undeploy"
    client = _client(job)

    def told(before: tuple) -> tuple[tuple, bool]:
        now = _ask(job, "deployment", client=client)
        if now != before:
            say(f"{job.name}: deployment {now[1]}")
        return now, now != before

    state, status = _repeat(told, ("waiting", ""), lambda seen: seen[0] != "waiting", every, most_seconds, say, sleep)
    if state == "failed":
        raise RefusedError(f"{job.service}: the deployment has failed ({status}); {ends}")
    if state == "waiting":
        say(f"{job.name}: not ready after {most_seconds:,.0f} s ({status}); deploy again to go on waiting. {ends}")
    return job.step(f"deployment {status}")


def undeploy(job: Job, say: Callable = print) -> Job:
    """End the deployment, and with it the bill by the hour; one whose name was lost is looked for by our mark."""
    job = load_job(job.name)
    name = job.ids.get("deployment") or (_ask(job, "find_deployment") if job.tuned_model else None)
    if not name:
        say(f"{job.name}: nothing is deployed")
        return job
    job = job.step("", ids=job.ids | {"deployment": name})
    _remove(f"{job.service}: undeploy", name, lambda: module(job.service).undeploy(_client(job), job), say)
    return job.step("undeployed", ids={key: value for key, value in job.ids.items() if key != "deployment"})


def fetch(job: Job, out: str | Path) -> list[Path]:
    """What the service gives back: the loss curve, its table of metrics, and the weights where it lets them go."""
    job, out = load_job(job.name), Path(out)
    _need_model(job)
    paths = list(_ask(job, "fetch", out, default=[]))
    if points := loss_curve(job):
        paths.append(out / "loss_curve.json")
        with whole_file(paths[-1]) as file:
            file.write(json.dumps(points, indent=1).encode())
    return paths


def cancel(job: Job) -> Job:
    """Stop a job that runs, looked for where its creation was not answered; what was trained so far may be billed."""
    job = _with_id(load_job(job.name))
    if job.ended or "job" not in job.ids or (job := look(job)).ended:
        return job
    try:
        raw = _ask(job, "cancel")
    except RefusedError:
        if not (job := look(job)).ended:  # it may have ended between the two
            raise
        return job
    return look(job.step("cancel asked", "cancel", raw))


def delete(job: Job, *, yes: bool = False, say: Callable = print) -> Job:
    """Clean up: cancel what runs, end the deployment, delete the tuned model and the files at the service.

    What is gone already counts as deleted, so a deletion that was broken off goes on.
    """
    job = load_job(job.name)
    held = ", ".join(filter(None, [job.tuned_model, *job.ids.values()])) or "nothing"
    confirm(f"delete at {job.service}: {held}", 0.0, yes, 0.0 if yes else None)
    try:
        cancel(job)
    except RefusedError as error:
        if error.status != 404:
            raise
    job = undeploy(job, say=lambda text: None)
    if job.ids:
        client = _client(job)
        with talking(f"{job.service}: delete"):
            every = list(module(job.service).delete(client, job))
        for name, call in every:
            _remove(f"{job.service}: delete {name}", name, call, say)
    return job.step("deleted", state="deleted", tuned_model="", ids={})


# --- looking, again and again


def _check_seconds(*seconds: float | None) -> None:
    if not all(each is None or each >= 0 for each in seconds):
        raise RecipeError("seconds between looks (--every) and of waiting (--seconds) are numbers from 0 on")


def _repeat(look: Callable, seen, done: Callable, every: float, most_seconds: float | None, say, sleep):
    """What was seen last: `look(seen)` gives what it sees now and whether that is news, until it is done or time is up.

    It looks more and more rarely while there is no news. A look that fails is repeated, unless that cannot help.
    """
    wait, waited, failed = every, 0.0, 0
    while not done(seen):
        try:
            seen, news = look(seen)
            wait, failed = every if news else wait, 0
        except RefusedError as error:
            failed += 1
            if failed >= LOST or error.status in (400, 401, 403, 404):
                raise
            say(f"{error}; looking again")
            wait = max(wait, min(error.wait_seconds or 0, LONGEST_WAIT))
        if done(seen) or most_seconds is not None and waited >= most_seconds:
            break
        sleep(wait)
        waited, wait = waited + wait, min(wait * 1.5, LONGEST_WAIT)
    return seen


# --- one request each


def _ask(job, step: str, *more, default=None, client=None):
    """What the service's own function of this name gives; the default where it has none."""
    own = getattr(module(job.service), step, None)
    with talking(f"{job.service}: {step}"):
        return own(client or _client(job), job, *more) if own else default


def _client(job):
    with talking(f"{job.service}: connect"):
        client = module(job.service).connect()
    if module(job.service).address() != job.address:
        now = "the settings lead to another address now: prepare it again to have it there"
        raise RecipeError(f"{job.name} is a job at {job.address}, and {now}")
    return client


def _upload(own, client, job) -> Job:
    for part in job.data:
        if part not in job.ids:
            raw = _insist(f"{job.service}: upload {part}", partial(own.upload, client, job, part))
            job = job.step(f"uploaded {part} as {raw['id']}", f"upload {part}", raw, ids=job.ids | {part: raw["id"]})
    return job


def _create(own, client, job) -> Job:
    """Create the job, or take the one that carries our mark."""
    if "job" in (found := _find(own, client, job)).ids:
        return found
    raw = _insist(f"{job.service}: create", lambda: own.create(client, job))
    return job.step(f"created {raw['id']}", "create", raw, ids=job.ids | {"job": raw["id"]}, **own.seen(raw))


def _find(own, client, job) -> Job:
    """The job with what the service says of the one that carries our mark, where there is one."""
    raw = _insist(f"{job.service}: look for the job", lambda: own.find(client, job))
    if not raw:
        return job
    found = job.step(f"found {raw['id']}", "create", raw, ids=job.ids | {"job": raw["id"]}, **own.seen(raw))
    return look(found, own, client)  # a list tells less of a job than the job itself


def _with_id(job) -> Job:
    """The job, looked for at the service where files are there and the answer to its creation never came."""
    if not job.ids or "job" in job.ids:
        return job
    return _find(module(job.service), _client(job), job)


def _remove(what: str, name: str, call: Callable, say: Callable) -> None:
    """One deletion; what is gone already is gone."""
    try:
        with talking(what):
            call()
    except RefusedError as error:
        if error.status != 404:
            raise
        say(f"gone already: {name}")
    else:
        say(f"deleted: {name}")


@contextmanager
def _alone(job) -> Iterator[None]:
    """Only one process at a time sends a job; the lock ends with its process."""
    from filelock import FileLock, Timeout

    lock = FileLock(job.path.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RecipeError(f"{job.name} is being submitted by another process: wait for it, and watch the job") from None
    try:
        yield
    finally:
        lock.release()


def _insist(what: str, call: Callable) -> dict | None:
    """What `call` gives; where the service says that it is busy, and has done nothing, wait as long as it asks."""
    for tried in range(TRIES):
        try:
            with talking(what):
                return call()
        except RefusedError as error:
            if error.status != 429 or tried + 1 == TRIES:
                raise
            time.sleep(min(2.0**tried if error.wait_seconds is None else error.wait_seconds, LONGEST_WAIT))


def _need_model(job):
    if not job.tuned_model:
        raise RecipeError(f"{job.name} has no tuned model: it is {job.state}")
