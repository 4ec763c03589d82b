"""How fast is our recipe at equal loss? It against Unsloth's stock notebook settings and TRL's defaults, in one run.

    python tools/benchmark_recipe.py --rows 120    # smol, 120 tickets, 3 rounds
    python tools/benchmark_recipe.py --tiny        # nano and 16 tickets in two minutes: shows that it works, no more

A round of 120 rows takes about half an hour on one CPU core. What is stopped goes on where it was, on the same
machine with the same versions; with others it begins anew.

Each arm trains on the same rows once (so it has seen the same tokens), in a process of its own, since Unsloth changes
TRL when it is imported; the arms take turns, so that other work on the machine disturbs all alike. Equal in all:
adapter, learning rate and its schedule, eight rows a step, loss on the answers. Tokens are those of the rows, without
padding; the first step, which compiles and warms up, is not timed. The validation loss is counted by the same function
for all, over the tokens of the answers. Results: data/recorded/benchmark/results.json, written after every arm.
"""

import argparse
import datetime
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
import ftlab  # noqa: E402  (quiets the libraries)
from ftlab import hardware  # noqa: E402
from ftlab.data.rendering import encode_chats  # noqa: E402
from ftlab.data.schema import read_chat  # noqa: E402
from ftlab.files import whole_file  # noqa: E402
from ftlab.models import resolve  # noqa: E402
from ftlab.run import machine_line  # noqa: E402
from ftlab.training.recipe import SMALL_MODELS  # noqa: E402

OUT = ROOT / "data" / "recorded" / "benchmark" / "results.json"
ADAPTER = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "bias": "none", "target_modules": [
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]}  # fmt: skip
SCHEDULE = {"num_train_epochs": 1, "warmup_steps": 0.05, "lr_scheduler_type": "cosine", "weight_decay": 0.01}
QUIET = {"logging_steps": 1000, "save_strategy": "no", "report_to": "none", "disable_tqdm": True, "seed": 3407}
STOCK = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4, "optim": "adamw_8bit"}
# what each arm does in its own way; TRL's defaults are left to TRL
ARMS = {
    "ours": {"per_device_train_batch_size": 8, "train_sampling_strategy": "group_by_length"},
    "unsloth_stock": STOCK,  # with the base in 4 bits, as its notebooks have it
    "unsloth_stock_16bit": STOCK,
    "unsloth_stock_our_precision": STOCK,  # what is left of the gain where both multiply alike
    "trl_defaults": {},
}
VALIDATION = 60
ARM_MINUTES = 40  # longer, and something is wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="nano and 16 tickets, one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=240, help="training rows, each seen once")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--out", type=Path, help=f"default: {OUT.relative_to(ROOT)}, or runs/benchmark_tiny.json")
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)  # what the process of one arm gets
    options = parser.parse_args()
    if options.tiny:
        options.rows, options.rounds = 16, 1
    model = "nano" if options.tiny else "smol"
    if options.arm:
        options.out.write_text(json.dumps(train(options.arm, model, options.rows)))
        return 0
    out = options.out or (ftlab.home() / "benchmark_tiny.json" if options.tiny else OUT)
    results = {
        "command": command_of(options), "model": model, "rows": options.rows,
        "machine": machine_line(), "versions": hardware.versions(), "created": datetime.date.today().isoformat(),
        "minutes": 0.0, "runs": [],
    }  # fmt: skip
    results = begun(out, results, options.arms)
    made = {(run["arm"], run["round"]) for run in results["runs"]}
    for number in range(options.rounds):
        for arm in options.arms:
            if (arm, number) in made:
                continue
            start = time.monotonic()
            results["runs"].append({"arm": arm, "round": number} | run_arm(arm, options))
            results["minutes"] = round(results["minutes"] + (time.monotonic() - start) / 60, 1)
            results |= summarise(results["runs"])
            with whole_file(out) as file:
                file.write((json.dumps(results, indent=1) + "\n").encode())
            print(f"round {number}, {arm}: {describe(results['runs'][-1])}", flush=True)
    print(table(results))
    return 1 if any("error" in run and run["arm"] in options.arms for run in results["runs"]) else 0


