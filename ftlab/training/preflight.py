"""Look before you train: is the loss really on the answer, the whole answer, and nothing else?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ftlab.errors import DataError

IGNORED = -100  # the label that PyTorch's cross-entropy leaves out


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
    was made from. Returns the first example's mask; raises DataError with the first example that is wrong.
    """
    first, count = None, 0
    for number, (row, chat) in enumerate(zip(dataset, chats, strict=True)):
        mask = read_mask(row, tokenizer)
        answers = [m["content"] for m in chat if m["role"] == "assistant"]
        wanted = "".join(a + tokenizer.eos_token for a in answers)
        if mask.trained_tokens == 0:
            raise DataError(
                f"example {number}: no token is trained (all labels are {IGNORED}). Usual causes: the text was "
                "cut at max_length before the answer began, or the response marker is not in the text. "
                "Raise max_length, or check the chat template."
            )
        if mask.trained.strip() != wanted.strip():
            raise DataError(
                f"example {number}: the loss is on {_short(mask.trained)}, but the answer is "
                f"{_short(wanted)}. A missing end token teaches endless answers; a cut answer means that "
                "max_length is too small; more text than the answer means a wrong response marker."
            )
        first, count = first or mask, count + 1
    if not count:
        raise DataError("the training set is empty: nothing to check and nothing to train on.")
    return first


def _short(text: str, most: int = 160) -> str:
    return repr(text if len(text) <= most else text[: most // 2] + " ... " + text[-most // 2 :])
