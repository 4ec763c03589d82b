"""`ftlab hosted` from a shell: the whole way, exit codes, and the state of the services."""

import gc
import json
import ssl
from datetime import date, timedelta

import pytest
from hosted_cases import TICKETS

from ftlab import home
from ftlab.cli import main
from ftlab.errors import DataError
from ftlab.hosted import jobs
from ftlab.hosted.job import SERVICES
from ftlab.hosted.services import COLUMNS, STALE_DAYS, state_of_services
from ftlab.hosted.stand_in import StandIn

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda *_, **__: None)
    monkeypatch.setattr(jobs.time, "sleep", lambda seconds: None)
    with StandIn() as stand_in:
        for name, value in stand_in.environment().items():
            monkeypatch.setenv(name, value)
        yield stand_in
    gc.collect()  # clients that an error left open are warned of here and in no later test


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
    assert [path.suffix for path in (tmp_path / "judged").iterdir()] == [".jsonl"]
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


# --- what is not done


def prepare(rows, service, model, *more):
    return hosted("prepare", rows, "--service", service, "--model", model, *more)


def test_files_of_yours_are_replaced_only_when_you_say_so(stand_in, rows, capsys):
    mine = rows.read_bytes()
    assert prepare(rows, "vertex", "gemini-3.1-flash-lite", "--out", rows.parent) == 2
    assert "--force" in capsys.readouterr().err
    assert rows.read_bytes() == mine
    assert prepare(rows, "vertex", "gemini-3.1-flash-lite", "--out", rows.parent, "--force") == 0
    assert b"contents" in rows.read_bytes()


@pytest.mark.parametrize(("service", "model", "words", "told"), [
    ("openai", "gpt-4.1-mini", "n_epochs=-3", "n_epochs is -3: give a whole number from 1 on"),
    ("openai", "gpt-4.1-mini", "n_epochs=0", "n_epochs is 0"),
    ("openai", "gpt-4.1-mini", "n_epochs=2.5", "n_epochs is 2.5"),
    ("together", "Qwen/Qwen3-8B", "n_epochs=nan", "n_epochs is nan"),
    ("together", "Qwen/Qwen3-8B", "learning_rate=inf", "learning_rate is inf: it takes 0 or more"),
    ("openai", "gpt-4.1-mini", "batch_size=-1", "batch_size is -1"),
    ("bedrock", "amazon.nova-micro-v1:0:128k", "n_epochs=50", "n_epochs is 50: it takes 1 to 5"),
    ("bedrock", "amazon.nova-micro-v1:0:128k", "learning_rate=5", "learning_rate is 5: it takes 1e-06 to 0.0001"),
    ("bedrock", "meta.llama3-1-8b-instruct-v1:0", "n_epochs=1", "meta.llama3-1-8b-instruct-v1:0 is none of them"),
    ("bedrock", "anthropic.claude-3-haiku-20240307-v1:0:200k", "n_epochs=1", "Llama and Claude take other forms"),
])  # fmt: skip
def test_a_setting_or_a_model_that_would_be_refused_or_cost_nothing_is_refused(stand_in, rows, service, model, words,
                                                                               told, capsys):  # fmt: skip
    assert prepare(rows, service, model, "--set", words) == 2
    assert told in capsys.readouterr().err


def test_epochs_may_be_left_to_the_service_whose_price_is_then_unknown(stand_in, rows, capsys):
    assert prepare(rows, "openai", "gpt-4.1-mini", "--set", "n_epochs=auto") == 0
    assert hosted("submit", "--service", "openai", "--yes", "--max-usd", "1") == 2
    assert "the price is unknown" in capsys.readouterr().err


@pytest.mark.parametrize("usd", ["nan", "inf", "-1"])
def test_a_limit_that_is_no_amount_limits_nothing_and_is_refused(stand_in, rows, usd, capsys):
    prepare(rows, "openai", "gpt-4.1-mini")
    assert hosted("submit", "--service", "openai", "--yes", "--max-usd", usd) == 2
    assert "is no amount of dollars" in capsys.readouterr().err
    assert stand_in.requests == []


def test_what_is_wrong_with_the_files_is_said_before_anything_is_paid(stand_in, rows, capsys):
    openai = ("--service", "openai")
    prepare(rows, "openai", "gpt-4.1-mini")
    hosted("submit", *openai, "--yes", "--max-usd", "1")
    hosted("watch", *openai, "--every", "0")
    before = list(stand_in.requests)
    assert hosted("evaluate", rows, *openai, "--against", rows.with_name("no.jsonl"), "--yes", "--max-usd", "1") == 2
    assert "no.jsonl" in capsys.readouterr().err
    assert stand_in.requests == before


