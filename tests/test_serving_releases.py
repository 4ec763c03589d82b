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
    """`make_run(name, right, verdict)`: the folder of a finished run whose first `right` answers are right.

    `cases` are the numbers of its test cases, `slices` further test sets of the same ones; without `ids` the rows have
    none.
    """

    def make(name: str, right: int, verdict: str = "ship", cases=range(ROWS), slices=(), ids=True) -> Path:
        run = tmp_path / name
        rows = [{"id": f"t{i}", "messages": [{"role": "user", "content": f"what is {i}?"},
                                             {"role": "assistant", "content": json.dumps({"a": str(i)})}]}
                for i in cases]  # fmt: skip
        rows = rows if ids else [{"messages": row["messages"]} for row in rows]
        files = {part: str(write_rows(rows, tmp_path / f"{name}-{part}.jsonl"))
                 for part in ("train", "validation", "test", *slices)}  # fmt: skip
        (run / "adapter").mkdir(parents=True)
        (run / "adapter" / "adapter_model.safetensors").write_bytes(name.encode())
        tokens = {"eos_token": "<|end|>", "pad_token": {"content": "<|pad|>"}}
        (run / "adapter" / "tokenizer_config.json").write_text(json.dumps(tokens))
        (run / "adapter" / "chat_template.jinja").write_text("{{ messages }}")
        recipe = {"name": name, "model": "nano", "answer": "record", "training": {"method": "lora", "r": 8},
                  "data": files | {"slices": {part: files.pop(part) for part in slices}}}  # fmt: skip
        (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        gate = REPORT["gate"] | {"verdict": verdict, "reasons": ["the first reason"]}
        (run / "report.json").write_text(json.dumps(REPORT | {"gate": gate}))
        lines = [{"id": f"t{i}" if ids else number, "prediction": json.dumps({"a": str(i) if number < right else "x"})}
                 for number, i in enumerate(cases)]  # fmt: skip
        for part in ("test", *slices):
            write_rows(lines, run / "predictions" / f"{part}.fine_tuned.jsonl")
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


@pytest.mark.parametrize(
    ("model", "method", "said"),
    [
        ("nano", "lora", ["base_model: nano", 'Load nano (it comes with the course: `ftlab.models.resolve("nano")`']),
        ("qwen3-4b", "qlora", ["base_model: unsloth/Qwen3-4B-Instruct-2507", "a model of the Hugging Face hub"]),
        ("OWN", "lora", ["base_model: own-model\n", "Load own-model (a folder of your own; the sha256"]),
        ("nano", "full", ["holds a whole model, trained from nano"]),
    ],
)
def test_the_card_says_which_base_model_it_needs_and_no_path_of_this_machine(make_run, tmp_path, model, method, said):
    run, own = make_run("first", 20), tmp_path / "own-model"
    own.mkdir()
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    recipe |= {"model": model.replace("OWN", str(own)), "training": {"method": method}}
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    card = write_card(run).read_text()
    for expected in said:
        assert expected in card
    assert ("base_model_name_or_path" in card) == (method != "full")
    assert str(own) not in card


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


def test_refreshed_test_cases_are_compared_where_both_answered(make_run, tmp_path):
    releases = tmp_path / "releases"
    release(make_run("first", 20), releases)
    worse = release(make_run("worse", 1, cases=range(21)), releases)
    assert worse.name is None
    assert "on test it loses 95.0 points" in worse.reasons[0]
    assert "on the 20 cases that both answered: 20 the release in service, 21 this run" in repr(worse)
    newer = release(make_run("newer", 20, cases=range(5, 30)), releases)
    assert (newer.name, newer.against["test"].n, newer.against["test"].delta) == ("2", 15, 0)
    assert str(tmp_path.parent.parent) not in repr(newer).partition("\n")[2]  # no folder that is gone


@pytest.mark.parametrize(
    ("settings", "change", "reason"),
    [
        ({"cases": range(100, 120)}, None, "not compared on test: other cases: this run answered 0 of the 20"),
        ({"cases": range(15, 40)}, None, "not compared on test: other cases: this run answered 5 of the 20"),
        ({"slices": ()}, None, "not compared on hard: this run did not answer it"),
        ({}, "predictions/test.fine_tuned.jsonl", "not compared on test: this run did not answer it"),
    ],
)
def test_what_was_not_compared_is_an_objection(make_run, tmp_path, settings, change, reason):
    releases = tmp_path / "releases"
    release(make_run("first", 20, slices=["hard"]), releases)
    run = make_run("second", 20, **({"slices": ["hard"]} | settings))
    if change:
        (run / change).unlink()
    found = release(run, releases)
    assert found.name is None
    assert any(each.startswith(reason) for each in found.reasons)
    assert release(run, releases, despite="other data").name == "2"
    assert reason in (releases / "2" / "release.json").read_text()


def test_rows_without_ids_are_compared_only_where_they_are_as_many(make_run, tmp_path):
    releases = tmp_path / "releases"
    release(make_run("first", 20, ids=False), releases)
    assert release(make_run("second", 20, ids=False), releases).against["test"].n == 20
    found = release(make_run("third", 20, cases=range(1, 22), ids=False), releases)
    assert "other cases, and nothing says which they share: give each row of" in found.reasons[0]


def test_a_new_test_set_is_no_objection(make_run, tmp_path):
    release(make_run("first", 20), tmp_path / "releases")
    assert release(make_run("second", 20, slices=["hard"]), tmp_path / "releases").name == "2"


@pytest.mark.parametrize("damage", ["changed", "gone", "hashes"])
def test_a_damaged_release_in_service_is_replaced_when_somebody_says_why(make_run, tmp_path, damage):
    releases = tmp_path / "releases"
    release(make_run("first", 20), releases)
    if damage == "changed":
        (releases / "1" / "adapter" / "adapter_model.safetensors").write_bytes(b"other")
    elif damage == "gone":
        shutil.rmtree(releases / "1")
        (releases / "1").mkdir()
    else:
        (releases / "1" / "SHA256SUMS").write_bytes(b"\xff\n\n0123\n")
    second = make_run("second", 20)
    found = release(second, releases)
    assert (found.name, found.replaced) == (None, "1")
    assert found.reasons[0].startswith("not compared with the release in service: ")
    assert release(second, releases, despite="the disk was damaged").name == "2"
    assert current(releases).name == "2"


def test_hidden_files_are_no_damage(make_run, tmp_path):
    releases = tmp_path / "releases"
    first = make_run("first", 20)
    (first / "adapter" / ".DS_Store").write_bytes(b"before")
    release(first, releases)
    (releases / "1" / ".DS_Store").write_bytes(b"x")
    (releases / "1" / ".cache").mkdir()
    (releases / "1" / ".cache" / "file").write_bytes(b"x")
    assert current(releases).name == "1"
    (releases / "1" / "more").write_bytes(b"x")
    with pytest.raises(DataError, match="not as it was released: more"):
        current(releases)


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
