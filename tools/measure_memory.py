"""Measure memory and speed of QLoRA or LoRA with Unsloth on an architecture with random weights, on this GPU.

    python tools/measure_memory.py llama-3.1-8b qlora --lengths 1024 4096 --out rows.json
    python tools/measure_memory.py llama-3.1-8b qlora --lengths 64 128 --tiny --out rows.json    # two layers, on a CPU

Time and memory do not depend on what the weights are, so none are downloaded: a folder with the architecture's
configuration and a weight file full of zeros that takes no room on the disk is loaded as any model is, and then filled
with random numbers (zeros would use less power, and so run faster). The settings are those of notebook 06. The rows
have the columns of data/recorded/memory_rows.csv, one for each counter; what was measured is written after each length.
"""

import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
import ftlab  # noqa: E402, F401  (quiets the libraries)
from ftlab import hardware  # noqa: E402
from ftlab.costs.architecture import GIB, find_architecture  # noqa: E402
from ftlab.costs.cards import gpu_name  # noqa: E402
from ftlab.files import whole_file  # noqa: E402

COLUMNS = (ROOT / "data/recorded/memory_rows.csv").read_text(encoding="utf-8").partition("\n")[0].split(",")
LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
BATCH, RANK = 2, 16
STEPS, WARM_UP = 8, 3  # the first steps compile and find their memory
SMALL = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
         "intermediate_size": 256, "vocab_size": 2048}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a name of data/hardware/architectures.csv")
    parser.add_argument("method", choices=("lora", "qlora"))
    parser.add_argument("--lengths", type=int, nargs="+", default=[1024, 4096], help="tokens of a row")
    parser.add_argument("--tiny", action="store_true", help="its kind, in two small layers")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    options = parser.parse_args()
    from unsloth import FastLanguageModel  # noqa: I001, F401  (before torch's other users)
    import torch

    architecture = find_architecture(options.model)
    architecture = replace(architecture, **SMALL) if options.tiny else architecture
    found = {"model": options.model, "method": options.method, "measured": [], "rows": []}
    with tempfile.TemporaryDirectory() as folder:
        write_model(architecture, Path(folder))
        start = time.perf_counter()
        model, tokenizer = load(Path(folder), options.method, max(options.lengths))
    found |= {"load_seconds": time.perf_counter() - start, "loaded": counters()}
    for length in options.lengths:
        try:
            measured = train(model, tokenizer, architecture.vocab_size, length)
        except torch.OutOfMemoryError as error:
            measured = {"length": length, "error": f"out of memory: {error}"}
        found["measured"].append(measured)
        found["rows"] += as_rows(options.model, options.method, measured)
        with whole_file(options.out) as file:
            file.write(json.dumps(found, indent=1).encode())
        print(measured, flush=True)
    return 1 if any("error" in each for each in found["measured"]) else 0


