"""A job at a hosted service, and its one file on this disk: nothing is lost when the process dies between two steps."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path

from ftlab import home
from ftlab.errors import DataError
from ftlab.files import whole_file
from ftlab.hosted.secrets import clean
from ftlab.tables import html_table

SERVICES = ("openai", "azure", "vertex", "bedrock", "together", "fireworks")
ENDED = ("succeeded", "failed", "cancelled", "deleted")


@dataclass(frozen=True, repr=False)
class Job:
    """One job: what identifies it (service to attempt), and what is known of it.

    `data` holds the SHA-256 of each prepared file; `state` is one of prepared, waiting, running and ENDED, `status` the
    service's own word for it; `ids` are the service's names for what it holds (train, validation, job, deployment);
    `raw` is the last answer to each step, `log` what was done, with the time, `events` what the service told.
    """

    service: str
    address: str  # a job at a stand-in is never taken for one at the service
    model: str
    method: str
    settings: dict
    data: dict
    attempt: int = 1
    files: dict = field(default_factory=dict)
    rows: dict = field(default_factory=dict)
    tokens: dict = field(default_factory=dict)  # of each file, an estimate; None: not counted
    notes: list = field(default_factory=list)  # what the export warned of
    state: str = "prepared"
    status: str = ""
    tuned_model: str = ""
    error: str = ""
    trained_tokens: int | None = None
    ids: dict = field(default_factory=dict)
    raw: dict = field(default_factory=dict)
    log: list = field(default_factory=list)
    events: list = field(default_factory=list)

    @property
    def name(self) -> str:
        """Service and a hash of all that identifies the job; also its mark at the service."""
        parts = [self.service, self.address, self.model, self.method, self.settings, self.data, self.attempt]
        return f"{self.service}-{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]}"

    @property
    def mark(self) -> str:
        """What the job is called at the service, so that it is found there again."""
        return f"ftlab-{self.name}"

    @property
    def uploaded(self) -> list[str]:
        """The service's names for the files that it holds."""
        return [self.ids[part] for part in self.data if part in self.ids]

    @property
    def ended(self) -> bool:
        """True when the service will do nothing more by itself."""
        return self.state in ENDED

    @property
    def path(self) -> Path:
        """The file that keeps the job."""
        return _folder() / f"{self.name}.json"

    def step(self, done: str, key: str = "", raw: dict | None = None, **changes) -> "Job":
        """The job after one more step, written to its file before anything else happens; the file holds no secret.

        `done` goes into the log (nothing when empty), `raw` is what the service answered and is kept under `key`.
        """
        log = [*self.log, f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {done}"] if done else self.log
        raws = self.raw | ({key: raw} if key else {})
        job = replace(self, **changes, log=log, raw=raws)
        with whole_file(job.path) as file:
            file.write(clean(json.dumps(asdict(job), indent=1, default=str)).encode())
        return job

    def to_dict(self) -> dict:
        """The fields and the name, as plain JSON values."""
        return asdict(self) | {"name": self.name}

    def _lines(self) -> list[tuple[str, str]]:
        lines = [("service", f"{self.service} at {self.address}"), ("job", f"{self.method} of {self.model}")]
        lines += [("settings", ", ".join(f"{key} {value}" for key, value in self.settings.items()))]
        lines += [("rows", ", ".join(f"{count:,} in {part}" for part, count in self.rows.items()))]
        lines += [("state", self.state + (f" ({self.status})" if self.status not in ("", self.state) else ""))]
        lines += [(name, self.ids[name]) for name in self.ids]
        lines += [("tuned model", self.tuned_model)] if self.tuned_model else []
        lines += [("trained", f"{self.trained_tokens:,} tokens")] if self.trained_tokens else []
        return lines + ([("error", self.error)] if self.error else [])

    def __repr__(self):
        return "\n".join([f"Job {self.name}", *(f"{name:>12}: {text}" for name, text in self._lines())])

    def _repr_html_(self):
        return html_table([("job", self.name), *self._lines()])


def load_job(name: str) -> Job:
    """The job of this name; DataError names those that are there."""
    path = _folder() / f"{name}.json"
    if not path.exists():
        known = ", ".join(job.name for job in kept_jobs()) or "none yet; ftlab hosted prepare makes one"
        raise DataError(f"no job {name!r} in {path.parent} (there: {known})")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Job(**{each.name: content[each.name] for each in fields(Job) if each.name in content})
    except (ValueError, TypeError) as error:
        remedy = "a backup, or the service's own page, knows the job"
        raise DataError(f"{path} cannot be read ({error}): {remedy}") from error


def kept_jobs(service: str | None = None) -> list[Job]:
    """The jobs of this disk, the one that changed last first."""
    named = f"{service}-*.json" if service else "*.json"  # a damaged file of another service is in nobody's way
    paths = sorted(_folder().glob(named), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return [load_job(path.stem) for path in paths]


def sha256_of(path: str | Path) -> str:
    """Hash of a file's content."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _folder() -> Path:
    return home() / "hosted"
