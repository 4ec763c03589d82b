"""The prompt search, with a stand-in for the model whose answers depend on the prompt in a known way."""

import json
import re

import pytest

from ftlab.baselines import (
    Prompt,
    input_and_answer,
    prompting,
    read_prompts,
    search_prompts,
    try_prompts,
    with_shots,
)
from ftlab.errors import DataError, RecipeError
from ftlab.evaluation.generation import Generations
from ftlab.models import REPOSITORY

ANSWER = json.dumps({"queue": "billing", "urgency": "P3"})
ROWS = [
    {
        "id": f"r{i}",
        "messages": [
            {"role": "system", "content": "Triage the ticket."},
            {"role": "user", "content": f"ticket {i}"},
            {"role": "assistant", "content": ANSWER},
        ],
    }
    for i in range(20)
]
HALF_RIGHT = json.dumps({"queue": "billing", "urgency": "P1"})


@pytest.fixture
def calls(monkeypatch):
    """A stand-in for `generate`. The instruction "right=0.6" is answered rightly on 60 % of the chats, each
    solved example adds 5 points; what is not right is no JSON. Returns the list of the calls it got."""
    calls = []

    def generate(model, tokenizer, chats, max_new_tokens=96, batch_size=50, progress=False):
        calls.append({"chats": chats, "max_new_tokens": max_new_tokens, "batch_size": batch_size})
        share = float(re.search(r"right=([\d.]+)", chats[0][0]["content"])[1])
        shots = sum(message["role"] == "assistant" for message in chats[0])
        right = round((share + 0.05 * shots) * len(chats))
        texts = (ANSWER,) * right + ("I do not know.",) * (len(chats) - right)
        return Generations(texts, 100 * len(chats), 10 * len(chats), 1.0, 0)

    monkeypatch.setattr(prompting, "generate", generate)
    return calls


def wording(name, share):
    return Prompt(name, f"right={share}")


def test_a_system_prompt_stands_first_and_an_input_as_it_is():
    prompt = Prompt("p", "Do it.", (("in 1", "out 1"), ("in 2", "out 2")))
    assert prompt.messages("x") == [
        {"role": "system", "content": "Do it."},
        {"role": "user", "content": "in 1"},
        {"role": "assistant", "content": "out 1"},
        {"role": "user", "content": "in 2"},
        {"role": "assistant", "content": "out 2"},
        {"role": "user", "content": "x"},
    ]


def test_a_user_prompt_stands_in_front_of_every_input():
    prompt = Prompt("p", "Do it.", (("in", "out"),), place="user")
    assert prompt.messages("x") == [
        {"role": "user", "content": "Do it.\nin"},
        {"role": "assistant", "content": "out"},
        {"role": "user", "content": "Do it.\nx"},
    ]


def test_a_prompt_is_of_a_kind_and_shows_itself():
    assert Prompt("p", "Do it.").kind == "zero_shot"
    few = Prompt("p", "Do it.", (("in", "out"),), "user")
    assert few.kind == "few_shot"
    assert repr(few) == "p: 1 examples, instruction in the user turn\nDo it."


