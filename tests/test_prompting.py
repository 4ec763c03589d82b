"""Prompts, and their search with a stand-in for the model whose answers depend on the prompt in a known way."""

import json
import re
from dataclasses import replace

import pytest

from ftlab.baselines import prompting
from ftlab.baselines.prompting import (
    Prompt,
    input_and_answer,
    rag_messages,
    read_prompts,
    search_prompts,
    text_of,
    try_prompts,
    with_shots,
)
from ftlab.baselines.retrieval import Chunk, Hit
from ftlab.errors import DataError, RecipeError
from ftlab.evaluation.generation import Generations
from ftlab.models import REPOSITORY
from ftlab.tables import readable

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


def said(chat):
    return [(turn["role"], turn["content"]) for turn in chat]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("system", [("system", "Do it."), ("user", "in"), ("assistant", "out"), ("user", "x")]),
        ("user", [("user", "Do it.\nin"), ("assistant", "out"), ("user", "Do it.\nx")]),
    ],
)
def test_the_instruction_stands_first_or_in_front_of_every_input(place, expected):
    prompt = Prompt("p", "Do it.", (("in", "out"),), place)
    assert said(prompt.messages("x")) == expected
    assert repr(prompt) == f"p: 1 examples, instruction in the {place} turn\nDo it."
    assert (Prompt("p", "Do it.").kind, prompt.kind) == ("zero_shot", "few_shot")


def turns(**contents):
    return [{"role": role.rstrip("_"), "content": text} for role, text in contents.items()]


def test_a_row_asks_with_its_one_turn_of_the_user_or_with_all_its_turns():
    one, several = turns(system="s", user="a", assistant="b"), turns(system="s", user="a", assistant="b", user_="c")
    assert input_and_answer({"messages": one}) == ("a", "b")
    asked, answer = input_and_answer({"messages": [*several, *turns(assistant="d")]})
    assert (asked, answer) == (tuple(several[1:]), "d")
    assert text_of(asked) == "a\nb\nc"


@pytest.mark.parametrize("place", ["system", "user"])
def test_several_turns_stand_after_the_instruction_and_the_examples(place):
    asked = tuple(turns(assistant="hello", user="a", assistant_="b", user_="c"))
    chat = Prompt("p", "Do it.", (("x", "y"), (asked, "z")), place).messages(asked)
    do, first = ("", "Do it.\n") if place == "user" else ("s", "")
    said = [turn["content"] for turn in chat]
    inner = ["hello", f"{first}a", "b", "c"]
    assert said == [*(["Do it."] if do else []), f"{first}x", "y", *inner, "z", *inner]
    assert [turn["role"] for turn in chat[-4:]] == ["assistant", "user", "assistant", "user"]
    assert asked[1]["content"] == "a"


def test_the_most_similar_examples_are_found_by_all_turns():
    rows = [{"messages": [*turns(user=text, assistant="which?", user_="that one"), *turns(assistant=text)]}
            for text in ("a broken kettle", "a late parcel", "a lost invoice")]  # fmt: skip
    prompt = with_shots(Prompt("p", "Do it."), rows, 1, select="similar")
    asked = tuple(turns(user="where is my parcel", assistant="which?", user_="that one"))
    shown = [turn["content"] for turn in prompt.messages(asked)[1:5]]
    assert shown == ["a late parcel", "which?", "that one", "a late parcel"]


@pytest.mark.parametrize(
    ("kind", "answers", "metrics"),
    [
        ("label", ["yes", "no"] * 5, ["exact_match", "macro_f1", "known_label"]),
        ("text", [f"the {i}. sentence" for i in range(10)], ["chrf", "rouge_l", "exact_match", "length_ratio"]),
    ],
)
def test_prompts_are_scored_by_the_kind_of_the_answers(kind, answers, metrics):
    rows = [{"messages": turns(user=f"ticket {i}", assistant=answer)} for i, answer in enumerate(answers)]
    given = {"right": answers, "half": [*answers[:5], *["wrong"] * 5]}

    def answer(prompt, inputs):
        return Generations(tuple(given[prompt.name]), 0, 0, 1.0, 0)

    prompts = [Prompt("half", "x"), Prompt("right", "x")]
    for search in (prompting.rank_prompts(prompts, rows, answer), prompting.rank_prompts(prompts, rows, answer, kind)):
        assert [c.prompt.name for c in search.candidates] == ["right", "half"]
        assert list(search.candidates[0].metrics) == metrics
        assert search.candidates[1].metrics["exact_match"].value == 0.5
        assert readable(metrics[1]) in repr(search)
        assert readable(metrics[0]) in search._repr_html_()
    by_last = prompting.rank_prompts(prompts, rows, answer, kind, metrics[-1])
    assert by_last.candidates[0].prompt.name == "right"
    with pytest.raises(RecipeError, match="choose one of"):
        prompting.rank_prompts(prompts, rows, answer, kind, "field_accuracy")


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


