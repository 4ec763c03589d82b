"""A classification head on a tiny model with random weights: it learns, repeats itself, and answers labels only."""

import numpy as np
import pytest
from test_generation import load_tokenizer, random_model

from ftlab.baselines.head import train_head
from ftlab.errors import RecipeError
from ftlab.training.recipe import Training

WORDS = {"refund": "billing", "parcel": "logistics", "broken": "workshop"}
SAID = (("user", "hi"), ("assistant", "yes?"), ("user", "parcel"))
TALK = tuple({"role": role, "content": text} for role, text in SAID)


def solved(text: str, label: str) -> dict:
    return {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": label}]}


ROWS = [solved(word, label) for _ in range(8) for word, label in WORDS.items()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model with random weights, saved."""
    folder = tmp_path_factory.mktemp("model")
    random_model(load_tokenizer()).save_pretrained(folder)
    return folder


def train(folder, rows=ROWS, **settings):
    """6 steps an epoch."""
    training = Training(learning_rate=1e-2, per_device_train_batch_size=4, gradient_accumulation_steps=1, **settings)
    return train_head(str(folder), load_tokenizer(), rows, training, 1, "fp32")


SLOW = [pytest.param(method, marks=pytest.mark.slow) for method in ("full", "qlora")]


@pytest.mark.parametrize("method", ["lora", *SLOW])
def test_a_head_learns_labels_in_the_steps_of_the_settings(folder, method):
    head = train(folder, method=method, num_train_epochs=4)
    out = head.answer([*WORDS, TALK, "zzz"])
    assert out.texts[:3] == tuple(WORDS.values())
    assert set(out.texts) <= set(WORDS.values())
    assert ((out.confidence > 1 / 3) & (out.confidence <= 1)).all()
    assert (out.new_tokens, out.cut_off, head.steps) == (0, 0, 24)
    assert out.tokens_per_call > 3
    one_by_one = np.concatenate([head.answer([text]).confidence for text in (*WORDS, TALK, "zzz")])
    assert one_by_one == pytest.approx(out.confidence, abs=1e-3)  # filling counts for nothing
    assert "3 labels, 24 steps" in repr(head)


def test_the_same_seed_gives_the_same_head(folder):
    first, second = (train(folder, num_train_epochs=0.5).answer([*WORDS]) for _ in range(2))
    assert (first.texts, first.confidence.tolist()) == (second.texts, second.confidence.tolist())


def test_free_text_is_refused(folder):
    with pytest.raises(RecipeError, match="free text"):
        train(folder, [solved("x", f"answer {i}") for i in range(30)])
