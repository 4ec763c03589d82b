"""The bundled model: an ordinary small causal language model that can do what its card says.

NANO_FOLDER=... tests another export.
"""

import os
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(os.environ.get("NANO_FOLDER", ROOT / "data" / "models" / "nano"))
pytestmark = pytest.mark.skipif(
    not (FOLDER / "model.safetensors").exists(), reason=f"{FOLDER} holds no weights: export them first"
)

sys.path.insert(0, str(ROOT / "tools"))
try:
    import measure_nano
    from nano_world.compose import World, document
finally:
    sys.path.remove(str(ROOT / "tools"))


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(FOLDER)


@pytest.fixture(scope="module")
def model():
    return measure_nano.load(FOLDER)[0]


def test_the_weights_are_small_and_safe():
    assert (FOLDER / "model.safetensors").stat().st_size <= 16e6
    assert not [path for path in FOLDER.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".pkl")]


def test_shape(model):
    assert model.config.hidden_size % 64 == 0  # NF4 quantises blocks of 64
    assert model.config.intermediate_size % 64 == 0
    assert model.config.max_position_embeddings >= 1024
    assert model.num_parameters() < 8e6


def test_weights_are_finite(model):
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_end_and_padding_differ_and_agree_with_the_model(model, tokenizer):
    assert tokenizer.eos_token_id != tokenizer.pad_token_id
    for config in (model.config, model.generation_config):
        assert config.eos_token_id == tokenizer.eos_token_id
        assert config.pad_token_id == tokenizer.pad_token_id
    assert len(tokenizer) == model.config.vocab_size


def test_digits_are_single_tokens(tokenizer):
    for text in ("1234567890", "order 400213,", "P1", "3.50"):
        tokens = tokenizer.tokenize(text)
        digits = [token for token in tokens if any(c.isdigit() for c in token)]
        assert digits == [c for c in text if c.isdigit()]


def test_any_text_survives_the_tokenizer(tokenizer):
    from hypothesis import example, given, settings, strategies

    @given(strategies.text(strategies.characters(exclude_categories=["Cs"]), max_size=60))
    @example("Zoë's 東京 \U0001f642 naïve\r\n\ttabs  and   spaces ")
    @example(" .,!?'s n't")
    @settings(max_examples=200, deadline=None)
    def round_trip(text):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text

    round_trip()


def test_the_chat_template_is_what_pre_training_saw(tokenizer):
    from pretrain_nano import WEIGHT, encode

    seen = 0
    for seed in range(400):
        doc = document(seed)
        if doc.turns[0][0] == "text":
            continue
        ids, weights = encode(doc, tokenizer.backend_tokenizer)
        chat = tokenizer.apply_chat_template(
            measure_nano.as_messages(doc), return_dict=True, return_assistant_tokens_mask=True
        )
        assert chat["input_ids"][: len(ids)] == ids
        assert chat["assistant_masks"][: len(ids)] == [int(weight > WEIGHT["user"]) for weight in weights]
        seen += 1
    assert seen > 200


def test_the_generation_prompt_continues_the_chat(tokenizer):
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    answer = {"role": "assistant", "content": "Hi"}
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    full = tokenizer.apply_chat_template([*chat, answer], tokenize=False)
    assert full == prompt + "Hi" + tokenizer.eos_token


@pytest.fixture(scope="module")
def share_right(model, tokenizer):
    """Share of 40 questions of one kind, in held-out wordings, that are answered exactly right; asked once a kind."""

    @cache
    def share(name):
        make = {"extract": World.extract}.get(name, lambda world: world.skill(name))
        questions = [measure_nano.Question(make(World(4_000_000_000 + i, "heldout"))) for i in range(40)]
        answers = measure_nano.answer(model, tokenizer, questions)
        return sum(a.strip() == q.answer for a, q in zip(answers, questions, strict=True)) / len(questions)

    return share


@pytest.mark.parametrize(
    ("name", "floor"),
    [("extract", 0.9), ("first", 0.75), ("count", 0.65), ("largest", 0.6), ("copy", 0.65), ("sum", 0.3)],
)
def test_it_does_simple_things_in_wordings_that_it_never_met(share_right, name, floor):
    """Floors under what was measured with 58M tokens of pre-training; raise them with a better nano."""
    assert share_right(name) >= floor


@pytest.mark.xfail(strict=True, reason="58M tokens were too few for it (DECISIONS.md)")
@pytest.mark.parametrize("name", ["reverse", "sort", "sum"])
def test_it_reaches_the_aim(share_right, name):
    assert share_right(name) >= 0.85


def test_answers_do_not_depend_on_the_batch(model, tokenizer):
    questions = [measure_nano.Question(World(5_000_000_000 + i, "heldout").extract()) for i in range(12)]
    together = measure_nano.answer(model, tokenizer, questions)
    alone = [measure_nano.answer(model, tokenizer, [question])[0] for question in questions]
    assert sum(a == b for a, b in zip(together, alone, strict=True)) >= 11  # padding may tip a close call


def test_it_loads_in_four_bits(tokenizer):
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
    model = AutoModelForCausalLM.from_pretrained(FOLDER, quantization_config=config, device_map="cpu")
    assert type(model.model.layers[0].mlp.up_proj).__name__ == "Linear4bit"
    ids = tokenizer("Reverse this list: lamp, river", return_tensors="pt")
    with torch.inference_mode():
        assert model(**ids).logits.isfinite().all()


def test_the_card_belongs_to_these_weights(model):
    card = (FOLDER / "README.md").read_text()
    assert f"{model.num_parameters():,}" in card
    assert "$" not in card
    assert all(f"| {task} |" in card for task in measure_nano.TASKS)
