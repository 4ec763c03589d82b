"""What a trainer needs besides the data: the recipe reaches both YAML files, and each trainer knows every key."""

import json

import pytest
import yaml
from test_data_export import ANSWER, PAIR, TRAIN, USER, chat, pairs_of, rows_of

from ftlab import models
from ftlab.data.export import export
from ftlab.data.schema import check_chat
from ftlab.data.trainers import SETTINGS
from ftlab.errors import DataError


@pytest.fixture(scope="module")
def tickets():
    return check_chat(TRAIN).placed[:250]


@pytest.fixture(scope="module")
def nano():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(models.resolve("nano"))


# --- the settings


def test_the_recipe_reaches_both_trainers(tmp_path, tickets):
    from ftlab.training.recipe import load_recipe

    recipe = load_recipe(models.REPOSITORY / "recipes" / "support_triage.yaml")
    told = recipe.training.model_dump(exclude={"train_sampling_strategy"})  # of this trainer, as in `export --recipe`
    given = told | {"base_model": "unsloth/Qwen3-0.6B", "seed": recipe.seed}
    paths = {to: tmp_path / to for to in ("axolotl", "llama_factory")}
    for to, path in paths.items():
        report = export(tickets, to, path, validation=tickets[:5], settings=given)
        assert not any("defaults" in text for text in report.warnings)
        assert any("defaults" in text for text in export(tickets, to, tmp_path / f"{to}2").warnings)
    axolotl, factory = (yaml.safe_load((path / f"{to}.yaml").read_text()) for to, path in paths.items())
    assert axolotl["base_model"] == factory["model_name_or_path"] == "unsloth/Qwen3-0.6B"
    assert axolotl["learning_rate"] == factory["learning_rate"] == recipe.training.learning_rate
    assert axolotl["lora_r"] == factory["lora_rank"] == recipe.training.r
    assert axolotl["sequence_len"] == factory["cutoff_len"] == recipe.training.max_length
    assert axolotl["lora_target_modules"] == list(recipe.training.target_modules)
    assert factory["lora_target"] == ",".join(recipe.training.target_modules)
    assert axolotl["load_in_4bit"] is False
    assert "quantization_bit" not in factory
    steps = -(-250 // recipe.training.per_device_train_batch_size) * recipe.training.num_train_epochs
    assert factory["warmup_steps"] == round(steps * recipe.training.warmup_steps)
    info = json.loads((paths["llama_factory"] / "dataset_info.json").read_text())
    assert {name: entry["file_name"] for name, entry in info.items()} == {
        "train": "train.json", "validation": "validation.json",
    }  # fmt: skip
    assert axolotl["test_datasets"][0]["path"] == "validation.jsonl"


@pytest.mark.parametrize("to", ["axolotl", "llama_factory"])
def test_preferences_and_methods_reach_the_yaml(to, tmp_path):
    for method in ("full", "lora", "qlora"):
        export(rows_of(PAIR, count=3), to, tmp_path / method, settings={"method": method, "r": None, "beta": 0.2})
    read = {
        method: yaml.safe_load((tmp_path / method / f"{to}.yaml").read_text()) for method in ("full", "lora", "qlora")
    }
    key, beta = {"axolotl": ("adapter", "rl_beta"), "llama_factory": ("lora_rank", "pref_beta")}[to]
    assert [key in config for config in read.values()] == [False, True, True]
    assert [config[beta] for config in read.values()] == [0.2] * 3
    four_bit = [config.get("load_in_4bit", False) or config.get("quantization_bit") == 4 for config in read.values()]
    assert four_bit == [False, False, True]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lr": 1}, r"unknown setting\(s\) lr; choose from base_model"),
        ({"method": "dora"}, "must be full, lora or qlora"),
        ({"learning_rate": "2e-4"}, "learning_rate: '2e-4' must be a number"),
        ({"warmup_steps": -1}, "must be a number, 0 or more"),
    ],
)
def test_settings_are_read_strictly(given, message, tmp_path):
    with pytest.raises(DataError, match=message):
        export(rows_of(chat(USER, ANSWER)), "axolotl", tmp_path, settings=given)
    with pytest.raises(DataError, match="settings are for axolotl, llama_factory"):
        export(rows_of(chat(USER, ANSWER)), "trl", tmp_path, settings={"r": 8})


def test_a_row_over_the_trainers_own_length_is_found(tmp_path, nano):
    rows = rows_of(chat(USER | {"content": "where is it " * 50}, ANSWER), chat(USER, ANSWER))
    report = export(rows, "axolotl", tmp_path, tokenizer=nano, settings={"max_length": 64})
    assert [(finding.code, finding.line) for finding in report.findings] == [("too_many_tokens", 1)]


# --- the trainers' own readers of a config


@pytest.mark.parametrize("kind", ["chat", "preference"])
@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_axolotl_accepts_the_config(kind, method, tmp_path, tickets):
    config = pytest.importorskip("axolotl.utils.schemas.config", reason="needs Axolotl 0.19, which pins other versions")
    rows = tickets if kind == "chat" else pairs_of(tickets)
    export(rows, "axolotl", tmp_path, validation=rows[:5], settings={"method": method})
    written = yaml.safe_load((tmp_path / "axolotl.yaml").read_text())
    assert set(written) <= set(config.AxolotlInputConfig.model_fields)  # it ignores unknown keys
    read = config.AxolotlInputConfig.model_validate(written).model_dump(exclude_unset=True)
    fields = {key for key in config.AxolotlInputConfig.model_fields if key in written} - {"datasets", "test_datasets"}
    assert {key: read[key] for key in fields} == {key: written[key] for key in fields}
    assert [item["path"] for item in read["datasets"] + read["test_datasets"]] == ["train.jsonl", "validation.jsonl"]


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_llama_factory_knows_every_key(method, tmp_path, tickets, monkeypatch):
    monkeypatch.setenv("DISABLE_VERSION_CHECK", "1")
    needs = "needs LLaMA-Factory 0.9.5, which pins other versions"
    arguments = pytest.importorskip("llamafactory.hparams", reason=needs, exc_type=ImportError)
    from transformers import HfArgumentParser

    kinds = ("ModelArguments", "DataArguments", "TrainingArguments", "FinetuningArguments", "GeneratingArguments")
    for rows in (tickets, pairs_of(tickets)):
        export(rows, "llama_factory", tmp_path, validation=rows[:5], settings={"method": method}, force=True)
        config = yaml.safe_load((tmp_path / "llama_factory.yaml").read_text())
        config |= {"use_cpu": True, "output_dir": str(tmp_path / "run")}
        model, data, training, tuning, _ = HfArgumentParser(
            [getattr(arguments, kind) for kind in kinds]
        ).parse_dict(config)  # raises for a key that it does not know
        assert (data.dataset, data.eval_dataset) == (["train"], ["validation"])
        assert tuning.finetuning_type == ("full" if method == "full" else "lora")
        assert model.quantization_bit == (4 if method == "qlora" else None)
        assert training.learning_rate == SETTINGS["learning_rate"]
