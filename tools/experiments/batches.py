"""How much sooner is an evaluation done that answers in batches, and are its answers the same?

`smol`, trained for a few minutes on support tickets so that its answers are records that end, answers tickets one
at a time, 8 and 50 at a time, through the same `generate` (one at a time: a call for each), in one process; the order
of the sizes differs by round. Some twenty minutes on one core.
"""

from functools import cache
from pathlib import Path

from experiments._common import BATCH, fine_tune, recipe_with, tickets
from record import ROOT, WORK, Point, adapter_of, done, write_results

from ftlab.evaluation.generation import generate
from ftlab.training.train import load_model

FOLDER, RECORD = WORK / "batches", ROOT / "data" / "recorded" / "batches"
SIZES = (1, 8, BATCH)
ROUNDS, TOKENS = 3, 96


def trained(folder: Path) -> dict:
    """A short training: 300 tickets, read once; its adapter stays for the others."""

    def keep(model) -> dict:
        model.save_pretrained(folder / "adapter")
        return {}

    return fine_tune(folder, tickets().train.rows[:300], keep, only_test=True, num_train_epochs=1)


@cache
def model_and_tokenizer():
    """The model of `trained`, and its tokenizer."""
    return load_model(recipe_with(), adapter_of(FOLDER / "trained"))


def one_round(number: int):
    """A point that answers the same 50 tickets in each size."""

    def compared(folder: Path) -> dict:
        rows = tickets().tests["test"].rows[number * BATCH : (number + 1) * BATCH]
        chats, seconds, texts = [row["messages"][:-1] for row in rows], {}, {}
        for size in SIZES[number:] + SIZES[:number]:
            calls = [[chat] for chat in chats] if size == 1 else [chats]
            made = [generate(*model_and_tokenizer(), each, TOKENS, batch_size=size) for each in calls]
            seconds[size] = sum(answers.seconds for answers in made)
            texts[size] = [text for answers in made for text in answers.texts]
        same = {size: sum(a == b for a, b in zip(texts[size], texts[1], strict=True)) for size in SIZES}
        tokens = sum(answers.new_tokens for answers in made)
        return {"seconds": seconds, "same": same, "chats": len(chats), "new_tokens": tokens}

    return compared


def points() -> list[Point]:
    rounds = [Point(f"round_{number}", one_round(number), needs=("trained",)) for number in range(ROUNDS)]
    return [Point("trained", trained), *rounds]


def publish() -> None:
    """Write data/recorded/batches: results.json."""
    names = [point.name for point in points()]
    made = {name: found for name in names if (found := done(FOLDER / name))}
    write_results("batches", RECORD, made, names, {"points": made})
