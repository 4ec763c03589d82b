"""Cells to be copied: the trainer's agree in all notebooks, except where it says why, and portable ones run alone."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest
import yaml

ROOT = Path(__file__).parents[1]
SOURCES = {path.name.split("_")[0]: path for path in (ROOT / "notebooks" / "src").glob("[0-9]*.py")}
REFERENCE = "00"

ROWS = "how many rows it has, and how long it may take"
FOLDER = "a folder of its own"
VALIDATION = "00 and 06 watch the validation loss; the others draw the training loss, or nothing"
TEXTS = "00 and 06 hold two parts, training and validation, in dictionaries"
FUNCTION = "trains more than once: a function with a seed, a point of the record, or a comparison; nothing is drawn"
EXPLAINED = "06 explains each setting that is worth a thought, and gives names to those that you choose"
TRACKED = "it shows who may keep the curves"
RECIPE = "as in recipes/support_triage.yaml and in 06"

BATCH = {"config.per_device_train_batch_size": "nano is small enough for 16; 00 trains smol"}
WITHOUT_VALIDATION = {
    "trainer.train_dataset": TEXTS,
    "text.texts": TEXTS,
    "proof": TEXTS,
    "trainer.eval_dataset": VALIDATION,
    "config.eval_strategy": VALIDATION,
    "config.eval_steps": VALIDATION,
    "config.per_device_eval_batch_size": VALIDATION,
}
EXEMPT = {
    "06b": "its trainer is that of 06 as a function, for nano alone; 06 is the one to copy",
    "13": "it trains nothing: TrlParser reads an SFTConfig for scripts that others start",
    "18": "the exam gives its training, in the shortest form, for nano alone; it is not to be copied",
}
# notebook -> part.line: why it differs from the reference
ON_PURPOSE = {
    "01": WITHOUT_VALIDATION
    | BATCH
    | {
        "load.max_seq_length": "the lessons are short",
        "config.output_dir": FOLDER,
        "config.num_train_epochs": ROWS,
        "config.logging_steps": ROWS,
    },
    "04b": WITHOUT_VALIDATION
    | {
        "adapter.random_state": FUNCTION,
        "trainer.callbacks": FUNCTION,
        "config.output_dir": FOLDER,
        "config.max_length": "the length that its checks count with",
        "config.max_steps": FUNCTION,
        "config.num_train_epochs": FUNCTION,
        "config.logging_strategy": FUNCTION,
        "config.logging_steps": FUNCTION,
        "config.seed": FUNCTION,
    },
    "06": {
        "load.max_seq_length": EXPLAINED,
        "adapter.r": EXPLAINED,
        "trainer.args": EXPLAINED,
        "config.output_dir": EXPLAINED,
        "config.max_length": EXPLAINED,
        "config.packing": EXPLAINED,
        "config.per_device_train_batch_size": EXPLAINED,
        "config.per_device_eval_batch_size": EXPLAINED,
        "config.gradient_accumulation_steps": EXPLAINED,
        "config.learning_rate": EXPLAINED,
        "config.weight_decay": EXPLAINED,
        "config.optim": EXPLAINED,
        "config.eval_steps": EXPLAINED,
        "config.save_strategy": "it practises resuming from a checkpoint",
        "config.save_steps": "it practises resuming from a checkpoint",
        "config.save_total_limit": "it practises resuming from a checkpoint",
        "config.num_train_epochs": EXPLAINED,
        "config.report_to": TRACKED,
        "config.project": TRACKED,
        "config.run_name": TRACKED,
    },
    "07": WITHOUT_VALIDATION
    | BATCH
    | {
        "trainer.callbacks": FUNCTION,
        "config.output_dir": FOLDER,
        "config.weight_decay": RECIPE,
        "config.optim": RECIPE,
        "config.logging_strategy": FUNCTION,
        "config.logging_steps": FUNCTION,
    },
    "08": WITHOUT_VALIDATION
    | {
        "trainer.callbacks": FUNCTION,
        "config.output_dir": FOLDER,
        "config.max_steps": FUNCTION,
        "config.num_train_epochs": FUNCTION,
        "config.weight_decay": RECIPE,
        "config.optim": RECIPE,
        "config.logging_strategy": FUNCTION,
        "config.logging_steps": FUNCTION,
    },
    "09": WITHOUT_VALIDATION
    | {"config.output_dir": FOLDER, "config.num_train_epochs": ROWS, "config.learning_rate": "its record has it"},
    "16": WITHOUT_VALIDATION
    | BATCH
    | {
        "trainer.callbacks": "it runs in a script too, where nothing is drawn",
        "config.output_dir": FOLDER,
        "config.num_train_epochs": ROWS,
        "config.logging_steps": ROWS,
    },
    "17": WITHOUT_VALIDATION
    | BATCH
    | {
        "trainer.callbacks": FUNCTION,
        "config.output_dir": FOLDER,
        "config.max_steps": FUNCTION,
        "config.num_train_epochs": FUNCTION,
        "config.learning_rate": FUNCTION,
        "config.weight_decay": RECIPE,
        "config.optim": RECIPE,
        "config.logging_strategy": FUNCTION,
        "config.logging_steps": FUNCTION,
    },
}


def block(path: Path) -> dict[str, str]:
    """part.line -> code of the first block of a notebook that trains MODEL, without comments and line breaks."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    nodes = sorted((node for node in nodes if hasattr(node, "lineno")), key=lambda node: (node.lineno, node.col_offset))
    calls = [node for node in nodes if isinstance(node, ast.Call)]

    def first(name: str, beginning: str = "") -> ast.Call:
        return next(call for call in calls if ast.unparse(call.func) == name and beginning in ast.unparse(call))

    def keywords(part: str, call: ast.Call) -> dict[str, str]:
        return {f"{part}.{item.arg}": ast.unparse(item.value) for item in call.keywords if item.arg}

    config = first("SFTConfig")
    trainer = keywords("trainer", first("SFTTrainer"))
    if trainer["trainer.args"] == ast.unparse(config):
        trainer["trainer.args"] = "SFTConfig(...)"
    assigned = {ast.unparse(node.targets[0]): node for node in reversed(nodes) if isinstance(node, ast.Assign)}
    texts = next(node for node in assigned.values() if "apply_chat_template(chat, tokenize" in ast.unparse(node))
    return {
        **{f"hardware.{name}": ast.unparse(assigned[name]) for name in ("(ON_GPU, PRECISION)", "DTYPE")},
        **keywords("load", first("FastLanguageModel.from_pretrained", "resolve(MODEL)")),
        **keywords("adapter", first("FastLanguageModel.get_peft_model", "(model,")),
        "text.texts": ast.unparse(texts),
        **trainer,
        **keywords("config", config),
        "mask": ast.unparse(first("train_on_responses_only")),
        "proof": ast.unparse(first("check_masks", "trainer.train_dataset")),
    }


