"""Look before you train: is the loss really on the answer, the whole answer, and nothing else?"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from ftlab.data.findings import Row
from ftlab.data.rendering import IGNORED, encode_chats, renderer, runs
from ftlab.errors import DataError, shown

EMPTY_THOUGHT = re.compile(r"<think>\s*</think>")  # Qwen3 templates put one before the last answer
THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
OPENED = "<think>"  # what some templates end the prompt with
BATCH_ROWS = 8  # collated together
COLLATED = (  # what a collator reads of a row; the trainer drops other columns too
    "input_ids", "labels", "attention_mask", "token_type_ids", "position_ids", "seq_lengths", "completion_mask",
    "assistant_masks",
)  # fmt: skip
SHOWN = 160  # characters of a text in a message
BEGINNING = 20  # characters that tell whether an answer begins here; a template that cuts its end has another fault


@dataclass(frozen=True, repr=False)
class MaskReport:
    """What one example trains: `trained` is the text under the loss, `ignored` is the rest."""

    trained: str
    ignored: str
    trained_tokens: int
    all_tokens: int

    def __repr__(self):
        share = self.trained_tokens / self.all_tokens
        return (
            f"trained ({self.trained_tokens} of {self.all_tokens} tokens, {share:.0%}): {self.trained!r}\n"
            f"ignored: {self.ignored!r}"
        )

    def _repr_html_(self):
        from html import escape

        return (
            f"<p><span style='opacity:.75'>{escape(self.ignored)}</span>"
            f"<b style='background:#fff2b3;color:#000'>{escape(self.trained)}</b></p>"
            f"<p>{self.trained_tokens} of {self.all_tokens} tokens are trained (bold).</p>"
        )


def read_mask(row: dict, tokenizer) -> MaskReport:
    """Decode the two parts of a tokenised example with `input_ids` and `labels`."""
    ids, labels = list(row["input_ids"]), list(row["labels"])
    trained = [i for i, label in zip(ids, labels, strict=True) if label != IGNORED]
    ignored = [i for i, label in zip(ids, labels, strict=True) if label == IGNORED]
    return MaskReport(tokenizer.decode(trained), tokenizer.decode(ignored), len(trained), len(ids))


# --- proof of the masks


def check_masks(
    dataset: Iterable[dict],
    chats: Sequence[Sequence[dict] | dict],
    tokenizer,
    collator: Callable | None = None,
) -> MaskReport:
    """Prove for every example that the loss is on the answers with their end tokens and on nothing else.

    `dataset` is what the trainer really uses (`trainer.train_dataset`, in its order), `chats` the messages it
    was made from, or whole rows where these have tools. `collator` is `trainer.data_collator`: it makes the batch that
    is trained on, and may still take labels away; without one the rows' own labels are looked at. White space around an
    answer and an empty <think> block may be on either side. Returns the first example's mask; raises DataError with
    the first example that is wrong.
    """
    rows = list(dataset)
    if not rows and not chats:
        raise DataError("the training set is empty: nothing to check and nothing to train on.")
    if len(rows) != len(chats):
        raise DataError(
            f"{len(chats)} chats, but {len(rows)} rows in the training set. Usual causes: the trainer dropped rows "
            "whose answer begins after max_length (raise it), or it packed several chats into one row (packing=False)."
        )
    if collator is not None:
        rows = list(_collated(rows, collator))
    chats = [chat if isinstance(chat, dict) else {"messages": chat} for chat in chats]
    for number, (row, chat, code) in enumerate(zip(rows, chats, encode_chats(chats, tokenizer), strict=True)):
        if wrong := _what_is_wrong(row, chat, code, tokenizer):
            asked = next((m["content"] for m in chat["messages"] if m["role"] == "user"), "")
            raise DataError(f"example {number}: {wrong} (Counted from 0; its user begins {shown(asked)}.)")
    return read_mask(rows[0], tokenizer)


def _collated(rows, collator) -> Iterator[dict]:
    """The rows as the collator puts them into batches, without the padding that is not trained."""
    rows = iter([{key: row[key] for key in COLLATED if key in row} for row in rows])
    while block := list(islice(rows, BATCH_ROWS)):
        try:
            batch = collator(block)
        except ValueError:  # one that cannot pad labels takes rows one at a time
            batch = {"input_ids": ()}
        if len(batch["input_ids"]) == len(block):
            parts = [{key: values[index] for key, values in batch.items()} for index in range(len(block))]
        else:  # or it lays them end to end
            parts = [{key: values[0] for key, values in collator([row]).items()} for row in block]
        yield from map(_without_padding, parts)


def _without_padding(row) -> dict:
    ids, labels = (list(map(int, row[key])) for key in ("input_ids", "labels"))
    seen = list(map(int, row["attention_mask"])) if "attention_mask" in row else [1] * len(ids)
    kept = [index for index in range(len(ids)) if seen[index] or labels[index] != IGNORED]
    return {"input_ids": [ids[index] for index in kept], "labels": [labels[index] for index in kept]}


def what_is_wrong(row: dict, chat: Sequence[dict] | dict, tokenizer) -> str:
    """Cause and remedy for one tokenised example of a chat (its turns, or its row); empty when its mask is right."""
    chat = chat if isinstance(chat, dict) else {"messages": chat}
    return _what_is_wrong(row, chat, next(encode_chats([chat], tokenizer)), tokenizer)


def _what_is_wrong(row, data, code, tokenizer) -> str:
    mask, chat = read_mask(row, tokenizer), data["messages"]
    if mask.trained_tokens == 0:
        return (
            f"no token is trained (all labels are {IGNORED}). Usual causes: the text was cut at max_length before "
            "the answer began, or the response marker is not in the text. Raise max_length, or check the chat template."
        )
    if code.problem:
        return f"the chat template does not take this chat, so its answers are not known: {code.problem[2]}."
    if "tools" in code.lost:
        return (
            "the row has tools, and the chat template writes nothing of them: the model would learn calls to what it "
            "cannot see. Take a template that renders tools, or describe them in the system prompt."
        )
    if tokenizer.bos_token and list(row["input_ids"][:2]) == [tokenizer.bos_token_id] * 2:
        return (
            f"the row begins with {tokenizer.bos_token} twice: the chat template writes one, and the tokenizer adds "
            "another. Tokenise what the template has written with add_special_tokens=False."
        )
    if wrong := _asked_otherwise(data, code, tokenizer):
        return wrong
    if code.spoilt:
        turn, text = code.spoilt[0]
        return (
            f"turn {turn} calls a tool, and the chat template writes {_both_ends(text)} in its place. Take a template "
            "that renders tool calls, or leave out such chats."
        )
    wanted = [_wanted(chat[answer.turn], code, answer, tokenizer) for answer in code.trained]
    found = [_bare(tokenizer.decode(run)) for run in _trained_runs(row)]
    if found != [_bare(text) for text in wanted]:
        if known := _lost_thought(found, wanted, code) or _ended_twice(found, wanted, tokenizer.eos_token):
            return known
        return (
            f"the loss is on {_both_ends(mask.trained)}, but the answer is {_both_ends(''.join(wanted))}. A missing "
            "end token teaches endless answers (where pad_token is the end token, some collators take it from the "
            "labels: give the tokenizer another pad_token); a cut answer means that max_length is too small; more text "
            "than the answer means a wrong response marker; another end token means that the row was rendered with "
            "another chat template; an answer of another chat means that chats and rows are not in the same order."
        )
    if not _squeezed(mask.ignored).endswith(_squeezed(_outside(code, tokenizer))):  # a BOS may precede
        return _learned_elsewhere(row, code, mask.trained, tokenizer)
    return ""


def _asked_otherwise(data, code, tokenizer) -> str:
    """What is wrong where the prompt of inference is not how the training text begins; an empty thought may differ."""
    chat, turn = data["messages"], code.trained[-1].turn if code.trained else 0
    if not turn:
        return ""
    render = renderer(tokenizer, None, data)
    asked, trained = render(chat[:turn], add_generation_prompt=True), render(chat[: turn + 1])
    asked, trained = (EMPTY_THOUGHT.sub("", text) for text in (asked, trained))
    if not trained.startswith(asked):
        return (
            f"at inference the chat template gives the model a prompt that ends {asked[-40:]!r}, and in training the "
            f"answer follows other text: {_around(asked, trained)!r}. A template that opens a thought wants thoughts "
            "in the rows, or to be told that there are none (chat_template_kwargs); else mend the template."
        )
    answer = (chat[turn].get("content") or "").strip()
    if answer and "<think>" not in trained and not trained[len(asked) :].lstrip().startswith(answer[:BEGINNING]):
        return (
            f"at inference the prompt ends {asked[-40:]!r}, but in training {trained[len(asked) :][:40]!r} follows: "
            "the model would have to begin its turn itself. Take a chat template that knows add_generation_prompt."
        )
    return ""


def _around(asked: str, trained: str) -> str:
    """What stands in `trained` where it begins to differ from `asked`."""
    place = next((at for at, (a, b) in enumerate(zip(asked, trained, strict=False)) if a != b), len(trained))
    return trained[max(0, place - 20) : place + 20]


def _wanted(turn, code, answer, tokenizer) -> str:
    """What must be trained of an answer: its text and end token; of one with tool calls what the template writes."""
    if turn.get("tool_calls"):
        return tokenizer.decode(code.ids[answer.start : answer.end])
    text = (turn.get("content") or "").lstrip() + tokenizer.eos_token
    opened = tokenizer.decode(code.ids[: answer.start]).rstrip().endswith(OPENED)
    return text.removeprefix(OPENED) if opened else text


def _lost_thought(found, wanted, code) -> str:
    """What is wrong where the template leaves out thoughts of the row; empty where that is not it."""
    lost = [answer.turn for answer, seen, text in zip(code.trained, found, wanted, strict=False)
            if seen != _bare(text) and seen == _bare(THOUGHT.sub("", text, count=1))]  # fmt: skip
    if not lost or len(found) != len(wanted):
        return ""
    return (
        f"turn {lost[0]} has a thought, and the chat template leaves it out (many keep only that of the last answer): "
        "the model would learn to answer there without one. Make a row for each answer that has a thought, or take the "
        "thoughts out of the others."
    )


def _ended_twice(found, wanted, end: str) -> str:
    """What is wrong where answers are right but for a second end token; empty where that is not it."""
    pairs = list(zip(map(_squeezed, found), map(_squeezed, wanted), strict=False))
    if len(found) != len(wanted) or not all(seen in (text, text + _squeezed(end)) for seen, text in pairs):
        return ""
    return (
        f"the answer ends with {end} twice: the trainer adds one to each text that does not end with it, and many "
        "templates write a new line after it. Take the white space from the end of what the template has written "
        "(.rstrip()) before the trainer gets it."
    )


def _learned_elsewhere(row, code, trained: str, tokenizer) -> str:
    """What is wrong where the loss is on the answer's words, but not at their place in the template's text."""
    seen, written = tokenizer.decode(list(row["input_ids"])), tokenizer.decode(code.ids)
    if _squeezed(written) in _squeezed(seen):
        return (
            f"the loss is on {_both_ends(trained)}, but on another copy of that text than the answer. Check the "
            "response marker."
        )
    return (
        f"the loss is on the answer, but the row, {_both_ends(seen)}, is not what the chat template writes, "
        f"{_both_ends(written)}: the model would be asked otherwise than it was trained. Render the rows with this "
        "tokenizer's apply_chat_template, or give it the chat_template that they were rendered with."
    )


def _trained_runs(row) -> list[list[int]]:
    """The tokens of each unbroken run under the loss."""
    trained = [int(label != IGNORED) for label in row["labels"]]
    return [row["input_ids"][start:end] for start, end in runs(trained)]


def _outside(code, tokenizer) -> str:
    """The chat as the template writes it, without the trained answers."""
    inside = {place for answer in code.trained for place in range(answer.start, answer.end)}
    return tokenizer.decode([token for place, token in enumerate(code.ids) if place not in inside])


def _bare(text: str) -> str:
    return EMPTY_THOUGHT.sub("", text).strip()


def _squeezed(text: str) -> str:
    return "".join(EMPTY_THOUGHT.sub("", text).split())


def _both_ends(text: str, most: int = SHOWN) -> str:
    """The text as a message shows it: how it begins and how it ends, for both can be wrong."""
    return repr(text if len(text) <= most else text[: most // 2] + " ... " + text[-most // 2 :])


# --- a data set with masks of our own


def tokenize_for_training(
    rows: Sequence[Row | dict],
    tokenizer,
    max_length: int | None = 1024,
    chat_template: str | None = None,
    drop: bool = False,
):
    """Return a `datasets.Dataset` of input_ids and labels (-100 outside the answers), one batched pass.

    The same rows as SFTTrainer's own preparation with assistant_only_loss=True, except that turns of weight 0 are
    masked. Hand it over with `SFTConfig(dataset_kwargs={"skip_prepare_dataset": True})` and leave
    assistant_only_loss off: the labels are there. For the template that TRL would use instead of one without
    markers, pass `chat_template=trl.chat_template_utils.get_training_chat_template(tokenizer)`.
    A row that would train nothing is a DataError, or left out with `drop=True`, as TRL does without a word.
    """
    usable, unusable = [], []
    for number, (row, code) in enumerate(zip(rows, encode_chats(rows, tokenizer, chat_template), strict=True), 1):
        if code.trained_tokens(max_length):
            usable.append(code)
        else:
            place = f"{row.file}:{row.line}" if isinstance(row, Row) else f"row {number}"
            cut = f"{len(code.ids)} tokens, and none of an answer to train within max_length={max_length}"
            unusable.append(f"{place}: {code.problem[2] if code.problem else cut}")
    if unusable and not drop:
        more = [f"... and {len(unusable) - 5} more"] if len(unusable) > 5 else []
        raise DataError("\n".join([*unusable[:5], *more, "Mend these rows, or leave them out with drop=True."]))
    if not usable:
        raise DataError(f"{len(rows)} row(s) given, none of them can be trained: nothing to hand to the trainer")
    return _dataset(usable, max_length)


def _dataset(encoded, max_length):
    """Columns input_ids (int32) and labels (int64), each row cut at `max_length`."""
    import numpy as np
    import pyarrow as pa
    from datasets import Dataset

    ends = np.cumsum([0] + [min(len(code.ids), max_length or len(code.ids)) for code in encoded], dtype=np.int32)
    ids = np.fromiter(chain.from_iterable(code.ids[:max_length] for code in encoded), np.int32, count=ends[-1])
    labels = np.full(len(ids), IGNORED, np.int64)
    for code, begin, end in zip(encoded, ends, ends[1:], strict=False):
        for answer in code.trained:
            part = slice(begin + answer.start, min(begin + answer.end, end))
            labels[part] = ids[part]
    columns = {"input_ids": ids, "labels": labels}
    return Dataset.from_dict({name: pa.ListArray.from_arrays(ends, flat) for name, flat in columns.items()})
