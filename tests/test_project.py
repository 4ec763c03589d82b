"""`ftlab project`: other people's shapes, faults by line and field, sizes that fit a time, advice, and a whole run."""

import json
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from ftlab.errors import DataError, RecipeError
from ftlab.evaluation.statistics import sample_size
from ftlab.models import REPOSITORY
from ftlab.project.advice import more_cases, next_step
from ftlab.project.ask import find_schema, find_wording, write_recipe
from ftlab.project.project import run_project
from ftlab.project.sizes import FEWEST, MOST, USED, choose_sizes
from ftlab.project.source import read_source
from ftlab.training.recipe import load_recipe

TEAMS = ("billing", "transport", "garden")
WORDS = "lamp tree invoice van hedge fee parcel lawn refund crate roses receipt".split()


def asked_and_team(number: int) -> tuple[str, str]:
    words = [WORDS[(number * step + step) % len(WORDS)] for step in (1, 5, 7)]
    return f"Case {number * 37}: {' '.join(words)} number {number}", TEAMS[number % 3]


def write_lines(path: Path, rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


SHAPES = {
    "instruction and response": lambda q, a, i: {"instruction": q, "response": a},
    "prompt and completion": lambda q, a, i: {"prompt": q, "completion": a},
    "chat with metadata": lambda q, a, i: {
        "messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}],
        "metadata": {"customer": i // 2},
    },
    "conversations": lambda q, a, i: {"conversations": [{"from": "human", "value": q}, {"from": "gpt", "value": a}]},
    "text and category": lambda q, a, i: {"nr": i, "text": q, "category": a},
    "a number for a label": lambda q, a, i: {"sentence": q, "label": TEAMS.index(a)},
    "an object for a record": lambda q, a, i: {"input": q, "output": {"team": a, "nr": i % 4}},
    "an object in a known shape": lambda q, a, i: {"prompt": q, "completion": {"team": a}},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_other_peoples_shapes_are_read(tmp_path, shape):
    rows = [SHAPES[shape](*asked_and_team(i), i) for i in range(40)]
    source = read_source(write_lines(tmp_path / "theirs.jsonl", rows), tmp_path / "out")
    kind = "record" if "object" in shape else "label"
    assert (source.kind, len(source.rows), source.left_out) == (kind, 40, [])
    first = source.rows[0]
    question, team = asked_and_team(0)
    assert [turn["content"] for turn in first["messages"] if turn["role"] == "user"] == [question]
    answer = first["messages"][-1]["content"]
    assert answer == "0" if "number" in shape else team in answer
    assert [row["source_line"] for row in source.rows] == list(range(1, 41))


def test_several_fields_ask_when_they_are_named(tmp_path):
    rows = [{"subject": f"About {i}", "body": asked_and_team(i)[0], "team": asked_and_team(i)[1]} for i in range(40)]
    path = write_lines(tmp_path / "theirs.jsonl", rows)
    with pytest.raises(DataError, match="'subject', 'body', 'team'.*--input text --output label"):
        read_source(path, tmp_path / "out")
    source = read_source(path, tmp_path / "out", asked=("subject", "body"), answered="team")
    assert source.rows[3]["messages"][0]["content"] == f"subject: About 3\nbody: {asked_and_team(3)[0]}"
    with pytest.raises(DataError, match="no row has 'tema'"):
        read_source(path, tmp_path / "out", asked=("body",), answered="tema")


def test_a_csv_is_read_where_its_columns_have_known_names(tmp_path):
    lines = [f'"{question}",{team}' for question, team in map(asked_and_team, range(40))]
    (tmp_path / "theirs.csv").write_text("\n".join(["prompt,completion", *lines]) + "\n")
    assert len(read_source(tmp_path / "theirs.csv", tmp_path / "out").rows) == 40
    with pytest.raises(DataError, match="ftlab convert"):
        read_source(tmp_path / "theirs.csv", tmp_path / "out", asked=("prompt",), answered="completion")


def labelled(count: int) -> list[dict]:
    return [{"text": question, "category": team} for question, team in map(asked_and_team, range(count))]


def test_broken_rows_are_left_out_by_line_and_field_and_many_stop_it(tmp_path):
    lines = [json.dumps(row) for row in labelled(60)]
    lines[16] = lines[16][:-9]  # line 17
    lines[22] = json.dumps({"text": "no answer"})
    lines[31] = json.dumps({"text": "two", "category": ""})
    path = tmp_path / "theirs.jsonl"
    path.write_text("\n".join(lines) + "\n")
    source = read_source(path, tmp_path / "out")
    assert len(source.rows) == 57
    told = {found.line: str(found) for found in source.left_out}
    assert sorted(told) == [17, 23, 32]
    assert all(text.startswith(f"{path}:{line} ") for line, text in told.items())
    assert "not JSON" in told[17]
    assert "category: is missing" in told[23]
    path.write_text("\n".join([*lines[:20], *["{broken"] * 6]) + "\n")
    with pytest.raises(DataError, match=r"7 of 26 rows cannot be used:\n.*theirs.jsonl:17 not JSON(.|\n)*--drop"):
        read_source(path, tmp_path / "out")
    with pytest.raises(DataError, match="19 usable rows, and 20 are the least"):
        read_source(path, tmp_path / "out", drop=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"category": "billing"}, 'all 40 rows have the answer "billing": there is nothing to learn'),
        ({"chosen": "a", "rejected": "b", "prompt": "c"}, "see notebook 09"),
    ],
)
def test_what_teaches_nothing_or_something_else_is_refused(tmp_path, change, message):
    rows = [row | change | ({"prompt": f"c{i}"} if "prompt" in change else {}) for i, row in enumerate(labelled(40))]
    with pytest.raises(DataError, match=message):
        read_source(write_lines(tmp_path / "theirs.jsonl", rows), tmp_path / "out")


