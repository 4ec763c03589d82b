"""Preferences on `smol`: a brand voice by SFT, then DPO on its own answers, judged by a style guide in code.

`sft` reads the team's mail, of which few replies keep the guide. `samples` are SAMPLES answers of that model to each
of MESSAGES messages; the guide's best against its worst is a pair. All arms start from that model and read about as
many tokens: `dpo_*` the pairs (two learning rates; `dpo` is the one chosen on validation, `other_rate` the other),
`more_sft` the chosen answers alone, `seeing` pairs of a judge who also looks at what a reply promises, `longer` other
pairs of the same answers with the same points (the longest of the best against the shortest of the worst), `kto` the
same answers one by one with thumbs up or down. Answers to test messages and everyday questions are greedy. About 30
minutes on one core that has nothing else to do.
"""

import gc
import json
import shutil
from functools import cache, partial
from pathlib import Path

from experiments._common import PROBE, copy_answers, recipe_with
from record import ROOT, WORK, Point, done, write_results

import ftlab.run as runs
from ftlab.evaluation.guide import best_and_worst, points_of, read_guide
from ftlab.evaluation.metrics import probe_scores
from ftlab.files import whole_file
from ftlab.kept import kept_answers
from ftlab.training.data import read_part
from ftlab.training.train import add_adapter, load_model, train_model

FOLDER, RECORD = WORK / "preferences", ROOT / "data" / "recorded" / "preferences"
VOICE = ROOT / "data" / "brand_voice"
EPOCHS, RATE, SEED = 3, 1e-3, 1  # of the SFT
MESSAGES, SAMPLES, TEMPERATURE = 96, 6, 1.0
NEW_TOKENS = 64
TRIED = {"dpo_4e-4": (4e-4, 0.1), "dpo_1e-4": (1e-4, 0.1)}  # learning rate, beta
MOST_LOST = 0.05  # of the replies that do what the matter asks for: how much a setting may cost
PREFERENCE_EPOCHS, PAIRS_A_STEP = 1, 4
PROBED = 190  # everyday questions: every second one


# --- rows


@cache
def guide():
    return read_guide(VOICE / "guide.yaml")


@cache
def rows_of(part: str) -> list[dict]:
    return read_part(VOICE / f"{part}.jsonl").rows


def sampled() -> list[dict]:
    """The messages with the answers of the SFT model to each, and the points of these."""
    folder = FOLDER / "samples"
    path = folder / "samples.jsonl" if (folder / "samples.jsonl").exists() else RECORD / "samples.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def pairs(longer: bool = False, seeing: bool = False) -> list[dict]:
    """A preference pair for each message whose answers differ in points.

    With `seeing`, the judge looks first at whether the reply does what the matter asks for, then at the guide.
    """
    rows = {row["id"]: row for row in rows_of("messages")}
    made = []
    for each in sampled():
        row, scores = rows[each["id"]], each["points"]
        if seeing:
            fits = probe_scores(each["answers"], [row] * len(scores))
            scores = [points + (len(guide()) + 1) * fit for points, fit in zip(scores, fits, strict=True)]
        if found := best_and_worst(each["answers"], scores, longer):
            sides = [[{"role": "assistant", "content": text}] for text in found]
            made.append({"prompt": row["messages"][:-1], "chosen": sides[0], "rejected": sides[1]})
    return made


def rated() -> list[dict]:
    """The answers of the pairs one by one, each with a thumb up or down."""
    return [{"prompt": pair["prompt"], "completion": pair[side], "label": side == "chosen"}
            for pair in pairs() for side in ("chosen", "rejected")]  # fmt: skip


# --- models


def started(folder: Path | None = None):
    """Recipe, model and tokenizer: smol as it comes, or a model that lies in a folder."""
    recipe = recipe_with(num_train_epochs=EPOCHS, learning_rate=RATE, max_length=256)
    recipe = recipe.model_copy(update={"model": str(folder)}) if folder else recipe
    return recipe, *load_model(recipe)


def settings(folder: Path, learning_rate: float) -> dict:
    """What the configurations of all trainers here share."""
    return {
        "output_dir": str(folder / "checkpoints"), "num_train_epochs": PREFERENCE_EPOCHS,
        "per_device_train_batch_size": PAIRS_A_STEP, "learning_rate": learning_rate, "lr_scheduler_type": "cosine",
        "warmup_steps": 0.1, "max_length": 256, "bf16": runs.hardware.precision("smol") == "bf16",
        "gradient_checkpointing": False, "logging_steps": 1, "save_strategy": "no", "seed": SEED,
        "report_to": "none", "disable_tqdm": True,
    }  # fmt: skip


