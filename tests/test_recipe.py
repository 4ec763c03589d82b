"""Recipes: the bundled one, every kind of mistake with its line and remedy, and what the hashes see."""

import json
import textwrap
import typing

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ftlab.data.trainers import SETTINGS
from ftlab.errors import RecipeError
from ftlab.evaluation.gate import Bars
from ftlab.models import REPOSITORY
from ftlab.training import recipe as module
from ftlab.training.data import read_data
from ftlab.training.recipe import Recipe, load_recipe, settled

TEXT = """\
name: small
task: try it
model: nano
seed: 1
data:
  train: train.jsonl
  validation: validation.jsonl
  test: test.jsonl
  slices:
    hard: hard.jsonl
training:
  method: lora
  r: 16
  lora_alpha: 32
  lora_dropout: 0
  target_modules: [q_proj, v_proj]
  learning_rate: 4e-3
  num_train_epochs: 3
  per_device_train_batch_size: 16
  gradient_accumulation_steps: 1
  warmup_steps: 0.05
  weight_decay: 0.01
  lr_scheduler_type: cosine
  max_length: 512
evaluation:
  max_new_tokens: 96
  batch_size: 50
bars:
  min_gain: 0.05
  max_probe_loss: 0.02
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """A function that writes a recipe beside its data files, and returns its path; the folder is elsewhere."""
    for name in ("train", "validation", "test", "hard"):
        (tmp_path / f"{name}.jsonl").write_text(f"{name}\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    def write(text=TEXT):
        path = tmp_path / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def change(old: str, new: str) -> str:
    assert TEXT.count(old) == 1
    return TEXT.replace(old, new)


def test_bundled_recipe_is_what_the_course_trains(monkeypatch, tmp_path):
    path = REPOSITORY / "recipes" / "support_triage.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    names = [*content["data"]["slices"].values(), content["prompts"], content["evaluation"]["probe"]]
    missing = [name for name in names if not (REPOSITORY / name).exists()]
    assert not missing
    monkeypatch.chdir(tmp_path)  # files are found in the repository from anywhere
    recipe = load_recipe(path)
    assert recipe.model == "nano"
    assert recipe.training.learning_rate == 0.004
    assert len(recipe.training.target_modules) == 7
    assert recipe.bars == Bars(min_gain=0.05, max_probe_loss=0.02)
    assert set(recipe.data.slices) == {"hard", "other_shop"}
    assert all(file.is_file() for file in recipe.files.values())


def test_values_have_their_types(write, tmp_path):
    recipe = load_recipe(write())
    assert isinstance(recipe, Recipe)
    assert recipe.data.train == tmp_path / "train.jsonl"
    assert recipe.data.slices == {"hard": tmp_path / "hard.jsonl"}
    assert recipe.data.schema is recipe.data.train_rows is recipe.prompts is recipe.evaluation.probe is None
    assert recipe.training.learning_rate == 0.004  # to PyYAML, 4e-3 is a text
    assert isinstance(recipe.training.num_train_epochs, float)
    assert recipe.training.target_modules == ("q_proj", "v_proj")
    assert recipe.bars == Bars()
    text = repr(recipe)
    assert all(part in text for part in ("name: small", "nano", "learning_rate: 0.004", "- q_proj", "hard: hard.jsonl"))


@pytest.mark.parametrize(
    ("text", "value"),
    [("4e-3", 0.004), ("4.0e-3", 0.004), ("4E-03", 0.004), (".4e-2", 0.004), ("'4e-3'", 0.004), ("1", 1.0)],
)
def test_exponents_are_numbers(write, text, value):
    assert load_recipe(write(change("4e-3", text))).training.learning_rate == value


def test_whole_numbers_may_be_written_with_an_exponent(write):
    length = load_recipe(write(change("max_length: 512", "max_length: 1e3"))).training.max_length
    assert length == 1000
    assert isinstance(length, int)


MISTAKES = {
    "unknown key": ("  learning_rate:", "  learnig_rate:", 17, "learnig_rate: is unknown", "learning_rate?"),
    "missing key": ("model: nano\n", "", 1, "model: is missing", "hub id"),
    "missing file": ("  test: test.jsonl\n", "", 5, "data.test: is missing", "the path of the test rows"),
    "wrong section": ("seed: 1\n", "seed: 1\nlearning_rate: 1\n", 5, "is unknown", "put it under training:"),
    "top-level key below": ("  hard: hard.jsonl\n", "  hard: hard.jsonl\n  seed: 1\n", 11, "seed", "top level"),
    "text for a number": ("4e-3", "fast", 17, 'is "fast"', "above 0"),
    "true for a number": ("seed: 1", "seed: yes", 4, "seed: is true", "whole number"),
    "number for a text": ("model: nano", "model: 4", 3, "model: is 4", "hub id"),
    "fraction for a count": ("max_length: 512", "max_length: 51.2", 24, "is 51.2", "whole number"),
    "too large": ("4e-3", "4", 17, "learning_rate: is 4", "at most 1"),
    "not a number": ("4e-3", ".nan", 17, "learning_rate: is", "above 0"),
    "infinite": ("weight_decay: 0.01", "weight_decay: .inf", 22, "weight_decay", "0 to 1"),
    "huge": ("weight_decay: 0.01", f"weight_decay: {10**400}", 22, "weight_decay", "0 to 1"),
    "empty": ("model: nano", "model:", 3, "model: is empty", "hub id"),
    "one of a few": ("cosine", "cosin", 23, 'is "cosin"', "did you mean cosine?"),
    "unknown method": ("method: lora", "method: dora", 12, "training.method", "lora, qlora, full"),
    "layer twice": ("[q_proj, v_proj]", "[q_proj, q_proj]", 16, "target_modules", "different"),
    "layers as one text": ("[q_proj, v_proj]", "q_proj", 16, 'is "q_proj"', "all-linear"),
    "no layers": ("[q_proj, v_proj]", "[]", 16, "target_modules", "a list"),
    "part of a step": ("warmup_steps: 0.05", "warmup_steps: 1.5", 21, "is 1.5", "below 1"),
    "points for a fraction": ("min_gain: 0.05", "min_gain: 5", 29, "bars.min_gain: is 5", "five points"),
    "unknown metric": ("min_gain: 0.05", "min_gain: 0.05\n  metric: acuracy", 30, "metric", "exact_match"),
    "rank of a full run": ("method: lora", "method: full", 13, "training.r: has no effect", "delete it"),
    "no such file": ("test: test.jsonl", "test: tset.jsonl", 8, "tset.jsonl does not exist", "looked in"),
    "folder": ("test: test.jsonl", "test: elsewhere", 8, "elsewhere is a folder", "one file"),
    "trained on the test": ("hard: hard.jsonl", "hard: ./train.jsonl", 10, "same file as data.train", "other"),
    "slice named like a part": ("hard: hard.jsonl", "probe: hard.jsonl", 10, "probe: no name", "probe are taken"),
    "slice with a capital": ("hard: hard", "Test: hard", 10, "data.slices.Test: no name", "small letters"),
    "slice with a blank": ("hard: hard", "very hard: hard", 10, "data.slices.very hard: no name", "small letters"),
    "slice without a file": ("hard: hard.jsonl", "hard: 3", 10, "data.slices.hard: is 3", "`name: path`"),
    "seed and seeds": ("seed: 1", "seed: 1\nseeds: [1, 2]", 5, "seeds: and seed both stand there", "keep one"),
    "a seed twice": ("seed: 1", "seeds: [1, 1]", 4, "seeds: names a seed twice", "different"),
    "no seeds": ("seed: 1", "seeds: []", 4, "seeds: is []", "a list of different whole numbers"),
    "one seed as seeds": ("seed: 1", "seeds: 3", 4, "seeds: is 3", "a list of different whole numbers"),
    "part of no group": ("seed: 1", "group_part: a+", 4, "group_part: has no effect without group", "name the key"),
    "broken part": ("seed: 1", "group: a\ngroup_part: (", 5, "is no regular expression", "correct it"),
    "answers of no kind": ("seed: 1", "answer: json", 4, 'answer: is "json"', "one of record, label, labels, text"),
    "key twice": ("seed: 1\n", "seed: 1\nseed: 2\n", 5, "seed: stands there twice", "delete one"),
    "name as a path": ("name: small", "name: ../small", 1, 'name: is "../small"', "folder"),
    "section as a number": (
        "evaluation:\n  max_new_tokens: 96\n  batch_size: 50\n",
        "evaluation: 3\n",
        25,
        "evaluation: is 3",
        "batch_size",
    ),
    "tab": ("  r: 16", "\tr: 16", 13, "not YAML", "spaces"),
    "tag": ("seed: 1", "seed: !!python/object:os.system x", 4, "not YAML", "write `key: value`"),
}


@pytest.mark.parametrize(("old", "new", "line", "what", "remedy"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_named_with_its_line_and_remedy(write, old, new, line, what, remedy):
    path = write(change(old, new))
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    lines = str(caught.value).splitlines()
    assert [f for f in lines if f.startswith(f"{path}:{line}: ") and what in f and remedy in f], lines
    assert len(lines) <= (4 if "full" in new else 2)  # four keys of the adapter; unknown and missing


def test_all_mistakes_come_in_one_error_in_the_order_of_the_file(write):
    text = change("seed: 1", "seed: -1").replace("4e-3", "0").replace("batch_size: 50", "batch_size: 0")
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(text))
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "seed",
        "training.learning_rate",
        "evaluation.batch_size",
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n", "just words\n", "- a\n- b\n", "a: &a [*a]\n", "d: 2026-13-45\n"])
def test_what_is_no_recipe_is_refused(write, text):
    with pytest.raises(RecipeError, match=r"recipe\.yaml"):
        load_recipe(write(text))


def test_unreadable_places_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="does not exist: check the path"):
        load_recipe(tmp_path / "none.yaml")
    with pytest.raises(RecipeError, match="is a folder"):
        load_recipe(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(RecipeError, match="byte 9 is not UTF-8"):
        load_recipe(tmp_path / "latin.yaml")


def test_current_folder_comes_before_the_recipe_s(write, tmp_path):
    path, here = write(), tmp_path / "elsewhere"
    assert load_recipe(path).data.train == tmp_path / "train.jsonl"
    (here / "train.jsonl").write_text("nearer\n")
    assert load_recipe(path).data.train == here / "train.jsonl"


def test_full_training_needs_no_adapter(write):
    adapter = textwrap.indent("r: 16\nlora_alpha: 32\nlora_dropout: 0\ntarget_modules: [q_proj, v_proj]\n", "  ")
    recipe = load_recipe(write(change(adapter, "").replace("method: lora", "method: full")))
    assert recipe.training.r is recipe.training.target_modules is None
    assert "  r:" not in repr(recipe)


def test_sha256_sees_settings_and_not_layout(write):
    first = load_recipe(write())
    same = load_recipe(write("# a comment\n" + change("4e-3", "0.004").replace("seed: 1", "seed:   1  # once")))
    assert same.sha256 == first.sha256
    for old, new in [("4e-3", "5e-3"), ("seed: 1", "seed: 2"), ("hard: hard", "harder: hard")]:
        assert load_recipe(write(change(old, new))).sha256 != first.sha256
    assert first.model_copy(update={"seed": 2}).sha256 != first.sha256


def test_data_sha256_sees_bytes_and_not_settings(write, tmp_path):
    first = load_recipe(write())
    before = first.data_sha256
    assert load_recipe(write(change("seed: 1", "seed: 2"))).data_sha256 == before
    (tmp_path / "hard.jsonl").write_text("hard\r\n")
    after = first.data_sha256
    assert after != before
    (tmp_path / "hard.jsonl").write_text("test\n")
    (tmp_path / "test.jsonl").write_text("hard\n")  # the same bytes, exchanged
    assert first.data_sha256 not in (before, after)


def test_schedulers_are_those_of_transformers():
    from transformers import SchedulerType

    assert set(typing.get_args(module.Scheduler)) <= {each.value for each in SchedulerType}


LEAST = "name: my-tickets\nmodel: {}\ndata:\n  train: train.jsonl\n  validation: validation.jsonl\n  test: test.jsonl\n"


@pytest.mark.parametrize(
    ("model", "more", "rate"),
    [("nano", "", 4e-3), ("smol", "", 2e-3), ("smol", "training: {method: full}\n", 2e-5),
     ("unsloth/Qwen3-4B-Instruct-2507", "", 2e-4), ("some/m", "training: {method: qlora}\n", 2e-4),
     ("some/model", "training: {method: full}\n", 2e-5), ("some/model", "training: {learning_rate: 1e-5}\n", 1e-5)],
)  # fmt: skip
def test_name_model_and_data_are_enough(write, model, more, rate):
    recipe = load_recipe(write(LEAST.format(model) + more))
    assert recipe.training.learning_rate == rate
    assert (recipe.task, recipe.answer, recipe.bars) == ("my-tickets", None, Bars())
    full = recipe.training.method == "full"
    assert (recipe.training.r is None) == (recipe.training.target_modules is None) == full
    same = load_recipe(write(LEAST.format(model) + more + "bars: {min_gain: 0.05}\nseed: 3407\n"))
    assert same.sha256 == recipe.sha256


@pytest.mark.parametrize("text", [TEXT, LEAST.format("nano"), LEAST.format("x") + "training: {method: full}\n"])
def test_the_resolved_recipe_is_written_out_and_is_the_same_recipe(write, tmp_path, text):
    recipe = load_recipe(write(text))
    path = tmp_path / "elsewhere" / "resolved.yaml"
    path.write_text(recipe.to_yaml(), encoding="utf-8")
    content = yaml.safe_load(recipe.to_yaml())
    assert {"learning_rate", "num_train_epochs", "max_length"} <= set(content["training"])
    assert content["data"]["train"] == str(tmp_path / "train.jsonl")
    assert content["bars"] == Bars().model_dump()
    again = load_recipe(path)
    assert again == recipe
    assert again.sha256 == recipe.sha256


@pytest.mark.parametrize(("name", "kind"), [("team", "label"), ("voice", "text")])
def test_the_recipes_of_four_lines_are_a_task_of_labels_and_one_of_texts(name, kind):
    path = REPOSITORY / "recipes" / f"{name}.yaml"
    recipe = load_recipe(path)
    assert len(path.read_text().splitlines()) == 4
    assert read_data(recipe).kind == kind


def test_the_hash_of_a_recipe_does_not_change_with_the_code():
    """Recorded reports are compared with it."""
    report = json.loads((REPOSITORY / "data/recorded/triage/report.json").read_text())
    assert load_recipe(REPOSITORY / "recipes" / "support_triage_smol.yaml").sha256 == report["recipe_sha256"]


@pytest.mark.parametrize(
    "same", ["answer: record", "seeds: [3407]", "training: {train_sampling_strategy: random}", "group:", "seeds:"]
)
def test_a_later_key_that_changes_nothing_leaves_the_hash(write, same):
    plain = load_recipe(write(LEAST.format("nano"))).sha256
    assert load_recipe(write(LEAST.format("nano") + same)).sha256 == plain
    for other in ("answer: label", "seeds: [1, 2]", "group: id", "data.replay_rows: 3"):
        text = LEAST.format("nano")
        text = text.replace("data:\n", "data:\n  replay_rows: 3\n") if "replay" in other else text + other
        assert load_recipe(write(text)).sha256 != plain


def test_seeds_are_written_out_and_read_again(write, tmp_path):
    recipe = load_recipe(write(change("seed: 1", "seeds: [4, 2]")))
    assert (recipe.seed, recipe.all_seeds) == (4, (4, 2))
    path = tmp_path / "elsewhere" / "resolved.yaml"
    path.write_text(recipe.to_yaml(), encoding="utf-8")
    assert load_recipe(path) == recipe
    assert load_recipe(write(change("seed: 1", "seeds: [1]"))) == load_recipe(write())


@pytest.mark.parametrize(
    ("kind", "rows", "epochs", "metric"),
    [("record", 2000, 3, "field_accuracy"), ("label", 337, 5, "exact_match"), ("text", 40, 10, "chrf")],
)
def test_what_was_left_out_follows_from_the_data(write, kind, rows, epochs, metric):
    said = []
    recipe = settled(load_recipe(write(LEAST.format("some/model"))), kind, rows, said.append)
    assert (recipe.answer, recipe.bars.metric, recipe.training.num_train_epochs) == (kind, metric, epochs)
    assert len(said) == 1 + (epochs != 3) + (rows == 40)
    assert any(line.endswith(f"num_train_epochs was left out and is {epochs}.") for line in said) == (epochs != 3)
    assert any("Training is only 30 steps of 16 rows" in line for line in said) == (rows == 40)
    again = settled(recipe, kind, rows)
    assert again == recipe


def test_what_stands_in_the_recipe_is_kept(write):
    text = LEAST.format("some/model") + "training: {num_train_epochs: 1}\nbars: {metric: rouge_l}\nanswer: text\n"
    recipe, said = load_recipe(write(text)), []
    assert settled(recipe, "text", 1600, said.append) == recipe
    assert not said
    assert settled(recipe, "text", 1584, said.append) == recipe
    assert len(said) == 1
    assert "only 99 steps" in said[0]
    with pytest.raises(RecipeError, match="rouge_l, which answers of the kind label lack; write one of exact_match"):
        settled(recipe, "label", 20)


@pytest.mark.parametrize(("strategy", "warned"), [("random", False), ("group_by_length", True)])
def test_batches_of_replay_alone_are_warned_of(write, tmp_path, strategy, warned):
    (tmp_path / "old.jsonl").write_text("{}\n")
    text = LEAST.format("some/model").replace("data:\n", "data:\n  replay: old.jsonl\n")
    recipe, said = load_recipe(write(f"{text}training: {{train_sampling_strategy: {strategy}}}\n")), []
    settled(recipe, "record", 2000, said.append)
    assert any("batches of training rows alone" in line for line in said) == warned


def test_defaults_are_those_of_an_export_for_other_trainers():
    machine_and_data = {"method", "learning_rate", "train_sampling_strategy"}
    ours = module.Training().model_dump(exclude=machine_and_data)
    assert ours == {name: SETTINGS[name] for name in ours}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=4,
)


@settings(deadline=None)
@given(data=st.data())
def test_any_value_anywhere_is_read_or_refused(data, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "any_value"
    folder.mkdir(exist_ok=True)
    for name in ("train", "validation", "test", "hard"):
        (folder / f"{name}.jsonl").touch()
    content = yaml.safe_load(TEXT)
    section = data.draw(st.sampled_from([content, *(v for v in content.values() if isinstance(v, dict))]))
    section[data.draw(st.sampled_from(sorted(section)))] = data.draw(VALUES)
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    try:
        recipe = load_recipe(path)
    except RecipeError as error:
        refusal = str(error)
    else:
        refusal = None
        assert len(recipe.sha256) == 64
    assert refusal is None or refusal.startswith(str(path))
