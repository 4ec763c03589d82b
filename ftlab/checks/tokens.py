"""What the chosen model's tokenizer and chat template make of the data: lengths, cuts, label masks, end tokens."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from ftlab.checks.damage import control_tokens
from ftlab.data.findings import Finding, Row, content_field, file_of, finding, in_rejected
from ftlab.data.rendering import (
    answer_start,
    any_of,
    encode_chats,
    has_markers,
    renderer,
    row_kind,
    sequences,
    special_tokens,
    turns_of,
)
from ftlab.errors import DataError, shown
from ftlab.tables import html_table

MAX_LENGTH = 1024  # tokens; the default of TRL's SFTConfig

IN_TEXT = "the template writes it and the row's text holds it; delete it there"
BY_TOKENIZER = "template and tokenizer both add it to a rendered text; tokenise with add_special_tokens=False"
CLOSE = "take a template that writes one inside the answer"
RENDER = "and the model would train without them; take one that renders them"

# -- the checks


def find_token_problems(
    rows: Sequence[Row], tokenizer, max_length: int | None = MAX_LENGTH
) -> tuple[list[Finding], "TrainedRows | None"]:
    """What goes wrong between the rows, both answers of a pair, and the trainer, then once for the whole template;
    and what TRL trains on, None without a cut and for pairs and rated answers, which SFTTrainer does not train.

    `max_length` in tokens, None for no cut; the cut is TRL's: the end goes. Raises ModelError for a tokenizer without a
    chat template or without offsets.
    """
    if max_length is not None:
        _check_max_length(max_length)
    found, fates = _problems(rows, tokenizer, max_length)
    if max_length is None or any(row_kind(row.data) != "chat" for row in rows):
        return found, None
    return found, _count(fates, max_length) if has_markers(tokenizer) else trained_rows(rows, tokenizer, max_length)


def _codes(rows, tokenizer):
    return encode_chats((data for _, data, _ in _expanded(rows)), tokenizer)


def _expanded(rows) -> Iterator[tuple[Row | dict, dict, int | None]]:
    """(row, what goes through the model, where its rejected answer begins): two for a preference pair, else one."""
    for row in rows:
        data = row.data if isinstance(row, Row) else row
        own, *other = sequences(data)
        yield row, own, None
        for pair in other:
            yield row, pair, answer_start(data["messages"])


def _problems(rows, tokenizer, max_length) -> tuple[list[Finding], list[tuple]]:
    """The findings, and the fate of every row in TRL."""
    special = special_tokens(tokenizer)
    in_text = (
        ("special_token_in_text", any_of(special)),
        ("foreign_marker", re.compile(rf"(?!{any_of(special).pattern})(?:{control_tokens()})")),
    )
    ends, render = _Ends(tokenizer, set(special.values())), renderer(tokenizer)
    verdicts = {}  # on the system turn, by roles
    found, of_template = [], {}  # a problem of the template: its rows
    fates, told = [], []
    for (row, data, start), code in zip(_expanded(rows), _codes(rows, tokenizer), strict=True):
        fates.append(_fate(code, max_length))
        of_row = [code.problem] if code.problem else list(_length_problems(code, max_length))
        of_row += [("answer_not_rendered", f"messages[{turn}].tool_calls", shown(text)) for turn, text in code.spoilt]
        of_row += _text_problems(data, in_text)
        new = of_row if start is None else [problem for problem in of_row if problem not in told]
        for name, place, *values in new:
            place = place if start is None else in_rejected(place, start) or "rejected"
            found.append(finding(name, row, place, *values))
        told = of_row
        if not code.problem:
            problems = [*ends.problems(code), *_system_problems(data, render, verdicts)]
            problems += [("tools_not_rendered", RENDER)] if code.lost else []
            untrained = len(code.trained) < len(code.answers) and row_kind(row.data) == "chat"
            problems += [("weight_ignored",)] if untrained else []
            for problem in sorted(set(problems)):
                of_template.setdefault(problem, {})[id(row)] = row
    if rows and not has_markers(tokenizer):
        found.append(finding("no_generation_markers", file_of(rows[0]), ""))
    for (name, *values), hits in of_template.items():
        hits = list(hits.values())
        found.append(finding(name, file_of(hits[0]), "", *values, _lines(hits)))
    return found, fates


def _length_problems(code, max_length):
    total = code.trained_tokens()
    if not total:
        why = "every answer has weight 0" if code.answers else "the chat template marks no text of it as an answer"
        yield "all_masked", "messages", why
    elif max_length is not None and len(code.ids) > max_length:
        kept = code.trained_tokens(max_length)
        cut = next((answer for answer in code.trained if answer.end > max_length), code.trained[-1])
        if kept == 0:
            yield "answer_cut_away", content_field(cut.turn), len(code.ids), max_length
        elif kept < total:
            yield "answer_truncated", content_field(cut.turn), len(code.ids), max_length, kept, total
        else:
            yield "too_long", "", len(code.ids), max_length


def _text_problems(data, patterns):
    for index, turn in enumerate(turns_of(data) or ()):
        text = turn["content"] if isinstance(turn.get("content"), str) else ""
        for name, pattern in patterns:
            if found := sorted(set(pattern.findall(text))):
                yield name, content_field(index), ", ".join(found)


class _Ends:
    """The first and the last tokens of rows, beside those that the tokenizer adds to a plain text."""

    def __init__(self, tokenizer, special: set[int]):
        added = tokenizer("a")["input_ids"] or [None]
        self.added_first, self.added_last = added[0], added[-1]
        self.special = special
        self.begin, self.begin_text = tokenizer.bos_token_id, tokenizer.bos_token
        self.end, self.end_text = tokenizer.eos_token_id, str(tokenizer.eos_token)
        self.is_blank = cache(lambda token: not tokenizer.decode([token]).strip())
        self.text = cache(tokenizer.convert_ids_to_tokens)

    def problems(self, code) -> Iterator[tuple]:
        """Look at the last tokens of every trained answer, without the white space after them, and at the first."""
        for answer in code.trained:
            last = code.ids[max(answer.start, answer.end - 4) : answer.end]
            yield from self._of_tail([token for token in last if not self.is_blank(token)])
        if self.begin is not None and code.ids[:1] == [self.begin]:
            if code.ids[1:2] == [self.begin]:
                yield "double_bos", self.begin_text, IN_TEXT
            elif self.added_first == self.begin:
                yield "double_bos", self.begin_text, BY_TOKENIZER

    def _of_tail(self, tail):
        if not tail or tail[-1] not in self.special:
            yield "missing_eos", CLOSE
            return
        if tail[-1] != self.end:
            yield "eos_differs", self.text(tail[-1]), self.end_text
        if tail[-2:] == tail[-1:] * 2:
            yield "double_eos", self.text(tail[-1]), IN_TEXT
        elif self.added_last == tail[-1]:
            yield "double_eos", self.text(tail[-1]), BY_TOKENIZER


def _system_problems(data, render, verdicts):
    """Render the row with marks for the system and the user text; one verdict a pattern of roles."""
    messages = data["messages"]
    roles = tuple(turn["role"] for turn in messages)
    if "system" in roles and roles not in verdicts:
        verdicts[roles] = _system_verdict(messages, render)
    return verdicts.get(roles, [])


def _system_verdict(messages, render):
    system, user = "\ue001", "\ue002"  # private characters, which texts do not hold
    marked = {"system": system, "user": user}
    try:
        text = render([turn | {"content": marked.get(turn["role"], turn.get("content"))} for turn in messages])
    except Exception:  # a template is somebody's program; the row itself was rendered, this probe was not
        return []
    if system not in text:
        return [("system_ignored",)]
    between, found, _ = text.split(system)[-1].partition(user)
    return [("system_merged",)] if found and not between.strip() else []


def _lines(rows):
    lines = ", ".join(str(row.line) for row in rows[:3])
    return f"({len(rows)} row(s), line {lines}{', ...' if len(rows) > 3 else ''})"


# -- lengths


@dataclass(frozen=True, repr=False)
class TokenLengths:
    """Tokens of each row: `answer` under the loss, `prompt` all others; a preference pair is two, one an answer.

    `refused`: those that the template cannot render; `unrendered`: those with tools or calls that it leaves out,
    about which the count says nothing.
    """

    total: list[int]
    prompt: list[int]
    answer: list[int]
    refused: int = 0
    unrendered: int = 0

    @property
    def notes(self) -> list[str]:
        """What the numbers leave out."""
        refused = f"{self.refused:,} refused by the chat template are not counted"
        lost = (f"{self.unrendered:,} have tools or tool calls that this chat template does not render: the count says "
                "nothing about them; count with the model that you will train")  # fmt: skip
        return [text for count, text in ((self.refused, refused), (self.unrendered, lost)) if count]

    def percentile(self, percent: float, part: str = "total") -> float:
        """Tokens that `percent` % of the rows do not exceed; `part` is total, prompt or answer."""
        return float(np.percentile(getattr(self, part), percent)) if self.total else 0.0

    def share_over(self, max_length: int) -> float:
        """The fraction of rows (of 1) with more than `max_length` tokens."""
        return sum(length > max_length for length in self.total) / len(self.total) if self.total else 0.0

    def tokens(self, max_length: int | None = None, epochs: float = 1) -> int:
        """Tokens that pass through the model in training, each row cut at `max_length`, padding not counted."""
        limit = max(self.total, default=0) if max_length is None else max_length
        return round(epochs * sum(min(length, limit) for length in self.total))

    def _table(self):
        return [(part, *(round(self.percentile(p, part)) for p in (50, 95, 99, 100)), sum(getattr(self, part)))
                for part in ("total", "prompt", "answer")]  # fmt: skip

    def __repr__(self):
        lines = [f"TokenLengths({'; '.join([f'{len(self.total):,} rows', *self.notes])})",
                 f"{'tokens':<8}{'median':>8}{'95 %':>8}{'99 %':>8}{'longest':>9}{'sum':>12}"]  # fmt: skip
        lines += [f"{name:<8}{a:>8,}{b:>8,}{c:>8,}{d:>9,}{e:>12,}" for name, a, b, c, d, e in self._table()]
        return "\n".join(lines)

    def _repr_html_(self):
        head = ("tokens", "median", "95 % of rows up to", "99 % of rows up to", "longest", "sum")
        return html_table([head, *self._table()], after=[f"{note}." for note in self.notes])


def lengths(rows: Iterable[Row | dict], tokenizer) -> TokenLengths:
    """Count the tokens of every row as the chat template renders it; a preference pair goes through the model twice."""
    total, answer, refused, unrendered = [], [], 0, 0
    for code in _codes(list(rows), tokenizer):
        if code.problem:
            refused += 1
            continue
        total.append(len(code.ids))
        answer.append(code.trained_tokens())
        unrendered += bool(code.lost)
    prompt = [all_tokens - trained for all_tokens, trained in zip(total, answer, strict=True)]
    return TokenLengths(total, prompt, answer, refused, unrendered)


# -- what TRL really trains on


@dataclass(frozen=True, repr=False)
class TrainedRows:
    """Rows that TRL trains on at `max_length` tokens; `cut` of them lose a part of an answer.

    `lost` maps a reason to rows.
    """

    rows: int
    max_length: int
    trained: int
    cut: int
    lost: dict[str, int]

    def _lines(self):
        lost = "; ".join(f"{count:,} {why}" for why, count in self.lost.items()) or "none"
        return [
            ("rows", f"{self.rows:,}, max_length={self.max_length:,}"),
            ("trained by TRL", f"{self.trained:,}, of them {self.cut:,} with a cut answer"),
            ("lost", lost),
            ("how we know", "SFTTrainer with assistant_only_loss=True; compared with the real one of TRL 1.15"),
            ("other trainers", "drop other rows: ftlab export writes their files and says how to ask them"),
        ]

    def __repr__(self):
        return "\n".join(["TrainedRows", *(f"{name:<16}{text}" for name, text in self._lines())])

    def _repr_html_(self):
        return html_table([("", "what TRL trains on"), *self._lines()])


def trained_rows(rows: Sequence[Row | dict], tokenizer, max_length: int = MAX_LENGTH) -> TrainedRows:
    """Count the rows that survive the preparation of TRL 1.15, with its defaults and no packing.

    SFTTrainer with assistant_only_loss=True (`_prepare_dataset`): the end beyond `max_length` goes, then rows whose
    labels are all -100; one row without an answer or refused by the template stops the run; a template without
    markers is replaced by TRL's own version of it, or stops the run.
    """
    _check_max_length(max_length)
    template = None if has_markers(tokenizer) else _trl_template(tokenizer)
    if not template and not has_markers(tokenizer):
        return _stopped(len(rows), max_length, "TRL has no training version of this chat template")
    return _count([_fate(code, max_length) for code in encode_chats(rows, tokenizer, template)], max_length)


def _stopped(rows, max_length, why) -> TrainedRows:
    return TrainedRows(rows, max_length, 0, 0, {f"since the run stops: {why}": rows} if rows else {})


def _trl_template(tokenizer) -> str | None:
    """TRL's own version of this chat template, with markers; None when it has none."""
    from trl.chat_template_utils import get_training_chat_template

    try:
        return get_training_chat_template(tokenizer)
    except Exception:  # ValueError for an unknown template; its probes may fail in other ways
        return None


def _fate(code, max_length) -> tuple[bool, int, int]:
    """(refused, tokens of answers, those that a cut leaves) of one row in TRL, where every answer counts."""
    whole = sum(answer.end - answer.start for answer in code.answers)
    return bool(code.problem), whole, sum(answer.kept(max_length or len(code.ids)) for answer in code.answers)


def _count(fates, max_length) -> TrainedRows:
    refused = sum(is_refused for is_refused, _, _ in fates)
    unmarked = sum(not (is_refused or whole) for is_refused, whole, _ in fates)
    if refused or unmarked:
        why = f"{refused} row(s) refused by the template, {unmarked} without an answer"
        return _stopped(len(fates), max_length, why)
    trained = sum(kept > 0 for *_, kept in fates)
    lost = {"with nothing of the answer left": len(fates) - trained} if trained < len(fates) else {}
    return TrainedRows(len(fates), max_length, trained, sum(0 < kept < whole for _, whole, kept in fates), lost)


def _check_max_length(max_length):
    if isinstance(max_length, bool) or not isinstance(max_length, int) or max_length < 1:
        raise DataError(f"max_length is {max_length!r}: give a whole number of tokens, 1 or more")
