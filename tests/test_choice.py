"""Constrained choice on a tiny model with random weights, against the probabilities written out; the linear model."""

import json
import math
import re

import numpy as np
import pytest
from test_generation import load_tokenizer, random_model

from ftlab.baselines.choice import choose_labels, choose_records, label_candidates, record_candidates
from ftlab.baselines.linear import train_linear
from ftlab.baselines.prompting import Prompt
from ftlab.errors import DataError, RecipeError


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer):
    return random_model(tokenizer)


def log_prob(model, tokenizer, chat, answer: str, ended: bool) -> float:
    """Log-probability of an answer, token by token, each from a pass over the whole text before it."""
    import torch

    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    total = 0.0
    for token in tokenizer(answer, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id] * ended:
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1].double()
        total += logits.log_softmax(-1)[token].item()
        ids = [*ids, token]
    return total


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_a_record_is_the_likeliest_value_of_each_field_after_the_other(model, tokenizer, batch_size):
    prompt, ticket = Prompt("p", "Fill in the record."), "Order 123456 is late."
    fields = {"tone": ["calm", "angry"], "order": lambda text: [None, *re.findall("[0-9]{6}", text)], "n": [1, 2, 10]}
    out = choose_records(model, tokenizer, prompt, [ticket], fields, batch_size)
    starts = ['{"tone": "%s", "order', '{"tone": "%s", "order": %s, "n', '{"tone": "%s", "order": %s, "n": %s}']
    values = [["calm", "angry"], ["null", '"123456"'], ["1", "2", "10"]]
    chosen = []
    for i, (start, options) in enumerate(zip(starts, values, strict=True)):
        texts = [start % (*chosen, option) for option in options]
        scores = [log_prob(model, tokenizer, prompt.messages(ticket), text, ended=i == 2) for text in texts]
        share = 1 / sum(math.exp(score - max(scores)) for score in scores)
        assert list(out.confidence.values())[i] == pytest.approx([share], abs=1e-3)
        chosen.append(options[int(np.argmax(scores))])
    assert out.texts == (starts[-1] % tuple(chosen),)
    assert list(out.confidence) == ["tone", "order", "n"]


def test_values_are_compared_as_they_stand(model, tokenizer):
    """Not as \\u escapes, which no training row has: neither in names nor in values, before, at or after the choice."""
    prompt, fields = Prompt("p", "x"), {"größe": ["groß", "klein"], "weg": ["zurück", "東京"]}
    out = choose_records(model, tokenizer, prompt, ["one"], fields)
    record = json.loads(out.texts[0])
    assert out.texts[0] == f'{{"größe": "{record["größe"]}", "weg": "{record["weg"]}"}}'
    first = [f'{{"größe": "{value}", "weg' for value in fields["größe"]]
    second = [f'{{"größe": "{record["größe"]}", "weg": "{value}"}}' for value in fields["weg"]]
    for name, texts, ended in (("größe", first, False), ("weg", second, True)):
        scores = np.array([log_prob(model, tokenizer, prompt.messages("one"), text, ended) for text in texts])
        assert record[name] == fields[name][scores.argmax()]
        assert out.confidence[name] == pytest.approx(1 / np.exp(scores - scores.max()).sum(), abs=1e-3)


def test_a_cache_of_plain_pairs_gives_the_same_choices(model, tokenizer):
    """Unsloth returns past_key_values so on a GPU: one pair (keys, values) a layer."""

    def both():
        fields = {"tone": ["calm", "angry"], "n": [1, 2, 10]}
        return choose_records(model, tokenizer, Prompt("p", "x"), ["one", "two"], fields)

    def as_pairs(module, arguments, out):
        out.past_key_values = tuple((layer.keys, layer.values) for layer in out.past_key_values.layers)
        given.append(len(out.past_key_values))
        return out

    expected, given = both(), []
    hook = model.register_forward_hook(as_pairs)
    try:
        of_pairs = both()
    finally:
        hook.remove()
    assert set(given) == {model.config.num_hidden_layers}
    assert of_pairs.texts == expected.texts
    for name, shares in of_pairs.confidence.items():
        assert shares == pytest.approx(expected.confidence[name], abs=1e-4)


