"""What the chosen model's tokenizer and chat template make of the data: lengths, cuts, label masks, end tokens.

An answer is an assistant turn with its end token; `weight: 0` on a turn means that it is not trained.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import chain, islice

import numpy as np

from ftlab.data.schema import Finding, Row, content_field, finding
from ftlab.errors import DataError, ModelError

IGNORED = -100  # the label that PyTorch's cross-entropy leaves out
MAX_LENGTH = 1024  # tokens; the default of TRL's SFTConfig
BATCH_ROWS = 250  # rendered and tokenised in one call
ONLY_IDS = {"return_attention_mask": False, "return_token_type_ids": False}
TRL_BASIS = "checked against TRL 1.15"
MARKERS = re.compile(r"\{%-?\s*generation\s*-?%\}")  # what a template writes around each answer

# control tokens of model families; in the text of a row they are mostly the rest of another chat template
FOREIGN_MARKERS = (
    "<|im_start|>", "<|im_end|>", "<|endoftext|>",  # ChatML: Qwen, SmolLM
    "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>",  # Llama 3
    "<start_of_turn>", "<end_of_turn>", "<|turn>", "<turn|>",  # Gemma
    "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "</s>",  # Mistral, Llama 2
    "<|system|>", "<|user|>", "<|assistant|>", "<|end|>",  # Phi and others
    "<|channel|>", "<|message|>", "<|return|>",  # gpt-oss
)  # fmt: skip

# code: (severity, message)
CODES = {
    # the row
    "template_fails": ("error", "the chat template refuses this row: {}; {}"),
    "answer_not_found": ("error", "the answer cannot be found in the rendered row: {}; use a template with markers"),
    "all_masked": ("error", "not one token would be trained: {}"),
    "answer_cut_away": ("error", "{} tokens; the answer begins beyond max_length={}: raise it or shorten the prompt"),
    "answer_truncated": ("warning", "{} tokens, max_length={}: only {} of {} answer tokens stay; raise it"),
    "too_long": ("info", "{} tokens, max_length={}: TRL loses no trained token here, Axolotl drops the row"),
    "special_token_in_text": ("error", "holds {}, which this tokenizer reads as a control token; delete or rewrite it"),
    "foreign_marker": ("warning", "holds {} of another model's chat template; store plain text"),
    # the template: reported once, with the rows it concerns
    "no_generation_markers": ("info", "no {{% generation %}} in the chat template: TRL needs its own version of it"),
    "missing_eos": ("warning", "no end token in the trained part, so the model never learns to stop; {} {}"),
    "eos_differs": ("warning", "answers end with {}, but eos_token is {}: set it to the former, or answers run on {}"),
    "double_eos": ("warning", "the end token {} stands twice: {} {}"),
    "double_bos": ("warning", "the begin token {} stands twice: {} {}"),
    "system_ignored": ("warning", "the chat template drops the system turn; put its text into the first user turn {}"),
    "system_merged": ("info", "the chat template writes the system text into a user turn; prompt the same way {}"),
    "weight_ignored": ("warning", "TRL trains turns of weight 0 too; prepare the rows with tokenize_for_training {}"),
}
IN_TEXT = "the template writes it and the row's text holds it; delete it there"
BY_TOKENIZER = "template and tokenizer both add it to a rendered text; tokenise with add_special_tokens=False"
CLOSE = "take a template that writes one inside the answer"


# -- the checks


def find_token_problems(
    rows: Sequence[Row], tokenizer, max_length: int | None = MAX_LENGTH, chat_template: str | None = None
) -> list[Finding]:
    """What goes wrong between the rows and the trainer; first row by row, then once for the whole template.

    `max_length` in tokens, None for no cut; the cut is TRL's: the end goes. Raises ModelError for a tokenizer
    without a chat template or without offsets.
    """
    _check_max_length(max_length)
    problems = _Problems(tokenizer, max_length, chat_template)
    for row, code in zip(rows, _encoded(rows, tokenizer, chat_template), strict=True):
        problems.add(row, code)
    return problems.findings()


def problems_and_trained_rows(rows: Sequence[Row], tokenizer, max_length: int = MAX_LENGTH):
    """What `find_token_problems` and `trained_rows` return, and every row is tokenised once for both."""
    _check_max_length(max_length)
    problems, trained = _Problems(tokenizer, max_length), _Trained(tokenizer, max_length)
    for row, code in zip(rows, _encoded(rows, tokenizer), strict=True):
        problems.add(row, code)
        trained.add(row, code)
    return problems.findings(), trained.result(rows)


class _Problems:
    """What `find_token_problems` sees, row by row."""

    def __init__(self, tokenizer, max_length, chat_template=None):
        special = _special_tokens(tokenizer)
        self.max_length = max_length
        self.in_text = (
            ("special_token_in_text", _any_of(special)),
            ("foreign_marker", _any_of(set(FOREIGN_MARKERS) - set(special))),
        )
        self.ends = _Ends(tokenizer, set(special.values()))
        self.has_markers = _has_markers(tokenizer, chat_template)
        self.render = _renderer(tokenizer, chat_template)
        self.first = None
        self.found = []
        self.verdicts = {}  # by roles
        self.hits, self.firsts = Counter(), {}  # of a problem of the template: how many rows, the first three

    def add(self, row, code) -> None:
        self.first = self.first or row
        problems = [code.problem] if code.problem else list(_length_problems(code, self.max_length))
        problems += _text_problems(row.data, self.in_text)
        self.found += [finding(CODES, name, row, place, *values) for name, place, *values in problems]
        if code.problem:
            return
        of_template = [*self.ends.problems(code), *_system_problems(row, self.render, self.verdicts)]
        if not all(answer.trained for answer in code.answers):
            of_template.append(("weight_ignored",))
        for problem in sorted(set(of_template)) if of_template else ():
            self.hits[problem] += 1
            if self.hits[problem] <= 3:
                self.firsts.setdefault(problem, []).append(row)

    def findings(self) -> list[Finding]:
        """Those of the rows, then those of the template."""
        found = self.found
        if self.first and not self.has_markers:
            found = [*found, finding(CODES, "no_generation_markers", self.first, "")]
        of_template = [
            finding(CODES, name, (firsts := self.firsts[name, *values])[0], "", *values, _lines(firsts, count))
            for (name, *values), count in self.hits.items()
        ]
        return found + of_template


def _length_problems(code, max_length):
    trained = [answer for answer in code.answers if answer.trained]
    total = sum(answer.end - answer.start for answer in trained)
    if not total:
        why = "every answer has weight 0" if code.answers else "the chat template marks no text of it as an answer"
        yield "all_masked", "messages", why
    elif max_length is not None and len(code.ids) > max_length:
        kept = _kept(trained, max_length)
        cut = next((answer for answer in trained if answer.end > max_length), trained[-1])
        place = f"messages[{cut.turn}].content"
        if kept == 0:
            yield "answer_cut_away", place, len(code.ids), max_length
        elif kept < total:
            yield "answer_truncated", place, len(code.ids), max_length, kept, total
        else:
            yield "too_long", "", len(code.ids), max_length


def _text_problems(data, patterns):
    for index, turn in enumerate(_messages(data) or ()):
        content = turn.get("content")
        if not isinstance(content, str):
            continue
        for name, pattern in patterns:
            if found := sorted(set(pattern.findall(content))):
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
        for answer in code.answers:
            if answer.trained:
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


def _system_problems(row, render, verdicts):
    """Render the row with marks for the system and the user text; one verdict a pattern of roles."""
    messages = _messages(row.data)
    roles = tuple(turn["role"] for turn in messages)
    if "system" not in roles:
        return []
    if roles not in verdicts:
        verdicts[roles] = _system_verdict(messages, render)
    return verdicts[roles]


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


def _lines(firsts, count):
    lines = ", ".join(str(row.line) for row in firsts)
    return f"({count} row(s), line {lines}{', ...' if count > len(firsts) else ''})"


# -- lengths


@dataclass(frozen=True, repr=False)
class TokenLengths:
    """Tokens of each row: `answer` under the loss, `prompt` all others; `refused` rows the template cannot render."""

    total: list[int]
    prompt: list[int]
    answer: list[int]
    refused: int = 0

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
        refused = f", {self.refused} refused by the template" if self.refused else ""
        lines = [f"TokenLengths({len(self.total):,} rows{refused})",
                 f"{'tokens':<8}{'median':>8}{'95 %':>8}{'99 %':>8}{'longest':>9}{'sum':>12}"]  # fmt: skip
        lines += [f"{name:<8}{a:>8,}{b:>8,}{c:>8,}{d:>9,}{e:>12,}" for name, a, b, c, d, e in self._table()]
        return "\n".join(lines)

    def _repr_html_(self):
        import pandas as pd

        columns = ["tokens", "median", "95 % of rows up to", "99 % of rows up to", "longest", "sum"]
        note = f"<p>{self.refused} row(s) refused by the chat template are not counted.</p>" if self.refused else ""
        return pd.DataFrame(self._table(), columns=columns).to_html(index=False) + note


def lengths(rows: Sequence[Row | dict], tokenizer, chat_template: str | None = None) -> TokenLengths:
    """Count the tokens of every row as the chat template renders it; rows it refuses are counted apart."""
    total, answer, refused = [], [], 0
    for code in _encoded(rows, tokenizer, chat_template):
        if code.problem:
            refused += 1
            continue
        total.append(len(code.ids))
        answer.append(_kept([a for a in code.answers if a.trained], len(code.ids)))
    prompt = [all_tokens - trained for all_tokens, trained in zip(total, answer, strict=True)]
    return TokenLengths(total, prompt, answer, refused)


# -- what the trainers really train on


@dataclass(frozen=True)
class TrainerRows:
    """Rows one trainer trains on; `cut` of them lose a part of an answer; `lost` maps a reason to rows."""

    trainer: str
    trained: int
    cut: int
    lost: dict[str, int]
    basis: str


@dataclass(frozen=True, repr=False)
class TrainedRows:
    """How many of `rows` each trainer would train on at `max_length` tokens, and why the others vanish."""

    rows: int
    max_length: int
    trl: TrainerRows
    axolotl: TrainerRows
    llama_factory: TrainerRows

    @property
    def trainers(self) -> tuple[TrainerRows, ...]:
        """The three rows of the table."""
        return self.trl, self.axolotl, self.llama_factory

    def _table(self):
        return [(t.trainer, t.trained, t.cut, "; ".join(f"{n} {why}" for why, n in t.lost.items()) or "none", t.basis)
                for t in self.trainers]  # fmt: skip

    def __repr__(self):
        lines = [f"TrainedRows({self.rows:,} rows, max_length={self.max_length:,})"]
        lines += [f"{name:<14}trains {trained:,} ({cut:,} with a cut answer); lost: {lost} [{basis}]"
                  for name, trained, cut, lost, basis in self._table()]  # fmt: skip
        return "\n".join(lines)

    def _repr_html_(self):
        import pandas as pd

        columns = ["trainer", "rows trained", "with a cut answer", "rows lost", "how we know"]
        return pd.DataFrame(self._table(), columns=columns).to_html(index=False)


def trained_rows(rows: Sequence[Row | dict], tokenizer, max_length: int = MAX_LENGTH) -> TrainedRows:
    """Count the rows that survive each trainer's own preparation, with the defaults of each and no packing.

    TRL 1.15, SFTTrainer with assistant_only_loss=True (`_prepare_dataset`; compared with the real one in the
    tests): the end beyond `max_length` goes, then rows whose labels are all -100; one row without an answer or
    refused by the template stops the run; a template without markers is replaced by TRL's own version of it, or
    stops the run. Two others by rule, not run, read in their sources on GitHub in November 2026:
    Axolotl (`utils/data/utils.py`, `utils/trainer.py`; excess_length_strategy is "drop" unless set): rows of more
    than sequence_len or fewer than 2 tokens go, and rows without a trained token.
    LLaMA-Factory (`data/converter.py`, `data/processor/supervised.py`, `processor_utils.py`): after a leading
    system turn, user or tool turns and assistant turns must alternate and be even in number, else the row goes;
    each prompt-answer pair is shortened to what cutoff_len leaves, first the longer half, then both in
    proportion. It has its own templates, so its token counts can differ by a few.
    """
    if max_length is None:
        raise DataError("max_length is None: give the number of tokens; each trainer here has such a limit")
    _check_max_length(max_length)
    trained = _Trained(tokenizer, max_length)
    for row, code in zip(rows, _encoded(rows, tokenizer), strict=True):
        trained.add(row, code)
    return trained.result(rows)


class _Trained:
    """What `trained_rows` counts, row by row."""

    def __init__(self, tokenizer, max_length):
        self.tokenizer, self.max_length = tokenizer, max_length
        self.rows, self.trl, self.axolotl, self.factory = 0, _TrlTally(max_length), _Tally(), _Tally()

    def add(self, row, code) -> None:
        self.rows += 1
        roles = [turn["role"] for turn in _messages(_data(row)) or ()]
        total = _kept(code.answers, len(code.ids))
        refused = "refused by the chat template" if code.problem else None
        self.trl.add(code)
        self.axolotl.add(total, total, refused or _axolotl_drops(code, total, self.max_length))
        self.factory.add(_factory_kept(code, self.max_length), total,
                         "whose turns do not alternate" if not _alternate(roles) else refused)  # fmt: skip

    def result(self, rows) -> TrainedRows:
        """The table; for a template without markers TRL's own is tried on all rows."""
        has_markers = _has_markers(self.tokenizer)
        return TrainedRows(
            self.rows,
            self.max_length,
            self.trl.result() if has_markers else _trl_rows(rows, self.tokenizer, self.max_length),
            self.axolotl.result("Axolotl", "by rule, not run"),
            self.factory.result("LLaMA-Factory", "by rule, not run"),
        )


