"""Look before you train: is the loss really on the answer, the whole answer, and nothing else?"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from ftlab.errors import DataError

IGNORED = -100  # the label that PyTorch's cross-entropy leaves out
HOLE = "\ue000"  # stands for an answer; a private character, which texts do not hold
EMPTY_THOUGHT = re.compile(r"<think>\s*</think>")  # Qwen3 templates put one before the last answer


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
            f"<p><span style='color:#666'>{escape(self.ignored)}</span>"
            f"<b style='background:#fff2b3;color:#000'>{escape(self.trained)}</b></p>"
            f"<p>{self.trained_tokens} of {self.all_tokens} tokens are trained (bold).</p>"
        )


def read_mask(row: dict, tokenizer) -> MaskReport:
    """Decode the two parts of a tokenised example with `input_ids` and `labels`."""
    ids, labels = list(row["input_ids"]), list(row["labels"])
    trained = [i for i, label in zip(ids, labels, strict=True) if label != IGNORED]
    ignored = [i for i, label in zip(ids, labels, strict=True) if label == IGNORED]
    return MaskReport(tokenizer.decode(trained), tokenizer.decode(ignored), len(trained), len(ids))


def check_masks(dataset: Iterable[dict], chats: Sequence[Sequence[dict]], tokenizer) -> MaskReport:
    """Prove for every example that the loss is on the answers with their end tokens and on nothing else.

    `dataset` is what the trainer really uses (`trainer.train_dataset`, in its order), `chats` the messages it
    was made from. White space around an answer and an empty <think> block may be on either side. Returns the
    first example's mask; raises DataError with the first example that is wrong.
    """
    rows = list(dataset)
    if not rows and not chats:
        raise DataError("the training set is empty: nothing to check and nothing to train on.")
    if len(rows) != len(chats):
        raise DataError(
            f"{len(chats)} chats, but {len(rows)} rows in the training set. Usual causes: the trainer dropped rows "
            "whose answer begins after max_length (raise it), or it packed several chats into one row (packing=False)."
        )
    for number, (row, chat) in enumerate(zip(rows, chats, strict=True)):
        if wrong := what_is_wrong(row, chat, tokenizer):
            asked = next((m["content"] for m in chat if m["role"] == "user"), "")
            raise DataError(f"example {number}: {wrong} (Counted from 0; its user begins {_short(asked, 60)}.)")
    return read_mask(rows[0], tokenizer)


def what_is_wrong(row, chat, tokenizer) -> str:
    """Cause and remedy for one example; empty when its mask is right."""
    mask = read_mask(row, tokenizer)
    wanted = [m["content"] + tokenizer.eos_token for m in chat if m["role"] == "assistant"]
    if mask.trained_tokens == 0:
        return (
            f"no token is trained (all labels are {IGNORED}). Usual causes: the text was cut at max_length before "
            "the answer began, or the response marker is not in the text. Raise max_length, or check the chat template."
        )
    if [_bare(text) for text in _trained_runs(row, tokenizer)] != [_bare(text) for text in wanted]:
        return (
            f"the loss is on {_short(mask.trained)}, but the answer is {_short(''.join(wanted))}. A missing end token "
            "teaches endless answers; a cut answer means that max_length is too small; more text than the answer means "
            "a wrong response marker; an answer of another chat means that chats and rows are not in the same order."
        )
    if not _squeezed(mask.ignored).endswith(_squeezed(_without_answers(chat, tokenizer))):  # a BOS may precede
        return (
            f"the loss is on {_short(mask.trained)}, but on another copy of that text than the answer. Check the "
            "response marker."
        )
    return ""


def _trained_runs(row, tokenizer) -> list[str]:
    """The text of each unbroken run of trained tokens."""
    pairs = zip(row["input_ids"], row["labels"], strict=True)
    runs = groupby(pairs, key=lambda pair: pair[1] != IGNORED)
    return [tokenizer.decode([token for token, _ in run]) for trained, run in runs if trained]


def _without_answers(chat, tokenizer) -> str:
    """The chat as the template writes it, without the answers and their end tokens."""
    turns = [{**m, "content": HOLE} if m["role"] == "assistant" else m for m in chat]
    return tokenizer.apply_chat_template(turns, tokenize=False).replace(HOLE + tokenizer.eos_token, "")


def _bare(text: str) -> str:
    return EMPTY_THOUGHT.sub("", text).strip()


def _squeezed(text: str) -> str:
    return "".join(EMPTY_THOUGHT.sub("", text).split())


def _short(text: str, most: int = 160) -> str:
    return repr(text if len(text) <= most else text[: most // 2] + " ... " + text[-most // 2 :])