def command_of(options) -> str:
    """The command that makes these results anew."""
    return "python tools/benchmark_recipe.py" + (" --tiny" if options.tiny else f" --rows {options.rows}")


def begun(out: Path, results: dict, arms) -> dict:
    """What `out` has of these results, where model, rows, machine and versions are the same; failures of `arms` go."""
    if not out.exists():
        return results
    found = json.loads(out.read_text())
    if any(found[key] != results[key] for key in ("model", "rows", "machine", "versions")):
        return results
    return found | {"runs": [run for run in found["runs"] if "error" not in run or run["arm"] not in arms]}


def run_arm(arm: str, options) -> dict:
    """What one arm's process measured, or its error."""
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "arm.json"
        command = [sys.executable, __file__, "--arm", arm, "--rows", str(options.rows), "--out", str(part)]
        command += ["--tiny"] * options.tiny
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=ARM_MINUTES * 60)
        except subprocess.TimeoutExpired:
            return {"error": f"stopped after {ARM_MINUTES} minutes"}
        if done.returncode:
            return {"error": done.stderr.replace(str(ROOT), ".").replace(f"{Path.home()}/", "~/")[-2000:]}
        return json.loads(part.read_text())


def train(arm: str, model: str, count: int) -> dict:
    """Train once on the rows and measure."""
    rows = read_chat(ROOT / "data/support_triage/train.jsonl")[:count]
    validation = read_chat(ROOT / "data/support_triage/validation.jsonl")[: min(VALIDATION, count)]
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        shared = SCHEDULE | QUIET | {"output_dir": folder, "learning_rate": SMALL_MODELS[model]}
        make = with_trl if arm == "trl_defaults" else with_unsloth
        trainer, tokenizer = make(arm, model, rows, shared | ARMS[arm])
        steps, batches = watch(trainer)
        prepared = time.perf_counter()
        trainer.train()
        import torch

        peak = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None
        loss = answer_loss(trainer.model, tokenizer, validation)
    batches = [(int(real), int(filled)) for real, filled in batches]  # a GPU had no time for it before
    seconds, tokens = steps[-1] - steps[0], sum(real for real, _ in batches)
    later = batches[trainer.args.gradient_accumulation_steps :]  # those after the first step
    return {
        "tokens_per_second": sum(real for real, _ in later) / seconds, "validation_loss": loss, "tokens": tokens,
        "padding": 1 - tokens / sum(filled for _, filled in batches), "steps": len(steps), "seconds": seconds,
        "prepare_seconds": prepared - start, "peak_memory_gib": peak,
    }  # fmt: skip


def with_unsloth(arm: str, name: str, rows: list[dict], settings: dict):
    """Trainer and tokenizer as in notebook 06, or with the settings of Unsloth's notebooks."""
    from unsloth import FastLanguageModel  # noqa: I001  (before trl)
    from unsloth.chat_templates import train_on_responses_only
    import torch
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from ftlab.training.train import as_texts

    ours, dtype, checkpointing = arm == "ours", None, False if arm == "ours" else "unsloth"
    settings = settings | {"gradient_checkpointing": not ours, "max_length": 512, "dataset_text_field": "text"}
    if ours or arm == "unsloth_stock_our_precision":
        precision = hardware.precision(name)
        dtype = hardware.torch_dtype(precision)
        settings |= {"bf16": precision == "bf16", "fp16": precision == "fp16"}
    if ours:
        settings["optim"] = "adamw_8bit" if torch.cuda.is_available() else "adamw_torch"
    model, tokenizer = FastLanguageModel.from_pretrained(
        model_name=resolve(name), max_seq_length=1024, dtype=dtype, load_in_4bit=arm == "unsloth_stock"
    )
    model = FastLanguageModel.get_peft_model(
        model, **ADAPTER, use_gradient_checkpointing=checkpointing, random_state=3407
    )
    dataset, config = Dataset.from_dict({"text": as_texts(rows, tokenizer)}), SFTConfig(**settings)
    trainer = SFTTrainer(model=model, processing_class=tokenizer, train_dataset=dataset, args=config)
    return train_on_responses_only(trainer), tokenizer


