"""Faults planted in one small fine-tune of `smol`, each alone, three times: what notebook 08 shows.

The task: name the team (of four) that a ticket goes to. A customer is one sentence pattern of data/support_triage:
their tickets are about one matter in like words. The good training reads two of each of forty customers three times;
every faulty one differs from it in one thing. All answer the same tickets of forty customers who are nowhere in the
training data. A training takes 14,000 tokens, with its answers some two to four minutes on one core. Nothing is chosen
by the results: learning rate and adapter are those of the recipe.
"""

import json
import random
import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from experiments._common import PROBE, copy_answers, mixed, recipe_with, tickets
from record import ROOT, WORK, Point, adapter_of, done, write_results

from ftlab.data.splits import group_of
from ftlab.evaluation.generation import generate
from ftlab.files import whole_file
from ftlab.kept import kept_answers
from ftlab.training.data import read_part
from ftlab.training.preflight import IGNORED, check_masks, tokenize_for_training
from ftlab.training.train import add_adapter, load_model, trainer_arguments

FOLDER, RECORD = WORK / "museum", ROOT / "data" / "recorded" / "museum"
SEEDS, EPOCHS, BATCH, RATE = (1, 2, 3), 3, 8, 2e-3
TEAMS = ("accounts", "aftersales", "billing", "workshop")
SYSTEM, WORDS = "Name the team.", 40  # the system turn; a longer ticket is left out
CUSTOMERS = {"train": 10, "fresh": 10, "validation": 5}  # of each team
TICKETS = {"train": 2, "again": 2, "fresh": 2, "validation": 3}  # of each customer; `again`: more of those in train
NEW_TOKENS, ASKED_AT_ONCE, PROBED = 16, 40, 9  # every ninth everyday question is asked
CONTRADICTED, FEW, FEWER, NARROW = 20, 32, 16, 2  # rows, rows, rows, customers of a team
ANEW = 40  # tickets that are asked in other ways
MEASURED = (8, 16, 32)  # rows of an evaluation whose memory is measured
STEPS, EVERY, WATCHED = 30, 10, 28  # of the good training; steps between looks at the loss of so many validation rows
OTHER_TEMPLATE = (
    "{% for m in messages %}{{ '### ' + m['role'] + ':\\n' + m['content'] + '\\n\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}### assistant:\\n{% endif %}"
)


# --- the rows


@cache
def customers() -> dict[str, dict[str, list[list[dict]]]]:
    """Part -> team -> the tickets of each of its customers, the four shortest."""
    found = {team: defaultdict(list) for team in TEAMS}
    for row in tickets().train.rows:
        text, record = (row["messages"][place]["content"] for place in (1, 2))
        if (team := json.loads(record)["queue"]) in TEAMS and len(text.split()) <= WORDS:
            name = group_of(row, "pattern", rf"\w+\.{team}\.\d+")
            found[team][name].append(asking(text, team) | {"id": row["id"], "customer": name})
    parts = {part: {} for part in CUSTOMERS}
    for team, by_customer in found.items():
        drawn = random.Random(team)
        most = TICKETS["train"] + TICKETS["again"]
        several = [sorted(each, key=lambda row: len(row["messages"][1]["content"]))[:most]
                   for each in by_customer.values()]  # fmt: skip
        for each in (several, *several):
            drawn.shuffle(each)
        several.sort(key=lambda each: len(each) < most)  # who writes often comes first
        for part, count in CUSTOMERS.items():
            parts[part][team], several = several[:count], several[count:]
    return parts


def asking(text: str, team: str) -> dict:
    """A row that asks for the team of a ticket."""
    turns = {"system": SYSTEM, "user": text, "assistant": team}
    return {"messages": [{"role": role, "content": content} for role, content in turns.items()]}


def team_of(row: dict) -> str:
    return row["messages"][-1]["content"]


def with_team(row: dict, team: str) -> dict:
    return row | {"messages": [*row["messages"][:-1], {"role": "assistant", "content": team}]}


