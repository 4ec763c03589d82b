"""`ftlab project`: other people's shapes, faults by line and field, sizes that fit a time, advice, and a whole run."""

import json
import os
import re
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from ftlab.data.schema import read_chat
from ftlab.errors import DataError, RecipeError
from ftlab.evaluation.statistics import compare, sample_size
from ftlab.models import REPOSITORY
from ftlab.project.advice import more_cases, next_step
from ftlab.project.ask import LISTED, find_schema, find_wording, write_recipe
from ftlab.project.project import BEFORE, best_prompt, command, reckon, run_project, templates, write_parts
from ftlab.project.sizes import FEWEST, MOST, USED, choose_sizes
from ftlab.project.source import TELLING, read_source
from ftlab.training.data import answers_of
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


@pytest.mark.parametrize("header", ["prompt,completion", "text,label", "frage,antwort"])
def test_a_csv_is_read_as_the_same_jsonl_is(tmp_path, header):
    lines = [f'"{question}\nbye",{team}' for question, team in map(asked_and_team, range(40))]
    lines[5] += ",more"
    path, fields = tmp_path / "theirs.csv", {}
    if header == "frage,antwort":
        fields = {"asked": ("frage",), "answered": "antwort"}
    path.write_text("\n".join([header, *lines]) + "\n")
    source = read_source(path, tmp_path / "out", **fields)
    assert [row["source_line"] for row in source.rows] == [line for line in range(2, 82, 2) if line != 12]
    assert source.rows[1]["messages"][0]["content"] == asked_and_team(1)[0] + "\nbye"
    (left_out,) = map(str, source.left_out)
    assert left_out == f"{path}:12 has 3 cells where the header, line 1, has 2; quote cells that hold the separator"
    assert "blank_line" not in source.report.counts
    assert source.repairs.changes == []
    path.with_suffix(".json").write_text(json.dumps(labelled(30)))
    with pytest.raises(DataError, match="ftlab convert"):
        read_source(path.with_suffix(".json"), tmp_path / "out", asked=("text",), answered="category")


NOISE = {
    "another answer": {"completion": "old"},
    "another question": {"prompt": "old"},
    "a whole chat": {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
    "a word that is messages elsewhere": {"messages": "m"},
    "a pair": {"chosen": "a", "rejected": "b"},
    "a rating": {"label": False, "kto_tag": "1"},
    "tools": {"tools": "saw, hammer", "functions": [{"name": "f"}]},
    "turns": {"conversations": "c", "history": "h", "input": "i", "context": "c", "output": "o", "response": "r"},
}


@pytest.mark.parametrize("noise", NOISE)
def test_fields_that_are_named_win_over_all_others(tmp_path, noise):
    rows = [NOISE[noise] | {"frage": q, "antwort": a} for q, a in map(asked_and_team, range(40))]
    source = read_source(write_lines(tmp_path / "theirs.jsonl", rows), tmp_path / "out", asked=("frage",),
                         answered="antwort")  # fmt: skip
    for row, (question, team) in zip(source.rows, map(asked_and_team, range(40)), strict=True):
        assert [turn["content"] for turn in row["messages"]] == [question, team]
    assert any(note.startswith(f"Not read: {', '.join(NOISE[noise])}.") for note in source.notes)


def test_a_system_prompt_beside_named_fields_is_read_and_said(tmp_path):
    rows = [{"system": "Triage.", "text": q, "label": a} for q, a in map(asked_and_team, range(40))]
    source = read_source(write_lines(tmp_path / "theirs.jsonl", rows), tmp_path / "out")
    assert source.rows[0]["messages"][0] == {"role": "system", "content": "Triage."}
    assert "Read as the system prompt: system." in source.notes


def test_texts_that_are_not_read_are_named_and_few_rows_said(tmp_path):
    rows = [{"subject": f"About {i}", "body": q, "label": a, "nr": i} for i, (q, a) in
            enumerate(map(asked_and_team, range(60)))]  # fmt: skip
    notes = read_source(write_lines(tmp_path / "theirs.jsonl", rows), tmp_path / "out").notes
    assert "Not read: subject. What else is asked can be named, such as --input subject,body." in notes
    assert "Fewer than 100 usable rows: the numbers tell little." in notes
    rows = [{"prompt": q, "completion": a, "remark": "not for you"} for q, a in map(asked_and_team, range(TELLING))]
    notes = read_source(write_lines(tmp_path / "theirs.jsonl", rows), tmp_path / "out").notes
    assert [note for note in notes if "Fewer" in note or "Not read" in note] == ["Not read: remark."]


def test_a_row_that_ends_with_a_call_of_a_tool_is_left_out(tmp_path):
    rows = [{"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
            for q, a in map(asked_and_team, range(40))]  # fmt: skip
    call = {"type": "function", "id": "a", "function": {"name": "f", "arguments": "{}"}}
    rows[3]["messages"][1] = {"role": "assistant", "tool_calls": [call]}
    source = read_source(write_lines(tmp_path / "theirs.jsonl", rows), tmp_path / "out")
    assert (source.kind, [found.line for found in source.left_out]) == ("label", [4])
    assert "no text to compare with" in str(source.left_out[0])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([[{"text": "a", "label": "b"}]], "theirs.jsonl:1 holds a list of 1 object"),
        ([["a", "b"], ["c", "d"]], "theirs.jsonl:1 holds a list; write one JSON object for each row"),
        ([3, "text"], "theirs.jsonl:2 holds a string"),
    ],
)
def test_a_file_without_an_object_says_what_it_holds(tmp_path, lines, message):
    with pytest.raises(DataError, match=message):
        read_source(write_lines(tmp_path / "theirs.jsonl", lines), tmp_path / "out")


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
    with pytest.raises(DataError, match=r"40 of 40 rows cannot be used:\n.*theirs.jsonl:1 metadata.shop: is missing"):
        read_source(path, tmp_path / "out", group="metadata.shop")
    rows[6]["metadata"]["customer"] = None
    source = read_source(write_lines(path, rows), tmp_path / "out", group="metadata.customer")
    assert [str(found).partition(",")[0] for found in source.left_out] == [f"{path}:7 metadata.customer: is missing"]
    rows = [row | {"visitor": f"v{i % 9}"} for i, row in enumerate(labelled(40))]
    notes = read_source(write_lines(path, rows), tmp_path / "out").notes
    assert any("--group visitor" in note for note in notes)


