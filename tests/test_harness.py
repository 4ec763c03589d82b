"""Test sets as tasks of inspect-ai and lm-eval, and their logs, compared.

The logs in fixtures/harness are real (inspect-ai 0.3.285, lm-eval 0.4.13, run on the first rows of the teams' test set), cut
to six samples and to what is read.
"""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
import yaml

from ftlab.cli import main
from ftlab.data.schema import check_chat
from ftlab.errors import DataError
from ftlab.evaluation.harness import export_eval, read_log
from ftlab.evaluation.predictions import compare_files

ROOT = Path(__file__).resolve().parent.parent
LOGS = Path(__file__).parent / "fixtures/harness"
ONE, TWO = LOGS / "inspect_one_epoch.json", LOGS / "inspect_two_epochs_stored.eval"
TEAM = ROOT / "data/small_tasks/team_test.jsonl"


@pytest.fixture
def references(tmp_path):
    """The rows whose answers the logs hold."""
    path = tmp_path / "team.jsonl"
    path.write_text("".join(TEAM.read_text().splitlines(keepends=True)[:6]))
    return path


def test_a_log_of_each_harness_is_read():
    one, two, lm = read_log(ONE), read_log(TWO), read_log(LOGS / "samples_team.jsonl")
    assert [len(each) for each in (one, two, lm)] == [6, 12, 6]
    assert {each.id for each in one} == {each.id for each in two} == {each.id for each in lm}
    assert {each.target for each in one} == {each.target for each in lm}
    assert all(each.scores["exact"] in (0, 1) for each in one)
    assert [each.scores for each in lm] == [{"exact_match,none": 0.0}] * 6
    assert lm[0].row["phrasing"] == one[0].row["phrasing"]
    assert read_log(TEAM) is None


def test_logs_are_compared_as_predictions_whatever_their_order_and_repeats(references):
    seen = compare_files(ONE, TWO, references)
    assert (seen.n, seen.a) == (6, pytest.approx(2 / 6))
    own = compare_files(ONE, TWO, references, metric="harness")
    assert (own.a, own.b, own.metric) == (seen.a, seen.b, "harness")
    assert seen.b > seen.a
    assert "12 answers to 6 samples" in seen.notes[0]
    assert compare_files(ONE, TWO).delta == seen.delta  # the log's own targets


def test_a_log_and_a_file_of_ours_and_another_harness(references, tmp_path):
    ours = tmp_path / "ours.jsonl"
    ours.write_text("".join(json.dumps({"id": each.id, "prediction": each.target}) + "\n" for each in read_log(ONE)))
    lm = LOGS / "samples_team.jsonl"
    assert compare_files(lm, ours, references).b == 1
    assert compare_files(lm, ONE).n == 6
    assert compare_files(lm, ONE, metric="harness").b == pytest.approx(2 / 6)


def test_groups_come_from_the_references_or_the_log(references):
    for source in (references, None):
        seen = compare_files(ONE, TWO, source, group="phrasing")
        assert seen.groups == len({each.row["phrasing"] for each in read_log(ONE)})
    with pytest.raises(DataError, match=r"team\.jsonl:1 customer: has no text or number"):
        compare_files(ONE, TWO, references, group="customer")


def test_what_a_log_lacks_is_named(references, tmp_path):
    with pytest.raises(DataError, match=r"inspect_error\.json:4 sample: 'team-test-0004' ended in an error \("):
        compare_files(ONE, LOGS / "inspect_error.json", references)
    with pytest.raises(DataError, match=r"inspect_one_epoch\.json: has no such score; .*harness:exact"):
        compare_files(ONE, TWO, references, metric="harness:f1")
    with pytest.raises(DataError, match=r"team\.jsonl: has no such score; .*none of its own"):
        compare_files(ONE, predictions(references, tmp_path), references, metric="harness")
    log = json.loads(ONE.read_text())
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(log | {"samples": log["samples"][1:]}))
    with pytest.raises(DataError, match=r"'team-test-0001' has no prediction in .*changed\.json"):
        compare_files(ONE, changed)
    changed.write_text(json.dumps(log | {"samples": log["samples"] * 2}))
    with pytest.raises(DataError, match="epoch 1, stands twice"):
        compare_files(ONE, changed)
    changed.write_text(json.dumps(log | {"status": "cancelled"}))
    with pytest.raises(DataError, match=r"not complete \(cancelled\): inspect eval-retry changed\.json"):
        compare_files(ONE, changed)
    changed.write_text('{"results": {}, "configs": {}}')
    with pytest.raises(DataError, match=r"totals only: name samples_\*\.jsonl"):
        compare_files(ONE, changed)
    with pytest.raises(DataError, match="is no log of inspect-ai or lm-eval"):
        compare_files(references, ONE)


def predictions(references, tmp_path):
    """Those of our own form, right on all."""
    path = tmp_path / "own" / "team.jsonl"
    path.parent.mkdir(exist_ok=True)
    rows = map(json.loads, references.read_text().splitlines())
    path.write_text(
        "".join(json.dumps({"id": r["id"], "prediction": r["messages"][-1]["content"]}) + "\n" for r in rows)
    )
    return path


