"""Measure what nano can do on documents that pre-training never saw, and write its card and the probe set.

    python tools/measure_nano.py data/models/nano --json runs/nano/measured.json --card
    python tools/measure_nano.py data/models/nano --work runs/nano --machine "2 CPU cores" --card
    python tools/measure_nano.py --write-probe      # data/probes/general_skills.jsonl
    python tools/measure_nano.py --check-probe      # exit 1 when the file differs from what the tool writes

The questions are those of tools/nano_exam.py.
"""

import argparse
import json
import os
import platform
import string
import sys
import time
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("FTLAB_PRETRAIN", "1")  # pretrain_nano restarts the process without it
os.environ.setdefault("HF_HUB_OFFLINE", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from nano_exam import MEASURE_SEEDS, SKILLS, TASKS, Question, Score, as_messages, draw, probe_lines, score  # noqa: E402
from nano_world.texts import is_heldout, prompts  # noqa: E402

from ftlab.errors import FtlabError, ModelError  # noqa: E402

PROBE = ROOT / "data" / "probes" / "general_skills.jsonl"
CARD = ROOT / "tools" / "nano_card.md"
NAMED_TASKS = ("extract", "classify", "classify_described", "json", "qa_context", "polite_reply", *SKILLS)


# ---- answers -----------------------------------------------------------------------------------------


def answer(model, tokenizer, questions: list[Question], batch_size: int = 50) -> list[str]:
    """Greedy answers, in batches of like length, padded on the left."""
    import torch
    from pretrain_nano import encode

    prompts = []
    for question in questions:
        ids = tokenizer.apply_chat_template(as_messages(question.doc), return_dict=True)["input_ids"]
        trained = encode(question.doc, tokenizer.backend_tokenizer)[0]
        if ids[: len(trained)] != trained:
            message = "the chat template gives other tokens than pre-training saw; export it again"
            raise ModelError(f"{tokenizer.name_or_path}: {message}")
        prompt = tokenizer.apply_chat_template(question.prompt, add_generation_prompt=True, return_dict=True)
        prompts.append(prompt["input_ids"])
    longest = max(len(tokenizer(question.answer)["input_ids"]) for question in questions) + 10
    answers = [""] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        ids = {"input_ids": [prompts[i] for i in rows]}
        batch = tokenizer.pad(ids, padding_side="left", return_tensors="pt")
        with torch.inference_mode():
            out = model.generate(**batch.to(model.device), do_sample=False, max_new_tokens=longest)
        texts = tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        for i, text in zip(rows, texts, strict=True):
            answers[i] = text
    return answers


def load(folder: Path):
    """The model in fp32 and its tokenizer; ModelError where the folder holds none."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if not (folder / "model.safetensors").exists():
        message = "has no model.safetensors; export one with tools/pretrain_nano.py --export"
        raise ModelError(f"{folder}: {message}")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def measure(model, tokenizer, n: int, show: bool = False, only: str = "") -> list[Score]:
    """n questions of every task (whose name contains `only`), answered and scored."""
    scores = []
    for task, (block, make) in TASKS.items():
        if only not in task:
            continue
        questions = list(draw(make, MEASURE_SEEDS + block * 1_000_000, n))
        answers = answer(model, tokenizer, questions)
        new = score(task, questions, answers)
        print(*new, sep="\n", flush=True)
        if show:
            for question, text in list(zip(questions, answers, strict=True))[:3]:
                print(f"    {question.doc.turns[-2][1]!r}\n    -> {text!r}   (right: {question.answer!r})")
        scores += new
    return scores


# ---- card --------------------------------------------------------------------------------------------


def training_record(work: Path, model, machine: str | None, command: str | None) -> dict:
    """What the run folder knows of this model's training: steps, tokens, minutes, end of the curve."""
    import torch

    if not (work / "last.pt").exists():
        raise ModelError(f"{work}: has no last.pt; give the --work folder of tools/pretrain_nano.py")
    saved = torch.load(work / "last.pt", weights_only=False, map_location="cpu")
    state, key = saved["state"], "model.embed_tokens.weight"
    if not torch.equal(saved["model"][key].half(), model.state_dict()[key].half()):
        message = "is another checkpoint than the model; export it again with tools/pretrain_nano.py --export"
        raise ModelError(f"{work / 'last.pt'}: {message}")
    rows = [json.loads(line) for line in (work / "curve.jsonl").read_text().splitlines()]
    last = [row for row in rows if row["step"] <= state["step"]][-1]
    return {
        "steps": state["step"], "tokens": state["tokens"], "documents_drawn": state["documents"],
        "minutes": round(state["seconds"] / 60, 1), "loss": last["loss"],
        "answer_accuracy": last["answer_accuracy"], "machine": machine, "command": command,
    }  # fmt: skip


def recipe_text(record: dict | None) -> str:
    """The training record as a table; says so where there is none."""
    if record is None:
        return "No record of the training (`training.json`) lies beside these weights."
    loss = f"{record['loss']} on average over the last 50 logged steps"
    rows = {
        "command": f"`{record['command']}`" if record["command"] else "not recorded",
        "machine": record["machine"] or "not recorded",
        "optimizer steps": f"{record['steps']:,}",
        "tokens that carried loss": f"{record['tokens']:,}",
        "documents and copying strings drawn, about": f"{record['documents_drawn']:,}",
        "minutes": f"{record['minutes']:,}",
        "training loss, weighted": loss,
        "answer tokens right in training (teacher forcing)": f"{100 * record['answer_accuracy']:.1f} %",
    }
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items())])