@pytest.mark.parametrize("group", ["question", "context", "query"])
def test_a_group_may_have_a_name_that_readers_take_for_something(tmp_path, group):
    rows = [{"question": q, "answer": a, "query": i // 2, "context": f"c{i // 2}"} for i, (q, a) in
            enumerate(map(asked_and_team, range(40)))]  # fmt: skip
    path = write_lines(tmp_path / "theirs.jsonl", rows)
    source = read_source(path, tmp_path / "out", asked=("question",), answered="answer", group=group)
    assert source.group == f"group_{group}"
    assert [row[source.group] for row in source.rows] == [row[group] for row in rows]
    assert source.rows[0]["messages"][0]["content"] == rows[0]["question"]


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
    assert seen[-1].limits == []
    assert seen[0].limits[0].startswith("Cut to fit into 3 minutes")
    assert seen[0].limits[0] in repr(seen[0])


def test_a_gpu_has_no_limit_and_few_rows_are_read_more_often():
    sizes = choose_sizes([60] * 40, [20] * 40, "text", None, 15)
    assert (sizes.test, sizes.validation, sizes.train) == (FEWEST["test"], FEWEST["search"], 20)
    assert sizes.epochs == 10
    assert "no limit of time" in repr(sizes)
    many = choose_sizes([60] * 5000, [20] * 5000, "text", None, 15)
    assert (many.test, many.validation, many.epochs) == (MOST["test"], MOST["search"], 3)


@pytest.mark.parametrize("speed", [None, 170])
@pytest.mark.parametrize("rows", range(20, 60))
def test_half_of_few_rows_are_left_to_train_on(rows, speed):
    sizes = choose_sizes([60] * rows, [20] * rows, "label", speed, 60)
    assert sizes.train >= rows // 2
    assert sizes.train + sizes.validation + sizes.test == rows
    assert min(sizes.test, sizes.searched) >= 4


def test_what_would_be_enough_is_and_a_shorter_time_is_not():
    cut = choose_sizes([60] * 240, [20] * 240, "label", 170, 5)
    assert f"--minutes {cut.enough} and another --out" in cut.limits[0]
    times = {minutes: choose_sizes([60] * 240, [20] * 240, "label", 170, minutes) for minutes in
             (cut.enough - 5, cut.enough)}  # fmt: skip
    assert ["training reads" in " ".join(each.limits) for each in times.values()] == [True, False]
    assert times[cut.enough].enough is None


def test_after_the_split_every_number_is_one_of_the_split():
    cut = choose_sizes([60] * 240, [20] * 240, "label", 170, 5)
    parts = {"train": 190, "validation": 34, "test": 16}
    sizes = cut.after_split(parts)
    assert (sizes.train + sizes.unread, sizes.validation, sizes.test) == tuple(parts.values())
    assert f"{sizes.train} of 190 rows are trained on; 16 test rows are asked, where 72 would" in sizes.limits[0]
    assert f"{sizes.searched} of 34 validation rows" in sizes.limits[0]
    whole = choose_sizes([60] * 240, [20] * 240, "label", None, 5).after_split(parts)
    assert (whole.train, whole.limits) == (190, [])


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


@pytest.mark.parametrize("kind", ["label", "labels"])
@pytest.mark.parametrize("count", [31, LISTED, LISTED + 1])
def test_all_labels_are_named_or_none_is_ruled_out(kind, count):
    wording = find_wording([chat("?", f"label{i}") for i in range(count)], kind, None)
    named = sum(f"label{i}" in wording.replace(".", ",").replace(",", " ").split() for i in range(count))
    assert named == (count if count <= LISTED else 0)
    assert ("of these" in wording) == (count <= LISTED)


def parted(tmp_path, rows, **settings):
    """The folder in which rows are split for a run on a CPU."""
    source = read_source(write_lines(tmp_path / "theirs.jsonl", rows), tmp_path / "out", **settings)
    sizes = choose_sizes([40] * len(source.rows), [5] * len(source.rows), source.kind, 170, 15)
    write_parts(tmp_path / "out", source, sizes, "nano", "")
    return tmp_path / "out"


@pytest.mark.parametrize("shape", [lambda answer: answer, lambda answer: {"team": answer}])
def test_what_an_answer_may_be_is_read_off_training_rows_alone(tmp_path, shape):
    teams = [f"rare{i}" if i < 8 else TEAMS[i % 3] for i in range(90)]
    folder = parted(tmp_path, [{"text": asked_and_team(i)[0], "label": shape(team)} for i, team in enumerate(teams)])
    train = read_chat(folder / "parts" / "train.jsonl")
    known = {json.loads(text)["team"] if text.startswith("{") else text for text in answers_of(train)}
    (prompt,) = yaml.safe_load((folder / "prompts.yaml").read_text())
    assert known < set(teams)
    assert {team for team in teams if team in prompt["instruction"]} == known
    if (folder / "schema.json").exists():
        assert json.loads((folder / "schema.json").read_text()) == find_schema(train)


def test_every_row_that_was_left_out_is_in_check_json(tmp_path):
    rows = [row if i % 4 else {"text": row["text"]} for i, row in enumerate(labelled(80))]
    folder = parted(tmp_path, [*rows, rows[1]], drop=True)
    found = json.loads((folder / "check.json").read_text())["left_out"]
    assert [each["line"] for each in found if each["code"] != "repeated_row"] == list(range(1, 81, 4))
    assert {each["field"] for each in found[:20]} == {"category"}
    assert [each["line"] for each in found if each["code"] == "repeated_row"] == [81]


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
    ("report", "headline", "winner"),
    [
        (a_report(0.9, 0.6, "ship", linear=0.7), "The gate is passed: ship", "fine_tuned"),
        (a_report(0.8, 0.6, "do not ship", linear=0.9), "The linear classifier is enough", "linear"),
        (a_report(0.92, 0.6, "ship", linear=0.9), "The linear classifier is enough", "linear"),
        (a_report(0.5, 0.4, "not enough data", majority=0.45), "nothing here has learned the task", ""),
        (a_report(0.66, 0.6, "not enough data", linear=0.5), "Label about 840 more rows to test on", ""),
        (a_report(0.61, 0.6, "do not ship", linear=0.5), "Stay with the prompt", "few_shot"),
        (a_report(0.4, 0.6, "do not ship", linear=0.5), "Stay with the prompt", "few_shot"),
        (a_report(0.9, 0.6, "do not ship", linear=0.7), "Do not ship this training", ""),
        (a_report(0.9, 0.6, "ship"), "The gate is passed: ship", "fine_tuned"),
    ],
)
def test_the_advice_follows_from_the_numbers(report, headline, winner):
    advice = next_step(report, ["Cut to fit."])
    assert headline in advice.headline
    assert "%" in advice.reasons[0]
    assert "[" in advice.reasons[0]
    assert ("Cut to fit." in advice.then) == (report["gate"]["verdict"] != "ship" or "linear" in headline)
    assert advice.winner == winner


