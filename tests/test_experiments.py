"""The experiments that tools/record.py makes: which rows they train on, what is chosen and what is published."""

import json
import math
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
try:
    import record as recording
    from experiments import _common as common
    from experiments import data, distill, forgetting, medical, settings
finally:
    sys.path.remove(str(ROOT / "tools"))


def inputs(rows):
    return [row["messages"][-2]["content"] for row in rows]


def record(row):
    return json.loads(row["messages"][-1]["content"])


@pytest.mark.parametrize("experiment", [data, distill, forgetting, medical, settings])
def test_points_are_few_and_differ(experiment):
    names = [point.name for point in experiment.points()]
    assert len(set(names)) == len(names) <= 12
    assert all(set(point.needs) <= set(names) for point in experiment.points())


def test_a_point_that_fails_stops_only_those_that_need_it(tmp_path, monkeypatch, capsys):
    def made(folder):
        return {"made": folder.name}

    def read_adapter(folder):
        return {"read": str(recording.adapter_of(tmp_path / "museum" / "first"))}

    points = [recording.Point("first", made), recording.Point("reads", read_adapter, needs=("first",)),
              recording.Point("after", made, needs=("reads",)), recording.Point("last", made, needs=("after",)),
              recording.Point("other", made)]  # fmt: skip
    monkeypatch.setattr(recording, "WORK", tmp_path)
    monkeypatch.setattr(recording.importlib, "import_module", lambda name: SimpleNamespace(points=lambda: points))
    monkeypatch.setattr(sys, "argv", ["record.py", "museum"])
    assert recording.main() == 1
    assert sorted(path.parent.name for path in tmp_path.rglob("done.json")) == ["first", "other"]
    assert "its adapter is not here; make it again: python tools/record.py museum --again" in capsys.readouterr().err
    (tmp_path / "museum" / "first" / "adapter").mkdir()
    assert recording.main() == 0
    assert {path.parent.name for path in tmp_path.rglob("done.json")} == {point.name for point in points}


def test_one_command_makes_points_and_publishes_them_if_none_failed(tmp_path, monkeypatch):
    published = []
    points = [recording.Point("first", lambda folder: {}), recording.Point("second", lambda folder: {})]

    def publish():
        published.append(len(list(tmp_path.rglob("done.json"))))

    experiment = SimpleNamespace(points=lambda: points, publish=publish)
    monkeypatch.setattr(recording, "WORK", tmp_path)
    monkeypatch.setattr(recording.importlib, "import_module", lambda name: experiment)

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["record.py", "museum", *arguments])
        return recording.main()

    assert command("--only", "first", "--publish") == 0
    assert published == [1]
    assert command("--again") == 0
    assert published == [1]
    said = json.loads((tmp_path / "museum/first/done.json").read_text())["machine"]
    assert said.endswith(("fp32", "bf16", "fp16"))
    points.append(recording.Point("fails", lambda folder: recording.adapter_of(tmp_path / "museum" / "nothing")))
    assert command("--again", "--publish") == 1
    assert published == [1]


def test_minutes_of_two_machines_or_precisions_are_not_added():
    told = [{"machine": "a CPU, fp32", "minutes": 2}, {"machine": "a CPU, bf16", "minutes": 3},
            {"machine": "a CPU, fp32", "minutes": 4.5}]  # fmt: skip
    assert recording.minutes_by_machine(told) == {"a CPU, fp32": 6.5, "a CPU, bf16": 3}


def test_a_recorded_point_is_made_again_only_when_asked(tmp_path, monkeypatch):
    points = [recording.Point("good_1", lambda folder: {})]
    assert recording.take(points, tmp_path / "museum") is None
    found, lock = recording.take(points, tmp_path / "museum", recording.here)
    lock.close()
    assert found.name == "good_1"


@pytest.mark.parametrize("share", [0, 0.1, 0.25, 0.5])
def test_replay_is_added_to_the_same_tickets(share):
    rows = common.tickets().train.rows[:300]
    mixed = common.mixed(rows, share)
    assert mixed[:300] == rows
    assert (len(mixed) - 300) / len(mixed) == pytest.approx(share, abs=0.002)


def test_more_replay_than_there_is_is_refused():
    with pytest.raises(ValueError, match="take a smaller share"):
        common.mixed(common.tickets().train.rows, 0.5)


def test_full_training_has_no_adapter():
    assert common.recipe_with(method="full", learning_rate=2e-5).training.r is None
    assert common.recipe_with(r=4).training.r == 4


def test_careless_rows_are_wrong_as_often_as_said():
    rows = common.tickets().train.rows[:1000]
    assert list(map(record, data.careless(rows, 0))) == list(map(record, rows))
    noisy = data.careless(rows, 0.2)
    assert inputs(noisy) == inputs(rows)
    for field in data.JUDGED:
        wrong = [record(a)[field] != record(b)[field] for a, b in zip(noisy, rows, strict=True)]
        assert sum(wrong) / len(wrong) == pytest.approx(0.2, abs=0.04)
    kept = [key for key in record(rows[0]) if key not in data.JUDGED]
    assert all(record(a)[key] == record(b)[key] for a, b in zip(noisy, rows, strict=True) for key in kept)
    assert noisy == data.careless(rows, 0.2)


