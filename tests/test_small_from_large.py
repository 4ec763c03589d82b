"""Notebook 17: the loss that it writes by hand is TRL's."""

import re
from pathlib import Path

import pytest

SOURCE = (Path(__file__).resolve().parents[1] / "notebooks" / "src" / "17_small_from_large.py").read_text()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # trl.experimental says that it is experimental
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_loss_by_hand_is_that_of_trl(temperature):
    import torch
    from torch.nn.functional import log_softmax
    from trl.experimental.gkd import GKDTrainer

    cell = re.search(r"^def forward_kl.*?(?=\n\n)", SOURCE, re.MULTILINE | re.DOTALL)[0]
    names = {"log_softmax": log_softmax}
    exec(cell, names)
    torch.manual_seed(1)
    student, teacher = torch.randn(3, 4, 11), torch.randn(3, 4, 11)
    labels = torch.zeros(3, 4, dtype=torch.long)
    theirs = GKDTrainer.generalized_jsd_loss(student, teacher, labels, beta=0.0, temperature=temperature)
    torch.testing.assert_close(names["forward_kl"](student, teacher, temperature), theirs)
    assert names["forward_kl"](teacher, teacher, temperature) == pytest.approx(0, abs=1e-6)


def test_nothing_is_sent_before_somebody_says_yes():
    assert "CONFIRM = False" in SOURCE
    assert "confirm=CONFIRM" in SOURCE
    assert SOURCE.count("confirm=") == 1
