"""The recorder of the two data experiments: what is trained on what, and that no finished point is lost or redone."""

import json
import math
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftlab.checks.plots import learning_curve_alt, learning_curve_figure
from ftlab.errors import DataError
from ftlab.evaluation.statistics import wilson

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
import record_data_lessons as tool  # noqa: E402

ABOUT = {"model_sha256": "a", "settings": {"r": 16}}


def row(name, **record):
    turns = [("system", "Triage the ticket."), ("user", f"ticket {name}"), ("assistant", json.dumps(record))]
    return {"id": name, "messages": [{"role": role, "content": text} for role, text in turns]}


HELD_OUT = [row("a", queue="billing", tone="neutral"), row("b", queue="hazards", tone="furious")]
WANTED = [tool.Point("curve", "50", 0), tool.Point("cleaning", "export", 0), tool.Point("curve", "50", 1)]


class FakeTraining:
    """Stands in for the training: counts its calls, takes `seconds_per_step` of its own clock, answers a constant."""

    def __init__(self, answer, seconds_per_step=1.0, fails_at=None):
        self.answer, self.seconds_per_step, self.fails_at = answer, seconds_per_step, fails_at
        self.now, self.calls = 0.0, []

    def clock(self):
        return self.now

    def __call__(self, rows, steps, seed, chats):
        if len(self.calls) == self.fails_at:
            raise KeyboardInterrupt
        self.calls.append((len(rows), steps, seed))
        self.now += steps * self.seconds_per_step
        assert all(chat[-1]["role"] == "user" for chat in chats)  # never shows the answer
        return tool.Outcome([self.answer] * len(chats), 0.5)


def run(path, training, wanted=WANTED, minutes=20):
    record = tool.open_record(path, ABOUT)
    rows_of = {"curve": ([row("x", queue="q")] * 50, 60), "cleaning": ([row("y", queue="q")] * 90, 80)}
    return tool.run_points(
        record, path, wanted, lambda p: rows_of[p.experiment], HELD_OUT, training, minutes, training.clock
    )


# --- the plan


def test_everything_once_and_the_long_ones_of_later_seeds_last():
    points = tool.plan()
    assert len(points) == len(set(points)) == 3 * (len(tool.SIZES) + len(tool.ARMS))
    large = [p.seed > 0 and p.name in ("1000", "2000") for p in points]
    assert large == sorted(large)
    assert sum(large) == 4
    first = points[: len(tool.SIZES) + len(tool.ARMS)]
    assert {p.seed for p in first} == {0}


def test_only_points_and_seeds_choose():
    assert {p.experiment for p in tool.plan("cleaning")} == {"cleaning"}
    assert tool.plan(points=[100, "curated"], seeds=1) == [
        tool.Point("curve", "100", 0),
        tool.Point("cleaning", "curated", 0),
    ]
    with pytest.raises(DataError, match="known are export, cleaned, curated"):
        tool.plan("cleaning", ["100"])
    with pytest.raises(DataError, match="--seeds"):
        tool.plan(seeds=0)


@pytest.mark.parametrize(("rows", "steps"), [(50, 60), (480, 60), (481, 61), (500, 63), (2000, 250)])
def test_every_row_once_but_at_least_sixty_steps(rows, steps):
    assert tool.curve_steps(rows) == steps


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 99))
def test_smaller_draws_are_part_of_larger_ones(a, b, seed):
    rows = list(range(40))
    small, large = sorted((a, b))
    drawn = tool.draw(rows, large, seed)
    assert tool.draw(rows, small, seed) == drawn[:small]
    assert len(set(drawn)) == large
    assert rows == list(range(40))


def test_a_seed_changes_the_draw_and_too_many_rows_are_refused():
    rows = list(range(100))
    assert tool.draw(rows, 20, 0) != tool.draw(rows, 20, 1)
    with pytest.raises(DataError, match="101 rows are asked for and there are 100"):
        tool.draw(rows, 101, 0)


def test_arms_have_the_same_steps_and_the_curated_one_few_rows():
    arms = {"export": list(range(1900)), "cleaned": list(range(1400)), "curated": list(range(900))}
    made = {name: tool.rows_and_steps(tool.Point("cleaning", name, 1), [], arms) for name in arms}
    assert {name: len(rows) for name, (rows, _) in made.items()} == {"export": 1900, "cleaned": 1400, "curated": 500}
    assert {steps for _, steps in made.values()} == {tool.CLEANING_STEPS}
    assert len(set(made["curated"][0])) == 500