def prefer(folder: Path, make: str, rows: list[dict], learning_rate: float, beta: float, start: Path | None = None):
    """The SFT model (or that in `start`) after DPO on pairs, or KTO on rated answers; and the trainer's log."""
    recipe, model, tokenizer = started(start or FOLDER / "sft" / "model")
    import torch
    import trl
    from datasets import Dataset
    from transformers.trainer_callback import PrinterCallback

    config, trainer = {"dpo": (trl.DPOConfig, trl.DPOTrainer), "kto": (trl.KTOConfig, trl.KTOTrainer)}[make]
    trainer = trainer(
        model=add_adapter(recipe.training, model, SEED, torch.cuda.is_available()),
        ref_model=None,  # the model with its adapter switched off
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(rows),
        args=config(beta=beta, **settings(folder, learning_rate)),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    log = [{key: float(value) for key, value in row.items()} for row in trainer.state.log_history]
    return trainer.model, tokenizer, log


def plain(model):
    """The model with its adapter merged, which answers faster."""
    merged = model.merge_and_unload()
    gc.collect()
    return merged


# --- points


def answer(folder: Path, model, tokenizer, parts: tuple = ("validation", "test", "probe")) -> dict:
    """Answers to messages and everyday questions, kept; their scores."""
    results = {}
    for part in parts:
        rows = read_part(PROBE).rows[::2][:PROBED] if part == "probe" else rows_of(part)
        asked = {"max_new_tokens": 24 if part == "probe" else NEW_TOKENS, "batch_size": 50}
        ask = partial(runs.ask, model, tokenizer, asked, rows)
        out = kept_answers(folder / "predictions" / f"{part}.jsonl", rows, ask)
        results[part] = scores(part, rows, list(out.texts))
    return results


def scores(part: str, rows: list[dict], texts: list[str]) -> dict:
    """What a point remembers of its answers: share of the guide's points, deeds that fit, words."""
    right = float(probe_scores(texts, rows).mean())
    if part == "probe":
        return {"right": right}
    kept = [points_of(guide(), text, row["facts"]) / len(guide()) for text, row in zip(texts, rows, strict=True)]
    return {"points": sum(kept) / len(kept), "deed_fits": right,
            "words": sum(len(text.split()) for text in texts) / len(texts)}  # fmt: skip


def sft(folder: Path, part: str = "archive") -> dict:
    """Train on the archive, or another part; the merged model is what all else starts from."""
    recipe, model, tokenizer = started()
    rows = rows_of(part)
    tuned, seen = train_model(recipe, model, tokenizer, rows, rows_of("validation"), folder)
    merged = plain(tuned)
    merged.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return answer(folder, merged, tokenizer) | {"steps": seen["steps"], "log": seen["log"], "rows": len(rows)}


def samples(folder: Path, start: Path | None = None, part: str = "messages") -> dict:
    """Answers of the SFT model (or that in `start`) to each message, drawn at a temperature, with their points."""
    import torch

    from ftlab.evaluation.generation import end_token_ids, padded, prompt_ids, reading

    _, model, tokenizer = started(start or FOLDER / "sft" / "model")
    torch.manual_seed(SEED)
    rows, lines = rows_of(part)[:MESSAGES], []
    for at in range(0, len(rows), 12):
        batch = rows[at : at + 12]
        ids, mask = padded([prompt_ids(tokenizer, row["messages"][:-1]) for row in batch], model.device,
                           tokenizer.pad_token_id, left=True)  # fmt: skip
        with reading(model, len(batch) * SAMPLES, ids.shape[1] + NEW_TOKENS):
            out = model.generate(
                input_ids=ids, attention_mask=mask, do_sample=True, temperature=TEMPERATURE, top_k=0, top_p=1.0,
                num_return_sequences=SAMPLES, max_new_tokens=NEW_TOKENS, pad_token_id=tokenizer.pad_token_id,
                eos_token_id=end_token_ids(model, tokenizer),
            )  # fmt: skip
        texts = tokenizer.batch_decode(out[:, ids.shape[1] :], skip_special_tokens=True)
        for number, row in enumerate(batch):
            answers = texts[number * SAMPLES : (number + 1) * SAMPLES]
            lines.append({"id": row["id"], "answers": answers,
                          "points": [points_of(guide(), text, row["facts"]) for text in answers]})  # fmt: skip
    with whole_file(folder / "samples.jsonl") as file:
        file.write("".join(json.dumps(line) + "\n" for line in lines).encode())
    return {"answers": len(lines) * SAMPLES, "setting": {"samples": SAMPLES, "temperature": TEMPERATURE}}


def tried(folder: Path, learning_rate: float, beta: float) -> dict:
    """DPO with one setting, judged on validation; the model is kept for the test in case it is the best."""
    model, tokenizer, log = prefer(folder, "dpo", pairs(), learning_rate, beta)
    merged = plain(model)
    merged.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    setting = {"learning_rate": learning_rate, "beta": beta}
    return answer(folder, merged, tokenizer, ("validation",)) | {"setting": setting, "log": log, "pairs": len(pairs())}


def chosen() -> str:
    """The name of the tried setting that kept most points on validation, of those that cost few fitting deeds.

    Few: at most MOST_LOST against the SFT model; where every setting costs more, the one that costs least.
    """
    known = {name: found["validation"] for name in TRIED if (found := done(FOLDER / name))}
    least = done(FOLDER / "sft")["validation"]["deed_fits"] - MOST_LOST
    careful = {name: found["points"] for name, found in known.items() if found["deed_fits"] >= least}
    return max(careful, key=careful.get) if careful else max(known, key=lambda name: known[name]["deed_fits"])


def other_rate() -> str:
    """The name of the setting that was not chosen."""
    return next(name for name in TRIED if name != chosen())


def tested(folder: Path, which) -> dict:
    """A tried setting answers the test messages and the everyday questions."""
    _, model, tokenizer = started(FOLDER / which() / "model")
    return answer(folder, model, tokenizer) | {"tried": which()}


def other(folder: Path, make: str, rows) -> dict:
    """Another trainer, or other pairs, with the chosen setting."""
    rate, beta = TRIED[chosen()]
    rows = rows()
    model, tokenizer, log = prefer(folder, make, rows, rate, beta)
    setting = {"learning_rate": rate, "beta": beta}
    return answer(folder, plain(model), tokenizer) | {"setting": setting, "log": log, "rows": len(rows)}


def more_sft(folder: Path) -> dict:
    """SFT goes on, with the chosen answers alone: twice, so that it reads as many answers as DPO."""
    recipe, model, tokenizer = started(FOLDER / "sft" / "model")
    training = recipe.training.model_copy(update={"num_train_epochs": 2 * PREFERENCE_EPOCHS})
    rows = [{"messages": pair["prompt"] + pair["chosen"]} for pair in pairs()]
    recipe = recipe.model_copy(update={"training": training})
    tuned, seen = train_model(recipe, model, tokenizer, rows, rows_of("validation")[:8], folder)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return answer(folder, plain(tuned), tokenizer) | {"steps": seen["steps"], "log": seen["log"], "rows": len(rows)}


def points() -> list[Point]:
    search = [Point(name, partial(tried, learning_rate=rate, beta=beta), ("samples",))
              for name, (rate, beta) in TRIED.items()]  # fmt: skip
    others = {"seeing": ("dpo", partial(pairs, seeing=True)), "longer": ("dpo", partial(pairs, longer=True)),
              "kto": ("kto", rated)}  # fmt: skip
    return [
        Point("sft", sft),
        Point("samples", samples, ("sft",)),
        *search[:1],
        Point("more_sft", more_sft, ("samples",)),
        *search[1:],
        Point("dpo", partial(tested, which=chosen), tuple(TRIED)),
        Point("other_rate", partial(tested, which=other_rate), tuple(TRIED)),
        *(Point(name, partial(other, make=make, rows=rows), ("dpo",)) for name, (make, rows) in others.items()),
    ]


def publish() -> None:
    """Write data/recorded/preferences: results.json, the sampled answers, and the answers of each arm."""
    folders = {point.name: FOLDER / point.name for point in points()}
    table = {name: found for name, folder in folders.items() if (found := done(folder))}
    RECORD.mkdir(parents=True, exist_ok=True)
    for name, folder in folders.items():
        if name in table and (folder / "predictions").exists():
            copy_answers(folder / "predictions", RECORD / "predictions" / name)
    if (FOLDER / "samples" / "samples.jsonl").exists():
        shutil.copy(FOLDER / "samples" / "samples.jsonl", RECORD)
    more = {
        "chosen": chosen(),
        "settings": {"epochs": EPOCHS, "learning_rate": RATE, "messages": MESSAGES, "samples": SAMPLES,
                     "temperature": TEMPERATURE, "pairs_a_step": PAIRS_A_STEP, "seed": SEED},
        "points": table,
    }  # fmt: skip
    write_results("preferences", RECORD, table, folders, more)