def rows_of(part: str, first: int = 0, count: int | None = None, most: int | None = None) -> list[dict]:
    """Tickets `first` to `first + count` of each customer of a part (the `most` first of each team), shuffled."""
    count = count or TICKETS[part]
    rows = [row for teams in customers()[part].values() for each in teams[:most] for row in each[first : first + count]]
    random.Random(part).shuffle(rows)
    return rows


def good(seed: int) -> list[dict]:
    return rows_of("train")


def again() -> list[dict]:
    """More tickets of the customers whose tickets are trained on."""
    return rows_of("train", TICKETS["train"], TICKETS["again"])


def few(seed: int, rows: int) -> list[dict]:
    """The first of each team."""
    each, found = rows // len(TEAMS), defaultdict(list)
    for row in good(seed):
        found[team_of(row)].append(row)
    return [row for rows in found.values() for row in rows[:each]]


def narrow(seed: int) -> list[dict]:
    """As many as the few, but of two customers a team."""
    return rows_of("train", 0, FEW // len(TEAMS) // NARROW, NARROW)


def noisy(seed: int, percent: int) -> list[dict]:
    """The good rows, so many percent of them with another team."""
    drawn, rows = random.Random(seed), good(seed)
    wrong = set(drawn.sample(range(len(rows)), len(rows) * percent // 100))
    return [with_team(row, other(row, drawn)) if at in wrong else row for at, row in enumerate(rows)]


def contradictory(seed: int) -> list[dict]:
    """Some rows stand there a second time with another team, in place of the last ones."""
    drawn, rows = random.Random(seed), good(seed)
    return rows[:-CONTRADICTED] + [with_team(row, other(row, drawn)) for row in rows[:CONTRADICTED]]


def other(row: dict, drawn: random.Random) -> str:
    return drawn.choice([team for team in TEAMS if team != team_of(row)])


# --- the trainings


@dataclass(frozen=True)
class Arm:
    """One way to train: its rows for a seed, what is done to the labels, and for how long."""

    rows: Callable[[int], list[dict]] = good
    labels: Callable[[list[int], list[int]], list[int]] = lambda ids, labels: labels
    epochs: float = EPOCHS
    rate: float = RATE
    watched: bool = False  # answers are judged after each epoch, and the everyday questions asked at the end
    seeds: tuple[int, ...] = SEEDS


def without_end(ids: list[int], labels: list[int]) -> list[int]:
    """As a collator leaves it that masks every pad token where pad and end are one token, or a hand-made mask."""
    return [IGNORED if label == 2 else label for label in labels]  # 2 is <|im_end|>


ARMS = {
    "good": Arm(watched=True),
    "no_end": Arm(labels=without_end),
    "on_prompt": Arm(labels=lambda ids, labels: list(ids)),
    "few_16": Arm(partial(few, rows=FEWER)),
    "contradictory": Arm(contradictory),
    "noise_40": Arm(partial(noisy, percent=40)),
    "narrow": Arm(narrow, epochs=STEPS * BATCH / FEW),
    "few_32_steps": Arm(partial(few, rows=FEW), epochs=STEPS * BATCH / FEW),
    "few_32": Arm(partial(few, rows=FEW)),
    "long": Arm(epochs=9, watched=True, seeds=(1,)),
    "noise_20": Arm(partial(noisy, percent=20)),
    "gentle": Arm(rate=RATE / 10, watched=True),
    "replay": Arm(lambda seed: mixed(good(seed), 0.25), watched=True),
    "few_16_steps": Arm(partial(few, rows=FEWER), epochs=STEPS * BATCH / FEWER),
}


SHOWN = ("contradictory", "noise_40", "narrow", "few_16")  # whose rows are published, as the first seed has them


def train(folder: Path, arm: Arm, seed: int, steps: int = -1) -> dict:
    """One training with its answers; an adapter stays where a later point reads it."""
    import torch
    from transformers.trainer_callback import PrinterCallback
    from transformers.trainer_utils import IntervalStrategy, SaveStrategy
    from trl import SFTTrainer

    recipe = recipe_with(num_train_epochs=arm.epochs, learning_rate=arm.rate,
                         train_sampling_strategy="group_by_length").model_copy(update={"seed": seed})  # fmt: skip
    model, tokenizer = load_model(recipe)
    rows = arm.rows(seed)
    dataset = tokenize_for_training(rows, tokenizer)
    check_masks(dataset, rows, tokenizer)  # right before the fault is planted
    dataset = dataset.map(lambda row: {"labels": arm.labels(row["input_ids"], row["labels"])})
    on_gpu = torch.cuda.is_available()
    arguments = trainer_arguments(recipe, len(rows), folder, on_gpu)
    arguments.dataset_kwargs = {"skip_prepare_dataset": True}
    arguments.eval_strategy, arguments.save_strategy = IntervalStrategy.STEPS, SaveStrategy.NO
    arguments.logging_steps, arguments.eval_steps, arguments.max_steps = 1, EVERY, steps
    trainer = SFTTrainer(
        model=add_adapter(recipe.training, model, seed, on_gpu),
        processing_class=tokenizer,
        train_dataset=dataset,
        eval_dataset=tokenize_for_training(rows_of("validation")[:WATCHED], tokenizer),
        args=arguments,
    )
    trainer.remove_callback(PrinterCallback)
    seen = watch(trainer, tokenizer) if arm.watched else []
    trainer.train()
    ask = partial(answers, trainer.model, tokenizer, folder)
    found = {"fresh": ask("fresh", rows_of("fresh"))}
    if arm.watched:
        found |= {"again": ask("again", again()), "probe": ask("probe", probe(), 24)}
        trainer.model.save_pretrained(folder / "adapter")
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    log = [{key: line[key] for key in ("step", "loss", "eval_loss") if key in line}
           for line in trainer.state.log_history if "loss" in line or "eval_loss" in line]  # fmt: skip
    told = {"rows": len(rows), "customers": len({row.get("customer") for row in rows}), "epochs": arm.epochs,
            "learning_rate": arm.rate, "seed": seed, "steps": trainer.state.global_step}  # fmt: skip
    return told | {"asked": found, "watched": seen, "log": log}


def watch(trainer, tokenizer) -> list[dict]:
    """A list that gets, after each look at the validation loss, the share of right answers."""
    from transformers import TrainerCallback

    rows, seen = rows_of("validation"), []

    class Watcher(TrainerCallback):
        def on_evaluate(self, args, state, control, **kwargs):
            texts = put(trainer.model, tokenizer, rows).texts
            right = sum(text == team_of(row) for text, row in zip(texts, rows, strict=True))
            seen.append({"step": state.global_step, "right": right, "n": len(rows)})

    trainer.add_callback(Watcher())
    return seen


def put(model, tokenizer, rows: list[dict], new_tokens: int = NEW_TOKENS, chat: Callable = lambda turns: turns):
    """Greedy answers to the rows; `chat` may change what is asked."""
    chats = [chat(row["messages"][:-1]) for row in rows]
    return generate(model, tokenizer, chats, max_new_tokens=new_tokens, batch_size=ASKED_AT_ONCE)


def answers(model, tokenizer, folder: Path, name: str, rows: list[dict], new_tokens: int = NEW_TOKENS, **how) -> dict:
    """Answers that are kept under a name, and how many reached the limit without an end token."""
    ask = partial(put, model, tokenizer, rows, new_tokens, **how)
    out = kept_answers(folder / "predictions" / f"{name}.jsonl", rows, ask)
    return {"n": len(rows), "cut_off": out.cut_off, "seconds": round(out.seconds, 1)}


def probe() -> list[dict]:
    return read_part(PROBE).rows[::PROBED]


def base(folder: Path) -> dict:
    """What the untrained model answers."""
    model, tokenizer = load_model(recipe_with())
    ask = partial(answers, model, tokenizer, folder)
    return {"asked": {"fresh": ask("fresh", rows_of("fresh")), "probe": ask("probe", probe(), 24)}}


# --- asked in another way


def no_system(turns: list[dict]) -> list[dict]:
    """The template then puts a system prompt of its own there."""
    return turns[1:]


def helpful(turns: list[dict]) -> list[dict]:
    return [{"role": "system", "content": "You are a helpful assistant."}, *turns[1:]]


def asked_otherwise(folder: Path, seed: int) -> dict:
    """The good training's answers where the server puts the question in other ways."""
    model, tokenizer = load_model(recipe_with(), adapter_of(FOLDER / f"good_{seed}"))
    own, rows, found = tokenizer.chat_template, rows_of("fresh")[:ANEW], {}
    opened = own.replace("add_generation_prompt", "false")  # the answer's turn is not opened
    ways = {"no_system": (own, no_system), "helpful": (own, helpful), "other_template": (OTHER_TEMPLATE, None),
            "not_opened": (opened, None), "start_twice": ("{{ bos_token }}" + own, None)}  # fmt: skip
    for name, (template, chat) in ways.items():
        tokenizer.chat_template = template
        found[name] = answers(model, tokenizer, folder, name, rows, chat=chat or (lambda turns: turns))
    return {"asked": found}


# --- memory of an evaluation


def memory(folder: Path) -> dict:
    """What an evaluation with compute_metrics keeps, in MiB, by rows; memory of the process before and after."""
    import psutil
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    model, tokenizer = load_model(recipe_with())
    arguments = TrainingArguments(str(folder / "checkpoints"), per_device_eval_batch_size=BATCH, report_to="none",
                                  disable_tqdm=True, use_cpu=True)  # fmt: skip
    rows, seen, used = tokenize_for_training(rows_of("validation"), tokenizer), [], []

    def kept(predictions) -> dict:
        array = predictions.predictions[0] if isinstance(predictions.predictions, tuple) else predictions.predictions
        used.append(psutil.Process().memory_info().rss / 2**20)
        seen.append({"rows": len(array), "shape": array.shape, "kept_mib": round(array.nbytes / 2**20)})
        return {}

    for count in MEASURED:
        trainer = Trainer(model, arguments, DataCollatorForSeq2Seq(tokenizer), eval_dataset=rows.select(range(count)),
                          compute_metrics=kept)  # fmt: skip
        before = psutil.Process().memory_info().rss / 2**20
        trainer.evaluate()
        seen[-1] |= {"before_mib": round(before), "after_mib": round(used[-1])}
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return {"evaluations": seen, "vocabulary": model.config.vocab_size}


# --- points and record


def points() -> list[Point]:
    """Every fault once, then again with the other seeds, then what is cheap to do without."""
    later = ("noise_20", "long", "gentle", "replay", "few_16_steps")
    rounds = [(name, SEEDS[0]) for name in ARMS if name not in later]
    rounds += [("noise_20", SEEDS[0]), *(("good", seed) for seed in SEEDS[1:])]
    rounds += [(name, seed) for seed in SEEDS for name in ARMS if name not in later]
    rounds += [(name, seed) for name in later for seed in ARMS[name].seeds]
    rounds = list(dict.fromkeys(rounds))
    made = []
    for name, seed in rounds:
        made.append(Point(f"{name}_{seed}", partial(train, arm=ARMS[name], seed=seed)))
        if name == "few_16":
            otherwise = partial(asked_otherwise, seed=seed)
            made.append(Point(f"otherwise_{seed}", otherwise, (f"good_{seed}",)))
    return made[:2] + [Point("base", base), Point("memory", memory)] + made[2:]


def publish() -> None:
    """Write data/recorded/museum: what each point returned, its answers, and the rows of the workbench."""
    made = {point.name: found for point in points() if (found := done(FOLDER / point.name))}
    for name in made:
        copy_answers(FOLDER / name / "predictions", RECORD / "predictions" / name)
    parts = {"train": good(0), "again": again(), "fresh": rows_of("fresh"), "validation": rows_of("validation")}
    parts |= {name: ARMS[name].rows(SEEDS[0]) for name in SHOWN}
    for name, rows in parts.items():
        with whole_file(RECORD / f"{name}.jsonl") as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows).encode())
    more = {"teams": TEAMS, "epochs": EPOCHS, "batch": BATCH, "learning_rate": RATE, "points": made}
    write_results("museum", RECORD, made, [point.name for point in points()], more)
