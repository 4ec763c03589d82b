"""Batched greedy answers of a tiny Qwen3 with random weights: they say nothing sensible, but always the same.

`load_tokenizer` and `random_model` also serve the tests of masks and of whole runs.
"""

import os
from functools import wraps
from pathlib import Path
from types import SimpleNamespace

import pytest

from ftlab.errors import DataError
from ftlab.evaluation.generation import (
    Generations,
    _answers,
    answer_probabilities,
    generate,
    positions,
    prompt_ids,
    read_beginning,
    reading,
)

NANO = Path(os.environ.get("NANO_FOLDER", Path(__file__).resolve().parents[1] / "data" / "models" / "nano"))
SPECIAL = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
POSITIONS = 2048
CHATS = [
    [{"role": "user", "content": "one"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a longer question, with a comma"}],
    [{"role": "user", "content": "23"}],
    [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "answer"},
        {"role": "user", "content": "second"},
    ],
    [{"role": "user", "content": "Zoë asks: 東京?"}],
]


def load_tokenizer():
    """The tokenizer of nano where it is bundled, else one of single bytes with the same kind of template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if (NANO / "tokenizer.json").exists():
        return AutoTokenizer.from_pretrained(NANO)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate([*SPECIAL, *alphabet])}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIAL[0],
        eos_token=SPECIAL[1],
        additional_special_tokens=list(SPECIAL[2:]),
        chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=POSITIONS,
    )


def random_model(tokenizer, hidden_size: int = 64):
    """Two layers of Qwen3 in fp32; the wide initialisation makes its answers vary from token to token."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=POSITIONS,
        initializer_range=0.5,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Qwen3ForCausalLM(config).eval()


@pytest.fixture(scope="session")
def tokenizer():
    return load_tokenizer()


@pytest.fixture(scope="session")
def shared_model(tokenizer):
    return random_model(tokenizer)


@pytest.fixture
def model(shared_model, tokenizer):
    """The shared model, in evaluation mode and with the tokenizer's end token, whatever a test did to it."""
    shared_model.eval()
    shared_model.generation_config.eos_token_id = tokenizer.eos_token_id
    return shared_model


def prompt_length(tokenizer, chat) -> int:
    return len(tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)["input_ids"])


def greedy(model, tokenizer, chat, steps: int) -> list[int]:
    """Greedy decoding written out, without a cache, padding or batches: the token ids of the answer."""
    import torch

    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)["input_ids"]
    start = len(ids)
    with torch.inference_mode():
        for _ in range(steps):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] == tokenizer.eos_token_id:
                break
    return ids[start:]


def test_answers_equal_greedy_decoding_written_out(model, tokenizer):
    expected = [greedy(model, tokenizer, chat, 8) for chat in CHATS]
    assert len({tuple(answer) for answer in expected}) > 1  # else a mixed-up order would go unnoticed
    out = generate(model, tokenizer, CHATS, max_new_tokens=8)
    assert list(out.texts) == [tokenizer.decode(answer, skip_special_tokens=True) for answer in expected]


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_neither_batches_nor_the_order_of_chats_change_an_answer(model, tokenizer, batch_size):
    together = generate(model, tokenizer, CHATS, max_new_tokens=12, batch_size=50)
    batched = generate(model, tokenizer, CHATS, max_new_tokens=12, batch_size=batch_size)
    backwards = generate(model, tokenizer, CHATS[::-1], max_new_tokens=12, batch_size=batch_size)
    assert together.texts == batched.texts == backwards.texts[::-1]
    assert together.new_tokens == batched.new_tokens == backwards.new_tokens


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_probability_of_an_answer_is_the_product_over_its_tokens_and_the_end(model, tokenizer, batch_size):
    import torch

    texts = ["yes", "no, never", "y", "", "a b c"]
    found = answer_probabilities(model, tokenizer, CHATS, texts, batch_size=batch_size)
    for chat, text, probability in zip(CHATS, texts, found, strict=True):
        asked = prompt_ids(tokenizer, chat)
        answer = tokenizer(text, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
        with torch.inference_mode():
            shares = model(torch.tensor([asked + answer])).logits[0].softmax(dim=-1)
        by_hand = torch.stack([shares[len(asked) + i - 1, token] for i, token in enumerate(answer)]).prod()
        assert probability == pytest.approx(float(by_hand), rel=1e-3)
    assert len(answer_probabilities(model, tokenizer, [], [])) == 0


def test_an_end_token_stops_one_answer_of_a_batch_and_no_other(model, tokenizer):
    whole = [greedy(model, tokenizer, chat, 12) for chat in CHATS]
    token = next(token for k, token in enumerate(whole[0]) if k and token not in whole[0][:k])
    ends = [answer.index(token) if token in answer else None for answer in whole]
    assert None in ends  # an answer without that token, which has to go on to the last one
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, token]
    out = generate(model, tokenizer, CHATS, max_new_tokens=12)
    assert out.cut_off == ends.count(None)
    assert list(out.texts) == [
        tokenizer.decode(answer[:end], skip_special_tokens=True) for answer, end in zip(whole, ends, strict=True)
    ]
    assert out.new_tokens == sum(12 if end is None else end + 1 for end in ends)


