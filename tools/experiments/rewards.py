"""Rewards: GRPO on support triage, whose answers code can check, against more SFT for the same time.

For `nano` and for `smol`: `start` is a short SFT. `grpo` goes on from there: to each of some new tickets it writes
GENERATIONS answers and is moved to those whose reward is above their mean. `more_sft` goes on from the same start, with
the right answers to the same tickets, for as many minutes of processor time as GRPO has trained. All answer the test
tickets greedily. Nothing was searched. With `nano` ten minutes on one core, with `smol` about an hour and a half.
"""

import json
import time
from functools import partial

from experiments._common import PROBE, copy_answers, recipe_with, tickets
from experiments.triage import first
from record import ROOT, WORK, Point, done, write_results

import ftlab.run as runs
from ftlab.evaluation.metrics import parse_record, probe_scores, score_records
from ftlab.kept import kept_answers
from ftlab.training.data import answers_of, read_part
from ftlab.training.train import add_adapter, load_model, train_model

FOLDER, RECORD = WORK / "rewards", ROOT / "data" / "recorded" / "rewards"
SEED, GENERATIONS, NEW_TOKENS = 1, 8, 80  # answers to each ticket of a step, and how long these may be
TEST, PROBED = 200, 190
# tickets, epochs and learning rate of the start; steps of GRPO, tickets in each, learning rate
SETTINGS = {
    "nano": {"taught": 300, "epochs": 3, "rate": 4e-3, "steps": 40, "prompts": 8, "grpo_rate": 1e-3},
    "smol": {"taught": 100, "epochs": 2, "rate": 1e-3, "steps": 40, "prompts": 4, "grpo_rate": 4e-4},
}


def new_tickets(model: str) -> list[dict]:
    """The tickets that GRPO reads, once each: those after the taught ones."""
    setting = SETTINGS[model]
    return tickets().train.rows[setting["taught"] :][: setting["steps"] * setting["prompts"]]


def valid_record(completions, **_) -> list[float]:
    """1 for an answer that is one JSON object with exactly the fields of a record, in allowed values; else 0."""
    from jsonschema import Draft202012Validator

    schema = Draft202012Validator(tickets().schema)
    return [float(schema.is_valid(parse_record(completion[0]["content"]))) for completion in completions]


def right_fields(completions, record, **_) -> list[float]:
    """The share of fields that are right; 0 for what is no JSON object."""
    answers = [completion[0]["content"] for completion in completions]
    return score_records(answers, [json.loads(each) for each in record]).field_accuracy.tolist()


def started(name: str, weights=None):
    """Recipe, model and tokenizer: a model as it comes, or what a short SFT made of it."""
    setting = SETTINGS[name]
    recipe = recipe_with(num_train_epochs=setting["epochs"], learning_rate=setting["rate"])
    recipe = recipe.model_copy(update={"model": str(weights or name)})
    return recipe, *load_model(recipe)


def answer(folder, model, tokenizer, name: str) -> dict:
    """Answers to the test tickets and, from smol, to everyday questions, kept; their scores."""
    test = first(tickets().tests["test"], TEST).rows
    out = asked(folder / "predictions" / "test.jsonl", model, tokenizer, test, 96)
    scores = score_records(out.texts, list(map(json.loads, answers_of(test))), schema=tickets().schema)
    measures = ("field_accuracy", "exact_match", "valid_schema")
    found = {"test": {measure: float(getattr(scores, measure).mean()) for measure in measures}}
    if name == "smol":
        probe = read_part(PROBE).rows[::2][:PROBED]
        plain = asked(folder / "predictions" / "probe.jsonl", model, tokenizer, probe, 24)
        found["probe"] = float(probe_scores(plain.texts, probe).mean())
    return found


def asked(path, model, tokenizer, rows, tokens):
    settings = {"max_new_tokens": tokens, "batch_size": 50}
    return kept_answers(path, rows, partial(runs.ask, model, tokenizer, settings, rows))


def start(folder, name: str) -> dict:
    """A short SFT; the merged model is what the others start from."""
    recipe, model, tokenizer = started(name)
    return taught(folder, name, recipe, model, tokenizer, tickets().train.rows[: SETTINGS[name]["taught"]], save=True)