def differences(one: dict[str, str], other: dict[str, str]) -> dict[str, str]:
    """line -> both versions, where two blocks differ."""
    lines = {key: (one.get(key, "(not there)"), other.get(key, "(not there)")) for key in one | other}
    return {key: f"{a}  |  {b}" for key, (a, b) in lines.items() if a != b}


@pytest.mark.parametrize("number", ON_PURPOSE)
def test_the_trainers_cells_agree_except_where_it_says_why(number):
    found = differences(block(SOURCES[REFERENCE]), block(SOURCES[number]))
    drifted = {key: both for key, both in found.items() if key not in ON_PURPOSE[number]}
    assert not drifted, f"{number} differs from {REFERENCE} without a reason given here: {drifted}"
    assert not set(ON_PURPOSE[number]) - set(found), "these lines agree by now: take their reasons out"


def test_every_notebook_that_trains_is_compared():
    train = {number for number, path in SOURCES.items() if re.search("SFT(Trainer|Config)", path.read_text())}
    assert train == {REFERENCE, *ON_PURPOSE, *EXEMPT}
    assert "SFTTrainer" not in SOURCES["13"].read_text()


@pytest.mark.parametrize("number", [REFERENCE, "06b", *ON_PURPOSE])
def test_no_text_to_train_on_ends_with_white_space(number):
    """After white space TRL adds a second end token; a text that asks for an answer ends as the template ends it."""
    calls = [node for node in ast.walk(ast.parse(SOURCES[number].read_text())) if isinstance(node, ast.Call)]
    texts = [ast.unparse(call) for call in calls if ast.unparse(call.func).endswith(".apply_chat_template")]
    to_train_on = [text for text in texts if "tokenize=False" in text and "add_generation_prompt" not in text]
    stripped = {ast.unparse(call.func.value) for call in calls if ast.unparse(call.func).endswith(").rstrip")}
    assert to_train_on
    assert set(to_train_on) <= stripped