@pytest.mark.parametrize("words", [("--every", "-1"), ("--seconds", "-1"), ("--every", "nan")])
def test_seconds_are_numbers_from_0_on(stand_in, rows, words, capsys):
    prepare(rows, "openai", "gpt-4.1-mini")
    hosted("submit", "--service", "openai", "--yes", "--max-usd", "1")
    assert hosted("watch", "--service", "openai", *words) == 2
    assert "numbers from 0 on" in capsys.readouterr().err


def test_a_damaged_job_is_in_the_way_of_its_own_service_only(stand_in, rows, capsys):
    prepare(rows, "openai", "gpt-4.1-mini")
    prepare(rows, "together", "Qwen/Qwen3-8B")
    (home() / "hosted" / "together-zzz.json").write_text("{")
    assert hosted("estimate", "--service", "openai") == 0
    assert hosted("estimate", "--service", "together") == 2
    assert "together-zzz.json cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(("service", "model", "missing"), [
    ("azure", "gpt-4.1-mini", "AZURE_OPENAI_ENDPOINT"),
    ("vertex", "gemini-3.1-flash-lite", "GOOGLE_CLOUD_LOCATION"),
    ("bedrock", "amazon.nova-micro-v1:0:128k", "AWS_DEFAULT_REGION"),
])  # fmt: skip
def test_without_an_account_all_up_to_the_submit_works(monkeypatch, rows, service, model, missing, capsys):
    for name in (missing, "AWS_ENDPOINT_URL", "GOOGLE_VERTEX_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    assert prepare(rows, service, model) == 0
    capsys.readouterr()
    assert hosted("estimate", "--service", service) == 0
    assert f"{missing} is not set" in capsys.readouterr().out
    monkeypatch.setattr("ftlab.hosted.estimate.can_ask", lambda: True)
    monkeypatch.setattr("builtins.input", lambda text: "yes")
    assert hosted("submit", "--service", service) == 2
    assert "is not set: it names" in capsys.readouterr().err


def test_a_row_that_a_service_may_cut_stands_in_the_estimate(stand_in, rows, capsys):
    long = {"messages": [{"role": "user", "content": "word " * 70_000}, {"role": "assistant", "content": "Yes."}]}
    with rows.open("a") as file:
        file.write(json.dumps(long) + "\n")
    assert prepare(rows, "openai", "gpt-4.1-mini") == 0  # as `ftlab export`: written, and said
    hosted("estimate", "--service", "openai")
    assert f"{rows.name}:13" in capsys.readouterr().out.split("Estimate")[1]


def test_a_terminal_that_is_closed_says_no(stand_in, rows, monkeypatch, capsys):
    def closed(text):
        raise EOFError

    prepare(rows, "openai", "gpt-4.1-mini")
    monkeypatch.setattr("ftlab.hosted.estimate.can_ask", lambda: True)
    monkeypatch.setattr("builtins.input", closed)
    assert hosted("submit", "--service", "openai") == 2
    assert "you did not write yes" in capsys.readouterr().err


def test_a_loss_curve_is_told_and_written(stand_in, rows, tmp_path, capsys):
    stand_in.curve = [{"step": 1, "train_loss": 2.5}, {"step": 2, "train_loss": 1.25}]
    prepare(rows, "together", "Qwen/Qwen3-8B")
    hosted("submit", "--service", "together", "--yes", "--max-usd", "9", "--billion", "8")
    capsys.readouterr()
    hosted("watch", "--service", "together", "--every", "0")
    assert "the loss curve has 2 points" in capsys.readouterr().out
    hosted("fetch", "--service", "together", "--out", tmp_path / "back")
    assert json.loads((tmp_path / "back" / "loss_curve.json").read_text()) == stand_in.curve


# --- the state of the services


def test_every_service_has_every_fact_with_a_source_and_a_day():
    found = state_of_services()
    assert {line[0] for line in found.table()[1:]} == {*SERVICES, "mistral"}
    assert all(fact.source_url.startswith("https://") and fact.source_date for fact in found.facts)
    assert len({(fact.service, fact.fact) for fact in found.facts}) == len(found.facts)


def test_a_fact_past_its_date_warns():
    newest = max(date.fromisoformat(fact.source_date) for fact in state_of_services().facts)
    assert state_of_services(newest).newest_days == 0
    late = state_of_services(newest + timedelta(days=STALE_DAYS + 1))
    assert sum("days old" in text for text in late.warnings) == len(late.facts)
    assert "look it up again at https://" in late.warnings[0]


def test_a_day_that_has_passed_since_the_fact_was_read_warns():
    assert state_of_services(date(2026, 12, 1)).warnings == ()
    passed = [text for text in state_of_services(date(2027, 1, 20)).warnings if text.startswith("openai")]
    assert any("state: 2027-01-06 is past" in text for text in passed)
    assert any("retirement: 2027-01-14 is past" in text for text in passed)
    assert not any("2026-05-07" in text for text in passed), "it was past already when it was read"


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
