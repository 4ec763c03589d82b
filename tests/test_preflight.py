"""Masks: the right one passes; every other one is refused, with the number of the example.

Rows are tokenised here as a trainer would, answer by answer, so that the right mask is known from its making.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_generation import load_tokenizer

from ftlab.errors import DataError
from ftlab.training.preflight import IGNORED, check_masks, read_mask

CHAT = [
    {"role": "system", "content": "Triage the ticket."},
    {"role": "user", "content": "The lamp of order 195925 is broken."},
    {"role": "assistant", "content": '{"queue": "workshop", "order_id": "195925"}'},
]
SHORT = [{"role": "user", "content": "ja"}, {"role": "assistant", "content": "ja"}]
LONG = [*CHAT, {"role": "user", "content": "And now?"}, {"role": "assistant", "content": "Wait."}]
tokenizer = load_tokenizer()


def tokenise(chat, template=None) -> dict:
    """input_ids and labels of a chat; trained is what the template writes after the start of an answer."""
    ids, labels = [], []
    for turn, message in enumerate(chat):
        whole = render(chat[: turn + 1], template)
        before = render(chat[:turn], template)
        if message["role"] == "assistant":
            start = render(chat[:turn], template, add_generation_prompt=True)
            assert whole.startswith(start)
            before, prompt = start, encode(start[len(before) :])
            ids += prompt
            labels += [IGNORED] * len(prompt)
        new = encode(whole[len(before) :])
        ids += new
        labels += new if message["role"] == "assistant" else [IGNORED] * len(new)
    return {"input_ids": ids, "labels": labels}


def render(chat, template=None, **options) -> str:
    return tokenizer.apply_chat_template(chat, tokenize=False, chat_template=template, **options) if chat else ""


def encode(text) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def labelled(row, trained) -> dict:
    """The row with another mask; `trained` holds positions."""
    ids = row["input_ids"]
    return {"input_ids": ids, "labels": [token if i in trained else IGNORED for i, token in enumerate(ids)]}


def positions(row) -> list[int]:
    return [i for i, label in enumerate(row["labels"]) if label != IGNORED]


@pytest.mark.parametrize("chat", [CHAT, SHORT, LONG], ids=["one turn", "short", "two turns"])
def test_a_right_mask_passes(chat):
    row = tokenise(chat)
    mask = check_masks([row, row], [chat, chat], tokenizer)
    assert mask.trained == "".join(m["content"] + tokenizer.eos_token for m in chat if m["role"] == "assistant")
    assert (mask.trained_tokens, mask.all_tokens) == (len(positions(row)), len(row["input_ids"]))
    assert chat[0]["content"] in mask.ignored


WRONG = {
    "nothing is trained": (lambda row: labelled(row, []), "no token is trained.*max_length"),
    "the end token is missing": (lambda row: labelled(row, positions(row)[:-1]), "missing end token"),
    "the prompt is trained too": (lambda row: labelled(row, range(len(row["labels"]))), "wrong response marker"),
    "the answer is cut": (
        lambda row: {key: values[:-5] for key, values in row.items()},
        "a cut answer means that max_length is too small",
    ),
    "the row is cut before the answer": (
        lambda row: {key: values[: positions(row)[0]] for key, values in row.items()},
        "cut at max_length before the answer",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize("chat", [CHAT, LONG], ids=["one turn", "two turns"])
def test_a_wrong_mask_is_refused_with_its_number(chat, spoil, message):
    row = tokenise(chat)
    rows = [row, row, spoil(row), row]
    with pytest.raises(DataError, match=f"(?s)^example 2: .*{message}.*its user begins .The lamp of order"):
        check_masks(rows, [chat] * 4, tokenizer)


def test_a_chat_whose_first_answer_is_not_trained_is_refused():
    row = tokenise(LONG)
    last = [i for i in positions(row) if not set(range(i, len(row["labels"]))) - set(positions(row))]
    assert 0 < len(last) < len(positions(row))
    with pytest.raises(DataError, match="example 0: the loss is on 'Wait"):
        check_masks([labelled(row, last)], [LONG], tokenizer)


def test_the_same_words_in_the_question_are_not_the_answer():
    row = tokenise(SHORT)
    answer, ids = positions(row), row["input_ids"]
    wanted = [ids[i] for i in answer]
    copy = next(k for k in range(len(ids)) if ids[k : k + len(wanted)] == wanted)
    assert copy < answer[0]
    with pytest.raises(DataError, match="example 0: .* another copy of that text"):
        check_masks([labelled(row, range(copy, copy + len(wanted)))], [SHORT], tokenizer)


@pytest.mark.parametrize(
    ("trained", "chats", "message"),
    [
        ([CHAT, SHORT], [SHORT, CHAT], "^example 0: .*in the same order"),
        ([CHAT] * 2, [CHAT] * 3, r"3 chats, but 2 rows in the training set.*max_length"),
        ([], [], "the training set is empty"),
    ],
    ids=["another order", "dropped rows", "nothing"],
)
def test_rows_that_do_not_belong_to_the_chats_are_refused(trained, chats, message):
    with pytest.raises(DataError, match=message):
        check_masks([tokenise(chat) for chat in trained], chats, tokenizer)


NEWLINES = (  # the layout of ChatML: a new line after the role and after the end token
    "{% for message in messages %}{{ message['role'] }}:\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:\n{% endif %}"
)
THOUGHTS = NEWLINES.replace(
    "{{ message['role'] }}:\n",
    "{{ message['role'] }}:\n{% if loop.last and message['role'] == 'assistant' %}<think>\n\n</think>\n\n{% endif %}",
)


@pytest.mark.parametrize("template", [NEWLINES, THOUGHTS], ids=["new lines", "empty thoughts"])
@pytest.mark.parametrize("chat", [CHAT, SHORT], ids=["one turn", "short"])
def test_white_space_and_empty_thoughts_of_a_template_may_be_trained_or_not(chat, template, monkeypatch):
    monkeypatch.setattr(tokenizer, "chat_template", template)
    row = tokenise(chat, template)
    assert check_masks([row], [chat], tokenizer).trained.rstrip().endswith(tokenizer.eos_token)
    answer = [chat[-1]["content"] + tokenizer.eos_token]
    ids, end = row["input_ids"], len(row["input_ids"]) - len(encode("\n"))
    start = next(i for i in reversed(range(end)) if tokenizer.decode(ids[i:end]) == answer[0])
    assert check_masks([labelled(row, range(start, end))], [chat], tokenizer).trained == answer[0]


def test_two_turns_with_new_lines_between_them(monkeypatch):
    monkeypatch.setattr(tokenizer, "chat_template", NEWLINES)
    row = tokenise(LONG, NEWLINES)
    assert check_masks([row], [LONG], tokenizer).trained.count(tokenizer.eos_token + "\n") == 2


def test_a_template_that_cuts_the_end_of_an_answer_is_told_from_one_that_opens_no_turn(monkeypatch):
    cutting = NEWLINES.replace("{{ message['content'] }}", "{{ message['content'][:30] }}")
    monkeypatch.setattr(tokenizer, "chat_template", cutting)
    with pytest.raises(DataError, match="^example 0: the loss is on .*but the answer is .*a cut answer"):
        check_masks([tokenise(CHAT, cutting)], [CHAT], tokenizer)


class Columns(list):
    """Rows with the columns that a data set has besides its tokens."""

    def __init__(self, rows):
        super().__init__({"text": "as it was", "messages": CHAT, "id": None} | row for row in rows)


def language_modelling(pad_token):
    """The collator of transformers that trains on all tokens but padding, with this token as padding."""
    from copy import deepcopy

    from transformers import DataCollatorForLanguageModeling

    padded = deepcopy(tokenizer)
    padded.pad_token = pad_token
    return DataCollatorForLanguageModeling(padded, mlm=False)


def test_an_end_token_that_the_collator_takes_away_is_missed():
    """With pad = eos it masks every end token: the rows are sound, and the batch teaches endless answers."""
    row = {"input_ids": encode("hm") + [tokenizer.eos_token_id]}
    batch = language_modelling(tokenizer.eos_token)([row])
    assert tokenizer.eos_token_id not in batch["labels"][0]
    chats = [CHAT, SHORT, LONG] * 4
    rows = Columns(tokenise(chat) for chat in chats)
    check_masks(rows, chats, tokenizer)
    with pytest.raises(DataError, match=r"^example 0: .*a wrong response marker"):
        check_masks(rows, chats, tokenizer, language_modelling("<|pad|>"))  # it trains the question too

    def masked(rows):  # what a collator for language modelling leaves of answers alone
        batch = language_modelling(tokenizer.eos_token)([{"input_ids": row["input_ids"]} for row in rows])
        for labels, row in zip(batch["labels"], rows, strict=True):
            for place, label in enumerate(row["labels"]):
                labels[place] = IGNORED if label == IGNORED else labels[place]
        return batch

    with pytest.raises(DataError, match=r"^example 0: .*A missing end token .*another pad_token"):
        check_masks(rows, chats, tokenizer, masked)


@pytest.mark.parametrize("padding_free", [False, True])
def test_rows_of_several_lengths_in_one_batch(padding_free):
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    collator = DataCollatorForLanguageModeling(pad_token_id=tokenizer.eos_token_id, padding_free=padding_free)
    chats = [CHAT, SHORT, LONG] * 4
    rows = Columns(tokenise(chat) for chat in chats)
    assert check_masks(rows, chats, tokenizer, collator) == check_masks(rows, chats, tokenizer)
    rows[10] = rows[10] | labelled(rows[10], [])
    with pytest.raises(DataError, match="^example 10: no token is trained"):
        check_masks(rows, chats, tokenizer, collator)


def test_padding_under_the_loss_is_seen():
    def collator(rows):
        most = max(len(row["input_ids"]) for row in rows)
        pad = [[tokenizer.eos_token_id] * (most - len(row["input_ids"])) for row in rows]
        return {
            "input_ids": [row["input_ids"] + more for row, more in zip(rows, pad, strict=True)],
            "labels": [row["labels"] + more for row, more in zip(rows, pad, strict=True)],
            "attention_mask": [[1] * len(row["labels"]) + [0] * len(more) for row, more in zip(rows, pad, strict=True)],
        }

    with pytest.raises(DataError, match="^example 1: the loss is on"):
        check_masks([tokenise(CHAT), tokenise(SHORT)], [CHAT, SHORT], tokenizer, collator)


CALL = {"id": "c1", "type": "function", "function": {"name": "tide", "arguments": '{"hour": 12}'}}
CALLING = [
    {"role": "user", "content": "Tide at noon?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "2.1", "tool_call_id": "c1"},
    {"role": "assistant", "content": "2.1 metres."},
]
CALLS = (
    "{{ tools | tojson if tools else '' }}{% for m in messages %}{{ m.role }}:{{ m.content or '' }}"
    "{{ m.tool_calls | tojson if m.tool_calls else '' }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


@pytest.mark.parametrize("text", [None, ""])
def test_a_tool_call_that_the_template_does_not_write_is_refused(text, monkeypatch):
    chat = [CALLING[0], CALLING[1] | {"content": text}, *CALLING[2:]]
    with pytest.raises(DataError, match="example 0: turn 1 calls a tool, and the chat template writes"):
        check_masks([tokenise(chat)], [chat], tokenizer)
    monkeypatch.setattr(tokenizer, "chat_template", CALLS)
    row = tokenise(chat)
    assert "tide" in check_masks([row], [chat], tokenizer).trained
    described = [{"type": "function", "function": {"name": "tide", "description": "", "parameters": {}}}]
    head = encode(tokenizer.apply_chat_template(SHORT, tools=described, tokenize=False).split("user:")[0])
    row = {"input_ids": head + row["input_ids"], "labels": [IGNORED] * len(head) + row["labels"]}
    assert check_masks([row], [{"messages": chat, "tools": described}], tokenizer).trained_tokens
    monkeypatch.setattr(tokenizer, "chat_template", CALLS.replace("m.content or ''", "m.content"))
    if text is None:
        with pytest.raises(DataError, match="writes .None"):
            check_masks([tokenise(chat)], [chat], tokenizer)


def test_a_turn_of_weight_0_must_not_be_trained():
    chat = [*LONG[:2], LONG[2] | {"weight": 0}, *LONG[3:]]
    with pytest.raises(DataError, match="example 0: the loss is on"):
        check_masks([tokenise(chat)], [chat], tokenizer)
    row = tokenise(chat)
    last = positions(row)[-len(encode("Wait.<|end|>")) :]
    assert check_masks([labelled(row, last)], [chat], tokenizer).trained == "Wait." + tokenizer.eos_token


texts = st.text(st.sampled_from("ab1"), min_size=1, max_size=3)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=2), st.data())
def test_a_mask_is_accepted_if_and_only_if_it_is_the_answers_with_their_end_tokens(turns, data):
    chat = [
        {"role": role, "content": text}
        for pair in turns
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]
    row = tokenise(chat)
    right = set(positions(row))
    flips = st.sets(st.integers(0, len(row["labels"]) - 1), max_size=4)
    anything = st.sets(st.integers(0, len(row["labels"]) - 1))
    shift = data.draw(st.integers(-4, 0))  # the mask of the right length in the wrong place
    mask = data.draw(
        st.one_of(
            flips.map(lambda flipped: right ^ flipped),
            anything,
            st.just({i + shift for i in right if i + shift >= 0}),
        )
    )
    if mask == right:
        assert check_masks([labelled(row, mask)], [chat], tokenizer).trained_tokens == len(right)
    else:
        with pytest.raises(DataError, match="^example 0: "):
            check_masks([labelled(row, mask)], [chat], tokenizer)


def test_the_report_shows_both_parts():
    row = tokenise(SHORT)
    mask = read_mask(row, tokenizer)
    share = len(positions(row)) / len(row["input_ids"])
    assert f"trained ({mask.trained_tokens} of {mask.all_tokens} tokens, {share:.0%}): {mask.trained!r}" in repr(mask)
    assert f"ignored: {mask.ignored!r}" in repr(mask)
    assert "&lt;|end|&gt;</b>" in mask._repr_html_()
    assert "<|" not in mask._repr_html_()