@dataclass
class _Tally:
    """Counts rows by their fate."""

    trained: int = 0
    cut: int = 0
    lost: Counter = field(default_factory=Counter)

    def add(self, kept, total, reason):
        if reason or not kept:
            self.lost[reason or "with nothing of the answer left"] += 1
        else:
            self.trained += 1
            self.cut += kept < total

    def result(self, trainer, basis):
        return TrainerRows(trainer, self.trained, self.cut, dict(self.lost), basis)


@dataclass
class _TrlTally:
    """Counts rows as TRL would train them; it does not know weights, so every answer counts."""

    max_length: int
    rows: int = 0
    refused: int = 0
    unmarked: int = 0
    tally: _Tally = field(default_factory=_Tally)

    def add(self, code):
        self.rows += 1
        self.refused += bool(code.problem)
        self.unmarked += not code.problem and not code.answers
        self.tally.add(_kept(code.answers, self.max_length), _kept(code.answers, len(code.ids)), None)

    def result(self):
        if self.refused or self.unmarked:
            what = f"{self.refused} row(s) refused by the template, {self.unmarked} without an answer"
            return TrainerRows("TRL", 0, 0, {f"since the run stops: {what}": self.rows}, TRL_BASIS)
        return self.tally.result("TRL", TRL_BASIS)