def test_input_and_answer_are_the_last_turns():
    turns = [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    row = {"messages": [{"role": role, "content": text} for role, text in turns]}
    assert input_and_answer(row) == ("c", "d")


def test_examples_are_drawn_by_the_seed_from_the_given_rows_only():
    prompt = Prompt("p", "Do it.", place="user")
    given = [input_and_answer(row) for row in ROWS]
    drawn = [with_shots(prompt, ROWS, 4, seed) for seed in range(8)]
    assert drawn == [with_shots(prompt, ROWS, 4, seed) for seed in range(8)]
    assert len({each.shots for each in drawn}) > 1
    for each in drawn:
        assert len(set(each.shots)) == 4
        assert set(each.shots) <= set(given)
        assert (each.instruction, each.place) == (prompt.instruction, prompt.place)
    assert len({each.name for each in [prompt, *drawn]}) == 9


def test_more_examples_than_rows_are_refused():
    assert len(with_shots(Prompt("p", "x"), ROWS[:2], 2).shots) == 2
    with pytest.raises(DataError, match="3 solved examples from 2 rows"):
        with_shots(Prompt("p", "x"), ROWS[:2], 3)


def read(tmp_path, text) -> list[Prompt]:
    path = tmp_path / "prompts.yaml"
    path.write_text(text, encoding="utf-8")
    return read_prompts(path)


def test_wordings_are_read_in_their_order(tmp_path):
    text = "- {name: a, place: user, instruction: ' Größe? '}\n- name: b\n  instruction: |\n    one\n    two\n"
    assert read(tmp_path, text) == [Prompt("a", "Größe?", (), "user"), Prompt("b", "one\ntwo", (), "system")]


MISTAKES = {
    "a mapping": ("name: a\ninstruction: b", "must be a list"),
    "nothing": ("# only a comment", "must be a list"),
    "an empty list": ("[]", "must be a list"),
    "an entry that is a text": ("- {name: a, instruction: b}\n- just a text", "prompt 2 needs name and instruction"),
    "no name": ("- {instruction: b}", "prompt 1 needs name and instruction"),
    "no instruction": ("- {name: a, instruction: b}\n- {name: c}", "prompt 2 needs name and instruction"),
    "an empty instruction": ("- {name: a, instruction: '  '}", "prompt 1 needs name and instruction"),
    "a number for a name": ("- {name: 5, instruction: b}", "prompt 1 needs name and instruction as texts"),
    "an unknown key": ("- {name: a, instruction: b, plaice: user}", "prompt 1 .*unknown: plaice"),
    "a number for a key": ("- {name: a, instruction: b, 7: user}", "prompt 1 .*unknown: 7"),
    "a bad place": ("- {name: a, instruction: b, place: assistant}", "prompt 1, place: must be system or user"),
    "an empty place": ("- {name: a, instruction: b, place: }", "prompt 1, place: must be system or user"),
    "the same name twice": (
        "- {name: a, instruction: b}\n- {name: a, instruction: c}",
        "two prompts have the same name",
    ),
    "no YAML": ("- {name: a", "not readable as YAML"),
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_in_the_wordings_is_named_with_its_file(tmp_path, text, message):
    with pytest.raises(RecipeError, match=f"prompts.yaml: (?s:{message})"):
        read(tmp_path, text)


def test_the_bundled_wordings_name_every_field_and_every_label():
    schema = json.loads((REPOSITORY / "data" / "support_triage" / "schema.json").read_text())
    prompts = read_prompts(REPOSITORY / "recipes" / "support_triage_prompts.yaml")
    fields = schema["properties"]
    labels = [label for field in fields.values() for label in field.get("enum", ())]
    assert len(labels) == 21
    assert "keys_only" in [p.name for p in prompts]
    for prompt in prompts:
        wanted = [*fields, *(labels if prompt.name != "keys_only" else ())]
        missing = [word for word in wanted if not re.search(rf"\b{word}\b", prompt.instruction)]
        assert not missing, f"{prompt.name} lacks {missing}"
    assert {p.place for p in prompts} == {"system", "user"}


def test_prompts_are_scored_and_ordered_best_first(calls):
    prompts = [wording("bad", 0.2), wording("good", 0.9), wording("fair", 0.5)]
    search = try_prompts("model", "tokenizer", prompts, ROWS[:10], max_new_tokens=7, batch_size=3)
    assert [c.prompt.name for c in search.candidates] == ["good", "fair", "bad"]
    assert [c.field_accuracy.value for c in search.candidates] == [0.9, 0.5, 0.2]
    assert [c.valid_json.value for c in search.candidates] == [0.9, 0.5, 0.2]
    assert {c.tokens_per_call for c in search.candidates} == {110}
    assert search.best() == prompts[1]
    for call, prompt in zip(calls, prompts, strict=True):  # every prompt sees every row, and no answer
        assert call["chats"] == [prompt.messages(f"ticket {i}") for i in range(10)]
        assert (call["max_new_tokens"], call["batch_size"]) == (7, 3)


def test_order_follows_the_fields_and_not_the_format(monkeypatch):
    """Valid JSON with half of the fields right loses against fewer answers that are wholly right."""
    texts = {"neat": (HALF_RIGHT,) * 10, "right": (ANSWER,) * 6 + ("no JSON",) * 4}

    def generate(model, tokenizer, chats, *settings):
        return Generations(texts[chats[0][0]["content"]], 0, 0, 1.0, 0)

    monkeypatch.setattr(prompting, "generate", generate)
    search = try_prompts(None, None, [Prompt("neat", "neat"), Prompt("right", "right")], ROWS[:10])
    found = [(c.prompt.name, c.field_accuracy.value, c.valid_json.value) for c in search.candidates]
    assert found == [("right", 0.6, 0.6), ("neat", 0.5, 1.0)]


def test_a_row_whose_answer_is_no_json_is_refused(calls):
    row = {"messages": [*ROWS[0]["messages"][:-1], {"role": "assistant", "content": "Thanks!"}]}
    with pytest.raises(DataError, match="reference 2: is no JSON object"):
        try_prompts(None, None, [wording("a", 0.5)], [ROWS[0], row])


def test_a_search_gives_examples_to_the_two_best_wordings_only(calls):
    wordings = [wording("worst", 0.1), wording("best", 0.6), wording("second", 0.4), wording("third", 0.2)]
    validation, training = ROWS[:10], ROWS[10:]
    search = search_prompts(None, None, wordings, validation, training, shots=(1, 4), seeds=(0, 1, 2), batch_size=5)
    few = [c.prompt for c in search.candidates if c.prompt.kind == "few_shot"]
    assert {p.instruction for p in few} == {"right=0.6", "right=0.4"}
    assert len(few) == 2 * 2 * 3
    assert len(search.candidates) == len(calls) == 4 + len(few)
    assert {len(p.shots) for p in few} == {1, 4}
    assert {shot for p in few for shot in p.shots} <= {input_and_answer(row) for row in training}
    scores = [c.field_accuracy.value for c in search.candidates]
    assert scores == sorted(scores, reverse=True)
    assert search.best().instruction == search.best("few_shot").instruction == "right=0.6"
    assert search.best("zero_shot") == wordings[1]
    assert {call["batch_size"] for call in calls} == {5}
    assert {len(call["chats"]) for call in calls} == {10}


def test_a_search_reads_as_a_table(calls):
    search = try_prompts(None, None, [wording("<b>", 0.5)], ROWS[:10])
    assert repr(search).startswith("<b>")
    assert "50.0 %" in repr(search)
    assert "<td>&lt;b&gt;</td>" in search._repr_html_()