def test_a_line_that_drifts_is_named():
    one = block(SOURCES[REFERENCE])
    assert differences(one, one | {"config.seed": "1"}) == {"config.seed": "3407  |  1"}
    assert differences(one, {key: line for key, line in one.items() if key != "proof"}).keys() == {"proof"}


def test_07_trains_with_the_settings_of_the_recipe_for_one_epoch():
    recipe = yaml.safe_load((ROOT / "recipes" / "support_triage.yaml").read_text())
    code = block(SOURCES["07"])
    cell = {line.split(".")[1]: text for line, text in code.items() if line.startswith(("adapter.", "config."))}
    values = {name: eval(cell[name], {"MODEL": recipe["model"]}) for name in recipe["training"] if name in cell}
    wanted = {name: recipe["training"][name] for name in values} | {"num_train_epochs": 1}
    assert values | {"learning_rate": 0} == wanted | {"learning_rate": 0}
    assert values["learning_rate"] == float(wanted["learning_rate"])  # YAML reads 4e-3 as text
    assert len(values) >= 9


# --- cells that carry the tag `portable` run in an empty folder on somebody else's file


def portable_cells(path: Path) -> list[str]:
    """The cells of a notebook that people copy, in its order."""
    cells = jupytext.read(path, fmt="py:percent").cells
    return [cell.source for cell in cells if "portable" in cell.metadata.get("tags", [])]


PORTABLE = {number: cells for number, path in SOURCES.items() if (cells := portable_cells(path))}
CHOICES = {  # what the first cell of a notebook asks for, for a file with fields that are nobody's
    "16": """
import ftlab
from pathlib import Path
DATA, ASKED, ANSWERED, GROUP, MODEL = "theirs.jsonl", ["frage", "betreff"], "antwort", "kunde", "nano"
INSTRUCTION, OUTPUT, MIN_GAIN = "Name the drawer.", Path("out"), 0.05
"""
}