def test_a_tie_is_no_victory_and_asks_for_no_more_rows():
    report = a_report(1.0, 0.6, "ship", nearest=1.0)
    report["rivals"]["nearest"] |= {"disagreement": 0}
    advice = next_step(report, [])
    assert advice.headline == "The answer of the most similar row is enough"
    assert "scores the same on every case as fine-tuned model" in advice.reasons[0]
    assert 'The gate says "ship", since' in advice.reasons[1]
    assert "does not reach it" not in " ".join(advice.reasons)
    assert not any("abel" in line for line in advice.then)


@pytest.mark.parametrize(("half", "said"), [(0.08, "cannot be told from"), (0.01, "does better than")])
def test_what_is_better_is_said_by_the_interval(half, said):
    advice = next_step(a_report(0.85, 0.6, "do not ship", half, linear=0.9), [])
    assert said in advice.reasons[0]
    assert len(advice.reasons) == 2, "advice and gate agree, and nothing has to be explained"
    assert any("abel" in line for line in advice.then) == (said == "cannot be told from")


def test_the_rows_to_label_are_those_of_the_pair_that_is_named():
    report = a_report(0.88, 0.6, "do not ship", linear=0.9)
    report["rivals"]["linear"] |= {"disagreement": 0.1}
    more = more_cases(report["rivals"]["linear"], "exact_match", 0.05)
    assert more != more_cases(report["comparison"], "exact_match", 0.05)
    assert next_step(report, []).then == [
        f"If the difference between the two matters: label about {more} more rows to test on."
    ]


