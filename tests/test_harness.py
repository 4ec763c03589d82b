"""Test sets as tasks of inspect-ai and lm-eval, and their logs, compared.

The logs in fixtures/harness are real (inspect-ai 0.3.285, lm-eval 0.4.13, on the first rows of the teams' test set),
cut to six samples and to what is read.
"""

import json
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


def lm_eval_rows(path, rows):
    """A log as lm-eval's evaluator writes one: these keys of each sample, and scores by name."""
    same = {"doc_hash": "", "prompt_hash": "", "target_hash": "", "filter": "none"}
    path.write_text("".join(json.dumps(same | row) + "\n" for row in rows))
    return path


def test_choices_by_probability_have_only_the_score_of_the_harness(tmp_path):
    arguments = {f"gen_args_{i}": {"arg_0": "Which team?", "arg_1": f" {i}"} for i in range(2)}
    resps = [[["-3.5", "False"]], [["-1.5", "True"]]]
    rows = [
        {
            "doc_id": i,
            "doc": {"question": "?"},
            "target": "1",
            "arguments": arguments,
            "resps": resps,
            "filtered_resps": [each[0] for each in resps],
            "acc": float(i > 1),
            "acc_norm": 1.0,
        }
        for i in range(6)
    ]
    choice = lm_eval_rows(tmp_path / "samples_choice.jsonl", rows)
    log = read_log(choice)
    assert [each.id for each in log] == list(range(6))  # no ids of their own: lm-eval's numbers
    assert log[0].scores == {"acc,none": 0, "acc_norm,none": 1}
    with pytest.raises(DataError, match="has no single text to judge"):
        compare_files(choice, choice)
    with pytest.raises(DataError, match=r"more than one such score; .*harness:acc,none, harness:acc_norm,none"):
        compare_files(choice, choice, metric="harness")
    seen = compare_files(choice, choice, metric="harness:acc")
    assert (seen.n, seen.a, seen.delta) == (6, pytest.approx(4 / 6), 0)


def test_several_filters_and_repeats_of_lm_eval(tmp_path):
    arguments = {"gen_args_0": {"arg_0": "Which team?", "arg_1": {"until": []}}}
    row = {"doc_id": 0, "doc": {}, "target": "a", "arguments": arguments, "resps": [["a b", "c"]]}
    first, raw = ({"filter": name, "exact_match": float(name == "first")} for name in ("first", "raw"))
    two = lm_eval_rows(
        tmp_path / "two.jsonl", [row | first | {"filtered_resps": ["a"]}, row | raw | {"filtered_resps": ["a b"]}]
    )
    assert [each.scores for each in read_log(two)] == [{"exact_match,first": 1, "exact_match,raw": 0}]
    with pytest.raises(DataError, match=r"several filters stand there; take --metric harness"):
        compare_files(two, two)
    repeats = lm_eval_rows(tmp_path / "repeats.jsonl", [row | {"filtered_resps": [["a", "c"]]}])
    assert [each.answer for each in read_log(repeats)] == ["a", "c"]
    assert compare_files(repeats, repeats).a == 0.5
    twice = lm_eval_rows(tmp_path / "twice.jsonl", [row | {"filtered_resps": ["a"]}] * 2)
    with pytest.raises(DataError, match=r"twice\.jsonl:2 doc_id: 0 stands twice"):
        read_log(twice)


def test_scores_of_several_parts_and_targets_of_several_texts(tmp_path):
    log = json.loads(ONE.read_text())
    for number, sample in enumerate(log["samples"]):
        sample["scores"] = {"parts": {"value": {"short": True, "polite": "P"}}, "words": {"value": "no number"}}
        sample["target"] = ["yes", "no"] if number else ["yes"]
        sample["output"]["choices"][0]["message"]["content"] = [
            {"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "yes"}]  # fmt: skip
    other = tmp_path / "other.json"
    other.write_text(json.dumps(log))
    read = read_log(other)
    assert read[0].scores == {"parts.short": 1, "parts.polite": 0.5}
    assert [each.target for each in read] == ["yes", *[None] * 5]
    assert {each.answer for each in read} == {"yes"}
    with pytest.raises(DataError, match=r"other\.json:2 has no single target: take --metric harness"):
        compare_files(other, other)
    assert compare_files(other, other, metric="harness:parts.polite").a == 0.5


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


def test_several_candidates_are_compared_by_holm(references, tmp_path, capsys):
    perfect = predictions(references, tmp_path)
    assert main(["compare", str(ONE), str(TWO), str(perfect), "--references", str(references), "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["baseline"] == str(ONE)
    assert [each["candidate"] for each in result["comparisons"]] == [str(TWO), str(perfect)]
    assert all(each["p_holm"] >= each["p_value"] for each in result["comparisons"])
    assert main(["compare", str(ONE), str(TWO), str(TWO), "--references", str(references)]) == 2
    assert "named twice" in capsys.readouterr().err