@pytest.fixture
def read(model, monkeypatch):
    """The (rows, tokens) of every batch that the model reads, in order."""
    shapes, forward = [], model.forward

    @wraps(forward)  # generate looks at its parameters
    def noted(input_ids, **rest):
        shapes.append(tuple(input_ids.shape))
        return forward(input_ids=input_ids, **rest)

    monkeypatch.setattr(model, "forward", noted)
    return shapes


def test_what_all_prompts_begin_with_is_read_once(model, tokenizer, read):
    system = {"role": "system", "content": "Answer in one word, and never say more than you were asked for."}
    chats = [[system, *chat[-1:]] for chat in CHATS]
    ids = [prompt_ids(tokenizer, chat) for chat in chats]
    shared = len(os.path.commonprefix(ids))
    assert shared > prompt_length(tokenizer, [system]) / 2
    out = generate(model, tokenizer, chats, max_new_tokens=6, batch_size=3)
    assert read[:2] == [(1, shared), (3, max(map(len, ids)) - shared)]
    assert read.count((1, shared)) == 1
    assert list(out.texts) == [
        tokenizer.decode(greedy(model, tokenizer, chat, 6), skip_special_tokens=True) for chat in chats
    ]


def test_the_same_prompt_twice_leaves_a_token_to_read(model, tokenizer):
    one = generate(model, tokenizer, CHATS[:1], max_new_tokens=6)
    assert generate(model, tokenizer, CHATS[:1] * 3, max_new_tokens=6).texts == one.texts * 3


def test_an_answer_that_has_ended_leaves_its_batch(model, tokenizer, read):
    whole = [greedy(model, tokenizer, chat, 12) for chat in CHATS]
    read.clear()
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, whole[0][0], whole[1][3]]
    out = generate(model, tokenizer, CHATS, max_new_tokens=12)
    rows = [shape[0] for shape in read if shape != (1, read[0][1])]
    assert rows == sorted(rows, reverse=True)
    assert rows[0] == len(CHATS) > rows[-1]
    assert out.new_tokens < 12 * len(CHATS)


def test_on_a_gpu_the_batch_is_left_to_generate(model, tokenizer):
    rows = [prompt_ids(tokenizer, chat) for chat in CHATS]
    settings = {"do_sample": False, "pad_token_id": tokenizer.pad_token_id, "eos_token_id": [tokenizer.eos_token_id]}
    found = _answers(model, rows, 8, settings)
    for answer, chat in zip(found, CHATS, strict=True):
        expected = greedy(model, tokenizer, chat, 8)
        assert answer[: len(expected)] == expected


def test_a_sliding_window_sees_no_padding_behind_the_beginning(tokenizer):
    """Padding between the beginning and the rest of a prompt would count as seen."""
    model = random_model(tokenizer)
    config = model.config
    config.use_sliding_window, config.sliding_window = True, 6
    config.layer_types = ["sliding_attention"] * config.num_hidden_layers
    model = type(model)(config).eval()
    model.load_state_dict(random_model(tokenizer).state_dict())
    assert read_beginning(model, [[1, 2, 3, 4], [1, 2, 3, 5, 6]]).get_seq_length() == 0
    together = generate(model, tokenizer, CHATS, max_new_tokens=8)
    assert together.texts == generate(model, tokenizer, CHATS, max_new_tokens=8, batch_size=1).texts
    assert together.texts == tuple(generate(model, tokenizer, [chat], max_new_tokens=8).texts[0] for chat in CHATS)