def test_choices_by_probability_have_only_the_score_of_the_harness():
    choice = LOGS / "samples_choice.jsonl"
    log = read_log(choice)
    assert [each.id for each in log] == list(range(6))  # no ids of their own: lm-eval's numbers
    assert set(log[0].scores) == {"acc,none", "acc_norm,none"}
    with pytest.raises(DataError, match="has no single text to judge"):
        compare_files(choice, choice)
    with pytest.raises(DataError, match=r"more than one such score; .*harness:acc,none, harness:acc_norm,none"):
        compare_files(choice, choice, metric="harness")
    seen = compare_files(choice, choice, metric="harness:acc")
    assert (seen.n, seen.delta) == (6, 0)


def test_several_filters_and_repeats_of_lm_eval():
    log = read_log(LOGS / "samples_filters.jsonl")
    assert (len(log), set(log[0].scores)) == (6, {"exact_match,first-word", "exact_match,raw"})
    with pytest.raises(DataError, match=r"several filters stand there; take --metric harness"):
        compare_files(LOGS / "samples_filters.jsonl", LOGS / "samples_filters.jsonl")
    assert compare_files(*[LOGS / "samples_filters.jsonl"] * 2, metric="harness:exact_match,raw").n == 6


def test_scores_of_several_parts_and_targets_of_several_texts():
    log = read_log(LOGS / "inspect_other.json")
    assert {"includes", "parts.short", "parts.polite"} == set(log[0].scores)
    assert {each.target is None for each in log} == {True, False}
    with pytest.raises(DataError, match="has no single target: take --metric harness"):
        compare_files(LOGS / "inspect_other.json", LOGS / "inspect_other.json")


def test_a_packed_log_needs_its_package_or_another_form(monkeypatch):
    packed = LOGS / "inspect_two_epochs.eval"
    try:
        assert len(read_log(packed)) == 12  # where zipfile-zstd is, or Python 3.14
    except DataError as error:
        assert "pip install zipfile-zstd, or inspect log convert inspect_two_epochs.eval" in str(error)  # noqa: PT017


def test_a_broken_or_unfinished_log(tmp_path):
    cut = tmp_path / "cut.eval"
    cut.write_bytes(TWO.read_bytes()[:2000])
    with pytest.raises(DataError, match="no readable log"):
        read_log(cut)
    with zipfile.ZipFile(cut, "w") as packed:
        packed.writestr("_journal/start.json", "{}")
    with pytest.raises(DataError, match="started and not ended"):
        read_log(cut)


@pytest.mark.parametrize("to", ["inspect", "lm_eval"])
def test_a_test_set_is_exported_by_command(to, references, tmp_path, capsys):
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("One word: which team?\n")
    arguments = ["export", str(references), "--to", to, "--prompt", str(prompt), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert [Path(file).name for file in written["files"]] == [
        "team.jsonl",
        f"team.{'py' if to == 'inspect' else 'yaml'}",
    ]
    rows = [json.loads(line) for line in (tmp_path / "out/team.jsonl").read_text().splitlines()]
    assert (len(rows), rows[0]["id"], rows[0]["target"]) == (6, "team-test-0001", "logistics")
    task = (tmp_path / "out" / Path(written["files"][1]).name).read_text()
    if to == "inspect":
        assert rows[0]["input"][0] == {"role": "system", "content": "One word: which team?"}
        compile(task, "team.py", "exec")
    else:
        assert rows[0]["system"] == "One word: which team?"
        assert yaml.safe_load(task)["dataset_kwargs"]["data_files"]["test"] == "team.jsonl"
    assert main(arguments) == 2  # nothing is overwritten
    assert main([*arguments, "--force", "--bom"]) == 2


def test_lm_eval_takes_one_question(tmp_path):
    turns = [{"role": role, "content": role} for role in ("user", "assistant", "user", "assistant")]
    path = tmp_path / "chat.jsonl"
    path.write_text(json.dumps({"messages": turns}) + "\n")
    rows = check_chat(path).placed
    with pytest.raises(DataError, match=r"chat\.jsonl:1 messages: lm-eval asks one system and one user turn"):
        export_eval(rows, "lm_eval", tmp_path, "chat_task")
    assert export_eval(rows, "inspect", tmp_path, "chat_task")[0].read_text().count("assistant") == 3
    with pytest.raises(DataError, match="a name that a function may have"):
        export_eval(rows, "inspect", tmp_path, "chat-task")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("inspect"), reason="inspect-ai is not installed")
def test_inspect_runs_the_task(references, tmp_path):
    import subprocess

    export_eval(check_chat(references).placed, "inspect", tmp_path / "task", "team")
    command = ["inspect", "eval", "team.py", "--model", "mockllm/model", "--display", "none", "--log-format", "json"]
    subprocess.run([*command, "--log-dir", "logs"], cwd=tmp_path / "task", check=True, capture_output=True)
    (log,) = (tmp_path / "task/logs").glob("*.json")
    assert compare_files(log, log, references).a == 0


def test_several_candidates_are_compared_by_holm(references, tmp_path, capsys):
    perfect = predictions(references, tmp_path)
    assert main(["compare", str(ONE), str(TWO), str(perfect), "--references", str(references), "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["baseline"] == str(ONE)
    assert [each["candidate"] for each in result["comparisons"]] == [str(TWO), str(perfect)]
    assert all(each["p_holm"] >= each["p_value"] for each in result["comparisons"])
    assert main(["compare", str(ONE), str(TWO), str(TWO), "--references", str(references)]) == 2
    assert "named twice" in capsys.readouterr().err