def with_trl(arm: str, name: str, rows: list[dict], settings: dict):
    """Trainer and tokenizer of TRL with a LoRA adapter, everything else as it comes."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer, Trainer
    from trl import SFTConfig, SFTTrainer

    on_gpu = torch.cuda.is_available()
    if not on_gpu:  # TRL 1.15 computes its loss with a Triton kernel, which no CPU runs: take that of transformers
        SFTTrainer.compute_loss = Trainer.compute_loss
    tokenizer = AutoTokenizer.from_pretrained(resolve(name))
    turns = [row["messages"] for row in rows]
    dataset = Dataset.from_dict({"prompt": [t[:-1] for t in turns], "completion": [t[-1:] for t in turns]})
    config, lora = SFTConfig(use_cpu=not on_gpu, **settings), LoraConfig(**ADAPTER, task_type="CAUSAL_LM")
    trainer = SFTTrainer(
        model=resolve(name), processing_class=tokenizer, train_dataset=dataset, args=config, peft_config=lora
    )
    return trainer, tokenizer


def watch(trainer) -> tuple[list, list]:
    """Lists that the training fills: times at the ends of steps; (tokens, tokens with padding) of each batch."""
    import torch
    from transformers import TrainerCallback

    steps, batches, train_on = [], [], trainer.training_step

    class Clock(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            steps.append(time.perf_counter())

    def counted(model, inputs, *more, **options):
        filled = torch.tensor(inputs["input_ids"].numel())  # without a mask, nothing is padding
        batches.append((inputs["attention_mask"].sum() if "attention_mask" in inputs else filled, filled))
        return train_on(model, inputs, *more, **options)

    trainer.add_callback(Clock())
    trainer.training_step = counted
    return steps, batches


def answer_loss(model, tokenizer, rows: list[dict]) -> float:
    """Mean loss of the answers' tokens, in nats; one row at a time, so that no padding can disturb it."""
    import torch

    model.eval()
    total = count = 0
    with torch.no_grad():
        for encoded in encode_chats(rows, tokenizer):
            ids = torch.tensor([encoded.ids], device=model.device)
            each = torch.log_softmax(model(input_ids=ids, use_cache=False).logits[0, :-1].float(), -1)
            each = each.gather(1, ids[0, 1:, None])[:, 0]
            for answer in encoded.answers:
                total -= each[answer.start - 1 : answer.end - 1].sum().item()
                count += answer.end - answer.start
    return total / count


def summarise(runs: list[dict]) -> dict:
    """Each arm's medians, and how many times as fast ours was in the same round: median, lowest, highest."""
    done = [run for run in runs if "error" not in run]
    ours = {run["round"]: run["tokens_per_second"] for run in done if run["arm"] == "ours"}
    medians, ratios = {}, {}
    for arm in dict.fromkeys(run["arm"] for run in done):
        mine = [run for run in done if run["arm"] == arm]
        keys = ("tokens_per_second", "validation_loss")
        medians[arm] = {key: statistics.median(run[key] for run in mine) for key in keys} | {"rounds": len(mine)}
        found = [ours[run["round"]] / run["tokens_per_second"] for run in mine if run["round"] in ours]
        if arm != "ours" and found:
            ratios[arm] = {"median": statistics.median(found), "low": min(found), "high": max(found)}
    return {"arms": medians, "ours_is_faster": ratios}


def describe(run: dict) -> str:
    """One run in a line."""
    if "error" in run:
        return f"failed: {(run['error'].strip().splitlines() or ['?'])[-1]}"
    return f"{run['tokens_per_second']:,.0f} tokens/s, validation loss {run['validation_loss']:.4f}"


def table(results: dict) -> str:
    """What came of it, to print."""
    lines = [f"{results['model']}, {results['rows']} rows, {results['machine']}"]
    for arm, found in results.get("arms", {}).items():
        line = f"{arm:<28}{found['tokens_per_second']:>10,.0f} tokens/s{found['validation_loss']:>10.4f}"
        if ratio := results["ours_is_faster"].get(arm):
            line += f"   ours is {ratio['median']:.2f} x as fast ({ratio['low']:.2f} to {ratio['high']:.2f})"
        lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