def _trl_rows(rows, tokenizer, max_length):
    """What TRL makes of a template without markers."""
    template = _trl_template(tokenizer)
    if template is None:
        why = "since the run stops: TRL has no training version of this chat template"
        return TrainerRows("TRL", 0, 0, {why: len(rows)} if rows else {}, TRL_BASIS)
    tally = _TrlTally(max_length)
    for code in _encoded(rows, tokenizer, template):
        tally.add(code)
    return tally.result()


def _trl_template(tokenizer) -> str | None:
    """TRL's own version of this chat template, with markers; None when it has none."""
    from trl.chat_template_utils import get_training_chat_template

    try:
        return get_training_chat_template(tokenizer)
    except Exception:  # ValueError for an unknown template; its probes may fail in other ways
        return None


def _axolotl_drops(code, total, max_length):
    if len(code.ids) > max_length:
        return "over max_length"
    return "without a trained token" if not total or len(code.ids) < 2 else None


def _alternate(roles) -> bool:
    """LLaMA-Factory's test of a conversation; several tool results in a row count as one turn."""
    roles = roles[1:] if roles[:1] == ["system"] else roles
    turns = [role for index, role in enumerate(roles) if role != "tool" or roles[index - 1 : index] != ["tool"]]
    return bool(turns) and len(turns) % 2 == 0 and all(
        role in (("user", "tool"), ("assistant",))[index % 2] for index, role in enumerate(turns)
    )  # fmt: skip


