"""From a merged model to the formats of other servers: an Ollama Modelfile, and GGUF by llama.cpp's own converter.

Merging and saving are two calls of PEFT and stand in notebook 12. Nothing here downloads or builds a tool: where one is
missing, the message has the commands.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ftlab.errors import DataError, ModelError
from ftlab.serving.sides import EVALUATED, rendered

CONVERTER = "convert_hf_to_gguf.py"
GET_IT = "git clone --depth 1 https://github.com/ggml-org/llama.cpp; export LLAMA_CPP=$PWD/llama.cpp"
HOLE = "\ue000"


def to_gguf(folder: str | Path, out: str | Path, outtype: str = "f16", llama_cpp: str | Path | None = None) -> Path:
    """Convert a merged model's folder to one GGUF file (f32, f16, bf16 or q8_0) with llama.cpp's converter.

    `llama_cpp` is llama.cpp's folder (default: the environment variable LLAMA_CPP). ModelError with the commands where
    it is missing, and with the converter's own words where it does not know the model.
    """
    out, place = Path(out), llama_cpp or os.environ.get("LLAMA_CPP", "llama.cpp")
    script = Path(place) / CONVERTER
    command = [sys.executable, str(script), str(folder), "--outfile", str(out), "--outtype", outtype]
    if not script.is_file():
        raise ModelError(
            f"{script} is not there. It comes with llama.cpp: {GET_IT}; then: python {' '.join(command[1:])}"
        )
    if out.exists():
        raise DataError(f"{out} exists already: choose another name, or delete it")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode or not out.exists():
        out.unlink(missing_ok=True)
        last = " ".join(done.stderr.strip().splitlines()[-3:])
        raise ModelError(f"{folder}: the converter ended with {done.returncode}: {last[-600:]}")
    return out


def modelfile(
    tokenizer, weights: str, chats: Sequence[Sequence[dict]], max_new_tokens: int = 96, length: int = 2048
) -> str:
    """An Ollama Modelfile for a GGUF file: template, stop token and greedy settings as the model was judged with.

    Ollama reads no Jinja; its templates are Go's. So the template is worked out from what the tokenizer writes, turn by
    turn, and proved on the `chats`, byte for byte. DataError where a template cannot be written so.
    """
    parts, opening = _turns(tokenizer)
    for number, chat in enumerate(chats):
        wanted = rendered(tokenizer, chat, **EVALUATED)
        text = "".join(turn["content"].join(parts[turn["role"]]) for turn in chat) + opening
        if text != wanted:
            raise DataError(
                f"chat {number}: turn by turn the template would write {text[:80]!r}, but the tokenizer writes "
                f"{wanted[:80]!r}. Send the system turn with each chat, or write TEMPLATE by hand"
            )
    cases = [f'eq .Role "{role}" }}}}{"{{ .Content }}".join(part)}' for role, part in parts.items()]
    turns = f"{{{{ if {'{{ else if '.join(cases)}{{{{ end }}}}"
    settings = {"stop": f'"{tokenizer.eos_token}"', "temperature": 0, "repeat_penalty": 1, "num_ctx": length,
                "num_predict": max_new_tokens}  # fmt: skip
    lines = [f"FROM {weights}", f'TEMPLATE """{{{{ range .Messages }}}}{turns}{{{{ end }}}}{opening}"""']
    return "\n".join([*lines, *(f"PARAMETER {name} {value}" for name, value in settings.items())]) + "\n"


def _turns(tokenizer) -> tuple[dict[str, list[str]], str]:
    """What the template writes before and after a turn of each role, and at the end, where the answer begins."""
    chat, written, parts = [], "", {}
    for role in ("system", "user", "assistant"):
        chat.append({"role": role, "content": f"{HOLE}{role}{HOLE}"})
        text = tokenizer.apply_chat_template(chat, tokenize=False)
        parts[role] = text.removeprefix(written).split(chat[-1]["content"])
        if not text.startswith(written) or len(parts[role]) != 2:
            raise DataError(f"the template does not write a {role} turn after the others: write TEMPLATE by hand")
        written = text
    asked = tokenizer.apply_chat_template(chat[:2], tokenize=False, add_generation_prompt=True)
    return parts, asked.removeprefix(tokenizer.apply_chat_template(chat[:2], tokenize=False))