@pytest.mark.parametrize("select", prompting.SELECT)
def test_impossible_examples_are_refused(select):
    assert with_shots(Prompt("p", "x"), ROWS[:2], 2, select=select).examples == 2
    for k in (3, 0):
        with pytest.raises(DataError, match=f"{k} solved examples from 2 rows"):
            with_shots(Prompt("p", "x"), ROWS[:2], k, select=select)
    with pytest.raises(RecipeError, match="select='best': choose one of random, balanced, similar"):
        with_shots(Prompt("p", "x"), ROWS, 2, select="best")


def solved(*pairs):
    """Chat rows from (input, answer)."""
    return [
        {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]}
        for text, answer in pairs
    ]


def test_balanced_examples_show_every_answer_before_one_comes_twice():
    rows = solved(*((f"text {i}", answer) for i, answer in enumerate("aaaaaaaaabcd")))
    for k in range(1, 13):
        chosen = with_shots(Prompt("p", "x"), rows, k, seed=k % 3, select="balanced").shots
        assert len(set(chosen)) == k  # no example twice
        assert len({answer for _, answer in chosen}) == min(k, 4)


def test_balanced_examples_of_records_cover_the_values_of_all_fields():
    answers = [{"queue": "billing", "tone": "calm"}] * 9
    answers += [{"queue": "billing", "tone": "angry"}, {"queue": "workshop", "tone": "calm"}]
    rows = solved(*((f"text {i}", json.dumps(answer)) for i, answer in enumerate(answers)))
    for seed in range(5):
        shots = with_shots(Prompt("p", "x"), rows, 3, seed, "balanced").shots
        assert {answer for _, answer in shots} == {json.dumps(answer) for answer in answers}
    assert len({with_shots(Prompt("p", "x"), rows, 3, seed, "balanced") for seed in range(5)}) > 1


SOLVED = solved(
    ("the kettle is broken", "1"), ("the parcel is lost", "2"), ("the kettle arrived broken and late", "3"), ("hm", "4")
)


def test_similar_examples_are_chosen_for_each_input_the_likest_last():
    prompt = with_shots(Prompt("p", "Do it."), SOLVED, 2, select="similar")
    assert (prompt.kind, prompt.examples, prompt.shots) == ("few_shot", 2, ())

    def answers(text):
        return [turn["content"] for turn in prompt.messages(text) if turn["role"] == "assistant"]

    assert answers("my broken kettle")[-1] == "1"  # the shorter of the two that share both words
    assert set(answers("my broken kettle")) == {"1", "3"}
    assert answers("a lost parcel")[-1] == "2"
    assert [turn["role"] for turn in prompt.messages("x")] == ["system", *["user", "assistant"] * 2, "user"]


def test_an_example_with_the_input_itself_is_left_out_and_unlike_ones_fill_up():
    prompt = with_shots(Prompt("p", "Do it."), SOLVED, 3, select="similar")
    for text, _ in prompt.pick.pairs:
        shown = prompt.pick(text)
        assert len(set(shown)) == 3
        assert text not in [shot for shot, _ in shown]
    assert len(prompt.pick("nothing in common")) == 3
    assert len(with_shots(Prompt("p", "x"), SOLVED, 4, select="similar").pick("hm")) == 3  # no fourth without the input


def read(tmp_path, text) -> list[Prompt]:
    path = tmp_path / "prompts.yaml"
    path.write_text(text, encoding="utf-8")
    return read_prompts(path)


def test_wordings_are_read_in_their_order(tmp_path):
    text = "- {name: a, place: user, instruction: ' Größe? '}\n- name: b\n  instruction: |\n    one\n    two\n"
    assert read(tmp_path, text) == [Prompt("a", "Größe?", (), "user"), Prompt("b", "one\ntwo", (), "system")]