# --- the bundled data


def test_held_out_tickets_have_no_copy_in_the_export():
    held_out = tool.held_out_rows()
    key = [json.loads(line) for line in tool.KEY.read_text(encoding="utf-8").splitlines()]
    leaked = {item["line"] for item in key if item["code"] in ("leak_exact", "leak_near")}
    inputs = {
        tuple(sorted(set(row.data["messages"][-2]["content"].lower().split())))
        for row in tool.check_chat(tool.RAW).placed
        if row.line in leaked
    }
    assert len(leaked) == 48
    assert len(held_out) == tool.HELD_OUT
    for each in held_out:
        words = set(each["messages"][1]["content"].lower().split())
        assert all(len(words.symmetric_difference(other)) > 4 for other in inputs)


def test_wrong_labels_are_counted_by_the_key():
    rows = tool.check_chat(tool.RAW).rows
    arms = {"all": rows, "none": [], "others": [r for r in rows if r["agent"] not in tool.DOUBTFUL]}
    counted = tool.wrong_labels(arms)
    assert counted["all"] > 150
    assert (counted["none"], counted["others"]) == (0, 0)


# --- the record


def test_scores_are_one_digit_a_ticket():
    right = [row["messages"][-1]["content"] for row in HELD_OUT]
    half = '{"queue": "billing", "tone": "friendly"}'
    assert tool.fields_right(right, right) == "22"
    assert tool.fields_right([half, "no JSON"], right) == "10"
    with pytest.raises(DataError, match="fields"):
        tool.fields_right(right, [right[0], '{"queue": "billing"}'])


def test_a_finished_run_is_whole_and_is_not_done_again(tmp_path):
    path, training = tmp_path / "new" / "record.json", FakeTraining('{"queue": "billing", "tone": "x"}')
    assert run(path, training) == []
    record = json.loads(path.read_text())
    assert [tool.point_of(entry) for entry in record["points"]] == WANTED
    assert record["points"][1] == {
        "experiment": "cleaning", "name": "export", "seed": 0, "rows": 90, "steps": 80, "training_loss": 0.5,
        "seconds": 80.0, "fields_right": "10",
    }  # fmt: skip
    assert record["minutes"] == round((60 + 80 + 60) / 60, 1)
    before = path.read_bytes()
    again = FakeTraining("{}")
    assert run(path, again) == []
    assert again.calls == []
    assert path.read_bytes() == before


def test_an_interrupted_run_goes_on_behind_its_last_point(tmp_path):
    path = tmp_path / "record.json"
    with pytest.raises(KeyboardInterrupt):
        run(path, FakeTraining("{}", fails_at=2))
    assert len(json.loads(path.read_text())["points"]) == 2
    second = FakeTraining("{}")
    assert run(path, second) == []
    assert second.calls == [(50, 60, 1)]
    assert list(tmp_path.iterdir()) == [path]


def test_no_point_is_begun_that_would_end_too_late(tmp_path):
    path, training = tmp_path / "record.json", FakeTraining("{}")
    left = run(path, training, minutes=2.1)  # 126 s: the first takes 60 s, the second would take 80, the third 60
    assert left == [WANTED[1]]
    assert training.now == 120
    assert run(path, FakeTraining("{}"), minutes=2.1) == []


def test_points_of_another_model_are_not_mixed_with_new_ones(tmp_path):
    path = tmp_path / "record.json"
    run(path, FakeTraining("{}"))
    other = ABOUT | {"model_sha256": "b"}
    with pytest.raises(DataError, match=r"recorded with another model_sha256; .*--force"):
        tool.open_record(path, other)
    assert tool.open_record(path, other, force=True) == {"identity": other, "points": []}
    assert len(tool.open_record(path, ABOUT)["points"]) == 3


NO_RECORDS = ["", "[]", "{}", '{"identity": {}, "points": [{}]}', '{"identity": 1, "points": 2}']


@pytest.mark.parametrize("content", NO_RECORDS)
def test_a_file_that_is_no_record_is_named(tmp_path, content):
    path = tmp_path / "record.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"record\.json: no record of this tool"):
        tool.open_record(path, ABOUT)


