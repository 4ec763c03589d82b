"""Baselines that anyone would think of first: the commonest answer, the input itself, the answer to a similar input.

They cost nothing, and a system that does no better than one of them has learned nothing that is worth running.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ftlab.baselines.prompting import Asked, SimilarShots, input_and_answer
from ftlab.errors import DataError
from ftlab.evaluation.generation import Generations


@dataclass(frozen=True, repr=False)
class FixedReply:
    """A function from an input to its answer, asked as the other systems are."""

    name: str
    reply: Callable[[Asked], str]

    def answer(self, inputs: Sequence[Asked]) -> Generations:
        """An answer to each input, without a token."""
        start = time.perf_counter()
        return Generations(tuple(map(self.reply, inputs)), 0, 0, time.perf_counter() - start, 0)

    def __repr__(self):
        return f"FixedReply({self.name})"


def majority(rows: Sequence[dict]) -> FixedReply:
    """Always the commonest answer of the solved chat rows (training rows); of equally common ones the first."""
    ((commonest, _),) = Counter(answer.strip() for _, answer in _solved(rows)).most_common(1)
    return FixedReply(f"always {commonest!r}", lambda asked: commonest)


def copy_input() -> FixedReply:
    """The text of the last turn as it is: what an edit of a text has to beat."""
    return FixedReply("the input itself", lambda asked: asked if isinstance(asked, str) else asked[-1]["content"])


def nearest(rows: Sequence[dict]) -> FixedReply:
    """The answer of the solved chat row (training row) whose input shares the most and rarest words with it (BM25).

    A row with the very same input is left out, as from the examples of a prompt.
    """
    solved = _solved(rows)
    similar = SimilarShots(solved, 1)
    told = f"the answer of the most similar of {len(rows)} rows"
    return FixedReply(told, lambda asked: (similar(asked) or solved)[0][1])


def _solved(rows: Sequence[dict]) -> list[tuple[Asked, str]]:
    if not rows:
        raise DataError("there are no solved rows to answer from: give training rows")
    return [input_and_answer(row) for row in rows]
