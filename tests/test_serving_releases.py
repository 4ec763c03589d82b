"""Releases: card, refusal, hashes, roll-back, and a pointer that a crash cannot bend."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from ftlab.cli import main
from ftlab.data.jsonl import write_rows
from ftlab.errors import DataError
from ftlab.serving.card import write_card
from ftlab.serving.releases import check_release, current, release, rollback

REPORT = json.loads((Path(__file__).parent.parent / "data/recorded/triage/report.json").read_text())
ROWS = 20


@pytest.fixture
def make_run(tmp_path):
    """`make_run(name, right, verdict)`: the folder of a finished run whose first `right` answers are right."""
    rows = [{"id": f"t{i}", "messages": [{"role": "user", "content": f"what is {i}?"},
                                         {"role": "assistant", "content": json.dumps({"a": str(i)})}]}
            for i in range(ROWS)]  # fmt: skip
    files = {part: str(write_rows(rows, tmp_path / f"{part}.jsonl")) for part in ("train", "validation", "test")}

    def make(name: str, right: int, verdict: str = "ship") -> Path:
        run = tmp_path / name
        (run / "adapter").mkdir(parents=True)
        (run / "adapter" / "adapter_model.safetensors").write_bytes(name.encode())
        tokens = {"eos_token": "<|end|>", "pad_token": {"content": "<|pad|>"}}
        (run / "adapter" / "tokenizer_config.json").write_text(json.dumps(tokens))
        (run / "adapter" / "chat_template.jinja").write_text("{{ messages }}")
        recipe = {"name": name, "model": "nano", "data": files, "answer": "record",
                  "training": {"method": "lora", "r": 8}}  # fmt: skip
        (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        gate = REPORT["gate"] | {"verdict": verdict, "reasons": ["the first reason"]}
        (run / "report.json").write_text(json.dumps(REPORT | {"gate": gate}))
        lines = [{"id": f"t{i}", "prediction": json.dumps({"a": str(i) if i < right else "x"})} for i in range(ROWS)]
        write_rows(lines, run / "predictions" / "test.fine_tuned.jsonl")
        return run

    return make


def test_the_card_says_what_it_is_how_it_is_asked_and_what_the_gate_said(make_run):
    card = write_card(make_run("first", 20)).read_text()
    accuracy = REPORT["systems"]["fine_tuned"]["field_accuracy"]["value"]
    for expected in ("base_model: nano", REPORT["data_sha256"], REPORT["recipe_sha256"], "eos `<|end|>`",
                     "pad `<|pad|>`",
                     f"{100 * accuracy:.1f} %", "## The gate: ship", "chat template sha256"):  # fmt: skip
        assert expected in card
    assert "/tmp" not in card.split("data sha256")[0]


def test_a_folder_that_is_no_run_is_refused_with_what_is_missing(tmp_path):
    with pytest.raises(DataError, match=r"missing: recipe.yaml, report.json, adapter"):
        release(tmp_path, tmp_path / "releases")


def test_the_next_release_is_compared_and_a_roll_back_puts_the_first_back(make_run, tmp_path):
    releases = tmp_path / "releases"
    first = release(make_run("first", 15), releases)
    second = release(make_run("second", 20), releases)
    assert (first.name, first.against) == ("1", {})
    assert (second.name, second.replaced) == ("2", "1")
    assert second.against["test"].delta == pytest.approx(0.25)
    assert current(releases).name == "2"
    assert rollback(releases).name == "1"
    assert current(releases).name == "1"
    assert (releases / "2" / "README.md").exists()
    assert release(make_run("third", 20), releases).name == "3"
    assert rollback(releases).name == "1"
    with pytest.raises(DataError, match="nothing to put back"):
        rollback(releases)


def test_what_loses_or_did_not_pass_its_gate_is_refused_unless_somebody_says_why(make_run, tmp_path):
    releases = tmp_path / "releases"
    release(make_run("first", 20), releases)
    worse = release(make_run("worse", 10), releases)
    assert worse.name is None
    assert "on test it loses 50.0 points" in worse.reasons[0]
    failed = make_run("failed", 20, verdict="do not ship")
    assert "the gate of this run says 'do not ship': the first reason" in release(failed, releases).reasons[0]
    assert current(releases).name == "1"
    assert release(failed, releases, despite="a lesson").name == "2"
    about = json.loads((releases / "2" / "release.json").read_text())
    assert about["despite"] == "a lesson"
    assert "do not ship" in about["objections"][0]


def test_a_changed_file_is_named_and_is_not_put_into_service(make_run, tmp_path):
    releases = tmp_path / "releases"
    release(make_run("first", 20), releases)
    release(make_run("second", 20), releases)
    (releases / "1" / "adapter" / "adapter_model.safetensors").write_bytes(b"other")
    with pytest.raises(DataError, match="not as it was released: adapter/adapter_model.safetensors"):
        rollback(releases)
    assert current(releases).name == "2"
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=releases / "2", check=True)


def test_a_release_that_is_interrupted_leaves_the_old_one_in_service(make_run, tmp_path, monkeypatch):
    releases = tmp_path / "releases"
    release(make_run("first", 20), releases)

    def fail(*_):
        raise KeyboardInterrupt

    second = make_run("second", 20)
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", fail)
        with pytest.raises(KeyboardInterrupt):
            release(second, releases)
    assert sorted(path.name for path in releases.iterdir()) == ["1", "current.json"]
    check_release(current(releases))
    assert release(second, releases).name == "2"


def test_the_command(make_run, tmp_path, capsys):
    to = ["--to", str(tmp_path / "releases")]
    assert main(["release", *to]) == 2
    assert main(["release", str(make_run("first", 20)), *to]) == 0
    assert main(["release", str(make_run("worse", 10)), *to]) == 1
    capsys.readouterr()
    assert main(["release", *to, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "1", "folder": str(tmp_path / "releases" / "1")}
    assert main(["release", *to, "--rollback"]) == 2
    assert "nothing to put back" in capsys.readouterr().err