def test_a_point_that_is_there_twice_is_named(tmp_path):
    path = tmp_path / "record.json"
    run(path, FakeTraining("{}"))
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"points": record["points"] * 2}))
    with pytest.raises(DataError, match="twice"):
        tool.open_record(path, ABOUT)


# --- the command


@pytest.fixture
def few(monkeypatch):
    """Two held-out tickets and a fixed identity, so that nothing large is read."""
    monkeypatch.setattr(tool, "held_out_rows", lambda: HELD_OUT)
    monkeypatch.setattr(tool, "identity", lambda held_out: ABOUT)


@pytest.mark.usefixtures("few")
def test_check_says_what_is_missing_and_trains_nothing(tmp_path, capsys):
    path = tmp_path / "record.json"
    assert tool.main(["--check", "--out", str(path)]) == 1
    assert "does not exist" in capsys.readouterr().err
    run(path, FakeTraining("{}"))
    assert tool.main(["--check", "--out", str(path), "--points", "50", "--seeds", "2"]) == 0
    assert tool.main(["--check", "--out", str(path), "--points", "50", "100", "--seeds", "2"]) == 1
    assert "2 point(s) missing: curve 100, seed 0; curve 100, seed 1" in capsys.readouterr().err


@pytest.mark.usefixtures("few")
def test_unusable_input_is_said_in_one_line(tmp_path, capsys):
    path = tmp_path / "record.json"
    path.write_text("{")
    assert tool.main(["--out", str(path)]) == 2
    assert tool.main(["--points", "51", "--out", str(path)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert "record.json" in errors[0]
    assert "'51'" in errors[1]


def test_the_bundled_record_is_whole_and_of_the_bundled_data():
    """Fails after the data have changed: run tools/record_data_lessons.py --force, then the notebook."""
    assert tool.main(["--check"]) == 0
    record = json.loads(tool.RECORD.read_text(encoding="utf-8"))
    assert {len(entry["fields_right"]) for entry in record["points"]} == {tool.HELD_OUT}
    curve = [entry for entry in record["points"] if entry["experiment"] == "curve"]
    assert all(entry["rows"] == int(entry["name"]) for entry in curve)
    assert all(entry["steps"] == tool.curve_steps(entry["rows"]) for entry in curve)
    assert set(record["arms"]) == set(tool.ARMS)
    assert record["machine"]
    assert record["versions"]["torch"]


# --- the picture of the curve

SCORES = {1000: [0.6, 0.5], 50: [0.2, 0.3], 100: [0.4]}


def test_each_training_is_a_dot_and_the_means_are_joined_in_the_order_of_rows():
    fig = learning_curve_figure(SCORES, line=(0.1, 0.04), prompt=wilson(20, 100), live=(100, 0.35))
    lines = {line.get_label(): line for line in fig.axes[0].lines}
    assert sorted(zip(*lines["one training"].get_data(), strict=True)) == [
        (50, 20), (50, 30), (100, 40), (1000, 50), (1000, 60),
    ]  # fmt: skip
    assert lines["mean"].get_xdata().tolist() == [50, 100, 1000]
    assert lines["mean"].get_ydata().tolist() == pytest.approx([25, 40, 55])
    assert lines["straight line"].get_ydata()[0] == pytest.approx(100 * (0.1 + 0.04 * math.log2(50)))
    assert lines["best prompt, no training"].get_ydata()[0] == 20
    assert (lines["this run"].get_xdata()[0], lines["this run"].get_ydata()[0]) == (100, 35)
    assert fig.axes[0].get_xscale() == "log"


def test_what_is_not_given_is_not_drawn():
    labels = {line.get_label() for line in learning_curve_figure(SCORES).axes[0].lines}
    assert labels == {"one training", "mean"}
    with pytest.raises(DataError, match="scores: empty"):
        learning_curve_figure({})


def test_the_sentence_of_the_curve_holds_its_numbers():
    alt = learning_curve_alt(SCORES, line=(0.1, -0.04), prompt=wilson(20, 100), live=(100, 0.35))
    assert "50 rows 25.0% (20.0% to 30.0% in 2 trainings), 100 rows 40.0% (" in alt
    assert "gains -4.0 points for twice as many rows" in alt
    assert "prompt without training stands at 20.0 % [" in alt
    assert alt.endswith("This run: 35.0% with 100 rows.")
    assert "This run" not in learning_curve_alt(SCORES)