def write_model(architecture, folder: Path) -> None:
    """A model's folder: configuration, nano's tokenizer, and zeros for weights, as a file with a hole in it."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoTokenizer

    sizes = {name: getattr(architecture, name) for name in (*SMALL, "tie_word_embeddings", "attention_bias")}
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "data/models/nano")
    tokenizer.save_pretrained(folder)
    ids = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = CONFIG_MAPPING[architecture.model_type](**sizes, **ids, max_position_embeddings=131_072)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    config.architectures, config.dtype = [type(model).__name__], "bfloat16"
    config.save_pretrained(folder)
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, weight in model.state_dict().items():
        if name != "lm_head.weight" or not architecture.tie_word_embeddings:
            begin, end = end, end + 2 * weight.numel()
            header[name] = {"dtype": "BF16", "shape": list(weight.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


def load(folder: Path, method: str, length: int):
    """Model with adapter, and tokenizer, by the cells of notebook 06; then random numbers for its zeros."""
    import torch
    from unsloth import FastLanguageModel

    on_gpu = torch.cuda.is_available()
    dtype = hardware.torch_dtype(hardware.precision("smol"))
    model, tokenizer = FastLanguageModel.from_pretrained(
        model_name=str(folder), max_seq_length=length, dtype=dtype, load_in_4bit=method == "qlora"
    )
    packed = sum(fill(weight) for weight in model.parameters())
    if (method == "qlora") != bool(packed):
        raise SystemExit(f"{packed} matrices were packed into 4 bits by method {method}")
    model = FastLanguageModel.get_peft_model(
        model, r=RANK, lora_alpha=2 * RANK, lora_dropout=0.0, target_modules=LAYERS, bias="none", random_state=3407,
        use_gradient_checkpointing="unsloth" if on_gpu else False,
    )  # fmt: skip
    return model, tokenizer


def fill(weight) -> bool:
    """Fill a weight with random numbers of the usual size, in place; whether it is packed into 4 bits."""
    import torch

    state = getattr(weight, "quant_state", None)
    with torch.no_grad():
        if state is not None:
            weight.data.view(torch.uint8).random_(0, 256)  # two 4-bit codes each
            (state.offset if state.nested else state.absmax).fill_(0.05)  # every block's largest number
        elif weight.ndim == 1:
            weight.fill_(1.0)  # of a norm
        else:
            weight.normal_(std=0.02)
    return state is not None


def train(model, tokenizer, vocabulary: int, length: int) -> dict:
    """A few steps on full rows of random tokens: peaks since they began, and tokens a second of the later ones."""
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    on_gpu, precision, ends = torch.cuda.is_available(), hardware.precision("smol"), []

    class Clock(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if on_gpu:
                torch.cuda.synchronize()
            ends.append(time.perf_counter())

    gc.collect()
    rows = torch.randint(5, vocabulary, (BATCH * STEPS, length), generator=torch.Generator().manual_seed(1)).tolist()
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=model,
            processing_class=tokenizer,
            train_dataset=Dataset.from_dict({"input_ids": rows, "labels": rows}),
            args=SFTConfig(
                output_dir=folder, max_length=length, packing=False, dataset_kwargs={"skip_prepare_dataset": True},
                per_device_train_batch_size=BATCH, max_steps=STEPS, learning_rate=2e-4, weight_decay=0.01,
                optim="adamw_8bit" if on_gpu else "adamw_torch", gradient_checkpointing=on_gpu,
                bf16=precision == "bf16", fp16=precision == "fp16", logging_steps=STEPS, save_strategy="no",
                report_to="none", disable_tqdm=True, seed=3407,
            ),
            callbacks=[Clock()],
        )  # fmt: skip
        if on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        before = counters()
        trainer.train()
    later = [after - before for before, after in zip(ends[WARM_UP - 1 :], ends[WARM_UP:], strict=False)]
    seconds = statistics.median(later)
    return {
        "length": length, "batch": BATCH, "before": before, "peak": counters(peak=True), "seconds_per_step": seconds,
        "slowest_step": max(later), "tokens_per_second": BATCH * length / seconds,
        "loss": trainer.state.log_history[0].get("loss"),
    }  # fmt: skip


def counters(peak: bool = False) -> dict | None:
    """GiB of GPU memory allocated and reserved, now or at most; None on a CPU."""
    import torch

    if not torch.cuda.is_available():
        return None
    now, most = ("memory_allocated", "memory_reserved"), ("max_memory_allocated", "max_memory_reserved")
    names = zip(("allocated", "reserved"), most if peak else now, strict=True)
    return {key: getattr(torch.cuda, name)() / GIB for key, name in names}


def as_rows(model: str, method: str, measured: dict) -> list[dict]:
    """Rows for memory_rows.csv, one for each counter; none where nothing was measured. On a CPU without a peak."""
    if "error" in measured:
        return []
    gpu, on_gpu = hardware.gpu_here()[0], measured["peak"] is not None
    card, qlora = gpu_name(gpu) if gpu else "", method == "qlora"
    fixed = {
        "trainer": f"Unsloth {version('unsloth').rpartition('.')[0]}", "model": model, "method": method,
        "batch": BATCH, "length": measured["length"], "rank": RANK, "checkpointing": "unsloth" if on_gpu else "off",
        "optimizer": "adamw_8bit" if on_gpu else "adamw_torch", "logits": "fused", "trainable_bytes": 4,
        "rope_positions": 0, "packed": "true", "head_copy": str(qlora).lower(), "gpu": card, "rounding_gib": 0,
        "role": "held-out", "source": "tools/measure_memory.py", "note": "random weights",
    }  # fmt: skip
    rows = []
    for counter in ("allocated", "reserved"):
        name = f"{card or 'cpu'}-{model}-{method}-{measured['length']}-{counter}".lower().replace(" ", "-")
        peak = round(measured["peak"][counter], 3) if on_gpu else ""
        row = fixed | {"id": name, "counter": counter, "peak_gib": peak}
        if counter == "allocated":  # the speed once
            speed = round(measured["tokens_per_second"])
            row |= {"speed_gpu": card, "tokens_per_second": speed, "speed_role": "held-out"}
        rows.append({column: row.get(column, "") for column in COLUMNS})
    return rows


if __name__ == "__main__":
    sys.exit(main())
