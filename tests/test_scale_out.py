"""Several processes, the files that start them, and a recipe in the form of other tools."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ftlab import cli
from ftlab.errors import DataError, RecipeError
from ftlab.training.elsewhere import TOOLS, export_recipe
from ftlab.training.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[1]
LAUNCH = ROOT / "recipes/launch"
DATA = {"train": "data/support_triage/train.jsonl", "validation": "data/support_triage/validation.jsonl",
        "test": "data/support_triage/test.jsonl"}  # fmt: skip
MIX = {"train_rows": 60, "replay": "data/replay/general.jsonl", "replay_rows": 30}


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """Writes a recipe and gives its path."""
    monkeypatch.chdir(ROOT)

    def write(data=None, **more):
        content = {"name": "elsewhere", "model": "nano", "data": DATA | (MIX if data is None else data)} | more
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def written(folder: Path, tool: str) -> dict:
    return yaml.safe_load((folder / f"{tool}.yaml").read_text())


# --- the recipe in other tools


@pytest.mark.parametrize("tool", TOOLS)
def test_the_files_hold_the_mix_and_the_settings(tool, recipe, tmp_path):
    training = {"r": 8, "lora_alpha": 16, "learning_rate": 1e-3, "num_train_epochs": 2, "max_length": 300}
    path = recipe(model="unsloth/Qwen3-0.6B", training=training, seed=7)
    report = export_recipe(path, tool, tmp_path / "out")
    assert (report.rows, report.validation_rows) == (90, 300)
    text = report.files[0].read_text()
    replayed = [row["messages"][-1]["content"] for row in lines(ROOT / MIX["replay"])][:30]
    rows = json.loads(text) if tool == "llama_factory" else map(json.loads, text.splitlines())
    answers = [(row.get("completion") or row["messages"])[-1]["content"] for row in rows]
    assert answers[60:] == replayed
    config = written(tmp_path / "out", tool)
    names = {
        "axolotl": ("base_model", "lora_r", "learning_rate", "num_epochs", "sequence_len", "seed"),
        "llama_factory": ("model_name_or_path", "lora_rank", "learning_rate", "num_train_epochs", "cutoff_len", "seed"),
        "trl": ("model_name_or_path", "lora_r", "learning_rate", "num_train_epochs", "max_length", "seed"),
    }[tool]
    assert [config[name] for name in names] == ["unsloth/Qwen3-0.6B", 8, 1e-3, 2, 300, 7]
    assert "&id" not in (tmp_path / "out" / f"{tool}.yaml").read_text()


def test_what_a_file_cannot_carry_is_said(recipe, tmp_path):
    path = recipe(seeds=[1, 2, 3], training={"train_sampling_strategy": "group_by_length"})
    told = " ".join(export_recipe(path, "trl", tmp_path / "out").warnings)
    for part in ("prompts, evaluation and bars", "seed 1", "2 more", "group_by_length is not written", "epochs"):
        assert part in told
    assert not any("defaults" in text for text in told.split(". "))


def test_a_model_that_is_brought_along_becomes_its_folder(recipe, tmp_path):
    export_recipe(recipe(), "axolotl", tmp_path / "out")
    assert (Path(written(tmp_path / "out", "axolotl")["base_model"]) / "config.json").is_file()


def test_a_short_recipe_gets_the_epochs_and_the_rate_of_a_run(recipe, tmp_path):
    path = recipe()
    export_recipe(path, "trl", tmp_path / "out")
    config = written(tmp_path / "out", "trl")
    assert config["learning_rate"] == load_recipe(path).training.learning_rate == 4e-3
    assert config["num_train_epochs"] == 10  # 90 rows are few


def test_other_tools_and_leaks_are_refused_and_nothing_is_written(recipe, tmp_path):
    with pytest.raises(RecipeError, match="exported to axolotl, llama_factory, trl"):
        export_recipe(recipe(), "openai", tmp_path / "out")
    copy = shutil.copy(ROOT / DATA["train"], tmp_path / "copy.jsonl")
    with pytest.raises(DataError, match="copy.jsonl"):
        export_recipe(recipe(data={"test": str(copy)}), "trl", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command(recipe, tmp_path, capsys):
    path, out = recipe(), tmp_path / "out"
    assert cli.main(["export", str(path), "--to", "llama_factory", "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 90
    before = (out / "llama_factory.yaml").read_bytes()
    assert cli.main(["export", str(path), "--to", "llama_factory", "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert cli.main(["export", str(path), "--to", "llama_factory", "--out", str(out), "--force"]) == 0
    assert (out / "llama_factory.yaml").read_bytes() == before
    assert cli.main(["export", str(path), "--to", "trl", "--out", str(out), "--drop"]) == 2
    assert "--drop is for a file of rows" in capsys.readouterr().err


def keys(tool):
    head, *names = (ROOT / f"data/trainers/{tool}_keys.txt").read_text().splitlines()
    assert re.match(r"# keys of a configuration of \w+ [\d.]+, written by tools/trainer_keys\.py", head)
    return set(names)


@pytest.mark.parametrize("tool", ["axolotl", "llama_factory"])
@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_every_key_is_one_that_the_tool_has(tool, method, recipe, tmp_path):
    export_recipe(recipe(training={"method": method}), tool, tmp_path / "out")
    config = written(tmp_path / "out", tool)
    assert set(config) <= keys(tool)
    assert len(config) > 15


@pytest.mark.parametrize(("tool", "package"), [("axolotl", "axolotl"), ("llama_factory", "llamafactory")])
def test_the_list_of_keys_is_that_of_the_tool(tool, package):
    """Where the tool is installed: its own reader is asked in tests/test_data_trainers.py."""
    pytest.importorskip(package, reason=f"{package} pins other versions")
    script = "import runpy, sys; sys.path.insert(0, 'tools'); m = runpy.run_path('tools/trainer_keys.py', run_name='x')"
    code = f"{script}; print(*m['{tool}_keys']())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) >= keys(tool)


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_trls_own_parser_reads_its_file(method, recipe, tmp_path):
    from trl import DatasetMixtureConfig, ModelConfig, ScriptArguments, SFTConfig, TrlParser, get_dataset

    export_recipe(recipe(training={"method": method, "warmup_steps": 0.1}), "trl", tmp_path / "out")
    parser = TrlParser((ScriptArguments, SFTConfig, ModelConfig, DatasetMixtureConfig))
    given = ["--config", str(tmp_path / "out" / "trl.yaml"), "--use_cpu", "true", "--bf16", "false"]
    _, training, model, mixture = parser.parse_args_and_config(given)  # raises for a key that it does not know
    assert (model.use_peft, model.load_in_4bit) == (method != "full", method == "qlora")
    assert (training.warmup_steps, training.completion_only_loss, training.max_length) == (0.1, True, 2048)
    if method != "full":
        assert (model.lora_r, model.lora_target_modules) in ((16, "all-linear"), (16, ["all-linear"]))
    mixture.datasets[0].data_files = str(tmp_path / "out" / "train.jsonl")
    assert get_dataset(mixture)["train"].num_rows == 90


# --- the files that start processes


def test_the_launch_files_are_read_by_their_own_code():
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.utils.deepspeed import HfDeepSpeedConfig

    read = load_config_from_file(str(LAUNCH / "accelerate_fsdp2.yaml"))
    assert (read.distributed_type.value, read.fsdp_config["fsdp_version"], read.num_processes) == ("FSDP", 2, 8)
    assert HfDeepSpeedConfig(LAUNCH / "deepspeed_zero3.json").is_zero3()
    for script in ("nodes.sh", "slurm.sbatch"):
        subprocess.run([shutil.which("bash") or "sh", "-n", str(LAUNCH / script)], check=True)


def test_every_launch_file_starts_the_script_that_is_there():
    text = {path.name: path.read_text() for path in LAUNCH.iterdir() if path.is_file()}
    assert all("nodes.sh" in text[name] for name in ("slurm.sbatch", "skypilot.yaml"))
    assert all("train.py" in text[name] for name in ("nodes.sh", "ray_train.py", "accelerate_fsdp2.yaml"))
    assert "16 // WORKERS" in text["ray_train.py"]  # the rows of a step, as in the other files
    sky = yaml.safe_load(text["skypilot.yaml"])
    assert set(sky) <= {"name", "resources", "num_nodes", "workdir", "envs", "setup", "run"}
    missing = set(re.findall(r"\$\{?(\w+)", text["nodes.sh"])) - {"NODES", "GPUS", "HEAD"}
    assert not missing


def start(command, **variables):
    python = str(Path(sys.executable).parent)
    settings = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": f"{python}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, env=os.environ | settings | variables, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_two_processes_agree_on_a_mean():
    said = start(["torchrun", "--standalone", "--nproc_per_node", "2", str(LAUNCH / "who.py")])
    assert sorted(said.split("\n")[:2]) == [
        "process 0 of 2 had 1; the mean of all is 6", "process 1 of 2 had 11; the mean of all is 6"
    ]  # fmt: skip


@pytest.mark.slow
def test_two_processes_give_the_loss_of_one(tmp_path):
    launch = ["torchrun", "--standalone", "--nproc_per_node", "2"]
    train, out = str(LAUNCH / "train.py"), ["--out", str(tmp_path)]
    start(["python", train, "16x1", "8x2", *out])
    start([*launch, train, "8x1", "8x1:own-mean", *out])
    start([*launch, train, "8x1", *out], UNSLOTH_FSDP2="1")
    one, accumulated, two, own_mean, shared = lines(tmp_path / "losses.jsonl")

    def apart(other):
        return max(abs(a - b) for a, b in zip(one["losses"], other["losses"], strict=True))

    assert len(one["losses"]) == 10
    assert one["losses"][-1] < one["losses"][0] / 3
    assert max(map(apart, (accumulated, two, shared))) < 1e-4
    assert apart(own_mean) > 3e-3
    assert two["processes"] == shared["processes"] == 2
    assert two["numbers_here"] == one["numbers_here"] == 2 * shared["numbers_here"]
    assert two["adapter"] == pytest.approx(one["adapter"], abs=1e-3)
    assert abs(own_mean["adapter"] - one["adapter"]) > 2e-3
    assert (shared["sharded"], shared["adapter"], two["sharded"]) == (True, None, False)
    kept = {path.parents[1].name for path in tmp_path.glob("*/adapter/adapter_model.safetensors")}
    assert kept == {"16x1", "8x2", "8x1", "8x1_own-mean"}


@pytest.mark.slow
def test_a_stopped_training_goes_on_where_it_was(tmp_path):
    train, out = str(LAUNCH / "train.py"), ["--out", str(tmp_path)]
    start(["python", train, "16x1", *out])
    start(["python", train, "16x1", "--steps", "6", "--save-every", "3", *out])
    said = start(["python", train, "16x1", "--resume", *out])
    whole, _, resumed = lines(tmp_path / "losses.jsonl")
    assert resumed["losses"][-4:] == pytest.approx(whole["losses"][-4:], abs=1e-4)
    assert resumed["adapter"] == pytest.approx(whole["adapter"], abs=1e-3)
    assert "process 0 of 1" in said.splitlines()


@pytest.mark.slow
def test_trls_own_script_trains_by_the_exported_file(recipe, tmp_path):
    """With Unsloth, which lets TRL train on a CPU; `trl sft` alone needs Triton there."""
    export_recipe(recipe(), "trl", tmp_path / "out")
    code = (
        "import sys, unsloth\n"
        "from trl.scripts.sft import main, make_parser\n"
        "main(*make_parser().parse_args_and_config(sys.argv[1:], fail_with_unknown_args=False))\n"
    )
    options = "--max_steps 2 --use_cpu true --bf16 false --gradient_checkpointing false --logging_steps 1".split()
    os.chdir(tmp_path / "out")
    start([sys.executable, "-c", code, "--config", "trl.yaml", *options], HF_DATASETS_CACHE=str(tmp_path / "cache"))
    adapter = json.loads((tmp_path / "out" / "output" / "adapter_config.json").read_text())
    assert (adapter["r"], adapter["lora_alpha"]) == (16, 32)


# --- the record of datatrove


def test_datatrove_misses_none_of_our_duplicates():
    record = json.loads((ROOT / "data/recorded/datatrove/results.json").read_text())
    same = record["datatrove"]["same_shingles"]
    assert same["pairs_only_ftlab"] == 0
    assert same["pairs_only_here"] == same["of_these_below_threshold"]