def test_tokens_are_counted_without_padding(model, tokenizer):
    out = generate(model, tokenizer, CHATS, max_new_tokens=4)
    assert out.prompt_tokens == sum(prompt_length(tokenizer, chat) for chat in CHATS)
    assert out.new_tokens == sum(len(greedy(model, tokenizer, chat, 4)) for chat in CHATS)
    assert out.tokens_per_call == (out.prompt_tokens + out.new_tokens) / len(CHATS)
    assert out.seconds > 0


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_of_the_model_is_restored(model, training):
    model.train(training)
    with reading(model):
        assert not model.training
    assert model.training is training


def test_a_prompt_that_just_fits_is_answered_and_one_token_more_is_refused(model, tokenizer):
    room = POSITIONS - prompt_length(tokenizer, CHATS[0])
    long = [{"role": "user", "content": CHATS[0][0]["content"] + " 1" * POSITIONS}]
    with pytest.raises(DataError, match=r"chat 2: \d+ prompt tokens and 4 new ones .* Shorten the prompt"):
        generate(model, tokenizer, [CHATS[0], CHATS[1], long], max_new_tokens=4)
    with pytest.raises(DataError, match=f"chat 0: .* {room + 1} new ones .* {POSITIONS} positions"):
        generate(model, tokenizer, CHATS[:1], max_new_tokens=room + 1)
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, greedy(model, tokenizer, CHATS[0], 1)[0]]
    assert generate(model, tokenizer, CHATS[:1], max_new_tokens=room).new_tokens == 1


THINKING = TEMPLATE.replace(  # as Qwen3: the answer begins after an empty thought, unless it may think aloud
    "<|assistant|>{% endif %}",
    "<|assistant|>{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}{% endif %}",
)


def test_a_model_that_can_think_aloud_is_told_not_to(model, tokenizer, monkeypatch):
    plain = tokenizer.decode(prompt_ids(tokenizer, CHATS[0]))
    monkeypatch.setattr(tokenizer, "chat_template", THINKING)
    ids = prompt_ids(tokenizer, CHATS[0])
    assert tokenizer.decode(ids) == plain + "<think></think>"
    assert generate(model, tokenizer, CHATS[:1], max_new_tokens=1).prompt_tokens == len(ids)


@pytest.mark.parametrize(
    ("config", "own", "expected"),
    [
        ({"max_position_embeddings": 4096}, {"max_seq_length": 2048}, 2048),
        ({"max_position_embeddings": 512}, {"max_seq_length": 2048}, 512),
        ({"max_position_embeddings": 512}, {}, 512),
        ({"max_position_embeddings": None}, {"max_seq_length": 2048}, 2048),
        ({}, {}, None),
    ],
)
def test_the_smaller_limit_counts(config, own, expected):
    assert positions(SimpleNamespace(config=SimpleNamespace(**config), **own)) == expected


def test_a_prompt_over_max_seq_length_is_refused_and_not_cut(model, tokenizer, monkeypatch):
    length = prompt_length(tokenizer, CHATS[0])
    monkeypatch.setattr(model, "max_seq_length", length + 3, raising=False)  # as Unsloth notes it
    assert generate(model, tokenizer, CHATS[:1], max_new_tokens=3).prompt_tokens == length
    with pytest.raises(DataError, match=f"{length} prompt tokens and 4 new ones .* {length + 3} positions"):
        generate(model, tokenizer, CHATS[:1], max_new_tokens=4)


def test_no_chats_give_no_answers_and_the_repr_says_what_was_cut_off(model, tokenizer):
    out = generate(model, tokenizer, [])
    assert out.texts == ()
    assert (out.tokens_per_call, out.prompt_tokens, out.new_tokens, out.cut_off) == (0, 0, 0, 0)
    assert repr(Generations(("a", "b"), 10, 6, 3.0, 0)) == "2 answers in 3 s, 8 tokens a call"
    assert repr(Generations(("a", "b"), 10, 6, 3.0, 1)).endswith(", 1 cut off at max_new_tokens")


def test_plain_attention_reads_in_bf16_and_the_models_own_comes_back():
    """It is faster on a CPU; a batch of long texts keeps the model's own, for the memory."""
    import torch

    model = random_model(load_tokenizer()).to(torch.bfloat16)
    model.set_attn_implementation("sdpa")
    with reading(model, 4, 100):
        assert model.config._attn_implementation == "eager"
    with reading(model, 64, 10**5):
        assert model.config._attn_implementation == "sdpa"
    assert model.config._attn_implementation == "sdpa"
    model.float()
    with reading(model, 4, 100):
        assert model.config._attn_implementation == "sdpa"