def test_all_rows_are_trained_on_for_equally_many_steps():
    trained = data.trained_on().items()
    steps = {name: math.ceil(epochs * math.ceil(len(rows()) / data.BATCH)) for name, (rows, epochs) in trained}
    assert steps.pop("careful_once") == data.CAREFUL / data.BATCH
    assert set(steps.values()) == {data.STEPS}


def test_four_bits_reach_every_matrix_with_and_without_an_adapter():
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from ftlab.models import resolve

    model = AutoModelForCausalLM.from_pretrained(resolve("nano"))
    before = {name: layer.weight.clone() for name, layer in settings.linears(model).items()}
    adapted = get_peft_model(model, LoraConfig(target_modules="all-linear")).get_base_model()
    assert settings.linears(adapted).keys() == before.keys()
    assert len(before) == 7 * model.config.num_hidden_layers
    settings.in_four_bits(adapted)
    after = settings.linears(adapted)
    moved = [((after[name].weight - was).norm() / was.norm()).item() for name, was in before.items()]
    assert min(moved) > 0.05
    assert max(moved) < 0.15


def test_the_export_loses_its_faults_and_only_careful_agents_have_no_wrong_label():
    wrong, rows = data.wrong_labels(), data.from_export()
    assert wrong["export"] >= wrong["cleaned"] > 100
    assert wrong["curated"] == 0
    assert len(rows["export"]) > len(rows["cleaned"]) > len(rows["curated"]) == data.CURATED
    asked = {row["messages"][0]["content"] for row in rows["cleaned"]}
    assert asked == {"Triage the ticket."}