def test_a_field_with_one_value_costs_nothing_and_every_answer_is_allowed(model, tokenizer):
    fields = {"a b": ["x", 'say "yes"'], "sure": [None, None], "flag": [True, False, 1]}
    out = choose_records(model, tokenizer, Prompt("p", "x"), ["one", "two", "three"], fields)
    for text in out.texts:
        record = json.loads(text)
        assert list(record) == list(fields)
        assert all(json.dumps(record[name]) in map(json.dumps, fields[name]) for name in fields)
    assert (out.confidence["sure"] == 1).all()
    prompts = [tokenizer.apply_chat_template(Prompt("p", "x").messages(t), tokenize=False, add_generation_prompt=True)
               for t in ("one", "two", "three")]  # fmt: skip
    assert out.prompt_tokens == sum(len(tokenizer(p, add_special_tokens=False)["input_ids"]) for p in prompts)
    assert out.tokens_per_call == (out.prompt_tokens + out.new_tokens) / 3


@pytest.mark.parametrize(
    ("fields", "text", "message"),
    [
        ({}, "one", "fields is empty"),
        ({"a": []}, "one", "a: give a list with at least one value"),
        ({"a": lambda text: 7}, "one", "a: give a list .* not 7"),
        ({"a": [{1}]}, "one", "a: every value"),
        ({"a": [1, 2]}, "12 " * 2048, "do not fit into the 2048 positions"),
    ],
)
def test_candidates_that_cannot_be_used_are_named(model, tokenizer, fields, text, message):
    with pytest.raises(DataError, match=message):
        choose_records(model, tokenizer, Prompt("p", "x"), [text], fields)


def solved_record(text: str, **record) -> dict:
    turns = [{"role": "user", "content": text}, {"role": "assistant", "content": json.dumps(record)}]
    return {"messages": turns}


def test_candidates_come_from_the_input_where_the_schema_lists_none():
    schema = {
        "properties": {
            "queue": {"enum": ["a", "b"]},
            "order": {"type": ["string", "null"], "pattern": "^(A|B)[0-9]{2}$"},
            "thing": {"type": ["string", "null"]},
            "count": {"type": "integer"},
        }
    }
    rows = [solved_record("x", thing="lamp", count=2), solved_record("y", thing="c++ book", count=31, extra="red")]
    fields = record_candidates(schema, rows)
    assert list(fields) == ["thing", "count", "extra", "queue", "order"]
    assert fields["queue"] == ["a", "b"]
    assert fields["order"]("A12, B3, xA99 and B34.") == [None, "A12", "B34"]
    assert fields["thing"]("Two LAMPS and a C++ book, no clamp") == [None, "lamp", "c++ book"]
    assert fields["thing"]("a clamp") == [None]
    assert fields["count"]("I have 2 and 13") == [2]
    assert fields["count"]("none") == [2, 31]  # it may not be null: anything that was seen
    assert fields["extra"]("a red one") == ["red"]
    notes = [solved_record("x", note=f"text {i}") for i in range(30)]
    assert record_candidates({}, notes[:20])["note"]("about text 3") == ["text 3"]
    with pytest.raises(RecipeError, match="^note: 30 values in 30 rows are free text"):
        record_candidates({}, notes)
    for rule, record in (({"type": "string"}, {}), ({"type": "array"}, {"free": [1]})):
        with pytest.raises(RecipeError, match="^free: neither the schema nor the rows"):
            record_candidates({"properties": {"free": rule}}, [solved_record("x", **record)])


# ---- labels -------------------------------------------------------------------------------------------------


