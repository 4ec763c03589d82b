"""What the settings of a fine-tune do to `smol`: loss and answers, by learning rate, rank, layers, method and epochs.

300 tickets x 3 epochs (106,000 tokens) a point, one setting changed at a time; 150 validation and 200 test tickets and
the everyday questions are answered. Five points are those of the experiment `forgetting`, which is recorded first;
nine are made here, `epochs_8` the longest: 1.1 million tokens, about 90 minutes on one core that multiplies in bf16
and has nothing else to do. QLoRA reads its 4-bit weights slowly on a CPU, so it has one point. Where a setting is
chosen, validation chooses; full training has two learning rates, as its best is far below that of an adapter.
"""

from functools import partial

from experiments._common import ROWS, fine_tune, tickets
from experiments._common import publish as write
from record import WORK, Point

FOLDER = WORK / "settings"
# what `forgetting` has trained already, under the name of the setting
SHARED = {"usual": "replay_0", "rate_5e-4": "rate_5e-4", "rate_2e-3": "rate_2e-3", "r_4": "r_4", "r_64": "r_64"}
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
TRAINED = {
    "rate_2e-4": {"learning_rate": 2e-4},
    "rate_4e-3": {"learning_rate": 4e-3},
    "attention_only": {"target_modules": ATTENTION},
    "full_2e-5": {"method": "full", "learning_rate": 2e-5},
    "full_2e-4": {"method": "full", "learning_rate": 2e-4},
    "qlora": {"method": "qlora"},
    "epochs_1": {"num_train_epochs": 1},
    "epochs_8": {"num_train_epochs": 8},
    "constant_rate": {"lr_scheduler_type": "constant"},
}


def train(folder, changes: dict) -> dict:
    return fine_tune(folder, tickets().train.rows[:ROWS], **changes)


def points() -> list[Point]:
    return [Point(name, partial(train, changes=changes)) for name, changes in TRAINED.items()]


def publish() -> None:
    """Write data/recorded/settings/results.json."""
    folders = {name: WORK / "forgetting" / other for name, other in SHARED.items()}
    write("settings", folders | {name: FOLDER / name for name in TRAINED}, {"from_forgetting": SHARED})