def test_groups_of_cases_tell_less_and_need_more():
    groups = [i // 5 for i in range(100)]
    right = [float(i // 5 % 4 > 0) for i in range(100)]
    other = [float(i // 5 % 4 > 1) if i < 50 else value for i, value in enumerate(right)]
    alone, grouped = (compare(other, right, groups=each).to_dict() for each in (None, groups))
    assert more_cases(grouped, "exact_match", 0.05) > 3 * more_cases(alone, "exact_match", 0.05)
    assert more_cases(compare(right, right).to_dict(), "exact_match", 0.05) == 0


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


# --- the costs


def cost_report() -> dict:
    report = a_report(0.9, 0.6, "ship", linear=0.9, head=0.7)
    for system in report["systems"].values():
        system |= {"tokens_per_call": 40.0, "seconds_per_call": 0.2}
    return report | {"n": 60, "training": {"minutes": 3, "steps": 100}}


@pytest.mark.parametrize("winner", ["linear", "head", "fine_tuned", ""])
def test_the_costs_have_a_line_for_what_is_advised_and_count_the_upkeep(tmp_path, winner):
    costs, ignored = reckon(tmp_path, cost_report(), "smol", 200, None, winner)
    simple = winner if winner in ("linear", "head") else "tuned"
    assert f"{simple}_on_a_machine against prompt_at_a_service" in costs
    assert "not counted" not in costs
    assert "$0.000000" not in costs
    assert ignored == []
    text = (tmp_path / "cost.yaml").read_text()
    assert "not measured: the prompt's exact_match, 60.0 % [50.0, 70.0], is smol's" in text


def test_a_number_of_calls_that_comes_too_late_is_said(tmp_path):
    assert reckon(tmp_path, cost_report(), "smol", 200, 50, "")[1] == []
    assert reckon(tmp_path, cost_report(), "smol", 200, 50, "")[1] == []
    assert "--calls-per-day 90 is not heeded" in reckon(tmp_path, cost_report(), "smol", 200, 90, "")[1][0]
    (tmp_path / "cost.yaml").write_text("mine")
    assert "cost.yaml" in reckon(tmp_path, cost_report(), "smol", 200, 90, "")[0]


def test_the_command_is_told_as_it_was_typed():
    own = {"kind": "label", "asked": ["a", "b c"], "answered": "d", "group": None, "mask": False, "drop": True,
           "model": "smol", "instruction": "Be kind.", "minutes": 7.5}  # fmt: skip
    assert command("my rows.jsonl", own) == (
        "ftlab project 'my rows.jsonl' --answer label --model smol --input 'a,b c' --output d "
        "--instruction 'Be kind.' --minutes 7.5 --keep-private --drop"
    )


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
    lines[20] = json.dumps({"text": "long " * 1200, "category": "billing"})
    (tmp_path / "theirs.jsonl").write_text("\n".join(lines) + "\n")
    options = ("../theirs.jsonl", "--model", "nano", "--minutes", "2", "--out", "out")
    done = project(tmp_path / "empty", *options)
    assert done.returncode in (0, 1), done.stderr
    out = tmp_path / "empty" / "out"
    page = (out / "README.md").read_text()
    assert "# theirs.jsonl: what to do next" in page
    assert "theirs.jsonl:17 not JSON" in page
    assert re.search(r"theirs.jsonl:21 has 1,[2-9]\d\d tokens, where 1,024 are the most", page)
    assert "`ftlab project theirs.jsonl --model nano --minutes 2`, on 20" in page
    assert "transformers 5." in page
    assert max(map(page.count, re.findall("Cut to fit.*", page)), default=1) == 1
    assert not (out / "run" / "checkpoints").exists()
    report = json.loads((out / "run" / "report.json").read_text())
    assert done.returncode == (report["gate"]["verdict"] != "ship"), "the speed of the machine decides on the steps"
    assert {"majority", "linear", "few_shot", "constrained", "fine_tuned"} <= set(report["systems"])
    for name in ("fine_tuned", "few_shot"):
        value = report["systems"][name]["exact_match"]
        assert f"{100 * value['value']:.1f} % [{100 * value['low']:.1f}, {100 * value['high']:.1f}]" in page
    assert f"**{report['gate']['verdict']}**" in page
    assert "prompt_at_a_service" in page
    card = (out / "run" / "adapter" / "README.md").read_text()
    assert "base_model: nano" in card
    found = json.loads((out / "check.json").read_text())
    assert sum(found["split"]["rows"].values()) == found["rows_kept"] == 38
    assert report["n"] == found["split"]["rows"]["test"]
    for winner in ("few_shot", "constrained", "zero_shot", "nearest", "linear", "head"):
        use = templates().get_template("use.md.j2")
        said = use.render(winner=winner, report=report, found=found, prompt=best_prompt(report, winner))
        (out / f"use_{winner}.py").write_text(said.replace("```python", "").replace("```", ""))
    tried = "\n".join(f"exec(open('use_{path.stem[4:]}.py').read())" for path in sorted(out.glob("use_*.py"),
                     key=lambda path: path.stem in ("use_nearest", "use_linear", "use_head")))  # fmt: skip
    used = subprocess.run([sys.executable, "-c", tried], cwd=out, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"})  # fmt: skip
    assert used.returncode == 0, used.stderr
    assert set(used.stdout.strip().split("\n")[-2:]) <= set(TEAMS)
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
    with pytest.raises(DataError, match="cannot be a folder"):
        run_project(path, tmp_path / "out" / "thesis.txt", progress=False)


@pytest.mark.parametrize("name", sorted(BEFORE))
def test_what_somebody_else_left_is_never_overwritten_whatever_its_name(tmp_path, name):
    path, mine = write_lines(tmp_path / "theirs.jsonl", labelled(40)), tmp_path / "out"
    mine.mkdir()
    for text in ('{"name": "mine"}', "[]", "{"):
        (mine / name).write_text(text)
        with pytest.raises(DataError, match="has other things in it"):
            run_project(path, mine, progress=False)
        assert {each.name: each.read_text() for each in mine.iterdir()} == {name: text}


@pytest.mark.parametrize("place", ["clean.jsonl", "parts/source.jsonl"])
def test_a_file_in_the_folder_that_is_written_is_refused(tmp_path, place):
    (tmp_path / "mine" / "parts").mkdir(parents=True)
    path = write_lines(tmp_path / "mine" / place, labelled(40))
    before = path.read_text()
    with pytest.raises(DataError, match=r"lies in .*mine, where results would be written over it; .*--out"):
        run_project(path, tmp_path / "mine", progress=False)
    assert path.read_text() == before


@pytest.mark.parametrize("setting", ["minutes", "calls_per_day"])
@pytest.mark.parametrize("value", [float("nan"), 0, -5, float("inf")])
def test_a_time_or_a_number_of_calls_is_above_0_and_ends(tmp_path, setting, value):
    path = write_lines(tmp_path / "theirs.jsonl", labelled(40))
    with pytest.raises(RecipeError, match=rf"--{setting.replace('_', '-')} {value}: give a number above 0"):
        run_project(path, tmp_path / "out", progress=False, **{setting: value})
    assert not (tmp_path / "out").exists()


def test_a_file_that_was_mended_begins_anew_but_a_finished_split_stays(tmp_path):
    path = write_lines(tmp_path / "theirs.jsonl", [*labelled(20), *[{"text": "?"}] * 9])
    with pytest.raises(DataError, match="9 of 29 rows cannot be used"):
        run_project(path, tmp_path / "out", progress=False)
    write_lines(path, labelled(12))
    with pytest.raises(DataError, match="12 usable rows"):
        run_project(path, tmp_path / "out", progress=False)
    own = json.loads((tmp_path / "out" / "project.json").read_text())
    (tmp_path / "out" / "project.json").write_text(json.dumps(own | {"file": "of before"}))
    (tmp_path / "out" / "recipe.yaml").write_text("name: done")
    with pytest.raises(RecipeError, match=r"file was \"of before\""):
        run_project(path, tmp_path / "out", progress=False)