def solved_label(text: str, label: str) -> dict:
    return {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": label}]}


@pytest.mark.parametrize("batch_size", [1, 16])
def test_a_label_is_the_likeliest_with_its_end(model, tokenizer, batch_size):
    """So a label that begins another one wins only when the answer ends there."""
    chats = [Prompt("p", "Name it.").messages(text) for text in ("Order 123456 is late.", "Where is it?")]
    labels = ["late", "late order", "lost", "none of these"]
    out = choose_labels(model, tokenizer, chats, labels, batch_size)
    for chat, text, share in zip(chats, out.texts, out.confidence, strict=True):
        scores = np.array([log_prob(model, tokenizer, chat, label, ended=True) for label in labels])
        assert text == labels[int(scores.argmax())]
        assert share == pytest.approx(1 / np.exp(scores - scores.max()).sum(), abs=1e-3)
    with pytest.raises(DataError, match="at least one value"):
        choose_labels(model, tokenizer, chats, [])


def test_labels_come_from_solved_rows():
    rows = [solved_label("x", label) for label in ("no", "yes", " yes", "maybe")]
    assert label_candidates(rows) == ["yes", "no", "maybe"]
    with pytest.raises(RecipeError, match="the answers: 25 values in 25 rows are free text"):
        label_candidates([solved_label("x", f"text {i}") for i in range(25)])


def test_a_linear_model_learns_labels():
    words = {"refund": "billing", "parcel": "logistics", "broken": "null"}  # a label, not JSON's null
    rows = [solved_label(f"{word}, {i}", label) for i in range(8) for word, label in words.items()]
    for linear in (train_linear(rows), train_linear(rows, kind="label")):
        assert linear.answer(["the parcel", "BROKEN", "refund!"]).texts == ("logistics", "null", "billing")
        assert repr(linear).startswith("Linear: one label, ")
    same = [solved_label(f"word {i}", "yes") for i in range(3)]
    assert train_linear(same).answer(["any"]).texts == ("yes",)
    turns = [("user", "broken"), ("assistant", "?"), ("user", "it")]
    asked = tuple({"role": role, "content": text} for role, text in turns)
    assert linear.answer([asked]).texts == ("null",)


def test_a_linear_model_learns_several_labels_at_once():
    words = {"refund": "billing", "parcel": "logistics", "broken": "workshop"}
    pairs = [(a, b) for a in words for b in words if a < b]
    rows = [solved_label(word, label) for word, label in words.items()] * 3
    rows += [solved_label(f"{a} and {b}", f"{words[a]}, {words[b]}") for a, b in pairs] * 2
    linear = train_linear(rows, kind="labels")
    given = linear.answer(["the parcel", "a refund, and broken", "broken and a parcel"]).texts
    assert [set(text.split(", ")) for text in given] == [{"logistics"}, {"billing", "workshop"},
                                                         {"logistics", "workshop"}]  # fmt: skip
    assert linear.probabilities(["parcel"]).shape == (1, 3)
    assert linear.answer(["something else"]).texts[0] in words.values()  # never empty
    assert repr(linear).startswith("LinearSets: 3 labels, ")


# ---- a linear model on words --------------------------------------------------------------------------------


def test_a_linear_model_learns_words_and_looks_patterns_up():
    schema = {"properties": {"order": {"pattern": "^[0-9]{6}$"}}}
    words = {"refund": "billing", "parcel": "logistics", "broken": "workshop"}
    rows = [solved_record(f"{w}, {i}", queue=q, order=None, lang="en") for i in range(8) for w, q in words.items()]
    linear = train_linear(rows, schema)
    out = linear.answer(["Is my parcel 123456 there?", "a refund please", "BROKEN, 12345"])
    assert [json.loads(text) for text in out.texts] == [
        {"queue": "logistics", "order": "123456", "lang": "en"},
        {"queue": "billing", "order": None, "lang": "en"},
        {"queue": "workshop", "order": None, "lang": "en"},
    ]
    assert out.tokens_per_call == 0
    assert "24 rows; looked up in the input: order, lang" in repr(linear)


def test_what_a_linear_model_cannot_learn_is_refused():
    with pytest.raises(RecipeError, match="^reply: 25 values in 25 rows are free text"):
        train_linear([solved_record("some words", reply=f"text {i}") for i in range(25)])
    for rows, message in (
        ([], "no rows"),
        ([solved_record("?", a=1), solved_record("!", a=2)], "no words"),
        ([{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "no"}]}], "row 1"),
        ([solved_record("x", a=1), solved_record("y", b=1)], "row 2: the answer is no JSON object with fields of a"),
    ):
        with pytest.raises(DataError, match=message):
            train_linear(rows)