def more_sft(folder, name: str) -> dict:
    """SFT goes on with the right answers to GRPO's tickets, for as long as GRPO has trained."""
    recipe, model, tokenizer = started(name, FOLDER / f"{name}_start" / "model")
    rows, before = new_tickets(name), done(FOLDER / f"{name}_start")
    minutes_a_row = before["training_cpu_minutes"] / (before["rows"] * SETTINGS[name]["epochs"])
    epochs = done(FOLDER / f"{name}_grpo")["training_cpu_minutes"] / (minutes_a_row * len(rows))
    training = recipe.training.model_copy(update={"num_train_epochs": epochs})
    recipe = recipe.model_copy(update={"training": training})
    return taught(folder, name, recipe, model, tokenizer, rows) | {"epochs": epochs}


def taught(folder, name, recipe, model, tokenizer, rows, save=False) -> dict:
    began = time.process_time()
    tuned, seen = train_model(recipe, model, tokenizer, rows, tickets().validation.rows[:8], folder)
    minutes = (time.process_time() - began) / 60
    merged = tuned.merge_and_unload()
    if save:
        merged.save_pretrained(folder / "model")
        tokenizer.save_pretrained(folder / "model")
    told = {"training_cpu_minutes": minutes, "rows": len(rows), "steps": seen["steps"], "log": seen["log"]}
    return answer(folder, merged, tokenizer, name) | told


def grpo(folder, name: str) -> dict:
    """GRPO with TRL: the model's own answers, rewarded by two functions."""
    recipe, model, tokenizer = started(name, FOLDER / f"{name}_start" / "model")
    setting = SETTINGS[name]
    import torch
    from datasets import Dataset
    from transformers.trainer_callback import PrinterCallback
    from trl import GRPOConfig, GRPOTrainer

    rows = [{"prompt": row["messages"][:-1], "record": row["messages"][-1]["content"]} for row in new_tickets(name)]
    trainer = GRPOTrainer(
        model=add_adapter(recipe.training, model, SEED, torch.cuda.is_available()),
        reward_funcs=[right_fields, valid_record],
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(rows),
        args=GRPOConfig(
            output_dir=str(folder / "checkpoints"),
            num_generations=GENERATIONS,
            per_device_train_batch_size=setting["prompts"] * GENERATIONS,
            max_completion_length=NEW_TOKENS,
            temperature=1.0,
            beta=0.0,  # no penalty for leaving the start: TRL's default
            learning_rate=setting["grpo_rate"],
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=0.1,
            max_steps=setting["steps"],
            bf16=runs.hardware.precision(name) == "bf16",
            gradient_checkpointing=False,
            logging_steps=1,
            save_strategy="no",
            seed=SEED,
            report_to="none",
            disable_tqdm=True,
        ),
    )
    trainer.remove_callback(PrinterCallback)
    began = time.process_time()
    trainer.train()
    minutes = (time.process_time() - began) / 60
    log = [{key: float(value) for key, value in row.items()} for row in trainer.state.log_history]
    written = sum(row.get("completions/mean_length", 0) for row in log) * setting["prompts"] * GENERATIONS
    told = {"training_cpu_minutes": minutes, "rows": len(rows), "steps": setting["steps"], "log": log}
    return answer(folder, trainer.model.merge_and_unload(), tokenizer, name) | told | {"tokens_written": written}


def points() -> list[Point]:
    ways = {"start": (start, ()), "grpo": (grpo, ("start",)), "more_sft": (more_sft, ("start", "grpo"))}
    return [
        Point(f"{name}_{way}", partial(make, name=name), tuple(f"{name}_{each}" for each in needs))
        for name in SETTINGS
        for way, (make, needs) in ways.items()
    ]


def publish() -> None:
    """Write data/recorded/rewards: results.json and the answers of each point."""
    folders = {point.name: FOLDER / point.name for point in points()}
    table = {name: found for name, folder in folders.items() if (found := done(folder))}
    for name in table:
        if (folders[name] / "predictions").exists():
            copy_answers(folders[name] / "predictions", RECORD / "predictions" / name)
    settings = SETTINGS | {"generations": GENERATIONS, "seed": SEED}
    write_results("rewards", RECORD, table, folders, {"settings": settings, "points": table})