def not_stated(cells: list[str]) -> set[str]:
    """Packages that are imported, and that no line `# portable: needs ...` up to there has named."""
    stated, missing = set(sys.stdlib_module_names), set()
    for cell in cells:
        stated |= set(re.findall(r"\w+", " ".join(re.findall(r"^# portable: needs (.+)$", cell, re.M))))
        for node in ast.walk(ast.parse(cell)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            missing |= {name.partition(".")[0] for name in names} - stated
    return missing


@pytest.mark.parametrize("number", PORTABLE)
def test_portable_cells_say_what_must_be_installed(number):
    assert not_stated(PORTABLE[number]) == set()
    assert all(cell.startswith("# portable") or "# portable" in PORTABLE[number][0] for cell in PORTABLE[number])


def test_a_package_that_is_not_stated_is_named():
    assert not_stated(["# portable: needs trl\nimport trl, json", "from torch.nn import Linear"]) == {"torch"}


DRAWERS = ("red", "green", "blue")


def a_strangers_rows(count: int = 60) -> list[dict]:
    """Parts, and the drawer of each."""
    return [{"betreff": f"Box {i}", "frage": f"Where does part {i * 7} of kind {DRAWERS[i % 3]} go?", "kunde": i // 2,
             "antwort": DRAWERS[i % 3]} for i in range(count)]  # fmt: skip


def run_cells(folder: Path, lines: list[bytes], *cells: str) -> subprocess.CompletedProcess:
    """The cells as a script in a folder that holds nothing but a file with these lines."""
    (folder / "theirs.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    script = folder / "copied.py"
    script.write_text("\n\n".join(cells))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run([sys.executable, script], cwd=folder, env=environment, capture_output=True, text=True)


def reading(lines: list[bytes], folder: Path, choices: str = "") -> tuple[list[dict], str]:
    """What 16's first portable cell makes of the lines, and what it prints."""
    done = run_cells(folder, lines, CHOICES["16"], choices, PORTABLE["16"][0])
    assert done.returncode == 0, done.stderr
    chats = (folder / "out" / "chats.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in chats], done.stdout


def test_a_row_that_cannot_serve_is_named_by_its_line_and_none_is_read_as_something(tmp_path):
    lines = [json.dumps(row).encode() for row in a_strangers_rows(12)]
    lines[0] = b"\xef\xbb\xbf" + lines[0]  # a byte order mark
    row = a_strangers_rows(1)[0]
    broken = {
        2: row | {"antwort": None}, 3: row | {"antwort": " "}, 4: [1, 2], 5: 7, 6: row | {"kunde": None},
        7: {"frage": "?"}, 8: row | {"frage": ""},
    }  # fmt: skip
    for number, value in broken.items():
        lines[number - 1] = json.dumps(value).encode()
    lines[8] = b'{"frage": "\xff"}'
    lines[9] = json.dumps(row | {"antwort": 0}).encode()
    rows, said = reading(lines, tmp_path)
    assert [row["id"] for row in rows] == [1, 10, 11, 12]
    assert [int(number) for number in re.findall(r"theirs.jsonl:(\d+) left out", said)] == list(range(2, 10))
    assert "theirs.jsonl:2 left out, ValueError: antwort is empty" in said
    assert rows[1]["messages"][-1] == {"role": "assistant", "content": "0"}
    assert [row["group"] for row in rows] == ["0", "0", "5", "5"]


def test_chats_are_read_as_they_are_and_rows_without_a_group_stand_alone(tmp_path):
    chats = [{"messages": [{"role": "user", "content": f"{i}?"}, {"role": "assistant", "content": "yes"}]}
             for i in range(3)]  # fmt: skip
    chats[1]["messages"][-1] = {"role": "assistant", "tool_calls": []}
    choices = 'ASKED, ANSWERED, GROUP = [], "", None'
    rows, said = reading([json.dumps(chat).encode() for chat in chats], tmp_path, choices)
    assert [(row["id"], row["group"], row["messages"]) for row in rows] == [
        (1, "1", chats[0]["messages"]), (3, "3", chats[2]["messages"]),
    ]  # fmt: skip
    assert "theirs.jsonl:2 left out, KeyError: 'content'" in said


def test_where_no_row_can_be_read_the_choices_are_named(tmp_path):
    done = run_cells(tmp_path, [b'{"text": "a"}'], CHOICES["16"], PORTABLE["16"][0])
    assert "theirs.jsonl: no row can be read; are ASKED, ANSWERED and GROUP fields of it?" in done.stderr


@pytest.mark.slow
def test_the_whole_notebook_runs_on_a_strangers_file(tmp_path):
    cells = jupytext.read(SOURCES["16"], fmt="py:percent").cells
    _, *code = (cell.source for cell in cells if cell.cell_type == "code")  # the first one holds the choices
    lines = [json.dumps(row).encode() for row in a_strangers_rows(90)]
    done = run_cells(tmp_path, lines, CHOICES["16"], *code)
    assert done.returncode == 0, done.stderr
    project = tmp_path / "out" / "project_theirs"
    own = json.loads((project / "project.json").read_text())
    assert (own["asked"], own["answered"], own["group"]) == (["frage", "betreff"], "antwort", "kunde")
    report = json.loads((project / "run" / "report.json").read_text())
    assert report["comparison"]["groups"] > 1
    assert "Name the drawer." in (project / "prompts.yaml").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("number", PORTABLE)
def test_portable_cells_run_alone_on_a_strangers_file(number, tmp_path):
    lines = [json.dumps(row).encode() for row in a_strangers_rows()]
    lines[16] = lines[16][:-5]
    done = run_cells(tmp_path, lines, CHOICES[number], *PORTABLE[number])
    assert done.returncode == 0, done.stderr
    assert "theirs.jsonl:17 left out, JSONDecodeError" in done.stdout
    assert "59 rows; the first one" in done.stdout
    right, of = map(int, re.search(r"(\d+) of (\d+) answers are the right one", done.stdout).groups())
    assert of >= 10
    assert right > of / 2, "a hundred steps teach nano to copy a word that stands in the question"
    assert (tmp_path / "out" / "adapter" / "adapter_model.safetensors").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"theirs.jsonl", "copied.py", "out"}
