"""Is the model that is served the model that was judged? The same chats through every way to run it, compared.

Each check names what differs and what to do. What a server does not tell is said to be not told, never taken for equal.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from ftlab.errors import DataError
from ftlab.serving.sides import Side, told_ids
from ftlab.tables import html_table

# Nats that a log-probability may be off by rounding. Measured on nano, an adapter against its merge in 32 bits: 2e-5 at
# most; against the merge read in bf16: 0.16. bf16 keeps 8 bits of a weight, fp16 11; larger models have more layers.
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.3, "float16": 0.05}
SHOWN = 60  # characters of a text that differs
REMEDIES = {
    "prompt text": "save the tokenizer of the training beside the weights, and look at what the server is told: a "
    "template (--chat-template), a system prompt of its own, a switch",
    "prompt tokens": "the server reads another prompt: another chat template or system prompt, or a second begin token",
    "end tokens": "write the end token of the training into generation_config.json (eos_token_id), then save again",
    "end token of the tokenizer": "save the tokenizer of the training, not the one of the base model",
    "pad token": "save the tokenizer of the training; the pad token must not be the end token while training",
    "padding": "tokenizer.padding_side = 'left' before batches are answered",
    "generation settings": "write those of the evaluation into generation_config.json, or send them with each request",
    "thinking": "switch it off where the model is served: chat_template_kwargs={'enable_thinking': False} in each "
    "request, or the server's own switch",
    "precision": "judge the model in the precision in which it will be served, or serve it in this one",
    "log-probabilities": "other weights: another base model, an adapter that is not loaded or loaded twice, or a "
    "precision that costs more than rounding",
    "answers": "find the first difference above; with the same prompt and weights it is the generation settings",
    "how answers end": "the end token is not the one that was trained, or max_tokens is smaller than in the evaluation",
}


@dataclass(frozen=True)
class Check:
    """One thing compared: "same", "differs" or "not told"; `remedy` where it differs."""

    what: str
    reference: str
    side: str
    verdict: str
    remedy: str = ""


@dataclass(frozen=True, repr=False)
class Parity:
    """A side against the reference: "equal", or "differs" with the checks that say in what."""

    reference: str
    side: str
    chats: int
    checks: tuple[Check, ...]

    @property
    def verdict(self) -> str:
        """ "equal" when nothing that was told differs."""
        return "differs" if self.differences else "equal"

    @property
    def differences(self) -> tuple[str, ...]:
        """The names of the checks that differ."""
        return tuple(check.what for check in self.checks if check.verdict == "differs")

    @property
    def not_told(self) -> tuple[str, ...]:
        """The names of the checks that the side does not allow."""
        return tuple(check.what for check in self.checks if check.verdict == "not told")

    def to_dict(self) -> dict:
        """The fields as plain JSON values."""
        return asdict(self) | {"verdict": self.verdict, "differences": self.differences, "not_told": self.not_told}

    @classmethod
    def from_dict(cls, values: dict) -> "Parity":
        """What `to_dict` wrote."""
        checks = tuple(Check(**check) for check in values["checks"])
        return cls(values["reference"], values["side"], values["chats"], checks)

    def __repr__(self):
        told = f"; not told: {', '.join(self.not_told)}" if self.not_told else ""
        head = f"{self.side} against {self.reference}, {self.chats} chats: {self.verdict}{told}"
        found = [check for check in self.checks if check.verdict == "differs"]
        lines = [f"  {each.what}: {each.reference} -> {each.side}\n    {each.remedy}" for each in found]
        return "\n".join([head, *lines])

    def _repr_html_(self):
        rows = [("what", self.reference, self.side, "verdict")]
        rows += [(each.what, each.reference, each.side, each.verdict) for each in self.checks]
        after = [f"{each.what}: {each.remedy}" for each in self.checks if each.remedy]
        return html_table(
            rows, f"{self.side} against {self.reference}, {self.chats} chats: {self.verdict}", after=after
        )


def compare_sides(reference: Side, side: Side, tolerance: float | None = None) -> Parity:
    """Compare a side with the reference, the model as it was judged.

    `tolerance` is how far a log-probability may be off, in nats; by default what rounding does in the reference's
    precision (`TOLERANCE`). An answer may differ where its first other token was a tie within twice that.
    """
    if len(reference.answers) != len(side.answers) or not side.answers:
        counts = f"{reference.name} answered {len(reference.answers)} chats and {side.name} {len(side.answers)}"
        raise DataError(f"{counts}: ask both the same chats, at least one")
    if side.scored_ids not in (None, told_ids(reference)):
        raise DataError(f"{side.name}: its log-probabilities are not those of the answers of {reference.name}: ask it "
                        "with local_side(..., reference=...)")  # fmt: skip
    precision = reference.settings.get("precision", "").partition(",")[0]
    allowed = TOLERANCE.get(precision, TOLERANCE["bfloat16"]) if tolerance is None else tolerance
    checks = [*_prompts(reference, side), *_settings(reference, side), _weights(reference, side, allowed),
              *_answers(reference, side, allowed)]  # fmt: skip
    return Parity(reference.name, side.name, len(side.answers), tuple(checks))


def parity_table(reports: Sequence[Parity]):
    """One line a side: the verdict, what differs, what was not told (a pandas table)."""
    import pandas as pd

    rows = [[report.verdict, ", ".join(report.differences), *_worst(report), ", ".join(report.not_told)]
            for report in reports]  # fmt: skip
    columns = ["verdict", "differs in", "answers the same", "log-probability off by", "not told"]
    return pd.DataFrame(rows, index=[report.side for report in reports], columns=columns)


def _worst(report: Parity) -> list[str]:
    by_name = {check.what: check.side for check in report.checks}
    return [by_name["answers"].partition(",")[0], by_name["log-probabilities"].partition(" (")[0]]


def _check(what: str, same: bool | None, reference, side) -> Check:
    verdict = "not told" if same is None else "same" if same else "differs"
    return Check(what, str(reference), str(side), verdict, "" if verdict != "differs" else REMEDIES[what])


def _prompts(reference: Side, side: Side) -> Iterator[Check]:
    """The rendered text, byte for byte, and the tokens; of some servers only their number is known."""
    if side.prompts is None:
        yield _check("prompt text", None, f"{len(reference.prompts)} texts", "")
    else:
        place = _first_difference(reference.prompts, side.prompts)
        yield _check("prompt text", place is None, *(place or ("", "the same bytes")))
    if side.prompt_ids is not None:
        ids = list(zip(reference.prompt_ids, side.prompt_ids, strict=True))
        same = all(a == b for a, b in ids)
        yield _check("prompt tokens", same, *(_sum(each) for each in zip(*ids, strict=True)))
    else:
        known = [pair for pair in zip(reference.prompt_tokens, side.prompt_tokens, strict=True) if pair[1] is not None]
        same = all(a == b for a, b in known) if known else None
        counts = [", ".join(str(pair[at]) for pair in known[:5]) or "none" for at in (0, 1)]
        yield _check("prompt tokens", same, f"counts {counts[0]}", f"counts {counts[1]}")


def _sum(rows) -> str:
    return f"{sum(map(len, rows)):,} tokens"


def _first_difference(a: Sequence[str], b: Sequence[str]) -> tuple[str, str] | None:
    """Of the first texts that differ, a piece of each where they part."""
    for one, other in zip(a, b, strict=True):
        if one != other:
            at = next((i for i, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]),
                      min(len(one), len(other)))  # fmt: skip
            begin = max(0, at - 10)
            return repr(one[begin : begin + SHOWN]), repr(other[begin : begin + SHOWN])
    return None


def _settings(reference: Side, side: Side) -> Iterator[Check]:
    for what, wanted in reference.settings.items():
        found = side.settings.get(what)
        if what == "thinking" and found is None and side.thoughts > reference.thoughts:
            found = f"on: {side.thoughts} answers came with thinking"
        yield _check(what, None if found is None else found == wanted, wanted, found or "")


def _weights(reference: Side, side: Side, allowed: float) -> Check:
    """How far the log-probabilities of the same tokens are apart, at most and on average."""
    if side.scored is not None:
        pairs = [pair for rows in zip(reference.scored, side.scored, strict=True) for pair in zip(*rows, strict=True)]
    elif side.logprobs is not None and reference.tokens is not None:
        pairs = list(_common_tokens(reference, side))
    else:
        pairs = []
    if not pairs:
        return _check("log-probabilities", None, f"within {allowed:g} nats", "")
    apart = [abs(a - b) for a, b in pairs]
    found = f"{max(apart):.2g} at most (mean {sum(apart) / len(apart):.2g}, {len(apart)} tokens)"
    if lost := sum(not math.isfinite(each) for each in apart):  # max may pass over a NaN
        found = f"no finite number (at {lost} of {len(apart)} tokens)"
    return _check("log-probabilities", not lost and max(apart) <= allowed, f"within {allowed:g} nats", found)


def _common_tokens(reference: Side, side: Side) -> Iterator[tuple[float, float]]:
    """The log-probabilities of each answer's tokens as long as both sides wrote the same ones."""
    for wanted, found, a, b in zip(reference.tokens, side.tokens, reference.logprobs, side.logprobs, strict=True):
        for one, other, *pair in zip(wanted, found, a, b, strict=False):
            if one != other:
                break
            yield tuple(pair)


