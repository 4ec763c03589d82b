"""Whole runs: what is refused before any time is spent, and one run from recipe to report with a tiny model."""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from test_generation import load_tokenizer, random_model

from ftlab import judging, kept, run
from ftlab.baselines.prompting import Prompt, with_shots
from ftlab.data.schema import read_chat
from ftlab.errors import DataError, ModelError, RecipeError
from ftlab.evaluation.answers import KINDS as ANSWER_KINDS
from ftlab.evaluation.generation import Generations
from ftlab.evaluation.metrics import score_records
from ftlab.evaluation.predictions import compare_files
from ftlab.evaluation.statistics import score_interval
from ftlab.models import REPOSITORY
from ftlab.training import data as data_module
from ftlab.training.preflight import IGNORED
from ftlab.training.recipe import load_recipe
from ftlab.training.train import bytes_to_save, last_checkpoint

CHATML = (  # its layout: a new line after the role and after the end token
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
QUEUES = ("billing", "logistics", "workshop", "presales")
THINGS = ("lamp", "kettle", "radio", "chair", "drill")
PROMPTS = [
    {"name": "keys", "instruction": "Answer with JSON using the keys queue, product."},
    {"name": "user", "place": "user", "instruction": "As JSON with queue and product:"},
]
SCHEMA = {"type": "object", "properties": {"queue": {"enum": QUEUES}}, "required": ["queue", "product"]}


def make_rows(part: str, count: int) -> list[dict]:
    rows = []
    for i in range(count):
        record = {"queue": QUEUES[i % len(QUEUES)], "product": THINGS[i % len(THINGS)]}
        turns = [
            ("system", "Triage."),
            ("user", f"{part} {i}: {record['product']}, {record['queue']}?"),
            ("assistant", json.dumps(record)),
        ]
        rows.append({"id": f"{part}-{i}", "messages": [{"role": role, "content": text} for role, text in turns]})
    return rows


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def recipe(tmp_path):
    """The path of a very small recipe beside its data; its model is a folder of empty files."""
    (tmp_path / "model").mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / "model" / name).write_text("{}")
    for part, count in {"train": 12, "validation": 4, "test": 8, "hard": 3}.items():
        write_rows(tmp_path / f"{part}.jsonl", make_rows(part, count))
    probe = [("user", "Copy: tree"), ("assistant", "tree")]
    write_rows(tmp_path / "probe.jsonl", [{"messages": [{"role": r, "content": t} for r, t in probe]}] * 2)
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    (tmp_path / "prompts.yaml").write_text(yaml.safe_dump(PROMPTS))
    content = {
        "name": "tiny",
        "task": "put tickets into queues",
        "model": str(tmp_path / "model"),
        "seed": 3,
        "data": {part: f"{part}.jsonl" for part in ("train", "validation", "test")}
        | {"slices": {"hard": "hard.jsonl"}, "schema": "schema.json"},
        "prompts": "prompts.yaml",
        "training": {
            "r": 4,
            "lora_alpha": 8,
            "target_modules": ["q_proj", "v_proj"],
            "learning_rate": 1e-2,
            "num_train_epochs": 1,
            "per_device_train_batch_size": 4,
            "gradient_accumulation_steps": 1,
            "warmup_steps": 0,
            "lr_scheduler_type": "linear",
            "max_length": 256,
        },
        "evaluation": {"max_new_tokens": 8, "batch_size": 8, "validation_rows": 3, "probe": "probe.jsonl"},
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def set_up(recipe, **sections):
    """Change keys of a recipe: a section's by a dict, where None leaves a key out."""
    content = yaml.safe_load(recipe.read_text())
    for name, value in sections.items():
        content[name] = (content.get(name) or {}) | value if isinstance(value, dict) else value
    recipe.write_text(yaml.safe_dump(content))


def stop(*arguments, **settings):
    raise ModelError("stop here")


@pytest.fixture
def no_model(monkeypatch):
    """Any attempt to load a model fails the test."""
    monkeypatch.setattr(run, "load_model", lambda recipe: pytest.fail("a model was loaded"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Paris", "paris"),
        (" Paris.\n", "paris"),
        ("STRASSE .", "strasse"),
        ("Straße", "strasse"),
        ("3.5", "3.5"),
        ("", ""),
    ],
)
def test_plain_answer(text, expected):
    assert run.plain_answer(text) == expected


def test_plain_answer_takes_away_one_full_stop_only():
    assert run.plain_answer("wait...") == "wait.."


def test_predictions_are_what_compare_reads(tmp_path):
    rows = make_rows("test", 8)
    right = [row["messages"][-1]["content"] for row in rows]
    wrong = ["I do not know.\nReally: \u2028 “no” {", "", *right[2:]]
    run.write_predictions(tmp_path / "predictions" / "a.jsonl", rows, wrong)
    run.write_predictions(tmp_path / "predictions" / "b.jsonl", rows, right)
    lines = [{"id": row["id"], "reference": json.loads(text)} for row, text in zip(rows, right, strict=True)]
    write_rows(tmp_path / "references.jsonl", lines)
    folder = tmp_path / "predictions"
    found = compare_files(folder / "a.jsonl", folder / "b.jsonl", tmp_path / "references.jsonl")
    assert (found.n, found.a, found.b) == (8, 0.75, 1.0)
    written = [json.loads(line)["prediction"] for line in (folder / "a.jsonl").read_text().split("\n")[:-1]]
    assert written == wrong


def test_predictions_without_ids_are_numbered_and_one_for_each_row(tmp_path):
    rows = [{"messages": []}, {"messages": []}]
    run.write_predictions(tmp_path / "p.jsonl", rows, ["a", "b"])
    assert [json.loads(line)["id"] for line in (tmp_path / "p.jsonl").read_text().splitlines()] == [0, 1]
    with pytest.raises(ValueError, match="shorter"):
        run.write_predictions(tmp_path / "p.jsonl", rows, ["a"])


LEFT = {  # by an earlier run, whole or broken off
    "recipe.yaml": "recipe.yaml",
    "run.json": "run.json",
    "training.json": "training.json",
    "search": "search/free.0.jsonl",
    "seed_2": "seed_2/adapter/adapter_config.json",
    "report.json": "report.json",
    "report.html": "report.html",
    "predictions": "predictions/test.base.jsonl",
    "adapter": "adapter/adapter_config.json",
    "checkpoints": "checkpoints/checkpoint-3/model.safetensors",
}


def leave(folder, name, text="old"):
    path = folder / LEFT[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", [name for name in LEFT if name != "run.json"])
def test_an_earlier_run_is_not_touched_without_force(recipe, tmp_path, no_model, name):
    old = leave(tmp_path / "out", name)
    with pytest.raises(FileExistsError) as caught:
        run.run_recipe(recipe, out=tmp_path / "out", progress=False)
    assert caught.value.filename == str(tmp_path / "out" / name)
    assert old.read_text() == "old"


def test_with_force_an_earlier_run_is_moved_once_the_model_is_loaded(recipe, tmp_path, monkeypatch):
    out, aside = tmp_path / "out", tmp_path / "out" / "old"
    leave(aside, "report.html", "older")  # of the run before the earlier one
    for name in LEFT:
        leave(out, name)
    (out / "notes.txt").write_text("mine")
    monkeypatch.setattr(run, "load_model", lambda recipe: (None, None))
    monkeypatch.setattr(run, "check_lengths_and_masks", lambda *arguments: None)
    monkeypatch.setattr(run, "check_disk", lambda *arguments: None)
    monkeypatch.setattr(run, "search_prompts", stop)  # the first that takes time
    with pytest.raises(ModelError, match="stop here"):
        run.run_recipe(recipe, out=out, force=True, progress=False)
    assert sorted(path.name for path in out.iterdir()) == ["notes.txt", "old", "recipe.yaml", "run.json"]
    assert load_recipe(out / "recipe.yaml").sha256 == load_recipe(recipe).sha256
    assert {name: (aside / path).read_text() for name, path in LEFT.items()} == dict.fromkeys(LEFT, "old")


def test_what_the_run_before_left_aside_goes_when_there_is_something_newer(tmp_path):
    leave(tmp_path / "old", "adapter", "older")
    kept.set_aside(tmp_path)  # nothing newer: kept
    assert (tmp_path / "old" / LEFT["adapter"]).read_text() == "older"
    leave(tmp_path, "report.json")
    kept.set_aside(tmp_path)
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["report.json"]


def test_with_force_the_run_goes_on_to_the_model(recipe, tmp_path):
    kept = [leave(tmp_path / "out", name) for name in LEFT]
    loaded = []

    def load_model(recipe):
        loaded.append(recipe.model)
        raise ModelError("stop here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "load_model", load_model)
        with pytest.raises(ModelError, match="stop here"):
            run.run_recipe(recipe, out=tmp_path / "out", force=True, progress=False)
    assert loaded == [str(tmp_path / "model")]
    assert [path.read_text() for path in kept] == ["old"] * len(LEFT)  # nothing is lost by a run that fails
    assert not (tmp_path / "out" / "old").exists()


@pytest.mark.parametrize("part", ["validation", "test", "hard"])
def test_a_ticket_that_stands_in_training_too_is_refused(recipe, tmp_path, no_model, part):
    rows, train = make_rows(part, 3), make_rows("train", 12)
    rows[1]["messages"][1]["content"] = "  " + train[7]["messages"][1]["content"].upper()
    write_rows(tmp_path / f"{part}.jsonl", rows)
    with pytest.raises(DataError, match=f"1 identical input.*'{part}-1' = 'train-7'"):
        run.run_recipe(recipe, out=tmp_path / "out", progress=False)


@pytest.mark.parametrize("part", ["validation", "test", "hard"])
def test_an_answer_that_is_no_json_is_refused(recipe, tmp_path, no_model, part):
    rows = make_rows(part, 3)
    rows[2]["messages"][-1]["content"] = "queue: billing"
    write_rows(tmp_path / f"{part}.jsonl", rows)
    with pytest.raises(DataError, match=rf"{part}\.jsonl:3 messages\[2\]\.content: the answer is no JSON object"):
        run.run_recipe(recipe, out=tmp_path / "out", progress=False)


@pytest.mark.parametrize("part", ["validation", "test", "hard"])
def test_a_row_without_a_question_is_refused(recipe, tmp_path, no_model, part):
    rows = make_rows(part, 3)
    turns = rows[1]["messages"]
    rows[1]["messages"] = [turns[0], turns[-1]]
    write_rows(tmp_path / f"{part}.jsonl", rows)
    with pytest.raises(DataError, match=rf"{part}\.jsonl:2 messages: needs one turn of the user"):
        run.run_recipe(recipe, out=tmp_path / "out", progress=False)


@pytest.mark.parametrize("part", ["validation", "test", "hard", "probe"])
def test_an_answer_without_text_is_refused(recipe, tmp_path, no_model, part):
    rows = make_rows(part, 3)
    function = {"name": "look_up", "arguments": "{}"}
    call = {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": function}]}
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
    rows[2] = {"messages": [*rows[2]["messages"][:-1], call], "tools": [tool]}
    write_rows(tmp_path / f"{part}.jsonl", rows)
    with pytest.raises(DataError, match=rf"{part}\.jsonl:3 messages\[\d\]\.content: the last turn has no text"):
        run.run_recipe(recipe, out=tmp_path / "out", progress=False)


@pytest.mark.parametrize("key", ["label", "kto_tag"])
@pytest.mark.parametrize("part", ["train", "replay", "test"])
def test_a_bad_answer_is_never_trained_on_as_a_good_one(recipe, tmp_path, no_model, part, key):
    set_up(recipe, data={"replay": "replay.jsonl"})
    for name in ("replay", part):
        write_rows(tmp_path / f"{name}.jsonl", make_rows(name, 2))
    rows = [row | {key: good} for row, good in zip(make_rows(part, 3), (True, False, True), strict=True)]
    write_rows(tmp_path / f"{part}.jsonl", rows)
    with pytest.raises(DataError, match=rf"{part}\.jsonl:2 .*KTO"):
        run.run_recipe(recipe, out=tmp_path / "out", progress=False)


def test_only_the_first_training_rows_count(recipe, tmp_path, monkeypatch):
    """With train_rows the leak check looks at the rows that are trained on, and at no other."""
    rows, train = make_rows("test", 8), make_rows("train", 12)
    rows[0]["messages"][1] = train[5]["messages"][1]
    write_rows(tmp_path / "test.jsonl", rows)
    monkeypatch.setattr(run, "load_model", stop)
    for count, error in ((5, ModelError), (6, DataError)):
        set_up(recipe, data={"train_rows": count})
        with pytest.raises(error):
            run.run_recipe(recipe, out=tmp_path / "out", progress=False)


def test_replayed_rows_are_kept_apart_from_test_and_probe(recipe, tmp_path, monkeypatch):
    set_up(recipe, data={"replay": "replay.jsonl"})
    monkeypatch.setattr(run, "load_model", stop)
    own = [{"messages": [{"role": "user", "content": "Copy: leaf"}, {"role": "assistant", "content": "leaf"}]}]
    for rows, error in ((own, ModelError), (read_chat(tmp_path / "probe.jsonl"), DataError),
                        (make_rows("test", 1), DataError)):  # fmt: skip
        write_rows(tmp_path / "replay.jsonl", rows)
        with pytest.raises(error):
            run.run_recipe(recipe, out=tmp_path / "out", progress=False)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": "no/such folder"}, ModelError, "no/such folder"),
        ({"data": {"schema": "broken.json"}}, DataError, "broken.json"),
    ],
)
def test_what_would_fail_after_an_hour_fails_at_once(recipe, tmp_path, no_model, change, error, message):
    (tmp_path / "broken.json").write_text('{"type": 7}')
    set_up(recipe, **change)
    with pytest.raises(error, match=message):
        run.run_recipe(recipe, out=tmp_path / "out", progress=False)


def save_model(folder, template=None):
    """A tiny model with random weights, and its tokenizer, with another chat template where one is given."""
    tokenizer = load_tokenizer()
    random_model(tokenizer).save_pretrained(folder)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)


@pytest.fixture
def unsloth(monkeypatch):
    """A stand-in for Unsloth, which takes long to import: loads through transformers; returns what it was given."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    given = []

    def from_pretrained(model_name, **settings):
        given.append(settings)
        return AutoModelForCausalLM.from_pretrained(model_name), AutoTokenizer.from_pretrained(model_name)

    fake = SimpleNamespace(FastLanguageModel=SimpleNamespace(from_pretrained=from_pretrained))
    monkeypatch.setitem(sys.modules, "unsloth", fake)
    return given


def test_a_model_without_a_chat_template_is_refused(recipe, tmp_path, unsloth):
    save_model(tmp_path / "model")
    with pytest.raises(ModelError, match="model: has no chat template.*take its instruct model"):
        run.load_model(load_recipe(recipe))


def test_a_model_with_damaged_weights_is_refused(recipe, tmp_path, unsloth):
    save_model(tmp_path / "model", CHATML)
    assert run.load_model(load_recipe(recipe))[1].chat_template == CHATML
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="model: cannot be loaded. SafetensorError"):
        run.load_model(load_recipe(recipe))


@pytest.mark.parametrize(("max_length", "expected"), [(256, 2048), (4096, 4096)])
def test_a_model_is_loaded_for_the_length_that_it_is_trained_with(recipe, tmp_path, unsloth, max_length, expected):
    save_model(tmp_path / "model", CHATML)
    set_up(recipe, training={"max_length": max_length})
    run.load_model(load_recipe(recipe))
    assert [settings["max_seq_length"] for settings in unsloth] == [expected]


@pytest.fixture
def masks(monkeypatch):
    """Stands in for Unsloth's masks: the loss is on what follows the assistant's marker, up to the end token."""

    def train_on_responses_only(trainer, tokenizer, return_function):
        begin = tokenizer.convert_tokens_to_ids("<|assistant|>")

        def labels_of(ids):
            answering, labels = False, []
            for token in ids:
                labels.append(token if answering else IGNORED)
                answering = token == begin or answering and token != tokenizer.eos_token_id
            return labels

        return lambda examples: {"labels": [labels_of(ids) for ids in examples["input_ids"]]}

    fake = SimpleNamespace(train_on_responses_only=train_on_responses_only)
    monkeypatch.setitem(sys.modules, "unsloth", SimpleNamespace(chat_templates=fake))
    monkeypatch.setitem(sys.modules, "unsloth.chat_templates", fake)


def check_before_training(recipe, tokenizer, said=None, positions=2048):
    loaded = load_recipe(recipe)
    model = SimpleNamespace(config=SimpleNamespace(max_position_embeddings=positions))
    say = (said if said is not None else []).append
    run.check_lengths_and_masks(loaded, run.read_data(loaded), model, tokenizer, say)


@pytest.mark.parametrize("part", ["train", "replay"])
def test_a_row_over_max_length_is_named_before_anything_takes_time(recipe, tmp_path, masks, part):
    set_up(recipe, data={"replay": "replay.jsonl"}, evaluation={"max_new_tokens": 64})
    write_rows(tmp_path / "replay.jsonl", make_rows("replay", 3))
    tokenizer, said = load_tokenizer(), []
    check_before_training(recipe, tokenizer, said)
    assert not said
    rows = make_rows(part, 3)
    rows[1]["messages"][1]["content"] += " please" * 300
    (tmp_path / f"{part}.jsonl").write_text("\n" + "".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=rf"{part}\.jsonl:3 \d+ tokens, which max_length 256 would cut") as caught:
        check_before_training(recipe, tokenizer)
    assert str(caught.value).count(".jsonl:") == 1


def test_rows_whose_loss_would_not_be_on_the_answer_are_named(recipe, tmp_path, masks):
    tokenizer = load_tokenizer()
    tokenizer.chat_template = (  # it adds words to a long turn
        "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}"
        "{% if message['content'] | length > 99 %} and more{% endif %}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    rows = make_rows("train", 3)
    rows[2]["messages"][2]["content"] = json.dumps({"queue": "billing", "product": "x" * 99})
    write_rows(tmp_path / "train.jsonl", rows)
    with pytest.raises(DataError, match=r"train\.jsonl:3 the loss is on .* but the answer is") as caught:
        check_before_training(recipe, tokenizer)
    assert "train.jsonl:1" not in str(caught.value)


@pytest.mark.parametrize("part", ["test", "hard", "probe"])
def test_a_question_that_leaves_no_room_for_an_answer_is_named(recipe, tmp_path, masks, part):
    rows = make_rows(part, 3)
    rows[0]["messages"][1]["content"] += " please" * 300
    write_rows(tmp_path / f"{part}.jsonl", rows)
    with pytest.raises(DataError, match=rf"{part}\.jsonl:1 \d+ tokens and 8 new ones do not fit into the 300"):
        check_before_training(recipe, load_tokenizer(), positions=300)


def test_right_answers_over_max_new_tokens_are_said(recipe, tmp_path, masks):
    said = []
    check_before_training(recipe, load_tokenizer(), said)
    assert said == ["8 of 8 right answers do not fit into max_new_tokens 8 and cannot be met: raise it"]


QUESTION = re.compile(r"(\w+) (\d+): (\w+), (\w+)\?$")  # of make_rows


@pytest.fixture
def known_answers(monkeypatch):
    """Stand-ins for model and training; `right(system, part, number)` says which tickets are answered rightly."""

    def install(right, say=None):
        def answer(model, chat):
            if say:
                return say(model, chat)
            if not (asked := QUESTION.search(chat[-1]["content"])):
                return "tree"  # the probe
            part, number, product, queue = asked.groups()
            shown = any(turn["role"] == "assistant" for turn in chat)
            prompted = "few_shot" if shown else "zero_shot"
            system = model.name if chat[0]["content"] == "Triage." else prompted
            found = right(system, part, int(number))
            more = {"more": 1} if found == "one key too many" else {}
            return json.dumps({"queue": queue, "product": product} | more) if found else "no"

        def generate(model, tokenizer, chats, *arguments, **settings):
            return Generations(tuple(answer(model, chat) for chat in chats), 10, 10, 1.0, 0)

        def model(name):
            return SimpleNamespace(name=name, save_pretrained=lambda folder: None)

        training = {"minutes": 0.1, "steps": 1, "final_loss": 1.0, "final_eval_loss": 1.0, "log": [],
                    "trainable_parameters": 1, "peak_memory_gib": None}  # fmt: skip
        def load_model(recipe, weights=None):
            return model("fine_tuned" if weights else "base"), model("tokenizer")

        monkeypatch.setattr(run, "load_model", load_model)
        monkeypatch.setattr(run, "check_lengths_and_masks", lambda *arguments: None)
        monkeypatch.setattr(run, "check_disk", lambda *arguments: None)
        monkeypatch.setattr(run, "train_model", lambda *arguments: (model("fine_tuned"), training))
        monkeypatch.setattr(run, "generate", generate)

    return install


@pytest.mark.parametrize(("few_shot", "verdict"), [(8, "do not ship"), (7, "ship"), (5, "ship")])
def test_a_prompt_that_was_not_the_baseline_but_does_better_stops_the_verdict(
    recipe, tmp_path, known_answers, few_shot, verdict
):
    """Zero-shot wins on the validation set and fails on the test set, few-shot the other way round."""
    levels = {("zero_shot", "validation"): 4, ("few_shot", "validation"): 1,
              ("fine_tuned", "test"): 7, ("few_shot", "test"): few_shot}  # fmt: skip
    known_answers(lambda system, part, number: number < levels.get((system, part), 0))
    set_up(recipe, data={"schema": None})  # else the linear classifier would be a rival too
    report = run.run_recipe(recipe, out=tmp_path / "out", progress=False)
    assert (report.baseline, report.comparison.a, report.comparison.b) == ("zero_shot", 0, 7 / 8)
    assert {name: rival.a for name, rival in report.rivals.items()} == ({"few_shot": 1} if few_shot == 8 else {})
    assert report.gate.verdict == verdict


def test_another_metric_judges_slices_prompts_and_verdict(recipe, tmp_path, known_answers):
    """One key too many is no exact match, though every field is right."""
    known_answers(lambda system, part, number: system == "fine_tuned" or "one key too many")
    set_up(recipe, data={"schema": None}, bars={"metric": "exact_match", "min_gain": 0.1})
    report = run.run_recipe(recipe, out=tmp_path / "out", progress=False)
    assert report.comparison.metric == report.gate.bars.metric == "exact_match"
    assert report.gate.reasons[0].startswith("exact_match changed by +100.0 points")
    assert [report.systems[name].slices["hard"].value for name in ("zero_shot", "fine_tuned")] == [0, 1]
    assert {(row["exact_match"].value, row["field_accuracy"].value) for row in report.prompt_search} == {(0, 1)}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Further test sets: exact match" in page
    assert '<th scope="col">exact match</th><th scope="col">tokens/call</th>' in page


def another_kind(folder, answer_of, count=40):
    """Rows of another kind of answers in the recipe's files; the first user turn is answered by `answer_of(text)`."""
    for part, size in {"train": count, "validation": 12, "test": 24, "hard": 6}.items():
        rows = make_rows(part, size)
        for row in rows:
            row["messages"][-1]["content"] = answer_of(row["messages"][1]["content"])
        write_rows(folder / f"{part}.jsonl", rows)


def queue_of(text):
    return QUESTION.search(text)[4]


def politely(text):
    return f"Dear team, would you please look at this: {text}"


KINDS = {
    "label": (queue_of, ["majority", "nearest", "linear", "base", "fine_tuned"], "exact_match"),
    "text": (politely, ["copy", "nearest", "base", "fine_tuned"], "chrf"),
}


@pytest.mark.parametrize("prompts", [None, "prompts.yaml"])
@pytest.mark.parametrize("kind", KINDS)
def test_labels_and_texts_are_judged_by_their_own_metrics(recipe, tmp_path, known_answers, monkeypatch, kind, prompts):
    answer_of, systems, metric = KINDS[kind]
    another_kind(tmp_path, answer_of)

    def say(model, chat):
        text = chat[-1]["content"]
        return "tree" if "Copy" in text else answer_of(text) if model.name == "fine_tuned" else "no idea"

    def always_billing(model, tokenizer, chats, labels, **settings):
        assert set(labels) == set(QUEUES)
        return Generations(("billing",) * len(chats), 10, 10, 1.0, 0)

    def train_head(model, tokenizer, rows, settings, seed, dtype):
        answer = lambda inputs: Generations(tuple(map(queue_of, inputs)), 10, 0, 1.0, 0)  # noqa: E731
        return SimpleNamespace(answer=answer)

    known_answers(None, say)
    monkeypatch.setattr(run, "train_head", train_head)
    monkeypatch.setattr(run, "choose_labels", always_billing)
    set_up(recipe, data={"schema": None}, prompts=prompts)
    report = run.run_recipe(recipe, out=tmp_path / "out", progress=False)
    prompted = ["zero_shot", "few_shot"] if prompts else []
    held, head = (["constrained"], ["head"]) if kind == "label" else ([], [])
    assert list(report.systems) == [*systems[:-1], *prompted, *held, *head, "fine_tuned"]
    assert [report.rivals[name].delta for name in head] == [0] * len(head)
    assert (report.answer, report.comparison.metric) == (kind, metric)
    assert report.baseline == ("constrained" if held else "zero_shot" if prompts else "base")
    assert list(report.systems["base"].metrics) == list(ANSWER_KINDS[kind])
    assert report.systems["fine_tuned"].metrics[metric].value == pytest.approx(1)
    assert report.comparison.b == pytest.approx(1)
    assert report.comparison.a < 0.5
    assert set(report.rivals) >= set(systems) - {"base", "fine_tuned"}
    resolved = load_recipe(tmp_path / "out" / "recipe.yaml")
    assert (resolved.answer, resolved.bars.metric) == (kind, metric)
    assert any(f"of the kind {kind}" in note for note in report.notes)
    page = (tmp_path / "out" / "report.html").read_text()
    assert ("<h2>Labels</h2>" in page) == (kind == "label")
    assert "<h2>Answers of fine tuned</h2>" in page


def test_several_labels_are_judged_as_a_set(recipe, tmp_path, known_answers):
    """The fine-tuned model gives all labels in another order, the untrained one half of them."""

    def state(text):
        return "late" if len(text) % 2 else "open"

    def say(model, chat):
        text = chat[-1]["content"]
        return f"{state(text)}, {queue_of(text)}" if model.name == "fine_tuned" else state(text)

    another_kind(tmp_path, lambda text: f"{queue_of(text)}, {state(text)}")

    known_answers(None, lambda model, chat: "tree" if "Copy" in chat[-1]["content"] else say(model, chat))
    set_up(recipe, data={"schema": None}, answer="labels")
    report = run.run_recipe(recipe, out=tmp_path / "out", progress=False)
    assert (report.answer, report.comparison.metric) == ("labels", "micro_f1")
    levels = {name: system.metrics for name, system in report.systems.items()}
    assert list(levels["base"]) == list(ANSWER_KINDS["labels"])
    assert (levels["fine_tuned"]["exact_match"].value, levels["fine_tuned"]["first_label"].value) == (1, 0)
    assert levels["base"]["micro_f1"].value == pytest.approx(2 / 3)
    assert {"majority", "nearest", "linear"} <= set(report.rivals)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<h2>Labels</h2>" in page
    assert "How well each label is told" in page


def test_what_a_reader_has_to_know_of_the_rows_stands_in_the_report(recipe, tmp_path):
    set_up(recipe, data={"schema": None, "replay": "replay.jsonl"})
    another_kind(tmp_path, queue_of)
    write_rows(tmp_path / "replay.jsonl", make_rows("replay", 41))
    rows = make_rows("test", 24)
    for row in rows:
        row["messages"][-1]["content"] = "unheard" if row["id"] == "test-3" else "billing"
    write_rows(tmp_path / "test.jsonl", rows)
    replay, labels = data_module.remarks_on(run.read_data(load_recipe(recipe)))
    assert replay.startswith("41 replay rows for 40 training rows")
    assert labels.endswith('so they cannot be learned: "unheard".')
    set_up(recipe, data={"replay_rows": 40})
    assert len(list(data_module.remarks_on(run.read_data(load_recipe(recipe))))) == 1
    assert data_module.shown_list("gfedcba") == '"a", "b", "c", "d", "e" and 2 more'


def test_prompts_that_leave_no_room_for_an_answer_are_passed_over(recipe, tmp_path, known_answers, monkeypatch):
    """Examples make a prompt longer than the rows: known only once the search has drawn them."""
    known_answers(lambda system, part, number: system != "base")
    generate, said = run.generate, []

    def with_little_room(model, tokenizer, chats, **settings):
        if any(len(chat) > 2 for chat in chats):
            raise DataError("chat 0: 99 prompt tokens do not fit")
        return generate(model, tokenizer, chats, **settings)

    monkeypatch.setattr(run, "generate", with_little_room)
    monkeypatch.setattr(run, "say_time", said.append)
    set_up(recipe, data={"schema": None})
    report = run.run_recipe(recipe, out=tmp_path / "out")
    assert list(report.systems) == ["base", "zero_shot", "fine_tuned"]
    assert report.baseline == "zero_shot"
    assert "no few_shot: chat 0: 99 prompt tokens do not fit" in said
    assert {row["field_accuracy"].value for row in report.prompt_search if row["kind"] == "few_shot"} == {0}


def test_a_metric_that_the_answers_lack_is_refused(recipe, tmp_path, no_model):
    another_kind(tmp_path, queue_of)
    set_up(recipe, bars={"metric": "valid_json"}, data={"schema": None})
    with pytest.raises(RecipeError, match="bars.metric: is valid_json, which answers of the kind label lack"):
        run.run_recipe(recipe, out=tmp_path / "out", progress=False)


def test_a_conversation_is_asked_as_it_stands(recipe, tmp_path, known_answers):
    """The instruction goes into the system turn, the turns before the last stay."""
    asked = []

    def say(model, chat):
        asked.append([turn["role"] for turn in chat])
        return "no"

    known_answers(None, say)
    set_up(recipe, data={"schema": None})
    for part, count in {"train": 12, "test": 8}.items():
        rows = make_rows(part, count)
        for row in rows:
            before = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Yes?"}]
            row["messages"][1:1] = before
        write_rows(tmp_path / f"{part}.jsonl", rows)
    run.run_recipe(recipe, out=tmp_path / "out", progress=False)
    assert ["system", "user", "assistant", "user"] in asked


def test_each_seed_is_trained_and_their_mean_is_compared(recipe, tmp_path, known_answers, monkeypatch):
    known_answers(lambda system, part, number: system == "fine_tuned" and (number + seeds[-1]) % 4)
    seeds, train_model, load_model = [0], run.train_model, run.load_model

    def train(recipe, *arguments):
        seeds.append(recipe.seed)
        assert recipe.seeds is None
        return train_model(recipe, *arguments)

    def load(recipe, weights=None):
        assert weights is None or weights.parent.name == ("out" if seeds[-1] == 5 else f"seed_{seeds[-1]}")
        return load_model(recipe, weights)

    monkeypatch.setattr(run, "train_model", train)
    monkeypatch.setattr(run, "load_model", load)
    set_up(recipe, data={"schema": None}, seed=None, seeds=[5, 1, 2])
    report = run.run_recipe(recipe, out=tmp_path / "out", progress=False)
    assert seeds == [0, 5, 1, 2]
    assert report.seeds == (5, 1, 2)
    assert [row["seed"] for row in report.by_seed] == [5, 1, 2]
    assert report.comparison.b == pytest.approx(sum(row["comparison"].b for row in report.by_seed) / 3)
    assert report.systems["fine_tuned"].metrics["field_accuracy"].value == pytest.approx(report.comparison.b)
    names = sorted(path.name for path in (tmp_path / "out" / "predictions").glob("test.fine_tuned*.jsonl"))
    assert names == ["test.fine_tuned.jsonl", "test.fine_tuned.seed_1.jsonl", "test.fine_tuned.seed_2.jsonl"]
    assert (tmp_path / "out" / "seed_2" / "training.json").exists()
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Each training alone" in page
    assert "3 trainings, from 75.0 % to 75.0 %" in page
    assert load_recipe(tmp_path / "out" / "recipe.yaml").all_seeds == (5, 1, 2)


def test_groups_of_rows_are_counted_and_not_rows(recipe, tmp_path, known_answers):
    known_answers(lambda system, part, number: system == "fine_tuned")
    set_up(recipe, data={"schema": None}, group="customer", group_part="c[0-9]")
    for part, count in {"test": 8, "hard": 3}.items():
        rows = [row | {"customer": f"shop+c{i % 3}"} for i, row in enumerate(make_rows(part, count))]
        write_rows(tmp_path / f"{part}.jsonl", rows)
    report = run.run_recipe(recipe, out=tmp_path / "out", progress=False)
    assert (report.comparison.groups, report.comparison.method) == (3, "adjusted paired Wald, 3 groups")
    assert report.gate.verdict == "not enough data"  # eight rows, but signs of three groups alone
    assert "on 8 examples in 3 groups" in report.gate.reasons[0]
    hard = report.systems["fine_tuned"].slices["hard"]
    assert (hard.method, hard.value) == ("Wilson, effective size, 3 groups", 1)  # all right, but in three groups
    assert hard.low < 0.5
    write_rows(tmp_path / "hard.jsonl", [row | {"customer": "c1"} for row in make_rows("hard", 3)])
    with pytest.raises(DataError, match=r"hard\.jsonl:1 customer: all rows are of one group"):
        run.run_recipe(recipe, out=tmp_path / "other", progress=False)
    write_rows(tmp_path / "hard.jsonl", [row | {"customer": f"d{i}"} for i, row in enumerate(make_rows("hard", 3))])
    with pytest.raises(DataError, match=r"hard\.jsonl:1 customer: has no group: write a part that c\[0-9\] finds"):
        run.run_recipe(recipe, out=tmp_path / "other", progress=False)


def without_times(report: dict) -> dict:
    """A report without what each run takes anew."""
    for system in report["systems"].values():
        del system["seconds_per_call"]
    del report["training"]["minutes"]
    return report


def left_by(folder) -> tuple[dict, dict]:
    """The report, and every answer that the run has kept."""
    answers = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.jsonl")}
    return without_times(json.loads((folder / "report.json").read_text())), answers


def test_a_run_that_was_stopped_anywhere_goes_on_to_the_same_report(recipe, tmp_path, known_answers, monkeypatch):
    known_answers(lambda system, part, number: number % 3 or system == "fine_tuned")
    set_up(recipe, data={"schema": None})
    calls, stop_at = [], None

    def counted(name, function):
        def call(*arguments, **settings):
            calls.append(name)
            if len(calls) == stop_at:
                raise KeyboardInterrupt
            return function(*arguments, **settings)

        monkeypatch.setattr(run, name, call)

    for name in ("generate", "train_model", "judge"):
        counted(name, getattr(run, name))
    run.run_recipe(recipe, out=tmp_path / "whole", progress=False)
    whole = list(calls)
    assert whole.count("train_model") == whole.count("judge") == 1
    for stop_at in (2, 7, whole.index("train_model") - 1, whole.index("train_model") + 1, len(whole) - 1, len(whole)):
        calls.clear()
        out = tmp_path / f"stopped_{stop_at}"
        with pytest.raises(KeyboardInterrupt):
            run.run_recipe(recipe, out=out, progress=False)
        assert not (out / "report.json").exists()
        run.run_recipe(recipe, out=out, progress=False)
        assert calls == whole[:stop_at] + whole[stop_at - 1 :]  # what was done is not done again
        assert left_by(out) == left_by(tmp_path / "whole")


def test_unfinished_work_of_another_run_is_refused_with_what_differs(recipe, tmp_path, known_answers, monkeypatch):
    known_answers(lambda system, part, number: True)
    monkeypatch.setattr(run, "train_model", stop)
    set_up(recipe, data={"schema": None})
    out = tmp_path / "out"
    with pytest.raises(ModelError, match="stop here"):
        run.run_recipe(recipe, out=out, progress=False)
    set_up(recipe, training={"r": 8})
    write_rows(tmp_path / "hard.jsonl", make_rows("hard", 2))
    (tmp_path / "model" / "model.safetensors").write_text("{ }")
    differs = r"recipe\.training\.r was 4, is 8; data\.data\.slices\.hard has changed; model has changed"
    with pytest.raises(RecipeError, match=differs):
        run.run_recipe(recipe, out=out, progress=False)
    kept_before = sorted(out.rglob("*.jsonl"))
    assert kept_before
    with pytest.raises(ModelError, match="stop here"):
        run.run_recipe(recipe, out=out, force=True, progress=False)
    assert len(list((out / "old").rglob("*.jsonl"))) == len(kept_before)


def test_a_disk_that_is_too_small_is_said_before_anything_takes_time(recipe, tmp_path, monkeypatch):
    model = random_model(load_tokenizer())
    monkeypatch.setattr(run, "load_model", lambda recipe: (model, None))
    monkeypatch.setattr(run, "check_lengths_and_masks", lambda *arguments: None)
    monkeypatch.setattr(data_module.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2**20))
    with pytest.raises(DataError, match=r"take about 0\.1 GiB, and .* has 0\.0 GiB free: make room"):
        run.run_recipe(recipe, out=tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_what_a_training_writes_is_counted_from_its_layers(recipe):
    """q_proj and v_proj of two layers: 64 in, 64 and 32 out, r 4; 4 bytes each, and 7 of them for one training."""
    model, training = random_model(load_tokenizer()), load_recipe(recipe).training
    sizes = {(m.in_features, m.out_features) for n, m in model.named_modules() if n.endswith(("q_proj", "v_proj"))}
    numbers = sum(4 * sum(size) for size in sizes) * 2 * (1 if len(sizes) == 2 else 2)
    assert bytes_to_save(training, model, 1) == 28 * numbers
    full = training.model_copy(update={"method": "full"})
    assert bytes_to_save(full, model, 2) == 44 * model.num_parameters()


def test_half_a_checkpoint_is_passed_over(tmp_path):
    assert last_checkpoint(tmp_path) is None
    for step in (9, 10, 11):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (9, 10):
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    assert last_checkpoint(tmp_path).name == "checkpoint-10"
    (tmp_path / "checkpoint-10" / "trainer_state.json").write_text('{"step')
    assert last_checkpoint(tmp_path).name == "checkpoint-9"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-9"]


def test_machine_line_names_the_gpu_or_the_cpu(monkeypatch):
    monkeypatch.setattr(run.hardware, "gpu_here", lambda: (None, None))
    monkeypatch.setattr(run.hardware, "cpu_name", lambda: "Example 1")
    monkeypatch.setattr(run.hardware, "usable_cores", lambda: 4)
    assert run.machine_line() == "Example 1, 4 cores, no GPU"
    monkeypatch.setattr(run.hardware, "gpu_here", lambda: ("Example GPU", 15.0))
    assert run.machine_line() == "Example GPU"


@pytest.mark.slow
def test_a_template_with_a_new_line_after_the_end_token_is_trained_on(recipe, tmp_path):
    """TRL adds an end token to a text that does not end with one, which the check of the masks would refuse."""
    save_model(tmp_path / "model", CHATML)
    set_up(recipe, prompts=None, data={"schema": None, "slices": None}, evaluation={"probe": None})
    assert ftlab_run(recipe, tmp_path / "out")["training"]["steps"] == 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_four_lines_are_enough_for_labels_and_texts(recipe, tmp_path, kind):
    answer_of, systems, metric = KINDS[kind]
    save_model(tmp_path / "model", load_tokenizer().chat_template)
    another_kind(tmp_path, answer_of)
    files = "{train: train.jsonl, validation: validation.jsonl, test: test.jsonl}"
    recipe.write_text(f"name: mine\nmodel: {tmp_path / 'model'}\ndata: {files}\nevaluation: {{max_new_tokens: 8}}\n")
    report = ftlab_run(recipe, tmp_path / "out")
    assert (report["answer"], report["comparison"]["metric"]) == (kind, metric)
    assert set(systems) <= set(report["systems"])
    assert report["training"]["steps"] == 30  # 40 rows, 16 a step, ten times: few, and said
    assert any("40 rows are few" in note for note in report["notes"])


RATE = {"value", "low", "high"}


KILLED = {  # what lies in the folder when the run is killed
    "search": "search/*.json",
    "untrained": "predictions/test.base.json",
    "training": "checkpoints/checkpoint-4/trainer_state.json",
    "trained": "training.json",
    "answers": "predictions/test.fine_tuned.json",
}


def kill_when(recipe, out, pattern) -> None:
    """Start `ftlab run` and kill it (no chance to tidy up) as soon as there is such a file."""
    command = [sys.executable, "-m", "ftlab", "run", str(recipe), "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(command, cwd=recipe.parent, env=environment, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not list(out.glob(pattern)):
            time.sleep(0.01)
        process.kill()
    assert list(out.glob(pattern))
    assert not (out / "report.json").exists()


@pytest.mark.slow
def test_a_run_that_was_killed_in_each_stage_comes_to_the_same_report(recipe, tmp_path):
    save_model(tmp_path / "model", load_tokenizer().chat_template)
    set_up(recipe, training={"num_train_epochs": 4})  # 12 steps, a checkpoint every second one
    ftlab_run(recipe, tmp_path / "whole")
    for pattern in KILLED.values():
        kill_when(recipe, tmp_path / "killed", pattern)  # the same folder, one stage later each time
    ftlab_run(recipe, tmp_path / "killed")
    assert left_by(tmp_path / "killed") == left_by(tmp_path / "whole")


def ftlab_run(recipe, out) -> dict:
    """`ftlab run` in a process of its own (Unsloth patches the libraries that it finds loaded): its report."""
    command = [sys.executable, "-m", "ftlab", "run", str(recipe), "--out", str(out), "--json"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        command, cwd=recipe.parent, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode in (0, 1), done.stderr[-3000:]  # 1: a verdict other than "ship"
    assert (out / "report.json").exists(), done.stderr[-3000:]
    report = json.loads((out / "report.json").read_text())
    assert done.returncode == (0 if report["gate"]["verdict"] == "ship" else 1)
    assert json.loads(done.stdout) == report  # with --json, nothing else stands there
    return report


def test_what_a_task_does_not_allow_is_said_and_left_out():
    said = []

    def refuse(reason):
        raise DataError(reason)

    assert run.or_say(said.append, "no linear classifier", refuse, "free text") is None
    assert said == ["no linear classifier: free text"]
    assert run.or_say(said.append, "none", len, "abc") == 3


def test_a_prompt_is_shown_as_it_is_put_together():
    prompt = with_shots(Prompt("p", "As JSON."), make_rows("train", 6), 2, select="similar")
    scores = {"test": score_records(["{}"], [{"queue": "billing"}])}
    shown = judging.system_result(prompt, [Generations(("{}",), 1, 1, 1.0, 0)], [scores], "field_accuracy", {}).prompt
    assert json.loads(shown.rpartition("\n")[0]) == Prompt("p", "As JSON.").messages("{text}")
    assert shown.endswith("the 2 solved training rows that are most like it.")


@pytest.mark.slow
def test_a_row_that_would_be_cut_stops_the_command_at_once(recipe, tmp_path):
    save_model(tmp_path / "model", load_tokenizer().chat_template)
    set_up(recipe, training={"max_length": 20})
    command = [sys.executable, "-m", "ftlab", "run", str(recipe), "--out", str(tmp_path / "out")]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "train.jsonl:1 " in done.stderr
    assert "searching the best prompt" not in done.stdout
    assert not (tmp_path / "out" / "predictions").exists()


@pytest.mark.slow
def test_a_whole_run_keeps_the_contract_and_repeats_itself(recipe, tmp_path):
    tokenizer = load_tokenizer()
    random_model(tokenizer).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    weights = hashlib.sha256((tmp_path / "model" / "model.safetensors").read_bytes()).hexdigest()
    first, second = (ftlab_run(recipe, tmp_path / name) for name in ("first", "second"))

    assert first["task"] == "put tickets into queues"
    assert first["n"] == 8
    assert list(first["systems"]) == ["linear", "base", "zero_shot", "few_shot", "constrained", "fine_tuned"]
    for name, system in first["systems"].items():
        for metric in ("field_accuracy", "exact_match", "valid_json"):
            assert RATE <= set(system[metric])
            assert 0 <= system[metric]["low"] <= system[metric]["value"] <= system[metric]["high"] <= 1
        assert (system["tokens_per_call"] > 0) == (name != "linear")
        assert system["seconds_per_call"] > 0
        assert set(system["slices"]) == (set() if name == "base" else {"hard"})
    wanted = {"baseline", "candidate", "delta", "low", "high", "p_value", "disagreement", "smallest_detectable_gain"}
    assert wanted <= set(first["comparison"])
    assert all(first["systems"][name]["valid_json"]["value"] == 1 for name in ("linear", "constrained"))
    best = first["prompt_search"][0]
    assert first["comparison"]["baseline"] == best["kind"]
    assert best["field_accuracy"]["value"] == max(row["field_accuracy"]["value"] for row in first["prompt_search"])
    assert first["rivals"]["linear"]["a"] == first["systems"]["linear"]["field_accuracy"]["value"]
    assert "Against the simpler linear" in first["gate"]["reasons"][1]
    assert first["comparison"]["candidate"] == "fine_tuned"
    assert {"bars", "verdict", "reasons"} <= set(first["gate"])
    assert first["gate"]["verdict"] in ("ship", "do not ship", "not enough data")
    assert first["gate"]["bars"]["min_gain"] == 0.05
    assert len(first["recipe_sha256"]) == len(first["data_sha256"]) == 64
    assert "torch" in first["versions"]

    training = first["training"]
    assert training["steps"] == 3  # 12 rows, 4 a step, once
    assert [row["step"] for row in training["log"] if "loss" in row] == [1, 2, 3]
    assert 0 < training["trainable_parameters"] < 20_000
    assert len(first["prompt_search"]) == 2 * (2 + 2 * 3 * 2)  # zero-shot and few-shot, each once more held to values
    tokens = {name: system["tokens_per_call"] for name, system in first["systems"].items()}
    assert tokens["few_shot"] > tokens["zero_shot"]

    files = sorted(path.name for path in (tmp_path / "first" / "predictions").glob("*.jsonl"))
    assert files == [
        "hard.constrained.jsonl",
        "hard.few_shot.jsonl",
        "hard.fine_tuned.jsonl",
        "hard.linear.jsonl",
        "hard.zero_shot.jsonl",
        "probe.base.jsonl",
        "probe.fine_tuned.jsonl",
        "test.base.jsonl",
        "test.constrained.jsonl",
        "test.few_shot.jsonl",
        "test.fine_tuned.jsonl",
        "test.linear.jsonl",
        "test.zero_shot.jsonl",
    ]
    for name in files:
        texts = [(tmp_path / run_name / "predictions" / name).read_text() for run_name in ("first", "second")]
        assert texts[0] == texts[1], name
    predictions = [(tmp_path / "first" / "predictions" / f"test.{name}.jsonl") for name in ("base", "fine_tuned")]
    assert predictions[0].read_text() != predictions[1].read_text()  # three steps at 1e-2 were not for nothing
    assert first["recipe_sha256"] == second["recipe_sha256"]
    assert [row.get("loss") for row in training["log"]] == [row.get("loss") for row in second["training"]["log"]]

    assert (tmp_path / "first" / "adapter" / "adapter_model.safetensors").exists()
    assert (tmp_path / "first" / "report.html").read_text().startswith("<!doctype html>")
    resolved = load_recipe(tmp_path / "first" / "recipe.yaml")
    assert resolved.sha256 == load_recipe(recipe).sha256
    assert resolved.sha256 == first["recipe_sha256"]
    assert (first["answer"], first["seeds"]) == ("record", [3])
    assert hashlib.sha256((tmp_path / "model" / "model.safetensors").read_bytes()).hexdigest() == weights


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_groups_that_are_all_right_or_all_wrong_leave_doubt(value):
    found = score_interval(np.full(40, value), ["a", "b", "c", "d"] * 10)
    assert (found.value, found.n) == (value, 40)
    assert found.high - found.low > 0.4  # four groups tell little
