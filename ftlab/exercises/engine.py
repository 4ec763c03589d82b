"""The learner's exercises: a check calls their function, says what is wrong and why, and never stops a run."""

import copy
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ftlab.errors import FtlabError

STRICT = "FTLAB_STRICT_EXERCISES"  # the build of the solutions sets it to 1: there, a failing check raises


class ExerciseFailed(FtlabError):
    """A check that did not pass while FTLAB_STRICT_EXERCISES=1."""


@dataclass(frozen=True)
class Grade:
    """What a check found; `status` is "solved", "wrong" or "not solved yet"."""

    name: str
    status: str
    message: str

    def __repr__(self) -> str:
        return f"{self.name}: {self.status}\n{self.message}"


@dataclass(frozen=True, eq=False)
class Exercise:
    """A task for the learner: call it with their function to see the grade.

    `trials` are (arguments, why the right answer is right), `mistakes` are (a function that makes it, what to say).
    """

    name: str
    solution: Callable
    trials: Sequence[tuple[tuple, str]]
    mistakes: Sequence[tuple[Callable, str]]
    tolerance: float = 1e-6  # absolute

    def __call__(self, fn: Callable) -> None:
        """Print the grade; raise `ExerciseFailed` only where FTLAB_STRICT_EXERCISES=1 and it is not solved."""
        grade = self.grade(fn)
        if grade.status != "solved" and os.environ.get(STRICT) == "1":
            remedy = "The solution in notebooks/src does not pass its own check: correct it there."
            raise ExerciseFailed(f"{grade!r}\n  {remedy}")
        print(grade)

    def grade(self, fn: Callable) -> Grade:
        """Call `fn` on every trial and compare; a wrong `fn` never raises."""
        results = self._results(fn) if callable(fn) else [None]
        if all(_is_blank(result) for result in results):
            message = "  Write your code in the cell above, then run both cells again. The rest runs without it."
            return Grade(self.name, "not solved yet", message)
        rights = self._results(self.solution)
        wrong = [at for at, right in enumerate(rights) if not self._same(results[at], right)]
        if not wrong:
            return Grade(self.name, "solved", f"  all {len(rights)} cases agree")
        (arguments, why), result = self.trials[wrong[0]], results[wrong[0]]
        lines = [f"  {len(rights) - len(wrong)} of {len(rights)} cases agree; the first that does not:"]
        lines += [_got(result), f"  expected  {_readable(rights[wrong[0]])}"]
        lines += [f"  for       {getattr(fn, '__name__', 'your function')}({', '.join(map(repr, arguments))})"]
        lines += [f"  because   {why}"]
        hints = (hint for mistake, hint in self.mistakes if self._same(results, self._results(mistake)))
        lines += [f"  Looks as if {hint}" for hint in list(hints)[:1]]
        return Grade(self.name, "wrong", "\n".join(lines))

    def _results(self, fn) -> list:
        """What `fn` answers to each trial, as plain values; an error stands for the answer that it prevented."""
        results = []
        for arguments, _ in self.trials:
            try:
                results.append(_plain(fn(*copy.deepcopy(arguments))))
            except NotImplementedError:
                results.append(None)
            except Exception as error:
                results.append(error)
        return results

    def _same(self, a, b) -> bool:
        if isinstance(a, list) and isinstance(b, list):
            return len(a) == len(b) and all(map(self._same, a, b))
        if isinstance(a, int | float) and isinstance(b, int | float):
            return math.isclose(a, b, rel_tol=0, abs_tol=self.tolerance)
        return type(a) is type(b) and (a == b or isinstance(a, Exception))


def _is_blank(result) -> bool:
    return result is None or result is Ellipsis or result is NotImplemented


def _plain(value):
    """Arrays, tensors and tuples as nested lists, so that only the values are compared."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _got(result) -> str:
    if isinstance(result, Exception):
        return f"  raised    {type(result).__name__}: {result}"
    return "  got       nothing (no return?)" if _is_blank(result) else f"  got       {_readable(result)}"


def _readable(value) -> str:
    """As Python writes it, with four digits after the point."""
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, list) and any(isinstance(item, float) for item in value):
        return f"({', '.join(map(_readable, value))})"
    return repr(value)