def test_rows_that_come_back_are_told_and_counted_once(tmp_path):
    rows = labelled(30)
    source = read_source(write_lines(tmp_path / "theirs.jsonl", [*rows, *rows[:10]]), tmp_path / "out")
    assert len(source.rows) == 30
    assert {found.code for found in source.left_out} == {"repeated_row"}


def test_what_was_masked_is_said_and_can_be_kept(tmp_path):
    rows = [
        {"text": f"{q} Write to ann.{i}@brightwater-shop.net", "category": a}
        for i, (q, a) in enumerate(map(asked_and_team, range(40)))
    ]
    path = write_lines(tmp_path / "theirs.jsonl", rows)
    source = read_source(path, tmp_path / "out")
    assert "ann.3@" not in source.rows[3]["messages"][0]["content"]
    assert any(note.startswith("Repaired: ") and "40" in note and "--keep-private" in note for note in source.notes)
    assert "ann.3@" in read_source(path, tmp_path / "out", mask=False).rows[3]["messages"][0]["content"]


def test_a_record_that_is_none_is_left_out_by_its_line(tmp_path):
    rows = [{"prompt": q, "completion": json.dumps({"team": a})} for q, a in map(asked_and_team, range(40))]
    rows[7]["completion"] = "I do not know"
    source = read_source(write_lines(tmp_path / "theirs.jsonl", rows), tmp_path / "out")
    assert source.kind == "record"
    assert [found.line for found in source.left_out] == [8]
    assert "no JSON object" in str(source.left_out[0])


def test_a_group_may_stand_in_metadata_and_must_be_everywhere(tmp_path):
    rows = [SHAPES["chat with metadata"](*asked_and_team(i), i) for i in range(40)]
    path = write_lines(tmp_path / "theirs.jsonl", rows)
    source = read_source(path, tmp_path / "out", group="metadata.customer")
    assert {row["metadata.customer"] for row in source.rows} == set(range(20))
    with pytest.raises(DataError, match=r"theirs.jsonl:1 metadata.shop: is missing"):
        read_source(path, tmp_path / "out", group="metadata.shop")
    rows = [row | {"visitor": f"v{i % 9}"} for i, row in enumerate(labelled(40))]
    notes = read_source(write_lines(path, rows), tmp_path / "out").notes
    assert any("--group visitor" in note for note in notes)


# --- sizes


@pytest.mark.parametrize("kind", ["label", "record", "text"])
@pytest.mark.parametrize("rows", [40, 240, 5000])
def test_more_minutes_never_mean_fewer_rows_and_the_estimate_keeps_to_them(kind, rows):
    seen = [choose_sizes([60] * rows, [20] * rows, kind, 170, minutes) for minutes in (3, 6, 15, 60, 600)]
    for less, more in pairwise(seen):
        assert (less.test, less.searched) <= (more.test, more.searched)
        assert less.train * less.epochs <= 1.01 * more.train * more.epochs
    for sizes, minutes in zip(seen[2:], (15, 60, 600), strict=True):
        assert sum(sizes.minutes.values()) <= 1.05 * USED * minutes
        assert sizes.train + sizes.validation + sizes.test <= rows
    assert seen[0].limits
    assert seen[-1].limits == ()
    assert "Cut to fit into 3 minutes" in repr(seen[0])