def score_table(scores: list[Score]) -> str:
    """The measured rates as a Markdown table."""
    lines = ["| task | rate | measured [95 % interval] | n | guessing |", "| --- | --- | --- | --- | --- |"]
    for s in scores:
        chance = f"{100 * s.chance:.0f} %" if s.chance else ""
        measured = f"{100 * s.value:.1f} % [{100 * s.low:.1f}, {100 * s.high:.1f}]"
        lines.append(f"| {s.task} | {s.metric} | {measured} | {s.n} | {chance} |")
    return "\n".join(lines)


def weak_tasks(scores: list[Score]) -> str:
    """The tasks with less than half right, from this measurement."""
    weak = [s for s in scores if s.metric in ("right", "records right") and s.value < 0.5]
    weak = [f"{s.task} ({100 * s.value:.0f} %)" for s in weak if "left out" not in s.task]
    if not weak:
        return "No task above is below one half."
    return f"Right in less than half of the cases: {'; '.join(weak)}."


def architecture_text(model, tokenizer, folder: Path) -> str:
    """Shape of the network and of the tokenizer, read from the loaded model."""
    c = model.config
    tied = "input embeddings used again as" if c.tie_word_embeddings else "with separate"
    rows = {
        "architecture": c.architectures[0],
        "parameters": f"{sum(p.numel() for p in model.parameters()):,}, {tied} output embeddings",
        "layers, width": f"{c.num_hidden_layers}, {c.hidden_size} (feed-forward {c.intermediate_size})",
        "attention": f"{c.num_attention_heads} heads of {c.head_dim}, {c.num_key_value_heads} key-values",
        "positions": f"{c.max_position_embeddings:,} (rotary); training documents end at 1,536 tokens",
        "vocabulary": f"{len(tokenizer):,} tokens: byte-level BPE trained on such texts, each digit a token",
        "special tokens": " ".join(f"`{token}`" for token in tokenizer.all_special_tokens),
        "weights": f"{(folder / 'model.safetensors').stat().st_size / 1e6:.1f} MB, fp16, safetensors",
    }
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items())])


def versions() -> dict[str, str]:
    """Versions that a measurement depends on."""
    packages = ("torch", "transformers", "tokenizers")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def write_card(folder: Path, model, tokenizer, scores: list[Score]) -> None:
    """Fill tools/nano_card.md with this measurement and write it beside the weights."""
    record = folder / "training.json"
    text = string.Template(CARD.read_text()).substitute(
        architecture=architecture_text(model, tokenizer, folder),
        recipe=recipe_text(json.loads(record.read_text()) if record.exists() else None),
        scores=score_table(scores),
        seen=", ".join(name for name in NAMED_TASKS if not any(map(is_heldout, prompts.instructions[name]))),
        weak=weak_tasks(scores),
        measured=f"{date.today()}, fp32 on {model.device.type}, "
        + ", ".join(f"{name} {number}" for name, number in versions().items()),
    )
    (folder / "README.md").write_text(text)


def main(argv: list[str] | None = None) -> int:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("model", nargs="?", type=Path, help="folder of an exported model")
    parser.add_argument("--n", type=int, default=150, help="questions a task")
    parser.add_argument("--only", default="", help="tasks whose name contains this")
    parser.add_argument("--show", action="store_true", help="three answers of every task")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the scores")
    parser.add_argument("--card", action="store_true", help="write README.md beside the weights")
    parser.add_argument("--work", type=Path, help="folder of the training run, for training.json")
    parser.add_argument("--machine", help="what the training ran on, likewise")
    parser.add_argument("--command", help="command of the training, likewise")
    parser.add_argument("--write-probe", action="store_true", help="write data/probes/general_skills.jsonl")
    parser.add_argument("--check-probe", action="store_true", help="exit 1 when that file differs")
    args = parser.parse_args(argv)
    try:
        if args.write_probe:
            PROBE.write_text(probe_lines(), newline="\n")
        elif args.check_probe:
            if not PROBE.exists() or PROBE.read_bytes().decode() != probe_lines():
                print(f"{PROBE} differs: run tools/measure_nano.py --write-probe", file=sys.stderr)
                return 1
        elif args.model is None:
            raise ModelError("no model folder: give one, such as data/models/nano")
        elif args.card and args.only:
            raise ModelError("--card with --only would leave tasks out of the card: drop one of the two")
        else:
            run(args)
    except FtlabError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def run(args) -> None:
    """Measure one model and write what was asked for."""
    model, tokenizer = load(args.model)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
    if args.work:
        record = training_record(args.work, model, args.machine, args.command)
        (args.model / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    start = time.perf_counter()
    scores = measure(model, tokenizer, args.n, args.show, args.only)
    seconds = round(time.perf_counter() - start, 1)
    if args.json:
        result = {"model": str(args.model), "date": str(date.today()), "seconds": seconds,
                  "versions": versions(), "scores": [asdict(s) for s in scores]}  # fmt: skip
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    if args.card:
        write_card(args.model, model, tokenizer, scores)
    print(f"{seconds} s")


if __name__ == "__main__":
    sys.exit(main())