def _answers(reference: Side, side: Side, allowed: float) -> Iterator[Check]:
    others = [i for i, pair in enumerate(zip(reference.answers, side.answers, strict=True)) if pair[0] != pair[1]]
    ties = [i for i in others if _was_a_tie(reference, side, i, 2 * allowed)]
    shown = f"{len(side.answers) - len(others)} of {len(side.answers)}"
    if len(ties) < len(others):
        first = next(i for i in others if i not in ties)
        place = _first_difference(reference.answers[first : first + 1], side.answers[first : first + 1])
        yield _check("answers", False, place[0], f"{shown}, first other {place[1]}")
    else:
        yield _check("answers", True, "", shown + (f", {len(ties)} others after a tie" if ties else ""))
    ends = [[str(end) for end in each.ended] for each in (reference, side)]
    judged = [i for i in range(len(side.answers)) if i not in ties and side.ended[i] is not None]
    same = all(ends[0][i] == ends[1][i] for i in judged) if judged else None
    yield _check("how answers end", same, *(_counted(each) for each in ends))


def _counted(ends: Sequence[str]) -> str:
    return ", ".join(f"{end} {ends.count(end)}" for end in dict.fromkeys(ends))


def _was_a_tie(reference: Side, side: Side, number: int, within: float) -> bool:
    """Whether two tokens were nearly as likely for the reference where the answers part."""
    if reference.tokens is None or (side.scored is None and side.logprobs is None):
        return False  # nothing says that the weights are the same
    wanted, found = reference.answers[number], side.answers[number]
    at = next((i for i, pair in enumerate(zip(wanted, found, strict=False)) if pair[0] != pair[1]),
              min(len(wanted), len(found)))  # fmt: skip
    seen = 0
    for token, margin in zip(reference.tokens[number], reference.margins[number], strict=True):
        seen += len(token)
        if seen > at:
            return margin <= within
    return False
