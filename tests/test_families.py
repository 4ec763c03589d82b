"""The families' table: what a template does is read off its text; a card holds what the memory model says."""

import pytest

from ftlab.costs.memory import estimate_memory
from ftlab.families import CARDS, Habits, _generation, families, family, newer, smallest_card, template_habits
from ftlab.models import CATALOGUE

TURN = "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}"
ASK = "{% if add_generation_prompt %}<assistant>{% endif %}"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (TURN + ASK, Habits("own turn", "no", "no", "<end>")),
        ("{{ tools | tojson if tools else '' }}" + TURN, Habits("own turn", "no", "yes", "<end>")),
        (
            TURN + ASK.replace("<assistant>", "<assistant>{{ '' if enable_thinking else '<think></think>' }}"),
            Habits("own turn", "optional", "no", "<end>"),
        ),
        (
            TURN + ASK.replace("<assistant>", "<assistant><think>"),
            Habits("own turn", "always", "no", "<end>"),
        ),
        (
            TURN.replace("<end>", "{{ eos_token }}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}"),
            Habits("refused", "no", "no", "eos_token"),
        ),
        (
            "{% for m in messages if m.role != 'system' %}{{ m.content }};{% endfor %}",
            Habits("dropped", "no", "no", ";"),
        ),
        (
            "{% for m in messages %}{{ m.content }}{{ '\n' if m.role == 'system' else '<end>' }}{% endfor %}",
            Habits("user's turn", "no", "no", "<end>"),
        ),
        (
            "{% if messages[0].role != 'system' %}<system>Be kind.<end>{% endif %}" + TURN,
            Habits("own turn; without one, a text of its own", "no", "no", "<end>"),
        ),
    ],
    ids=["plain", "tools", "a choice", "thoughts", "refused", "dropped", "the user's", "own text"],
)
def test_habits_are_read_off_what_a_template_writes(template, expected):
    assert template_habits(template) == expected


@pytest.mark.parametrize("method", ["lora", "qlora"])
@pytest.mark.parametrize("model", ["qwen3-0.6b", "llama-3.1-8b", "qwen3-14b", "gemma-3-4b"])
def test_the_smallest_card_holds_training_and_evaluation_and_the_one_below_does_not(model, method):
    told = smallest_card(model, method)
    place = CARDS.index(told.removesuffix(" (close)"))
    assert estimate_memory(model, method, batch=2, length=2048, gpu=CARDS[place]).close is told.endswith(" (close)")
    for card, holds in zip(CARDS[max(0, place - 1) : place + 1], (False, True)[-min(place + 1, 2) :], strict=True):
        memory = estimate_memory(model, method, batch=2, length=2048, gpu=card)
        assert (memory.fits and memory.evaluation_batch == 2) is holds
    assert smallest_card("qwen3-14b", "lora", batch=64, length=32768) == "none of these"


def test_a_card_that_holds_it_only_closely_is_marked_with_what_that_means():
    table = families({})
    assert [row[-1] for row in table.rows if "Qwen3-8B" in row[0]] == ["A100-40GB / T4 (close)"]
    assert "(close): may not fit, measured runs lay up to 8% off the estimate" in table.notes


def test_every_model_but_nano_stands_in_the_table_once():
    heading, *rows = families({}).rows
    assert sorted(row[0] for row in rows) == sorted(model.hub_id for model in CATALOGUE if model.hub_id)
    assert all(len(row) == len(heading) for row in rows)
    assert {family(model.name) for model in CATALOGUE} == {"nano", "smol", "qwen", "llama", "phi", "gemma", "mistral"}
    assert {"gated" in row[2] for row in rows if "lama" in row[0] or "gemma" in row[0]} == {True}


def test_the_table_can_be_read_on_a_page_and_shows_no_placeholder():
    own_text = "{% if messages[0].role != 'system' %}<system>Be kind.<end>{% endif %}" + TURN
    ends = "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
    table = families({"unsloth/Qwen3-8B": own_text, "unsloth/mistral-7b-v0.3": ends}, listed=["unsloth/Qwen3-8B"])
    told = repr(table)
    assert len(table.rows[0]) <= 8
    assert max(map(len, told.splitlines()[: len(table.rows)])) <= 140
    cells = {row[0]: row[3:7] for row in table.rows}
    assert cells["unsloth/Qwen3-8B"] == ("own turn *", "no", "no", "<end>")
    assert cells["unsloth/mistral-7b-v0.3"][3] == "eos_token"
    assert "<eos_token>" not in told
    assert "*: without one, a text of its own" in told
    assert "not in Unsloth's list: " in told
    assert "unsloth/Qwen3-8B" not in table.notes[-1]


@pytest.mark.parametrize(
    ("name", "generation"),
    [("unsloth/Qwen3-4B-Instruct-2507", 3), ("unsloth/mistral-7b-v0.3", 0.3), ("unsloth/Llama-3.2-1B-Instruct", 3.2),
     ("unsloth/gemma-3-270m-it", 3), ("unsloth/Phi-3.5-mini-instruct", 3.5), ("unsloth/Qwen3.8-27B", 3.8),
     ("unsloth/Mistral-Large-Instruct-2407", 0), ("x/none", 0)],
)  # fmt: skip
def test_a_generation_is_neither_a_size_nor_a_date(name, generation):
    assert _generation(name) == generation


def test_newer_models_are_of_a_later_generation_and_named_once():
    listed = ["unsloth/Qwen4-4B", "unsloth/qwen4-4b", "unsloth/Qwen4-4B-bnb-4bit", "unsloth/Qwen2-7B", "Qwen/Qwen4-4B",
              "unsloth/Unheard-9"]  # fmt: skip
    assert newer(listed) == {"gemma": [], "llama": [], "mistral": [], "phi": [], "qwen": ["Qwen4-4B"], "smol": []}