MISTAKES = {
    "a mapping": ("name: a\ninstruction: b", ".*; write a list of prompts"),
    "nothing": ("# only a comment", ".*; write a list of prompts"),
    "an entry that is a text": ("- {name: a, instruction: b}\n- just a text", "prompt 2: is .just a text"),
    "no name": ("- {instruction: b}", "prompt 1, name: is missing"),
    "an empty instruction": ("- {name: a, instruction: '  '}", "prompt 1, instruction: is"),
    "a number for a name": ("- {name: 5, instruction: b}", "prompt 1, name: is 5"),
    "an unknown key": ("- {name: a, instruction: b, plaice: user}", "prompt 1, plaice: is unknown; did you mean place"),
    "a bad place": ("- {name: a, instruction: b, place: assistant}", "prompt 1, place: .*write one of system, user"),
    "the same name twice": ("- {name: a, instruction: b}\n" * 2, "two prompts have the same name"),
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
    assert [c.metrics["field_accuracy"].value for c in search.candidates] == [0.9, 0.5, 0.2]
    assert [c.metrics["valid_json"].value for c in search.candidates] == [0.9, 0.5, 0.2]
    assert {c.tokens_per_call for c in search.candidates} == {110}
    assert search.best() == prompts[1]
    for call, prompt in zip(calls, prompts, strict=True):  # every prompt sees every row, and no answer
        assert call["chats"] == [prompt.messages(f"ticket {i}") for i in range(10)]
        assert (call["max_new_tokens"], call["batch_size"]) == (7, 3)


def test_a_search_follows_the_metric_of_the_bars_in_both_of_its_rounds(monkeypatch):
    """All records half right have more fields right than four wholly right ones of ten, which alone are exact."""

    def generate(model, tokenizer, chats, *settings):
        half = chats[0][0]["content"] == "half"
        return Generations((HALF_RIGHT,) * 10 if half else (ANSWER,) * 4 + ("no JSON",) * 6, 0, 0, 1.0, 0)

    monkeypatch.setattr(prompting, "generate", generate)
    wordings = [Prompt("half", "half"), Prompt("a", "whole"), Prompt("b", "whole")]
    for metric, best, shown in (("field_accuracy", "half", {"half", "whole"}), ("exact_match", "whole", {"whole"})):
        how = {"shots": (1,), "select": ("random",), "metric": metric}
        search = search_prompts(None, None, wordings, ROWS[:10], ROWS[10:], **how)
        assert search.best().instruction == search.best("few_shot").instruction == best
        names = ("field_accuracy", "exact_match")
        seen = {c.prompt.instruction: tuple(c.metrics[name].value for name in names) for c in search.candidates}
        assert seen == {"half": (0.5, 0.0), "whole": (0.4, 0.4)}
        assert {c.prompt.instruction for c in search.candidates if c.prompt.examples} == shown


def test_a_search_gives_examples_to_the_two_best_wordings_only(calls):
    wordings = [wording("worst", 0.1), wording("best", 0.6), wording("second", 0.4), wording("third", 0.2)]
    validation, training = ROWS[:10], ROWS[10:]
    how = {"shots": (1, 4), "seeds": (0, 1, 2), "select": ("random", "similar"), "batch_size": 5}
    search = search_prompts(None, None, wordings, validation, training, **how)
    few = [c.prompt for c in search.candidates if c.prompt.kind == "few_shot"]
    assert {p.instruction for p in few} == {"right=0.6", "right=0.4"}
    assert len(few) == 2 * 2 * (3 + 1)
    assert len({p.name for p in few}) == len(few)
    assert len(search.candidates) == len(calls) == 4 + len(few)
    assert {p.examples for p in few} == {1, 4}
    shown = {shot for p in few for shot in (p.pick("ticket 1") if p.pick else p.shots)}
    assert shown <= {input_and_answer(row) for row in training}
    scores = [c.metrics["field_accuracy"].value for c in search.candidates]
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


# ---- answers from passages -----------------------------------------------------------------------------------


def hit(rank, text):
    return Hit(rank, 1 / rank, Chunk(f"d{rank}#0", f"d{rank}", 0, text))


@pytest.mark.parametrize("place", ["system", "user"])
def test_the_chat_shows_the_chunks_and_then_the_question(place):
    hits = [hit(1, "The kettle costs 45 pounds."), hit(2, "The lamp is red.")]
    text = "Context:\nThe kettle costs 45 pounds.\nThe lamp is red.\n\nQuestion: How much?"
    expected = {"system": [("system", "Answer."), ("user", text)], "user": [("user", f"Answer.\n{text}")]}
    assert said(rag_messages(Prompt("p", "Answer.", (), place), "How much?", hits)) == expected[place]


def test_solved_examples_bring_their_own_context_and_picked_ones_go_along():
    prompt = replace(Prompt("p", "Answer.", (("plain", "answer"),)), pick=lambda text: (("picked", "too"),))
    chat = rag_messages(prompt, "Q?", [hit(1, "The lamp is red.")], shots=[("Who?", [hit(1, "Mia runs it.")], "Mia")])
    assert [text for _, text in said(chat)] == [
        "Answer.", "plain", "answer", "Context:\nMia runs it.\n\nQuestion: Who?", "Mia", "picked", "too",
        "Context:\nThe lamp is red.\n\nQuestion: Q?",
    ]  # fmt: skip