def _factory_kept(code, cutoff) -> int:
    """Answer tokens that LLaMA-Factory keeps: it shares `cutoff` out between each prompt and its answer."""
    used = kept = begin = 0
    for answer in code.answers:
        room = cutoff - used
        if room <= 0:
            break
        prompt, target = answer.start - begin, answer.end - answer.start
        if 2 * target < room:
            most = room
        elif 2 * prompt < room:
            most = room - prompt
        else:
            most = int(room * (target / (prompt + target)))
        target = min(target, most)
        kept += target
        used += target + min(prompt, max(room - target, 0))
        begin = answer.end
    return kept


# -- the data set for the trainer


def tokenize_for_training(
    rows: Sequence[Row | dict],
    tokenizer,
    max_length: int | None = MAX_LENGTH,
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
    _check_max_length(max_length)
    usable, unusable = [], []
    for number, (row, code) in enumerate(zip(rows, _encoded(rows, tokenizer, chat_template), strict=True), 1):
        if _kept([answer for answer in code.answers if answer.trained], max_length or len(code.ids)):
            usable.append(code)
        else:
            name, _, *values = code.problem or next(_length_problems(code, max_length))
            unusable.append(f"{_place(row, number)}: {CODES[name][1].format(*values)}")
    if unusable and not drop:
        more = [f"... and {len(unusable) - 5} more"] if len(unusable) > 5 else []
        raise DataError("\n".join([*unusable[:5], *more, "Mend these rows, or leave them out with drop=True."]))
    if not usable:
        raise DataError(f"{len(rows)} row(s) given, none of them can be trained: nothing to hand to the trainer")
    return _dataset(usable, max_length)


def _dataset(encoded, max_length):
    """Columns input_ids (int32) and labels (int64), each row cut at `max_length`."""
    import pyarrow as pa
    from datasets import Dataset

    ends = np.cumsum([0] + [min(len(code.ids), max_length or len(code.ids)) for code in encoded], dtype=np.int32)
    ids = np.fromiter(chain.from_iterable(code.ids[:max_length] for code in encoded), np.int32, count=ends[-1])
    labels = np.full(len(ids), IGNORED, np.int64)
    for code, begin, end in zip(encoded, ends, ends[1:], strict=False):
        for answer in code.answers:
            if answer.trained:
                part = slice(begin + answer.start, min(begin + answer.end, end))
                labels[part] = ids[part]
    columns = {"input_ids": ids, "labels": labels}
    return Dataset.from_dict({name: pa.ListArray.from_arrays(ends, flat) for name, flat in columns.items()})


def _place(row, number):
    return f"{row.file}:{row.line}" if isinstance(row, Row) else f"row {number}"


# -- rendering and tokenising


@dataclass(frozen=True)
class _Answer:
    """Tokens [start, end) of the row are the answer of `turn`."""

    turn: int
    start: int
    end: int
    trained: bool


@dataclass(frozen=True)
class _Encoded:
    """One row as tokens, or why it cannot be: `problem` is (code, field, *values)."""

    ids: list[int]
    answers: list[_Answer]
    problem: tuple = ()


class _NotFound(Exception):
    """The answer does not stand in the rendered text as it should."""


def _encoded(rows: Iterable, tokenizer, chat_template=None) -> Iterator[_Encoded]:
    """Render and tokenise the rows, one batch in memory at a time; one that fails is known by its `problem`."""
    encode = _by_markers if _has_markers(tokenizer, chat_template) else _by_rendering
    plain = partial(encode, render=_renderer(tokenizer, chat_template))
    rows = iter(rows)
    while block := [_data(row) for row in islice(rows, BATCH_ROWS)]:
        yield from _encode_block(block, encode, plain, tokenizer, chat_template)


def _encode_block(block, encode, plain, tokenizer, chat_template) -> list[_Encoded]:
    """The chats of one call together; those with tools or settings of their own alone."""
    result, batch = {}, []
    for index, data in enumerate(block):
        messages = _messages(data)
        if messages is None:
            result[index] = _Encoded([], [], ("template_fails", "messages", "messages is no list of turns with roles",
                                              "check the file with check_chat first"))  # fmt: skip
        elif data.get("tools") or data.get("chat_template_kwargs"):
            own = partial(_with_settings, encode=encode, tokenizer=tokenizer, chat_template=chat_template, data=data)
            result[index] = _attempt([messages], own)[0]
        else:
            batch.append((index, messages))
    if batch:
        done = _attempt([messages for _, messages in batch], plain)
        result.update(zip((index for index, _ in batch), done, strict=True))
    return [result[index] for index in range(len(block))]


def _with_settings(chats, encode, tokenizer, chat_template, data):
    return encode(chats, render=_renderer(tokenizer, chat_template, data))


def _attempt(chats, encode: Callable) -> list[_Encoded]:
    """Encode all at once; when that fails, halve until the chats that fail stand alone."""
    try:
        return encode(chats)
    except _NotFound as error:
        problem = "answer_not_found", "messages", str(error)
    except Exception as error:  # a template is somebody's program and may raise anything
        why = " ".join(str(error).split())[:200] or type(error).__name__
        problem = "template_fails", "messages", why, _remedy(why)
    if len(chats) == 1:
        return [_Encoded([], [], problem)]
    half = len(chats) // 2
    return _attempt(chats[:half], encode) + _attempt(chats[half:], encode)


def _remedy(why):
    lower = why.lower()
    if "alternat" in lower:
        return "user and assistant must take turns, the user first: join or drop turns"
    if "system" in lower:
        return "put the system text at the start of the first user turn"
    return "mend the row or choose another template"


def _by_markers(chats, render) -> list[_Encoded]:
    """Answers as the template's {% generation %} markers say."""
    out = render(chats, tokenize=True, return_dict=True, return_assistant_tokens_mask=True, tokenizer_kwargs=ONLY_IDS)
    result = []
    for chat, ids, mask in zip(chats, out["input_ids"], out["assistant_masks"], strict=True):
        spans = list(_runs(mask))
        turns = _answer_turns(chat)
        if len(spans) != len(turns):
            if any(chat[turn].get("weight") == 0 for turn in turns):  # which span belongs to which turn?
                result += _by_rendering([chat], render)
                continue
            turns = (turns[-1:] or [len(chat) - 1]) * len(spans)
        result.append(_Encoded(ids, _answers(chat, turns, spans)))
    return result


def _runs(mask) -> Iterator[tuple[int, int]]:
    """Yield [start, end) of every run of ones."""
    end = 0
    while 1 in mask[end:]:
        start = mask.index(1, end)
        end = mask.index(0, start) if 0 in mask[start:] else len(mask)
        yield start, end


def _by_rendering(chats, render) -> list[_Encoded]:
    """Answers by rendering each chat with and without them, for templates without markers."""
    texts = [render(chat) for chat in chats]
    places = [list(_locate(chat, text, render)) for chat, text in zip(chats, texts, strict=True)]
    out = render.keywords["tokenizer"](texts, add_special_tokens=False, **ONLY_IDS)
    result = []
    for index, (chat, spans) in enumerate(zip(chats, places, strict=True)):
        found = [(turn, *span) for turn, *place in spans if (span := _token_span(out, index, *place))]
        answers = _answers(chat, [turn for turn, *_ in found], [span for _, *span in found])
        result.append(_Encoded(out["input_ids"][index], answers))
    return result


def _answers(chat, turns, spans):
    return [_Answer(turn, start, end, chat[turn].get("weight") != 0)
            for turn, (start, end) in zip(turns, spans, strict=True)]  # fmt: skip


def _locate(chat, text, render) -> Iterator[tuple[int, int, int]]:
    """Yield (turn, start, end) in characters: from the end of the generation prompt to the end token.

    A private character takes the place of the answer, so that what the template writes before and after it is
    known; both must stand in `text` as well, else _NotFound.
    """
    hole = next(mark for mark in map(chr, range(0xE000, 0xF8FF)) if mark not in text)
    end_tokens = _any_of(_special_tokens(render.keywords["tokenizer"]))
    for turn in _answer_turns(chat):
        holed = [*chat[:turn], {"role": "assistant", "content": hole}, *chat[turn + 1 :]]
        before, *rest = render(holed).split(hole)
        if len(rest) != 1:
            raise _NotFound(f"the template writes turn {turn} {len(rest)} times")
        start, end = _prompt_length(chat[:turn], text, before, render), len(text) - len(rest[0])
        if start is None or not text.endswith(rest[0]) or end < start:
            raise _NotFound(f"the text around turn {turn} changes with its content")
        closing = render(holed[: turn + 1]).split(hole)[-1]  # what ends this turn when it is the last one
        token = end_tokens.match(closing.lstrip())
        if token:
            closing = closing[: closing.index(token[0]) + len(token[0])]
            end += len(closing) if rest[0].startswith(closing) else 0
        yield turn, start, end


def _prompt_length(prompt, text, before, render) -> int | None:
    """Characters of `text` that the model is given at inference, up to the answer after `prompt`."""
    if prompt:
        asked = render(prompt, add_generation_prompt=True)
        if asked != render(prompt) and text.startswith(asked):
            return len(asked)
    return len(before) if text.startswith(before) else None


def _token_span(out, index, start, end) -> tuple[int, int] | None:
    """Tokens [first, last) that hold the characters [start, end); some characters belong to no token."""
    tokens = (out.char_to_token(index, place) for place in range(start, end))
    first = next((token for token in tokens if token is not None), None)
    if first is None:
        return None
    tokens = (out.char_to_token(index, place) for place in reversed(range(start, end)))
    return first, next(token for token in tokens if token is not None) + 1


def _renderer(tokenizer, chat_template=None, data=None) -> Callable:
    """`render(chat)` gives the text of a chat; the row's own tools and template settings go along."""
    import json

    data = data or {}
    tools = data.get("tools") or None
    tools = json.loads(tools) if isinstance(tools, str) else tools
    return partial(_render, tokenizer=tokenizer, chat_template=chat_template, tools=tools,
                   settings=data.get("chat_template_kwargs") or {})  # fmt: skip


def _render(chat, tokenizer, chat_template, tools, settings, tokenize=False, **options):
    return tokenizer.apply_chat_template(
        chat, chat_template=chat_template, tools=tools, tokenize=tokenize, **{**settings, **options}
    )


def _has_markers(tokenizer, chat_template=None) -> bool:
    """Whether the template marks its answers; ModelError for a tokenizer that cannot be used here."""
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(f"{_name(tokenizer)} has no offsets (not a fast tokenizer): load it with AutoTokenizer and "
                         "use_fast=True, or use the tokenizer.json of the model")  # fmt: skip
    try:
        return bool(MARKERS.search(tokenizer.get_chat_template(chat_template)))
    except ValueError as error:
        raise ModelError(f"{_name(tokenizer)} has no chat template, so it is that of a base model: take the "
                         "tokenizer of its instruct version, or set tokenizer.chat_template") from error  # fmt: skip


def _name(tokenizer):
    return getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__


def _special_tokens(tokenizer) -> dict[str, int]:
    """The control tokens of a tokenizer with their ids."""
    added = {token.content: index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    return added | dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))


def _any_of(texts) -> re.Pattern:
    longest_first = sorted(filter(None, texts), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")  # (?!) matches nothing


def _kept(answers, max_length) -> int:
    """Tokens of these answers among the first `max_length` of the row."""
    return sum(max(min(answer.end, max_length) - answer.start, 0) for answer in answers)


def _answer_turns(chat):
    return [index for index, turn in enumerate(chat) if turn["role"] == "assistant"]


def _data(row):
    return row.data if isinstance(row, Row) else row


def _messages(data) -> list[dict] | None:
    messages = data.get("messages") if isinstance(data, dict) else None
    if not isinstance(messages, list) or not messages:
        return None
    return messages if all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in messages) else None


def _check_max_length(max_length):
    if max_length is not None and (isinstance(max_length, bool) or not isinstance(max_length, int) or max_length < 1):
        raise DataError(f"max_length is {max_length!r}: give a whole number of tokens, 1 or more")
