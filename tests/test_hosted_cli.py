"""`ftlab hosted` from a shell: the whole way, exit codes, and the state of the services."""

import json
import ssl
from datetime import date, timedelta

import pytest
from hosted_cases import TICKETS

from ftlab.cli import main
from ftlab.errors import DataError
from ftlab.hosted import jobs
from ftlab.hosted.services import COLUMNS, STALE_DAYS, state_of_services
from ftlab.hosted.stand_in import StandIn


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda *_, **__: None)
    monkeypatch.setattr(jobs.time, "sleep", lambda seconds: None)
    with StandIn() as stand_in:
        for name, value in stand_in.environment().items():
            monkeypatch.setenv(name, value)
        yield stand_in


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(TICKETS.read_text().splitlines()[:12]) + "\n")
    return path


def hosted(*words):
    return main(["hosted", *map(str, words)])


def test_from_prepare_to_delete(stand_in, rows, tmp_path, capsys):
    openai = ("--service", "openai")
    assert (
        hosted("prepare", rows, *openai, "--model", "gpt-4.1-mini", "--set", "n_epochs=2", "--out", tmp_path / "up")
        == 0
    )
    capsys.readouterr()
    assert hosted("estimate", *openai, "--json") == 0
    estimate = json.loads(capsys.readouterr().out)
    assert (estimate["epochs"], estimate["retires"]) == (2, "2027-01-14")
    assert estimate["usd"] == pytest.approx(estimate["tokens"] * 2 * 5 / 1e6)
    assert hosted("submit", *openai) == 2  # nobody can be asked
    assert "nobody can be asked here" in capsys.readouterr().err
    assert hosted("submit", *openai, "--yes", "--max-usd", "0.0001") == 2
    assert stand_in.requests == []
    assert hosted("submit", *openai, "--yes", "--max-usd", "1") == 0
    assert hosted("submit", *openai, "--yes", "--max-usd", "1") == 0
    assert len(stand_in.jobs) == 1
    assert hosted("watch", *openai, "--every", "0") == 0
    baseline = tmp_path / "baseline.jsonl"
    ids = [json.loads(line)["id"] for line in rows.read_text().splitlines()]
    baseline.write_text("".join(json.dumps({"id": id, "prediction": "{}"}) + "\n" for id in ids))
    judged = ("evaluate", rows, *openai, "--against", baseline, "--out", tmp_path / "judged", "--yes", "--max-usd", "1")
    assert hosted(*judged) == 1
    assert "Gate: not enough data" in capsys.readouterr().out
    assert (tmp_path / "judged" / "tuned.jsonl").exists()
    assert hosted("deploy", *openai, "--yes", "--max-usd", "1") == 0
    assert hosted("delete", *openai, "--yes") == 0
    assert stand_in.files == {}


def test_a_failed_job_is_a_negative_verdict(stand_in, rows, tmp_path):
    stand_in.invalid = "line 1 is wrong"
    hosted("prepare", rows, "--service", "openai", "--model", "gpt-4.1-mini", "--out", tmp_path / "up")
    hosted("submit", "--service", "openai", "--yes", "--max-usd", "1")
    assert hosted("watch", "--service", "openai", "--every", "0") == 1


@pytest.mark.parametrize(("words", "told"), [
    (("prepare", "x.jsonl"), "--service is missing: one of openai"),
    (("prepare", "--service", "openai"), "prepare needs a file of rows and --model"),
    (("submit", "--service", "together"), "no job at together yet"),
    (("submit", "--service", "openai", "--job", "openai-1"), "no job 'openai-1'"),
])  # fmt: skip
def test_what_is_missing_is_said(stand_in, words, told, capsys):
    assert hosted(*words) == 2
    assert told in capsys.readouterr().err


# --- the state of the services


def test_every_service_has_every_fact_with_a_source_and_a_day():
    found = state_of_services()
    assert {line[0] for line in found.table()[1:]} == {*jobs.SERVICES, "mistral"}
    assert all(fact.source_url.startswith("https://") and fact.source_date for fact in found.facts)
    assert len({(fact.service, fact.fact) for fact in found.facts}) == len(found.facts)


def test_a_fact_past_its_date_warns():
    newest = max(date.fromisoformat(fact.source_date) for fact in state_of_services().facts)
    assert state_of_services(newest).newest_days == 0
    late = state_of_services(newest + timedelta(days=STALE_DAYS + 1))
    assert len(late.warnings) == len(late.facts)
    assert "look it up again at https://" in late.warnings[0]


@pytest.mark.parametrize(("line", "told"), [
    ("openai,state,open,https://x,2026-11-29,H", "more or fewer than 7 columns"),
    ("openai,colour,red,https://x,2026-11-29,H,", "needs a fact of state"),
    ("openai,state,open,,2026-11-29,H,", "its source_url"),
    ("openai,state,open,https://x,yesterday,H,", "is no date"),
])  # fmt: skip
def test_a_damaged_table_is_named_by_its_line(tmp_path, line, told):
    path = tmp_path / "services.csv"
    path.write_text(",".join(COLUMNS) + "\n" + line + "\n")
    with pytest.raises(DataError, match=f"services.csv:2.*{told}"):
        state_of_services(path=path)