def test_copies_and_contradictions():
    assert len(data.copied()) == len(data.contradictory()) == data.CAREFUL
    assert len(set(inputs(data.copied()))) == data.CAREFUL // 2 + data.COPIED
    answers = {}
    for row in data.contradictory():
        answers.setdefault(row["messages"][-2]["content"], []).append(record(row))
    twice = [pair for pair in answers.values() if len(pair) == 2]
    assert len(twice) == data.CONTRADICTED
    assert all(a[field] != b[field] for a, b in twice for field in data.JUDGED)


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Writes a point as if it had been trained: a share of the everyday questions right, all tickets right."""
    monkeypatch.setattr(common, "WORK", tmp_path / "work")
    monkeypatch.setattr(common, "ROOT", tmp_path)
    monkeypatch.setattr(recording, "ROOT", tmp_path)
    monkeypatch.setattr(forgetting, "FOLDER", tmp_path / "work" / "forgetting")

    def write(name, wrong):
        folder = forgetting.FOLDER / name
        rows = common.read_part(common.PROBE).rows
        texts = [row["messages"][-1]["content"] for row in rows]
        texts[:wrong] = ["?"] * wrong
        common.runs.write_predictions(folder / "predictions" / "probe.jsonl", rows, texts)
        made = {"minutes": 1.5, "machine": "some CPU", "probe": 1.0}
        if name != "before":
            made["test"] = {"field_accuracy": 1.0}
            for part, each in common.asked_tickets().items():
                path = folder / "predictions" / f"{part}.fine_tuned.jsonl"
                common.runs.write_predictions(path, each.rows, common.answers_of(each.rows))
        (folder / "done.json").write_text(json.dumps(made))

    return write


def test_the_smallest_share_that_keeps_the_probe_is_found(recorded):
    recorded("before", wrong=0)
    recorded("replay_0", wrong=100)
    assert forgetting.enough_replay() == {"percent": None, "lost_on_the_other_half": None}
    recorded("replay_25", wrong=5)
    recorded("replay_50", wrong=1)
    n = len(common.read_part(common.PROBE).rows) // 2  # the first 5 wrong ones: 3 of the half that chooses
    assert forgetting.enough_replay() == {"percent": 25, "lost_on_the_other_half": pytest.approx(2 / n)}


def test_publish_writes_what_is_done_and_names_what_is_not(recorded, tmp_path):
    recorded("before", wrong=0)
    recorded("replay_0", wrong=100)
    recorded("replay_25", wrong=7)
    forgetting.publish()
    shutil.rmtree(forgetting.FOLDER / "replay_25")  # as on another machine, which has only the record
    forgetting.publish()
    results = json.loads((tmp_path / "data" / "recorded" / "forgetting" / "results.json").read_text())
    assert set(results["points"]) == {"before", "replay_0", "replay_25"}
    assert "replay_10" in results["not_done"]
    assert results["minutes_by_machine"] == {"some CPU": 4.5}
    assert (
        common.probe_right(forgetting.FOLDER / "replay_25").sum()
        == common.probe_right(forgetting.FOLDER / "before").sum() - 7
    )
    point = results["points"]["replay_0"]
    assert point["test"]["field_accuracy"]["value"] == 1
    n = len(common.read_part(common.PROBE).rows)
    assert point["kept"]["delta"] == pytest.approx(-100 / n)
    assert sum(right for right, _ in point["kept"]["skills"].values()) == n - 100


def test_the_medical_trainings_are_the_recipe_but_for_rows_and_epochs():
    whole, few = medical.the_recipe(), medical.the_recipe(medical.FEW)
    assert (whole.data.train_rows, few.data.train_rows) == (medical.ALL, medical.FEW)
    assert whole.training == medical.load_recipe(medical.RECIPE).training
    changed = {"num_train_epochs": medical.EPOCHS[medical.FEW]}
    assert few.training == whole.training.model_copy(update=changed)
    assert 8 == whole.training.per_device_train_batch_size * whole.training.gradient_accumulation_steps
    assert set(medical.asked()) == {"validation", "test", "hard"}


def test_the_prompt_of_medical_coding_is_the_one_that_the_search_found(tmp_path, monkeypatch):
    monkeypatch.setattr(medical, "FOLDER", tmp_path)
    wording = medical.read_prompts(medical.the_recipe().prompts)[0]
    (tmp_path / "search").mkdir()
    best = {"zero_shot": wording.name, "few_shot": f"{wording.name}+4similar"}
    (tmp_path / "search" / "done.json").write_text(json.dumps({"best": best}))
    assert medical.chosen("zero_shot") == wording
    shown = medical.chosen("few_shot")
    assert (shown.name, shown.examples, shown.instruction) == (best["few_shot"], 4, wording.instruction)


def test_medical_publishes_answers_and_how_sure_they_were(tmp_path, monkeypatch):
    work, record_folder = tmp_path / "never_recorded", tmp_path / "recorded"
    monkeypatch.setattr(medical, "FOLDER", work)
    monkeypatch.setattr(medical, "RECORD", record_folder)
    for point, names in {"simple": ["300/predictions/test.linear.jsonl"],
                         f"rows_{medical.FEW}": [
                             "predictions/test.fine_tuned.jsonl", "predictions/test.fine_tuned.sure.json",
                             "predictions/test.fine_tuned.json", "training.json"]}.items():  # fmt: skip
        for name in names:
            path = work / point / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("[]")
        (work / point / "done.json").write_text(json.dumps({"minutes": 2.0, "machine": "here"}))
    medical.publish()
    written = {str(path.relative_to(record_folder)) for path in record_folder.rglob("*") if path.is_file()}
    assert written == {"results.json", "predictions/simple/300/test.linear.jsonl",
                       f"predictions/rows_{medical.FEW}/test.fine_tuned.jsonl",
                       f"predictions/rows_{medical.FEW}/test.fine_tuned.sure.json"}  # fmt: skip
    found = json.loads((record_folder / "results.json").read_text())
    assert found["minutes_by_machine"] == {"here": 4.0}
    assert found["not_done"] == ["search", "zero_shot", "few_shot", f"rows_{medical.ALL}"]


def test_no_phrasing_teaches_and_judges():
    new, judged = distill.new_and_judged()
    groups = common.tickets().groups["test"]
    assert not {groups[at] for at in new} & {groups[at] for at in judged}
    assert sorted(new + judged) == list(range(distill.ANSWERED))
    asked, taught = distill.new_tickets(taught=False), distill.new_tickets(taught=True)
    assert inputs(asked) == inputs(taught)
    assert list(map(record, asked)) != list(map(record, taught))


def test_wrong_teachers_are_wrong_equally_often_about_the_team_and_right_in_all_else():
    rows = common.tickets().train.rows[: distill.MANY]
    wrong = {}
    for teacher in (distill.confused, distill.scattered):
        pairs = [(record(a), record(b)) for a, b in zip(teacher(), rows, strict=True)]
        assert all({**a, "queue": None} == {**b, "queue": None} for a, b in pairs)
        wrong[teacher.__name__] = [(b["queue"], a["queue"]) for a, b in pairs if a["queue"] != b["queue"]]
    assert len(wrong["confused"]) == len(wrong["scattered"]) > 50
    assert set(wrong["confused"]) == set(distill.CONFUSED.items())
    assert len(set(wrong["scattered"])) > 20


def test_the_small_student_learns_its_own_tickets_and_the_teachers():
    few, taught, gold = (distill.small_rows(more) for more in (None, "taught", "gold"))
    assert len(few) == distill.FEW
    assert taught[: distill.FEW] == gold[: distill.FEW] == few
    assert inputs(taught) == inputs(gold)
    assert len(taught) == distill.FEW + distill.KNOWN