def test_a_gpu_has_no_limit_and_few_rows_are_read_more_often():
    sizes = choose_sizes([60] * 40, [20] * 40, "text", None, 15)
    assert (sizes.test, sizes.validation, sizes.train) == (FEWEST["test"], FEWEST["search"], 20)
    assert sizes.epochs == 10
    assert "no limit of time" in repr(sizes)
    many = choose_sizes([60] * 5000, [20] * 5000, "text", None, 15)
    assert (many.test, many.validation, many.epochs) == (MOST["test"], MOST["search"], 3)


# --- what is asked


def chat(question: str, answer, system: str = "") -> dict:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    turns = [("system", system)] * bool(system) + [("user", question), ("assistant", text)]
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def records() -> list[dict]:
    rows = []
    for i in range(40):
        number = str(4000 + 7 * i) if i % 3 else None
        record = {"team": TEAMS[i % 3], "urgent": i % 2 == 0, "number": number, "summary": f"Nr {i} is late"}
        rows.append(chat(f"{TEAMS[i % 3]} order {number or 'lost'}", record, "Triage."))
    return rows


def test_a_schema_lists_few_values_and_finds_the_shape_of_copied_numbers():
    rules = find_schema(records())
    assert rules["properties"] == {
        "team": {"enum": list(TEAMS)},
        "urgent": {"enum": [True, False]},
        "number": {"type": ["string", "null"], "pattern": r"^\d\d\d\d$"},
        "summary": {},
    }
    assert rules["required"] == ["team", "urgent", "number", "summary"]


def test_the_wording_to_beat_says_what_answers_may_be():
    rows = records()
    wording = find_wording(rows, "record", find_schema(rows))
    assert wording.startswith("Triage. Answer with one JSON object")
    assert '"team" ("billing" or "transport" or "garden")' in wording
    labels = [chat(*asked_and_team(i)) for i in range(9)]
    assert find_wording(labels, "label", None).endswith("billing, transport, garden.")
    assert find_wording(labels, "text", None, "Say it kindly.") == "Say it kindly."


