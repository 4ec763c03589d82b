"""`smol`: found, made once, repaired, and really the model that the tests know by its tokens and answers."""

import re
from pathlib import Path

import pytest

from ftlab import models, smol
from ftlab.errors import ModelError

ROOT = Path(__file__).resolve().parents[1]
needs_smol = pytest.mark.skipif(not smol.is_here(), reason=f"needs the model smol: {smol.INSTALL}")
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"  # what its template writes by itself


@pytest.fixture(scope="module")
def loaded():
    """(model, tokenizer), from the folder that `resolve` gives."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = models.resolve("smol")
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), AutoTokenizer.from_pretrained(folder)


@needs_smol
def test_what_the_file_loses_is_repaired(loaded):
    model, tokenizer = loaded
    assert sum(weight.numel() for weight in model.parameters()) == 134_515_008
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 0)
    assert (model.config.eos_token_id, model.config.pad_token_id, model.generation_config.eos_token_id) == (2, 0, 2)
    assert not hasattr(model.config, "quantization_config")
    assert tokenizer.model_max_length == 8192


@needs_smol
def test_the_template_puts_its_own_system_prompt_in_front(loaded):
    _, tokenizer = loaded
    turns = [{"role": "user", "content": "What is the capital of France?"}]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert text == (f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{turns[0]['content']}<|im_end|>\n"
                    "<|im_start|>assistant\n")  # fmt: skip
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert ids[-12:] == [314, 260, 3575, 282, 4649, 47, 2, 198, 1, 520, 9531, 198]


@needs_smol
@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the capital of France?", "The capital of France is Paris."),
        ("Write one sentence about a dog.",
         "A dog is a loyal and loving companion that brings joy to those who love them."),
    ],
)  # fmt: skip
def test_it_answers_as_a_chat_model(loaded, question, answer):
    from ftlab.evaluation.generation import generate

    model, tokenizer = loaded
    assert generate(model, tokenizer, [[{"role": "user", "content": question}]], max_new_tokens=40).texts == (answer,)


@needs_smol
def test_its_tokenizer_is_there_without_the_weights(loaded, tmp_path, monkeypatch):
    monkeypatch.setenv("FTLAB_HOME", str(tmp_path))
    alone = models.load_tokenizer("smol")
    (made,) = (tmp_path / "models").iterdir()
    assert not models.has_weights(made)
    text = "<|im_start|>user\n„Größe“ 12,5<|im_end|>\n"
    assert alone(text) == loaded[1](text)
    assert (alone.chat_template, alone.model_max_length) == (loaded[1].chat_template, loaded[1].model_max_length)
    assert (alone.eos_token_id, alone.pad_token_id) == (2, 0)


@needs_smol
def test_its_vocabulary_is_one_of_bytes_and_gives_every_text_back(loaded):
    _, tokenizer = loaded
    for text in ("„Größe“ 12,5 ▁ 你好 🦜", " two  spaces ", "1234567\n\tx"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert tokenizer.tokenize("195925") == list("195925")
    assert not tokenizer.backend_tokenizer.model.byte_fallback  # with it llama.cpp's converter takes another vocabulary


def test_where_no_model_is_named_the_real_one_counts_if_it_is_here(monkeypatch):
    monkeypatch.setattr(smol, "gguf_file", lambda: Path("a file"))
    monkeypatch.delenv("FTLAB_SMOL", raising=False)
    assert models.counting_model() == "smol"
    assert models.counting_model("qwen3-4b") == "qwen3-4b"
    monkeypatch.setenv("FTLAB_SMOL", "0")
    assert models.counting_model() == "nano"
    monkeypatch.delenv("FTLAB_SMOL")
    monkeypatch.setattr(smol, "gguf_file", lambda: None)
    assert models.counting_model() == "nano"


def test_where_it_is_missing_a_notebook_goes_on_with_nano_and_says_so_in_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(smol, "gguf_file", lambda: Path("a file"))
    monkeypatch.delenv("FTLAB_SMOL", raising=False)
    assert (models.smol_or_nano(), capsys.readouterr().out) == ("smol", "")
    monkeypatch.setenv("FTLAB_SMOL", "0")
    assert models.smol_or_nano() == "nano"
    switched_off = capsys.readouterr().out
    monkeypatch.delenv("FTLAB_SMOL")
    monkeypatch.setattr(smol, "gguf_file", lambda: None)
    assert models.smol_or_nano() == "nano"
    assert switched_off == capsys.readouterr().out
    assert all(words in switched_off for words in ("nano stands in", "unset FTLAB_SMOL", smol.INSTALL))
    assert len(switched_off.splitlines()) == 1


@pytest.mark.parametrize("source", sorted(ROOT.glob("notebooks/src/*.py")), ids=lambda path: path.stem)
def test_no_notebook_takes_it_for_granted(source):
    """What loads a model takes `smol_or_nano()` or nano, or what the learner writes there."""
    loads = re.findall(r'^\s*[A-Z_]+ = "smol"|(?:resolve|load_tokenizer)\("smol"\)', source.read_text(), re.MULTILINE)
    assert loads == []


@needs_smol
def test_another_process_that_was_faster_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setenv("FTLAB_HOME", str(tmp_path))

    def make(source, out):
        for folder in (out, smol._folder("smol")):
            folder.mkdir(parents=True)
            (folder / "config.json").touch()

    monkeypatch.setattr(smol, "_convert", make)
    assert [path.name for path in smol.folder().parent.iterdir()] == [smol.folder().name]


def test_without_it_the_way_to_get_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("FTLAB_HOME", str(tmp_path))
    monkeypatch.setenv("FTLAB_SMOL", "0")
    with pytest.raises(ModelError, match="unset that variable, or use the bundled model nano"):
        models.resolve("smol")
    monkeypatch.delenv("FTLAB_SMOL")
    monkeypatch.setattr(smol, "PACKAGE", "no-such-package")
    with pytest.raises(ModelError, match="requirements/smol.txt"):
        models.resolve("smol")


def test_another_file_is_not_loaded(tmp_path, monkeypatch):
    monkeypatch.setenv("FTLAB_HOME", str(tmp_path))
    monkeypatch.delenv("FTLAB_SMOL", raising=False)
    other = tmp_path / smol.GGUF
    other.write_bytes(b"GGUF")
    monkeypatch.setattr(smol, "installed_file", lambda *asked: other)
    with pytest.raises(ModelError, match="so it was not loaded"):
        models.resolve("smol")
    assert not (tmp_path / "models").exists()