def test_the_recipe_is_one_that_run_reads(tmp_path):
    sizes = choose_sizes([60] * 240, [20] * 240, "record", 170, 15)
    recipe = write_recipe("theirs", "nano", "record", sizes, "customer", schema=True, on_gpu=False)
    for name in ("parts/train.jsonl", "parts/validation.jsonl", "parts/test.jsonl", "schema.json", "prompts.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    read = load_recipe(tmp_path / "recipe.yaml")
    assert (read.answer, read.group, read.training.num_train_epochs) == ("record", "customer", sizes.epochs)
    assert read.data.train_rows == sizes.train


# --- advice


def interval(value: float) -> dict:
    return {"value": value, "low": max(0, value - 0.1), "high": min(1, value + 0.1)}


def against(a: float, b: float, half: float = 0.08, n: int = 100) -> dict:
    delta = b - a
    return {"a": a, "b": b, "delta": delta, "low": delta - half, "high": delta + half, "n": n, "disagreement": 0.3,
            "smallest_detectable_gain": 0.15}  # fmt: skip


def a_report(tuned: float, prompt: float, verdict: str, half: float = 0.08, **simple: float) -> dict:
    """What `next_step` reads of a report.json."""
    values = {"few_shot": prompt, "fine_tuned": tuned} | simple
    return {
        "systems": {name: {"exact_match": interval(value)} for name, value in values.items()},
        "comparison": {"baseline": "few_shot"} | against(prompt, tuned, half),
        "rivals": {name: against(value, tuned, half) for name, value in simple.items()},
        "gate": {"verdict": verdict, "bars": {"metric": "exact_match", "min_gain": 0.05}, "reasons": ["a", "b"]},
        "training": {"steps": 100}, "probes": {},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("report", "headline"),
    [
        (a_report(0.9, 0.6, "ship", linear=0.7), "The gate is passed: ship"),
        (a_report(0.8, 0.6, "do not ship", linear=0.9), "The linear classifier is enough"),
        (a_report(0.92, 0.6, "ship", linear=0.9), "The linear classifier is enough"),
        (a_report(0.5, 0.4, "not enough data", majority=0.45), "nothing here has learned the task"),
        (a_report(0.66, 0.6, "not enough data", linear=0.5), "Label about 840 more rows to test on"),
        (a_report(0.61, 0.6, "do not ship", linear=0.5), "Stay with the prompt"),
        (a_report(0.4, 0.6, "do not ship", linear=0.5), "Stay with the prompt"),
        (a_report(0.9, 0.6, "do not ship", linear=0.7), "Do not ship this training"),
        (a_report(0.9, 0.6, "ship"), "The gate is passed: ship"),
    ],
)
def test_the_advice_follows_from_the_numbers(report, headline):
    advice = next_step(report, ["Cut to fit."])
    assert headline in advice.headline
    assert "%" in advice.reasons[0]
    assert "[" in advice.reasons[0]
    assert ("Cut to fit." in advice.then) == (report["gate"]["verdict"] != "ship" or "linear" in headline)


@pytest.mark.parametrize(
    "report", [a_report(0.1, 0.6, "do not ship"), a_report(0.3, 0.2, "not enough data", majority=0.4)]
)
def test_a_training_that_was_cut_too_short_is_no_verdict_on_training(report):
    report["training"] = {"steps": 9}
    advice = next_step(report, ["Cut to fit."])
    assert advice.headline.startswith("Train longer")
    assert any("Only 9 training steps" in line for line in advice.then)
    assert "Train longer" not in next_step(report, []).headline


def test_more_cases_follow_ftlab_plan_or_the_square_of_the_detectable_gain():
    seen = against(0.6, 0.66)
    assert more_cases(seen, "exact_match", 0.05) == 840
    assert 930 < sample_size(0.05, 0.3) <= 940  # of which 100 are there
    assert more_cases(seen, "chrf", 0.05) == 800  # (0.15 / 0.05) ** 2 times 100, of which 100 are there
    assert more_cases(seen | {"smallest_detectable_gain": 0.04}, "chrf", 0.05) == 0


# --- the whole


def project(folder: Path, *options: str) -> subprocess.CompletedProcess:
    """`ftlab project` in a process of its own, since it loads Unsloth; in an empty folder."""
    folder.mkdir(exist_ok=True)
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "ftlab", "project", *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_the_whole_path_on_forty_rows_and_no_step_twice(tmp_path):
    rows = labelled(40)
    lines = [json.dumps(row) for row in rows]
    lines[16] = lines[16][:-9]
    (tmp_path / "theirs.jsonl").write_text("\n".join(lines) + "\n")
    options = ("../theirs.jsonl", "--model", "nano", "--minutes", "2", "--out", "out")
    done = project(tmp_path / "empty", *options)
    assert done.returncode == 1, done.stderr
    out = tmp_path / "empty" / "out"
    page = (out / "README.md").read_text()
    assert "# theirs.jsonl: what to do next" in page
    assert "theirs.jsonl:17 not JSON" in page
    report = json.loads((out / "run" / "report.json").read_text())
    assert {"majority", "linear", "few_shot", "constrained", "fine_tuned"} <= set(report["systems"])
    for name in ("fine_tuned", "few_shot"):
        value = report["systems"][name]["exact_match"]
        assert f"{100 * value['value']:.1f} % [{100 * value['low']:.1f}, {100 * value['high']:.1f}]" in page
    assert f"**{report['gate']['verdict']}**" in page
    assert "prompt_at_a_service" in page
    card = (out / "run" / "adapter" / "README.md").read_text()
    assert "base_model: nano" in card
    parts = {part: (out / "parts" / f"{part}.jsonl").read_text().splitlines() for part in ("train", "test")}
    lines_of = {part: {json.loads(row)["source_line"] for row in rows} for part, rows in parts.items()}
    assert not lines_of["train"] & lines_of["test"]
    (out / "README.md").unlink()
    start = time.time()
    again = project(tmp_path / "empty", *options, "--json")
    assert json.loads(again.stdout)["verdict"] == report["gate"]["verdict"]
    assert (out / "README.md").read_text() == page
    assert (out / "run" / "report.json").stat().st_mtime < start
    other = project(tmp_path / "empty", *options[:-1], "out", "--instruction", "Be kind.")
    assert other.returncode == 2
    assert "instruction was" in other.stderr


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    path = write_lines(tmp_path / "theirs.jsonl", labelled(40))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="has other things in it"):
        run_project(path, tmp_path / "out", progress=False)
    with pytest.raises(DataError, match="no such file"):
        run_project(tmp_path / "none.jsonl", tmp_path / "new", progress=False)


def test_a_file_that_was_mended_begins_anew_but_a_finished_split_stays(tmp_path):
    path = write_lines(tmp_path / "theirs.jsonl", [*labelled(20), *[{"text": "?"}] * 9])
    with pytest.raises(DataError, match="9 of 29 rows cannot be used"):
        run_project(path, tmp_path / "out", progress=False)
    write_lines(path, labelled(12))
    with pytest.raises(DataError, match="12 usable rows"):
        run_project(path, tmp_path / "out", progress=False)
    (tmp_path / "out" / "project.json").write_text(json.dumps({"file": "of before"}))
    with pytest.raises(RecipeError, match=r"file was \"of before\""):
        run_project(path, tmp_path / "out", progress=False)
